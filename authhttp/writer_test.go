package authhttp_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// On real connections of both protocols: informational answers, early flushes, files, answers without body, second headers,
// and handlers that panic.
func TestWriterOnTheNetwork(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := newSite(t, nil, nil)
		set := func(w http.ResponseWriter, r *http.Request) {
			if err := authhttp.Session(r).Set("n", 1); err != nil {
				t.Error(err)
			}
		}
		s.page("/hints", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</x>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			set(w, r)
			io.WriteString(w, "hinted")
		})
		s.page("/flush", func(w http.ResponseWriter, r *http.Request) {
			set(w, r)
			if err := http.NewResponseController(w).Flush(); err != nil && r.Method == "GET" {
				t.Error(err)
			}
			io.WriteString(w, "flushed")
		})
		s.page("/file", func(w http.ResponseWriter, r *http.Request) {
			set(w, r)
			if _, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 100_000))); err != nil && r.Method == "GET" {
				t.Error(err)
			}
		})
		s.page("/empty", func(w http.ResponseWriter, r *http.Request) { set(w, r); w.WriteHeader(http.StatusNoContent) })
		s.page("/twice", func(w http.ResponseWriter, r *http.Request) {
			set(w, r)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
			io.WriteString(w, "once")
		})
		s.page("/panic", func(w http.ResponseWriter, r *http.Request) { set(w, r); panic(http.ErrAbortHandler) })
		srv := httptest.NewUnstartedServer(s.h)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		t.Cleanup(srv.Close)
		ask := func(method, path string) (*http.Response, string, http.Header, error) {
			var hints http.Header
			r, err := http.NewRequest(method, srv.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
				hints = http.Header(h)
				return nil
			}}))
			res, err := srv.Client().Do(r)
			if err != nil {
				return nil, "", hints, err
			}
			defer res.Body.Close()
			data, err := io.ReadAll(res.Body)
			return res, string(data), hints, err
		}
		for _, c := range []struct {
			method, path string
			status       int
			body         string
		}{
			{"GET", "/hints", 200, "hinted"}, {"GET", "/flush", 200, "flushed"}, {"GET", "/file", 200, strings.Repeat("x", 100_000)},
			{"GET", "/empty", 204, ""}, {"GET", "/twice", 418, "once"}, {"HEAD", "/file", 200, ""}, {"HEAD", "/flush", 200, ""},
		} {
			res, got, hints, err := ask(c.method, c.path)
			if err != nil {
				t.Errorf("http2 %v: %s %s: %v", http2, c.method, c.path, err)
				continue
			}
			if res.StatusCode != c.status || got != c.body || (res.ProtoMajor == 2) != http2 {
				t.Errorf("http2 %v: %s %s: %d %.20q by %s", http2, c.method, c.path, res.StatusCode, got, res.Proto)
			}
			if cs := res.Cookies(); len(cs) != 1 || cs[0].Name != cookie || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("http2 %v: %s %s: cookies %v, %v", http2, c.method, c.path, cs, res.Header)
			}
			if c.path == "/hints" && (hints.Get("Link") == "" || hints.Get("Set-Cookie") != "") {
				t.Errorf("http2 %v: hints: %v", http2, hints)
			}
		}
		before := s.sessions()
		if _, _, _, err := ask("GET", "/panic"); err == nil {
			t.Errorf("http2 %v: a handler that panicked answered", http2)
		}
		if s.sessions() != before {
			t.Errorf("http2 %v: a handler that panicked left a session", http2)
		}
	}
}
