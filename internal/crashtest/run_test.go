//go:build unix

package crashtest

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/tally"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of workloads and images; 0 takes the time")
	imageFlag = flag.String("image", "", "check only the image of this number, C.I")
)

// seed returns the seed of a test, and prints it. Tokens and salts come from it too, so a test with a single caller does
// the same again; one with several shares its commits differently, but its bad image can be kept.
func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	cryptotest.SetGlobalRandom(t, s)
	t.Logf("seed %d; once more: -run '^%s$' -seed %d", s, t.Name(), s)
	return s
}

// budget returns how many images a test checks that has a share of all of them, in percent.
func budget(t testing.TB, percent int) int {
	all := 600
	if raceEnabled || testing.Short() {
		all = 300
	}
	if text := os.Getenv("LATCHBOLT_IMAGES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("LATCHBOLT_IMAGES: %v", err)
		}
		all = n
	}
	return max(all*percent/100, 10)
}

// A result says how a run went.
type result struct {
	images int
	bad    int
	first  error // of the first bad image by number
	cut    int   // its numbers
	image  int
	counts []int // images of each cut
}

// run checks images of a workload, on all processors, and stops early when it has found enough.
func (w *workload) run(t testing.TB, seed uint64, total int) result {
	t.Helper()
	c := newChecker(w)
	var full []int
	var res result
	var bad, images atomic.Int64
	replay(w.from, w.before, w.events, func(cut *cut) { full = append(full, cut.full()) })
	counts := share(full, total, seed)
	var mu sync.Mutex
	res.counts, res.cut = counts, len(counts)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		r := runner{c: c, seed: seed, dir: scratch(t), counts: counts, share: k, of: workers}
		wg.Go(func() {
			replay(w.from, w.before, w.events, func(cut *cut) {
				if bad.Load() >= int64(cmp.Or(w.enough, enough)) {
					return
				}
				one := r.cut(cut)
				images.Add(int64(one.images))
				bad.Add(int64(one.bad))
				mu.Lock()
				defer mu.Unlock()
				if one.first != nil && cut.number < res.cut {
					res.cut, res.image, res.first = cut.number, one.image, one.first
				}
			})
		})
	}
	wg.Wait()
	res.images, res.bad = int(images.Load()), int(bad.Load())
	return res
}

// enough is how many bad images end a run.
const enough = 200

// A runner checks every so many-th image.
type runner struct {
	c         *checker
	seed      uint64
	dir       string
	counts    []int
	share, of int
}

// cut checks the images of one cut.
func (r *runner) cut(cut *cut) (res result) {
	if r.counts[cut.number] > 0 {
		if err := r.learn(cut); err != nil {
			return result{bad: 1, first: err}
		}
	}
	for i := range r.counts[cut.number] {
		number := fmt.Sprintf("%d.%d", cut.number, i)
		mine := (i+cut.number)%r.of == r.share
		if !mine || *imageFlag != "" && *imageFlag != number {
			continue
		}
		rng := r.rng(cut, i)
		m := cut.image(i, r.counts[cut.number], rng)
		how := trial{clockBack: rng.IntN(4) == 0, deep: rng.IntN(16) == 0, again: rng.IntN(16) == 0}
		res.images++
		if err := r.one(cut, m, how); err != nil {
			if res.bad++; res.bad == 1 {
				res.image = i
				res.first = fmt.Errorf("image %s of %v%s, clock set back: %v: %w", number, cut, doing(r.c, cut), how.clockBack, err)
			}
		}
	}
	return res
}

// rng is where the chances of an image come from.
func (r *runner) rng(cut *cut, i int) *rand.Rand {
	return rand.New(rand.NewPCG(r.seed, uint64(cut.number)<<32|uint64(i)))
}

// keep writes the first bad image to where go test -artifacts keeps it.
func (w *workload) keep(t *testing.T, seed uint64, res result) {
	t.Helper()
	r := runner{seed: seed, counts: res.counts}
	replay(w.from, w.before, w.events, func(cut *cut) {
		if cut.number != res.cut {
			return
		}
		if err := cut.image(res.image, r.counts[cut.number], r.rng(cut, res.image)).write(t.ArtifactDir()); err != nil {
			t.Error(err)
		}
	})
}

// one checks one image.
func (r *runner) one(cut *cut, m *image, how trial) (err error) {
	defer clean(r.dir)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := m.write(r.dir); err != nil {
		return err
	}
	return r.c.check(cut, m, r.dir, how)
}

// learn learns what the images of a cut may hold.
func (r *runner) learn(cut *cut) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.c.learn(cut, r.dir)
}

// doing says what the lanes were doing at a cut.
func doing(c *checker, cut *cut) string {
	var names []string
	for _, l := range c.lanes {
		if mk := cut.marks[l.number]; mk.begun > mk.acked {
			names = append(names, l.calls[mk.begun].name)
		}
	}
	return fmt.Sprintf(" (in %s)", strings.Join(names, ", "))
}

// digest tells logs apart.
func (w *workload) digest() string {
	var parts [][]byte
	for _, e := range w.events {
		if e.kind == changed {
			parts = append(parts, fmt.Append(nil, e.off, e.size, e.names), e.data)
		}
	}
	return digest(parts...)
}

// mustHold runs the images of a workload and reports the first bad one. It returns how many images there were to check.
func (w *workload) mustHold(t *testing.T, seed uint64, total int) (images int) {
	t.Helper()
	start := time.Now()
	res := w.run(t, seed, total)
	t.Logf("log %s of %d events: %d images, %d bad, in %v", w.digest()[:8], len(w.events), res.images, res.bad, time.Since(start).Round(time.Millisecond))
	tally.Log(t, "images", res.images, "bad", res.bad, "seed", seed)
	if res.bad > 0 {
		t.Errorf("%d of %d images are bad; the first: %v", res.bad, res.images, res.first)
		w.keep(t, seed, res)
	}
	if res.images == 0 && *imageFlag == "" {
		t.Error(errors.New("no image was checked"))
	}
	for _, n := range res.counts {
		images += n
	}
	return images
}
