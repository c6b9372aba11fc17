package kvtest

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// iterators tests leaving a loop early, using an iterator again, and reading
// while a loop runs.
func iterators(t *testing.T, s kv.Store) {
	put(t, s, "a", "1", "b", "2", "c", "3")
	use := func(r kv.Reader) error {
		up, down := r.Scan(A, nil, nil), r.ScanBack(A, nil, nil)
		for range 2 {
			for p, err := range up {
				if err != nil || string(p.Key) != "a" {
					t.Errorf("first pair is %q, %v", p.Key, err)
				}
				break
			}
			for p, err := range down {
				if err != nil || string(p.Key) != "c" {
					t.Errorf("last pair is %q, %v", p.Key, err)
				}
				break
			}
		}
		got := ""
		for p, err := range up {
			if err != nil {
				return err
			}
			for q, err := range down {
				if err != nil {
					return err
				}
				v, err := r.Get(A, q.Key)
				if err != nil {
					return err
				}
				got += string(p.Key) + string(v)
			}
		}
		if want := "a3a2a1b3b2b1c3c2c1"; got != want {
			t.Errorf("loop in a loop: %s, want %s", got, want)
		}
		return nil
	}
	if _, err := s.View(ctx(t), use); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		if err := use(tx); err != nil {
			return err
		}
		for _, err := range []error{tx.Put(A, []byte("b"), []byte("x")), tx.Put(A, []byte("b"), []byte("2")), tx.Put(B, []byte("z"), nil)} {
			if err != nil {
				return err
			}
		}
		// A loop over one bucket may write to another.
		for p, err := range tx.Scan(A, nil, nil) {
			if err != nil {
				return err
			}
			if err := tx.Put(B, p.Key, p.Value); err != nil {
				return err
			}
		}
		return use(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, s, B), `"a"="1" "b"="2" "c"="3" "z"="" `; got != want {
		t.Errorf("copied bucket: %s, want %s", got, want)
	}
}

// revisions tests that they only grow, by writes alone, and agree between calls.
func revisions(t *testing.T, s kv.Store) {
	head := func() kv.Rev {
		t.Helper()
		rev, err := s.Head(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	last := head()
	for range 5 {
		rev := put(t, s, "k", "v")
		if rev <= last {
			t.Errorf("revision %d after %d", rev, last)
		}
		last = rev
		if got := head(); got != rev {
			t.Errorf("Head is %d after a write at %d", got, rev)
		}
		got, err := s.View(ctx(t), func(kv.Reader) error { return nil })
		if got != rev || err != nil {
			t.Errorf("View is at %d after a write at %d; %v", got, rev, err)
		}
	}
	got, err := s.Update(ctx(t), func(tx kv.Tx) error {
		_, err := tx.Get(A, []byte("k"))
		return err
	})
	if got != last || err != nil {
		t.Errorf("Update without a write returns %d, want %d; %v", got, last, err)
	}
	_, err = s.Update(ctx(t), func(tx kv.Tx) error {
		return errors.Join(tx.Put(A, []byte("k"), nil), errRollback)
	})
	wantErr(t, "failing Update", err, errRollback)
	if got := head(); got != last {
		t.Errorf("Head is %d after updates that changed nothing, want %d", got, last)
	}
}

// errorRollsBack tests that the error comes back as it is and the writes do not.
func errorRollsBack(t *testing.T, s kv.Store) {
	put(t, s, "k", "old", "l", "old")
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		_ = tx.Put(A, []byte("k"), []byte("new"))
		_ = tx.Put(A, []byte("m"), []byte("new"))
		_ = tx.DeletePrefix(A, []byte("l"))
		return errRollback
	})
	if err != errRollback {
		t.Errorf("error %v, want %v itself", err, errRollback)
	}
	_, err = s.View(ctx(t), func(kv.Reader) error { return errRollback })
	if err != errRollback {
		t.Errorf("View: error %v, want %v itself", err, errRollback)
	}
	wantContent(t, s, "k", "old", "l", "old")
}

// panicRollsBack tests that a panic passes through unchanged and the store works on.
func panicRollsBack(t *testing.T, s kv.Store) {
	value := &struct{ int }{1}
	func() {
		defer func() {
			if p := recover(); p != value {
				t.Errorf("recovered %v, want the value of the panic", p)
			}
		}()
		_, _ = s.Update(ctx(t), func(tx kv.Tx) error {
			_ = tx.Put(A, []byte("k"), []byte("v"))
			panic(value)
		})
	}()
	wantContent(t, s)
	put(t, s, "k", "v")
	wantContent(t, s, "k", "v")
}

// panicInView is panicRollsBack for View.
func panicInView(t *testing.T, s kv.Store) {
	func() {
		defer func() {
			if p := recover(); p != "view" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = s.View(ctx(t), func(kv.Reader) error { panic("view") })
	}()
	put(t, s, "k", "v")
	wantContent(t, s, "k", "v")
}

// goexitRollsBack tests that a closure may end its goroutine.
func goexitRollsBack(t *testing.T, s kv.Store) {
	for _, run := range []func(){
		func() {
			_, _ = s.Update(ctx(t), func(tx kv.Tx) error {
				_ = tx.Put(A, []byte("k"), []byte("v"))
				runtime.Goexit()
				return nil
			})
		},
		func() {
			_, _ = s.View(ctx(t), func(kv.Reader) error {
				runtime.Goexit()
				return nil
			})
		},
	} {
		done := make(chan struct{})
		returned := false
		go func() {
			defer close(done)
			run()
			returned = true
		}()
		<-done
		if returned {
			t.Error("the call returned after Goexit")
		}
		wantContent(t, s)
	}
	put(t, s, "k", "v")
	wantContent(t, s, "k", "v")
}

// runTwice tests that nothing of a run remains that the store does not keep:
// whatever the number of runs, the transaction counts once.
func runTwice(t *testing.T, s kv.Store) {
	runs := 0
	for range 3 {
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			runs++
			_, err := increment(tx, "n")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("3 transactions, %d runs", runs)
	wantContent(t, s, "n", "3")
}

// contextBefore tests that a closure is not called with a context that is done.
func contextBefore(t *testing.T, s kv.Store) {
	done, cancel := context.WithCancel(ctx(t))
	cancel()
	_, err := s.Update(done, func(kv.Tx) error {
		t.Error("Update called its closure")
		return nil
	})
	wantErr(t, "Update", err, context.Canceled)
	_, err = s.View(done, func(kv.Reader) error {
		t.Error("View called its closure")
		return nil
	})
	wantErr(t, "View", err, context.Canceled)
}

// contextWaiting tests that a caller which waits for another leaves when its
// context is done, and that the others do not notice.
func contextWaiting(t *testing.T, s kv.Store) {
	running, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	started := false
	go func() {
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			if !started {
				started = true
				close(running)
				<-release
			}
			return tx.Put(A, []byte("first"), nil)
		})
		first <- err
	}()
	<-running
	cancelled, cancel := context.WithCancel(ctx(t))
	second, third := make(chan error), make(chan error)
	go func() {
		_, err := s.Update(cancelled, func(tx kv.Tx) error { return tx.Put(A, []byte("second"), nil) })
		second <- err
	}()
	go func() {
		_, err := s.Update(ctx(t), func(tx kv.Tx) error { return tx.Put(A, []byte("third"), nil) })
		third <- err
	}()
	cancel()
	wantErr(t, "cancelled", <-second, context.Canceled)
	close(release)
	wantErr(t, "first", <-first, nil)
	wantErr(t, "third", <-third, nil)
	wantContent(t, s, "first", "", "third", "")
}

// nestedCalls tests that a transaction inside another is refused where it
// would wait for itself, and that a View inside another works.
func nestedCalls(t *testing.T, s kv.Store) {
	fail := func(kv.Tx) error {
		t.Error("the nested closure ran")
		return nil
	}
	check := func() {
		_, err := s.Update(ctx(t), fail)
		wantErr(t, "nested Update", err, kv.ErrNested)
		wantErr(t, "nested Close", s.Close(), kv.ErrNested)
		_, err = s.View(ctx(t), func(r kv.Reader) error {
			v, err := r.Get(A, []byte("k"))
			if v != nil {
				t.Errorf("nested View sees %q, which is not committed", v)
			}
			_, nested := s.Update(ctx(t), fail)
			wantErr(t, "Update two levels down", nested, kv.ErrNested)
			return err
		})
		wantErr(t, "nested View", err, nil)
	}
	if _, err := s.View(ctx(t), func(kv.Reader) error { check(); return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		if err := tx.Put(A, []byte("k"), nil); err != nil {
			return err
		}
		check()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "k", "")
}

// useAfter tests that a transaction is of no use after its closure.
func useAfter(t *testing.T, s kv.Store) {
	put(t, s, "k", "v", "l", "w")
	var r kv.Reader
	var tx kv.Tx
	var seqs []iter.Seq2[kv.Pair, error]
	next := make([]func() (kv.Pair, error, bool), 0, 4)
	pull := func(r kv.Reader) {
		for _, seq := range []iter.Seq2[kv.Pair, error]{r.Scan(A, nil, nil), r.ScanBack(A, nil, nil)} {
			seqs = append(seqs, seq)
			n, stop := iter.Pull2(seq)
			t.Cleanup(stop)
			if _, err, ok := n(); err != nil || !ok {
				t.Errorf("first pair: %v, %v", err, ok)
			}
			next = append(next, n)
		}
	}
	_, err1 := s.View(ctx(t), func(got kv.Reader) error { r = got; pull(got); return nil })
	_, err2 := s.Update(ctx(t), func(got kv.Tx) error {
		tx = got
		pull(got)
		return got.Put(B, []byte("k"), nil)
	})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	_, err := r.Get(A, []byte("k"))
	wantErr(t, "Get of a View", err, kv.ErrClosed)
	_, err = tx.Get(A, []byte("k"))
	wantErr(t, "Get", err, kv.ErrClosed)
	wantErr(t, "Put", tx.Put(A, []byte("k"), nil), kv.ErrClosed)
	wantErr(t, "Delete", tx.Delete(A, []byte("k")), kv.ErrClosed)
	wantErr(t, "DeletePrefix", tx.DeletePrefix(A, nil), kv.ErrClosed)
	_, err = tx.DeleteSome(A, nil, 1)
	wantErr(t, "DeleteSome", err, kv.ErrClosed)
	for i, seq := range slices.Concat(seqs, []iter.Seq2[kv.Pair, error]{tx.Scan(A, nil, nil), r.ScanBack(A, nil, nil)}) {
		_, err := list(seq)
		wantErr(t, "scan "+string(rune('0'+i)), err, kv.ErrClosed)
	}
	for _, n := range next {
		_, err, ok := n()
		wantErr(t, "running scan", err, kv.ErrClosed)
		if _, _, more := n(); !ok || more {
			t.Error("the error is not the last element")
		}
	}
	wantContent(t, s, "k", "v", "l", "w")
}

// closing tests calls after Close.
func closing(t *testing.T, s kv.Store) {
	put(t, s, "k", "v")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, err := s.View(ctx(t), func(kv.Reader) error { t.Error("View called its closure"); return nil })
	wantErr(t, "View", err, kv.ErrClosed)
	_, err = s.Update(ctx(t), func(kv.Tx) error { t.Error("Update called its closure"); return nil })
	wantErr(t, "Update", err, kv.ErrClosed)
	_, err = s.Head(ctx(t))
	wantErr(t, "Head", err, kv.ErrClosed)
}

// closeWaits tests that Close waits for a View and for an Update.
func closeWaits(t *testing.T, s kv.Store) {
	put(t, s, "k", "v")
	inView, inUpdate, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	results := make(chan error, 3)
	go func() {
		_, err := s.View(ctx(t), func(r kv.Reader) error {
			close(inView)
			<-release
			v, err := r.Get(A, []byte("k"))
			if string(v) != "v" {
				t.Errorf("the View read %q", v)
			}
			return err
		})
		results <- err
	}()
	go func() {
		first := true
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			if first {
				first = false
				close(inUpdate)
				<-release
			}
			return tx.Put(A, []byte("l"), nil)
		})
		results <- err
	}()
	<-inView
	<-inUpdate
	go func() { results <- s.Close() }()
	runtime.Gosched()
	close(release)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// watch tests that a watcher ends when its context does, or at once.
func watch(t *testing.T, s kv.Store) {
	stop, cancel := context.WithCancel(ctx(t))
	put(t, s, "k", "v")
	cancel()
	for _, err := range s.Watch(stop, 0) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	}
}
