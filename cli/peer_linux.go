package cli

import "golang.org/x/sys/unix"

func peerSupported() error { return nil }

// socketUID asks who opened the other end; see SO_PEERCRED in unix(7).
func socketUID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
