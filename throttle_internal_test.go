package latchbolt

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

func TestThrottleDelay(t *testing.T) {
	var th throttle
	th.init(ThrottleConfig{Free: 5, First: time.Second, Max: time.Minute, SourceFree: 9, Forget: time.Hour})
	for _, c := range []struct {
		failures, free int
		want           time.Duration
	}{
		{0, 5, 0}, {4, 5, 0}, {5, 5, time.Second}, {6, 5, 2 * time.Second}, {10, 5, 32 * time.Second}, {11, 5, time.Minute}, {12, 5, time.Minute},
		{67, 5, time.Minute}, {68, 5, time.Minute}, {69, 5, time.Minute}, {1 << 30, 5, time.Minute}, {0, 0, time.Second}, {7, -1, 0}, {0, -1, 0},
	} {
		if got := th.delay(c.failures, c.free); got != c.want {
			t.Errorf("%d failures, %d free: %v, want %v", c.failures, c.free, got, c.want)
		}
	}
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		n    int
		ago  time.Duration
		want time.Duration
	}{{4, 0, 0}, {5, 0, time.Second}, {5, time.Second, 0}, {5, time.Second - 1, 1}, {6, time.Second, time.Second}, {6, time.Hour, 0}} {
		if got := th.left(c.n, 5, now.Add(-c.ago), now); got != c.want {
			t.Errorf("%d failures, the last %v ago: %v left, want %v", c.n, c.ago, got, c.want)
		}
	}
	if th.free(throttleID{class: throttleSource}) != 9 || th.free(throttleID{class: throttleUser}) != 5 || th.free(throttleID{class: throttleName}) != 5 {
		t.Error("classes are mixed up")
	}
}

func TestThrottleDefaults(t *testing.T) {
	var c ThrottleConfig
	c.setDefaults()
	if want := (ThrottleConfig{5, time.Second, 15 * time.Minute, 50, 24 * time.Hour}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

// TestThrottleSlots: where a name or a source is counted is decided by a keyed hash and stays so from release to release: it is in the file.
func TestThrottleSlots(t *testing.T) {
	w := newCacheWorld(t, Config{})
	for _, c := range []struct {
		class byte
		what  string
		slots uint64
	}{{throttleName, "ada", nameSlots}, {throttleSource, "10.0.0.1", sourceSlots}, {throttleName, "", 7}} {
		mac := hmac.New(sha256.New, w.e.meta.secret[:])
		mac.Write(append([]byte{c.class}, c.what...))
		sum := mac.Sum(nil)
		want := throttleID{class: c.class, n: binary.BigEndian.Uint64(sum[:8]) % c.slots, print: binary.BigEndian.Uint64(sum[8:16]) | 1}
		if got := w.e.throttleSlot(c.class, c.what, c.slots); got != want {
			t.Errorf("%q: got %+v, want %+v", c.what, got, want)
		}
	}
	ids := func(user UserID, name, addr string) string {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		var s string
		for _, id := range w.e.throttleIDs(user, name, a) {
			s += fmt.Sprint(id.class, " ")
		}
		return s
	}
	u, n, s := fmt.Sprint(throttleUser, " "), fmt.Sprint(throttleName, " "), fmt.Sprint(throttleSource, " ")
	for got, want := range map[string]string{
		ids(7, "ada", ""): u, ids(0, "bob", ""): n, ids(7, "ada", "10.0.0.1"): u + s, ids(0, "bob", "::1"): n + s,
	} {
		if got != want {
			t.Errorf("counted by %s, want %s", got, want)
		}
	}
	w.e.throttle.cfg.SourceFree = 0
	if got := ids(7, "ada", "10.0.0.1"); got != u+s {
		t.Errorf("no free failures of a source: %s", got)
	}
	w.e.throttle.cfg.SourceFree = -1
	if got := ids(7, "ada", "10.0.0.1"); got != u {
		t.Errorf("sources do not count: %s", got)
	}
	w.e.throttle.cfg.Free = -1
	if got := ids(7, "ada", "10.0.0.1") + ids(0, "bob", ""); got != "" {
		t.Errorf("nothing counts: %s", got)
	}
	w.e.throttle.cfg.Free = 0
	if got := ids(7, "ada", ""); got != u {
		t.Errorf("no free failures: %s", got)
	}
	for addr, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
	} {
		if got := sourceOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s counts as %s, want %s", addr, got, want)
		}
	}
}

// TestSharedSlots: of two names that share a slot, the failures of one are not held against the other.
func TestSharedSlots(t *testing.T) {
	w := newCacheWorld(t, Config{Throttle: ThrottleConfig{Free: 3, First: time.Hour, Max: time.Hour}})
	names := make(map[uint64]string)
	var one, other string
	for i := 0; other == ""; i++ {
		name := fmt.Sprint("nobody-", i)
		id := w.e.throttleSlot(throttleName, w.e.canonicalName(name), nameSlots)
		if before, ok := names[id.n]; ok {
			one, other = before, name
		}
		names[id.n] = name
	}
	fail := func(name string) error {
		_, err := w.e.Authenticate(w.ctx, Password{Username: name, Password: "wrong"})
		w.e.settleLater(t.Context())
		return err
	}
	for range 3 {
		if err := fail(one); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
	}
	if err := fail(one); !errors.Is(err, ErrThrottled) {
		t.Errorf("the name that failed: %v", err)
	}
	for range 3 {
		if err := fail(other); !errors.Is(err, ErrCredentials) {
			t.Errorf("the other name: %v", err)
		}
	}
	if err := fail(other); !errors.Is(err, ErrThrottled) {
		t.Errorf("the other name after its own failures: %v", err)
	}
}

// TestDecide goes through what an attempt may meet.
func TestDecide(t *testing.T) {
	id := throttleID{class: throttleUser, n: 1}
	now := time.Unix(1e6, 0)
	for _, c := range []struct {
		what             string
		stored, pending  int
		running          int
		storedAt, lastAt time.Duration // ago
		written          uint64        // that the caller saw
		wait             time.Duration
		want             admission
	}{
		{"nothing", 0, 0, 0, 0, 0, 7, 0, looked},
		{"a failure went into the file meanwhile", 0, 0, 0, 0, 0, 6, 0, stale},
		{"fewer than are free", 2, 0, 0, 0, 0, 7, 0, looked},
		{"as many as are free", 3, 0, 0, 0, 0, 7, time.Minute, refused},
		{"as many, of which the file knows one", 1, 2, 0, 0, 0, 7, time.Minute, refused},
		{"as many, long ago", 3, 0, 0, time.Minute, 0, 7, 0, looked},
		{"as many, half of the time ago", 3, 0, 0, time.Minute / 2, 0, 7, time.Minute / 2, refused},
		{"those in memory are later", 3, 1, 0, 3 * time.Minute, time.Minute, 7, time.Minute, refused},
		{"those in memory are forgotten", 2, 9, 0, time.Minute, 2 * time.Hour, 7, 0, looked},
		{"under way with room", 1, 0, 1, 0, 0, 7, 0, looked},
		{"under way without room", 1, 0, 2, 0, 0, 7, 0, crowded},
		{"one at a time beyond", 3, 0, 1, time.Hour / 2, 0, 7, 0, crowded},
		{"under way and to wait for", 3, 0, 1, 0, 0, 7, time.Minute, refused},
	} {
		var th throttle
		th.init(ThrottleConfig{Free: 3, First: time.Minute, Max: time.Hour, Forget: time.Hour})
		th.written = 7
		if c.pending > 0 {
			th.unwritten[id] = unwritten{failures: c.pending, last: now.Add(-c.lastAt)}
		}
		if c.running > 0 {
			th.running[id] = c.running
		}
		wait, got := th.decide([]throttleID{id}, []tally{{c.stored, now.Add(-c.storedAt)}}, now, c.written)
		if wait != c.wait || got != c.want {
			t.Errorf("%s: wait %v, %d; want %v, %d", c.what, wait, got, c.wait, c.want)
		}
		after := c.running
		if c.want == looked {
			after++
		}
		if th.running[id] != after {
			t.Errorf("%s: %d are under way, want %d", c.what, th.running[id], after)
		}
	}
}

// TestFailuresAreCountedOnce: a failure that is in the file already, and not yet known to be, is one failure. Otherwise the right password
// would be refused too early.
func TestFailuresAreCountedOnce(t *testing.T) {
	w := newCacheWorld(t, Config{Throttle: ThrottleConfig{Free: 2, First: time.Hour, Max: time.Hour}})
	committed, release := make(chan bool), make(chan bool)
	w.store.on(atCommitted, func() {
		close(committed)
		<-release
	})
	if _, err := w.e.Authenticate(w.ctx, Password{Username: "ada", Password: "wrong"}); !errors.Is(err, ErrCredentials) {
		t.Fatalf("a wrong password: %v", err)
	}
	<-committed
	ids := []throttleID{{class: throttleUser, n: uint64(w.user)}}
	if wait, done, err := w.e.admit(w.ctx, ids); err != nil || done == nil {
		t.Errorf("after one failure of two that are free: wait %v, %v", wait, err)
	} else {
		done()
	}
	if _, err := w.e.Authenticate(w.ctx, Password{Username: "ada", Password: "pw"}); err != nil {
		t.Errorf("the right password: %v", err)
	}
	close(release)
}

// TestPendingFailures: what is counted in memory, moved to the file, forgiven, and bounded.
func TestPendingFailures(t *testing.T) {
	var th throttle
	th.init(ThrottleConfig{})
	a, b := throttleID{class: throttleUser, n: 1}, throttleID{class: throttleName, n: 2, print: 3}
	at := time.Unix(1000, 0)
	th.addPending([]throttleID{a, b}, at)
	th.addPending([]throttleID{a}, at.Add(-time.Second))
	if p := th.unwritten[a]; p.failures != 2 || !p.last.Equal(at) {
		t.Errorf("got %+v", p)
	}
	th.addPending([]throttleID{a}, at.Add(time.Second))
	if p := th.unwritten[a]; p.failures != 3 || !p.last.Equal(at.Add(time.Second)) || th.written != 0 {
		t.Errorf("got %+v, %d written", p, th.written)
	}
	now := func(stored int) int {
		n, _ := tally{stored, at}.with(th.unwritten[a], at)
		return n
	}
	one, two := &failureWrite{[]throttleID{a, b}}, &failureWrite{[]throttleID{a}}
	th.writing(two, a, 1) // a run that is dropped
	th.writing(one, a, 1)
	th.writing(one, b, 1)
	th.writing(two, a, 2)
	for stored, want := range []int{3, 3, 3, 4} { // the last is by somebody else
		if n := now(stored); n != want {
			t.Errorf("%d failures with %d in the file, want %d", n, stored, want)
		}
	}
	th.wrote(two, errNotCommitted)
	if n := now(1); n != 3 || th.written != 0 {
		t.Errorf("%d failures after a write that failed, %d written", n, th.written)
	}
	th.wrote(one, nil)
	if p := th.unwritten[a]; p.failures != 2 || th.written != 1 || th.pending(b) != 0 || len(th.unwritten) != 1 || now(1) != 3 {
		t.Errorf("got %+v, %d written, %d counters", p, th.written, len(th.unwritten))
	}
	th.writing(two, a, 2)
	th.forgive(1)
	if th.pending(a) != 0 || len(th.unwritten) != 0 {
		t.Error("not forgiven")
	}
	th.addPending([]throttleID{a}, at)
	th.wrote(two, nil)
	if th.pending(a) != 1 {
		t.Error("a failure is not counted that came after others were forgiven")
	}
	th.writing(two, a, noNumber)
	if n := now(9); n != 10 {
		t.Errorf("%d failures", n)
	}
	th.wrote(two, nil)
	for n := range uint64(maxUnwritten) {
		class := byte(throttleName)
		if n < 10 {
			class = throttleUser
		}
		th.addPending([]throttleID{{class: class, n: n}}, at)
	}
	if len(th.unwritten) != maxUnwritten {
		t.Errorf("%d counters", len(th.unwritten))
	}
	th.addPending([]throttleID{{class: throttleUser, n: 99}}, at)
	if len(th.unwritten) != maxUnwritten || th.pending(throttleID{class: throttleUser, n: 99}) != 1 {
		t.Errorf("%d counters after one more", len(th.unwritten))
	}
	for n := range uint64(10) {
		if th.pending(throttleID{class: throttleUser, n: n}) != 1 {
			t.Errorf("the counter of user %d was let go", n)
		}
	}
}

// TestAwait: a bounded number waits, each until an attempt ends or its own context does.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th throttle
		th.init(ThrottleConfig{})
		id := throttleID{class: throttleUser, n: 1}
		th.running[id] = 2
		_, ended := th.look()
		errs := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() { errs <- th.await(t.Context(), ended) }()
		}
		synctest.Wait()
		if err := th.await(t.Context(), ended); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		th.end([]throttleID{id})
		synctest.Wait()
		for range maxWaiting {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if th.waiting != 0 || th.running[id] != 1 {
			t.Errorf("%d wait, %d are under way", th.waiting, th.running[id])
		}
		if _, next := th.look(); next == ended {
			t.Error("the next who wait would not wait")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, ended = th.look()
		go func() { errs <- th.await(ctx, ended) }()
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) || th.waiting != 0 {
			t.Errorf("canceled: %v, %d wait", err, th.waiting)
		}
		th.end([]throttleID{id})
		if _, there := th.running[id]; there {
			t.Error("a counter of nobody under way is kept")
		}
	})
}

// TestFailuresOfWhoIsGone: a failure of a user who was deleted before it was written is neither in the file nor in memory any more.
func TestFailuresOfWhoIsGone(t *testing.T) {
	eng, err := OpenStore(&memkv.Store{Buckets: Buckets}, &Config{SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	gone := throttleID{class: throttleUser, n: 999}
	w := &failureWrite{[]throttleID{gone}}
	eng.throttle.addPending(w.ids, eng.Now())
	err = eng.update(t.Context(), func(tx *Tx) error { return tx.fail(w) })
	if err != nil {
		t.Fatal(err)
	}
	if n := eng.throttle.pending(gone); n != 1 {
		t.Errorf("%d failures before it is known that it was written", n)
	}
	// Another one, before that is known.
	second := &failureWrite{[]throttleID{gone}}
	eng.throttle.addPending(second.ids, eng.Now())
	err = eng.update(t.Context(), func(tx *Tx) error { return tx.fail(second) })
	if err != nil {
		t.Fatal(err)
	}
	eng.throttle.wrote(w, nil)
	eng.throttle.wrote(second, nil)
	if n := eng.throttle.pending(gone); n != 0 || len(eng.throttle.unwritten) != 0 {
		t.Errorf("%d failures in memory", n)
	}
	if wait, n, err := eng.Throttled(t.Context(), UserID(gone.n)); wait != 0 || n != 0 || err != nil {
		t.Errorf("%v, %d failures, %v", wait, n, err)
	}
}
