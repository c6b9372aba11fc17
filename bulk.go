package latchbolt

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// LoadOptions say how [Engine.Load] goes about it. The zero LoadOptions are good for a load that is
// made whole or not at all.
type LoadOptions struct {
	// OnDuplicate is told of each user whose name, or address if addresses are to be unique, is
	// taken, after fn returned. If it returns nil the user is left out; its error is Load's, and then nothing is
	// changed. Nil makes the first duplicate fail the load.
	OnDuplicate func(*DuplicateError) error
	// Detail is what the audit entry of the load says besides the numbers.
	Detail string
}

// A DuplicateError says which user of a load has a name or an address that is taken.
// It is [ErrExists] and [ErrInvalid].
type DuplicateError struct {
	Line   int64  // [Loader.Line] when the user was inserted
	ID     UserID // that the user would have had
	Field  string // "username", "email" or "id"
	Value  string // what is taken
	InFile bool   // by a user that was there before the load, not by one of the load
}

func (e *DuplicateError) Error() string {
	where := "earlier in the load"
	if e.InFile {
		where = "in the file"
	}
	return fmt.Sprintf("latchbolt: record %d: %s %s is there already, %s", e.Line, e.Field, quote(e.Value), where)
}

// Is reports whether target is [ErrExists] or [ErrInvalid].
func (e *DuplicateError) Is(target error) bool { return target == ErrExists || target == ErrInvalid }

// A Loader takes in what [Engine.Load] loads. It is valid only inside the function it was given to,
// and only on one goroutine.
type Loader struct {
	// Line is the caller's number of the record that is inserted next, such as its line in the
	// input. It stands in a [DuplicateError]. As long as it is 0, users are counted from 1.
	Line int64

	tx *Tx
}

// Load is a first form of it.
func (e *Engine) Load(ctx context.Context, opts LoadOptions, fn func(*Loader) error) error {
	return e.Update(ctx, func(tx *Tx) error { return fn(&Loader{tx: tx}) })
}

// InsertUser adds a user; see [Tx.InsertUser].
func (l *Loader) InsertUser(u *User, h PasswordHash) error { return l.tx.InsertUser(u, h) }

// InsertBroughtUser adds a user of another system as it is there; see [Tx.InsertBroughtUser].
func (l *Loader) InsertBroughtUser(u *User, h PasswordHash) error {
	return l.tx.InsertBroughtUser(u, h)
}

// InsertGroup adds a group; see [Tx.InsertGroup].
func (l *Loader) InsertGroup(g *Group) error { return l.tx.InsertGroup(g) }

// InsertPermission adds a permission; see [Tx.InsertPermission].
func (l *Loader) InsertPermission(p *Permission) error { return l.tx.InsertPermission(p) }

// Define makes sure that permissions exist; see [Tx.Define].
func (l *Loader) Define(perms ...Permission) error { return l.tx.Define(perms...) }

// Grant gives a permission; see [Tx.Grant].
func (l *Loader) Grant(s Subject, p Perm, objects ...Object) error {
	return l.tx.Grant(s, p, objects...)
}

// GrantID is Grant for one permission of several that share a name.
func (l *Loader) GrantID(s Subject, p PermissionID, objects ...Object) error {
	return l.tx.GrantID(s, p, objects...)
}

// Record adds an entry of the program's own to the audit trail.
func (l *Loader) Record(a AuditEntry) error { return l.tx.Record(a) }

// Now returns the engine's time for this load.
func (l *Loader) Now() time.Time { return l.tx.now }

// Group returns a group, of before or of this load.
func (l *Loader) Group(id GroupID) (*Group, error) { return l.tx.Group(id) }

// GroupByName returns the group with exactly this name, of before or of this load.
func (l *Loader) GroupByName(name string) (*Group, error) { return l.tx.GroupByName(name) }

// Groups yields all groups by identifier, of before and of this load.
func (l *Loader) Groups() iter.Seq2[*Group, error] { return l.tx.Groups() }

// Permissions yields all permissions by identifier, of before and of this load.
func (l *Loader) Permissions() iter.Seq2[*Permission, error] { return l.tx.Permissions() }

// User returns a user that was there before the load.
func (l *Loader) User(id UserID) (*User, error) { return l.tx.User(id) }

// UserByName returns a user that was there before the load.
func (l *Loader) UserByName(name string) (*User, error) { return l.tx.UserByName(name) }
