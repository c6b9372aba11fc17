package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/critical"
)

// calc has a mutant of each kind.
const calc = `package calc

import (
	"errors"
	"time"
)

const most = 10

var errTooMuch = errors.New("too much")

type size uint8

// Grade is less from 3 on, and an error over most.
func Grade(n int, strict bool) (size, error) {
	if n > most || strict && n == most {
		return 0, errTooMuch
	}
	total := 0
	for i := range n {
		if i == 1 {
			continue
		}
		total += 2 * i
	}
	return size(total), nil
}

func Wait(d time.Duration) (time.Duration, bool) {
	var name string
	switch {
	case d < 5*time.Second:
		name = "short"
	default:
		name = "long"
	}
	return d - time.Second, name == "short"
}

// Nobody is reached by no test.
func Nobody(n int) bool { return n != 3 }

// Same cannot be told from its mutant.
func Same(n int) int {
	if n > 0 {
		return n
	}
	return -n
}
`

const calcTest = `package calc

import (
	"os"
	"testing"
	"time"
)

func TestGrade(t *testing.T) {
	want := []size{0, 0, 0, 4, 10, 18, 28, 40, 54, 70, 88}
	for n, w := range want {
		if got, err := Grade(n, false); got != w || err != nil {
			t.Errorf("%d: %d, %v", n, got, err)
		}
		if _, err := Grade(n, true); (err != nil) != (n == most) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := Grade(11, false); err == nil {
		t.Error("11")
	}
	if _, err := Grade(11, true); err == nil {
		t.Error("11")
	}
}

func TestWait(t *testing.T) {
	for d, short := range map[time.Duration]bool{0: true, 5*time.Second - 1: true, 5 * time.Second: false, 5*time.Second + 1: false} {
		if got, is := Wait(d); got != d-time.Second || is != short {
			t.Errorf("%v: %v, %v", d, got, is)
		}
	}
}

func TestSame(t *testing.T) {
	for _, n := range []int{-3, 0, 3} {
		if got := Same(n); got < 0 || got != n && got != -n {
			t.Errorf("%d: %d", n, got)
		}
	}
}

// TestFails fails always, as one that counts allocations may.
func TestFails(t *testing.T) {
	if os.Getenv("LATCHBOLT_MUTANT_REACH") != "" {
		t.Error("reached")
	}
}
`

// TestMutantsAreNoticed mutates a small module.
func TestMutantsAreNoticed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module " + critical.Module + "\n\ngo 1.26\n", "calc.go": calc, "calc_test.go": calcTest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOWORK", "off")
	var out strings.Builder
	o := &options{files: []string{"calc.go"}, list: true, out: &out, workers: 2, atLeast: 100}
	if err := mutate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		got = append(got, f[2]+" "+f[3])
	}
	want := []string{
		"Grade force: n > most => false",
		"Grade boundary: n > most => n >= most",
		"Grade constant: most => most+1",
		"Grade force: strict && n == most => false",
		"Grade force: strict => true",
		"Grade force: n == most => true",
		"Grade constant: most => most+1 #2",
		"Grade return: errTooMuch => nil",
		"Grade constant: 0 => 0+1",
		"Grade negate: i == 1 => !(i == 1)",
		"Grade constant: 1 => 1+1",
		"Grade drop: continue => ",
		"Grade drop: total += 2 * i => ",
		"Grade arithmetic: 2 * i => 2 / i",
		"Grade constant: 2 => 2+1",
		"Grade return: size(total) => zero",
		`Grade return: nil => errors.New("mutant")`,
		"Wait negate: d < 5*time.Second => !(d < 5*time.Second)",
		"Wait boundary: d < 5*time.Second => d <= 5*time.Second",
		"Wait constant: 5*time.Second => 5*time.Second+1",
		`Wait drop: name = "short" => `,
		`Wait constant: "short" => "short" + "?"`,
		`Wait drop: name = "long" => `,
		`Wait constant: "long" => "long" + "?"`,
		"Wait return: d - time.Second => zero",
		"Wait arithmetic: d - time.Second => d + time.Second",
		"Wait constant: time.Second => time.Second+1",
		`Wait negate: name == "short" => !(name == "short")`,
		`Wait constant: "short" => "short" + "?" #2`,
		"Nobody negate: n != 3 => !(n != 3)",
		"Nobody constant: 3 => 3+1",
		"Same negate: n > 0 => !(n > 0)",
		"Same boundary: n > 0 => n >= 0",
		"Same constant: 0 => 0+1",
		"Same return: n => zero",
		"Same return: -n => zero",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		for _, k := range append(slices.Clone(got), want...) {
			if a, b := slices.Contains(got, k), slices.Contains(want, k); a != b {
				t.Errorf("%s: there is such a mutant: %v, want %v", k, a, b)
			}
		}
	}

	survivors := []string{
		`Wait constant: "long" => "long" + "?"`, `Wait drop: name = "long" => `, // equivalent: nobody asks
		"Nobody constant: 3 => 3+1", "Nobody negate: n != 3 => !(n != 3)",
		"Same boundary: n > 0 => n >= 0",
		"Same constant: 0 => 0+1",
	}
	o.list = false
	o.equivalent = "# a remark\n\ncalc.go\tSame\tboundary: n > 0 => n >= 0\t0 is -0\n"
	out.Reset()
	if err := mutate(t.Context(), o); err == nil || !strings.Contains(err.Error(), "are noticed; want 100") {
		t.Errorf("mutants survive: got %v", err)
	}
	report := out.String()
	for _, k := range want {
		name, kind, _ := strings.Cut(k, " ")
		shown := strings.Contains(report, "\n  calc.go | "+name+" | "+kind+"\n")
		if equivalent := k == "Same boundary: n > 0 => n >= 0"; shown != slices.Contains(survivors, k) && !equivalent {
			t.Errorf("%s: shown as not noticed: %v", k, shown)
		}
	}
	if !strings.Contains(report, "- `calc.go | Same | boundary: n > 0 => n >= 0`: 0 is -0") {
		t.Error("the equivalent mutant is not shown")
	}
	if t.Failed() {
		t.Log(report)
	}

	o.equivalent = "calc.go\tSame\tboundary: n >= 0 => n > 0\tthere was one once\n"
	if err := mutate(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no mutant is like this any more") {
		t.Errorf("an entry that names nothing: got %v", err)
	}
}

// TestEquivalentMutantsAreThere: each entry of equivalent.tsv names a mutant of today's source.
func TestEquivalentMutantsAreThere(t *testing.T) {
	root, err := critical.Root()
	if err != nil {
		t.Fatal(err)
	}
	l, err := load(root, critical.Files)
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.all(&options{files: critical.Files})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3000 {
		t.Errorf("there are only %d mutants", len(all))
	}
	if _, err := equivalents(equivalentTSV, all, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
}

// A sample is the same for the same seed and another for another one, and what is taken hardly changes when something is added.
func TestSample(t *testing.T) {
	f := &file{rel: "a.go"}
	var all []*mutant
	for i := range 200 {
		all = append(all, &mutant{id: i, file: f, function: "F", now: strings.Repeat("x", i)})
	}
	one, two := sample(all, 20, "1"), sample(all, 20, "2")
	if len(one) != 20 || !slices.Equal(one, sample(all, 20, "1")) || slices.Equal(one, two) {
		t.Error("samples do not depend on the seed alone")
	}
	if len(sample(all, 0, "1")) != 200 || len(sample(all, 500, "1")) != 200 {
		t.Error("not all are taken")
	}
	more := sample(append(slices.Clone(all), &mutant{id: 200, file: f, function: "G"}), 20, "1")
	kept := 0
	for _, m := range one {
		if slices.Contains(more, m) {
			kept++
		}
	}
	if kept < 19 {
		t.Errorf("%d of 20 are kept", kept)
	}
}
