package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/latchbolt-go/latchbolt/cli"
)

// Most of what a script costs is the start of processes. So the commands of a script run one after another in one process
// beside the test, the worker, which takes the folder, the environment, the arguments and the input of each. On the direct route every command is a
// process of its own when there is time for that; see allRoutes.

// A call is one command for the worker.
type call struct {
	Dir       string
	Env, Args []string
	In        []byte
}

// A result is what became of it.
type result struct {
	Code     int
	Out, Err []byte
}

// worker runs the calls that its standard input brings.
func worker() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c call
		if err := in.Decode(&c); err != nil {
			if errors.Is(err, io.EOF) {
				os.Exit(0)
			}
			panic(err)
		}
		os.Clearenv()
		for _, kv := range append(c.Env, "LATCHBOLT_TEST_MAIN=1") { // for processes that a command starts
			name, value, _ := strings.Cut(kv, "=")
			if err := os.Setenv(name, value); err != nil {
				panic(err)
			}
		}
		if err := os.Chdir(c.Dir); err != nil {
			panic(err)
		}
		var stdout, stderr bytes.Buffer
		root := cli.New(&cli.Options{Config: config()})
		root.SetArgs(c.Args)
		root.SetIn(bytes.NewReader(c.In))
		root.SetOut(&stdout)
		root.SetErr(&stderr)
		code := cli.Run(context.Background(), root)
		if err := out.Encode(result{code, stdout.Bytes(), stderr.Bytes()}); err != nil {
			panic(err)
		}
	}
}

// A workbench is what a script has at hand.
type workbench struct {
	input []byte          // of the next command
	set   map[string]bool // variables that had a value at some time
	stop  func() error
	in    *json.Encoder
	out   *json.Decoder
}

// benchKey leads to the workbench of a script.
type benchKey struct{}

func benchOf(ts *testscript.TestScript) *workbench { return ts.Value(benchKey{}).(*workbench) }

// input gives the next command of latchbolt the content of a file for its standard input: input FILE.
func input(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: input FILE")
	}
	benchOf(ts).input = []byte(ts.ReadFile(args[0]))
}

// run runs a command that has to succeed, or with a ! to fail: run latchbolt VERB [ARG ...]
func run(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || args[0] != "latchbolt" {
		ts.Fatalf("usage: run latchbolt VERB [ARG ...]")
	}
	switch code := runLatchbolt(ts, args[1:]); {
	case code == 0 && neg:
		ts.Fatalf("unexpected success")
	case code != 0 && !neg:
		ts.Fatalf("exit code %d", code)
	}
}

// runLatchbolt runs a command and returns its exit code.
func runLatchbolt(ts *testscript.TestScript, args []string) int {
	b := benchOf(ts)
	c := call{Dir: ts.MkAbs("."), Env: b.environ(ts), Args: args, In: b.input}
	b.input = nil
	var r result
	if allRoutes() && ts.Getenv("ROUTE") == "direct" {
		r = asProcess(ts, &c)
	} else {
		r = b.asCall(ts, &c)
	}
	for _, s := range []struct {
		name string
		text []byte
		to   io.Writer
	}{{"stdout", r.Out, ts.Stdout()}, {"stderr", r.Err, ts.Stderr()}} {
		_, err := s.to.Write(s.text)
		ts.Check(err)
	}
	return r.Code
}

// environ returns the variables that scripts and commands look at, as the script has set them. One that was never set is absent, which is not the same as empty.
func (b *workbench) environ(ts *testscript.TestScript) (env []string) {
	for _, name := range []string{
		"LATCHBOLT_DB", "LATCHBOLT_SUPERUSER_USERNAME", "LATCHBOLT_SUPERUSER_EMAIL", "LATCHBOLT_SUPERUSER_PASSWORD",
		"TEST_CLOCK", "TEST_SABOTAGE", "GOCOVERDIR", "GOMAXPROCS", "HOME", "PATH", "TMPDIR",
	} {
		value := ts.Getenv(name)
		if b.set[name] = b.set[name] || value != ""; b.set[name] {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// asProcess runs a command in a process of its own.
func asProcess(ts *testscript.TestScript, c *call) result {
	path, err := exec.LookPath("latchbolt")
	ts.Check(err)
	cmd := exec.Command(path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, c.Env, bytes.NewReader(c.In)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Check(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.Bytes()}
}

// asCall runs a command in the worker.
func (b *workbench) asCall(ts *testscript.TestScript, c *call) (r result) {
	if b.stop == nil {
		b.start(ts)
	}
	ts.Check(b.in.Encode(c))
	if err := b.out.Decode(&r); err != nil {
		ts.Fatalf("the worker ended: %v", errors.Join(err, b.stop()))
	}
	return r
}

func (b *workbench) start(ts *testscript.TestScript) {
	path, err := exec.LookPath("worker")
	ts.Check(err)
	cmd := exec.Command(path)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "GOMAXPROCS="+ts.Getenv("GOMAXPROCS"))
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	b.in, b.out = json.NewEncoder(in), json.NewDecoder(out)
	b.stop = func() error {
		err := errors.Join(in.Close(), cmd.Wait())
		if err != nil {
			return fmt.Errorf("%w: %s", err, errOut.String())
		}
		return nil
	}
	ts.Defer(func() { ts.Check(b.stop()) })
}
