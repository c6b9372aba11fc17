package authhttp_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// TestSchemesOfAnyLetters: what is in front of a colon is a scheme, and so leads away, if it is made of letters, digits, plus, minus and dot
// and begins with a letter (RFC 3986, section 3.1). Otherwise it is a path, as for Python.
func TestSchemesOfAnyLetters(t *testing.T) {
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	for c := byte(0x21); c < 0x7f; c++ {
		if strings.IndexByte(`/\?#:`, c) >= 0 {
			continue
		}
		for _, r := range []struct {
			target string
			scheme bool
		}{
			{string(c) + ":x", letter(c)},
			{"a" + string(c) + ":x", letter(c) || c >= '0' && c <= '9' || strings.IndexByte("+-.", c) >= 0},
			{"Z" + string(c) + "9:x", letter(c) || c >= '0' && c <= '9' || strings.IndexByte("+-.", c) >= 0},
		} {
			if got := authhttp.SafeRedirect(r.target, []string{"host"}, true); got == r.scheme {
				t.Errorf("%q is safe: %v", r.target, got)
			}
		}
	}
	if authhttp.SafeRedirect(":x", []string{"host"}, true) != true {
		t.Error("a colon alone is no scheme")
	}
}

// TestFinalLocationEscapes: each byte that is not printable ASCII, and each that URLs may not have, is escaped, and no other.
func TestFinalLocationEscapes(t *testing.T) {
	const hex = "0123456789ABCDEF"
	for i := range 256 {
		c := byte(i)
		want := "/" + string([]byte{c})
		if c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			want = "/%" + string(hex[c>>4]) + string(hex[c&15])
		}
		if got := authhttp.FinalLocation("/" + string([]byte{c})); got != want {
			t.Errorf("byte %#x: got %q, want %q", c, got, want)
		}
	}
}

// TestLongestTargets: Django's limit is 2,048 characters, of any length in bytes.
func TestLongestTargets(t *testing.T) {
	for _, r := range []struct {
		target string
		want   bool
	}{
		{"/" + strings.Repeat("a", 2047), true}, {"/" + strings.Repeat("a", 2048), false},
		{"/" + strings.Repeat("é", 2047), true}, {"/" + strings.Repeat("é", 2048), false},
		{"/" + strings.Repeat("😀", 2047), true}, {"/" + strings.Repeat("😀", 2048), false},
		{"/" + strings.Repeat(" ", 8191), true}, {"/" + strings.Repeat(" ", 8192), false},
	} {
		if got := authhttp.SafeRedirect(r.target, nil, true); got != r.want {
			t.Errorf("%d bytes: got %v", len(r.target), got)
		}
	}
}

// TestSchemeOfTheTarget: with https http is refused, without it both are good, and no scheme at all is http.
func TestSchemeOfTheTarget(t *testing.T) {
	for _, r := range []struct {
		target      string
		http, https bool
	}{
		{"http://host/", true, false}, {"https://host/", true, true}, {"//host/", true, false}, {"ftp://host/", false, false},
		{"HTTPS://host/", true, true}, {"https://host:1/", false, false}, {"https://host?x", true, true}, {"https://host#x", true, true},
		{"https:/host/", false, false}, {"/x", true, true}, {"x", true, true}, {"?x", true, true}, {"http:x", false, false}, {"///host", false, false},
	} {
		if got := authhttp.SafeRedirect(r.target, []string{"other", "host"}, false); got != r.http {
			t.Errorf("%q over http: got %v", r.target, got)
		}
		if got := authhttp.SafeRedirect(r.target, []string{"other", "host"}, true); got != r.https {
			t.Errorf("%q over https: got %v", r.target, got)
		}
	}
}

// TestNextThatLeadsOut: a path whose dots leave two slashes in front would name a host.
func TestNextThatLeadsOut(t *testing.T) {
	s := newSite(t, &authhttp.Auth{RedirectHosts: []string{"other.example"}}, nil)
	for next, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/a//b": "/a//b", "/a/..": "/a/..", "/a/../b": "/a/../b", "/..": "/..", "/./a": "/./a",
		"/.//b": "", "/..//b": "", "/a/..//b": "", "/a/.././/b": "", "/%2e//b": "", "/%2E%2e//b": "", "/a/%2e.//b": "", "/%5Cb": "", "/.%2f": "/.%2f",
		"/%5cb": "", "/a/../%5cb": "", "/a/%5cb": "/a/%5cb", "/a?x=/..//b": "/a?x=/..//b", "/a#/..//b": "/a#/..//b", "/?//b": "/?//b", "/a/b/../..//c": "",
		"/a/b/..//c": "/a/b/..//c", "a": "", "": "", " ": "", " /a ": "/a", "?x": "", "//": "", "https://other.example/..//b": "https://other.example/..//b", "/a b": "/a%20b",
		"/.../a": "/.../a", "/a/...//b": "/a/...//b", "/%2e%2e%2e//b": "/%2e%2e%2e//b",
	} {
		r := httptest.NewRequest("GET", base+"/accounts/login/", nil)
		if got := s.auth.SafeNext(r, next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
	bare := newSite(t, &authhttp.Auth{RedirectHosts: []string{"other.example"}}, nil)
	r := httptest.NewRequest("GET", base+"/", nil)
	r.Host = ""
	if got := bare.auth.SafeNext(r, "https://other.example/x"); got != "https://other.example/x" {
		t.Errorf("without a host of its own: %q", got)
	}
	if got := bare.auth.SafeNext(r, "https:///x"); got != "" {
		t.Errorf("without any host: %q", got)
	}
}

// TestLoginLocationEdges: what Django's rows leave out.
func TestLoginLocationEdges(t *testing.T) {
	for _, c := range []struct{ login, field, next, want string }{
		{"/login", "", "/x", "/login"},
		{"/login", "next", "/x", "/login?next=/x"},
		{"/login?", "next", "/x", "/login?next=/x"},
		{"/login?&&", "next", "/x", "/login?next=/x"},
		{"/login?a=1", "next", "/x", "/login?a=1&next=/x"},
		{"/login?next=1&a=2&next=3", "next", "/x", "/login?next=/x&a=2"},
		{"/login?a#b", "next", "/x", "/login?a=&next=/x#b"},
		{"/login#", "next", "/x", "/login?next=/x#"},
		{"/login?a=%zz", "next", "/x", "/login?a=%zz&next=/x"},
		{"/login?%zz=1&b=2", "next", "/x", "/login?b=2&next=/x"},
		{"/login", "next", "/a b+c&d=é", "/login?next=/a%20b%2Bc%26d%3D%C3%A9"},
		{"/login?a=b%20c", "next", "/x", "/login?a=b%20c&next=/x"},
	} {
		if got := authhttp.LoginLocation(c.login, c.field, c.next); got != c.want {
			t.Errorf("%q, %q, %q: got %q, want %q", c.login, c.field, c.next, got, c.want)
		}
	}
}
