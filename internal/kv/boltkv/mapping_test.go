package boltkv_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestViewInAViewWhileTheMapGrows reads inside a View while a writer needs a larger map of the file, which bbolt makes when nobody reads: the reader
// inside the View must not wait for that.
func TestViewInAViewWhileTheMapGrows(t *testing.T) {
	defer boltkv.SetLeastMap(boltkv.SetLeastMap(2 << 20))
	s := open(t, create(t))
	const writes = 64
	ctx := context.Background()
	var written atomic.Int32
	outcome := make(chan error, 2)
	write := func() error {
		for i := range writes { // nearly twice the map
			if _, err := s.Update(ctx, func(tx kv.Tx) error {
				return tx.Put(bucketA, fmt.Append(nil, "key ", i), make([]byte, 60<<10))
			}); err != nil {
				return err
			}
			written.Add(1)
		}
		return nil
	}
	read := func(kv.Reader) error {
		go func() { outcome <- write() }()
		// Until the writer has come as far as it can beside this View.
		for last, since := int32(0), time.Now(); last == 0 || time.Since(since) < 100*time.Millisecond; {
			if _, err := s.View(ctx, func(kv.Reader) error { return nil }); err != nil {
				return err
			}
			if n := written.Load(); n != last {
				last, since = n, time.Now()
			}
		}
		if n := written.Load(); n == writes {
			return fmt.Errorf("all was written, so the map was large enough and nothing was tried")
		}
		return nil
	}
	go func() {
		_, err := s.View(ctx, read)
		outcome <- err
	}()
	bothEnd(t, outcome, func() string { return fmt.Sprintf("after %d of %d writes, reader and writer", written.Load(), writes) })
}

// TestSizeInAView asks for the size of the file inside a View while Compact waits for that View.
func TestSizeInAView(t *testing.T) {
	s := open(t, create(t))
	ctx := context.Background()
	outcome := make(chan error, 2)
	go func() {
		_, err := s.View(ctx, func(kv.Reader) error {
			go func() {
				_, _, err := s.Compact(ctx)
				if errors.Is(err, errors.ErrUnsupported) {
					err = nil
				}
				outcome <- err
			}()
			for !boltkv.GateWanted(s) && runtime.GOOS != "windows" {
				runtime.Gosched()
			}
			_, err := s.Size()
			return err
		})
		outcome <- err
	}()
	bothEnd(t, outcome, func() string { return "the View and Compact" })
}

// bothEnd waits for two to end well. Who says which two, if they do not.
func bothEnd(t *testing.T, outcome <-chan error, who func() string) {
	t.Helper()
	for range 2 {
		select {
		case err := <-outcome:
			must(t, err)
		case <-time.After(3 * time.Minute): // a slow disk takes a while for all these syncs
			t.Fatalf("%s wait for each other", who())
		}
	}
}
