//go:build !linux && !darwin

package cli

import "runtime/debug"

// boundChild limits what reading a file may take.
func boundChild(string) {
	debug.SetMaxStack(64 << 20)
	debug.SetMemoryLimit(4 << 30)
}
