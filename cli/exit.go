package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/latchbolt-go/latchbolt"
)

// Exit codes of every command.
const (
	ExitOK       = 0 // done, or the answer is yes
	ExitNo       = 1 // the answer is no: wrong password, permission denied
	ExitUsage    = 2 // the command line is wrong
	ExitNotFound = 3 // a user, group, permission, session or file does not exist
	ExitConflict = 4 // the input is not valid, or contradicts what is stored
	ExitLocked   = 5 // another program holds the file and does not let commands in
	ExitDamaged  = 6 // the file is damaged
	ExitFailed   = 7 // anything else
)

// An exitError is an error with its exit code and, perhaps, what to do about it.
type exitError struct {
	code int
	err  error
	hint string // a sentence, or empty
}

func (e *exitError) Error() string {
	if e.hint == "" {
		return e.err.Error()
	}
	return e.err.Error() + "\n" + e.hint
}

func (e *exitError) Unwrap() error { return e.err }

// errNo ends a command whose answer is no and was printed already.
var errNo = errors.New("no")

// usagef says what is wrong with the command line.
func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// invalidf says what is wrong with the input.
func invalidf(format string, args ...any) error {
	return &exitError{code: ExitConflict, err: fmt.Errorf(format, args...)}
}

// notFoundf says what does not exist.
func notFoundf(format string, args ...any) error {
	return &exitError{code: ExitNotFound, err: fmt.Errorf(format, args...)}
}

// withHint adds what to do about err, and keeps its exit code.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &exitError{code: ExitCode(err), err: err, hint: fmt.Sprintf(format, args...)}
}

// exitCodes are looked through in this order.
var exitCodes = []struct {
	err  error
	code int
}{
	{context.Canceled, ExitFailed},
	{context.DeadlineExceeded, ExitFailed},
	{latchbolt.ErrNewerFormat, ExitFailed},
	{latchbolt.ErrIndeterminate, ExitFailed},
	{latchbolt.ErrLocked, ExitLocked},
	{latchbolt.ErrCorrupt, ExitDamaged},
	{errNo, ExitNo},
	{latchbolt.ErrCredentials, ExitNo},
	{latchbolt.ErrNoSession, ExitNotFound},
	{latchbolt.ErrNotFound, ExitNotFound},
	{latchbolt.ErrToken, ExitNotFound},
	{fs.ErrNotExist, ExitNotFound},
	{latchbolt.ErrExists, ExitConflict},
	{latchbolt.ErrInvalid, ExitConflict},
	{latchbolt.ErrConflict, ExitConflict},
	{latchbolt.ErrLastSuperuser, ExitConflict},
	{fs.ErrExist, ExitConflict},
}

// ExitCode returns the exit code that belongs to an error that a command of this package returned: one of the
// Exit constants, [ExitOK] for nil. For an error of another command of the host program it returns [ExitFailed].
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	for _, known := range exitCodes {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return ExitFailed
}
