package authtest_test

import (
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

func TestHelpers(t *testing.T) {
	eng := authtest.New(t, nil)
	u := authtest.User(t, eng, "ada", "blog.add_post", "blog.post.publish")
	s := authtest.Login(t, eng, u)
	id, err := eng.SessionUser(t.Context(), s.Token)
	if err != nil || id.ID() != u.ID {
		t.Fatalf("got %v, %v", id, err)
	}
	for perm, want := range map[latchbolt.Perm]bool{"blog.add_post": true, "blog.post.publish": true, "blog.delete_post": false} {
		if ok, err := eng.HasPerm(t.Context(), id, perm); ok != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", perm, ok, err, want)
		}
	}
	if _, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: authtest.Password}); err != nil {
		t.Errorf("the password does not work: %v", err)
	}
	if !authtest.Identity(t, eng, authtest.Superuser(t, eng, "root")).Superuser() {
		t.Error("the superuser is none")
	}
}

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	t.Run("first", func(t *testing.T) { authtest.User(t, authtest.Open(t, path, nil), "ada") })
	t.Run("second", func(t *testing.T) {
		if _, err := authtest.Open(t, path, nil).UserByName(t.Context(), "ada"); err != nil {
			t.Error(err)
		}
	})
}

// A permission that the program defined already, with its model and its own words, is that one.
func TestUserDefinesNothingTwice(t *testing.T) {
	eng := authtest.New(t, nil)
	want := latchbolt.Permission{App: "blog", Model: "post", Codename: "add_post", Name: "Can add post"}
	if err := eng.Define(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	authtest.User(t, eng, "ada", "blog.add_post")
	n := 0
	for p, err := range eng.Permissions(t.Context()) {
		if n++; err != nil || p.Model != want.Model || p.Name != want.Name {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	if n != 1 {
		t.Errorf("%d permissions", n)
	}
}
