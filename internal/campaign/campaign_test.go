package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/canary"
)

const scriptEnv = "LATCHBOLT_TEST_CAMPAIGN"

// TestMain lets this binary be the command of a step: it prints what it is told and exits.
func TestMain(m *testing.M) {
	if script := os.Getenv(scriptEnv); script != "" {
		fmt.Print(script)
		if strings.Contains(script, "\nFAIL") {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	good = "=== RUN   TestA\n    a_test.go:1: seed 7; once more: -run '^TestA$' -seed 7\n    a_test.go:9: campaign: images=10 bad=0 seed=7\n--- PASS: TestA (0.1s)\n" +
		"=== RUN   TestB\n    a_test.go:9: campaign: images=5 bad=0 seed=8\n--- PASS: TestB (0.1s)\nPASS\nok  \tx/y\t0.2s\n"
	bad = "=== RUN   TestA\n=== RUN   TestA/part\n    a_test.go:1: seed 7; once more: -run '^TestA$' -seed 7\n    a_test.go:9: campaign: images=10 bad=1 seed=7\n" +
		"=== RUN   TestB\n    a_test.go:2: all is well\n=== NAME  TestA/part\n    a_test.go:3: file is lost\n" +
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/part (0.0s)\n--- PASS: TestB (0.1s)\nFAIL\nFAIL\tx/y\t0.2s\nFAIL\n"
	skip = "=== RUN   TestA\n    a_test.go:1: only root can mount\n--- SKIP: TestA (0.0s)\nPASS\nok  \tx/y\t0.2s\n"
	fuzz = "fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed\nfuzz: elapsed: 3s, execs: 7877 (2624/sec), new interesting: 6 (total: 28)\n" +
		"fuzz: elapsed: 6s, execs: 9000 (2624/sec), new interesting: 7 (total: 29)\nPASS\nok  \tx/y\t6s\n"
	crasher = "fuzz: elapsed: 3s, execs: 7877 (2624/sec), new interesting: 6 (total: 28)\n--- FAIL: FuzzA (1.05s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:8: wrong\n    \n" +
		"    Failing input written to testdata/fuzz/FuzzA/0afbd525c6078001\n    To re-run:\n    go test -run=FuzzA/0afbd525c6078001\nFAIL\nexit status 1\nFAIL\tx/y\t1.188s\n"
)

// TestSteps runs commands that print what go test prints, and looks at what is made of it.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		what, prints string
		tests        []string
		counts       []string
		fuzz         string
		verdict      string
		wrong        string // part of it
		counted      string
		repeat       string
		said         string
	}{
		{"passes", good, []string{"TestA", "TestB"}, []string{"images>0", "bad"}, "", "passed", "", "images=15 bad=0 seed=7,8", "", ""},
		{"a test fails", bad, []string{"TestA", "TestB"}, nil, "", "FAILED", "TestA failed", "images=10 bad=1 seed=7", "SIZE=1 go test -count=1 -run '^TestA$' -seed 7 ./pkg", "a_test.go:3: file is lost"},
		{"no test matches", "testing: warning: no tests to run\nPASS\nok  \tx/y\t0.2s [no tests to run]\n", []string{"TestA"}, nil, "", "FAILED", "TestA was not run", "", "", ""},
		{"one of two is not there", good, []string{"TestA", "TestC"}, nil, "", "FAILED", "TestC was not run", "images=15 bad=0 seed=7,8", "", ""},
		{"nothing is counted", "--- PASS: TestA (0.1s)\nPASS\n", []string{"TestA"}, []string{"images>0"}, "", "FAILED", "nothing was counted as images", "", "", ""},
		{"too little is counted", "    a.go:1: campaign: images=0\n--- PASS: TestA (0.1s)\nPASS\n", []string{"TestA"}, []string{"images>0"}, "", "FAILED", "images is 0", "images=0", "", ""},
		{"skipped", skip, []string{"TestA"}, []string{"images>0"}, "", "SKIPPED", "", "", "", ""},
		{"in part skipped", skip + good, []string{"TestA"}, []string{"images>0"}, "", "passed, in part SKIPPED", "", "images=15 bad=0 seed=7,8", "", ""},
		{"fuzzed", fuzz, nil, []string{"execs>0"}, "FuzzA", "passed", "", "execs=9000 interesting=7 corpus=29", "", ""},
		{"fuzzing finds something", crasher, nil, []string{"execs>0"}, "FuzzA", "FAILED", "FuzzA failed", "execs=7877 interesting=6 corpus=28", "go test -run='FuzzA/0afbd525c6078001' ./pkg", "a_test.go:8: wrong"},
		{"does not build", "# x/y\na.go:1:1: syntax error\nFAIL\tx/y [build failed]\nFAIL\n", []string{"TestA"}, nil, "", "FAILED", "exit status 1", "", "", ""},
		{"is empty", "testing: warning: no tests to run\nPASS\nok  \tx/y\t0.2s [no tests to run]\n", nil, nil, "", "FAILED", "no test was run", "", "", ""},
		{"ends in the midst", "=== RUN   TestA\n", []string{"TestA"}, nil, "", "FAILED", "TestA was not run", "", "", ""},
	} {
		s := &step{name: "x", env: []string{"SIZE=1"}, args: []string{os.Args[0]}, tests: c.tests, counts: c.counts, fuzz: c.fuzz, pkg: "./pkg"}
		t.Setenv(scriptEnv, c.prints)
		var out bytes.Buffer
		res := s.run(t.Context(), ".", &out)
		if got := res.verdict(); got != c.verdict || !strings.Contains(strings.Join(res.wrong, "; "), c.wrong) || (c.wrong == "") != (len(res.wrong) == 0) {
			t.Errorf("%s: %s, %q", c.what, got, res.wrong)
		}
		if got := res.counts.String(); got != c.counted {
			t.Errorf("%s: counted %q, want %q", c.what, got, c.counted)
		}
		if want := c.said; (want == "") != (len(res.said) == 0) || want != "" && !slices.Contains(res.said, want) || slices.Contains(res.said, "a_test.go:2: all is well") {
			t.Errorf("%s: the failed tests said %q, want %q", c.what, res.said, want)
		}
		if c.repeat != "" && (len(res.repeat) != 1 || res.repeat[0] != c.repeat) {
			t.Errorf("%s: repeated by %q, want %q", c.what, res.repeat, c.repeat)
		}
		if c.verdict == "FAILED" && !strings.Contains(out.String(), strings.TrimSpace(c.prints)) {
			t.Errorf("%s: the output is not shown: %s", c.what, &out)
		}
		if strings.Contains(c.verdict, "SKIPPED") && (len(res.skipped) != 1 || res.skipped[0] != "TestA: only root can mount") {
			t.Errorf("%s: skipped %q", c.what, res.skipped)
		}
	}
	t.Setenv(scriptEnv, "")
	res := (&step{name: "x", args: []string{"/nowhere/at-all"}}).run(t.Context(), ".", new(bytes.Buffer))
	if res.verdict() != "FAILED" {
		t.Errorf("no such command: %s", res.verdict())
	}
}

// TestOutOfTime: what go test says of a fuzz target whose time ended in an awkward moment is no failure, unless an input was kept that fails.
func TestOutOfTime(t *testing.T) {
	const begin, end = "fuzz: elapsed: 3s, execs: 7877 (2624/sec), new interesting: 6 (total: 28)\n--- FAIL: FuzzA (3.01s)\n", "FAIL\nexit status 1\nFAIL\tx/y\t3.2s\n"
	late := begin + outOfTime + "\n" + end
	for _, c := range []struct {
		what, prints, replays string
		verdict               string
		wrong, repeat         int
	}{
		{"nothing was found", late, "--- PASS: FuzzA (0.1s)\nPASS\n", "passed", 0, 0},
		{"an input was kept", late, "--- FAIL: FuzzA (0.1s)\n\nFAIL\n", "FAILED", 2, 1},
		{"another message", begin + "    fuzzing process hung or terminated unexpectedly: exit status 2\n" + end, "PASS\n", "FAILED", 2, 1},
		{"an input was told of", late + "    go test -run=FuzzA/0afbd525c6078001\n", "PASS\n", "FAILED", 2, 1},
		{"another test failed", "--- FAIL: TestA (0.1s)\n" + late, "PASS\n", "FAILED", 3, 1},
		{"nothing was run", "--- FAIL: FuzzA (3.01s)\n" + outOfTime + "\n" + end, "PASS\n", "FAILED", 1, 0},
	} {
		t.Setenv(scriptEnv, c.prints)
		s := &step{name: "x", args: []string{os.Args[0]}, replay: []string{"env", scriptEnv + "=" + c.replays, os.Args[0]}, counts: []string{"execs>0"}, fuzz: "FuzzA", pkg: "./pkg"}
		res := s.run(t.Context(), ".", new(bytes.Buffer))
		if res.verdict() != c.verdict || len(res.wrong) != c.wrong || len(res.repeat) != c.repeat {
			t.Errorf("%s: %s, %q, repeated by %q", c.what, res.verdict(), res.wrong, res.repeat)
		}
	}
}

// TestReport writes a report with a failure and looks whether all is in it that one needs.
func TestReport(t *testing.T) {
	o := &options{size: "ci", seed: 99}
	r := newReport(t.Context(), ".", o)
	for _, prints := range []string{good, bad, skip} {
		s := &step{name: "step-" + fmt.Sprint(len(r.results)), promises: "1, 2", env: []string{scriptEnv + "=" + prints}, args: []string{os.Args[0]}, tests: []string{"TestA"}, pkg: "./pkg"}
		res := s.run(t.Context(), ".", new(bytes.Buffer))
		s.env = nil
		r.results = append(r.results, res)
	}
	r.took = time.Minute
	dir := filepath.Join(t.TempDir(), "reports")
	path, err := r.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(strings.TrimSuffix(path, ".md") + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Of 3 steps 1 passed, 1 failed, 1 were skipped.", "| seed | 99 |", "| bbolt | v1.", "| Go | go1.", "| commit | ", "| step-0 | 1, 2 | passed | ", "images=15 bad=0", "TestA: only root can mount", "step-1: TestA failed", "a_test.go:3: file is lost",
		"go test -count=1 -run '^TestA$' -seed 7 ./pkg"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, want := range []string{"run\tseed\t\t99\t\t\n", "step\tstep-0\t1, 2\tpassed\t", "\timages=15 bad=0 seed=7,8\n", "step\tstep-1\t1, 2\tFAILED\t", "step\tstep-2\t1, 2\tSKIPPED\t"} {
		if !strings.Contains(string(table), want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	var out bytes.Buffer
	if r.summary(&out) || !strings.Contains(out.String(), "-size ci -seed 99 -only step-1") || !strings.Contains(out.String(), "SKIPPED: step-2") {
		t.Errorf("summary: %s", &out)
	}
	r.results = r.results[:1]
	if !r.summary(new(bytes.Buffer)) {
		t.Error("what passed is taken for a failure")
	}
	r.left = []*step{{name: "step-7"}, {name: "step-8"}}
	out.Reset()
	for _, text := range []string{r.page(), r.table()} {
		if !strings.Contains(text, "step-7, step-8") {
			t.Errorf("what an interrupted campaign did not run is not in %s", text)
		}
	}
	if r.summary(&out) || !strings.Contains(out.String(), "INTERRUPTED: not run, or not to the end: step-7, step-8") {
		t.Errorf("an interrupted campaign: %s", &out)
	}
	r.left = nil
	if r.results = nil; r.summary(new(bytes.Buffer)) {
		t.Error("nothing at all is taken for a success")
	}
}

// TestProofs makes sure that the table of steps names tests that are in the package it runs, that its pattern matches them, and that no step says twice what another does.
func TestProofs(t *testing.T) {
	seen := make(map[string]bool)
	for i := range proofs {
		p := &proofs[i]
		if seen[p.name] || p.promises != "" && !regexp.MustCompile(`^[1-6](, [1-6])*$`).MatchString(p.promises) {
			t.Errorf("%s: named twice, or promises %q", p.name, p.promises)
		}
		seen[p.name] = true
		if p.command != "" || p.pkg == "./..." {
			continue
		}
		dir := filepath.Join("..", "..", strings.TrimPrefix(p.pkg, "./"))
		paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(paths) == 0 {
			t.Errorf("%s: no tests in %s", p.name, p.pkg)
		}
		var code bytes.Buffer
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(data)
		}
		pattern := regexp.MustCompile(p.run)
		if len(p.tests) == 0 {
			t.Errorf("%s: no test has to be run", p.name)
		}
		for _, name := range p.tests {
			if !strings.Contains(code.String(), "\nfunc "+name+"(") || !pattern.MatchString(name) {
				t.Errorf("%s: %s is not in %s, or %q does not match it", p.name, name, p.pkg, p.run)
			}
		}
		// A size that nothing reads changes nothing.
		for v := range strings.FieldsSeq(strings.TrimPrefix(p.ci, "-") + " " + strings.TrimPrefix(p.long, "-")) {
			name, _, ok := strings.Cut(v, "=")
			reads := `"` + name + `"`
			if name == canary.Variable {
				reads = "canary.Run("
			}
			if !ok || !strings.Contains(code.String(), reads) {
				t.Errorf("%s: nothing in %s reads %s", p.name, p.pkg, name)
			}
		}
		if p.seed != strings.Contains(code.String(), `flag.Uint64("seed"`) && p.pkg != "." {
			t.Errorf("%s: -seed %v, but the package says otherwise", p.name, p.seed)
		}
	}
}

func TestPick(t *testing.T) {
	all, err := allSteps(t.Context(), "../..", &options{size: "long", seed: 5, fuzztime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	names := func(only string) (s []string) {
		steps, err := pick(all, only)
		if err != nil {
			return []string{err.Error()}
		}
		for _, st := range steps {
			s = append(s, st.name)
		}
		return s
	}
	if got := names(""); len(got) != len(all) || !slices.Contains(got, "crash-images") || !slices.Contains(got, "fuzz-internal/pwhash-FuzzParse") {
		t.Errorf("all: %q", got)
	}
	if got := names("kills, supply"); len(got) != 2 {
		t.Errorf("two: %q", got)
	}
	if got := names("fuzz"); len(got) < 14 {
		t.Errorf("fuzz targets: %q", got)
	}
	for _, only := range []string{"none", "kills,none", "kills,", ","} {
		if got := names(only); len(got) != 1 || !strings.HasPrefix(got[0], "there is no step") {
			t.Errorf("%q: %q", only, got)
		}
	}
	for _, o := range []*options{{size: "medium"}, {}} {
		if ok, err := campaign(context.Background(), o); ok || err == nil {
			t.Errorf("size %q is one", o.size)
		}
	}
	for _, s := range all {
		if strings.HasPrefix(s.name, "crash") && !strings.HasSuffix(s.command(), "-seed 5") {
			t.Errorf("%s has no seed", s.command())
		}
	}
}
