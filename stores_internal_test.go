package latchbolt

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// A sealed session that ended while it was being renewed is not renewed.
func TestSealedSessionsEndDuringRenewal(t *testing.T) {
	store, err := SealedSessions(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(filepath.Join(t.TempDir(), "app.db"), &Config{Create: true, Sessions: store})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.NewSession(t.Context(), LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.vault.rotate(t.Context(), &s.Token, func(*sessionRecord) {
		if err := e.Logout(t.Context(), s.Token); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, ErrNoSession) || !p.Token.IsZero() {
		t.Errorf("got a token %v, %v", !p.Token.IsZero(), err)
	}
}

// The list of ended sessions stays bounded, and what is forgotten first is what expires first.
func TestEndedSessionsBounded(t *testing.T) {
	var e endedSessions
	now := time.Unix(1e9, 0)
	sel := func(n int) (s selector) {
		s[0], s[1], s[2] = byte(n), byte(n>>8), byte(n>>16)
		return s
	}
	for n := range 3 * maxEnded {
		if !e.add(sel(n), false, now.Add(time.Duration(n+1)*time.Second), now) {
			t.Fatalf("%d was there", n)
		}
		if !e.has(sel(n)) {
			t.Fatalf("%d is forgotten at once", n)
		}
	}
	if n := len(e.users); n > maxEnded || n < maxEnded/2 {
		t.Errorf("%d are remembered, at most %d should be", n, maxEnded)
	}
	if e.has(sel(0)) || !e.has(sel(3*maxEnded-maxEnded/2)) {
		t.Error("the wrong ones were forgotten")
	}
	if e.add(sel(3*maxEnded-1), false, now, now) {
		t.Error("one was added twice")
	}
	e.sweep(now.Add(4 * maxEnded * time.Second))
	if len(e.users) != 0 {
		t.Errorf("%d outlived their time", len(e.users))
	}
}
