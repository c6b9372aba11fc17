package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// helperName is the file that each package with mutants gets.
const helperName = "zz_mutate_generated.go"

// envMutant is the number of the mutant that is on. envReach is a file, to which the numbers of the mutants that are
// reached are written.
const (
	envMutant = "LATCHBOLT_MUTANT"
	envReach  = "LATCHBOLT_MUTANT_REACH"
)

// helper is what mutants call. Everything is evaluated once and in the order in which it was.
const helper = `package %s

import (
	mutcmp "cmp"
	muterrors "errors"
	mutos "os"
	mutstrconv "strconv"
	mutatomic "sync/atomic"
)

var mutOnly, mutReach = func() (int, *mutos.File) {
	n, _ := mutstrconv.Atoi(mutos.Getenv("` + envMutant + `"))
	if path := mutos.Getenv("` + envReach + `"); path != "" {
		f, err := mutos.OpenFile(path, mutos.O_APPEND|mutos.O_CREATE|mutos.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		return n, f
	}
	return n, nil
}()

// mutSeen has room for every mutant, so that asking allocates nothing and tests that count allocations can be used.
var mutSeen [1 << 14]mutatomic.Bool

func mutOn(n int) bool {
	if mutReach != nil {
		mutReached(n)
	}
	return n == mutOnly
}

func mutReached(n int) {
	if !mutSeen[n].Load() && !mutSeen[n].Swap(true) {
		_, _ = mutReach.WriteString(mutstrconv.Itoa(n) + "\n")
	}
}

func mutKeep(n int) bool { return !mutOn(n) }

func mutNot[B ~bool](n int, b B) B { return b != B(mutOn(n)) }

func mutForce[B ~bool](n int, to bool, b B) B {
	if mutOn(n) {
		return B(to)
	}
	return b
}

type mutInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

func mutInt[T mutInteger](n int, v T) T {
	if mutOn(n) {
		return v + 1
	}
	return v
}

func mutString[T ~string](n int, v T) T {
	if mutOn(n) {
		return v + "?"
	}
	return v
}

func mutZero[T any](n int, v T) T {
	if mutOn(n) {
		var zero T
		return zero
	}
	return v
}

func mutError(n int, err error) error {
	if mutOn(n) {
		return nil
	}
	return err
}

func mutFail(n int, err error) error {
	if mutOn(n) {
		return muterrors.New("mutant")
	}
	return err
}

func mutLess[T mutcmp.Ordered](n int, a, b T) bool { return a < b || mutOn(n) && a == b }

func mutLessEqual[T mutcmp.Ordered](n int, a, b T) bool { return a < b || a == b && !mutOn(n) }

func mutGreater[T mutcmp.Ordered](n int, a, b T) bool { return a > b || mutOn(n) && a == b }

func mutGreaterEqual[T mutcmp.Ordered](n int, a, b T) bool { return a > b || a == b && !mutOn(n) }

func mutAdd[T mutInteger](n int, a, b T) T {
	if mutOn(n) {
		return a - b
	}
	return a + b
}

func mutSub[T mutInteger](n int, a, b T) T {
	if mutOn(n) {
		return a + b
	}
	return a - b
}

func mutMul[T mutInteger](n int, a, b T) T {
	if mutOn(n) {
		return a / b
	}
	return a * b
}

func mutQuo[T mutInteger](n int, a, b T) T {
	if mutOn(n) {
		return a * b
	}
	return a / b
}
`

// weave writes a file with its mutants. Lines stay where they are.
func weave(f *file, mutants []*mutant) string {
	type edit struct {
		at    int
		order [3]int
		text  string
		skip  int
	}
	var edits []edit
	for i, m := range mutants {
		// Where one ends and another begins, ends come first. Of those that begin together the longest comes first,
		// of those that end together the shortest.
		size := m.end - m.start
		edits = append(edits,
			edit{at: m.start, order: [3]int{1, -size, i}, text: fmt.Sprintf(m.before, m.id)},
			edit{at: m.end, order: [3]int{0, size, -i}, text: m.after})
		if m.op > 0 {
			edits = append(edits, edit{at: m.op, order: [3]int{2}, text: ",", skip: m.opLen})
		}
	}
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(a.at-b.at, slices.Compare(a.order[:], b.order[:]))
	})
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.Write(f.text[at:e.at])
		b.WriteString(e.text)
		at = e.at + e.skip
	}
	b.Write(f.text[at:])
	return b.String()
}

// compilable leaves out the mutants that do not compile: those that begin on a line with an error, until there is none.
func (l *loader) compilable(s *source, mutants []*mutant) (good, bad []*mutant, err error) {
	good = mutants
	for range 20 {
		var files []*ast.File
		lines := make(map[string]bool)
		text := map[string]string{filepath.Join(s.dir, helperName): fmt.Sprintf(helper, s.name)}
		for _, f := range s.files {
			text[f.abs] = weave(f, slices.DeleteFunc(slices.Clone(good), func(m *mutant) bool { return m.file != f }))
		}
		for _, name := range sortedKeys(text) {
			p, err := parser.ParseFile(l.fset, name, text[name], parser.SkipObjectResolution)
			if err != nil {
				return nil, nil, err
			}
			files = append(files, p)
		}
		l.check(s.path, files, func(err error) {
			if e, ok := err.(types.Error); ok && !e.Soft {
				p := e.Fset.Position(e.Pos)
				lines[fmt.Sprint(p.Filename, ":", p.Line)] = true
			} else if ok {
				p := e.Fset.Position(e.Pos)
				lines[fmt.Sprint(p.Filename, ":", p.Line)] = true
			}
		})
		if len(lines) == 0 {
			return good, bad, nil
		}
		var next []*mutant
		for _, m := range good {
			if lines[fmt.Sprint(m.file.abs, ":", m.line)] {
				bad = append(bad, m)
				continue
			}
			next = append(next, m)
		}
		if len(next) == len(good) {
			return nil, nil, fmt.Errorf("package %s does not compile with mutants: %v", s.path, sortedKeys(lines))
		}
		good = next
	}
	return nil, nil, fmt.Errorf("package %s does not compile with mutants", s.path)
}

// overlay writes the files with mutants, and what go test -overlay needs, into dir.
func overlay(dir string, pkgs map[string]*source, mutants []*mutant) (string, error) {
	replace := make(map[string]string)
	put := func(of, text string) error {
		path := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		replace[of] = path
		return os.WriteFile(path, []byte(text), 0o600)
	}
	for _, path := range sortedKeys(pkgs) {
		s := pkgs[path]
		for _, f := range s.files {
			own := slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return m.file != f })
			if len(own) == 0 {
				continue
			}
			if err := put(f.abs, weave(f, own)); err != nil {
				return "", err
			}
		}
		if err := put(filepath.Join(s.dir, helperName), fmt.Sprintf(helper, s.name)); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
