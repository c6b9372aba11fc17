package cli_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/cli"
)

// TestServerAsksForOtherFiles: a command gives the program that holds the file those files that its command line names, and no others. Root gives
// commands to the programs of other users, who must not read all files that way.
func TestServerAsksForOtherFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no control socket on Windows")
	}
	eng := newEngine(t) // holds the file
	dir := privateDir(t)
	for _, name := range []string{"named", "key", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("what is in "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("unix", eng.Path()+".sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	for _, c := range []struct {
		file  string
		given bool
	}{
		{filepath.Join(dir, "named"), true}, {filepath.Join(dir, "key"), true},
		{filepath.Join(dir, "secret"), false}, {dir + "/./named", false}, {"secret", false}, {"", false}, {"import", false}, {"--secret-key-file=" + dir + "/secret", false},
	} {
		cmd := latchboltCommand("--db", eng.Path(), "import", "django", filepath.Join(dir, "named"), "--secret-key-file", filepath.Join(dir, "key"))
		cmd.Dir = dir
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		p := answering(t, ln, cmd)
		p.send('f', c.file)
		if c.given {
			if kind, answer := p.next(); kind != 'a' || !strings.HasPrefix(answer, "0 ") {
				t.Errorf("%s: got %q %q", c.file, kind, answer)
			}
			p.send('d', "0")
			if kind, answer := p.next(); kind != 'a' || answer != "what is in "+filepath.Base(c.file) {
				t.Errorf("%s: got %q %q", c.file, kind, answer)
			}
			p.send('x', "")
		} else {
			p.ended()
		}
		_ = p.Close()
		err = cmd.Wait()
		var exit *exec.ExitError
		if c.given && err != nil {
			t.Errorf("%s: %v: %s", c.file, err, &out)
		}
		if !c.given && (!errors.As(err, &exit) || exit.ExitCode() != cli.ExitFailed || !strings.Contains(out.String(), "does not name")) {
			t.Errorf("%s: %v: %s", c.file, err, &out)
		}
	}
}

// TestServerNamesOtherSnapshot: verify removes the copy that the program made for it, beside the file, and nothing else that the
// program says is one. Root verifies the files of other users, who must not have any file removed that way.
func TestServerNamesOtherSnapshot(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no control socket on Windows")
	}
	eng := newEngine(t) // holds the file
	ln, err := net.Listen("unix", eng.Path()+".sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	elsewhere, beside := privateDir(t), filepath.Dir(eng.Path())
	const random = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	base := filepath.Base(eng.Path())
	for _, name := range []string{
		filepath.Join(elsewhere, "other"), filepath.Join(beside, "other"), filepath.Join(elsewhere, "."+base+"."+random+".tmp"),
		filepath.Join(beside, "."+base+".note.tmp"), filepath.Join(beside, "."+base+"."+random+"x.tmp"), filepath.Join(beside, "x."+base+"."+random+".tmp"),
	} {
		if err := os.WriteFile(name, []byte("nobody's copy"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := latchboltCommand("--db", eng.Path(), "verify")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		p := answering(t, ln, cmd)
		p.send('o', name+"\n")
		p.send('x', "")
		err = cmd.Wait()
		_ = p.Close()
		if err == nil {
			t.Errorf("%s: verified: %s", name, &out)
		}
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("it was removed: %v: %s", err, &out)
		}
	}
}

// answering starts a command and returns the program's end of its connection, after the command said what it wants.
func answering(t *testing.T, ln net.Listener, cmd *exec.Cmd) peer {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p := peer{t, conn}
	if kind, _ := p.next(); kind != 'h' {
		t.Fatalf("the command begins with %q", kind)
	}
	return p
}
