package latchbolt

import (
	"context"
	"errors"
	"iter"
)

// VerifyFile checks a file that nobody has open.
func VerifyFile(ctx context.Context, path string) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) { yield(Finding{}, errors.New("latchbolt: verify: not yet")) }
}

// Snapshot writes a raw consistent copy of the file.
func (e *Engine) Snapshot(ctx context.Context, path string) error {
	return e.Backup(ctx, path, false)
}
