package latchbolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// sessionBySelector returns a session's record, or nil.
func (tx *ReadTx) sessionBySelector(sel selector) (*sessionRecord, error) {
	body, ok, err := tx.get(bucketSession, sel[:])
	if err != nil || !ok {
		return nil, err
	}
	return decodeSession(sel, &body)
}

// sessionByToken returns the session that a token proves, dead or alive, or
// nil. An unknown selector costs the same hashing and comparing as a wrong secret.
func (tx *ReadTx) sessionByToken(t *Token) (selector, *sessionRecord, error) {
	digest := t.digest()
	sel := t.sel
	if t.kind == tokenKey {
		body, ok, err := tx.get(bucketSessionKey, digest[:])
		if err != nil {
			return sel, nil, err
		}
		if ok {
			body.Copy(sel[:])
			if err := body.Done(); err != nil {
				return sel, nil, fromRecord(bucketSessionKey, digest[:], err)
			}
		}
	}
	s, err := tx.sessionBySelector(sel)
	if err != nil {
		return sel, nil, err
	}
	stored := new([32]byte)
	if s != nil {
		stored = &s.digest
	}
	if !equalDigest(&digest, stored) || s == nil {
		return sel, nil, nil
	}
	return sel, s, nil
}

// selectors are those under which the cache may know a session.
func (s *sessionRecord) selectors(sel selector) []selector {
	if s.flags&sessionBrought != 0 {
		return []selector{sel, broughtSelector(s.digest)}
	}
	return []selector{sel}
}

// forgetSession keeps a session that changes or ends out of the cache.
func (tx *Tx) forgetSession(sel selector, s *sessionRecord) {
	tx.fx.sessions = append(tx.fx.sessions, s.selectors(sel)...)
}

// A newSession is a session as it is stored first. It is encoded before the transaction that
// stores it where others wait for that.
//
// It is filed in bucketSessionNew, which is small, so that many logins write
// few pages. From there mergeNew moves it.
type newSession struct {
	sel      selector
	user     UserID
	builders [2]*record.Builder // to which record and login belong
	record   []byte             // for bucketSession
	key      []byte             // for bucketSessionNew; nil if the session is anonymous
	login    []byte             // likewise: when the user logged in with it, or no time
}

// encodeNew encodes a session under a new selector. The memory of the result is to be freed.
func encodeNew(sel selector, s *sessionRecord, login time.Time) (n newSession, err error) {
	n.sel, n.user = sel, s.user
	n.builders[0] = s.encode()
	if n.record, err = seal(bucketSession, sel[:], n.builders[0]); err != nil || s.user == 0 {
		return n, err
	}
	n.key = sessionNewKey(sel, s.user)
	n.builders[1] = timeRecord(login)
	n.login, err = seal(bucketSessionNew, n.key, n.builders[1])
	return n, err
}

// free gives the memory of the records back.
func (n *newSession) free() {
	for _, b := range n.builders {
		if b != nil {
			b.Free()
		}
	}
}

// putNew stores a new session with its values, and files it under its user. Nothing is fenced: nobody can
// know the token yet.
func (tx *Tx) putNew(n *newSession, values []byte) error {
	if err := tx.putErr(bucketSession, tx.w.Put(bucketSession, n.sel[:], n.record)); err != nil {
		return err
	}
	if len(values) > 0 {
		if err := tx.putValues(n.sel, values); err != nil {
			return err
		}
	}
	if n.key == nil {
		return nil
	}
	tx.fx.newSessions++
	tx.e.held.add(n.user)
	return tx.putErr(bucketSessionNew, tx.w.Put(bucketSessionNew, n.key, n.login))
}

// putSession stores a session with its values under a new selector, and files it under its user; login is
// when the user logged in with it, or zero.
func (tx *Tx) putSession(sel selector, s *sessionRecord, values []byte, login time.Time) error {
	n, err := encodeNew(sel, s, login)
	defer n.free()
	if err != nil {
		return err
	}
	return tx.putNew(&n, values)
}

// storeSession stores a session with its values and does not file it.
func (tx *Tx) storeSession(sel selector, s *sessionRecord, values []byte) error {
	if err := tx.put(bucketSession, sel[:], s.encode()); err != nil || len(values) == 0 {
		return err
	}
	return tx.putValues(sel, values)
}

// How many new sessions are filed before they are merged: mergeIdle, which fill one page, if nobody writes at the moment, and
// mergeBusy otherwise. A merge writes nearly a page for each session, or each user, so while others wait for their turn it had
// better be of many.
const (
	mergeIdle = 64
	mergeBusy = 128
)

// countNew counts more sessions that are filed as new, after an update, and sees to it that they are merged before they become many.
func (e *Engine) countNew(more int) {
	n := e.newSessions.Add(int64(more))
	if n < mergeIdle || n < mergeBusy && e.writing.Load() > 0 || !e.newSessions.CompareAndSwap(n, 0) {
		return
	}
	e.later(context.Background(), "filing new sessions", func(tx *Tx) error { return tx.mergeNew(nil) }, nil)
}

// mergeNew moves what is filed as new under a prefix to where it stays: sessions
// into the index by day and user, logins to the last login of their user.
func (tx *Tx) mergeNew(prefix []byte) error {
	logins := make(map[UserID]time.Time)
	var keys []byte // one behind the other
	for en, err := range tx.scan(bucketSessionNew, prefix, nil) {
		if err != nil {
			return err
		}
		at := readTime(&en.body)
		if err := en.body.Done(); err != nil {
			return fromRecord(bucketSessionNew, en.key, err)
		}
		if len(en.key) != sessionNewLen {
			return corrupt(fmt.Sprintf("%s %x has a key of another length", bucketSessionNew, en.key), nil)
		}
		keys = append(keys, en.key...)
		if id := keyUser(en.key); at.After(logins[id]) {
			logins[id] = at
		}
	}
	for k := range slices.Chunk(keys, sessionNewLen) {
		sel := selector(k[sessionNewSelectorFrom:])
		// One that expired and was swept is not filed any more. What its record holds does not matter here.
		if v, err := tx.r.Get(bucketSession, sel[:]); err != nil {
			return fromStore(err)
		} else if v == nil {
			continue
		}
		if err := tx.mark(bucketSessionUser, sessionUserKey(sel, keyUser(k))); err != nil {
			return err
		}
	}
	for id, at := range logins {
		if err := tx.raiseLogin(id, at); err != nil {
			return err
		}
	}
	return tx.deletePrefix(bucketSessionNew, prefix)
}

// raiseLogin stores when a user logged in, if that is later than what is stored.
func (tx *Tx) raiseLogin(id UserID, at time.Time) error {
	last, err := tx.storedLogin(id)
	if err != nil || !at.After(last) {
		return err
	}
	return tx.put(bucketLogin, userKey(id), timeRecord(at))
}

// deleteSession removes a session and all that belongs to it.
func (tx *Tx) deleteSession(sel selector, s *sessionRecord) error {
	tx.forgetSession(sel, s)
	if err := tx.delete(bucketSession, sel[:]); err != nil {
		return err
	}
	if err := tx.delete(bucketValues, sel[:]); err != nil {
		return err
	}
	if s.flags&sessionBrought != 0 {
		if err := tx.delete(bucketSessionKey, s.digest[:]); err != nil {
			return err
		}
	}
	if s.user == 0 {
		return nil
	}
	if err := tx.keepLogin(sel, s.user); err != nil {
		return err
	}
	return tx.delete(bucketSessionUser, sessionUserKey(sel, s.user))
}

// keepLogin takes a session out of the new ones and keeps when its user logged in.
func (tx *Tx) keepLogin(sel selector, id UserID) error {
	key := sessionNewKey(sel, id)
	body, ok, err := tx.get(bucketSessionNew, key)
	if err != nil || !ok {
		return err
	}
	at := readTime(&body)
	if err := body.Done(); err != nil {
		return fromRecord(bucketSessionNew, key, err)
	}
	if err := tx.raiseLogin(id, at); err != nil {
		return err
	}
	return tx.delete(bucketSessionNew, key)
}

// An ownSession is a session of a user with its selector.
type ownSession struct {
	sel selector
	*sessionRecord
}

// sessionsOf returns the sessions of a user that are stored, dead or alive.
func (tx *ReadTx) sessionsOf(id UserID) ([]ownSession, error) {
	var all []ownSession
	news, err := tx.keys(bucketSessionNew, userKey(id), nil, 0)
	if err != nil {
		return nil, err
	}
	for _, k := range news {
		sel := selector(k[sessionNewSelectorFrom:])
		s, err := tx.sessionBySelector(sel)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, ownSession{sel, s})
		}
	}
	day := hourOf(tx.now) / hoursPerDay
	for {
		// The next day on which any session ends.
		next, err := tx.keys(bucketSessionUser, nil, sessionUserPrefix(day, id), 1)
		if err != nil || len(next) == 0 {
			return all, err
		}
		day = binary.BigEndian.Uint32(next[0])
		keys, err := tx.keys(bucketSessionUser, sessionUserPrefix(day, id), nil, 0)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			sel := selector(k[sessionUserSelectorFrom:])
			s, err := tx.sessionBySelector(sel)
			if err != nil {
				return nil, err
			}
			if s != nil { // otherwise it expired within this day and was swept
				all = append(all, ownSession{sel, s})
			}
		}
		day++
	}
}

// deleteSessions removes the sessions of a user, except one.
func (tx *Tx) deleteSessions(id UserID, except *selector) error {
	all, err := tx.sessionsOf(id)
	if err != nil {
		return err
	}
	for _, s := range all {
		if except != nil && s.sel == *except {
			continue
		}
		if err := tx.deleteSession(s.sel, s.sessionRecord); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom ends the oldest sessions of a user so that one more is within the limit.
func (tx *Tx) makeRoom(id UserID) error {
	limit := tx.e.cfg.SessionLimit
	if limit < 0 || tx.e.held.fewer(id, limit) {
		return nil
	}
	all, err := tx.sessionsOf(id)
	if err != nil || len(all) < limit {
		if err == nil {
			tx.fx.counted = id
			tx.e.held.set(id, len(all), tx.fx)
		}
		return err
	}
	// Those that are over go first; they only were not swept yet.
	slices.SortFunc(all, func(a, b ownSession) int {
		if x, y := tx.over(a.sel, a.sessionRecord), tx.over(b.sel, b.sessionRecord); x != y {
			return cmp.Compare(flag(y, 1), flag(x, 1))
		}
		return cmp.Or(a.created.Compare(b.created), bytes.Compare(a.sel[:], b.sel[:]))
	})
	for _, s := range all[:len(all)-limit+1] {
		if err := tx.deleteSession(s.sel, s.sessionRecord); err != nil {
			return err
		}
	}
	return nil
}

// A heldCount knows of some users how many sessions are stored of them at most, so that not every
// login has to look. The number may be too high, since only what is added is counted, and
// then the next login that finds the limit reached looks again. It is never too low: what adds
// sessions has the store to itself, and a number is believed only when what it looked at is committed. The
// function that comes next in the same group of callers, or right after a group that failed, does not believe it yet.
type heldCount struct {
	mu sync.Mutex // guards n
	n  map[UserID]heldNumber
}

// A heldNumber is how many sessions a user has at most.
type heldNumber struct {
	n  int32
	by *effects // of the update that counted, while it is not committed; nil: it is
}

// maxHeldCounts bounds of how many users the number is kept.
const maxHeldCounts = 100_000

// fewer reports whether a user is known to have fewer sessions than limit.
func (h *heldCount) fewer(id UserID, limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, ok := h.n[id]
	return ok && held.by == nil && int(held.n) < limit
}

// set notes what the update with the effects fx counted.
func (h *heldCount) set(id UserID, n int, fx *effects) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == nil || len(h.n) >= maxHeldCounts {
		h.n = make(map[UserID]heldNumber)
	}
	h.n[id] = heldNumber{int32(n), fx}
}

// add counts one more session of a user, if the number is known.
func (h *heldCount) add(id UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if held, ok := h.n[id]; ok {
		held.n++
		h.n[id] = held
	}
}

// settle makes what an update counted of a user good, or forgets it if the update was not committed.
func (h *heldCount) settle(id UserID, fx *effects, committed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.n[id]
	switch {
	case held.by != fx: // somebody has counted since
	case committed:
		h.n[id] = heldNumber{n: held.n}
	default:
		delete(h.n, id)
	}
}

// takeOver ends the previous session of a client and returns its values if they
// may be carried over to user.
func (tx *Tx) takeOver(prev *Token, user UserID) ([]byte, error) {
	if prev.kind == tokenNone || prev.kind == tokenSealed {
		return nil, nil
	}
	sel, s, err := tx.sessionByToken(prev)
	if err != nil || s == nil {
		return nil, err
	}
	var values []byte
	if !tx.over(sel, s) && (s.user == 0 || s.user == user && tx.sameGeneration(s)) {
		if values, err = tx.values(sel); err != nil {
			return nil, err
		}
	}
	return values, tx.deleteSession(sel, s)
}

// sameGeneration reports whether the user of a session has not changed the password since.
func (tx *ReadTx) sameGeneration(s *sessionRecord) bool {
	u, err := tx.user(s.user)
	return err == nil && u.generation == s.generation
}

// living returns the living session of a token, or [ErrNoSession].
func (tx *ReadTx) living(t *Token) (selector, *sessionRecord, error) {
	sel, s, err := tx.sessionByToken(t)
	if err != nil {
		return sel, nil, err
	}
	if err := tx.alive(sel, s); err != nil {
		return sel, nil, err
	}
	return sel, s, nil
}

// alive returns [ErrNoSession] for a session that is over, or that its user may no longer use, and for none.
func (tx *ReadTx) alive(sel selector, s *sessionRecord) error {
	if s == nil || tx.over(sel, s) {
		return ErrNoSession
	}
	if s.user == 0 {
		return nil
	}
	u, err := tx.user(s.user)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	b := tx.e.backendNumber(s.backend)
	if err != nil || b < 0 || u.generation != s.generation ||
		(u.Inactive || tx.denied(u.ID).inactive) && !allowsInactive(tx.e.backends[b]) {
		return ErrNoSession
	}
	return nil
}

// rotateSession moves a session to a new token.
func (tx *Tx) rotateSession(sel selector, s *sessionRecord, change func(*sessionRecord)) (Session, error) {
	values, err := tx.values(sel)
	if err != nil {
		return Session{}, err
	}
	if err := tx.deleteSession(sel, s); err != nil {
		return Session{}, err
	}
	change(s)
	t, err := tx.e.newTokenFor(s)
	if err != nil {
		return Session{}, err
	}
	if err := tx.putSession(t.sel, s, values, time.Time{}); err != nil {
		return Session{}, err
	}
	p := s.public(t.sel)
	p.Token = t
	return p, nil
}

func (tx *ReadTx) livingOf(id UserID) ([]Session, error) {
	u, err := tx.user(id)
	if err != nil {
		return nil, err
	}
	stored, err := tx.sessionsOf(id)
	if err != nil {
		return nil, err
	}
	inactive := u.Inactive || tx.denied(id).inactive
	var all []Session
	for _, s := range stored {
		b := tx.e.backendNumber(s.backend)
		if s.generation != u.generation || tx.over(s.sel, s.sessionRecord) || b < 0 ||
			inactive && !allowsInactive(tx.e.backends[b]) {
			continue
		}
		all = append(all, s.public(s.sel))
	}
	slices.SortFunc(all, byUse)
	return all, nil
}
