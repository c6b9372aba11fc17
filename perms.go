package latchbolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A Perm names a permission as "app.codename", such as "blog.add_post". The
// app is what stands before the first dot.
type Perm string

// App returns the part before the first dot, or "" if there is no dot.
func (p Perm) App() string {
	app, _, ok := strings.Cut(string(p), ".")
	if !ok {
		return ""
	}
	return app
}

// An Object names one thing that a permission can be granted for alone, such
// as "blog.post:42". The engine attaches no meaning to the text; at most 256 bytes.
// The empty Object stands for all objects.
type Object string

const maxObject = 256

// A PermissionID identifies a permission for ever.
type PermissionID uint32

// A Permission is something that can be granted. As in Django, several
// permissions can share one [Perm] if they belong to different models.
type Permission struct {
	ID       PermissionID
	App      string // at most 100 characters, without a dot
	Model    string // may be empty; at most 100 characters
	Codename string // at most 100 characters; may contain dots
	Name     string // for people; at most 255 characters
}

// Perm returns "app.codename".
func (p *Permission) Perm() Perm { return Perm(p.App + "." + p.Codename) }

// ModelActions are the permissions that [Engine.DefineModel] makes, as Django does.
var modelActions = [...]string{"add", "change", "delete", "view"}

func (tx *ReadTx) permission(id PermissionID) (*Permission, error) {
	body, ok, err := tx.get(bucketPerm, permKey(id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound("permission", fmt.Sprint(id))
	}
	return decodePermission(id, &body)
}

// permIDs returns the permissions that share one Perm, ascending. None is no error.
func (tx *ReadTx) permIDs(p Perm) ([]PermissionID, error) {
	app, codename, ok := strings.Cut(string(p), ".")
	if !ok {
		return nil, nil
	}
	var ids []PermissionID
	for e, err := range tx.scan(bucketPermName, permNamePrefix(app, codename), nil) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, PermissionID(e.body.Uint64()))
		if err := e.body.Done(); err != nil {
			return nil, fromRecord(bucketPermName, e.key, err)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Permissions yields all permissions by identifier.
func (tx *ReadTx) Permissions() iter.Seq2[*Permission, error] {
	return func(yield func(*Permission, error) bool) {
		for e, err := range tx.scan(bucketPerm, nil, nil) {
			if err != nil {
				yield(nil, err)
				return
			}
			p, err := decodePermission(PermissionID(binary.BigEndian.Uint32(e.key)), &e.body)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// InsertPermission stores a new permission. If p.ID is not 0 it is kept. On
// success p.ID is set. The error is [ErrExists] if there is one with the same
// app, codename and model.
func (tx *Tx) InsertPermission(p *Permission) error {
	var errs FieldErrors
	errs = errs.add(validateText("app_label", p.App, 100, true))
	errs = errs.add(validateText("model", p.Model, 100, false))
	errs = errs.add(validateText("codename", p.Codename, 100, true))
	errs = errs.add(validateText("name", p.Name, 255, false))
	if strings.Contains(p.App, ".") {
		errs = append(errs, &FieldError{Field: "app_label", Code: "invalid", Msg: "An app must not contain a dot."})
	}
	if len(errs) > 0 {
		return errs
	}
	key := permNameKey(p.App, p.Codename, p.Model)
	if taken, err := tx.has(bucketPermName, key); err != nil {
		return err
	} else if taken {
		return exists("permission", string(p.Perm()))
	}
	id, err := takeID(tx, p.ID, func(i *idsRecord) *PermissionID { return &i.perm }, bucketPerm, permKey, "permission")
	if err != nil {
		return err
	}
	if err := tx.putID(bucketPermName, key, uint64(id)); err != nil {
		return err
	}
	if err := tx.put(bucketPerm, permKey(id), encodePermission(p)); err != nil {
		return err
	}
	p.ID = id
	tx.fx.defined = append(tx.fx.defined, *p)
	return nil
}

// Define makes sure that permissions exist. One that is there already, with
// the same app, codename and model, keeps its identifier and its grants; its name for people is left alone. A
// program calls it at each start with all it has.
func (tx *Tx) Define(perms ...Permission) error {
	for _, p := range perms {
		taken, err := tx.has(bucketPermName, permNameKey(p.App, p.Codename, p.Model))
		if err != nil {
			return err
		}
		if taken {
			continue
		}
		p.ID = 0
		if err := tx.InsertPermission(&p); err != nil {
			return err
		}
	}
	return nil
}

// Undefine removes a permission with all its grants.
func (tx *Tx) Undefine(p Perm) error {
	ids, err := tx.permIDs(p)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return notFound("permission", string(p))
	}
	for _, id := range ids {
		if err := tx.deletePermission(id); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) deletePermission(id PermissionID) error {
	p, err := tx.permission(id)
	if err != nil {
		return err
	}
	holders, err := tx.keys(bucketHolder, permKey(id), nil, 0)
	if err != nil {
		return err
	}
	for _, k := range holders {
		s, ok := parseSubject(k[4:])
		if !ok {
			return corrupt(fmt.Sprintf("%s %x", bucketHolder, k), nil)
		}
		if err := tx.ungrant(s, id, Object(k[grantObjectFrom:])); err != nil {
			return err
		}
	}
	if err := tx.delete(bucketPermName, permNameKey(p.App, p.Codename, p.Model)); err != nil {
		return err
	}
	tx.fx.policy = true
	return tx.delete(bucketPerm, permKey(id))
}

// Grant gives a permission to a user or group: for all objects, or only for the
// objects named. Having it already is no error. The permission must have been
// defined; where several share the name, the one defined first is granted.
func (tx *Tx) Grant(s Subject, p Perm, objects ...Object) error {
	id, err := tx.firstPerm(p)
	if err != nil {
		return err
	}
	return tx.GrantID(s, id, objects...)
}

// firstPerm returns the permission of a name that was defined first.
func (tx *ReadTx) firstPerm(p Perm) (PermissionID, error) {
	ids, err := tx.permIDs(p)
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return 0, notFound("permission", string(p))
	}
	return ids[0], nil
}

// GrantID is Grant for one permission of several that share a name.
func (tx *Tx) GrantID(s Subject, p PermissionID, objects ...Object) error {
	if _, err := tx.permission(p); err != nil {
		return err
	}
	if err := tx.noteObjects(s, len(objects) > 0); err != nil {
		return err
	}
	for _, o := range orAll(objects) {
		if err := checkObject(o); err != nil {
			return err
		}
		if err := tx.mark(bucketGrant, grantKey(s, p, o)); err != nil {
			return err
		}
		if err := tx.mark(bucketHolder, holderKey(p, s, o)); err != nil {
			return err
		}
	}
	tx.touchSubject(s)
	return nil
}

func checkObject(o Object) error {
	if len(o) > maxObject {
		return &FieldError{Field: "object", Code: "max_length", Msg: fmt.Sprintf("The name of an object has at most %d bytes.", maxObject)}
	}
	return nil
}

// orAll is the list of objects, or the one that stands for all.
func orAll(objects []Object) []Object {
	if len(objects) == 0 {
		return []Object{""}
	}
	return objects
}

// noteObjects checks that a subject exists, and marks it if it is to have
// grants on single objects, so that those without are answered without looking.
func (tx *Tx) noteObjects(s Subject, objects bool) error {
	switch id := s.(type) {
	case UserID:
		u, err := tx.user(id)
		if err != nil || !objects || u.objects {
			return err
		}
		u.objects = true
		return tx.putUser(u)
	case GroupID:
		g, err := tx.group(id)
		if err != nil || !objects || g.objects {
			return err
		}
		g.objects = true
		return tx.put(bucketGroup, groupKey(id), g.encode())
	}
	return notFound("subject", fmt.Sprint(s))
}

// Revoke takes back what Grant gave: the grant for all objects, or those for
// the objects named. Not having it is no error.
func (tx *Tx) Revoke(s Subject, p Perm, objects ...Object) error {
	ids, err := tx.permIDs(p)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return notFound("permission", string(p))
	}
	if err := tx.noteObjects(s, false); err != nil {
		return err
	}
	for _, id := range ids {
		for _, o := range orAll(objects) {
			if err := tx.ungrant(s, id, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tx *Tx) ungrant(s Subject, p PermissionID, o Object) error {
	tx.touchSubject(s)
	if err := tx.delete(bucketGrant, grantKey(s, p, o)); err != nil {
		return err
	}
	return tx.delete(bucketHolder, holderKey(p, s, o))
}

// deleteGrants takes everything from a subject that is about to go.
func (tx *Tx) deleteGrants(s Subject) error {
	keys, err := tx.keys(bucketGrant, subjectKey(s), nil, 0)
	if err != nil {
		return err
	}
	for _, k := range keys {
		id := PermissionID(binary.BigEndian.Uint32(k[subjectLen:]))
		if err := tx.ungrant(s, id, Object(k[grantObjectFrom:])); err != nil {
			return err
		}
	}
	return nil
}

// A Grant is one permission that one user or group was given.
type Grant struct {
	Subject    Subject // a UserID or a GroupID
	Permission Permission
	Object     Object // empty: for all objects
}

// Grants returns what was granted to a user or group itself, by permission.
func (tx *ReadTx) Grants(s Subject) ([]Grant, error) {
	switch s.(type) {
	case UserID, GroupID:
	default: // nil, or a pointer to one, which has the method too
		return nil, notFound("subject", fmt.Sprint(s))
	}
	return tx.grants(bucketGrant, subjectKey(s), func(k []byte) (Subject, PermissionID) {
		return s, PermissionID(binary.BigEndian.Uint32(k[subjectLen:]))
	})
}

// Holders returns to whom a permission was granted itself. It does not look into groups.
func (tx *ReadTx) Holders(p Perm) ([]Grant, error) {
	ids, err := tx.permIDs(p)
	if err != nil {
		return nil, err
	}
	var all []Grant
	for _, id := range ids {
		grants, err := tx.grants(bucketHolder, permKey(id), func(k []byte) (Subject, PermissionID) {
			s, _ := parseSubject(k[4:])
			return s, id
		})
		if err != nil {
			return nil, err
		}
		all = append(all, grants...)
	}
	return all, nil
}

func (tx *ReadTx) grants(b kv.Bucket, prefix []byte, parse func([]byte) (Subject, PermissionID)) ([]Grant, error) {
	keys, err := tx.keys(b, prefix, nil, 0)
	if err != nil {
		return nil, err
	}
	grants := make([]Grant, 0, len(keys))
	for _, k := range keys {
		if _, ok, err := tx.get(b, k); err != nil || !ok {
			return nil, missing(err, "a grant that is not where its key belongs")
		}
		s, id := parse(k)
		p, err := tx.permission(id)
		if err != nil {
			return nil, missing(err, "a grant of a permission that is not there")
		}
		grants = append(grants, Grant{Subject: s, Permission: *p, Object: Object(k[grantObjectFrom:])})
	}
	return grants, nil
}

// Define makes sure that permissions exist; see [Tx.Define].
func (e *Engine) Define(ctx context.Context, perms ...Permission) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.Define(perms...) })
}

// DefineModel makes sure that the four permissions exist that Django gives
// every model: "app.add_model", "change", "delete" and "view". The label is the
// model's name for people; without one it is the model itself.
func (e *Engine) DefineModel(ctx context.Context, app, model string, label ...string) error {
	name := model
	if len(label) > 0 {
		name = label[0]
	}
	perms := make([]Permission, len(modelActions))
	for i, action := range modelActions {
		perms[i] = Permission{App: app, Model: model, Codename: action + "_" + model, Name: "Can " + action + " " + name}
	}
	return e.Define(ctx, perms...)
}

// Undefine removes a permission with all its grants.
func (e *Engine) Undefine(ctx context.Context, p Perm) error {
	return e.Update(ctx, func(tx *Tx) error {
		if err := tx.Undefine(p); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionPermUndefine, Detail: string(p)})
	})
}

// Permissions yields all permissions by identifier. No transaction is open
// while the body of the loop runs.
func (e *Engine) Permissions(ctx context.Context) iter.Seq2[*Permission, error] {
	return paged(func(after PermissionID, n int) (page []*Permission, err error) {
		err = e.view(ctx, func(tx *ReadTx) error {
			page = nil
			for en, err := range tx.scan(bucketPerm, nil, permKey(after+1)) {
				if err != nil || len(page) == n {
					return err
				}
				p, err := decodePermission(PermissionID(binary.BigEndian.Uint32(en.key)), &en.body)
				if err != nil {
					return err
				}
				page = append(page, p)
			}
			return nil
		})
		return page, err
	}, func(p *Permission) PermissionID { return p.ID })
}

// Grant gives a permission to a user or group; see [Tx.Grant]. It is in force
// for every call that starts after it returned.
func (e *Engine) Grant(ctx context.Context, s Subject, p Perm, objects ...Object) error {
	return e.changeGrant(ctx, s, p, objects, ActionPermGrant, func(tx *Tx) error { return tx.Grant(s, p, objects...) })
}

// Revoke takes a permission back; see [Tx.Revoke]. No call that starts after it
// returned is allowed by it.
func (e *Engine) Revoke(ctx context.Context, s Subject, p Perm, objects ...Object) error {
	return e.changeGrant(ctx, s, p, objects, ActionPermRevoke, func(tx *Tx) error { return tx.Revoke(s, p, objects...) })
}

func (e *Engine) changeGrant(ctx context.Context, s Subject, p Perm, objects []Object, action string, fn func(*Tx) error) error {
	return e.Update(ctx, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.auditGrant(s, p, objects, action)
	})
}

// auditGrant records that a permission was given or taken back.
func (tx *Tx) auditGrant(s Subject, p Perm, objects []Object, action string) error {
	entry := AuditEntry{Action: action, Detail: strings.TrimSpace(fmt.Sprint(p, " ", joinObjects(objects)))}
	switch id := s.(type) {
	case UserID:
		entry.User = id
		tx.changed(ChangeUser, id)
	case GroupID:
		entry.Detail += fmt.Sprintf(" group %d", id)
		tx.changed(ChangeGroup, id)
	}
	return tx.audit(entry)
}

func joinObjects(objects []Object) string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = string(o)
	}
	return joinComma(names)
}

// Grants returns what was granted to a user or group itself.
func (e *Engine) Grants(ctx context.Context, s Subject) (gs []Grant, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		gs, err = tx.Grants(s)
		return err
	})
	return gs, err
}

// Holders returns the users and groups to whom a permission was granted
// itself. For everybody who has it, through groups too, see [UserQuery.Perm].
func (e *Engine) Holders(ctx context.Context, p Perm) (gs []Grant, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		gs, err = tx.Holders(p)
		return err
	})
	return gs, err
}
