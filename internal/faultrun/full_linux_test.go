package faultrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// TestFullDisk fills a small disk to the last byte. What takes power away works, or is in force in memory and
// reported; nothing that was acknowledged is lost, and writes work again by themselves when there is room.
func TestFullDisk(t *testing.T) {
	for _, fs := range []string{"tmpfs", "ext4", "xfs"} {
		t.Run(fs, func(t *testing.T) {
			d := &disk{dir: mount(t, fs)}
			d.prepare(t)
			d.fill(t)
			d.revoke(t)
			d.makeRoom(t)
			d.resume(t)
			tally.Log(t, "disks", 1, "fs", fs)
		})
	}
}

// mount mounts a small file system of its own.
func mount(t *testing.T, fs string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	var err error
	if fs == "tmpfs" {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m,mode=700")
	} else {
		err = mountImage(t, fs, dir)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
		t.Skipf("mounting is not possible here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// mountImage mounts a file as a disk.
func mountImage(t *testing.T, fs, dir string) error {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + fs)
	if err != nil {
		t.Skipf("there is no mkfs.%s", fs)
	}
	size := map[string]int64{"ext4": 16 << 20, "xfs": 320 << 20}[fs]
	image := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	args := map[string][]string{"ext4": {"-q", "-F", "-m", "0", image}, "xfs": {"-q", "-f", image}}[fs]
	if out, err := exec.Command(mkfs, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	return nil
}

// A disk is a small file system with an engine's file.
type disk struct {
	dir      string
	e        *latchbolt.Engine
	users    []latchbolt.UserID
	sessions []latchbolt.Token
	inForce  []string // what is only in memory
}

func (d *disk) path() string    { return filepath.Join(d.dir, "app.db") }
func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

const diskUsers = 5

func (d *disk) prepare(t *testing.T) {
	t.Helper()
	cfg := config()
	cfg.Create = true
	var err error
	d.e, err = latchbolt.Open(d.path(), cfg)
	must(t, err)
	t.Cleanup(func() { _ = d.e.Close() })
	must(t, d.e.Define(t.Context(), latchbolt.Permission{App: "app", Codename: "add", Name: "may add"}))
	for i := range diskUsers {
		u := &latchbolt.User{Username: fmt.Sprintf("user%d", i)}
		must(t, d.e.CreateUser(t.Context(), u, "old password"))
		must(t, d.e.Grant(t.Context(), u.ID, "app.add"))
		d.users = append(d.users, u.ID)
		for range 2 {
			id, err := d.e.Identity(t.Context(), u.ID)
			must(t, err)
			s, err := d.e.Login(t.Context(), id, latchbolt.LoginOptions{})
			must(t, err)
			d.sessions = append(d.sessions, s.Token)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill leaves no room on the disk, nor in the file: until not even the last small thing can be written.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.ballast())
	must(t, err)
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync()
	written := 0
	for ; written < 100_000; written++ {
		err := d.e.Record(t.Context(), latchbolt.AuditEntry{Action: "app.fill", Detail: string(make([]byte, 200))})
		if err == nil {
			continue
		}
		if !errors.Is(err, latchbolt.ErrFull) && !errors.Is(err, latchbolt.ErrIndeterminate) {
			t.Fatalf("a full disk is: %v", err)
		}
		if errors.Is(err, latchbolt.ErrIndeterminate) {
			t.Skipf("the disk only noticed that it is full when it was synced: %v", err)
		}
		t.Logf("full after %d records: %v", written, err)
		return
	}
	t.Fatal("the disk does not fill")
}

// revoke takes power away in every way.
func (d *disk) revoke(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for i, do := range []func() error{
		func() error { return d.e.Logout(ctx, d.sessions[0]) },
		func() error { return d.e.EndSessions(ctx, d.users[1]) },
		func() error {
			return d.e.UpdateUser(ctx, d.users[2], func(u *latchbolt.User) error { u.Inactive = true; return nil })
		},
		func() error { return d.e.SetPassword(ctx, d.users[3], "new password") },
		func() error { return d.e.DeleteUser(ctx, d.users[4]) },
	} {
		start := time.Now()
		if err := do(); err != nil {
			if !errors.Is(err, latchbolt.ErrFull) {
				t.Errorf("%d: %v", i, err)
			}
			d.inForce = append(d.inForce, fmt.Sprint(i))
		}
		if took := time.Since(start); took > slow {
			t.Errorf("%d took %v", i, took)
		}
	}
	d.check(t, "while the disk is full")
	t.Logf("in memory only: %v", d.inForce)
}

// check looks whether what was taken away is gone, and nothing else.
func (d *disk) check(t *testing.T, when string) {
	t.Helper()
	for i, token := range d.sessions {
		_, err := d.e.SessionUser(t.Context(), token)
		if alive := i == 1; alive != (err == nil) || !alive && !errors.Is(err, latchbolt.ErrNoSession) {
			t.Errorf("%s: session %d: %v", when, i, err)
		}
	}
	for i := range diskUsers {
		err := d.login(t.Context(), i, "old password")
		if may := i < 2; may != (err == nil) || !may && !errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%s: user %d with the old password: %v", when, i, err)
		}
	}
}

func (d *disk) login(ctx context.Context, i int, password string) error {
	_, err := d.e.Authenticate(ctx, latchbolt.Password{Username: fmt.Sprintf("user%d", i), Password: password})
	return err
}

func (d *disk) makeRoom(t *testing.T) {
	t.Helper()
	must(t, os.Remove(d.ballast()))
}

// resume does again what is in memory only, with nothing opened anew, and looks at the file afterwards.
func (d *disk) resume(t *testing.T) {
	t.Helper()
	d.check(t, "when there is room")
	start := time.Now()
	for { // the file system gives the room back a moment later
		err := d.e.Record(t.Context(), latchbolt.AuditEntry{Action: "app.again"})
		if err == nil {
			break
		}
		if time.Since(start) > 5*time.Second {
			t.Fatalf("writes do not work again: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("writes work again after %v", time.Since(start).Round(time.Millisecond))
	d.inForce = nil
	for _, id := range d.users[4:] {
		if _, err := d.e.User(t.Context(), id); err == nil {
			must(t, d.e.DeleteUser(t.Context(), id))
		}
	}
	must(t, errors.Join(
		d.e.Logout(t.Context(), d.sessions[0]),
		d.e.EndSessions(t.Context(), d.users[1]),
		d.e.UpdateUser(t.Context(), d.users[2], func(u *latchbolt.User) error { u.Inactive = true; return nil }),
		d.e.SetPassword(t.Context(), d.users[3], "new password"),
	))
	d.check(t, "when it is written")
	must(t, d.e.Close())
	var err error
	d.e, err = latchbolt.Open(d.path(), config())
	must(t, err)
	d.check(t, "when it is opened again")
	must(t, d.login(t.Context(), 3, "new password"))
	for f, err := range d.e.Verify(t.Context()) {
		t.Errorf("%v, %v", f, err)
	}
}
