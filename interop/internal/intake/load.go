package intake

import (
	"context"
	"errors"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
)

// errDryRun undoes a dry run.
var errDryRun = errors.New("intake: dry run")

// Load loads what fn inserts into a file: all of it or, in a dry run, nothing. The detail stands in the audit trail.
func Load(ctx context.Context, eng *latchbolt.Engine, detail string, dry bool, fn func(*latchbolt.Loader) error) error {
	err := eng.Load(ctx, latchbolt.LoadOptions{OnDuplicate: duplicate, Detail: detail}, func(l *latchbolt.Loader) error {
		if err := fn(l); err != nil {
			return err
		}
		if dry {
			return errDryRun
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

// duplicate refuses a user who is there already, by the line.
func duplicate(d *latchbolt.DuplicateError) error {
	where := "stands on an earlier line already"
	if d.InFile {
		where = "is there already"
	}
	return &interop.LineError{Line: int(d.Line), Field: d.Field, Msg: Quote(d.Value) + " " + where, Err: d}
}

// Refused says which line the engine refused. Errors that are not about values pass through. The fields of a user have the engine's names.
func Refused(line int, err error) error {
	var dup *latchbolt.DuplicateError
	var many latchbolt.FieldErrors
	var one *latchbolt.FieldError
	switch {
	case errors.As(err, &dup):
		return duplicate(dup)
	case errors.As(err, &many) && len(many) > 0:
		one = many[0]
	case errors.As(err, &one):
	case errors.Is(err, latchbolt.ErrConflict), errors.Is(err, latchbolt.ErrExists), errors.Is(err, latchbolt.ErrInvalid):
		return &interop.LineError{Line: line, Msg: err.Error(), Err: err}
	default:
		return err
	}
	return &interop.LineError{Line: line, Field: one.Field, Msg: one.Msg, Err: err}
}

// Exists reports whether a user of that name was there before the load.
func Exists(l *latchbolt.Loader, name string) (bool, error) {
	_, err := l.UserByName(name)
	if errors.Is(err, latchbolt.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
