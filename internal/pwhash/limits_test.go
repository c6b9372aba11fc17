package pwhash

import (
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestMakersAreBounded: each bound lets in what is just within and nothing beyond.
func TestMakersAreBounded(t *testing.T) {
	for _, c := range []struct {
		m    Maker
		good bool
	}{
		{&PBKDF2{Iterations: 0}, false}, {&PBKDF2{Iterations: 1}, true}, {&PBKDF2{Iterations: 10_000_000}, true}, {&PBKDF2{Iterations: 10_000_001}, false},
		{&Bcrypt{Rounds: 3}, false}, {&Bcrypt{Rounds: 4}, true}, {&Bcrypt{Rounds: 16}, true}, {&Bcrypt{Rounds: 17}, false},
		{&Argon2{Memory: 7, Time: 1, Threads: 1}, false}, {&Argon2{Memory: 8, Time: 1, Threads: 1}, true},
		{&Argon2{Memory: 31, Time: 1, Threads: 4}, false}, {&Argon2{Memory: 32, Time: 1, Threads: 4}, true},
		{&Argon2{Memory: 1 << 20, Time: 1, Threads: 1}, true}, {&Argon2{Memory: 1<<20 + 1, Time: 1, Threads: 1}, false},
		{&Argon2{Memory: 1 << 20, Time: 4, Threads: 1}, true}, {&Argon2{Memory: 1 << 20, Time: 5, Threads: 1}, false},
		{&Argon2{Memory: 8, Time: 0, Threads: 1}, false}, {&Argon2{Memory: 8, Time: 64, Threads: 1}, true}, {&Argon2{Memory: 8, Time: 65, Threads: 1}, false},
		{&Argon2{Memory: 1024, Time: 1, Threads: 0}, false}, {&Argon2{Memory: 1024, Time: 1, Threads: 64}, true}, {&Argon2{Memory: 1024, Time: 1, Threads: 65}, false},
		{&Scrypt{N: 0, R: 1, P: 1}, false}, {&Scrypt{N: 1, R: 1, P: 1}, false}, {&Scrypt{N: 2, R: 1, P: 1}, true}, {&Scrypt{N: 3, R: 1, P: 1}, false}, {&Scrypt{N: -4, R: 1, P: 1}, false},
		{&Scrypt{N: 2, R: 0, P: 1}, false}, {&Scrypt{N: 2, R: 1 << 14, P: 1}, true}, {&Scrypt{N: 2, R: 1<<14 + 1, P: 1}, false},
		{&Scrypt{N: 2, R: 1, P: 0}, false}, {&Scrypt{N: 2, R: 1, P: 64}, true}, {&Scrypt{N: 2, R: 1, P: 65}, false},
		{&Scrypt{N: 2, R: 256, P: 64}, true}, {&Scrypt{N: 2, R: 257, P: 64}, false},
		{&Scrypt{N: 1 << 57, R: 1, P: 1}, false}, {&Scrypt{N: 1 << 62, R: 1, P: 1}, false}, {&Scrypt{N: 1 << 21, R: 1, P: 1}, true}, {&Scrypt{N: 1 << 22, R: 1, P: 1}, false},
		{&Scrypt{N: 1 << 18, R: 8, P: 8}, true}, {&Scrypt{N: 1 << 18, R: 8, P: 9}, false},
	} {
		err := c.m.Check()
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v, want good %v", c.m, err, c.good)
		}
	}
}

// TestLengthsAreBounded: the same for what stands in a text.
func TestLengthsAreBounded(t *testing.T) {
	raw := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	const bc = "O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C"
	for encoded, want := range map[string]error{
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(7) + "$" + raw(16):    ErrRange,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(16):    nil,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(256) + "$" + raw(16):  nil,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(257) + "$" + raw(16):  ErrRange,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(3):     ErrRange,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(4):     nil,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(128):   nil,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(129):   ErrRange,
		"$argon2id$v=0$m=8,t=1,p=1$" + raw(8) + "$" + raw(16):     ErrRange,
		"$argon2id$v=1$m=8,t=1,p=1$" + raw(8) + "$" + raw(16):     nil,
		"$argon2id$v=65536$m=8,t=1,p=1$" + raw(8) + "$" + raw(16): nil,
		"$argon2id$v=65537$m=8,t=1,p=1$" + raw(8) + "$" + raw(16): ErrRange,
		"$argon2id$m=8,t=1,p=1$" + raw(8) + "$" + raw(16):         nil,
		"$argon2id$v=19": ErrMalformed, "$argon2id": ErrMalformed, "argon2$argon2x$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(16): ErrMalformed,
		"$argon2id$v=19$m=8,t=1$" + raw(8) + "$" + raw(16):           ErrMalformed,
		"$argon2id$v=19$t=1,m=8,p=1$" + raw(8) + "$" + raw(16):       ErrMalformed,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "=$" + raw(16):      ErrMalformed,
		"$argon2id$v=19$m=8,t=1,p=1$" + raw(8) + "$" + raw(16) + "=": ErrMalformed,
		"$scrypt$ln=1,r=1,p=1$!$" + raw(16):                          ErrMalformed,
		"$scrypt$ln=1,r=1,p=1$" + raw(8) + "$!":                      ErrMalformed,
		"$scrypt$ln=1,r=1,p=1$" + raw(8):                             ErrMalformed,
		"$scrypt$ln=1,r=1,p=64$" + raw(8) + "$" + raw(16):            nil,
		"$scrypt$ln=1,r=1,p=65$" + raw(8) + "$" + raw(16):            ErrRange,
		"$scrypt$ln=1,r=16384,p=1$" + raw(8) + "$" + raw(16):         nil,
		"$scrypt$ln=1,r=16385,p=1$" + raw(8) + "$" + raw(16):         ErrRange,
		"$scrypt$ln=21,r=1,p=1$" + raw(8) + "$" + raw(16):            nil,
		"$scrypt$ln=22,r=1,p=1$" + raw(8) + "$" + raw(16):            ErrRange,
		"$scrypt$ln=1,r=1,p=1$" + raw(0) + "$" + raw(16):             nil,
		"$scrypt$ln=1,r=1,p=1$" + raw(256) + "$" + raw(16):           nil,
		"$scrypt$ln=1,r=1,p=1$" + raw(257) + "$" + raw(16):           ErrRange,
		"$scrypt$ln=1,r=1,p=1$" + raw(8) + "$" + raw(15):             ErrRange,
		"$scrypt$ln=1,r=1,p=1$" + raw(8) + "$" + raw(64):             nil,
		"$scrypt$ln=1,r=1,p=1$" + raw(8) + "$" + raw(65):             ErrRange,
		"$scrypt$ln=0,r=1,p=1$" + raw(8) + "$" + raw(16):             ErrRange,
		"$scrypt$ln=29,r=1,p=1$" + raw(8) + "$" + raw(16):            ErrRange,
		"$scrypt$ln=1,r=1$" + raw(8) + "$" + raw(16):                 ErrMalformed,
		"$scrypt$ln=1,p=1,r=1$" + raw(8) + "$" + raw(16):             ErrMalformed,
		"$pbkdf2-sha256$i=1$" + raw(8) + "$" + raw(16):               nil,
		"$pbkdf2-sha256$i=0$" + raw(8) + "$" + raw(16):               ErrRange,
		"$pbkdf2-sha256$i=1,l=16$" + raw(8) + "$" + raw(16):          nil,
		"$pbkdf2-sha256$i=1,l=17$" + raw(8) + "$" + raw(16):          ErrMalformed,
		"$pbkdf2-sha256$i=1,l=15$" + raw(8) + "$" + raw(15):          ErrRange,
		"$pbkdf2-sha256$i=1,l=33$" + raw(8) + "$" + raw(32):          ErrRange,
		"$pbkdf2-sha256$i=1,l=32$" + raw(8) + "$" + raw(32):          nil,
		"$pbkdf2-sha256$i=1,x=32$" + raw(8) + "$" + raw(32):          ErrMalformed,
		"$pbkdf2-sha256$1,l=32$" + raw(8) + "$" + raw(32):            ErrMalformed,
		"$pbkdf2-sha256$i=1$" + raw(8) + "$" + raw(33):               ErrRange,
		"$pbkdf2$1$" + raw(8) + "$" + raw(20):                        nil,
		"$pbkdf2$1$" + raw(8) + "$" + raw(21):                        ErrRange,
		"$pbkdf2-sha1$1$" + raw(8) + "$" + raw(20):                   nil,
		"$pbkdf2-sha512$1$" + raw(8) + "$" + raw(64):                 nil,
		"$pbkdf2-sha512$1$" + raw(8) + "$" + raw(65):                 ErrRange,
		"$pbkdf2-sha384$1$" + raw(8) + "$" + raw(48):                 ErrUnknown,
		"bcrypt$$2?$04$" + bc:                                        ErrMalformed, "bcrypt$$2$04$" + bc + "x": ErrMalformed, "bcrypt$$3b$04$" + bc: ErrMalformed, "bcrypt$x2b$04$" + bc: ErrMalformed,
		"bcrypt$$2bx04$" + bc: ErrMalformed, "bcrypt$$2b$04x" + bc: ErrMalformed, "bcrypt$$2b$04$" + bc + ".": ErrMalformed, "bcrypt$$2b$4$" + bc: ErrMalformed,
		"bcrypt$$2b$04$" + bc: nil, "bcrypt$$2b$16$" + bc: nil, "bcrypt$$2b$17$" + bc: ErrRange, "bcrypt$$2b$03$" + bc: ErrRange,
	} {
		h, err := Parse(encoded)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%.60s (%d bytes): got %v, want %v", encoded, len(encoded), err, want)
		}
		if a, ok := h.(*Argon2); ok && (a.Cost() == 0) == a.supported() {
			t.Errorf("%s: costs %d, though it can be verified: %v", encoded, a.Cost(), a.supported())
		}
	}
}

func TestUnitsAreRoundedUp(t *testing.T) {
	for _, c := range [][3]int64{{0, 550, 0}, {1, 1, 1}, {1, 1000, 1}, {1, 1001, 2}, {2, 500, 1}, {1000, 1000, 1000}, {1000, 550, 550}, {999, 1, 1}, {1001, 1, 2}} {
		if got := units(c[0], c[1]); got != c[2] {
			t.Errorf("%d of %d thousandths: got %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

// A fakeMaker notes what it is to burn.
type fakeMaker struct {
	Maker
	asked []int64
	spend int64
	err   error
}

func (m *fakeMaker) burn(_ string, units int64) (int64, error) {
	m.asked = append(m.asked, units)
	return m.spend, m.err
}

func TestBurnAsksTheMaker(t *testing.T) {
	failure := errors.New("no")
	for _, c := range []struct {
		units int64
		err   error
		asked string
	}{{-1, nil, "[]"}, {0, nil, "[]"}, {1, nil, "[1]"}, {70, nil, "[70]"}, {-1, failure, "[]"}, {0, failure, "[]"}, {1, failure, "[1]"}} {
		m := &fakeMaker{err: c.err}
		err := Burn(m, "x", c.units)
		if got := fmt.Sprint(m.asked); got != c.asked || (err != nil) != (c.err != nil && c.units > 0) {
			t.Errorf("%d units: asked for %s, %v; want %s", c.units, got, err, c.asked)
		}
	}
}

// TestBurnDoesTheWork: burning takes the memory that hashing takes, as often, whatever the password.
func TestBurnDoesTheWork(t *testing.T) {
	for _, m := range []Maker{&Argon2{Memory: 512, Time: 1, Threads: 1}, &Scrypt{N: 512, R: 8, P: 1}, &Bcrypt{Rounds: 4, SHA256: true}} {
		one := allocated(func() {
			if _, err := m.Make("x"); err != nil {
				t.Error(err)
			}
		})
		for _, password := range []string{"x", strings.Repeat("x", 100)} {
			const times = 70 // more than one call may do
			burned := allocated(func() {
				if spent, err := m.burn(password, times*m.Cost()); err != nil || spent < (times-1)*m.Cost() {
					t.Errorf("%T: %d units of %d, %v", m, spent, times*m.Cost(), err)
				}
			})
			least := one * 3 / 4 // one hash of larger parameters serves for several
			if b, ok := m.(*Bcrypt); ok {
				_ = b
				least = one * 3 / 2 // 70 of cost 4 are 4 of cost 8, and 1 of 6 and so on
			}
			if burned < least {
				t.Errorf("%T: burning %d hashes for %d bytes of password takes %d bytes; one hash takes %d", m, times, len(password), burned, one)
			}
		}
	}
}

func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestNulAtTheBeginning: plain bcrypt refuses a NUL wherever it stands.
func TestNulAtTheBeginning(t *testing.T) {
	for password, want := range map[string]bool{"abc": true, "\x00abc": false, "a\x00bc": false, "abc\x00": false, "\x00": false} {
		b, err := bcrypt.GenerateFromPassword([]byte(password), 4)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustParse(t, string(b)).Verify(password); got != want {
			t.Errorf("%q verifies: %v", password, got)
		}
	}
}

// TestSaltsAreRandom: every character comes, at every place.
func TestSaltsAreRandom(t *testing.T) {
	var seen [newSaltLen]map[byte]bool
	chars := make(map[byte]bool)
	for i := range seen {
		seen[i] = make(map[byte]bool)
	}
	const times = 1000
	first := 0
	for range times {
		s, err := newSalt()
		if err != nil || len(s) != newSaltLen || strings.Trim(s, saltAlphabet) != "" {
			t.Fatalf("%q, %v", s, err)
		}
		for i := range s {
			seen[i][s[i]], chars[s[i]] = true, true
			if strings.IndexByte(saltAlphabet[:8], s[i]) >= 0 {
				first++
			}
		}
	}
	// With 256 values for 62 characters the first eight would come in 15.6 of a hundred places; 14.2 is six standard deviations from 12.9.
	if share := float64(first) / (times * newSaltLen); share > 0.142 || share < 0.116 {
		t.Errorf("the first 8 of 62 characters come in %.1f of a hundred places", 100*share)
	}
	if len(chars) != len(saltAlphabet) {
		t.Errorf("%d of %d characters", len(chars), len(saltAlphabet))
	}
	for i, m := range seen {
		if len(m) < 40 {
			t.Errorf("place %d has only %d characters", i, len(m))
		}
	}
}
