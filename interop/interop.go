// Package interop has what the packages below it share that read and write users one a line:
// [github.com/latchbolt-go/latchbolt/interop/ndjson] and [github.com/latchbolt-go/latchbolt/interop/htpasswd].
//
// Both give a [Report] of what they did, call back with a [Progress], and name the line of whatever they refuse in a [LineError].
package interop

import (
	"fmt"

	"github.com/latchbolt-go/latchbolt"
)

// A Report says what was taken over or written. It can be encoded as JSON; then it has the keys that the command line shows.
type Report struct {
	// How many records were stored or written. Groups also counts those that no line defines and that were made because a user is in
	// them, which NewGroups counts alone.
	Users       int `json:"users"`
	Groups      int `json:"groups"`
	NewGroups   int `json:"new_groups"`
	Permissions int `json:"permissions"`
	// Hashed is how many plain passwords were hashed, or would have been in a dry run.
	Hashed int `json:"hashed"`

	// Skipped are records, or parts of records, that were left out, and Warnings those that were taken over in another form
	// or deserve a look. At most 1000 of each are listed.
	Skipped  []Note `json:"skipped"`
	Warnings []Note `json:"warnings"`
	// Reasons counts all of both by reason.
	Reasons map[string]int `json:"reasons"`
}

// A Type is a kind of record.
type Type string

// The kinds of records.
const (
	User       Type = "user"
	Group      Type = "group"
	Permission Type = "permission"
)

// A Note is about one record.
type Note struct {
	Line   int    `json:"line,omitempty"` // number of the line, counted from 1; 0 at an export
	Type   Type   `json:"type"`
	Name   string `json:"name"` // of the user, group or permission
	Reason string `json:"reason"`
}

// String returns the note on one line. The name is quoted.
func (n Note) String() string {
	if n.Line == 0 {
		return fmt.Sprintf("%s %q: %s", n.Type, n.Name, n.Reason)
	}
	return fmt.Sprintf("line %d, %s %q: %s", n.Line, n.Type, n.Name, n.Reason)
}

// A Stage is what an import or export is doing.
type Stage string

// The stages. Plain passwords are hashed first, so that nothing waits for them while a transaction is open.
const (
	Hashing Stage = "hashing"
	Storing Stage = "storing"
	Writing Stage = "writing"
)

// Progress tells how far an import or export is. A stage may begin anew, so numbers may go back.
type Progress struct {
	Stage Stage
	Done  int   // records; passwords while hashing
	Total int   // records in all, as far as known; 0 otherwise
	Bytes int64 // read or written in this stage
	Size  int64 // bytes in all, as far as known; 0 otherwise
}

// A LineError says which line cannot be taken over and why. errors.Is and errors.As look at Err too; without one it is
// [latchbolt.ErrInvalid]. Neither a password nor a hash is ever quoted.
type LineError struct {
	Line  int    // counted from 1
	Field string // what the trouble is with; "" for the line as a whole
	Msg   string
	Err   error // what the engine said; may be nil
}

// Error returns line, field and reason.
func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Msg)
}

// Unwrap returns what the engine said, or [latchbolt.ErrInvalid].
func (e *LineError) Unwrap() error {
	if e.Err == nil {
		return latchbolt.ErrInvalid
	}
	return e.Err
}
