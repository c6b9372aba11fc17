// Command campaign runs all proofs of reliability and security, one by one but for fuzz targets, of which two run at one time, and writes a report of what they counted.
//
//	go run ./internal/campaign                       the size of CI, which takes some twenty minutes on two cores
//	go run ./internal/campaign -size long            the long size, which takes hours
//	go run ./internal/campaign -size small           the size of every day, to try the campaign itself
//	go run ./internal/campaign -only crash,fuzz      some steps, or those whose names begin so; nothing is written
//	go run ./internal/campaign -only crash -seed 42  what a failure says: the same once more
//	go run ./internal/campaign -again docs/reports/2026-11-27-long.tsv   what failed in that one, or was not run; its report takes the results in
//	go run ./internal/campaign -list                 the steps, and what each runs
//
// Each step is one command, in most cases "go test -v" with the variables that set its size. Its tests say what they counted in lines that package
// [github.com/latchbolt-go/latchbolt/internal/tally] describes. A step fails if the command does, if a test that belongs to it was not run, or if nothing was
// counted; then the campaign goes on with the next one, ends with exit code 1 and says how to repeat the failure. A step that cannot be done
// here, as without root, is SKIPPED and says why.
//
// An interrupt ends the step that is under way; the report is written all the same, and says what was not run.
//
// The report of a run of all steps goes to docs/reports, as a page and as a table; docs/SECURITY.md takes the last counts from there.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	size     string
	only     string
	seed     uint64
	out      string
	again    string
	list     bool
	fuzztime time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.size, "size", "ci", "small, ci or long; small is that of every day, to try the campaign itself")
	flag.StringVar(&o.only, "only", "", "run only the steps of these `names`, with commas between; a name stands for all that begin with it")
	flag.Uint64Var(&o.seed, "seed", 0, "the `number` that decides about everything random; 0 draws one")
	flag.StringVar(&o.out, "out", "", "write the report to this `folder`; empty: docs/reports for a complete run, and none for a part")
	flag.StringVar(&o.again, "again", "", "take the report with this `table` up again, in its size and with its seed: run what failed or was not run")
	flag.BoolVar(&o.list, "list", false, "list the steps and run none")
	flag.DurationVar(&o.fuzztime, "fuzztime", 0, "how long each target is fuzzed; 0: what the variable FUZZTIME says, or 15s for ci and 10m for long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := campaign(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// campaign reports whether all steps passed.
func campaign(ctx context.Context, o *options) (bool, error) {
	var before *earlier
	if o.again != "" {
		if o.only != "" {
			return false, fmt.Errorf("-again runs all that failed or was not run; it does not go with -only")
		}
		var err error
		if before, err = readEarlier(o.again); err != nil {
			return false, err
		}
		o.size, o.seed = before.size, before.seed
		o.out = cmp.Or(o.out, filepath.Dir(o.again))
	}
	if !slices.Contains([]string{"small", "ci", "long"}, o.size) || flag.NArg() > 0 {
		return false, fmt.Errorf("there is no size %q; see -h", o.size)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("FUZZTIME"); o.fuzztime == 0 && text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return false, fmt.Errorf("FUZZTIME: %w", err)
		}
		o.fuzztime = d
	}
	if o.fuzztime <= 0 {
		o.fuzztime = map[string]time.Duration{"ci": 15 * time.Second, "long": 10 * time.Minute}[o.size]
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	all, err := allSteps(ctx, root, o)
	if err != nil {
		return false, err
	}
	var steps []*step
	if before != nil {
		steps, err = before.steps(all)
	} else {
		steps, err = pick(all, o.only)
	}
	if err != nil {
		return false, err
	}
	if o.list {
		for _, s := range steps {
			fmt.Printf("%-24s %s\n", s.name, s.command())
		}
		return true, nil
	}
	r := newReport(ctx, root, o)
	for left := steps; len(left) > 0; {
		now := atOnce(left)
		results := runAll(ctx, root, now, os.Stdout)
		if ctx.Err() != nil {
			r.left = left
			break
		}
		r.results = append(r.results, results...)
		left = left[len(now):]
	}
	r.took = time.Since(r.began)
	if before != nil {
		if err := before.into(ctx, r, root, all); err != nil {
			return false, err
		}
	}
	out := o.out
	if out == "" && o.only == "" {
		out = filepath.Join(root, "docs", "reports")
	}
	if out != "" {
		path, err := r.write(out)
		if err != nil {
			return false, err
		}
		fmt.Printf("\nwritten to %s and %s.tsv\n", path, strings.TrimSuffix(path, ".md"))
	}
	return r.summary(os.Stdout), nil
}

// pick returns the steps whose names begin with one of those given.
func pick(all []*step, only string) ([]*step, error) {
	if only == "" {
		return all, nil
	}
	var picked []*step
	for _, s := range all {
		for name := range strings.SplitSeq(only, ",") {
			if strings.HasPrefix(s.name, strings.TrimSpace(name)) {
				picked = append(picked, s)
				break
			}
		}
	}
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, s := range picked {
			found = found || strings.HasPrefix(s.name, strings.TrimSpace(name))
		}
		if !found || name == "" {
			return nil, fmt.Errorf("there is no step %q; see -list", name)
		}
	}
	return picked, nil
}
