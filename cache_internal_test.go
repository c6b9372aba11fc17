package latchbolt

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// A hookStore calls functions at the points of a transaction between which the
// order of things matters. Each is called once and then forgotten.
type hookStore struct {
	kv.Store
	mu    sync.Mutex // guards the fields below
	hooks map[hookPoint]func()
	fail  error             // of every commit
	wrap  func(kv.Tx) kv.Tx // what the functions of updates are given in place of the transaction

	failReads atomic.Bool // each View fails
}

type hookPoint int

const (
	atSnapshot  hookPoint = iota // a View has its state and has read nothing
	atRead                       // a View has read everything and kept nothing
	atFence                      // an Update has fenced the cache and committed nothing
	atCommitted                  // an Update is durable and its fence is up
)

var hookNames = map[hookPoint]string{atSnapshot: "snapshot", atRead: "read", atFence: "fence", atCommitted: "committed"}

func (s *hookStore) at(p hookPoint) {
	s.mu.Lock()
	fn := s.hooks[p]
	delete(s.hooks, p)
	s.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// on arranges for fn to run on a goroutine of its own the next time that
// anybody gets to a point, and for whoever got there to wait for it.
func (s *hookStore) on(p hookPoint, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks[p] = func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			fn()
		}()
		<-done
	}
}

func (s *hookStore) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// pending reports whether a hook was never called.
func (s *hookStore) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hooks) > 0
}

func (s *hookStore) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	if s.failReads.Load() {
		return 0, errors.New("it cannot be read")
	}
	return s.Store.View(ctx, func(r kv.Reader) error {
		s.at(atSnapshot)
		err := fn(r)
		s.at(atRead)
		return err
	})
}

func (s *hookStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	rev, err := s.Store.Update(ctx, func(w kv.Tx) error {
		if s.wrap != nil {
			w = s.wrap(w)
		}
		if err := fn(w); err != nil {
			return err
		}
		s.at(atFence)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fail
	})
	if err == nil {
		s.at(atCommitted)
	}
	return rev, err
}

// A cacheWorld is an engine with one user, who has a session and, one way or
// another, a permission.
type cacheWorld struct {
	t     *testing.T
	e     *Engine
	store *hookStore
	ctx   context.Context
	user  UserID
	group GroupID
	token Token
	other Token // of another session of the user
	id    Identity
}

const cachePerm Perm = "blog.add_post"

func newCacheWorld(t *testing.T, cfg Config) *cacheWorld {
	t.Helper()
	w := &cacheWorld{t: t, ctx: t.Context(), store: &hookStore{Store: &memkv.Store{}, hooks: make(map[hookPoint]func())}}
	cfg.Hashers = []Hasher{PBKDF2SHA256{Iterations: 1}}
	cfg.Validators = []Validator{}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.SweepEvery = -1
	var err error
	w.e, err = openStore(w.store, &cfg)
	w.must(err)
	t.Cleanup(func() { _ = w.e.Close() })
	u := &User{Username: "ada"}
	w.must(w.e.CreateUser(w.ctx, u, "pw"))
	w.user = u.ID
	w.must(w.e.CreateUser(w.ctx, &User{Username: "root", Superuser: true}, "pw"))
	w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "add_post"}))
	w.group, err = w.e.CreateGroup(w.ctx, "writers")
	w.must(err)
	w.token, w.other = w.login(), w.login()
	w.id, err = w.e.SessionUser(w.ctx, w.token)
	w.must(err)
	return w
}

func (w *cacheWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *cacheWorld) login() Token {
	w.t.Helper()
	id, err := w.e.Authenticate(w.ctx, Password{Username: "ada", Password: "pw"})
	w.must(err)
	s, err := w.e.Login(w.ctx, id, LoginOptions{})
	w.must(err)
	return s.Token
}

// alive asks with the session.
func (w *cacheWorld) alive() bool {
	_, err := w.e.SessionUser(w.ctx, w.token)
	if err != nil && !errors.Is(err, ErrNoSession) {
		w.t.Errorf("SessionUser: %v", err)
	}
	return err == nil
}

// has asks for the permission.
func (w *cacheWorld) has() bool {
	ok, err := w.e.HasPerm(w.ctx, w.id, cachePerm)
	if err != nil {
		w.t.Errorf("HasPerm: %v", err)
	}
	return ok
}

// chill empties the cache, as evictions may at any time.
func (w *cacheWorld) chill() {
	c := w.e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions.clear()
	c.users.forgetIf(func(*userState) bool { return true })
	clear(c.groups)
	clear(c.unions)
	c.perms.Store(nil)
}

func (w *cacheWorld) update(fn func(*User)) error {
	return w.e.UpdateUser(w.ctx, w.user, func(u *User) error { fn(u); return nil })
}

// A cacheRevocation takes something away. give is what has to be granted before.
type cacheRevocation struct {
	name string
	perm bool // it takes the permission; otherwise the session
	give func(*cacheWorld) error
	take func(*cacheWorld) error
}

func toUser(w *cacheWorld) error { return w.e.Grant(w.ctx, w.user, cachePerm) }

func toGroup(w *cacheWorld) error {
	return errors.Join(w.e.Grant(w.ctx, w.group, cachePerm), w.e.AddToGroup(w.ctx, w.user, w.group))
}

func toSuperuser(w *cacheWorld) error { return w.update(func(u *User) { u.Superuser = true }) }

var cacheRevocations = []cacheRevocation{
	{"Logout", false, nil, func(w *cacheWorld) error { return w.e.Logout(w.ctx, w.token) }},
	{"EndSession", false, nil, func(w *cacheWorld) error { return w.e.EndSession(w.ctx, SessionID(w.token.sel)) }},
	{"EndSessions", false, nil, func(w *cacheWorld) error { return w.e.EndSessions(w.ctx, w.user) }},
	{"EndOtherSessions", false, nil, func(w *cacheWorld) error { return w.e.EndOtherSessions(w.ctx, w.other) }},
	{"SetPassword", false, nil, func(w *cacheWorld) error { return w.e.SetPassword(w.ctx, w.user, "new") }},
	{"ChangePassword", false, nil, func(w *cacheWorld) error {
		_, err := w.e.ChangePassword(w.ctx, w.other, "pw", "new")
		return err
	}},
	{"Renew", false, nil, func(w *cacheWorld) error { _, err := w.e.Renew(w.ctx, w.token); return err }},
	{"SetExpiry", false, nil, func(w *cacheWorld) error { _, err := w.e.SetExpiry(w.ctx, w.token, 0); return err }},
	{"Login in place of it", false, nil, func(w *cacheWorld) error {
		_, err := w.e.Login(w.ctx, w.id, LoginOptions{Previous: w.token})
		return err
	}},
	{"deactivation", false, nil, func(w *cacheWorld) error { return w.update(func(u *User) { u.Inactive = true }) }},
	{"DeleteUser", false, nil, func(w *cacheWorld) error { return w.e.DeleteUser(w.ctx, w.user) }},
	{"Revoke from user", true, toUser, func(w *cacheWorld) error { return w.e.Revoke(w.ctx, w.user, cachePerm) }},
	{"Revoke from group", true, toGroup, func(w *cacheWorld) error { return w.e.Revoke(w.ctx, w.group, cachePerm) }},
	{"RemoveFromGroup", true, toGroup, func(w *cacheWorld) error { return w.e.RemoveFromGroup(w.ctx, w.user, w.group) }},
	{"SetGroups", true, toGroup, func(w *cacheWorld) error { return w.e.SetGroups(w.ctx, w.user) }},
	{"DeleteGroup", true, toGroup, func(w *cacheWorld) error { return w.e.DeleteGroup(w.ctx, w.group) }},
	{"Undefine", true, toUser, func(w *cacheWorld) error { return w.e.Undefine(w.ctx, cachePerm) }},
	{"Undefine, held by group", true, toGroup, func(w *cacheWorld) error { return w.e.Undefine(w.ctx, cachePerm) }},
	{"demotion", true, toSuperuser, func(w *cacheWorld) error { return w.update(func(u *User) { u.Superuser = false }) }},
	{"deactivation of a holder", true, toUser, func(w *cacheWorld) error { return w.update(func(u *User) { u.Inactive = true }) }},
	{"deletion of a holder", true, toUser, func(w *cacheWorld) error { return w.e.DeleteUser(w.ctx, w.user) }},
}

func (r *cacheRevocation) world(t *testing.T) *cacheWorld {
	w := newCacheWorld(t, Config{})
	if r.give != nil {
		w.must(r.give(w))
	}
	if !r.ask(w) {
		t.Fatal("nothing to take away")
	}
	return w
}

func (r *cacheRevocation) ask(w *cacheWorld) bool {
	if r.perm {
		return w.has()
	}
	return w.alive()
}

// TestReadersAroundACommit lets a revocation pass a reader who fills the
// cache, at each point where one of them can overtake the other.
func TestReadersAroundACommit(t *testing.T) {
	for _, r := range cacheRevocations {
		for _, p := range []hookPoint{atSnapshot, atRead} {
			t.Run(r.name+" after the reader's "+hookNames[p], func(t *testing.T) {
				w := r.world(t)
				w.chill()
				w.store.on(p, func() {
					w.must(r.take(w))
					if r.ask(w) {
						t.Error("still there right after the revocation")
					}
					w.chill()
				})
				if !r.ask(w) {
					t.Log("the reader began before and was answered from after") // which is as good
				}
				if w.store.pending() {
					t.Fatal("the reader did not go to the file")
				}
				if r.ask(w) {
					t.Error("what an old reader saw was kept")
				}
			})
		}
		for _, p := range []hookPoint{atFence, atCommitted} {
			t.Run(r.name+" with readers at its "+hookNames[p], func(t *testing.T) {
				w := r.world(t)
				w.store.on(p, func() {
					for range 3 {
						if got, want := r.ask(w), p == atFence; got != want {
							t.Errorf("at the %s: got %v, want %v", hookNames[p], got, want)
						}
					}
				})
				w.must(r.take(w))
				if w.store.pending() {
					t.Fatal("no commit")
				}
				if r.ask(w) {
					t.Error("what was read during the commit was kept")
				}
			})
		}
	}
}

// TestCommitsThatOverlap settles an older commit after a newer one, while a
// reader holds what it read between them.
func TestCommitsThatOverlap(t *testing.T) {
	for _, r := range cacheRevocations {
		if !r.perm || r.name == "deletion of a holder" {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			reading, proceed := make(chan struct{}), make(chan struct{})
			var reader sync.WaitGroup
			w.store.on(atCommitted, func() {
				w.chill()
				w.store.on(atRead, func() {
					close(reading)
					<-proceed
				})
				reader.Go(func() { w.has() })
				<-reading
				w.must(r.take(w))
			})
			// The giving is the older commit: all in one, so that it is the one with the hook.
			w.must(w.e.Update(w.ctx, func(tx *Tx) error {
				return errors.Join(tx.AddToGroup(w.user, w.group), tx.Grant(w.group, cachePerm), tx.Grant(w.user, cachePerm),
					tx.UpdateUser(w.user, func(u *User) error { u.Superuser = r.name == "demotion"; return nil }))
			}))
			w.chill() // whoever made the change has read the new state by now
			close(proceed)
			reader.Wait()
			w.store.on(atSnapshot, func() {})
			w.has()
			if w.store.pending() {
				t.Error("what was read between two commits was kept after the second")
			}
		})
	}
}

// TestPartsOfDifferentStates gives a reader of an old state the chance to
// combine it with parts that others cached from a newer one.
func TestPartsOfDifferentStates(t *testing.T) {
	for _, groups := range []int{1, 2} {
		w := newCacheWorld(t, Config{})
		bob := &User{Username: "bob"}
		w.must(w.e.CreateUser(w.ctx, bob, "pw"))
		w.must(w.e.AddToGroup(w.ctx, w.user, w.group))
		w.must(w.e.AddToGroup(w.ctx, bob.ID, w.group))
		for range groups - 1 {
			g, err := w.e.CreateGroup(w.ctx, "others")
			w.must(err)
			w.must(w.e.AddToGroup(w.ctx, w.user, g))
			w.must(w.e.AddToGroup(w.ctx, bob.ID, g))
		}
		id, err := w.e.Identity(w.ctx, bob.ID)
		w.must(err)
		w.chill()
		w.store.on(atSnapshot, func() {
			w.must(w.e.Update(w.ctx, func(tx *Tx) error {
				return errors.Join(tx.RemoveFromGroup(w.user, w.group), tx.Grant(w.group, cachePerm))
			}))
			if ok, err := w.e.HasPerm(w.ctx, id, cachePerm); !ok || err != nil {
				t.Errorf("the other member: got %v, %v", ok, err)
			}
		})
		if w.has() {
			t.Errorf("in %d groups: had a permission of a group that it left before the group got it", groups)
		}
		if w.store.pending() {
			t.Fatal("the reader did not go to the file")
		}
		if w.has() {
			t.Errorf("in %d groups: the mixture was kept", groups)
		}
	}
}

// TestFailedCommitLeavesNoFence makes commits fail in every way and looks whether the
// cache keeps what is read afterwards.
func TestFailedCommitLeavesNoFence(t *testing.T) {
	ways := map[string]func(w *cacheWorld){
		"full disk": func(w *cacheWorld) {
			w.store.failing(kv.ErrFull)
			if err := w.e.Revoke(w.ctx, w.user, cachePerm); !errors.Is(err, ErrFull) {
				w.t.Errorf("on a full disk: %v", err)
			}
			w.store.failing(nil)
		},
		"error of the function": func(w *cacheWorld) {
			_ = w.e.Update(w.ctx, func(tx *Tx) error {
				return errors.Join(tx.Revoke(w.user, cachePerm), errors.New("no"))
			})
		},
		"panic": func(w *cacheWorld) {
			defer func() { _ = recover() }()
			w.store.on(atFence, func() {})
			w.store.hooks[atFence] = func() { panic("after the fence") }
			_ = w.e.Revoke(w.ctx, w.user, cachePerm)
		},
		"end of the goroutine": func(w *cacheWorld) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = w.e.Update(w.ctx, func(tx *Tx) error {
					w.must(tx.Revoke(w.user, cachePerm))
					runtime.Goexit()
					return nil
				})
			}()
			<-done
		},
	}
	for name, fail := range ways {
		for _, twice := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newCacheWorld(t, Config{})
				w.must(toUser(w))
				w.store.Store.(*memkv.Store).RunTwice = twice
				fail(w)
				if !w.has() {
					t.Error("the permission is gone although nothing was written")
				}
				w.alive()
				w.store.on(atSnapshot, func() {})
				if !w.has() || !w.alive() || !w.store.pending() {
					t.Error("the state is not kept any more")
				}
				w.store.at(atSnapshot)
				w.must(w.e.Revoke(w.ctx, w.user, cachePerm))
				if w.has() {
					t.Error("revoked and still there")
				}
				w.checkFences()
			})
		}
	}
}

// checkFences fails the test unless all fences are down.
func (w *cacheWorld) checkFences() {
	w.t.Helper()
	c := w.e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	up := c.policyF.commits
	for i := range fenceShards {
		up += c.sessionF[i].commits + c.userF[i].commits
	}
	if up != 0 {
		w.t.Errorf("%d fences were left up", up)
	}
}

// TestUnknownOutcomeEndsTheCache makes sure that nothing is answered from
// memory once it is not known what the file holds.
func TestUnknownOutcomeEndsTheCache(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(toUser(w))
	w.has()
	w.alive()
	anonymous, err := w.e.NewSession(w.ctx, LoginOptions{})
	w.must(err)
	nobody := func() bool {
		_, err := w.e.SessionUser(w.ctx, anonymous.Token)
		return err == nil
	}
	nobody()
	w.store.failing(kv.ErrUnknown)
	if err := w.e.Record(w.ctx, AuditEntry{Action: "x"}); !errors.Is(err, ErrIndeterminate) {
		t.Fatalf("got %v, want ErrIndeterminate", err)
	}
	for what, ask := range map[string]func() bool{"SessionUser": w.alive, "SessionUser of nobody": nobody, "HasPerm": w.has} {
		for range 3 {
			w.store.on(atSnapshot, func() {})
			ask()
			if w.store.pending() {
				t.Errorf("%s was answered from memory", what)
			}
		}
	}
}

// TestDenialIsNotSeenAndThenUnseen begins a denial that has to wait for the
// cache: nobody may see the session dead in the file before everybody sees it dead in the cache.
func TestDenialIsNotSeenAndThenUnseen(t *testing.T) {
	for name, v := range map[string]func(w *cacheWorld) denial{
		"session": func(w *cacheWorld) denial { return denial{sessions: []selector{w.token.sel}} },
		"user":    func(w *cacheWorld) denial { return denial{users: []UserID{w.user}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			if !w.alive() {
				t.Fatal("not alive")
			}
			w.e.cache.mu.Lock()
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.e.deny(v(w))
			}()
			for range 2000 {
				runtime.Gosched()
				_, err := w.e.Session(w.ctx, w.token)
				if errors.Is(err, ErrNoSession) && w.alive() {
					t.Error("dead by the file and alive in the cache")
					break
				}
			}
			w.e.cache.mu.Unlock()
			<-done
			if w.alive() {
				t.Error("alive after the denial")
			}
		})
	}
}

// TestDeniedWhileReading lets a revocation that cannot be written pass a reader
// who fills the cache.
func TestDeniedWhileReading(t *testing.T) {
	for _, r := range cacheRevocations[:11] {
		if r.name == "Renew" || r.name == "SetExpiry" || r.name == "Login in place of it" {
			continue // these give as well as take; they are not in force if they fail
		}
		for _, p := range []hookPoint{atSnapshot, atRead} {
			t.Run(r.name+" after the reader's "+hookNames[p], func(t *testing.T) {
				w := r.world(t)
				w.chill()
				w.store.on(p, func() {
					w.store.failing(kv.ErrFull)
					if err := r.take(w); !errors.Is(err, ErrFull) {
						t.Errorf("on a full disk: %v", err)
					}
					if w.alive() {
						t.Error("alive right after the revocation")
					}
				})
				w.alive()
				if w.store.pending() {
					t.Fatal("the reader did not go to the file")
				}
				if w.alive() {
					t.Error("alive although it was refused in memory")
				}
				w.store.failing(nil)
				if r.name == "ChangePassword" {
					return // there is no session left to do it from
				}
				w.must(r.take(w))
				if w.alive() {
					t.Error("alive after it was written")
				}
			})
		}
	}
}

// brought gives the user a session under a key of another system.
func (w *cacheWorld) brought(key string) Token {
	w.t.Helper()
	w.must(w.e.Update(w.ctx, func(tx *Tx) error {
		return tx.InsertSession(key, BroughtSession{User: w.user, Backend: "password", Expires: tx.Now().Add(time.Hour)})
	}))
	tok, err := ParseToken(key)
	w.must(err)
	return tok
}

// TestDenialOfABroughtSession ends sessions whose tokens are not the keys of
// their records, on a full disk, while readers put them back into the cache between the
// failure and the denial.
func TestDenialOfABroughtSession(t *testing.T) {
	for name, take := range map[string]func(w *cacheWorld) error{
		"Logout":           func(w *cacheWorld) error { return w.e.Logout(w.ctx, w.token) },
		"EndOtherSessions": func(w *cacheWorld) error { return w.e.EndOtherSessions(w.ctx, w.other) },
		"EndSession": func(w *cacheWorld) error {
			s, err := w.e.Session(w.ctx, w.token)
			w.must(err)
			return w.e.EndSession(w.ctx, s.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Pointer[func()]
			start := time.Now()
			w := newCacheWorld(t, Config{Clock: func() time.Time {
				if fn := armed.Swap(nil); fn != nil {
					(*fn)()
				}
				return start
			}})
			w.token = w.brought("0123456789abcdef0123456789abcdef")
			if !w.alive() {
				t.Fatal("not alive")
			}
			w.store.failing(kv.ErrFull)
			// After the fence the clock is read for the denial first of all.
			w.store.on(atFence, func() {
				armed.Store(new(func() {
					if !w.alive() {
						t.Error("dead before it was denied")
					}
				}))
			})
			if err := take(w); !errors.Is(err, ErrFull) {
				t.Errorf("on a full disk: %v", err)
			}
			if armed.Load() != nil || w.store.pending() {
				t.Fatal("nobody came between")
			}
			if w.alive() {
				t.Error("alive in the cache")
			}
			w.chill()
			if w.alive() {
				t.Error("alive in the file")
			}
		})
	}
}

// TestKeepSessionAsksDenials keeps a session that was denied since it was read.
func TestKeepSessionAsksDenials(t *testing.T) {
	w := newCacheWorld(t, Config{})
	brought := w.brought("0123456789abcdef0123456789abcdef")
	for _, tok := range []Token{w.token, brought} {
		var s *sessionRecord
		var sel selector
		rev, err := w.e.viewRev(w.ctx, func(tx *ReadTx) (err error) {
			sel, s, err = tx.sessionByToken(&tok)
			return err
		})
		w.must(err)
		st, err := w.e.userState(w.ctx, w.user)
		w.must(err)
		w.e.deny(denial{sessions: []selector{sel}})
		w.e.cache.keepSession(&tok, s, sel, st, 0, rev)
		if w.e.cache.sessions.lookup(&tok, w.e.clock.nanos(), new(sessionHit)) {
			t.Error("kept")
		}
	}
}

// TestDeactivationDoesNotBringSessionsBack ends sessions in memory only, and
// then has the user deactivated and activated again, in the file.
func TestDeactivationDoesNotBringSessionsBack(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.store.failing(kv.ErrFull)
	if err := w.e.EndSessions(w.ctx, w.user); !errors.Is(err, ErrFull) {
		t.Fatalf("on a full disk: %v", err)
	}
	w.store.failing(nil)
	w.must(w.update(func(u *User) { u.Inactive = true }))
	w.must(w.update(func(u *User) { u.Inactive = false }))
	if w.alive() {
		t.Error("the sessions are back")
	}
	w.must(w.e.EndSessions(w.ctx, w.user))
	if n := w.e.denied.n.Load(); n != 0 {
		t.Errorf("%d denials after all was written", n)
	}
}

// TestDeniedDeactivationEnds deactivates on a full disk, and again when there is
// room: the sessions are over for good, as if it had worked at once.
func TestDeniedDeactivationEnds(t *testing.T) {
	w := newCacheWorld(t, Config{})
	off := func(u *User) { u.Inactive = true }
	w.store.failing(kv.ErrFull)
	if err := w.update(off); !errors.Is(err, ErrFull) {
		t.Fatalf("on a full disk: %v", err)
	}
	if w.alive() {
		t.Error("alive while inactive in memory")
	}
	w.store.failing(nil)
	w.must(w.update(off))
	if n := w.e.denied.n.Load(); n != 0 || w.alive() {
		t.Errorf("%d denials after it was written; alive %v", n, w.alive())
	}
	w.must(w.update(func(u *User) { u.Inactive = false }))
	if w.alive() {
		t.Error("alive again with the user")
	}
}

// TestRevocationOfACallerWhoLeft fails a revocation for want of room, and ends its context
// at the same moment: the request that logs out is often the last of its connection.
func TestRevocationOfACallerWhoLeft(t *testing.T) {
	w := newCacheWorld(t, Config{})
	ctx, cancel := context.WithCancel(w.ctx)
	w.store.failing(kv.ErrFull)
	w.store.on(atFence, cancel)
	if err := w.e.Logout(ctx, w.token); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if w.alive() {
		t.Error("alive although the failure was the disk's")
	}
}

// A cacheClock stands still until it is moved.
type cacheClock struct{ nanos atomic.Int64 }

func newCacheClock() *cacheClock {
	c := &cacheClock{}
	c.nanos.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *cacheClock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *cacheClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// TestUseGoesIntoTheFileBehindAReader writes the last use of a session and forgets it in memory,
// after a reader took a state without it and before the reader asked memory.
func TestUseGoesIntoTheFileBehindAReader(t *testing.T) {
	clock := newCacheClock()
	w := newCacheWorld(t, Config{SessionIdle: 10 * time.Second, Clock: clock.now})
	clock.advance(8 * time.Second)
	if !w.alive() {
		t.Fatal("not alive")
	}
	clock.advance(4 * time.Second) // too late, but for the use 4 s ago
	for what, ask := range map[string]func() error{
		"SessionUser": func() error { _, err := w.e.SessionUser(w.ctx, w.token); return err },
		"Session":     func() error { _, err := w.e.Session(w.ctx, w.token); return err },
	} {
		w.chill()
		w.store.on(atSnapshot, func() { w.must(w.e.flushTouched(w.ctx)) })
		if err := ask(); err != nil || w.store.pending() {
			t.Errorf("%s: %v; went to the file: %v", what, err, !w.store.pending())
		}
	}
}

// TestDenialIsLiftedBehindAReader writes what was in force in memory only, after a
// reader took a state without it and before the reader asked memory.
func TestDenialIsLiftedBehindAReader(t *testing.T) {
	for _, r := range cacheRevocations[:11] {
		if r.name == "Renew" || r.name == "SetExpiry" || r.name == "Login in place of it" || r.name == "ChangePassword" {
			continue
		}
		for _, p := range []hookPoint{atSnapshot, atRead} {
			t.Run(r.name+" at the reader's "+hookNames[p], func(t *testing.T) {
				w := newCacheWorld(t, Config{})
				w.must(toUser(w))
				w.store.failing(kv.ErrFull)
				if err := r.take(w); !errors.Is(err, ErrFull) {
					t.Fatalf("on a full disk: %v", err)
				}
				for what, ask := range map[string]func() bool{
					"SessionUser": w.alive,
					"Session":     func() bool { _, err := w.e.Session(w.ctx, w.token); return err == nil },
					"Identity":    func() bool { _, err := w.e.Identity(w.ctx, w.user); return err == nil },
					"HasPerm":     w.has,
				} {
					if (what == "Identity" || what == "HasPerm") && r.name != "deactivation" && r.name != "DeleteUser" {
						continue
					}
					w.chill()
					w.store.on(p, func() {
						w.store.failing(nil)
						_ = r.take(w) // the user is gone the second time
					})
					if ask() {
						t.Errorf("%s: let in by an old state", what)
					}
				}
			})
		}
	}
}

// TestIdleIsTheSameInMemory uses sessions with idle times around what is noted, from
// memory and from the file.
func TestIdleIsTheSameInMemory(t *testing.T) {
	for _, idle := range []time.Duration{2 * time.Second, 10 * time.Second, 59 * time.Second, 61 * time.Second, 10 * time.Minute, time.Hour} {
		clock := newCacheClock()
		w := newCacheWorld(t, Config{SessionIdle: idle, Clock: clock.now, CacheUsers: 4})
		cached, read := w.token, w.other
		if !w.alive() {
			t.Fatal("not alive")
		}
		ask := func(tok Token, kept bool) bool {
			if w.token = tok; !kept {
				w.e.cache.mu.Lock()
				w.e.cache.sessions.remove(tok.sel)
				w.e.cache.mu.Unlock()
			}
			return w.alive()
		}
		for i := range 400 {
			step := idle * time.Duration(i*7919%100) / 112 // within nine tenths, which never ends it
			clock.advance(step)
			a, b := ask(cached, true), ask(read, false)
			if !a || !b {
				t.Fatalf("idle time %v: after %v from memory %v, from the file %v", idle, step, a, b)
			}
		}
		var hit sessionHit
		if now := w.e.clock.nanos(); w.e.cache.sessions.lookup(&cached, now, &hit) && hit.due(now) {
			t.Errorf("idle time %v: a use is noted again and again", idle)
		}
		for range 8 {
			clock.advance(idle / 8)
			w.token = cached
			if now := w.e.clock.nanos(); w.e.cache.sessions.lookup(&cached, now, new(sessionHit)) {
				if _, err := w.e.Session(w.ctx, cached); err != nil {
					t.Errorf("idle time %v: alive in memory alone: %v", idle, err)
				}
			}
		}
		if ask(cached, true) || ask(read, false) {
			t.Errorf("idle time %v: alive after it", idle)
		}
	}
}

// tableToken makes the nth token, in which everything follows from n.
func tableToken(n uint64) (tok Token, rec *sessionRecord) {
	rng := rand.New(rand.NewPCG(n, n))
	for i := range tok.sel {
		tok.sel[i] = byte(rng.Uint32())
	}
	for i := range tok.ver {
		tok.ver[i] = byte(rng.Uint32())
	}
	tok.kind = tokenNative
	return tok, &sessionRecord{user: UserID(n%5 + 1), generation: uint32(n * 7), seen: time.Unix(int64(n), 0),
		expires: time.Unix(1e9+int64(n), 0)}
}

// wantHit fails the test if a hit is not of the nth token.
func wantHit(t *testing.T, hit *sessionHit, n uint64) {
	t.Helper()
	if hit.user != UserID(n%5+1) || hit.gen != uint32(n*7) || hit.cell != uint32(n*3) || hit.backend != uint8(n) || hit.seen != int64(n)*1e9 {
		t.Errorf("session %d: a hit of another: %+v", n, *hit)
	}
}

// TestSessionTable compares tables of many bounds with a map.
func TestSessionTable(t *testing.T) {
	for _, limit := range []int{1, 2, 4, 16, 100, 3000} {
		var table sessionTable
		table.init(limit)
		in := make(map[uint64]bool) // inserted and not removed; it may have been pushed out
		rng := rand.New(rand.NewPCG(1, uint64(limit)))
		found, pushed := 0, 0
		for range 20_000 {
			n := rng.Uint64N(uint64(2*limit + 3))
			tok, rec := tableToken(n)
			switch rng.IntN(16) {
			case 0, 1, 2, 3, 4, 5:
				table.insert(&tok, rec, uint32(n*3), uint8(n))
				in[n] = true
				if !table.lookup(&tok, 0, new(sessionHit)) {
					t.Fatalf("limit %d: session %d is not there right after it was inserted", limit, n)
				}
			case 6:
				table.remove(tok.sel)
				delete(in, n)
			case 7:
				if rng.IntN(limit+3) == 0 {
					table.removeUser(rec.user)
					maps.DeleteFunc(in, func(m uint64, _ bool) bool { return UserID(m%5+1) == rec.user })
				}
			default:
				var hit sessionHit
				if ok := table.lookup(&tok, 0, &hit); ok && !in[n] {
					t.Fatalf("limit %d: session %d is there although it was removed", limit, n)
				} else if ok {
					found++
					wantHit(t, &hit, n)
				} else if in[n] {
					pushed++
				}
				if tok.ver[31] ^= 1; table.lookup(&tok, 0, &hit) {
					t.Fatal("a hit with a wrong secret")
				}
			}
			a := table.slots.Load()
			if table.count > limit || int(a.len()) > max(limit*13/10+perBucket, minBuckets*perBucket) {
				t.Fatalf("limit %d: %d sessions in %d slots", limit, table.count, a.len())
			}
		}
		occupied := 0
		for a, n := table.slots.Load(), uint64(0); n < a.len(); n++ {
			if a.slot(n)[wordSelLow].Load() != 0 {
				occupied++
			}
		}
		if occupied != table.count {
			t.Errorf("limit %d: %d slots are in use, counted %d", limit, occupied, table.count)
		}
		if found == 0 || pushed == 0 {
			t.Errorf("limit %d: found %d, pushed out %d: this tests nothing", limit, found, pushed)
		}
	}
}

// TestHitsGoStale takes hits and lets everything happen to their slots that can.
func TestHitsGoStale(t *testing.T) {
	tok, rec := tableToken(1)
	other, otherRec := tableToken(2)
	for name, change := range map[string]func(*sessionTable){
		"removed":              func(s *sessionTable) { s.remove(tok.sel) },
		"removed and put back": func(s *sessionTable) { s.remove(tok.sel); s.insert(&tok, rec, 3, 1) },
		"put again":            func(s *sessionTable) { s.insert(&tok, rec, 3, 1) },
		"removed by user":      func(s *sessionTable) { s.removeUser(rec.user) },
		"pushed out":           func(s *sessionTable) { s.limit = 1; s.insert(&other, otherRec, 6, 2) },
		"grown":                func(s *sessionTable) { s.grow() },
		"grown, then removed":  func(s *sessionTable) { s.grow(); s.remove(tok.sel) },
		"cleared":              func(s *sessionTable) { s.clear() },
	} {
		var table sessionTable
		table.init(100)
		table.insert(&tok, rec, 3, 1)
		var hit sessionHit
		if !table.lookup(&tok, 0, &hit) || !table.still(&hit) {
			t.Fatal("no hit")
		}
		change(&table)
		if table.still(&hit) {
			t.Errorf("%s: the hit still counts", name)
		}
		before := hit.slot[wordSeen].Load()
		if table.noted(&hit, 1<<60); hit.slot[wordSeen].Load() != before {
			t.Errorf("%s: a use was noted in a slot of another", name)
		}
	}
	// A slot that is being written to is no hit, and one that changed hands
	// while its words were read is none either.
	var table sessionTable
	table.init(100)
	table.insert(&tok, rec, 3, 1)
	var hit sessionHit
	table.lookup(&tok, 0, &hit)
	if hit.slot[wordSeq].Add(1); table.lookup(&tok, 0, new(sessionHit)) {
		t.Error("a hit in the middle of a write")
	}
}

// TestSessionTableReaders reads a table without a lock while it changes as much as it can.
func TestSessionTableReaders(t *testing.T) {
	const sessions = 48
	var table sessionTable
	table.init(12)
	var stop atomic.Bool
	var hits atomic.Int64
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			for i := uint64(r); !stop.Load(); i++ {
				n := i * 31 % sessions
				tok, _ := tableToken(n)
				var hit sessionHit
				if table.lookup(&tok, 0, &hit) {
					wantHit(t, &hit, n)
					hits.Add(1)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := 0; i < 20_000 || hits.Load() < 10_000 && i < 2_000_000; i++ {
		n := rng.Uint64N(sessions)
		tok, rec := tableToken(n)
		switch rng.IntN(64) {
		case 0:
			table.clear()
		case 1, 2:
			table.removeUser(rec.user)
		case 3, 4, 5, 6, 7, 8:
			table.remove(tok.sel)
		default:
			table.insert(&tok, rec, uint32(n*3), uint8(n))
		}
	}
	stop.Store(true)
	readers.Wait()
	if hits.Load() == 0 {
		t.Error("no reader found anything: this tests nothing")
	}
}

// TestSessionCountIsNeverTooLow lets a user log in and out, also on a disk that is full, and compares
// what is known of the number of its sessions with the file.
func TestSessionCountIsNeverTooLow(t *testing.T) {
	const limit = 5
	w := newCacheWorld(t, Config{SessionLimit: limit})
	rng := rand.New(rand.NewPCG(7, 8))
	tokens := []Token{w.token, w.other}
	known := 0
	for step := range 500 {
		i := rng.IntN(len(tokens))
		if rng.IntN(4) == 0 {
			w.store.failing(kv.ErrFull)
		}
		id, err := w.e.Identity(w.ctx, w.user)
		w.must(err)
		switch rng.IntN(4) {
		case 0:
			_ = w.e.Logout(w.ctx, tokens[i]) // on a full disk it is denied, and still in the file
		case 1:
			if s, err := w.e.Renew(w.ctx, tokens[i]); err == nil {
				tokens[i] = s.Token
			}
		case 2:
			if s, err := w.e.Login(w.ctx, id, LoginOptions{Previous: tokens[i]}); err == nil {
				tokens[i] = s.Token
			}
		default:
			if s, err := w.e.Login(w.ctx, id, LoginOptions{}); err == nil {
				tokens = append(tokens[max(0, len(tokens)-2*limit):], s.Token)
			}
		}
		w.store.failing(nil)
		stored := 0
		w.must(w.e.view(w.ctx, func(tx *ReadTx) error {
			all, err := tx.sessionsOf(w.user)
			stored = len(all)
			return err
		}))
		held, ok := w.e.held.n[w.user]
		n := held.n
		if ok {
			known++
		}
		if ok && (int(n) < stored || held.by != nil) || stored > limit {
			t.Fatalf("step %d: %d sessions, known to be at most %d (%v), limit %d", step, stored, n, ok, limit)
		}
	}
	if known < 50 {
		t.Errorf("the number was known in %d steps: this tests nothing", known)
	}
}

// TestSessionCountIsNotBelievedTooEarly counts the sessions of a user in a login that is not committed, and maybe never is: no other
// login may rely on that, since those that the count did not find may be there after all.
func TestSessionCountIsNotBelievedTooEarly(t *testing.T) {
	const limit = 5
	for name, c := range map[string]struct {
		err   error
		known bool
	}{"committed": {nil, true}, "full disk": {kv.ErrFull, false}} {
		t.Run(name, func(t *testing.T) {
			w := newCacheWorld(t, Config{SessionLimit: limit})
			id, err := w.e.Identity(w.ctx, w.user)
			w.must(err)
			w.e.held = heldCount{}
			w.store.failing(c.err)
			w.store.on(atFence, func() {
				if w.e.held.fewer(w.user, limit) {
					t.Error("a number is believed that is not committed")
				}
			})
			_, err = w.e.Login(w.ctx, id, LoginOptions{})
			w.store.failing(nil)
			if w.store.pending() || (err == nil) != (c.err == nil) {
				t.Fatalf("the login did not get there: %v", err)
			}
			if known := w.e.held.fewer(w.user, limit); known != c.known {
				t.Errorf("after the login the number is known: %v, want %v", known, c.known)
			}
		})
	}
	t.Run("panic", func(t *testing.T) {
		w := newCacheWorld(t, Config{SessionLimit: limit})
		w.e.held = heldCount{}
		func() {
			defer func() { _ = recover() }()
			_ = w.e.Update(w.ctx, func(tx *Tx) error {
				w.must(tx.deleteSessions(w.user, nil))
				w.must(tx.makeRoom(w.user))
				panic("function")
			})
		}()
		if w.e.held.fewer(w.user, limit) {
			t.Error("a number is believed that was counted in a function that panicked")
		}
	})
}

// TestEndOfALostSession ends a session whose record was lost from the file, as damage does it, while it is in memory.
func TestEndOfALostSession(t *testing.T) {
	for name, end := range map[string]func(w *cacheWorld) error{
		"Logout":     func(w *cacheWorld) error { return w.e.Logout(w.ctx, w.token) },
		"EndSession": func(w *cacheWorld) error { return w.e.EndSession(w.ctx, SessionID(w.token.sel)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			if _, err := w.store.Store.Update(w.ctx, func(tx kv.Tx) error { return tx.Delete(bucketSession, w.token.sel[:]) }); err != nil {
				t.Fatal(err)
			}
			if _, err := w.e.SessionUser(w.ctx, w.token); err != nil {
				t.Fatalf("it was not in memory, so this tests nothing: %v", err)
			}
			other := w.token
			other.ver[0]++
			w.must(w.e.Logout(w.ctx, other))
			if _, err := w.e.SessionUser(w.ctx, w.token); err != nil {
				t.Errorf("another secret ended it: %v", err)
			}
			w.must(end(w))
			if _, err := w.e.SessionUser(w.ctx, w.token); !errors.Is(err, ErrNoSession) {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

// A keepingTx removes nothing, as bbolt does where keys are not in order.
type keepingTx struct{ kv.Tx }

func (keepingTx) DeleteSome(kv.Bucket, []byte, int) (bool, error) { return false, nil }

// TestSweepEnds sweeps what cannot be removed.
func TestSweepEnds(t *testing.T) {
	w := newCacheWorld(t, Config{})
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	w.store.wrap = func(tx kv.Tx) kv.Tx { return keepingTx{tx} }
	p := pace(paceFirst)
	if _, err := w.e.sweepRanges(ctx, bucketSession, ^uint32(0), &p); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the sweep ends with %v", err)
	}
	w.store.wrap = nil
	if n, err := w.e.sweepRanges(ctx, bucketSession, ^uint32(0), &p); err != nil || n == 0 {
		t.Errorf("without damage %d ranges are removed, %v", n, err)
	}
}

// TestOutageIsNoUsedToken redeems a token whose record cannot be read. That is not what the error of a token says that is used up.
func TestOutageIsNoUsedToken(t *testing.T) {
	w := newCacheWorld(t, Config{})
	tok, err := w.e.IssueToken(w.ctx, OneTimeRequest{User: w.user, Purpose: "test"})
	w.must(err)
	if _, err := w.store.Store.Update(w.ctx, func(tx kv.Tx) error { return tx.Put(bucketToken, tok.sel[:], []byte("damage")) }); err != nil {
		t.Fatal(err)
	}
	err = w.e.RedeemToken(w.ctx, "test", tok, func(*Tx, *User, string) error { return nil })
	if !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrToken) {
		t.Errorf("got %v", err)
	}
}

// TestSweepBesideALateLogin stores a session whose hour is over right after that hour was removed, as a login does that waited for longer than its
// session lives.
func TestSweepBesideALateLogin(t *testing.T) {
	w := newCacheWorld(t, Config{})
	now := time.Now()
	late := newSelector(now, now, [6]byte{1: 1})
	w.must(w.e.update(w.ctx, func(tx *Tx) error { return tx.mark(bucketSession, late[:]) }))
	again := newSelector(now, now, [6]byte{1: 2})
	w.store.on(atCommitted, func() {
		w.must(w.e.update(w.ctx, func(tx *Tx) error { return tx.mark(bucketSession, again[:]) }))
	})
	p := pace(paceFirst)
	n, err := w.e.sweepRanges(w.ctx, bucketSession, late.hour()+1, &p)
	if w.store.pending() {
		t.Fatal("nothing was removed")
	}
	if err != nil || n != 1 {
		t.Errorf("%d hours were removed, %v", n, err)
	}
	w.must(w.e.view(w.ctx, func(tx *ReadTx) error {
		keys, err := tx.keys(bucketSession, be32(late.hour()), nil, 0)
		if len(keys) > 0 {
			t.Errorf("%d sessions are left", len(keys))
		}
		return err
	}))
}

// TestSweepOfKeysThatComeBack brings a session over under a key that another sweep has removed meanwhile.
func TestSweepOfKeysThatComeBack(t *testing.T) {
	w := newCacheWorld(t, Config{})
	const key = "0123456789abcdef0123456789abcdef"
	bring := func() {
		w.must(w.e.update(w.ctx, func(tx *Tx) error {
			return tx.InsertSession(key, BroughtSession{Expires: tx.Now().Add(100 * time.Hour)})
		}))
	}
	tok, err := ParseToken(key)
	w.must(err)
	bring()
	w.must(w.e.update(w.ctx, func(tx *Tx) error { return tx.deletePrefix(bucketSession, nil) })) // as a sweep does
	var r SweepReport
	w.store.on(atRead, func() {
		var other SweepReport
		if _, err := w.e.sweepBrought(w.ctx, &other); err != nil || other.Brought != 1 {
			t.Errorf("the other sweep: %d keys, %v", other.Brought, err)
		}
		bring()
	})
	_, err = w.e.sweepBrought(w.ctx, &r)
	w.must(err)
	if _, err := w.e.SessionUser(w.ctx, tok); err != nil || r.Brought != 0 {
		t.Errorf("the session that came back: %v; %d keys were removed", err, r.Brought)
	}
}

// A failingReader fails to read the records of one bucket, as one does whose state was given up.
type failingReader struct {
	kv.Reader
	bucket kv.Bucket
}

func (r failingReader) Get(b kv.Bucket, key []byte) ([]byte, error) {
	if b == r.bucket {
		return nil, kv.ErrTooOld
	}
	return r.Reader.Get(b, key)
}

// TestUnreadIsNotMissing fails to read records, which must not be taken for records that are missing, or there.
func TestUnreadIsNotMissing(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(w.e.Grant(w.ctx, w.group, cachePerm))
	for _, b := range []kv.Bucket{bucketGrant, bucketPerm, bucketUser} {
		w.must(w.e.view(w.ctx, func(tx *ReadTx) error {
			tx = &ReadTx{e: w.e, r: failingReader{tx.r, b}, ctx: w.ctx, now: tx.now}
			var err error
			if b == bucketUser {
				_, err = (&Loader{e: w.e, tx: &Tx{ReadTx: *tx}, before: w.user}).takeID(w.user)
			} else {
				_, err = tx.Grants(w.group)
			}
			if !errors.Is(err, ErrViewTooOld) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrExists) {
				t.Errorf("%s cannot be read: %v", b, err)
			}
			return nil
		}))
	}
}

// TestLongestIdleLimit has the longest Duration for "never".
func TestLongestIdleLimit(t *testing.T) {
	w := newCacheWorld(t, Config{SessionIdle: 1<<63 - 1})
	s, err := w.e.Session(w.ctx, w.token)
	w.must(err)
	id, err := w.e.Authenticate(w.ctx, Password{Username: "ada", Password: "pw"})
	w.must(err)
	fresh, err := w.e.Login(w.ctx, id, LoginOptions{})
	w.must(err)
	if s.IdleFor != maxIdle || fresh.IdleFor != maxIdle {
		t.Errorf("it is kept as %v, and a login says %v", s.IdleFor, fresh.IdleFor)
	}
}

// TestLongAddressIsNoOther has an address so long that its key ends in a hash, which begins with the byte that ends the key of
// another address.
func TestLongAddressIsNoOther(t *testing.T) {
	w := newCacheWorld(t, Config{UniqueEmail: true})
	label := strings.Repeat("中", 63)
	short := "a@" + label + "." + label + "." + strings.Repeat("中", 11) + "a" // as long as what stays of a long one
	if n := len(foldEmail(short)); n != maxNameKey-32 {
		t.Fatalf("the address has %d bytes", n)
	}
	w.must(ValidateEmail(short))
	long := ""
	for i := range 1 << 16 {
		long = short + strings.Repeat("中", 20) + strconv.Itoa(i) + "a"
		if sum := sha256.Sum256([]byte(foldEmail(long))); sum[0] == 0 && sum[1] != 0 {
			break
		}
	}
	w.must(w.e.update(w.ctx, func(tx *Tx) error {
		return tx.InsertBroughtUser(&User{Username: "long", Email: long}, PasswordHash{})
	}))
	if us, err := w.e.UsersByEmail(w.ctx, short); err != nil || len(us) != 0 {
		t.Errorf("%d users have an address that nobody has, %v", len(us), err)
	}
	load := func(name, email string) error {
		return w.e.update(w.ctx, func(tx *Tx) error { return tx.InsertUser(&User{Username: name, Email: email}, PasswordHash{}) })
	}
	if err := load("short", short); err != nil {
		t.Errorf("the address is said to be taken: %v", err)
	}
	if err := load("again", short); !errors.Is(err, ErrExists) {
		t.Errorf("the address was given out twice: %v", err)
	}
	if us, err := w.e.UsersByEmail(w.ctx, short); err != nil || len(us) != 1 || us[0].Username != "short" {
		t.Errorf("found %d users, %v", len(us), err)
	}
}

// TestPasswordChangesDuringTheCheck changes the password after Authenticate read the hash, as
// the owner does who learned that somebody else knows it.
func TestPasswordChangesDuringTheCheck(t *testing.T) {
	for name, change := range map[string]func(w *cacheWorld) error{
		"SetPassword": func(w *cacheWorld) error { return w.e.SetPassword(w.ctx, w.user, "new") },
		"EndSessions": func(w *cacheWorld) error { return w.e.EndSessions(w.ctx, w.user) },
		"SetPassword on a full disk": func(w *cacheWorld) error {
			w.store.failing(kv.ErrFull)
			defer w.store.failing(nil)
			if err := w.e.SetPassword(w.ctx, w.user, "new"); !errors.Is(err, ErrFull) {
				return errors.New("it did not fail")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCacheWorld(t, Config{})
			w.store.on(atRead, func() { w.must(change(w)) })
			id, err := w.e.Authenticate(w.ctx, Password{Username: "ada", Password: "pw"})
			if w.store.pending() {
				t.Fatal("nothing was changed")
			}
			if errors.Is(err, ErrCredentials) {
				return
			}
			w.must(err)
			if _, err := w.e.Login(w.ctx, id, LoginOptions{}); !errors.Is(err, ErrCredentials) {
				t.Errorf("a login by the old password after the change: %v", err)
			}
		})
	}
}

// TestIdentityHasIsOfOneMoment asks an Identity after everything changed, the engine was closed, and
// with the cache off; none of that is its business, and none makes it read the file.
func TestIdentityHasIsOfOneMoment(t *testing.T) {
	for _, size := range []int{0, -1} {
		w := newCacheWorld(t, Config{CacheUsers: size})
		w.must(toGroup(w))
		id, err := w.e.SessionUser(w.ctx, w.token)
		w.must(err)
		ask := func(when string) {
			t.Helper()
			w.store.on(atSnapshot, func() {})
			if !id.Has(cachePerm) || id.Has("blog.other") {
				t.Errorf("cache %d, %s: got %v, %v", size, when, id.Has(cachePerm), id.Has("blog.other"))
			}
			if !w.store.pending() {
				t.Errorf("cache %d, %s: it read the file", size, when)
			}
			w.store.at(atSnapshot)
		}
		ask("at once")
		w.must(w.e.Undefine(w.ctx, cachePerm))
		w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "add_post"}, Permission{App: "blog", Codename: "other"}))
		w.must(w.e.Grant(w.ctx, w.user, "blog.other"))
		ask("after changes")
		w.must(w.e.Close())
		ask("after Close")
	}
}

// TestNewPermissionBehindAReader defines and grants a permission behind a
// reader who holds the list without it.
func TestNewPermissionBehindAReader(t *testing.T) {
	for _, p := range []hookPoint{atSnapshot, atRead} {
		w := newCacheWorld(t, Config{})
		w.must(toUser(w))
		w.chill()
		w.store.on(p, func() {
			w.must(w.e.Define(w.ctx, Permission{App: "blog", Codename: "late"}))
		})
		w.has()
		w.must(w.e.Grant(w.ctx, w.user, "blog.late"))
		if ok, err := w.e.HasPerm(w.ctx, w.id, "blog.late"); !ok || err != nil {
			t.Errorf("defined at the reader's %s and granted: got %v, %v", hookNames[p], ok, err)
		}
	}
}

// TestSeveralObjectsAreOfOneState moves a grant from one object to another, so that there is
// no moment in which both are allowed.
func TestSeveralObjectsAreOfOneState(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(w.e.Grant(w.ctx, w.user, cachePerm, "a"))
	w.has()
	w.store.on(atRead, func() {
		w.must(w.e.Update(w.ctx, func(tx *Tx) error {
			return errors.Join(tx.Revoke(w.user, cachePerm, "a"), tx.Grant(w.user, cachePerm, "b"))
		}))
	})
	if ok, err := w.e.HasPerm(w.ctx, w.id, cachePerm, "a", "b"); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	if w.store.pending() {
		t.Error("it did not go to the file")
	}
}

// TestWarmAnswersAllocateNothing guards what every request does.
func TestWarmAnswersAllocateNothing(t *testing.T) {
	w := newCacheWorld(t, Config{})
	w.must(toGroup(w))
	w.must(toUser(w))
	anonymous, err := w.e.NewSession(w.ctx, LoginOptions{})
	w.must(err)
	tok, ctx := w.token, w.ctx
	for name, fn := range map[string]func() bool{
		"SessionUser": func() bool {
			id, err := w.e.SessionUser(ctx, tok)
			return err == nil && !id.Anonymous()
		},
		"SessionUser of an anonymous session": func() bool {
			id, err := w.e.SessionUser(ctx, anonymous.Token)
			return err == nil && id.Anonymous()
		},
		"HasPerm": func() bool {
			ok, err := w.e.HasPerm(ctx, w.id, cachePerm)
			return ok && err == nil
		},
		"HasPerm that is refused": func() bool {
			ok, err := w.e.HasPerm(ctx, w.id, "blog.other")
			return !ok && err == nil
		},
		"Has": func() bool {
			id, err := w.e.SessionUser(ctx, tok)
			return err == nil && id.Has(cachePerm) && !id.Has("blog.other")
		},
	} {
		if !fn() {
			t.Errorf("%s: wrong answer", name)
		}
		w.store.on(atSnapshot, func() {})
		if n := testing.AllocsPerRun(200, func() { fn() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if !w.store.pending() {
			t.Errorf("%s: it read the file", name)
		}
		w.store.at(atSnapshot)
	}
}

// A nosyBackend is asked for its name in the middle of everything.
type nosyBackend struct {
	PasswordBackend
	asked *atomic.Pointer[func()]
}

func (b nosyBackend) Name() string {
	if fn := b.asked.Swap(nil); fn != nil {
		(*fn)()
	}
	return b.PasswordBackend.Name()
}

// TestDeniedBeforeTheStateIsKept denies a user after a reader applied what is in force in
// memory to the state it read, and before it keeps that.
func TestDeniedBeforeTheStateIsKept(t *testing.T) {
	var asked atomic.Pointer[func()]
	w := newCacheWorld(t, Config{Backends: []Backend{nosyBackend{asked: &asked}}})
	w.must(toUser(w))
	w.chill()
	asked.Store(new(func() { w.e.deny(denial{users: []UserID{w.user}, inactive: true}) }))
	w.has()
	if asked.Load() != nil {
		t.Fatal("nobody asked")
	}
	if w.has() {
		t.Error("the state of before was kept")
	}
}

// TestLastUseIsTheLast notes uses in the wrong order.
func TestLastUseIsTheLast(t *testing.T) {
	w := newCacheWorld(t, Config{})
	now := w.e.Now()
	w.e.noteSeen(w.token.sel, now.Add(time.Minute))
	w.e.noteSeen(w.token.sel, now)
	if got := w.e.lastSeen(w.token.sel, now); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("got %v, want a minute later", got.Sub(now))
	}
}

// TestUserTable keeps states of more users than there is room for.
func TestUserTable(t *testing.T) {
	for _, limit := range []int{1, 3, 64, cellsPerChunk + 1} {
		c := newCache(1, limit, new(denials))
		rng := rand.New(rand.NewPCG(5, uint64(limit)))
		states := make(map[UserID]*userState) // kept and not forgotten; it may have been pushed out
		found := 0
		for range 20_000 {
			id := UserID(rng.IntN(limit*3/2+2) + 1)
			switch rng.IntN(4) {
			case 0:
				st := &userState{id: id}
				c.keepUser(st, 1)
				states[id] = st
				if c.find(id) != st {
					t.Fatalf("limit %d: not there right after it was kept", limit)
				}
			case 1:
				if rng.IntN(4) == 0 {
					c.users.forget(id)
					delete(states, id)
				}
			default:
				st := c.find(id)
				if st != nil && st != states[id] {
					t.Fatalf("limit %d: a state that was forgotten or replaced", limit)
				}
				if st != nil {
					found++
					c.users.cell(st.cell).used.Store(true)
				}
			}
			if len(c.users.index) > limit || int(c.users.used) > limit {
				t.Fatalf("limit %d: %d users in %d cells", limit, len(c.users.index), c.users.used)
			}
		}
		if found == 0 {
			t.Errorf("limit %d: nothing was ever found", limit)
		}
	}
}

// Whoever makes a change reads again what it made the cache drop: of those that were there, and no more than so many.
func TestDroppedStatesAreReadAgain(t *testing.T) {
	w := newCacheWorld(t, Config{})
	var members []UserID
	for i := range maxDropped + 10 {
		u := &User{Username: "member" + strconv.Itoa(i), Groups: []GroupID{w.group}}
		w.must(w.e.InsertUser(w.ctx, u, PasswordHash{}))
		members = append(members, u.ID)
	}
	warm := func(ids []UserID) (n int) {
		for _, id := range ids {
			if w.e.cache.find(id) != nil {
				n++
			}
		}
		return n
	}
	look := func(ids []UserID) {
		for _, id := range ids {
			_, err := w.e.Identity(w.ctx, id)
			w.must(err)
		}
	}
	w.must(w.e.Grant(w.ctx, members[1], cachePerm))
	if n := warm(members); n != 0 {
		t.Errorf("%d users are in memory after a change of one who was not", n)
	}
	look(members[:2])
	w.must(w.e.Grant(w.ctx, members[0], cachePerm))
	if st := w.e.cache.find(members[0]); st == nil || !st.has(cachePerm) {
		t.Error("the user who was given something is not in memory, or has not got it")
	}
	w.must(w.e.Revoke(w.ctx, members[0], cachePerm))
	if st := w.e.cache.find(members[0]); st == nil || st.has(cachePerm) {
		t.Error("the user from whom something was taken is not in memory, or still has it")
	}
	w.must(w.e.Grant(w.ctx, w.group, cachePerm))
	if n := warm(members); n != 2 {
		t.Errorf("after a change of their group %d users are in memory; 2 were", n)
	}
	look(members)
	w.must(w.e.Revoke(w.ctx, w.group, cachePerm))
	if n := warm(members); n != maxDropped {
		t.Errorf("after a change of their group %d users are in memory, want %d", n, maxDropped)
	}
	// That it cannot be read is no failure of the change.
	look(members[:1])
	w.store.on(atCommitted, func() { w.store.failReads.Store(true) })
	err := w.e.Grant(w.ctx, members[0], cachePerm)
	w.store.failReads.Store(false)
	w.must(err)
	if w.e.cache.find(members[0]) != nil {
		t.Error("what could not be read is in memory")
	}
	id, err := w.e.Identity(w.ctx, members[0])
	w.must(err)
	if !id.Has(cachePerm) {
		t.Error("the change is not in force")
	}
}
