package latchbolt

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A denial is a revocation that could not be written, because the disk is full
// or fails. It is in force in this process until it is written after all, so
// that a full disk cannot keep a stolen session alive. The caller is given the error as well.
type denial struct {
	users    []UserID   // all their sessions that exist by now
	sessions []selector // single sessions
	inactive bool       // the users count as inactive
	password bool       // the users' stored password does not count
}

func (d denial) empty() bool { return len(d.users) == 0 && len(d.sessions) == 0 }

type userDenial struct {
	before   time.Time // sessions made up to then are dead
	inactive bool
	password bool
}

// denials are those in force. Nearly always there are none, which costs one
// read of an integer to know.
type denials struct {
	n        atomic.Int64
	mu       sync.RWMutex // guards the maps; taken inside cache.mu, never around it
	users    map[UserID]userDenial
	sessions map[selector]struct{}
}

func (d *denials) user(id UserID) userDenial {
	if d.n.Load() == 0 {
		return userDenial{}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.users[id]
}

// denied is what is in force of a user in memory only.
func (tx *ReadTx) denied(id UserID) userDenial {
	tx.memory = true
	return tx.e.denied.user(id)
}

func (d *denials) deactivated(id UserID) bool { return d.user(id).inactive }

// session reports whether a session was ended in memory only.
func (d *denials) session(sel selector, s *sessionRecord) bool {
	if d.n.Load() == 0 {
		return false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ended := d.sessions[sel]
	u, ok := d.users[s.user]
	return ended || ok && !s.created.After(u.before)
}

func (d *denials) add(v denial, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		d.users = make(map[UserID]userDenial)
		d.sessions = make(map[selector]struct{})
	}
	for _, id := range v.users {
		u := d.users[id]
		u.before = now
		u.inactive, u.password = u.inactive || v.inactive, u.password || v.password
		d.users[id] = u
	}
	for _, s := range v.sessions {
		d.sessions[s] = struct{}{}
	}
	d.n.Store(int64(len(d.users) + len(d.sessions)))
}

// lift ends what v put in force, because it is in the file now.
func (d *denials) lift(v denial) {
	if d.n.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range v.users {
		u, ok := d.users[id]
		if !ok {
			continue
		}
		u.inactive = u.inactive && !v.inactive
		u.password = u.password && !v.password
		u.before = time.Time{} // what was written ended the sessions, whatever else it did
		if u == (userDenial{}) {
			delete(d.users, id)
		} else {
			d.users[id] = u
		}
	}
	for _, s := range v.sessions {
		delete(d.sessions, s)
	}
	d.n.Store(int64(len(d.users) + len(d.sessions)))
}

// written lifts, once the transaction is durable, what is in force in memory and stands in the file then. What is changed by the
// methods of a Tx alone has no revoke that would do so.
func (tx *Tx) written(v denial) {
	if tx.e.denied.n.Load() == 0 {
		return
	}
	tx.OnCommit(func() {
		tx.e.forgotten.Add(1) // before it is out of memory
		tx.e.denied.lift(v)
	})
}

// revoke is update for what takes authority away: if the change is sound but cannot be
// written, what it says is in force in memory when revoke returns the error. A nil what is nothing.
func (e *Engine) revoke(ctx context.Context, fn func(*Tx) error, what func() denial) error {
	if what == nil {
		return e.update(ctx, fn)
	}
	sound, ran := false, false
	err := e.update(ctx, func(tx *Tx) error {
		ran = true
		err := fn(tx)
		sound = err == nil
		return err
	})
	if !ran && isUnknown(err) {
		sound = e.rehearse(ctx, fn) == nil
	}
	switch {
	case err == nil:
		if e.denied.n.Load() != 0 {
			e.forgotten.Add(1) // before it is out of memory
			e.denied.lift(what())
		}
	case sound && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, ErrClosed) && !errors.Is(err, ErrNested):
		// A context that ended since does not matter: it is not what the write failed for.
		e.deny(what())
	}
	return err
}

// rehearse runs fn where nothing can be written any more, as where the file was found to be damaged, to learn whether the change would be sound
// and what it is about. What it writes goes nowhere.
func (e *Engine) rehearse(ctx context.Context, fn func(*Tx) error) error {
	return e.view(ctx, func(tx *ReadTx) error {
		w := rehearsal{tx.r}
		t := Tx{ReadTx: ReadTx{e: e, r: w, ctx: ctx, now: tx.now}, w: w, fx: new(effects)}
		err := fn(&t)
		tx.memory = t.memory
		return err
	})
}

// A rehearsal is a transaction of the store that writes nothing.
type rehearsal struct{ kv.Reader }

func (rehearsal) Put(kv.Bucket, []byte, []byte) error             { return nil }
func (rehearsal) Delete(kv.Bucket, []byte) error                  { return nil }
func (rehearsal) DeletePrefix(kv.Bucket, []byte) error            { return nil }
func (rehearsal) DeleteSome(kv.Bucket, []byte, int) (bool, error) { return false, nil }

func (e *Engine) deny(v denial) {
	if v.empty() {
		return
	}
	e.cache.deny(v, e.clock.now())
	e.log.Error("latchbolt: a revocation could not be written and is in force in memory only",
		"users", len(v.users), "sessions", len(v.sessions))
}

// deny puts a denial in force and takes out of the cache what it is about. What is inserted from now
// on is checked against the denial. It is in force only when the cache holds nothing of it
// any more: otherwise a request that goes to the file would be refused, and the next one, answered from
// memory, let in again.
func (c *cache) deny(v denial, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.denied.add(v, now)
	if c.off {
		return
	}
	for _, s := range v.sessions {
		c.sessions.remove(s)
	}
	for _, id := range v.users {
		c.sessions.removeUser(id)
		c.users.forget(id)
	}
}
