package latchbolt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

// loadSize is how many users BenchmarkLoad loads: a million with LATCHBOLT_GROWTH=1.
func loadSize() int {
	if os.Getenv("LATCHBOLT_GROWTH") != "" {
		return 1_000_000
	}
	return 100_000
}

// BenchmarkLoad loads users with hash, address and a group each into a fresh file. The limit is raw bbolt: the same pairs, those that
// the load wrote, sorted and in memory already, put into their buckets in one transaction.
func BenchmarkLoad(b *testing.B) {
	ctx := context.Background()
	n := loadSize()
	var limits, owns, ratios, heaps []float64
	var perUser float64
	for b.Loop() {
		dir := b.TempDir()
		path := filepath.Join(dir, "app.db")
		eng, err := latchbolt.Open(path, forTests(nil))
		check(b, err)
		var groups []latchbolt.GroupID
		for i := range 20 {
			g, err := eng.CreateGroup(ctx, fmt.Sprint("group ", i))
			check(b, err)
			groups = append(groups, g)
		}
		runtime.GC() // of what the limit left
		peak := peakHeap()
		start := time.Now()
		check(b, eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error { return loadUsers(l, 0, n, groups) }))
		own := time.Since(start).Seconds()
		heaps = append(heaps, float64(peak())/(1<<20))
		check(b, eng.Close())
		info, err := os.Stat(path)
		check(b, err)
		perUser = float64(info.Size()) / float64(n)
		limit := rawLoad(b, path, filepath.Join(dir, "raw.db"))
		limits, owns, ratios = append(limits, limit), append(owns, own), append(ratios, own/limit)
		check(b, os.RemoveAll(dir))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/median(owns), "users/s")
	b.ReportMetric(float64(n)/median(limits), "limit-users/s")
	b.ReportMetric(median(ratios), "x-limit")
	b.ReportMetric(perUser, "B/user")
	b.ReportMetric(slices.Max(heaps), "peak-MiB")
}

// rawLoad reads all pairs of a file and returns the seconds that bbolt takes to put them into another one.
func rawLoad(b *testing.B, from, to string) float64 {
	type bucket struct {
		name       []byte
		keys, vals [][]byte
	}
	var all []bucket
	src, err := bbolt.Open(from, 0o600, &bbolt.Options{ReadOnly: true})
	check(b, err)
	check(b, src.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bk *bbolt.Bucket) error {
			c := bucket{name: slices.Clone(name)}
			err := bk.ForEach(func(k, v []byte) error {
				c.keys, c.vals = append(c.keys, slices.Clone(k)), append(c.vals, slices.Clone(v))
				return nil
			})
			all = append(all, c)
			return err
		})
	}))
	check(b, src.Close())
	start := time.Now()
	db, err := bbolt.Open(to, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoFreelistSync: true})
	check(b, err)
	check(b, db.Update(func(tx *bbolt.Tx) error {
		for _, c := range all {
			bk, err := tx.CreateBucket(c.name)
			if err != nil {
				return err
			}
			bk.FillPercent = 1
			for i, k := range c.keys {
				if err := bk.Put(k, c.vals[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	took := time.Since(start).Seconds()
	check(b, db.Close())
	return took
}
