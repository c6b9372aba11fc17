package htpasswd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/interop"
)

// FuzzRead: any input ends in entries or in a LineError, however the bytes arrive. An entry has its name and password from its line, each
// name counts once, and no hash is kept that is not that of the line.
func FuzzRead(f *testing.F) {
	real, err := os.ReadFile("testdata/real.htpasswd")
	if err != nil || len(real) == 0 {
		f.Fatal("no seeds: ", err)
	}
	f.Add(real, true)
	for line := range bytes.Lines(real) {
		f.Add(line, false)
	}
	f.Add([]byte("\f"), false)
	f.Add([]byte("\xef\xbb\xbf# x\r\n\r\n a:{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI=:x\na:*\nb:\nc:{x\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, plain bool) {
		opts := &ImportOptions{Plain: plain, MaxLine: 2000}
		entries, err := read(context.Background(), bytes.NewReader(text), opts)
		again, err2 := read(context.Background(), oneByte{bytes.NewReader(text)}, opts)
		if !reflect.DeepEqual(entries, again) || !reflect.DeepEqual(err, err2) {
			t.Fatalf("byte by byte: %v and %v, not %v and %v", again, err2, entries, err)
		}
		var line *interop.LineError
		if err != nil && (!errors.As(err, &line) || line.Line < 1 || line.Msg == "" || strings.ContainsAny(err.Error(), "\n\x00") || !utf8.ValidString(err.Error())) {
			t.Fatalf("unsuitable error %#v", err)
		}
		lines := strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
		seen := make(map[string]bool)
		for _, e := range entries {
			of := lines[e.line-1]
			if e.name == "" || strings.Contains(e.name, ":") || !strings.HasPrefix(strings.TrimLeft(of, " \t\v\f\r"), e.name+":") {
				t.Fatalf("the name %q is not that of line %q", e.name, of)
			}
			if seen[e.name] != (e.skip == reasonTwice) {
				t.Fatalf("%q: seen %v, but %q", e.name, seen[e.name], e.skip)
			}
			seen[e.name] = true
			if h := e.hash.Reveal(); h != "" && (e.plain || !strings.Contains(of, ":"+h)) || e.plain && (!plain || !strings.Contains(of, ":"+e.pw)) {
				t.Fatalf("%q has not the password of line %q", e.name, of)
			}
			if e.skip != "" && e.skip != reasonTwice && (e.hash.Reveal() != "" || e.plain) {
				t.Fatalf("%q is left out and has a password", e.name)
			}
		}
	})
}

type oneByte struct{ in io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.in.Read(b[:min(1, len(b))]) }

// TestBlankLines: a line of any white space that Apache skips is no entry, wherever it stands.
func TestBlankLines(t *testing.T) {
	for _, blank := range []string{"", " ", "\t", "\f", "\v", "\r", "\f\v \t", "\f\r"} {
		for _, text := range []string{blank, blank + "\n", "a:*\n" + blank, blank + "\na:*", "a:*\n" + blank + "\n"} {
			entries, err := read(context.Background(), strings.NewReader(text), &ImportOptions{})
			if want := strings.Count(text, "a:"); err != nil || len(entries) != want {
				t.Errorf("%q: %d entries, %v, want %d", text, len(entries), err, want)
			}
		}
	}
}
