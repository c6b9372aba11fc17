// Load puts the notice board of examples/intranet under load and says how it went, in the format of Go's benchmarks. In bench/:
//
//	go run ./load                                  # each kind for five seconds
//	go run ./load -clients 64 -for 1m browse check
//
// The kinds are sign_in, browse, check and all_at_once. The board is a process of its own, on loopback, with accounts in a temporary folder; the one
// who asks shares the machine with it. It ends with status 1 if a request was not answered as it should be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	"github.com/latchbolt-go/latchbolt/bench/internal/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	limits := load.Limits{}
	fs.IntVar(&limits.Clients, "clients", 16, "how many ask at the same time; with more than some 16 for each processor signing in is refused")
	fs.IntVar(&limits.Requests, "requests", 1_000_000, "how many requests of each kind at most")
	fs.DurationVar(&limits.For, "for", 5*time.Second, "how long each kind lasts at most")
	if err := fs.Parse(args); err != nil {
		return err
	}
	kinds := load.Kinds
	if fs.NArg() > 0 {
		kinds = nil
		for _, arg := range fs.Args() {
			if !slices.Contains(load.Kinds, load.Kind(arg)) {
				return fmt.Errorf("there is no load %q, only %v", arg, load.Kinds)
			}
			kinds = append(kinds, load.Kind(arg))
		}
	}
	if limits.Clients < 1 || limits.Requests < 1 || limits.For <= 0 {
		return errors.New("-clients, -requests and -for have to be greater than 0")
	}
	site, err := load.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	visitors, err := site.SignIn(ctx, 64)
	if err != nil {
		return err
	}
	var failed error
	for _, kind := range kinds {
		r := site.Run(ctx, kind, visitors, limits)
		fmt.Fprintf(out, "BenchmarkWholePath/%s-%d\t%d\t%.1f req/s\t%.3f p50-ms\t%.3f p99-ms\t%d errors\n", kind, runtime.GOMAXPROCS(0), r.Requests, r.PerSecond(),
			float64(r.Within(0.5))/1e6, float64(r.Within(0.99))/1e6, r.Errors)
		if r.First != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %d errors, the first: %w", kind, r.Errors, r.First))
		}
	}
	return errors.Join(failed, ctx.Err())
}
