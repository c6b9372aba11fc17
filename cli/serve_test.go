package cli_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/cli"
)

// serve starts serving an engine and returns the socket and a function that stops it.
func serve(t *testing.T, eng *latchbolt.Engine) (socket string, stop func() error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no control socket on Windows")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cli.Serve(ctx, eng, "") }()
	socket = eng.Path() + ".sock"
	awaitServer(t, socket, done)
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return socket, stop
}

// awaitServer waits until somebody listens at a socket.
func awaitServer(t *testing.T, socket string, done <-chan error) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		select {
		case err := <-done:
			t.Fatalf("Serve returned: %v", err)
		case <-time.After(time.Millisecond):
		}
		if conn, err := net.Dial("unix", shortSocket(t, socket)); err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatal("nobody listens")
}

// shortSocket returns a name that fits into a socket's address.
func shortSocket(t *testing.T, socket string) string {
	if len(socket) < 100 {
		return socket
	}
	short := filepath.Join(privateDir(t), "d")
	if err := os.Symlink(filepath.Dir(socket), short); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(short, filepath.Base(socket))
}

// privateDir is a folder that only its owner may write to, with a short name.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newEngine(t *testing.T) *latchbolt.Engine {
	t.Helper()
	return authtest.Open(t, filepath.Join(privateDir(t), "app.db"), config())
}

// A peer speaks the control protocol by hand, as a client that does not mean well might.
type peer struct {
	*testing.T
	net.Conn
}

func connect(t *testing.T, socket string) peer {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return peer{t, conn}
}

func (p peer) send(kind byte, payload string) {
	p.Helper()
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := p.Write(append(b, payload...)); err != nil {
		p.Fatal(err)
	}
}

// hello begins a command as somebody at a terminal.
func (p peer) hello(args ...string) {
	p.Helper()
	b, err := json.Marshal(map[string]any{"version": 1, "args": args,
		"place": map[string]any{"dir": "/", "user": "ada", "in": true, "out": true, "err": true, "width": 80}})
	if err != nil {
		p.Fatal(err)
	}
	p.send('h', string(b))
}

// next returns the next frame.
func (p peer) next() (kind byte, payload string) {
	p.Helper()
	var head [5]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		p.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(p, b); err != nil {
		p.Fatal(err)
	}
	return head[0], string(b)
}

// until skips frames up to one of a kind.
func (p peer) until(kind byte) string {
	p.Helper()
	for {
		if k, b := p.next(); k == kind {
			return b
		} else if k == 'x' {
			p.Fatalf("the command ended: %s", b)
		}
	}
}

// exit skips frames up to the end of the command, and returns its code and text.
func (p peer) exit() (int, string) {
	p.Helper()
	for {
		k, b := p.next()
		if k != 'x' {
			continue
		}
		if b == "" {
			return 0, ""
		}
		var f struct {
			Code int
			Text string
		}
		if err := json.Unmarshal([]byte(b), &f); err != nil {
			p.Fatal(err)
		}
		return f.Code, f.Text
	}
}

// ended waits for the other end to close the connection.
func (p peer) ended() {
	p.Helper()
	if _, err := io.Copy(io.Discard, p); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.Fatal(err)
	}
}

// stillServes checks that a well-behaved command gets its answer.
func stillServes(t *testing.T, socket string) {
	t.Helper()
	p := connect(t, socket)
	p.hello("user", "show", "ada", "--json")
	if out := p.until('o'); !strings.Contains(out, `"username":"ada"`) {
		t.Fatalf("the program answered %q", out)
	}
	if code, text := p.exit(); code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	p.ended()
}

func TestHostileClients(t *testing.T) {
	eng := newEngine(t)
	authtest.User(t, eng, "ada")
	socket, _ := serve(t, eng)
	long := binary.BigEndian.AppendUint32([]byte{'h'}, 1<<31)
	for name, attack := range map[string]func(t *testing.T, p peer){
		"says nothing and goes":      func(t *testing.T, p peer) {},
		"sends noise":                func(t *testing.T, p peer) { _, _ = p.Write([]byte("GET / HTTP/1.1\r\n\r\n")); p.ended() },
		"announces a huge frame":     func(t *testing.T, p peer) { _, _ = p.Write(long); p.ended() },
		"begins with an answer":      func(t *testing.T, p peer) { p.send('a', "x"); p.ended() },
		"sends a hello that is none": func(t *testing.T, p peer) { p.send('h', `{"version":1,"args":7}`); p.ended() },
		"sends two hellos in one":    func(t *testing.T, p peer) { p.send('h', `{"version":1,"args":["version"]}{}`); p.ended() },
		"sends no arguments":         func(t *testing.T, p peer) { p.send('h', `{"version":1,"args":[]}`); p.ended() },
		"speaks another version": func(t *testing.T, p peer) {
			p.send('h', `{"version":99,"args":["user","show","ada"]}`)
			if code, text := p.exit(); code != cli.ExitFailed || !strings.Contains(text, "version") {
				t.Errorf("exit code %d: %s", code, text)
			}
		},
		"names a relative folder": func(t *testing.T, p peer) {
			p.send('h', `{"version":1,"args":["user","show","ada"],"place":{"dir":"../.."}}`)
			p.ended()
		},
		"cuts a frame short": func(t *testing.T, p peer) {
			p.hello("user", "create", "eve")
			p.until('p')
			_, _ = p.Write([]byte{'a', 0, 0, 0, 9, 'x'})
		},
		"goes away at a prompt": func(t *testing.T, p peer) {
			p.hello("user", "create", "eve")
			p.until('p')
		},
		"cancels at a prompt": func(t *testing.T, p peer) {
			p.hello("user", "create", "eve")
			p.until('p')
			p.send('c', "")
			if code, _ := p.exit(); code != cli.ExitFailed {
				t.Errorf("exit code %d", code)
			}
		},
		"answers twice": func(t *testing.T, p peer) {
			p.hello("user", "create", "eve")
			p.until('p')
			for range 100 {
				b := binary.BigEndian.AppendUint32([]byte{'a'}, 1)
				if _, err := p.Write(append(b, 'x')); err != nil {
					break
				}
			}
			p.ended()
		},
		"asks what only a server asks": func(t *testing.T, p peer) {
			p.hello("user", "create", "eve")
			p.until('p')
			p.send('f', "/etc/passwd")
			p.ended()
		},
		"gives no command": func(t *testing.T, p peer) {
			p.hello("no-such-verb")
			if code, _ := p.exit(); code != cli.ExitUsage {
				t.Errorf("exit code %d", code)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, socket)
			attack(t, p)
			_ = p.Close()
			stillServes(t, socket)
			if _, err := eng.UserByName(t.Context(), "eve"); !errors.Is(err, latchbolt.ErrNotFound) {
				t.Errorf("eve: %v", err)
			}
		})
	}
}

// A client that does not read what it asked for waits alone, and the program can still end.
func TestStalledClient(t *testing.T) {
	eng := newEngine(t)
	authtest.User(t, eng, "ada")
	socket, stop := serve(t, eng)
	var stalled []peer
	for range 16 { // as many as may run at once
		p := connect(t, socket)
		p.hello("user", "create", "eve")
		p.until('p')
		stalled = append(stalled, p)
	}
	p := connect(t, socket)
	p.hello("user", "show", "ada")
	if code, text := p.exit(); code != cli.ExitFailed || !strings.Contains(text, "busy") {
		t.Fatalf("the seventeenth command: exit code %d: %s", code, text)
	}
	authtest.User(t, eng, "bob") // the program itself goes on
	_ = stalled[0].Close()
	for end := time.Now().Add(20 * time.Second); ; { // its place is free as soon as the program notices
		if time.Now().After(end) {
			t.Fatal("the place of a client that went away is not given to another")
		}
		p := connect(t, socket)
		p.hello("user", "show", "ada")
		if code, _ := p.exit(); code == 0 {
			break
		}
		runtime.Gosched()
	}
	begun := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("ending took %v", took)
	}
}

func TestServeLooksAfterItsSocket(t *testing.T) {
	eng := newEngine(t)
	authtest.User(t, eng, "ada")
	socket := eng.Path() + ".sock"

	// A file that is no socket is left alone.
	if err := os.WriteFile(socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cli.Serve(t.Context(), eng, ""); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Fatalf("on a file: %v", err)
	}
	if b, _ := os.ReadFile(socket); string(b) != "precious" {
		t.Fatalf("the file holds %q", b)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}

	// One that a crash left behind is replaced.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("no stale socket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cli.Serve(ctx, eng, "") }()
	awaitServer(t, socket, done)
	if info, err := os.Lstat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket: %v, %v", info.Mode(), err)
	}
	stillServes(t, socket)

	// A living one is not taken over.
	if err := cli.Serve(t.Context(), eng, ""); err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Fatalf("on a living socket: %v", err)
	}
	stillServes(t, socket)

	// It takes its own name away in the end, and nobody else's.
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("after the end: %v", err)
	}
	_, stop := serve(t, eng)
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("somebody else's file: %v", err)
	}
}

func TestServeRefusesOpenFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no control socket on Windows")
	}
	for _, mode := range []os.FileMode{0o777, 0o702, os.ModeSticky | 0o777} {
		eng := newEngine(t)
		if err := os.Chmod(filepath.Dir(eng.Path()), mode); err != nil {
			t.Fatal(err)
		}
		if err := cli.Serve(t.Context(), eng, ""); err == nil || !strings.Contains(err.Error(), "other users may write") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// A path that is longer than a socket's name may be works where the system has a way.
func TestLongSocketPath(t *testing.T) {
	dir := filepath.Join(privateDir(t), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eng := authtest.Open(t, filepath.Join(dir, "app.db"), config())
	authtest.User(t, eng, "ada")
	if runtime.GOOS != "linux" {
		if err := cli.Serve(t.Context(), eng, ""); err == nil {
			t.Error("a long path was accepted")
		}
		return
	}
	serve(t, eng)
	out, err := latchboltCommand("--db", eng.Path(), "user", "show", "ada").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// latchboltCommand runs the test binary as the command line.
func latchboltCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "latchbolt"
	cmd.Env = append(os.Environ(), "LATCHBOLT_TEST_MAIN=1")
	return cmd
}

// Another user gets no answer, even past the mode of the socket.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can become another user")
	}
	eng := newEngine(t)
	authtest.User(t, eng, "ada")
	socket, _ := serve(t, eng)
	if err := os.Chmod(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := connectChild(t, socket, 65534)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != "connected, then nothing" {
		t.Errorf("another user: %s", got)
	}
	out, err = connectChild(t, socket, 0).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "answered") {
		t.Errorf("root: %v: %s", err, out)
	}
}

// A client does not give its passwords to a socket of another user.
func TestForeignServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can become another user")
	}
	eng := newEngine(t) // holds the file, serves nothing
	authtest.User(t, eng, "ada")
	dir := privateDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	fake := childProcess(t, "LATCHBOLT_TEST_FAKE="+socket, 65534)
	out, err := fake.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := fake.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = fake.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(socket, eng.Path()+".sock"); err != nil {
		t.Fatal(err)
	}
	got, err := latchboltCommand("--db", eng.Path(), "user", "show", "ada").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != cli.ExitLocked || !strings.Contains(string(got), "user 65534 listens there") {
		t.Errorf("%v: %s", err, got)
	}
}

// childProcess prepares the test binary as another user, told what to do by a variable.
func childProcess(t *testing.T, do string, uid uint32) *exec.Cmd {
	t.Helper()
	dir := privateDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The test binary may lie where the other user cannot go.
	self := filepath.Join(dir, "test")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), do)
	asUser(cmd, uid)
	return cmd
}

func connectChild(t *testing.T, socket string, uid uint32) *exec.Cmd {
	return childProcess(t, "LATCHBOLT_TEST_CONNECT="+socket, uid)
}

// child does what childProcess asked for.
func child() bool {
	if socket := os.Getenv("LATCHBOLT_TEST_CONNECT"); socket != "" {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			fmt.Println(err)
			return true
		}
		b := []byte(`{"version":1,"args":["user","show","ada"]}`)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint32([]byte{'h'}, uint32(len(b))), b...))
		if n, _ := io.Copy(io.Discard, conn); n > 0 {
			fmt.Println("answered")
		} else {
			fmt.Println("connected, then nothing")
		}
		return true
	}
	if socket := os.Getenv("LATCHBOLT_TEST_FAKE"); socket != "" {
		ln, err := net.Listen("unix", socket)
		if err != nil {
			fmt.Println(err)
			return true
		}
		_ = os.Chmod(socket, 0o777)
		fmt.Println("listening")
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = ln.Close()
		return true
	}
	return false
}

// TestRemovedFolder: a command that is given in a folder that was removed writes nothing into the folder of the program.
func TestRemovedFolder(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		if !sh.socket {
			return
		}
		for _, args := range [][]string{{"backup", "stray.db"}, {"export", "ndjson", "--output=stray.db"}} {
			b, err := json.Marshal(map[string]any{"version": 1, "args": args, "place": map[string]any{"dir": "", "width": 80}})
			if err != nil {
				t.Fatal(err)
			}
			p := connect(t, sh.path+".sock")
			p.send('h', string(b))
			if code, text := p.exit(); code != cli.ExitNotFound || !strings.Contains(text, "stray.db") {
				t.Errorf("%q: exit code %d: %s", args, code, text)
			}
			if err := os.Remove("stray.db"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: it is in the folder of the program: %v", args, err)
			}
		}
	})
}
