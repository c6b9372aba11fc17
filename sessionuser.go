package latchbolt

import (
	"context"
	"slices"
	"time"
)

// over reports whether a session is dead by itself: expired, idle for too long, or of
// another epoch of the file.
func (tx *ReadTx) over(sel selector, s *sessionRecord) bool {
	tx.memory = true
	return tx.e.over(sel, s, tx.now)
}

func (e *Engine) over(sel selector, s *sessionRecord, now time.Time) bool {
	s.seen = e.lastSeen(sel, s.seen)
	return !now.Before(s.deadline()) || s.epoch != e.epoch.Load() || e.denied.session(sel, s)
}

// backendNumber finds a backend by the name that a session remembers, or returns -1.
func (e *Engine) backendNumber(name string) int {
	return slices.IndexFunc(e.backends, func(b Backend) bool { return b.Name() == name })
}

// admits reports whether the user of a session may use it, and as which identity.
func (e *Engine) admits(s *sessionRecord, st *userState) (backend int, ok bool) {
	if st == nil || st.generation != s.generation {
		return 0, false
	}
	backend = e.backendNumber(s.backend)
	if backend < 0 || st.inactive && !st.idents[backend].allowed {
		return 0, false
	}
	return backend, true
}

// SessionUser returns the user of a session. It is what every request asks:
// nearly always it is answered from memory, without allocating. An anonymous
// session gives the zero Identity and no error. The error is [ErrNoSession] if the token proves
// no living session; any other error is an outage, which must not be taken for anonymous.
func (e *Engine) SessionUser(ctx context.Context, t Token) (Identity, error) {
	if id, ok := e.sessionUserWarm(&t); ok {
		return id, nil
	}
	cold := t // so that t itself stays on the stack
	return e.sessionUserCold(ctx, &cold)
}

// sessionUserWarm answers from memory, if all that it takes is there.
func (e *Engine) sessionUserWarm(t *Token) (Identity, bool) {
	var hit sessionHit
	if e.cache.off {
		return Identity{}, false
	}
	now := e.clock.roughly()
	if !e.cache.sessions.lookup(t, now, &hit) {
		return Identity{}, false
	}
	// A use that is noted puts the end off, so it has to be before it also where no tick came for long, as in a process that was stopped.
	if hit.ends-now < int64(tickSlack) || hit.due(now) {
		if now = e.clock.nanos(); now >= hit.ends {
			return Identity{}, false
		}
	}
	if t.kind != tokenNative && hit.due(now) {
		return Identity{}, false // a use of a session that was brought over is noted under a key that only the file knows
	}
	if hit.cell == noCell {
		e.used(t, &hit, now)
		return Identity{}, true
	}
	st := e.cache.users.current(hit.cell, hit.user)
	// The session must still be there after its user was looked up,
	// so that both were true at one moment.
	if st == nil || st.generation != hit.gen || !e.cache.sessions.still(&hit) {
		return Identity{}, false
	}
	id := &st.idents[hit.backend]
	if st.inactive && !id.allowed {
		return Identity{}, false
	}
	e.used(t, &hit, now)
	return Identity{id}, true
}

// used notes the use of a session, and of its user's place in the cache. now is exact if the use is due to be noted.
func (e *Engine) used(t *Token, hit *sessionHit, now int64) {
	if hit.cell != noCell {
		if c := e.cache.users.cell(hit.cell); !c.used.Load() {
			c.used.Store(true)
		}
	}
	if hit.due(now) {
		e.noteHit(t.sel, *hit, now)
	}
}

// noteHit notes the use of a cached session, in that order: what the table says, the file
// says too, however soon the session is pushed out of the table.
func (e *Engine) noteHit(sel selector, hit sessionHit, now int64) {
	now -= now % int64(time.Microsecond) // as it is stored
	e.noteSeen(sel, time.Unix(0, now))
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	e.cache.sessions.noted(&hit, now)
}

// sessionUserCold asks the file.
func (e *Engine) sessionUserCold(ctx context.Context, t *Token) (Identity, error) {
	if t.kind == tokenNone {
		return Identity{}, ErrNoSession
	}
	if e.cache.off {
		e.clock.follow() // as roughly does
	}
	if e.vault != nil {
		return e.vault.sessionUser(ctx, t)
	}
	var sel selector
	var s *sessionRecord
	var st *userState
	var now time.Time
	rev, err := e.loading(ctx, func(l *stateLoader) (_ *userState, err error) {
		st = nil
		if sel, s, err = l.tx.sessionByToken(t); err != nil || s == nil {
			return nil, err
		}
		if now = l.tx.now; l.tx.over(sel, s) {
			s = nil
		}
		if s == nil || s.user == 0 {
			return nil, nil
		}
		var fresh *userState
		st, fresh, err = l.user(s.user)
		return fresh, err
	})
	if err != nil {
		return Identity{}, err
	}
	if s == nil {
		return Identity{}, ErrNoSession
	}
	b, ok := 0, true
	if s.user != 0 {
		b, ok = e.admits(s, st)
	}
	if !ok {
		return Identity{}, ErrNoSession
	}
	if noteDue(now.Sub(s.seen), s.idle) {
		s.seen = now.Truncate(time.Microsecond) // as it is stored
		e.noteSeen(sel, s.seen)
	}
	if s.user == 0 {
		e.cache.keepSession(t, s, sel, nil, 0, rev)
		return Identity{}, nil
	}
	e.cache.keepSession(t, s, sel, st, b, rev)
	return Identity{&st.idents[b]}, nil
}

// user returns the state of a user as of the loader's transaction; fresh is the
// same if it was read from the file and is to be kept.
func (l *stateLoader) user(id UserID) (st, fresh *userState, err error) {
	if l.c != nil {
		if st := l.c.find(id); st != nil {
			l.newest = max(l.newest, st.rev)
			return st, nil, nil
		}
	}
	st, err = l.load(id)
	return st, st, err
}
