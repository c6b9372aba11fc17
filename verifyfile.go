package latchbolt

import (
	"context"
	"fmt"
	"iter"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// VerifyFile checks a file that nobody has open, as [Engine.Verify] does: first its structure, without the code that a
// damaged one could crash, and if that is sound the records. It yields what is wrong, at most 1000 findings, and nothing if
// all is well. The file is only read: no byte of it is changed, nor its times, nor anything beside it. It may
// belong to anybody, and path may be a symbolic link.
//
// The error is [ErrLocked] if a program has the file open, which can be asked for an [Engine.Snapshot]; [ErrCorrupt] if
// it is empty, cut short or no latchbolt file at all, so that there is nothing to look into; and [ErrNewerFormat] if
// a newer release wrote it.
//
// Reading a damaged file can still fail in ways that no program survives, such as on a broken disk; for a file of doubtful origin,
// run it in a process of its own.
func VerifyFile(ctx context.Context, path string) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		v := &verifier{}
		err := boltkv.Inspect(ctx, path, &boltkv.Options{Buckets: buckets, Check: checkFormat}, func(defect error) bool {
			v.found("file", "%v", defect)
			return len(v.findings) < maxFindings
		}, func(s *boltkv.Store) error {
			e, err := bareEngine(ctx, s)
			if err != nil {
				return err
			}
			v.findings, err = e.findings(ctx)
			return err
		})
		if err != nil {
			yield(Finding{}, fmt.Errorf("latchbolt: verifying %q: %w", path, fromStore(err)))
			return
		}
		for _, f := range v.findings {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Snapshot writes a consistent copy of the file to a new file at path, of mode 0600, while the engine is in use. Unlike [Engine.Backup]
// it does not look at what it copies, so that the copy of a damaged file is damaged likewise, and
// does not wait for the disk. It is there to be looked at, with [VerifyFile] in a process of its own, and not to be kept. The
// error wraps fs.ErrExist if there is something at path.
func (e *Engine) Snapshot(ctx context.Context, path string) error {
	s, ok := e.store.(kv.Snapshotter)
	if !ok {
		return fmt.Errorf("latchbolt: snapshot: the store is not a file")
	}
	if err := s.Snapshot(ctx, path); err != nil {
		return fmt.Errorf("latchbolt: snapshot to %q: %w", path, fromStore(err))
	}
	return nil
}
