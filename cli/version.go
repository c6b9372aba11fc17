package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const modulePath = "github.com/latchbolt-go/latchbolt"

func (t *tree) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  latchbolt version\n  latchbolt version --json",
		Args:    wantArgs(cobra.NoArgs),
		RunE: t.here(func(*cobra.Command, []string) error {
			v := map[string]string{"version": t.version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
			return t.print(v, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%s (%s, %s/%s)\n", clean(v["version"]), v["go"], v["os"], v["arch"])
			})
		}),
	}
}

// version returns what the host program says, or the version of this module in the program.
func (t *tree) version() string {
	if t.opts.Version != "" {
		return t.opts.Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == modulePath {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == modulePath {
			if dep.Replace != nil {
				return dep.Replace.Version
			}
			return dep.Version
		}
	}
	return "unknown"
}
