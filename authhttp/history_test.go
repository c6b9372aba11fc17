package authhttp_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// Each test is named after a published flaw of another system that this package could have too.

// passwordPaths are all ways in which a password comes in over the web, for a user who need not be signed in.
func passwordPaths(s *site) map[string]func(b *browser, name, password string) *http.Response {
	s.mux.Handle("/basic", s.auth.BasicAuth(s.auth.RequireLogin(says("in"))))
	return map[string]func(b *browser, name, password string) *http.Response{
		"form": func(b *browser, name, password string) *http.Response {
			return b.post("/accounts/login/", "username", name, "password", password)
		},
		"basic": func(b *browser, name, password string) *http.Response {
			r := b.request("GET", "/basic", nil)
			r.Header.Set("Authorization", basic(name, password))
			return b.send(r)
		},
	}
}

func (s *site) units() int64 {
	s.t.Helper()
	st, err := s.eng.Stats()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.HashUnits
}

// TestCVE_2013_1443: nothing long is hashed, and what is long enough to be a password is.
func TestCVE_2013_1443(t *testing.T) {
	s := newSite(t, nil, nil)
	long := strings.Repeat("ä", 64)
	if err := s.eng.CreateUser(t.Context(), &latchbolt.User{Username: "ada"}, long); err != nil {
		t.Fatal(err)
	}
	for name, try := range passwordPaths(s) {
		for _, n := range []int{latchbolt.MaxPassword + 1, 1 << 20} { // a server refuses longer headers
			before := s.units()
			res := try(s.browser(), "ada", strings.Repeat("x", n))
			if got := s.units() - before; got != 0 || res.StatusCode < 400 {
				t.Errorf("%s, %d bytes: %d units, status %d", name, n, got, res.StatusCode)
			}
		}
		if res := try(s.browser(), "ada", long); res.StatusCode >= 400 {
			t.Errorf("%s: 64 characters are refused: %d", name, res.StatusCode)
		}
	}
	// Of 64 MiB no more is read than a form may have.
	r := s.browser().request("POST", "/accounts/login/", url.Values{})
	huge := &countingReader{left: 64 << 20}
	r.Body, r.ContentLength = io.NopCloser(huge), 64<<20
	before := s.units()
	want(t, "64 MiB", s.browser().send(r), 413)
	if huge.read > 1<<20 || s.units() != before {
		t.Errorf("64 MiB: %d bytes were read, %d units", huge.read, s.units()-before)
	}
}

// A countingReader has so many bytes.
type countingReader struct{ left, read int }

func (r *countingReader) Read(p []byte) (int, error) {
	n := min(len(p), r.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = 'x'
	}
	r.left, r.read = r.left-n, r.read+n
	return n, nil
}

// TestCVE_2025_13473: every path costs the same for every class of users and answers the same; so do
// CVE-2016-2513, CVE-2024-39329, CVE-2018-6188, CVE-2026-47203 and many more.
func TestCVE_2025_13473(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 400}}})
	hash := func(iterations int) latchbolt.PasswordHash {
		t.Helper()
		text, err := latchbolt.PBKDF2SHA256{Iterations: iterations}.Hash(authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return parseHash(t, text)
	}
	for name, u := range map[string]struct {
		inactive bool
		hash     latchbolt.PasswordHash
	}{
		"cheap": {false, hash(100)}, "equal": {false, hash(400)}, "dear": {false, hash(1600)}, "unusable": {false, latchbolt.PasswordHash{}},
		"inactive": {true, hash(400)}, "inactive-cheap": {true, hash(100)}, "unknown-algorithm": {false, parseHash(t, "lolcat$x$y")}, "bang": {false, parseHash(t, "!x")},
	} {
		if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: name, Inactive: u.inactive}, u.hash); err != nil {
			t.Fatal(err)
		}
	}
	for path, try := range passwordPaths(s) {
		var units int64
		var first string
		for _, name := range []string{"nobody", "cheap", "equal", "dear", "unusable", "inactive", "inactive-cheap", "unknown-algorithm", "bang"} {
			password := "a wrong password"
			if strings.HasPrefix(name, "inactive") {
				password = authtest.Password // also the right one says nothing
			}
			before := s.units()
			res := try(s.browser(), name, password)
			got := s.units() - before
			face := fmt.Sprint(res.StatusCode, sortedHeader(res.Header), strings.ReplaceAll(body(res), `value="`+name+`"`, `value=""`))
			if first == "" {
				units, first = got, face
			}
			if got != units || units != 1600 {
				t.Errorf("%s, %s: %d units, want %d", path, name, got, units)
			}
			if face != first {
				t.Errorf("%s, %s: answers\n%s\nand to nobody\n%s", path, name, face, first)
			}
		}
	}
}

func parseHash(t *testing.T, text string) latchbolt.PasswordHash {
	t.Helper()
	h, err := latchbolt.ParsePasswordHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sortedHeader(h http.Header) string {
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		return err.Error()
	}
	lines := strings.Split(b.String(), "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// The paths for who is signed in cost the same as a login, too.
func TestPasswordAgainCostsTheSame(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 400}}})
	for name, it := range map[string]int{"cheap": 100, "dear": 1600} {
		text, err := latchbolt.PBKDF2SHA256{Iterations: it}.Hash(authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: name}, parseHash(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cheap", "dear"} {
		u, err := s.eng.UserByName(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		b := s.browser()
		b.cookies[cookie] = authtest.Login(t, s.eng, u).Token.Reveal()
		for path, form := range map[string][]string{
			"/accounts/confirm/":         {"password", "wrong"},
			"/accounts/password/change/": {"old", "wrong", "password1", "a quite new password", "password2", "a quite new password"},
		} {
			before := s.units()
			want(t, path, b.post(path, form...), 401)
			if got := s.units() - before; got != 1600 {
				t.Errorf("%s, %s: %d units", path, name, got)
			}
		}
	}
}

// TestCVE_2010_4535: what is no token is an ordinary page, at once.
func TestCVE_2010_4535(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, tok := range []string{strings.Repeat("9", 64<<10), "18446744073709551616", "18446744073709551617", "-1", "007", "0", "a-b-c", "AAAA-" + strings.Repeat("f", 32), strings.Repeat("A", 64), "..%2f..", "%00", "%ff"} {
		start := time.Now()
		res := s.browser().get("/accounts/password/reset/" + tok + "/")
		want(t, fmt.Sprintf("%.20s…", tok), res, 200, "not good any more")
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%.20s…: took %v", tok, d)
		}
		if len(tok) > 4 && strings.Contains(body(res), tok) || len(res.Cookies()) != 0 {
			t.Errorf("%.20s…: is reflected, or set a cookie", tok)
		}
	}
}

// TestCVE_2015_5143: 10,000 random cookies create nothing (and GO-2024-2730: none is a path).
func TestCVE_2015_5143(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	commits := s.commits()
	size := fileSize(t, s)
	b := s.browser()
	for i := range 10_000 {
		raw := make([]byte, 48)
		rand.Read(raw)
		value := base64.RawURLEncoding.EncodeToString(raw)
		switch i % 4 {
		case 1:
			value = value[:32] // a key of Django's
		case 2:
			value = "../../etc/" + value[:i%20]
		case 3:
			value = value[:i%64]
		}
		b.cookies = map[string]string{cookie: value}
		res := b.get([]string{"/who", "/plain", "/private", "/accounts/login/"}[i%4])
		for _, c := range res.Cookies() {
			if c.Value != "" {
				t.Fatalf("a cookie was set: %s", c)
			}
		}
	}
	if s.sessions() != 0 || s.commits() != commits || fileSize(t, s) != size {
		t.Errorf("%d sessions, %d writes, %d bytes more", s.sessions(), s.commits()-commits, fileSize(t, s)-size)
	}
}

func fileSize(t *testing.T, s *site) int64 {
	st, err := s.eng.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return st.FileSize
}

// TestCVE_2015_5963: logouts of who is not signed in write nothing.
func TestCVE_2015_5963(t *testing.T) {
	s := newSite(t, nil, nil)
	commits := s.commits()
	b := s.browser()
	for i := range 2000 {
		b.cookies = map[string]string{cookie: strings.Repeat("A", 60+i%8)}
		want(t, "logout", b.post("/accounts/logout/"), 200)
		if i%10 == 0 {
			b.cookies = nil
			res := s.browser().post("/accounts/logout/")
			if len(res.Cookies()) != 0 { // inventory 76
				t.Fatalf("cookies %v", res.Cookies())
			}
		}
	}
	if s.sessions() != 0 || s.commits() != commits {
		t.Errorf("%d sessions, %d writes", s.sessions(), s.commits()-commits)
	}
}

// TestCVE_2015_3982: no empty or zero cookie is a session.
func TestCVE_2015_3982(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.Login(t, s.eng, authtest.User(t, s.eng, "ada"))
	for _, v := range []string{"", " ", "0", "\x00\x00", strings.Repeat("A", 64), strings.Repeat("0", 32), "null", `""`, strings.Repeat("a", 300), "s.", "s." + strings.Repeat("A", 100)} {
		r := s.browser().request("GET", "/who", nil)
		r.Header.Set("Cookie", cookie+"="+v)
		if got := body(s.browser().send(r)); got != "user=" {
			t.Errorf("%q: %s", v, got)
		}
	}
	r := s.browser().request("GET", "/who", nil)
	r.Header.Set("Cookie", cookie)
	want(t, "no value", s.browser().send(r), 200, "user=")
}

// TestCVE_2026_35192: every answer that depends on the session says so, and every one with a
// cookie is kept out of caches, whatever its kind.
func TestCVE_2026_35192(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	statuses := []int{200, 204, 206, 301, 302, 303, 304, 307, 400, 404, 410, 451, 500, 503}
	for _, code := range statuses {
		s.page(fmt.Sprintf("/looks/%d", code), func(w http.ResponseWriter, r *http.Request) {
			if _, err := authhttp.User(r); err != nil {
				t.Error(err)
			}
			w.Header().Set("Cache-Control", "public, max-age=600, s-maxage=1000")
			w.Header().Set("CDN-Cache-Control", "public")
			w.Header().Set("Vary", "Accept-Encoding")
			w.WriteHeader(code)
		})
		s.page(fmt.Sprintf("/sets/%d", code), func(w http.ResponseWriter, r *http.Request) {
			if err := authhttp.Session(r).Set("k", code); err != nil {
				t.Error(err)
			}
			w.Header().Set("Cache-Control", "public, max-age=600")
			w.WriteHeader(code)
		})
	}
	b := s.browser()
	b.login("ada")
	for _, code := range statuses {
		for _, method := range []string{"GET", "HEAD"} {
			res := b.send(b.request(method, fmt.Sprintf("/looks/%d", code), nil))
			if got := res.Header.Get("Vary"); got != "Accept-Encoding, Cookie" {
				t.Errorf("%s %d: Vary %q", method, code, got)
			}
			if got := res.Header.Get("Cache-Control"); got != "max-age=600, private" || res.Header.Get("CDN-Cache-Control") != "" {
				t.Errorf("%s %d: Cache-Control %q", method, code, got)
			}
			res = s.browser().send(b.request(method, fmt.Sprintf("/sets/%d", code), nil))
			if code < 500 && len(res.Cookies()) != 1 || len(res.Cookies()) > 0 && (res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Cookie") {
				t.Errorf("%s %d: header %v", method, code, res.Header)
			}
		}
	}
	// Who is not signed in may be shared, apart by the cookie.
	res := s.browser().get("/looks/200")
	if res.Header.Get("Vary") != "Accept-Encoding, Cookie" || res.Header.Get("Cache-Control") != "public, max-age=600, s-maxage=1000" {
		t.Errorf("nobody: %v", res.Header)
	}
}

// TestCVE_2014_0473: pages with forms are kept by nobody.
func TestCVE_2014_0473(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, page := range []string{"/accounts/login/", "/accounts/password/reset/", "/accounts/password/reset/set/", "/accounts/password/reset/done/", "/accounts/nothing/"} {
		if got := s.browser().get(page).Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", page, got)
		}
	}
}

// TestCVE_2016_7401: one cookie cannot bring another, and of two that do not agree none counts.
func TestCVE_2016_7401(t *testing.T) {
	s := newSite(t, nil, nil)
	ada, eve := authtest.User(t, s.eng, "ada"), authtest.User(t, s.eng, "eve")
	a, e := authtest.Login(t, s.eng, ada).Token.Reveal(), authtest.Login(t, s.eng, eve).Token.Reveal()
	for _, c := range []struct{ line, want string }{
		{cookie + "=" + a, "ada"},
		{cookie + "=" + a + "; " + cookie + "=" + a, "ada"},
		{cookie + "=" + a + "; " + cookie + "=" + e, ""},
		{cookie + "=" + e + "; x=1; " + cookie + "=" + a, ""},
		{cookie + "=" + a + "; " + cookie + "=", ""},
		{"x=\"; " + cookie + "=" + e + "\"; " + cookie + "=" + a, "ada"}, // the first is no cookie: a quote in its value
		{"x=1, " + cookie + "=" + e, ""},
		{"latchbolt=" + e, ""},
		{"__host-latchbolt=" + e, ""},
		{" " + cookie + " =" + e, "eve"}, // blanks around a name do not count
		{cookie + "=\"" + a + "\"", "ada"},
	} {
		r := s.browser().request("GET", "/who", nil)
		r.Header.Set("Cookie", c.line)
		got := body(s.browser().send(r))
		// What counts is what net/http reads.
		var read []string
		for _, k := range r.CookiesNamed(cookie) {
			read = append(read, k.Value)
		}
		slices.Sort(read)
		read = slices.Compact(read)
		agreed := ""
		if len(read) == 1 {
			agreed = map[string]string{a: "ada", e: "eve"}[read[0]]
		}
		if got != "user="+agreed || agreed != c.want && !strings.Contains(c.line, "\"; ") {
			t.Errorf("%s: got %s, net/http reads %q", c.line, got, agreed)
		}
	}
}

// TestCVE_2025_24358: what counts as proof of the origin, and what does not; with CVE-2011-0696.
func TestCVE_2025_24358(t *testing.T) {
	s := newSite(t, &authhttp.Auth{TrustedOrigins: []string{"https://app.example"}}, nil)
	authtest.User(t, s.eng, "ada")
	for _, c := range []struct {
		what   string
		header http.Header
		ok     bool
	}{
		{"same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {base}}, true},
		{"typed by the user", http.Header{"Sec-Fetch-Site": {"none"}}, true},
		{"another site", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.com"}}, false},
		{"a sibling", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.intranet.example"}}, false},
		{"another site that claims the origin", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {base}}, false},
		{"old browser, same origin", http.Header{"Origin": {base}}, true},
		{"old browser, another site", http.Header{"Origin": {"https://evil.com"}}, false},
		{"old browser, null", http.Header{"Origin": {"null"}}, false},
		{"old browser, http of the same host", http.Header{"Origin": {"http://" + host}}, false},
		{"old browser, other port", http.Header{"Origin": {base + ":8443"}}, false},
		{"http of the same host, said to be same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://" + host}}, false},
		{"trusted", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.example"}}, true},
		{"trusted over http", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"http://app.example"}}, false},
		{"no browser", http.Header{}, true},
		{"XHR is no proof", http.Header{"X-Requested-With": {"XMLHttpRequest"}, "Origin": {"https://evil.com"}}, false},
		{"nor is JSON", http.Header{"Content-Type": {"application/json"}, "Origin": {"https://evil.com"}}, false},
		{"nor is a Referer", http.Header{"Referer": {base + "/"}, "Origin": {"https://evil.com"}}, false},
		{"nor another method by name", http.Header{"X-Http-Method-Override": {"GET"}, "Origin": {"https://evil.com"}}, false},
	} {
		for _, path := range []string{"/accounts/login/", "/accounts/logout/", "/plain"} {
			b := s.browser()
			r := httptest.NewRequest("POST", base+path+"?_method=GET", strings.NewReader(url.Values{"username": {"ada"}, "password": {authtest.Password}}.Encode()))
			r.Header = c.header.Clone()
			if r.Header.Get("Content-Type") == "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			res := b.send(r)
			if (res.StatusCode != 403) != c.ok {
				t.Errorf("%s, %s: got %d", c.what, path, res.StatusCode)
			}
			if !c.ok && len(res.Cookies()) != 0 {
				t.Errorf("%s, %s: cookies %v", c.what, path, res.Cookies())
			}
		}
	}
	if !strings.Contains(s.log.String(), "refused a request from another site") {
		t.Error("nothing was logged")
	}
	// A form that is not of the kind that HTML sends is no form.
	for _, kind := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", ""} {
		r := s.browser().request("POST", "/accounts/login/", url.Values{"username": {"ada"}, "password": {authtest.Password}})
		r.Header.Set("Content-Type", kind)
		want(t, kind, s.browser().send(r), 415)
	}
}

// TestCVE_2019_12781: whatever a proxy or a client says about the scheme, cookies are Secure.
func TestCVE_2019_12781(t *testing.T) {
	s := newSite(t, &authhttp.Auth{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, nil)
	authtest.User(t, s.eng, "ada")
	for _, tlsOn := range []bool{false, true} {
		for _, proto := range []string{"", "http", "https", "HTTPS", "http,https", "wss"} {
			for _, peer := range []string{"10.0.0.1:1", "192.0.2.1:1"} {
				b := s.browser()
				b.remote = peer
				r := b.request("POST", "/accounts/login/", url.Values{"username": {"ada"}, "password": {authtest.Password}})
				r.TLS = nil
				if tlsOn {
					r.TLS = new(tls.ConnectionState)
				}
				if proto != "" {
					r.Header.Set("X-Forwarded-Proto", proto)
					r.Header.Set("Forwarded", "proto="+proto)
				}
				res := b.send(r)
				if cs := res.Cookies(); len(cs) != 1 || !cs[0].Secure || !strings.HasPrefix(cs[0].Name, "__Host-") {
					t.Errorf("TLS %v, %q from %s: %v", tlsOn, proto, peer, cs)
				}
			}
		}
	}
}

// TestCVE_2013_0306: forms are bounded before they are looked at; CVE-2023-24580, CVE-2026-5766.
func TestCVE_2013_0306(t *testing.T) {
	s := newSite(t, nil, nil)
	many := strings.Repeat("a=&", 100_000)
	parts := strings.Repeat("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n", 10_000)
	for _, path := range []string{"/accounts/login/", "/accounts/logout/"} {
		for what, c := range map[string]struct {
			kind, body string
			status     int
		}{
			"1 MiB":        {"application/x-www-form-urlencoded", "username=" + strings.Repeat("a", 1<<20), 413},
			"100,000 keys": {"application/x-www-form-urlencoded", many, 413},
			"20,000 keys":  {"application/x-www-form-urlencoded", many[:60_000], 400},
			"10,000 parts": {"multipart/form-data; boundary=x", parts, 413},
			"100 parts":    {"multipart/form-data; boundary=x", parts[:5000], 415},
			"bad escape":   {"application/x-www-form-urlencoded", "username=%zz", 400},
			"semicolon":    {"application/x-www-form-urlencoded", "username=a;password=b", 400},
		} {
			r := s.browser().request("POST", path, url.Values{})
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), -1
			r.Header.Set("Content-Type", c.kind)
			start := time.Now()
			res := s.browser().send(r)
			if res.StatusCode != c.status {
				t.Errorf("%s, %s: got %d, want %d", path, what, res.StatusCode, c.status)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s, %s: took %v", path, what, d)
			}
		}
	}
	if s.units() != 0 {
		t.Error("something was hashed")
	}
}

// TestCVE_2019_3498 and CVE-2010-3082: nothing that was sent is shown where it is not expected.
func TestCVE_2019_3498(t *testing.T) {
	s := newSite(t, nil, nil)
	b := s.browser()
	b.cookies[cookie], b.cookies["x"] = "canary-cookie", "canary-cookie"
	b.header.Set("User-Agent", "canary-agent")
	b.header.Set("Referer", base+"/canary-referer")
	for _, path := range []string{"/accounts/canary-path/", "/accounts/login/?canary-query=1&next=//canary.example", "/accounts/?done=canary-done", "/accounts/password/reset/canary-token/", "/accounts/setup/?code=canary-code"} {
		if got := body(b.get(path)); strings.Contains(got, "canary") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestCVE_2017_12794: what an error says stays inside.
func TestCVE_2017_12794(t *testing.T) {
	s := newSite(t, nil, nil)
	s.page("/fail", func(w http.ResponseWriter, r *http.Request) { s.auth.Fail(w, r, errors.New("canary of an error")) })
	for _, accept := range []string{"text/html", "application/json"} {
		b := s.browser()
		b.header.Set("Accept", accept)
		res := b.get("/fail")
		want(t, accept, res, 503, "cannot be answered at the moment")
		if strings.Contains(body(res), "canary") || !strings.Contains(s.log.String(), "canary of an error") {
			t.Errorf("%s: body %s, log %s", accept, body(res), s.log)
		}
	}
}

// TestCVE_2013_4249: texts of users are shown as texts.
func TestCVE_2013_4249(t *testing.T) {
	s := newSite(t, nil, nil)
	u := authtest.User(t, s.eng, "ada")
	b := s.browser()
	polyglots := []string{`<script>canary()</script>`, `"><img src=x onerror=canary()>`, `'onfocus=canary() autofocus='`, `javascript:canary()`, `</textarea><svg/onload=canary()>`, `{{canary}}`, "</title><script>canary()</script>"}
	for _, p := range polyglots {
		b.header.Set("User-Agent", "Firefox/ Linux"+p)
		b.login("ada")
		if err := s.eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.FirstName, u.LastName = p, p; return nil }); err != nil {
			t.Fatal(err)
		}
		for sess, err := range s.eng.Sessions(t.Context(), u.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if err := s.eng.NameSession(t.Context(), sess.ID, p); err != nil {
				t.Fatal(err)
			}
		}
		for _, res := range []*http.Response{b.get("/accounts/"), b.post("/accounts/login/", "username", p, "password", "x", "next", "/"+p), b.get("/accounts/login/?next=/" + url.QueryEscape(p))} {
			text := body(res)
			for _, bad := range []string{"<script", "<img", "<svg", "onerror=canary()>", "'onfocus", `href="javascript`} {
				if strings.Contains(text, bad) {
					t.Errorf("%q: the page has %q", p, bad)
				}
			}
			if csp := res.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("CSP %q", csp)
			}
		}
	}
}

// TestCVE_2025_48432: a name with line breaks forges no line of the log.
func TestCVE_2025_48432(t *testing.T) {
	s := newSite(t, nil, nil)
	lines := strings.Count(s.log.String(), "\n")
	for _, name := range []string{"a\nlevel=ERROR msg=forged", "a\r\nx", "\x1b[2Jx", "a\u2028b", "\x00", strings.Repeat("x", 10<<10)} {
		b := s.browser()
		b.post("/accounts/login/", "username", name, "password", "x")
		r := b.request("POST", "/accounts/login/", url.Values{"username": {name}})
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		b.send(r)
		lines++ // for the one that was refused
		log := s.log.String()
		if got := strings.Count(log, "\n"); got != lines || strings.Contains(log, "\x1b") || strings.Contains(log, "msg=forged") {
			t.Errorf("%.20q: %d lines, want %d: %s", name, got, lines, log)
		}
	}
}

// TestCVE_2024_38513: what a client chose is never a session; CVE-2024-28197: the token changes with a login, and is dead after a logout.
func TestCVE_2024_38513(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	authtest.User(t, s.eng, "ada")
	other := authtest.New(t, nil)
	p, err := other.NewSession(t.Context(), latchbolt.LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, chosen := range []string{p.Token.Reveal(), strings.Repeat("A", 64), "abcdefghijklmnopqrstuvwxyz012345"} {
		b := s.browser()
		b.cookies[cookie] = chosen
		b.get("/set?name=a&value=b")
		if b.cookies[cookie] == chosen {
			t.Errorf("%s was adopted for a value", chosen)
		}
		b.cookies[cookie] = chosen
		b.login("ada")
		first := b.token()
		if b.cookies[cookie] == chosen {
			t.Errorf("%s was adopted at the login", chosen)
		}
		b.login("ada")
		if b.token() == first {
			t.Error("the token did not change with the second login")
		}
		tok, err := latchbolt.ParseToken(chosen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.eng.SessionUser(t.Context(), tok); !errors.Is(err, latchbolt.ErrNoSession) {
			t.Errorf("%s is a session now: %v", chosen, err)
		}
		last := b.token()
		b.post("/accounts/logout/")
		for _, dead := range []latchbolt.Token{first, last} {
			c := s.browser()
			c.cookies[cookie] = dead.Reveal()
			want(t, "a token from before", c.get("/who"), 200, "user=")
			if body(c.get("/who")) != "user=" {
				t.Error("a dead token is good")
			}
		}
	}
}

// TestCVE_2024_46999: a user who is deactivated is out on every path with the next request.
func TestCVE_2024_46999(t *testing.T) {
	s := newSite(t, &authhttp.Auth{BaseURL: base}, nil)
	u := authtest.User(t, s.eng, "ada")
	s.mux.Handle("/api", s.auth.Bearer(s.auth.BasicAuth(s.auth.RequireLogin(says("in")))))
	b := s.browser()
	b.login("ada", "remember", "on")
	api := func(auth string) *http.Response {
		r := s.browser().request("GET", "/api", nil)
		r.Header.Set("Authorization", auth)
		return s.browser().send(r)
	}
	want(t, "bearer before", api("Bearer "+b.token().Reveal()), 200)
	want(t, "basic before", api(basic("ada", authtest.Password)), 200)
	reset, err := s.eng.ResetToken(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.auth.ResetURL(reset)
	if err != nil {
		t.Fatal(err)
	}
	c := s.browser()
	want(t, "link before", c.get(link), 303)
	tok := b.token().Reveal()
	if err := s.eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.Inactive = true; return nil }); err != nil {
		t.Fatal(err)
	}
	want(t, "cookie", b.get("/private"), 302)
	want(t, "bearer", api("Bearer "+tok), 401)
	want(t, "basic", api(basic("ada", authtest.Password)), 401)
	want(t, "link", s.browser().get(link), 200, "not good any more")
	want(t, "the page of the link", c.get("/accounts/password/reset/set/"), 200, "not good any more")
	want(t, "login", s.browser().post("/accounts/login/", "username", "ada", "password", authtest.Password), 401)
}

// TestCVE_2025_64102: wrong passwords where one is asked for again are slowed down like at a login.
func TestCVE_2025_64102(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, c := range []struct {
		path string
		form []string
	}{
		{"/accounts/confirm/", []string{"password", "wrong"}},
		{"/accounts/password/change/", []string{"old", "wrong", "password1", "a quite new password", "password2", "a quite new password"}},
		{"/accounts/login/", []string{"username", "x", "password", "wrong"}},
	} {
		name := "u" + fmt.Sprint(len(c.path))
		authtest.User(t, s.eng, name)
		b := s.browser()
		b.login(name)
		form := slices.Clone(c.form)
		if form[0] == "username" {
			form[1] = name
		}
		throttled := 0
		for range 100 {
			if res := b.post(c.path, form...); res.StatusCode == 429 {
				if throttled++; throttled == 1 {
					want(t, c.path, res, 429, "Too many failed attempts. Try again in ")
					if res.Header.Get("Retry-After") == "" {
						t.Errorf("%s: no Retry-After", c.path)
					}
				}
			}
		}
		if throttled < 80 {
			t.Errorf("%s: %d of 100 were throttled", c.path, throttled)
		}
		// The right password makes no difference now, and the session goes on.
		right := strings.ReplaceAll(strings.Join(form, "\x00"), "wrong", authtest.Password)
		want(t, c.path, b.post(c.path, strings.Split(right, "\x00")...), 429)
		want(t, "the session", b.get("/who"), 200, "user="+name)
	}
}

// TestCVE_2026_32760: whatever a profile form says, it changes the own name and address and nothing else. CVE-2015-5144: no line breaks.
func TestCVE_2026_32760(t *testing.T) {
	s := newSite(t, nil, nil)
	u, other := authtest.User(t, s.eng, "ada"), authtest.User(t, s.eng, "bob")
	b := s.browser()
	b.login("ada")
	res := b.post("/accounts/profile/", "first_name", "Ada", "last_name", "Lovelace", "email", "ada@example.org",
		"is_superuser", "1", "Superuser", "1", "superuser", "on", "ſuperuser", "1", "is_staff", "on", "Staff", "1", "user.Superuser", "1", "id", fmt.Sprint(other.ID), "ID", fmt.Sprint(other.ID),
		"username", "root", "Username", "root", "password", "x", "Inactive", "1", "groups", "1", "date_joined", "2000-01-01")
	want(t, "the form", res, 303)
	got, err := s.eng.User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Username != "ada" || got.Superuser || got.Staff || got.Inactive || len(got.Groups) != 0 || !got.DateJoined.Equal(u.DateJoined) || got.Email != "ada@example.org" || got.FullName() != "Ada Lovelace" {
		t.Errorf("got %+v", got)
	}
	if still, err := s.eng.User(t.Context(), other.ID); err != nil || still.FirstName != "" {
		t.Errorf("bob: %+v, %v", still, err)
	}
	for _, bad := range []string{"a@example.org\nx", "a@example.org\r\nBcc: b@c.de", "a@good.com@evil.com", "x"} {
		want(t, bad, b.post("/accounts/profile/", "email", bad), 422)
	}
	b.post("/accounts/profile/", "email", "ada@example.org\n") // outer white space is no part of an address
	if got, err := s.eng.User(t.Context(), u.ID); err != nil || got.Email != "ada@example.org" {
		t.Errorf("got %q, %v", got.Email, err)
	}
	want(t, "saved", b.get("/accounts/?done=profile"), 200, "Your profile is saved.", "ada@example.org")
}

// TestCanaryPassword: no password that was posted anywhere is in a log or on a page; HISTORY 41.
func TestCanaryPassword(t *testing.T) {
	const canary = "a canary of a password"
	s := newSite(t, &authhttp.Auth{BaseURL: base}, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	for _, path := range []string{"login/", "logout/", "confirm/", "password/change/", "password/reset/", "password/reset/set/", "setup/", "profile/", "sessions/end/", "sessions/name/", "nothing/", "?x"} {
		for _, c := range []*browser{b, s.browser()} {
			f := []string{}
			for _, name := range []string{"password", "old", "password1", "password2"} {
				f = append(f, name, canary+name)
			}
			if got := body(c.post("/accounts/"+path, f...)); strings.Contains(got, canary) {
				t.Errorf("%s: the page shows it", path)
			}
			if path == "logout/" && c == b {
				b.login("ada")
			}
		}
	}
	if strings.Contains(s.log.String(), canary) {
		t.Error("the log shows it")
	}
}

// TestCVE_2014_0474: an identifier has one form.
func TestCVE_2014_0474(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b, c := s.browser(), s.browser()
	b.login("ada")
	c.login("ada")
	p, err := s.eng.Session(t.Context(), c.token())
	if err != nil {
		t.Fatal(err)
	}
	id := p.ID.String()
	for _, bad := range []string{"", "0", " " + id, id + " ", id + "=", id[:21], id + "A", strings.ToLower(id) + "x", "+" + id} {
		want(t, bad, b.post("/accounts/sessions/end/", "id", bad), 404)
	}
	want(t, "still there", c.get("/who"), 200, "user=ada")
	want(t, "the right one", b.post("/accounts/sessions/end/", "id", id), 303)
	if got := body(c.get("/who")); got != "user=" {
		t.Errorf("the other device: %s", got)
	}
}

// A busyHasher hashes until it is told to stop.
type busyHasher struct {
	latchbolt.PBKDF2SHA256
	on         atomic.Bool
	began, end chan bool
}

func (h *busyHasher) Verify(password, encoded string) (bool, error) {
	if h.on.Load() {
		h.began <- true
		<-h.end
	}
	return h.PBKDF2SHA256.Verify(password, encoded)
}

// TestCVE_2026_54092: if as many passwords are being checked as may be, others are told to come again, and who is signed in notices nothing.
func TestCVE_2026_54092(t *testing.T) {
	h := &busyHasher{PBKDF2SHA256: latchbolt.PBKDF2SHA256{Iterations: 1}, began: make(chan bool), end: make(chan bool)}
	s := newSite(t, nil, &latchbolt.Config{Hashers: []latchbolt.Hasher{h}, HashSlots: 1, HashQueue: -1})
	authtest.User(t, s.eng, "ada")
	in := s.browser()
	in.login("ada")
	h.on.Store(true)
	done := make(chan *http.Response)
	go func() { done <- s.browser().post("/accounts/login/", "username", "ada", "password", authtest.Password) }()
	<-h.began
	res := s.browser().post("/accounts/login/", "username", "ada", "password", authtest.Password)
	want(t, "a second login", res, 503)
	if res.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
	}
	want(t, "who is signed in", in.get("/who"), 200, "user=ada")
	h.on.Store(false)
	h.end <- true
	want(t, "the first login", <-done, 303)
	want(t, "afterwards", s.browser().login("ada"), 303)
}

// TestCVE_2020_15223: a logout that could not be written is an error, and the session is refused all the same.
func TestCVE_2020_15223(t *testing.T) {
	store := &brokenStore{SessionStore: latchbolt.MemorySessions()}
	s := newSite(t, nil, &latchbolt.Config{Sessions: store})
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	tok := b.token()
	store.failDelete.Store(true)
	res := b.post("/accounts/logout/")
	want(t, "the logout", res, 503)
	if len(b.cookies) != 0 || res.Header.Get("Clear-Site-Data") != "" {
		t.Errorf("cookies %v, header %v", b.cookies, res.Header)
	}
	b.cookies[cookie] = tok.Reveal()
	if got := body(b.get("/who")); got != "user=" {
		t.Errorf("the session is good: %s", got)
	}
	store.failDelete.Store(false)
}

// TestCVE_2026_40884: nothing empty proves anybody; CVE-2025-27112, CVE-2020-36569.
func TestCVE_2026_40884(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	authtest.User(t, s.eng, "ada")
	if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: "none"}, latchbolt.PasswordHash{}); err != nil {
		t.Fatal(err)
	}
	paths := passwordPaths(s)
	nothing := []string{"", " ", "\x00", "0", "null"}
	for _, name := range append([]string{"ada", "none"}, nothing...) {
		for _, password := range nothing {
			for path, try := range paths {
				b := s.browser()
				if res := try(b, name, password); res.StatusCode != 401 || len(b.cookies) != 0 {
					t.Errorf("%s, %q, %q: got %d", path, name, password, res.StatusCode)
				}
			}
		}
	}
	want(t, "no fields at all", s.browser().post("/accounts/login/"), 401)
	want(t, "no password", s.browser().post("/accounts/login/", "username", "ada"), 401)
}

// TestCVE_2026_47203: a name is the same name on every path, in whatever spelling, and what is no spelling of it is refused on each.
func TestCVE_2026_47203(t *testing.T) {
	s := newSite(t, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	authtest.User(t, s.eng, "straße")
	paths := passwordPaths(s)
	for _, name := range []string{"straße", "Straße", "STRASSE", "strasse", "ｓtraße", "ﬆraße"} {
		for path, try := range paths {
			if res := try(s.browser(), name, authtest.Password); res.StatusCode >= 400 {
				t.Errorf("%s, %q: got %d", path, name, res.StatusCode)
			}
		}
	}
	for _, name := range []string{"straße\x00", "stra\u200bße", "straße@", "strase", "str\u0430ße"} {
		for path, try := range paths {
			if res := try(s.browser(), name, authtest.Password); res.StatusCode != 401 {
				t.Errorf("%s, %q: got %d", path, name, res.StatusCode)
			}
		}
	}
	// White space around a name is no part of any: each path refuses it, or none does.
	for _, name := range []string{" straße", "straße ", "\u00a0straße"} {
		seen := make(map[bool]bool)
		for _, try := range paths {
			seen[try(s.browser(), name, authtest.Password).StatusCode < 400] = true
		}
		if len(seen) != 1 {
			t.Errorf("%q: the paths do not agree", name)
		}
	}
}
