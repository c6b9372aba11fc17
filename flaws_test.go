package latchbolt_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// Each test is an attack that a published flaw of another system made possible, tried on this one.
// docs/HISTORY.md has all of them, with those of the other packages.

// unthrottled lets tests fail as often as they like.
var unthrottled = latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}

// TestCVE_2018_6188: who is inactive is not told apart from who is not there, by any password.
func TestCVE_2018_6188(t *testing.T) {
	eng := open(t, &latchbolt.Config{Throttle: unthrottled})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	must(t, "deactivating", eng.UpdateUser(ctx, u.ID, set(deactivated)))
	_, nobody := eng.Authenticate(ctx, latchbolt.Password{Username: "nobody", Password: goodPassword})
	want(t, "nobody", nobody, latchbolt.ErrCredentials)
	for _, password := range []string{goodPassword, "wrong", ""} {
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: password})
		if err != nobody || !id.Anonymous() {
			t.Errorf("%q: got %v, %v, want %v", password, id, err, nobody)
		}
	}
}

// TestCVE_2018_16984: no administrator, not even a superuser, is shown anything of a hash.
func TestCVE_2018_16984(t *testing.T) {
	const salt, digest = "canarycanarycanarycana", "wYbvBAIkmQAkEDTMmRO9fQnGQMxcoG4Mmg4TL9Kpk28="
	eng := open(t, nil)
	ctx := t.Context()
	h, err := latchbolt.ParsePasswordHash("pbkdf2_sha256$1$" + salt + "$" + digest)
	must(t, "hash", err)
	u := &latchbolt.User{Username: "ada", Email: "ada@example.com"}
	must(t, "user", eng.InsertUser(ctx, u, h))
	boss := &latchbolt.User{Username: "boss", Superuser: true, Staff: true}
	must(t, "boss", eng.CreateUser(ctx, boss, goodPassword))
	must(t, "hash again", eng.SetPasswordHash(ctx, u.ID, h))
	a := eng.As(authenticate(t, eng, "boss"))
	shown := 0
	shows := func(what string, v any, err error) {
		t.Helper()
		must(t, what, err)
		data, err := json.Marshal(v)
		must(t, what, err)
		for _, text := range []string{string(data), fmt.Sprintf("%v %+v %#v", v, v, v)} {
			shown++
			if strings.Contains(text, salt) || strings.Contains(text, digest[:12]) {
				t.Errorf("%s shows the hash: %s", what, text)
			}
		}
	}
	one, _, err := a.User(ctx, u.ID)
	shows("User", *one, err)
	named, err := a.UserByName(ctx, "ada")
	shows("UserByName", *named, err)
	page, err := a.Search(ctx, latchbolt.UserSearch{Text: "ada"})
	shows("Search", page.Users, err)
	if len(page.Users) != 1 {
		t.Errorf("%d users", len(page.Users))
	}
	entries, _, _, err := a.AuditPage(ctx, latchbolt.AuditQuery{}, 100)
	for _, e := range entries {
		shows("AuditPage", *e, err)
	}
	over, err := a.Overview(ctx, 7)
	shows("Overview", over, err)
	goes, err := a.WhatGoesWith(ctx, u.ID)
	shows("WhatGoesWith", goes, err)
	for _, u := range collect(t, eng, latchbolt.UserQuery{}) {
		shows("Users", *u, nil)
	}
	byMail, err := eng.UsersByEmail(ctx, "ada@example.com")
	shows("UsersByEmail", *byMail[0], err)
	if shown < 14 {
		t.Errorf("only %d texts were looked at", shown)
	}
}

// hostile are texts that look like parts of keys, or would break one up.
func hostile(id latchbolt.UserID) []string {
	be := string([]byte{0, 0, 0, 0, 0, 0, 0, byte(id)})
	return []string{"\x00", be, "u" + be, "\x01" + be + be, "a:b", "a", "ab", "/../", "\xff\xff\xff\xff", strings.Repeat("k", 500), "user.name", "s." + be, "\x00\x02a\x00\x01b"}
}

// stored is all that a file holds, by bucket and key.
func everything(t testing.TB, eng *latchbolt.Engine) map[kv.Bucket]map[string]string {
	t.Helper()
	eng.Settle(t.Context())
	all := make(map[kv.Bucket]map[string]string)
	must(t, "reading everything", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		for _, b := range latchbolt.Buckets {
			all[b] = make(map[string]string)
			for p, err := range tx.Records(b) {
				if err != nil {
					return err
				}
				all[b][string(p.Key)] = string(p.Value)
			}
		}
		return nil
	}))
	return all
}

// TestCVE_2011_4136: no text that somebody chooses becomes a record of another kind, or another's record.
func TestCVE_2011_4136(t *testing.T) {
	eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, nil)
	ctx := t.Context()
	u, other := addUser(t, eng, "ada"), addUser(t, eng, "bob")
	define(t, eng, "blog.add")
	g := addGroup(t, eng, "writers")
	must(t, "granting", eng.Grant(ctx, other.ID, "blog.add", "a:b"))
	must(t, "granting", eng.Grant(ctx, g, "blog.add"))
	issue(t, eng, latchbolt.OneTimeRequest{User: other.ID, Purpose: "a"})
	s, bobs := login(t, eng, "ada"), login(t, eng, "bob")
	setValue(t, eng, bobs.Token, "a", "b")
	tried := 0
	for _, text := range hostile(other.ID) {
		for what, c := range map[string]struct {
			do   func() error
			into string // buckets that may change
		}{
			"object": {func() error { return eng.Grant(ctx, u.ID, "blog.add", latchbolt.Object(text)) }, "grant grant.holder audit user"},
			"purpose": {func() error {
				_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: text})
				return err
			}, "token token.user audit"},
			"data": {func() error {
				_, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p", Data: text})
				return err
			}, "token token.user audit"},
			"group":      {func() error { _, err := eng.CreateGroup(ctx, text); return err }, "group group.name audit meta"},
			"permission": {func() error { return eng.Define(ctx, latchbolt.Permission{App: "x", Codename: text}) }, "perm perm.name audit meta"},
			"value": {func() error {
				_, err := eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error { return v.Set(text, text) })
				return err
			}, "session session.data"},
			"session name": {func() error { return eng.NameSession(ctx, s.ID, text) }, "session session.new session.user user.login"},
			"user name": {func() error {
				_, err := eng.Authenticate(ctx, latchbolt.Password{Username: text, Password: "x", Client: latchbolt.Client{Agent: text}})
				if errors.Is(err, latchbolt.ErrCredentials) {
					return nil
				}
				return fmt.Errorf("logged in: %w", err)
			}, "throttle audit"},
		} {
			before := everything(t, eng)
			err := c.do()
			after := everything(t, eng)
			if err != nil {
				if !errors.Is(err, latchbolt.ErrInvalid) && !errors.Is(err, latchbolt.ErrExists) {
					t.Errorf("%s %.20q: %v", what, text, err)
				}
				c.into = "audit"
			} else {
				tried++
			}
			for b := range before {
				if !slices.Contains(strings.Fields(c.into), string(b)) && !maps.Equal(before[b], after[b]) {
					t.Errorf("%s %.20q changed %s", what, text, b)
				}
			}
			for _, b := range []kv.Bucket{"grant", "token", "perm", "group"} {
				for k, v := range before[b] {
					if after[b][k] != v && (b != "token" || what != "data" && what != "purpose") {
						t.Errorf("%s %.20q replaced a record of %s", what, text, b)
					}
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d changes were made", tried)
	}
	if !alive(t, eng, bobs.Token) || value(t, eng, bobs.Token, "a") != "b" {
		t.Error("another's session suffered")
	}
}

// TestCVE_2026_6873: purpose and data are not one text: a token is good for its own purpose alone, whatever
// they add up to.
func TestCVE_2026_6873(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	a, b := addUser(t, eng, "ada"), addUser(t, eng, "bob")
	purposes := []string{"a", "ab", "abc", "password-reset", "password-resetx", "a\x00", "\x00a"}
	type issued struct {
		user    latchbolt.UserID
		purpose string
		data    string
		tok     latchbolt.Token
	}
	var all []issued
	for _, u := range []latchbolt.UserID{a.ID, b.ID} {
		for i, p := range purposes {
			data := strings.Repeat("c", len(purposes)-i)
			all = append(all, issued{u, p, data, issue(t, eng, latchbolt.OneTimeRequest{User: u, Purpose: p, Data: data})})
		}
	}
	for _, tok := range all {
		for _, p := range append(purposes, "b", "bc", tok.purpose+tok.data, "") {
			id, err := eng.CheckToken(ctx, p, tok.tok)
			if (err == nil) != (p == tok.purpose) || err == nil && id != tok.user || err != nil && !errors.Is(err, latchbolt.ErrToken) {
				t.Errorf("token for %q checked for %q: got %d, %v", tok.purpose, p, id, err)
			}
		}
	}
	for _, tok := range all {
		must(t, "redeeming", eng.RedeemToken(ctx, tok.purpose, tok.tok, func(_ *latchbolt.Tx, u *latchbolt.User, data string) error {
			if u.ID != tok.user || data != tok.data {
				t.Errorf("got %d, %q, want %d, %q", u.ID, data, tok.user, tok.data)
			}
			return nil
		}))
	}
}

// TestCVE_2016_9013: a new file has no user whom anybody knows the password of.
func TestCVE_2016_9013(t *testing.T) {
	eng := open(t, &latchbolt.Config{Throttle: unthrottled, Backends: []latchbolt.Backend{latchbolt.PasswordBackend{ByEmail: true, Inactive: true}}})
	must(t, "viewing", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		if unused, err := tx.Unused(); err != nil || !unused {
			t.Errorf("unused: %v, %v", unused, err)
		}
		for _, b := range []kv.Bucket{"user", "user.name", "session", "token", "grant", "group"} {
			if n, err := tx.CountRecords(b); err != nil || n != 0 {
				t.Errorf("%s: %d records, %v", b, n, err)
			}
		}
		return nil
	}))
	for _, name := range []string{"", "admin", "root", "administrator", "test", "user", "latchbolt", "guest", "0", "1"} {
		for _, password := range []string{"", name, "admin", "password", "latchbolt", "changeme", "1234", goodPassword} {
			id, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: password})
			if !errors.Is(err, latchbolt.ErrCredentials) || !id.Anonymous() {
				t.Errorf("%q, %q: got %v, %v", name, password, id, err)
			}
		}
	}
}

// TestCVE_2024_38351: somebody makes an account with another's address before the owner comes. When the owner proves the address by
// a reset, all that the first one has is dead: sessions, remembered ones too, tokens and password.
func TestCVE_2024_38351(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		eng := open(t, &cfg)
		ctx := t.Context()
		u := &latchbolt.User{Username: "squatter", Email: "victim@example.com"}
		must(t, "creating", eng.CreateUser(ctx, u, goodPassword))
		squatters := []latchbolt.Token{login(t, eng, "squatter").Token, logIn(t, eng, "squatter", latchbolt.LoginOptions{Remember: true}).Token}
		other := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite"})
		held := authenticate(t, eng, "squatter") // proved, and not used yet
		link, err := eng.ResetToken(ctx, u.ID)
		must(t, "link", err)
		_, err = eng.ResetPassword(ctx, link, "the owner has another one")
		must(t, "reset", err)
		for i, tok := range squatters {
			if alive(t, eng, tok) {
				t.Errorf("session %d lives", i)
			}
		}
		_, err = eng.Login(ctx, held, latchbolt.LoginOptions{})
		want(t, "a proof from before", err, latchbolt.ErrCredentials)
		_, err = eng.CheckToken(ctx, "invite", other)
		want(t, "another token", err, latchbolt.ErrToken)
		_, err = eng.ResetPassword(ctx, link, goodPassword)
		want(t, "the link again", err, latchbolt.ErrToken)
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "squatter", Password: goodPassword})
		want(t, "the password", err, latchbolt.ErrCredentials)
		if n := len(sessionsOf(t, eng, u.ID)); n != 0 {
			t.Errorf("a reset began %d sessions", n)
		}
	})
}

// TestLockTellsNothing: while an account has to wait, the right password gets the same answer for the same work as a wrong one.
func TestLockTellsNothing(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	addUser(t, eng, "ada")
	try := func(password string) (int64, error) {
		before, err := eng.Stats()
		must(t, "statistics", err)
		id, refused := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: password})
		after, err := eng.Stats()
		must(t, "statistics", err)
		if !id.Anonymous() {
			t.Errorf("%q: got %v", password, id)
		}
		return after.HashUnits - before.HashUnits, refused
	}
	for range 6 {
		_, err := try("wrong")
		want(t, "guessing", err, latchbolt.ErrCredentials)
	}
	units, wrong := try("wrong")
	unitsRight, right := try(goodPassword)
	want(t, "wrong", wrong, latchbolt.ErrThrottled)
	if !reflect.DeepEqual(wrong, right) || units != unitsRight {
		t.Errorf("wrong: %v for %d units, right: %v for %d", wrong, units, right, unitsRight)
	}
	clock.advance(time.Hour)
	authenticate(t, eng, "ada")
}

// TestCVE_2025_66630: a system without random bytes gives no token at all. (Reading random bytes ends the process
// then, so another process does it.)
func TestCVE_2025_66630(t *testing.T) {
	const env = "LATCHBOLT_TEST_NO_RANDOM"
	calls := map[string]func(*latchbolt.Engine, latchbolt.Identity) (latchbolt.Token, error){
		"Login": func(eng *latchbolt.Engine, id latchbolt.Identity) (latchbolt.Token, error) {
			s, err := eng.Login(t.Context(), id, latchbolt.LoginOptions{})
			return s.Token, err
		},
		"NewSession": func(eng *latchbolt.Engine, _ latchbolt.Identity) (latchbolt.Token, error) {
			s, err := eng.NewSession(t.Context(), latchbolt.LoginOptions{})
			return s.Token, err
		},
		"ResetToken": func(eng *latchbolt.Engine, id latchbolt.Identity) (latchbolt.Token, error) {
			return eng.ResetToken(t.Context(), id.ID())
		},
	}
	if what := os.Getenv(env); what != "" {
		eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, nil)
		addUser(t, eng, "ada")
		id := authenticate(t, eng, "ada")
		if !strings.HasSuffix(what, "+") {
			rand.Reader = io.LimitReader(rand.Reader, 5)
		}
		if tok, err := calls[strings.TrimSuffix(what, "+")](eng, id); err == nil && !tok.IsZero() {
			fmt.Println("got a token")
		}
		return
	}
	for name := range calls {
		for _, works := range []bool{false, true} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCVE_2025_66630$", "-test.v")
			what := name
			if works {
				what += "+" // the control
			}
			cmd.Env = append(os.Environ(), env+"="+what)
			out, err := cmd.CombinedOutput()
			if got := bytes.Contains(out, []byte("got a token")); got != works {
				t.Errorf("%s: got a token %v, want %v: %v\n%.500s", what, got, works, err, out)
			}
		}
	}
}

// TestGHSA_x883_2vmg_xwf7: who leaves a group has its permissions no longer, for every holder of every proof, at once.
func TestGHSA_x883_2vmg_xwf7(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		eng := open(t, &cfg)
		ctx := t.Context()
		define(t, eng, "blog.add")
		u, g := addUser(t, eng, "ada"), addGroup(t, eng, "writers")
		must(t, "granting", eng.Grant(ctx, g, "blog.add"))
		s := login(t, eng, "ada")
		for what, leave := range map[string]func() error{
			"removed":       func() error { return eng.RemoveFromGroup(ctx, u.ID, g) },
			"other groups":  func() error { return eng.SetGroups(ctx, u.ID) },
			"group lost it": func() error { return eng.Revoke(ctx, g, "blog.add") },
		} {
			must(t, "granting", eng.Grant(ctx, g, "blog.add"))
			must(t, "joining", eng.AddToGroup(ctx, u.ID, g))
			id, err := eng.SessionUser(ctx, s.Token)
			must(t, "session", err)
			if !hasPerm(t, eng, id, "blog.add") || !id.Has("blog.add") {
				t.Fatal("a member has no permission")
			}
			must(t, what, leave())
			if hasPerm(t, eng, id, "blog.add") {
				t.Errorf("%s: an Identity from before has it", what)
			}
			for _, err := range parallel(8, func(int) error {
				now, err := eng.SessionUser(ctx, s.Token)
				if err == nil && now.Has("blog.add") {
					err = errors.New("has it")
				}
				return err
			}) {
				must(t, what, err)
			}
		}
		must(t, "deleting the group", eng.DeleteGroup(ctx, g))
	})
}

// TestCVE_2025_54998: no other spelling of a name gets around its waiting time.
func TestCVE_2025_54998(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	u := addUser(t, eng, "alice")
	for range 6 {
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "alice", Password: "wrong"})
		want(t, "guessing", err, latchbolt.ErrCredentials)
	}
	for _, name := range []string{"alice", "ALICE", "Alice", "ａlice", "ＡＬＩＣＥ", "alice ", " alice", "alice\u200b", "alice\x00", "alice\n", "ali\u00adce", "ⓐlice", "\ufeffalice", "alıce"} {
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: goodPassword})
		want(t, fmt.Sprintf("%q", name), err, latchbolt.ErrCredentials)
	}
	if wait, n, err := eng.Throttled(t.Context(), u.ID); err != nil || wait <= 0 || n < 5 {
		t.Errorf("got %v, %d, %v", wait, n, err)
	}
	clock.advance(time.Hour)
	authenticate(t, eng, "alice")
}

// TestCVE_2026_55670: an identifier is given once. Whoever comes next has nothing of who went.
func TestCVE_2026_55670(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	g := addGroup(t, eng, "writers")
	given := make(map[latchbolt.UserID]bool)
	for round := range 4 {
		u := addUser(t, eng, "ada")
		if given[u.ID] {
			t.Errorf("identifier %d came again", u.ID)
		}
		given[u.ID] = true
		if hasPerm(t, eng, authenticate(t, eng, "ada"), "blog.add") || hasPerm(t, eng, authenticate(t, eng, "ada"), "blog.add", "post:1") {
			t.Errorf("round %d: has what the one before had", round)
		}
		if gs := groupsOf(t, eng, u.ID); len(gs) != 0 {
			t.Errorf("round %d: in groups %v", round, gs)
		}
		if ss := sessionsOf(t, eng, u.ID); len(ss) != 0 {
			t.Errorf("round %d: %d sessions", round, len(ss))
		}
		must(t, "granting", eng.Grant(ctx, u.ID, "blog.add"))
		must(t, "granting", eng.Grant(ctx, u.ID, "blog.add", "post:1"))
		must(t, "joining", eng.AddToGroup(ctx, u.ID, g))
		s := login(t, eng, "ada")
		tok := issue(t, eng, latchbolt.OneTimeRequest{User: u.ID, Purpose: "p"})
		must(t, "deleting", eng.DeleteUser(ctx, u.ID))
		switch round {
		case 1:
			eng = reopen(t, eng, nil)
		case 2:
			_, _, err := eng.Compact(ctx)
			must(t, "compacting", err)
		}
		if alive(t, eng, s.Token) {
			t.Error("a session of a deleted user lives")
		}
		_, err := eng.CheckToken(ctx, "p", tok)
		want(t, "a token of a deleted user", err, latchbolt.ErrToken)
	}
	if n := len(members(t, eng, g)); n != 0 {
		t.Errorf("%d members are left", n)
	}
}

// TestCVE_2024_45042: that a password was given lately is known of one session of one user. It goes with neither to another.
func TestCVE_2024_45042(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	old := login(t, eng, "ada")
	clock.advance(time.Hour)
	now := login(t, eng, "ada")
	for what, c := range map[string]struct {
		tok  latchbolt.Token
		want bool
	}{"an old session beside a fresh one": {old.Token, false}, "the fresh one": {now.Token, true}} {
		if got, err := eng.Fresh(ctx, c.tok); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v", what, got, err)
		}
	}
	// Another user takes the client over: nothing of the first one's proof is left.
	bobs := logIn(t, eng, "bob", latchbolt.LoginOptions{Previous: now.Token})
	if got, err := eng.Fresh(ctx, now.Token); got || !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("the first one's session: got %v, %v", got, err)
	}
	clock.advance(time.Hour)
	again := logIn(t, eng, "ada", latchbolt.LoginOptions{Previous: bobs.Token})
	if got, err := eng.Fresh(ctx, bobs.Token); got || !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("the second one's session: got %v, %v", got, err)
	}
	// A new password is no proof of whoever had a session before.
	must(t, "a new password", eng.SetPassword(ctx, u.ID, "another fine passphrase"))
	if got, err := eng.Fresh(ctx, again.Token); got || !errors.Is(err, latchbolt.ErrNoSession) {
		t.Errorf("after a new password: got %v, %v", got, err)
	}
}

// TestCVE_2026_33503: places to go on from that no page gave lead to nothing but what the same list holds.
func TestCVE_2026_33503(t *testing.T) {
	r := newStaffRoom(t)
	ctx := t.Context()
	known := map[latchbolt.SessionID]bool{r.sess: true}
	for _, name := range []string{"boss", "chief", "aide"} {
		known[login(t, r.eng, name).ID] = true
	}
	boss := r.as(r.boss)
	forged := []latchbolt.SessionID{{}, {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, r.sess, {0, 0, 0, 0, 0, 0, 0, 1}}
	for range 200 {
		var id latchbolt.SessionID
		rand.Read(id[:])
		forged = append(forged, id)
	}
	for _, id := range forged {
		page, err := boss.AllSessions(ctx, &id, 10)
		must(t, "AllSessions", err)
		for _, s := range page.Sessions {
			if !known[s.ID] {
				t.Errorf("after %v: got %v", id, s.ID)
			}
		}
		if _, err := r.as(r.actor).AllSessions(ctx, &id, 10); !errors.Is(err, latchbolt.ErrForbidden) {
			t.Errorf("who may not: got %v", err)
		}
	}
	all := collect(t, r.eng, latchbolt.UserQuery{})
	for _, after := range []*latchbolt.User{{ID: 1 << 63}, {ID: 0}, {Username: "\xff\xff"}, {Username: "\x00", ID: 3}, {Username: strings.Repeat("z", 1000), ID: 2}} {
		for _, order := range []latchbolt.Order{0, 1} {
			got := 0
			for u, err := range r.eng.Users(ctx, latchbolt.UserQuery{After: after, Order: order}) {
				must(t, "Users", err)
				if !slices.ContainsFunc(all, func(k *latchbolt.User) bool { return k.ID == u.ID && k.Username == u.Username }) {
					t.Errorf("got %v", u)
				}
				got++
			}
			if got > len(all) {
				t.Errorf("%d users of %d", got, len(all))
			}
		}
	}
}

// TestCVE_2026_33496: name and password are not one text, and a password that was right once is not remembered to be.
func TestCVE_2026_33496(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, cfg latchbolt.Config) {
		cfg.Throttle = unthrottled
		eng := open(t, &cfg)
		ctx := t.Context()
		password := map[string]string{"ab": "c-" + goodPassword, "a": "x-" + goodPassword}
		for name, pw := range password {
			must(t, name, eng.CreateUser(ctx, &latchbolt.User{Username: name}, pw))
			for range 2 {
				_, err := eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: pw})
				must(t, name, err)
			}
		}
		for _, c := range [][2]string{{"a", "bc-" + goodPassword}, {"abc", "-" + goodPassword}, {"", "abc-" + goodPassword}, {"ab", password["a"]}, {"a", password["ab"]}} {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: c[0], Password: c[1]})
			want(t, fmt.Sprint(c), err, latchbolt.ErrCredentials)
		}
		u, err := eng.UserByName(ctx, "ab")
		must(t, "user", err)
		must(t, "changing", eng.SetPassword(ctx, u.ID, "another fine passphrase"))
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ab", Password: password["ab"]})
		want(t, "the old password", err, latchbolt.ErrCredentials)
	})
}

// TestCVE_2026_25889: nobody sets a password without the old one, but who holds the right to.
func TestCVE_2026_25889(t *testing.T) {
	r := newStaffRoom(t)
	ctx := t.Context()
	s := login(t, r.eng, "actor")
	const next = "another fine passphrase"
	for _, old := range []string{"", " ", "wrong", next, goodPassword + " ", goodPassword[:10]} {
		_, err := r.eng.ChangePassword(ctx, s.Token, old, next)
		want(t, fmt.Sprintf("old password %q", old), err, latchbolt.ErrCredentials)
		r.eng.Unlock(ctx, r.actor)
	}
	var others []latchbolt.Perm
	for _, p := range r.perms {
		if p != "auth.change_password" && p != "auth.set_password" {
			others = append(others, p)
		}
	}
	r.holding("auth.change_user", "auth.add_user", "auth.view_user", "auth.delete_user")
	for what, target := range map[string]latchbolt.UserID{"own": r.actor, "another's": r.other, "a superuser's": r.boss} {
		want(t, what, r.as(r.actor).SetPassword(ctx, target, next), latchbolt.ErrForbidden)
	}
	authenticate(t, r.eng, "actor")
	authenticate(t, r.eng, "other")
	if len(others) == 0 || len(others) == len(r.perms) {
		t.Errorf("the right to set passwords is not among %v", r.perms)
	}
}

// TestCVE_2026_54097: what is removed for one is removed for nobody whose number or name begins alike.
func TestCVE_2026_54097(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	for _, p := range []string{"add", "add_", "add_post"} {
		must(t, "defining", eng.Define(ctx, latchbolt.Permission{App: "wiki", Codename: p}))
	}
	hash, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hash", err)
	ids := []latchbolt.UserID{1, 10, 16, 100, 256, 257, 65536, 1 << 40}
	name := func(id latchbolt.UserID) string { return "u" + fmt.Sprint(uint64(id)) }
	objects := []latchbolt.Object{"a", "a/", "ab", "a\x00"}
	sessions, tokens := make(map[latchbolt.UserID]latchbolt.Token), make(map[latchbolt.UserID]latchbolt.Token)
	for _, id := range ids {
		must(t, "inserting", eng.InsertUser(ctx, &latchbolt.User{ID: id, Username: name(id)}, hash))
		sessions[id] = login(t, eng, name(id)).Token
		tokens[id] = issue(t, eng, latchbolt.OneTimeRequest{User: id, Purpose: "p"})
		must(t, "granting", eng.Grant(ctx, id, "blog.add", objects...))
		must(t, "granting", eng.Grant(ctx, id, "wiki.add_post"))
		must(t, "granting", eng.Grant(ctx, id, "wiki.add_"))
		must(t, "granting", eng.Grant(ctx, id, "wiki.add"))
	}
	must(t, "revoking", eng.Revoke(ctx, ids[1], "blog.add", "a"))
	must(t, "undefining", eng.Undefine(ctx, "wiki.add"))
	must(t, "ending", eng.EndSessions(ctx, ids[0]))
	must(t, "deleting", eng.DeleteUser(ctx, ids[2]))
	for i, id := range ids {
		if got := alive(t, eng, sessions[id]); got != (i != 0 && i != 2) {
			t.Errorf("session of %d: %v", id, got)
		}
		if _, err := eng.CheckToken(ctx, "p", tokens[id]); (err == nil) != (i != 0 && i != 2) { // the end of all sessions makes tokens void too
			t.Errorf("token of %d: %v", id, err)
		}
		if i == 2 {
			continue
		}
		who := authenticate(t, eng, name(id))
		for j, o := range objects {
			if got := hasPerm(t, eng, who, "blog.add", o); got != (i != 1 || j != 0) {
				t.Errorf("%d on %q: %v", id, o, got)
			}
		}
		if hasPerm(t, eng, who, "wiki.add") || !hasPerm(t, eng, who, "wiki.add_") || !hasPerm(t, eng, who, "wiki.add_post") {
			t.Errorf("%d: the wrong permissions are left", id)
		}
	}
}

// TestCVE_2026_62685: of names that look alike to the system one is given, however many ask at once.
func TestCVE_2026_62685(t *testing.T) {
	for _, names := range [][]string{
		{"alice", "ALICE", "Alice", "ａlice", "ａＬＩＣＥ"},
		{"straße", "STRASSE", "strasse", "Straße"},
		{"ﬁn", "fin", "FIN", "ﬁN"},
		{"K", "k", "\u212a", "Ｋ"},
		{"Ω", "ω", "\u2126"},
		{"é", "e\u0301", "É", "E\u0301"},
		{"ς", "σ", "Σ"},
	} {
		eng := open(t, nil)
		errs := parallel(len(names), func(i int) error {
			return eng.CreateUser(t.Context(), &latchbolt.User{Username: names[i]}, goodPassword)
		})
		if won, lost := count(errs, nil), count(errs, latchbolt.ErrExists); won != 1 || lost != len(names)-1 {
			t.Errorf("%q: %d made, %d refused: %v", names, won, lost, errs)
		}
		for _, name := range names {
			authenticate(t, eng, name)
		}
	}
}

// TestCVE_2026_62684: what the engine hands out about users, sessions and the trail has no field that could hold a hash, and prints none.
func TestCVE_2026_62684(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if typ == reflect.TypeFor[latchbolt.PasswordHash]() {
			t.Errorf("%s is a hash", path)
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(path, typ.Elem())
		case reflect.Struct:
			for f := range typ.Fields() {
				if f.IsExported() {
					walk(path+"."+f.Name, f.Type)
				}
			}
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[latchbolt.User](), reflect.TypeFor[latchbolt.UserSession](), reflect.TypeFor[latchbolt.AuditEntry](),
		reflect.TypeFor[latchbolt.UserPage](), reflect.TypeFor[latchbolt.Overview](), reflect.TypeFor[latchbolt.Goes](), reflect.TypeFor[latchbolt.LoginFailure](), reflect.TypeFor[latchbolt.Change](), reflect.TypeFor[latchbolt.Decision]()} {
		walk(typ.Name(), typ)
	}
	if len(seen) < 20 {
		t.Errorf("only %d types", len(seen))
	}
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	var hash string
	must(t, "hash", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		h, err := tx.PasswordHash(u.ID)
		hash = h.Reveal()
		return err
	}))
	u, err := eng.User(t.Context(), u.ID)
	must(t, "user", err)
	var buf bytes.Buffer
	must(t, "gob", gob.NewEncoder(&buf).Encode(*u))
	for what, text := range map[string]string{"gob": buf.String(), "user": fmt.Sprintf("%+v %#v", *u, *u), "session": fmt.Sprintf("%+v %#v", s, s)} {
		for _, secret := range []string{hash, hash[len(hash)-20:], s.Token.Reveal(), string(rawSecret(t, s.Token))} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: a secret is in %q", what, text)
			}
		}
	}
}

// TestCVE_2025_53826: who logs out is out for everybody who asks afterwards, in whatever goroutine, cached or not.
func TestCVE_2025_53826(t *testing.T) {
	for _, sc := range storeCases {
		t.Run(sc.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: sc.make(t)})
			addUser(t, eng, "ada")
			for range 20 {
				s := login(t, eng, "ada")
				if !alive(t, eng, s.Token) {
					t.Fatal("not alive")
				}
				must(t, "logout", eng.Logout(t.Context(), s.Token))
				if errs := parallel(100, func(int) error { _, err := eng.SessionUser(t.Context(), s.Token); return err }); count(errs, latchbolt.ErrNoSession) != 100 {
					t.Fatalf("let in: %v", errs)
				}
			}
		})
	}
}

// TestCVE_2026_34828: a new password ends every session that was there, also remembered ones, however it is set.
func TestCVE_2026_34828(t *testing.T) {
	for _, sc := range storeCases {
		t.Run(sc.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: sc.make(t)})
			ctx := t.Context()
			u := addUser(t, eng, "ada")
			password := goodPassword
			hash, err := eng.HashPassword(ctx, goodPassword)
			must(t, "hash", err)
			for i, change := range []func(here latchbolt.Token, next string) error{
				func(_ latchbolt.Token, next string) error { return eng.SetPassword(ctx, u.ID, next) },
				func(here latchbolt.Token, next string) error {
					_, err := eng.ChangePassword(ctx, here, password, next)
					return err
				},
				func(_ latchbolt.Token, next string) error {
					tok, err := eng.ResetToken(ctx, u.ID)
					if err == nil {
						_, err = eng.ResetPassword(ctx, tok, next)
					}
					return err
				},
				func(latchbolt.Token, string) error { return eng.SetPasswordHash(ctx, u.ID, hash) },
			} {
				begin := func(o latchbolt.LoginOptions) latchbolt.Token {
					id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: password})
					must(t, "authenticating", err)
					s, err := eng.Login(ctx, id, o)
					must(t, "login", err)
					return s.Token
				}
				all := []latchbolt.Token{begin(latchbolt.LoginOptions{}), begin(latchbolt.LoginOptions{Remember: true}), begin(latchbolt.LoginOptions{BrowserLength: true})}
				next := fmt.Sprintf("a fine passphrase, number %d", i)
				must(t, "changing", change(all[0], next))
				for j, tok := range all {
					if alive(t, eng, tok) {
						t.Errorf("way %d: session %d lives", i, j)
					}
				}
				password = next
			}
		})
	}
}

// TestCVE_2022_39229: who takes another's address as user name neither becomes the other nor keeps the other out of
// the own account by name.
func TestCVE_2022_39229(t *testing.T) {
	for _, first := range []string{"victim", "eve"} {
		eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{ByEmail: true}}, Throttle: unthrottled})
		ctx := t.Context()
		make := map[string]func(){
			"victim": func() {
				must(t, "victim", eng.CreateUser(ctx, &latchbolt.User{Username: "victim", Email: "victim@example.com"}, goodPassword))
			},
			"eve": func() {
				must(t, "eve", eng.CreateUser(ctx, &latchbolt.User{Username: "Victim@example.com", Email: "eve@example.com"}, "the password that eve has"))
			},
		}
		make[first]()
		for name, fn := range make {
			if name != first {
				fn()
			}
		}
		if id := authenticate(t, eng, "victim"); id.Username() != "victim" {
			t.Errorf("%s first: the victim is %v", first, id)
		}
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "victim@example.com", Password: "the password that eve has"})
		if err != nil || id.Username() != "Victim@example.com" {
			t.Errorf("%s first: eve is %v, %v", first, id, err)
		}
		// What is typed means one account; it is never tried on two.
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "victim@example.com", Password: goodPassword})
		want(t, first+" first: the victim's password for eve's name", err, latchbolt.ErrCredentials)
	}
}

// TestCVE_2026_40574: an address has one domain, whatever else looks like one.
func TestCVE_2026_40574(t *testing.T) {
	for _, s := range []string{"a@good.com@evil.com", "a@evil.com,b@good.com", "a@evil.com b@good.com", "a@evil.com;b@good.com", "<a@good.com>", "Ada <a@good.com>", "a(b@good.com)@evil.com",
		"a@good.com(@evil.com)", `"a@good.com"@evil.com@x.org`, "a@[127.0.0.1]@good.com", "a@good.com\r\nBcc: b@evil.com", "a@good.com%0abcc:b@evil.com", "a@", "@good.com", "a@good.com.", "a@.good.com", "a@good..com", "a@good.com/", "a@evil.com?@good.com", "a@evil.com#@good.com"} {
		if err := latchbolt.ValidateEmail(s); !errors.Is(err, latchbolt.ErrInvalid) {
			t.Errorf("%q: got %v", s, err)
		}
	}
	// What is quoted is part of the local part; the domain is what stands behind the last @.
	for s, want := range map[string]string{`"a@good.com"@EVIL.com`: `"a@good.com"@evil.com`, "A@Good.COM": "A@good.com"} {
		if err := latchbolt.ValidateEmail(s); err != nil || latchbolt.NormalizeEmail(s) != want {
			t.Errorf("%q: got %q, %v", s, latchbolt.NormalizeEmail(s), err)
		}
	}
}

// TestCVE_2024_51744: beside an error there is nobody and no session, also where two things are wrong at once.
func TestCVE_2024_51744(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now, Throttle: unthrottled})
	ctx := t.Context()
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	text := []byte(s.Token.Reveal())
	text[63] ^= 1 // 'A' and '@' and the like may not be base64
	for _, c := range "ABab01" {
		text[63] = byte(c)
		if string(text) != s.Token.Reveal() {
			break
		}
	}
	forged, err := latchbolt.ParseToken(string(text))
	must(t, "forging", err)
	for _, hours := range []time.Duration{0, 30 * 24} {
		clock.advance(hours * time.Hour)
		for what, tok := range map[string]latchbolt.Token{"forged": forged, "zero": {}, "the token": s.Token} {
			if what == "the token" && hours == 0 {
				continue
			}
			id, err := eng.SessionUser(ctx, tok)
			if !errors.Is(err, latchbolt.ErrNoSession) || !id.Anonymous() || id.ID() != 0 || id.Has("blog.add") {
				t.Errorf("%s: got %v, %v", what, id, err)
			}
			p, err := eng.Session(ctx, tok)
			if !errors.Is(err, latchbolt.ErrNoSession) || p != (latchbolt.Session{}) {
				t.Errorf("%s: got %+v, %v", what, p, err)
			}
			if fresh, err := eng.Fresh(ctx, tok); fresh || !errors.Is(err, latchbolt.ErrNoSession) {
				t.Errorf("%s: fresh %v, %v", what, fresh, err)
			}
			uid, err := eng.CheckToken(ctx, latchbolt.PurposeReset, tok)
			if uid != 0 || !errors.Is(err, latchbolt.ErrToken) {
				t.Errorf("%s: token of %d, %v", what, uid, err)
			}
		}
	}
	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
	if err == nil || !id.Anonymous() || id.ID() != 0 || id.Username() != "" {
		t.Errorf("got %v, %v", id, err)
	}
}

// TestCVE_2026_29061: no session carries rights of its own: whoever is demoted has lost them in every session there is,
// wherever sessions live.
func TestCVE_2026_29061(t *testing.T) {
	for _, sc := range storeCases {
		t.Run(sc.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: sc.make(t)})
			ctx := t.Context()
			define(t, eng, "blog.add")
			must(t, "boss", eng.CreateUser(ctx, &latchbolt.User{Username: "boss", Superuser: true}, goodPassword))
			u := addUser(t, eng, "ada")
			must(t, "promoting", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser = true, true })))
			s := login(t, eng, "ada")
			id, err := eng.SessionUser(ctx, s.Token)
			if err != nil || !id.Superuser() || !id.Has("blog.add") {
				t.Fatalf("got %v, %v", id, err)
			}
			must(t, "demoting", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser = false, false })))
			now, err := eng.SessionUser(ctx, s.Token)
			if err != nil || now.Superuser() || now.Staff() || now.Has("blog.add") || hasPerm(t, eng, now, "blog.add") || hasPerm(t, eng, id, "blog.add") {
				t.Errorf("demoted: got %v, %v", now, err)
			}
			must(t, "granting", eng.Grant(ctx, u.ID, "blog.add"))
			if now, err = eng.SessionUser(ctx, s.Token); err != nil || !now.Has("blog.add") {
				t.Errorf("granted: %v", err)
			}
			must(t, "revoking", eng.Revoke(ctx, u.ID, "blog.add"))
			if now, err := eng.SessionUser(ctx, s.Token); err != nil || now.Has("blog.add") || hasPerm(t, eng, now, "blog.add") {
				t.Errorf("revoked: %v", err)
			}
		})
	}
}

// TestCVE_2026_56852: text that is not UTF-8 does not reach what cannot bear it, and every call ends.
func TestCVE_2026_56852(t *testing.T) {
	eng := open(t, &latchbolt.Config{Throttle: unthrottled, Backends: []latchbolt.Backend{latchbolt.PasswordBackend{ByEmail: true}}})
	ctx := t.Context()
	var texts []string
	for _, tail := range []string{"\xff", "\xc2", "\xe1\x80", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\u0300\xff", "\u1161\xe1"} {
		for _, head := range []string{"", "a", "é", "\u0300", strings.Repeat("\u0300", 40), "가", strings.Repeat("\u0345", 140), "@"} {
			texts = append(texts, head+tail, tail+head, head+tail+head)
		}
	}
	done := make(chan string)
	go func() {
		defer close(done)
		for _, s := range texts {
			if _, err := latchbolt.NormalizeUsername(s); !errors.Is(err, latchbolt.ErrInvalid) {
				done <- fmt.Sprintf("NormalizeUsername(%q): %v", s, err)
			}
			if got := latchbolt.NormalizeEmail(s); got != s {
				done <- fmt.Sprintf("NormalizeEmail(%q): %q", s, got)
			}
			for what, err := range map[string]error{
				"ValidateUsername": latchbolt.ValidateUsername(s), "ValidateEmail": latchbolt.ValidateEmail(s),
				"CreateUser": eng.CreateUser(ctx, &latchbolt.User{Username: s}, goodPassword),
			} {
				if !errors.Is(err, latchbolt.ErrInvalid) {
					done <- fmt.Sprintf("%s(%q): %v", what, s, err)
				}
			}
			if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: s, Password: s}); !errors.Is(err, latchbolt.ErrCredentials) {
				done <- fmt.Sprintf("Authenticate(%q): %v", s, err)
			}
			if us, err := eng.UsersByEmail(ctx, s); len(us) != 0 || err != nil {
				done <- fmt.Sprintf("UsersByEmail(%q): %d, %v", s, len(us), err)
			}
		}
	}()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case msg, ok := <-done:
			if !ok {
				return
			}
			t.Error(msg)
		case <-timeout:
			t.Fatal("some call does not end")
		}
	}
}

// TestCVE_2025_67717: what a client holds does not say which user, or how many there are.
func TestCVE_2025_67717(t *testing.T) {
	const id latchbolt.UserID = 0x0123456789abcd
	const name = "ada-lovelace" // so long that it is in no token by chance
	for _, sc := range storeCases {
		t.Run(sc.name, func(t *testing.T) {
			eng := open(t, &latchbolt.Config{Sessions: sc.make(t)})
			hash, err := eng.HashPassword(t.Context(), goodPassword)
			must(t, "hash", err)
			must(t, "inserting", eng.InsertUser(t.Context(), &latchbolt.User{ID: id, Username: name, Email: name + "@example.com"}, hash))
			s := login(t, eng, name)
			reset, err := eng.ResetToken(t.Context(), id)
			must(t, "token", err)
			big, little := []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd}, []byte{0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01}
			for what, tok := range map[string]latchbolt.Token{"session": s.Token, "reset": reset} {
				raw := rawSecretOrAll(t, tok)
				for _, part := range [][]byte{big, little, []byte(name), []byte("123456789abcd"), []byte(fmt.Sprint(uint64(id)))} {
					if bytes.Contains(raw, part) {
						t.Errorf("the token of a %s holds %x", what, part)
					}
				}
			}
			for _, name := range []string{name, "nobody"} {
				_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: "wrong"})
				if err != latchbolt.ErrCredentials {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// rawSecretOrAll is the bytes that a token consists of.
func rawSecretOrAll(t testing.TB, tok latchbolt.Token) []byte {
	t.Helper()
	if text := tok.Reveal(); !strings.HasPrefix(text, "s.") {
		return append([]byte(text), decoded(t, text)...)
	} else {
		return append([]byte(text), decoded(t, text[2:])...)
	}
}

// TestCVE_2026_33906: no administrator can put another file in the place of this one, read it whole, or work past the rules.
func TestCVE_2026_33906(t *testing.T) {
	typ := reflect.TypeFor[latchbolt.Administrator]()
	for m := range typ.Methods() {
		for _, word := range []string{"Restore", "Import", "Backup", "Snapshot", "Load", "Compact", "Salvage", "Verify", "Insert", "PasswordHash", "Reveal", "Engine", "Tx"} {
			if strings.Contains(m.Name, word) {
				t.Errorf("Administrator.%s", m.Name)
			}
		}
		if m.Name == "Update" || m.Name == "View" {
			t.Errorf("Administrator.%s gives the whole file", m.Name)
		}
	}
	for f := range typ.Fields() {
		if f.IsExported() {
			t.Errorf("Administrator.%s can be replaced", f.Name)
		}
	}
	if typ.NumMethod() < 20 {
		t.Errorf("only %d methods", typ.NumMethod())
	}
}

// TestAnswersAreCopies: what was read stays what it was when the file changes under it and when it is closed, which
// takes the memory away that the file was mapped to.
func TestAnswersAreCopies(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	g := addGroup(t, eng, "writers")
	must(t, "granting", eng.Grant(ctx, g, "blog.add", "post:1"))
	must(t, "creating", eng.CreateUser(ctx, &latchbolt.User{Username: "ada", Email: "ada@example.com", FirstName: "Augusta", LastName: strings.Repeat("King ", 20)}, goodPassword))
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: "kitchen tablet", Client: latchbolt.Client{Agent: strings.Repeat("Firefox ", 20), Addr: netip.MustParseAddr("192.0.2.1")}})
	setValue(t, eng, s.Token, "cart", strings.Repeat("full ", 50))
	// Small buckets stand in others, and are copied now and then; what the cache holds is in memory anyway.
	for i := range 40 {
		name := fmt.Sprint("one of many ", strings.Repeat("x", 100), i)
		addGroup(t, eng, name)
		u := latchbolt.User{Username: fmt.Sprint("many", i), FirstName: name, LastName: name}
		must(t, "creating", eng.CreateUser(ctx, &u, goodPassword))
		setValue(t, eng, logIn(t, eng, u.Username, latchbolt.LoginOptions{Name: name[:90]}).Token, "cart", name)
	}
	eng = reopen(t, eng, &latchbolt.Config{CacheSessions: -1, CacheUsers: -1})
	var kept []any
	keep := func(v any, err error) {
		t.Helper()
		must(t, "reading", err)
		kept = append(kept, v)
	}
	keep(eng.User(ctx, s.User))
	keep(eng.UserByName(ctx, "ada"))
	keep(eng.UsersByEmail(ctx, "ada@example.com"))
	keep(eng.Group(ctx, g))
	keep(eng.Grants(ctx, g))
	keep(eng.Session(ctx, s.Token))
	keep(eng.SessionByID(ctx, s.ID))
	v, err := eng.Values(ctx, s.Token)
	must(t, "values", err)
	var cart string
	_, err = v.Get("cart", &cart)
	keep(cart, err)
	keep(v.Names(), nil)
	kept = append(kept, trail(t, eng, latchbolt.AuditQuery{}), collect(t, eng, latchbolt.UserQuery{}), sessionsOf(t, eng, s.User))
	must(t, "a transaction", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		h, err := tx.PasswordHash(s.User)
		keep(h.Reveal(), err)
		u, err := tx.UserByName("ada")
		keep(u, err)
		return nil
	}))
	text := func() string {
		data, err := json.Marshal(kept)
		must(t, "encoding", err)
		return string(data)
	}
	before := text()
	for i := range 30 {
		u := latchbolt.User{Username: fmt.Sprint("other", i), Email: "other@example.com", LastName: strings.Repeat("x", 140)}
		must(t, "creating", eng.CreateUser(ctx, &u, goodPassword))
		must(t, "changing", eng.UpdateUser(ctx, s.User, set(func(u *latchbolt.User) { u.FirstName = strings.Repeat("y", 100+i) })))
	}
	must(t, "closing", eng.Close())
	if after := text(); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	if len(before) < 1000 {
		t.Errorf("only %d bytes were kept", len(before))
	}
}

func decoded(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	must(t, "decoding", err)
	return raw
}
