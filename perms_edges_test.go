package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestIdentitiesOfAnotherEngine: they are refused, and the answer beside the error is no.
func TestIdentitiesOfAnotherEngine(t *testing.T) {
	eng, other := openOn(t, newFaultStore(), nil), openOn(t, newFaultStore(), nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	root := addUser(t, other, "root")
	must(t, "making a superuser", other.UpdateUser(ctx, root.ID, set(makeSuperuser)))
	id := authenticate(t, other, "root")
	for what, ask := range map[string]func() (bool, error){
		"HasPerm":        func() (bool, error) { return eng.HasPerm(ctx, id, "blog.add") },
		"HasPerms":       func() (bool, error) { return eng.HasPerms(ctx, id, []latchbolt.Perm{"blog.add"}) },
		"HasModulePerms": func() (bool, error) { return eng.HasModulePerms(ctx, id, "blog") },
		"Explain":        func() (bool, error) { d, err := eng.Explain(ctx, id, "blog.add"); return d.Allowed, err },
		"Perms": func() (bool, error) {
			p, err := eng.Perms(ctx, id, latchbolt.FromAll)
			return len(p) > 0, err
		},
		"Login": func() (bool, error) {
			s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
			return !s.Token.IsZero(), err
		},
	} {
		if ok, err := ask(); ok || err == nil {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
}

// TestPermBackendsThatSkip: a backend that has nothing to say takes nothing away, whichever way it says so.
func TestPermBackendsThatSkip(t *testing.T) {
	answer := latchbolt.ErrSkip
	ext := permBackend{fakeBackend: fakeBackend{name: "ext", err: latchbolt.ErrSkip},
		has:   func(latchbolt.Identity, latchbolt.Perm, latchbolt.Object) (bool, error) { return false, answer },
		perms: func(latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error) { return nil, answer }}
	down := errors.New("down")
	for _, backends := range [][]latchbolt.Backend{{latchbolt.PasswordBackend{}, ext}, {ext, latchbolt.PasswordBackend{}}} {
		eng := openOn(t, newFaultStore(), &latchbolt.Config{Backends: backends})
		ctx := t.Context()
		define(t, eng, "blog.add", "blog.change", "shop.view")
		u := addUser(t, eng, "ada")
		must(t, "grant", eng.Grant(ctx, u.ID, "blog.add"))
		must(t, "grant", eng.Grant(ctx, u.ID, "blog.change", "one", "two"))
		id := authenticate(t, eng, "ada")
		first := backends[0].Name() == "ext"
		for _, c := range []struct {
			answer          error
			all, objects    bool
			listed, module  bool
			reason          latchbolt.Reason
			failing, denied bool
		}{
			{answer: nil, all: true, objects: true, listed: true, module: true, reason: latchbolt.ReasonGranted},
			{answer: latchbolt.ErrSkip, all: true, objects: true, listed: true, module: true, reason: latchbolt.ReasonGranted},
			{answer: latchbolt.ErrDenied, all: !first, objects: !first, listed: true, module: true, reason: latchbolt.ReasonGranted, denied: first},
			{answer: down, all: !first, objects: !first, listed: false, module: true, reason: latchbolt.ReasonGranted, failing: first},
		} {
			answer = c.answer
			for o, want := range map[string]bool{"": c.all, "one": c.objects} {
				p, objects := latchbolt.Perm("blog.add"), []latchbolt.Object(nil)
				if o != "" {
					p, objects = "blog.change", []latchbolt.Object{"one", "two"}
				}
				ok, err := eng.HasPerm(ctx, id, p, objects...)
				if ok != want || (err != nil) != c.failing {
					t.Errorf("first %v, %v: HasPerm %s is %v, %v", first, c.answer, p, ok, err)
				}
				if ok, err := eng.HasPerm(ctx, id, p, "one", "three"); o != "" && (ok || (err != nil) != (c.answer == down)) {
					t.Errorf("first %v, %v: HasPerm with an object that was not granted is %v, %v", first, c.answer, ok, err)
				}
			}
			perms, err := eng.Perms(ctx, id, latchbolt.FromAll)
			if (err == nil) != c.listed || err == nil && !slices.Equal(perms, []latchbolt.Perm{"blog.add"}) {
				t.Errorf("%v: Perms %q, %v", c.answer, perms, err)
			}
			if ok, err := eng.HasModulePerms(ctx, id, "blog"); ok != c.module || err != nil {
				t.Errorf("%v: HasModulePerms is %v, %v", c.answer, ok, err)
			}
			if ok, err := eng.HasModulePerms(ctx, id, "shop"); ok || (err != nil) != (c.answer == down) {
				t.Errorf("%v: HasModulePerms of what was not granted is %v, %v", c.answer, ok, err)
			}
			d, err := eng.Explain(ctx, id, "blog.add")
			switch {
			case c.failing:
				if err == nil || d.Allowed {
					t.Errorf("Explain: %+v, %v", d, err)
				}
			case c.denied:
				if err != nil || d.Allowed || d.Reason != latchbolt.ReasonDenied || d.Backend != "ext" {
					t.Errorf("Explain: %+v, %v", d, err)
				}
			case err != nil || !d.Allowed || d.Reason != c.reason || len(d.Via) != 1 || d.Via[0].Subject != u.ID:
				t.Errorf("first %v, %v: Explain: %+v, %v", first, c.answer, d, err)
			}
		}
		answer = latchbolt.ErrSkip
	}
}

// TestGrantsTellWhatChanged: each change of grants is told of, with whose they are, and recorded.
func TestGrantsTellWhatChanged(t *testing.T) {
	var told []latchbolt.Change
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Events: latchbolt.Events{Changed: func(c latchbolt.Change) { told = append(told, c) }}})
	ctx := t.Context()
	define(t, eng, "blog.add")
	u := addUser(t, eng, "ada")
	g, err := eng.CreateGroup(ctx, "writers")
	must(t, "creating a group", err)
	told = nil
	must(t, "granting", eng.Grant(ctx, u.ID, "blog.add"))
	must(t, "granting", eng.Grant(ctx, g, "blog.add", "a", "b"))
	must(t, "revoking", eng.Revoke(ctx, u.ID, "blog.add"))
	must(t, "revoking", eng.Revoke(ctx, g, "blog.add", "a"))
	want := []latchbolt.Change{{Kind: latchbolt.ChangeUser, User: u.ID}, {Kind: latchbolt.ChangeGroup, Group: g}, {Kind: latchbolt.ChangeUser, User: u.ID}, {Kind: latchbolt.ChangeGroup, Group: g}}
	if !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	var trail []string
	for a, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
		must(t, "trail", err)
		if strings.HasPrefix(a.Action, "perm") {
			trail = append(trail, fmt.Sprint(a.Action, " ", a.User, " ", a.Detail))
		}
	}
	wantTrail := []string{
		fmt.Sprint(latchbolt.ActionPermRevoke, " 0 blog.add a group ", g), fmt.Sprint(latchbolt.ActionPermRevoke, " ", u.ID, " blog.add"),
		fmt.Sprint(latchbolt.ActionPermGrant, " 0 blog.add a, b group ", g), fmt.Sprint(latchbolt.ActionPermGrant, " ", u.ID, " blog.add"),
	}
	if !slices.Equal(trail, wantTrail) {
		t.Errorf("recorded %q, want %q", trail, wantTrail)
	}
}

// TestPermissionsAreChecked: names, identifiers and objects.
func TestPermissionsAreChecked(t *testing.T) {
	eng := openOn(t, newFaultStore(), nil)
	ctx := t.Context()
	define(t, eng, "blog.add")
	u := addUser(t, eng, "ada")
	insert := func(p latchbolt.Permission) error {
		return eng.Update(ctx, func(tx *latchbolt.Tx) error { return tx.InsertPermission(&p) })
	}
	x := strings.Repeat
	for want, p := range map[string]latchbolt.Permission{
		"app_label blank":                 {Codename: "c"},
		"codename blank":                  {App: "a"},
		"app_label max_length":            {App: x("a", 101), Codename: "c"},
		"model max_length":                {App: "a", Model: x("m", 101), Codename: "c"},
		"codename max_length":             {App: "a", Codename: x("c", 101)},
		"name max_length":                 {App: "a", Codename: "c", Name: x("n", 256)},
		"app_label invalid":               {App: "a.b", Codename: "c"},
		"app_label blank, codename blank": {},
	} {
		wantFields(t, want, insert(p), want)
	}
	must(t, "the longest", insert(latchbolt.Permission{App: x("a", 100), Model: x("m", 100), Codename: x("c", 100), Name: x("n", 255)}))
	want(t, "the same again", insert(latchbolt.Permission{App: "blog", Codename: "add"}), latchbolt.ErrExists)
	want(t, "a taken identifier", insert(latchbolt.Permission{ID: 1, App: "b", Codename: "c"}), latchbolt.ErrExists)
	must(t, "a free identifier", insert(latchbolt.Permission{ID: 9, App: "b", Codename: "c"}))
	must(t, "the next", insert(latchbolt.Permission{App: "b", Codename: "d"}))
	var ids []latchbolt.PermissionID
	for p, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		ids = append(ids, p.ID)
	}
	if !slices.Equal(ids, []latchbolt.PermissionID{1, 2, 9, 10}) {
		t.Errorf("identifiers %v", ids)
	}
	must(t, "the longest object", eng.Grant(ctx, u.ID, "blog.add", latchbolt.Object(x("o", 256))))
	wantFields(t, "a longer one", eng.Grant(ctx, u.ID, "blog.add", latchbolt.Object(x("o", 257))), "object max_length")
	for what, err := range map[string]error{
		"granting what is not": eng.Grant(ctx, u.ID, "blog.none"), "granting to nobody": eng.Grant(ctx, latchbolt.UserID(99), "blog.add"), "to no group": eng.Grant(ctx, latchbolt.GroupID(99), "blog.add"),
		"to nothing": eng.Grant(ctx, nil, "blog.add"), "without a dot": eng.Grant(ctx, u.ID, "blog"), "revoking what is not": eng.Revoke(ctx, u.ID, "blog.none"), "from nobody": eng.Revoke(ctx, latchbolt.UserID(99), "blog.add"),
		"removing what is not": eng.Undefine(ctx, "blog.none"),
	} {
		want(t, what, err, latchbolt.ErrNotFound)
	}
	must(t, "a model", eng.DefineModel(ctx, "shop", "item"))
	must(t, "a model with a label", eng.DefineModel(ctx, "shop", "cart", "basket"))
	names := make(map[latchbolt.Perm]string)
	for p, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		names[p.Perm()] = p.Model + ": " + p.Name
	}
	for p, want := range map[latchbolt.Perm]string{"shop.add_item": "item: Can add item", "shop.view_cart": "cart: Can view basket", "shop.delete_cart": "cart: Can delete basket", "shop.change_item": "item: Can change item"} {
		if names[p] != want {
			t.Errorf("%s is %q, want %q", p, names[p], want)
		}
	}
}

// TestUnwrittenPasswordChanges: whoever changes a password that cannot be written is told so, and the old one and the sessions are refused from then on.
func TestUnwrittenPasswordChanges(t *testing.T) {
	full := errors.New("disk full")
	for what, change := range map[string]func(context.Context, *latchbolt.Engine, latchbolt.UserID, latchbolt.Token, latchbolt.Token) error{
		"ChangePassword": func(ctx context.Context, eng *latchbolt.Engine, _ latchbolt.UserID, tok, _ latchbolt.Token) error {
			_, err := eng.ChangePassword(ctx, tok, goodPassword, "another horse battery staple")
			return err
		},
		"SetPassword": func(ctx context.Context, eng *latchbolt.Engine, id latchbolt.UserID, _, _ latchbolt.Token) error {
			return eng.SetPassword(ctx, id, "another horse battery staple")
		},
		"ResetPassword": func(ctx context.Context, eng *latchbolt.Engine, _ latchbolt.UserID, _, reset latchbolt.Token) error {
			_, err := eng.ResetPassword(ctx, reset, "another horse battery staple")
			return err
		},
	} {
		store := newFaultStore()
		eng := openOn(t, store, nil)
		ctx := t.Context()
		u := addUser(t, eng, "ada")
		s, other := login(t, eng, "ada"), login(t, eng, "ada")
		reset, err := eng.ResetToken(ctx, u.ID)
		must(t, "issuing", err)
		eng.Settle(ctx)
		store.failing(full)
		want(t, what, change(ctx, eng, u.ID, s.Token, reset), full)
		store.failing(nil)
		if alive(t, eng, s.Token) || alive(t, eng, other.Token) {
			t.Errorf("%s: sessions live on", what)
		}
		if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword}); !errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%s: the old password: %v", what, err)
		}
		_, err = eng.CheckToken(ctx, latchbolt.PurposeReset, reset)
		want(t, what+", a token", err, latchbolt.ErrToken)
		must(t, "setting it at last", eng.SetPassword(ctx, u.ID, goodPassword))
		login(t, eng, "ada")
	}
}

// TestPermBackendsAreToldWhoAsks: after a change of the user they still learn who it is, by which backend, and what it is now.
func TestPermBackendsAreToldWhoAsks(t *testing.T) {
	var asked latchbolt.Identity
	ext := permBackend{fakeBackend: fakeBackend{name: "ext", err: latchbolt.ErrSkip},
		has: func(id latchbolt.Identity, _ latchbolt.Perm, _ latchbolt.Object) (bool, error) {
			asked = id
			return id.Staff(), nil
		}}
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{}, ext}})
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	id := authenticate(t, eng, "ada")
	for _, staff := range []bool{true, false, true} {
		must(t, "changing", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Staff = staff })))
		ok, err := eng.HasPerm(ctx, id, "ext.any")
		if err != nil || ok != staff || asked.ID() != u.ID || asked.Backend() != "password" || asked.Staff() != staff {
			t.Errorf("staff %v: %v, %v; asked about %v of %q", staff, ok, err, asked, asked.Backend())
		}
	}
}

// TestGrantsOfNoSubject asks for the grants of what is neither a user nor a group.
func TestGrantsOfNoSubject(t *testing.T) {
	eng := open(t, nil)
	must(t, "a permission", eng.Define(t.Context(), latchbolt.Permission{App: "blog", Codename: "add_post"}))
	for _, s := range []latchbolt.Subject{nil, (*latchbolt.UserID)(nil), new(latchbolt.GroupID)} {
		if gs, err := eng.Grants(t.Context(), s); !errors.Is(err, latchbolt.ErrNotFound) {
			t.Errorf("%T has %v, %v", s, gs, err)
		}
		if err := eng.Grant(t.Context(), s, "blog.add_post"); !errors.Is(err, latchbolt.ErrNotFound) {
			t.Errorf("granting to %T: %v", s, err)
		}
		if err := eng.Revoke(t.Context(), s, "blog.add_post"); !errors.Is(err, latchbolt.ErrNotFound) {
			t.Errorf("revoking from %T: %v", s, err)
		}
	}
}

// TestPermissionsWithHighNumbers: another system may have given its permissions any identifiers, and what is kept of a user must not grow with them.
func TestPermissionsWithHighNumbers(t *testing.T) {
	eng := openOn(t, newFaultStore(), nil)
	ctx := t.Context()
	ada := addUser(t, eng, "ada")
	high := []latchbolt.PermissionID{2, 1<<14 - 1, 1 << 14, 1<<30 + 5, 1<<31 - 1}
	granted := func(i int) bool { return i%3 != 0 } // neighbours in the numbers that they get differ
	must(t, "inserting permissions", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		for i, id := range high {
			p := latchbolt.Permission{ID: id, App: "blog", Codename: fmt.Sprint("p", i)}
			if err := tx.InsertPermission(&p); err != nil {
				return err
			}
			if granted(i) {
				if err := tx.Grant(ada.ID, p.Perm()); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	id, err := eng.Identity(ctx, ada.ID)
	must(t, "identity", err)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("reading a user takes %d bytes", n)
	}
	for i := range high {
		p := latchbolt.Perm(fmt.Sprint("blog.p", i))
		if ok, err := eng.HasPerm(ctx, id, p); ok != granted(i) || err != nil {
			t.Errorf("%s: %v, %v", p, ok, err)
		}
	}
}

// TestOnlyPermBackends: where every backend decides about permissions itself, the engine's grants count for no question.
func TestOnlyPermBackends(t *testing.T) {
	ext := permBackend{fakeBackend: fakeBackend{name: "ext", err: latchbolt.ErrSkip},
		has: func(_ latchbolt.Identity, p latchbolt.Perm, _ latchbolt.Object) (bool, error) {
			return p == "ext.view", nil
		},
		perms: func(latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error) {
			return []latchbolt.Perm{"ext.view"}, nil
		}}
	eng := openOn(t, newFaultStore(), &latchbolt.Config{Backends: []latchbolt.Backend{ext}})
	ctx := t.Context()
	define(t, eng, "blog.add")
	ada, root := addUser(t, eng, "ada"), addUser(t, eng, "root")
	must(t, "making a superuser", eng.UpdateUser(ctx, root.ID, set(makeSuperuser)))
	for _, u := range []latchbolt.UserID{ada.ID, root.ID} {
		must(t, "granting", eng.Grant(ctx, u, "blog.add"))
		id, err := eng.Identity(ctx, u)
		must(t, "identity", err)
		for p, want := range map[latchbolt.Perm]bool{"blog.add": u == root.ID, "ext.view": true} {
			ok, err := eng.HasPerm(ctx, id, p)
			must(t, "HasPerm", err)
			module, err := eng.HasModulePerms(ctx, id, p.App())
			must(t, "HasModulePerms", err)
			all, err := eng.Perms(ctx, id, latchbolt.FromAll)
			must(t, "Perms", err)
			d, err := eng.Explain(ctx, id, p)
			must(t, "Explain", err)
			if listed := slices.Contains(all, p); ok != want || module != want || listed != want || d.Allowed != want {
				t.Errorf("%v, %s: had %v, of the app %v, listed %v, explained %v; want %v", id, p, ok, module, listed, d.Allowed, want)
			}
		}
	}
}
