package latchbolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// An Identity is a user who was proved by a backend, as of one moment. The
// zero Identity is the anonymous user. It comes only from
// [Engine.Authenticate], [Engine.SessionUser] and [Engine.Identity], so code
// that has one did not forget to check.
//
// An Identity is one pointer, never changes and may be shared by goroutines.
// Two of them may differ although they are of one user; compare with
// [Identity.ID]. Comparing with the zero Identity is sound.
type Identity struct {
	p *identity
}

type identity struct {
	st      *userState
	e       *Engine
	backend string
	allowed bool // the backend lets inactive users in
}

// ID returns the user's identifier, or 0 for the anonymous user.
func (id Identity) ID() UserID {
	if id.p == nil {
		return 0
	}
	return id.p.st.id
}

// Username returns the user's name, or "" for the anonymous user.
func (id Identity) Username() string {
	if id.p == nil {
		return ""
	}
	return id.p.st.name
}

// Anonymous reports whether nobody is signed in.
func (id Identity) Anonymous() bool { return id.p == nil }

// Active reports whether the user was active. The anonymous user is not.
func (id Identity) Active() bool { return id.p != nil && !id.p.st.inactive }

// Staff reports whether the user was marked as staff. It says nothing about permissions.
func (id Identity) Staff() bool { return id.p != nil && id.p.st.staff }

// Superuser reports whether the user was an active superuser.
func (id Identity) Superuser() bool {
	return id.p != nil && id.p.st.superuser && !id.p.st.inactive
}

// Backend returns the name of the backend that proved the user, or "".
func (id Identity) Backend() string {
	if id.p == nil {
		return ""
	}
	return id.p.backend
}

// String returns the user's name quoted, or "anonymous".
func (id Identity) String() string {
	if id.p == nil {
		return "anonymous"
	}
	return quote(id.p.st.name)
}

// Has reports whether the user had a permission for all objects at the moment
// the Identity was loaded, from the engine's own grants. It asks no other
// backend and does not look at the file: it is for templates and loops. What
// counts is [Engine.HasPerm].
func (id Identity) Has(p Perm) bool {
	if id.p == nil || id.p.st.inactive {
		return false
	}
	return id.p.st.superuser || id.p.st.has(p)
}

// has reports whether the engine's own grants for all objects give a permission. Both parts of
// the answer are of one state, whatever was defined or removed since.
func (st *userState) has(p Perm) bool {
	if st.perms == nil {
		return false
	}
	n, ok := st.index.number[p]
	return ok && st.perms.has(n)
}

// A permIndex numbers the permissions. The number of a [Perm] is the lowest
// PermissionID that has the name.
type permIndex struct {
	rev    kv.Rev
	number map[Perm]uint32
	alias  map[PermissionID]uint32 // only for those whose number is another's
	apps   map[string][]uint32
	top    uint32
}

// num returns the number that stands for a permission in a permSet.
func (x *permIndex) num(id PermissionID) uint32 {
	if n, ok := x.alias[id]; ok {
		return n
	}
	return uint32(id)
}

// A permSet is a set of numbers. The nil set is empty. It never changes.
type permSet struct {
	first uint32 // word that bits[0] stands for
	bits  []uint64
}

func (s *permSet) has(n uint32) bool {
	if s == nil {
		return false
	}
	w := n/64 - s.first
	return w < uint32(len(s.bits)) && s.bits[w]&(1<<(n%64)) != 0
}

// newPermSet makes a set of numbers in any order.
func newPermSet(numbers []uint32) *permSet {
	if len(numbers) == 0 {
		return nil
	}
	lo, hi := slices.Min(numbers)/64, slices.Max(numbers)/64
	s := &permSet{first: lo, bits: make([]uint64, hi-lo+1)}
	for _, n := range numbers {
		s.bits[n/64-lo] |= 1 << (n % 64)
	}
	return s
}

// or returns the union of two sets; it may be one of them.
func (s *permSet) or(t *permSet) *permSet {
	if s == nil || s == t {
		return t
	}
	if t == nil {
		return s
	}
	lo := min(s.first, t.first)
	hi := max(s.first+uint32(len(s.bits)), t.first+uint32(len(t.bits)))
	u := &permSet{first: lo, bits: make([]uint64, hi-lo)}
	for _, from := range []*permSet{s, t} {
		for i, w := range from.bits {
			u.bits[from.first-lo+uint32(i)] |= w
		}
	}
	return u
}

// readPerms reads the index of permissions from the file.
func (tx *ReadTx) readPerms() (*permIndex, error) {
	x := &permIndex{number: make(map[Perm]uint32), alias: make(map[PermissionID]uint32), apps: make(map[string][]uint32)}
	for p, err := range tx.Permissions() {
		if err != nil {
			return nil, err
		}
		perm := p.Perm()
		if n, ok := x.number[perm]; ok {
			x.alias[p.ID] = n
			continue
		}
		n := uint32(p.ID)
		x.number[perm] = n
		x.apps[p.App] = append(x.apps[p.App], n)
		x.top = max(x.top, n)
	}
	return x, nil
}

// permIndexFor returns the present index of permissions.
func (e *Engine) permIndexFor(ctx context.Context) (*permIndex, error) {
	if x := e.cache.perms.Load(); x != nil {
		return x, nil
	}
	var x *permIndex
	rev, err := e.viewRev(ctx, func(tx *ReadTx) (err error) {
		x, err = tx.readPerms()
		return err
	})
	if err != nil {
		return nil, err
	}
	x.rev = rev
	e.cache.keepPerms(x, rev)
	return x, nil
}

// A stateLoader puts together what the cache keeps of one user, within one
// transaction. Cached parts that turn out to be newer than the transaction are
// not combined with it: newest tells.
type stateLoader struct {
	tx     *ReadTx
	c      *cache // nil: use nothing from the cache
	index  *permIndex
	fresh  bool                    // index was read from the file
	groups map[GroupID]*groupState // read from the file
	union  *unionState             // made of them
	key    string                  // of union
	newest kv.Rev                  // of the cached parts that were used
}

// perms returns the index of permissions as of the transaction.
func (l *stateLoader) perms() (*permIndex, error) {
	if l.index != nil {
		return l.index, nil
	}
	if l.c != nil {
		if l.index = l.c.perms.Load(); l.index != nil {
			l.newest = max(l.newest, l.index.rev)
			return l.index, nil
		}
	}
	var err error
	l.index, err = l.tx.readPerms()
	l.fresh = true
	return l.index, err
}

// granted returns what was granted to a subject itself, for all objects.
func (l *stateLoader) granted(s Subject) (*permSet, error) {
	var numbers []uint32
	for e, err := range l.tx.scan(bucketGrant, subjectKey(s), nil) {
		if err != nil {
			return nil, err
		}
		if len(e.key) > grantObjectFrom {
			continue // for one object only
		}
		x, err := l.perms()
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, x.num(PermissionID(binary.BigEndian.Uint32(e.key[subjectLen:]))))
	}
	return newPermSet(numbers), nil
}

func (l *stateLoader) group(id GroupID) (*groupState, error) {
	if l.c != nil {
		if g := l.c.group(id); g != nil {
			l.newest = max(l.newest, g.rev)
			return g, nil
		}
	}
	r, err := l.tx.group(id)
	if err != nil {
		return nil, corrupt("a user is in a group that is not there", err)
	}
	g := &groupState{objects: r.objects}
	if g.perms, err = l.granted(id); err != nil {
		return nil, err
	}
	if l.groups == nil {
		l.groups = make(map[GroupID]*groupState)
	}
	l.groups[id] = g
	return g, nil
}

// joined returns what groups give together, and whether one has grants on objects.
func (l *stateLoader) joined(ids []GroupID) (perms *permSet, objects bool, err error) {
	if len(ids) == 0 {
		return nil, false, nil
	}
	for _, id := range ids {
		g, err := l.group(id)
		if err != nil {
			return nil, false, err
		}
		objects = objects || g.objects
		if len(ids) == 1 {
			return g.perms, objects, nil
		}
		perms = perms.or(g.perms)
	}
	// Users in the same groups share one set.
	l.key = string(groupsKey(ids))
	if l.c != nil {
		if u := l.c.union(l.key); u != nil {
			l.newest = max(l.newest, u.rev)
			return u.perms, objects, nil
		}
	}
	l.union = &unionState{perms: perms}
	return perms, objects, nil
}

func groupsKey(ids []GroupID) []byte {
	key := make([]byte, 0, 8*len(ids))
	for _, id := range ids {
		key = binary.BigEndian.AppendUint64(key, uint64(id))
	}
	return key
}

// load reads the state of a user. It is nil if there is no such user.
func (l *stateLoader) load(id UserID) (*userState, error) {
	body, ok, err := l.tx.get(bucketUser, userKey(id))
	if err != nil || !ok {
		return nil, err
	}
	var u userRecord
	decodeUserHead(&body, &u)
	name := body.String()
	st := &userState{id: id, generation: u.generation, inactive: u.Inactive, staff: u.Staff,
		superuser: u.Superuser, objects: u.objects, name: name, groups: u.Groups}
	if st.own, err = l.granted(id); err != nil {
		return nil, err
	}
	joined, objects, err := l.joined(st.groups)
	if err != nil {
		return nil, err
	}
	st.perms = joined.or(st.own)
	st.objects = st.objects || objects
	if st.perms != nil {
		st.index, err = l.perms()
	}
	return st, err
}

// keep gives everything that was read its revision and puts it into the cache.
func (l *stateLoader) keep(e *Engine, st *userState, rev kv.Rev) {
	if l.fresh {
		l.index.rev = rev
		e.cache.keepPerms(l.index, rev)
	}
	for _, g := range l.groups {
		g.rev = rev
	}
	if l.union != nil {
		l.union.rev = rev
	}
	if len(l.groups) > 0 || l.union != nil {
		e.cache.keepGroups(l.groups, l.key, l.union, rev)
	}
	if st == nil {
		return
	}
	st.rev = rev
	e.finishState(st)
	e.cache.keepUser(st, rev)
}

// finishState applies what is in force in memory only, and makes the identities.
func (e *Engine) finishState(st *userState) {
	if e.denied.deactivated(st.id) {
		st.inactive = true
	}
	st.idents = make([]identity, len(e.backends))
	for i, b := range e.backends {
		st.idents[i] = identity{st: st, e: e, backend: b.Name(), allowed: allowsInactive(b)}
	}
}

// loading runs fn in a transaction with a loader until what it used from the
// cache fits the transaction, and keeps what was read. fn returns the
// state that it loaded, or nil.
func (e *Engine) loading(ctx context.Context, fn func(*stateLoader) (*userState, error)) (kv.Rev, error) {
	c := e.cache
	if c.off {
		c = nil
	}
	for {
		var l *stateLoader
		var st *userState
		forgotten := e.forgotten.Load()
		rev, err := e.viewRev(ctx, func(tx *ReadTx) (err error) {
			l = &stateLoader{tx: tx, c: c}
			st, err = fn(l)
			return err
		})
		if err != nil {
			return rev, err
		}
		if l.newest > rev {
			c = nil // the file moved on meanwhile: read everything from one state
			continue
		}
		l.keep(e, st, rev)
		if e.forgotten.Load() != forgotten {
			continue // as in viewRev: finishState asked for what is in memory
		}
		return rev, nil
	}
}

// userState returns the present state of a user, or nil if there is no such user.
func (e *Engine) userState(ctx context.Context, id UserID) (*userState, error) {
	if st := e.cache.find(id); st != nil {
		return st, nil
	}
	var st *userState
	_, err := e.loading(ctx, func(l *stateLoader) (_ *userState, err error) {
		st, err = l.load(id)
		return st, err
	})
	return st, err
}

// Identity returns the identity of a user without any proof: for programs that
// act for a user on their own authority, such as a scheduled job. Its backend
// is the first one configured. The error is [ErrNotFound], or [ErrCredentials]
// if the user is inactive.
func (e *Engine) Identity(ctx context.Context, id UserID) (Identity, error) {
	return e.identity(ctx, id, 0)
}

func (e *Engine) identity(ctx context.Context, id UserID, backend int) (Identity, error) {
	st, err := e.userState(ctx, id)
	if err != nil {
		return Identity{}, err
	}
	if st == nil {
		return Identity{}, notFound("user", fmt.Sprint(id))
	}
	if st.inactive && !st.idents[backend].allowed {
		return Identity{}, ErrCredentials
	}
	return Identity{&st.idents[backend]}, nil
}

// now returns the present state of the user behind id, or nil if it is gone.
func (id Identity) now(ctx context.Context, e *Engine) (*userState, error) {
	if id.p == nil {
		return nil, nil
	}
	if id.p.e != e {
		return nil, errors.New("latchbolt: Identity of another Engine")
	}
	if st := e.cache.users.current(id.p.st.cell, id.p.st.id); st != nil {
		return st, nil
	}
	return e.userState(ctx, id.p.st.id)
}

// as returns the identity with the user's present state, for backends that go by what it says.
func (id Identity) as(st *userState) Identity {
	if id.p == nil || st == nil || id.p.st == st {
		return id
	}
	for i := range st.idents {
		if st.idents[i].backend == id.p.backend {
			return Identity{&st.idents[i]}
		}
	}
	return id
}

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
		if st.perms != nil && slices.ContainsFunc(st.index.apps[app], st.perms.has) {
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
	if _, ok := x.number[p]; !ok {
		return ReasonUndefined, nil
	}
	return ReasonNoGrant, nil
}
