package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

func (t *tree) backupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup DEST",
		Short: "Copy the file, also while it is in use",
		Long: "Write a consistent copy of the file to DEST while everybody goes on. When this returns, the copy was read back and verified, is durable, and\n" +
			"only its owner can read it (mode 0600). Until it is whole it has a hidden name beside DEST. An existing file is only replaced with --force.\n\n" +
			"DEST is written by whoever has the file: if a program is running, with that program's rights, and the copy belongs to its user. A relative path counts\n" +
			"from the folder you are in. What was revoked after a backup comes back if the backup is restored, but sessions do not; see restore.",
		Example: "  latchbolt backup backups/app.db\n  latchbolt backup /var/backups/app.db --force --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing file")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		dest, err := t.front.Place().abs(args[0])
		if err != nil {
			return err
		}
		if sameFile(dest, eng.Path()) {
			return invalidf("%s is the file itself", clean(dest))
		}
		start := time.Now()
		if err := eng.Backup(ctx, dest, force); err != nil {
			return forceHint(err)
		}
		took := time.Since(start)
		info, err := os.Stat(dest)
		if err != nil {
			return err
		}
		v := struct {
			Path    string  `json:"path"`
			Size    int64   `json:"size"`
			Seconds float64 `json:"seconds"`
		}{dest, info.Size(), took.Seconds()}
		return t.print(v, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "Wrote %s (%s) in %v, and verified it.\n", clean(dest), size(v.Size), round(took))
		})
	})
	return cmd
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// forceHint says how an existing file is replaced.
func forceHint(err error) error {
	if ExitCode(err) != ExitConflict {
		return err
	}
	return withHint(err, "Give --force to replace it.")
}

// round makes a duration short enough for people.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}

func (t *tree) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Give back the space that is free in the file",
		Long: "Rewrite the file without the space that is free in it. Others wait meanwhile, a second or so for a million users. There has to be room for\n" +
			"both files at the same time. What was deleted is overwritten sooner or later, and gone for sure after this. Owner and mode of the file stay.",
		Example: "  latchbolt compact\n  latchbolt compact --json",
		Args:    wantArgs(cobra.NoArgs),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
			start := time.Now()
			before, after, err := eng.Compact(ctx)
			if err != nil {
				return err
			}
			took := time.Since(start)
			v := struct {
				Before  int64   `json:"before"`
				After   int64   `json:"after"`
				Seconds float64 `json:"seconds"`
			}{before, after, took.Seconds()}
			return t.print(v, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "From %s to %s in %v.\n", size(before), size(after), round(took))
			})
		}),
	}
}
