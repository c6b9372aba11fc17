package authhttp_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// Names and passwords that no form sends prove nobody by Basic either, whatever they are made of.
func TestBasicOddities(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	h := s.auth.Handler(s.auth.BasicAuth(s.auth.RequireLogin(says("in"))))
	ask := func(value ...string) int {
		r := httptest.NewRequest("GET", base+"/", nil)
		r.Header["Authorization"] = value
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	b64 := base64.StdEncoding.EncodeToString
	good := "ada:" + authtest.Password
	if got := ask("basic " + b64([]byte(good))); got != http.StatusOK {
		t.Fatalf("good credentials: %d", got)
	}
	for _, v := range []string{
		"Basic", "Basic ", "Basic  " + b64([]byte(good)), "Basic " + strings.TrimRight(b64([]byte(good+"x")), "=") + "!", "Basic " + b64([]byte("ada")), "Basic " + b64([]byte(":"+authtest.Password)),
		"Basic " + b64([]byte("ada:")), "Basic " + b64([]byte("ada\x00:"+authtest.Password)), "Basic " + b64([]byte("\xff\xfe:"+authtest.Password)), "Basic " + b64([]byte(good+"\n")),
		"Basic " + b64([]byte("ada:"+strings.Repeat("x", 30_000))), "Basic " + b64([]byte(strings.Repeat("a", 30_000)+":x")), "Basic " + base64.StdEncoding.EncodeToString([]byte("ada\r\nx: y:z")),
	} {
		if got := ask(v); got != http.StatusUnauthorized && got != http.StatusTooManyRequests {
			t.Errorf("%.40q gave %d", v, got)
		}
	}
	if got := ask("Basic "+b64([]byte(good)), "Basic "+b64([]byte(good))); got != http.StatusUnauthorized && got != http.StatusTooManyRequests {
		t.Errorf("two headers gave %d", got)
	}
}

// What a device is called cannot break the page, and is bounded.
func TestOddDeviceNames(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	p, err := s.eng.Session(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"><script>alert(1)</script>`, strings.Repeat("x", 60_000), "a\x00b", "\xff\xfe", "two\nlines", "\u202eesrever"} {
		want(t, "naming", b.post("/accounts/sessions/name/", "id", p.ID.String(), "name", name), http.StatusSeeOther)
		page := b.get("/accounts/")
		want(t, "account", page, http.StatusOK)
		if text := body(page); strings.Contains(text, "<script") || len(text) > 20_000 || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			t.Errorf("%.30q: a page of %d bytes, valid %v", name, len(text), utf8.ValidString(text))
		}
	}
}

// On a program for development, which another machine looks at without TLS, browsers prove where a form comes from by Origin alone, and a
// page whose policy is no-referrer makes that "null": then nobody could send the form.
func TestSetUpWithoutTLS(t *testing.T) {
	s := newSite(t, &authhttp.Auth{Insecure: true}, nil)
	code, err := s.auth.SetupCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.base = "http://" + host
	page := b.get("/accounts/setup/?code=" + code)
	want(t, "the page", page, http.StatusOK)
	origin := b.base
	if page.Header.Get("Referrer-Policy") == "no-referrer" { // Fetch, "serializing a request origin"
		origin = "null"
	}
	b.header.Set("Origin", origin)
	want(t, "the form", b.post("/accounts/setup/", "code", code, "username", "ada", "password1", authtest.Password, "password2", authtest.Password), http.StatusSeeOther)
}

// What was asked for the session of the cookie is not done to the session, or the lack of one, that a header proves.
func TestExpiryIsNotTheHeaders(t *testing.T) {
	s := newSite(t, nil, nil)
	u := authtest.User(t, s.eng, "ada")
	for _, d := range []time.Duration{0, time.Hour} {
		sess := authtest.Login(t, s.eng, u)
		h := s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := authhttp.Session(r).SetExpiry(d); err != nil {
				t.Error(err)
			}
			s.auth.BasicAuth(s.auth.Bearer(s.auth.RequireLogin(says("in")))).ServeHTTP(w, r)
		}))
		for _, header := range []string{"Bearer " + sess.Token.Reveal(), "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+authtest.Password))} {
			r := httptest.NewRequest("GET", base+"/", nil)
			r.Header.Set("Authorization", header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK || w.Body.String() != "in" {
				t.Errorf("%.6s, %v: %d %q", header, d, w.Code, w.Body)
			}
		}
		if after, err := s.eng.Session(t.Context(), sess.Token); err != nil || !after.Expires.Equal(sess.Expires) {
			t.Errorf("%v: the session of the header: %v, %v", d, after.Expires, err)
		}
	}
}

// That the proxy proves one user in a request does not make the session fresh with which a header proves another.
func TestProxyDoesNotFreshenBearer(t *testing.T) {
	clock := clockAt(time.Now())
	s := newSite(t, &authhttp.Auth{RemoteUser: &authhttp.RemoteUser{Header: "X-Remote-User", From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
		&latchbolt.Config{Clock: clock.now, FreshFor: time.Minute, Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, latchbolt.RemoteUserBackend{}}})
	authtest.User(t, s.eng, "ada")
	sess := authtest.Login(t, s.eng, authtest.User(t, s.eng, "bea"))
	clock.advance(2 * time.Minute)
	h := s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, err := authhttp.User(r); err != nil || id.Username() != "ada" {
			t.Errorf("the proxy's: %v, %v", id, err)
		}
		s.auth.Bearer(s.auth.RequireFresh(says("in"))).ServeHTTP(w, r)
	}))
	r := httptest.NewRequest("GET", base+"/", nil)
	r.RemoteAddr = "192.0.2.1:4711"
	r.Header.Set("X-Remote-User", "ada")
	r.Header.Set("Authorization", "Bearer "+sess.Token.Reveal())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Header().Get("WWW-Authenticate"), "insufficient_user_authentication") {
		t.Errorf("%d %q, %v", w.Code, w.Body, w.Header())
	}
}

// A session that lives in its token cannot keep values that a request with the token in a header sets: the new token would not get to
// the client. That is said, and not silently forgotten.
func TestSealedBearerKeepsNoValues(t *testing.T) {
	store, err := latchbolt.SealedSessions([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, nil, &latchbolt.Config{Sessions: store})
	sess := authtest.Login(t, s.eng, authtest.User(t, s.eng, "ada"))
	h := s.auth.Handler(s.auth.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set("cart", 1); !errors.Is(err, authhttp.ErrStateless) {
			t.Errorf("setting: %v", err)
		}
		if err := authhttp.Session(r).Clear(); !errors.Is(err, authhttp.ErrStateless) {
			t.Errorf("clearing: %v", err)
		}
	})))
	r := httptest.NewRequest("GET", base+"/", nil)
	r.Header.Set("Authorization", "Bearer "+sess.Token.Reveal())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// An end that was set for the session of one user is not that of another's, who logs in in the same request.
func TestExpiryIsNotTheNextUsers(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	bea := authtest.Identity(t, s.eng, authtest.User(t, s.eng, "bea"))
	s.page("/switch", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).SetExpiry(0); err != nil { // the session of the user before is over
			t.Error(err)
		}
		if _, err := authhttp.Login(r, bea, latchbolt.LoginOptions{}); err != nil {
			t.Error(err)
		}
	})
	b := s.browser()
	b.login("ada")
	old := b.token()
	want(t, "changing users", b.get("/switch"), http.StatusOK)
	want(t, "afterwards", b.get("/who"), http.StatusOK, "user=bea")
	if _, err := s.eng.Session(t.Context(), old); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("the session before: %v", err)
	}
}

// Who guesses the present password in a session is recorded, and slowed down, where the guess comes from, not where the session began.
func TestGuessesInASession(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: 100, SourceFree: 2, First: time.Hour, Max: time.Hour}})
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	b.remote = "198.51.100.9:4711" // somebody took the cookie
	const next = "a very different passphrase"
	guess := func() *http.Response {
		return b.post("/accounts/password/change/", "old", "a guess", "password1", next, "password2", next)
	}
	want(t, "a guess", guess(), http.StatusUnauthorized)
	want(t, "a guess", guess(), http.StatusUnauthorized)
	want(t, "one too many", guess(), http.StatusTooManyRequests)
	n := 0
	for e, err := range s.eng.Audit(t.Context(), latchbolt.AuditQuery{Action: latchbolt.ActionLoginFailed}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Addr != netip.MustParseAddr("198.51.100.9") {
			t.Errorf("a guess is said to come from %v", e.Addr)
		}
	}
	if n == 0 {
		t.Error("no guess was recorded")
	}
	s.browser().login("ada") // from where the session began
}

// To confirm who one is makes a session fresh, and not longer than the program set it.
func TestConfirmKeepsTheEnd(t *testing.T) {
	clock := clockAt(time.Now().Truncate(time.Microsecond))
	s := newSite(t, nil, &latchbolt.Config{Clock: clock.now})
	authtest.User(t, s.eng, "ada")
	s.page("/kiosk", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).SetExpiry(10 * time.Minute); err != nil {
			t.Error(err)
		}
	})
	b := s.browser()
	b.login("ada")
	want(t, "the end", b.get("/kiosk"), http.StatusOK)
	before, err := s.eng.Session(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(4 * time.Minute)
	want(t, "confirming", b.post("/accounts/confirm/", "password", authtest.Password), http.StatusSeeOther)
	after, err := s.eng.Session(t.Context(), b.token())
	if err != nil || after.ID == before.ID || !after.AuthTime.After(before.AuthTime) || !after.Expires.Equal(before.Expires) {
		t.Errorf("before %v until %v, afterwards %v until %v, %v", before.AuthTime, before.Expires, after.AuthTime, after.Expires, err)
	}
}

// The address of the client is that of the request as it came in, whatever a handler makes of the header. It is not read later either: what
// is written beside the request, such as the use of a session, asks for it while a handler may change the header, and a map that one
// writes and another reads ends the process.
func TestAddressIsOfTheRequest(t *testing.T) {
	s := newSite(t, &authhttp.Auth{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, nil)
	s.page("/gateway", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		io.WriteString(w, authhttp.ClientAddr(r).String())
		if err := s.eng.Record(r.Context(), latchbolt.AuditEntry{Action: "gateway"}); err != nil {
			t.Error(err)
		}
	})
	b := s.browser()
	b.header.Set("X-Forwarded-For", "203.0.113.5")
	want(t, "behind a proxy", b.get("/gateway"), http.StatusOK, "203.0.113.5")
	for e, err := range s.eng.Audit(t.Context(), latchbolt.AuditQuery{Action: "gateway"}) {
		if err != nil || e.Addr != netip.MustParseAddr("203.0.113.5") {
			t.Errorf("recorded as from %v, %v", e.Addr, err)
		}
	}
}

// Whose session ends while the form is under way is told that, and not that the password is wrong.
func TestSessionEndsWhileConfirming(t *testing.T) {
	for _, path := range []string{"/accounts/confirm/", "/accounts/password/change/"} {
		var end func()
		s := newSite(t, &authhttp.Auth{Texts: func(*http.Request) *authhttp.Texts {
			if end != nil {
				end()
			}
			return nil
		}}, nil)
		u := authtest.User(t, s.eng, "ada")
		b := s.browser()
		b.login("ada")
		end = func() { // the page is made before the password is looked at
			end = nil
			if err := s.eng.EndSessions(t.Context(), u.ID); err != nil {
				t.Error(err)
			}
		}
		const next = "a very different passphrase"
		res := b.post(path, "password", authtest.Password, "old", authtest.Password, "password1", next, "password2", next)
		want(t, path, res, http.StatusUnauthorized, "Your session ended before this was done. Please sign in again.")
		if b.cookies[cookie] != "" {
			t.Errorf("%s: the cookie stays", path)
		}
	}
}
