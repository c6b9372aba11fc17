// Intranet is a notice board for a team, as one binary with one file of accounts: set-up page, login, pages of its own, the account
// page of each person, the console at /admin/ for those who look after it, and the command line under "auth".
//
//	go run ./examples/intranet          # prints the address to open; on the first run that is the set-up page
//	go run ./examples/intranet --demo   # with people, history and notices, in a folder that is removed at the end
//	go run ./examples/intranet auth user show ada
//
// What a person may do is in the accounts and nowhere else: adding a notice needs board.add_post. Who adds one is granted
// board.change_post and board.delete_post for this one object, and moderators have them for all objects.
//
// Everything is kept in one folder: $INTRANET, or "intranet" in the user's configuration folder. The program listens on loopback
// only; to serve other machines, put a proxy with TLS in front and say with --url what people type.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program as it is
	os.Exit(run(ctx, os.Args[1:]))
}

// Options are what the command line says.
type options struct {
	addr string // where to listen
	url  string // under which address people reach it; "" means directly, on this machine
	dir  string // where everything is kept
	demo bool
}

func (o *options) accounts() string { return filepath.Join(o.dir, "accounts.db") }

// config is how the program and its "auth" commands open the accounts.
func config() *latchbolt.Config { return &latchbolt.Config{} }

// run makes the commands of the program, with latchbolt's own beneath "auth".
func run(ctx context.Context, args []string) int {
	o := options{dir: os.Getenv("INTRANET")}
	if o.dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			base = "."
		}
		o.dir = filepath.Join(base, "intranet")
	}
	root := &cobra.Command{Use: "intranet", Short: "A team's notice board", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), o, cmd.OutOrStdout()) }}
	root.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8080", "listen on this `address`, which has to be of loopback; port 0 takes any")
	root.Flags().StringVar(&o.url, "url", "", "people reach it as this `URL`, through a proxy on this machine that does TLS")
	root.Flags().BoolVar(&o.demo, "demo", false, "show it with people and notices, and keep nothing")
	root.AddCommand(cli.New(&cli.Options{Use: "auth", Path: o.accounts(), Config: config()}))
	root.SetArgs(args)
	return cli.Run(ctx, root)
}
