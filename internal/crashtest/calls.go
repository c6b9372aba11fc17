//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A clock is the workload's time. It moves on by a microsecond with each look, so that nothing
// happens at the same time, and otherwise only when it is told.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return epoch.Add(time.Duration(c.offset.Add(int64(time.Microsecond))))
}
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// recordAction is the action of the program's own entries in the audit trail.
const recordAction = "crashtest"

// name returns a text that no other call of any lane uses.
func (l *lane) name(kind string) string { return fmt.Sprintf("%s-%d-%d", kind, l.number, len(l.calls)) }

// The calls below make one change each, to the engine and then to the model.

// app is the name of the lane's permissions up to the dot.
func (l *lane) app() string { return fmt.Sprintf("lane%d", l.number) }

func (l *lane) newPerm(codename string) latchbolt.Perm {
	return latchbolt.Perm(l.app() + "." + codename)
}

// newRow returns a permission that is not defined yet.
func (l *lane) newRow(kind string) latchbolt.Permission {
	return latchbolt.Permission{App: l.app(), Codename: l.name(kind), Name: kind}
}

func (l *lane) define(codename string) {
	p := l.newPerm(codename)
	l.do("Define", func() error {
		return l.eng.Define(l.t.Context(), latchbolt.Permission{App: p.App(), Codename: codename, Name: codename})
	})
	l.w.perms = append(l.w.perms, p)
}

func (l *lane) defineModel() {
	app := fmt.Sprintf("models%d", l.number)
	l.do("DefineModel", func() error {
		l.w.perms = append(l.w.perms, latchbolt.Perm(app+".add_book"))
		return l.eng.DefineModel(l.t.Context(), app, "book")
	})
}

func (l *lane) undefine(p latchbolt.Perm) {
	l.do("Undefine", func() error {
		err := l.eng.Undefine(l.t.Context(), p)
		l.w.undef[p] = true
		return err
	})
}

func (l *lane) createGroup() *group {
	g := &group{names: []string{l.name("group")}, grants: make(map[grant]bool)}
	l.do("CreateGroup", func() (err error) {
		g.id, err = l.eng.CreateGroup(l.t.Context(), g.names[0])
		l.w.groups = append(l.w.groups, g)
		return err
	})
	return g
}

func (l *lane) renameGroup(g *group) {
	name := l.name("renamed")
	l.do("RenameGroup", func() error {
		g.names = append(g.names, name)
		return l.eng.RenameGroup(l.t.Context(), g.id, name)
	})
}

func (l *lane) deleteGroup(g *group) {
	l.do("DeleteGroup", func() error {
		g.gone = true
		for _, u := range l.w.users {
			delete(u.groups, g)
		}
		return l.eng.DeleteGroup(l.t.Context(), g.id)
	})
}

// newUser returns a user of the model that is not stored yet.
func (l *lane) newUser() *user {
	name := l.name("user")
	u := &user{User: latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada"},
		password: l.name("password"), groups: make(map[*group]bool), grants: make(map[grant]bool)}
	u.names, u.mails = []string{name}, []string{u.Email}
	return u
}

func (l *lane) createUser(super bool) *user {
	u := l.newUser()
	u.Superuser, u.Staff = super, super
	l.do("CreateUser", func() error {
		stored := u.User
		err := l.eng.CreateUser(l.t.Context(), &stored, u.password)
		u.id = stored.ID
		l.w.users = append(l.w.users, u)
		return err
	})
	return u
}

// insertUser stores a user in groups, whose hash is to be replaced at the next login.
func (l *lane) insertUser(gs ...*group) *user {
	u := l.newUser()
	u.weak = true
	l.do("InsertUser", func() error {
		encoded, err := latchbolt.PBKDF2SHA256{Iterations: 1}.Hash(u.password)
		if err != nil {
			return err
		}
		h, err := latchbolt.ParsePasswordHash(encoded)
		if err != nil {
			return err
		}
		stored := u.User
		for _, g := range gs {
			u.groups[g] = true
			stored.Groups = append(stored.Groups, g.id)
		}
		err = l.eng.InsertUser(l.t.Context(), &stored, h)
		u.id = stored.ID
		l.w.users = append(l.w.users, u)
		return err
	})
	return u
}

func (l *lane) updateUser(u *user, name string, change func(*latchbolt.User)) {
	l.do("UpdateUser: "+name, func() error {
		was := u.Inactive
		change(&u.User)
		if u.Inactive && !was {
			u.gen++
		}
		u.names, u.mails = append(u.names, u.Username), append(u.mails, u.Email)
		return l.eng.UpdateUser(l.t.Context(), u.id, func(stored *latchbolt.User) error {
			change(stored)
			return nil
		})
	})
}

func (l *lane) deleteUser(u *user) {
	l.do("DeleteUser", func() error {
		u.gone = true
		return l.eng.DeleteUser(l.t.Context(), u.id)
	})
}

func (l *lane) member(u *user, g *group, in bool) {
	l.do(fmt.Sprintf("member %v", in), func() error {
		if in {
			u.groups[g] = true
			return l.eng.AddToGroup(l.t.Context(), u.id, g.id)
		}
		delete(u.groups, g)
		return l.eng.RemoveFromGroup(l.t.Context(), u.id, g.id)
	})
}

func (l *lane) setGroups(u *user, gs ...*group) {
	l.do("SetGroups", func() error {
		clear(u.groups)
		var ids []latchbolt.GroupID
		for _, g := range gs {
			u.groups[g] = true
			ids = append(ids, g.id)
		}
		return l.eng.SetGroups(l.t.Context(), u.id, ids...)
	})
}

// grant gives or takes a permission; to is a *user or a *group.
func (l *lane) grant(to any, p latchbolt.Perm, o latchbolt.Object, give bool) {
	var s latchbolt.Subject
	var m map[grant]bool
	switch to := to.(type) {
	case *user:
		s, m = to.id, to.grants
	case *group:
		s, m = to.id, to.grants
	}
	var objects []latchbolt.Object
	if o != "" {
		objects = append(objects, o)
	}
	l.do(fmt.Sprintf("grant %v", give), func() error {
		if give {
			m[grant{p, o}] = true
			return l.eng.Grant(l.t.Context(), s, p, objects...)
		}
		delete(m, grant{p, o})
		return l.eng.Revoke(l.t.Context(), s, p, objects...)
	})
}

// authenticate proves a user, which forgives failures and replaces a weak hash.
func (l *lane) authenticate(u *user) {
	l.do("Authenticate", func() error {
		_, err := l.eng.Authenticate(l.t.Context(), latchbolt.Password{Username: u.Username, Password: u.password})
		if err == nil {
			_, _, err = l.eng.Throttled(l.t.Context(), u.id) // waits for what is written beside
		}
		u.failures = 0
		if u.weak {
			u.weak, u.hash = false, u.hash+1
		}
		return err
	}, "fails/", "token/")
}

func (l *lane) wrongPassword(u *user) {
	l.do("wrong password", func() error {
		_, err := l.eng.Authenticate(l.t.Context(), latchbolt.Password{Username: u.Username, Password: "wrong"})
		if !errors.Is(err, latchbolt.ErrCredentials) {
			return fmt.Errorf("a wrong password gives %w", err)
		}
		u.failures++
		_, _, err = l.eng.Throttled(l.t.Context(), u.id)
		return err
	})
}

func (l *lane) unlock(u *user) {
	l.do("Unlock", func() error {
		u.failures = 0
		return l.eng.Unlock(l.t.Context(), u.id)
	})
}

// newPassword makes the model follow a change of password.
func (u *user) newPassword(l *lane) string {
	u.old = append(u.old, u.password)
	u.password = l.name("changed")
	u.gen++
	u.hash++
	u.weak = false
	return u.password
}

func (l *lane) setPassword(u *user) {
	l.do("SetPassword", func() error { return l.eng.SetPassword(l.t.Context(), u.id, u.newPassword(l)) })
}

// withdrawPassword makes the password unusable.
func (l *lane) withdrawPassword(u *user) {
	l.do("SetPasswordHash", func() error {
		u.newPassword(l)
		u.password = ""
		return l.eng.SetPasswordHash(l.t.Context(), u.id, latchbolt.PasswordHash{})
	})
}

func (l *lane) changePassword(s *session) {
	l.authenticate(s.user) // so that the call has nothing to forgive and to replace
	l.do("ChangePassword", func() error {
		old := s.user.password
		next := s.user.newPassword(l)
		return l.rotated(s, func(n *session) { n.gen = s.user.gen })(l.eng.ChangePassword(l.t.Context(), s.token, old, next))
	})
}

func (l *lane) issue(u *user, purpose string) *oneTime {
	return l.issued(u, purpose, "IssueToken "+purpose, func() (latchbolt.Token, error) {
		if purpose == latchbolt.PurposeReset {
			return l.eng.ResetToken(l.t.Context(), u.id)
		}
		return l.eng.IssueToken(l.t.Context(), latchbolt.OneTimeRequest{User: u.id, Purpose: purpose, Data: "d"})
	})
}

// issued takes a one-time token into the model, that a call gives.
func (l *lane) issued(u *user, purpose, name string, issue func() (latchbolt.Token, error)) *oneTime {
	o := &oneTime{user: u, purpose: purpose, state: u.state(), expires: l.clock.now().Add(time.Hour)}
	l.do(name, func() (err error) {
		for _, other := range l.w.tokens {
			other.used = other.used || other.user == u && other.purpose == purpose
		}
		o.token, err = issue()
		l.w.tokens = append(l.w.tokens, o)
		return err
	})
	return o
}

func (l *lane) redeem(o *oneTime) {
	l.do("RedeemToken", func() error {
		o.used = true
		detail := l.name("redeemed")
		l.w.records = append(l.w.records, detail)
		return l.eng.RedeemToken(l.t.Context(), o.purpose, o.token, func(tx *latchbolt.Tx, _ *latchbolt.User, _ string) error {
			return tx.Record(latchbolt.AuditEntry{Action: recordAction, Detail: detail})
		})
	})
}

func (l *lane) resetPassword(o *oneTime) {
	l.do("ResetPassword", func() error {
		o.used = true
		o.user.failures = 0
		_, err := l.eng.ResetPassword(l.t.Context(), o.token, o.user.newPassword(l))
		return err
	})
}

func (l *lane) record() {
	l.do("Record", func() error {
		detail := l.name("entry")
		l.w.records = append(l.w.records, detail)
		return l.eng.Record(l.t.Context(), latchbolt.AuditEntry{Action: recordAction, Detail: detail})
	})
}

// many makes many changes in one transaction.
func (l *lane) many() *user {
	u, g := l.newUser(), &group{names: []string{l.name("tx")}, grants: make(map[grant]bool)}
	u.password = ""
	p := l.w.perms[0]
	key := l.name("cookie")
	s := &session{user: u, key: key, values: make(map[string]string), created: l.clock.now(), expires: l.clock.now().Add(300 * time.Hour)}
	l.do("Update", func() error {
		err := l.eng.Update(l.t.Context(), func(tx *latchbolt.Tx) error {
			stored, row := u.User, latchbolt.Group{Name: g.names[0]}
			err := errors.Join(tx.InsertGroup(&row), tx.InsertUser(&stored, latchbolt.PasswordHash{}))
			u.id, g.id = stored.ID, row.ID
			return errors.Join(err, tx.AddToGroup(u.id, g.id), tx.Grant(g.id, p, "o1"),
				tx.InsertSession(key, latchbolt.BroughtSession{User: u.id, Backend: "password", Expires: s.expires}),
				tx.Record(latchbolt.AuditEntry{Action: recordAction, Detail: key}))
		})
		u.groups[g], g.grants[grant{p, "o1"}] = true, true
		l.w.users, l.w.groups, l.w.records = append(l.w.users, u), append(l.w.groups, g), append(l.w.records, key)
		token, parseErr := latchbolt.ParseToken(key)
		s.token = token
		for found, listErr := range l.eng.Sessions(l.t.Context(), u.id) {
			s.id, err = found.ID, errors.Join(err, listErr)
		}
		l.w.sessions = append(l.w.sessions, s)
		return errors.Join(err, parseErr)
	})
	return u
}

// load loads some users with all that belongs to them.
func (l *lane) load(n int, in *group) {
	g := &group{names: []string{l.name("loaded")}, grants: make(map[grant]bool)}
	p, defined, row := l.w.perms[0], l.newRow("defined"), l.newRow("row")
	detail := l.name("loading")
	l.do("Load", func() error {
		var loaded []*user
		err := l.eng.Load(l.t.Context(), latchbolt.LoadOptions{}, func(ld *latchbolt.Loader) error {
			inserted, made := row, latchbolt.Group{Name: g.names[0]}
			if err := errors.Join(ld.InsertPermission(&inserted), ld.InsertGroup(&made),
				ld.Define(defined), ld.Grant(in.id, p, "loaded"), ld.Record(latchbolt.AuditEntry{Action: recordAction, Detail: detail})); err != nil {
				return err
			}
			g.id = made.ID
			for i := range n {
				u := l.newUser()
				u.Username, u.password = fmt.Sprintf("%s-%d", u.Username, i), ""
				u.Email = u.Username + "@example.org"
				u.names, u.mails = []string{u.Username}, []string{u.Email}
				stored := u.User
				stored.Groups = []latchbolt.GroupID{in.id, g.id}
				insert := ld.InsertUser
				if i%2 == 1 {
					insert = ld.InsertBroughtUser
				}
				if err := insert(&stored, latchbolt.PasswordHash{}); err != nil {
					return err
				}
				if err := errors.Join(ld.Grant(stored.ID, p, "o1"), ld.GrantID(stored.ID, inserted.ID)); err != nil {
					return err
				}
				u.id, u.groups[in], u.groups[g], u.grants[grant{p, "o1"}], u.grants[grant{row.Perm(), ""}] = stored.ID, true, true, true, true
				loaded = append(loaded, u)
			}
			return nil
		})
		in.grants[grant{p, "loaded"}] = true
		l.w.users, l.w.groups = append(l.w.users, loaded...), append(l.w.groups, g)
		l.w.perms, l.w.records = append(l.w.perms, defined.Perm(), row.Perm()), append(l.w.records, detail)
		return err
	})
}

// failingLoad is a load that fails at its end.
func (l *lane) failingLoad(taken *user) {
	l.do("failing Load", func() error {
		err := l.eng.Load(l.t.Context(), latchbolt.LoadOptions{}, func(ld *latchbolt.Loader) error {
			fresh := l.newUser().User
			fresh.Username += "-unloaded"
			again := latchbolt.User{Username: taken.Username}
			return errors.Join(ld.InsertUser(&fresh, latchbolt.PasswordHash{}), ld.InsertUser(&again, latchbolt.PasswordHash{}))
		})
		if !errors.Is(err, latchbolt.ErrExists) {
			return fmt.Errorf("a failing Load gives %w", err)
		}
		return nil
	})
}

// failing is a transaction that fails after it wrote.
func (l *lane) failing() {
	l.do("failing Update", func() error {
		errWanted := errors.New("wanted")
		err := l.eng.Update(l.t.Context(), func(tx *latchbolt.Tx) error {
			stored := l.newUser().User
			return errors.Join(tx.InsertUser(&stored, latchbolt.PasswordHash{}), errWanted)
		})
		if !errors.Is(err, errWanted) {
			return fmt.Errorf("a failing Update gives %w", err)
		}
		return nil
	})
}

func (l *lane) sweep() {
	l.do("Sweep", func() error {
		_, err := l.eng.Sweep(l.t.Context())
		return err
	})
}

func (l *lane) compact() {
	l.do("Compact", func() error {
		_, _, err := l.eng.Compact(l.t.Context())
		return err
	})
}

// backupName is the name of the backup beside the engine's file.
const backupName = "backup.db"

func (l *lane) backup(replace bool) {
	l.do("Backup", func() error {
		path := filepath.Join(l.dir, backupName)
		if err := l.eng.Backup(l.t.Context(), path, replace); err != nil {
			return err
		}
		var err error
		l.w.backup, err = contentOf(path)
		return err
	})
}

// later moves the clock on.
func (l *lane) later(d time.Duration) {
	l.clock.advance(d)
	l.do("time goes by", func() error { return nil })
}

// chance picks one of some that are fit for a call, or the zero value.
func chance[T any](rng *rand.Rand, all []T, fit func(T) bool) (picked T) {
	n := 0
	for _, v := range all {
		if !fit(v) {
			continue
		}
		if n++; rng.IntN(n) == 0 {
			picked = v
		}
	}
	return picked
}
