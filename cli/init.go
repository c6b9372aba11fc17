package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

func (t *tree) initCommand() *cobra.Command {
	var caseSensitive bool
	var dump string
	var f djangoFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new file",
		Long: "Make a new file. It belongs to you and has mode 0600. What is there already is left alone.\n\n" +
			"With --from-django the file begins with what a Django project has; it appears under its name when all of it is there. " + djangoLong,
		Example: "  latchbolt init --db app.db\n  latchbolt init --db app.db --from-django dump.json --secret-key-file secret.txt",
		Args:    wantArgs(cobra.NoArgs),
	}
	cmd.Flags().BoolVar(&caseSensitive, "case-sensitive", false, "names that differ only in case are different users")
	cmd.Flags().StringVar(&dump, "from-django", "", "begin with what stands in a `dump` of Django")
	f.add(cmd)
	cmd.RunE = t.here(func(cmd *cobra.Command, _ []string) error {
		path, err := t.path()
		if err != nil {
			return err
		}
		if dump != "" {
			return t.makeFromDjango(cmd.Context(), path, caseSensitive, dump, &f)
		}
		for _, name := range djangoOnly {
			if cmd.Flags().Changed(name) {
				return usagef("--%s needs --from-django", name)
			}
		}
		return t.makeFile(path, caseSensitive)
	})
	return cmd
}

// djangoOnly are the flags of init that mean nothing without a dump.
var djangoOnly = []string{"sessions", "secret-key-file", "secret-key-fallback-file", "session-lifetime", "backend", "max-bytes", "dry-run"}

// newConfig returns how to make a file.
func (t *tree) newConfig(caseSensitive bool) *latchbolt.Config {
	cfg := t.config()
	cfg.Create, cfg.CaseSensitive = true, cfg.CaseSensitive || caseSensitive
	return cfg
}

// makeFile makes a new file, which must not be there yet.
func (t *tree) makeFile(path string, caseSensitive bool) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "init", Path: path, Err: fs.ErrExist}
	}
	// Under its own name the engine would open, and not refuse, a file that somebody else makes at this moment.
	temp := boltkv.TempName(path)
	defer func() { _ = os.Remove(temp) }() // gone if all went well
	eng, err := latchbolt.Open(temp, t.newConfig(caseSensitive))
	if err != nil {
		return err
	}
	if err := eng.Close(); err != nil {
		return err
	}
	if err := boltkv.Publish(temp, path); err != nil {
		return err
	}
	return t.print(map[string]string{"path": path}, func(w io.Writer) { _, _ = fmt.Fprintf(w, "Made %s.\n", clean(path)) })
}

// makeFromDjango makes a new file of a dump.
func (t *tree) makeFromDjango(ctx context.Context, path string, caseSensitive bool, dump string, f *djangoFlags) error {
	return t.fromDjango(ctx, dump, path, f, func(in io.Reader, opts *django.ImportOptions) (django.Report, error) {
		eng, report, err := django.Create(ctx, path, in, t.newConfig(caseSensitive), opts)
		if err != nil || eng == nil {
			return report, err
		}
		return report, eng.Close()
	})
}
