package powercut

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

// A kind is a file system and how it is mounted.
type kind struct{ fs, options string }

// kinds alternate between the two file systems, so that a few cuts see both.
var kinds = []kind{
	{"ext4", "defaults"},
	{"xfs", "defaults"},
	{"ext4", "data=writeback"},
	{"xfs", "wsync"},
	{"ext4", "data=journal"},
	{"xfs", "logbsize=256k"},
	{"ext4", "nodelalloc,commit=1"},
	{"xfs", "allocsize=64k"},
	{"ext4", "noauto_da_alloc,commit=1000"},
	{"xfs", "swalloc,largeio"},
}

func (k kind) String() string { return k.fs + "/" + k.options }

// A disk is a file that is mounted.
type disk struct {
	kind
	image string
	dir   string // where it is mounted, or is to be
}

// newDisk makes and mounts a disk. It is gone when the test ends, and, as the mount is in a name space of its own, when
// the program does.
func newDisk(t *testing.T, k kind) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount")
	}
	mkfs, err := exec.LookPath("mkfs." + k.fs)
	if err != nil {
		t.Skipf("SKIPPED: there is no mkfs.%s", k.fs)
	}
	home := scratch(t)
	d := &disk{kind: k, image: filepath.Join(home, "disk"), dir: filepath.Join(home, "mount")}
	must(t, os.Mkdir(d.dir, 0o700))
	f, err := os.Create(d.image)
	must(t, err)
	size := map[string]int64{"ext4": 96 << 20, "xfs": 320 << 20}[k.fs]
	must(t, errors.Join(f.Truncate(size), f.Close()))
	args := map[string][]string{"ext4": {"-q", "-F", "-m", "0", d.image}, "xfs": {"-q", "-f", d.image}}[k.fs]
	if out, err := exec.Command(mkfs, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
	if err := d.mount(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	must(t, errors.Join(os.Mkdir(d.work(), 0o700), d.sync()))
	return d
}

// scratch returns an empty folder, in memory where that is possible: a disk in memory is fast, and loses nothing by itself.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "powercut-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// work is the folder that the engine works in.
func (d *disk) work() string { return filepath.Join(d.dir, "work") }

// mount mounts the disk at whichever loop device is free.
func (d *disk) mount() (err error) {
	for range 20 { // others take loop devices too
		var out []byte
		out, err = exec.Command("mount", "-t", d.fs, "-o", "loop,"+d.options, d.image, d.dir).CombinedOutput()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("mount -o loop,%s: %w: %s", d.options, err, strings.TrimSpace(string(out)))
		if !strings.Contains(string(out), "loop") {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (d *disk) unmount() (err error) {
	for range 100 { // the program that had it open is gone only just now
		if err = unix.Unmount(d.dir, 0); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// sync makes everything on the disk durable.
func (d *disk) sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

const (
	iocShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN, which came first
	noLogFlush  = 2
)

// cutPower shuts the file system down: nothing that is not on the disk gets there any more.
func (d *disk) cutPower() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	how := uint32(noLogFlush)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), iocShutdown, uintptr(unsafe.Pointer(&how)))
	if errno != 0 {
		err = fmt.Errorf("shutdown of %s: %w", d.kind, errno)
	}
	return errors.Join(err, f.Close())
}

// powerUp mounts the disk again.
func (d *disk) powerUp() error { return errors.Join(d.unmount(), d.mount()) }

// empty removes what was left by a cut.
func (d *disk) empty() error {
	return errors.Join(os.RemoveAll(d.work()), os.Mkdir(d.work(), 0o700), d.sync())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
