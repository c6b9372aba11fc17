package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/extsort"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// ActionLoad is what the audit trail says of [Engine.Load].
const ActionLoad = "load"

// LoadOptions say how [Engine.Load] goes about it. The zero LoadOptions stand for a load that is
// refused as a whole if a single name is taken.
type LoadOptions struct {
	// OnDuplicate is told of each user whose name, or address if addresses have to be unique, is
	// taken, after fn returned, in the order of their identifiers. If it returns nil the user is left out of the load, with
	// memberships and grants; its error is Load's, and then nothing is changed. Nil makes the
	// first duplicate the error. It must not write by the Engine.
	OnDuplicate func(*DuplicateError) error
	// Detail is what the audit entry of the load says besides the numbers, such as the
	// name of the source.
	Detail string
	// DryRun does everything but keep the result, so that it also finds duplicates. The identifiers stay free.
	DryRun bool
}

// errDryRun undoes a load.
var errDryRun = errors.New("latchbolt: load: dry run")

// A DuplicateError says which user of a load has a name or an address that is taken. Of two in one load
// it is the one with the higher identifier, which unless the caller chose them is the later one. That holds also if the
// other one is left out for another reason.
// errors.Is(err, ErrExists) and errors.Is(err, ErrInvalid) hold for it.
type DuplicateError struct {
	Line   int64  // [Loader.Line] when the user was inserted
	ID     UserID // that the user would have had; it is not given out again
	Field  string // what is taken: "username", "email" or "id"
	Value  string // as it was to be stored
	InFile bool   // by a user that was there before the load; otherwise by another one of the load
}

func (e *DuplicateError) Error() string {
	by := "another user of the load"
	if e.InFile {
		by = "a user of the file"
	}
	return fmt.Sprintf("latchbolt: record %d: the %s %s is that of %s", e.Line, e.Field, quote(e.Value), by)
}

// Is reports whether target is [ErrExists] or [ErrInvalid].
func (e *DuplicateError) Is(target error) bool { return target == ErrExists || target == ErrInvalid }

// A Loader takes in what [Engine.Load] loads. It is valid only inside the function it was given to,
// and only on one goroutine. It sees users as they were before the load, and groups and permissions
// with those that were added. A method that returns an error has changed nothing, and the function may go on: for example
// with the next record, having noted which one was refused.
type Loader struct {
	// Line is the caller's number of the record that is inserted next, such as its line in the
	// input; it stands in a [DuplicateError]. Where it is 0, the users are counted instead, from 1.
	Line int64

	e      *Engine
	bulk   kv.Bulk
	tx     *Tx // what is little: groups, permissions, grants to them; kept in memory
	before UserID
	last   UserID // highest identifier given out
	sorted *extsort.Sorter
	count  int64
	inTX   map[GroupID]bool      // groups that are known to exist
	perms  map[Perm]PermissionID // as found so far

	// pending is the user inserted last, who can still be granted permissions for objects.
	pending     *userRecord
	pendingLine int64
	batch       []loadItem // before that
	encoder     *userEncoder
	err         error // makes the load fail

	dropped []droppedUser // by identifier
	fresh   []droppedUser // found since
	sealed  []byte        // the record that is merged
	inFile  bool          // the name before is in the file
}

// What is sorted, each class by the key that it has in its bucket. The order of the classes has no meaning.
const (
	loadName = iota
	loadEmail
	loadLogin
	loadSuper
	loadMember
	loadGrant
	loadHolder
	loadLate
)

// loadMemory is about how many bytes a load keeps in memory, twice, before it sorts them into a file.
const loadMemory = 12 << 20

// Load takes in users by the million as one step that is made whole or not at all: an error or a panic of
// fn, a context that is done, a crash and a full disk leave the file as it was. It is called in place of Update
// for what is too much for one transaction: memory stays the same however many users come. It
// costs about as much as copying the file, beside which it needs room for the new file and, in files that nobody
// else can see, for as much again as is loaded.
//
// fn is called once. Meanwhile the engine answers everything that reads, with the state before, also
// to fn itself; everything that writes waits until Load is done, and fails with [ErrNested] in fn.
//
// Users, their groups and what is granted to a user right after its insertion can be of any number. Groups, permissions and
// grants to groups and to users that were there before are kept in memory until the end.
//
// One entry in the audit trail, [ActionLoad], stands for the whole load. The error is a [*DuplicateError] if a name is
// taken and opts say nothing else, or what fn returned. On Windows a file in use cannot be replaced, so there it
// is [errors.ErrUnsupported].
func (e *Engine) Load(ctx context.Context, opts LoadOptions, fn func(*Loader) error) error {
	store, ok := e.store.(kv.BulkUpdater)
	if !ok {
		return fmt.Errorf("latchbolt: load: the store cannot: %w", errors.ErrUnsupported)
	}
	e.clock.follow()
	e.loads.Add(1)
	defer e.loads.Add(-1)
	var fx effects
	fenced, done := false, false
	defer func() {
		if fenced && !done {
			e.cache.settle(&fx, 0, errNotCommitted)
		}
	}()
	rev, err := store.BulkUpdate(ctx, func(b kv.Bulk) error {
		l := newLoader(ctx, e, b, &fx)
		defer l.close()
		if err := l.begin(); err != nil {
			return err
		}
		if err := fn(l); err != nil {
			return err
		}
		if err := l.finish(&opts); err != nil {
			return err
		}
		if opts.DryRun {
			return errDryRun
		}
		return nil
	}, func() {
		e.cache.fence(&fx)
		fenced = true
	})
	done = true
	if err = e.finish(&fx, fenced, rev, err); errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

func newLoader(ctx context.Context, e *Engine, b kv.Bulk, fx *effects) *Loader {
	dir := ""
	if e.path != "" {
		dir = filepath.Dir(e.path) // where there is room for a file of that size
	}
	tx := &Tx{ReadTx: ReadTx{e: e, r: b, ctx: ctx, now: e.clock.now()}, w: b, fx: fx}
	return &Loader{
		e:       e,
		bulk:    b,
		tx:      tx,
		sorted:  extsort.New(dir, loadMemory),
		encoder: newUserEncoder(dir, tx),
		inTX:    make(map[GroupID]bool),
		perms:   make(map[Perm]PermissionID),
	}
}

func (l *Loader) begin() error {
	if l.e.path != "" {
		if err := extsort.Sweep(filepath.Dir(l.e.path)); err != nil {
			return err
		}
	}
	ids, err := l.tx.ids()
	if err == nil {
		l.before, l.last = ids.user, ids.user
	}
	return err
}

func (l *Loader) close() {
	l.encoder.close()
	l.sorted.Close()
}

// InsertUser adds a user with a password hash; see [Tx.InsertUser]. That the name is free, and the address if addresses have to be
// unique, is found out after the function has returned; see [LoadOptions]. An identifier that u brings must
// never have been given out before the load, and ascending ones are quickest. u.Password is left as it is.
func (l *Loader) InsertUser(u *User, h PasswordHash) error { return l.insert(u, h, normalizeUser) }

// InsertBroughtUser adds a user of another system as it is there; see [Tx.InsertBroughtUser] and
// [Loader.InsertUser].
func (l *Loader) InsertBroughtUser(u *User, h PasswordHash) error {
	return l.insert(u, h, normalizeBrought)
}

func (l *Loader) insert(u *User, h PasswordHash, normalize func(*User) error) error {
	r, err := newUserRecord(u, h, l.tx.now, normalize)
	if err != nil {
		return err
	}
	if r.Groups, err = l.groupsOf(r.Groups); err != nil {
		return err
	}
	if r.ID, err = l.takeID(r.ID); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	l.count++
	l.last = max(l.last, r.ID)
	l.pending, l.pendingLine = r, l.Line
	if l.Line == 0 {
		l.pendingLine = l.count
	}
	password := u.Password
	*u = r.User
	u.Groups, u.Password = slices.Clone(r.Groups), password
	return l.index(r)
}

// groupsOf returns the groups that a user is to be in, ascending.
func (l *Loader) groupsOf(groups []GroupID) ([]GroupID, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	groups = slices.Clone(groups)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	if len(groups) > maxGroups {
		return nil, errTooManyGroups()
	}
	for _, g := range groups {
		if l.inTX[g] {
			continue
		}
		if _, err := l.tx.group(g); err != nil {
			return nil, err
		}
		l.inTX[g] = true
	}
	return groups, nil
}

// takeID returns the identifier of a new user.
func (l *Loader) takeID(want UserID) (UserID, error) {
	id := want
	if id == 0 {
		id = l.last + 1
	} else if id <= l.before {
		if taken, err := l.tx.has(bucketUser, userKey(id)); err != nil || taken {
			if err == nil {
				err = exists("user", fmt.Sprint(id))
			}
			return 0, err
		}
	}
	return id, checkID(id, l.before, "user")
}

// index collects what leads to a user.
func (l *Loader) index(r *userRecord) error {
	id := userKey(r.ID)
	name, email, super := l.e.indexKeys(r)
	l.add(loadName, name, id)
	if email != nil {
		if l.e.cfg.UniqueEmail {
			email = emailPrefix(foldEmail(r.Email))
		}
		l.add(loadEmail, email, id)
	}
	if super != nil {
		l.add(loadSuper, super, id)
	}
	if !r.LastLogin.IsZero() {
		l.add(loadLogin, id, be64(uint64(r.LastLogin.UnixMicro())))
	}
	for _, g := range r.Groups {
		l.add(loadMember, memberKey(g, r.ID), nil)
	}
	return l.err
}

// add collects one entry.
func (l *Loader) add(class byte, key, value []byte) {
	if err := l.sorted.Add(class, key, value); err != nil {
		l.err = fmt.Errorf("latchbolt: load: %w", err)
	}
}

// flush hands the user that was inserted last to the encoder.
func (l *Loader) flush() error {
	if l.pending != nil {
		l.batch = append(l.batch, loadItem{l.pending, l.pendingLine})
		l.pending = nil
		if len(l.batch) == encodeBatch {
			l.encoder.send(l.batch)
			l.batch = make([]loadItem, 0, encodeBatch)
		}
	}
	if err := l.encoder.failed.Load(); err != nil {
		return *err
	}
	return l.err
}

// InsertGroup adds a group; see [Tx.InsertGroup].
func (l *Loader) InsertGroup(g *Group) error { return l.tx.InsertGroup(g) }

// InsertPermission adds a permission; see [Tx.InsertPermission].
func (l *Loader) InsertPermission(p *Permission) error {
	clear(l.perms)
	return l.tx.InsertPermission(p)
}

// Define makes sure that permissions exist; see [Tx.Define].
func (l *Loader) Define(perms ...Permission) error {
	clear(l.perms)
	return l.tx.Define(perms...)
}

// Grant gives a permission to a group, to a user that was there before the load, or to the user that
// was inserted last; see [Tx.Grant]. For a user that was inserted before that the error is [ErrNotFound].
func (l *Loader) Grant(s Subject, p Perm, objects ...Object) error {
	id, ok := l.perms[p]
	if !ok {
		var err error
		if id, err = l.tx.firstPerm(p); err != nil {
			return err
		}
		l.perms[p] = id
	}
	return l.grant(s, id, true, objects)
}

// GrantID is Grant for one permission of several that share a name.
func (l *Loader) GrantID(s Subject, p PermissionID, objects ...Object) error {
	return l.grant(s, p, false, objects)
}

// grant gives a permission. known tells that there is such a permission.
func (l *Loader) grant(s Subject, p PermissionID, known bool, objects []Object) error {
	id, user := s.(UserID)
	if !user || id <= l.before {
		return l.tx.GrantID(s, p, objects...)
	}
	if l.pending == nil || l.pending.ID != id {
		return fmt.Errorf("%w: it is not the user that was inserted last", notFound("user", fmt.Sprint(id)))
	}
	if !known {
		if _, err := l.tx.permission(p); err != nil {
			return err
		}
	}
	for _, o := range objects {
		if err := checkObject(o); err != nil {
			return err
		}
	}
	l.pending.objects = l.pending.objects || len(objects) > 0
	for _, o := range orAll(objects) {
		l.add(loadGrant, grantKey(s, p, o), nil)
		l.add(loadHolder, holderKey(p, s, o), nil)
	}
	return l.err
}

// Record adds an entry of the program's own to the audit trail.
func (l *Loader) Record(a AuditEntry) error { return l.tx.Record(a) }

// Now returns the engine's time for this load.
func (l *Loader) Now() time.Time { return l.tx.now }

// Group returns a group by identifier, or an error that is [ErrNotFound].
func (l *Loader) Group(id GroupID) (*Group, error) { return l.tx.Group(id) }

// GroupByName returns the group with exactly this name.
func (l *Loader) GroupByName(name string) (*Group, error) { return l.tx.GroupByName(name) }

// Groups yields all groups by identifier. None may be added while the loop runs.
func (l *Loader) Groups() iter.Seq2[*Group, error] { return l.tx.Groups() }

// Permissions yields all permissions by identifier. None may be added while the loop runs.
func (l *Loader) Permissions() iter.Seq2[*Permission, error] { return l.tx.Permissions() }

// User returns a user that was there before the load, or an error that is [ErrNotFound].
func (l *Loader) User(id UserID) (*User, error) { return l.tx.User(id) }

// UserByName returns a user that was there before the load; see [ReadTx.UserByName].
func (l *Loader) UserByName(name string) (*User, error) { return l.tx.UserByName(name) }
