package authhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/latchbolt-go/latchbolt"
)

// RequireLogin lets only users through who are signed in. Others are sent to the login page, with
// the way back, if they are people, and answered 401 if they are programs.
func (a *Auth) RequireLogin(next http.Handler) http.Handler {
	return a.require(next, func(_ *http.Request, id latchbolt.Identity) (bool, error) { return !id.Anonymous(), nil })
}

// RequireStaff lets only active users through who are marked as staff; see [latchbolt.User].
func (a *Auth) RequireStaff(next http.Handler) http.Handler {
	return a.require(next, func(_ *http.Request, id latchbolt.Identity) (bool, error) { return id.Active() && id.Staff(), nil })
}

// RequirePerm lets only users through who have all permissions given, as of now. As in Django it asks for
// the permissions first, which a backend can also give to who is not signed in. Who is signed in
// and lacks one is answered 403. It panics if no permission is given.
func (a *Auth) RequirePerm(perms ...latchbolt.Perm) func(http.Handler) http.Handler {
	if len(perms) == 0 {
		panic("authhttp: RequirePerm without a permission lets everybody through")
	}
	return a.RequireFunc(func(r *http.Request, id latchbolt.Identity) (bool, error) {
		return a.Engine.HasPerms(r.Context(), id, perms)
	})
}

// RequireFunc lets through whom fn lets through. fn may be called for nobody, the
// zero Identity, and concurrently. If it returns an error, nobody passes.
func (a *Auth) RequireFunc(fn func(r *http.Request, id latchbolt.Identity) (bool, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return a.require(next, fn) }
}

func (a *Auth) require(next http.Handler, fn func(*http.Request, latchbolt.Identity) (bool, error)) http.Handler {
	a.ready()
	return a.inside(func(w http.ResponseWriter, r *http.Request) {
		id, err := User(r)
		if err != nil {
			a.Fail(w, r, err)
			return
		}
		ok, err := fn(r, id)
		switch {
		case err != nil:
			a.Fail(w, r, err)
		case ok:
			next.ServeHTTP(w, r)
		case id.Anonymous():
			a.askLogin(w, r)
		default:
			a.fail(w, r, http.StatusForbidden, 0, "")
		}
	})
}

// inside runs fn inside [Auth.Handler], around which it puts that if the program did not.
func (a *Auth) inside(fn http.HandlerFunc) http.Handler {
	a.ready()
	wrapped := a.around(fn)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := of(r.Context()); err == nil && s.a == a {
			fn(w, r)
			return
		}
		wrapped.ServeHTTP(w, r)
	})
}

// RequireFresh lets only users through who gave the password within
// [latchbolt.Config.FreshFor]. Others are asked for it again, or answered 403 if they are programs. Who
// proves it with every request, by Basic or by the proxy, is fresh.
func (a *Auth) RequireFresh(next http.Handler) http.Handler {
	return a.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fresh, err := Fresh(r)
		switch {
		case err != nil:
			a.Fail(w, r, err)
		case fresh:
			next.ServeHTTP(w, r)
		case wantsPage(r):
			a.ask(w, r, a.setup.prefix+"confirm/", http.StatusSeeOther)
		default:
			// RFC 9470, section 3.
			if s, err := of(r.Context()); err == nil && s.source == fromBearer {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication"`)
				a.writeFailure(w, r, http.StatusUnauthorized, 0, "Please prove again who you are.")
				return
			}
			a.writeFailure(w, r, http.StatusForbidden, 0, "Please prove again who you are.")
		}
	}))
}

// Fresh reports whether the user of a request was proved within
// [latchbolt.Config.FreshFor]; see [Auth.RequireFresh].
func Fresh(r *http.Request) (bool, error) {
	s, err := of(r.Context())
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.userLocked()
	if err != nil || id.Anonymous() {
		return false, err
	}
	if s.source == fromBasic || s.proxied {
		return true, nil
	}
	fresh, err := s.a.Engine.Fresh(below{s}, s.token)
	if errors.Is(err, latchbolt.ErrNoSession) {
		return false, nil
	}
	if err != nil {
		return false, s.breakOff(err)
	}
	return fresh, nil
}

func (a *Auth) scheme() string {
	if a.Insecure {
		return "http"
	}
	return "https"
}

// askLogin sends a person to the login page and tells a program that it has to prove who it is.
func (a *Auth) askLogin(w http.ResponseWriter, r *http.Request) {
	if !wantsPage(r) {
		a.fail(w, r, http.StatusUnauthorized, 0, "")
		return
	}
	a.ask(w, r, a.setup.loginURL, http.StatusFound)
}

// ask sends a person to a page that asks something, with the way back if the request can be made again:
// what only reads can. The way back is the address as it came in: on the way here something like
// [http.StripPrefix] may have made it shorter.
func (a *Auth) ask(w http.ResponseWriter, r *http.Request, to string, status int) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		in := r
		if s, err := of(r.Context()); err == nil {
			in = s.in
		}
		if leadsBack(in, to) {
			a.setup.log.Error("authhttp: the page that asks people who they are is behind a Require method or LoginRequired itself, so nobody can get to it: mount Auth.Accounts under Auth.Prefix, and name a login page of your own in Auth.Exempt", "path", in.URL.Path)
			a.fail(w, r, http.StatusInternalServerError, 0, "")
			return
		}
		to = loginLocation(to, "next", nextFor(to, in, a.scheme()))
	}
	w.Header().Set("Cache-Control", "no-store")
	vary(w.Header(), "Accept")
	redirect(w, to, status)
}

// leadsBack reports whether a target is the address of the request itself, so that a browser would go in a circle.
func leadsBack(r *http.Request, target string) bool {
	u, err := r.URL.Parse(target)
	return err == nil && u.RawQuery == "" && (u.Host == "" || u.Host == r.Host) && u.Path == r.URL.Path
}

// challenge says how a program can prove who it is (RFC 9110, section 11.6.1).
func (a *Auth) challenge(w http.ResponseWriter, r *http.Request) {
	if s, err := of(r.Context()); err == nil && len(s.schemes) > 0 {
		w.Header()["Www-Authenticate"] = append([]string(nil), s.schemes...)
		return
	}
	// There has to be one. Browsers and programs that do not know the scheme go by the status.
	w.Header().Set("WWW-Authenticate", `Cookie realm="`+a.setup.realm+`", form-action="`+a.setup.loginURL+`", cookie-name="`+a.setup.name+`"`)
}

// prepareExempt makes the lists of what needs no login. There are two, since the patterns of the program know nothing of those of
// the views, and must not conflict with them. A ServeMux finds a pattern for paths that it would redirect, too; then the
// handler it returns is another one.
func (a *Auth) prepareExempt() error {
	views := make([]string, len(publicViews))
	for i, p := range publicViews {
		views[i] = a.setup.prefix + p
	}
	for i, patterns := range [][]string{a.Exempt, views} {
		a.setup.exempt[i] = http.NewServeMux()
		for _, p := range patterns {
			if err := exemptPattern(a.setup.exempt[i], p); err != nil {
				return err
			}
		}
	}
	return nil
}

func exemptPattern(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%q is no pattern of http.ServeMux, or conflicts with another one", pattern)
		}
	}()
	mux.Handle(pattern, &exemption{})
	return nil
}

// exempt reports whether a request matches what needs no login.
func (a *Auth) exempt(r *http.Request) bool {
	for _, mux := range a.setup.exempt {
		if h, _ := mux.Handler(r); isExemption(h) {
			return plainPath(r.URL)
		}
	}
	return false
}

type exemption struct{ _ byte }

func (*exemption) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (a *Auth) unlessExempt(next http.Handler) http.Handler {
	behind := a.RequireLogin(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.exempt(r) {
			next.ServeHTTP(w, r)
			return
		}
		behind.ServeHTTP(w, r)
	})
}

// plainPath reports whether a path means the same to every router: a ServeMux takes
// an escaped dot or slash for a part of a name, others resolve it.
func plainPath(u *url.URL) bool {
	clean := path.Clean(u.Path)
	return (clean == u.Path || clean+"/" == u.Path) && !strings.Contains(u.Path, `\`) &&
		strings.Count(u.EscapedPath(), "/") == strings.Count(u.Path, "/")
}

func isExemption(h http.Handler) bool { _, ok := h.(*exemption); return ok }
