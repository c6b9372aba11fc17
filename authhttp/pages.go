package authhttp

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

//go:embed templates/*.html
var builtIn embed.FS

// A page is the data of a template. docs/WEB.md describes what templates can use.
type page struct {
	Frame  webui.Frame
	Prefix string // where the views are mounted
	texts  *Texts

	Title   string
	Message string // one paragraph
	Notice  string // good news

	Next   string              // where to go afterwards, safe; may be empty
	Form   map[string]string   // what was typed, without passwords
	Errors map[string][]string // what is wrong, by field; under "" what is wrong with all
	Help   []string            // the rules for new passwords
	Wait   int                 // seconds until another attempt is looked at

	User     *latchbolt.User
	Sessions []device
	Listed   bool // sessions can be listed
	Events   []event
	Options  pageOptions
}

// pageOptions is what the program allows.
type pageOptions struct {
	Reset   bool // links to set a new password are sent by mail
	Profile bool // people may change their own name and address
	Valid   bool // the link of a page is good
}

// T translates an English text.
func (p *page) T(text string, args ...any) string { return p.texts.T(text, args...) }

// Time shows a moment, in UTC.
func (p *page) Time(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// Stamp is a moment for the datetime attribute.
func (p *page) Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Bad reports whether something is wrong with a field.
func (p *page) Bad(field string) bool { return len(p.Errors[field]) > 0 }

// Path returns the address of a view.
func (p *page) Path(view string) string { return p.Prefix + view }

// Wrong adds an error to a field, translated.
func (p *page) wrong(field, text string, args ...any) {
	if p.Errors == nil {
		p.Errors = make(map[string][]string)
	}
	p.Errors[field] = append(p.Errors[field], p.T(text, args...))
}

// refused adds what the engine says about values, and reports whether err was of that kind. Fields that the page does
// not have are shown for the whole form.
func (p *page) refused(err error, fields map[string]string) bool {
	var errs latchbolt.FieldErrors
	var one *latchbolt.FieldError
	if !errors.As(err, &errs) {
		if !errors.As(err, &one) {
			return false
		}
		errs = latchbolt.FieldErrors{one}
	}
	for _, e := range errs {
		text := e.Msg
		if w, ok := p.texts.Words[e.Code]; ok {
			text = w
		} else {
			text = p.T(text)
		}
		field := fields[e.Field]
		if p.Errors == nil {
			p.Errors = make(map[string][]string)
		}
		p.Errors[field] = append(p.Errors[field], text)
	}
	return true
}

// pages are the templates of the views.
type pages struct{ byName map[string]*template.Template }

func newPages(own fs.FS) (*pages, error) {
	base, err := webui.Parse(nil)
	if err != nil {
		return nil, err
	}
	if base, err = base.ParseFS(builtIn, "templates/parts.html"); err != nil {
		return nil, err
	}
	if own != nil {
		for _, shared := range []string{"frame.html", "parts.html"} {
			if base, err = parseOwn(base, own, shared); err != nil {
				return nil, err
			}
		}
	}
	names, err := fs.Glob(builtIn, "templates/*.html")
	if err != nil {
		return nil, err
	}
	ps := &pages{byName: make(map[string]*template.Template)}
	for _, file := range names {
		name := strings.TrimPrefix(file, "templates/")
		if name == "parts.html" {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(builtIn, file)
		}
		if err == nil && own != nil {
			t, err = parseOwn(t, own, name)
		}
		if err != nil {
			return nil, err
		}
		ps.byName[name] = t
	}
	return ps, checkOwn(own, ps)
}

// checkOwn refuses a file that replaces nothing: its name is mistyped, or it is in a folder, as go:embed puts it.
func checkOwn(own fs.FS, ps *pages) error {
	if own == nil {
		return nil
	}
	names, err := fs.Glob(own, "*.html")
	if err != nil {
		return err
	}
	for _, n := range names {
		if ps.byName[n] == nil && n != "frame.html" && n != "parts.html" {
			return fmt.Errorf("%s replaces no template", n)
		}
	}
	if len(names) > 0 {
		return nil
	}
	deeper, err := fs.Glob(own, "*/*.html")
	if err != nil {
		return err
	}
	for _, n := range deeper {
		if folder, name := path.Split(n); ps.byName[name] != nil || name == "frame.html" || name == "parts.html" {
			return fmt.Errorf("%s replaces no template, because it is in a folder: use fs.Sub(…, %q)", n, strings.TrimSuffix(folder, "/"))
		}
	}
	return nil
}

func parseOwn(t *template.Template, own fs.FS, name string) (*template.Template, error) {
	if _, err := fs.Stat(own, name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return t, nil
		}
		return nil, err
	}
	if name != "parts.html" {
		// What is outside of the definition would be passed over in silence.
		part := "main"
		if name == "frame.html" {
			part = "frame"
		}
		alone, err := template.ParseFS(own, name)
		if err != nil {
			return nil, err
		}
		if alone.Lookup(part) == nil {
			return nil, fmt.Errorf("%s does not define %q", name, part)
		}
	}
	return t.ParseFS(own, name)
}

// render answers with a page. It is made before anything is sent, so that a template
// that fails does not send half of one.
func (ps *pages) render(w http.ResponseWriter, r *http.Request, a *Auth, status int, name string, p *page) {
	p.texts = a.texts(r)
	p.Prefix = a.setup.prefix
	p.Frame = a.frame(r, p)
	var b bytes.Buffer
	if err := ps.byName[name].ExecuteTemplate(&b, "frame", p); err != nil {
		a.setup.log.Error("authhttp: a template failed", "template", name, "err", err)
		http.Error(w, statusWords[http.StatusInternalServerError], http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", a.viewCSP())
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
}

// viewCSP lets forms lead to where a redirect after them may lead.
func (a *Auth) viewCSP() string {
	to := "'self'"
	for _, h := range a.RedirectHosts {
		to += " " + a.scheme() + "://" + h
	}
	for _, u := range []string{a.LoginRedirect, a.LogoutRedirect, a.setup.loginURL} {
		if p, err := url.Parse(u); err == nil && p.Host != "" && !slices.Contains(a.RedirectHosts, p.Host) {
			to += " " + orElse(p.Scheme, a.scheme()) + "://" + p.Host
		}
	}
	return "default-src 'none'; style-src 'self'; img-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action " + to
}

// frame is what stands around a page. It looks nobody up: if the view did, it is known who is
// signed in.
func (a *Auth) frame(r *http.Request, p *page) webui.Frame {
	t := p.texts
	f := webui.Frame{
		Lang: orElse(t.Lang, "en"), RightToLeft: t.RightToLeft, Title: p.Title, Site: a.setup.realm,
		Home: orElse(a.Home, "/"), Static: a.setup.prefix + "static/", Skip: t.T("Skip to content"),
		NavLabel: t.T("Account"), LogoutText: t.T("Sign out"), Width: "narrow",
	}
	if p.User != nil {
		f.Width = "medium"
	}
	s, err := of(r.Context())
	if err != nil {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded && s.err == nil && !s.id.Anonymous() {
		here := strings.TrimPrefix(r.URL.Path, a.setup.prefix)
		f.User = s.id.Username()
		f.Nav = []webui.Link{
			{URL: a.setup.prefix, Text: t.T("Account"), Current: here == ""},
			{URL: a.setup.prefix + "password/change/", Text: t.T("Change password"), Current: here == "password/change/"},
		}
		f.Logout = a.setup.prefix + "logout/"
	}
	return f
}
