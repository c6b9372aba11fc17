package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

func (t *tree) salvageCommand() *cobra.Command {
	var opts latchbolt.SalvageOptions
	cmd := &cobra.Command{
		Use:   "salvage SRC DST",
		Short: "Make a new file of what is intact in a damaged one",
		Long: "Make a new file DST of everything in the damaged file SRC that is provably intact. SRC is only read. If there is a backup, restore it instead.\n\n" +
			"Sessions and one-time tokens are not taken over. If it cannot be proven that what is left is the newest state of the file, as after the program was killed, " +
			"then no grant is taken over, and users come back inactive, without password, groups, staff and superuser status: old pages of the file may hold rights that were withdrawn since.\n\n" +
			"SRC must not be open in a program: stop the program first, in order if it can still be, or copy SRC.",
		Example: "  latchbolt salvage app.db rescued.db\n  latchbolt salvage app.db rescued.db --json",
		Args:    wantArgs(cobra.ExactArgs(2)),
	}
	cmd.Flags().BoolVar(&opts.AllowStale, "allow-stale", false, "take passwords and rights over also where they may be out of date; look through them afterwards")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if t.eng != nil { // no command line sends it there
			return &exitError{code: ExitFailed, err: errors.New("salvage does not run inside a program")}
		}
		t.begin(cmd)
		opts := opts
		opts.LockTimeout = lockWait
		if opts.AllowStale {
			if err := t.confirm(cmd.Context(), "Take over rights from %s that may have been withdrawn", clean(args[0])); err != nil {
				return err
			}
		}
		r, err := latchbolt.Salvage(cmd.Context(), args[0], args[1], &opts)
		if err != nil {
			return salvageHint(args[0], err)
		}
		return t.salvaged(args[1], &r)
	}
	return cmd
}

// salvaged prints what a salvage did.
func (t *tree) salvaged(path string, r *latchbolt.SalvageReport) error {
	type count struct {
		Kind     string `json:"kind"`
		Kept     int    `json:"kept"`
		Stripped int    `json:"stripped"`
		Dropped  int    `json:"dropped"`
		Lost     int    `json:"lost"`
	}
	v := struct {
		Path     string   `json:"path"`
		Doubt    *string  `json:"doubt"` // null: what was found is the newest state
		Counts   []count  `json:"counts"`
		Findings []string `json:"findings"`
	}{Path: path, Findings: []string{}}
	if r.Doubt != "" {
		v.Doubt = &r.Doubt
	}
	rows := make([][]string, 0, len(r.Counts))
	for _, c := range r.Counts {
		v.Counts = append(v.Counts, count(c))
		rows = append(rows, []string{c.Kind, fmt.Sprint(c.Kept), fmt.Sprint(c.Stripped), fmt.Sprint(c.Dropped), fmt.Sprint(c.Lost)})
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, f.String())
	}
	return t.print(v, func(w io.Writer) {
		for _, f := range v.Findings {
			_, _ = fmt.Fprintln(w, clean(f))
		}
		table(w, []string{"", "KEPT", "STRIPPED", "DROPPED", "LOST"}, rows)
		if v.Doubt != nil {
			_, _ = fmt.Fprintf(w, "It is not proven that this is the newest state: %s.\n", clean(*v.Doubt))
		}
		_, _ = fmt.Fprintf(w, "Made %s. All sessions have ended.\n", clean(path))
	})
}

// salvageHint says what to do about a file that cannot be read for salvage.
func salvageHint(path string, err error) error {
	switch {
	case errors.Is(err, latchbolt.ErrLocked):
		who := "Another program"
		if pid, name, ok := lockHolder(path); ok {
			who = fmt.Sprintf("Process %d (%s)", pid, clean(name))
		}
		return &exitError{code: ExitLocked, err: err, hint: who + " has the file open. Stop it, or salvage a copy of the file."}
	case errors.Is(err, latchbolt.ErrCorrupt):
		return withHint(err, "Only a backup can help.")
	}
	return err
}
