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
