// Package authtest helps to test programs that embed a latchbolt engine: with
// engines on temporary files that hash cheaply, and users who are there with one call.
//
//	eng := authtest.New(t, nil)
//	u := authtest.User(t, eng, "ada", "blog.add_post")
//	sess := authtest.Login(t, eng, u)
//
// Never use it outside tests: the hashes it makes are worth nothing.
package authtest

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// Password is the password of every user that this package makes. It passes
// the default validators.
const Password = "a password for tests only"

// New opens an engine on a fresh file that is removed with the test, and closes it then.
// Hashing costs next to nothing. cfg may be nil; its Create and, if not set, its Hashers are set.
func New(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "test.db"), cfg)
}

// Open is New for a file of the caller's, such as one that is to be opened again. A file that
// is not there is made.
func Open(t testing.TB, path string, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	var c latchbolt.Config
	if cfg != nil {
		c = *cfg
	}
	c.Create = true
	if c.Hashers == nil {
		c.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}}
	}
	eng, err := latchbolt.Open(path, &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return eng
}

// User stores a user with [Password] and permissions, which are defined if they are not yet.
func User(t testing.TB, eng *latchbolt.Engine, name string, perms ...latchbolt.Perm) *latchbolt.User {
	t.Helper()
	u := &latchbolt.User{Username: name}
	if err := eng.CreateUser(t.Context(), u, Password); err != nil {
		t.Fatal(err)
	}
	for _, p := range perms {
		err := eng.Grant(t.Context(), u.ID, p)
		if errors.Is(err, latchbolt.ErrNotFound) {
			codename := string(p)
			if app := p.App(); app != "" {
				codename = codename[len(app)+1:]
			}
			if err = eng.Define(t.Context(), latchbolt.Permission{App: p.App(), Codename: codename, Name: string(p)}); err == nil {
				err = eng.Grant(t.Context(), u.ID, p)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// Superuser stores a superuser with [Password].
func Superuser(t testing.TB, eng *latchbolt.Engine, name string) *latchbolt.User {
	t.Helper()
	u := &latchbolt.User{Username: name, Staff: true, Superuser: true}
	if err := eng.CreateUser(t.Context(), u, Password); err != nil {
		t.Fatal(err)
	}
	return u
}

// Identity returns a user's identity without any proof.
func Identity(t testing.TB, eng *latchbolt.Engine, u *latchbolt.User) latchbolt.Identity {
	t.Helper()
	id, err := eng.Identity(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Login begins a session of a user without any proof.
func Login(t testing.TB, eng *latchbolt.Engine, u *latchbolt.User) latchbolt.Session {
	t.Helper()
	s, err := eng.Login(t.Context(), Identity(t, eng, u), latchbolt.LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
