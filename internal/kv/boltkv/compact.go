package boltkv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// compactBatch is how many bytes bbolt copies in one transaction.
const compactBatch = 4 << 20

// Compact implements [kv.Compacter]. The new file has the path before the old
// one lets go of its lock, so no other process can come between. Revisions go on
// from where they were. It is not supported on Windows, where a file in use
// cannot give its name away.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	if runtime.GOOS == "windows" {
		return 0, 0, fmt.Errorf("boltkv: compact: %w", errors.ErrUnsupported)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if s.mark.Inside() {
		return 0, 0, kv.ErrNested
	}
	if s.opt.ReadOnly {
		return 0, 0, kv.ErrReadOnly
	}
	g, err := s.queue.take(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	if g != nil { // what the group wrote must be in the file that is copied
		s.settle(g)
	}
	defer s.queue.release()
	s.gate.Lock()
	defer s.gate.Unlock()
	if f := s.failed.Load(); f != nil {
		return 0, 0, f.err()
	}
	if err := s.replaced(); err != nil {
		return 0, 0, err
	}
	return s.compactLocked(ctx)
}

// compactLocked does the work of Compact. The caller holds the baton and the gate.
func (s *Store) compactLocked(ctx context.Context) (before, after int64, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("boltkv: compact: %w", err)
	}
	before = info.Size()
	temp, err := s.rewrite(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("boltkv: compact: %w", err)
	}
	defer func() {
		if err != nil {
			_ = remove(temp)
		}
	}()
	next, err := s.takeOver(ctx, temp)
	if err != nil {
		return 0, 0, fmt.Errorf("boltkv: compact: %w", err)
	}
	// The state is the same, so the revision stays.
	renamed, err := s.switchTo(ctx, next, temp, s.rev())
	switch {
	case err == nil:
		return before, next.info.Size(), nil
	case renamed:
		// After a power cut either file may have the name; what is
		// written to the new one could be lost with it.
		s.fail(failure{cause: err})
		return before, next.info.Size(), fmt.Errorf("boltkv: compact: %w", err)
	}
	return 0, 0, fmt.Errorf("boltkv: compact: %w", err)
}

// switchTo gives the file temp, which next has open, the name of the store's file and makes it
// that, as revision rev. The caller holds the baton and the gate. If that failed, renamed
// tells whether it is the store's all the same; otherwise next is dropped.
func (s *Store) switchTo(ctx context.Context, next *Store, temp string, rev kv.Rev) (renamed bool, err error) {
	if err = ctx.Err(); err == nil {
		err = rename(temp, s.path)
	}
	if err != nil {
		next.drop()
		return false, err
	}
	old := s.handle()
	s.adopt(next, rev)
	old.drop()
	return true, syncFolder(filepath.Dir(s.path))
}

// rev returns the revision of a store that nobody writes to.
func (s *Store) rev() kv.Rev { return s.offset + kv.Rev(boltRev(s.db)) }

// rewrite copies what is in use to a new file beside the old one, durably, and
// returns its name.
func (s *Store) rewrite(ctx context.Context) (_ string, err error) {
	f, err := newTempLike(s.path, s.info)
	if err != nil {
		return "", err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			_ = remove(temp)
		}
	}()
	dst, err := openBolt(f, &bolt.Options{
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		NoSync:       true, // it is synced once, when it is whole
		PageSize:     s.pageSize,
	})
	if err != nil {
		return "", err
	}
	err = errors.Join(s.copyInto(dst), dst.Close())
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = syncPath(temp)
	}
	return temp, err
}

// copyInto is bbolt's Compact with its panics as errors.
func (s *Store) copyInto(dst *bolt.DB) (err error) {
	defer s.guard(&err)
	return systemError(bolt.Compact(dst, s.db, compactBatch))
}

// takeOver opens and locks the file temp and checks all of it.
func (s *Store) takeOver(ctx context.Context, temp string) (_ *Store, err error) {
	f, err := openFile(temp, false)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock(f.File, false, s.opt.LockTimeout), verifyFile(ctx, f.File, -1)); err != nil {
		_ = f.Close()
		return nil, err
	}
	next := &Store{path: s.path, opt: s.opt}
	if next.id, err = identify(f.File, f.info); err != nil {
		_ = f.Close()
		return nil, err
	}
	if err := next.attach(f.File, true); err != nil {
		return nil, err
	}
	register(next.id, s.path)
	return next, nil
}

// handle returns a store with what belongs to the open file alone.
func (s *Store) handle() *Store {
	return &Store{db: s.db, log: s.log, file: s.file, info: s.info, id: s.id, metas: s.metas}
}

// adopt makes next's file the one of s, as revision rev: bbolt's count has begun again.
func (s *Store) adopt(next *Store, rev kv.Rev) {
	s.db, s.log, s.file, s.info, s.id, s.metas = next.db, next.log, next.file, next.info, next.id, next.metas
	s.offset = rev - kv.Rev(boltRev(s.db))
	s.fresh, s.mapped = next.fresh, next.mapped
}

// drop closes the file of a handle that nobody uses.
func (s *Store) drop() {
	_ = s.shut() // all of it is durable elsewhere, or was given up
	unregister(s.id)
}

// boltRev returns the transaction ID of a database nobody writes to.
func boltRev(db *bolt.DB) int {
	tx, err := db.Begin(false)
	if err != nil {
		return 0
	}
	defer func() { _ = tx.Rollback() }()
	return tx.ID()
}
