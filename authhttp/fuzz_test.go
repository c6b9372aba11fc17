package authhttp_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// rawRequest makes a request for /who with the values given of one header, but those that no server of net/http lets in.
func rawRequest(name string, values ...string) *http.Request {
	r := httptest.NewRequest("GET", base+"/who", nil)
	for _, v := range values {
		if v != "" && !strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F }) {
			r.Header.Add(name, strings.Trim(v, " \t"))
		}
	}
	return r
}

// FuzzCookie sends any one or two Cookie headers. Who the request is of follows from net/http's reading of them and from nothing else: one cookie of our name
// with a text that was given out. Nobody's is answered as nobody, and an answer never sets a cookie of the client's choosing.
func FuzzCookie(f *testing.F) {
	s := newSite(f, nil, nil)
	ada := authtest.Login(f, s.eng, authtest.User(f, s.eng, "ada")).Token.Reveal()
	eve := authtest.Login(f, s.eng, authtest.User(f, s.eng, "eve")).Token.Reveal()
	tokens := map[string]string{ada: "ada", eve: "eve"}
	// The processes of a fuzzing run have different tokens, so inputs name them.
	tokenOf := strings.NewReplacer("{ada}", ada, "{head}", ada[:40], "{tail}", ada[40:], "{eve}", eve)
	for _, lines := range [][2]string{
		{cookie + "={ada}", ""}, {cookie + `="{ada}"`, ""}, {"a=b; " + cookie + "={ada}; c=d", ""}, {cookie + "={ada}", cookie + "={ada}"},
		// CVE-2015-3982, CVE-2024-38513, CVE-2016-7401, GO-2024-2730: empty, invented, one inside another, paths.
		{cookie + "=", ""}, {cookie, ""}, {cookie + "= ", ""}, {cookie + "=\x00", ""}, {cookie + "=../../etc/passwd", ""}, {cookie + "=abcdefgh12345678", ""},
		{"x=\"; " + cookie + "={ada}\"", ""}, {"a=1; " + cookie + "=invented1; " + cookie + "={ada}", ""}, {cookie + "={ada}", cookie + "=invented1"},
		{strings.ToLower(cookie) + "={ada}", ""}, {cookie + " ={ada}", ""}, {"__Host-latchbol={ada}", ""}, {cookie + "-reset={ada}", ""}, {cookie + "={head}", ""},
		{cookie + "={ada}A", ""}, {strings.Repeat("a=b; ", 3000) + cookie + "={ada}", ""}, {cookie + "=" + strings.Repeat("A", 5000), ""}, {"\xff=\xff; " + cookie + "={ada}", ""},
		{cookie + "={eve}", cookie + "={ada}"}, {cookie + "={eve}", ""}, {cookie + "={head}{tail}", ""}, {cookie + "={tail}{head}", ""}, {cookie + "={head}", cookie + "={tail}"},
	} {
		f.Add(lines[0], lines[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := rawRequest("Cookie", tokenOf.Replace(first), tokenOf.Replace(second))
		ours := r.CookiesNamed(cookie)
		who := ""
		for i, c := range ours {
			if i > 0 && c.Value != ours[0].Value {
				who = "" // one of them was put there by somebody else
				break
			}
			who = tokens[c.Value]
		}
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.String() != "user="+who {
			t.Errorf("%q, %q: %d %q, want %q", first, second, w.Code, w.Body, who)
		}
		// What is no session is taken back, and nothing else is sent.
		set := w.Result().Cookies()
		if (len(set) == 1) != (len(ours) > 0 && who == "") || len(set) > 1 || len(set) == 1 && (set[0].Name != cookie || set[0].Value != "" || set[0].MaxAge >= 0) {
			t.Errorf("%q, %q is of %q, and the answer sets %v", first, second, who, set)
		}
		if !strings.Contains(w.Header().Get("Vary"), "Cookie") {
			t.Errorf("%q: Vary is %q", first, w.Header().Get("Vary"))
		}
	})
}

// FuzzBasic sends any one or two Authorization headers to a page behind Basic and Bearer. It is the user's whose name and password, or token, net/http and ParseToken
// find in exactly one of them; all else is refused or, of another scheme, nobody's; each name and password is looked at once.
func FuzzBasic(f *testing.F) {
	s := newSite(f, nil, &latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	u := authtest.User(f, s.eng, "ada")
	token := authtest.Login(f, s.eng, u).Token.Reveal()
	s.mux = http.NewServeMux()
	s.page("/who", func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			s.auth.Fail(w, r, err)
			return
		}
		_, _ = w.Write([]byte("user=" + id.Username()))
	})
	h := s.auth.Handler(s.auth.BasicAuth(s.auth.Bearer(s.mux)))
	tokenOf := strings.NewReplacer("{token}", token, "{head}", token[:30], "{tail}", token[30:])
	basic := func(userpass string) string { return base64.StdEncoding.EncodeToString([]byte(userpass)) }
	for _, v := range [][2]string{
		{"Basic " + basic("ada:"+authtest.Password), ""}, {"basic " + basic("ada:"+authtest.Password), ""}, {"Basic  " + basic("ada:"+authtest.Password), ""},
		{"Basic " + basic("ADA:"+authtest.Password), ""}, {"Basic " + basic("ada:"+authtest.Password), "Basic " + basic("ada:"+authtest.Password)},
		// CVE-2026-40884, CVE-2025-27112, CVE-2020-36569: empty names and passwords; CVE-2026-33496: a name and a password cut elsewhere.
		{"Basic " + basic(":"), ""}, {"Basic " + basic("ada:"), ""}, {"Basic " + basic(":"+authtest.Password), ""}, {"Basic " + basic("ada"), ""}, {"Basic ", ""}, {"Basic", ""}, {"", ""},
		{"Basic " + basic("ad:a"+authtest.Password), ""}, {"Basic " + basic("ada::"+authtest.Password), ""}, {"Basic " + basic("ada\x00:"+authtest.Password), ""},
		{"Basic " + basic("ada:"+authtest.Password+"\x00"), ""}, {"Basic " + basic("ada:" + authtest.Password)[:20], ""}, {"Basic ====", ""}, {"Basic \xff", ""},
		{"Basic " + basic("ada:"+strings.Repeat("x", 5000)), ""}, {"Basic " + basic(strings.Repeat("ﷺ", 3000)+":x"), ""}, {"Basic " + basic("ada@example.org:x"), ""},
		{"Bearer {token}", ""}, {"bearer  {token} ", ""}, {"Bearer {head}", ""}, {"Bearer", ""}, {"Bearer {token}", "Basic " + basic("ada:"+authtest.Password)},
		{"Basic {token}", ""}, {"Digest username=ada", ""}, {"Token {token}", ""}, {"Bearer {token},{token}", ""}, {"Negotiate", "Bearer {token}"},
	} {
		f.Add(v[0], v[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := rawRequest("Authorization", tokenOf.Replace(first), tokenOf.Replace(second))
		values := r.Header.Values("Authorization")
		known, scheme := false, ""
		if len(values) > 0 {
			scheme, _, _ = strings.Cut(values[0], " ")
			scheme = strings.ToLower(scheme)
			switch name, password, ok := r.BasicAuth(); {
			case len(values) > 1:
			case scheme == "basic":
				name, err := latchbolt.NormalizeUsername(name)
				// PBKDF2 takes a password and the same with NUL characters behind it for one; see docs/SECURITY.md.
				known = ok && err == nil && strings.EqualFold(name, "ada") && len(password) <= 64 && strings.TrimRight(password, "\x00") == authtest.Password
			case scheme == "bearer":
				_, text, _ := strings.Cut(values[0], " ")
				known = strings.Trim(text, " ") == token
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case known:
			want(t, first, w.Result(), http.StatusOK, "user=ada")
		case scheme == "basic" || scheme == "bearer":
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), "user=") {
				t.Errorf("%q, %q: %d %q %q", first, second, w.Code, w.Header(), w.Body)
			}
		default:
			if w.Code != http.StatusOK || w.Body.String() != "user=" {
				t.Errorf("%q, %q: %d %q", first, second, w.Code, w.Body)
			}
		}
		if cookies := w.Result().Cookies(); len(cookies) > 0 {
			t.Errorf("%q: the answer sets %v", first, cookies)
		}
		s.log.mu.Lock()
		logged := s.log.b.String()
		s.log.b.Reset()
		s.log.mu.Unlock()
		if strings.Contains(logged, authtest.Password) || strings.Contains(logged, token) {
			t.Fatal("a secret is in the log")
		}
	})
}
