package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Run executes a root command, prints the error if there is one, and returns the exit code: all that is left for main is
//
//	os.Exit(cli.Run(ctx, root))
//
// The commands of this package stop when ctx is done; nothing is half done then.
func Run(ctx context.Context, root *cobra.Command) int {
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
	_, _ = fmt.Fprintf(w, "%s: %v\n", name, err)
}
