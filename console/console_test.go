package console_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/console"
	"github.com/latchbolt-go/latchbolt/internal/canary"
)

const canaryHash = "pbkdf2_sha256$1$CANARYSALT$CANARYDIGESTCANARYDIGESTCANARYDIGESTCANARYE="

// A world is a console with people of all kinds.
type world struct {
	t      testing.TB
	eng    *latchbolt.Engine
	h      http.Handler
	now    time.Time
	mailed []authhttp.ResetMail
	fails  error // what sending a mail fails with

	boss, chief, other, aide *latchbolt.User
	staff, nothing, common   *latchbolt.User // staff whose permissions are set; staff without any; nobody in particular
	plain, power             latchbolt.GroupID
	perms                    []latchbolt.Perm
	cookies                  map[latchbolt.UserID]string
	tokens                   []string // that must not be seen
	sess                     latchbolt.SessionID
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func newWorld(t testing.TB) *world { return newWorldAt(t, "/admin/") }

func newWorldAt(t testing.TB, prefix string) *world {
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cookies: make(map[latchbolt.UserID]string)}
	ctx := t.Context()
	w.eng = authtest.New(t, &latchbolt.Config{Clock: func() time.Time { return w.now }, Logger: canary.Logger()})
	t.Cleanup(func() { canary.Files(t, filepath.Dir(w.eng.Path())) })
	must(t, "defining", w.eng.DefineAdmin(ctx))
	for p, err := range w.eng.Permissions(ctx) {
		must(t, "permissions", err)
		w.perms = append(w.perms, p.Perm())
	}
	must(t, "defining", w.eng.DefineModel(ctx, "blog", "post"))
	must(t, "defining", w.eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "shout", Name: `<b>"loud" & clear</b>`}))
	w.boss, w.chief = authtest.Superuser(t, w.eng, "boss"), authtest.Superuser(t, w.eng, "chief")
	hash, err := latchbolt.ParsePasswordHash(canaryHash)
	must(t, "hash", err)
	w.other = &latchbolt.User{Username: "other", Email: "other@example.org", FirstName: "Olga", LastName: "<script>alert(1)</script>"}
	must(t, "other", w.eng.InsertUser(ctx, w.other, hash))
	w.aide = authtest.User(t, w.eng, "aide", "blog.add_post")
	w.staff, w.nothing, w.common = authtest.User(t, w.eng, "limited"), authtest.User(t, w.eng, "nothing"), authtest.User(t, w.eng, "common")
	for _, u := range []*latchbolt.User{w.aide, w.staff, w.nothing} {
		must(t, "staff", w.eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error { u.Staff = true; return nil }))
	}
	w.plain, err = w.eng.CreateGroup(ctx, "plain <i>group</i>")
	must(t, "group", err)
	w.power, err = w.eng.CreateGroup(ctx, "power")
	must(t, "group", err)
	must(t, "granting", w.eng.Grant(ctx, w.power, "blog.add_post"))
	objects, err := w.eng.CreateGroup(ctx, "for single objects")
	must(t, "group", err)
	must(t, "granting", w.eng.Grant(ctx, objects, "blog.change_post", "blog.post:1"))
	must(t, "granting", w.eng.Grant(ctx, w.other.ID, "blog.view_post", "blog.post:2"))
	must(t, "entering", w.eng.AddToGroup(ctx, w.other.ID, w.plain))
	auth := &authhttp.Auth{Engine: w.eng, BaseURL: "https://console.test", Logger: canary.Logger(),
		SendReset: func(_ context.Context, m authhttp.ResetMail) error {
			w.mailed = append(w.mailed, m)
			if w.fails != nil {
				return fmt.Errorf("%w: %s was refused", w.fails, m.URL)
			}
			return nil
		}}
	mux := http.NewServeMux()
	mux.Handle("/accounts/", auth.Accounts())
	mux.Handle(prefix, (&console.Console{Auth: auth, Prefix: prefix, Logger: canary.Logger()}).Handler())
	w.h = auth.Handler(mux)
	for _, u := range []*latchbolt.User{w.boss, w.chief, w.other, w.aide, w.staff, w.nothing, w.common} {
		w.signIn(u)
	}
	for s, err := range w.eng.Sessions(ctx, w.other.ID) {
		must(t, "sessions", err)
		w.sess = s.ID
	}
	tok, err := w.eng.ResetToken(ctx, w.other.ID)
	must(t, "token", err)
	w.tokens = append(w.tokens, tok.Reveal())
	return w
}

func (w *world) signIn(u *latchbolt.User) {
	s := authtest.Login(w.t, w.eng, u)
	w.cookies[u.ID] = s.Token.Reveal()
	w.tokens = append(w.tokens, s.Token.Reveal())
}

// holding makes some permissions, and no others, those of the limited staff.
func (w *world) holding(perms ...latchbolt.Perm) {
	w.t.Helper()
	must(w.t, "granting", w.eng.Update(w.t.Context(), func(tx *latchbolt.Tx) error {
		now, err := tx.Grants(w.staff.ID)
		if err != nil {
			return err
		}
		for _, g := range now {
			if err := tx.Revoke(w.staff.ID, g.Permission.Perm()); err != nil {
				return err
			}
		}
		for _, p := range perms {
			if err := tx.Grant(w.staff.ID, p); err != nil {
				return err
			}
		}
		return nil
	}))
}

// do sends a request as a user; nil is nobody. Each answer is looked through for what must never be seen.
func (w *world) do(r *http.Request, u *latchbolt.User) *httptest.ResponseRecorder {
	w.t.Helper()
	if u != nil {
		r.AddCookie(&http.Cookie{Name: "__Host-latchbolt", Value: w.cookies[u.ID]})
	}
	r.Header.Set("Accept", "text/html")
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	all := fmt.Sprint(rec.Header(), rec.Body)
	for _, secret := range []string{"CANARY", "pbkdf2_sha256$"} {
		if strings.Contains(all, secret) {
			w.t.Errorf("%s %s shows %s", r.Method, r.URL, secret)
		}
	}
	for _, tok := range w.tokens {
		if strings.Contains(all, tok) || len(tok) > 40 && strings.Contains(all, tok[len(tok)-30:]) {
			w.t.Errorf("%s %s shows a token", r.Method, r.URL)
		}
	}
	return rec
}

func (w *world) get(u *latchbolt.User, path string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.do(httptest.NewRequest("GET", "https://console.test"+path, nil), u)
}

func (w *world) post(u *latchbolt.User, path string, f url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest("POST", "https://console.test"+path, strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r, u)
}

// digest is of all users, groups, grants, sessions and tokens.
func (w *world) digest() string {
	w.t.Helper()
	ctx := w.t.Context()
	h := sha256.New()
	for u, err := range w.eng.Users(ctx, latchbolt.UserQuery{}) {
		must(w.t, "users", err)
		fmt.Fprintf(h, "%+v\n", *u)
		must(w.t, "hash", w.eng.View(ctx, func(tx *latchbolt.ReadTx) error {
			hash, err := tx.PasswordHash(u.ID)
			if err != nil {
				return err
			}
			grants, err := tx.Grants(u.ID)
			fmt.Fprintf(h, "%s %+v\n", hash.Reveal(), grants)
			return err
		}))
		for s, err := range w.eng.Sessions(ctx, u.ID) {
			must(w.t, "sessions", err)
			fmt.Fprintf(h, "%s\n", s.ID)
		}
		_, failures, err := w.eng.Throttled(ctx, u.ID)
		must(w.t, "throttled", err)
		fmt.Fprintln(h, failures)
		boss, err := w.eng.Identity(ctx, w.chief.ID)
		must(w.t, "identity", err)
		goes, err := w.eng.As(boss).WhatGoesWith(ctx, u.ID)
		must(w.t, "goes", err)
		fmt.Fprintln(h, goes.Tokens)
	}
	for g, err := range w.eng.Groups(ctx) {
		must(w.t, "groups", err)
		grants, err := w.eng.Grants(ctx, g.ID)
		must(w.t, "grants", err)
		fmt.Fprintf(h, "%+v %+v\n", *g, grants)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// path fills in identifiers.
func (w *world) path(p string) string {
	return strings.NewReplacer("OTHER", fmt.Sprint(w.other.ID), "BOSS", fmt.Sprint(w.boss.ID), "AIDE", fmt.Sprint(w.aide.ID), "SELF", fmt.Sprint(w.staff.ID),
		"PLAIN", fmt.Sprint(w.plain), "POWER", fmt.Sprint(w.power), "GONE", "424242").Replace(p)
}

// pages are all pages, and what each takes, said here by hand: "a|b" is one of two, "super" is a superuser.
var pages = []struct {
	path  string
	needs string
}{
	{"/admin/", ""},
	{"/admin/users/", "auth.view_user|auth.change_user"},
	{"/admin/users/?q=o&live=1", "auth.view_user|auth.change_user"},
	{"/admin/users/?active=yes&staff=no&superuser=no&sort=newest", "auth.view_user|auth.change_user"},
	{"/admin/users/?group=PLAIN", "auth.view_user|auth.change_user auth.view_group|auth.change_group"},
	{"/admin/users/add/", "auth.add_user"},
	{"/admin/users/OTHER/", "auth.view_user|auth.change_user"},
	{"/admin/users/BOSS/", "auth.view_user|auth.change_user"},
	{"/admin/users/OTHER/edit/", "auth.change_user"},
	{"/admin/users/BOSS/edit/", "super"},
	{"/admin/users/OTHER/permissions/", "auth.view_user|auth.change_user auth.view_permission|auth.change_permission"},
	{"/admin/users/OTHER/permissions/?show=all", "auth.view_user|auth.change_user auth.view_permission|auth.change_permission"},
	{"/admin/users/OTHER/delete/", "auth.delete_user"},
	{"/admin/users/BOSS/delete/", "super"},
	{"/admin/users/SELF/delete/", "super"},
	{"/admin/users/OTHER/password/", "auth.set_password"},
	{"/admin/users/AIDE/password/", "auth.set_password blog.add_post"},
	{"/admin/users/BOSS/password/", "super"},
	{"/admin/users/OTHER/reset/", "auth.send_reset|auth.set_password"},
	{"/admin/users/BOSS/reset/", "super"},
	{"/admin/users/OTHER/sessions/", "auth.view_session|auth.delete_session"},
	{"/admin/users/BOSS/sessions/", "super"},
	{"/admin/groups/", "auth.view_group|auth.change_group"},
	{"/admin/groups/add/", "auth.add_group"},
	{"/admin/groups/PLAIN/", "auth.view_group|auth.change_group"},
	{"/admin/groups/POWER/edit/", "auth.change_group"},
	{"/admin/groups/POWER/permissions/", "auth.view_group|auth.change_group"},
	{"/admin/groups/POWER/delete/", "auth.delete_group"},
	{"/admin/permissions/", "auth.view_permission|auth.change_permission|auth.view_group|auth.change_group"},
	{"/admin/permissions/blog.add_post/", "auth.view_permission|auth.change_permission auth.view_group|auth.change_group"},
	{"/admin/sessions/", "auth.view_session|auth.delete_session"},
	{"/admin/audit/", "auth.view_audit"},
	{"/admin/audit/?action=login&outcome=ok&user=OTHER&since=2026-01-01&until=2026-12-31", "auth.view_audit"},
	{"/admin/audit/export/?format=csv", "auth.view_audit"},
	{"/admin/audit/export/?format=ndjson", "auth.view_audit"},
}

// enough reports whether permissions are what something takes.
func enough(needs string, has []latchbolt.Perm) bool {
	if needs == "super" {
		return false
	}
	for n := range strings.FieldsSeq(needs) {
		if !slices.ContainsFunc(strings.Split(n, "|"), func(p string) bool { return slices.Contains(has, latchbolt.Perm(p)) }) {
			return false
		}
	}
	return true
}

// clean looks at an answer with a page.
func (w *world) clean(what string, rec *httptest.ResponseRecorder) {
	w.t.Helper()
	if !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		return
	}
	whole := strings.HasPrefix(rec.Body.String(), "<!DOCTYPE html>")
	for _, wrong := range checkHTML(rec.Body.String(), whole) {
		w.t.Errorf("%s: %s", what, wrong)
	}
}

// roles are the sets of permissions that pages and forms are tried with: each alone, all but each, none and all.
func (w *world) roles() map[string][]latchbolt.Perm {
	all := append(slices.Clone(w.perms), "blog.add_post")
	roles := map[string][]latchbolt.Perm{"no permission": nil, "every permission": all}
	for _, p := range w.perms {
		roles[string(p)+" alone"] = []latchbolt.Perm{p}
		roles["all but "+string(p)] = slices.DeleteFunc(slices.Clone(all), func(q latchbolt.Perm) bool { return q == p })
	}
	return roles
}

// TestPages asks for each page as each kind of person.
func TestPages(t *testing.T) {
	w := newWorld(t)
	for name, perms := range w.roles() {
		w.holding(perms...)
		for _, p := range pages {
			rec := w.get(w.staff, w.path(p.path))
			want := http.StatusForbidden
			if enough(p.needs, perms) {
				want = http.StatusOK
			}
			what := fmt.Sprintf("%s with %s", p.path, name)
			if rec.Code != want {
				t.Errorf("%s: %d, want %d", what, rec.Code, want)
			}
			w.clean(what, rec)
		}
	}
	for _, p := range pages {
		path := w.path(p.path)
		rec := w.get(w.boss, path)
		if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s as a superuser: %d, %v", path, rec.Code, rec.Header())
		}
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", path, csp)
		}
		w.clean(path, rec)
		for _, nobody := range []*latchbolt.User{w.common, w.nothing} {
			rec := w.get(nobody, path)
			want := http.StatusForbidden
			if nobody == w.nothing && p.needs == "" {
				want = http.StatusOK
			}
			if rec.Code != want {
				t.Errorf("%s as %s: %d, want %d", path, nobody.Username, rec.Code, want)
			}
			if want == http.StatusForbidden && strings.Contains(rec.Body.String(), "other@example.org") {
				t.Errorf("%s as %s names a user", path, nobody.Username)
			}
			if home := `class="site" href="/"`; nobody == w.common && !strings.Contains(rec.Body.String(), home) {
				t.Errorf("%s as %s does not lead out of the console: no %s", path, nobody.Username, home)
			}
		}
		if rec := w.get(nil, path); rec.Code != http.StatusFound || !strings.HasPrefix(rec.Header().Get("Location"), "/accounts/login/?next=") {
			t.Errorf("%s as nobody: %d to %q", path, rec.Code, rec.Header().Get("Location"))
		}
	}
}

// TestCrawl follows every link that each kind of person is shown: there is none that leads to a page that
// is missing or forbidden, and none of a person who may do less is missing from the list of pages.
func TestCrawl(t *testing.T) {
	w := newWorld(t)
	roles := w.roles()
	visited := 0
	crawl := func(name string, u *latchbolt.User) {
		queue, seen := []string{"/admin/"}, map[string]bool{"/admin/": true}
		for len(queue) > 0 {
			path := queue[0]
			queue = queue[1:]
			rec := w.get(u, path)
			visited++
			if rec.Code != http.StatusOK {
				t.Errorf("%s: a link leads to %s, which is %d", name, path, rec.Code)
				continue
			}
			if !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
				continue
			}
			c := &htmlCheck{ids: make(map[string]int)}
			c.read(rec.Body.String())
			if c.finish(true); len(c.wrong) > 0 {
				t.Errorf("%s: %s: %v", name, path, c.wrong)
			}
			for _, l := range c.links {
				if strings.HasPrefix(l, "/admin/") && !seen[l] {
					seen[l] = true
					queue = append(queue, l)
				}
			}
		}
	}
	crawl("superuser", w.boss)
	if visited < 40 {
		t.Errorf("a superuser got to %d pages", visited)
	}
	crawl("staff without permissions", w.nothing)
	for name, perms := range roles {
		w.holding(perms...)
		crawl(name, w.staff)
	}
	t.Logf("%d pages were looked at", visited)
}

// forms are all that can be sent, and what each takes.
var forms = []struct {
	path, fields, needs string
}{
	{"/admin/users/add/", "username=new&email=new@example.org&is_active=on&how=link", "auth.add_user"},
	{"/admin/users/add/", "username=new&is_active=on&how=none&is_staff=on", "super"},
	{"/admin/users/add/", "username=new&is_active=on&how=none&is_superuser=on", "super"},
	{"/admin/users/add/", "username=new&is_active=on&how=password&password=a+password+for+tests+only&password_again=a+password+for+tests+only", "auth.add_user auth.set_password"},
	{"/admin/users/add/", "username=new&is_active=on&how=none&groups=PLAIN", "auth.add_user auth.change_user auth.view_group|auth.change_group"},
	{"/admin/users/add/", "username=new&is_active=on&how=none&groups=POWER", "auth.add_user auth.change_user auth.view_group|auth.change_group blog.add_post"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&first_name=X&is_active=on", "auth.change_user"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&email=x@example.org&is_active=on", "auth.change_user"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&first_name=X", "auth.change_user"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&is_active=on&is_staff=on", "super"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&is_active=on&is_superuser=on", "super"},
	{"/admin/users/OTHER/edit/", "version=OTHERV&is_active=on&groups=POWER", "auth.change_user auth.view_group|auth.change_group blog.add_post"},
	{"/admin/users/BOSS/edit/", "version=BOSSV&is_active=on&is_staff=on&is_superuser=on&first_name=X", "super"},
	{"/admin/users/SELF/edit/", "version=SELFV&is_active=on&is_staff=on&groups=PLAIN", "super"},
	{"/admin/users/SELF/edit/", "version=SELFV&is_active=on&is_staff=on&is_superuser=on", "super"},
	{"/admin/users/OTHER/permissions/", "version=OTHERG&perm=ADDPOST", "auth.change_user auth.view_permission|auth.change_permission blog.add_post"},
	{"/admin/users/SELF/permissions/", "version=SELFG&perm=ADDPOST&perm=SHOUT", "super"},
	{"/admin/users/OTHER/delete/", "version=OTHERV", "auth.delete_user"},
	{"/admin/users/BOSS/delete/", "version=BOSSV", "super"},
	{"/admin/users/OTHER/password/", "password=another+password+for+tests&password_again=another+password+for+tests", "auth.set_password"},
	{"/admin/users/AIDE/password/", "password=another+password+for+tests&password_again=another+password+for+tests", "auth.set_password blog.add_post"},
	{"/admin/users/BOSS/password/", "password=another+password+for+tests&password_again=another+password+for+tests", "super"},
	{"/admin/users/OTHER/reset/", "how=send", "auth.send_reset"},
	{"/admin/users/OTHER/reset/", "how=show", "auth.set_password"},
	{"/admin/users/BOSS/reset/", "how=show", "super"},
	{"/admin/users/OTHER/unlock/", "", "auth.change_user"},
	{"/admin/users/OTHER/sessions/", "session=SESSION", "auth.delete_session"},
	{"/admin/users/OTHER/sessions/", "all=yes", "auth.delete_session"},
	{"/admin/users/BOSS/sessions/", "all=yes", "super"},
	{"/admin/users/bulk/", "action=deactivate&confirm=yes&user=OTHER", "auth.change_user"},
	{"/admin/users/bulk/", "action=delete&confirm=yes&user=OTHER", "auth.delete_user"},
	{"/admin/users/bulk/", "action=signout&confirm=yes&user=OTHER", "auth.delete_session"},
	{"/admin/users/bulk/", "action=enter&confirm=yes&user=OTHER&group=POWER", "auth.change_user auth.view_group|auth.change_group blog.add_post"},
	{"/admin/users/bulk/", "action=leave&confirm=yes&user=OTHER&group=PLAIN", "auth.change_user auth.view_group|auth.change_group"},
	{"/admin/groups/add/", "name=new", "auth.add_group"},
	{"/admin/groups/PLAIN/edit/", "version=PLAINV&name=renamed", "auth.change_group"},
	{"/admin/groups/PLAIN/permissions/", "version=PLAING&perm=ADDPOST", "auth.change_group blog.add_post"},
	{"/admin/groups/POWER/permissions/", "version=POWERG", "auth.change_group"},
	{"/admin/groups/PLAIN/members/", "add=common", "auth.view_user|auth.change_user auth.change_user auth.view_group|auth.change_group"},
	{"/admin/groups/PLAIN/members/", "remove=OTHER", "auth.change_user auth.view_group|auth.change_group"},
	{"/admin/groups/PLAIN/delete/", "version=PLAINV", "auth.delete_group"},
}

// fields fills in identifiers and versions.
func (w *world) fields(s string) url.Values {
	w.t.Helper()
	ctx := w.t.Context()
	id, err := w.eng.Identity(ctx, w.chief.ID)
	must(w.t, "identity", err)
	a := w.eng.As(id)
	pairs := []string{"SESSION", w.sess.String()}
	for name, u := range map[string]*latchbolt.User{"OTHER": w.other, "BOSS": w.boss, "SELF": w.staff} {
		_, v, err := a.User(ctx, u.ID)
		must(w.t, "version", err)
		_, g, err := a.UserGrants(ctx, u.ID)
		must(w.t, "version", err)
		pairs = append(pairs, name+"V", string(v), name+"G", string(g))
	}
	for name, g := range map[string]latchbolt.GroupID{"PLAIN": w.plain, "POWER": w.power} {
		_, v, err := a.Group(ctx, g)
		must(w.t, "version", err)
		_, gv, err := a.GroupGrants(ctx, g)
		must(w.t, "version", err)
		pairs = append(pairs, name+"V", string(v), name+"G", string(gv))
	}
	for p, err := range w.eng.Permissions(ctx) {
		must(w.t, "permissions", err)
		switch p.Perm() {
		case "blog.add_post":
			pairs = append(pairs, "ADDPOST", fmt.Sprint(p.ID))
		case "blog.shout":
			pairs = append(pairs, "SHOUT", fmt.Sprint(p.ID))
		}
	}
	f, err := url.ParseQuery(w.path(strings.NewReplacer(pairs...).Replace(s)))
	must(w.t, "fields", err)
	return f
}

// TestForgedForms sends each form as each kind of person. Only the exact permissions change anything.
func TestForgedForms(t *testing.T) {
	w := newWorld(t)
	tries := 0
	for name, perms := range w.roles() {
		w.holding(perms...)
		before := w.digest()
		for _, f := range forms {
			if enough(f.needs, perms) {
				continue // done in TestForms
			}
			rec := w.post(w.staff, w.path(f.path), w.fields(f.fields))
			tries++
			if strings.Contains(f.path, "/bulk/") && rec.Code == http.StatusOK && strings.Contains(rec.Body.String(), "Not allowed") {
				continue // one row of many was refused
			}
			if rec.Code != http.StatusForbidden {
				t.Errorf("%s %s with %s: %d", f.path, f.fields, name, rec.Code)
			}
			w.clean(f.path, rec)
		}
		if w.digest() != before {
			t.Fatalf("with %s something was changed", name)
		}
	}
	before := w.digest()
	for _, f := range forms {
		for _, u := range []*latchbolt.User{w.common, w.nothing} {
			if rec := w.post(u, w.path(f.path), w.fields(f.fields)); rec.Code != http.StatusForbidden {
				t.Errorf("%s as %s: %d", f.path, u.Username, rec.Code)
			}
		}
		if rec := w.post(nil, w.path(f.path), w.fields(f.fields)); rec.Code != http.StatusFound {
			t.Errorf("%s as nobody: %d", f.path, rec.Code)
		}
		// From a page of another site, and by other methods, not even a superuser's browser does it.
		r := httptest.NewRequest("POST", "https://console.test"+w.path(f.path), strings.NewReader(w.fields(f.fields).Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		if rec := w.do(r, w.boss); rec.Code != http.StatusForbidden {
			t.Errorf("%s from another site: %d", f.path, rec.Code)
		}
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			r := httptest.NewRequest(method, "https://console.test"+w.path(f.path), strings.NewReader(w.fields(f.fields).Encode()))
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if rec := w.do(r, w.boss); rec.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, f.path, rec.Code)
			}
		}
		w.get(w.boss, w.path(f.path)+"?"+w.fields(f.fields).Encode())
	}
	if w.digest() != before {
		t.Error("something was changed")
	}
	if tries < 1000 {
		t.Errorf("only %d tries", tries)
	}
}

// TestWrongFormsOfUsers: a form that is filled in wrongly is shown again to those only who may send it, and recorded for others.
func TestWrongFormsOfUsers(t *testing.T) {
	w := newWorld(t)
	for _, fields := range []string{"username=zed&how=link&password=x", "username=zed&how=password&password=x&password_again=y", "username=&how=none"} {
		form, err := url.ParseQuery(fields)
		must(t, "fields", err)
		if rec := w.post(w.boss, "/admin/users/add/", form); rec.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s as a superuser: %d", fields, rec.Code)
		}
		w.holding("auth.view_audit")
		refusals := w.refusals()
		if rec := w.post(w.staff, "/admin/users/add/", form); rec.Code != http.StatusForbidden {
			t.Errorf("%s by somebody who may not: %d", fields, rec.Code)
		}
		if w.refusals() != refusals+1 {
			t.Errorf("%s: the refusal is not recorded", fields)
		}
	}
}

// refusals counts those that are recorded.
func (w *world) refusals() (n int) {
	for _, err := range w.eng.Audit(w.t.Context(), latchbolt.AuditQuery{Action: latchbolt.ActionForbidden}) {
		must(w.t, "audit", err)
		n++
	}
	return n
}

// TestForms sends each form as somebody who may just do that: it is the control of TestForgedForms.
func TestForms(t *testing.T) {
	for _, f := range forms {
		t.Run(strings.ReplaceAll(strings.TrimPrefix(f.path, "/admin/"), "/", "_"), func(t *testing.T) {
			w := newWorld(t)
			by := w.staff
			if f.needs == "super" {
				by = w.chief
			} else {
				var perms []latchbolt.Perm
				for n := range strings.FieldsSeq(f.needs) {
					perms = append(perms, latchbolt.Perm(strings.Split(n, "|")[0]))
				}
				w.holding(perms...)
			}
			if strings.Contains(f.path, "unlock") {
				for range 3 {
					_, _ = w.eng.Authenticate(t.Context(), latchbolt.Password{Username: "other", Password: "wrong"})
				}
			}
			before := w.digest()
			if strings.HasSuffix(f.fields, "how=show") {
				w.tokens = nil // the one that is shown is looked for below
			}
			rec := w.post(by, w.path(f.path), w.fields(f.fields))
			if rec.Code != http.StatusSeeOther && rec.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", f.fields, rec.Code, rec.Body)
			}
			if rec.Code == http.StatusSeeOther {
				// What it leads to can be seen.
				if next := w.get(by, rec.Header().Get("Location")); next.Code != http.StatusOK {
					t.Errorf("%s: leads to %s, which is %d", f.fields, rec.Header().Get("Location"), next.Code)
				}
			}
			w.clean(f.path, rec)
			if w.digest() == before && !strings.Contains(f.path, "/reset/") {
				t.Errorf("%s: nothing was changed", f.fields)
			}
			for e, err := range w.eng.Audit(t.Context(), latchbolt.AuditQuery{}) {
				must(t, "audit", err)
				if e.Actor != by.ID || e.Failed {
					t.Errorf("%s: the trail says %+v", f.fields, e)
				}
				break
			}
		})
	}
}

// TestResetLink makes sure that a link is shown once, only where it was asked for, and works.
func TestResetLink(t *testing.T) {
	w := newWorld(t)
	path := w.path("/admin/users/OTHER/reset/")
	rec := w.post(w.boss, path, url.Values{"how": {"send"}})
	if rec.Code != http.StatusSeeOther || len(w.mailed) != 1 || w.mailed[0].To != "other@example.org" {
		t.Fatalf("sending: %d, %d mails", rec.Code, len(w.mailed))
	}
	if sent := w.mailed[0].URL; strings.Contains(fmt.Sprint(rec.Header(), rec.Body), strings.Split(sent, "/reset/")[1]) || !strings.HasPrefix(sent, "https://console.test/accounts/password/reset/") {
		t.Error("the link that was sent is shown, too, or is not one")
	}
	rec = w.post(w.boss, path, url.Values{"how": {"show"}})
	_, rest, _ := strings.Cut(rec.Body.String(), "https://console.test/accounts/password/reset/")
	text, _, _ := strings.Cut(rest, "/")
	tok, err := latchbolt.ParseToken(text)
	must(t, "the token in the page", err)
	w.tokens = append(w.tokens, text)
	id, err := w.eng.CheckToken(t.Context(), latchbolt.PurposeReset, tok)
	if err != nil || id != w.other.ID {
		t.Errorf("got %d, %v", id, err)
	}
	for _, p := range pages { // never again
		w.get(w.boss, w.path(p.path))
	}
	w.fails = errors.New("no way to the mail server")
	if rec := w.post(w.boss, path, url.Values{"how": {"send"}}); rec.Code != http.StatusBadGateway {
		t.Errorf("a mail that fails: %d", rec.Code)
	}
}

// TestFresh makes sure that what is sensitive asks for the password again, after who asks may do it at all.
func TestFresh(t *testing.T) {
	w := newWorld(t)
	w.holding("auth.view_user")
	w.now = w.now.Add(16 * time.Minute)
	asked := 0
	for _, f := range forms {
		before := w.digest()
		rec := w.post(w.boss, w.path(f.path), w.fields(f.fields))
		if rec.Code == http.StatusSeeOther && strings.HasPrefix(rec.Header().Get("Location"), "/accounts/confirm/") {
			if asked++; w.digest() != before {
				t.Errorf("%s asked for the password and changed something", f.path)
			}
			continue
		}
		if strings.Contains(f.path, "users") && !strings.Contains(f.path, "unlock") && !strings.Contains(f.path, "sessions") || strings.Contains(f.path, "permissions") || strings.Contains(f.path, "delete") {
			t.Errorf("%s was done without asking for the password: %d", f.path, rec.Code)
		}
		w.signIn(w.boss) // a session of the boss was ended
		w.now = w.now.Add(16 * time.Minute)
	}
	if asked < 25 {
		t.Errorf("asked %d times", asked)
	}
	if rec := w.get(w.staff, w.path("/admin/audit/export/")); rec.Code == http.StatusOK {
		t.Error("exported without the right")
	}
	if rec := w.get(w.chief, "/admin/audit/export/"); rec.Code != http.StatusSeeOther || !strings.HasPrefix(rec.Header().Get("Location"), "/accounts/confirm/?next=") {
		t.Errorf("export: %d to %q", rec.Code, rec.Header().Get("Location"))
	}
}
