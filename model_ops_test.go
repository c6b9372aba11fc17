package latchbolt_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A modelIdent is an Identity with the generation that the user had.
type modelIdent struct {
	latchbolt.Identity
	generation int
}

func (u *modelUser) generation() int { return u.version + u.ended }

func (m *model) keepIdent(id latchbolt.Identity) {
	if u := m.users[id.ID()]; u != nil {
		if m.idents = append(m.idents, modelIdent{id, u.generation()}); len(m.idents) > 30 {
			m.idents = m.idents[1:]
		}
	}
}

// anyIdent returns an Identity of any age; it may be anonymous.
func (m *model) anyIdent() modelIdent {
	if id, u := m.anyUser(); m.rng.IntN(3) == 0 && u != nil && !u.Inactive {
		if ident, err := m.eng.Identity(m.ctx, id); m.outcome("Identity", err, nil) {
			m.keepIdent(ident)
		}
	}
	if len(m.idents) == 0 {
		return modelIdent{}
	}
	return m.idents[m.rng.IntN(len(m.idents))]
}

// named returns the user with a name, whatever the case.
func (m *model) named(name string) *modelUser {
	for _, u := range m.users {
		if strings.EqualFold(u.Username, name) {
			return u
		}
	}
	return nil
}

// newName makes up a name that nobody has, or once in a while one that is taken.
func (m *model) newName(kind string, taken []string) string {
	if len(taken) > 0 && m.rng.IntN(8) == 0 {
		slices.Sort(taken)
		return taken[m.rng.IntN(len(taken))]
	}
	m.names++
	return fmt.Sprintf("%s%d", kind, m.names)
}

func (m *model) userNames() (names []string) {
	for _, u := range m.users {
		names = append(names, strings.ToUpper(u.Username))
	}
	return names
}

func (m *model) createUser() {
	if len(m.users) > 8 {
		return
	}
	u := latchbolt.User{Username: m.newName("user", m.userNames()), Inactive: m.rng.IntN(8) == 0,
		Staff: m.rng.IntN(2) == 0, Superuser: m.rng.IntN(4) == 0, Email: m.email()}
	password := fmt.Sprint("pw", m.rng.IntN(3))
	m.note("create %s %+v", u.Username, u)
	var want error
	if m.named(u.Username) != nil {
		want = latchbolt.ErrExists
	}
	if m.outcome("CreateUser", m.doCreateUser(&u, password), want) {
		m.same("DateJoined", u.DateJoined, micro(m.now()))
		m.users[u.ID] = &modelUser{User: u, password: password}
	}
}

func (m *model) email() string { return []string{"", "a@example.org", "b@example.org"}[m.rng.IntN(3)] }

func (m *model) updateUser() {
	id, u := m.anyUser()
	var change func(u *latchbolt.User)
	var want error
	switch m.rng.IntN(6) {
	case 0:
		email := m.email()
		change = func(u *latchbolt.User) { u.Email = email }
	case 1:
		name := m.newName("user", m.userNames())
		if other := m.named(name); other != nil && other.ID != id {
			want = latchbolt.ErrExists
		}
		change = func(u *latchbolt.User) { u.Username = name }
	case 2:
		change = func(u *latchbolt.User) { u.Staff = !u.Staff }
	case 3, 4:
		change = func(u *latchbolt.User) { u.Inactive = !u.Inactive }
	default:
		change = func(u *latchbolt.User) { u.Superuser = !u.Superuser }
	}
	var after latchbolt.User
	if u == nil {
		want = latchbolt.ErrNotFound
	} else {
		after = u.User
		change(&after)
		if m.lastSuperuser(id) && (after.Inactive || !after.Superuser) {
			want = latchbolt.ErrLastSuperuser
		}
	}
	m.note("update %d to %+v", id, after)
	err := m.doUpdateUser(id, change)
	if m.outcome("UpdateUser", err, want) {
		if after.Inactive && !u.Inactive {
			m.endAll(id, nil)
			m.voidTokens(id, "")
			u.ended++
		}
		u.User = after
	}
}

func (m *model) deleteUser() {
	id, u := m.anyUser()
	m.note("delete user %d", id)
	want := notFoundIf(u == nil)
	if m.lastSuperuser(id) {
		want = latchbolt.ErrLastSuperuser
	}
	if !m.outcome("DeleteUser", m.doDeleteUser(id), want) {
		return
	}
	delete(m.users, id)
	m.gone = append(m.gone, id)
	m.endAll(id, nil)
	maps.DeleteFunc(m.grants, func(g modelGrant, _ bool) bool { return g.subject == latchbolt.Subject(id) })
	m.voidTokens(id, "")
}

// voidTokens makes the tokens of a user bad for ever.
func (m *model) voidTokens(id latchbolt.UserID, purpose string) {
	for _, k := range m.tokens {
		if k.user == id && (purpose == "" || k.purpose == purpose) {
			k.state = "void"
		}
	}
}

// newPassword is what follows from another password.
func (m *model) newPassword(u *modelUser, password string) {
	u.password = password
	u.version++
	m.voidTokens(u.ID, "")
}

func (m *model) setPassword() {
	id, u := m.anyUser()
	password := fmt.Sprint("pw", m.rng.IntN(3))
	m.note("set password of %d to %s", id, password)
	if m.rng.IntN(6) == 0 {
		password = ""
	}
	err := m.doSetPassword(id, password)
	if m.outcome("SetPassword", err, notFoundIf(u == nil)) {
		m.newPassword(u, password)
		m.endAll(id, nil)
	}
}

func (m *model) authenticate() {
	_, u := m.anyUser()
	if u == nil {
		return
	}
	password := fmt.Sprint("pw", m.rng.IntN(3))
	m.note("authenticate %s with %s", u.Username, password)
	var want error
	if password != u.password || u.Inactive {
		want = latchbolt.ErrCredentials
	}
	id, err := m.eng.Authenticate(m.ctx, latchbolt.Password{Username: strings.ToUpper(u.Username), Password: password})
	m.settle() // the failure is written with the time of the writing
	if m.outcome("Authenticate", err, want); want != nil {
		u.fail(m.now())
	} else {
		u.failures = 0
		m.same("Authenticate", id.ID(), u.ID)
		m.keepIdent(id)
	}
}

// takeOver ends the session that a client had, and returns the values that are carried over.
func (m *model) takeOver(prev *modelSession, user latchbolt.UserID) map[string]int {
	if prev == nil {
		return nil
	}
	m.end(prev)
	if m.over(prev) || prev.user != 0 && prev.user != user {
		return nil
	}
	return prev.values
}

func (m *model) options() (o latchbolt.LoginOptions, prev *modelSession) {
	if m.rng.IntN(3) == 0 {
		o.Previous, prev = m.anySession()
	}
	o.Remember, o.BrowserLength = m.rng.IntN(4) == 0, m.rng.IntN(4) == 0
	if m.rng.IntN(6) == 0 {
		o.Lifetime = time.Duration(m.rng.IntN(7200)+1) * time.Second
	}
	o.Name = []string{"", "tablet"}[m.rng.IntN(2)]
	return o, prev
}

func (m *model) login() {
	ident := m.anyIdent()
	o, prev := m.options()
	m.note("login of %d, previous %v", ident.ID(), prev != nil)
	u := m.users[ident.ID()]
	var want error
	if u == nil || u.Inactive || u.generation() != ident.generation {
		want = latchbolt.ErrCredentials
	}
	s, err := m.eng.Login(m.ctx, ident.Identity, o)
	if m.outcome("Login", err, want) {
		m.same("time of login", micro(s.Created), micro(m.now()))
		m.begin(s, u.ID, m.takeOver(prev, u.ID))
		u.LastLogin = micro(m.now())
	}
}

func (m *model) newSession() {
	o, prev := m.options()
	m.note("new session, previous %v", prev != nil)
	s, err := m.eng.NewSession(m.ctx, o)
	if m.outcome("NewSession", err, nil) {
		m.begin(s, 0, m.takeOver(prev, 0))
	}
}

// used notes the use of a session as the engine does.
func (m *model) used(s *modelSession) {
	every := time.Minute
	if s.IdleFor > 0 {
		every = min(every, s.IdleFor/10)
	}
	if m.now().Sub(s.LastSeen) >= every {
		s.LastSeen = micro(m.now())
	}
}

func (m *model) askSession() {
	tok, s := m.anySession()
	m.note("ask session %v", s != nil)
	for range 1 + m.rng.IntN(2) {
		id, err := m.eng.SessionUser(m.ctx, tok)
		if !m.outcome("SessionUser", err, m.noSessionIf(!m.good(s))) || err != nil {
			return
		}
		m.used(s)
		if m.same("user of the session", id.ID(), s.user); s.user == 0 {
			m.same("anonymous", id.Anonymous(), true)
			continue
		}
		u := m.users[s.user]
		m.same("Identity", []any{id.Username(), id.Active(), id.Staff(), id.Superuser(), id.Backend()},
			[]any{u.Username, true, u.Staff, u.Superuser, "password"})
		for range 3 {
			p := m.anyPerm()
			m.same("Has "+string(p), id.Has(p), m.has(s.user, p, ""))
		}
		m.keepIdent(id)
	}
}

func (m *model) describeSession() {
	tok, s := m.anySession()
	m.note("describe session %v", s != nil)
	got, err := m.eng.Session(m.ctx, tok)
	if m.outcome("Session", err, m.noSessionIf(!m.good(s))) {
		m.same("Session", got, s.Session)
	}
	fresh, err := m.eng.Fresh(m.ctx, tok)
	if m.outcome("Fresh", err, m.noSessionIf(!m.good(s))) {
		m.same("Fresh", fresh, s.user != 0 && m.now().Sub(s.AuthTime) <= 15*time.Minute)
	}
}

// moved makes a session one with another token.
func (m *model) moved(s *modelSession, p latchbolt.Session) {
	if p.ID != s.ID {
		m.end(s)
	}
	m.begin(p, s.user, s.values)
	m.same("moved session", []any{p.User, p.Name, p.Created}, []any{s.User, s.Name, s.Created})
}

func (m *model) renew() {
	tok, s := m.anySession()
	m.note("renew %v", s != nil)
	p, err := m.eng.Renew(m.ctx, tok)
	if m.outcome("Renew", err, m.noSessionIf(!m.good(s))) {
		m.same("a new token", p.Token == tok, false)
		m.moved(s, p)
	}
}

func (m *model) setExpiry() {
	tok, s := m.anySession()
	d := []time.Duration{0, time.Minute, time.Hour, 40 * 24 * time.Hour}[m.rng.IntN(4)]
	m.note("set expiry of %v to %v", s != nil, d)
	p, err := m.eng.SetExpiry(m.ctx, tok, d)
	if m.outcome("SetExpiry", err, m.noSessionIf(!m.good(s))) {
		m.same("expiry", micro(p.Expires), micro(m.now().Add(d)))
		if d == 0 {
			m.end(s)
			return
		}
		m.moved(s, p)
	}
}

func (m *model) logout() {
	tok, s := m.anySession()
	m.note("logout %v", s != nil)
	m.outcome("Logout", m.eng.Logout(m.ctx, tok), nil)
	m.end(s)
}

func (m *model) endSession() {
	_, s := m.anySession()
	var id latchbolt.SessionID
	if s != nil {
		id = s.ID
	}
	m.note("end session %v", s != nil)
	m.outcome("EndSession", m.doEndSession(s, id), nil)
	m.end(s)
}

func (m *model) endSessions() {
	id, u := m.anyUser()
	m.note("end sessions of %d", id)
	if m.outcome("EndSessions", m.doEndSessions(id), notFoundIf(u == nil)) {
		m.endAll(id, nil)
		m.voidTokens(id, "")
		u.ended++
	}
}

func (m *model) endOthers() {
	tok, s := m.anySession()
	m.note("end others than %v", s != nil)
	if m.outcome("EndOtherSessions", m.eng.EndOtherSessions(m.ctx, tok), m.noSessionIf(!m.good(s))) && s.user != 0 {
		m.endAll(s.user, s)
	}
}

func (m *model) changePassword() {
	tok, s := m.anySession()
	old, password := fmt.Sprint("pw", m.rng.IntN(3)), fmt.Sprint("pw", m.rng.IntN(3))
	m.note("change password by %v from %s to %s", s != nil, old, password)
	var want error
	good := m.good(s)
	if good && s.user != 0 && m.rng.IntN(2) == 0 {
		old = m.users[s.user].password
	}
	switch {
	case !good || s.user == 0:
		want = latchbolt.ErrNoSession
	case m.users[s.user].password != old || old == "":
		want = latchbolt.ErrCredentials
	}
	if good {
		m.used(s)
	}
	if want == latchbolt.ErrCredentials {
		m.users[s.user].fail(m.now())
	}
	p, err := m.eng.ChangePassword(m.ctx, tok, old, password)
	m.settle()
	if m.outcome("ChangePassword", err, want) {
		m.users[s.user].failures = 0
		m.newPassword(m.users[s.user], password)
		m.endAll(s.user, nil)
		m.begin(p, s.user, s.values)
		m.same("time of proof", micro(p.AuthTime), micro(m.now()))
	}
}

func (m *model) nameSession() {
	_, s := m.anySession()
	if s == nil || m.over(s) {
		m.outcome("NameSession", m.eng.NameSession(m.ctx, latchbolt.SessionID{1}, "x"), latchbolt.ErrNoSession)
		return
	}
	s.Name = fmt.Sprint("name", m.rng.IntN(100))
	m.note("name session %s", s.Name)
	m.outcome("NameSession", m.eng.NameSession(m.ctx, s.ID, s.Name), nil)
}

func (m *model) sessionValues() {
	tok, s := m.anySession()
	name, value, remove := fmt.Sprint("v", m.rng.IntN(4)), m.rng.IntN(1000), m.rng.IntN(4) == 0
	m.note("value %s of %v to %d, remove %v", name, s != nil, value, remove)
	_, err := m.eng.UpdateValues(m.ctx, tok, func(v *latchbolt.Values) error {
		if remove {
			v.Delete(name)
			return nil
		}
		return v.Set(name, value)
	})
	if m.outcome("UpdateValues", err, m.noSessionIf(!m.good(s))) {
		s.values = maps.Clone(s.values)
		if s.values[name] = value; remove {
			delete(s.values, name)
		}
	}
	v, err := m.eng.Values(m.ctx, tok)
	if m.outcome("Values", err, m.noSessionIf(!m.good(s))) {
		got := make(map[string]int)
		for _, n := range v.Names() {
			var value int
			_, err := v.Get(n, &value)
			m.outcome("Get", err, nil)
			got[n] = value
		}
		m.same("Values", got, s.values)
	}
}

func (m *model) group() {
	names := slices.Collect(maps.Values(m.groups))
	g := m.anyGroup()
	_, there := m.groups[g]
	name := m.newName("group", names)
	taken := slices.Contains(names, name) && m.groups[g] != name
	switch m.rng.IntN(3) {
	case 0:
		var want error
		if slices.Contains(names, name) {
			want = latchbolt.ErrExists
		}
		if len(m.groups) > 5 {
			return
		}
		m.note("create group %s", name)
		if id, err := m.doCreateGroup(name); m.outcome("CreateGroup", err, want) {
			m.groups[id] = name
		}
	case 1:
		want := notFoundIf(!there)
		if there && taken {
			want = latchbolt.ErrExists
		}
		m.note("rename group %d to %s", g, name)
		if m.outcome("RenameGroup", m.doRenameGroup(g, name), want) {
			m.groups[g] = name
		}
	default:
		m.note("delete group %d", g)
		if !m.outcome("DeleteGroup", m.doDeleteGroup(g), notFoundIf(!there)) {
			return
		}
		delete(m.groups, g)
		for _, u := range m.users {
			u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(h latchbolt.GroupID) bool { return h == g })
		}
		maps.DeleteFunc(m.grants, func(gr modelGrant, _ bool) bool { return gr.subject == latchbolt.Subject(g) })
	}
}

func (m *model) membership() {
	id, u := m.anyUser()
	groups := []latchbolt.GroupID{m.anyGroup(), m.anyGroup()}[:1+m.rng.IntN(2)]
	missing := slices.ContainsFunc(groups, func(g latchbolt.GroupID) bool { _, there := m.groups[g]; return !there })
	in := make(map[latchbolt.GroupID]bool)
	if u != nil {
		for _, g := range u.Groups {
			in[g] = true
		}
	}
	how := m.rng.IntN(3)
	m.note("groups of %d: %d %v", id, how, groups)
	switch how {
	case groupRemove:
		missing = false
	case groupSet:
		clear(in)
	}
	err := m.doMembership(how, id, groups)
	if m.outcome("membership", err, notFoundIf(u == nil || missing)) {
		for _, g := range groups {
			if in[g] = true; how == groupRemove {
				delete(in, g)
			}
		}
		u.Groups = slices.Sorted(maps.Keys(in))
	}
}

func (m *model) define() {
	app, codename, _ := strings.Cut(string(m.anyPerm()), ".")
	p := latchbolt.Permission{App: app, Codename: codename, Model: []string{"", "m"}[m.rng.IntN(2)]}
	m.note("define %+v", p)
	m.outcome("Define", m.doDefine(p), nil)
	for got, err := range m.eng.Permissions(m.ctx) {
		if m.outcome("Permissions", err, nil) && got.Perm() == p.Perm() && got.Model == p.Model {
			m.perms[got.ID] = *got
		}
	}
}

func (m *model) undefine() {
	p := m.anyPerm()
	ids := m.ids(p)
	m.note("undefine %s", p)
	if m.outcome("Undefine", m.doUndefine(p), notFoundIf(len(ids) == 0)) {
		for _, id := range ids {
			delete(m.perms, id)
		}
		maps.DeleteFunc(m.grants, func(g modelGrant, _ bool) bool { return slices.Contains(ids, g.perm) })
	}
}

func (m *model) grant() {
	s, there := m.anySubject()
	p, objects := m.anyPerm(), m.anyObjects()
	ids := m.ids(p)
	which := 0
	var err error
	if len(ids) > 1 && m.rng.IntN(2) == 0 {
		which = len(ids) - 1
		m.note("grant %s number %d %v to %v", p, ids[which], objects, s)
		err = m.eng.Update(m.ctx, func(tx *latchbolt.Tx) error { return tx.GrantID(s, ids[which], objects...) })
	} else {
		m.note("grant %s %v to %v", p, objects, s)
		err = m.doGrant(s, p, objects)
	}
	if m.outcome("Grant", err, notFoundIf(!there || len(ids) == 0)) {
		for _, o := range orAll(objects) {
			m.grants[modelGrant{s, ids[which], o}] = true
		}
	}
}

func orAll(objects []latchbolt.Object) []latchbolt.Object {
	if len(objects) == 0 {
		return []latchbolt.Object{""}
	}
	return objects
}

func (m *model) revoke() {
	s, there := m.anySubject()
	p, objects := m.anyPerm(), m.anyObjects()
	ids := m.ids(p)
	m.note("revoke %s %v from %v", p, objects, s)
	if m.outcome("Revoke", m.doRevoke(s, p, objects), notFoundIf(!there || len(ids) == 0)) {
		for _, id := range ids {
			for _, o := range orAll(objects) {
				delete(m.grants, modelGrant{s, id, o})
			}
		}
	}
}

func (m *model) hasPerm() {
	ident, p, objects := m.anyIdent(), m.anyPerm(), m.anyObjects()
	m.note("has perm %d %s %v", ident.ID(), p, objects)
	want := true
	for _, o := range orAll(objects) {
		want = want && m.has(ident.ID(), p, o)
	}
	for range 2 {
		got, err := m.eng.HasPerm(m.ctx, ident.Identity, p, objects...)
		m.outcome("HasPerm", err, nil)
		m.same(fmt.Sprint("HasPerm ", p, objects), got, want)
	}
	q := m.anyPerm()
	got, err := m.eng.HasPerms(m.ctx, ident.Identity, []latchbolt.Perm{p, q})
	m.outcome("HasPerms", err, nil)
	m.same("HasPerms", got, m.has(ident.ID(), p, "") && m.has(ident.ID(), q, ""))
	d, err := m.eng.Explain(m.ctx, ident.Identity, p, objects[:min(1, len(objects))]...)
	m.outcome("Explain", err, nil)
	m.same("Explain", d.Allowed, m.has(ident.ID(), p, orAll(objects)[0]))
	u := m.users[ident.ID()]
	any := u != nil && !u.Inactive && u.Superuser
	for _, q := range m.perms {
		any = any || q.App == p.App() && m.has(ident.ID(), q.Perm(), "")
	}
	got, err = m.eng.HasModulePerms(m.ctx, ident.Identity, p.App())
	m.outcome("HasModulePerms", err, nil)
	m.same("HasModulePerms", got, any)
}

// lines sorts what it is given as text.
func lines[T any](all []T) string {
	var text []string
	for _, v := range all {
		text = append(text, fmt.Sprintf("%+v", v))
	}
	slices.Sort(text)
	return strings.Join(text, "\n")
}

func (m *model) permLists() {
	s, _ := m.anySubject()
	p := m.anyPerm()
	m.note("lists of %v and %s", s, p)
	ofSubject, ofPerm := m.grantsOf(s, p)
	got, err := m.eng.Grants(m.ctx, s)
	m.outcome("Grants", err, nil)
	m.same("Grants", lines(got), lines(ofSubject))
	got, err = m.eng.Holders(m.ctx, p)
	m.outcome("Holders", err, nil)
	m.same("Holders", lines(got), lines(ofPerm))
	ident, from, objects := m.anyIdent(), latchbolt.Source(m.rng.IntN(3)), m.anyObjects()
	perms, err := m.eng.Perms(m.ctx, ident.Identity, from, objects[:min(1, len(objects))]...)
	m.outcome("Perms", err, nil)
	m.same(fmt.Sprint("Perms ", from, objects), perms, m.permsOf(ident.ID(), from, orAll(objects)[0]))
}

func (m *model) permsOf(id latchbolt.UserID, from latchbolt.Source, o latchbolt.Object) []latchbolt.Perm {
	all := make(map[latchbolt.Perm]bool)
	u := m.users[id]
	for g := range m.grants {
		p := m.perms[g.perm]
		group, _ := g.subject.(latchbolt.GroupID)
		switch {
		case u == nil || u.Inactive || g.object != "" && g.object != o:
		case g.subject == latchbolt.Subject(id) && from != latchbolt.FromGroup,
			slices.Contains(u.Groups, group) && from != latchbolt.FromUser:
			all[p.Perm()] = true
		}
	}
	if u != nil && u.Superuser && !u.Inactive {
		for _, p := range m.perms {
			all[p.Perm()] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (m *model) issueToken() {
	id, u := m.anyUser()
	k := &modelToken{user: id, purpose: []string{"a", "b", latchbolt.PurposeReset}[m.rng.IntN(3)], data: fmt.Sprint(m.rng.IntN(100))}
	m.note("issue %s to %d", k.purpose, id)
	want := notFoundIf(u == nil)
	if u != nil && u.Inactive {
		want = latchbolt.ErrConflict
	}
	var err error
	if k.purpose == latchbolt.PurposeReset {
		if u != nil && u.password == "" {
			want = latchbolt.ErrConflict
		}
		k.data = ""
		k.token, err = m.doResetToken(id)
	} else {
		k.token, err = m.eng.IssueToken(m.ctx, latchbolt.OneTimeRequest{User: id, Purpose: k.purpose, Data: k.data})
	}
	if m.outcome("IssueToken", err, want) {
		m.voidTokens(id, k.purpose)
		k.expires, k.state = micro(m.now().Add(time.Hour)), u.tokenState()
		if m.tokens = append(m.tokens, k); len(m.tokens) > 20 {
			m.tokens = m.tokens[1:]
		}
		if k.purpose == latchbolt.PurposeReset && m.rng.IntN(2) == 0 { // most are void before anybody comes back to them
			m.resetPassword(k, nil)
		} else if m.rng.IntN(4) == 0 {
			m.redeem(k, nil)
		}
	}
}

func (m *model) redeem(k *modelToken, want error) {
	m.note("redeem token %s of %d", k.purpose, k.user)
	err := m.eng.RedeemToken(m.ctx, k.purpose, k.token, func(tx *latchbolt.Tx, u *latchbolt.User, data string) error {
		m.same("RedeemToken", []any{u.ID, data}, []any{k.user, k.data})
		return nil
	})
	if m.outcome("RedeemToken", err, want) {
		k.state = "void"
	}
}

func (m *model) resetPassword(k *modelToken, want error) {
	m.note("reset the password of %d", k.user)
	_, err := m.eng.ResetPassword(m.ctx, k.token, "pw1")
	if u := m.users[k.user]; m.outcome("ResetPassword", err, want) {
		u.failures = 0
		m.newPassword(u, "pw1")
		m.endAll(u.ID, nil)
	}
}

func (m *model) useToken() {
	if len(m.tokens) == 0 {
		return
	}
	k := m.tokens[len(m.tokens)-1-m.rng.IntN(min(len(m.tokens), 4))] // those before are void mostly
	u := m.users[k.user]
	var want error
	if u == nil || u.Inactive || m.now().After(k.expires) || k.state != u.tokenState() {
		want = latchbolt.ErrToken
	}
	m.note("use token %s of %d", k.purpose, k.user)
	id, err := m.eng.CheckToken(m.ctx, k.purpose, k.token)
	if m.outcome("CheckToken", err, want) {
		m.same("CheckToken", id, k.user)
	}
	_, err = m.eng.CheckToken(m.ctx, "other", k.token)
	m.outcome("CheckToken for another purpose", err, latchbolt.ErrToken)
	refused := errors.New("refused")
	switch m.rng.IntN(3) {
	case 0:
		err := m.eng.RedeemToken(m.ctx, k.purpose, k.token, func(tx *latchbolt.Tx, u *latchbolt.User, data string) error {
			return errors.Join(tx.DeleteUser(u.ID), refused)
		})
		m.outcome("RedeemToken that is refused", err, cmp.Or(want, refused))
	case 1:
		m.redeem(k, want)
	default:
		if k.purpose != latchbolt.PurposeReset {
			want = latchbolt.ErrToken
		}
		m.resetPassword(k, want)
	}
}

func (m *model) lookUp() {
	id, u := m.anyUser()
	m.note("look up %d", id)
	got, err := m.eng.User(m.ctx, id)
	if m.outcome("User", err, notFoundIf(u == nil)) {
		m.sameUser(got, u)
		got, err = m.eng.UserByName(m.ctx, strings.ToUpper(u.Username))
		if m.outcome("UserByName", err, nil) {
			m.sameUser(got, u)
		}
	}
	_, err = m.eng.UserByName(m.ctx, "nobody")
	m.outcome("UserByName of nobody", err, latchbolt.ErrNotFound)
	email := m.email()
	users, err := m.eng.UsersByEmail(m.ctx, strings.ToUpper(email))
	m.outcome("UsersByEmail", err, nil)
	m.same("UsersByEmail", ids(users), m.pick(func(u *modelUser) bool { return email != "" && u.Email == email }))
	g := m.anyGroup()
	name, there := m.groups[g]
	if got, err := m.eng.GroupByName(m.ctx, name); there && m.outcome("GroupByName", err, nil) {
		m.same("GroupByName", *got, latchbolt.Group{ID: g, Name: name})
	}
	var members []latchbolt.UserID
	for id, err := range m.eng.Members(m.ctx, g) {
		m.outcome("Members", err, nil)
		members = append(members, id)
	}
	m.same("Members", members, m.pick(func(u *modelUser) bool { return slices.Contains(u.Groups, g) }))
}

func (m *model) sameUser(got *latchbolt.User, want *modelUser) {
	m.t.Helper()
	u := *got
	if m.same("usable password", u.Password.Usable, want.password != ""); len(u.Groups) == 0 {
		u.Groups = nil
	}
	w := want.User
	if len(w.Groups) == 0 {
		w.Groups = nil
	}
	u.Password, w.Password = latchbolt.HashInfo{}, latchbolt.HashInfo{}
	m.same("User", u, w)
}

func ids(users []*latchbolt.User) (ids []latchbolt.UserID) {
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	return ids
}

// pick returns the users that a function picks, ascending.
func (m *model) pick(fn func(u *modelUser) bool) (ids []latchbolt.UserID) {
	for id, u := range m.users {
		if fn(u) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *model) query() {
	filter := func() latchbolt.Filter { return latchbolt.Filter(m.rng.IntN(3)) }
	q := latchbolt.UserQuery{Active: filter(), Staff: filter(), Superuser: filter()}
	if m.rng.IntN(3) == 0 {
		q.Group = m.anyGroup()
	}
	if m.rng.IntN(2) == 0 {
		q.Perm, q.NoSuperusers, q.Object = m.anyPerm(), m.rng.IntN(2) == 0, orAll(m.anyObjects())[0]
	}
	m.note("query %+v", q)
	matches := func(f latchbolt.Filter, v bool) bool {
		return f == latchbolt.Any || (f == latchbolt.Only) == v
	}
	want := m.pick(func(u *modelUser) bool {
		if !matches(q.Active, !u.Inactive) || !matches(q.Staff, u.Staff) || !matches(q.Superuser, u.Superuser) ||
			q.Group != 0 && !slices.Contains(u.Groups, q.Group) {
			return false
		}
		if q.Perm == "" || u.Superuser && !u.Inactive && !q.NoSuperusers {
			return true
		}
		// By grants alone, whether active or not.
		plain := *m
		plain.users = map[latchbolt.UserID]*modelUser{u.ID: {User: latchbolt.User{ID: u.ID, Groups: u.Groups}}}
		return plain.has(u.ID, q.Perm, q.Object)
	})
	var got []latchbolt.UserID
	for u, err := range m.eng.Users(m.ctx, q) {
		if m.outcome("Users", err, nil) {
			got = append(got, u.ID)
		}
	}
	m.same(fmt.Sprintf("Users %+v", q), got, want)
}

// rollBack does much in one transaction and takes it back.
func (m *model) rollBack() {
	id, u := m.anyUser()
	m.note("roll back changes of %d", id)
	changed := errors.New("changed my mind")
	err := m.eng.Update(m.ctx, func(tx *latchbolt.Tx) error {
		var errs []error
		if u != nil {
			errs = append(errs, tx.SetPasswordHash(id, latchbolt.PasswordHash{}), tx.SetGroups(id))
		}
		for _, p := range m.perms {
			if u != nil {
				errs = append(errs, tx.Grant(id, p.Perm()))
			}
		}
		errs = append(errs, tx.InsertGroup(&latchbolt.Group{Name: "never"}), changed)
		return errors.Join(errs...)
	})
	m.outcome("Update", err, changed)
}

func (m *model) advance() {
	d := []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 25 * time.Hour}[min(m.rng.IntN(8), 5)]
	if d > time.Minute && m.rng.IntN(4) > 0 {
		d = time.Second
	}
	m.note("%v later", d)
	m.clock.advance(d)
}

func (m *model) sweep() {
	m.note("sweep")
	_, err := m.eng.Sweep(m.ctx)
	m.outcome("Sweep", err, nil)
	for _, s := range m.sessions {
		if m.over(s) {
			m.end(s)
		}
	}
}

// restart closes the file and opens it again, with another bound of the cache.
func (m *model) restart() {
	if m.rng.IntN(2) == 0 {
		m.note("compact")
		_, _, err := m.eng.Compact(m.ctx)
		m.outcome("Compact", err, nil)
		return
	}
	setup := modelSetups[m.rng.IntN(len(modelSetups))]
	m.note("restart with a cache of %d users, %d sessions", setup.CacheUsers, setup.CacheSessions)
	m.outcome("Close", m.eng.Close(), nil)
	m.cfg.CacheUsers, m.cfg.CacheSessions = setup.CacheUsers, setup.CacheSessions
	m.eng = openAt(m.t, filepath.Clean(m.path), &m.cfg)
	m.idents = nil
}

// full compares everything, and has the file checked.
func (m *model) full() {
	m.note("compare everything")
	for id, u := range m.users {
		if got, err := m.eng.User(m.ctx, id); m.outcome("User", err, nil) {
			m.sameUser(got, u)
		}
		var got, want []latchbolt.Session
		for s, err := range m.eng.Sessions(m.ctx, id) {
			if m.outcome("Sessions", err, nil) {
				got = append(got, s)
			}
		}
		for _, s := range m.sessions {
			if s.user == id && m.good(s) {
				listed := s.Session
				listed.Token = latchbolt.Token{}
				want = append(want, listed)
			}
		}
		m.same("Sessions", lines(got), lines(want))
	}
	groups := make(map[latchbolt.GroupID]string)
	for g, err := range m.eng.Groups(m.ctx) {
		if m.outcome("Groups", err, nil) {
			groups[g.ID] = g.Name
		}
	}
	m.same("Groups", groups, m.groups)
	perms := make(map[latchbolt.PermissionID]latchbolt.Permission)
	for p, err := range m.eng.Permissions(m.ctx) {
		if m.outcome("Permissions", err, nil) {
			perms[p.ID] = *p
		}
	}
	m.same("Permissions", perms, m.perms)
	for _, ident := range m.idents {
		for _, p := range m.perms {
			got, err := m.eng.HasPerm(m.ctx, ident.Identity, p.Perm())
			m.outcome("HasPerm", err, nil)
			m.same("HasPerm", got, m.has(ident.ID(), p.Perm(), ""))
		}
	}
	verify(m.t, m.eng)
}
