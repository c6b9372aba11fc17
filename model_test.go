package latchbolt_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// The model test does random things to an Engine and to maps, and compares
// what both say. The same seed does the same things.

var modelSeed = flag.Uint64("seed", 0, "seed of the model test; 0 takes a new one")

type modelUser struct {
	latchbolt.User
	password string // "" if it is unusable
	version  int    // of the password
	ended    int    // times that all sessions were ended
	failures int    // logins that failed in a row
	failed   time.Time
}

type modelSession struct {
	latchbolt.Session
	values map[string]int
	user   latchbolt.UserID
}

type modelGrant struct {
	subject latchbolt.Subject
	perm    latchbolt.PermissionID
	object  latchbolt.Object
}

type modelToken struct {
	token   latchbolt.Token
	user    latchbolt.UserID
	purpose string
	data    string
	expires time.Time
	state   string // of the user when it was issued
}

// A model is an engine and what it should hold.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	ctx   context.Context
	eng   *latchbolt.Engine
	path  string
	cfg   latchbolt.Config
	clock *testClock
	log   []string // the last operations

	users    map[latchbolt.UserID]*modelUser
	groups   map[latchbolt.GroupID]string
	perms    map[latchbolt.PermissionID]latchbolt.Permission
	grants   map[modelGrant]bool
	sessions map[latchbolt.SessionID]*modelSession // that may be alive
	dead     []latchbolt.Token                     // some that are not
	tokens   []*modelToken
	idents   []modelIdent
	names    int
	gone     []latchbolt.UserID
	kept     *modelBackup      // nil: none
	done     map[string][2]int // by name: calls that succeeded, and that were refused
}

func (m *model) now() time.Time { return m.eng.Now() }

// note keeps what is done for the report of a failure.
func (m *model) note(format string, args ...any) {
	if m.log = append(m.log, fmt.Sprintf(format, args...)); len(m.log) > 60 {
		m.log = m.log[1:]
	}
}

// same fails the test unless got is want.
func (m *model) same(what string, got, want any) {
	m.t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		m.t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// outcome compares an error with the one expected and reports whether there is none.
func (m *model) outcome(what string, err, want error) bool {
	m.t.Helper()
	if err != want && (want == nil || !errors.Is(err, want)) {
		m.t.Errorf("%s: got %v, want %v", what, err, want)
	}
	n := m.done[what]
	if err == nil {
		n[0]++
	} else {
		n[1]++
	}
	m.done[what] = n
	return err == nil
}

// choose returns any of a map's keys, or the zero key.
func choose[K comparable, V any](m *model, all map[K]V, compare func(a, b K) int) (k K) {
	if len(all) == 0 {
		return k
	}
	return slices.SortedFunc(maps.Keys(all), compare)[m.rng.IntN(len(all))]
}

// anyUser returns a user, or once in a while one that was deleted.
func (m *model) anyUser() (latchbolt.UserID, *modelUser) {
	id := choose(m, m.users, func(a, b latchbolt.UserID) int { return int(a) - int(b) })
	if len(m.gone) > 0 && m.rng.IntN(20) == 0 {
		id = m.gone[m.rng.IntN(len(m.gone))]
	}
	return id, m.users[id]
}

func (m *model) anyGroup() latchbolt.GroupID {
	if m.rng.IntN(20) == 0 {
		return 9999
	}
	return choose(m, m.groups, func(a, b latchbolt.GroupID) int { return int(a) - int(b) })
}

func (m *model) anySubject() (s latchbolt.Subject, there bool) {
	if m.rng.IntN(2) == 0 {
		id, u := m.anyUser()
		return id, u != nil
	}
	g := m.anyGroup()
	_, there = m.groups[g]
	return g, there
}

func (m *model) anyPerm() latchbolt.Perm {
	return latchbolt.Perm(fmt.Sprintf("%c.p%d", 'a'+m.rng.IntN(2), m.rng.IntN(3)))
}

// anyObjects returns no, one or two objects.
func (m *model) anyObjects() []latchbolt.Object {
	all := []latchbolt.Object{"x", "y", "z"}
	m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:max(0, m.rng.IntN(4)-1)]
}

// anySession returns a session that was begun, alive or not.
func (m *model) anySession() (latchbolt.Token, *modelSession) {
	var order []*modelSession
	for _, s := range m.sessions {
		order = append(order, s)
	}
	if len(order) == 0 || m.rng.IntN(8) == 0 && len(m.dead) > 0 {
		if len(m.dead) == 0 {
			return latchbolt.Token{}, nil
		}
		return m.dead[m.rng.IntN(len(m.dead))], nil
	}
	slices.SortFunc(order, func(a, b *modelSession) int { return a.Created.Compare(b.Created) })
	s := order[m.rng.IntN(len(order))]
	return s.Token, s
}

// ids returns the permissions that share a name, ascending.
func (m *model) ids(p latchbolt.Perm) []latchbolt.PermissionID {
	var ids []latchbolt.PermissionID
	for id, perm := range m.perms {
		if perm.Perm() == p {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// notFoundIf is the error for what is not there.
func notFoundIf(missing bool) error {
	if missing {
		return latchbolt.ErrNotFound
	}
	return nil
}

// over reports whether a session is dead by itself.
func (m *model) over(s *modelSession) bool { return !m.now().Before(s.Deadline()) }

// good reports whether a session may be used.
func (m *model) good(s *modelSession) bool {
	if s == nil || m.over(s) {
		return false
	}
	u := m.users[s.user]
	return s.user == 0 || u != nil && !u.Inactive
}

func (m *model) noSessionIf(bad bool) error {
	if bad {
		return latchbolt.ErrNoSession
	}
	return nil
}

// end forgets a session.
func (m *model) end(s *modelSession) {
	if s == nil || m.sessions[s.ID] != s {
		return
	}
	delete(m.sessions, s.ID)
	if m.dead = append(m.dead, s.Token); len(m.dead) > 20 {
		m.dead = m.dead[1:]
	}
}

func (m *model) endAll(id latchbolt.UserID, but *modelSession) {
	for _, s := range m.sessions {
		if s.user == id && s != but {
			m.end(s)
		}
	}
}

// has is what the engine's own grants give a user for an object, or for all.
func (m *model) has(id latchbolt.UserID, p latchbolt.Perm, o latchbolt.Object) bool {
	u := m.users[id]
	switch {
	case u == nil || u.Inactive:
		return false
	case u.Superuser:
		return true
	}
	subjects := []latchbolt.Subject{id}
	for _, g := range u.Groups {
		subjects = append(subjects, g)
	}
	for _, s := range subjects {
		for _, pid := range m.ids(p) {
			if m.grants[modelGrant{s, pid, ""}] || m.grants[modelGrant{s, pid, o}] {
				return true
			}
		}
	}
	return false
}

// lastSuperuser reports whether a user is the only active superuser.
func (m *model) lastSuperuser(id latchbolt.UserID) bool {
	super := func(u *modelUser) bool { return u != nil && u.Superuser && !u.Inactive }
	for other, u := range m.users {
		if other != id && super(u) {
			return false
		}
	}
	return super(m.users[id])
}

// tokenState is what a one-time token depends on.
func (u *modelUser) tokenState() string {
	return fmt.Sprint(u.version, u.ended, u.Email, u.LastLogin.Unix(), u.LastLogin.IsZero(), u.Inactive)
}

// begin notes a session that the engine began.
func (m *model) begin(s latchbolt.Session, user latchbolt.UserID, values map[string]int) {
	if values == nil {
		values = make(map[string]int)
	}
	s.Created, s.LastSeen, s.Expires = micro(s.Created), micro(s.LastSeen), micro(s.Expires)
	s.AuthTime = micro(s.AuthTime)
	m.sessions[s.ID] = &modelSession{Session: s, user: user, values: values}
}

func micro(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

// A modelOp is one thing to do, so many times in a hundred or so.
type modelOp struct {
	weight int
	do     func(m *model)
}

var modelOps []modelOp

func init() {
	modelOps = []modelOp{
		{4, (*model).createUser}, {8, (*model).updateUser}, {2, (*model).deleteUser}, {4, (*model).setPassword},
		{6, (*model).authenticate}, {14, (*model).login}, {3, (*model).newSession}, {40, (*model).askSession},
		{4, (*model).describeSession}, {4, (*model).renew}, {3, (*model).setExpiry}, {3, (*model).logout},
		{3, (*model).endSession}, {2, (*model).endSessions}, {2, (*model).endOthers}, {3, (*model).changePassword},
		{4, (*model).nameSession}, {8, (*model).sessionValues}, {4, (*model).group}, {8, (*model).membership},
		{6, (*model).define}, {2, (*model).undefine}, {16, (*model).grant}, {10, (*model).revoke}, {40, (*model).hasPerm},
		{6, (*model).permLists}, {5, (*model).issueToken}, {6, (*model).useToken}, {6, (*model).lookUp}, {4, (*model).query},
		{3, (*model).rollBack}, {10, (*model).advance}, {2, (*model).sweep}, {2, (*model).restart}, {3, (*model).full},
		{4, (*model).setPermissions}, {5, (*model).readTx}, {3, (*model).readOne}, {2, (*model).adminReads}, {2, (*model).record},
		{4, (*model).throttled}, {1, (*model).defineMore}, {2, (*model).load}, {1, (*model).backup}, {1, (*model).restore},
		{1, (*model).salvage}, {1, (*model).kill},
	}
}

func (m *model) step() {
	total := 0
	for _, op := range modelOps {
		total += op.weight
	}
	at := m.rng.IntN(total)
	for _, op := range modelOps {
		if at -= op.weight; at < 0 {
			op.do(m)
			return
		}
	}
}

// modelSetups are the bounds of the cache that are tried.
var modelSetups = []latchbolt.Config{
	{}, {CacheUsers: 3, CacheSessions: 3}, {CacheUsers: 1, CacheSessions: 100}, {CacheUsers: 100, CacheSessions: 1}, {CacheUsers: -1},
}

func newModel(t *testing.T, seed uint64, done map[string][2]int) *model {
	return newModelFrom(t, rand.New(rand.NewPCG(seed, 0)), done)
}

// newModelFrom is newModel with any source of choices.
func newModelFrom(t *testing.T, rng *rand.Rand, done map[string][2]int) *model {
	m := &model{t: t, done: done, rng: rng, ctx: t.Context(), clock: newTestClock(),
		users: make(map[latchbolt.UserID]*modelUser), groups: make(map[latchbolt.GroupID]string),
		perms: make(map[latchbolt.PermissionID]latchbolt.Permission), grants: make(map[modelGrant]bool),
		sessions: make(map[latchbolt.SessionID]*modelSession), path: filepath.Join(fastDir(t), "app.db")}
	// The same time of day for the same seed, in the future of the file.
	m.clock.nanos.Store(time.Date(2100, 1, 1, 0, 0, m.rng.IntN(86400), 0, time.UTC).UnixNano())
	m.cfg = modelSetups[m.rng.IntN(len(modelSetups))]
	m.cfg.Clock, m.cfg.SweepEvery, m.cfg.SessionLimit = m.clock.now, -1, -1
	m.cfg.Validators = []latchbolt.Validator{}
	m.cfg.Throttle.Free = 1 << 30
	m.cfg.SessionIdle = []time.Duration{0, -1, time.Hour, 30 * time.Second}[m.rng.IntN(4)]
	m.cfg.SessionLifetime = []time.Duration{0, 3 * time.Hour}[m.rng.IntN(2)]
	m.eng = openAt(t, m.path, &m.cfg)
	return m
}

// run does operations until one fails, and tells what led to it.
func (m *model) run(seed uint64, steps int) {
	for range steps {
		m.clock.advance(time.Second) // no two sessions of one time
		m.step()
		if m.t.Failed() {
			m.t.Fatalf("the last operations, with -seed %d:\n%s", seed, strings.Join(m.log, "\n"))
		}
	}
	m.full()
	if m.t.Failed() {
		m.t.Fatalf("in the end, with -seed %d:\n%s", seed, strings.Join(m.log, "\n"))
	}
}

// TestModel does LATCHBOLT_MODEL random operations, in several files.
func TestModel(t *testing.T) {
	runs, steps := 5, 1200
	if size := sizeFrom("LATCHBOLT_MODEL", 60_000, 1_000_000); size > 0 {
		steps = 3000
		runs = max(size/steps, 2)
	}
	seed := *modelSeed
	if seed != 0 {
		runs = 1
	} else {
		seed = uint64(time.Now().UnixNano()) | 1
	}
	done := make(map[string][2]int)
	for n := range uint64(runs) {
		t.Run(fmt.Sprint("seed ", seed+n), func(t *testing.T) {
			newModel(t, seed+n, done).run(seed+n, steps)
		})
	}
	operations := 0
	for what, n := range done {
		operations += n[0] + n[1]
		if n[0] == 0 && runs > 1 && !strings.HasPrefix(what, "CheckToken for") && what != "Update" && !strings.HasSuffix(what, "nobody") &&
			!strings.HasSuffix(what, "refused") {
			t.Errorf("%s was never done: %d were refused", what, n[1])
		}
		t.Logf("%s: %d done, %d refused", what, n[0], n[1])
	}
	tally.Log(t, "runs", runs, "operations", operations, "seed", seed)
}
