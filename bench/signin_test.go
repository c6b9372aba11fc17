package bench

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/alexedwards/scs/v2"
	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

var client = latchbolt.Client{Addr: netip.MustParseAddr("192.0.2.7"), Agent: growth.Agent}

// BenchmarkSignIn begins sessions, alone and from 64 goroutines at once. The password is checked beforehand, with everybody.
func BenchmarkSignIn(b *testing.B) {
	eng, _ := population(b, latchbolt.Config{}, growth.Size{Users: usersInUse, Sessions: sessionsInUse})
	ids := identities(b, eng, usersInUse)
	own := func(i int) {
		_, err := eng.Login(context.Background(), ids[i%len(ids)], latchbolt.LoginOptions{Client: client})
		check(b, err)
	}
	for _, p := range []struct {
		name string
		make func(t testing.TB) (login func(i int))
	}{
		{"bbolt", bboltLogin},
		{"scs_bbolt", scsLogin},
		{"sqlite", func(t testing.TB) func(int) {
			l := newLite(t)
			l.fillSessions(usersInUse, sessionsInUse)
			return l.login()
		}},
	} {
		b.Run(p.name+"/alone", func(b *testing.B) { beside(b, 1, each(p.make(b)), each(own)) })
		b.Run(p.name+"/64_at_once", func(b *testing.B) { beside(b, 640, atOnce(p.make(b)), atOnce(own)) })
	}
	b.Run("django/alone", func(b *testing.B) {
		besideDjango(b, 5, djangoRules(b, rules{usersInUse, 10, 10}), "login", each(own))
	})
}

// bboltLogin is an Update that puts what latchbolt puts: session, its place among the user's, audit trail.
func bboltLogin(t testing.TB) func(int) {
	db := rawDB(t)
	buckets := []struct {
		name       []byte
		key, value int
	}{{[]byte("session"), 16, 170}, {[]byte("session of user"), 24, 13}, {[]byte("audit"), 16, 60}}
	check(t, db.Update(func(tx *bbolt.Tx) error {
		for _, bk := range buckets {
			if _, err := tx.CreateBucket(bk.name); err != nil {
				return err
			}
		}
		return nil
	}))
	var n atomic.Uint64
	return func(int) {
		check(t, db.Update(func(tx *bbolt.Tx) error {
			for _, bk := range buckets {
				key := make([]byte, bk.key)
				binary.BigEndian.PutUint64(key, n.Add(1))
				rand.Read(key[8:])
				if err := tx.Bucket(bk.name).Put(key, make([]byte, bk.value)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// scsLogin is what scs asks a program to do when somebody signs in.
func scsLogin(t testing.TB) func(int) {
	m := scs.New()
	m.Store = newBoltStore(t)
	return func(i int) {
		ctx, err := m.Load(context.Background(), "")
		check(t, err)
		check(t, m.RenewToken(ctx))
		m.Put(ctx, "user", userOf(i))
		_, _, err = m.Commit(ctx)
		check(t, err)
	}
}
