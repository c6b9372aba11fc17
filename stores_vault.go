package latchbolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A storeVault keeps sessions in a [SessionStore].
//
// The lock of the engine's file makes this process the only one that changes
// the sessions of this file, wherever they are. So a lock in memory orders the changes of one
// session, and an index in memory knows the sessions of a user.
//
// Only sessions of [MemorySessions] are kept in the engine's cache too: anything
// else may lose what it was given, as when somebody deletes a file, and is asked each time.
//
// A lock of a session may be held while the file is read, but never while it is
// written: what runs after a commit may call the engine again.
type storeVault struct {
	e       *Engine
	store   SessionStore
	cached  bool // sessions are kept in the engine's cache
	stripes [256]stripe
	index   sessionIndex
}

// A stripe guards the changes of the sessions that share it.
type stripe struct {
	mu      sync.Mutex
	changes atomic.Uint64 // odd while one is under way
}

func (v *storeVault) stripe(sel selector) *stripe { return &v.stripes[sel[len(sel)-1]] }

// changing runs fn, which changes a session or ends it, while nobody else does.
func (v *storeVault) changing(sel selector, fn func() error) error {
	return v.locking(sel, func() error {
		v.uncache(sel)
		return fn()
	})
}

// uncache takes a session out of the engine's cache. The caller holds its lock.
func (v *storeVault) uncache(sel selector) {
	c := v.e.cache
	if !v.cached || c.off {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions.remove(sel)
}

// locking is changing for a change that makes nothing untrue that is cached.
func (v *storeVault) locking(sel selector, fn func() error) error {
	s := v.stripe(sel)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes.Add(1)
	defer s.changes.Add(1)
	return fn()
}

// load returns what is stored under a selector, or nil.
func (v *storeVault) load(ctx context.Context, sel selector) (*heldSession, error) {
	if v.e.closed.Load() {
		return nil, ErrClosed
	}
	data, err := v.store.Load(ctx, SessionID(sel))
	if err != nil {
		return nil, storeFailed("loading", err)
	}
	if data == nil {
		return nil, nil
	}
	return v.e.decodeHeld(sel, data)
}

func storeFailed(what string, err error) error {
	return fmt.Errorf("latchbolt: session store: %s: %w", what, err)
}

// save stores a session.
func (v *storeVault) save(ctx context.Context, sel selector, s *sessionRecord, values []byte) error {
	if v.e.closed.Load() {
		return ErrClosed
	}
	data, err := v.e.encodeHeld(sel, s, values)
	if err != nil {
		return err
	}
	if err := v.store.Save(ctx, SessionID(sel), data, s.expires); err != nil {
		return storeFailed("saving", err)
	}
	v.index.note(sel, s)
	return nil
}

// drop removes a session. The caller holds its lock, or it is over in any case.
func (v *storeVault) drop(ctx context.Context, sel selector) error {
	if err := v.store.Delete(ctx, SessionID(sel)); err != nil {
		return storeFailed("deleting", err)
	}
	v.index.drop(sel)
	v.e.denied.lift(denial{sessions: []selector{sel}})
	return nil
}

// remove ends a session. If the store fails, the session is refused in this process all
// the same. The caller holds the session's lock.
func (v *storeVault) remove(ctx context.Context, sel selector) error {
	err := v.drop(ctx, sel)
	if err != nil {
		v.e.deny(denial{sessions: []selector{sel}})
	}
	return err
}

// find returns the session that a token proves, dead or alive, or nil. An
// unknown selector costs the same hashing and comparing as a wrong secret.
func (v *storeVault) find(ctx context.Context, t *Token) (*heldSession, error) {
	if t.kind != tokenNative {
		return nil, nil
	}
	digest := t.digest()
	h, err := v.load(ctx, t.sel)
	if err != nil {
		return nil, err
	}
	stored := new([32]byte)
	if h != nil {
		stored = &h.rec.digest
	}
	if !equalDigest(&digest, stored) || h == nil {
		return nil, nil
	}
	return h, nil
}

// living returns the living session of a token and its user, as of one moment.
func (v *storeVault) living(ctx context.Context, t *Token) (h *heldSession, st *userState, err error) {
	err = v.steady(t.sel, func() error {
		h, st, err = v.livingNow(ctx, t)
		return err
	})
	return h, st, err
}

// steady runs fn, which looks at a session, and once more if the session changed meanwhile: it may have ended before its
// user was looked up, or its last use may have been written after it was loaded.
func (v *storeVault) steady(sel selector, fn func() error) error {
	s := v.stripe(sel)
	before := s.changes.Load()
	if err := fn(); before%2 == 0 && s.changes.Load() == before {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn()
}

// livingNow is living for callers that hold the session's lock.
func (v *storeVault) livingNow(ctx context.Context, t *Token) (*heldSession, *userState, error) {
	changes := v.stripe(t.sel).changes.Load()
	h, err := v.find(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if h == nil {
		return nil, nil, ErrNoSession
	}
	h.changes = changes
	st, err := v.e.admitted(ctx, h)
	return h, st, err
}

func (v *storeVault) sessionUser(ctx context.Context, t *Token) (Identity, error) {
	h, st, err := v.living(ctx, t)
	if err != nil {
		return Identity{}, err
	}
	if now := v.e.clock.now(); noteDue(now.Sub(h.rec.seen), h.rec.idle) {
		// A use that is noted puts the end off, so it has to be before it, however long its user was looked for.
		if !now.Before(h.rec.deadline()) {
			return Identity{}, ErrNoSession
		}
		h.rec.seen = now.Truncate(time.Microsecond) // as it is stored
		v.e.noteSeen(h.sel, h.rec.seen)
	}
	if v.cached {
		v.keep(t, h, st)
	}
	return h.identity(st), nil
}

// keep puts a session that was found into the cache, unless it changed since.
// Whoever changes it takes it out, with the lock held that is held here.
func (v *storeVault) keep(t *Token, h *heldSession, st *userState) {
	s := v.stripe(h.sel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes.Load() == h.changes {
		v.e.cache.keepSession(t, h.rec, h.sel, st, h.backend, ^kv.Rev(0)) // the file knows nothing of it
	}
}

func (v *storeVault) session(ctx context.Context, t *Token) (Session, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return Session{}, err
	}
	return h.shown(*t), nil
}

func (v *storeVault) byID(ctx context.Context, id SessionID) (p Session, err error) {
	sel := selector(id)
	err = v.steady(sel, func() error {
		h, err := v.load(ctx, sel)
		if err != nil {
			return err
		}
		if h == nil {
			return ErrNoSession
		}
		if _, err := v.e.admitted(ctx, h); err != nil {
			return err
		}
		p = h.shown(Token{})
		return nil
	})
	if err != nil {
		return Session{}, err
	}
	return p, nil
}

func (v *storeVault) login(ctx context.Context, id Identity, o *LoginOptions, s *sessionRecord) (Session, error) {
	if err := v.index.build(ctx, v); err != nil {
		return Session{}, err
	}
	if err := v.e.recordLogin(ctx, id, s); err != nil {
		return Session{}, err
	}
	ctx = context.WithoutCancel(ctx) // half of it would be worse
	p, err := v.begin(ctx, &o.Previous, s)
	if err != nil {
		return Session{}, err
	}
	v.prune(ctx, s.user, s.generation, v.e.cfg.SessionLimit)
	t := p.Token
	p.Token = Token{}
	return v.e.began(p, t), nil
}

func (v *storeVault) create(ctx context.Context, o *LoginOptions, s *sessionRecord) (Session, error) {
	if err := ctx.Err(); err != nil {
		return Session{}, err
	}
	return v.begin(context.WithoutCancel(ctx), &o.Previous, s)
}

// begin stores a new session and ends the one before.
func (v *storeVault) begin(ctx context.Context, prev *Token, s *sessionRecord) (p Session, err error) {
	if prev.kind != tokenNative {
		return v.replace(ctx, nil, s, nil)
	}
	err = v.changing(prev.sel, func() error {
		h, err := v.find(ctx, prev)
		if errors.Is(err, ErrCorrupt) {
			// It can never be used again, and must not keep its user out.
			err = v.drop(ctx, prev.sel)
		}
		if err != nil {
			return err
		}
		var values []byte
		if h != nil {
			if values, err = v.e.carried(h, s); err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
		}
		p, err = v.replace(ctx, h, s, values)
		return err
	})
	return p, err
}

// replace stores s under a new token and then ends the session old, if there is
// one, whose lock is held. If that fails, nothing has changed.
func (v *storeVault) replace(ctx context.Context, old *heldSession, s *sessionRecord, values []byte) (Session, error) {
	t, err := v.e.newTokenFor(s)
	if err != nil {
		return Session{}, err
	}
	h := &heldSession{sel: t.sel, rec: s}
	if err := v.save(ctx, h.sel, s, values); err != nil {
		return Session{}, err
	}
	if old != nil {
		if err := v.drop(ctx, old.sel); err != nil {
			// Nobody has the new token. If the session stays, it does until it is swept.
			_ = v.store.Delete(ctx, SessionID(h.sel))
			v.index.drop(h.sel)
			return Session{}, err
		}
	}
	return h.shown(t), nil
}

func (v *storeVault) rotate(ctx context.Context, t *Token, change func(*sessionRecord)) (p Session, err error) {
	if err := v.index.build(ctx, v); err != nil {
		return Session{}, err
	}
	err = v.changing(t.sel, func() error {
		h, _, err := v.livingNow(ctx, t)
		if err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx)
		change(h.rec)
		if !v.e.clock.now().Before(h.rec.deadline()) {
			if err := v.remove(ctx, h.sel); err != nil {
				return err
			}
			p = h.shown(*t)
			return nil
		}
		values, err := h.values()
		if err != nil {
			return err
		}
		p, err = v.replace(ctx, h, h.rec, values)
		return err
	})
	return p, err
}

func (v *storeVault) name(ctx context.Context, id SessionID, name string) error {
	return v.note(ctx, selector(id), func(h *heldSession) error {
		if h == nil {
			return ErrNoSession
		}
		h.rec.client.name = clip(name, maxSessionName)
		return nil
	})
}

// note writes something about a session, dead or alive, that decides nothing. fn is given nil
// if there is none, and errUnchanged from it means that there is nothing to write.
func (v *storeVault) note(ctx context.Context, sel selector, fn func(*heldSession) error) error {
	return v.locking(sel, func() error {
		h, err := v.load(ctx, sel)
		if err != nil {
			return err
		}
		if err := fn(h); err != nil {
			if errors.Is(err, errUnchanged) {
				return nil
			}
			return err
		}
		values, err := h.values()
		if err != nil {
			return err
		}
		return v.save(context.WithoutCancel(ctx), sel, h.rec, values)
	})
}

var errUnchanged = errors.New("latchbolt: nothing to write")

func (v *storeVault) touch(ctx context.Context, seen map[selector]time.Time) error {
	var errs []error
	for sel, at := range seen {
		err := v.note(ctx, sel, func(h *heldSession) error {
			if h == nil || !at.After(h.rec.seen) {
				return errUnchanged
			}
			h.rec.seen = at
			return nil
		})
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) { // which are not written again
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (v *storeVault) list(ctx context.Context, id UserID) ([]Session, error) {
	if err := v.index.build(ctx, v); err != nil {
		return nil, err
	}
	st, err := v.e.userState(ctx, id)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, notFound("user", fmt.Sprint(id))
	}
	var all []Session
	for _, sel := range v.index.of(id) {
		var h *heldSession
		listed := false
		err := v.steady(sel, func() (err error) {
			h, err = v.load(ctx, sel)
			listed = err == nil && h != nil && h.rec.user == id && !v.e.over(sel, h.rec, v.e.clock.now())
			return err
		})
		if err != nil {
			return nil, err
		}
		if !listed {
			continue
		}
		if _, ok := v.e.admits(h.rec, st); !ok {
			continue
		}
		all = append(all, h.rec.public(sel))
	}
	slices.SortFunc(all, byUse)
	return all, nil
}

func (v *storeVault) changePassword(ctx context.Context, t *Token, change func(*Tx) (func(*sessionRecord), error)) (p Session, err error) {
	if err := v.index.build(ctx, v); err != nil {
		return Session{}, err
	}
	h, _, err := v.living(ctx, t)
	if err != nil {
		return Session{}, err
	}
	renew, err := v.e.changeOwn(ctx, h.rec, change)
	if err != nil {
		return Session{}, err
	}
	ctx = context.WithoutCancel(ctx)
	err = v.changing(t.sel, func() error {
		now, err := v.find(ctx, t)
		if err != nil {
			return err
		}
		if now == nil || v.e.denied.session(now.sel, now.rec) {
			// It was ended since: so is the one that goes on from it.
			renew(h.rec)
			nt, err := v.e.newTokenFor(h.rec)
			p = (&heldSession{sel: nt.sel, rec: h.rec}).shown(nt)
			return err
		}
		values, err := now.values()
		if err != nil {
			return err
		}
		renew(now.rec)
		h.rec = now.rec
		p, err = v.replace(ctx, nil, now.rec, values) // the old one is void already
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("latchbolt: the password was changed, but all sessions ended: %w", err)
	}
	v.prune(ctx, h.rec.user, h.rec.generation, -1)
	return p, nil
}

func (v *storeVault) values(ctx context.Context, t *Token) (*Values, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return nil, err
	}
	data, err := h.values()
	if err != nil {
		return nil, err
	}
	return decodeValues(data)
}

// updateValues runs fn on what is stored, and again if that changed meanwhile:
// fn may call the engine, so no lock is held.
func (v *storeVault) updateValues(ctx context.Context, t *Token, fn func(*Values) error) (Token, error) {
	for {
		h, _, err := v.living(ctx, t)
		if err != nil {
			return *t, err
		}
		data, err := h.values()
		if err != nil {
			return *t, err
		}
		values, err := decodeValues(data)
		if err != nil {
			return *t, err
		}
		if err := fn(values); err != nil || !values.changed {
			return *t, err
		}
		if data, err = values.encode(); err != nil {
			return *t, err
		}
		stored := false
		err = v.changing(t.sel, func() error {
			now, _, err := v.livingNow(ctx, t)
			if err != nil || !bytes.Equal(now.framed, h.framed) {
				return err
			}
			stored = true
			return v.save(context.WithoutCancel(ctx), now.sel, now.rec, data)
		})
		if err != nil || stored {
			return *t, err
		}
	}
}
