package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// BenchmarkGrowth asks whether what is small stays small: the same calls on files of ten times the size, again and again. Sizes of a million and more
// stand behind LATCHBOLT_GROWTH=1.
func BenchmarkGrowth(b *testing.B) {
	sizes := func(all ...int) (those []int) {
		for _, n := range all {
			if n < 1_000_000 || os.Getenv("LATCHBOLT_GROWTH") != "" {
				those = append(those, n)
			}
		}
		return those
	}
	for _, n := range sizes(1_000, 10_000, 100_000, 1_000_000, 10_000_000) {
		b.Run(sized("sessions", n), func(b *testing.B) { growSessions(b, n) })
	}
	for _, n := range sizes(1_000, 10_000, 100_000, 1_000_000) {
		b.Run(sized("users", n), func(b *testing.B) { growUsers(b, n) })
	}
	for _, n := range sizes(10, 100, 1_000, 10_000, 100_000) {
		b.Run(sized("perms", n), func(b *testing.B) { growPerms(b, n) })
	}
}

// A grown is a file that was made for one size and is opened in several ways, one after the other.
type grown struct {
	path string
	pop  *growth.Population
	size growth.Size
}

func grow(b *testing.B, size growth.Size) grown {
	b.Helper()
	g := grown{path: filepath.Join(b.TempDir(), "app.db"), size: size}
	var err error
	g.pop, err = growth.Make(context.Background(), g.path, quiet(latchbolt.Config{}), size)
	check(b, err)
	return g
}

// cold has no cache.
var cold = latchbolt.Config{CacheSessions: -1, SessionIdle: -1}

// who asks for the users of sessions at random: all, or as many as fit into memory with their tokens.
func (g grown) who(b *testing.B, cfg latchbolt.Config, warm bool) side {
	b.Helper()
	cfg.CacheUsers = 2 * g.size.Users
	eng := open(b, g.path, cfg)
	tokens := g.pop.Tokens(min(g.size.Sessions, 1_000_000))
	call := func(i int) {
		if _, err := eng.SessionUser(context.Background(), tokens[i%len(tokens)]); err != nil {
			b.Fatal(err)
		}
	}
	if warm {
		for i := range tokens {
			call(i)
		}
	}
	runtime.GC()
	return each(call)
}

const baseSessions = 10_000

func growSessions(b *testing.B, n int) {
	g := grow(b, growth.Size{Users: max(1000, n/10), Sessions: n, Groups: 10, Client: client})
	b.Run("warm", func(b *testing.B) {
		alone(b, 1, g.who(b, latchbolt.Config{CacheSessions: 2 * min(n, 1_000_000)}, true))
	})
	b.Run("cold", func(b *testing.B) {
		base := grow(b, growth.Size{Users: 1000, Sessions: baseSessions, Groups: 10, Client: client})
		own, _, ratio := turns(b, 1, g.who(b, cold, false), base.who(b, cold, false))
		b.ReportMetric(own, "ns/call")
		b.ReportMetric(ratio, "x-10000-sessions")
	})
	b.Run("open", func(b *testing.B) { benchmarkOpen(b, g) })
	login := func(b *testing.B) func(int) {
		eng := open(b, g.path, latchbolt.Config{})
		ids := identities(b, eng, 1000)
		return func(i int) {
			_, err := eng.Login(context.Background(), ids[i%len(ids)], latchbolt.LoginOptions{Client: client})
			check(b, err)
		}
	}
	b.Run("login", func(b *testing.B) { alone(b, 1, each(login(b))) })
	b.Run("login_64", func(b *testing.B) { alone(b, 640, atOnce(login(b))) })
	b.Run("bbolt", func(b *testing.B) { alone(b, 1, each(bboltGrown(b, n))) })
	if n <= 1_000_000 { // with ten million a map takes gigabytes, and SQLite an hour to fill
		b.Run("map", func(b *testing.B) { alone(b, 1, each(mapGrown(n))) })
		b.Run("sqlite", func(b *testing.B) { benchmarkLite(b, n) })
	}
}

// benchmarkOpen opens and asks the first question; closing is not counted.
func benchmarkOpen(b *testing.B, g grown) {
	token := g.pop.Tokens(1)[0]
	var opened, first []float64
	for b.Loop() {
		start := time.Now()
		eng, err := latchbolt.Open(g.path, quiet(latchbolt.Config{}))
		check(b, err)
		opened = append(opened, float64(time.Since(start)))
		start = time.Now()
		_, err = eng.SessionUser(context.Background(), token)
		check(b, err)
		first = append(first, float64(time.Since(start)))
		check(b, eng.Close())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(opened), "ns/call")
	b.ReportMetric(median(first), "first-ns/call")
	size := fileSize(b, g.path)
	b.ReportMetric(size, "file-B")
}

// bboltGrown reads two records in one View, as a cold session does, of as many sessions and users.
func bboltGrown(b *testing.B, n int) func(int) {
	db := rawDB(b)
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	users := max(1000, n/10)
	for _, bucket := range []struct {
		name     string
		n, value int
	}{{"session", n, 170}, {"user", users, 190}} {
		for from := 0; from < bucket.n; from += 50_000 {
			check(b, db.Update(func(tx *bbolt.Tx) error {
				bk, err := tx.CreateBucketIfNotExists([]byte(bucket.name))
				if err != nil {
					return err
				}
				bk.FillPercent = 1
				for i := from; i < min(bucket.n, from+50_000); i++ {
					if err := bk.Put(key(i), make([]byte, bucket.value)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	return func(i int) {
		check(b, db.View(func(tx *bbolt.Tx) error {
			if tx.Bucket([]byte("session")).Get(key(random(i, n))) == nil || tx.Bucket([]byte("user")).Get(key(random(i, users))) == nil {
				return fmt.Errorf("session or user of %d is missing", i)
			}
			return nil
		}))
	}
}

// mapGrown is a map of digests under a lock, without the time of hashing.
func mapGrown(n int) func(int) {
	type session struct {
		user    string
		expires time.Time
	}
	var mu sync.RWMutex
	all, keys := make(map[[32]byte]session, n), make([][32]byte, n)
	for i := range keys {
		keys[i] = [32]byte(digest(i))
		all[keys[i]] = session{userOf(i), time.Now().Add(24 * time.Hour)}
	}
	return func(i int) {
		mu.RLock()
		s, ok := all[keys[random(i, n)]]
		mu.RUnlock()
		if !ok || time.Now().After(s.expires) {
			panic("a session is missing")
		}
	}
}

func benchmarkLite(b *testing.B, n int) {
	l := newLite(b)
	l.fillSessions(max(1000, n/10), n)
	who := l.who()
	alone(b, 1, each(func(i int) { who(random(i, n)) }))
	_, err := l.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	check(b, err)
	b.ReportMetric(fileSize(b, l.path), "file-B")
	login := l.login()
	// In the same file, so that a million sessions are filled in once.
	var took []float64
	for i := range 100 {
		took = append(took, timed(func(int) { login(i) }, 1))
	}
	b.ReportMetric(median(took), "login-ns/call")
}

func growUsers(b *testing.B, n int) {
	g := grow(b, growth.Size{Users: n, Sessions: 10_000, Groups: 100, Client: client})
	b.Run("warm", func(b *testing.B) { alone(b, 1, g.who(b, latchbolt.Config{}, true)) })
	b.Run("cold", func(b *testing.B) { alone(b, 1, g.who(b, cold, false)) })
	ctx := context.Background()
	b.Run("has_perm", func(b *testing.B) {
		eng := open(b, g.path, latchbolt.Config{CacheUsers: 2 * n})
		check(b, eng.Define(ctx, latchbolt.Permission{App: "app", Codename: "perm0"}))
		ids := identities(b, eng, min(n, 100_000))
		alone(b, 1, each(func(i int) {
			_, err := eng.HasPerm(ctx, ids[random(i, len(ids))], "app.perm0")
			check(b, err)
		}))
	})
	b.Run("by_name", func(b *testing.B) {
		eng := open(b, g.path, latchbolt.Config{})
		alone(b, 1, each(func(i int) {
			_, err := eng.UserByName(ctx, growth.Username(random(i, n)))
			check(b, err)
		}))
	})
	b.Run("login", func(b *testing.B) {
		eng := open(b, g.path, latchbolt.Config{})
		ids := identities(b, eng, 1000)
		alone(b, 1, each(func(i int) {
			_, err := eng.Login(ctx, ids[i%len(ids)], latchbolt.LoginOptions{Client: client})
			check(b, err)
		}))
	})
}

// growPerms has a user in ten groups who has every other of n permissions.
func growPerms(b *testing.B, n int) {
	ctx := context.Background()
	eng, err := latchbolt.Open(filepath.Join(b.TempDir(), "app.db"), quiet(latchbolt.Config{Create: true}))
	check(b, err)
	b.Cleanup(func() { check(b, eng.Close()) })
	user, groups := fillPerms(b, eng, n)
	id, err := eng.Identity(ctx, user)
	check(b, err)
	asked, raw := make([]latchbolt.Perm, 64), make(map[latchbolt.Perm]bool)
	for i := range n {
		raw[latchbolt.Perm("app."+codename(i))] = i%2 == 0
	}
	for i := range asked {
		asked[i] = latchbolt.Perm("app." + codename(random(i, n)))
	}
	b.Run("has_perm", func(b *testing.B) {
		alone(b, 1, each(func(i int) {
			_, err := eng.HasPerm(ctx, id, asked[i%64])
			check(b, err)
		}))
	})
	yes := 0
	b.Run("has", func(b *testing.B) {
		alone(b, 1, each(func(i int) {
			if id.Has(asked[i%64]) {
				yes++
			}
		}))
	})
	b.Run("map", func(b *testing.B) {
		alone(b, 1, each(func(i int) {
			if raw[asked[i%64]] {
				yes++
			}
		}))
	})
	b.Run("after_a_change", func(b *testing.B) {
		var took []float64
		for i := 0; b.Loop(); i++ {
			if i%2 == 0 {
				check(b, eng.RemoveFromGroup(ctx, user, groups[0]))
			} else {
				check(b, eng.AddToGroup(ctx, user, groups[0]))
			}
			start := time.Now()
			_, err := eng.HasPerm(ctx, id, asked[i%64])
			took = append(took, float64(time.Since(start)))
			check(b, err)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(took), "ns/call")
	})
}

func fillPerms(b *testing.B, eng *latchbolt.Engine, n int) (user latchbolt.UserID, groups []latchbolt.GroupID) {
	b.Helper()
	check(b, eng.Load(context.Background(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		groups = groups[:0]
		perms := make([]latchbolt.Permission, n)
		for i := range perms {
			perms[i] = latchbolt.Permission{App: "app", Codename: codename(i)}
		}
		if err := l.Define(perms...); err != nil {
			return err
		}
		for i := range 10 {
			g := latchbolt.Group{Name: fmt.Sprint("group ", i)}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			groups = append(groups, g.ID)
			for p := 2 * i; p < n; p += 20 {
				if err := l.Grant(g.ID, latchbolt.Perm("app."+codename(p))); err != nil {
					return err
				}
			}
		}
		u := latchbolt.User{Username: "ada", Groups: groups}
		err := l.InsertUser(&u, latchbolt.PasswordHash{})
		user = u.ID
		return err
	}))
	return user, groups
}
