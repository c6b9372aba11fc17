package ndjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/django"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

// TestDjangoRoundTrip takes in the users of a real Django, and takes them through a file of this package into another engine.
func TestDjangoRoundTrip(t *testing.T) {
	from := open(t, config())
	report, err := django.Import(t.Context(), from, bytes.NewReader(readFile(t, "../../testdata/django/auth.json")), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := dump(t, from)
	for _, in := range []string{"seekable", "once"} {
		to := open(t, config())
		var got = struct{ users, groups, permissions int }{}
		if in == "once" {
			r, err := ndjson.Import(t.Context(), to, onlyReader{strings.NewReader(text)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got.users, got.groups, got.permissions = r.Users, r.Groups, r.Permissions
		} else {
			r := load(t, to, text, nil)
			got.users, got.groups, got.permissions = r.Users, r.Groups, r.Permissions
		}
		if got.users != 46 || got.users != report.Users || got.groups != report.Groups || got.permissions != report.Permissions {
			t.Errorf("%s: took over %+v, Django's were %+v", in, got, report)
		}
		if again := dump(t, to); again != text {
			t.Errorf("%s: written again, the text differs", in)
		}
		if got, want := state(t, to), state(t, from); got != want {
			t.Errorf("%s: the engines differ:\n%s\nwant\n%s", in, got, want)
		}
		// Django's own dump, too, is the same from both.
		var a, b bytes.Buffer
		for eng, w := range map[*latchbolt.Engine]*bytes.Buffer{from: &a, to: &b} {
			if _, err := django.Export(t.Context(), eng, w, nil); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) || a.Len() == 0 {
			t.Errorf("%s: Django's dumps differ", in)
		}
	}
	checkLines(t, text, report.Users+report.Groups+report.Permissions)
	checkPasswords(t, text)
}

// checkLines makes sure that each line is one JSON object.
func checkLines(t *testing.T, text string, want int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, `{"type":"`) || !json.Valid([]byte(line)) {
			t.Errorf("line %d is no object with a type", i+1)
		}
	}
}

// checkPasswords makes sure that the passwords of Django's users are right.
func checkPasswords(t *testing.T, text string) {
	t.Helper()
	var answers struct {
		Users []struct {
			Username string
			Password *string
			Active   bool                 `json:"is_active"`
			Check    struct{ Right bool } `json:"check_password"`
		}
	}
	if err := json.Unmarshal(readFile(t, "../../testdata/django/expected.json"), &answers); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.LegacyHashes = true
	eng := open(t, cfg)
	load(t, eng, text, nil)
	n := 0
	for _, u := range answers.Users {
		if u.Password == nil || !u.Active || !u.Check.Right {
			continue
		}
		n++
		if !logsIn(t, eng, u.Username, *u.Password) {
			t.Errorf("%s cannot log in", u.Username)
		}
		if n == 12 {
			break // hashing is slow
		}
	}
	if n < 12 {
		t.Errorf("only %d logins were tried", n)
	}
}

// state is everything that an engine holds, as text.
func state(t *testing.T, eng *latchbolt.Engine) string {
	t.Helper()
	var b strings.Builder
	err := eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		b.Reset()
		subject := func(s latchbolt.Subject) error {
			grants, err := tx.Grants(s)
			for _, g := range grants {
				fmt.Fprintf(&b, "  %+v\n", g)
			}
			return err
		}
		for p, err := range tx.Permissions() {
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%+v\n", *p)
		}
		for g, err := range tx.Groups() {
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%+v\n", *g)
			if err := subject(g.ID); err != nil {
				return err
			}
		}
		for u, err := range tx.Users() {
			if err != nil {
				return err
			}
			h, err := tx.PasswordHash(u.ID)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%+v %q\n", *u, h.Reveal())
			if err := subject(u.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestObjectsAndModels: grants for single objects, and of permissions that share a name, travel.
func TestObjectsAndModels(t *testing.T) {
	eng := open(t, config())
	load(t, eng, `{"type":"permission","app":"blog","model":"post","codename":"edit","name":"Can edit post"}
{"type":"permission","app":"blog","model":"page","codename":"edit","name":"Can edit page"}
{"type":"permission","app":"blog","codename":"all"}
{"type":"group","name":"editors","permissions":["blog.edit",{"permission":"blog.edit","model":"page"},{"permission":"blog.edit","object":"post:1"}]}
{"username":"ada","groups":["editors"],"user_permissions":[{"permission":"blog.all","model":"","object":"<x>&\u2028"},{"permission":"blog.edit","model":"page","object":"7"}]}
`, nil)
	text := dump(t, eng)
	want := `{"type":"permission","id":1,"app":"blog","model":"post","codename":"edit","name":"Can edit post"}
{"type":"permission","id":2,"app":"blog","model":"page","codename":"edit","name":"Can edit page"}
{"type":"permission","id":3,"app":"blog","model":"","codename":"all","name":""}
{"type":"group","id":1,"name":"editors","permissions":["blog.edit",{"permission":"blog.edit","object":"post:1"},{"permission":"blog.edit","model":"page"}]}
{"type":"user","id":1,"username":"ada","email":"","first_name":"","last_name":"","is_active":true,"is_staff":false,"is_superuser":false,"date_joined":"2026-05-04T10:20:30.123456Z","last_login":null,"groups":["editors"],"user_permissions":[{"permission":"blog.edit","model":"page","object":"7"},{"permission":"blog.all","object":"<x>&\u2028"}]}
`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	again := open(t, config())
	load(t, again, text, nil)
	if dump(t, again) != text || state(t, again) != state(t, eng) {
		t.Error("taken over once more, something differs")
	}
}

// TestTimesOutsideTheYears: no user keeps all others from being exported by a time that RFC 3339 does not have.
func TestTimesOutsideTheYears(t *testing.T) {
	for text, ok := range map[string]bool{
		"9999-12-31T23:59:59-00:01": false, "0000-01-01T00:00:00+00:01": false, "9999-12-31T23:59:59Z": true, "0000-01-01T00:00:00Z": true,
	} {
		for _, field := range []string{"date_joined", "last_login"} {
			eng := open(t, config())
			_, err := ndjson.Import(t.Context(), eng, strings.NewReader(`{"username":"ada","`+field+`":"`+text+`"}`), nil)
			var line *interop.LineError
			if ok && err != nil || !ok && (!errors.As(err, &line) || line.Field != field) {
				t.Errorf("%s %s: %v", field, text, err)
			}
			dump(t, eng)
		}
	}
	for at, want := range map[time.Time]string{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC): "9999-12-31T23:59:59.999999Z", time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC): "0000-01-01T00:00:00Z",
	} {
		eng := open(t, config())
		if err := eng.InsertUser(t.Context(), &latchbolt.User{Username: "ada", DateJoined: at, LastLogin: at}, latchbolt.PasswordHash{}); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		report, err := ndjson.Export(t.Context(), eng, &out, nil)
		if err != nil || len(report.Warnings) != 2 || strings.Count(out.String(), want) != 2 {
			t.Errorf("%v: %v, %v, %s", at, err, report.Warnings, &out)
		}
		load(t, open(t, config()), out.String(), nil)
	}
}
