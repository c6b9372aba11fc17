package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page, or anything that is waited for, may take on a busy machine.
const patience = time.Minute

// A tab is a window with cookies of its own. It takes note of everything that a page does wrong, which fails the test.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex // guards what events bring
	wrong    []string
	refused  map[string]bool   // addresses of documents that were answered with an error on purpose
	entries  []*log.Entry      // judged at the end, when refused is known
	document network.RequestID // the last one
	body     string            // of the last document, as it was sent
}

// newTab opens a window on a program. Without a browser the test is skipped.
func newTab(t *testing.T, base string) *tab {
	t.Helper()
	tb := openTab(t, base)
	t.Cleanup(func() {
		for _, w := range tb.found() {
			t.Errorf("the browser found something wrong: %s", w)
		}
	})
	return tb
}

// openTab opens a window whose findings the test looks at itself.
func openTab(t *testing.T, base string) *tab {
	t.Helper()
	if chromium == nil {
		t.Skip("SKIPPED: there is no Chromium here")
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	tb := &tab{t: t, ctx: ctx, base: base, refused: make(map[string]bool)}
	if err := chromedp.Listen(ctx, tb.hear); err != nil {
		t.Fatal(err)
	}
	call(tb, network.Enable, network.EnableParams{})
	call(tb, audits.Enable, cdp.Empty{})
	call(tb, runtime.AddBinding, runtime.AddBindingParams{Name: "reportViolation"})
	call(tb, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `document.addEventListener("securitypolicyviolation", e => reportViolation(e.violatedDirective + " " + e.blockedURI))`,
	})
	tb.look("light", 1200, 900)
	return tb
}

// call sends one command of the protocol.
func call[P, R any](tb *tab, cmd cdp.Command[P, R], params P) R {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		tb.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

// hear takes note of what happens. It is called on the goroutine that reads from the browser.
func (tb *tab) hear(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	note := func(format string, args ...any) { tb.wrong = append(tb.wrong, fmt.Sprintf(format, args...)) }
	switch e := ev.(type) {
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			tb.document = e.RequestID
			if e.Response.Status >= 400 {
				tb.refused[e.Response.URL] = true
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tb.entries = append(tb.entries, e.Entry)
		}
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, a := range e.Args {
			words = append(words, string(a.Value))
		}
		note("console.%s: %s", e.Type, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		note("a script failed: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventBindingCalled:
		note("policy: %s", e.Payload)
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodePerformanceIssue {
			return // about what the tests themselves evaluate
		}
		details, err := json.Marshal(e.Issue.Details)
		note("issue: %s %s %v", e.Issue.Code, details, err)
	case *page.EventJavascriptDialogOpening:
		go func() { // a question of the page is answered with yes
			_, _ = chromedp.Call(tb.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	}
}

// found returns what was wrong so far.
func (tb *tab) found() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	all := tb.wrong
	for _, e := range tb.entries {
		if e.Source == log.EntrySourceNetwork && tb.refused[e.URL] {
			continue // a page that says no is answered with the status for that
		}
		all = append(all, fmt.Sprintf("%s %s: %s %s", e.Source, e.Level, e.Text, e.URL))
	}
	return all
}

// look sets the colour scheme and the size of the window.
func (tb *tab) look(scheme string, width, height int64) {
	tb.t.Helper()
	call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

// do runs actions that lead to another page and returns its status.
func (tb *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) int {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		tb.t.Fatalf("%s: %v\non the page:\n%s", what, err, tb.text("body"))
	}
	tb.keepBody()
	return int(resp.Status)
}

// keepBody remembers the page as it was sent.
func (tb *tab) keepBody() {
	tb.t.Helper()
	tb.mu.Lock()
	id := tb.document
	tb.mu.Unlock()
	r := call(tb, network.GetResponseBody, network.GetResponseBodyParams{RequestID: id})
	tb.body = string(r.Body)
}

// visit goes to an address, of which the beginning may be left out.
func (tb *tab) visit(path string) int {
	tb.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = tb.base + path
	}
	return tb.do("visiting "+path, chromedp.Navigate(path))
}

// press clicks what a CSS selector or, if it begins with a slash, an XPath expression finds, and waits for the page it leads to.
func (tb *tab) press(sel string) int {
	tb.t.Helper()
	return tb.do("pressing "+sel, click(sel))
}

func click(sel string) chromedp.Action[chromedp.Void] {
	if strings.HasPrefix(sel, "/") {
		return chromedp.Click(chromedp.Search(sel), chromedp.NodeVisible)
	}
	return chromedp.Click(chromedp.CSS(sel), chromedp.NodeVisible)
}

// button is what press takes for a button, or a link, with a text.
func button(text string) string {
	return fmt.Sprintf(`//main//*[self::button or self::a][normalize-space()=%q]`, text)
}

// fill sets fields of the form: names and values.
func (tb *tab) fill(fields ...string) {
	tb.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		if got := evaluate[string](tb, fmt.Sprintf(`(() => {
			const f = document.querySelector('main [name=%q]');
			if (!f) return "there is no field";
			f.value = %q;
			f.dispatchEvent(new Event("input", {bubbles: true}));
			f.dispatchEvent(new Event("change", {bubbles: true}));
			return f.value;
		})()`, fields[i], fields[i+1])); got != strings.ReplaceAll(fields[i+1], "\r\n", "\n") {
			tb.t.Fatalf("filling in %s: %q\non the page:\n%s", fields[i], got, tb.text("body"))
		}
	}
}

// evaluate runs an expression in the page, as a developer's tools do.
func evaluate[T any](tb *tab, expr string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("evaluating %.200s: %v", expr, err)
	}
	return v
}

// text returns what people read in the first element that a CSS selector finds; "" if there is none.
func (tb *tab) text(sel string) string {
	tb.t.Helper()
	return evaluate[string](tb, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, sel))
}

// count returns how many elements a CSS selector finds.
func (tb *tab) count(sel string) int {
	tb.t.Helper()
	return evaluate[int](tb, fmt.Sprintf(`document.querySelectorAll(%q).length`, sel))
}

// at returns the path of the page, with the query.
func (tb *tab) at() string {
	tb.t.Helper()
	u, err := url.Parse(evaluate[string](tb, `location.href`))
	if err != nil {
		tb.t.Fatal(err)
	}
	return u.RequestURI()
}

// waitFor waits until an expression is true in the page.
func (tb *tab) waitFor(expr string) {
	tb.t.Helper()
	tb.until(expr, func() bool { return evaluate[bool](tb, expr) })
}

func (tb *tab) until(what string, fn func() bool) {
	tb.t.Helper()
	for end := time.Now().Add(patience); !fn(); time.Sleep(5 * time.Millisecond) { // between two looks, not instead of one
		if time.Now().After(end) {
			tb.t.Fatalf("waited in vain for %s\non the page:\n%s", what, tb.text("body"))
		}
	}
}

// want checks where the browser is, with which status, and that the page has a text.
func (tb *tab) want(status, wantStatus int, at, text string) {
	tb.t.Helper()
	if got := tb.at(); status != wantStatus || at != "" && got != at {
		tb.t.Errorf("status %d at %s, want %d at %s", status, got, wantStatus, at)
	}
	if got := tb.text("body"); !strings.Contains(got, text) {
		tb.t.Errorf("the page at %s does not say %q:\n%s", tb.at(), text, got)
	}
}

// signIn opens a window and signs somebody of the demonstration in.
func signIn(t *testing.T, name string) *tab {
	t.Helper()
	tb := newTab(t, demo.base)
	tb.visit("/accounts/login/")
	tb.signIn(name, demo.password)
	return tb
}

// signIn fills in the login page, from which it has to lead away.
func (tb *tab) signIn(name, password string) {
	tb.t.Helper()
	tb.fill("username", name, "password", password)
	tb.want(tb.press(button("Sign in")), 200, "", "")
	if strings.HasPrefix(tb.at(), "/accounts/login/") {
		tb.t.Fatalf("%s is not signed in:\n%s", name, tb.text("main"))
	}
}
