package latchbolt_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/canary"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

const goodPassword = "correct horse battery staple"

// open makes an engine on a fresh file, which is closed with the test.
// Passwords cost next to nothing unless cfg says otherwise.
func open(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "app.db"), cfg)
}

// openAt is open for a file that may be there already.
func openAt(t testing.TB, path string, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	eng, err := latchbolt.Open(path, forTests(cfg))
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, eng)
	return eng
}

// openOn makes an engine on a store.
func openOn(t testing.TB, store kv.Store, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	eng, err := latchbolt.OpenStore(store, forTests(cfg))
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, eng)
	return eng
}

func closeAtEnd(t testing.TB, eng *latchbolt.Engine) {
	t.Cleanup(func() {
		verify(t, eng)
		if err := eng.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if eng.Path() != "" {
			canary.Files(t, filepath.Dir(eng.Path()))
		}
	})
}

// reopen closes an engine that openAt opened and opens its file again.
func reopen(t testing.TB, eng *latchbolt.Engine, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	verify(t, eng)
	must(t, "closing", eng.Close())
	return openAt(t, eng.Path(), cfg)
}

// forTests returns a copy of cfg that creates the file, hashes cheaply and logs nothing.
func forTests(cfg *latchbolt.Config) *latchbolt.Config {
	c := latchbolt.Config{}
	if cfg != nil {
		c = *cfg
	}
	c.Create = true
	if c.Hashers == nil {
		c.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}}
	}
	if c.Logger == nil {
		c.Logger = canary.Logger()
	}
	return &c
}

// must ends the test if err is not nil.
func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// A testClock is a clock that stands still until it is moved.
type testClock struct{ nanos atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.nanos.Store(time.Now().Add(time.Minute).Truncate(time.Second).UnixNano())
	return c
}

func (c *testClock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *testClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// fieldCodes lists the field errors in err as "field code, field code".
func fieldCodes(err error) string {
	var many latchbolt.FieldErrors
	var one *latchbolt.FieldError
	switch {
	case errors.As(err, &many):
	case errors.As(err, &one):
		many = append(many, one)
	case err != nil:
		return err.Error()
	}
	var all []string
	for _, e := range many {
		all = append(all, e.Field+" "+e.Code)
	}
	return strings.Join(all, ", ")
}

// wantFields fails the test unless err holds exactly these field errors, and is ErrInvalid.
func wantFields(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := fieldCodes(err); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
	if err != nil && !errors.Is(err, latchbolt.ErrInvalid) {
		t.Errorf("%s: %v is not ErrInvalid", what, err)
	}
}

// commits is how often the file was written.
func commits(t testing.TB, eng *latchbolt.Engine) uint64 {
	t.Helper()
	s, err := eng.Stats()
	must(t, "statistics", err)
	return s.Commits
}

// logIn logs a user in with options and goodPassword.
func logIn(t testing.TB, eng *latchbolt.Engine, name string, o latchbolt.LoginOptions) latchbolt.Session {
	t.Helper()
	s, err := eng.Login(t.Context(), authenticate(t, eng, name), o)
	must(t, "logging in "+name, err)
	return s
}

// alive reports whether a token stands for a session of a user.
func alive(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token) bool {
	t.Helper()
	_, err := eng.SessionUser(t.Context(), tok)
	if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("SessionUser: %v", err)
	}
	return err == nil
}

// set returns a function for UpdateUser that always succeeds.
func set(fn func(*latchbolt.User)) func(*latchbolt.User) error {
	return func(u *latchbolt.User) error { fn(u); return nil }
}

func deactivated(u *latchbolt.User) { u.Inactive = true }
func activated(u *latchbolt.User)   { u.Inactive = false }

// parallel runs fn n times at once and returns the errors by number.
func parallel(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

// count is how many of errs are target; nil counts successes.
func count(errs []error, target error) (n int) {
	for _, err := range errs {
		if errors.Is(err, target) {
			n++
		}
	}
	return n
}

// verify fails the test if the file is not sound. Every test that opens an
// engine with open ends with it.
func verify(t testing.TB, eng *latchbolt.Engine) {
	t.Helper()
	for f, err := range eng.Verify(context.Background()) {
		if errors.Is(err, latchbolt.ErrClosed) {
			return // the test closed it
		}
		if err != nil {
			t.Errorf("verifying: %v", err)
			return
		}
		t.Errorf("verifying: %v", f)
	}
}

// addUser stores a user with goodPassword.
func addUser(t testing.TB, eng *latchbolt.Engine, name string) *latchbolt.User {
	t.Helper()
	u := &latchbolt.User{Username: name}
	if err := eng.CreateUser(t.Context(), u, goodPassword); err != nil {
		t.Fatalf("creating %q: %v", name, err)
	}
	return u
}

func authenticate(t testing.TB, eng *latchbolt.Engine, name string) latchbolt.Identity {
	t.Helper()
	id, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: goodPassword})
	if err != nil {
		t.Fatalf("authenticating %q: %v", name, err)
	}
	return id
}

func login(t testing.TB, eng *latchbolt.Engine, name string) latchbolt.Session {
	t.Helper()
	s, err := eng.Login(t.Context(), authenticate(t, eng, name), latchbolt.LoginOptions{})
	if err != nil {
		t.Fatalf("logging in %q: %v", name, err)
	}
	return s
}

// want fails the test unless err is target.
func want(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

func TestFirstSteps(t *testing.T) {
	ctx := context.Background()
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	if err := eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add_post", Name: "Can add post"}); err != nil {
		t.Fatal(err)
	}
	g, err := eng.CreateGroup(ctx, "writers")
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Grant(ctx, g, "blog.add_post"); err != nil {
		t.Fatal(err)
	}
	s := login(t, eng, "ada")
	id, err := eng.SessionUser(ctx, s.Token)
	if err != nil || id.ID() != u.ID {
		t.Fatalf("SessionUser: %v, %v", id, err)
	}
	for _, step := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"before", func() error { return nil }, false},
		{"in the group", func() error { return eng.AddToGroup(ctx, u.ID, g) }, true},
		{"group lost it", func() error { return eng.Revoke(ctx, g, "blog.add_post") }, false},
		{"granted directly", func() error { return eng.Grant(ctx, u.ID, "blog.add_post") }, true},
		{"taken back", func() error { return eng.Revoke(ctx, u.ID, "blog.add_post") }, false},
		{"superuser", func() error {
			return eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error { u.Superuser = true; return nil })
		}, true},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		for range 2 {
			if ok, err := eng.HasPerm(ctx, id, "blog.add_post"); err != nil || ok != step.want {
				t.Errorf("%s: got %v, %v, want %v", step.what, ok, err, step.want)
			}
			if now, err := eng.SessionUser(ctx, s.Token); err != nil || now.Has("blog.add_post") != step.want {
				t.Errorf("%s: Has is not %v: %v", step.what, step.want, err)
			}
		}
	}
	if err := eng.Logout(ctx, s.Token); err != nil {
		t.Fatal(err)
	}
	_, err = eng.SessionUser(ctx, s.Token)
	want(t, "after logout", err, latchbolt.ErrNoSession)
}

func BenchmarkSmoke(b *testing.B) {
	eng := open(b, nil)
	addUser(b, eng, "ada")
	s := login(b, eng, "ada")
	id, err := eng.SessionUser(b.Context(), s.Token)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("SessionUser", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := eng.SessionUser(b.Context(), s.Token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("HasPerm", func(b *testing.B) {
		b.ReportAllocs()
		ctx := context.Background()
		for b.Loop() {
			if _, err := eng.HasPerm(ctx, id, "blog.add_post"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, "reading", err)
	return string(data)
}

// rawSecret is the secret half of a token.
func rawSecret(t testing.TB, tok latchbolt.Token) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(tok.Reveal())
	must(t, "decoding", err)
	return raw[16:]
}
