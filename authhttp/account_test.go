package authhttp_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// Inventory 51, 52 and 94: the change of a password keeps this session under another token and ends the others.
func TestPasswordChange(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	authtest.User(t, s.eng, "ada")
	b, c := s.browser(), s.browser()
	b.login("ada")
	c.login("ada", "remember", "on")
	b.get("/set?name=cart&value=full")
	old := b.token()
	const path = "/accounts/password/change/"
	want(t, "wrong old", b.post(path, "old", "x", "password1", "a quite new password", "password2", "a quite new password"), 401, "not your present password")
	want(t, "not the same", b.post(path, "old", authtest.Password, "password1", "a quite new password", "password2", "b"), 422, "not the same")
	want(t, "too short", b.post(path, "old", authtest.Password, "password1", "short", "password2", "short"), 422, "at least 15", `aria-invalid="true"`)
	want(t, "like the name", b.post(path, "old", authtest.Password, "password1", "x", "password2", "x"), 422)
	res := b.post(path, "old", authtest.Password, "password1", "a quite new password", "password2", "a quite new password")
	if got := res.Header.Get("Location"); res.StatusCode != 303 || got != "/accounts/?done=password" || b.token() == old {
		t.Errorf("changed: %d %q", res.StatusCode, got)
	}
	want(t, "the account", b.get("/accounts/?done=password"), 200, "Your password is changed", "Password changed")
	want(t, "the values", b.get("/get?name=cart"), 200, "full")
	if got := body(c.get("/who")); got != "user=" {
		t.Errorf("the other device: %s", got)
	}
	if _, err := s.eng.SessionUser(t.Context(), old); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("the old token: %v", err)
	}
	want(t, "not signed in", s.browser().get(path), 302)
	want(t, "not signed in", s.browser().post(path, "old", authtest.Password), 302)
}

func TestDevices(t *testing.T) {
	clock := clockAt(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	s := newSite(t, nil, &latchbolt.Config{Clock: clock.now})
	authtest.User(t, s.eng, "ada")
	authtest.User(t, s.eng, "eve")
	phone, desk, eve := s.browser(), s.browser(), s.browser()
	phone.header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1")
	phone.remote = "[2001:db8::7]:1"
	phone.login("ada")
	desk.login("ada")
	eve.login("eve")
	page := desk.get("/accounts/")
	want(t, "the list", page, 200, "Safari on iPhone", "2001:db8::7", "Firefox on Linux", "Sign out everywhere else")
	if n := strings.Count(body(page), "This device"); n != 1 {
		t.Errorf("%d are this device", n)
	}
	id := func(b *browser) string {
		p, err := s.eng.Session(t.Context(), b.token())
		if err != nil {
			t.Fatal(err)
		}
		return p.ID.String()
	}
	if strings.Contains(body(page), desk.cookies[cookie]) || strings.Contains(body(page), phone.cookies[cookie]) {
		t.Error("the page shows a token")
	}
	want(t, "another's", eve.post("/accounts/sessions/end/", "id", id(phone)), 404)
	want(t, "another's", eve.post("/accounts/sessions/name/", "id", id(phone), "name", "mine"), 404)
	want(t, "a name", desk.post("/accounts/sessions/name/", "id", id(phone), "name", " kitchen phone "), 303)
	want(t, "the name", desk.get("/accounts/?done=named"), 200, "kitchen phone", "The name is saved.")
	// What was long ago has to be confirmed first: STANDARDS 44.
	clock.advance(time.Hour)
	res := desk.post("/accounts/sessions/end/", "id", id(phone))
	if got := res.Header.Get("Location"); res.StatusCode != 303 || got != "/accounts/confirm/" {
		t.Errorf("stale: %d %q", res.StatusCode, got)
	}
	want(t, "still signed in", phone.get("/who"), 200, "user=ada")
	want(t, "confirmed", desk.post("/accounts/confirm/", "password", authtest.Password), 303)
	want(t, "ended", desk.post("/accounts/sessions/end/", "id", id(phone)), 303)
	if got := body(phone.get("/who")); got != "user=" {
		t.Errorf("the phone: %s", got)
	}
	phone.login("ada")
	want(t, "others", desk.post("/accounts/sessions/others/"), 303)
	if got := body(phone.get("/who")); got != "user=" {
		t.Errorf("the phone: %s", got)
	}
	want(t, "here", desk.get("/who"), 200, "user=ada")
	res = desk.post("/accounts/sessions/end/", "id", id(desk))
	want(t, "this one", res, 200, "signed out")
	if len(desk.cookies) != 0 || body(eve.get("/who")) != "user=eve" {
		t.Errorf("cookies %v", desk.cookies)
	}
	// What is done is in the trail, with who did it and from where.
	found := false
	for e, err := range s.eng.Audit(t.Context(), latchbolt.AuditQuery{Action: latchbolt.ActionSessionEnd}) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || e.Actor == e.User && e.Actor != 0 && e.Addr.String() == "192.0.2.7"
	}
	if !found {
		t.Error("the end of a session is not in the trail with its actor")
	}
}

func TestFixedProfile(t *testing.T) {
	s := newSite(t, &authhttp.Auth{FixedProfile: true}, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	if got := body(b.get("/accounts/")); strings.Contains(got, `name="email"`) {
		t.Error("the form is there")
	}
	want(t, "the form", b.post("/accounts/profile/", "email", "x@y.de"), 404)
}

// Basic and Bearer do not reach what belongs to a browser.
func TestAccountIsForBrowsers(t *testing.T) {
	s := newSite(t, nil, nil)
	u := authtest.User(t, s.eng, "ada")
	s.h = s.auth.Handler(s.auth.BasicAuth(s.auth.Bearer(s.mux)))
	tok := authtest.Login(t, s.eng, u).Token.Reveal()
	for _, auth := range []string{basic("ada", authtest.Password), "Bearer " + tok} {
		for path, form := range map[string][]string{
			"password/change/": {"old", authtest.Password, "password1", "a quite new password", "password2", "a quite new password"},
			"confirm/":         {"password", authtest.Password}, "profile/": {"email", "x@y.de"}, "sessions/others/": {},
		} {
			b := s.browser()
			b.header.Set("Authorization", auth)
			want(t, path, b.post("/accounts/"+path, form...), 403)
		}
	}
	if got, err := s.eng.User(t.Context(), u.ID); err != nil || got.Email != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSetUp(t *testing.T) {
	s := newSite(t, &authhttp.Auth{BaseURL: base, LoginRedirect: "/home"}, nil)
	if err := s.eng.DefineModel(t.Context(), "blog", "post"); err != nil { // a program does at its start
		t.Fatal(err)
	}
	b := s.browser()
	want(t, "before the code was asked for", b.get("/accounts/setup/"), 404)
	code, err := s.auth.SetupCode(t.Context())
	if err != nil || len(code) < 26 {
		t.Fatalf("code of %d, %v", len(code), err)
	}
	link, err := s.auth.SetupURL(t.Context())
	if err != nil || link != base+"/accounts/setup/?code="+code {
		t.Fatalf("link %q, %v", link, err)
	}
	res := b.get(link)
	want(t, "the page", res, 200, code)
	if res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", res.Header)
	}
	const good = "a long first password"
	form := func(code, name, p1, p2 string) []string {
		return []string{"code", code, "username", name, "email", "", "password1", p1, "password2", p2}
	}
	for _, c := range []string{"", "x", code[:25], code + "A", strings.ToLower(code)} {
		want(t, "code "+c, b.post("/accounts/setup/", form(c, "root", good, good)...), 403, "not the code")
	}
	want(t, "name", b.post("/accounts/setup/", form(code, "a b", good, good)...), 422)
	want(t, "password", b.post("/accounts/setup/", form(code, "root", "short", "short")...), 422, "at least 15")
	want(t, "password", b.post("/accounts/setup/", form(code, "root", good, "other")...), 422, "not the same")
	if n := countUsers(t, s); n != 0 {
		t.Fatalf("%d users", n)
	}
	// Many at once make one user.
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 8 {
		wg.Go(func() {
			c := s.browser()
			res := c.post("/accounts/setup/", form(code, "root"+string(rune('a'+i)), good, good)...)
			mu.Lock()
			defer mu.Unlock()
			switch res.StatusCode {
			case 303:
				made++
				b = c
			case 404, 409, 403:
			default:
				t.Errorf("got %d: %s", res.StatusCode, body(res))
			}
		})
	}
	wg.Wait()
	if n := countUsers(t, s); n != 1 || made != 1 {
		t.Fatalf("%d users, %d successes", n, made)
	}
	for u, err := range s.eng.Users(t.Context(), latchbolt.UserQuery{}) {
		if err != nil || !u.Superuser || !u.Staff || u.Inactive {
			t.Errorf("got %+v, %v", u, err)
		}
	}
	want(t, "signed in", b.get("/who"), 200, "user=root")
	for _, res := range []*http.Response{b.get("/accounts/setup/"), s.browser().get(link), s.browser().post("/accounts/setup/", form(code, "again", good, good)...)} {
		want(t, "afterwards", res, 404)
	}
	if code, err := s.auth.SetupCode(t.Context()); code != "" || err != nil {
		t.Errorf("a code afterwards: %q, %v", code, err)
	}
	if link, err := s.auth.SetupURL(t.Context()); link != "" || err != nil {
		t.Errorf("a link afterwards: %q, %v", link, err)
	}
}

// Every answer has the headers of STANDARDS 68, and OPTIONS and methods that are not there are answered (inventory 93).
func TestHeadersAndMethods(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, path := range []string{"/plain", "/who", "/private", "/nothing", "/accounts/login/", "/accounts/static/x", "/accounts/logout/"} {
		res := s.browser().get(path)
		for name, part := range map[string]string{
			"Content-Security-Policy": "object-src 'none'; base-uri 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		} {
			if got := res.Header.Get(name); !strings.Contains(got, part) {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
	for path, allow := range map[string]string{"/accounts/login/": "GET, HEAD, POST, OPTIONS", "/accounts/logout/": "POST, OPTIONS", "/accounts/password/reset/done/": "GET, HEAD, OPTIONS"} {
		for method, status := range map[string]int{"OPTIONS": 204, "PUT": 405, "DELETE": 405, "TRACE": 405} {
			res := s.browser().send(s.browser().request(method, path, nil))
			if res.StatusCode != status || res.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, res.StatusCode, res.Header.Get("Allow"))
			}
		}
		res := s.browser().send(s.browser().request("HEAD", path, nil))
		if text := body(res); text != "" {
			t.Errorf("HEAD %s has a body: %s", path, text)
		}
	}
	for path, to := range map[string]string{"/accounts/login": "/accounts/login/", "/accounts/login?next=/a%20b": "/accounts/login/?next=/a%20b", "/accounts/confirm?next=%2F%2Fevil.com": "/accounts/confirm/?next=%2F%2Fevil.com"} {
		if res := s.browser().get(path); res.StatusCode != 307 || res.Header.Get("Location") != to {
			t.Errorf("%s: %d to %q", path, res.StatusCode, res.Header.Get("Location"))
		}
	}
	for _, path := range []string{"/accounts/nothing", "/accounts/password", "/accounts/login/x", "/accounts/%2Fevil.com"} {
		want(t, path, s.browser().get(path), 404)
	}
	want(t, "a link without its slash", s.browser().get("/accounts/password/reset/x"), 307)
	page := body(s.browser().get("/accounts/login/"))
	_, rest, _ := strings.Cut(page, `rel="stylesheet" href="`)
	css, _, _ := strings.Cut(rest, `"`)
	res := s.browser().get(css)
	want(t, "the style sheet", res, 200, "color-scheme")
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/css") || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") || res.Header.Get("Vary") != "" {
		t.Errorf("header %v", res.Header)
	}
}
