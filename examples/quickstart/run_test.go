package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBuiltIn runs the program as it is run without arguments.
func TestBuiltIn(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, ""); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, line := range []string{
		"46 users, 8 groups, 66 permissions on 17 models, 8 sessions",
		"pbkdf2_sha256   13 of 14",
		"1288 answers of has_perm compared with Django's",
		"alice    yes  catalog.add_book         granted to the group Librarians",
		"alice    yes  auth.view_user           granted to the user",
		"alice    no   catalog.no_such_perm     undefined",
		"yvonne   yes  loans.waive_fine         superuser",
		"sessionid=tzp6… is still bob, with 5 values of its own",
		"17 cookies compared with Django's answers",
		`desk  changed the password and goes on as "alice" under a new token`,
		"phone is logged out by that: latchbolt: no such session",
		"All of it is in one file",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q", line)
		}
	}
	for _, secret := range []string{"wonderland", "pbkdf2_sha256$", "tzp6auchw", "DIFFERENT"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the account shows %q", secret)
		}
	}
	if t.Failed() {
		t.Logf("\n%s", &out)
	}
}

// TestOwnDump runs it with a dump whose passwords are not known, and with one that is none.
func TestOwnDump(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, filepath.Join("testdata", "auth.json")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"pbkdf2_sha256  14 users", `the token belongs to "alice"`, "after EndSessions the token answers: latchbolt: no such session"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, &out)
		}
	}
	for _, path := range []string{filepath.Join("testdata", "answers.json"), "no-such-file", "."} {
		if err := run(t.Context(), &out, path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), &out, empty); err != nil {
		t.Errorf("an empty dump: %v", err)
	}
}

// TestDifferent: an answer that is not the recorded one makes the program fail.
func TestDifferent(t *testing.T) {
	for name, change := range map[string]func(a *Answers){
		"a permission": func(a *Answers) { a.Users[0].Perms = a.Users[0].Perms[1:] },
		"a cookie":     func(a *Answers) { a.Sessions["tzp6auchw12w6fvyq5f2k0mukwa34r9f"] = "alice" },
		"a login":      func(a *Answers) { a.Users[0].LogsIn = false },
	} {
		in, err := builtIn()
		if err != nil {
			t.Fatal(err)
		}
		// A few users are enough to log in.
		for i := range in.answers.Users {
			if i > 1 {
				in.answers.Users[i].Password, in.answers.Users[i].LogsIn = nil, false
			}
		}
		change(in.answers)
		var out bytes.Buffer
		if err := take(t.Context(), &out, in); err == nil || !strings.Contains(err.Error(), "1 answers differ") || strings.Count(out.String(), "DIFFERENT") != 1 {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
}

// TestCopies: the files beside the program are those that the tests of the module use.
func TestCopies(t *testing.T) {
	const original = "../../testdata/django"
	read := func(dir, name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, name := range []string{"auth.json", "sessions_dump.json"} {
		if !bytes.Equal(read("testdata", name), read(original, name)) {
			t.Errorf("%s is not the file in testdata/django", name)
		}
	}
	in, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		SecretKey string `json:"SECRET_KEY"`
		Users     []struct {
			Username     string
			Password     *string
			HasPerm      map[string]bool `json:"has_perm"`
			Authenticate struct{ Username *string }
		}
	}
	if err := json.Unmarshal(read(original, "expected.json"), &want); err != nil {
		t.Fatal(err)
	}
	if in.answers.SecretKey != want.SecretKey || len(in.answers.Users) != len(want.Users) {
		t.Fatal("answers.json is not taken from expected.json")
	}
	for i, w := range want.Users {
		a := in.answers.Users[i]
		if a.Username != w.Username || a.LogsIn != (w.Authenticate.Username != nil) || (a.Password == nil) != (w.Password == nil) || len(w.HasPerm) != len(in.answers.Perms) {
			t.Errorf("%s: %+v", w.Username, a)
		}
		for p, has := range w.HasPerm {
			if has != slices.Contains(a.Perms, p) {
				t.Errorf("%s: %q", w.Username, p)
			}
		}
	}
}
