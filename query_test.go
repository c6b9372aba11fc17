package latchbolt_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// A crowd is a few hundred users with groups and grants, and what is known of them.
type crowd struct {
	eng    *latchbolt.Engine
	users  []*latchbolt.User
	groups []latchbolt.GroupID
	own    map[latchbolt.UserID]map[latchbolt.Object]bool  // grants of blog.add
	group  map[latchbolt.GroupID]map[latchbolt.Object]bool // grants of blog.add
	rnd    *rand.Rand
}

func newCrowd(t testing.TB, n int, cfg *latchbolt.Config) *crowd {
	c := &crowd{eng: open(t, cfg), rnd: rand.New(rand.NewPCG(1, uint64(n))),
		own:   make(map[latchbolt.UserID]map[latchbolt.Object]bool),
		group: make(map[latchbolt.GroupID]map[latchbolt.Object]bool)}
	ctx := t.Context()
	must(t, "filling", c.eng.Update(ctx, func(tx *latchbolt.Tx) error {
		if err := tx.Define(latchbolt.Permission{App: "blog", Codename: "add"}, latchbolt.Permission{App: "blog", Codename: "add", Model: "x"},
			latchbolt.Permission{App: "blog", Codename: "none"}); err != nil {
			return err
		}
		for i := range 5 {
			g := latchbolt.Group{Name: fmt.Sprint("g", i)}
			if err := tx.InsertGroup(&g); err != nil {
				return err
			}
			c.groups = append(c.groups, g.ID)
		}
		for i := range n {
			name := []string{"ada", "Bob", "césar", "ЖАННА", "dørte"}[c.rnd.IntN(5)] + fmt.Sprint(c.rnd.IntN(n*10), ".", i)
			u := &latchbolt.User{Username: name, Inactive: c.rnd.IntN(4) == 0, Staff: c.rnd.IntN(3) == 0, Superuser: c.rnd.IntN(8) == 0}
			if c.rnd.IntN(2) == 0 {
				u.Email = fmt.Sprintf("%d@Example.COM", c.rnd.IntN(100))
			}
			if c.rnd.IntN(3) == 0 {
				u.FirstName, u.LastName = "Straße", "O'Hara"
			}
			for _, g := range c.groups {
				if c.rnd.IntN(4) == 0 {
					u.Groups = append(u.Groups, g)
				}
			}
			if err := tx.InsertUser(u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
			c.users = append(c.users, u)
			if c.rnd.IntN(6) == 0 {
				o := []latchbolt.Object{"", "post:1", "post:2"}[c.rnd.IntN(3)]
				c.own[u.ID] = map[latchbolt.Object]bool{o: true}
				if err := tx.Grant(u.ID, "blog.add", objects(o)...); err != nil {
					return err
				}
			}
		}
		for i, o := range []latchbolt.Object{"", "post:1"} {
			c.group[c.groups[i]] = map[latchbolt.Object]bool{o: true}
			if err := tx.Grant(c.groups[i], "blog.add", objects(o)...); err != nil {
				return err
			}
		}
		return nil
	}))
	return c
}

func objects(o latchbolt.Object) []latchbolt.Object {
	if o == "" {
		return nil
	}
	return []latchbolt.Object{o}
}

func passes(f latchbolt.Filter, v bool) bool {
	return f == latchbolt.Any || (f == latchbolt.Only) == v
}

// naive answers a query by looking at everybody.
func (c *crowd) naive(q latchbolt.UserQuery) []string {
	holds := func(u *latchbolt.User) bool {
		if u.Superuser && !u.Inactive && !q.NoSuperusers {
			return true
		}
		if q.Perm != "blog.add" {
			return false
		}
		fits := func(m map[latchbolt.Object]bool) bool { return m[""] || q.Object != "" && m[q.Object] }
		return fits(c.own[u.ID]) || slices.ContainsFunc(u.Groups, func(g latchbolt.GroupID) bool { return fits(c.group[g]) })
	}
	var picked []*latchbolt.User
	for _, u := range c.users {
		text := strings.ReplaceAll(strings.ToLower(q.Text), "ß", "ss")
		occurs := func(in string) bool {
			return strings.Contains(strings.ReplaceAll(strings.ToLower(in), "ß", "ss"), text)
		}
		if passes(q.Active, !u.Inactive) && passes(q.Staff, u.Staff) && passes(q.Superuser, u.Superuser) &&
			(q.Group == 0 || slices.Contains(u.Groups, q.Group)) &&
			strings.HasPrefix(strings.ToLower(u.Username), strings.ToLower(q.Prefix)) &&
			slices.ContainsFunc([]string{u.Username, u.Email, u.FirstName, u.LastName}, occurs) &&
			(q.Perm == "" || holds(u)) {
			picked = append(picked, u)
		}
	}
	slices.SortFunc(picked, func(a, b *latchbolt.User) int {
		if q.Order == latchbolt.OrderByName {
			return strings.Compare(strings.ToLower(a.Username), strings.ToLower(b.Username))
		}
		return cmp.Compare(a.ID, b.ID)
	})
	var names []string
	after := q.After == nil
	for _, u := range picked {
		if !after {
			if q.Order == latchbolt.OrderByName {
				after = strings.ToLower(u.Username) > strings.ToLower(q.After.Username)
			} else {
				after = u.ID > q.After.ID
			}
		}
		if after && (q.Limit == 0 || len(names) < q.Limit) {
			names = append(names, u.Username)
		}
	}
	return names
}

func collect(t testing.TB, eng *latchbolt.Engine, q latchbolt.UserQuery) []*latchbolt.User {
	t.Helper()
	var all []*latchbolt.User
	for u, err := range eng.Users(t.Context(), q) {
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		all = append(all, u)
	}
	return all
}

func usernames(users []*latchbolt.User) []string {
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	return names
}

func (c *crowd) check(t *testing.T, what string, q latchbolt.UserQuery) int {
	t.Helper()
	got, want := usernames(collect(t, c.eng, q)), c.naive(q)
	if !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Errorf("%s: %+v: got %d users, want %d; they differ from number %d on", what, q, len(got), len(want), i)
	}
	return len(want)
}

func TestUserQueryFiltersAgreeWithTheModel(t *testing.T) {
	c := newCrowd(t, 400, nil)
	for _, e := range []struct {
		what string
		q    latchbolt.UserQuery
	}{
		{"everybody", latchbolt.UserQuery{}},
		{"text in the name", latchbolt.UserQuery{Text: "ADA1"}},
		{"text in the address", latchbolt.UserQuery{Text: "7@EXAMPLE"}},
		{"text in the first name", latchbolt.UserQuery{Text: "strasse"}},
		{"text in the last name", latchbolt.UserQuery{Text: "o'h"}},
		{"text beyond ASCII", latchbolt.UserQuery{Text: "жанна"}},
		{"prefix", latchbolt.UserQuery{Prefix: "BOB1"}},
		{"prefix beyond ASCII", latchbolt.UserQuery{Prefix: "CÉ"}},
		{"active", latchbolt.UserQuery{Active: latchbolt.Only}},
		{"inactive", latchbolt.UserQuery{Active: latchbolt.Except}},
		{"staff", latchbolt.UserQuery{Staff: latchbolt.Only}},
		{"no staff", latchbolt.UserQuery{Staff: latchbolt.Except}},
		{"superusers", latchbolt.UserQuery{Superuser: latchbolt.Only}},
		{"others", latchbolt.UserQuery{Superuser: latchbolt.Except}},
		{"a group", latchbolt.UserQuery{Group: c.groups[2]}},
		{"a permission", latchbolt.UserQuery{Perm: "blog.add"}},
		{"a permission without superusers", latchbolt.UserQuery{Perm: "blog.add", NoSuperusers: true}},
		{"a permission for an object", latchbolt.UserQuery{Perm: "blog.add", Object: "post:1"}},
		{"a permission for an object without superusers", latchbolt.UserQuery{Perm: "blog.add", Object: "post:2", NoSuperusers: true}},
		{"a permission nobody has", latchbolt.UserQuery{Perm: "blog.none"}},
		{"a permission that is not defined", latchbolt.UserQuery{Perm: "blog.undefined"}},
	} {
		for _, order := range []latchbolt.Order{latchbolt.OrderByID, latchbolt.OrderByName} {
			e.q.Order = order
			if n := c.check(t, e.what, e.q); n == 0 {
				t.Errorf("%s: the model picks nobody: the entry shows nothing", e.what)
			}
		}
	}
	if got := collect(t, c.eng, latchbolt.UserQuery{Group: 12345}); got != nil {
		t.Errorf("a group that is not there: got %q", usernames(got))
	}
	if got := collect(t, c.eng, latchbolt.UserQuery{Perm: "blog.undefined", NoSuperusers: true}); got != nil {
		t.Errorf("a permission nobody can have: got %q", usernames(got))
	}
}

func TestUserQueryCombinationsAgreeWithTheModel(t *testing.T) {
	c := newCrowd(t, 300, nil)
	pick := func(from ...string) string { return from[c.rnd.IntN(len(from))] }
	filter := func() latchbolt.Filter { return latchbolt.Filter(max(c.rnd.IntN(6)-3, 0)) }
	for range 400 {
		q := latchbolt.UserQuery{
			Text: pick("", "", "a", "1", "strasse", "example"), Prefix: pick("", "", "", "b", "ADA", "d"),
			Active: filter(), Staff: filter(), Superuser: filter(),
			Perm: latchbolt.Perm(pick("", "", "blog.add", "blog.none")), Object: latchbolt.Object(pick("", "post:1", "post:2", "post:3")),
			NoSuperusers: c.rnd.IntN(2) == 0, Order: latchbolt.Order(c.rnd.IntN(2)), Limit: max(c.rnd.IntN(40)-20, 0),
		}
		if c.rnd.IntN(3) == 0 {
			q.Group = c.groups[c.rnd.IntN(len(c.groups))]
		}
		if c.rnd.IntN(3) == 0 {
			q.After = c.users[c.rnd.IntN(len(c.users))]
		}
		c.check(t, "combined", q)
	}
}

func TestUserQueryPagesJoinUp(t *testing.T) {
	c := newCrowd(t, 300, nil)
	for _, q := range []latchbolt.UserQuery{{}, {Order: latchbolt.OrderByName}, {Perm: "blog.add"},
		{Perm: "blog.add", Order: latchbolt.OrderByName}, {Group: c.groups[0], Active: latchbolt.Only, Order: latchbolt.OrderByName}} {
		want := c.naive(q)
		sizes := []int{1, 2, 3, 7, 50, len(want) - 1, len(want), len(want) + 1, 255, 256, 257, 1000}
		for _, size := range sizes {
			q.After, q.Limit = nil, size
			var got []string
			for {
				page := collect(t, c.eng, q)
				if len(page) > size {
					t.Fatalf("page of %d has %d", size, len(page))
				}
				got = append(got, usernames(page)...)
				if len(page) == 0 {
					break
				}
				last := page[len(page)-1]
				q.After = &latchbolt.User{ID: last.ID, Username: last.Username} // only these count
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v in pages of %d: got %d users, want %d", q, size, len(got), len(want))
			}
		}
	}
}

// More users than one transaction looks at: what a filter drops must not end the search.
func TestUserQueryGoesThroughMany(t *testing.T) {
	c := newCrowd(t, 5000, nil)
	for _, q := range []latchbolt.UserQuery{{Text: "4999"}, {Prefix: "ada", Text: ".49"}, {Text: "4999", Order: latchbolt.OrderByName},
		{Group: c.groups[3], Text: ".499"}, {Perm: "blog.add", Object: "post:1", Order: latchbolt.OrderByName, Limit: 700},
		{Perm: "blog.add", NoSuperusers: true, Active: latchbolt.Except}} {
		c.check(t, "many", q)
	}
}

func TestUserQueryCanRunTwice(t *testing.T) {
	c := newCrowd(t, 10, nil)
	for _, order := range []latchbolt.Order{latchbolt.OrderByID, latchbolt.OrderByName} {
		seq := c.eng.Users(t.Context(), latchbolt.UserQuery{Order: order})
		for range 2 {
			n := 0
			for _, err := range seq {
				must(t, "users", err)
				n++
			}
			if n != 10 {
				t.Errorf("got %d users, want 10", n)
			}
		}
	}
}

func TestIteratorsHoldNoTransaction(t *testing.T) {
	c := newCrowd(t, 300, nil)
	ctx := t.Context()
	eng := c.eng
	write := func() {
		t.Helper()
		_, err := eng.CreateGroup(ctx, fmt.Sprint("new", c.rnd.Uint64()))
		must(t, "writing inside a loop", err)
	}
	addUser(t, eng, "looped")
	s := login(t, eng, "looped")
	id, err := eng.SessionUser(ctx, s.Token)
	must(t, "session", err)
	for range 2 {
		for _, err := range eng.Users(ctx, latchbolt.UserQuery{Limit: 3}) {
			must(t, "users", err)
			write()
		}
	}
	n := 0
	for _, err := range eng.Groups(ctx) {
		must(t, "groups", err)
		if n++; n < 4 {
			write()
		}
	}
	for _, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		write()
	}
	for _, err := range eng.Members(ctx, c.groups[0]) {
		must(t, "members", err)
		write()
		break
	}
	for _, err := range eng.Sessions(ctx, id.ID()) {
		must(t, "sessions", err)
		write()
	}
	for _, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
		must(t, "audit", err)
		write()
		break
	}
}

// Users who are renamed, made and removed while a query runs may be missed, but none comes twice.
func TestUserQueryNeverYieldsAUserTwice(t *testing.T) {
	for _, order := range []latchbolt.Order{latchbolt.OrderByID, latchbolt.OrderByName} {
		c := newCrowd(t, 600, nil)
		ctx := t.Context()
		seen := make(map[latchbolt.UserID]bool)
		n := 0
		for u, err := range c.eng.Users(ctx, latchbolt.UserQuery{Order: order}) {
			must(t, "users", err)
			if seen[u.ID] {
				t.Fatalf("order %d: user %d came twice", order, u.ID)
			}
			seen[u.ID] = true
			if n++; n%50 != 0 {
				continue
			}
			must(t, "renaming", c.eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Username = fmt.Sprint("zzz", n) })))
			must(t, "inserting", c.eng.InsertUser(ctx, &latchbolt.User{Username: fmt.Sprint("new", n)}, latchbolt.PasswordHash{}))
			if victim := c.users[c.rnd.IntN(len(c.users))]; !victim.Superuser {
				_ = c.eng.DeleteUser(ctx, victim.ID) // may be gone already
			}
		}
		if n < 550 {
			t.Errorf("order %d: only %d users", order, n)
		}
	}
}

// A codename may hold dots, here as everywhere.
func TestUserQueryTakesPermissionsWithDots(t *testing.T) {
	eng := open(t, nil)
	define(t, eng, "wiki.publish.all", "wiki.publish")
	u := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	must(t, "grant", eng.Grant(t.Context(), u.ID, "wiki.publish.all"))
	for perm, want := range map[latchbolt.Perm]int{"wiki.publish.all": 1, "wiki.publish": 0, "wiki.publish.al": 0, "publish.all": 0, "all": 0} {
		if got := collect(t, eng, latchbolt.UserQuery{Perm: perm}); len(got) != want {
			t.Errorf("%s: got %q, want %d", perm, usernames(got), want)
		}
	}
}

// TestByNameWhateverTheNumber asks in the order of names for few, for some and for nearly all of many users, each of which
// goes another way, page by page and at once, and compares with what a loop over all of them picks.
func TestByNameWhateverTheNumber(t *testing.T) {
	const n = 19_000
	ctx := t.Context()
	eng := open(t, nil)
	every := map[string]int{"few": 97, "some": 5, "all": 1}
	names := make(map[string][]string) // that are to come
	must(t, "loading", eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		groups := make(map[string]latchbolt.GroupID)
		for name := range every {
			g := latchbolt.Group{Name: name}
			if err := errors.Join(l.InsertGroup(&g), l.Define(latchbolt.Permission{App: "app", Codename: name})); err != nil {
				return err
			}
			if err := l.Grant(g.ID, latchbolt.Perm("app."+name)); err != nil {
				return err
			}
			groups[name] = g.ID
		}
		for i := range n {
			u := latchbolt.User{Username: fmt.Sprintf("User%05d", i*7919%n), Superuser: i%1000 == 1, Inactive: i%2000 == 1}
			for name, k := range every {
				switch {
				case u.Superuser && !u.Inactive, i%k == 0:
					names[name] = append(names[name], u.Username)
				}
				if i%k == 0 && i%2 == 0 {
					u.Groups = append(u.Groups, groups[name])
				}
			}
			if u.Superuser && !u.Inactive {
				names["root"] = append(names["root"], u.Username)
			}
			if err := l.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
			for name, k := range every {
				if i%k == 0 && i%2 == 1 {
					if err := l.Grant(u.ID, latchbolt.Perm("app."+name)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
	for name, want := range names {
		slices.Sort(want)
		q := latchbolt.UserQuery{Perm: latchbolt.Perm("app." + name), Order: latchbolt.OrderByName}
		if name == "root" {
			q.Perm, q.Superuser, q.Active = "", latchbolt.Only, latchbolt.Only
		}
		var got, paged []string
		for u, err := range eng.Users(ctx, q) {
			must(t, "looking", err)
			got = append(got, u.Username)
		}
		q.Limit = 50
		for before := -1; len(paged) > before && len(paged) < 500; {
			before = len(paged)
			for u, err := range eng.Users(ctx, q) {
				must(t, "looking", err)
				paged = append(paged, u.Username)
				q.After = u
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d users, want %d, or another order", name, len(got), len(want))
		}
		if len(paged) < min(500, len(want)) || !slices.Equal(paged, want[:len(paged)]) {
			t.Errorf("%s: other users page by page: %d", name, len(paged))
		}
	}
}
