package latchbolt

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// TestShortKeysAreDamage: a key that damage has made shorter than its bucket's are is told to be damage, and taken apart by nobody.
func TestShortKeysAreDamage(t *testing.T) {
	store := &memkv.Store{Buckets: buckets}
	e, err := openStore(store, &Config{Create: true, Hashers: []Hasher{PBKDF2SHA256{Iterations: 1}}, Logger: slog.New(slog.DiscardHandler), SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	ctx := t.Context()
	if err := e.Define(ctx, Permission{App: "a", Codename: "b"}); err != nil {
		t.Fatal(err)
	}
	g, err := e.CreateGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	put := func(b kv.Bucket, key []byte) {
		t.Helper()
		if _, err := store.Update(ctx, func(tx kv.Tx) error { return tx.Put(b, key, []byte("x")) }); err != nil {
			t.Fatal(err)
		}
	}
	put(bucketHolder, append(permKey(1), bytes.Repeat([]byte{2}, 8)...))
	put(bucketGrant, append(subjectKey(g), 0, 0, 0))
	if _, err := e.Holders(ctx, "a.b"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Holders: %v", err)
	}
	if _, err := e.Grants(ctx, g); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Grants: %v", err)
	}
	for b, least := range leastKey {
		put(b, bytes.Repeat([]byte{0xff}, least-1))
		err := e.view(ctx, func(tx *ReadTx) error {
			_, err := tx.keys(b, nil, nil, 0)
			return err
		})
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", b, err)
		}
	}
	if len(leastKey) < 15 {
		t.Errorf("%d buckets", len(leastKey))
	}
}
