package authhttp

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A RequestSession is the session of one request: Django's request.session. Values
// that are changed are saved together when the header of the answer leaves, unless it is an error of the
// server; a session is begun for them if there is none, and never for anything else. What
// another request changed meanwhile under other names stays.
//
// If a method returns an error that is not about its arguments, the answer of the handler will
// not leave; see [User].
type RequestSession struct{ s *request }

// Session returns the session of a request. Nothing is looked up before a method is called.
func Session(r *http.Request) RequestSession {
	s, _ := of(r.Context())
	return RequestSession{s}
}

// Value returns a value of the session, and whether there is one that a T can hold.
func Value[T any](r *http.Request, name string) (v T, ok bool, err error) {
	ok, err = Session(r).Get(name, &v)
	return v, ok, err
}

// locked calls fn with the values of the session.
func (rs RequestSession) locked(fn func(s *request, v *latchbolt.Values) error) error {
	s := rs.s
	if s == nil {
		return ErrNoHandler
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.load(); err != nil {
		return err
	}
	return fn(s, s.values)
}

// load reads the values of the session, once.
func (s *request) load() error {
	if s.values != nil {
		return nil
	}
	if _, err := s.userLocked(); err != nil {
		return err
	}
	v := new(latchbolt.Values)
	if !s.token.IsZero() {
		var err error
		v, err = s.a.Engine.Values(below{s}, s.token)
		if errors.Is(err, latchbolt.ErrNoSession) {
			// It ended between two look-ups; so did its user.
			s.dead()
			s.id, v, err = latchbolt.Identity{}, new(latchbolt.Values), nil
		}
		if err != nil {
			return s.breakOff(err)
		}
	}
	for _, change := range s.changes { // made before a login, which carries them over
		if err := change(v); err != nil {
			return err
		}
	}
	s.values = v
	return nil
}

// change makes a change now, to what this request sees, and again when it is saved.
func (rs RequestSession) change(fn func(*latchbolt.Values) error) error {
	return rs.locked(func(s *request, v *latchbolt.Values) error {
		if s.source == fromBasic || s.source == fromBearer && s.sealed() { // where they live in the token, the new one would not get to the client
			return ErrStateless
		}
		if s.w.committed {
			return ErrHeaderSent
		}
		if err := fn(v); err != nil {
			return err
		}
		s.changes = append(s.changes, fn)
		return nil
	})
}

// Get decodes a value into dst, a pointer, and reports whether there is one.
func (rs RequestSession) Get(name string, dst any) (ok bool, err error) {
	err = rs.locked(func(_ *request, v *latchbolt.Values) error {
		ok, err = v.Get(name, dst)
		return err
	})
	return ok, err
}

// Names returns the names of all values, sorted.
func (rs RequestSession) Names() (names []string, err error) {
	err = rs.locked(func(_ *request, v *latchbolt.Values) error {
		names = v.Names()
		return nil
	})
	return names, err
}

// Set stores a value that encoding/json can encode. It is encoded now, so later changes inside it are not noticed.
func (rs RequestSession) Set(name string, value any) error {
	var one latchbolt.Values
	if err := one.Set(name, value); err != nil {
		return err
	}
	var raw rawValue
	if _, err := one.Get(name, &raw); err != nil {
		return err
	}
	return rs.change(func(v *latchbolt.Values) error { return v.Set(name, raw) })
}

// A rawValue is JSON that was encoded before.
type rawValue []byte

func (r rawValue) MarshalJSON() ([]byte, error)  { return r, nil }
func (r *rawValue) UnmarshalJSON(b []byte) error { *r = slices.Clone(b); return nil }

// Delete removes a value. If there is none, nothing is changed.
func (rs RequestSession) Delete(name string) error {
	there := false
	if err := rs.locked(func(_ *request, v *latchbolt.Values) error { there = v.Has(name); return nil }); err != nil || !there {
		return err
	}
	return rs.change(func(v *latchbolt.Values) error { v.Delete(name); return nil })
}

// Pop is Get and Delete.
func (rs RequestSession) Pop(name string, dst any) (bool, error) {
	ok, err := rs.Get(name, dst)
	if !ok || err != nil {
		return ok, err
	}
	return true, rs.Delete(name)
}

// Clear removes all values. The session goes on, with its user.
func (rs RequestSession) Clear() error {
	return rs.change(func(v *latchbolt.Values) error { v.Clear(); return nil })
}

// Flush ends the session now and takes the cookie back: values and user are gone. Values
// that are set afterwards begin another one. It is Django's flush.
func (rs RequestSession) Flush() error {
	return rs.act(func(s *request) error {
		err := s.a.Engine.Logout(below{s}, s.token)
		s.forget()
		return err
	})
}

// Renew gives the session a new token; the old one is dead. It is Django's cycle_key. Without a session it does nothing.
func (rs RequestSession) Renew() error {
	return rs.act(func(s *request) error {
		if s.token.IsZero() {
			return nil
		}
		if s.source != fromCookie {
			return ErrStateless // the new token would not get to the client
		}
		p, err := s.a.Engine.Renew(below{s}, s.token)
		return s.took(p, err)
	})
}

// SetExpiry makes the session end after d from now, whatever lifetime was configured. 0 or less ends it. It is saved
// together with the values, and is also for the session that values begin in this request. It is Django's set_expiry; that
// a cookie is forgotten when the browser closes is for [Auth.BrowserLength] and [latchbolt.LoginOptions] to say.
func (rs RequestSession) SetExpiry(d time.Duration) error {
	return rs.act(func(s *request) error {
		if s.source != fromCookie {
			return ErrStateless // there may be a new token, which would not get to the client
		}
		s.expiry = &d
		return nil
	})
}

// Info returns what is known of the session. The error is [latchbolt.ErrNoSession] if there is none.
func (rs RequestSession) Info() (p latchbolt.Session, err error) {
	err = rs.locked(func(s *request, _ *latchbolt.Values) error {
		if s.token.IsZero() {
			return latchbolt.ErrNoSession
		}
		p, err = s.a.Engine.Session(below{s}, s.token)
		if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
			return s.breakOff(err)
		}
		return err
	})
	return p, err
}

// act does what changes the session in the store at once.
func (rs RequestSession) act(fn func(s *request) error) error {
	return rs.locked(func(s *request, _ *latchbolt.Values) error {
		if s.source == fromBasic {
			return ErrStateless
		}
		if s.w.committed {
			return ErrHeaderSent
		}
		if err := fn(s); err != nil {
			if code, _ := Status(err); code != http.StatusServiceUnavailable || errors.Is(err, latchbolt.ErrBusy) {
				return err // it says something about the request
			}
			return s.breakOff(err)
		}
		return nil
	})
}

// took goes on with the session that a call of the engine returned.
func (s *request) took(p latchbolt.Session, err error) error {
	if err != nil {
		return err
	}
	if p.Token != s.token {
		s.token, s.raw = p.Token, p.Token.Reveal()
	}
	s.session = &p
	s.cookie = cookieSet
	return nil
}

// forget goes on without a session.
func (s *request) forget() {
	s.token, s.raw = latchbolt.Token{}, ""
	s.id, s.loaded, s.err = latchbolt.Identity{}, true, nil
	s.actor.Store(0)
	s.values, s.changes, s.expiry = new(latchbolt.Values), nil, nil
	s.cookie = cookieKeep
	if s.sent {
		s.cookie = cookieDrop
	}
}

// Login begins a session of a user who was just proved, by [latchbolt.Engine.Authenticate], and ends the one that the
// request had; see [latchbolt.Engine.Login]. Previous, Client and, unless Remember is set, BrowserLength of o are
// filled in. The values of a session without user or of the same user are carried over, changes of this request
// included. It is ErrStateless for a request that proved its user by a header.
func Login(r *http.Request, id latchbolt.Identity, o latchbolt.LoginOptions) (latchbolt.Session, error) {
	var p latchbolt.Session
	err := Session(r).act(func(s *request) (err error) {
		p, err = s.login(id, o)
		return err
	})
	return p, err
}

func (s *request) login(id latchbolt.Identity, o latchbolt.LoginOptions) (latchbolt.Session, error) {
	if s.source != fromCookie {
		return latchbolt.Session{}, ErrStateless
	}
	o.Previous, o.Client = s.token, s.client()
	if !o.Remember && s.a.BrowserLength {
		o.BrowserLength = true
	}
	same := s.id.Anonymous() || s.id.ID() == id.ID()
	p, err := s.a.Engine.Login(below{s}, id, o)
	if err != nil {
		return p, err
	}
	if err := s.took(p, nil); err != nil {
		return p, err
	}
	if !same {
		s.changes, s.expiry = nil, nil // they were the other user's
	}
	if s.expiry != nil && *s.expiry <= 0 {
		s.expiry = nil // the session that it was to end has ended
	}
	s.values = nil // read again, as they were carried over
	s.id, s.loaded, s.err = id, true, nil
	s.actor.Store(uint64(id.ID()))
	return p, nil
}

// Logout ends the session of the request. If the end cannot be written, the session
// is refused in this process all the same, and the answer will be 503.
func Logout(r *http.Request) error { return Session(r).Flush() }

// finish does what is left to do before an answer with a status leaves. It returns 0,
// or the status and the words of the answer that has to leave instead.
func (s *request) finish(status int) (instead int, words string) {
	if status >= 500 {
		return 0, ""
	}
	if s.broken != nil {
		return http.StatusServiceUnavailable, ""
	}
	if err := s.save(); err != nil {
		s.a.setup.log.Warn("authhttp: the session was not saved", "err", err)
		switch {
		case errors.Is(err, latchbolt.ErrNoSession):
			// The user may have logged out in another window; that stands.
			s.forget()
			return http.StatusBadRequest, "Your session ended before this was done. Please sign in again."
		case errors.Is(err, latchbolt.ErrInvalid):
			return http.StatusInternalServerError, ""
		}
		code, _ := Status(err)
		return max(code, http.StatusInternalServerError), ""
	}
	return 0, ""
}

// save writes the changes that were made to the session. A sealed session gets a new token
// if its old one is not of the last minute, since the token says when it was used.
func (s *request) save() error {
	sealed := s.sealed() && s.looked && s.source == fromCookie
	if len(s.changes) == 0 && s.expiry == nil && !sealed {
		return nil
	}
	if s.expiry != nil && *s.expiry <= 0 {
		var err error
		if !s.token.IsZero() {
			err = s.a.Engine.Logout(below{s}, s.token)
		}
		s.forget()
		return err
	}
	fresh := s.token.IsZero()
	if fresh {
		if s.values.Len() == 0 {
			return nil // there is nothing to keep
		}
		if err := s.beginSession(); err != nil {
			return err
		}
	}
	err := s.write()
	if err != nil && fresh {
		err = errors.Join(err, s.a.Engine.Logout(below{s}, s.token))
		s.forget()
	}
	return err
}

// beginSession begins a session without user, for values.
func (s *request) beginSession() error {
	if s.source != fromCookie {
		return ErrStateless
	}
	o := latchbolt.LoginOptions{Client: s.client(), BrowserLength: s.a.BrowserLength}
	if s.expiry != nil {
		o.Lifetime = *s.expiry
	}
	p, err := s.a.Engine.NewSession(below{s}, o)
	return s.took(p, err)
}

func (s *request) write() error {
	before := s.token
	t, err := s.a.Engine.UpdateValues(below{s}, s.token, func(v *latchbolt.Values) error {
		for _, change := range s.changes {
			if err := change(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || s.source != fromCookie || t == before && len(s.changes) == 0 && s.expiry == nil {
		return err
	}
	var p latchbolt.Session
	if s.expiry != nil {
		p, err = s.a.Engine.SetExpiry(below{s}, t, *s.expiry)
	} else {
		p, err = s.a.Engine.Session(below{s}, t)
	}
	return s.took(p, err)
}

// headers adds to the header of an answer what follows from who asked.
func (s *request) headers(h http.Header) {
	if s.cookie != cookieKeep && s.source == fromCookie {
		h.Add("Set-Cookie", s.setCookie().String())
		untarget(h)
		h.Set("Cache-Control", "no-store")
		s.looked = true
	} else if s.looked && (!s.token.IsZero() || !s.id.Anonymous()) {
		private(h)
	}
	if s.looked {
		vary(h, "Cookie")
		if len(s.schemes) > 0 {
			vary(h, "Authorization")
		}
	}
}

// setCookie is the cookie that the client has to get.
func (s *request) setCookie() *http.Cookie {
	c := &http.Cookie{Name: s.a.setup.name, Path: "/", HttpOnly: true, Secure: !s.a.Insecure, SameSite: http.SameSiteLaxMode}
	if s.cookie == cookieDrop {
		c.MaxAge, c.Expires = -1, time.Unix(0, 0)
		return c
	}
	c.Value = s.raw
	if !s.session.BrowserLength {
		left := s.session.Expires.Sub(s.a.Engine.Now())
		c.MaxAge = int(max(min(left/time.Second, math.MaxInt32), 1))
		c.Expires = s.session.Expires
	}
	return c
}

// Shared by all answers; see [header].
var (
	varyCookie = []string{"Cookie"}
	noStore    = []string{"no-store"}
)

// vary makes caches tell answers apart by a header of the request.
func vary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for v := range strings.SplitSeq(line, ",") {
			if v = strings.TrimSpace(v); v == "*" || strings.EqualFold(v, name) {
				return
			}
		}
	}
	if len(h["Vary"]) == 0 && name == "Cookie" {
		h["Vary"] = varyCookie
		return
	}
	if len(h["Vary"]) == 0 {
		h.Set("Vary", name)
		return
	}
	h.Set("Vary", strings.Join(h["Vary"], ", ")+", "+name)
}

// untarget takes out what goes before Cache-Control where it is understood: the headers of RFC 9213, whose
// names end alike, and the older one.
func untarget(h http.Header) {
	const ending = "-cache-control"
	for name := range h {
		if n := len(name) - len(ending); n > 0 && name[len(name)-1]|0x20 == 'l' && (strings.EqualFold(name[n:], ending) || strings.EqualFold(name, "surrogate-control")) {
			delete(h, name)
		}
	}
}

// private keeps an answer for one person out of caches that others share. What the handler
// says beyond that stays.
func private(h http.Header) {
	untarget(h)
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = noStore
		return
	}
	var keep []string
	closed := false
	for _, line := range h["Cache-Control"] {
		if strings.Contains(line, `"`) { // a comma in it may separate nothing; nobody has to tell how it is read
			h["Cache-Control"] = noStore
			return
		}
		for d := range strings.SplitSeq(line, ",") {
			d = strings.TrimSpace(d)
			name, value, _ := strings.Cut(strings.ToLower(d), "=")
			switch name {
			case "", "public", "s-maxage", "proxy-revalidate", "must-understand": // the last overrules no-store (RFC 9111, section 5.2.2.3)
				continue
			case "private":
				if value != "" {
					continue // it closes some fields only
				}
				closed = true
			case "no-store":
				closed = true
			}
			keep = append(keep, d)
		}
	}
	if !closed {
		keep = append(keep, "private")
	}
	h.Set("Cache-Control", strings.Join(keep, ", "))
}
