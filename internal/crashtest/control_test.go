//go:build unix

package crashtest

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// The controls break what they are about, and want it to be noticed: a test that finds nothing
// must be able to find something.

// isMeta reports whether an event is the write of a meta page.
func (e *event) isMeta() bool {
	return e.kind == changed && e.change.file != noFile && e.data != nil && e.off < 2*pageSize && len(e.data) == pageSize
}

// without returns the log without some of its syncs. drop is told where in the log one is.
func without(events []event, drop func(i int) bool) []event {
	var rest []event
	for i, e := range events {
		if e.kind == changed || e.kind == marked || !drop(i) {
			rest = append(rest, e)
		}
	}
	return rest
}

// around returns the nearest event that is no mark, in a direction.
func around(events []event, i, step int) *event {
	for i += step; i >= 0 && i < len(events); i += step {
		if events[i].kind != marked {
			return &events[i]
		}
	}
	return new(event)
}

// ackedEarly returns the log as of an engine that returns before it has written.
func ackedEarly(events []event) []event {
	events = slices.Clone(events)
	for i := range events {
		events[i].acked = events[i].begun
	}
	return events
}

// TestControls runs the same workload with one thing broken each.
func TestControls(t *testing.T) {
	s := seed(t)
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.w.backup = "absent"
	l.open()
	l.few()
	l.compact()
	l.backup(false)
	l.record()
	l.close()
	w := r.finish(l)
	ev := w.events
	for _, tt := range []struct {
		name   string
		events []event
	}{
		{"the meta page may be written before the data", without(ev, func(i int) bool {
			next := around(ev, i, 1)
			return next.isMeta()
		})},
		{"the meta page is not synced", without(ev, func(i int) bool {
			last := around(ev, i, -1)
			return last.isMeta()
		})},
		{"the folder is not synced", without(ev, func(i int) bool { return ev[i].kind == folderSynced })},
		{"a file gets its name before it is synced", without(ev, func(i int) bool {
			next := around(ev, i, 1)
			return ev[i].kind == synced && next.kind == changed && next.change.file == noFile
		})},
		{"calls return before they have written", ackedEarly(ev)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := *w
			broken.events = tt.events
			mustFail(t, &broken, s)
		})
	}
	if whole := w.run(t, s, 300); whole.bad > 0 { // otherwise the controls prove nothing
		t.Errorf("with nothing broken %d of %d images are bad: %v", whole.bad, whole.images, whole.first)
	}
}

// mustFail wants bad images.
func mustFail(t *testing.T, w *workload, seed uint64) {
	t.Helper()
	start := time.Now()
	w.enough = 5
	res := w.run(t, seed, 300)
	if res.bad == 0 {
		t.Fatalf("none of %d images was found to be bad", res.images)
	}
	t.Logf("caught: %d bad, of %d images, in %v; the first: %v", res.bad, res.images, time.Since(start).Round(time.Millisecond), res.first)
	tally.Log(t, "controls", 1, "caught", 1)
}

// TestControlSteps runs each call that gives a file its name, with one sync of it left out: what a load, a compaction, a
// backup or the creation of the file must not do without.
func TestControlSteps(t *testing.T) {
	for _, call := range []struct {
		name string
		make func(*lane)
	}{
		{"Open", (*lane).record},
		{"Load", func(l *lane) { l.load(3, l.w.groups[0]) }},
		{"Compact", (*lane).compact},
		{"Backup", func(l *lane) { l.backup(false) }},
	} {
		s := seed(t)
		r := record(t)
		l := r.lane(0, nil, new(clock))
		l.w.backup = "absent"
		l.open()
		l.define("add")
		l.createGroup()
		call.make(l)
		l.record()
		l.close()
		w := r.finish(l)
		inside := during(w, call.name)
		for name, drop := range map[string]func(i int) bool{
			"the folder is not synced": func(i int) bool { return w.events[i].kind == folderSynced },
			"the file is not synced before it gets its name": func(i int) bool {
				next := around(w.events, i, 1)
				return w.events[i].kind == synced && next.kind == changed && next.change.file == noFile
			},
		} {
			t.Run(call.name+"/"+name, func(t *testing.T) {
				broken := *w
				broken.events = without(w.events, func(i int) bool { return inside(i) && drop(i) })
				if len(broken.events) == len(w.events) {
					t.Fatal("there was no such sync")
				}
				mustFail(t, &broken, s)
			})
		}
		if whole := w.run(t, s, 100); whole.bad > 0 {
			t.Errorf("%s: with nothing broken %d of %d images are bad: %v", call.name, whole.bad, whole.images, whole.first)
		}
	}
}

// during returns what tells whether an event of the log of a single lane is part of the first call of a name.
func during(w *workload, name string) func(i int) bool {
	calls := w.lanes[0].calls
	inside := make(map[int]bool)
	var at mark
	for i, e := range w.events {
		if e.kind == marked {
			at = e.mark
		}
		inside[i] = at.begun > at.acked && calls[at.begun].name == name
	}
	return func(i int) bool { return inside[i] }
}

// TestControlTwoTransactions breaks the engine itself: what belongs to some index is written in
// a second transaction.
func TestControlTwoTransactions(t *testing.T) {
	for _, index := range []kv.Bucket{"user.name", "grant.holder", "session.new", "group.member"} {
		t.Run(string(index), func(t *testing.T) {
			s := seed(t)
			r := record(t)
			l := r.lane(0, nil, new(clock))
			l.open()
			store := storeOf(l.eng)
			*store = &splitStore{Store: (*store).(*boltkv.Store), late: index}
			l.few()
			l.close()
			mustFail(t, r.finish(l), s)
		})
	}
}

// TestControlKillThenCut leaves out the syncs with which Open makes durable what it found.
func TestControlKillThenCut(t *testing.T) {
	s := seed(t)
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.open()
	l.few()
	l.close()
	w := r.finish(l)
	bad := 0
	replay(w.from, nil, w.events, func(c *cut) {
		mk := c.marks[0]
		if name := l.calls[mk.begun].name; bad > 0 || name != "Logout" && name != "EndSession" {
			return
		}
		k := &killed{durable: c.durable.clone(), pending: slices.Clone(c.pending), mark: mk}
		again := k.restart(t, l)
		first := true // of the file, and the folder's
		again.events = without(again.events, func(i int) bool {
			drop := first
			first = first && again.events[i].kind != folderSynced
			return drop
		})
		bad += again.run(t, s, 100).bad
	})
	if bad == 0 {
		t.Error("an answer that a power cut undid was not noticed")
	}
	t.Logf("caught: %d images", bad)
	tally.Log(t, "controls", 1, "caught", 1)
}

// A splitStore writes one bucket in a second transaction.
type splitStore struct {
	*boltkv.Store
	late kv.Bucket
}

// UpdateLent is Update.
func (s *splitStore) UpdateLent(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	return s.Update(ctx, fn)
}

// Update implements [kv.Store], badly.
func (s *splitStore) Update(ctx context.Context, fn func(kv.Tx) error) (kv.Rev, error) {
	late := make(map[string][]byte)
	rev, err := s.Store.Update(ctx, func(tx kv.Tx) error {
		clear(late)
		return fn(&splitTx{Tx: tx, store: s, late: late})
	})
	if err != nil || len(late) == 0 {
		return rev, err
	}
	return s.Store.Update(ctx, func(tx kv.Tx) error {
		for _, key := range slices.Sorted(maps.Keys(late)) {
			if err := tx.Put(s.late, []byte(key), late[key]); err != nil {
				return err
			}
		}
		return nil
	})
}

type splitTx struct {
	kv.Tx
	store *splitStore
	late  map[string][]byte
}

func (t *splitTx) Put(b kv.Bucket, key, value []byte) error {
	if b == t.store.late {
		t.late[string(key)] = slices.Clone(value)
		return nil
	}
	return t.Tx.Put(b, key, value)
}
