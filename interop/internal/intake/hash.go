package intake

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
)

// Hashes hashes plain passwords in the engine's slots, as many at a time as there are processors. Its methods
// Add, Wait and Stop are for one goroutine.
type Hashes struct {
	eng   *latchbolt.Engine
	ctx   context.Context
	stop  context.CancelFunc
	dry   bool
	jobs  chan hashJob
	work  sync.WaitGroup
	begun bool
	ended bool

	mu   sync.Mutex // guards all below
	made map[int]latchbolt.PasswordHash
	err  error // the first
}

type hashJob struct {
	line     int
	password string
}

// NewHashes begins nothing until a password is added. With dry, nothing is hashed at all.
func NewHashes(ctx context.Context, eng *latchbolt.Engine, dry bool) *Hashes {
	ctx, stop := context.WithCancel(ctx)
	return &Hashes{eng: eng, ctx: ctx, stop: stop, dry: dry, jobs: make(chan hashJob), made: make(map[int]latchbolt.PasswordHash)}
}

// Add hashes the password of a line. It waits while all slots are taken and returns the first error that there was.
func (h *Hashes) Add(line int, password string) error {
	if h.dry {
		h.keep(line, latchbolt.PasswordHash{}, nil)
		return nil
	}
	if !h.begun {
		h.begun = true
		for range runtime.GOMAXPROCS(0) {
			h.work.Go(h.run)
		}
	}
	select {
	case h.jobs <- hashJob{line, password}:
		return nil
	case <-h.ctx.Done():
		return h.Wait()
	}
}

func (h *Hashes) run() {
	for job := range h.jobs {
		hash, err := h.hash(job.password)
		var field *latchbolt.FieldError
		if errors.As(err, &field) {
			err = &interop.LineError{Line: job.line, Field: "password", Msg: field.Msg, Err: err}
		}
		h.keep(job.line, hash, err)
	}
}

// busyPause is how long to leave the slots alone when those who log in have filled the queue.
const busyPause = 10 * time.Millisecond

func (h *Hashes) hash(password string) (latchbolt.PasswordHash, error) {
	for {
		hash, err := h.eng.HashPassword(h.ctx, password)
		if !errors.Is(err, latchbolt.ErrBusy) {
			return hash, err
		}
		select {
		case <-time.After(busyPause):
		case <-h.ctx.Done():
			return hash, h.ctx.Err()
		}
	}
}

func (h *Hashes) keep(line int, hash latchbolt.PasswordHash, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.made[line] = hash
		return
	}
	if h.err == nil {
		h.err = err
	}
	h.stop()
}

// Done is how many passwords are hashed.
func (h *Hashes) Done() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.made)
}

// Wait waits until all is hashed and returns the first error that there was.
func (h *Hashes) Wait() error {
	if !h.ended {
		h.ended = true
		close(h.jobs)
	}
	h.work.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = h.ctx.Err()
	}
	return h.err
}

// Stop gives up what is not done and waits until nothing runs any more. It may be called at any time, more than once.
func (h *Hashes) Stop() {
	h.stop()
	h.Wait()
}

// Of returns the hash of a line's password, and whether there is one. It is for after Wait.
func (h *Hashes) Of(line int) (latchbolt.PasswordHash, bool) {
	hash, ok := h.made[line]
	return hash, ok
}
