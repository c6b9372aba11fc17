package django

import (
	"cmp"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt"
)

// An index finds records by primary key and by natural key. The numbers are places in the plan's slices.
type index[K comparable] struct {
	byID  map[int64]int
	byKey map[K]int
}

func newIndex[K comparable](n int) *index[K] {
	return &index[K]{byID: make(map[int64]int, n), byKey: make(map[K]int, n)}
}

// add files a record and refuses what is there already.
func (x *index[K]) add(i int, id int64, key K, at place, name string) error {
	if id != 0 {
		if _, twice := x.byID[id]; twice {
			return at.errorf("pk", "occurs twice: %d", id)
		}
		x.byID[id] = i
	}
	if _, twice := x.byKey[key]; twice {
		return at.errorf("", "occurs twice: %s", quote(name))
	}
	x.byKey[key] = i
	return nil
}

// find returns the record that a reference leads to.
func (x *index[K]) find(r ref, n *names[K]) (int, bool) {
	if r > 0 {
		i, ok := x.byID[int64(r)]
		return i, ok
	}
	i, ok := x.byKey[n.key(r)]
	return i, ok
}

// findAll does so for a list.
func (x *index[K]) findAll(refs []ref, n *names[K], at place, field string, show func(K) string) ([]int, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	found := make([]int, 0, len(refs))
	for _, r := range refs {
		i, ok := x.find(r, n)
		switch {
		case !ok && r > 0:
			return nil, at.errorf(field, "refers to primary key %d, which the dump does not have; dump contenttypes and auth whole", r)
		case !ok:
			return nil, at.errorf(field, "refers to %s, which the dump does not have; dump contenttypes and auth whole", quote(show(n.key(r))))
		}
		found = append(found, i)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Orders of the records with their primary keys first, so that those that get one now get one that is free.
func byID(a, b int64) int {
	if a == 0 || b == 0 {
		return cmp.Compare(b, a) // those without go behind, in the order of the dump
	}
	return cmp.Compare(a, b)
}

// resolve follows all references and judges what can be judged without a file.
func (p *plan) resolve() error {
	slices.SortStableFunc(p.permissions, func(a, b permission) int { return byID(a.id, b.id) })
	slices.SortStableFunc(p.groups, func(a, b group) int { return byID(a.id, b.id) })
	slices.SortStableFunc(p.users, func(a, b user) int { return byID(a.id, b.id) })
	perms, err := p.resolvePermissions()
	if err != nil {
		return err
	}
	groups := newIndex[string](len(p.groups))
	for i := range p.groups {
		g := &p.groups[i]
		if err := groups.add(i, g.id, g.name, g.place, g.name); err != nil {
			return err
		}
		if g.has, err = perms.findAll(g.perms, &p.names.perms, g.place, "permissions", permKey.String); err != nil {
			return err
		}
		g.perms = nil
	}
	users := newIndex[string](len(p.users))
	for i := range p.users {
		u := &p.users[i]
		if err := users.add(i, u.id, u.user.Username, u.place, u.user.Username); err != nil {
			return err
		}
		if u.in, err = groups.findAll(u.groups, &p.names.groups, u.place, "groups", strings.Clone); err != nil {
			return err
		}
		if u.has, err = perms.findAll(u.perms, &p.names.perms, u.place, "user_permissions", permKey.String); err != nil {
			return err
		}
		u.groups, u.perms = nil, nil
		p.judgeUser(u)
	}
	return p.resolveSessions(users)
}

// String returns the natural key as Django shows it.
func (k permKey) String() string { return k.app + "." + k.model + "." + k.codename }

// maxPermissionID is the highest identifier that a permission can have here.
const maxPermissionID = 1<<31 - 1

func (p *plan) resolvePermissions() (*index[permKey], error) {
	perms := newIndex[permKey](len(p.permissions))
	for i := range p.permissions {
		m := &p.permissions[i]
		var key typeKey
		if m.typ > 0 {
			var ok bool
			if key, ok = p.types[int64(m.typ)]; !ok {
				return nil, m.errorf("content_type", "refers to primary key %d, which the dump does not have; dump contenttypes too", m.typ)
			}
		} else {
			key = p.names.types.key(m.typ) // says all that is needed, whether or not the content type is in the dump
		}
		if m.id > maxPermissionID {
			return nil, m.errorf("pk", "is %d; a permission can have %d at most", m.id, maxPermissionID)
		}
		m.perm.ID = latchbolt.PermissionID(m.id)
		m.perm.App, m.perm.Model = key.app, key.model
		k := permKey{key.app, key.model, m.perm.Codename}
		if err := perms.add(i, m.id, k, m.place, k.String()); err != nil {
			return nil, err
		}
	}
	return perms, nil
}

// judgeUser parses the password hash and notes what is odd about a user.
func (p *plan) judgeUser(u *user) {
	key := quote(u.user.Username)
	var err error
	if u.hash, err = latchbolt.ParsePasswordHash(u.password); err != nil {
		p.report.skip(u.note(key, reasonBadHash))
		u.hash = latchbolt.PasswordHash{}
	}
	info := u.hash.Info()
	switch {
	case info.Usable && legacyAlgorithms[info.Algorithm]:
		p.report.warn(u.note(key, reasonOldHash))
	case info.Usable && (info.Algorithm == "" || unverified(u.password)):
		p.report.warn(u.note(key, reasonOddHash))
	}
	name, err := latchbolt.NormalizeUsername(u.user.Username)
	if err == nil && name != u.user.Username {
		p.report.warn(u.note(key, reasonNFKC))
	}
	if err == nil && latchbolt.ValidateUsername(name) != nil {
		p.report.warn(u.note(key, reasonOddName))
	}
	if latchbolt.ValidateEmail(u.user.Email) != nil {
		p.report.warn(u.note(key, reasonOddEmail))
	}
	if strings.ContainsAny(u.user.FirstName+u.user.LastName, "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029") {
		p.report.warn(u.note(key, reasonOddText))
	}
}

// legacyAlgorithms are those that Config.LegacyHashes is for.
var legacyAlgorithms = map[string]bool{"sha1": true, "unsalted_sha1": true, "unsalted_md5": true, "ssha": true}

// unverified reports whether a hash is of a variety of argon2 that nothing here verifies.
func unverified(password string) bool {
	variety, ok := strings.CutPrefix(password, "argon2$")
	return ok && (strings.HasPrefix(variety, "argon2d$") || !strings.Contains(variety, "$v=19$"))
}
