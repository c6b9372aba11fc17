package djformat_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

func TestDumpsAreWrittenAsDjangoWroteThem(t *testing.T) {
	for _, test := range []struct {
		name    string
		natural bool
	}{
		{"auth.json", false},
		{"auth_natural.json", true},
		{"sessions_dump.json", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := readFile(t, test.name)
			records := readDump(t, want, djformat.Limits{})
			if got := bytes.Count(want, []byte("\n \"model\": ")); got != len(records) {
				t.Fatalf("read %d records of %d", len(records), got)
			}
			if got := writeDump(t, records); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes instead of %d; %s", len(got), len(want), firstDifference(got, want))
			}
			for _, rec := range records {
				if u, ok := rec.(*djformat.User); ok && (u.ID == 0) != test.natural {
					t.Fatalf("user %s has the primary key %d", u.Username, u.ID)
				}
			}
			counted(t, "records of "+test.name, len(records))
		})
	}
}

// What a dump says about users, groups and permissions must be what Django says
// about its database.
func TestDumpsSayWhatDjangoSays(t *testing.T) {
	var expected struct {
		Users []struct {
			PK                       int64
			Username, Encoded, Email string
			First                    string `json:"first_name"`
			Last                     string `json:"last_name"`
			Active                   bool   `json:"is_active"`
			Staff                    bool   `json:"is_staff"`
			Superuser                bool   `json:"is_superuser"`
			Joined                   string `json:"date_joined"`
			LastLogin                string `json:"last_login"`
			Groups                   []string
		}
	}
	readJSON(t, "expected.json", &expected)
	names := make(map[int64]string)
	var plain, natural []*djformat.User
	for _, rec := range readDump(t, readFile(t, "auth.json"), djformat.Limits{}) {
		switch rec := rec.(type) {
		case *djformat.Group:
			names[rec.ID] = rec.Name
		case *djformat.User:
			plain = append(plain, rec)
		}
	}
	for _, rec := range readDump(t, readFile(t, "auth_natural.json"), djformat.Limits{}) {
		if u, ok := rec.(*djformat.User); ok {
			natural = append(natural, u)
		}
	}
	if len(plain) != len(expected.Users) || len(natural) != len(expected.Users) {
		t.Fatalf("%d and %d users, want %d", len(plain), len(natural), len(expected.Users))
	}
	cut := func(s string) djformat.Time {
		if s == "" {
			return djformat.Time{}
		}
		at := parse(t, s).UTC()
		ms := at.Truncate(time.Millisecond)
		return djformat.Time{Time: ms, CutToZero: !at.Equal(ms) && ms.Nanosecond() == 0}
	}
	for i, want := range expected.Users {
		for _, u := range []*djformat.User{plain[i], natural[i]} {
			var groups []string
			for _, ref := range u.Groups {
				groups = append(groups, cmp.Or(ref.Name, names[ref.ID]))
			}
			slices.Sort(groups)
			slices.Sort(want.Groups)
			got := djformat.User{
				ID: u.ID, Password: want.Encoded, Username: want.Username, Email: want.Email,
				FirstName: want.First, LastName: want.Last, Active: want.Active, Staff: want.Staff, Superuser: want.Superuser,
				DateJoined: cut(want.Joined), LastLogin: cut(want.LastLogin), Groups: u.Groups, Permissions: u.Permissions,
			}
			if !reflect.DeepEqual(*u, got) || !slices.Equal(groups, want.Groups) || u.ID != 0 && u.ID != want.PK {
				t.Errorf("user %d: got %+v in %q, want %+v", want.PK, *u, groups, want)
			}
		}
	}
	counted(t, "users", len(plain)+len(natural))
}

func TestReferencesOfBothForms(t *testing.T) {
	const dump = `[
	 {"model": "auth.permission", "pk": 9, "fields": {"name": "n", "content_type": ["catalog", "book"], "codename": "add_book", "unknown": [{}]}},
	 {"pk": null, "fields": {"permissions": [25, ["add_book", "catalog", "book"]], "name": "Gr\u00fcn \ud83d\udd11"}, "more": 1, "model": "AUTH.Group"},
	 {"model": "catalog.book", "pk": "x", "fields": 7}
	]` + "\n \t"
	r := djformat.NewReader(strings.NewReader(dump), djformat.Limits{})
	records, err := collect(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []djformat.Record{
		&djformat.Permission{ID: 9, Name: "n", Codename: "add_book",
			ContentType: djformat.ContentTypeRef{AppLabel: "catalog", Model: "book"}},
		&djformat.Group{Name: "Grün 🔑", Permissions: []djformat.PermissionRef{
			{ID: 25}, {Codename: "add_book", AppLabel: "catalog", Model: "book"}}},
	}
	if !reflect.DeepEqual(records, want) {
		t.Errorf("got %+v", records)
	}
	if got := r.Skipped(); !maps.Equal(got, map[string]int{"catalog.book": 1}) {
		t.Errorf("skipped %v", got)
	}
	if n, offset := r.Position(); n != 3 || offset != int64(strings.LastIndex(dump, "{")) {
		t.Errorf("last record %d at %d", n, offset)
	}
}

func TestOneObjectALine(t *testing.T) {
	list := readFile(t, "auth_natural.json")
	want := readDump(t, list, djformat.Limits{})
	var lines bytes.Buffer
	for i, part := range strings.Split(strings.Trim(string(list), "[]\n"), "\n},\n") {
		line := strings.ReplaceAll(part, "\n", "")
		if i < len(want)-1 {
			line += "}"
		}
		lines.WriteString(line + "\n")
	}
	got := readDump(t, lines.Bytes(), djformat.Limits{})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d records differ from the %d of the list", len(got), len(want))
	}
	counted(t, "lines", len(got))
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{ // "" for a time that is refused
		"2026-05-04T10:20:30Z":             "2026-05-04T10:20:30Z",
		"2026-05-04T10:20:30.000Z":         "2026-05-04T10:20:30.000Z",
		"2026-05-04T10:20:30.123456Z":      "2026-05-04T10:20:30.123Z",
		"2026-05-04T10:20:30.999999999Z":   "2026-05-04T10:20:30.999Z",
		"2026-05-04T10:20:30,5":            "2026-05-04T10:20:30.500Z",
		"2026-05-04T10:20:30":              "2026-05-04T10:20:30Z",
		"2026-05-04 10:20:30.123":          "2026-05-04T10:20:30.123Z",
		"2026-05-04T10:20:30.123+02:00":    "2026-05-04T08:20:30.123Z",
		"2026-05-04T23:20:30-0330":         "2026-05-05T02:50:30Z",
		"2026-05-04T10:20+05":              "2026-05-04T05:20:00Z",
		"2026-05-04":                       "2026-05-04T00:00:00Z",
		"2024-02-29T00:00:00Z":             "2024-02-29T00:00:00Z",
		"0001-01-01T00:00:00Z":             "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999Z":         "9999-12-31T23:59:59.999Z",
		"2023-02-29T00:00:00Z":             "",
		"2023-13-01T00:00:00Z":             "",
		"2023-00-01T00:00:00Z":             "",
		"2023-01-01T24:00:00Z":             "",
		"2023-01-01T00:60:00Z":             "",
		"2023-01-01T00:00:60Z":             "",
		"2023-01-01T00:00:00+24:00":        "",
		"2023-01-01T00:00:00+00:60":        "",
		"0001-01-01T00:00:00+01:00":        "",
		"9999-12-31T23:59:59-01:00":        "",
		"0000-01-01T00:00:00Z":             "",
		"12026-05-04T10:20:30Z":            "",
		"2026-05-04T10:20:30Z\n":           "",
		"yesterday":                        "",
		"":                                 "",
		strings.Repeat("2026-05-04", 1000): "",
	} {
		dump := fmt.Sprintf(`[{"model":"sessions.session","pk":"k","fields":{"session_data":"d","expire_date":%q}}]`, text)
		records, err := collect(djformat.NewReader(strings.NewReader(dump), djformat.Limits{}))
		if want == "" {
			if err == nil {
				t.Errorf("%.40q was accepted: %+v", text, records[0])
			}
			continue
		}
		if err != nil {
			t.Errorf("%.40q: %v", text, err)
		} else if out := writeDump(t, records); !bytes.Contains(out, []byte(`"expire_date": "`+want+`"`)) {
			t.Errorf("%q: wrote %s", text, out)
		}
	}
}

func TestReadingCanBeContinued(t *testing.T) {
	r := djformat.NewReader(bytes.NewReader(readFile(t, "auth.json")), djformat.Limits{})
	n := 0
	for range r.Records() {
		if n++; n == 40 {
			break
		}
	}
	rest, err := collect(r)
	if err != nil || n+len(rest) != len(readDump(t, readFile(t, "auth.json"), djformat.Limits{})) {
		t.Errorf("%d records, then %d, %v", n, len(rest), err)
	}
	if again, err := collect(r); len(again) != 0 || err != nil {
		t.Errorf("%d records after the end, %v", len(again), err)
	}
}

func TestErrorsOfTheUnderlyingReader(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, prefix := range []string{"", "[", `[{"model":`} {
		r := djformat.NewReader(io.MultiReader(strings.NewReader(prefix), errReader{broken}), djformat.Limits{})
		_, err := collect(r)
		if !errors.Is(err, broken) {
			t.Errorf("after %q: %v", prefix, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// repeated yields "[", then a record again and again, then the end.
type repeated struct {
	record []byte
	left   int
	buf    []byte
}

func (r *repeated) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.left < 0 {
			return 0, io.EOF
		}
		if r.left--; r.left >= 0 {
			r.buf = append(r.buf, r.record...)
		} else {
			r.buf = append(r.buf, `{"model": "other.thing"}]`...)
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func TestMemoryStaysFlat(t *testing.T) {
	const records = 30_000
	user := `{"model": "auth.user", "pk": 1, "fields": {"password": "!", "last_login": null, "is_superuser": false, "username": "u",
		"first_name": "", "last_name": "", "email": "", "is_staff": false, "is_active": true, "date_joined": "2026-01-01T00:00:00Z",
		"groups": [], "user_permissions": [1, 2, 3]}},` + "\n"
	src := io.MultiReader(strings.NewReader("["), &repeated{record: []byte(user), left: records})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n, most := heap(), 0, uint64(0)
	for _, err := range djformat.NewReader(src, djformat.Limits{}).Records() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%10_000 == 0 {
			most = max(most, heap())
		}
	}
	if n != records {
		t.Fatalf("read %d records", n)
	}
	if most > before+2<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, most)
	}
	t.Logf("%d records, %d bytes of dump, heap %d to %d", n, records*len(user), before, most)
}
