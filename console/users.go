package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// perPage is how many rows a list has.
const perPage = 50

// Budgets of a search: while somebody types, and when somebody asked for it and waits.
const (
	liveBudget = 15 * time.Millisecond
	askBudget  = 250 * time.Millisecond
)

type usersData struct {
	Query  url.Values
	Sort   string
	Page   latchbolt.UserPage
	Group  *latchbolt.Group
	Groups map[latchbolt.GroupID]string
	All    []latchbolt.Group // for the filter and for bulk actions; nil for who may not see groups
	More   string            // address of the next page
	Done   int               // per cent of the file gone through, for a search that is not over
	Bulk   []bulkAction
	Back   string // the query of this page, to come back to
}

// Has reports whether a filter has a value.
func (d *usersData) Has(name, value string) bool { return d.Query.Get(name) == value }

// Filtered reports whether not all users are listed.
func (d *usersData) Filtered() bool {
	for _, name := range []string{"q", "active", "staff", "superuser", "group"} {
		if d.Query.Get(name) != "" {
			return true
		}
	}
	return false
}

func (v *view) users() error {
	q, err := v.search()
	if err != nil {
		return err
	}
	d := &usersData{Query: v.query, Sort: v.query.Get("sort")}
	if d.Page, err = v.admin.Search(v.ctx, *q); err != nil {
		return asBadRequest(err)
	}
	if v.can.May("Groups", "") {
		if d.All, err = v.admin.Groups(v.ctx); err != nil {
			return err
		}
		d.Groups = groupNames(d.All)
		if q.Group != 0 {
			if d.Group, _, err = v.admin.Group(v.ctx, q.Group); err != nil {
				return err
			}
		}
	}
	d.More, d.Back = v.nextPage(d.Page.Next, "users/"), withoutKeys(v.query, "live", "from", "done")
	d.Done = int(100 * d.Page.Done)
	d.Bulk = v.bulkActions()
	p := v.newPage("Users", d)
	if v.query.Get("live") == "1" {
		return v.render(http.StatusOK, "users", "results", p)
	}
	return v.show(http.StatusOK, "users", p)
}

// search reads what to search for. Nothing but what is named here can be searched by or sorted by.
func (v *view) search() (*latchbolt.UserSearch, error) {
	q := &latchbolt.UserSearch{Text: v.query.Get("q"), From: v.query.Get("from"), Limit: perPage, Budget: askBudget}
	var err error
	for name, f := range map[string]*latchbolt.Filter{"active": &q.Active, "staff": &q.Staff, "superuser": &q.Superuser} {
		if *f, err = v.filter(name); err != nil {
			return nil, err
		}
	}
	sort, err := v.choice("sort", "name", "newest", "oldest")
	if err != nil {
		return nil, err
	}
	q.Order = map[string]latchbolt.SearchOrder{"name": latchbolt.SearchByName, "newest": latchbolt.SearchNewest, "oldest": latchbolt.SearchOldest}[sort]
	live, err := v.choice("live", "", "1")
	if live == "1" {
		q.Budget = liveBudget
	}
	if g := v.query.Get("group"); g != "" && err == nil {
		var id uint64
		if id, err = parseID(g); err != nil {
			return nil, errBadRequest
		}
		q.Group = latchbolt.GroupID(id)
	}
	return q, err
}

// asBadRequest is for values of an address that the engine refuses: nobody typed them.
func asBadRequest(err error) error {
	if isInvalid(err) {
		return errBadRequest
	}
	return err
}

// nextPage is the address of the page that begins at a place, or "" at the end.
func (v *view) nextPage(next, path string) string {
	if next == "" {
		return ""
	}
	q := url.Values{}
	for name, vs := range v.query {
		if name != "live" && name != "done" && vs[0] != "" {
			q[name] = vs
		}
	}
	q.Set("from", next)
	return v.c.Prefix + path + "?" + q.Encode()
}

func withoutKeys(q url.Values, names ...string) string {
	kept := url.Values{}
	for name, vs := range q {
		if !slices.Contains(names, name) && vs[0] != "" {
			kept[name] = vs
		}
	}
	return kept.Encode()
}

func groupNames(all []latchbolt.Group) map[latchbolt.GroupID]string {
	names := make(map[latchbolt.GroupID]string, len(all))
	for _, g := range all {
		names[g.ID] = g.Name
	}
	return names
}

type userData struct {
	ID       latchbolt.UserID
	User     *latchbolt.User // nil for who may not see users
	Groups   map[latchbolt.GroupID]string
	Wait     time.Duration // until the next attempt is looked at
	Failures int
	Sessions []latchbolt.Session
	Listed   bool // sessions were asked for
	Mail     bool // links can be sent
	Events   []*latchbolt.AuditEntry
}

// Name is the user's name, or what there is in place of it.
func (d *userData) Name() string { return nameOr(d.User, d.ID) }

func nameOr(u *latchbolt.User, id latchbolt.UserID) string {
	if u != nil {
		return u.Username
	}
	return "User " + strconv.FormatUint(uint64(id), 10)
}

func (v *view) user() error {
	d := &userData{ID: v.userID(), Mail: v.c.Auth.SendReset != nil}
	var err error
	if d.User, _, err = v.admin.User(v.ctx, d.ID); err != nil {
		return err
	}
	if d.Wait, d.Failures, err = v.admin.Throttled(v.ctx, d.ID); err != nil {
		return err
	}
	if v.can.May("Groups", "") {
		all, err := v.admin.Groups(v.ctx)
		if err != nil {
			return err
		}
		d.Groups = groupNames(all)
	}
	if v.can.May("Sessions", "") {
		d.Listed = true
		if d.Sessions, err = v.admin.Sessions(v.ctx, d.ID); err != nil {
			return err
		}
	}
	if v.can.May("Audit", "") {
		if d.Events, _, _, err = v.admin.AuditPage(v.ctx, latchbolt.AuditQuery{User: d.ID}, 10); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "user", v.newPage(d.User.Username, d))
}

// subject loads the user that a form is about, as far as who asks may see it.
func (v *view) subject() (*userData, error) {
	d := &userData{ID: v.userID(), Mail: v.c.Auth.SendReset != nil}
	if !v.can.May("User", "") {
		return d, nil
	}
	var err error
	d.User, _, err = v.admin.User(v.ctx, d.ID)
	return d, err
}

func (v *view) unlock() error {
	if err := v.admin.Unlock(v.ctx, v.userID()); err != nil {
		return err
	}
	return v.done("unlocked")
}

// done goes back to the user, or to the dashboard for who may not see users.
func (v *view) done(code string) error {
	if !v.can.May("User", "") {
		return v.go303("", "")
	}
	return v.go303("users/"+strconv.FormatUint(v.id, 10)+"/", code)
}

// askDeleteUser names all that goes.
func (v *view) askDeleteUser() error {
	goes, err := v.admin.WhatGoesWith(v.ctx, v.userID())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "userdelete", v.newPage("Delete "+goes.User.Username, goes))
}

func (v *view) deleteUser() error {
	if err := v.admin.DeleteUser(v.ctx, v.userID(), latchbolt.Version(v.form.Get("version"))); err != nil {
		return err
	}
	if !v.can.May("Search", "") {
		return v.go303("", "")
	}
	return v.go303("users/", "deleted")
}

func (v *view) askPassword() error { return v.passwordForm(http.StatusOK, nil) }

func (v *view) passwordForm(status int, wrong func(*page)) error {
	if err := v.check("SetPassword", ""); err != nil {
		return err
	}
	d, err := v.subject()
	if err != nil {
		return err
	}
	p := v.newPage("Set the password of "+d.Name(), d)
	if wrong != nil {
		wrong(p)
	}
	return v.show(status, "password", p)
}

func (v *view) setPassword() error {
	if v.form.Get("password") != v.form.Get("password_again") {
		return v.passwordForm(http.StatusUnprocessableEntity, func(p *page) { p.wrong("password_again", "The two passwords are not the same.") })
	}
	err := v.admin.SetPassword(v.ctx, v.userID(), v.form.Get("password"))
	if isInvalid(err) {
		return v.passwordForm(http.StatusUnprocessableEntity, func(p *page) { p.refused(err, "password") })
	}
	if err != nil {
		return err
	}
	return v.done("password")
}

type sessionsData struct {
	*userData
	MayEnd bool
}

func (v *view) userSessions() error {
	sessions, err := v.admin.Sessions(v.ctx, v.userID())
	if err != nil {
		return err
	}
	d, err := v.subject()
	if err != nil {
		return err
	}
	d.Sessions = sessions
	return v.show(http.StatusOK, "usersessions", v.newPage("Sessions of "+d.Name(), &sessionsData{d, v.can.May("EndSession", "")}))
}

func (v *view) endUserSessions() error {
	one, all := v.form.Get("session"), v.form.Get("all")
	back := "users/" + strconv.FormatUint(v.id, 10) + "/sessions/"
	switch {
	case all == "yes" && one == "":
		if err := v.admin.EndSessions(v.ctx, v.userID()); err != nil {
			return err
		}
		return v.go303(back, "endedall")
	case one != "" && all == "":
		id, err := latchbolt.ParseSessionID(one)
		if err != nil {
			return errBadRequest
		}
		if err := v.admin.EndSession(v.ctx, v.userID(), id); err != nil {
			return err
		}
		return v.go303(back, "ended")
	}
	return errBadRequest
}

type resetData struct {
	*userData
	MaySend, MayShow bool
	Link             string
	For              time.Duration
	Base             bool // links can be made
}

func (v *view) resetData() (*resetData, error) {
	d, err := v.subject()
	if err != nil {
		return nil, err
	}
	return &resetData{userData: d, MaySend: v.can.May("SendReset", "") && d.Mail, MayShow: v.can.May("ResetToken", ""), Base: v.c.Auth.BaseURL != ""}, nil
}

func (v *view) askReset() error {
	if !v.can.May("ResetToken", "") {
		if err := v.check("SendReset", ""); err != nil {
			return err
		}
	}
	d, err := v.resetData()
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "reset", v.newPage("Reset the password of "+d.Name(), d))
}

// reset sends a link, or shows it: once, in the answer to this very request.
func (v *view) reset() error {
	switch v.form.Get("how") {
	case "send":
		if v.c.Auth.SendReset == nil {
			return errBadRequest
		}
		if err := v.admin.SendReset(v.ctx, v.userID(), v.sendLink); err != nil {
			return err
		}
		return v.done("sent")
	case "show":
		if v.c.Auth.BaseURL == "" {
			return errBadRequest
		}
		t, err := v.admin.ResetToken(v.ctx, v.userID())
		if err != nil {
			return err
		}
		d, err := v.resetData()
		if err != nil {
			return err
		}
		if d.Link, err = v.c.Auth.ResetURL(t); err != nil {
			return err
		}
		return v.show(http.StatusOK, "resetlink", v.newPage("Link for "+d.Name(), d))
	}
	return errBadRequest
}

// trimmed is a value of a form without white space around it.
func (v *view) trimmed(name string) string { return strings.TrimSpace(v.form.Get(name)) }
