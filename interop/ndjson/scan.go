package ndjson

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// A scanner reads one JSON text. It takes less than encoding/json, which folds the case of names, keeps the last of two members
// of one name and replaces what is not UTF-8, and copies no string that has no escapes.
type scanner struct {
	s string // valid UTF-8
	i int    // what comes next
}

// A scanError says what is wrong with the text. It quotes nothing but names of members.
type scanError struct{ field, msg string }

func (e *scanError) Error() string { return e.msg }

func wrong(format string, args ...any) error { return &scanError{msg: fmt.Sprintf(format, args...)} }

// expected says what is missing where the scanner stands. Positions count bytes from 1.
func (p *scanner) expected(what string) error {
	if p.i >= len(p.s) {
		return wrong("the line ends where %s should be; one object has to stand on one line", what)
	}
	return wrong("%s should be at byte %d", what, p.i+1)
}

// peek returns the first byte that is not white space, or 0 at the end.
func (p *scanner) peek() byte {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return c
		}
	}
	return 0
}

// accept passes over c if it comes next.
func (p *scanner) accept(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.i++
	return true
}

// word passes over a literal if it comes next.
func (p *scanner) word(w string) bool {
	p.peek()
	if !strings.HasPrefix(p.s[p.i:], w) {
		return false
	}
	p.i += len(w)
	return true
}

// end makes sure that nothing comes any more.
func (p *scanner) end() error {
	if p.peek() != 0 || p.i < len(p.s) {
		return wrong("there is text behind the object, from byte %d", p.i+1)
	}
	return nil
}

// object calls member with each name. It has to pass over the value.
func (p *scanner) object(member func(name string) error) error {
	if !p.accept('{') {
		return p.expected("an object in braces")
	}
	if p.accept('}') {
		return nil
	}
	for {
		if p.peek() != '"' {
			return p.expected("the name of a member in quotation marks")
		}
		name, err := p.text()
		if err != nil {
			return err
		}
		if !p.accept(':') {
			return p.expected("a colon")
		}
		if err := member(name); err != nil {
			return within(err, name)
		}
		if p.accept('}') {
			return nil
		}
		if !p.accept(',') {
			return p.expected("a comma or the closing brace")
		}
	}
}

// within puts the name of a member to an error, if there is none yet.
func within(err error, name string) error {
	if e, ok := err.(*scanError); ok && e.field == "" {
		return &scanError{field: clean(name), msg: e.msg}
	}
	return err
}

// clean returns a name of a member as it may stand in an error.
func clean(name string) string {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c == '_') || i > 40 {
			return intake.Quote(name)
		}
	}
	return name
}

// array calls element for each element. It has to pass over it.
func (p *scanner) array(element func() error) error {
	if !p.accept('[') {
		return p.expected("a list in brackets")
	}
	if p.accept(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if p.accept(']') {
			return nil
		}
		if !p.accept(',') {
			return p.expected("a comma or the closing bracket")
		}
	}
}

// null passes over null if it comes next.
func (p *scanner) null() bool { return p.word("null") }

// boolean reads true or false.
func (p *scanner) boolean() (bool, error) {
	switch {
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	}
	return false, p.expected("true or false")
}

// identifier reads a whole number from 1 to 2^63-1.
func (p *scanner) identifier() (uint64, error) {
	p.peek()
	from := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	digits := p.s[from:p.i]
	if digits == "" {
		return 0, p.expected("a whole number")
	}
	if p.i < len(p.s) && strings.IndexByte(".eE", p.s[p.i]) >= 0 {
		return 0, wrong("the number is not a whole one in plain digits")
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n == 0 || digits[0] == '0' {
		return 0, wrong("the number is not within 1 to 9223372036854775807")
	}
	return uint64(n), nil
}

// text reads a string. Without escapes it is a part of the line.
func (p *scanner) text() (string, error) {
	if !p.accept('"') {
		return "", p.expected("a text in quotation marks")
	}
	from := p.i
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return p.s[from : p.i-1], nil
		case c == '\\':
			return p.escaped(p.s[from:p.i])
		case c < ' ':
			return "", wrong("there is a control character in a text, at byte %d", p.i+1)
		}
	}
	return "", wrong("the line ends in the middle of a text; one object has to stand on one line")
}

// escaped reads the rest of a string, from the first escape on.
func (p *scanner) escaped(head string) (string, error) {
	b := append(make([]byte, 0, len(head)+32), head...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return string(b), nil
		case c < ' ':
			return "", wrong("there is a control character in a text, at byte %d", p.i)
		case c != '\\':
			b = append(b, c)
			continue
		}
		if p.i == len(p.s) {
			break
		}
		c = p.s[p.i]
		p.i++
		if c == 'u' {
			r, err := p.codePoint()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		k := strings.IndexByte(`"\/bfnrt`, c)
		if k < 0 {
			return "", wrong("there is an unknown escape in a text, at byte %d", p.i-1)
		}
		b = append(b, "\"\\/\b\f\n\r\t"[k])
	}
	return "", wrong("the line ends in the middle of a text; one object has to stand on one line")
}

// codePoint reads what follows \u, and a second half if that is a first one.
func (p *scanner) codePoint() (rune, error) {
	at := p.i - 1
	r, ok := p.hex4()
	if ok && utf16.IsSurrogate(r) {
		if !strings.HasPrefix(p.s[p.i:], `\u`) {
			return 0, wrong("there is half of a surrogate pair in a text, at byte %d", at)
		}
		p.i += 2
		var low rune
		low, ok = p.hex4()
		if r = utf16.DecodeRune(r, low); ok && r == utf8.RuneError {
			return 0, wrong("there is half of a surrogate pair in a text, at byte %d", at)
		}
	}
	if !ok {
		return 0, wrong("four hexadecimal digits should follow \\u, at byte %d", at)
	}
	return r, nil
}

func (p *scanner) hex4() (r rune, ok bool) {
	if len(p.s)-p.i < 4 {
		return 0, false
	}
	for _, c := range []byte(p.s[p.i : p.i+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r, true
}

// maxDepth is how deep values may be nested that are passed over.
const maxDepth = 16

// skip passes over a value of any kind.
func (p *scanner) skip(depth int) error {
	if depth > maxDepth {
		return wrong("lists and objects are nested more than %d deep", maxDepth)
	}
	var err error
	switch c := p.peek(); {
	case c == '{':
		return p.object(func(string) error { return p.skip(depth + 1) })
	case c == '[':
		return p.array(func() error { return p.skip(depth + 1) })
	case c == '"':
		_, err = p.text()
	case c == '-' || c >= '0' && c <= '9':
		return p.skipNumber()
	case p.null():
	default:
		_, err = p.boolean()
	}
	return err
}

// skipNumber passes over a number as RFC 8259 has them.
func (p *scanner) skipNumber() error {
	p.accept('-')
	whole := p.digits()
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return wrong("there is no number at byte %d", p.i+1)
	}
	if strings.HasPrefix(p.s[p.i:], ".") {
		if p.i++; p.digits() == "" {
			return p.expected("a digit")
		}
	}
	if p.i < len(p.s) && p.s[p.i]|0x20 == 'e' {
		if p.i++; p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if p.digits() == "" {
			return p.expected("a digit")
		}
	}
	return nil
}

func (p *scanner) digits() string {
	from := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	return p.s[from:p.i]
}
