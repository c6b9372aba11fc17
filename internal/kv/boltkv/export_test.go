package boltkv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Waiting returns how many callers stand in the queue for the baton.
func Waiting(s *Store) int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// File returns the file that bbolt uses.
func File(s *Store) *os.File { return s.file }

// OpenBolt opens a file that was found good, and closes it.
func OpenBolt(f *os.File) error {
	db, err := openBolt(f, &bolt.Options{ReadOnly: true})
	if err == nil {
		err = db.Close()
	}
	return err
}

// Outcome is what a commit of transaction txid returns that failed with cause.
func Outcome(s *Store, cause error, txid uint64) error { return s.outcome(cause, txid) }

// TryLock takes the lock of a file if it is free.
func TryLock(f *os.File) (bool, error) { return tryLock(f, true) }

// Registered reports whether a file is open in this process, or waits for its lock.
func Registered(path string) bool {
	registry.Lock()
	defer registry.Unlock()
	for _, p := range registry.files {
		if p == path {
			return true
		}
	}
	return false
}

// Walks returns what is found in a file at a glance, and by the walk that it stands for: how many pages are in use, and whether
// all is well.
func Walks(file []byte) (glanced uint64, sound bool, walked uint64, defects []error) {
	r := bytes.NewReader(file)
	m, err := sniff(r, int64(len(file)))
	if err != nil {
		return 0, false, 0, []error{err}
	}
	glanced, sound = atAGlance(context.Background(), r, m)
	w := newWalker(context.Background(), r, m, false, func(err error) bool {
		defects = append(defects, err)
		return true
	})
	w.all()
	if w.err != nil {
		defects = append(defects, w.err)
	}
	return glanced, sound, w.count, defects
}

// Glances reports whether a file of so many bytes is found sound at a glance.
func Glances(r io.ReaderAt, size int64) bool {
	m, err := sniff(r, size)
	if err != nil {
		return false
	}
	_, sound := atAGlance(context.Background(), r, m)
	return sound
}

// FirstDefect is what Open finds wrong with a file of so many bytes that holds the list of its free pages.
func FirstDefect(r io.ReaderAt, size int64) error {
	m, err := sniff(r, size)
	if err != nil {
		return err
	}
	return firstDefect(context.Background(), r, m, false)
}

// SetMinHeld changes how many bytes are written before a View may be ended. No store may be open.
func SetMinHeld(n int64) (before int64) {
	before, minHeld = minHeld, n
	return before
}

// SetLeastMap changes how much of a file is mapped at least, however small it is. No store may be open.
func SetLeastMap(n int64) (before int64) {
	before, leastMap = leastMap, n
	return before
}

// GateWanted reports whether somebody has the gate for himself, or waits for that.
func GateWanted(s *Store) bool {
	if !s.gate.TryRLock() {
		return true
	}
	s.gate.RUnlock()
	return false
}

// Held returns how many Views there are that the store could end.
func Held(s *Store) int {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	return len(s.holds.of)
}

// Stick makes the handle one of which bbolt has kept its locks, as it does after some damage.
func Stick(s *Store) { s.fail(failure{cause: errors.New("stuck"), reads: true, stuck: true}) }

// Fail makes the handle one that was found to be damaged.
func Fail(s *Store, cause error) { s.fail(failure{cause: cause}) }
