package boltkv

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A failure is why a handle no longer works.
type failure struct {
	cause error
	reads bool // reads fail too, not only writes
	stuck bool // a lock of bbolt is held for ever: do not call it again
}

// Error returns what later calls return.
func (f *failure) err() error {
	return fmt.Errorf("%w: %w", kv.ErrFailed, f.cause)
}

// fail poisons the handle. The first cause is kept; the reach only widens.
func (s *Store) fail(f failure) {
	for {
		old := s.failed.Load()
		next := f
		if old != nil {
			next = failure{cause: old.cause, reads: old.reads || f.reads, stuck: old.stuck || f.stuck}
		}
		if s.failed.CompareAndSwap(old, &next) {
			return
		}
	}
}

// guard turns a panic of bbolt, or a fault of the map, into an error and stops
// writes: what the panic left half done in bbolt's memory must not reach the
// file. It must be deferred directly.
func (s *Store) guard(err *error) {
	if p := recover(); p != nil {
		*err = s.damaged(p)
	}
}

// damaged makes an error of a recovered panic and poisons writes.
func (s *Store) damaged(p any) error {
	err := fmt.Errorf("%w: %s", kv.ErrCorrupt, panicText(p))
	s.fail(failure{cause: err})
	return err
}

// corrupt is damaged for what was found without a panic.
func (s *Store) corrupt(format string, args ...any) error {
	err := fmt.Errorf("%w: %s", kv.ErrCorrupt, fmt.Sprintf(format, args...))
	s.fail(failure{cause: err})
	return err
}

// panicText says what a panic was, in one line.
func panicText(p any) string {
	var fault interface{ Addr() uintptr }
	if err, ok := p.(runtime.Error); ok && errors.As(err, &fault) {
		return "the file lost pages that were mapped, or cannot be read"
	}
	text, _, _ := strings.Cut(fmt.Sprint(p), "\n")
	return text
}

// touch reads one byte of each page of v, so that a page that is gone faults
// here, where the fault is expected, and not in the caller's code.
//
//go:noinline
func touch(v []byte) (sum byte) {
	for i := 0; i < len(v); i += minPageSize {
		sum += v[i]
	}
	if len(v) > 0 {
		sum += v[len(v)-1]
	}
	return sum
}

// alive looks at the two meta pages. bbolt takes locks without a way back
// before it looks at them itself, so a fault there, or two pages of which neither is good, would stop every later
// call, and a commit that is under way. It reports false if they are gone.
func (s *Store) alive() (ok bool) {
	if s.metas == nil {
		return true
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	half := len(s.metas) / 2
	last := s.goodMeta.Load()
	for _, page := range [][]byte{s.metas[:half], s.metas[half:]} {
		if last != nil && bytes.Equal(page[pageHeader:pageHeader+metaLen], last[pageHeader:]) {
			return true // nothing else is as quick
		}
	}
	for _, page := range [][]byte{s.metas[:half], s.metas[half:]} {
		good := new([pageHeader + metaLen]byte)
		copy(good[:], page)
		if _, err := parseMeta(good[:]); err == nil {
			s.goodMeta.Store(good)
			return true
		}
	}
	return false
}

// begin starts a transaction of bbolt.
func (s *Store) begin(writable bool) (tx *bolt.Tx, err error) {
	if f := s.failed.Load(); f != nil && (f.reads || f.stuck) {
		return nil, f.err()
	}
	if !s.alive() {
		err := fmt.Errorf("%w: the file was cut short, or both its first pages were damaged, while it was open", kv.ErrCorrupt)
		s.fail(failure{cause: err, reads: true})
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = s.damaged(p)
			s.fail(failure{cause: err, reads: true, stuck: true})
		}
	}()
	tx, err = s.db.Begin(writable)
	if err != nil {
		err = fmt.Errorf("%w: %w", kv.ErrFailed, err)
		s.fail(failure{cause: err, reads: true})
	}
	return tx, err
}

// rollback ends a transaction without a trace. If even that fails, bbolt's
// locks stay taken, and the handle is given up.
func (s *Store) rollback(tx *bolt.Tx) {
	if f := s.failed.Load(); f != nil && f.stuck {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.fail(failure{cause: s.damaged(p), reads: true, stuck: true})
		}
	}()
	_ = tx.Rollback() // its only error is that the transaction is closed
}
