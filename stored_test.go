package latchbolt_test

import (
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	frame "github.com/latchbolt-go/latchbolt/internal/record"
)

// onRecords opens an engine on records.
func onRecords(t *testing.T, w *callWorld, clock *testClock, all []record) {
	t.Helper()
	w.open(t, clock, all)
	t.Cleanup(func() { must(t, "closing", w.eng.Close()) })
}

// TestSessionsThatComeBackAreDead: even if all records of its sessions come back, as from a page of the file's past, a password change ended
// them: the user's record says so.
func TestSessionsThatComeBackAreDead(t *testing.T) {
	clock := newTestClock()
	w, all := newCallWorld(t, clock)
	w.open(t, clock, all)
	must(t, "setting a password", w.eng.SetPassword(t.Context(), w.ada, "correct horse battery"))
	after := contents(t, w.eng)
	must(t, "closing", w.eng.Close())
	for _, r := range all {
		if there := slices.ContainsFunc(after, func(a record) bool { return a.bucket == r.bucket && a.key == r.key }); !there {
			after = append(after, r)
		}
	}
	onRecords(t, w, clock, after)
	ctx := t.Context()
	for what, call := range map[string]func() error{
		"SessionUser":          func() error { _, err := w.eng.SessionUser(ctx, w.session); return err },
		"of a brought session": func() error { _, err := w.eng.SessionUser(ctx, w.brought); return err },
		"Session":              func() error { _, err := w.eng.Session(ctx, w.session); return err },
		"SessionByID":          func() error { _, err := w.eng.SessionByID(ctx, w.other.ID); return err },
		"Values":               func() error { _, err := w.eng.Values(ctx, w.session); return err },
		"Renew":                func() error { _, err := w.eng.Renew(ctx, w.session); return err },
		"SetExpiry":            func() error { _, err := w.eng.SetExpiry(ctx, w.session, time.Hour); return err },
		"EndOthers":            func() error { return w.eng.EndOtherSessions(ctx, w.session) },
	} {
		want(t, what, call(), latchbolt.ErrNoSession)
	}
	if n := len(sessionsOf(t, w.eng, w.ada)); n != 0 {
		t.Errorf("%d of the sessions are listed", n)
	}
	for what, tok := range map[string]latchbolt.Token{"mail": w.token, latchbolt.PurposeReset: w.reset} {
		_, err := w.eng.CheckToken(ctx, what, tok)
		want(t, "one-time token", err, latchbolt.ErrToken)
	}
	id, err := w.eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery"})
	must(t, "authenticating", err)
	s, err := w.eng.Login(ctx, id, latchbolt.LoginOptions{Previous: w.session})
	must(t, "logging in", err)
	if got := value(t, w.eng, s.Token, "cart"); got != "" {
		t.Errorf("the values of a dead session were carried over: %q", got)
	}
}

// TestWhatBelongsToNobody: sessions and tokens of a user whose record is gone prove nothing, and that is no outage.
func TestWhatBelongsToNobody(t *testing.T) {
	clock := newTestClock()
	w, all := newCallWorld(t, clock)
	var user string // ada's key
	for _, r := range all {
		if r.bucket == "user" {
			user = r.key
			break
		}
	}
	all = slices.DeleteFunc(all, func(r record) bool { return r.bucket == "user" && r.key == user })
	ada := w.ada
	w.ada = w.bob // open asks for an identity
	onRecords(t, w, clock, all)
	ctx := t.Context()
	_, err := w.eng.User(ctx, ada)
	want(t, "the user", err, latchbolt.ErrNotFound)
	_, err = w.eng.CheckToken(ctx, "mail", w.token)
	want(t, "CheckToken", err, latchbolt.ErrToken)
	_, err = w.eng.ResetPassword(ctx, w.reset, "wrong horse battery")
	want(t, "ResetPassword", err, latchbolt.ErrToken)
	_, err = w.eng.SessionUser(ctx, w.session)
	want(t, "SessionUser", err, latchbolt.ErrNoSession)
	_, err = w.eng.Session(ctx, w.session)
	want(t, "Session", err, latchbolt.ErrNoSession)
}

// TestRecordsOfAnotherLength: a record that is sound but longer or shorter than its kind is damage, and is told of.
func TestRecordsOfAnotherLength(t *testing.T) {
	clock := newTestClock()
	w, all := newCallWorld(t, clock)
	ctx := t.Context()
	asks := map[string]func() error{
		"meta":        func() error { return w.eng.CreateUser(ctx, &latchbolt.User{Username: "dora"}, goodPassword) },
		"user":        func() error { _, err := w.eng.User(ctx, w.ada); return err },
		"group":       func() error { _, err := w.eng.Group(ctx, w.group); return err },
		"perm":        func() error { return drain(w.eng.Permissions(ctx)) },
		"perm.name":   func() error { _, err := w.eng.HasPerm(ctx, w.identity, "blog.view_post", "post:7"); return err },
		"session":     func() error { _, err := w.eng.SessionUser(ctx, w.session); return err },
		"session.key": func() error { _, err := w.eng.SessionUser(ctx, w.brought); return err },
		"session.new": func() error { return w.eng.Logout(ctx, w.session) },
		"token":       func() error { _, err := w.eng.CheckToken(ctx, "mail", w.token); return err },
		"throttle":    func() error { _, _, err := w.eng.Throttled(ctx, w.ada); return err },
	}
	for bucket, ask := range asks {
		for what, change := range map[string]func([]byte) []byte{
			"a byte more": func(b []byte) []byte { return append(b, 0) },
			"a byte less": func(b []byte) []byte { return b[:len(b)-1] },
		} {
			changed := slices.Clone(all)
			n := 0
			for i, r := range changed {
				if string(r.bucket) != bucket || bucket == "meta" && r.key != "ids" {
					continue
				}
				b := frame.New(r.value[0])
				b.AddBytes(change([]byte(r.value[1 : len(r.value)-4])))
				v, err := b.Seal(string(r.bucket), []byte(r.key))
				must(t, "sealing", err)
				changed[i].value = string(v)
				n++
			}
			if n == 0 {
				t.Errorf("%s: nothing was changed", bucket)
			}
			_, err := w.openRaw(t, clock, changed)
			if err == nil {
				if w.identity, err = w.eng.Identity(ctx, w.ada); err == nil {
					err = ask()
				}
				must(t, "closing", w.eng.Close())
			}
			want(t, bucket+", "+what, err, latchbolt.ErrCorrupt)
		}
	}
}
