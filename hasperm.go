package latchbolt

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// HasPerm reports whether a user has a permission now, whenever the Identity
// was loaded. With objects, it reports whether the user has it for each of
// them; a grant without object covers all objects. Active superusers have every
// permission, also one that was never defined; inactive and anonymous users
// have none of their own, but a backend may grant some. A deleted user has none at all.
//
// It is in memory, and allocates nothing, unless the user changed since the
// last call or objects are asked for. An error means that the answer is not
// known; it comes with false.
func (e *Engine) HasPerm(ctx context.Context, id Identity, p Perm, objects ...Object) (bool, error) {
	st, err := id.now(ctx, e)
	if err != nil {
		return false, err
	}
	if st != nil && !st.inactive {
		if st.superuser {
			return true, nil
		}
		if e.ownFirst && st.has(p) {
			return true, nil
		}
	}
	if id.p != nil && st == nil ||
		len(e.permBackends) == 0 && (len(objects) == 0 || st == nil || st.inactive || !st.objects) {
		return false, nil
	}
	return e.hasPermSlow(ctx, id.as(st), st, p, objects)
}

// hasPermSlow asks for grants on objects, and the backends in their order.
func (e *Engine) hasPermSlow(ctx context.Context, id Identity, st *userState, p Perm, objects []Object) (bool, error) {
	if len(e.permBackends) == 0 {
		return e.grantedNow(ctx, st, p, objects...)
	}
	for _, o := range orAll(objects) {
		ok, err := e.hasPermFor(ctx, id, st, p, o)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// hasPermFor is the order of Django's has_perm: the first backend that says yes
// wins, and one that says [ErrDenied] ends it. The engine's own grants are asked for where
// the first backend stands that uses them.
func (e *Engine) hasPermFor(ctx context.Context, id Identity, st *userState, p Perm, o Object) (bool, error) {
	askedOwn := false
	for _, b := range e.backends {
		var ok bool
		var err error
		pb, extra := b.(PermBackend)
		switch {
		case extra:
			ok, err = pb.HasPerm(ctx, e, id, p, o)
		case !askedOwn:
			askedOwn = true
			ok, err = e.grantedNow(ctx, st, p, o)
		}
		switch {
		case errors.Is(err, ErrDenied):
			return false, nil
		case errors.Is(err, ErrSkip):
			continue
		case err != nil:
			return false, err
		case ok:
			return true, nil
		}
	}
	return false, nil
}

// grantedNow looks at the engine's own grants for each of some objects.
func (e *Engine) grantedNow(ctx context.Context, st *userState, p Perm, objects ...Object) (ok bool, err error) {
	if st == nil || st.inactive {
		return false, nil
	}
	if st.has(p) {
		return true, nil
	}
	if !st.objects {
		return false, nil
	}
	// From one state of the file, with today's groups.
	err = e.view(ctx, func(tx *ReadTx) error {
		if ok, err = tx.has(bucketSuperuser, userKey(st.id)); ok || err != nil {
			return err // since st was loaded
		}
		for _, o := range objects {
			via, err := tx.grantsOf(st.id, p, o)
			if ok = len(via) > 0; !ok || err != nil {
				return err
			}
		}
		return nil
	})
	return ok && err == nil, err
}

// grantsOf returns why an active user has a permission for an object by
// the engine's grants: directly, or through which groups.
func (tx *ReadTx) grantsOf(id UserID, p Perm, o Object) ([]Grant, error) {
	u, err := tx.user(id)
	if errors.Is(err, ErrNotFound) || err == nil && u.Inactive {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := tx.permIDs(p)
	if err != nil {
		return nil, err
	}
	subjects := []Subject{id}
	for _, g := range u.Groups {
		subjects = append(subjects, g)
	}
	var via []Grant
	for _, s := range subjects {
		for _, pid := range ids {
			for _, object := range slices.Compact([]Object{"", o}) {
				ok, err := tx.has(bucketGrant, grantKey(s, pid, object))
				if err != nil {
					return nil, err
				}
				if !ok {
					continue
				}
				perm, err := tx.permission(pid)
				if err != nil {
					return nil, err
				}
				via = append(via, Grant{Subject: s, Permission: *perm, Object: object})
			}
		}
	}
	return via, nil
}

// HasPerms reports whether a user has all permissions; the empty list is had by everyone.
func (e *Engine) HasPerms(ctx context.Context, id Identity, perms []Perm, objects ...Object) (bool, error) {
	for _, p := range perms {
		if ok, err := e.HasPerm(ctx, id, p, objects...); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// HasModulePerms reports whether a user has any permission of an app for all
// objects. The app is what stands before the first dot of a permission.
func (e *Engine) HasModulePerms(ctx context.Context, id Identity, app string) (bool, error) {
	st, err := id.now(ctx, e)
	if err != nil {
		return false, err
	}
	if st != nil && !st.inactive {
		if st.superuser {
			return true, nil
		}
		if st.perms != nil && !e.ownNever && st.index.anyOf(app, st.perms) {
			return true, nil
		}
	}
	more, err := e.backendPerms(ctx, id, st, "")
	if err != nil {
		return false, err
	}
	for p := range more {
		if p.App() == app {
			return true, nil
		}
	}
	return false, nil
}

// backendPerms asks the backends that grant permissions of their own.
func (e *Engine) backendPerms(ctx context.Context, id Identity, st *userState, o Object) (map[Perm]struct{}, error) {
	all := make(map[Perm]struct{})
	if id.p != nil && st == nil {
		return all, nil // deleted
	}
	id = id.as(st)
	for _, b := range e.permBackends {
		perms, err := b.Perms(ctx, e, id, o)
		if err != nil && !errors.Is(err, ErrSkip) && !errors.Is(err, ErrDenied) {
			return nil, err
		}
		for _, p := range perms {
			all[p] = struct{}{}
		}
	}
	return all, nil
}

// A Source says where permissions come from; see [Engine.Perms].
type Source uint8

const (
	FromAll   Source = iota // from anywhere
	FromUser                // granted to the user itself
	FromGroup               // granted to a group of the user
)

// Perms returns the permissions a user has now, sorted: all, or only those that
// come from one source. Superusers have every permission that is defined, from
// any source. With an object, it is what the user has for that object; the engine's grants
// for all objects are among them.
func (e *Engine) Perms(ctx context.Context, id Identity, from Source, object ...Object) ([]Perm, error) {
	var o Object
	if len(object) > 0 {
		o = object[0]
	}
	st, err := id.now(ctx, e)
	if err != nil {
		return nil, err
	}
	all := make(map[Perm]struct{})
	if from == FromAll {
		if all, err = e.backendPerms(ctx, id, st, o); err != nil {
			return nil, err
		}
	}
	if st != nil && !st.inactive {
		err = e.view(ctx, func(tx *ReadTx) error { return tx.collectPerms(all, st.id, from, o) })
	}
	return slices.Sorted(maps.Keys(all)), err
}

func (tx *ReadTx) collectPerms(all map[Perm]struct{}, id UserID, from Source, o Object) error {
	u, err := tx.user(id)
	if errors.Is(err, ErrNotFound) || err == nil && u.Inactive {
		return nil // since it was looked up
	}
	if err != nil {
		return err
	}
	if u.Superuser {
		for p, err := range tx.Permissions() {
			if err != nil {
				return err
			}
			all[p.Perm()] = struct{}{}
		}
		return nil
	}
	if tx.e.ownNever {
		return nil
	}
	var subjects []Subject
	if from != FromGroup {
		subjects = append(subjects, id)
	}
	if from != FromUser {
		for _, g := range u.Groups {
			subjects = append(subjects, g)
		}
	}
	for _, s := range subjects {
		grants, err := tx.Grants(s)
		if err != nil {
			return err
		}
		for _, g := range grants {
			if g.Object == "" || g.Object == o {
				all[g.Permission.Perm()] = struct{}{}
			}
		}
	}
	return nil
}

// A Decision says why a permission is had or not; see [Engine.Explain].
type Decision struct {
	Allowed bool
	Reason  Reason
	Via     []Grant // for ReasonGranted: all the grants that give it
	Backend string  // for ReasonBackend and ReasonDenied: which one
}

// A Reason is the rule that decided.
type Reason string

const (
	ReasonAnonymous Reason = "anonymous"    // nobody is signed in
	ReasonMissing   Reason = "no such user" // the user was deleted
	ReasonInactive  Reason = "inactive"     // the user is inactive
	ReasonSuperuser Reason = "superuser"    // superusers have everything
	ReasonGranted   Reason = "granted"      // see Via
	ReasonBackend   Reason = "backend"      // a backend grants it
	ReasonDenied    Reason = "denied"       // a backend refused for good
	ReasonUndefined Reason = "undefined"    // no such permission
	ReasonNoGrant   Reason = "not granted"  // nobody gave it
)

// Explain decides as [Engine.HasPerm] does for one object or for all, and says why.
func (e *Engine) Explain(ctx context.Context, id Identity, p Perm, object ...Object) (Decision, error) {
	var o Object
	if len(object) > 0 {
		o = object[0]
	}
	st, err := id.now(ctx, e)
	if err != nil {
		return Decision{}, err
	}
	if st != nil && !st.inactive && st.superuser {
		return Decision{Allowed: true, Reason: ReasonSuperuser}, nil
	}
	if id.p != nil && st == nil {
		return Decision{Reason: ReasonMissing}, nil
	}
	id = id.as(st)
	askedOwn := false
	for _, b := range e.backends {
		if pb, extra := b.(PermBackend); extra {
			ok, err := pb.HasPerm(ctx, e, id, p, o)
			switch {
			case errors.Is(err, ErrDenied):
				return Decision{Reason: ReasonDenied, Backend: b.Name()}, nil
			case errors.Is(err, ErrSkip):
			case err != nil:
				return Decision{}, err
			case ok:
				return Decision{Allowed: true, Reason: ReasonBackend, Backend: b.Name()}, nil
			}
		} else if !askedOwn && st != nil && !st.inactive {
			askedOwn = true
			var via []Grant
			if err := e.view(ctx, func(tx *ReadTx) (err error) {
				via, err = tx.grantsOf(st.id, p, o)
				return err
			}); err != nil {
				return Decision{}, err
			}
			if len(via) > 0 {
				return Decision{Allowed: true, Reason: ReasonGranted, Via: via}, nil
			}
		}
	}
	reason, err := e.whyNot(ctx, st, p)
	return Decision{Reason: reason}, err
}

func (e *Engine) whyNot(ctx context.Context, st *userState, p Perm) (Reason, error) {
	switch {
	case st == nil:
		return ReasonAnonymous, nil
	case st.inactive:
		return ReasonInactive, nil
	}
	x, err := e.permIndexFor(ctx)
	if err != nil {
		return "", err
	}
	if _, ok := x.find(p); !ok {
		return ReasonUndefined, nil
	}
	return ReasonNoGrant, nil
}
