package faultrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/loopdisk"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// TestFullDisk fills a small disk to the last byte. What takes power away works, or is in force in memory and
// reported; nothing that was acknowledged is lost, and writes work again by themselves when there is room, or on btrfs sometimes when the file
// is opened again.
func TestFullDisk(t *testing.T) {
	for fs, size := range map[string]int64{"tmpfs": 12 << 20, "ext4": 16 << 20, "xfs": 320 << 20, "btrfs": 128 << 20} {
		t.Run(fs, func(t *testing.T) {
			d := &disk{fs: fs, dir: loopdisk.New(t, fs, "defaults", size).Dir}
			d.prepare(t)
			d.fill(t)
			d.revoke(t)
			d.makeRoom(t)
			d.resume(t)
			tally.Log(t, "disks", 1, "fs", fs)
		})
	}
}

// A disk is a small file system with an engine's file.
type disk struct {
	fs       string
	dir      string
	e        *latchbolt.Engine
	users    []latchbolt.UserID
	sessions []latchbolt.Token
	inForce  []string // what is only in memory
	written  int      // records that were acknowledged while the disk filled
	unknown  int      // records of which nobody knows
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
	for ; d.written < 100_000; d.written++ {
		err := d.e.Record(t.Context(), latchbolt.AuditEntry{Action: "app.fill", Detail: string(make([]byte, 200))})
		if err == nil {
			continue
		}
		if !errors.Is(err, latchbolt.ErrFull) {
			if d.answers(t) {
				t.Fatalf("a full disk is: %v", err)
			}
			d.unknown++
		}
		t.Logf("full after %d records: %v", d.written, err)
		return
	}
	t.Fatal("the disk does not fill")
}

// revoke takes power away in every way.
func (d *disk) revoke(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"Logout", func() error { return d.e.Logout(ctx, d.sessions[0]) }},
		{"EndSessions", func() error { return d.e.EndSessions(ctx, d.users[1]) }},
		{"UpdateUser: deactivate", func() error {
			return d.e.UpdateUser(ctx, d.users[2], func(u *latchbolt.User) error { u.Inactive = true; return nil })
		}},
		{"SetPassword", func() error { return d.e.SetPassword(ctx, d.users[3], "new password") }},
		{"DeleteUser", func() error { return d.e.DeleteUser(ctx, d.users[4]) }},
	} {
		start := time.Now()
		if err := call.do(); err != nil { // which reports it
			if !errors.Is(err, latchbolt.ErrFull) && d.answers(t) {
				t.Errorf("%s: %v", call.name, err)
			}
			d.inForce = append(d.inForce, call.name)
		}
		if took := time.Since(start); took > 5*slow { // a full file system looks everywhere for room, on a busy machine for seconds
			t.Errorf("%s took %v", call.name, took)
		}
	}
	d.check(t, "while the disk is full")
	if d.answers(t) {
		d.denied(t, len(d.inForce) > 0)
	}
	t.Logf("in memory only: %v", d.inForce)
}

// denied looks whether the engine tells that it keeps something in memory only.
func (d *disk) denied(t *testing.T, want bool) {
	t.Helper()
	s, err := d.e.Stats()
	must(t, err)
	if (s.Denied > 0) != want {
		t.Errorf("Stats tells of %d things that are in memory only; %v are", s.Denied, d.inForce)
	}
}

// kept looks whether everything is there that was acknowledged before the disk was full, and while it filled.
func (d *disk) kept(t *testing.T) {
	t.Helper()
	records := 0
	for _, err := range d.e.Audit(t.Context(), latchbolt.AuditQuery{Action: "app.fill"}) {
		must(t, err)
		records++
	}
	if records < d.written || records > d.written+d.unknown {
		t.Errorf("%d records of %d that were acknowledged, and %d of which nobody knows", records, d.written, d.unknown)
	}
	for _, user := range d.users[:4] {
		gs, err := d.e.Grants(t.Context(), user)
		if err != nil || len(gs) != 1 {
			t.Errorf("grants of user %d: %v, %v", user, gs, err)
		}
	}
	if _, err := d.e.User(t.Context(), d.users[4]); !errors.Is(err, latchbolt.ErrNotFound) {
		t.Errorf("the user who was deleted: %v", err)
	}
}

// answers reports whether the engine still does, when all is written that is written beside the calls. Only at a sync btrfs may find out that there
// is no room. Then nobody knows what is in the file, and the engine says so until it is opened again; the other file systems find out before.
func (d *disk) answers(t *testing.T) bool {
	t.Helper()
	_, _, err := d.e.Throttled(t.Context(), d.users[0])
	if d.fs == "btrfs" && errors.Is(err, latchbolt.ErrIndeterminate) {
		t.Logf("until it is opened again: %v", err)
		return false
	}
	must(t, err)
	return true
}

// check looks whether what was taken away is gone, and nothing else, as long as the engine answers.
func (d *disk) check(t *testing.T, when string) {
	t.Helper()
	var wrong []string
	for i, token := range d.sessions {
		_, err := d.e.SessionUser(t.Context(), token)
		if alive := i == 1; alive != (err == nil) || !alive && !errors.Is(err, latchbolt.ErrNoSession) {
			wrong = append(wrong, fmt.Sprintf("%s: session %d: %v", when, i, err))
		}
	}
	for i := range diskUsers {
		err := d.login(t.Context(), i, "old password")
		if may := i < 2; may != (err == nil) || !may && !errors.Is(err, latchbolt.ErrCredentials) {
			wrong = append(wrong, fmt.Sprintf("%s: user %d with the old password: %v", when, i, err))
		}
	}
	if len(wrong) > 0 && d.answers(t) {
		t.Errorf("%s", strings.Join(wrong, "\n"))
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

// room takes some of what is free, and keeps it, and reports whether there was so much.
func (d *disk) room(t *testing.T) bool {
	t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "room"))
	if err == nil {
		_, err = f.Write(make([]byte, 1<<20))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return err == nil
}

// reopen opens the file again, which has to work as soon as there is room.
func (d *disk) reopen(t *testing.T) {
	t.Helper()
	must(t, d.e.Close())
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		e, err := latchbolt.Open(d.path(), config())
		if err == nil {
			d.e = e
			return
		}
		if !errors.Is(err, latchbolt.ErrFull) && !errors.Is(err, syscall.ENOSPC) || time.Since(start) > time.Minute {
			t.Fatal(err)
		}
	}
}

// resume does again what is in memory only, with nothing opened anew, and looks at the file afterwards.
func (d *disk) resume(t *testing.T) {
	t.Helper()
	d.check(t, "when there is room")
	start, failed := time.Now(), 0
	for { // the file system gives the room back a moment later, and from then on writes work
		room := d.room(t)
		err := d.e.Record(t.Context(), latchbolt.AuditEntry{Action: "app.again"})
		if err == nil {
			break
		}
		if !d.answers(t) {
			d.reopen(t)
		} else if room {
			failed++
		}
		if failed > 3 || time.Since(start) > time.Minute {
			t.Fatalf("writes do not work again, %d of them beside others that do: %v", failed, err)
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
	d.denied(t, false)
	d.reopen(t)
	d.check(t, "when it is opened again")
	d.kept(t)
	must(t, d.login(t.Context(), 3, "new password"))
	for f, err := range d.e.Verify(t.Context()) {
		t.Errorf("%v, %v", f, err)
	}
}
