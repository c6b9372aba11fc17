package django_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/djformat"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

type sessionRow struct {
	Note    string
	Key     string    `json:"session_key"`
	Expires time.Time `json:"expire_date"`
	AtNow   struct {
		Loaded       json.RawMessage
		KeySurvives  bool      `json:"key_survives"`
		BrowserClose *bool     `json:"get_expire_at_browser_close"`
		ExpiryDate   time.Time `json:"get_expiry_date"`
		GetUser      struct {
			User      *string
			KeyCycled bool `json:"key_cycled"`
		} `json:"get_user"`
	} `json:"at_frozen_now"`
}

// own are the values of a session that are the program's, as one text.
func own(t testing.TB, loaded json.RawMessage) string {
	t.Helper()
	var all map[string]any
	if json.Unmarshal(loaded, &all) != nil {
		return "{}" // not an object
	}
	maps.DeleteFunc(all, func(name string, _ any) bool { return strings.HasPrefix(name, "_") })
	return string(must(json.Marshal(all)))
}

// values are those of a session here, likewise.
func values(t testing.TB, eng *latchbolt.Engine, token latchbolt.Token) string {
	t.Helper()
	v, err := eng.Values(t.Context(), token)
	if errors.Is(err, latchbolt.ErrNoSession) {
		return "{}"
	}
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]any)
	for _, name := range v.Names() {
		var value any
		if _, err := v.Get(name, &value); err != nil {
			t.Fatal(err)
		}
		all[name] = value
	}
	return string(must(json.Marshal(all)))
}

func TestSessions(t *testing.T) {
	var file struct{ Sessions []sessionRow }
	readJSON(t, "sessions.json", &file)
	cfg := config()
	eng, report := imported(t, cfg, readFile(t, "auth.json"), secrets(t))
	c := check(t, "sessions")
	kept := 0
	for _, w := range file.Sessions {
		row := func(what string, got, want any) { t.Helper(); c.row(t, w.Note+": "+what, got, want) }
		token, err := latchbolt.ParseToken(w.Key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := eng.SessionUser(t.Context(), token)
		if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
			t.Fatal(err)
		}
		user := ""
		if w.AtNow.GetUser.User != nil {
			user = *w.AtNow.GetUser.User
		}
		row("user", id.Username(), user)
		row("user, again", must(again(eng, t, token)), user)
		row("values", values(t, eng, token), own(t, w.AtNow.Loaded))
		row("key survives", err == nil, w.AtNow.KeySurvives)
		if err != nil {
			continue
		}
		kept++
		row("key is cycled", false, w.AtNow.GetUser.KeyCycled)
		s, err := eng.Session(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		row("expires", s.Expires, milli(w.Expires))
		row("browser length", s.BrowserLength, *w.AtNow.BrowserClose)
		if fresh, err := eng.Fresh(t.Context(), token); fresh || err != nil {
			t.Errorf("%s: a session brought over counts as fresh (%v)", w.Note, err)
		}
	}
	if kept != report.Sessions {
		t.Errorf("%d sessions live, the report says %d", kept, report.Sessions)
	}
	if kept+len(report.Skipped) != len(file.Sessions) {
		t.Errorf("%d of %d sessions live and %d are reported", kept, len(file.Sessions), len(report.Skipped))
	}
	for _, n := range report.Skipped {
		for _, w := range file.Sessions {
			if strings.Contains(n.String(), w.Key) {
				t.Errorf("the report shows a session key: %v", n)
			}
		}
	}
}

// again asks once more, so that the answer comes from the cache.
func again(eng *latchbolt.Engine, t testing.TB, token latchbolt.Token) (string, error) {
	id, err := eng.SessionUser(t.Context(), token)
	if errors.Is(err, latchbolt.ErrNoSession) {
		err = nil
	}
	return id.Username(), err
}

// TestSessionReasons: the report says why each session was left out.
func TestSessionReasons(t *testing.T) {
	_, report := imported(t, config(), readFile(t, "auth.json"), secrets(t))
	for reason, want := range map[string]int{
		"the session is over":                                                                2,
		"the session is signed with none of the keys":                                        3,
		"the content of the session cannot be read or is not an object":                      1,
		"the session is empty":                                                               1,
		"the user of the session is not in the dump under that primary key":                  1,
		"the session belongs to another password of its user, or to none":                    2,
		"the backend of the session is not known; see ImportOptions.Backends":                1,
		"the user of the session is inactive and its backend does not let inactive users in": 1,
	} {
		if got := report.Reasons[reason]; got != want {
			t.Errorf("%d sessions left out because %s; want %d", got, reason, want)
		}
	}
}

// TestSessionLife follows a session that was brought over.
func TestSessionLife(t *testing.T) {
	const key = "tzp6auchw12w6fvyq5f2k0mukwa34r9f" // bob's, with values
	begin := func(t *testing.T) (*latchbolt.Engine, latchbolt.Token) {
		eng, _ := imported(t, config(), readFile(t, "auth.json"), secrets(t))
		return eng, must(latchbolt.ParseToken(key))
	}
	user := func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) string {
		t.Helper()
		return must(again(eng, t, token))
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) (next latchbolt.Token)
		old  string // who is logged in with the key afterwards
		new  string // and with the token that came of it
	}{
		{"logging out ends it", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			if err := eng.Logout(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			return latchbolt.Token{}
		}, "", ""},
		{"renewing gives it a token of the engine", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			return must(eng.Renew(t.Context(), token)).Token
		}, "", "bob"},
		{"changing the password gives it one too", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			return must(eng.ChangePassword(t.Context(), token, "builder-b0b!", "another password")).Token
		}, "", "bob"},
		{"setting the password ends it", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			if err := eng.SetPassword(t.Context(), 2, "another password"); err != nil {
				t.Fatal(err)
			}
			return latchbolt.Token{}
		}, "", ""},
		{"ending all sessions ends it", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			if err := eng.EndSessions(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			return latchbolt.Token{}
		}, "", ""},
		{"logging in over it keeps the values", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			id := must(eng.Identity(t.Context(), 2))
			return must(eng.Login(t.Context(), id, latchbolt.LoginOptions{Previous: token})).Token
		}, "", "bob"},
		{"changing the values leaves the key", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			return must(eng.UpdateValues(t.Context(), token, func(v *latchbolt.Values) error { return v.Set("more", 1) }))
		}, "bob", "bob"},
		{"another expiry leaves the key", func(t *testing.T, eng *latchbolt.Engine, token latchbolt.Token) latchbolt.Token {
			return must(eng.SetExpiry(t.Context(), token, time.Hour)).Token
		}, "bob", "bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eng, token := begin(t)
			if got := user(t, eng, token); got != "bob" {
				t.Fatalf("before: got %q, want bob", got)
			}
			before := values(t, eng, token)
			next := tt.do(t, eng, token)
			if got := user(t, eng, token); got != tt.old {
				t.Errorf("with the key: got %q, want %q", got, tt.old)
			}
			if tt.new == "" {
				return
			}
			if got := user(t, eng, next); got != tt.new {
				t.Errorf("with the new token: got %q, want %q", got, tt.new)
			}
			if got := values(t, eng, next); !strings.Contains(got, `"cart"`) || len(got) < len(before) {
				t.Errorf("values %s, want %s", got, before)
			}
		})
	}
}

// TestInsertSession: what the engine refuses to keep, and that nothing is left of it.
func TestInsertSession(t *testing.T) {
	ctx := t.Context()
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	good := latchbolt.BroughtSession{User: 1, Backend: "password", Expires: frozen.Add(time.Hour)}
	big := new(latchbolt.Values)
	if err := big.Set("big", strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  string
		s    func(s *latchbolt.BroughtSession)
		want error
	}{
		{"a good one", "abcdefgh", func(*latchbolt.BroughtSession) {}, nil},
		{"a key of 7 bytes", "abcdefg", func(*latchbolt.BroughtSession) {}, latchbolt.ErrInvalid},
		{"a key of 41 bytes", strings.Repeat("a", 41), func(*latchbolt.BroughtSession) {}, latchbolt.ErrInvalid},
		{"a key that looks like a sealed token", "s.abcdefghijk", func(*latchbolt.BroughtSession) {}, latchbolt.ErrInvalid},
		{"a key that is taken", "abcdefgh", func(*latchbolt.BroughtSession) {}, latchbolt.ErrExists},
		{"one that is over", "abcdefghi", func(s *latchbolt.BroughtSession) { s.Expires = frozen }, latchbolt.ErrInvalid},
		{"no such user", "abcdefghi", func(s *latchbolt.BroughtSession) { s.User = 999 }, latchbolt.ErrNotFound},
		{"a user without a backend", "abcdefghi", func(s *latchbolt.BroughtSession) { s.Backend = "" }, latchbolt.ErrInvalid},
		{"a backend without a user", "abcdefghi", func(s *latchbolt.BroughtSession) { s.User = 0 }, latchbolt.ErrInvalid},
		{"too many values", "abcdefghi", func(s *latchbolt.BroughtSession) { s.Values = big }, latchbolt.ErrInvalid},
		{"one that lives longer than nanoseconds count", "year9999", func(s *latchbolt.BroughtSession) {
			s.Expires = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		}, nil},
	} {
		s := good
		tt.s(&s)
		err := eng.Update(ctx, func(tx *latchbolt.Tx) error { return tx.InsertSession(tt.key, s) })
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if tt.want != nil {
			continue
		}
		for range 2 {
			if got := must(again(eng, t, must(latchbolt.ParseToken(tt.key)))); got != "alice" {
				t.Errorf("%s: got %q, want alice", tt.name, got)
			}
		}
	}
	n := 0
	for s, err := range eng.Sessions(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Expires.Year() > 2262 {
			t.Errorf("a session until %v: nanoseconds since 1970 overflow", s.Expires)
		}
		n++
	}
	if n != 2 {
		t.Errorf("alice has %d sessions, want 2", n)
	}
}

// signed is a row of django_session.
func signed(t testing.TB, key string, values map[string]any, expires time.Time) string {
	t.Helper()
	raw := make(map[string]json.RawMessage)
	for name, v := range values {
		raw[name] = must(json.Marshal(v))
	}
	data := must(djformat.Keys{Key: "secret"}.EncodeSession(raw, frozen))
	return fmt.Sprintf(`{"model":"sessions.session","pk":%q,"fields":{"session_data":%q,"expire_date":%q}}`, key, data, expires.Format(time.RFC3339))
}

// TestSessionOptions: sessions in the main dump, before their users, with other backends and another lifetime.
func TestSessionOptions(t *testing.T) {
	later := frozen.Add(1000 * time.Hour)
	in := func(path string, more map[string]any) map[string]any {
		values := map[string]any{"_auth_user_id": "1", "_auth_user_backend": path, "_auth_user_hash": djformat.SessionAuthHash("!x", "secret")}
		maps.Copy(values, more)
		return values
	}
	const model = "django.contrib.auth.backends.ModelBackend"
	dump := dumpOf(
		signed(t, "short", in(model, nil), later),
		signed(t, "toolarge", in(model, map[string]any{"x": strings.Repeat("y", 70_000)}), later),
		signed(t, "own-backend", in("shop.Backend", map[string]any{"_password_reset_token": "secret"}), later),
		signed(t, "switched-off", in("django.contrib.auth.backends.RemoteUserBackend", nil), later),
		signed(t, "anonymous-one", map[string]any{"cart": 1, "_session_expiry": 0, "_auth_user_id": "1"}, later),
		userRecord(1, "ada", "password", `"!x"`),
	)
	cfg := config()
	eng, report := imported(t, cfg, []byte(dump), &django.ImportOptions{SecretKey: "secret", SessionLifetime: time.Hour,
		Backends: map[string]string{"shop.Backend": "password", "django.contrib.auth.backends.RemoteUserBackend": ""}})
	if report.Sessions != 2 || report.Reasons["the key of the session has not 8 to 40 bytes"] != 1 ||
		report.Reasons["the values of the session are too large, or a name is empty or too long"] != 1 ||
		report.Reasons["the backend of the session is not known; see ImportOptions.Backends"] != 1 {
		t.Errorf("report %+v", report)
	}
	for key, want := range map[string]string{"own-backend": "ada", "anonymous-one": "", "switched-off": ""} {
		if got := must(again(eng, t, must(latchbolt.ParseToken(key)))); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if got := values(t, eng, must(latchbolt.ParseToken("own-backend"))); got != "{}" {
		t.Errorf("reserved values were kept: %s", got)
	}
	s, err := eng.Session(t.Context(), must(latchbolt.ParseToken("anonymous-one")))
	if err != nil || !s.BrowserLength || !s.Expires.Equal(frozen.Add(time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("the anonymous session: %+v, %v", s, err)
	}
	// Twice the same key is no dump of a table.
	row := signed(t, "twice-the-same", in(model, nil), later)
	fresh := open(t, config())
	if _, err := django.Import(t.Context(), fresh, strings.NewReader(dumpOf(userRecord(1, "ada", "password", `"!x"`), row, row)),
		&django.ImportOptions{SecretKey: "secret"}); err == nil || !strings.Contains(err.Error(), "record 3") || strings.Contains(err.Error(), "twice-the-same") {
		t.Errorf("one session twice: %v", err)
	}
	unused(t, "one session twice", fresh)
	// With natural keys nobody knows whose sessions they are.
	nameless := strings.Replace(userRecord(0, "ada", "password", `"!x"`), `"pk":0,`, "", 1)
	_, report = imported(t, config(), []byte(dumpOf(nameless, row)), &django.ImportOptions{SecretKey: "secret"})
	if report.Sessions != 0 || report.Reasons["the user of the session is not in the dump under that primary key"] != 1 {
		t.Errorf("natural keys: %+v", report)
	}
}
