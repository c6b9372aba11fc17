package loopdisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Disk is a file with a file system that is mounted.
type Disk struct {
	FS      string // ext4, xfs, btrfs or tmpfs
	Options string // of the mount
	Dir     string // where it is mounted
	image   string // "" for tmpfs
}

// makers are the arguments of mkfs, before the name of the file.
var makers = map[string][]string{
	"ext4":  {"-q", "-F", "-m", "0"},
	"xfs":   {"-q", "-f"},
	"btrfs": {"-q", "-f", "--mixed"},
}

// New makes a disk of size bytes and mounts it until the test ends. The test is skipped, with the reason, where that is not
// possible. The file is in memory where it can be, for a disk in memory is fast and loses nothing by itself.
func New(t testing.TB, fs, options string, size int64) *Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount")
	}
	home, err := os.MkdirTemp("/dev/shm", "loopdisk-")
	if err != nil {
		home = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	d := &Disk{FS: fs, Options: options, Dir: filepath.Join(home, "mount")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if fs == "tmpfs" {
		d.Options = fmt.Sprintf("mode=700,size=%d,%s", size, options)
	} else {
		d.image = filepath.Join(home, "disk")
		d.format(t, size)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.Dir, unix.MNT_DETACH) })
	if err := d.mount(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	return d
}

// format makes the file system.
func (d *Disk) format(t testing.TB, size int64) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + d.FS)
	if err != nil {
		t.Skipf("SKIPPED: there is no mkfs.%s", d.FS)
	}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(makers[d.FS], d.image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
}

// mount mounts the disk, at whichever loop device is free. While there is none it waits: others take them too.
func (d *Disk) mount() (err error) {
	args := []string{"-t", d.FS, "-o", d.Options, "tmpfs", d.Dir}
	if d.image != "" {
		args = []string{"-t", d.FS, "-o", "loop," + d.Options, d.image, d.Dir}
	}
	for range 50 {
		var out []byte
		if out, err = exec.Command("mount", args...).CombinedOutput(); err == nil {
			return nil
		}
		err = fmt.Errorf("mount %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		if !strings.Contains(string(out), "loop device") {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (d *Disk) unmount() (err error) {
	for range 100 { // a program that had it open may be gone only just now
		if err = unix.Unmount(d.Dir, 0); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// Sync makes everything on the disk durable.
func (d *Disk) Sync() error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

const (
	iocShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN, which came first
	noLogFlush  = 2
)

// CutPower shuts the file system down: nothing that is not on the disk yet gets there any more, and every access
// fails. It works on ext4 and xfs; elsewhere the error is [errors.ErrUnsupported].
func (d *Disk) CutPower() error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	how := uint32(noLogFlush)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), iocShutdown, uintptr(unsafe.Pointer(&how)))
	if errno == unix.ENOTTY {
		errno = unix.EOPNOTSUPP
	}
	if errno != 0 {
		err = fmt.Errorf("shutdown of %s: %w", d.FS, errno)
	}
	return errors.Join(err, f.Close())
}

// PowerUp mounts the disk again.
func (d *Disk) PowerUp() error { return errors.Join(d.unmount(), d.mount()) }
