// Desktop is a notebook for the terminal that asks for a password once and stays signed in across restarts, without a network:
// the session token is kept in a file that only its owner can read.
//
//	go run ./examples/desktop               # the first run makes the owner; later ones show the notes
//	go run ./examples/desktop add "Buy ink" # needs a session, asks for the password if there is none
//	go run ./examples/desktop lock          # ends the session: the next run asks again
//	go run ./examples/desktop lock --all    # on every terminal
//	go run ./examples/desktop auth user show ada
//
// Everything is in one folder, by default "notebook" in the user's configuration folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	if code != 0 {
		fmt.Fprintln(os.Stderr, "notebook: nothing was done")
	}
	os.Exit(code)
}
