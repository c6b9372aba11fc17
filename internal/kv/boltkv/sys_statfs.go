//go:build linux || darwin || freebsd

package boltkv

import "golang.org/x/sys/unix"

func statfsFree(fd int) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || int64(st.Bavail) < 0 {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}
