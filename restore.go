package latchbolt

import (
	"context"
	"errors"
	"time"
)

// RestoreOptions say how [Restore] goes about it. Nil, and the zero RestoreOptions, mean the defaults.
type RestoreOptions struct {
	// KeepAs is the path under which a copy of the file that is replaced is kept; it must not exist.
	// Empty means beside the file, under its name with ".before-restore-" and the time behind it.
	KeepAs string
	// Discard replaces the file without keeping a copy.
	Discard bool
	// LockTimeout is how long to wait for another process to let go of the file. 0 means 1 s;
	// negative means not at all.
	LockTimeout time.Duration
}

// Restored says what [Restore] did.
type Restored struct {
	Kept   string    // where the file is that was there before; empty if there was none, or it was discarded
	Latest time.Time // the latest time that the backup knew of: what was changed since is lost
	Epoch  uint32    // of the restored file
}

// Restore puts a backup in place of a file.
func Restore(ctx context.Context, src, dst string, opts *RestoreOptions) (Restored, error) {
	return Restored{}, errors.New("latchbolt: restore: not yet")
}
