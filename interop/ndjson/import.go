package ndjson

import (
	"context"
	"fmt"
	"io"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// Import takes users, groups and permissions over into an engine: all of the file or nothing. The error is an
// [interop.LineError] for what stands in the file, and wraps that of the context or of the reader otherwise. It may be
// [latchbolt.ErrIndeterminate], as with every change.
//
// The input is read twice, the first time for plain passwords, which are hashed before anything is stored. If in is an [io.Seeker] that can seek,
// it is read from where it stands; otherwise a copy of it is made in opts.TempDir, which only this user can read and which is
// removed at the end. It must not change meanwhile.
func Import(ctx context.Context, eng *latchbolt.Engine, in io.Reader, opts *ImportOptions) (interop.Report, error) {
	report, err := run(ctx, eng, in, opts)
	if err != nil {
		return interop.Report{}, fmt.Errorf("ndjson: importing: %w", err)
	}
	return report, nil
}

func run(ctx context.Context, eng *latchbolt.Engine, in io.Reader, opts *ImportOptions) (interop.Report, error) {
	im := &importing{eng: eng, opts: ImportOptions{}}
	if opts != nil {
		im.opts = *opts
	}
	var err error
	if im.src, err = newSource(ctx, in, im.opts.TempDir); err != nil {
		return interop.Report{}, err
	}
	defer im.src.close()
	if err := im.hashPasswords(ctx); err != nil {
		return interop.Report{}, err
	}
	return im.store(ctx)
}

// An importing is one call of Import.
type importing struct {
	eng    *latchbolt.Engine
	opts   ImportOptions
	src    *source
	hashes *intake.Hashes
	total  int // records
}

func (im *importing) progress(s interop.Stage, done, total int, read int64) {
	if im.opts.Progress != nil {
		im.opts.Progress(interop.Progress{Stage: s, Done: done, Total: total, Bytes: read, Size: im.src.size})
	}
}

// store loads the input into the file.
func (im *importing) store(ctx context.Context) (interop.Report, error) {
	var report interop.Report
	err := intake.Load(ctx, im.eng, "NDJSON", im.opts.DryRun, func(to intake.Target) error {
		s := &storing{importing: im, to: to, report: intake.NewReport()}
		if err := s.begin(); err != nil {
			return err
		}
		err := im.each(ctx, s.record)
		report = s.report
		return err
	})
	if err != nil {
		return interop.Report{}, err
	}
	return report, nil
}
