// Package intake has what readers of users, one a line, have in common: cutting
// the input into lines, hashing plain passwords, and judging what is taken over as it is.
package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/interop"
)

// MaxLine is the default of how long a line may be, in bytes: that of a user with some hundred thousand grants for single objects.
const MaxLine = 16 << 20

// minLine is the least buffer that a reader has.
const minLine = 64 << 10

// Lines cuts its input into lines, which end with LF or CR LF. A byte order mark before the first is dropped, blank lines are passed over.
type Lines struct {
	in   *bufio.Reader
	max  int
	line int
	read int64
}

// NewLines reads from in until the context is done. Lines may have max bytes, 0 means [MaxLine].
func NewLines(ctx context.Context, in io.Reader, max int) *Lines {
	if max <= 0 {
		max = MaxLine
	}
	return &Lines{in: bufio.NewReaderSize(WithContext(ctx, in), minLine), max: max}
}

// WithContext returns a reader that fails when the context is done.
func WithContext(ctx context.Context, in io.Reader) io.Reader { return &contextReader{ctx, in} }

type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(b)
}

// Line is the number of the line that Next returned last, counted from 1.
func (l *Lines) Line() int { return l.line }

// Read is how many bytes went by.
func (l *Lines) Read() int64 { return l.read }

// Errorf says what is wrong with the present line.
func (l *Lines) Errorf(field, format string, args ...any) error {
	return &interop.LineError{Line: l.line, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Next returns the next line that is not blank, without its end, in UTF-8. It is overwritten by the next call. At the end it returns io.EOF.
func (l *Lines) Next() ([]byte, error) {
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(line) {
			return nil, l.Errorf("", "the text is not UTF-8; convert the file to UTF-8")
		}
		if len(bytes.Trim(line, " \t")) > 0 {
			return line, nil
		}
	}
}

func (l *Lines) next() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.long(line)
	}
	l.read += int64(len(line))
	if err != nil && (err != io.EOF || len(line) == 0) {
		if err != io.EOF {
			err = fmt.Errorf("reading behind line %d: %w", l.line, err)
		}
		return nil, err
	}
	if l.line++; l.line == 1 {
		if msg := foreignForm(line); msg != "" {
			return nil, l.Errorf("", "%s", msg)
		}
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > l.max {
		return nil, l.Errorf("", "the line is longer than %d bytes", l.max)
	}
	return line, nil
}

// long reads the rest of a line that is longer than the buffer, as far as it may be.
func (l *Lines) long(head []byte) ([]byte, error) {
	line := bytes.Clone(head)
	for {
		more, err := l.in.ReadSlice('\n')
		line = append(line, more...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > l.max {
			l.line++
			return nil, l.Errorf("", "the line is longer than %d bytes", l.max)
		}
	}
}

// foreignForm recognizes by its first bytes what is not text in UTF-8, and returns a message, or "".
func foreignForm(head []byte) string {
	for _, f := range []struct{ magic, msg string }{
		{"\xff\xfe", "the file is in UTF-16; save it as UTF-8"},
		{"\xfe\xff", "the file is in UTF-16; save it as UTF-8"},
		{"\x1f\x8b", "the file is compressed with gzip; unpack it first"},
		{"PK\x03\x04", "the file is a zip archive; unpack it first"},
		{"\x28\xb5\x2f\xfd", "the file is compressed with zstd; unpack it first"},
	} {
		if strings.HasPrefix(string(head), f.magic) {
			return f.msg
		}
	}
	return ""
}

// Size returns how many bytes a reader has from where it stands, or 0 if it does not know.
func Size(in io.Seeker) int64 {
	at, err := in.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	end, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return 0
	}
	if _, err := in.Seek(at, io.SeekStart); err != nil {
		return 0
	}
	return max(end-at, 0)
}
