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

// A version tells nobody what it is of: who may not see the groups of a user could otherwise make the same user elsewhere, and
// put it into groups until it has the version.
func TestVersionsDoNotTell(t *testing.T) {
	r, mine := newStaffRoom(t), newStaffRoom(t)
	ctx := t.Context()
	must(t, "entering", r.eng.AddToGroup(ctx, r.other, r.power))
	r.holding("auth.view_user", "auth.delete_user")
	u, v, err := r.as(r.actor).User(ctx, r.other)
	must(t, "looking", err)
	goes, err := r.as(r.actor).WhatGoesWith(ctx, r.other)
	must(t, "asking", err)
	if u.Groups != nil || goes.Groups != nil || goes.Version != v {
		t.Fatalf("got %+v, %+v", u, goes)
	}
	for _, g := range []latchbolt.GroupID{mine.plain, mine.power, mine.one} {
		must(t, "setting", mine.eng.SetGroups(ctx, mine.other, g))
		_, guess, err := mine.as(mine.boss).User(ctx, mine.other)
		must(t, "looking", err)
		if guess == v {
			t.Errorf("the version says that the user is in group %d", g)
		}
	}
	if _, again, err := r.as(r.actor).User(ctx, r.other); err != nil || again != v {
		t.Errorf("looked at again it is %q, %v; it was %q", again, err, v)
	}
}
