package latchbolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// A SessionID names a session without proving it: it may be shown to the user
// it belongs to, and to administrators. It is the public half of a token.
type SessionID [16]byte

// String returns the 22 characters that [ParseSessionID] reads.
func (id SessionID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText is String.
func (id SessionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ParseSessionID reads what [SessionID.String] gave. The error is [ErrNoSession].
func ParseSessionID(s string) (id SessionID, err error) {
	if base64.RawURLEncoding.DecodedLen(len(s)) != len(id) {
		return id, ErrNoSession
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s)); err != nil {
		return SessionID{}, ErrNoSession
	}
	return id, nil
}

// A Session is what is known of a session. It is a copy.
type Session struct {
	// Token proves the session. It is set by the calls that make or change one,
	// and has to be sent to the client if it differs from what the client has; elsewhere it is zero.
	Token Token
	ID    SessionID

	User     UserID // 0: anonymous
	Backend  string // which proved the user
	Created  time.Time
	AuthTime time.Time     // when the user was last proved; zero if anonymous
	LastSeen time.Time     // to the minute
	Expires  time.Time     // when it ends however much it is used
	IdleFor  time.Duration // it ends earlier if it is not used for so long; 0: no
	Client   Client        // as of the login
	Name     string        // given by the user, such as "kitchen tablet"

	Remember      bool // "remember me"
	BrowserLength bool // the client shall forget the token when the browser closes
}

// Deadline returns when the session ends if it is not used again.
func (s *Session) Deadline() time.Time {
	r := sessionRecord{expires: s.Expires, seen: s.LastSeen, idle: s.IdleFor}
	return r.deadline()
}

// LoginOptions say how a session begins. The zero LoginOptions are fine.
type LoginOptions struct {
	// Previous is the token that the client had before, if any. Its session
	// ends. Its values are carried over if it was anonymous or of the same
	// user, and dropped if it was another user's.
	Previous Token
	// Client is shown in the list of sessions.
	Client Client
	// Name is shown in the list of sessions; at most 100 bytes.
	Name string
	// Remember makes it last for Config.RememberLifetime without idle limit.
	Remember bool
	// BrowserLength asks the client to forget the token when the browser
	// closes. The session itself lives no longer than others do.
	BrowserLength bool
	// Lifetime, if positive, replaces the configured lifetime.
	Lifetime time.Duration
}

const (
	maxAgent       = 256
	maxSessionName = 100
)

// newRecord is the session that options ask for, and its token.
func (e *Engine) newRecord(o *LoginOptions) (*sessionRecord, Token, error) {
	now := e.clock.now().Truncate(time.Microsecond) // as it is stored
	s := &sessionRecord{epoch: e.epoch.Load(), created: now, seen: now, idle: e.cfg.SessionIdle}
	life := e.cfg.SessionLifetime
	if o.Remember {
		life, s.idle = e.cfg.RememberLifetime, 0
		s.flags |= sessionRemember
	}
	if o.Lifetime > 0 {
		life = o.Lifetime
	}
	if o.BrowserLength {
		s.flags |= sessionBrowser
	}
	s.expires = now.Add(life)
	s.client = clientRecord{addr: o.Client.Addr, agent: clip(o.Client.Agent, maxAgent), name: clip(o.Name, maxSessionName)}
	t, err := e.newTokenFor(s)
	return s, t, err
}

// newTokenFor gives a session a new token.
func (e *Engine) newTokenFor(s *sessionRecord) (Token, error) {
	t, err := newToken(s.expires, e.clock.now())
	s.digest = t.digest()
	s.flags &^= sessionBrought
	return t, err
}

// public is a session as others see it.
func (s *sessionRecord) public(sel selector) Session {
	return Session{ID: SessionID(sel), User: s.user, Backend: s.backend, Created: s.created,
		AuthTime: s.authed, LastSeen: s.seen, Expires: s.expires, IdleFor: s.idle,
		Remember: s.flags&sessionRemember != 0, BrowserLength: s.flags&sessionBrowser != 0,
		Client: Client{Addr: s.client.addr, Agent: s.client.agent}, Name: s.client.name}
}

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
	if !e.cache.off {
		now := e.clock.nanos()
		var hit sessionHit
		// A use of a session that was brought over is noted under a key that only the file knows.
		if e.cache.sessions.lookup(&t, now, &hit) && (t.kind == tokenNative || !hit.due(now)) {
			if hit.cell == noCell {
				e.used(&t, &hit, now)
				return Identity{}, nil
			}
			st := e.cache.users.current(hit.cell, hit.user)
			// The session must still be there after its user was looked up,
			// so that both were true at one moment.
			if st != nil && st.generation == hit.gen && e.cache.sessions.still(&hit) {
				if id := &st.idents[hit.backend]; !st.inactive || id.allowed {
					e.used(&t, &hit, now)
					return Identity{id}, nil
				}
			}
		}
	}
	cold := t // so that t itself stays on the stack
	return e.sessionUserCold(ctx, &cold)
}

// used notes the use of a session, and of its user's place in the cache.
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

// putSession stores a session with its values under a new selector, and files it under its user; login is
// when the user logged in with it, or zero. Nothing is fenced: nobody can know the token yet.
//
// It is filed in bucketSessionNew, which is small, so that many logins write
// few pages. From there mergeNew moves it.
func (tx *Tx) putSession(sel selector, s *sessionRecord, values []byte, login time.Time) error {
	if err := tx.storeSession(sel, s, values); err != nil || s.user == 0 {
		return err
	}
	tx.OnCommit(tx.e.countNew)
	return tx.put(bucketSessionNew, sessionNewKey(sel, s.user), timeRecord(login))
}

func (tx *Tx) storeSession(sel selector, s *sessionRecord, values []byte) error {
	if err := tx.put(bucketSession, sel[:], s.encode()); err != nil || len(values) == 0 {
		return err
	}
	return tx.putValues(sel, values)
}

// mergeEvery is how many new sessions are filed before they are merged.
const mergeEvery = 256

// countNew sees to it that new sessions are merged before they become many.
func (e *Engine) countNew() {
	if n := e.newSessions.Add(1); n >= mergeEvery && e.newSessions.CompareAndSwap(n, 0) {
		e.later(context.Background(), "filing new sessions", func(tx *Tx) error { return tx.mergeNew(nil) }, nil)
	}
}

// mergeNew moves what is filed as new under a prefix to where it stays: sessions
// into the index by day and user, logins to the last login of their user.
func (tx *Tx) mergeNew(prefix []byte) error {
	logins := make(map[UserID]time.Time)
	var keys [][]byte
	for en, err := range tx.scan(bucketSessionNew, prefix, nil) {
		if err != nil {
			return err
		}
		at := readTime(&en.body)
		if err := en.body.Done(); err != nil {
			return fromRecord(bucketSessionNew, en.key, err)
		}
		keys = append(keys, append([]byte(nil), en.key...))
		if id := keyUser(en.key); at.After(logins[id]) {
			logins[id] = at
		}
	}
	for _, k := range keys {
		sel := selector(k[sessionNewSelectorFrom:])
		// One that expired and was swept is not filed any more.
		if there, err := tx.has(bucketSession, sel[:]); err != nil {
			return err
		} else if !there {
			continue
		}
		if err := tx.mark(bucketSessionUser, sessionUserKey(sel, keyUser(k))); err != nil {
			return err
		}
	}
	for id, at := range logins {
		last, err := tx.storedLogin(id)
		if err != nil {
			return err
		}
		if at.After(last) {
			if err := tx.put(bucketLogin, userKey(id), timeRecord(at)); err != nil {
				return err
			}
		}
	}
	return tx.deletePrefix(bucketSessionNew, prefix)
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
	last, err := tx.storedLogin(id)
	if err != nil {
		return err
	}
	if at.After(last) {
		if err := tx.put(bucketLogin, userKey(id), timeRecord(at)); err != nil {
			return err
		}
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
	if limit < 0 {
		return nil
	}
	all, err := tx.sessionsOf(id)
	if err != nil || len(all) < limit {
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

// Login begins a session of a user who was just proved, under a new token. It
// ends the session in o.Previous. The error is [ErrCredentials] if the user
// was deleted, deactivated or given another password since the proof.
func (e *Engine) Login(ctx context.Context, id Identity, o LoginOptions) (Session, error) {
	if id.p == nil || id.p.e != e {
		return Session{}, ErrCredentials
	}
	s, t, err := e.newRecord(&o)
	if err != nil {
		return Session{}, err
	}
	s.user, s.backend, s.authed, s.generation = id.ID(), id.Backend(), s.created, id.p.st.generation
	if e.vault != nil {
		return e.vault.login(ctx, id, &o, s)
	}
	err = e.update(ctx, func(tx *Tx) error {
		if err := tx.mayLogin(id); err != nil {
			return err
		}
		values, err := tx.takeOver(&o.Previous, s.user)
		if err != nil {
			return err
		}
		if err := tx.makeRoom(s.user); err != nil {
			return err
		}
		if err := tx.putSession(t.sel, s, values, tx.now); err != nil {
			return err
		}
		return tx.loggedIn(id, s.client.addr)
	})
	if err != nil {
		return Session{}, err
	}
	return e.began(s.public(t.sel), t), nil
}

// mayLogin makes sure that what was proved still holds in this transaction.
func (tx *Tx) mayLogin(id Identity) error {
	body, ok, err := tx.get(bucketUser, userKey(id.ID()))
	if err != nil {
		return err
	}
	var u userRecord
	decodeUserHead(&body, &u)
	if !ok || u.generation != id.p.st.generation || u.Inactive && !id.p.allowed || tx.denied(id.ID()) != (userDenial{}) {
		return ErrCredentials
	}
	return nil
}

// loggedIn records a login.
func (tx *Tx) loggedIn(id Identity, addr netip.Addr) error {
	return tx.audit(AuditEntry{Action: ActionLogin, User: id.ID(), Username: id.Username(), Addr: addr, Detail: id.Backend()})
}

// began hands out a new session and tells of it.
func (e *Engine) began(s Session, t Token) Session {
	if fn := e.cfg.Events.UserLoggedIn; fn != nil {
		fn(s) // without the token
	}
	s.Token = t
	return s
}

// NewSession begins an anonymous session, for values of somebody who is not
// signed in. It is only made when there is something to keep.
func (e *Engine) NewSession(ctx context.Context, o LoginOptions) (Session, error) {
	s, t, err := e.newRecord(&o)
	if err != nil {
		return Session{}, err
	}
	if e.vault != nil {
		return e.vault.create(ctx, &o, s)
	}
	err = e.update(ctx, func(tx *Tx) error {
		values, err := tx.takeOver(&o.Previous, 0)
		if err != nil {
			return err
		}
		return tx.putSession(t.sel, s, values, time.Time{})
	})
	if err != nil {
		return Session{}, err
	}
	p := s.public(t.sel)
	p.Token = t
	return p, nil
}

// living returns the living session of a token, or [ErrNoSession].
func (tx *ReadTx) living(t *Token) (selector, *sessionRecord, error) {
	sel, s, err := tx.sessionByToken(t)
	if err != nil {
		return sel, nil, err
	}
	if s == nil || tx.over(sel, s) {
		return sel, nil, ErrNoSession
	}
	if s.user == 0 {
		return sel, s, nil
	}
	u, err := tx.user(s.user)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return sel, nil, err
	}
	b := tx.e.backendNumber(s.backend)
	if err != nil || b < 0 || u.generation != s.generation ||
		(u.Inactive || tx.denied(u.ID).inactive) && !allowsInactive(tx.e.backends[b]) {
		return sel, nil, ErrNoSession
	}
	return sel, s, nil
}

// Session returns what is known of a living session. Its Token is the one given.
func (e *Engine) Session(ctx context.Context, t Token) (p Session, err error) {
	if e.vault != nil {
		return e.vault.session(ctx, &t)
	}
	err = e.view(ctx, func(tx *ReadTx) error {
		sel, s, err := tx.living(&t)
		if err != nil {
			return err
		}
		p = s.public(sel)
		p.Token = t
		return nil
	})
	return p, err
}

// Fresh reports whether the user of a living session was proved within
// Config.FreshFor. Ask before sensitive actions; if it is not, let the user
// give the password again and call [Engine.Login] with the token as Previous.
func (e *Engine) Fresh(ctx context.Context, t Token) (bool, error) {
	s, err := e.Session(ctx, t)
	if err != nil || s.User == 0 {
		return false, err
	}
	return e.clock.now().Sub(s.AuthTime) <= e.cfg.FreshFor, nil
}

// rotate gives a living session a new token, after change altered it. The old token is dead.
func (e *Engine) rotate(ctx context.Context, t *Token, change func(*sessionRecord)) (p Session, err error) {
	err = e.update(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(t)
		if err != nil {
			return err
		}
		p, err = tx.rotateSession(sel, s, change)
		return err
	})
	return p, err
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

// Renew gives a session a new token and keeps everything else, its end too. It
// is Django's cycle_key. The old token is dead when it returns.
func (e *Engine) Renew(ctx context.Context, t Token) (Session, error) {
	if e.vault != nil {
		return e.vault.rotate(ctx, &t, func(*sessionRecord) {})
	}
	return e.rotate(ctx, &t, func(*sessionRecord) {})
}

// SetExpiry makes a session end after a time from now, whatever lifetime was
// configured; its idle limit stays. 0 or less ends it now. If the token cannot stand for a session that lives so
// long, the session gets a new one; send it to the client.
func (e *Engine) SetExpiry(ctx context.Context, t Token, d time.Duration) (p Session, err error) {
	change := func(s *sessionRecord) { s.expires = e.clock.now().Add(d) }
	if e.vault != nil {
		return e.vault.rotate(ctx, &t, change)
	}
	if d <= 0 {
		return e.expire(ctx, &t, change)
	}
	err = e.update(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(&t)
		if err != nil {
			return err
		}
		// The sweeper removes what stands under an hour that is over.
		if hourOf(tx.now.Add(d)) > sel.hour() {
			p, err = tx.rotateSession(sel, s, change)
			return err
		}
		change(s)
		tx.forgetSession(sel, s)
		p = s.public(sel)
		p.Token = t
		return tx.put(bucketSession, sel[:], s.encode())
	})
	return p, err
}

// expire ends a living session and returns what change made of it. The session is removed, and not only
// given an end that is past: after a crash the clock may be behind that.
func (e *Engine) expire(ctx context.Context, t *Token, change func(*sessionRecord)) (p Session, err error) {
	var ended []selector
	err = e.revoke(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(t)
		if err != nil {
			return err
		}
		change(s)
		p, ended = s.public(sel), s.selectors(sel)
		p.Token = *t
		return tx.deleteSession(sel, s)
	}, func() denial { return denial{sessions: ended} })
	if err != nil {
		return Session{}, err
	}
	return p, nil
}

// NameSession lets the user give a session a name for the list.
func (e *Engine) NameSession(ctx context.Context, id SessionID, name string) error {
	if e.vault != nil {
		return e.vault.name(ctx, id, name)
	}
	return e.update(ctx, func(tx *Tx) error {
		sel := selector(id)
		s, err := tx.sessionBySelector(sel)
		if err != nil {
			return err
		}
		if s == nil {
			return ErrNoSession
		}
		s.client.name = clip(name, maxSessionName)
		return tx.put(bucketSession, sel[:], s.encode())
	})
}

// Logout ends the session of a token. A token without a session is no error:
// then there is nothing to end. If the end cannot be written, the
// session is refused in this process all the same, and the error is returned.
func (e *Engine) Logout(ctx context.Context, t Token) error {
	if e.vault != nil {
		user, err := e.vault.logout(ctx, &t)
		return e.loggedOut(user, err)
	}
	// Nothing is written for those who have no session.
	known := false
	err := e.view(ctx, func(tx *ReadTx) error {
		_, s, err := tx.sessionByToken(&t)
		known = s != nil
		return err
	})
	if err != nil {
		return err
	}
	var user UserID
	var ended []selector
	if known {
		err = e.revoke(ctx, func(tx *Tx) error {
			sel, s, err := tx.sessionByToken(&t)
			if err != nil || s == nil {
				return err
			}
			user, ended = s.user, s.selectors(sel)
			return tx.logout(sel, s)
		}, func() denial { return denial{sessions: ended} })
	}
	return e.loggedOut(user, err)
}

// loggedOut tells of a logout unless it failed.
func (e *Engine) loggedOut(user UserID, err error) error {
	if fn := e.cfg.Events.UserLoggedOut; err == nil && fn != nil {
		fn(user)
	}
	return err
}

func (tx *Tx) logout(sel selector, s *sessionRecord) error {
	if err := tx.deleteSession(sel, s); err != nil || s.user == 0 {
		return err
	}
	return tx.audit(AuditEntry{Action: ActionLogout, User: s.user})
}

// Sessions yields the living sessions of a user, the most recently used first.
// No transaction is open while the body of the loop runs.
func (e *Engine) Sessions(ctx context.Context, id UserID) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		all, err := e.livingOf(ctx, id)
		if err != nil {
			yield(Session{}, err)
			return
		}
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (e *Engine) livingOf(ctx context.Context, id UserID) (all []Session, err error) {
	if e.vault != nil {
		return e.vault.list(ctx, id)
	}
	err = e.view(ctx, func(tx *ReadTx) error {
		all, err = tx.livingOf(id)
		return err
	})
	return all, err
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

// byUse puts the most recently used session first.
func byUse(a, b Session) int {
	return cmp.Or(b.LastSeen.Compare(a.LastSeen), b.Created.Compare(a.Created))
}

// EndSession ends one session by the identifier that the list shows. One that
// is not there is no error. See [Engine.Logout] about writes that fail.
func (e *Engine) EndSession(ctx context.Context, id SessionID) error {
	if e.vault != nil {
		return e.vault.end(ctx, id)
	}
	sel := selector(id)
	ended := []selector{sel}
	return e.revoke(ctx, func(tx *Tx) error {
		s, err := tx.sessionBySelector(sel)
		if err != nil || s == nil {
			return err
		}
		ended = s.selectors(sel)
		if err := tx.deleteSession(sel, s); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionSessionEnd, User: s.user})
	}, func() denial { return denial{sessions: ended} })
}

// EndSessions ends all sessions of a user and voids its one-time tokens. See [Engine.Logout] about writes
// that fail.
func (e *Engine) EndSessions(ctx context.Context, id UserID) error {
	if err := e.revoke(ctx, func(tx *Tx) error {
		u, err := tx.user(id)
		if err != nil {
			return err
		}
		if err := tx.endAll(u); err != nil {
			return err
		}
		if err := tx.putUser(u); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionSessionsEnd, User: id, Username: u.Username})
	}, func() denial { return denial{users: []UserID{id}} }); err != nil {
		return err
	}
	if e.vault != nil {
		e.vault.endAll(ctx, id)
	}
	return nil
}

// EndOtherSessions ends all sessions of a user but the one of the token, which
// stays as it is.
func (e *Engine) EndOtherSessions(ctx context.Context, t Token) error {
	if e.vault != nil {
		return e.vault.endOthers(ctx, &t)
	}
	var ended []selector
	return e.revoke(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(&t)
		if err != nil {
			return err
		}
		if s.user == 0 {
			return nil
		}
		all, err := tx.sessionsOf(s.user)
		if err != nil {
			return err
		}
		ended = ended[:0]
		for _, o := range all {
			if o.sel != sel {
				ended = append(ended, o.selectors(o.sel)...)
			}
		}
		if err := tx.deleteSessions(s.user, &sel); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionSessionsEnd, User: s.user, Detail: "others"})
	}, func() denial { return denial{sessions: ended} })
}

// ChangePassword lets a user replace the own password. The old one is checked
// as at a login, failures count, and the new one has to pass the validators. All
// other sessions end; this one goes on under a new token, which the
// client has to be sent. The error is [ErrCredentials] if the old password is wrong.
func (e *Engine) ChangePassword(ctx context.Context, t Token, old, new string) (p Session, err error) {
	id, err := e.SessionUser(ctx, t)
	if err != nil {
		return Session{}, err
	}
	if id.Anonymous() {
		return Session{}, ErrNoSession
	}
	here, err := e.Session(ctx, t)
	if err != nil {
		return Session{}, err
	}
	proved, err := e.Authenticate(ctx, Password{Username: id.Username(), Password: old, Client: here.Client})
	if err != nil {
		return Session{}, err
	}
	if proved.ID() != id.ID() {
		return Session{}, ErrCredentials
	}
	u, err := e.User(ctx, id.ID())
	if err != nil {
		return Session{}, err
	}
	if err := e.ValidatePassword(new, u); err != nil {
		return Session{}, err
	}
	h, err := e.HashPassword(ctx, new)
	if err != nil {
		return Session{}, err
	}
	change := func(tx *Tx) (func(*sessionRecord), error) {
		if err := tx.SetPasswordHash(u.ID, h); err != nil {
			return nil, err
		}
		after, err := tx.user(u.ID)
		if err != nil {
			return nil, err
		}
		tx.changed(ChangePassword, u.ID)
		return func(s *sessionRecord) { s.generation, s.authed = after.generation, tx.now },
			tx.audit(AuditEntry{Action: ActionPasswordChange, User: u.ID, Actor: u.ID, Username: u.Username})
	}
	if e.vault != nil {
		return e.vault.changePassword(ctx, &t, change)
	}
	err = e.revoke(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(&t)
		if err != nil {
			return err
		}
		// Move it out of the way first: the change ends all that are there.
		values, err := tx.values(sel)
		if err != nil {
			return err
		}
		renew, err := change(tx)
		if err != nil {
			return err
		}
		renew(s)
		nt, err := e.newTokenFor(s)
		if err != nil {
			return err
		}
		p = s.public(nt.sel)
		p.Token = nt
		return tx.putSession(nt.sel, s, values, time.Time{})
	}, func() denial { return denial{users: []UserID{u.ID}, password: true} })
	if err != nil {
		return Session{}, err
	}
	return p, nil
}
