package crashtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// traceEnv, if set, makes TestStrace the program that is watched: it names the file for the log.
const traceEnv = "CRASHTEST_TRACE"

const otherSync = "sync of another file"

// TestStrace compares what the recorder notes with the system calls that are made. The recorder
// sees the writes of bbolt but concludes from them where its syncs are.
func TestStrace(t *testing.T) {
	if log := os.Getenv(traceEnv); log != "" {
		traced(t, log)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace")
	}
	dir := t.TempDir()
	log, trace := filepath.Join(dir, "log"), filepath.Join(dir, "trace")
	cmd := exec.Command(strace, "-f", "-y", "-qq", "-s0", "-o", trace,
		"-e", "trace=pwrite64,fdatasync,fsync,ftruncate,/rename,/link", os.Args[0], "-test.run=^TestStrace$", "-test.count=1")
	cmd.Env = append(os.Environ(), traceEnv+"="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skipf("strace is not allowed to: %s", out)
		}
		t.Fatalf("strace: %v\n%s", err, out)
	}
	want := readLines(t, log)
	got := called(t, trace, want[0])
	want = want[1:]
	// bbolt syncs a file that is being made more often than it is asked to.
	once := func(a, b string) bool { return a == b && a == otherSync }
	got, want = slices.CompactFunc(got, once), slices.CompactFunc(want, once)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("step %d: the system was asked for %q, recorded is %q", i, got[i:min(i+5, len(got))], want[i:min(i+5, len(want))])
		}
	}
	t.Logf("%d steps, the same as the system calls", len(want))
	if n := len(want); n < 100 || !slices.Contains(want, "grow") {
		t.Errorf("there are only %d steps, or none that makes the file grow", n)
	}
}

// traced makes calls and writes what was recorded: the folder, and then a line for each step on the
// file of the engine, on names, and for each sync.
func traced(t *testing.T, log string) {
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.w.backup = "absent"
	l.open()
	l.few()
	l.compact()
	l.record()
	l.backup(false)
	l.burst(1, l.crowd(2000)...)
	l.close()
	lines := []string{r.dir}
	names := make(map[string]int)
	isDB := func(i int) bool { n, ok := names[dbName]; return ok && n == i }
	for _, e := range r.log() {
		switch {
		case e.kind == synced && isDB(e.file):
			lines = append(lines, "sync")
		case e.kind == synced:
			lines = append(lines, otherSync)
		case e.kind == folderSynced:
			lines = append(lines, "sync of the folder")
		case e.kind != changed:
		case e.change.file == noFile:
			if _, ok := e.names[dbName]; ok {
				lines = append(lines, "rename")
			}
			rename(names, e.names)
		case isDB(e.change.file) && e.data == nil:
			lines = append(lines, "grow")
		case isDB(e.change.file):
			lines = append(lines, fmt.Sprintf("write %d at %d", len(e.data), e.off))
		}
	}
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		lines = append(lines, in.Text())
	}
	return lines
}

var (
	fdCall     = regexp.MustCompile(`^\d+ +(pwrite64|fdatasync|fsync|ftruncate)\(\d+<([^>]*)>(?:\(deleted\))?(?:, ""\.*, (\d+), (\d+))?`)
	renameCall = regexp.MustCompile(`^\d+ +rename[a-z0-9]*\(.*"([^"]*)"[^"]*$`)
)

// called reads the trace: the calls on the file in dir, in the form of the log. Calls begin in
// the order of the lines, and nobody but one caller at a time writes to the file.
func called(t *testing.T, trace, dir string) (steps []string) {
	t.Helper()
	unsynced := make(map[string]bool) // files that were written to and not synced
	for _, line := range readLines(t, trace) {
		if m := renameCall.FindStringSubmatch(line); m != nil && filepath.Dir(m[1]) == dir {
			if len(unsynced) > 0 {
				t.Errorf("named before it was synced: %v", unsynced)
			}
			if filepath.Base(m[1]) == dbName {
				steps = append(steps, "rename")
			}
			continue
		}
		m := fdCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		isDB, inDir := m[2] == filepath.Join(dir, dbName), filepath.Dir(m[2]) == dir
		switch call := m[1]; {
		case call == "pwrite64" && isDB:
			steps = append(steps, fmt.Sprintf("write %s at %s", m[3], m[4]))
		case call == "ftruncate" && isDB:
			steps = append(steps, "grow")
		case (call == "pwrite64" || call == "ftruncate") && inDir:
			unsynced[m[2]] = true
		case strings.HasSuffix(call, "sync") && m[2] == dir:
			steps = append(steps, "sync of the folder")
		case strings.HasSuffix(call, "sync") && isDB:
			steps = append(steps, "sync")
		case call == "fsync" && inDir && (unsynced[m[2]] || strings.Contains(m[2], backupName)):
			delete(unsynced, m[2])
			steps = append(steps, otherSync)
		}
	}
	return steps
}
