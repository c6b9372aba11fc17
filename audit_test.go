package latchbolt_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func trail(t testing.TB, eng *latchbolt.Engine, q latchbolt.AuditQuery) (all []*latchbolt.AuditEntry) {
	t.Helper()
	for a, err := range eng.Audit(context.Background(), q) {
		must(t, "audit", err)
		all = append(all, a)
	}
	return all
}

func actions(entries []*latchbolt.AuditEntry) (all []string) {
	for _, a := range entries {
		all = append(all, a.Action)
	}
	return all
}

func TestEveryChangeIsRecorded(t *testing.T) {
	eng := open(t, nil)
	boss := addUser(t, eng, "boss")
	addr := netip.MustParseAddr("192.0.2.7")
	ctx := latchbolt.WithActor(t.Context(), boss.ID, addr)
	define(t, eng, "blog.add")
	u := &latchbolt.User{Username: "ada", Email: "ada@example.com"}
	var g latchbolt.GroupID
	var s latchbolt.Session
	var tok latchbolt.Token
	try := func(password string) (latchbolt.Identity, error) {
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: password, Client: latchbolt.Client{Addr: netip.MustParseAddr("203.0.113.9")}})
		eng.Settle(ctx)
		return id, err
	}
	const second, third = "another fine passphrase", "a third fine passphrase"
	for _, c := range []struct {
		do     func() error
		action string
		user   bool // about ada
		detail string
	}{
		{func() error { return eng.CreateUser(ctx, u, goodPassword) }, latchbolt.ActionUserCreate, true, ""},
		{func() error {
			return eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Email, u.Staff = "x@example.com", true }))
		}, latchbolt.ActionUserUpdate, true, "email, is_staff"},
		{func() (err error) { g, err = eng.CreateGroup(ctx, "writers"); return err }, latchbolt.ActionGroupCreate, false, "writers"},
		{func() error { return eng.RenameGroup(ctx, g, "authors") }, latchbolt.ActionGroupUpdate, false, "authors"},
		{func() error { return eng.AddToGroup(ctx, u.ID, g) }, latchbolt.ActionGroupAdd, true, "1"},
		{func() error { return eng.RemoveFromGroup(ctx, u.ID, g) }, latchbolt.ActionGroupRemove, true, "1"},
		{func() error { return eng.SetGroups(ctx, u.ID, g) }, latchbolt.ActionGroupSet, true, "1"},
		{func() error { return eng.Grant(ctx, u.ID, "blog.add", "post:1") }, latchbolt.ActionPermGrant, true, "blog.add post:1"},
		{func() error { return eng.Grant(ctx, g, "blog.add") }, latchbolt.ActionPermGrant, false, "blog.add"},
		{func() error { return eng.Revoke(ctx, u.ID, "blog.add", "post:1") }, latchbolt.ActionPermRevoke, true, "blog.add post:1"},
		{func() error { return eng.DeleteGroup(ctx, g) }, latchbolt.ActionGroupDelete, false, "authors"},
		{func() error { return eng.Undefine(ctx, "blog.add") }, latchbolt.ActionPermUndefine, false, "blog.add"},
		{func() error { _, err := try("wrong"); want(t, "wrong", err, latchbolt.ErrCredentials); return nil }, latchbolt.ActionLoginFailed, false, "password"},
		{func() error {
			id, err := try(goodPassword)
			if err != nil {
				return err
			}
			s, err = eng.Login(ctx, id, latchbolt.LoginOptions{Client: latchbolt.Client{Addr: netip.MustParseAddr("203.0.113.9")}})
			return err
		}, latchbolt.ActionLogin, true, "password"},
		{func() (err error) { s, err = eng.ChangePassword(ctx, s.Token, goodPassword, second); return err }, latchbolt.ActionPasswordChange, true, ""},
		{func() error { return eng.Logout(ctx, s.Token) }, latchbolt.ActionLogout, true, ""},
		{func() error { return eng.SetPassword(ctx, u.ID, third) }, latchbolt.ActionPasswordSet, true, ""},
		{func() (err error) { tok, err = eng.ResetToken(ctx, u.ID); return err }, latchbolt.ActionTokenIssue, true, "password-reset"},
		{func() error { _, err := eng.ResetPassword(ctx, tok, second); return err }, latchbolt.ActionPasswordReset, true, ""},
		{func() error { return eng.Unlock(ctx, u.ID) }, latchbolt.ActionUserUnlock, true, ""},
		{func() error { return eng.EndSessions(ctx, u.ID) }, latchbolt.ActionSessionsEnd, true, ""},
		{func() error { return eng.DeleteUser(ctx, u.ID) }, latchbolt.ActionUserDelete, true, ""},
		{func() error {
			return eng.Record(ctx, latchbolt.AuditEntry{Action: "app.export", User: 5, Detail: "all", Time: time.Unix(0, 0)})
		}, "app.export", false, "all"},
	} {
		before := len(trail(t, eng, latchbolt.AuditQuery{}))
		must(t, c.action, c.do())
		all := trail(t, eng, latchbolt.AuditQuery{})
		if len(all) != before+1 {
			t.Errorf("%s: %d new entries: %v", c.action, len(all)-before, actions(all[:len(all)-before]))
			continue
		}
		a := all[0]
		wantActor, wantAddr := boss.ID, addr
		switch c.action {
		case latchbolt.ActionPasswordChange:
			wantActor = u.ID
		case latchbolt.ActionLogin, latchbolt.ActionLoginFailed:
			wantAddr = netip.MustParseAddr("203.0.113.9")
		}
		if a.Action != c.action || a.Actor != wantActor || a.Addr != wantAddr || c.user != (a.User == u.ID) || !strings.Contains(a.Detail, c.detail) ||
			a.Failed != (c.action == latchbolt.ActionLoginFailed) || time.Since(a.Time).Abs() > time.Hour {
			t.Errorf("%s: got %+v", c.action, a)
		}
	}
	for _, a := range trail(t, eng, latchbolt.AuditQuery{}) {
		for _, secret := range []string{goodPassword, second, third, "wrong", tok.Reveal()[22:], s.Token.Reveal()[22:], "pbkdf2"} {
			if strings.Contains(fmt.Sprintf("%+v", a), secret) {
				t.Errorf("a secret in the trail: %+v", a)
			}
		}
	}
	failing := len(trail(t, eng, latchbolt.AuditQuery{}))
	want(t, "failing", eng.DeleteUser(ctx, 99), latchbolt.ErrNotFound)
	if got := len(trail(t, eng, latchbolt.AuditQuery{})); got != failing {
		t.Errorf("a change that failed is in the trail")
	}
}

func TestAuditQueries(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	ctx := t.Context()
	base := eng.Now()
	const n = 2500
	for i := range n / 100 {
		must(t, "recording", eng.Update(ctx, func(tx *latchbolt.Tx) error {
			for j := range 100 {
				k := i*100 + j
				if err := tx.Record(latchbolt.AuditEntry{Action: fmt.Sprint("app.a", k%3), Actor: latchbolt.UserID(k % 7), User: latchbolt.UserID(k % 5), Failed: k%2 == 0, Detail: fmt.Sprint(k)}); err != nil {
					return err
				}
			}
			return nil
		}))
		clock.advance(time.Minute)
	}
	at := func(minutes int) time.Time { return base.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		what string
		q    latchbolt.AuditQuery
		fits func(k int) bool
	}{
		{"all", latchbolt.AuditQuery{}, func(int) bool { return true }},
		{"an action", latchbolt.AuditQuery{Action: "app.a1"}, func(k int) bool { return k%3 == 1 }},
		{"a family of actions", latchbolt.AuditQuery{Action: "app."}, func(int) bool { return true }},
		{"a beginning that is no family", latchbolt.AuditQuery{Action: "app"}, func(int) bool { return false }},
		{"a user", latchbolt.AuditQuery{User: 4}, func(k int) bool { return k%7 == 4 || k%5 == 4 }},
		{"failures", latchbolt.AuditQuery{Failed: latchbolt.Only}, func(k int) bool { return k%2 == 0 }},
		{"successes of a user", latchbolt.AuditQuery{Failed: latchbolt.Except, User: 3}, func(k int) bool { return k%2 == 1 && (k%7 == 3 || k%5 == 3) }},
		{"since", latchbolt.AuditQuery{Since: at(20)}, func(k int) bool { return k >= 2000 }},
		{"until", latchbolt.AuditQuery{Until: at(5)}, func(k int) bool { return k < 500 }},
		{"between", latchbolt.AuditQuery{Since: at(5), Until: at(6)}, func(k int) bool { return k/100 == 5 }},
		{"until before there was anything", latchbolt.AuditQuery{Until: time.Unix(-1, 0)}, func(int) bool { return false }},
		{"until far ahead", latchbolt.AuditQuery{Until: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)}, func(int) bool { return true }},
		{"since long ago", latchbolt.AuditQuery{Since: time.Unix(-1, 0)}, func(int) bool { return true }},
	} {
		var want []string
		for k := n - 1; k >= 0; k-- {
			if c.fits(k) {
				want = append(want, fmt.Sprint(k))
			}
		}
		var got []string
		last := time.Time{}
		for _, a := range trail(t, eng, c.q) {
			got = append(got, a.Detail)
			if !last.IsZero() && !a.Time.Before(last) {
				t.Fatalf("%s: not the newest first", c.what)
			}
			last = a.Time
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %d entries, want %d", c.what, len(got), len(want))
		}
	}
	newest := ""
	for a, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
		must(t, "audit", err)
		newest = a.Detail
		break
	}
	if newest != fmt.Sprint(n-1) {
		t.Errorf("the newest: %s", newest)
	}
}

func TestAuditIsTrimmed(t *testing.T) {
	hour := time.Hour
	for _, c := range []struct {
		what string
		cfg  latchbolt.AuditConfig
		want int // of 300 entries, one each hour
	}{
		{"by default everything stays for now", latchbolt.AuditConfig{}, 300},
		{"by age", latchbolt.AuditConfig{MaxAge: 50 * hour}, 50},
		{"by number", latchbolt.AuditConfig{MaxCount: 120}, 120},
		{"by both, the age decides", latchbolt.AuditConfig{MaxCount: 120, MaxAge: 20 * hour}, 20},
		{"by both, the number decides", latchbolt.AuditConfig{MaxCount: 20, MaxAge: 120 * hour}, 20},
		{"never by age", latchbolt.AuditConfig{MaxAge: -1}, 300},
		{"after more than a century", latchbolt.AuditConfig{MaxAge: 100 * 365 * 24 * hour}, 300},
		{"no trail at all", latchbolt.AuditConfig{MaxCount: -1}, 0},
	} {
		clock := newTestClock()
		eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, &latchbolt.Config{Clock: clock.now, Audit: c.cfg, SweepEvery: -1})
		for k := range 300 {
			clock.advance(hour)
			must(t, "recording", eng.Record(t.Context(), latchbolt.AuditEntry{Action: "x", Detail: fmt.Sprint(k)}))
		}
		clock.advance(time.Minute)
		r, err := eng.Sweep(t.Context())
		must(t, "sweep", err)
		all := trail(t, eng, latchbolt.AuditQuery{})
		if len(all) != c.want || c.want > 0 && all[0].Detail != "299" {
			t.Errorf("%s: %d entries, want %d", c.what, len(all), c.want)
		}
		if r.Audit != 300-c.want && c.cfg.MaxCount >= 0 {
			t.Errorf("%s: report says %d", c.what, r.Audit)
		}
	}
}

// A trail that grows fast is trimmed before the next sweep is due.
func TestAuditIsTrimmedWhenItGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, &latchbolt.Config{Audit: latchbolt.AuditConfig{MaxCount: 200}})
		for range 1000 {
			must(t, "recording", eng.Record(t.Context(), latchbolt.AuditEntry{Action: "x"}))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(trail(t, eng, latchbolt.AuditQuery{})); n > 320 {
			t.Errorf("%d entries, at most 200 and some should stay", n)
		}
		must(t, "closing", eng.Close())
	})
}

// Names that somebody typed come back as text of one field, whatever is in them.
func TestHostileStringsInTheTrailAndTheLog(t *testing.T) {
	var buf bytes.Buffer
	eng := open(t, &latchbolt.Config{Logger: slog.New(slog.NewTextHandler(&buf, nil)), Throttle: latchbolt.ThrottleConfig{Free: -1}})
	for _, name := range []string{"a\nb", "a\r\nlogin user=root", "\x1b[2J", "a\u2028b", "\x00", "\xff\xfe", strings.Repeat("é", 5000), `"><script>`, "a\u202eb", ""} {
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: "canary", Client: latchbolt.Client{Agent: name}})
		want(t, "login", err, latchbolt.ErrCredentials)
		if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
			t.Errorf("the error holds control characters: %q", err)
		}
		all := trail(t, eng, latchbolt.AuditQuery{})
		got := all[0].Username
		if !utf8.ValidString(got) || len(got) > 256 || !strings.HasPrefix(strings.ToValidUTF8(name, ""), got) {
			t.Errorf("%.20q came back as %.20q, %d bytes", name, got, len(got))
		}
		must(t, "record", eng.Record(t.Context(), latchbolt.AuditEntry{Action: name, Username: name, Detail: name}))
		a := trail(t, eng, latchbolt.AuditQuery{})[0]
		if len(a.Action) > 64 || len(a.Username) > 256 || len(a.Detail) > 1024 || !utf8.ValidString(a.Action+a.Username+a.Detail) {
			t.Errorf("%.20q: got %+v", name, a)
		}
	}
	if log := buf.String(); strings.Contains(log, "canary") {
		t.Errorf("the log holds a password: %s", log)
	}
}

func TestAuditOff(t *testing.T) {
	eng := open(t, &latchbolt.Config{Audit: latchbolt.AuditConfig{MaxCount: -1}})
	addUser(t, eng, "ada")
	must(t, "record", eng.Record(t.Context(), latchbolt.AuditEntry{Action: "x"}))
	login(t, eng, "ada")
	if all := trail(t, eng, latchbolt.AuditQuery{}); all != nil {
		t.Errorf("got %v", actions(all))
	}
}

// TestReaderOfTheTrailLeaves: who reads the trail waits for writes under way no longer than the context allows.
func TestReaderOfTheTrailLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, nil)
		defer eng.Close()
		ada := addUser(t, eng, "ada")
		inside, release, written := make(chan bool), make(chan bool), make(chan error, 1)
		go func() {
			written <- eng.Update(t.Context(), func(*latchbolt.Tx) error {
				close(inside)
				<-release
				return nil
			})
		}()
		<-inside
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: "wrong"})
		want(t, "a wrong password", err, latchbolt.ErrCredentials)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
			want(t, "the trail", err, context.DeadlineExceeded)
		}
		_, _, err = eng.Throttled(ctx, ada.ID)
		want(t, "the counters", err, context.DeadlineExceeded)
		_, err = eng.Sweep(ctx)
		want(t, "sweeping", err, context.DeadlineExceeded)
		close(release)
		must(t, "the update", <-written)
		if n := len(trail(t, eng, latchbolt.AuditQuery{Action: latchbolt.ActionLoginFailed})); n != 1 {
			t.Errorf("%d entries afterwards", n)
		}
	})
}
