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

// The version of a user does not tell the groups to who may not see them, who could try which give it; nor does a
// change of them come in the way of one who cannot see it.
func TestVersionTellsNoGroups(t *testing.T) {
	r := newStaffRoom(t)
	ctx := t.Context()
	for _, c := range []struct {
		perms []latchbolt.Perm
		sees  bool
	}{{[]latchbolt.Perm{"auth.change_user", "auth.delete_user"}, false}, {[]latchbolt.Perm{"auth.change_user", "auth.delete_user", "auth.view_group"}, true}} {
		r.holding(c.perms...)
		a := r.as(r.actor)
		_, before, err := a.User(ctx, r.other)
		must(t, "user", err)
		goes, err := a.WhatGoesWith(ctx, r.other)
		must(t, "what goes", err)
		must(t, "entering", r.eng.AddToGroup(ctx, r.other, r.plain))
		_, in, err := a.User(ctx, r.other)
		must(t, "user", err)
		goesToo, err := a.WhatGoesWith(ctx, r.other)
		must(t, "what goes", err)
		if (before != in) != c.sees || (goes.Version != goesToo.Version) != c.sees {
			t.Errorf("with %v: versions %s and %s, %s and %s", c.perms, before, in, goes.Version, goesToo.Version)
		}
		name := "Olga " + string(before[:4])
		err = a.UpdateUser(ctx, r.other, latchbolt.UserChange{FirstName: &name, If: before})
		if c.sees != errors.Is(err, latchbolt.ErrConflict) || !c.sees && err != nil {
			t.Errorf("with %v: changing by the version from before: %v", c.perms, err)
		}
		must(t, "leaving", r.eng.RemoveFromGroup(ctx, r.other, r.plain))
	}
}
