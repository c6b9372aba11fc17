package boltkv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A View keeps the pages of its state from being used again. While writers go on, one that is held for long makes the file grow by all that
// they write, without bound: bbolt does not know of pages from the end of the file, which it gives out then, that nobody can
// see them any more. So a View whose closure may wait is a held one, which the store ends when too much was written since it began.
//
// What such a View has read must stay what it was, for its closure may be looking at it: all of it is copied. A read and the end of the
// View exclude each other by a lock of the View. The Views of [Store.View] go without both: their closures wait for nobody.

// minHeld is how many bytes are written, at least, before a View is ended. Only tests change it.
var minHeld int64 = 8 << 20

// A held is a View that can be ended. It implements [kv.Reader] and [kv.Prober].
type held struct {
	fn      func(kv.Reader) error
	size    int64  // of the state, up to the high-water mark
	written uint64 // what the store had written when it began

	mu    sync.Mutex // held by each read, and by what ends the View; guards the fields below
	r     reader
	over  error  // why there is no transaction any more; nil: there is
	arena []byte // copies of keys and values; what is full is left to the closure
}

// holds are the Views that can be ended, and what was written while they went on.
type holds struct {
	mu      sync.Mutex
	of      map[*held]struct{}
	written uint64 // bytes in pages, since the store was opened
}

// ViewHeld implements [kv.Holder]. Like View, it may be called from inside a closure of this store.
func (s *Store) ViewHeld(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	return s.view(ctx, fn, true)
}

// hold is read for a View that can be ended.
func (s *Store) hold(fn func(kv.Reader) error) (kv.Rev, error) {
	written := s.holds.soFar()
	tx, err := s.begin(false)
	if err != nil {
		return 0, err
	}
	h := &held{fn: fn, size: tx.Size(), written: written, r: reader{s: s, tx: tx}}
	defer h.finish()
	if err := h.r.locate(); err != nil {
		return 0, err
	}
	rev := s.offset + kv.Rev(tx.ID()) // from here on somebody may end tx
	s.holds.add(h)
	return rev, s.mark.Call(h)
}

func (l *holds) soFar() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

func (l *holds) add(h *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = make(map[*held]struct{})
	}
	l.of[h] = struct{}{}
}

// wrote counts the pages that a commit has written.
func (l *holds) wrote(tx *bolt.Tx) {
	stats := tx.Stats()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written += uint64(stats.GetPageAlloc())
}

// old removes and returns the Views that have to end, where size is that of a new state.
//
// One has to if a third of its size was written since it began, or minHeld if that is more, and the file has grown meanwhile. What it keeps is
// less than what was written: a file that always had one such View after another would grow to one and a half times
// what it has to be, for each begins with what the one before has left free.
func (l *holds) old(size int64) (old []*held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := range l.of {
		if l.written-h.written > uint64(max(minHeld, h.size/3)) && size > h.size {
			old = append(old, h)
			delete(l.of, h)
		}
	}
	return old
}

// endOld ends the Views that have made the file grow for too long, after a commit on a state of a size. The caller holds the baton.
func (s *Store) endOld(size int64) {
	for _, h := range s.holds.old(size) {
		h.end(fmt.Errorf("%w: %d MiB were written since it began", kv.ErrTooOld, (s.holds.soFar()-h.written)>>20))
	}
}

// end ends the transaction, between two reads, for a reason that later reads give. If it has ended already, it does nothing.
func (h *held) end(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over == nil {
		h.over = why
		h.r.s.rollback(h.r.tx)
	}
}

// finish is end when the closure has returned, however it did.
func (h *held) finish() {
	h.end(kv.ErrClosed)
	l := &h.r.s.holds
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, h)
}

// Run implements [nested.Closure].
func (h *held) Run() error { return h.fn(h) }

// read calls fn while nobody can end the View.
func (h *held) read(fn func(*reader) error) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		return h.over
	}
	defer h.r.s.guard(&err)
	return fn(&h.r)
}

// heldArena is for how many bytes of copies there is room at first, and at most.
const (
	heldArena    = 512
	maxHeldArena = 32 << 10
)

// copyOf returns a copy of b, nil of nil. The caller is in read.
func (h *held) copyOf(b []byte) []byte {
	if b == nil {
		return nil
	}
	return copyInto(&h.arena, b, heldArena, maxHeldArena)
}

// Get implements [kv.Reader].
func (h *held) Get(b kv.Bucket, key []byte) (value []byte, err error) {
	err = h.read(func(r *reader) error {
		v, err := r.Get(b, key)
		value = h.copyOf(v)
		return err
	})
	return value, err
}

// None implements [kv.Prober].
func (h *held) None(b kv.Bucket, prefix []byte) (none bool, err error) {
	err = h.read(func(r *reader) (err error) {
		none, err = r.None(b, prefix)
		return err
	})
	return none, err
}

// Scan implements [kv.Reader].
func (h *held) Scan(b kv.Bucket, prefix, from []byte) iter.Seq2[kv.Pair, error] {
	return h.pairs(b, prefix, func(i int) (first, next func() (kv.Pair, error)) {
		c := &forward{cursor{r: &h.r, i: i}}
		return func() (kv.Pair, error) { return c.seek(lowest(prefix, from)) }, c.next
	})
}

// ScanBack implements [kv.Reader].
func (h *held) ScanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[kv.Pair, error] {
	return h.pairs(b, prefix, func(i int) (first, next func() (kv.Pair, error)) {
		c := &backward{cursor{r: &h.r, i: i}}
		return func() (kv.Pair, error) { return c.seek(highest(prefix, before)) }, c.next
	})
}

// pairs yields what the steps of a cursor find, which open makes for a bucket. Between two steps the View may be ended.
func (h *held) pairs(b kv.Bucket, prefix []byte, open func(i int) (first, next func() (kv.Pair, error))) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		var step, next func() (kv.Pair, error)
		err := h.read(func(r *reader) error {
			i, err := r.find(b)
			if err == nil {
				step, next = open(i)
			}
			return err
		})
		var p kv.Pair
		move := func(*reader) error {
			found, err := step()
			p = kv.Pair{}
			if found.Key != nil && bytes.HasPrefix(found.Key, prefix) {
				p = kv.Pair{Key: h.copyOf(found.Key), Value: h.copyOf(found.Value)}
			}
			return err
		}
		for ; err == nil; step = next {
			if err = h.read(move); err == nil && (p.Key == nil || !yield(p, nil)) {
				return
			}
		}
		yield(kv.Pair{}, err)
	}
}

// copyPiece is how many bytes are copied while a View cannot be ended.
const copyPiece = 256 << 10

// copyState writes the state to w, as bbolt would, and returns its size. Nothing keeps the View from being ended while w takes its time.
func (h *held) copyState(ctx context.Context, w io.Writer) (n int64, err error) {
	var first headWriter
	err = h.read(func(r *reader) error {
		first.left = 2 * r.s.pageSize
		_, err := r.tx.WriteTo(&first)
		if first.left == 0 {
			err = nil
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	w = ctxWriter{ctx, w}
	if _, err := w.Write(first.data); err != nil {
		return 0, err
	}
	buf := make([]byte, copyPiece)
	for n = int64(len(first.data)); n < h.size; {
		piece := buf[:min(int64(len(buf)), h.size-n)]
		var got int
		err := h.read(func(r *reader) (err error) {
			got, err = r.s.file.ReadAt(piece, n)
			return err
		})
		if got > 0 && (err == nil || err == io.EOF) {
			if _, err := w.Write(piece[:got]); err != nil {
				return n, err
			}
			n += int64(got)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// A headWriter keeps what is written first, and refuses what comes behind.
type headWriter struct {
	data []byte
	left int
}

func (w *headWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.data = append(w.data, b[:n]...)
	if w.left -= n; n < len(b) {
		return n, errStop
	}
	return n, nil
}

// copyHeld writes the newest state to w. The error is [kv.ErrTooOld] if w was too slow.
func (s *Store) copyHeld(ctx context.Context, w io.Writer) (size int64, err error) {
	_, viewErr := s.ViewHeld(ctx, func(r kv.Reader) error {
		size, err = r.(*held).copyState(ctx, w)
		return nil
	})
	if err == nil {
		err = viewErr
	}
	return size, err
}

// copyAside puts the newest state aside in a file beside the store, which takes no longer than its disk needs for it, and writes it to f from there, which
// may take as long as it likes.
func (s *Store) copyAside(ctx context.Context, f *os.File) (int64, error) {
	aside, err := newTemp(s.path)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = aside.Close()
		_ = remove(aside.Name())
	}()
	var size int64
	if err := s.bolt(ctx, func(tx *bolt.Tx) (err error) {
		size, err = tx.WriteTo(ctxWriter{ctx, aside})
		return err
	}); err != nil {
		return 0, err
	}
	return io.Copy(ctxWriter{ctx, f}, io.NewSectionReader(aside, 0, size))
}
