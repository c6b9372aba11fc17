package boltkv_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// swapFile puts another open file in the place of the store's, and returns a
// function that puts the store's back.
func swapFile(t *testing.T, s *boltkv.Store, path string, flag int) func() {
	t.Helper()
	other, err := os.OpenFile(path, flag, 0)
	must(t, err)
	defer func() { _ = other.Close() }()
	fd := int(boltkv.File(s).Fd())
	keep, err := unix.Dup(fd)
	must(t, err)
	must(t, unix.Dup3(int(other.Fd()), fd, unix.O_CLOEXEC))
	return func() {
		must(t, unix.Dup3(keep, fd, unix.O_CLOEXEC))
		must(t, unix.Close(keep))
	}
}

// TestSyncFails puts /dev/null in the place of the file: writing to it works,
// and syncing it is an error. The outcome is then unknown, and the handle is dead.
func TestSyncFails(t *testing.T) {
	path := create(t)
	s := open(t, path)
	put(t, s, "k", "old")
	back := swapFile(t, s, os.DevNull, os.O_RDWR)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("k"), []byte("new")) })
	back()
	wantErr(t, "Update", err, kv.ErrUnknown)
	wantErr(t, "Update", err, unix.EINVAL)
	_, err = s.View(t.Context(), func(kv.Reader) error { t.Error("View ran"); return nil })
	wantErr(t, "View afterwards", err, kv.ErrFailed)
	wantErr(t, "View afterwards", err, unix.EINVAL)
	_, err = s.Update(t.Context(), func(kv.Tx) error { t.Error("Update ran"); return nil })
	wantErr(t, "Update afterwards", err, kv.ErrFailed)
	must(t, s.Close())
	if got := get(t, open(t, path), "k"); got != "old" {
		t.Errorf("after reopening: %q", got)
	}
}

// TestWriteFails puts a file open for reading in the place of the store's: the
// write fails, the state is certainly the old one, and the store works on.
func TestWriteFails(t *testing.T) {
	path := create(t)
	s := open(t, path)
	put(t, s, "k", "old")
	back := swapFile(t, s, path, os.O_RDONLY)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("k"), []byte("new")) })
	back()
	if err == nil || errors.Is(err, kv.ErrUnknown) || errors.Is(err, kv.ErrFull) {
		t.Errorf("Update: %v, want a plain error", err)
	}
	if got := get(t, s, "k"); got != "old" {
		t.Errorf("k = %q", got)
	}
	put(t, s, "k", "new")
	verify(t, s)
	must(t, s.Close())
	if got := get(t, open(t, path), "k"); got != "new" {
		t.Errorf("after reopening: %q", got)
	}
}

// TestFull tests that a full store says so, keeps what it has, and takes
// writes again when there is room.
func TestFull(t *testing.T) {
	path := create(t)
	o := options()
	o.MaxSize = 6 << 20
	s, err := boltkv.Open(path, o)
	must(t, err)
	defer func() { _ = s.Close() }()
	n := 0
	for ; n < 1000; n++ {
		_, err = s.Update(t.Context(), func(tx kv.Tx) error {
			return tx.Put(bucketA, fmt.Appendf(nil, "k%d", n), make([]byte, 60<<10))
		})
		if err != nil {
			break
		}
	}
	wantErr(t, "Update", err, kv.ErrFull)
	for i := range n {
		if len(get(t, s, fmt.Sprintf("k%d", i))) != 60<<10 {
			t.Errorf("k%d is lost", i)
		}
	}
	_, err = s.Update(t.Context(), func(tx kv.Tx) error { return tx.DeletePrefix(bucketA, []byte("k")) })
	must(t, err)
	put(t, s, "small", "v")
	put(t, s, "big", strings.Repeat("v", 60<<10))
	verify(t, s)
}

// TestTruncatedWhileOpen cuts the file under the open handle: mapped pages
// are gone, reads of them fault.
func TestTruncatedWhileOpen(t *testing.T) {
	for _, keep := range []int64{0, 8192, 16384, 40960} {
		path := create(t)
		s := open(t, path)
		_, err := s.Update(t.Context(), func(tx kv.Tx) error {
			for i := range 300 {
				if err := tx.Put(bucketA, fmt.Appendf(nil, "k%d", i), make([]byte, 1000)); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, err)
		must(t, os.Truncate(path, keep))
		_, err = s.View(t.Context(), func(r kv.Reader) error {
			for _, err := range r.Scan(bucketA, nil, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		})
		wantErr(t, fmt.Sprintf("View of %d bytes", keep), err, kv.ErrCorrupt)
		_, err = s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("k"), nil) })
		wantErr(t, fmt.Sprintf("Update of %d bytes", keep), err, kv.ErrFailed)
		_ = s.Close()
	}
}

// TestReplaced puts another file under the path of an open one.
func TestReplaced(t *testing.T) {
	path, other := create(t), create(t)
	s := open(t, path)
	must(t, os.Rename(path, path+".old"))
	must(t, os.Rename(other, path))
	_, err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(bucketA, []byte("k"), nil) })
	wantErr(t, "Update", err, kv.ErrReplaced)
	_, _, err = s.Compact(t.Context())
	wantErr(t, "Compact", err, kv.ErrReplaced)
	must(t, os.Rename(path+".old", path))
	put(t, s, "k", "v")
}

// TestKill kills a process that writes, again and again: what it had
// acknowledged is there, and nothing is there by half.
func TestKill(t *testing.T) {
	path := create(t)
	for range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "BOLTKV_CHILD="+path, "BOLTKV_DO=write")
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		acked := -1
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("child: %s", lines.Text())
			}
			if acked = n; acked == 10 {
				must(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		s, err := boltkv.Open(path, options())
		must(t, err)
		var a, b string
		_, err = s.View(t.Context(), func(r kv.Reader) error {
			x, err1 := r.Get(bucketA, []byte("x"))
			y, err2 := r.Get(bucketB, []byte("x"))
			a, b = string(x), string(y)
			return errors.Join(err1, err2)
		})
		n, _ := strconv.Atoi(a)
		if a != b || n < acked || err != nil {
			t.Errorf("acknowledged %d; found %q and %q; %v", acked, a, b, err)
		}
		verify(t, s)
		must(t, s.Close())
	}
}

// load writes x and y alike until the returned function is called.
func load(t *testing.T, s *boltkv.Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				v := []byte(strings.Repeat(strconv.Itoa(i), 1+i%100))
				_, err := s.Update(context.Background(), func(tx kv.Tx) error {
					return errors.Join(tx.Put(bucketA, []byte("x"), v), tx.Put(bucketA, []byte("y"), v))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// TestBackup tests copies made under load, and what may not be written to.
func TestBackup(t *testing.T) {
	path := create(t)
	s := open(t, path)
	put(t, s, "x", "")
	put(t, s, "y", "")
	stop := load(t, s)
	dir := t.TempDir()
	for i := range 20 {
		dest := filepath.Join(dir, "backup.db")
		must(t, s.Backup(t.Context(), dest, i > 0))
		b := open(t, dest)
		if x, y := get(t, b, "x"), get(t, b, "y"); x != y {
			t.Errorf("backup %d: x = %q, y = %q", i, x, y)
		}
		must(t, b.Close())
	}
	stop()
	wantErr(t, "existing file", s.Backup(t.Context(), filepath.Join(dir, "backup.db"), false), fs.ErrExist)
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(path, link))
	wantErr(t, "link", s.Backup(t.Context(), link, true), kv.ErrInsecure)
	if err := s.Backup(t.Context(), path, true); err == nil {
		t.Error("a backup replaced the store")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "cancelled", s.Backup(done, filepath.Join(dir, "c.db"), false), context.Canceled)
	files, err := os.ReadDir(dir)
	if len(files) != 2 || err != nil {
		t.Errorf("the folder holds %v, %v", files, err)
	}
}

// TestCompact tests compaction under load: nothing is lost, revisions go on,
// the lock is never free.
func TestCompact(t *testing.T) {
	path := create(t)
	s := open(t, path)
	_, err := s.Update(t.Context(), func(tx kv.Tx) error {
		for i := range 2000 {
			if err := tx.Put(bucketB, fmt.Appendf(nil, "k%d", i), make([]byte, 2000)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	_, err = s.Update(t.Context(), func(tx kv.Tx) error { return tx.DeletePrefix(bucketB, nil) })
	must(t, err)
	stop := load(t, s)
	last := kv.Rev(0)
	for i := range 5 {
		before, after, err := s.Compact(t.Context())
		must(t, err)
		if i == 0 && after*10 > before {
			t.Errorf("from %d to %d bytes", before, after)
		}
		rev, err := s.Head(t.Context())
		must(t, err)
		if rev < last {
			t.Errorf("revision %d after %d", rev, last)
		}
		last = put(t, s, "z", "v")
		if last <= rev {
			t.Errorf("revision %d of a write after %d", last, rev)
		}
		_, err = boltkv.Open(path, options())
		wantErr(t, "second Open", err, kv.ErrLocked)
	}
	if out := inChild(t, path, "lock"); !strings.Contains(out, "locked") {
		t.Errorf("another process: %s", out)
	}
	stop()
	verify(t, s)
	must(t, s.Close())
	s = open(t, path)
	if x, y := get(t, s, "x"), get(t, s, "y"); x != y || get(t, s, "z") != "v" {
		t.Errorf("x = %q, y = %q", x, y)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if len(files) != 1 || err != nil {
		t.Errorf("the folder holds %v, %v", files, err)
	}
}

// TestOutcome tests what is made of the errors of a failed commit, with a file
// that can be read: only a write error over the old meta is a certain failure.
func TestOutcome(t *testing.T) {
	pwrite := func(errno unix.Errno) error { return &fs.PathError{Op: "write", Path: "f", Err: errno} }
	for _, test := range []struct {
		name  string
		cause error
		ahead int // of the transaction that failed, over the file's newest
		want  error
		dead  bool
	}{
		{"fdatasync", unix.EIO, 1, kv.ErrUnknown, true},
		{"fdatasync without room", unix.ENOSPC, 1, kv.ErrUnknown, true},
		{"fsync", &fs.PathError{Op: "sync", Path: "f", Err: unix.EIO}, 1, kv.ErrUnknown, true},
		{"sync while growing", errors.New("file sync error: sync f: input/output error"), 1, kv.ErrUnknown, true},
		{"write", pwrite(unix.EIO), 1, unix.EIO, false},
		{"write without room", pwrite(unix.ENOSPC), 1, kv.ErrFull, false},
		{"write over quota", pwrite(unix.EDQUOT), 1, kv.ErrFull, false},
		{"resize without room", errors.New("file resize error: truncate f: no space left on device"), 1, kv.ErrFull, false},
		{"resize", errors.New("file resize error: truncate f: input/output error"), 1, unix.EIO, false},
		{"write, but the new meta is there", pwrite(unix.EIO), 0, kv.ErrUnknown, true},
		{"no map", errors.New("mmap allocate error: cannot allocate memory"), 1, unix.ENOMEM, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, create(t))
			newest := put(t, s, "k", "v")
			err := boltkv.Outcome(s, test.cause, uint64(int(newest)+test.ahead))
			if test.want != nil {
				wantErr(t, "outcome", err, test.want)
			}
			if test.want != kv.ErrUnknown && errors.Is(err, kv.ErrUnknown) {
				t.Errorf("outcome %v, which was certain", err)
			}
			_, err = s.View(t.Context(), func(kv.Reader) error { return nil })
			if test.dead != errors.Is(err, kv.ErrFailed) {
				t.Errorf("View afterwards: %v, want failed: %v", err, test.dead)
			}
		})
	}
}

// TestCloseOfTruncated tests that Close of a handle that lost its file does
// not wait, with a View still running when the file went.
func TestCloseOfTruncated(t *testing.T) {
	path := create(t)
	s := open(t, path)
	put(t, s, "k", "v")
	_, err := s.View(t.Context(), func(kv.Reader) error {
		must(t, os.Truncate(path, 0))
		_, err := s.View(context.Background(), func(kv.Reader) error { return nil })
		return err
	})
	wantErr(t, "nested View", err, kv.ErrCorrupt)
	must(t, s.Close())
	wantErr(t, "Open", func() error { _, err := boltkv.Open(path, options()); return err }(), kv.ErrEmpty)
}
