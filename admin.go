package latchbolt

import (
	"context"
	"fmt"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Stats tell what an engine holds and does. Counts of records are as of the
// call; the rest is since Open.
type Stats struct {
	FileSize  int64  // bytes of the file
	FreeBytes int64  // bytes in the file that later writes will use
	Commits   uint64 // durable writes to the file
	Writes    uint64 // changes made by them: more than Commits where several were made durable at once
	HashUnits int64  // work spent on passwords; one unit is one iteration of PBKDF2-HMAC-SHA256

	Format   int       // version of the file's format
	Created  time.Time // when the file was made
	Instance string    // tells this file from others; copies of a file share it

	CachedSessions int
	CachedUsers    int
	Denied         int // revocations in force in memory only, because they could not be written
}

// Stats returns what is known of the engine without reading through the file.
func (e *Engine) Stats() (Stats, error) {
	s := Stats{Format: int(e.meta.format), Created: e.meta.created,
		Instance: fmt.Sprintf("%x", e.meta.instance), HashUnits: e.hashes.units(), Denied: int(e.denied.n.Load())}
	e.cache.mu.Lock()
	s.CachedSessions, s.CachedUsers = e.cache.sessions.count, len(e.cache.users.index)
	e.cache.mu.Unlock()
	sizer, ok := e.store.(kv.Sizer)
	if !ok {
		return s, nil
	}
	size, err := sizer.Size()
	if err != nil {
		return s, fromStore(err)
	}
	s.FileSize, s.FreeBytes, s.Commits, s.Writes = size.File, size.Free, size.Commits, size.Callers
	return s, nil
}

// Backup writes a consistent copy of the file to a new file at path, while the engine is in use.
// The copy is verified, durable and of mode 0600 when Backup returns. An existing file is
// replaced only if replace is set.
//
// The copy is of one state, and the file grows while it is made by what others write. If path is so slow that the file would grow by more than a third, and
// more than 8 MiB, a newer state is put aside in a file beside the engine's, which needs room for it, and copied from there.
//
// A backup is put in place of a file by [Restore]; see docs/SECURITY.md on what comes back with it.
func (e *Engine) Backup(ctx context.Context, path string, replace bool) error {
	b, ok := e.store.(kv.Backuper)
	if !ok {
		return fmt.Errorf("latchbolt: backup: the store is not a file")
	}
	if err := b.Backup(ctx, path, replace); err != nil {
		return fmt.Errorf("latchbolt: backup to %q: %w", path, fromStore(err))
	}
	return nil
}

// Compact rewrites the file without the space that is free in it, and returns
// its size in bytes before and after. Other calls wait meanwhile. Deleted records remain in free
// space until it is used again or the file is compacted.
func (e *Engine) Compact(ctx context.Context) (before, after int64, err error) {
	c, ok := e.store.(kv.Compacter)
	if !ok {
		return 0, 0, fmt.Errorf("latchbolt: compact: the store is not a file")
	}
	before, after, err = c.Compact(ctx)
	if err != nil {
		return before, after, fmt.Errorf("latchbolt: compact: %w", fromStore(err))
	}
	return before, after, nil
}
