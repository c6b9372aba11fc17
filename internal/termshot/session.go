package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/creack/pty"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/cli"
)

// A session is what is typed at a terminal, one picture.
type session struct {
	name  string // of the file
	title string
	steps []step
}

// A step is one command.
type step struct {
	line    string
	answers []answer
	exit    int
	hidden  bool // run, but not shown
	hold    bool // from here on, a program has the file
}

// An answer is typed when a question stands on the screen.
type answer struct{ question, text string }

const columns = 104

// draw runs a session in a new folder.
func (s *session) draw(ctx context.Context, bin, root string) (_ string, err error) {
	dir, err := os.MkdirTemp("", "termshot")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data, err := os.ReadFile(filepath.Join(root, "testdata", "django", "auth.json"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "dump.json"), data, 0o600); err != nil {
		return "", err
	}
	env := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "LATCHBOLT_DB=app.db", "TERM=xterm-256color", "NO_COLOR=", "LC_ALL=C.UTF-8")
	scr := newScreen(columns)
	var delays []float64
	at := 0.4
	let := func() error { return nil }
	defer func() { err = errors.Join(err, let()) }()
	for _, st := range s.steps {
		if st.hold {
			if let, err = hold(ctx, filepath.Join(dir, "app.db")); err != nil {
				return "", err
			}
		}
		out, err := st.run(ctx, dir, env)
		if err != nil {
			return "", fmt.Errorf("%s: %w", st.line, err)
		}
		if st.hidden {
			continue
		}
		if scr.row > 0 {
			scr.newLine()
			scr.newLine()
		}
		scr.style = style{colour: "prompt", bold: true}
		scr.write("$ ")
		scr.style = style{bold: true}
		scr.write(st.line)
		scr.style = style{}
		scr.newLine()
		for len(delays) < scr.row {
			delays = append(delays, at)
		}
		at += 0.7
		scr.write(out)
		for len(delays) < len(scr.rows) {
			delays = append(delays, at)
			at += 0.04
		}
		at += 1
	}
	return scr.svg(s.title, delays), nil
}

// stepTime bounds a command, so that one that asks for more than was foreseen does not hang.
const stepTime = 2 * time.Minute

// run runs the command of a step on a terminal and returns what it shows.
func (st *step) run(ctx context.Context, dir string, env []string) (string, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", st.line)
	cmd.Dir, cmd.Env = dir, env
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: columns})
	if err != nil {
		return "", err
	}
	defer func() { _ = tty.Close() }()
	var out strings.Builder
	answers := st.answers
	b := make([]byte, 4096)
	for {
		n, err := tty.Read(b)
		out.Write(b[:n])
		if err != nil {
			break // that is how a terminal tells that the last program has gone
		}
		if len(answers) > 0 && strings.HasSuffix(out.String(), answers[0].question) {
			if _, err := io.WriteString(tty, answers[0].text+"\n"); err != nil {
				return "", err
			}
			answers = answers[1:]
		}
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != st.exit {
		return "", fmt.Errorf("exit code %d, want %d (%w): %s", code, st.exit, err, out.String())
	}
	if len(answers) > 0 {
		return "", fmt.Errorf("nobody asked %q: %s", answers[0].question, out.String())
	}
	return hide(strings.ReplaceAll(strings.TrimSuffix(out.String(), "\r\n"), dir, "/srv/myapp"), began), nil
}

// hold has this process open the file and let commands in, as a running program does.
func hold(ctx context.Context, path string) (let func() error, err error) {
	eng, err := latchbolt.Open(path, nil)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- cli.Serve(ctx, eng, "") }()
	for range 1000 {
		if _, err := os.Stat(path + ".sock"); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return func() error {
		stop()
		return errors.Join(<-served, eng.Close())
	}, nil
}
