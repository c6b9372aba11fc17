package boltkv_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/kv/kvtest"
)

const (
	bucketA = kvtest.A
	bucketB = kvtest.B
)

// options returns the options most tests use.
func options() *boltkv.Options { return &boltkv.Options{Buckets: kvtest.Buckets()} }

// create makes an empty store in a folder of its own and returns its path.
func create(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if err := boltkv.Create(path, options()); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens the store at path until the test ends.
func open(t testing.TB, path string) *boltkv.Store {
	t.Helper()
	s, err := boltkv.Open(path, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// put writes one pair.
func put(t testing.TB, s kv.Store, key, value string) kv.Rev {
	t.Helper()
	rev, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte(key), []byte(value)) })
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return rev
}

// get reads one value, "" if it is absent.
func get(t testing.TB, s kv.Store, key string) string {
	t.Helper()
	var value string
	_, err := s.View(t.Context(), func(r kv.Reader) error {
		v, err := r.Get(bucketA, []byte(key))
		value = string(v)
		return err
	})
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return value
}

// wantErr reports an error that is not the one wanted.
func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (want != nil && got == nil) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

// verify reports every defect of the store.
func verify(t testing.TB, s *boltkv.Store) {
	t.Helper()
	for err := range s.Verify(t.Context()) {
		t.Errorf("verify: %v", err)
	}
}

func TestStore(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return open(t, create(t)) })
}

// A lent store is one whose callers lend all functions.
type lent struct {
	*boltkv.Store
}

func (s lent) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	return s.UpdateLent(ctx, fn)
}

func TestStoreLent(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return lent{open(t, create(t))} })
}

func TestBulk(t *testing.T) {
	kvtest.RunBulk(t, func(t *testing.T) kv.Store { return open(t, create(t)) })
}
