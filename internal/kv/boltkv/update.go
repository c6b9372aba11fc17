package boltkv

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Limits of one commit. They bound how long the first caller waits for the last.
const (
	groupCallers = 512
	groupBytes   = 8 << 20
)

// A group is the callers that share a commit. Whoever holds the baton owns it,
// until done is closed; rev and err are for all to read after that.
type group struct {
	tx      *bolt.Tx
	callers int  // who had the baton
	writers int  // of them, those whose writes are in tx
	bytes   int  // written
	broken  bool // tx is in an unknown state and must not be committed
	done    chan struct{}
	rev     kv.Rev
	err     error
}

// full reports whether the group takes no more callers.
func (g *group) full() bool {
	return g.broken || g.callers >= groupCallers || g.bytes >= groupBytes
}

// A queue is the callers that wait for the baton.
type queue struct {
	mu      sync.Mutex // guards the fields below
	held    bool       // somebody has the baton
	closed  bool
	waiting []*waiter
}

// A waiter is one caller in the queue. It is sent the group it may join, or
// nil if it is to start one. turn has room for one, so nobody waits to send.
type waiter struct {
	turn chan *group
}

// take returns with the baton and the group it came with, or with an error
// and without the baton.
func (q *queue) take(ctx context.Context, s *Store) (*group, error) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil, kv.ErrClosed
	}
	if !q.held {
		q.held = true
		q.mu.Unlock()
		return nil, nil
	}
	w := &waiter{turn: make(chan *group, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case g := <-w.turn:
		return g, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // the baton came at the same moment
		s.pass(<-w.turn)
	}
	return nil, fmt.Errorf("boltkv: update: while waiting: %w", ctx.Err())
}

// next removes the first waiter and returns it, or nil.
func (q *queue) next() *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	w := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return w
}

// release gives the baton to the first waiter, or lays it down.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.held = false
		return
	}
	w := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	w.turn <- nil
}

// close refuses new callers, waits for those in the queue and returns with the
// baton and the group it came with, which the caller must settle. It reports
// false if the queue was closed before.
func (q *queue) close() (*group, bool) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil, false
	}
	q.closed = true
	if !q.held {
		q.held = true
		q.mu.Unlock()
		return nil, true
	}
	w := &waiter{turn: make(chan *group, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	return <-w.turn, true
}

// Update implements [kv.Store].
func (s *Store) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("boltkv: update: %w", err)
	}
	faults := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(faults)
	if faults && s.mark.Inside() {
		return 0, kv.ErrNested
	}
	if s.opt.ReadOnly {
		return 0, kv.ErrReadOnly
	}
	g, err := s.queue.take(ctx, s)
	if err != nil {
		return 0, err
	}
	return s.join(ctx, g, fn)
}

// join runs fn as a member of g and returns what Update returns. The caller
// has the baton, and has not when join returns.
func (s *Store) join(ctx context.Context, g *group, fn func(kv.Tx) error) (kv.Rev, error) {
	passed := false
	defer func() {
		if !passed { // fn panicked, or ended its goroutine
			s.pass(g)
		}
	}()
	if err := s.ready(ctx); err != nil {
		passed = true
		s.pass(g)
		return 0, err
	}
	if g == nil {
		tx, err := s.begin(true)
		if err != nil {
			passed = true
			s.pass(nil)
			return 0, err
		}
		g = &group{tx: tx, done: make(chan struct{})}
	}
	g.callers++
	t := newTxn(s, g.tx)
	t.write = fn
	defer t.close()
	err := s.mark.Call(t)
	t.close()
	if err == nil && t.wrote() {
		if err = t.apply(); err != nil {
			g.broken, g.err = true, err
		} else {
			g.writers++
			g.bytes += t.size
			s.callers.Add(1)
		}
	}
	// What fn saw may be what others of the group wrote, so its outcome is
	// not known before theirs. If nobody has written, it saw the file.
	if g.writers == 0 && !g.broken {
		rev := s.offset + kv.Rev(g.tx.ID()) - 1
		passed = true
		s.pass(g)
		if err != nil {
			return 0, err
		}
		return rev, nil
	}
	passed = true
	s.pass(g)
	<-g.done
	if g.err != nil {
		return 0, g.err
	}
	if err != nil {
		return 0, err
	}
	return g.rev, nil
}

// ready tells whether a caller that has just got the baton may go on.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("boltkv: update: %w", err)
	}
	if f := s.failed.Load(); f != nil {
		return f.err()
	}
	return nil
}

// yields is how often the last of a group steps aside before it commits, if the group
// before had several callers: those who were just answered may come again, and
// each who comes in time shares the sync. A lone caller never steps aside.
const yields = 4

// pass hands the baton, with the group, to the next in the queue. If there is
// none, it commits and lays the baton down.
func (s *Store) pass(g *group) {
	if g != nil {
		for i := 0; ; i++ {
			if !g.full() {
				if w := s.queue.next(); w != nil {
					w.turn <- g
					return
				}
			}
			if g.full() || i >= yields || g.callers >= s.lastGroup {
				break
			}
			runtime.Gosched()
		}
		s.lastGroup = g.callers
		s.settle(g)
	}
	s.queue.release()
}
