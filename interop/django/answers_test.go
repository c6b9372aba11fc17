package django_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// milli is a time as a dump has it.
func milli(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func TestUsers(t *testing.T) {
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	c := check(t, "users")
	groups := make(map[latchbolt.GroupID]string)
	for g, err := range eng.Groups(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		groups[g.ID] = g.Name
	}
	for _, w := range answers(t).Users {
		u, err := eng.User(t.Context(), latchbolt.UserID(w.PK))
		if err != nil {
			t.Fatal(err)
		}
		row := func(what string, got, want any) { t.Helper(); c.row(t, w.Username+": "+what, got, want) }
		row("username", u.Username, w.Username)
		row("email", u.Email, w.Email)
		row("first_name", u.FirstName, w.FirstName)
		row("last_name", u.LastName, w.LastName)
		row("full_name", u.FullName(), w.FullName)
		row("is_active", !u.Inactive, w.IsActive)
		row("is_staff", u.Staff, w.IsStaff)
		row("is_superuser", u.Superuser, w.IsSuperuser)
		row("date_joined", milli(u.DateJoined), milli(w.DateJoined))
		var login time.Time
		if w.LastLogin != nil {
			login = milli(*w.LastLogin)
		}
		row("last_login", milli(u.LastLogin), login)
		names := []string{}
		for _, g := range u.Groups {
			names = append(names, groups[g])
		}
		slices.Sort(names)
		row("groups", names, w.Groups)
		row("usable", u.Password.Usable, w.Usable)
		row("algorithm", u.Password.Algorithm, w.Hasher.Identify.Value)
	}
}

func TestGroupsAndPermissions(t *testing.T) {
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	c := check(t, "groups")
	for _, w := range answers(t).Groups {
		g, err := eng.Group(t.Context(), latchbolt.GroupID(w.PK))
		if err != nil {
			t.Fatal(err)
		}
		c.row(t, w.Name+": name", g.Name, w.Name)
		grants, err := eng.Grants(t.Context(), g.ID)
		if err != nil {
			t.Fatal(err)
		}
		list := []string{}
		for _, gr := range grants {
			list = append(list, string(gr.Permission.Perm()))
		}
		slices.Sort(list)
		c.row(t, w.Name+": permissions", list, w.Permissions)
		users := userNames(t, eng, latchbolt.UserQuery{Group: g.ID})
		c.row(t, w.Name+": users", users, w.Users)
	}
	type key struct{ app, model, codename, name string }
	var got, want []key
	for p, err := range eng.Permissions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key{p.App, p.Model, p.Codename, p.Name})
	}
	for _, p := range answers(t).Permissions {
		want = append(want, key{p.App, p.Model, p.Codename, p.Name})
	}
	order := func(a, b key) int {
		return strings.Compare(a.app+"\x00"+a.model+"\x00"+a.codename, b.app+"\x00"+b.model+"\x00"+b.codename)
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if len(got) != len(want) {
		t.Fatalf("%d permissions, want %d", len(got), len(want))
	}
	for i := range want {
		c.row(t, want[i].codename, got[i], want[i])
	}
}

func TestPermissions(t *testing.T) {
	// With this backend there are identities of inactive users too.
	cfg := config()
	cfg.Backends = []latchbolt.Backend{latchbolt.PasswordBackend{Inactive: true}}
	eng, _ := imported(t, cfg, readFile(t, "auth.json"), nil)
	checkPermissions(t, eng, "permissions")
}

// checkPermissions asks for every permission of every user.
func checkPermissions(t *testing.T, eng *latchbolt.Engine, section string) {
	ctx := t.Context()
	c := check(t, section)
	for _, w := range answers(t).Users {
		u, err := eng.UserByName(ctx, w.Username)
		if err != nil {
			t.Fatal(err)
		}
		id, err := eng.Identity(ctx, u.ID)
		if err != nil {
			t.Fatal(err)
		}
		row := func(what string, got, want any) { t.Helper(); c.row(t, w.Username+": "+what, got, want) }
		row("user permissions", perms(must(eng.Perms(ctx, id, latchbolt.FromUser))), w.UserPermissions)
		row("group permissions", perms(must(eng.Perms(ctx, id, latchbolt.FromGroup))), w.GroupPermissions)
		row("all permissions", perms(must(eng.Perms(ctx, id, latchbolt.FromAll))), w.AllPermissions)
		row("all with object", perms(must(eng.Perms(ctx, id, latchbolt.FromAll, "catalog.book:1"))), w.AllWithObject)
		for p, want := range w.HasPerm {
			row("has "+p, must(eng.HasPerm(ctx, id, latchbolt.Perm(p))), want)
			row("template has "+p, id.Has(latchbolt.Perm(p)), want)
			row("explain "+p, must(eng.Explain(ctx, id, latchbolt.Perm(p))).Allowed, want)
		}
		for p, want := range w.HasPermObject {
			row("has with object "+p, must(eng.HasPerm(ctx, id, latchbolt.Perm(p), "catalog.book:1")), want)
		}
		for app, want := range w.HasModulePerms {
			row("module "+app, must(eng.HasModulePerms(ctx, id, app)), want)
		}
		for _, many := range w.HasPerms {
			var list []latchbolt.Perm
			for _, p := range many[0].([]any) {
				list = append(list, latchbolt.Perm(p.(string)))
			}
			row("has all", must(eng.HasPerms(ctx, id, list)), many[1])
		}
	}
}

func TestAnonymous(t *testing.T) {
	ctx := t.Context()
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	c := check(t, "anonymous_user")
	w := answers(t).Anonymous
	var id latchbolt.Identity
	c.row(t, "username", id.Username(), w.Username)
	c.row(t, "pk", id.ID() == 0, w.PK == nil)
	c.row(t, "is_active", id.Active(), w.IsActive)
	c.row(t, "is_staff", id.Staff(), w.IsStaff)
	c.row(t, "is_superuser", id.Superuser(), w.IsSuperuser)
	c.row(t, "all permissions", perms(must(eng.Perms(ctx, id, latchbolt.FromAll))), w.All)
	for p, want := range w.HasPerm {
		c.row(t, "has "+p, must(eng.HasPerm(ctx, id, latchbolt.Perm(p))), want)
	}
	for app, want := range w.HasModulePerms {
		c.row(t, "module "+app, must(eng.HasModulePerms(ctx, id, app)), want)
	}
}

func TestWithPerm(t *testing.T) {
	eng, _ := imported(t, config(), readFile(t, "auth.json"), nil)
	c := check(t, "with_perm")
	for _, w := range answers(t).WithPerm {
		q := latchbolt.UserQuery{Perm: latchbolt.Perm(w.Perm), NoSuperusers: !w.IncludeSuperusers}
		active := "any"
		if w.IsActive != nil {
			active, q.Active = "no", latchbolt.Except
			if *w.IsActive {
				active, q.Active = "yes", latchbolt.Only
			}
		}
		want := any(w.Usernames.Value)
		if w.Usernames.Raises != "" {
			want = w.Usernames.Raises
		}
		c.row(t, fmt.Sprintf("%q, active %s, superusers %v", w.Perm, active, w.IncludeSuperusers), userNames(t, eng, q), want)
	}
}
