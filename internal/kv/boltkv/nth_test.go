package boltkv_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// TestNoneSeesWhatWasWritten: a transaction, also one in bulk, is not told that there is nothing where it has just put something.
func TestNoneSeesWhatWasWritten(t *testing.T) {
	s := open(t, create(t))
	fn := func(tx kv.Tx) error {
		none := func(want bool) {
			t.Helper()
			if got, err := tx.(kv.Prober).None(bucketA, []byte("b")); err != nil || got != want {
				t.Errorf("none: %v, %v", got, err)
			}
		}
		none(true)
		err := tx.Put(bucketA, []byte("b1"), nil)
		none(false)
		return err
	}
	_, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("c"), nil) })
	must(t, err)
	undo := errors.New("undo")
	if _, err := s.Update(t.Context(), func(tx kv.Tx) error { return errors.Join(fn(tx), undo) }); !errors.Is(err, undo) {
		t.Error(err)
	}
	_, err = s.BulkUpdate(t.Context(), func(b kv.Bulk) error { return fn(b) }, func() {})
	must(t, err)
}

// TestDeleteSomeIsExact: as many keys are deleted as were asked for, wherever in their page the last one is, and nothing of another prefix.
func TestDeleteSomeIsExact(t *testing.T) {
	const each = 3000
	s := open(t, create(t))
	update := func(fn func(kv.Tx) error) error {
		_, err := s.Update(t.Context(), fn)
		return err
	}
	must(t, update(func(tx kv.Tx) error {
		for _, prefix := range "abc" {
			for i := range each {
				if err := tx.Put(bucketA, fmt.Appendf(nil, "%c%06d", prefix, i), make([]byte, 100)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	undo := errors.New("undo")
	for _, prefix := range []string{"a", "b", "c"} {
		for n := 1; n <= each+1; n += max(1, min(n/7, each-n)) {
			err := update(func(tx kv.Tx) error {
				more, err := tx.DeleteSome(bucketA, []byte(prefix), n)
				if err != nil {
					return err
				}
				if more != (n < each) {
					t.Errorf("%d of %s: more %v", n, prefix, more)
				}
				left, first := make(map[byte]int), ""
				for p, err := range tx.Scan(bucketA, nil, nil) {
					if err != nil {
						return err
					}
					if left[p.Key[0]]++; first == "" && p.Key[0] == prefix[0] {
						first = string(p.Key)
					}
				}
				want := fmt.Sprintf("%s%06d", prefix, n)
				if n >= each {
					want = ""
				}
				if first != want || len(left) < 2 || left['a']+left['b']+left['c'] != 3*each-min(n, each) {
					t.Errorf("%d of %s: the first left is %q, want %q; there are %v", n, prefix, first, want, left)
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Fatal(err)
			}
		}
	}
	for more := true; more; {
		must(t, update(func(tx kv.Tx) (err error) {
			more, err = tx.DeleteSome(bucketA, []byte("b"), 777)
			return err
		}))
	}
	verify(t, s)
	if got := get(t, s, "b002999") + get(t, s, "b000000"); got != "" || len(get(t, s, "a002999")) != 100 || len(get(t, s, "c000000")) != 100 {
		t.Error("other keys than those were deleted")
	}
}
