package latchbolt_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/latchbolt-go/latchbolt"
)

// BenchmarkAuthenticate checks a password with the default hasher, 50 times or more. The limit is the raw hash.
func BenchmarkAuthenticate(b *testing.B) {
	eng := open(b, &latchbolt.Config{Hashers: latchbolt.DefaultHashers(), Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	addUser(b, eng, "ada")
	ctx := context.Background()
	debug.FreeOSMemory() // which would go on beside what is measured, after a benchmark that needed much
	limit := func() {
		copy(sink[:], argon2.IDKey([]byte(goodPassword), []byte("sixteen bytes ok"), 2, 19456, 1, 32))
	}
	for _, c := range []struct {
		name, user, password string
		ok                   bool
	}{
		{"right", "ada", goodPassword, true},
		{"wrong", "ada", "not the password at all", false},
		{"unknown user", "bob", goodPassword, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			besideOften(b, 1, 50, limit, func() {
				if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: c.user, Password: c.password}); (err == nil) != c.ok {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkAuthenticateAtOnce lets 32 callers check passwords for two seconds a round, with two slots for hashing.
// The limit is two goroutines that do nothing but hash. Beside them somebody asks, every millisecond, for the user of a session:
// p99-ms is what the question takes, and late-p99-ms how late it is asked, because hashing
// has all processors. Go takes a processor away from a goroutine only after 10 ms, and x/crypto cannot be asked to step
// aside; so the latter is bounded by that and not by this package, unless fewer slots than processors are configured.
//
// MiB is the most memory in use above what was in use before, which the collector
// decides (GOGC): x/crypto takes no buffer, so that the 19 MiB of each hash are garbage afterwards.
func BenchmarkAuthenticateAtOnce(b *testing.B) {
	for _, c := range []struct {
		name  string
		slots int
	}{{"slots=2", 2}, {"slots=1", 1}} {
		b.Run(c.name, func(b *testing.B) { benchmarkAuthenticateAtOnce(b, c.slots) })
	}
}

func benchmarkAuthenticateAtOnce(b *testing.B, slots int) {
	eng := open(b, &latchbolt.Config{Hashers: latchbolt.DefaultHashers(), HashSlots: slots, HashQueue: 64,
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	addUser(b, eng, "ada")
	s := login(b, eng, "ada")
	ctx := context.Background()
	debug.FreeOSMemory()
	var owns, limits, ratios, took, late, memory []float64
	for b.Loop() {
		runtime.GC()
		limit := perSecond(slots, func() {
			argon2.IDKey([]byte(goodPassword), []byte("sixteen bytes ok"), 2, 19456, 1, 32)
		})
		runtime.GC()
		var stop atomic.Bool
		var asking sync.WaitGroup
		base, most := memoryInUse(), uint64(0)
		asking.Go(func() {
			for due := time.Now(); !stop.Load(); due = due.Add(time.Millisecond) {
				time.Sleep(time.Until(due))
				start := time.Now()
				if _, err := eng.SessionUser(ctx, s.Token); err != nil {
					b.Error(err)
				}
				took = append(took, float64(time.Since(start)))
				late = append(late, float64(start.Sub(due)))
				most = max(most, memoryInUse())
				if due.Before(start.Add(-10 * time.Millisecond)) {
					due = start // a processor was not to be had; those that were not asked are not made up for
				}
			}
		})
		own := perSecond(32, func() {
			_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
			if err != nil && !errors.Is(err, latchbolt.ErrBusy) {
				b.Error(err)
			}
		})
		stop.Store(true)
		asking.Wait()
		owns, limits, ratios = append(owns, own), append(limits, limit), append(ratios, own/limit)
		memory = append(memory, float64(most-min(most, base))/(1<<20))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(owns), "hashes/s")
	b.ReportMetric(median(limits), "limit-hashes/s")
	b.ReportMetric(median(ratios), "x-throughput")
	b.ReportMetric(median(memory), "MiB")
	b.ReportMetric(quantile(took, 0.99)/1e6, "p99-ms")
	b.ReportMetric(quantile(late, 0.99)/1e6, "late-p99-ms")
}

// perSecond calls fn from some goroutines for two seconds and returns how often a second.
func perSecond(goroutines int, fn func()) float64 {
	var n atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for time.Since(start) < 2*time.Second {
				fn()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

// memoryInUse is what the program has of the system and has not given back.
func memoryInUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64() - sample[2].Value.Uint64()
}
