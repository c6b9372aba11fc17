package boltkv

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameAbsent renames a file unless the new name exists, in one step. It
// fails with errors.ErrUnsupported if the file system cannot do that.
func renameAbsent(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
