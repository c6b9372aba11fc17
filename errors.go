package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Errors that callers are expected to tell apart, with errors.Is. None of them,
// nor any error that wraps them, contains a password, a token or a hash.
var (
	// ErrCredentials means that the credentials were not accepted. It is the
	// one answer to every failed login: a missing user, a wrong password, an
	// inactive user and an account without a password are not told apart.
	ErrCredentials = errors.New("latchbolt: wrong credentials")
	// ErrThrottled means that too many attempts failed and that the caller has
	// to wait; see [ThrottleError] for how long. An error that is ErrThrottled is
	// also ErrCredentials.
	ErrThrottled = errors.New("latchbolt: too many failed attempts")
	// ErrBusy means that every hashing slot is taken and the queue for them is
	// full. Nothing was tried; the caller may try again.
	ErrBusy = errors.New("latchbolt: too many password checks at once")
	// ErrNoSession means that the token belongs to no living session: it is
	// unknown, ended, expired, or its user may no longer use it.
	ErrNoSession = errors.New("latchbolt: no such session")
	// ErrToken means that a one-time token is unknown, used, expired, or void
	// because the account changed since it was issued.
	ErrToken = errors.New("latchbolt: token is not valid")
	// ErrNotFound means that there is no such user, group, permission or key.
	ErrNotFound = errors.New("latchbolt: not found")
	// ErrExists means that a name or identifier is taken.
	ErrExists = errors.New("latchbolt: already exists")
	// ErrInvalid means that a value was refused; see [FieldError].
	ErrInvalid = errors.New("latchbolt: invalid value")
	// ErrConflict means that the change contradicts the present state.
	ErrConflict = errors.New("latchbolt: conflict")
	// ErrLastSuperuser means that the change would leave the file without an
	// active superuser.
	ErrLastSuperuser = errors.New("latchbolt: the last active superuser cannot be deleted, deactivated or demoted")

	// ErrForbidden means that an [Administrator] may not do it; see [ForbiddenError].
	ErrForbidden = errors.New("latchbolt: forbidden")

	// ErrSkip is what a [Backend] returns for credentials that are not its
	// kind. The next backend is asked.
	ErrSkip = errors.New("latchbolt: credentials not for this backend")
	// ErrDenied is what a [Backend] returns to refuse for good: no further
	// backend is asked. It is Django's PermissionDenied.
	ErrDenied = errors.New("latchbolt: denied")

	// ErrLocked means that another process, or another Engine of this one, has
	// the file open.
	ErrLocked = errors.New("latchbolt: file is in use")
	// ErrCorrupt means that the file is damaged, or is not a latchbolt file.
	ErrCorrupt = errors.New("latchbolt: file is damaged")
	// ErrNewerFormat means that the file was written by a newer release. It
	// was not touched.
	ErrNewerFormat = errors.New("latchbolt: file has a newer format")
	// ErrIndeterminate means that a change may or may not have been made,
	// because the system failed while it was written. The engine refuses further
	// work until it is closed and the file opened again, which settles it.
	ErrIndeterminate = errors.New("latchbolt: it is not known whether the change was made")
	// ErrReplaced means that the path no longer leads to the open file.
	ErrReplaced = errors.New("latchbolt: file was replaced while open")
	// ErrFull means that there was no room for the change, which was not made.
	ErrFull = errors.New("latchbolt: no space left for the change")
	// ErrInsecure means that the file is not a plain file of this user.
	ErrInsecure = errors.New("latchbolt: file is not safe to use")
	// ErrReadOnly means that the file can only be read.
	ErrReadOnly = errors.New("latchbolt: read-only")
	// ErrClosed means that the engine, or the transaction, is closed.
	ErrClosed = errors.New("latchbolt: closed")
	// ErrNested means that a method of Engine which writes was called from inside
	// a function given to Update or View. Use the transaction's method instead.
	ErrNested = errors.New("latchbolt: called from inside a transaction")
	// ErrViewTooOld means that so much was written while a [Engine.View] was going on that the file would have become too large,
	// which keeps the state of the View beside the present one. What the View read before is right, and of one state; nothing more can be read
	// in it. Read again, in shorter Views, or put aside first what somebody who is slow is to get.
	ErrViewTooOld = errors.New("latchbolt: the view was held for too long while others wrote; read again, in shorter views")
	// ErrUnsupported means that the configured session store cannot do it.
	ErrUnsupported = errors.New("latchbolt: not supported by the session store")
)

// A FieldError says which value was refused and why. errors.Is(err, ErrInvalid)
// holds for it.
type FieldError struct {
	// Field is the name of the field, as Django spells it: "username", "email",
	// "password" and so on.
	Field string
	// Code is Django's code for the reason, such as "password_too_short",
	// "unique", "invalid", "max_length", "blank".
	Code string
	// Msg is a sentence in English for the person who typed the value. It
	// does not repeat the value if that is a password.
	Msg string
	// Params holds the numbers and names in Msg, for translations. May be nil.
	Params map[string]any
}

func (e *FieldError) Error() string { return "latchbolt: " + e.Field + ": " + e.Msg }

// Is reports whether target is [ErrInvalid], or [ErrExists] for the code "unique".
func (e *FieldError) Is(target error) bool {
	return target == ErrInvalid || target == ErrExists && e.Code == "unique"
}

// FieldErrors are all the reasons why input was refused, in the order in which
// they were found. errors.Is and errors.As look at each.
type FieldErrors []*FieldError

func (e FieldErrors) Error() string {
	msgs := make([]string, len(e))
	for i, fe := range e {
		msgs[i] = fe.Field + ": " + fe.Msg
	}
	return "latchbolt: " + strings.Join(msgs, "; ")
}

// Unwrap returns the single errors.
func (e FieldErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, fe := range e {
		errs[i] = fe
	}
	return errs
}

// A ThrottleError says how long to wait before the next attempt is looked at.
// It is [ErrThrottled] and [ErrCredentials].
type ThrottleError struct {
	Wait time.Duration // how long from now; always positive
}

func (e *ThrottleError) Error() string {
	return fmt.Sprintf("latchbolt: too many failed attempts; try again in %v", (e.Wait + time.Second - 1).Truncate(time.Second))
}

// Is reports whether target is [ErrThrottled] or [ErrCredentials].
func (e *ThrottleError) Is(target error) bool {
	return target == ErrThrottled || target == ErrCredentials
}

// storeErrors maps what the storage seam says to what the package promises.
// The order matters where one wraps another.
var storeErrors = []struct{ from, to error }{
	{kv.ErrUnknown, ErrIndeterminate},
	{kv.ErrFailed, ErrIndeterminate},
	{kv.ErrCorrupt, ErrCorrupt},
	{kv.ErrLocked, ErrLocked},
	{kv.ErrInsecure, ErrInsecure},
	{kv.ErrReplaced, ErrReplaced},
	{kv.ErrFull, ErrFull},
	{kv.ErrReadOnly, ErrReadOnly},
	{kv.ErrClosed, ErrClosed},
	{kv.ErrNested, ErrNested},
	{kv.ErrTooLarge, ErrInvalid},
	{kv.ErrTooOld, ErrViewTooOld},
}

// fromStore translates an error of the storage seam. Errors of this package,
// of the context and nil pass through unchanged.
func fromStore(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, m := range storeErrors {
		if errors.Is(err, m.from) && !errors.Is(err, m.to) {
			return fmt.Errorf("%w: %w", m.to, err)
		}
	}
	return err
}

// notFound and exists name what is missing or taken. Names are quoted, so that
// no input can forge a line of a log.
func notFound(kind string, what any) error {
	return fmt.Errorf("%w: %s %s", ErrNotFound, kind, quote(what))
}

func exists(kind string, what any) error {
	return fmt.Errorf("%w: %s %s", ErrExists, kind, quote(what))
}

func corrupt(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
}

func quote(what any) string {
	s, ok := what.(string)
	if !ok {
		return fmt.Sprint(what)
	}
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return fmt.Sprintf("%q", s)
}
