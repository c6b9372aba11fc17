package boltkv

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// pageSize4K is the page size of new files on every machine, so that a file
// can be moved to a machine with larger memory pages.
const pageSize4K = 4096

// Create makes a new store at path: whole, durable and with what o.Init wrote,
// or not at all. An error that is [fs.ErrExist] says that there is
// something at path, which is left as it is. It does not open the store.
func Create(path string, o *Options) (err error) {
	s, err := newStore(path, o)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	f, err := newTemp(path)
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			_ = remove(temp)
		}
	}()
	if err := s.fill(f); err != nil {
		return err
	}
	if err := syncPath(temp); err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	return publish(temp, path, false)
}

// newTemp makes an empty file of our own beside path, under a name nobody can
// foretell.
func newTemp(path string) (*os.File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()+".tmp")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err == nil {
		step(Created, name, "")
	}
	return f, err
}

// fill makes a bbolt database with the buckets and the first records in f, and
// closes f.
func (s *Store) fill(f *os.File) (err error) {
	s.log = &logger{}
	s.db, err = openBolt(f, &bolt.Options{
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		NoSync:       true, // it is synced once, when it is whole
		PageSize:     pageSize4K,
		MaxSize:      int(min(s.opt.MaxSize, int64(^uint(0)>>1))),
	})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.db.Close())
	}()
	tx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	for _, name := range s.names {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("boltkv: bucket %q: %w", name, err)
		}
	}
	if s.opt.Init != nil {
		t := newTxn(s, tx)
		defer t.close()
		if err := s.opt.Init(t); err != nil {
			return err
		}
		if err := t.apply(); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		if isFull(err) {
			return fmt.Errorf("%w: %w", kv.ErrFull, err)
		}
		return fmt.Errorf("boltkv: %w", err)
	}
	return nil
}

// syncPath makes the content of a file durable that was closed.
func syncPath(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if err == nil {
		step(Synced, path, "")
	}
	return errors.Join(err, f.Close())
}

// publish gives the synced file temp its name in one durable step. Unless replace is
// set, an existing file, of whatever kind, stays and the error is [fs.ErrExist].
func publish(temp, path string, replace bool) error {
	var err error
	switch {
	case replace:
		err = rename(temp, path)
	default:
		err = os.Link(temp, path)
		switch {
		case err == nil:
			step(Linked, temp, path)
			err = remove(temp)
		case !errors.Is(err, fs.ErrExist):
			err = renameIfAbsent(temp, path)
		}
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	return nil
}

// renameIfAbsent is for file systems without links. Where the system has no single
// step for it, the name is looked up first, and a file that appears
// in the moment between is lost.
func renameIfAbsent(temp, path string) error {
	err := renameAbsent(temp, path)
	if err == nil {
		step(Renamed, temp, path)
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return rename(temp, path)
}
