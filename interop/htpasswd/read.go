package htpasswd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// An entry is what one line says.
type entry struct {
	line  int
	name  string
	hash  latchbolt.PasswordHash
	plain bool // the password was a plain one; its hash is made separately
	notes []string
	skip  string // the reason why it is left out
	pw    string // plain
}

// The reasons why an entry is left out or deserves a look, besides those that all importers have.
const (
	reasonDES     = "the password is hashed with DES (crypt), or is a plain one that looks like that, which nothing here verifies"
	reasonOther   = "the password hash is of a form that nothing here verifies"
	reasonDamaged = "the password hash is damaged or beyond all bounds"
	reasonLocked  = "the account is locked: its password begins with ! or *"
	reasonEmpty   = "the account has no password"
	reasonTwice   = "the name stands on an earlier line already, which counts"
	reasonFields  = "there is more behind the password, which was left out"
)

// read reads all entries.
func read(ctx context.Context, in io.Reader, opts *ImportOptions) ([]*entry, error) {
	limited := &limitedReader{in: in, left: cmp.Or(opts.MaxBytes, 64<<20)}
	lines := intake.NewLines(ctx, limited, cmp.Or(opts.MaxLine, 8<<10))
	seen := make(map[string]bool)
	var entries []*entry
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return entries, nil
		} else if err != nil {
			return nil, err
		}
		e, err := parse(line, lines, opts)
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		if seen[e.name] {
			e.skip = reasonTwice
		}
		seen[e.name] = true
		entries = append(entries, e)
	}
}

// ErrTooLarge means that a file is longer than ImportOptions.MaxBytes.
var ErrTooLarge = errors.New("htpasswd: the file is too long; raise ImportOptions.MaxBytes")

// A limitedReader ends with an error when too much was read.
type limitedReader struct {
	in   io.Reader
	left int64
}

func (r *limitedReader) Read(b []byte) (int, error) {
	if int64(len(b)) > r.left+1 {
		b = b[:r.left+1]
	}
	n, err := r.in.Read(b)
	if r.left -= int64(n); r.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// parse reads a line. It returns nil for a comment and for a line of white space.
func parse(line []byte, at *intake.Lines, opts *ImportOptions) (*entry, error) {
	line = bytes.Trim(line, " \t\v\f\r") // as Apache does
	if len(line) == 0 || line[0] == '#' {
		return nil, nil
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, at.Errorf("", "there is a NUL character")
	}
	if line[len(line)-1] == '\\' {
		return nil, at.Errorf("", "the line ends with a backslash, by which Apache joins it with the next one; write them as one line")
	}
	name, rest, ok := strings.Cut(string(line), ":")
	if !ok {
		return nil, at.Errorf("", "there is no colon; a line has to be a name, a colon and a password hash")
	}
	if name == "" {
		return nil, at.Errorf("username", "the name is empty")
	}
	e := &entry{line: at.Line(), name: name}
	encoded, _, more := strings.Cut(rest, ":")
	if more {
		e.notes = append(e.notes, reasonFields)
	}
	if !e.judge(encoded) && !opts.Plain {
		return nil, at.Errorf("password", "the password is a plain one, or hashed in a form that is not known; "+
			"set ImportOptions.Plain to take it for the password itself")
	}
	return e, nil
}

// judge says what becomes of a password. It returns false for one that is no hash, as far as can be seen.
func (e *entry) judge(encoded string) bool {
	switch {
	case encoded == "":
		e.skip = reasonEmpty
	case encoded[0] == '!' || encoded[0] == '*':
		e.skip = reasonLocked
	case desCrypt(encoded):
		e.skip = reasonDES
	case encoded[0] == '$' || ldapForm(encoded):
		e.hashed(encoded)
	default:
		e.plain, e.pw = true, encoded
		return false
	}
	return true
}

// hashed judges what has the form of a hash.
func (e *entry) hashed(encoded string) {
	hash, form, err := intake.JudgeHash(encoded)
	switch {
	case err != nil:
		e.skip = reasonDamaged
	case form == intake.Unknown:
		e.skip = reasonOther
	case form == intake.Legacy:
		e.notes = append(e.notes, intake.ReasonOldHash)
		fallthrough
	default:
		e.hash = hash
	}
}

// ldapForm reports whether a text begins with the name of an algorithm in braces.
func ldapForm(s string) bool {
	i := strings.IndexByte(s, '}')
	return s[0] == '{' && i > 1 && strings.Trim(s[1:i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// desCrypt reports whether a text has the form of DES crypt, or of BSDi's extension of it.
func desCrypt(s string) bool {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return len(s) == 13 && strings.Trim(s, alphabet) == "" || len(s) == 20 && s[0] == '_' && strings.Trim(s[1:], alphabet) == ""
}

// note begins a note about an entry.
func (e *entry) note(reason string) interop.Note {
	return interop.Note{Line: e.line, Type: interop.User, Name: e.name, Reason: reason}
}

// wrap says what was going on.
func wrap(err error) error { return fmt.Errorf("htpasswd: importing: %w", err) }
