package latchbolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// load loads and fails the test if that fails.
func load(t testing.TB, eng *latchbolt.Engine, o latchbolt.LoadOptions, fn func(*latchbolt.Loader) error) {
	t.Helper()
	must(t, "loading", eng.Load(context.Background(), o, fn))
}

// loaded inserts users by name.
func loaded(names ...string) func(*latchbolt.Loader) error {
	return func(l *latchbolt.Loader) error {
		for _, name := range names {
			if err := l.InsertUser(&latchbolt.User{Username: name}, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	}
}

// An inserter is what Tx and Loader have in common.
type inserter interface {
	InsertUser(*latchbolt.User, latchbolt.PasswordHash) error
	InsertBroughtUser(*latchbolt.User, latchbolt.PasswordHash) error
	InsertGroup(*latchbolt.Group) error
	Define(...latchbolt.Permission) error
	Grant(latchbolt.Subject, latchbolt.Perm, ...latchbolt.Object) error
	GroupByName(string) (*latchbolt.Group, error)
}

// populate inserts users of all kinds, groups, permissions and grants.
func populate(t *testing.T, in inserter, seed uint64, n int) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	hash := func(text string) latchbolt.PasswordHash {
		h, err := latchbolt.ParsePasswordHash(text)
		must(t, "a hash", err)
		return h
	}
	hashes := []latchbolt.PasswordHash{{}, hash(bulkHash), hash("pbkdf2_sha256$1$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="), hash("!unusable")}
	if err := in.Define(latchbolt.Permission{App: "blog", Codename: fmt.Sprint("add", seed)}, latchbolt.Permission{App: "blog", Codename: "read"}); err != nil {
		return err
	}
	var groups []latchbolt.GroupID
	for i := range 5 {
		g := latchbolt.Group{Name: fmt.Sprint("group ", seed, i)}
		if err := in.InsertGroup(&g); err != nil {
			return err
		}
		if got, err := in.GroupByName(g.Name); err != nil || got.ID != g.ID {
			t.Errorf("the group that was just inserted: %v, %v", got, err)
		}
		if i%2 == 0 {
			if err := in.Grant(g.ID, "blog.read", []latchbolt.Object{"o1", "o2"}[:i/2]...); err != nil {
				return err
			}
		}
		groups = append(groups, g.ID)
	}
	joined := time.Date(2020, 1, 1, 0, 0, 0, 123456789, time.FixedZone("CET", 3600))
	for i := range n {
		u := latchbolt.User{Username: fmt.Sprintf("User%d-%d", seed, rng.IntN(1000)*n+i), DateJoined: joined}
		if rng.IntN(3) > 0 {
			u.Email = fmt.Sprintf("U%d.%d@Example.ORG", seed, rng.IntN(1000)*n+i)
		}
		if rng.IntN(2) == 0 {
			u.LastLogin = joined.Add(time.Duration(i) * time.Hour)
			u.FirstName, u.LastName = "Ådå", strings.Repeat("é", rng.IntN(100))
		}
		u.Inactive, u.Staff, u.Superuser = rng.IntN(4) == 0, rng.IntN(4) == 0, rng.IntN(4) == 0
		for range rng.IntN(4) {
			u.Groups = append(u.Groups, groups[rng.IntN(len(groups))])
		}
		if rng.IntN(50) == 0 {
			u.ID = latchbolt.UserID(seed*1_000_000 + uint64(i)*10)
		}
		insert := in.InsertUser
		if rng.IntN(5) == 0 {
			u.Username += " with a space"
			insert = in.InsertBroughtUser
		}
		if err := insert(&u, hashes[rng.IntN(len(hashes))]); err != nil {
			return fmt.Errorf("user %d: %w", i, err)
		}
		if !slices.IsSorted(u.Groups) || u.ID == 0 || u.DateJoined.Location() != time.UTC {
			t.Errorf("the user that was inserted: %+v", u)
		}
		for range rng.IntN(3) {
			if err := in.Grant(u.ID, latchbolt.Perm(fmt.Sprint("blog.add", seed)), []latchbolt.Object{"", "", "x"}[2*rng.IntN(2):][:rng.IntN(2)]...); err != nil {
				return err
			}
		}
	}
	return nil
}

// content returns all records of an engine, but for the audit trail and what is made at random.
func content(t *testing.T, eng *latchbolt.Engine) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, "reading", eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		for _, b := range latchbolt.Buckets {
			for p, err := range tx.Records(b) {
				if err != nil {
					return err
				}
				if key := string(b) + " " + string(p.Key); b != "audit" && key != "meta format" && key != "meta clock" {
					all[key] = string(p.Value)
				}
			}
		}
		return nil
	}))
	return all
}

// TestLoadEqualsTx loads the same by Load and by Update, into fresh files and into such that have users, and compares all records.
func TestLoadEqualsTx(t *testing.T) {
	for name, cfg := range map[string]latchbolt.Config{
		"default":        {},
		"case sensitive": {CaseSensitive: true},
		"unique e-mail":  {UniqueEmail: true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newTestClock()
			cfg.Clock = clock.now
			byTx, byLoad := open(t, &cfg), open(t, &cfg)
			inMemory := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, &cfg)
			for seed, n := range []int{300, 0, testsize.Of(300, 2000), 1} {
				must(t, "by Update", byTx.Update(t.Context(), func(tx *latchbolt.Tx) error { return populate(t, tx, uint64(seed), n) }))
				for _, eng := range []*latchbolt.Engine{byLoad, inMemory} {
					load(t, eng, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error { return populate(t, l, uint64(seed), n) })
				}
				want := content(t, byTx)
				for _, eng := range []*latchbolt.Engine{byLoad, inMemory} {
					got := content(t, eng)
					for key := range want {
						if got[key] != want[key] {
							t.Fatalf("round %d: %q is %x, want %x", seed, key, got[key], want[key])
						}
					}
					if len(got) != len(want) {
						t.Fatalf("round %d: %d records, want %d", seed, len(got), len(want))
					}
					verify(t, eng)
				}
				for _, eng := range []*latchbolt.Engine{byTx, byLoad} { // both go on alike
					u := &latchbolt.User{Username: fmt.Sprint("after", seed)}
					must(t, "inserting", eng.InsertUser(t.Context(), u, latchbolt.PasswordHash{}))
					must(t, "removing", eng.DeleteUser(t.Context(), u.ID))
				}
				u := &latchbolt.User{Username: fmt.Sprint("after", seed)}
				must(t, "inserting", inMemory.InsertUser(t.Context(), u, latchbolt.PasswordHash{}))
				must(t, "removing", inMemory.DeleteUser(t.Context(), u.ID))
			}
			byLoad = reopen(t, byLoad, &cfg)
			if got, want := content(t, byLoad), content(t, byTx); !reflect.DeepEqual(got, want) {
				t.Errorf("after opening again: %d records, want %d", len(got), len(want))
			}
		})
	}
}

// TestLoadOutOfOrder loads users whose identifiers come in any order.
func TestLoadOutOfOrder(t *testing.T) {
	eng := open(t, nil)
	first := addUser(t, eng, "first").ID
	ids := rand.New(rand.NewPCG(1, 1)).Perm(5000)
	load(t, eng, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		for _, id := range ids {
			u := latchbolt.User{ID: first + 1 + latchbolt.UserID(id), Username: fmt.Sprint("u", id)}
			if err := l.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return loaded("last")(l)
	})
	users := collect(t, eng, latchbolt.UserQuery{})
	if len(users) != 5002 {
		t.Fatalf("%d users", len(users))
	}
	for _, u := range users[1:5001] {
		if u.Username != fmt.Sprint("u", u.ID-first-1) {
			t.Errorf("user %d is called %s", u.ID, u.Username)
		}
	}
	if u, err := eng.UserByName(t.Context(), "last"); err != nil || u.ID != first+5001 {
		t.Errorf("the last one: %+v, %v", u, err)
	}
	for what, c := range map[string]struct {
		ids  []latchbolt.UserID
		want error
	}{
		"taken before":  {[]latchbolt.UserID{first}, latchbolt.ErrExists},
		"out of range":  {[]latchbolt.UserID{1 << 63}, latchbolt.ErrInvalid},
		"twice, apart":  {[]latchbolt.UserID{9001, 9002, 9001}, latchbolt.ErrExists},
		"twice, late":   {[]latchbolt.UserID{9003, 9002, 9002}, latchbolt.ErrExists},
		"twice, in one": {[]latchbolt.UserID{9001, 9001}, latchbolt.ErrExists},
	} {
		err := eng.Load(t.Context(), latchbolt.LoadOptions{OnDuplicate: func(*latchbolt.DuplicateError) error { return nil }}, func(l *latchbolt.Loader) error {
			for i, id := range c.ids {
				if err := l.InsertUser(&latchbolt.User{ID: id, Username: fmt.Sprint("new", i)}, latchbolt.PasswordHash{}); err != nil {
					return err
				}
			}
			return nil
		})
		want(t, what, err, c.want)
	}
	must(t, "deleting", eng.DeleteUser(t.Context(), first))
	err := eng.Load(t.Context(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		return l.InsertUser(&latchbolt.User{ID: first, Username: "again"}, latchbolt.PasswordHash{})
	})
	want(t, "an identifier of a user that was deleted", err, latchbolt.ErrConflict)
}

func TestLoadDuplicates(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   latchbolt.Config
		there latchbolt.User
		users []latchbolt.User
		want  string // duplicates
		stay  []string
	}{
		"in the file": {there: latchbolt.User{Username: "Ada"}, users: []latchbolt.User{{Username: "bob"}, {Username: "ADA"}},
			want: "2 username ADA true", stay: []string{"Ada", "bob"}},
		"in the load": {there: latchbolt.User{Username: "ada"}, users: []latchbolt.User{{Username: "Bob"}, {Username: "eve"}, {Username: "boB"}, {Username: "BOB"}},
			want: "3 username boB false, 4 username BOB false", stay: []string{"Bob", "ada", "eve"}},
		"in both": {there: latchbolt.User{Username: "ada"}, users: []latchbolt.User{{Username: "ADA"}, {Username: "aDa"}},
			want: "1 username ADA true, 2 username aDa true", stay: []string{"ada"}},
		"another form": {there: latchbolt.User{Username: "ﬁn"}, users: []latchbolt.User{{Username: "FIN"}}, want: "1 username FIN true", stay: []string{"fin"}},
		"case sensitive": {cfg: latchbolt.Config{CaseSensitive: true}, there: latchbolt.User{Username: "ada"},
			users: []latchbolt.User{{Username: "Ada"}, {Username: "ada"}, {Username: "ADA"}, {Username: "ADA"}},
			want:  "2 username ada true, 4 username ADA false", stay: []string{"ADA", "Ada", "ada"}},
		"the same address": {there: latchbolt.User{Username: "ada", Email: "a@example.org"}, users: []latchbolt.User{{Username: "bob", Email: "a@example.org"}},
			want: "", stay: []string{"ada", "bob"}},
		"unique address": {cfg: latchbolt.Config{UniqueEmail: true}, there: latchbolt.User{Username: "ada", Email: "a@example.org"},
			users: []latchbolt.User{{Username: "bob", Email: "A@example.org"}, {Username: "eve", Email: "e@example.org"}, {Username: "eva", Email: "E@Example.org"},
				{Username: "nobody"}, {Username: "none"}, {Username: "ada", Email: "x@example.org"}, {Username: "fay", Email: "X@example.org"}},
			want: "1 email A@example.org true, 3 email E@example.org false, 6 username ada true", stay: []string{"ada", "eve", "fay", "nobody", "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			eng := open(t, &c.cfg)
			must(t, "inserting", eng.InsertUser(t.Context(), &c.there, latchbolt.PasswordHash{}))
			must(t, "defining", eng.Define(t.Context(), latchbolt.Permission{App: "blog", Codename: "add"}))
			g, err := eng.CreateGroup(t.Context(), "all")
			must(t, "a group", err)
			h, err := latchbolt.ParsePasswordHash(bulkHash)
			must(t, "a hash", err)
			fill := func(l *latchbolt.Loader) error {
				for _, u := range c.users {
					u.Groups, u.LastLogin, u.Superuser = []latchbolt.GroupID{g}, time.Now(), true
					if err := l.InsertUser(&u, h); err != nil {
						return err
					}
					if err := errors.Join(l.Grant(u.ID, "blog.add"), l.Grant(u.ID, "blog.add", "post 1")); err != nil {
						return err
					}
				}
				return nil
			}
			before := content(t, eng)
			if err := eng.Load(t.Context(), latchbolt.LoadOptions{}, fill); c.want == "" {
				must(t, "loading", err)
			} else {
				var d *latchbolt.DuplicateError
				first, _, _ := strings.Cut(c.want, ", ")
				if !errors.As(err, &d) || !errors.Is(err, latchbolt.ErrExists) || !errors.Is(err, latchbolt.ErrInvalid) || describe(d) != first {
					t.Errorf("got %v, want that of %s", err, first)
				} else if !strings.Contains(err.Error(), d.Value) || !strings.Contains(err.Error(), fmt.Sprint("record ", d.Line)) {
					t.Errorf("the error %q does not say which", err)
				}
				if !reflect.DeepEqual(content(t, eng), before) {
					t.Error("something was changed")
				}
				stop := errors.New("stop")
				err := eng.Load(t.Context(), latchbolt.LoadOptions{OnDuplicate: func(*latchbolt.DuplicateError) error { return stop }}, fill)
				want(t, "an error of OnDuplicate", err, stop)
				var all []string
				load(t, eng, latchbolt.LoadOptions{OnDuplicate: func(d *latchbolt.DuplicateError) error {
					all = append(all, describe(d))
					return nil
				}}, fill)
				if got := strings.Join(all, ", "); got != c.want {
					t.Errorf("duplicates: %s; want %s", got, c.want)
				}
			}
			got := usernames(collect(t, eng, latchbolt.UserQuery{}))
			slices.Sort(got)
			if !slices.Equal(got, c.stay) {
				t.Errorf("users: %v, want %v", got, c.stay)
			}
			if all := content(t, eng); (all["hash.cost "+string([]byte{0, 0, 0, 0, 0, 0x0d, 0x46, 0x70})] != "") != (len(c.stay) > 1) {
				t.Errorf("hashes of 870,000 units, %d of them, are not counted right", len(c.stay)-1)
			}
			// What was left out leaves nothing behind: verify, at the end, looks at every index.
		})
	}
}

func describe(d *latchbolt.DuplicateError) string {
	return fmt.Sprint(d.Line, " ", d.Field, " ", d.Value, " ", d.InFile)
}

// TestLoadCountsHashes tests that a failed login costs what the dearest hash asks for, right after a load.
func TestLoadCountsHashes(t *testing.T) {
	eng := open(t, nil)
	spent := func() int64 {
		s, err := eng.Stats()
		must(t, "stats", err)
		before := s.HashUnits
		_, err = eng.Authenticate(t.Context(), latchbolt.Password{Username: "nobody", Password: goodPassword})
		want(t, "authenticating", err, latchbolt.ErrCredentials)
		s, err = eng.Stats()
		must(t, "stats", err)
		return s.HashUnits - before
	}
	h, err := latchbolt.ParsePasswordHash("pbkdf2_sha256$5000$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo=")
	must(t, "a hash", err)
	before := spent()
	load(t, eng, latchbolt.LoadOptions{OnDuplicate: func(*latchbolt.DuplicateError) error { return nil }}, func(l *latchbolt.Loader) error {
		return errors.Join(l.InsertUser(&latchbolt.User{Username: "ada"}, h), l.InsertUser(&latchbolt.User{Username: "ADA"}, h))
	})
	if after := spent(); before >= 5000 || after < 5000 {
		t.Errorf("a failed login costs %d units, and %d after the load", before, after)
	}
	u, err := eng.UserByName(t.Context(), "ada")
	must(t, "the user", err)
	must(t, "deleting", eng.DeleteUser(t.Context(), u.ID))
	if after := spent(); after != before {
		t.Errorf("a failed login costs %d units when the only dear hash is gone, and %d before", after, before)
	}
}

func TestLoaderRefuses(t *testing.T) {
	eng := open(t, nil)
	ada := addUser(t, eng, "ada")
	g, err := eng.CreateGroup(t.Context(), "staff")
	must(t, "a group", err)
	must(t, "defining", eng.Define(t.Context(), latchbolt.Permission{App: "blog", Codename: "add"}))
	var kept *latchbolt.Loader
	load(t, eng, latchbolt.LoadOptions{Detail: "from here"}, func(l *latchbolt.Loader) error {
		kept = l
		bob := latchbolt.User{Username: "bob"}
		must(t, "inserting", l.InsertUser(&bob, latchbolt.PasswordHash{}))
		eve := latchbolt.User{Username: "eve"}
		must(t, "inserting", l.InsertUser(&eve, latchbolt.PasswordHash{}))
		for what, c := range map[string]struct{ got, want error }{
			"a bad name":             {l.InsertUser(&latchbolt.User{Username: "a b", Email: "x"}, latchbolt.PasswordHash{}), latchbolt.ErrInvalid},
			"no name":                {l.InsertBroughtUser(&latchbolt.User{}, latchbolt.PasswordHash{}), latchbolt.ErrInvalid},
			"no such group":          {l.InsertUser(&latchbolt.User{Username: "x", Groups: []latchbolt.GroupID{g, 99}}, latchbolt.PasswordHash{}), latchbolt.ErrNotFound},
			"a group that is there":  {l.InsertGroup(&latchbolt.Group{Name: "staff"}), latchbolt.ErrExists},
			"a permission, unknown":  {l.Grant(eve.ID, "blog.none"), latchbolt.ErrNotFound},
			"a number, unknown":      {l.GrantID(eve.ID, 99), latchbolt.ErrNotFound},
			"a long object":          {l.Grant(eve.ID, "blog.add", "ok", latchbolt.Object(strings.Repeat("x", 300))), latchbolt.ErrInvalid},
			"a user inserted before": {l.Grant(bob.ID, "blog.add"), latchbolt.ErrNotFound},
			"a user of no file":      {l.Grant(latchbolt.UserID(12345), "blog.add"), latchbolt.ErrNotFound},
			"a group of no file":     {l.Grant(latchbolt.GroupID(12345), "blog.add"), latchbolt.ErrNotFound},
			"writing by the engine":  {eng.SetGroups(t.Context(), ada.ID, g), latchbolt.ErrNested},
			"another load":           {eng.Load(t.Context(), latchbolt.LoadOptions{}, loaded()), latchbolt.ErrNested},
			"closing":                {eng.Close(), latchbolt.ErrNested},
		} {
			want(t, what, c.got, c.want)
		}
		if u, err := l.UserByName("ADA"); err != nil || u.ID != ada.ID {
			t.Errorf("a user of before: %v, %v", u, err)
		}
		if u, err := eng.User(t.Context(), ada.ID); err != nil || u.Username != "ada" {
			t.Errorf("reading by the engine: %v, %v", u, err)
		}
		return l.Record(latchbolt.AuditEntry{Action: "mine"})
	})
	if got := usernames(collect(t, eng, latchbolt.UserQuery{})); !slices.Equal(got, []string{"ada", "bob", "eve"}) {
		t.Errorf("users: %v", got)
	}
	var trail []string
	for a, err := range eng.Audit(t.Context(), latchbolt.AuditQuery{}) {
		must(t, "reading the trail", err)
		trail = append(trail, a.Action+" "+a.Detail)
	}
	if want := []string{"load 2 users, 0 left out from here", "mine "}; !slices.Equal(trail[:2], want) {
		t.Errorf("the trail has %q, want %q", trail[:2], want)
	}
	want(t, "use afterwards", kept.InsertGroup(&latchbolt.Group{Name: "late"}), latchbolt.ErrClosed)
}

// TestLoadCancelled cancels a load at every look at the context, and more.
func TestLoadCancelled(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	before := read(t, eng.Path())
	users := testsize.Of(400, 2000)
	unchanged := func(what string) {
		t.Helper()
		if !bytes.Equal(read(t, eng.Path()), before) {
			t.Errorf("%s: the file was changed", what)
		}
		if got := names(t, filepath.Dir(eng.Path())); len(got) != 1 {
			t.Errorf("%s: left in the folder: %v", what, got)
		}
	}
	fill := func(l *latchbolt.Loader) error { return loadUsers(l, 0, users, nil) }
	for n := 0; ; n++ {
		err := eng.Load(newCountdown(t.Context(), n), latchbolt.LoadOptions{}, fill)
		if err == nil {
			if n < 6 {
				t.Errorf("the context was looked at only %d times", n)
			}
			break
		}
		want(t, "loading", err, context.Canceled)
		unchanged(fmt.Sprintf("cancelled after %d looks", n))
	}
	before = read(t, eng.Path())
	stop := errors.New("stop")
	want(t, "an error", eng.Load(t.Context(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		return errors.Join(loadUsers(l, 2000, 4000, nil), stop)
	}), stop)
	unchanged("an error of fn")
	for what, leave := range map[string]func(){"a panic": func() { panic("ouch") }, "Goexit": runtime.Goexit} {
		done := make(chan bool)
		go func() {
			defer func() { _ = recover(); close(done) }()
			_ = eng.Load(context.Background(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
				_ = loadUsers(l, 2000, 4000, nil)
				leave()
				return nil
			})
		}()
		<-done
		unchanged(what)
	}
	load(t, eng, latchbolt.LoadOptions{}, loaded("bob")) // nothing is stuck
}

// TestLoadInUse reads while users are loaded, with a warm cache, and writes afterwards.
func TestLoadInUse(t *testing.T) {
	crowd := testsize.Of(3000, 20_000)
	for name, cfg := range map[string]latchbolt.Config{"cached": {}, "cache off": {CacheUsers: -1}} {
		t.Run(name, func(t *testing.T) {
			eng := open(t, &cfg)
			ctx := t.Context()
			must(t, "defining", eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add"}, latchbolt.Permission{App: "blog", Codename: "read"}))
			g, err := eng.CreateGroup(ctx, "staff")
			must(t, "a group", err)
			ada, bob := addUser(t, eng, "ada"), addUser(t, eng, "bob")
			must(t, "a member", eng.AddToGroup(ctx, ada.ID, g))
			tokens := []latchbolt.Token{login(t, eng, "ada").Token, login(t, eng, "bob").Token}
			can := func(i int, p latchbolt.Perm, objects ...latchbolt.Object) bool {
				id, err := eng.SessionUser(ctx, tokens[i])
				must(t, "the session", err)
				ok, err := eng.HasPerm(ctx, id, p, objects...)
				must(t, "asking", err)
				return ok
			}
			var done atomic.Bool
			stop, after := make(chan bool), make(chan error, 1)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						was := done.Load()
						group, own, whole := can(0, "blog.add"), can(1, "blog.read", "post 1"), can(1, "blog.read")
						if was && (!group || !own) || whole {
							t.Errorf("loaded %v: by the group %v, by itself %v, for all objects %v", was, group, own, whole)
						}
						if _, err := eng.UserByName(ctx, "user00000001"); (err == nil) != was && was {
							t.Errorf("loaded %v: the new user gives %v", was, err)
						}
					}
				})
			}
			load(t, eng, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
				if can(0, "blog.add") || can(1, "blog.read", "post 1") {
					t.Error("granted before it was")
				}
				go func() { after <- eng.AddToGroup(context.Background(), bob.ID, g) }()
				if err := errors.Join(l.Grant(g, "blog.add"), l.Grant(bob.ID, "blog.read", "post 1")); err != nil {
					return err
				}
				if err := loadUsers(l, 0, crowd, []latchbolt.GroupID{g}); err != nil {
					return err
				}
				select {
				case err := <-after:
					t.Errorf("a writer went on: %v", err)
				default:
				}
				return nil
			})
			done.Store(true)
			if !can(0, "blog.add") || !can(1, "blog.read", "post 1") || can(1, "blog.read") {
				t.Error("what was granted by the load is not in force after it")
			}
			must(t, "the writer that waited", <-after)
			if !can(1, "blog.add") {
				t.Error("a membership after the load is not in force")
			}
			close(stop)
			wg.Wait()
			u, err := eng.UserByName(ctx, "user00000001")
			must(t, "a loaded user", err)
			id, err := eng.Identity(ctx, u.ID)
			must(t, "its identity", err)
			if ok, err := eng.HasPerm(ctx, id, "blog.add"); !ok || err != nil {
				t.Errorf("a loaded member may not: %v", err)
			}
			must(t, "revoking", eng.Revoke(ctx, g, "blog.add"))
			if ok, err := eng.HasPerm(ctx, id, "blog.add"); ok || err != nil || can(0, "blog.add") {
				t.Errorf("what was revoked is in force; %v", err)
			}
			eng = reopen(t, eng, &cfg)
			if n := len(collect(t, eng, latchbolt.UserQuery{})); n != crowd+2 {
				t.Errorf("%d users", n)
			}
		})
	}
}

// TestLoadKilled kills a process that loads again and again.
func TestLoadKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not supported on Windows")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	rng := rand.New(rand.NewPCG(3, 4))
	total := 0
	for round := range killRounds() {
		must(t, "removing", os.RemoveAll(path))
		kill := inOther(t, "load", "-", path)
		if round%2 == 1 {
			awaitNext(t, path)
		}
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		kill()
		eng := openAt(t, path, nil)
		n := len(collect(t, eng, latchbolt.UserQuery{}))
		if n%loadedAtOnce != 0 {
			t.Errorf("%d users: a load was made in part", n)
		}
		total += n / loadedAtOnce
		verify(t, eng)
		load(t, eng, latchbolt.LoadOptions{}, loaded("after"))
		must(t, "closing", eng.Close())
		if got := names(t, filepath.Dir(path)); len(got) != 1 {
			t.Fatalf("left in the folder: %v", got)
		}
	}
	t.Logf("%d loads were whole", total)
	if total == 0 {
		t.Error("every kill came before the first load: this test tests little")
	}
}

// TestLoadUnsupported tests a store that cannot load.
func TestLoadUnsupported(t *testing.T) {
	eng := openOn(t, struct{ kv.Store }{&memkv.Store{Buckets: latchbolt.Buckets}}, nil)
	want(t, "loading", eng.Load(t.Context(), latchbolt.LoadOptions{}, loaded("ada")), errors.ErrUnsupported)
}

// TestLoadLeavesTheTrailToReaders: who reads the trail waits for the writes beside their callers, but not while these wait for a load.
func TestLoadLeavesTheTrailToReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, nil)
		defer eng.Close()
		ctx := t.Context()
		ada := addUser(t, eng, "ada")
		failed := latchbolt.AuditQuery{Action: latchbolt.ActionLoginFailed}
		inside, release, loaded := make(chan bool), make(chan bool), make(chan error, 1)
		go func() {
			loaded <- eng.Load(ctx, latchbolt.LoadOptions{}, func(*latchbolt.Loader) error {
				close(inside)
				<-release
				return nil
			})
		}()
		<-inside
		_, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
		want(t, "a wrong password", err, latchbolt.ErrCredentials)
		if n := len(trail(t, eng, failed)); n != 0 {
			t.Errorf("%d entries while they wait for the load", n)
		}
		if _, n, err := eng.Throttled(ctx, ada.ID); n != 1 || err != nil {
			t.Errorf("%d failures, %v", n, err)
		}
		close(release)
		must(t, "loading", <-loaded)
		if n := len(trail(t, eng, failed)); n != 1 {
			t.Errorf("%d entries after the load", n)
		}
	})
}
