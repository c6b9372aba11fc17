package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"strings"
	"sync"

	"golang.org/x/term"
)

// A local is the front of this process.
type local struct {
	in       io.Reader
	stdin    interruptible // in, until the command ends
	out, err io.Writer
	place    place

	mu    sync.Mutex
	lines *bufio.Reader // of in, once a line was read
}

// newLocal describes this process. The streams are those that cobra was given, nearly always the process's own.
func newLocal(ctx context.Context, in io.Reader, out, errOut io.Writer) *local {
	l := &local{in: in, stdin: interruptible{ctx: ctx, r: in}, out: out, err: errOut}
	p := &l.place
	p.Dir, _ = os.Getwd() // only needed for relative paths; opening one then fails by itself
	if u, err := user.Current(); err == nil {
		p.User = u.Username
	}
	p.In, p.Out, p.Err = isTerminal(in), isTerminal(out), isTerminal(errOut)
	p.Width = 80
	if f, ok := errOut.(*os.File); ok && p.Err {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			p.Width = w
		}
	}
	p.Env = make(map[string]string)
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, envPrefix) {
			p.Env[name] = value
		}
	}
	p.Color = p.Out && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return l
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (l *local) Stdin() io.Reader  { return &l.stdin }
func (l *local) Stdout() io.Writer { return l.out }
func (l *local) Stderr() io.Writer { return l.err }
func (l *local) Place() *place     { return &l.place }

func (l *local) Open(name string, _ int64) (io.ReadCloser, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		_ = f.Close()
		return nil, 0, &os.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	size := int64(-1)
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// errInterrupted is the error of a prompt that was left with the interrupt key.
var errInterrupted = &exitError{code: ExitFailed, err: errors.New("interrupted")}

func (l *local) ReadLine(ctx context.Context, prompt string) (string, error) {
	s, err := l.ask(ctx, prompt, l.line)
	if err != nil {
		_, _ = io.WriteString(l.err, "\n") // nobody typed one
	}
	return s, err
}

// line reads a line, without its end.
func (l *local) line() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = bufio.NewReader(l.in)
	}
	s, err := l.lines.ReadString('\n')
	if err == io.EOF && s != "" {
		err = nil
	}
	return strings.TrimRight(s, "\r\n"), err
}

func (l *local) ReadPassword(ctx context.Context, prompt string) (string, error) {
	f, ok := l.in.(*os.File)
	if !ok || !l.place.In {
		return "", usagef("standard input is not a terminal to type a password at")
	}
	// Before the prompt, so that nobody is faster; and undone here, whatever the reading that an interrupt leaves behind does.
	echo, err := echoOff(f)
	if err != nil {
		return "", err
	}
	s, err := l.ask(ctx, prompt, l.line)
	echo()
	_, _ = io.WriteString(l.err, "\n") // the one that was typed was not echoed
	return s, err
}

// ask shows a prompt and waits for the answer or the end of ctx.
func (l *local) ask(ctx context.Context, prompt string, read func() (string, error)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", errInterrupted
	}
	if _, err := io.WriteString(l.err, prompt); err != nil {
		return "", err
	}
	return await(ctx, read)
}

// await waits for fn or for the end of ctx, which leaves fn behind: a read from a terminal or a pipe cannot be stopped, and the process
// is about to end.
func await[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	go func() {
		v, err := fn()
		ch <- result{v, err}
	}()
	select {
	case r := <-ch:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, errInterrupted
	}
}
