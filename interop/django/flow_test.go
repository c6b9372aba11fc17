package django_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// A flow is one of Django's cases under way here.
type flow struct {
	t       *testing.T
	cfg     *latchbolt.Config
	eng     *latchbolt.Engine
	path    string
	before  latchbolt.Token
	after   latchbolt.Token
	signals []string
	raised  bool
}

// newFlow opens a file with alice, bob and victor, who is inactive.
func newFlow(t *testing.T) *flow {
	f := &flow{t: t, cfg: config(), path: filepath.Join(t.TempDir(), "app.db")}
	names := map[latchbolt.UserID]string{0: "<nil>", 1: "alice", 2: "bob", 22: "victor"}
	f.cfg.Events.UserLoggedIn = func(s latchbolt.Session) { f.signals = append(f.signals, "user_logged_in "+names[s.User]) }
	f.cfg.Events.UserLoggedOut = func(id latchbolt.UserID) { f.signals = append(f.signals, "user_logged_out "+names[id]) }
	dump := only(t, readFile(t, "auth.json"), func(name string) bool { return slices.Contains([]string{"alice", "bob", "victor"}, name) })
	f.open()
	if _, err := django.Import(t.Context(), f.eng, bytes.NewReader(dump), secrets(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verifyAndClose(t, f.eng) })
	return f
}

func (f *flow) open() {
	eng, err := latchbolt.Open(f.path, f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.eng = eng
}

// reopen closes the file and opens it with other backends.
func (f *flow) reopen(b ...latchbolt.Backend) {
	if err := f.eng.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.cfg.Backends = b
	f.open()
}

// set stores a value in the present session.
func (f *flow) set(name string) {
	f.t.Helper()
	if _, err := f.eng.UpdateValues(f.t.Context(), f.before, func(v *latchbolt.Values) error { return v.Set(name, 1) }); err != nil {
		f.t.Fatal(err)
	}
}

// anonymous begins a session with a cart.
func (f *flow) anonymous() *flow {
	f.before = must(f.eng.NewSession(f.t.Context(), latchbolt.LoginOptions{})).Token
	f.set("cart")
	return f
}

// loggedIn begins with alice, who has values from before and after the login.
func (f *flow) loggedIn() *flow {
	f.anonymous()
	f.login(1)
	f.before, f.signals = f.after, nil
	f.set("while")
	return f
}

func (f *flow) login(id latchbolt.UserID) {
	who, err := f.eng.Identity(f.t.Context(), id)
	if err != nil {
		f.raised = true
		return
	}
	f.after = must(f.eng.Login(f.t.Context(), who, latchbolt.LoginOptions{Previous: f.before})).Token
}

func (f *flow) do(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// names are those of the values that the client has afterwards.
func (f *flow) names() []string {
	v, err := f.eng.Values(f.t.Context(), f.after)
	if err != nil {
		return nil
	}
	return v.Names()
}

// flows are Django's cases, by the beginning of their names. Each does here what Django's does.
var flows = []struct {
	name string
	run  func(f *flow)
}{
	{"login, no session yet", func(f *flow) { f.login(1) }},
	{"login over an anonymous session", func(f *flow) { f.anonymous().login(1) }},
	{"login again as the same user", func(f *flow) { f.loggedIn().login(1) }},
	{"login as another user", func(f *flow) { f.loggedIn().login(2) }},
	{"login as the same user after a password change", func(f *flow) {
		f.loggedIn()
		f.do(f.eng.SetPassword(f.t.Context(), 1, "new password"))
		f.login(1)
	}},
	{"login of an inactive user object", func(f *flow) { f.login(22) }},
	{"login, one backend configured", func(f *flow) { f.login(1) }},
	{"logout of a logged-in user", func(f *flow) { f.loggedIn(); f.do(f.eng.Logout(f.t.Context(), f.before)) }},
	{"logout of an anonymous session", func(f *flow) { f.anonymous(); f.do(f.eng.Logout(f.t.Context(), f.before)) }},
	{"get_user, logged in", func(f *flow) { f.loggedIn(); f.after = f.before }},
	{"get_user, empty session", func(*flow) {}},
	{"get_user after a password change", func(f *flow) {
		f.loggedIn()
		f.do(f.eng.SetPassword(f.t.Context(), 1, "new password"))
		f.after = f.before
	}},
	{"get_user, user deleted", func(f *flow) {
		f.loggedIn()
		f.do(f.eng.DeleteUser(f.t.Context(), 1))
		f.after = f.before
	}},
	{"get_user, user deactivated", func(f *flow) {
		f.loggedIn()
		f.setInactive(true)
		f.after = f.before
	}},
	{"get_user, backend no longer configured", func(f *flow) {
		f.loggedIn()
		f.reopen(latchbolt.RemoteUserBackend{})
		f.after = f.before
	}},
	{"get_user, hash made with a fallback key", func(f *flow) {
		f.before = must(latchbolt.ParseToken("n2ugdf8v94y2w8ice46jf46tonn6042i"))
		f.set("cart")
		f.set("while")
		f.after = f.before
	}},
	{"get_user, no hash in the session", func(f *flow) {
		f.before = must(latchbolt.ParseToken("l8weydbzbruga0bke3ptihq1pi99b0wc"))
		f.after = f.before
	}},
	{"update_session_auth_hash after changing one's own", func(f *flow) {
		f.loggedIn()
		f.after = must(f.eng.ChangePassword(f.t.Context(), f.before, "wonderland-1865", "new password")).Token
	}},
	{"update_session_auth_hash for somebody else's", func(f *flow) {
		f.loggedIn()
		f.do(f.eng.SetPassword(f.t.Context(), 2, "new password"))
		f.after = f.before
	}},
	{"the password hash is upgraded elsewhere", func(f *flow) {
		f.loggedIn()
		f.cfg.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 2000}}
		f.reopen(latchbolt.PasswordBackend{})
		if authenticate(f.t, f.eng, "alice", "wonderland-1865") != "alice" {
			f.t.Error("the password does not verify")
		}
		f.after = f.before
	}},
}

func (f *flow) setInactive(on bool) {
	f.do(f.eng.UpdateUser(f.t.Context(), 1, func(u *latchbolt.User) error { u.Inactive = on; return nil }))
}

// noCounterpart are Django's cases that cannot be brought about here.
var noCounterpart = map[string]string{
	"login as the same user over a session without a hash: session flushed": "A session always belongs to a state of the password.",
	"login, several backends configured and none given":                     "Login takes an Identity, which knows the backend that proved it.",
}

func TestLoginFlows(t *testing.T) {
	c := check(t, "login_flows")
	page := strings.Join(strings.Fields(string(must(os.ReadFile("../../docs/MIGRATING.md")))), " ")
	done := 0
	for _, w := range answers(t).LoginFlows {
		if why, ok := noCounterpart[w.Case]; ok {
			if !strings.Contains(page, why) {
				t.Errorf("docs/MIGRATING.md does not say: %s", why)
			}
			done++
			continue
		}
		i := slices.IndexFunc(flows, func(f struct {
			name string
			run  func(f *flow)
		}) bool {
			return strings.HasPrefix(w.Case, f.name+" ") || strings.HasPrefix(w.Case, f.name+":") || w.Case == f.name
		})
		if i < 0 {
			t.Errorf("no flow for %q", w.Case)
			continue
		}
		done++
		f := newFlow(t)
		flows[i].run(f)
		compareFlow(t, c, f, &w)
	}
	if done != len(answers(t).LoginFlows) {
		t.Errorf("%d of %d cases were done", done, len(answers(t).LoginFlows))
	}
}

// compareFlow holds what came out against Django's answer.
func compareFlow(t *testing.T, c *checker, f *flow, w *flowRow) {
	row := func(what string, got, want any) { t.Helper(); c.row(t, w.Case+": "+what, got, want) }
	user, wantUser := must(again(f.eng, t, f.after)), ""
	switch {
	case w.Result.User != nil:
		wantUser = *w.Result.User
	case w.Result.UserID != "":
		wantUser = map[string]string{"1": "alice", "2": "bob", "22": "victor"}[w.Result.UserID]
	}
	row("user", user, wantUser)
	row("raises", f.raised, w.Result.Raises != "")
	row("signals", f.signals, signals(w))
	if w.KeyBefore && user != "" {
		row("key changed", f.after != f.before, w.KeyChanged)
	}
	wantNames := []string{}
	for _, name := range w.NamesAfter {
		if !strings.HasPrefix(name, "_auth_") {
			wantNames = append(wantNames, name)
		}
	}
	row("values", f.names(), wantNames)
	if !w.KeyBefore {
		return
	}
	// Whether the session stands, should its user be let in again.
	switch {
	case strings.Contains(w.Case, "deactivated"):
		f.setInactive(false)
		row("let in again", must(again(f.eng, t, f.before)), "alice")
	case strings.Contains(w.Case, "no longer configured"):
		f.reopen(latchbolt.PasswordBackend{})
		row("configured again", must(again(f.eng, t, f.before)), "alice")
	}
	_, err := f.eng.Session(t.Context(), f.before)
	row("old session stands", err == nil, w.OldRow)
}

func signals(w *flowRow) []string {
	var list []string
	for _, s := range w.Signals {
		user := "<nil>"
		if s[1] != nil {
			user = *s[1]
		}
		list = append(list, fmt.Sprint(*s[0], " ", user))
	}
	return list
}
