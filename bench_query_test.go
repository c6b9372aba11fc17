package latchbolt_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// queryUsers is how many users the benchmarks of queries look among.
func queryUsers() int {
	if os.Getenv("LATCHBOLT_GROWTH") != "" {
		return 1_000_000
	}
	return 20_000
}

// withPeople makes an engine with n users in departments, and permissions that few, many and nearly all have.
func withPeople(b *testing.B, n int) *latchbolt.Engine {
	b.Helper()
	eng := open(b, nil)
	h, err := latchbolt.ParsePasswordHash(bulkHash)
	check(b, err)
	check(b, eng.Load(context.Background(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		for _, p := range []string{"few", "some", "more", "direct", "many", "last", "nobody"} {
			if err := l.Define(latchbolt.Permission{App: "app", Codename: p}); err != nil {
				return err
			}
		}
		group := make(map[string]latchbolt.GroupID)
		for _, name := range []string{"few", "some", "more", "many", "last", "one", "two"} {
			g := latchbolt.Group{Name: name}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			group[name] = g.ID
			if p := latchbolt.Perm("app." + name); name != "one" && name != "two" {
				if err := l.Grant(g.ID, p); err != nil {
					return err
				}
			}
		}
		for i := range n {
			// Names in another order than identifiers.
			name := fmt.Sprintf("%08d-user", (i*7919+13)%n)
			u := latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada", LastName: "Lovelace",
				Groups: []latchbolt.GroupID{group["one"]}, Superuser: i%100_000 == 77}
			if i%2 == 0 {
				u.Groups = append(u.Groups, group["many"])
			}
			if i%667 == 0 {
				u.Groups = append(u.Groups, group["some"])
			}
			if i%201 == 0 {
				u.Groups = append(u.Groups, group["more"])
			}
			if i%(n/20) == 0 {
				u.Groups = append(u.Groups, group["few"])
			}
			if i >= n-400 {
				u.Groups = append(u.Groups, group["last"])
			}
			if err := l.InsertUser(&u, h); err != nil {
				return err
			}
			if i%3 == 0 {
				if err := l.Grant(u.ID, "app.direct"); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return eng
}

// queryAsks is how often each page is asked for at least: the first time, whose figure is cold-ms/page, what it needs may not be in memory yet.
const queryAsks = 9

// BenchmarkUsers asks for the first page of 50 users, and for the page in the middle, among a million with LATCHBOLT_GROWTH=1. Then it also
// asks for pages that begin elsewhere.
func BenchmarkUsers(b *testing.B) {
	n := queryUsers()
	all := b // whose engine it is
	var eng *latchbolt.Engine
	for _, c := range []struct {
		name string
		q    latchbolt.UserQuery
		want int
	}{
		{"perm of few", latchbolt.UserQuery{Perm: "app.few", NoSuperusers: true}, 20},
		{"perm of half", latchbolt.UserQuery{Perm: "app.many"}, 50},
		{"perm of the last", latchbolt.UserQuery{Perm: "app.last"}, 50},
		{"perm granted to a third", latchbolt.UserQuery{Perm: "app.direct"}, 50},
		{"perm of superusers", latchbolt.UserQuery{Perm: "app.nobody"}, -1},
		{"perm of nobody", latchbolt.UserQuery{Perm: "app.nobody", NoSuperusers: true}, 0},
		{"perm of few by name", latchbolt.UserQuery{Perm: "app.few", NoSuperusers: true, Order: latchbolt.OrderByName}, 20},
		{"perm of half by name", latchbolt.UserQuery{Perm: "app.many", Order: latchbolt.OrderByName}, 50},
		{"perm of the last by name", latchbolt.UserQuery{Perm: "app.last", Order: latchbolt.OrderByName}, 50},
		{"perm of some hundreds by name", latchbolt.UserQuery{Perm: "app.some", Order: latchbolt.OrderByName}, -1},
		{"perm of some thousands by name", latchbolt.UserQuery{Perm: "app.more", Order: latchbolt.OrderByName}, 50},
		{"perm granted to a third by name", latchbolt.UserQuery{Perm: "app.direct", Order: latchbolt.OrderByName}, 50},
		{"perm of half, from the middle", latchbolt.UserQuery{Perm: "app.many", After: &latchbolt.User{ID: latchbolt.UserID(n / 2)}}, 50},
		{"perm of half, and a group", latchbolt.UserQuery{Perm: "app.many", Group: 1}, -1},
		{"prefix", latchbolt.UserQuery{Prefix: "0001", Order: latchbolt.OrderByName}, 50},
		{"prefix by id", latchbolt.UserQuery{Prefix: "0001", Order: latchbolt.OrderByID}, 50},
		{"text that is everywhere", latchbolt.UserQuery{Text: "lovelace"}, 50},
		{"text that is nowhere", latchbolt.UserQuery{Text: "babbage"}, 0},
		{"active superusers", latchbolt.UserQuery{Superuser: latchbolt.Only, Active: latchbolt.Only}, -1},
	} {
		b.Run(c.name, func(b *testing.B) {
			if eng == nil {
				eng = withPeople(all, n)
			}
			c.q.Limit = 50
			var took, others []float64
			ask := func(q latchbolt.UserQuery) float64 {
				start := time.Now()
				got := 0
				for _, err := range eng.Users(context.Background(), q) {
					check(b, err)
					got++
				}
				if c.want >= 0 && got != c.want {
					b.Fatalf("%d users, want %d", got, c.want)
				}
				return ms(time.Since(start))
			}
			for i := 0; b.Loop(); i++ {
				for j := range queryAsks {
					if took = append(took, ask(c.q)); took[0] > 1000 {
						break // nobody promised anything
					}
					if q := c.q; c.want == 50 && q.Perm != "app.last" && q.After == nil && n >= 1_000_000 {
						// Somewhere else, where nobody asked before, as far as there are enough behind.
						at := 1 + (i*queryAsks+j)*611_953%(n/2)
						q.After = &latchbolt.User{ID: latchbolt.UserID(at), Username: fmt.Sprintf("%08d-user", at)}
						if q.Prefix == "" {
							others = append(others, ask(q))
						}
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took[0], "cold-ms/page")
			b.ReportMetric(median(took), "ms/page")
			if len(others) > 0 {
				b.ReportMetric(median(others), "elsewhere-ms/page")
				b.ReportMetric(slices.Max(others), "max-elsewhere-ms/page")
			}
		})
	}
}
