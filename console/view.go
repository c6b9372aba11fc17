package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

// A view is one request by somebody who may administer something.
type view struct {
	c     *Console
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	rt    *route
	id    uint64 // in the path
	admin latchbolt.Administrator
	can   *latchbolt.Allowed // to the user in the path, or at all
	query url.Values         // of GET
	form  url.Values         // of POST
}

// maxForm is the size in bytes of the largest form.
const maxForm = 64 << 10

// csp lets the pages have the style sheets, the script and the requests of the console itself, and nothing inline.
const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// page answers requests to a route. It finds out in this order: whether the method is right, who asks and whether that is
// somebody who may administer at all, whether the request says only what it can, whether the password was given
// lately. What is allowed is decided by the engine, which the functions of the route ask.
func (c *Console) page(rt *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &view{c: c, w: w, r: r, ctx: r.Context(), rt: rt}
		do, err := v.begin()
		if err != nil {
			v.fail(err)
			return
		}
		run := func(http.ResponseWriter, *http.Request) {
			if err := do(v); err != nil {
				v.fail(err)
			}
		}
		if rt.fresh {
			c.Auth.RequireFresh(http.HandlerFunc(run)).ServeHTTP(w, r)
			return
		}
		run(w, r)
	})
}

// begin makes the request ready for a function of its route.
func (v *view) begin() (do func(*view) error, err error) {
	h := v.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", csp)
	if do, err = v.method(); err != nil {
		return nil, err
	}
	who, err := authhttp.User(v.r)
	if err != nil {
		return nil, err
	}
	v.admin = v.c.Auth.Engine.As(who)
	// Whether somebody may administer at all comes before whether a page or a user is there.
	if v.can, err = v.admin.Allowed(v.ctx, 0); err != nil {
		return nil, err
	}
	if v.rt.about != aboutNothing {
		if v.id, err = parseID(v.r.PathValue("id")); err != nil {
			return nil, err
		}
	}
	if err := v.read(); err != nil {
		return nil, err
	}
	if v.rt.about != aboutUser {
		return do, nil
	}
	about, err := v.admin.Allowed(v.ctx, latchbolt.UserID(v.id))
	if err == nil {
		v.can = about
	}
	return do, err
}

var errTemplate = errors.New("console: a template failed")

var errMethod = errors.New("console: method not allowed")

func (v *view) method() (func(*view) error, error) {
	allow := []string{}
	if v.rt.get != nil {
		allow = append(allow, "GET", "HEAD")
	}
	if v.rt.post != nil {
		allow = append(allow, "POST")
	}
	switch v.r.Method {
	case http.MethodGet, http.MethodHead:
		if v.rt.get != nil {
			return v.rt.get, nil
		}
	case http.MethodPost:
		if v.rt.post != nil {
			return v.rt.post, nil
		}
	}
	v.w.Header().Set("Allow", strings.Join(allow, ", "))
	return nil, errMethod
}

// parseID reads an identifier as it stands in links and in no other spelling.
func parseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 63)
	if err != nil || id == 0 || strconv.FormatUint(id, 10) != s {
		return 0, errNoPage
	}
	return id, nil
}

// read reads what the request says, and refuses what it cannot say.
func (v *view) read() error {
	query, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return errBadRequest
	}
	if v.r.Method != http.MethodPost {
		v.query = query
		return listed(query, v.rt.query)
	}
	if len(query) > 0 {
		return errBadRequest // a form says it all in its body
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return err
		}
		return errBadRequest
	}
	v.form = v.r.PostForm
	return listed(v.form, v.rt.form)
}

func listed(values url.Values, names []string) error {
	for name, vs := range values {
		if slices.Contains(names, name+"*") {
			continue
		}
		if !slices.Contains(names, name) || len(vs) != 1 {
			return errBadRequest
		}
	}
	return nil
}

func (v *view) userID() latchbolt.UserID   { return latchbolt.UserID(v.id) }
func (v *view) groupID() latchbolt.GroupID { return latchbolt.GroupID(v.id) }

// check asks the engine whether a form makes sense for who asks, and for whom it is about.
func (v *view) check(method, field string) error {
	var target latchbolt.UserID
	if v.rt.about == aboutUser {
		target = v.userID()
	}
	return v.admin.Check(v.ctx, target, method, field)
}

// choice returns a parameter that has one of some values, or the first of them if it is not there.
func (v *view) choice(name string, values ...string) (string, error) {
	s := v.query.Get(name)
	if s == "" {
		return values[0], nil
	}
	if !slices.Contains(values, s) {
		return "", errBadRequest
	}
	return s, nil
}

// filter reads a parameter that is "yes", "no" or not there.
func (v *view) filter(name string) (latchbolt.Filter, error) {
	s, err := v.choice(name, "", "yes", "no")
	switch s {
	case "yes":
		return latchbolt.Only, err
	case "no":
		return latchbolt.Except, err
	}
	return latchbolt.Any, err
}

// go303 sends the browser on after something was done.
func (v *view) go303(path string, done string) error {
	to := v.c.Prefix + path
	if done != "" {
		to += "?done=" + done
	}
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// A page is the data of a template.
type page struct {
	Frame  webui.Frame
	Title  string
	Can    *latchbolt.Allowed
	Done   string              // good news
	Errors map[string][]string // what is wrong, by field; under "" with all
	Data   any
	prefix string
}

// Path makes an address of the console.
func (p *page) Path(parts ...any) string {
	var b strings.Builder
	b.WriteString(p.prefix)
	for _, part := range parts {
		fmt.Fprint(&b, part)
	}
	return b.String()
}

// Bad reports whether something is wrong with a field.
func (p *page) Bad(field string) bool { return len(p.Errors[field]) > 0 }

// newPage makes a page ready.
func (v *view) newPage(title string, data any) *page {
	p := &page{Title: title, Can: v.can, Data: data, prefix: v.c.Prefix}
	if code := v.query.Get("done"); code != "" {
		p.Done = doneTexts[code]
	}
	return p
}

// doneTexts are what a page can say after something was done. The address only has the code.
var doneTexts = map[string]string{
	"created":     "The user was created.",
	"saved":       "The changes were saved.",
	"deleted":     "It was deleted.",
	"password":    "The password was set. All sessions of the user have ended.",
	"sent":        "A link to set a new password was sent.",
	"unlocked":    "The failed attempts were forgotten.",
	"ended":       "The session was ended.",
	"endedall":    "All sessions were ended, and links that were sent are void.",
	"permissions": "The permissions were saved. They are in force.",
	"member":      "The members were changed.",
}

// show answers with a page. It is made before anything is sent.
func (v *view) show(status int, name string, p *page) error {
	return v.render(status, name, "frame", p)
}

func (v *view) render(status int, name, part string, p *page) error {
	if code := v.query.Get("done"); code != "" && doneTexts[code] == "" {
		return errBadRequest
	}
	p.Frame = v.frame(p.Title)
	var b bytes.Buffer
	if err := v.c.pages[name].ExecuteTemplate(&b, part, p); err != nil {
		v.c.log.Error("console: a template failed", "template", name, "err", err)
		return errTemplate
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(b.Bytes())
	}
	return nil
}

// frame is what stands around a page: the navigation has what may be seen.
func (v *view) frame(title string) webui.Frame {
	a := v.c.Auth
	accounts := a.Prefix
	if accounts == "" {
		accounts = "/accounts/"
	}
	f := webui.Frame{Lang: "en", Title: title, Site: "Console", Home: v.c.Prefix, Static: v.c.Prefix + "static/",
		Skip: "Skip to content", NavLabel: "Console", LogoutText: "Sign out",
		Styles: []string{v.c.Prefix + "static/" + styleAsset.Name}, Script: v.c.Prefix + "static/" + scriptAsset.Name}
	if a.Realm != "" {
		f.Site = a.Realm + " console"
	}
	if v.can == nil { // nothing in here is for them
		f.Home = cmp.Or(a.Home, "/")
		return f
	}
	f.User, f.Logout = v.can.Username(), accounts+"logout/"
	here := strings.TrimPrefix(v.r.URL.Path, v.c.Prefix)
	for _, l := range []struct{ path, text, method string }{
		{"", "Dashboard", "Allowed"}, {"users/", "Users", "Search"}, {"groups/", "Groups", "Groups"},
		{"permissions/", "Permissions", "Permissions"}, {"sessions/", "Sessions", "AllSessions"}, {"audit/", "Audit trail", "Audit"},
	} {
		if v.can.May(l.method, "") {
			f.Nav = append(f.Nav, webui.Link{URL: v.c.Prefix + l.path, Text: l.text, Current: here == l.path || l.path != "" && strings.HasPrefix(here, l.path)})
		}
	}
	return f
}

// fail answers with an error. What it says to people says nothing of what is stored.
func (v *view) fail(err error) {
	var f *latchbolt.ForbiddenError
	status, words := 0, ""
	switch {
	case errors.Is(err, errTemplate):
		http.Error(v.w, "Something went wrong here. It has been noted.", http.StatusInternalServerError)
		return
	case errors.Is(err, errNoPage):
		status, words = http.StatusNotFound, "There is no such page."
	case errors.Is(err, errBadRequest):
		v.c.log.Warn("console: refused a request that no page sends", "method", v.r.Method, "path", v.r.URL.Path)
		status, words = http.StatusBadRequest, "The address or the form says something that this page does not know."
	case errors.Is(err, errMethod):
		status, words = http.StatusMethodNotAllowed, "This address does not take such a request."
	case errors.Is(err, errNoMail):
		status, words = http.StatusBadGateway, "The mail could not be sent. The link in it is void when the next one is sent."
	case errors.As(err, &f):
		status, words = http.StatusForbidden, "You are not allowed to do that: "+f.Rule+"."
	case errors.Is(err, latchbolt.ErrNotFound):
		status, words = http.StatusNotFound, "That is not there, or not any more."
	case errors.Is(err, latchbolt.ErrUnsupported):
		status, words = http.StatusNotImplemented, "Sessions do not live in the file here, so there is no list of all of them. Those of one user are listed with the user."
	case errors.Is(err, latchbolt.ErrConflict), errors.Is(err, latchbolt.ErrLastSuperuser):
		status, words = http.StatusConflict, sentence(err)
	case errors.Is(err, latchbolt.ErrInvalid):
		status, words = http.StatusUnprocessableEntity, sentence(err)
	}
	if status == 0 {
		v.c.Auth.Fail(v.w, v.r, err)
		return
	}
	if v.can == nil { // nobody who may know that there are pages here
		if status == http.StatusForbidden {
			words = "You are not allowed to do that."
		}
	}
	v.query = nil
	p := v.newPage(http.StatusText(status), words)
	if err := v.show(status, "error", p); err != nil {
		v.c.Auth.Fail(v.w, v.r, err)
	}
}

// sentence makes one of an error of the engine, which holds no secret.
func sentence(err error) string {
	var many latchbolt.FieldErrors
	var one *latchbolt.FieldError
	switch {
	case errors.Is(err, latchbolt.ErrLastSuperuser):
		return "The last active superuser cannot be deleted, deactivated or made an ordinary user."
	case errors.As(err, &many) && len(many) > 0:
		return many[0].Msg
	case errors.As(err, &one):
		return one.Msg
	}
	s := strings.TrimPrefix(err.Error(), "latchbolt: ")
	s = strings.TrimPrefix(s, "conflict: ")
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// refused takes over what the engine says about values, and reports whether err was of that kind. What is
// about no field of the form stands above it.
func (p *page) refused(err error, fields ...string) bool {
	var errs latchbolt.FieldErrors
	var one *latchbolt.FieldError
	if !errors.As(err, &errs) {
		if !errors.As(err, &one) {
			return false
		}
		errs = latchbolt.FieldErrors{one}
	}
	for _, e := range errs {
		field := e.Field
		if !slices.Contains(fields, field) {
			field = ""
		}
		p.wrong(field, e.Msg)
	}
	return true
}

func (p *page) wrong(field, text string) {
	if p.Errors == nil {
		p.Errors = make(map[string][]string)
	}
	p.Errors[field] = append(p.Errors[field], text)
}
