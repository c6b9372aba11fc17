package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// An infoView tells what a file holds. The keys are part of the contract.
type infoView struct {
	Path          string  `json:"path"`
	Size          int64   `json:"size"`
	Free          int64   `json:"free"`
	Format        int     `json:"format"`
	Created       *string `json:"created"`
	Instance      string  `json:"instance"`
	CaseSensitive bool    `json:"case_sensitive"`
	Users         int     `json:"users"`
	Active        int     `json:"active_users"`
	Superusers    int     `json:"active_superusers"`
	Groups        int     `json:"groups"`
	Permissions   int     `json:"permissions"`
	Sessions      int     `json:"sessions"`
	Audit         int     `json:"audit_entries"`
	Running       bool    `json:"running"` // a program has it open, which ran this command
}

func (t *tree) infoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Tell size, format and number of records of the file",
		Long: "Tell what the file holds. Everything is counted, which takes a few seconds for a million users; nobody waits for it.\n" +
			"size and free are in bytes; what is free is used by later writes, and compact gives it back. sessions are those stored, expired ones too\n" +
			"until they are swept.",
		Example: "  latchbolt info\n  latchbolt info --json",
		Args:    wantArgs(cobra.NoArgs),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
			v, err := viewInfo(ctx, eng)
			if err != nil {
				return err
			}
			v.Running = t.eng != nil
			return t.print(v, v.text)
		}),
	}
}

// viewInfo counts what a file holds, in many small transactions.
func viewInfo(ctx context.Context, eng *latchbolt.Engine) (*infoView, error) {
	s, err := eng.Stats()
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(eng.Path()) // a program may have opened it from another folder than the one that the command was given in
	if err != nil {
		return nil, err
	}
	v := &infoView{Path: path, Size: s.FileSize, Free: s.FreeBytes, Format: s.Format, Created: stamp(s.Created), Instance: s.Instance,
		CaseSensitive: eng.CaseSensitive()}
	for u, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
		if err != nil {
			return nil, err
		}
		v.Users++
		if !u.Inactive {
			v.Active++
			if u.Superuser {
				v.Superusers++
			}
		}
	}
	for _, err := range eng.Groups(ctx) {
		if err != nil {
			return nil, err
		}
		v.Groups++
	}
	for _, err := range eng.Permissions(ctx) {
		if err != nil {
			return nil, err
		}
		v.Permissions++
	}
	for _, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
		if err != nil {
			return nil, err
		}
		v.Audit++
	}
	err = eng.View(ctx, func(tx *latchbolt.ReadTx) (err error) {
		v.Sessions, err = tx.SessionCount()
		return err
	})
	return v, err
}

func (v *infoView) text(w io.Writer) {
	names := "not told apart by case"
	if v.CaseSensitive {
		names = "told apart by case"
	}
	created := "unknown"
	if v.Created != nil {
		created = *v.Created
	}
	running := "no program has it open"
	if v.Running {
		running = "open in a running program"
	}
	table(w, nil, [][]string{
		{"file", v.Path},
		{"size", fmt.Sprintf("%s, %s of it free", size(v.Size), size(v.Free))},
		{"format", strconv.Itoa(v.Format)},
		{"created", created},
		{"instance", v.Instance},
		{"names", names},
		{"users", fmt.Sprintf("%s (%s active, %s active superusers)", count(v.Users), count(v.Active), count(v.Superusers))},
		{"groups", count(v.Groups)},
		{"permissions", count(v.Permissions)},
		{"sessions", count(v.Sessions)},
		{"audit trail", plural(v.Audit, "entry", "entries")},
		{"state", running},
	})
}

// count writes a number with a comma between thousands.
func count[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// plural writes a number of things.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, suffix := float64(n)/unit, "KiB"
	for _, s := range []string{"MiB", "GiB", "TiB"} {
		if v < unit {
			break
		}
		v, suffix = v/unit, s
	}
	return fmt.Sprintf("%.1f %s", v, suffix)
}
