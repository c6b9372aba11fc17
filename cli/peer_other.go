//go:build !unix

package cli

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

// peerSupported says no: there is no telling who is at the other end of a socket here.
func peerSupported() error {
	return fmt.Errorf("a control socket on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func checkFolder(string) error           { return peerSupported() }
func ownedBy(string, int) bool           { return false }
func peerUID(*net.UnixConn) (int, error) { return -1, peerSupported() }
