package boltkv_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

func TestSmoke(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x.db")
	o := &boltkv.Options{Buckets: []kv.Bucket{"a", "b"}}
	if err := boltkv.Create(p, o); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s, err := boltkv.Open(p, o)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for j := range 20 {
					_, err := s.Update(context.Background(), func(tx kv.Tx) error {
						return tx.Put("a", []byte{byte(i), byte(j)}, []byte("v"))
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		sz, err := s.Size()
		t.Logf("%+v %v", sz, err)
		if err := s.Backup(t.Context(), p+".bak", true); err != nil {
			t.Fatal(err)
		}
		t.Log(s.Head(t.Context()))
		t.Log(s.Compact(t.Context()))
		t.Log(s.Head(t.Context()))
		for err := range s.Verify(t.Context()) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
