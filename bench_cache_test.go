package latchbolt_test

import (
	"context"
	"crypto/sha256"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSessionUserParallel asks for 1,000 sessions in use from one goroutine and from two, and reports how
// much more two get done on two processors, beside what two get done of SHA-256, which is what the machine gives:
// two of its processors may be halves of one core.
//
//	go test -run '^$' -bench SessionUserParallel -cpu 2 .
func BenchmarkSessionUserParallel(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("needs GOMAXPROCS of 2")
	}
	eng, tokens := withSessions(b, 1000, nil)
	ctx := context.Background()
	own := func(from int) {
		for i := range 200_000 {
			if _, err := eng.SessionUser(ctx, tokens[(from+i*7919)%len(tokens)]); err != nil {
				b.Error(err)
				return
			}
		}
	}
	var sum atomic.Uint32
	limit := func(int) {
		var in [32]byte
		for range 200_000 {
			in = sha256.Sum256(in[:])
		}
		sum.Add(uint32(in[0]))
	}
	var owns, limits []float64
	for b.Loop() {
		owns, limits = append(owns, speedup(own)), append(limits, speedup(limit))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(owns), "x-two-cores")
	b.ReportMetric(median(limits), "x-two-cores-sha256")
	b.ReportMetric(median(owns)/median(limits), "x-limit")
}

// speedup returns how many times the work of one goroutine two do in the same time.
func speedup(fn func(from int)) float64 {
	one := time.Now()
	fn(0)
	t1 := time.Since(one)
	two := time.Now()
	inParallel(2, 2, func(i int) { fn(500 * i) })
	return 2 * float64(t1) / float64(time.Since(two))
}
