package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/critical"
	counted "github.com/latchbolt-go/latchbolt/internal/tally"
)

// options are what the command line says.
type options struct {
	files   []string
	n, each int
	seed    string
	list    bool
	report  string
	atLeast float64
	workers int
	verbose bool
	these   string
	run     string

	equivalent string    // the list of equivalent mutants
	out        io.Writer // for lists and the report
}

func main() {
	var o options
	files := flag.String("files", "", "patterns of files, with commas between; empty: all that count")
	flag.IntVar(&o.n, "n", 0, "try `n` mutants of all; 0: all")
	flag.IntVar(&o.each, "each", 0, "try `n` mutants of each file; 0: all")
	flag.StringVar(&o.seed, "seed", "1", "choose the mutants by this `text`")
	flag.BoolVar(&o.list, "list", false, "list the mutants and try none")
	flag.StringVar(&o.report, "report", "", "write a report to a `file`, in Markdown")
	flag.Float64Var(&o.atLeast, "at-least", 90, "fail if fewer of a hundred are noticed")
	flag.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "processes at the same time")
	flag.BoolVar(&o.verbose, "v", false, "say what becomes of each mutant")
	flag.StringVar(&o.these, "these", "", "try only the mutants that a `file` names, as a report does")
	flag.StringVar(&o.run, "run", "", "run only tests whose names match a regular `expression`")
	flag.Parse()
	o.files, o.equivalent, o.out = critical.Files, equivalentTSV, os.Stdout
	if *files != "" {
		o.files = strings.Split(*files, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := mutate(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func mutate(ctx context.Context, o *options) error {
	root, err := critical.Root()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	l, err := load(root, o.files)
	if err != nil {
		return err
	}
	all, err := l.all(o)
	if err != nil {
		return err
	}
	reasons, err := equivalents(o.equivalent, all, func(file string) bool { return critical.Within(file, o.files) })
	if err != nil {
		return err
	}
	chosen := choose(all, o)
	if o.these != "" {
		if chosen, err = named(all, o.these); err != nil {
			return err
		}
	}
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(o.out, "%s:%d:%d\t%s\n", m.file.rel, m.line, m.column, m.key())
		}
		return nil
	}
	results, err := try(ctx, l, o, chosen, reasons)
	if err != nil {
		return err
	}
	writeReport(o.out, results, all)
	if o.report != "" {
		f, err := os.Create(o.report)
		if err != nil {
			return err
		}
		writeReport(f, results, all)
		if err := f.Close(); err != nil {
			return err
		}
	}
	got := count(results, all)[""]
	line, err := counted.Line("mutants", got.killed+got.survived, "noticed", got.killed, "percent", fmt.Sprintf("%.1f", got.rate()), "seed", cmp.Or(o.seed, "none"))
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out, line)
	if got.killed+got.survived == 0 {
		return errors.New("no mutant was tried")
	} else if got.rate() < o.atLeast {
		return fmt.Errorf("%.1f of a hundred mutants are noticed; want %.0f", got.rate(), o.atLeast)
	}
	return nil
}

// all lists the mutants of the files that are asked for, numbered from 1.
func (l *loader) all(o *options) ([]*mutant, error) {
	var all []*mutant
	for _, path := range sortedKeys(l.pkgs) {
		s := l.pkgs[path]
		var failed error
		files := l.syntax(s)
		pkg, info := l.check(path, files, func(err error) { failed = errors.Join(failed, err) })
		if failed != nil {
			return nil, failed
		}
		var own []*mutant
		for _, f := range s.files {
			if critical.Within(f.rel, o.files) {
				own = append(own, find(l.fset, f, pkg, info)...)
			}
		}
		good, bad, err := l.compilable(s, own)
		if err != nil {
			return nil, err
		}
		if o.verbose {
			for _, m := range bad {
				fmt.Fprintf(os.Stderr, "does not compile: %s", m.diff())
			}
		}
		all = append(all, good...)
	}
	for i, m := range all {
		m.id = i + 1
	}
	return all, nil
}

// choose takes the samples that are asked for.
func choose(all []*mutant, o *options) []*mutant {
	var chosen []*mutant
	for _, m := range all {
		if len(chosen) > 0 && chosen[len(chosen)-1].file == m.file {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(all), func(x *mutant) bool { return x.file != m.file })
		chosen = append(chosen, sample(own, o.each, o.seed)...)
	}
	return sample(chosen, o.n, o.seed)
}

// named returns the mutants that a file names: those whose key, in the form that reports have, ends a line.
func named(all []*mutant, path string) ([]*mutant, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		lines[strings.TrimSpace(line)] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(m *mutant) bool { return !lines[strings.TrimSpace(m.label())] }), nil
}

// try runs the tests with each of the chosen mutants.
func try(ctx context.Context, l *loader, o *options, chosen []*mutant, reasons map[string]string) ([]result, error) {
	dir, err := os.MkdirTemp("", "latchbolt-mutate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &runner{root: l.root, dir: dir, workers: max(1, o.workers)}
	if r.only, err = regexp.Compile(o.run); err != nil {
		return nil, err
	}
	if r.overlay, err = overlay(dir, l.pkgs, chosen); err != nil {
		return nil, err
	}
	started := time.Now()
	if err := r.build(chosen); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "mutate: %d mutants, %d test binaries in %v\n", len(chosen), len(r.suites), time.Since(started).Round(time.Second))
	started = time.Now()
	if err := r.survey(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "mutate: every test once without a mutant in %v\n", time.Since(started).Round(time.Second))
	started = time.Now()
	results := make([]result, len(chosen))
	var mu sync.Mutex
	done := 0
	err = r.parallel(len(chosen), func(i int) error {
		m := chosen[i]
		results[i] = result{mutant: m, reason: reasons[m.key()]}
		if results[i].reason == "" {
			out, err := r.try(ctx, m)
			if err != nil {
				return err
			}
			results[i].outcome = out
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%d/%d %v %s %s | %s\n", done, len(chosen), results[i].took.Round(time.Millisecond), word(results[i]), results[i].by, m.label())
		}
		return nil
	})
	fmt.Fprintf(os.Stderr, "mutate: tried in %v\n", time.Since(started).Round(time.Second))
	return results, err
}

func word(r result) string {
	switch {
	case r.reason != "":
		return "EQUIVALENT"
	case r.killed:
		return "noticed"
	}
	return fmt.Sprintf("NOT NOTICED by %d", r.reached)
}
