package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/critical"
)

// batches are the budgets of one mutant: the tests that reach it are run in batches, the quickest first, until one fails. Each batch takes about
// so much of the time that all tests of the package take, and the last one at least atLast. So a slow machine runs the same tests as a quick one, and
// of small packages all: what the variables of a package begin with is reached by every test, and noticed by few.
var batches = []float64{0.005, 0.05, 0.3}

const atLast = 15 * time.Second

// longest is the time that a test may take, by itself and without a mutant, to be run at all.
const longest = 30 * time.Second

// A runner runs tests with mutants.
type runner struct {
	root, dir, overlay string
	workers            int
	suites             []*suite
	only               *regexp.Regexp // names of tests
}

// A suite is a test binary, and what each of its tests takes and reaches.
type suite struct {
	pkg    string
	files  []string
	binary string
	dir    string
	tests  []test // the quickest first
	took   time.Duration
	mu     sync.Mutex
}

type test struct {
	name    string
	took    time.Duration
	reaches map[int]bool
}

// An outcome says what became of a mutant.
type outcome struct {
	killed  bool
	by      string // the test that noticed, or how
	reached int    // tests that reach it
	took    time.Duration
}

// build compiles the test binaries, once for all mutants.
func (r *runner) build(mutants []*mutant) error {
	for _, s := range suites {
		if !slices.ContainsFunc(mutants, func(m *mutant) bool { return critical.Within(m.file.rel, s.files) }) {
			continue
		}
		b := &suite{pkg: s.pkg, files: s.files, dir: filepath.Join(r.root, filepath.FromSlash(s.pkg))}
		b.binary = filepath.Join(r.dir, strconv.Itoa(len(r.suites))+".test")
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", r.overlay, "-o", b.binary, s.pkg)
		cmd.Dir = r.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the tests of %s: %w\n%s", s.pkg, err, out)
		}
		r.suites = append(r.suites, b)
	}
	return nil
}

// maxFailing is how many tests may fail without a mutant. Some count allocations, of which the questions for mutants make more.
const maxFailing = 5

// survey runs each test by itself and notes what it takes and which mutants it reaches. One that fails without
// a mutant, twice, is not used; too many of them are an error.
func (r *runner) survey(ctx context.Context) error {
	type job struct {
		s    *suite
		name string
	}
	var jobs []job
	for _, s := range r.suites {
		cmd := exec.Command(s.binary, "-test.list", "^(Test|Example|Fuzz)")
		cmd.Dir = s.dir
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		for name := range strings.Lines(string(out)) {
			if name = strings.TrimSpace(name); !skipped[name] && r.only.MatchString(name) {
				jobs = append(jobs, job{s, name})
			}
		}
	}
	var failing atomic.Int64
	err := r.parallel(len(jobs), func(i int) error {
		j := jobs[i]
		reach := filepath.Join(r.dir, "reach"+strconv.Itoa(i))
		for try := 0; ; try++ {
			started := time.Now()
			out, err := r.run(ctx, j.s, []string{j.name}, longest, envReach+"="+reach)
			took := time.Since(started)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if took >= longest {
				fmt.Fprintf(os.Stderr, "mutate: %s of %s takes more than %v and is not used\n", j.name, j.s.pkg, longest)
				return nil
			}
			if m := passed.FindSubmatch(out); m != nil { // without the time for the process to begin
				if s, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
					took = time.Duration(s * float64(time.Second))
				}
			}
			if err != nil && try == 0 {
				continue
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "mutate: %s of %s fails without a mutant and is not used: %v\n%s", j.name, j.s.pkg, err, out)
				failing.Add(1)
				return nil
			}
			reached, err := readReach(reach)
			if err != nil {
				return err
			}
			if len(reached) > 0 {
				j.s.mu.Lock()
				j.s.took += took
				j.s.tests = append(j.s.tests, test{j.name, took, reached})
				j.s.mu.Unlock()
			}
			return nil
		}
	})
	for _, s := range r.suites {
		slices.SortFunc(s.tests, func(a, b test) int { return int(a.took - b.took) })
	}
	if n := failing.Load(); err == nil && n > maxFailing {
		err = fmt.Errorf("%d tests fail without a mutant", n)
	}
	return err
}

func readReach(path string) (map[int]bool, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	reached := make(map[int]bool)
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		n, err := strconv.Atoi(s.Text())
		if err != nil {
			return nil, err
		}
		reached[n] = true
	}
	return reached, err
}

// parallel calls fn for 0 to n-1 and returns the first error.
func (r *runner) parallel(n int, fn func(int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := make(chan int)
	for range r.workers {
		wg.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		mu.Lock()
		failed := first != nil
		mu.Unlock()
		if failed {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return first
}

// run runs tests of a suite and returns what they write, the last of it.
func (r *runner) run(ctx context.Context, s *suite, names []string, limit time.Duration, env ...string) ([]byte, error) {
	for i, n := range names {
		names[i] = regexp.QuoteMeta(n)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tmp, err := os.MkdirTemp(r.dir, "tmp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, s.binary, "-test.v", "-test.failfast", "-test.short", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "TMPDIR="+tmp), env...)
	cmd.WaitDelay = time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return out.text, ctx.Err()
	}
	return out.text, err
}

// A tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	if t.text = append(t.text, p...); len(t.text) > 1<<17 {
		t.text = append([]byte(nil), t.text[len(t.text)-1<<16:]...)
	}
	return len(p), nil
}

var passed = regexp.MustCompile(`(?m)^--- PASS: \S+ \((\d+\.\d+)s\)`)

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// try runs the tests that reach a mutant until one fails.
func (r *runner) try(ctx context.Context, m *mutant) (o outcome, err error) {
	started := time.Now()
	defer func() { o.took = time.Since(started) }()
	for _, s := range r.suites {
		if !critical.Within(m.file.rel, s.files) {
			continue
		}
		var reach []test
		for _, t := range s.tests {
			if t.reaches[m.id] {
				reach = append(reach, t)
			}
		}
		o.reached += len(reach)
		for i, share := range batches {
			budget := time.Duration(share * float64(s.took))
			if i == len(batches)-1 {
				budget = max(budget, atLast)
			}
			var names []string
			var took time.Duration
			for len(reach) > 0 && (len(names) == 0 || took+reach[0].took <= budget) {
				names, took = append(names, reach[0].name), took+reach[0].took
				reach = reach[1:]
			}
			if len(names) == 0 {
				break
			}
			out, err := r.run(ctx, s, names, 10*time.Second+3*took, envMutant+"="+strconv.Itoa(m.id))
			if err == nil {
				continue
			}
			if ctx.Err() == context.Canceled {
				return o, ctx.Err()
			}
			o.killed, o.by = true, "the process ended"
			if err == context.DeadlineExceeded {
				o.by = "time"
			}
			if f := failure.FindSubmatch(out); f != nil {
				o.by = string(f[1])
			}
			return o, nil
		}
	}
	return o, nil
}
