//go:build unix

package crashtest

import (
	"context"
	"errors"
	"slices"

	"github.com/latchbolt-go/latchbolt"
)

// administer makes every change that can be made by way of a superuser, whose rights are looked at in the same transaction.
func (l *lane) administer(root, u *user, g *group) {
	if l.number == 0 { // there is one set of these permissions for all lanes
		l.do("DefineAdmin", func() error {
			l.w.perms = append(l.w.perms, "auth.view_user", "auth.set_password")
			return l.eng.DefineAdmin(l.t.Context())
		})
	}
	id, err := l.eng.Identity(l.t.Context(), root.id)
	if err != nil {
		l.t.Fatal(err)
	}
	admin := l.eng.As(id)
	l.administerUser(admin, u, g)
	l.administerGroups(admin)
	l.administerSessions(admin, u)
}

func (l *lane) administerUser(admin latchbolt.Administrator, u *user, g *group) {
	ctx := l.t.Context()
	l.do("As: UpdateUser", func() error {
		u.FirstName = l.name("first")
		return admin.UpdateUser(ctx, u.id, latchbolt.UserChange{FirstName: &u.FirstName})
	})
	l.do("As: RemoveFromGroup", func() error {
		delete(u.groups, g)
		return admin.RemoveFromGroup(ctx, u.id, g.id)
	})
	l.do("As: AddToGroup", func() error {
		u.groups[g] = true
		return admin.AddToGroup(ctx, u.id, g.id)
	})
	l.do("As: SetPassword", func() error { return admin.SetPassword(ctx, u.id, u.newPassword(l)) })
	made := l.newUser()
	made.Staff = true
	l.do("As: CreateUser", func() (err error) {
		l.w.users = append(l.w.users, made)
		made.groups[g] = true
		made.id, err = admin.CreateUser(ctx, latchbolt.NewUser{Username: made.Username, Email: made.Email, FirstName: made.FirstName,
			Staff: true, Groups: []latchbolt.GroupID{g.id}, Password: made.password, SetPassword: true})
		return err
	})
	perm, number := l.permission()
	l.grant(made, l.w.perms[0], "", true)
	l.do("As: SetUserPermissions", func() error {
		onlyForAll(made.grants, perm)
		return admin.SetUserPermissions(ctx, made.id, []latchbolt.PermissionID{number}, "")
	})
	l.wrongPassword(made)
	l.do("As: Unlock", func() error {
		made.failures = 0
		return admin.Unlock(ctx, made.id)
	})
	l.do("As: DeleteUser", func() error {
		made.gone = true
		return admin.DeleteUser(ctx, made.id, "")
	})
}

// permission returns a permission that is defined, and not the first one.
func (l *lane) permission() (latchbolt.Perm, latchbolt.PermissionID) {
	for p, err := range l.eng.Permissions(l.t.Context()) {
		if err != nil {
			l.t.Fatal(err)
		}
		if slices.Contains(l.w.perms[1:], p.Perm()) {
			return p.Perm(), p.ID
		}
	}
	l.t.Fatal(errors.New("none but the first permission of the lane is defined"))
	return "", 0
}

// onlyForAll makes a permission the only one that is granted for all objects.
func onlyForAll(grants map[grant]bool, p latchbolt.Perm) {
	for g := range grants {
		if g.object == "" {
			delete(grants, g)
		}
	}
	grants[grant{p, ""}] = true
}

func (l *lane) administerGroups(admin latchbolt.Administrator) {
	ctx := l.t.Context()
	made := &group{names: []string{l.name("group")}, grants: make(map[grant]bool)}
	l.do("As: CreateGroup", func() (err error) {
		l.w.groups = append(l.w.groups, made)
		made.id, err = admin.CreateGroup(ctx, made.names[0])
		return err
	})
	l.grant(made, l.w.perms[0], "", true)
	perm, number := l.permission()
	l.do("As: SetGroupPermissions", func() error {
		onlyForAll(made.grants, perm)
		return admin.SetGroupPermissions(ctx, made.id, []latchbolt.PermissionID{number}, "")
	})
	l.do("As: RenameGroup", func() error {
		made.names = append(made.names, l.name("renamed"))
		return admin.RenameGroup(ctx, made.id, made.names[1], "")
	})
	l.do("As: DeleteGroup", func() error {
		made.gone = true
		return admin.DeleteGroup(ctx, made.id, "")
	})
}

func (l *lane) administerSessions(admin latchbolt.Administrator, u *user) {
	ctx := l.t.Context()
	l.issued(u, latchbolt.PurposeReset, "As: ResetToken", func() (latchbolt.Token, error) { return admin.ResetToken(ctx, u.id) })
	l.issued(u, latchbolt.PurposeReset, "As: SendReset", func() (t latchbolt.Token, err error) {
		err = admin.SendReset(ctx, u.id, func(_ context.Context, _ latchbolt.User, sent latchbolt.Token) error {
			t = sent
			return nil
		})
		return t, err
	})
	s := l.login(u, nil)
	l.login(u, nil)
	l.do("As: EndSession", func() error {
		s.ended = true
		return admin.EndSession(ctx, u.id, s.id)
	})
	l.do("As: EndSessions", func() error {
		u.gen++
		return admin.EndSessions(ctx, u.id)
	})
}

// every makes each change that a transaction can make, in one.
func (l *lane) every() {
	u, victim, mover := l.insertUser(), l.createUser(false), l.createUser(false)
	old, fresh, doomed := l.createGroup(), l.createGroup(), l.createGroup()
	l.member(u, old, true)
	l.member(mover, old, true)
	l.grant(victim, l.w.perms[0], "", true)
	gone := latchbolt.Perm(l.app() + ".gone")
	if !l.w.undef[gone] {
		l.define("gone")
		l.grant(mover, gone, "", true)
	}
	given, row := l.newRow("given"), l.newRow("row")
	first, detail := l.name("first"), l.name("all")
	brought := l.newUser()
	brought.password = ""
	l.do("Update: every change", func() error {
		err := l.eng.Update(l.t.Context(), func(tx *latchbolt.Tx) error {
			inserted, user := row, brought.User
			err := errors.Join(tx.Define(given), tx.InsertPermission(&inserted),
				tx.InsertBroughtUser(&user, latchbolt.PasswordHash{}))
			brought.id = user.ID
			return errors.Join(err,
				tx.Grant(u.id, given.Perm()), tx.GrantID(fresh.id, inserted.ID, "o1"), tx.Grant(u.id, row.Perm()), tx.Revoke(u.id, row.Perm()),
				tx.RenameGroup(old.id, detail), tx.RemoveFromGroup(u.id, old.id), tx.AddToGroup(u.id, fresh.id), tx.SetGroups(mover.id, fresh.id),
				tx.UpdateUser(u.id, func(u *latchbolt.User) error { u.FirstName = first; return nil }),
				tx.SetPasswordHash(u.id, latchbolt.PasswordHash{}),
				tx.DeleteUser(victim.id), tx.DeleteGroup(doomed.id), l.undefineIn(tx, gone),
				tx.Record(latchbolt.AuditEntry{Action: recordAction, Detail: detail}))
		})
		l.w.users, l.w.perms, l.w.records = append(l.w.users, brought), append(l.w.perms, given.Perm(), row.Perm()), append(l.w.records, detail)
		u.grants[grant{given.Perm(), ""}], fresh.grants[grant{row.Perm(), "o1"}] = true, true
		old.names = append(old.names, detail)
		delete(u.groups, old)
		u.groups[fresh] = true
		clear(mover.groups)
		mover.groups[fresh] = true
		u.FirstName = first
		u.newPassword(l)
		u.password = ""
		victim.gone, doomed.gone, l.w.undef[gone] = true, true, true
		return err
	})
}

// undefineIn withdraws a permission, which is there the first time only.
func (l *lane) undefineIn(tx *latchbolt.Tx, p latchbolt.Perm) error {
	if l.w.undef[p] {
		return nil
	}
	return tx.Undefine(p)
}
