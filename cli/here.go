package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// here runs a verb that works in this process alone: it needs no file, or the file itself and not what is in it.
func (t *tree) here(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if t.eng != nil { // no command line sends it there
			return &exitError{code: ExitFailed, err: errors.New("this command does not run inside a program")}
		}
		t.begin(cmd)
		return run(cmd, args)
	}
}

// spoolPattern names what is put aside for a moment beside the file.
const spoolPattern = ".latchbolt-spool-*"

// A spool is a temporary file without a name. Only this user can read it, and nothing is left of it after Close, nor after a crash.
type spool struct{ *os.File }

// newSpool makes a spool in a folder, which should be that of the file: what it holds is as secret as the file.
func newSpool(dir string) (spool, error) {
	f, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return spool{}, err
	}
	_ = os.Remove(f.Name()) // where an open file cannot be removed, Close does it
	return spool{f}, nil
}

func (s spool) Close() error {
	err := s.File.Close()
	if rmErr := os.Remove(s.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}

// An interruptible reads from a pipe or a terminal until its context is done. What was being read then is left behind with a
// goroutine: the process is about to end.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	rest []byte
	err  error
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.rest) == 0 && i.err == nil {
		if i.ctx.Err() != nil {
			return 0, errInterrupted
		}
		i.rest, i.err = await(i.ctx, func() ([]byte, error) {
			b := make([]byte, 64<<10)
			n, err := i.r.Read(b)
			return b[:n], err
		})
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	if n == 0 && len(p) > 0 {
		return 0, i.err
	}
	return n, nil
}

// input opens a file that the command line names, "-" for standard input. All of it has arrived when input
// returns, so that reading it waits for nobody, and it can be read again from the beginning. Beside is the path of the file worked on. Of what has
// to be put aside there, no more is taken than most bytes and one that tells that it is too much; 0 is no limit.
func (t *tree) input(ctx context.Context, name, beside string, most int64) (in io.ReadSeekCloser, size int64, err error) {
	var from io.Reader
	if name == "-" {
		from = t.front.Stdin()
	} else {
		// A pipe with a name is open when somebody writes to it.
		type opened struct {
			r    io.ReadCloser
			size int64
		}
		o, err := await(ctx, func() (o opened, err error) {
			o.r, o.size, err = t.front.Open(name, most)
			return o, err
		})
		if err != nil {
			return nil, 0, err
		}
		r, size := o.r, o.size
		if seeker, ok := r.(io.ReadSeekCloser); ok && size >= 0 {
			return seeker, size, nil
		}
		defer func() { _ = r.Close() }()
		from = &interruptible{ctx: ctx, r: r}
	}
	s, err := newSpool(filepath.Dir(beside))
	if err != nil {
		return nil, 0, err
	}
	if size, err = io.Copy(s, atMost(from, most)); err == nil {
		_, err = s.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, s.Close())
	}
	return s, size, nil
}

// atMost ends r one byte behind most, so that who reads it sees that it is too much; 0 is no limit.
func atMost(r io.Reader, most int64) io.Reader {
	if most <= 0 || most == math.MaxInt64 {
		return r
	}
	return io.LimitReader(r, most+1)
}

// secretFile reads a secret from a file: all of it, less one newline at the end. It warns if others may read it too.
func (t *tree) secretFile(name string) (string, error) {
	r, _, err := t.front.Open(name, maxSecret)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	if mode, ok := permOf(r); ok && mode&0o077 != 0 {
		t.note("warning: others may read %s (mode %04o); chmod 600 takes their rights away", clean(name), mode)
	}
	secret, err := readSecret(r)
	if err == nil && secret == "" {
		err = invalidf("%s is empty", clean(name))
	}
	return secret, err
}

// permOf returns the mode that a file has where it lies.
func permOf(r io.Reader) (fs.FileMode, bool) {
	switch f := r.(type) {
	case *fetched:
		return f.mode, f.mode != 0
	case *os.File:
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return 0, false
		}
		return info.Mode().Perm(), true
	}
	return 0, false
}

// A capture is a front whose standard output is kept.
type capture struct {
	front
	out bytes.Buffer
}

func (c *capture) Stdout() io.Writer { return &c.out }
