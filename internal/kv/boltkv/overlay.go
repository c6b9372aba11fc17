package boltkv

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// An overlay holds what a transaction wrote to one bucket, until the
// transaction has succeeded. First the ranges in cleared are deleted from what lies
// below, then the entries apply.
//
// A key that comes out of order has to move all entries behind it. Once there are many, such
// keys are collected in late, which is short, and moved in together: a transaction
// that brings a whole user base would take quadratic time otherwise.
type overlay struct {
	bucket  int
	cleared []span
	entries []entry // in ascending order of keys
	late    []entry // likewise, of other keys; see settle
}

// manyEntries is from how many entries on keys that come out of order wait in late,
// and how many may wait.
const manyEntries = 1024

// An entry is a pair that was put, or a key that was deleted.
type entry struct {
	key, value []byte
	gone       bool
}

// reset makes o an empty overlay of bucket i. It keeps its memory unless that is much.
func (o *overlay) reset(i int) {
	var keep []entry
	if cap(o.entries) <= manyEntries {
		clear(o.entries) // of what was written then
		keep = o.entries[:0]
	}
	*o = overlay{bucket: i, entries: keep}
}

// A span is the keys from one on to below another; an end that is nil is that of the bucket.
type span struct {
	from, to []byte
}

func (s span) has(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0)
}

// search returns where key is, or belongs, among entries.
func search(entries []entry, key []byte) (int, bool) {
	n := len(entries)
	if n == 0 || bytes.Compare(entries[n-1].key, key) < 0 {
		return n, false // keys are often written in order
	}
	i := sort.Search(n, func(i int) bool { return bytes.Compare(entries[i].key, key) >= 0 })
	return i, bytes.Equal(entries[i].key, key)
}

// search returns where key is, or belongs, among all entries. It settles them.
func (o *overlay) search(key []byte) (int, bool) {
	o.settle()
	return search(o.entries, key)
}

// find returns the entry of key, or nil.
func (o *overlay) find(key []byte) *entry {
	if i, ok := search(o.entries, key); ok {
		return &o.entries[i]
	}
	if i, ok := search(o.late, key); ok {
		return &o.late[i]
	}
	return nil
}

// set adds or replaces an entry.
func (o *overlay) set(e entry) {
	i, ok := search(o.entries, e.key)
	if ok {
		o.entries[i] = e
		return
	}
	j, ok := search(o.late, e.key)
	switch {
	case ok:
		o.late[j] = e
	case i == len(o.entries) || len(o.entries) < manyEntries:
		o.entries = slices.Insert(o.entries, i, e)
	default:
		o.late = slices.Insert(o.late, j, e)
		if len(o.late) == manyEntries {
			o.settle()
		}
	}
}

// settle moves what waits in late to its place.
func (o *overlay) settle() {
	if len(o.late) == 0 {
		return
	}
	// From the end, so that every entry moves once.
	i, j := len(o.entries)-1, len(o.late)-1
	o.entries = append(o.entries, o.late...)
	for at := len(o.entries) - 1; j >= 0; at-- {
		if i >= 0 && bytes.Compare(o.entries[i].key, o.late[j].key) > 0 {
			o.entries[at] = o.entries[i]
			i--
		} else {
			o.entries[at] = o.late[j]
			j--
		}
	}
	clear(o.late)
	o.late = o.late[:0]
}

// clear deletes every key of a span.
func (o *overlay) clear(s span) {
	o.settle()
	o.entries = slices.DeleteFunc(o.entries, func(e entry) bool { return s.has(e.key) })
	o.cleared = append(o.cleared, s)
}

// hides returns the cleared span that hides key of the bucket below, and
// false if none does.
func (o *overlay) hides(key []byte) (span, bool) {
	for _, s := range o.cleared {
		if s.has(key) {
			return s, true
		}
	}
	return span{}, false
}

// apply writes the overlay to the bucket below. The caller guards against
// panics.
func (o *overlay) apply(b *bolt.Bucket) error {
	o.settle()
	for _, s := range o.cleared {
		if err := s.delete(b); err != nil {
			return err
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

// delete removes the keys of the span from a bucket. It goes backwards: the cursor stays right, what is removed is always
// the last of its page, so that nothing moves, and no key is looked up but the first and the last, and the second one of each page: a
// cursor that came to a page before anything was changed in it looks the page's node up again for each key.
func (s span) delete(b *bolt.Bucket) error {
	c := b.Cursor()
	first, _ := c.Seek(s.from)
	if first == nil || !s.has(first) {
		return nil
	}
	empty, keys, page := 0, 0, uintptr(0)
	for k := lastBelow(c, s.to); ; k, _ = c.Prev() {
		if k == nil { // a page that was emptied earlier in the transaction, which is not the start
			if empty++; empty > maxFilePages {
				return errDisorder
			}
			continue
		}
		if !s.has(k) {
			return errDisorder
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(k))) / filePage; at != page {
			keys, page = 0, at
		}
		if keys++; keys == 2 {
			if sought, _ := c.Seek(k); !bytes.Equal(sought, k) {
				return errDisorder
			}
		}
		if err := c.Delete(); err != nil {
			return err
		}
		if bytes.Compare(k, first) <= 0 {
			return nil
		}
	}
}

// filePage is less or equal to the size of a page: where it differs between the addresses of two keys may be another page.
const filePage = 4096

// errDisorder means that keys are not where they belong.
var errDisorder = errors.New("the keys are not in order")

// lastBelow moves c to the last key below a bound; nil is the end of the bucket. It is nil if there is an empty page.
func lastBelow(c *bolt.Cursor, bound []byte) []byte {
	if bound != nil {
		if k, _ := c.Seek(bound); k != nil {
			k, _ = c.Prev()
			return k
		}
	}
	k, _ := c.Last()
	return k
}
