package djformat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// A scanner cuts a dump into its records and checks what can be checked without
// knowing the model: that the text is UTF-8 and JSON, that no record is too
// long and that none is nested too deeply. It holds one record at a time.
type scanner struct {
	in     *bufio.Reader
	limits Limits
	offset int64 // of the byte that readByte returns next
	state  scanState
	record int    // number of the present record
	start  int64  // where it begins
	raw    []byte // the present record; overwritten by the next one
}

// A scanState says what may come next.
type scanState int

const (
	atStart     scanState = iota
	inList                // after "[": a record or "]"
	afterRecord           // in a list: "," or "]"
	betweenLine           // one record a line: a record or the end
	atEnd                 // nothing
)

// next reads the next record into s.raw. It returns io.EOF after the last.
func (s *scanner) next() error {
	if s.state == atStart {
		if err := s.open(); err != nil {
			return err
		}
	}
	for {
		c, err := s.skipSpace()
		if err == io.EOF {
			return s.end()
		} else if err != nil {
			return err
		}
		switch {
		case s.state == atEnd && c == '[':
			return s.errorf(s.offset-1, "a second list begins; read the dumps one by one")
		case s.state == atEnd:
			return s.errorf(s.offset-1, "there is text after the closing bracket; remove it")
		case s.state == inList && c == ']' && s.record > 0:
			return s.errorf(s.offset-1, "a record is missing between the comma and the closing bracket; remove the comma")
		case c == ']' && s.state != betweenLine:
			s.state = atEnd
		case s.state == afterRecord && c == ',':
			s.state = inList
		case s.state == afterRecord:
			return s.errorf(s.offset-1, "a comma or the closing bracket is missing after the record")
		default:
			return s.readRecord(c)
		}
	}
}

// end returns io.EOF if the dump may end here.
func (s *scanner) end() error {
	if s.state == atEnd || s.state == betweenLine {
		return io.EOF
	}
	return s.errorf(s.offset, "the dump ends before its closing bracket, so it was cut short; make it again")
}

// open looks at the beginning of the dump, finds out its form and refuses
// those that are not JSON.
func (s *scanner) open() error {
	head, err := s.in.Peek(3)
	if err != nil && err != io.EOF {
		return s.ioError(err)
	}
	if msg := foreignForm(head); msg != "" {
		return s.errorf(0, "%s", msg)
	}
	c, err := s.skipSpace()
	switch {
	case err == io.EOF:
		return s.errorf(s.offset, "the dump is empty; make it with manage.py dumpdata contenttypes auth")
	case err != nil:
		return err
	case c == '[':
		s.state = inList
	case c == '{': // one object a line, as dumpdata --format jsonl writes
		s.state = betweenLine
		s.offset--
		return s.in.UnreadByte()
	case c == '<':
		return s.errorf(s.offset-1, "this looks like XML; make the dump with dumpdata --format json")
	case c == '"' || c >= '0' && c <= '9':
		return s.errorf(s.offset-1, "this is not a dump; a dump is a list of objects in brackets")
	default:
		return s.errorf(s.offset-1, "this is not JSON, perhaps YAML; make the dump with dumpdata --format json")
	}
	return nil
}

// foreignForm recognizes what cannot be JSON in UTF-8 by its first bytes and
// returns a message, or "".
func foreignForm(head []byte) string {
	for _, f := range []struct{ magic, msg string }{
		{"\xef\xbb\xbf", "the dump begins with a byte order mark; save it as UTF-8 without one"},
		{"\xff\xfe", "the dump is in UTF-16; save it as UTF-8"},
		{"\xfe\xff", "the dump is in UTF-16; save it as UTF-8"},
		{"\x00", "the dump is in UTF-16 or binary; save it as UTF-8"},
		{"[\x00", "the dump is in UTF-16; save it as UTF-8"},
		{"\x1f\x8b", "the dump is compressed with gzip; unpack it first"},
		{"BZh", "the dump is compressed with bzip2; unpack it first"},
		{"\xfd7z", "the dump is compressed with xz; unpack it first"},
		{"PK\x03", "the dump is a zip archive; unpack it first"},
		{"SQL", "this looks like a database, not like a dump; make one with manage.py dumpdata contenttypes auth"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.msg
		}
	}
	return ""
}

// readRecord reads the object whose first byte is c.
func (s *scanner) readRecord(c byte) error {
	s.record++
	s.start = s.offset - 1
	s.raw = append(s.raw[:0], c)
	if c != '{' {
		return s.errorf(s.start, "the record is not an object in braces; this is not a dump of Django")
	}
	if err := s.readObject(); err != nil {
		return err
	}
	if s.state == inList {
		s.state = afterRecord
	}
	if i := invalidUTF8(s.raw); i >= 0 {
		return s.errorf(s.start+int64(i), "the text is not UTF-8; convert the dump to UTF-8")
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(s.raw, new(skipJSON)); errors.As(err, &syntax) {
		return s.errorf(s.start+max(syntax.Offset-1, 0), "the record is not JSON: %v", syntax)
	} else if err != nil {
		return s.errorf(s.start, "the record is not JSON: %v", err)
	}
	return nil
}

// skipJSON takes any JSON value and keeps nothing.
type skipJSON struct{}

func (*skipJSON) UnmarshalJSON([]byte) error { return nil }

// readObject appends to s.raw up to the brace that closes the object.
func (s *scanner) readObject() error {
	inString, escaped := false, false
	for depth := 1; depth > 0; {
		c, err := s.readByte()
		if err == io.EOF {
			return s.errorf(s.offset, "the dump ends in the middle of a record, so it was cut short; make it again")
		} else if err != nil {
			return err
		}
		if len(s.raw) >= s.limits.RecordBytes {
			return s.errorf(s.start, "the record is longer than %d bytes (Limits.RecordBytes); "+
				"dump only contenttypes, auth and sessions, or raise the limit", s.limits.RecordBytes)
		}
		s.raw = append(s.raw, c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			if depth > s.limits.Depth {
				return s.errorf(s.offset-1, "lists and objects are nested more than %d deep (Limits.Depth); "+
					"dump only contenttypes, auth and sessions, or raise the limit", s.limits.Depth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// skipSpace returns the first byte that is not white space.
func (s *scanner) skipSpace() (byte, error) {
	for {
		c, err := s.readByte()
		if err != nil || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, err
		}
	}
}

// readByte returns the next byte, io.EOF, or an error of the underlying reader
// with the position added.
func (s *scanner) readByte() (byte, error) {
	c, err := s.in.ReadByte()
	if err == nil {
		s.offset++
		return c, nil
	}
	if err == io.EOF {
		return 0, err
	}
	return 0, s.ioError(err)
}

func (s *scanner) ioError(err error) error {
	return fmt.Errorf("djformat: reading the dump at byte %d: %w", s.offset, err)
}

func (s *scanner) errorf(offset int64, format string, args ...any) *SyntaxError {
	return &SyntaxError{Record: s.record, Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
