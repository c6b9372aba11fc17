package boltkv

import (
	"bytes"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A txn is the transaction of one caller of Update: a bbolt transaction, which it
// only reads, under overlays that are its own. It implements [kv.Tx].
type txn struct {
	reader
	write    func(kv.Tx) error
	overlays []overlay // of the buckets written to; few, so they are searched one by one
	size     int       // bytes written
	arena    []byte    // copies of keys and values; what is full is left to the overlays and to bbolt
}

// newTxn returns a transaction over tx, which may already hold what earlier
// callers wrote.
func newTxn(s *Store, tx *bolt.Tx) *txn {
	t := &txn{reader: reader{s: s, tx: tx}}
	_ = t.locate() // without, nothing is looked at before bbolt is asked
	return t
}

// over makes t, which is closed, a transaction over tx that was not written to. It keeps its memory.
func (t *txn) over(s *Store, tx *bolt.Tx) *txn {
	if t.tx != tx {
		t.reader = reader{s: s, tx: tx}
		_ = t.locate()
	}
	t.closed, t.overlays, t.size = false, t.overlays[:0], 0
	return t
}

// Run implements [nested.Closure].
func (t *txn) Run() error { return t.write(t) }

// close makes every later use of the transaction fail.
func (t *txn) close() { t.closed = true }

// wrote reports whether the closure wrote anything.
func (t *txn) wrote() bool { return len(t.overlays) > 0 }

// keys is how many keys the closure wrote, with two for each range that it deleted.
func (t *txn) keys() (n int) {
	for j := range t.overlays {
		n += len(t.overlays[j].entries) + 2*len(t.overlays[j].cleared)
	}
	return n
}

// overlay returns the overlay of bucket i, or nil if nothing was written to it.
func (t *txn) overlay(i int) *overlay {
	for j := range t.overlays {
		if t.overlays[j].bucket == i {
			return &t.overlays[j]
		}
	}
	return nil
}

// writable is overlay for writing.
func (t *txn) writable(i int) *overlay {
	if o := t.overlay(i); o != nil {
		return o
	}
	n := len(t.overlays)
	if n == cap(t.overlays) {
		t.overlays = append(t.overlays, overlay{bucket: i})
	} else { // one of an earlier transaction
		t.overlays = t.overlays[:n+1]
		t.overlays[n].reset(i)
	}
	return &t.overlays[n]
}

// An arena has room for so many bytes of keys and values; the next one of a group has twice
// as much, up to maxArena.
const (
	minArena = 1 << 10
	maxArena = 64 << 10
)

// copyOf returns a copy of b that lives as long as the transaction. It is
// never nil: a nil value would read as absent.
func (t *txn) copyOf(b []byte) []byte {
	t.size += len(b)
	return copyInto(&t.arena, b, minArena, maxArena)
}

// copyInto returns a copy of b, never nil, which shares memory with others: an arena has room for so many bytes at first, and at most. What
// is large has memory of its own, and an arena that is full is left to those who have copies in it.
func copyInto(arena *[]byte, b []byte, least, most int) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	if len(b) > cap(*arena)-len(*arena) {
		if len(b) > least/4 {
			return bytes.Clone(b)
		}
		*arena = make([]byte, 0, min(max(2*cap(*arena), least), most))
	}
	n := len(*arena)
	*arena = append(*arena, b...)
	return (*arena)[n:len(*arena):len(*arena)]
}

// checkKey returns the number of bucket b if key may be written to it.
func (t *txn) checkKey(b kv.Bucket, key []byte) (int, error) {
	i, err := t.find(b)
	if err == nil && (len(key) == 0 || len(key) > kv.MaxKey) {
		err = fmt.Errorf("%w: bucket %q: a key of %d bytes", kv.ErrTooLarge, b, len(key))
	}
	return i, err
}

// Put implements [kv.Tx].
func (t *txn) Put(b kv.Bucket, key, value []byte) error {
	i, err := t.checkKey(b, key)
	if err != nil {
		return err
	}
	if len(value) > kv.MaxValue {
		return fmt.Errorf("%w: bucket %q: a value of %d bytes", kv.ErrTooLarge, b, len(value))
	}
	t.writable(i).set(entry{key: t.copyOf(key), value: t.copyOf(value)})
	return nil
}

// Delete implements [kv.Tx].
func (t *txn) Delete(b kv.Bucket, key []byte) error {
	i, err := t.checkKey(b, key)
	if err != nil {
		return err
	}
	t.writable(i).set(entry{key: t.copyOf(key), gone: true})
	return nil
}

// DeletePrefix implements [kv.Tx].
func (t *txn) DeletePrefix(b kv.Bucket, prefix []byte) error {
	i, err := t.find(b)
	if err != nil {
		return err
	}
	t.writable(i).clear(span{t.copyOf(prefix), after(prefix)})
	return nil
}

// DeleteSome implements [kv.Tx].
func (t *txn) DeleteSome(b kv.Bucket, prefix []byte, n int) (more bool, err error) {
	i, err := t.find(b)
	if err != nil {
		return false, err
	}
	end := after(prefix)
	bound, err := t.nth(i, prefix, n)
	if bound != nil {
		end = t.copyOf(bound)
	}
	if err == nil {
		t.writable(i).clear(span{t.copyOf(prefix), end})
	}
	return bound != nil, err
}

// nth returns the key that has n others with the same prefix before it, or nil.
func (t *txn) nth(i int, prefix []byte, n int) (key []byte, err error) {
	if at, ok := t.direct(i); ok && t.overlay(i) == nil {
		defer t.s.guard(&err)
		if key, ok = t.pages.nth(at, prefix, n); !ok {
			return nil, t.damage(i)
		}
		touch(key)
		return key, nil
	}
	for p, err := range t.Scan(t.s.opt.Buckets[i], prefix, nil) {
		if n--; err != nil || n < 0 {
			return p.Key, err
		}
	}
	return nil, nil
}

// Get implements [kv.Reader].
func (t *txn) Get(b kv.Bucket, key []byte) ([]byte, error) {
	i, err := t.find(b)
	if err != nil {
		return nil, err
	}
	if o := t.overlay(i); o != nil {
		if e := o.find(key); e != nil {
			if e.gone {
				return nil, nil
			}
			return e.value, nil
		}
		if _, hidden := o.hides(key); hidden {
			return nil, nil
		}
	}
	return t.get(i, key)
}

// None implements [kv.Prober].
func (t *txn) None(b kv.Bucket, prefix []byte) (bool, error) {
	i, err := t.find(b)
	if err != nil || t.overlay(i) != nil {
		return false, err
	}
	return t.none(i, prefix)
}

// Scan implements [kv.Reader].
func (t *txn) Scan(b kv.Bucket, prefix, from []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		i, err := t.find(b)
		if err != nil {
			yield(kv.Pair{}, err)
			return
		}
		o := t.overlay(i)
		if o == nil {
			t.reader.Scan(b, prefix, from)(yield)
			return
		}
		low := lowest(prefix, from)
		next, _ := o.search(low)
		base := forward{cursor{r: &t.reader, i: i}}
		p, err := base.skip(o)(base.seek(low))
		for {
			own := next < len(o.entries) && bytes.HasPrefix(o.entries[next].key, prefix)
			if err != nil {
				yield(kv.Pair{}, err)
				return
			}
			below := p.Key != nil && bytes.HasPrefix(p.Key, prefix)
			order := 0
			switch {
			case !own && !below:
				return
			case !own:
				order = 1
			case !below:
				order = -1
			default:
				order = bytes.Compare(o.entries[next].key, p.Key)
			}
			if !t.emit(yield, o, next, p, order) {
				return
			}
			if order <= 0 {
				next++
			}
			if order >= 0 {
				p, err = base.skip(o)(base.next())
			}
		}
	}
}

// ScanBack implements [kv.Reader].
func (t *txn) ScanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		i, err := t.find(b)
		if err != nil {
			yield(kv.Pair{}, err)
			return
		}
		o := t.overlay(i)
		if o == nil {
			t.reader.ScanBack(b, prefix, before)(yield)
			return
		}
		bound, empty := highest(prefix, before)
		o.settle()
		next := len(o.entries) - 1
		if empty {
			next = -1
		} else if bound != nil {
			at, _ := o.search(bound)
			next = at - 1
		}
		base := backward{cursor{r: &t.reader, i: i}}
		p, err := base.skip(o)(base.seek(bound, empty))
		for {
			own := next >= 0 && bytes.HasPrefix(o.entries[next].key, prefix)
			if err != nil {
				yield(kv.Pair{}, err)
				return
			}
			below := p.Key != nil && bytes.HasPrefix(p.Key, prefix)
			order := 0
			switch {
			case !own && !below:
				return
			case !own:
				order = 1
			case !below:
				order = -1
			default:
				order = bytes.Compare(p.Key, o.entries[next].key)
			}
			if !t.emit(yield, o, next, p, order) {
				return
			}
			if order <= 0 {
				next--
			}
			if order >= 0 {
				p, err = base.skip(o)(base.next())
			}
		}
	}
}

// emit yields whichever of entry and pair comes first; of two with the same
// key that is the entry, unless it says that the key is gone. It returns false if the
// scan is over.
func (t *txn) emit(yield func(kv.Pair, error) bool, o *overlay, next int, p kv.Pair, order int) bool {
	if order <= 0 {
		e := &o.entries[next]
		if e.gone {
			return true
		}
		p = kv.Pair{Key: e.key, Value: e.value}
	}
	if !yield(p, nil) {
		return false
	}
	if t.closed {
		yield(kv.Pair{}, kv.ErrClosed)
		return false
	}
	return true
}

// skip passes over the pairs that o hides, without reading them all.
func (c *forward) skip(o *overlay) func(kv.Pair, error) (kv.Pair, error) {
	return func(p kv.Pair, err error) (kv.Pair, error) {
		for err == nil && p.Key != nil {
			s, hidden := o.hides(p.Key)
			if !hidden {
				break
			}
			if s.to == nil {
				return kv.Pair{}, nil
			}
			p, err = c.seek(s.to)
		}
		return p, err
	}
}

// skip passes over the pairs that o hides, without reading them all.
func (c *backward) skip(o *overlay) func(kv.Pair, error) (kv.Pair, error) {
	return func(p kv.Pair, err error) (kv.Pair, error) {
		for err == nil && p.Key != nil {
			s, hidden := o.hides(p.Key)
			if !hidden {
				break
			}
			p, err = c.seek(s.from, len(s.from) == 0)
		}
		return p, err
	}
}

// apply writes the overlays to the bbolt transaction.
func (t *txn) apply() (err error) {
	defer t.s.guard(&err)
	for j := range t.overlays {
		o := &t.overlays[j]
		b, err := t.bucket(o.bucket)
		if err != nil {
			return err
		}
		if t.s.append[o.bucket] {
			b.FillPercent = 1
		} else if n := t.s.opt.Runs[t.s.opt.Buckets[o.bucket]]; n > 0 {
			fillRuns(b, o.entries, n)
		}
		if err := t.allPassable(o); err != nil {
			return err
		}
		if err := o.apply(b); err != nil {
			return t.s.corrupt("bucket %q: %v", t.s.names[o.bucket], err)
		}
	}
	return nil
}

// allPassable is passable for all keys that o is going to write, or delete.
func (t *txn) allPassable(o *overlay) error {
	o.settle()
	for _, e := range o.entries {
		if err := t.passable(o.bucket, e.key); err != nil {
			return err
		}
	}
	for _, s := range o.cleared {
		if err := t.passableAll(o.bucket, s); err != nil {
			return err
		}
		if s.to == nil {
			continue
		}
		if err := t.passable(o.bucket, s.to); err != nil {
			return err
		}
	}
	return nil
}
