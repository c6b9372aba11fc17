package django_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// Records to make dumps of.
const (
	typeBook  = `{"model":"contenttypes.contenttype","pk":1,"fields":{"app_label":"lib","model":"book"}}`
	permAdd   = `{"model":"auth.permission","pk":10,"fields":{"name":"Can add","content_type":1,"codename":"add_book"}}`
	groupStaf = `{"model":"auth.group","pk":5,"fields":{"name":"Staff","permissions":[10]}}`
)

// user makes a user from a name and the fields that differ.
func userRecord(pk int, name string, more ...string) string {
	fields := map[string]string{"password": `""`, "last_login": "null", "is_superuser": "false", "first_name": `""`, "last_name": `""`,
		"email": `""`, "is_staff": "false", "is_active": "true", "date_joined": `"2024-01-01T00:00:00Z"`, "groups": "[]", "user_permissions": "[]"}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	text := fmt.Sprintf(`{"model":"auth.user","pk":%d,"fields":{"username":%q`, pk, name)
	for f, v := range fields {
		text += fmt.Sprintf(",%q:%s", f, v)
	}
	return text + "}}"
}

func dumpOf(records ...string) string { return "[" + strings.Join(records, ",\n") + "]" }

// unused fails the test if something was stored.
func unused(t *testing.T, what string, eng *latchbolt.Engine) {
	t.Helper()
	if err := eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		ok, err := tx.Unused()
		if !ok {
			t.Errorf("%s: something was stored", what)
		}
		n, err2 := tx.SessionCount()
		if n != 0 {
			t.Errorf("%s: sessions were stored", what)
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Error(err)
	}
}

// TestRefused: dumps that contradict themselves or are damaged. Each error says where, and nothing is stored.
func TestRefused(t *testing.T) {
	ada := userRecord(1, "ada")
	for _, tt := range []struct {
		name   string
		dump   string
		record int    // in which the error is
		want   string // part of the message
	}{
		{"no JSON", `hello`, 0, "not"},
		{"a record cut short", `[` + ada + `,{"model":"auth.us`, 2, "cut short"},
		{"a dump cut short between records", `[` + ada + `,`, 1, "cut short"},
		{"a file of SQLite", "SQLite format 3\x00", 0, "database"},
		{"a field of the wrong kind", dumpOf(ada, userRecord(2, "bob", "is_staff", "3")), 2, "true or false"},
		{"a missing field", `[{"model":"auth.group","pk":1,"fields":{"permissions":[]}}]`, 1, "missing"},
		{"a name beyond the column", dumpOf(userRecord(1, strings.Repeat("x", 151))), 1, "151"},
		{"a permission of no content type", dumpOf(ada, permAdd), 2, "content_type refers to primary key 1"},
		{"a group with a permission that is not there", dumpOf(groupStaf), 1, "permissions refers to primary key 10"},
		{"a group with a permission that is not there, by name", dumpOf(`{"model":"auth.group","pk":5,"fields":{"name":"Staff","permissions":[["add_book","lib","book"]]}}`), 1, `"lib.book.add_book"`},
		{"a user in a group that is not there", dumpOf(ada, userRecord(2, "bob", "groups", "[5]")), 2, "groups refers to primary key 5"},
		{"a user in a group that is not there, by name", dumpOf(userRecord(2, "bob", "groups", `[["Staff"]]`)), 1, `"Staff"`},
		{"a user with a permission that is not there", dumpOf(userRecord(2, "bob", "user_permissions", "[10]")), 1, "user_permissions refers"},
		{"two content types with one key", dumpOf(typeBook, strings.Replace(typeBook, "book", "page", 1)), 2, "pk occurs twice: 1"},
		{"two content types with one name", dumpOf(typeBook, strings.Replace(typeBook, `"pk":1`, `"pk":2`, 1)), 2, `occurs twice: "lib.book"`},
		{"two permissions with one key", dumpOf(typeBook, permAdd, strings.Replace(permAdd, "add_book", "view_book", 1)), 3, "pk occurs twice: 10"},
		{"two permissions with one name", dumpOf(typeBook, permAdd, strings.Replace(permAdd, `"pk":10`, `"pk":11`, 1)), 3, `occurs twice: "lib.book.add_book"`},
		{"a permission with too high a key", dumpOf(typeBook, strings.Replace(permAdd, `"pk":10`, `"pk":2147483648`, 1)), 2, "2147483647"},
		{"two groups with one key", dumpOf(typeBook, permAdd, groupStaf, strings.Replace(groupStaf, "Staff", "Others", 1)), 4, "pk occurs twice: 5"},
		{"two groups with one name", dumpOf(typeBook, permAdd, groupStaf, strings.Replace(groupStaf, `"pk":5`, `"pk":6`, 1)), 4, `occurs twice: "Staff"`},
		{"two users with one key", dumpOf(ada, userRecord(1, "bob")), 2, "pk occurs twice: 1"},
		{"two users with one name", dumpOf(ada, userRecord(2, "ada")), 2, `occurs twice: "ada"`},
		{"two users with one name once it is normalized", dumpOf(userRecord(1, "r\u00e9mi"), userRecord(2, "re\u0301mi")), 2, "NFKC"},
		{"a user without a name", dumpOf(ada, userRecord(2, "")), 2, "cannot be blank"},
		{"a group without a name", dumpOf(ada, `{"model":"auth.group","pk":1,"fields":{"name":"","permissions":[]}}`), 2, "cannot be blank"},
		{"a NUL in a name", dumpOf(userRecord(1, "x", "first_name", `"a\u0000b"`)), 1, "Null characters"},
		{"an app with a dot", dumpOf(strings.Replace(typeBook, "lib", "l.b", 1), permAdd), 2, "dot"},
		{"one key twice in a record", `[{"model":"auth.group","pk":1,"pk":2,"fields":{"name":"a","permissions":[]}}]`, 1, "twice"},
	} {
		eng := open(t, config())
		_, err := django.Import(t.Context(), eng, strings.NewReader(tt.dump), nil)
		var at *django.DumpError
		switch {
		case err == nil || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		case !errors.As(err, &at):
			t.Errorf("%s: %v is no DumpError", tt.name, err)
		case at.Record != tt.record:
			t.Errorf("%s: the error is in record %d, want %d", tt.name, at.Record, tt.record)
		}
		unused(t, tt.name, eng)
	}
}

// TestTaken: what is odd but taken over, with a warning.
func TestTaken(t *testing.T) {
	dump := dumpOf(
		userRecord(7, "name with spaces", "groups", "[5]"), // before its group
		userRecord(3, "re\u0301mi"),
		userRecord(4, "oddmail", "email", `"not an address"`),
		userRecord(5, "lines", "last_name", `"two\nlines"`),
		userRecord(6, "broken", "password", `"pbkdf2_sha256$x$y$z"`),
		userRecord(8, "huge", "password", `"pbkdf2_sha256$99999999999$salt$1kAlcQiaMhn9R1rSrmaxZR2bZgQ/qEOf5BcxFrJBqC8="`),
		userRecord(9, "unknown", "password", `"rot13$abc"`),
		userRecord(10, "argon2d", "password", `"argon2$argon2d$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"`),
		strings.Replace(userRecord(0, "nokey"), `"pk":0,`, "", 1),
		groupStaf, permAdd, typeBook,
		`{"model":"admin.logentry","pk":1,"fields":{}}`,
	)
	eng, report := imported(t, config(), []byte(dump), nil)
	if report.Users != 9 || report.Groups != 1 || report.Permissions != 1 || report.ContentTypes != 1 || report.OtherModels["admin.logentry"] != 1 {
		t.Errorf("report %+v", report)
	}
	for reason, want := range map[string]int{
		"the user name has characters that new names must not have; it is kept":                               1,
		"the user name was brought into form NFKC":                                                            1,
		"the e-mail address is not valid; it is kept":                                                         1,
		"the first or last name has characters that new ones must not have; it is kept":                       1,
		"the password hash is damaged or beyond all bounds and was left out: the user has no usable password": 2,
		"the password hash is of a form that none of the hashers here verifies; it is kept":                   2,
	} {
		if report.Reasons[reason] != want {
			t.Errorf("%d times %q, want %d", report.Reasons[reason], reason, want)
		}
	}
	for name, id := range map[string]latchbolt.UserID{"name with spaces": 7, "r\u00e9mi": 3, "nokey": 11} {
		u, err := eng.UserByName(t.Context(), name)
		if err != nil || u.ID != id {
			t.Errorf("%s: %+v, %v; want identifier %d", name, u, err, id)
		}
	}
	spaces := must(eng.Identity(t.Context(), 7))
	if ok, err := eng.HasPerm(t.Context(), spaces, "lib.add_book"); !ok || err != nil {
		t.Errorf("a user before its group in the dump lacks the permission: %v", err)
	}
	for _, n := range append(report.Skipped, report.Warnings...) {
		if strings.Contains(n.String(), "pbkdf2_sha256$") || strings.Contains(n.String(), "rot13") {
			t.Errorf("the report quotes a hash: %v", n)
		}
	}
}

// TestOddFieldsStay: what is odd about a user who was taken over stays until it is changed, and is no obstacle to changing
// something else.
func TestOddFieldsStay(t *testing.T) {
	eng, _ := imported(t, config(), []byte(dumpOf(userRecord(1, "two words", "email", `"No.Address"`, "last_name", `"two\nlines"`))), nil)
	for _, tt := range []struct {
		name   string
		change func(u *latchbolt.User)
		refuse string // the field
	}{
		{"another first name", func(u *latchbolt.User) { u.FirstName = "Ada" }, ""},
		{"a flag", func(u *latchbolt.User) { u.Staff = true }, ""},
		{"another odd name", func(u *latchbolt.User) { u.Username = "three words more" }, "username"},
		{"another odd address", func(u *latchbolt.User) { u.Email = "none" }, "email"},
		{"other lines", func(u *latchbolt.User) { u.LastName = "a\nb" }, "last_name"},
	} {
		err := eng.UpdateUser(t.Context(), 1, func(u *latchbolt.User) error { tt.change(u); return nil })
		var field *latchbolt.FieldError
		switch {
		case tt.refuse == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.refuse != "" && (!errors.As(err, &field) || field.Field != tt.refuse):
			t.Errorf("%s: got %v, want that %s is refused", tt.name, err, tt.refuse)
		}
	}
	u, err := eng.UserByName(t.Context(), "two words")
	if err != nil || u.FirstName != "Ada" || !u.Staff || u.Email != "No.Address" || u.LastName != "two\nlines" {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestCase: names that differ in case only.
func TestCase(t *testing.T) {
	dump := dumpOf(userRecord(1, "ada"), userRecord(2, "Ada"))
	cfg := config()
	cfg.CaseSensitive = false
	eng := open(t, cfg)
	_, err := django.Import(t.Context(), eng, strings.NewReader(dump), nil)
	if !errors.Is(err, django.ErrNeedsCaseSensitive) || !strings.Contains(err.Error(), "record 2") || !strings.Contains(err.Error(), "CaseSensitive") {
		t.Errorf("got %v, want ErrNeedsCaseSensitive in record 2", err)
	}
	unused(t, "case", eng)
	for _, tt := range []struct {
		dump string
		want bool
	}{{dump, true}, {dumpOf(userRecord(1, "ada"), userRecord(2, "bob")), false}} {
		eng, report, err := django.Create(t.Context(), filepath.Join(t.TempDir(), "new.db"), strings.NewReader(tt.dump), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if eng.CaseSensitive() != tt.want || report.CaseSensitive != tt.want || report.Users != 2 {
			t.Errorf("case-sensitive %v, %+v; want %v", eng.CaseSensitive(), report, tt.want)
		}
		verifyAndClose(t, eng)
	}
}

// TestNotFresh: only a file that never held anything is imported into.
func TestNotFresh(t *testing.T) {
	for name, use := range map[string]func(eng *latchbolt.Engine) error{
		"a permission": func(eng *latchbolt.Engine) error { return eng.DefineModel(t.Context(), "blog", "post") },
		"a group":      func(eng *latchbolt.Engine) error { _, err := eng.CreateGroup(t.Context(), "g"); return err },
		"a user that was deleted": func(eng *latchbolt.Engine) error {
			u := &latchbolt.User{Username: "x"}
			if err := eng.InsertUser(t.Context(), u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
			return eng.DeleteUser(t.Context(), u.ID)
		},
		"the same import": func(eng *latchbolt.Engine) error {
			_, err := django.Import(t.Context(), eng, bytes.NewReader(readFile(t, "auth.json")), nil)
			return err
		},
	} {
		eng := open(t, config())
		if err := use(eng); err != nil {
			t.Fatal(err)
		}
		_, err := django.Import(t.Context(), eng, bytes.NewReader(readFile(t, "auth.json")), nil)
		if !errors.Is(err, django.ErrNotFresh) || !errors.Is(err, latchbolt.ErrConflict) {
			t.Errorf("after %s: got %v, want ErrNotFresh", name, err)
		}
	}
}

// A cancelReader cancels after n bytes.
type cancelReader struct {
	in     io.Reader
	n      int
	cancel context.CancelFunc
}

func (r *cancelReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b[:min(len(b), 1000)])
	if r.n -= n; r.n < 0 {
		r.cancel()
	}
	return n, err
}

// TestCancel: whenever the context ends, nothing is stored, and no file is left.
func TestCancel(t *testing.T) {
	var many []string
	for i := range 3000 {
		many = append(many, userRecord(i+1, fmt.Sprint("user", i)))
	}
	dump := dumpOf(many...)
	for _, tt := range []struct {
		name string
		set  func(cancel context.CancelFunc, opts *django.ImportOptions) (bytes int)
	}{
		{"before", func(cancel context.CancelFunc, _ *django.ImportOptions) int { cancel(); return len(dump) }},
		{"while reading", func(context.CancelFunc, *django.ImportOptions) int { return len(dump) / 2 }},
		{"while storing", func(cancel context.CancelFunc, opts *django.ImportOptions) int {
			opts.Progress = func(p django.Progress) {
				if p.Stage == django.Storing && p.Done >= 2000 {
					cancel()
				}
			}
			return len(dump)
		}},
	} {
		for _, create := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			opts := new(django.ImportOptions)
			in := &cancelReader{strings.NewReader(dump), tt.set(cancel, opts), cancel}
			var err error
			if create {
				dir := t.TempDir()
				_, _, err = django.Create(ctx, filepath.Join(dir, "app.db"), in, config(), opts)
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("%s: %v is left", tt.name, left)
				}
			} else {
				eng := open(t, config())
				_, err = django.Import(ctx, eng, in, opts)
				unused(t, tt.name, eng)
			}
			if tt.name == "while reading" && in.n < -2*len(dump)/5 {
				t.Errorf("%s: the dump was read to the end", tt.name)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v, want that the context was canceled", tt.name, err)
			}
			cancel()
		}
	}
}

// TestCreate: a file that is there stays, a dump that is refused leaves none, and a dry run neither.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	files := func() (names []string) {
		for _, f := range must(os.ReadDir(dir)) {
			names = append(names, f.Name())
		}
		return names
	}
	_, _, err := django.Create(t.Context(), path, strings.NewReader(dumpOf(groupStaf)), config(), nil)
	if err == nil || len(files()) != 0 {
		t.Errorf("a refused dump: %v, files %v", err, files())
	}
	eng, report, err := django.Create(t.Context(), path, bytes.NewReader(readFile(t, "auth.json")), config(), &django.ImportOptions{DryRun: true})
	if err != nil || eng != nil || report.Users != 46 || len(files()) != 0 {
		t.Errorf("a dry run: %v, %v, %d users, files %v", eng, err, report.Users, files())
	}
	eng, report, err = django.Create(t.Context(), path, bytes.NewReader(readFile(t, "auth.json")), config(), nil)
	if err != nil || report.Users != 46 {
		t.Fatalf("%v, %d users", err, report.Users)
	}
	verifyAndClose(t, eng)
	before := must(os.ReadFile(path))
	_, _, err = django.Create(t.Context(), path, bytes.NewReader(readFile(t, "auth.json")), config(), nil)
	if !errors.Is(err, fs.ErrExist) || !bytes.Equal(must(os.ReadFile(path)), before) {
		t.Errorf("a file that is there: %v", err)
	}
	if got := files(); len(got) != 1 {
		t.Errorf("files %v, want one", got)
	}
	dry := open(t, config())
	report, err = django.Import(t.Context(), dry, bytes.NewReader(readFile(t, "auth.json")), &django.ImportOptions{DryRun: true})
	if err != nil || report.Users != 46 {
		t.Errorf("a dry run: %v, %d users", err, report.Users)
	}
	unused(t, "a dry run", dry)
}

// TestCreateStopped: what an import leaves behind when the machine stops is removed by the next Open. Until the file
// is whole nothing stands under its name.
func TestCreateStopped(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	var left []string
	eng, _, err := django.Create(t.Context(), path, bytes.NewReader(readFile(t, "auth.json")), config(), &django.ImportOptions{
		Progress: func(p django.Progress) {
			if p.Stage == django.Storing {
				for _, f := range must(os.ReadDir(dir)) {
					left = append(left, f.Name())
				}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	verifyAndClose(t, eng)
	if len(left) != 1 || left[0] == "app.db" {
		t.Fatalf("while storing there are the files %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, left[0]), must(os.ReadFile(path)), 0o600); err != nil {
		t.Fatal(err)
	}
	eng, err = latchbolt.Open(path, config())
	if err != nil {
		t.Fatal(err)
	}
	verifyAndClose(t, eng)
	if files := must(os.ReadDir(dir)); len(files) != 1 {
		t.Errorf("files %v, want one", files)
	}
}

// An endlessReader repeats a text for ever, and watches the memory.
type endlessReader struct {
	text   []byte
	at     int
	read   int64
	reads  int
	memory uint64
}

func (r *endlessReader) Read(b []byte) (int, error) {
	if r.reads++; r.reads%4 == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		r.memory = max(r.memory, m.HeapAlloc)
	}
	for n := 0; n < len(b); {
		c := copy(b[n:], r.text[r.at:])
		r.at = (r.at + c) % len(r.text)
		n += c
	}
	r.read += int64(len(b))
	return len(b), nil
}

// TestBounded: dumps without end take neither memory nor time without end.
func TestBounded(t *testing.T) {
	session := `{"model":"sessions.session","pk":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","fields":{"session_data":"x","expire_date":"2020-01-01T00:00:00Z"}}` + "\n"
	for _, tt := range []struct {
		name, start, text string
		memory            uint64 // MiB on top
		long              bool   // it is refused for its length
	}{
		{"one record without end", `[{"model":"auth.group","pk":1,"fields":{"name":"`, "aaaaaaaaaaaaaaaa", 8, false},
		{"nesting without end", `[`, `{"a":[`, 8, false},
		{"other models without end", "", `{"model":"admin.logentry","pk":1,"fields":{"text":"` + strings.Repeat("x", 1000) + `"}}` + "\n", 8, true},
		{"old sessions without end", "", session, 16, true},
		{"white space without end", "[", strings.Repeat(" ", 4096), 8, true},
	} {
		eng := open(t, config())
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		in := &endlessReader{text: []byte(tt.text)}
		_, err := django.Import(t.Context(), eng, io.MultiReader(strings.NewReader(tt.start), in),
			&django.ImportOptions{MaxBytes: 2 << 20, SecretKey: "key"})
		var at *django.DumpError
		if tt.long != errors.Is(err, django.ErrTooLarge) || tt.long == errors.As(err, &at) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if in.read > 3<<20 {
			t.Errorf("%s: %d bytes were read, want 2 MiB at most", tt.name, in.read)
		}
		if in.memory > m.HeapAlloc+tt.memory<<20 {
			t.Errorf("%s: %d MiB of memory, want %d", tt.name, (in.memory-m.HeapAlloc)>>20, tt.memory)
		}
		t.Logf("%s: %d KiB read, %d KiB of memory: %v", tt.name, in.read>>10, (max(in.memory, m.HeapAlloc)-m.HeapAlloc)>>10, err)
		unused(t, tt.name, eng)
	}
}

// TestManyNotes: a report does not grow with the dump, but counts all.
func TestManyNotes(t *testing.T) {
	var dump strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&dump, `{"model":"sessions.session","pk":"key%029d","fields":{"session_data":"x","expire_date":"2020-01-01T00:00:00Z"}}`+"\n", i)
	}
	_, report := imported(t, config(), []byte(dump.String()), &django.ImportOptions{SecretKey: "key"})
	if len(report.Skipped) != 1000 || report.Reasons["the session is over"] != 5000 {
		t.Errorf("%d notes, %v", len(report.Skipped), report.Reasons)
	}
	// A list of a million times the same reference is one reference.
	refs := strings.Repeat("10,", 300_000) + "10"
	eng, _ := imported(t, config(), []byte(dumpOf(typeBook, permAdd, strings.Replace(groupStaf, "[10]", "["+refs+"]", 1))), nil)
	if grants := must(eng.Grants(t.Context(), latchbolt.GroupID(5))); len(grants) != 1 {
		t.Errorf("%d grants, want 1", len(grants))
	}
}

// TestOptions: options that cannot be meant are refused, and progress is reported.
func TestOptions(t *testing.T) {
	eng := open(t, config())
	_, err := django.Import(t.Context(), eng, strings.NewReader("[]"), &django.ImportOptions{SecretKey: "a", SecretKeyFallbacks: []string{""}})
	if err == nil || !strings.Contains(err.Error(), "SecretKeyFallbacks") {
		t.Errorf("an empty fallback: %v", err)
	}
	_, err = django.Import(t.Context(), eng, strings.NewReader("[]"), &django.ImportOptions{Sessions: strings.NewReader(dumpOf(typeBook))})
	if err == nil || !strings.Contains(err.Error(), "is no session") {
		t.Errorf("users in the dump of sessions: %v", err)
	}
	unused(t, "options", eng)
	var stages []django.Stage
	report, err := django.Import(t.Context(), eng, bytes.NewReader(readFile(t, "auth.json")), &django.ImportOptions{
		Progress: func(p django.Progress) {
			stages = append(stages, p.Stage)
			if p.Stage == django.Storing && p.Done != p.Total {
				t.Errorf("progress %+v", p)
			}
		}})
	if err != nil || len(stages) != 2 || stages[0] != django.Reading || stages[1] != django.Storing || report.Sessions != 0 {
		t.Errorf("%v, stages %v", err, stages)
	}
}
