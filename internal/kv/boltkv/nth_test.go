package boltkv_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

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
