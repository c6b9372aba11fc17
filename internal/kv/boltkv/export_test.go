package boltkv

import "os"

// Waiting returns how many callers stand in the queue for the baton.
func Waiting(s *Store) int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// File returns the file that bbolt uses.
func File(s *Store) *os.File { return s.file }

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
