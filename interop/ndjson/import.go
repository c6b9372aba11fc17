package ndjson

import (
	"context"
	"errors"
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

// errDryRun undoes a dry run.
var errDryRun = errors.New("ndjson: dry run")

// store loads the input into the file.
func (im *importing) store(ctx context.Context) (interop.Report, error) {
	var report interop.Report
	err := im.eng.Load(ctx, latchbolt.LoadOptions{OnDuplicate: duplicate, Detail: "NDJSON"}, func(l *latchbolt.Loader) error {
		s := &storing{importing: im, to: l, report: intake.NewReport()}
		if err := s.begin(); err != nil {
			return err
		}
		if err := im.each(ctx, s.record); err != nil {
			return err
		}
		report = s.report
		if im.opts.DryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return interop.Report{}, err
	}
	return report, nil
}

// duplicate refuses a user who is there already, by the line.
func duplicate(d *latchbolt.DuplicateError) error {
	where := "stands on an earlier line already"
	if d.InFile {
		where = "is there already"
	}
	return &interop.LineError{Line: int(d.Line), Field: d.Field, Msg: intake.Quote(d.Value) + " " + where, Err: d}
}

// refused says which line the engine refused. Errors that are not about values pass through.
func refused(line int, err error) error {
	var many latchbolt.FieldErrors
	var one *latchbolt.FieldError
	switch {
	case errors.As(err, &many) && len(many) > 0:
		one = many[0]
	case errors.As(err, &one):
	case errors.Is(err, latchbolt.ErrConflict), errors.Is(err, latchbolt.ErrExists), errors.Is(err, latchbolt.ErrInvalid):
		return &interop.LineError{Line: line, Msg: err.Error(), Err: err}
	default:
		return err
	}
	name := one.Field
	if name == "app_label" {
		name = fieldApp.String()
	}
	return &interop.LineError{Line: line, Field: name, Msg: one.Msg, Err: err}
}
