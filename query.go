package latchbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// An Order is the order in which a [UserQuery] yields users.
type Order uint8

const (
	OrderByID   Order = iota
	OrderByName       // by canonical user name, as bytes
)

// A UserQuery picks users. The zero UserQuery picks all of them. Several conditions must all hold.
type UserQuery struct {
	Text   string // occurs in user name, address, first or last name, whatever the case
	Prefix string // starts the user name, whatever the case if the file is set up that way

	Active    Filter
	Staff     Filter
	Superuser Filter

	Group GroupID // is a member of it
	// Perm picks those to whom a permission was granted, directly or through a
	// group, for all objects or for Object, and active superusers. Whether they are active
	// is for Active to say, which Django's with_perm takes as given.
	Perm         Perm
	Object       Object
	NoSuperusers bool // with Perm: superusers only if it was granted to them

	Order Order
	// After continues behind a user that was yielded before in the same
	// order: only its ID and Username count. Nil starts at the beginning.
	After *User
	// Limit is how many users are yielded at most. 0 means all.
	Limit int
}

// A selection is a query made ready: what does not change while it runs.
type selection struct {
	*UserQuery
	text    string
	perms   []PermissionID
	holders map[GroupID]bool // groups that have Perm
	among   []UserID         // ascending: nobody else can be picked; nil: anybody
	look    int              // at how many users in the order of names
	run     *queryRun
}

// A queryRun is what one run of a query remembers from page to page.
type queryRun struct {
	tried bool // some of all users were looked at
	many  bool // there are too many candidates to look for them alone
}

// Users yields the users that a query picks. No transaction is open while the
// body of the loop runs, so users that change meanwhile may be missed or seen
// in either form, but never twice.
func (e *Engine) Users(ctx context.Context, q UserQuery) iter.Seq2[*User, error] {
	return func(yield func(*User, error) bool) {
		q := q // each run begins where the caller said
		// A user who is renamed between two pages can come up in both.
		var seen map[UserID]struct{}
		var run queryRun
		for left := q.Limit; ; {
			page, more, err := e.userPage(ctx, &q, &run, left)
			if err != nil {
				yield(nil, err)
				return
			}
			if more && q.Order == OrderByName && seen == nil {
				seen = make(map[UserID]struct{})
			}
			for _, u := range page {
				if seen != nil {
					if _, again := seen[u.ID]; again {
						continue
					}
					seen[u.ID] = struct{}{}
				}
				if !yield(u, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// userPage fetches what comes after q.After, and moves q.After on. It returns
// early, with fewer or no users, when it looked at many.
func (e *Engine) userPage(ctx context.Context, q *UserQuery, run *queryRun, limit int) (page []*User, more bool, err error) {
	n := pageSize
	if limit > 0 {
		n = min(n, limit)
	}
	var last *User
	err = e.view(ctx, func(tx *ReadTx) error {
		page, more, last = nil, false, q.After
		s, err := tx.selection(q)
		if err != nil {
			return err
		}
		s.run = run
		fetch := tx.usersByID
		if q.Order == OrderByName {
			if fetch, err = tx.byName(s); err != nil {
				return err
			}
		}
		page, last, more, err = fetch(s, n)
		return err
	})
	if last != nil {
		q.After = &User{ID: last.ID, Username: last.Username} // a copy: what is yielded is the caller's to change
	}
	return page, more, err
}

func (tx *ReadTx) selection(q *UserQuery) (*selection, error) {
	s := &selection{UserQuery: q, text: foldName(q.Text), look: scanLimit}
	if q.Perm == "" {
		return s, nil
	}
	var err error
	if s.perms, err = tx.permIDs(q.Perm); err != nil {
		return nil, err
	}
	s.holders = make(map[GroupID]bool)
	for _, p := range s.perms {
		keys, err := tx.keys(bucketHolder, append(permKey(p), subjectGroup), nil, 0)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if o := Object(k[grantObjectFrom:]); o == "" || o == q.Object {
				s.holders[GroupID(binary.BigEndian.Uint64(k[5:]))] = true
			}
		}
	}
	return s, nil
}

// superusers reports whether only active superusers can be picked, of whom there is an index.
func (s *selection) superusers() bool { return s.Superuser == Only && s.Active == Only }

// picks reports whether a selection picks a user.
func (tx *ReadTx) picks(s *selection, u *userRecord) (bool, error) {
	if !s.Active.match(!u.Inactive) || !s.Staff.match(u.Staff) || !s.Superuser.match(u.Superuser) {
		return false, nil
	}
	if s.Group != 0 && !slices.Contains(u.Groups, s.Group) {
		return false, nil
	}
	if s.Prefix != "" && !strings.HasPrefix(tx.e.canonicalName(u.Username), tx.e.canonicalName(s.Prefix)) {
		return false, nil
	}
	if s.text != "" && !containsFold(s.text, u.Username, u.Email, u.FirstName, u.LastName) {
		return false, nil
	}
	if s.Perm == "" {
		return true, nil
	}
	return tx.holds(s, u)
}

// containsFold reports whether one of some texts contains a folded text, whatever the case.
func containsFold(text string, in ...string) bool {
	var buf [128]byte
	part := []byte(text)
	for _, s := range in {
		if len(s) > len(buf) || !isASCII(s) {
			if strings.Contains(foldName(s), text) {
				return true
			}
			continue
		}
		if len(s) < len(text) {
			continue
		}
		low := buf[:len(s)]
		for i := range len(s) {
			low[i] = lowerASCII(s[i])
		}
		if bytes.Contains(low, part) {
			return true
		}
	}
	return false
}

// holds reports whether a user has the permission of a selection by a grant, active or
// not, or as an active superuser.
func (tx *ReadTx) holds(s *selection, u *userRecord) (bool, error) {
	if u.Superuser && !u.Inactive && !s.NoSuperusers {
		return true, nil
	}
	if slices.ContainsFunc(u.Groups, func(g GroupID) bool { return s.holders[g] }) {
		return true, nil
	}
	for _, p := range s.perms {
		for _, o := range slices.Compact([]Object{"", s.Object}) {
			if ok, err := tx.has(bucketGrant, grantKey(u.ID, p, o)); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// scanLimit is how many users one transaction of a query looks at.
const scanLimit = 8 * pageSize

// usersByID returns the next n users in the order of identifiers.
func (tx *ReadTx) usersByID(s *selection, n int) (page []*User, last *User, more bool, err error) {
	last = s.After
	var after UserID
	if last != nil {
		after = last.ID
	}
	ids, more, err := tx.candidates(s, after, scanLimit)
	if err != nil {
		return nil, last, false, err
	}
	for _, id := range ids {
		u, err := tx.user(id)
		if err != nil {
			return nil, last, false, err
		}
		ok, err := tx.picks(s, u)
		if err != nil {
			return nil, last, false, err
		}
		last = &u.User
		if !ok {
			continue
		}
		if page = append(page, &u.User); len(page) == n {
			return page, last, true, nil
		}
	}
	return page, last, more, nil
}

// candidates returns at most n identifiers after one, ascending, among which
// are all that the selection can pick, and whether there may be more.
func (tx *ReadTx) candidates(s *selection, after UserID, n int) ([]UserID, bool, error) {
	var lists [][]UserID
	add := func(ids []UserID, err error) error {
		lists = append(lists, ids)
		return err
	}
	var err error
	switch {
	case s.Group != 0:
		err = add(tx.members(s.Group, after, n))
	case s.superusers():
		err = add(tx.idsAt(bucketSuperuser, nil, userKey(after+1), 0, n))
	case s.Perm != "":
		err = tx.holderLists(s, after, n, add)
	default:
		err = add(tx.idsAt(bucketUser, nil, userKey(after+1), 0, n))
	}
	if err != nil {
		return nil, false, err
	}
	// Each list is complete up to its last entry if it was cut off there, so
	// the union is complete up to the least of those.
	end, more := ^UserID(0), false
	var all []UserID
	for _, ids := range lists {
		if len(ids) == n {
			end, more = min(end, ids[n-1]), true
		}
		all = append(all, ids...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if i, found := slices.BinarySearch(all, end); found {
		all = all[:i+1]
	}
	return all, more, nil
}

// holderLists adds the lists of users who may have the permission of a selection.
func (tx *ReadTx) holderLists(s *selection, after UserID, n int, add func([]UserID, error) error) error {
	for _, p := range s.perms {
		prefix := append(permKey(p), subjectUser)
		var ids []UserID
		for en, err := range tx.scan(bucketHolder, prefix, holderKey(p, after+1, "")) {
			if err != nil {
				return err
			}
			id := keyUser(en.key[5:])
			if o := Object(en.key[grantObjectFrom:]); o != "" && o != s.Object || len(ids) > 0 && ids[len(ids)-1] == id {
				continue
			}
			if ids = append(ids, id); len(ids) == n {
				break
			}
		}
		if err := add(ids, nil); err != nil {
			return err
		}
	}
	for g := range s.holders {
		if err := add(tx.members(g, after, n)); err != nil {
			return err
		}
	}
	if s.NoSuperusers {
		return nil
	}
	return add(tx.idsAt(bucketSuperuser, nil, userKey(after+1), 0, n))
}

// idsAt returns the users whose identifiers stand at a place of at most n keys under a prefix, from a key on.
func (tx *ReadTx) idsAt(b kv.Bucket, prefix, from []byte, at, n int) ([]UserID, error) {
	var ids []UserID
	for p, err := range tx.r.Scan(b, prefix, from) {
		if err != nil {
			return nil, fromStore(err)
		}
		if len(p.Key) < at+8 {
			return nil, corrupt(fmt.Sprintf("%s %x", b, p.Key), nil)
		}
		if ids = append(ids, keyUser(p.Key[at:])); len(ids) == n {
			break
		}
	}
	return ids, nil
}

type fetchUsers func(s *selection, n int) (page []*User, last *User, more bool, err error)

// walkLimit is up to how many candidates the index of names is gone through for them; beyond that they are so many that
// they turn up soon among all.
const walkLimit = 8 * scanLimit

// byName chooses how to go through users in the order of names: few candidates
// are sorted, more are picked out of the index of names by their identifiers, many are come upon there anyway, which
// is found out by trying.
func (tx *ReadTx) byName(s *selection) (fetchUsers, error) {
	if s.Group == 0 && s.Perm == "" && !s.superusers() || s.run.many {
		return tx.usersByName, nil
	}
	lists := 1
	if s.Group == 0 {
		lists += len(s.holders) + len(s.perms)
	}
	ids, more, err := tx.candidates(s, 0, scanLimit)
	if err != nil {
		return nil, err
	}
	if more && !s.run.tried {
		s.run.tried = true
		s.look = pageSize
		return tx.usersByName, nil
	}
	if more || len(ids) > scanLimit {
		ids, more, err = tx.candidates(s, 0, max(scanLimit, walkLimit/lists))
		if s.run.many = more; !more {
			s.among = ids
		}
		return tx.usersByName, err
	}
	return func(s *selection, n int) ([]*User, *User, bool, error) { return tx.sortedUsers(s, ids, n) }, nil
}

// sortedUsers picks from a few candidates in the order of names.
func (tx *ReadTx) sortedUsers(s *selection, ids []UserID, n int) (page []*User, last *User, more bool, err error) {
	last = s.After
	after := ""
	if last != nil {
		after = tx.nameOrder(last.Username)
	}
	type named struct {
		key string
		id  UserID
	}
	var all []named
	for _, id := range ids {
		name, err := tx.username(id)
		if err != nil {
			return nil, last, false, err
		}
		if key := tx.nameOrder(name); s.After == nil || key > after {
			all = append(all, named{key, id})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.key, b.key) })
	for _, c := range all {
		if len(page) == n {
			return page, last, true, nil
		}
		u, err := tx.user(c.id)
		if err != nil {
			return nil, last, false, err
		}
		last = &u.User
		if ok, err := tx.picks(s, u); err != nil {
			return nil, last, false, err
		} else if ok {
			page = append(page, &u.User)
		}
	}
	return page, last, false, nil
}

// nameOrder is what users are ordered by.
func (tx *ReadTx) nameOrder(name string) string { return string(nameKey(tx.e.canonicalName(name))) }

// username returns no more than the name of a user.
func (tx *ReadTx) username(id UserID) (string, error) {
	body, ok, err := tx.get(bucketUser, userKey(id))
	if err != nil {
		return "", err
	}
	if !ok {
		return "", notFound("user", fmt.Sprint(id))
	}
	decodeUserHead(&body, new(userRecord))
	return body.String(), nil
}

// usersByName returns the next n users in the order of names.
func (tx *ReadTx) usersByName(s *selection, n int) (page []*User, last *User, more bool, err error) {
	last = s.After
	var prefix, from []byte
	if s.Prefix != "" {
		prefix = []byte(tx.e.canonicalName(s.Prefix))
		prefix = prefix[:min(len(prefix), maxNameKey-32)]
	}
	if last != nil {
		from = append(nameKey(tx.e.canonicalName(last.Username)), 0)
	}
	seen, passed := 0, 0
	for en, err := range tx.scan(bucketUserName, prefix, from) {
		if err != nil {
			return nil, last, false, err
		}
		if len(page) == n || seen == s.look {
			return page, last, true, nil
		}
		id := UserID(en.body.Uint64())
		if s.among != nil {
			if _, in := slices.BinarySearch(s.among, id); !in {
				if passed++; passed < 4*walkLimit { // it costs a tenth of looking at a user
					continue
				}
			}
		}
		if passed == 4*walkLimit {
			seen = s.look - 1 // it is enough for one transaction
		}
		seen++
		u, err := tx.user(id)
		if err != nil {
			return nil, last, false, err
		}
		last = &u.User
		if ok, err := tx.picks(s, u); err != nil {
			return nil, last, false, err
		} else if ok {
			page = append(page, &u.User)
		}
	}
	return page, last, false, nil
}

func joinComma(names []string) string { return strings.Join(names, ", ") }
