package latchbolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A SweepReport says what a sweep removed.
type SweepReport struct {
	Hours   int // of expired sessions, with all that stood under them
	Tokens  int // one-time tokens
	Brought int // keys of sessions from other systems
	Audit   int // entries of the audit trail
	Other   int // sessions in a store outside the file
}

// A sweeper removes what expired, from time to time. It holds no goroutine
// while it waits.
type sweeper struct {
	e       *Engine
	mu      sync.Mutex // guards all below
	timer   *time.Timer
	stopped bool
	entries int // written to the audit trail since it was trimmed
}

func (s *sweeper) start(e *Engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.e = e
	if e.cfg.SweepEvery > 0 {
		s.timer = time.AfterFunc(e.cfg.SweepEvery, s.run)
	}
}

func (s *sweeper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// audited counts n entries of the audit trail. After a tenth of what is kept, it
// is trimmed, so that the trail never gets much longer than it may.
func (s *sweeper) audited(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries += n
	if s.entries > max(s.e.cfg.Audit.MaxCount/10, 100) && s.timer != nil && !s.stopped {
		s.entries = 0
		s.timer.Reset(0)
	}
}

func (s *sweeper) run() {
	defer s.e.recovered("sweeping")
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	s.e.background.Add(1)
	s.mu.Unlock()
	defer s.e.background.Done()
	if _, err := s.e.Sweep(context.Background()); err != nil && !errors.Is(err, ErrClosed) {
		s.e.log.Warn("latchbolt: sweeping failed", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.timer.Reset(s.e.cfg.SweepEvery)
	}
}

// sweepStep is how many single records one transaction of a sweep removes.
const sweepStep = 100

// Sweep removes what expired: sessions, tokens, old entries of the audit trail.
// It works in small transactions, between which others get their turn. It
// runs by itself every Config.SweepEvery.
func (e *Engine) Sweep(ctx context.Context) (r SweepReport, err error) {
	if e.vault != nil {
		// Its failure is reported, but does not keep the file from being swept.
		var other error
		r.Other, other = e.vault.sweep(ctx)
		defer func() { err = errors.Join(err, other) }()
	}
	if err := e.noteClock(ctx); err != nil {
		return r, err
	}
	if err := e.update(ctx, func(tx *Tx) error { return tx.mergeNew(nil) }); err != nil {
		return r, err
	}
	for _, step := range []func(context.Context, *SweepReport) (bool, error){e.sweepExpired, e.sweepBrought, e.sweepTokens, e.sweepAudit} {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return r, fmt.Errorf("latchbolt: sweeping: %w", err)
			}
			if more, err = step(ctx, &r); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// A pace is how many records of a range the next transaction of a sweep removes at most. Those who
// write meanwhile wait for one such transaction, which takes a few milliseconds, on slow machines too.
type pace int

const (
	paceTime  = 5 * time.Millisecond // what a transaction is to take, with its commit
	paceFirst = 4000
	paceLeast = 2000 // less would be nearly all commit where commits are slow
	paceMost  = 50_000
)

// adapt sets the pace after a transaction that removed as many as it could.
func (p *pace) adapt(took time.Duration) {
	better := float64(*p) * min(float64(paceTime)/float64(max(took, 1)), 2)
	*p = pace(min(max(better, paceLeast), paceMost))
}

// sweepExpired removes the sessions whose hour is over, with their values, and the index of the days that are over.
func (e *Engine) sweepExpired(ctx context.Context, r *SweepReport) (_ bool, err error) {
	// One hour for all: a session whose values are gone is as good as one that never had any, but not the other way round.
	now, p := hourOf(e.clock.now()), pace(paceFirst)
	if _, err := e.sweepRanges(ctx, bucketValues, now, &p); err != nil {
		return false, err
	}
	if r.Hours, err = e.sweepRanges(ctx, bucketSession, now, &p); err != nil {
		return false, err
	}
	_, err = e.sweepRanges(ctx, bucketSessionUser, now/hoursPerDay, &p)
	return false, err
}

// sweepRanges removes the keys of a bucket that start with a number less than end, and returns how many of those numbers
// there were. The cache needs no fence: it knows when its sessions expire.
func (e *Engine) sweepRanges(ctx context.Context, b kv.Bucket, end uint32, p *pace) (ranges int, err error) {
	removed := ""     // first key of what was removed last
	last := int64(-1) // number of the range that was
	for {
		if err := ctx.Err(); err != nil {
			return ranges, fmt.Errorf("latchbolt: sweeping: %w", err)
		}
		var done, more bool
		var n int64
		var first string
		var start time.Time
		err := e.update(ctx, func(tx *Tx) error {
			start = time.Now() // its turn has come
			keys, err := tx.keys(b, nil, nil, 1)
			if done = err == nil && (len(keys) == 0 || binary.BigEndian.Uint32(keys[0]) >= end); done || err != nil {
				return err
			}
			// Another key of the same range is of a session that was made before that was over, and stored after.
			if first = string(keys[0]); first == removed {
				return corrupt(fmt.Sprintf("%s %x", b, keys[0]), errors.New("the key was removed and is still there"))
			}
			n = int64(binary.BigEndian.Uint32(keys[0]))
			more, err = tx.deleteSome(b, keys[0][:4], int(*p))
			return err
		})
		if err != nil || done {
			return ranges, err
		}
		removed = first
		switch {
		case more:
			p.adapt(time.Since(start))
		case n != last:
			ranges++
			last = n
		}
	}
}

// sweepBrought removes the keys of sessions from other systems that are gone. There are only
// as many as were imported, fewer every day.
func (e *Engine) sweepBrought(ctx context.Context, r *SweepReport) (bool, error) {
	var gone [][]byte
	err := e.view(ctx, func(tx *ReadTx) error {
		gone = nil
		for en, err := range tx.scan(bucketSessionKey, nil, nil) {
			if err != nil {
				return err
			}
			var sel selector
			en.body.Copy(sel[:])
			there, err := tx.has(bucketSession, sel[:])
			if err != nil {
				return err
			}
			if !there {
				gone = append(gone, append([]byte(nil), en.key...))
			}
			if len(gone) == sweepStep {
				break
			}
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return false, err
	}
	removed := 0
	if err := e.update(ctx, func(tx *Tx) (err error) {
		removed, err = tx.sweepKeys(gone)
		return err
	}); err != nil {
		return false, err
	}
	r.Brought += removed
	return len(gone) == sweepStep, nil
}

// sweepKeys removes those of some keys whose sessions are gone still: another can have been brought over under one of them meanwhile.
func (tx *Tx) sweepKeys(keys [][]byte) (removed int, err error) {
	for _, k := range keys {
		body, ok, err := tx.get(bucketSessionKey, k)
		if err != nil {
			return 0, err
		}
		var sel selector
		body.Copy(sel[:])
		if there, err := tx.has(bucketSession, sel[:]); err != nil {
			return 0, err
		} else if !ok || there {
			continue
		}
		if err := tx.delete(bucketSessionKey, k); err != nil {
			return 0, err
		}
		removed++
	}
	return removed, nil
}

func (e *Engine) sweepTokens(ctx context.Context, r *SweepReport) (more bool, err error) {
	var n int
	err = e.update(ctx, func(tx *Tx) (err error) {
		n, more, err = tx.sweepTokens(sweepStep)
		return err
	})
	if err == nil {
		r.Tokens += n
	}
	return more && err == nil, err
}

// sweepAudit trims the audit trail.
func (e *Engine) sweepAudit(ctx context.Context, r *SweepReport) (bool, error) {
	limit := e.cfg.Audit.MaxCount
	if limit < 0 {
		return false, nil
	}
	count := 0
	if err := e.view(ctx, func(tx *ReadTx) error {
		keys := 0
		for _, err := range tx.r.Scan(bucketAudit, nil, nil) {
			if err != nil {
				return fromStore(err)
			}
			keys++
		}
		count = keys
		return nil
	}); err != nil {
		return false, err
	}
	for excess := count - limit; ; excess -= sweepStep {
		n := 0
		if err := e.update(ctx, func(tx *Tx) (err error) {
			n, err = tx.trimAudit(excess, sweepStep)
			return err
		}); err != nil {
			return false, err
		}
		r.Audit += n
		if n < sweepStep {
			return false, nil
		}
	}
}
