//go:build unix

package latchbolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwn refuses a file or folder that somebody else could have prepared.
func checkOwn(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: its owner is not known", ErrInsecure)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d", ErrInsecure, info.Name(), st.Uid)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %v; others must have no rights", ErrInsecure, info.Name(), info.Mode().Perm())
	}
	return nil
}

// syncFolder makes changes of names in a folder durable.
func syncFolder(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // a file system that has no such thing
	}
	return err
}
