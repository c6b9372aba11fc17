package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// These tests record what many goroutines ask an Engine and what they are
// answered, and have porcupine look for an order of all calls, each somewhere
// between its beginning and its end, in which a simple model gives the same
// answers. If there is none, somebody saw something that was never true.

// longTests is set to run for minutes instead of seconds.
var longTests = os.Getenv("LATCHBOLT_LONG") != ""

// fastDir makes a folder for files whose durability nobody cares about.
func fastDir(t testing.TB) string {
	if dir, err := os.MkdirTemp("/dev/shm", "latchbolt"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// A shakyStore lets others run at the points of a transaction between which it
// matters who comes first. Without it, short calls on few processors hardly ever overlap.
type shakyStore struct {
	kv.Store
	n atomic.Uint64
	doom
}

// shake gives way to others, more or less often.
func (s *shakyStore) shake() {
	for n := s.n.Add(1) * 0x9e3779b97f4a7c15 >> 61; n > 3; n-- {
		runtime.Gosched()
	}
}

func (s *shakyStore) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	defer s.shake()
	rev, err := s.Store.View(ctx, func(r kv.Reader) error {
		s.shake()
		defer s.shake()
		return fn(r)
	})
	if err == nil {
		err = s.alive()
	}
	return rev, err
}

func (s *shakyStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	defer s.shake()
	rev, err := s.Store.Update(ctx, func(w kv.Tx) error {
		if err := s.point(); err != nil {
			return err
		}
		s.shake()
		defer s.shake()
		return errors.Join(fn(w), s.point())
	})
	if err == nil {
		err = s.point()
	}
	return rev, err
}

// The world of a history. Each slot has one user at a time, who has one of a
// few names that belong to the slot.
const (
	linSlots    = 16 // of which fewer are used where they touch each other
	linNames    = 3
	linGroups   = 2
	linPerms    = 2
	linSessions = 512 // in one history
)

type linKind uint8

const (
	linLogin linKind = iota
	linAsk           // SessionUser, and everything that the Identity says
	linLogout
	linEndSession
	linEndSessions
	linSetPassword
	linRenew
	linHasPerm
	linGrantUser
	linRevokeUser
	linGrantGroup
	linRevokeGroup
	linEnter
	linLeave
	linInactive
	linSuper
	linDefine
	linUndefine
	linCreate
	linDelete
	linRename
	linByName
	linByID
	linKinds
)

var linKindNames = [linKinds]string{"login", "ask", "logout", "end session", "end sessions", "set password", "renew",
	"has perm", "grant to user", "revoke from user", "grant to group", "revoke from group", "enter", "leave", "inactive", "super",
	"define", "undefine", "create", "delete", "rename", "by name", "by ID"}

type linInput struct {
	kind    linKind
	slot    int
	id      latchbolt.UserID // of the user in the slot, as far as the caller knew
	session int
	next    int // session that renewing makes
	group   int
	perm    int
	name    int
	on      bool
}

func (in linInput) String() string {
	return fmt.Sprintf("%s %+v", linKindNames[in.kind], struct {
		slot                             int
		id                               latchbolt.UserID
		session, next, group, perm, name int
		on                               bool
	}{in.slot, in.id, in.session, in.next, in.group, in.perm, in.name, in.on})
}

type linOutput struct {
	killed   bool // nobody knows what came of it
	ok       bool
	id       latchbolt.UserID
	name     int
	inactive bool
	super    bool
	perms    uint8
	groups   uint8
}

type linUser struct {
	id       latchbolt.UserID // 0: there is none
	name     uint8
	inactive bool
	super    bool
	own      uint8
	groups   uint8
	sessions [linSessions / 64]uint64
}

func (u *linUser) session(n int) bool { return u.sessions[n/64]&(1<<(n%64)) != 0 }

func (u *linUser) set(n int, on bool) {
	u.sessions[n/64] &^= 1 << (n % 64)
	if on {
		u.sessions[n/64] |= 1 << (n % 64)
	}
}

type linState struct {
	users   [linSlots]linUser
	groups  [linGroups]uint8
	defined uint8
}

// perms is what a user may do.
func (s *linState) perms(u *linUser) uint8 {
	if u.super {
		return 1<<linPerms - 1
	}
	all := u.own
	for g, perms := range s.groups {
		if u.groups&(1<<g) != 0 {
			all |= perms
		}
	}
	return all
}

func bit(set uint8, n int, on bool) uint8 {
	if on {
		return set | 1<<n
	}
	return set &^ (1 << n)
}

// step is the model: whether out is the right answer to in, and what comes after.
func (s linState) step(in linInput, out linOutput) (bool, linState) {
	u := &s.users[in.slot]
	there := u.id == in.id && u.id != 0
	switch in.kind {
	case linLogin:
		if out.ok {
			u.set(in.session, true)
			return there && !u.inactive, s
		}
		return true, s // something changed since the Identity was loaded
	case linAsk:
		if !there || u.inactive || !u.session(in.session) {
			return !out.ok, s
		}
		return out == linOutput{ok: true, id: u.id, name: int(u.name), super: u.super, perms: s.perms(u)}, s
	case linLogout, linEndSession:
		if there {
			u.set(in.session, false)
		}
		return out.ok, s
	case linEndSessions, linSetPassword:
		if there {
			u.sessions = [linSessions / 64]uint64{}
		}
		return out.ok == there, s
	case linRenew:
		if !there || u.inactive || !u.session(in.session) {
			return !out.ok, s
		}
		u.set(in.session, false)
		u.set(in.next, true)
		return out.ok, s
	case linHasPerm:
		return out.ok == (there && !u.inactive && s.perms(u)&(1<<in.perm) != 0), s
	case linByName:
		var want linOutput
		if u.id != 0 && int(u.name) == in.name {
			want = linOutput{ok: true, id: u.id}
		}
		return out == want, s
	case linByID:
		if !there {
			return !out.ok, s
		}
		return out == linOutput{ok: true, id: u.id, name: int(u.name), inactive: u.inactive, super: u.super, groups: u.groups}, s
	default:
		return s.change(in, out, there)
	}
}

// change is step for what changes users, groups and permissions.
func (s linState) change(in linInput, out linOutput, there bool) (bool, linState) {
	u := &s.users[in.slot]
	defined := s.defined&(1<<in.perm) != 0
	can := there
	switch in.kind {
	case linGrantUser, linRevokeUser:
		if can = there && defined; can {
			u.own = bit(u.own, in.perm, in.kind == linGrantUser)
		}
	case linGrantGroup, linRevokeGroup:
		if can = defined; can {
			s.groups[in.group] = bit(s.groups[in.group], in.perm, in.kind == linGrantGroup)
		}
	case linDefine:
		can, s.defined = true, bit(s.defined, in.perm, true)
	case linUndefine:
		can, s.defined = defined, bit(s.defined, in.perm, false)
		for i := range s.users {
			s.users[i].own = bit(s.users[i].own, in.perm, false)
		}
		for i := range s.groups {
			s.groups[i] = bit(s.groups[i], in.perm, false)
		}
	case linCreate:
		if can = u.id == 0; can {
			*u = linUser{id: out.id, name: uint8(in.name)}
		}
	case linDelete:
		if can {
			*u = linUser{}
		}
	case linEnter, linLeave:
		if can {
			u.groups = bit(u.groups, in.group, in.kind == linEnter)
		}
	case linInactive:
		if can {
			if in.on && !u.inactive {
				u.sessions = [linSessions / 64]uint64{}
			}
			u.inactive = in.on
		}
	case linSuper:
		if can {
			u.super = in.on
		}
	case linRename:
		if can {
			u.name = uint8(in.name)
		}
	}
	return out.ok == can, s
}

func linModel(start linState, partition bool) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{start} },
		Step: func(state, input, output any) []any {
			return state.(linState).choices(input.(linInput), output.(linOutput))
		},
		Equal:             func(a, b any) bool { return a.(linState) == b.(linState) },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v: %+v", in, out) },
	}
	if partition {
		m.Partition = func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, linSlots)
			for _, op := range history {
				slot := op.Input.(linInput).slot
				parts[slot] = append(parts[slot], op)
			}
			return parts
		}
	}
	return m.ToModel()
}

// A linWorld runs a history.
type linWorld struct {
	t      *testing.T
	eng    *latchbolt.Engine
	ctx    context.Context
	groups [linGroups]latchbolt.GroupID
	ids    [linSlots]atomic.Uint64                      // the last user known in each slot
	idents [linSlots]atomic.Pointer[latchbolt.Identity] // an Identity of it, of any age
	start  time.Time
	stale  *staleAnswers // nil: answer truly
	store  *shakyStore   // the engine's

	mu       sync.Mutex // guards all below
	sessions []linSession
	next     int
}

// A linSession is a session that was begun; or the Identity to begin one with, or to ask for.
type linSession struct {
	ident latchbolt.Identity
	n     int
	slot  int
	id    latchbolt.UserID
	token latchbolt.Token
	sid   latchbolt.SessionID
}

func linName(slot, name int) string { return fmt.Sprintf("user%d.%d", slot, name) }

func linPerm(p int) latchbolt.Perm { return latchbolt.Perm(fmt.Sprintf("lin.p%d", p)) }

// newLinWorld fills an engine and returns it with the state that it is in.
func newLinWorld(t *testing.T, eng *latchbolt.Engine) (*linWorld, linState) {
	t.Helper()
	w := &linWorld{t: t, eng: eng, ctx: t.Context(), start: time.Now()}
	var s linState
	must(t, "filling", eng.InsertUser(w.ctx, &latchbolt.User{Username: "root", Superuser: true}, latchbolt.PasswordHash{}))
	for p := range linPerms {
		must(t, "filling", eng.Define(w.ctx, latchbolt.Permission{App: "lin", Codename: fmt.Sprintf("p%d", p)}))
		s.defined |= 1 << p
	}
	for g := range linGroups {
		var err error
		w.groups[g], err = eng.CreateGroup(w.ctx, fmt.Sprint("group ", g))
		must(t, "filling", err)
	}
	for slot := range linSlots {
		u := &latchbolt.User{Username: linName(slot, 0)}
		must(t, "filling", eng.InsertUser(w.ctx, u, latchbolt.PasswordHash{}))
		s.users[slot].id = u.ID
		w.ids[slot].Store(uint64(u.ID))
		w.meet(slot, u.ID)
	}
	return w, s
}

// meet loads an Identity of the user in a slot.
func (w *linWorld) meet(slot int, id latchbolt.UserID) {
	if ident, err := w.eng.Identity(w.ctx, id); err == nil {
		w.idents[slot].Store(&ident)
	}
}

// pick chooses a session that was begun, of a slot if it is not -1.
func (w *linWorld) pick(rng *rand.Rand) (linSession, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sessions) == 0 {
		return linSession{}, false
	}
	// One of the last: those before are dead.
	n := len(w.sessions)
	return w.sessions[n-1-rng.IntN(min(n, 16))], true
}

// number gives out the number of a session that may begin.
func (w *linWorld) number() (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return w.next - 1, w.next <= linSessions
}

func (w *linWorld) begun(s linSession) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions = append(w.sessions, s)
}

// choose makes up one operation of a kind, and reports false if there is
// nothing to do it to.
func (w *linWorld) choose(rng *rand.Rand, mix *linMix) (in linInput, s linSession, ok bool) {
	kind := mix.kind(rng)
	in = linInput{kind: kind, slot: rng.IntN(mix.slots), group: rng.IntN(linGroups), perm: rng.IntN(linPerms),
		name: rng.IntN(linNames), on: rng.IntN(2) == 0}
	in.id = latchbolt.UserID(w.ids[in.slot].Load())
	switch kind {
	case linInactive:
		in.on = rng.IntN(3) == 0
	case linHasPerm:
		s.ident = *w.idents[in.slot].Load()
		in.id = s.ident.ID()
	case linLogin:
		s.ident = *w.idents[in.slot].Load()
		in.id = s.ident.ID()
		in.session, ok = w.number()
		return in, s, ok
	case linAsk, linLogout, linEndSession, linRenew:
		if s, ok = w.pick(rng); !ok {
			return in, s, false
		}
		in.slot, in.id, in.session = s.slot, s.id, s.n
		if kind == linRenew {
			in.next, ok = w.number()
			return in, s, ok
		}
	}
	return in, s, true
}

// run does one operation. An error that the model knows makes ok false.
func (w *linWorld) run(in linInput, s linSession) (out linOutput) {
	switch in.kind {
	case linLogin:
		sess, err := w.eng.Login(w.ctx, s.ident, latchbolt.LoginOptions{})
		if out.ok = w.good(err); out.ok {
			w.begun(linSession{n: in.session, slot: in.slot, id: in.id, token: sess.Token, sid: sess.ID})
		} else {
			w.meet(in.slot, in.id)
		}
	case linAsk:
		return w.stale.ask(in, func() linOutput { return w.ask(s) })
	case linLogout:
		out.ok = w.good(w.eng.Logout(w.ctx, s.token))
	case linEndSession:
		out.ok = w.good(w.eng.EndSession(w.ctx, s.sid))
	case linRenew:
		sess, err := w.eng.Renew(w.ctx, s.token)
		if out.ok = w.good(err); out.ok {
			w.begun(linSession{n: in.next, slot: in.slot, id: in.id, token: sess.Token, sid: sess.ID})
		}
	case linHasPerm:
		return w.stale.ask(in, func() linOutput {
			ok, err := w.eng.HasPerm(w.ctx, s.ident, linPerm(in.perm))
			return linOutput{ok: w.good(err) && ok}
		})
	case linByName:
		u, err := w.eng.UserByName(w.ctx, linName(in.slot, in.name))
		if out.ok = w.good(err); out.ok {
			out.id = u.ID
		}
	case linByID:
		u, err := w.eng.User(w.ctx, in.id)
		if out.ok = w.good(err); out.ok {
			out = linOutput{ok: true, id: u.ID, name: nameOf(u.Username), inactive: u.Inactive, super: u.Superuser}
			for g, id := range w.groups {
				out.groups = bit(out.groups, g, slices.Contains(u.Groups, id))
			}
		}
	case linCreate:
		out.id, out.ok = w.create(in)
	default:
		out.ok = w.good(w.change(in))
	}
	return out
}

func nameOf(username string) int { return int(username[len(username)-1] - '0') }

// ask is everything that a request learns from a session.
func (w *linWorld) ask(s linSession) (out linOutput) {
	id, err := w.eng.SessionUser(w.ctx, s.token)
	if !w.good(err) {
		return out
	}
	out = linOutput{ok: true, id: id.ID(), name: nameOf(id.Username()), super: id.Superuser()}
	for p := range linPerms {
		out.perms = bit(out.perms, p, id.Has(linPerm(p)))
	}
	return out
}

// good reports whether there is no error, and fails the test if it is none
// that the model knows.
func (w *linWorld) good(err error) bool {
	for _, known := range []error{latchbolt.ErrNoSession, latchbolt.ErrNotFound, latchbolt.ErrCredentials, latchbolt.ErrExists} {
		if errors.Is(err, known) {
			return false
		}
	}
	if err != nil && !w.store.killed.Load() {
		w.t.Errorf("unexpected: %v", err)
	}
	return err == nil
}

// create makes a user in a slot unless there is one.
func (w *linWorld) create(in linInput) (latchbolt.UserID, bool) {
	var u latchbolt.User
	err := w.eng.Update(w.ctx, func(tx *latchbolt.Tx) error {
		for name := range linNames {
			if _, err := tx.UserByName(linName(in.slot, name)); !errors.Is(err, latchbolt.ErrNotFound) {
				return errors.Join(err, latchbolt.ErrExists)
			}
		}
		u = latchbolt.User{Username: linName(in.slot, in.name)}
		return tx.InsertUser(&u, latchbolt.PasswordHash{})
	})
	if !w.good(err) {
		return 0, false
	}
	w.ids[in.slot].Store(uint64(u.ID))
	w.meet(in.slot, u.ID)
	return u.ID, true
}

// change does what the model's change does.
func (w *linWorld) change(in linInput) error {
	set := func(fn func(*latchbolt.User)) error {
		return w.eng.UpdateUser(w.ctx, in.id, func(u *latchbolt.User) error { fn(u); return nil })
	}
	switch in.kind {
	case linEndSessions:
		return w.eng.EndSessions(w.ctx, in.id)
	case linSetPassword:
		return w.eng.SetPasswordHash(w.ctx, in.id, latchbolt.PasswordHash{})
	case linGrantUser:
		return w.eng.Grant(w.ctx, in.id, linPerm(in.perm))
	case linRevokeUser:
		return w.eng.Revoke(w.ctx, in.id, linPerm(in.perm))
	case linGrantGroup:
		return w.eng.Grant(w.ctx, w.groups[in.group], linPerm(in.perm))
	case linRevokeGroup:
		return w.eng.Revoke(w.ctx, w.groups[in.group], linPerm(in.perm))
	case linEnter:
		return w.eng.AddToGroup(w.ctx, in.id, w.groups[in.group])
	case linLeave:
		return w.eng.RemoveFromGroup(w.ctx, in.id, w.groups[in.group])
	case linInactive:
		return set(func(u *latchbolt.User) { u.Inactive = in.on })
	case linSuper:
		return set(func(u *latchbolt.User) { u.Superuser = in.on })
	case linRename:
		return set(func(u *latchbolt.User) { u.Username = linName(in.slot, in.name) })
	case linDefine:
		return w.eng.Define(w.ctx, latchbolt.Permission{App: "lin", Codename: fmt.Sprintf("p%d", in.perm)})
	case linUndefine:
		return w.eng.Undefine(w.ctx, linPerm(in.perm))
	case linDelete:
		return w.eng.DeleteUser(w.ctx, in.id)
	}
	return fmt.Errorf("no such operation: %v", in)
}

// A linMix says how often each kind of operation happens.
type linMix struct {
	name      string
	slots     int
	partition bool // slots do not touch each other
	weights   map[linKind]int
}

var linMixes = []linMix{
	{"sessions", linSlots, true, map[linKind]int{linLogin: 8, linAsk: 40, linLogout: 3, linEndSession: 2, linEndSessions: 2,
		linSetPassword: 2, linRenew: 4, linInactive: 4, linSuper: 2, linRename: 2, linByID: 2}},
	{"users", linSlots, true, map[linKind]int{linCreate: 6, linDelete: 3, linRename: 6, linByName: 16, linByID: 12, linInactive: 4,
		linLogin: 4, linAsk: 12, linHasPerm: 8}},
	{"permissions", 3, false, map[linKind]int{linHasPerm: 40, linGrantUser: 4, linRevokeUser: 4, linGrantGroup: 4, linRevokeGroup: 4,
		linEnter: 4, linLeave: 4, linSuper: 2, linInactive: 2, linLogin: 3, linAsk: 24, linDefine: 2, linUndefine: 1}},
	{"everything", 3, false, map[linKind]int{linLogin: 8, linAsk: 30, linLogout: 2, linEndSession: 1, linEndSessions: 1,
		linSetPassword: 1, linRenew: 2, linHasPerm: 20, linGrantUser: 3, linRevokeUser: 3, linGrantGroup: 3, linRevokeGroup: 3,
		linEnter: 3, linLeave: 3, linInactive: 3, linSuper: 2, linDefine: 1, linUndefine: 1, linCreate: 3, linDelete: 1,
		linRename: 2, linByName: 3, linByID: 3}},
}

func (m *linMix) kind(rng *rand.Rand) linKind {
	total := 0
	for _, n := range m.weights {
		total += n
	}
	at := rng.IntN(total)
	for k := range linKinds {
		if at -= m.weights[k]; at < 0 {
			return k
		}
	}
	return linAsk
}

// history lets clients do operations and returns what happened.
func (w *linWorld) history(mix *linMix, clients, ops int, seed uint64) []porcupine.Operation {
	all := make([][]porcupine.Operation, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for range ops / clients {
				if w.store.killed.Load() {
					return
				}
				in, s, ok := w.choose(rng, mix)
				if !ok {
					continue
				}
				op := porcupine.Operation{ClientId: c, Input: in, Call: int64(time.Since(w.start))}
				op.Output = w.run(in, s)
				op.Return = int64(time.Since(w.start))
				if w.store.killed.Load() {
					if underWay(&op); op.Output != nil {
						all[c] = append(all[c], op)
					}
					return
				}
				all[c] = append(all[c], op)
			}
		})
	}
	wg.Wait()
	return slices.Concat(all...)
}

// staleAnswers makes a client keep answers, as a cache without a fence would.
// It is the proof that these tests can fail.
type staleAnswers struct {
	mu   sync.Mutex // guards kept
	kept map[linInput]linOutput
	n    int
}

// ask asks, or gives an earlier answer to the same question once in a while.
func (s *staleAnswers) ask(in linInput, fn func() linOutput) linOutput {
	if s == nil {
		return fn()
	}
	in.on, in.group, in.name = false, 0, 0
	s.mu.Lock()
	old, ok := s.kept[in]
	s.n++
	use := ok && s.n%50 == 0
	s.mu.Unlock()
	if use {
		return old
	}
	out := fn()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.kept[in] = out
	}
	return out
}

// A linSetup is one way to set up an engine.
type linSetup struct {
	name            string
	users, sessions int // bounds of the cache
	file            bool
	clients         int
}

var linSetups = []linSetup{
	{"tiny cache, memory", 4, 4, false, 8},
	{"no cache, memory", -1, -1, false, 8},
	{"large cache, memory", 0, 0, false, 16},
	{"small cache, file", 4, 16, true, 16},
	{"large cache, file", 0, 0, true, 32},
	{"tiny cache for users, file", 1, 64, true, 64},
}

// open opens an engine, or opens it again at path.
func (s *linSetup) open(t *testing.T, path string) (*latchbolt.Engine, *shakyStore) {
	t.Helper()
	cfg := &latchbolt.Config{CacheUsers: s.users, CacheSessions: s.sessions, SessionLimit: -1, SweepEvery: -1}
	if !s.file {
		store := &shakyStore{Store: &memkv.Store{RunTwice: true}}
		return openOn(t, store, cfg), store
	}
	opts := &boltkv.Options{Buckets: latchbolt.Buckets, Init: func(kv.Tx) error { return nil }}
	if err := boltkv.Create(path, opts); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	file, err := boltkv.Open(path, opts)
	must(t, "opening", err)
	store := &shakyStore{Store: file}
	return openOn(t, store, cfg), store
}

// linCheck records one history, on a file with a kill and a restart in it, and judges it.
func linCheck(t *testing.T, setup *linSetup, mix *linMix, ops int, seed uint64, stale *staleAnswers) (porcupine.CheckResult, int) {
	t.Helper()
	path := filepath.Join(fastDir(t), "app.db")
	eng, store := setup.open(t, path)
	w, start := newLinWorld(t, eng)
	w.store, w.stale = store, stale
	clients := setup.clients
	if !mix.partition {
		clients = min(clients, 8) // the cost of judging grows fast with them
	}
	var history []porcupine.Operation
	if setup.file {
		history = w.killedHistory(setup, mix, clients, ops/3, seed, path)
		history = append(history, w.history(mix, clients, ops/3, seed+1)...)
		must(t, "closing", w.eng.Close())
		w.reopen(setup, path)
		ops /= 3
	}
	history = append(history, w.history(mix, clients, ops, seed+2)...)
	patience := 20 * time.Second // on the wall; a busy machine gives a tenth of it to this process
	if linearSize() > 0 {
		patience = time.Minute
	}
	model := linModel(start, mix.partition)
	result, info := porcupine.CheckOperationsVerbose(model, history, patience)
	if result == porcupine.Illegal && stale == nil {
		page := filepath.Join(os.TempDir(), fmt.Sprintf("latchbolt-illegal-%d.html", seed))
		if porcupine.VisualizePath(model, info, page) == nil {
			t.Logf("the history is drawn in %s", page)
		}
	}
	return result, len(history)
}

// TestLinearizable looks for answers that were never true, also where the process is killed and the file opened again, in
// LATCHBOLT_LINEAR operations. Where very many calls overlapped,
// a history may be too hard to judge; that has to be rare.
func TestLinearizable(t *testing.T) {
	total, unknown, perHistory := 0, 0, 400
	size := linearSize()
	if size > 0 {
		perHistory = 1500
	}
	seed := uint64(time.Now().UnixNano())
	began := time.Now()
	for round := 0; round == 0 || total+unknown < size; round++ {
		for m := range linMixes {
			for s := range linSetups {
				mix, setup := &linMixes[m], &linSetups[s]
				seed += 3
				t.Run(fmt.Sprintf("%s/%s/%d", mix.name, setup.name, round), func(t *testing.T) {
					result, n := linCheck(t, setup, mix, perHistory, seed, nil)
					switch result {
					case porcupine.Ok:
						total += n
					case porcupine.Unknown:
						unknown += n
					default:
						t.Errorf("seed %d: %d operations: %s", seed, n, result)
					}
				})
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d operations judged, %d too hard to judge, %d kills with %d changes under way, in %v", total, unknown,
		linKills.Load(), linUnderWay.Load(), time.Since(began).Round(time.Millisecond))
	tally.Log(t, "operations", total, "too-hard", unknown, "kills", linKills.Load(), "under-way", linUnderWay.Load())
	if unknown > total/10 {
		t.Error("too much was too hard to judge")
	}
}

// TestLinearizableCanFail gives stale answers on purpose, which have to be noticed.
func TestLinearizableCanFail(t *testing.T) {
	for m := range linMixes {
		mix := &linMixes[m]
		t.Run(mix.name, func(t *testing.T) {
			for seed := range uint64(20) {
				stale := &staleAnswers{kept: make(map[linInput]linOutput)}
				if result, _ := linCheck(t, &linSetups[0], mix, 400, seed, stale); result == porcupine.Illegal {
					return
				}
			}
			t.Error("stale answers were not noticed")
		})
	}
}
