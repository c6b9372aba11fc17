package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/latchbolt-go/latchbolt"
)

// maxBulk is how many users one bulk action is about at most.
const maxBulk = 200

// A bulkAction is something that can be done to many users. Each is done by itself and decided by itself.
type bulkAction struct {
	Name          string
	Text          string // what the choice says
	Question      string // what the confirmation says
	Danger        bool
	Group         bool // needs a group
	method, field string
	do            func(v *view, id latchbolt.UserID, g latchbolt.GroupID) error
}

func inactive(to bool) func(*view, latchbolt.UserID, latchbolt.GroupID) error {
	return func(v *view, id latchbolt.UserID, _ latchbolt.GroupID) error {
		return v.admin.UpdateUser(v.ctx, id, latchbolt.UserChange{Inactive: &to})
	}
}

var bulkActions = []bulkAction{
	{Name: "deactivate", Text: "Deactivate", Question: "Deactivate these users? Their sessions end at once.", method: "UpdateUser", field: "is_active", do: inactive(true)},
	{Name: "activate", Text: "Activate", Question: "Let these users sign in again?", method: "UpdateUser", field: "is_active", do: inactive(false)},
	{Name: "signout", Text: "End all sessions", Question: "End all sessions of these users? Links to set a password that were sent become void.", method: "EndSessions",
		do: func(v *view, id latchbolt.UserID, _ latchbolt.GroupID) error { return v.admin.EndSessions(v.ctx, id) }},
	{Name: "enter", Text: "Add to the group …", Question: "Add these users to the group", Group: true, method: "UpdateUser", field: "groups",
		do: func(v *view, id latchbolt.UserID, g latchbolt.GroupID) error {
			return v.admin.AddToGroup(v.ctx, id, g)
		}},
	{Name: "leave", Text: "Remove from the group …", Question: "Remove these users from the group", Group: true, method: "UpdateUser", field: "groups",
		do: func(v *view, id latchbolt.UserID, g latchbolt.GroupID) error {
			return v.admin.RemoveFromGroup(v.ctx, id, g)
		}},
	{Name: "delete", Text: "Delete", Question: "Delete these users with their memberships, permissions, sessions and links? This cannot be undone.", Danger: true, method: "DeleteUser",
		do: func(v *view, id latchbolt.UserID, _ latchbolt.GroupID) error {
			return v.admin.DeleteUser(v.ctx, id, "")
		}},
}

// bulkActions are those that who asks may do to somebody.
func (v *view) bulkActions() (all []bulkAction) {
	for _, a := range bulkActions {
		if v.can.May(a.method, a.field) {
			all = append(all, a)
		}
	}
	return all
}

type bulkRow struct {
	ID    latchbolt.UserID
	Name  string
	Error string
}

type bulkData struct {
	Action bulkAction
	Group  *latchbolt.Group
	Rows   []bulkRow
	Back   string
	Failed int
}

// BackQuery is what the address of the list ends in.
func (d *bulkData) BackQuery() string {
	if d.Back == "" {
		return ""
	}
	return "?" + d.Back
}

// bulk asks for confirmation first, and does it when that comes.
func (v *view) bulk() error {
	d, err := v.readBulk()
	if err != nil {
		return err
	}
	if err := v.check(d.Action.method, d.Action.field); err != nil {
		return err
	}
	var group latchbolt.GroupID
	if d.Group != nil {
		group = d.Group.ID
	}
	switch v.form.Get("confirm") {
	case "":
		if len(d.Rows) == 0 {
			p := v.newPage("Nobody was chosen", "Tick at least one user in the list, then choose what to do.")
			return v.show(http.StatusUnprocessableEntity, "error", p)
		}
		return v.show(http.StatusOK, "bulk", v.newPage(d.Action.Text, d))
	case "yes":
	default:
		return errBadRequest
	}
	for i := range d.Rows {
		err := d.Action.do(v, d.Rows[i].ID, group)
		var f *latchbolt.ForbiddenError
		switch {
		case err == nil:
		case errors.As(err, &f):
			d.Rows[i].Error = "Not allowed: " + f.Rule
		case errors.Is(err, latchbolt.ErrNotFound):
			d.Rows[i].Error = "Not there any more"
		case errors.Is(err, latchbolt.ErrConflict), errors.Is(err, latchbolt.ErrLastSuperuser), isInvalid(err):
			d.Rows[i].Error = sentence(err)
		case i == 0:
			return err // nothing was done
		default:
			v.c.log.Error("console: a bulk action was broken off", "action", d.Action.Name, "done", i, "of", len(d.Rows), "err", err)
			for j := range d.Rows[i:] {
				d.Rows[i+j].Error = "Something went wrong here"
			}
			d.Failed += len(d.Rows) - i
			return v.show(http.StatusServiceUnavailable, "bulkdone", v.newPage(d.Action.Text, d))
		}
		if err != nil {
			d.Failed++
		}
	}
	return v.show(http.StatusOK, "bulkdone", v.newPage(d.Action.Text, d))
}

func (v *view) readBulk() (*bulkData, error) {
	d := &bulkData{}
	for _, a := range bulkActions {
		if a.Name == v.form.Get("action") {
			d.Action = a
		}
	}
	if d.Action.Name == "" || len(v.form["user"]) > maxBulk {
		return nil, errBadRequest
	}
	back, err := url.ParseQuery(v.form.Get("back"))
	if err != nil || listed(back, []string{"q", "active", "staff", "superuser", "group", "sort"}) != nil {
		return nil, errBadRequest
	}
	d.Back = back.Encode()
	if d.Action.Group {
		id, err := parseID(v.form.Get("group"))
		if err != nil {
			return nil, &latchbolt.FieldError{Field: "group", Code: "required", Msg: "Choose the group, too."}
		}
		if d.Group, _, err = v.admin.Group(v.ctx, latchbolt.GroupID(id)); err != nil {
			return nil, err
		}
	}
	seen := make(map[latchbolt.UserID]bool)
	for _, s := range v.form["user"] {
		n, err := parseID(s)
		if err != nil {
			return nil, errBadRequest
		}
		id := latchbolt.UserID(n)
		if seen[id] {
			continue
		}
		seen[id] = true
		row := bulkRow{ID: id, Name: "User " + strconv.FormatUint(n, 10)}
		if v.can.May("User", "") {
			u, _, err := v.admin.User(v.ctx, id)
			if errors.Is(err, latchbolt.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			row.Name = u.Username
		}
		d.Rows = append(d.Rows, row)
	}
	return d, nil
}
