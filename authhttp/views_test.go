package authhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

func TestLoginAndOut(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	want(t, "the page", b.get("/accounts/login/?next=/who"), 200, `name="username"`, `value="/who"`)
	res := b.post("/accounts/login/", "username", "ada", "password", "wrong")
	want(t, "wrong password", res, 401, "Please enter a correct user name and password", `value="ada"`)
	if len(b.cookies) != 0 {
		t.Errorf("a failed login set cookies: %v", b.cookies)
	}
	res = b.login("ada", "next", "/who")
	if got := res.Header.Get("Location"); got != "/who" {
		t.Errorf("Location: got %q", got)
	}
	want(t, "signed in", b.get("/who"), 200, "user=ada")
	want(t, "account", b.get("/accounts/"), 200, "Firefox on Linux", "192.0.2.7", "This device", "Signed in", "Failed to sign in")
	want(t, "logout by GET", b.get("/accounts/logout/"), 405) // inventory 56, HISTORY 47
	old := b.token()
	res = b.post("/accounts/logout/")
	want(t, "logout", res, 200, "signed out")
	if got := res.Header.Get("Clear-Site-Data"); !strings.Contains(got, `"cache"`) {
		t.Errorf("Clear-Site-Data: got %q", got)
	}
	if _, err := s.eng.SessionUser(t.Context(), old); err != latchbolt.ErrNoSession {
		t.Errorf("the token after the logout: %v", err)
	}
	if len(b.cookies) != 0 {
		t.Errorf("cookies after the logout: %v", b.cookies)
	}
}

func TestSmokeOfAllViews(t *testing.T) {
	s := newSite(t, &authhttp.Auth{BaseURL: base}, nil)
	u := authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	want(t, "change", b.get("/accounts/password/change/"), 200, `name="old"`, "characters")
	want(t, "confirm", b.get("/accounts/confirm/?next=/who"), 200, `name="password"`)
	want(t, "reset", b.get("/accounts/password/reset/"), 200, "ask an administrator")
	tok, err := s.eng.ResetToken(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.auth.ResetURL(tok)
	if err != nil {
		t.Fatal(err)
	}
	c := s.browser()
	res := c.get(strings.TrimPrefix(link, base))
	want(t, "link", res, http.StatusSeeOther)
	want(t, "set", c.get(res.Header.Get("Location")), 200, `name="password2"`)
	res = c.post("/accounts/password/reset/set/", "password1", "another long password", "password2", "another long password")
	want(t, "set", res, http.StatusSeeOther)
	want(t, "complete", c.get(res.Header.Get("Location")), 200, "new password now")
	want(t, "again", c.get(strings.TrimPrefix(link, base)), 200, "not good any more")
	want(t, "the other session", b.get("/who"), 200, "user=")
}
