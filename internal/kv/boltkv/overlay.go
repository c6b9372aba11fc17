package boltkv

import (
	"bytes"
	"slices"
	"sort"

	bolt "go.etcd.io/bbolt"
)

// An overlay holds what a transaction wrote to one bucket, until the
// transaction has succeeded. First the prefixes in cleared are deleted from what lies
// below, then the entries apply.
type overlay struct {
	bucket  int
	cleared [][]byte
	entries []entry // in ascending order of keys
}

// An entry is a pair that was put, or a key that was deleted.
type entry struct {
	key, value []byte
	gone       bool
}

// search returns where key is, or belongs, among the entries.
func (o *overlay) search(key []byte) (int, bool) {
	n := len(o.entries)
	if n == 0 || bytes.Compare(o.entries[n-1].key, key) < 0 {
		return n, false // keys are often written in order
	}
	i := sort.Search(n, func(i int) bool { return bytes.Compare(o.entries[i].key, key) >= 0 })
	return i, bytes.Equal(o.entries[i].key, key)
}

// set adds or replaces an entry.
func (o *overlay) set(e entry) {
	i, ok := o.search(e.key)
	if ok {
		o.entries[i] = e
		return
	}
	o.entries = slices.Insert(o.entries, i, e)
}

// clear deletes every key with the prefix.
func (o *overlay) clear(prefix []byte) {
	o.entries = slices.DeleteFunc(o.entries, func(e entry) bool { return bytes.HasPrefix(e.key, prefix) })
	o.cleared = append(o.cleared, prefix)
}

// hides returns the cleared prefix that hides key of the bucket below, and
// false if none does.
func (o *overlay) hides(key []byte) ([]byte, bool) {
	for _, p := range o.cleared {
		if bytes.HasPrefix(key, p) {
			return p, true
		}
	}
	return nil, false
}

// apply writes the overlay to the bucket below. The caller guards against
// panics.
func (o *overlay) apply(b *bolt.Bucket) error {
	for _, prefix := range o.cleared {
		// A cursor skips keys if they are deleted under it.
		var keys [][]byte
		c := b.Cursor()
		for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			keys = append(keys, k)
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
	}
	for _, e := range o.entries {
		var err error
		if e.gone {
			err = b.Delete(e.key)
		} else {
			err = b.Put(e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
