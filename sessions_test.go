package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func sessionsOf(t testing.TB, eng *latchbolt.Engine, id latchbolt.UserID) (all []latchbolt.Session) {
	t.Helper()
	for s, err := range eng.Sessions(t.Context(), id) {
		must(t, "sessions", err)
		if !s.Token.IsZero() {
			t.Error("the list of sessions gives tokens away")
		}
		all = append(all, s)
	}
	return all
}

// noCache is a Config whose engine reads everything from the file.
func noCache() *latchbolt.Config {
	return &latchbolt.Config{CacheSessions: -1, CacheUsers: -1}
}

// withAndWithoutCache runs a test on an engine that remembers and on one that does not.
func withAndWithoutCache(t *testing.T, fn func(t *testing.T, cfg latchbolt.Config)) {
	t.Run("cached", func(t *testing.T) { fn(t, latchbolt.Config{}) })
	t.Run("not cached", func(t *testing.T) { fn(t, *noCache()) })
}

func setValue(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token, name, value string) {
	t.Helper()
	_, err := eng.UpdateValues(t.Context(), tok, func(v *latchbolt.Values) error { return v.Set(name, value) })
	must(t, "setting a value", err)
}

func value(t testing.TB, eng *latchbolt.Engine, tok latchbolt.Token, name string) (s string) {
	t.Helper()
	v, err := eng.Values(t.Context(), tok)
	must(t, "values", err)
	_, err = v.Get(name, &s)
	must(t, "value", err)
	return s
}

func TestLoginTellsWhatTheSessionIs(t *testing.T) {
	clock := newTestClock()
	var events []latchbolt.Session
	eng := open(t, &latchbolt.Config{Clock: clock.now, Events: latchbolt.Events{UserLoggedIn: func(s latchbolt.Session) { events = append(events, s) }}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	client := latchbolt.Client{Addr: netip.MustParseAddr("2001:db8::1"), Agent: "browser"}
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Client: client, Name: "kitchen", BrowserLength: true})
	now := eng.Now()
	if s.User != u.ID || s.Backend != "password" || s.Client != client || s.Name != "kitchen" || !s.BrowserLength || s.Remember ||
		!s.Created.Equal(now) || !s.AuthTime.Equal(now) || !s.LastSeen.Equal(now) || !s.Expires.Equal(now.Add(14*24*time.Hour)) ||
		s.IdleFor != 24*time.Hour || s.Token.IsZero() || !s.Deadline().Equal(now.Add(24*time.Hour)) {
		t.Errorf("got %+v", s)
	}
	got, err := eng.Session(ctx, s.Token)
	if err != nil || got.ID != s.ID || got.Client != client || got.Name != "kitchen" || got.Token != s.Token || got.Created.Sub(now).Abs() > time.Microsecond {
		t.Errorf("Session: got %+v, %v", got, err)
	}
	if list := sessionsOf(t, eng, u.ID); len(list) != 1 || list[0].ID != s.ID {
		t.Errorf("list: got %+v", list)
	}
	if len(events) != 1 || events[0].ID != s.ID || !events[0].Token.IsZero() {
		t.Errorf("events: got %+v", events)
	}
	if stored, err := eng.User(ctx, u.ID); err != nil || stored.LastLogin.Sub(now).Abs() > time.Microsecond || !stored.DateJoined.Equal(u.DateJoined) {
		t.Errorf("last login: got %+v, %v", stored, err)
	}
	long := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: strings.Repeat("é", 200), Client: latchbolt.Client{Agent: strings.Repeat("é", 1000) + "\xff"}})
	if len(long.Name) > 100 || len(long.Client.Agent) > 256 || strings.Trim(long.Name+long.Client.Agent, "é") != "" {
		t.Errorf("long texts: %d and %d bytes", len(long.Name), len(long.Client.Agent))
	}
	if id, err := latchbolt.ParseSessionID(s.ID.String()); err != nil || id != s.ID {
		t.Errorf("identifier: got %v, %v", id, err)
	}
	for _, bad := range []string{"", "x", s.ID.String() + "A", s.ID.String()[1:], s.ID.String()[:21] + "!", s.ID.String()[:21] + "_", s.ID.String()[:20] + "\n\n"} {
		_, err := latchbolt.ParseSessionID(bad)
		want(t, fmt.Sprintf("identifier %q", bad), err, latchbolt.ErrNoSession)
	}
}

func TestLoginWithoutProof(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	_, err := eng.Login(ctx, latchbolt.Identity{}, latchbolt.LoginOptions{})
	want(t, "the anonymous user", err, latchbolt.ErrCredentials)
	for what, change := range map[string]func(id latchbolt.UserID) error{
		"deactivated since":        func(id latchbolt.UserID) error { return eng.UpdateUser(ctx, id, set(deactivated)) },
		"deleted since":            func(id latchbolt.UserID) error { return eng.DeleteUser(ctx, id) },
		"another password since":   func(id latchbolt.UserID) error { return eng.SetPassword(ctx, id, "another fine passphrase") },
		"all sessions ended since": func(id latchbolt.UserID) error { return eng.EndSessions(ctx, id) },
	} {
		u := addUser(t, eng, fmt.Sprint("u", len(what)))
		id := authenticate(t, eng, u.Username)
		must(t, what, change(u.ID))
		_, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
		want(t, what, err, latchbolt.ErrCredentials)
	}
	u := addUser(t, eng, "ada")
	id, err := eng.Identity(ctx, u.ID)
	must(t, "identity", err)
	_, err = eng.Login(ctx, id, latchbolt.LoginOptions{})
	must(t, "on the program's own authority", err)
}

func TestLoginRotatesAndCarriesOver(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		eng := open(t, &cfg)
		ctx := t.Context()
		addUser(t, eng, "ada")
		bob := addUser(t, eng, "bob")
		anonymous := func() latchbolt.Token {
			s, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
			must(t, "anonymous", err)
			return s.Token
		}
		unknown, err := latchbolt.ParseToken(strings.Repeat("A", 64))
		must(t, "token", err)
		for _, c := range []struct {
			what    string
			prev    func() latchbolt.Token
			carried bool
		}{
			{"an anonymous session", anonymous, true},
			{"an own session", func() latchbolt.Token { return login(t, eng, "ada").Token }, true},
			{"another user's session", func() latchbolt.Token { return login(t, eng, "bob").Token }, false},
		} {
			prev := c.prev()
			setValue(t, eng, prev, "cart", "full")
			s := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: prev})
			if s.Token == prev {
				t.Errorf("%s: the token stayed", c.what)
			}
			if alive(t, eng, prev) {
				t.Errorf("%s: the old token lives", c.what)
			}
			if got := value(t, eng, s.Token, "cart"); (got == "full") != c.carried {
				t.Errorf("%s: got value %q, want carried %v", c.what, got, c.carried)
			}
		}
		old := login(t, eng, "bob").Token
		setValue(t, eng, old, "cart", "full")
		must(t, "password", eng.SetPassword(ctx, bob.ID, goodPassword+" 2"))
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "bob", Password: goodPassword + " 2"})
		must(t, "bob", err)
		s, err := eng.Login(ctx, id, latchbolt.LoginOptions{Previous: old})
		must(t, "bob", err)
		if got := value(t, eng, s.Token, "cart"); got != "" {
			t.Errorf("values from before the password changed were carried over: %q", got)
		}
		for what, prev := range map[string]latchbolt.Token{"no previous token": {}, "an unknown one": unknown} {
			s := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: prev})
			if s.Token == prev || !alive(t, eng, s.Token) || alive(t, eng, prev) {
				t.Errorf("%s was adopted", what)
			}
		}
		// The anonymous session of somebody who was signed in starts empty.
		mine := login(t, eng, "ada").Token
		setValue(t, eng, mine, "secret", "x")
		fresh, err := eng.NewSession(ctx, latchbolt.LoginOptions{Previous: mine})
		must(t, "anonymous", err)
		if value(t, eng, fresh.Token, "secret") != "" || alive(t, eng, mine) {
			t.Error("an anonymous session got a user's values, or the user's session lives")
		}
		who, err := eng.SessionUser(ctx, fresh.Token)
		if err != nil || !who.Anonymous() {
			t.Errorf("anonymous session: %v, %v", who, err)
		}
	})
}

func TestRenewKeepsEverythingButTheToken(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	ctx := t.Context()
	addUser(t, eng, "ada")
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: "kitchen", Remember: true})
	setValue(t, eng, s.Token, "cart", "full")
	before, err := eng.Session(ctx, s.Token)
	must(t, "session", err)
	clock.advance(time.Hour)
	after, err := eng.Renew(ctx, s.Token)
	must(t, "renew", err)
	if alive(t, eng, s.Token) || !alive(t, eng, after.Token) || after.Token == s.Token || after.ID == s.ID {
		t.Error("the old token lives, or the new one does not")
	}
	if got := value(t, eng, after.Token, "cart"); got != "full" {
		t.Errorf("value: got %q", got)
	}
	before.Token, before.ID, before.LastSeen = after.Token, after.ID, after.LastSeen
	if after != before {
		t.Errorf("got  %+v\nwant %+v", after, before)
	}
	_, err = eng.Renew(ctx, s.Token)
	want(t, "renewing the old one", err, latchbolt.ErrNoSession)
}

func TestSessionsEndInTime(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		what    string
		cfg     latchbolt.Config
		o       latchbolt.LoginOptions
		useEach time.Duration
		want    time.Duration
	}{
		{"unused: idle for a day", latchbolt.Config{}, latchbolt.LoginOptions{}, 0, day},
		{"used: two weeks", latchbolt.Config{}, latchbolt.LoginOptions{}, 8 * time.Hour, 14 * day},
		{"used within the last second of the idle time", latchbolt.Config{}, latchbolt.LoginOptions{}, day - time.Second, 14 * day},
		{"no idle limit", latchbolt.Config{SessionIdle: -1}, latchbolt.LoginOptions{}, 0, 14 * day},
		{"configured", latchbolt.Config{SessionLifetime: time.Hour, SessionIdle: 10 * time.Minute}, latchbolt.LoginOptions{}, 0, 10 * time.Minute},
		{"configured and used", latchbolt.Config{SessionLifetime: time.Hour, SessionIdle: 10 * time.Minute}, latchbolt.LoginOptions{}, 9 * time.Minute, time.Hour},
		{"remember me", latchbolt.Config{}, latchbolt.LoginOptions{Remember: true}, 0, 30 * day},
		{"remember me, configured", latchbolt.Config{RememberLifetime: 3 * day}, latchbolt.LoginOptions{Remember: true}, 0, 3 * day},
		{"browser length lives as long on the server", latchbolt.Config{}, latchbolt.LoginOptions{BrowserLength: true}, 8 * time.Hour, 14 * day},
		{"a lifetime of its own", latchbolt.Config{}, latchbolt.LoginOptions{Lifetime: 5 * time.Minute}, time.Minute, 5 * time.Minute},
		{"a longer lifetime of its own", latchbolt.Config{SessionIdle: -1}, latchbolt.LoginOptions{Lifetime: 40 * day}, 0, 40 * day},
	} {
		for _, off := range []int{0, -1} {
			clock := newTestClock()
			cfg := c.cfg
			cfg.Clock, cfg.CacheSessions, cfg.SweepEvery = clock.now, off, -1
			eng := open(t, &cfg)
			u := addUser(t, eng, "ada")
			s := logIn(t, eng, "ada", c.o)
			start := clock.now()
			at := func(d time.Duration) { clock.advance(start.Add(d).Sub(clock.now())) }
			if c.useEach > 0 {
				for d := c.useEach; d < c.want; d += c.useEach {
					at(d)
					if !alive(t, eng, s.Token) {
						t.Fatalf("%s: dead after %v", c.what, d)
					}
				}
			}
			at(c.want - 5*time.Millisecond)
			// Looking at the list is no use of the session.
			if n := len(sessionsOf(t, eng, u.ID)); n != 1 {
				t.Errorf("%s: %d in the list shortly before %v", c.what, n, c.want)
			}
			at(c.want + time.Millisecond)
			if alive(t, eng, s.Token) {
				t.Errorf("%s: lives after %v", c.what, c.want)
			}
			if n := len(sessionsOf(t, eng, u.ID)); n != 0 {
				t.Errorf("%s: %d in the list after %v", c.what, n, c.want)
			}
			for what, call := range sessionCalls(eng, s.Token) {
				want(t, c.what+": "+what+" of a dead session", call(t.Context()), latchbolt.ErrNoSession)
			}
		}
	}
}

// sessionCalls are the calls that need a living session.
func sessionCalls(eng *latchbolt.Engine, tok latchbolt.Token) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"SessionUser": func(ctx context.Context) error { _, err := eng.SessionUser(ctx, tok); return err },
		"Session":     func(ctx context.Context) error { _, err := eng.Session(ctx, tok); return err },
		"Fresh":       func(ctx context.Context) error { _, err := eng.Fresh(ctx, tok); return err },
		"Renew":       func(ctx context.Context) error { _, err := eng.Renew(ctx, tok); return err },
		"SetExpiry":   func(ctx context.Context) error { _, err := eng.SetExpiry(ctx, tok, time.Hour); return err },
		"Values":      func(ctx context.Context) error { _, err := eng.Values(ctx, tok); return err },
		"UpdateValues": func(ctx context.Context) error {
			_, err := eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return v.Set("x", 1) })
			return err
		},
		"EndOtherSessions": func(ctx context.Context) error { return eng.EndOtherSessions(ctx, tok) },
		"ChangePassword": func(ctx context.Context) error {
			_, err := eng.ChangePassword(ctx, tok, goodPassword, "another fine passphrase")
			return err
		},
	}
}

// A session that is used all the time is written once a minute, and so are many together.
func TestUseOfSessionsIsWrittenOnceAMinute(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		synctest.Test(t, func(t *testing.T) {
			cfg.SweepEvery = -1
			eng := open(t, &cfg)
			addUser(t, eng, "ada")
			var tokens []latchbolt.Token
			for range 20 {
				tokens = append(tokens, login(t, eng, "ada").Token)
			}
			before := commits(t, eng)
			const minutes = 30
			for range minutes * 60 / 2 {
				for _, tok := range tokens[:1+rand.IntN(20)] {
					if !alive(t, eng, tok) {
						t.Fatal("dead")
					}
				}
				time.Sleep(2 * time.Second)
			}
			synctest.Wait()
			// The sessions fall into step or not; each makes at most one write a minute.
			if n := commits(t, eng) - before; n < minutes-2 || n > minutes*60/5 {
				t.Errorf("%d commits in %d minutes", n, minutes)
			}
			one := commits(t, eng)
			for range minutes * 60 {
				alive(t, eng, tokens[0])
				time.Sleep(time.Second)
			}
			synctest.Wait()
			if n := commits(t, eng) - one; n < minutes-2 || n > minutes+2 {
				t.Errorf("%d commits for one session in %d minutes", n, minutes)
			}
			s, err := eng.Session(t.Context(), tokens[0])
			if err != nil || eng.Now().Sub(s.LastSeen) > 61*time.Second {
				t.Errorf("last seen %v ago, %v", eng.Now().Sub(s.LastSeen), err)
			}
			eng = reopen(t, eng, &cfg)
			if s, err := eng.Session(t.Context(), tokens[0]); err != nil || eng.Now().Sub(s.LastSeen) > 61*time.Second {
				t.Errorf("after opening again: last seen %v ago, %v", eng.Now().Sub(s.LastSeen), err)
			}
			must(t, "closing", eng.Close())
		})
	})
}

// TestSetExpiryRemovesWhatItEnds: a session with an end that is past is not kept with that end, behind which a clock could be set back.
func TestSetExpiryRemovesWhatItEnds(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	for _, d := range []time.Duration{0, -time.Nanosecond, -time.Hour} {
		s := login(t, eng, "ada")
		_, err := eng.SetExpiry(t.Context(), s.Token, d)
		must(t, "SetExpiry", err)
		must(t, "looking", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
			if n, err := tx.CountRecords(latchbolt.BucketSession); err != nil || n != 0 {
				t.Errorf("%v: %d sessions are stored, %v", d, n, err)
			}
			return nil
		}))
	}
}

func TestSetExpiry(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		for _, d := range []time.Duration{-time.Hour, 0, time.Minute, 59 * time.Minute, 14 * 24 * time.Hour, 60 * 24 * time.Hour} {
			clock := newTestClock()
			cfg := cfg
			cfg.Clock, cfg.SessionIdle = clock.now, -1
			eng := open(t, &cfg)
			ctx := t.Context()
			addUser(t, eng, "ada")
			s := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: "kitchen"})
			setValue(t, eng, s.Token, "cart", "full")
			alive(t, eng, s.Token)
			after, err := eng.SetExpiry(ctx, s.Token, d)
			must(t, "SetExpiry", err)
			if got := after.Expires.Sub(clock.now()); (got - d).Abs() > time.Millisecond {
				t.Errorf("%v: expires after %v", d, got)
			}
			if after.Token != s.Token && alive(t, eng, s.Token) {
				t.Errorf("%v: there is a new token and the old one lives", d)
			}
			if d <= 0 {
				if alive(t, eng, s.Token) || alive(t, eng, after.Token) {
					t.Errorf("%v: lives on", d)
				}
				continue
			}
			clock.advance(d - time.Millisecond)
			_, err = eng.Sweep(ctx)
			must(t, "sweep", err)
			if !alive(t, eng, after.Token) || value(t, eng, after.Token, "cart") != "full" || after.Name != "kitchen" {
				t.Errorf("%v: dead too early, or something was lost", d)
			}
			clock.advance(2 * time.Millisecond)
			if alive(t, eng, after.Token) {
				t.Errorf("%v: lives too long", d)
			}
		}
	})
}

func TestEndingSessions(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		var loggedOut []latchbolt.UserID
		cfg.Events.UserLoggedOut = func(id latchbolt.UserID) { loggedOut = append(loggedOut, id) }
		eng := open(t, &cfg)
		ctx := t.Context()
		ada := addUser(t, eng, "ada")
		addUser(t, eng, "bob")
		bob := login(t, eng, "bob")
		var ss []latchbolt.Session
		for range 5 {
			ss = append(ss, login(t, eng, "ada"))
		}
		check := func(what string, living ...bool) {
			t.Helper()
			for range 2 {
				for i, s := range ss {
					if got := alive(t, eng, s.Token); got != living[i] {
						t.Errorf("%s: session %d: got %v, want %v", what, i, got, living[i])
					}
				}
			}
			if !alive(t, eng, bob.Token) {
				t.Errorf("%s: another user's session ended", what)
			}
		}
		check("at first", true, true, true, true, true)
		must(t, "logout", eng.Logout(ctx, ss[0].Token))
		check("logout", false, true, true, true, true)
		must(t, "logout again", eng.Logout(ctx, ss[0].Token))
		must(t, "logout of nothing", eng.Logout(ctx, latchbolt.Token{}))
		if want := fmt.Sprint([]latchbolt.UserID{ada.ID, 0, 0}); fmt.Sprint(loggedOut) != want {
			t.Errorf("events: got %v, want %v", loggedOut, want)
		}
		must(t, "end one", eng.EndSession(ctx, ss[1].ID))
		must(t, "end it again", eng.EndSession(ctx, ss[1].ID))
		check("end one", false, false, true, true, true)
		must(t, "name", eng.NameSession(ctx, ss[2].ID, "phone"))
		want(t, "naming one that ended", eng.NameSession(ctx, ss[1].ID, "x"), latchbolt.ErrNoSession)
		if got, err := eng.Session(ctx, ss[2].Token); err != nil || got.Name != "phone" {
			t.Errorf("name: got %q, %v", got.Name, err)
		}
		must(t, "end others", eng.EndOtherSessions(ctx, ss[2].Token))
		check("end others", false, false, true, false, false)
		if list := sessionsOf(t, eng, ada.ID); len(list) != 1 || list[0].ID != ss[2].ID || list[0].Name != "phone" {
			t.Errorf("list: got %+v", list)
		}
		must(t, "end all", eng.EndSessions(ctx, ada.ID))
		check("end all", false, false, false, false, false)
		want(t, "nobody", eng.EndSessions(ctx, 99), latchbolt.ErrNotFound)
		ss = append(ss[:0], login(t, eng, "ada"), login(t, eng, "ada"))
		check("new ones", true, true)
		must(t, "deactivate", eng.UpdateUser(ctx, ada.ID, set(deactivated)))
		check("deactivated", false, false)
		for what, call := range sessionCalls(eng, ss[0].Token) {
			want(t, what+" of an inactive user", call(ctx), latchbolt.ErrNoSession)
		}
		if list := sessionsOf(t, eng, ada.ID); len(list) != 0 {
			t.Errorf("an inactive user has sessions in the list: %+v", list)
		}
		must(t, "delete", eng.DeleteUser(ctx, ada.ID))
		check("deleted", false, false)
		if n := records(t, eng, latchbolt.BucketSession); n != 1 {
			t.Errorf("%d sessions are stored", n)
		}
	})
}

func TestPasswordChangeAndSessions(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		clock := newTestClock()
		cfg.Clock = clock.now
		eng := open(t, &cfg)
		ctx := t.Context()
		u := addUser(t, eng, "ada")
		here, there := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: "here"}), login(t, eng, "ada")
		setValue(t, eng, here.Token, "cart", "full")
		tok, err := eng.ResetToken(ctx, u.ID)
		must(t, "token", err)
		clock.advance(time.Hour)
		const second, third = "another fine passphrase", "a third fine passphrase"
		_, err = eng.ChangePassword(ctx, here.Token, "wrong", second)
		want(t, "a wrong old password", err, latchbolt.ErrCredentials)
		_, err = eng.ChangePassword(ctx, here.Token, goodPassword, "123")
		wantFields(t, "a bad new password", err, "password password_too_short, password password_too_common, password password_entirely_numeric")
		if !alive(t, eng, here.Token) || !alive(t, eng, there.Token) {
			t.Fatal("a refused change ended a session")
		}
		after, err := eng.ChangePassword(ctx, here.Token, goodPassword, second)
		must(t, "change", err)
		if alive(t, eng, here.Token) || alive(t, eng, there.Token) || !alive(t, eng, after.Token) || after.Name != "here" ||
			value(t, eng, after.Token, "cart") != "full" || !after.AuthTime.Equal(eng.Now()) {
			t.Errorf("the wrong sessions live, or something was lost: %+v", after)
		}
		_, err = eng.CheckToken(ctx, latchbolt.PurposeReset, tok)
		want(t, "the reset token", err, latchbolt.ErrToken)
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
		want(t, "the old password", err, latchbolt.ErrCredentials)
		must(t, "set", eng.SetPassword(ctx, u.ID, third))
		if alive(t, eng, after.Token) {
			t.Error("a session survives SetPassword")
		}
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: third})
		must(t, "the new password", err)
		s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
		must(t, "login", err)
		must(t, "the same password again", eng.SetPassword(ctx, u.ID, third))
		if alive(t, eng, s.Token) {
			t.Error("a session survives setting the same password")
		}
		anonymous, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
		must(t, "anonymous", err)
		_, err = eng.ChangePassword(ctx, anonymous.Token, third, second)
		want(t, "an anonymous session", err, latchbolt.ErrNoSession)
	})
}

func TestSessionDiesWithItsBackend(t *testing.T) {
	one := []latchbolt.Backend{latchbolt.PasswordBackend{}}
	two := append(one, latchbolt.RemoteUserBackend{})
	eng := open(t, &latchbolt.Config{Backends: two})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	byPassword := login(t, eng, "ada")
	id, err := eng.Authenticate(ctx, latchbolt.RemoteUser{Username: "ada"})
	must(t, "remote", err)
	byName, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
	must(t, "login", err)
	eng = reopen(t, eng, &latchbolt.Config{Backends: one})
	if !alive(t, eng, byPassword.Token) || alive(t, eng, byName.Token) {
		t.Error("the wrong session died")
	}
	for what, call := range sessionCalls(eng, byName.Token) {
		want(t, what, call(ctx), latchbolt.ErrNoSession)
	}
	if list := sessionsOf(t, eng, u.ID); len(list) != 1 {
		t.Errorf("list: %+v", list)
	}
	eng = reopen(t, eng, &latchbolt.Config{Backends: []latchbolt.Backend{two[1], two[0]}})
	who, err := eng.SessionUser(ctx, byPassword.Token)
	if err != nil || who.Backend() != "password" {
		t.Errorf("backends in another order: %v by %q, %v", who, who.Backend(), err)
	}
}

func TestSessionsOfAnotherEpochAreDead(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	eng = reopen(t, eng, nil)
	if !alive(t, eng, s.Token) {
		t.Fatal("a session does not survive closing")
	}
	must(t, "raise", eng.Update(t.Context(), func(tx *latchbolt.Tx) error { return tx.RaiseEpoch() }))
	eng = reopen(t, eng, nil)
	if alive(t, eng, s.Token) {
		t.Error("lives in the next epoch")
	}
	if s := login(t, eng, "ada"); !alive(t, eng, s.Token) {
		t.Error("a new session is dead")
	}
}

func TestFresh(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, FreshFor: 5 * time.Minute})
	ctx := t.Context()
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	fresh := func(tok latchbolt.Token) bool {
		t.Helper()
		ok, err := eng.Fresh(ctx, tok)
		must(t, "Fresh", err)
		return ok
	}
	clock.advance(5*time.Minute - time.Millisecond)
	if !fresh(s.Token) {
		t.Error("not fresh within the time")
	}
	clock.advance(time.Second)
	renewed, err := eng.Renew(ctx, s.Token)
	must(t, "renew", err)
	if fresh(renewed.Token) {
		t.Error("fresh after the time, or by renewing")
	}
	again := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: renewed.Token})
	if !fresh(again.Token) {
		t.Error("not fresh after the password was given again")
	}
	anonymous, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "anonymous", err)
	if fresh(anonymous.Token) {
		t.Error("an anonymous session is fresh")
	}
}

func TestSessionLimit(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, SessionLimit: 3})
	addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	bob := login(t, eng, "bob")
	var tokens []latchbolt.Token
	for range 5 {
		clock.advance(time.Second)
		tokens = append(tokens, login(t, eng, "ada").Token)
	}
	for i, tok := range tokens {
		if got := alive(t, eng, tok); got != (i >= 2) {
			t.Errorf("session %d: got %v", i, got)
		}
	}
	if !alive(t, eng, bob.Token) {
		t.Error("another user's session went")
	}
	clock.advance(time.Second)
	logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: tokens[4]})
	if !alive(t, eng, tokens[2]) {
		t.Error("a login in place of another ended a third one")
	}
	free := open(t, &latchbolt.Config{SessionLimit: -1})
	addUser(t, free, "ada")
	first := login(t, free, "ada")
	for range 120 {
		login(t, free, "ada")
	}
	if !alive(t, free, first.Token) {
		t.Error("a limit where none was set")
	}
}

// Sessions that are over already make room before those that live.
func TestSessionLimitCountsLivingSessions(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, SessionLimit: 2, SweepEvery: -1})
	addUser(t, eng, "ada")
	remembered := logIn(t, eng, "ada", latchbolt.LoginOptions{Remember: true})
	clock.advance(time.Second)
	logIn(t, eng, "ada", latchbolt.LoginOptions{Lifetime: time.Minute})
	clock.advance(2 * time.Minute)
	login(t, eng, "ada")
	if !alive(t, eng, remembered.Token) {
		t.Error("a living session ended in place of one that was over")
	}
}

// The sweeper removes what is over, and nothing else.
func TestSweepRemovesExactlyWhatExpired(t *testing.T) {
	clock := newTestClock()
	eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, &latchbolt.Config{Clock: clock.now, SweepEvery: -1, SessionIdle: -1, SessionLimit: -1})
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(3, 3))
	var names []string
	for i := range 4 {
		names = append(names, addUser(t, eng, fmt.Sprint("u", i)).Username)
	}
	type known struct {
		tok     latchbolt.Token
		user    latchbolt.UserID
		expires time.Time
	}
	var all []known
	for round := range 25 {
		for range 12 {
			life := time.Duration(rnd.IntN(72*60)+1) * time.Minute
			var s latchbolt.Session
			if rnd.IntN(3) == 0 {
				var err error
				s, err = eng.NewSession(ctx, latchbolt.LoginOptions{Lifetime: life})
				must(t, "anonymous", err)
			} else {
				s = logIn(t, eng, names[rnd.IntN(4)], latchbolt.LoginOptions{Lifetime: life, Name: "x"})
			}
			if rnd.IntN(2) == 0 {
				setValue(t, eng, s.Token, "a", "b")
			}
			if rnd.IntN(4) == 0 {
				var err error
				s, err = eng.SetExpiry(ctx, s.Token, time.Duration(rnd.IntN(72*60)+1)*time.Minute)
				must(t, "SetExpiry", err)
			}
			all = append(all, known{s.Token, s.User, s.Expires})
		}
		clock.advance(time.Duration(rnd.IntN(12*60)) * time.Minute)
		_, err := eng.Sweep(ctx)
		must(t, "sweep", err)
		lists := make(map[latchbolt.UserID]int)
		living := 0
		for i, k := range all {
			want := clock.now().Before(k.expires)
			if got := alive(t, eng, k.tok); got != want {
				t.Fatalf("round %d: session %d: got %v, want %v", round, i, got, want)
			}
			if want {
				living++
				lists[k.user]++
			}
		}
		// What is over goes at the latest an hour after its end; SetExpiry may leave
		// a session filed where it was.
		if n := records(t, eng, latchbolt.BucketSession); n < living {
			t.Fatalf("round %d: %d stored, %d live", round, n, living)
		}
		for id := range latchbolt.UserID(5) {
			if id > 0 && len(sessionsOf(t, eng, id)) != lists[id] {
				t.Fatalf("round %d: user %d has %d in the list, want %d", round, id, len(sessionsOf(t, eng, id)), lists[id])
			}
		}
		verify(t, eng)
	}
	clock.advance(30 * 24 * time.Hour)
	_, err := eng.Sweep(ctx)
	must(t, "sweep", err)
	for _, b := range latchbolt.Buckets {
		if n := records(t, eng, b); strings.HasPrefix(string(b), "session") && n != 0 {
			t.Errorf("%s: %d records are left in the end", b, n)
		}
	}
}

func TestSweeperRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := open(t, nil)
		addUser(t, eng, "ada")
		logIn(t, eng, "ada", latchbolt.LoginOptions{Lifetime: time.Minute})
		kept := logIn(t, eng, "ada", latchbolt.LoginOptions{Remember: true})
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := records(t, eng, latchbolt.BucketSession); n != 1 || !alive(t, eng, kept.Token) {
			t.Errorf("%d sessions are stored", n)
		}
		must(t, "closing", eng.Close())
	})
}

// Nobody outside can make the engine write by sending tokens that it does not know.
func TestUnknownTokensWriteNothing(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		cfg.SweepEvery = -1
		eng := open(t, &cfg)
		ctx := t.Context()
		addUser(t, eng, "ada")
		good := login(t, eng, "ada").Token.Reveal()
		before, err := eng.Stats()
		must(t, "stats", err)
		rnd := rand.New(rand.NewPCG(1, 1))
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for i := range 10_000 {
			b := []byte(good)
			switch i % 3 {
			case 0: // any native token
				for j := range b {
					b[j] = letters[rnd.IntN(64)]
				}
			case 1: // the right selector, another secret
				b[30+rnd.IntN(34)] ^= 1
			case 2: // a key of another system
				b = b[:8+rnd.IntN(33)]
			}
			tok, err := latchbolt.ParseToken(string(b))
			if err != nil {
				continue
			}
			if tok.Reveal() == good {
				continue
			}
			_, err = eng.SessionUser(ctx, tok)
			want(t, "SessionUser", err, latchbolt.ErrNoSession)
			must(t, "Logout", eng.Logout(ctx, tok))
			if i%50 == 0 {
				for what, call := range sessionCalls(eng, tok) {
					want(t, what, call(ctx), latchbolt.ErrNoSession)
				}
			}
		}
		after, err := eng.Stats()
		must(t, "stats", err)
		if after.Commits != before.Commits || after.FileSize != before.FileSize {
			t.Errorf("%d commits, file grew by %d", after.Commits-before.Commits, after.FileSize-before.FileSize)
		}
		if n := records(t, eng, latchbolt.BucketSession); n != 1 {
			t.Errorf("%d sessions are stored", n)
		}
	})
}

// TestCVE_2026_27840: only the whole token in its one spelling is good.
func TestCVE_2026_27840(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		eng := open(t, &cfg)
		ctx := t.Context()
		addUser(t, eng, "ada")
		s := login(t, eng, "ada")
		if !alive(t, eng, s.Token) {
			t.Fatal("dead")
		}
		good := s.Token.Reveal()
		try := func(what, text string) {
			t.Helper()
			if text == good {
				return
			}
			tok, err := latchbolt.ParseToken(text)
			if err != nil {
				want(t, what, err, latchbolt.ErrNoSession)
				if !tok.IsZero() {
					t.Errorf("%s: a token beside an error", what)
				}
				return
			}
			if _, err := eng.SessionUser(ctx, tok); !errors.Is(err, latchbolt.ErrNoSession) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		for n := range len(good) {
			try(fmt.Sprint("the first ", n, " characters"), good[:n])
			try(fmt.Sprint("without the first ", n+1), good[n+1:])
			for _, c := range "A_=. \n\x00%é" {
				try(fmt.Sprintf("%q at %d", c, n), good[:n]+string(c)+good[n+1:])
				try(fmt.Sprintf("%q before %d", c, n), good[:n]+string(c)+good[n:])
			}
			b := []byte(good)
			b[n] ^= 0x20 // the other case of a letter
			try(fmt.Sprint("the other case at ", n), string(b))
		}
		for what, text := range map[string]string{
			"upper case": strings.ToUpper(good), "lower case": strings.ToLower(good), "padding": good + "=", "twice": good + good,
			"standard base64": strings.NewReplacer("-", "+", "_", "/").Replace(good + "+"), "zeros": strings.Repeat("A", 64), "a space behind": good + " ",
			"a line break": good + "\n", "quotes": `"` + good + `"`, "the identifier": s.ID.String(), "a path": "../../etc/passwd", "nothing": "", "one space": " ", "zero": "0",
			"300 characters": strings.Repeat("x", 300), "redacted": fmt.Sprint(s.Token),
		} {
			try(what, text)
		}
		if alive(t, eng, latchbolt.Token{}) {
			t.Error("the zero token is good")
		}
		if !alive(t, eng, s.Token) {
			t.Error("the session did not survive")
		}
	})
}

func TestTokensAreNotStored(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	r, err := eng.ResetToken(t.Context(), u.ID)
	must(t, "token", err)
	must(t, "closing", eng.Close())
	file := readFile(t, eng.Path())
	for what, secret := range map[string][]byte{"session token": rawSecret(t, s.Token), "reset token": rawSecret(t, r), "password": []byte(goodPassword)} {
		if strings.Contains(file, string(secret)) {
			t.Errorf("the file holds the %s", what)
		}
	}
}

func TestBroughtSessions(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		eng := open(t, &cfg)
		ctx := t.Context()
		u := addUser(t, eng, "ada")
		bring := func(key string) latchbolt.Token {
			t.Helper()
			must(t, "bringing", eng.Update(ctx, func(tx *latchbolt.Tx) error {
				return tx.InsertSession(key, latchbolt.BroughtSession{User: u.ID, Backend: "password", Expires: tx.Now().Add(time.Hour)})
			}))
			tok, err := latchbolt.ParseToken(key)
			must(t, "parsing", err)
			return tok
		}
		for what, end := range map[string]func(latchbolt.Token) error{
			"logout": func(tok latchbolt.Token) error { return eng.Logout(ctx, tok) },
			"renew":  func(tok latchbolt.Token) error { _, err := eng.Renew(ctx, tok); return err },
			"login": func(tok latchbolt.Token) error {
				s := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: tok})
				if value(t, eng, s.Token, "cart") != "full" {
					t.Error("values of a brought session were lost")
				}
				return nil
			},
			"end it": func(tok latchbolt.Token) error {
				s, err := eng.Session(ctx, tok)
				must(t, "session", err)
				return eng.EndSession(ctx, s.ID)
			},
			"end all":      func(latchbolt.Token) error { return eng.EndSessions(ctx, u.ID) },
			"set password": func(latchbolt.Token) error { return eng.SetPassword(ctx, u.ID, goodPassword) },
		} {
			key := strings.ReplaceAll("key-of-"+what, " ", "-")
			tok := bring(key)
			for range 2 {
				id, err := eng.SessionUser(ctx, tok)
				if err != nil || id.ID() != u.ID {
					t.Fatalf("%s: got %v, %v", what, id, err)
				}
			}
			if tok.Reveal() != "" {
				t.Errorf("a brought key is revealed: %q", tok.Reveal())
			}
			setValue(t, eng, tok, "cart", "full")
			for _, near := range []string{key + "x", key[1:] + "x", strings.ToUpper(key)} {
				if other, err := latchbolt.ParseToken(near); err == nil && alive(t, eng, other) {
					t.Errorf("%q is as good as %q", near, key)
				}
			}
			must(t, what, end(tok))
			if alive(t, eng, tok) {
				t.Errorf("%s: the key lives", what)
			}
		}
	})
}

func TestSweepRemovesKeysOfBroughtSessions(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, SweepEvery: -1})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	must(t, "bringing", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		for i := range 150 {
			b := latchbolt.BroughtSession{User: u.ID, Backend: "password", Expires: tx.Now().Add(time.Hour)}
			if i == 0 {
				b.Expires = tx.Now().Add(1000 * time.Hour)
			}
			if err := tx.InsertSession(fmt.Sprint("session-key-", i), b); err != nil {
				return err
			}
		}
		return nil
	}))
	clock.advance(10 * time.Hour)
	r, err := eng.Sweep(ctx)
	if err != nil || r.Brought != 149 {
		t.Errorf("sweep: %+v, %v", r, err)
	}
	kept, err := latchbolt.ParseToken("session-key-0")
	must(t, "parsing", err)
	if !alive(t, eng, kept) || records(t, eng, latchbolt.BucketSession) != 1 {
		t.Error("the wrong sessions went")
	}
}
