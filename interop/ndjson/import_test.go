package ndjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intest"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

// many are n users with the members given.
func many(n int, members string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"username":"user%d-%d"%s}`+"\n", n, i, members)
	}
	return b.String()
}

// TestFields: each field arrives, absent ones have Django's defaults, and null is absent.
func TestFields(t *testing.T) {
	eng := open(t, config())
	report := load(t, eng, "\xef\xbb\xbf"+`{"\u0075sername":"gr\u00e4fin","id":7,"email":"Ada@Example.ORG","first_name":"A \"q\" \/\b\f\n\r\t\\ 😀 \ud83d\ude00","last_name":"Lovelace",`+
		`"is_active":false,"is_staff":true,"is_superuser":true,"date_joined":"2020-01-02T03:04:05.1234567+01:00","last_login":"2021-01-02T03:04:05Z",`+
		`"groups":["b","a","b"],"user_permissions":[],"password_hash":"`+hash+`"}`+"\r\n\r\n  \n"+
		` { "type" : "user" , "username" : "bob" , "email" : null , "groups" : null, "last_login":null,"password_hash":null, "password":null }`+"\n"+
		`{"username":"eve","group_permissions":["a.b"],"all_permissions":[1,-2.5e+3,{"x":[true,false,null]}],"has_usable_password":true,"hasher":{"algorithm":"argon2"},"sessions":0}`, nil)
	got := dump(t, eng)
	want := `{"type":"group","id":1,"name":"b","permissions":[]}
{"type":"group","id":2,"name":"a","permissions":[]}
{"type":"user","id":7,"username":"gräfin","email":"Ada@Example.ORG","first_name":"A \"q\" /\b\f\n\r\t\\ 😀 😀","last_name":"Lovelace","is_active":false,"is_staff":true,"is_superuser":true,"date_joined":"2020-01-02T02:04:05.123456Z","last_login":"2021-01-02T03:04:05Z","groups":["a","b"],"user_permissions":[],"password_hash":"` + hash + `"}
{"type":"user","id":8,"username":"bob","email":"","first_name":"","last_name":"","is_active":true,"is_staff":false,"is_superuser":false,"date_joined":"2026-05-04T10:20:30.123456Z","last_login":null,"groups":[],"user_permissions":[]}
{"type":"user","id":9,"username":"eve","email":"","first_name":"","last_name":"","is_active":true,"is_staff":false,"is_superuser":false,"date_joined":"2026-05-04T10:20:30.123456Z","last_login":null,"groups":[],"user_permissions":[]}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if report.Users != 3 || report.Groups != 2 || report.NewGroups != 2 || len(report.Warnings) != 2 || report.Warnings[1].Line != 5 {
		t.Errorf("report %+v", report)
	}
	if data, err := json.Marshal(report); err != nil || !strings.HasPrefix(string(data), `{"users":3,"groups":2,"new_groups":2,"permissions":0,"hashed":0,"skipped":[],"warnings":[{"line":1,"type":"user","name":"gräfin","reason":"`) {
		t.Errorf("as JSON: %s, %v", data, err)
	}
}

// TestPasswords: hashes of many forms, plain passwords, and what is odd about them.
func TestPasswords(t *testing.T) {
	text := `{"username":"django","password_hash":"` + hash + `"}
{"username":"bcrypt","password_hash":"$2y$04$r5.a8k9WDvKPdGVusfh81OE/IO/Bkh9sPH0fUI2k4McozoOxF.u56"}
{"username":"argon2","password_hash":"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"}
{"username":"scrypt","password_hash":"$scrypt$ln=4,r=8,p=1$APv28Q$JWbdKHA7q1huAuB+hx+Drz1f9HTQxNIdKmEb+4eyB2w"}
{"username":"passlib","password_hash":"$pbkdf2-sha256$10$APv28Q$JAlvMQxrXHm59qOga0PPUB.nkVUWloLTY/mhZR9JTJw"}
{"username":"plain","password":"correct horse \u2028 battery"}
{"username":"sha","password_hash":"{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI="}
{"username":"odd","password_hash":"$y$j9T$abc$def"}
{"username":"none"}
{"username":"unusable","password_hash":"!abc"}
`
	eng := open(t, config())
	report := load(t, eng, text, nil)
	for name, password := range map[string]string{"django": "lètmein", "bcrypt": "x", "argon2": "password", "scrypt": "", "passlib": "", "plain": "correct horse \u2028 battery"} {
		if password != "" && !logsIn(t, eng, name, password) || logsIn(t, eng, name, password+"x") {
			t.Errorf("%s: the password is not right", name)
		}
		if u, err := eng.UserByName(t.Context(), name); err != nil || !u.Password.Usable || u.Password.Algorithm == "" {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if report.Users != 10 || report.Hashed != 1 || len(report.Warnings) != 2 ||
		report.Warnings[0].Line != 7 || !strings.Contains(report.Warnings[0].Reason, "LegacyHashes") || report.Warnings[1].Line != 8 {
		t.Errorf("report %+v", report)
	}
	// The validators see the user.
	cfg := config()
	cfg.Validators = []latchbolt.Validator{latchbolt.UserAttributeSimilarity{}}
	eng = open(t, cfg)
	similar := `{"username":"someone.special","password":"someone.special1"}`
	_, err := ndjson.Import(t.Context(), eng, strings.NewReader(similar), nil)
	var line *interop.LineError
	if !errors.As(err, &line) || line.Line != 1 || line.Field != "password" {
		t.Errorf("error %v", err)
	}
	load(t, eng, similar, &ndjson.ImportOptions{AnyPassword: true})
	if !logsIn(t, eng, "someone.special", "someone.special1") {
		t.Error("AnyPassword: the password is not right")
	}
}

// TestPlainPasswords: many plain passwords are hashed, each for its own user, also if the input can be read only once.
func TestPlainPasswords(t *testing.T) {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, `{"username":"u%d","password":"secret %d"}`+"\n\n", i, i)
	}
	cfg := config()
	cfg.HashQueue = -1 // every second attempt finds the slots taken
	cfg.HashSlots = 1
	eng := open(t, cfg)
	dir := t.TempDir()
	report, err := ndjson.Import(t.Context(), eng, onlyReader{strings.NewReader(b.String())}, &ndjson.ImportOptions{TempDir: dir})
	if err != nil || report.Hashed != 50 || report.Users != 50 {
		t.Fatalf("%+v, %v", report, err)
	}
	for i := range 50 {
		if !logsIn(t, eng, fmt.Sprint("u", i), fmt.Sprint("secret ", i)) {
			t.Errorf("u%d cannot log in", i)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestExisting: users and groups that are there already are refused, or left alone.
func TestExisting(t *testing.T) {
	eng := open(t, config())
	load(t, eng, perm+`{"type":"group","name":"editors"}
{"username":"ada","email":"first@example.org","password":"first"}`, nil)
	before := state(t, eng)
	for text, want := range map[string]string{
		`{"username":"eve"}` + "\n" + ada:                                            "line 2: username",
		`{"type":"group","name":"editors","permissions":["blog.edit"]}`:              "line 1: name",
		`{"username":"eve","id":1}`:                                                  "line 1",
		`{"type":"permission","id":1,"app":"x","codename":"y"}`:                      "line 1",
		`{"username":"eve","groups":["editors"]}` + "\n" + `{"username":"eve"}` + "": "line 2: username",
	} {
		_, err := ndjson.Import(t.Context(), eng, strings.NewReader(text), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, latchbolt.ErrExists) && !errors.Is(err, latchbolt.ErrConflict) {
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
		if state(t, eng) != before {
			t.Fatalf("%s: something was stored", text)
		}
	}
	opts := &ndjson.ImportOptions{SkipExisting: true, NewIDs: true}
	text := perm + `{"type":"group","name":"editors","permissions":["blog.edit"]}
{"username":"ada","id":1,"email":"second@example.org","password":"second"}
{"username":"eve","id":1,"groups":["editors"]}
`
	report := load(t, eng, text, opts)
	if report.Users != 1 || report.Groups != 0 || report.Permissions != 0 || report.Hashed != 0 || len(report.Skipped) != 2 ||
		report.Skipped[0].Name != "editors" || report.Skipped[1].Name != "ada" || report.Skipped[1].Line != 3 {
		t.Errorf("report %+v", report)
	}
	if after := state(t, eng); !strings.HasPrefix(after, before) || !logsIn(t, eng, "ada", "first") {
		t.Errorf("what was there is not as it was:\n%s\nwas\n%s", after, before)
	}
	if _, err := ndjson.Import(t.Context(), eng, strings.NewReader(`{"username":"bob"}`+"\n"+`{"username":"bob"}`), opts); !errors.Is(err, latchbolt.ErrExists) {
		t.Errorf("twice in the file: %v", err)
	}
}

// TestOptions: groups, permissions and fields that are not known.
func TestOptions(t *testing.T) {
	text := `{"username":"ada","groups":["new"],"user_permissions":["x.y","blog.edit"],"shoe_size":43,"extra":{}}`
	for _, tt := range []struct {
		opts ndjson.ImportOptions
		want string
	}{
		{ndjson.ImportOptions{}, "shoe_size"},
		{ndjson.ImportOptions{SkipFields: true}, "x.y"},
		{ndjson.ImportOptions{SkipFields: true, SkipPermissions: true}, ""},
		{ndjson.ImportOptions{SkipFields: true, SkipPermissions: true, KnownGroups: true}, "new"},
	} {
		eng := open(t, config())
		report, err := ndjson.Import(t.Context(), eng, strings.NewReader(perm+text), &tt.opts)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v: %v, want …%s…", tt.opts, err, tt.want)
			}
			intest.Unused(t, eng)
			continue
		}
		if err != nil || report.Users != 1 || report.NewGroups != 1 || len(report.Skipped) != 1 || len(report.Warnings) != 2 {
			t.Errorf("%+v: %+v, %v", tt.opts, report, err)
		}
		if got := dump(t, eng); !strings.Contains(got, `"groups":["new"],"user_permissions":["blog.edit"]`) {
			t.Errorf("stored %s", got)
		}
	}
}

// TestDryRun: a dry run stores nothing, finds duplicates, and reports the same.
func TestDryRun(t *testing.T) {
	eng := open(t, config())
	text := perm + many(1500, `,"groups":["g"],"user_permissions":["blog.edit"]`) + `{"username":"ada","password":"x"}`
	dry := load(t, eng, text, &ndjson.ImportOptions{DryRun: true})
	intest.Unused(t, eng)
	if _, err := ndjson.Import(t.Context(), eng, strings.NewReader(text+"\n"+ada), &ndjson.ImportOptions{DryRun: true}); !errors.Is(err, latchbolt.ErrExists) {
		t.Errorf("a duplicate: %v", err)
	}
	var seen []interop.Progress
	wet := load(t, eng, text, &ndjson.ImportOptions{Progress: func(p interop.Progress) { seen = append(seen, p) }})
	if fmt.Sprint(dry) != fmt.Sprint(wet) || wet.Users != 1501 {
		t.Errorf("dry %+v, wet %+v", dry, wet)
	}
	last := interop.Progress{Stage: interop.Storing, Done: 1502, Total: 1502, Bytes: int64(len(text)), Size: int64(len(text))}
	if len(seen) < 4 || seen[0].Stage != interop.Hashing || seen[len(seen)-1] != last {
		t.Errorf("progress %+v", seen)
	}
}

// TestPosition: input that can seek is read from where it stands.
func TestPosition(t *testing.T) {
	r := strings.NewReader("not JSON\n" + ada)
	if _, err := r.Seek(9, 0); err != nil {
		t.Fatal(err)
	}
	eng := open(t, config())
	if report, err := ndjson.Import(t.Context(), eng, r, nil); err != nil || report.Users != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestExportWithout: hashes are written only if that is asked for, and never with a pepper.
func TestExportWithout(t *testing.T) {
	cfg := config()
	eng := open(t, cfg)
	load(t, eng, `{"username":"ada","password_hash":"`+hash+`"}`, nil)
	var out strings.Builder
	if _, err := ndjson.Export(t.Context(), eng, &out, nil); err != nil || strings.Contains(out.String(), "pbkdf2") || !strings.Contains(out.String(), `"ada"`) {
		t.Errorf("%s, %v", out.String(), err)
	}
	if !strings.Contains(dump(t, eng), hash) {
		t.Error("WithHashes: no hash")
	}
	cfg = config()
	cfg.Peppers = []latchbolt.Pepper{{ID: 1, Key: []byte("0123456789abcdef0123456789abcdef")}}
	eng = open(t, cfg)
	load(t, eng, `{"username":"ada","password":"secret"}`, nil)
	out.Reset()
	report, err := ndjson.Export(t.Context(), eng, &out, &ndjson.ExportOptions{WithHashes: true})
	if err != nil || strings.Contains(out.String(), "pbkdf2") || len(report.Skipped) != 1 || !strings.Contains(report.Skipped[0].Reason, "pepper") {
		t.Errorf("%s, %+v, %v", out.String(), report, err)
	}
	if _, err := ndjson.Export(t.Context(), eng, full{}, nil); !errors.Is(err, errBroken) {
		t.Errorf("a full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errBroken }
