//go:build darwin || freebsd

package cli

import "golang.org/x/sys/unix"

func peerSupported() error { return nil }

// socketUID asks who opened the other end, as getpeereid(3) does.
func socketUID(fd int) (int, error) {
	const solLocal = 0 // SOL_LOCAL
	cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
