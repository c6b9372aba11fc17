package latchbolt_test

import (
	"errors"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// A proxy or a backend may sign people in by name. Who may give a member of the staff another name could become that member
// by giving it the name under which the proxy knows him.
func TestRenamingIsNoWayIn(t *testing.T) {
	r := newStaffRoom(t)
	ctx := t.Context()
	r.holding("auth.change_user", "auth.view_user")
	a := r.as(r.actor)
	name := "known-to-the-proxy"
	if err := a.UpdateUser(ctx, r.aide, latchbolt.UserChange{Username: &name}); !errors.Is(err, latchbolt.ErrForbidden) {
		t.Errorf("renaming staff who can do more: %v", err)
	}
	must(t, "renaming an ordinary user", a.UpdateUser(ctx, r.other, latchbolt.UserChange{Username: &name}))
	r.holding("auth.change_user", "auth.view_user", "blog.add_post")
	name = "another"
	must(t, "renaming staff who can do no more", a.UpdateUser(ctx, r.aide, latchbolt.UserChange{Username: &name}))
}

// Names of users are for who may see users, on the page of all sessions too.
func TestSessionsWithoutNames(t *testing.T) {
	r := newStaffRoom(t)
	for _, c := range []struct {
		perms []latchbolt.Perm
		name  string
	}{{[]latchbolt.Perm{"auth.view_session"}, ""}, {[]latchbolt.Perm{"auth.delete_session"}, ""}, {[]latchbolt.Perm{"auth.view_session", "auth.view_user"}, "other"}} {
		r.holding(c.perms...)
		page, err := r.as(r.actor).AllSessions(t.Context(), nil, 10)
		must(t, "listing", err)
		if len(page.Sessions) != 1 || page.Sessions[0].User != r.other || page.Sessions[0].Username != c.name {
			t.Errorf("with %v: got %+v", c.perms, page.Sessions)
		}
	}
}

// Whoever may not take the account of more powerful staff over may not take the brake off guessing its password either.
func TestUnlockingStaff(t *testing.T) {
	r := newStaffRoom(t)
	r.holding("auth.change_user", "auth.view_user")
	if err := r.as(r.actor).Unlock(t.Context(), r.aide); !errors.Is(err, latchbolt.ErrForbidden) {
		t.Errorf("unlocking staff who can do more: %v", err)
	}
	must(t, "unlocking an ordinary user", r.as(r.actor).Unlock(t.Context(), r.other))
	r.holding("auth.change_user", "auth.view_user", "blog.add_post")
	must(t, "unlocking staff who can do no more", r.as(r.actor).Unlock(t.Context(), r.aide))
}
