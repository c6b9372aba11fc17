package latchbolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// A restoreCase is a file with a backup of an earlier state.
type restoreCase struct {
	dst, src string
	cfg      *latchbolt.Config
	old      latchbolt.Token // of a session that the backup has
	later    latchbolt.Token // of a session that it has not
	reset    latchbolt.Token // a one-time token that the backup has
	user     latchbolt.UserID
}

func newRestoreCase(t *testing.T) *restoreCase {
	t.Helper()
	dir := t.TempDir()
	c := &restoreCase{dst: filepath.Join(dir, "app.db"), src: filepath.Join(dir, "backup.db"), cfg: forTests(nil)}
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	u := &latchbolt.User{Username: "ada", FirstName: "Augusta"}
	must(t, "creating", eng.CreateUser(t.Context(), u, goodPassword))
	c.user = u.ID
	c.old = login(t, eng, "ada").Token
	c.reset, err = eng.IssueToken(t.Context(), latchbolt.OneTimeRequest{User: u.ID, Purpose: latchbolt.PurposeReset})
	must(t, "issuing", err)
	must(t, "backup", eng.Backup(t.Context(), c.src, false))
	_, err = eng.ResetPassword(t.Context(), c.reset, "another good password")
	must(t, "redeeming", err)
	addUser(t, eng, "eve")
	c.later = login(t, eng, "eve").Token
	must(t, "closing", eng.Close())
	return c
}

// read returns the content of a file.
func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, "reading", err)
	return b
}

// names lists a folder.
func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, "listing", err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// restored opens the restored file and holds it to what is promised.
func (c *restoreCase) restored(t *testing.T, done latchbolt.Restored, epoch uint32) {
	t.Helper()
	ctx := t.Context()
	if done.Epoch != epoch {
		t.Errorf("epoch %d, want %d", done.Epoch, epoch)
	}
	if info, err := os.Lstat(c.dst); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the restored file: %v, %v", info.Mode(), err)
	}
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening the restored file", err)
	defer eng.Close()
	verify(t, eng)
	for what, token := range map[string]latchbolt.Token{"a session of the backup": c.old, "a session made later": c.later} {
		if _, err := eng.SessionUser(ctx, token); !errors.Is(err, latchbolt.ErrNoSession) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := eng.CheckToken(ctx, latchbolt.PurposeReset, c.reset); !errors.Is(err, latchbolt.ErrToken) {
		t.Errorf("a one-time token of the backup: %v", err)
	}
	users := collect(t, eng, latchbolt.UserQuery{})
	if got := usernames(users); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("users: %v", got)
	} else if users[0].LastLogin.IsZero() {
		t.Error("the last login is lost with the sessions")
	}
	must(t, "counting", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		n, err := tx.SessionCount()
		if n != 0 {
			t.Errorf("%d dead sessions are kept", n)
		}
		return err
	}))
	login(t, eng, "ada") // with the password of the backup
	for a, err := range eng.Audit(ctx, latchbolt.AuditQuery{Action: latchbolt.ActionRestore}) {
		must(t, "reading the trail", err)
		if a.Actor != 77 || !strings.Contains(a.Detail, "backup") || time.Since(a.Time) > time.Minute {
			t.Errorf("audit entry %+v", a)
		}
		return
	}
	t.Error("the restore is not in the trail")
}

// restore restores the case's backup as user 77.
func (c *restoreCase) restore(t *testing.T, o *latchbolt.RestoreOptions) latchbolt.Restored {
	t.Helper()
	done, err := latchbolt.Restore(latchbolt.WithActor(t.Context(), 77, netip.Addr{}), c.src, c.dst, o)
	must(t, "restoring", err)
	return done
}

func TestRestore(t *testing.T) {
	c := newRestoreCase(t)
	before, backup := read(t, c.dst), read(t, c.src)
	done := c.restore(t, nil)
	if !strings.HasPrefix(done.Kept, c.dst+".before-restore-") || !bytes.Equal(read(t, done.Kept), before) {
		t.Errorf("the old file is not kept as it was, at %q", done.Kept)
	}
	if since := time.Since(done.Latest); since < 0 || since > time.Minute {
		t.Errorf("the backup is said to be of %v", done.Latest)
	}
	if !bytes.Equal(read(t, c.src), backup) {
		t.Error("the backup was changed")
	}
	want := []string{filepath.Base(c.dst), filepath.Base(done.Kept), filepath.Base(c.src)}
	if got := names(t, filepath.Dir(c.dst)); !slices.Equal(got, want) {
		t.Errorf("in the folder: %v, want %v", got, want)
	}
	c.restored(t, done, 2)

	// Sessions of the restored file must not survive the next restore of the same backup.
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	c.later = login(t, eng, "ada").Token
	must(t, "closing", eng.Close())
	keep := filepath.Join(t.TempDir(), "kept")
	if done = c.restore(t, &latchbolt.RestoreOptions{KeepAs: keep}); done.Kept != keep {
		t.Errorf("kept as %q, want %q", done.Kept, keep)
	}
	c.restored(t, done, 3)
	// The other way round: the epoch of the backup is the higher one.
	must(t, "moving", os.Rename(keep, c.src)) // epoch 2
	c.dst = filepath.Join(t.TempDir(), "young.db")
	eng, err = latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	must(t, "closing", eng.Close())
	done = c.restore(t, &latchbolt.RestoreOptions{Discard: true})
	if got := names(t, filepath.Dir(c.dst)); done.Kept != "" || !slices.Equal(got, []string{"young.db"}) {
		t.Errorf("kept %q; in the folder: %v", done.Kept, got)
	}
	c.restored(t, done, 3)
}

// A number that somebody had after the backup is nobody else's after the restore.
func TestRestoreKeepsIdentifiers(t *testing.T) {
	c := newRestoreCase(t)
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	eve, err := eng.UserByName(t.Context(), "eve") // made after the backup
	must(t, "looking up", err)
	group, err := eng.CreateGroup(t.Context(), "made after the backup")
	must(t, "creating", err)
	must(t, "closing", eng.Close())
	c.restore(t, nil)
	eng, err = latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	defer eng.Close()
	if id := addUser(t, eng, "mallory").ID; id <= eve.ID {
		t.Errorf("identifier %d is given out again; eve had %d", id, eve.ID)
	}
	if id, err := eng.CreateGroup(t.Context(), "another"); err != nil || id <= group {
		t.Errorf("group %d, %v; there was one with %d", id, err, group)
	}
	verify(t, eng)
}

func TestRestoreWithoutAnOldFile(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"absent":         func([]byte) []byte { return nil },
		"empty":          func([]byte) []byte { return []byte{} },
		"text":           func([]byte) []byte { return bytes.Repeat([]byte("no file of ours "), 2000) },
		"cut short":      func(b []byte) []byte { return b[:5000] },
		"without a root": func(b []byte) []byte { clear(b[2*4096:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			c := newRestoreCase(t)
			content := damage(read(t, c.dst))
			must(t, "removing", os.Remove(c.dst))
			if content != nil {
				must(t, "damaging", os.WriteFile(c.dst, content, 0o644))
			}
			start := time.Now().Unix()
			done := c.restore(t, nil)
			if (done.Kept == "") != (content == nil) || content != nil && !bytes.Equal(read(t, done.Kept), content) {
				t.Errorf("the old file is not kept as it was, at %q", done.Kept)
			}
			// Nobody knows which epochs there have been: it is higher than any.
			if done.Epoch <= uint32(start) || done.Epoch > uint32(time.Now().Unix())+1 {
				t.Errorf("epoch %d", done.Epoch)
			}
			c.restored(t, done, done.Epoch)
		})
	}
}

// TestRestoreOverDamage tests that the epoch of a file is found although most of it is gone.
func TestRestoreOverDamage(t *testing.T) {
	c := newRestoreCase(t)
	c.restore(t, &latchbolt.RestoreOptions{Discard: true})
	c.restore(t, &latchbolt.RestoreOptions{Discard: true})
	must(t, "filling", fillFile(t, c.dst, 500))
	must(t, "damaging", os.WriteFile(c.dst, losePages(t, read(t, c.dst)), 0o600))
	if _, err := latchbolt.Open(c.dst, c.cfg); !errors.Is(err, latchbolt.ErrCorrupt) {
		t.Fatalf("the file opens: %v", err)
	}
	c.restored(t, c.restore(t, nil), 4)
}

// losePages overwrites the pages with the user that stands in every file.
func losePages(t *testing.T, b []byte) []byte {
	t.Helper()
	n := 0
	for page := 2 * 4096; page < len(b); page += 4096 {
		if bytes.Contains(b[page:page+4096], []byte("Augusta")) {
			copy(b[page:page+4096], bytes.Repeat([]byte{0xff}, 4096))
			n++
		}
	}
	if n == 0 {
		t.Fatal("there is no such user in the file")
	}
	return b
}

func TestRestoreRefused(t *testing.T) {
	for name, r := range map[string]struct {
		break_ func(t *testing.T, c *restoreCase, o *latchbolt.RestoreOptions)
		want   error
	}{
		"no backup": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) { c.src += "none" }, fs.ErrNotExist},
		"a folder":  {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) { c.src = t.TempDir() }, latchbolt.ErrInsecure},
		"empty":     {rewrite(func(b []byte) []byte { return nil }), latchbolt.ErrCorrupt},
		"text":      {rewrite(func(b []byte) []byte { return bytes.Repeat([]byte("text "), 9999) }), latchbolt.ErrCorrupt},
		"cut short": {rewrite(func(b []byte) []byte { return b[:len(b)-4096] }), latchbolt.ErrCorrupt},
		"a page lost": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
			must(t, "damaging", os.WriteFile(c.src, losePages(t, read(t, c.src)), 0o600))
		}, latchbolt.ErrCorrupt},
		"a record bad": {rewrite(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("Augusta"), []byte("Augustb")) }), latchbolt.ErrCorrupt},
		"newer": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
			eng, err := latchbolt.Open(c.src, c.cfg)
			must(t, "opening", err)
			must(t, "raising", eng.Update(t.Context(), func(tx *latchbolt.Tx) error { return tx.RaiseFormat() }))
			must(t, "closing", eng.Close())
		}, latchbolt.ErrNewerFormat},
		"backup in use": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
			eng, err := latchbolt.Open(c.src, c.cfg)
			must(t, "opening", err)
			t.Cleanup(func() { eng.Close() })
		}, latchbolt.ErrLocked},
		"file in use": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
			eng, err := latchbolt.Open(c.dst, c.cfg)
			must(t, "opening", err)
			t.Cleanup(func() { eng.Close() })
		}, latchbolt.ErrLocked},
		"file in use elsewhere": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) { inOther(t, "hold", c.src, c.dst) }, latchbolt.ErrLocked},
		"the file itself":       {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) { c.src = c.dst }, errAny},
		"kept name taken": {func(t *testing.T, c *restoreCase, o *latchbolt.RestoreOptions) {
			o.KeepAs = filepath.Join(t.TempDir(), "taken")
			must(t, "writing", os.WriteFile(o.KeepAs, []byte("mine"), 0o600))
		}, fs.ErrExist},
		"a link in place of the file": {func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
			link := filepath.Join(t.TempDir(), "link.db")
			must(t, "linking", os.Symlink(c.dst, link))
			c.dst = link
		}, latchbolt.ErrInsecure},
	} {
		t.Run(name, func(t *testing.T) {
			c := newRestoreCase(t)
			o := &latchbolt.RestoreOptions{LockTimeout: -1}
			r.break_(t, c, o)
			before, folder := read(t, c.dst), names(t, filepath.Dir(c.dst))
			_, err := latchbolt.Restore(t.Context(), c.src, c.dst, o)
			if r.want == errAny {
				if err == nil {
					t.Error("it was done")
				}
			} else {
				want(t, "restoring", err, r.want)
			}
			if !bytes.Equal(read(t, c.dst), before) || !slices.Equal(names(t, filepath.Dir(c.dst)), folder) {
				t.Errorf("the file was changed, or the folder: %v", names(t, filepath.Dir(c.dst)))
			}
			if o.KeepAs != "" && string(read(t, o.KeepAs)) != "mine" {
				t.Error("what had the name was replaced")
			}
		})
	}
}

var errAny = errors.New("any")

// rewrite damages the backup.
func rewrite(fn func([]byte) []byte) func(*testing.T, *restoreCase, *latchbolt.RestoreOptions) {
	return func(t *testing.T, c *restoreCase, _ *latchbolt.RestoreOptions) {
		before := read(t, c.src)
		after := fn(bytes.Clone(before))
		if bytes.Equal(before, after) {
			t.Fatal("nothing was damaged")
		}
		must(t, "damaging", os.WriteFile(c.src, after, 0o600))
	}
}

// TestRestoreCancelled cancels at every look at the context.
func TestRestoreCancelled(t *testing.T) {
	c := newRestoreCase(t)
	before, folder := read(t, c.dst), names(t, filepath.Dir(c.dst))
	for n := 0; ; n++ {
		ctx := newCountdown(t.Context(), n)
		_, err := latchbolt.Restore(latchbolt.WithActor(ctx, 77, netip.Addr{}), c.src, c.dst, &latchbolt.RestoreOptions{Discard: true})
		if err == nil {
			if n < 5 {
				t.Errorf("the context was looked at only %d times", n)
			}
			break
		}
		want(t, "restoring", err, context.Canceled)
		if !bytes.Equal(read(t, c.dst), before) || !slices.Equal(names(t, filepath.Dir(c.dst)), folder) {
			t.Fatalf("cancelled after %d looks: the file was changed, or the folder: %v", n, names(t, filepath.Dir(c.dst)))
		}
	}
}

// A countdown is a context that is cancelled when it has been looked at so often.
type countdown struct {
	context.Context
	left atomic.Int64
	done chan struct{}
	once sync.Once
}

func newCountdown(ctx context.Context, n int) *countdown {
	c := &countdown{Context: ctx, done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) Err() error {
	if c.left.Add(-1) >= 0 {
		return nil
	}
	c.once.Do(func() { close(c.done) })
	return context.Canceled
}

func (c *countdown) Done() <-chan struct{} { return c.done }

// otherEnv, if set to "WHAT SRC DST", makes TestOther a process that does something until it is killed.
const otherEnv = "LATCHBOLT_TEST_OTHER"

// TestOther is the other process of other tests.
func TestOther(t *testing.T) {
	var what, src, dst string
	if _, err := fmt.Sscan(os.Getenv(otherEnv), &what, &src, &dst); err != nil {
		return
	}
	ctx := context.Background()
	switch what {
	case "hold":
		eng, err := latchbolt.Open(dst, forTests(nil))
		must(t, "opening", err)
		fmt.Println("ready")
		time.Sleep(time.Hour)
		runtime.KeepAlive(eng)
	case "restore":
		fmt.Println("ready")
		for {
			_, err := latchbolt.Restore(ctx, src, dst, &latchbolt.RestoreOptions{Discard: true})
			must(t, "restoring", err)
		}
	case "load":
		eng, err := latchbolt.Open(dst, forTests(nil))
		must(t, "opening", err)
		fmt.Println("ready")
		for n := 0; ; n++ {
			must(t, "loading", eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
				return loadUsers(l, n*loadedAtOnce, (n+1)*loadedAtOnce, nil)
			}))
		}
	}
}

// inOther starts the other process and waits until it is ready. What it returns kills it.
func inOther(t *testing.T, what, src, dst string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOther$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", otherEnv, what, src, dst))
	out, err := cmd.StdoutPipe()
	must(t, "a pipe", err)
	must(t, "starting", cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("the other process ended by itself")
		}
	})
	t.Cleanup(kill)
	in := bufio.NewScanner(out)
	if !in.Scan() || in.Text() != "ready" {
		t.Fatalf("the other process says %q", in.Text())
	}
	return kill
}

// TestRestoreKilled kills a process that restores again and again.
func TestRestoreKilled(t *testing.T) {
	c := newRestoreCase(t)
	must(t, "filling", fillFile(t, c.dst, 3000)) // so that the two differ in size
	rng := rand.New(rand.NewPCG(1, 2))
	lastEpoch, raised := uint32(1), 0
	for round := range killRounds() {
		kill := inOther(t, "restore", c.src, c.dst)
		if round%2 == 1 {
			awaitNext(t, c.dst)
		}
		time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		kill()
		for f, err := range latchbolt.VerifyFile(t.Context(), c.dst) {
			t.Fatalf("after a kill: %v, %v", f, err)
		}
		done := c.restore(t, &latchbolt.RestoreOptions{Discard: true})
		if done.Epoch <= lastEpoch {
			t.Fatalf("epoch %d after %d", done.Epoch, lastEpoch)
		}
		if done.Epoch > lastEpoch+1 {
			raised++
		}
		lastEpoch = done.Epoch
		c.restored(t, done, done.Epoch)
		if got := names(t, filepath.Dir(c.dst)); len(got) != 2 {
			t.Fatalf("left in the folder: %v", got)
		}
	}
	if raised == 0 {
		t.Error("no kill came late enough for a restore: this test tests little")
	}
}

func killRounds() int {
	if os.Getenv("LATCHBOLT_LONG") != "" {
		return 300
	}
	return testsize.Of(4, 8)
}

// awaitNext waits until another process has put another file at path.
func awaitNext(t *testing.T, path string) {
	t.Helper()
	before, err := os.Stat(path)
	must(t, "looking at the file", err)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := os.Stat(path); err == nil && !os.SameFile(before, now) {
			return
		}
	}
	t.Fatal("nothing was put in place within a minute")
}

// fillFile adds users to a file.
func fillFile(t *testing.T, path string, n int) error {
	eng, err := latchbolt.Open(path, forTests(nil))
	if err != nil {
		return err
	}
	defer eng.Close()
	return eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
		for i := range n {
			if err := tx.InsertUser(&latchbolt.User{Username: fmt.Sprint("filler", i)}, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestVerifyFile(t *testing.T) {
	c := newRestoreCase(t)
	must(t, "filling", fillFile(t, c.dst, 500))
	long := time.Now().Add(-time.Hour)
	check := func(what, path string, wantErr error, findings bool) {
		t.Helper()
		must(t, "setting the time", os.Chtimes(path, long, long))
		before, folder := read(t, path), names(t, filepath.Dir(path))
		info, err := os.Stat(path)
		must(t, "stat", err)
		n := 0
		var last error
		for f, err := range latchbolt.VerifyFile(t.Context(), path) {
			last = err
			if err == nil {
				n++
				if f.Where == "" || f.What == "" {
					t.Errorf("%s: finding %+v", what, f)
				}
			}
		}
		if !errors.Is(last, wantErr) || (last == nil) != (wantErr == nil) || (n > 0) != findings {
			t.Errorf("%s: %d findings, error %v; want some: %v, error %v", what, n, last, findings, wantErr)
		}
		after, err := os.Stat(path)
		if err != nil || !bytes.Equal(read(t, path), before) || !after.ModTime().Equal(info.ModTime()) || after.Mode() != info.Mode() ||
			!slices.Equal(names(t, filepath.Dir(path)), folder) {
			t.Errorf("%s: something was changed", what)
		}
	}
	check("a closed file", c.dst, nil, false)
	check("a backup", c.src, nil, false)
	whole := read(t, c.dst)
	dir := t.TempDir()
	broken := func(name string, b []byte) string {
		path := filepath.Join(dir, name+".db")
		must(t, "writing", os.WriteFile(path, b, 0o644)) // a mode that Open would narrow
		return path
	}
	check("whole", broken("whole", whole), nil, false)
	check("empty", broken("empty", nil), latchbolt.ErrCorrupt, false)
	check("text", broken("text", bytes.Repeat([]byte("text "), 9999)), latchbolt.ErrCorrupt, false)
	check("cut short", broken("short", whole[:6*4096]), latchbolt.ErrCorrupt, false)
	check("a page lost", broken("page", losePages(t, bytes.Clone(whole))), nil, true)
	check("a record changed", broken("record", bytes.ReplaceAll(whole, []byte("Augusta"), []byte("Augustb"))), nil, true)
	left := broken("left", whole) // somebody's temporary file is not ours to remove
	must(t, "writing", os.WriteFile(filepath.Join(dir, ".left.db.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), whole, 0o600))
	check("beside what was left", left, nil, false)
	link := filepath.Join(dir, "link.db")
	must(t, "linking", os.Symlink(left, link))
	check("through a link", link, nil, false)

	// A file that was not closed, as after a crash, has no list of free pages.
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	addUser(t, eng, "bob")
	want(t, "a file in use", firstError(latchbolt.VerifyFile(t.Context(), c.dst)), latchbolt.ErrLocked)
	check("after a crash", broken("crashed", read(t, c.dst)), nil, false)
	must(t, "raising", eng.Update(t.Context(), func(tx *latchbolt.Tx) error { return tx.RaiseFormat() }))
	check("newer", broken("newer", read(t, c.dst)), latchbolt.ErrNewerFormat, false)
	must(t, "closing", eng.Close())
	want(t, "no file", firstError(latchbolt.VerifyFile(t.Context(), c.dst+"none")), fs.ErrNotExist)
	want(t, "a folder", firstError(latchbolt.VerifyFile(t.Context(), dir)), latchbolt.ErrInsecure)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "a context that is done", firstError(latchbolt.VerifyFile(ctx, c.src)), context.Canceled)
}

func firstError(seq iter.Seq2[latchbolt.Finding, error]) error {
	for _, err := range seq {
		return err
	}
	return nil
}

// TestSnapshot takes snapshots of a file that is written to, whole and damaged.
func TestSnapshot(t *testing.T) {
	c := newRestoreCase(t)
	eng, err := latchbolt.Open(c.dst, c.cfg)
	must(t, "opening", err)
	dir := t.TempDir()
	stop, stopped := make(chan bool), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := eng.InsertUser(context.Background(), &latchbolt.User{Username: fmt.Sprint("u", i)}, latchbolt.PasswordHash{}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for i := range 20 {
		path := filepath.Join(dir, fmt.Sprint(i))
		must(t, "snapshot", eng.Snapshot(t.Context(), path))
		for f, err := range latchbolt.VerifyFile(t.Context(), path) {
			t.Errorf("snapshot %d: %v, %v", i, f, err)
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	stop <- true
	must(t, "writing", <-stopped)
	want(t, "over a file", eng.Snapshot(t.Context(), c.src), fs.ErrExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "a context that is done", eng.Snapshot(ctx, filepath.Join(dir, "cancelled")), context.Canceled)
	if _, err := os.Stat(filepath.Join(dir, "cancelled")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a snapshot that was cancelled left a file: %v", err)
	}

	// Damage under a running engine: a backup is refused, a snapshot is not.
	f, err := os.OpenFile(c.dst, os.O_RDWR, 0)
	must(t, "opening", err)
	b := read(t, c.dst)
	for at := 2 * 4096; at < len(b); at += 4096 {
		if i := bytes.Index(b[at:at+4096], []byte("Augusta")); i >= 0 {
			_, err = f.WriteAt([]byte("Augustb"), int64(at+i))
			must(t, "damaging", err)
			_, err = f.WriteAt([]byte{0xff}, int64(at+8)) // flags of the page
			must(t, "damaging", err)
		}
	}
	must(t, "closing", f.Close())
	want(t, "a backup of a damaged file", eng.Backup(t.Context(), filepath.Join(dir, "backup"), false), latchbolt.ErrCorrupt)
	path := filepath.Join(dir, "damaged")
	must(t, "a snapshot of a damaged file", eng.Snapshot(t.Context(), path))
	found := 0
	for _, err := range latchbolt.VerifyFile(t.Context(), path) {
		must(t, "verifying", err)
		found++
	}
	if found == 0 {
		t.Error("the damage is not found in the snapshot")
	}
	_ = eng.Close()
}
