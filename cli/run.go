package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Run executes a root command, prints the error if there is one, and returns the exit code: all that is left for main is
//
//	os.Exit(cli.Run(ctx, root))
//
// The commands of this package stop when ctx is done; nothing is half done then. It sets root.SilenceErrors, since cobra would print the errors of
// the program's own commands a second time.
func Run(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors = true
	err := root.ExecuteContext(ctx)
	if err != nil {
		printError(root.ErrOrStderr(), root.Name(), err)
	}
	return ExitCode(err)
}

// printError writes an error for people. A no was printed as the result already.
func printError(w io.Writer, name string, err error) {
	if errors.Is(err, errNo) {
		return
	}
	text := strings.TrimPrefix(err.Error(), "latchbolt: ") // the program's name is in front
	for i, line := range strings.Split(text, "\n") {
		if i == 0 {
			line = name + ": " + line
		}
		_, _ = fmt.Fprintln(w, clean(line))
	}
}
