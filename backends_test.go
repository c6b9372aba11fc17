package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

func TestBackendsAreAskedInOrder(t *testing.T) {
	outage := errors.New("directory is down")
	for _, c := range []struct {
		what    string
		answers []error // nil: proves user 1; errNobody: says nothing and no error
		asked   int
		want    error
		failed  bool // the event is called
	}{
		{"the first proves", []error{nil, outage}, 1, nil, false},
		{"the first skips", []error{latchbolt.ErrSkip, nil}, 2, nil, false},
		{"the first does not know", []error{latchbolt.ErrCredentials, nil}, 2, nil, false},
		{"the first says nothing", []error{errNobody, nil}, 2, nil, false},
		{"all skip", []error{latchbolt.ErrSkip, latchbolt.ErrSkip}, 2, latchbolt.ErrCredentials, true},
		{"none knows", []error{latchbolt.ErrCredentials, latchbolt.ErrCredentials}, 2, latchbolt.ErrCredentials, true},
		{"denial stops", []error{latchbolt.ErrDenied, nil}, 1, latchbolt.ErrCredentials, true},
		{"a wrapped denial stops", []error{fmt.Errorf("no: %w", latchbolt.ErrDenied), nil}, 1, latchbolt.ErrCredentials, true},
		{"denial behind one that skips", []error{latchbolt.ErrSkip, latchbolt.ErrDenied, nil}, 2, latchbolt.ErrCredentials, true},
		{"an outage stops and is told", []error{outage, nil}, 1, outage, false},
		{"an outage behind a refusal is told", []error{latchbolt.ErrCredentials, outage}, 2, outage, false},
		{"busy is told", []error{latchbolt.ErrBusy, nil}, 1, latchbolt.ErrBusy, false},
		{"a throttle stops", []error{&latchbolt.ThrottleError{Wait: 1}, nil}, 1, latchbolt.ErrThrottled, true},
	} {
		var asked []string
		var events []latchbolt.LoginFailure
		cfg := &latchbolt.Config{Events: latchbolt.Events{UserLoginFailed: func(f latchbolt.LoginFailure) { events = append(events, f) }}}
		for i, err := range c.answers {
			b := fakeBackend{name: fmt.Sprint("b", i), id: 1, err: err, asked: &asked}
			if errors.Is(err, errNobody) {
				b.id, b.err = 0, nil
			}
			cfg.Backends = append(cfg.Backends, b)
		}
		eng := open(t, cfg)
		must(t, "user", eng.InsertUser(t.Context(), &latchbolt.User{Username: "ada"}, latchbolt.PasswordHash{}))
		client := latchbolt.Client{Agent: "tester"}
		id, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: "secret", Client: client})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
		if (id != latchbolt.Identity{}) != (c.want == nil) {
			t.Errorf("%s: got identity %v beside %v", c.what, id, err)
		}
		if errors.Is(err, latchbolt.ErrDenied) || errors.Is(err, latchbolt.ErrSkip) {
			t.Errorf("%s: a backend's word reached the caller: %v", c.what, err)
		}
		if c.want == nil && id.Backend() != fmt.Sprint("b", c.asked-1) {
			t.Errorf("%s: proved by %q", c.what, id.Backend())
		}
		if len(asked) != c.asked {
			t.Errorf("%s: asked %v, want %d", c.what, asked, c.asked)
		}
		if (len(events) == 1) != c.failed {
			t.Errorf("%s: failure events: %+v", c.what, events)
		}
		for _, f := range events {
			if f.Username != "ada" || f.Client != client || strings.Contains(fmt.Sprintf("%+v", f), "secret") ||
				f.Throttled != errors.Is(c.want, latchbolt.ErrThrottled) {
				t.Errorf("%s: event %+v", c.what, f)
			}
		}
	}
}

var errNobody = errors.New("nobody and no error")

func TestCredentialsOfAnotherKind(t *testing.T) {
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, latchbolt.RemoteUserBackend{NoCreate: true},
		fakeBackend{name: "badge", err: nil}}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	for what, c := range map[string]struct {
		creds   latchbolt.Credentials
		backend string
	}{
		"a password":                         {latchbolt.Password{Username: "ada", Password: goodPassword}, "password"},
		"a name":                             {latchbolt.RemoteUser{Username: "ada"}, "remote"},
		"a badge":                            {badge{u.ID}, "badge"},
		"a badge of nobody":                  {badge{0}, ""},
		"a badge of a user who is not there": {badge{99}, ""},
		"nothing at all":                     {nil, ""},
		"no name and no password":            {latchbolt.Password{}, ""},
		"no password":                        {latchbolt.Password{Username: "ada"}, ""},
		"no name":                            {latchbolt.Password{Password: goodPassword}, ""},
		"a space for a name":                 {latchbolt.Password{Username: " ", Password: goodPassword}, ""},
		"a NUL for a name":                   {latchbolt.Password{Username: "\x00", Password: "\x00"}, ""},
		"a name with a NUL":                  {latchbolt.Password{Username: "ada\x00", Password: goodPassword}, ""},
		"a password with more behind it":     {latchbolt.Password{Username: "ada", Password: goodPassword + "x"}, ""},
		"a password with white space":        {latchbolt.Password{Username: "ada", Password: goodPassword + " "}, ""},
		"no remote name":                     {latchbolt.RemoteUser{}, ""},
		"a remote name that nobody has":      {latchbolt.RemoteUser{Username: "bob"}, ""},
	} {
		id, err := eng.Authenticate(ctx, c.creds)
		if id.Backend() != c.backend || (c.backend == "") != errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%s: got %v by %q, %v, want %q", what, id, id.Backend(), err, c.backend)
		}
		if c.backend != "" && id.ID() != u.ID {
			t.Errorf("%s: got user %d", what, id.ID())
		}
	}
}

// TestCVE_2024_45337: what a failed backend found out must not be part of what the next one proves.
func TestCVE_2024_45337(t *testing.T) {
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{
		fakeBackend{name: "liar", id: 2, err: latchbolt.ErrCredentials}, // names bob, proves nobody
		fakeBackend{name: "lenient", id: 3, inactive: false},            // names an inactive user
		latchbolt.PasswordBackend{},
	}})
	ctx := t.Context()
	a := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	c := addUser(t, eng, "cy")
	must(t, "deactivate", eng.UpdateUser(ctx, c.ID, set(deactivated)))
	id := authenticate(t, eng, "ada")
	if id.ID() != a.ID || id.Username() != "ada" || id.Backend() != "password" {
		t.Errorf("got %v, %d by %q", id, id.ID(), id.Backend())
	}
	s := login(t, eng, "ada")
	if s.User != a.ID || s.Backend != "password" {
		t.Errorf("session of %d by %q", s.User, s.Backend)
	}
}

func TestInactiveUsers(t *testing.T) {
	both := []latchbolt.Backend{latchbolt.PasswordBackend{}, latchbolt.PasswordBackend{Inactive: true}}
	for _, c := range []struct {
		what     string
		backends []latchbolt.Backend
		want     string // name of the backend, or "" for refused
	}{
		{"the default", nil, ""},
		{"one that lets them in", both[1:], "password-all"},
		{"both: the second lets them in", both, "password-all"},
	} {
		eng := open(t, &latchbolt.Config{Backends: c.backends})
		ctx := t.Context()
		define(t, eng, "blog.add")
		u := addUser(t, eng, "ada")
		must(t, "grant", eng.Grant(ctx, u.ID, "blog.add"))
		must(t, "deactivate", eng.UpdateUser(ctx, u.ID, set(deactivated)))
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
		if id.Backend() != c.want || (c.want == "") != errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%s: got %q, %v, want %q", c.what, id.Backend(), err, c.want)
		}
		if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"}); err == nil {
			t.Errorf("%s: wrong password accepted", c.what)
		}
		if c.want == "" {
			continue
		}
		s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
		must(t, c.what, err)
		now, err := eng.SessionUser(ctx, s.Token)
		if err != nil || now.ID() != u.ID || now.Active() {
			t.Errorf("%s: session of %v, %v", c.what, now, err)
		}
		if hasPerm(t, eng, now, "blog.add") || now.Has("blog.add") {
			t.Errorf("%s: an inactive user has a permission", c.what)
		}
		n := 0
		for range eng.Sessions(ctx, u.ID) {
			n++
		}
		if n != 1 {
			t.Errorf("%s: %d sessions in the list", c.what, n)
		}
	}
}

func TestByEmail(t *testing.T) {
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{ByEmail: true}}})
	ctx := t.Context()
	hash, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hash", err)
	ids := make(map[string]latchbolt.UserID)
	for _, u := range []latchbolt.User{
		{Username: "ada", Email: "Ada@example.com"}, {Username: "one", Email: "shared@example.com"}, {Username: "two", Email: "Shared@example.com"},
		{Username: "eve@example.com", Email: "ada@example.net"}, {Username: "victim", Email: "eve@example.com"},
	} {
		must(t, u.Username, eng.InsertUser(ctx, &u, hash))
		ids[u.Username] = u.ID
	}
	for typed, want := range map[string]string{
		"ada": "ada", "ada@EXAMPLE.com": "ada", "ADA@example.COM": "ada",
		"shared@example.com": "", // of two users
		"eve@example.com":    "eve@example.com",
		"nobody@example.com": "", "@example.com": "", "ada@example.co": "",
	} {
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: typed, Password: goodPassword})
		if id.ID() != ids[want] || (want == "") != errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%s: got %v, %v, want %q", typed, id, err, want)
		}
	}
	plain := open(t, nil)
	must(t, "ada", plain.InsertUser(ctx, &latchbolt.User{Username: "ada", Email: "ada@example.com"}, hash))
	_, err = plain.Authenticate(ctx, latchbolt.Password{Username: "ada@example.com", Password: goodPassword})
	want(t, "without ByEmail", err, latchbolt.ErrCredentials)
}

func TestPasswordsAreTakenAsTheyAre(t *testing.T) {
	// PBKDF2 itself does not tell a NUL at the end from none.
	eng := open(t, &latchbolt.Config{Validators: []latchbolt.Validator{}, Hashers: []latchbolt.Hasher{&hookedHasher{}}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	for _, pw := range []string{"", " leading and trailing ", "\t\n", "a\x00b", "pässwörd", "pa\u0308sswo\u0308rd", strings.Repeat("x", 4096), "\xff\xfe", "!"} {
		must(t, "set", eng.SetPassword(ctx, u.ID, pw))
		try := func(other string) bool {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: other})
			eng.Settle(ctx)
			return err == nil
		}
		if !try(pw) {
			t.Errorf("%.20q of %d bytes is not accepted", pw, len(pw))
		}
		for _, other := range []string{strings.TrimSpace(pw) + "x", pw + " ", pw + "\x00"} {
			if try(other) {
				t.Errorf("%.20q is accepted for %.20q", other, pw)
			}
		}
		must(t, "unlock", eng.Unlock(ctx, u.ID))
	}
	for _, n := range []int{4097, 1 << 20} {
		before, err := eng.Stats()
		must(t, "stats", err)
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: strings.Repeat("x", n)})
		want(t, "a huge password", err, latchbolt.ErrCredentials)
		_, err = eng.Authenticate(ctx, latchbolt.Password{Username: strings.Repeat("x", n), Password: goodPassword})
		want(t, "a huge name", err, latchbolt.ErrCredentials)
		if after, err := eng.Stats(); err != nil || after.HashUnits != before.HashUnits {
			t.Errorf("%d bytes cost %d units, %v", n, after.HashUnits-before.HashUnits, err)
		}
	}
	wantFields(t, "setting a huge one", eng.SetPassword(ctx, u.ID, strings.Repeat("x", 4097)), "password password_too_long")
}

func TestUnusablePasswordsNeverVerify(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	for i, encoded := range []string{"", "!", "!abc", "gibberish", "unknown$1$a$b", "PBKDF2_SHA256$1$abc$def"} {
		h, err := latchbolt.ParsePasswordHash(encoded)
		must(t, encoded, err)
		name := fmt.Sprint("u", i)
		must(t, name, eng.InsertUser(ctx, &latchbolt.User{Username: name}, h))
		for _, pw := range []string{"", "!", encoded, goodPassword} {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: pw})
			want(t, fmt.Sprintf("%q with %q", encoded, pw), err, latchbolt.ErrCredentials)
		}
	}
	u := addUser(t, eng, "ada")
	var stored string
	must(t, "reading", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		h, err := tx.PasswordHash(u.ID)
		stored = h.Reveal()
		return err
	}))
	_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: stored})
	want(t, "the stored hash as the password", err, latchbolt.ErrCredentials)
}

func TestRemoteUser(t *testing.T) {
	configured := 0
	clean := func(s string) string { name, _, _ := strings.Cut(s, "@"); return name }
	for _, c := range []struct {
		what    string
		backend latchbolt.RemoteUserBackend
		name    string
		want    string // user name, or "" for refused
	}{
		{"a user who is there", latchbolt.RemoteUserBackend{}, "ada", "ada"},
		{"a user who is there, in another case", latchbolt.RemoteUserBackend{}, "ADA", "ada"},
		{"a new one", latchbolt.RemoteUserBackend{}, "new", "new"},
		{"a new one in full width", latchbolt.RemoteUserBackend{}, "ｎew", "new"},
		{"a new one, but none are made", latchbolt.RemoteUserBackend{NoCreate: true}, "new", ""},
		{"no name", latchbolt.RemoteUserBackend{}, "", ""},
		{"a name that cannot be stored", latchbolt.RemoteUserBackend{}, "a b", ""},
		{"a name with a line break", latchbolt.RemoteUserBackend{}, "new\n", ""},
		{"a huge name", latchbolt.RemoteUserBackend{}, strings.Repeat("x", 1<<16), ""},
		{"a name that is cleaned", latchbolt.RemoteUserBackend{Clean: clean}, "ada@REALM", "ada"},
		{"a name that is cleaned and new", latchbolt.RemoteUserBackend{Clean: clean}, "new@REALM", "new"},
		{"a name of which nothing is left", latchbolt.RemoteUserBackend{Clean: clean}, "@REALM", ""},
		{"an inactive one", latchbolt.RemoteUserBackend{}, "asleep", ""},
		{"an inactive one who is let in", latchbolt.RemoteUserBackend{Inactive: true}, "asleep", "asleep"},
		{"a new one who is set up", latchbolt.RemoteUserBackend{Configure: func(u *latchbolt.User) { configured++; u.Staff, u.Email = true, "x@example.com" }}, "new", "new"},
		{"a new one who is set up inactive", latchbolt.RemoteUserBackend{Configure: func(u *latchbolt.User) { u.Inactive = true }}, "new", ""},
		{"a new one with an address that is taken", latchbolt.RemoteUserBackend{Configure: func(u *latchbolt.User) { u.Email = "ada@example.com" }}, "new", ""},
	} {
		eng := open(t, &latchbolt.Config{UniqueEmail: true, Backends: []latchbolt.Backend{c.backend}})
		ctx := t.Context()
		must(t, "ada", eng.InsertUser(ctx, &latchbolt.User{Username: "ada", Email: "ada@example.com"}, latchbolt.PasswordHash{}))
		must(t, "asleep", eng.InsertUser(ctx, &latchbolt.User{Username: "asleep", Inactive: true}, latchbolt.PasswordHash{}))
		for range 2 {
			id, err := eng.Authenticate(ctx, latchbolt.RemoteUser{Username: c.name})
			if id.Username() != c.want || (c.want == "") != errors.Is(err, latchbolt.ErrCredentials) {
				t.Errorf("%s: got %v, %v, want %q", c.what, id, err, c.want)
			}
			if c.want == "" {
				continue
			}
			u, err := eng.User(ctx, id.ID())
			must(t, c.what, err)
			if u.Password.Usable || u.Staff != (c.backend.Configure != nil) {
				t.Errorf("%s: got %+v", c.what, u)
			}
		}
	}
	if configured != 1 {
		t.Errorf("Configure was called %d times for one user", configured)
	}
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.RemoteUserBackend{}}})
	var ids [8]latchbolt.UserID
	for i, err := range parallel(8, func(i int) error {
		id, err := eng.Authenticate(t.Context(), latchbolt.RemoteUser{Username: "new"})
		ids[i] = id.ID()
		return err
	}) {
		if err != nil || ids[i] != ids[0] {
			t.Errorf("eight at once: user %d, %v", ids[i], err)
		}
	}
}

func TestHashUpgrade(t *testing.T) {
	ctx := t.Context()
	h := &hookedHasher{}
	eng := open(t, &latchbolt.Config{Hashers: []latchbolt.Hasher{h}, HashSlots: 2}) // one for the change in the midst of a check
	old, err := latchbolt.ParsePasswordHash("hooked$old$" + goodPassword)
	must(t, "hash", err)
	u := &latchbolt.User{Username: "ada"}
	must(t, "insert", eng.InsertUser(ctx, u, old))
	stored := func() (s string) {
		must(t, "reading", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
			p, err := tx.PasswordHash(u.ID)
			s = p.Reveal()
			return err
		}))
		return s
	}
	_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
	want(t, "wrong", err, latchbolt.ErrCredentials)
	if got := stored(); got != old.Reveal() {
		t.Errorf("after a wrong password: %q", got)
	}
	failure := errors.New("no randomness")
	h.hashFails.Store(&failure)
	authenticate(t, eng, "ada")
	if got := stored(); got != old.Reveal() {
		t.Errorf("when no hash can be made: %q", got)
	}
	h.hashFails.Store(nil)
	h.onVerify(func() {
		h.onVerify(nil)
		must(t, "changing", eng.SetPassword(ctx, u.ID, "another password altogether"))
	})
	if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword}); err != nil {
		want(t, "the old password while it is changed", err, latchbolt.ErrCredentials)
	}
	if got := stored(); got != "hooked$another password altogether" {
		t.Errorf("the upgrade undid a change: %q", got)
	}
	must(t, "back", eng.SetPasswordHash(ctx, u.ID, old))
	s := login(t, eng, "ada")
	if got := stored(); got != "hooked$"+goodPassword {
		t.Errorf("not upgraded: %q", got)
	}
	must(t, "old again", eng.SetPasswordHash(ctx, u.ID, old))
	if alive(t, eng, s.Token) {
		t.Error("the session survived a change of the hash")
	}
	must(t, "old once more", eng.SetPasswordHash(ctx, u.ID, old))
	before := login(t, eng, "ada") // upgrades
	must(t, "nothing", eng.Update(ctx, func(tx *latchbolt.Tx) error { return nil }))
	if !alive(t, eng, before.Token) {
		t.Error("the upgrade ended the session it was made for")
	}
}

// An upgrade is no change of the password: sessions go on.
func TestHashUpgradeEndsNothing(t *testing.T) {
	var changes []latchbolt.Change
	cfg := &latchbolt.Config{Events: latchbolt.Events{Changed: func(c latchbolt.Change) { changes = append(changes, c) }}}
	weak, strong := latchbolt.PBKDF2SHA256{Iterations: 1}, latchbolt.PBKDF2SHA256{Iterations: 2}
	cfg.Hashers = []latchbolt.Hasher{weak}
	eng := open(t, cfg)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	tok, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	cfg.Hashers = []latchbolt.Hasher{strong}
	eng = reopen(t, eng, cfg)
	changes = nil
	authenticate(t, eng, "ada")
	got, err := eng.User(ctx, u.ID)
	must(t, "user", err)
	if !strings.Contains(got.Password.Summary, "2") {
		t.Errorf("not upgraded: %+v", got.Password)
	}
	if !alive(t, eng, s.Token) {
		t.Error("the upgrade ended a session")
	}
	// What it ends, as in Django, are tokens bound to the old hash: somebody logs in again.
	_, err = eng.CheckToken(ctx, latchbolt.PurposeReset, tok)
	want(t, "a reset token after the upgrade", err, latchbolt.ErrToken)
	if slices.ContainsFunc(changes, func(c latchbolt.Change) bool { return c.Kind == latchbolt.ChangePassword }) {
		t.Errorf("the upgrade was told as a change: %+v", changes)
	}
	cfg.Hashers = []latchbolt.Hasher{weak}
	eng = reopen(t, eng, cfg)
	authenticate(t, eng, "ada")
	if got, err := eng.User(ctx, u.ID); err != nil || !strings.Contains(got.Password.Summary, "2") {
		t.Errorf("a strong hash was made weaker: %+v, %v", got.Password, err)
	}
}

func TestHashUpgradeThatCannotBeWritten(t *testing.T) {
	store := newFaultStore()
	h := &hookedHasher{}
	eng := openOn(t, store, &latchbolt.Config{Hashers: []latchbolt.Hasher{h}})
	old, err := latchbolt.ParsePasswordHash("hooked$old$" + goodPassword)
	must(t, "hash", err)
	must(t, "insert", eng.InsertUser(t.Context(), &latchbolt.User{Username: "ada"}, old))
	store.failing(kv.ErrFull)
	authenticate(t, eng, "ada")
	store.failing(nil)
	authenticate(t, eng, "ada")
	must(t, "reading", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		p, err := tx.PasswordHash(1)
		if p.Reveal() != "hooked$"+goodPassword {
			t.Errorf("not upgraded after all: %q", p.Reveal())
		}
		return err
	}))
}

func TestOutageOfTheStoreIsNoRefusal(t *testing.T) {
	store := newFaultStore()
	eng := openOn(t, store, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	if _, err := eng.Values(ctx, s.Token); err != nil {
		t.Fatal(err)
	}
	broken := fmt.Errorf("%w: page 7", kv.ErrCorrupt)
	store.unreadable(broken)
	for what, call := range map[string]func() error{
		"Authenticate": func() error {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
			return err
		},
		"CreateUser": func() error { return eng.CreateUser(ctx, &latchbolt.User{Username: "bob"}, goodPassword) },
		"Logout":     func() error { return eng.Logout(ctx, s.Token) },
		"Values":     func() error { _, err := eng.Values(ctx, s.Token); return err },
		"Session":    func() error { _, err := eng.Session(ctx, s.Token); return err },
		"Fresh":      func() error { _, err := eng.Fresh(ctx, s.Token); return err },
		"CheckToken": func() error { _, err := eng.CheckToken(ctx, "x", s.Token); return err },
		"User":       func() error { _, err := eng.User(ctx, u.ID); return err },
		"UserByName": func() error { _, err := eng.UserByName(ctx, "ada"); return err },
		"Sessions": func() error {
			for _, err := range eng.Sessions(ctx, u.ID) {
				return err
			}
			return nil
		},
		"Users": func() error {
			for _, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
				return err
			}
			return nil
		},
		"SessionUser of a token that is not in memory": func() error {
			tok, err := latchbolt.ParseToken(strings.Repeat("A", 64))
			must(t, "token", err)
			_, err = eng.SessionUser(ctx, tok)
			return err
		},
	} {
		err := call()
		want(t, what, err, latchbolt.ErrCorrupt)
		for _, refusal := range []error{latchbolt.ErrCredentials, latchbolt.ErrNoSession, latchbolt.ErrNotFound, latchbolt.ErrExists, latchbolt.ErrToken} {
			if errors.Is(err, refusal) {
				t.Errorf("%s: an outage looks like %v: %v", what, refusal, err)
			}
		}
	}
	store.unreadable(nil)
}

func TestAuthenticateWithACancelledContext(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
	want(t, "Authenticate", err, context.Canceled)
	if errors.Is(err, latchbolt.ErrCredentials) {
		t.Errorf("a cancelled attempt counts as refused: %v", err)
	}
}
