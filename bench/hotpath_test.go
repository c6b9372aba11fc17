package bench

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// BenchmarkHotPath has what each request asks: how much memory a call allocates, and how much more two processors answer than one.
func BenchmarkHotPath(b *testing.B) {
	ctx := context.Background()
	eng, pop := population(b, latchbolt.Config{}, growth.Size{Users: usersInUse, Sessions: sessionsInUse, Groups: 10})
	who := latchboltSessions(b, eng, pop)
	check(b, eng.Define(ctx, latchbolt.Permission{App: "app", Codename: "perm0"}))
	ids := identities(b, eng, 64)
	for _, c := range []struct {
		name string
		call func(i int)
	}{
		{"SessionUser", func(i int) { who(random(i, sessionsInUse)) }},
		{"HasPerm", func(i int) {
			_, err := eng.HasPerm(ctx, ids[i%64], "app.perm0")
			check(b, err)
		}},
		{"Identity.Has", func(i int) { ids[i%64].Has("app.perm0") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			if runtime.GOMAXPROCS(0) < 2 {
				b.Skip("two processors are needed")
			}
			allocs := testing.AllocsPerRun(1000, func() { c.call(7) })
			one, two, ratio := turns(b, 2, each(c.call), func(n int) {
				var wg sync.WaitGroup
				for half := range 2 {
					wg.Go(func() {
						for i := range n / 2 {
							c.call(i + half*n)
						}
					})
				}
				wg.Wait()
			})
			b.ReportMetric(allocs, "allocs/call")
			b.ReportMetric(one, "ns/call")
			b.ReportMetric(two, "two-ns/call")
			b.ReportMetric(ratio, "x-one-processor")
		})
	}
}
