package latchbolt

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// cheap is a hasher that costs next to nothing.
var cheap = PBKDF2SHA256{Iterations: 40}

func newTestPool(t testing.TB, cfg hashConfig) *hashPool {
	t.Helper()
	if cfg.Hashers == nil {
		cfg.Hashers = []Hasher{cheap}
	}
	p, err := newHashPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// check is hashPool.check without limit of time.
func checkPool(t testing.TB, p *hashPool, password string, stored PasswordHash) bool {
	t.Helper()
	ok, _, err := p.check(context.Background(), password, stored, true)
	if err != nil {
		t.Errorf("check: %v", err)
	}
	return ok
}

// A verdict is true, false, or an exception, which counts as false.
type verdict bool

func (v *verdict) UnmarshalJSON(b []byte) error {
	*v = string(b) == "true"
	return nil
}

type djangoHash struct {
	Identify any
	Own      verdict         `json:"must_update_by_own_hasher"`
	Summary  json.RawMessage `json:"safe_summary"`
}

type djangoAnswers struct {
	Users []struct {
		Username, Encoded string
		Password          *string
		Check             struct {
			Right  verdict
			Others [][2]any
			Itself verdict `json:"the_hash_itself"`
		} `json:"check_password"`
		Hasher djangoHash
		Usable bool `json:"has_usable_password"`
	}
	Cases []struct {
		Note, Password, Encoded string
		Check                   verdict `json:"check_password"`
		djangoHash
	} `json:"hash_cases"`
}

func readDjangoAnswers(t *testing.T) *djangoAnswers {
	t.Helper()
	var a djangoAnswers
	data, err := os.ReadFile("testdata/django/expected.json")
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Users) < 40 || len(a.Cases) < 70 {
		t.Fatalf("%d users and %d cases: the file is not the one that this test is about", len(a.Users), len(a.Cases))
	}
	return &a
}

// notAsDjango lists the rows whose verdict differs on purpose. The key is the note of the
// case, or the user name and the length of the password in bytes.
var notAsDjango = map[string]string{
	"argon2d":              "x/crypto has no argon2d",
	"argon2id, version 16": "x/crypto has version 19 only",
	"argon2i, version 16":  "x/crypto has version 19 only",
	"argon2i, version field absent (meaning 16), from Django's own tests": "x/crypto has version 19 only",
	"bcrypt, 73 bytes checked against the 72-byte hash":                   "bcrypt does not see the 73rd byte; Django lets in whoever knows the first 72 (golang/go#36546)",
	"niaj 87": "the password itself has more than the 72 bytes that bcrypt sees",
	"niaj 88": "as above",
	"niaj 86": "as above",
	"niaj 76": "as above",
}

// dearUsers have hashes of Django's default strength, or nearly.
var dearUsers = []string{"carol", "dave", "frank", "ivan", "laura", "olivia", "rupert"}

// TestDjangoVerdicts holds every verdict of Django's check_password against ours; wrong passwords of dearUsers in the size of CI only.
func TestDjangoVerdicts(t *testing.T) {
	a := readDjangoAnswers(t)
	var rows, differ atomic.Int64
	compare := func(t *testing.T, key, password, encoded string, want bool) {
		t.Helper()
		rows.Add(1)
		// A pool for each, since one that has met a dear hash spends as much on all.
		got := checkPool(t, newTestPool(t, hashConfig{}), password, PasswordHash{encoded: encoded})
		if reason := notAsDjango[key]; reason != "" && want {
			differ.Add(1)
			want = false
		}
		if got != want {
			t.Errorf("%s: password %.20q against %q: %v, Django says %v", key, password, encoded, got, want)
		}
	}
	t.Run("group", func(t *testing.T) {
		for _, c := range a.Cases {
			t.Run(c.Note, func(t *testing.T) {
				t.Parallel()
				compare(t, c.Note, c.Password, c.Encoded, bool(c.Check))
			})
		}
		for _, u := range a.Users {
			t.Run(u.Username, func(t *testing.T) {
				t.Parallel()
				key := func(password string) string { return u.Username + " " + itoa(len(password)) }
				if !testsize.Full() && slices.Contains([]string{"dave", "frank", "olivia"}, u.Username) {
					return // of another algorithm there is another one
				}
				if u.Password != nil {
					compare(t, key(*u.Password), *u.Password, u.Encoded, bool(u.Check.Right))
				}
				if !testsize.Full() && slices.Contains(dearUsers, u.Username) {
					return
				}
				compare(t, u.Username+" itself", u.Encoded, u.Encoded, bool(u.Check.Itself))
				for _, o := range u.Check.Others {
					password := o[0].(string)
					compare(t, key(password), password, u.Encoded, o[1] == true)
				}
			})
		}
	})
	t.Logf("%d verdicts, of which %d differ on purpose", rows.Load(), differ.Load())
	if rows.Load() < 300 || differ.Load() != int64(len(notAsDjango)) {
		t.Errorf("%d verdicts compared, %d differ on purpose; the list has %d", rows.Load(), differ.Load(), len(notAsDjango))
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// TestDjangoMustUpdate: a hasher with Django's parameters finds outdated what
// Django's own finds so. (Nothing among them is stronger than Django's defaults,
// which is where the two differ.)
func TestDjangoMustUpdate(t *testing.T) {
	a := readDjangoAnswers(t)
	django := map[string]Hasher{
		"pbkdf2_sha256": PBKDF2SHA256{Iterations: 1_000_000},
		"argon2":        Argon2id{Memory: 102_400, Time: 2, Threads: 8},
		"bcrypt_sha256": BcryptSHA256{Cost: 12},
		"scrypt":        Scrypt{N: 1 << 14, R: 8, P: 5},
	}
	rows := make(map[string]int)
	compare := func(what, encoded string, h djangoHash) {
		name, _ := h.Identify.(string)
		if _, err := pwhash.Parse(encoded); err != nil || django[name] == nil {
			return
		}
		rows[name]++
		if got := django[name].Outdated(encoded); got != bool(h.Own) {
			t.Errorf("%s: outdated %v, Django says %v", what, got, h.Own)
		}
	}
	for _, u := range a.Users {
		compare(u.Username, u.Encoded, u.Hasher)
	}
	for _, c := range a.Cases {
		compare(c.Note, c.Encoded, c.djangoHash)
	}
	for name := range django {
		if rows[name] == 0 {
			t.Errorf("no row of %s", name)
		}
	}
	t.Logf("rows: %v", rows)
}

// mustHash returns a hash of "right" made by h.
func mustHash(t testing.TB, h Hasher) PasswordHash {
	t.Helper()
	encoded, err := h.Hash("right")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := ParsePasswordHash(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// TestCVE_2016_2513 and the others of its kind (CVE-2024-39329, CVE-2025-13473):
// every failing check spends the same number of units, to the unit.
func TestCVE_2016_2513(t *testing.T) {
	preferred := []struct {
		name                   string
		equal, cheaper, dearer Hasher
	}{
		{"argon2", Argon2id{Memory: 64, Time: 4}, Argon2id{Memory: 64, Time: 1}, Argon2id{Memory: 64, Time: 16}},
		{"argon2 with other memory", Argon2id{Memory: 64, Time: 4}, Argon2id{Memory: 24, Time: 3}, Argon2id{Memory: 100, Time: 11}},
		{"pbkdf2", PBKDF2SHA256{Iterations: 400}, PBKDF2SHA256{Iterations: 100}, PBKDF2SHA256{Iterations: 1600}},
		{"bcrypt", BcryptSHA256{Cost: 6}, BcryptSHA256{Cost: 4}, BcryptSHA256{Cost: 8}},
		{"scrypt", Scrypt{N: 16, R: 8, P: 5}, Scrypt{N: 16, R: 8, P: 1}, Scrypt{N: 64, R: 8, P: 5}},
		{"own", ownHasher{work: 100}, Argon2id{Memory: 8, Time: 1}, PBKDF2SHA256{Iterations: 1234}},
	}
	bcryptPlain := PasswordHash{encoded: "bcrypt$$2y$04$O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C"}
	for _, c := range preferred {
		t.Run(c.name, func(t *testing.T) {
			cfg := hashConfig{Hashers: []Hasher{c.equal}, Peppers: []Pepper{{ID: 7, Key: make([]byte, 32)}}}
			peppered := mustHash(t, c.equal)
			peppered.pepper = 9
			dearer := mustHash(t, c.dearer)
			classes := []struct {
				name     string
				password string
				stored   PasswordHash
				genuine  bool
				dear     bool // needs the ceiling
			}{
				{"cheaper hash", "wrong", mustHash(t, c.cheaper), true, false},
				{"equal hash", "wrong", mustHash(t, c.equal), true, false},
				{"dearer hash", "wrong", dearer, true, true},
				{"other algorithm", "wrong", PasswordHash{encoded: "md5$x$b24e99e284153750970f97a39d6c178d"}, true, false},
				{"other algorithm that does not take the password", strings.Repeat("long ", 20), bcryptPlain, true, true},
				{"no such user", "wrong", PasswordHash{}, false, false},
				{"inactive, right password", "right", mustHash(t, c.equal), false, false},
				{"inactive, wrong password", "wrong", mustHash(t, c.cheaper), false, false},
				{"unusable", "wrong", PasswordHash{encoded: "!abc"}, true, false},
				{"unknown algorithm", "wrong", PasswordHash{encoded: "lolcat$x$y"}, true, false},
				{"form that is not verified", "wrong", PasswordHash{encoded: "sha1$x$" + strings.Repeat("a", 40)}, true, false},
				{"malformed", "wrong", PasswordHash{encoded: "pbkdf2_sha256$ten$x$y"}, true, false},
				{"argon2d", "wrong", PasswordHash{encoded: "argon2$argon2d$v=19$m=32,t=2,p=2$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$oQV85CLO++yu130pdSCR/VBKdGv3/ChdisYajDFfCOk"}, true, false},
				{"unknown pepper", "right", peppered, true, false},
				{"longest password", strings.Repeat("x", pwhash.MaxPassword), mustHash(t, c.equal), true, false},
			}
			for _, ceiling := range []int64{0, 1, int64(testsize.Of(10_000, 100_000))} {
				p := newTestPool(t, cfg)
				p.setCeiling(ceiling)
				want := max(ceiling, p.preferredCost())
				for _, class := range classes {
					if class.dear && p.cost(class.stored) > ceiling {
						continue
					}
					before := p.units()
					ok, outdated, err := p.check(context.Background(), class.password, class.stored, class.genuine)
					if ok || outdated || err != nil {
						t.Errorf("%s: %v, outdated %v, error %v", class.name, ok, outdated, err)
					}
					if got := p.units() - before; got != want {
						t.Errorf("%s: %d units with ceiling %d, want %d", class.name, got, ceiling, want)
					}
				}
			}
			// A hash dearer than anybody knew raises the budget by itself.
			p := newTestPool(t, cfg)
			for _, stored := range []PasswordHash{dearer, {}, mustHash(t, c.equal)} {
				before := p.units()
				checkPool(t, p, "wrong", stored)
				if got := p.units() - before; got != p.cost(dearer) {
					t.Errorf("after a hash above the ceiling: %d units, want %d", got, p.cost(dearer))
				}
			}
			// Success costs what the hash costs.
			before := p.units()
			if !checkPool(t, p, "right", mustHash(t, c.cheaper)) || p.units()-before != p.cost(mustHash(t, c.cheaper)) {
				t.Errorf("a right password spends %d units", p.units()-before)
			}
		})
	}
}

// TestBurnTakesTime: units that are counted are also worked off. The classes of
// TestCVE_2016_2513 are compared by the clock, coarsely.
func TestBurnTakesTime(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	for _, h := range []Hasher{Argon2id{Memory: 2048, Time: 4}, PBKDF2SHA256{Iterations: 40_000}, BcryptSHA256{Cost: 7}, Scrypt{N: 1 << 11, R: 8, P: 4}} {
		p := newTestPool(t, hashConfig{Hashers: []Hasher{h}})
		best := func(stored PasswordHash) time.Duration {
			least := time.Hour
			for range 7 {
				start := cpuTime()
				checkPool(t, p, "wrong", stored)
				least = min(least, cpuTime()-start)
			}
			return least
		}
		var real, missing time.Duration
		for range 5 { // the machine may be busy with something else
			real, missing = best(mustHash(t, h)), best(PasswordHash{})
			if missing > real*6/10 && missing < real*16/10 {
				break
			}
		}
		if missing <= real*6/10 || missing >= real*16/10 {
			t.Errorf("%s: a wrong password takes %v, a missing user %v", h.Algorithm(), real, missing)
		}
	}
}

// An ownHasher is a program's own hasher, with faults on request.
type ownHasher struct {
	work  int64
	fault func(method string)
	_     [1]func() // not comparable
}

func (o ownHasher) do(method string) {
	if o.fault != nil {
		o.fault(method)
	}
}
func (o ownHasher) Algorithm() string { return "own" }
func (o ownHasher) Hash(password string) (string, error) {
	o.do("Hash")
	return "own$" + password, nil
}
func (o ownHasher) Verify(password, encoded string) (bool, error) {
	o.do("Verify")
	return encoded == "own$"+password, nil
}
func (o ownHasher) Outdated(string) bool { o.do("Outdated"); return true }
func (o ownHasher) Work(encoded string) (int64, error) {
	o.do("Work")
	if encoded == "own$broken" {
		return 0, errors.New("cannot read it")
	}
	return o.work, nil
}

func TestOwnHasher(t *testing.T) {
	ctx := context.Background()
	p := newTestPool(t, hashConfig{Hashers: []Hasher{ownHasher{work: 100}}})
	h, err := p.hash(ctx, "right")
	if err != nil || h.encoded != "own$right" {
		t.Fatalf("%q, %v", h.encoded, err)
	}
	if ok, outdated, err := p.check(ctx, "right", h, true); !ok || !outdated || err != nil {
		t.Errorf("right: %v, outdated %v, %v", ok, outdated, err)
	}
	if checkPool(t, p, "wrong", h) || checkPool(t, p, "broken", PasswordHash{encoded: "own$broken"}) {
		t.Error("a wrong password passes")
	}
	if info := h.Info(); !info.Usable || info.Algorithm != "" {
		t.Errorf("%+v", info)
	}
	// As a second hasher it is read, and its hashes are outdated if they cost no more.
	for _, c := range []struct {
		work     int64
		outdated bool
	}{{40, true}, {41, false}} {
		p := newTestPool(t, hashConfig{Hashers: []Hasher{cheap, ownHasher{work: c.work}}})
		if ok, outdated, err := p.check(ctx, "right", h, true); !ok || outdated != c.outdated || err != nil {
			t.Errorf("work %d: %v, outdated %v, %v", c.work, ok, outdated, err)
		}
	}
	// What panics is an error, and what fails is a wrong password, for the same work.
	for _, method := range []string{"Verify", "Work", "Outdated"} {
		armed := false
		p := newTestPool(t, hashConfig{Hashers: []Hasher{ownHasher{work: 100, fault: func(m string) {
			if armed && m == method {
				panic("right")
			}
		}}}})
		armed = true
		ok, outdated, err := p.check(ctx, "right", h, true)
		if ok != (method == "Outdated") || outdated || err != nil {
			t.Errorf("panic in %s: %v, outdated %v, %v", method, ok, outdated, err)
		}
		if p.units() != 100 {
			t.Errorf("panic in %s: %d units", method, p.units())
		}
	}
	armed := false
	p = newTestPool(t, hashConfig{Hashers: []Hasher{ownHasher{work: 1, fault: func(string) {
		if armed {
			panic("secret word")
		}
	}}}})
	armed = true
	if _, err := p.hash(ctx, "x"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("panic in Hash: %v", err)
	}
}

func TestHashConfigRefused(t *testing.T) {
	key := make([]byte, 32)
	for _, c := range []struct {
		name string
		cfg  hashConfig
	}{
		{"no hasher", hashConfig{}},
		{"nil", hashConfig{Hashers: []Hasher{nil}}},
		{"memory above 1 GiB", hashConfig{Hashers: []Hasher{Argon2id{Memory: 1<<20 + 1}}}},
		{"bad second hasher", hashConfig{Hashers: []Hasher{cheap, BcryptSHA256{Cost: 17}}}},
		{"negative iterations", hashConfig{Hashers: []Hasher{PBKDF2SHA256{Iterations: -1}}}},
		{"N no power of two", hashConfig{Hashers: []Hasher{Scrypt{N: 100}}}},
		{"negative N", hashConfig{Hashers: []Hasher{Scrypt{N: -16}}}},
		{"two of one name", hashConfig{Hashers: []Hasher{ownHasher{work: 1}, ownHasher{work: 1}}}},
		{"name of another", hashConfig{Hashers: []Hasher{cheap, namedHasher{"pbkdf2_sha256"}}}},
		{"name with $", hashConfig{Hashers: []Hasher{namedHasher{"a$b"}}}},
		{"no name", hashConfig{Hashers: []Hasher{namedHasher{""}}}},
		{"hash without its name", hashConfig{Hashers: []Hasher{namedHasher{"other"}}}},
		{"no work", hashConfig{Hashers: []Hasher{ownHasher{}}}},
		{"work without end", hashConfig{Hashers: []Hasher{ownHasher{work: 1 << 40}}}},
		{"short pepper", hashConfig{Hashers: []Hasher{cheap}, Peppers: []Pepper{{ID: 1, Key: key[:31]}}}},
		{"pepper 0", hashConfig{Hashers: []Hasher{cheap}, Peppers: []Pepper{{Key: key}}}},
		{"pepper twice", hashConfig{Hashers: []Hasher{cheap}, Peppers: []Pepper{{ID: 1, Key: key}, {ID: 1, Key: key}}}},
	} {
		if p, err := newHashPool(c.cfg); err == nil {
			t.Errorf("%s: accepted: %v", c.name, p.preferredCost())
		}
	}
}

type namedHasher struct{ name string }

func (n namedHasher) Algorithm() string                   { return n.name }
func (n namedHasher) Hash(string) (string, error)         { return "own$x", nil }
func (n namedHasher) Verify(string, string) (bool, error) { return false, nil }
func (n namedHasher) Outdated(string) bool                { return false }
func (n namedHasher) Work(string) (int64, error)          { return 1, nil }

func TestPepper(t *testing.T) {
	ctx := context.Background()
	key := func(b byte) []byte { return slices.Repeat([]byte{b}, 32) }
	one, two := Pepper{ID: 1, Key: key(1)}, Pepper{ID: 2, Key: key(2)}
	pools := map[string]*hashPool{
		"none":                newTestPool(t, hashConfig{}),
		"1":                   newTestPool(t, hashConfig{Peppers: []Pepper{one}}),
		"2, 1":                newTestPool(t, hashConfig{Peppers: []Pepper{two, one}}),
		"2":                   newTestPool(t, hashConfig{Peppers: []Pepper{two}}),
		"1 with an other key": newTestPool(t, hashConfig{Peppers: []Pepper{{ID: 1, Key: key(3)}}}),
	}
	hashes := make(map[string]PasswordHash)
	for _, name := range []string{"none", "1", "2, 1"} {
		h, err := pools[name].hash(ctx, "right")
		if err != nil {
			t.Fatal(err)
		}
		hashes[name] = h
	}
	if h := hashes["2, 1"]; h.Pepper() != 2 || hashes["none"].Pepper() != 0 {
		t.Errorf("pepper %d for new hashes", h.Pepper())
	}
	for _, c := range []struct {
		made, pool   string
		ok, outdated bool
	}{
		{"none", "none", true, false},
		{"none", "1", true, true},
		{"1", "none", false, false},
		{"1", "1", true, false},
		{"1", "2, 1", true, true},
		{"1", "2", false, false},
		{"1", "1 with an other key", false, false},
		{"2, 1", "2", true, false},
		{"2, 1", "1", false, false},
	} {
		ok, outdated, err := pools[c.pool].check(ctx, "right", hashes[c.made], true)
		if ok != c.ok || outdated != c.outdated || err != nil {
			t.Errorf("made with %s, checked with %s: %v, outdated %v, %v", c.made, c.pool, ok, outdated, err)
		}
		if checkPool(t, pools[c.pool], "wrong", hashes[c.made]) {
			t.Errorf("made with %s, checked with %s: a wrong password passes", c.made, c.pool)
		}
	}
	// The documented construction, so that other programs can verify.
	if got := one.apply("lètmein"); got != "MTs1J9r633Nm8CUHj1LC8Ha2Hqu1qySnhz1lJqFvI9g=" {
		t.Errorf("pepper gives %s", got)
	}
	// The caller's key is not the pool's.
	mine := Pepper{ID: 1, Key: key(1)}
	p := newTestPool(t, hashConfig{Peppers: []Pepper{mine}})
	clear(mine.Key)
	if !checkPool(t, p, "right", hashes["1"]) {
		t.Error("the pool uses the caller's slice")
	}
}

func TestLegacyHashes(t *testing.T) {
	for encoded, password := range map[string]string{
		"sha1$abc$403e4a4698de0d54c867b5cfaf4227eecb48d5da": "password",
		"5f4dcc3b5aa765d61d8327deb882cf99":                  "password",
		"md5$$5f4dcc3b5aa765d61d8327deb882cf99":             "password",
		"sha1$$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8":    "password",
		"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=":                 "password",
	} {
		h, err := ParsePasswordHash(encoded)
		if err != nil {
			t.Fatal(err)
		}
		off, on := newTestPool(t, hashConfig{}), newTestPool(t, hashConfig{Legacy: true})
		if checkPool(t, off, password, h) || off.cost(h) != 0 {
			t.Errorf("%s verifies without LegacyHashes", encoded)
		}
		ok, outdated, err := on.check(context.Background(), password, h, true)
		if !ok || !outdated || err != nil || on.cost(h) != 1 {
			t.Errorf("%s with LegacyHashes: %v, outdated %v, %v", encoded, ok, outdated, err)
		}
	}
}

// TestCVE_2013_1443: passwords beyond the limit are refused before any work.
func TestCVE_2013_1443(t *testing.T) {
	p := newTestPool(t, hashConfig{Slots: 1, Queue: -1})
	h := mustHash(t, cheap)
	for _, n := range []int{pwhash.MaxPassword + 1, 1 << 20, 64 << 20} {
		long := strings.Repeat("x", n)
		if ok, _, err := p.check(context.Background(), long, h, true); ok || err != ErrCredentials {
			t.Errorf("%d bytes: %v, %v", n, ok, err)
		}
		var fe *FieldError
		if _, err := p.hash(context.Background(), long); !errors.As(err, &fe) || fe.Code != "password_too_long" {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := cheap.Hash(long); !errors.As(err, &fe) || fe.Code != "password_too_long" {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if p.units() != 0 {
		t.Errorf("%d units", p.units())
	}
	for _, n := range []int{64, 128, pwhash.MaxPassword} {
		h, err := p.hash(context.Background(), strings.Repeat("x", n))
		if err != nil || !checkPool(t, p, strings.Repeat("x", n), h) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestCVE_2026_54092: the slots bound how many hashes run at once, and the queue how many wait.
func TestCVE_2026_54092(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, done atomic.Int64
		var armed atomic.Bool
		own := ownHasher{work: 1, fault: func(m string) {
			if m != "Verify" || !armed.Load() {
				return
			}
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Second)
			running.Add(-1)
		}}
		p := newTestPool(t, hashConfig{Hashers: []Hasher{own}, Slots: 2, Queue: 20})
		armed.Store(true)
		var wg sync.WaitGroup
		var busy atomic.Int64
		start := time.Now()
		for range 32 {
			wg.Go(func() {
				ok, _, err := p.check(context.Background(), "right", PasswordHash{encoded: "own$right"}, true)
				switch {
				case ok && err == nil:
					done.Add(1)
				case errors.Is(err, ErrBusy) && time.Since(start) == 0:
					busy.Add(1)
				default:
					t.Errorf("%v, %v after %v", ok, err, time.Since(start))
				}
			})
		}
		wg.Wait()
		if most.Load() != 2 || done.Load() != 22 || busy.Load() != 10 {
			t.Errorf("%d at once, %d done, %d told to come again; want 2, 22, 10", most.Load(), done.Load(), busy.Load())
		}
		if d := time.Since(start); d != 11*time.Second {
			t.Errorf("took %v, not 11 s: a slot was idle, or lost", d)
		}
	})
}

// TestSlotsContext: a caller whose context ends while it waits leaves the queue, and loses
// nobody a slot; one whose hash runs gets the answer.
func TestSlotsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		own := ownHasher{work: 1, fault: func(m string) {
			if m == "Verify" && armed.Load() {
				time.Sleep(10 * time.Second)
			}
		}}
		p := newTestPool(t, hashConfig{Hashers: []Hasher{own}, Slots: 1, Queue: 3})
		armed.Store(true)
		stored := PasswordHash{encoded: "own$right"}
		var wg sync.WaitGroup
		call := func(timeout time.Duration, wantErr error, wantAfter time.Duration) {
			start := time.Now()
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				ok, _, err := p.check(ctx, "right", stored, true)
				if !errors.Is(err, wantErr) || ok != (wantErr == nil) || time.Since(start) != wantAfter {
					t.Errorf("%v, %v after %v; want %v after %v", ok, err, time.Since(start), wantErr, wantAfter)
				}
			})
			synctest.Wait()
		}
		call(5*time.Second, nil, 10*time.Second) // ends while it runs: the answer counts
		call(3*time.Second, context.DeadlineExceeded, 3*time.Second)
		call(time.Minute, nil, 20*time.Second)
		call(15*time.Second, context.DeadlineExceeded, 15*time.Second)
		call(time.Minute, ErrBusy, 0)
		time.Sleep(4 * time.Second)
		call(time.Minute, nil, 26*time.Second) // has the place in the queue that became free
		call(time.Minute, ErrBusy, 0)
		wg.Wait()
		if p.slots.free != 1 || len(p.slots.queue) != 0 {
			t.Errorf("%d slots free, %d wait", p.slots.free, len(p.slots.queue))
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		before := p.units()
		if _, _, err := p.check(ended, "right", stored, true); !errors.Is(err, context.Canceled) || p.units() != before {
			t.Errorf("%v", err)
		}
		if _, err := p.hash(ended, "right"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// TestGateRace: who is let in at the moment in which the context ends gives the place back.
func TestGateRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{free: 1, room: 1}
		for range 200 {
			if err := g.enter(context.Background()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				if g.enter(ctx) == nil {
					g.leave()
				}
			}()
			synctest.Wait()
			cancel()
			g.leave()
			synctest.Wait()
			if g.free != 1 || len(g.queue) != 0 {
				t.Fatalf("%d places free, %d wait", g.free, len(g.queue))
			}
		}
	})
}

// TestNoRandomness: if the system has no random bytes, no hash is made.
func TestNoRandomness(t *testing.T) {
	p := newTestPool(t, hashConfig{})
	old := rand.Reader
	defer func() { rand.Reader = old }()
	rand.Reader = io.LimitReader(old, 3)
	for _, h := range []Hasher{Argon2id{Memory: 8, Time: 1}, cheap, BcryptSHA256{Cost: 4}, Scrypt{N: 2, R: 1, P: 1}} {
		if encoded, err := h.Hash("right"); err == nil || encoded != "" {
			t.Errorf("%s made %q", h.Algorithm(), encoded)
		}
	}
	if h, err := p.hash(context.Background(), "right"); err == nil || h != (PasswordHash{}) {
		t.Errorf("pool: %v", err)
	}
}

// BenchmarkCheck compares a check with the bare call of x/crypto.
func BenchmarkCheck(b *testing.B) {
	p := newTestPool(b, hashConfig{Hashers: DefaultHashers()})
	stored := mustHash(b, Argon2id{})
	salt := []byte("0123456789abcdefghijkl")
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			argon2.IDKey([]byte("right"), salt, 2, 19_456, 1, 32)
		}
	})
	b.Run("right", func(b *testing.B) {
		for b.Loop() {
			checkPool(b, p, "right", stored)
		}
	})
	b.Run("wrong", func(b *testing.B) {
		for b.Loop() {
			checkPool(b, p, "wrong", stored)
		}
	})
	b.Run("missing", func(b *testing.B) {
		for b.Loop() {
			checkPool(b, p, "wrong", PasswordHash{})
		}
	})
}
