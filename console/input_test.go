package console_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/console"
	"github.com/latchbolt-go/latchbolt/internal/canary"
)

// TestCVE_2010_4534_2014_0483 asks each page with parameters that it does not have, among them the names of all fields and
// Django's ways to reach into them, and with values that a parameter cannot have. All are 400, and nothing is looked up by them.
func TestCVE_2010_4534_2014_0483(t *testing.T) {
	w := newWorld(t)
	w.holding("auth.view_user", "auth.view_group", "auth.view_permission", "auth.view_session", "auth.view_audit")
	names := []string{"password", "password__startswith", "hash", "to_field", "_to_field", "t", "_popup", "o", "p", "all", "e", "username", "email__contains", "groups__name", "id__in", "_facets", "next", "generation", "salt", "sort[]", "q[]", "Q", "order", "fields", "format ", "__proto__"}
	tried := 0
	for _, p := range pages {
		if !enough(p.needs, []latchbolt.Perm{"auth.view_user", "auth.view_group", "auth.view_permission", "auth.view_session", "auth.view_audit"}) {
			continue
		}
		for _, n := range names {
			path, query, _ := strings.Cut(w.path(p.path), "?")
			rec := w.get(w.staff, path+"?"+query+"&"+url.QueryEscape(n)+"=pbkdf2")
			if rec.Code != http.StatusBadRequest {
				t.Errorf("%s with %s: %d", p.path, n, rec.Code)
			}
			tried++
		}
	}
	for _, q := range []string{"sort=password", "sort=-name", "sort=name&sort=newest", "active=1", "active=true", "staff=maybe", "superuser=", "group=0", "group=01", "group=x", "group=1%20OR%201",
		"from=AAAA", "from=%00", "live=2", "q=" + strings.Repeat("a", 400), "done=nothing", "q=a;sort=name", "q=%zz"} {
		if rec := w.get(w.staff, "/admin/users/?"+q); rec.Code != http.StatusBadRequest && q != "superuser=" {
			t.Errorf("users/?%.40s: %d", q, rec.Code)
		}
	}
	for _, q := range []string{"action=x", "action=login.", "user=-1", "user=1e3", "outcome=no", "since=yesterday", "since=2026-13-01", "until=2026-01-01T00:00:00Z", "from=-5", "from=x", "from=99999999999999999999"} {
		if rec := w.get(w.staff, "/admin/audit/?"+q); rec.Code != http.StatusBadRequest {
			t.Errorf("audit/?%s: %d", q, rec.Code)
		}
	}
	if rec := w.get(w.boss, "/admin/audit/export/?format=xls"); rec.Code != http.StatusBadRequest {
		t.Errorf("export: %d", rec.Code)
	}
	if tried < 200 {
		t.Errorf("only %d tries", tried)
	}
}

// TestCVE_2014_0474 asks for identifiers in other spellings: they are not there.
func TestCVE_2014_0474(t *testing.T) {
	w := newWorld(t)
	id := w.path("OTHER")
	for _, s := range []string{"0" + id, "+" + id, "-" + id, "%20" + id, id + "%20", id + "x", "0x" + id, id + ".0", "٣", "0", "18446744073709551616", "18446744073709551615", strings.Repeat("1", 5000), id + "%00", "GONE"} {
		for _, what := range []string{"users", "groups"} {
			if rec := w.get(w.boss, w.path("/admin/"+what+"/"+s+"/")); rec.Code != http.StatusNotFound {
				t.Errorf("%s/%.30s: %d", what, s, rec.Code)
			}
		}
	}
	for _, p := range []string{"/admin/nothing/", "/admin/users", "/admin/users/1/2/3/", "/admin/permissions/none.such/", "/admin/static/none.css", "/admin/static/"} {
		rec := w.get(w.boss, p)
		if rec.Code != http.StatusNotFound && rec.Code != http.StatusMovedPermanently && rec.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d", p, rec.Code)
		}
	}
	// Content spoofing, CVE-2019-3498: what does not exist is not repeated.
	if rec := w.get(w.boss, "/admin/please-call-0900-123/"); strings.Contains(rec.Body.String(), "0900") {
		t.Error("the path of a missing page is in the answer")
	}
}

// TestCVE_2013_0305 gives staff every right but those to look at something, and looks for it on every page.
func TestCVE_2013_0305(t *testing.T) {
	w := newWorld(t)
	all := append(slices.Clone(w.perms), "blog.add_post")
	for _, c := range []struct{ without, secret string }{
		{"view_user change_user", "other@example.org"},
		{"view_group change_group", "power"},
		{"view_session delete_session", w.sess.String()},
		{"view_audit", "user.create"},
	} {
		w.holding(slices.DeleteFunc(slices.Clone(all), func(p latchbolt.Perm) bool {
			return slices.Contains(strings.Fields(c.without), strings.TrimPrefix(string(p), "auth."))
		})...)
		for _, p := range pages {
			rec := w.get(w.staff, w.path(p.path))
			if c.secret == "other@example.org" && strings.Contains(p.path, "delete") || c.secret == "power" && strings.Contains(p.path, "audit") {
				continue // the page that names what is deleted, and the trail, have rights of their own
			}
			if strings.Contains(rec.Body.String(), c.secret) {
				t.Errorf("%s without %s shows %s", p.path, c.without, c.secret)
			}
		}
	}
}

// polyglots are texts that end up as script where a page is not careful.
var polyglots = []string{`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `</title><script>x</script>`, `{{.}}`, `{{template "frame"}}`, `<!--`, `]]>`, "`${1}`",
	`" autofocus onfocus="alert(1)`, `</textarea><svg/onload=alert(1)>`, `&lt;script&gt;`, `<a href="//evil">x</a>`, `x" style="display:none`, `\u003cscript\u003e`, `%3Cscript%3E`, `';alert(1)//`, `<svg><title><a id="</title><img src=1 onerror=alert(1)>">`}

// TestCVE_2013_4249_2019_12308_2020_13596 stores texts that would be script in every field, and reads all pages.
func TestCVE_2013_4249_2019_12308_2020_13596(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for i, s := range polyglots {
		must(t, "user", w.eng.UpdateUser(ctx, w.other.ID, func(u *latchbolt.User) error { u.FirstName, u.LastName = s, s; return nil }))
		must(t, "group", w.eng.RenameGroup(ctx, w.plain, s))
		must(t, "permission", w.eng.Define(ctx, latchbolt.Permission{App: "x" + fmt.Sprint(i), Codename: strings.ReplaceAll(s, "\x00", ""), Model: s, Name: s}))
		must(t, "record", w.eng.Record(ctx, latchbolt.AuditEntry{Action: "x." + s, Username: s, Detail: s, User: w.other.ID, Failed: true}))
		id, err := w.eng.Identity(ctx, w.other.ID)
		must(t, "identity", err)
		_, err = w.eng.Login(ctx, id, latchbolt.LoginOptions{Name: s, Client: latchbolt.Client{Agent: s}})
		must(t, "login", err)
		_, _ = w.eng.Authenticate(ctx, latchbolt.Password{Username: s, Password: "x"})
		for _, p := range pages {
			rec := w.get(w.boss, w.path(p.path))
			if rec.Code != http.StatusOK {
				t.Errorf("%s: %d", p.path, rec.Code)
			}
			w.clean(fmt.Sprintf("%s with %s", p.path, s), rec)
		}
		rec := w.get(w.boss, "/admin/users/?q="+url.QueryEscape(s))
		w.clean("search for "+s, rec)
		for _, q := range []string{"/admin/users/add/", w.path("/admin/users/OTHER/edit/")} {
			f := url.Values{"username": {s}, "email": {s}, "first_name": {s}, "last_name": {s}, "is_active": {"on"}}
			if strings.HasSuffix(q, "add/") {
				f.Set("how", "link")
			} else {
				f.Set("version", w.fields("v=OTHERV").Get("v"))
			}
			rec := w.post(w.boss, q, f)
			if rec.Code != http.StatusUnprocessableEntity {
				t.Errorf("%s with %q: %d", q, s, rec.Code)
			}
			w.clean(q, rec)
		}
	}
}

// TestExport reads both forms of the export, whole and filtered, and looks for cells that a program for tables would take for formulas.
func TestExport(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	evil := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=cmd|' /C calc'!A0", "＝1", "a,b\"c\nd", "'=1", "ordinary"}
	for _, s := range evil {
		must(t, "record", w.eng.Record(ctx, latchbolt.AuditEntry{Action: "group.x", Username: s, Detail: s}))
	}
	rec := w.get(w.boss, "/admin/audit/export/?format=csv&action=group.")
	if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/csv") || !strings.Contains(rec.Header().Get("Content-Disposition"), "attachment") || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	rows, err := csv.NewReader(rec.Body).ReadAll()
	must(t, "reading", err)
	groups := 4 // made with the world, and entered
	if len(rows) != 1+groups+len(evil) || rows[0][0] != "time" {
		t.Fatalf("%d rows, the first %q", len(rows), rows[0])
	}
	for i, row := range rows[1 : 1+len(evil)] {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") || strings.HasPrefix(strings.TrimSpace(cell), "=") {
				t.Errorf("a formula: %q", cell)
			}
		}
		want := evil[len(evil)-1-i]
		if bare := strings.NewReplacer("\r", "", "'", ""); bare.Replace(row[4]) != bare.Replace(want) {
			t.Errorf("got %q, want %q", row[4], want)
		}
	}
	rec = w.get(w.boss, "/admin/audit/export/?format=ndjson&action=group.")
	lines := 0
	for s := bufio.NewScanner(rec.Body); s.Scan(); lines++ {
		var e struct {
			Time     time.Time
			Action   string
			Username string
		}
		must(t, "line", json.Unmarshal(s.Bytes(), &e))
		if lines < len(evil) && e.Username != evil[len(evil)-1-lines] || !strings.HasPrefix(e.Action, "group.") || e.Time.IsZero() {
			t.Errorf("got %+v", e)
		}
	}
	if lines != groups+len(evil) {
		t.Errorf("%d lines", lines)
	}
	if rec := w.get(w.boss, "/admin/audit/export/?format=csv&user=424242"); !strings.HasPrefix(rec.Body.String(), "time,action,") {
		t.Errorf("nothing to export gives %q", rec.Body)
	}
}

// TestLimits sends forms that are too long, have too much or are no forms.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	before := w.digest()
	long := url.Values{"first_name": {strings.Repeat("x", 1<<20)}, "version": {"x"}}
	if rec := w.post(w.boss, w.path("/admin/users/OTHER/edit/"), long); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a mebibyte: %d", rec.Code)
	}
	many := url.Values{"action": {"delete"}, "confirm": {"yes"}}
	for i := range 300 {
		many.Add("user", fmt.Sprint(1000+i))
	}
	if rec := w.post(w.boss, "/admin/users/bulk/", many); rec.Code != http.StatusBadRequest {
		t.Errorf("300 users: %d", rec.Code)
	}
	for name, body := range map[string]string{"multipart": "--x\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\nx\r\n--x--\r\n", "json": `{"version":"x"}`, "twice": "version=x&version=y", "unknown": "version=x&hash=y", "empty": ""} {
		r := httptest.NewRequest("POST", "https://console.test"+w.path("/admin/users/OTHER/edit/"), strings.NewReader(body))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Content-Type", map[string]string{"multipart": "multipart/form-data; boundary=x", "json": "application/json"}[name])
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if rec := w.do(r, w.boss); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	for _, f := range []string{"action=nothing&user=OTHER", "action=delete&confirm=maybe&user=OTHER", "action=delete&user=x", "action=delete&user=OTHER&back=to_field%3Dpassword", "session=x", "all=no", "all=yes&session=SESSION"} {
		path := "/admin/users/bulk/"
		if !strings.Contains(f, "action") {
			path = "/admin/users/OTHER/sessions/"
		}
		if rec := w.post(w.boss, w.path(path), w.fields(f)); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", f, rec.Code)
		}
	}
	if w.digest() != before {
		t.Error("something was changed")
	}
}

// TestStaleForms makes sure that nobody overwrites what somebody else changed meanwhile without seeing it.
func TestStaleForms(t *testing.T) {
	w := newWorld(t)
	edit := w.path("/admin/users/OTHER/edit/")
	old := w.fields("version=OTHERV&username=other&email=other@example.org&first_name=Mine&last_name=Other&is_active=on&has_groups=yes&groups=PLAIN")
	must(t, "somebody else", w.eng.UpdateUser(t.Context(), w.other.ID, func(u *latchbolt.User) error { u.FirstName = "Theirs"; return nil }))
	rec := w.post(w.boss, edit, old)
	body := rec.Body.String()
	if rec.Code != http.StatusConflict || !strings.Contains(body, "Theirs") || !strings.Contains(body, `value="Mine"`) {
		t.Fatalf("%d %s", rec.Code, body)
	}
	w.clean(edit, rec)
	if u, _ := w.eng.User(t.Context(), w.other.ID); u.FirstName != "Theirs" {
		t.Error("it was overwritten")
	}
	// Sending what that page has, on purpose, saves it.
	again := regexp.MustCompile(`name="version" value="([^"]*)"`).FindStringSubmatch(body)
	old.Set("version", again[1])
	if rec := w.post(w.boss, edit, old); rec.Code != http.StatusSeeOther {
		t.Errorf("again: %d", rec.Code)
	}
	if u, _ := w.eng.User(t.Context(), w.other.ID); u.FirstName != "Mine" {
		t.Error("it was not saved")
	}
	for _, f := range []struct{ path, fields string }{
		{"/admin/users/OTHER/permissions/", "version=OTHERG&perm=ADDPOST"}, {"/admin/groups/PLAIN/permissions/", "version=PLAING&perm=ADDPOST"},
		{"/admin/groups/PLAIN/edit/", "version=PLAINV&name=again"}, {"/admin/groups/PLAIN/delete/", "version=PLAINV"}, {"/admin/users/OTHER/delete/", "version=OTHERV"},
	} {
		old := w.fields(f.fields)
		must(t, "somebody else", w.eng.Grant(t.Context(), w.other.ID, "blog.delete_post"))
		must(t, "somebody else", w.eng.Grant(t.Context(), w.plain, "blog.delete_post"))
		must(t, "somebody else", w.eng.RenameGroup(t.Context(), w.plain, "renamed meanwhile "+f.path))
		must(t, "somebody else", w.eng.UpdateUser(t.Context(), w.other.ID, func(u *latchbolt.User) error { u.LastName = f.path; return nil }))
		before := w.digest()
		rec := w.post(w.boss, w.path(f.path), old)
		if rec.Code != http.StatusConflict || w.digest() != before {
			t.Errorf("%s: %d", f.path, rec.Code)
		}
		w.clean(f.path, rec)
		must(t, "back", w.eng.Revoke(t.Context(), w.other.ID, "blog.delete_post"))
		must(t, "back", w.eng.Revoke(t.Context(), w.plain, "blog.delete_post"))
	}
}

// TestBulk asks first, does it then, and says of each what became of it.
func TestBulk(t *testing.T) {
	w := newWorld(t)
	w.holding("auth.view_user", "auth.change_user")
	f := w.fields("action=deactivate&user=OTHER&user=BOSS&user=SELF&user=GONE&back=q%3Do")
	before := w.digest()
	rec := w.post(w.staff, "/admin/users/bulk/", f)
	if rec.Code != http.StatusOK || w.digest() != before || !strings.Contains(rec.Body.String(), `name="confirm" value="yes"`) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w.clean("bulk", rec)
	f.Set("confirm", "yes")
	rec = w.post(w.staff, "/admin/users/bulk/", f)
	if rec.Code != http.StatusOK || strings.Count(rec.Body.String(), "Not allowed") != 2 || !strings.Contains(rec.Body.String(), "2 of 3") || !strings.Contains(rec.Body.String(), `href="/admin/users/?q=o"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.clean("bulk", rec)
	for id, inactive := range map[latchbolt.UserID]bool{w.other.ID: true, w.boss.ID: false, w.staff.ID: false} {
		if u, _ := w.eng.User(t.Context(), id); u.Inactive != inactive {
			t.Errorf("%s is inactive: %v", u.Username, u.Inactive)
		}
	}
	if rec := w.post(w.staff, "/admin/users/bulk/", w.fields("action=activate")); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("nobody chosen: %d", rec.Code)
	}
}

// TestPrefix mounts the console elsewhere, and makes sure that no address leads out of there.
func TestPrefix(t *testing.T) {
	w := newWorldAt(t, "/deep/in/the/site/")
	rec := w.get(w.boss, "/deep/in/the/site/users/")
	if rec.Code != http.StatusOK {
		t.Fatalf("%d", rec.Code)
	}
	c := &htmlCheck{ids: make(map[string]int)}
	c.read(rec.Body.String())
	for _, l := range c.links {
		if !strings.HasPrefix(l, "/deep/in/the/site/") && l != "#main" {
			t.Errorf("a link to %s", l)
		}
	}
	for _, asset := range regexp.MustCompile(`(?:href|src)="(/deep/in/the/site/static/[^"]+)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
		rec := w.get(nil, asset[1])
		if rec.Code != http.StatusOK || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", asset[1], rec.Code, rec.Header())
		}
	}
	for _, bad := range []string{"admin/", "/admin", "/a//b/", "/{x}/", "/a b/"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the prefix %q is accepted", bad)
				}
			}()
			(&console.Console{Auth: &authhttp.Auth{Engine: w.eng}, Prefix: bad}).Handler()
		}()
	}
}

// TestRevokedWhileIn withdraws rights from somebody who is in the midst of it: the next request has them no more.
func TestRevokedWhileIn(t *testing.T) {
	w := newWorld(t)
	w.holding("auth.view_user", "auth.change_user")
	if rec := w.get(w.staff, w.path("/admin/users/OTHER/edit/")); rec.Code != http.StatusOK {
		t.Fatalf("%d", rec.Code)
	}
	f := w.fields("version=OTHERV&first_name=X&is_active=on")
	must(t, "no staff any more", w.eng.UpdateUser(t.Context(), w.staff.ID, func(u *latchbolt.User) error { u.Staff = false; return nil }))
	if rec := w.post(w.staff, w.path("/admin/users/OTHER/edit/"), f); rec.Code != http.StatusForbidden {
		t.Errorf("%d", rec.Code)
	}
	must(t, "no session any more", w.eng.EndSessions(t.Context(), w.boss.ID))
	if rec := w.post(w.boss, w.path("/admin/users/OTHER/edit/"), f); rec.Code != http.StatusFound {
		t.Errorf("%d", rec.Code)
	}
}

// TestMillionPages looks at the pages with a million users. It takes a minute, and runs with LATCHBOLT_LONG=1.
func TestMillionPages(t *testing.T) {
	if os.Getenv("LATCHBOLT_LONG") == "" {
		t.Skip("takes a minute; set LATCHBOLT_LONG=1")
	}
	w := newWorld(t)
	for from := 0; from < 1_000_000; from += 5000 {
		must(t, "filling", w.eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
			for i := from; i < from+5000; i++ {
				u := latchbolt.User{Username: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("mail%d@example.org", i), FirstName: "Ada", LastName: []string{"Smith", "Jones"}[i%2], Inactive: i%9 == 0}
				if i%1000 == 0 {
					u.Groups = []latchbolt.GroupID{w.plain}
				}
				if err := tx.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	paths := []string{"/admin/users/?q=user7&live=1", "/admin/users/?q=nobody+at+all&live=1", "/admin/users/?q=nobody+at+all", "/admin/users/?q=mail99999&live=1", "/admin/users/?group=PLAIN", "/admin/groups/PLAIN/", "/admin/"}
	for _, p := range pages {
		paths = append(paths, p.path)
	}
	for _, p := range paths {
		best := time.Duration(0)
		for i := range 3 {
			start := time.Now()
			if rec := w.get(w.boss, w.path(p)); rec.Code != http.StatusOK {
				t.Errorf("%s: %d", p, rec.Code)
			}
			if took := time.Since(start); i == 0 || took < best {
				best = took
			}
		}
		t.Logf("%8.2f ms  %s", float64(best)/1e6, p)
		limit := 100 * time.Millisecond
		if p == "/admin/users/?q=nobody+at+all" || strings.Contains(p, "export") {
			limit = 600 * time.Millisecond // was asked for in so many words: a quarter of a second of searching
		}
		if best > limit {
			t.Errorf("%s took %v, limit %v", p, best, limit)
		}
	}
}

// Programs for tables split lines at what their country uses, and take a quotation mark within a cell for one: what somebody typed as
// a name at the login must not begin a cell there either. OWASP warns of it.
func TestExportElsewhere(t *testing.T) {
	w := newWorld(t)
	evil := []string{"x;=cmd|' /C calc'!A0;", "x; +1;", "x\n=cmd|' /C calc'!A0;", "x\r\n\t@SUM(A1)\t", "x\t-1\t", "x;\"=1;", "x;;\u00a0＝1;", "=1;=1"}
	for _, s := range evil {
		_, err := w.eng.Authenticate(t.Context(), latchbolt.Password{Username: s, Password: "guess"})
		if err == nil {
			t.Fatal("a login")
		}
	}
	rec := w.get(w.boss, "/admin/audit/export/?format=csv&action=login.failed")
	if n := strings.Count(rec.Body.String(), "login.failed"); n != len(evil) {
		t.Fatalf("%d entries:\n%s", n, rec.Body)
	}
	for _, cell := range strings.FieldsFunc(rec.Body.String(), func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
		if s := strings.TrimLeft(cell, " \u00a0\"\x00\ufeff"); s != "" && strings.ContainsAny(s[:1], "=+-@") || strings.HasPrefix(s, "＝") {
			t.Errorf("a formula: %q", cell)
		}
	}
}

// A console that is mounted elsewhere than under its prefix finds nothing; the log says why.
func TestMountedElsewhere(t *testing.T) {
	w := newWorld(t)
	var log strings.Builder
	auth := &authhttp.Auth{Engine: w.eng, Logger: canary.Logger()}
	con := &console.Console{Auth: auth, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	mux := http.NewServeMux()
	mux.Handle("/console/", con.Handler())
	w.h = auth.Handler(mux)
	if rec := w.get(w.boss, "/console/users/"); rec.Code != http.StatusNotFound || !strings.Contains(log.String(), "set Console.Prefix") || !strings.Contains(log.String(), "prefix=/admin/") {
		t.Errorf("%d, the log says %s", rec.Code, log.String())
	}
	w = newWorldAt(t, "/")
	if rec := w.get(w.boss, "/users/"); rec.Code != http.StatusOK {
		t.Errorf("at the root: %d", rec.Code)
	}
}
