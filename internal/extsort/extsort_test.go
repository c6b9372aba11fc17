package extsort_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/extsort"
)

// A pair is an entry of a class.
type pair struct {
	class      byte
	key, value string
}

func TestSorter(t *testing.T) {
	for name, c := range map[string]struct{ n, limit int }{
		"nothing":                   {0, 1000},
		"in memory":                 {1000, 1 << 20},
		"in a few runs":             {20_000, 200_000},
		"in more runs than allowed": {30_000, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := extsort.New(dir, c.limit)
			defer s.Close()
			rng := rand.New(rand.NewPCG(1, uint64(c.n)))
			var all []pair
			for range c.n {
				p := pair{byte(rng.IntN(3) * 100), "", fmt.Sprint(rng.IntN(3))}
				switch p.class {
				case 0:
					p.key = fmt.Sprintf("common-beginning-%d", rng.IntN(c.n))
				case 100:
					p.key = string([]byte{byte(rng.IntN(3)), byte(rng.IntN(256)), byte(rng.IntN(256))}[:1+rng.IntN(3)])
				default:
					p.value = string(bytes.Repeat([]byte("v"), rng.IntN(300)))
					p.key = string(bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(20)))
				}
				all = append(all, p)
				if err := s.Add(p.class, []byte(p.key), []byte(p.value)); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortFunc(all, func(a, b pair) int {
				return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value))
			})
			for range 2 { // it may be asked again
				var got []pair
				for _, class := range []byte{0, 7, 100, 200} {
					for e, err := range s.Sorted(class) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, pair{class, string(e.Key), string(e.Value)})
					}
				}
				if !slices.Equal(got, all) {
					t.Fatalf("%d entries come out of %d, or in another order", len(got), len(all))
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files that can be seen: %v, %v", left, err)
			}
		})
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	l := extsort.NewList(dir)
	defer l.Close()
	var want bytes.Buffer
	for round := range 3 {
		for i := range 5000 {
			k, v := fmt.Sprint(round, i), string(bytes.Repeat([]byte("x"), i%200))
			want.WriteString(k + v + ";")
			if err := l.Add([]byte(k), []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
		got := bytes.Buffer{}
		for e, err := range l.All() {
			if err != nil {
				t.Fatal(err)
			}
			got.Write(append(append(append([]byte{}, e.Key...), e.Value...), ';'))
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("round %d: %d bytes, want %d", round, got.Len(), want.Len())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files that can be seen: %v, %v", left, err)
	}
}

func TestNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s := extsort.New(dir, 100)
	defer s.Close()
	var err error
	for range 1000 {
		if err = s.Add(1, []byte("key"), []byte("value")); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("a sorter with nowhere to write to reports nothing")
	}
	if err := s.Add(1, nil, nil); err == nil {
		t.Error("the error does not stay")
	}
	for _, err := range s.Sorted(1) {
		if err == nil {
			t.Error("entries come out")
		}
	}
	if err := extsort.NewList(dir).Add(nil, nil); err == nil {
		t.Error("a list with nowhere to write to reports nothing")
	}
}

// TestSweep tests that what a killed process left is removed, and nothing else, and that files in use work on.
func TestSweep(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is removed on Windows")
	}
	dir := filepath.Join(t.TempDir(), "a [folder]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := extsort.New(dir, 1000)
	defer s.Close()
	for n := range 1000 {
		if err := s.Add(0, fmt.Appendf(nil, "%04d", 999-n), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".latchbolt-sort-123", "app.db", "latchbolt-sort-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := extsort.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "app.db" || entries[1].Name() != "latchbolt-sort-1" {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
	n := 0
	for e, err := range s.Sorted(0) {
		if err != nil || string(e.Key) != fmt.Sprintf("%04d", n) {
			t.Fatalf("entry %d is %q, %v", n, e.Key, err)
		}
		n++
	}
	if n != 1000 {
		t.Errorf("%d entries", n)
	}
}
