package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAgain takes up a report in which a step failed and one was not run: these are run, and the rest is in the new report as it was.
func TestAgain(t *testing.T) {
	all := []*step{{name: "fine"}, {name: "fails"}, {name: "skips"}, {name: "late"}, {name: "other"}}
	for _, s := range all {
		s.promises, s.args, s.tests, s.pkg = "1, 2", []string{os.Args[0]}, []string{"TestA"}, "./pkg"
	}
	run := func(s *step, prints string) *result {
		t.Setenv(scriptEnv, prints)
		return s.run(t.Context(), ".", new(bytes.Buffer))
	}
	first := newReport(t.Context(), ".", &options{size: "long", seed: 99})
	first.began = time.Date(2026, 11, 26, 23, 0, 0, 0, time.UTC)
	first.results = []*result{run(all[0], good), run(all[1], bad), run(all[2], skip+good)}
	first.results[0].took, first.results[2].took = time.Hour, 2*time.Minute
	first.left = all[3:4]
	dir := t.TempDir()
	path, err := first.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	table := strings.TrimSuffix(path, ".md") + ".tsv"

	e, err := readEarlier(table)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := e.steps(all)
	if err != nil || !slices.Equal(steps, []*step{all[1], all[3]}) {
		t.Fatalf("again: %s, %v", names(steps), err)
	}
	second := newReport(t.Context(), ".", &options{size: e.size, seed: e.seed, again: table})
	second.results = []*result{run(all[1], good), run(all[3], good)}
	for _, res := range second.results {
		res.took = 0
	}
	if err := e.into(t.Context(), second, ".", all); err != nil {
		t.Fatal(err)
	}
	again, err := second.write(dir)
	if err != nil || again != path {
		t.Fatalf("written to %s, %v, in the place of %s", again, err, path)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Campaign of 2026-11-26, size long", "-seed 99 -again 2026-11-26-long.tsv", "Of 4 steps 4 passed, 0 failed, 0 were skipped.", "took 1h2m0s",
		"| fine | 1, 2 | passed | 1h0m0s | images=15 bad=0 seed=7,8 |\n| fails | 1, 2 | passed |", "| skips | 1, 2 | passed, in part SKIPPED |", "- skips: TestA: only root can mount\n",
		"| run again | fails, late, with "} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(string(page), "Failed") || strings.Contains(string(page), "interrupted") || !second.summary(new(bytes.Buffer)) {
		t.Errorf("what failed then counts still:\n%s", page)
	}
	if e, err = readEarlier(table); err != nil {
		t.Fatal(err)
	}
	if _, err := e.steps(all); err == nil {
		t.Error("nothing is left, and there is no error")
	}
	e.again = []string{"gone"}
	if _, err := e.steps(all); err == nil {
		t.Error("a step that is no more is passed over")
	}
	if _, err := campaign(t.Context(), &options{size: "long", again: table, only: "fails"}); err == nil || !strings.Contains(err.Error(), "-only") {
		t.Errorf("with -only: %v", err)
	}
	for name, text := range map[string]string{"other": "a\tb\n", "empty": "kind\tname\tpromises\tresult\tseconds\tcounts\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".tsv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".md"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readEarlier(filepath.Join(dir, name+".tsv")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
