// Package hashtest has hashers that only tests use.
package hashtest

import (
	"runtime"

	"github.com/latchbolt-go/latchbolt"
)

// Yielding lets all others go first, so that they are there while a hash is being made: a cheap one is done before
// the next caller runs at all. Otherwise it is the Hasher in it.
type Yielding struct{ latchbolt.Hasher }

// Verify implements [latchbolt.Hasher].
func (h *Yielding) Verify(password, encoded string) (bool, error) {
	for range 1000 {
		runtime.Gosched()
	}
	return h.Hasher.Verify(password, encoded)
}
