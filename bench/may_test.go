package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	casbin2 "github.com/casbin/casbin/v2"
	model2 "github.com/casbin/casbin/v2/model"
	casbin3 "github.com/casbin/casbin/v3"
	model3 "github.com/casbin/casbin/v3/model"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// Rules are a size of casbin's own benchmarks of RBAC: users in one group each, and one permission granted to each group.
type rules struct{ users, groups, perms int }

var ruleSizes = []rules{{1_000, 100, 10}, {10_000, 1_000, 100}, {100_000, 10_000, 1_000}}

func (s rules) count() int            { return s.users + s.groups }
func (s rules) groupOf(user int) int  { return user * s.groups / s.users }
func (s rules) permOfGroup(g int) int { return g * s.perms / s.groups }
func (s rules) permOf(user int) int   { return s.permOfGroup(s.groupOf(user)) }
func codename(perm int) string        { return fmt.Sprintf("perm%d", perm) }

// A question is one of those that are asked, of random users; every other one has the answer yes.
type question struct {
	user, perm int
	want       bool
}

func (s rules) questions() []question {
	all := make([]question, 64)
	for i := range all {
		user := random(i, s.users)
		all[i] = question{user, s.permOf(user), true}
		if i%2 == 1 {
			all[i].perm, all[i].want = (all[i].perm+1)%s.perms, false
		}
	}
	return all
}

// A permPeer has the rules and answers whether a user has a permission.
type permPeer struct {
	name string
	make func(t testing.TB, s rules) (may func(user, perm int) bool)
}

var permPeers = []permPeer{
	{name: "map", make: mapMay},
	{name: "casbin_v3", make: casbinMay(newCasbin3)},
	{name: "casbin_v2", make: casbinMay(newCasbin2)},
	{name: "casbin_v3_cached", make: casbinMay(newCasbin3Cached)},
	{name: "casbin_v2_cached", make: casbinMay(newCasbin2Cached)},
	{name: "sqlite", make: sqliteMay},
	{name: "django", make: djangoMay},
}

// BenchmarkMay is the question before something is done: does this user have that permission? Each peer is asked in turn with latchbolt.
func BenchmarkMay(b *testing.B) {
	for _, s := range ruleSizes {
		own := latchboltMay(b, s)
		qs := s.questions()
		ask := func(may func(user, perm int) bool) side {
			warm := each(func(i int) { q := qs[i%64]; may(q.user, q.perm) })
			warm(64)
			return warm
		}
		for _, p := range permPeers {
			b.Run(p.name+"/"+sized("rules", s.count()), func(b *testing.B) {
				if p.name == "django" {
					d := djangoRules(b, s)
					besideDjango(b, 20, d, "has_perm", ask(own))
					return
				}
				beside(b, 1, ask(p.make(b, s)), ask(own))
			})
		}
		b.Run("django_again/"+sized("rules", s.count()), func(b *testing.B) {
			besideDjango(b, 1000, djangoRules(b, s), "has_perm_again", ask(own))
		})
	}
}

// TestPermPeersAnswer makes sure that what is measured is what is meant.
func TestPermPeersAnswer(t *testing.T) {
	s := ruleSizes[0]
	for _, p := range append(permPeers, permPeer{name: "latchbolt", make: latchboltMay}) {
		t.Run(p.name, func(t *testing.T) {
			may := p.make(t, s)
			for _, q := range s.questions() {
				if got := may(q.user, q.perm); got != q.want {
					t.Errorf("may user %d do %d: %v, want %v", q.user, q.perm, got, q.want)
				}
			}
		})
	}
}

// latchboltMay has everybody's identity at hand, as a request has.
func latchboltMay(t testing.TB, s rules) func(user, perm int) bool {
	ctx := context.Background()
	eng, err := latchbolt.Open(filepath.Join(t.TempDir(), "app.db"), quiet(latchbolt.Config{Create: true, CacheUsers: 2 * s.users}))
	check(t, err)
	t.Cleanup(func() { check(t, eng.Close()) })
	h, err := latchbolt.ParsePasswordHash(passwordHash)
	check(t, err)
	ids := make([]latchbolt.UserID, s.users)
	perms := make([]latchbolt.Perm, s.perms)
	check(t, eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		for i := range perms {
			perms[i] = latchbolt.Perm("app." + codename(i))
			if err := l.Define(latchbolt.Permission{App: "app", Codename: codename(i)}); err != nil {
				return err
			}
		}
		groups := make([]latchbolt.GroupID, s.groups)
		for i := range groups {
			g := latchbolt.Group{Name: fmt.Sprint("group ", i)}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			if err := l.Grant(g.ID, perms[s.permOfGroup(i)]); err != nil {
				return err
			}
			groups[i] = g.ID
		}
		for i := range ids {
			u := latchbolt.User{Username: growth.Username(i), Groups: groups[s.groupOf(i) : s.groupOf(i)+1]}
			if err := l.InsertUser(&u, h); err != nil {
				return err
			}
			ids[i] = u.ID
		}
		return nil
	}))
	known := make([]latchbolt.Identity, s.users)
	return func(user, perm int) bool {
		if known[user] == (latchbolt.Identity{}) {
			id, err := eng.Identity(ctx, ids[user])
			check(t, err)
			known[user] = id
		}
		ok, err := eng.HasPerm(ctx, known[user], perms[perm])
		check(t, err)
		return ok
	}
}

func mapMay(_ testing.TB, s rules) func(user, perm int) bool {
	var mu sync.RWMutex
	all := make([]map[string]bool, s.users)
	names := make([]string, s.perms)
	for i := range names {
		names[i] = "app." + codename(i)
	}
	for i := range all {
		all[i] = map[string]bool{names[s.permOf(i)]: true}
	}
	return func(user, perm int) bool {
		mu.RLock()
		defer mu.RUnlock()
		return all[user][names[perm]]
	}
}

// An enforcer is what the versions of casbin have in common.
type enforcer interface {
	Enforce(rvals ...any) (bool, error)
	AddPolicies(rules [][]string) (bool, error)
	AddGroupingPolicies(rules [][]string) (bool, error)
	DeleteRoleForUser(user, role string, domain ...string) (bool, error)
}

const rbacModel = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`

func newCasbin2(t testing.TB) enforcer {
	m, err := model2.NewModelFromString(rbacModel)
	check(t, err)
	e, err := casbin2.NewEnforcer(m)
	check(t, err)
	return e
}

func newCasbin2Cached(t testing.TB) enforcer {
	m, err := model2.NewModelFromString(rbacModel)
	check(t, err)
	e, err := casbin2.NewCachedEnforcer(m)
	check(t, err)
	return e
}

func newCasbin3(t testing.TB) enforcer {
	m, err := model3.NewModelFromString(rbacModel)
	check(t, err)
	e, err := casbin3.NewEnforcer(m)
	check(t, err)
	return e
}

func newCasbin3Cached(t testing.TB) enforcer {
	m, err := model3.NewModelFromString(rbacModel)
	check(t, err)
	e, err := casbin3.NewCachedEnforcer(m)
	check(t, err)
	return e
}

func casbinMay(newEnforcer func(testing.TB) enforcer) func(testing.TB, rules) func(user, perm int) bool {
	return func(t testing.TB, s rules) func(user, perm int) bool {
		e := newEnforcer(t)
		var policies, groupings [][]string
		for g := range s.groups {
			policies = append(policies, []string{fmt.Sprint("group", g), codename(s.permOfGroup(g)), "do"})
		}
		users := make([]string, s.users)
		for i := range users {
			users[i] = growth.Username(i)
			groupings = append(groupings, []string{users[i], fmt.Sprint("group", s.groupOf(i))})
		}
		_, err := e.AddPolicies(policies)
		check(t, err)
		_, err = e.AddGroupingPolicies(groupings)
		check(t, err)
		return func(user, perm int) bool {
			ok, err := e.Enforce(users[user], codename(perm), "do")
			check(t, err)
			return ok
		}
	}
}

// TestCasbinCacheIsStale shows what is said of the figures of its cache: it goes on allowing what a role allowed that was taken away.
// The day this fails, the page has to say something else.
func TestCasbinCacheIsStale(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(testing.TB) enforcer
		want bool // what is answered after the role is gone
	}{
		{"v2", newCasbin2, false}, {"v3", newCasbin3, false},
		{"v2 cached", newCasbin2Cached, true}, {"v3 cached", newCasbin3Cached, true},
	} {
		e := c.make(t)
		_, err := e.AddPolicies([][]string{{"editors", "post", "edit"}})
		check(t, err)
		_, err = e.AddGroupingPolicies([][]string{{"ada", "editors"}})
		check(t, err)
		if ok, err := e.Enforce("ada", "post", "edit"); !ok || err != nil {
			t.Errorf("%s: an editor may not edit: %v", c.name, err)
		}
		if removed, err := e.DeleteRoleForUser("ada", "editors"); !removed || err != nil {
			t.Errorf("%s: removing the role: %v, %v", c.name, removed, err)
		}
		if ok, err := e.Enforce("ada", "post", "edit"); ok != c.want || err != nil {
			t.Errorf("%s: after the role was taken away: %v, %v; the page says %v", c.name, ok, err, c.want)
		}
	}
}

func djangoRules(t testing.TB, s rules) *djangoProcess {
	d := startDjango(t)
	d.ask("fill %d %d %d", s.users, s.groups, s.perms)
	return d
}

func djangoMay(t testing.TB, s rules) func(user, perm int) bool {
	d := djangoRules(t, s)
	return func(user, perm int) bool { return d.ask("may %d %d", user, perm) == "True" }
}

// djangoSessions are as many as there are users.
func djangoSessions(t testing.TB) func(int) string {
	d := djangoRules(t, rules{usersInUse, 10, 10})
	return func(i int) string { return d.ask("who %d", i%usersInUse) }
}
