package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// interruptCommand presses the interrupt key of a command and checks how it ends.
func interruptCommand(t testing.TB, cmd *exec.Cmd, code int) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%v ended with %v, want exit code %d", cmd.Args[1:], cmd.ProcessState, code)
	}
}

// TestInterruptedImport: an import that is interrupted, while it reads or while it stores, leaves the file as it was.
func TestInterruptedImport(t *testing.T) {
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		b.run(0, "init")
		b.run(0, "user", "create", "ada", "--no-password")
		before, _ := b.run(0, "info", "--json")
		hold()

		// It waits for more of its input.
		cmd := b.latchbolt("import", "users", "-")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		errOut := newLog(t)
		cmd.Stderr = errOut.f
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// A pipe holds 64 KiB, so when all of this is written, the command has begun to read.
		var lines bytes.Buffer
		for i := range 2000 {
			userLine(&lines, i)
		}
		if _, err := stdin.Write(lines.Bytes()); err != nil {
			t.Fatal(err)
		}
		interruptCommand(t, cmd, 7)
		_ = stdin.Close()
		if !strings.Contains(errOut.String(), "interrupted") {
			t.Errorf("standard error: %q", errOut)
		}

		// It is storing: with so many users it takes a while.
		users := b.dir + "/users.ndjson"
		writeUsers(t, users, 200_000)
		cmd = b.latchbolt("import", "users", users)
		errOut = newLog(t)
		cmd.Stderr = errOut.f
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file that is being built", func() bool { return hasTemp(t, b) })
		interruptCommand(t, cmd, 7)
		if !strings.Contains(errOut.String(), "the file is as it was") {
			t.Errorf("standard error: %q", errOut)
		}
		if b.holder != nil {
			b.let()
		}
		after, _ := b.run(0, "info", "--json")
		if before != after {
			t.Errorf("the file was\n%s and is\n%s", before, after)
		}
		if hasTemp(t, b) {
			t.Error("a file was left")
		}
		sound(t, b.open())
	})
}

// hasTemp reports whether a file is being built beside the file.
func hasTemp(t testing.TB, b *bench) bool {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			return true
		}
	}
	return false
}

// someHash is a hash of "correct horse battery staple", with one iteration.
const someHash = "pbkdf2_sha256$1$saltsaltsaltsaltsaltsa$P7GLev/XHS+V6wAqKb+6i1VhNuAmgkT+LLMSnk6Ak8M="

// writeUsers writes a file for import users.
func writeUsers(t testing.TB, name string, n int) {
	t.Helper()
	var buf bytes.Buffer
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		userLine(&buf, i)
		if buf.Len() > 1<<20 || i == n-1 {
			if _, err := buf.WriteTo(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// userLine writes the line of one user.
func userLine(w io.Writer, i int) {
	_, _ = fmt.Fprintf(w, `{"username":"user%07d","email":"user%07d@example.org","first_name":"User","last_name":"Number %d","groups":["group%d"],"password_hash":%q}`+"\n",
		i, i, i, i%20, someHash)
}
