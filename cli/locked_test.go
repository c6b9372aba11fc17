package cli_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestLocked: a file that a program without a control socket holds is told from a damaged one, and who holds it, and what to do.
func TestLocked(t *testing.T) {
	t.Parallel() // most of it is waiting
	b := newBench(t)
	b.run(0, "init")
	b.run(0, "backup", "copy.db")
	b.open() // by this process
	for _, args := range [][]string{
		{"user", "list"},
		{"verify", "--json"},
		{"restore", "copy.db", "--yes"},
	} {
		stdout, stderr := b.run(5, args...)
		if stdout != "" || !strings.Contains(stderr, "app.db is in use") || !strings.Contains(stderr, "top it") {
			t.Errorf("%v: stdout %q, stderr %q", args, stdout, stderr)
		}
		if runtime.GOOS == "linux" && !strings.Contains(stderr, fmt.Sprintf("process %d ", os.Getpid())) {
			t.Errorf("%v: it is not said who holds the file: %q", args, stderr)
		}
	}
}
