package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

func isInvalid(err error) bool { return errors.Is(err, latchbolt.ErrInvalid) }

var errNoMail = errors.New("console: the mail was not sent")

// sendLink gives a link to the program's mail function.
func (v *view) sendLink(ctx context.Context, u latchbolt.User, t latchbolt.Token) error {
	link, err := v.c.Auth.ResetURL(t)
	if err != nil {
		return err
	}
	if err := v.callSendReset(ctx, authhttp.ResetMail{User: &u, To: u.Email, URL: link}); err != nil {
		v.c.log.Error("console: a reset mail was not sent", "user", uint64(u.ID), "err", webui.WithoutLink(err, link))
		return errNoMail
	}
	return nil
}

// mailTime is how long somebody waits for a mail to leave, as [authhttp.SendReset] says.
const mailTime = 30 * time.Second

// callSendReset takes a panic for a failure: what it says may hold the link.
func (v *view) callSendReset(ctx context.Context, m authhttp.ResetMail) (err error) {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	defer func() {
		if recover() != nil {
			err = errors.New("SendReset panicked")
		}
	}()
	return v.c.Auth.SendReset(ctx, m)
}

// userFields are the fields of the form, for errors.
var userFields = []string{"username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "groups", "password", "password_again"}

// A userForm is the form of a user that is created or edited.
type userForm struct {
	ID      latchbolt.UserID
	User    latchbolt.User // as typed
	Version latchbolt.Version
	Groups  []choice // nil if they cannot be changed
	Now     []now    // what somebody else made of it meanwhile
	How     string   // how a new user gets a password
	Mail    bool
	Base    bool
	Method  string // of the engine: whose rules say which fields can be set
}

// A choice is a box to tick.
type choice struct {
	ID       uint64
	Name     string
	Ticked   bool
	Disabled bool
}

// A now is a field that has another value than the one that is typed.
type now struct{ Field, Value string }

// Locked reports whether a field of the form cannot be set. Who may create a user may say what has no rule of its own.
func (f *userForm) Locked(can *latchbolt.Allowed, field string) bool {
	if f.Method == "CreateUser" && (field == "username" || field == "email" || field == "is_active") {
		field = ""
	}
	return !can.May(f.Method, field)
}

// groupChoices are the groups to choose from, or nil for who cannot change them.
func (v *view) groupChoices(method string, in []latchbolt.GroupID) ([]choice, error) {
	if !v.can.May(method, "groups") {
		return nil, nil
	}
	all, err := v.admin.Groups(v.ctx)
	if err != nil {
		return nil, err
	}
	boxes := make([]choice, len(all))
	for i, g := range all {
		boxes[i] = choice{ID: uint64(g.ID), Name: g.Name, Ticked: slices.Contains(in, g.ID)}
	}
	return boxes, nil
}

// typed is what the form says. A box that is not ticked is not sent, so what the form does not
// have for who asks has to be told from that: by the rules.
func (v *view) typed() (u latchbolt.User, err error) {
	u = latchbolt.User{Username: v.trimmed("username"), Email: v.trimmed("email"), FirstName: v.trimmed("first_name"), LastName: v.trimmed("last_name")}
	for name, f := range map[string]*bool{"is_active": &u.Inactive, "is_staff": &u.Staff, "is_superuser": &u.Superuser} {
		switch v.form.Get(name) {
		case "":
		case "on":
			*f = true
		default:
			return u, errBadRequest
		}
	}
	u.Inactive = !u.Inactive
	for _, s := range v.form["groups"] {
		id, err := parseID(s)
		if err != nil {
			return u, errBadRequest
		}
		u.Groups = append(u.Groups, latchbolt.GroupID(id))
	}
	return u, nil
}

func (v *view) addUser() error {
	if err := v.check("CreateUser", ""); err != nil {
		return err
	}
	return v.addForm(http.StatusOK, latchbolt.User{}, "link", nil)
}

func (v *view) addForm(status int, u latchbolt.User, how string, err error) error {
	boxes, gerr := v.groupChoices("CreateUser", u.Groups)
	if gerr != nil {
		return gerr
	}
	p := v.newPage("Add a user", &userForm{User: u, Groups: boxes, How: how, Method: "CreateUser", Mail: v.c.Auth.SendReset != nil, Base: v.c.Auth.BaseURL != ""})
	if err != nil && !p.refused(err, userFields...) {
		return err
	}
	return v.show(status, "useradd", p)
}

func (v *view) createUser() error {
	if err := v.check("CreateUser", ""); err != nil { // before the form is shown again
		return err
	}
	u, err := v.typed()
	if err != nil {
		return err
	}
	n := latchbolt.NewUser{Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Inactive: u.Inactive, Staff: u.Staff, Superuser: u.Superuser, Groups: u.Groups}
	how := v.form.Get("how")
	switch how {
	case "link":
		if v.form.Get("password") != "" { // which of the two is meant?
			return v.addForm(http.StatusUnprocessableEntity, u, how, &latchbolt.FieldError{Field: "password", Msg: "Leave the password empty, or choose to set it."})
		}
	case "password":
		n.SetPassword, n.Password = true, v.form.Get("password")
	case "none":
		n.NoPassword = true
	default:
		return errBadRequest
	}
	if n.SetPassword && n.Password != v.form.Get("password_again") {
		if err := v.check("CreateUser", "password"); err != nil {
			return err
		}
		return v.addForm(http.StatusUnprocessableEntity, u, how, &latchbolt.FieldError{Field: "password_again", Msg: "The two passwords are not the same."})
	}
	id, err := v.admin.CreateUser(v.ctx, n)
	if isInvalid(err) {
		return v.addForm(http.StatusUnprocessableEntity, u, how, err)
	}
	if err != nil {
		return err
	}
	path := "users/" + strconv.FormatUint(uint64(id), 10) + "/"
	if how == "link" && (v.can.May("SendReset", "") && v.c.Auth.SendReset != nil && u.Email != "" || v.can.May("ResetToken", "")) && !u.Inactive {
		return v.go303(path+"reset/", "")
	}
	if !v.can.May("User", "") {
		return v.go303("", "")
	}
	return v.go303(path, "created")
}

func (v *view) editUser() error {
	if err := v.check("UpdateUser", ""); err != nil {
		return err
	}
	u, version, err := v.admin.User(v.ctx, v.userID())
	if err != nil {
		return err
	}
	return v.editForm(http.StatusOK, *u, version, nil, nil)
}

func (v *view) editForm(status int, u latchbolt.User, version latchbolt.Version, changed []now, err error) error {
	boxes, gerr := v.groupChoices("UpdateUser", u.Groups)
	if gerr != nil {
		return gerr
	}
	f := &userForm{ID: v.userID(), User: u, Version: version, Groups: boxes, Now: changed, Method: "UpdateUser"}
	p := v.newPage("Edit "+u.Username, f)
	if err != nil && !p.refused(err, userFields...) {
		return err
	}
	return v.show(status, "useredit", p)
}

// updateUser changes what the form sets. A box that is not ticked is not sent, so the form says which boxes it has: who was
// allowed more since it was made does not untick what could not be ticked.
func (v *view) updateUser() error {
	u, err := v.typed()
	if err != nil {
		return err
	}
	c := latchbolt.UserChange{If: latchbolt.Version(v.form.Get("version"))}
	if c.If == "" {
		return errBadRequest
	}
	for name, field := range map[string]struct {
		to   **string
		text *string
	}{"username": {&c.Username, &u.Username}, "email": {&c.Email, &u.Email}, "first_name": {&c.FirstName, &u.FirstName}, "last_name": {&c.LastName, &u.LastName}} {
		if v.form.Has(name) {
			*field.to = field.text
		}
	}
	for name, field := range map[string]struct {
		to   **bool
		flag *bool
	}{"is_active": {&c.Inactive, &u.Inactive}, "is_staff": {&c.Staff, &u.Staff}, "is_superuser": {&c.Superuser, &u.Superuser}} {
		if v.sets(name) {
			*field.to = field.flag
		}
	}
	if v.form.Has("groups") || v.form.Get("has_groups") == "yes" {
		c.Groups = &u.Groups
	}
	err = v.admin.UpdateUser(v.ctx, v.userID(), c)
	switch {
	case err == nil:
		return v.done("saved")
	case errors.Is(err, latchbolt.ErrConflict):
		return v.stale(u)
	case isInvalid(err):
		is, _, uerr := v.admin.User(v.ctx, v.userID())
		if uerr != nil {
			return uerr
		}
		v.keepLocked(&u, is)
		return v.editForm(http.StatusUnprocessableEntity, u, c.If, nil, err)
	}
	return err
}

// sets reports whether the form has a field, or a box that may be ticked or not.
func (v *view) sets(name string) bool {
	return v.form.Has(name) || slices.Contains(v.form["has"], name)
}

// keepLocked fills in what the form could not say.
func (v *view) keepLocked(typed, is *latchbolt.User) {
	for name, field := range map[string][2]*string{"username": {&typed.Username, &is.Username}, "email": {&typed.Email, &is.Email}, "first_name": {&typed.FirstName, &is.FirstName}, "last_name": {&typed.LastName, &is.LastName}} {
		if !v.sets(name) {
			*field[0] = *field[1]
		}
	}
	for name, flag := range map[string][2]*bool{"is_active": {&typed.Inactive, &is.Inactive}, "is_staff": {&typed.Staff, &is.Staff}, "is_superuser": {&typed.Superuser, &is.Superuser}} {
		if !v.sets(name) {
			*flag[0] = *flag[1]
		}
	}
	if !v.form.Has("groups") && v.form.Get("has_groups") != "yes" {
		typed.Groups = is.Groups
	}
}

// stale shows what is typed beside what somebody else made of the user meanwhile.
func (v *view) stale(typed latchbolt.User) error {
	u, version, err := v.admin.User(v.ctx, v.userID())
	if err != nil {
		return err
	}
	v.keepLocked(&typed, u)
	var changed []now
	text := func(field, is, want string) {
		if is != want {
			changed = append(changed, now{field, is})
		}
	}
	flag := func(field, name string, is, want bool) {
		if is != want && v.can.May("UpdateUser", name) {
			changed = append(changed, now{field, map[bool]string{true: "yes", false: "no"}[is]})
		}
	}
	text("User name", u.Username, typed.Username)
	text("E-mail address", u.Email, typed.Email)
	text("First name", u.FirstName, typed.FirstName)
	text("Last name", u.LastName, typed.LastName)
	flag("Active", "is_active", !u.Inactive, !typed.Inactive)
	flag("Staff", "is_staff", u.Staff, typed.Staff)
	flag("Superuser", "is_superuser", u.Superuser, typed.Superuser)
	if v.can.May("UpdateUser", "groups") {
		slices.Sort(typed.Groups)
		if !slices.Equal(u.Groups, typed.Groups) {
			changed = append(changed, now{"Groups", fmt.Sprintf("%d groups", len(u.Groups))})
		}
	}
	if changed == nil {
		changed = []now{{"Everything", "as in this form"}}
	}
	typed.ID = u.ID
	return v.editForm(http.StatusConflict, typed, version, changed, nil)
}
