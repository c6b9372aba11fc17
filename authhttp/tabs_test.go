package authhttp_test

import (
	"regexp"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// hidden returns the value of a hidden field of a page.
func hidden(t *testing.T, page, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `"[^>]* value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no field %s: %s", name, page)
	}
	return m[1]
}

// Of two links, each opened in a tab of its own, the form of the first does not set the password of the second's account: people
// whose accounts have one address get several mails at once.
func TestTwoResetLinksInTwoTabs(t *testing.T) {
	s := mailSite(t, new(outbox), nil)
	b := s.browser()
	open := func(u *latchbolt.User) (username string) {
		t.Helper()
		tok, err := s.eng.ResetToken(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		link, err := s.auth.ResetURL(tok)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "the link", b.get(link), 303)
		return hidden(t, body(b.get("/accounts/password/reset/set/")), "username")
	}
	const password = "another password for tests"
	send := func(username string) []string {
		return []string{"username", username, "password1", password, "password2", password}
	}
	works := func(name string) bool {
		_, err := s.eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: password})
		return err == nil
	}
	ada, bob := authtest.User(t, s.eng, "ada"), authtest.User(t, s.eng, "bob")
	first := open(ada)
	second := open(bob)
	want(t, "the first tab", b.post("/accounts/password/reset/set/", send(first)...), 409, "about bob now", `value="bob"`)
	if works("ada") || works("bob") {
		t.Error("a password was set")
	}
	want(t, "the second tab", b.post("/accounts/password/reset/set/", send(second)...), 303)
	if works("ada") || !works("bob") {
		t.Error("not the password of bob was set")
	}
}

// A form with the profile of one user, still open when another has signed in in the same browser, does not become the other's.
func TestProfileOfWhoWasSignedInBefore(t *testing.T) {
	s := newSite(t, nil, nil)
	ada, bob := authtest.User(t, s.eng, "ada"), authtest.User(t, s.eng, "bob")
	b := s.browser()
	b.login("ada")
	open := func() string { return hidden(t, body(b.get("/accounts/")), "user") }
	form := func(user string) []string {
		return []string{"user", user, "first_name", "Ada", "email", "ada@example.org"}
	}
	first := open()
	b.login("bob")
	want(t, "the old tab", b.post("/accounts/profile/", form(first)...), 409, "You are signed in as bob now. Nothing was saved.", `name="first_name" autocomplete="given-name" maxlength="150" value=""`)
	for _, u := range []*latchbolt.User{ada, bob} {
		if is, err := s.eng.User(t.Context(), u.ID); err != nil || is.FirstName != u.FirstName || is.Email != u.Email {
			t.Errorf("%s was changed: %+v, %v", u.Username, is, err)
		}
	}
	want(t, "the new tab", b.post("/accounts/profile/", form(open())...), 303)
	if is, err := s.eng.User(t.Context(), bob.ID); err != nil || is.Email != "ada@example.org" {
		t.Errorf("bob was not changed: %+v, %v", is, err)
	}
}

// The same with the form that changes the password, where both have the password that they were given at the beginning.
func TestPasswordOfWhoWasSignedInBefore(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	authtest.User(t, s.eng, "bob")
	b := s.browser()
	b.login("ada")
	open := func() string { return hidden(t, body(b.get("/accounts/password/change/")), "username") }
	form := func(username string) []string {
		const password = "another password for tests"
		return []string{"username", username, "old", authtest.Password, "password1", password, "password2", password}
	}
	first := open()
	b.login("bob")
	want(t, "the old tab", b.post("/accounts/password/change/", form(first)...), 409, "You are signed in as bob now. Nothing was saved.", `value="bob"`)
	if _, err := s.eng.Authenticate(t.Context(), latchbolt.Password{Username: "bob", Password: authtest.Password}); err != nil {
		t.Errorf("the password of bob was changed: %v", err)
	}
	want(t, "the new tab", b.post("/accounts/password/change/", form(open())...), 303)
}
