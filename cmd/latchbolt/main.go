// Command latchbolt looks after a file of users, groups, permissions and sessions, also while the program that owns it is
// running. "latchbolt help" lists what it can do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/latchbolt-go/latchbolt/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := cli.Run(ctx, cli.New(nil))
	stop()
	os.Exit(code)
}
