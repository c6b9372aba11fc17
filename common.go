package latchbolt

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/commonpw"
)

// isCommon reports whether key, a password in lower case without outer white
// space, is on the built-in list.
func isCommon(key string) bool { return commonpw.Contains(key) }

// A BreachedFile is a [Validator] that refuses the passwords of a file, with the
// code "password_breached". The file has one line for each password, its SHA-1 in
// hexadecimal, optionally followed by a colon and anything else, and the lines are
// sorted by hash: the form in which Have I Been Pwned publishes breached
// passwords ("ordered by hash"). Nothing is read into memory and nothing leaves the
// machine; a look-up reads some forty blocks of 256 bytes at most.
//
// The password is compared as it was typed, with regard to case. SHA-1 serves as the
// name of a password here and protects nothing.
type BreachedFile struct {
	file *os.File
	size int64 // without line ends behind the last line
}

// breachedBlock is how many bytes are read at once: they hold the rest of a line
// and the hash on the next.
const breachedBlock = 256

// OpenBreachedFile opens the file called name, which must not change until
// [BreachedFile.Close]. Of its lines it reads the first and the last only, to see that
// it is a file of the right kind.
func OpenBreachedFile(name string) (*BreachedFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &BreachedFile{file: f}
	if err := b.check(); err != nil {
		f.Close()
		return nil, fmt.Errorf("latchbolt: breached passwords in %s: %w", quote(name), err)
	}
	return b, nil
}

// check sets size and looks at the first and the last line.
func (b *BreachedFile) check() error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	var buf [breachedBlock]byte
	tail := max(0, info.Size()-breachedBlock)
	n, err := b.file.ReadAt(buf[:], tail)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	rest := bytes.TrimRight(buf[:n], "\r\n")
	b.size = tail + int64(len(rest))
	first, _, err := b.lineAt(0)
	if err != nil {
		return errBreachedLine
	}
	last, _, err := b.lineAt(tail + int64(bytes.LastIndexByte(rest, '\n')) + 1)
	if err != nil {
		return errBreachedLine
	}
	if bytes.Compare(first[:], last[:]) > 0 {
		return errors.New("not sorted by hash")
	}
	return nil
}

// Close closes the file. The validator then refuses every password, with an error.
func (b *BreachedFile) Close() error { return b.file.Close() }

// Help implements [Validator].
func (b *BreachedFile) Help() string {
	return "Your password can’t be one that is known from a data breach."
}

// Validate implements [Validator]. An error in reading the file refuses the
// password; it is not a [*FieldError].
func (b *BreachedFile) Validate(password string, _ *User) error {
	found, err := b.contains(sha1.Sum([]byte(password)))
	if err != nil {
		return fmt.Errorf("latchbolt: breached passwords: %w", err)
	}
	if !found {
		return nil
	}
	return refuse("password_breached", "This password is known from a data breach.", nil)
}

// contains searches the file by halves. The hash is on a line that begins at
// from or later and before to, if anywhere; both are beginnings of lines or lie
// inside the line before.
func (b *BreachedFile) contains(want [sha1.Size]byte) (bool, error) {
	from, to := int64(0), b.size
	for from < to {
		mid := from + (to-from)/2
		hash, next, err := b.lineAt(mid)
		if errors.Is(err, io.EOF) {
			to = mid // no line begins at mid or later
			continue
		}
		if err != nil {
			return false, err
		}
		switch bytes.Compare(hash[:], want[:]) {
		case 0:
			return true, nil
		case -1:
			from = next
		default:
			to = mid
		}
	}
	return false, nil
}

var errBreachedLine = errors.New("not a line of the form HASH:COUNT")

// lineAt returns the hash on the first line that begins at offset at or later, and an
// offset behind the beginning of that line and not behind that of the next. The
// error is io.EOF if no line begins there.
func (b *BreachedFile) lineAt(at int64) (hash [sha1.Size]byte, next int64, err error) {
	from := max(0, at-1) // a line begins at at if the byte before ends one
	var buf [breachedBlock]byte
	n, err := b.file.ReadAt(buf[:min(breachedBlock, b.size-from)], from)
	if err != nil && !errors.Is(err, io.EOF) {
		return hash, 0, err
	}
	rest, start := buf[:n], from
	if at > 0 {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 && from+int64(n) >= b.size {
			return hash, 0, io.EOF
		}
		if i < 0 {
			return hash, 0, errBreachedLine
		}
		rest, start = rest[i+1:], from+int64(i)+1
	}
	const digits = 2 * sha1.Size
	if len(rest) < digits || len(rest) > digits && !strings.ContainsRune(":\r\n", rune(rest[digits])) {
		return hash, 0, errBreachedLine
	}
	if _, err := hex.Decode(hash[:], rest[:digits]); err != nil {
		return hash, 0, errBreachedLine
	}
	return hash, start + digits, nil
}
