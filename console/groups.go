package console

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/latchbolt-go/latchbolt"
)

// manyMembers is from where on members are not counted.
const manyMembers = 1000

type groupRow struct {
	latchbolt.Group
	Members int
	Many    bool // at least so many
	Perms   int
}

func (v *view) groups() error {
	all, err := v.admin.Groups(v.ctx)
	if err != nil {
		return err
	}
	rows := make([]groupRow, len(all))
	for i, g := range all {
		n, err := v.admin.CountMembers(v.ctx, g.ID, manyMembers)
		if errors.Is(err, latchbolt.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		grants, _, err := v.admin.GroupGrants(v.ctx, g.ID)
		if err != nil && !errors.Is(err, latchbolt.ErrNotFound) {
			return err
		}
		rows[i] = groupRow{Group: g, Members: n, Many: n == manyMembers, Perms: len(grants)}
	}
	return v.show(http.StatusOK, "groups", v.newPage("Groups", rows))
}

type groupData struct {
	Group   *latchbolt.Group
	Version latchbolt.Version
	Members []*latchbolt.User
	Seen    bool // members may be seen
	More    string
	Matrix  *matrix
	Objects []latchbolt.Grant
	Grants  latchbolt.Version
	Count   int
	Many    bool
	Name    string // as typed
}

func (v *view) groupPath() string { return "groups/" + strconv.FormatUint(v.id, 10) + "/" }

func (v *view) theGroup() (*groupData, error) {
	d := new(groupData)
	var err error
	if d.Group, d.Version, err = v.admin.Group(v.ctx, v.groupID()); err != nil {
		return nil, err
	}
	d.Name = d.Group.Name
	return d, nil
}

func (v *view) group() error { return v.groupPage(http.StatusOK, nil) }

func (v *view) groupPage(status int, wrong func(*page)) error {
	d, err := v.theGroup()
	if err != nil {
		return err
	}
	if d.Count, err = v.admin.CountMembers(v.ctx, d.Group.ID, manyMembers); err != nil {
		return err
	}
	d.Many = d.Count == manyMembers
	if d.Seen = v.can.May("Search", "group"); d.Seen {
		found, err := v.admin.Search(v.ctx, latchbolt.UserSearch{Group: d.Group.ID, From: v.query.Get("from"), Limit: perPage, Budget: askBudget})
		if err != nil {
			return asBadRequest(err)
		}
		d.Members, d.More = found.Users, v.nextPage(found.Next, v.groupPath())
	}
	if err := v.groupMatrix(d, true); err != nil {
		return err
	}
	p := v.newPage(d.Group.Name, d)
	if wrong != nil {
		wrong(p)
	}
	return v.show(status, "group", p)
}

func (v *view) groupMatrix(d *groupData, fixed bool) error {
	grants, version, err := v.admin.GroupGrants(v.ctx, d.Group.ID)
	if err != nil {
		return err
	}
	perms, err := v.admin.Permissions(v.ctx)
	if err != nil {
		return err
	}
	all, objects := split(grants, d.Group.ID)
	d.Grants, d.Objects, d.Matrix = version, objects, newMatrix(perms, all, nil, v.can, fixed)
	return nil
}

func (v *view) groupPermissions() error { return v.groupPermissionsPage(http.StatusOK, nil) }

func (v *view) groupPermissionsPage(status int, wrong func(*page)) error {
	d, err := v.theGroup()
	if err == nil {
		err = v.groupMatrix(d, !v.can.May("SetGroupPermissions", ""))
	}
	if err != nil {
		return err
	}
	p := v.newPage("Permissions of "+d.Group.Name, d)
	if wrong != nil {
		wrong(p)
	}
	return v.show(status, "groupperms", p)
}

const staleText = "Somebody else changed it meanwhile. This page has the present state; please choose again."

func (v *view) setGroupPermissions() error {
	ids, err := v.chosen()
	if err != nil {
		return err
	}
	version := latchbolt.Version(v.form.Get("version"))
	if version == "" {
		return errBadRequest
	}
	return v.withFreshness(func() error {
		err := v.admin.SetGroupPermissions(v.ctx, v.groupID(), ids, version)
		if errors.Is(err, latchbolt.ErrConflict) {
			return v.groupPermissionsPage(http.StatusConflict, func(p *page) { p.wrong("", staleText) })
		}
		if err != nil {
			return err
		}
		return v.go303(v.groupPath()+"permissions/", "permissions")
	})
}

// withFreshness does something if the password was given lately, for pages that may be looked at without.
func (v *view) withFreshness(do func() error) error {
	v.c.Auth.RequireFresh(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if err := do(); err != nil {
			v.fail(err)
		}
	})).ServeHTTP(v.w, v.r)
	return nil
}

func (v *view) addGroup() error {
	if err := v.check("CreateGroup", ""); err != nil {
		return err
	}
	return v.show(http.StatusOK, "groupadd", v.newPage("Add a group", ""))
}

func (v *view) createGroup() error {
	name := v.trimmed("name")
	id, err := v.admin.CreateGroup(v.ctx, name)
	if isInvalid(err) {
		p := v.newPage("Add a group", name)
		p.refused(err, "name")
		return v.show(http.StatusUnprocessableEntity, "groupadd", p)
	}
	if err != nil {
		return err
	}
	if !v.can.May("Group", "") {
		return v.go303("", "")
	}
	return v.go303("groups/"+strconv.FormatUint(uint64(id), 10)+"/", "saved")
}

func (v *view) editGroup() error {
	if err := v.check("RenameGroup", ""); err != nil {
		return err
	}
	d, err := v.theGroup()
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "groupedit", v.newPage("Rename "+d.Group.Name, d))
}

func (v *view) renameGroup() error {
	name, version := v.trimmed("name"), latchbolt.Version(v.form.Get("version"))
	if version == "" {
		return errBadRequest
	}
	err := v.admin.RenameGroup(v.ctx, v.groupID(), name, version)
	if isInvalid(err) || errors.Is(err, latchbolt.ErrConflict) {
		d, gerr := v.theGroup()
		if gerr != nil {
			return gerr
		}
		d.Name = name
		p := v.newPage("Rename "+d.Group.Name, d)
		if errors.Is(err, latchbolt.ErrConflict) {
			p.wrong("", "Somebody else renamed it meanwhile, to “"+d.Group.Name+"”. Save again to give it your name.")
			return v.show(http.StatusConflict, "groupedit", p)
		}
		d.Version = version
		p.refused(err, "name")
		return v.show(http.StatusUnprocessableEntity, "groupedit", p)
	}
	if err != nil {
		return err
	}
	if !v.can.May("Group", "") {
		return v.go303("", "")
	}
	return v.go303(v.groupPath(), "saved")
}

// changeMember puts a user into the group, by name, or takes one out.
func (v *view) changeMember() error {
	add, remove := v.trimmed("add"), v.form.Get("remove")
	var err error
	switch {
	case add != "" && remove == "":
		var u *latchbolt.User
		if u, err = v.admin.UserByName(v.ctx, add); err == nil {
			err = v.admin.AddToGroup(v.ctx, u.ID, v.groupID())
		}
		if errors.Is(err, latchbolt.ErrNotFound) {
			return v.groupPage(http.StatusUnprocessableEntity, func(p *page) { p.wrong("add", "There is no user of that name.") })
		}
	case remove != "" && add == "":
		id, perr := parseID(remove)
		if perr != nil {
			return errBadRequest
		}
		err = v.admin.RemoveFromGroup(v.ctx, latchbolt.UserID(id), v.groupID())
	case add == "" && v.form.Has("add") && remove == "":
		return v.groupPage(http.StatusUnprocessableEntity, func(p *page) { p.wrong("add", "Enter the name of a user.") })
	default:
		return errBadRequest
	}
	if err != nil {
		return err
	}
	return v.go303(v.groupPath(), "member")
}

func (v *view) askDeleteGroup() error {
	if err := v.check("DeleteGroup", ""); err != nil {
		return err
	}
	d := &groupData{Group: &latchbolt.Group{ID: v.groupID(), Name: "Group " + strconv.FormatUint(v.id, 10)}}
	if v.can.May("Group", "") {
		var err error
		if d, err = v.theGroup(); err != nil {
			return err
		}
		if d.Count, err = v.admin.CountMembers(v.ctx, d.Group.ID, manyMembers); err != nil {
			return err
		}
		if err := v.groupMatrix(d, true); err != nil {
			return err
		}
		d.Many = d.Count == manyMembers
	}
	return v.show(http.StatusOK, "groupdelete", v.newPage("Delete "+d.Group.Name, d))
}

// Granted counts what is granted in the matrix.
func (d *groupData) Granted() (n int) {
	if d.Matrix == nil {
		return 0
	}
	for _, a := range d.Matrix.Apps {
		for _, r := range a.Rows {
			for _, c := range append(r.Cells[:], r.More...) {
				if c != nil && c.Granted {
					n++
				}
			}
		}
	}
	return n + len(d.Objects)
}

func (v *view) deleteGroup() error {
	if err := v.admin.DeleteGroup(v.ctx, v.groupID(), latchbolt.Version(v.form.Get("version"))); err != nil {
		return err
	}
	if !v.can.May("Groups", "") {
		return v.go303("", "")
	}
	return v.go303("groups/", "deleted")
}
