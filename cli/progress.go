package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A progress draws a bar on standard error, if that is a terminal. It is told how far the work is, at any time and from any
// goroutine, and draws on a goroutine of its own, so that nothing waits for the terminal while a transaction is open.
// A nil progress draws nothing.
type progress struct {
	w     io.Writer
	width int

	mu    sync.Mutex
	state progressState

	stop chan struct{}
	done sync.WaitGroup
}

// A progressState is how far some work is.
type progressState struct {
	stage       string
	done, total int64 // total is 0 if it is not known
	unit        string
	start       time.Time // of the stage
}

// How often the bar is drawn, and how long work may take that needs none.
const (
	drawEvery = 100 * time.Millisecond
	drawAfter = 300 * time.Millisecond
)

// startProgress returns a progress, which has to be ended.
func (t *tree) startProgress() *progress {
	place := t.front.Place()
	if !place.Err {
		return nil
	}
	p := &progress{w: t.front.Stderr(), width: place.Width, stop: make(chan struct{})}
	p.done.Go(p.draw)
	return p
}

// set says how far the work is. A total of 0 is not known.
func (p *progress) set(stage string, done, total int64, unit string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stage != p.state.stage || p.state.start.IsZero() || done < p.state.done { // a stage that begins anew
		p.state = progressState{stage: stage, start: time.Now()}
	}
	p.state.done, p.state.total, p.state.unit = done, total, unit
}

// end takes the bar away.
func (p *progress) end() {
	if p == nil {
		return
	}
	close(p.stop)
	p.done.Wait()
}

func (p *progress) draw() {
	begin := time.NewTimer(drawAfter)
	defer begin.Stop()
	select {
	case <-begin.C:
	case <-p.stop:
		return
	}
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		p.mu.Lock()
		s := p.state
		p.mu.Unlock()
		if !s.start.IsZero() {
			_, _ = io.WriteString(p.w, "\r"+s.line(time.Since(s.start), p.width-1)+"\x1b[K")
		}
		select {
		case <-tick.C:
		case <-p.stop:
			_, _ = io.WriteString(p.w, "\r\x1b[K")
			return
		}
	}
}

// line is the bar in at most width columns: what does not fit is left out, the bar first to shrink.
func (s *progressState) line(elapsed time.Duration, width int) string {
	parts := []string{s.stage}
	amount := s.amount(s.done)
	if s.total > 0 {
		amount += " of " + s.amount(s.total)
	}
	parts = append(parts, strings.TrimSpace(amount+" "+s.unit))
	if elapsed >= 200*time.Millisecond && s.done > 0 {
		rate := float64(s.done) / elapsed.Seconds()
		parts = append(parts, s.amount(int64(rate))+"/s")
		if s.total > s.done {
			left := time.Duration(float64(s.total-s.done) / rate * float64(time.Second))
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	}
	if s.total > 0 {
		share := min(1, float64(s.done)/float64(s.total))
		percent := fmt.Sprintf("%3d%%", int(100*share))
		room := width - len(strings.Join(parts, "  ")) - len(percent) - len("  []  ") - 1
		if bar := min(room, 30); bar >= 5 {
			full := int(share * float64(bar))
			percent = "[" + strings.Repeat("=", full) + strings.Repeat(" ", bar-full) + "] " + percent
		}
		parts = append(parts[:1], append([]string{percent}, parts[1:]...)...)
	}
	for len(parts) > 1 && len(strings.Join(parts, "  ")) > width {
		parts = parts[:len(parts)-1]
	}
	line := strings.Join(parts, "  ")
	return line[:min(len(line), max(width, 0))]
}

// amount writes a number, or bytes as such.
func (s *progressState) amount(n int64) string {
	if s.unit == "" {
		return size(n)
	}
	return count(n)
}

// A meter is a reader that tells a progress how much was read.
type meter struct {
	io.Reader
	p     *progress
	stage string
	read  int64
	size  int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.read += int64(n)
	m.p.set(m.stage, m.read, m.size, "")
	return n, err
}
