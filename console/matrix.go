package console

import (
	"cmp"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt"
)

// A matrix has the permissions of an app in rows of models, with the four usual ones in columns.
type matrix struct{ Apps []matrixApp }

type matrixApp struct {
	Name string
	Rows []matrixRow
}

type matrixRow struct {
	Model string
	Cells [len(matrixColumns)]*cell // nil: there is no such permission
	More  []*cell                   // other permissions
}

// A cell is one permission and whether it is granted.
type cell struct {
	ID       latchbolt.PermissionID
	Perm     latchbolt.Perm
	Label    string // for people who hear it, or for other permissions
	Granted  bool
	Disabled bool   // cannot be changed by who asks
	Also     string // it is had for another reason too, or for single objects
}

var matrixColumns = [...]string{"view", "add", "change", "delete"}

// Columns are the headings.
func (matrix) Columns() []string { return matrixColumns[:] }

// newMatrix puts permissions into rows and columns. can is who asks: what somebody does not hold cannot be given, but what is granted can be taken back.
func newMatrix(perms []latchbolt.Permission, granted map[latchbolt.PermissionID]bool, also map[latchbolt.PermissionID]string, can *latchbolt.Allowed, fixed bool) *matrix {
	perms = slices.Clone(perms)
	slices.SortStableFunc(perms, func(a, b latchbolt.Permission) int {
		return cmp.Or(strings.Compare(a.App, b.App), strings.Compare(a.Model, b.Model), strings.Compare(a.Codename, b.Codename))
	})
	m := new(matrix)
	for _, p := range perms {
		if n := len(m.Apps); n == 0 || m.Apps[n-1].Name != p.App {
			m.Apps = append(m.Apps, matrixApp{Name: p.App})
		}
		app := &m.Apps[len(m.Apps)-1]
		if n := len(app.Rows); n == 0 || app.Rows[n-1].Model != p.Model {
			app.Rows = append(app.Rows, matrixRow{Model: p.Model})
		}
		row := &app.Rows[len(app.Rows)-1]
		c := &cell{ID: p.ID, Perm: p.Perm(), Label: p.Name, Granted: granted[p.ID], Also: also[p.ID]}
		if c.Label == "" {
			c.Label = string(c.Perm)
		}
		c.Disabled = fixed || !c.Granted && !can.Holds(c.Perm)
		action, ok := strings.CutSuffix(p.Codename, "_"+p.Model)
		if i := slices.Index(matrixColumns[:], action); ok && p.Model != "" && i >= 0 {
			row.Cells[i] = c
		} else {
			row.More = append(row.More, c)
		}
	}
	return m
}

// chosen reads the permissions of a form.
func (v *view) chosen() ([]latchbolt.PermissionID, error) {
	ids := []latchbolt.PermissionID{}
	for _, s := range v.form["perm"] {
		id, err := parseID(s)
		if err != nil || id > 1<<32-1 {
			return nil, errBadRequest
		}
		ids = append(ids, latchbolt.PermissionID(id))
	}
	return ids, nil
}

// split tells grants for all objects from those for single ones.
func split(grants []latchbolt.Grant, of latchbolt.Subject) (all map[latchbolt.PermissionID]bool, objects []latchbolt.Grant) {
	all = make(map[latchbolt.PermissionID]bool)
	for _, g := range grants {
		switch {
		case g.Subject != of:
		case g.Object == "":
			all[g.Permission.ID] = true
		default:
			objects = append(objects, g)
		}
	}
	return all, objects
}
