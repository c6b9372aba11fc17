package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

const (
	defaultLockTimeout = time.Second
	lockPoll           = 10 * time.Millisecond
	// growStep is by how much bbolt lengthens a file that is full.
	growStep = 4 << 20
)

// Open opens the file at path, which must exist: an error that is
// [fs.ErrNotExist] says that it does not. [kv.ErrEmpty] and [kv.ErrCorrupt] mean
// that it is not, or no longer, a store; [kv.ErrInsecure] that it is not a plain file of
// ours; [kv.ErrLocked] that somebody has it open. No content of a file makes
// Open panic.
func Open(path string, o *Options) (*Store, error) {
	for range 100 {
		s, err := open(path, o)
		if !errors.Is(err, errMoved) {
			return s, err
		}
	}
	return nil, fmt.Errorf("%w: %s is another file again and again", kv.ErrReplaced, path)
}

// errMoved means that the path led to another file when the lock was had: whoever held
// it compacted the file, or put another one in its place.
var errMoved = errors.New("boltkv: the file has lost its name")

func open(path string, o *Options) (_ *Store, err error) {
	s, err := newStore(path, o)
	if err != nil {
		return nil, err
	}
	f, err := openFile(path, s.opt.ReadOnly)
	if err != nil {
		return nil, err
	}
	handed := false // bbolt closes the file
	registered := false
	defer func() {
		if err == nil {
			return
		}
		unmapMetas(s.metas)
		if s.db != nil {
			_ = s.db.Close()
		} else if !handed {
			_ = f.Close()
		}
		if registered {
			unregister(s.id)
		}
	}()
	if s.id, err = identify(f.File, f.info); err != nil {
		return nil, fmt.Errorf("boltkv: %s: %w", path, err)
	}
	if _, registered = register(s.id, path); !registered {
		return nil, fmt.Errorf("%w: %s is open in this process already", kv.ErrLocked, path)
	}
	if err = lock(f.File, s.opt.ReadOnly, s.opt.LockTimeout); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info, statErr := os.Lstat(path); statErr != nil || !os.SameFile(info, f.info) {
		return nil, errors.Join(errMoved, statErr)
	}
	handed = true
	if err = s.attach(f.File, false); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err = s.settleFound(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.durable.Store(uint64(boltRev(s.db)))
	if err = s.checkContent(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err = narrow(f.File, f.info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !s.opt.ReadOnly {
		removeLeft(path)
	}
	return s, nil
}

// settleFound makes durable what was found, the content and the name: a process that
// was killed may have left both unsynced, and what is answered from now on rests on them.
func (s *Store) settleFound() error {
	if s.opt.ReadOnly {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	step(Synced, s.path, "")
	// A folder that cannot be read is none in which we could have made the file.
	if err := syncFolder(filepath.Dir(s.path)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("boltkv: %w", err)
	}
	return nil
}

// An opened is an open file with what was found out about it.
type opened struct {
	*os.File
	info fs.FileInfo
}

// openFile opens path without following a link and refuses what is not a
// plain file of ours.
func openFile(path string, readOnly bool) (_ opened, err error) {
	before, err := os.Lstat(path)
	if err != nil {
		return opened{}, err
	}
	if !before.Mode().IsRegular() {
		return opened{}, fmt.Errorf("%w: %s is not a regular file (%v)", kv.ErrInsecure, path, before.Mode().Type())
	}
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag|noFollow, 0)
	if err != nil {
		if isSymlinkError(err) {
			return opened{}, fmt.Errorf("%w: %s is a symbolic link", kv.ErrInsecure, path)
		}
		return opened{}, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return opened{}, err
	}
	if !info.Mode().IsRegular() {
		return opened{}, fmt.Errorf("%w: %s is not a regular file (%v)", kv.ErrInsecure, path, info.Mode().Type())
	}
	err = checkOwner(f, info)
	if err != nil && !readOnly && oneName(path, info) == nil {
		if info, err = f.Stat(); err != nil {
			return opened{}, err
		}
		err = checkOwner(f, info)
	}
	if err != nil {
		return opened{}, fmt.Errorf("%s: %w", path, err)
	}
	return opened{f, info}, nil
}

// lock takes the file's lock, trying until the timeout and at least once.
func lock(f *os.File, shared bool, timeout time.Duration) error {
	if timeout <= 0 {
		timeout = defaultLockTimeout
	}
	for end := time.Now().Add(timeout); ; {
		switch ok, err := tryLock(f, !shared); {
		case err != nil:
			return fmt.Errorf("boltkv: lock: %w", err)
		case ok:
			return nil
		}
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("%w: another process has it open and kept it for %v; stop that process, or ask it to do the work",
				kv.ErrLocked, timeout)
		}
		time.Sleep(min(left, lockPoll))
	}
}

// attach makes bbolt use the locked file f, which it owns from here on: f is
// closed if attach fails. The content is checked first, so far that bbolt
// cannot lose its way, unless the caller has walked all of it.
func (s *Store) attach(f *os.File, walked bool) (err error) {
	taken := false
	defer func() {
		if err != nil && !taken {
			_ = f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	m, err := sniff(f, info.Size())
	if err != nil {
		return err
	}
	// Without a freelist bbolt scans the whole file, in a goroutine where a
	// panic could not be caught: nothing may be wrong with any page then.
	if !walked {
		if err := firstDefect(context.Background(), f, m, !m.synced()); err != nil {
			return err
		}
	}
	metas, err := mapMetas(f, m.pageSize)
	if err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	log := &logger{}
	db, err := openBolt(f, &bolt.Options{
		Timeout:         defaultLockTimeout,
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		NoStatistics:    true,
		ReadOnly:        s.opt.ReadOnly,
		MaxSize:         int(min(s.opt.MaxSize, int64(^uint(0)>>1))),
		InitialMmapSize: initialMap(info.Size()),
		Logger:          log,
	})
	if err != nil {
		taken = true // and closed, by bbolt or by openBolt
		unmapMetas(metas)
		return err
	}
	db.AllocSize = growStep
	if Observe != nil {
		Observe(Step{Op: Opened, Path: f.Name(), DB: db})
	}
	s.db, s.log, s.file, s.info, s.metas, s.pageSize = db, log, f, info, metas, m.pageSize
	s.mapped = mapSize(max(info.Size(), int64(initialMap(info.Size()))))
	s.fresh = m.synced()
	return nil
}

// openBolt opens a database in f, whose first pages the caller has found good or which is new. If that fails, f is
// closed, also where bbolt panics and would keep it with its lock.
func openBolt(f *os.File, o *bolt.Options) (db *bolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %s", kv.ErrCorrupt, panicText(p))
		}
		if err != nil {
			_ = f.Close() // a second close does nothing
		}
	}()
	o.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	db, err = bolt.Open(f.Name(), 0o600, o)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		err = fmt.Errorf("%w: another process has it open", kv.ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		err = unreadable(f.Name(), err)
	case err != nil:
		err = fmt.Errorf("boltkv: %w", systemError(err))
	}
	return db, err
}

// unreadable says why bbolt found nothing in a file that was good a moment ago: bbolt takes what it cannot read for damaged, and does not
// say what the system said. So the file is read once more.
func unreadable(path string, cause error) error {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err == nil {
		_, err = f.ReadAt(make([]byte, minPageSize), 0)
		err = errors.Join(err, f.Close())
	}
	return fmt.Errorf("boltkv: what could be read a moment ago cannot be read any more: %w", errors.Join(systemError(err), cause))
}

// checkContent looks whether every bucket is there and asks the caller's Check.
func (s *Store) checkContent() error {
	_, err := s.View(context.Background(), func(r kv.Reader) error {
		for _, b := range s.opt.Buckets {
			if err := r.(*reader).has(b); err != nil {
				return err
			}
		}
		if s.opt.Check != nil {
			return s.opt.Check(r)
		}
		return nil
	})
	return err
}
