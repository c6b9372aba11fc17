package django_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// strong are the users whose hashes have Django's default strength, or nearly. Every failed login costs what the dearest hash
// in a file does, so they have files of their own.
var strong = []string{"carol", "dave", "frank", "ivan", "laura", "olivia", "rupert"}

// authenticate answers the name of the user that the password proves, or "".
func authenticate(t testing.TB, eng *latchbolt.Engine, name, password string) string {
	t.Helper()
	id, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: password})
	if err != nil && !errors.Is(err, latchbolt.ErrCredentials) {
		t.Errorf("%s: %v", name, err)
	}
	return id.Username()
}

// userRows runs fn for each user in parallel, with an engine that has all users who are not strong, or the strong one alone.
func userRows(t *testing.T, cfg func(strong bool) *latchbolt.Config, fn func(t *testing.T, eng *latchbolt.Engine, w *userRow)) {
	dump := readFile(t, "auth.json")
	weak, _ := imported(t, cfg(false), only(t, dump, func(name string) bool { return !slices.Contains(strong, name) }), nil)
	var wait sync.WaitGroup
	slots := make(chan struct{}, 2)
	for i := range answers(t).Users {
		w := &answers(t).Users[i]
		eng := weak
		if slices.Contains(strong, w.Username) {
			eng, _ = imported(t, cfg(true), only(t, dump, func(name string) bool { return name == w.Username }), nil)
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			fn(t, eng, w)
		})
	}
	wait.Wait()
}

// TestCheckPassword tries the right password, others, and the hash itself, with a backend that lets inactive users in.
func TestCheckPassword(t *testing.T) {
	c := check(t, "check_password")
	userRows(t, func(bool) *latchbolt.Config {
		cfg := config()
		cfg.Backends = []latchbolt.Backend{latchbolt.PasswordBackend{Inactive: true}}
		return cfg
	}, func(t *testing.T, eng *latchbolt.Engine, w *userRow) {
		try := func(what, password string, want bool) {
			t.Helper()
			c.row(t, w.Username+": "+what, authenticate(t, eng, w.Username, password) != "", want)
		}
		// The right one is last: it may replace the hash.
		// Wrong ones of a strong hash are for CI; with the race detector bcrypt alone would take minutes.
		quick := (raceDetector || !testsize.Full()) && slices.Contains(strong, w.Username)
		for _, other := range w.CheckPassword.Others {
			if quick {
				break
			}
			try("other "+other[0].(string), other[0].(string), other[1] == true)
		}
		if w.CheckPassword.HashItself.Raises == "" && !quick {
			try("the hash itself", w.Encoded, w.CheckPassword.HashItself.Value)
		}
		if w.Password != nil {
			try("right", *w.Password, w.CheckPassword.Right)
		}
	})
}

// TestUpgrade logs in with both backends and looks at the hash that is stored afterwards.
func TestUpgrade(t *testing.T) {
	c := check(t, "upgrade")
	for _, b := range []latchbolt.PasswordBackend{{}, {Inactive: true}} {
		userRows(t, func(strong bool) *latchbolt.Config {
			cfg := config()
			cfg.Backends = []latchbolt.Backend{b}
			// More than any of the weak ones have; the strong ones are measured against Django's own default.
			iterations := 20_000
			if strong {
				iterations = 1_000_000
			}
			cfg.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: iterations}}
			return cfg
		}, func(t *testing.T, eng *latchbolt.Engine, w *userRow) {
			want := w.Authenticate
			if b.Inactive {
				want = w.AuthenticateAll
			}
			if w.Password == nil || b.Inactive && slices.Contains(strong, w.Username) {
				return // the strong ones are active, so the backends do the same
			}
			row := func(what string, got, want any) { t.Helper(); c.row(t, w.Username+": "+what, got, want) }
			name := ""
			if want.Username != nil {
				name = *want.Username
			}
			got := authenticate(t, eng, w.Username, *w.Password)
			row(b.Name(), got, name)
			if got == "" || name == "" {
				return
			}
			var now latchbolt.PasswordHash
			if err := eng.View(t.Context(), func(tx *latchbolt.ReadTx) (err error) {
				now, err = tx.PasswordHash(latchbolt.UserID(w.PK))
				return err
			}); err != nil {
				t.Error(err)
			}
			upgraded := now.Reveal() != w.Encoded
			row("upgraded", upgraded, want.Upgraded)
			if upgraded {
				row("hash after", strings.HasPrefix(now.Reveal(), "pbkdf2_sha256$"), strings.HasPrefix(want.After, "pbkdf2_sha256$"))
				if !slices.Contains(strong, w.Username) {
					row("after the upgrade", authenticate(t, eng, w.Username, *w.Password), name)
				}
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	c := check(t, "authenticate")
	for _, sensitive := range []bool{true, false} {
		var failed []latchbolt.LoginFailure
		cfg := config()
		cfg.CaseSensitive = sensitive
		cfg.Events.UserLoginFailed = func(f latchbolt.LoginFailure) { failed = append(failed, f) }
		dump := only(t, readFile(t, "auth.json"), func(name string) bool { return !slices.Contains(strong, name) })
		eng, _ := imported(t, cfg, dump, nil)
		for _, w := range answers(t).Authenticate {
			failed = nil
			typed := w.Credentials["username"]
			got := authenticate(t, eng, typed, w.Credentials["password"])
			want := ""
			if w.Username != nil {
				want = *w.Username
			}
			row := typed
			switch {
			case strings.ContainsRune(typed, '\u2126'):
				row += " (Ohm sign)"
			case strings.ContainsRune(typed, '\ufb01'):
				row += " (ligature)"
			case !sensitive:
				row += " (any case)"
			}
			c.row(t, row, got, want)
			c.row(t, row+": event", len(failed), map[bool]int{true: 1}[w.Failed != nil])
			if len(failed) == 1 && w.Failed != nil {
				c.row(t, row+": name in the event", failed[0].Username, w.Failed["username"])
			}
		}
	}
}

func TestRemoteUser(t *testing.T) {
	c := check(t, "remote_user")
	dump := only(t, readFile(t, "auth.json"), func(name string) bool { return name == "alice" || name == "walter" })
	for _, w := range answers(t).RemoteUser {
		cfg := config()
		b := latchbolt.RemoteUserBackend{Inactive: strings.HasPrefix(w.Backend, "AllowAll")}
		cfg.Backends = []latchbolt.Backend{b}
		eng, _ := imported(t, cfg, dump, nil)
		before := len(userNames(t, eng, latchbolt.UserQuery{}))
		id, err := eng.Authenticate(t.Context(), latchbolt.RemoteUser{Username: w.RemoteUser})
		if err != nil && !errors.Is(err, latchbolt.ErrCredentials) {
			t.Fatal(err)
		}
		name := w.RemoteUser
		if strings.ContainsRune(name, '\u0301') {
			name += " (decomposed)"
		}
		row := func(what string, got, want any) { t.Helper(); c.row(t, w.Backend+" "+name+": "+what, got, want) }
		want := ""
		if w.Username != nil {
			want = *w.Username
		}
		row("name", id.Username(), want)
		row("created", len(userNames(t, eng, latchbolt.UserQuery{}))-before, w.Created)
		if id.Anonymous() || w.Usable == nil {
			continue
		}
		u, err := eng.User(t.Context(), id.ID())
		if err != nil {
			t.Fatal(err)
		}
		row("usable", u.Password.Usable, *w.Usable)
		if w.Password != nil {
			var h latchbolt.PasswordHash
			if err := eng.View(t.Context(), func(tx *latchbolt.ReadTx) (err error) {
				h, err = tx.PasswordHash(id.ID())
				return err
			}); err != nil {
				t.Fatal(err)
			}
			row("password field", h.Reveal(), *w.Password)
		}
	}
}

// TestLegacyHashes: with the option, the hashes of very old Django versions are verified.
func TestLegacyHashes(t *testing.T) {
	dump := []byte(`{"model":"auth.user","pk":3,"fields":{"password":"0d107d09f5bbe40cade3de5c71e9e9b7","last_login":null,"is_superuser":false,"username":"old","first_name":"","last_name":"","email":"","is_staff":false,"is_active":true,"date_joined":"2010-01-01T00:00:00Z","groups":[],"user_permissions":[]}}`)
	for _, legacy := range []bool{false, true} {
		cfg := config()
		cfg.LegacyHashes = legacy
		eng, report := imported(t, cfg, append(append([]byte("["), dump...), ']'), nil)
		if got, want := authenticate(t, eng, "old", "letmein"), map[bool]string{true: "old"}[legacy]; got != want {
			t.Errorf("LegacyHashes %v: got %q, want %q", legacy, got, want)
		}
		if len(report.Warnings) != 1 || report.Warnings[0].Key != `"old"` {
			t.Errorf("warnings %v, want one of the hash", report.Warnings)
		}
	}
}
