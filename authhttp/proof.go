package authhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt"
)

// BasicAuth also takes a name and a password from the Authorization header
// (RFC 7617), which are checked for every request as at a login, with all it costs. There is no
// session. Wrong ones are answered 401, too many 429; a request without them passes as it is: put
// [Auth.RequireLogin] or the like inside.
func (a *Auth) BasicAuth(next http.Handler) http.Handler {
	a.ready()
	challenge := `Basic realm="` + a.setup.realm + `", charset="UTF-8"`
	return a.proving(next, "Basic", challenge, func(s *request, r *http.Request) error {
		name, password, ok := r.BasicAuth()
		if !ok {
			return latchbolt.ErrCredentials
		}
		id, err := a.Engine.Authenticate(below{s}, latchbolt.Password{Username: name, Password: password, Client: s.client()})
		if err != nil {
			return err
		}
		s.begin(fromBasic, id, latchbolt.Token{}, "")
		return nil
	})
}

// Bearer also takes the token of a session from the Authorization header (RFC
// 6750), for programs: [latchbolt.Token.Reveal] gives its text. A token that proves no living session is
// answered 401, never taken for nobody; a request without one passes as it is.
func (a *Auth) Bearer(next http.Handler) http.Handler {
	a.ready()
	challenge := `Bearer realm="` + a.setup.realm + `"`
	return a.proving(next, "Bearer", challenge, func(s *request, r *http.Request) error {
		_, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		text = strings.Trim(text, " ")
		t, err := latchbolt.ParseToken(text)
		if err != nil {
			return err
		}
		id, err := a.Engine.SessionUser(below{s}, t)
		if err != nil {
			return err
		}
		s.begin(fromBearer, id, t, text)
		return nil
	})
}

// proving wraps next so that a scheme of the Authorization header counts. If the header is there, the
// cookie does not count.
func (a *Auth) proving(next http.Handler, scheme, challenge string, prove func(*request, *http.Request) error) http.Handler {
	return a.inside(func(w http.ResponseWriter, r *http.Request) {
		s, _ := of(r.Context())
		s.mu.Lock()
		s.schemes = append(s.schemes, challenge)
		s.mu.Unlock()
		values := r.Header.Values("Authorization")
		if len(values) == 0 || !hasScheme(values[0], scheme) {
			next.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.looked = true
		err := latchbolt.ErrCredentials
		if len(values) == 1 {
			err = prove(s, r)
		}
		s.mu.Unlock()
		if err != nil {
			if errors.Is(err, latchbolt.ErrNoSession) {
				w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
				a.writeFailure(w, r, http.StatusUnauthorized, 0, "")
				return
			}
			a.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hasScheme(value, scheme string) bool {
	s, _, _ := strings.Cut(value, " ")
	return strings.EqualFold(s, scheme)
}

// begin goes on as a user who was proved in another way than by the cookie.
func (s *request) begin(from source, id latchbolt.Identity, t latchbolt.Token, text string) {
	s.source, s.id, s.loaded, s.err = from, id, true, nil
	s.read, s.token, s.raw, s.cookie = true, t, text, cookieKeep
	s.values, s.changes, s.expiry, s.proxied = nil, nil, nil, false // they were of the cookie, or the proxy
	s.actor.Store(uint64(id.ID()))
}

// RemoteUser says how a proxy in front of the program tells whom it authenticated. Set it only
// if nobody can reach the program but through the proxy, and if the proxy removes the header from what
// clients send. The engine needs a [latchbolt.RemoteUserBackend].
type RemoteUser struct {
	// Header is the one header with the user's name, such as "X-Remote-User". It counts if it is there
	// exactly once; names with an underscore for a hyphen never count.
	Header string
	// From are the addresses of the proxies. There has to be at least one; the header from
	// anybody else is ignored.
	From []netip.Prefix
	// Backend is the name of the backend if it is not one of [latchbolt.RemoteUserBackend].
	Backend string
	// Persistent keeps the session when the header is not there any more, for proxies
	// that send it with the login only. Otherwise the session ends.
	Persistent bool
}

func (u *RemoteUser) check() error {
	if u.Header == "" || http.CanonicalHeaderKey(u.Header) != u.Header || strings.Contains(u.Header, "_") {
		return fmt.Errorf("the Header %q has to be the name of a header in its usual form, such as X-Remote-User", u.Header)
	}
	if slices.Contains([]string{"Cookie", "Host", "Authorization", "X-Forwarded-For", "Forwarded"}, u.Header) {
		return fmt.Errorf("the Header cannot be %s", u.Header)
	}
	if len(u.From) == 0 {
		return errors.New("empty From: everybody could be anybody")
	}
	for _, p := range u.From {
		if !p.IsValid() {
			return errors.New("a prefix in From is not valid")
		}
	}
	return nil
}

// name returns whom the proxy named, or "".
func (u *RemoteUser) name(r *http.Request) string {
	if !contains(u.From, peerAddr(r)) {
		return ""
	}
	values := r.Header[u.Header]
	if len(values) != 1 {
		return ""
	}
	return strings.Trim(values[0], " \t")
}

func (u *RemoteUser) came(id latchbolt.Identity) bool {
	switch b := id.Backend(); b {
	case "":
		return false
	case u.Backend:
		return true
	default:
		return u.Backend == "" && (b == "remote" || b == "remote-all")
	}
}

// remote makes the user of the session the one whom the proxy names. Without a name it ends the
// sessions that began that way, and no others.
func (s *request) remote() error {
	u := s.a.RemoteUser
	name := u.name(s.in)
	if name == "" {
		if u.Persistent || !u.came(s.id) {
			return nil
		}
		return s.endRemote()
	}
	id, err := s.a.Engine.Authenticate(below{s}, latchbolt.RemoteUser{Username: name, Client: s.client()})
	if errors.Is(err, latchbolt.ErrCredentials) {
		if s.id.Anonymous() {
			return nil
		}
		return s.endRemote() // the proxy says that it is somebody else, who may not enter
	}
	if err != nil {
		return err
	}
	s.proxied = true
	if s.id.ID() == id.ID() {
		return nil
	}
	if !s.id.Anonymous() {
		if err := s.endRemote(); err != nil {
			return err
		}
	}
	_, err = s.login(id, latchbolt.LoginOptions{})
	if errors.Is(err, latchbolt.ErrCredentials) {
		return nil // deactivated or deleted at this moment
	}
	return err
}

func (s *request) endRemote() error {
	err := s.a.Engine.Logout(below{s}, s.token)
	s.forget()
	return err
}
