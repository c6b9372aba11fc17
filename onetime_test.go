package latchbolt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func issue(t testing.TB, eng *latchbolt.Engine, r latchbolt.OneTimeRequest) latchbolt.Token {
	t.Helper()
	tok, err := eng.IssueToken(t.Context(), r)
	must(t, "issuing", err)
	return tok
}

func redeem(eng *latchbolt.Engine, ctx context.Context, purpose string, tok latchbolt.Token) error {
	return eng.RedeemToken(ctx, purpose, tok, func(*latchbolt.Tx, *latchbolt.User, string) error { return nil })
}

func TestTokenIsRedeemedOnce(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite", Data: "group 7"})
	if id, err := eng.CheckToken(ctx, "invite", tok); err != nil || id != u.ID {
		t.Errorf("CheckToken: got %d, %v", id, err)
	}
	errFail := errors.New("fail")
	want(t, "a failing function", eng.RedeemToken(ctx, "invite", tok, func(*latchbolt.Tx, *latchbolt.User, string) error { return errFail }), errFail)
	must(t, "redeem", eng.RedeemToken(ctx, "invite", tok, func(tx *latchbolt.Tx, who *latchbolt.User, data string) error {
		if who.ID != u.ID || who.Username != "ada" || data != "group 7" {
			t.Errorf("got %+v, %q", who, data)
		}
		return tx.UpdateUser(who.ID, set(func(u *latchbolt.User) { u.FirstName = "Ada" }))
	}))
	if got, err := eng.User(ctx, u.ID); err != nil || got.FirstName != "Ada" {
		t.Errorf("the function's change: %+v, %v", got, err)
	}
	want(t, "again", redeem(eng, ctx, "invite", tok), latchbolt.ErrToken)
	_, err := eng.CheckToken(ctx, "invite", tok)
	want(t, "checking it", err, latchbolt.ErrToken)
}

func TestOneOf64RedeemsAToken(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite"})
	errs := parallel(64, func(int) error { return redeem(eng, t.Context(), "invite", tok) })
	if count(errs, nil) != 1 || count(errs, latchbolt.ErrToken) != 63 {
		t.Errorf("got %v", errs)
	}
	reset, err := eng.ResetToken(t.Context(), u.ID)
	must(t, "reset token", err)
	errs = parallel(64, func(int) error {
		_, err := eng.ResetPassword(t.Context(), reset, "another fine passphrase")
		return err
	})
	if count(errs, nil) != 1 || count(errs, latchbolt.ErrToken)+count(errs, latchbolt.ErrBusy) != 63 {
		t.Errorf("reset: got %v", errs)
	}
}

// TestCVE_2026_26060: whatever changes an account makes its tokens void.
func TestCVE_2026_26060(t *testing.T) {
	base := time.Date(2026, 4, 30, 8, 8, 7, 654321000, time.UTC)
	const hash = "pbkdf2_sha256$1$abcdefghijklmnopqrstuv$wYbvBAIkmQAkEDTMmRO9fQnGQMxcoG4Mmg4TL9Kpk28="
	for _, c := range []struct {
		what string
		do   func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error
		good bool
	}{
		{"nothing", func(*latchbolt.Engine, context.Context, latchbolt.UserID) error { return nil }, true},
		{"another hash", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			return eng.SetPasswordHash(ctx, id, latchbolt.PasswordHash{})
		}, false},
		{"another password", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			return eng.SetPassword(ctx, id, "another fine passphrase")
		}, false},
		{"another address", update(func(u *latchbolt.User) { u.Email = "other@example.com" }), false},
		{"no address", update(func(u *latchbolt.User) { u.Email = "" }), false},
		{"another user name", update(func(u *latchbolt.User) { u.Username = "somebody-else" }), true},
		{"another first name", update(func(u *latchbolt.User) { u.FirstName = "x" }), true},
		{"deactivated, unlike in Django", update(deactivated), false},
		{"deactivated and activated", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			return errors.Join(update(deactivated)(eng, ctx, id), update(activated)(eng, ctx, id))
		}, false},
		{"last login in the same second", update(func(u *latchbolt.User) { u.LastLogin = base.Add(time.Millisecond) }), true},
		{"last login a second later", update(func(u *latchbolt.User) { u.LastLogin = base.Add(time.Second) }), false},
		{"last login a second before", update(func(u *latchbolt.User) { u.LastLogin = base.Add(-time.Second) }), false},
		{"last login never", update(func(u *latchbolt.User) { u.LastLogin = time.Time{} }), false},
		{"a login", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			who, err := eng.Identity(ctx, id)
			if err == nil {
				_, err = eng.Login(ctx, who, latchbolt.LoginOptions{})
			}
			return err
		}, false},
		{"deleted", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			return eng.DeleteUser(ctx, id)
		}, false},
		{"a newer one", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: id, Purpose: "p"})
			return err
		}, false},
		{"a newer one of another purpose", func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
			_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: id, Purpose: "p2"})
			return err
		}, true},
		{"a wrong password at a login", func(eng *latchbolt.Engine, ctx context.Context, _ latchbolt.UserID) error {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
			if errors.Is(err, latchbolt.ErrCredentials) {
				return nil
			}
			return err
		}, true},
	} {
		eng := open(t, nil)
		ctx := t.Context()
		h, err := latchbolt.ParsePasswordHash(hash)
		must(t, "hash", err)
		u := &latchbolt.User{Username: "ada", Email: "ada@example.com", LastLogin: base}
		must(t, "user", eng.InsertUser(ctx, u, h))
		tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p"})
		must(t, c.what, c.do(eng, ctx, u.ID))
		_, err = eng.CheckToken(ctx, "p", tok)
		if (err == nil) != c.good || err != nil && !errors.Is(err, latchbolt.ErrToken) {
			t.Errorf("%s: CheckToken: got %v, want good %v", c.what, err, c.good)
		}
		if err := redeem(eng, ctx, "p", tok); (err == nil) != c.good || err != nil && !errors.Is(err, latchbolt.ErrToken) {
			t.Errorf("%s: RedeemToken: got %v, want good %v", c.what, err, c.good)
		}
	}
}

func update(fn func(*latchbolt.User)) func(*latchbolt.Engine, context.Context, latchbolt.UserID) error {
	return func(eng *latchbolt.Engine, ctx context.Context, id latchbolt.UserID) error {
		return eng.UpdateUser(ctx, id, set(fn))
	}
}

func TestTokenIsGoodUntilItsLastMoment(t *testing.T) {
	for _, odd := range []time.Duration{0, 1, 999, 123456789} {
		for _, ttl := range []time.Duration{0, time.Second, 30 * 24 * time.Hour} {
			clock := newTestClock()
			eng := open(t, &latchbolt.Config{Clock: clock.now, SweepEvery: -1})
			u := addUser(t, eng, "ada")
			clock.advance(time.Second + odd)
			tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p", TTL: ttl})
			if ttl == 0 {
				ttl = time.Hour
			}
			clock.advance(ttl)
			_, err := eng.Sweep(t.Context())
			must(t, "sweep", err)
			if _, err := eng.CheckToken(t.Context(), "p", tok); err != nil {
				t.Errorf("at the end of %v and %v: %v", ttl, odd, err)
			}
			clock.advance(time.Millisecond)
			_, err = eng.CheckToken(t.Context(), "p", tok)
			want(t, "behind the end", err, latchbolt.ErrToken)
			clock.advance(2 * time.Hour)
			r, err := eng.Sweep(t.Context())
			if err != nil || r.Tokens != 1 {
				t.Errorf("sweep: %+v, %v", r, err)
			}
		}
	}
}

func TestTokenRequestsAreChecked(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	long := strings.Repeat("x", 2000)
	for what, r := range map[string]latchbolt.OneTimeRequest{
		"no purpose": {User: u.ID}, "a purpose of 65 bytes": {User: u.ID, Purpose: long[:65]}, "too much data": {User: u.ID, Purpose: "p", Data: long[:1025]},
		"a negative time": {User: u.ID, Purpose: "p", TTL: -1}, "a time over 30 days": {User: u.ID, Purpose: "p", TTL: 30*24*time.Hour + 1},
	} {
		_, err := eng.IssueToken(ctx, r)
		wantFields(t, what, err, "token invalid")
	}
	issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: long[:64], Data: long[:1024], TTL: 30 * 24 * time.Hour})
	_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: 99, Purpose: "p"})
	want(t, "nobody", err, latchbolt.ErrNotFound)
	must(t, "deactivate", eng.UpdateUser(ctx, u.ID, set(deactivated)))
	_, err = eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p"})
	want(t, "an inactive user", err, latchbolt.ErrConflict)
}

// A token is good for its purpose alone, and nothing that only looks like it is good for anything.
func TestTokensDoNotMix(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u, other := addUser(t, eng, "ada"), addUser(t, eng, "bob")
	s := login(t, eng, "ada")
	ab := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "ab"})
	a := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "a"})
	bobs := issue(t, eng, latchbolt.OneTimeRequest{User: other.ID, Purpose: "a"})
	for purpose, tok := range map[string]latchbolt.Token{"b": a, "": a, "a\x00": a, "A": a, "ab": a, "a": ab, "abc": ab, latchbolt.PurposeReset: a} {
		_, err := eng.CheckToken(ctx, purpose, tok)
		want(t, "for "+purpose, err, latchbolt.ErrToken)
		want(t, "for "+purpose, redeem(eng, ctx, purpose, tok), latchbolt.ErrToken)
	}
	_, err := eng.CheckToken(ctx, "a", s.Token)
	want(t, "a session's token", err, latchbolt.ErrToken)
	if alive(t, eng, a) {
		t.Error("a one-time token is a session")
	}
	_, err = eng.Renew(ctx, a)
	want(t, "renewing one", err, latchbolt.ErrNoSession)
	good := a.Reveal()
	texts := []string{"", "s.", "s.AAAA", "s." + good, strings.Repeat("A", 64), "sessionkeyofdjango", good[:32], good[:63], good[1:], strings.ToUpper(good), strings.ToLower(good)}
	for i := range good {
		c := byte('A')
		if good[i] == 'A' {
			c = 'B'
		}
		texts = append(texts, good[:i]+string(c)+good[i+1:])
	}
	for _, text := range texts {
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			want(t, text, err, latchbolt.ErrNoSession)
		}
		_, err = eng.CheckToken(ctx, "a", tok)
		want(t, "a text that is not the token", err, latchbolt.ErrToken)
		want(t, "a text that is not the token", redeem(eng, ctx, "a", tok), latchbolt.ErrToken)
		_, err = eng.ResetPassword(ctx, tok, "another fine passphrase")
		want(t, "a text that is not the token", err, latchbolt.ErrToken)
	}
	for purpose, tok := range map[string]latchbolt.Token{"ab": ab, "a": a} {
		again, err := latchbolt.ParseToken(tok.Reveal())
		must(t, "parsing", err)
		must(t, purpose, redeem(eng, ctx, purpose, again))
	}
	must(t, "another user's", redeem(eng, ctx, "a", bobs))
}

func TestResetPassword(t *testing.T) {
	var kinds []latchbolt.ChangeKind
	eng := open(t, &latchbolt.Config{Events: latchbolt.Events{Changed: func(c latchbolt.Change) { kinds = append(kinds, c.Kind) }}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	invite := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite"})
	for range 6 {
		_, _ = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "guess"})
		eng.Settle(ctx)
	}
	older, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	tok, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	_, err = eng.ResetPassword(ctx, older, "another fine passphrase")
	want(t, "an older token", err, latchbolt.ErrToken)
	if !alive(t, eng, s.Token) {
		t.Error("asking for a token ended a session")
	}
	_, err = eng.ResetPassword(ctx, tok, "short")
	wantFields(t, "a bad password", err, "password password_too_short")
	_, err = eng.ResetPassword(ctx, invite, "another fine passphrase")
	want(t, "a token of another purpose", err, latchbolt.ErrToken)
	kinds = nil
	id, err := eng.ResetPassword(ctx, tok, "another fine passphrase")
	if err != nil || id != u.ID {
		t.Fatalf("reset: got %d, %v", id, err)
	}
	if len(kinds) != 1 || kinds[0] != latchbolt.ChangePassword {
		t.Errorf("events: got %v", kinds)
	}
	if alive(t, eng, s.Token) || len(sessionsOf(t, eng, u.ID)) != 0 {
		t.Error("a session survived, or the user was logged in")
	}
	want(t, "other tokens", redeem(eng, ctx, "invite", invite), latchbolt.ErrToken)
	_, err = eng.ResetPassword(ctx, tok, "another fine passphrase")
	want(t, "again", err, latchbolt.ErrToken)
	if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "another fine passphrase"}); err != nil {
		t.Errorf("the new password, after a guesser's failures: %v", err)
	}
}

// TestCVE_2024_37897: who may not log in by password, or not at all, gets no token.
func TestCVE_2024_37897(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	hash, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hash", err)
	for what, c := range map[string]struct {
		user latchbolt.User
		hash latchbolt.PasswordHash
		want error
	}{
		"usual":    {latchbolt.User{}, hash, nil},
		"inactive": {latchbolt.User{Inactive: true}, hash, latchbolt.ErrConflict},
		"unusable": {latchbolt.User{}, latchbolt.PasswordHash{}, latchbolt.ErrConflict},
	} {
		c.user.Username = what
		must(t, what, eng.InsertUser(ctx, &c.user, c.hash))
		tok, err := eng.ResetToken(ctx, c.user.ID)
		if !errors.Is(err, c.want) || tok.IsZero() != (c.want != nil) {
			t.Errorf("%s: got %v, %v, want %v", what, tok, err, c.want)
		}
	}
	_, err = eng.ResetToken(ctx, 99)
	want(t, "nobody", err, latchbolt.ErrNotFound)
}

// The use of tokens, and of ones that became void, is in the trail. Ones that nobody
// issued, or that are used up, write nothing.
func TestTokensAreRecorded(t *testing.T) {
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	void := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "void"})
	tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite"})
	must(t, "redeeming", redeem(eng, t.Context(), "invite", tok))
	must(t, "address", eng.UpdateUser(t.Context(), u.ID, set(func(u *latchbolt.User) { u.Email = "new@example.com" })))
	want(t, "redeeming what is void", redeem(eng, t.Context(), "void", void), latchbolt.ErrToken)
	got := actions(trail(t, eng, latchbolt.AuditQuery{Action: "token."}))
	if want := []string{latchbolt.ActionTokenFailed, latchbolt.ActionTokenUse, latchbolt.ActionTokenIssue, latchbolt.ActionTokenIssue}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	before := commits(t, eng)
	for range 100 {
		want(t, "redeeming again", redeem(eng, t.Context(), "invite", tok), latchbolt.ErrToken)
		want(t, "redeeming nothing", redeem(eng, t.Context(), "invite", latchbolt.Token{}), latchbolt.ErrToken)
	}
	eng.Settle(t.Context())
	if n := commits(t, eng) - before; n != 0 {
		t.Errorf("unknown tokens made %d commits", n)
	}
}

// A password that could not be changed for want of room cannot be reset with an old token either.
func TestTokensAreVoidOnAFullDisk(t *testing.T) {
	for what, revoke := range map[string]func(*latchbolt.Engine, latchbolt.UserID) error{
		"SetPassword": func(eng *latchbolt.Engine, id latchbolt.UserID) error {
			return eng.SetPassword(context.Background(), id, "another fine passphrase")
		},
		"EndSessions": func(eng *latchbolt.Engine, id latchbolt.UserID) error {
			return eng.EndSessions(context.Background(), id)
		},
	} {
		store := newFaultStore()
		eng := openOn(t, store, nil)
		u := addUser(t, eng, "ada")
		tok, err := eng.ResetToken(t.Context(), u.ID)
		must(t, "token", err)
		store.failing(kv.ErrFull)
		want(t, what, revoke(eng, u.ID), latchbolt.ErrFull)
		_, err = eng.CheckToken(t.Context(), latchbolt.PurposeReset, tok)
		want(t, what+": checking while full", err, latchbolt.ErrToken)
		store.failing(nil)
		_, err = eng.ResetPassword(t.Context(), tok, "the guesser's own passphrase")
		want(t, what+": resetting afterwards", err, latchbolt.ErrToken)
	}
}

// A beforeUpdate does something once before an update begins.
type beforeUpdate struct {
	*memkv.Store
	do func()
}

func (s *beforeUpdate) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	if do := s.do; do != nil {
		s.do = nil
		do()
	}
	return s.Store.Update(ctx, fn)
}

// Whose password was made unusable while a link for it was being made gets none, as whose was unusable before.
func TestPasswordIsTakenWhileATokenIsMade(t *testing.T) {
	store := &beforeUpdate{Store: &memkv.Store{Buckets: latchbolt.Buckets}}
	eng := openOn(t, store, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	store.do = func() { must(t, "taking the password", eng.SetPasswordHash(ctx, u.ID, latchbolt.PasswordHash{})) }
	tok, err := eng.ResetToken(ctx, u.ID)
	want(t, "a token", err, latchbolt.ErrConflict)
	_, err = eng.ResetPassword(ctx, tok, goodPassword)
	want(t, "a new password", err, latchbolt.ErrToken)
	if got, err := eng.User(ctx, u.ID); err != nil || got.Password.Usable {
		t.Errorf("the user has %+v, %v", got, err)
	}
}
