package latchbolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// TestCVE_2020_13254: no two things have one key, whatever texts they are called by.
func TestCVE_2020_13254(t *testing.T) {
	var texts []string
	for _, a := range []string{"", "\x00", "a", ":", "\x01", "\xff"} {
		for _, b := range []string{"", "\x00", "a", ":", "\x02"} {
			texts = append(texts, a+b, a+b+a)
		}
	}
	long := strings.Repeat("k", maxNameKey)
	texts = append(texts, long, long+"a", long+"b", long[1:], long[2:])
	keys := make(map[string]string)
	n := 0
	add := func(bucket kv.Bucket, key []byte, parts ...any) {
		t.Helper()
		n++
		what := fmt.Sprintf("%q", parts)
		k := string(bucket) + "\x00" + string(key)
		if other, ok := keys[k]; ok && other != what {
			t.Fatalf("%s: %s and %s have the key %q", bucket, what, other, key)
		}
		keys[k] = what
	}
	ids := []UserID{0, 1, 97, 1 << 16, 1<<64 - 1}
	for _, a := range texts {
		add(bucketUserName, nameKey(a), a)
		for _, b := range texts {
			add(bucketPermName, permNameKey(a, b, ""), a, b, "")
			add(bucketPermName, permNameKey(a, "", b), a, "", b)
			add(bucketPermName, permNameKey("", a, b), "", a, b)
		}
		for _, id := range ids {
			if !strings.Contains(a, "\x00") { // which no address has
				add(bucketUserEmail, emailKey(a, id), a, id)
			}
			for _, s := range []selector{{}, {97}, {0, 0, 97}} {
				add(bucketTokenUser, tokenUserKey(id, a, s), id, a, s)
			}
			for _, p := range []PermissionID{0, 1, 97} {
				add(bucketGrant, grantKey(id, p, Object(a)), "user", id, p, a)
				add(bucketGrant, grantKey(GroupID(id), p, Object(a)), "group", id, p, a)
				add(bucketHolder, holderKey(p, id, Object(a)), "user", id, p, a)
				add(bucketHolder, holderKey(p, GroupID(id), Object(a)), "group", id, p, a)
			}
		}
	}
	for _, id := range ids {
		for _, c := range []byte{throttleUser, throttleName, throttleSource} {
			add(bucketThrottle, throttleKey(c, uint64(id)), c, id)
		}
	}
	if n < 10_000 {
		t.Errorf("only %d keys", n)
	}
}

// TestTokensComeOnce makes very many tokens at one moment.
func TestTokensComeOnce(t *testing.T) {
	now := time.Now()
	selectors, secrets := make(map[selector]bool), make(map[[32]byte]bool)
	const n = 200_000
	for range n {
		tok, err := newToken(now.Add(time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		selectors[tok.sel], secrets[tok.ver] = true, true
	}
	// With 40 random bits at one moment two of them are the same in one run of fifty, and three times that happens in one of a million.
	if len(secrets) != n || len(selectors) < n-2 {
		t.Errorf("%d secrets, %d selectors of %d tokens", len(secrets), len(selectors), n)
	}
}

// A panicStore panics in every write while it is told to.
type panicStore struct {
	kv.Store
	on atomic.Bool
}

func (s *panicStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	if s.on.Load() {
		panic("canary")
	}
	return s.Store.Update(ctx, fn)
}

// TestPanicsBesideCallers: a panic in what runs beside the callers ends neither the process nor the work, and is logged. (A server of another
// project ended with one.)
func TestPanicsBesideCallers(t *testing.T) {
	var log bytes.Buffer
	store := &panicStore{Store: &memkv.Store{Buckets: buckets}}
	e, err := openStore(store, &Config{Create: true, Hashers: []Hasher{PBKDF2SHA256{Iterations: 1}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx := t.Context()
	if err := e.CreateUser(ctx, &User{Username: "ada"}, "correct horse battery staple"); err != nil {
		t.Fatal(err)
	}
	store.on.Store(true)
	for what, run := range map[string]func(){
		"sweeping":                         e.sweeper.run,
		"writing the last use of sessions": func() { e.noteSeen(selector{1}, time.Now()); e.writeTouched() },
		"a write beside the caller":        func() { e.later(ctx, "a write beside the caller", func(*Tx) error { return nil }, nil) },
	} {
		run()
		e.backlog.settle(t.Context())
		if !strings.Contains(log.String(), `what="`+what+`" panic=canary`) && !strings.Contains(log.String(), `what=`+what+` panic=canary`) {
			t.Errorf("%s: the log says %s", what, log.String())
		}
	}
	store.on.Store(false)
	e.sweeper.mu.Lock()
	rearmed := e.sweeper.timer.Stop()
	e.sweeper.mu.Unlock()
	if !rearmed {
		t.Error("the file is not swept any more")
	}
	if _, err := e.Authenticate(ctx, Password{Username: "ada", Password: "wrong"}); !errors.Is(err, ErrCredentials) {
		t.Errorf("got %v", err)
	}
	if _, err := e.Authenticate(ctx, Password{Username: "ada", Password: "correct horse battery staple"}); err != nil {
		t.Errorf("got %v", err)
	}
}
