package latchbolt_test

import (
	"context"
	"slices"

	"github.com/latchbolt-go/latchbolt"
)

// The same change can be asked for by a method of the Engine, in a transaction, and by an Administrator. Where the model
// makes a change it takes any of the routes that are open, and all have to have the same outcome.

// admin returns an Administrator who is a staff superuser other than a user, if there is one.
func (m *model) admin(other latchbolt.UserID) (latchbolt.Administrator, bool) {
	for _, id := range m.pick(func(u *modelUser) bool { return u.Superuser && u.Staff && !u.Inactive && u.ID != other }) {
		if ident, err := m.eng.Identity(m.ctx, id); m.outcome("Identity", err, nil) {
			return m.eng.As(ident), true
		}
	}
	return latchbolt.Administrator{}, false
}

// The routes.
const (
	byEngine = iota
	inTx
	byAdmin
)

// route chooses one; byAdmin only if somebody other than the user could.
func (m *model) route(other latchbolt.UserID) (how int, adm latchbolt.Administrator) {
	how = m.rng.IntN(3)
	if how == byAdmin {
		var ok bool
		if adm, ok = m.admin(other); !ok {
			how = byEngine
		}
	}
	m.note("  by route %d", how)
	return how, adm
}

// inTx makes a change in a transaction, whose OnCommit has to run exactly if it succeeds.
func (m *model) inTx(fn func(tx *latchbolt.Tx) error) error {
	m.t.Helper()
	committed := false
	err := m.eng.Update(m.ctx, func(tx *latchbolt.Tx) error {
		tx.OnCommit(func() { committed = true })
		return fn(tx)
	})
	m.same("OnCommit", committed, err == nil)
	return err
}

func (m *model) doCreateUser(u *latchbolt.User, password string) error {
	how, adm := m.route(0)
	hash, err := m.eng.HashPassword(m.ctx, password)
	m.outcome("HashPassword", err, nil)
	switch how {
	case inTx:
		if m.rng.IntN(2) == 0 {
			return m.inTx(func(tx *latchbolt.Tx) error { return tx.InsertBroughtUser(u, hash) })
		}
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.InsertUser(u, hash) })
	case byAdmin:
		id, err := adm.CreateUser(m.ctx, latchbolt.NewUser{Username: u.Username, Email: u.Email, Inactive: u.Inactive, Staff: u.Staff,
			Superuser: u.Superuser, Password: password, SetPassword: true})
		if err != nil {
			return err
		}
		made, _, err := adm.User(m.ctx, id)
		if err == nil {
			*u = *made
		}
		return err
	}
	if m.rng.IntN(2) == 0 {
		return m.eng.InsertUser(m.ctx, u, hash)
	}
	return m.eng.CreateUser(m.ctx, u, password)
}

func (m *model) doUpdateUser(id latchbolt.UserID, change func(u *latchbolt.User)) error {
	how, adm := m.route(id)
	fn := func(u *latchbolt.User) error { change(u); return nil }
	u := m.users[id]
	switch {
	case how == inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.UpdateUser(id, fn) })
	case how == byAdmin && u != nil:
		after := u.User
		change(&after)
		return adm.UpdateUser(m.ctx, id, latchbolt.UserChange{Username: &after.Username, Email: &after.Email, FirstName: &after.FirstName,
			LastName: &after.LastName, Inactive: &after.Inactive, Staff: &after.Staff, Superuser: &after.Superuser, If: m.version(adm, id)})
	}
	return m.eng.UpdateUser(m.ctx, id, fn)
}

// version returns the version of a user, or once in a while none.
func (m *model) version(adm latchbolt.Administrator, id latchbolt.UserID) latchbolt.Version {
	if m.users[id] == nil || m.rng.IntN(3) == 0 {
		return ""
	}
	got, v, err := adm.User(m.ctx, id)
	if m.outcome("Administrator.User", err, nil) {
		m.sameUser(got, m.users[id])
	}
	return v
}

func (m *model) doDeleteUser(id latchbolt.UserID) error {
	switch how, adm := m.route(id); how {
	case inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.DeleteUser(id) })
	case byAdmin:
		return adm.DeleteUser(m.ctx, id, m.version(adm, id))
	}
	return m.eng.DeleteUser(m.ctx, id)
}

func (m *model) doSetPassword(id latchbolt.UserID, password string) error {
	how, adm := m.route(id)
	var hash latchbolt.PasswordHash
	if password != "" {
		var err error
		hash, err = m.eng.HashPassword(m.ctx, password)
		m.outcome("HashPassword", err, nil)
	}
	switch {
	case how == inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.SetPasswordHash(id, hash) })
	case password == "" || m.rng.IntN(2) == 0:
		return m.eng.SetPasswordHash(m.ctx, id, hash)
	case how == byAdmin:
		return adm.SetPassword(m.ctx, id, password)
	}
	return m.eng.SetPassword(m.ctx, id, password)
}

// doEndSession ends a session by its identifier; an administrator says whose it is, and is told if it is none.
func (m *model) doEndSession(s *modelSession, id latchbolt.SessionID) error {
	if s != nil && m.good(s) && s.user != 0 {
		if how, adm := m.route(s.user); how == byAdmin {
			return adm.EndSession(m.ctx, s.user, id)
		}
	}
	return m.eng.EndSession(m.ctx, id)
}

func (m *model) doEndSessions(id latchbolt.UserID) error {
	if how, adm := m.route(id); how == byAdmin {
		return adm.EndSessions(m.ctx, id)
	}
	return m.eng.EndSessions(m.ctx, id)
}

func (m *model) doCreateGroup(name string) (latchbolt.GroupID, error) {
	switch how, adm := m.route(0); how {
	case inTx:
		g := &latchbolt.Group{Name: name}
		err := m.inTx(func(tx *latchbolt.Tx) error { return tx.InsertGroup(g) })
		return g.ID, err
	case byAdmin:
		return adm.CreateGroup(m.ctx, name)
	}
	return m.eng.CreateGroup(m.ctx, name)
}

func (m *model) doRenameGroup(id latchbolt.GroupID, name string) error {
	switch how, adm := m.route(0); how {
	case inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.RenameGroup(id, name) })
	case byAdmin:
		return adm.RenameGroup(m.ctx, id, name, "")
	}
	return m.eng.RenameGroup(m.ctx, id, name)
}

func (m *model) doDeleteGroup(id latchbolt.GroupID) error {
	switch how, adm := m.route(0); how {
	case inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.DeleteGroup(id) })
	case byAdmin:
		return adm.DeleteGroup(m.ctx, id, "")
	}
	return m.eng.DeleteGroup(m.ctx, id)
}

// The three changes of membership.
const (
	groupAdd = iota
	groupRemove
	groupSet
)

func (m *model) doMembership(change int, id latchbolt.UserID, groups []latchbolt.GroupID) error {
	how, adm := m.route(id)
	switch {
	case how == inTx:
		return m.inTx(func(tx *latchbolt.Tx) error {
			return []func(latchbolt.UserID, ...latchbolt.GroupID) error{tx.AddToGroup, tx.RemoveFromGroup, tx.SetGroups}[change](id, groups...)
		})
	case how == byAdmin && change == groupSet:
		return adm.UpdateUser(m.ctx, id, latchbolt.UserChange{Groups: &groups})
	case how == byAdmin && len(groups) == 1 && change == groupAdd:
		return adm.AddToGroup(m.ctx, id, groups[0])
	case how == byAdmin && len(groups) == 1 && m.groups[groups[0]] != "": // one who is not told is told of a group that is not there
		return adm.RemoveFromGroup(m.ctx, id, groups[0])
	}
	return []func(context.Context, latchbolt.UserID, ...latchbolt.GroupID) error{m.eng.AddToGroup, m.eng.RemoveFromGroup, m.eng.SetGroups}[change](m.ctx, id, groups...)
}

func (m *model) doDefine(p latchbolt.Permission) error {
	there := slices.ContainsFunc(m.ids(p.Perm()), func(id latchbolt.PermissionID) bool { return m.perms[id].Model == p.Model })
	switch how, _ := m.route(0); {
	case how == inTx && !there && m.rng.IntN(2) == 0:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.InsertPermission(&p) })
	case how == inTx:
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.Define(p) })
	}
	return m.eng.Define(m.ctx, p)
}

func (m *model) doUndefine(p latchbolt.Perm) error {
	if how, _ := m.route(0); how == inTx {
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.Undefine(p) })
	}
	return m.eng.Undefine(m.ctx, p)
}

func (m *model) doGrant(s latchbolt.Subject, p latchbolt.Perm, objects []latchbolt.Object) error {
	if how, _ := m.route(0); how == inTx {
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.Grant(s, p, objects...) })
	}
	return m.eng.Grant(m.ctx, s, p, objects...)
}

func (m *model) doRevoke(s latchbolt.Subject, p latchbolt.Perm, objects []latchbolt.Object) error {
	if how, _ := m.route(0); how == inTx {
		return m.inTx(func(tx *latchbolt.Tx) error { return tx.Revoke(s, p, objects...) })
	}
	return m.eng.Revoke(m.ctx, s, p, objects...)
}

// setPermissions has an administrator say what a subject may do with all objects.
func (m *model) setPermissions() {
	s, there := m.anySubject()
	id, _ := s.(latchbolt.UserID)
	adm, ok := m.admin(id)
	if !ok {
		return
	}
	var want []latchbolt.PermissionID
	for id := range m.perms {
		want = append(want, id)
	}
	slices.Sort(want)
	m.rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	want = want[:m.rng.IntN(len(want)+1)]
	m.note("set permissions of %v to %v", s, want)
	var err error
	if id != 0 {
		err = adm.SetUserPermissions(m.ctx, id, want, "")
	} else {
		err = adm.SetGroupPermissions(m.ctx, s.(latchbolt.GroupID), want, "")
	}
	if !m.outcome("SetPermissions", err, notFoundIf(!there)) {
		return
	}
	for g := range m.grants {
		if g.subject == s && g.object == "" {
			delete(m.grants, g)
		}
	}
	for _, p := range want {
		m.grants[modelGrant{s, p, ""}] = true
	}
}

// doResetToken issues a token for a reset.
func (m *model) doResetToken(id latchbolt.UserID) (t latchbolt.Token, err error) {
	how, adm := m.route(id)
	u := m.users[id]
	switch {
	case how == byAdmin && u != nil && u.Email != "" && m.rng.IntN(2) == 0:
		err = adm.SendReset(m.ctx, id, func(_ context.Context, to latchbolt.User, sent latchbolt.Token) error {
			m.same("whom it is sent to", to.ID, id)
			t = sent
			return nil
		})
		return t, err
	case how == byAdmin:
		return adm.ResetToken(m.ctx, id)
	}
	return m.eng.ResetToken(m.ctx, id)
}
