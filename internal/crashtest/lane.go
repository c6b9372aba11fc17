//go:build unix

package crashtest

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A lane is one caller after another: a part of the workload with users of its own.
type lane struct {
	t      host
	number int
	eng    *latchbolt.Engine
	dir    string // where the engine's file is
	log    markLog
	clock  *clock
	w      *world
	calls  []call // the first stands for nothing done
}

// A host is the test, or the program, that a lane runs in.
type host interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Failed() bool
	FailNow()
}

// A markLog is told where a lane is: before each call, and when it has returned.
type markLog interface{ mark(mark) }

// A mark says what a lane of the workload was at.
type mark struct {
	lane  int
	acked int       // calls that returned
	begun int       // calls that began
	now   time.Time // of the workload's clock
}

func (m mark) String() string {
	return fmt.Sprintf("lane %d: call %d acknowledged, %d begun", m.lane, m.acked, m.begun)
}

// dbName is the name of the engine's file in every folder.
const dbName = "app.db"

func (l *lane) path() string { return filepath.Join(l.dir, dbName) }

// A call is one call of the engine and what is true when it has returned.
type call struct {
	name  string
	after view
	loose []string // kinds of questions that may have either answer while it runs
	// failed tells that the call returned an error, so that what it would have given out, such as the number of a
	// user, may not be known.
	failed bool
}

// do makes a call, or several of which only the last changes what is asked for.
func (l *lane) do(name string, fn func() error, loose ...string) {
	l.t.Helper()
	m := mark{lane: l.number, acked: len(l.calls) - 1, begun: len(l.calls), now: l.clock.now()}
	l.log.mark(m)
	err := fn()
	l.calls = append(l.calls, call{name, l.w.view(l.clock.now()), loose, err != nil})
	if err != nil {
		l.t.Errorf("%s: %v", name, err)
	}
	m.acked = m.begun
	l.log.mark(m)
}

// newLane opens a lane on an engine.
func newLane(t host, number int, e *latchbolt.Engine, dir string, log markLog, c *clock) *lane {
	l := &lane{t: t, number: number, eng: e, dir: dir, log: log, clock: c, w: &world{undef: make(map[latchbolt.Perm]bool)}}
	l.calls = []call{{name: "nothing"}}
	return l
}

// open opens the recorder's engine as a call of the lane.
func (l *lane) open() {
	l.do("Open", func() (err error) {
		l.eng, err = latchbolt.Open(l.path(), config(l.clock.now))
		return err
	})
	if l.t.Failed() {
		l.t.FailNow()
	}
}

func (l *lane) close() {
	l.do("Close", func() error { return l.eng.Close() })
}
