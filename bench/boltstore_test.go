package bench

import (
	"encoding/binary"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// A boltStore is a store of scs in a bbolt file. It does what the documentation of scs's own boltstore tells, which cannot be had here:
// data and expiry stand under the token in two buckets, an expired session is not found, each Commit is an Update of its own.
type boltStore struct{ db *bbolt.DB }

var dataBucket, expiryBucket = []byte("data"), []byte("expiry")

func newBoltStore(t testing.TB) *boltStore {
	t.Helper()
	s := &boltStore{rawDB(t)}
	check(t, s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{dataBucket, expiryBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	}))
	return s
}

// Find implements scs.Store.
func (s *boltStore) Find(token string) (data []byte, found bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		expires := tx.Bucket(expiryBucket).Get([]byte(token))
		if expires == nil || time.Now().UnixNano() > int64(binary.BigEndian.Uint64(expires)) {
			return nil
		}
		found = true
		data = append(data, tx.Bucket(dataBucket).Get([]byte(token))...)
		return nil
	})
	return data, found, err
}

// Commit implements scs.Store.
func (s *boltStore) Commit(token string, data []byte, expires time.Time) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return s.put(tx, token, data, expires) })
}

func (s *boltStore) put(tx *bbolt.Tx, token string, data []byte, expires time.Time) error {
	if err := tx.Bucket(dataBucket).Put([]byte(token), data); err != nil {
		return err
	}
	return tx.Bucket(expiryBucket).Put([]byte(token), binary.BigEndian.AppendUint64(nil, uint64(expires.UnixNano())))
}

// Delete implements scs.Store.
func (s *boltStore) Delete(token string) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(dataBucket).Delete([]byte(token)); err != nil {
			return err
		}
		return tx.Bucket(expiryBucket).Delete([]byte(token))
	})
}
