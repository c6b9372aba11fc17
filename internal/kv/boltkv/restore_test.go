package boltkv_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestRestoreSteps tests the order in which a restore makes things durable: the kept copy has its name before
// the old file loses its own, and the new file is whole on the disk before it gets it.
func TestRestoreSteps(t *testing.T) {
	src, dst := create(t), create(t)
	kept := dst + ".kept"
	var steps []string
	observe(t, func(s boltkv.Step) {
		name := func(path string) string {
			base := filepath.Base(path)
			if strings.HasSuffix(base, ".tmp") {
				base = strings.Replace(base, strings.TrimSuffix(base[len(base)-30:], ".tmp"), "X", 1)
			}
			return base
		}
		switch s.Op {
		case boltkv.Synced:
			steps = append(steps, "sync "+name(s.Path))
		case boltkv.Renamed:
			steps = append(steps, "rename "+name(s.Path)+" "+name(s.To))
		case boltkv.FolderSynced:
			steps = append(steps, "sync folder")
		case boltkv.Removed:
			steps = append(steps, "remove "+name(s.Path))
		}
	})
	amended := false
	o := &boltkv.RestoreOptions{Options: *options(), KeepAs: kept, Amend: func(s *boltkv.Store, old boltkv.Lookup) error {
		amended = true
		put(t, s, "k", "v")
		return nil
	}}
	replaced, err := boltkv.Restore(t.Context(), src, dst, o)
	must(t, err)
	want := []string{
		"sync .test.db.X.tmp", "sync folder", // opened for the changes
		"sync .test.db.X.tmp",
		"sync .test.db.kept.X.tmp", "rename .test.db.kept.X.tmp test.db.kept", "sync folder",
		"rename .test.db.X.tmp test.db", "sync folder",
	}
	if !slices.Equal(steps, want) || !replaced || !amended {
		t.Errorf("steps %q, want %q; replaced %v, amended %v", steps, want, replaced, amended)
	}
	if v := get(t, open(t, dst), "k"); v != "v" {
		t.Errorf("the restored file has %q", v)
	}
}

// TestOpenWaitsForTheNewFile tests that who waits for a file that is replaced meanwhile opens the one that has
// the name then.
func TestOpenWaitsForTheNewFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file in use cannot be replaced on Windows")
	}
	path, other := create(t), create(t)
	s := open(t, other)
	put(t, s, "k", "new")
	must(t, s.Close())
	held, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer held.Close()
	if ok, err := boltkv.TryLock(held); !ok || err != nil { // as another process would
		t.Fatal(ok, err)
	}
	opened := make(chan *boltkv.Store, 1)
	go func() {
		o := options()
		o.LockTimeout = time.Minute
		s, err := boltkv.Open(path, o)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	for !boltkv.Registered(path) {
		runtime.Gosched()
	}
	must(t, os.Rename(other, path))
	must(t, held.Close())
	s = <-opened
	if s == nil {
		return
	}
	defer s.Close()
	if v := get(t, s, "k"); v != "new" {
		t.Errorf("opened is the file with %q", v)
	}
	if _, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("x"), nil) }); err != nil {
		t.Error(err)
	}
}
