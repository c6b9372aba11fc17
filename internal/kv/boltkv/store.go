// Package boltkv is the store that keeps everything in one bbolt file.
//
// It adds to bbolt what an embedder must add: opening that never creates,
// follows or believes; faults and damage as errors; a commit that many callers
// share; an outcome for every failed commit; copies and compaction that are
// whole or absent.
//
// # Group commit
//
// A write transaction of bbolt costs two syncs of the disk, whatever it
// holds. Callers of Update therefore stand in a queue, and the one at its head
// holds the baton: it alone uses the open bbolt transaction. It runs its
// function on its own goroutine against a private overlay, copies the overlay
// into the transaction if the function succeeded, and hands the baton on. Who
// finds nobody behind commits for all. So a failing function leaves no trace
// and makes no other run again, a lone caller waits for nothing, and there is
// no goroutine and no timer.
//
// Callers of UpdateLent leave their function to whoever has the baton, who runs it in the same
// way, and wake only when the outcome is known: one switch of goroutines in place of three. That is not done
// with every function: the end of its goroutine, or its panic, would be somebody else's. A
// function that panics after it was lent is run again by its own caller.
package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/nested"
)

// Options tell how a file is made or opened. Create and Open copy them.
type Options struct {
	// Buckets are all there are. Create makes them; Open fails with
	// [kv.ErrCorrupt] if one is missing.
	Buckets []kv.Bucket
	// Appended are those of Buckets in which a new key mostly comes right behind the one before, such as one that begins
	// with a time. Their pages are filled, where others are left half empty for what may come in between.
	Appended []kv.Bucket
	// Runs are those of Buckets in which new keys come behind others with the same beginning, of so many bytes, such as
	// one that begins with a user and goes on with a time. See fillRuns.
	Runs map[kv.Bucket]int
	// LockTimeout is how long Open waits for another process to let go of the
	// file. Zero means a second; however short, it tries once.
	LockTimeout time.Duration
	// ReadOnly opens for reading, beside other readers. Update fails with
	// [kv.ErrReadOnly].
	ReadOnly bool
	// MaxSize limits the file, in bytes; a write that would make it larger
	// fails with [kv.ErrFull]. Zero means no limit.
	MaxSize int64
	// Init writes the first records; only Create calls it. Nil writes none.
	Init func(kv.Tx) error
	// Check is called by Open before anything is written to the file; its
	// error is Open's. It refuses, for example, a format that is newer than
	// the program. Nil accepts.
	Check func(kv.Reader) error
}

// A Store is an open file. It implements [kv.Store], [kv.Lender], [kv.Holder], [kv.Backuper], [kv.Snapshotter],
// [kv.Compacter], [kv.BulkUpdater], [kv.Verifier] and [kv.Sizer]; all its methods may be
// called concurrently.
type Store struct {
	path    string
	opt     Options
	names   [][]byte          // bucket names, in the order of opt.Buckets
	index   map[kv.Bucket]int // into names
	append  []bool            // by number of the bucket: it is one of opt.Appended
	mark    nested.Mark
	failed  atomic.Pointer[failure]
	commits atomic.Uint64
	callers atomic.Uint64
	// durable is the newest revision that a power cut cannot undo, and
	// committing the group whose commit is on its way there.
	durable    atomic.Uint64
	committing atomic.Pointer[group]
	roots      atomic.Pointer[roots] // of the state that was read last

	// gate is held for reading by every transaction that is not nested in
	// another, and for writing by Compact, BulkUpdate, Close and commits that may outgrow the map, which first take the
	// baton. It guards the fields up to the next blank line.
	gate     sync.RWMutex
	db       *bolt.DB
	log      *logger
	file     *os.File // the one bbolt uses
	info     fs.FileInfo
	id       fileID
	metas    []byte                                     // the two meta pages, mapped once more; nil where not needed
	goodMeta atomic.Pointer[[pageHeader + metaLen]byte] // the last one that was found good
	pageSize int
	offset   kv.Rev // added to bbolt's transaction IDs, which start anew in Compact and BulkUpdate
	closed   bool

	// The baton guards these.
	fresh       bool  // the file holds the freelist, and nothing was written since
	mapped      int64 // bytes that bbolt has mapped at least; see outgrows
	nextReplace time.Time
	callersNow  int // of the last commit and those who came while it ran; or half as many as before
	commitTook  time.Duration
	scratch     txn    // for what is lent
	arena       []byte // for the next group

	queue queue
	holds holds

	sizeMu  sync.Mutex // guards the result of the last walk for Size
	sizeRev kv.Rev
	used    uint64
}

var (
	_ kv.Store       = (*Store)(nil)
	_ kv.Lender      = (*Store)(nil)
	_ kv.Holder      = (*Store)(nil)
	_ kv.Backuper    = (*Store)(nil)
	_ kv.Snapshotter = (*Store)(nil)
	_ kv.Compacter   = (*Store)(nil)
	_ kv.BulkUpdater = (*Store)(nil)
	_ kv.Verifier    = (*Store)(nil)
	_ kv.Sizer       = (*Store)(nil)
)

// newStore returns a store without a file.
func newStore(path string, o *Options) (*Store, error) {
	s := &Store{path: path, mark: nested.New(), index: make(map[kv.Bucket]int)}
	if o != nil {
		s.opt = *o
	}
	for i, b := range s.opt.Buckets {
		if b == "" {
			return nil, errors.New("boltkv: a bucket has no name")
		}
		if _, ok := s.index[b]; ok {
			return nil, fmt.Errorf("boltkv: bucket %q is listed twice", b)
		}
		s.index[b] = i
		s.names = append(s.names, []byte(b))
		s.append = append(s.append, slices.Contains(s.opt.Appended, b))
	}
	return s, nil
}

// Head returns the revision of the newest state.
func (s *Store) Head(ctx context.Context) (kv.Rev, error) {
	return s.View(ctx, func(kv.Reader) error { return nil })
}

// Watch yields nothing: the file's lock makes this process the only writer.
func (s *Store) Watch(context.Context, kv.Rev) iter.Seq2[kv.Change, error] {
	return func(func(kv.Change, error) bool) {}
}

// Close waits for running transactions and closes the file. On a handle that
// has failed it waits for nothing that could never come. From inside a closure
// of this store it fails with [kv.ErrNested].
func (s *Store) Close() error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if s.mark.Inside() {
		return kv.ErrNested
	}
	g, first := s.queue.close()
	if !first {
		return nil
	}
	if g != nil {
		s.settle(g)
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	s.closed = true
	err := s.writeFreelist()
	err = errors.Join(err, s.shut())
	unregister(s.id)
	return err
}

// shut closes bbolt and the file. The caller holds the baton and the gate.
func (s *Store) shut() (err error) {
	unmapMetas(s.metas)
	s.metas = nil
	if f := s.failed.Load(); f != nil && f.stuck {
		// bbolt would wait for its own lock. Its map stays until the process
		// ends, and must not keep the lock of the file.
		return errors.Join(unlock(s.file), s.file.Close())
	}
	defer s.guard(&err)
	return s.db.Close()
}

// writeFreelist ends with a commit that holds the freelist, so that the next
// Open need not look for the free pages. bbolt is told not to write
// it in every commit, where it would cost a page at least. An error of this
// commit takes nothing away from those before.
func (s *Store) writeFreelist() error {
	if s.fresh || s.opt.ReadOnly || s.failed.Load() != nil {
		return nil
	}
	if s.replaced() != nil {
		return nil // this file is nobody's any more
	}
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	s.db.NoFreelistSync = false
	if err := s.commitBolt(tx); err != nil && !errors.Is(err, kv.ErrFull) {
		return fmt.Errorf("boltkv: while closing: %w", err)
	}
	return nil
}

// replaced returns [kv.ErrReplaced] if the path leads elsewhere by now, for
// then what is written would be lost. The caller holds the baton.
func (s *Store) replaced() error {
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is gone", kv.ErrReplaced, s.path)
	case err != nil:
		return fmt.Errorf("boltkv: %w", err)
	case !os.SameFile(info, s.info):
		return fmt.Errorf("%w: %s is another file now", kv.ErrReplaced, s.path)
	}
	return nil
}
