package latchbolt_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// TestTokensAreRandomInEveryByte: no byte of the secret half, nor of the random end of the selector, is the same in all tokens.
func TestTokensAreRandomInEveryByte(t *testing.T) {
	eng := openOn(t, newFaultStore(), nil)
	const n = 48
	var seen [48]map[byte]bool
	for i := range seen {
		seen[i] = make(map[byte]bool)
	}
	for range n {
		s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
		must(t, "beginning a session", err)
		raw, err := base64.RawURLEncoding.DecodeString(s.Token.Reveal())
		if err != nil || len(raw) != len(seen) {
			t.Fatalf("a token of %d bytes, %v", len(raw), err)
		}
		if string(raw[:16]) != string(s.ID[:]) {
			t.Fatal("the first half of the token is not the session's identifier")
		}
		for i, b := range raw {
			seen[i][b] = true
		}
	}
	for i := 10; i < len(seen); i++ {
		if got := len(seen[i]); got < n/2 {
			t.Errorf("byte %d has only %d values in %d tokens", i, got, n)
		}
	}
}

// TestSessionsAreAnsweredFromMemory: once asked, a session is answered without the store, whatever it is of.
func TestSessionsAreAnsweredFromMemory(t *testing.T) {
	clock := newTestClock()
	store := newFaultStore()
	eng := openOn(t, store, &latchbolt.Config{Clock: clock.now, SweepEvery: -1})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	own := login(t, eng, "ada").Token
	anonymous, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "beginning a session", err)
	must(t, "bringing", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return tx.InsertSession(djangoKey, latchbolt.BroughtSession{User: u.ID, Backend: "password", Expires: tx.Now().Add(time.Hour)})
	}))
	brought, err := latchbolt.ParseToken(djangoKey)
	must(t, "parsing", err)
	down := errors.New("the store is down")
	for what, tok := range map[string]latchbolt.Token{"own": own, "anonymous": anonymous.Token, "brought": brought} {
		first, err := eng.SessionUser(ctx, tok)
		must(t, what, err)
		store.unreadable(down)
		for range 3 {
			again, err := eng.SessionUser(ctx, tok)
			if err != nil || again != first {
				t.Errorf("%s: from memory it is %v, %v; it was %v", what, again, err, first)
			}
		}
		clock.advance(19 * time.Second) // for the last of the three less than a minute: a use that is noted is read anew
		if _, err := eng.SessionUser(ctx, tok); err != nil {
			t.Errorf("%s, less than a minute later: %v", what, err)
		}
		store.unreadable(nil)
	}
	// What is not in memory is an outage and not the end of a session.
	other := login(t, eng, "ada").Token
	store.unreadable(down)
	_, err = eng.SessionUser(ctx, other)
	want(t, "a session that is not in memory", err, down)
	store.unreadable(nil)
}

// TestAnonymousSessionsLiveByUse: asking for an anonymous session keeps it from being idle, as with any other.
func TestAnonymousSessionsLiveByUse(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		clock := newTestClock()
		cfg.Clock, cfg.SweepEvery, cfg.SessionIdle = clock.now, -1, 10*time.Minute
		eng := openOn(t, newFaultStore(), &cfg)
		s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
		must(t, "beginning a session", err)
		for i := range 8 {
			clock.advance(6 * time.Minute)
			if !alive(t, eng, s.Token) {
				t.Fatalf("idle after use number %d", i)
			}
		}
		clock.advance(10 * time.Minute)
		if alive(t, eng, s.Token) {
			t.Error("it is not idle after ten minutes")
		}
	})
}

// TestLoginOptionsAreKept: each option does what it says and nothing else.
func TestLoginOptionsAreKept(t *testing.T) {
	clock := newTestClock()
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Clock: clock.now, SweepEvery: -1, SessionLifetime: 5 * time.Hour, SessionIdle: time.Hour, RememberLifetime: 50 * time.Hour})
	addUser(t, eng, "ada")
	for what, c := range map[string]struct {
		o                latchbolt.LoginOptions
		life, idle       time.Duration
		remember, window bool
	}{
		"nothing":           {latchbolt.LoginOptions{}, 5 * time.Hour, time.Hour, false, false},
		"remember":          {latchbolt.LoginOptions{Remember: true}, 50 * time.Hour, 0, true, false},
		"browser length":    {latchbolt.LoginOptions{BrowserLength: true}, 5 * time.Hour, time.Hour, false, true},
		"both":              {latchbolt.LoginOptions{BrowserLength: true, Remember: true}, 50 * time.Hour, 0, true, true},
		"a lifetime":        {latchbolt.LoginOptions{Lifetime: 7 * time.Hour}, 7 * time.Hour, time.Hour, false, false},
		"the shortest":      {latchbolt.LoginOptions{Lifetime: 1000}, time.Microsecond, time.Hour, false, false},
		"lifetime and more": {latchbolt.LoginOptions{Lifetime: 7 * time.Hour, Remember: true}, 7 * time.Hour, 0, true, false},
		"negative":          {latchbolt.LoginOptions{Lifetime: -1}, 5 * time.Hour, time.Hour, false, false},
	} {
		s := logIn(t, eng, "ada", c.o)
		for _, s := range []latchbolt.Session{s, stay(t, eng, s)} {
			if got := s.Expires.Sub(s.Created); got != c.life || s.IdleFor != c.idle || s.Remember != c.remember || s.BrowserLength != c.window {
				t.Errorf("%s: lives %v, idle %v, remember %v, browser length %v", what, got, s.IdleFor, s.Remember, s.BrowserLength)
			}
		}
	}
}

// stay is a session as it is stored, or as it was if that is over already.
func stay(t *testing.T, eng *latchbolt.Engine, s latchbolt.Session) latchbolt.Session {
	t.Helper()
	stored, err := eng.Session(context.WithoutCancel(t.Context()), s.Token)
	must(t, "session", err)
	return stored
}

// TestNewSessionsAreMerged: what is filed as new is moved where it stays as soon as there are so many and nobody writes, and not before.
func TestNewSessionsAreMerged(t *testing.T) {
	store := newFaultStore()
	eng := openOn(t, store, &latchbolt.Config{SweepEvery: -1, SessionLimit: -1})
	addUser(t, eng, "ada")
	id := authenticate(t, eng, "ada")
	const mergeIdle = 64
	for i := 1; i <= mergeIdle; i++ {
		if _, err := eng.Login(t.Context(), id, latchbolt.LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		if i < mergeIdle-1 {
			continue
		}
		eng.Settle(t.Context())
		if got := records(t, eng, "session.new"); i < mergeIdle && got != i || i == mergeIdle && got != 0 {
			t.Errorf("after %d logins %d sessions are filed as new", i, got)
		}
		if got := len(sessionsOf(t, eng, 1)); got != i {
			t.Errorf("%d of %d sessions are listed", got, i)
		}
	}
}

// TestPasswordChangesLeaveNoTokens: the one-time tokens of a user are not only void but gone when all its sessions end.
func TestPasswordChangesLeaveNoTokens(t *testing.T) {
	for what, end := range map[string]func(context.Context, *latchbolt.Engine, latchbolt.UserID) error{
		"EndSessions": func(ctx context.Context, eng *latchbolt.Engine, id latchbolt.UserID) error {
			return eng.EndSessions(ctx, id)
		},
		"SetPassword": func(ctx context.Context, eng *latchbolt.Engine, id latchbolt.UserID) error {
			return eng.SetPassword(ctx, id, goodPassword)
		},
	} {
		eng := openOn(t, newFaultStore(), nil)
		u := addUser(t, eng, "ada")
		other := addUser(t, eng, "bob")
		issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "a"})
		issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "b"})
		kept := issue(t, eng, latchbolt.OneTimeRequest{User: other.ID, Purpose: "a"})
		login(t, eng, "ada")
		must(t, what, end(t.Context(), eng, u.ID))
		for _, b := range []string{"token", "token.user"} {
			if got := records(t, eng, kv.Bucket(b)); got != 1 {
				t.Errorf("%s: %d records of %s are left, want 1 of the other user", what, got, b)
			}
		}
		if _, err := eng.CheckToken(t.Context(), "a", kept); err != nil {
			t.Errorf("%s: the other user's token: %v", what, err)
		}
	}
}

// TestTheOldestSessionsMakeRoom: within the limit, and not a session earlier.
func TestTheOldestSessionsMakeRoom(t *testing.T) {
	clock := newTestClock()
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Clock: clock.now, SweepEvery: -1, SessionLimit: 2})
	addUser(t, eng, "ada")
	var all []latchbolt.Token
	for n := range 4 {
		all = append(all, login(t, eng, "ada").Token)
		clock.advance(time.Second)
		for i, tok := range all {
			if got, want := alive(t, eng, tok), i > n-2; got != want {
				t.Errorf("after %d logins session %d lives: %v", n+1, i+1, got)
			}
		}
	}
}
