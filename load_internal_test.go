package latchbolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// TestIndexGrowsAsTheFileDoes defines and removes permissions in any order, and compares the index that is kept
// with one that is read from the file: every name, every number.
func TestIndexGrowsAsTheFileDoes(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(toUser(w))
	rng := rand.New(rand.NewPCG(2, 8))
	var names []Perm
	nextID := PermissionID(denseIDs - 1500) // to both sides of it
	grown, late := 0, 0
	for range 300 {
		w.has() // has the index read
		before := w.e.cache.perms.Load()
		nextID += 10 + PermissionID(rng.IntN(2)*rng.IntN(2)*int(nextID)/100)
		w.must(w.e.Update(w.ctx, func(tx *Tx) error {
			name, spread := rng.IntN(20), 1+rng.IntN(3)
			for range 1 + rng.IntN(6) {
				p := Permission{App: fmt.Sprint("app", rng.IntN(3)), Codename: fmt.Sprint("perm", name+rng.IntN(spread)), Model: fmt.Sprint("m", rng.IntN(12))}
				if taken, err := tx.has(bucketPermName, permNameKey(p.App, p.Codename, p.Model)); taken || err != nil {
					return err
				}
				if rng.IntN(3) > 0 { // chosen by the caller, descending within the transaction
					p.ID = nextID - PermissionID(len(tx.fx.defined))
				}
				if err := tx.InsertPermission(&p); err != nil {
					return err
				}
				names = append(names, p.Perm())
			}
			if len(names) > 0 && rng.IntN(6) == 0 {
				gone := names[rng.IntN(len(names))]
				names = slices.DeleteFunc(names, func(p Perm) bool { return p == gone })
				return tx.Undefine(gone)
			}
			return nil
		}))
		kept := w.e.cache.perms.Load()
		if kept == nil {
			continue
		}
		if kept != before && len(kept.late) > 0 {
			grown++
			late = max(late, len(kept.late))
		}
		w.must(w.e.view(w.ctx, func(tx *ReadTx) error {
			read, err := tx.readPerms()
			if err != nil {
				return err
			}
			for p, n := range read.number {
				if got, ok := kept.find(p); !ok || got != n {
					t.Errorf("%s has the number %d, kept is %d, %v", p, n, got, ok)
				}
				if !kept.anyOf(p.App(), newPermSet([]uint32{n})) {
					t.Errorf("%s is in no app", p)
				}
			}
			for p := range tx.Permissions() {
				if got, want := kept.num(p.ID), read.num(p.ID); got != want {
					t.Errorf("permission %d counts as %d, kept is %d", p.ID, want, got)
				}
			}
			if n := len(kept.number) + len(kept.late); n != len(read.number) {
				t.Errorf("%d names, want %d", n, len(read.number))
			}
			return nil
		}))
	}
	if grown < 50 || late < 3 {
		t.Errorf("the index grew %d times, by %d at most: this tests nothing", grown, late)
	}
}

// TestDefinitionsLeaveUsersAlone tests that a permission that is nobody's yet costs nobody anything.
func TestDefinitionsLeaveUsersAlone(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(toUser(w))
	if !w.has() {
		t.Fatal("not granted")
	}
	w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "late"}))
	w.store.on(atSnapshot, func() {})
	if !w.has() {
		t.Error("what was granted before is gone")
	}
	if ok, err := w.e.HasPerm(w.ctx, w.id, "blog.late"); ok || err != nil {
		t.Errorf("what was defined is had: %v, %v", ok, err)
	}
	if !w.store.pending() {
		t.Error("it read the file")
	}
	w.store.at(atSnapshot)
	w.must(w.e.Grant(w.ctx, w.user, "blog.late"))
	if ok, err := w.e.HasPerm(w.ctx, w.id, "blog.late"); !ok || err != nil {
		t.Errorf("granted then: %v, %v", ok, err)
	}
}

// TestPartsOfOneState has the state of a user put together by somebody who looks at an old state of the file, while what is in
// memory is of a new one. The answer must be that of one of them.
func TestPartsOfOneState(t *testing.T) {
	both := func(w *cacheWorld, groups ...GroupID) func(*Tx) error {
		return func(tx *Tx) error {
			for _, g := range groups {
				if err := tx.RemoveFromGroup(w.user, g); err != nil {
					return err
				}
			}
			return tx.Grant(groups[0], cachePerm)
		}
	}
	redefine := func(w *cacheWorld) func(*Tx) error {
		return func(tx *Tx) error {
			return errors.Join(tx.Undefine(cachePerm), tx.Define(Permission{App: "blog", Codename: "add_post"}), tx.Grant(w.user, cachePerm))
		}
	}
	for _, c := range []struct {
		name    string
		groups  int  // of the user, at first
		granted bool // to the user, before and after
		change  func(w *cacheWorld, groups []GroupID) func(*Tx) error
		warm    func(w *cacheWorld, groups []GroupID) error // has the new state of a part in memory
	}{
		{"group", 1, false, func(w *cacheWorld, gs []GroupID) func(*Tx) error { return both(w, gs...) },
			func(w *cacheWorld, gs []GroupID) error { return w.ask(gs) }},
		{"groups together", 2, false, func(w *cacheWorld, gs []GroupID) func(*Tx) error { return both(w, gs...) },
			func(w *cacheWorld, gs []GroupID) error { return w.ask(gs) }},
		{"one group of several", 2, false, func(w *cacheWorld, gs []GroupID) func(*Tx) error { return both(w, gs...) },
			func(w *cacheWorld, gs []GroupID) error { return w.ask(gs[:1]) }},
		{"index, read with a user", 0, true, func(w *cacheWorld, _ []GroupID) func(*Tx) error { return redefine(w) },
			func(w *cacheWorld, _ []GroupID) error { return w.ask(nil) }},
		{"index, read by itself", 0, true, func(w *cacheWorld, _ []GroupID) func(*Tx) error { return redefine(w) },
			func(w *cacheWorld, _ []GroupID) error { _, err := w.e.permIndexFor(w.ctx); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			groups := []GroupID{w.group}
			more, err := w.e.CreateGroup(w.ctx, "readers")
			w.must(err)
			groups = append(groups, more)[:c.groups]
			for _, g := range groups {
				w.must(w.e.AddToGroup(w.ctx, w.user, g))
			}
			if c.granted {
				w.must(w.e.Grant(w.ctx, w.user, cachePerm))
			}
			w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "read_post"}))
			w.chill()
			_, err = w.e.permIndexFor(w.ctx) // as old as can be
			w.must(err)
			w.store.on(atSnapshot, func() {
				w.must(w.e.Update(w.ctx, c.change(w, groups)))
				w.must(c.warm(w, groups))
			})
			if got := w.has(); got != c.granted {
				t.Errorf("before it is %v and after it is %v, but somebody was told %v", c.granted, c.granted, got)
			}
			if w.store.pending() {
				t.Fatal("nothing was read")
			}
		})
	}
}

// ask makes a user in some groups, with a permission of his own, whose state is read then.
func (w *cacheWorld) ask(groups []GroupID) error {
	u := &User{Username: "bob", Groups: groups}
	if err := errors.Join(w.e.InsertUser(w.ctx, u, PasswordHash{}), w.e.Grant(w.ctx, u.ID, "blog.read_post")); err != nil {
		return err
	}
	_, err := w.e.Identity(w.ctx, u.ID)
	return err
}

// What a user's groups give is kept for others who are in the same ones.
func TestGroupsAreKept(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "read_post"}))
	other, err := w.e.CreateGroup(w.ctx, "readers")
	w.must(err)
	w.must(w.ask([]GroupID{w.group}))
	if w.e.cache.group(w.group) == nil {
		t.Error("the only group of a user is not kept")
	}
	w.chill()
	u := &User{Username: "eve", Groups: []GroupID{w.group, other}}
	w.must(w.e.InsertUser(w.ctx, u, PasswordHash{}))
	_, err = w.e.Identity(w.ctx, u.ID)
	w.must(err)
	if w.e.cache.group(other) == nil || w.e.cache.union(string(groupsKey(u.Groups))) == nil {
		t.Error("the groups of a user, or what they give together, are not kept")
	}
	if _, err := w.e.permIndexFor(w.ctx); err != nil || w.e.cache.perms.Load() == nil {
		t.Errorf("the index is not kept: %v", err)
	}
}

// A session is kept that was read after another one, which happens to share its fence, was ended.
func TestSessionsAreKeptAfterCommits(t *testing.T) {
	w := newCacheWorld(t, Config{})
	for shard := range w.e.cache.sessionF { // as if one had been ended in each
		w.e.cache.sessionF[shard].since = 1
	}
	w.chill()
	if !w.alive() {
		t.Fatal("no session")
	}
	if w.e.cache.sessions.count != 1 {
		t.Errorf("%d sessions are kept", w.e.cache.sessions.count)
	}
}

// Damage in what a user's permissions are made of is an error, and no user without permissions.
func TestDamagedPartsAreErrors(t *testing.T) {
	for name, damage := range map[string]func(w *cacheWorld, tx *Tx) error{
		"group": func(w *cacheWorld, tx *Tx) error { return tx.delete(bucketGroup, groupKey(w.group)) },
		"user": func(w *cacheWorld, tx *Tx) error {
			short := record.New(recordVersion)
			short.AddUint32(1)
			return tx.put(bucketUser, userKey(w.user), short)
		},
		"permission": func(w *cacheWorld, tx *Tx) error {
			ids, err := tx.permIDs(cachePerm)
			if err != nil {
				return err
			}
			return tx.put(bucketPerm, permKey(ids[0]), record.New(recordVersion))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			w.must(errors.Join(w.e.AddToGroup(w.ctx, w.user, w.group), w.e.Grant(w.ctx, w.user, cachePerm)))
			w.must(w.e.Update(w.ctx, func(tx *Tx) error { return damage(w, tx) }))
			w.chill()
			if ok, err := w.e.HasPerm(w.ctx, w.id, cachePerm); ok || !errors.Is(err, ErrCorrupt) {
				t.Errorf("HasPerm: %v, %v", ok, err)
			}
			if id, err := w.e.Identity(w.ctx, w.user); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Identity: %v, %v", id, err)
			}
		})
	}
	w := newCacheWorld(t, Config{})
	w.has()
	w.e.cache.perms.Store(nil)
	w.store.failReads.Store(true)
	defer w.store.failReads.Store(false)
	if d, err := w.e.Explain(w.ctx, w.id, "blog.unheard_of"); err == nil {
		t.Errorf("Explain, without the index of permissions: %+v", d)
	}
}

func TestPermSet(t *testing.T) {
	if (*permSet)(nil).has(0) {
		t.Error("the nil set is not empty")
	}
	u := newPermSet([]uint32{640}).or(newPermSet([]uint32{700, 5}))
	for n := range uint32(1000) {
		if want := n == 5 || n == 640 || n == 700; u.has(n) != want {
			t.Errorf("%d: %v", n, !want)
		}
	}
	if len(u.bits) != 11 {
		t.Errorf("%d words for numbers from 5 to 700", len(u.bits))
	}
}

// Users by the thousand each have a cell of their own.
func TestCellsAreDistinct(t *testing.T) {
	var users userTable
	users.init(10 * cellsPerChunk)
	seen := make(map[*userCell]UserID)
	for id := UserID(1); id <= 5*cellsPerChunk; id++ {
		c := users.cell(users.assign(id))
		if other, taken := seen[c]; taken {
			t.Fatalf("users %d and %d have the same cell", other, id)
		}
		seen[c] = id
	}
}
