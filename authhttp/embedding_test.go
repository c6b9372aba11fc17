package authhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// The way back leads to the address that the browser asked for, also from a handler that sees a shorter one.
func TestWayBackFromASubPath(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	s.mux.Handle("/files/", http.StripPrefix("/files", s.auth.RequireLogin(says("file"))))
	s.mux.Handle("/dear/", http.StripPrefix("/dear", s.auth.RequireFresh(says("dear"))))
	b := s.browser()
	for path, next := range map[string]string{
		"/files/2026/report.pdf?page=3": "/files/2026/report.pdf%3Fpage%3D3",
		"/dear/":                        "/dear/",
	} {
		if got := b.get(path).Header.Get("Location"); got != "/accounts/login/?next="+next {
			t.Errorf("%s: sent to %q", path, got)
		}
	}
	b.login("ada")
	want(t, "signed in", b.get("/files/2026/report.pdf"), 200, "file")
}

// A login page that asks for a login itself would send browsers round for ever; the log says what to do.
func TestLoginPageBehindALogin(t *testing.T) {
	for what, a := range map[string]*authhttp.Auth{
		"of the program": {LoginURL: "/signin", LoginRequired: true},
		"with its host":  {LoginURL: "https://" + host + "/signin", LoginRequired: true},
		"wrapped":        {LoginURL: "/signin/"},
	} {
		s := newSite(t, a, nil)
		s.page("/signin", func(w http.ResponseWriter, r *http.Request) {})
		s.mux.Handle("/", s.auth.RequireLogin(says("everything else")))
		b := s.browser()
		res := b.get("/private")
		want(t, what, res, 302)
		want(t, what+", the login page", b.get(res.Header.Get("Location")), 500)
		if log := s.log.String(); !strings.Contains(log, "Auth.Exempt") || !strings.Contains(log, "path=/signin") {
			t.Errorf("%s: the log says %s", what, log)
		}
	}
	// The same with the page that asks for the password again.
	clock := clockAt(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	s := newSite(t, nil, &latchbolt.Config{Clock: clock.now})
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.login("ada")
	clock.advance(time.Hour)
	s.h = s.auth.Handler(s.auth.RequireFresh(s.mux))
	want(t, "not fresh", b.get("/who"), 303)
	want(t, "the page that confirms", b.get("/accounts/confirm/?next=/who"), 500)
	// A target that only has the path in common is another page.
	s = newSite(t, &authhttp.Auth{LoginURL: "/private?signin=1"}, nil)
	want(t, "with a query", s.browser().get("/private"), 302)
	s = newSite(t, &authhttp.Auth{LoginURL: "https://login.example/private"}, nil)
	want(t, "on another host", s.browser().get("/private"), 302)
}

// A middleware around everything may have read the form, such as one that looks for a field of its own in it.
func TestFormThatWasReadBefore(t *testing.T) {
	for what, read := range map[string]func(*http.Request) error{
		"ParseForm": (*http.Request).ParseForm,
		"FormValue": func(r *http.Request) error { _ = r.FormValue("token"); return nil }, // reads forms of the other kind, too
	} {
		s := newSite(t, nil, nil)
		authtest.User(t, s.eng, "ada")
		inner := s.h
		s.h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := read(r); err != nil {
				t.Error(err)
			}
			inner.ServeHTTP(w, r)
		})
		b := s.browser()
		b.login("ada", "next", "/who")
		want(t, what, b.get("/who"), 200, "user=ada")
		want(t, what+", too long", b.post("/accounts/login/", "username", "ada", "password", strings.Repeat("x", 70_000)), 413)
		// What counts is the body, and the kind that HTML sends by default.
		r := b.request("POST", "/accounts/login/?username=ada&password="+url.QueryEscape(authtest.Password), url.Values{"remember": {"on"}})
		want(t, what+", name and password in the address", b.send(r), 401)
		r = b.request("POST", "/accounts/login/", url.Values{})
		r.Body = io.NopCloser(strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nada\r\n--x--\r\n"))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if err := r.ParseMultipartForm(1 << 10); err != nil || len(r.PostForm) == 0 {
			t.Fatalf("%s: the form of the other kind was not read: %v", what, err)
		}
		want(t, what+", the other kind", b.send(r), 415)
	}
}

// A proxy behind the middleware takes the header away after an informational answer of its server. The answer has
// what every answer has all the same, and what its own header says counts.
func TestHeadersAfterInformationalAnswers(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Referrer-Policy", "no-referrer")
		if _, err := io.WriteString(w, "from behind"); err != nil {
			t.Error(err)
		}
	}))
	defer behind.Close()
	to, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, nil, nil)
	s.mux.Handle("/behind/", httputil.NewSingleHostReverseProxy(to))
	front := httptest.NewServer(s.h)
	defer front.Close()
	res, err := front.Client().Get(front.URL + "/behind/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	want(t, "the answer", res, 200, "from behind")
	for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": authhttp.DefaultCSP, "Referrer-Policy": "no-referrer"} {
		if got := res.Header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
}

// What streams can ask when the client goes away, in the way of old that gin still goes.
func TestCloseNotify(t *testing.T) {
	s := newSite(t, nil, nil)
	asked, told := make(chan struct{}), make(chan struct{})
	s.page("/stream", func(w http.ResponseWriter, r *http.Request) {
		cn, ok := w.(interface{ CloseNotify() <-chan bool })
		if !ok {
			t.Error("there is no CloseNotify")
			close(asked)
			return
		}
		gone := cn.CloseNotify()
		close(asked)
		<-gone
		close(told)
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	r := httptest.NewRequestWithContext(ctx, "GET", base+"/stream", nil)
	done := make(chan struct{})
	go func() { defer close(done); s.h.ServeHTTP(httptest.NewRecorder(), r) }()
	<-asked
	if t.Failed() {
		return
	}
	select {
	case <-told:
		t.Error("told before the client went away")
	default:
	}
	leave()
	<-done
	<-told
}

// Views that are mounted elsewhere than under Prefix find nothing; the log says why.
func TestMountedElsewhere(t *testing.T) {
	for what, h := range map[string]func(*authhttp.Auth) http.Handler{
		"/auth/":    (*authhttp.Auth).Accounts,
		"/members/": func(a *authhttp.Auth) http.Handler { return http.StripPrefix("/members", a.Accounts()) },
	} {
		s := newSite(t, nil, nil)
		s.mux.Handle(what, h(s.auth))
		want(t, what, s.browser().get(what+"login/"), 404, "There is no such page.")
		if log := s.log.String(); !strings.Contains(log, "set Auth.Prefix") || !strings.Contains(log, "prefix=/accounts/") {
			t.Errorf("%s: the log says %s", what, log)
		}
		want(t, what+", where they belong", s.browser().get("/accounts/login/"), 200)
		s.h = s.auth.Accounts()
		want(t, what+", without the slash", s.browser().get("/accounts"), 307)
	}
	s := newSite(t, &authhttp.Auth{Prefix: "/"}, nil)
	s.h = s.auth.Handler(s.auth.Accounts())
	want(t, "at the root", s.browser().get("/login/"), 200)
	want(t, "at the root, nothing", s.browser().get("/nothing/"), 404)
	if log := s.log.String(); strings.Contains(log, "Auth.Prefix") {
		t.Errorf("at the root: the log says %s", log)
	}
}

// Who tries a program without TLS is told by the log what to set.
func TestWithoutTLSTheLogSaysWhatToDo(t *testing.T) {
	s := newSite(t, nil, nil)
	authtest.User(t, s.eng, "ada")
	b := s.browser()
	b.header.Set("Origin", "http://"+host)
	want(t, "a login over http", b.post("/accounts/login/", "username", "ada", "password", authtest.Password), 403)
	if log := s.log.String(); !strings.Contains(log, "set Auth.Insecure") {
		t.Errorf("the log says %s", log)
	}
}

// A request that goes on for long, as a stream, is told what has become of its session and of the user's permissions meanwhile.
func TestLongRequest(t *testing.T) {
	s := newSite(t, nil, nil)
	ada := authtest.User(t, s.eng, "ada", "blog.view_post")
	s.page("/stream", func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			t.Error(err)
			return
		}
		now := func() string {
			ok, err := s.eng.HasPerm(r.Context(), id, "blog.view_post")
			_, session := authhttp.Session(r).Info()
			return fmt.Sprint(ok, err, session)
		}
		say := func() {
			_, _ = io.WriteString(w, now()+"\n")
			_ = http.NewResponseController(w).Flush()
		}
		say()
		if err := s.eng.Revoke(r.Context(), ada.ID, "blog.view_post"); err != nil {
			t.Error(err)
		}
		say()
		if err := s.eng.EndSessions(r.Context(), ada.ID); err != nil {
			t.Error(err)
		}
		say()
	})
	b := s.browser()
	b.login("ada")
	if got, want := body(b.get("/stream")), "true <nil> <nil>\nfalse <nil> <nil>\nfalse <nil> "+latchbolt.ErrNoSession.Error()+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
