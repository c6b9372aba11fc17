package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// RestoreOptions tell how Restore goes about it.
type RestoreOptions struct {
	// Options are those of the restored file.
	Options
	// KeepAs is where a copy of the old file goes, if there is one. Empty keeps none.
	KeepAs string
	// Amend judges and changes the new file before it is put in place. old looks a value up in the old file,
	// as far as that can be read: otherwise it returns an error.
	Amend func(s *Store, old Lookup) error
}

// A Lookup finds a value, or nil. The error is [fs.ErrNotExist] if there is no file.
type Lookup func(b kv.Bucket, key []byte) ([]byte, error)

// Restore puts a copy of the file src in place of dst, which may be whole, damaged or absent. It holds the
// locks of both from the beginning to the end. Whatever happens, dst is the old file or the new
// one, whole and durable; if the error is not [kv.ErrUnknown], it is the old one. It reports
// whether there was an old file.
func Restore(ctx context.Context, src, dst string, o *RestoreOptions) (replaced bool, err error) {
	from, err := openSource(src)
	if err != nil {
		return false, err
	}
	defer from.Close()
	if info, err := os.Stat(dst); err == nil && os.SameFile(info, from.info) {
		return false, fmt.Errorf("boltkv: restore: %s and %s are the same file", src, dst)
	}
	if err := lock(from.File, true, o.LockTimeout); err != nil {
		return false, fmt.Errorf("%s: %w", src, err)
	}
	if _, err := sniff(from, from.info.Size()); err != nil { // before it is copied
		return false, fmt.Errorf("%s: %w", src, err)
	}
	old, err := holdOld(dst, o)
	if err != nil {
		return false, err
	}
	defer old.release()
	temp, err := old.newTemp(dst)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			_ = remove(temp.Name()) // unless it has its name already
		}
	}()
	if err := errors.Join(copyWhole(ctx, temp, from), temp.Close()); err != nil {
		return false, fmt.Errorf("%s: %w", src, err)
	}
	if err := amend(ctx, temp.Name(), old, o); err != nil {
		return false, fmt.Errorf("%s: %w", src, err)
	}
	if old != nil && o.KeepAs != "" {
		if err := keep(ctx, old, o.KeepAs); err != nil {
			return false, fmt.Errorf("boltkv: keeping %s as %s: %w", dst, o.KeepAs, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if runtime.GOOS == "windows" {
		old.release() // a file that is open keeps its name there
	}
	return old != nil, publishRestored(temp.Name(), dst, old != nil)
}

// publishRestored is publish with an error that tells whether the name was given.
func publishRestored(temp, dst string, replace bool) error {
	err := publish(temp, dst, replace)
	if _, statErr := os.Lstat(temp); err != nil && absent(statErr) {
		return fmt.Errorf("%w: %s was replaced, but a power cut may still undo it: %w", kv.ErrUnknown, dst, err)
	}
	return err
}

// An oldFile is the file that is going to be replaced, locked.
type oldFile struct {
	opened
	id   fileID
	held bool
}

// holdOld opens and locks the file at path. It returns nil if there is none.
func holdOld(path string, o *RestoreOptions) (_ *oldFile, err error) {
	f, err := openFile(path, false)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	old := &oldFile{opened: f}
	defer func() {
		if err != nil {
			old.release()
		}
	}()
	if old.id, err = identify(f.File, f.info); err != nil {
		return nil, fmt.Errorf("boltkv: %s: %w", path, err)
	}
	if _, old.held = register(old.id, path); !old.held {
		return nil, fmt.Errorf("%w: %s is open in this process", kv.ErrLocked, path)
	}
	if err := lock(f.File, false, o.LockTimeout); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// Whoever had it may have put another file in its place meanwhile.
	if info, err := os.Lstat(path); err != nil || !os.SameFile(info, f.info) {
		return nil, errors.Join(fmt.Errorf("%w: %s; try again", kv.ErrReplaced, path), err)
	}
	if err := narrow(f.File, f.info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return old, nil
}

// release lets go of the file. A second call does nothing.
func (f *oldFile) release() {
	if f == nil {
		return
	}
	_ = f.Close()
	if f.held {
		f.held = false
		unregister(f.id)
	}
}

// newTemp is a new file that belongs to the owner of the old one, if there is one.
func (f *oldFile) newTemp(path string) (*os.File, error) {
	if f == nil {
		return newTemp(path)
	}
	return newTempLike(path, f.info)
}

// copyWhole copies all of from to the new file f, and makes sure that what is there is sound.
func copyWhole(ctx context.Context, f *os.File, from opened) error {
	if _, err := io.Copy(ctxWriter{ctx, f}, io.NewSectionReader(from, 0, from.info.Size())); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", kv.ErrFull, err)
		}
		return err
	}
	return verifyFile(ctx, f, from.info.Size())
}

// amend lets o.Amend change the new file, and makes it durable.
func amend(ctx context.Context, temp string, old *oldFile, o *RestoreOptions) error {
	s, err := Open(temp, &o.Options)
	if err != nil {
		return err
	}
	err = o.Amend(s, func(b kv.Bucket, key []byte) ([]byte, error) { return old.lookup(ctx, b, key) })
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return syncPath(temp)
}

// lookup is a [Lookup].
func (f *oldFile) lookup(ctx context.Context, b kv.Bucket, key []byte) ([]byte, error) {
	if f == nil {
		return nil, os.ErrNotExist
	}
	m, err := sniff(f, f.info.Size())
	if err != nil {
		return nil, err
	}
	return lookup(ctx, f.File, m, b, key)
}

// keep copies the old file, in whatever state it is, to path.
func keep(ctx context.Context, old *oldFile, path string) (err error) {
	f, err := old.newTemp(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = remove(f.Name())
		}
	}()
	_, err = io.Copy(ctxWriter{ctx, f}, io.NewSectionReader(old, 0, old.info.Size()))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := syncPath(f.Name()); err != nil {
		return err
	}
	return publish(f.Name(), path, false)
}
