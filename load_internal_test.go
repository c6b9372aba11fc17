package latchbolt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIndexGrowsAsTheFileDoes defines and removes permissions in any order, and compares the index that is kept
// with one that is read from the file: every name, every number.
func TestIndexGrowsAsTheFileDoes(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(toUser(w))
	rng := rand.New(rand.NewPCG(2, 8))
	var names []Perm
	nextID := PermissionID(1000)
	grown, late := 0, 0
	for range 300 {
		w.has() // has the index read
		before := w.e.cache.perms.Load()
		nextID += 10
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
