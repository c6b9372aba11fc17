//go:build unix

package boltkv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// noFollow makes opening a symbolic link fail, and opening a pipe not wait.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// isSymlinkError reports whether opening failed because of noFollow.
func isSymlinkError(err error) bool {
	return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK)
}

// A fileID tells files of one machine apart.
type fileID struct {
	dev, ino uint64
}

// identify returns the identity of an open file.
func identify(_ *os.File, info fs.FileInfo) (fileID, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, errors.New("no inode number")
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, nil
}

// checkOwner refuses a file that somebody else could have prepared.
func checkOwner(_ *os.File, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: its owner is not known", kv.ErrInsecure)
	}
	if me := os.Geteuid(); int(st.Uid) != me && me != 0 {
		return fmt.Errorf("%w: it belongs to user %d", kv.ErrInsecure, st.Uid)
	}
	if st.Nlink != 1 {
		return fmt.Errorf("%w: it has %d links", kv.ErrInsecure, st.Nlink)
	}
	return nil
}

// narrow takes group's and others' rights to a file of ours away. Its content has been recognized: a path that was mistyped must not cost
// others a file that is none of ours.
func narrow(f *os.File, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := f.Chmod(0o600); err != nil {
		return fmt.Errorf("%w: its mode is %v and cannot be narrowed: %w", kv.ErrInsecure, info.Mode().Perm(), err)
	}
	return nil
}

// giveTo gives the new file f the owner and the group of another one.
func giveTo(f *os.File, other fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, ok := info.Sys().(*syscall.Stat_t)
	want, okToo := other.Sys().(*syscall.Stat_t)
	if !ok || !okToo || have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	err = f.Chown(int(want.Uid), int(want.Gid))
	if have.Uid == want.Uid {
		return nil // not root: perhaps the group cannot be given, which has no rights in any case
	}
	return err
}

// tryLock takes the lock of the file without waiting. It reports false if
// somebody else has it.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EWOULDBLOCK:
			return false, nil
		case unix.EINTR:
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// unlock gives the lock of the file up. A map of the file would keep it, whoever closes the file.
func unlock(f *os.File) error {
	return os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_UN))
}

// mapMetas maps the two meta pages, so that a look at them tells whether the
// file still has them.
func mapMetas(f *os.File, pageSize int) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, 2*pageSize, unix.PROT_READ, unix.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}

func unmapMetas(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // fails only for arguments that were never mapped
	}
}

// syncDir makes a change of names in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // a file system that has no such thing
	}
	return errors.Join(err, d.Close())
}

// isNoSpace reports whether err says that there is no room.
func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// freeBytes returns the room left on the file system of f.
func freeBytes(f *os.File) (uint64, bool) { return statfsFree(int(f.Fd())) }
