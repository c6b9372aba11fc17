package authhttp_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// values sets one value in each request for /set and shows it at /get.
func (s *site) values() {
	s.page("/set", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set(r.URL.Query().Get("name"), r.URL.Query().Get("value")); err != nil {
			s.t.Error(err)
		}
		io.WriteString(w, "set")
	})
	s.page("/get", func(w http.ResponseWriter, r *http.Request) {
		v, ok, err := authhttp.Value[string](r, r.URL.Query().Get("name"))
		fmt.Fprintf(w, "%q %v %v", v, ok, err)
	})
}

// Inventory 110: the mapping, and 73: popping what is not there changes nothing.
func TestSessionValues(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	do := func(name string, fn func(authhttp.RequestSession) error) *http.Response {
		t.Helper()
		s.page("/"+name, func(w http.ResponseWriter, r *http.Request) {
			if err := fn(authhttp.Session(r)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		return b.get("/" + name)
	}
	var v string
	do("pop-nothing", func(rs authhttp.RequestSession) error {
		if ok, err := rs.Pop("x", &v); ok || err != nil {
			t.Errorf("popped %v, %v", ok, err)
		}
		return rs.Delete("x")
	})
	if len(b.cookies) != 0 || s.sessions() != 0 {
		t.Error("a session was begun for nothing")
	}
	do("set", func(rs authhttp.RequestSession) error {
		m := map[string]int{"n": 1}
		err := errors.Join(rs.Set("a", "1"), rs.Set("b", "2"), rs.Set("m", m))
		m["n"] = 2 // a change inside a value is not noticed
		if ok, e := rs.Get("a", &v); !ok || e != nil || v != "1" {
			t.Errorf("the request does not see its own change: %q %v %v", v, ok, e)
		}
		return err
	})
	do("read", func(rs authhttp.RequestSession) error {
		var m map[string]int
		names, err := rs.Names()
		if !slices.Equal(names, []string{"a", "b", "m"}) {
			t.Errorf("names: %q", names)
		}
		if ok, err := rs.Get("m", &m); !ok || err != nil || m["n"] != 1 {
			t.Errorf("m: %v %v %v", m, ok, err)
		}
		return err
	})
	first := b.token()
	do("pop", func(rs authhttp.RequestSession) error {
		ok, err := rs.Pop("a", &v)
		if !ok || v != "1" {
			t.Errorf("popped %q, %v", v, ok)
		}
		return err
	})
	do("renew", func(rs authhttp.RequestSession) error { return rs.Renew() })
	if b.token() == first {
		t.Error("Renew kept the token")
	}
	do("after", func(rs authhttp.RequestSession) error {
		names, err := rs.Names()
		if !slices.Equal(names, []string{"b", "m"}) {
			t.Errorf("after pop and renew: %q", names)
		}
		if err := rs.Set("", 1); !errors.Is(err, latchbolt.ErrInvalid) {
			t.Errorf("a value without a name: %v", err)
		}
		return err
	})
}

// Inventory 48, 49, 46: values from before a login are carried over, changes of the same request included; those of
// another user are not.
func TestValuesAndLogin(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	ada, bob := authtest.User(t, s.eng, "ada"), authtest.User(t, s.eng, "bob")
	s.page("/in", func(w http.ResponseWriter, r *http.Request) {
		u := map[string]*latchbolt.User{"ada": ada, "bob": bob}[r.URL.Query().Get("as")]
		if err := authhttp.Session(r).Set("now", "yes"); err != nil {
			t.Error(err)
		}
		if _, err := authhttp.Login(r, authtest.Identity(t, s.eng, u), latchbolt.LoginOptions{}); err != nil {
			t.Error(err)
		}
		names, err := authhttp.Session(r).Names()
		fmt.Fprint(w, names, err)
	})
	b := s.browser()
	b.get("/set?name=cart&value=full")
	anonymous := b.token()
	want(t, "login", b.get("/in?as=ada"), 200, "[cart now]")
	want(t, "carried over", b.get("/get?name=cart"), 200, `"full" true`)
	want(t, "of the same request", b.get("/get?name=now"), 200, `"yes" true`)
	if _, err := s.eng.SessionUser(t.Context(), anonymous); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("the token from before the login lives: %v", err)
	}
	again := b.token()
	b.get("/in?as=ada")
	if b.token() == again {
		t.Error("a second login kept the token (inventory 47, an intended difference)")
	}
	want(t, "as somebody else", b.get("/in?as=bob"), 200, "[]")
	want(t, "as somebody else", b.get("/get?name=cart"), 200, `"" false`)
	want(t, "as somebody else", b.get("/get?name=now"), 200, `"" false`)
}

// Two requests at once that change different values keep both.
func TestChangesAtOnce(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	b := s.browser()
	b.get("/set?name=x&value=0")
	inside, go_on := make(chan bool), make(chan bool)
	s.page("/slow", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set("slow", "1"); err != nil {
			t.Error(err)
		}
		inside <- true
		<-go_on
	})
	done := make(chan bool)
	go func() {
		s.h.ServeHTTP(httptest.NewRecorder(), b.request("GET", "/slow", nil))
		close(done)
	}()
	<-inside
	b.get("/set?name=fast&value=1")
	close(go_on)
	<-done
	for _, name := range []string{"x", "slow", "fast"} {
		want(t, name, b.get("/get?name="+name), 200, "true")
	}
}

// TestSavedBeforeTheHeader: however a handler makes the header leave, the cookie is in it and the value is stored.
func TestSavedBeforeTheHeader(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	ways := map[string]func(w http.ResponseWriter){
		"nothing":     func(w http.ResponseWriter) {},
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"Write":       func(w http.ResponseWriter) { w.Write([]byte("x")) },
		"WriteString": func(w http.ResponseWriter) { io.WriteString(w, "x") },
		"ReadFrom":    func(w http.ResponseWriter) { w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
		"io.Copy":     func(w http.ResponseWriter) { io.Copy(w, strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush(); w.Write([]byte("x")) },
		"controller":  func(w http.ResponseWriter) { http.NewResponseController(w).Flush(); w.Write([]byte("x")) },
		"wrapped": func(w http.ResponseWriter) {
			http.NewResponseController(struct{ wrapper }{wrapper{w}}).Flush()
		},
		"early hints": func(w http.ResponseWriter) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.Write([]byte("x"))
		},
		"stream": func(w http.ResponseWriter) {
			for range 3 {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
		},
		"redirect": func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) },
	}
	for name, way := range ways {
		s.page("/way/"+strings.ReplaceAll(name, " ", ""), func(w http.ResponseWriter, r *http.Request) {
			if err := authhttp.Session(r).Set("k", name); err != nil {
				t.Error(err)
			}
			way(w)
			if name != "nothing" && name != "early hints" {
				if err := authhttp.Session(r).Set("late", 1); !errors.Is(err, authhttp.ErrHeaderSent) {
					t.Errorf("%s: a change after the header: %v", name, err)
				}
			}
		})
	}
	srv := httptest.NewServer(s.h)
	defer srv.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name := range ways {
		hints := 0
		req, _ := http.NewRequest("GET", srv.URL+"/way/"+strings.ReplaceAll(name, " ", ""), nil)
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints++
			if len(h["Set-Cookie"]) != 0 {
				t.Errorf("%s: a cookie in a %d", name, code)
			}
			return nil
		}}))
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body(res)
		res.Body.Close()
		if name == "early hints" && hints != 2 {
			t.Errorf("got %d informational answers", hints)
		}
		if len(res.Cookies()) != 1 || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Cookie" {
			t.Errorf("%s: header %v", name, res.Header)
			continue
		}
		tok, err := latchbolt.ParseToken(res.Cookies()[0].Value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v, err := s.eng.Values(t.Context(), tok)
		if err != nil || !v.Has("k") || v.Has("late") {
			t.Errorf("%s: not saved: %v", name, err)
		}
	}
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestHijack(t *testing.T) {
	s := newSite(t, nil, nil)
	var tok latchbolt.Token
	s.page("/hijack", func(w http.ResponseWriter, r *http.Request) {
		sess := authhttp.Session(r)
		if err := sess.Set("k", "v"); err != nil {
			t.Error(err)
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		p, err := sess.Info()
		if err != nil {
			t.Error(err)
		}
		tok = p.Token
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: "+w.Header().Get("Set-Cookie")+"\r\n\r\n")
		rw.Flush()
	})
	srv := httptest.NewServer(s.h)
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	data, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(data), "Set-Cookie: "+cookie+"=") {
		t.Errorf("got %q, %v", data, err)
	}
	if v, err := s.eng.Values(t.Context(), tok); err != nil || !v.Has("k") {
		t.Errorf("not saved: %v", err)
	}
}

// What the connection cannot do, the writer does not claim.
func TestWriterClaimsNothing(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, c := range []struct {
		what          string
		w             http.ResponseWriter
		flush, hijack bool
	}{
		{"plain", plainWriter{httptest.NewRecorder()}, false, false},
		{"recorder", httptest.NewRecorder(), true, false},
		{"wrapped recorder", wrapper{httptest.NewRecorder()}, true, false},
		{"hijacker", hijacker{plainWriter{httptest.NewRecorder()}}, false, true},
		{"both", wrapper{both{hijacker{plainWriter{httptest.NewRecorder()}}}}, true, true},
	} {
		s.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, flush := w.(http.Flusher)
			_, hijack := w.(http.Hijacker)
			if flush != c.flush || hijack != c.hijack {
				t.Errorf("%s: got flush %v, hijack %v", c.what, flush, hijack)
			}
			if err := http.NewResponseController(w).Flush(); (err == nil) != c.flush {
				t.Errorf("%s: Flush of the controller: %v", c.what, err)
			}
		})).ServeHTTP(c.w, httptest.NewRequest("GET", "/", nil))
	}
}

type plainWriter struct{ w *httptest.ResponseRecorder }

func (p plainWriter) Header() http.Header         { return p.w.Header() }
func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p plainWriter) WriteHeader(code int)        { p.w.WriteHeader(code) }

type hijacker struct{ plainWriter }

func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("no") }

type both struct{ hijacker }

func (both) Flush() {}

// Inventory 74: nothing is saved if the answer is an error of the server, nor if the handler panics.
func TestNothingSavedOnErrors(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	s.page("/boom", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set("k", "boom"); err != nil {
			t.Error(err)
		}
		panic("boom")
	})
	s.page("/500", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set("k", "500"); err != nil {
			t.Error(err)
		}
		w.WriteHeader(500)
	})
	b := s.browser()
	b.get("/set?name=k&value=good")
	if res := b.get("/500"); len(res.Cookies()) != 0 {
		t.Errorf("cookies on 500: %v", res.Cookies())
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		b.get("/boom")
	}()
	want(t, "the value", b.get("/get?name=k"), 200, `"good"`)
}

// Inventory 67: a session that is ended while a request runs is not brought back; the answer is replaced.
func TestSessionEndedMeanwhile(t *testing.T) {
	s := newSite(t, nil, nil)
	s.values()
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	s.page("/race", func(w http.ResponseWriter, r *http.Request) {
		if err := authhttp.Session(r).Set("k", "v"); err != nil {
			t.Error(err)
		}
		if err := s.eng.Logout(t.Context(), b.token()); err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Secret", "of the handler")
		io.WriteString(w, "page of the handler")
	})
	tok := b.token()
	res := b.get("/race")
	want(t, "the answer", res, 400, "Your session ended")
	if strings.Contains(body(res), "page of the handler") || res.Header.Get("X-Secret") != "" || len(b.cookies) != 0 {
		t.Errorf("header %v, cookies %v", res.Header, b.cookies)
	}
	if _, err := s.eng.SessionUser(t.Context(), tok); !errors.Is(err, latchbolt.ErrNoSession) || s.sessions() != 0 {
		t.Errorf("the session is back: %v", err)
	}
}

// Inventory 87 and 102: who does not look touches nothing.
func TestLazy(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	if err := s.eng.Close(); err != nil {
		t.Fatal(err)
	}
	res := b.get("/plain")
	want(t, "without a store", res, 200, "plain")
	if res.Header.Get("Vary") != "" || res.Header.Get("Cache-Control") != "" || len(res.Cookies()) != 0 {
		t.Errorf("header %v", res.Header)
	}
	want(t, "who looks", b.get("/who"), 503)
}

// An outage is never "nobody", whatever the handler does with the error.
func TestOutageIsNotAnonymous(t *testing.T) {
	store := &brokenStore{SessionStore: latchbolt.MemorySessions()}
	s := newSite(t, nil, &latchbolt.Config{Sessions: store, CacheSessions: -1})
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	s.page("/careless", func(w http.ResponseWriter, r *http.Request) {
		id, _ := authhttp.User(r)
		w.Header().Set("Cache-Control", "public, max-age=600")
		w.Header().Set("ETag", `"1"`)
		if n, err := io.WriteString(w, "hello, "+id.Username()+"!"); err == nil && id.Anonymous() {
			t.Errorf("the page for nobody was written, %d bytes", n)
		}
	})
	s.page("/careless-session", func(w http.ResponseWriter, r *http.Request) {
		v, _, _ := authhttp.Value[string](r, "cart")
		http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("your cart: "+v))
	})
	s.page("/careless-500", func(w http.ResponseWriter, r *http.Request) {
		authhttp.User(r)
		w.WriteHeader(502)
	})
	want(t, "before", b.get("/careless"), 200, "hello, ada!")
	store.fail.Store(true)
	for _, page := range []string{"/careless", "/careless-session", "/who", "/private", "/accounts/", "/accounts/login/"} {
		res := b.get(page)
		want(t, page, res, 503)
		if got := body(res); strings.Contains(got, "hello") || strings.Contains(got, "cart:") || res.Header.Get("ETag") != "" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: header %v, body %s", page, res.Header, got)
		}
		if b.cookies[cookie] == "" {
			t.Errorf("%s: the cookie was taken back because of an outage", page)
		}
	}
	want(t, "an error of the handler's own", b.get("/careless-500"), 502)
	b.header = http.Header{"Accept": {"application/json"}}
	want(t, "a program", b.get("/private"), 503)
	store.fail.Store(false)
	b = &browser{s: s, cookies: b.cookies, header: b.header, base: base, remote: b.remote}
	want(t, "afterwards", b.get("/who"), 200, "user=ada")
}

// A question that is first asked when it is too late to say that the answer depends on it breaks the answer off.
func TestAskedTooLate(t *testing.T) {
	s := newSite(t, nil, nil)
	s.page("/late", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		id, err := authhttp.User(r)
		if !errors.Is(err, authhttp.ErrHeaderSent) || !id.Anonymous() {
			t.Errorf("got %v, %v", id, err)
		}
		if _, err := io.WriteString(w, " the rest"); err == nil {
			t.Error("the rest could be written")
		}
	})
	srv := httptest.NewServer(s.h)
	defer srv.Close()
	res, err := http.Get(srv.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if data, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the answer looks whole: %q", data)
	}
}

func TestWithoutHandler(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	if _, err := authhttp.User(r); !errors.Is(err, authhttp.ErrNoHandler) {
		t.Errorf("User: %v", err)
	}
	if err := authhttp.Session(r).Set("a", 1); !errors.Is(err, authhttp.ErrNoHandler) {
		t.Errorf("Set: %v", err)
	}
	if _, err := authhttp.Fresh(r); !errors.Is(err, authhttp.ErrNoHandler) {
		t.Errorf("Fresh: %v", err)
	}
	// RequireLogin outside Handler works by itself.
	s := newSite(t, nil, nil)
	w := httptest.NewRecorder()
	s.auth.RequireLogin(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("RequireLogin: got %d", w.Code)
	}
}

// Cookies: remember-me, browser length, limits of RFC 6265, sealed tokens that are renewed.
func TestCookieLifetimes(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	for _, c := range []struct {
		what   string
		auth   *authhttp.Auth
		form   []string
		maxAge int
	}{
		{"default", &authhttp.Auth{}, nil, 14 * 24 * 3600},
		{"remember me", &authhttp.Auth{}, []string{"remember", "on"}, 30 * 24 * 3600},
		{"browser length", &authhttp.Auth{BrowserLength: true}, nil, 0},
		{"browser length, remember me", &authhttp.Auth{BrowserLength: true}, []string{"remember", "on"}, 30 * 24 * 3600},
	} {
		s := newSite(t, c.auth, &latchbolt.Config{Clock: func() time.Time { return now }})
		authtest.User(t, s.eng, "ada")
		res := s.browser().login("ada", c.form...)
		cs := res.Cookies()
		if len(cs) != 1 {
			t.Errorf("%s: cookies %v", c.what, cs)
			continue
		}
		k := cs[0]
		if k.MaxAge != c.maxAge || k.Name != cookie || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" || len(k.String()) > 4096 {
			t.Errorf("%s: %s", c.what, k)
		}
	}
}

func TestInsecureIsLoud(t *testing.T) {
	s := newSite(t, &authhttp.Auth{Insecure: true}, nil)
	if !strings.Contains(s.log.String(), "level=WARN") || strings.Count(s.log.String(), "Insecure") != 1 {
		t.Errorf("the log says %q", s.log)
	}
	authtest.User(t, s.eng, "ada")
	res := s.browser().login("ada")
	if c := res.Cookies()[0]; c.Secure || c.Name != "latchbolt" || res.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("got %v, %v", c, res.Header)
	}
}

func TestSealedSessionsGetNewTokens(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	store, err := latchbolt.SealedSessions(key)
	if err != nil {
		t.Fatal(err)
	}
	clock := clockAt(time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC))
	s := newSite(t, nil, &latchbolt.Config{Sessions: store, Clock: clock.now})
	s.values()
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	first := b.cookies[cookie]
	if !strings.HasPrefix(first, "s.") {
		t.Fatalf("the token is %.10q…", first)
	}
	b.get("/set?name=k&value=v")
	second := b.cookies[cookie]
	want(t, "the value", b.get("/get?name=k"), 200, `"v"`)
	clock.advance(2 * time.Minute)
	want(t, "a page that looks", b.get("/who"), 200, "user=ada")
	if first == second || b.cookies[cookie] == second {
		t.Error("the token was not renewed")
	}
	want(t, "account", b.get("/accounts/"), 200, "cannot be listed")
}
