package authhttp

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// An Auth puts an engine into a web program. Its fields say how; only Engine is
// required, and the zero value of every other field is a safe default. The fields
// must not be changed after the first call of a method, and an Auth must not be copied then.
//
// What is wrong with the fields is said by [Auth.Check]; [Auth.Handler] and [Auth.Accounts]
// panic with the same words, since they are called when a program is set up.
// The methods may be called concurrently.
type Auth struct {
	// Engine decides everything. It stays the caller's, who closes it after the server.
	Engine *latchbolt.Engine

	// BaseURL is the address under which people reach the program, such as
	// "https://intranet.example.org", without a path. Links in mails are made of it
	// and of nothing that a request says, so they need it. If it is set, it is
	// also the only host of the program's own that redirects may name; otherwise that is the
	// host of the request.
	BaseURL string
	// RedirectHosts are further hosts, with port if it is not the usual one, to which
	// people may be sent after a login or logout. Nil means none.
	RedirectHosts []string
	// TrustedOrigins are origins, such as "https://app.example.org", whose pages
	// may send requests that change something. Nil means none but the program's own.
	TrustedOrigins []string
	// TrustedProxies are the addresses of proxies whose word about the client's address
	// is taken. Nil means none: then the client is who opened the connection.
	TrustedProxies []netip.Prefix
	// ForwardedHeader is the one header in which the trusted proxies tell the
	// client's address: "X-Forwarded-For", which is also what "" means, or "Forwarded" (RFC 7239).
	ForwardedHeader string
	// RemoteUser takes users from a proxy that authenticates them. Nil means not.
	RemoteUser *RemoteUser

	// Insecure is for development on a machine without TLS: cookies are sent without
	// Secure and "__Host-", and http is taken for good enough. It is logged as a warning.
	Insecure bool
	// CookieName is the name of the session cookie, to which "__Host-" is added. "" means
	// "latchbolt".
	CookieName string
	// BrowserLength makes the browser forget the cookie when it is closed, unless
	// "remember me" was ticked.
	BrowserLength bool
	// CSP is the Content-Security-Policy that pages of the program get if they set
	// none. "" means [DefaultCSP]. The views of this package always have their own.
	CSP string
	// NoHSTS leaves out Strict-Transport-Security, which is otherwise sent with
	// every answer: one year, subdomains included. Set it where a subdomain has no TLS.
	NoHSTS bool

	// Prefix is the path under which [Auth.Accounts] is mounted. "" means "/accounts/".
	Prefix string
	// LoginURL is where people are sent to log in. "" means "login/" under Prefix.
	LoginURL string
	// LoginRedirect and LogoutRedirect are where people go afterwards if the
	// request does not say. "" means "/" after a login and a page that says so
	// after a logout.
	LoginRedirect, LogoutRedirect string
	// RedirectSignedIn sends who is signed in already on from the login page. Other sites
	// can find out that way who is.
	RedirectSignedIn bool
	// LoginRequired makes everything behind Handler require a login but what Exempt names
	// and the views that have to be reached without one.
	LoginRequired bool
	// Exempt are patterns of [http.ServeMux], such as "GET /public/", for LoginRequired. Only
	// a request that matches directly is exempt, not one that would be redirected to it, nor one
	// whose path has an escaped slash, which routers do not agree about.
	Exempt []string
	// Realm names the program to clients that are asked for credentials, and on the
	// pages. "" means "latchbolt".
	Realm string
	// Home is where the name of the program leads on the pages. "" means "/".
	Home string
	// FixedProfile takes the form away in which people change their own name and
	// address.
	FixedProfile bool

	// SendReset sends a mail with a link to set a new password. It is called on a
	// goroutine of its own, after the answer; it may be slow, fail or panic
	// without anybody seeing a difference. Nil means that people have to
	// ask for a link; see [Auth.ResetURL]. It needs BaseURL.
	SendReset SendReset

	// Templates replaces templates of the views by files of the same name. Nil
	// means none. See docs/WEB.md for names and data.
	Templates fs.FS
	// Texts returns the texts for a request. Nil means English.
	Texts func(*http.Request) *Texts
	// Logger is told what no visitor can be told. Nil means slog.Default.
	Logger *slog.Logger

	once  sync.Once
	setup settings
	err   error
}

// DefaultCSP is the Content-Security-Policy of pages that set none: scripts, styles and
// everything else from the same origin only, none inside the page, no frames around it.
const DefaultCSP = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// settings is what is made of the fields, once.
type settings struct {
	name     string   // of the cookie
	base     *url.URL // nil if none is configured
	origins  *http.CrossOriginProtection
	trusted  map[string]bool // TrustedOrigins
	headers  []header
	prefix   string
	loginURL string
	exempt   [2]*http.ServeMux // of Exempt, and of the views
	log      *slog.Logger
	realm    string
	pages    *pages
	mails    *mailer
	code     setupCode
}

// A header is one that every answer starts with. The slice is shared by all of
// them, which is sound because nobody writes into the values of a header: Set
// replaces the slice and Add copies it, since it is full.
type header struct {
	key   string
	value []string
}

const cookiePrefix = "__Host-"

// Check says what is wrong with the fields, or nil.
func (a *Auth) Check() error {
	a.once.Do(func() { a.err = a.prepare() })
	return a.err
}

// ready panics if the fields are wrong: a program must not start that way.
func (a *Auth) ready() *settings {
	if err := a.Check(); err != nil {
		panic(err)
	}
	return &a.setup
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (a *Auth) prepare() error {
	s := &a.setup
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("authhttp: Auth."+format, args...))
	}
	if a.Engine == nil {
		bad("Engine is nil")
	}
	s.log = a.Logger
	if s.log == nil {
		s.log = slog.Default()
	}
	s.name = orElse(a.CookieName, "latchbolt")
	if strings.HasPrefix(s.name, "__") || (&http.Cookie{Name: s.name, Value: "x"}).Valid() != nil {
		bad("CookieName %q cannot be the name of a cookie", s.name)
	}
	if !a.Insecure {
		s.name = cookiePrefix + s.name
	}
	s.realm = orElse(a.Realm, "latchbolt")
	if strings.ContainsAny(s.realm, "\"\\\r\n\x00") {
		bad("Realm must not contain quotation marks, backslashes or line breaks")
	}
	a.prepareURLs(bad)
	a.prepareOrigins(bad)
	a.prepareProxies(bad)
	s.headers = a.securityHeaders()
	if err := a.prepareExempt(); err != nil {
		bad("Exempt: %v", err)
	}
	var err error
	if s.pages, err = newPages(a.Templates); err != nil {
		bad("Templates: %v", err)
	}
	s.mails = newMailer(a)
	if len(errs) == 0 && a.Insecure {
		s.log.Warn("authhttp: Insecure is set: cookies and passwords can be read on the network; never use it in production")
	}
	return errors.Join(errs...)
}

func (a *Auth) prepareURLs(bad func(string, ...any)) {
	s := &a.setup
	s.prefix = orElse(a.Prefix, "/accounts/")
	if !strings.HasPrefix(s.prefix, "/") || !strings.HasSuffix(s.prefix, "/") || finalLocation(s.prefix) != s.prefix || strings.ContainsAny(s.prefix, "?#{}") || strings.HasPrefix(s.prefix, "//") {
		bad("Prefix %q has to be a path that starts and ends with a slash", s.prefix)
	}
	s.loginURL = orElse(a.LoginURL, s.prefix+"login/")
	if a.BaseURL != "" {
		u, err := url.Parse(a.BaseURL)
		if err != nil || u.Hostname() == "" || u.ForceQuery || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
			bad("BaseURL %q has to be scheme and host, such as https://intranet.example.org", a.BaseURL)
		} else if u.Scheme == "http" && !a.Insecure {
			bad("BaseURL %q has to be https, unless Insecure is set", a.BaseURL)
		} else {
			u.Path = ""
			s.base = u
		}
	}
	if a.SendReset != nil && a.BaseURL == "" {
		bad("SendReset needs BaseURL: links in mails are never made of what a request says")
	}
	for _, h := range a.RedirectHosts {
		if u, err := url.Parse("https://" + h); err != nil || u.Host != h || h == "" {
			bad("RedirectHosts: %q is not a host", h)
		}
	}
	for name, to := range map[string]string{"LoginURL": s.loginURL, "LoginRedirect": a.LoginRedirect, "LogoutRedirect": a.LogoutRedirect, "Home": a.Home} {
		if to != "" && (finalLocation(to) != to || !rooted(to)) {
			bad("%s %q has to be an address in ASCII: a path that starts with a slash, or with scheme and host", name, to)
		}
	}
}

// rooted reports whether an address means the same on every page.
func rooted(to string) bool {
	u, err := url.Parse(to)
	return err == nil && (strings.HasPrefix(to, "/") || u.Scheme != "" && u.Host != "")
}

func (a *Auth) prepareOrigins(bad func(string, ...any)) {
	s := &a.setup
	s.origins = http.NewCrossOriginProtection()
	s.trusted = make(map[string]bool)
	origins := a.TrustedOrigins
	if s.base != nil {
		origins = append([]string{s.base.String()}, origins...)
	}
	for _, o := range origins {
		if err := s.origins.AddTrustedOrigin(o); err != nil {
			bad("TrustedOrigins: %v", err)
		}
		s.trusted[o] = true
	}
}

func (a *Auth) prepareProxies(bad func(string, ...any)) {
	switch a.ForwardedHeader {
	case "", "X-Forwarded-For", "Forwarded":
	default:
		bad("ForwardedHeader is %q; it can be X-Forwarded-For or Forwarded", a.ForwardedHeader)
	}
	for _, p := range a.TrustedProxies {
		if !p.IsValid() {
			bad("TrustedProxies has a prefix that is not valid")
		}
	}
	if r := a.RemoteUser; r != nil {
		if err := r.check(); err != nil {
			bad("RemoteUser: %v", err)
		}
	}
}

// securityHeaders returns what every answer starts with.
func (a *Auth) securityHeaders() []header {
	hs := []header{
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"Referrer-Policy", []string{"same-origin"}},
		{"Cross-Origin-Opener-Policy", []string{"same-origin"}},
		{"Content-Security-Policy", []string{orElse(a.CSP, DefaultCSP)}},
	}
	if !a.Insecure && !a.NoHSTS {
		hs = append(hs, header{"Strict-Transport-Security", []string{fmt.Sprintf("max-age=%d; includeSubDomains", int(365*24*time.Hour/time.Second))}})
	}
	return hs
}

func (a *Auth) secure(h http.Header) {
	for _, s := range a.setup.headers {
		h[s.key] = s.value
	}
}

// secureAgain puts back what is missing: after an informational answer, [net/http/httputil.ReverseProxy] takes away all
// that the header of the answer had.
func (a *Auth) secureAgain(h http.Header) {
	for _, s := range a.setup.headers {
		if _, ok := h[s.key]; !ok {
			h[s.key] = s.value
		}
	}
}

// Handler returns next with everything of this package that concerns a request around it: requests
// that change something and come from other sites are refused, security headers are set, and
// [User], [Session] and the Require methods work. It belongs around the whole
// program, the views included. It panics if a field of a is wrong; see [Auth.Check].
func (a *Auth) Handler(next http.Handler) http.Handler {
	a.ready()
	if a.LoginRequired {
		next = a.unlessExempt(next)
	}
	return a.around(next)
}

func (a *Auth) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := r.Context().Value(requestKey{}).(*request); ok && s.a == a {
			next.ServeHTTP(w, r) // it is around already
			return
		}
		a.secure(w.Header())
		s := &request{Context: r.Context(), a: a, in: r}
		s.w = writer{ResponseWriter: w, s: s}
		if len(a.TrustedProxies) > 0 {
			s.addr() // now: writes beside the request ask for it while a handler may change the header
		}
		if err := a.crossOrigin(r); err != nil {
			a.setup.log.Warn("authhttp: refused a request from another site", "method", r.Method, "addr", s.addr().String(), "err", err)
			a.fail(s.w.outer(), r.WithContext(s), http.StatusForbidden, 0, "This request did not come from a page of this site.")
			return
		}
		r = r.WithContext(s)
		next.ServeHTTP(s.w.outer(), r)
		s.w.end()
	})
}

var errOldOrigin = errors.New("the Origin is of the http scheme, and this site is of https; for development without TLS set Auth.Insecure")

// crossOrigin refuses requests that change something and come from other origins. Beyond
// what the standard library refuses, an Origin over http is none of this site if the site is https.
func (a *Auth) crossOrigin(r *http.Request) error {
	if err := a.setup.origins.Check(r); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	o := r.Header.Get("Origin")
	if !a.Insecure && strings.HasPrefix(o, "http:") && !a.setup.trusted[o] {
		return errOldOrigin
	}
	return nil
}
