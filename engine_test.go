package latchbolt_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

const goodPassword = "correct horse battery staple"

// open makes an engine on a fresh file, which is closed with the test.
func open(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	c := latchbolt.Config{}
	if cfg != nil {
		c = *cfg
	}
	c.Create = true
	eng, err := latchbolt.Open(filepath.Join(t.TempDir(), "app.db"), &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		verify(t, eng)
		if err := eng.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return eng
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
