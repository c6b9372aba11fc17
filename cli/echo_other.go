//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd && !windows

package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// echoOff is not there on this system, so nobody is asked for a password.
func echoOff(*os.File) (undo func(), err error) {
	return nil, fmt.Errorf("a password cannot be typed unseen on %s (use --password-stdin): %w", runtime.GOOS, errors.ErrUnsupported)
}
