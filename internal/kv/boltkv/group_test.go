package boltkv_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// A result is what Update returned, or what it panicked with.
type result struct {
	rev kv.Rev
	err error
	p   any
}

// together runs the closures as one group, in order: while the first holds the baton,
// the others come into the queue one by one.
func together(t *testing.T, s *boltkv.Store, fns ...func(kv.Tx) error) []result {
	t.Helper()
	return togetherBy(t, s, s.Update, fns...)
}

// togetherBy is together with the method of s that is to be called.
func togetherBy(t *testing.T, s *boltkv.Store, update func(context.Context, func(kv.Tx) error) (kv.Rev, error), fns ...func(kv.Tx) error) []result {
	t.Helper()
	results := make([]result, len(fns))
	done := make(chan int)
	running, release := make(chan struct{}), make(chan struct{})
	call := func(i int, fn func(kv.Tx) error) {
		defer func() {
			results[i].p = recover()
			done <- i
		}()
		results[i].rev, results[i].err = update(context.Background(), fn)
	}
	go call(0, func(tx kv.Tx) error {
		close(running)
		<-release
		return fns[0](tx)
	})
	<-running
	for i := 1; i < len(fns); i++ {
		go call(i, fns[i])
		for boltkv.Waiting(s) < i {
			runtime.Gosched()
		}
	}
	close(release)
	for range fns {
		<-done
	}
	return results
}

// TestGroup tests one commit of many callers: each sees what those before it
// wrote, those that fail leave nothing, those that only read wait for what they saw.
func TestGroup(t *testing.T) {
	t.Run("run by their callers", func(t *testing.T) { testGroup(t, (*boltkv.Store).Update) })
	t.Run("lent", func(t *testing.T) { testGroup(t, (*boltkv.Store).UpdateLent) })
	var n atomic.Int32
	t.Run("every other lent", func(t *testing.T) {
		testGroup(t, func(s *boltkv.Store, ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
			if n.Add(1)%2 == 0 {
				return s.Update(ctx, fn)
			}
			return s.UpdateLent(ctx, fn)
		})
	})
}

// An updateMethod is Update or UpdateLent.
type updateMethod func(*boltkv.Store, context.Context, func(kv.Tx) error) (kv.Rev, error)

func testGroup(t *testing.T, update updateMethod) {
	s := open(t, create(t))
	before, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errFail := errors.New("fail")
	absent := func(tx kv.Tx, keys ...string) {
		for _, k := range keys {
			if v, err := tx.Get(bucketA, []byte(k)); v != nil || err != nil {
				t.Errorf("%s = %q, %v: left by a failed caller", k, v, err)
			}
		}
	}
	results := togetherBy(t, s, func(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) { return update(s, ctx, fn) },
		func(tx kv.Tx) error { // reads only, before all writes
			v, err := tx.Get(bucketA, []byte("a"))
			if v != nil {
				t.Errorf("a = %q before it was written", v)
			}
			return err
		},
		func(tx kv.Tx) error { return tx.Put(bucketA, []byte("a"), []byte("1")) },
		func(tx kv.Tx) error {
			return errors.Join(tx.Put(bucketA, []byte("failed"), nil), tx.DeletePrefix(bucketA, nil), errFail)
		},
		func(tx kv.Tx) error {
			absent(tx, "failed")
			_ = tx.Put(bucketA, []byte("panicked"), nil)
			panic("closure")
		},
		func(tx kv.Tx) error {
			absent(tx, "failed", "panicked")
			v, err := tx.Get(bucketA, []byte("a"))
			if string(v) != "1" {
				t.Errorf("a = %q, want what the caller before wrote", v)
			}
			return errors.Join(err, tx.Put(bucketA, []byte("b"), v))
		},
		func(tx kv.Tx) error { // reads only, what is not committed yet
			v, err := tx.Get(bucketA, []byte("b"))
			if string(v) != "1" {
				t.Errorf("b = %q", v)
			}
			return err
		},
	)
	for i, want := range []result{{rev: before}, {rev: before + 1}, {err: errFail}, {p: "closure"}, {rev: before + 1}, {rev: before + 1}} {
		got := results[i]
		if got.rev != want.rev || got.p != want.p || !errors.Is(got.err, want.err) {
			t.Errorf("caller %d: %+v, want %+v", i, got, want)
		}
	}
	if size, err := s.Size(); size.Commits != 1 || size.Callers != 2 || err != nil {
		t.Errorf("%d commits for %d callers, want 1 for 2; %v", size.Commits, size.Callers, err)
	}
	if a, b := get(t, s, "a"), get(t, s, "b"); a != "1" || b != "1" {
		t.Errorf("a = %q, b = %q", a, b)
	}
	verify(t, s)
}

// TestGroupShares tests that 64 callers who wait together cost few commits.
func TestGroupShares(t *testing.T) {
	s := open(t, create(t))
	var fns []func(kv.Tx) error
	for i := range 64 {
		fns = append(fns, func(tx kv.Tx) error { return tx.Put(bucketA, fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i)) })
	}
	for i, r := range together(t, s, fns...) {
		if r.err != nil || r.p != nil {
			t.Errorf("caller %d: %+v", i, r)
		}
	}
	if size, err := s.Size(); size.Commits != 1 || size.Callers != 64 || err != nil {
		t.Errorf("%d commits for %d callers, want 1 for 64; %v", size.Commits, size.Callers, err)
	}
	for i := range 64 {
		if got, want := get(t, s, fmt.Sprint("k", i)), fmt.Sprint("v", i); got != want {
			t.Errorf("k%d = %q, want %q", i, got, want)
		}
	}
}

// TestGroupCommitFails tests that nobody of a group is told that all is well if its commit fails: not who wrote,
// nor who saw what was written. Who failed before that is told so too.
func TestGroupCommitFails(t *testing.T) {
	errOwn, errDamage := errors.New("own"), errors.New("damage")
	for name, update := range map[string]updateMethod{"run by their callers": (*boltkv.Store).Update, "lent": (*boltkv.Store).UpdateLent} {
		for what, c := range map[string]struct {
			spoil func(s *boltkv.Store, tx kv.Tx) error
			want  error
		}{
			"no room": {func(_ *boltkv.Store, tx kv.Tx) error {
				for i := range 40 {
					if err := tx.Put(bucketB, fmt.Appendf(nil, "big%d", i), make([]byte, kv.MaxValue)); err != nil {
						return err
					}
				}
				return nil
			}, kv.ErrFull},
			"damage that somebody found meanwhile": {func(s *boltkv.Store, _ kv.Tx) error { boltkv.Fail(s, errDamage); return nil }, errDamage},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				path := create(t)
				opt := options()
				opt.MaxSize = 1 << 20
				s, err := boltkv.Open(path, opt)
				must(t, err)
				defer func() { _ = s.Close() }()
				rs := togetherBy(t, s, func(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) { return update(s, ctx, fn) },
					func(tx kv.Tx) error { return tx.Put(bucketA, []byte("a"), []byte("1")) },
					func(tx kv.Tx) error { return tx.Put(bucketA, []byte("b"), []byte("1")) },
					func(tx kv.Tx) error {
						if v, err := tx.Get(bucketA, []byte("b")); err != nil || string(v) != "1" {
							return fmt.Errorf("b = %q, %w", v, err)
						}
						return nil
					},
					func(tx kv.Tx) error { return errors.Join(errOwn, tx.Put(bucketA, []byte("own"), nil)) },
					func(tx kv.Tx) error {
						return errors.Join(tx.Put(bucketA, []byte("c"), []byte("1")), c.spoil(s, tx))
					},
				)
				for i, r := range rs {
					if !errors.Is(r.err, c.want) || r.rev != 0 || r.p != nil {
						t.Errorf("caller %d: %+v, want %v", i, r, c.want)
					}
				}
				_ = s.Close()
				s = open(t, path)
				for _, key := range []string{"a", "b", "c", "own"} {
					if got := get(t, s, key); got != "" {
						t.Errorf("%s = %q after a commit that failed", key, got)
					}
				}
				verify(t, s)
			})
		}
	}
}

// TestGroupLentGivenUp tests that a function is not run whose caller's context ended while it was lent, by another function of the group.
func TestGroupLentGivenUp(t *testing.T) {
	for range 20 { // its caller may notice first
		s := open(t, create(t))
		ctx, cancel := context.WithCancel(t.Context())
		contexts := []context.Context{t.Context(), t.Context(), ctx, t.Context()}
		n := 0
		var ran [4]bool
		fns := make([]func(kv.Tx) error, len(ran))
		for i := range fns {
			fns[i] = func(tx kv.Tx) error {
				if ran[i] = true; i == 1 {
					cancel()
				}
				return tx.Put(bucketA, fmt.Appendf(nil, "k%d", i), nil)
			}
		}
		rs := togetherBy(t, s, func(_ context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
			i := n // they come one by one
			n++
			return s.UpdateLent(contexts[i], fn)
		}, fns...)
		for i, r := range rs {
			if given := i == 2; errors.Is(r.err, context.Canceled) != given || ran[i] == given || !given && r.err != nil {
				t.Errorf("caller %d: %+v; run: %v", i, r, ran[i])
			}
		}
		cancel()
		must(t, s.Close())
	}
}

// TestGroupLent tests that functions that are lent run on the goroutine of the first caller, until
// one panics: that one's caller has the panic, and runs the rest.
func TestGroupLent(t *testing.T) {
	s := open(t, create(t))
	var ran [8]string
	var fns []func(kv.Tx) error
	for i := range ran {
		fns = append(fns, func(tx kv.Tx) error {
			ran[i] = goroutine()
			if i == 4 {
				panic("closure")
			}
			return tx.Put(bucketA, fmt.Appendf(nil, "k%d", i), nil)
		})
	}
	for i, r := range togetherBy(t, s, s.UpdateLent, fns...) {
		if r.err != nil || (r.p != nil) != (i == 4) {
			t.Errorf("caller %d: %+v", i, r)
		}
	}
	for i, g := range ran {
		if (g == ran[0]) != (i < 4) || (g == ran[4]) != (i >= 4) {
			t.Errorf("function %d ran on %s; the first on %s, the one that panics on %s", i, g, ran[0], ran[4])
		}
	}
	if size, err := s.Size(); size.Commits != 1 || size.Callers != 7 || err != nil {
		t.Errorf("%d commits for %d callers, want 1 for 7; %v", size.Commits, size.Callers, err)
	}
}

// TestGroupLentContext tests that a caller who gives up while waiting has its function
// not run, and that nobody else minds.
func TestGroupLentContext(t *testing.T) {
	s := open(t, create(t))
	ctx, cancel := context.WithCancel(t.Context())
	var gaveUp error
	done := make(chan struct{})
	fns := []func(kv.Tx) error{
		func(tx kv.Tx) error {
			go func() {
				defer close(done)
				_, gaveUp = s.UpdateLent(ctx, func(kv.Tx) error { t.Error("was run"); return nil })
			}()
			for boltkv.Waiting(s) < 2 {
				runtime.Gosched()
			}
			cancel()
			<-done
			return tx.Put(bucketA, []byte("a"), nil)
		},
		func(tx kv.Tx) error { return tx.Put(bucketA, []byte("b"), nil) },
	}
	for i, r := range togetherBy(t, s, s.UpdateLent, fns...) {
		if r.err != nil || r.p != nil {
			t.Errorf("caller %d: %+v", i, r)
		}
	}
	if !errors.Is(gaveUp, context.Canceled) {
		t.Errorf("who gave up: %v", gaveUp)
	}
}

// goroutine names the goroutine that calls it.
func goroutine() string {
	buf := make([]byte, 64)
	name, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), " [")
	return name
}

// TestGroupDeletedPages tests reading back over pages that an earlier caller
// of the same commit emptied.
func TestGroupDeletedPages(t *testing.T) {
	s := open(t, create(t))
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	_, err := s.Update(t.Context(), func(tx kv.Tx) error {
		for i := range 3000 {
			if err := tx.Put(bucketA, key(i), make([]byte, 40)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func(tx kv.Tx, write bool) error {
		if write {
			if err := tx.Put(bucketA, []byte("zzz"), nil); err != nil {
				return err
			}
			if err := tx.Delete(bucketA, []byte("zzz")); err != nil {
				return err
			}
		}
		up, down := 0, 0
		for _, err := range tx.Scan(bucketA, nil, nil) {
			if err != nil {
				return err
			}
			up++
		}
		for _, err := range tx.ScanBack(bucketA, nil, nil) {
			if err != nil {
				return err
			}
			down++
		}
		if up != 1000 || down != 1000 {
			t.Errorf("%d keys up, %d down, want 1000", up, down)
		}
		return nil
	}
	for i, r := range together(t, s,
		func(tx kv.Tx) error {
			for i := 500; i < 2500; i++ {
				if err := tx.Delete(bucketA, key(i)); err != nil {
					return err
				}
			}
			return nil
		},
		func(tx kv.Tx) error { return count(tx, false) },
		func(tx kv.Tx) error { return count(tx, true) },
	) {
		if r.err != nil || r.p != nil {
			t.Errorf("caller %d: %+v", i, r)
		}
	}
	verify(t, s)
}

// TestNestedOtherStore tests that a transaction of one store inside one of another is fine.
func TestNestedOtherStore(t *testing.T) {
	a, b := open(t, create(t)), open(t, create(t))
	_, err := a.Update(t.Context(), func(tx kv.Tx) error {
		put(t, b, "k", "v")
		return tx.Put(bucketA, []byte("k"), []byte(get(t, b, "k")))
	})
	if got := get(t, a, "k"); got != "v" || err != nil {
		t.Errorf("k = %q, %v", got, err)
	}
}
