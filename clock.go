package latchbolt

import (
	"sync"
	"sync/atomic"
	"time"
)

// A clock gives the engine's time: the system's wall clock, made so that it
// never goes back, not behind what the file has seen either. A wall clock that is set
// forward is followed; one that is set back is waited for.
type clock struct {
	wall  func() time.Time
	fixed bool         // wall is the caller's: ask it each time
	start time.Time    // monotonic zero
	base  atomic.Int64 // nanoseconds since 1970 at start
	last  atomic.Int64 // for a caller's clock: the latest answer

	// What is asked for in every request costs more than all the rest of the answer: half of a lookup in memory. So
	// while many ask, a timer reads the time for them.
	tick  atomic.Int64 // the time at the last tick; 0: no timer runs
	asked atomic.Bool  // since the last tick
	exact atomic.Int64 // when the time was read last because no timer ran

	mu      sync.Mutex // guards all below
	timer   *time.Timer
	stopped bool
}

func newClock(wall func() time.Time) *clock {
	c := &clock{wall: wall, fixed: wall != nil, start: time.Now()}
	if wall == nil {
		c.wall = time.Now
	}
	c.base.Store(c.wall().UnixNano())
	c.last.Store(c.base.Load())
	return c
}

// nanos is the time in nanoseconds since 1970. It costs one reading of the
// monotonic clock, half of what time.Now costs.
func (c *clock) nanos() int64 {
	if !c.fixed {
		return c.base.Load() + int64(time.Since(c.start))
	}
	now := c.wall().UnixNano()
	for {
		last := c.last.Load()
		if now <= last {
			return last
		}
		if c.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

func (c *clock) now() time.Time { return time.Unix(0, c.nanos()).UTC() }

// clockSlack is how much the two clocks may differ before the wall clock is believed.
const clockSlack = time.Second

// follow takes over a wall clock that was set forward, also because the machine slept: the monotonic clock stands still then. It
// is called with each write, and by those who ask roughly.
func (c *clock) follow() {
	if c.fixed {
		return
	}
	base := c.base.Load()
	ahead := c.wall().UnixNano() - base - int64(time.Since(c.start))
	if ahead > int64(clockSlack) {
		c.base.CompareAndSwap(base, base+ahead) // or somebody else did
	}
}

// notBefore moves the clock on to a time that is known to have been.
func (c *clock) notBefore(t time.Time) {
	if t.IsZero() {
		return
	}
	if behind := t.UnixNano() - c.nanos(); behind > 0 {
		c.base.Add(behind)
		c.last.Store(max(c.last.Load(), t.UnixNano()))
	}
}

const (
	// tickEvery is how often the time is read for those who ask roughly, while they do. A hundred ticks a second take
	// less than a thousandth of a processor.
	tickEvery = 10 * time.Millisecond
	// tickSlack is how near to the end of something the rough time does not decide about it. It is far more than a tick is ever
	// late in a process that runs at all.
	tickSlack = time.Second
)

// roughly is nanos, or less by a tick or a little more. What ends within tickSlack of it has to be compared with nanos. It
// costs a read of memory.
func (c *clock) roughly() int64 {
	if now := c.tick.Load(); now != 0 {
		if !c.asked.Load() {
			c.asked.Store(true)
		}
		return now
	}
	return c.begin()
}

// begin reads the time, and starts the ticks if it was read within the length of one.
func (c *clock) begin() int64 {
	c.follow()
	now := c.nanos()
	if c.fixed || now-c.exact.Swap(now) >= int64(tickEvery) || !c.mu.TryLock() {
		return now
	}
	defer c.mu.Unlock()
	if c.timer == nil && !c.stopped {
		c.tick.Store(now)
		c.timer = time.AfterFunc(tickEvery, c.next)
	}
	return now
}

// next is a tick. It is the last if nobody asked since the one before.
func (c *clock) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || !c.asked.Swap(false) {
		c.tick.Store(0)
		c.timer = nil
		return
	}
	c.follow()
	c.tick.Store(c.nanos())
	c.timer.Reset(tickEvery)
}

// stop ends the ticks for good.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.tick.Store(0)
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
