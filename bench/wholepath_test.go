package bench

import (
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/bench/internal/load"
)

// BenchmarkWholePath is the notice board of examples/intranet under load, in a process of its own; go run ./load does it for longer.
func BenchmarkWholePath(b *testing.B) {
	site, visitors := startSite(b)
	for _, kind := range load.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			limits := load.Limits{Clients: 16, Requests: 2000, For: 10 * time.Second}
			if kind == load.SignIn {
				limits.Requests = 160 // each costs a hash
			}
			var all load.Result
			for b.Loop() {
				all.Add(site.Run(b.Context(), kind, visitors, limits))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(all.PerSecond(), "req/s")
			b.ReportMetric(float64(all.Within(0.5))/1e6, "p50-ms")
			b.ReportMetric(float64(all.Within(0.99))/1e6, "p99-ms")
			b.ReportMetric(float64(all.Errors), "errors")
			if all.First != nil {
				b.Log(all.First)
			}
		})
	}
}

func startSite(t testing.TB) (*load.Site, load.Visitors) {
	t.Helper()
	site, err := load.Start(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, site.Stop()) })
	visitors, err := site.SignIn(t.Context(), 64)
	check(t, err)
	return site, visitors
}

// TestWholePath: under a small load nothing goes wrong, and what goes wrong is seen.
func TestWholePath(t *testing.T) {
	site, visitors := startSite(t)
	for _, kind := range load.Kinds {
		r := site.Run(t.Context(), kind, visitors, load.Limits{Clients: 8, Requests: 40, For: time.Minute})
		if r.Errors != 0 || r.Requests != 40 || r.Within(0.5) <= 0 || r.Within(0.99) < r.Within(0.5) {
			t.Errorf("%s: %d answers, %d errors, the first: %v", kind, r.Requests, r.Errors, r.First)
		}
	}
	swapped := make(load.Visitors, 2)
	swapped[0], swapped[1] = visitors[0].As(1), visitors[1].As(0)
	for _, kind := range []load.Kind{load.Browse, load.Check, "nothing"} {
		if r := site.Run(t.Context(), kind, swapped, load.Limits{Clients: 1, Requests: 10, For: time.Minute}); r.Requests != 0 || r.Errors != 10 || r.First == nil {
			t.Errorf("%s by people who pass for others: %d answers, %d errors", kind, r.Requests, r.Errors)
		}
	}
}
