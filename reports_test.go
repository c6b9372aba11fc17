package latchbolt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A reportStep is a row of a report of the campaign.
type reportStep struct{ name, promises, result, seconds, counts string }

// readReport reads a table that internal/campaign wrote.
func readReport(t *testing.T, path string) (run map[string]string, steps []reportStep) {
	t.Helper()
	run = make(map[string]string)
	for i, line := range strings.Split(strings.TrimSuffix(readFile(t, path), "\n"), "\n") {
		f := strings.Split(line, "\t")
		switch {
		case len(f) != 6:
			t.Fatalf("%s:%d: %d columns, want 6", path, i+1, len(f))
		case i == 0:
			if line != "kind\tname\tpromises\tresult\tseconds\tcounts" {
				t.Fatalf("%s begins with %q", path, line)
			}
		case f[0] == "run":
			run[f[1]] = f[3]
		case f[0] == "step":
			steps = append(steps, reportStep{f[1], f[2], f[3], f[4], f[5]})
		default:
			t.Errorf("%s:%d: a row of kind %q", path, i+1, f[0])
		}
	}
	return run, steps
}

// newestReports returns the newest report of each size, the long one first. A small one counts only where there is no other.
func newestReports(t *testing.T) (paths []string) {
	t.Helper()
	for _, size := range []string{"long", "ci", "small"} {
		if size == "small" && len(paths) > 0 {
			break
		}
		all, err := filepath.Glob("docs/reports/*-" + size + ".tsv")
		must(t, "globbing", err)
		if len(all) > 0 {
			paths = append(paths, filepath.ToSlash(slices.Max(all))) // their names begin with the day
		}
	}
	if len(paths) == 0 {
		t.Fatal("there is no report: run go run ./internal/campaign")
	}
	return paths
}

// TestReports writes the counts of the newest reports into docs/SECURITY.md, or compares what is there, and makes sure that each promise
// has a step that counted something, and that no step failed.
func TestReports(t *testing.T) {
	var b strings.Builder
	promised := make(map[string]bool)
	seen := make(map[string]bool)
	for _, path := range newestReports(t) {
		run, steps := readReport(t, path)
		page := strings.TrimSuffix(strings.TrimPrefix(path, "docs/"), ".tsv") + ".md"
		if _, err := os.Stat("docs/" + page); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"commit", "seed", "Go", "bbolt", "kernel", "file system", "began"} {
			if run[key] == "" {
				t.Errorf("%s does not say %s", path, key)
			}
		}
		fmt.Fprintf(&b, "[%s of %.10s](%s): commit %s, seed %s, %s, bbolt %s, %s.\n\n| promises | step | result | counted |\n|---|---|---|---|\n",
			run["size"], run["began"], page, run["commit"], run["seed"], run["Go"], run["bbolt"], run["kernel"])
		fuzzed, targets, unit := int64(0), 0, ""
		for _, s := range steps {
			if strings.HasPrefix(s.result, "FAILED") {
				t.Errorf("%s: %s failed: a report with a failure is not for the documents", path, s.name)
			}
			if strings.HasPrefix(s.name, "fuzz-") {
				var n int64
				if unit, n = "execs", 0; strings.HasPrefix(s.counts, "inputs=") {
					unit = "inputs"
				}
				if _, err := fmt.Sscanf(s.counts, unit+"=%d", &n); err != nil {
					t.Errorf("%s: %s counted %q", path, s.name, s.counts)
				}
				fuzzed, targets = fuzzed+n, targets+1
				continue
			}
			if seen[s.name] {
				continue // the long size of it is above
			}
			seen[s.name] = true
			counted := s.counts
			if counted == "" {
				counted = "tests only"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.promises, s.name, s.result, counted)
			for p := range strings.SplitSeq(s.promises, ", ") {
				promised[p] = promised[p] || strings.HasPrefix(s.result, "passed")
			}
		}
		if targets > 0 {
			fmt.Fprintf(&b, "| 4 | fuzz | passed | targets=%d %s=%d |\n", targets, unit, fuzzed)
		}
		b.WriteString("\n")
	}
	for p := 1; p <= 6; p++ {
		if !promised[fmt.Sprint(p)] {
			t.Errorf("no step of the last reports is about promise %d", p)
		}
	}
	const begin, end = "<!-- counts: made by TestReports of the newest report -->\n", "<!-- end of counts -->"
	head, rest, ok := strings.Cut(readFile(t, "docs/SECURITY.md"), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/SECURITY.md has no place for the counts")
	}
	writeDoc(t, "docs/SECURITY.md", head+begin+strings.TrimSuffix(b.String(), "\n")+end+tail)
}

// TestPastDefects: each defect in docs/SECURITY.md tells what, which promise, since when, found by what, and names a test that
// exists and would find it again.
func TestPastDefects(t *testing.T) {
	_, table, ok := strings.Cut(readFile(t, "docs/SECURITY.md"), "## Past defects")
	if !ok {
		t.Fatal("docs/SECURITY.md has no list of past defects")
	}
	tests := make(map[string]bool)
	for _, of := range testsOfAll(t) {
		for name := range of {
			tests[name] = true
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%d columns, want 5: %.60s", len(cells), line)
			continue
		}
		for i, c := range cells {
			if cells[i] = strings.TrimSpace(c); cells[i] == "" {
				t.Errorf("column %d is empty: %.60s", i+1, line)
			}
		}
		if !regexp.MustCompile(`^(–|[1-6](, [1-6])*)$`).MatchString(cells[1]) {
			t.Errorf("promise %q: %.60s", cells[1], line)
		}
		found := named.FindAllStringSubmatch(cells[4], -1)
		for _, m := range found {
			if !tests[m[1]] {
				t.Errorf("there is no test %s: %.60s", m[1], line)
			}
		}
		if len(found) == 0 {
			t.Errorf("no reproduction: %.60s", line)
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows", rows)
	}
}
