package latchbolt_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A pausingHasher calls a function while it hashes.
type pausingHasher struct {
	hookedHasher
	during atomic.Pointer[func()]
}

func (h *pausingHasher) Hash(password string) (string, error) {
	if fn := h.during.Load(); fn != nil {
		(*fn)()
	}
	return h.hookedHasher.Hash(password)
}

// TestRightLostMeanwhile withdraws a right between the first look at it and the change, while a password is
// hashed: the change is refused, as it is decided again in its own transaction.
func TestRightLostMeanwhile(t *testing.T) {
	ctx := t.Context()
	h := &pausingHasher{}
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Hashers: []latchbolt.Hasher{h}})
	must(t, "defining", eng.DefineAdmin(ctx))
	staff, other := addUser(t, eng, "staff"), addUser(t, eng, "other")
	must(t, "staff", eng.UpdateUser(ctx, staff.ID, set(func(u *latchbolt.User) { u.Staff = true })))
	id, err := eng.Identity(ctx, staff.ID)
	must(t, "identity", err)
	for name, act := range map[string]func() error{
		"setting a password": func() error { return eng.As(id).SetPassword(ctx, other.ID, "another good passphrase") },
		"creating a user": func() error {
			_, err := eng.As(id).CreateUser(ctx, latchbolt.NewUser{Username: "new", Password: "another good passphrase", SetPassword: true})
			return err
		},
	} {
		for _, p := range []latchbolt.Perm{"auth.set_password", "auth.add_user"} {
			must(t, "granting", eng.Grant(ctx, staff.ID, p))
		}
		hashed := 0
		withdraw := func() {
			hashed++
			must(t, "revoking", eng.Revoke(ctx, staff.ID, "auth.set_password"))
		}
		h.during.Store(&withdraw)
		want(t, name, act(), latchbolt.ErrForbidden)
		h.during.Store(nil)
		if hashed != 1 {
			t.Errorf("%s: hashed %d times", name, hashed)
		}
		// And who may not from the start costs no hash.
		withdraw = func() { t.Errorf("%s: hashed for nobody", name) }
		h.during.Store(&withdraw)
		want(t, name, act(), latchbolt.ErrForbidden)
		h.during.Store(nil)
	}
	authenticate(t, eng, "other") // with the old password
	if _, err := eng.UserByName(ctx, "new"); !errors.Is(err, latchbolt.ErrNotFound) {
		t.Errorf("the user is there: %v", err)
	}
}

// TestAdministratorOnFullDisk makes sure that what an administrator takes away is gone in this process although it could not be
// written, and that what was forbidden is not taken away by that.
func TestAdministratorOnFullDisk(t *testing.T) {
	for name, take := range map[string]func(context.Context, latchbolt.Administrator, latchbolt.Session) error{
		"deactivating": func(ctx context.Context, a latchbolt.Administrator, s latchbolt.Session) error {
			return a.UpdateUser(ctx, s.User, latchbolt.UserChange{Inactive: ptr(true)})
		},
		"deleting": func(ctx context.Context, a latchbolt.Administrator, s latchbolt.Session) error {
			return a.DeleteUser(ctx, s.User, "")
		},
		"setting a password": func(ctx context.Context, a latchbolt.Administrator, s latchbolt.Session) error {
			return a.SetPassword(ctx, s.User, "another good passphrase")
		},
		"ending one session": func(ctx context.Context, a latchbolt.Administrator, s latchbolt.Session) error {
			return a.EndSession(ctx, s.User, s.ID)
		},
		"ending the sessions": func(ctx context.Context, a latchbolt.Administrator, s latchbolt.Session) error {
			return a.EndSessions(ctx, s.User)
		},
	} {
		store := newFaultStore()
		eng := openOn(t, store, nil)
		must(t, "defining", eng.DefineAdmin(t.Context()))
		boss, staff := addUser(t, eng, "boss"), addUser(t, eng, "staff")
		must(t, "promoting", eng.UpdateUser(t.Context(), boss.ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser = true, true })))
		must(t, "promoting", eng.UpdateUser(t.Context(), staff.ID, set(func(u *latchbolt.User) { u.Staff = true })))
		addUser(t, eng, "other")
		s := login(t, eng, "other")
		as := func(u latchbolt.UserID) latchbolt.Administrator { return eng.As(must2(eng.Identity(t.Context(), u))) }
		store.failing(kv.ErrFull)
		want(t, name+" by staff without the right", take(t.Context(), as(staff.ID), s), latchbolt.ErrForbidden)
		if !alive(t, eng, s.Token) {
			t.Errorf("%s: forbidden, and done all the same", name)
		}
		want(t, name, take(t.Context(), as(boss.ID), s), latchbolt.ErrFull)
		if alive(t, eng, s.Token) {
			t.Errorf("%s: the session lives", name)
		}
		store.failing(nil)
		must(t, name+" again", take(t.Context(), as(boss.ID), s))
	}
}

// TestAdministratorElsewhere administers sessions that do not live in the file.
func TestAdministratorElsewhere(t *testing.T) {
	eng := open(t, &latchbolt.Config{Sessions: latchbolt.MemorySessions()})
	ctx := t.Context()
	must(t, "defining", eng.DefineAdmin(ctx))
	staff := addUser(t, eng, "staff")
	must(t, "promoting", eng.UpdateUser(ctx, staff.ID, set(func(u *latchbolt.User) { u.Staff = true })))
	must(t, "granting", eng.Grant(ctx, staff.ID, "auth.delete_session"))
	other, boss := addUser(t, eng, "other"), addUser(t, eng, "boss")
	must(t, "promoting", eng.UpdateUser(ctx, boss.ID, set(makeSuperuser)))
	one, two, theirs := login(t, eng, "other"), login(t, eng, "other"), login(t, eng, "boss")
	a := eng.As(must2(eng.Identity(ctx, staff.ID)))
	all, err := a.Sessions(ctx, other.ID)
	if err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	_, err = a.AllSessions(ctx, nil, 10)
	want(t, "all sessions", err, latchbolt.ErrUnsupported)
	want(t, "a superuser's", a.EndSession(ctx, boss.ID, theirs.ID), latchbolt.ErrForbidden)
	want(t, "a superuser's as another's", a.EndSession(ctx, other.ID, theirs.ID), latchbolt.ErrNotFound)
	must(t, "ending one", a.EndSession(ctx, other.ID, one.ID))
	if alive(t, eng, one.Token) || !alive(t, eng, two.Token) || !alive(t, eng, theirs.Token) {
		t.Error("another session ended than was to")
	}
	must(t, "ending all", a.EndSessions(ctx, other.ID))
	if alive(t, eng, two.Token) || !alive(t, eng, theirs.Token) {
		t.Error("other sessions ended than were to")
	}
}
