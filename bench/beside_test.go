package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// A side is one way to do a task: run does it n times.
type side func(n int)

// each is the side whose task is one call of fn. The number of the call goes along, so that it can choose what it works on.
func each(fn func(i int)) side {
	i := 0
	return func(n int) {
		for range n {
			fn(i)
			i++
		}
	}
}

// atOnce is the side whose tasks run on 64 goroutines.
func atOnce(fn func(i int)) side {
	var next atomic.Int64
	return func(n int) {
		last := next.Load() + int64(n)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < last; i = next.Add(1) - 1 {
					fn(int(i))
				}
			})
		}
		wg.Wait()
		next.Store(last)
	}
}

// slice is how long one side runs before it is the other's turn.
const slice = time.Millisecond

// timed is how long one of n tasks took, in nanoseconds.
func timed(s side, n int) float64 {
	start := time.Now()
	s(n)
	return float64(time.Since(start)) / float64(n)
}

// batch finds how many tasks fill a slice. The side is warm afterwards. What is quick is timed three times, so that
// an interruption does not pass for a slice filled.
func batch(s side, least int) int {
	for n := least; ; n *= 2 {
		took := timed(s, n) * float64(n)
		for tries := 0; tries < 2 && took < 200*float64(slice); tries++ {
			took = min(took, timed(s, n)*float64(n))
		}
		if took >= float64(slice)/2 || n >= 1<<20 {
			return n
		}
	}
}

// turns runs two sides in turn, a slice each, and returns the medians of what a task takes, and of the ratio of each turn. The least is
// the least number of tasks in one turn.
func turns(b *testing.B, least int, one, other side) (ones, others, ratio float64) {
	b.Helper()
	oneN, otherN := batch(one, least), batch(other, least)
	var a, z, ratios []float64
	for i := 0; b.Loop(); i++ {
		var p, o float64
		if i%2 == 0 { // neither always runs on what the other left in the processor's caches
			p, o = timed(one, oneN), timed(other, otherN)
		} else {
			o, p = timed(other, otherN), timed(one, oneN)
		}
		a, z, ratios = append(a, p), append(z, o), append(ratios, p/o)
	}
	b.ReportMetric(0, "ns/op")
	return median(a), median(z), median(ratios)
}

// beside measures a peer and latchbolt in turn.
func beside(b *testing.B, least int, peer, latchbolt side) {
	b.Helper()
	allocs := -1.0
	if least == 1 {
		allocs = testing.AllocsPerRun(5, func() { peer(1) })
	}
	theirs, ours, ratio := turns(b, least, peer, latchbolt)
	b.ReportMetric(theirs, "ns/call")
	b.ReportMetric(ours, "latchbolt-ns/call")
	b.ReportMetric(ratio, "x-latchbolt")
	if allocs >= 0 {
		b.ReportMetric(allocs, "allocs/call")
	}
}

// alone measures one side by itself.
func alone(b *testing.B, least int, s side) {
	b.Helper()
	n := batch(s, least)
	var all []float64
	for b.Loop() {
		all = append(all, timed(s, n))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(all), "ns/call")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func check(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// random is a number below n that looks random and is the same in each run.
func random(i, n int) int {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 29
	return int(x % uint64(n))
}

// quiet is a configuration for benchmarks.
func quiet(cfg latchbolt.Config) *latchbolt.Config {
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.SweepEvery, cfg.SessionLimit = -1, -1
	return &cfg
}

// population makes a file of a size, and opens it.
func population(t testing.TB, cfg latchbolt.Config, size growth.Size) (*latchbolt.Engine, *growth.Population) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	p, err := growth.Make(context.Background(), path, quiet(latchbolt.Config{}), size)
	check(t, err)
	return open(t, path, cfg), p
}

func open(t testing.TB, path string, cfg latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	eng, err := latchbolt.Open(path, quiet(cfg))
	check(t, err)
	t.Cleanup(func() { check(t, eng.Close()) })
	return eng
}

// identities are those of the first n users of a population.
func identities(t testing.TB, eng *latchbolt.Engine, n int) []latchbolt.Identity {
	t.Helper()
	ids := make([]latchbolt.Identity, n)
	for i := range ids {
		u, err := eng.UserByName(context.Background(), growth.Username(i))
		check(t, err)
		ids[i], err = eng.Identity(context.Background(), u.ID)
		check(t, err)
	}
	return ids
}

// fileSize is how many bytes files have together.
func fileSize(t testing.TB, paths ...string) float64 {
	t.Helper()
	var all int64
	for _, path := range paths {
		fi, err := os.Stat(path)
		check(t, err)
		all += fi.Size()
	}
	return float64(all)
}

// sized is a part of the name of a benchmark.
func sized(what string, n int) string { return fmt.Sprintf("%s=%d", what, n) }
