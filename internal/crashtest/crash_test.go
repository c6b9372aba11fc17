//go:build unix

package crashtest

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// TestAlone cuts the power while one caller after another makes every call there is. If one run has fewer images than the budget asks for,
// there are further ones.
func TestAlone(t *testing.T) {
	s := seed(t)
	all := budget(t, 75)
	for left, round := all, uint64(0); left > all/20 && !t.Failed(); round++ {
		left -= runAlone(t, rand.New(rand.NewPCG(s, 1+16*round)), 40).mustHold(t, s, left)
	}
}

// TestTogether cuts the power while several callers share commits.
func TestTogether(t *testing.T) {
	s := seed(t)
	all := budget(t, 25)
	for left, round := all, uint64(0); left > all/20 && !t.Failed(); round++ {
		left -= runTogether(t, rand.New(rand.NewPCG(s, 2+16*round)), 3, 10).mustHold(t, s, left)
	}
}

// TestNames cuts the power while files get their names: on creation, compaction and backup.
func TestNames(t *testing.T) {
	s := seed(t)
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.w.backup = "absent"
	l.open()
	l.define("add")
	l.login(l.createUser(true), nil)
	l.backup(false)
	l.compact()
	l.record()
	l.backup(true)
	l.close()
	r.finish(l).mustHold(t, s, budget(t, 15))
}

// TestImport cuts the power while the users of a Django are taken over: into a new file, which appears
// whole or not at all, and into one that is open.
func TestImport(t *testing.T) {
	dump, err := os.ReadFile(filepath.Join("..", "..", "testdata", "django", "auth.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *lane)
	}{
		{"into a new file", func(t *testing.T, l *lane) {
			l.do("Create", func() (err error) {
				l.eng, _, err = django.Create(t.Context(), l.path(), bytes.NewReader(dump), config(l.clock.now), nil)
				return err
			})
		}},
		{"into an open file", func(t *testing.T, l *lane) {
			l.do("Open", func() (err error) {
				c := config(l.clock.now)
				c.CaseSensitive = true
				l.eng, err = latchbolt.Open(l.path(), c)
				return err
			})
			l.do("Import", func() error {
				_, err := django.Import(t.Context(), l.eng, bytes.NewReader(dump), nil)
				return err
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seed(t)
			r := record(t)
			l := r.lane(0, nil, new(clock))
			tt.run(t, l)
			if t.Failed() {
				t.FailNow()
			}
			l.record()
			l.close()
			r.finish(l).mustHold(t, s, budget(t, 5))
		})
	}
}

// TestKillThenCut kills the process at some moments, starts it again, and then cuts the power:
// what the new process has answered, though it wrote nothing, must still be true.
func TestKillThenCut(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 3))
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.open()
	l.script()
	l.compact()
	l.record()
	l.close()
	w := r.finish(l)
	var kills []*killed
	replay(w.from, nil, w.events, func(c *cut) {
		mk := c.marks[0]
		// Only a file that is there, and changes that are not durable yet.
		if _, ok := c.all().names()[dbName]; ok && len(c.pending) > 0 && mk.begun > 0 {
			kills = append(kills, &killed{durable: c.durable.clone(), pending: slices.Clone(c.pending), mark: mk})
		}
	})
	rng.Shuffle(len(kills), func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
	total := budget(t, 5)
	n := min(len(kills), max(total/8, 5))
	images := 0
	for _, k := range kills[:n] {
		again := k.restart(t, l)
		res := again.run(t, s, total/n)
		images += res.images
		if res.bad > 0 {
			t.Fatalf("killed in %s, restarted and cut: %d of %d images are bad; the first: %v", l.calls[k.mark.begun].name, res.bad, res.images, res.first)
		}
	}
	t.Logf("%d kills, %d images, 0 bad", n, images)
	tally.Log(t, "images", images, "seed", s)
}

// A killed is what a kill leaves: everything is there, and some of it only until the power fails.
type killed struct {
	durable *disk
	pending []*change
	mark    mark
}

// restart opens the file again, asks everything and writes something, and returns this as a workload.
func (k *killed) restart(t *testing.T, old *lane) *workload {
	t.Helper()
	r := record(t)
	all := &image{k.durable, k.pending}
	if err := all.write(r.dir); err != nil {
		t.Fatal(err)
	}
	r.disk = k.durable.clone()
	for _, c := range k.pending {
		r.disk.apply(c)
	}
	r.next = slices.Max(slices.Collect(maps.Keys(r.disk.files)))
	c := new(clock)
	c.offset.Store(int64(k.mark.now.Sub(epoch)))
	c.advance(1e9)
	l := r.lane(0, nil, c)
	r.mark(mark{now: c.now()})
	e, err := latchbolt.Open(r.path(), existing(c.now()))
	if err != nil {
		t.Fatal(err)
	}
	l.eng, l.w = e, old.w
	questions := make(view)
	for q := range old.calls[k.mark.begun].after {
		if q[0] != '~' { // wrong passwords are written down
			questions[q] = ""
		}
	}
	answers, err := old.w.ask(context.Background(), e, questions, nil)
	if err != nil {
		t.Fatal(err)
	}
	for q, a := range answers {
		// What was under way and is not there was not given out either.
		if _, there := old.calls[k.mark.acked].after[q]; !there && a == "absent" {
			delete(answers, q)
		}
	}
	l.calls = []call{{name: "nothing"}, {name: "the answers", after: answers}}
	r.mark(mark{acked: 1, begun: 1, now: c.now()})
	if err := e.Record(context.Background(), latchbolt.AuditEntry{Action: "restarted"}); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	again := r.finish(l)
	again.from, again.before = k.durable, k.pending
	return again
}
