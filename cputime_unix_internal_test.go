//go:build unix

package latchbolt

import (
	"syscall"
	"time"
)

// cpuTime is what the process has taken of the processors. Unlike the time on the wall it does not grow while others have them.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
