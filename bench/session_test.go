package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// What the sessions of this file's benchmarks are.
const (
	sessionsInUse = 1_000
	usersInUse    = 1_000
)

// A peer of BenchmarkSession makes the sessions of its own and answers whose the i-th is.
type peer struct {
	name string
	make func(t testing.TB) (who func(i int) string)
}

var sessionPeers = []peer{
	{"map_sha256", mapSessions},
	{"scs_memory", scsMemorySessions},
	{"bbolt_two_gets", bboltSessions},
	{"jwt_hs256", jwtSessions},
	{"gorilla_signed", func(t testing.TB) func(int) string { return gorillaSessions(t, make([]byte, 32)) }},
	{"gorilla_sealed", func(t testing.TB) func(int) string { return gorillaSessions(t, make([]byte, 32), make([]byte, 32)) }},
	{"scs_bbolt", func(t testing.TB) func(int) string { return scsBoltSessions(t, 0) }},
	{"scs_bbolt_idle", func(t testing.TB) func(int) string { return scsBoltSessions(t, 24*time.Hour) }},
	{"sqlite", sqliteSessions},
	{"pocketbase", pocketbaseSessions},
	{"django", djangoSessions},
}

// userOf is the name of the user that session i of a peer belongs to.
func userOf(i int) string { return growth.Username(i % usersInUse) }

// BenchmarkSession is the question of each request: whose is this token? Each peer is asked in turn with latchbolt.
func BenchmarkSession(b *testing.B) {
	eng, pop := population(b, latchbolt.Config{}, growth.Size{Users: usersInUse, Sessions: sessionsInUse, Groups: 10})
	who := latchboltSessions(b, eng, pop)
	for _, p := range sessionPeers {
		b.Run(p.name, func(b *testing.B) {
			if p.name == "django" {
				besideDjango(b, 20, djangoRules(b, rules{usersInUse, 10, 10}), "session", each(func(i int) { who(random(i, sessionsInUse)) }))
				return
			}
			theirs := p.make(b)
			beside(b, 1, each(func(i int) { theirs(random(i, sessionsInUse)) }), each(func(i int) { who(random(i, sessionsInUse)) }))
		})
	}
}

// TestSessionPeersAnswer makes sure that what is measured is what is meant.
func TestSessionPeersAnswer(t *testing.T) {
	for _, p := range sessionPeers {
		t.Run(p.name, func(t *testing.T) {
			who := p.make(t)
			for _, i := range []int{0, 1, 500, 999} {
				if got := who(i); got != userOf(i) {
					t.Errorf("session %d is of %q, want %q", i, got, userOf(i))
				}
			}
		})
	}
}

// latchboltSessions has each session in the cache. The users are as growth gives them out.
func latchboltSessions(t testing.TB, eng *latchbolt.Engine, pop *growth.Population) func(int) string {
	tokens := make([]latchbolt.Token, sessionsInUse)
	who := func(i int) string {
		id, err := eng.SessionUser(context.Background(), tokens[i])
		if err != nil {
			t.Fatal(err)
		}
		return id.Username()
	}
	for i := range tokens {
		tokens[i] = pop.Token(i)
		who(i)
	}
	return who
}

// mapSessions are a map in memory that keeps no tokens, only their SHA-256.
func mapSessions(testing.TB) func(int) string {
	type session struct {
		user    string
		expires time.Time
	}
	var mu sync.RWMutex
	tokens, all := make([][32]byte, sessionsInUse), make(map[[32]byte]session)
	for i := range tokens {
		binary.BigEndian.PutUint64(tokens[i][:], uint64(i))
		all[sha256.Sum256(tokens[i][:])] = session{userOf(i), time.Now().Add(24 * time.Hour)}
	}
	return func(i int) string {
		digest := sha256.Sum256(tokens[i][:])
		mu.RLock()
		s, ok := all[digest]
		mu.RUnlock()
		if !ok || time.Now().After(s.expires) {
			return ""
		}
		return s.user
	}
}

// rawDB opens a bbolt file with the options that are good for speed.
func rawDB(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, NoStatistics: true, InitialMmapSize: 1 << 30})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// bboltSessions are two records of a hundred-odd bytes behind one another.
func bboltSessions(t testing.TB) func(int) string {
	db := rawDB(t)
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	check(t, db.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range []struct {
			name  string
			n     int
			value func(i int) []byte
		}{
			{"session", sessionsInUse, func(i int) []byte { return append(key(i%usersInUse), make([]byte, 160)...) }},
			{"user", usersInUse, func(i int) []byte { return append([]byte(userOf(i)), make([]byte, 180)...) }},
		} {
			bk, err := tx.CreateBucket([]byte(bucket.name))
			if err != nil {
				return err
			}
			for i := range bucket.n {
				if err := bk.Put(key(i), bucket.value(i)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	length := len(userOf(0))
	return func(i int) (user string) {
		check(t, db.View(func(tx *bbolt.Tx) error {
			s := tx.Bucket([]byte("session")).Get(key(i))
			user = string(tx.Bucket([]byte("user")).Get(s[:8])[:length])
			return nil
		}))
		return user
	}
}

// scsTokens fills a store with sessions that hold the name of the user, without a commit for each.
func scsTokens(t testing.TB, m *scs.SessionManager, put func(token string, data []byte, expires time.Time) error) []string {
	tokens, expires := make([]string, sessionsInUse), time.Now().Add(24*time.Hour).UTC()
	for i := range tokens {
		tokens[i] = fmt.Sprintf("%043d", i) // as long as scs makes them
		data, err := m.Codec.Encode(expires, map[string]any{"user": userOf(i)})
		check(t, err)
		check(t, put(tokens[i], data, expires))
	}
	return tokens
}

// scsWho is what scs does for a request: it loads the session, and commits it if it has to.
func scsWho(t testing.TB, m *scs.SessionManager, tokens []string) func(int) string {
	return func(i int) string {
		ctx, err := m.Load(context.Background(), tokens[i])
		check(t, err)
		user := m.GetString(ctx, "user")
		if m.Status(ctx) == scs.Modified {
			_, _, err := m.Commit(ctx)
			check(t, err)
		}
		return user
	}
}

func scsMemorySessions(t testing.TB) func(int) string {
	m, store := scs.New(), memstore.NewWithCleanupInterval(0)
	m.Store = store
	return scsWho(t, m, scsTokens(t, m, store.Commit))
}

func scsBoltSessions(t testing.TB, idle time.Duration) func(int) string {
	m := scs.New()
	m.IdleTimeout = idle
	store := newBoltStore(t)
	m.Store = store
	var tokens []string
	check(t, store.db.Update(func(tx *bbolt.Tx) error {
		tokens = scsTokens(t, m, func(token string, data []byte, expires time.Time) error { return store.put(tx, token, data, expires) })
		return nil
	}))
	return scsWho(t, m, tokens)
}

// jwtSessions are tokens that carry everything. They are signed with HMAC-SHA256 by a key of 32 bytes.
func jwtSessions(t testing.TB) func(int) string {
	secret := make([]byte, 32)
	tokens := make([]string, sessionsInUse)
	for i := range tokens {
		var err error
		tokens[i], err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Subject: userOf(i), ExpiresAt: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)), IssuedAt: jwt.NewNumericDate(time.Now()),
		}).SignedString(secret)
		check(t, err)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return func(i int) string {
		var claims jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(tokens[i], &claims, func(*jwt.Token) (any, error) { return secret, nil })
		check(t, err)
		return claims.Subject
	}
}

// gorillaSessions are cookies that carry everything.
func gorillaSessions(t testing.TB, keys ...[]byte) func(int) string {
	store := sessions.NewCookieStore(keys...)
	requests := make([]*http.Request, usersInUse)
	for i := range requests {
		value, err := securecookie.EncodeMulti("s", map[any]any{"user": userOf(i)}, store.Codecs...)
		check(t, err)
		requests[i] = request(&http.Cookie{Name: "s", Value: value})
	}
	return func(i int) string {
		s, err := store.New(requests[i%usersInUse], "s")
		check(t, err)
		user, _ := s.Values["user"].(string)
		return user
	}
}
