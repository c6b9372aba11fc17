package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/cli"
	"github.com/latchbolt-go/latchbolt/internal/canary"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// config makes hashing cheap; it stands for what a host program has.
func config() *latchbolt.Config {
	cfg := &latchbolt.Config{
		Hashers:  []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}},
		Logger:   canary.Logger(),
		Throttle: latchbolt.ThrottleConfig{First: time.Hour, Max: time.Hour}, // no test is slow enough to wait it out
	}
	if at, err := time.Parse(time.RFC3339Nano, os.Getenv("TEST_CLOCK")); err == nil {
		cfg.Clock = func() time.Time { return at }
	}
	return cfg
}

// hunted are the tests, with secrets looked for in all logs if LATCHBOLT_CANARY names a folder for them. The files of these tests hold passwords, for
// commands to read.
type hunted struct{ m *testing.M }

func (h hunted) Run() int { return canary.Run(h.m, oldPassword, newPassword, authtest.Password) }

func TestMain(m *testing.M) {
	if child() {
		return
	}
	if os.Getenv("LATCHBOLT_TEST_MAIN") != "" {
		latchboltMain()
	}
	testscript.Main(hunted{m}, map[string]func(){
		"latchbolt": latchboltMain,
		"worker":    worker,
		"program":   func() { os.Exit(program(os.Args[1])) },
		"prepare":   func() { os.Exit(prepare(os.Args[1:])) },
	})
}

// latchboltMain is the command line as a program of its own.
func latchboltMain() {
	sabotage()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(cli.Run(ctx, cli.New(&cli.Options{Config: config()})))
}

// sabotage makes the process that reads a file for verify end as a damaged file could make it end.
func sabotage() {
	if !slices.Contains(os.Args, "verify-file") {
		return
	}
	switch os.Getenv("TEST_SABOTAGE") {
	case "panic":
		panic("sabotage")
	case "kill":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		panic(err)
	case "hang":
		select {}
	case "quiet":
		os.Exit(0)
	}
}

// program holds a file and lets commands in, until its standard input ends.
func program(path string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	eng, err := latchbolt.Open(path, config())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	served := make(chan error, 1)
	go func() { served <- cli.Serve(ctx, eng, "") }()
	for { // it serves when the socket answers
		if conn, err := net.Dial("unix", path+".sock"); err == nil {
			_ = conn.Close()
			break
		}
		select {
		case err := <-served:
			fmt.Fprintln(os.Stderr, err)
			return 1
		case <-time.After(time.Millisecond):
		}
	}
	fmt.Println("serving")
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	if err := errors.Join(<-served, eng.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestScripts runs scripts twice: with the file at rest, and with a program that holds it. Scripts say "hold" once the file
// is there; from then on, in the second round, every command goes through the control socket. Scripts that never say it need one round.
// The everyday size leaves the first round to those: LATCHBOLT_FULL=1, which .ci/run sets, has all of both.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	data, err := filepath.Abs("../testdata/django")
	if err != nil {
		t.Fatal(err)
	}
	commands := maps.Clone(fileCommands)
	commands["hold"], commands["release"], commands["exits"] = hold, release, exits
	commands["run"], commands["input"] = run, input
	both := holding(t, scripts)
	direct := scripts
	if !allRoutes() {
		direct = slices.DeleteFunc(slices.Clone(scripts), func(name string) bool { return slices.Contains(both, name) })
		t.Logf("%d scripts run through the control socket only; LATCHBOLT_FULL=1 runs them on both routes", len(both))
	}
	for route, files := range map[string][]string{"direct": direct, "socket": both} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Files: files,
				Setup: func(env *testscript.Env) error {
					env.Values[benchKey{}] = &workbench{set: make(map[string]bool)}
					env.Setenv("ROUTE", route)
					env.Setenv("LATCHBOLT_DB", filepath.Join(env.WorkDir, "app.db"))
					env.Setenv("DATA", data)
					env.Setenv("GOMAXPROCS", "1") // a process starts in four fifths of the time; the program that holds the file does without
					return os.Chmod(env.WorkDir, 0o700)
				},
				Condition: func(cond string) (bool, error) {
					if cond == "direct" || cond == "socket" {
						return cond == route, nil
					}
					if cond == "full" { // in the size of CI
						return testsize.Full(), nil
					}
					return false, fmt.Errorf("unknown condition %q", cond)
				},
				Cmds:                commands,
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
			})
		})
	}
}

// allRoutes reports whether what works alike on both routes is tried on both.
func allRoutes() bool { return testsize.Full() }

// holding returns the scripts that say "hold" somewhere. The others would do the same in both rounds.
func holding(t *testing.T, scripts []string) (held []string) {
	t.Helper()
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\nhold\n")) {
			held = append(held, name)
		}
	}
	if len(held) < len(scripts)/2 {
		t.Fatalf("only %d of %d scripts hold the file", len(held), len(scripts))
	}
	return held
}

// hold starts the program that holds the file, in the round of the socket.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: hold")
	}
	if ts.Getenv("ROUTE") != "socket" {
		return
	}
	cmd := exec.Command("program", ts.Getenv("LATCHBOLT_DB"))
	path, err := exec.LookPath("program")
	ts.Check(err)
	cmd.Path, cmd.Err = path, nil
	cmd.Env = append(os.Environ(), "TEST_CLOCK="+ts.Getenv("TEST_CLOCK"))
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line := make([]byte, len("serving\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		_ = cmd.Wait()
		ts.Fatalf("the program does not serve: %v: %s", err, errOut.String())
	}
	held.Store(ts.Getenv("LATCHBOLT_DB"), func() error {
		return errors.Join(in.Close(), cmd.Wait())
	})
	ts.Defer(func() { ts.Check(let(ts)) })
}

// held has, by file, how to stop the program that holds it.
var held sync.Map

// let stops the program that holds the file of a script, if one does.
func let(ts *testscript.TestScript) error {
	stop, ok := held.LoadAndDelete(ts.Getenv("LATCHBOLT_DB"))
	if !ok {
		return nil
	}
	return stop.(func() error)()
}

// release stops the program that holds the file, in the round of the socket.
func release(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: release")
	}
	ts.Check(let(ts))
}

// exits runs a program that has to end with a certain exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG ...]")
	}
	code := 0
	if args[1] == "latchbolt" {
		code = runLatchbolt(ts, args[2:])
	} else {
		err := ts.Exec(args[1], args[2:]...)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else {
			ts.Check(err)
		}
	}
	if got := fmt.Sprint(code); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}
