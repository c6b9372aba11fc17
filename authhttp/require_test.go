package authhttp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

func says(words string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, words) })
}

// A permission that a backend gives to everybody, also to who is not signed in.
type guestBackend struct{}

func (guestBackend) Name() string { return "guest" }
func (guestBackend) Authenticate(context.Context, *latchbolt.Engine, latchbolt.Credentials) (latchbolt.UserID, error) {
	return 0, latchbolt.ErrSkip
}
func (guestBackend) HasPerm(_ context.Context, _ *latchbolt.Engine, _ latchbolt.Identity, p latchbolt.Perm, _ latchbolt.Object) (bool, error) {
	if p == "site.outage" {
		return false, errDisk
	}
	return p == "site.look", nil
}
func (guestBackend) Perms(context.Context, *latchbolt.Engine, latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error) {
	return []latchbolt.Perm{"site.look"}, nil
}

// Inventory 88, 89, 99–101: who passes, who is sent to the login page, who is refused.
func TestRequire(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, guestBackend{}}})
	a := s.auth
	authtest.User(t, s.eng, "ada", "blog.add_post")
	authtest.User(t, s.eng, "bob")
	authtest.Superuser(t, s.eng, "root")
	for path, h := range map[string]http.Handler{
		"/login":    a.RequireLogin(says("in")),
		"/staff":    a.RequireStaff(says("in")),
		"/perm":     a.RequirePerm("blog.add_post")(says("in")),
		"/two":      a.RequirePerm("blog.add_post", "blog.delete_post")(says("in")),
		"/guest":    a.RequirePerm("site.look")(says("in")),
		"/outage":   a.RequirePerm("site.outage")(says("in")),
		"/func":     a.RequireFunc(func(_ *http.Request, id latchbolt.Identity) (bool, error) { return id.Username() == "bob", nil })(says("in")),
		"/func-bad": a.RequireFunc(func(*http.Request, latchbolt.Identity) (bool, error) { return true, errDisk })(says("in")),
	} {
		s.mux.Handle(path, h)
	}
	who := map[string]*browser{"nobody": s.browser()}
	for _, name := range []string{"ada", "bob", "root"} {
		who[name] = s.browser()
		who[name].login(name)
	}
	const in, login, no, out = 200, 302, 403, 503
	for path, want := range map[string]map[string]int{
		"/login":    {"nobody": login, "ada": in, "bob": in, "root": in},
		"/staff":    {"nobody": login, "ada": no, "bob": no, "root": in},
		"/perm":     {"nobody": login, "ada": in, "bob": no, "root": in},
		"/two":      {"nobody": login, "ada": no, "bob": no, "root": in},
		"/guest":    {"nobody": in, "ada": in, "bob": in, "root": in},
		"/outage":   {"nobody": out, "ada": out, "bob": out, "root": in},
		"/func":     {"nobody": login, "ada": no, "bob": in, "root": no},
		"/func-bad": {"nobody": out, "ada": out, "bob": out, "root": out},
	} {
		for name, b := range who {
			res := b.get(path)
			if res.StatusCode != want[name] {
				t.Errorf("%s, %s: got %d, want %d", path, name, res.StatusCode, want[name])
			}
			if got := res.Header.Get("Location"); want[name] == login && got != "/accounts/login/?next="+path {
				t.Errorf("%s, %s: sent to %q", path, name, got)
			}
			if got := body(res); (got == "in") != (want[name] == in) {
				t.Errorf("%s, %s: body %q", path, name, got)
			}
			if res.Header.Get("Vary") == "" {
				t.Errorf("%s, %s: no Vary", path, name)
			}
		}
	}
	// A permission that is taken back is refused in the next request.
	id, err := s.eng.UserByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.eng.Revoke(t.Context(), id.ID, "blog.add_post"); err != nil {
		t.Fatal(err)
	}
	want(t, "after it was taken back", who["ada"].get("/perm"), 403)
	defer func() {
		if recover() == nil {
			t.Error("RequirePerm without a permission does not panic")
		}
	}()
	a.RequirePerm()
}

// Programs get 401 with a challenge and no redirect; which of the two somebody is, is decided by what they accept.
func TestProgramsGet401(t *testing.T) {
	s := newSite(t, nil, nil)
	s.mux.Handle("/api", s.auth.Bearer(s.auth.BasicAuth(s.auth.RequireLogin(says("in")))))
	for name, h := range map[string]http.Header{
		"curl": {"Accept": {"*/*"}}, "nothing": {}, "json": {"Accept": {"application/json"}},
		"fetch": {"Accept": {"text/html"}, "Sec-Fetch-Mode": {"cors"}}, "XHR": {"Accept": {"text/html"}, "X-Requested-With": {"XMLHttpRequest"}},
	} {
		b := s.browser()
		b.header = h
		res := b.get("/private")
		want(t, name, res, 401, "Please sign in.")
		if got := res.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Cookie ") || res.Header.Get("Location") != "" || strings.Contains(body(res), "<") {
			t.Errorf("%s: %v %s", name, res.Header, body(res))
		}
		res = b.get("/api")
		want(t, name, res, 401)
		if got := res.Header["Www-Authenticate"]; len(got) != 2 || !strings.HasPrefix(got[0], "Bearer ") || !strings.HasPrefix(got[1], "Basic ") {
			t.Errorf("%s: challenges %q", name, got)
		}
		if got := res.Header.Get("Vary"); !strings.Contains(got, "Authorization") || !strings.Contains(got, "Cookie") {
			t.Errorf("%s: Vary %q", name, got)
		}
	}
	want(t, "a person", s.browser().get("/private?x=1&y=2"), 302)
}

func TestRequireFresh(t *testing.T) {
	clock := clockAt(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	s := newSite(t, nil, &latchbolt.Config{Clock: clock.now})
	s.mux.Handle("/danger", s.auth.RequireFresh(says("boom")))
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	want(t, "nobody", b.get("/danger"), 302)
	b.login("ada", "remember", "on")
	want(t, "fresh", b.get("/danger"), 200, "boom")
	clock.advance(16 * time.Minute)
	res := b.get("/danger?a=b")
	if got := res.Header.Get("Location"); res.StatusCode != 303 || got != "/accounts/confirm/?next=/danger%3Fa%3Db" {
		t.Errorf("stale: %d %q", res.StatusCode, got)
	}
	b.header.Set("Accept", "application/json")
	want(t, "a program", b.get("/danger"), 403)
	b.header.Set("Accept", "text/html")
	want(t, "the page", b.get("/accounts/confirm/?next=/danger"), 200, "Password of ada")
	want(t, "a wrong password", b.post("/accounts/confirm/", "password", "wrong", "next", "/danger"), 401, "not your password")
	want(t, "still stale", b.get("/danger"), 303)
	old := b.token()
	res = b.post("/accounts/confirm/", "password", authtest.Password, "next", "/danger")
	if got := res.Header.Get("Location"); got != "/danger" || b.token() == old {
		t.Errorf("confirmed: to %q, same token %v", got, b.token() == old)
	}
	if p, err := s.eng.Session(t.Context(), b.token()); err != nil || !p.Remember {
		t.Errorf("remember me is lost: %v", err)
	}
	want(t, "fresh again", b.get("/danger"), 200, "boom")
	// A bearer of a stale token is told why (RFC 9470).
	clock.advance(time.Hour)
	s.mux.Handle("/api/danger", s.auth.Bearer(s.auth.RequireFresh(says("boom"))))
	c := s.browser()
	c.header = http.Header{"Authorization": {"Bearer " + b.token().Reveal()}}
	res = c.get("/api/danger")
	want(t, "stale bearer", res, 401)
	if got := res.Header.Get("WWW-Authenticate"); !strings.Contains(got, "insufficient_user_authentication") {
		t.Errorf("challenge %q", got)
	}
}

// TestCVE_2026_48794 and inventory 103: everything needs a login but what is exempt, in every spelling of a path; with CVE-2025-47910.
func TestCVE_2026_48794(t *testing.T) {
	s := newSite(t, &authhttp.Auth{LoginRequired: true, Exempt: []string{"/public/", "GET /open"}}, nil)
	s.mux.Handle("/public/", says("public"))
	s.mux.Handle("/open", says("open"))
	s.mux.Handle("/admin/", says("admin"))
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	for path, status := range map[string]int{
		"/plain": 302, "/admin/": 302, "/nothing/": 302, "/accounts/": 302, "/accounts/password/change/": 302,
		"/public/": 200, "/public/x": 200, "/open": 200,
		"/accounts/login/": 200, "/accounts/password/reset/": 200, "/accounts/password/reset/garbage/": 200, "/accounts/setup/": 404,
		"/public/../admin/": 302, "/public/%2e%2e/admin/": 302, "//admin/": 302, "/%61dmin/": 302, "/ADMIN/": 302, "/admin/.": 302, "/public": 302, "/public//x": 302, "/open/": 302, "/admin;x": 302,
	} {
		r := b.request("GET", "/", nil)
		u, err := r.URL.Parse(base + path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		res := b.send(r)
		if res.StatusCode != status || strings.Contains(body(res), "admin</") || body(res) == "admin" {
			t.Errorf("%s: got %d, want %d: %.100s", path, res.StatusCode, status, body(res))
		}
	}
	want(t, "POST where GET is exempt", b.post("/open"), 302)
	// Programs prove who they are around it.
	u := authtest.User(t, s.eng, "robot")
	s.h = s.auth.Bearer(s.h)
	c := s.browser()
	c.header = http.Header{"Authorization": {"Bearer " + authtest.Login(t, s.eng, u).Token.Reveal()}}
	want(t, "a program", c.get("/admin/"), 200, "admin")
	c.header.Set("Authorization", "Bearer x")
	want(t, "a program without", c.get("/admin/"), 401)
	b.login("ada")
	want(t, "signed in", b.get("/admin/"), 200, "admin")
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func TestBasicAuth(t *testing.T) {
	s := newSite(t, nil, nil)
	s.mux.Handle("/api", s.auth.BasicAuth(s.auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		set := authhttp.Session(r).Set("a", 1)
		_, in := authhttp.Login(r, id, latchbolt.LoginOptions{})
		fresh, _ := authhttp.Fresh(r)
		fmt.Fprint(w, id.Username(), err, errors.Is(set, authhttp.ErrStateless), errors.Is(in, authhttp.ErrStateless), fresh)
	}))))
	authtest.User(t, s.eng, "ada")
	authtest.User(t, s.eng, "bob")
	browser := s.browser()
	browser.login("bob")
	before := s.sessions()
	do := func(auth ...string) *http.Response {
		r := browser.request("GET", "/api", nil)
		r.Header["Authorization"] = auth
		return browser.send(r)
	}
	res := do(basic("ada", authtest.Password))
	want(t, "right, beside bob's cookie", res, 200, "ada<nil> true true true")
	if len(res.Cookies()) != 0 || s.sessions() != before || res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(res.Header.Get("Vary"), "Authorization") {
		t.Errorf("header %v", res.Header)
	}
	for what, auth := range map[string][]string{
		"wrong": {basic("ada", "x")}, "unknown": {basic("nobody", "x")}, "empty": {basic("", "")}, "no base64": {"Basic ???"}, "bare": {"Basic"}, "no colon": {"Basic YWRh"},
		"twice": {basic("ada", authtest.Password), basic("ada", authtest.Password)}, "NUL": {basic("ada\x00", authtest.Password)},
	} {
		res := do(auth...)
		if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%s: got %d %v", what, res.StatusCode, res.Header)
		}
	}
	want(t, "another scheme goes by the cookie", do("Negotiate x"), 200, "bob")
	want(t, "without, the cookie counts", do(), 200, "bob")
	for range 20 {
		res = do(basic("ada", "x"))
	}
	want(t, "throttled", res, 429)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestBearer(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	s.mux.Handle("/api", s.auth.Bearer(s.auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := authhttp.User(r)
		n, _, err := authhttp.Value[int](r, "n")
		fmt.Fprint(w, id.Username(), " ", n, err, authhttp.Session(r).Set("n", n+1), " ", errors.Is(authhttp.Session(r).Renew(), authhttp.ErrStateless))
	}))))
	ada := authtest.User(t, s.eng, "ada")
	bob := authtest.User(t, s.eng, "bob")
	tok := authtest.Login(t, s.eng, ada).Token
	b := s.browser()
	b.cookies[cookie] = authtest.Login(t, s.eng, bob).Token.Reveal()
	do := func(auth ...string) *http.Response {
		r := b.request("GET", "/api", nil)
		r.Header["Authorization"] = auth
		return b.send(r)
	}
	want(t, "right, beside bob's cookie", do("Bearer "+tok.Reveal()), 200, "ada 0 <nil> <nil> true")
	res := do("bearer  " + tok.Reveal())
	want(t, "values are kept", res, 200, "ada 1")
	if len(res.Cookies()) != 0 {
		t.Errorf("cookies %v", res.Cookies())
	}
	text := tok.Reveal()
	for what, auth := range map[string][]string{
		"empty": {"Bearer "}, "bare": {"Bearer"}, "cut": {"Bearer " + text[:63]}, "longer": {"Bearer " + text + "A"}, "two": {"Bearer " + text, "Bearer " + text},
		"two in one": {"Bearer " + text + ", " + text}, "unknown": {"Bearer " + strings.Repeat("A", 64)},
	} {
		res := do(auth...)
		if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer realm=") {
			t.Errorf("%s: got %d %v: %s", what, res.StatusCode, res.Header, body(res))
		}
	}
	if err := s.eng.Logout(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	res = do("Bearer " + text)
	want(t, "after the logout", res, 401)
	if got := res.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
		t.Errorf("challenge %q", got)
	}
	// Where Bearer is not asked for, the header means nothing.
	r := b.request("GET", "/who", nil)
	r.Header.Set("Authorization", "Bearer "+authtest.Login(t, s.eng, ada).Token.Reveal())
	want(t, "elsewhere", b.send(r), 200, "user=bob")
}

func remoteSite(t *testing.T, persistent bool) *site {
	return newSite(t, &authhttp.Auth{RemoteUser: &authhttp.RemoteUser{Header: "X-Remote-User", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Persistent: persistent}},
		&latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, latchbolt.RemoteUserBackend{}}})
}

// TestCVE_2014_0482 and inventory 78–80, 104: header A, then B, then none on one cookie.
func TestCVE_2014_0482(t *testing.T) {
	s := remoteSite(t, false)
	authtest.User(t, s.eng, "pat")
	b := s.browser()
	b.remote = "10.1.2.3:999"
	as := func(name ...string) *http.Response {
		r := b.request("GET", "/who", nil)
		if len(name) > 0 {
			r.Header["X-Remote-User"] = name
		}
		return b.send(r)
	}
	want(t, "A", as("ada"), 200, "user=ada")
	first := b.token()
	login := lastLogin(t, s, "ada")
	if res := as("ada"); len(res.Cookies()) != 0 || b.token() != first {
		t.Error("the same name began another session")
	}
	if !lastLogin(t, s, "ada").Equal(login) {
		t.Error("the last login moved")
	}
	want(t, "B", as("bob"), 200, "user=bob")
	second := b.token()
	if _, err := s.eng.SessionUser(t.Context(), first); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("A's session lives: %v", err)
	}
	want(t, "none", as(), 200, "user=")
	if body(as()) != "user=" || len(b.cookies) != 0 {
		t.Errorf("cookies %v", b.cookies)
	}
	if _, err := s.eng.SessionUser(t.Context(), second); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("B's session lives: %v", err)
	}
	users := countUsers(t, s)
	for what, names := range map[string][]string{"empty": {""}, "blank": {" "}, "two": {"ada", "root"}, "two equal": {"ada", "ada"}, "not a name": {"a b\x00c"}, "a list": {"ada,root"}, "huge": {strings.Repeat("a", 1000)}} {
		if got := body(as(names...)); got != "user=" {
			t.Errorf("%s: got %q", what, got)
		}
	}
	if countUsers(t, s) != users {
		t.Error("a user was made of a bad header")
	}
	// Who logged in by the form stays when there is no header, and goes when there is another name.
	b.login("pat")
	want(t, "by the form", as(), 200, "user=pat")
	want(t, "another name", as("ada"), 200, "user=ada")
	// A request that logs somebody in is subject to the check of its origin like any other.
	r := b.request("POST", "/who", nil)
	r.Header.Set("X-Remote-User", "bob")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	want(t, "from another site", b.send(r), 403)
}

func lastLogin(t *testing.T, s *site, name string) time.Time {
	t.Helper()
	u, err := s.eng.UserByName(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u.LastLogin
}

func countUsers(t *testing.T, s *site) (n int) {
	t.Helper()
	for _, err := range s.eng.Users(t.Context(), latchbolt.UserQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// Inventory 105.
func TestPersistentRemoteUser(t *testing.T) {
	s := remoteSite(t, true)
	b := s.browser()
	b.remote = "10.1.2.3:999"
	r := b.request("GET", "/who", nil)
	r.Header.Set("X-Remote-User", "ada")
	want(t, "with", b.send(r), 200, "user=ada")
	want(t, "without", b.get("/who"), 200, "user=ada")
	r = b.request("GET", "/who", nil)
	r.Header.Set("X-Remote-User", "bob")
	want(t, "another", b.send(r), 200, "user=bob")
}

// CVE-2015-0219, CVE-2026-3902, CVE-2026-54089, CVE-2024-21494: off by default, only from listed
// proxies, only under the one name.
func TestCVE_2015_0219(t *testing.T) {
	off := newSite(t, nil, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, latchbolt.RemoteUserBackend{}}})
	r := off.browser().request("GET", "/who", nil)
	r.Header.Set("X-Remote-User", "ada")
	if got := body(off.browser().send(r)); got != "user=" {
		t.Errorf("off by default: got %q", got)
	}
	s := remoteSite(t, false)
	for what, c := range map[string]struct {
		remote string
		header http.Header
	}{
		"from elsewhere":       {"192.0.2.1:1", http.Header{"X-Remote-User": {"ada"}}},
		"from a socket":        {"@", http.Header{"X-Remote-User": {"ada"}}},
		"forwarded from there": {"192.0.2.1:1", http.Header{"X-Remote-User": {"ada"}, "X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=10.0.0.1"}, "X-Real-Ip": {"10.0.0.1"}}},
		"underscores":          {"10.0.0.1:1", http.Header{"X_Remote_User": {"ada"}, "X-Remote_User": {"ada"}, "X_REMOTE-USER": {"ada"}}},
		"other names":          {"10.0.0.1:1", http.Header{"Remote-User": {"ada"}, "X-Auth-User": {"ada"}, "Http-X-Remote-User": {"ada"}}},
	} {
		b := s.browser()
		b.remote = c.remote
		r := b.request("GET", "/who", nil)
		for k, v := range c.header {
			r.Header[k] = v
		}
		if got := body(b.send(r)); got != "user=" || len(b.cookies) != 0 {
			t.Errorf("%s: got %q", what, got)
		}
	}
	if n := countUsers(t, s); n != 0 {
		t.Errorf("%d users were made", n)
	}
	// A session that began through the proxy does not go on without it.
	b := s.browser()
	b.remote = "10.0.0.1:1"
	r = b.request("GET", "/who", nil)
	r.Header.Set("X-Remote-User", "ada")
	want(t, "by the proxy", b.send(r), 200, "user=ada")
	b.remote = "192.0.2.1:1"
	r = b.request("GET", "/who", nil)
	r.Header.Set("X-Remote-User", "ada")
	if got := body(b.send(r)); got != "user=" {
		t.Errorf("past the proxy: got %q", got)
	}
}

// TestGHSA_9g5q_2w5x_hmxf, with GHSA-3fxj-6jh8-hvhx and GHSA-rjr7-jggh-pgcp: nobody chooses the own address. CVE-2024-56374: nothing long is parsed.
func TestGHSA_9g5q_2w5x_hmxf(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		what, header string
		peer         string
		lines        []string
		want         string
	}{
		{"no proxy", "", "192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy that says nothing", "", "10.0.0.1:5", nil, "10.0.0.1"},
		{"one hop", "", "10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client wrote does not count", "", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"several lines", "", "10.0.0.1:5", []string{"203.0.113.9", "198.51.100.1", "10.0.0.2,10.0.0.3"}, "198.51.100.1"},
		{"all are proxies", "", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"garbage stops", "", "10.0.0.1:5", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty element", "", "10.0.0.1:5", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"with a port", "", "10.0.0.1:5", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "", "[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "", "[fd00::1]:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"mapped", "", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"zone", "", "10.0.0.1:5", []string{"fe80::1%eth0"}, "fe80::1"},
		{"long", "", "10.0.0.1:5", []string{strings.Repeat("1", 1<<20)}, "10.0.0.1"},
		{"the other header does not count", "Forwarded", "10.0.0.1:5", nil, "10.0.0.1"},
		{"RFC 7239", "Forwarded", "10.0.0.1:5", []string{`for=203.0.113.9;by=x, For="198.51.100.1:99";proto=https`}, "198.51.100.1"},
		{"RFC 7239, IPv6", "Forwarded", "10.0.0.1:5", []string{`for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{"RFC 7239, unknown", "Forwarded", "10.0.0.1:5", []string{`for=unknown`}, "10.0.0.1"},
		{"RFC 7239, hidden", "Forwarded", "10.0.0.1:5", []string{`for=198.51.100.1, for=_hidden`}, "10.0.0.1"},
		{"RFC 7239, twice", "Forwarded", "10.0.0.1:5", []string{`for=198.51.100.1;for=198.51.100.2`}, "10.0.0.1"},
		{"RFC 7239, comma in quotes", "Forwarded", "10.0.0.1:5", []string{`for="x, for=198.51.100.1;a="`}, "10.0.0.1"},
		{"a socket", "", "@", []string{"198.51.100.1"}, "invalid IP"},
		{"nothing", "", "", nil, "invalid IP"},
	} {
		s := newSite(t, &authhttp.Auth{TrustedProxies: trusted, ForwardedHeader: c.header}, nil)
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		name := c.header
		if name == "" {
			name = "X-Forwarded-For"
		}
		r.Header[name] = c.lines
		if c.lines == nil {
			r.Header.Set("X-Forwarded-For", "")
			r.Header.Set("Forwarded", "for=198.51.100.7")
			if c.header == "Forwarded" {
				r.Header = http.Header{"X-Forwarded-For": {"198.51.100.7"}}
			}
		}
		got := ""
		s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = authhttp.ClientAddr(r).String() })).ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}

func FuzzHopAddr(f *testing.F) {
	for _, s := range []string{"198.51.100.1", "[2001:db8::1]:1", `for="[::1]";proto=x`, `for=a;for=b`, "", "\"", "for=\"", "fe80::1%x"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, elem string, rfc bool) {
		a, ok := authhttp.HopAddr(elem, rfc)
		if ok != a.IsValid() || a.Is4In6() || a.Zone() != "" {
			t.Errorf("%q: got %v, %v", elem, a, ok)
		}
		if again, ok2 := authhttp.HopAddr(a.String(), false); ok && (!ok2 || again != a) {
			t.Errorf("%q: %v does not read back", elem, a)
		}
	})
}

// What is wrong is said when the program is set up.
func TestWrongSetUp(t *testing.T) {
	eng := authtest.New(t, nil)
	any := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	send := func(context.Context, authhttp.ResetMail) error { return nil }
	for part, a := range map[string]*authhttp.Auth{
		"Engine is nil":        {},
		"CookieName":           {Engine: eng, CookieName: "a b"},
		"CookieName \"__":      {Engine: eng, CookieName: "__Secure-x"},
		"Realm":                {Engine: eng, Realm: "a\"b"},
		"Prefix":               {Engine: eng, Prefix: "accounts"},
		"Prefix \"//":          {Engine: eng, Prefix: "//x/"},
		"has to be https":      {Engine: eng, BaseURL: "http://a"},
		"scheme and host":      {Engine: eng, BaseURL: "intranet"},
		"such as https":        {Engine: eng, BaseURL: "https://a/path"},
		"BaseURL \"https://:":  {Engine: eng, BaseURL: "https://:8080"},
		"BaseURL \"https://a?": {Engine: eng, BaseURL: "https://a?"},
		"LoginURL \"login":     {Engine: eng, LoginURL: "login"}, // Django's settings can be names
		"LoginRedirect \"home": {Engine: eng, LoginRedirect: "home"},
		"LogoutRedirect \"?":   {Engine: eng, LogoutRedirect: "?bye"},
		"Home \"javascript":    {Engine: eng, Home: "javascript:x"},
		"SendReset needs":      {Engine: eng, SendReset: send},
		"RedirectHosts":        {Engine: eng, RedirectHosts: []string{"https://x"}},
		"TrustedOrigins":       {Engine: eng, TrustedOrigins: []string{"x"}},
		"TrustedProxies":       {Engine: eng, TrustedProxies: []netip.Prefix{{}}},
		"ForwardedHeader":      {Engine: eng, ForwardedHeader: "X-Real-IP"},
		"empty From":           {Engine: eng, RemoteUser: &authhttp.RemoteUser{Header: "X-Remote-User"}},
		"the Header \"":        {Engine: eng, RemoteUser: &authhttp.RemoteUser{Header: "remote_user", From: any}},
		"cannot be Cookie":     {Engine: eng, RemoteUser: &authhttp.RemoteUser{Header: "Cookie", From: any}},
		`Exempt: "GET  /x{`:    {Engine: eng, Exempt: []string{"GET /y", "GET  /x{"}},
		`Exempt: "GET /a/{b}`:  {Engine: eng, Exempt: []string{"/{a}/b", "GET /a/{b}"}},
		"LoginURL":             {Engine: eng, LoginURL: "/a b"},
		"LoginRedirect":        {Engine: eng, LoginRedirect: "/ü"},
		"prefix in From is ":   {Engine: eng, RemoteUser: &authhttp.RemoteUser{Header: "X-Remote-User", From: []netip.Prefix{{}}}},
	} {
		err := a.Check()
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v", part, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Handler does not panic", part)
				}
			}()
			a.Handler(http.NotFoundHandler())
		}()
	}
	if err := (&authhttp.Auth{Engine: eng}).Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
