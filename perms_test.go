package latchbolt_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func define(t testing.TB, eng *latchbolt.Engine, perms ...latchbolt.Perm) {
	t.Helper()
	for _, p := range perms {
		_, codename, _ := strings.Cut(string(p), ".")
		must(t, "defining "+string(p), eng.Define(t.Context(), latchbolt.Permission{App: p.App(), Codename: codename}))
	}
}

func hasPerm(t testing.TB, eng *latchbolt.Engine, id latchbolt.Identity, p latchbolt.Perm, o ...latchbolt.Object) bool {
	t.Helper()
	ok, err := eng.HasPerm(t.Context(), id, p, o...)
	must(t, "HasPerm", err)
	return ok
}

func makeSuperuser(u *latchbolt.User) { u.Superuser = true }

func TestPermApp(t *testing.T) {
	for p, want := range map[latchbolt.Perm]string{"blog.add": "blog", "wiki.publish.all": "wiki", "bare": "", "": "", ".x": ""} {
		if got := p.App(); got != want {
			t.Errorf("%q: got %q, want %q", p, got, want)
		}
	}
}

func TestWhoHasAPermission(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add", "blog.change", "wiki.publish.all")
	g := addGroup(t, eng, "g")
	must(t, "grant", eng.Grant(ctx, g, "blog.add"))
	must(t, "grant", eng.Grant(ctx, g, "wiki.publish.all"))
	flags := map[string]func(*latchbolt.User){
		"plain":              func(*latchbolt.User) {},
		"member":             func(u *latchbolt.User) { u.Groups = []latchbolt.GroupID{g} },
		"staff":              func(u *latchbolt.User) { u.Staff = true },
		"inactive member":    func(u *latchbolt.User) { u.Groups, u.Inactive = []latchbolt.GroupID{g}, true },
		"superuser":          makeSuperuser,
		"inactive superuser": func(u *latchbolt.User) { u.Superuser, u.Inactive = true, true },
	}
	ids := map[string]latchbolt.Identity{"anonymous": {}}
	var sleepers []latchbolt.UserID
	for name, fn := range flags {
		u := &latchbolt.User{Username: strings.ReplaceAll(name, " ", "-")}
		fn(u)
		asleep := u.Inactive
		u.Inactive = false
		must(t, name, eng.CreateUser(ctx, u, goodPassword))
		ids[name] = authenticate(t, eng, u.Username)
		if asleep {
			sleepers = append(sleepers, u.ID)
		}
	}
	for _, id := range sleepers { // when there is another superuser for certain
		must(t, "deactivating", eng.UpdateUser(ctx, id, set(deactivated)))
	}
	must(t, "direct grant to the inactive", eng.Grant(ctx, ids["inactive member"].ID(), "blog.change"))
	for _, c := range []struct {
		who  string
		perm latchbolt.Perm
		want bool
	}{
		{"anonymous", "blog.add", false},
		{"plain", "blog.add", false},
		{"member", "blog.add", true},
		{"member", "blog.change", false},
		{"member", "wiki.publish.all", true},
		{"member", "wiki.publish", false},
		{"member", "add", false},
		{"member", "blog", false},
		{"member", "", false},
		{"member", ".", false},
		{"member", "blog.add.", false},
		{"member", "blog.ad", false},
		{"member", "BLOG.add", false},
		{"staff", "blog.add", false},
		{"inactive member", "blog.add", false},
		{"inactive member", "blog.change", false},
		{"superuser", "blog.add", true},
		{"superuser", "", true},
		{"superuser", ".", true},
		{"superuser", "never.defined", true},
		{"inactive superuser", "blog.add", false},
	} {
		id := ids[c.who]
		for _, objects := range [][]latchbolt.Object{nil, {""}, {"post:1"}, {"post:1", "post:2"}} {
			if got := hasPerm(t, eng, id, c.perm, objects...); got != c.want {
				t.Errorf("%s, %q, %q: got %v, want %v", c.who, c.perm, objects, got, c.want)
			}
			d, err := eng.Explain(ctx, id, c.perm, objects...)
			if err != nil || d.Allowed != c.want {
				t.Errorf("%s, %q: Explain got %+v, %v, want %v", c.who, c.perm, d, err, c.want)
			}
		}
	}
	for _, c := range []struct {
		who, app string
		want     bool
	}{
		{"anonymous", "blog", false}, {"plain", "blog", false}, {"member", "blog", true}, {"member", "wiki", true},
		{"member", "post", false}, {"member", "", false}, {"member", "blo", false}, {"inactive member", "blog", false},
		{"superuser", "blog", true}, {"superuser", "nothing", true}, {"inactive superuser", "blog", false},
	} {
		if ok, err := eng.HasModulePerms(ctx, ids[c.who], c.app); err != nil || ok != c.want {
			t.Errorf("HasModulePerms of %s for %q: got %v, %v, want %v", c.who, c.app, ok, err, c.want)
		}
	}
	for _, c := range []struct {
		who   string
		perms []latchbolt.Perm
		want  bool
	}{
		{"member", []latchbolt.Perm{"blog.add", "wiki.publish.all"}, true},
		{"member", []latchbolt.Perm{"blog.add", "blog.change"}, false},
		{"member", nil, true}, {"anonymous", nil, true}, {"anonymous", []latchbolt.Perm{"blog.add"}, false},
		{"superuser", []latchbolt.Perm{"a.b", "c.d"}, true},
	} {
		if ok, err := eng.HasPerms(ctx, ids[c.who], c.perms); err != nil || ok != c.want {
			t.Errorf("HasPerms of %s for %q: got %v, %v, want %v", c.who, c.perms, ok, err, c.want)
		}
	}
	all := []latchbolt.Perm{"blog.add", "blog.change", "wiki.publish.all"}
	for _, c := range []struct {
		who  string
		from latchbolt.Source
		want []latchbolt.Perm
	}{
		{"anonymous", latchbolt.FromAll, nil}, {"plain", latchbolt.FromAll, nil},
		{"member", latchbolt.FromAll, []latchbolt.Perm{"blog.add", "wiki.publish.all"}},
		{"member", latchbolt.FromGroup, []latchbolt.Perm{"blog.add", "wiki.publish.all"}},
		{"member", latchbolt.FromUser, nil},
		{"superuser", latchbolt.FromAll, all}, {"superuser", latchbolt.FromUser, all}, {"superuser", latchbolt.FromGroup, all},
		{"inactive member", latchbolt.FromAll, nil}, {"inactive superuser", latchbolt.FromAll, nil},
	} {
		if got, err := eng.Perms(ctx, ids[c.who], c.from); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Perms of %s from %d: got %q, %v, want %q", c.who, c.from, got, err, c.want)
		}
	}
}

func TestIdentityAnswersAsOfItsMoment(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	u := addUser(t, eng, "ada")
	must(t, "staff", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Staff = true })))
	before := authenticate(t, eng, "ada")
	must(t, "grant", eng.Grant(ctx, u.ID, "blog.add"))
	after, err := eng.Identity(ctx, u.ID)
	must(t, "identity", err)
	if before.Has("blog.add") || !after.Has("blog.add") || !hasPerm(t, eng, before, "blog.add") {
		t.Errorf("Has before %v, after %v; HasPerm %v", before.Has("blog.add"), after.Has("blog.add"), hasPerm(t, eng, before, "blog.add"))
	}
	if before.ID() != u.ID || before.Username() != "ada" || !before.Active() || !before.Staff() || before.Superuser() || before.Anonymous() ||
		before.Backend() != "password" || before.String() != `"ada"` {
		t.Errorf("got %v %v", before, before.Backend())
	}
	var nobody latchbolt.Identity
	if nobody.ID() != 0 || nobody.Username() != "" || nobody.Active() || nobody.Staff() || nobody.Superuser() || !nobody.Anonymous() ||
		nobody.Backend() != "" || nobody.String() != "anonymous" || nobody.Has("blog.add") {
		t.Errorf("the anonymous user: %v", nobody)
	}
	must(t, "superuser", eng.UpdateUser(ctx, u.ID, set(makeSuperuser)))
	root, err := eng.Identity(ctx, u.ID)
	must(t, "identity", err)
	if !root.Superuser() || !root.Has("never.defined") {
		t.Error("a superuser lacks something")
	}
	_, err = eng.Identity(ctx, 99)
	want(t, "nobody", err, latchbolt.ErrNotFound)
	v := addUser(t, eng, "bob")
	must(t, "deactivate", eng.UpdateUser(ctx, v.ID, set(deactivated)))
	_, err = eng.Identity(ctx, v.ID)
	want(t, "inactive", err, latchbolt.ErrCredentials)
	other := open(t, nil)
	if ok, err := other.HasPerm(ctx, root, "blog.add"); ok || err == nil {
		t.Errorf("the identity of another engine: got %v, %v", ok, err)
	}
	_, err = other.Login(ctx, root, latchbolt.LoginOptions{})
	want(t, "logging in with the identity of another engine", err, latchbolt.ErrCredentials)
}

func TestDefine(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	long := strings.Repeat("x", 101)
	for _, c := range []struct {
		what string
		perm latchbolt.Permission
		want string
	}{
		{"a dot in the app", latchbolt.Permission{App: "a.b", Codename: "c"}, "app_label invalid"},
		{"no app", latchbolt.Permission{Codename: "c"}, "app_label blank"},
		{"no codename", latchbolt.Permission{App: "a"}, "codename blank"},
		{"everything too long", latchbolt.Permission{App: long, Model: long, Codename: long, Name: strings.Repeat("x", 256)},
			"app_label max_length, model max_length, codename max_length, name max_length"},
		{"as long as may be", latchbolt.Permission{App: long[1:], Model: long[1:], Codename: long[1:], Name: strings.Repeat("x", 255)}, ""},
	} {
		wantFields(t, c.what, eng.Define(ctx, c.perm), c.want)
	}
	must(t, "model", eng.DefineModel(ctx, "blog", "post", "blog post"))
	u := addUser(t, eng, "ada").ID
	must(t, "grant", eng.Grant(ctx, u, "blog.add_post"))
	must(t, "again, with another label", eng.DefineModel(ctx, "blog", "post"))
	var got []string
	for p, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		if p.App == "blog" {
			got = append(got, fmt.Sprint(p.ID, " ", p.Perm(), " ", p.Model, ": ", p.Name))
		}
	}
	want := []string{"2 blog.add_post post: Can add blog post", "3 blog.change_post post: Can change blog post",
		"4 blog.delete_post post: Can delete blog post", "5 blog.view_post post: Can view blog post"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if gs, err := eng.Grants(ctx, u); err != nil || len(gs) != 1 {
		t.Errorf("defining again lost a grant: %v, %v", gs, err)
	}
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		return tx.InsertPermission(&latchbolt.Permission{App: "blog", Model: "post", Codename: "add_post"})
	})
	if !errors.Is(err, latchbolt.ErrExists) {
		t.Errorf("inserting one that is there: %v", err)
	}
}

func TestSeveralModelsShareAPerm(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	must(t, "define", eng.Define(ctx,
		latchbolt.Permission{App: "blog", Model: "b", Codename: "add"}, latchbolt.Permission{App: "blog", Model: "a", Codename: "add"},
		latchbolt.Permission{App: "blog", Codename: "add"}, latchbolt.Permission{App: "blo", Codename: "gadd"}))
	var ids []latchbolt.PermissionID
	for p, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		if p.Perm() == "blog.add" {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) != 3 {
		t.Fatalf("got %v", ids)
	}
	for i, pid := range ids {
		u := addUser(t, eng, fmt.Sprint("u", i))
		must(t, "grant", eng.Update(ctx, func(tx *latchbolt.Tx) error { return tx.GrantID(u.ID, pid) }))
		must(t, "object", eng.Update(ctx, func(tx *latchbolt.Tx) error { return tx.GrantID(u.ID, pid, "post:1") }))
		id := authenticate(t, eng, u.Username)
		if !hasPerm(t, eng, id, "blog.add") || !id.Has("blog.add") {
			t.Errorf("one of three gives nothing: %d", i)
		}
		if got, err := eng.Perms(ctx, id, latchbolt.FromAll); err != nil || !slices.Equal(got, []latchbolt.Perm{"blog.add"}) {
			t.Errorf("Perms: %q, %v", got, err)
		}
		must(t, "revoke", eng.Revoke(ctx, u.ID, "blog.add"))
		if hasPerm(t, eng, id, "blog.add") || !hasPerm(t, eng, id, "blog.add", "post:1") {
			t.Errorf("after Revoke, %d: %v, for the object %v", i, hasPerm(t, eng, id, "blog.add"), hasPerm(t, eng, id, "blog.add", "post:1"))
		}
		must(t, "revoke for the object", eng.Revoke(ctx, u.ID, "blog.add", "post:1"))
		if hasPerm(t, eng, id, "blog.add", "post:1") {
			t.Errorf("%d: for the object after Revoke", i)
		}
	}
	must(t, "grant by name", eng.Grant(ctx, latchbolt.UserID(1), "blog.add"))
	if gs, err := eng.Grants(ctx, latchbolt.UserID(1)); err != nil || len(gs) != 1 || gs[0].Permission.ID != ids[0] {
		t.Errorf("Grant by name took %v, %v, not the one defined first", gs, err)
	}
	must(t, "undefine", eng.Undefine(ctx, "blog.add"))
	want(t, "again", eng.Undefine(ctx, "blog.add"), latchbolt.ErrNotFound)
	n := 0
	for range eng.Permissions(ctx) {
		n++
	}
	if n != 1 {
		t.Errorf("%d permissions are left", n)
	}
}

func TestUndefineTakesEverythingBack(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.add", "blog.change")
	u, g := addUser(t, eng, "ada").ID, addGroup(t, eng, "g")
	must(t, "member", eng.AddToGroup(ctx, u, g))
	for _, s := range []latchbolt.Subject{u, g} {
		must(t, "grant", eng.Grant(ctx, s, "blog.add"))
		must(t, "grant", eng.Grant(ctx, s, "blog.add", "post:1"))
		must(t, "grant", eng.Grant(ctx, s, "blog.change"))
	}
	id := authenticate(t, eng, "ada")
	must(t, "undefine", eng.Undefine(ctx, "blog.add"))
	if hasPerm(t, eng, id, "blog.add") || hasPerm(t, eng, id, "blog.add", "post:1") || !hasPerm(t, eng, id, "blog.change") {
		t.Error("the wrong permission went")
	}
	define(t, eng, "blog.add")
	if hasPerm(t, eng, id, "blog.add") || hasPerm(t, eng, id, "blog.add", "post:1") {
		t.Error("defining it again brought the grants back")
	}
	for _, s := range []latchbolt.Subject{u, g} {
		if gs, err := eng.Grants(ctx, s); err != nil || len(gs) != 1 || gs[0].Permission.Codename != "change" {
			t.Errorf("grants of %v: %v, %v", s, gs, err)
		}
	}
}

func TestGrantsOnObjects(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	define(t, eng, "blog.change")
	u, g := addUser(t, eng, "ada").ID, addGroup(t, eng, "g")
	must(t, "member", eng.AddToGroup(ctx, u, g))
	must(t, "own", eng.Grant(ctx, u, "blog.change", "post:1", "post:2"))
	must(t, "of the group", eng.Grant(ctx, g, "blog.change", "post:3"))
	id := authenticate(t, eng, "ada")
	for _, c := range []struct {
		objects []latchbolt.Object
		want    bool
	}{
		{nil, false}, {[]latchbolt.Object{""}, false}, {[]latchbolt.Object{"post:1"}, true}, {[]latchbolt.Object{"post:3"}, true},
		{[]latchbolt.Object{"post:1", "post:2", "post:3"}, true}, {[]latchbolt.Object{"post:1", "post:4"}, false},
		{[]latchbolt.Object{"post:"}, false}, {[]latchbolt.Object{"post:11"}, false}, {[]latchbolt.Object{"post:1\x00"}, false},
	} {
		if got := hasPerm(t, eng, id, "blog.change", c.objects...); got != c.want {
			t.Errorf("%q: got %v, want %v", c.objects, got, c.want)
		}
	}
	if id.Has("blog.change") {
		t.Error("Has counts a grant on an object")
	}
	for _, c := range []struct {
		from   latchbolt.Source
		object latchbolt.Object
		want   int
	}{{latchbolt.FromAll, "", 0}, {latchbolt.FromAll, "post:1", 1}, {latchbolt.FromUser, "post:3", 0}, {latchbolt.FromGroup, "post:3", 1}} {
		if got, err := eng.Perms(ctx, id, c.from, c.object); err != nil || len(got) != c.want {
			t.Errorf("Perms from %d for %q: got %q, %v, want %d", c.from, c.object, got, err, c.want)
		}
	}
	if ok, err := eng.HasModulePerms(ctx, id, "blog"); ok || err != nil {
		t.Errorf("HasModulePerms counts a grant on an object: %v, %v", ok, err)
	}
	must(t, "revoke one", eng.Revoke(ctx, u, "blog.change", "post:1"))
	must(t, "revoke what is not granted", eng.Revoke(ctx, u, "blog.change", "post:9"))
	must(t, "revoke for all", eng.Revoke(ctx, u, "blog.change"))
	if hasPerm(t, eng, id, "blog.change", "post:1") || !hasPerm(t, eng, id, "blog.change", "post:2") {
		t.Error("the wrong grant went")
	}
	for what, err := range map[string]error{
		"grant what is not defined":   eng.Grant(ctx, u, "blog.none"),
		"grant to nobody":             eng.Grant(ctx, latchbolt.UserID(99), "blog.change"),
		"grant to no group":           eng.Grant(ctx, latchbolt.GroupID(99), "blog.change", "x"),
		"grant to nothing":            eng.Grant(ctx, nil, "blog.change"),
		"revoke what is not defined":  eng.Revoke(ctx, u, "blog.none"),
		"revoke from nobody":          eng.Revoke(ctx, latchbolt.UserID(99), "blog.change"),
		"grant a bare codename":       eng.Grant(ctx, u, "change"),
		"grant an unknown identifier": eng.Update(ctx, func(tx *latchbolt.Tx) error { return tx.GrantID(u, 99) }),
	} {
		want(t, what, err, latchbolt.ErrNotFound)
	}
	wantFields(t, "an object of 257 bytes", eng.Grant(ctx, u, "blog.change", latchbolt.Object(strings.Repeat("x", 257))), "object max_length")
	must(t, "an object of 256 bytes", eng.Grant(ctx, u, "blog.change", latchbolt.Object(strings.Repeat("x", 256))))
	must(t, "any bytes", eng.Grant(ctx, u, "blog.change", "\x00\xff\n"))
	if !hasPerm(t, eng, id, "blog.change", "\x00\xff\n") || hasPerm(t, eng, id, "blog.change", "\x00\xff") {
		t.Error("an object of any bytes")
	}
	gs, err := eng.Grants(ctx, u)
	if err != nil || len(gs) != 3 {
		t.Errorf("grants: %v, %v", gs, err)
	}
	for _, gr := range gs {
		if gr.Subject != latchbolt.Subject(u) || gr.Permission.Perm() != "blog.change" {
			t.Errorf("grant %+v", gr)
		}
	}
}

// Whatever is granted and taken back in whatever order, HasPerm, Perms, Explain and the lists agree with a map.
func TestPermissionsAgreeWithAModel(t *testing.T) {
	eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, nil)
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(7, 7))
	perms := []latchbolt.Perm{"a.one", "a.two", "b.one", "b.two.three"}
	define(t, eng, perms...)
	objs := []latchbolt.Object{"", "x", "y"}
	var users []latchbolt.UserID
	ids := make(map[latchbolt.UserID]latchbolt.Identity)
	for i := range 5 {
		u := addUser(t, eng, fmt.Sprint("u", i))
		users, ids[u.ID] = append(users, u.ID), authenticate(t, eng, u.Username)
	}
	groups := []latchbolt.GroupID{addGroup(t, eng, "g"), addGroup(t, eng, "h"), addGroup(t, eng, "i")}
	type grant struct {
		s latchbolt.Subject
		p latchbolt.Perm
		o latchbolt.Object
	}
	granted := make(map[grant]bool)
	in := make(map[latchbolt.UserID]map[latchbolt.GroupID]bool)
	inactive := make(map[latchbolt.UserID]bool)
	for _, u := range users {
		in[u] = make(map[latchbolt.GroupID]bool)
	}
	model := func(u latchbolt.UserID, p latchbolt.Perm, o latchbolt.Object) bool {
		if inactive[u] {
			return false
		}
		subjects := []latchbolt.Subject{u}
		for g := range in[u] {
			subjects = append(subjects, g)
		}
		return slices.ContainsFunc(subjects, func(s latchbolt.Subject) bool {
			return granted[grant{s, p, ""}] || granted[grant{s, p, o}]
		})
	}
	for range 300 {
		u, g := users[rnd.IntN(len(users))], groups[rnd.IntN(len(groups))]
		gr := grant{u, perms[rnd.IntN(len(perms))], objs[rnd.IntN(len(objs))]}
		if rnd.IntN(2) == 0 {
			gr.s = g
		}
		var err error
		switch rnd.IntN(6) {
		case 0, 1:
			err = eng.Grant(ctx, gr.s, gr.p, objects(gr.o)...)
			granted[gr] = true
		case 2:
			err = eng.Revoke(ctx, gr.s, gr.p, objects(gr.o)...)
			delete(granted, gr)
		case 3:
			err = eng.AddToGroup(ctx, u, g)
			in[u][g] = true
		case 4:
			err = eng.RemoveFromGroup(ctx, u, g)
			delete(in[u], g)
		case 5:
			inactive[u] = !inactive[u]
			err = eng.UpdateUser(ctx, u, set(func(x *latchbolt.User) { x.Inactive = inactive[u] }))
		}
		must(t, "step", err)
		u, o := users[rnd.IntN(len(users))], objs[rnd.IntN(len(objs))]
		var all []latchbolt.Perm
		for _, p := range perms {
			want := model(u, p, o)
			if want {
				all = append(all, p)
			}
			if got := hasPerm(t, eng, ids[u], p, o); got != want {
				t.Fatalf("HasPerm(%d, %s, %q): got %v, want %v", u, p, o, got, want)
			}
			if d, err := eng.Explain(ctx, ids[u], p, o); err != nil || d.Allowed != want || want != (len(d.Via) > 0) {
				t.Fatalf("Explain(%d, %s, %q): got %+v, %v, want %v", u, p, o, d, err, want)
			}
		}
		if got, err := eng.Perms(ctx, ids[u], latchbolt.FromAll, o); err != nil || !slices.Equal(got, all) {
			t.Fatalf("Perms(%d, %q): got %q, %v, want %q", u, o, got, err, all)
		}
	}
}

func TestExplainGivesTheReason(t *testing.T) {
	denying := permBackend{fakeBackend: fakeBackend{name: "gate", err: latchbolt.ErrSkip},
		has: func(id latchbolt.Identity, p latchbolt.Perm, o latchbolt.Object) (bool, error) {
			switch p {
			case "gate.never":
				return false, latchbolt.ErrDenied
			case "gate.always":
				return true, nil
			}
			return false, latchbolt.ErrSkip
		}}
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{denying, latchbolt.PasswordBackend{}}})
	ctx := t.Context()
	define(t, eng, "blog.add", "blog.change", "gate.never")
	g := addGroup(t, eng, "g")
	id := func(name string) latchbolt.Identity { addUser(t, eng, name); return authenticate(t, eng, name) }
	plain, member, gone, asleep, root := id("plain"), id("member"), id("gone"), id("asleep"), id("root")
	must(t, "member", eng.AddToGroup(ctx, member.ID(), g))
	must(t, "grant", eng.Grant(ctx, g, "blog.add"))
	must(t, "grant", eng.Grant(ctx, member.ID(), "blog.add", "post:1"))
	must(t, "grant", eng.Grant(ctx, member.ID(), "gate.never"))
	must(t, "delete", eng.DeleteUser(ctx, gone.ID()))
	must(t, "deactivate", eng.UpdateUser(ctx, asleep.ID(), set(deactivated)))
	must(t, "promote", eng.UpdateUser(ctx, root.ID(), set(makeSuperuser)))
	for _, c := range []struct {
		who     string
		id      latchbolt.Identity
		perm    latchbolt.Perm
		object  latchbolt.Object
		reason  latchbolt.Reason
		backend string
		via     int
	}{
		{"nobody", latchbolt.Identity{}, "blog.add", "", latchbolt.ReasonAnonymous, "", 0},
		{"nobody, whom a backend lets in", latchbolt.Identity{}, "gate.always", "", latchbolt.ReasonBackend, "gate", 0},
		{"a deleted user", gone, "blog.add", "", latchbolt.ReasonMissing, "", 0},
		{"a deleted user and a backend that grants all", gone, "gate.always", "", latchbolt.ReasonMissing, "", 0},
		{"an inactive user", asleep, "blog.add", "", latchbolt.ReasonInactive, "", 0},
		{"a superuser", root, "blog.add", "", latchbolt.ReasonSuperuser, "", 0},
		{"a superuser and a backend that denies", root, "gate.never", "", latchbolt.ReasonSuperuser, "", 0},
		{"a member", member, "blog.add", "", latchbolt.ReasonGranted, "", 1},
		{"a member with a grant of the own", member, "blog.add", "post:1", latchbolt.ReasonGranted, "", 2},
		{"a member for another object", member, "blog.add", "post:2", latchbolt.ReasonGranted, "", 1},
		{"a grant behind a backend that denies", member, "gate.never", "", latchbolt.ReasonDenied, "gate", 0},
		{"a backend that grants", plain, "gate.always", "", latchbolt.ReasonBackend, "gate", 0},
		{"nothing granted", plain, "blog.change", "", latchbolt.ReasonNoGrant, "", 0},
		{"not defined", plain, "blog.undefined", "", latchbolt.ReasonUndefined, "", 0},
	} {
		d, err := eng.Explain(ctx, c.id, c.perm, objects(c.object)...)
		if err != nil || d.Reason != c.reason || d.Backend != c.backend || len(d.Via) != c.via {
			t.Errorf("%s: got %+v, %v, want %q by %q via %d", c.who, d, err, c.reason, c.backend, c.via)
		}
		if ok := hasPerm(t, eng, c.id, c.perm, objects(c.object)...); ok != d.Allowed {
			t.Errorf("%s: HasPerm says %v, Explain %v", c.who, ok, d.Allowed)
		}
	}
}

func TestPermBackendOrder(t *testing.T) {
	outage := errors.New("directory is down")
	answer := func(ok bool, err error) func(latchbolt.Identity, latchbolt.Perm, latchbolt.Object) (bool, error) {
		return func(latchbolt.Identity, latchbolt.Perm, latchbolt.Object) (bool, error) { return ok, err }
	}
	b := func(name string, ok bool, err error) latchbolt.Backend {
		return permBackend{fakeBackend: fakeBackend{name: name, err: latchbolt.ErrSkip}, has: answer(ok, err),
			perms: func(latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error) {
				if err == nil && ok {
					return []latchbolt.Perm{"ext." + latchbolt.Perm(name)}, nil
				}
				return nil, err
			}}
	}
	own := latchbolt.PasswordBackend{}
	for _, c := range []struct {
		what             string
		backends         []latchbolt.Backend
		granted, without bool // with and without a grant of the engine
		anonymous        bool
		err              error
	}{
		{"a no changes nothing", []latchbolt.Backend{b("no", false, nil), own}, true, false, false, nil},
		{"a yes suffices", []latchbolt.Backend{own, b("yes", true, nil)}, true, true, true, nil},
		{"a yes before the engine suffices", []latchbolt.Backend{b("yes", true, nil), own}, true, true, true, nil},
		{"denial first beats grants", []latchbolt.Backend{b("deny", false, latchbolt.ErrDenied), own, b("yes", true, nil)}, false, false, false, nil},
		{"denial behind the grant is not asked", []latchbolt.Backend{own, b("deny", false, latchbolt.ErrDenied)}, true, false, false, nil},
		{"denial beats a later yes", []latchbolt.Backend{own, b("deny", false, latchbolt.ErrDenied), b("yes", true, nil)}, true, false, false, nil},
		{"a yes beats a later denial", []latchbolt.Backend{own, b("yes", true, nil), b("deny", false, latchbolt.ErrDenied)}, true, true, true, nil},
		{"no opinion", []latchbolt.Backend{b("skip", true, latchbolt.ErrSkip), own}, true, false, false, nil},
		{"a denial with a yes is a denial", []latchbolt.Backend{b("odd", true, latchbolt.ErrDenied), own}, false, false, false, nil},
		{"an outage is an error", []latchbolt.Backend{b("down", true, outage), own}, false, false, false, outage},
		{"an outage behind the grant is not met", []latchbolt.Backend{own, b("down", true, outage)}, true, false, false, outage},
	} {
		eng := open(t, &latchbolt.Config{Backends: c.backends})
		ctx := t.Context()
		define(t, eng, "blog.add")
		with, without := addUser(t, eng, "with"), addUser(t, eng, "without")
		must(t, "grant", eng.Grant(ctx, with.ID, "blog.add"))
		for _, e := range []struct {
			who  string
			id   latchbolt.Identity
			want bool
		}{{"with", authenticate(t, eng, "with"), c.granted}, {"without", authenticate(t, eng, without.Username), c.without}, {"anonymous", latchbolt.Identity{}, c.anonymous}} {
			got, err := eng.HasPerm(ctx, e.id, "blog.add")
			if got != e.want || err != nil && !errors.Is(err, c.err) || err == nil && !got && c.err != nil {
				t.Errorf("%s, %s: got %v, %v, want %v, %v", c.what, e.who, got, err, e.want, c.err)
			}
			if forObject, err2 := eng.HasPerm(ctx, e.id, "blog.add", "post:1"); forObject != got || !errors.Is(err2, err) {
				t.Errorf("%s, %s, for an object: got %v, %v", c.what, e.who, forObject, err2)
			}
			if d, err := eng.Explain(ctx, e.id, "blog.add"); d.Allowed != e.want || err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s, %s: Explain got %+v, %v", c.what, e.who, d, err)
			}
		}
	}
}

func TestPermBackendPermissionsAreListed(t *testing.T) {
	outage := errors.New("directory is down")
	down := false
	ext := permBackend{fakeBackend: fakeBackend{name: "ext", err: latchbolt.ErrSkip},
		perms: func(id latchbolt.Identity, o latchbolt.Object) ([]latchbolt.Perm, error) {
			if down {
				return nil, outage
			}
			if o != "" {
				return []latchbolt.Perm{"ext.one"}, nil
			}
			return []latchbolt.Perm{"ext.all"}, nil
		}}
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, ext}})
	ctx := t.Context()
	define(t, eng, "blog.add")
	u := addUser(t, eng, "ada")
	must(t, "grant", eng.Grant(ctx, u.ID, "blog.add"))
	id := authenticate(t, eng, "ada")
	for _, c := range []struct {
		id     latchbolt.Identity
		from   latchbolt.Source
		object []latchbolt.Object
		want   []latchbolt.Perm
	}{
		{id, latchbolt.FromAll, nil, []latchbolt.Perm{"blog.add", "ext.all"}},
		{id, latchbolt.FromAll, []latchbolt.Object{"x"}, []latchbolt.Perm{"blog.add", "ext.one"}},
		{id, latchbolt.FromUser, nil, []latchbolt.Perm{"blog.add"}},
		{latchbolt.Identity{}, latchbolt.FromAll, nil, []latchbolt.Perm{"ext.all"}},
	} {
		if got, err := eng.Perms(ctx, c.id, c.from, c.object...); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Perms of %v from %d for %q: got %q, %v, want %q", c.id, c.from, c.object, got, err, c.want)
		}
	}
	for app, want := range map[string]bool{"ext": true, "blog": true, "other": false} {
		if ok, err := eng.HasModulePerms(ctx, id, app); err != nil || ok != want {
			t.Errorf("HasModulePerms %q: got %v, %v, want %v", app, ok, err, want)
		}
	}
	down = true
	_, err := eng.Perms(ctx, id, latchbolt.FromAll)
	want(t, "Perms", err, outage)
	_, err = eng.HasModulePerms(ctx, id, "ext")
	want(t, "HasModulePerms", err, outage)
}

// A backend that decides by what an Identity says must see the user as of now, not as of when
// the caller loaded it.
func TestPermBackendSeesThePresentUser(t *testing.T) {
	staffOnly := permBackend{fakeBackend: fakeBackend{name: "staff", err: latchbolt.ErrSkip},
		has: func(id latchbolt.Identity, _ latchbolt.Perm, _ latchbolt.Object) (bool, error) {
			return id.Active() && id.Staff(), nil
		},
		perms: func(id latchbolt.Identity, _ latchbolt.Object) ([]latchbolt.Perm, error) {
			if id.Active() && id.Staff() {
				return []latchbolt.Perm{"site.enter"}, nil
			}
			return nil, nil
		}}
	eng := open(t, &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, staffOnly}})
	ctx := t.Context()
	staff := func(on bool) func(*latchbolt.User) error {
		return set(func(u *latchbolt.User) { u.Staff = on })
	}
	for what, takeAway := range map[string]func(id latchbolt.UserID) error{
		"demoted":     func(id latchbolt.UserID) error { return eng.UpdateUser(ctx, id, staff(false)) },
		"deactivated": func(id latchbolt.UserID) error { return eng.UpdateUser(ctx, id, set(deactivated)) },
		"deleted":     func(id latchbolt.UserID) error { return eng.DeleteUser(ctx, id) },
	} {
		u := addUser(t, eng, what)
		must(t, "promoting", eng.UpdateUser(ctx, u.ID, staff(true)))
		id := authenticate(t, eng, what)
		all := func() (got []bool) {
			mod, err := eng.HasModulePerms(ctx, id, "site")
			must(t, "HasModulePerms", err)
			list, err := eng.Perms(ctx, id, latchbolt.FromAll)
			must(t, "Perms", err)
			d, err := eng.Explain(ctx, id, "site.enter")
			must(t, "Explain", err)
			return []bool{hasPerm(t, eng, id, "site.enter"), mod, len(list) == 1, d.Allowed}
		}
		if got := all(); slices.Contains(got, false) {
			t.Errorf("staff: got %v", got)
		}
		must(t, what, takeAway(u.ID))
		if got := all(); slices.Contains(got, true) {
			t.Errorf("%s: got %v", what, got)
		}
	}
}

func TestChangesAreInForceElsewhereAtOnce(t *testing.T) {
	for _, cacheOff := range []bool{false, true} {
		cfg := &latchbolt.Config{}
		if cacheOff {
			cfg.CacheSessions, cfg.CacheUsers = -1, -1
		}
		eng := open(t, cfg)
		ctx := t.Context()
		define(t, eng, "blog.add")
		g := addGroup(t, eng, "g")
		u, root := addUser(t, eng, "ada").ID, addUser(t, eng, "root").ID
		must(t, "another superuser", eng.UpdateUser(ctx, root, set(makeSuperuser)))
		id := authenticate(t, eng, "ada")
		s := login(t, eng, "ada")
		// The other goroutine asks as soon as the call has returned here.
		ask, answered := make(chan bool), make(chan bool)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for want := range ask {
					if ok, err := eng.HasPerm(ctx, id, "blog.add"); ok != want || err != nil {
						t.Errorf("HasPerm: got %v, %v, want %v", ok, err, want)
					}
					now, err := eng.SessionUser(ctx, s.Token)
					if err != nil || now.Has("blog.add") != want {
						t.Errorf("Has: got %v, %v, want %v", now.Has("blog.add"), err, want)
					}
					answered <- true
				}
			})
		}
		for i := range 60 {
			on := i%2 == 0
			var err error
			switch {
			case i < 20 && on:
				err = eng.AddToGroup(ctx, u, g)
				must(t, "grant", eng.Grant(ctx, g, "blog.add"))
			case i < 20:
				err = eng.Revoke(ctx, g, "blog.add")
			case i < 40 && on:
				err = eng.Grant(ctx, u, "blog.add")
			case i < 40:
				err = eng.Revoke(ctx, u, "blog.add")
			default:
				err = eng.UpdateUser(ctx, u, set(func(u *latchbolt.User) { u.Superuser = on }))
			}
			must(t, "step", err)
			for range 4 {
				ask <- on
			}
			for range 4 {
				<-answered
			}
		}
		close(ask)
		wg.Wait()
	}
}

// TestDefinedAtOnce defines and grants permissions on several goroutines, whose commits are often one, and asks for each at once.
func TestDefinedAtOnce(t *testing.T) {
	ctx := t.Context()
	eng := open(t, nil)
	u := addUser(t, eng, "ada")
	id, err := eng.Identity(ctx, u.ID)
	must(t, "identity", err)
	must(t, "defining", eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add_post"}))
	must(t, "granting", eng.Grant(ctx, u.ID, "blog.add_post"))
	ask := func(p latchbolt.Perm) {
		if ok, err := eng.HasPerm(ctx, id, p); !ok || err != nil {
			t.Errorf("%s was defined and granted: got %v, %v", p, ok, err)
		}
	}
	for i := range 25 {
		ask("blog.add_post") // has the list of permissions in memory
		inParallel(4, 4, func(g int) {
			p := latchbolt.Permission{App: "app", Codename: fmt.Sprint("p", i, "-", g)}
			if err := eng.Define(ctx, p); err != nil {
				t.Error(err)
			}
			if err := eng.Grant(ctx, u.ID, p.Perm()); err != nil {
				t.Error(err)
			}
			ask(p.Perm())
		})
	}
}
