package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// user goes to the page of a user, by the search.
func (tb *tab) user(name string) {
	tb.t.Helper()
	tb.visit("/admin/users/?q=" + name)
	tb.want(tb.press(fmt.Sprintf(`//table//a[normalize-space()=%q]`, name)), 200, "", name)
}

// tabOf goes to one of the pages about a user or a group.
func (tb *tab) tabOf(text string) int {
	tb.t.Helper()
	return tb.press(fmt.Sprintf(`//nav[contains(@class, "tabs")]//a[normalize-space()=%q]`, text))
}

// TestConsoleOfSuperuser makes somebody, changes what there is to change, and deletes the account again.
func TestConsoleOfSuperuser(t *testing.T) {
	tb := signIn(t, "ada")
	tb.want(tb.visit("/admin/"), 200, "/admin/", "Logins and failures by day")

	// The list follows while somebody types.
	tb.visit("/admin/users/")
	if err := chromedp.Do(tb.ctx, chromedp.SendKeys(chromedp.CSS("#q"), "hopper")); err != nil {
		t.Fatal(err)
	}
	tb.waitFor(`(() => { const t = document.getElementById("results").innerText; return t.includes("grace@example.org") && !t.includes("margaret@") })()`)
	tb.waitFor(`new URLSearchParams(location.search).get("q") === "hopper"`)

	tb.press(`//nav//a[normalize-space()="Users"]`)
	tb.press(button("Add a user"))
	tb.fill("username", "dorothy", "email", "dorothy@example.org", "first_name", "Dorothy", "last_name", "Vaughan")
	tb.waitFor(`(() => { document.getElementById("how-password").click(); return true })()`)
	tb.fill("password", "short", "password_again", "short")
	tb.want(tb.press(button("Add the user")), 422, "", "too short")
	tb.waitFor(`(() => { document.getElementById("how-password").click(); return true })()`)
	tb.fill("password", newPassword, "password_again", newPassword)
	tb.want(tb.press(button("Add the user")), 200, "", "Dorothy Vaughan")

	dorothy := newTab(t, demo.base)
	dorothy.visit("/accounts/login/")
	dorothy.signIn("dorothy", newPassword)
	dorothy.want(dorothy.visit("/posts/new/"), 403, "", "You are not allowed to do that")

	// Rights given here are in force there with the next request.
	tb.user("dorothy")
	tb.tabOf("Permissions")
	tb.waitFor(`(() => { document.querySelector('input[name=perm][aria-label^="board.add_post"], input[name=perm][aria-label*="Can add notices"]').click(); return true })()`)
	tb.want(tb.press(button("Save the permissions")), 200, "", "board.add_post")
	dorothy.want(dorothy.visit("/posts/new/"), 200, "/posts/new/", "New notice")

	// Deactivated: the session is dead and the password is refused.
	tb.user("dorothy")
	tb.tabOf("Edit")
	tb.waitFor(`(() => { const c = document.getElementById("is_active"); if (c.checked) c.click(); return !c.checked })()`)
	tb.want(tb.press(button("Save")), 200, "", "inactive")
	dorothy.want(dorothy.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	dorothy.fill("username", "dorothy", "password", newPassword)
	dorothy.want(dorothy.press(button("Sign in")), 401, "", "Please enter a correct user name and password.")
	tb.tabOf("Edit")
	tb.waitFor(`(() => { const c = document.getElementById("is_active"); if (!c.checked) c.click(); return c.checked })()`)
	tb.press(button("Save"))
	dorothy.signIn("dorothy", newPassword)

	// Ended sessions are dead at once; the question of the page is answered with yes.
	tb.user("dorothy")
	tb.tabOf("Sessions")
	tb.want(tb.press(button("End all sessions")), 200, "", "0 living sessions")
	dorothy.want(dorothy.visit("/"), 200, "/accounts/login/?next=/", "Sign in")

	// A link that is shown once sets a new password.
	tb.tabOf("Reset link")
	tb.want(tb.press(button("Show a link once, to hand it over")), 200, "", "")
	link := evaluate[string](tb, `document.querySelector("main input[data-copy]").value`)
	dorothy.want(dorothy.visit(link), 200, "/accounts/password/reset/set/", "Set a new password")
	dorothy.fill("password1", newPassword+"!", "password2", newPassword+"!")
	dorothy.want(dorothy.press(button("Set the password")), 200, "/accounts/password/reset/complete/", "")

	// What is deleted with an account is said before.
	tb.user("dorothy")
	tb.want(tb.tabOf("Delete"), 200, "", "This cannot be undone")
	if got := tb.text("main"); !strings.Contains(got, "board.add_post") {
		t.Errorf("the page does not name the permission that goes:\n%s", got)
	}
	tb.want(tb.press(button("Delete for good")), 200, "", "")
	tb.visit("/admin/users/?q=dorothy")
	tb.want(200, 200, "", "Nobody.")
	tb.want(tb.visit("/admin/audit/?action=user."), 200, "", "dorothy")
}

func TestConsoleGroupsAndBulk(t *testing.T) {
	tb := signIn(t, "ada")
	tb.visit("/admin/groups/")
	tb.press(button("Add a group"))
	tb.fill("name", "Printers")
	tb.want(tb.press(button("Add the group")), 200, "", "Printers")
	tb.fill("add", "tony")
	tb.want(tb.press(button("Add")), 200, "", "Tony Hoare")
	tb.tabOf("Permissions")
	tb.waitFor(`(() => { document.querySelector('input[name=perm][aria-label^="board.add_post"], input[name=perm][aria-label*="Can add notices"]').click(); return true })()`)
	tb.press(button("Save the permissions"))
	tony := signIn(t, "tony")
	tony.want(tony.visit("/posts/new/"), 200, "/posts/new/", "New notice")

	// What several people are to get has a page that asks before.
	tb.visit("/admin/users/?q=tony")
	tb.waitFor(`(() => { document.querySelector('#results input[name=user]').click(); return true })()`)
	if err := chromedp.Do(tb.ctx, chromedp.SetValue(chromedp.CSS("#action"), evaluate[string](tb, `[...document.querySelectorAll("#action option")].find(o => /sign out|end/i.test(o.text)).value`))); err != nil {
		t.Fatal(err)
	}
	tb.want(tb.press(`//form[contains(@class, "bulk")]//button[starts-with(normalize-space(), "Go on")]`), 200, "", "tony")
	tony.want(tony.visit("/"), 200, "/", "Notices")
	tb.press(`//main//form//button`)
	tony.want(tony.visit("/"), 200, "/accounts/login/?next=/", "Sign in")

	tb.visit("/admin/groups/")
	tb.press(`//table//a[normalize-space()="Printers"]`)
	tb.want(tb.tabOf("Delete"), 200, "", "Printers")
	tb.want(tb.press(button("Delete for good")), 200, "/admin/groups/?done=deleted", "")
	tony.signIn("tony", demo.password)
	tony.want(tony.visit("/posts/new/"), 403, "", "You are not allowed to do that")
}

// TestConsoleOfHelpDesk sees what one who may do some of it sees, and what is refused by its address.
func TestConsoleOfHelpDesk(t *testing.T) {
	tb := signIn(t, "grace")
	tb.want(tb.visit("/admin/"), 200, "/admin/", "Dashboard")
	if nav := tb.text("header nav"); strings.Contains(nav, "Audit") || !strings.Contains(nav, "Users") {
		t.Errorf("the navigation offers %q", nav)
	}
	if text := tb.text("main"); strings.Contains(text, "failed attempts") {
		t.Errorf("the dashboard shows what only the trail tells:\n%s", text)
	}
	tb.user("margaret")
	if tabs := tb.text("nav.tabs"); strings.Contains(tabs, "Delete") || strings.Contains(tabs, "Password") || !strings.Contains(tabs, "Edit") {
		t.Errorf("offered about a user: %q", tabs)
	}
	for path, want := range map[string]int{
		"/admin/audit/": 403, "/admin/users/add/": 403, "/admin/groups/add/": 403, "/admin/users/" + alan + "/delete/": 403,
		"/admin/users/" + alan + "/password/": 403, "/admin/users/" + ada + "/edit/": 403, "/admin/groups/1/": 200, "/admin/users/" + alan + "/edit/": 200,
	} {
		if status := tb.visit(path); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	// Who may not make superusers cannot tick the box.
	tb.visit("/admin/users/" + alan + "/edit/")
	if !evaluate[bool](tb, `document.getElementById("is_superuser").disabled && document.getElementById("is_staff").disabled && !document.getElementById("first_name").disabled`) {
		t.Error("the form lets the help desk make superusers")
	}
	tb.fill("first_name", "Alan Mathison")
	tb.want(tb.press(button("Save")), 200, "", "Alan Mathison Turing")
}

func TestConsoleOfNobody(t *testing.T) {
	tb := newTab(t, demo.base)
	tb.want(tb.visit("/admin/users/"), 200, "/accounts/login/?next=/admin/users/", "Sign in")
	tb.signIn("grace", demo.password)
	tb.want(200, 200, "/admin/users/", "Users")

	tb = signIn(t, "margaret")
	if text := tb.text("header"); strings.Contains(text, "Console") {
		t.Errorf("the board offers the console to everybody: %q", text)
	}
	for _, path := range []string{"/admin/", "/admin/users/", "/admin/users/1/", "/admin/users/99999/", "/admin/nothing/"} {
		tb.want(tb.visit(path), 403, path, "You are not allowed to do that")
	}
}
