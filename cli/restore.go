package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

func (t *tree) restoreCommand() *cobra.Command {
	var opts latchbolt.RestoreOptions
	cmd := &cobra.Command{
		Use:   "restore SRC",
		Short: "Put a backup in place of the file",
		Long: "Verify a backup and put a copy of it in place of the file, in one step: whatever happens meanwhile, either the old or the restored file is there.\n" +
			"What was changed since the backup is lost. All sessions and one-time tokens end, so that none that was ended since comes back to life.\n\n" +
			"The file that was there is kept beside the restored one, under its name with .before-restore- and the time behind it, unless you say otherwise.\n" +
			"A damaged file can be replaced too. A file that a program has open cannot: stop the program first.",
		Example: "  latchbolt restore backups/app.db\n  latchbolt restore backups/app.db --keep-as broken.db --yes",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&opts.KeepAs, "keep-as", "", "keep the old file under this `name`, which must be free")
	cmd.Flags().BoolVar(&opts.Discard, "discard", false, "do not keep the old file")
	exclusive(cmd, "keep-as", "discard")
	cmd.RunE = t.here(func(cmd *cobra.Command, args []string) error {
		path, err := t.path()
		if err != nil {
			return err
		}
		if sameFile(args[0], path) {
			return invalidf("%s is the file itself", clean(args[0]))
		}
		what := "Replace %s by %s"
		if opts.Discard {
			what = "Replace %s by %s, and keep nothing of it"
		}
		if _, err := os.Lstat(path); err == nil {
			if err := t.confirm(cmd.Context(), what, clean(path), clean(args[0])); err != nil {
				return err
			}
		}
		opts := opts
		opts.LockTimeout = lockWait
		done, err := latchbolt.Restore(cmd.Context(), args[0], path, &opts)
		if err != nil {
			return restoreHint(args[0], path, err)
		}
		return t.restored(path, done)
	})
	return cmd
}

// restored prints what a restore did.
func (t *tree) restored(path string, done latchbolt.Restored) error {
	v := struct {
		Path   string  `json:"path"`
		Kept   *string `json:"kept"`
		Latest *string `json:"latest"` // what was changed since is lost
	}{Path: path, Latest: stamp(done.Latest)}
	if done.Kept != "" {
		v.Kept = &done.Kept
	}
	return t.print(v, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "Restored %s, as of %s or later. All sessions have ended.\n", clean(path), done.Latest.UTC().Format(time.RFC3339))
		if v.Kept != nil {
			_, _ = fmt.Fprintf(w, "The file that was there is %s now.\n", clean(done.Kept))
		}
	})
}

// restoreHint says who holds a file that cannot be read or replaced therefore.
func restoreHint(src, path string, err error) error {
	if !errors.Is(err, latchbolt.ErrLocked) {
		return err
	}
	if pid, name, ok := lockHolder(src); ok {
		return &exitError{code: ExitLocked, err: fmt.Errorf("%s is in use by process %d (%s)", clean(src), pid, clean(name)),
			hint: "What is in use is no backup. Make one of it with backup, and restore that."}
	}
	who := "another program"
	if pid, name, ok := lockHolder(path); ok {
		who = fmt.Sprintf("process %d (%s)", pid, clean(name))
	}
	return &exitError{code: ExitLocked, err: fmt.Errorf("%s is in use by %s", clean(path), who),
		hint: "A file cannot be replaced under a running program. Stop it, restore, and start it again."}
}
