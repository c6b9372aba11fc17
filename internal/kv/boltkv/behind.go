package boltkv

import "os"

// A behindWriter writes to a file in a goroutine of its own while the caller goes on to fill the next buffer. An error comes with
// a later Write, or with Flush at the latest. Its methods must not be called concurrently; close waits for the goroutine.
type behindWriter struct {
	buf   []byte      // being filled
	full  chan []byte // to be written
	empty chan []byte // to be filled
	err   error       // sticky
	errs  chan error  // the first one, if any; closed at the end
}

// behindBuffers is how many buffers there are: one is filled while another is written.
const behindBuffers = 2

func newBehindWriter(f *os.File, size int) *behindWriter {
	w := &behindWriter{full: make(chan []byte, behindBuffers), empty: make(chan []byte, behindBuffers), errs: make(chan error, 1)}
	for range behindBuffers {
		w.empty <- make([]byte, 0, size)
	}
	w.buf = <-w.empty
	go w.run(f, w.full)
	return w
}

// run writes what is full until there will be no more. After an error it only takes the buffers back.
func (w *behindWriter) run(f *os.File, full <-chan []byte) {
	defer close(w.errs)
	failed := false
	for b := range full {
		if !failed {
			if _, err := f.Write(b); err != nil {
				failed = true
				w.errs <- err
			}
		}
		w.empty <- b[:0]
	}
}

// Write implements [io.Writer].
func (w *behindWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && w.err == nil {
		room := min(len(p), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[:room]...)
		p = p[room:]
		if len(w.buf) == cap(w.buf) {
			w.turn()
		}
	}
	return n - len(p), w.err
}

// turn hands the buffer over and goes on with another one.
func (w *behindWriter) turn() {
	w.full <- w.buf
	w.buf = <-w.empty
	select {
	case err := <-w.errs:
		w.err = err
	default:
	}
}

// Flush waits until everything is written. Nothing can be written any more.
func (w *behindWriter) Flush() error {
	if w.full != nil {
		if w.err == nil {
			w.full <- w.buf
		}
		w.close()
	}
	return w.err
}

// close ends the goroutine. What was not flushed may be lost.
func (w *behindWriter) close() {
	if w.full == nil {
		return
	}
	close(w.full)
	w.full = nil
	for err := range w.errs { // until run has ended
		if w.err == nil {
			w.err = err
		}
	}
}
