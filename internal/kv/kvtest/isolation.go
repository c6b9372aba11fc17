package kvtest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// counters tests that concurrent increments are all kept and that each sees
// the one before.
func counters(t *testing.T, s kv.Store) {
	const callers, each = 16, 25
	var mu sync.Mutex
	seen := map[int]kv.Rev{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				var n int
				rev, err := s.Update(ctx(t), func(tx kv.Tx) (err error) {
					n, err = increment(tx, "n")
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if _, ok := seen[n]; ok {
					t.Errorf("two transactions counted to %d", n)
				}
				seen[n] = rev
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wantContent(t, s, "n", strconv.Itoa(callers*each))
	for n := 2; n <= callers*each; n++ {
		if seen[n] < seen[n-1] {
			t.Errorf("revision %d of count %d is before revision %d of count %d", seen[n], n, seen[n-1], n-1)
		}
	}
}

// increment adds one to the number at key.
func increment(tx kv.Tx, key string) (int, error) {
	v, err := tx.Get(A, []byte(key))
	if err != nil {
		return 0, err
	}
	n := 0
	if v != nil {
		if n, err = strconv.Atoi(string(v)); err != nil {
			return 0, err
		}
	}
	n++
	return n, tx.Put(A, []byte(key), []byte(strconv.Itoa(n)))
}

// writeSkew tests that of two transactions which each read what the other
// writes, one sees the other's write.
func writeSkew(t *testing.T, s kv.Store) {
	for round := range 100 {
		x, y := fmt.Sprintf("x%d", round), fmt.Sprintf("y%d", round)
		var wg sync.WaitGroup
		for _, keys := range [][2]string{{x, y}, {y, x}} {
			wg.Go(func() {
				_, err := s.Update(ctx(t), func(tx kv.Tx) error {
					v, err := tx.Get(A, []byte(keys[0]))
					if v != nil || err != nil {
						return err
					}
					return tx.Put(A, []byte(keys[1]), []byte("1"))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		_, err := s.View(ctx(t), func(r kv.Reader) error {
			a, err1 := r.Get(A, []byte(x))
			b, err2 := r.Get(A, []byte(y))
			if (a != nil) == (b != nil) {
				t.Errorf("round %d: %q and %q, want exactly one", round, a, b)
			}
			return errors.Join(err1, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// phantoms tests that a transaction which found a range empty is not followed
// by another that found it empty too.
func phantoms(t *testing.T, s kv.Store) {
	for round := range 50 {
		prefix := fmt.Sprintf("r%d.", round)
		var wg sync.WaitGroup
		for caller := range 4 {
			wg.Go(func() {
				_, err := s.Update(ctx(t), func(tx kv.Tx) error {
					for _, err := range tx.Scan(A, []byte(prefix), nil) {
						return err
					}
					return tx.Put(A, fmt.Appendf(nil, "%s%d", prefix, caller), nil)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		_, err := s.View(ctx(t), func(r kv.Reader) error {
			for _, err := range r.ScanBack(A, []byte(prefix), nil) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if n != 1 || err != nil {
			t.Errorf("round %d: %d keys, want 1; %v", round, n, err)
		}
	}
}

// snapshot tests that a View sees one state, and the newest when it began,
// while writers go on.
func snapshot(t *testing.T, s kv.Store) {
	put(t, s, "x", "0", "y", "0")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			v := []byte(strconv.Itoa(n))
			_, err := s.Update(ctx(t), func(tx kv.Tx) error {
				return errors.Join(tx.Put(A, []byte("x"), v), tx.Put(A, []byte("y"), v))
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	last, lastRev := -1, kv.Rev(0)
	for range 200 {
		var x, y int
		rev, err := s.View(ctx(t), func(r kv.Reader) error {
			a, err1 := r.Get(A, []byte("x"))
			x, _ = strconv.Atoi(string(a))
			b, err2 := r.Get(A, []byte("y"))
			y, _ = strconv.Atoi(string(b))
			return errors.Join(err1, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
		if x != y || x < last || rev < lastRev {
			t.Fatalf("x=%d y=%d at revision %d after %d at %d", x, y, rev, last, lastRev)
		}
		last, lastRev = x, rev
	}
	// One View across whole updates of another goroutine.
	_, err := s.View(ctx(t), func(r kv.Reader) error {
		before, err := r.Get(A, []byte("x"))
		if err != nil {
			return err
		}
		was := string(before)
		done := make(chan error)
		go func() {
			_, err := s.Update(ctx(t), func(tx kv.Tx) error { return tx.Put(A, []byte("x"), []byte("other")) })
			done <- err
		}()
		if err := <-done; err != nil {
			return err
		}
		now, err := r.Get(A, []byte("x"))
		if string(now) != was {
			t.Errorf("the view's value went from %q to %q", was, now)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
}

// failingCallers tests that closures which fail, panic or end their goroutine
// among others that succeed leave nothing behind and make no other fail.
func failingCallers(t *testing.T, s kv.Store) {
	const callers = 32
	var good atomic.Int64
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := range 8 {
				good.Add(int64(oneCaller(t, s, caller, round)))
			}
		})
	}
	wg.Wait()
	n := 0
	_, err := s.View(ctx(t), func(r kv.Reader) error {
		for p, err := range r.Scan(A, nil, nil) {
			if err != nil {
				return err
			}
			if string(p.Key[:4]) != "good" {
				t.Errorf("a failed transaction left %q", p.Key)
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if int64(n) != good.Load() {
		t.Errorf("%d keys, want %d", n, good.Load())
	}
}

// oneCaller runs one transaction that ends in a way that caller and round
// decide, and returns how many keys it must have left.
func oneCaller(t *testing.T, s kv.Store, caller, round int) int {
	key := func(kind string) []byte { return fmt.Appendf(nil, "%s.%d.%d", kind, caller, round) }
	switch (caller + round) % 4 {
	case 0:
		want := fmt.Errorf("kvtest: caller %d", caller)
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			_ = tx.DeletePrefix(A, nil)
			_ = tx.Put(A, key("fail"), nil)
			return want
		})
		if err != want {
			t.Errorf("error %v, want %v", err, want)
		}
		return 0
	case 1:
		defer func() {
			if p := recover(); p != caller {
				t.Errorf("recovered %v, want %v", p, caller)
			}
		}()
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			_ = tx.Put(A, key("panic"), nil)
			panic(caller)
		})
		t.Errorf("Update returned %v after a panic", err)
		return 0
	default:
		_, err := s.Update(ctx(t), func(tx kv.Tx) error { return tx.Put(A, key("good"), nil) })
		if err != nil {
			t.Error(err)
		}
		return 1
	}
}
