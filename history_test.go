package latchbolt_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A coverRow is a row of testdata/history.tsv or testdata/standards.tsv: what somebody else wrote down, and the tests here that
// answer it. The columns are the number, where it comes from, what it is, the tests ("folder:Test", or "Test" for
// the root; one that was seen to fail on a build broken on purpose ends in "*"), and why there is
// none, or what else there is to say.
type coverRow struct {
	n            int
	source, what string
	tests        []coverTest
	why          string
}

type coverTest struct {
	dir, name string
	seen      bool
}

// readCover reads a table, whose rows are numbered from 1 to n.
func readCover(t *testing.T, file string, n int) (rows []coverRow) {
	t.Helper()
	for line := range strings.Lines(readFile(t, filepath.Join("testdata", file))) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(f) != 5 {
			t.Fatalf("%s: %d columns, want 5: %.60s", file, len(f), line)
		}
		row := coverRow{source: f[1], what: f[2], why: f[4]}
		var err error
		if row.n, err = strconv.Atoi(f[0]); err != nil || row.n != len(rows)+1 {
			t.Errorf("%s: number %q follows %d", file, f[0], len(rows))
		}
		for name := range strings.FieldsSeq(f[3]) {
			test := coverTest{dir: "."}
			name, test.seen = strings.CutSuffix(name, "*")
			if dir, fn, elsewhere := strings.Cut(name, ":"); elsewhere {
				test.dir, test.name = dir, fn
			} else {
				test.name = name
			}
			row.tests = append(row.tests, test)
		}
		if row.what == "" || row.source == "" || len(row.tests) == 0 && row.why == "" {
			t.Errorf("%s: row %d has a column that is empty", file, row.n)
		}
		rows = append(rows, row)
	}
	if len(rows) != n {
		t.Errorf("%s: %d rows, want %d", file, len(rows), n)
	}
	return rows
}

var testDeclaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]*)\(`)

// testsOfAll returns the tests of all packages of the repository, of nested modules too, by folder.
func testsOfAll(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := make(map[string]map[string]bool)
	for _, file := range sources(t, "_test.go") {
		dir := filepath.ToSlash(filepath.Dir(file))
		if all[dir] == nil {
			all[dir] = make(map[string]bool)
		}
		for _, m := range testDeclaration.FindAllStringSubmatch(readFile(t, file), -1) {
			all[dir][m[1]] = true
		}
	}
	return all
}

// checkTests makes sure that each test that a table names exists.
func checkTests(t *testing.T, file string, rows []coverRow) {
	t.Helper()
	all := testsOfAll(t)
	for _, row := range rows {
		for _, test := range row.tests {
			if !all[test.dir][test.name] {
				t.Errorf("%s: row %d: there is no test %s in %s", file, row.n, test.name, test.dir)
			}
		}
	}
}

// writeDoc compares a document with what it should be, or writes it.
func writeDoc(t *testing.T, name, want string) {
	t.Helper()
	if os.Getenv("LATCHBOLT_UPDATE_DOCS") != "" {
		must(t, "writing", os.WriteFile(name, []byte(want), 0o644))
		return
	}
	if got := readFile(t, name); got != want {
		t.Errorf("%s does not say what the table says; write it with LATCHBOLT_UPDATE_DOCS=1", name)
	}
}

// text is the tests of a row as a cell of a document.
func (r *coverRow) text() string {
	var parts []string
	for _, test := range r.tests {
		s := "`" + test.name + "`"
		if test.dir != "." {
			s += " in " + path.Clean(test.dir)
		}
		if test.seen {
			s += " ✓"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func count2(rows []coverRow, match func(*coverRow) bool) (n int) {
	for i := range rows {
		if match(&rows[i]) {
			n++
		}
	}
	return n
}

func (r *coverRow) tested() bool { return len(r.tests) > 0 }

// seenToFail are the different tests of a table that were seen to fail.
func seenToFail(rows []coverRow) (seen, all int) {
	tests := make(map[string]bool)
	for _, row := range rows {
		for _, test := range row.tests {
			name := test.dir + ":" + test.name
			tests[name] = tests[name] || test.seen
		}
	}
	for _, s := range tests {
		if s {
			seen++
		}
	}
	return seen, len(tests)
}

var (
	advisory  = regexp.MustCompile(`^(CVE|GHSA|GO)-`)
	namedTest = regexp.MustCompile(`^Test(CVE|GHSA|GO)_`)
)

// TestHistory holds the table of published flaws, the tests and docs/HISTORY.md together.
func TestHistory(t *testing.T) {
	rows := readCover(t, "history.tsv", 116)
	checkTests(t, "history.tsv", rows)
	seenFail, tests := seenToFail(rows)
	tally.Log(t, "rows", len(rows), "tested", count2(rows, (*coverRow).tested), "tests", tests, "seen-to-fail", seenFail)
	listed := make(map[coverTest]bool)
	for _, row := range rows {
		named := false
		for _, test := range row.tests {
			listed[coverTest{dir: test.dir, name: test.name}] = true
			named = named || namedTest.MatchString(test.name)
		}
		if row.tested() && advisory.MatchString(row.source) && !named {
			t.Errorf("row %d has no test that is named after a flaw", row.n)
		}
	}
	for dir, tests := range testsOfAll(t) {
		for name := range tests {
			if namedTest.MatchString(name) && !listed[coverTest{dir: dir, name: name}] {
				t.Errorf("%s in %s stands in no row of testdata/history.tsv", name, dir)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# What went wrong elsewhere

Flaws that other systems of this kind had, and the tests that try the same here. This page is made from `+"`testdata/history.tsv`"+` by `+"`TestHistory`"+`, which also makes
sure that each test exists, and that none that is named after a flaw is missing here.

Of %d rows %d have a test; %d do not apply. Of the %d tests, %d (✓) were seen to fail on a build that was broken on purpose
in the way in question; of the others that is not claimed. See [SECURITY.md](SECURITY.md) for what is promised.

| | flaw | what it was | tests, or why there is none |
|---|---|---|---|
`, len(rows), count2(rows, (*coverRow).tested), count2(rows, func(r *coverRow) bool { return !r.tested() }), tests, seenFail)
	for _, row := range rows {
		ids := row.source
		if advisory.MatchString(ids) {
			ids = strings.Join(strings.Fields(ids), ", ")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", row.n, ids, row.what, strings.Join(slices.DeleteFunc([]string{row.text(), row.why}, func(s string) bool { return s == "" }), ". "))
	}
	writeDoc(t, "docs/HISTORY.md", b.String())
}

// TestStandards holds the table of what standards ask for, the tests and docs/STANDARDS.md together.
func TestStandards(t *testing.T) {
	rows := readCover(t, "standards.tsv", 71)
	checkTests(t, "standards.tsv", rows)
	const deviation, other = "Deviation: ", "Not applicable: "
	deviates := func(r *coverRow) bool { return strings.HasPrefix(r.why, deviation) }
	var b strings.Builder
	for _, row := range rows {
		if !row.tested() && !deviates(&row) && !strings.HasPrefix(row.why, other) && !strings.HasPrefix(row.why, "By review: ") {
			t.Errorf("row %d has neither a test nor a reason", row.n)
		}
	}
	fmt.Fprintf(&b, `# What standards ask for

OWASP ASVS 5.0 (numbers, with the level), NIST SP 800-63B-4 and the OWASP cheat sheets (CS), as far as they concern an engine like this one, and the
tests that hold it to them. This page is made from `+"`testdata/standards.tsv`"+` by `+"`TestStandards`"+`, which also makes sure that each test exists.

Of %d lines %d have tests, %d of them with a deviation; of those without tests %d deviate, and %d do not apply or can only be reviewed. [SECURITY.md](SECURITY.md) has the deviations
with what to do about them.

Left out, because nothing here is of their kind: telephone and push messages (ASVS 6.6), identity providers (6.8, 7.6.1), encryption of memory (11.7.1).

| | source | asked for | tests, deviation or reason |
|---|---|---|---|
`, len(rows), count2(rows, (*coverRow).tested), count2(rows, func(r *coverRow) bool { return r.tested() && deviates(r) }),
		count2(rows, func(r *coverRow) bool { return !r.tested() && deviates(r) }), count2(rows, func(r *coverRow) bool { return !r.tested() && !deviates(r) }))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", row.n, row.source, row.what, strings.Join(slices.DeleteFunc([]string{row.text(), row.why}, func(s string) bool { return s == "" }), ". "))
	}
	writeDoc(t, "docs/STANDARDS.md", b.String())
}
