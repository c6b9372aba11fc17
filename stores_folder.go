package latchbolt

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// FolderSessions returns a store that keeps each session in a file of its own
// in dir, which is made if it is not there; the folder it stands in has to be. The error
// is [ErrInsecure] if dir is a symbolic link, belongs to somebody else, or gives rights
// to others: the sessions in it could be anybody's work.
//
// The folder has mode 0700 and each file 0600. A file is named after the
// session's identifier, in hexadecimal so that it is one file on systems too
// that do not tell upper from lower case; nothing that a client sent becomes part of a
// path. A file is written under another name, synced and renamed, so
// after a crash a session is there whole, as it was before, or not at all. That costs
// two syncs for each change; the last use of a session is written once a minute.
//
// Several processes may use one folder, each with an engine on another
// file: none sees the sessions of another. Files that are not sessions are left alone.
//
// On Windows owner and mode say nothing, and are not looked at: keep the folder
// where others have no access.
//
// See [SessionStore] for what it gives up.
func FolderSessions(dir string) (SessionStore, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("latchbolt: folder of sessions: %w", err)
	}
	named, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("latchbolt: folder of sessions: %w", err)
	}
	// A link is refused before it is followed, and what was opened is what was looked at.
	if !named.IsDir() {
		return nil, fmt.Errorf("%w: %s is no folder (%v)", ErrInsecure, quote(dir), named.Mode().Type())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("latchbolt: folder of sessions: %w", err)
	}
	f := &folderSessions{root: root}
	if err := f.check(named); err != nil {
		return nil, errors.Join(fmt.Errorf("latchbolt: folder of sessions %s: %w", quote(dir), err), root.Close())
	}
	return f, nil
}

// folderSessions works on the folder that was opened, wherever its path leads by now. The
// handle is closed when the store is not used any more.
type folderSessions struct {
	root *os.Root
}

const (
	sessionSuffix = ".session"
	tempSuffix    = ".tmp"
	// tempAge is how old an unfinished file is when it is removed. Nobody
	// writes for so long.
	tempAge = time.Hour
	// maxHeld bounds a file of a session: the values, and some for the rest.
	maxHeld = maxValues + 4<<10
)

// check looks at the folder that was opened, and removes what a crash left behind.
func (f *folderSessions) check(named fs.FileInfo) error {
	info, err := f.root.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(info, named) {
		return fmt.Errorf("%w: it was replaced while it was opened", ErrInsecure)
	}
	if err := checkOwn(info); err != nil {
		return err
	}
	old := time.Now().Add(-tempAge)
	for e, err := range f.entries() {
		if err != nil {
			return err
		}
		if !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), sessionSuffix+tempSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(old) {
			// Another process may have been quicker.
			if err := f.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// entries yields what is in the folder.
func (f *folderSessions) entries() iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		d, err := f.root.Open(".")
		if err != nil {
			yield(nil, err)
			return
		}
		defer d.Close()
		for {
			part, err := d.ReadDir(1024)
			for _, e := range part {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// fileName is the name of the file of a session.
func fileName(id SessionID) string { return hex.EncodeToString(id[:]) + sessionSuffix }

// parseFileName reads what fileName made.
func parseFileName(name string) (id SessionID, ok bool) {
	digits, ok := strings.CutSuffix(name, sessionSuffix)
	if !ok || len(digits) != 2*len(id) || strings.ToLower(digits) != digits {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil
}

func (f *folderSessions) Load(ctx context.Context, id SessionID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := f.open(fileName(id))
	if err != nil || file == nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxHeld+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxHeld {
		return nil, corrupt("file of a session: too long", nil)
	}
	if data == nil {
		data = []byte{} // there, but damaged
	}
	return data, nil
}

// open opens a file that is a plain file of this user, or returns nil if there is none.
func (f *folderSessions) open(name string) (*os.File, error) {
	for {
		named, err := f.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if !named.Mode().IsRegular() {
			return nil, fmt.Errorf("%w: %s is not a regular file (%v)", ErrInsecure, filepath.Base(name), named.Mode().Type())
		}
		file, err := f.root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err == nil && os.SameFile(info, named) {
			if err = checkOwn(info); err == nil {
				return file, nil
			}
		}
		file.Close() // it was only read
		if err != nil {
			return nil, err
		}
		// Another file took the name in between, by a Save: look again.
	}
}

func (f *folderSessions) Save(ctx context.Context, id SessionID, data []byte, _ time.Time) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := fileName(id)
	temp := "." + rand.Text() + sessionSuffix + tempSuffix
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return full(err)
	}
	defer func() {
		if err != nil {
			_ = f.root.Remove(temp) // if it stays, the next start removes it
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return full(err)
	}
	if err := f.root.Rename(temp, name); err != nil {
		return full(err)
	}
	return f.sync()
}

// full tells a full disk from other errors.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// sync makes the names in the folder durable, so that no session that was
// ended comes back after a crash.
func (f *folderSessions) sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(d), d.Close())
}

func (f *folderSessions) Delete(ctx context.Context, id SessionID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := f.root.Remove(fileName(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.sync()
}

func (f *folderSessions) Scan(ctx context.Context) iter.Seq2[SessionID, error] {
	return func(yield func(SessionID, error) bool) {
		for e, err := range f.entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(SessionID{}, err)
				return
			}
			if id, ok := parseFileName(e.Name()); ok && !yield(id, nil) {
				return
			}
		}
	}
}
