package boltkv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// noFollow is nothing here: a link is found by the check of the path.
const noFollow = 0

func isSymlinkError(error) bool { return false }

// A fileID tells files of one machine apart.
type fileID struct {
	volume, high, low uint32
}

// identify returns the identity of an open file.
func identify(f *os.File, _ fs.FileInfo) (fileID, error) {
	var d windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &d); err != nil {
		return fileID{}, os.NewSyscallError("GetFileInformationByHandle", err)
	}
	return fileID{d.VolumeSerialNumber, d.FileIndexHigh, d.FileIndexLow}, nil
}

// giveTo does nothing: a new file has the rights of its folder.
func giveTo(*os.File, fs.FileInfo) error { return nil }

// checkOwner refuses a file with several names. Rights are those of the folder.
func checkOwner(f *os.File, _ fs.FileInfo) error {
	var d windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &d); err != nil {
		return os.NewSyscallError("GetFileInformationByHandle", err)
	}
	if d.NumberOfLinks != 1 {
		return fmt.Errorf("%w: it has %d links", kv.ErrInsecure, d.NumberOfLinks)
	}
	return nil
}

// lockOffset is where bbolt locks, too.
const lockOffset = 1<<32 - 1

// narrow does nothing: rights are those of the folder.
func narrow(*os.File, fs.FileInfo) error { return nil }

// tryLock finds out whether the lock is free and gives it back at once.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := &windows.Overlapped{Offset: lockOffset, OffsetHigh: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	if err != nil {
		return false, os.NewSyscallError("LockFileEx", err)
	}
	return true, os.NewSyscallError("UnlockFileEx", windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, at))
}

// mapMetas does nothing: a file that is mapped cannot be cut short here.
func mapMetas(*os.File, int) ([]byte, error) { return nil, nil }

func unmapMetas([]byte) {}

// syncDir does nothing: a folder cannot be synced here.
func syncDir(string) error { return nil }

// isNoSpace reports whether err says that there is no room.
func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

func freeBytes(*os.File) (uint64, bool) { return 0, false }

// unlock does nothing: to close the file gives its lock up.
func unlock(*os.File) error { return nil }
