package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// A guesser tries wrong passwords.
type guesser struct {
	t     testing.TB
	eng   *latchbolt.Engine
	clock *testClock
}

func newGuesser(t testing.TB, cfg latchbolt.Config) *guesser {
	clock := newTestClock()
	cfg.Clock = clock.now
	return &guesser{t, open(t, &cfg), clock}
}

func (g *guesser) try(name, password, addr string) error {
	p := latchbolt.Password{Username: name, Password: password}
	if addr != "" {
		p.Client.Addr = netip.MustParseAddr(addr)
	}
	_, err := g.eng.Authenticate(g.t.Context(), p)
	g.eng.Settle(g.t.Context())
	return err
}

// wait returns how long the next attempt has to wait; 0 if it was looked at.
func (g *guesser) wait(name, addr string) time.Duration {
	g.t.Helper()
	err := g.try(name, "wrong", addr)
	var throttled *latchbolt.ThrottleError
	if errors.As(err, &throttled) {
		if throttled.Wait <= 0 {
			g.t.Errorf("waiting time %v", throttled.Wait)
		}
		return throttled.Wait
	}
	want(g.t, "wrong password", err, latchbolt.ErrCredentials)
	return 0
}

func TestThrottleDoubles(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{})
	u := addUser(t, g.eng, "ada")
	for i := range 5 {
		if w := g.wait("ada", ""); w != 0 {
			t.Fatalf("failure %d of the free ones: wait %v", i+1, w)
		}
	}
	delay := time.Second
	for range 14 {
		if w := g.wait("ada", ""); w != delay {
			t.Fatalf("got %v, want %v", w, delay)
		}
		if w, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || w != delay || n < 5 {
			t.Errorf("Throttled: got %v, %d, %v, want %v", w, n, err, delay)
		}
		g.clock.advance(delay - time.Millisecond)
		if w := g.wait("ada", ""); w != time.Millisecond {
			t.Fatalf("just before the end: got %v", w)
		}
		g.clock.advance(time.Millisecond)
		if w := g.wait("ada", ""); w != 0 {
			t.Fatalf("at the end of %v: got %v", delay, w)
		}
		if delay *= 2; delay > 15*time.Minute {
			delay = 15 * time.Minute
		}
	}
	want(t, "the right password while it is too early", g.try("ada", goodPassword, ""), latchbolt.ErrThrottled)
	g.clock.advance(15 * time.Minute)
	must(t, "the right password in time", g.try("ada", goodPassword, ""))
	if w, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || w != 0 || n != 0 {
		t.Errorf("a right password does not forgive: %v, %d, %v", w, n, err)
	}
}

func TestThrottleDelaysNeverShrink(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: 1, First: 10 * time.Minute, Max: 100 * 365 * 24 * time.Hour, Forget: 1 << 62}})
	addUser(t, g.eng, "ada")
	g.wait("ada", "")
	last := time.Duration(0)
	for range 30 {
		w := g.wait("ada", "")
		if w < last || w > 100*365*24*time.Hour {
			t.Fatalf("got %v after %v", w, last)
		}
		last = w
		g.clock.advance(w)
		if w > 50*365*24*time.Hour {
			return
		}
		g.wait("ada", "")
	}
}

func TestUnlockForgives(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{})
	u := addUser(t, g.eng, "ada")
	for range 6 {
		g.wait("ada", "")
	}
	must(t, "unlock", g.eng.Unlock(t.Context(), u.ID))
	must(t, "the right password", g.try("ada", goodPassword, ""))
	want(t, "unlocking nobody", g.eng.Unlock(t.Context(), 99), latchbolt.ErrNotFound)
}

func TestFailuresAreForgotten(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{})
	addUser(t, g.eng, "ada")
	for range 5 {
		g.wait("ada", "")
	}
	g.clock.advance(24*time.Hour + time.Second)
	for i := range 5 {
		if w := g.wait("ada", ""); w != 0 {
			t.Errorf("failure %d a day later: wait %v", i+1, w)
		}
	}
	if w := g.wait("ada", ""); w == 0 {
		t.Error("new failures are not counted")
	}
}

func TestRestartForgivesNothing(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{})
	u := addUser(t, g.eng, "ada")
	for range 6 {
		g.wait("ada", "192.0.2.1")
		g.wait("nobody", "")
	}
	g.eng = reopen(t, g.eng, &latchbolt.Config{Clock: g.clock.now})
	if w, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || w.Round(time.Millisecond) != time.Second || n != 5 {
		t.Errorf("got %v, %d, %v", w, n, err)
	}
	for _, name := range []string{"ada", "nobody"} {
		if w := g.wait(name, ""); w.Round(time.Millisecond) != time.Second {
			t.Errorf("%s: got %v", name, w)
		}
	}
}

// TestCVE_2025_24806: all spellings of a name, and the address, count together.
func TestCVE_2025_24806(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{Backends: []latchbolt.Backend{latchbolt.PasswordBackend{ByEmail: true}}})
	hash, err := g.eng.HashPassword(t.Context(), goodPassword)
	must(t, "hash", err)
	must(t, "ada", g.eng.InsertUser(t.Context(), &latchbolt.User{Username: "ada", Email: "ada@example.com"}, hash))
	for i, name := range []string{"ada", "ADA", "ａda", "ada@example.com", "Ada@EXAMPLE.com"} {
		if w := g.wait(name, ""); w != 0 {
			t.Errorf("attempt %d: wait %v", i, w)
		}
	}
	if w := g.wait("ada", ""); w != time.Second {
		t.Errorf("five spellings count as several: wait %v", w)
	}
	// A name that nobody has is one counter too.
	for _, name := range []string{"bob", "BOB", "Ｂob", "bOB", "boB"} {
		g.wait(name, "")
	}
	if w := g.wait("bob", ""); w != time.Second {
		t.Errorf("five spellings of a missing name count as several: wait %v", w)
	}
	if w := g.wait("bobby", ""); w != 0 {
		t.Errorf("another missing name has to wait %v", w)
	}
}

func TestSourcesAreCounted(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{Throttle: latchbolt.ThrottleConfig{SourceFree: 3}})
	addUser(t, g.eng, "ada")
	for i, addr := range []string{"2001:db8:1:2::1", "2001:db8:1:2::ffff", "2001:db8:1:2:3:4:5:6%eth0"} {
		if w := g.wait(fmt.Sprint("name", i), addr); w != 0 {
			t.Errorf("attempt %d: wait %v", i, w)
		}
	}
	for addr, want := range map[string]time.Duration{
		"2001:db8:1:2:ffff::": time.Second, "2001:db8:1:3::1": 0, "192.0.2.1": 0, "": 0,
	} {
		if w := g.wait("another", addr); w != want {
			t.Errorf("from %q: got %v, want %v", addr, w, want)
		}
	}
	want(t, "the right password from there", g.try("ada", goodPassword, "2001:db8:1:2::5"), latchbolt.ErrThrottled)
	for i := range 3 {
		g.wait(fmt.Sprint("v4", i), []string{"198.51.100.7", "::ffff:198.51.100.7"}[i%2])
	}
	if w := g.wait("v4", "198.51.100.7"); w != time.Second {
		t.Errorf("an address and the same in IPv6 form count apart: %v", w)
	}
	if w := g.wait("v4", "198.51.100.8"); w != 0 {
		t.Errorf("the neighbour has to wait %v", w)
	}
	must(t, "the right password elsewhere", g.try("ada", goodPassword, "203.0.113.1"))
}

func TestThrottleSwitchedOff(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1}})
	addUser(t, g.eng, "ada")
	for range 100 {
		if w := g.wait("ada", "192.0.2.1"); w != 0 {
			t.Fatalf("wait %v", w)
		}
	}
	if n := records(t, g.eng, latchbolt.BucketThrottle); n != 0 {
		t.Errorf("%d counters are stored", n)
	}
}

func records(t testing.TB, eng *latchbolt.Engine, b kv.Bucket) (n int) {
	t.Helper()
	must(t, "counting", eng.View(t.Context(), func(tx *latchbolt.ReadTx) (err error) {
		n, err = tx.CountRecords(b)
		return err
	}))
	return n
}

// However many try at once, no more than the free attempts are looked at.
func TestAttemptsAtOnceAreCounted(t *testing.T) {
	for _, name := range []string{"ada", "nobody"} {
		h := &hookedHasher{}
		g := newGuesser(t, latchbolt.Config{Hashers: []latchbolt.Hasher{h}, HashQueue: 10_000})
		addUser(t, g.eng, "ada")
		errs := parallel(200, func(int) error {
			_, err := g.eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: "wrong"})
			return err
		})
		looked := 0
		for _, err := range errs {
			want(t, "attempt", err, latchbolt.ErrCredentials)
			if !errors.Is(err, latchbolt.ErrThrottled) {
				looked++
			}
		}
		if looked == 0 || looked > 5 {
			t.Errorf("%s: %d attempts were looked at, want at most 5", name, looked)
		}
	}
}

// Where names that differ in case are different, they are so for guessers too,
// whether somebody has them or not.
func TestCaseTellsNothing(t *testing.T) {
	refusedAfter := func(g *guesser, names ...string) int {
		for i := range 20 {
			if errors.Is(g.try(names[i%2], "wrong", ""), latchbolt.ErrThrottled) {
				return i
			}
		}
		return -1
	}
	for _, sensitive := range []bool{false, true} {
		g := newGuesser(t, latchbolt.Config{CaseSensitive: sensitive})
		addUser(t, g.eng, "ada")
		if there, not := refusedAfter(g, "ada", "ADA"), refusedAfter(g, "bob", "BOB"); there != not || there < 5 {
			t.Errorf("case counts %v: refused after %d guesses for a name that exists, %d for one that does not", sensitive, there, not)
		}
	}
}

// A client that sends the right password with many requests at once is not
// taken for a guesser; only so many that would wait are turned away.
func TestRightPasswordsAtOnce(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{HashQueue: 10_000})
	addUser(t, g.eng, "ada")
	for i, err := range parallel(100, func(int) error {
		_, err := g.eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: goodPassword})
		return err
	}) {
		if err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	busy := 0
	for _, err := range parallel(2000, func(int) error {
		_, err := g.eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: goodPassword})
		return err
	}) {
		if err != nil {
			want(t, "attempt", err, latchbolt.ErrBusy)
			busy++
		}
	}
	t.Logf("%d of 2000 at once were turned away", busy)
}

// Who waits for others of the same account can stop waiting.
func TestWaitingForOthersEndsWithTheContext(t *testing.T) {
	h := &hookedHasher{}
	g := newGuesser(t, latchbolt.Config{Hashers: []latchbolt.Hasher{h}, Throttle: latchbolt.ThrottleConfig{Free: 1}})
	addUser(t, g.eng, "ada")
	under, release := make(chan struct{}), make(chan struct{})
	h.onVerify(func() { close(under); <-release })
	first := make(chan error)
	go func() { first <- g.try("ada", goodPassword, "") }()
	<-under
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error)
	go func() {
		_, err := g.eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
		second <- err
	}()
	cancel()
	want(t, "the one who left", <-second, context.Canceled)
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the one under way: %v", err)
	}
}

// Changing the password is a way to try the old one.
func TestChangePasswordIsThrottled(t *testing.T) {
	g := newGuesser(t, latchbolt.Config{})
	u := addUser(t, g.eng, "ada")
	s := login(t, g.eng, "ada")
	for i := range 100 {
		_, err := g.eng.ChangePassword(t.Context(), s.Token, "wrong", "another fine passphrase")
		g.eng.Settle(t.Context())
		want(t, "wrong old password", err, latchbolt.ErrCredentials)
		if errors.Is(err, latchbolt.ErrThrottled) != (i >= 5) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if _, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || n != 5 {
		t.Errorf("got %d failures, %v", n, err)
	}
	if !alive(t, g.eng, s.Token) {
		t.Error("the session ended")
	}
}

// TestCVE_2024_21662: guessing at names that nobody has must not grow the file, nor push out anybody's counter.
func TestCVE_2024_21662(t *testing.T) {
	store := &memkv.Store{Buckets: latchbolt.Buckets}
	clock := newTestClock()
	g := &guesser{t, openOn(t, store, &latchbolt.Config{Clock: clock.now, Audit: latchbolt.AuditConfig{MaxCount: -1}, HashQueue: 1 << 20}), clock}
	u := addUser(t, g.eng, "victim")
	for range 5 {
		g.wait("victim", "")
	}
	names, workers := testsize.Of(36_000, 50_000), 100
	for _, err := range parallel(workers, func(w int) error {
		for i := w; i < names; i += workers {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			_, err := g.eng.Authenticate(t.Context(), latchbolt.Password{Username: fmt.Sprint("name", i), Password: "x", Client: latchbolt.Client{Addr: addr}})
			if !errors.Is(err, latchbolt.ErrCredentials) {
				return err
			}
		}
		return nil
	}) {
		must(t, "guessing", err)
	}
	g.eng.Settle(t.Context())
	if w, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || w != time.Second || n != 5 {
		t.Errorf("the victim's counter: got %v, %d, %v", w, n, err)
	}
	if n := records(t, g.eng, latchbolt.BucketThrottle); n > 2*16384+1 {
		t.Errorf("%d counters are stored", n)
	}
}

// Nine kinds of accounts fail alike: the same error, the same work, the same waiting.
func TestEveryFailureLooksTheSame(t *testing.T) {
	weak, strong := latchbolt.PBKDF2SHA256{Iterations: 100}, latchbolt.PBKDF2SHA256{Iterations: 4000}
	g := newGuesser(t, latchbolt.Config{Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1000}}})
	ctx := t.Context()
	encode := func(h latchbolt.Hasher) latchbolt.PasswordHash {
		s, err := h.Hash(goodPassword)
		must(t, "hashing", err)
		p, err := latchbolt.ParsePasswordHash(s)
		must(t, "parsing", err)
		return p
	}
	text := func(s string) latchbolt.PasswordHash {
		p, err := latchbolt.ParsePasswordHash(s)
		must(t, "parsing", err)
		return p
	}
	usual, err := g.eng.HashPassword(ctx, goodPassword)
	must(t, "hashing", err)
	must(t, "a dearer hash", g.eng.InsertUser(ctx, &latchbolt.User{Username: "strong"}, encode(strong)))
	for _, u := range []struct {
		user latchbolt.User
		hash latchbolt.PasswordHash
	}{
		{latchbolt.User{Username: "wrong"}, usual},
		{latchbolt.User{Username: "inactive", Inactive: true}, usual},
		{latchbolt.User{Username: "weak"}, encode(weak)},
		{latchbolt.User{Username: "unusable"}, text("!")},
		{latchbolt.User{Username: "empty"}, text("")},
		{latchbolt.User{Username: "gibberish"}, text("gibberish")},
		{latchbolt.User{Username: "unknown"}, text("unknown$1$a$b")},
	} {
		must(t, u.user.Username, g.eng.InsertUser(ctx, &u.user, u.hash))
	}
	classes := []struct{ what, name, password string }{
		{"a missing user", "missing", "wrong"},
		{"a wrong password", "wrong", "wrong"},
		{"an inactive user and a wrong password", "inactive", "wrong"},
		{"an inactive user and the right password", "inactive", goodPassword},
		{"a cheap hash", "weak", "wrong"},
		{"a dear hash", "strong", "wrong"},
		{"an unusable password", "unusable", "!"},
		{"an empty hash", "empty", ""},
		{"gibberish for a hash", "gibberish", "gibberish"},
		{"an unknown algorithm", "unknown", "wrong"},
	}
	units := func() int64 {
		s, err := g.eng.Stats()
		must(t, "stats", err)
		return s.HashUnits
	}
	check := func(when string) {
		t.Helper()
		cost := int64(-1)
		for _, c := range classes {
			before := units()
			id, err := g.eng.Authenticate(ctx, latchbolt.Password{Username: c.name, Password: c.password})
			g.eng.Settle(ctx)
			if err != latchbolt.ErrCredentials || id != (latchbolt.Identity{}) {
				t.Errorf("%s, %s: got %v, %v", when, c.what, id, err)
			}
			if spent := units() - before; cost < 0 {
				cost = spent
			} else if spent != cost {
				t.Errorf("%s, %s: %d units, a missing user costs %d", when, c.what, spent, cost)
			}
		}
	}
	check("at first")
	// What the hashers were when a hash was made must not show after they were changed.
	g.eng = reopen(t, g.eng, &latchbolt.Config{Clock: g.clock.now, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 10}}})
	must(t, "no dear hash any more", g.eng.SetPasswordHash(ctx, 1, encode(weak)))
	check("with cheaper hashers")
	for range 3 {
		for _, c := range classes {
			_, _ = g.eng.Authenticate(ctx, latchbolt.Password{Username: c.name, Password: c.password})
			g.eng.Settle(ctx)
		}
	}
	text0 := ""
	for _, c := range classes {
		before := units()
		_, err := g.eng.Authenticate(ctx, latchbolt.Password{Username: c.name, Password: c.password})
		g.eng.Settle(ctx)
		want(t, c.what, err, latchbolt.ErrThrottled)
		if text0 == "" {
			text0 = fmt.Sprint(err, units()-before)
		} else if got := fmt.Sprint(err, units()-before); got != text0 {
			t.Errorf("throttled, %s: got %q, want %q", c.what, got, text0)
		}
	}
}

func TestThrottleErrorSaysHowLong(t *testing.T) {
	for wait, text := range map[time.Duration]string{time.Millisecond: "1s", time.Second: "1s", 1001 * time.Millisecond: "2s", 15 * time.Minute: "15m0s"} {
		err := &latchbolt.ThrottleError{Wait: wait}
		if !strings.HasSuffix(err.Error(), " in "+text) || !errors.Is(err, latchbolt.ErrThrottled) || !errors.Is(err, latchbolt.ErrCredentials) {
			t.Errorf("%v: got %q", wait, err)
		}
	}
}

// Failures that cannot be written count in memory, and are forgiven there too.
func TestFailuresThatCannotBeWritten(t *testing.T) {
	store := newFaultStore()
	clock := newTestClock()
	g := &guesser{t, openOn(t, store, &latchbolt.Config{Clock: clock.now}), clock}
	u := addUser(t, g.eng, "ada")
	store.failing(kv.ErrFull)
	for range 5 {
		if w := g.wait("ada", ""); w != 0 {
			t.Fatalf("wait %v", w)
		}
	}
	if w := g.wait("ada", ""); w != time.Second {
		t.Errorf("not counted: wait %v", w)
	}
	store.failing(nil)
	clock.advance(time.Minute)
	must(t, "the right password", g.try("ada", goodPassword, ""))
	if w, n, err := g.eng.Throttled(t.Context(), u.ID); err != nil || n != 0 {
		t.Errorf("not forgiven: %v, %d, %v", w, n, err)
	}
}
