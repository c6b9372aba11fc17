package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMillionUsers takes over a million users with one command, and logs what that takes. Memory stays flat: the peak of a million is not
// much above that of a hundred thousand.
func TestMillionUsers(t *testing.T) {
	if !long() {
		t.Skip("takes minutes; set LATCHBOLT_LONG=1")
	}
	peaks := make(map[int]int64)
	for _, n := range []int{100_000, 1_000_000} {
		b := newBench(t)
		b.run(0, "init")
		users := filepath.Join(b.dir, "users.ndjson")
		writeUsers(t, users, n)
		input, err := os.Stat(users)
		if err != nil {
			t.Fatal(err)
		}
		cmd := b.latchbolt("import", "users", users, "--json")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		start := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		var got struct{ Users, Groups int }
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
			t.Fatal(err)
		}
		if got.Users != n || got.Groups != 20 {
			t.Fatalf("imported %+v, want %d users and 20 groups", got, n)
		}
		file, err := os.Stat(b.db)
		if err != nil {
			t.Fatal(err)
		}
		peaks[n] = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // KiB
		t.Logf("%d users (%d MiB of lines): %v, %.0f users/s, peak memory %d MiB, file %d MiB",
			n, input.Size()>>20, took.Round(time.Millisecond), float64(n)/took.Seconds(), peaks[n]>>10, file.Size()>>20)
		if stdout, _ := b.run(0, "verify", "--json"); !strings.Contains(stdout, `"ok":true`) {
			t.Errorf("verify: %s", stdout)
		}
		if stdout, _ := b.run(0, "info", "--json"); !strings.Contains(stdout, `"users":`+jsonNumber(n)+",") {
			t.Errorf("info: %s", stdout)
		}
		stdin := strings.NewReader("correct horse battery staple")
		b.runWith(stdin, 0, "authenticate", "user0000042", "--password-stdin")
	}
	if few, many := peaks[100_000], peaks[1_000_000]; many > 2*few {
		t.Errorf("peak memory is %d MiB for 100,000 users and %d MiB for a million", few>>10, many>>10)
	}
}

func jsonNumber(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}
