//go:build unix && !linux && !darwin && !freebsd

package cli

import (
	"errors"
	"fmt"
	"runtime"
)

func peerSupported() error {
	return fmt.Errorf("a control socket on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func socketUID(int) (int, error) { return -1, peerSupported() }
