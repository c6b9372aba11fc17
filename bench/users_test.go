package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// bulkUsers is how many users BenchmarkBulk loads.
const bulkUsers = 100_000

// A bulkPeer loads users with two groups each into a fresh file, and returns the file's size.
type bulkPeer struct {
	name string
	load func(t testing.TB, users int) (bytes float64)
}

// BenchmarkBulk fills a fresh file. The figures are for each user.
func BenchmarkBulk(b *testing.B) {
	for _, p := range []bulkPeer{{"bbolt", bboltBulk}, {"sqlite", sqliteBulk}} {
		b.Run(p.name+"/"+sized("users", bulkUsers), func(b *testing.B) {
			var theirs, ours float64
			beside(b, bulkUsers, func(n int) { theirs = p.load(b, n) / float64(n) }, func(n int) { ours = latchboltBulk(b, n) / float64(n) })
			b.ReportMetric(theirs, "B/user")
			b.ReportMetric(ours, "latchbolt-B/user")
		})
	}
	b.Run("django/"+sized("users", bulkUsers/10), func(b *testing.B) {
		var peers, owns, ratios []float64
		const n = bulkUsers / 10
		for b.Loop() {
			p := startDjango(b).nanoseconds("bulk %d", n) / n
			o := timed(func(n int) { latchboltBulk(b, n) }, n)
			peers, owns, ratios = append(peers, p), append(owns, o), append(ratios, p/o)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(peers), "ns/call")
		b.ReportMetric(median(owns), "latchbolt-ns/call")
		b.ReportMetric(median(ratios), "x-latchbolt")
	})
}

func latchboltBulk(t testing.TB, users int) float64 {
	path := filepath.Join(t.TempDir(), "app.db")
	eng, err := latchbolt.Open(path, quiet(latchbolt.Config{Create: true}))
	check(t, err)
	h, err := latchbolt.ParsePasswordHash(passwordHash)
	check(t, err)
	check(t, eng.Load(context.Background(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		groups := make([]latchbolt.GroupID, 2)
		for i, name := range []string{"one", "two"} {
			g := latchbolt.Group{Name: name}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			groups[i] = g.ID
		}
		for i := range users {
			name := growth.Username(i)
			u := latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada", LastName: "Lovelace", Groups: groups}
			if err := l.InsertUser(&u, h); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, eng.Close())
	return fileSize(t, path)
}

// bboltBulk puts the same keys with values of the same sizes, in their order, as bbolt likes it best: full pages, 10,000 a transaction, and
// one sync at the end.
func bboltBulk(t testing.TB, users int) float64 {
	path := filepath.Join(t.TempDir(), "raw.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoSync: true})
	check(t, err)
	for _, bucket := range []struct {
		name  string
		value int
		key   func(i int) string
	}{
		{"user", 230, func(i int) string { return fmt.Sprintf("%08d", i) }},
		{"name", 13, growth.Username},
		{"email", 13, func(i int) string { return fmt.Sprintf("user%08d@example.org\x00%08d", i, i) }},
		{"member", 5, func(i int) string { return fmt.Sprintf("group  1%08d", i) }},
		{"member", 5, func(i int) string { return fmt.Sprintf("group  2%08d", i) }},
	} {
		for from := 0; from < users; from += 10_000 {
			check(t, db.Update(func(tx *bbolt.Tx) error {
				bk, err := tx.CreateBucketIfNotExists([]byte(bucket.name))
				if err != nil {
					return err
				}
				bk.FillPercent = 1
				for i := from; i < min(users, from+10_000); i++ {
					if err := bk.Put([]byte(bucket.key(i)), make([]byte, bucket.value)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	check(t, db.Sync())
	check(t, db.Close())
	return fileSize(t, path)
}

func sqliteBulk(t testing.TB, users int) float64 {
	l := newLite(t)
	tx, err := l.Begin()
	check(t, err)
	for i, name := range []string{"one", "two"} {
		_, err := tx.Exec(`INSERT INTO groups (id, name) VALUES (?, ?)`, i+1, name)
		check(t, err)
	}
	add, err := tx.Prepare(insertUser)
	check(t, err)
	join, err := tx.Prepare(`INSERT INTO user_groups VALUES (?, 1), (?, 2)`)
	check(t, err)
	for i := range users {
		_, err := add.Exec(user(i)...)
		check(t, err)
		_, err = join.Exec(i+1, i+1)
		check(t, err)
	}
	check(t, tx.Commit())
	_, err = l.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	check(t, err)
	return fileSize(t, l.path)
}

// BenchmarkWithPerm finds the first hundred users, by name, who have a permission through one group in a hundred, or by themselves.
func BenchmarkWithPerm(b *testing.B) {
	const users = 20_000
	own := latchboltWithPerm(b, users)
	b.Run("sqlite", func(b *testing.B) { beside(b, 1, each(sqliteWithPerm(b, users)), each(own)) })
	b.Run("django", func(b *testing.B) {
		d := startDjango(b)
		d.ask("with_perm_fill %d", users)
		besideDjango(b, 1, d, "with_perm", each(own))
	})
}

// hasByItself are the ten users to whom the permission was granted.
func hasByItself(i, users int) int { return i * 997 % users }

func latchboltWithPerm(t testing.TB, users int) func(int) {
	ctx := context.Background()
	eng, _ := population(t, latchbolt.Config{}, growth.Size{Users: users, Groups: 100})
	check(t, eng.Define(ctx, latchbolt.Permission{App: "app", Codename: "perm0"}))
	check(t, eng.Update(ctx, func(tx *latchbolt.Tx) error {
		g, err := tx.GroupByName("group 0")
		if err != nil {
			return err
		}
		if err := tx.Grant(g.ID, "app.perm0"); err != nil {
			return err
		}
		for i := range 10 {
			u, err := tx.UserByName(growth.Username(hasByItself(i, users)))
			if err != nil {
				return err
			}
			if err := tx.Grant(u.ID, "app.perm0"); err != nil {
				return err
			}
		}
		return nil
	}))
	return func(int) {
		n := 0
		for _, err := range eng.Users(ctx, latchbolt.UserQuery{Perm: "app.perm0", Active: latchbolt.Only, Order: latchbolt.OrderByName, Limit: 100}) {
			check(t, err)
			n++
		}
		if n != 100 {
			t.Fatalf("%d users", n)
		}
	}
}

func sqliteWithPerm(t testing.TB, users int) func(int) {
	l := newLite(t)
	l.fill(insertUser, users, user)
	l.fill(`INSERT INTO groups (id, name) VALUES (?, ?)`, 100, func(i int) []any { return []any{i + 1, fmt.Sprint("group ", i)} })
	l.fill(`INSERT INTO permissions (id, app, codename) VALUES (?, 'app', ?)`, 1, func(i int) []any { return []any{i + 1, codename(i)} })
	l.fill(`INSERT INTO group_permissions VALUES (?, ?)`, 1, func(i int) []any { return []any{i + 1, 1} })
	l.fill(`INSERT INTO user_groups VALUES (?, ?)`, users, func(i int) []any { return []any{i + 1, i%100 + 1} })
	l.fill(`INSERT INTO user_permissions VALUES (?, 1)`, 10, func(i int) []any { return []any{hasByItself(i, users) + 1} })
	query := l.prepare(`SELECT id, username, email, first_name, last_name FROM users WHERE is_active AND id IN (
		SELECT ug.user_id FROM permissions p JOIN group_permissions gp ON gp.permission_id = p.id JOIN user_groups ug ON ug.group_id = gp.group_id WHERE p.app = ?1 AND p.codename = ?2
		UNION SELECT up.user_id FROM permissions p JOIN user_permissions up ON up.permission_id = p.id WHERE p.app = ?1 AND p.codename = ?2)
		ORDER BY username LIMIT 100`)
	return func(int) {
		rows, err := query.Query("app", "perm0")
		check(t, err)
		n := 0
		for rows.Next() {
			var id int
			var name, email, first, last string
			check(t, rows.Scan(&id, &name, &email, &first, &last))
			n++
		}
		check(t, rows.Err())
		check(t, rows.Close())
		if n != 100 {
			t.Fatalf("%d users", n)
		}
	}
}
