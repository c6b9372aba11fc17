package latchbolt

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// BenchmarkCacheMemory fills a cache up to its limit and reports what a session takes
// in memory, what a user takes, how many sessions found a slot, and what the collector takes of one core while the program allocates
// 100 MB/s of other things:
//
//	LATCHBOLT_GROWTH=1 go test -run '^$' -bench CacheMemory .
func BenchmarkCacheMemory(b *testing.B) {
	sizes := []int{100_000}
	if os.Getenv("LATCHBOLT_GROWTH") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		for _, users := range []int{1000, n} {
			b.Run(fmt.Sprintf("sessions=%d/users=%d", n, users), func(b *testing.B) { benchmarkCacheMemory(b, n, users) })
		}
	}
}

func benchmarkCacheMemory(b *testing.B, n, users int) {
	for b.Loop() {
		before := heapInUse()
		c := newCache(n, n, new(denials))
		states := benchStates(c, users)
		withUsers := heapInUse()
		for i := range n {
			tok, rec := benchToken(uint64(i))
			st := states[i%users]
			rec.user = st.id
			c.keepSession(&tok, rec, tok.sel, st, 0, 1)
		}
		states = nil
		after := heapInUse()
		found := 0
		for i := range n {
			tok, _ := benchToken(uint64(i))
			if c.sessions.lookup(&tok, 0, new(sessionHit)) {
				found++
			}
		}
		b.ReportMetric(float64(after-withUsers)/float64(n), "B/session")
		b.ReportMetric(float64(withUsers-before)/float64(users), "B/user")
		b.ReportMetric(100*float64(found)/float64(n), "%kept")
		with := gcShare()
		runtime.KeepAlive(c)
		c = nil
		runtime.GC()
		b.ReportMetric(with, "%core-gc")
		b.ReportMetric(gcShare(), "%core-gc-without")
	}
	b.ReportMetric(0, "ns/op")
}

// benchStates puts users into a cache, who share their permissions.
func benchStates(c *cache, n int) []*userState {
	states := make([]*userState, n)
	engine, perms := new(Engine), new(permSet)
	for i := range states {
		st := &userState{rev: 1, id: UserID(i + 1), name: fmt.Sprintf("user%d", i), perms: perms}
		st.first[0] = identity{st: st, e: engine, backend: "password"}
		st.idents = st.first[:]
		c.keepUser(st, 1)
		states[i] = st
	}
	return states
}

// benchToken makes the nth token.
func benchToken(n uint64) (tok Token, rec *sessionRecord) {
	tok.kind = tokenNative
	x := n
	for i := 8; i < 16; i += 8 {
		x = mix64(x + 0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(tok.sel[i:], x)
	}
	tok.sel[8], tok.sel[9] = byte(n>>24), byte(n>>16) // of the time
	for i := 0; i < 32; i += 8 {
		x = mix64(x + 0x9e3779b97f4a7c15)
		binary.LittleEndian.PutUint64(tok.ver[i:], x)
	}
	return tok, &sessionRecord{expires: time.Unix(1e9, 0), seen: time.Unix(1e8, 0)}
}

// mix64 is the finalizer of SplitMix64.
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var benchGarbage []byte

// gcShare allocates 100 MB/s for two seconds or four collections, whichever is longer but at most ten seconds, and returns what the
// collector took of one core, in percent.
func gcShare() float64 {
	const slice = 10 * time.Millisecond
	// What it does where a processor would be idle takes nothing from anybody.
	sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	runtime.GC() // the figures are those of the last collection
	metrics.Read(sample)
	cpu, cycles := sample[0].Value.Float64()-sample[2].Value.Float64(), sample[1].Value.Uint64()
	start := time.Now()
	allocated := time.Duration(0) // for how much time
	for {
		took := time.Since(start)
		if metrics.Read(sample); took > 10*time.Second || took > 2*time.Second && sample[1].Value.Uint64() >= cycles+4 {
			break
		}
		for ; allocated < took; allocated += slice {
			for range 1000 {
				benchGarbage = make([]byte, 1000)
			}
		}
		time.Sleep(slice / 2)
	}
	took := time.Since(start)
	runtime.GC()
	metrics.Read(sample)
	// The last collection was asked for.
	n := float64(sample[1].Value.Uint64() - cycles)
	return 100 * (sample[0].Value.Float64() - sample[2].Value.Float64() - cpu) * (n - 1) / n / took.Seconds()
}
