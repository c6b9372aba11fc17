package boltkv

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

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
	callers int       // whose functions were run
	writers int       // of them, those whose writes are in tx
	bytes   int       // written
	keys    int       // likewise
	broken  bool      // tx is in an unknown state and must not be committed
	lent    []*waiter // of the callers, those who wait for the outcome at their turn
	arena   []byte    // where the next caller's copies of keys and values go
	done    chan struct{}
	rev     kv.Rev
	err     error
}

// full reports whether the group takes no more callers.
func (g *group) full() bool {
	return g.broken || g.callers >= groupCallers || g.bytes >= groupBytes
}

// decided reports whether the outcome of a caller is known before that of the
// group. What its function saw may be what others of the group wrote; only if nobody has
// written yet, it saw the file.
func (g *group) decided() bool { return g.writers == 0 && !g.broken }

// A queue is the callers that wait for the baton.
type queue struct {
	mu      sync.Mutex // guards the fields below
	held    bool       // somebody has the baton
	closed  bool
	waiting []*waiter
}

// A waiter is one caller in the queue. It is sent the baton with the group it may join, or
// with nil if it is to start one; or, if ran is set, no baton but the news
// that its function was run. turn has room for one, so nobody waits to send.
type waiter struct {
	turn chan *group
	ctx  context.Context
	lent func(kv.Tx) error // what whoever has the baton may run; nil: nothing
	ran  bool              // lent was run, and this came of it:
	rev  kv.Rev
	err  error
}

// answer tells the caller what came of its function in g.
func (w *waiter) answer(g *group) {
	switch {
	case g.err != nil:
		w.err = g.err
	case w.err == nil:
		w.rev = g.rev
	}
	w.turn <- nil
}

// stand returns nil with the baton, or the caller's place in the queue.
func (q *queue) stand(ctx context.Context, lent func(kv.Tx) error) (*waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, kv.ErrClosed
	case !q.held:
		q.held = true
		return nil, nil
	}
	// Not kept for the next caller, who may be in a bubble of testing/synctest and must not use a channel from outside.
	w := &waiter{turn: make(chan *group, 1), ctx: ctx, lent: lent}
	q.waiting = append(q.waiting, w)
	return w, nil
}

// wait waits for what is sent to w, or until the caller's context is done while w still stands in
// the queue. In that case it returns the error, and the caller has no baton.
func (q *queue) wait(w *waiter, s *Store) (*group, error) {
	if w.ctx.Done() == nil {
		return <-w.turn, nil
	}
	select {
	case g := <-w.turn:
		return g, nil
	case <-w.ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // its turn came at the same moment
		g := <-w.turn
		if w.ran {
			return g, nil
		}
		s.pass(g)
	}
	return nil, fmt.Errorf("boltkv: update: while waiting: %w", w.ctx.Err())
}

// take returns with the baton and the group it came with, or with an error
// and without the baton.
func (q *queue) take(ctx context.Context, s *Store) (*group, error) {
	w, err := q.stand(ctx, nil)
	if w == nil {
		return nil, err
	}
	return q.wait(w, s)
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

// len returns how many wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
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
	return s.update(ctx, fn, nil)
}

// UpdateLent implements [kv.Lender].
func (s *Store) UpdateLent(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	return s.update(ctx, fn, fn)
}

// update is Update of fn. Whoever has the baton may run lent, if it is not nil, in its place.
func (s *Store) update(ctx context.Context, fn, lent func(kv.Tx) error) (kv.Rev, error) {
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
	w, err := s.queue.stand(ctx, lent)
	if err != nil {
		return 0, err
	}
	var g *group
	if w != nil {
		g, err = s.queue.wait(w, s)
		if err != nil {
			return 0, err
		}
		if w.ran {
			return w.rev, w.err
		}
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
		g = &group{tx: tx, done: make(chan struct{}), arena: s.arena}
		s.arena = nil
	}
	t := newTxn(s, g.tx)
	defer t.close()
	err := s.run(g, t, fn)
	rev, decided := s.found(g), g.decided()
	passed = true
	s.pass(g)
	if !decided {
		<-g.done
		if rev = g.rev; g.err != nil {
			err = g.err
		}
	}
	if err != nil {
		return 0, err
	}
	return rev, nil
}

// found is the revision that the group began with. The caller has the baton.
func (s *Store) found(g *group) kv.Rev { return s.offset + kv.Rev(g.tx.ID()) - 1 }

// run runs fn as a member of g in the transaction t. The caller has the baton.
func (s *Store) run(g *group, t *txn, fn func(kv.Tx) error) error {
	g.callers++
	t.write, t.arena, t.clean = fn, g.arena, g.writers == 0
	err := s.mark.Call(t)
	t.close()
	g.arena = t.arena
	if err != nil || !t.wrote() {
		return err
	}
	if err := t.apply(); err != nil {
		g.broken, g.err = true, err
		return err
	}
	g.writers++
	g.bytes += t.size
	g.keys += t.keys()
	s.callers.Add(1)
	return nil
}

// runLent runs the function that w lent as a member of g, and reports whether the caller
// still has the baton. If the function panics, w gets the baton and runs it itself, so that the
// panic is its own.
func (s *Store) runLent(g *group, w *waiter) (still bool) {
	if err := s.ready(w.ctx); err != nil {
		w.ran, w.err = true, err
		w.turn <- nil
		return true
	}
	t := s.scratch.over(s, g.tx)
	defer func() {
		if still {
			return
		}
		_ = recover()
		t.close()
		w.turn <- g
	}()
	w.err = s.run(g, t, w.lent)
	w.ran = true
	if !g.decided() {
		g.lent = append(g.lent, w) // settle answers
		return true
	}
	if w.err == nil {
		w.rev = s.found(g)
	}
	w.turn <- nil
	return true
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

// pass hands the baton, with the group, to the next in the queue. If there is
// none, it commits and lays the baton down.
func (s *Store) pass(g *group) {
	if g != nil {
		if !s.gather(g) {
			return
		}
		s.settle(g)
		s.callersNow = max(g.callers+s.queue.len(), s.callersNow/2)
	}
	s.queue.release()
}

// yields bounds how often the last of a group steps aside, where nothing else does.
const yields = 1000

// gather runs what others lend and reports whether the caller still has the baton
// when there is no more; otherwise somebody who runs its function itself has it.
//
// If there were more callers lately, it steps aside until as many have come, though not for
// longer than a commit takes: those who were just answered may come again, and each
// who comes in time shares the sync. A lone caller never steps aside.
func (s *Store) gather(g *group) bool {
	var since time.Time
	for i := 0; !g.full(); {
		w := s.queue.next()
		switch {
		case w == nil && (g.callers >= s.callersNow || i >= yields):
			return true
		case w == nil && i == 0:
			i, since = 1, time.Now()
			runtime.Gosched()
		case w == nil:
			if i++; time.Since(since) > s.commitTook {
				return true
			}
			runtime.Gosched()
		case w.lent == nil:
			w.turn <- g
			return false
		case !s.runLent(g, w):
			return false
		}
	}
	return true
}
