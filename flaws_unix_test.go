//go:build unix

package latchbolt_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestCVE_2020_24583: whatever the umask says and whatever was there before, nobody else can read a file that this package writes.
func TestCVE_2020_24583(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	must(t, "mode", os.Chmod(dir, 0o777))
	path := func(name string) string { return filepath.Join(dir, name) }
	ctx := t.Context()
	eng, err := latchbolt.Open(path("app.db"), forTests(nil))
	must(t, "creating", err)
	addUser(t, eng, "ada")
	must(t, "backup", eng.Backup(ctx, path("backup.db"), false))
	must(t, "snapshot", eng.Snapshot(ctx, path("snapshot.db")))
	_, _, err = eng.Compact(ctx)
	must(t, "compact", err)
	must(t, "closing", eng.Close())
	for _, mode := range []fs.FileMode{0o644, 0o666, 0o777} {
		must(t, "mode", os.Chmod(path("app.db"), mode))
		eng, err = latchbolt.Open(path("app.db"), forTests(nil))
		must(t, "opening", err)
		if info, err := os.Stat(path("app.db")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("a file of mode %v is %v after Open, %v", mode, info.Mode(), err)
		}
		must(t, "mode", os.Chmod(path("backup.db"), mode))
		must(t, "backup over a file", eng.Backup(ctx, path("backup.db"), true))
		must(t, "closing", eng.Close())
	}
	_, err = latchbolt.Restore(ctx, path("backup.db"), path("app.db"), &latchbolt.RestoreOptions{KeepAs: path("kept.db")})
	must(t, "restore", err)
	_, err = latchbolt.Restore(ctx, path("backup.db"), path("restored.db"), nil)
	must(t, "restore", err)
	_, err = latchbolt.Salvage(ctx, path("app.db"), path("salvaged.db"), nil)
	must(t, "salvage", err)
	store, err := latchbolt.FolderSessions(path("sessions"))
	must(t, "folder", err)
	eng, err = latchbolt.Open(path("app.db"), forTests(&latchbolt.Config{Sessions: store}))
	must(t, "opening", err)
	login(t, eng, "ada")
	must(t, "closing", eng.Close())
	files := 0
	must(t, "walking", filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", d.Name(), info.Mode())
		}
		files++
		return err
	}))
	if files < 8 {
		t.Errorf("only %d files", files)
	}
}

// TestCVE_2025_0913: no path leads through a link to a file that somebody else meant.
func TestCVE_2025_0913(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	addUser(t, eng, "ada")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, "writing", os.WriteFile(path("precious"), []byte("precious"), 0o600))
	must(t, "backup", eng.Backup(ctx, path("good.db"), false))
	must(t, "linking", os.Symlink(path("precious"), path("link")))
	must(t, "linking", os.Symlink(path("nothing"), path("dangling")))
	must(t, "linking", os.Symlink(path("good.db"), path("good-link")))
	must(t, "folder", os.Mkdir(path("folder"), 0o700))
	for _, name := range []string{"link", "dangling", "folder", "good-link"} {
		for what, do := range map[string]func(string) error{
			"backup":    func(p string) error { return eng.Backup(ctx, p, false) },
			"replacing": func(p string) error { return eng.Backup(ctx, p, true) },
			"snapshot":  func(p string) error { return eng.Snapshot(ctx, p) },
			"restore":   func(p string) error { _, err := latchbolt.Restore(ctx, path("good.db"), p, nil); return err },
			"salvage":   func(p string) error { _, err := latchbolt.Salvage(ctx, path("good.db"), p, nil); return err },
			"keeping": func(p string) error {
				_, err := latchbolt.Restore(ctx, path("good.db"), path("dst.db"), &latchbolt.RestoreOptions{KeepAs: p})
				return err
			},
			"open": func(p string) error {
				e, err := latchbolt.Open(p, forTests(nil))
				if err == nil {
					err = e.Close()
				}
				return err
			},
		} {
			if what == "keeping" {
				must(t, "copying", eng.Backup(ctx, path("dst.db"), true))
			}
			if err := do(path(name)); err == nil {
				t.Errorf("%s to %s was done", what, name)
			}
			info, err := os.Lstat(path(name))
			if err != nil || name != "folder" && info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("%s: %s is gone: %v", what, name, err)
			}
		}
	}
	for _, bad := range []string{path("new.db") + "/", path("nowhere") + "/x.db", ""} {
		if err := eng.Backup(ctx, bad, true); err == nil {
			t.Errorf("backup to %q was made", bad)
		}
	}
	if got := readFile(t, path("precious")); got != "precious" {
		t.Errorf("the file at the end of the link was changed to %.20q", got)
	}
	if _, err := os.Lstat(path("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dangling link was followed: %v", err)
	}
}
