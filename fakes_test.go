package latchbolt_test

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// A hookedHasher keeps passwords nearly as they are, counts what it does and calls a function
// in the midst of a check.
type hookedHasher struct {
	name      string
	hashed    atomic.Int64
	compared  atomic.Int64
	hook      atomic.Pointer[func()]
	hashFails atomic.Pointer[error]
}

func (h *hookedHasher) onVerify(fn func()) {
	if fn == nil {
		h.hook.Store(nil)
		return
	}
	h.hook.Store(&fn)
}

func (h *hookedHasher) Algorithm() string {
	if h.name == "" {
		return "hooked"
	}
	return h.name
}

func (h *hookedHasher) Hash(password string) (string, error) {
	if err := h.hashFails.Load(); err != nil {
		return "", *err
	}
	h.hashed.Add(1)
	return h.Algorithm() + "$" + password, nil
}

func (h *hookedHasher) Verify(password, encoded string) (bool, error) {
	h.compared.Add(1)
	if fn := h.hook.Load(); fn != nil {
		(*fn)()
	}
	return h.Algorithm()+"$"+password == encoded || h.Algorithm()+"$old$"+password == encoded, nil
}

func (h *hookedHasher) Outdated(encoded string) bool { return strings.Contains(encoded, "$old$") }

func (h *hookedHasher) Work(string) (int64, error) { return 1, nil }

// A faultStore is a store whose commits or reads fail while it is told so.
type faultStore struct {
	kv.Store
	commit atomic.Pointer[error] // what commits fail with
	read   atomic.Pointer[error] // what reads fail with
}

func newFaultStore() *faultStore { return &faultStore{Store: &memkv.Store{Buckets: latchbolt.Buckets}} }

// failing makes commits fail with err; nil makes them succeed again.
func (s *faultStore) failing(err error) { setFault(&s.commit, err) }

// unreadable makes reads fail with err; nil makes them succeed again.
func (s *faultStore) unreadable(err error) { setFault(&s.read, err) }

func setFault(p *atomic.Pointer[error], err error) {
	if err == nil {
		p.Store(nil)
		return
	}
	p.Store(&err)
}

func (s *faultStore) View(ctx context.Context, fn func(kv.Reader) error) (kv.Rev, error) {
	if err := s.read.Load(); err != nil {
		return 0, *err
	}
	return s.Store.View(ctx, fn)
}

// Update runs fn, so that it is known whether the change was sound, and fails then.
func (s *faultStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	if err := s.read.Load(); err != nil {
		return 0, *err
	}
	return s.Store.Update(ctx, func(tx kv.Tx) error {
		w := &writeCounter{Tx: tx}
		if err := fn(w); err != nil {
			return err
		}
		if err := s.commit.Load(); err != nil && w.writes > 0 {
			return *err
		}
		return nil
	})
}

type writeCounter struct {
	kv.Tx
	writes int
}

func (w *writeCounter) Put(b kv.Bucket, key, value []byte) error {
	w.writes++
	return w.Tx.Put(b, key, value)
}

func (w *writeCounter) Delete(b kv.Bucket, key []byte) error {
	w.writes++
	return w.Tx.Delete(b, key)
}

func (w *writeCounter) DeletePrefix(b kv.Bucket, prefix []byte) error {
	w.writes++
	return w.Tx.DeletePrefix(b, prefix)
}

func (w *writeCounter) DeleteSome(b kv.Bucket, prefix []byte, n int) (bool, error) {
	w.writes++
	return w.Tx.DeleteSome(b, prefix, n)
}

// A badge is proof of a kind of its own.
type badge struct{ user latchbolt.UserID }

func (badge) Kind() string { return "badge" }

// A fakeBackend answers what it is told to.
type fakeBackend struct {
	name     string
	id       latchbolt.UserID
	err      error
	inactive bool
	asked    *[]string
}

func (b fakeBackend) Name() string        { return b.name }
func (b fakeBackend) AllowInactive() bool { return b.inactive }

func (b fakeBackend) Authenticate(_ context.Context, _ *latchbolt.Engine, c latchbolt.Credentials) (latchbolt.UserID, error) {
	if b.asked != nil {
		*b.asked = append(*b.asked, b.name)
	}
	if c, ok := c.(badge); ok && b.err == nil {
		return c.user, nil
	}
	return b.id, b.err
}

// A permBackend decides about permissions with functions.
type permBackend struct {
	fakeBackend
	has   func(latchbolt.Identity, latchbolt.Perm, latchbolt.Object) (bool, error)
	perms func(latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error)
}

func (b permBackend) HasPerm(_ context.Context, _ *latchbolt.Engine, id latchbolt.Identity, p latchbolt.Perm, o latchbolt.Object) (bool, error) {
	if b.has == nil {
		return false, latchbolt.ErrSkip
	}
	return b.has(id, p, o)
}

func (b permBackend) Perms(_ context.Context, _ *latchbolt.Engine, id latchbolt.Identity, o latchbolt.Object) ([]latchbolt.Perm, error) {
	if b.perms == nil {
		return nil, latchbolt.ErrSkip
	}
	return b.perms(id, o)
}
