package djformat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// A decoder turns the JSON of one record into Go values. The first thing that is
// wrong is kept in err; whatever the methods return after it is meaningless.
type decoder struct {
	scan     *scanner // for the position
	limits   *Limits
	model    string
	pk       value // zero if absent
	fields   map[string]value
	fieldsAt int64 // offset of fields
	err      error
}

// A value is one JSON value, known to be valid, and where it stands.
type value struct {
	raw    []byte
	offset int64
	field  string // for messages
}

func (v value) named(field string) value {
	v.field = field
	return v
}

// The kinds of JSON values, as messages name them.
const (
	kindText    = "a text"
	kindNumber  = "a number"
	kindInteger = "an integer"
	kindBool    = "true or false"
	kindNull    = "null"
	kindList    = "a list"
	kindObject  = "an object"
)

func (v value) kind() string {
	switch v.raw[0] {
	case '"':
		return kindText
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	case '[':
		return kindList
	case '{':
		return kindObject
	}
	return kindNumber
}

// fail keeps the first error and returns it.
func (d *decoder) fail(offset int64, field, msg string) error {
	if d.err == nil {
		d.err = &SyntaxError{Record: d.scan.record, Offset: offset, Model: d.model, Field: field, Msg: msg}
	}
	return d.err
}

func (d *decoder) wrongKind(v value, want string) {
	d.fail(v.offset, v.field, fmt.Sprintf("is %s but must be %s", v.kind(), want))
}

// members returns the members of an object. A key that occurs twice is an error,
// since readers differ in which value they take.
func (d *decoder) members(object value) map[string]value {
	members := make(map[string]value)
	dec := json.NewDecoder(bytes.NewReader(object.raw))
	if _, err := dec.Token(); err != nil {
		d.fail(object.offset, object.field, err.Error())
	}
	for d.err == nil && dec.More() {
		before := dec.InputOffset()
		token, err := dec.Token()
		key, ok := token.(string)
		at := object.offset + dec.InputOffset() - int64(len(bytes.TrimLeft(object.raw[before:dec.InputOffset()], ", \t\r\n")))
		var raw json.RawMessage
		if err == nil && ok {
			err = dec.Decode(&raw)
		}
		if err != nil || !ok { // cannot happen: the scanner checked the record
			d.fail(at, object.field, "the record is not JSON")
			break
		}
		if _, twice := members[key]; twice {
			d.fail(at, key, "occurs twice in one object; remove one of them")
			break
		}
		members[key] = value{raw: raw, offset: object.offset + dec.InputOffset() - int64(len(raw)), field: key}
	}
	return members
}

// elements returns the elements of a list.
func (d *decoder) elements(list value) []value {
	if list.kind() != kindList {
		d.wrongKind(list, kindList)
		return nil
	}
	var elements []value
	dec := json.NewDecoder(bytes.NewReader(list.raw))
	if _, err := dec.Token(); err != nil {
		d.fail(list.offset, list.field, err.Error())
	}
	for d.err == nil && dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil { // cannot happen either
			d.fail(list.offset, list.field, "is not JSON")
			break
		}
		elements = append(elements, value{raw, list.offset + dec.InputOffset() - int64(len(raw)), list.field})
	}
	return elements
}

// field returns a field that must be there.
func (d *decoder) field(name string) (v value, ok bool) {
	v, ok = d.fields[name]
	if !ok {
		d.fail(d.fieldsAt, name, "is missing; dump whole models, with no --fields or hand-made subset")
	}
	return v, ok && d.err == nil
}

// text returns a field of at most limit characters; name is that of the field of
// Limits.
func (d *decoder) text(field string, limit int, name string) string {
	v, ok := d.field(field)
	if !ok {
		return ""
	}
	return d.textOf(v, limit, name)
}

func (d *decoder) textOf(v value, limit int, name string) string {
	if v.kind() != kindText {
		d.wrongKind(v, kindText)
		return ""
	}
	if i := loneSurrogate(v.raw); i >= 0 {
		d.fail(v.offset+int64(i), v.field, `has half of a surrogate pair (\ud800 to \udfff), which is no character; correct it`)
		return ""
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		d.fail(v.offset, v.field, err.Error())
	}
	if n := utf8.RuneCountInString(s); n > limit {
		d.fail(v.offset, v.field, fmt.Sprintf("has %d characters but may have %d (Limits.%s); shorten it or raise the limit", n, limit, name))
	}
	return s
}

// loneSurrogate returns the index of the first \u escape in a JSON string that
// is half of a surrogate pair, or -1.
func loneSurrogate(raw []byte) int {
	for i := 0; i < len(raw)-1; i++ {
		if raw[i] != '\\' {
			continue
		}
		unit := codeUnit(raw[i:])
		switch {
		case unit >= 0xd800 && unit < 0xdc00:
			if low := codeUnit(raw[i+6:]); low < 0xdc00 || low > 0xdfff {
				return i
			}
			i += 11
		case unit >= 0xdc00 && unit <= 0xdfff:
			return i
		case unit >= 0:
			i += 5
		default:
			i++ // the escaped character
		}
	}
	return -1
}

// codeUnit returns the value of the \u escape at the start of b, or -1.
func codeUnit(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

func (d *decoder) flag(field string) bool {
	v, ok := d.field(field)
	if ok && v.kind() != kindBool {
		d.wrongKind(v, kindBool)
	}
	return ok && v.raw[0] == 't'
}

// time returns a field that holds a time; null is the zero Time if it may be.
func (d *decoder) time(field string, mayBeNull bool) Time {
	v, ok := d.field(field)
	if !ok || mayBeNull && v.kind() == kindNull {
		return Time{}
	}
	text := d.textOf(v, math.MaxInt, "") // RecordBytes is limit enough
	if d.err != nil {
		return Time{}
	}
	t, err := parseTime(text)
	if err != nil {
		d.fail(v.offset, field, err.Error())
	}
	return t
}

// id returns the primary key, or 0 if there is none.
func (d *decoder) id() int64 {
	if d.pk.raw == nil || d.pk.kind() == kindNull {
		return 0
	}
	return d.integer(d.pk.named("pk"))
}

// integer returns a primary key, which is positive.
func (d *decoder) integer(v value) int64 {
	if v.kind() != kindNumber {
		d.wrongKind(v, kindInteger)
		return 0
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n < 1:
		d.fail(v.offset, v.field, "is out of range: primary keys go from 1 to 9223372036854775807")
	case err != nil:
		d.fail(v.offset, v.field, "is not an integer")
	}
	return n
}

// sessionKey returns the primary key of a session, which is a text and has no
// natural form.
func (d *decoder) sessionKey() string {
	if d.pk.raw == nil {
		d.fail(d.scan.start, "pk", "is missing; a session has its key there")
		return ""
	}
	key := d.textOf(d.pk.named("pk"), d.limits.SessionKey, "SessionKey")
	if d.err == nil && key == "" {
		d.fail(d.pk.offset, "pk", "is empty; a session has its key there")
	}
	return key
}
