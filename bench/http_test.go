package bench

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alexedwards/scs/v2"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// A nullWriter is a connection that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// A site is one handler, and a request of somebody who is signed in.
type site struct {
	name string
	h    http.Handler
	r    *http.Request
}

func request(cookie *http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://example.org/", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	return r
}

// sites are the same handler, which asks who it is and greets, without sessions and behind each middleware.
func sites(t testing.TB) []site {
	return []site{
		{"bare", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello ada") }), request(nil)},
		latchboltSite(t), scsSite(t),
	}
}

// latchboltSite loads session, user and permissions, and makes sure that the session is alive now.
func latchboltSite(t testing.TB) site {
	eng := authtest.New(t, &latchbolt.Config{Logger: slog.New(slog.DiscardHandler)})
	auth := &authhttp.Auth{Engine: eng}
	h := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			t.Error(err)
		}
		io.WriteString(w, "hello "+id.Username())
	}))
	s := authtest.Login(t, eng, authtest.User(t, eng, "ada"))
	return site{"latchbolt", h, request(&http.Cookie{Name: "__Host-latchbolt", Value: s.Token.Reveal()})}
}

// scsSite has a session in memory with the name of the user in it: no user is looked up, and there are no permissions.
func scsSite(t testing.TB) site {
	m := scs.New()
	ctx, err := m.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	m.Put(ctx, "user", "ada")
	token, _, err := m.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h := m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+m.GetString(r.Context(), "user"))
	}))
	return site{"scs in memory", h, request(&http.Cookie{Name: m.Cookie.Name, Value: token})}
}

// TestSitesGreet makes sure that what is measured is what is meant.
func TestSitesGreet(t *testing.T) {
	for _, s := range sites(t) {
		rec := httptest.NewRecorder()
		s.h.ServeHTTP(rec, s.r)
		if rec.Code != http.StatusOK || rec.Body.String() != "hello ada" {
			t.Errorf("%s: %d %q", s.name, rec.Code, rec.Body)
		}
	}
}

// BenchmarkSignedIn is one request of somebody who is signed in, without a network. What a middleware costs is the difference to
// the bare handler.
func BenchmarkSignedIn(b *testing.B) {
	for _, s := range sites(b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			w := &nullWriter{h: make(http.Header, 8)}
			for b.Loop() {
				clear(w.h)
				s.h.ServeHTTP(w, s.r)
			}
		})
	}
}
