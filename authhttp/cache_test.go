package authhttp_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// A sharedCache stands in front of the program, for everybody. It keeps all that RFC 9111 lets a shared cache keep, for ever,
// and by heuristics (section 4.2.2) also what says nothing about its age. If it is careless it also ignores Vary, and
// keeps answers to requests with an Authorization header, as some do.
type sharedCache struct {
	next     http.Handler
	careless bool
	kept     map[string][]*kept
	hits     int
}

type kept struct {
	request http.Header
	vary    []string
	answer  *httptest.ResponseRecorder
}

func (c *sharedCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.URL.RequestURI()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		for _, k := range c.kept[key] {
			if c.careless || k.fits(r.Header) {
				c.hits++
				copyAnswer(w, k.answer, r.Method == http.MethodHead)
				return
			}
		}
	} else {
		delete(c.kept, key) // section 4.4
	}
	rec := httptest.NewRecorder()
	c.next.ServeHTTP(rec, r)
	if r.Method == http.MethodGet && c.storable(r, rec) {
		if c.kept == nil {
			c.kept = make(map[string][]*kept)
		}
		c.kept[key] = append(c.kept[key], &kept{r.Header.Clone(), listOf(rec.Header(), "Vary"), rec})
	}
	copyAnswer(w, rec, false)
}

// storable is section 3 of RFC 9111 for a shared cache.
func (c *sharedCache) storable(r *http.Request, rec *httptest.ResponseRecorder) bool {
	directives := make(map[string]bool)
	for _, d := range listOf(rec.Header(), "Cache-Control") {
		name, _, _ := strings.Cut(d, "=")
		directives[name] = true
	}
	explicit := directives["public"] || directives["s-maxage"] || directives["max-age"] || rec.Header().Get("Expires") != ""
	heuristic := slices.Contains([]int{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}, rec.Code)
	switch {
	case directives["no-store"], directives["private"], slices.Contains(listOf(rec.Header(), "Vary"), "*"):
		return false
	case directives["no-cache"]:
		return false // it would have to ask each time
	case r.Header.Get("Authorization") != "" && !c.careless && !directives["public"] && !directives["s-maxage"] && !directives["must-revalidate"]:
		return false // section 3.5
	}
	return explicit || heuristic
}

// listOf returns the elements of a header that is a list, in lower case.
func listOf(h http.Header, name string) (out []string) {
	for _, line := range h.Values(name) {
		for e := range strings.SplitSeq(line, ",") {
			out = append(out, strings.ToLower(strings.TrimSpace(e)))
		}
	}
	return out
}

func (k *kept) fits(h http.Header) bool {
	for _, name := range k.vary {
		if !slices.Equal(h.Values(name), k.request.Values(name)) {
			return false
		}
	}
	return true
}

func copyAnswer(w http.ResponseWriter, rec *httptest.ResponseRecorder, head bool) {
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	if !head {
		w.Write(rec.Body.Bytes())
	}
}

// pagesForCaches are pages whose handlers do what they can to be cached.
func pagesForCaches(s *site) []string {
	shows := func(control string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, err := authhttp.User(r)
			cart, _, err2 := authhttp.Value[string](r, "cart")
			if control != "" {
				w.Header().Set("Cache-Control", control)
			}
			fmt.Fprintf(w, "canary-%s-%s %v %v", id.Username(), cart, err, err2)
		}
	}
	pages := []string{"/who", "/plain", "/private", "/accounts/", "/accounts/login/", "/accounts/password/change/", "/accounts/password/reset/", "/accounts/confirm/", "/accounts/nothing/", "/accounts/logout/"}
	for i, control := range []string{"", "public", "public, max-age=3600", "max-age=60, s-maxage=3600", "must-revalidate", "PUBLIC,MAX-AGE=9", `private="set-cookie", max-age=60`, "immutable, max-age=60"} {
		path := "/page/" + strconv.Itoa(i)
		s.page(path, shows(control))
		pages = append(pages, path)
	}
	s.page("/page/new-value", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		id, err := authhttp.User(r)
		fmt.Fprint(w, "canary-", id.Username(), err, authhttp.Session(r).Set("seen", 1))
	})
	s.page("/page/404", func(w http.ResponseWriter, r *http.Request) {
		id, _ := authhttp.User(r)
		w.WriteHeader(404)
		fmt.Fprint(w, "canary-"+id.Username())
	})
	s.mux.Handle("/page/api", s.auth.Bearer(s.auth.BasicAuth(s.auth.RequireLogin(shows("public, max-age=3600")))))
	s.mux.Handle("/page/perm", s.auth.RequirePerm("blog.add_post")(shows("public")))
	return append(pages, "/page/new-value", "/page/404", "/page/api", "/page/perm")
}

// TestCVE_2014_1418: behind two shared caches, one to the letter of RFC 9111 and one that is careless, three users
// with cookies, by Basic and by Bearer, and one without a name never see a page of another; CVE-2026-48588, CVE-2026-8404, CVE-2026-6907, CVE-2026-35193.
func TestCVE_2014_1418(t *testing.T) {
	for _, careless := range []bool{false, true} {
		s := newSite(t, nil, nil)
		pages := pagesForCaches(s)
		cache := &sharedCache{next: s.h, careless: careless}
		names := []string{"ada", "bob", "cyd"}
		who := map[string]*browser{"": s.browser()}
		for _, name := range names {
			u := authtest.User(t, s.eng, name, "blog.add_post")
			who[name] = s.browser()
			who[name].login(name, "remember", "on")
			who[name+" basic"], who[name+" bearer"] = s.browser(), s.browser()
			who[name+" basic"].header.Set("Authorization", basic(name, authtest.Password))
			who[name+" bearer"].header.Set("Authorization", "Bearer "+authtest.Login(t, s.eng, u).Token.Reveal())
		}
		s.page("/cart", func(w http.ResponseWriter, r *http.Request) {
			if err := authhttp.Session(r).Set("cart", "cart-of-"+r.URL.Query().Get("of")); err != nil {
				t.Error(err)
			}
		})
		for _, name := range names {
			who[name].get("/cart?of=" + name)
		}
		who["guest"] = s.browser() // not signed in, but with a session
		who["guest"].get("/cart?of=guest")
		s.h = cache
		leaks := 0
		order := slices.Sorted(maps.Keys(who))
		for round := range 3 {
			for _, page := range pages {
				for i := range order {
					name := order[(i+round*3)%len(order)]
					text := body(who[name].get(page))
					own, _, _ := strings.Cut(name, " ")
					for _, other := range append(names, "guest") {
						if other != own && strings.Contains(text, other) {
							t.Errorf("careless %v: %q at %s sees %q: %.200s", careless, name, page, other, text)
							leaks++
						}
					}
				}
			}
		}
		if cache.hits == 0 {
			t.Errorf("careless %v: nothing was ever kept, so nothing was tested", careless)
		}
	}
}

// The test above must be able to fail: pages that do not go through the middleware leak in both caches.
func TestCachesCanLeak(t *testing.T) {
	for _, careless := range []bool{false, true} {
		cache := &sharedCache{careless: careless, next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("user")
			if err != nil {
				t.Error(err)
				return
			}
			if careless {
				w.Header().Set("Vary", "Cookie")
			}
			io.WriteString(w, "page of "+c.Value)
		})}
		for _, name := range []string{"ada", "bob"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.AddCookie(&http.Cookie{Name: "user", Value: name})
			w := httptest.NewRecorder()
			cache.ServeHTTP(w, r)
			if got := w.Body.String(); got != "page of ada" {
				t.Errorf("careless %v: %s sees %q", careless, name, got)
			}
		}
	}
}
