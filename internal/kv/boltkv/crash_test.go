package boltkv_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// observe sets boltkv.Observe until the test ends. Tests that use it must not run beside others.
func observe(t *testing.T, fn func(boltkv.Step)) {
	t.Helper()
	boltkv.Observe = fn
	t.Cleanup(func() { boltkv.Observe = nil })
}

// tempName is a name as the store gives it to a file that is being made.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()+".tmp")
}

// TestStoppedWhileNamed opens a file of which creation was stopped between its two names, as it is where
// a file cannot be renamed unless the name is taken.
func TestStoppedWhileNamed(t *testing.T) {
	path := create(t)
	temp := tempName(path)
	must(t, os.Link(path, temp))
	s := open(t, path)
	put(t, s, "k", "v")
	if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second name is still there: %v", err)
	}
	must(t, s.Close())
	must(t, os.Link(path, path+".mine"))
	_, err := boltkv.Open(path, options())
	wantErr(t, "Open with a second link that is not ours", err, kv.ErrInsecure)
}

// TestCreateHasOneName tests that a file that is made never has two names where that can be had.
func TestCreateHasOneName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can rename unless a name is taken")
	}
	linked := false
	observe(t, func(s boltkv.Step) { linked = linked || s.Op == boltkv.Linked })
	create(t)
	if linked {
		t.Error("the file had two names for a moment")
	}
}

// TestViewIsDurable tests that what a View has seen cannot be undone by a power cut once it returned. bbolt shows a
// commit to readers as soon as it is written, before it is synced.
func TestViewIsDurable(t *testing.T) {
	written, release := make(chan struct{}), make(chan struct{})
	path := create(t)
	s := open(t, path)
	put(t, s, "k", "old")
	observe(t, func(st boltkv.Step) {
		if st.Op == boltkv.Committed {
			close(written) // the commit can be seen, and is not known to be durable yet
			<-release
		}
	})
	var order []string
	done := make(chan string)
	go func() { put(t, s, "k", "new"); done <- "put" }()
	<-written
	seen := make(chan string)
	go func() {
		var value string
		_, err := s.View(t.Context(), func(r kv.Reader) error {
			v, err := r.Get(bucketA, []byte("k"))
			value = string(v)
			seen <- value
			return err
		})
		if err != nil {
			value = err.Error()
		}
		done <- "view"
	}()
	if got := <-seen; got != "new" {
		t.Fatalf("the view sees %q: this test tests nothing", got)
	}
	for range 1000 { // if it is going to return, let it
		runtime.Gosched()
		select {
		case who := <-done:
			order = append(order, who)
		default:
		}
	}
	if len(order) > 0 {
		t.Errorf("%v returned before the sync was done", order)
	}
	close(release)
	for len(order) < 2 {
		order = append(order, <-done)
	}
}

// TestOpenSyncs tests that what is found on opening is durable before it is believed: a process that
// was killed may have left it unsynced, name and content.
func TestOpenSyncs(t *testing.T) {
	path := create(t)
	var steps []boltkv.Op
	observe(t, func(s boltkv.Step) { steps = append(steps, s.Op) })
	o := options()
	o.Check = func(kv.Reader) error {
		steps = append(steps, 0) // the first read
		return nil
	}
	s, err := boltkv.Open(path, o)
	must(t, err)
	must(t, s.Close())
	found := map[boltkv.Op]bool{}
	for _, op := range steps {
		if op == 0 {
			break
		}
		found[op] = true
	}
	if !found[boltkv.Synced] || !found[boltkv.FolderSynced] {
		t.Errorf("done before the first read: %v, want file and folder synced", found)
	}
}

// TestLeftCopies tests that the copy is removed that a compaction leaves behind which was stopped: it
// holds every record.
func TestLeftCopies(t *testing.T) {
	path := create(t)
	left, other := tempName(path), tempName(path+"2")
	mine := filepath.Join(filepath.Dir(path), ".test.db.keep.tmp")
	for _, name := range []string{left, other, mine} {
		must(t, os.WriteFile(name, []byte("secret"), 0o600))
	}
	s := open(t, path)
	put(t, s, "k", "v")
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	for _, name := range []string{other, mine} {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("what is not ours is gone: %v", err)
		}
	}
}
