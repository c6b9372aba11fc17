package latchbolt_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

// Each benchmark measures a promise of the README beside its limit: what the
// machine or the library underneath can do at all. Both run in turn, so that a
// machine that becomes slower does so for both, and the figure that counts is the ratio:
//
//	go test -run '^$' -bench . .
//
// x-limit is the median over the rounds of the ratio of the two; less than 1 is
// faster than the limit.

// beside runs two functions in turn, batch calls of each a round, and reports
// the medians.
func beside(b *testing.B, batch int, limit, own func()) {
	b.Helper()
	besideOften(b, batch, 1, limit, own)
}

// besideOften is beside with at least so many rounds, for ratios that have to be known to a part in a thousand. If it is more than one, each
// turn begins with a heap from which the garbage of the one before was collected. x-undisturbed is the ratio of what the quickest tenth of
// each took.
func besideOften(b *testing.B, batch, least int, limit, own func()) {
	b.Helper()
	var limits, owns, ratios []float64
	timed := func(fn func()) float64 {
		if least > 1 {
			runtime.GC()
		}
		start := time.Now()
		for range batch {
			fn()
		}
		return float64(time.Since(start)) / float64(batch)
	}
	turn := func(limitFirst bool) {
		var l, o float64
		if limitFirst { // neither always runs on what the other left in the processor's caches
			l, o = timed(limit), timed(own)
		} else {
			o, l = timed(own), timed(limit)
		}
		limits, owns, ratios = append(limits, l), append(owns, o), append(ratios, o/l)
	}
	for i := 0; b.Loop(); {
		for range least {
			turn(i%2 == 0)
			i++
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(owns), "ns/call")
	b.ReportMetric(median(limits), "limit-ns/call")
	b.ReportMetric(median(ratios), "x-limit")
	if least > 1 {
		b.ReportMetric(quantile(owns, 0.1)/quantile(limits, 0.1), "x-undisturbed")
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

var sink [32]byte

// BenchmarkSessionUser answers a request's question: who is this? The limit of
// a warm one is SHA-256 of 32 bytes, which any lookup by a hashed token costs at least;
// that of a cold one a bbolt transaction with the same two reads.
func BenchmarkSessionUser(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("warm/sessions=%d", n), func(b *testing.B) {
			eng, tokens := withSessions(b, n, nil)
			ctx := context.Background()
			var input [32]byte
			i := 0
			beside(b, 10_000, func() { sink = sha256.Sum256(input[:]) }, func() {
				i = (i*1664525 + 1013904223) & (1<<30 - 1) // at random, so that large tables show their cost
				if _, err := eng.SessionUser(ctx, tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	b.Run("cold", func(b *testing.B) {
		eng, tokens := withSessions(b, 10_000, &latchbolt.Config{CacheSessions: -1, SessionIdle: -1})
		ctx := context.Background()
		db := rawDB(b, 10_000)
		i := 0
		beside(b, 1000, func() {
			i = (i + 7919) % 10_000
			check(b, db.View(func(tx *bbolt.Tx) error {
				var key [8]byte
				binary.BigEndian.PutUint64(key[:], uint64(i))
				if tx.Bucket([]byte("a")).Get(key[:]) == nil || tx.Bucket([]byte("b")).Get(key[:]) == nil {
					b.Fatal("missing")
				}
				return nil
			}))
		}, func() {
			i = (i + 7919) % 10_000
			if _, err := eng.SessionUser(ctx, tokens[i]); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// withSessions makes an engine with n sessions of up to 1000 users, all in the cache.
func withSessions(b *testing.B, n int, cfg *latchbolt.Config) (*latchbolt.Engine, []latchbolt.Token) {
	b.Helper()
	c := latchbolt.Config{CacheSessions: 2 * n, SessionLimit: -1}
	if cfg != nil {
		c = *cfg
		c.SessionLimit = -1
	}
	eng := open(b, &c)
	ctx := context.Background()
	var ids []latchbolt.Identity
	for i := range min(n, 1000) {
		u := &latchbolt.User{Username: fmt.Sprintf("user%d", i)}
		check(b, eng.InsertUser(ctx, u, latchbolt.PasswordHash{}))
		id, err := eng.Identity(ctx, u.ID)
		check(b, err)
		ids = append(ids, id)
	}
	tokens := make([]latchbolt.Token, n)
	start := time.Now()
	inParallel(64, n, func(i int) {
		s, err := eng.Login(ctx, ids[i%len(ids)], latchbolt.LoginOptions{})
		check(b, err)
		tokens[i] = s.Token
	})
	for _, t := range tokens {
		if _, err := eng.SessionUser(ctx, t); err != nil {
			b.Fatal(err)
		}
	}
	if time.Since(start) > 30*time.Second {
		// The machine is slow, and it is a minute since some were made: their use is written beside the benchmark.
		awaitQuiet(b, eng)
	}
	return eng, tokens
}

// awaitQuiet waits until an engine has written nothing for longer than it keeps the last use of sessions back.
func awaitQuiet(b *testing.B, eng *latchbolt.Engine) {
	for before := uint64(0); ; time.Sleep(6 * time.Second) {
		s, err := eng.Stats()
		check(b, err)
		if s.Commits == before {
			return
		}
		before = s.Commits
	}
}

// inParallel calls fn for 0 … n-1 on a number of goroutines.
func inParallel(goroutines, n int, fn func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// rawDB is a bbolt database with two buckets of n records of the size of ours.
func rawDB(b *testing.B, n int) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoFreelistSync: true, InitialMmapSize: 1 << 30})
	check(b, err)
	b.Cleanup(func() { db.Close() })
	check(b, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			bk, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for i := range n {
				var key [8]byte
				binary.BigEndian.PutUint64(key[:], uint64(i))
				if err := bk.Put(key[:], make([]byte, 120)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return db
}

// BenchmarkImport stores 1000 users with hash, address and two groups in one
// transaction, as an import does. The limit is a bbolt Update that puts as many records of the same sizes.
func BenchmarkImport(b *testing.B) {
	ctx := context.Background()
	eng := open(b, nil)
	var groups []latchbolt.GroupID
	for _, name := range []string{"one", "two"} {
		g, err := eng.CreateGroup(ctx, name)
		check(b, err)
		groups = append(groups, g)
	}
	h, err := latchbolt.ParsePasswordHash("pbkdf2_sha256$10$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo=")
	check(b, err)
	db := rawDB(b, 1)
	const users = 1000
	var n, m int
	beside(b, 1, func() {
		check(b, db.Update(func(tx *bbolt.Tx) error {
			for range users {
				n++
				key := binary.BigEndian.AppendUint64(nil, uint64(n))
				name := fmt.Appendf(nil, "user%08d", n)
				for _, put := range []struct {
					bucket string
					key    []byte
					value  int
				}{{"a", key, 190}, {"b", name, 13}, {"c", append(append(name, "@example.org\x00"...), key...), 13},
					{"d", append([]byte{1}, key...), 5}, {"d", append([]byte{2}, key...), 5}} {
					if err := tx.Bucket([]byte(put.bucket)).Put(put.key, make([]byte, put.value)); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}, func() {
		from := m
		check(b, eng.Update(ctx, func(tx *latchbolt.Tx) error {
			m = from // the function may run twice
			for range users {
				m++
				u := latchbolt.User{Username: fmt.Sprintf("user%08d", m), Email: fmt.Sprintf("user%08d@example.org", m), Groups: groups}
				if err := tx.InsertUser(&u, h); err != nil {
					return err
				}
			}
			return nil
		}))
	})
}

// TestHotPathAllocatesNothing guards what the benchmarks promise.
func TestHotPathAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	if err := eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add_post"}); err != nil {
		t.Fatal(err)
	}
	if err := eng.Grant(ctx, u.ID, "blog.add_post"); err != nil {
		t.Fatal(err)
	}
	s := login(t, eng, "ada")
	id, err := eng.SessionUser(ctx, s.Token)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := eng.HasPerm(ctx, id, "blog.add_post"); !ok || err != nil {
		t.Fatalf("HasPerm: %v, %v", ok, err)
	}
	for name, fn := range map[string]func(){
		"SessionUser":        func() { id, err = eng.SessionUser(ctx, s.Token) },
		"HasPerm, had":       func() { _, err = eng.HasPerm(ctx, id, "blog.add_post") },
		"HasPerm, not had":   func() { _, err = eng.HasPerm(ctx, id, "blog.delete_post") },
		"Identity.Has":       func() { id.Has("blog.add_post") },
		"Identity.Superuser": func() { id.Superuser() },
	} {
		if n := testing.AllocsPerRun(1000, fn); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, error %v; want none", name, n, err)
		}
	}
}
