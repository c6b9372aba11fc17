package latchbolt

import (
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// cacheParts tells of each part of a cache whether something that was read at a revision may be kept in it.
func cacheParts(c *cache, id UserID, rev kv.Rev) (user, session, perms, groups bool) {
	st := &userState{id: id, groups: []GroupID{7}}
	c.keepUser(st, rev)
	user = st.cell != noCell && c.find(id) == st
	tok, rec := tableToken(uint64(id))
	c.sessions.remove(tok.sel)
	c.keepSession(&tok, rec, tok.sel, nil, 0, rev)
	session = c.sessions.lookup(&tok, 0, new(sessionHit))
	x := new(permIndex)
	c.keepPerms(x, rev)
	perms = c.perms.Load() == x
	g, u := new(groupState), new(unionState)
	c.keepGroups(map[GroupID]*groupState{7: g}, "key", u, rev)
	groups = c.group(7) == g && c.union("key") == u
	return user, session, perms, groups
}

// TestFencesKeepOut: while a commit is under way, what it may change is not kept, and afterwards only what was read from
// its state or a later one.
func TestFencesKeepOut(t *testing.T) {
	tok, _ := tableToken(3)
	for name, c := range map[string]struct {
		fx                           effects
		user, session, perms, groups bool // what the commit keeps out
	}{
		"a user":     {fx: effects{users: []UserID{3}}, user: true},
		"a session":  {fx: effects{sessions: []selector{tok.sel}}, session: true},
		"a group":    {fx: effects{groups: []GroupID{7}}, user: true, perms: true, groups: true},
		"permission": {fx: effects{policy: true}, user: true, perms: true, groups: true},
		"nothing":    {},
	} {
		for _, committed := range []bool{true, false} {
			cache := newCache(10, 10, new(denials))
			kept := func(when string, rev kv.Rev, out bool) {
				t.Helper()
				user, session, perms, groups := cacheParts(cache, 3, rev)
				if user == (out && c.user) || session == (out && c.session) || perms == (out && c.perms) || groups == (out && c.groups) {
					t.Errorf("%s, %s: user %v, session %v, permissions %v, groups %v", name, when, user, session, perms, groups)
				}
			}
			kept("before", 5, false)
			cache.fence(&c.fx)
			if (cache.find(3) == nil) != c.user {
				t.Errorf("%s: what the commit changes is still there: user %v", name, cache.find(3) != nil)
			}
			if cache.sessions.lookup(&tok, 0, new(sessionHit)) == c.session {
				t.Errorf("%s: the session is there: %v", name, !c.session)
			}
			kept("during", 9, true)
			cache.fence(&c.fx) // another commit at the same time
			cache.settle(&c.fx, 6, nil)
			kept("while another is under way", 9, true)
			var err error
			if !committed {
				err = errNotCommitted
			}
			cache.settle(&c.fx, 8, err)
			kept("after, from the state before both", 5, true)
			kept("after, from the state between them", 7, committed)
			kept("after, from the state after both", 8, false)
			cache.dropAll()
			user, session, perms, groups := cacheParts(cache, 3, 100)
			if user || session || perms || groups {
				t.Errorf("%s, after the end: user %v, session %v, permissions %v, groups %v", name, user, session, perms, groups)
			}
		}
	}
}

// TestPolicyChangesDropUsers: a change of a group drops its members and no others; one of the permissions drops all.
func TestPolicyChangesDropUsers(t *testing.T) {
	for name, c := range map[string]struct {
		fx                          effects
		member, other, perms, group bool // what stays
	}{
		"the group":      {fx: effects{groups: []GroupID{7}}, perms: true, other: true},
		"another group":  {fx: effects{groups: []GroupID{8}}, member: true, other: true, perms: true, group: true},
		"several groups": {fx: effects{groups: []GroupID{8, 7}}, perms: true, other: true},
		"a permission":   {fx: effects{policy: true}},
		"both":           {fx: effects{policy: true, groups: []GroupID{8}}},
	} {
		cache := newCache(10, 10, new(denials))
		member, other := &userState{id: 1, groups: []GroupID{2, 7, 9}}, &userState{id: 2, groups: []GroupID{2, 9}}
		cache.keepUser(member, 1)
		cache.keepUser(other, 1)
		cache.keepPerms(new(permIndex), 1)
		cache.keepGroups(map[GroupID]*groupState{7: new(groupState)}, "key", new(unionState), 1)
		cache.fence(&c.fx)
		if got := cache.find(1) != nil; got != c.member {
			t.Errorf("%s: the member stays: %v", name, got)
		}
		if got := cache.find(2) != nil; got != c.other {
			t.Errorf("%s: who is not a member stays: %v", name, got)
		}
		if got := cache.perms.Load() != nil; got != c.perms {
			t.Errorf("%s: the permissions stay: %v", name, got)
		}
		if got := cache.group(7) != nil; got != c.group {
			t.Errorf("%s: the group stays: %v", name, got)
		}
		if cache.union("key") != nil {
			t.Errorf("%s: the union of groups stays", name)
		}
	}
}

// TestUserVictims: cells go to new users in turn, and those that were used since the hand came by are passed over once.
func TestUserVictims(t *testing.T) {
	c := newCache(10, 4, new(denials))
	keep := func(id UserID) {
		st := &userState{id: id}
		c.keepUser(st, 1)
		if !c.users.cell(st.cell).used.Load() {
			t.Errorf("user %d counts as not asked about", id)
		}
	}
	for id := UserID(1); id <= 8; id++ {
		keep(id)
	}
	for id := UserID(1); id <= 8; id++ {
		if got, want := c.find(id) != nil, id > 4; got != want {
			t.Errorf("user %d of 8 in 4 cells is there: %v", id, got)
		}
	}
	// All of 5 to 8 were asked about; let the hand come by, and ask about one of them again.
	for n := range c.users.used {
		c.users.cell(n).used.Store(c.users.cell(n).id.Load() == 6)
	}
	for id := UserID(9); id <= 11; id++ {
		keep(id)
	}
	if c.find(6) == nil {
		t.Error("who was asked about was pushed out before those who were not")
	}
}

// TestSessionOfNoUserIsNotKept: a session whose user's state is not in memory would be taken for an anonymous one.
func TestSessionOfNoUserIsNotKept(t *testing.T) {
	c := newCache(10, 10, new(denials))
	tok, rec := tableToken(1)
	c.keepSession(&tok, rec, tok.sel, &userState{id: rec.user, cell: noCell}, 0, 1)
	var hit sessionHit
	if c.sessions.lookup(&tok, 0, &hit) {
		t.Errorf("it is kept: %+v", hit)
	}
	st := &userState{id: rec.user}
	c.keepUser(st, 1)
	c.keepSession(&tok, rec, tok.sel, st, 2, 1)
	if !c.sessions.lookup(&tok, 0, &hit) || hit.cell != st.cell || hit.backend != 2 || hit.user != rec.user {
		t.Errorf("with the user's state: %+v", hit)
	}
	c.sessions.remove(tok.sel)
	c.keepSession(&tok, rec, tok.sel, nil, 0, 1)
	if !c.sessions.lookup(&tok, 0, &hit) || hit.cell != noCell {
		t.Errorf("anonymous: %+v", hit)
	}
}

// TestUnionsAreBounded: however many combinations of groups there are, the memory stays.
func TestUnionsAreBounded(t *testing.T) {
	c := newCache(10, 10, new(denials))
	for i := range maxUnions + 1 {
		if i == maxUnions && len(c.unions) != maxUnions {
			t.Errorf("%d combinations are remembered", len(c.unions))
		}
		c.keepGroups(nil, string(rune(i+1)), new(unionState), 1)
	}
	if len(c.unions) != 1 {
		t.Errorf("%d combinations are remembered after one too many", len(c.unions))
	}
	c.keepGroups(nil, "none", nil, 1)
	if len(c.unions) != 1 {
		t.Error("no combination was remembered as one")
	}
}

// TestCacheSwitchedOff: nothing is kept, and nothing is found.
func TestCacheSwitchedOff(t *testing.T) {
	for _, c := range []*cache{newCache(-1, 10, new(denials)), newCache(10, -1, new(denials))} {
		user, session, perms, groups := false, false, false, false
		st := &userState{id: 1}
		c.keepUser(st, 1)
		user = st.cell != noCell || c.find(1) != nil
		tok, rec := tableToken(1)
		c.keepSession(&tok, rec, tok.sel, nil, 0, 1)
		session = c.sessions.lookup(&tok, 0, new(sessionHit))
		c.keepPerms(new(permIndex), 1)
		perms = c.perms.Load() != nil
		c.keepGroups(map[GroupID]*groupState{7: new(groupState)}, "key", new(unionState), 1)
		groups = c.group(7) != nil || c.union("key") != nil
		if user || session || perms || groups {
			t.Errorf("user %v, session %v, permissions %v, groups %v", user, session, perms, groups)
		}
		c.fence(&effects{users: []UserID{1}, sessions: []selector{tok.sel}, groups: []GroupID{7}, policy: true})
		c.deny(denial{users: []UserID{1}, sessions: []selector{tok.sel}}, time.Unix(1, 0))
		c.dropAll()
	}
	if c := newCache(0, 0, new(denials)); c.off {
		t.Error("0 switches the cache off")
	}
}
