package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

func (t *tree) initCommand() *cobra.Command {
	var caseSensitive bool
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make a new file",
		Example: "  latchbolt init --db app.db",
		Args:    wantArgs(cobra.NoArgs),
	}
	cmd.Flags().BoolVar(&caseSensitive, "case-sensitive", false, "names that differ only in case are different users")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t.begin(cmd)
		path, err := t.path()
		if err != nil {
			return err
		}
		return t.makeFile(cmd.Context(), path, caseSensitive)
	}
	return cmd
}

// makeFile makes a new file, which must not be there yet.
func (t *tree) makeFile(_ context.Context, path string, caseSensitive bool) error {
	cfg := t.config()
	cfg.Create, cfg.CaseSensitive = true, cfg.CaseSensitive || caseSensitive
	eng, err := latchbolt.Open(path, cfg)
	if err != nil {
		return err
	}
	if err := eng.Close(); err != nil {
		return err
	}
	return t.print(map[string]string{"path": path}, func(w io.Writer) { _, _ = fmt.Fprintf(w, "Made %s.\n", clean(path)) })
}
