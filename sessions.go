package latchbolt

import (
	"cmp"
	"context"
	"encoding/base64"
	"iter"
	"net/netip"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/record"
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
	if n, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s)); err != nil || n != len(id) { // it passes over line breaks
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
	// Lifetime, if positive, replaces the configured lifetime. No session lives beyond the year 2262.
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
	s.expires = endAfter(now, life)
	s.client = clientRecord{addr: o.Client.Addr, agent: clip(o.Client.Agent, maxAgent), name: clip(o.Name, maxSessionName)}
	t, err := e.newTokenFor(s)
	return s, t, err
}

// endAfter is when what lives for so long from now on ends.
func endAfter(now time.Time, d time.Duration) time.Time { return untilLast(now.Add(d)) }

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

// Login begins a session of a user who was just proved, under a new token, which counts as fresh from
// now on: do not give it an Identity that came from [Engine.SessionUser] earlier. It
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
	// Everything that can be made before the transaction is: the others wait for that.
	n, err := encodeNew(t.sel, s, s.created)
	defer n.free()
	if err != nil {
		return Session{}, err
	}
	trail := loginTrail(ctx, id, s.client.addr)
	defer trail.Free()
	err = e.updateLent(ctx, func(tx *Tx) error {
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
		if err := tx.putNew(&n, values); err != nil {
			return err
		}
		return tx.loggedIn(trail)
	})
	if err != nil {
		return Session{}, err
	}
	return e.began(s.public(t.sel), t), nil
}

// mayLogin makes sure that what was proved still holds in this transaction.
func (tx *Tx) mayLogin(id Identity) error {
	if tx.denied(id.ID()) != (userDenial{}) {
		return ErrCredentials
	}
	st := id.p.st
	generation, inactive := st.generation, st.inactive
	// If the cache holds what was proved, nothing changed since, not by an earlier function of the same commit
	// either: whoever changes something takes it out of the cache before another function is run.
	if tx.e.cache.users.current(st.cell, st.id) != st {
		body, ok, err := tx.get(bucketUser, userKey(id.ID()))
		if err != nil {
			return err
		}
		if !ok {
			return ErrCredentials
		}
		var u userRecord
		decodeUserHead(&body, &u)
		generation, inactive = u.generation, u.Inactive
	}
	if generation != st.generation || inactive && !id.p.allowed {
		return ErrCredentials
	}
	return nil
}

// loginTrail is the entry of a login in the audit trail.
func loginTrail(ctx context.Context, id Identity, addr netip.Addr) *record.Builder {
	a := AuditEntry{Action: ActionLogin, User: id.ID(), Username: id.Username(), Addr: addr, Detail: id.Backend()}
	a.by(ctx)
	return encodeAudit(&a)
}

// loggedIn records a login.
func (tx *Tx) loggedIn(trail *record.Builder) error {
	if tx.e.cfg.Audit.MaxCount < 0 {
		return nil
	}
	return tx.putAudit(trail)
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
	err = e.updateLent(ctx, func(tx *Tx) error {
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

// SessionByID returns what is known of a living session, by the identifier that the list shows. Its
// Token is zero. The error is [ErrNoSession] if there is none.
func (e *Engine) SessionByID(ctx context.Context, id SessionID) (p Session, err error) {
	if e.vault != nil {
		return e.vault.byID(ctx, id)
	}
	err = e.view(ctx, func(tx *ReadTx) error {
		sel := selector(id)
		s, err := tx.sessionBySelector(sel)
		if err != nil {
			return err
		}
		if err := tx.alive(sel, s); err != nil {
			return err
		}
		p = s.public(sel)
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
	// Read before the session is looked at: otherwise it could be given a new end after its own.
	end := endAfter(e.clock.now(), d)
	change := func(s *sessionRecord) { s.expires = end }
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
		if hourOf(end) > sel.hour() {
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
	if !known {
		e.cache.dropSession(&t, e.clock.nanos())
	}
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
		if err == nil && s == nil {
			tx.fx.sessions = append(tx.fx.sessions, sel) // of which damage may have left nothing but what is in memory
		}
		if err != nil || s == nil {
			return err
		}
		ended = s.selectors(sel)
		return tx.endSessionAudited(sel, s)
	}, func() denial { return denial{sessions: ended} })
}

func (tx *Tx) endSessionAudited(sel selector, s *sessionRecord) error {
	if err := tx.deleteSession(sel, s); err != nil {
		return err
	}
	return tx.audit(AuditEntry{Action: ActionSessionEnd, User: s.user})
}

// EndSessions ends all sessions of a user and voids its one-time tokens. See [Engine.Logout] about writes
// that fail.
func (e *Engine) EndSessions(ctx context.Context, id UserID) error {
	if err := e.revoke(ctx, func(tx *Tx) error { return tx.endSessionsAudited(id) },
		func() denial { return denial{users: []UserID{id}} }); err != nil {
		return err
	}
	if e.vault != nil {
		e.vault.endAll(ctx, id)
	}
	return nil
}

func (tx *Tx) endSessionsAudited(id UserID) error {
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
