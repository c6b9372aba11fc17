package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// A remote is the front at the other end of a control connection.
type remote struct {
	ctx     context.Context // of the command
	cancel  context.CancelFunc
	conn    *net.UnixConn
	place   place
	temp    string // folder for what the client sends
	answers chan answer
	asking  sync.Mutex // one question at a time

	mu    sync.Mutex // guards the deadline for writing and hasty
	hasty bool       // the command is being ended: nobody is waited for any more
}

// An answer is what the client said to a question.
type answer struct {
	kind    byte
	payload []byte
}

func newRemote(ctx context.Context, conn *net.UnixConn, p place, temp string) *remote {
	r := &remote{conn: conn, place: p, temp: temp, answers: make(chan answer, 1)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	context.AfterFunc(r.ctx, func() { r.patience(true) })
	go r.listen()
	return r
}

// patience sets how long the client may take for what is written to it.
func (r *remote) patience(end bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hasty = r.hasty || end
	wait := clientWait
	if r.hasty {
		wait = byeWait
	}
	_ = r.conn.SetWriteDeadline(time.Now().Add(wait))
}

// listen reads what the client sends until the connection ends, which ends the command.
func (r *remote) listen() {
	defer close(r.answers)
	defer r.cancel()
	for {
		kind, b, err := readFrame(r.conn, maxFrame)
		if err != nil || kind == frameCancel {
			return
		}
		if kind != frameAnswer && kind != frameRefuse {
			return
		}
		select {
		case r.answers <- answer{kind, b}:
		default: // an answer without a question
			return
		}
	}
}

func (r *remote) Place() *place { return &r.place }

func (r *remote) write(kind byte, p []byte) (int, error) {
	r.patience(false)
	n, err := writeChunks(r.conn, kind, p)
	if err != nil {
		r.cancel()
	}
	return n, err
}

// ask puts a question and waits for the answer.
func (r *remote) ask(kind byte, payload []byte) ([]byte, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	r.patience(false)
	if err := writeFrame(r.conn, kind, payload); err != nil {
		r.cancel()
		return nil, err
	}
	timer := time.NewTimer(clientWait)
	defer timer.Stop()
	select {
	case a, ok := <-r.answers:
		if !ok {
			return nil, errInterrupted
		}
		if a.kind == frameRefuse {
			var f failure
			if unmarshalStrict(a.payload, &f) != nil {
				return nil, errFrame
			}
			return nil, f.err()
		}
		return a.payload, nil
	case <-r.ctx.Done():
		return nil, errInterrupted
	case <-timer.C:
		r.cancel()
		return nil, errors.New("no answer")
	}
}

func (r *remote) ReadLine(_ context.Context, prompt string) (string, error) {
	b, err := r.ask(frameLine, cut(prompt))
	return string(b), err
}

func (r *remote) ReadPassword(_ context.Context, prompt string) (string, error) {
	b, err := r.ask(framePassword, cut(prompt))
	return string(b), err
}

func cut(prompt string) []byte { return []byte(prompt[:min(len(prompt), maxFrame)]) }

// A frameWriter is one of the client's output streams.
type frameWriter struct {
	r    *remote
	kind byte
}

func (w frameWriter) Write(p []byte) (int, error) { return w.r.write(w.kind, p) }

func (r *remote) Stdin() io.Reader  { return &frameReader{r: r, kind: frameIn} }
func (r *remote) Stdout() io.Writer { return frameWriter{r, frameOut} }
func (r *remote) Stderr() io.Writer { return frameWriter{r, frameErr} }

// A frameReader reads a stream of the client by asking for each piece.
type frameReader struct {
	r    *remote
	kind byte
	id   []byte
	rest bytes.Reader
	err  error
}

func (f *frameReader) Read(p []byte) (int, error) {
	if f.rest.Len() == 0 {
		if f.err != nil {
			return 0, f.err
		}
		b, err := f.r.ask(f.kind, f.id)
		if err == nil && len(b) == 0 {
			err = io.EOF
		}
		if f.err = err; err != nil {
			return 0, err
		}
		f.rest.Reset(b)
	}
	return f.rest.Read(p)
}

// Open fetches a whole file of the client's into one without a name here, so that no command waits for
// a client while it holds something of the engine.
func (r *remote) Open(name string, most int64) (io.ReadCloser, int64, error) {
	if len(name) > maxFrame {
		return nil, 0, errors.New("the name of the file is too long")
	}
	reply, err := r.ask(frameOpen, []byte(name))
	if err != nil {
		return nil, 0, err
	}
	id, octal, _ := bytes.Cut(reply, []byte(" "))
	mode, _ := strconv.ParseUint(string(octal), 8, 9)
	defer func() { _, _ = r.write(frameClose, id) }()
	f, err := os.CreateTemp(r.temp, ".latchbolt-import-*")
	if err != nil {
		return nil, 0, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	size, err := io.Copy(f, atMost(&frameReader{r: r, kind: frameRead, id: id}, most))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("fetching %s: %w", name, errors.Join(err, f.Close()))
	}
	return &fetched{f, fs.FileMode(mode)}, size, nil
}

// A fetched is a file of the client's that was copied here.
type fetched struct {
	*os.File
	mode fs.FileMode // of the client's file; 0 if it has none that matters
}

// unmarshalStrict decodes one JSON value without unknown fields.
func unmarshalStrict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errFrame
	}
	return nil
}
