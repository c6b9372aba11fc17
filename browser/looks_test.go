package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// A shot is one page to look at: what to do in a window in which somebody is signed in already.
type shot struct {
	name string
	who  string // "" is nobody
	open func(tb *tab)
}

func visit(path string) func(*tab) { return func(tb *tab) { tb.visit(path) } }

// Identifiers in a new demonstration, which are given out in order.
const (
	ada, grace, alan    = "1", "2", "4"
	writers, moderators = "1", "2"
)

// everyPage has all pages of the program, the views and the console, and what they show when something is wrong.
var everyPage = []shot{
	{"login", "", visit("/accounts/login/?next=/")},
	{"login-wrong", "", func(tb *tab) {
		tb.visit("/accounts/login/")
		tb.fill("username", "nobody", "password", "wrong")
		tb.press(button("Sign in"))
	}},
	{"reset", "", visit("/accounts/password/reset/")},
	{"reset-wrong", "", func(tb *tab) {
		tb.visit("/accounts/password/reset/")
		tb.fill("email", "a@b")
		tb.press(button("Send the mail"))
	}},
	{"reset-sent", "", visit("/accounts/password/reset/done/")},
	{"reset-bad-link", "", visit("/accounts/password/reset/nonsense/")},
	{"reset-complete", "", visit("/accounts/password/reset/complete/")},
	{"not-found", "alan", visit("/nowhere/")},
	{"forbidden", "alan", visit("/admin/")},
	{"board", "alan", visit("/")},
	{"board-moderator", "margaret", visit("/")},
	{"post-new", "alan", visit("/posts/new/")},
	{"post-wrong", "alan", func(tb *tab) {
		tb.visit("/posts/new/")
		tb.fill("title", " ", "text", " ")
		tb.press(button("Put it on the board"))
	}},
	{"post-edit", "alan", visit("/posts/4/edit/")},
	{"post-delete", "alan", visit("/posts/4/delete/")},
	{"account", "ada", visit("/accounts/")},
	{"account-change", "alan", visit("/accounts/password/change/")},
	{"account-change-wrong", "alan", func(tb *tab) {
		tb.visit("/accounts/password/change/")
		tb.fill("old", "wrong", "password1", "short", "password2", "short")
		tb.press(button("Change password"))
	}},
	{"confirm", "alan", visit("/accounts/confirm/?next=/")},
	{"signed-out", "tony", func(tb *tab) {
		tb.visit("/")
		tb.press(`//button[normalize-space()="Sign out"]`)
	}},
	{"console", "ada", visit("/admin/")},
	{"console-help-desk", "grace", visit("/admin/")},
	{"users", "ada", visit("/admin/users/")},
	{"users-search", "ada", visit("/admin/users/?q=hopper")},
	{"users-nobody", "ada", visit("/admin/users/?q=zzzz")},
	{"users-help-desk", "grace", visit("/admin/users/")},
	{"user", "ada", visit("/admin/users/" + alan + "/")},
	{"user-help-desk", "grace", visit("/admin/users/" + alan + "/")},
	{"user-add", "ada", visit("/admin/users/add/")},
	{"user-add-wrong", "ada", func(tb *tab) {
		tb.visit("/admin/users/add/")
		tb.fill("username", "not a name", "email", "a@b")
		tb.press(button("Add the user"))
	}},
	{"user-edit", "ada", visit("/admin/users/" + alan + "/edit/")},
	{"user-permissions", "ada", visit("/admin/users/" + alan + "/permissions/")},
	{"user-sessions", "ada", visit("/admin/users/" + grace + "/sessions/")},
	{"user-password", "ada", visit("/admin/users/" + alan + "/password/")},
	{"user-reset", "ada", visit("/admin/users/" + alan + "/reset/")},
	{"user-delete", "ada", visit("/admin/users/" + alan + "/delete/")},
	{"groups", "ada", visit("/admin/groups/")},
	{"group", "ada", visit("/admin/groups/" + writers + "/")},
	{"group-add", "ada", visit("/admin/groups/add/")},
	{"group-edit", "ada", visit("/admin/groups/" + moderators + "/edit/")},
	{"group-permissions", "ada", visit("/admin/groups/" + moderators + "/permissions/")},
	{"group-delete", "ada", visit("/admin/groups/" + moderators + "/delete/")},
	{"permissions", "ada", visit("/admin/permissions/")},
	{"permission", "ada", visit("/admin/permissions/board.change_post/")},
	{"sessions", "ada", visit("/admin/sessions/")},
	{"audit", "ada", visit("/admin/audit/")},
	{"console-not-found", "ada", visit("/admin/users/99999/")},
	{"console-forbidden", "grace", visit("/admin/audit/")},
	{"bulk", "ada", func(tb *tab) {
		tb.visit("/admin/users/")
		tb.waitFor(fmt.Sprintf(`(() => { document.querySelector('[name=user][value="%s"]').checked = true; return true })()`, alan))
		tb.press(`//main//form[contains(@class, "bulk")]//button[starts-with(normalize-space(), "Go on")]`)
	}},
	{"reset-link", "ada", func(tb *tab) {
		tb.visit("/admin/users/" + alan + "/reset/")
		tb.press(`//main//button[contains(., "Show a link once")]`)
	}},
}

// TestLooks looks at every page in light and dark and on a phone: HTML that parses clean, nothing wider than a phone, no barrier that
// axe calls serious or critical. It has a demonstration of its own, so that pictures do not depend on other tests.
func TestLooks(t *testing.T) {
	if chromium == nil {
		t.Skip("SKIPPED: there is no Chromium here")
	}
	script := axeScript(t)
	p, err := startProgram("", "--demo")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	fresh, err := startProgram(filepath.Join(t.TempDir(), "intranet"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fresh.stop(); err != nil {
			t.Error(err)
		}
	}()
	windows := make(map[string]*tab)
	pages := append([]shot{{"setup", "", func(tb *tab) { tb.visit(fresh.open) }}}, everyPage...)
	for _, s := range pages {
		if *docShots && !inDocs[s.name+"-light"] {
			continue // only pictures are wanted
		}
		tb := windows[s.who]
		if tb == nil {
			tb = newTab(t, p.base)
			if windows[s.who] = tb; s.who != "" {
				tb.visit("/accounts/login/")
				tb.signIn(s.who, p.password)
			}
		}
		s.open(tb)
		tb.inspect(s.name, script)
	}
}

// inspect looks at the page that is open.
func (tb *tab) inspect(name, script string) {
	tb.t.Helper()
	for _, w := range checkHTML(tb.body) {
		tb.t.Errorf("%s: %s", name, w)
	}
	for _, scheme := range []string{"light", "dark"} {
		tb.look(scheme, 1200, 800)
		tb.picture(name, scheme)
		if script == "" {
			continue
		}
		var rules []string
		if scheme == "dark" {
			rules = []string{"color-contrast", "link-in-text-block"} // nothing but colours is different
		}
		for _, v := range tb.accessibility(script, rules...) {
			if v.serious() {
				tb.t.Errorf("%s, %s: %v", name, scheme, v)
			} else {
				tb.t.Logf("%s, %s: %v", name, scheme, v)
			}
		}
	}
	tb.look("light", 360, 740)
	if wide := evaluate[int](tb, `document.documentElement.scrollWidth`); wide > 360 {
		tb.t.Errorf("%s is %d pixels wide on a phone of 360: %s", name, wide, evaluate[string](tb, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 361).slice(0, 5).map(e => e.outerHTML.slice(0, 80)).join("\n")`))
	}
	if letters := evaluate[string](tb, columnsOfLetters); letters != "" {
		tb.t.Errorf("%s has text on a phone that is broken after each letter: %s", name, letters)
	}
	tb.picture(name, "phone")
	tb.look("light", 1200, 800)
}

// columnsOfLetters finds text that has next to no room beside it, and so is high and thin.
const columnsOfLetters = `[...document.querySelectorAll("main *")].filter(e => {
	const r = e.getBoundingClientRect(), s = getComputedStyle(e);
	return !e.closest(".stack thead") && e.innerText?.trim().length > 8 && r.width > 1 && r.width < 40 && r.height > 8 * parseFloat(s.fontSize);
}).map(e => e.outerHTML.slice(0, 120)).join("\n")`

// inDocs are the pictures that the documents show.
var inDocs = map[string]bool{"login-light": true, "board-light": true, "account-light": true, "account-phone": true, "console-light": true, "console-dark": true, "users-light": true, "user-permissions-light": true, "group-permissions-light": true}

// picture writes what is shown: all of the page into the folder for pictures, and what fits the window into the documents.
func (tb *tab) picture(name, look string) {
	tb.t.Helper()
	name += "-" + look
	if *shots != "" {
		tb.write(*shots, name, true)
	}
	if *docShots && inDocs[name] {
		const limit = 150 << 10
		if n := tb.write(filepath.Join("..", "docs", "img"), name, false); n > limit {
			tb.t.Errorf("the picture %s has %d bytes; at most %d", name, n, limit)
		}
	}
}

// write takes a picture and returns its size in bytes.
func (tb *tab) write(dir, name string, whole bool) int {
	tb.t.Helper()
	r := call(tb, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &whole})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), r.Data, 0o644); err != nil {
		tb.t.Fatal(err)
	}
	return len(r.Data)
}

// TestTheChecksFind shows a page that does everything wrong to the checks of the other tests.
func TestTheChecksFind(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!DOCTYPE html><title>x</title><script>1</script><script src="/bad.js"></script><img src="/missing.png">`+
				`<p style="color: #ccc">x</p><main><p id="thin">broken at each letter</p></main><p id="grey">not to be read</p><link rel="stylesheet" href="/style.css"><div id="wide">x</div><b><i>x</b></i>`)
		case "/bad.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, `console.log("chatter"); undefined.x`)
		case "/style.css":
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, `#grey { color: #ddd } #wide { width: 500px } #thin { width: 1em; overflow-wrap: anywhere }`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	tb := openTab(t, srv.URL)
	tb.visit("/page")
	var all string
	found := func(what string) bool {
		all = strings.Join(tb.found(), "\n")
		return strings.Contains(all, what)
	}
	for _, what := range []string{"policy: script-src-elem inline", "policy: style-src-attr inline", "console.log: \"chatter\"", "a script failed", "/missing.png", "ContentSecurityPolicyIssue", "security error"} {
		tb.until(what, func() bool { return found(what) })
	}
	if wrong := checkHTML(tb.body); len(wrong) == 0 {
		t.Error("the HTML is taken for good")
	}
	if script := axeScript(t); script != "" {
		found := func(rules ...string) (ids string) {
			for _, v := range tb.accessibility(script, rules...) {
				if v.serious() {
					ids += v.ID + " "
				}
			}
			return ids
		}
		ids := found()
		for _, id := range []string{"color-contrast", "image-alt", "html-has-lang"} {
			if !strings.Contains(ids, id) {
				t.Errorf("axe found %q, and not %s", ids, id)
			}
		}
		if ids := found("color-contrast"); ids != "color-contrast " {
			t.Errorf("by the rule for colours axe found %q", ids)
		}
	}
	tb.look("light", 360, 740)
	if wide := evaluate[int](tb, `document.documentElement.scrollWidth`); wide <= 360 {
		t.Errorf("a page that is 500 pixels wide is taken for %d", wide)
	}
	if letters := evaluate[string](tb, columnsOfLetters); !strings.Contains(letters, `id="thin"`) {
		t.Errorf("a column of letters is not seen: %q", letters)
	}
}
