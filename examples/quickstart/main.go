// The quickstart takes over a Django project and shows what came of it: who can log in, a session, permissions with
// their reasons, a Django cookie that still answers, a change of password.
//
//	go run ./examples/quickstart            # with a dump that is part of the program
//	go run ./examples/quickstart dump.json  # with one of your own; DJANGO_SECRET_KEY brings its sessions along
//
// Nothing is kept: the file is made in a temporary folder. The built-in dump comes with the answers that Django gave; the
// program fails if one of them is different here.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	path := ""
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	err := run(ctx, os.Stdout, path)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}
