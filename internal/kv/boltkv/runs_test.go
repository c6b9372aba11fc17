package boltkv_test

import (
	"encoding/binary"
	"math/rand"
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// bytesInRuns puts keys that come behind others with the same beginning, of which there are so many, and returns how many bytes of
// pages each takes.
func bytesInRuns(t *testing.T, prefixes int, runs map[kv.Bucket]int) float64 {
	t.Helper()
	const keys, step = 3000, 60
	o := options()
	o.Runs = runs
	path := filepath.Join(t.TempDir(), "test.db")
	if err := boltkv.Create(path, o); err != nil {
		t.Fatal(err)
	}
	s, err := boltkv.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	used := func() int64 {
		size, err := s.Size()
		if err != nil {
			t.Fatal(err)
		}
		return size.File - size.Free
	}
	before := used()
	random := rand.New(rand.NewSource(1))
	for n := 0; n < keys; n += step {
		if _, err := s.Update(t.Context(), func(tx kv.Tx) error {
			for i := range step {
				key := binary.BigEndian.AppendUint64(nil, uint64(random.Intn(prefixes)))
				key = append(binary.BigEndian.AppendUint64(key, uint64(n+i)), "random part.."...)
				if err := tx.Put(bucketA, key, []byte("value")); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	verify(t, s)
	return float64(used()-before) / keys
}

// TestRunsFillPages: where keys come in long runs, pages are nearly full, and where they come at random, as full as bbolt leaves them.
func TestRunsFillPages(t *testing.T) {
	const element = 16 + 28 + 5
	for _, c := range []struct {
		prefixes    int
		most, least float64 // bytes a key, with runs, and without
	}{
		{4, element * 1.35, element * 1.6},
		{8, element * 1.5, element * 1.6},
		{3000, element * 1.7, 0},
	} {
		with := bytesInRuns(t, c.prefixes, map[kv.Bucket]int{bucketA: 8})
		without := bytesInRuns(t, c.prefixes, nil)
		t.Logf("%d prefixes: %.0f and %.0f bytes", c.prefixes, with, without)
		if with > c.most || without < c.least {
			t.Errorf("%d prefixes: %.0f bytes a key in runs, want at most %.0f; %.0f without, want at least %.0f", c.prefixes, with, c.most, without, c.least)
		}
	}
}
