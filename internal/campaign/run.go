package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A step is one proof: a command, and what it has to show.
type step struct {
	name     string
	promises string   // of docs/SECURITY.md, such as "1, 2"; "" if it is about no single one
	env      []string // NAME=value, in front of the command
	args     []string // the command
	tests    []string // each has to be run, and has to pass or be skipped with a reason
	counts   []string // keys that have to be counted; one that ends in ">0" has to be more than nothing
	fuzz     string   // name of the target, whose executions are counted
	replay   []string // the command that runs the inputs of that target which are kept
	pkg      string   // package of the tests, for repeating
}

// command is what to type to run the step.
func (s *step) command() string {
	words := slices.Clone(s.env)
	for _, a := range s.args {
		if strings.ContainsAny(a, "^$|()* '") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// A result is what became of a step.
type result struct {
	*step
	began   time.Time
	took    time.Duration
	counts  tally.Counts
	wrong   []string // why it failed
	said    []string // by the tests that failed, the first lines
	skipped []string // tests that were skipped, with reasons
	repeat  []string // commands that repeat a failure
	passed  int      // tests
	was     string   // the verdict of an earlier campaign, from which the result is taken over
}

func (r *result) verdict() string {
	switch {
	case r.was != "":
		return r.was
	case len(r.wrong) > 0:
		return "FAILED"
	case r.passed == 0 && len(r.skipped) > 0:
		return "SKIPPED"
	case len(r.skipped) > 0:
		return "passed, in part SKIPPED"
	}
	return "passed"
}

// run runs the step in a folder. What it prints goes through a reader, which keeps what counts and shows what people want to see: all of a failure, and otherwise results and counts.
func (s *step) run(ctx context.Context, dir string, out io.Writer) *result {
	res := &result{step: s, began: time.Now()}
	cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), s.env...)
	together(cmd)
	cmd.WaitDelay = 10 * time.Second
	pipe, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	p := &parser{res: res, out: out, ran: make(map[string]bool), logs: make(map[string][]string)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(pipe)
	}()
	err := cmd.Run()
	_ = w.Close()
	<-done
	if err != nil && p.expired() {
		err = p.replayed(ctx, cmd)
	}
	res.took = time.Since(res.began)
	p.judge(err)
	return res
}

// outOfTime is all that go test says of a fuzz target whose time ended in an awkward moment: before Go 1.27 its coordinator may take the end of
// the time for a failure, on a busy machine in one of ten runs (https://go.dev/issue/75804).
const outOfTime = "    context deadline exceeded"

// expired reports whether that is all that failed. An input that had been found by then is kept, but not told of.
func (p *parser) expired() bool {
	other := func(name string) bool { return name != p.res.fuzz }
	return p.res.fuzz != "" && p.late && len(p.res.repeat) == 0 && !slices.ContainsFunc(p.failed, other)
}

// replayed runs the inputs that are kept, in the place of the first command. If they pass, nothing was found.
func (p *parser) replayed(ctx context.Context, first *exec.Cmd) error {
	cmd := exec.CommandContext(ctx, p.res.replay[0], p.res.replay[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = first.Dir, first.Env, first.WaitDelay
	together(cmd)
	text, err := cmd.CombinedOutput()
	if err == nil {
		p.res.wrong, p.failed = nil, nil
	}
	p.lines = append(p.lines, string(text))
	return err
}

// atOnce returns those of the steps that come first which run at one time: two fuzz targets, each of which has one worker, or one other step.
func atOnce(steps []*step) []*step {
	if len(steps) > 1 && steps[0].fuzz != "" && steps[1].fuzz != "" {
		return steps[:2]
	}
	return steps[:1]
}

// runAll runs steps at one time, and shows of each what it printed when all have ended; of a single one, at once.
func runAll(ctx context.Context, dir string, steps []*step, out io.Writer) []*result {
	for _, s := range steps {
		fmt.Fprintf(out, "\n==> campaign: %s  [%s]\n%s\n", s.name, time.Now().UTC().Format("15:04:05"), s.command())
	}
	results, shown := make([]*result, len(steps)), make([]bytes.Buffer, len(steps))
	if len(steps) == 1 {
		results[0] = steps[0].run(ctx, dir, out)
	} else {
		var wg sync.WaitGroup
		for i, s := range steps {
			wg.Go(func() { results[i] = s.run(ctx, dir, &shown[i]) })
		}
		wg.Wait()
	}
	for i, res := range results {
		fmt.Fprintf(out, "%s%s: %s in %v: %s\n", &shown[i], res.name, res.verdict(), res.took.Round(time.Second), res.counts.String())
	}
	return results
}

// A parser reads what a command prints.
type parser struct {
	res    *result
	out    io.Writer
	ran    map[string]bool     // tests, not their parts, that passed or were skipped
	lines  []string            // the last ones, for a failure
	more   []string            // flags with which tests say that they can be repeated
	failed []string            // tests and parts of tests
	reason string              // the last line of a test's log
	now    string              // the test that logs
	late   bool                // outOfTime was said
	logs   map[string][]string // by test, the first lines
}

const (
	keptLines = 400
	keptLog   = 8   // lines of the log of a test that failed
	keptLine  = 600 // bytes of each
)

var (
	named    = regexp.MustCompile(`^=== (?:RUN|NAME|CONT) +(\S+)$`)
	ended    = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	closing  = regexp.MustCompile(`^(ok|FAIL|PASS|---|\?|panic:|coverage:)\s`)
	onceMore = regexp.MustCompile(`once more: (.*\S)`)
	rerun    = regexp.MustCompile(`^\s*go test -run=(\S+)$`)
	progress = regexp.MustCompile(`^fuzz: elapsed: .* execs: (\d+) .* new interesting: (\d+) \(total: (\d+)\)`)
	logLine  = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)$`)
)

func (p *parser) read(r io.Reader) {
	br := bufio.NewReader(r)
	for {
		text, err := br.ReadBytes('\n')
		if len(text) > 0 {
			p.line(string(bytes.TrimRight(text, "\r\n")))
		}
		if err != nil {
			return
		}
	}
}

func (p *parser) line(text string) {
	if p.lines = append(p.lines, text); len(p.lines) > 2*keptLines {
		p.lines = append(p.lines[:0], p.lines[keptLines:]...)
	}
	res := p.res
	switch m := ended.FindStringSubmatch(text); {
	case m != nil:
		p.test(m[1], m[2], text)
	case res.counts.Read(text):
		fmt.Fprintln(p.out, text)
	case progress.MatchString(text):
		p.fuzzed(progress.FindStringSubmatch(text))
	case rerun.MatchString(text):
		res.repeat = append(res.repeat, "go test -run='"+rerun.FindStringSubmatch(text)[1]+"' "+res.pkg)
	case closing.MatchString(text):
		fmt.Fprintln(p.out, text)
	}
	p.late = p.late || text == outOfTime
	if m := onceMore.FindStringSubmatch(text); m != nil && res.pkg != "" {
		p.more = append(p.more, m[1])
	}
	if m := named.FindStringSubmatch(text); m != nil {
		p.now = m[1]
	}
	if m := logLine.FindStringSubmatch(text); m != nil {
		p.reason = m[1]
		if len(p.logs[p.now]) < keptLog {
			p.logs[p.now] = append(p.logs[p.now], strings.TrimSpace(text[:min(len(text), keptLine)]))
		}
	}
}

// test notes the end of a test. Of a skipped one the line before says why.
func (p *parser) test(verdict, name, text string) {
	top := !strings.Contains(name, "/")
	p.now = name // without -v a log follows the verdict
	switch verdict {
	case "PASS":
		if top {
			p.res.passed++
		} else if p.res.fuzz != "" {
			p.res.counts.Read("campaign: inputs=1")
		}
	case "SKIP":
		p.res.skipped = append(p.res.skipped, name+": "+p.reason)
		fmt.Fprintln(p.out, strings.TrimSpace(text))
	case "FAIL":
		p.failed = append(p.failed, name)
		p.res.wrong = append(p.res.wrong, name+" failed")
	}
	if top {
		p.ran[name] = true
	}
}

func (p *parser) fuzzed(m []string) {
	c := tally.Counts{}
	c.Read(fmt.Sprintf("campaign: execs=%s interesting=%s corpus=%s", m[1], m[2], m[3]))
	p.res.counts = c
}

// judge says what is wrong once the command has ended.
func (p *parser) judge(err error) {
	res := p.res
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		res.wrong = append(res.wrong, "the command ended with "+exit.String())
	case err != nil:
		res.wrong = append(res.wrong, err.Error())
	}
	for _, name := range res.tests {
		if !p.ran[name] {
			res.wrong = append(res.wrong, name+" was not run: no such test, or the run ended before it")
		}
	}
	if res.pkg != "" && res.fuzz == "" && res.passed == 0 && len(res.skipped) == 0 {
		res.wrong = append(res.wrong, "no test was run")
	}
	if len(res.wrong) > 0 || res.passed > 0 || len(res.skipped) == 0 {
		for _, key := range res.step.counts {
			key, positive := strings.CutSuffix(key, ">0")
			if res.counts.Get(key) == "" {
				res.wrong = append(res.wrong, "nothing was counted as "+key)
			} else if positive && res.counts.Number(key) <= 0 {
				res.wrong = append(res.wrong, key+" is "+res.counts.Get(key))
			}
		}
	}
	if len(res.wrong) == 0 {
		return
	}
	slices.Sort(p.failed)
	p.failed = slices.Compact(p.failed) // a fuzz target fails twice
	for _, name := range p.failed {
		res.said = append(res.said, p.logs[name]...)
	}
	p.repeats()
	fmt.Fprintln(p.out, strings.Join(p.lines[max(0, len(p.lines)-keptLines):], "\n"))
}

// repeats notes the commands that repeat what failed: with the seed that the test itself named, or the test alone.
func (p *parser) repeats() {
	res := p.res
	for _, name := range p.failed {
		if strings.Contains(name, "/") || res.pkg == "" || len(res.repeat) > 0 && res.fuzz != "" {
			continue
		}
		flags := []string{"-run '^" + name + "$'"}
		if named := slices.Collect(func(yield func(string) bool) {
			for _, m := range p.more {
				if strings.Contains(m, "^"+name+"$") && !yield(m) {
					return
				}
			}
		}); len(named) > 0 {
			flags = slices.Compact(named)
		}
		for _, f := range flags {
			res.repeat = append(res.repeat, strings.Join(append(slices.Clone(res.env), "go test -count=1 "+f+" "+res.pkg), " "))
		}
	}
}
