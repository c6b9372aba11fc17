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
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of workloads and images; 0 takes the time")
	imageFlag = flag.String("image", "", "check only the image of this number, C.I")
)

// seed returns the seed of a test, and prints it.
func seed(t testing.TB) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; once more: -run '^%s$' -seed %d", s, t.Name(), s)
	return s
}

// budget returns how many images a test checks that has a share of all of them, in percent.
func budget(t testing.TB, percent int) int {
	all := 4000
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
}

// run checks images of a workload, on all processors, and stops early when it has found enough.
func (w *workload) run(t testing.TB, seed uint64, total int) result {
	t.Helper()
	c := newChecker(w)
	var full []int
	var res result
	var bad, images atomic.Int64
	dir := scratch(t)
	replay(w.from, w.before, w.events, func(cut *cut) {
		if err := c.learn(cut, dir); err != nil {
			res.first = cmp.Or(res.first, err)
			bad.Add(1)
		}
		full = append(full, cut.full())
	})
	counts := share(full, total, seed)
	var mu sync.Mutex
	firstCut := len(counts)
	if res.first != nil {
		firstCut = -1
	}
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		r := runner{c: c, seed: seed, dir: scratch(t), counts: counts, share: k, of: workers}
		wg.Go(func() {
			replay(w.from, w.before, w.events, func(cut *cut) {
				if bad.Load() >= enough {
					return
				}
				n, failed, err := r.cut(cut)
				images.Add(int64(n))
				bad.Add(int64(failed))
				mu.Lock()
				defer mu.Unlock()
				if err != nil && cut.number < firstCut {
					firstCut, res.first = cut.number, err
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

// cut checks the images of one cut, and returns how many there were, how many of them were bad, and what
// was wrong with the first of those.
func (r *runner) cut(cut *cut) (images, bad int, first error) {
	for i := range r.counts[cut.number] {
		number := fmt.Sprintf("%d.%d", cut.number, i)
		if *imageFlag != "" && *imageFlag != number || *imageFlag == "" && (i+cut.number)%r.of != r.share {
			continue
		}
		if *imageFlag != "" && r.share != 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(r.seed, uint64(cut.number)<<32|uint64(i)))
		m := cut.image(i, r.counts[cut.number], rng)
		how := trial{clockBack: rng.IntN(4) == 0, deep: rng.IntN(16) == 0, again: rng.IntN(16) == 0}
		images++
		err := r.one(cut, m, how)
		if err != nil {
			bad++
			if first == nil {
				first = fmt.Errorf("image %s of %v%s, clock set back: %v: %w", number, cut, doing(r.c, cut), how.clockBack, err)
			}
		}
	}
	return images, bad, first
}

// one checks one image.
func (r *runner) one(cut *cut, m *image, how trial) (err error) {
	defer clean(r.dir)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := m.write(r.dir, nil); err != nil {
		return err
	}
	return r.c.check(cut, m, r.dir, how)
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

// mustHold runs the images of a workload and reports the first bad one.
func (w *workload) mustHold(t *testing.T, seed uint64, total int) {
	t.Helper()
	start := time.Now()
	res := w.run(t, seed, total)
	t.Logf("%d images, %d bad, in %v", res.images, res.bad, time.Since(start).Round(time.Millisecond))
	if res.bad > 0 {
		t.Errorf("%d of %d images are bad; the first: %v", res.bad, res.images, res.first)
	}
	if res.images == 0 && *imageFlag == "" {
		t.Error(errors.New("no image was checked"))
	}
}
