package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A revokeCase takes something away. prepare gives it and returns a function that
// asks for it; take is the call after which nobody may have it.
type revokeCase struct {
	name    string
	prepare func(w *revokeWorker) (ask func() (bool, error))
	take    func(w *revokeWorker) error
}

// A revokeWorker gives and takes, with a user, a group and a permission of its own.
type revokeWorker struct {
	t     *testing.T
	eng   *latchbolt.Engine
	ctx   context.Context
	perm  latchbolt.Perm
	n     int
	user  latchbolt.UserID
	group latchbolt.GroupID
	id    latchbolt.Identity
	sess  latchbolt.Session
	other latchbolt.Session
}

// aSession begins two sessions of a user and asks with the first.
func aSession(w *revokeWorker) func() (bool, error) {
	w.meet()
	for _, s := range []*latchbolt.Session{&w.sess, &w.other} {
		var err error
		*s, err = w.eng.Login(w.ctx, w.id, latchbolt.LoginOptions{})
		must(w.t, "login", err)
	}
	tok, user := w.sess.Token, w.user
	return func() (bool, error) {
		id, err := w.eng.SessionUser(w.ctx, tok)
		if errors.Is(err, latchbolt.ErrNoSession) {
			return false, nil
		}
		return id.ID() == user, err
	}
}

// meet loads the Identity of the user, who is made if there is none.
func (w *revokeWorker) meet() {
	w.t.Helper()
	var err error
	if w.user == 0 {
		w.n++
		u := &latchbolt.User{Username: fmt.Sprintf("%s.%d", w.perm, w.n)}
		must(w.t, "making a user", w.eng.CreateUser(w.ctx, u, revokePassword))
		w.user = u.ID
	}
	w.id, err = w.eng.Identity(w.ctx, w.user)
	must(w.t, "loading the user", err)
}

// aPerm gives the permission and asks for it: by an Identity loaded before, by one
// of a session, or by what the session's Identity says itself.
func aPerm(give func(w *revokeWorker) error, objects ...latchbolt.Object) func(w *revokeWorker) func() (bool, error) {
	return func(w *revokeWorker) func() (bool, error) {
		w.meet()
		must(w.t, "giving", give(w))
		s, err := w.eng.Login(w.ctx, w.id, latchbolt.LoginOptions{})
		must(w.t, "login", err)
		id, perm := w.id, w.perm
		var turn atomic.Uint32
		return func() (bool, error) {
			if turn.Add(1)%2 == 0 {
				return w.eng.HasPerm(w.ctx, id, perm, objects...)
			}
			now, err := w.eng.SessionUser(w.ctx, s.Token)
			if errors.Is(err, latchbolt.ErrNoSession) {
				return false, nil
			}
			if err != nil || len(objects) == 0 {
				return now.Has(perm), err
			}
			return w.eng.HasPerm(w.ctx, now, perm, objects...)
		}
	}
}

func (w *revokeWorker) update(fn func(u *latchbolt.User)) error {
	return w.eng.UpdateUser(w.ctx, w.user, func(u *latchbolt.User) error { fn(u); return nil })
}

func (w *revokeWorker) toUser() error { return w.eng.Grant(w.ctx, w.user, w.perm) }

func (w *revokeWorker) toObject() error { return w.eng.Grant(w.ctx, w.user, w.perm, "thing") }

func (w *revokeWorker) toGroup() error {
	if w.group == 0 {
		var err error
		w.n++
		if w.group, err = w.eng.CreateGroup(w.ctx, fmt.Sprint(w.perm, " ", w.n)); err != nil {
			return err
		}
	}
	return errors.Join(w.eng.AddToGroup(w.ctx, w.user, w.group), w.eng.Grant(w.ctx, w.group, w.perm))
}

func (w *revokeWorker) toSuperuser() error {
	return w.update(func(u *latchbolt.User) { u.Superuser = true })
}

func (w *revokeWorker) deactivate() error {
	return w.update(func(u *latchbolt.User) { u.Inactive = true })
}

// gone has the next round make another user.
func (w *revokeWorker) gone(err error) error {
	w.user = 0
	return err
}

func (w *revokeWorker) undefine() error {
	err := w.eng.Undefine(w.ctx, w.perm)
	return errors.Join(err, w.define())
}

func (w *revokeWorker) define() error {
	return w.eng.Define(w.ctx, latchbolt.Permission{App: w.perm.App(), Codename: "p"})
}

func (w *revokeWorker) reset() error {
	tok, err := w.eng.ResetToken(w.ctx, w.user)
	if err == nil {
		_, err = w.eng.ResetPassword(w.ctx, tok, revokePassword)
	}
	return err
}

func (w *revokeWorker) deleteGroup() error {
	g := w.group
	w.group = 0
	return w.eng.DeleteGroup(w.ctx, g)
}

const revokePassword = "secret enough"

var revokeCases = []revokeCase{
	{"Logout", aSession, func(w *revokeWorker) error { return w.eng.Logout(w.ctx, w.sess.Token) }},
	{"EndSession", aSession, func(w *revokeWorker) error { return w.eng.EndSession(w.ctx, w.sess.ID) }},
	{"EndSessions", aSession, func(w *revokeWorker) error { return w.eng.EndSessions(w.ctx, w.user) }},
	{"EndOtherSessions", aSession, func(w *revokeWorker) error { return w.eng.EndOtherSessions(w.ctx, w.other.Token) }},
	{"SetPassword", aSession, func(w *revokeWorker) error { return w.eng.SetPassword(w.ctx, w.user, revokePassword) }},
	{"ResetPassword", aSession, func(w *revokeWorker) error { return w.reset() }},
	{"ChangePassword", aSession, func(w *revokeWorker) error {
		_, err := w.eng.ChangePassword(w.ctx, w.sess.Token, revokePassword, revokePassword)
		return err
	}},
	{"Renew", aSession, func(w *revokeWorker) error { _, err := w.eng.Renew(w.ctx, w.sess.Token); return err }},
	{"SetExpiry", aSession, func(w *revokeWorker) error { _, err := w.eng.SetExpiry(w.ctx, w.sess.Token, 0); return err }},
	{"Login in place of a session", aSession, func(w *revokeWorker) error {
		_, err := w.eng.Login(w.ctx, w.id, latchbolt.LoginOptions{Previous: w.sess.Token})
		return err
	}},
	{"deactivation of who has a session", aSession, func(w *revokeWorker) error { return w.gone(w.deactivate()) }},
	{"DeleteUser of who has a session", aSession, func(w *revokeWorker) error { return w.gone(w.eng.DeleteUser(w.ctx, w.user)) }},
	{"Revoke from a user", aPerm((*revokeWorker).toUser), func(w *revokeWorker) error { return w.eng.Revoke(w.ctx, w.user, w.perm) }},
	{"Revoke of an object", aPerm((*revokeWorker).toObject, "thing"), func(w *revokeWorker) error {
		return w.eng.Revoke(w.ctx, w.user, w.perm, "thing")
	}},
	{"Revoke from a group", aPerm((*revokeWorker).toGroup), func(w *revokeWorker) error { return w.eng.Revoke(w.ctx, w.group, w.perm) }},
	{"RemoveFromGroup", aPerm((*revokeWorker).toGroup), func(w *revokeWorker) error { return w.eng.RemoveFromGroup(w.ctx, w.user, w.group) }},
	{"SetGroups", aPerm((*revokeWorker).toGroup), func(w *revokeWorker) error { return w.eng.SetGroups(w.ctx, w.user) }},
	{"DeleteGroup", aPerm((*revokeWorker).toGroup), func(w *revokeWorker) error { return w.deleteGroup() }},
	{"Undefine", aPerm((*revokeWorker).toUser), func(w *revokeWorker) error { return w.undefine() }},
	{"demotion", aPerm((*revokeWorker).toSuperuser), func(w *revokeWorker) error {
		return w.update(func(u *latchbolt.User) { u.Superuser = false })
	}},
	{"deactivation of who has a permission", aPerm((*revokeWorker).toUser), func(w *revokeWorker) error { return w.gone(w.deactivate()) }},
	{"DeleteUser of who has a permission", aPerm((*revokeWorker).toUser), func(w *revokeWorker) error {
		return w.gone(w.eng.DeleteUser(w.ctx, w.user))
	}},
}

// A revokeTarget is one thing that was given and is going to be taken.
type revokeTarget struct {
	seq    int
	name   string
	ask    func() (bool, error)
	taking atomic.Bool  // the call that takes it may have begun
	taken  atomic.Bool  // and has returned
	hot    atomic.Int64 // times that it was had before
	cold   atomic.Int64 // checks that began after
}

// A revokeRun counts what happens in a test.
type revokeRun struct {
	t      *testing.T
	cold   int64        // checks of each target after the call
	checks atomic.Int64 // that began after the call that took it had returned
	mu     sync.Mutex   // guards calls
	calls  map[string]int
}

// A revokeAim is what the readers of one worker ask for.
type revokeAim struct {
	mu     sync.RWMutex // held for reading by each reader while it asks
	target *revokeTarget
}

// set returns when nobody asks for the target before any more.
func (a *revokeAim) set(g *revokeTarget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target = g
}

// noTarget stands while the next one is prepared.
var noTarget = new(revokeTarget)

// read asks for whatever is the target until there is none.
func (r *revokeRun) read(a *revokeAim) {
	for i := 0; ; i++ {
		a.mu.RLock()
		g := a.target
		enough := g == nil || g == noTarget || g.cold.Load() >= r.cold
		if !enough {
			r.check(g)
		}
		a.mu.RUnlock()
		if g == nil {
			return
		}
		if enough || i%4 == 0 {
			runtime.Gosched()
		}
	}
}

func (r *revokeRun) check(g *revokeTarget) {
	taken := g.taken.Load()
	ok, err := g.ask()
	switch {
	case err != nil:
		r.t.Errorf("%s, number %d: %v", g.name, g.seq, err)
	case taken && ok:
		r.t.Errorf("%s, number %d: passed after the call had returned", g.name, g.seq)
	case taken:
		g.cold.Add(1)
	case ok:
		g.hot.Add(1)
	case !g.taking.Load(): // what was given is in force at once as well
		r.t.Errorf("%s, number %d: refused before it was taken", g.name, g.seq)
	}
}

// revokeHot is how often every target is asked for before.
const revokeHot = 8

// work gives and takes until there were enough checks.
func (r *revokeRun) work(w *revokeWorker, aim *revokeAim, offset int, enough int64) {
	defer aim.set(nil)
	for i := offset; r.checks.Load() < enough || i < offset+len(revokeCases); i++ {
		c := &revokeCases[i%len(revokeCases)]
		g := &revokeTarget{seq: i, name: c.name, ask: c.prepare(w)}
		aim.set(g)
		for g.hot.Load() < revokeHot && !r.t.Failed() {
			runtime.Gosched()
		}
		g.taking.Store(true)
		must(r.t, c.name, c.take(w))
		g.taken.Store(true)
		if ok, err := g.ask(); ok || err != nil {
			r.t.Errorf("%s, number %d: its own caller got %v, %v", g.name, g.seq, ok, err)
		}
		for g.cold.Load() < r.cold && !r.t.Failed() {
			runtime.Gosched()
		}
		aim.set(noTarget)
		r.checks.Add(g.cold.Load() + 1)
		r.mu.Lock()
		r.calls[c.name]++
		r.mu.Unlock()
		if r.t.Failed() {
			return
		}
	}
}

// TestNothingPassesAfterRevocation checks from several goroutines, which keep the cache
// hot, that every check that begins after a call took something away is refused: LATCHBOLT_REVOKE checks in all.
func TestNothingPassesAfterRevocation(t *testing.T) {
	enough, cold := int64(8_000), int64(32)
	if size := sizeFrom("LATCHBOLT_REVOKE", 2_000_000, 10_000_000); size > 0 {
		enough, cold = int64(size)/3, 2000
	}
	for name, cfg := range map[string]*latchbolt.Config{
		"large cache": {},
		"tiny cache":  {CacheUsers: 3, CacheSessions: 3},
		"no cache":    {CacheUsers: -1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.SweepEvery, cfg.Validators, cfg.SessionLimit = -1, []latchbolt.Validator{}, 8
			eng := openAt(t, filepath.Join(fastDir(t), "app.db"), cfg)
			must(t, "making a superuser", eng.InsertUser(t.Context(), &latchbolt.User{Username: "root", Superuser: true}, latchbolt.PasswordHash{}))
			r := &revokeRun{t: t, cold: cold, calls: make(map[string]int)}
			began := time.Now()
			const workers, readers = 3, 2
			var wg sync.WaitGroup
			for n := range workers {
				w := &revokeWorker{t: t, eng: eng, ctx: t.Context(), perm: latchbolt.Perm(fmt.Sprintf("app%d.p", n))}
				must(t, "defining", w.define())
				aim := &revokeAim{target: noTarget}
				for range readers {
					wg.Go(func() { r.read(aim) })
				}
				wg.Go(func() { r.work(w, aim, n*len(revokeCases)/workers, enough) })
			}
			wg.Wait()
			for _, c := range revokeCases {
				if r.calls[c.name] == 0 {
					t.Errorf("%s was never called", c.name)
				}
			}
			total := 0
			for _, n := range r.calls {
				total += n
			}
			t.Logf("%d revocations of %d kinds, %d checks after them, in %v", total, len(r.calls), r.checks.Load(), time.Since(began))
			tally.Log(t, "checks", r.checks.Load(), "revocations", total)
		})
	}
}
