package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A bench is a folder with a file, and perhaps a program that holds it.
type bench struct {
	t      testing.TB
	dir    string
	db     string
	env    []string
	holder *exec.Cmd // if a program holds the file
	in     io.Closer
}

// onBothRoutes runs a test with the file at rest and with a program that holds it; the everyday size does without the first.
func onBothRoutes(t *testing.T, test func(t *testing.T, b *bench, hold func())) {
	routes := []string{"socket"}
	if allRoutes() {
		routes = []string{"direct", "socket"}
	}
	for _, route := range routes {
		t.Run(route, func(t *testing.T) {
			b := newBench(t)
			test(t, b, func() {
				if route == "socket" {
					b.hold()
				}
			})
		})
	}
}

func newBench(t testing.TB) *bench {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: dir, db: filepath.Join(dir, "app.db")}
	b.env = append(os.Environ(), "LATCHBOLT_DB="+b.db)
	t.Cleanup(func() {
		if b.holder != nil {
			b.let()
		}
	})
	return b
}

func (b *bench) program(name string, args ...string) *exec.Cmd {
	b.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

func (b *bench) latchbolt(args ...string) *exec.Cmd {
	b.t.Helper()
	return b.program("latchbolt", args...)
}

// run runs a command that has to end with a certain code, and returns what it wrote.
func (b *bench) run(code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	return b.runWith(nil, code, args...)
}

func (b *bench) runWith(in io.Reader, code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	cmd := b.latchbolt(args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errOut
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		b.t.Fatalf("latchbolt %s: exit code %d, want %d (%v)\n%s%s", strings.Join(args, " "), got, code, err, out.String(), errOut.String())
	}
	return out.String(), errOut.String()
}

// hold starts the program that holds the file.
func (b *bench) hold() {
	b.t.Helper()
	b.holder = b.program("program", b.db)
	b.holder.Stderr = os.Stderr
	in, err := b.holder.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.in = in
	out, err := b.holder.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.holder.Start(); err != nil {
		b.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "serving\n" {
		b.t.Fatalf("the program does not serve: %q, %v", line, err)
	}
}

// let stops it again.
func (b *bench) let() {
	b.t.Helper()
	err := errors.Join(b.in.Close(), b.holder.Wait())
	b.holder = nil
	if err != nil {
		b.t.Fatalf("the program that held the file: %v", err)
	}
}

// kill ends the program that holds the file as a power cut would.
func (b *bench) kill() {
	b.t.Helper()
	_ = b.holder.Process.Kill()
	_ = b.holder.Wait()
	b.holder = nil
}

// open opens the file in this process.
func (b *bench) open() *latchbolt.Engine {
	b.t.Helper()
	eng, err := latchbolt.Open(b.db, config())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = eng.Close() })
	return eng
}

// sound checks the whole file.
func sound(t testing.TB, eng *latchbolt.Engine) {
	t.Helper()
	for f, err := range eng.Verify(context.Background()) {
		t.Errorf("verifying: %v %v", f, err)
	}
}

// eventually waits until a condition holds that another process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A log is what a process wrote so far.
type log struct {
	path string
	f    *os.File
}

func newLog(t testing.TB) *log {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &log{f.Name(), f}
}

func (l *log) String() string {
	data, err := os.ReadFile(l.path)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(data)
}
