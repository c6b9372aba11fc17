package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPictures: the pictures in docs are what the commands show now.
func TestPictures(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the pictures are made on Linux")
	}
	const root = "../.."
	shots, err := drawAll(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(shots) == 0 {
		t.Fatal("no pictures")
	}
	for name, want := range shots {
		got, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/%s is not what the commands show now: go run ./internal/termshot\n%s", name, firstDifference(string(got), want))
		}
	}
	there, err := filepath.Glob(filepath.Join(root, "docs", "term-*.svg"))
	if err != nil || len(there) != len(shots) {
		t.Errorf("%d pictures in docs, %d are made (%v)", len(there), len(shots), err)
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "- " + x[i] + "\n+ " + y[i]
		}
	}
	return "one is longer"
}

func TestScreen(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"lines", "one\r\ntwo", "one\ntwo"},
		{"a bar that goes away", "\rrd 10%\x1b[K\rrd 9%\x1b[K\r\x1b[Kdone", "done"},
		{"overwritten", "abcdef\rxy", "xycdef"},
		{"backspace", "ab\bc", "ac"},
		{"the right margin", "abcdefghij", "abcdefgh\nij"},
		{"colours", "\x1b[31mred\x1b[0m \x1b[1mb\x1b[22m", "red b"},
		{"unknown", "\x1b[5A", `\e[5A`},
	} {
		s := newScreen(8)
		s.write(c.in)
		if got := s.text(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	s := newScreen(20)
	s.write("\x1b[31mno\x1b[0m yes")
	if got := runs(s.rows[0]); len(got) != 2 || got[0].style.colour != "red" || got[1].text != "yes" || got[1].from != 3 {
		t.Errorf("runs: %+v", got)
	}
}

func TestHide(t *testing.T) {
	now := time.Now().UTC()
	in := "at \x1b[31m" + now.Format("2006-01-02 15:04:05Z") + " in 3.21s\x1b[0m, " + now.Format(time.RFC3339Nano) + ", before 2024-02-29 14:59:59Z"
	want := "at \x1b[31m2026-11-27 10:04:05Z in 12ms\x1b[0m, 2026-11-27T10:04:05Z, before 2024-02-29 14:59:59Z"
	if got := hide(in, now); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
