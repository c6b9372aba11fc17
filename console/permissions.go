package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/latchbolt-go/latchbolt"
)

type permRow struct {
	latchbolt.Permission
	Address string
}

func permAddress(p latchbolt.Perm) string { return "permissions/" + url.PathEscape(string(p)) + "/" }

func (v *view) permissions() error {
	all, err := v.admin.Permissions(v.ctx)
	if err != nil {
		return err
	}
	type app struct {
		Name string
		Rows []permRow
	}
	var apps []app
	at := make(map[string]int)
	for _, p := range all {
		i, ok := at[p.App]
		if !ok {
			i, at[p.App] = len(apps), len(apps)
			apps = append(apps, app{Name: p.App})
		}
		apps[i].Rows = append(apps[i].Rows, permRow{p, permAddress(p.Perm())})
	}
	return v.show(http.StatusOK, "permissions", v.newPage("Permissions", apps))
}

type permData struct {
	Perm   latchbolt.Perm
	Names  []string
	Groups []latchbolt.GroupHolder
	Users  []holder
	Seen   bool // users may be seen
	More   string
}

// A holder is a user who has a permission, and why.
type holder struct {
	User *latchbolt.User
	Why  string
}

// permission shows who has a permission and why.
func (v *view) permission() error {
	d := &permData{Perm: latchbolt.Perm(v.r.PathValue("perm"))}
	var err error
	if d.Groups, err = v.admin.Holders(v.ctx, d.Perm); err != nil {
		return err
	}
	all, err := v.admin.Permissions(v.ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Perm() == d.Perm {
			d.Names = append(d.Names, p.Name)
		}
	}
	if d.Seen = v.can.May("Search", "permission") && v.can.May("Explain", ""); d.Seen {
		found, err := v.admin.Search(v.ctx, latchbolt.UserSearch{Perm: d.Perm, From: v.query.Get("from"), Limit: perPage, Budget: askBudget})
		if err != nil {
			return asBadRequest(err)
		}
		groups, err := v.groupNames()
		if err != nil {
			return err
		}
		for _, u := range found.Users {
			why, err := v.admin.Explain(v.ctx, u.ID, d.Perm)
			if err != nil {
				return err
			}
			d.Users = append(d.Users, holder{u, reason(why, groups)})
		}
		d.More = v.nextPage(found.Next, permAddress(d.Perm))
	}
	return v.show(http.StatusOK, "permission", v.newPage(string(d.Perm), d))
}

func (v *view) groupNames() (map[latchbolt.GroupID]string, error) {
	if !v.can.May("Groups", "") {
		return nil, nil
	}
	all, err := v.admin.Groups(v.ctx)
	return groupNames(all), err
}

// reason says for people why a permission is had or not.
func reason(d latchbolt.Decision, groups map[latchbolt.GroupID]string) string {
	switch d.Reason {
	case latchbolt.ReasonSuperuser:
		return "is a superuser"
	case latchbolt.ReasonInactive:
		return "granted, but the user is not active"
	case latchbolt.ReasonBackend:
		return "granted by the backend " + d.Backend
	case latchbolt.ReasonDenied:
		return "refused by the backend " + d.Backend
	case latchbolt.ReasonGranted:
		var ways []string
		for _, g := range d.Via {
			ways = append(ways, via(g, groups))
		}
		return strings.Join(ways, "; ")
	}
	return string(d.Reason)
}

// via says how a grant reaches a user.
func via(g latchbolt.Grant, groups map[latchbolt.GroupID]string) string {
	how := "granted to the user"
	if id, ok := g.Subject.(latchbolt.GroupID); ok {
		how = "through a group"
		if name, ok := groups[id]; ok {
			how = "through the group " + name
		}
	}
	if g.Object != "" {
		how += ", for " + string(g.Object) + " only"
	}
	return how
}

type userPermsData struct {
	ID        latchbolt.UserID
	User      *latchbolt.User
	Version   latchbolt.Version
	Effective []effective
	Objects   []effective
	Matrix    *matrix
	MaySet    bool
	All       bool // those that are not had are listed too
}

// effective is a permission, whether it is had, and why.
type effective struct {
	Perm    latchbolt.Perm
	Name    string
	Address string
	Object  latchbolt.Object
	Had     bool
	Why     string
}

func (v *view) userPermissions() error {
	show, err := v.choice("show", "had", "all")
	if err != nil {
		return err
	}
	return v.userPermissionsPage(http.StatusOK, show == "all", nil)
}

func (v *view) userPermissionsPage(status int, all bool, wrong func(*page)) error {
	d := &userPermsData{ID: v.userID(), All: all, MaySet: v.can.May("SetUserPermissions", "")}
	grants, version, err := v.admin.UserGrants(v.ctx, d.ID)
	if err != nil {
		return err
	}
	d.Version = version
	if d.User, _, err = v.admin.User(v.ctx, d.ID); err != nil {
		return err
	}
	perms, err := v.admin.Permissions(v.ctx)
	if err != nil {
		return err
	}
	groups, err := v.groupNames()
	if err != nil {
		return err
	}
	if err := v.explain(d, perms, grants, groups); err != nil {
		return err
	}
	own, _ := split(grants, d.ID)
	also := make(map[latchbolt.PermissionID]string)
	for _, g := range grants {
		if g.Subject != latchbolt.Subject(d.ID) && g.Object == "" && !own[g.Permission.ID] {
			also[g.Permission.ID] = via(g, groups)
		}
	}
	d.Matrix = newMatrix(perms, own, also, v.can, !d.MaySet)
	p := v.newPage("Permissions of "+d.User.Username, d)
	if wrong != nil {
		wrong(p)
	}
	return v.show(status, "userperms", p)
}

// explain lists what the user has, and why.
func (v *view) explain(d *userPermsData, perms []latchbolt.Permission, grants []latchbolt.Grant, groups map[latchbolt.GroupID]string) error {
	seen := make(map[latchbolt.Perm]bool)
	for _, p := range perms {
		if seen[p.Perm()] {
			continue
		}
		seen[p.Perm()] = true
		why, err := v.admin.Explain(v.ctx, d.ID, p.Perm())
		if err != nil {
			return err
		}
		if !why.Allowed && !d.All {
			continue
		}
		text := reason(why, groups)
		if why.Reason == latchbolt.ReasonInactive {
			text = "the user is not active"
		}
		d.Effective = append(d.Effective, effective{Perm: p.Perm(), Name: p.Name, Address: permAddress(p.Perm()), Had: why.Allowed, Why: text})
	}
	for _, g := range grants {
		if g.Object != "" {
			d.Objects = append(d.Objects, effective{Perm: g.Permission.Perm(), Name: g.Permission.Name, Address: permAddress(g.Permission.Perm()), Object: g.Object, Had: !d.User.Inactive, Why: via(g, groups)})
		}
	}
	return nil
}

func (v *view) setUserPermissions() error {
	ids, err := v.chosen()
	if err != nil {
		return err
	}
	version := latchbolt.Version(v.form.Get("version"))
	if version == "" {
		return errBadRequest
	}
	return v.withFreshness(func() error {
		err := v.admin.SetUserPermissions(v.ctx, v.userID(), ids, version)
		if errors.Is(err, latchbolt.ErrConflict) {
			return v.userPermissionsPage(http.StatusConflict, false, func(p *page) { p.wrong("", staleText) })
		}
		if err != nil {
			return err
		}
		if !v.can.May("UserGrants", "") {
			return v.go303("", "")
		}
		return v.go303("users/"+strconv.FormatUint(v.id, 10)+"/permissions/", "permissions")
	})
}
