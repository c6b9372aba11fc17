package ndjson

import (
	"bytes"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// A record is what one line says.
type record struct {
	line   int
	typ    interop.Type
	seen   fields
	id     uint64
	user   latchbolt.User // all but ID and Groups
	in     []string       // names of groups
	has    []grant
	hash   latchbolt.PasswordHash
	form   intake.Form
	plain  string
	name   string // of a group; of a permission, for people
	perm   latchbolt.Permission
	extra  []string // members that are not known
	usable bool     // has_usable_password
}

// A grant is one entry of user_permissions, or of a group's permissions.
type grant struct {
	perm     latchbolt.Perm
	model    string // which of several permissions of one name
	hasModel bool
	object   latchbolt.Object
}

// fields is a set of members.
type fields uint32

const (
	fieldType fields = 1 << iota
	fieldID
	fieldUsername
	fieldEmail
	fieldFirstName
	fieldLastName
	fieldIsActive
	fieldIsStaff
	fieldIsSuperuser
	fieldDateJoined
	fieldLastLogin
	fieldGroups
	fieldUserPermissions
	fieldPassword
	fieldPasswordHash
	fieldDerived // what follows from the rest: read by nobody
	fieldName
	fieldPermissions
	fieldApp
	fieldModel
	fieldCodename
)

var fieldNames = [...]string{
	"type", "id", "username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "date_joined", "last_login",
	"groups", "user_permissions", "password", "password_hash", "has_usable_password", "name", "permissions", "app", "model", "codename",
}

// The members that each kind of record may have, and must have.
const (
	userFields       = fieldType | (fieldName - fieldID)
	userNeeds        = fieldUsername
	groupFields      = fieldType | fieldID | fieldName | fieldPermissions
	groupNeeds       = fieldName
	permissionFields = fieldType | fieldID | fieldName | fieldApp | fieldModel | fieldCodename
	permissionNeeds  = fieldApp | fieldCodename
)

// field returns the member of a name, or 0. Names are compared exactly.
func field(name string) fields {
	switch name {
	case "group_permissions", "all_permissions", "hasher", "sessions":
		return fieldDerived
	}
	if i := slices.Index(fieldNames[:], name); i >= 0 {
		return 1 << i
	}
	return 0
}

// String returns the name of the first member of the set.
func (f fields) String() string { return fieldNames[bits.TrailingZeros32(uint32(f))] }

// A parser reads lines.
type parser struct {
	scanner
	keepUnknown bool // pass over unknown members
	rec         *record
}

// parse reads a line, whose text is not kept.
func parse(line []byte, number int, unknown bool) (*record, error) {
	rec := &record{line: number}
	p := parser{scanner: scanner{s: string(line)}, keepUnknown: unknown, rec: rec}
	if err := p.line(); err != nil {
		var scan *scanError
		var field *latchbolt.FieldError
		switch {
		case errors.As(err, &scan):
			return nil, &interop.LineError{Line: number, Field: scan.field, Msg: scan.msg}
		case errors.As(err, &field):
			return nil, &interop.LineError{Line: number, Field: "password_hash", Msg: field.Msg, Err: err}
		}
		return nil, err
	}
	return rec, nil
}

func (p *parser) line() error {
	if err := p.object(p.member); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	return p.rec.check()
}

// check says whether the members fit the kind of record.
func (r *record) check() error {
	var may, must fields
	switch r.typ {
	case interop.User, "":
		r.typ, may, must = interop.User, userFields, userNeeds
	case interop.Group:
		may, must = groupFields, groupNeeds
	case interop.Permission:
		may, must = permissionFields, permissionNeeds
	}
	if more := r.seen &^ may; more != 0 {
		return &scanError{more.String(), "a " + string(r.typ) + " has no such field"}
	}
	if less := must &^ r.seen; less != 0 {
		return &scanError{less.String(), "the field is missing"}
	}
	if r.seen&fieldPassword != 0 && r.seen&fieldPasswordHash != 0 {
		return &scanError{"password", "there is a password_hash too; give one of them"}
	}
	return nil
}

// member reads the value of a member.
func (p *parser) member(name string) error {
	f := field(name)
	if f == 0 {
		return p.unknown(name)
	}
	if p.rec.seen&f != 0 && f != fieldDerived {
		return wrong("the field occurs twice")
	}
	if f == fieldDerived {
		p.rec.seen |= f
		from := p.i
		err := p.skip(1)
		p.rec.usable = p.rec.usable || name == "has_usable_password" && strings.TrimSpace(p.s[from:p.i]) == "true"
		return err
	}
	if p.null() {
		if f&(fieldUsername|fieldName|fieldApp|fieldCodename|fieldType) != 0 {
			return wrong("the field must not be null")
		}
		return nil // as if it were not there
	}
	p.rec.seen |= f
	return p.value(f)
}

// unknown passes over a member that is not known, or refuses it.
func (p *parser) unknown(name string) error {
	if !p.keepUnknown {
		return wrong("there is no field of that name")
	}
	if slices.Contains(p.rec.extra, name) {
		return wrong("the field occurs twice")
	}
	if len(p.rec.extra) == maxExtra {
		return wrong("there are more than %d unknown fields", maxExtra)
	}
	p.rec.extra = append(p.rec.extra, name)
	return p.skip(1)
}

// maxExtra bounds the unknown members of a line.
const maxExtra = 100

func (p *parser) value(f fields) (err error) {
	r := p.rec
	switch f {
	case fieldType:
		return p.kind()
	case fieldID:
		r.id, err = p.identifier()
	case fieldUsername:
		r.user.Username, err = p.text()
	case fieldEmail:
		r.user.Email, err = p.text()
	case fieldFirstName:
		r.user.FirstName, err = p.text()
	case fieldLastName:
		r.user.LastName, err = p.text()
	case fieldIsActive:
		var active bool
		active, err = p.boolean()
		r.user.Inactive = !active
	case fieldIsStaff:
		r.user.Staff, err = p.boolean()
	case fieldIsSuperuser:
		r.user.Superuser, err = p.boolean()
	case fieldDateJoined:
		r.user.DateJoined, err = p.time()
	case fieldLastLogin:
		r.user.LastLogin, err = p.time()
	case fieldGroups:
		err = p.array(func() error {
			name, err := p.text()
			r.in = append(r.in, name)
			return err
		})
	case fieldUserPermissions, fieldPermissions:
		err = p.array(p.grant)
	case fieldPassword:
		r.plain, err = p.text()
	case fieldPasswordHash:
		return p.hash()
	case fieldName:
		r.name, err = p.text()
	case fieldApp:
		r.perm.App, err = p.text()
	case fieldModel:
		r.perm.Model, err = p.text()
	case fieldCodename:
		r.perm.Codename, err = p.text()
	}
	return err
}

func (p *parser) kind() error {
	s, err := p.text()
	if err != nil {
		return err
	}
	switch t := interop.Type(s); t {
	case interop.User, interop.Group, interop.Permission:
		p.rec.typ = t
		return nil
	}
	return wrong(`the type has to be "user", "group" or "permission"`)
}

func (p *parser) hash() error {
	encoded, err := p.text()
	if err != nil {
		return err
	}
	p.rec.hash, p.rec.form, err = intake.JudgeHash(encoded)
	return err
}

// time reads a time as RFC 3339 has them. What is finer than a microsecond is cut off.
func (p *parser) time() (time.Time, error) {
	s, err := p.text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || len(s) < len("2006-01-02T15:04:05Z") || s[len("2006-01-02T15:04:05")] == ',' {
		return time.Time{}, wrong("the time is not one of RFC 3339, such as 2026-05-04T10:20:30Z")
	}
	t = t.UTC().Truncate(time.Microsecond)
	if !writable(t) {
		return time.Time{}, wrong("the time lies outside the years 0 to 9999 in UTC")
	}
	return t, nil
}

// grant reads a permission, as a text or as an object.
func (p *parser) grant() error {
	var g grant
	if p.peek() == '"' {
		s, err := p.text()
		p.rec.has = append(p.rec.has, grant{perm: latchbolt.Perm(s)})
		return err
	}
	seen := make(map[string]bool, 3)
	err := p.object(func(name string) error {
		if seen[name] {
			return wrong("the field occurs twice")
		}
		seen[name] = true
		s, err := p.text()
		switch name {
		case "permission":
			g.perm = latchbolt.Perm(s)
		case "model":
			g.model, g.hasModel = s, true
		case "object":
			if g.object = latchbolt.Object(s); s == "" {
				return wrong("the object must not be empty; leave it out to grant for all objects")
			}
		default:
			return wrong("a grant has no such field")
		}
		return err
	})
	if err == nil && !seen["permission"] {
		err = &scanError{"permission", "the field is missing in a grant"}
	}
	p.rec.has = append(p.rec.has, g)
	return err
}

// mayHavePassword reports whether a line can have a plain password. Names of members can be written with escapes.
func mayHavePassword(line []byte) bool {
	return bytes.Contains(line, []byte(`"password"`)) || bytes.IndexByte(line, '\\') >= 0
}
