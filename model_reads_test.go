package latchbolt_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// readTx compares what a transaction sees with the model.
func (m *model) readTx() {
	m.note("read in a transaction")
	read := func(tx *latchbolt.ReadTx) error {
		m.same("context", tx.Context() == m.ctx, true)
		m.same("time", micro(tx.Now()), micro(m.now()))
		id, u := m.anyUser()
		got, err := tx.User(id)
		if m.outcome("ReadTx.User", err, notFoundIf(u == nil)) {
			m.sameUser(got, u)
			got, err = tx.UserByName(strings.ToUpper(u.Username))
			if m.outcome("ReadTx.UserByName", err, nil) {
				m.sameUser(got, u)
			}
			h, err := tx.PasswordHash(id)
			m.outcome("ReadTx.PasswordHash", err, nil)
			m.same("usable password", h.Usable(), u.password != "")
		}
		email := m.email()
		users, err := tx.UsersByEmail(email)
		m.outcome("ReadTx.UsersByEmail", err, nil)
		m.same("ReadTx.UsersByEmail", ids(users), m.pick(func(u *modelUser) bool { return email != "" && u.Email == email }))
		users = nil
		for u, err := range tx.Users() {
			if m.outcome("ReadTx.Users", err, nil) {
				users = append(users, u)
			}
		}
		m.same("ReadTx.Users", ids(users), m.pick(func(*modelUser) bool { return true }))
		m.readGroups(tx)
		n, err := tx.SessionCount()
		m.outcome("ReadTx.SessionCount", err, nil)
		for id := range m.users {
			has, err := tx.HasSessions(id)
			m.outcome("ReadTx.HasSessions", err, nil)
			m.same("ReadTx.HasSessions", has, slices.ContainsFunc(m.living(), func(s *modelSession) bool { return s.user == id }))
		}
		m.same("no fewer sessions than live", n >= len(m.living()), true)
		unused, err := tx.Unused()
		m.outcome("ReadTx.Unused", err, nil)
		m.same("unused", unused && len(m.users)+len(m.groups)+len(m.perms) > 0, false)
		return nil
	}
	if m.rng.IntN(2) == 0 {
		m.outcome("View", m.eng.View(m.ctx, read), nil)
		return
	}
	m.outcome("reading in Update", m.eng.Update(m.ctx, func(tx *latchbolt.Tx) error { return read(&tx.ReadTx) }), nil)
}

func (m *model) readGroups(tx *latchbolt.ReadTx) {
	g := m.anyGroup()
	name, there := m.groups[g]
	got, err := tx.Group(g)
	if m.outcome("ReadTx.Group", err, notFoundIf(!there)) {
		m.same("ReadTx.Group", *got, latchbolt.Group{ID: g, Name: name})
		got, err = tx.GroupByName(name)
		m.outcome("ReadTx.GroupByName", err, nil)
		m.same("ReadTx.GroupByName", *got, latchbolt.Group{ID: g, Name: name})
	}
	groups := map[latchbolt.GroupID]string{}
	for g, err := range tx.Groups() {
		if m.outcome("ReadTx.Groups", err, nil) {
			groups[g.ID] = g.Name
		}
	}
	m.same("ReadTx.Groups", groups, m.groups)
	perms := map[latchbolt.PermissionID]latchbolt.Permission{}
	for p, err := range tx.Permissions() {
		if m.outcome("ReadTx.Permissions", err, nil) {
			perms[p.ID] = *p
		}
	}
	m.same("ReadTx.Permissions", perms, m.perms)
	s, _ := m.anySubject()
	p := m.anyPerm()
	ofSubject, ofPerm := m.grantsOf(s, p)
	gs, err := tx.Grants(s)
	m.outcome("ReadTx.Grants", err, nil)
	m.same("ReadTx.Grants", lines(gs), lines(ofSubject))
	gs, err = tx.Holders(p)
	m.outcome("ReadTx.Holders", err, nil)
	m.same("ReadTx.Holders", lines(gs), lines(ofPerm))
}

// grantsOf returns what is granted to a subject, and the grants of a permission.
func (m *model) grantsOf(s latchbolt.Subject, p latchbolt.Perm) (ofSubject, ofPerm []latchbolt.Grant) {
	for g := range m.grants {
		full := latchbolt.Grant{Subject: g.subject, Permission: m.perms[g.perm], Object: g.object}
		if g.subject == s {
			ofSubject = append(ofSubject, full)
		}
		if full.Permission.Perm() == p {
			ofPerm = append(ofPerm, full)
		}
	}
	return ofSubject, ofPerm
}

// living returns the sessions that may be used.
func (m *model) living() (all []*modelSession) {
	for _, s := range m.sessions {
		if m.good(s) {
			all = append(all, s)
		}
	}
	return all
}

// readOne asks the engine about single things.
func (m *model) readOne() {
	g := m.anyGroup()
	name, there := m.groups[g]
	m.note("read group %d and a session", g)
	got, err := m.eng.Group(m.ctx, g)
	if m.outcome("Group", err, notFoundIf(!there)) {
		m.same("Group", *got, latchbolt.Group{ID: g, Name: name})
	}
	if _, s := m.anySession(); s != nil {
		p, err := m.eng.SessionByID(m.ctx, s.ID)
		if m.outcome("SessionByID", err, m.noSessionIf(!m.good(s))) {
			listed := s.Session
			listed.Token = latchbolt.Token{}
			m.same("SessionByID", p, listed)
		}
	}
	stats, err := m.eng.Stats()
	m.outcome("Stats", err, nil)
	m.same("revocations in memory only", stats.Denied, 0)
}

// adminReads has an administrator look at everything.
func (m *model) adminReads() {
	adm, ok := m.admin(0)
	if !ok {
		return
	}
	m.note("an administrator looks around")
	var all []latchbolt.UserID
	for q := (latchbolt.UserSearch{Limit: 3}); ; {
		page, err := adm.Search(m.ctx, q)
		if !m.outcome("Administrator.Search", err, nil) {
			return
		}
		for _, u := range page.Users {
			all = append(all, u.ID)
		}
		if q.From = page.Next; q.From == "" {
			break
		}
	}
	slices.Sort(all)
	m.same("Administrator.Search", all, m.pick(func(*modelUser) bool { return true }))
	groups := make(map[latchbolt.GroupID]string)
	gs, err := adm.Groups(m.ctx)
	m.outcome("Administrator.Groups", err, nil)
	for _, g := range gs {
		groups[g.ID] = g.Name
		n, err := adm.CountMembers(m.ctx, g.ID, 100)
		m.outcome("Administrator.CountMembers", err, nil)
		m.same("Administrator.CountMembers", n, len(m.pick(func(u *modelUser) bool { return slices.Contains(u.Groups, g.ID) })))
	}
	m.same("Administrator.Groups", groups, m.groups)
	perms, err := adm.Permissions(m.ctx)
	m.outcome("Administrator.Permissions", err, nil)
	m.same("Administrator.Permissions", lines(perms), lines(slices.Collect(maps.Values(m.perms))))
	sessions := 0
	for after := (*latchbolt.SessionID)(nil); ; {
		page, err := adm.AllSessions(m.ctx, after, 5)
		if !m.outcome("Administrator.AllSessions", err, nil) {
			return
		}
		for _, s := range page.Sessions {
			if s.User != 0 {
				sessions++
			}
		}
		if after = page.Next; after == nil {
			break
		}
	}
	m.same("Administrator.AllSessions", sessions, len(m.living())-m.anonymous())
	id, u := m.anyUser()
	if u == nil {
		return
	}
	own, _, err := adm.UserGrants(m.ctx, id)
	m.outcome("Administrator.UserGrants", err, nil)
	ofUser, _ := m.grantsOf(id, "")
	for _, g := range u.Groups {
		ofGroup, _ := m.grantsOf(g, "")
		ofUser = append(ofUser, ofGroup...)
	}
	m.same("Administrator.UserGrants", lines(own), lines(ofUser))
	d, err := adm.Explain(m.ctx, id, m.anyPerm())
	m.outcome("Administrator.Explain", err, nil)
	m.same("Administrator.Explain", d.Allowed && u.Inactive, false)
	mine, err := adm.Sessions(m.ctx, id)
	m.outcome("Administrator.Sessions", err, nil)
	n := 0
	for _, s := range m.living() {
		if s.user == id {
			n++
		}
	}
	m.same("Administrator.Sessions", len(mine), n)
	by, err := adm.UserByName(m.ctx, u.Username)
	if m.outcome("Administrator.UserByName", err, nil) {
		m.sameUser(by, u)
	}
}

func (m *model) anonymous() (n int) {
	for _, s := range m.living() {
		if s.user == 0 {
			n++
		}
	}
	return n
}

// record writes into the audit trail and reads it back.
func (m *model) record() {
	detail := fmt.Sprint("entry ", m.rng.Uint64())
	m.note("record %s", detail)
	var err error
	if m.rng.IntN(2) == 0 {
		err = m.eng.Record(m.ctx, latchbolt.AuditEntry{Action: "model.note", Detail: detail})
	} else {
		err = m.inTx(func(tx *latchbolt.Tx) error {
			return tx.Record(latchbolt.AuditEntry{Action: "model.note", Detail: detail})
		})
	}
	m.outcome("Record", err, nil)
	for e, err := range m.eng.Audit(m.ctx, latchbolt.AuditQuery{}) {
		if m.outcome("Audit", err, nil) && e.Action == "model.note" {
			m.same("the last entry", e.Detail, detail)
			return
		}
	}
	m.t.Error("an entry of the audit trail is lost")
}

// throttled compares how many logins of a user failed in a row, and forgives them once in a while.
func (m *model) throttled() {
	id, u := m.anyUser()
	m.note("failures of %d", id)
	_, n, err := m.eng.Throttled(m.ctx, id)
	m.outcome("Throttled", err, nil)
	want := 0
	if u != nil {
		want = u.failuresAt(m.now())
	}
	m.same("failures", n, want)
	if m.rng.IntN(3) > 0 {
		return
	}
	if how, adm := m.route(id); how == byAdmin {
		err = adm.Unlock(m.ctx, id)
	} else {
		err = m.eng.Unlock(m.ctx, id)
	}
	if m.outcome("Unlock", err, notFoundIf(u == nil)) {
		u.failures = 0
	}
}

// failuresAt is how many failures are not forgotten.
func (u *modelUser) failuresAt(now time.Time) int {
	if now.Sub(u.failed) > 24*time.Hour {
		return 0
	}
	return u.failures
}

// fail counts a failed login.
func (u *modelUser) fail(now time.Time) {
	u.failures, u.failed = u.failuresAt(now)+1, now
}

// defineMore defines the permissions of a model, or those for administrators.
func (m *model) defineMore() {
	var err error
	if m.rng.IntN(2) == 0 {
		m.note("define model")
		err = m.eng.DefineModel(m.ctx, "more", "thing")
	} else {
		m.note("define for administrators")
		err = m.eng.DefineAdmin(m.ctx)
	}
	m.outcome("DefineModel", err, nil)
	before := len(m.perms)
	for p, err := range m.eng.Permissions(m.ctx) {
		if m.outcome("Permissions", err, nil) && (p.App == "more" || p.App == "auth") {
			m.perms[p.ID] = *p
		}
	}
	if len(m.perms) != before && len(m.perms) < before+4 {
		m.t.Errorf("%d permissions became %d", before, len(m.perms))
	}
}
