package django_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// A record is one of a dump, with references to content types by name.
type record struct {
	Model  string
	PK     any
	Fields map[string]any
}

// records parses a dump. Primary keys of content types are not kept here, so they are replaced by names.
func records(t testing.TB, dump []byte) (types []string, others []record) {
	t.Helper()
	var all []record
	if err := json.Unmarshal(dump, &all); err != nil {
		t.Fatal(err)
	}
	names := make(map[any]string)
	for _, r := range all {
		if r.Model == "contenttypes.contenttype" {
			name := fmt.Sprint(r.Fields["app_label"], ".", r.Fields["model"])
			names[r.PK] = name
			types = append(types, name)
			continue
		}
		if n, ok := r.Fields["content_type"].(float64); ok {
			r.Fields["content_type"] = names[n]
		}
		others = append(others, r)
	}
	slices.Sort(types)
	return types, others
}

// TestRoundTrip takes Django's dumps in and writes them out again, in both forms.
func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		file string
		opts *django.ExportOptions
	}{
		{"auth.json", nil},
		{"auth_natural.json", &django.ExportOptions{NaturalKeys: true}},
	} {
		want := readFile(t, tt.file)
		cfg := config()
		cfg.Backends = []latchbolt.Backend{latchbolt.PasswordBackend{Inactive: true}}
		eng, in := imported(t, cfg, want, nil)
		got, out := exported(t, eng, tt.opts)
		wantTypes, wantRecords := records(t, want)
		gotTypes, gotRecords := records(t, got)
		if !slices.Equal(gotTypes, wantTypes) {
			t.Errorf("%s: content types %v, want %v", tt.file, gotTypes, wantTypes)
		}
		if len(gotRecords) != len(wantRecords) {
			t.Fatalf("%s: %d records, want %d", tt.file, len(gotRecords), len(wantRecords))
		}
		for i := range wantRecords {
			if g, w := string(must(json.Marshal(gotRecords[i]))), string(must(json.Marshal(wantRecords[i]))); g != w {
				t.Errorf("%s: record %d\n%s, want\n%s", tt.file, i, g, w)
			}
		}
		if in.Users != out.Users || in.Groups != out.Groups || in.Permissions != out.Permissions || in.ContentTypes != out.ContentTypes {
			t.Errorf("%s: in %+v, out %+v", tt.file, in, out)
		}
		// Byte for byte, but for the numbers and the order of content types.
		mark, first := []byte(`"model": "auth.permission"`), []byte(`"model": "auth.group"`)
		if tt.opts == nil {
			mark = first
		}
		if g, w := got[bytes.Index(got, mark):], want[bytes.Index(want, mark):]; !bytes.Equal(g, w) {
			t.Errorf("%s: the text differs", tt.file)
		} else {
			t.Logf("%s: %d records the same, %d bytes of %d identical", tt.file, len(wantRecords), len(g), len(want))
		}
		// And in again: the same answers, and the same bytes out.
		cfg = config()
		cfg.Backends = []latchbolt.Backend{latchbolt.PasswordBackend{Inactive: true}}
		again, _ := imported(t, cfg, got, nil)
		if twice, _ := exported(t, again, tt.opts); !bytes.Equal(twice, got) {
			t.Errorf("%s: the second export differs from the first", tt.file)
		}
		checkPermissions(t, again, "permissions")
	}
}

// TestExportOfOurOwn: what Django has no place for, and what it has under another form.
func TestExportOfOurOwn(t *testing.T) {
	ctx := t.Context()
	cfg := config()
	cfg.Peppers = []latchbolt.Pepper{{ID: 7, Key: bytes.Repeat([]byte{1}, 32)}}
	eng := open(t, cfg)
	must(0, eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "publish", Name: "Can publish"},
		latchbolt.Permission{App: "blog", Model: "global", Codename: "publish", Name: "Another"},
		latchbolt.Permission{App: "blog", Model: "post", Codename: "add_post", Name: "Can add post"}))
	editors := must(eng.CreateGroup(ctx, "Editors"))
	must(0, eng.Grant(ctx, editors, "blog.add_post", "blog.post:1"))
	must(0, eng.Grant(ctx, editors, "blog.publish"))
	peppered := &latchbolt.User{Username: "peppered", Groups: []latchbolt.GroupID{editors}}
	must(0, eng.CreateUser(ctx, peppered, "some password"))
	hashes := map[string]string{
		"phc":    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"bcrypt": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"crypt":  "$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1",
		"none":   "",
		"locked": "!locked",
	}
	for name, h := range hashes {
		must(0, eng.InsertUser(ctx, &latchbolt.User{Username: name}, must(latchbolt.ParsePasswordHash(h))))
	}
	must(eng.Login(ctx, must(eng.Identity(ctx, peppered.ID)), latchbolt.LoginOptions{}))
	dump, report := exported(t, eng, nil)
	_, all := records(t, dump)
	passwords := make(map[string]string)
	for _, r := range all {
		if r.Model == "auth.user" {
			passwords[r.Fields["username"].(string)] = r.Fields["password"].(string)
		}
	}
	hashes["phc"], hashes["bcrypt"] = "argon2"+hashes["phc"], "bcrypt$"+hashes["bcrypt"]
	for name, want := range hashes {
		if passwords[name] != want {
			t.Errorf("%s: password %q, want %q", name, passwords[name], want)
		}
	}
	if p := passwords["peppered"]; len(p) != 41 || p[0] != '!' {
		t.Errorf("a peppered hash was exported as %q", p)
	}
	for reason, want := range map[string]int{
		"a grant for a single object has no counterpart in Django":                                                    1,
		"sessions cannot be exported: only hashes of their keys are stored":                                           1,
		"the password hash depends on a pepper, which Django has not; the user is exported with an unusable password": 1,
		"the password hash is of a form that Django does not verify; it is exported as it is":                         1,
		"the user has no password; Django calls that usable and would mail a link to set one":                         1,
		"the permission has no model and was given a content type":                                                    1,
	} {
		if report.Reasons[reason] != want {
			t.Errorf("%d times %q, want %d", report.Reasons[reason], reason, want)
		}
	}
	// The permission without a model got one that was free.
	if !bytes.Contains(dump, []byte(`"model": "global2"`)) {
		t.Errorf("no content type global2 in\n%s", dump)
	}
	// What it wrote goes in again, and the translated hashes still verify.
	back, _ := imported(t, config(), dump, nil)
	if got := authenticate(t, back, "phc", "password"); got != "phc" {
		t.Errorf("the PHC string does not verify after the round trip")
	}
	if got := authenticate(t, back, "bcrypt", "U*U"); got != "bcrypt" {
		t.Errorf("the bcrypt hash does not verify after the round trip")
	}
}

// A brokenWriter fails after n bytes.
type brokenWriter struct{ n int }

var errBroken = errors.New("broken")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errBroken
	}
	return len(b), nil
}

func TestExportFails(t *testing.T) {
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	for _, n := range []int{0, 100, 20_000, 30_000} {
		if _, err := django.Export(t.Context(), eng, &brokenWriter{n}, nil); !errors.Is(err, errBroken) {
			t.Errorf("a writer that fails after %d bytes: %v", n, err)
		}
	}
	// A user whom Django cannot hold is left out, and the rest is written.
	long := strings.Repeat("\ufdfa", 20) // one character that becomes 18 in form NFKC
	if err := eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
		return tx.InsertBroughtUser(&latchbolt.User{Username: long}, latchbolt.PasswordHash{})
	}); err != nil {
		t.Fatal(err)
	}
	report, err := django.Export(t.Context(), eng, io.Discard, nil)
	if err != nil || report.Users != 46 || len(report.Skipped) != 1 || report.Skipped[0].Model != "auth.user" {
		t.Errorf("with a name that is too long: %v, %d users, skipped %v", err, report.Users, report.Skipped)
	}
}
