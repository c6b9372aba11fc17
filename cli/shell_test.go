package cli_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/cli"
)

// A shell runs commands on one file inside the test.
type shell struct {
	path   string
	cfg    *latchbolt.Config
	socket bool // commands go through a control socket
}

// onRoutes runs a test twice: with commands that open the file themselves, and with commands that go through the control socket of a
// program. Make makes the file and closes it.
func onRoutes(t *testing.T, cfg *latchbolt.Config, make func(t *testing.T, path string), test func(*testing.T, *shell)) {
	for _, route := range []string{"direct", "socket"} {
		t.Run(route, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			sh := &shell{dir + "/app.db", cfg, route == "socket"}
			make(t, sh.path)
			if sh.socket {
				sh.serve(t)
			}
			test(t, sh)
		})
	}
}

// serve holds the file and lets commands in until the test is over.
func (sh *shell) serve(t *testing.T) {
	t.Helper()
	eng, err := latchbolt.Open(sh.path, sh.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- cli.Serve(ctx, eng, "") }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	for {
		if conn, err := net.Dial("unix", sh.path+".sock"); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-served:
			served <- nil
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// run runs a command with a text on its standard input, and returns its exit code and outputs.
func (sh *shell) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := cli.New(&cli.Options{Path: sh.path, Config: sh.cfg})
	var out, errOut bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	code = cli.Run(t.Context(), root)
	return code, out.String(), errOut.String()
}

// want runs a command that has to end with a certain exit code, and returns its standard output.
func (sh *shell) want(t *testing.T, code int, stdin string, args ...string) string {
	t.Helper()
	got, out, errOut := sh.run(t, stdin, args...)
	if got != code {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, got, code, out, errOut)
	}
	return out
}

const (
	oldPassword = "correct horse battery staple"
	newPassword = "quite another password"
)

// oneUser makes a file with the user ada.
func oneUser(t *testing.T, path string) {
	t.Helper()
	cfg := config()
	cfg.Create = true
	eng, err := latchbolt.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.CreateUser(context.Background(), &latchbolt.User{Username: "ada"}, oldPassword); err != nil {
		t.Fatal(err)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
}
