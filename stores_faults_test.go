package latchbolt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// What a store keeps proves nothing to who reads it.
func TestStoresKeepNoSecret(t *testing.T) {
	for _, c := range storeCases {
		if !c.raw {
			continue
		}
		store := c.make(t)
		eng := open(t, &latchbolt.Config{Sessions: store})
		addUser(t, eng, "ada")
		s := login(t, eng, "ada")
		raw, err := base64.RawURLEncoding.DecodeString(s.Token.Reveal())
		must(t, "decoding a token", err)
		data, err := store.Load(t.Context(), s.ID)
		must(t, "loading", err)
		if len(data) == 0 || bytes.Contains(data, raw[16:]) || bytes.Contains(data, []byte(s.Token.Reveal()[22:])) {
			t.Errorf("%s: the secret half of the token is in what is stored", c.name)
		}
	}
}

// Sweeping removes what is over, by lifetime or idleness, and leaves the rest.
func TestStoresSweep(t *testing.T) {
	for _, c := range storeCases {
		if !c.raw {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			clock := newTestClock()
			store := c.make(t)
			eng := open(t, &latchbolt.Config{Sessions: store, Clock: clock.now, SessionIdle: time.Hour, SweepEvery: -1})
			addUser(t, eng, "ada")
			idle := login(t, eng, "ada")
			short := logIn(t, eng, "ada", latchbolt.LoginOptions{Lifetime: 30 * time.Minute})
			remembered := logIn(t, eng, "ada", latchbolt.LoginOptions{Remember: true})
			anon, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
			must(t, "NewSession", err)
			clock.advance(50 * time.Minute)
			busy := anon
			if !alive(t, eng, busy.Token) {
				t.Fatal("the anonymous session ended early")
			}
			clock.advance(50 * time.Minute)
			r, err := eng.Sweep(t.Context())
			must(t, "sweeping", err)
			if r.Other != 2 || stored(t, store) != 2 {
				t.Errorf("swept %d, left %d; want 2 and 2", r.Other, stored(t, store))
			}
			if !alive(t, eng, busy.Token) || !alive(t, eng, remembered.Token) || alive(t, eng, idle.Token) || alive(t, eng, short.Token) {
				t.Error("the wrong ones were swept")
			}
			clock.advance(60 * 24 * time.Hour)
			_, err = eng.Sweep(t.Context())
			must(t, "sweeping", err)
			if stored(t, store) != 0 {
				t.Errorf("%d sessions outlived everything", stored(t, store))
			}
		})
	}
}

// CVE-2020-15223: whoever revokes is told, and the session is refused all the same.
func TestStoreThatFails(t *testing.T) {
	ctx := t.Context()
	broken := errors.New("the disk is on fire")
	store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
	eng := open(t, &latchbolt.Config{Sessions: store})
	u := addUser(t, eng, "ada")
	for what, end := range map[string]func(latchbolt.Session) error{
		"Logout":     func(s latchbolt.Session) error { return eng.Logout(ctx, s.Token) },
		"EndSession": func(s latchbolt.Session) error { return eng.EndSession(ctx, s.ID) },
		"EndOtherSessions": func(latchbolt.Session) error {
			here := login(t, eng, "ada")
			defer store.fail(nil, broken)
			store.fail(nil, broken)
			return eng.EndOtherSessions(ctx, here.Token)
		},
		"SetExpiry": func(s latchbolt.Session) error { _, err := eng.SetExpiry(ctx, s.Token, 0); return err },
	} {
		s := login(t, eng, "ada")
		if what != "EndOtherSessions" {
			store.fail(nil, broken)
		}
		err := end(s)
		want(t, what, err, broken)
		if alive(t, eng, s.Token) {
			t.Errorf("%s: the session is alive although it was ended", what)
		}
		store.fail(nil, nil)
		must(t, "again: "+what, eng.EndSession(ctx, s.ID))
	}
	s := login(t, eng, "ada")
	had := stored(t, store)
	store.fail(nil, broken)
	_, err := eng.Renew(ctx, s.Token)
	want(t, "Renew", err, broken)
	_, err = eng.Login(ctx, authenticate(t, eng, "ada"), latchbolt.LoginOptions{Previous: s.Token})
	want(t, "Login", err, broken)
	store.fail(broken, nil)
	_, err = eng.Renew(ctx, s.Token)
	want(t, "Renew", err, broken)
	_, err = eng.Login(ctx, authenticate(t, eng, "ada"), latchbolt.LoginOptions{Previous: s.Token})
	want(t, "Login", err, broken)
	_, err = eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error { return v.Set("n", 1) })
	want(t, "UpdateValues", err, broken)
	store.fail(nil, nil)
	if !alive(t, eng, s.Token) || numberIn(t, eng, s.Token, "n") != 0 {
		t.Error("what failed changed something")
	}
	// The two that could not be withdrawn have tokens that nobody has.
	if n := stored(t, store); n > had+2 {
		t.Errorf("%d sessions are stored, there were %d", n, had)
	}
	store.fail(nil, broken)
	must(t, "EndSessions", eng.EndSessions(ctx, u.ID))
	store.loading.Store(&broken)
	_, err = eng.SessionUser(ctx, s.Token)
	want(t, "an outage is not an anonymous visitor", err, broken)
	store.loading.Store(nil)
	store.fail(nil, nil)
	deadToken(t, eng, s.Token)
}

// A faultySessions fails when it is told to.
type faultySessions struct {
	latchbolt.SessionStore
	saving, deleting, loading atomic.Pointer[error]
	saves                     atomic.Int64
	loaded                    atomic.Pointer[func()] // called once, between reading and answering
}

func (f *faultySessions) fail(saving, deleting error) {
	f.saving.Store(nil)
	f.deleting.Store(nil)
	if saving != nil {
		f.saving.Store(&saving)
	}
	if deleting != nil {
		f.deleting.Store(&deleting)
	}
}

func (f *faultySessions) Load(ctx context.Context, id latchbolt.SessionID) ([]byte, error) {
	if err := f.loading.Load(); err != nil {
		return nil, *err
	}
	data, err := f.SessionStore.Load(ctx, id)
	if fn := f.loaded.Swap(nil); fn != nil {
		(*fn)()
	}
	return data, err
}

func (f *faultySessions) Save(ctx context.Context, id latchbolt.SessionID, data []byte, expires time.Time) error {
	f.saves.Add(1)
	if err := f.saving.Load(); err != nil {
		return *err
	}
	return f.SessionStore.Save(ctx, id, data, expires)
}

func (f *faultySessions) Delete(ctx context.Context, id latchbolt.SessionID) error {
	if err := f.deleting.Load(); err != nil {
		return *err
	}
	return f.SessionStore.Delete(ctx, id)
}

// The last use of a session is written once a minute at most, and not lost by closing.
func TestStoreWritesUseOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
		cfg := &latchbolt.Config{Sessions: store, SessionIdle: time.Hour}
		eng := open(t, cfg)
		addUser(t, eng, "ada")
		s := login(t, eng, "ada")
		before := store.saves.Load()
		for range 600 {
			time.Sleep(time.Second)
			if !alive(t, eng, s.Token) {
				t.Fatal("dead")
			}
		}
		if got := store.saves.Load() - before; got < 8 || got > 10 {
			t.Errorf("ten minutes of use made %d writes, want one a minute", got)
		}
		time.Sleep(59 * time.Minute)
		if !alive(t, eng, s.Token) {
			t.Fatal("dead before its time")
		}
		eng = reopen(t, eng, cfg)
		time.Sleep(59 * time.Minute)
		if !alive(t, eng, s.Token) {
			t.Error("the last use was not written at the end")
		}
	})
}

// Memory forgets with the store.
func TestMemorySessionsForget(t *testing.T) {
	eng := open(t, &latchbolt.Config{Sessions: latchbolt.MemorySessions()})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	eng = reopen(t, eng, &latchbolt.Config{Sessions: latchbolt.MemorySessions()})
	deadToken(t, eng, s.Token)
}

func BenchmarkStores(b *testing.B) {
	for _, c := range storeCases {
		b.Run(c.name, func(b *testing.B) {
			eng := open(b, &latchbolt.Config{Sessions: c.make(b)})
			addUser(b, eng, "ada")
			s := login(b, eng, "ada")
			b.Run("SessionUser", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := eng.SessionUser(b.Context(), s.Token); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// What is stored and what is in memory are looked at as of one moment: a use that is written
// while a request is between the two is not overlooked.
func TestStoreUseWrittenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
		eng := open(t, &latchbolt.Config{Sessions: store, SessionIdle: time.Hour})
		addUser(t, eng, "ada")
		s := login(t, eng, "ada")
		time.Sleep(time.Hour - 2*time.Second)
		if !alive(t, eng, s.Token) {
			t.Fatal("dead before its time")
		}
		time.Sleep(3 * time.Second)
		saves := store.saves.Load()
		between := func() { time.Sleep(5 * time.Second) }
		store.loaded.Store(&between)
		if !alive(t, eng, s.Token) {
			t.Error("a session in use ended")
		}
		if store.saves.Load() == saves {
			t.Error("its use was not written meanwhile: this shows nothing")
		}
	})
}

// What happens between reading and writing counts.
func TestStoreChangesMeanwhile(t *testing.T) {
	store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	// A change that comes between reading and writing the values is not lost.
	s := login(t, eng, "ada")
	between := func() { keepNumber(t, eng, s.Token, "other", 1) }
	store.loaded.Store(&between)
	keepNumber(t, eng, s.Token, "n", 1)
	if numberIn(t, eng, s.Token, "n") != 1 || numberIn(t, eng, s.Token, "other") != 1 {
		t.Error("an update was lost")
	}
}

// No request that begins after a logout finds the session, from the cache or from the store.
func TestStoreLogoutRace(t *testing.T) {
	ctx := t.Context()
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: c.make(t)})
			addUser(t, eng, "ada")
			id := authenticate(t, eng, "ada")
			for range testsize.Of(30, 100) {
				s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
				must(t, "login", err)
				var ended atomic.Bool
				errs := parallel(4, func(i int) error {
					if i == 0 {
						defer ended.Store(true)
						return eng.Logout(ctx, s.Token)
					}
					for range 200 {
						before := ended.Load()
						if _, err := eng.SessionUser(ctx, s.Token); before && err == nil {
							return errors.New("a session was found after its end")
						}
						if before {
							break
						}
					}
					return nil
				})
				must(t, "racing", errors.Join(errs...))
				if alive(t, eng, s.Token) {
					t.Fatal("alive after its end")
				}
			}
		})
	}
}

// Who logs out while the password is being changed is logged out.
func TestStoreLogoutDuringChangePassword(t *testing.T) {
	ctx := t.Context()
	for _, c := range storeCases[1:] {
		var eng *latchbolt.Engine
		var s latchbolt.Session
		cfg := &latchbolt.Config{Sessions: c.make(t)}
		cfg.Events.Changed = func(ch latchbolt.Change) {
			if ch.Kind == latchbolt.ChangePassword && !s.Token.IsZero() {
				must(t, "Logout", eng.Logout(ctx, s.Token))
			}
		}
		eng = open(t, cfg)
		addUser(t, eng, "ada")
		s = login(t, eng, "ada")
		n, err := eng.ChangePassword(ctx, s.Token, goodPassword, "another good long password")
		must(t, c.name, err)
		deadToken(t, eng, n.Token)
		deadToken(t, eng, s.Token)
	}
}
