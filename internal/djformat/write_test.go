package djformat_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

func TestAnEmptyDump(t *testing.T) {
	got := writeDump(t, nil)
	if string(got) != "[\n]\n" {
		t.Errorf("got %q", got)
	}
	if records := readDump(t, got, djformat.Limits{}); len(records) != 0 {
		t.Errorf("read %v", records)
	}
}

func TestStringsAreEscapedAsPythonDoes(t *testing.T) {
	name := "\x00\x01\b\t\n\f\r\x1f \"\\/<>&\x7fé\u2028🔑"
	out := writeDump(t, []djformat.Record{&djformat.Group{ID: 1, Name: name}})
	want := "\"name\": \"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f \\\"\\\\/<>&\x7fé\u2028🔑\",\n"
	if !bytes.Contains(out, []byte(want)) {
		t.Errorf("got %s, want %s", out, want)
	}
	if got := readDump(t, out, djformat.Limits{})[0].(*djformat.Group).Name; got != name {
		t.Errorf("read %q", got)
	}
}

func TestWriterRefusesWhatDjangoCannotTake(t *testing.T) {
	now := djformat.Time{Time: time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)}
	for _, test := range []struct {
		why    string
		record djformat.Record
		field  string
	}{
		{"a long user name", &djformat.User{Username: strings.Repeat("é", 151)}, "username"},
		{"a long hash", &djformat.User{Password: strings.Repeat("x", 129)}, "password"},
		{"a name that is not UTF-8", &djformat.Group{Name: "a\xff"}, "name"},
		{"a negative primary key", &djformat.Group{ID: -1}, "pk"},
		{"a reference to a negative primary key", &djformat.User{Groups: []djformat.GroupRef{{ID: -1}}}, "groups"},
		{"a reference to nothing", &djformat.User{Permissions: []djformat.PermissionRef{{Codename: "c", Model: "m"}}}, "user_permissions"},
		{"a permission without content type", &djformat.Permission{ID: 1, Name: "n", Codename: "c"}, "content_type"},
		{"a time after 9999", &djformat.User{DateJoined: djformat.Time{Time: now.AddDate(8000, 0, 0)}}, "date_joined"},
		{"a session without key", &djformat.Session{Data: "d", ExpireDate: now}, "pk"},
		{"a session with a long key", &djformat.Session{Key: strings.Repeat("k", 41), ExpireDate: now}, "pk"},
	} {
		var out bytes.Buffer
		w := djformat.NewWriter(&out)
		err := w.Write(test.record)
		if err == nil || !strings.Contains(err.Error(), "field "+test.field+":") {
			t.Errorf("%s: %v", test.why, err)
		}
		if err := w.WriteGroup(&djformat.Group{ID: 2, Name: "good"}); err != nil {
			t.Errorf("%s: the next record: %v", test.why, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", test.why, err)
		}
		if records := readDump(t, out.Bytes(), djformat.Limits{}); len(records) != 1 {
			t.Errorf("%s: %d records were written", test.why, len(records))
		}
	}
}

type fullDisk struct{ err error }

func (w fullDisk) Write([]byte) (int, error) { return 0, w.err }

func TestWriterReportsAFullDisk(t *testing.T) {
	full := errors.New("no space left")
	w := djformat.NewWriter(fullDisk{full})
	var err error
	for range 1000 {
		if err = w.WriteGroup(&djformat.Group{ID: 1, Name: "g"}); err != nil {
			break
		}
	}
	if !errors.Is(err, full) {
		t.Errorf("writing: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("closing: %v", err)
	}
	if w.WriteGroup(&djformat.Group{}) == nil || w.Close() == nil {
		t.Error("a closed Writer went on")
	}
}
