package authhttp

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

const (
	eventsShown = 20
	// eventsRead bounds the work for one page: the trail is read from its end.
	eventsRead = 5000
)

// notices are what the account page says after something was done; the address names one.
var notices = map[string]string{
	"password": "Your password is changed. You are signed out on all other devices.",
	"profile":  "Your profile is saved.",
	"ended":    "That device is signed out.",
	"others":   "You are signed out on all other devices.",
	"named":    "The name is saved.",
}

func (a *Auth) accountGet(w http.ResponseWriter, r *http.Request) {
	p := a.page(r, "Your account")
	if n, ok := notices[r.URL.Query().Get("done")]; ok {
		p.Notice = p.T(n)
	}
	a.showAccount(w, r, http.StatusOK, p)
}

func (a *Auth) showAccount(w http.ResponseWriter, r *http.Request, status int, p *page) {
	err := a.fillAccount(r, p)
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	a.show(w, r, status, "account.html", p)
}

func (a *Auth) fillAccount(r *http.Request, p *page) error {
	ctx := r.Context()
	id, err := User(r)
	if err != nil {
		return err
	}
	if p.User, err = a.Engine.User(ctx, id.ID()); err != nil {
		return err
	}
	if _, typed := p.Form["email"]; !typed {
		p.Form["first_name"], p.Form["last_name"], p.Form["email"] = p.User.FirstName, p.User.LastName, p.User.Email
	}
	if p.Sessions, p.Listed, err = a.devices(r, p.texts, id.ID()); err != nil {
		return err
	}
	p.Events, err = a.events(r, p.texts, p.User)
	return err
}

// devices are the sessions of a user.
func (a *Auth) devices(r *http.Request, t *Texts, id latchbolt.UserID) (ds []device, listed bool, err error) {
	here, err := Session(r).Info()
	if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
		return nil, false, err
	}
	for s, err := range a.Engine.Sessions(r.Context(), id) {
		if errors.Is(err, latchbolt.ErrUnsupported) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		d := device{ID: s.ID.String(), Name: s.Name, Agent: describeAgent(t, s.Client.Agent), Created: s.Created, LastSeen: s.LastSeen, Expires: s.Deadline(), Current: s.ID == here.ID}
		if s.Client.Addr.IsValid() {
			d.Addr = s.Client.Addr.String()
		}
		ds = append(ds, d)
	}
	return ds, true, nil
}

// eventWords says what the actions of the trail mean to the user they are about.
var eventWords = map[string]string{
	latchbolt.ActionLogin:          "Signed in",
	latchbolt.ActionLoginFailed:    "Failed to sign in",
	latchbolt.ActionLogout:         "Signed out",
	latchbolt.ActionSessionEnd:     "A device was signed out",
	latchbolt.ActionSessionsEnd:    "Devices were signed out",
	latchbolt.ActionUserCreate:     "Account made",
	latchbolt.ActionUserUpdate:     "Account changed",
	latchbolt.ActionUserUnlock:     "Failed attempts forgiven",
	latchbolt.ActionPasswordSet:    "Password set by an administrator",
	latchbolt.ActionPasswordChange: "Password changed",
	latchbolt.ActionPasswordReset:  "Password reset",
	latchbolt.ActionTokenIssue:     "A link was made",
	latchbolt.ActionGroupAdd:       "Added to a group",
	latchbolt.ActionGroupRemove:    "Removed from a group",
	latchbolt.ActionGroupSet:       "Groups changed",
	latchbolt.ActionPermGrant:      "Permission given",
	latchbolt.ActionPermRevoke:     "Permission taken back",
}

// events are the latest entries of the trail about a user, failed attempts under the name included.
func (a *Auth) events(r *http.Request, t *Texts, u *latchbolt.User) (es []event, err error) {
	read := 0
	for e, err := range a.Engine.Audit(r.Context(), latchbolt.AuditQuery{}) {
		if err != nil {
			return nil, err
		}
		if read++; read > eventsRead || len(es) == eventsShown {
			break
		}
		mine := e.User == u.ID || e.Action == latchbolt.ActionLoginFailed && e.User == 0 && strings.EqualFold(e.Username, u.Username)
		words, known := eventWords[e.Action]
		if !mine || !known {
			continue
		}
		ev := event{Time: e.Time, What: t.T(words), Failed: e.Failed}
		if e.Addr.IsValid() && (e.Actor == 0 || e.Actor == u.ID) { // where an administrator sits is not for the user
			ev.Addr = e.Addr.String()
		}
		es = append(es, ev)
	}
	return es, nil
}

// profilePost changes the own name and address, and nothing else, whatever is sent.
func (a *Auth) profilePost(w http.ResponseWriter, r *http.Request) {
	if a.FixedProfile {
		a.notFound(w, r)
		return
	}
	f, ok := a.form(w, r)
	if !ok {
		return
	}
	id, err := User(r)
	if err == nil && leftOpen(f, "user", strconv.FormatUint(uint64(id.ID()), 10)) {
		p := a.page(r, "Your account")
		p.wrong("", "You are signed in as %s now. Nothing was saved.", id.Username())
		a.showAccount(w, r, http.StatusConflict, p)
		return
	}
	if err == nil {
		err = a.Engine.UpdateUser(r.Context(), id.ID(), func(u *latchbolt.User) error {
			u.FirstName, u.LastName, u.Email = f.Get("first_name"), f.Get("last_name"), f.Get("email")
			return nil
		})
	}
	p := a.page(r, "Your account")
	switch {
	case err == nil:
		redirect(w, a.setup.prefix+"?done=profile", http.StatusSeeOther)
	case p.refused(err, map[string]string{"first_name": "first_name", "last_name": "last_name", "email": "email"}):
		for _, field := range []string{"first_name", "last_name", "email"} {
			p.Form[field] = f.Get(field)
		}
		a.showAccount(w, r, http.StatusUnprocessableEntity, p)
	default:
		a.Fail(w, r, err)
	}
}

// ownSession returns the session that a form names if it is one of the user's, and answers otherwise: as
// to one that is not there, so that nobody learns of another's.
func (a *Auth) ownSession(w http.ResponseWriter, r *http.Request) (id latchbolt.SessionID, name string, ok bool) {
	f, ok := a.form(w, r)
	if !ok {
		return id, "", false
	}
	who, err := User(r)
	if err == nil {
		id, err = latchbolt.ParseSessionID(f.Get("id"))
	}
	if err == nil {
		for s, e := range a.Engine.Sessions(r.Context(), who.ID()) {
			if e != nil {
				err = e
				break
			}
			if s.ID == id {
				return id, f.Get("name"), true
			}
		}
	}
	switch {
	case err == nil, errors.Is(err, latchbolt.ErrNoSession):
		a.notFound(w, r)
	default:
		a.Fail(w, r, err)
	}
	return id, "", false
}

func (a *Auth) endPost(w http.ResponseWriter, r *http.Request) {
	id, _, ok := a.ownSession(w, r)
	if !ok {
		return
	}
	if here, err := Session(r).Info(); err == nil && here.ID == id {
		a.logoutPost(w, r)
		return
	}
	if err := a.Engine.EndSession(r.Context(), id); err != nil {
		a.Fail(w, r, err)
		return
	}
	redirect(w, a.setup.prefix+"?done=ended", http.StatusSeeOther)
}

func (a *Auth) endOthersPost(w http.ResponseWriter, r *http.Request) {
	err := Session(r).act(func(s *request) error { return s.a.Engine.EndOtherSessions(below{s}, s.token) })
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	redirect(w, a.setup.prefix+"?done=others", http.StatusSeeOther)
}

func (a *Auth) namePost(w http.ResponseWriter, r *http.Request) {
	id, name, ok := a.ownSession(w, r)
	if !ok {
		return
	}
	if err := a.Engine.NameSession(r.Context(), id, strings.TrimSpace(name)); err != nil {
		a.Fail(w, r, err)
		return
	}
	redirect(w, a.setup.prefix+"?done=named", http.StatusSeeOther)
}

// A device is one session as its owner sees it.
type device struct {
	ID       string
	Name     string // given by the user; may be empty
	Agent    string // what it is, such as "Firefox on Linux"
	Addr     string // may be empty
	Created  time.Time
	LastSeen time.Time
	Expires  time.Time // if it is not used again
	Current  bool      // it is this one
}

// An event is one line of the audit trail as the user it is about sees it.
type event struct {
	Time   time.Time
	What   string
	Addr   string
	Failed bool
}

// Names that browsers put into their User-Agent, those first that others put in too.
var (
	browsers = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client/", "Go"}}
	systems  = [][2]string{{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// describeAgent says what a User-Agent stands for.
func describeAgent(t *Texts, agent string) string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(agent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	b, s := find(browsers), find(systems)
	switch {
	case b != "" && s != "":
		return t.T("%s on %s", b, s)
	case b != "" || s != "":
		return b + s
	}
	return t.T("Unknown device")
}
