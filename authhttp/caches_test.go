package authhttp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// What a handler says to caches beside Cache-Control, and what overrules no-store, must not open an answer for one person.
func TestHeadersForSomeCachesOnly(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	targeted := []string{"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "cdn-cache-control"}
	control := ""
	page := func(touch bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, name := range targeted {
				w.Header()[name] = []string{"max-age=600"}
			}
			if control != "" {
				w.Header().Set("Cache-Control", control)
			}
			if touch {
				if err := authhttp.Session(r).Set("n", 1); err != nil {
					t.Error(err)
				}
			} else if _, err := authhttp.User(r); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "mine")
		}
	}
	s.page("/look", page(false))
	s.page("/touch", page(true))
	signed := s.browser()
	signed.login("ada")
	for _, c := range []struct {
		path string
		b    *browser
	}{{"/look", signed}, {"/touch", signed}, {"/touch", s.browser()}} {
		for _, control = range []string{"", "public, max-age=60", "max-age=60, must-understand, no-store", `private="set-cookie, x", max-age=60`, `max-age=60, ext="a, private"`} {
			res := c.b.get(c.path)
			want(t, c.path, res, http.StatusOK, "mine")
			for _, name := range targeted {
				if v := res.Header[name]; v != nil {
					t.Errorf("%s with Cache-Control %q: %s is %q", c.path, control, name, v)
				}
			}
			got := strings.Join(res.Header.Values("Cache-Control"), ", ")
			closed := strings.Contains(got, "no-store") || strings.HasSuffix(got, "private")
			if !closed || strings.Contains(got, "must-understand") || strings.Contains(got, `"`) || strings.Contains(got, "public") {
				t.Errorf("%s: Cache-Control %q became %q", c.path, control, got)
			}
		}
	}
}
