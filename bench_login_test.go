package latchbolt_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

// BenchmarkLogin begins sessions. The limit is bbolt's Update with as many puts of the same sizes: alone,
// and from 64 goroutines at once.
func BenchmarkLogin(b *testing.B) {
	ctx := context.Background()
	opts := latchbolt.LoginOptions{Client: latchbolt.Client{Addr: netip.MustParseAddr("192.0.2.7"), Agent: "Mozilla/5.0 (X11; Linux x86_64)"}}
	setup := func(b *testing.B) (limit, own func(i int)) {
		eng := open(b, &latchbolt.Config{SessionLimit: -1})
		var ids []latchbolt.Identity
		for i := range 64 {
			u := &latchbolt.User{Username: fmt.Sprintf("user%d", i)}
			check(b, eng.InsertUser(ctx, u, latchbolt.PasswordHash{}))
			id, err := eng.Identity(ctx, u.ID)
			check(b, err)
			ids = append(ids, id)
		}
		db := rawDB(b, 64)
		var n atomic.Uint64
		own = func(i int) {
			_, err := eng.Login(ctx, ids[i%len(ids)], opts)
			check(b, err)
		}
		limit = func(int) {
			check(b, db.Update(func(tx *bbolt.Tx) error {
				// session, its place among the user's, audit trail
				for _, put := range []struct {
					bucket     string
					key, value int
				}{{"a", 16, 170}, {"c", 24, 13}, {"e", 8, 60}} {
					key := make([]byte, put.key)
					binary.BigEndian.PutUint64(key, 1<<40+n.Add(1))
					rand.Read(key[8:])
					if err := tx.Bucket([]byte(put.bucket)).Put(key, make([]byte, put.value)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		return limit, own
	}
	b.Run("alone", func(b *testing.B) {
		limit, own := setup(b)
		beside(b, 10, func() { limit(0) }, func() { own(0) })
	})
	b.Run("64 at once", func(b *testing.B) {
		limit, own := setup(b)
		var took []float64
		fsync := syncer(b)
		var syncs []float64
		beside(b, 1, func() { inParallel(64, 3200, limit) }, func() {
			took = append(took, timesInParallel(64, 3200, own)...)
			for range 20 {
				start := time.Now()
				fsync()
				syncs = append(syncs, float64(time.Since(start)))
			}
		})
		b.ReportMetric(quantile(took, 0.99)/1e6, "p99-ms")
		b.ReportMetric(quantile(took, 0.99)/median(syncs), "p99-fsyncs")
		b.ReportMetric(median(syncs), "fsync-ns")
	})
}

// timesInParallel is inParallel and returns what each call took, in nanoseconds.
func timesInParallel(goroutines, n int, fn func(i int)) []float64 {
	took := make([]float64, n)
	inParallel(goroutines, n, func(i int) {
		start := time.Now()
		fn(i)
		took[i] = float64(time.Since(start))
	})
	return took
}

// syncer returns a function that appends a page to a file and syncs it.
func syncer(b *testing.B) func() {
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	check(b, err)
	b.Cleanup(func() { f.Close() })
	page := make([]byte, 4096)
	return func() {
		_, err := f.Write(page)
		check(b, err)
		check(b, f.Sync())
	}
}
