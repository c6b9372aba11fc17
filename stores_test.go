package latchbolt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A storeCase is a store with what it can do.
type storeCase struct {
	name   string
	make   func(testing.TB) latchbolt.SessionStore
	single bool // lists, names, ends and counts single sessions
	slides bool // use puts off the end by idleness
	serial bool // no update is lost; the token stays
	raw    bool // Load and Scan show what is kept
}

var storeCases = []storeCase{
	{name: "file", make: func(testing.TB) latchbolt.SessionStore { return nil }, single: true, slides: true, serial: true},
	{name: "memory", make: func(testing.TB) latchbolt.SessionStore { return latchbolt.MemorySessions() }, single: true, slides: true, serial: true, raw: true},
	{name: "folder", make: newFolder, single: true, slides: true, serial: true, raw: true},
	{name: "sealed", make: func(t testing.TB) latchbolt.SessionStore { return newSealed(t, 1) }},
}

func newFolder(t testing.TB) latchbolt.SessionStore {
	t.Helper()
	s, err := latchbolt.FolderSessions(filepath.Join(t.TempDir(), "sessions"))
	must(t, "making a folder", err)
	return s
}

// newSealed makes a sealed store with keys made of one byte each.
func newSealed(t testing.TB, keys ...byte) latchbolt.SessionStore {
	t.Helper()
	var all [][]byte
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, 32))
	}
	s, err := latchbolt.SealedSessions(all...)
	must(t, "making a sealed store", err)
	return s
}

// stored counts what a store keeps.
func stored(t testing.TB, s latchbolt.SessionStore) (n int) {
	t.Helper()
	for _, err := range s.Scan(t.Context()) {
		must(t, "scanning", err)
		n++
	}
	return n
}

func TestStores(t *testing.T) {
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			for _, part := range []struct {
				name string
				test func(*testing.T, storeCase)
			}{
				{"a login gives a new token", testStoreLogin},
				{"values go to the same user only", testStoreTakeOver},
				{"what ends a session ends it at once", testStoreEnds},
				{"times", testStoreTimes},
				{"values", testStoreValues},
				{"no update brings a session back", testStoreNotBroughtBack},
				{"unknown tokens", testStoreUnknown},
				{"updates at the same time", testStoreConcurrent},
				{"single sessions", testStoreSingle},
				{"limit", testStoreLimit},
				{"renewal", testStoreRenew},
				{"change of password", testStoreChangePassword},
				{"another file", testStoreOtherFile},
				{"reopening", testStoreReopen},
				{"trail and events", testStoreTrail},
				{"one renewal of many", testStoreRenewRace},
				{"closed", testStoreClosed},
			} {
				t.Run(part.name, func(t *testing.T) { part.test(t, c) })
			}
		})
	}
}

// keepNumber keeps a number in a session and returns the token to go on with.
func keepNumber(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token, name string, value int) latchbolt.Token {
	t.Helper()
	tok, err := eng.UpdateValues(t.Context(), tok, func(v *latchbolt.Values) error { return v.Set(name, value) })
	must(t, "setting a value", err)
	return tok
}

// numberIn returns a number kept in a session, or 0.
func numberIn(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token, name string) (n int) {
	t.Helper()
	v, err := eng.Values(t.Context(), tok)
	must(t, "reading values", err)
	_, err = v.Get(name, &n)
	must(t, "reading a value", err)
	return n
}

func testStoreLogin(t *testing.T, c storeCase) {
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	u := addUser(t, eng, "ada")
	anon, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
	must(t, "anonymous session", err)
	tok := keepNumber(t, eng, anon.Token, "cart", 3)
	if id, err := eng.SessionUser(t.Context(), tok); err != nil || !id.Anonymous() {
		t.Errorf("anonymous session: got %v, %v", id, err)
	}
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: tok})
	if s.Token == tok || s.Token.IsZero() || s.ID == anon.ID {
		t.Error("the login did not give a new token and identifier")
	}
	for what, old := range map[string]latchbolt.Token{"anonymous token": tok, "its first token": anon.Token} {
		if alive(t, eng, old) {
			t.Errorf("%s is good after the login", what)
		}
	}
	if got := numberIn(t, eng, s.Token, "cart"); got != 3 {
		t.Errorf("the anonymous cart holds %d, want 3", got)
	}
	again := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: s.Token})
	if again.Token == s.Token || alive(t, eng, s.Token) {
		t.Error("a second login left the first session alive")
	}
	if got := numberIn(t, eng, again.Token, "cart"); got != 3 {
		t.Errorf("the cart of the same user holds %d, want 3", got)
	}
	id, err := eng.SessionUser(t.Context(), again.Token)
	if err != nil || id.ID() != u.ID {
		t.Errorf("SessionUser: got %v, %v", id, err)
	}
	parsed, err := latchbolt.ParseToken(again.Token.Reveal())
	if err != nil || !alive(t, eng, parsed) {
		t.Errorf("the token does not survive being sent: %v", err)
	}
	if fresh, err := eng.Fresh(t.Context(), again.Token); err != nil || !fresh {
		t.Errorf("Fresh: got %v, %v", fresh, err)
	}
}

func testStoreTakeOver(t *testing.T, c storeCase) {
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	ada := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	a := logIn(t, eng, "ada", latchbolt.LoginOptions{})
	a.Token = keepNumber(t, eng, a.Token, "cart", 3)
	b := logIn(t, eng, "bob", latchbolt.LoginOptions{Previous: a.Token})
	if got := numberIn(t, eng, b.Token, "cart"); got != 0 {
		t.Errorf("bob got ada's cart with %d", got)
	}
	if alive(t, eng, a.Token) {
		t.Error("ada's session outlived bob's login")
	}
	a = logIn(t, eng, "ada", latchbolt.LoginOptions{})
	a.Token = keepNumber(t, eng, a.Token, "cart", 3)
	must(t, "SetPassword", eng.SetPassword(t.Context(), ada.ID, goodPassword+"!"))
	must(t, "SetPassword", eng.SetPassword(t.Context(), ada.ID, goodPassword))
	a2 := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: a.Token})
	if got := numberIn(t, eng, a2.Token, "cart"); got != 0 {
		t.Errorf("values of a session from before the password change were carried over: %d", got)
	}
	b.Token = keepNumber(t, eng, logIn(t, eng, "bob", latchbolt.LoginOptions{}).Token, "cart", 4)
	anon, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{Previous: b.Token})
	must(t, "NewSession", err)
	if got := numberIn(t, eng, anon.Token, "cart"); got != 0 || alive(t, eng, b.Token) {
		t.Errorf("an anonymous session took over bob's: cart %d", got)
	}
}

// deadToken fails the test unless every call that takes the token says ErrNoSession.
func deadToken(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token) {
	t.Helper()
	ctx := t.Context()
	for what, call := range map[string]func() error{
		"SessionUser":      func() error { _, err := eng.SessionUser(ctx, tok); return err },
		"Session":          func() error { _, err := eng.Session(ctx, tok); return err },
		"Fresh":            func() error { _, err := eng.Fresh(ctx, tok); return err },
		"Values":           func() error { _, err := eng.Values(ctx, tok); return err },
		"Renew":            func() error { _, err := eng.Renew(ctx, tok); return err },
		"SetExpiry":        func() error { _, err := eng.SetExpiry(ctx, tok, time.Hour); return err },
		"EndOtherSessions": func() error { return eng.EndOtherSessions(ctx, tok) },
		"ChangePassword": func() error {
			_, err := eng.ChangePassword(ctx, tok, goodPassword, "another good long password")
			return err
		},
		"UpdateValues": func() error {
			_, err := eng.UpdateValues(ctx, tok, func(*latchbolt.Values) error {
				t.Error("the function was called")
				return nil
			})
			return err
		},
	} {
		if err := call(); !errors.Is(err, latchbolt.ErrNoSession) && !errors.Is(err, latchbolt.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrNoSession", what, err)
		}
	}
	must(t, "Logout of a dead session", eng.Logout(ctx, tok))
}

func testStoreEnds(t *testing.T, c storeCase) {
	for _, end := range []struct {
		what string
		do   func(context.Context, *latchbolt.Engine, latchbolt.Session) error
	}{
		{"Logout", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			return e.Logout(ctx, s.Token)
		}},
		{"EndSessions", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			return e.EndSessions(ctx, s.User)
		}},
		{"SetPassword", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			return e.SetPassword(ctx, s.User, goodPassword)
		}},
		{"deactivation", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			return e.UpdateUser(ctx, s.User, set(deactivated))
		}},
		{"deletion", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			return e.DeleteUser(ctx, s.User)
		}},
		{"SetExpiry to now", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			_, err := e.SetExpiry(ctx, s.Token, 0)
			return err
		}},
		{"SetExpiry to the past", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			_, err := e.SetExpiry(ctx, s.Token, -time.Hour)
			return err
		}},
		{"Renew", func(ctx context.Context, e *latchbolt.Engine, s latchbolt.Session) error {
			_, err := e.Renew(ctx, s.Token)
			return err
		}},
	} {
		t.Run(end.what, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
			addUser(t, eng, "ada")
			bystander := logIn(t, eng, addUser(t, eng, "bob").Username, latchbolt.LoginOptions{})
			s := login(t, eng, "ada")
			if !alive(t, eng, s.Token) {
				t.Fatal("dead from the start")
			}
			must(t, end.what, end.do(t.Context(), eng, s))
			deadToken(t, eng, s.Token)
			if !alive(t, eng, bystander.Token) {
				t.Error("bob's session ended too")
			}
		})
	}
}

func testStoreTimes(t *testing.T, c storeCase) {
	synctest.Test(t, func(t *testing.T) {
		const idle, life = time.Hour, 10 * time.Hour
		eng := open(t, &latchbolt.Config{Sessions: c.make(t), SessionIdle: idle, SessionLifetime: life, FreshFor: 10 * time.Minute})
		addUser(t, eng, "ada")
		lazy := login(t, eng, "ada")
		busy := login(t, eng, "ada")
		busyUntil := time.Duration(0)
		for now := time.Duration(0); now < life+idle; now += 30 * time.Minute {
			if alive(t, eng, busy.Token) {
				busyUntil = now
			}
			time.Sleep(30 * time.Minute)
		}
		wantUntil := life - 30*time.Minute
		if !c.slides {
			wantUntil = idle - 30*time.Minute
		}
		if busyUntil != wantUntil {
			t.Errorf("a session in use was alive until %v, want %v", busyUntil, wantUntil)
		}
		deadToken(t, eng, busy.Token)
		deadToken(t, eng, lazy.Token)

		s := login(t, eng, "ada")
		time.Sleep(10 * time.Minute)
		if fresh, err := eng.Fresh(t.Context(), s.Token); err != nil || !fresh {
			t.Errorf("after 10 minutes: fresh %v, %v", fresh, err)
		}
		time.Sleep(time.Second)
		if fresh, err := eng.Fresh(t.Context(), s.Token); err != nil || fresh {
			t.Errorf("after more than 10 minutes: fresh %v, %v", fresh, err)
		}
		time.Sleep(idle - 10*time.Minute - 2*time.Second)
		if _, err := eng.Session(t.Context(), s.Token); err != nil {
			t.Errorf("a second before the end by idleness: %v", err)
		}
		time.Sleep(time.Second)
		deadToken(t, eng, s.Token)

		// Remembered sessions know no idleness, and an own lifetime counts.
		long := logIn(t, eng, "ada", latchbolt.LoginOptions{Remember: true, Lifetime: 50 * time.Hour})
		time.Sleep(50*time.Hour - time.Second)
		if !alive(t, eng, long.Token) {
			t.Error("a remembered session ended early")
		}
		longer, err := eng.SetExpiry(t.Context(), long.Token, 100*time.Hour)
		must(t, "SetExpiry", err)
		time.Sleep(99 * time.Hour)
		if !alive(t, eng, longer.Token) {
			t.Error("a session did not live as long as SetExpiry said")
		}
		if longer.Token != long.Token && alive(t, eng, long.Token) {
			t.Error("SetExpiry gave a new token, but the old one is good")
		}
		time.Sleep(time.Hour)
		deadToken(t, eng, longer.Token)
	})
}

func testStoreValues(t *testing.T, c storeCase) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	tok := keepNumber(t, eng, s.Token, "n", 1)
	if c.serial && tok != s.Token {
		t.Error("the token changed")
	}
	if !c.serial && tok == s.Token {
		t.Error("the token did not change")
	}
	same, err := eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return nil })
	if err != nil || same != tok {
		t.Errorf("an update that changes nothing: token changed %v, %v", same != tok, err)
	}
	boom := errors.New("boom")
	_, err = eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return errors.Join(v.Set("n", 2), boom) })
	want(t, "failing function", err, boom)
	if got := numberIn(t, eng, tok, "n"); got != 1 {
		t.Errorf("a failing update left %d, want 1", got)
	}
	tok, err = eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error {
		v.Clear()
		return v.Set("other", "text")
	})
	must(t, "UpdateValues", err)
	v, err := eng.Values(ctx, tok)
	must(t, "Values", err)
	if got := v.Names(); !slices.Equal(got, []string{"other"}) {
		t.Errorf("names: got %q", got)
	}
	_, err = eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return v.Set("big", strings.Repeat("x", 61<<10)) })
	wantFields(t, "too much", err, "session max_length")
	if got := v.Names(); !alive(t, eng, tok) || len(got) != 1 {
		t.Error("the refused update left its mark")
	}
}

// A session that ends while a function is at work on its values stays ended.
func testStoreNotBroughtBack(t *testing.T, c storeCase) {
	ctx := t.Context()
	if c.name == "file" {
		t.Skip("the function runs in a transaction and cannot log out")
	}
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	u := addUser(t, eng, "ada")
	for what, end := range map[string]func(latchbolt.Session) error{
		"Logout":      func(s latchbolt.Session) error { return eng.Logout(ctx, s.Token) },
		"EndSessions": func(latchbolt.Session) error { return eng.EndSessions(ctx, u.ID) },
		"Renew":       func(s latchbolt.Session) error { _, err := eng.Renew(ctx, s.Token); return err },
	} {
		s := login(t, eng, "ada")
		tok, err := eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error {
			must(t, what, end(s))
			return v.Set("n", 1)
		})
		want(t, what, err, latchbolt.ErrNoSession)
		deadToken(t, eng, tok)
		deadToken(t, eng, s.Token)
	}
}

func testStoreUnknown(t *testing.T, c storeCase) {
	store := c.make(t)
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	good := s.Token.Reveal()
	before := commits(t, eng)
	texts := []string{
		strings.Repeat("A", 64), strings.Repeat("_", 64), base64.RawURLEncoding.EncodeToString(make([]byte, 48)),
		"../../etc/passwd", "..%2f..%2fetc%2fpasswd", "../../../../../../../../etc/passwd", "....//....//x",
		"c:\\windows\\win.ini", "sessionid-of-django-12345678", "s.", "s.AAAA", "s." + strings.Repeat("A", 100), "s.../../../etc/passwd",
		good[:len(good)-1], good + "A", strings.ToUpper(good), good[:22] + strings.Repeat("A", len(good)-22),
	}
	for _, text := range texts {
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			want(t, fmt.Sprintf("parsing %.40q", text), err, latchbolt.ErrNoSession)
			continue
		}
		deadToken(t, eng, tok)
	}
	if got := commits(t, eng); got != before {
		t.Errorf("unknown tokens made %d writes", got-before)
	}
	if c.raw && stored(t, store) != 1 {
		t.Errorf("unknown tokens left %d sessions, want 1", stored(t, store))
	}
	for _, text := range []string{"", " ", "0", "\x00", "\x00\x00\x00", "../x", strings.Repeat("x", 300), strings.Repeat("../", 30)} {
		_, err := latchbolt.ParseToken(text)
		want(t, fmt.Sprintf("parsing %.40q", text), err, latchbolt.ErrNoSession)
	}
	deadToken(t, eng, latchbolt.Token{})
	for _, text := range texts {
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			continue
		}
		n := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: tok})
		if n.Token.Reveal() == text || alive(t, eng, tok) {
			t.Errorf("the token %.40q was adopted", text)
		}
	}
	if !alive(t, eng, s.Token) {
		t.Error("the real session is gone")
	}
}

func testStoreConcurrent(t *testing.T, c storeCase) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	const goroutines, times = 8, 5
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
			_, _ = eng.SessionUser(ctx, s.Token)
		}
	}()
	errs := parallel(goroutines, func(int) error {
		for range times {
			_, err := eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error {
				var n int
				if _, err := v.Get("n", &n); err != nil {
					return err
				}
				return v.Set("n", n+1)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	stop.Store(true)
	if got := count(errs, nil); got != goroutines {
		t.Fatalf("%d of %d succeeded: %v", got, goroutines, errors.Join(errs...))
	}
	if got := numberIn(t, eng, s.Token, "n"); c.serial && got != goroutines*times {
		t.Errorf("%d updates are left of %d", got, goroutines*times)
	}
}

func testStoreSingle(t *testing.T, c storeCase) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	u := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	other := login(t, eng, "bob")
	var all []latchbolt.Session
	for i := range 3 {
		all = append(all, logIn(t, eng, "ada", latchbolt.LoginOptions{Name: fmt.Sprint("device ", i), Client: latchbolt.Client{Agent: "Test/1"}}))
	}
	list := func() (ids []latchbolt.SessionID, err error) {
		for s, err := range eng.Sessions(ctx, u.ID) {
			if err != nil {
				return nil, err
			}
			if s.User != u.ID || !s.Token.IsZero() || s.Client.Agent != "Test/1" || !strings.HasPrefix(s.Name, "device ") {
				t.Errorf("listed: %+v", s)
			}
			ids = append(ids, s.ID)
		}
		return ids, nil
	}
	if !c.single {
		_, err := list()
		want(t, "Sessions", err, latchbolt.ErrUnsupported)
		want(t, "EndSession", eng.EndSession(ctx, all[0].ID), latchbolt.ErrUnsupported)
		want(t, "EndOtherSessions", eng.EndOtherSessions(ctx, all[0].Token), latchbolt.ErrUnsupported)
		want(t, "NameSession", eng.NameSession(ctx, all[0].ID, "x"), latchbolt.ErrUnsupported)
		_, err = eng.SessionByID(ctx, all[0].ID)
		want(t, "SessionByID", err, latchbolt.ErrUnsupported)
		return
	}
	testSessionByID(t, eng)
	must(t, "NameSession", eng.NameSession(ctx, all[0].ID, "device new"))
	if s, err := eng.Session(ctx, all[0].Token); err != nil || s.Name != "device new" {
		t.Errorf("renamed to %q, %v", s.Name, err)
	}
	want(t, "naming nothing", eng.NameSession(ctx, latchbolt.SessionID{1}, "x"), latchbolt.ErrNoSession)
	if ids, err := list(); err != nil || len(ids) != 3 {
		t.Errorf("%d sessions, want 3; %v", len(ids), err)
	}
	must(t, "EndSession", eng.EndSession(ctx, all[1].ID))
	must(t, "EndSession twice", eng.EndSession(ctx, all[1].ID))
	must(t, "ending nothing", eng.EndSession(ctx, latchbolt.SessionID{1}))
	deadToken(t, eng, all[1].Token)
	must(t, "EndOtherSessions", eng.EndOtherSessions(ctx, all[0].Token))
	deadToken(t, eng, all[2].Token)
	if ids, err := list(); err != nil || !slices.Equal(ids, []latchbolt.SessionID{all[0].ID}) {
		t.Errorf("left: %v, %v", ids, err)
	}
	if !alive(t, eng, other.Token) || !alive(t, eng, all[0].Token) {
		t.Error("too much ended")
	}
	for _, err := range eng.Sessions(ctx, 999) {
		want(t, "sessions of nobody", err, latchbolt.ErrNotFound)
	}
}

// testSessionByID looks a session up by its identifier, for as long as it lives.
func testSessionByID(t *testing.T, eng *latchbolt.Engine) {
	t.Helper()
	ctx := t.Context()
	addUser(t, eng, "joan")
	byID := func(what string, s *latchbolt.Session, lives bool) {
		t.Helper()
		got, err := eng.SessionByID(ctx, s.ID)
		if !lives {
			want(t, what, err, latchbolt.ErrNoSession)
			return
		}
		must(t, what, err)
		full, err := eng.Session(ctx, s.Token)
		must(t, what, err)
		full.Token = latchbolt.Token{}
		if got != full {
			t.Errorf("%s: got %+v, want %+v", what, got, full)
		}
	}
	s := logIn(t, eng, "joan", latchbolt.LoginOptions{Name: "phone"})
	byID("of a user", &s, true)
	must(t, "EndSession", eng.EndSession(ctx, s.ID))
	byID("one that ended", &s, false)
	byID("nothing", &latchbolt.Session{ID: latchbolt.SessionID{1}}, false)
	anonymous, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "NewSession", err)
	byID("of nobody", &anonymous, true)
	s = logIn(t, eng, "joan", latchbolt.LoginOptions{})
	must(t, "EndSessions", eng.EndSessions(ctx, s.User))
	byID("after the end of all", &s, false)
	s = logIn(t, eng, "joan", latchbolt.LoginOptions{})
	must(t, "deactivating", eng.UpdateUser(ctx, s.User, set(deactivated)))
	byID("of an inactive user", &s, false)
	must(t, "DeleteUser", eng.DeleteUser(ctx, s.User))
	byID("of a deleted user", &s, false)
}

func testStoreLimit(t *testing.T, c storeCase) {
	if !c.single {
		t.Skip("no limit")
	}
	clock := newTestClock()
	store := c.make(t)
	eng := open(t, &latchbolt.Config{Sessions: store, SessionLimit: 3, Clock: clock.now})
	addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	bob := login(t, eng, "bob")
	var all []latchbolt.Session
	for range 5 {
		clock.advance(time.Second)
		all = append(all, login(t, eng, "ada"))
	}
	for i, s := range all {
		if got := alive(t, eng, s.Token); got != (i >= 2) {
			t.Errorf("session %d of 5, at most 3: alive %v", i+1, got)
		}
	}
	if !alive(t, eng, bob.Token) {
		t.Error("bob paid for it")
	}
	errs := parallel(20, func(int) error {
		_, err := eng.Login(t.Context(), authenticate(t, eng, "ada"), latchbolt.LoginOptions{})
		return err
	})
	must(t, "logins at the same time", errors.Join(errs...))
	n := 0
	for _, err := range eng.Sessions(t.Context(), all[0].User) {
		must(t, "listing", err)
		n++
	}
	if n != 3 {
		t.Errorf("%d sessions after logins at the same time, want 3", n)
	}
	if c.raw && stored(t, store) != 4 {
		t.Errorf("%d sessions are stored, want 4", stored(t, store))
	}
}

func testStoreRenew(t *testing.T, c storeCase) {
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	addUser(t, eng, "ada")
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: "kitchen", BrowserLength: true})
	s.Token = keepNumber(t, eng, s.Token, "n", 7)
	n, err := eng.Renew(t.Context(), s.Token)
	must(t, "Renew", err)
	if n.Token == s.Token || n.ID == s.ID {
		t.Error("same token or identifier")
	}
	deadToken(t, eng, s.Token)
	if got := numberIn(t, eng, n.Token, "n"); got != 7 {
		t.Errorf("values: got %d, want 7", got)
	}
	same := func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) } // as stored
	if n.Name != "kitchen" || !n.BrowserLength || !same(n.Created, s.Created) || !same(n.Expires, s.Expires) || !same(n.AuthTime, s.AuthTime) {
		t.Errorf("got %+v, from %+v", n, s)
	}
}

// Of many who renew one session at the same time, one gets it; of many who change
// the password from it too.
func testStoreRenewRace(t *testing.T, c storeCase) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: c.make(t), HashSlots: 16})
	addUser(t, eng, "ada")
	for range 20 {
		s := login(t, eng, "ada")
		errs := parallel(8, func(int) error {
			_, err := eng.Renew(ctx, s.Token)
			return err
		})
		if won, lost := count(errs, nil), count(errs, latchbolt.ErrNoSession); won != 1 || lost != 7 {
			t.Fatalf("%d renewed it, %d were refused: %v", won, lost, errors.Join(errs...))
		}
	}
	for round := range 10 {
		old, changed := goodPassword+fmt.Sprint(round-1), goodPassword+fmt.Sprint(round)
		if round == 0 {
			old = goodPassword
		}
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: old})
		must(t, "authenticating", err)
		s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
		must(t, "login", err)
		errs := parallel(4, func(int) error {
			_, err := eng.ChangePassword(ctx, s.Token, old, changed)
			return err
		})
		if won := count(errs, nil); won != 1 {
			t.Fatalf("%d of 4 changed the password from one session: %v", won, errors.Join(errs...))
		}
	}
}

func testStoreChangePassword(t *testing.T, c storeCase) {
	ctx := t.Context()
	store := c.make(t)
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	other := login(t, eng, "ada")
	s := login(t, eng, "ada")
	s.Token = keepNumber(t, eng, s.Token, "n", 7)
	const changed = "another good long password"
	_, err := eng.ChangePassword(ctx, s.Token, "wrong", changed)
	want(t, "wrong old password", err, latchbolt.ErrCredentials)
	if !alive(t, eng, s.Token) || !alive(t, eng, other.Token) {
		t.Error("a refused change ended a session")
	}
	n, err := eng.ChangePassword(ctx, s.Token, goodPassword, changed)
	must(t, "ChangePassword", err)
	if n.Token == s.Token || !alive(t, eng, n.Token) || numberIn(t, eng, n.Token, "n") != 7 {
		t.Errorf("the session did not go on under a new token: %+v", n)
	}
	deadToken(t, eng, s.Token)
	deadToken(t, eng, other.Token)
	if c.raw && stored(t, store) != 1 {
		t.Errorf("%d sessions are stored, want 1", stored(t, store))
	}
	_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: changed})
	must(t, "the new password", err)
}

// A session of one file is none in another, though users have the same numbers.
func testStoreOtherFile(t *testing.T, c storeCase) {
	store := c.make(t)
	one := open(t, &latchbolt.Config{Sessions: store})
	two := open(t, &latchbolt.Config{Sessions: store})
	if a, b := addUser(t, one, "ada"), addUser(t, two, "eve"); a.ID != b.ID {
		t.Fatal("the users have different numbers: this shows nothing")
	}
	s := login(t, one, "ada")
	deadToken(t, two, s.Token)
	login(t, two, "eve")
	if !c.single {
		return
	}
	n := 0
	for _, err := range two.Sessions(t.Context(), s.User) {
		must(t, "listing", err)
		n++
	}
	if n != 1 {
		t.Errorf("eve sees %d sessions, want 1", n)
	}
	must(t, "EndSession by the other", two.EndSession(t.Context(), s.ID))
	if !alive(t, one, s.Token) {
		t.Error("the other file's engine ended a session")
	}
}

// A session lives through closing and opening as long as its store does, and
// dies with its backend and with the epoch of the file.
func testStoreReopen(t *testing.T, c storeCase) {
	cfg := &latchbolt.Config{Sessions: c.make(t)}
	path := filepath.Join(t.TempDir(), "app.db")
	eng := openAt(t, path, cfg)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	eng = reopen(t, eng, cfg)
	if !alive(t, eng, s.Token) {
		t.Fatal("dead after opening again")
	}
	if c.single {
		n := 0
		for _, err := range eng.Sessions(t.Context(), u.ID) {
			must(t, "listing", err)
			n++
		}
		if n != 1 {
			t.Errorf("%d sessions are listed after opening again, want 1", n)
		}
	}
	other := *cfg
	other.Backends = []latchbolt.Backend{latchbolt.RemoteUserBackend{}}
	eng = reopen(t, eng, &other)
	if alive(t, eng, s.Token) {
		t.Error("alive without its backend")
	}
	eng = reopen(t, eng, cfg)
	if !alive(t, eng, s.Token) {
		t.Error("dead after its backend came back")
	}
	must(t, "raising the epoch", eng.Update(t.Context(), func(tx *latchbolt.Tx) error { return tx.RaiseEpoch() }))
	eng = reopen(t, eng, cfg)
	deadToken(t, eng, s.Token)
}

func testStoreTrail(t *testing.T, c storeCase) {
	ctx := t.Context()
	var in, out []latchbolt.UserID
	cfg := &latchbolt.Config{Sessions: c.make(t)}
	cfg.Events.UserLoggedIn = func(s latchbolt.Session) {
		if !s.Token.IsZero() {
			t.Error("the event holds the token")
		}
		in = append(in, s.User)
	}
	cfg.Events.UserLoggedOut = func(u latchbolt.UserID) { out = append(out, u) }
	eng := open(t, cfg)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	must(t, "Logout", eng.Logout(ctx, s.Token))
	must(t, "Logout twice", eng.Logout(ctx, s.Token))
	if !slices.Equal(in, []latchbolt.UserID{u.ID}) || !slices.Equal(out, []latchbolt.UserID{u.ID, 0}) {
		t.Errorf("events: in %v, out %v", in, out)
	}
	if last, err := eng.User(ctx, u.ID); err != nil || last.LastLogin.IsZero() {
		t.Errorf("last login: %v, %v", last.LastLogin, err)
	}
	var actions []string
	for a, err := range eng.Audit(ctx, latchbolt.AuditQuery{User: u.ID}) {
		must(t, "reading the trail", err)
		actions = append(actions, a.Action)
	}
	slices.Sort(actions)
	if got := strings.Join(actions, " "); got != "login logout user.create" {
		t.Errorf("trail: %s", got)
	}
	id := authenticate(t, eng, "ada")
	must(t, "SetPassword", eng.SetPassword(ctx, u.ID, goodPassword))
	_, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
	want(t, "login after the proof was void", err, latchbolt.ErrCredentials)
}

func testStoreClosed(t *testing.T, c storeCase) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	anon, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "NewSession", err)
	must(t, "Close", eng.Close())
	for _, tok := range []latchbolt.Token{s.Token, anon.Token} {
		_, err := eng.SessionUser(ctx, tok)
		want(t, "SessionUser", err, latchbolt.ErrClosed)
		_, err = eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return v.Set("n", 1) })
		want(t, "UpdateValues", err, latchbolt.ErrClosed)
		want(t, "Logout", eng.Logout(ctx, tok), latchbolt.ErrClosed)
	}
	_, err = eng.NewSession(ctx, latchbolt.LoginOptions{})
	want(t, "NewSession", err, latchbolt.ErrClosed)
}
