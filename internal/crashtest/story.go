//go:build unix

package crashtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A told is one line of what a program tells of its calls, as JSON.
type told struct {
	Lane, Call int
	What       string // "begin", "ack", "failed", or "gave up": without a call under way
	Name       string
	Now        time.Time
	Err        string // what failed
	// Expected tells that the error is one that a disk without power gives.
	Expected bool
	// View is what is true afterwards, as far as it differs from the call before; nil is no question any more.
	View     map[string]*string
	Loose    []string
	Sessions []string // tokens that are new
	Tokens   []toldToken
}

type toldToken struct{ Purpose, Token string }

// Narrate makes an engine in dir work on several lanes, each with users of its own, until its calls fail, and tells w what
// it does: each call before it is made, and when it was acknowledged. It is for a program that is going to be stopped, and
// returns when no lane goes on.
//
// powered, unless it is nil, is asked after each call: an error says that there is no power any more, so that nobody would have heard of a
// success. Such a call is told as one that failed.
func Narrate(dir string, seed uint64, lanes int, powered func() error, w io.Writer) error {
	if lanes < 1 || lanes > maxLanes {
		return fmt.Errorf("crashtest: %d lanes", lanes)
	}
	out := &teller{w: json.NewEncoder(w)}
	c := new(clock)
	if powered == nil {
		powered = func() error { return nil }
	}
	begin := func(number int, e *latchbolt.Engine) *narrator {
		n := &narrator{out: out, powered: powered, last: make(view)}
		n.lane = newLane(n, number, e, dir, n, c)
		return n
	}
	run := func(wg *sync.WaitGroup, n *narrator, fn func(*lane)) { wg.Go(func() { fn(n.lane) }) }
	first := begin(0, nil)
	first.lane.w.backup = "absent"
	var wg sync.WaitGroup
	run(&wg, first, func(l *lane) { l.open(); l.createUser(true) })
	wg.Wait()
	if first.stopped {
		return out.err
	}
	all := []*narrator{first}
	for i := range lanes - 1 {
		all = append(all, begin(i+1, first.lane.eng))
	}
	for i, n := range all {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		run(&wg, n, func(l *lane) { l.endless(rng) })
	}
	wg.Wait()
	return out.err
}

// endless makes calls by chance until one fails.
func (l *lane) endless(rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		l.script()
	} else {
		l.define("add")
	}
	for {
		l.random(rng, 4+rng.IntN(12))
		if l.number > 0 {
			continue
		}
		switch rng.IntN(4) {
		case 0:
			l.backup(true)
		case 1:
			l.compact()
		case 2:
			l.load(1+rng.IntN(50), l.createGroup())
		default:
			l.sweep()
		}
	}
}

// A teller writes lines.
type teller struct {
	mu  sync.Mutex // one line at a time
	w   *json.Encoder
	err error
}

func (t *teller) tell(m *told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = errors.Join(t.err, t.w.Encode(m))
}

// A narrator is the host of one lane in a program, and its log.
type narrator struct {
	out      *teller
	powered  func() error
	lane     *lane
	last     view // that was told
	sessions int
	tokens   int
	told     int // calls
	stopped  bool
}

func (n *narrator) Context() context.Context { return context.Background() }
func (n *narrator) Helper()                  {}
func (n *narrator) Failed() bool             { return n.stopped }
func (n *narrator) FailNow()                 { n.stopped = true; runtime.Goexit() }
func (n *narrator) Fatal(args ...any)        { n.stop(args) }

func (n *narrator) Errorf(_ string, args ...any) { n.stop(args) }

// mark tells of a call that begins or was acknowledged.
func (n *narrator) mark(m mark) {
	if m.begun > m.acked {
		n.out.tell(&told{Lane: m.lane, Call: m.begun, What: "begin", Now: m.now})
		return
	}
	if err := n.powered(); err != nil {
		n.stop([]any{err})
	}
	line := n.call("ack")
	line.Now = n.lane.clock.now()
	n.out.tell(line)
}

// call says what the last call has changed.
func (n *narrator) call(what string) *told {
	l := n.lane
	n.told = len(l.calls) - 1
	c := &l.calls[n.told]
	line := &told{Lane: l.number, Call: n.told, What: what, Name: c.name, Now: l.clock.now(), View: make(map[string]*string), Loose: c.loose}
	for q, a := range c.after {
		if was, ok := n.last[q]; !ok || was != a {
			line.View[q] = &a
		}
	}
	for q := range n.last {
		if _, ok := c.after[q]; !ok {
			line.View[q] = nil
		}
	}
	n.last = c.after
	for _, s := range l.w.sessions[n.sessions:] {
		line.Sessions = append(line.Sessions, cmp.Or(s.key, s.token.Reveal()))
	}
	for _, o := range l.w.tokens[n.tokens:] {
		line.Tokens = append(line.Tokens, toldToken{o.purpose, o.token.Reveal()})
	}
	n.sessions, n.tokens = len(l.w.sessions), len(l.w.tokens)
	return line
}

// stop ends the lane, whose last call, if that was not told yet, has failed.
func (n *narrator) stop(args []any) {
	line := &told{Lane: n.lane.number, What: "gave up", Now: n.lane.clock.now()}
	if len(n.lane.calls)-1 > n.told {
		line = n.call("failed")
	}
	line.Err = fmt.Sprintln(args...)
	for _, a := range args {
		if err, ok := a.(error); ok {
			line.Expected = withoutPower(err)
		}
	}
	n.out.tell(line)
	n.FailNow()
}

// withoutPower reports whether an error is one that a disk without power gives.
func withoutPower(err error) bool {
	for _, known := range []error{syscall.EIO, syscall.EROFS, latchbolt.ErrIndeterminate} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// A Story is what a program told by [Narrate] of its calls: what must be in the file after it was stopped.
type Story struct {
	lanes      []*lane
	marks      map[int]mark
	unexpected []error // of calls that failed for another reason than that there was no power
}

// maxLanes is how many lanes a story may have.
const maxLanes = 64

// Hear takes in one line.
func (s *Story) Hear(text []byte) error {
	var line told
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("crashtest: %q: %w", text, err)
	}
	for line.Lane >= len(s.lanes) && line.Lane < maxLanes {
		s.lanes = append(s.lanes, &lane{number: len(s.lanes), w: new(world), calls: []call{{name: "nothing", after: make(view)}}})
	}
	if line.Lane < 0 || line.Lane >= len(s.lanes) {
		return fmt.Errorf("crashtest: %q: no such lane", text)
	}
	if s.marks == nil {
		s.marks = make(map[int]mark)
	}
	l, m := s.lanes[line.Lane], s.marks[line.Lane]
	m.lane, m.now = line.Lane, line.Now
	if line.What == "begin" {
		m.begun = line.Call
	}
	if line.What == "ack" || line.What == "failed" {
		if line.Call != len(l.calls) {
			return fmt.Errorf("crashtest: call %d of lane %d comes after %d", line.Call, line.Lane, len(l.calls)-1)
		}
		if err := s.took(l, &line); err != nil {
			return err
		}
	}
	if line.What == "ack" {
		m.acked = line.Call
	}
	if line.Err != "" && !line.Expected {
		s.unexpected = append(s.unexpected, fmt.Errorf("lane %d: %s: %s", line.Lane, line.Name, line.Err))
	}
	s.marks[line.Lane] = m
	return nil
}

// took adds a call to a lane.
func (s *Story) took(l *lane, line *told) error {
	after := make(view)
	for q, a := range l.calls[len(l.calls)-1].after {
		after[q] = a
	}
	for q, a := range line.View {
		if a == nil {
			delete(after, q)
		} else {
			after[q] = *a
		}
	}
	failed := line.What == "failed"
	l.calls = append(l.calls, call{line.Name, after, line.Loose, failed})
	token := func(text string) (latchbolt.Token, error) {
		if text == "" && failed { // it was never given out
			return latchbolt.Token{}, nil
		}
		return latchbolt.ParseToken(text)
	}
	for _, text := range line.Sessions {
		t, err := token(text)
		if err != nil {
			return fmt.Errorf("session of %s: %w", line.Name, err)
		}
		l.w.sessions = append(l.w.sessions, &session{token: t})
	}
	for _, one := range line.Tokens {
		t, err := token(one.Token)
		if err != nil {
			return fmt.Errorf("token of %s: %w", line.Name, err)
		}
		l.w.tokens = append(l.w.tokens, &oneTime{token: t, purpose: one.Purpose})
	}
	return nil
}

// Acknowledged returns how many calls were acknowledged.
func (s *Story) Acknowledged() (n int) {
	for _, m := range s.marks {
		n += m.acked
	}
	return n
}

// Doing returns what was under way at the end.
func (s *Story) Doing() (names []string) {
	for _, l := range s.lanes {
		if m := s.marks[l.number]; m.begun > m.acked && m.begun < len(l.calls) {
			names = append(names, l.calls[m.begun].name)
		}
	}
	return names
}

// Check opens the file that the program of the story left in dir and returns what is wrong: something that was acknowledged
// is not there, something is neither as before nor as after the call that was under way, the file or a
// record is damaged, an index does not fit, or a number is given out again.
func (s *Story) Check(dir string) (err error) {
	if err := errors.Join(s.unexpected...); err != nil {
		return err
	}
	for _, l := range s.lanes {
		if m := s.marks[l.number]; m.begun >= len(l.calls) {
			return fmt.Errorf("lane %d did not tell what came of its call %d", l.number, m.begun)
		}
	}
	path := filepath.Join(dir, dbName)
	_, statErr := os.Lstat(path)
	acked, now := latest(s.marks, false)
	cfg := existing(now)
	if statErr != nil && acked > 0 {
		return fmt.Errorf("the file is gone: %w", statErr)
	}
	cfg.Create = statErr != nil
	e, err := latchbolt.Open(path, cfg)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, e.Close())
		if err == nil {
			_, err = contentOf(path)
		}
	}()
	if err := errors.Join(left(dir), verify(e)); err != nil {
		return err
	}
	if statErr == nil {
		backup, err := backupIn(dir)
		if err != nil {
			return err
		}
		if wrong := judge(e, s.lanes, s.marks, backup, false); wrong != "" {
			return errors.New(wrong)
		}
	}
	return use(e, s.lanes, s.marks)
}
