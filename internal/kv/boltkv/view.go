package boltkv

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// View implements [kv.Store]. It may be called from inside a closure of this store.
func (s *Store) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	return s.view(ctx, fn, false)
}

// view is View, or ViewHeld.
func (s *Store) view(ctx context.Context, fn func(kv.Reader) error, held bool) (rev kv.Rev, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("boltkv: view: %w", err)
	}
	// The flag is a property of the goroutine, so it also tells whether
	// this goroutine may be inside a transaction already.
	faults := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(faults)
	if !faults || !s.mark.Inside() {
		// A nested View does without the gate: the outer transaction holds
		// it, or the baton, and to wait here for Compact would be for ever.
		s.gate.RLock()
		defer s.gate.RUnlock()
		if s.closed {
			return 0, kv.ErrClosed
		}
	}
	if held {
		rev, err = s.hold(fn)
	} else {
		rev, err = s.read(fn)
	}
	if rev == 0 {
		return 0, err
	}
	if err := s.awaitDurable(ctx, rev); err != nil {
		return 0, err
	}
	return rev, err
}

// read is View without its precautions. The revision is 0 if fn was not called.
func (s *Store) read(fn func(kv.Reader) error) (kv.Rev, error) {
	tx, err := s.begin(false)
	if err != nil {
		return 0, err
	}
	r := &reader{s: s, tx: tx, fn: fn}
	defer r.finish()
	if err := r.locate(); err != nil {
		return 0, err
	}
	rev := s.offset + kv.Rev(tx.ID())
	return rev, s.mark.Call(r)
}

// fewBuckets is for how many buckets a transaction keeps handles without
// allocating.
const fewBuckets = 24

// A reader reads one bbolt transaction. It implements [kv.Reader].
type reader struct {
	s      *Store
	tx     *bolt.Tx
	fn     func(kv.Reader) error
	closed bool
	clean  bool // of a transaction that can write: nobody wrote to it before
	pages  pages
	roots  *roots // nil: unknown
	few    [fewBuckets]*bolt.Bucket
	more   map[int]*bolt.Bucket
}

// Run implements [nested.Closure].
func (r *reader) Run() error { return r.fn(r) }

// locate finds the roots of the buckets.
func (r *reader) locate() (err error) {
	defer r.s.guard(&err)
	r.pages = mapped(r.tx)
	r.roots = r.s.rootsAt(r.tx, &r.pages)
	return nil
}

// finish ends the transaction of a View, however its closure ended.
func (r *reader) finish() {
	r.closed = true
	r.s.rollback(r.tx)
}

// find returns the number of bucket b.
func (r *reader) find(b kv.Bucket) (int, error) {
	if r.closed {
		return 0, kv.ErrClosed
	}
	i, ok := r.s.index[b]
	if !ok {
		return 0, fmt.Errorf("%w: %q", kv.ErrBucket, b)
	}
	return i, nil
}

// bucket returns bbolt's bucket i. The caller guards against panics.
func (r *reader) bucket(i int) (*bolt.Bucket, error) {
	if i < fewBuckets {
		if b := r.few[i]; b != nil {
			return b, nil
		}
	} else if b := r.more[i]; b != nil {
		return b, nil
	}
	if err := r.nameable(i); err != nil {
		return nil, err
	}
	b := r.tx.Bucket(r.s.names[i])
	switch {
	case b == nil:
		return nil, r.s.corrupt("bucket %q is missing", r.s.names[i])
	case i < fewBuckets:
		r.few[i] = b
	default:
		if r.more == nil {
			r.more = make(map[int]*bolt.Bucket)
		}
		r.more[i] = b
	}
	return b, nil
}

// nameable looks at the pages through which bbolt will go to the name of bucket i, as passable does for a key.
func (r *reader) nameable(i int) error {
	if r.pages.data == nil {
		return nil
	}
	r.pages.search(root{page: uint64(r.tx.Cursor().Bucket().Root())}, r.s.names[i], nil)
	if id := r.pages.damaged; id != 0 {
		r.pages.damaged = 0
		return r.s.corrupt("page %d is damaged, where the names of buckets are", id)
	}
	return nil
}

// has returns nil if the bucket b is in the file. Its first page is looked at, so that not everyone who comes first to a bucket waits for
// the system to bring it into the map.
func (r *reader) has(b kv.Bucket) (err error) {
	defer r.s.guard(&err)
	i, err := r.find(b)
	if err != nil {
		return err
	}
	if at, ok := r.direct(i); ok {
		if at.page != 0 && r.pages.page(at.page) == nil {
			return r.s.corrupt("page %d is damaged, where bucket %q is", at.page, r.s.names[i])
		}
		return nil
	}
	_, err = r.bucket(i)
	return err
}

// Get implements [kv.Reader].
func (r *reader) Get(b kv.Bucket, key []byte) ([]byte, error) {
	i, err := r.find(b)
	if err != nil {
		return nil, err
	}
	return r.get(i, key)
}

func (r *reader) get(i int, key []byte) (value []byte, err error) {
	defer r.s.guard(&err)
	if at, ok := r.direct(i); ok {
		value, err = r.directGet(i, at, key)
	} else {
		var b *bolt.Bucket
		if b, err = r.bucket(i); err == nil {
			err = r.passable(i, key)
		}
		if err == nil {
			value = b.Get(key)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(value) > kv.MaxValue {
		return nil, r.s.corrupt("bucket %q: a value of %d bytes", r.s.names[i], len(value))
	}
	touch(value)
	return value, nil
}

// None implements [kv.Prober].
func (r *reader) None(b kv.Bucket, prefix []byte) (bool, error) {
	i, err := r.find(b)
	if err != nil {
		return false, err
	}
	return r.none(i, prefix)
}

// Scan implements [kv.Reader].
func (r *reader) Scan(b kv.Bucket, prefix, from []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		i, err := r.find(b)
		if err != nil {
			yield(kv.Pair{}, err)
			return
		}
		c := forward{cursor{r: r, i: i}}
		for p, err := c.seek(lowest(prefix, from)); ; p, err = c.next() {
			if err != nil {
				yield(kv.Pair{}, err)
				return
			}
			if p.Key == nil || !bytes.HasPrefix(p.Key, prefix) || !yield(p, nil) {
				return
			}
			if r.closed {
				yield(kv.Pair{}, kv.ErrClosed)
				return
			}
		}
	}
}

// ScanBack implements [kv.Reader].
func (r *reader) ScanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		i, err := r.find(b)
		if err != nil {
			yield(kv.Pair{}, err)
			return
		}
		c := backward{cursor{r: r, i: i}}
		for p, err := c.seek(highest(prefix, before)); ; p, err = c.next() {
			if err != nil {
				yield(kv.Pair{}, err)
				return
			}
			if p.Key == nil || !bytes.HasPrefix(p.Key, prefix) || !yield(p, nil) {
				return
			}
			if r.closed {
				yield(kv.Pair{}, kv.ErrClosed)
				return
			}
		}
	}
}

// lowest returns the first key that a scan may yield.
func lowest(prefix, from []byte) []byte {
	if bytes.Compare(from, prefix) > 0 {
		return from
	}
	return prefix
}

// highest returns the key before which a backward scan starts, or nil if it
// starts at the end. empty reports a bound below every key.
func highest(prefix, before []byte) (bound []byte, empty bool) {
	end := after(prefix)
	if before != nil && (end == nil || bytes.Compare(before, end) < 0) {
		return before, len(before) == 0
	}
	return end, false
}

// after returns the least key that is greater than every key with the prefix,
// or nil if there is none.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			end := append([]byte(nil), prefix[:n]...)
			end[n-1]++
			return end
		}
	}
	return nil
}
