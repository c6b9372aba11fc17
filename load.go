package latchbolt

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A permIndex numbers the permissions. The number of a [Perm] is that of the lowest
// PermissionID that has the name: the identifier itself below denseIDs, and denseIDs and how many came before it from there on.
type permIndex struct {
	rev    kv.Rev
	number map[Perm]uint32
	late   map[Perm]uint32         // those that were defined since number was made; few
	alias  map[PermissionID]uint32 // only for those whose number is not the identifier
	apps   map[string][]uint32     // of number
	far    uint32                  // how many numbers from denseIDs on there are
}

// denseIDs is from where on identifiers are counted to get numbers. A set of permissions has a bit for each number up to the
// highest, and another system may have chosen any identifiers.
const denseIDs = 1 << 14

// give numbers a permission whose name is new, and reports whether the number is not the identifier. Permissions come by identifier.
func (x *permIndex) give(id PermissionID) (n uint32, other bool) {
	if id < denseIDs {
		return uint32(id), false
	}
	n = denseIDs + x.far
	x.far++
	return n, PermissionID(n) != id
}

// find returns the number of a permission.
func (x *permIndex) find(p Perm) (n uint32, ok bool) {
	if n, ok = x.number[p]; !ok && x.late != nil {
		n, ok = x.late[p]
	}
	return n, ok
}

// maxLate bounds how many permissions are added to an index before it is read anew.
const maxLate = 256

// with returns the index of a later state, in which nothing is different but that permissions were
// defined. It is nil if there are too many of them.
func (x *permIndex) with(defined []Permission, rev kv.Rev) *permIndex {
	if len(x.late)+len(defined) > maxLate {
		return nil
	}
	y := &permIndex{rev: rev, number: x.number, alias: x.alias, apps: x.apps, far: x.far, late: make(map[Perm]uint32, len(x.late)+len(defined))}
	maps.Copy(y.late, x.late)
	defined = slices.SortedFunc(slices.Values(defined), func(a, b Permission) int { return cmp.Compare(a.ID, b.ID) })
	for _, p := range defined {
		n, other := y.find(p.Perm())
		if !other {
			n, other = y.give(p.ID)
			y.late[p.Perm()] = n
		}
		if !other {
			continue
		}
		if len(y.alias) == len(x.alias) {
			y.alias = maps.Clone(y.alias)
		}
		y.alias[p.ID] = n
	}
	return y
}

// anyOf reports whether a set has a permission of an app.
func (x *permIndex) anyOf(app string, in *permSet) bool {
	if slices.ContainsFunc(x.apps[app], in.has) {
		return true
	}
	for p, n := range x.late {
		if p.App() == app && in.has(n) {
			return true
		}
	}
	return false
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
		n, other := x.give(p.ID)
		if other {
			x.alias[p.ID] = n
		}
		x.number[perm] = n
		x.apps[p.App] = append(x.apps[p.App], n)
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
	key := subjectKey(s)
	if none, err := l.tx.none(bucketGrant, key); none || err != nil {
		return nil, err
	}
	return l.grantedUnder(key)
}

func (l *stateLoader) grantedUnder(subject []byte) (*permSet, error) {
	var numbers []uint32
	for e, err := range l.tx.scan(bucketGrant, subject, nil) {
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
		return nil, missing(err, "a user is in a group that is not there")
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
	if len(ids) > 1 { // users in the same groups share one set
		l.key = string(groupsKey(ids))
		if l.c != nil {
			if u := l.c.union(l.key); u != nil {
				l.newest = max(l.newest, u.rev)
				return u.perms, u.objects, nil
			}
		}
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
	l.union = &unionState{perms: perms, objects: objects}
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
	if err := body.Err(); err != nil {
		return nil, fromRecord(bucketUser, userKey(id), err)
	}
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
	if st.idents = st.first[:]; len(e.backends) > len(st.first) {
		st.idents = make([]identity, len(e.backends))
	}
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
