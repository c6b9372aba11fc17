//go:build unix

package cli_test

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// onTerminal starts a command on a pseudo-terminal of some columns, and returns all that it writes there, with \r\n for line ends.
func onTerminal(t *testing.T, cmd *exec.Cmd, columns uint16) string {
	t.Helper()
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out, _ := io.ReadAll(f) // ends with an error when the command has ended
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args[1:], err, out)
	}
	return string(out)
}

// TestProgressBar: a long import draws a bar that fits the terminal and is gone at the end.
func TestProgressBar(t *testing.T) {
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		b.run(0, "init")
		hold()
		users := filepath.Join(b.dir, "users.ndjson")
		writeUsers(t, users, 60_000)
		const columns = 60
		out := onTerminal(t, b.latchbolt("import", "users", users), columns)
		last := strings.LastIndex(out, "\r\x1b[K")
		if last < 0 {
			t.Fatalf("there was no bar: %q", out)
		}
		if got, want := out[last+len("\r\x1b[K"):], "Imported 60,000 users, 20 groups, 0 permissions and 0 sessions.\r\n"; !strings.HasPrefix(got, want) {
			t.Errorf("behind the bar stands %q, want %q", got, want)
		}
		bars := strings.Split(out[:last], "\r")
		full := 0
		for _, bar := range bars {
			bar = strings.TrimSuffix(bar, "\x1b[K")
			if strings.ContainsAny(bar, "\n\x1b") || len(bar) >= columns {
				t.Errorf("%d columns: %q", len(bar), bar)
			}
			if strings.HasPrefix(bar, "storing") && strings.Contains(bar, "%") && strings.Contains(bar, "/s") {
				full++
			}
		}
		if full == 0 {
			t.Errorf("no bar tells share and rate: %q", bars)
		}
	})
}

// TestNoProgressBar: nothing is drawn where standard error is no terminal, also with --json.
func TestNoProgressBar(t *testing.T) {
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		b.run(0, "init")
		hold()
		users := filepath.Join(b.dir, "users.ndjson")
		count := testsize.Of(20_000, 60_000)
		writeUsers(t, users, count)
		stdout, stderr := b.run(0, "import", "users", users, "--json")
		if stderr != "" || !strings.HasPrefix(stdout, fmt.Sprintf(`{"users":%d,`, count)) || strings.Contains(stdout, "\r") {
			t.Errorf("stdout %q, stderr %q", stdout, stderr)
		}
	})
}

// TestHashAtTerminal: at a terminal the hash and the password are asked for, and the password is not shown.
func TestHashAtTerminal(t *testing.T) {
	b := newBench(t)
	cmd := b.latchbolt("hash", "verify")
	f, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	expect(t, f, "Hash: ")
	if _, err := io.WriteString(f, someHash+"\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "Password: ")
	const password = "correct horse battery staple"
	if _, err := io.WriteString(f, password+"\n"); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(f)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, rest)
	}
	if strings.Contains(string(rest), password) || !strings.Contains(string(rest), "belongs to the hash") {
		t.Errorf("the terminal shows %q", rest)
	}
}

// TestRestoreAsks: at a terminal restore asks, and no is no.
func TestRestoreAsks(t *testing.T) {
	b := newBench(t)
	b.run(0, "init")
	b.run(0, "backup", "copy.db")
	b.run(0, "user", "create", "ada", "--no-password")
	for _, c := range []struct {
		answer string
		code   int
	}{{"n", 7}, {"", 7}, {"y", 0}} {
		cmd := b.latchbolt("restore", "copy.db", "--discard")
		f, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, f, "keep nothing of it? [y/N] ")
		if _, err := io.WriteString(f, c.answer+"\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(f)
		_ = cmd.Wait()
		_ = f.Close()
		if got := cmd.ProcessState.ExitCode(); got != c.code {
			t.Errorf("answer %q: exit code %d, want %d", c.answer, got, c.code)
		}
	}
	b.run(3, "user", "show", "ada")
}

// expect reads until a text comes.
func expect(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var got strings.Builder
	b := make([]byte, 1)
	for !strings.Contains(got.String(), text) {
		n, err := r.Read(b)
		if err != nil {
			t.Fatalf("waiting for %q: %v: %q", text, err, got.String())
		}
		got.Write(b[:n])
	}
}
