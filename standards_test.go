package latchbolt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// What standards ask for and no other test holds. docs/STANDARDS.md has all of it.

// TestChangedIsCalled: a program can tell users of every change that they should know of, however it was made.
func TestChangedIsCalled(t *testing.T) {
	var told []latchbolt.Change
	eng := open(t, &latchbolt.Config{Events: latchbolt.Events{Changed: func(c latchbolt.Change) { told = append(told, c) }}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	hash, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hash", err)
	for _, c := range []struct {
		what string
		do   func() error
		kind latchbolt.ChangeKind
	}{
		{"address", func() error {
			return eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Email = "ada@example.com" }))
		}, latchbolt.ChangeUser},
		{"name", func() error {
			return eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Username = "augusta" }))
		}, latchbolt.ChangeUser},
		{"rights", func() error { return eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Staff = true })) }, latchbolt.ChangeUser},
		{"reset", func() error {
			tok, err := eng.ResetToken(ctx, u.ID)
			if err == nil {
				_, err = eng.ResetPassword(ctx, tok, "another fine passphrase")
			}
			return err
		}, latchbolt.ChangePassword},
		{"password by another", func() error { return eng.SetPassword(ctx, u.ID, goodPassword) }, latchbolt.ChangePassword},
		{"password by the user", func() error {
			_, err := eng.ChangePassword(ctx, login(t, eng, "augusta").Token, goodPassword, "a third fine passphrase")
			return err
		}, latchbolt.ChangePassword},
		{"hash", func() error { return eng.SetPasswordHash(ctx, u.ID, hash) }, latchbolt.ChangePassword},
	} {
		told = nil
		must(t, c.what, c.do())
		if len(told) != 1 || told[0] != (latchbolt.Change{Kind: c.kind, User: u.ID}) {
			t.Errorf("%s: told %+v", c.what, told)
		}
	}
	told = nil
	_, err = eng.ChangePassword(ctx, login(t, eng, "augusta").Token, "wrong", "a fourth fine passphrase")
	want(t, "a refused change", err, latchbolt.ErrCredentials)
	if len(told) != 0 {
		t.Errorf("told %+v of nothing", told)
	}
}

// TestFirstPasswordIsUnknown: who is made by an administrator without a password has one that nobody knows, and gets in by a link
// that ends; two of them have not the same.
func TestFirstPasswordIsUnknown(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, Throttle: unthrottled})
	ctx := t.Context()
	must(t, "boss", eng.CreateUser(ctx, &latchbolt.User{Username: "boss", Staff: true, Superuser: true}, goodPassword))
	a := eng.As(authenticate(t, eng, "boss"))
	hashes := make(map[string]bool)
	for _, name := range []string{"one", "two"} {
		id, err := a.CreateUser(ctx, latchbolt.NewUser{Username: name})
		must(t, name, err)
		must(t, "hash", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
			h, err := tx.PasswordHash(id)
			if !h.Usable() || hashes[h.Reveal()] {
				t.Errorf("%s: usable %v", name, h.Usable())
			}
			hashes[h.Reveal()] = true
			return err
		}))
		for _, password := range []string{"", name, "password", goodPassword} {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: password})
			want(t, name+" by "+password, err, latchbolt.ErrCredentials)
		}
		tok, err := a.ResetToken(ctx, id)
		must(t, "link", err)
		clock.advance(time.Hour + time.Second)
		_, err = eng.ResetPassword(ctx, tok, "another fine passphrase")
		want(t, "a link that is over", err, latchbolt.ErrToken)
	}
}

// A lockedBuffer is a buffer that several goroutines may write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestCanaries does what there is to do with passwords, tokens and keys that can be recognized, some of it wrong, with a full disk too, and looks
// for them in the log at its lowest level, in all events, errors and prints, in the trail, and in the bytes of every file.
func TestCanaries(t *testing.T) {
	var log lockedBuffer
	say := func(what string, v ...any) { fmt.Fprintf(&log, "%s: %v %+v %#v\n", what, v, v, v) }
	const password, other, typed = "canary one of a passphrase", "canary two of a passphrase", "canary that somebody typed"
	pepper := []byte("canary-pepper-of-thirty-two-byte")
	store := newFaultStore()
	cfg := &latchbolt.Config{
		Logger:  slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
		Peppers: []latchbolt.Pepper{{ID: 1, Key: pepper}},
		Events: latchbolt.Events{
			UserLoggedIn:    func(s latchbolt.Session) { say("in", s) },
			UserLoginFailed: func(f latchbolt.LoginFailure) { say("failed", f) },
			UserLoggedOut:   func(id latchbolt.UserID) { say("out", id) },
			Changed:         func(c latchbolt.Change) { say("changed", c) },
		},
	}
	var secrets []string
	keep := func(tok latchbolt.Token) latchbolt.Token {
		secrets = append(secrets, tok.Reveal(), string(rawSecret(t, tok)))
		return tok
	}
	use := func(eng *latchbolt.Engine, u *latchbolt.User) {
		ctx := latchbolt.WithActor(t.Context(), 1, netip.MustParseAddr("192.0.2.1"))
		say("user", *u, eng.CreateUser(ctx, u, password))
		say("again", eng.CreateUser(ctx, &latchbolt.User{Username: "ada"}, password))
		say("short", eng.CreateUser(ctx, &latchbolt.User{Username: "canary"}, "canary"), eng.SetPassword(ctx, u.ID, "canary"))
		for _, name := range []string{"ada", "nobody"} {
			id, err := eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: typed})
			say("wrong", id, err)
		}
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: password})
		say("right", id, err)
		for range 2 {
			s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
			say("login", s, err)
			keep(s.Token)
			p, err := eng.Session(ctx, s.Token)
			say("session", p, err)
			_, err = eng.ChangePassword(ctx, s.Token, typed, other)
			say("change", err)
			say("logout", eng.Logout(ctx, s.Token), eng.Logout(ctx, s.Token))
			_, err = eng.SessionUser(ctx, s.Token)
			say("dead", err)
		}
		tok, err := eng.ResetToken(ctx, u.ID)
		say("token", tok, err)
		keep(tok)
		_, err = eng.CheckToken(ctx, "another purpose", tok)
		say("purpose", err)
		_, err = eng.ResetPassword(ctx, tok, "canary")
		say("bad", err)
		_, err = eng.ResetPassword(ctx, tok, other)
		say("reset", err)
		_, err = eng.ResetPassword(ctx, tok, other)
		say("used", err)
		for e, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
			say("trail", e, err)
			if e != nil {
				say("trail", *e)
			}
		}
		for f, err := range eng.Verify(ctx) {
			say("finding", f, err)
		}
		say("engine", eng)
	}
	eng := openOn(t, store, cfg)
	use(eng, &latchbolt.User{Username: "ada"})
	s := logInWith(t, eng, other)
	keep(s.Token)
	store.failing(errors.New("the disk is full"))
	say("full", eng.Logout(t.Context(), s.Token), eng.SetPassword(t.Context(), s.User, password))
	store.failing(nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	file := openAt(t, path, cfg)
	use(file, &latchbolt.User{Username: "ada"})
	keep(logInWith(t, file, other).Token)
	must(t, "backup", file.Backup(t.Context(), filepath.Join(dir, "backup.db"), false))
	must(t, "closing", file.Close())
	files, err := os.ReadDir(dir)
	must(t, "reading", err)
	texts := map[string]string{"log": log.String()}
	for _, f := range files {
		texts[f.Name()] = readFile(t, filepath.Join(dir, f.Name()))
	}
	for where, text := range texts {
		for _, secret := range append(secrets, password, other, typed, string(pepper)) {
			for _, form := range formsOf(secret) {
				if strings.Contains(text, form) {
					t.Errorf("%s holds a secret, %.10q…", where, form)
				}
			}
		}
	}
	if len(secrets) < 16 || len(texts) < 3 || strings.Count(texts["log"], "\n") < 80 || !strings.Contains(texts["log"], `"level"`) {
		t.Errorf("%d secrets, %d files, %d lines of log: the check does not look right", len(secrets), len(texts)-1, strings.Count(texts["log"], "\n"))
	}
}

// formsOf returns how a secret may look where somebody printed it: as it is, and its beginning in hexadecimal, in base64, and as numbers.
func formsOf(secret string) []string {
	if secret == "" {
		return nil
	}
	start := []byte(secret[:min(len(secret), 15)])
	numbers := strings.Trim(fmt.Sprint(start), "[]")
	return []string{secret, fmt.Sprintf("%x", start), fmt.Sprintf("%X", start), base64.StdEncoding.EncodeToString(start), base64.URLEncoding.EncodeToString(start),
		numbers, strings.ReplaceAll(numbers, " ", ","), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", start), "[]byte{"), "}")}
}

// logInWith logs ada in by a password.
func logInWith(t testing.TB, eng *latchbolt.Engine, password string) latchbolt.Session {
	t.Helper()
	id, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: password})
	must(t, "authenticating", err)
	s, err := eng.Login(t.Context(), id, latchbolt.LoginOptions{})
	must(t, "login", err)
	return s
}
