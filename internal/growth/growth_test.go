package growth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made makes a file and opens it.
func made(t testing.TB, cfg *latchbolt.Config, size growth.Size) (*latchbolt.Engine, *growth.Population) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	p, err := growth.Make(t.Context(), path, cfg, size)
	must(t, err)
	eng, err := latchbolt.Open(path, cfg)
	must(t, err)
	t.Cleanup(func() { _ = eng.Close() })
	return eng, p
}

// at is a configuration whose clock stands still.
func at(now time.Time) *latchbolt.Config {
	return &latchbolt.Config{Clock: func() time.Time { return now }, SweepEvery: -1}
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// TestMake asks the engine whether what was written past it is as if it had written it itself.
func TestMake(t *testing.T) {
	ctx := context.Background()
	size := growth.Size{Users: 300, Sessions: 20_000, Groups: 3, Seed: 1, Client: latchbolt.Client{Agent: growth.Agent}}
	eng, p := made(t, at(noon), size)
	for f, err := range eng.Verify(ctx) {
		t.Errorf("%v, %v", f, err)
	}
	of := make(map[latchbolt.UserID]int)
	for i := range size.Sessions {
		id, err := eng.SessionUser(ctx, p.Token(i))
		if err != nil || id.ID() != p.User(i) {
			t.Fatalf("session %d is of %d, %v; want %d", i, id.ID(), err, p.User(i))
		}
		of[id.ID()]++
	}
	if len(of) != size.Users {
		t.Errorf("%d users have sessions", len(of))
	}
	u, err := eng.UserByName(ctx, growth.Username(7))
	must(t, err)
	var own []latchbolt.Session
	for s, err := range eng.Sessions(ctx, u.ID) {
		must(t, err)
		own = append(own, s)
	}
	if len(own) != of[u.ID] || len(u.Groups) != 1 {
		t.Errorf("user 7 has %d sessions and the groups %v; want %d sessions", len(own), u.Groups, of[u.ID])
	}
	for _, s := range own {
		if s.Client.Agent != growth.Agent || s.Expires.Before(noon) || s.Expires.After(noon.Add(14*24*time.Hour)) || !s.LastSeen.Equal(noon) {
			t.Fatalf("a session is %+v", s)
		}
	}
	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: growth.Username(7), Password: growth.Password})
	if err != nil || id.ID() != u.ID {
		t.Errorf("the password proves %d, %v", id.ID(), err)
	}
	if err := eng.Logout(ctx, p.Token(3)); err != nil {
		t.Error(err)
	}
	if _, err := eng.SessionUser(ctx, p.Token(3)); !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("after a logout: %v", err)
	}
}

// TestMakeSame tests that a size is all that decides.
func TestMakeSame(t *testing.T) {
	size := growth.Size{Users: 10, Sessions: 100, Seed: 5}
	_, a := made(t, at(noon), size)
	_, b := made(t, at(noon), size)
	size.Seed++
	_, c := made(t, at(noon), size)
	if !slices.Equal(a.Tokens(50), b.Tokens(50)) {
		t.Error("the same seed gave other tokens")
	}
	if slices.Equal(a.Tokens(50), c.Tokens(50)) {
		t.Error("another seed gave the same tokens")
	}
}

// TestMakeExpired tests sessions that are over, of which many end in one millisecond.
func TestMakeExpired(t *testing.T) {
	ctx := context.Background()
	eng, p := made(t, at(noon), growth.Size{Users: 10, Sessions: 5000, First: -3 * time.Hour, Last: -3*time.Hour + 20*time.Millisecond})
	for f, err := range eng.Verify(ctx) {
		t.Errorf("%v, %v", f, err)
	}
	for _, token := range p.Tokens(100) {
		if _, err := eng.SessionUser(ctx, token); !errors.Is(err, latchbolt.ErrNoSession) {
			t.Fatalf("a session that is over: %v", err)
		}
	}
	r, err := eng.Sweep(ctx)
	if err != nil || r.Hours != 1 {
		t.Errorf("swept %+v, %v", r, err)
	}
}

// TestMakeRefused tests sizes that make no sense.
func TestMakeRefused(t *testing.T) {
	for name, size := range map[string]growth.Size{
		"sessions of nobody":        {Sessions: 1},
		"the last before the first": {Users: 1, Sessions: 1, First: time.Hour, Last: time.Minute},
	} {
		if _, err := growth.Make(t.Context(), filepath.Join(t.TempDir(), "app.db"), nil, size); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestMakeMillions makes a large file, if LATCHBOLT_GROWTH says so: 1 for a million users and ten million sessions, or a number of sessions.
func TestMakeMillions(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("LATCHBOLT_GROWTH"))
	if err != nil {
		t.Skip("LATCHBOLT_GROWTH is not set")
	}
	if n == 1 {
		n = 10_000_000
	}
	start := time.Now()
	eng, p := made(t, nil, growth.Size{Users: max(1, n/10), Sessions: n, Groups: 20})
	took := time.Since(start)
	s, err := eng.Stats()
	must(t, err)
	t.Logf("%d sessions and %d users in %v: %d bytes", n, n/10, took.Round(time.Millisecond), s.FileSize)
	for _, token := range p.Tokens(1000) {
		if _, err := eng.SessionUser(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if took > 2*time.Minute {
		t.Error("that took too long")
	}
}
