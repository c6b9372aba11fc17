package authhttp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

// publicViews are the views that are reached without a login, as patterns under the prefix.
var publicViews = []string{"login/{$}", "logout/{$}", "password/reset/", "setup/{$}", "static/"}

// maxForm is the size in bytes of the largest form: two passwords of the greatest length, each byte of them escaped.
const maxForm = 64 << 10

// Accounts returns the views, to mount under Prefix: login, logout, the change and the reset of
// passwords, set-up, and the account with its devices. Their addresses under Prefix are "login/", "logout/" (POST),
// "password/change/", "password/reset/", "confirm/", "setup/" and, for the account, "". It panics if a field of a is wrong.
func (a *Auth) Accounts() http.Handler {
	a.ready()
	mux := http.NewServeMux()
	at := func(view string, h http.HandlerFunc) { mux.Handle(a.setup.prefix+view, h) }
	at("login/{$}", a.methods(a.loginGet, a.loginPost))
	at("logout/{$}", a.methods(nil, a.logoutPost))
	at("password/reset/{$}", a.methods(a.resetGet, a.resetPost()))
	at("password/reset/done/{$}", a.methods(a.resetDone, nil))
	at("password/reset/{token}/{$}", a.methods(a.resetLink, nil))
	at("password/reset/set/{$}", a.methods(a.resetSetGet, a.resetSetPost))
	at("password/reset/complete/{$}", a.methods(a.resetComplete, nil))
	at("setup/{$}", a.methods(a.setupGet, a.setupPost))
	at("static/", webui.Static)
	own := func(view string, h http.HandlerFunc) { at(view, a.RequireLogin(a.browsersOnly(h)).ServeHTTP) }
	own("password/change/{$}", a.methods(a.changeGet, a.changePost))
	own("confirm/{$}", a.methods(a.confirmGet, a.confirmPost))
	own("{$}", a.methods(a.accountGet, nil))
	fresh := func(view string, h http.HandlerFunc) { own(view, a.methods(nil, a.RequireFresh(h).ServeHTTP)) }
	fresh("profile/{$}", a.profilePost)
	fresh("sessions/end/{$}", a.endPost)
	fresh("sessions/others/{$}", a.endOthersPost)
	own("sessions/name/{$}", a.methods(nil, a.namePost))
	at("", a.notFound)
	if a.setup.prefix != "/" {
		mux.HandleFunc("/", a.misplaced)
	}
	return a.inside(mux.ServeHTTP)
}

// misplaced answers what does not begin with Prefix, and tells the log why nothing else is found either.
func (a *Auth) misplaced(w http.ResponseWriter, r *http.Request) {
	a.setup.log.Error("authhttp: Auth.Accounts got a request that is not under Auth.Prefix: mount it there, without http.StripPrefix, or set Auth.Prefix", "prefix", a.setup.prefix) // the path can hold a token
	a.notFound(w, r)
}

// Path returns the path of a view, such as "logout/"; see [Auth.Accounts].
func (a *Auth) Path(view string) string { return a.ready().prefix + view }

// browsersOnly refuses requests whose user was proved by a header: what the views do needs the cookie.
func (a *Auth) browsersOnly(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := of(r.Context()); err != nil || s.source != fromCookie {
			a.fail(w, r, http.StatusForbidden, 0, "This page is for browsers that are signed in.")
			return
		}
		next(w, r)
	})
}

func (a *Auth) notFound(w http.ResponseWriter, r *http.Request) {
	a.fail(w, r, http.StatusNotFound, 0, "")
}

// methods picks the function for GET and HEAD, or for POST. OPTIONS is answered with what there is.
func (a *Auth) methods(get, post http.HandlerFunc) http.HandlerFunc {
	allow := "POST, OPTIONS"
	switch {
	case post == nil:
		allow = "GET, HEAD, OPTIONS"
	case get != nil:
		allow = "GET, HEAD, POST, OPTIONS"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case (r.Method == http.MethodGet || r.Method == http.MethodHead) && get != nil:
			get(w, r)
		case r.Method == http.MethodPost && post != nil:
			post(w, r)
		case r.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", allow)
			a.fail(w, r, http.StatusMethodNotAllowed, 0, "")
		}
	}
}

// form reads the form of a request, which must not be long; if it cannot, it answers. Only the body
// counts, and only the form that HTML sends by default: what a page of another site can send without asking in other forms
// is no form of this one. If a middleware around has read the body for the form in it, that form counts.
func (a *Auth) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		a.fail(w, r, http.StatusRequestEntityTooLarge, 0, "")
		return nil, false
	}
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, 0, "")
		return nil, false
	}
	parsed := r.PostForm
	if len(data) == 0 && len(parsed) == 0 {
		return url.Values{}, true
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		a.fail(w, r, http.StatusUnsupportedMediaType, 0, "")
		return nil, false
	}
	if len(parsed) > 0 {
		if formSize(parsed) > maxForm {
			a.fail(w, r, http.StatusRequestEntityTooLarge, 0, "")
			return nil, false
		}
		return parsed, true
	}
	f, err := url.ParseQuery(string(data))
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, 0, "")
		return nil, false
	}
	return f, true
}

// leftOpen reports whether a form was made about somebody else than it is about now, in another tab. Templates of a program may
// have no such field.
func leftOpen(f url.Values, field, now string) bool { return f.Has(field) && f.Get(field) != now }

// formSize is how long a form was at least when it was sent.
func formSize(f url.Values) (n int) {
	for name, values := range f {
		for _, v := range values {
			n += len(name) + len("=") + len(v) + len("&")
		}
	}
	return n - len("&")
}

func (a *Auth) page(r *http.Request, title string) *page {
	p := &page{texts: a.texts(r), Form: make(map[string]string)}
	p.Title = p.T(title)
	p.Options = pageOptions{Reset: a.SendReset != nil, Profile: !a.FixedProfile}
	return p
}

func (a *Auth) show(w http.ResponseWriter, r *http.Request, status int, name string, p *page) {
	a.setup.pages.render(w, r, a, status, name, p)
}

func (a *Auth) loginGet(w http.ResponseWriter, r *http.Request) {
	id, err := User(r)
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	next := a.safeNext(r, r.URL.Query().Get("next"))
	if a.RedirectSignedIn && !id.Anonymous() {
		if to := orElse(next, orElse(a.LoginRedirect, "/")); !a.leadsTo(r, to, "login/") {
			redirect(w, to, http.StatusSeeOther)
			return
		}
	}
	p := a.page(r, "Sign in")
	p.Next = next
	if !id.Anonymous() {
		p.Message = p.T("You are signed in as %s.", id.Username())
	}
	a.show(w, r, http.StatusOK, "login.html", p)
}

// leadsTo reports whether a target is a view itself, so that going there would go in a circle.
func (a *Auth) leadsTo(r *http.Request, target, view string) bool {
	u, err := r.URL.Parse(target)
	return err != nil || (u.Host == "" || u.Host == r.Host) && u.Path == a.setup.prefix+view
}

func (a *Auth) loginPost(w http.ResponseWriter, r *http.Request) {
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	s, _ := of(r.Context())
	id, err := a.Engine.Authenticate(r.Context(), latchbolt.Password{Username: f.Get("username"), Password: f.Get("password"), Client: s.client()})
	if err == nil {
		_, err = Login(r, id, latchbolt.LoginOptions{Remember: f.Get("remember") != ""})
	}
	next := a.safeNext(r, f.Get("next"))
	if err == nil {
		redirect(w, orElse(next, orElse(a.LoginRedirect, "/")), http.StatusSeeOther)
		return
	}
	p := a.page(r, "Sign in")
	p.Next = next
	p.Form["username"] = f.Get("username")
	if f.Get("remember") != "" {
		p.Form["remember"] = "on"
	}
	a.again(w, r, "login.html", p, "", "Please enter a correct user name and password. Both may be case-sensitive.", err)
}

// again shows a form again after a password was refused, or answers with what stood in the way.
func (a *Auth) again(w http.ResponseWriter, r *http.Request, name string, p *page, field, words string, err error) {
	if errors.Is(err, latchbolt.ErrNoSession) {
		a.fail(w, r, http.StatusUnauthorized, 0, "Your session ended before this was done. Please sign in again.")
		return
	}
	status, wait := Status(err)
	switch status {
	case http.StatusUnauthorized:
		p.wrong(field, words)
		a.challenge(w, r)
	case http.StatusTooManyRequests:
		p.Wait = seconds(wait)
		p.wrong("", "Too many failed attempts. Try again in %s.", waitText(p.texts, wait))
		w.Header().Set("Retry-After", itoa(p.Wait))
	default:
		a.Fail(w, r, err)
		return
	}
	a.show(w, r, status, name, p)
}

// waitText says how long to wait, rounded up.
func waitText(t *Texts, d time.Duration) string {
	switch n := seconds(d); {
	case n == 1:
		return t.T("1 second")
	case n <= 120:
		return t.T("%d seconds", n)
	default:
		return t.T("%d minutes", (n+59)/60)
	}
}

func (a *Auth) logoutPost(w http.ResponseWriter, r *http.Request) {
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	// Also if the end could not be written the client forgets what it has.
	if err := Logout(r); err != nil {
		a.Fail(w, r, err)
		return
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	to := orElse(a.safeNext(r, f.Get("next")), a.LogoutRedirect)
	if to != "" && !a.leadsTo(r, to, "logout/") {
		redirect(w, to, http.StatusSeeOther)
		return
	}
	a.show(w, r, http.StatusOK, "signedout.html", a.page(r, "Signed out"))
}

func itoa(n int) string { return strconv.Itoa(n) }
