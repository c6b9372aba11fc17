package boltkv_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// rawBolt opens a database of bbolt without anything of ours.
func rawBolt(b *testing.B) *bolt.DB {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bolt.Options{
		FreelistType: bolt.FreelistMapType, NoFreelistSync: true, NoStatistics: true, InitialMmapSize: 1 << 30,
	})
	must(b, err)
	b.Cleanup(func() { _ = db.Close() })
	must(b, db.Update(func(tx *bolt.Tx) error {
		bk, err := tx.CreateBucket([]byte(bucketA))
		if err != nil {
			return err
		}
		return bk.Put([]byte("k"), []byte("value"))
	}))
	return db
}

func BenchmarkView(b *testing.B) {
	b.Run("bbolt", func(b *testing.B) {
		db := rawBolt(b)
		for b.Loop() {
			must(b, db.View(func(tx *bolt.Tx) error { _ = tx.Bucket([]byte(bucketA)).Get([]byte("k")); return nil }))
		}
	})
	b.Run("boltkv", func(b *testing.B) {
		s := open(b, create(b))
		put(b, s, "k", "value")
		ctx := b.Context()
		for b.Loop() {
			_, err := s.View(ctx, func(r kv.Reader) error { _, err := r.Get(bucketA, []byte("k")); return err })
			must(b, err)
		}
	})
}

var benchKey atomic.Int64

func boltPuts(tx *bolt.Tx) error {
	bk := tx.Bucket([]byte(bucketA))
	n := benchKey.Add(1)
	for i := range 5 {
		if err := bk.Put(fmt.Appendf(nil, "%d.%d", n%10000, i), []byte("a small value")); err != nil {
			return err
		}
	}
	return nil
}

func kvPuts(tx kv.Tx) error {
	n := benchKey.Add(1)
	for i := range 5 {
		if err := tx.Put(bucketA, fmt.Appendf(nil, "%d.%d", n%10000, i), []byte("a small value")); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkUpdate measures 1 and 64 callers; one operation is one Update.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 64} {
		parallel := func(b *testing.B, update func() error) {
			var wg sync.WaitGroup
			var n atomic.Int64
			for range callers {
				wg.Go(func() {
					for n.Add(1) <= int64(b.N) {
						if err := update(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		}
		b.Run(fmt.Sprintf("bbolt/%d", callers), func(b *testing.B) {
			db := rawBolt(b)
			b.ResetTimer()
			parallel(b, func() error { return db.Update(boltPuts) })
		})
		b.Run(fmt.Sprintf("boltkv/%d", callers), func(b *testing.B) {
			s := open(b, create(b))
			b.ResetTimer()
			parallel(b, func() error { _, err := s.Update(b.Context(), kvPuts); return err })
		})
	}
}
