package djformat

import (
	"errors"
	"fmt"
	"strings"
)

// A SyntaxError means that a dump cannot be read. The record is not usable,
// nor is anything after it.
type SyntaxError struct {
	Record int    // number of the record, counted from 1 and with skipped ones; between records, of the one before
	Offset int64  // byte of the dump, counted from 0, at which the trouble begins
	Model  string // model of the record, in lower case; "" if not known
	Field  string // field of the record, or "pk" or "model"; "" if none in particular
	Msg    string // what is wrong and what to do about it
}

// Error returns the position and the message.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	b.WriteString("djformat: ")
	if e.Record > 0 {
		fmt.Fprintf(&b, "record %d", e.Record)
		if e.Model != "" {
			fmt.Fprintf(&b, " (%s)", printable(e.Model))
		}
		b.WriteString(", ")
	}
	fmt.Fprintf(&b, "byte %d: ", e.Offset)
	if e.Field != "" {
		fmt.Fprintf(&b, "field %s ", printable(e.Field))
	}
	return b.String() + e.Msg
}

// printable returns a name from a dump in a form that can stand in a message: as
// it is if it is an ordinary name, otherwise quoted and cut.
func printable(name string) string {
	for i, c := range name {
		ordinary := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.'
		if !ordinary || i >= 60 {
			return fmt.Sprintf("%.60q", name)
		}
	}
	return name
}

// Errors of signed values and sessions. They are compared with errors.Is.
var (
	// ErrSignature means that a value was signed with none of the keys, for
	// another salt, or was changed afterwards. Django answers it with an empty
	// session and a line in its security log.
	ErrSignature = errors.New("djformat: signature does not match under any key")
	// ErrPayload means that a value is signed with one of the keys but that its
	// content is not what it should be.
	ErrPayload = errors.New("djformat: signed content cannot be read")
	// ErrTooLarge means that a value is larger than [MaxPayload], if need be
	// after unpacking it.
	ErrTooLarge = errors.New("djformat: signed content is too large")
	// ErrNoKey means that SECRET_KEY or one of the fallbacks is empty. Anybody
	// could sign with an empty key.
	ErrNoKey = errors.New("djformat: secret key is empty")
)
