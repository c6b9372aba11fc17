package authhttp

import (
	"errors"
	"net/http"

	"github.com/latchbolt-go/latchbolt"
)

// newPassword reads the two fields for a new password, which have to agree. They are taken as they are: a blank at the end counts.
func (p *page) newPassword(get func(string) string) (string, bool) {
	one, two := get("password1"), get("password2")
	switch {
	case one == "":
		p.wrong("password1", "Please enter a new password.")
	case one != two:
		p.wrong("password2", "The two passwords are not the same.")
	default:
		return one, true
	}
	return "", false
}

func (a *Auth) withHelp(p *page) *page {
	for _, h := range a.Engine.PasswordHelp() {
		p.Help = append(p.Help, p.T(h))
	}
	return p
}

// passwordFields says where the engine's words about a new password belong.
var passwordFields = map[string]string{"password": "password1"}

func (a *Auth) changePage(r *http.Request) *page {
	p := a.withHelp(a.page(r, "Change password"))
	if id, err := User(r); err == nil {
		p.Form["username"] = id.Username()
	}
	return p
}

func (a *Auth) changeGet(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusOK, "change.html", a.changePage(r))
}

func (a *Auth) changePost(w http.ResponseWriter, r *http.Request) {
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	p := a.changePage(r)
	if leftOpen(f, "username", p.Form["username"]) {
		p.wrong("", "You are signed in as %s now. Nothing was saved.", p.Form["username"])
		a.show(w, r, http.StatusConflict, "change.html", p)
		return
	}
	password, ok := p.newPassword(f.Get)
	if !ok {
		a.show(w, r, http.StatusUnprocessableEntity, "change.html", p)
		return
	}
	var changed latchbolt.Session
	err := Session(r).act(func(s *request) (err error) {
		changed, err = s.a.Engine.ChangePassword(below{s}, s.token, f.Get("old"), password)
		return s.took(changed, err)
	})
	switch {
	case err == nil:
		redirect(w, a.setup.prefix+"?done=password", http.StatusSeeOther)
	case p.refused(err, passwordFields):
		a.show(w, r, http.StatusUnprocessableEntity, "change.html", p)
	default:
		a.again(w, r, "change.html", p, "old", "That is not your present password.", err)
	}
}

func (a *Auth) confirmPage(r *http.Request, next string) (*page, error) {
	p := a.page(r, "Confirm that it is you")
	p.Next = a.safeNext(r, next)
	id, err := User(r)
	if err != nil {
		return nil, err
	}
	u, err := a.Engine.User(r.Context(), id.ID())
	if err != nil {
		return nil, err
	}
	p.Form["username"] = id.Username()
	p.Options.Valid = u.Password.Usable
	return p, nil
}

func (a *Auth) confirmGet(w http.ResponseWriter, r *http.Request) {
	p, err := a.confirmPage(r, r.URL.Query().Get("next"))
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	a.show(w, r, http.StatusOK, "confirm.html", p)
}

// confirmPost is a login of the user who is signed in: the session goes on, fresh, under another token, until it would have ended.
func (a *Auth) confirmPost(w http.ResponseWriter, r *http.Request) {
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	p, err := a.confirmPage(r, f.Get("next"))
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	err = a.confirm(r, f.Get("password"))
	if err == nil {
		redirect(w, orElse(p.Next, a.setup.prefix), http.StatusSeeOther)
		return
	}
	a.again(w, r, "confirm.html", p, "password", "That is not your password.", err)
}

func (a *Auth) confirm(r *http.Request, password string) error {
	id, err := User(r)
	if err != nil {
		return err
	}
	s, err := of(r.Context())
	if err != nil {
		return err
	}
	proved, err := a.Engine.Authenticate(r.Context(), latchbolt.Password{Username: id.Username(), Password: password, Client: s.client()})
	if err != nil {
		return err
	}
	if proved.ID() != id.ID() {
		return latchbolt.ErrCredentials
	}
	here, err := Session(r).Info()
	if err != nil {
		return err
	}
	left := here.Expires.Sub(a.Engine.Now()) // the program may have set its end
	if left <= 0 {
		return latchbolt.ErrNoSession
	}
	_, err = Login(r, proved, latchbolt.LoginOptions{Name: here.Name, Remember: here.Remember, BrowserLength: here.BrowserLength, Lifetime: left})
	return err
}

// resetCookie keeps the token of a reset between the link and the page, out of addresses, logs and Referer. It is
// not kept in a session: the file holds no token that is good, and a link that anybody follows creates nothing.
func (a *Auth) resetCookie(value string) *http.Cookie {
	c := &http.Cookie{Name: a.setup.name + "-reset", Value: value, Path: "/", HttpOnly: true, Secure: !a.Insecure, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

func (a *Auth) resetGet(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusOK, "reset.html", a.page(r, "Reset password"))
}

// resetPost takes a request for a mail. What follows happens beside it, so that the answer is the same for everybody.
func (a *Auth) resetPost() http.HandlerFunc {
	if a.SendReset == nil {
		return nil
	}
	return func(w http.ResponseWriter, r *http.Request) {
		f, ok := a.form(w, r)
		if !ok {
			return
		}
		email := f.Get("email")
		if err := latchbolt.ValidateEmail(email); err != nil || email == "" {
			p := a.page(r, "Reset password")
			p.wrong("email", "Please enter an e-mail address.")
			a.show(w, r, http.StatusUnprocessableEntity, "reset.html", p)
			return
		}
		s, _ := of(r.Context())
		a.setup.mails.request(r.Context(), email, s.addr())
		w.Header().Set("Cache-Control", "no-store")
		redirect(w, a.setup.prefix+"password/reset/done/", http.StatusSeeOther)
	}
}

func (a *Auth) resetDone(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusOK, "resetdone.html", a.page(r, "Look at your mail"))
}

func (a *Auth) resetComplete(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusOK, "resetcomplete.html", a.page(r, "Your password is changed"))
}

// noReferrer keeps the address of a page from every page after it.
func noReferrer(w http.ResponseWriter) { w.Header().Set("Referrer-Policy", "no-referrer") }

// resetLink is where the link leads. A good token is moved into a cookie; a bad one is told so on an ordinary page.
func (a *Auth) resetLink(w http.ResponseWriter, r *http.Request) {
	noReferrer(w)
	text := r.PathValue("token")
	if _, err := a.checkReset(r, text); err != nil {
		a.resetInvalid(w, r, err)
		return
	}
	http.SetCookie(w, a.resetCookie(text))
	w.Header().Set("Cache-Control", "no-store")
	redirect(w, a.setup.prefix+"password/reset/set/", http.StatusSeeOther)
}

// checkReset returns the user whom a token is for.
func (a *Auth) checkReset(r *http.Request, text string) (latchbolt.UserID, error) {
	t, err := latchbolt.ParseToken(text)
	if err != nil {
		return 0, latchbolt.ErrToken
	}
	return a.Engine.CheckToken(r.Context(), latchbolt.PurposeReset, t)
}

func (a *Auth) resetInvalid(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, latchbolt.ErrToken) {
		a.Fail(w, r, err)
		return
	}
	if len(r.CookiesNamed(a.setup.name+"-reset")) > 0 {
		http.SetCookie(w, a.resetCookie(""))
	}
	a.show(w, r, http.StatusOK, "resetset.html", a.page(r, "This link is not good any more"))
}

// resetSetPage returns the page and the token, or answers.
func (a *Auth) resetSetPage(w http.ResponseWriter, r *http.Request) (p *page, t latchbolt.Token, ok bool) {
	if !a.Insecure { // without TLS browsers prove the origin by Referer or Origin only
		noReferrer(w)
	}
	vary(w.Header(), "Cookie")
	text := ""
	if c, err := r.Cookie(a.setup.name + "-reset"); err == nil {
		text = c.Value
	}
	id, err := a.checkReset(r, text)
	if err != nil {
		a.resetInvalid(w, r, err)
		return nil, t, false
	}
	u, err := a.Engine.User(r.Context(), id)
	if err != nil {
		a.Fail(w, r, err)
		return nil, t, false
	}
	t, err = latchbolt.ParseToken(text)
	p = a.withHelp(a.page(r, "Set a new password"))
	p.Options.Valid = true
	p.Form["username"] = u.Username
	return p, t, err == nil
}

func (a *Auth) resetSetGet(w http.ResponseWriter, r *http.Request) {
	if p, _, ok := a.resetSetPage(w, r); ok {
		a.show(w, r, http.StatusOK, "resetset.html", p)
	}
}

func (a *Auth) resetSetPost(w http.ResponseWriter, r *http.Request) {
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	p, t, ok := a.resetSetPage(w, r)
	if !ok {
		return
	}
	if leftOpen(f, "username", p.Form["username"]) {
		// The page was made for the link before: each account with the address has one of its own.
		p.wrong("", "You have opened another link since. This page is about %s now.", p.Form["username"])
		a.show(w, r, http.StatusConflict, "resetset.html", p)
		return
	}
	password, ok := p.newPassword(f.Get)
	if !ok {
		a.show(w, r, http.StatusUnprocessableEntity, "resetset.html", p)
		return
	}
	_, err := a.Engine.ResetPassword(r.Context(), t, password)
	switch {
	case err == nil:
		http.SetCookie(w, a.resetCookie(""))
		w.Header().Set("Cache-Control", "no-store")
		redirect(w, a.setup.prefix+"password/reset/complete/", http.StatusSeeOther)
	case p.refused(err, passwordFields):
		a.show(w, r, http.StatusUnprocessableEntity, "resetset.html", p)
	default:
		a.resetInvalid(w, r, err)
	}
}
