package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) string {
		must(t, "writing", os.WriteFile(path(name), []byte(content), 0o600))
		return path(name)
	}
	held := open(t, nil)
	must(t, "link", os.Symlink(held.Path(), path("link")))
	must(t, "folder", os.Mkdir(path("folder"), 0o700))
	for _, c := range []struct {
		what, path string
		want       error
	}{
		{"a missing file", path("missing"), fs.ErrNotExist},
		{"a missing folder", path("none/app.db"), fs.ErrNotExist},
		{"an empty file", write("empty", ""), latchbolt.ErrCorrupt},
		{"a text", write("text", strings.Repeat("hello ", 10_000)), latchbolt.ErrCorrupt},
		{"a symbolic link", path("link"), latchbolt.ErrInsecure},
		{"a folder", path("folder"), latchbolt.ErrInsecure},
		{"a file that is open", held.Path(), latchbolt.ErrLocked},
	} {
		before, _ := os.ReadFile(c.path)
		eng, err := latchbolt.Open(c.path, &latchbolt.Config{LockTimeout: -1})
		want(t, c.what, err, c.want)
		if eng != nil {
			t.Errorf("%s: an engine beside an error", c.what)
			eng.Close()
		}
		if after, _ := os.ReadFile(c.path); string(after) != string(before) {
			t.Errorf("%s: the file was changed", c.what)
		}
	}
	if _, err := os.Stat(path("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without Create left a file: %v", err)
	}
	if info, err := os.Stat(held.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of a new file: %v, %v", info.Mode(), err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	pw := latchbolt.PasswordBackend{}
	for what, cfg := range map[string]latchbolt.Config{
		"a negative lifetime":          {SessionLifetime: -1},
		"a negative remember lifetime": {RememberLifetime: -1},
		"a negative token lifetime":    {TokenLifetime: -1},
		"tokens that live too long":    {TokenLifetime: 30*24*time.Hour + 1},
		"a negative delay":             {Throttle: latchbolt.ThrottleConfig{First: -1}},
		"no hasher":                    {Hashers: []latchbolt.Hasher{}},
		"a hasher that is nil":         {Hashers: []latchbolt.Hasher{nil}},
		"an impossible hasher":         {Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: -1}}},
		"no backend":                   {Backends: []latchbolt.Backend{}},
		"two backends of one name":     {Backends: []latchbolt.Backend{pw, pw}},
		"a backend that is nil":        {Backends: []latchbolt.Backend{nil}},
		"a backend without a name":     {Backends: []latchbolt.Backend{fakeBackend{}}},
		"a backend of a long name":     {Backends: []latchbolt.Backend{fakeBackend{name: strings.Repeat("x", 65)}}},
		"a validator that is nil":      {Validators: []latchbolt.Validator{nil}},
		"a validator without sense":    {Validators: []latchbolt.Validator{latchbolt.UserAttributeSimilarity{Max: 0.05}}},
		"a short pepper":               {Peppers: []latchbolt.Pepper{{ID: 1, Key: []byte("short")}}},
	} {
		cfg.Create = true
		path := filepath.Join(t.TempDir(), "app.db")
		eng, err := latchbolt.Open(path, &cfg)
		if err == nil || eng != nil {
			t.Errorf("%s was taken", what)
			eng.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), "latchbolt: ") {
			t.Errorf("%s: the error is not ours: %v", what, err)
		}
		// Nothing stays locked.
		eng, err = latchbolt.Open(path, &latchbolt.Config{Create: true, LockTimeout: -1})
		must(t, "opening after "+what, err)
		must(t, "closing", eng.Close())
	}
}

func TestConfigIsCopied(t *testing.T) {
	cfg := &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}}, Validators: []latchbolt.Validator{latchbolt.MinimumLength{}}}
	eng := open(t, cfg)
	cfg.Backends[0], cfg.Validators[0] = fakeBackend{name: "evil", id: 1}, nil
	addUser(t, eng, "ada")
	_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: "wrong"})
	want(t, "a backend that was changed after Open", err, latchbolt.ErrCredentials)
}

func TestNewFileIsEmpty(t *testing.T) {
	eng := open(t, nil)
	if got := collect(t, eng, latchbolt.UserQuery{}); got != nil {
		t.Errorf("a new file has users: %v", usernames(got))
	}
	s, err := eng.Stats()
	if err != nil || s.Format != 1 || s.FileSize == 0 || s.Instance == "" || s.Denied != 0 || time.Since(s.Created).Abs() > time.Minute {
		t.Errorf("got %+v, %v", s, err)
	}
	other, err := open(t, nil).Stats()
	if err != nil || other.Instance == s.Instance {
		t.Errorf("two files have one identity: %+v, %v", other, err)
	}
}

func TestFileOfANewerFormatIsLeftAlone(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	must(t, "raising", eng.Update(t.Context(), func(tx *latchbolt.Tx) error { return tx.RaiseFormat() }))
	must(t, "closing", eng.Close())
	before := readFile(t, eng.Path())
	for _, create := range []bool{false, true} {
		_, err := latchbolt.Open(eng.Path(), &latchbolt.Config{Create: create})
		want(t, "opening", err, latchbolt.ErrNewerFormat)
	}
	if readFile(t, eng.Path()) != before {
		t.Error("the file was changed")
	}
}

func TestEverythingSurvivesClosing(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	g := addGroup(t, eng, "g")
	u := addUser(t, eng, "ada")
	must(t, "member", eng.AddToGroup(ctx, u.ID, g))
	must(t, "grant", eng.Grant(ctx, g, "blog.add", "post:1"))
	s := login(t, eng, "ada")
	setValue(t, eng, s.Token, "cart", "full")
	tok, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	n := len(trail(t, eng, latchbolt.AuditQuery{}))
	eng = reopen(t, eng, nil)
	id, err := eng.SessionUser(ctx, s.Token)
	if err != nil || id.ID() != u.ID || !hasPerm(t, eng, id, "blog.add", "post:1") || value(t, eng, s.Token, "cart") != "full" {
		t.Errorf("got %v, %v", id, err)
	}
	if _, err := eng.CheckToken(ctx, latchbolt.PurposeReset, tok); err != nil {
		t.Errorf("token: %v", err)
	}
	if got := len(trail(t, eng, latchbolt.AuditQuery{})); got != n {
		t.Errorf("%d entries in the trail, there were %d", got, n)
	}
}

func TestClosedEngineRefuses(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	id, err := eng.SessionUser(t.Context(), s.Token)
	must(t, "session", err)
	if !alive(t, eng, s.Token) || hasPerm(t, eng, id, "blog.add") {
		t.Fatal("not warm")
	}
	must(t, "closing", eng.Close())
	must(t, "closing again", eng.Close())
	calls := sessionCalls(eng, s.Token)
	calls["HasPerm"] = func(ctx context.Context) error { _, err := eng.HasPerm(ctx, id, "blog.add"); return err }
	calls["Authenticate"] = func(ctx context.Context) error {
		_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
		return err
	}
	calls["Login"] = func(ctx context.Context) error { _, err := eng.Login(ctx, id, latchbolt.LoginOptions{}); return err }
	calls["Logout"] = func(ctx context.Context) error { return eng.Logout(ctx, s.Token) }
	calls["User"] = func(ctx context.Context) error { _, err := eng.User(ctx, u.ID); return err }
	calls["CreateUser"] = func(ctx context.Context) error {
		return eng.CreateUser(ctx, &latchbolt.User{Username: "bob"}, goodPassword)
	}
	calls["DeleteUser"] = func(ctx context.Context) error { return eng.DeleteUser(ctx, u.ID) }
	calls["Update"] = func(ctx context.Context) error {
		return eng.Update(ctx, func(*latchbolt.Tx) error { t.Error("Update runs on a closed engine"); return nil })
	}
	calls["View"] = func(ctx context.Context) error {
		return eng.View(ctx, func(*latchbolt.ReadTx) error { t.Error("View runs on a closed engine"); return nil })
	}
	calls["Sweep"] = func(ctx context.Context) error { _, err := eng.Sweep(ctx); return err }
	calls["Users"] = func(ctx context.Context) error {
		for _, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
			return err
		}
		return nil
	}
	for what, call := range calls {
		want(t, what, call(t.Context()), latchbolt.ErrClosed)
	}
}

func TestUpdateIsAtomic(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	committed := 0
	errFail := errors.New("fail")
	insert := func(tx *latchbolt.Tx) error {
		tx.OnCommit(func() { committed++ })
		u := &latchbolt.User{Username: "ada"}
		if err := tx.InsertUser(u, latchbolt.PasswordHash{}); err != nil {
			return err
		}
		if got, err := tx.UserByName("ADA"); err != nil || got.ID != u.ID {
			t.Errorf("inside: got %v, %v", got, err)
		}
		return tx.InsertGroup(&latchbolt.Group{Name: "g"})
	}
	want(t, "a failing function", eng.Update(ctx, func(tx *latchbolt.Tx) error { return errors.Join(insert(tx), errFail) }), errFail)
	func() {
		defer func() {
			if p := recover(); p != "oops" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = eng.Update(ctx, func(tx *latchbolt.Tx) error { _ = insert(tx); panic("oops") })
	}()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	want(t, "a cancelled context", eng.Update(cancelled, insert), context.Canceled)
	if committed != 0 || collect(t, eng, latchbolt.UserQuery{}) != nil {
		t.Errorf("something happened: OnCommit %d times, users %v", committed, usernames(collect(t, eng, latchbolt.UserQuery{})))
	}
	must(t, "update", eng.Update(ctx, insert))
	if committed != 1 || len(collect(t, eng, latchbolt.UserQuery{})) != 1 {
		t.Errorf("OnCommit %d times", committed)
	}
	var stale *latchbolt.Tx
	must(t, "keeping a transaction", eng.Update(ctx, func(tx *latchbolt.Tx) error { stale = tx; return nil }))
	_, err := stale.User(1)
	want(t, "reading after the end", err, latchbolt.ErrClosed)
	want(t, "writing after the end", stale.InsertGroup(&latchbolt.Group{Name: "late"}), latchbolt.ErrClosed)
}

func TestNestedCallsAreRefused(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	calls := map[string]func() error{
		"CreateGroup": func() error { _, err := eng.CreateGroup(ctx, "g"); return err },
		"Update":      func() error { return eng.Update(ctx, func(*latchbolt.Tx) error { return nil }) },
		"UpdateUser":  func() error { return eng.UpdateUser(ctx, u.ID, set(deactivated)) },
		"Logout":      func() error { return eng.Logout(ctx, s.Token) },
		"EndSessions": func() error { return eng.EndSessions(ctx, u.ID) },
	}
	for what, call := range calls {
		must(t, "update", eng.Update(ctx, func(*latchbolt.Tx) error {
			want(t, what+" in Update", call(), latchbolt.ErrNested)
			return nil
		}))
		must(t, "view", eng.View(ctx, func(*latchbolt.ReadTx) error {
			want(t, what+" in View", call(), latchbolt.ErrNested)
			return nil
		}))
	}
	// A call that was refused that way revoked nothing, not in memory either.
	if st, err := eng.Stats(); err != nil || st.Denied != 0 || !alive(t, eng, s.Token) {
		t.Errorf("denied %d, %v", st.Denied, err)
	}
}

func TestCancelledCallsChangeNothing(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := commits(t, eng)
	for what, call := range map[string]func() error{
		"DeleteUser":  func() error { return eng.DeleteUser(ctx, u.ID) },
		"Deactivate":  func() error { return eng.UpdateUser(ctx, u.ID, set(deactivated)) },
		"SetPassword": func() error { return eng.SetPassword(ctx, u.ID, "another fine passphrase") },
		"EndSession":  func() error { return eng.EndSession(ctx, s.ID) },
		"EndSessions": func() error { return eng.EndSessions(ctx, u.ID) },
		"Logout":      func() error { return eng.Logout(ctx, s.Token) },
		"CreateGroup": func() error { _, err := eng.CreateGroup(ctx, "g"); return err },
		"IssueToken": func() error {
			_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p"})
			return err
		},
		"Sweep": func() error { _, err := eng.Sweep(ctx); return err },
	} {
		want(t, what, call(), context.Canceled)
	}
	if n := commits(t, eng) - before; n > 1 { // Sweep notes the time
		t.Errorf("%d commits", n)
	}
	if !alive(t, eng, s.Token) {
		t.Error("the session ended")
	}
	authenticate(t, eng, "ada")
}

// Every function given to the store may run twice. What it does besides must not show that.
func TestEverythingWorksWhenTransactionsRunTwice(t *testing.T) {
	var in, out, failed, changed int
	cfg := &latchbolt.Config{SessionLimit: 3, Events: latchbolt.Events{
		UserLoggedIn: func(latchbolt.Session) { in++ }, UserLoggedOut: func(latchbolt.UserID) { out++ },
		UserLoginFailed: func(latchbolt.LoginFailure) { failed++ }, Changed: func(latchbolt.Change) { changed++ }}}
	eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets, RunTwice: true}, cfg)
	ctx := t.Context()
	define(t, eng, "blog.add")
	u := addUser(t, eng, "ada")
	if u.ID != 1 {
		t.Errorf("the first user is %d", u.ID)
	}
	g := addGroup(t, eng, "g")
	if g != 1 {
		t.Errorf("the first group is %d", g)
	}
	must(t, "member", eng.AddToGroup(ctx, u.ID, g))
	must(t, "grant", eng.Grant(ctx, g, "blog.add"))
	_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
	want(t, "wrong", err, latchbolt.ErrCredentials)
	if _, n, err := eng.Throttled(ctx, u.ID); err != nil || n != 1 {
		t.Errorf("%d failures are counted, %v", n, err)
	}
	for range 5 {
		login(t, eng, "ada")
	}
	s := login(t, eng, "ada")
	if n := len(sessionsOf(t, eng, u.ID)); n != 3 {
		t.Errorf("%d sessions", n)
	}
	setValue(t, eng, s.Token, "cart", "full")
	s, err = eng.Renew(ctx, s.Token)
	must(t, "renew", err)
	s, err = eng.SetExpiry(ctx, s.Token, 60*24*time.Hour)
	must(t, "expiry", err)
	s, err = eng.ChangePassword(ctx, s.Token, goodPassword, "another fine passphrase")
	must(t, "change", err)
	if !alive(t, eng, s.Token) || value(t, eng, s.Token, "cart") != "full" {
		t.Error("the session was lost")
	}
	tok, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	ran := 0
	must(t, "issue", eng.RedeemToken(ctx, latchbolt.PurposeReset, tok, func(tx *latchbolt.Tx, _ *latchbolt.User, _ string) error {
		tx.OnCommit(func() { ran++ })
		return nil
	}))
	must(t, "logout", eng.Logout(ctx, s.Token))
	committed := 0
	must(t, "update", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		tx.OnCommit(func() { committed++ })
		return tx.InsertUser(&latchbolt.User{Username: "bob"}, latchbolt.PasswordHash{})
	}))
	eng.Settle(ctx)
	if ran != 1 || committed != 1 || in != 6 || out != 1 || failed != 1 {
		t.Errorf("OnCommit %d and %d times; events: %d logins, %d logouts, %d failures", ran, committed, in, out, failed)
	}
	if changed != 3 { // membership, grant, password
		t.Errorf("%d changes were told", changed)
	}
	if bob, err := eng.UserByName(ctx, "bob"); err != nil || bob.ID != 2 {
		t.Errorf("the second user is %+v, %v", bob, err)
	}
	var n int
	for _, a := range trail(t, eng, latchbolt.AuditQuery{Action: latchbolt.ActionUserCreate}) {
		n++
		_ = a
	}
	if n != 1 {
		t.Errorf("%d entries for one new user", n)
	}
	must(t, "delete", eng.DeleteUser(ctx, u.ID))
	must(t, "delete", eng.DeleteGroup(ctx, g))
	must(t, "undefine", eng.Undefine(ctx, "blog.add"))
}

// What takes authority away is in force although it cannot be written, and is told.
func TestRevocationsOnAFullDisk(t *testing.T) {
	const second = "another fine passphrase"
	try := func(eng *latchbolt.Engine, password string) error {
		_, err := eng.Authenticate(context.Background(), latchbolt.Password{Username: "ada", Password: password})
		return err
	}
	for _, c := range []struct {
		what   string
		revoke func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, s latchbolt.Session) error
		other  bool // the user's other session ends too
		login  bool // the user can log in with the old password meanwhile
		after  bool // and after it was written
	}{
		{"Logout", func(eng *latchbolt.Engine, ctx context.Context, _ latchbolt.UserID, s latchbolt.Session) error {
			return eng.Logout(ctx, s.Token)
		}, false, true, true},
		{"EndSession", func(eng *latchbolt.Engine, ctx context.Context, _ latchbolt.UserID, s latchbolt.Session) error {
			return eng.EndSession(ctx, s.ID)
		}, false, true, true},
		{"EndSessions", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, _ latchbolt.Session) error {
			return eng.EndSessions(ctx, id)
		}, true, true, true},
		{"deactivate", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, _ latchbolt.Session) error {
			return eng.UpdateUser(ctx, id, set(deactivated))
		}, true, false, false},
		{"DeleteUser", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, _ latchbolt.Session) error {
			err := eng.DeleteUser(ctx, id)
			if errors.Is(err, latchbolt.ErrNotFound) {
				return nil
			}
			return err
		}, true, false, false},
		{"SetPassword", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, _ latchbolt.Session) error {
			return eng.SetPassword(ctx, id, second)
		}, true, false, false},
		{"no password", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID, _ latchbolt.Session) error {
			return eng.SetPasswordHash(ctx, id, latchbolt.PasswordHash{})
		}, true, false, false},
	} {
		for _, failure := range []error{kv.ErrFull, errors.New("input/output error")} {
			withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
				store := newFaultStore()
				clock := newTestClock()
				cfg.Clock = clock.now
				eng := openOn(t, store, &cfg)
				ctx := t.Context()
				define(t, eng, "blog.add")
				u := addUser(t, eng, "ada")
				addUser(t, eng, "bob")
				must(t, "grant", eng.Grant(ctx, u.ID, "blog.add"))
				s, other, bob := login(t, eng, "ada"), login(t, eng, "ada"), login(t, eng, "bob")
				id, err := eng.SessionUser(ctx, s.Token)
				must(t, "session", err)
				if !alive(t, eng, other.Token) || !alive(t, eng, bob.Token) || !hasPerm(t, eng, id, "blog.add") {
					t.Fatal("not warm")
				}
				clock.advance(time.Second)
				store.failing(failure)
				err = c.revoke(eng, ctx, u.ID, s)
				if err == nil || errors.Is(failure, kv.ErrFull) && !errors.Is(err, latchbolt.ErrFull) {
					t.Errorf("%s: got %v", c.what, err)
				}
				check := func(when string, login bool) {
					t.Helper()
					for range 2 {
						if alive(t, eng, s.Token) || alive(t, eng, other.Token) == c.other || !alive(t, eng, bob.Token) {
							t.Errorf("%s, %s: the session %v, the other %v, bob's %v", c.what, when, alive(t, eng, s.Token), alive(t, eng, other.Token), alive(t, eng, bob.Token))
						}
						_, err := eng.Values(ctx, s.Token)
						want(t, c.what+", "+when+": Values", err, latchbolt.ErrNoSession)
					}
					if err := try(eng, goodPassword); (err == nil) != login {
						t.Errorf("%s, %s: login: %v", c.what, when, err)
					}
				}
				check("not written", c.login)
				if c.what == "deactivate" || c.what == "DeleteUser" {
					if hasPerm(t, eng, id, "blog.add") {
						t.Errorf("%s: a permission is left", c.what)
					}
				}
				if st, err := eng.Stats(); err != nil || st.Denied == 0 {
					t.Errorf("%s: denied %d, %v", c.what, st.Denied, err)
				}
				store.failing(nil)
				check("not written, but it could be", c.login)
				clock.advance(time.Second)
				must(t, c.what+" again", c.revoke(eng, ctx, u.ID, s))
				check("written", c.after)
				if st, err := eng.Stats(); err != nil || st.Denied != 0 {
					t.Errorf("%s, written: denied %d, %v", c.what, st.Denied, err)
				}
				if c.what == "SetPassword" {
					must(t, "the new password", try(eng, second))
				}
				if c.what == "deactivate" {
					must(t, "activate", eng.UpdateUser(ctx, u.ID, set(activated)))
					must(t, "login", try(eng, goodPassword))
				}
			})
		}
	}
}

// A change that is refused by the rules, and not by the disk, revokes nothing.
func TestRefusedChangesRevokeNothing(t *testing.T) {
	store := newFaultStore()
	eng := openOn(t, store, nil)
	ctx := t.Context()
	u := addUser(t, eng, "root")
	must(t, "promote", eng.UpdateUser(ctx, u.ID, set(makeSuperuser)))
	s := login(t, eng, "root")
	store.failing(kv.ErrFull)
	want(t, "the last superuser", eng.UpdateUser(ctx, u.ID, set(deactivated)), latchbolt.ErrLastSuperuser)
	want(t, "the last superuser", eng.DeleteUser(ctx, u.ID), latchbolt.ErrLastSuperuser)
	wantFields(t, "a bad name", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Inactive, u.Username = true, "a b" })), "username invalid")
	wantFields(t, "a bad password", eng.SetPassword(ctx, u.ID, "short"), "password password_too_short")
	want(t, "a name", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.FirstName = "x" })), latchbolt.ErrFull)
	want(t, "a login", func() error {
		_, err := eng.Login(ctx, authenticate(t, eng, "root"), latchbolt.LoginOptions{Previous: s.Token})
		return err
	}(), latchbolt.ErrFull)
	if st, err := eng.Stats(); err != nil || st.Denied != 0 || !alive(t, eng, s.Token) {
		t.Errorf("denied %d, %v, alive %v", st.Denied, err, alive(t, eng, s.Token))
	}
	store.failing(nil)
}

func TestBackupAndCompact(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	addUser(t, eng, "ada")
	copyPath := filepath.Join(t.TempDir(), "copy.db")
	must(t, "backup", eng.Backup(ctx, copyPath, false))
	if err := eng.Backup(ctx, copyPath, false); err == nil {
		t.Error("a backup replaced a file")
	}
	must(t, "replacing", eng.Backup(ctx, copyPath, true))
	if _, _, err := eng.Compact(ctx); err != nil {
		t.Errorf("compact: %v", err)
	}
	authenticate(t, openAt(t, copyPath, nil), "ada")
	authenticate(t, eng, "ada")
	mem := openOn(t, newFaultStore(), nil)
	if err := mem.Backup(ctx, copyPath, true); err == nil {
		t.Error("a backup of memory")
	}
	if _, _, err := mem.Compact(ctx); err == nil {
		t.Error("memory was compacted")
	}
}

// Reading what is written beside the callers does not wait inside a
// transaction, for which the writes wait in turn.
func TestReadingBehindWritesInsideATransaction(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	ctx := t.Context()
	must(t, "update", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
			want(t, "guess", err, latchbolt.ErrCredentials)
		}()
		<-done // its writes wait for this transaction now
		for _, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
			must(t, "audit", err)
		}
		_, _, err := eng.Throttled(ctx, u.ID)
		want(t, "closing", eng.Close(), latchbolt.ErrNested)
		return err
	}))
	must(t, "view", eng.View(ctx, func(*latchbolt.ReadTx) error {
		want(t, "closing", eng.Close(), latchbolt.ErrNested)
		return nil
	}))
	must(t, "closing", eng.Close())
	want(t, "after that", eng.Record(ctx, latchbolt.AuditEntry{Action: "x"}), latchbolt.ErrClosed)
}

// An engine that is printed shows nothing of its settings.
func TestEnginesDoNotPrintSecrets(t *testing.T) {
	key := []byte("a pepper of thirty-two bytes, ok")
	eng := open(t, &latchbolt.Config{Peppers: []latchbolt.Pepper{{ID: 1, Key: key}}})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "eng", eng)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %d", eng, eng, eng, eng, eng), log.String()} {
		if !strings.Contains(text, "app.db") || strings.Contains(text, "97 32 112") || strings.Contains(text, "pepper") || strings.Contains(text, "0x61, 0x20") {
			t.Errorf("got %s", text)
		}
	}
}

// An idle limit of less than a second is a second, not none.
func TestShortIdleLimit(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{SessionIdle: 900 * time.Millisecond, Clock: clock.now})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	if s.IdleFor != time.Second {
		t.Errorf("got %v, want 1s", s.IdleFor)
	}
	clock.advance(2 * time.Second)
	_, err := eng.SessionUser(t.Context(), s.Token)
	want(t, "two seconds later", err, latchbolt.ErrNoSession)
}

// TestGlanceChangesNothing: an engine that only had a look leaves every byte of the file as it was; one that was open for long
// stores how late it is, so that a clock that was set back since is noticed.
func TestGlanceChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	cfg := latchbolt.Config{Create: true, SweepEvery: -1, Clock: func() time.Time { return now }}
	visit := func(what string, look func(*latchbolt.Engine)) (changed bool) {
		t.Helper()
		before, _ := os.ReadFile(path)
		eng, err := latchbolt.Open(path, &cfg)
		must(t, what, err)
		look(eng)
		must(t, what, eng.Close())
		after, err := os.ReadFile(path)
		must(t, what, err)
		return string(before) != string(after)
	}
	visit("making", func(eng *latchbolt.Engine) {
		must(t, "user", eng.InsertUser(t.Context(), &latchbolt.User{Username: "ada"}, latchbolt.PasswordHash{}))
	})
	now = now.Add(24 * time.Hour)
	if visit("looking", func(eng *latchbolt.Engine) {
		_, err := eng.UserByName(t.Context(), "ada")
		must(t, "looking", err)
	}) {
		t.Error("a look changed the file")
	}
	now = now.Add(time.Hour)
	if !visit("staying", func(*latchbolt.Engine) { now = now.Add(time.Hour) }) {
		t.Error("an hour left no trace")
	}
	latest := now
	now = now.Add(-48 * time.Hour)
	visit("going back", func(eng *latchbolt.Engine) {
		if got := eng.Now(); got.Before(latest) {
			t.Errorf("it is %v, and was %v", got, latest)
		}
	})
}

// TestDenialsEndWithATransaction: what a full disk kept in memory only is over when the methods of a Tx have written it, too.
func TestDenialsEndWithATransaction(t *testing.T) {
	store := newFaultStore()
	eng := openOn(t, store, nil)
	ctx := t.Context()
	ada := addUser(t, eng, "ada")
	hash := func() (h latchbolt.PasswordHash) {
		must(t, "reading the hash", eng.View(ctx, func(tx *latchbolt.ReadTx) (err error) {
			h, err = tx.PasswordHash(ada.ID)
			return err
		}))
		return h
	}()
	for _, c := range []struct {
		what   string
		engine func() error
		tx     func(*latchbolt.Tx) error
	}{
		{"a password", func() error { return eng.SetPasswordHash(ctx, ada.ID, latchbolt.PasswordHash{}) },
			func(tx *latchbolt.Tx) error { return tx.SetPasswordHash(ada.ID, hash) }},
		{"a deactivation", func() error { return eng.UpdateUser(ctx, ada.ID, set(deactivated)) },
			func(tx *latchbolt.Tx) error {
				if err := tx.UpdateUser(ada.ID, set(deactivated)); err != nil {
					return err
				}
				return tx.UpdateUser(ada.ID, set(func(u *latchbolt.User) { u.Inactive = false }))
			}},
		{"a deletion", func() error { return eng.DeleteUser(ctx, ada.ID) },
			func(tx *latchbolt.Tx) error { return tx.DeleteUser(ada.ID) }},
	} {
		store.failing(kv.ErrFull)
		want(t, c.what, c.engine(), latchbolt.ErrFull)
		store.failing(nil)
		if stats, err := eng.Stats(); stats.Denied != 1 || err != nil {
			t.Fatalf("%s: %d denied, %v", c.what, stats.Denied, err)
		}
		must(t, c.what, eng.Update(ctx, c.tx))
		if stats, err := eng.Stats(); stats.Denied != 0 || err != nil {
			t.Errorf("%s: %d denied after it was written, %v", c.what, stats.Denied, err)
		}
		if c.what != "a deletion" {
			authenticate(t, eng, "ada")
		}
	}
}
