package authhttp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// The way back leads to the address that the browser asked for, also from a handler that sees a shorter one.
func TestWayBackFromASubPath(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	s.mux.Handle("/files/", http.StripPrefix("/files", s.auth.RequireLogin(says("file"))))
	s.mux.Handle("/dear/", http.StripPrefix("/dear", s.auth.RequireFresh(says("dear"))))
	b := s.browser()
	for path, next := range map[string]string{
		"/files/2026/report.pdf?page=3": "/files/2026/report.pdf%3Fpage%3D3",
		"/dear/":                        "/dear/",
	} {
		if got := b.get(path).Header.Get("Location"); got != "/accounts/login/?next="+next {
			t.Errorf("%s: sent to %q", path, got)
		}
	}
	b.login("ada")
	want(t, "signed in", b.get("/files/2026/report.pdf"), 200, "file")
}

// A login page that asks for a login itself would send browsers round for ever; the log says what to do.
func TestLoginPageBehindALogin(t *testing.T) {
	for what, a := range map[string]*authhttp.Auth{
		"of the program": {LoginURL: "/signin", LoginRequired: true},
		"with its host":  {LoginURL: "https://" + host + "/signin", LoginRequired: true},
		"wrapped":        {LoginURL: "/signin/"},
	} {
		s := newSite(t, a, nil)
		s.page("/signin", func(w http.ResponseWriter, r *http.Request) {})
		s.mux.Handle("/", s.auth.RequireLogin(says("everything else")))
		b := s.browser()
		res := b.get("/private")
		want(t, what, res, 302)
		want(t, what+", the login page", b.get(res.Header.Get("Location")), 500)
		if log := s.log.String(); !strings.Contains(log, "Auth.Exempt") || !strings.Contains(log, "path=/signin") {
			t.Errorf("%s: the log says %s", what, log)
		}
	}
	// The same with the page that asks for the password again.
	clock := clockAt(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	s := newSite(t, nil, &latchbolt.Config{Clock: clock.now})
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	clock.advance(time.Hour)
	s.h = s.auth.Handler(s.auth.RequireFresh(s.mux))
	want(t, "not fresh", b.get("/who"), 303)
	want(t, "the page that confirms", b.get("/accounts/confirm/?next=/who"), 500)
	// A target that only has the path in common is another page.
	s = newSite(t, &authhttp.Auth{LoginURL: "/private?signin=1"}, nil)
	want(t, "with a query", s.browser().get("/private"), 302)
	s = newSite(t, &authhttp.Auth{LoginURL: "https://login.example/private"}, nil)
	want(t, "on another host", s.browser().get("/private"), 302)
}
