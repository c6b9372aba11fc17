package latchbolt_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

func addGroup(t testing.TB, eng *latchbolt.Engine, name string) latchbolt.GroupID {
	t.Helper()
	g, err := eng.CreateGroup(t.Context(), name)
	must(t, "creating group "+name, err)
	return g
}

func members(t testing.TB, eng *latchbolt.Engine, g latchbolt.GroupID) (ids []latchbolt.UserID) {
	t.Helper()
	for id, err := range eng.Members(t.Context(), g) {
		must(t, "members", err)
		ids = append(ids, id)
	}
	return ids
}

func groupsOf(t testing.TB, eng *latchbolt.Engine, id latchbolt.UserID) []latchbolt.GroupID {
	t.Helper()
	u, err := eng.User(t.Context(), id)
	must(t, "user", err)
	return u.Groups
}

func TestGroupNames(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	for _, c := range []struct{ what, name, want string }{
		{"anything goes", " Wärter & <b>Co</b> ", ""},
		{"case counts", "writers", ""},
		{"case counts here too", "Writers", ""},
		{"the same again", "writers", "name unique"},
		{"no name", "", "name blank"},
		{"150 characters", strings.Repeat("é", 150), ""},
		{"151 characters", strings.Repeat("é", 151), "name max_length"},
		{"two lines", "a\nb", "name invalid"},
		{"a NUL", "a\x00", "name null_characters_not_allowed"},
		{"not UTF-8", "a\xff", "name invalid"},
	} {
		id, err := eng.CreateGroup(ctx, c.name)
		wantFields(t, c.what, err, c.want)
		if c.want != "" {
			continue
		}
		if g, err := eng.GroupByName(ctx, c.name); err != nil || g.ID != id || g.Name != c.name {
			t.Errorf("%s: GroupByName got %+v, %v", c.what, g, err)
		}
		if g, err := eng.Group(ctx, id); err != nil || g.Name != c.name {
			t.Errorf("%s: Group got %+v, %v", c.what, g, err)
		}
	}
	for _, name := range []string{"", "writer", "WRITERS", "writers\x00"} {
		_, err := eng.GroupByName(ctx, name)
		want(t, fmt.Sprintf("group %q", name), err, latchbolt.ErrNotFound)
	}
}

func TestRenameGroup(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	a, b := addGroup(t, eng, "a"), addGroup(t, eng, "b")
	wantFields(t, "to a taken name", eng.RenameGroup(ctx, a, "b"), "name unique")
	wantFields(t, "to nothing", eng.RenameGroup(ctx, a, ""), "name blank")
	must(t, "to the own name", eng.RenameGroup(ctx, a, "a"))
	must(t, "to another", eng.RenameGroup(ctx, a, "c"))
	must(t, "the other to the name that became free", eng.RenameGroup(ctx, b, "a"))
	want(t, "nobody", eng.RenameGroup(ctx, 99, "x"), latchbolt.ErrNotFound)
	for name, id := range map[string]latchbolt.GroupID{"a": b, "c": a} {
		if g, err := eng.GroupByName(ctx, name); err != nil || g.ID != id {
			t.Errorf("%s: got %+v, %v, want %d", name, g, err, id)
		}
	}
	_, err := eng.GroupByName(ctx, "b")
	want(t, "the old name", err, latchbolt.ErrNotFound)
}

func TestMemberships(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	a, b, c := addGroup(t, eng, "a"), addGroup(t, eng, "b"), addGroup(t, eng, "c")
	u, other := addUser(t, eng, "ada").ID, addUser(t, eng, "bob").ID
	must(t, "bob", eng.AddToGroup(ctx, other, a, b, c))
	for _, step := range []struct {
		what string
		do   func() error
		want []latchbolt.GroupID
	}{
		{"add two in any order", func() error { return eng.AddToGroup(ctx, u, c, a) }, []latchbolt.GroupID{a, c}},
		{"add one again", func() error { return eng.AddToGroup(ctx, u, a) }, []latchbolt.GroupID{a, c}},
		{"remove one, and one that she is not in", func() error { return eng.RemoveFromGroup(ctx, u, a, b) }, []latchbolt.GroupID{c}},
		{"remove one that is not there", func() error { return eng.RemoveFromGroup(ctx, u, 99) }, []latchbolt.GroupID{c}},
		{"set", func() error { return eng.SetGroups(ctx, u, b, a, b) }, []latchbolt.GroupID{a, b}},
		{"set to none", func() error { return eng.SetGroups(ctx, u) }, nil},
	} {
		must(t, step.what, step.do())
		if got := groupsOf(t, eng, u); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.what, got, step.want)
		}
		for _, g := range []latchbolt.GroupID{a, b, c} {
			wantMembers := []latchbolt.UserID{other}
			if slices.Contains(step.want, g) {
				wantMembers = []latchbolt.UserID{u, other}
			}
			if got := members(t, eng, g); !slices.Equal(got, wantMembers) {
				t.Errorf("%s: members of %d: got %v, want %v", step.what, g, got, wantMembers)
			}
		}
	}
	for what, err := range map[string]error{
		"add to a group that is not there": eng.AddToGroup(ctx, u, a, 99),
		"set a group that is not there":    eng.SetGroups(ctx, u, a, 99),
		"add nobody":                       eng.AddToGroup(ctx, 99, a),
		"remove nobody":                    eng.RemoveFromGroup(ctx, 99, a),
		"insert into one that is not there": eng.InsertUser(ctx, &latchbolt.User{Username: "new", Groups: []latchbolt.GroupID{99}},
			latchbolt.PasswordHash{}),
	} {
		want(t, what, err, latchbolt.ErrNotFound)
	}
	if got := groupsOf(t, eng, u); got != nil {
		t.Errorf("failed calls left %v", got)
	}
}

func TestDeleteGroupLeavesNothing(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	must(t, "define", eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add"}))
	g, kept := addGroup(t, eng, "g"), addGroup(t, eng, "kept")
	u := addUser(t, eng, "ada").ID
	for _, g := range []latchbolt.GroupID{g, kept} {
		must(t, "member", eng.AddToGroup(ctx, u, g))
		must(t, "grant", eng.Grant(ctx, g, "blog.add", "post:1"))
	}
	must(t, "grant", eng.Grant(ctx, g, "blog.add"))
	id := authenticate(t, eng, "ada")
	must(t, "delete", eng.DeleteGroup(ctx, g))
	want(t, "again", eng.DeleteGroup(ctx, g), latchbolt.ErrNotFound)
	if got := groupsOf(t, eng, u); !slices.Equal(got, []latchbolt.GroupID{kept}) {
		t.Errorf("groups: got %v", got)
	}
	if ok, err := eng.HasPerm(ctx, id, "blog.add"); ok || err != nil {
		t.Errorf("HasPerm: got %v, %v", ok, err)
	}
	if ok, err := eng.HasPerm(ctx, id, "blog.add", "post:1"); !ok || err != nil {
		t.Errorf("HasPerm through the other group: got %v, %v", ok, err)
	}
	if h, err := eng.Holders(ctx, "blog.add"); err != nil || len(h) != 1 {
		t.Errorf("holders: got %v, %v", h, err)
	}
	if again := addGroup(t, eng, "g"); again <= kept {
		t.Errorf("identifier %d was given again", again)
	}
	eng = reopen(t, eng, nil)
	must(t, "deleting the newest", eng.DeleteGroup(ctx, 3))
	eng = reopen(t, eng, nil)
	if again := addGroup(t, eng, "g2"); again != 4 {
		t.Errorf("after opening again: got %d, want 4", again)
	}
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return tx.InsertGroup(&latchbolt.Group{ID: 3, Name: "third"})
	})
	want(t, "an identifier given out before", err, latchbolt.ErrConflict)
	must(t, "a new one", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return tx.InsertGroup(&latchbolt.Group{ID: 30, Name: "thirtieth"})
	}))
}

func TestGroupsAreYieldedByID(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	n := 600
	must(t, "filling", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		u := &latchbolt.User{Username: "first"}
		if err := tx.InsertUser(u, latchbolt.PasswordHash{}); err != nil {
			return err
		}
		for i := range n {
			g := latchbolt.Group{Name: fmt.Sprint("g", n-i)}
			if err := tx.InsertGroup(&g); err != nil {
				return err
			}
			v := &latchbolt.User{Username: fmt.Sprint("u", i), Groups: []latchbolt.GroupID{1}}
			if err := tx.InsertUser(v, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	}))
	next := latchbolt.GroupID(1)
	for g, err := range eng.Groups(ctx) {
		must(t, "groups", err)
		if g.ID != next || g.Name != fmt.Sprint("g", n+1-int(next)) {
			t.Fatalf("got %+v, want number %d", g, next)
		}
		next++
	}
	if int(next) != n+1 {
		t.Errorf("got %d groups, want %d", next-1, n)
	}
	if got := members(t, eng, 1); len(got) != n || !slices.IsSorted(got) {
		t.Errorf("got %d members, want %d, ascending", len(got), n)
	}
	must(t, "reading", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		for g, err := range tx.Groups() {
			if err != nil || g.ID != 1 {
				t.Errorf("in a transaction: got %+v, %v", g, err)
			}
			break
		}
		g, err := tx.GroupByName("g1")
		if err != nil || int(g.ID) != n {
			t.Errorf("GroupByName: got %+v, %v", g, err)
		}
		_, err = tx.Group(9999)
		want(t, "no such group", err, latchbolt.ErrNotFound)
		return nil
	}))
	must(t, "deleting the large group", eng.DeleteGroup(ctx, 1))
	if got := groupsOf(t, eng, 2); got != nil {
		t.Errorf("a member still has %v", got)
	}
}

// The limit of groups is one user's; no user may be stored beyond it.
func TestUserHasABoundedNumberOfGroups(t *testing.T) {
	eng := open(t, nil)
	const most = 4096
	var ids []latchbolt.GroupID
	err := eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
		ids = nil
		for i := range most + 1 {
			g := latchbolt.Group{Name: fmt.Sprint("g", i)}
			if err := tx.InsertGroup(&g); err != nil {
				return err
			}
			ids = append(ids, g.ID)
		}
		return tx.InsertUser(&latchbolt.User{Username: "ada", Groups: ids[:most]}, latchbolt.PasswordHash{})
	})
	must(t, "as many as may be", err)
	err = eng.AddToGroup(t.Context(), 1, ids[most])
	wantFields(t, "one more", err, "groups max_length")
	if !errors.Is(err, latchbolt.ErrInvalid) {
		t.Error(err)
	}
	if got := groupsOf(t, eng, 1); len(got) != most {
		t.Errorf("got %d groups", len(got))
	}
}
