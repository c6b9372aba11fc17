//go:build unix

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// epoch is when every workload begins.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// config is the configuration of workloads and of checks: cheap, without idle limit, with
// counters that count and never refuse, and nothing that runs by itself.
func config(clock func() time.Time) *latchbolt.Config {
	return &latchbolt.Config{
		Create: true, Clock: clock, SweepEvery: -1, SessionIdle: -1, SessionLimit: sessionLimit,
		Hashers:    []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 2}},
		Validators: []latchbolt.Validator{}, HashSlots: 4, HashQueue: 10_000,
		Throttle: latchbolt.ThrottleConfig{Free: 1 << 20, SourceFree: 1 << 20, Forget: 50 * 365 * 24 * time.Hour},
		Logger:   slog.New(slog.DiscardHandler),
	}
}

const sessionLimit = 6

// A world is what a lane's calls make of its users, groups and sessions: a model of the engine, in
// memory, in a few lines.
type world struct {
	users    []*user
	groups   []*group
	perms    []latchbolt.Perm
	undef    map[latchbolt.Perm]bool
	sessions []*session
	tokens   []*oneTime
	records  []string
	backup   string // what the backup holds
}

type user struct {
	latchbolt.User
	id       latchbolt.UserID
	gone     bool
	password string   // "" is unusable
	old      []string // former passwords
	hash     int      // number of the hash
	weak     bool     // the hash is to be replaced at the next login
	gen      int
	groups   map[*group]bool
	grants   map[grant]bool
	failures int
	names    []string // all it ever had
	mails    []string
}

type group struct {
	id     latchbolt.GroupID
	names  []string // the last one is the present
	gone   bool
	grants map[grant]bool
}

type grant struct {
	perm   latchbolt.Perm
	object latchbolt.Object
}

type session struct {
	token   latchbolt.Token
	id      latchbolt.SessionID
	user    *user // nil: anonymous
	ended   bool
	gen     int
	created time.Time
	expires time.Time
	values  map[string]string
	name    string
	key     string // that was brought along from another system, in place of a token of ours
}

type oneTime struct {
	token   latchbolt.Token
	purpose string
	user    *user
	state   string
	expires time.Time
	used    bool
}

func (s *session) living(now time.Time) bool {
	return !s.ended && now.Before(s.expires) && (s.user == nil || !s.user.gone && !s.user.Inactive && s.gen == s.user.gen)
}

// state is what makes a one-time token void when it changes.
func (u *user) state() string {
	return fmt.Sprint(u.hash, u.Email, u.LastLogin.Unix(), u.gen, u.Inactive)
}

func (u *user) has(g grant, undefined bool) bool {
	if u.gone || u.Inactive {
		return false
	}
	if u.Superuser {
		return true
	}
	if undefined {
		return false
	}
	given := func(m map[grant]bool) bool { return m[g] || m[grant{g.perm, ""}] }
	for gr := range u.groups {
		if given(gr.grants) {
			return true
		}
	}
	return given(u.grants)
}

// timed begins an answer that is so only because time went by. A machine whose clock was set back
// during a power cut may give another.
const timed = "by time: "

// A view is what can be seen of a world: answers by question.
type view map[string]string

// view returns everything that is asked of an image.
func (w *world) view(now time.Time) view {
	v := make(view)
	for _, u := range w.users {
		w.viewUser(v, u, now)
	}
	for _, g := range w.groups {
		for _, name := range g.names {
			v["gname/"+name] = "absent"
		}
	}
	for _, g := range w.groups {
		v[fmt.Sprint("group/", g.id)] = "absent"
		if !g.gone {
			name := g.names[len(g.names)-1]
			v[fmt.Sprint("group/", g.id)], v["gname/"+name] = name, fmt.Sprint(g.id)
		}
	}
	for i, s := range w.sessions {
		who, values := "none", "none"
		switch {
		case s.living(now) && s.user == nil:
			who, values = "anonymous", fmt.Sprint(s.values)
		case s.living(now):
			who, values = fmt.Sprint(s.user.id), fmt.Sprint(s.values)
		case s.living(s.created):
			who, values = timed, timed
		}
		v[fmt.Sprint("session/", i)], v[fmt.Sprint("values/", i)] = who, values
	}
	for i, o := range w.tokens {
		answer := "void"
		if !o.used && !o.user.gone && !o.user.Inactive && o.state == o.user.state() {
			answer = fmt.Sprint(o.user.id)
			if now.After(o.expires) {
				answer = timed
			}
		}
		v[fmt.Sprint("token/", i)] = answer
	}
	for _, r := range w.records {
		v["record/"+r] = "there"
	}
	if w.backup != "" {
		v["backup/"] = w.backup
	}
	return v
}

func (w *world) viewUser(v view, u *user, now time.Time) {
	key := fmt.Sprint(u.id)
	for _, name := range u.names {
		if _, ok := v["name/"+name]; !ok {
			v["name/"+name] = "absent"
		}
	}
	for _, p := range u.old {
		v["~login/"+u.Username+"/"+p] = "refused"
	}
	if u.password != "" {
		v["~login/"+u.Username+"/"+u.password] = "refused"
	}
	for _, p := range w.perms {
		if len(u.mails) == 0 { // one of a crowd
			break
		}
		for _, o := range []latchbolt.Object{"", "o1"} {
			v[fmt.Sprintf("perm/%s/%s/%s", key, p, o)] = fmt.Sprint(u.has(grant{p, o}, w.undef[p]))
		}
	}
	if u.gone {
		v["user/"+key], v["list/"+key] = "absent", "absent"
		return
	}
	v["name/"+u.Username] = key
	var groups []latchbolt.GroupID
	for g := range u.groups {
		groups = append(groups, g.id)
	}
	slices.Sort(groups)
	v["user/"+key] = userText(&u.User, u.LastLogin, groups)
	if u.Email != "" {
		v["mail/"+u.Email+"/"+key] = "there"
	}
	for _, m := range u.mails {
		if m != u.Email {
			v["mail/"+m+"/"+key] = "absent"
		}
	}
	v["fails/"+key] = fmt.Sprint(u.failures)
	if u.password != "" && !u.Inactive {
		v["~login/"+u.Username+"/"+u.password] = "ok"
	}
	var list []string
	for _, s := range w.sessions {
		if s.user == u && s.living(now) {
			list = append(list, s.id.String()+s.name)
		}
	}
	slices.Sort(list)
	v["list/"+key] = fmt.Sprint(list)
}

func userText(u *latchbolt.User, login time.Time, groups []latchbolt.GroupID) string {
	last := "never"
	if !login.IsZero() {
		last = login.UTC().Format(time.RFC3339)
	}
	if len(groups) == 0 {
		groups = nil
	}
	return fmt.Sprintf("%s|%s|%s|%v%v%v|%s|%v", u.Username, u.Email, u.FirstName, u.Inactive, u.Staff, u.Superuser, last, groups)
}

// ask asks an engine the questions of a view and returns the answers. Wrong passwords come last, for
// they are counted.
func (w *world) ask(ctx context.Context, e *latchbolt.Engine, questions view, backup func() (string, error)) (view, error) {
	answers := make(view)
	records, err := recordsOf(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, q := range slices.Sorted(maps.Keys(questions)) {
		kind, rest, _ := strings.Cut(q, "/")
		var a string
		switch kind {
		case "record":
			if a = "absent"; records[rest] {
				a = "there"
			}
		case "backup":
			a, err = backup()
		case "session", "values", "token":
			a, err = w.askToken(ctx, e, kind, rest)
		default:
			a, err = w.askUser(ctx, e, kind, rest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q, err)
		}
		answers[q] = a
	}
	return answers, nil
}

func recordsOf(ctx context.Context, e *latchbolt.Engine) (map[string]bool, error) {
	records := make(map[string]bool)
	for a, err := range e.Audit(ctx, latchbolt.AuditQuery{Action: recordAction}) {
		if err != nil {
			return nil, err
		}
		records[a.Detail] = true
	}
	return records, nil
}

// or returns the text unless the error is the one that means nothing.
func or(text string, err, is error, nothing string) (string, error) {
	if errors.Is(err, is) {
		return nothing, nil
	}
	return text, err
}

func (w *world) askToken(ctx context.Context, e *latchbolt.Engine, kind, number string) (string, error) {
	var i int
	if _, err := fmt.Sscan(number, &i); err != nil {
		return "", err
	}
	switch kind {
	case "session":
		id, err := e.SessionUser(ctx, w.sessions[i].token)
		who := fmt.Sprint(id.ID())
		if id.Anonymous() {
			who = "anonymous"
		}
		return or(who, err, latchbolt.ErrNoSession, "none")
	case "values":
		v, err := e.Values(ctx, w.sessions[i].token)
		if err != nil {
			return or("", err, latchbolt.ErrNoSession, "none")
		}
		m := make(map[string]string)
		for _, name := range v.Names() {
			var text string
			if _, err := v.Get(name, &text); err != nil {
				return "", err
			}
			m[name] = text
		}
		return fmt.Sprint(m), nil
	default:
		id, err := e.CheckToken(ctx, w.tokens[i].purpose, w.tokens[i].token)
		return or(fmt.Sprint(id), err, latchbolt.ErrToken, "void")
	}
}

func (w *world) askUser(ctx context.Context, e *latchbolt.Engine, kind, rest string) (string, error) {
	first, second, _ := strings.Cut(rest, "/")
	var number uint64
	_, _ = fmt.Sscan(first, &number) // names are no numbers
	id := latchbolt.UserID(number)
	switch kind {
	case "user":
		u, err := e.User(ctx, id)
		if err != nil {
			return or("", err, latchbolt.ErrNotFound, "absent")
		}
		return userText(u, u.LastLogin, u.Groups), nil
	case "name":
		u, err := e.UserByName(ctx, rest)
		if err != nil {
			return or("", err, latchbolt.ErrNotFound, "absent")
		}
		return fmt.Sprint(u.ID), nil
	case "mail":
		us, err := e.UsersByEmail(ctx, first)
		if slices.ContainsFunc(us, func(u *latchbolt.User) bool { return fmt.Sprint(u.ID) == second }) {
			return "there", err
		}
		return "absent", err
	case "group":
		g, err := e.Group(ctx, latchbolt.GroupID(number))
		if err != nil {
			return or("", err, latchbolt.ErrNotFound, "absent")
		}
		return g.Name, nil
	case "gname":
		g, err := e.GroupByName(ctx, rest)
		if err != nil {
			return or("", err, latchbolt.ErrNotFound, "absent")
		}
		return fmt.Sprint(g.ID), nil
	case "fails":
		_, n, err := e.Throttled(ctx, id)
		return fmt.Sprint(n), err
	case "perm":
		return askPerm(ctx, e, id, second)
	case "list":
		return askList(ctx, e, id)
	case "~login":
		got, err := e.Authenticate(ctx, latchbolt.Password{Username: first, Password: second})
		if err == nil && got.Username() != first {
			return "somebody else", nil
		}
		return or("ok", err, latchbolt.ErrCredentials, "refused")
	}
	return "", fmt.Errorf("no such question: %q", kind)
}

func askPerm(ctx context.Context, e *latchbolt.Engine, id latchbolt.UserID, what string) (string, error) {
	perm, object, _ := strings.Cut(what, "/")
	who, err := e.Identity(ctx, id)
	if errors.Is(err, latchbolt.ErrCredentials) {
		return "false", nil // the user is inactive
	}
	if err != nil {
		return or("", err, latchbolt.ErrNotFound, "false")
	}
	var objects []latchbolt.Object
	if object != "" {
		objects = append(objects, latchbolt.Object(object))
	}
	ok, err := e.HasPerm(ctx, who, latchbolt.Perm(perm), objects...)
	return fmt.Sprint(ok), err
}

func askList(ctx context.Context, e *latchbolt.Engine, id latchbolt.UserID) (string, error) {
	var list []string
	for s, err := range e.Sessions(ctx, id) {
		if err != nil {
			return or("", err, latchbolt.ErrNotFound, "absent")
		}
		list = append(list, s.ID.String()+s.Name)
	}
	slices.Sort(list)
	return fmt.Sprint(list), nil
}

// differ returns the first question to which two views have different answers, or "". Answers that
// depend on time count only if the clock did not go back; of the loose kinds none counts.
func differ(got, want view, clockBack bool, loose []string) string {
	for _, q := range slices.Sorted(maps.Keys(want)) {
		g, w := got[q], want[q]
		if slices.ContainsFunc(loose, func(kind string) bool { return strings.HasPrefix(q, kind) }) {
			continue
		}
		if clockBack && (w == timed || strings.HasPrefix(q, "list/")) {
			continue
		}
		if w == timed {
			w = "none"
			if strings.HasPrefix(q, "token/") {
				w = "void"
			}
		}
		if g != w {
			return fmt.Sprintf("%s is %q, want %q", q, g, w)
		}
	}
	return ""
}
