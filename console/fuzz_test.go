package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzConsole asks for any page of the console with any query, as staff who may only look. What no page sends is refused, nothing is changed, nothing is shown that nobody may
// see (which the test's own client looks for), and no answer takes what was asked for as part of the page.
func FuzzConsole(f *testing.F) {
	w := newWorld(f)
	w.holding("auth.view_user", "auth.view_group", "auth.view_permission", "auth.view_session", "auth.view_audit")
	for _, p := range pages {
		path, query, _ := strings.Cut(strings.TrimPrefix(w.path(p.path), "/admin/"), "?")
		f.Add(path, query)
	}
	for _, q := range []string{
		// CVE-2010-4534, CVE-2014-0483: fields that are none of the page's; CVE-2026-33503: where other pages begin; CVE-2021-23336: separators.
		"password__startswith=pbkdf2", "_to_field=password", "q=a&q=b", "q=a;from=b", "sort=password", "group=01", "from=AAAA", "from=bmFkYQA", "from=ZAAAAAAAAAA_", "from=cgAAAAAAAAAB",
		"q=%00", "q=%ff", "q=<script>x</script>", "done=<b>", "live=1&q=o", "q=" + strings.Repeat("a", 301), "q[]=a", "=", "&&&", "%", "active=maybe", "sort=newest&from=",
	} {
		f.Add("users/", q)
	}
	for _, q := range []string{"action=x", "user=-1", "user=1e3", "since=2026-13-01", "until=2026-01-01", "from=99999999999999999999", "from=-1", "outcome=failed"} {
		f.Add("audit/", q)
	}
	for _, p := range []string{"users/0/", "users/07/", "users/18446744073709551615/", "users/+1/", "permissions/blog.add_post/", "permissions/%2e%2e/", "sessions/", "static/../users/", "../accounts/", "users/1/sessions"} {
		f.Add(p, "from=x")
	}
	before := w.digest()
	f.Fuzz(func(t *testing.T, path, query string) {
		u := &url.URL{Scheme: "https", Host: "console.test", Path: "/admin/" + path, RawQuery: query}
		r, err := http.NewRequest("GET", "https://console.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.RemoteAddr = u, "192.0.2.1:1"
		w.t = t
		rec := w.do(r, w.staff)
		switch rec.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusSeeOther,
			http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusUnprocessableEntity:
		default:
			t.Errorf("%s: %d", u, rec.Code)
		}
		if to := rec.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/\\")) {
			t.Errorf("%s leads to %q", u, to)
		}
		if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") && rec.Code == http.StatusOK {
			w.clean(u.String(), rec)
		}
		if nobody := w.anonymous(u); nobody.Code == http.StatusOK && !strings.Contains(path, "static/") {
			t.Errorf("%s is shown to nobody", u)
		}
		if len(query)%64 == 0 && w.digest() != before {
			t.Errorf("%s changed something", u)
		}
	})
}

// anonymous asks for an address as nobody.
func (w *world) anonymous(u *url.URL) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "https://console.test/", nil)
	r.URL = u
	return w.do(r, nil)
}
