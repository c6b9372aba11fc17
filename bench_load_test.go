package latchbolt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

// BenchmarkLoad loads 100,000 users with hash, address and two groups into a fresh file. The limit is raw
// bbolt: the same records, in the order of their keys, 10,000 puts a transaction without a sync, and one sync at the end.
func BenchmarkLoad(b *testing.B) {
	const users = 100_000
	ctx := context.Background()
	h, err := latchbolt.ParsePasswordHash(bulkHash)
	check(b, err)
	beside(b, 1, func() {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoSync: true})
		check(b, err)
		for _, bucket := range []struct {
			name  string
			value int
			key   func(i int) []byte
		}{
			{"user", 230, func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }},
			{"name", 13, func(i int) []byte { return fmt.Appendf(nil, "user%08d", i) }},
			{"email", 13, func(i int) []byte { return fmt.Appendf(nil, "user%08d@example.org\x00%08d", i, i) }},
			{"member", 5, func(i int) []byte { return fmt.Appendf(nil, "group  1%08d", i) }},
			{"member", 5, func(i int) []byte { return fmt.Appendf(nil, "group  2%08d", i) }},
		} {
			for from := 0; from < users; from += 10_000 {
				check(b, db.Update(func(tx *bbolt.Tx) error {
					bk, err := tx.CreateBucketIfNotExists([]byte(bucket.name))
					if err != nil {
						return err
					}
					bk.FillPercent = 1
					for i := from; i < from+10_000; i++ {
						if err := bk.Put(bucket.key(i), make([]byte, bucket.value)); err != nil {
							return err
						}
					}
					return nil
				}))
			}
		}
		check(b, db.Sync())
		check(b, db.Close())
	}, func() {
		eng, err := latchbolt.Open(filepath.Join(b.TempDir(), "app.db"), forTests(nil))
		check(b, err)
		check(b, eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
			var groups []latchbolt.GroupID
			for _, name := range []string{"one", "two"} {
				g := latchbolt.Group{Name: name}
				if err := l.InsertGroup(&g); err != nil {
					return err
				}
				groups = append(groups, g.ID)
			}
			for i := range users {
				name := fmt.Sprintf("user%08d", i)
				u := latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada", LastName: "Lovelace", Groups: groups}
				if err := l.InsertUser(&u, h); err != nil {
					return err
				}
			}
			return nil
		}))
		check(b, eng.Close())
	})
}
