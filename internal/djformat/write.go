package djformat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// A Writer writes a dump that manage.py loaddata accepts, in the layout of
// dumpdata --indent 1. A record is written with its primary key if its ID is
// not 0, and a reference as a number if its ID is not 0; otherwise with their
// natural keys. For loaddata, a record should come after those it refers to:
// content types, permissions, groups, users, sessions.
//
// A record that Django could not take is refused with an error that names the
// field; nothing of it is written, and the Writer goes on. A Writer must not be
// used concurrently.
type Writer struct {
	out    *bufio.Writer
	limits Limits
	record recordBuilder
	begun  bool
	closed bool
	err    error // the first failure of out
}

// NewWriter returns a Writer that writes a dump to w. Its Close must be called.
func NewWriter(w io.Writer) *Writer {
	return &Writer{out: bufio.NewWriter(w), limits: Limits{}.withDefaults()}
}

var errClosed = errors.New("djformat: dump is closed")

// WriteContentType writes one content type.
func (w *Writer) WriteContentType(c *ContentType) error {
	b := w.begin(modelContentType, c.ID)
	b.text("app_label", c.AppLabel, w.limits.AppLabel)
	b.text("model", c.Name, w.limits.Model)
	return w.finish()
}

// WritePermission writes one permission.
func (w *Writer) WritePermission(p *Permission) error {
	b := w.begin(modelPermission, p.ID)
	b.text("name", p.Name, w.limits.PermissionName)
	b.name("content_type")
	b.reference(p.ContentType.ID, p.ContentType.AppLabel, p.ContentType.Model)
	b.text("codename", p.Codename, w.limits.Codename)
	return w.finish()
}

// WriteGroup writes one group.
func (w *Writer) WriteGroup(g *Group) error {
	b := w.begin(modelGroup, g.ID)
	b.text("name", g.Name, w.limits.GroupName)
	b.permissions("permissions", g.Permissions)
	return w.finish()
}

// WriteUser writes one user.
func (w *Writer) WriteUser(u *User) error {
	b := w.begin(modelUser, u.ID)
	b.text("password", u.Password, w.limits.Password)
	if u.LastLogin.IsZero() {
		b.name("last_login")
		b.raw("null")
	} else {
		b.time("last_login", u.LastLogin)
	}
	b.flag("is_superuser", u.Superuser)
	b.text("username", u.Username, w.limits.Username)
	b.text("first_name", u.FirstName, w.limits.PersonName)
	b.text("last_name", u.LastName, w.limits.PersonName)
	b.text("email", u.Email, w.limits.Email)
	b.flag("is_staff", u.Staff)
	b.flag("is_active", u.Active)
	b.time("date_joined", u.DateJoined)
	b.groups("groups", u.Groups)
	b.permissions("user_permissions", u.Permissions)
	return w.finish()
}

// WriteSession writes one session, whose Data must be signed already; see
// [Keys.EncodeSession].
func (w *Writer) WriteSession(s *Session) error {
	b := w.begin(modelSession, 0)
	b.sessionKey(s.Key, w.limits.SessionKey)
	b.text("session_data", s.Data, w.limits.SessionData)
	b.time("expire_date", s.ExpireDate)
	return w.finish()
}

// Write writes one record of any kind.
func (w *Writer) Write(rec Record) error {
	switch rec := rec.(type) {
	case *ContentType:
		return w.WriteContentType(rec)
	case *Permission:
		return w.WritePermission(rec)
	case *Group:
		return w.WriteGroup(rec)
	case *User:
		return w.WriteUser(rec)
	case *Session:
		return w.WriteSession(rec)
	}
	return fmt.Errorf("djformat: cannot write a %T", rec)
}

// Close writes the end of the dump. It does not close the underlying writer. If
// writing failed before, Close returns that error and leaves the dump without
// its closing bracket, so that no one can take it for a whole one.
func (w *Writer) Close() error {
	if w.closed {
		return errClosed
	}
	w.closed = true
	if !w.begun {
		w.emit("[")
	}
	w.emit("\n]\n")
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// begin starts a record in memory.
func (w *Writer) begin(model string, id int64) *recordBuilder {
	b := &w.record
	*b = recordBuilder{buf: b.buf[:0], model: model}
	b.raw("{\n \"model\": \"")
	b.raw(model)
	b.raw("\"")
	if id < 0 {
		b.fail("pk", "is negative")
	}
	if id > 0 {
		b.raw(",\n \"pk\": ")
		b.buf = strconv.AppendInt(b.buf, id, 10)
	}
	if model != modelSession {
		b.raw(",\n \"fields\": {")
	}
	return b
}

// finish writes the record that begin started, unless something was wrong.
func (w *Writer) finish() error {
	b := &w.record
	switch {
	case w.closed:
		return errClosed
	case w.err != nil:
		return w.err
	case b.err != nil:
		return b.err
	}
	if w.begun {
		w.emit(",\n")
	} else {
		w.emit("[\n")
	}
	w.begun = true
	b.raw("\n }\n}")
	if w.err == nil {
		_, w.err = w.out.Write(b.buf)
	}
	return w.err
}

func (w *Writer) emit(s string) {
	if w.err == nil {
		_, w.err = w.out.WriteString(s)
	}
}

// A recordBuilder puts one record together. The first thing that is wrong is
// kept in err.
type recordBuilder struct {
	buf    []byte
	model  string
	fields int
	field  string // the present one, for messages
	err    error
}

func (b *recordBuilder) raw(s string) { b.buf = append(b.buf, s...) }

func (b *recordBuilder) fail(field, msg string) {
	if b.err == nil {
		b.err = fmt.Errorf("djformat: %s, field %s: %s", b.model, field, msg)
	}
}

// name begins a field.
func (b *recordBuilder) name(field string) {
	if b.fields > 0 {
		b.raw(",")
	}
	b.fields++
	b.field = field
	b.raw("\n  \"")
	b.raw(field)
	b.raw("\": ")
}

func (b *recordBuilder) text(field, s string, limit int) {
	b.name(field)
	b.string(s, limit)
}

func (b *recordBuilder) string(s string, limit int) {
	if n := utf8.RuneCountInString(s); n > limit {
		b.fail(b.field, fmt.Sprintf("has %d characters; Django's column takes %d", n, limit))
	}
	if !utf8.ValidString(s) {
		b.fail(b.field, "is not valid UTF-8")
	}
	b.buf = appendPythonString(b.buf, s)
}

func (b *recordBuilder) flag(field string, value bool) {
	b.name(field)
	b.buf = strconv.AppendBool(b.buf, value)
}

func (b *recordBuilder) time(field string, t Time) {
	b.name(field)
	b.raw(`"`)
	var ok bool
	if b.buf, ok = appendTime(b.buf, t); !ok {
		b.fail(field, "lies outside the years 1 to 9999")
	}
	b.raw(`"`)
}

func (b *recordBuilder) sessionKey(key string, limit int) {
	b.field = "pk"
	if key == "" {
		b.fail("pk", "is empty")
	}
	b.raw(",\n \"pk\": ")
	b.string(key, limit)
	b.raw(",\n \"fields\": {")
}

// groups writes a list of references.
func (b *recordBuilder) groups(field string, refs []GroupRef) {
	b.list(field, len(refs), func(i int) { b.item(refs[i].ID, refs[i].Name) })
}

// permissions writes a list of references.
func (b *recordBuilder) permissions(field string, refs []PermissionRef) {
	b.list(field, len(refs), func(i int) { b.item(refs[i].ID, refs[i].Codename, refs[i].AppLabel, refs[i].Model) })
}

func (b *recordBuilder) list(field string, n int, item func(i int)) {
	b.name(field)
	b.raw("[")
	for i := range n {
		if i > 0 {
			b.raw(",")
		}
		item(i)
	}
	if n > 0 {
		b.raw("\n  ")
	}
	b.raw("]")
}

// item writes a reference as an element of a list.
func (b *recordBuilder) item(id int64, key ...string) {
	b.raw("\n   ")
	b.referenceAt("\n   ", id, key)
}

// reference writes a reference as the value of a field.
func (b *recordBuilder) reference(id int64, key ...string) {
	b.referenceAt("\n  ", id, key)
}

// referenceAt writes a primary key, or a natural key over several lines that
// begin with indent.
func (b *recordBuilder) referenceAt(indent string, id int64, key []string) {
	if id < 0 {
		b.fail(b.field, "refers to a negative primary key")
	}
	if id > 0 {
		b.buf = strconv.AppendInt(b.buf, id, 10)
		return
	}
	b.raw("[")
	for i, part := range key {
		if i > 0 {
			b.raw(",")
		}
		if part == "" {
			b.fail(b.field, "refers to something that has neither a primary key nor a name")
		}
		b.raw(indent + " ")
		b.string(part, math.MaxInt)
	}
	b.raw(indent + "]")
}

// appendPythonString appends s as Python's json does with ensure_ascii off.
func appendPythonString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		b = appendPythonByte(b, s[i])
	}
	return append(b, '"')
}

// appendPythonByte appends one byte of a string, escaped if it must be.
func appendPythonByte(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c == '\n':
		return append(b, '\\', 'n')
	case c == '\r':
		return append(b, '\\', 'r')
	case c == '\t':
		return append(b, '\\', 't')
	case c == '\b':
		return append(b, '\\', 'b')
	case c == '\f':
		return append(b, '\\', 'f')
	case c < 0x20:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(b, c)
}
