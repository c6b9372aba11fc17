package kvtest

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A sorted is the model: a map with the operations of a bucket.
type sorted map[string]string

func (m sorted) deletePrefix(p string) {
	for k := range m {
		if strings.HasPrefix(k, p) {
			delete(m, k)
		}
	}
}

// scan returns the keys that Scan or ScanBack must yield.
func (m sorted) scan(back bool, prefix string, bound []byte) []string {
	var keys []string
	for k := range m {
		in := bound == nil || (back && k < string(bound)) || (!back && k >= string(bound))
		if in && strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if back {
		slices.Reverse(keys)
	}
	return keys
}

var errRollback = errors.New("kvtest: roll back")

// model runs random transactions on the store and on a map, and compares
// every read.
func model(t *testing.T, s kv.Store) {
	const transactions = 400
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	state := map[kv.Bucket]sorted{A: {}, B: {}}
	for range transactions {
		var next map[kv.Bucket]sorted
		script := rnd.Uint64()
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			rnd := rand.New(rand.NewPCG(script, 2)) // the same if it runs again
			next = map[kv.Bucket]sorted{A: maps.Clone(state[A]), B: maps.Clone(state[B])}
			for range 1 + rnd.IntN(30) {
				if err := step(t, rnd, tx, next); err != nil {
					return err
				}
			}
			if rnd.IntN(6) == 0 {
				return errRollback
			}
			return nil
		})
		switch {
		case err == nil:
			state = next
		case err != errRollback:
			t.Fatal(err)
		}
		_, err = s.View(ctx(t), func(r kv.Reader) error {
			for range 3 {
				if err := look(t, rnd, r, state); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// randomKey returns a short key of few different bytes, with the extreme ones among them.
func randomKey(rnd *rand.Rand, least int) []byte {
	k := make([]byte, least+rnd.IntN(4))
	for i := range k {
		k[i] = []byte{0x00, 'a', 'b', 0xff}[rnd.IntN(4)]
	}
	return k
}

// step writes once, to the store and to the model, or looks.
func step(t *testing.T, rnd *rand.Rand, tx kv.Tx, m map[kv.Bucket]sorted) error {
	b := []kv.Bucket{A, B}[rnd.IntN(2)]
	switch rnd.IntN(10) {
	case 0, 1, 2, 3:
		k, v := randomKey(rnd, 1), fmt.Sprint(rnd.IntN(1000))
		if rnd.IntN(8) == 0 {
			v = strings.Repeat(v, 500)
		}
		m[b][string(k)] = v
		return tx.Put(b, k, []byte(v))
	case 4, 5:
		k := randomKey(rnd, 1)
		delete(m[b], string(k))
		return tx.Delete(b, k)
	case 6:
		if rnd.IntN(3) > 0 {
			return nil
		}
		p := randomKey(rnd, 0)
		if rnd.IntN(2) == 0 {
			m[b].deletePrefix(string(p))
			return tx.DeletePrefix(b, p)
		}
		n := 1 + rnd.IntN(6)
		keys := m[b].scan(false, string(p), nil)
		for _, k := range keys[:min(n, len(keys))] {
			delete(m[b], k)
		}
		more, err := tx.DeleteSome(b, p, n)
		if err == nil && more != (n < len(keys)) {
			t.Errorf("DeleteSome(%q, %d) of %d keys says that there are more: %v", p, n, len(keys), more)
		}
		return err
	default:
		return look(t, rnd, tx, m)
	}
}

// look reads at random and compares.
func look(t *testing.T, rnd *rand.Rand, r kv.Reader, m map[kv.Bucket]sorted) error {
	t.Helper()
	b := []kv.Bucket{A, B}[rnd.IntN(2)]
	k := randomKey(rnd, 1)
	v, err := r.Get(b, k)
	if err != nil {
		return err
	}
	want, ok := m[b][string(k)]
	if string(v) != want || (v != nil) != ok {
		t.Errorf("Get(%q) = %q (nil: %v), want %q", k, v, v == nil, want)
	}
	prefix := randomKey(rnd, 0)
	var bound []byte
	if rnd.IntN(2) == 0 {
		bound = randomKey(rnd, 0)
	}
	for _, back := range []bool{false, true} {
		seq := r.Scan(b, prefix, bound)
		if back {
			seq = r.ScanBack(b, prefix, bound)
		}
		if err := compare(t, seq, m[b], m[b].scan(back, string(prefix), bound)); err != nil {
			return err
		}
		if t.Failed() {
			t.Logf("back %v, prefix %q, bound %q (nil: %v)", back, prefix, bound, bound == nil)
			return nil
		}
	}
	return nil
}

// compare reads a scan to its end.
func compare(t *testing.T, seq iter.Seq2[kv.Pair, error], m sorted, keys []string) error {
	t.Helper()
	i := 0
	for p, err := range seq {
		if err != nil {
			return err
		}
		if i >= len(keys) || string(p.Key) != keys[i] || string(p.Value) != m[keys[i]] {
			t.Errorf("scan yields %q=%q as number %d of %q", p.Key, p.Value, i, keys)
			return nil
		}
		if p.Value == nil {
			t.Errorf("scan yields a nil value for %q", p.Key)
		}
		i++
	}
	if i != len(keys) {
		t.Errorf("scan yields %d pairs, want %d", i, len(keys))
	}
	return nil
}

// largeScans does what model does with buckets of many pages: it deletes
// ranges wider than a page, in the same and in earlier transactions, and scans across the
// gaps in both directions.
func largeScans(t *testing.T, s kv.Store) {
	const n = 3000
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	m := sorted{}
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		for i := range n {
			m[string(key(i))] = "a value of some length"
			if err := tx.Put(A, key(i), []byte(m[string(key(i))])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	gap := []byte("0010") // 001000 to 001099
	for _, fn := range []func(kv.Tx) error{
		func(tx kv.Tx) error {
			for i := 300; i < 900; i++ {
				if err := tx.Delete(A, key(i)); err != nil {
					return err
				}
			}
			return tx.DeletePrefix(A, gap)
		},
		func(tx kv.Tx) error {
			next := maps.Clone(m)
			for i := 300; i < 900; i++ {
				delete(next, string(key(i)))
			}
			next.deletePrefix(string(gap))
			return checkBoth(t, tx, next)
		},
		func(tx kv.Tx) error {
			next := maps.Clone(m)
			for i := 300; i < 900; i++ {
				delete(next, string(key(i)))
			}
			next.deletePrefix("001")
			if err := tx.DeletePrefix(A, []byte("001")); err != nil {
				return err
			}
			next["001500"], next["000500"] = "back", "back"
			for _, k := range []string{"001500", "000500"} {
				if err := tx.Put(A, []byte(k), []byte("back")); err != nil {
					return err
				}
			}
			return checkBoth(t, tx, next)
		},
	} {
		if _, err := s.Update(ctx(t), fn); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.View(ctx(t), func(r kv.Reader) error {
		for i := 300; i < 900; i++ {
			delete(m, string(key(i)))
		}
		m.deletePrefix("001")
		m["001500"], m["000500"] = "back", "back"
		return checkBoth(t, r, m)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkBoth compares whole scans of A in both directions.
func checkBoth(t *testing.T, r kv.Reader, m sorted) error {
	t.Helper()
	if err := compare(t, r.Scan(A, nil, nil), m, m.scan(false, "", nil)); err != nil {
		return err
	}
	return compare(t, r.ScanBack(A, nil, nil), m, m.scan(true, "", nil))
}
