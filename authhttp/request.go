package authhttp

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

var (
	// ErrNoHandler means that the request did not come through [Auth.Handler].
	ErrNoHandler = errors.New("authhttp: the request did not come through Auth.Handler")
	// ErrHeaderSent means that it is too late: the header of the answer has left.
	ErrHeaderSent = errors.New("authhttp: the header was sent already")
	// ErrStateless means that the request has no session and cannot begin one, because it
	// proved its user by Basic or by a token in a header; or that what was asked for takes a new token, which would not
	// get to a client that sends its token in a header.
	ErrStateless = errors.New("authhttp: this request cannot have a session")
)

type requestKey struct{}

// A request is what this package knows of one request. It is also the context of
// the request as the handlers see it: the actor for the audit trail is that of the moment in
// which it is asked for, and nothing is looked up for those who do not ask.
type request struct {
	context.Context // of the request as it came in
	a               *Auth
	in              *http.Request
	w               writer

	found sync.Once
	from  netip.Addr // of the client; see addr

	actor  atomic.Uint64 // the user, as far as it was asked for
	acting atomic.Pointer[actingContext]

	mu      sync.Mutex // guards all below
	looked  bool       // the answer depends on who asks
	source  source
	schemes []string // challenges for a 401
	broken  error    // no answer of the handler's may leave but an error of the server
	late    error    // the same, after the header has left: nothing more may
	loaded  bool     // id and err are valid
	id      latchbolt.Identity
	err     error
	proxied bool // the proxy proved the user in this very request
	read    bool // token and sent are valid
	token   latchbolt.Token
	raw     string // the text of token as the client has it
	sent    bool   // the client sent a cookie
	values  *latchbolt.Values
	changes []func(*latchbolt.Values) error
	expiry  *time.Duration // nil: as it is
	cookie  cookieChange
	session *latchbolt.Session // for cookieSet
}

type source uint8

const (
	fromCookie source = iota
	fromBearer
	fromBasic
)

type cookieChange uint8

const (
	cookieKeep cookieChange = iota
	cookieSet
	cookieDrop
)

type actingContext struct {
	context.Context
	id latchbolt.UserID
}

// Value adds the request itself and its actor to what the context has.
func (s *request) Value(key any) any {
	if key == (requestKey{}) {
		return s
	}
	id := latchbolt.UserID(s.actor.Load())
	c := s.acting.Load()
	if c == nil || c.id != id {
		c = &actingContext{latchbolt.WithActor(s.Context, id, s.addr()), id}
		s.acting.Store(c)
	}
	return c.Value(key)
}

// below is the context for calls of the engine while the request is locked: whoever gets it, such as a backend of the
// program's own, is told that there is no request, and does not wait for itself.
type below struct{ *request }

func (b below) Value(key any) any {
	if key == (requestKey{}) {
		return nil
	}
	return b.request.Value(key)
}

func of(ctx context.Context) (*request, error) {
	if s, ok := ctx.Value(requestKey{}).(*request); ok {
		return s, nil
	}
	return nil, ErrNoHandler
}

// User returns who makes the request; the zero Identity is nobody. It is looked up at the first
// call, and the answer then says that it depends on the cookie.
//
// An error means that it is not known who asks, because the store cannot answer. It must
// not be taken for nobody, and cannot be: whatever the handler goes on to write, the
// answer will be 503, unless it is an error of the server already.
func User(r *http.Request) (latchbolt.Identity, error) { return FromContext(r.Context()) }

// FromContext is [User] for code that has the context of the request only.
func FromContext(ctx context.Context) (latchbolt.Identity, error) {
	s, err := of(ctx)
	if err != nil {
		return latchbolt.Identity{}, err
	}
	return s.user()
}

// ClientAddr returns the address of the client, as [Auth.TrustedProxies] says. It is
// not valid if it is not known, as behind a Unix socket.
func ClientAddr(r *http.Request) netip.Addr {
	s, err := of(r.Context())
	if err != nil {
		return peerAddr(r)
	}
	return s.addr()
}

func (s *request) client() latchbolt.Client {
	return latchbolt.Client{Addr: s.addr(), Agent: s.in.UserAgent()}
}

// breakOff makes sure that nothing of the handler's answer leaves, because a question was
// asked that could not be answered, and returns err.
func (s *request) breakOff(err error) error {
	if s.broken == nil {
		s.broken = err
	}
	if s.w.committed {
		s.late = err
	}
	return err
}

// look notes that the answer depends on who asks.
func (s *request) look() error {
	if !s.looked && s.w.committed {
		s.a.setup.log.Error("authhttp: a handler asked for the user or the session after the header was sent", "path", s.a.logPath(s.in))
		return s.breakOff(ErrHeaderSent)
	}
	s.looked = true
	return nil
}

func (s *request) user() (latchbolt.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.userLocked()
}

func (s *request) userLocked() (latchbolt.Identity, error) {
	if s.loaded {
		return s.id, s.err
	}
	if err := s.look(); err != nil {
		return latchbolt.Identity{}, err
	}
	s.loaded = true
	s.readToken()
	if !s.token.IsZero() {
		s.id, s.err = s.a.Engine.SessionUser(below{s}, s.token)
		if errors.Is(s.err, latchbolt.ErrNoSession) {
			s.err = nil
			s.dead()
		}
	}
	if s.err == nil && s.a.RemoteUser != nil && s.source == fromCookie {
		s.err = s.remote()
	}
	if s.err != nil {
		s.id = latchbolt.Identity{}
		return s.id, s.breakOff(s.err)
	}
	s.actor.Store(uint64(s.id.ID()))
	return s.id, nil
}

// dead notes that what the client has is no living session.
func (s *request) dead() {
	s.token, s.raw = latchbolt.Token{}, ""
	if s.source == fromCookie && s.sent {
		s.cookie = cookieDrop
	}
}

// readToken reads the token from the cookie, once. Of several cookies of the name that do not agree
// none counts: one of them was put there by somebody else.
func (s *request) readToken() {
	if s.read {
		return
	}
	s.read = true
	var text string
	if text, s.sent = cookieNamed(s.in, s.a.setup.name); !s.sent {
		return
	}
	t, err := latchbolt.ParseToken(text)
	if err != nil {
		s.dead()
		return
	}
	s.token, s.raw = t, text
}

// plainLine is how long a Cookie header can be that is read here; what is longer is left to net/http, which has a limit for the
// number of cookies.
const plainLine = 2 << 10

// cookieNamed returns the value of the cookie of a name, or "" if there are several that do not agree, and whether there is any.
// What counts is how net/http reads the header. Where the name occurs once, as nearly always, that is found without making a list.
func cookieNamed(r *http.Request, name string) (text string, sent bool) {
	lines := r.Header["Cookie"]
	if len(lines) == 0 {
		return "", false
	}
	if len(lines) == 1 && len(lines[0]) <= plainLine {
		before, rest, _ := strings.Cut(lines[0], name)
		if len(before)+len(rest) == len(lines[0]) {
			return "", false // the name does not occur
		}
		if text, ok := plainValue(before, rest); ok && !strings.Contains(rest, name) {
			return text, true
		}
	}
	for i, c := range r.CookiesNamed(name) {
		if i > 0 && c.Value != text {
			return "", true
		}
		text, sent = c.Value, true
	}
	return text, sent
}

// plainValue returns the value of the cookie between whose name and the beginning and end of the header stand before and
// rest. It is not ok if anything is there that has to be looked at twice.
func plainValue(before, rest string) (value string, ok bool) {
	if before != "" && !strings.HasSuffix(before, ";") && !strings.HasSuffix(before, "; ") || !strings.HasPrefix(rest, "=") {
		return "", false
	}
	value, _, _ = strings.Cut(rest[1:], ";")
	for _, c := range []byte(value) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' && c != '.' {
			return "", false
		}
	}
	return value, true
}

// sealed reports whether sessions live in their tokens, which only get a later end by being replaced.
func (s *request) sealed() bool { return strings.HasPrefix(s.raw, "s.") }

// wantsPage reports whether a person looks at the answer, so that a redirect to a page makes sense.
func wantsPage(r *http.Request) bool {
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Requested-With") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	for _, accept := range r.Header.Values("Accept") {
		if strings.Contains(accept, "text/html") {
			return true
		}
	}
	return false
}
