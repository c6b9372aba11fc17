package ndjson

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// FuzzParse: any input ends in records or in a LineError, however the bytes arrive. A line that is accepted is one JSON object, and
// encoding/json finds the same values in it.
func FuzzParse(f *testing.F) {
	seeds, err := os.ReadFile("testdata/seeds.ndjson")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds: ", err)
	}
	f.Add(seeds)
	for line := range bytes.Lines(seeds) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		recs, err := parseAll(t, bytes.NewReader(text))
		again, err2 := parseAll(t, oneByte{bytes.NewReader(text)})
		if !reflect.DeepEqual(recs, again) || !reflect.DeepEqual(err, err2) {
			t.Fatalf("byte by byte: %v and %v, not %v and %v", again, err2, recs, err)
		}
		lines := strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
		for _, r := range recs {
			compare(t, r, lines[r.line-1])
		}
	})
}

type oneByte struct{ in io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.in.Read(b[:min(1, len(b))]) }

func parseAll(t *testing.T, in io.Reader) (recs []*record, err error) {
	lines := intake.NewLines(context.Background(), in, 4096)
	for {
		line, err := lines.Next()
		var rec *record
		if err == nil {
			rec, err = parse(line, lines.Line(), len(recs)%2 == 0)
		}
		if err == io.EOF {
			return recs, nil
		} else if err != nil {
			var e *interop.LineError
			if !errors.As(err, &e) || e.Line != lines.Line() || e.Msg == "" || strings.ContainsAny(err.Error(), "\n\x00") || !utf8.ValidString(err.Error()) {
				t.Fatalf("unsuitable error %#v", err)
			}
			return recs, err
		}
		if !mayHavePassword(line) && rec.seen&fieldPassword != 0 {
			t.Fatalf("a plain password is overlooked in %q", line)
		}
		recs = append(recs, rec)
	}
}

// compare holds a record against what encoding/json finds. It knows nothing of members that occur twice: those are refused.
func compare(t *testing.T, r *record, line string) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("%q is accepted, encoding/json says: %v", line, err)
	}
	text := func(name string) (s string) {
		if m, ok := members[name]; ok {
			if err := json.Unmarshal(m, &s); err != nil {
				t.Fatalf("%q: %s: %v", line, name, err)
			}
		}
		return s
	}
	var in []string
	if m, ok := members["groups"]; ok {
		if err := json.Unmarshal(m, &in); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	var id uint64
	if m, ok := members["id"]; ok {
		if err := json.Unmarshal(m, &id); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	type values struct {
		ID                                                                              uint64
		Username, Email, First, Last, Name, App, Model, Codename, Password, Hash, Group string
		Inactive, Staff                                                                 bool
	}
	got := values{r.id, r.user.Username, r.user.Email, r.user.FirstName, r.user.LastName, r.name, r.perm.App, r.perm.Model, r.perm.Codename,
		r.plain, r.hash.Reveal(), strings.Join(r.in, ","), r.user.Inactive, r.user.Staff}
	want := values{id, text("username"), text("email"), text("first_name"), text("last_name"), text("name"), text("app"), text("model"), text("codename"),
		text("password"), text("password_hash"), strings.Join(in, ","), string(members["is_active"]) == "false", string(members["is_staff"]) == "true"}
	if got != want {
		t.Fatalf("%q: got %+v, encoding/json %+v", line, got, want)
	}
}
