package faultrun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// A sweep is a kind of calls of which each fails once.
type sweep struct {
	name    string
	calls   string // as strace has them
	onlyDB  bool
	errors  []string
	at      []int // which calls fail in the small size
	atLeast int   // that the script makes, as the full size finds out
}

// sweeps are the kinds of calls that fail. The runtime of Go makes maps of its own, and ends without
// them, and the loader of a program that needs the C library, as with the race detector, reads that: of
// these calls only those of the file are made to fail.
var sweeps = []sweep{
	{"pwrite64", "pwrite64", false, []string{"EIO", "ENOSPC"}, []int{1, 4, 9, 22, 41}, 40},
	{"pread64", "pread64", true, []string{"EIO"}, []int{1, 2, 3, 5, 9, 14}, 30},
	{"fdatasync", "fdatasync", false, []string{"EIO", "ENOSPC"}, []int{1, 2, 7, 20}, 30},
	{"fsync", "fsync", false, []string{"EIO", "ENOSPC"}, []int{1, 2, 3, 5, 8}, 8},
	{"ftruncate", "ftruncate", false, []string{"EIO", "ENOSPC"}, []int{1, 2}, 1},
	{"mmap", "mmap", true, []string{"ENOMEM"}, []int{1, 2, 3, 5}, 3},
	{"openat", "openat", false, []string{"EIO", "ENOMEM"}, []int{6, 8, 10, 12, 15}, 10},
	{"rename", "/^rename", false, []string{"EIO", "ENOSPC"}, []int{1, 2, 3}, 3},
	{"unlink", "/^unlink", false, []string{"EIO"}, []int{1, 2}, 1},
}

// TestFaultSweep lets the n-th call of each kind fail, for each n that the script gets to, with each error. The everyday
// size takes one, LATCHBOLT_FAULTS=1 some, LATCHBOLT_LONG=1 all.
func TestFaultSweep(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace")
	}
	if _, out, err := trace(t, strace, t.TempDir(), "pwrite64", false, "", 0); err != nil {
		if strings.Contains(out, "ptrace") {
			t.Skipf("strace is not allowed to: %s", out)
		}
		t.Fatalf("without a fault: %v\n%s", err, out)
	}
	for _, s := range sweeps {
		for _, errno := range s.errors {
			t.Run(s.name+"/"+errno, func(t *testing.T) {
				start := time.Now()
				n := s.sweep(t, strace, errno)
				t.Logf("%d calls failed, in %v", n, time.Since(start).Round(time.Millisecond))
				tally.Log(t, "faults", n)
			})
		}
	}
}

// sweep lets one call after the other fail and returns how many did.
func (s *sweep) sweep(t *testing.T, strace, errno string) int {
	at := s.at
	if raceEnabled || os.Getenv("LATCHBOLT_FAULTS") == "" {
		at = at[:1]
	}
	long := os.Getenv("LATCHBOLT_LONG") != ""
	if long {
		at = nil
		for n := 1; n <= 2000; n++ {
			at = append(at, n)
		}
	}
	points := 0
	for _, when := range at {
		if !point(t, strace, s.calls, s.onlyDB, errno, when) {
			break // the script makes no more of them
		}
		points++
	}
	if points == 0 || long && points < s.atLeast {
		t.Errorf("only %d calls failed", points)
	}
	return points
}

// point lets one call fail and reports whether it was made.
func point(t *testing.T, strace, calls string, onlyDB bool, errno string, when int) bool {
	t.Helper()
	name := fmt.Sprintf("%s %d fails with %s", calls, when, errno)
	for try := 0; ; try++ {
		dir := t.TempDir()
		injected, out, err := trace(t, strace, dir, calls, onlyDB, errno, when)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			return injected
		}
		if strings.Contains(out, "\nslow ") && try < 2 {
			continue // it may have been the machine
		}
		if !injected {
			return false
		}
		if strings.Contains(out, "\nbad ") || strings.Contains(out, "\nslow ") {
			t.Errorf("%s:%s", name, out)
			return true
		}
		if strings.Contains(out, latchbolt.ErrCorrupt.Error()) {
			t.Errorf("%s: the file is called damaged:%s", name, out)
		}
		after(t, name, dir, out)
		return true
	}
}

// after opens the file when the program is over: it is whole and says what was said last.
func after(t *testing.T, name, dir, out string) {
	t.Helper()
	_, said, ok := strings.Cut(out, "\nfacts ")
	if !ok || !strings.Contains(out, "\nend") {
		t.Errorf("%s: the program did not come to its end:\n%s", name, out)
		return
	}
	said, _, _ = strings.Cut(said, "\n")
	for f, err := range latchbolt.VerifyFile(t.Context(), filepath.Join(dir, "app.db")) {
		t.Errorf("%s: %v, %v", name, f, err)
	}
	e, err := latchbolt.Open(filepath.Join(dir, "app.db"), config())
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	p := &program{dir: dir, e: e}
	for _, fact := range p.facts(e) {
		if !strings.HasPrefix(fact, "session") && !strings.HasPrefix(fact, "token") && !strings.Contains(said, fact) {
			t.Errorf("%s: %q afterwards, the program said %q", name, fact, said)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if names, err := left(dir); len(names) > 0 || err != nil {
		t.Errorf("%s: left behind: %v, %v", name, names, err)
	}
}

// trace runs the script; when says which call fails, 0 that none does. It returns whether one did, and what was printed.
func trace(t *testing.T, strace, dir, calls string, onlyDB bool, errno string, when int) (injected bool, out string, err error) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	args := []string{"-f", "-qq", "-o", log, "-e", "trace=" + calls}
	if when > 0 {
		args = append(args, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", calls, errno, when))
	}
	if onlyDB {
		args = append(args, "-P", filepath.Join(dir, "app.db"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, strace, append(args, os.Args[0])...)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, errors.New("it hangs"))
	}
	text, readErr := os.ReadFile(log)
	return bytes.Contains(text, []byte("(INJECTED)")), "\n" + both.String(), errors.Join(err, readErr)
}
