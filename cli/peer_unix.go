//go:build unix

package cli

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// checkFolder refuses a folder in which other users could put a socket of their own.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s is not known", dir)
	}
	if uid := int(st.Uid); uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("the folder %s belongs to user %d", dir, uid)
	}
	mode := info.Mode().Perm()
	if mode&0o002 != 0 || mode&0o020 != 0 && int(st.Gid) != os.Getegid() {
		return fmt.Errorf("other users may write to the folder %s (mode %v): put the file into one of its own", dir, mode)
	}
	return nil
}

// ownedBy reports whether a file belongs to a user.
func ownedBy(path string, uid int) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}

// peerUID returns the user at the other end of a connection, as the system knows it.
func peerUID(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(fd uintptr) { uid, err = socketUID(int(fd)) })
	if controlErr != nil {
		return -1, controlErr
	}
	return uid, err
}
