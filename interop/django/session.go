package django

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// A session is one that is not over, signed with one of the keys, and decoded.
type session struct {
	place
	label   string // for notes
	key     string
	id      int64 // primary key of the user; 0: anonymous
	user    int   // its place in the plan, set by resolve
	hash    string
	path    string // of the backend
	brought latchbolt.BroughtSession
}

// backends are Django's own, by path.
var backends = map[string]string{
	"django.contrib.auth.backends.ModelBackend":                   "password",
	"django.contrib.auth.backends.AllowAllUsersModelBackend":      "password-all",
	"django.contrib.auth.backends.RemoteUserBackend":              "remote",
	"django.contrib.auth.backends.AllowAllUsersRemoteUserBackend": "remote-all",
}

// letsInactiveIn are the names here of those that do.
var letsInactiveIn = map[string]bool{"password-all": true, "remote-all": true}

// addSession decodes a session and keeps it if it may go on. What can be told without its user is told
// here, so that a table full of old sessions takes no memory.
func (p *plan) addSession(rec *djformat.Session, at place) {
	at.model = modelSession
	s := session{place: at, label: "row " + strconv.Itoa(at.record), key: rec.Key}
	if reason := p.decodeSession(&s, rec); reason != "" {
		p.report.skip(at.note(s.label, reason))
		return
	}
	p.sessions = append(p.sessions, s)
}

// decodeSession fills in s, or returns why the session cannot go on.
func (p *plan) decodeSession(s *session, rec *djformat.Session) (reason string) {
	switch {
	case p.opts.SecretKey == "":
		return reasonNoSecret
	case !rec.ExpireDate.After(p.now):
		return reasonExpired
	}
	data, err := p.keys.DecodeSession(rec.Data)
	switch {
	case errors.Is(err, djformat.ErrSignature):
		return reasonSignature
	case err != nil:
		return reasonPayload
	}
	s.brought.Created, s.brought.Expires = data.SignedAt, rec.ExpireDate.Time
	if life := p.opts.SessionLifetime; life > 0 && s.brought.Expires.After(p.now.Add(life)) {
		s.brought.Expires = p.now.Add(life)
	}
	// An expiry that cannot be read only ever concerned the cookie.
	expiry, err := data.Expiry()
	s.brought.BrowserLength = err == nil && expiry.AtBrowserClose(false)
	if s.brought.Values, err = ownValues(data); err != nil {
		return reasonValues
	}
	login, ok := data.Login()
	if !ok {
		if s.brought.Values.Len() == 0 {
			return reasonEmpty
		}
		return ""
	}
	s.id, err = strconv.ParseInt(login.UserID, 10, 64)
	if err != nil || s.id < 1 || strconv.FormatInt(s.id, 10) != login.UserID {
		return reasonNobody
	}
	s.label = fmt.Sprintf("of user %d", s.id)
	s.hash, s.path = login.Hash, login.Backend
	return ""
}

// ownValues are the values of a session but for those that are Django's own.
func ownValues(data *djformat.SessionData) (*latchbolt.Values, error) {
	v := new(latchbolt.Values)
	for name, raw := range data.Values {
		if strings.HasPrefix(name, "_auth_user_") || name == "_session_expiry" || name == "_password_reset_token" {
			continue
		}
		if err := v.Set(name, raw); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// resolveSessions finds the users of the sessions, and leaves out those whose user would not be logged in.
func (p *plan) resolveSessions(users *index[string]) error {
	seen := make(map[string]bool, len(p.sessions))
	kept := p.sessions[:0]
	for _, s := range p.sessions {
		if seen[s.key] {
			return s.errorf("pk", "occurs twice")
		}
		seen[s.key] = true
		if reason := p.admit(&s, users); reason != "" {
			p.report.skip(s.note(s.label, reason))
			continue
		}
		kept = append(kept, s)
	}
	p.sessions = kept
	return nil
}

// admit does what Django's get_user does, in the same order, and returns why nobody is logged in.
func (p *plan) admit(s *session, users *index[string]) (reason string) {
	if s.id == 0 {
		return ""
	}
	name, ok := p.opts.Backends[s.path]
	if !ok {
		name, ok = backends[s.path]
	}
	if !ok || name == "" {
		return reasonBackend
	}
	// Only by primary keys of the dump: an identifier that is given now could be anybody's in Django.
	i, ok := users.byID[s.id]
	if !ok {
		return reasonNobody
	}
	u := &p.users[i]
	if u.user.Inactive && !letsInactiveIn[name] {
		return reasonInactive
	}
	if _, ok := p.keys.VerifySessionAuthHash(s.hash, u.password); !ok {
		return reasonHash
	}
	s.user, s.brought.Backend = i, name
	return ""
}
