package authhttp

import (
	"net/http"

	"github.com/latchbolt-go/latchbolt"
)

// setupOpen reports whether there is something to set up, and answers if not: as if there were no such page.
func (a *Auth) setupOpen(w http.ResponseWriter, r *http.Request) bool {
	if !a.Insecure { // see resetSetPage; the address, with the code in it, goes to this site only in any case
		noReferrer(w)
	}
	if a.setup.code.asked() {
		empty, err := a.noUser(r.Context())
		if err != nil {
			a.Fail(w, r, err)
			return false
		}
		if empty {
			return true
		}
		a.setup.code.used()
	}
	a.notFound(w, r)
	return false
}

func (a *Auth) setupGet(w http.ResponseWriter, r *http.Request) {
	if !a.setupOpen(w, r) {
		return
	}
	p := a.withHelp(a.page(r, "Set up"))
	p.Form["code"] = r.URL.Query().Get("code")
	a.show(w, r, http.StatusOK, "setup.html", p)
}

func (a *Auth) setupPost(w http.ResponseWriter, r *http.Request) {
	if !a.setupOpen(w, r) {
		return
	}
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	p := a.withHelp(a.page(r, "Set up"))
	for _, field := range []string{"code", "username", "email"} {
		p.Form[field] = f.Get(field)
	}
	if !a.setup.code.right(f.Get("code")) {
		p.wrong("code", "That is not the code that the program printed.")
		a.show(w, r, http.StatusForbidden, "setup.html", p)
		return
	}
	password, ok := p.newPassword(f.Get)
	if !ok {
		a.show(w, r, http.StatusUnprocessableEntity, "setup.html", p)
		return
	}
	u := &latchbolt.User{Username: f.Get("username"), Email: f.Get("email"), Staff: true, Superuser: true}
	err := a.firstUser(r, u, password)
	switch {
	case err == nil:
		a.setup.code.used()
		redirect(w, orElse(a.LoginRedirect, "/"), http.StatusSeeOther)
	case p.refused(err, map[string]string{"username": "username", "email": "email", "password": "password1"}):
		a.show(w, r, http.StatusUnprocessableEntity, "setup.html", p)
	default:
		a.Fail(w, r, err)
	}
}

// firstUser makes the first user, unless there is one, and logs it in.
func (a *Auth) firstUser(r *http.Request, u *latchbolt.User, password string) error {
	ctx := r.Context()
	if err := a.Engine.ValidatePassword(password, u); err != nil {
		return err
	}
	h, err := a.Engine.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	err = a.Engine.Update(ctx, func(tx *latchbolt.Tx) error {
		for _, err := range tx.Users() {
			if err != nil {
				return err
			}
			return latchbolt.ErrConflict
		}
		n := *u
		if err := tx.InsertUser(&n, h); err != nil {
			return err
		}
		return tx.Record(latchbolt.AuditEntry{Action: latchbolt.ActionUserCreate, User: n.ID, Username: n.Username, Detail: "set-up, superuser"})
	})
	if err != nil {
		return err
	}
	s, err := of(ctx)
	if err != nil {
		return err
	}
	id, err := a.Engine.Authenticate(ctx, latchbolt.Password{Username: u.Username, Password: password, Client: s.client()})
	if err != nil {
		return err
	}
	_, err = Login(r, id, latchbolt.LoginOptions{})
	return err
}
