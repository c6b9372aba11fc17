package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Administrator does to users, groups and sessions what one user may do to them. Each method looks up
// what that user may do now, in the transaction that makes the change or reads the answer, so nothing that
// was taken away since counts. What is not allowed gives [ErrForbidden], changes nothing and is
// recorded in the audit trail.
//
// Whoever administers has to be active and staff, and needs the permissions that
// [Engine.DefineAdmin] defines. Only grants for all objects count, and only the engine's own: what a [PermBackend]
// says is not asked for inside a transaction. docs/CONSOLE.md lists the rules for each method and field.
//
// An Administrator is a value and may be used by several goroutines. The zero Administrator must not be used.
type Administrator struct {
	e  *Engine
	id UserID
}

// As returns what acts for a user. It does not look at the file: an identity of nobody, of another
// engine, or of somebody who may nothing, gets ErrForbidden from each method.
func (e *Engine) As(actor Identity) Administrator {
	if actor.p == nil || actor.p.e != e {
		return Administrator{e: e}
	}
	return Administrator{e: e, id: actor.ID()}
}

// A ForbiddenError says why something was refused. It is [ErrForbidden].
type ForbiddenError struct {
	Rule string // for people; without names or values
}

func (e *ForbiddenError) Error() string { return ErrForbidden.Error() + ": " + e.Rule }

// Is reports whether target is [ErrForbidden].
func (e *ForbiddenError) Is(target error) bool { return target == ErrForbidden }

func forbidden(format string, args ...any) error {
	return &ForbiddenError{Rule: fmt.Sprintf(format, args...)}
}

// adminModels are the models whose four permissions [Engine.DefineAdmin] makes.
var adminModels = [...]string{"user", "group", "permission", "session"}

// DefineAdmin makes sure that the permissions exist that an [Administrator] needs, so that they can be
// granted: "auth.view_user", "auth.add_user", "auth.change_user", "auth.delete_user", the same for group, permission and
// session, and "auth.set_password", "auth.send_reset" and "auth.view_audit". Where Django's are there already, they are these.
func (e *Engine) DefineAdmin(ctx context.Context) error {
	var perms []Permission
	for _, model := range adminModels {
		for _, action := range modelActions {
			perms = append(perms, Permission{App: "auth", Model: model, Codename: action + "_" + model, Name: "Can " + action + " " + model})
		}
	}
	perms = append(perms,
		Permission{App: "auth", Model: "user", Codename: "set_password", Name: "Can set the password of a user"},
		Permission{App: "auth", Model: "user", Codename: "send_reset", Name: "Can send a user a link to reset the password"},
		Permission{App: "auth", Model: "audit", Codename: "view_audit", Name: "Can view the audit trail and figures of the file"},
	)
	missing := false
	err := e.view(ctx, func(tx *ReadTx) error {
		missing = false
		for _, p := range perms {
			there, err := tx.has(bucketPermName, permNameKey(p.App, p.Codename, p.Model))
			if err != nil {
				return err
			}
			missing = missing || !there
		}
		return nil
	})
	if err != nil || !missing {
		return err // nothing is written at most starts
	}
	return e.Define(ctx, perms...)
}

// acting is an administrator within one transaction.
type acting struct {
	tx   *ReadTx
	by   *userRecord
	held map[heldGrant]bool // nil for superusers, who need none
}

type heldGrant struct {
	perm   Perm
	object Object
}

// actor loads who acts, or refuses those who may not administer anything.
func (tx *ReadTx) actor(id UserID) (*acting, error) {
	if id == 0 {
		return nil, forbidden("nobody is signed in")
	}
	u, err := tx.user(id)
	if errors.Is(err, ErrNotFound) {
		return nil, forbidden("the account that acts was deleted")
	}
	if err != nil {
		return nil, err
	}
	if u.Inactive || tx.denied(id).inactive {
		return nil, forbidden("the account that acts is not active")
	}
	if !u.Staff {
		return nil, forbidden("only staff may administer")
	}
	a := &acting{tx: tx, by: u}
	if u.Superuser {
		return a, nil
	}
	a.held = make(map[heldGrant]bool)
	all, err := tx.allGrants(u)
	for _, g := range all {
		a.held[heldGrant{g.Permission.Perm(), g.Object}] = true
	}
	return a, err
}

// allGrants returns what was granted to a user and to its groups.
func (tx *ReadTx) allGrants(u *userRecord) ([]Grant, error) {
	all, err := tx.Grants(u.ID)
	if err != nil {
		return nil, err
	}
	for _, g := range u.Groups {
		more, err := tx.Grants(g)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// holds reports whether the one who acts has a permission for an object; the empty Object is all.
func (a *acting) holds(p Perm, o Object) bool {
	return a.by.Superuser || a.held[heldGrant{p, ""}] || o != "" && a.held[heldGrant{p, o}]
}

// allow decides whether a rule lets the one who acts do it. target is the user it is about, or nil; gives
// is what somebody gets by it.
func (a *acting) allow(r *adminRule, target *userRecord, gives ...Grant) error {
	if a.by.Superuser {
		return nil
	}
	if r.limits&onlySuperusers != 0 {
		return forbidden("only superusers may do this")
	}
	for _, need := range r.needs {
		if !slices.ContainsFunc(need, func(p Perm) bool { return a.holds(p, "") }) {
			return forbidden("it needs the permission %s", need)
		}
	}
	if target != nil {
		if r.limits&superusersTheirOwn != 0 && target.Superuser {
			return forbidden("only superusers may do this to a superuser")
		}
		if r.limits&notOneself != 0 && target.ID == a.by.ID {
			return forbidden("nobody but superusers may do this to the own account")
		}
		if r.limits&coversStaff != 0 && target.Staff && target.ID != a.by.ID {
			has, err := a.tx.allGrants(target)
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(has, func(g Grant) bool { return !a.holds(g.Permission.Perm(), g.Object) }); i >= 0 {
				return forbidden("the user is staff and has permissions that the one who acts does not have")
			}
		}
	}
	if r.limits&onlyWhatIsHeld != 0 {
		for _, g := range gives {
			if p := g.Permission.Perm(); !a.holds(p, g.Object) {
				return forbidden("nobody but superusers may give what they do not have: %s", p)
			}
		}
	}
	return nil
}

// user loads the user that a rule is about. Who may not do it at all is not told whether there is one.
func (a *acting) user(r *adminRule, id UserID) (*userRecord, error) {
	if err := a.allow(r, nil); err != nil {
		return nil, err
	}
	u, err := a.tx.user(id)
	if err != nil {
		return nil, err
	}
	return u, a.allow(r, u)
}

// context names who acts in the audit trail, with the address that is known already.
func (a Administrator) context(ctx context.Context) context.Context {
	by, _ := ctx.Value(actorKey{}).(actor)
	return WithActor(ctx, a.id, by.addr)
}

// read calls fn with what the administrator may do now, in one state of the file.
func (a Administrator) read(ctx context.Context, r *adminRule, about UserID, fn func(*acting) error) error {
	err := a.e.view(ctx, func(tx *ReadTx) error {
		by, err := tx.actor(a.id)
		if err != nil {
			return err
		}
		return fn(by)
	})
	a.refused(ctx, r, about, err)
	return err
}

// change calls fn in a transaction with what the administrator may do in it. what says what counts in memory if the
// change is sound and cannot be written; it may be nil.
func (a Administrator) change(ctx context.Context, r *adminRule, about UserID, fn func(*acting, *Tx) error, what func() denial) error {
	err := a.e.revoke(a.context(ctx), func(tx *Tx) error {
		by, err := tx.actor(a.id)
		if err != nil {
			return err
		}
		return fn(by, tx)
	}, what)
	a.refused(ctx, r, about, err)
	return err
}

// refused records that something was not allowed.
func (a Administrator) refused(ctx context.Context, r *adminRule, about UserID, err error) {
	var f *ForbiddenError
	if a.id == 0 || !errors.As(err, &f) || !a.e.refusals.take(a.id, a.e.clock.now()) {
		return
	}
	entry := AuditEntry{Action: ActionForbidden, User: about, Failed: true, Detail: r.function + ": " + f.Rule}
	a.e.later(a.context(ctx), "recording what was not allowed", func(tx *Tx) error { return tx.audit(entry) }, nil)
}

// Allowed are the methods of an [Administrator], and the fields they set, that are allowed.
type Allowed struct {
	rules     map[string]bool
	perms     map[heldGrant]bool
	superuser bool
	name      string
}

// May reports whether a method may be called, or a field be set by it; field is "" for the method as
// such. It panics if no rule has that name, as a misspelt one would hide what is allowed. It is for showing what can be
// done: the method decides again.
func (a *Allowed) May(method, field string) bool {
	ok, known := a.rules[ruleName(method, field)]
	if !known {
		panic("latchbolt: there is no rule for " + ruleName(method, field))
	}
	return ok
}

// Holds reports whether the administrator has a permission for all objects, and so may give it.
func (a *Allowed) Holds(p Perm) bool { return a.superuser || a.perms[heldGrant{p, ""}] }

// Superuser reports whether the administrator is a superuser.
func (a *Allowed) Superuser() bool { return a.superuser }

// Username is the administrator's name.
func (a *Allowed) Username() string { return a.name }

func ruleName(method, field string) string {
	if field == "" {
		return method
	}
	return method + "." + field
}

// Allowed returns what the administrator may do now: to a user, or to anybody at all if target is 0. The error is
// [ErrForbidden] for those who may not administer.
func (a Administrator) Allowed(ctx context.Context, target UserID) (*Allowed, error) {
	var all *Allowed
	err := a.read(ctx, &ruleAllowed, target, func(by *acting) error {
		all = &Allowed{rules: make(map[string]bool, len(adminRules)), perms: by.held, superuser: by.by.Superuser, name: by.by.Username}
		var about *userRecord
		if target != 0 {
			var err error
			about, err = by.tx.user(target)
			if errors.Is(err, ErrNotFound) && by.allow(&ruleUser, nil) != nil {
				err = nil // they are not told
			}
			if err != nil {
				return err
			}
		}
		for _, r := range adminRules {
			err := by.allow(r, about)
			if err != nil && !errors.Is(err, ErrForbidden) {
				return err
			}
			name := ruleName(r.function, r.field)
			all.rules[name] = err == nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Check decides whether a method may be called for a user, or a field be set by it, and records it if not: for the page
// with the form, before there is anything to change. target is 0 for what is about no user in particular. It
// panics like [Allowed.May].
func (a Administrator) Check(ctx context.Context, target UserID, method, field string) error {
	i := slices.IndexFunc(adminRules, func(r *adminRule) bool { return r.function == method && r.field == field })
	if i < 0 {
		panic("latchbolt: there is no rule for " + ruleName(method, field))
	}
	r := adminRules[i]
	return a.read(ctx, r, target, func(by *acting) error {
		if target == 0 {
			return by.allow(r, nil)
		}
		_, err := by.user(r, target)
		return err
	})
}

// A need is one permission, or several of which one is enough.
type need []Perm

func (n need) String() string {
	names := make([]string, len(n))
	for i, p := range n {
		names[i] = string(p)
	}
	return strings.Join(names, " or ")
}
