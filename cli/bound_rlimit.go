//go:build linux || darwin

package cli

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// boundChild limits what reading a file may take: numbers in a damaged one can ask for anything.
func boundChild(path string) {
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	debug.SetMaxStack(64 << 20)
	limit := uint64(4<<30 + 4*size) // of addresses: the map of the file is among them, and what the runtime reserves
	_ = unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit})
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // a core would hold hashes
}
