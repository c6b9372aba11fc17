package boltkv_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("BOLTKV_CHILD"); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

// TestOpenRules tests what Open refuses, and that it never makes a file.
func TestOpenRules(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, path string) string
		opt     *boltkv.Options
		want    error
	}{
		{"a missing file", func(t *testing.T, p string) string { return p + ".none" }, options(), fs.ErrNotExist},
		{"an empty file", func(t *testing.T, p string) string { must(t, os.Truncate(p, 0)); return p }, options(), kv.ErrEmpty},
		{"an empty file is damage", func(t *testing.T, p string) string { must(t, os.Truncate(p, 0)); return p }, options(), kv.ErrCorrupt},
		{"a foreign file", func(t *testing.T, p string) string {
			must(t, os.WriteFile(p, []byte(strings.Repeat("text\n", 5000)), 0o600))
			return p
		}, options(), kv.ErrCorrupt},
		{"a missing bucket", func(t *testing.T, p string) string { return p }, &boltkv.Options{Buckets: []kv.Bucket{"other"}}, kv.ErrCorrupt},
		{"a symbolic link", func(t *testing.T, p string) string { must(t, os.Symlink(p, p+".l")); return p + ".l" }, options(), kv.ErrInsecure},
		{"a dangling link", func(t *testing.T, p string) string { must(t, os.Symlink(p+".x", p+".l")); return p + ".l" }, options(), kv.ErrInsecure},
		{"a second link", func(t *testing.T, p string) string { must(t, os.Link(p, p+".l")); return p }, options(), kv.ErrInsecure},
		{"a folder", func(t *testing.T, p string) string { return filepath.Dir(p) }, options(), kv.ErrInsecure},
		{"a format that Check refuses", func(t *testing.T, p string) string { return p }, func() *boltkv.Options {
			o := options()
			o.Check = func(kv.Reader) error { return errCheck }
			return o
		}(), errCheck},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := test.prepare(t, create(t))
			before, _ := os.ReadDir(filepath.Dir(path))
			s, err := boltkv.Open(path, test.opt)
			if err == nil {
				_ = s.Close()
			}
			wantErr(t, "Open", err, test.want)
			after, _ := os.ReadDir(filepath.Dir(path))
			if len(after) != len(before) {
				t.Errorf("the folder went from %d to %d files", len(before), len(after))
			}
		})
	}
}

var errCheck = errors.New("format is too new")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestModeIsNarrowed tests that Open takes others' rights away.
func TestModeIsNarrowed(t *testing.T) {
	path := create(t)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("Create made a file of mode %v", info.Mode())
	}
	must(t, os.Chmod(path, 0o664))
	open(t, path)
	info, err = os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v after Open", info.Mode())
	}
}

// TestModeOfOtherFiles tests that Open leaves the mode of what is none of its files as it is: of a text, and of a database of bbolt that another
// program made.
func TestModeOfOtherFiles(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(text, bytes.Repeat([]byte("root:x:0:0:root:/root:/bin/sh\n"), 1000), 0o644))
	other := filepath.Join(t.TempDir(), "other")
	db, err := bolt.Open(other, 0o644, nil)
	must(t, err)
	must(t, db.Close())
	for _, path := range []string{text, other} {
		must(t, os.Chmod(path, 0o644))
		if s, err := boltkv.Open(path, options()); err == nil {
			must(t, s.Close())
			t.Errorf("%s was opened", path)
		}
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o644 {
			t.Errorf("mode %v of %s after Open refused it", info.Mode(), path)
		}
	}
}

// TestCreate tests that a file is made whole or not at all.
func TestCreate(t *testing.T) {
	path := create(t)
	wantErr(t, "Create twice", boltkv.Create(path, options()), fs.ErrExist)
	other := filepath.Join(filepath.Dir(path), "other.db")
	o := options()
	o.Init = func(kv.Tx) error { return errCheck }
	wantErr(t, "Create with a failing Init", boltkv.Create(other, o), errCheck)
	files, err := os.ReadDir(filepath.Dir(path))
	if len(files) != 1 || err != nil {
		t.Errorf("the folder holds %v, %v; want one file", files, err)
	}
	o.Init = func(tx kv.Tx) error { return tx.Put(bucketA, []byte("k"), []byte("v")) }
	must(t, boltkv.Create(other, o))
	if got := get(t, open(t, other), "k"); got != "v" {
		t.Errorf("Init's record reads %q", got)
	}
}

// TestLocked tests a second handle in this and in another process.
func TestLocked(t *testing.T) {
	path := create(t)
	s := open(t, path)
	best := time.Hour // it does not wait; a busy machine may keep it waiting now and then
	for try := 0; try < 20 && best > time.Second/2; try++ {
		start := time.Now()
		_, err := boltkv.Open(path, options())
		wantErr(t, "second Open", err, kv.ErrLocked)
		best = min(best, time.Since(start))
	}
	if best > time.Second/2 {
		t.Errorf("the second Open took %v", best)
	}
	if out := inChild(t, path, "lock"); !strings.Contains(out, "locked") || !strings.Contains(out, path) || !strings.Contains(out, "kept it for 1ns") {
		t.Errorf("another process: %s", out)
	}
	put(t, s, "k", "v")
	must(t, s.Close())
	if out := inChild(t, path, "lock"); !strings.Contains(out, "opened") {
		t.Errorf("another process after Close: %s", out)
	}
	r, err := boltkv.Open(path, &boltkv.Options{Buckets: options().Buckets, ReadOnly: true})
	must(t, err)
	if got := get(t, r, "k"); got != "v" {
		t.Errorf("read-only: %q", got)
	}
	_, err = r.Update(t.Context(), func(kv.Tx) error { return nil })
	wantErr(t, "Update", err, kv.ErrReadOnly)
	must(t, r.Close())
}

// inChild runs this test binary again and returns what it prints.
func inChild(t *testing.T, path, what string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BOLTKV_CHILD="+path, "BOLTKV_DO="+what)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	return string(out)
}

// TestDamage damages files in many ways: the process lives, errors are
// typed, nothing hangs.
func TestDamage(t *testing.T) {
	path := create(t)
	s := open(t, path)
	for i := range 400 {
		put(t, s, strings.Repeat(string(rune('a'+i%26)), 1+i%60)+string(rune(i)), strings.Repeat("v", i*7%3000))
	}
	crashed := filepath.Join(t.TempDir(), "crashed.db") // without a freelist
	must(t, s.Backup(t.Context(), crashed, false))
	must(t, s.Close())
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, file := range []string{path, crashed} {
		whole, err := os.ReadFile(file)
		must(t, err)
		try := func(what string, b []byte) error {
			damaged := filepath.Join(filepath.Dir(file), "damaged.db")
			must(t, os.WriteFile(damaged, b, 0o600))
			return useDamaged(t, what, damaged)
		}
		if err := try("nothing", whole); err != nil {
			t.Fatalf("undamaged: %v", err)
		}
		for _, n := range []int{1, 15, 16, 79, 80, 4095, 4096, 4097, 8191, 8192, 12288, 16384, 20480} {
			wantErr(t, "truncated", try("truncated", whole[:n]), kv.ErrCorrupt)
		}
		used := min(len(whole), 200*4096)
		for page := 0; page < used/4096; page += testsize.Of(9, 3) {
			b := append([]byte(nil), whole...)
			clear(b[page*4096 : (page+1)*4096])
			_ = try("zeroed", b)
		}
		for range testsize.Of(200, 1000) {
			at, bit := rnd.IntN(used), byte(1)<<rnd.IntN(8)
			if rnd.IntN(2) == 0 { // headers are where it hurts
				at = at&^4095 + rnd.IntN(160)
			}
			whole[at] ^= bit
			_ = try("flipped", whole)
			whole[at] ^= bit
		}
	}
}

// useDamaged opens a file, reads and writes what it can, and returns the first error.
// Every error must be of a kind that the caller can know.
func useDamaged(t *testing.T, what, path string) error {
	t.Helper()
	typed := func(err error) error {
		if err != nil && !errors.Is(err, kv.ErrCorrupt) && !errors.Is(err, kv.ErrFailed) {
			t.Errorf("%s: untyped error %v", what, err)
		}
		return err
	}
	s, err := boltkv.Open(path, options())
	if err != nil {
		return typed(err)
	}
	defer func() { _ = s.Close() }()
	_, err1 := s.View(t.Context(), func(r kv.Reader) error {
		for _, err := range r.Scan(bucketA, nil, nil) {
			if err != nil {
				return err
			}
		}
		for _, err := range r.ScanBack(bucketA, nil, nil) {
			if err != nil {
				return err
			}
		}
		_, err := r.Get(bucketA, []byte("aaa"))
		return err
	})
	_, err2 := s.Update(t.Context(), func(tx kv.Tx) error {
		return errors.Join(tx.Put(bucketA, []byte("aaa"), []byte("new")), tx.Delete(bucketA, []byte("b")))
	})
	return errors.Join(typed(err1), typed(err2))
}

// TestStuckCloses tests that a handle that bbolt can do nothing with any more, and whose map stays, lets go of the file.
func TestStuckCloses(t *testing.T) {
	path := create(t)
	s := open(t, path)
	put(t, s, "k", "v")
	boltkv.Stick(s)
	if _, err := s.Head(t.Context()); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("a read of a handle that failed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := get(t, open(t, path), "k"); got != "v" {
		t.Errorf("k = %q", got)
	}
}

// TestUnreadable opens a file that bbolt cannot read, as when the power goes: the file is not called damaged for that, and what the
// system says is told if it says it again.
func TestUnreadable(t *testing.T) {
	path := create(t)
	blind := func() *os.File { // it can be locked, and not be read
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		return f
	}
	good, err := os.Open(path)
	must(t, err)
	must(t, boltkv.OpenBolt(good))
	err = boltkv.OpenBolt(blind())
	if err == nil || errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), "cannot be read any more") {
		t.Errorf("unreadable: %v", err)
	}
	f := blind()
	must(t, os.Rename(path, path+".away"))
	err = boltkv.OpenBolt(f)
	if errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("unreadable and away: %v", err)
	}
	wantErr(t, "unreadable and away", err, fs.ErrNotExist)
}
