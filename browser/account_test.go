package browser

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const newPassword = "a new password that is long"

func TestSetUp(t *testing.T) {
	if chromium == nil {
		t.Skip("SKIPPED: there is no Chromium here")
	}
	p, err := startProgram(filepath.Join(t.TempDir(), "intranet"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	tb := newTab(t, p.base)
	tb.want(tb.visit(p.open), 200, strings.TrimPrefix(p.open, p.base), "There is no user yet.")
	code := evaluate[string](tb, `document.querySelector("[name=code]").value`)
	tb.fill("code", "wrong", "username", "ada", "email", "ada@example.org", "password1", newPassword, "password2", newPassword)
	tb.want(tb.press(button("Make the first user")), 403, "/accounts/setup/", "That is not the code that the program printed.")
	tb.fill("code", code, "password1", "short", "password2", "short")
	tb.want(tb.press(button("Make the first user")), 422, "/accounts/setup/", "too short")
	tb.fill("password1", newPassword, "password2", newPassword)
	tb.want(tb.press(button("Make the first user")), 200, "/", "There is nothing on the board.")
	tb.want(tb.visit(p.open), 404, "", "There is no such page.")

	tb.visit("/")
	tb.press(button("Add the first notice."))
	tb.fill("title", "First", "text", "Hello")
	tb.want(tb.press(button("Put it on the board")), 200, "/", "Your notice is on the board.")
	tb.press(`//a[normalize-space()="Console"]`)
	tb.want(200, 200, "/admin/", "Users")
}

func TestLogin(t *testing.T) {
	tb := newTab(t, demo.base)
	tb.want(tb.visit("/posts/new/"), 200, "/accounts/login/?next=/posts/new/", "Sign in")
	tb.fill("username", "frances", "password", "not the password")
	tb.want(tb.press(button("Sign in")), 401, "/accounts/login/", "Please enter a correct user name and password.")
	if got := evaluate[string](tb, `document.querySelector("[name=username]").value + "|" + document.querySelector("[name=password]").value`); got != "frances|" {
		t.Errorf("after a wrong password the form has %q", got)
	}
	tb.signIn("frances", demo.password)
	tb.want(200, 200, "/posts/new/", "New notice")

	// Nobody is sent to another site.
	for _, next := range []string{"https://elsewhere.example/", "//elsewhere.example/", `/\elsewhere.example/`, "javascript:alert(1)"} {
		tb.visit("/accounts/login/?next=" + next)
		tb.signIn("frances", demo.password)
		tb.want(200, 200, "/", "Notices")
	}
}

func TestThrottle(t *testing.T) {
	tb := newTab(t, demo.base)
	tb.visit("/accounts/login/")
	status := 0
	for range 15 { // five are free, and each one after that has to be within the time that is asked for
		tb.fill("username", "edsger", "password", "not the password")
		if status = tb.press(button("Sign in")); status != 401 {
			break
		}
	}
	tb.want(status, 429, "/accounts/login/", "Too many failed attempts. Try again in ")
	// Who waits as long as the page says is let in.
	tb.until("the login after the wait", func() bool {
		tb.fill("username", "edsger", "password", demo.password)
		status := tb.press(button("Sign in"))
		if status == 429 {
			tb.want(status, 429, "/accounts/login/", "Try again in ")
		}
		return status == 200
	})
	tb.want(200, 200, "/", "Notices")
}

// sessionCookie returns the cookie of a window.
func (tb *tab) sessionCookie() *network.Cookie {
	tb.t.Helper()
	for _, c := range call(tb, network.GetCookies, network.GetCookiesParams{URLs: []string{tb.base}}).Cookies {
		if c.Name == "latchbolt" {
			return c
		}
	}
	return nil
}

func TestCookies(t *testing.T) {
	tb := newTab(t, demo.base)
	tb.visit("/accounts/login/")
	if c := tb.sessionCookie(); c != nil {
		t.Errorf("who only looks at the login page has the cookie %+v", c)
	}
	for _, remember := range []bool{false, true} {
		tb.visit("/accounts/login/")
		if remember {
			if err := chromedp.Do(tb.ctx, click("#remember")); err != nil {
				t.Fatal(err)
			}
		}
		tb.signIn("frances", demo.password)
		c := tb.sessionCookie()
		if c == nil {
			t.Fatal("no cookie after a login")
		}
		want := 14 * 24 * time.Hour
		if remember {
			want = 30 * 24 * time.Hour
		}
		left := time.Until(time.Unix(int64(c.Expires), 0))
		if c.Session || left < want-time.Hour || left > want+time.Hour {
			t.Errorf("remember %t: the cookie lasts for %v (%t), want %v", remember, left, c.Session, want)
		}
		if !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" {
			t.Errorf("remember %t: the cookie is %+v", remember, c)
		}
		if got := evaluate[string](tb, `document.cookie`); got != "" {
			t.Errorf("scripts see the cookie %q", got)
		}
	}
}

func TestLogout(t *testing.T) {
	tb := signIn(t, "frances")
	kept := tb.sessionCookie()
	tb.want(tb.press(`//button[normalize-space()="Sign out"]`), 200, "/accounts/logout/", "You are signed out on this device.")
	if c := tb.sessionCookie(); c != nil {
		t.Errorf("after the logout there is the cookie %+v", c)
	}
	tb.want(tb.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	// Whoever kept the cookie has nothing.
	call(tb, network.SetCookie, network.SetCookieParams{Name: kept.Name, Value: kept.Value, URL: tb.base})
	tb.want(tb.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	// An address alone signs nobody out.
	tb.want(tb.visit("/accounts/logout/"), 405, "/accounts/logout/", "")
}

func TestPasswordChange(t *testing.T) {
	here, elsewhere := signIn(t, "alan"), signIn(t, "alan")
	here.visit("/accounts/password/change/")
	here.fill("old", "not the password", "password1", newPassword, "password2", newPassword)
	here.want(here.press(button("Change password")), 401, "/accounts/password/change/", "That is not your present password.")
	here.fill("old", demo.password, "password1", newPassword, "password2", newPassword+"!")
	here.want(here.press(button("Change password")), 422, "/accounts/password/change/", "The two passwords are not the same.")
	here.fill("old", demo.password, "password1", newPassword, "password2", newPassword)
	here.want(here.press(button("Change password")), 200, "/accounts/?done=password", "Your password is changed.")
	here.want(here.visit("/"), 200, "/", "Notices")
	elsewhere.want(elsewhere.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	elsewhere.fill("username", "alan", "password", demo.password)
	elsewhere.want(elsewhere.press(button("Sign in")), 401, "", "Please enter a correct user name and password.")
	elsewhere.signIn("alan", newPassword)
}

func TestResetByMail(t *testing.T) {
	signedIn := signIn(t, "barbara")
	tb := newTab(t, demo.base)
	tb.visit("/accounts/login/")
	tb.press(button("Forgotten your password?"))
	tb.fill("email", "nobody-has-this@example.org")
	tb.want(tb.press(button("Send the mail")), 200, "/accounts/password/reset/done/", "a mail is on its way")
	tb.visit("/accounts/password/reset/")
	tb.fill("email", "barbara@example.org")
	tb.want(tb.press(button("Send the mail")), 200, "/accounts/password/reset/done/", "a mail is on its way")
	var links []string
	tb.until("the mail", func() bool { links = demo.mails(t, "barbara"); return len(links) == 1 })
	link := links[0]
	tb.want(tb.visit(link), 200, "/accounts/password/reset/set/", "Set a new password")
	if shown := evaluate[string](tb, `location.href + document.referrer + document.documentElement.outerHTML`); strings.Contains(shown, strings.Split(link, "/")[6]) {
		t.Errorf("the page shows the token: %s", shown)
	}
	tb.fill("password1", "short", "password2", "short")
	tb.want(tb.press(button("Set the password")), 422, "/accounts/password/reset/set/", "too short")
	tb.fill("password1", newPassword, "password2", newPassword)
	tb.want(tb.press(button("Set the password")), 200, "/accounts/password/reset/complete/", "You can sign in with the new password now.")
	signedIn.want(signedIn.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	tb.want(tb.visit(link), 200, "", "The link was used already")
	tb.press(`//a[normalize-space()="Get another link"]`)
	tb.visit("/accounts/login/")
	tb.signIn("barbara", newPassword)
}

func TestDevices(t *testing.T) {
	here, phone, third := signIn(t, "donald"), signIn(t, "donald"), signIn(t, "donald")
	here.want(here.visit("/accounts/"), 200, "/accounts/", "This device")
	const form = `form[action$="/sessions/end/"]`
	n := here.count(form)
	if n < 4 {
		t.Errorf("%d devices are listed; want three windows and one of the demonstration", n)
	}
	// The list has the most recently used first: this one, which has just loaded the page, and then the others.
	if err := chromedp.Do(third.ctx, chromedp.Navigate(demo.base+"/")); err != nil {
		t.Fatal(err)
	}
	// The one of the demonstration has an address of its own; it is the last.
	here.want(here.press(`//main//li[contains(., "192.0.2.16")]//form[contains(@action, "/sessions/end/")]//button`), 200, "/accounts/?done=ended", "That device is signed out.")
	if got := here.count(form); got != n-1 {
		t.Errorf("%d devices are left; want %d", got, n-1)
	}
	phone.want(phone.visit("/"), 200, "/", "Notices")

	// A name for this device, then all others die.
	here.waitFor(`(() => { document.querySelectorAll("details").forEach(d => d.open = true); return true })()`)
	here.fill("name", "reading room")
	here.want(here.press(`//main//li[contains(., "This device")]//button[normalize-space()="Save"]`), 200, "/accounts/?done=named", "")
	here.want(here.press(button("Sign out everywhere else")), 200, "/accounts/?done=others", "You are signed out on all other devices.")
	if got := here.count(form); got != 1 {
		t.Errorf("%d devices are left; want 1", got)
	}
	for _, other := range []*tab{phone, third} {
		other.want(other.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	}
	here.want(here.visit("/"), 200, "/", "Notices")
}

// TestSignOutOneDevice signs out one of two windows that look the same but for the name that one of them gave itself.
func TestSignOutOneDevice(t *testing.T) {
	here, there := signIn(t, "frances"), signIn(t, "frances")
	there.visit("/accounts/")
	there.waitFor(`(() => { document.querySelectorAll("details").forEach(d => d.open = true); return true })()`)
	own := `//main//li[contains(., "This device")]`
	id := evaluate[string](there, `[...document.querySelectorAll("main li")].find(l => l.innerText.includes("This device")).querySelector("[name=id]").value`)
	there.waitFor(fmt.Sprintf(`(() => { document.getElementById("name-" + %q).value = "the tablet"; return true })()`, id))
	there.want(there.press(own+`//button[normalize-space()="Save"]`), 200, "/accounts/?done=named", "the tablet")
	here.want(here.visit("/accounts/"), 200, "/accounts/", "the tablet")
	here.want(here.press(`//main//li[contains(., "the tablet")]//form[contains(@action, "/sessions/end/")]//button`), 200, "/accounts/?done=ended", "That device is signed out.")
	there.want(there.visit("/"), 200, "/accounts/login/?next=/", "Sign in")
	here.want(here.visit("/"), 200, "/", "Notices")
}
