package boltkv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
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
	if err = syncPath(temp); err == nil {
		err = publish(temp, path, false)
	} else {
		err = fmt.Errorf("boltkv: %w", err)
	}
	return overtaken(err, path)
}

// overtaken returns the error of what was to become path. If that is gone and something is at path, somebody was faster, has it open
// and took ours for left over.
func overtaken(err error, path string) error {
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(path); statErr == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
	}
	return err
}

// newTemp makes an empty file of our own beside path, under a name nobody can
// foretell.
func newTemp(path string) (*os.File, error) {
	name := TempName(path)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err == nil {
		step(Created, name, "")
	}
	return f, err
}

// newTempLike is newTemp with the owner and the group of a file that the new one is going to replace, so that the
// program whose file it is can open it also after root worked on it.
func newTempLike(path string, info fs.FileInfo) (*os.File, error) {
	f, err := newTemp(path)
	if err != nil {
		return nil, err
	}
	if err := giveTo(f, info); err != nil {
		_ = f.Close()
		_ = remove(f.Name())
		return nil, fmt.Errorf("boltkv: keeping the owner of %s: %w", path, err)
	}
	return f, nil
}

// How the names of temporary files begin and end. In between is what rand.Text gives.
const tempSuffix = ".tmp"

func tempPrefix(path string) string { return "." + filepath.Base(path) + "." }

// removeLeft removes the copies beside the file at path that were left when a creation or a compaction was
// stopped: nobody would, and they hold every record. The caller has the file open and locked, so
// that nobody makes any. What cannot be removed stays until the next time.
func removeLeft(path string) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		text, ours := strings.CutPrefix(e.Name(), tempPrefix(path))
		text, temp := strings.CutSuffix(text, tempSuffix)
		if !ours || !temp || !isRandomText(text) || !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(name, os.O_RDWR|noFollow, 0)
		if err != nil {
			continue
		}
		free, err := tryLock(f, true) // otherwise somebody who will find out that the name is taken
		_ = f.Close()
		if free && err == nil {
			_ = remove(name)
		}
	}
}

// isRandomText reports whether s may be from rand.Text: 26 characters of base32.
func isRandomText(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
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
		return fmt.Errorf("boltkv: %w", systemError(err))
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
	if replace {
		err = rename(temp, path)
	} else {
		err = renameIfAbsent(temp, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("boltkv: %w", err)
	}
	return nil
}

// renameIfAbsent gives temp its name unless somebody has it. Where the system has no single
// step for that, there is a moment at which the file has both names, see [oneName]. Where
// there are no links either, the name is looked up first, and a file that
// appears in the moment between is lost.
func renameIfAbsent(temp, path string) error {
	err := renameAbsent(temp, path)
	if err == nil {
		step(Renamed, temp, path)
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	switch err := os.Link(temp, path); {
	case err == nil:
		step(Linked, temp, path)
		if err := remove(temp); !errors.Is(err, fs.ErrNotExist) { // unless Open has removed it
			return err
		}
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return rename(temp, path)
}

// oneName takes from the file at path the temporary names in the same folder, of which one is
// left if the machine stopped while the file was given its name. The file is whole and synced then.
func oneName(path string, info fs.FileInfo) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	prefix := tempPrefix(path)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		name := filepath.Join(dir, e.Name())
		if other, err := os.Lstat(name); err == nil && os.SameFile(info, other) {
			if err := remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return syncFolder(dir)
}
