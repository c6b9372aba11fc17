package authhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// An outbox is a mailer that keeps what it is told to send.
type outbox struct {
	mu    sync.Mutex
	mails []authhttp.ResetMail
	do    func(ctx context.Context) error
}

func (o *outbox) send(ctx context.Context, m authhttp.ResetMail) error {
	o.mu.Lock()
	o.mails = append(o.mails, m)
	do := o.do
	o.mu.Unlock()
	if do != nil {
		return do(ctx)
	}
	return nil
}

func (o *outbox) take() []authhttp.ResetMail {
	o.mu.Lock()
	defer o.mu.Unlock()
	ms := o.mails
	o.mails = nil
	return ms
}

func mailSite(t *testing.T, o *outbox, cfg *latchbolt.Config) *site {
	return newSite(t, &authhttp.Auth{BaseURL: base, SendReset: o.send}, cfg)
}

func addMailUser(t *testing.T, s *site, name, email string, change func(*latchbolt.User)) {
	t.Helper()
	u := authtest.User(t, s.eng, name)
	if err := s.eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error {
		u.Email = email
		if change != nil {
			change(u)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Inventory 59, 94–96: the link, the page without the token, the new password, and that nobody is signed in by it.
func TestResetByMail(t *testing.T) {
	o := new(outbox)
	s := mailSite(t, o, nil)
	addMailUser(t, s, "ada", "Ada@example.org", nil)
	b := s.browser()
	b.login("ada")
	c := s.browser()
	want(t, "the page", c.get("/accounts/password/reset/"), 200, `type="email"`)
	res := c.post("/accounts/password/reset/", "email", "ada@EXAMPLE.org")
	want(t, "the request", res, 303)
	want(t, "done", c.get(res.Header.Get("Location")), 200, "a mail is on its way")
	s.auth.Wait()
	mails := o.take()
	if len(mails) != 1 || mails[0].To != "Ada@example.org" || mails[0].User.Username != "ada" || !strings.HasPrefix(mails[0].URL, base+"/accounts/password/reset/") {
		t.Fatalf("got %d mails", len(mails))
	}
	link := mails[0].URL
	token := strings.TrimSuffix(strings.TrimPrefix(link, base+"/accounts/password/reset/"), "/")
	sessions, writes := s.sessions(), s.commits()
	res = c.get(link)
	to := res.Header.Get("Location")
	if res.StatusCode != 303 || to != "/accounts/password/reset/set/" || strings.Contains(body(res), token) || res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the link: %d %v", res.StatusCode, res.Header)
	}
	if k := res.Cookies(); len(k) != 1 || !k[0].Secure || !k[0].HttpOnly || k[0].Path != "/" || k[0].SameSite != http.SameSiteLaxMode || !strings.HasPrefix(k[0].Name, "__Host-") || k[0].MaxAge != 0 {
		t.Errorf("cookies %v", k)
	}
	if s.sessions() != sessions || s.commits() != writes {
		t.Error("following a link wrote something")
	}
	// The page alone, in another browser, is none.
	want(t, "going there directly", s.browser().get(to), 200, "not good any more")
	res = c.get(to)
	want(t, "the page", res, 200, `name="password1"`, `autocomplete="new-password"`)
	if strings.Contains(body(res), token) || res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the page has the token, or %v", res.Header)
	}
	want(t, "not the same", c.post(to, "password1", "a long new password", "password2", "another"), 422, "not the same")
	want(t, "too short", c.post(to, "password1", "short", "password2", "short"), 422, "at least 15 characters")
	want(t, "nothing", c.post(to), 422, "enter a new password")
	res = c.post(to, "password1", "a long new password ", "password2", "a long new password ")
	want(t, "set", res, 303)
	if len(c.cookies) != 0 {
		t.Errorf("somebody is signed in, or the token is kept: %v", c.cookies)
	}
	want(t, "complete", c.get(res.Header.Get("Location")), 200, "You can sign in")
	if got := body(b.get("/who")); got != "user=" {
		t.Errorf("another device: %s", got)
	}
	want(t, "the link again", c.get(link), 200, "not good any more")
	want(t, "the old password", c.post("/accounts/login/", "username", "ada", "password", authtest.Password), 401)
	// White space is part of a password: inventory 83.
	want(t, "without the blank", c.post("/accounts/login/", "username", "ada", "password", "a long new password"), 401)
	want(t, "the new password", c.post("/accounts/login/", "username", "ada", "password", "a long new password "), 303)
}

// TestCVE_2019_19844: mail goes to the stored address, and only for an exact match; inventory 61 and 62: who cannot get one gets none.
func TestCVE_2019_19844(t *testing.T) {
	o := new(outbox)
	s := mailSite(t, o, nil)
	addMailUser(t, s, "mike", "mike@example.org", nil)
	addMailUser(t, s, "two-a", "Two@example.org", nil)
	addMailUser(t, s, "two-b", "two@example.org", nil)
	addMailUser(t, s, "gone", "gone@example.org", func(u *latchbolt.User) { u.Inactive = true })
	if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: "sso", Email: "sso@example.org"}, latchbolt.PasswordHash{}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		typed string
		to    []string
	}{
		{"mike@example.org", []string{"mike@example.org"}}, {"MIKE@EXAMPLE.ORG", []string{"mike@example.org"}},
		{"m\u0131ke@example.org", nil}, {"mi\u212ae@example.org", nil}, {"mike@example.org\u200b", nil}, {" mike@example.org", nil}, {"mike@example.org\n", nil}, {"mike@example.org,eve@evil.com", nil}, {"mike@example.org@evil.com", nil},
		{"TWO@example.org", []string{"Two@example.org", "two@example.org"}},
		{"gone@example.org", nil}, {"sso@example.org", nil}, {"nobody@example.org", nil},
	} {
		b := s.browser()
		b.remote = fmt.Sprintf("198.51.100.%d:1", i)
		b.post("/accounts/password/reset/", "email", c.typed)
		s.auth.Wait()
		var to []string
		for _, m := range o.take() {
			to = append(to, m.To)
		}
		if fmt.Sprint(to) != fmt.Sprint(c.to) {
			t.Errorf("%q: mailed to %q, want %q", c.typed, to, c.to)
		}
	}
}

// TestCVE_2024_45231: whatever the mailer does, the answer is the same, byte for byte, and at once;
// so it is for every kind of account: CVE-2026-23511, CVE-2024-37897. The clock is that of the bubble: an answer that waited for
// a mailer would take seconds of it.
func TestCVE_2024_45231(t *testing.T) {
	for what, do := range map[string]func(context.Context) error{
		"works": nil,
		"fails": func(context.Context) error { return errors.New("550 no such user") },
		"panic": func(context.Context) error { panic("mailer") },
		"slow":  func(context.Context) error { time.Sleep(5 * time.Second); return nil },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		synctest.Test(t, func(t *testing.T) {
			o := &outbox{do: do}
			s := mailSite(t, o, &latchbolt.Config{SweepEvery: -1})
			addMailUser(t, s, "ada", "ada@example.org", nil)
			addMailUser(t, s, "gone", "gone@example.org", func(u *latchbolt.User) { u.Inactive = true })
			if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: "sso", Email: "sso@example.org"}, latchbolt.PasswordHash{}); err != nil {
				t.Fatal(err)
			}
			first := ""
			for i, email := range []string{"nobody@example.org", "ada@example.org", "gone@example.org", "sso@example.org", "ADA@example.org"} {
				b := s.browser()
				b.remote = fmt.Sprintf("198.51.100.%d:1", i)
				start := time.Now()
				res := b.post("/accounts/password/reset/", "email", email)
				if d := time.Since(start); d > 20*time.Millisecond {
					t.Errorf("%s, %s: took %v", what, email, d)
				}
				face := fmt.Sprint(res.StatusCode, sortedHeader(res.Header), body(res))
				if first == "" {
					first = face
				}
				if face != first || res.StatusCode != 303 {
					t.Errorf("%s, %s: answers\n%s\nand otherwise\n%s", what, email, face, first)
				}
			}
			s.auth.Wait()
			if n := len(o.take()); n != 2 {
				t.Errorf("%s: %d mails", what, n)
			}
			if log := s.log.String(); do != nil && what != "slow" && !strings.Contains(log, "level=ERROR") || strings.Contains(log, "password/reset/") {
				t.Errorf("%s: the log says %s", what, log)
			}
		})
	}
}

// TestCVE_2011_4140: nothing that a request says is in the link; CVE-2012-4520, CVE-2025-64101, GHSA-93m4-mfpg-c3xf.
func TestCVE_2011_4140(t *testing.T) {
	o := new(outbox)
	s := newSite(t, &authhttp.Auth{BaseURL: base, SendReset: o.send, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, nil)
	addMailUser(t, s, "ada", "ada@example.org", nil)
	b := s.browser()
	r := b.request("POST", "/accounts/password/reset/", map[string][]string{"email": {"ada@example.org"}})
	r.Host = "evil.com"
	for _, h := range []string{"X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host"} {
		r.Header.Set(h, "evil.com")
	}
	r.Header.Set("Forwarded", "host=evil.com;proto=http")
	r.Header.Set("X-Forwarded-Proto", "http")
	b.send(r)
	s.auth.Wait()
	mails := o.take()
	if len(mails) != 1 || !strings.HasPrefix(mails[0].URL, base+"/") || strings.Contains(mails[0].URL, "evil") {
		t.Fatalf("%d mails", len(mails))
	}
	// Without a configured address there is none.
	bare := newSite(t, nil, nil)
	if _, err := bare.auth.ResetURL(latchbolt.Token{}); err == nil {
		t.Error("a link was made without BaseURL")
	}
	want(t, "no mail configured", bare.browser().get("/accounts/password/reset/"), 200, "ask an administrator")
	want(t, "no mail configured", bare.browser().post("/accounts/password/reset/", "email", "a@b.de"), 405)
}

// Requests are slowed down for an account and for a source, and nobody sees it.
func TestResetThrottle(t *testing.T) {
	o := new(outbox)
	clock := clockAt(time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC))
	s := mailSite(t, o, &latchbolt.Config{Clock: clock.now})
	addMailUser(t, s, "ada", "ada@example.org", nil)
	addMailUser(t, s, "bob", "bob@example.org", nil)
	ask := func(n int, from func(i int) string, email string) int {
		for i := range n {
			b := s.browser()
			b.remote = from(i)
			want(t, "the request", b.post("/accounts/password/reset/", "email", email), 303)
			s.auth.Wait()
		}
		return len(o.take())
	}
	anywhere := func(i int) string { return fmt.Sprintf("198.51.%d.%d:1", i/200, i%200) }
	here := func(int) string { return "[2001:db8::1]:1" }
	neighbour := func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i+2) }
	if got := ask(30, anywhere, "ada@example.org"); got != 3 {
		t.Errorf("one account: %d mails", got)
	}
	clock.advance(10*time.Minute + time.Second)
	if got := ask(30, anywhere, "ada@example.org"); got != 1 {
		t.Errorf("one account, ten minutes later: %d mails", got)
	}
	clock.advance(24 * time.Hour)
	ask(10, here, "nobody@example.org")
	if got := ask(5, neighbour, "bob@example.org"); got != 0 {
		t.Errorf("one network after ten requests: %d mails", got)
	}
	if got := ask(1, func(int) string { return "203.0.113.5:1" }, "bob@example.org"); got != 1 {
		t.Errorf("another source: %d mails", got)
	}
	if !strings.Contains(s.log.String(), "too many requests for a reset from one source") {
		t.Error("nothing was logged")
	}
}

// However many ask at once, a bounded number waits, and every answer comes at once.
func TestResetFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, sent := 0, 0, 0
		o := &outbox{do: func(ctx context.Context) error {
			mu.Lock()
			running++
			most = max(most, running)
			sent++
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}}
		s := mailSite(t, o, &latchbolt.Config{SweepEvery: -1})
		for i := range 200 {
			name := fmt.Sprintf("u%d", i)
			addMailUser(t, s, name, name+"@example.org", nil)
		}
		start := time.Now()
		for i := range 200 {
			b := s.browser()
			b.remote = fmt.Sprintf("198.51.100.%d:1", i)
			want(t, "the request", b.post("/accounts/password/reset/", "email", fmt.Sprintf("u%d@example.org", i)), 303)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("the answers took %v", d)
		}
		s.auth.Wait()
		if most > 4 || sent < 10 || sent > 80 {
			t.Errorf("%d at once, %d sent", most, sent)
		}
	})
}

func TestResetMailDoesNotPrint(t *testing.T) {
	m := authhttp.ResetMail{User: &latchbolt.User{}, To: "a@b.de", URL: "https://x/canary/"}
	text, _ := json.Marshal(map[string]any{"m": m})
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "m", m, "p", &m)
	for _, got := range []string{fmt.Sprint(m), fmt.Sprintf("%+v %#v %s %q %v", m, m, m, m, &m), string(text), b.String()} {
		if strings.Contains(got, "canary") {
			t.Errorf("%s", got)
		}
	}
}

// TestCVE_2020_15222: of many who use one link at once, one sets the password.
func TestCVE_2020_15222(t *testing.T) {
	s := newSite(t, &authhttp.Auth{BaseURL: base}, nil)
	u := authtest.User(t, s.eng, "ada")
	tok, err := s.eng.ResetToken(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.auth.ResetURL(tok)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	set := 0
	browsers := make([]*browser, 16)
	for i := range browsers {
		browsers[i] = s.browser()
		want(t, "the link", browsers[i].get(link), 303)
	}
	for i, b := range browsers {
		wg.Go(func() {
			password := fmt.Sprintf("a quite new password %d", i)
			res := b.post("/accounts/password/reset/set/", "password1", password, "password2", password)
			mu.Lock()
			defer mu.Unlock()
			if res.StatusCode == 303 {
				set++
			} else if !strings.Contains(body(res), "not good any more") {
				t.Errorf("got %d: %.200s", res.StatusCode, body(res))
			}
		})
	}
	wg.Wait()
	if set != 1 {
		t.Errorf("%d set the password", set)
	}
}
