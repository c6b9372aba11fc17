package latchbolt

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A sessionIndex knows the stored sessions of one file by their users. It is
// built once and then follows every change. The zero sessionIndex is not built.
type sessionIndex struct {
	mu    sync.Mutex // guards all below; taken inside the locks of sessions
	built bool
	last  uint64 // number given out last
	all   map[selector]indexedSession
	users map[UserID]map[selector]struct{}
}

// An indexedSession is what the index knows of a session. Times are in nanoseconds since 1970.
type indexedSession struct {
	user       UserID
	number     uint64 // of two that began at one time the one that came later has the higher one
	generation uint32
	created    int64
	expires    int64
	seen       int64
	idle       time.Duration
}

// over reports whether a session's time is over.
func (s *indexedSession) over(e *Engine, sel selector, now time.Time) bool {
	r := sessionRecord{expires: time.Unix(0, s.expires), seen: e.lastSeen(sel, time.Unix(0, s.seen)), idle: s.idle}
	return !now.Before(r.deadline())
}

// build reads all that is stored, unless that was done. Whoever changes the
// index meanwhile waits.
func (x *sessionIndex) build(ctx context.Context, v *storeVault) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.built {
		return ctx.Err()
	}
	all, err := v.scan(ctx, func(selector) bool { return true })
	if err != nil {
		return err
	}
	for _, sel := range all {
		h, err := v.load(ctx, sel)
		switch {
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrNewerFormat):
			v.e.log.Warn("latchbolt: a stored session cannot be read", "session", SessionID(sel).String(), "err", err)
		case err != nil:
			return err
		case h != nil:
			x.noteLocked(sel, h.rec)
		}
	}
	x.built = true
	return nil
}

func (x *sessionIndex) note(sel selector, s *sessionRecord) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noteLocked(sel, s)
}

func (x *sessionIndex) noteLocked(sel selector, s *sessionRecord) {
	if x.all == nil {
		x.all = make(map[selector]indexedSession)
		x.users = make(map[UserID]map[selector]struct{})
	}
	n := x.all[sel].number
	if n == 0 {
		x.last++
		n = x.last
	}
	x.all[sel] = indexedSession{s.user, n, s.generation, s.created.UnixNano(), s.expires.UnixNano(), s.seen.UnixNano(), s.idle}
	if s.user == 0 {
		return
	}
	if x.users[s.user] == nil {
		x.users[s.user] = make(map[selector]struct{})
	}
	x.users[s.user][sel] = struct{}{}
}

func (x *sessionIndex) drop(sel selector) {
	x.mu.Lock()
	defer x.mu.Unlock()
	user := x.all[sel].user
	delete(x.all, sel)
	if own := x.users[user]; own != nil {
		if delete(own, sel); len(own) == 0 {
			delete(x.users, user)
		}
	}
}

// of returns the sessions of a user, dead or alive.
func (x *sessionIndex) of(id UserID) []selector {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]selector, 0, len(x.users[id]))
	for sel := range x.users[id] {
		all = append(all, sel)
	}
	return all
}

// since returns the sessions of the user of a session, but those given, that began by some time: while
// the others were ended they got new tokens. The session's own successor began when it did.
func (x *sessionIndex) since(own *heldSession, began time.Time, but map[selector]struct{}) (all []selector) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for sel := range x.users[own.rec.user] {
		s := x.all[sel]
		if _, there := but[sel]; !there && s.created <= began.UnixNano() && s.created != own.rec.created.UnixNano() {
			all = append(all, sel)
		}
	}
	return all
}

// surplus returns the sessions of a user that are of another generation, and of the
// others those that are too many: first what is over and was not swept yet, then the
// oldest. A negative limit is none.
func (x *sessionIndex) surplus(e *Engine, id UserID, generation uint32, limit int) []selector {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := e.clock.now()
	var void, dead, live []selector
	for sel := range x.users[id] {
		s := x.all[sel]
		switch {
		case s.generation != generation:
			void = append(void, sel)
		case s.over(e, sel, now):
			dead = append(dead, sel)
		default:
			live = append(live, sel)
		}
	}
	if limit < 0 || len(dead)+len(live) <= limit {
		return void
	}
	slices.SortFunc(live, func(a, b selector) int {
		return cmp.Or(cmp.Compare(x.all[a].created, x.all[b].created), cmp.Compare(x.all[a].number, x.all[b].number))
	})
	return append(append(void, dead...), live[:max(0, len(live)-limit)]...)
}

// due returns the sessions whose time is over.
func (x *sessionIndex) due(e *Engine, now time.Time) []selector {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []selector
	for sel, s := range x.all {
		if s.over(e, sel, now) {
			all = append(all, sel)
		}
	}
	return all
}
