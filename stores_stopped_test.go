package latchbolt_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A jumpingClock stands still, and goes on by a long time when it was read a number of times.
type jumpingClock struct {
	mu    sync.Mutex // guards all below
	at    time.Time
	after int // readings until it jumps; 0: it does not
}

const clockJump = 8 * time.Hour

func (c *jumpingClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	if c.after > 0 {
		if c.after--; c.after == 0 {
			c.at = at.Add(clockJump)
		}
	}
	return at
}

// jump lets it go on by d now, and by a long time after n readings. It makes the jump before now if that is still to come, and reports that.
func (c *jumpingClock) jump(n int, d time.Duration) (pending bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pending = c.after > 0; pending {
		c.at = c.at.Add(clockJump)
	}
	c.after, c.at = n, c.at.Add(d)
	return pending
}

// No call brings a session back whose time was over before it was done, wherever in the call the process was stopped for hours.
func TestStoreCallsStopped(t *testing.T) {
	calls := map[string]func(*latchbolt.Engine, latchbolt.Token) (latchbolt.Token, error){
		"SessionUser": func(e *latchbolt.Engine, tok latchbolt.Token) (latchbolt.Token, error) {
			_, err := e.SessionUser(context.Background(), tok)
			return tok, err
		},
		"Renew": func(e *latchbolt.Engine, tok latchbolt.Token) (latchbolt.Token, error) {
			s, err := e.Renew(context.Background(), tok)
			return s.Token, err
		},
		"SetExpiry": func(e *latchbolt.Engine, tok latchbolt.Token) (latchbolt.Token, error) {
			s, err := e.SetExpiry(context.Background(), tok, time.Hour)
			return s.Token, err
		},
		"UpdateValues": func(e *latchbolt.Engine, tok latchbolt.Token) (latchbolt.Token, error) {
			return e.UpdateValues(context.Background(), tok, func(v *latchbolt.Values) error { return v.Set("a", 1) })
		},
		"ChangePassword": func(e *latchbolt.Engine, tok latchbolt.Token) (latchbolt.Token, error) {
			s, err := e.ChangePassword(context.Background(), tok, goodPassword, goodPassword)
			return s.Token, err
		},
	}
	limits := map[string]latchbolt.Config{
		"idle":     {SessionIdle: 30 * time.Minute, SessionLifetime: 1000 * time.Hour},
		"lifetime": {SessionIdle: -1, SessionLifetime: 30 * time.Minute},
	}
	for _, c := range storeCases {
		for limit, cfg := range limits {
			for what, call := range calls {
				t.Run(c.name+"/"+limit+"/"+what, func(t *testing.T) {
					clock := &jumpingClock{at: time.Now().Add(time.Minute)}
					cfg.Sessions, cfg.Clock, cfg.SweepEvery = c.make(t), clock.now, -1
					eng := openOn(t, newFaultStore(), &cfg)
					addUser(t, eng, "ada")
					for n := 1; ; n++ {
						if n > 200 {
							t.Fatal("the call reads the clock without end")
						}
						s := logIn(t, eng, "ada", latchbolt.LoginOptions{})
						clock.jump(n, 2*time.Minute) // so that its use is to be noted
						tok, err := call(eng, s.Token)
						done := clock.jump(0, 0)
						if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
							t.Errorf("stopped after reading %d of the clock: %v", n, err)
						}
						for which, tok := range map[string]latchbolt.Token{"new": tok, "old": s.Token} {
							if alive(t, eng, tok) {
								t.Errorf("stopped after reading %d of the clock: the %s token is good", n, which)
							}
						}
						if done {
							break
						}
					}
				})
			}
		}
	}
}

// A session whose last use is written to its store while it is looked at is alive for whoever looks.
func TestStoreUseWrittenWhileLookedAt(t *testing.T) {
	looks := map[string]func(*latchbolt.Engine, latchbolt.Session) error{
		"SessionUser": func(e *latchbolt.Engine, s latchbolt.Session) error {
			_, err := e.SessionUser(context.Background(), s.Token)
			return err
		},
		"SessionByID": func(e *latchbolt.Engine, s latchbolt.Session) error {
			_, err := e.SessionByID(context.Background(), s.ID)
			return err
		},
		"Sessions": func(e *latchbolt.Engine, s latchbolt.Session) error {
			for got, err := range e.Sessions(context.Background(), s.User) {
				if err != nil || got.ID == s.ID {
					return err
				}
			}
			return latchbolt.ErrNoSession
		},
	}
	for what, look := range looks {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &faultySessions{SessionStore: latchbolt.MemorySessions()}
				eng := open(t, &latchbolt.Config{Sessions: store, SessionIdle: 30 * time.Minute, SweepEvery: -1})
				addUser(t, eng, "ada")
				s := logIn(t, eng, "ada", latchbolt.LoginOptions{})
				time.Sleep(29 * time.Minute)
				if !alive(t, eng, s.Token) {
					t.Fatal("dead before its time")
				}
				fn := func() { time.Sleep(2 * time.Minute) } // the use is written after some seconds
				store.loaded.Store(&fn)
				must(t, "looking at a session that was used two minutes ago", look(eng, s))
			})
		})
	}
}
