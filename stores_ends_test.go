package latchbolt_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A renewingSessions calls a function once, before it deletes something.
type renewingSessions struct {
	latchbolt.SessionStore
	before atomic.Pointer[func(latchbolt.SessionID)]
}

func (r *renewingSessions) Delete(ctx context.Context, id latchbolt.SessionID) error {
	if fn := r.before.Swap(nil); fn != nil {
		(*fn)(id)
	}
	return r.SessionStore.Delete(ctx, id)
}

// Whoever gets a new token while all other sessions of a user are ended is one of the others all the same.
func TestEndOtherSessionsDuringRenewal(t *testing.T) {
	store := &renewingSessions{SessionStore: latchbolt.MemorySessions()}
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	ctx := t.Context()
	var all []latchbolt.Session // whose changes do not wait for each other
	for used := make(map[byte]bool); len(all) < 4; {
		if s := logIn(t, eng, "ada", latchbolt.LoginOptions{}); !used[s.ID[15]] {
			used[s.ID[15]] = true
			all = append(all, s)
		}
	}
	own, others := all[0], all[1:]
	fn := func(ending latchbolt.SessionID) {
		for i, s := range others {
			if s.ID == ending {
				continue
			}
			var err error
			others[i], err = eng.Renew(ctx, s.Token)
			must(t, "renewing another session", err)
		}
	}
	store.before.Store(&fn)
	must(t, "EndOtherSessions", eng.EndOtherSessions(ctx, own.Token))
	if store.before.Load() != nil {
		t.Fatal("nothing was renewed meanwhile")
	}
	for _, s := range others {
		deadToken(t, eng, s.Token)
	}
	if !alive(t, eng, own.Token) {
		t.Error("the own session ended")
	}
}

// A session that got a new token while the others were ended is not one of them.
func TestEndOtherSessionsDuringOwnRenewal(t *testing.T) {
	store := &renewingSessions{SessionStore: latchbolt.MemorySessions()}
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	own, other := logIn(t, eng, "ada", latchbolt.LoginOptions{}), logIn(t, eng, "ada", latchbolt.LoginOptions{})
	for other.ID[15] == own.ID[15] { // the change of one would wait for the other's
		other = logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: other.Token})
	}
	renewed, late := own, other
	fn := func(latchbolt.SessionID) {
		var err error
		renewed, err = eng.Renew(t.Context(), own.Token)
		must(t, "renewing the own session", err)
		late = logIn(t, eng, "ada", latchbolt.LoginOptions{})
	}
	store.before.Store(&fn)
	must(t, "EndOtherSessions", eng.EndOtherSessions(t.Context(), own.Token))
	deadToken(t, eng, other.Token)
	deadToken(t, eng, own.Token)
	for what, s := range map[string]latchbolt.Session{"the own session": renewed, "a session that began meanwhile": late} {
		if !alive(t, eng, s.Token) {
			t.Errorf("%s ended", what)
		}
	}
}

// A session that is ended while its user changes the password does not go on, also if its end cannot be written.
func TestLogoutDuringChangeOfPassword(t *testing.T) {
	for what, deleting := range map[string]error{"written": nil, "in memory": errors.New("the store is down")} {
		t.Run(what, func(t *testing.T) {
			store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
			var eng *latchbolt.Engine
			var s latchbolt.Session
			changed := func(c latchbolt.Change) {
				if c.Kind != latchbolt.ChangePassword {
					return
				}
				store.fail(nil, deleting)
				if err := eng.Logout(context.Background(), s.Token); !errors.Is(err, deleting) {
					t.Errorf("Logout: %v", err)
				}
				store.fail(nil, nil)
			}
			eng = open(t, &latchbolt.Config{Sessions: store, Events: latchbolt.Events{Changed: changed}})
			addUser(t, eng, "ada")
			s = logIn(t, eng, "ada", latchbolt.LoginOptions{})
			after, err := eng.ChangePassword(t.Context(), s.Token, goodPassword, goodPassword+"2")
			must(t, "ChangePassword", err)
			for which, tok := range map[string]latchbolt.Token{"old": s.Token, "new": after.Token} {
				if alive(t, eng, tok) {
					t.Errorf("the %s token is good", which)
				}
			}
		})
	}
}

// Of sessions that began at the same time by the clock, the newest is not the one that is too many.
func TestStoreLimitAtOneTime(t *testing.T) {
	for _, c := range storeCases {
		if !c.single {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: c.make(t), SessionLimit: 1, Clock: newTestClock().now})
			addUser(t, eng, "ada")
			for range 10 {
				if s := logIn(t, eng, "ada", latchbolt.LoginOptions{}); !alive(t, eng, s.Token) {
					t.Fatal("the token of a login is dead at once")
				}
			}
		})
	}
}

// A lifetime for ever ends with the time that can be counted, and is no end that is past.
func TestStoreLifetimeForEver(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: c.make(t), SessionLimit: 2, SessionIdle: -1})
			addUser(t, eng, "ada")
			for i := range 4 {
				s := logIn(t, eng, "ada", latchbolt.LoginOptions{Lifetime: longest})
				if i%2 == 1 {
					s = logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: s.Token})
					var err error
					s, err = eng.SetExpiry(t.Context(), s.Token, longest)
					must(t, "SetExpiry", err)
				}
				_, err := eng.Sweep(t.Context())
				must(t, "sweeping", err)
				if !alive(t, eng, s.Token) {
					t.Errorf("login %d is dead", i+1)
				}
				if s.Expires.UnixNano() < time.Now().UnixNano() {
					t.Errorf("it ends in the year %d", s.Expires.Year())
				}
			}
		})
	}
}
