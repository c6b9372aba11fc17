// Command latchbolt looks after a file of users, groups, permissions and sessions, also while the program that owns it is
// running. "latchbolt help" lists what it can do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/latchbolt-go/latchbolt/cli"
)

// grace is how long further signals mean what the first one did: timeout(1) and some shells send two of them.
const grace = time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.Sleep(grace)
		stop() // a further signal ends it at once
	})
	code := cli.Run(ctx, cli.New(nil))
	stop()
	os.Exit(code)
}
