package authhttp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
)

var errReplaced = errors.New("authhttp: the answer was replaced by an error")

// A writer holds the header back until the session is saved, whatever makes the header leave.
// It is for one goroutine, like every ResponseWriter.
type writer struct {
	http.ResponseWriter
	s         *request
	committed bool
	replaced  bool // the handler's answer was thrown away
	informed  bool // an informational answer has left
}

// The interfaces that a handler may look for are there if the connection has them, wherever
// in the chain of wrappers, so that what a handler decides by them stays right.
type (
	flushWriter      struct{ *writer }
	hijackWriter     struct{ *writer }
	flushHijackWrite struct{ *writer }
)

func (w flushWriter) Flush()      { _ = w.FlushError() }
func (w flushHijackWrite) Flush() { _ = w.FlushError() }

// Deprecated for long, but gin asks for it without looking whether it is there.
func (w flushWriter) CloseNotify() <-chan bool      { return w.closeNotify() }
func (w flushHijackWrite) CloseNotify() <-chan bool { return w.closeNotify() }

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error)     { return w.hijack() }
func (w flushHijackWrite) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

// outer returns the writer that the handler sees.
func (w *writer) outer() http.ResponseWriter {
	flush, hijack := false, false
	for rw := w.ResponseWriter; rw != nil; {
		switch rw.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flush = true
		}
		if _, ok := rw.(http.Hijacker); ok {
			hijack = true
		}
		u, ok := rw.(interface{ Unwrap() http.ResponseWriter })
		if !ok || flush && hijack {
			break
		}
		rw = u.Unwrap()
	}
	switch {
	case flush && hijack:
		return flushHijackWrite{w}
	case flush:
		return flushWriter{w}
	case hijack:
		return hijackWriter{w}
	}
	return w
}

// Unwrap is for [http.ResponseController]: what this writer does not do itself has nothing to
// do with the header.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader saves the session and sends the header. Informational answers pass, except
// 101, which is final.
func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.informed = true
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.committed && w.replaced {
		return
	}
	if w.commit(status) {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.commit(http.StatusOK) {
		return 0, errReplaced
	}
	if err := w.stopped(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

func (w *writer) WriteString(p string) (int, error) {
	if !w.commit(http.StatusOK) {
		return 0, errReplaced
	}
	if err := w.stopped(); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, p)
}

// ReadFrom keeps the way open on which a file goes to the network without a copy.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if !w.commit(http.StatusOK) {
		return 0, errReplaced
	}
	if err := w.stopped(); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, r)
}

// FlushError sends the header and what was written.
func (w *writer) FlushError() error {
	if !w.commit(http.StatusOK) {
		return errReplaced
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.commit(http.StatusSwitchingProtocols) {
		return nil, nil, errReplaced
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// closeNotify returns a channel that gets a value when the client goes away, or the request is over.
func (w *writer) closeNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.s.Context, func() { gone <- true })
	return gone
}

// stopped returns the error for which the answer, whose header has left, cannot go on.
func (w *writer) stopped() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.late
}

// commit does, once, what has to be done before the header leaves, and reports whether the
// answer is still the handler's.
func (w *writer) commit(status int) bool {
	if w.committed {
		return !w.replaced
	}
	s := w.s
	s.mu.Lock()
	w.committed = true
	instead, words := s.finish(status)
	h := w.ResponseWriter.Header()
	if instead == 0 {
		if w.informed {
			s.a.secureAgain(h)
		}
		s.headers(h)
		s.mu.Unlock()
		return true
	}
	w.replaced = true
	clear(h)
	s.a.secure(h)
	s.looked = true
	s.headers(h)
	s.mu.Unlock()
	s.a.writeFailure(w.ResponseWriter, s.in, instead, retryAfter(instead), words)
	return false
}

// end sends the header of an answer without a body. An answer that must not go on after its header has left
// is broken off, so that nobody takes it for whole.
func (w *writer) end() {
	if w.commit(http.StatusOK) && w.stopped() != nil {
		panic(http.ErrAbortHandler)
	}
}
