// Package kv is the storage seam of latchbolt: ordered keys in a fixed set of
// buckets, read and written in serializable transactions.
//
// Everything above the seam is written so that another store can serve it: closures may
// run more than once, transactions stay small, no identifier comes from the
// store, and no memory of the store leaves a transaction. See docs/DESIGN.md.
package kv

import (
	"context"
	"errors"
	"iter"
)

// A Bucket names one ordered key space. Buckets are fixed at compile time by
// the program above the seam; a string chosen by a user is never a bucket.
type Bucket string

// A Rev orders the states of a store. A larger Rev is a later state. On bbolt
// it is the transaction ID of the last commit that is visible.
type Rev uint64

// A Pair is one key with its value. Both slices are valid only until the
// closure that was given the Reader returns, and must not be modified.
type Pair struct {
	Key, Value []byte
}

// Limits that every store enforces with [ErrTooLarge].
const (
	MaxKey   = 512      // bytes in a key; the empty key is refused too
	MaxValue = 64 << 10 // bytes in a value
)

// Sizes within which a transaction should stay, so that a clustered store can
// serve the same program. They are advice: the local stores do not enforce them.
const (
	AdviceReads  = 100
	AdviceWrites = 100
	AdviceBytes  = 1 << 20
)

// Errors that a Store returns. They are compared with errors.Is.
var (
	// ErrUnknown means that a commit may or may not have happened. The store
	// refuses further work until it is closed and opened again.
	ErrUnknown = errors.New("kv: outcome of the commit is unknown")
	// ErrFailed means that an earlier error made the handle unusable: every
	// write, and unless the error was damage in a part of the file every read
	// too, fails until the store is closed and opened again. It comes with the
	// cause: errors.Is finds both.
	ErrFailed = errors.New("kv: store failed earlier and must be reopened")
	// ErrCorrupt means that the store's file is damaged or not one of ours.
	ErrCorrupt = errors.New("kv: file is damaged")
	// ErrEmpty means that the file has no content at all; it is refused
	// rather than taken for a new store. errors.Is(ErrEmpty, ErrCorrupt) is true.
	ErrEmpty = emptyError{}
	// ErrLocked means that another process, or another handle in this
	// process, holds the file.
	ErrLocked = errors.New("kv: file is in use")
	// ErrInsecure means that the file is not a plain file of ours: a symbolic
	// link, a device, a file of another owner, or one with several links.
	ErrInsecure = errors.New("kv: file is not safe to use")
	// ErrReplaced means that the path no longer leads to the file that is open.
	ErrReplaced = errors.New("kv: file was replaced while open")
	// ErrFull means that there is no room left for the write. Nothing was
	// changed, and later writes are tried again.
	ErrFull = errors.New("kv: no space left")
	// ErrTooLarge means that a key or value is over [MaxKey] or [MaxValue].
	ErrTooLarge = errors.New("kv: key or value too large")
	// ErrReadOnly means that the store was opened for reading only.
	ErrReadOnly = errors.New("kv: store is read-only")
	// ErrClosed means that the store, or the transaction, is closed.
	ErrClosed = errors.New("kv: closed")
	// ErrNested means that Update or Close was called from inside a closure of
	// Update or View of the same store on the same goroutine, which would
	// deadlock.
	ErrNested = errors.New("kv: transaction inside a transaction")
	// ErrTooOld means that a View was ended by the store, because so much was written since it began that the
	// file would have become too large. What was read in it before is right. See [Holder].
	ErrTooOld = errors.New("kv: the view was held for too long while others wrote")
	// ErrBucket means that a transaction named a bucket the store does not have.
	ErrBucket = errors.New("kv: no such bucket")
)

type emptyError struct{}

func (emptyError) Error() string        { return "kv: file is empty" }
func (emptyError) Is(target error) bool { return target == ErrCorrupt }

// A Store holds the buckets. Its methods may be called concurrently.
type Store interface {
	// View calls fn with a consistent state of the store and returns fn's
	// error and the revision of that state. fn must pass on errors of its
	// reads, and not wait for anybody; see [Holder]. If ctx is done before fn starts, fn is not called and the error
	// wraps ctx's.
	View(ctx context.Context, fn func(Reader) error) (Rev, error)

	// Update calls fn and makes what it wrote durable before it returns nil,
	// with the revision of the new state. fn may run more than once and must
	// have no effect outside the transaction. A transaction in which fn wrote
	// nothing is not committed, and Rev is the state fn read. If fn fails,
	// nothing is changed and fn's error is returned as it is. An error that
	// wraps [ErrUnknown] says that the change may or may not have happened;
	// with every other error it certainly did not. An error that wraps ctx's
	// means that nothing changed. A panic of fn, or runtime.Goexit in it, leaves
	// the store as it was and unwinds in the goroutine that called Update.
	Update(ctx context.Context, fn func(Tx) error) (Rev, error)

	// Head returns the revision of the newest state.
	Head(ctx context.Context) (Rev, error)

	// Watch yields the changes made by others after the revision given. A
	// store that this process alone can change yields nothing and returns.
	Watch(ctx context.Context, after Rev) iter.Seq2[Change, error]

	// Close waits for running transactions and closes the store. A second
	// call does nothing and returns nil.
	Close() error
}

// A Change is one key changed by somebody else.
type Change struct {
	Rev    Rev
	Bucket Bucket
	Key    []byte
}

// A Reader reads one consistent state. It must not be used after the closure
// returned, nor by two goroutines at once.
type Reader interface {
	// Get returns the value of key, or nil and no error if it is absent. The
	// value of a key that was put with an empty value is empty and not nil.
	// The slice is valid until the closure returns.
	Get(b Bucket, key []byte) ([]byte, error)

	// Scan yields the pairs whose key starts with prefix and is not less than
	// from, in ascending order of keys. A nil from starts at the first. In an
	// Update it sees the transaction's own writes. The bucket must not
	// be written to by the same transaction while the loop runs.
	// At most one error is yielded, as the last element.
	Scan(b Bucket, prefix, from []byte) iter.Seq2[Pair, error]

	// ScanBack yields the pairs whose key starts with prefix and is less than
	// before, in descending order. A nil before starts at the last.
	ScanBack(b Bucket, prefix, before []byte) iter.Seq2[Pair, error]
}

// A Tx is a Reader that also writes. Keys and values are copied by the call.
type Tx interface {
	Reader
	// Put sets the value of key. An empty value is allowed, an empty key is not.
	Put(b Bucket, key, value []byte) error
	// Delete removes key. An absent key is no error.
	Delete(b Bucket, key []byte) error
	// DeletePrefix removes every key that starts with prefix; an empty prefix
	// empties the bucket. It does not read: it counts as one write.
	DeletePrefix(b Bucket, prefix []byte) error
	// DeleteSome removes the first n keys, 1 at least, that start with prefix, and reports whether there are
	// others. It is for what is too much for one transaction, and costs little for a key.
	DeleteSome(b Bucket, prefix []byte, n int) (more bool, err error)
}

// The capabilities below are extra. A caller tries for them with a type assertion.

// A Lender can run the functions of several callers on one goroutine.
type Lender interface {
	// UpdateLent is [Store.Update] for a fn that does not mind on which goroutine it runs: that
	// of another caller may run it, which saves two switches between goroutines. fn must not end its
	// goroutine. A panic of it unwinds in the goroutine that called UpdateLent.
	UpdateLent(ctx context.Context, fn func(Tx) error) (Rev, error)
}

// A Holder can end a View that keeps it from using its space again.
type Holder interface {
	// ViewHeld is [Store.View] for a fn that may take its time, such as one that the store's user does not know. If others write so
	// much meanwhile that the state's space is wanted, the state is given up: every later read of the Reader fails
	// with an error that wraps [ErrTooOld]. What was read before stays as it was until fn returns. Reads are dearer than those of View.
	ViewHeld(ctx context.Context, fn func(Reader) error) (Rev, error)
}

// A Prober is a Reader that can tell quickly that a range is empty.
type Prober interface {
	// None reports whether there is certainly no key that starts with prefix. If it reports false, a Scan tells.
	None(b Bucket, prefix []byte) (bool, error)
}

// A Backuper can copy itself while it is in use.
type Backuper interface {
	// Backup writes a consistent copy of the whole store to a new file at
	// dest: through a temporary file beside it, mode 0600, verified, synced,
	// renamed, the folder synced. An existing file is replaced only if
	// replace is set. A symbolic link is never followed.
	Backup(ctx context.Context, dest string, replace bool) error
}

// A Snapshotter can copy itself without looking at what it copies.
type Snapshotter interface {
	// Snapshot writes a consistent copy of the whole store, damaged or not, to a new file at
	// dest, mode 0600. It is for looking at, and not synced.
	Snapshot(ctx context.Context, dest string) error
}

// A Compacter can rewrite its file without the unused space.
type Compacter interface {
	// Compact rewrites the file in place of the old one, as one atomic step, and
	// returns its sizes in bytes before and after. Reads and writes wait meanwhile.
	Compact(ctx context.Context) (before, after int64, err error)
}

// A BulkUpdater can take in more than a transaction should hold.
type BulkUpdater interface {
	// BulkUpdate calls fn, once, and makes everything that it put and merged one atomic and
	// durable step, whatever its size, with memory that does not grow with it. It is made for much: it
	// costs about as much as to copy the whole store, beside which it needs room for the copy.
	//
	// Writers wait from the beginning to the end, readers go on. What is called from inside fn on its
	// goroutine may read this store by View; Update fails with [ErrNested]. Right before
	// the new state can be seen, when nothing but the step itself is left to do, last is
	// called, which must not call the store. Errors mean what they mean for Update. It
	// fails with [errors.ErrUnsupported] where the system cannot do it.
	BulkUpdate(ctx context.Context, fn func(Bulk) error, last func()) (Rev, error)
}

// A Bulk is the transaction of a [BulkUpdater]. What its methods put as a Tx is kept in
// memory; large amounts go through Merge.
type Bulk interface {
	Tx
	// Merge puts pairs, whose keys must be ascending, into bucket b. Each bucket can be merged into once, and
	// not be written to afterwards. Reads go on seeing the bucket as it was. A pair whose key
	// is there already, before the update or by a Put, is given to taken, before the next one is asked for, and otherwise left out; the error of taken
	// ends the merge and should be passed on. If taken is nil, the pair takes the place of the old one.
	Merge(b Bucket, pairs iter.Seq2[Pair, error], taken func(Pair) error) error
}

// A Verifier can check its own structure, below the records.
type Verifier interface {
	// Verify walks the whole store and yields one error for each defect.
	Verify(ctx context.Context) iter.Seq[error]
}

// A Sizer can tell what it uses.
type Sizer interface {
	Size() (Size, error)
}

// A Size tells what a store's file holds.
type Size struct {
	File     int64  // bytes of the file
	Free     int64  // bytes in pages that a later write will use again
	PageSize int    // bytes
	Commits  uint64 // commits since the store was opened
	Callers  uint64 // Update calls served by those commits
}
