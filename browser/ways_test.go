package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestWithoutScript does with the mouse and the keyboard alone what people do, in a browser that runs no script of a page.
func TestWithoutScript(t *testing.T) {
	tb := newTab(t, demo.base)
	call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tb.visit("/accounts/login/")
	tb.signIn("ada", demo.password)
	tb.press(`//a[normalize-space()="New notice"]`)
	tb.fill("title", "Without script", "text", "It works.")
	tb.want(tb.press(button("Put it on the board")), 200, "/", "Without script")
	tb.press(`//a[normalize-space()="Delete Without script"]`)
	tb.want(tb.press(button("Delete it")), 200, "/", "The notice is deleted.")

	tb.visit("/admin/users/")
	tb.fill("q", "hopper")
	tb.want(tb.press(button("Search")), 200, "", "grace@example.org")
	if strings.Contains(tb.text("#results"), "margaret@") {
		t.Errorf("the search finds others too:\n%s", tb.text("#results"))
	}
	tb.want(tb.press(`//a[normalize-space()="grace"]`), 200, "", "Grace Hopper")
	tb.want(tb.press(`//button[normalize-space()="Sign out"]`), 200, "/accounts/logout/", "You are signed out")
}

// focused describes what has the focus, and says whether it can be seen.
const focused = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return "nothing";
	const s = getComputedStyle(e), r = e.getBoundingClientRect();
	const seen = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && r.width > 0 && r.right > 0 && r.bottom > 0 && r.left < innerWidth;
	return (e.name || e.innerText.trim()) + (seen ? "" : " (not visible)");
})()`

// TestKeyboard signs in without a mouse. What has the focus can be seen all the way.
func TestKeyboard(t *testing.T) {
	tb := newTab(t, demo.base)
	keys := func(keys string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(keys) }
	tb.visit("/accounts/login/?next=/posts/new/")
	for _, want := range []string{"Skip to content", "Notice board", "username", "password", "remember", "Sign in", "Forgotten your password?"} {
		if err := chromedp.Do(tb.ctx, keys(kb.Tab)); err != nil {
			t.Fatal(err)
		}
		if got := evaluate[string](tb, focused); got != want {
			t.Fatalf("the next thing with the focus is %q, want %q", got, want)
		}
		switch want {
		case "username":
			if err := chromedp.Do(tb.ctx, keys("margaret")); err != nil {
				t.Fatal(err)
			}
		case "password":
			if err := chromedp.Do(tb.ctx, keys(demo.password)); err != nil {
				t.Fatal(err)
			}
		case "remember":
			if err := chromedp.Do(tb.ctx, keys(" ")); err != nil {
				t.Fatal(err)
			}
			if !evaluate[bool](tb, `document.activeElement.checked`) {
				t.Error("the space bar does not tick the box")
			}
		}
	}
	back := chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift))
	tb.want(tb.do("Shift+Tab, Enter", back, keys(kb.Enter)), 200, "/posts/new/", "New notice")

	// The link past the head of the page leads to the page.
	tb.visit("/")
	if err := chromedp.Do(tb.ctx, keys(kb.Tab), keys(kb.Enter)); err != nil {
		t.Fatal(err)
	}
	tb.waitFor(`document.activeElement === document.getElementById("main")`)
	if err := chromedp.Do(tb.ctx, keys(kb.Tab)); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[string](tb, focused); !strings.HasPrefix(got, "Edit") || strings.Contains(got, "not visible") {
		t.Errorf("after the link past the head the focus goes to %q", got)
	}
}
