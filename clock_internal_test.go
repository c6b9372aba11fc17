package latchbolt

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Asked roughly, the clock is never ahead, nor behind by more than a tick, and its timer runs only while it is asked.
func TestClockTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		ticking := func() bool { return c.tick.Load() != 0 }
		c.roughly()
		if ticking() {
			t.Fatal("one who asks once starts the ticks")
		}
		time.Sleep(tickEvery)
		if c.roughly(); ticking() {
			t.Fatal("one who asks no more often than they come starts the ticks")
		}
		c.roughly()
		if !ticking() {
			t.Fatal("who asks twice at once does not start the ticks")
		}
		late := time.Duration(0)
		for range 10_000 {
			time.Sleep(130 * time.Microsecond)
			behind := time.Duration(c.nanos() - c.roughly())
			if behind < 0 || behind > tickEvery {
				t.Fatalf("behind by %v", behind)
			}
			late = max(late, behind)
		}
		if late < tickEvery/2 {
			t.Errorf("behind by %v at most: nothing was saved", late)
		}
		time.Sleep(3 * tickEvery)
		if ticking() {
			t.Error("the ticks go on though nobody asks")
		}
		time.Sleep(time.Hour)
		if behind := c.nanos() - c.roughly(); behind != 0 {
			t.Errorf("after an hour without a question it is behind by %v", time.Duration(behind))
		}
		c.roughly()
		if !ticking() {
			t.Fatal("the ticks do not start again")
		}
		timer := c.timer
		if c.begin(); c.timer != timer {
			t.Error("two timers run")
		}
		c.stop()
		c.roughly()
		c.roughly()
		if ticking() {
			t.Error("the ticks start again after the end")
		}
	})
}

// A machine that slept wakes up with a wall clock that is ahead of the monotonic one.
func TestClockAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		slept := time.Duration(0)
		c.wall = func() time.Time { return time.Now().Add(slept) }
		before := c.roughly()
		slept = 8 * time.Hour
		if got := time.Duration(c.roughly() - before); got != slept {
			t.Errorf("asked after 8 h of sleep, it has gone on by %v", got)
		}
		before = c.roughly() // ticks run now
		slept += 8 * time.Hour
		time.Sleep(tickEvery)
		synctest.Wait()
		if got := time.Duration(c.roughly() - before); got != 8*time.Hour+tickEvery {
			t.Errorf("a tick after 8 h of sleep while it was in use, it has gone on by %v", got)
		}
		c.stop()
	})
}

// Two who notice at once that the wall clock was set forward move the engine's clock once.
func TestClockFollowsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		depth := 0
		c.wall = func() time.Time {
			if depth++; depth == 1 {
				c.follow() // the other one, between our look at the wall clock and what we do about it
			}
			return time.Now().Add(time.Hour)
		}
		before := c.nanos()
		c.follow()
		if got := time.Duration(c.nanos() - before); got != time.Hour {
			t.Errorf("set forward by an hour, the clock went on by %v", got)
		}
	})
}

// However many ask, a session ends at its end: not a nanosecond later, and not earlier.
func TestSessionEndsExactlyWhileAsked(t *testing.T) {
	for name, cfg := range map[string]*Config{
		"lifetime": {Create: true, SessionLifetime: time.Minute, SessionIdle: -1},
		"idle":     {Create: true, SessionIdle: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := Open(filepath.Join(t.TempDir(), "app.db"), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				ctx := context.Background()
				u := &User{Username: "ada"}
				if err := e.InsertUser(ctx, u, PasswordHash{}); err != nil {
					t.Fatal(err)
				}
				id, err := e.Identity(ctx, u.ID)
				if err != nil {
					t.Fatal(err)
				}
				login := func() *Session {
					s, err := e.Login(ctx, id, LoginOptions{})
					if err != nil {
						t.Fatal(err)
					}
					return &s
				}
				living := func(s *Session) bool {
					_, err := e.SessionUser(ctx, s.Token)
					if err != nil && !errors.Is(err, ErrNoSession) {
						t.Fatal(err)
					}
					return err == nil
				}
				one, two := login(), login() // to be asked before the end, which puts it off if it is by use, and at it
				if !one.Deadline().Equal(two.Deadline()) {
					t.Fatal("they do not end together")
				}
				if !living(one) || !living(two) { // now they are in memory
					t.Fatal("they are over already")
				}
				ends := two.Deadline()
				time.Sleep(time.Until(ends) - time.Second/2)
				// Somebody else keeps the ticks going, and lets them be behind.
				for other := login(); time.Until(ends) > 1; time.Sleep(min(3*time.Millisecond, time.Until(ends)-1)) {
					if !living(other) {
						t.Fatal("another session is over")
					}
				}
				if tick := e.clock.tick.Load(); tick == 0 || tick >= ends.UnixNano()-1 {
					t.Fatalf("the ticks are %v behind", time.Duration(ends.UnixNano()-tick))
				}
				if !living(one) {
					t.Error("it is over before its end")
				}
				time.Sleep(time.Nanosecond)
				if e.clock.tick.Load() >= ends.UnixNano() {
					t.Fatal("the ticks know already")
				}
				if living(two) {
					t.Error("it is not over at its end")
				}
			})
		})
	}
}

// A session that is over stays so in a process that was stopped for longer than it may be idle, and whose ticks come late.
func TestSessionEndsWhileStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := Open(filepath.Join(t.TempDir(), "app.db"), &Config{Create: true, SessionIdle: 30 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		ctx := context.Background()
		s, err := e.NewSession(ctx, LoginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if _, err := e.SessionUser(ctx, s.Token); err != nil { // from the file, and is in memory now
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		e.clock.tick.Store(e.clock.nanos()) // the last tick
		time.Sleep(8 * time.Hour)
		if _, err := e.SessionUser(ctx, s.Token); !errors.Is(err, ErrNoSession) {
			t.Errorf("before the next tick: %v", err)
		}
		e.clock.tick.Store(0)
		if _, err := e.SessionUser(ctx, s.Token); !errors.Is(err, ErrNoSession) {
			t.Errorf("after it: %v", err)
		}
	})
}

// No clock goes back, and none is behind what is known to have been.
func TestClockIsNotBehind(t *testing.T) {
	for name, wall := range map[string]func() time.Time{"system": nil, "caller": time.Now} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := time.Duration(0)
				if wall != nil {
					wall = func() time.Time { return time.Now().Add(-back) }
				}
				c := newClock(wall)
				first := time.Now()
				back = time.Hour
				if got := c.now(); got.Before(first) {
					t.Errorf("it was %v and is %v", first, got)
				}
				for _, ahead := range []time.Duration{1, time.Hour} {
					known := c.now().Add(ahead)
					c.notBefore(known)
					if got := c.now(); !got.Equal(known) {
						t.Errorf("it has been %v and is %v", known, got)
					}
				}
				known := c.now()
				c.notBefore(known.Add(-time.Minute))
				c.notBefore(time.Time{})
				if got := c.now(); !got.Equal(known) {
					t.Errorf("it has been %v and is %v", known, got)
				}
			})
		})
	}
}
