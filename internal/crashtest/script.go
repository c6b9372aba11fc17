//go:build unix

package crashtest

import (
	"math/rand/v2"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// script makes every call at least once.
func (l *lane) script() {
	l.define("add")
	l.define("change")
	l.define("publish")
	l.defineModel()
	staff, guests := l.createGroup(), l.createGroup()
	ada, root := l.createUser(false), l.createUser(true)
	eve := l.insertUser(staff, guests)
	l.scriptGrants(ada, eve, staff, guests)
	l.scriptSessions(ada, eve)
	l.scriptPasswords(ada, eve, root)
	l.scriptChanges(ada, eve, root, staff, guests)
}

// few makes some calls of each kind.
func (l *lane) few() {
	l.define("add")
	l.define("change")
	staff := l.createGroup()
	ada, eve := l.createUser(false), l.insertUser(staff)
	l.grant(ada, l.w.perms[0], "", true)
	l.grant(staff, l.w.perms[1], "o1", true)
	l.grant(ada, l.w.perms[0], "", false)
	l.member(ada, staff, true)
	l.logout(l.login(ada, nil))
	l.login(eve, nil)
	l.endSession(l.login(eve, nil))
	l.setPassword(eve)
}

func (l *lane) scriptGrants(ada, eve *user, staff, guests *group) {
	add, change, publish := l.w.perms[0], l.w.perms[1], l.w.perms[2]
	l.grant(ada, add, "", true)
	l.grant(ada, change, "o1", true)
	l.grant(staff, publish, "", true)
	l.grant(guests, change, "o1", true)
	l.member(ada, staff, true)
	l.setGroups(ada, guests)
	l.member(eve, staff, false)
	l.grant(ada, add, "", false)
	l.grant(ada, change, "o1", false)
	l.grant(guests, change, "o1", false)
	l.many()
	l.every()
	l.failing()
	l.record()
	l.undefine(publish)
}

func (l *lane) scriptSessions(ada, eve *user) {
	basket := l.anonymous()
	l.setValue(basket, "basket", "three apples")
	first := l.login(ada, basket)
	l.setValue(first, "theme", "dark")
	first = l.renew(first)
	l.nameSession(first)
	second, third := l.login(ada, nil), l.login(ada, nil)
	l.logout(second)
	l.endSession(third)
	l.setExpiry(first, 24*time.Hour)
	l.setExpiry(l.login(ada, nil), 0)
	long := l.login(eve, nil)
	l.setExpiry(long, 20*24*time.Hour)
	for range sessionLimit {
		l.login(ada, nil)
	}
	l.endOtherSessions(l.login(ada, nil))
	l.login(eve, nil)
	l.endSessions(eve)
	l.login(ada, l.login(eve, nil)) // another user at the same client
}

func (l *lane) scriptPasswords(ada, eve, root *user) {
	l.wrongPassword(ada)
	l.wrongPassword(ada)
	l.unlock(ada)
	l.wrongPassword(eve)
	here := l.login(eve, nil)
	l.setValue(here, "kept", "yes")
	l.changePassword(here)
	l.login(ada, nil)
	l.setPassword(ada)
	l.issue(ada, latchbolt.PurposeReset)
	l.resetPassword(l.issue(ada, latchbolt.PurposeReset))
	l.redeem(l.issue(eve, "confirm"))
	l.issue(eve, "invite")
	l.login(eve, nil) // which makes the invitation void
	l.issue(root, "invite")
	l.withdrawPassword(root)
}

func (l *lane) scriptChanges(ada, eve, root *user, staff, guests *group) {
	l.administer(root, eve, staff)
	name := l.name("other")
	l.updateUser(ada, "name", func(u *latchbolt.User) { u.Username = name })
	l.updateUser(ada, "address", func(u *latchbolt.User) { u.Email = name + "@example.com" })
	l.updateUser(ada, "promote", func(u *latchbolt.User) { u.Superuser = true })
	l.updateUser(root, "demote", func(u *latchbolt.User) { u.Superuser = false })
	l.login(eve, nil)
	l.updateUser(eve, "deactivate", func(u *latchbolt.User) { u.Inactive = true })
	l.updateUser(eve, "activate", func(u *latchbolt.User) { u.Inactive = false })
	l.renameGroup(guests)
	l.deleteGroup(staff)
	l.issue(eve, "invite")
	l.deleteUser(eve)
	l.createUser(false)
}

// random makes calls by chance.
func (l *lane) random(rng *rand.Rand, n int) {
	for range n {
		u := chance(rng, l.w.users, func(u *user) bool { return !u.gone && !u.Inactive && u.password != "" })
		s := chance(rng, l.w.sessions, func(s *session) bool { return s.living(l.clock.now()) && s.user != nil })
		g := chance(rng, l.w.groups, func(g *group) bool { return !g.gone })
		p := chance(rng, l.w.perms, func(p latchbolt.Perm) bool { return !l.w.undef[p] })
		o := chance(rng, l.w.tokens, func(o *oneTime) bool {
			return !o.used && !o.user.gone && !o.user.Inactive && o.state == o.user.state() && l.clock.now().Before(o.expires)
		})
		switch {
		case u == nil || rng.IntN(15) == 0 && len(l.w.users) < 30:
			l.createUser(rng.IntN(4) == 0)
		case g == nil:
			l.createGroup()
		case p == "":
			l.define(l.name("perm"))
		case rng.IntN(3) == 0:
			l.randomSession(rng, u, s)
		default:
			l.randomChange(rng, u, g, p, o)
		}
	}
}

func (l *lane) randomSession(rng *rand.Rand, u *user, s *session) {
	if s == nil {
		s = l.login(u, nil)
	}
	password := s.user.password != "" && !s.user.Inactive
	switch n := rng.IntN(11); {
	case n < 2:
		l.login(u, nil)
	case n == 2:
		l.login(u, s)
	case n == 3:
		l.logout(s)
	case n == 4:
		l.endSession(s)
	case n == 5:
		l.endOtherSessions(s)
	case n == 6:
		l.setValue(s, "k", l.name("v"))
	case n == 7:
		l.renew(s)
	case n == 8:
		l.setExpiry(s, time.Duration(rng.IntN(3)*200)*time.Hour)
	case n == 9 && password:
		l.changePassword(s)
	default:
		l.nameSession(s)
	}
}

func (l *lane) randomChange(rng *rand.Rand, u *user, g *group, p latchbolt.Perm, o *oneTime) {
	object := []latchbolt.Object{"", "o1"}[rng.IntN(2)]
	to := any(u)
	if rng.IntN(2) == 0 {
		to = g
	}
	supers := 0
	for _, x := range l.w.users {
		if x.Superuser && !x.Inactive && !x.gone {
			supers++
		}
	}
	last := u.Superuser && supers < 2
	switch n := rng.IntN(20); {
	case n < 3:
		l.grant(to, p, object, true)
	case n < 5:
		l.grant(to, p, object, false)
	case n < 7:
		l.member(u, g, rng.IntN(3) > 0)
	case n == 7:
		l.setGroups(u, g)
	case n == 8:
		l.wrongPassword(u)
	case n == 9:
		l.setPassword(u)
	case n == 10:
		l.issue(u, []string{latchbolt.PurposeReset, "confirm"}[rng.IntN(2)])
	case n == 11 && o != nil && o.purpose == latchbolt.PurposeReset:
		l.resetPassword(o)
	case n == 11 && o != nil:
		l.redeem(o)
	case n == 12 && !last:
		l.updateUser(u, "deactivate", func(u *latchbolt.User) { u.Inactive = true })
	case n == 13 && !last:
		l.deleteUser(u)
	case n == 14 && len(l.w.groups) > 3:
		l.deleteGroup(g)
	case n == 15:
		l.many()
	case n == 16 && !last:
		l.updateUser(u, "demote", func(u *latchbolt.User) { u.Superuser = false })
	case n == 17:
		l.every()
	case n == 18 && u.Superuser && u.Staff && len(l.w.perms) > 1:
		l.administer(u, l.createUser(false), g)
	default:
		l.record()
	}
}
