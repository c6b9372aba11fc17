package ndjson

import (
	"errors"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// A storing is one run of the transaction.
type storing struct {
	*importing
	to     intake.Target
	report interop.Report

	groups  map[string]latchbolt.GroupID
	perms   map[latchbolt.Perm]latchbolt.PermissionID // the first of each name
	models  map[modelKey]latchbolt.PermissionID
	defined map[string]bool // groups that had a line
	stage   int             // how far the order of the records has come
}

// A modelKey tells permissions of one name apart.
type modelKey struct {
	perm  latchbolt.Perm
	model string
}

// begin reads what is there.
func (s *storing) begin() error {
	s.groups = make(map[string]latchbolt.GroupID)
	s.perms = make(map[latchbolt.Perm]latchbolt.PermissionID)
	s.models = make(map[modelKey]latchbolt.PermissionID)
	s.defined = make(map[string]bool)
	for p, err := range s.to.Permissions() {
		if err != nil {
			return err
		}
		s.know(p)
	}
	for g, err := range s.to.Groups() {
		if err != nil {
			return err
		}
		s.groups[g.Name] = g.ID
	}
	return nil
}

// know files a permission.
func (s *storing) know(p *latchbolt.Permission) {
	if first, ok := s.perms[p.Perm()]; !ok || p.ID < first {
		s.perms[p.Perm()] = p.ID
	}
	s.models[modelKey{p.Perm(), p.Model}] = p.ID
}

// record stores one record.
func (s *storing) record(r *record) error {
	stage := map[interop.Type]int{interop.Permission: 0, interop.Group: 1, interop.User: 2}[r.typ]
	if stage < s.stage {
		return &interop.LineError{Line: r.line, Field: "type",
			Msg: "the " + string(r.typ) + " comes too late; permissions have to stand before groups, and groups before users"}
	}
	s.stage = stage
	if s.opts.NewIDs {
		r.id = 0
	}
	for range r.extra {
		s.warn(r, reasonField)
	}
	switch r.typ {
	case interop.Permission:
		return s.permission(r)
	case interop.Group:
		return s.group(r)
	}
	return s.user(r)
}

// note begins a note about a record.
func (r *record) note(reason string) interop.Note {
	name := r.name
	switch r.typ {
	case interop.User:
		name = r.user.Username
	case interop.Permission:
		name = string(r.perm.Perm())
	}
	return interop.Note{Line: r.line, Type: r.typ, Name: name, Reason: reason}
}

func (s *storing) skip(r *record, reason string) { intake.Skip(&s.report, r.note(reason)) }
func (s *storing) warn(r *record, reason string) { intake.Warn(&s.report, r.note(reason)) }

// permission defines a permission, unless it is defined already.
func (s *storing) permission(r *record) error {
	p := r.perm
	if _, ok := s.models[modelKey{p.Perm(), p.Model}]; ok {
		return nil
	}
	if r.id > maxPermissionID {
		return &interop.LineError{Line: r.line, Field: "id", Msg: "a permission can have 2147483647 at most"}
	}
	p.ID, p.Name = latchbolt.PermissionID(r.id), r.name
	if err := s.to.InsertPermission(&p); err != nil {
		err = intake.Refused(r.line, err)
		var line *interop.LineError
		if errors.As(err, &line) && line.Field == "app_label" {
			line.Field = fieldApp.String()
		}
		return err
	}
	s.know(&p)
	s.report.Permissions++
	return nil
}

// maxPermissionID is the highest identifier that a permission can have.
const maxPermissionID = 1<<31 - 1

// group makes a group with its permissions.
func (s *storing) group(r *record) error {
	_, there := s.groups[r.name]
	switch {
	case s.defined[r.name]:
		return &interop.LineError{Line: r.line, Field: "name", Msg: "the group " + intake.Quote(r.name) + " occurs twice", Err: latchbolt.ErrExists}
	case there && s.opts.SkipExisting:
		s.defined[r.name] = true
		s.skip(r, reasonGroup)
		return nil
	case there:
		return &interop.LineError{Line: r.line, Field: "name", Msg: "there is a group " + intake.Quote(r.name) + " already", Err: latchbolt.ErrExists}
	}
	s.defined[r.name] = true
	g := latchbolt.Group{ID: latchbolt.GroupID(r.id), Name: r.name}
	if err := s.to.InsertGroup(&g); err != nil {
		return intake.Refused(r.line, err)
	}
	s.groups[g.Name] = g.ID
	s.report.Groups++
	return s.grant(r, g.ID)
}

// grant gives a subject what its line lists.
func (s *storing) grant(r *record, to latchbolt.Subject) error {
	for _, g := range r.has {
		id, ok := s.perms[g.perm]
		if g.hasModel {
			id, ok = s.models[modelKey{g.perm, g.model}]
		}
		switch {
		case !ok && s.opts.SkipPermissions:
			s.skip(r, reasonUndefined)
			continue
		case !ok:
			return &interop.LineError{Line: r.line, Field: permissionsField(r), Msg: "the permission " + g.String() + " is not defined", Err: latchbolt.ErrNotFound}
		}
		var objects []latchbolt.Object
		if g.object != "" {
			objects = []latchbolt.Object{g.object}
		}
		if err := s.to.GrantID(to, id, objects...); err != nil {
			return intake.Refused(r.line, err)
		}
	}
	return nil
}

// String returns the permission, and its model if that counts, for a message.
func (g grant) String() string {
	if g.hasModel {
		return intake.Quote(string(g.perm)) + " of the model " + intake.Quote(g.model)
	}
	return intake.Quote(string(g.perm))
}

func permissionsField(r *record) string {
	if r.typ == interop.Group {
		return fieldPermissions.String()
	}
	return fieldUserPermissions.String()
}

// user makes a user.
func (s *storing) user(r *record) error {
	if s.opts.SkipExisting {
		if there, err := intake.Exists(s.to, r.user.Username); err != nil {
			return err
		} else if there {
			s.skip(r, intake.ReasonExists)
			return nil
		}
	}
	s.to.At(r.line)
	hash := r.hash
	if r.seen&fieldPassword != 0 {
		var ok bool
		if hash, ok = s.hashes.Of(r.line); !ok {
			return &interop.LineError{Line: r.line, Field: "password", Msg: "the file, or the users, changed during the import; begin it again", Err: latchbolt.ErrConflict}
		}
		s.report.Hashed++
	}
	u := r.user
	u.ID = latchbolt.UserID(r.id)
	for _, name := range r.in {
		id, err := s.enter(r, name)
		if err != nil {
			return err
		}
		u.Groups = append(u.Groups, id)
	}
	if err := s.to.InsertBroughtUser(&u, hash); err != nil {
		return intake.Refused(r.line, err)
	}
	s.report.Users++
	s.judge(r)
	return s.grant(r, u.ID)
}

// enter returns a group that a user is in, and makes it if need be.
func (s *storing) enter(r *record, name string) (latchbolt.GroupID, error) {
	if id, ok := s.groups[name]; ok {
		return id, nil
	}
	if s.opts.KnownGroups {
		return 0, &interop.LineError{Line: r.line, Field: "groups", Msg: "there is no group " + intake.Quote(name), Err: latchbolt.ErrNotFound}
	}
	g := latchbolt.Group{Name: name}
	if err := s.to.InsertGroup(&g); err != nil {
		var field *latchbolt.FieldError
		if errors.As(err, &field) {
			return 0, &interop.LineError{Line: r.line, Field: "groups", Msg: "the group " + intake.Quote(name) + " cannot be made: " + field.Msg, Err: err}
		}
		return 0, err
	}
	s.groups[name] = g.ID
	s.report.Groups++
	s.report.NewGroups++
	return g.ID, nil
}

// judge notes what is odd about a user.
func (s *storing) judge(r *record) {
	switch r.form {
	case intake.Legacy:
		s.warn(r, intake.ReasonOldHash)
	case intake.Unknown:
		s.warn(r, intake.ReasonOddHash)
	}
	if r.usable && r.seen&(fieldPassword|fieldPasswordHash) == 0 {
		s.warn(r, reasonNoHash)
	}
	for _, reason := range intake.JudgeUser(&r.user) {
		s.warn(r, reason)
	}
}
