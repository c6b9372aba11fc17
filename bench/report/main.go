// Report measures latchbolt beside its limits and beside what people would use in its place, and writes docs/BENCHMARKS.md with its
// charts, and the table in README.md. In bench/:
//
//	go run ./report                  # six rounds of everything; half an hour
//	go run ./report -growth          # with files of up to 10,000,000 sessions; some hours
//	go run ./report -short           # each benchmark once, to see that all of them run; the page goes to a temporary folder
//	go run ./report -only 'Login'    # some of them; the page goes to a temporary folder
//	go run ./report -from results.txt
//
// It ends with status 1 if a benchmark failed, or if a target names one that did not run though nothing kept it from running. A target that is not met
// is no failure: the page says so.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// Options are what the command line says.
type options struct {
	rounds             int
	short, growth      bool
	only, from, to     string
	save, benchtime    string
	partial            bool
	root, command, tmp string
}

func parseOptions(args []string) (o options, err error) {
	fs := flag.NewFlagSet("report", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 6, "how often everything is measured")
	fs.BoolVar(&o.short, "short", false, "run each benchmark once, to see that it does")
	fs.BoolVar(&o.growth, "growth", false, "also run what is too big for every day: sets the environment variables that targets.tsv names")
	fs.StringVar(&o.only, "only", "", "run only benchmarks that match this `pattern`, as in go test -bench")
	fs.StringVar(&o.from, "from", "", "measure nothing; make the page from the output in this `file`")
	fs.StringVar(&o.save, "save", "", "keep the output in this `file`; the default is bench/results.txt, or a temporary one with -short or -only")
	fs.StringVar(&o.to, "to", "", "write the page into this `folder`, and pictures into img beneath it; the default is docs, or a temporary one with -short or -only")
	fs.StringVar(&o.benchtime, "benchtime", "1s", "how long each benchmark runs, as in go test")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%q is not understood; see -help", fs.Arg(0))
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-rounds %d: at least 1", o.rounds)
	}
	if _, err := regexp.Compile(o.only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.short {
		o.rounds, o.benchtime = 1, "1x"
	}
	o.partial = o.short || o.only != ""
	o.command = strings.Join(append([]string{"go run ./report"}, args...), " ")
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.root, err = moduleRoot(ctx); err != nil {
		return err
	}
	targets, err := readTargets(filepath.Join(o.root, "bench", "targets.tsv"))
	if err != nil {
		return fmt.Errorf("targets.tsv:\n%w", err)
	}
	if err := o.places(); err != nil {
		return err
	}
	data, failed := o.results(ctx, targets)
	if data == nil {
		return failed
	}
	r, err := parse(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if len(r.order) == 0 {
		return errors.Join(failed, errors.New("there are no results"))
	}
	if err := writePage(r, targets, o.to); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", filepath.Join(o.to, "BENCHMARKS.md"))
	if o.to == filepath.Join(o.root, "docs") {
		if err := writeReadme(r, filepath.Join(o.root, "README.md")); err != nil {
			return err
		}
	}
	for i := range targets {
		v, f := targets[i].judge(r)
		if v == notMeasured {
			fmt.Fprintf(out, "%-12s %s\n", v, targets[i].id)
		} else {
			fmt.Fprintf(out, "%-12s %s: %s\n", v, targets[i].id, value(f.median, targets[i].unit))
		}
	}
	return errors.Join(failed, o.missing(r, targets))
}

// moduleRoot is where the repository lies.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w; run it in bench/", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// places says where things go: what is not a whole run does not replace the page.
func (o *options) places() (err error) {
	docs, save := filepath.Join(o.root, "docs"), filepath.Join(o.root, "bench", "results.txt")
	if o.partial {
		if o.tmp, err = os.MkdirTemp("", "latchbolt-benchmarks-"); err != nil {
			return err
		}
		docs, save = o.tmp, filepath.Join(o.tmp, "results.txt")
	}
	if o.to == "" {
		o.to = docs
	}
	if o.save == "" {
		o.save = save
	}
	return nil
}

// results measures, or reads what was measured. With an error there may be results as well: those that did not fail.
func (o *options) results(ctx context.Context, targets []target) ([]byte, error) {
	if o.from != "" {
		return os.ReadFile(o.from)
	}
	pl := plan{rounds: o.rounds, benchtime: o.benchtime, only: o.only, short: o.short, command: o.command}
	if pl.only == "" {
		pl.only = "."
	}
	if o.growth {
		pl.env = append(pl.env, "LATCHBOLT_GROWTH=1")
		for _, t := range targets {
			if t.env != "" && !slices.Contains(pl.env, t.env) {
				pl.env = append(pl.env, t.env)
			}
		}
	}
	var data bytes.Buffer
	f, err := os.Create(o.save)
	if err != nil {
		return nil, err
	}
	failed := pl.measure(ctx, o.root, io.MultiWriter(&data, f))
	if err := f.Close(); err != nil {
		failed = errors.Join(failed, err)
	}
	return data.Bytes(), failed
}

// missing is an error if a target names a benchmark that should have run and did not, or a metric that it does not report.
func (o *options) missing(r *raw, targets []target) error {
	if o.only != "" || o.from != "" {
		return nil
	}
	var errs []error
	for i := range targets {
		t := &targets[i]
		if v, _ := t.judge(r); v == notMeasured && r.skipReason(t.key) == "" && (t.env == "" || o.growth) {
			errs = append(errs, fmt.Errorf("targets.tsv, line %d, %s: no %s of %s was reported", t.lineNumber, t.id, t.unit, t.key.name))
		}
	}
	return errors.Join(errs...)
}

func writePage(r *raw, targets []target, to string) error {
	img := filepath.Join(to, "img")
	if err := os.MkdirAll(img, 0o755); err != nil {
		return err
	}
	p := &page{raw: r, targets: targets, charts: chartsOf(r)}
	for _, pic := range pictures {
		path := filepath.Join(img, pic.file)
		if c := p.charts[pic.file]; c == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		} else if err := os.WriteFile(path, []byte(c.svg()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(to, "BENCHMARKS.md"), []byte(p.write()), 0o644)
}
