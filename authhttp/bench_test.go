package authhttp_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// A nullWriter is a connection that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}
func (w *nullWriter) Flush()                      {}

type benchSite struct {
	auth      *authhttp.Auth
	signedIn  *http.Request
	withValue *http.Request
	anonymous *http.Request
}

func newBenchSite(t testing.TB) *benchSite {
	eng := authtest.New(t, &latchbolt.Config{Logger: slog.New(slog.DiscardHandler)})
	s := &benchSite{auth: &authhttp.Auth{Engine: eng}}
	u := authtest.User(t, eng, "ada")
	request := func(tok latchbolt.Token) *http.Request {
		r := httptest.NewRequest("GET", base+"/", nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		if !tok.IsZero() {
			r.AddCookie(&http.Cookie{Name: cookie, Value: tok.Reveal()})
		}
		return r
	}
	s.signedIn, s.anonymous = request(authtest.Login(t, eng, u).Token), request(latchbolt.Token{})
	tok := authtest.Login(t, eng, u).Token
	if _, err := eng.UpdateValues(t.Context(), tok, func(v *latchbolt.Values) error { return v.Set("cart", "full") }); err != nil {
		t.Fatal(err)
	}
	s.withValue = request(tok)
	return s
}

// The handler that is measured: it asks who it is and writes a line.
func greet(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil || id.Anonymous() {
			t.Errorf("got %v, %v", id, err)
		}
		io.WriteString(w, "hello")
	})
}

func plainGreet(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }

func run(h http.Handler, r *http.Request) func() {
	w := &nullWriter{h: make(http.Header, 8)}
	return func() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// A signed-in request costs at most 10 allocations more behind the middleware than without it. The time, at
// most 1.5 µs more, is for BenchmarkMiddleware of the root to show, on a quiet machine.
func TestHandlerAllocations(t *testing.T) {
	s := newBenchSite(t)
	bare := testing.AllocsPerRun(100, run(http.HandlerFunc(plainGreet), s.signedIn))
	behind := testing.AllocsPerRun(100, run(s.auth.Handler(greet(t)), s.signedIn))
	untouched := testing.AllocsPerRun(100, run(s.auth.Handler(http.HandlerFunc(plainGreet)), s.signedIn))
	t.Logf("%v without, %v for who does not look, %v signed in", bare, untouched, behind)
	if raceEnabled {
		return // it counts other things
	}
	if behind-bare > 10 || untouched-bare > 3 {
		t.Errorf("%v allocations more for a signed-in request, %v for one that is not looked at", behind-bare, untouched-bare)
	}
}

func BenchmarkHandler(b *testing.B) {
	s := newBenchSite(b)
	for _, c := range []struct {
		name string
		h    http.Handler
		r    *http.Request
	}{
		{"bare", http.HandlerFunc(plainGreet), s.signedIn},
		{"not looked at", s.auth.Handler(http.HandlerFunc(plainGreet)), s.signedIn},
		{"signed in", s.auth.Handler(greet(b)), s.signedIn},
		{"RequireLogin", s.auth.Handler(s.auth.RequireLogin(greet(b))), s.signedIn},
		{"anonymous", s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { authhttp.User(r); io.WriteString(w, "hello") })), s.anonymous},
		{"session value", s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			authhttp.Value[string](r, "cart")
			io.WriteString(w, "hello")
		})), s.withValue},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			do := run(c.h, c.r)
			for b.Loop() {
				do()
			}
		})
	}
}

// TestConcurrentUse is for the race detector: many requests of one session and of several, on all paths.
func TestConcurrentUse(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	authtest.User(t, s.eng, "ada")
	shared := s.browser()
	shared.login("ada", "remember", "on")
	s.page("/inside", func(w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				id, err := authhttp.User(r)
				_, _, err2 := authhttp.Value[string](r, "k")
				if err != nil || err2 != nil || id.Username() != "ada" {
					t.Errorf("got %v, %v, %v", id, err, err2)
				}
				if err := authhttp.Session(r).Set("k", "v"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			own := s.browser()
			for n := range 20 {
				w := httptest.NewRecorder()
				path := []string{"/inside", "/who", "/set?name=a&value=b", "/get?name=a", "/accounts/", "/plain"}[(i+n)%6]
				r := httptest.NewRequest("GET", base+path, nil)
				r.Header.Set("Accept", "text/html")
				r.AddCookie(&http.Cookie{Name: cookie, Value: shared.cookies[cookie]})
				s.h.ServeHTTP(w, r)
				if w.Code != 200 {
					t.Errorf("%s: %d", path, w.Code)
				}
				if n%10 == 0 {
					own.login("ada")
					own.post("/accounts/logout/")
				}
			}
		})
	}
	wg.Wait()
}
