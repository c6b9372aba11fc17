package latchbolt_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/dudect"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// timingClasses are the classes of accounts that must not be told apart by the time of a refusal, with what is typed.
// newTimingEngine makes their users.
var timingClasses = []struct{ what, name, password string }{
	{"a wrong password", "wrong", "wrong password"},
	{"a missing user", "missing", "wrong password"},
	{"an inactive user and a wrong password", "inactive", "wrong password"},
	{"an inactive user and the right password", "inactive", goodPassword},
	{"a cheaper hash", "weak", "wrong password"},
	{"a dearer hash", "strong", "wrong password"},
	{"an unusable password", "unusable", "wrong password"},
	{"no password", "empty", "wrong password"},
	{"a hash that nothing can read", "gibberish", "wrong password"},
	{"a superuser", "root", "wrong password"},
}

// newTimingEngine makes an engine that counts failures and never throttles, with a user of each class.
func newTimingEngine(t *testing.T, cheaper, usual, dearer latchbolt.Hasher) *latchbolt.Engine {
	t.Helper()
	ctx := t.Context()
	eng := openAt(t, fastDir(t)+"/app.db", &latchbolt.Config{Hashers: []latchbolt.Hasher{usual},
		Throttle: latchbolt.ThrottleConfig{Free: 1 << 30, SourceFree: 1 << 30}, Audit: latchbolt.AuditConfig{MaxCount: 1000}})
	parse := func(s string, err error) latchbolt.PasswordHash {
		must(t, "hashing", err)
		h, err := latchbolt.ParsePasswordHash(s)
		must(t, "parsing", err)
		return h
	}
	hash := func(h latchbolt.Hasher) latchbolt.PasswordHash { return parse(h.Hash(goodPassword)) }
	for _, u := range []struct {
		user latchbolt.User
		hash latchbolt.PasswordHash
	}{
		{latchbolt.User{Username: "wrong"}, hash(usual)},
		{latchbolt.User{Username: "inactive", Inactive: true}, hash(usual)},
		{latchbolt.User{Username: "weak"}, hash(cheaper)},
		{latchbolt.User{Username: "strong"}, hash(dearer)},
		{latchbolt.User{Username: "unusable"}, parse("!", nil)},
		{latchbolt.User{Username: "empty"}, parse("", nil)},
		{latchbolt.User{Username: "gibberish"}, parse("gibberish", nil)},
		{latchbolt.User{Username: "root", Superuser: true, Staff: true}, hash(usual)},
	} {
		must(t, u.user.Username, eng.InsertUser(ctx, &u.user, u.hash))
	}
	return eng
}

// campaign skips a measurement of time unless LATCHBOLT_TIMING is set: what else the machine does decides about it too.
func campaign(t *testing.T) {
	t.Helper()
	if os.Getenv("LATCHBOLT_TIMING") == "" {
		t.Skip("measures time; set LATCHBOLT_TIMING=1")
	}
}

// compareTimes compares classes up to three times and reports all that is found.
func compareTimes(t *testing.T, classes []dudect.Class, samples int, bad func(dudect.Results) []string) {
	t.Helper()
	var told []string
	for try := range 3 {
		seed := uint64(time.Now().UnixNano())
		rs := dudect.Compare(classes, samples, seed)
		t.Logf("attempt %d, %d samples each, seed %d:%v", try+1, samples, seed, rs)
		tally.Log(t, "attempts", 1, "samples", samples*len(classes), "seed", seed)
		if told = bad(rs); len(told) == 0 {
			return
		}
	}
	t.Errorf("three times out of three these can be told apart: %q", told)
}

func authenticateClasses(t *testing.T, eng *latchbolt.Engine) (classes []dudect.Class) {
	for _, c := range timingClasses {
		var err error
		classes = append(classes, dudect.Class{Name: c.what,
			Do: func() {
				_, err = eng.Authenticate(t.Context(), latchbolt.Password{Username: c.name, Password: c.password})
			},
			Between: func() {
				if err != latchbolt.ErrCredentials {
					t.Errorf("%s: got %v", c.what, err)
				}
				eng.Settle(t.Context())
			},
		})
	}
	return classes
}

// TestTimingOfLogins has all classes refused, a thousand times each in turn, with hashes that cost so little that
// the rest shows, and with those of the default, where no median may differ by a twentieth.
func TestTimingOfLogins(t *testing.T) {
	campaign(t)
	t.Run("cheap hashes", func(t *testing.T) {
		it := func(n int) latchbolt.Hasher { return latchbolt.PBKDF2SHA256{Iterations: n} }
		eng := newTimingEngine(t, it(75), it(300), it(400))
		compareTimes(t, authenticateClasses(t, eng), 1000, dudect.Results.Told)
	})
	t.Run("default hashes", func(t *testing.T) {
		usual := latchbolt.DefaultHashers()[0]
		eng := newTimingEngine(t, latchbolt.Argon2id{Time: 1}, usual, usual)
		compareTimes(t, authenticateClasses(t, eng), 25, apart)
	})
}

func apart(rs dudect.Results) []string { return rs.Apart(0.05) }

// TestTimingCanFail has one class refused in the way of Django before 1.9.3, CVE-2016-2513 (a hash of another cost), and
// one without any work at all (CVE-2025-13473). Both have to be noticed.
func TestTimingCanFail(t *testing.T) {
	campaign(t)
	h := latchbolt.PBKDF2SHA256{Iterations: 300}
	verify := func(h latchbolt.Hasher) func() {
		encoded, err := h.Hash(goodPassword)
		must(t, "hashing", err)
		return func() {
			if ok, err := h.Verify("wrong password", encoded); ok || err != nil {
				t.Error(ok, err)
			}
		}
	}
	rs := dudect.Compare([]dudect.Class{
		{Name: "a wrong password", Do: verify(h)},
		{Name: "the same", Do: verify(h)},
		{Name: "an older hash", Do: verify(latchbolt.PBKDF2SHA256{Iterations: 260})},
		{Name: "a missing user", Do: func() {}},
	}, 1000, uint64(time.Now().UnixNano()))
	t.Log(rs)
	told := rs.Told()
	for _, name := range []string{"an older hash", "a missing user"} {
		if !slices.Contains(told, name) {
			t.Errorf("%s was not noticed", name)
		}
	}
}
