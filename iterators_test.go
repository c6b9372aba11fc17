package latchbolt_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestIteratorsHoldNothing writes in the body of a loop over each iterator of an Engine and an Administrator, which would fail if a transaction were open.
func TestIteratorsHoldNothing(t *testing.T) {
	path := filepath.Join(fastDir(t), "app.db")
	eng := openAt(t, path, &latchbolt.Config{Create: true, SweepEvery: -1})
	u := addUser(t, eng, "ada")
	must(t, "a superuser", eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.Superuser, u.Staff = true, true; return nil }))
	must(t, "a permission", eng.Define(t.Context(), latchbolt.Permission{App: "blog", Codename: "add_post", Name: "Can add"}))
	g, err := eng.CreateGroup(t.Context(), "editors")
	must(t, "a group", err)
	must(t, "joining", eng.AddToGroup(t.Context(), u.ID, g))
	s := logInWith(t, eng, goodPassword)
	// Something for Verify to find.
	must(t, "closing", eng.Close())
	store, err := boltkv.Open(path, &boltkv.Options{Buckets: latchbolt.Buckets})
	must(t, "opening the store", err)
	_, err = store.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(latchbolt.BucketSession, []byte("what is this"), []byte("?")) })
	must(t, "damaging", err)
	must(t, "closing the store", store.Close())
	eng, err = latchbolt.Open(path, &latchbolt.Config{SweepEvery: -1})
	must(t, "opening again", err)
	defer func() { must(t, "closing", eng.Close()) }()

	id, err := eng.SessionUser(t.Context(), s.Token)
	must(t, "the session", err)
	ctx := t.Context()
	iterators := map[string]func(body func() bool){
		"Engine.Audit":        over(t, eng.Audit(ctx, latchbolt.AuditQuery{})),
		"Engine.Groups":       over(t, eng.Groups(ctx)),
		"Engine.Members":      over(t, eng.Members(ctx, g)),
		"Engine.Permissions":  over(t, eng.Permissions(ctx)),
		"Engine.Sessions":     over(t, eng.Sessions(ctx, u.ID)),
		"Engine.Users":        over(t, eng.Users(ctx, latchbolt.UserQuery{})),
		"Engine.Verify":       over(t, eng.Verify(ctx)),
		"Administrator.Audit": over(t, eng.As(id).Audit(ctx, latchbolt.AuditQuery{})),
	}
	for name, loop := range iterators {
		times := 0
		loop(func() bool {
			times++
			if err := eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error { u.LastName += "x"; return nil }); err != nil {
				t.Errorf("%s: writing in the body: %v", name, err)
			}
			return times < 3
		})
		if times == 0 {
			t.Errorf("%s: the body was not run", name)
		}
	}
	var all []string
	for _, of := range []reflect.Type{reflect.TypeFor[*latchbolt.Engine](), reflect.TypeFor[latchbolt.Administrator]()} {
		for i := range of.NumMethod() {
			m := of.Method(i)
			if m.Type.NumOut() == 1 && strings.HasPrefix(m.Type.Out(0).String(), "iter.Seq") {
				all = append(all, strings.NewReplacer("*", "", "latchbolt.", "").Replace(of.String())+"."+m.Name)
			}
		}
	}
	slices.Sort(all)
	if tried := slices.Sorted(maps.Keys(iterators)); !slices.Equal(tried, all) {
		t.Errorf("tried %v; there are %v", tried, all)
	}
}

// TestIteratorsDoNotMindTheirBody changes what is yielded in the body of the loop, as somebody does who makes new groups of those of another
// file. What comes next must not depend on it.
func TestIteratorsDoNotMindTheirBody(t *testing.T) {
	const n = 2*256 + 3 // more than two pages
	eng := open(t, nil)
	ctx := t.Context()
	must(t, "filling", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		for i := range n {
			name := fmt.Sprintf("n%03d", i)
			if err := errors.Join(tx.InsertUser(&latchbolt.User{Username: name}, latchbolt.PasswordHash{}), tx.InsertGroup(&latchbolt.Group{Name: name}),
				tx.Define(latchbolt.Permission{App: "app", Codename: name, Name: name})); err != nil {
				return err
			}
		}
		return nil
	}))
	users := func(o latchbolt.Order) func(*int) error {
		return func(got *int) error {
			for u, err := range eng.Users(ctx, latchbolt.UserQuery{Order: o}) {
				if err != nil {
					return err
				}
				if *got++; *got > n {
					break
				}
				u.ID, u.Username = 0, "zzz"
			}
			return nil
		}
	}
	for name, count := range map[string]func(*int) error{
		"users by identifier": users(latchbolt.OrderByID),
		"users by name":       users(latchbolt.OrderByName),
		"groups": func(got *int) error {
			for g, err := range eng.Groups(ctx) {
				if err != nil {
					return err
				}
				if *got++; *got > n {
					break
				}
				g.ID = 0
			}
			return nil
		},
		"permissions": func(got *int) error {
			for p, err := range eng.Permissions(ctx) {
				if err != nil {
					return err
				}
				if *got++; *got > n {
					break
				}
				p.ID = 0
			}
			return nil
		},
	} {
		got := 0
		if err := count(&got); err != nil || got != n {
			t.Errorf("%s: there are %d, and the loop got %d (more than there are end it), %v", name, n, got, err)
		}
	}
}

// over makes a loop over an iterator with a body that does not look at what is yielded.
func over[T any](t *testing.T, seq iter.Seq2[T, error]) func(body func() bool) {
	return func(body func() bool) {
		for _, err := range seq {
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			if !body() {
				return
			}
		}
	}
}
