// Package nested tells whether a call comes, on its own goroutine, from inside
// a closure that the same store is running. A store refuses such calls where
// they would wait for themselves.
//
// Go has no name for a goroutine that is cheap to get, so a store's closures
// are called through one of a few functions that leave their return address
// on the stack; a later call looks for that address there. Marking a closure
// costs one call, and only the call that wants to know walks the stack.
package nested

import (
	"runtime"
	"sync/atomic"
)

// A Closure is what a store runs inside a transaction.
type Closure interface {
	Run() error
}

// A Mark is the identity of one store. There are sixteen, given out in turn:
// two stores that share one are told apart only by not being nested in
// each other. The zero Mark is valid.
type Mark struct {
	slot uint32
}

// slots is the number of enter functions.
const slots = 16

var taken atomic.Uint32

// New returns the next mark.
func New() Mark {
	return Mark{slot: (taken.Add(1) - 1) % slots}
}

// Call runs c so that Inside can see it.
func (m Mark) Call(c Closure) error {
	return enters[m.slot](c)
}

// Inside reports whether a closure called by Call with this mark is running on
// the calling goroutine. It costs about a microsecond.
func (m Mark) Inside() bool {
	want := returns[m.slot]
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		for _, pc := range pcs[:n] {
			if pc == want {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// returns holds, for each enter function, the address at which its closure
// returns to it.
var returns = learn()

// A probe is a closure that notes where it will return to.
type probe struct {
	pc uintptr
}

// Run notes the return address into the enter function that called it.
func (p *probe) Run() error {
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:]) // 0 is Callers itself, 1 is Run
	p.pc = pcs[0]
	return nil
}

func learn() (pcs [slots]uintptr) {
	for i, enter := range enters {
		var p probe
		_ = enter(&p)
		pcs[i] = p.pc
	}
	return pcs
}
