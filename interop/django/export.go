package django

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// ExportOptions say how a dump is written. Nil, and the zero ExportOptions, are fine.
type ExportOptions struct {
	// NaturalKeys writes names in place of primary keys, as dumpdata does with --natural-foreign and
	// --natural-primary. Such a dump can be loaded into a database that has content types, permissions and
	// users already: rows of the same name are brought up to date. A dump with primary keys keeps the
	// identifiers of users, which other tables may refer to; it replaces rows that have the same
	// ones, so it is for empty tables.
	NaturalKeys bool
	// Progress, if not nil, is called now and then. It must not call the engine.
	Progress func(Progress)
}

// Export writes all permissions, groups and users of one moment as a dump that manage.py loaddata accepts, ordered so
// that nothing refers to what comes later. Content types are made of the apps and models of the permissions; with primary keys
// they are numbered in the order of their first permission.
//
// Sessions are not written, since only hashes of their keys are stored, nor are grants for single objects. A
// record that Django could not hold is left out. All this stands in the Report. If Export fails, the dump lacks its
// closing bracket, so that no one can take it for a whole one. All is read in one
// [latchbolt.Engine.View], which fails with [latchbolt.ErrViewTooOld] if w is slow and others write much meanwhile: give it
// memory, or a file.
func Export(ctx context.Context, eng *latchbolt.Engine, w io.Writer, opts *ExportOptions) (Report, error) {
	if opts == nil {
		opts = &ExportOptions{}
	}
	sink := &sink{w: w}
	x := &export{ctx: ctx, opts: opts, sink: sink, out: djformat.NewWriter(sink)}
	x.report.CaseSensitive = eng.CaseSensitive()
	if err := eng.View(ctx, x.run); err != nil {
		return x.report, fmt.Errorf("django: exporting: %w", err)
	}
	if err := x.out.Close(); err != nil {
		return x.report, fmt.Errorf("django: exporting: %w", err)
	}
	return x.report, nil
}

type export struct {
	ctx    context.Context
	opts   *ExportOptions
	tx     *latchbolt.ReadTx
	sink   *sink
	out    *djformat.Writer
	report Report
	done   int

	types  map[typeKey]int64 // 0 with natural keys
	perms  map[latchbolt.PermissionID]djformat.PermissionRef
	groups map[latchbolt.GroupID]djformat.GroupRef
}

// A sink remembers that writing failed, which tells that from a record that was refused.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (n int, err error) {
	n, err = s.w.Write(b)
	s.err = err
	return n, err
}

func (x *export) run(tx *latchbolt.ReadTx) error {
	x.tx = tx
	for _, step := range []func() error{x.writePermissions, x.writeGroups, x.writeUsers, x.countSessions} {
		if err := step(); err != nil {
			return err
		}
	}
	if x.opts.Progress != nil {
		x.opts.Progress(Progress{Stage: Writing, Done: x.done})
	}
	return nil
}

// step counts a record that was written, or notes one that Django could not hold.
func (x *export) step(err error, n *int, model, key string) error {
	switch {
	case err == nil:
		*n++
	case x.sink.err != nil:
		return x.sink.err
	default:
		x.report.skip(Note{Model: model, Key: key, Reason: err.Error()})
	}
	if x.done++; x.done%progressEvery != 0 {
		return nil
	}
	if x.opts.Progress != nil {
		x.opts.Progress(Progress{Stage: Writing, Done: x.done})
	}
	return x.ctx.Err()
}

// id is a primary key as it is written.
func (x *export) id(id int64) int64 {
	if x.opts.NaturalKeys {
		return 0
	}
	return id
}

// writePermissions writes content types and permissions.
func (x *export) writePermissions() error {
	var perms []*latchbolt.Permission
	taken := make(map[permKey]bool)
	for p, err := range x.tx.Permissions() {
		if err != nil {
			return err
		}
		perms = append(perms, p)
		taken[permKey{p.App, p.Model, p.Codename}] = true
	}
	x.types = make(map[typeKey]int64)
	x.perms = make(map[latchbolt.PermissionID]djformat.PermissionRef, len(perms))
	for _, p := range perms {
		if p.Model == "" {
			x.report.warn(Note{Model: modelPermission, Key: quote(string(p.Perm())), Reason: reasonNoModel})
			p.Model = freeModel(taken, p)
		}
		key := typeKey{p.App, p.Model}
		if _, ok := x.types[key]; ok {
			continue
		}
		c := &djformat.ContentType{ID: x.id(int64(len(x.types) + 1)), AppLabel: key.app, Name: key.model}
		x.types[key] = c.ID
		if err := x.step(x.out.WriteContentType(c), &x.report.ContentTypes, modelContentType, quote(key.app+"."+key.model)); err != nil {
			return err
		}
	}
	for _, p := range perms {
		row := &djformat.Permission{ID: x.id(int64(p.ID)), Name: p.Name, Codename: p.Codename,
			ContentType: djformat.ContentTypeRef{ID: x.types[typeKey{p.App, p.Model}], AppLabel: p.App, Model: p.Model}}
		x.perms[p.ID] = djformat.PermissionRef{ID: row.ID, Codename: p.Codename, AppLabel: p.App, Model: p.Model}
		if err := x.step(x.out.WritePermission(row), &x.report.Permissions, modelPermission, quote(string(p.Perm()))); err != nil {
			return err
		}
	}
	return nil
}

// freeModel finds a model for a permission that has none: "global", or with a number behind it if that model has a permission of the
// same codename.
func freeModel(taken map[permKey]bool, p *latchbolt.Permission) string {
	for n := 1; ; n++ {
		model := "global"
		if n > 1 {
			model += strconv.Itoa(n)
		}
		if key := (permKey{p.App, model, p.Codename}); !taken[key] {
			taken[key] = true
			return model
		}
	}
}

func (x *export) writeGroups() error {
	x.groups = make(map[latchbolt.GroupID]djformat.GroupRef)
	for g, err := range x.tx.Groups() {
		if err != nil {
			return err
		}
		row := &djformat.Group{ID: x.id(int64(g.ID)), Name: g.Name}
		if row.Permissions, err = x.granted(g.ID, modelGroup, quote(g.Name)); err != nil {
			return err
		}
		x.groups[g.ID] = djformat.GroupRef{ID: row.ID, Name: g.Name}
		if err := x.step(x.out.WriteGroup(row), &x.report.Groups, modelGroup, quote(g.Name)); err != nil {
			return err
		}
	}
	return nil
}

// granted returns what a user or group was granted for all objects, in Django's order of permissions.
func (x *export) granted(s latchbolt.Subject, model, key string) ([]djformat.PermissionRef, error) {
	grants, err := x.tx.Grants(s)
	if err != nil {
		return nil, err
	}
	refs := make([]djformat.PermissionRef, 0, len(grants))
	order := make(map[djformat.PermissionRef]djformat.PermissionRef, len(grants))
	for _, g := range grants {
		if g.Object != "" {
			x.report.skip(Note{Model: model, Key: key, Reason: reasonObject})
			continue
		}
		full := x.perms[g.Permission.ID]
		ref := full
		if full.ID != 0 {
			ref = djformat.PermissionRef{ID: full.ID}
		}
		order[ref] = full
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b djformat.PermissionRef) int {
		p, q := order[a], order[b]
		return cmp.Or(strings.Compare(p.AppLabel, q.AppLabel), strings.Compare(p.Model, q.Model), strings.Compare(p.Codename, q.Codename))
	})
	return refs, nil
}

func (x *export) writeUsers() error {
	for u, err := range x.tx.Users() {
		if err != nil {
			return err
		}
		key := quote(u.Username)
		row := &djformat.User{ID: x.id(int64(u.ID)), Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
			Active: !u.Inactive, Staff: u.Staff, Superuser: u.Superuser, DateJoined: fromTime(u.DateJoined), LastLogin: fromTime(u.LastLogin)}
		h, err := x.tx.PasswordHash(u.ID)
		if err != nil {
			return err
		}
		row.Password = x.password(h, key)
		if row.Permissions, err = x.granted(u.ID, modelUser, key); err != nil {
			return err
		}
		row.Groups = make([]djformat.GroupRef, len(u.Groups))
		for i, g := range u.Groups {
			row.Groups[i] = x.groups[g]
		}
		if err := x.step(x.out.WriteUser(row), &x.report.Users, modelUser, key); err != nil {
			return err
		}
	}
	return nil
}

// fromTime is a time as Django would have kept it, with microseconds; of these, a dump shows the milliseconds.
func fromTime(t time.Time) djformat.Time {
	return djformat.Time{Time: t, CutToZero: t.Nanosecond() != 0 && t.Nanosecond() < int(time.Millisecond)}
}

// maxPassword is the width of Django's column.
const maxPassword = 128

// password returns what stands in Django's column for a hash.
func (x *export) password(h latchbolt.PasswordHash, key string) string {
	encoded := h.Reveal()
	// Django puts the name of the algorithm before what others write alone.
	switch {
	case strings.HasPrefix(encoded, "$argon2"):
		encoded = "argon2" + encoded
	case strings.HasPrefix(encoded, "$2"):
		encoded = "bcrypt$" + encoded
	}
	note := Note{Model: modelUser, Key: key}
	switch info := h.Info(); {
	case h.Pepper() != 0:
		note.Reason = reasonPepper
	case len(encoded) > maxPassword:
		note.Reason = reasonLongHash
	case encoded == "":
		note.Reason = reasonEmptyHash
		x.report.warn(note)
		return ""
	case info.Usable && (info.Algorithm == "" || legacyAlgorithms[info.Algorithm] || strings.ContainsAny(encoded[:1], "${")):
		note.Reason = reasonForeign
		x.report.warn(note)
		return encoded
	default:
		return encoded
	}
	x.report.skip(note)
	return unusable()
}

// unusable makes what Django stores for a password that nothing matches.
func unusable() string { return "!" + (rand.Text() + rand.Text())[:40] }

// countSessions says how many sessions stay behind.
func (x *export) countSessions() error {
	n, err := x.tx.SessionCount()
	if err != nil || n == 0 {
		return err
	}
	x.report.skip(Note{Model: modelSession, Key: strconv.Itoa(n) + " rows", Reason: reasonNoTokens})
	x.report.Reasons[reasonNoTokens] = n
	return nil
}
