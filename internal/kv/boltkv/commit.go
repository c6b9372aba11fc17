package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// replaceCheck is how often a commit looks whether its file still has its name.
const replaceCheck = time.Second

// settle commits the group, or drops it if nobody wrote, and answers all of
// it. The caller holds the baton.
func (s *Store) settle(g *group) {
	defer func() {
		s.scratch.reader = reader{closed: true} // what bbolt read goes with its transaction
		close(g.done)
		for _, w := range g.lent {
			w.answer(g)
		}
	}()
	if g.broken || g.writers == 0 {
		s.rollback(g.tx)
		return
	}
	if f := s.failed.Load(); f != nil { // since this group began
		g.err = f.err()
		s.rollback(g.tx)
		return
	}
	now := time.Now()
	if !now.Before(s.nextReplace) {
		if g.err = s.replaced(); g.err != nil {
			s.rollback(g.tx)
			return
		}
		s.nextReplace = now.Add(replaceCheck)
	}
	g.rev = s.offset + kv.Rev(g.tx.ID())
	s.committing.Store(g)
	size := g.tx.Size()
	if g.err = s.commitGroup(g); g.err == nil {
		s.commitTook = time.Since(now)
		s.fresh = false
		s.arena = g.arena[:0] // bbolt has let go of all that was put
		s.commits.Add(1)
		s.durable.Store(uint64(g.rev))
	}
	s.committing.Store(nil) // after durable: who finds no group looks there again
	if g.err == nil {
		s.holds.wrote(g.tx)
		s.endOld(size)
	}
}

// awaitDurable waits until a power cut cannot undo what a View has seen. bbolt shows a
// commit to readers when it is written and not yet synced; an answer that
// rests on it, such as that a session has ended already, must not be given before.
func (s *Store) awaitDurable(ctx context.Context, rev kv.Rev) error {
	for uint64(rev) > s.durable.Load() {
		g := s.committing.Load()
		if g == nil {
			if uint64(rev) <= s.durable.Load() {
				return nil
			}
			if f := s.failed.Load(); f != nil {
				return f.err()
			}
			return fmt.Errorf("%w: revision %d was read", kv.ErrUnknown, rev)
		}
		select {
		case <-g.done:
		case <-ctx.Done():
			return fmt.Errorf("boltkv: view: %w", ctx.Err())
		}
	}
	return nil
}

// commitBolt commits tx. When it returns, the transaction is over. The error
// is a [kv.ErrUnknown] if the state may be the new one, and poisons the handle; with
// every other error it is certainly the old one.
func (s *Store) commitBolt(tx *bolt.Tx) error {
	txid := uint64(tx.ID())
	err, aborted := s.tryCommit(tx)
	if err == nil {
		step(Committed, s.path, "")
		return nil
	}
	if aborted {
		s.rollback(tx)
	}
	return s.outcome(err, txid)
}

// tryCommit is bbolt's Commit with its panics as errors. aborted tells that
// the transaction is still open.
func (s *Store) tryCommit(tx *bolt.Tx) (err error, aborted bool) {
	defer func() {
		s.log.committing.Store(nil)
		switch p := recover().(type) {
		case nil:
		case abort:
			err, aborted = p.cause, true
		default:
			err, aborted = s.damaged(p), true
		}
	}()
	fit := s.fitForScan
	s.log.committing.Store(&fit)
	return tx.Commit(), false
}

// outcome finds out what a failed commit left behind, and says it.
func (s *Store) outcome(cause error, txid uint64) error {
	if isSyncError(cause) {
		// After a failed sync the kernel may take the pages for written, so
		// what can be read says nothing about what is on the disk.
		return s.unknown(cause)
	}
	info, err := s.file.Stat()
	if err != nil {
		return s.unknown(errors.Join(cause, err))
	}
	metas, errs, err := readMetas(s.file, info.Size())
	if err != nil {
		return s.unknown(errors.Join(cause, err))
	}
	if errs[0] != nil && errs[1] != nil {
		return s.unknown(errors.Join(cause, errs[0], errs[1]))
	}
	for i, m := range metas {
		if errs[i] == nil && m.txid >= txid {
			return s.unknown(cause)
		}
	}
	cause = withErrno(cause)
	switch {
	case errors.Is(cause, kv.ErrCorrupt):
		return cause
	case isFull(cause) || s.outOfSpace(cause):
		return fmt.Errorf("%w: %w", kv.ErrFull, cause)
	case strings.Contains(cause.Error(), "mmap"):
		// bbolt has no map any more, so nothing will work, reads neither.
		err := fmt.Errorf("boltkv: commit: %w", cause)
		s.fail(failure{cause: err, reads: true})
		return err
	}
	return fmt.Errorf("boltkv: commit: %w", cause)
}

// unknown poisons the handle after a commit whose outcome is not known.
func (s *Store) unknown(cause error) error {
	cause = withErrno(cause)
	err := fmt.Errorf("%w: %w", kv.ErrUnknown, cause)
	s.fail(failure{cause: cause, reads: true})
	return err
}

// isSyncError reports whether a commit failed in a sync: bbolt returns the
// bare error number of fdatasync, or the error of [os.File.Sync], or, when the
// file grows, only its text.
func isSyncError(err error) bool {
	if _, bare := err.(syscall.Errno); bare {
		return true
	}
	var path *fs.PathError
	if errors.As(err, &path) && (path.Op == "sync" || path.Op == "fsync") {
		return true
	}
	return strings.Contains(err.Error(), "file sync error")
}

// A numbered error is one of bbolt's that has the system's error only in its text.
type numbered struct {
	error
	number syscall.Errno
}

func (e *numbered) Unwrap() []error { return []error{e.error, e.number} }

// withErrno makes [errors.Is] find the system's error number also where bbolt has made text of it, as it does where a
// file grows or is mapped.
func withErrno(err error) error {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) {
		return err
	}
	text := err.Error()
	for _, n := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.ENOMEM, syscall.EFBIG, syscall.EROFS, syscall.EACCES, syscall.EINVAL} {
		if strings.HasSuffix(text, n.Error()) {
			return &numbered{err, n}
		}
	}
	return err
}

// systemError is err so that it can be told what it is: [kv.ErrFull] if there was no room, with the system's error number else.
func systemError(err error) error {
	if err = withErrno(err); err != nil && isFull(err) && !errors.Is(err, kv.ErrFull) {
		return fmt.Errorf("%w: %w", kv.ErrFull, err)
	}
	return err
}

// isFull reports whether a commit failed for want of room.
func isFull(err error) bool {
	if errors.Is(err, berrors.ErrMaxSizeReached) || isNoSpace(err) {
		return true
	}
	text := err.Error()
	for _, s := range []string{"no space left", "quota exceeded", "file too large", "not enough space"} {
		if strings.Contains(strings.ToLower(text), s) {
			return true
		}
	}
	return false
}

// outOfSpace asks the file system, for bbolt does not wrap the error of a file
// that could not grow.
func (s *Store) outOfSpace(cause error) bool {
	if !strings.Contains(cause.Error(), "file resize error") {
		return false
	}
	free, ok := freeBytes(s.file)
	return ok && free < growStep
}

// fitForScan reports whether bbolt may look for the free pages again, as it
// does when a commit failed. It does so in a goroutine of its own, where
// damage would end the process. That is worth its time only where the handle will
// be used on, which is when there was no room.
func (s *Store) fitForScan(cause error) bool {
	if !isFull(cause) && !s.outOfSpace(cause) {
		return false
	}
	info, err := s.file.Stat()
	if err != nil {
		return false
	}
	m, err := sniff(s.file, info.Size())
	return err == nil && firstDefect(context.Background(), s.file, m, true) == nil
}
