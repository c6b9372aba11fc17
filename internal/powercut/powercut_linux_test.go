package powercut

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/crashtest"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/loopdisk"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

const (
	// childEnv, if set to "FOLDER SEED SYNC", makes the test binary the program that works until there is no power.
	childEnv = "POWERCUT_CHILD"
	// insideEnv tells that the mounts are in a name space of their own.
	insideEnv = "POWERCUT_INSIDE"
)

func TestMain(m *testing.M) {
	if run := os.Getenv(childEnv); run != "" {
		if err := child(run); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(insideEnv) == "" && os.Getuid() == 0 {
		if code, ok := inside(); ok {
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

// inside runs this program once more, in a mount name space of its own: however it ends, its mounts and loop devices go with it.
func inside() (code int, ok bool) {
	runtime.LockOSThread() // of which the end would end the other program
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, false // not allowed; then mounting is not either, and the tests say so
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), true
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// lanes is how many callers the program has, each with users of its own.
const lanes = 3

func child(run string) error {
	var dir string
	var seed uint64
	var sync bool
	if _, err := fmt.Sscan(run, &dir, &seed, &sync); err != nil {
		return err
	}
	if !sync {
		boltkv.Observe = func(s boltkv.Step) {
			if s.Op == boltkv.Opened {
				reflect.ValueOf(s.DB).Elem().FieldByName("NoSync").SetBool(true)
			}
		}
	}
	return crashtest.Narrate(dir, seed, lanes, func() error { return powered(filepath.Dir(dir)) }, os.Stdout)
}

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

// A disk is one on which an engine works, in a folder of its own.
type disk struct{ *loopdisk.Disk }

func newDisk(t *testing.T, k kind) *disk {
	t.Helper()
	d := &disk{loopdisk.New(t, k.fs, k.options, map[string]int64{"ext4": 96 << 20, "xfs": 320 << 20}[k.fs])}
	must(t, os.WriteFile(filepath.Join(d.Dir, powerFile), nil, 0o600))
	must(t, d.empty())
	return d
}

// powerFile can be opened as long as there is power.
const powerFile = "power"

// powered returns an error if the power of the disk mounted at dir was cut. A sync that the cut overtakes may be told to have worked: xfs answers
// so for a folder whose change it has just thrown away (55 of 150 cuts during a loop of renames and syncs of the folder, and none of them
// with power afterwards). A machine without power tells nobody.
func powered(dir string) error {
	f, err := os.Open(filepath.Join(dir, powerFile))
	if err != nil {
		return err
	}
	return f.Close()
}

// work is the folder that the engine works in.
func (d *disk) work() string { return filepath.Join(d.Dir, "work") }

// empty makes the folder anew, durably.
func (d *disk) empty() error {
	return errors.Join(os.RemoveAll(d.work()), os.Mkdir(d.work(), 0o700), d.Sync())
}

// read returns what the files hold that a cut left.
func (d *disk) read(t *testing.T) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	entries, err := os.ReadDir(d.work())
	must(t, err)
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(d.work(), e.Name()))
		must(t, err)
	}
	return files
}

// keep writes files to where go test -artifacts keeps them.
func keep(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		must(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name), data, 0o600))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var seedFlag = flag.Uint64("seed", 0, "seed of workloads and moments; 0 takes the time")

// chances returns where the chances of a test come from, and prints it. What the program does comes from it too; which calls share a
// commit, and how far it has come at a moment, does not.
func chances(t *testing.T) *rand.Rand {
	s := cmp.Or(*seedFlag, uint64(time.Now().UnixNano()))
	t.Logf("seed %d; once more: -run '^%s$' -seed %d", s, strings.Split(t.Name(), "/")[0], s)
	return rand.New(rand.NewPCG(s, 1))
}

// size returns how many cuts there are to be.
func size(t *testing.T) int {
	n := 4
	if os.Getenv("LATCHBOLT_CI") != "" {
		n = 200
	}
	if os.Getenv("LATCHBOLT_LONG") != "" {
		n = 5000
	}
	if text := os.Getenv("LATCHBOLT_CUTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("LATCHBOLT_CUTS: %v", err)
		}
	}
	return n
}

// TestPowerCut cuts the power while programs work, on each kind of disk.
func TestPowerCut(t *testing.T) {
	rng := chances(t)
	start := time.Now()
	total, made, acked, skipped, untried := size(t), 0, 0, 0, 0
	for i, k := range kinds {
		n := (total + len(kinds) - 1 - i) / len(kinds)
		if n == 0 {
			untried++
			continue
		}
		ran := false
		t.Run(k.String(), func(t *testing.T) {
			d := newDisk(t, k)
			ran = true
			doing := make(map[string]int)
			calls := 0
			for range n {
				s := d.cut(t, rng.Uint64(), 1, moment(rng), true)
				found := d.read(t)
				if err := s.Check(d.work()); err != nil {
					t.Errorf("cut %d, in %v after %d calls: %v", made+1, s.Doing(), s.Acknowledged(), err)
					keep(t, found)
				}
				must(t, d.empty())
				made++
				calls += s.Acknowledged()
				for _, name := range s.Doing() {
					doing[name]++
				}
			}
			acked += calls
			t.Logf("%d cuts, %d calls acknowledged; under way were %v", n, calls, doing)
		})
		if !ran {
			skipped += n
		}
	}
	t.Logf("power cuts: %d made, %d SKIPPED, %d calls acknowledged, in %v; %d of %d kinds of disks are for larger sizes",
		made, skipped, acked, time.Since(start).Round(time.Millisecond), untried, len(kinds))
	tally.Log(t, "cuts", made, "skipped", skipped, "acknowledged", acked, "kinds", len(kinds)-untried)
	if made+skipped != total {
		t.Errorf("%d cuts were made and %d skipped, of %d", made, skipped, total)
	}
	if made > 20 && acked < 10*made {
		t.Errorf("only %d calls were acknowledged in %d cuts: this test tests little", acked, made)
	}
}

// moment returns when to cut the power, from the first line that the program tells: now and then while the file is being made.
func moment(rng *rand.Rand) time.Duration {
	if rng.IntN(6) == 0 {
		return time.Duration(rng.IntN(int(8 * time.Millisecond)))
	}
	return time.Duration(rng.IntN(int(300 * time.Millisecond)))
}

// TestControlNoSync does without bbolt's syncs: acknowledged changes must be missing.
func TestControlNoSync(t *testing.T) {
	rng := chances(t)
	most := 3
	for _, k := range kinds[:2] {
		if size(t) < len(kinds) && k.fs != "ext4" {
			continue // one of them in the everyday size
		}
		t.Run(k.String(), func(t *testing.T) {
			d := newDisk(t, k)
			for i := range most {
				// A number of lines, for in a tenth of a second a busy machine may have come to none.
				s := d.cut(t, rng.Uint64(), 60, 100*time.Millisecond, false)
				err := s.Check(d.work())
				must(t, d.empty())
				if err != nil {
					t.Logf("caught by cut %d, after %d calls: %v", i+1, s.Acknowledged(), err)
					tally.Log(t, "controls", 1, "caught", 1)
					return
				}
			}
			t.Errorf("in %d cuts nothing was missing though nothing was synced", most)
		})
	}
}

// hang is how long the program may take to notice that there is no power.
const hang = 30 * time.Second

// cut lets a program work on the disk, cuts the power a while after it has told some lines, and returns what the program told until then. The
// disk is mounted again afterwards.
func (d *disk) cut(t *testing.T, seed uint64, lines int, after time.Duration, sync bool) *crashtest.Story {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %v", childEnv, d.work(), seed, sync))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	story, heard, enough := new(crashtest.Story), make(chan error, 1), make(chan struct{})
	go func() {
		in := bufio.NewScanner(out)
		in.Buffer(nil, 64<<20)
		var err error
		for n := 0; in.Scan(); n++ {
			if n == lines-1 {
				close(enough)
			}
			err = errors.Join(err, story.Hear(in.Bytes()))
		}
		heard <- errors.Join(err, in.Err())
	}()
	select {
	case <-enough:
		time.Sleep(after)
	case err := <-heard:
		t.Fatalf("the program told fewer than %d lines: %v, %v: %s", lines, err, cmd.Wait(), &stderr)
	}
	cutErr := d.CutPower()
	if errors.Is(cutErr, errors.ErrUnsupported) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Skipf("SKIPPED: %v", cutErr)
	}
	select {
	case err = <-heard:
	case <-time.After(hang):
		err = fmt.Errorf("the program still works %v after the power was cut", hang)
		_ = cmd.Process.Kill()
		<-heard
	}
	if err := errors.Join(cutErr, err, cmd.Wait(), d.PowerUp()); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return story
}
