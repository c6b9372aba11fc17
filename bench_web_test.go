package latchbolt_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// A nullWriter is a connection that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}
func (w *nullWriter) Flush()                      {}

// BenchmarkMiddleware runs a handler behind the middleware and without it in turn, for somebody who is signed in, and reports what
// it costs more: more-ns/request is the median of the differences. copy-ns/request is what net/http's own copy of the request
// costs, without which no middleware can put anything into its context.
func BenchmarkMiddleware(b *testing.B) {
	eng := open(b, nil)
	addUser(b, eng, "ada")
	auth := &authhttp.Auth{Engine: eng}
	in := httptest.NewRequest("GET", "https://example.org/", nil)
	in.Header.Set("Accept", "text/html")
	in.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	in.AddCookie(&http.Cookie{Name: "__Host-latchbolt", Value: login(b, eng, "ada").Token.Reveal()})

	var plain http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	type key struct{}
	ctx := context.WithValue(in.Context(), key{}, 1)
	copied := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { plain.ServeHTTP(w, r.WithContext(ctx)) })
	behind := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, err := authhttp.User(r); err != nil || id.Username() != "ada" {
			b.Errorf("got %v, %v", id, err)
		}
		io.WriteString(w, "hello")
	}))
	w := &nullWriter{h: make(http.Header, 8)}
	serve := func(h http.Handler) func() {
		return func() {
			clear(w.h)
			h.ServeHTTP(w, in)
		}
	}
	const batch = 100 // short, so that little is measured that interrupts it
	timed := func(h http.Handler) float64 {
		do, start := serve(h), time.Now()
		for range batch {
			do()
		}
		return float64(time.Since(start)) / batch
	}
	var more, bares, copies []float64
	for i := 0; b.Loop(); i++ {
		var x, y, z float64
		if i%2 == 0 { // none always runs on what another left in the processor's caches
			x, y, z = timed(plain), timed(behind), timed(copied)
		} else {
			z, y, x = timed(copied), timed(behind), timed(plain)
		}
		more, bares, copies = append(more, y-x), append(bares, x), append(copies, z-x)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(more), "more-ns/request")
	b.ReportMetric(median(bares), "bare-ns/request")
	b.ReportMetric(median(copies), "copy-ns/request")
	b.ReportMetric(testing.AllocsPerRun(1000, serve(behind))-testing.AllocsPerRun(1000, serve(plain)), "more-allocs/request")
}
