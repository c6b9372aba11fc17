package boltkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// BulkUpdate implements [kv.BulkUpdater]. It builds a new file beside the old one, from what is there
// and what comes, and puts it in place of the old one as Compact does. It is not supported on Windows, where a file in use
// cannot give its name away.
func (s *Store) BulkUpdate(ctx context.Context, fn func(kv.Bulk) error, last func()) (kv.Rev, error) {
	if runtime.GOOS == "windows" {
		return 0, fmt.Errorf("boltkv: bulk update: %w on Windows", errors.ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("boltkv: bulk update: %w", err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if s.mark.Inside() {
		return 0, kv.ErrNested
	}
	if s.opt.ReadOnly {
		return 0, kv.ErrReadOnly
	}
	g, err := s.queue.take(ctx, s)
	if err != nil {
		return 0, err
	}
	if g != nil { // what the group wrote must be in the file that is read
		s.settle(g)
	}
	defer s.queue.release()
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	if err := s.replaced(); err != nil {
		return 0, err
	}
	return s.bulkUpdate(ctx, fn, last)
}

// bulkUpdate does the work of BulkUpdate. The caller holds the baton.
func (s *Store) bulkUpdate(ctx context.Context, fn func(kv.Bulk) error, last func()) (_ kv.Rev, err error) {
	f, err := newTempLike(s.path, s.info)
	if err != nil {
		return 0, s.bulkErr(err)
	}
	temp := f.Name()
	renamed := false
	defer func() { // also if fn panics
		_ = f.Close()
		if !renamed {
			_ = remove(temp)
		}
	}()
	if err := s.build(ctx, f, fn); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, s.bulkErr(err)
	}
	step(Synced, temp, "")
	if err := f.Close(); err != nil {
		return 0, s.bulkErr(err)
	}
	next, err := s.takeOver(ctx, temp)
	if err != nil {
		return 0, s.bulkErr(err)
	}
	last()
	s.gate.Lock()
	defer s.gate.Unlock()
	if f := s.failed.Load(); f != nil { // by a reader, meanwhile
		next.drop()
		return 0, f.err()
	}
	rev := s.rev() + 1
	renamed, err = s.switchTo(ctx, next, temp, rev)
	switch {
	case err == nil:
		s.commits.Add(1)
		s.callers.Add(1)
		s.durable.Store(uint64(rev))
		return rev, nil
	case renamed:
		return 0, s.unknown(err)
	}
	return 0, s.bulkErr(err)
}

// bulkErr says what an error of the new file means.
func (s *Store) bulkErr(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: bulk update: %w", kv.ErrFull, err)
	}
	return fmt.Errorf("boltkv: bulk update: %w", err)
}

// A bulk builds the file of the next state. It implements [kv.Bulk].
type bulk struct {
	txn
	build *builder
	fn    func(kv.Bulk) error
	roots map[int]uint64 // of the buckets that are built; 0: empty
}

// Run implements [nested.Closure].
func (b *bulk) Run() error { return b.fn(b) }

// build writes the next state into f.
func (s *Store) build(ctx context.Context, f *os.File, fn func(kv.Bulk) error) error {
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer s.rollback(tx)
	b := &bulk{txn: *newTxn(s, tx), build: newBuilder(ctx, f, s.pageSize, s.opt.MaxSize), fn: fn, roots: make(map[int]uint64)}
	defer b.close()
	defer b.build.close()
	if err := b.build.begin(); err != nil {
		return s.bulkErr(err)
	}
	if err := s.mark.Call(b); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return s.bulkErr(err)
	}
	root, err := b.rest()
	if err == nil {
		err = b.build.end(root)
	}
	if err != nil && !errors.Is(err, kv.ErrCorrupt) {
		return s.bulkErr(err)
	}
	return err
}

// rest builds the buckets that nobody merged into, and the tree of all names.
func (b *bulk) rest() (uint64, error) {
	names, err := b.bucketNames()
	if err != nil {
		return 0, err
	}
	t := tree{b: b.build}
	for _, name := range names {
		root, err := b.rootOf(name)
		if err != nil {
			return 0, err
		}
		if err := t.add(bucketFlag, name, bucketValue(root)); err != nil {
			return 0, err
		}
	}
	return t.finish()
}

// rootOf returns the root of a bucket, which it builds if nobody has.
func (b *bulk) rootOf(name []byte) (uint64, error) {
	i, ok := b.s.index[kv.Bucket(name)]
	if !ok {
		return b.foreign(name)
	}
	if _, built := b.roots[i]; !built {
		if err := b.merge(i, nil, nil); err != nil {
			return 0, err
		}
	}
	return b.roots[i], nil
}

// foreign copies a bucket that the program does not know.
func (b *bulk) foreign(name []byte) (root uint64, err error) {
	defer b.s.guard(&err)
	t := tree{b: b.build}
	c := b.tx.Bucket(name).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := t.add(0, k, v); err != nil {
			return 0, err
		}
	}
	return t.finish()
}

// bucketNames returns the names of all buckets, ascending.
func (b *bulk) bucketNames() (names [][]byte, err error) {
	defer b.s.guard(&err)
	err = b.tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		names = append(names, bytes.Clone(name))
		return nil
	})
	return names, err
}

// unbuilt returns the number of a bucket that can be written to.
func (b *bulk) unbuilt(name kv.Bucket) (int, error) {
	i, err := b.find(name)
	if _, built := b.roots[i]; err == nil && built {
		err = fmt.Errorf("boltkv: bulk update: bucket %q was merged into already", name)
	}
	return i, err
}

// Put implements [kv.Tx].
func (b *bulk) Put(name kv.Bucket, key, value []byte) error {
	if _, err := b.unbuilt(name); err != nil {
		return err
	}
	return b.txn.Put(name, key, value)
}

// Delete implements [kv.Tx].
func (b *bulk) Delete(name kv.Bucket, key []byte) error {
	if _, err := b.unbuilt(name); err != nil {
		return err
	}
	return b.txn.Delete(name, key)
}

// DeletePrefix implements [kv.Tx].
func (b *bulk) DeletePrefix(name kv.Bucket, prefix []byte) error {
	if _, err := b.unbuilt(name); err != nil {
		return err
	}
	return b.txn.DeletePrefix(name, prefix)
}

// DeleteSome implements [kv.Tx].
func (b *bulk) DeleteSome(name kv.Bucket, prefix []byte, n int) (bool, error) {
	if _, err := b.unbuilt(name); err != nil {
		return false, err
	}
	return b.txn.DeleteSome(name, prefix, n)
}

// Merge implements [kv.Bulk].
func (b *bulk) Merge(name kv.Bucket, pairs iter.Seq2[kv.Pair, error], taken func(kv.Pair) error) error {
	i, err := b.unbuilt(name)
	if err != nil {
		return err
	}
	return b.merge(i, pairs, taken)
}

// merge builds bucket i.
func (b *bulk) merge(i int, pairs iter.Seq2[kv.Pair, error], taken func(kv.Pair) error) error {
	old, stop := iter.Pull2(b.old(i))
	defer stop()
	t := tree{b: b.build}
	o, err, more := old()
	// upTo adds the old pairs before key, or all of them if it is nil.
	upTo := func(key []byte) error {
		for ; more && err == nil && (key == nil || bytes.Compare(o.Key, key) < 0); o, err, more = old() {
			if err := t.add(0, o.Key, o.Value); err != nil {
				return err
			}
		}
		return err
	}
	if pairs != nil {
		var last []byte
		for p, err := range pairs {
			if err != nil {
				return err
			}
			if err := checkPair(b.s.names[i], p, last); err != nil {
				return err
			}
			last = append(last[:0], p.Key...)
			if err := upTo(p.Key); err != nil {
				return err
			}
			if more && bytes.Equal(o.Key, p.Key) {
				if taken != nil {
					if err := taken(p); err != nil {
						return err
					}
					continue
				}
				o, err, more = old()
				if err != nil {
					return err
				}
			}
			if err := t.add(0, p.Key, p.Value); err != nil {
				return err
			}
		}
	}
	if err := upTo(nil); err != nil {
		return err
	}
	root, err := t.finish()
	b.roots[i] = root
	return err
}

// checkPair tells whether a pair may follow the one with the key last.
func checkPair(bucket []byte, p kv.Pair, last []byte) error {
	switch {
	case len(p.Key) == 0 || len(p.Key) > kv.MaxKey:
		return fmt.Errorf("%w: bucket %q: a key of %d bytes", kv.ErrTooLarge, bucket, len(p.Key))
	case len(p.Value) > kv.MaxValue:
		return fmt.Errorf("%w: bucket %q: a value of %d bytes", kv.ErrTooLarge, bucket, len(p.Value))
	case bytes.Compare(last, p.Key) >= 0:
		return fmt.Errorf("boltkv: bulk update: bucket %q: keys are not ascending", bucket)
	}
	return nil
}

// old yields the pairs of bucket i as they are, for iter.Pull2: in another goroutine, which has
// to be told about faults too.
func (b *bulk) old(i int) iter.Seq2[kv.Pair, error] {
	scan := b.Scan(b.s.opt.Buckets[i], nil, nil)
	return func(yield func(kv.Pair, error) bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		scan(yield)
	}
}
