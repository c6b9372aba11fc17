package bench

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// schema is what most would write who keep accounts and sessions in SQLite.
const schema = `
CREATE TABLE users (
	id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE, email TEXT NOT NULL, password TEXT NOT NULL, first_name TEXT NOT NULL, last_name TEXT NOT NULL,
	is_active INTEGER NOT NULL, date_joined INTEGER NOT NULL, last_login INTEGER);
CREATE INDEX users_email ON users (email);
CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE user_groups (user_id INTEGER NOT NULL, group_id INTEGER NOT NULL, PRIMARY KEY (user_id, group_id)) WITHOUT ROWID;
CREATE INDEX user_groups_group ON user_groups (group_id);
CREATE TABLE permissions (id INTEGER PRIMARY KEY, app TEXT NOT NULL, codename TEXT NOT NULL, UNIQUE (app, codename));
CREATE TABLE user_permissions (user_id INTEGER NOT NULL, permission_id INTEGER NOT NULL, PRIMARY KEY (user_id, permission_id)) WITHOUT ROWID;
CREATE INDEX user_permissions_permission ON user_permissions (permission_id);
CREATE TABLE group_permissions (group_id INTEGER NOT NULL, permission_id INTEGER NOT NULL, PRIMARY KEY (group_id, permission_id)) WITHOUT ROWID;
CREATE INDEX group_permissions_permission ON group_permissions (permission_id);
CREATE TABLE sessions (token_hash BLOB PRIMARY KEY, user_id INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, addr TEXT NOT NULL, agent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires ON sessions (expires);
CREATE TABLE audit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, user_id INTEGER NOT NULL, addr TEXT NOT NULL);
`

// A lite is a SQLite file with the schema: a log written ahead, synced with every commit, and a page cache that holds everything.
type lite struct {
	*sql.DB
	t    testing.TB
	path string
}

func newLite(t testing.TB) *lite {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.sqlite")
	l := &lite{openLite(t, path), t, path}
	_, err := l.Exec(schema)
	check(t, err)
	return l
}

func openLite(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(60000)&_pragma=cache_size(-262144)&_txlock=immediate")
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	return db
}

// fill runs one statement for each of n, in one transaction.
func (l *lite) fill(query string, n int, args func(i int) []any) {
	l.t.Helper()
	tx, err := l.Begin()
	check(l.t, err)
	s, err := tx.Prepare(query)
	check(l.t, err)
	for i := range n {
		_, err := s.Exec(args(i)...)
		check(l.t, err)
	}
	check(l.t, s.Close())
	check(l.t, tx.Commit())
}

func (l *lite) prepare(query string) *sql.Stmt {
	l.t.Helper()
	s, err := l.Prepare(query)
	check(l.t, err)
	l.t.Cleanup(func() { s.Close() })
	return s
}

const insertUser = `INSERT INTO users (id, username, email, password, first_name, last_name, is_active, date_joined) VALUES (?, ?, ?, ?, 'Ada', 'Lovelace', 1, ?)`

// user are the fields of a user for insertUser. Its identifier is one more than its number.
func user(i int) []any {
	name := growth.Username(i)
	return []any{i + 1, name, name + "@example.org", passwordHash, time.Now().Unix()}
}

// passwordHash has the size of a real one.
const passwordHash = "argon2$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw$bAfnes5HACCDehV3nD4BAoSgv8xaEH/F3i1SkZIIJbI"

func digest(i int) []byte {
	d := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return d[:]
}

const (
	insertSession = `INSERT INTO sessions (token_hash, user_id, created, expires, addr, agent) VALUES (?, ?, ?, ?, '192.0.2.7', '` + growth.Agent + `')`
	selectSession = `SELECT u.id, u.username, u.is_active FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = ? AND s.expires > ?`
)

// fillSessions stores users and sessions of theirs.
func (l *lite) fillSessions(users, sessions int) {
	l.fill(insertUser, users, user)
	now := time.Now()
	l.fill(insertSession, sessions, func(i int) []any { return []any{digest(i), i%users + 1, now.Unix(), now.Add(24 * time.Hour).Unix()} })
}

func (l *lite) who() func(i int) string {
	query := l.prepare(selectSession)
	return func(i int) (name string) {
		var id, active int
		check(l.t, query.QueryRow(digest(i), time.Now().Unix()).Scan(&id, &name, &active))
		return name
	}
}

func sqliteSessions(t testing.TB) func(int) string {
	l := newLite(t)
	l.fillSessions(usersInUse, sessionsInUse)
	return l.who()
}

const selectPerm = `SELECT
	EXISTS (SELECT 1 FROM user_permissions up JOIN permissions p ON p.id = up.permission_id WHERE up.user_id = ?1 AND p.app = ?2 AND p.codename = ?3) OR
	EXISTS (SELECT 1 FROM permissions p JOIN group_permissions gp ON gp.permission_id = p.id JOIN user_groups ug ON ug.group_id = gp.group_id
		WHERE p.app = ?2 AND p.codename = ?3 AND ug.user_id = ?1)`

// sqliteMay has the rules of a size of BenchmarkMay.
func sqliteMay(t testing.TB, s rules) func(user, perm int) bool {
	l := newLite(t)
	l.fill(insertUser, s.users, user)
	l.fill(`INSERT INTO groups (id, name) VALUES (?, ?)`, s.groups, func(i int) []any { return []any{i + 1, fmt.Sprint("group ", i)} })
	l.fill(`INSERT INTO permissions (id, app, codename) VALUES (?, 'app', ?)`, s.perms, func(i int) []any { return []any{i + 1, codename(i)} })
	l.fill(`INSERT INTO group_permissions VALUES (?, ?)`, s.groups, func(i int) []any { return []any{i + 1, s.permOfGroup(i) + 1} })
	l.fill(`INSERT INTO user_groups VALUES (?, ?)`, s.users, func(i int) []any { return []any{i + 1, s.groupOf(i) + 1} })
	query := l.prepare(selectPerm)
	return func(user, perm int) (ok bool) {
		check(t, query.QueryRow(user+1, "app", codename(perm)).Scan(&ok))
		return ok
	}
}

// login is what begins a session.
func (l *lite) login() func(i int) {
	// Sessions of earlier benchmarks and earlier rounds have smaller numbers.
	const from = 1 << 30
	return func(i int) {
		now := time.Now()
		tx, err := l.Begin()
		check(l.t, err)
		id := i%usersInUse + 1
		for _, s := range []struct {
			query string
			args  []any
		}{
			{insertSession, []any{digest(from + i), id, now.Unix(), now.Add(24 * time.Hour).Unix()}},
			{`UPDATE users SET last_login = ? WHERE id = ?`, []any{now.Unix(), id}},
			{`INSERT INTO audit (at, kind, user_id, addr) VALUES (?, 'login', ?, '192.0.2.7')`, []any{now.UnixMicro(), id}},
		} {
			_, err := tx.Exec(s.query, s.args...)
			check(l.t, err)
		}
		check(l.t, tx.Commit())
	}
}
