package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestFollow: audit --follow prints what is there, then each new entry once, and ends with the interrupt key.
func TestFollow(t *testing.T) {
	b := newBench(t)
	b.run(0, "init")
	b.run(0, "user", "create", "before", "--no-password")
	b.hold()
	cmd := b.latchbolt("audit", "--follow", "--json")
	out, errOut := newLog(t), newLog(t)
	cmd.Stdout, cmd.Stderr = out.f, errOut.f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the entry that was there", func() bool { return strings.Contains(out.String(), `"before"`) })
	for _, name := range []string{"one", "two", "three"} {
		b.run(0, "user", "create", name, "--no-password")
	}
	eventually(t, "the entry that came last", func() bool { return strings.Contains(out.String(), `"three"`) })
	b.run(0, "user", "create", "four", "--no-password")
	eventually(t, "another one", func() bool { return strings.Contains(out.String(), `"four"`) })
	interruptCommand(t, cmd, 0)
	var names []string
	for line := range strings.Lines(out.String()) {
		var entry struct{ Username string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names = append(names, entry.Username)
	}
	if got, want := strings.Join(names, " "), "before one two three four"; got != want {
		t.Errorf("followed %q, want %q", got, want)
	}
	if errOut.String() != "" {
		t.Errorf("standard error: %q", errOut)
	}
}

// TestFollowAlone: without a running program the file is held while the trail is followed, and it ends with the interrupt key too.
func TestFollowAlone(t *testing.T) {
	b := newBench(t)
	b.run(0, "init")
	b.run(0, "user", "create", "ada", "--no-password")
	cmd := b.latchbolt("audit", "--follow", "--user", "ada")
	out := newLog(t)
	cmd.Stdout, cmd.Stderr = out.f, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the entry", func() bool { return strings.Contains(out.String(), "user.create") })
	interruptCommand(t, cmd, 0)
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, out)
	}
}
