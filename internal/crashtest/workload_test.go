//go:build unix

package crashtest

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A workload is what was recorded, and what is true of it.
type workload struct {
	events []event
	lanes  []*lane
	from   *disk     // on which the log begins
	before []*change // that were pending then
	enough int       // bad images that end a run; 0: enough
}

// finish returns the workload that was recorded.
func (r *recorder) finish(lanes ...*lane) *workload {
	return &workload{events: r.log(), lanes: lanes, from: newDisk()}
}

// runAlone records one lane that makes every call, from the creation of the file to Close, and
// then others at random.
func runAlone(t testing.TB, rng *rand.Rand, n int) *workload {
	r := record(t)
	l := r.lane(0, nil, new(clock))
	l.w.backup = "absent"
	l.open()
	l.script()
	l.backup(false)
	l.later(25 * time.Hour)
	l.sweep()
	l.compact()
	alive := func(u *user) bool { return !u.gone }
	l.load(5, chance(rng, l.w.groups, func(g *group) bool { return !g.gone }))
	l.failingLoad(chance(rng, l.w.users, alive))
	l.random(rng, n)
	l.load(20, l.createGroup())
	l.later(30 * 24 * time.Hour)
	l.login(l.createUser(true), nil)
	l.backup(true)
	l.sweep()
	l.close()
	l.open()
	l.record()
	l.close()
	return r.finish(l)
}

// count returns how many keys a bucket has.
func count(t testing.TB, e *latchbolt.Engine, b kv.Bucket) (n int) {
	_, err := (*storeOf(e)).View(t.Context(), func(r kv.Reader) error {
		for _, err := range r.Scan(b, nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// runTogether records several lanes at once, whose calls share commits, and so many logins
// that new sessions are merged.
func runTogether(t testing.TB, rng *rand.Rand, lanes, n int) *workload {
	r, c := record(t), new(clock)
	first := r.lane(0, nil, c)
	first.open()
	first.createUser(true)
	all := []*lane{first}
	for i := range lanes - 1 {
		all = append(all, r.lane(i+1, first.eng, c))
	}
	var wg sync.WaitGroup
	for _, l := range all {
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		wg.Go(func() {
			l.script()
			l.random(own, n)
		})
	}
	wg.Wait()
	first.burst(sessionLimit, first.crowd(270/sessionLimit)...)
	if n := count(t, first.eng, "session.user"); n == 0 {
		t.Error("no session was merged")
	}
	first.close()
	return r.finish(all...)
}
