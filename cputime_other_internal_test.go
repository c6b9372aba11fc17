//go:build !unix

package latchbolt

import "time"

var cpuStart = time.Now()

// cpuTime is the time on the wall, where what the process takes cannot be had easily.
func cpuTime() time.Duration { return time.Since(cpuStart) }
