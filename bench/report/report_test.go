package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const sample = `cpu: A Processor of 2 Cores
interrupted: in round 3
processors: 2
load: 1.50 0.70 0.10
rounds: 3
pkg: github.com/latchbolt-go/latchbolt
BenchmarkSessionUser
BenchmarkSessionUser/warm/sessions=1000
BenchmarkSessionUser/warm/sessions=1000-2         	     100	         0 ns/op	        70.00 limit-ns/call	        63.00 ns/call	         0.9000 x-limit
BenchmarkSessionUser/warm/sessions=1000-2         	     100	         0 ns/op	        70.00 limit-ns/call	        84.00 ns/call	         1.200 x-limit
BenchmarkSessionUser/warm/sessions=1000-2         	     100	         0 ns/op	        70.00 limit-ns/call	        77.00 ns/call	         1.100 x-limit
pkg: github.com/latchbolt-go/latchbolt/bench
BenchmarkMay/casbin_v3/rules=1100 	     100	        34000 ns/call	        17.00 latchbolt-ns/call	         2000 x-latchbolt
BenchmarkMay/casbin_v3/rules=110000 	     100	        5.2e+06 ns/call	        26.00 latchbolt-ns/call	         200000 x-latchbolt	 31 allocs/call
BenchmarkSession
--- SKIP: BenchmarkSession/django
    django_test.go:31: Django is not installed
PASS
`

func parsed(t *testing.T, text string) *raw {
	t.Helper()
	r, err := parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	r := parsed(t, sample)
	if len(r.order) != 3 || r.facts["cpu"] != "A Processor of 2 Cores" || len(r.failed) != 0 {
		t.Errorf("%d benchmarks, facts %v, failed %v", len(r.order), r.facts, r.failed)
	}
	f, ok := r.figure(key{".", "BenchmarkSessionUser/warm/sessions=1000"}, "x-limit")
	if want := (figure{1.1, 0.9, 1.2, 3}); !ok || f != want {
		t.Errorf("figure = %v, %v; want %v", f, ok, want)
	}
	if f, ok := r.figure(key{"bench", "BenchmarkMay/casbin_v3/rules=110000"}, "ns/call"); !ok || f.median != 5.2e6 {
		t.Errorf("figure = %v, %v", f, ok)
	}
	if got := r.skipReason(key{"bench", "BenchmarkSession/django"}); got != "Django is not installed" {
		t.Errorf("skipped for %q", got)
	}
	if got := r.skipReason(key{"bench", "BenchmarkMay/casbin_v3/rules=1100"}); got != "" {
		t.Errorf("what ran was skipped for %q", got)
	}
	for _, bad := range []string{"BenchmarkX 10 5 ns/op 7", "BenchmarkX 10 five ns/op"} {
		if _, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	for _, failed := range []string{"--- FAIL: BenchmarkX", "FAIL", "panic: no"} {
		if r := parsed(t, failed+"\n"); len(r.failed) != 1 {
			t.Errorf("%q is no failure", failed)
		}
	}
}

func table(fields ...string) string { return targetsHeader + "\n" + strings.Join(fields, "\t") + "\n" }

func TestTargetsThatAreNotWellFormed(t *testing.T) {
	good := []string{"warm", "a sentence", ".", "BenchmarkSessionUser/warm/sessions=1000", "x-limit", "<=", "1.0", "-", "-"}
	ts, err := parseTargets(table(good...))
	if err != nil || len(ts) != 1 || ts[0].bound != 1 || ts[0].env != "" {
		t.Fatalf("%+v, %v", ts, err)
	}
	for field, bad := range map[int]string{0: "Warm One", 1: " spaces ", 2: "root", 3: "TestX", 4: "x limit", 5: "<", 6: "one", 7: "growth please", 8: ""} {
		f := append([]string(nil), good...)
		f[field] = bad
		if _, err := parseTargets(table(f...)); err == nil {
			t.Errorf("field %d may be %q", field, bad)
		}
	}
	for what, text := range map[string]string{
		"two of one id":      table(good...) + strings.Join(good, "\t") + "\n",
		"a field too few":    table(good[:8]...),
		"no header":          strings.Join(good, "\t") + "\n",
		"an empty last line": table(good...) + "\n",
	} {
		if _, err := parseTargets(text); err == nil {
			t.Errorf("%s is let through", what)
		}
	}
}

func TestJudge(t *testing.T) {
	r := parsed(t, sample)
	for _, c := range []struct {
		op, bound string
		want      verdict
	}{{"<=", "1.1", met}, {"<=", "1.0", missed}, {">=", "1.1", met}, {">=", "1.2", missed}, {"=", "1.1", met}, {"=", "1", missed}} {
		ts, err := parseTargets(table("a", "b", ".", "BenchmarkSessionUser/warm/sessions=1000", "x-limit", c.op, c.bound, "-", "-"))
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := ts[0].judge(r); v != c.want {
			t.Errorf("1.1 %s %s: %s, want %s", c.op, c.bound, v, c.want)
		}
	}
}

// TestMissing: a target whose benchmark does not run is an error, unless something known keeps it from running.
func TestMissing(t *testing.T) {
	r := parsed(t, sample)
	for _, c := range []struct {
		module, bench, unit, env string
		growth, want             bool
	}{
		{".", "BenchmarkSessionUser/warm/sessions=1000", "x-limit", "-", false, false},
		{".", "BenchmarkSessionUser/warm/sessions=1001", "x-limit", "-", false, true},
		{".", "BenchmarkSessionUser/warm/sessions=1000", "y-limit", "-", false, true},
		{"bench", "BenchmarkSession/django", "x-latchbolt", "-", false, false},
		{".", "BenchmarkGrowth/x", "ns/call", "LATCHBOLT_GROWTH", false, false},
		{".", "BenchmarkGrowth/x", "ns/call", "LATCHBOLT_GROWTH=1", true, true},
	} {
		ts, err := parseTargets(table("a", "b", c.module, c.bench, c.unit, "<=", "1", c.env, "-"))
		if err != nil {
			t.Fatal(err)
		}
		o := options{growth: c.growth}
		if err := o.missing(r, ts); (err != nil) != c.want {
			t.Errorf("%s %s: %v", c.bench, c.unit, err)
		}
	}
}

// TestTargets holds that the file of targets is well formed and that the benchmarks that it names are there. That the parts after the first
// slash are right shows when they run; see options.missing.
func TestTargets(t *testing.T) {
	ts, err := readTargets("../targets.tsv")
	if err != nil {
		t.Fatal(err)
	}
	if len(ts) == 0 {
		t.Fatal("there are no targets")
	}
	code := map[string]string{".": tests(t, "../.."), "bench": tests(t, "..")}
	for _, target := range ts {
		name, _, _ := strings.Cut(target.key.name, "/")
		if !strings.Contains(code[target.key.module], "\nfunc "+name+"(b *testing.B)") {
			t.Errorf("targets.tsv, line %d: there is no func %s in module %s", target.lineNumber, name, target.key.module)
		}
	}
}

func tests(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	var all strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// TestPlan holds that what the page names is measured by some benchmark.
func TestPlan(t *testing.T) {
	code := tests(t, "..")
	for _, s := range sections {
		for _, r := range s.rows {
			name, _, _ := strings.Cut(r.bench, "/")
			if !strings.Contains(code, "\nfunc "+name+"(b *testing.B)") {
				t.Errorf("%s: there is no %s", r.label, name)
			}
			if _, part, _ := strings.Cut(r.bench, "/"); !strings.Contains(code, `"`+part+`"`) && !strings.Contains(code, `"`+part+`/`) {
				t.Errorf("%s: no test says %q", r.label, part)
			}
		}
	}
	for _, pic := range pictures {
		if pic.belongs != "" && !containsTitle(pic.belongs) {
			t.Errorf("%s belongs to %q, which is no section", pic.file, pic.belongs)
		}
		for _, l := range pic.lines {
			name, _, _ := strings.Cut(strings.TrimPrefix(l.name.String(), "^"), "/")
			if !strings.Contains(code, "\nfunc "+name+"(b *testing.B)") {
				t.Errorf("%s: there is no %s", pic.file, name)
			}
		}
	}
}

func containsTitle(title string) bool {
	for _, s := range sections {
		if s.title == title {
			return true
		}
	}
	return false
}

func TestPageAndCharts(t *testing.T) {
	r := parsed(t, sample)
	ts, err := parseTargets(table("warm", "a warm session", ".", "BenchmarkSessionUser/warm/sessions=1000", "x-limit", "<=", "1.0", "-", "because of the weather"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writePage(r, ts, dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"0 met, 1 not met, 0 not measured", "| a warm session | ≤ 1.00 × | 1.10 × | 0.90 × … 1.20 × | **not met** |", "because of the weather",
		"A Processor of 2 Cores", "**Interrupted in round 3", "**In the minute before the first round the load", "not measured: Django is not installed", "5.20 ms", "200,000 ×", "![One decision",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, m := range regexp.MustCompile(`\]\((img/[^)]+)\)`).FindAllStringSubmatch(string(data), -1) {
		checkPicture(t, filepath.Join(dir, m[1]))
	}
	if _, err := os.Stat(filepath.Join(dir, "img", "bench-open.svg")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a chart of nothing: %v", err)
	}
}

// checkPicture: a chart is well-formed XML that does nothing, with a title, both kinds of colours and every line.
func checkPicture(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.Index(string(data), "%!"); i >= 0 {
		t.Errorf("%s: badly printed: %.60q", path, data[i:])
	}
	for _, want := range []string{">10,000<", ">100,000<", ">10 ns<", ">100 ns<", ">10 ms<", ">latchbolt</text>", ">casbin v3</text>"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	seen := make(map[string]int)
	for d := xml.NewDecoder(strings.NewReader(string(data))); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			seen[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("%s has an attribute %s", path, a.Name.Local)
				}
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s: %s=%q", path, a.Name.Local, a.Value)
				}
			}
		}
	}
	if seen["script"] != 0 || seen["title"] != 1 || seen["desc"] != 1 || seen["path"] != 8 || seen["text"] < 12 || !strings.Contains(style, "prefers-color-scheme:dark") {
		t.Errorf("%s has %v", path, seen)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(63.4), "63.4 ns"}, {duration(1), "1.00 ns"}, {duration(1e4), "10.0 µs"}, {duration(5.23e6), "5.23 ms"}, {duration(2.5e9), "2.50 s"}, {duration(0), "0 ns"},
		{size(300), "300 B"}, {size(3 << 30), "3.00 GiB"}, {thousands(1234567), "1,234,567"}, {thousands(123), "123"}, {value(4000, "x-latchbolt"), "4,000 ×"}, {value(0, "allocs/call"), "0"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestReadme(t *testing.T) {
	var all strings.Builder
	all.WriteString("cpu: A Processor\nprocessors: 2\ngo: go1.26\nrounds: 1\npkg: " + modulePath + "\n")
	for _, row := range readmeRows {
		for i, bench := range row.benches {
			fmt.Fprintf(&all, "%s-2 10 %d ns/call 0.%d x-limit 0 allocs/call\n", bench, 20+i, 5+i)
		}
	}
	path := filepath.Join(t.TempDir(), "README.md")
	text := "before\n" + readmeBegin + "what was there\n" + readmeEnd + "after\n"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second time, over what it wrote itself
		if len(text) > 0 {
			write(text)
			text = ""
		}
		if err := writeReadme(parsed(t, all.String()), path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "after\n", "2 processors, A Processor, go1.26; rounds: 1.",
		"| `Login`, alone | 20.0 ns | one bbolt `Update` of the same puts | 0.50 |",
		"| `HasPerm`, warm, 10 … 100,000 permissions | 20.0 ns … 22.0 ns, 0 allocations | lookup in a Go map | 0.50 … 0.70 |"} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "what was there") {
		t.Error("the old table is still there")
	}
	write("before\n" + readmeBegin + "old\n")
	if err := writeReadme(parsed(t, all.String()), path); err == nil {
		t.Error("a README without an end of the table was written")
	}
	write("before\n" + readmeBegin + readmeEnd)
	if err := writeReadme(parsed(t, sample), path); err == nil {
		t.Error("a table was made of what was not measured")
	}
}
