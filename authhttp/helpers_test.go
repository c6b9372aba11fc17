package authhttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/internal/canary"
)

const (
	host   = "intranet.example"
	base   = "https://" + host
	cookie = "__Host-latchbolt"
)

// A site is a program under test.
type site struct {
	t    testing.TB
	eng  *latchbolt.Engine
	auth *authhttp.Auth
	mux  *http.ServeMux
	log  *logBuffer
	h    http.Handler
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newSite mounts the views and some pages. Either configuration may be nil.
func newSite(t testing.TB, auth *authhttp.Auth, cfg *latchbolt.Config) *site {
	t.Helper()
	if auth == nil {
		auth = &authhttp.Auth{}
	}
	s := &site{t: t, auth: auth, mux: http.NewServeMux(), log: new(logBuffer)}
	s.eng = auth.Engine
	if s.eng == nil {
		var c latchbolt.Config
		if cfg != nil {
			c = *cfg
		}
		c.Logger = s.logger()
		s.eng = authtest.New(t, &c)
		t.Cleanup(func() { canary.Files(t, filepath.Dir(s.eng.Path())) })
	}
	auth.Engine = s.eng
	if auth.Logger == nil {
		auth.Logger = s.logger()
	}
	if err := auth.Check(); err != nil {
		t.Fatal(err)
	}
	s.mux.Handle("/accounts/", auth.Accounts())
	s.page("/who", func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			auth.Fail(w, r, err)
			return
		}
		io.WriteString(w, "user="+id.Username())
	})
	s.page("/plain", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "plain") })
	s.mux.Handle("/private", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "private") })))
	s.h = auth.Handler(s.mux)
	return s
}

// logger writes into the site's log, and all there is into the one in which secrets are looked for.
func (s *site) logger() *slog.Logger {
	if canary.On() {
		return slog.New(slog.NewTextHandler(io.MultiWriter(s.log, canary.LogWriter()), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(s.log, nil))
}

func (s *site) page(pattern string, fn http.HandlerFunc) { s.mux.Handle(pattern, fn) }

// A browser keeps cookies, sends what browsers send, and follows nothing.
type browser struct {
	s       *site
	cookies map[string]string
	header  http.Header
	remote  string
	base    string
}

func (s *site) browser() *browser {
	return &browser{s: s, cookies: make(map[string]string), base: base, remote: "192.0.2.7:4711",
		header: http.Header{"Accept": {"text/html,application/xhtml+xml"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}}}
}

func (b *browser) request(method, target string, form url.Values) *http.Request {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if strings.HasPrefix(target, "/") {
		target = b.base + target
	}
	r := httptest.NewRequest(method, target, body)
	r.RemoteAddr = b.remote
	for k, v := range b.header {
		r.Header[k] = v
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Origin", b.base)
		}
	}
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	return r
}

func (b *browser) send(r *http.Request) *http.Response {
	b.s.t.Helper()
	w := httptest.NewRecorder()
	b.s.h.ServeHTTP(w, r)
	res := w.Result()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return res
}

func (b *browser) get(target string) *http.Response { return b.send(b.request("GET", target, nil)) }

func (b *browser) post(target string, kv ...string) *http.Response {
	f := make(url.Values)
	for i := 0; i+1 < len(kv); i += 2 {
		f.Add(kv[i], kv[i+1])
	}
	return b.send(b.request("POST", target, f))
}

// login logs a user of authtest in by the form.
func (b *browser) login(name string, kv ...string) *http.Response {
	b.s.t.Helper()
	res := b.post("/accounts/login/", append([]string{"username", name, "password", authtest.Password}, kv...)...)
	if res.StatusCode != http.StatusSeeOther || b.cookies[cookie] == "" && b.cookies["latchbolt"] == "" {
		b.s.t.Fatalf("login of %s: status %d, body %s", name, res.StatusCode, body(res))
	}
	return res
}

func (b *browser) token() latchbolt.Token {
	b.s.t.Helper()
	t, err := latchbolt.ParseToken(b.cookies[cookie])
	if err != nil {
		b.s.t.Fatalf("the browser has no token: %q", b.cookies[cookie])
	}
	return t
}

func body(res *http.Response) string {
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	res.Body = io.NopCloser(bytes.NewReader(data))
	return string(data)
}

// want checks a status and, if it is given, a part of the body.
func want(t testing.TB, what string, res *http.Response, status int, parts ...string) {
	t.Helper()
	text := body(res)
	if res.StatusCode != status {
		t.Errorf("%s: got status %d, want %d; body: %.300s", what, res.StatusCode, status, text)
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: the body lacks %q: %.2000s", what, p, text)
		}
	}
}

// sessions counts all sessions of the file.
func (s *site) sessions() (n int) {
	s.t.Helper()
	if err := s.eng.View(s.t.Context(), func(tx *latchbolt.ReadTx) (err error) { n, err = tx.SessionCount(); return err }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *site) commits() uint64 {
	s.t.Helper()
	st, err := s.eng.Stats()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.Writes
}

var errDisk = errors.New("input/output error")

// A brokenStore fails to load while it is told so.
type brokenStore struct {
	latchbolt.SessionStore
	fail       atomic.Bool
	failDelete atomic.Bool
}

func (s *brokenStore) Delete(ctx context.Context, id latchbolt.SessionID) error {
	if s.failDelete.Load() {
		return errDisk
	}
	return s.SessionStore.Delete(ctx, id)
}

func (s *brokenStore) Load(ctx context.Context, id latchbolt.SessionID) ([]byte, error) {
	if s.fail.Load() {
		return nil, errDisk
	}
	return s.SessionStore.Load(ctx, id)
}

// A testClock stands still until it is advanced, also for what goes on beside the test.
type testClock struct{ nanos atomic.Int64 }

func clockAt(at time.Time) *testClock {
	c := new(testClock)
	c.nanos.Store(at.UnixNano())
	return c
}

func (c *testClock) now() time.Time { return time.Unix(0, c.nanos.Load()).UTC() }

func (c *testClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }
