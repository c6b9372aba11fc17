package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// RunBulk tests a store that is a [kv.BulkUpdater], in the way of [Run].
func RunBulk(t *testing.T, open func(t *testing.T) kv.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, bulkStore)
	}{
		{"model", bulkModel},
		{"what reads see", bulkReads},
		{"taken", bulkTaken},
		{"refused", bulkRefused},
		{"failure leaves no trace", bulkFails},
		{"readers go on and writers wait", bulkWaits},
		{"last", bulkLast},
		{"nested", bulkNested},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			b, ok := s.(bulkStore)
			if !ok {
				t.Fatalf("%T cannot update in bulk", s)
			}
			_, err := b.BulkUpdate(ctx(t), func(kv.Bulk) error { return nil }, func() {})
			if errors.Is(err, errors.ErrUnsupported) && runtime.GOOS == "windows" {
				t.Skip("not supported on Windows")
			}
			if err != nil {
				t.Fatal(err)
			}
			test.run(t, b)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

type bulkStore interface {
	kv.Store
	kv.BulkUpdater
}

// ordered yields pairs given as key, value, key, value.
func ordered(pairs ...string) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(kv.Pair{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])}, nil) {
				return
			}
		}
	}
}

// bulk updates in bulk and fails the test if that fails.
func bulk(t *testing.T, s bulkStore, fn func(kv.Bulk) error) kv.Rev {
	t.Helper()
	rev, err := s.BulkUpdate(ctx(t), fn, func() {})
	if err != nil {
		t.Fatalf("BulkUpdate: %v", err)
	}
	return rev
}

// bulkModel loads amounts of all sizes into what is there and compares with a map.
func bulkModel(t *testing.T, s bulkStore) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[kv.Bucket]map[string]string{A: {}, B: {}}
	text := func(max int) string { return strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(max)) }
	key := func() string { return fmt.Sprintf("%s%d", text(12), rng.IntN(1_000_000)) }
	var rev kv.Rev
	for _, n := range []int{0, 1, 3, 50, 1000, 30_000, 2} {
		now := bulk(t, s, func(b kv.Bulk) error {
			for range n / 10 { // some by Put and Delete too
				k, v := key(), text(30)
				want[A][k] = v
				if err := b.Put(A, []byte(k), []byte(v)); err != nil {
					return err
				}
				for k := range want[B] {
					delete(want[B], k)
					if err := b.Delete(B, []byte(k)); err != nil {
						return err
					}
					break
				}
			}
			fresh := make(map[string]string)
			for range n {
				fresh[key()] = text(100)
			}
			if n > 0 { // the longest of all
				fresh[strings.Repeat("k", kv.MaxKey-1)+fmt.Sprint(n%10)] = text(kv.MaxValue)
				fresh["v"] = strings.Repeat("v", kv.MaxValue)
			}
			for k := range want[A] { // and some that are there already
				if len(fresh) >= n+n/10 {
					break
				}
				fresh[k] = "replaced"
			}
			maps.Copy(want[A], fresh)
			return b.Merge(A, func(yield func(kv.Pair, error) bool) {
				for _, k := range slices.Sorted(maps.Keys(fresh)) {
					if !yield(kv.Pair{Key: []byte(k), Value: []byte(fresh[k])}, nil) {
						return
					}
				}
			}, nil)
		})
		if now <= rev {
			t.Errorf("revision %d after %d", now, rev)
		}
		if head, err := s.Head(ctx(t)); err != nil || head != now {
			t.Errorf("the newest revision is %d, %v; BulkUpdate gave %d", head, err, now)
		}
		for b := range want {
			holds(t, s, b, want[b])
		}
		// The store works on as any other.
		for i := range 20 {
			in, k, v := B, key(), text(100)
			if i == 0 {
				in, k, v = A, "v", "short"
			}
			want[in][k] = v
			var err error
			if rev, err = s.Update(ctx(t), func(tx kv.Tx) error { return tx.Put(in, []byte(k), []byte(v)) }); err != nil {
				t.Fatal(err)
			}
		}
		if rev <= now {
			t.Errorf("revision %d after the bulk update's %d", rev, now)
		}
		for b := range want {
			holds(t, s, b, want[b])
		}
	}
}

// holds compares a bucket with a map, key by key and in order.
func holds(t *testing.T, s kv.Store, b kv.Bucket, want map[string]string) {
	t.Helper()
	_, err := s.View(ctx(t), func(r kv.Reader) error {
		keys := slices.Sorted(maps.Keys(want))
		i := 0
		for p, err := range r.Scan(b, nil, nil) {
			if err != nil {
				return err
			}
			if i == len(keys) || string(p.Key) != keys[i] || string(p.Value) != want[keys[i]] {
				return fmt.Errorf("pair %d of %d has the key %.20q and %d bytes", i, len(keys), p.Key, len(p.Value))
			}
			i++
		}
		if i != len(keys) {
			return fmt.Errorf("%d pairs, want %d", i, len(keys))
		}
		for k, v := range want {
			if got, err := r.Get(b, []byte(k)); err != nil || string(got) != v {
				return fmt.Errorf("key %.20q: %d bytes, %v", k, len(got), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("bucket %s: %v", b, err)
	}
}

func bulkReads(t *testing.T, s bulkStore) {
	put(t, s, "a", "1", "c", "1")
	bulk(t, s, func(b kv.Bulk) error {
		if err := errors.Join(b.Put(A, []byte("b"), []byte("2")), b.Delete(A, []byte("c"))); err != nil {
			return err
		}
		if err := b.Merge(A, ordered("d", "3"), nil); err != nil {
			return err
		}
		got, err := list(b.Scan(A, nil, nil))
		if want := `"a"="1" "b"="2" `; got != want || err != nil {
			t.Errorf("a scan gives %s, %v; want %s", got, err, want)
		}
		if v, err := b.Get(A, []byte("d")); v != nil || err != nil {
			t.Errorf("a merged pair reads as %q, %v", v, err)
		}
		return nil
	})
	wantContent(t, s, "a", "1", "b", "2", "d", "3")
}

func bulkTaken(t *testing.T, s bulkStore) {
	put(t, s, "a", "old", "c", "old")
	var taken []string
	note := func(p kv.Pair) error {
		taken = append(taken, string(p.Key)+"="+string(p.Value))
		return nil
	}
	bulk(t, s, func(b kv.Bulk) error {
		if err := b.Put(A, []byte("b"), []byte("put")); err != nil {
			return err
		}
		return b.Merge(A, ordered("a", "new", "b", "new", "bb", "new", "c", "new", "d", "new"), note)
	})
	if got, want := strings.Join(taken, " "), "a=new b=new c=new"; got != want {
		t.Errorf("taken: %s; want %s", got, want)
	}
	wantContent(t, s, "a", "old", "b", "put", "bb", "new", "c", "old", "d", "new")
	stop := errors.New("stop")
	_, err := s.BulkUpdate(ctx(t), func(b kv.Bulk) error {
		return b.Merge(A, ordered("a", "newer", "x", "y"), func(kv.Pair) error { return stop })
	}, func() { t.Error("last was called") })
	wantErr(t, "an error of taken", err, stop)
	wantContent(t, s, "a", "old", "b", "put", "bb", "new", "c", "old", "d", "new")
}

func bulkRefused(t *testing.T, s bulkStore) {
	put(t, s, "a", "1")
	for what, fn := range map[string]func(kv.Bulk) error{
		"descending keys":     func(b kv.Bulk) error { return b.Merge(A, ordered("c", "", "b", ""), nil) },
		"a key twice":         func(b kv.Bulk) error { return b.Merge(A, ordered("c", "", "c", ""), nil) },
		"an empty key":        func(b kv.Bulk) error { return b.Merge(A, ordered("", "x"), nil) },
		"a long key":          func(b kv.Bulk) error { return b.Merge(A, ordered(strings.Repeat("k", kv.MaxKey+1), ""), nil) },
		"a long value":        func(b kv.Bulk) error { return b.Merge(A, ordered("k", strings.Repeat("v", kv.MaxValue+1)), nil) },
		"a bucket it has not": func(b kv.Bulk) error { return b.Merge(Unknown, ordered("c", ""), nil) },
		"merging twice": func(b kv.Bulk) error {
			return errors.Join(b.Merge(A, ordered("c", ""), nil), b.Merge(A, ordered("d", ""), nil))
		},
		"putting after merging": func(b kv.Bulk) error { return second(b.Merge(A, ordered("c", ""), nil), b.Put(A, []byte("x"), nil)) },
		"deleting after merging": func(b kv.Bulk) error {
			return second(b.Merge(A, ordered("c", ""), nil), b.Delete(A, []byte("a")))
		},
		"clearing after merging": func(b kv.Bulk) error {
			return second(b.Merge(A, ordered("c", ""), nil), b.DeletePrefix(A, nil))
		},
		"an error of the pairs": func(b kv.Bulk) error {
			return b.Merge(A, func(yield func(kv.Pair, error) bool) { yield(kv.Pair{}, errors.New("broken")) }, nil)
		},
	} {
		if _, err := s.BulkUpdate(ctx(t), fn, func() { t.Errorf("%s: last was called", what) }); err == nil {
			t.Errorf("%s was taken", what)
		}
		wantContent(t, s, "a", "1")
	}
}

// second returns the second error if there is no first.
func second(first, err error) error {
	if first != nil {
		panic(first)
	}
	return err
}

func bulkFails(t *testing.T, s bulkStore) {
	rev := put(t, s, "a", "1")
	never := func() { t.Error("last was called") }
	load := func(b kv.Bulk) error {
		return errors.Join(b.Put(A, []byte("b"), []byte("2")), b.Merge(B, ordered("c", "3"), nil))
	}
	stop := errors.New("stop")
	_, err := s.BulkUpdate(ctx(t), func(b kv.Bulk) error { return errors.Join(load(b), stop) }, never)
	wantErr(t, "an error", err, stop)
	done := make(chan any)
	for _, leave := range []func(){func() { panic("ouch") }, runtime.Goexit} {
		go func() {
			defer func() { done <- recover() }()
			_, _ = s.BulkUpdate(context.Background(), func(b kv.Bulk) error {
				if err := load(b); err != nil {
					return err
				}
				leave()
				return nil
			}, never)
		}()
		<-done
	}
	c, cancel := context.WithCancel(ctx(t))
	_, err = s.BulkUpdate(c, func(b kv.Bulk) error { cancel(); return load(b) }, never)
	wantErr(t, "a context that is done meanwhile", err, context.Canceled)
	_, err = s.BulkUpdate(c, func(kv.Bulk) error { t.Error("fn was called"); return nil }, never)
	wantErr(t, "a context that is done before", err, context.Canceled)
	wantContent(t, s, "a", "1")
	if got := content(t, s, B); got != "" {
		t.Errorf("the other bucket holds %s", got)
	}
	if head, err := s.Head(ctx(t)); err != nil || head != rev {
		t.Errorf("revision %d, %v; want %d", head, err, rev)
	}
	var kept kv.Bulk
	bulk(t, s, func(b kv.Bulk) error { kept = b; return load(b) })
	wantErr(t, "a use afterwards", kept.Put(A, []byte("x"), nil), kv.ErrClosed)
	wantErr(t, "a merge afterwards", kept.Merge(A, ordered("x", ""), nil), kv.ErrClosed)
	wantContent(t, s, "a", "1", "b", "2")
}

func bulkWaits(t *testing.T, s bulkStore) {
	put(t, s, "a", "1")
	wrote := make(chan error, 1)
	bulk(t, s, func(b kv.Bulk) error {
		go func() {
			_, err := s.Update(context.Background(), func(tx kv.Tx) error {
				v, err := tx.Get(A, []byte("b"))
				if string(v) != "2" {
					t.Errorf("the writer that waited sees %q", v)
				}
				return errors.Join(err, tx.Put(A, []byte("c"), []byte("3")))
			})
			wrote <- err
		}()
		read := make(chan string)
		go func() { read <- content(t, s, A) }()
		if got := <-read; got != `"a"="1" ` {
			t.Errorf("a reader meanwhile sees %s", got)
		}
		for range 100 { // if the writer goes on, let it
			runtime.Gosched()
		}
		select {
		case err := <-wrote:
			t.Errorf("a writer went on: %v", err)
		default:
		}
		return b.Merge(A, ordered("b", "2"), nil)
	})
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	wantContent(t, s, "a", "1", "b", "2", "c", "3")
}

// bulkLast tests that last comes once, before the new state can be seen and after everything else.
func bulkLast(t *testing.T, s bulkStore) {
	var order []string
	_, err := s.BulkUpdate(ctx(t), func(b kv.Bulk) error {
		order = append(order, "fn")
		return b.Merge(A, ordered("a", "1"), nil)
	}, func() {
		seen := make(chan string)
		go func() { seen <- content(t, s, A) }()
		order = append(order, "last, seeing "+<-seen)
	})
	order = append(order, fmt.Sprint("done ", err))
	if got, want := strings.Join(order, "; "), "fn; last, seeing ; done <nil>"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func bulkNested(t *testing.T, s bulkStore) {
	put(t, s, "a", "1")
	none := func(kv.Bulk) error { return nil }
	bulk(t, s, func(kv.Bulk) error {
		_, err := s.Update(ctx(t), func(kv.Tx) error { return nil })
		wantErr(t, "Update inside", err, kv.ErrNested)
		_, err = s.BulkUpdate(ctx(t), none, func() {})
		wantErr(t, "BulkUpdate inside", err, kv.ErrNested)
		wantErr(t, "Close inside", s.Close(), kv.ErrNested)
		wantContent(t, s, "a", "1")
		return nil
	})
	_, err := s.View(ctx(t), func(kv.Reader) error {
		_, err := s.BulkUpdate(ctx(t), none, func() {})
		return err
	})
	wantErr(t, "BulkUpdate in View", err, kv.ErrNested)
	_, err = s.Update(ctx(t), func(kv.Tx) error {
		_, err := s.BulkUpdate(ctx(t), none, func() {})
		return err
	})
	wantErr(t, "BulkUpdate in Update", err, kv.ErrNested)
	if !bytes.Equal([]byte(content(t, s, A)), []byte(`"a"="1" `)) {
		t.Error("something was changed")
	}
}
