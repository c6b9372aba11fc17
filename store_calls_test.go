package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

var errNthCall = errors.New("this call of the store fails")

// A callStore is a store of whose calls inside transactions one fails. It counts only the calls of
// transactions whose context is marked, so that what happens beside the caller does not count.
type callStore struct {
	kv.Store
	left atomic.Int64 // calls until the one that fails; 0: none will
	hit  atomic.Bool
	// beside: the call that failed was made for nobody who waits, or for a change that goes on when its caller has left.
	beside atomic.Bool
}

// marked is the key of a context whose transactions count.
type marked struct{}

func (s *callStore) fails(ctx context.Context) error {
	if ctx.Value(marked{}) == nil || s.left.Load() <= 0 || s.left.Add(-1) > 0 {
		return nil
	}
	s.beside.Store(ctx.Done() == nil)
	s.hit.Store(true)
	return errNthCall
}

func (s *callStore) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	return s.Store.View(ctx, func(r kv.Reader) error { return fn(&callReader{r, s, ctx}) })
}

func (s *callStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	return s.Store.Update(ctx, func(tx kv.Tx) error { return fn(&callTx{tx, callReader{tx, s, ctx}}) })
}

type callReader struct {
	r   kv.Reader
	s   *callStore
	ctx context.Context
}

func (r *callReader) Get(b kv.Bucket, key []byte) ([]byte, error) {
	if err := r.s.fails(r.ctx); err != nil {
		return nil, err
	}
	return r.r.Get(b, key)
}

func (r *callReader) Scan(b kv.Bucket, prefix, from []byte) iter.Seq2[kv.Pair, error] {
	return r.scan(r.r.Scan(b, prefix, from))
}

func (r *callReader) ScanBack(b kv.Bucket, prefix, before []byte) iter.Seq2[kv.Pair, error] {
	return r.scan(r.r.ScanBack(b, prefix, before))
}

// scan fails before the first pair or after any.
func (r *callReader) scan(seq iter.Seq2[kv.Pair, error]) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if err := r.s.fails(r.ctx); err != nil {
			yield(kv.Pair{}, err)
			return
		}
		for p, err := range seq {
			if !yield(p, err) {
				return
			}
			if err := r.s.fails(r.ctx); err != nil {
				yield(kv.Pair{}, err)
				return
			}
		}
	}
}

type callTx struct {
	tx kv.Tx
	callReader
}

func (t *callTx) Put(b kv.Bucket, key, value []byte) error {
	if err := t.s.fails(t.ctx); err != nil {
		return err
	}
	return t.tx.Put(b, key, value)
}

func (t *callTx) Delete(b kv.Bucket, key []byte) error {
	if err := t.s.fails(t.ctx); err != nil {
		return err
	}
	return t.tx.Delete(b, key)
}

func (t *callTx) DeletePrefix(b kv.Bucket, prefix []byte) error {
	if err := t.s.fails(t.ctx); err != nil {
		return err
	}
	return t.tx.DeletePrefix(b, prefix)
}

func (t *callTx) DeleteSome(b kv.Bucket, prefix []byte, n int) (bool, error) {
	if err := t.s.fails(t.ctx); err != nil {
		return false, err
	}
	return t.tx.DeleteSome(b, prefix, n)
}

// A callWorld is what the calls below are made on.
type callWorld struct {
	clock              *testClock
	eng                *latchbolt.Engine
	ada, bob           latchbolt.UserID
	group              latchbolt.GroupID
	session, anonymous latchbolt.Token
	other              latchbolt.Session
	brought            latchbolt.Token
	reset, token       latchbolt.Token
	identity           latchbolt.Identity
}

const djangoKey = "abcdefghijklmnopqrstuvwxyz012345"

// callConfig is how the engines of a callWorld are opened.
func callConfig(clock *testClock) *latchbolt.Config {
	return forTests(&latchbolt.Config{Clock: clock.now, SweepEvery: -1, SessionLimit: 4,
		Throttle: latchbolt.ThrottleConfig{Free: 3, First: time.Nanosecond, Max: time.Nanosecond}})
}

// newCallWorld makes a store in which every kind of thing is, and returns what is in it.
func newCallWorld(t *testing.T, clock *testClock) (*callWorld, []record) {
	t.Helper()
	eng, err := latchbolt.OpenStore(&memkv.Store{Buckets: latchbolt.Buckets}, callConfig(clock))
	must(t, "opening", err)
	w := &callWorld{clock: clock}
	ctx := t.Context()
	must(t, "defining", eng.DefineModel(ctx, "blog", "post"))
	w.group, err = eng.CreateGroup(ctx, "authors")
	must(t, "creating a group", err)
	ada := &latchbolt.User{Username: "ada", Email: "ada@example.org", Groups: []latchbolt.GroupID{w.group}}
	must(t, "creating ada", eng.CreateUser(ctx, ada, "correct horse battery"))
	bob := &latchbolt.User{Username: "bob", Email: "bob@example.org", Superuser: true}
	must(t, "creating bob", eng.CreateUser(ctx, bob, "correct horse battery"))
	carol := &latchbolt.User{Username: "carol", Superuser: true}
	must(t, "creating carol", eng.CreateUser(ctx, carol, "correct horse battery"))
	w.ada, w.bob = ada.ID, bob.ID
	must(t, "granting", eng.Grant(ctx, w.group, "blog.add_post"))
	must(t, "granting", eng.Grant(ctx, w.group, "blog.view_post", "post:1", "post:2"))
	must(t, "granting", eng.Grant(ctx, w.ada, "blog.change_post", "post:1"))
	must(t, "granting", eng.Grant(ctx, w.ada, "blog.delete_post"))
	login := func() latchbolt.Session {
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery"})
		must(t, "authenticating", err)
		s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
		must(t, "logging in", err)
		clock.advance(time.Second)
		return s
	}
	w.session = login().Token
	w.other = login()
	setValue(t, eng, w.session, "cart", "3 apples")
	anonymous, err := eng.NewSession(ctx, latchbolt.LoginOptions{})
	must(t, "beginning a session", err)
	w.anonymous = anonymous.Token
	setValue(t, eng, w.anonymous, "cart", "4 pears")
	must(t, "bringing a session over", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return tx.InsertSession(djangoKey, latchbolt.BroughtSession{User: w.ada, Backend: "password", Expires: clock.now().Add(time.Hour)})
	}))
	w.brought, err = latchbolt.ParseToken(djangoKey)
	must(t, "reading a key", err)
	w.reset, err = eng.ResetToken(ctx, w.ada)
	must(t, "issuing a token", err)
	w.token = issue(t, eng, latchbolt.OneTimeRequest{User: w.ada, Purpose: "mail", Data: "new@example.org"})
	if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"}); !errors.Is(err, latchbolt.ErrCredentials) {
		t.Fatalf("a wrong password: %v", err)
	}
	eng.Settle(ctx)
	all := contents(t, eng)
	must(t, "closing", eng.Close())
	return w, all
}

// open opens a copy of the world, with nothing of it in memory but an identity.
func (w *callWorld) open(t *testing.T, clock *testClock, all []record) *callStore {
	t.Helper()
	store, err := w.openRaw(t, clock, all)
	must(t, "opening", err)
	w.identity, err = w.eng.Identity(t.Context(), w.ada)
	must(t, "identity", err)
	return store
}

// openRaw is open for a world that may be damaged.
func (w *callWorld) openRaw(t *testing.T, clock *testClock, all []record) (*callStore, error) {
	t.Helper()
	mem := &memkv.Store{Buckets: latchbolt.Buckets}
	_, err := mem.Update(t.Context(), func(tx kv.Tx) error {
		for _, r := range all {
			if err := tx.Put(r.bucket, []byte(r.key), []byte(r.value)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, "copying", err)
	store := &callStore{Store: mem}
	w.eng, err = latchbolt.OpenStore(store, callConfig(clock))
	return store, err
}

// A record is one key with its value, as they are stored.
type record struct {
	bucket     kv.Bucket
	key, value string
}

// drain walks through a sequence and returns its error.
func drain[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// storeCalls are calls that read or write the store, in the plainest case. Those with steps change it in several transactions, of
// which the first ones may have succeeded.
var storeCalls = []struct {
	name  string
	steps bool
	call  func(context.Context, *callWorld) error
}{
	{"Authenticate", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery"})
		return err
	}},
	{"Login", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Login(ctx, w.identity, latchbolt.LoginOptions{})
		return err
	}},
	{"Login after an anonymous session", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Login(ctx, w.identity, latchbolt.LoginOptions{Previous: w.anonymous})
		return err
	}},
	{"Login over the limit", true, func(ctx context.Context, w *callWorld) error {
		for range 3 {
			if _, err := w.eng.Login(ctx, w.identity, latchbolt.LoginOptions{}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"NewSession", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.NewSession(ctx, latchbolt.LoginOptions{Previous: w.anonymous})
		return err
	}},
	{"Session", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Session(ctx, w.session); return err }},
	{"Session that was brought", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Session(ctx, w.brought); return err }},
	{"SessionByID", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.SessionByID(ctx, w.other.ID)
		return err
	}},
	{"SessionUser", false, func(ctx context.Context, w *callWorld) error {
		id, err := w.eng.SessionUser(ctx, w.session)
		if err == nil && id.ID() != w.ada {
			return fmt.Errorf("SessionUser is %v", id)
		}
		return err
	}},
	{"SessionUser that was brought", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.SessionUser(ctx, w.brought)
		return err
	}},
	{"Fresh", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Fresh(ctx, w.session); return err }},
	{"Sessions", false, func(ctx context.Context, w *callWorld) error { return drain(w.eng.Sessions(ctx, w.ada)) }},
	{"Values", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Values(ctx, w.session); return err }},
	{"UpdateValues", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.UpdateValues(ctx, w.session, func(v *latchbolt.Values) error { return v.Set("cart", "5 plums") })
		return err
	}},
	{"Renew", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Renew(ctx, w.session); return err }},
	{"SetExpiry", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.SetExpiry(ctx, w.session, time.Minute)
		return err
	}},
	{"SetExpiry with a new token", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.SetExpiry(ctx, w.session, 1000*time.Hour)
		return err
	}},
	{"SetExpiry to now", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.SetExpiry(ctx, w.session, 0)
		return err
	}},
	{"NameSession", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.NameSession(ctx, w.other.ID, "the old telephone")
	}},
	{"Logout", false, func(ctx context.Context, w *callWorld) error { return w.eng.Logout(ctx, w.session) }},
	{"Logout of what was brought", false, func(ctx context.Context, w *callWorld) error { return w.eng.Logout(ctx, w.brought) }},
	{"EndSession", false, func(ctx context.Context, w *callWorld) error { return w.eng.EndSession(ctx, w.other.ID) }},
	{"EndSessions", false, func(ctx context.Context, w *callWorld) error { return w.eng.EndSessions(ctx, w.ada) }},
	{"EndOtherSessions", false, func(ctx context.Context, w *callWorld) error { return w.eng.EndOtherSessions(ctx, w.session) }},
	{"IssueToken", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: w.ada, Purpose: "mail"})
		return err
	}},
	{"ResetToken", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.ResetToken(ctx, w.ada); return err }},
	{"CheckToken", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.CheckToken(ctx, "mail", w.token)
		return err
	}},
	{"RedeemToken", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.RedeemToken(ctx, "mail", w.token, func(tx *latchbolt.Tx, u *latchbolt.User, data string) error {
			return tx.UpdateUser(u.ID, func(u *latchbolt.User) error { u.Email = data; return nil })
		})
	}},
	{"ResetPassword", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.ResetPassword(ctx, w.reset, "wrong horse battery")
		return err
	}},
	{"SetPassword", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.SetPassword(ctx, w.ada, "wrong horse battery")
	}},
	{"ChangePassword", true, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.ChangePassword(ctx, w.session, "correct horse battery", "wrong horse battery")
		return err
	}},
	{"PasswordHash", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.View(ctx, func(tx *latchbolt.ReadTx) error { _, err := tx.PasswordHash(w.ada); return err })
	}},
	{"Identity", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Identity(ctx, w.bob); return err }},
	{"HasPerm on an object", false, func(ctx context.Context, w *callWorld) error {
		ok, err := w.eng.HasPerm(ctx, w.identity, "blog.view_post", "post:1", "post:2")
		if err == nil && !ok {
			return errors.New("HasPerm: no")
		}
		if err != nil && ok {
			return errors.New("HasPerm: yes, and an error")
		}
		return err
	}},
	{"Perms", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Perms(ctx, w.identity, latchbolt.FromAll, "post:1")
		return err
	}},
	{"Perms of a superuser", false, func(ctx context.Context, w *callWorld) error {
		id, err := w.eng.Identity(ctx, w.bob)
		if err == nil {
			_, err = w.eng.Perms(ctx, id, latchbolt.FromGroup)
		}
		return err
	}},
	{"Explain", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Explain(ctx, w.identity, "blog.view_post", "post:1")
		return err
	}},
	{"Explain of what was not granted", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Explain(ctx, w.identity, "blog.change_post")
		return err
	}},
	{"Grants", false, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Grants(ctx, w.group); return err }},
	{"Holders", false, func(ctx context.Context, w *callWorld) error {
		_, err := w.eng.Holders(ctx, "blog.view_post")
		return err
	}},
	{"Permissions", false, func(ctx context.Context, w *callWorld) error { return drain(w.eng.Permissions(ctx)) }},
	{"Permissions of a transaction", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.View(ctx, func(tx *latchbolt.ReadTx) error { return drain(tx.Permissions()) })
	}},
	{"Define", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.Define(ctx, latchbolt.Permission{App: "blog", Model: "post", Codename: "view_post"}, latchbolt.Permission{App: "blog", Codename: "publish"})
	}},
	{"Undefine", false, func(ctx context.Context, w *callWorld) error { return w.eng.Undefine(ctx, "blog.view_post") }},
	{"Grant", false, func(ctx context.Context, w *callWorld) error { return w.eng.Grant(ctx, w.bob, "blog.view_post") }},
	{"Grant on an object", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.Grant(ctx, w.bob, "blog.view_post", "post:1", "post:7")
	}},
	{"Grant to a group", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.Grant(ctx, w.group, "blog.change_post", "post:1")
	}},
	{"Revoke", false, func(ctx context.Context, w *callWorld) error {
		return w.eng.Revoke(ctx, w.group, "blog.view_post", "post:1", "post:2")
	}},
	{"Throttled", false, func(ctx context.Context, w *callWorld) error {
		_, n, err := w.eng.Throttled(ctx, w.ada)
		if err == nil && n != 1 {
			return fmt.Errorf("%d failures", n)
		}
		return err
	}},
	{"Unlock", false, func(ctx context.Context, w *callWorld) error { return w.eng.Unlock(ctx, w.ada) }},
	{"DeleteUser", false, func(ctx context.Context, w *callWorld) error { return w.eng.DeleteUser(ctx, w.ada) }},
	{"DeleteGroup", false, func(ctx context.Context, w *callWorld) error { return w.eng.DeleteGroup(ctx, w.group) }},
	{"Sweep of what expired", true, func(ctx context.Context, w *callWorld) error {
		w.clock.advance(2000 * time.Hour)
		_, err := w.eng.Sweep(ctx)
		w.clock.advance(-2000 * time.Hour) // the engine's own does not go back
		return err
	}},
	{"Sweep", true, func(ctx context.Context, w *callWorld) error { _, err := w.eng.Sweep(ctx); return err }},
}

// TestEveryCallOfTheStoreMayFail makes each read and write of each call fail in turn. The call returns the error then, unless it was one
// of those that nobody waits for; nothing is changed, and the next attempt succeeds.
func TestEveryCallOfTheStoreMayFail(t *testing.T) {
	clock := newTestClock()
	w, all := newCallWorld(t, clock)
	for _, c := range storeCalls {
		t.Run(c.name, func(t *testing.T) {
			for n := int64(1); mayFail(t, w, w.open(t, clock, all), all, n, c.call, c.steps); n++ {
				must(t, "closing", w.eng.Close())
			}
			must(t, "closing", w.eng.Close())
		})
	}
}

// mayFail makes call n of the store fail while a call is made, and reports whether there were so many.
func mayFail(t *testing.T, w *callWorld, store *callStore, before []record, n int64, call func(context.Context, *callWorld) error, steps bool) bool {
	t.Helper()
	ctx := context.WithValue(t.Context(), marked{}, true)
	store.left.Store(n)
	err := call(ctx, w)
	w.eng.Settle(t.Context()) // what is written beside the caller counts as well
	store.left.Store(0)
	if !store.hit.Load() {
		must(t, "without a failure", err)
		if n == 1 {
			t.Error("it does not ask the store")
		}
		return false
	}
	beside := err == nil && store.beside.Load()
	if !beside && !errors.Is(err, errNthCall) {
		t.Fatalf("call %d of the store fails: got %v", n, err)
	}
	if !steps && !slices.Equal(contents(t, w.eng), before) {
		t.Errorf("call %d of the store fails: something was changed all the same", n)
	}
	if beside && steps { // it succeeded, and cannot once more
		return true
	}
	if err := call(ctx, w); err != nil {
		t.Errorf("after a failure of call %d of the store: %v", n, err)
	}
	return true
}

// contents is all that is stored.
func contents(t *testing.T, eng *latchbolt.Engine) (all []record) {
	t.Helper()
	must(t, "reading all", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		all = nil
		for _, b := range latchbolt.Buckets {
			for p, err := range tx.Records(b) {
				if err != nil {
					return err
				}
				all = append(all, record{b, string(p.Key), string(p.Value)})
			}
		}
		return nil
	}))
	return all
}
