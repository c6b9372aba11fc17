package latchbolt

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// The cache answers SessionUser and HasPerm from memory, exactly as the file
// would. That is possible because the file's lock makes this process its only
// writer. The rule is the fence:
//
//   - Before a commit, whatever depends on a key that is about to change is
//     removed, and nothing may be inserted in its place (fence).
//   - Readers meanwhile go to the file. They see the state before or after the
//     commit, never anything else, and what they read is not kept.
//   - When the outcome is known, insertions are allowed again, but only of what was
//     read from the new state or a later one (settle).
//
// Each part carries the revision it was read at. One that is still there may be
// combined with a snapshot of the file only if it is not newer than the
// snapshot: then nothing changed it in between, and both belong to one state.
//
// So nothing that a commit made untrue is answered from memory after the call
// that committed it has returned, and nobody goes from the new state back to the old one.
//
// The alternative, a version number checked on every hit, costs a shared
// cache line per request and still has to be raised before the commit; fencing
// by shard keeps readers free of any shared write.
//
// Sessions live in a table without pointers (sessiontable.go), which costs the
// garbage collector nothing; users in cells that are found by number, so that a
// session can name its user's cell, and an Identity finds the present state of
// its user, without a lookup.
type cache struct {
	off      bool
	denied   *denials // never kept
	sessions sessionTable
	users    userTable
	perms    atomic.Pointer[permIndex]

	mu       sync.Mutex // guards all below, and every change of the tables
	sessionF [fenceShards]fence
	userF    [fenceShards]fence
	policyF  fence  // grants of groups, and which permissions there are
	policyN  uint64 // how often it was raised
	unions   map[string]*unionState
	groups   map[GroupID]*groupState
}

const fenceShards = 256

// A fence says what may be inserted into one part of the cache.
type fence struct {
	commits int    // commits under way that touch this part; none may be inserted while > 0
	since   kv.Rev // the oldest state that may be inserted
}

func (f *fence) allows(rev kv.Rev) bool { return f.commits == 0 && rev >= f.since }

func (f *fence) raise() { f.commits++ }

func (f *fence) settle(rev kv.Rev, committed bool) {
	f.commits--
	if committed {
		f.since = max(f.since, rev)
	}
}

func sessionShard(s selector) int { return int(s[15]) }
func userShard(id UserID) int     { return int(id % fenceShards) }

func newCache(sessions, users int, denied *denials) *cache {
	c := &cache{off: sessions < 0 || users < 0, denied: denied}
	c.unions = make(map[string]*unionState)
	c.groups = make(map[GroupID]*groupState)
	if !c.off {
		c.sessions.init(sessions)
		c.users.init(users)
	}
	return c
}

// touchesPolicy reports whether fx changes what more than one user may do.
func (fx *effects) touchesPolicy() bool {
	return fx.policy || len(fx.defined) > 0 || len(fx.groups) > 0
}

// touchesCache reports whether fx makes untrue what may be in memory.
func (fx *effects) touchesCache() bool {
	return len(fx.sessions)+len(fx.users) > 0 || fx.touchesPolicy()
}

// fence removes what fx makes untrue and keeps it out until settle.
func (c *cache) fence(fx *effects) {
	if !fx.touchesCache() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range fx.sessions {
		c.sessionF[sessionShard(s)].raise()
		c.sessions.remove(s)
	}
	for _, id := range fx.users {
		c.userF[userShard(id)].raise()
		if c.users.forget(id) {
			fx.drop(id)
		}
	}
	if fx.touchesPolicy() {
		c.policyF.raise()
		c.policyN++
		c.dropPolicyLocked(fx)
	}
}

// dropPolicyLocked forgets the users whose permissions may change: all, if
// permissions went, or the members of the groups that changed. A permission that comes is nobody's
// yet, so it changes the index alone. c.mu is held.
func (c *cache) dropPolicyLocked(fx *effects) {
	if len(fx.defined) > 0 {
		fx.index, fx.indexN = c.perms.Load(), c.policyN
		c.perms.Store(nil)
	}
	if fx.policy {
		c.perms.Store(nil)
		clear(c.groups)
		clear(c.unions)
		c.users.forgetIf(func(st *userState) bool { fx.drop(st.id); return true })
		return
	}
	if len(fx.groups) == 0 {
		return
	}
	for _, g := range fx.groups {
		delete(c.groups, g)
	}
	clear(c.unions)
	c.users.forgetIf(func(st *userState) bool {
		member := slices.ContainsFunc(fx.groups, func(g GroupID) bool {
			_, in := slices.BinarySearch(st.groups, g)
			return in
		})
		if member {
			fx.drop(st.id)
		}
		return member
	})
}

// settle ends a fence. If the outcome of the commit is not known, the fence
// stays: the engine answers nothing any more.
func (c *cache) settle(fx *effects, rev kv.Rev, err error) {
	if isUnknown(err) || !fx.touchesCache() {
		return
	}
	committed := err == nil
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range fx.sessions {
		c.sessionF[sessionShard(s)].settle(rev, committed)
	}
	for _, id := range fx.users {
		c.userF[userShard(id)].settle(rev, committed)
	}
	if fx.touchesPolicy() {
		c.policyF.settle(rev, committed)
		if committed && !fx.policy && fx.index != nil && fx.indexN == c.policyN && c.policyF.allows(rev) {
			c.perms.Store(fx.index.with(fx.defined, rev)) // nobody else changed it since
		}
	}
}

// dropAll empties the cache for good, when the engine fails or closes.
func (c *cache) dropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range fenceShards {
		c.sessionF[i].raise()
		c.userF[i].raise()
	}
	c.policyF.raise()
	c.perms.Store(nil)
	if !c.off {
		c.sessions.clear()
		c.users.forgetIf(func(*userState) bool { return true })
	}
}

// A groupState is what a group gives to its members.
type groupState struct {
	rev     kv.Rev
	perms   *permSet
	objects bool
}

// A unionState is what several groups give together.
type unionState struct {
	rev     kv.Rev
	perms   *permSet
	objects bool
}

// A userState is everything about a user that SessionUser and HasPerm need,
// as of one state of the file. It never changes.
type userState struct {
	rev        kv.Rev
	id         UserID
	cell       uint32
	generation uint32
	inactive   bool
	staff      bool
	superuser  bool
	objects    bool // it, or a group of it, has grants on single objects
	name       string
	own        *permSet   // granted to the user; nil: none
	perms      *permSet   // own and of the groups; nil: none
	index      *permIndex // what the numbers in perms stand for; set if there are any
	groups     []GroupID
	idents     []identity  // one for each configured backend
	first      [1]identity // where idents is kept if there is one backend: one object less to look at for the collector
}

// A userTable holds the present state of users in numbered cells.
type userTable struct {
	limit  int
	index  map[UserID]uint32 // guarded by cache.mu
	used   uint32            // cells that were ever in use; guarded by cache.mu
	hand   uint32            // where the search for a victim goes on; guarded by cache.mu
	chunks atomic.Pointer[[]*cellChunk]
}

const cellsPerChunk = 1024

type cellChunk [cellsPerChunk]userCell

// A userCell belongs to one user at a time. state is nil while the present
// state is not in memory.
type userCell struct {
	id    atomic.Uint64
	state atomic.Pointer[userState]
	used  atomic.Bool // since the hand came by
}

// noCell is the number of no cell.
const noCell = ^uint32(0)

func (t *userTable) init(limit int) {
	t.limit = limit
	t.index = make(map[UserID]uint32)
	t.chunks.Store(new([]*cellChunk))
}

// cell returns a cell by its number, or nil.
func (t *userTable) cell(n uint32) *userCell {
	chunks := t.chunks.Load()
	if chunks == nil {
		return nil
	}
	if i := int(n / cellsPerChunk); i < len(*chunks) {
		return &(*chunks)[i][n%cellsPerChunk]
	}
	return nil
}

// current returns the present state of a user if it is in the cell given.
func (t *userTable) current(n uint32, id UserID) *userState {
	c := t.cell(n)
	if c == nil {
		return nil
	}
	st := c.state.Load()
	if st == nil || st.id != id {
		return nil
	}
	return st
}

// forget drops the state of a user and reports whether there was one. cache.mu is held.
func (t *userTable) forget(id UserID) bool {
	n, ok := t.index[id]
	return ok && t.cell(n).state.Swap(nil) != nil
}

// forgetIf drops the states that fn picks. cache.mu is held.
func (t *userTable) forgetIf(fn func(*userState) bool) {
	for n := range t.used {
		c := t.cell(n)
		if st := c.state.Load(); st != nil && fn(st) {
			c.state.Store(nil)
		}
	}
}

// assign returns a cell for a user: its own, a new one, or that of another user who was
// not asked about lately. cache.mu is held.
func (t *userTable) assign(id UserID) uint32 {
	if n, ok := t.index[id]; ok {
		return n
	}
	n := t.used
	if int(n) < t.limit {
		t.used++
		if chunks := *t.chunks.Load(); int(n/cellsPerChunk) == len(chunks) {
			more := append(slices.Clone(chunks), new(cellChunk))
			t.chunks.Store(&more)
		}
	} else {
		n = t.victim()
		delete(t.index, UserID(t.cell(n).id.Load()))
		t.cell(n).state.Store(nil)
	}
	t.cell(n).id.Store(uint64(id))
	t.index[id] = n
	return n
}

// victim goes round the cells and takes the first that was not used since it came by last.
func (t *userTable) victim() uint32 {
	for range 2 * t.used {
		t.hand = (t.hand + 1) % t.used
		if c := t.cell(t.hand); c.state.Load() == nil || !c.used.Swap(false) {
			return t.hand
		}
	}
	return t.hand
}

// keepUser puts a state that was read at rev into the cache and returns it; if
// it may not be kept, it belongs to no cell.
func (c *cache) keepUser(st *userState, rev kv.Rev) {
	st.cell = noCell
	if c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.userF[userShard(st.id)].allows(rev) || !c.policyF.allows(rev) {
		return
	}
	if c.denied.deactivated(st.id) && !st.inactive {
		return // denied between reading and now
	}
	st.cell = c.users.assign(st.id)
	cell := c.users.cell(st.cell)
	cell.used.Store(true)
	cell.state.Store(st)
}

// find returns the present state of a user if it is in memory.
func (c *cache) find(id UserID) *userState {
	if c.off {
		return nil
	}
	c.mu.Lock()
	n, ok := c.users.index[id]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	return c.users.current(n, id)
}

// keepSession puts a session that was read at rev into the cache, if the state
// of its user is there. sel is its key in the file; the cache finds it by its token.
func (c *cache) keepSession(t *Token, s *sessionRecord, sel selector, st *userState, backend int, rev kv.Rev) {
	if c.off || st != nil && st.cell == noCell {
		return
	}
	cell := noCell
	if st != nil {
		cell = st.cell
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessionF[sessionShard(t.sel)].allows(rev) && !c.denied.session(sel, s) {
		c.sessions.insert(t, s, cell, uint8(backend))
	}
}

// dropSession forgets the session of a token whose record cannot be found, as is so if the file was damaged
// meanwhile: who ends it is told that there is none, and then it must not go on in memory.
func (c *cache) dropSession(t *Token, now int64) {
	if c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit := new(sessionHit); c.sessions.lookup(t, now, hit) {
		c.sessions.remove(t.sel)
	}
}

// keepPerms puts an index of the permissions that was read at rev into the cache.
func (c *cache) keepPerms(p *permIndex, rev kv.Rev) {
	if c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policyF.allows(rev) {
		c.perms.Store(p)
	}
}

// group returns what is known of a group, or nil.
func (c *cache) group(id GroupID) *groupState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups[id]
}

// union returns what is known of a list of groups, or nil.
func (c *cache) union(key string) *unionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unions[key]
}

// maxUnions bounds how many different combinations of groups are remembered.
const maxUnions = 4096

// keepGroups puts what was read at rev into the cache.
func (c *cache) keepGroups(groups map[GroupID]*groupState, key string, union *unionState, rev kv.Rev) {
	if c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.policyF.allows(rev) {
		return
	}
	for id, g := range groups {
		c.groups[id] = g
	}
	if union != nil {
		if len(c.unions) >= maxUnions {
			clear(c.unions)
		}
		c.unions[key] = union
	}
}
