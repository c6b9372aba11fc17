// Command coverage runs the tests and says which share of the product's statements they reach. It fails if it is too little.
//
//	go run ./internal/coverage
//	go run ./internal/coverage -missed          # and which statements they do not reach
//	go run ./internal/coverage -dir FOLDER      # what was measured before; if the folder is empty or absent, measure into it
//	go run ./internal/coverage -dir A,B         # several measurements together
//
// What counts is everything that is part of a program that uses latchbolt, whichever tests reach it: those of its own package, those of
// another one, and those that start the command line as a process, which writes down what it reached when it ends. (One that is killed
// writes nothing down.)
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/critical"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// What has to be reached, in percent of the statements.
const (
	leastCritical = 95 // of the files of package critical together
	leastFile     = 90 // of each of them
	leastOverall  = 85 // of everything that counts
)

// helpers are packages that are in no program that uses latchbolt, and so do not count.
var helpers = map[string]string{
	"examples/desktop":        "an example",
	"examples/intranet":       "an example",
	"examples/quickstart":     "an example",
	"internal/campaign":       "a tool of the tests",
	"internal/tally":          "a helper of tests",
	"internal/coverage":       "a tool of the tests",
	"internal/crashtest":      "tests",
	"internal/critical":       "a tool of the tests",
	"internal/damagetest":     "tests",
	"internal/faultrun":       "tests",
	"internal/kv/kvtest":      "tests that every store has to pass",
	"internal/kv/memkv":       "a store for tests",
	"internal/mutate":         "a tool of the tests",
	"internal/termshot":       "makes the pictures of the documents",
	"interop/internal/intest": "a helper of tests",
}

func main() {
	dir := flag.String("dir", "", "`folders` with what was measured, with commas between; empty: run the tests")
	missed := flag.Bool("missed", false, "show what is not reached")
	only := flag.String("suites", "", "run only the tests of these `packages`, with commas between")
	run := flag.String("run", "", "run only tests whose names match a regular `expression`")
	flag.Parse()
	if err := coverage(*dir, *only, *run, *missed); err != nil {
		fmt.Fprintln(os.Stderr, "coverage:", err)
		os.Exit(1)
	}
}

func coverage(dir, only, run string, missed bool) error {
	root, err := critical.Root()
	if err != nil {
		return err
	}
	product, suites, err := packages(root)
	if err != nil {
		return err
	}
	if only != "" {
		suites = strings.Split(only, ",")
	}
	if entries, err := os.ReadDir(dir); strings.Contains(dir, ",") {
		// measured before
	} else if dir == "" || errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		if dir == "" {
			if dir, err = os.MkdirTemp("", "latchbolt-coverage"); err != nil {
				return err
			}
			defer os.RemoveAll(dir)
		}
		if err := measure(root, dir, run, product, suites); err != nil {
			return err
		}
	}
	cmd := exec.Command("go", "tool", "covdata", "textfmt", "-i="+dir, "-o", "/dev/stdout", "-pkg", strings.Join(product, ","))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	blocks, err := parse(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	return report(os.Stdout, blocks, missed)
}

// packages lists those that count and those whose tests are run.
func packages(root string) (product, suites []string, err error) {
	cmd := exec.Command("go", "list", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, err
	}
	unknown := len(helpers)
	for p := range strings.FieldsSeq(string(out)) {
		rel := strings.TrimPrefix(strings.TrimPrefix(p, critical.Module), "/")
		if _, ok := helpers[rel]; ok {
			unknown--
		} else {
			product = append(product, p)
		}
		if !strings.HasPrefix(rel, "examples/") && helpers[rel] != "a tool of the tests" {
			suites = append(suites, p)
		}
	}
	if unknown != 0 {
		return nil, nil, errors.New("a package that is listed as a helper is not there any more")
	}
	return product, suites, nil
}

// measure runs the tests and has them, and the processes that they start, write down what they reach.
func measure(root, dir, run string, product, suites []string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // some tests start processes of other users
		return err
	}
	// The go command gives every test a folder of its own, which it throws away with what the processes of the test wrote into it.
	args := append([]string{"test", "-count=1", "-timeout=1h", "-cover", "-covermode=atomic", "-coverpkg=" + strings.Join(product, ","),
		"-exec=env GOCOVERDIR=" + dir, "-run=" + run}, suites...)
	cmd := exec.Command("go", append(args, "-args", "-test.gocoverdir="+dir)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err == nil {
		return nil
	}
	var failed []string
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "coverage: ") {
			failed = append(failed, line)
		}
	}
	return fmt.Errorf("the tests: %w\n%s", err, strings.Join(failed, ""))
}

// A block is some statements that are reached together.
type block struct {
	file      string // from the module's root
	from, to  string // line.column
	statement int
	reached   bool
}

// parse reads a profile. A block that stands in it several times is reached if it is reached once.
func parse(r io.Reader) ([]block, error) {
	at := make(map[string]int)
	var all []block
	s := bufio.NewScanner(r)
	for s.Scan() {
		if strings.HasPrefix(s.Text(), "mode: ") {
			continue
		}
		place, rest, ok := strings.Cut(s.Text(), " ")
		file, span, ok2 := strings.Cut(place, ":")
		from, to, ok3 := strings.Cut(span, ",")
		statements, count, ok4 := strings.Cut(rest, " ")
		n, err := strconv.Atoi(statements)
		if err != nil || !ok || !ok2 || !ok3 || !ok4 {
			return nil, fmt.Errorf("the profile has the line %q", s.Text())
		}
		i, seen := at[place]
		if !seen {
			i = len(all)
			at[place] = i
			all = append(all, block{file: strings.TrimPrefix(file, critical.Module+"/"), from: from, to: to, statement: n})
		}
		all[i].reached = all[i].reached || count != "0"
	}
	return all, s.Err()
}

// A share counts statements.
type share struct{ all, reached int }

func (s share) percent() float64 { return 100 * float64(s.reached) / float64(max(s.all, 1)) }

// report writes a table, and is an error if too little is reached.
func report(w io.Writer, blocks []block, missed bool) error {
	files, folders := make(map[string]share), make(map[string]share)
	var total, crit share
	add := func(s share, b block) share {
		s.all += b.statement
		if b.reached {
			s.reached += b.statement
		}
		return s
	}
	for _, b := range blocks {
		total = add(total, b)
		folders[path.Dir(b.file)] = add(folders[path.Dir(b.file)], b)
		if critical.Within(b.file, critical.Files) {
			crit = add(crit, b)
			files[b.file] = add(files[b.file], b)
		}
	}
	if missed {
		slices.SortStableFunc(blocks, func(a, b block) int { return cmp.Or(strings.Compare(a.file, b.file), line(a.from)-line(b.from)) })
		for _, b := range blocks {
			if !b.reached && b.statement > 0 {
				fmt.Fprintf(w, "%s:%s-%s: %d not reached\n", b.file, b.from, b.to, b.statement)
			}
		}
	}
	var errs []error
	row := func(name string, s share, least float64) {
		fmt.Fprintf(w, "| %s | %d | %d | %.1f %% |\n", name, s.all, s.reached, s.percent())
		if s.percent() < least {
			errs = append(errs, fmt.Errorf("%s: %.1f %% of the statements are reached; want %.0f %%", name, s.percent(), least))
		}
	}
	fmt.Fprintln(w, "| what | statements | reached | share |\n|---|---:|---:|---:|")
	for _, f := range sorted(files) {
		row(f, files[f], leastFile)
	}
	row("these files", crit, leastCritical)
	for _, f := range sorted(folders) {
		row("folder "+f, folders[f], 0)
	}
	row("everything", total, leastOverall)
	counts, err := tally.Line("statements", total.all, "reached", total.reached, "percent", fmt.Sprintf("%.1f", total.percent()), "critical-percent", fmt.Sprintf("%.1f", crit.percent()))
	if err != nil {
		return err
	}
	fmt.Fprintln(w, counts)
	if len(files) < len(critical.Files) {
		errs = append(errs, errors.New("files of package critical were not measured"))
	}
	return errors.Join(errs...)
}

func line(place string) int {
	n, _, _ := strings.Cut(place, ".")
	i, _ := strconv.Atoi(n)
	return i
}

func sorted(m map[string]share) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
