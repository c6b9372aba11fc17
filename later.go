package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Some writes have nobody who waits for them: counts of failed logins, the
// trail of them, the last use of a session. They are made beside the caller,
// in the next commit. What depends on them asks memory first, and who reads
// them waits for those under way.

// A backlog bounds the writes under way beside their callers.
type backlog struct {
	slots   chan struct{}   // one for each write under way
	mu      sync.Mutex      // guards the fields below
	writing int             // writes under way
	group   *sync.WaitGroup // the writes that the next settle waits for
}

// join counts a write in. What it returns counts it out.
func (b *backlog) join() (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.group == nil {
		b.group = new(sync.WaitGroup)
	}
	b.writing++
	b.group.Add(1)
	group := b.group
	return func() {
		b.mu.Lock()
		b.writing--
		b.mu.Unlock()
		group.Done()
	}
}

// idle reports whether there is nothing to wait for.
func (b *backlog) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writing == 0
}

// settle waits until the writes are done that began before the call, or the context is. Those that begin
// meanwhile are in another group, so it cannot be kept waiting for ever.
func (b *backlog) settle(ctx context.Context) {
	b.mu.Lock()
	before := b.group
	if before == nil {
		b.mu.Unlock()
		return
	}
	// The next group is not done before this one is.
	next := new(sync.WaitGroup)
	next.Add(1)
	b.group = next
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		before.Wait()
		next.Done()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // whoever reads after that is told so
	}
}

const maxBacklog = 64

// later makes a write beside the caller, or in the call if too many are under
// way. done, if not nil, is told the outcome; otherwise a failure is logged. fn is lent; see updateLent.
func (e *Engine) later(ctx context.Context, what string, fn func(*Tx) error, done func(error)) {
	ctx = context.WithoutCancel(ctx) // the write outlives the request; it keeps its values
	run := func() {
		defer e.recovered(what)
		err := e.updateLent(ctx, fn)
		if err != nil && !errors.Is(err, ErrClosed) {
			e.log.Warn("latchbolt: a write that nobody waits for failed", "what", what, "err", err)
		}
		if done != nil {
			done(err)
		}
	}
	select {
	case e.backlog.slots <- struct{}{}:
	default:
		run()
		return
	}
	written := e.backlog.join()
	go func() {
		defer func() { <-e.backlog.slots }()
		defer written()
		run()
	}()
}

// settleLater waits until the writes under way are done, or the context is. Inside a transaction it does
// not, nor during a load: the writes wait for that.
func (e *Engine) settleLater(ctx context.Context) {
	if !e.backlog.idle() && e.loads.Load() == 0 && !e.nested(ctx) {
		e.backlog.settle(ctx)
	}
}

// nested reports whether the caller is inside a function given to Update or View. To find out it waits for its turn to write, until the
// context is done.
func (e *Engine) nested(ctx context.Context) bool {
	_, err := e.store.Update(ctx, func(kv.Tx) error { return nil })
	return errors.Is(err, kv.ErrNested)
}

// recovered keeps a panic beside a caller from ending the process.
func (e *Engine) recovered(what string) {
	if p := recover(); p != nil {
		e.log.Error("latchbolt: panic in the background", "what", what, "panic", fmt.Sprint(p))
	}
}

// touched collects the last use of sessions until it is written, for all of
// them together.
type touched struct {
	mu    sync.Mutex // guards all below
	seen  map[selector]time.Time
	timer *time.Timer
	off   bool
}

// touchDelay is how long the last use of a session waits for others to be
// written with it. The delay costs nothing that matters: after a crash an idle session ends so much earlier.
const touchDelay = 5 * time.Second

// maxTouched is how many sessions may wait before they are written without delay.
const maxTouched = 4096

// noteSeen remembers that a session was used, and sees to it that it is written.
func (e *Engine) noteSeen(sel selector, at time.Time) {
	t := &e.touched
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.off {
		return
	}
	if t.seen == nil {
		t.seen = make(map[selector]time.Time)
	}
	if at.After(t.seen[sel]) {
		t.seen[sel] = at
	}
	switch {
	case t.timer == nil:
		t.timer = time.AfterFunc(touchDelay, e.writeTouched)
	case len(t.seen) == maxTouched:
		t.timer.Reset(0)
	}
}

// lastSeen returns the later of what the file says and what is not written yet.
func (e *Engine) lastSeen(sel selector, stored time.Time) time.Time {
	t := &e.touched
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.seen[sel]; ok && at.After(stored) {
		return at
	}
	return stored
}

// writeTouched runs when the timer fires.
func (e *Engine) writeTouched() {
	defer e.recovered("writing the last use of sessions")
	e.touched.mu.Lock()
	if e.touched.off {
		e.touched.mu.Unlock()
		return
	}
	e.background.Add(1)
	e.touched.mu.Unlock()
	defer e.background.Done()
	if err := e.flushTouched(context.Background()); err != nil && !errors.Is(err, ErrClosed) {
		e.log.Warn("latchbolt: the last use of sessions was not written", "err", err)
	}
}

// touchesPerCommit keeps transactions small.
const touchesPerCommit = 100

// flushTouched writes the last use of all sessions that wait for it.
func (e *Engine) flushTouched(ctx context.Context) error {
	t := &e.touched
	t.mu.Lock()
	t.timer = nil
	all := make(map[selector]time.Time, len(t.seen))
	for sel, at := range t.seen {
		all[sel] = at
	}
	t.mu.Unlock()
	part := make(map[selector]time.Time, touchesPerCommit)
	flush := func() error {
		defer clear(part)
		if err := e.writeSeen(ctx, part); err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		e.forgotten.Add(1)
		for sel, at := range part {
			if t.seen[sel].Equal(at) { // not used again meanwhile
				delete(t.seen, sel)
			}
		}
		if len(t.seen) > 0 && t.timer == nil && !t.off {
			t.timer = time.AfterFunc(touchDelay, e.writeTouched)
		}
		return nil
	}
	for sel, at := range all {
		if part[sel] = at; len(part) == touchesPerCommit {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(part) > 0 {
		return flush()
	}
	return nil
}

// writeSeen writes the last use of some sessions to where they live.
func (e *Engine) writeSeen(ctx context.Context, seen map[selector]time.Time) error {
	if e.vault != nil {
		return e.vault.touch(ctx, seen)
	}
	return e.updateLent(ctx, func(tx *Tx) error { return tx.touchSessions(seen) })
}

// touchSessions writes the last use of sessions that still exist. The cache
// knows already, so nothing is fenced.
func (tx *Tx) touchSessions(seen map[selector]time.Time) error {
	for sel, at := range seen {
		s, err := tx.sessionBySelector(sel)
		if err != nil {
			return err
		}
		if s == nil || !at.After(s.seen) {
			continue
		}
		s.seen = at
		if err := tx.put(bucketSession, sel[:], s.encode()); err != nil {
			return err
		}
	}
	return nil
}

// startBackground starts the timers, which hold no goroutine while they wait.
func (e *Engine) startBackground() error {
	e.backlog.slots = make(chan struct{}, maxBacklog)
	e.sweeper.start(e)
	return nil
}

// stopBackground stops the timers and waits for those that run.
func (e *Engine) stopBackground() {
	e.sweeper.stop()
	e.clock.stop()
	t := &e.touched
	t.mu.Lock()
	t.off = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	e.backlog.settle(context.Background())
	e.background.Wait()
}
