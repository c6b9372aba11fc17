package latchbolt_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/hashtest"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// Clients who want the program to be slow, large or forgetful. LATCHBOLT_HOSTILE=1 runs the full sizes, in which times are judged too;
// the sizes for every day and for CI judge what does not depend on the machine.

func hostileRun() bool { return os.Getenv("LATCHBOLT_HOSTILE") != "" || longTests }

// hostileSize chooses the size: everyday, CI or full.
func hostileSize(everyday, ci, full int) int {
	switch {
	case hostileRun():
		return full
	case os.Getenv("LATCHBOLT_CI") != "":
		return ci
	}
	return everyday
}

// quantile is the part q of some durations, sorted.
func quantile[T cmp.Ordered](v []T, q float64) (zero T) {
	if len(v) == 0 {
		return zero
	}
	slices.Sort(v)
	return v[min(int(float64(len(v))*q), len(v)-1)]
}

// memoryPeak returns the most memory that the process had resident since the last call of resetPeak, and false where the system does not tell.
func memoryPeak() (bytes int64, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

func resetPeak() bool { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil }

// heap returns what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A countingHasher tells how many hashes are being made at once.
type countingHasher struct {
	latchbolt.Hasher
	now, most atomic.Int64
}

func (h *countingHasher) Verify(password, encoded string) (bool, error) {
	n := h.now.Add(1)
	defer h.now.Add(-1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	return h.Hasher.Verify(password, strings.TrimPrefix(encoded, "counted$"))
}

func (h *countingHasher) Algorithm() string { return "counted" }

func (h *countingHasher) Hash(password string) (string, error) {
	s, err := h.Hasher.Hash(password)
	return "counted$" + s, err
}

func (h *countingHasher) Outdated(encoded string) bool { return false }

func (h *countingHasher) Work(encoded string) (int64, error) {
	return h.Hasher.Work(strings.TrimPrefix(encoded, "counted$"))
}

// TestFloodOfLogins has 500 clients log in at once, again and again, on two hashing slots. Those who find the queue full are told so at
// once, no more hashes are made at a time than there are slots, and who is signed in does not notice.
func TestFloodOfLogins(t *testing.T) {
	clients, rounds := hostileSize(60, 500, 500), hostileSize(3, 10, 10)
	const slots = 2
	hashers, queue := []latchbolt.Hasher{&hashtest.Yielding{Hasher: latchbolt.PBKDF2SHA256{Iterations: 2000}}}, 10
	if hostileRun() {
		hashers, queue = latchbolt.DefaultHashers()[:1], 0
	}
	eng := openAt(t, filepath.Join(t.TempDir(), "app.db"), &latchbolt.Config{HashSlots: slots, HashQueue: queue, Hashers: hashers,
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	u := addUser(t, eng, "ada")
	id, err := eng.Identity(t.Context(), u.ID)
	must(t, "identity", err)
	s, err := eng.Login(t.Context(), id, latchbolt.LoginOptions{})
	must(t, "login", err)
	debug.FreeOSMemory()
	resettable := resetPeak()

	done := make(chan struct{})
	var probe sync.WaitGroup
	var calls, waits []time.Duration
	probe.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case due := <-tick.C:
				began := time.Now()
				got, err := eng.SessionUser(t.Context(), s.Token)
				calls, waits = append(calls, time.Since(began)), append(waits, time.Since(due))
				if err != nil || got.ID() != u.ID {
					t.Errorf("a session: got %v, %v", got, err)
					return
				}
			}
		}
	})
	var mu sync.Mutex
	var busy []time.Duration
	var outcomes [3]int // right, refused, busy
	for range rounds {
		for _, err := range parallel(clients, func(i int) error {
			p := latchbolt.Password{Username: []string{"ada", "nobody"}[i%2], Password: []string{goodPassword, "wrong"}[i/2%2]}
			began := time.Now()
			_, err := eng.Authenticate(t.Context(), p)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, latchbolt.ErrBusy):
				outcomes[2]++
				busy = append(busy, took)
			case err == nil && i%2 == 0 && i/2%2 == 0:
				outcomes[0]++
			case err == latchbolt.ErrCredentials:
				outcomes[1]++
			default:
				return fmt.Errorf("client %d: %w", i, err)
			}
			return nil
		}) {
			must(t, "a client", err)
		}
	}
	close(done)
	probe.Wait()
	peak, told := memoryPeak()
	t.Logf("%d clients, %d rounds: %d right, %d refused, %d told busy after %v (median), %v (99 %%)", clients, rounds,
		outcomes[0], outcomes[1], outcomes[2], quantile(busy, 0.5), quantile(busy, 0.99))
	t.Logf("%d questions meanwhile: SessionUser took %v (99 %%), %v with the wait for a processor; peak of memory %d MiB",
		len(calls), quantile(calls, 0.99), quantile(waits, 0.99), peak>>20)
	tally.Log(t, "clients", clients*rounds, "told-busy", outcomes[2], "asked-meanwhile", len(calls), "max-p99-us", quantile(calls, 0.99).Microseconds(), "max-peak-mib", peak>>20)
	if outcomes[0] == 0 || outcomes[2] == 0 || len(calls) == 0 {
		t.Error("not all outcomes were seen")
	}
	if !hostileRun() || raceEnabled {
		return
	}
	if p99 := quantile(calls, 0.99); p99 > 5*time.Millisecond {
		t.Errorf("SessionUser took %v", p99)
	}
	if p99 := quantile(busy, 0.99); p99 > 200*time.Millisecond {
		t.Errorf("who is told that it is busy is told after %v", p99)
	}
	// Each slot takes 19 MiB with the default hasher, and leaves them as garbage when it is done, since x/crypto's argon2 takes no buffer. The
	// collector comes when the heap has doubled, and new hashes begin while it is at work: with GOGC=25 the peak is a third lower.
	const each = 19 << 20
	if resettable && told && peak > 3*slots*each+64<<20 {
		t.Errorf("%d MiB of memory", peak>>20)
	}
}

// TestSlotsBoundHashes counts the hashes that are made at once.
func TestSlotsBoundHashes(t *testing.T) {
	h := &countingHasher{Hasher: latchbolt.PBKDF2SHA256{Iterations: 2000}}
	eng := openAt(t, filepath.Join(fastDir(t), "app.db"), &latchbolt.Config{HashSlots: 3, HashQueue: 20, Hashers: []latchbolt.Hasher{h},
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	addUser(t, eng, "ada")
	errs := parallel(200, func(int) error {
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: "wrong"})
		return err
	})
	if n := h.most.Load(); n < 1 || n > 3 {
		t.Errorf("%d hashes at once on 3 slots", n)
	}
	if refused, busy := count(errs, latchbolt.ErrCredentials), count(errs, latchbolt.ErrBusy); refused < 23 || refused+busy != 200 {
		t.Errorf("%d refused, %d busy of 200", refused, busy)
	}
}

// TestInventedNames tries a million names that nobody has, from as many addresses. The file and the memory stay within bounds, and the counter
// of an account that was being guessed at is still there.
func TestInventedNames(t *testing.T) {
	names, workers := hostileSize(2_000, 100_000, 1_000_000), 64
	clock := newTestClock()
	eng := openAt(t, filepath.Join(fastDir(t), "app.db"), &latchbolt.Config{Clock: clock.now, HashQueue: 1 << 16})
	u := addUser(t, eng, "victim")
	for range 5 {
		_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "victim", Password: "wrong"})
		want(t, "guessing", err, latchbolt.ErrCredentials)
	}
	before := heap()
	began := time.Now()
	for _, err := range parallel(workers, func(w int) error {
		for i := w; i < names; i += workers {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: fmt.Sprint("name", i), Password: "x", Client: latchbolt.Client{Addr: addr}})
			if !errors.Is(err, latchbolt.ErrCredentials) {
				return fmt.Errorf("name %d: %w", i, err)
			}
		}
		return nil
	}) {
		must(t, "guessing", err)
	}
	took := time.Since(began)
	eng.Settle(t.Context())
	// A sweep trims the trail; it would run by itself, a tenth later.
	_, err := eng.Sweep(t.Context())
	must(t, "sweeping", err)
	stats, err := eng.Stats()
	must(t, "stats", err)
	grown := heap() - before
	t.Logf("%d names in %v: the file has %d KiB, %d KiB of them free; the heap grew by %d KiB; %d counters", names, took.Round(time.Millisecond),
		stats.FileSize>>10, stats.FreeBytes>>10, grown>>10, records(t, eng, latchbolt.BucketThrottle))
	tally.Log(t, "names", names, "max-file-kib", stats.FileSize>>10)
	if wait, n, err := eng.Throttled(t.Context(), u.ID); err != nil || wait != time.Second || n != 5 {
		t.Errorf("the victim's counter: got %v, %d, %v", wait, n, err)
	}
	if n := records(t, eng, latchbolt.BucketThrottle); n > 2*16384+1 {
		t.Errorf("%d counters are stored", n)
	}
	// The trail of failures has 100,000 entries at most, of some 60 bytes and the page's share.
	if stats.FileSize > 48<<20 {
		t.Errorf("the file has %d MiB", stats.FileSize>>20)
	}
	if grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// TestInventedCookies asks with a million tokens that were never issued: nothing is written, and nothing is kept.
func TestInventedCookies(t *testing.T) {
	cookies := hostileSize(5_000, 100_000, 1_000_000)
	eng := openAt(t, filepath.Join(fastDir(t), "app.db"), nil)
	addUser(t, eng, "ada")
	s := logInWith(t, eng, goodPassword)
	eng.Settle(t.Context())
	before, err := eng.Stats()
	must(t, "stats", err)
	heapBefore := heap()
	began := time.Now()
	for _, err := range parallel(8, func(w int) error {
		raw := make([]byte, 48)
		for i := w; i < cookies; i += 8 {
			_, _ = rand.Read(raw)
			text := base64.RawURLEncoding.EncodeToString(raw)
			if i%3 == 1 {
				text = s.Token.Reveal()[:20] + text[20:] // a selector that exists, or nearly
			}
			tok, err := latchbolt.ParseToken(text)
			if err == nil {
				_, err = eng.SessionUser(context.Background(), tok)
			}
			if !errors.Is(err, latchbolt.ErrNoSession) {
				return fmt.Errorf("cookie %d: %w", i, err)
			}
		}
		return nil
	}) {
		must(t, "asking", err)
	}
	took := time.Since(began)
	after, err := eng.Stats()
	must(t, "stats", err)
	grown := heap() - heapBefore
	t.Logf("%d cookies in %v, %v each: the heap grew by %d KiB", cookies, took.Round(time.Millisecond), took/time.Duration(cookies), grown>>10)
	tally.Log(t, "cookies", cookies, "writes", after.Writes-before.Writes)
	if after.Writes != before.Writes || after.FileSize != before.FileSize || after.CachedSessions != before.CachedSessions {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	if grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if _, err := eng.SessionUser(t.Context(), s.Token); err != nil {
		t.Errorf("a true session: %v", err)
	}
}
