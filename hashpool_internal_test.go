package latchbolt

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// TestDefaultParameters: zero fields mean what their comments say.
func TestDefaultParameters(t *testing.T) {
	for _, c := range []struct {
		h       Hasher
		summary string
		cost    int64
	}{
		{Argon2id{}, "argon2", 136_192}, {PBKDF2SHA256{}, "pbkdf2_sha256", 600_000},
		{BcryptSHA256{}, "bcrypt_sha256", 380 << 12}, {Scrypt{}, "scrypt", 1_114_112},
		{Argon2id{Memory: 8, Time: 1, Threads: 1}, "argon2", 28}, {PBKDF2SHA256{Iterations: 1}, "pbkdf2_sha256", 1},
		{BcryptSHA256{Cost: 4}, "bcrypt_sha256", 380 << 4}, {Scrypt{N: 2, R: 1, P: 1}, "scrypt", 4},
	} {
		m, ok := builtin(c.h)
		if !ok || c.h.Algorithm() != c.summary || m.Cost() != c.cost || m.Check() != nil {
			t.Errorf("%+v: %s, %d units, want %d", c.h, c.h.Algorithm(), m.Cost(), c.cost)
		}
	}
	want := []Hasher{Argon2id{}, PBKDF2SHA256{}, BcryptSHA256{}, Scrypt{}}
	for i, h := range DefaultHashers() {
		if h != want[i] {
			t.Errorf("default hasher %d is %T", i, h)
		}
	}
	if a := (Argon2id{}).maker().(*pwhash.Argon2); a.Memory != 19_456 || a.Time != 2 || a.Threads != 1 {
		t.Errorf("argon2id: %+v", a)
	}
	if s := (Scrypt{}).maker().(*pwhash.Scrypt); s.N != 16_384 || s.R != 8 || s.P != 5 {
		t.Errorf("scrypt: %+v", s)
	}
}

// TestHashersOfAnotherAlgorithm: a Hasher verifies, counts and judges only what is its own.
func TestHashersOfAnotherAlgorithm(t *testing.T) {
	own, other := PBKDF2SHA256{Iterations: 1}, Scrypt{N: 2, R: 1, P: 1}
	encoded, err := own.Hash("right")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := own.Verify("right", encoded); !ok || err != nil {
		t.Errorf("own: %v, %v", ok, err)
	}
	if ok, err := other.Verify("right", encoded); ok || err == nil {
		t.Errorf("other: %v, %v", ok, err)
	}
	if n, err := own.Work(encoded); n != 1 || err != nil {
		t.Errorf("own: %d, %v", n, err)
	}
	if n, err := other.Work(encoded); n != 0 || err == nil {
		t.Errorf("other: %d, %v", n, err)
	}
	if own.Outdated(encoded) || other.Outdated(encoded) || !(PBKDF2SHA256{Iterations: 2}).Outdated(encoded) {
		t.Error("a hash is judged wrongly")
	}
	long := strings.Repeat("x", pwhash.MaxPassword)
	if encoded, err = own.Hash(long); err != nil {
		t.Fatal(err)
	}
	if ok, err := own.Verify(long, encoded); !ok || err != nil {
		t.Errorf("the longest password: %v, %v", ok, err)
	}
	if ok, err := own.Verify(long+"x", encoded); ok || err != nil {
		t.Errorf("a longer one: %v, %v", ok, err)
	}
	_, err = own.Hash(long + "x")
	var field *FieldError
	if !errors.As(err, &field) || field.Field != "password" || field.Code != "password_too_long" || field.Params["max_length"] != pwhash.MaxPassword {
		t.Errorf("a longer one: %+v", field)
	}
	for encoded, code := range map[string]string{
		"pbkdf2_sha256$": "invalid", "pbkdf2_sha256$0$salt$" + strings.Repeat("A", 43) + "=": "out_of_range", strings.Repeat("x", 1025): "max_length",
	} {
		if _, err := ParsePasswordHash(encoded); !errors.As(err, &field) || field.Field != "password" || field.Code != code {
			t.Errorf("%.20s: %v", encoded, err)
		}
	}
	argon2d := "argon2$argon2d$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48"
	if n, err := (Argon2id{}).Work(argon2d); n != 0 || err == nil {
		t.Errorf("argon2d: %d, %v", n, err)
	}
}

func TestUsable(t *testing.T) {
	for encoded, want := range map[string]bool{"": false, "!": false, "!abc": false, "a!": true, "\"": true, "x": true} {
		h, err := ParsePasswordHash(encoded)
		if err != nil || h.Usable() != want || h.Info().Usable != want {
			t.Errorf("%q is usable: %v, %v", encoded, h.Usable(), err)
		}
	}
}

func TestPoolBounds(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	for _, c := range []struct{ slots, queue, free, room int }{
		{0, 0, procs, 16 * procs}, {-1, 0, procs, 16 * procs}, {3, 0, 3, 48}, {3, 5, 3, 5}, {3, -1, 3, 0}, {1, 1, 1, 1},
	} {
		p := newTestPool(t, hashConfig{Slots: c.slots, Queue: c.queue})
		if p.slots.free != c.free || p.slots.room != c.room {
			t.Errorf("%d slots and a queue of %d: %d at once and %d wait", c.slots, c.queue, p.slots.free, p.slots.room)
		}
	}
}

// TestDearHashRaisesTheBudget: a hash that is dearer than all that were counted makes every failure from then on as dear.
func TestDearHashRaisesTheBudget(t *testing.T) {
	p := newTestPool(t, hashConfig{Hashers: []Hasher{PBKDF2SHA256{Iterations: 40}}})
	spent := func(stored PasswordHash, genuine, want bool) int64 {
		t.Helper()
		before := p.units()
		ok, _, err := p.check(context.Background(), "right", stored, genuine)
		if err != nil || ok != want {
			t.Errorf("check: %v, %v", ok, err)
		}
		return p.units() - before
	}
	cheapHash, dear := mustHash(t, PBKDF2SHA256{Iterations: 10}), mustHash(t, PBKDF2SHA256{Iterations: 300})
	steps := []struct {
		what        string
		stored      PasswordHash
		genuine, ok bool
		want        int64
	}{
		{"nobody", PasswordHash{}, true, false, 40},
		{"a cheap hash, not genuine", cheapHash, false, false, 40},
		{"a cheap hash", cheapHash, true, true, 10},
		{"a dear hash, not genuine", dear, false, false, 300},
		{"nobody, afterwards", PasswordHash{}, true, false, 300},
		{"a cheap hash, not genuine, afterwards", cheapHash, false, false, 300},
		{"the dear hash", dear, true, true, 300},
	}
	for _, s := range steps {
		if got := spent(s.stored, s.genuine, s.ok); got != s.want {
			t.Errorf("%s: %d units, want %d", s.what, got, s.want)
		}
	}
	for ceiling, want := range map[int64]int64{-5: 300, 0: 300, 299: 300, 1000: 1000, pwhash.MaxUnits + 1: pwhash.MaxUnits} {
		if p.setCeiling(ceiling); p.budget() != want {
			t.Errorf("with a ceiling of %d the budget is %d, want %d", ceiling, p.budget(), want)
		}
	}
	if p.preferredCost() != 40 || p.cost(dear) != 300 || p.cost(PasswordHash{}) != 0 || p.cost(PasswordHash{encoded: dear.encoded, pepper: 9}) != 0 {
		t.Errorf("costs: %d, %d", p.preferredCost(), p.cost(dear))
	}
}

// TestWaitersWhoLeave: one who waits and leaves gives his place in the queue back, and no other.
func TestWaitersWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for leaver := range 3 {
			g := gate{free: 1, room: 3}
			if err := g.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			var cancels [3]context.CancelFunc
			var in [3]bool
			for i := range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				cancels[i] = cancel
				go func() {
					if g.enter(ctx) == nil {
						in[i] = true
					}
				}()
				synctest.Wait()
			}
			if err := g.enter(t.Context()); !errors.Is(err, ErrBusy) {
				t.Errorf("a fourth who waits: %v", err)
			}
			cancels[leaver]()
			synctest.Wait()
			if g.free != 0 || len(g.queue) != 2 {
				t.Errorf("number %d left: %d places are free and %d wait", leaver, g.free, len(g.queue))
			}
			for n := range 2 { // in their order, one at a time
				g.leave()
				synctest.Wait()
				got := 0
				for i := range 3 {
					if in[i] {
						got++
					}
				}
				if got != n+1 || in[leaver] {
					t.Errorf("number %d left: after %d were done, %v are in", leaver, n+1, in)
				}
			}
			g.leave()
			if g.free != 1 {
				t.Errorf("%d places are free at the end", g.free)
			}
			for _, cancel := range cancels {
				cancel()
			}
		}
	})
}
