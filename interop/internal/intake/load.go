package intake

import (
	"context"
	"errors"
	"iter"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
)

// A Target takes in records: it is a [latchbolt.Loader], or a transaction in its place.
type Target interface {
	// At names the line of the user who is inserted next.
	At(line int)
	InsertBroughtUser(*latchbolt.User, latchbolt.PasswordHash) error
	InsertGroup(*latchbolt.Group) error
	InsertPermission(*latchbolt.Permission) error
	GrantID(latchbolt.Subject, latchbolt.PermissionID, ...latchbolt.Object) error
	// Groups and Permissions yield those of before and of this load, UserByName returns only users of before.
	Groups() iter.Seq2[*latchbolt.Group, error]
	Permissions() iter.Seq2[*latchbolt.Permission, error]
	UserByName(name string) (*latchbolt.User, error)
}

// Load loads what fn inserts into a file: all of it or, in a dry run, nothing. The detail stands in the audit trail. Where the
// file cannot be loaded in bulk, it is done in one transaction, which is slower and takes memory. fn may be called again.
func Load(ctx context.Context, eng *latchbolt.Engine, detail string, dry bool, fn func(Target) error) error {
	err := eng.Load(ctx, latchbolt.LoadOptions{OnDuplicate: duplicate, Detail: detail, DryRun: dry}, func(l *latchbolt.Loader) error {
		return fn(loader{l})
	})
	var line *interop.LineError
	var dup *latchbolt.DuplicateError
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return update(ctx, eng, detail, dry, fn)
	case !errors.As(err, &line) && errors.As(err, &dup): // of an identifier, which OnDuplicate is not asked about
		return duplicate(dup)
	}
	return err
}

type loader struct{ *latchbolt.Loader }

func (l loader) At(line int) { l.Line = int64(line) }

// errDryRun undoes a dry run.
var errDryRun = errors.New("intake: dry run")

// update is Load in one transaction.
func update(ctx context.Context, eng *latchbolt.Engine, detail string, dry bool, fn func(Target) error) error {
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		if err := fn(&transaction{Tx: tx, mine: make(map[latchbolt.UserID]bool)}); err != nil {
			return err
		}
		if dry {
			return errDryRun
		}
		return tx.Record(latchbolt.AuditEntry{Action: latchbolt.ActionLoad, Detail: detail})
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

// A transaction behaves like a loader.
type transaction struct {
	*latchbolt.Tx
	line int
	mine map[latchbolt.UserID]bool
}

func (t *transaction) At(line int) { t.line = line }

func (t *transaction) InsertBroughtUser(u *latchbolt.User, h latchbolt.PasswordHash) error {
	err := t.Tx.InsertBroughtUser(u, h)
	var field *latchbolt.FieldError
	switch {
	case err == nil:
		t.mine[u.ID] = true
		return nil
	case !errors.As(err, &field) || field.Code != "unique":
		return err
	}
	d := &latchbolt.DuplicateError{Line: int64(t.line), Field: field.Field, Value: u.Username}
	if field.Field == "email" {
		d.Value = u.Email
	}
	_, lookErr := t.UserByName(u.Username)
	d.InFile = lookErr == nil
	return d
}

func (t *transaction) UserByName(name string) (*latchbolt.User, error) {
	u, err := t.Tx.UserByName(name)
	if err == nil && t.mine[u.ID] {
		return nil, latchbolt.ErrNotFound
	}
	return u, err
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
func Exists(to Target, name string) (bool, error) {
	_, err := to.UserByName(name)
	if errors.Is(err, latchbolt.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
