package latchbolt_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/growth"
)

// The benchmarks of this file show what size does. Those of a million users and ten million sessions run only if
// LATCHBOLT_GROWTH is set, and need 6 GB of disk:
//
//	LATCHBOLT_GROWTH=1 go test -run '^$' -bench Growth -benchtime 1x -count 6 -timeout 1h .

// growthConfig is that of the files that grow: the time without use does not count, or every look would be noted.
func growthConfig() *latchbolt.Config {
	return &latchbolt.Config{SessionIdle: -1, SessionLimit: -1, SweepEvery: -1, CacheSessions: -1}
}

// growthSizes are the numbers of sessions.
func growthSizes() []int {
	if os.Getenv("LATCHBOLT_GROWTH") == "" {
		return []int{10_000}
	}
	return []int{10_000, 1_000_000, 10_000_000}
}

// grown makes a file, for all benchmarks below b.
func grown(b *testing.B, size growth.Size) (string, *growth.Population) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "app.db")
	p, err := growth.Make(context.Background(), path, growthConfig(), size)
	check(b, err)
	return path, p
}

// BenchmarkGrowth opens files of growing size, asks them cold, and logs in.
func BenchmarkGrowth(b *testing.B) {
	small, few := grown(b, growth.Size{Users: 1000, Sessions: 10_000, Groups: 20})
	for _, n := range growthSizes() {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			path, p := grown(b, growth.Size{Users: n / 10, Sessions: n, Groups: 20})
			b.Run("open", func(b *testing.B) { benchmarkOpen(b, path, p) })
			b.Run("cold", func(b *testing.B) { benchmarkColdBeside(b, small, few, path, p) })
			b.Run("login", func(b *testing.B) { benchmarkLoginPages(b, path) })
		})
	}
	for _, n := range growthSizes()[:min(2, len(growthSizes()))] {
		b.Run(fmt.Sprintf("sweep/expired=%d", n), func(b *testing.B) { benchmarkSweep(b, n) })
		b.Run(fmt.Sprintf("disk/sessions=%d", n), func(b *testing.B) { benchmarkDisk(b, n) })
	}
}

// ownMemory returns how much memory the process has, in bytes: its own, and that of files it has mapped.
func ownMemory(b *testing.B) (own, mapped int64) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("what is in memory is not known here")
	}
	for line := range strings.Lines(string(text)) {
		var n int64
		if _, err := fmt.Sscanf(line, "RssAnon: %d", &n); err == nil {
			own = n << 10
		} else if _, err := fmt.Sscanf(line, "RssFile: %d", &n); err == nil {
			mapped = n << 10
		}
	}
	return own, mapped
}

// openings is how often a file is opened for each figure: the first request after that is one sample, of a tenth of a millisecond.
const openings = 9

// benchmarkOpen opens a file that was closed in order, and asks for a first session. One limit is bbolt's Open, which reads the
// first pages and the list of free ones and believes the others; the other one is to read all of the file, on two
// processors, and look at nothing.
//
// What Open leaves in memory is asked of another Engine than those whose first request is timed: to ask gives the
// memory that the process does not use back to the system, and the first request would have to get it anew.
func benchmarkOpen(b *testing.B, path string, p *growth.Population) {
	var opens, limits, reads, firsts, owns, maps []float64
	for i := 0; b.Loop(); i++ {
		ownBefore, mapBefore := ownMemory(b)
		eng, err := latchbolt.Open(path, growthConfig())
		check(b, err)
		own, mapped := ownMemory(b)
		owns, maps = append(owns, float64(own-ownBefore)/(1<<20)), append(maps, float64(mapped-mapBefore)/(1<<20))
		check(b, eng.Close())

		for n := range openings {
			start := time.Now()
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoFreelistSync: true})
			limits = append(limits, ms(time.Since(start)))
			check(b, err)
			check(b, db.Close())
			reads = append(reads, readAll(b, path))

			token := p.Token((i*openings + n) * 7919 % p.Sessions())
			start = time.Now()
			eng, err := latchbolt.Open(path, growthConfig())
			opens = append(opens, ms(time.Since(start)))
			check(b, err)
			start = time.Now()
			_, err = eng.SessionUser(context.Background(), token)
			firsts = append(firsts, ms(time.Since(start)))
			check(b, err)
			check(b, eng.Close())
		}
	}
	ratio := median(opens) / median(reads)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(opens), "ms/open")
	b.ReportMetric(median(limits), "limit-ms/open")
	b.ReportMetric(median(reads), "read-ms/open")
	b.ReportMetric(ratio, "x-read")
	b.ReportMetric(median(firsts), "first-ms")
	b.ReportMetric(median(owns), "own-MiB")
	b.ReportMetric(median(maps), "mapped-MiB")
}

// readAll reads a file on two processors, in pieces as large as Open reads them, and returns how many milliseconds that takes.
func readAll(b *testing.B, path string) float64 {
	f, err := os.Open(path)
	check(b, err)
	defer f.Close()
	info, err := f.Stat()
	check(b, err)
	const piece = 512 << 10
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			buf := make([]byte, piece)
			for {
				at := (next.Add(1) - 1) * piece
				if at >= info.Size() {
					return
				}
				if _, err := f.ReadAt(buf, at); err != nil && err != io.EOF {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return ms(time.Since(start))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// coldTokens is of how many sessions at random a file is asked cold, each once before that: what is measured is not the first touch
// of a page.
const coldTokens = 50_000

// benchmarkColdBeside asks for sessions at random, with the cache off. The limit is the same with ten thousand sessions. What
// is to be expected of the larger file is told by bbolt, which reads the same two records of the same
// files in a View: how much dearer that is.
func benchmarkColdBeside(b *testing.B, small string, few *growth.Population, path string, p *growth.Population) {
	ctx := context.Background()
	bboltSmall, bboltLarge := readsByBBolt(b, small, few, path, p)
	asking := func(path string, p *growth.Population) func() {
		eng, err := latchbolt.Open(path, growthConfig())
		check(b, err)
		b.Cleanup(func() { check(b, eng.Close()) })
		tokens := p.Tokens(coldTokens)
		i := 0
		ask := func() {
			i++
			if _, err := eng.SessionUser(ctx, tokens[i%len(tokens)]); err != nil {
				b.Fatal(err)
			}
		}
		for range tokens {
			ask()
		}
		return ask
	}
	limit, own := asking(small, few), asking(path, p)
	calls, before := 0, minorFaults(b)
	counted := func() { calls++; own() }
	beside(b, 2000, limit, counted)
	b.ReportMetric(float64(minorFaults(b)-before)/float64(calls), "faults/call")
	b.ReportMetric(bboltLarge, "bbolt-ns/call")
	b.ReportMetric(bboltLarge/bboltSmall, "x-bbolt-limit")
}

// readsByBBolt returns how many nanoseconds bbolt takes for a session's record and that of its user, in a small and in a large file, in turns.
func readsByBBolt(b *testing.B, small string, few *growth.Population, path string, p *growth.Population) (nsSmall, nsLarge float64) {
	asking := func(path string, p *growth.Population) (func(), func() error) {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		check(b, err)
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([][2][]byte, coldTokens)
		for i := range keys {
			n := rng.IntN(p.Sessions())
			token, err := base64.RawURLEncoding.DecodeString(p.Token(n).Reveal())
			check(b, err)
			keys[i] = [2][]byte{token[:16], binary.BigEndian.AppendUint64(nil, uint64(p.User(n)))}
		}
		i := 0
		ask := func() {
			i++
			check(b, db.View(func(tx *bbolt.Tx) error {
				key := &keys[i%len(keys)]
				if tx.Bucket([]byte("session")).Get(key[0]) == nil || tx.Bucket([]byte("user")).Get(key[1]) == nil {
					b.Fatal("missing")
				}
				return nil
			}))
		}
		for range keys {
			ask()
		}
		return ask, db.Close
	}
	askSmall, closeSmall := asking(small, few)
	askLarge, closeLarge := asking(path, p)
	var smalls, larges []float64
	for range 9 {
		for _, t := range []struct {
			ask  func()
			took *[]float64
		}{{askSmall, &smalls}, {askLarge, &larges}} {
			start := time.Now()
			for range 2000 {
				t.ask()
			}
			*t.took = append(*t.took, float64(time.Since(start))/2000)
		}
	}
	check(b, errors.Join(closeSmall(), closeLarge()))
	return median(smalls), median(larges)
}

// benchmarkLoginPages counts the pages that 64 logins in one commit write, those that tell where the others are among them. What
// they leave to be filed later is a commit of its own.
func benchmarkLoginPages(b *testing.B, path string) {
	ctx := context.Background()
	cfg := growthConfig()
	var seen atomic.Int64 // written when the first one was told
	cfg.Events.UserLoggedIn = func(latchbolt.Session) { seen.CompareAndSwap(0, writtenBytes(b)) }
	eng, err := latchbolt.Open(path, cfg)
	check(b, err)
	defer func() { check(b, eng.Close()) }()
	var pages []float64
	for n := 0; b.Loop(); n++ {
		for range 20 {
			var ids []latchbolt.Identity
			for i := range 64 {
				u, err := eng.UserByName(ctx, growth.Username((n*64+i)*7%1000))
				check(b, err)
				id, err := eng.Identity(ctx, u.ID)
				check(b, err)
				ids = append(ids, id)
			}
			eng.Settle(ctx)
			before, err := eng.Stats()
			check(b, err)
			seen.Store(0)
			written := writtenBytes(b)
			logInTogether(b, eng, ids)
			if after, err := eng.Stats(); err != nil || after.Commits > before.Commits+2 {
				b.Logf("%d commits, %v", after.Commits-before.Commits, err)
				continue // not together
			}
			pages = append(pages, float64(seen.Load()-written)/4096)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(pages), "pages/commit")
	b.ReportMetric(slices.Max(pages), "max-pages/commit")
}

// logInTogether logs users in while somebody else writes, so that all of them wait for the same commit.
func logInTogether(b *testing.B, eng *latchbolt.Engine, ids []latchbolt.Identity) {
	ctx := context.Background()
	var done sync.WaitGroup
	check(b, eng.Update(ctx, func(*latchbolt.Tx) error {
		var started sync.WaitGroup
		started.Add(len(ids))
		for _, id := range ids {
			done.Go(func() {
				started.Done()
				_, _ = eng.Login(ctx, id, latchbolt.LoginOptions{})
			})
		}
		started.Wait()
		time.Sleep(20 * time.Millisecond)
		return nil
	}))
	done.Wait()
}

// writtenBytes returns how many bytes the process has written so far.
func writtenBytes(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("what is written is not counted here")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			check(b, err)
			return n
		}
	}
	b.Fatal("no count")
	return 0
}

// benchmarkSweep removes sessions that ended on an earlier day, with their index, while somebody else writes. The limit is bbolt that
// deletes the same keys as fast as it can, from the last to the first with one cursor, in as many transactions of a fixed size, and
// nothing else.
func benchmarkSweep(b *testing.B, n int) {
	ctx := context.Background()
	made, _ := grown(b, growth.Size{Users: max(1, n/10), Sessions: n, First: -30 * time.Hour, Last: -26 * time.Hour})
	path := filepath.Join(b.TempDir(), "swept.db")
	var takes, holds, loads, limits []float64
	for b.Loop() {
		_ = os.Remove(path)
		copyFile(b, made, path)
		limits = append(limits, ms(deleteAllRaw(b, path, n, "session", "session.user")))
		check(b, os.Remove(path))
		copyFile(b, made, path)
		eng, err := latchbolt.Open(path, growthConfig())
		check(b, err)
		done, most := make(chan bool), make(chan time.Duration)
		go func() {
			var longest time.Duration
			for {
				select {
				case <-done:
					most <- longest
					return
				default:
				}
				start := time.Now()
				// It writes nothing, so it waits for its turn alone.
				err := eng.Update(ctx, func(*latchbolt.Tx) error { longest = max(longest, time.Since(start)); return nil })
				check(b, err)
				time.Sleep(time.Millisecond)
			}
		}()
		busy, start := processorTime(b), time.Now()
		r, err := eng.Sweep(ctx)
		takes, loads = append(takes, ms(time.Since(start))), append(loads, ms(processorTime(b)-busy))
		check(b, err)
		close(done)
		holds = append(holds, ms(<-most))
		if r.Hours < 4 {
			b.Fatalf("swept %+v", r)
		}
		check(b, eng.Close())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(takes), "ms/sweep")
	b.ReportMetric(median(loads), "work-ms/sweep")
	b.ReportMetric(median(limits), "limit-work-ms/sweep")
	b.ReportMetric(median(loads)/max(median(limits), 1), "x-limit")
	b.ReportMetric(median(holds), "held-ms")
}

// deleteAllRaw deletes n keys from each bucket of a file with bbolt alone, and returns how long a processor was busy.
func deleteAllRaw(b *testing.B, path string, n int, buckets ...string) time.Duration {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, NoFreelistSync: true, InitialMmapSize: 1 << 30})
	check(b, err)
	busy := processorTime(b)
	for _, name := range buckets {
		for left := n; left > 0; {
			check(b, db.Update(func(tx *bbolt.Tx) error {
				c := tx.Bucket([]byte(name)).Cursor()
				k, _ := c.Last()
				for step := 20_000; k != nil && step > 0 && left > 0; step-- {
					if err := c.Delete(); err != nil {
						return err
					}
					left--
					k, _ = c.Prev()
				}
				if k == nil && left > 0 {
					b.Fatalf("%s has %d keys less than %d", name, left, n)
				}
				return nil
			}))
		}
	}
	busy = processorTime(b) - busy
	check(b, db.Close())
	return busy
}

// processorTime returns how long the process has used processors.
func processorTime(b *testing.B) time.Duration {
	return time.Duration(ownStat(b, 11)+ownStat(b, 12)) * (time.Second / 100)
}

// minorFaults returns how often a page that is in memory had to be entered into the map of the process.
func minorFaults(b *testing.B) int { return ownStat(b, 7) }

// ownStat returns a field of what Linux tells of the process, behind its name, or 0.
func ownStat(b *testing.B, field int) int {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	n, err := strconv.Atoi(strings.Fields(rest)[field])
	check(b, err)
	return n
}

func copyFile(b *testing.B, from, to string) {
	in, err := os.Open(from)
	check(b, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	check(b, err)
	_, err = io.Copy(out, in)
	check(b, errors.Join(err, out.Close()))
}

// benchmarkDisk logs in, and tells what a session takes in the file. What a client tells of itself is not counted: it is
// there as it came.
func benchmarkDisk(b *testing.B, n int) {
	ctx := context.Background()
	made, _ := grown(b, growth.Size{Users: 1000})
	var sizes []float64
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "disk.db")
		_ = os.Remove(path)
		copyFile(b, made, path)
		cfg := growthConfig()
		cfg.CacheSessions, cfg.Audit.MaxCount = 0, 100
		eng, err := latchbolt.Open(path, cfg)
		check(b, err)
		used := func() int64 {
			_, err := eng.Sweep(ctx) // files what is new
			check(b, err)
			s, err := eng.Stats()
			check(b, err)
			return s.FileSize - s.FreeBytes
		}
		before := used()
		var ids []latchbolt.Identity
		for i := range 1000 {
			id, err := eng.Identity(ctx, latchbolt.UserID(i+1))
			check(b, err)
			ids = append(ids, id)
		}
		inParallel(64, n, func(i int) {
			_, err := eng.Login(ctx, ids[i%len(ids)], latchbolt.LoginOptions{})
			check(b, err)
		})
		sizes = append(sizes, float64(used()-before)/float64(n))
		check(b, eng.Close())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(sizes), "B/session")
}
