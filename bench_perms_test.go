package latchbolt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

// A permWorld is an engine with permissions and somebody who has some of them.
type permWorld struct {
	eng   *latchbolt.Engine
	id    latchbolt.Identity
	perms []latchbolt.Perm // to ask for; every other one is had
}

// withPerms makes an engine with a user in ten groups who has every other of n permissions.
func withPerms(b *testing.B, n int) *permWorld {
	b.Helper()
	w := &permWorld{eng: open(b, nil)}
	ctx := context.Background()
	u := &latchbolt.User{Username: "ada"}
	check(b, w.eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		for i := range n {
			if err := l.Define(latchbolt.Permission{App: "app", Codename: fmt.Sprintf("perm%d", i)}); err != nil {
				return err
			}
		}
		for g := range 10 {
			g := latchbolt.Group{Name: fmt.Sprintf("group%d", g)}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			u.Groups = append(u.Groups, g.ID)
		}
		for i := 0; i < n; i += 2 {
			if err := l.Grant(u.Groups[i/2%10], latchbolt.Perm(fmt.Sprintf("app.perm%d", i))); err != nil {
				return err
			}
		}
		return l.InsertUser(u, latchbolt.PasswordHash{})
	}))
	w.find(b, u.ID)
	for i := range 64 {
		w.perms = append(w.perms, latchbolt.Perm(fmt.Sprintf("app.perm%d", i*7919%n)))
	}
	return w
}

// withGrants makes an engine with as many grants as casbin's benchmarks have rules: n users in n/10 groups, each with a
// permission of its own.
func withGrants(b *testing.B, n int) *permWorld {
	b.Helper()
	w := &permWorld{eng: open(b, nil)}
	ctx := context.Background()
	roles := max(n/11, 1)
	var one latchbolt.User
	check(b, w.eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		var groups []latchbolt.GroupID
		for i := range roles {
			g := latchbolt.Group{Name: fmt.Sprintf("role%d", i)}
			p := latchbolt.Permission{App: "data", Codename: fmt.Sprintf("read%d", i)}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			if err := l.Define(p); err != nil {
				return err
			}
			if err := l.Grant(g.ID, p.Perm()); err != nil {
				return err
			}
			groups = append(groups, g.ID)
		}
		for i := range 10 * roles {
			u := latchbolt.User{Username: fmt.Sprintf("user%d", i), Groups: groups[i/10 : i/10+1]}
			if err := l.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
			if i == 5*roles {
				one = u
			}
		}
		return nil
	}))
	w.find(b, one.ID)
	for i := range 64 {
		n := (roles/2 + i%2*(i*7919)) % roles
		w.perms = append(w.perms, latchbolt.Perm(fmt.Sprintf("data.read%d", n)))
	}
	return w
}

func (w *permWorld) find(b *testing.B, id latchbolt.UserID) {
	b.Helper()
	var err error
	w.id, err = w.eng.Identity(context.Background(), id)
	check(b, err)
}

// raw is what a program could ask in place of the engine: a map of the same names, as stale as its last update.
func (w *permWorld) raw(b *testing.B) map[latchbolt.Perm]bool {
	b.Helper()
	raw := make(map[latchbolt.Perm]bool)
	for p, err := range w.eng.Permissions(context.Background()) {
		check(b, err)
		raw[p.Perm()] = w.id.Has(p.Perm())
	}
	return raw
}

var permSizes = []int{10, 1000, 100_000}

// BenchmarkHasPerm decides about one permission, of few and of many. The limit is a lookup in a Go map of the same names.
func BenchmarkHasPerm(b *testing.B) {
	for _, n := range permSizes {
		benchmarkAsk(b, fmt.Sprintf("perms=%d", n), func() *permWorld { return withPerms(b, n) })
	}
	for _, n := range []int{10, 1100, 110_000} {
		benchmarkAsk(b, fmt.Sprintf("grants=%d", n), func() *permWorld { return withGrants(b, n) })
	}
}

func benchmarkAsk(b *testing.B, name string, with func() *permWorld) {
	var w *permWorld
	var raw map[latchbolt.Perm]bool
	ctx := context.Background()
	var yes, i int
	for _, c := range []struct {
		name string
		ask  func()
	}{
		{"HasPerm", func() {
			i++
			ok, err := w.eng.HasPerm(ctx, w.id, w.perms[i%64])
			if err != nil {
				b.Fatal(err)
			}
			if ok {
				yes++
			}
		}},
		{"Identity.Has", func() {
			i++
			if w.id.Has(w.perms[i%64]) {
				yes++
			}
		}},
	} {
		b.Run(c.name+"/"+name, func(b *testing.B) {
			if w == nil {
				w = with()
				raw = w.raw(b)
			}
			yes = 0
			beside(b, 10_000, func() {
				i++
				if raw[w.perms[i%64]] {
					yes++
				}
			}, c.ask)
			b.ReportMetric(testing.AllocsPerRun(1000, c.ask), "allocs/call")
			if yes == 0 {
				b.Fatal("nothing was allowed")
			}
		})
	}
}

// BenchmarkHasPermFlat asks the same of two engines: the one that counts as the limit has ten permissions, or ten grants; the other
// ten thousand times as many.
func BenchmarkHasPermFlat(b *testing.B) {
	for _, c := range []struct {
		name        string
		small, many func() *permWorld
	}{
		{"perms=100000", func() *permWorld { return withPerms(b, 10) }, func() *permWorld { return withPerms(b, 100_000) }},
		{"grants=110000", func() *permWorld { return withGrants(b, 10) }, func() *permWorld { return withGrants(b, 110_000) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			small, many := c.small(), c.many()
			ctx := context.Background()
			i := 0
			asking := func(w *permWorld) func() {
				return func() {
					i++
					if _, err := w.eng.HasPerm(ctx, w.id, w.perms[i%64]); err != nil {
						b.Fatal(err)
					}
				}
			}
			beside(b, 10_000, asking(small), asking(many))
		})
	}
}

// BenchmarkHasPermAfterChange times the first check after each kind of change: by the user whom it concerns, and before that by
// another one. The limit is what bbolt takes after a commit of its own for a View with two Gets: the user's record has to be read
// again, and the grants. The engine does that in the call that makes the change.
func BenchmarkHasPermAfterChange(b *testing.B) {
	ctx := context.Background()
	const n = 1000
	for _, c := range []struct {
		name     string
		do, undo func(w *permWorld, g latchbolt.GroupID) error
	}{
		{"grant to the user", func(w *permWorld, _ latchbolt.GroupID) error { return w.eng.Grant(ctx, w.id.ID(), "app.perm1") },
			func(w *permWorld, _ latchbolt.GroupID) error { return w.eng.Revoke(ctx, w.id.ID(), "app.perm1") }},
		{"membership", func(w *permWorld, g latchbolt.GroupID) error { return w.eng.RemoveFromGroup(ctx, w.id.ID(), g) },
			func(w *permWorld, g latchbolt.GroupID) error { return w.eng.AddToGroup(ctx, w.id.ID(), g) }},
		{"grant to a group", func(w *permWorld, g latchbolt.GroupID) error { return w.eng.Grant(ctx, g, "app.perm1") },
			func(w *permWorld, g latchbolt.GroupID) error { return w.eng.Revoke(ctx, g, "app.perm1") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := withPerms(b, n)
			other := &latchbolt.User{Username: "bob"}
			check(b, w.eng.InsertUser(ctx, other, latchbolt.PasswordHash{}))
			check(b, w.eng.Grant(ctx, other.ID, "app.perm2"))
			bob, err := w.eng.Identity(ctx, other.ID)
			check(b, err)
			u, err := w.eng.User(ctx, w.id.ID())
			check(b, err)
			db := rawDB(b, n)
			var own, others, limit []float64
			ask := func(id latchbolt.Identity) float64 {
				start := time.Now()
				_, err := w.eng.HasPerm(ctx, id, "app.perm2")
				took := time.Since(start)
				check(b, err)
				return float64(took)
			}
			for i := 0; b.Loop(); i++ {
				change := c.do
				if i%2 == 1 {
					change = c.undo
				}
				check(b, change(w, u.Groups[5]))
				others, own = append(others, ask(bob)), append(own, ask(w.id))
				limit = append(limit, rawAfterChange(b, db, i%n))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(own), "ns/call")
			b.ReportMetric(median(others), "others-ns/call")
			b.ReportMetric(median(limit), "limit-ns/call")
			b.ReportMetric(median(own)/median(limit), "x-limit")
		})
	}
}

// rawAfterChange puts one record and returns how long a View with two Gets takes then.
func rawAfterChange(b *testing.B, db *bbolt.DB, i int) float64 {
	key := binary.BigEndian.AppendUint64(nil, uint64(i))
	check(b, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("c")).Put(key, make([]byte, 120)) }))
	start := time.Now()
	check(b, db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("a")).Get(key) == nil || tx.Bucket([]byte("b")).Get(key) == nil {
			b.Fatal("missing")
		}
		return nil
	}))
	return float64(time.Since(start))
}
