package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Backup implements [kv.Backuper]. Reads and writes go on meanwhile. The pages
// of the state that is copied are not used again until it is done, unless dest is so slow that the file would grow too much: then a state is
// put aside in a file beside the store, and copied from there. If dest exists
// and replace is not set, the error is [fs.ErrExist].
func (s *Store) Backup(ctx context.Context, dest string, replace bool) (err error) {
	switch info, err := os.Lstat(dest); {
	case err == nil && !replace:
		return &fs.PathError{Op: "backup", Path: dest, Err: fs.ErrExist}
	case err == nil && os.SameFile(info, s.stat()):
		return fmt.Errorf("boltkv: backup: %s is the store itself", dest)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%w: backup: %s is not a regular file (%v)", kv.ErrInsecure, dest, info.Mode().Type())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := newTemp(dest)
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			_ = remove(temp)
		}
	}()
	if err := errors.Join(s.copyTo(ctx, f), f.Close()); err != nil {
		return fmt.Errorf("boltkv: backup: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("boltkv: backup: %w", err)
	}
	return publish(temp, dest, replace)
}

// Snapshot implements [kv.Snapshotter]. What bbolt needs to begin with, the two meta pages, is made anew; all
// other pages are copied as they are. A file that was cut short gives a snapshot that is.
func (s *Store) Snapshot(ctx context.Context, dest string) (err error) {
	f, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(dest)
		}
	}()
	if _, err = s.copyAny(ctx, f); errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("boltkv: snapshot: %w", err)
	}
	return nil
}

// stat returns what is known of the file.
func (s *Store) stat() fs.FileInfo {
	defer s.share()()
	return s.info
}

// copyTo writes one state to f, syncs it and checks what can be read back.
func (s *Store) copyTo(ctx context.Context, f *os.File) error {
	size, err := s.copyAny(ctx, f)
	if err != nil {
		return systemError(err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	step(Synced, f.Name(), "")
	return verifyFile(ctx, f, size)
}

// copyAny writes one state to f, which is empty: the one of now, or if f is slow and others write so much that its pages are wanted, one
// that is put aside then.
func (s *Store) copyAny(ctx context.Context, f *os.File) (int64, error) {
	size, err := s.copyHeld(ctx, f)
	if !errors.Is(err, kv.ErrTooOld) {
		return size, err
	}
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return s.copyAside(ctx, f)
}

// bolt calls fn with a read transaction of bbolt, guarded.
func (s *Store) bolt(ctx context.Context, fn func(*bolt.Tx) error) error {
	var err error
	_, viewErr := s.View(ctx, func(r kv.Reader) error {
		defer s.guard(&err)
		err = fn(r.(*reader).tx)
		return nil
	})
	return errors.Join(viewErr, err)
}

// verifyFile walks every page of a file that is size bytes long.
func verifyFile(ctx context.Context, f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size >= 0 && info.Size() != size {
		return fmt.Errorf("%w: the copy has %d bytes of %d", kv.ErrCorrupt, info.Size(), size)
	}
	m, err := sniff(f, info.Size())
	if err != nil {
		return err
	}
	return firstDefect(ctx, f, m, true)
}

// A ctxWriter stops writing when its context is done.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w ctxWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}

// errStop ends bbolt's WriteTo after the page that is wanted.
var errStop = errors.New("boltkv: stop")

// A metaWriter keeps the first page that bbolt writes: the meta of the transaction.
type metaWriter struct {
	meta meta
	err  error
}

func (w *metaWriter) Write(b []byte) (int, error) {
	w.meta, w.err = parseMeta(b)
	return 0, errStop
}

// walk walks the newest state, pinned by a read transaction so that none of
// its pages is used again meanwhile.
func (s *Store) walk(ctx context.Context, deep bool, report func(error) bool) (m meta, used uint64, err error) {
	err = s.bolt(ctx, func(tx *bolt.Tx) error {
		var w metaWriter
		if _, err := tx.WriteTo(&w); w.err != nil || w.meta.pages == 0 {
			return errors.Join(w.err, err)
		}
		m = w.meta
		if m.synced() && !s.opt.ReadOnly {
			// The list is of pages that a running transaction may use by now.
			m.freelist = noFreelist
		}
		used, err = walk(ctx, s.file, m, deep, report)
		return err
	})
	return m, used, err
}

// Verify implements [kv.Verifier]. It reads the file and not the map, trusts no
// number in it, and uses no code of bbolt. Reads and writes go on meanwhile.
func (s *Store) Verify(ctx context.Context) iter.Seq[error] {
	return func(yield func(error) bool) {
		stopped := false
		_, _, err := s.walk(ctx, true, func(defect error) bool {
			stopped = !yield(defect)
			return !stopped
		})
		if err != nil && !stopped {
			yield(err)
		}
	}
}

// Size implements [kv.Sizer]. To know the free pages it walks the file's tree,
// unless nothing was written since the last call.
func (s *Store) Size() (kv.Size, error) {
	ctx := context.Background()
	info, err := s.fileStat()
	if err != nil {
		return kv.Size{}, err
	}
	rev, err := s.Head(ctx)
	if err != nil {
		return kv.Size{}, err
	}
	used, err := s.usedAt(ctx, rev)
	if err != nil {
		return kv.Size{}, err
	}
	return kv.Size{
		File:     info.Size(),
		Free:     max(0, info.Size()-int64(used)*int64(s.pageSize)),
		PageSize: s.pageSize,
		Commits:  s.commits.Load(),
		Callers:  s.callers.Load(),
	}, nil
}

// usedAt returns how many pages are in use as of a revision, or of a later one. Nobody is kept waiting for the lock meanwhile: who is inside
// a View might be whom the walk waits for.
func (s *Store) usedAt(ctx context.Context, rev kv.Rev) (used uint64, err error) {
	s.sizeMu.Lock()
	used, at := s.used, s.sizeRev
	s.sizeMu.Unlock()
	if used != 0 && at == rev {
		return used, nil
	}
	if _, used, err = s.walk(ctx, false, func(error) bool { return true }); err != nil {
		return 0, err
	}
	s.sizeMu.Lock()
	defer s.sizeMu.Unlock()
	s.used, s.sizeRev = used, rev
	return used, nil
}

// fileStat asks the system about the open file.
func (s *Store) fileStat() (fs.FileInfo, error) {
	defer s.share()()
	if s.closed {
		return nil, kv.ErrClosed
	}
	return s.file.Stat()
}

// share takes the gate for reading, as a View does, and returns what gives it back. Inside a closure of this store it takes nothing: whoever
// waits for the gate waits for that closure.
func (s *Store) share() func() {
	if s.mark.Inside() {
		return func() {}
	}
	s.gate.RLock()
	return s.gate.RUnlock
}
