// Package memkv is the store that keeps everything in memory. It serves tests,
// and sessions that need not outlive the process.
package memkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/nested"
)

// A Store is an ordered map for each bucket. The zero Store is empty, ready for
// use and takes every bucket. It must not be copied. The fields must not be changed
// after the first call.
type Store struct {
	// Buckets are all there are. Nil means that every bucket is there.
	Buckets []kv.Bucket
	// RunTwice makes Update run every closure twice, on the same state, and
	// drop the first run, as a store may that retries. It shows closures that have
	// effects of their own.
	RunTwice bool

	init   sync.Once
	mark   nested.Mark
	seed   uint64
	state  atomic.Pointer[state] // nil is the empty state at revision 0
	writer chan struct{}         // holds the right to write
	open   sync.WaitGroup        // running transactions

	mu     sync.Mutex // guards closed, and open against Close
	closed bool
}

var (
	_ kv.Store       = (*Store)(nil)
	_ kv.BulkUpdater = (*Store)(nil)
)

// A state is one revision of the store. It never changes.
type state struct {
	rev     kv.Rev
	buckets map[kv.Bucket]*node
}

// enter counts a transaction in, unless the store is closed. What it returns
// counts it out.
func (s *Store) enter(ctx context.Context) (func(), error) {
	s.init.Do(func() {
		s.mark = nested.New()
		s.seed = rand.Uint64()
		s.writer = make(chan struct{}, 1)
		s.state.Store(&state{})
	})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memkv: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, kv.ErrClosed
	}
	s.open.Add(1)
	return s.open.Done, nil
}

// View implements [kv.Store]. It never waits for a writer.
func (s *Store) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	now := s.state.Load()
	t := &tx{s: s, buckets: now.buckets, run: func(t *tx) error { return fn(reader{t}) }}
	defer t.close()
	return now.rev, s.mark.Call(t)
}

// Update implements [kv.Store].
func (s *Store) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	return s.write(ctx, func(now *state) (*state, error) {
		if s.RunTwice {
			if _, err := s.try(now, fn); err != nil {
				return nil, err
			}
		}
		return s.try(now, fn)
	})
}

// write replaces the state by the one that fn makes of it.
func (s *Store) write(ctx context.Context, fn func(now *state) (*state, error)) (kv.Rev, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if s.mark.Inside() {
		return 0, kv.ErrNested
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return 0, fmt.Errorf("memkv: update: while waiting: %w", ctx.Err())
	}
	defer func() { <-s.writer }()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("memkv: update: %w", err)
	}
	next, err := fn(s.state.Load())
	if err != nil {
		return 0, err
	}
	s.state.Store(next)
	return next.rev, nil
}

// try runs fn on a state and returns the state it made: the same if it wrote nothing.
func (s *Store) try(now *state, fn func(kv.Tx) error) (*state, error) {
	t := &tx{s: s, buckets: now.buckets, run: func(t *tx) error { return fn(t) }}
	defer t.close()
	if err := s.mark.Call(t); err != nil {
		return nil, err
	}
	if !t.wrote {
		return now, nil
	}
	return &state{rev: now.rev + 1, buckets: t.buckets}, nil
}

// Head implements [kv.Store].
func (s *Store) Head(ctx context.Context) (kv.Rev, error) {
	return s.View(ctx, func(kv.Reader) error { return nil })
}

// Watch implements [kv.Store]. Nobody else can change the store.
func (s *Store) Watch(context.Context, kv.Rev) iter.Seq2[kv.Change, error] {
	return func(func(kv.Change, error) bool) {}
}

// Close implements [kv.Store]. The content is gone with it. From inside a
// closure of this store it fails with [kv.ErrNested].
func (s *Store) Close() error {
	leave, err := s.enter(context.Background())
	if errors.Is(err, kv.ErrClosed) {
		return nil
	}
	inside := s.mark.Inside()
	leave()
	if inside {
		return kv.ErrNested
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.open.Wait()
	s.state.Store(&state{})
	return nil
}

// A tx is a transaction. Until its first write it shares the map of buckets
// with the state.
type tx struct {
	s       *Store
	run     func(*tx) error
	buckets map[kv.Bucket]*node
	wrote   bool
	closed  bool
}

// A reader hides the methods of a tx that write.
type reader struct {
	kv.Reader
}

// Run implements [nested.Closure].
func (t *tx) Run() error { return t.run(t) }

// close makes every later use of the transaction fail.
func (t *tx) close() { t.closed = true }

// check tells whether the transaction can use bucket b.
func (t *tx) check(b kv.Bucket) error {
	switch {
	case t.closed:
		return kv.ErrClosed
	case t.s.Buckets != nil && !slices.Contains(t.s.Buckets, b):
		return fmt.Errorf("%w: %q", kv.ErrBucket, b)
	}
	return nil
}

// set replaces the tree of a bucket.
func (t *tx) set(b kv.Bucket, root *node) {
	if !t.wrote {
		t.wrote = true
		if t.buckets = maps.Clone(t.buckets); t.buckets == nil {
			t.buckets = make(map[kv.Bucket]*node)
		}
	}
	t.buckets[b] = root
}

// Get implements [kv.Reader].
func (t *tx) Get(b kv.Bucket, key []byte) ([]byte, error) {
	if err := t.check(b); err != nil {
		return nil, err
	}
	if n := t.buckets[b].get(key); n != nil {
		return n.value, nil
	}
	return nil, nil
}

// Scan implements [kv.Reader].
func (t *tx) Scan(b kv.Bucket, prefix, from []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if err := t.check(b); err != nil {
			yield(kv.Pair{}, err)
			return
		}
		if bytes.Compare(from, prefix) < 0 {
			from = prefix
		}
		t.buckets[b].ascend(from, t.each(prefix, yield))
	}
}

// ScanBack implements [kv.Reader].
func (t *tx) ScanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if err := t.check(b); err != nil {
			yield(kv.Pair{}, err)
			return
		}
		if end := after(prefix); before == nil || end != nil && bytes.Compare(end, before) < 0 {
			before = end
		}
		t.buckets[b].descend(before, t.each(prefix, yield))
	}
}

// each passes nodes on to yield until the prefix ends.
func (t *tx) each(prefix []byte, yield func(kv.Pair, error) bool) func(*node) bool {
	return func(n *node) bool {
		if !bytes.HasPrefix(n.key, prefix) || !yield(kv.Pair{Key: n.key, Value: n.value}, nil) {
			return false
		}
		if t.closed {
			yield(kv.Pair{}, kv.ErrClosed)
			return false
		}
		return true
	}
}

// checkKey tells whether key may be written to bucket b.
func (t *tx) checkKey(b kv.Bucket, key []byte) error {
	if err := t.check(b); err != nil {
		return err
	}
	if len(key) == 0 || len(key) > kv.MaxKey {
		return fmt.Errorf("%w: bucket %q: a key of %d bytes", kv.ErrTooLarge, b, len(key))
	}
	return nil
}

// Put implements [kv.Tx].
func (t *tx) Put(b kv.Bucket, key, value []byte) error {
	if err := t.checkKey(b, key); err != nil {
		return err
	}
	if len(value) > kv.MaxValue {
		return fmt.Errorf("%w: bucket %q: a value of %d bytes", kv.ErrTooLarge, b, len(value))
	}
	both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	k, v := both[:len(key):len(key)], both[len(key):]
	t.set(b, t.buckets[b].with(&node{key: k, value: v, weight: weigh(t.s.seed, k)}))
	return nil
}

// Delete implements [kv.Tx].
func (t *tx) Delete(b kv.Bucket, key []byte) error {
	if err := t.checkKey(b, key); err != nil {
		return err
	}
	t.set(b, t.buckets[b].without(key))
	return nil
}

// DeletePrefix implements [kv.Tx].
func (t *tx) DeletePrefix(b kv.Bucket, prefix []byte) error {
	if err := t.check(b); err != nil {
		return err
	}
	t.deleteRange(b, append([]byte{}, prefix...), after(prefix))
	return nil
}

// DeleteSome implements [kv.Tx].
func (t *tx) DeleteSome(b kv.Bucket, prefix []byte, n int) (more bool, err error) {
	if err := t.check(b); err != nil {
		return false, err
	}
	end := after(prefix)
	t.buckets[b].ascend(prefix, func(at *node) bool {
		if !bytes.HasPrefix(at.key, prefix) {
			return false
		}
		n--
		if more = n < 0; more {
			end = at.key
		}
		return !more
	})
	t.deleteRange(b, append([]byte{}, prefix...), end)
	return more, nil
}

// deleteRange removes the keys from one on to below another; nil is the end.
func (t *tx) deleteRange(b kv.Bucket, from, to []byte) {
	less, rest := t.buckets[b].split(from)
	var greater *node
	if to != nil {
		_, greater = rest.split(to)
	}
	t.set(b, join(less, greater))
}

// after returns the least key that is greater than every key with the prefix,
// or nil if there is none.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			end := bytes.Clone(prefix[:n])
			end[n-1]++
			return end
		}
	}
	return nil
}
