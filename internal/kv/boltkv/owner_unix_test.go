//go:build unix

package boltkv_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// TestOwnerStays: when root works on a file of another user, what takes the place of the file belongs to that user.
func TestOwnerStays(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 65534, 65533
	opts := &boltkv.Options{Buckets: []kv.Bucket{"b"}}
	for _, c := range []struct {
		name string
		work func(t *testing.T, path string) error
	}{
		{"compact", func(t *testing.T, path string) error {
			s, err := boltkv.Open(path, opts)
			if err != nil {
				return err
			}
			_, _, err = s.Compact(t.Context())
			if err != nil {
				return err
			}
			return s.Close()
		}},
		{"restore", func(t *testing.T, path string) error {
			src := filepath.Join(t.TempDir(), "src.db")
			if err := boltkv.Create(src, opts); err != nil {
				return err
			}
			_, err := boltkv.Restore(t.Context(), src, path, &boltkv.RestoreOptions{Options: *opts, KeepAs: path + ".kept",
				Amend: func(*boltkv.Store, boltkv.Lookup) error { return nil }})
			if err == nil {
				checkOwnerOf(t, path+".kept", uid, gid)
			}
			return err
		}},
		{"bulk", func(t *testing.T, path string) error {
			s, err := boltkv.Open(path, opts)
			if err != nil {
				return err
			}
			if err := bulkOne(t.Context(), s); err != nil {
				return err
			}
			return s.Close()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			if err := boltkv.Create(path, opts); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, uid, gid); err != nil {
				t.Fatal(err)
			}
			if err := c.work(t, path); err != nil {
				t.Fatal(err)
			}
			checkOwnerOf(t, path, uid, gid)
		})
	}
}

func checkOwnerOf(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != uid || st.Gid != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("%s belongs to %d:%d with mode %v, want %d:%d and 0600", filepath.Base(path), st.Uid, st.Gid, info.Mode().Perm(), uid, gid)
	}
}

func bulkOne(ctx context.Context, s *boltkv.Store) error {
	_, err := s.BulkUpdate(ctx, func(kv.Bulk) error { return nil }, func() {})
	return err
}
