package authhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// fromDjango reads a file of real Django's answers.
func fromDjango(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/django/" + name)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type redirects struct {
	LoginURL string `json:"LOGIN_URL"`
	Safe     []struct {
		URL   *string  `json:"url"`
		Hosts hostList `json:"allowed_hosts"`
		HTTPS bool     `json:"require_https"`
		Safe  bool     `json:"safe"`
	} `json:"url_has_allowed_host_and_scheme"`
	ToLogin []struct {
		Next     string  `json:"next"`
		LoginURL *string `json:"login_url"`
		Field    *string `json:"redirect_field_name"`
		Location string  `json:"location"`
	} `json:"redirect_to_login"`
	Required []struct {
		Path, Host string
		Secure     bool
		LoginURL   string `json:"login_url"`
		Location   string
	} `json:"login_required"`
}

// A hostList is a list of hosts, one host or nothing.
type hostList []string

func (l *hostList) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil && string(data) != "null" {
		*l = hostList{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

// TestRedirectsOfDjango is inventory 57, 58 and 98: the verdict on each of 1,732 targets is Django's.
func TestRedirectsOfDjango(t *testing.T) {
	var d redirects
	fromDjango(t, "redirects.json", &d)
	if len(d.Safe) != 1732 {
		t.Fatalf("got %d rows", len(d.Safe))
	}
	safe := 0
	for _, row := range d.Safe {
		target := ""
		if row.URL != nil {
			target = *row.URL
		}
		if got := authhttp.SafeRedirect(target, row.Hosts, row.HTTPS); got != row.Safe {
			t.Errorf("%q, hosts %q, https %v: got %v, want %v", target, row.Hosts, row.HTTPS, got, row.Safe)
		}
		if row.Safe {
			safe++
		}
	}
	if safe == 0 || safe == len(d.Safe) {
		t.Errorf("%d of %d are safe", safe, len(d.Safe))
	}
}

// TestNextOfDjango posts each target of the table as the next of a login. What leaves is safe by
// Django's rule, by that of browsers, and unchanged by another round of escaping; and no target is followed that Django would not.
func TestNextOfDjango(t *testing.T) {
	var d redirects
	fromDjango(t, "redirects.json", &d)
	s := newSite(t, &authhttp.Auth{BaseURL: "https://testserver", LoginRedirect: "/home"}, nil)
	authtest.User(t, s.eng, "ada")
	seen := make(map[string]bool)
	followed := 0
	for _, row := range d.Safe {
		if row.URL == nil || !row.HTTPS || !slices.Equal(row.Hosts, []string{"testserver"}) || seen[*row.URL] {
			continue
		}
		seen[*row.URL] = true
		b := s.browser()
		b.base = "https://testserver"
		loc := b.login("ada", "next", *row.URL).Header.Get("Location")
		if loc == "/home" {
			continue
		}
		followed++
		if !row.Safe {
			t.Errorf("%q: followed to %q, which Django would not", *row.URL, loc)
		}
		if authhttp.FinalLocation(loc) != loc || !authhttp.SafeRedirect(loc, row.Hosts, true) {
			t.Errorf("%q: %q left, which does not pass the check", *row.URL, loc)
		}
		if h := browserHost("https://testserver/accounts/login/", loc); h != "testserver" {
			t.Errorf("%q: %q leads a browser to %q", *row.URL, loc, h)
		}
	}
	if len(seen) < 200 || followed < 20 {
		t.Errorf("%d targets, %d followed", len(seen), followed)
	}
}

// browserHost is where a browser goes, by the URL standard of the WHATWG in short: white space and controls
// around it and tabs and line breaks inside are dropped, backslashes are slashes, any number of slashes after a
// special scheme is two.
func browserHost(base, target string) string {
	target = strings.TrimFunc(target, func(r rune) bool { return r <= ' ' })
	target = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(target)
	b, err := url.Parse(base)
	if err != nil {
		return "unparseable base"
	}
	if i := strings.IndexByte(target, ':'); i > 0 && !strings.ContainsAny(target[:i], "/\\?#") {
		switch strings.ToLower(target[:i]) {
		case "http", "https":
			rest := target[i+1:]
			if !strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, `\`) && strings.EqualFold(target[:i], b.Scheme) {
				return b.Host
			}
			return authority(strings.TrimLeft(rest, `/\`))
		default:
			return "scheme " + target[:i]
		}
	}
	path := target
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if path = strings.ReplaceAll(path, `\`, "/"); strings.HasPrefix(path, "//") {
		return authority(strings.TrimLeft(path, "/"))
	}
	return b.Host
}

func authority(rest string) string {
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return strings.TrimSuffix(strings.ToLower(rest), ":443")
}

func TestBrowserHostCanFail(t *testing.T) {
	for target, want := range map[string]string{
		"/a": "h", "//evil": "evil", `/\evil`: "evil", "/\t/evil": "evil", "https:evil": "h", "https:/evil": "evil", "http:evil": "evil",
		"javascript:x": "scheme javascript", "///evil": "evil", "https://h@evil/": "evil", "a/b": "h", "?//evil": "h",
	} {
		if got := browserHost("https://h/x", target); got != want {
			t.Errorf("%q: got %q, want %q", target, got, want)
		}
	}
}

// TestRedirectToLoginOfDjango is inventory 97: the query is merged, slashes stay as they are.
func TestRedirectToLoginOfDjango(t *testing.T) {
	var d redirects
	fromDjango(t, "redirects.json", &d)
	if len(d.ToLogin) != 135 {
		t.Fatalf("got %d rows", len(d.ToLogin))
	}
	for _, row := range d.ToLogin {
		loginURL, field := d.LoginURL, ""
		if row.LoginURL != nil {
			loginURL = *row.LoginURL
		}
		if row.Field != nil {
			field = *row.Field
		}
		if got := authhttp.LoginLocation(loginURL, field, row.Next); got != row.Location {
			t.Errorf("%q, %q, %q: got %q, want %q", loginURL, field, row.Next, got, row.Location)
		}
	}
}

// TestLoginRequiredOfDjango is inventory 99. Where Django's request is over http, so is the site's.
func TestLoginRequiredOfDjango(t *testing.T) {
	var d redirects
	fromDjango(t, "redirects.json", &d)
	if len(d.Required) != 24 {
		t.Fatalf("got %d rows", len(d.Required))
	}
	for _, row := range d.Required {
		s := newSite(t, &authhttp.Auth{LoginURL: row.LoginURL, Insecure: !row.Secure}, nil)
		s.mux.Handle("/secret/", s.auth.RequireLogin(http.NotFoundHandler()))
		s.mux.Handle("/päth/", s.auth.RequireLogin(http.NotFoundHandler()))
		path, query, _ := strings.Cut(row.Path, "?")
		r := httptest.NewRequest("GET", "http://"+row.Host+"/", nil)
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Accept", "text/html")
		res := s.browser().send(r)
		if got := res.Header.Get("Location"); res.StatusCode != 302 || got != row.Location {
			t.Errorf("%s at %s (secure %v), login at %s: got %d %q, want %q", row.Path, row.Host, row.Secure, row.LoginURL, res.StatusCode, got, row.Location)
		}
	}
}

// evil are targets that lead away in some browser, server or reading: HISTORY 26, 39, 50, 98, 99.
var evil = []string{
	"//evil.com", "///evil.com", "////evil.com", `/\evil.com`, `\/evil.com`, `\\evil.com`, `/\/evil.com`, `\evil.com`,
	"http:///evil.com", "https:///evil.com", "http:evil.com", "https:evil.com", "https:/evil.com", "http:/evil.com", "http://evil.com", "HTTPS://evil.com",
	"https://intranet.example@evil.com", `https://intranet.example\@evil.com`, "https://intranet.example.evil.com", "https://intranet.example:443@evil.com",
	"https://evil.com#@intranet.example", "https://evil.com?intranet.example", `https://evil.com\intranet.example`, "//intranet.example@evil.com",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x00javascript:alert(1)", "data:text/html,x", "vbscript:x", "mailto:a@b",
	"/\t/evil.com", "/\n/evil.com", "/\r\n/evil.com", "\t//evil.com", " //evil.com", "\x01//evil.com", "\u00a0//evil.com", "\u2028//evil.com", "\ufeff//evil.com",
	`/./\evil.com`, "/.//evil.com", "/.//.", "/%2e//%2E", "/..//evil.com", "/a/..//evil.com", "/%2e//evil.com", "/%2E%2e//evil.com", "/a/%2e%2e//evil.com", `/.\/evil.com`, "/./%5Cevil.com",
	"//evil.com/%2f..", "//evil.com/..", "/%09/evil.com\t", "http://intranet.example/", "http://intranet.example:80/", "https://INTRANET.example/", "//evil。com", "https://evil。com",
	"//[::1]", "https://[intranet.example]", "ftp://intranet.example/", "https://intranet.example:8443/", "https://user@intranet.example/",
	"evil.com", "./evil", "../x", "?next=//evil.com", "#x", ";//evil.com", "", " ", "\x7f", "/" + strings.Repeat("a", 2049), "https://intranet.example\x00.evil.com/",
}

// TestCVE_2012_3442, with CVE-2013-6044, 2014-3730, 2015-2317, 2016-2512, 2017-7233, 2018-14574,
// 2025-67713 and 2026-55185: through the form, the query and the mux nothing leads to another site.
func TestCVE_2012_3442(t *testing.T) {
	s := newSite(t, &authhttp.Auth{LoginRedirect: "/home", LogoutRedirect: "/bye", RedirectSignedIn: true}, nil)
	authtest.User(t, s.eng, "ada")
	for _, target := range evil {
		b := s.browser()
		if got := b.login("ada", "next", target).Header.Get("Location"); got != "/home" && browserHost(base+"/accounts/login/", got) != host {
			t.Errorf("login with %q led to %q", target, got)
		}
		if got := b.get("/accounts/login/?next=" + url.QueryEscape(target)).Header.Get("Location"); got != "/home" && browserHost(base+"/accounts/login/", got) != host {
			t.Errorf("the login page with %q led to %q", target, got)
		}
		if got := b.post("/accounts/logout/", "next", target).Header.Get("Location"); got != "/bye" && browserHost(base+"/accounts/logout/", got) != host {
			t.Errorf("logout with %q led to %q", target, got)
		}
		// GHSA-mqqf-5wvp-8fh8, GHSA-vrw8-fxc6-2r93: as the path itself.
		r := b.request("GET", "/", nil)
		r.URL.Path, r.RequestURI = "/"+strings.TrimLeft(target, " "), ""
		if got := b.send(r).Header.Get("Location"); got != "" && browserHost(base+"/x", got) != host {
			t.Errorf("the path %q led to %q", r.URL.Path, got)
		}
	}
}

// TestCVE_2021_23336: of several values the first counts, and what is checked is what is used.
func TestCVE_2021_23336(t *testing.T) {
	s := newSite(t, &authhttp.Auth{LoginRedirect: "/home", RedirectSignedIn: true}, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	if got := b.login("ada", "next", "/one", "next", "//evil.com").Header.Get("Location"); got != "/one" {
		t.Errorf("got %q", got)
	}
	for query, want := range map[string]string{
		"next=/a&next=//evil.com": "/a", "next=//evil.com&next=/a": "/home", "next=/a;next=//evil.com": "/home", "next[]=/a": "/home", "NEXT=/a": "/home",
	} {
		if got := b.get("/accounts/login/?" + query).Header.Get("Location"); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// TestRedirectHosts: Django's LoginSuccessURLAllowedHostsTest, LoginRedirectAuthenticatedUser and the rest of inventory 92 and 93 about targets.
func TestRedirectHosts(t *testing.T) {
	s := newSite(t, &authhttp.Auth{RedirectHosts: []string{"other.example:8443"}, RedirectSignedIn: true}, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	for next, want := range map[string]string{
		"https://other.example:8443/x": "https://other.example:8443/x", "https://other.example/x": "/", "http://other.example:8443/x": "/",
		"//other.example:8443/y": "/", "https://intranet.example/z": "https://intranet.example/z", "": "/", "/ü?q=ä b": "/%C3%BC?q=%C3%A4%20b",
	} {
		if got := b.login("ada", "next", next).Header.Get("Location"); got != want {
			t.Errorf("next %q: got %q, want %q", next, got, want)
		}
	}
	// In a circle it would go for ever; Django raises ValueError.
	want(t, "the login page as next of itself", b.get("/accounts/login/?next=/accounts/login/"), 200, "You are signed in as ada.")
	if got := s.browser().get("/accounts/login/").Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https://other.example:8443") {
		t.Errorf("browsers would not follow a redirect after the form: %q", got)
	}
}

func FuzzSafeNext(f *testing.F) {
	for _, e := range evil {
		f.Add(e)
	}
	f.Add("/a/b?c=d#e")
	s := newSite(f, &authhttp.Auth{RedirectHosts: []string{"other.example"}}, nil)
	f.Fuzz(func(t *testing.T, next string) {
		r := httptest.NewRequest("GET", base+"/accounts/login/", nil)
		got := s.auth.SafeNext(r, next)
		if got == "" {
			return
		}
		if !authhttp.SafeRedirect(got, []string{host, "other.example"}, true) || authhttp.FinalLocation(got) != got {
			t.Errorf("%q: %q left", next, got)
		}
		if h := browserHost(base+"/accounts/login/", got); h != host && h != "other.example" {
			t.Errorf("%q: %q leads to %q", next, got, h)
		}
		// A browser resolves dots; so does net/url.
		ref, err := url.Parse(got)
		if err != nil {
			return // no URL for Go; the browser's reading was checked above
		}
		b, _ := url.Parse(base + "/accounts/login/")
		if abs := b.ResolveReference(ref); strings.HasPrefix(abs.EscapedPath(), "//") && ref.Host == "" {
			t.Errorf("%q: %q resolves to %q", next, got, abs)
		}
	})
}
