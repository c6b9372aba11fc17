package memkv_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/kvtest"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func TestStore(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return &memkv.Store{Buckets: kvtest.Buckets()} })
}

func TestZeroStore(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return new(memkv.Store) })
}

func TestRunTwice(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return &memkv.Store{RunTwice: true} })
}

// TestRunTwiceRuns tests that the option does what it says.
func TestRunTwiceRuns(t *testing.T) {
	s := memkv.Store{RunTwice: true}
	runs := 0
	rev, err := s.Update(t.Context(), func(tx kv.Tx) error {
		runs++
		v, err := tx.Get("b", []byte("k"))
		if v != nil {
			t.Errorf("run %d sees the write of the one before", runs)
		}
		if err != nil {
			return err
		}
		return tx.Put("b", []byte("k"), nil)
	})
	if err != nil || runs != 2 || rev != 1 {
		t.Errorf("%d runs, revision %d, %v; want 2, 1, nil", runs, rev, err)
	}
}

// TestLarge tests that the cost of a commit does not grow with the store: 100,000
// commits of one key would take hours if each copied all.
func TestLarge(t *testing.T) {
	const n = 100_000
	var s memkv.Store
	start := time.Now()
	for i := range uint32(n) {
		_, err := s.Update(t.Context(), func(tx kv.Tx) error {
			return tx.Put("b", binary.BigEndian.AppendUint32(nil, i), []byte("value"))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Minute {
		t.Errorf("%d commits took %v", n, took)
	}
	i := uint32(0)
	_, err := s.View(t.Context(), func(r kv.Reader) error {
		for p, err := range r.Scan("b", nil, nil) {
			if err != nil {
				return err
			}
			if got := binary.BigEndian.Uint32(p.Key); got != i {
				t.Fatalf("key %d at %d", got, i)
			}
			i++
		}
		return nil
	})
	if i != n || err != nil {
		t.Errorf("%d keys, want %d; %v", i, n, err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	var s memkv.Store
	var i uint32
	for b.Loop() {
		i++
		_, err := s.Update(b.Context(), func(tx kv.Tx) error {
			return tx.Put("b", binary.BigEndian.AppendUint32(nil, i*2654435761), []byte("value"))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func TestBulk(t *testing.T) {
	kvtest.RunBulk(t, func(*testing.T) kv.Store { return &memkv.Store{Buckets: kvtest.Buckets(), RunTwice: true} })
}
