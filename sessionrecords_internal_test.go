package latchbolt

import (
	"path/filepath"
	"testing"
)

// TestNewSessionsWaitForOthers: while somebody writes, new sessions are merged when they are twice as many.
func TestNewSessionsWaitForOthers(t *testing.T) {
	ctx := t.Context()
	e, err := Open(filepath.Join(t.TempDir(), "app.db"), &Config{Create: true, SessionLimit: -1, SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	u := &User{Username: "ada"}
	if err := e.InsertUser(ctx, u, PasswordHash{}); err != nil {
		t.Fatal(err)
	}
	id, err := e.Identity(ctx, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	e.writing.Add(1)
	for i := 1; i <= mergeBusy; i++ {
		if _, err := e.Login(ctx, id, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		e.settleLater(t.Context())
		if got := e.newSessions.Load(); got != int64(i%mergeBusy) {
			t.Fatalf("%d sessions are filed as new after %d logins", got, i)
		}
	}
	e.writing.Add(-1)
	for i := 1; i <= mergeIdle; i++ {
		if _, err := e.Login(ctx, id, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		e.settleLater(t.Context())
		if got := e.newSessions.Load(); got != int64(i%mergeIdle) {
			t.Fatalf("%d sessions are filed as new after %d logins and no other write", got, i)
		}
	}
	if n := e.writing.Load(); n != 0 {
		t.Errorf("%d updates are under way", n)
	}
}
