package pwhash

import (
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"testing"
)

// TestStrength: from 7 MiB on a hash counts eight times.
func TestStrength(t *testing.T) {
	for _, c := range []struct {
		h    interface{ Cost() int64 }
		want int64
	}{
		{&Argon2{Memory: 7168, Time: 1, Threads: 1}, 25_088 * 8}, {&Argon2{Memory: 7167, Time: 1, Threads: 1}, 25_085}, {&Argon2{Memory: 8, Time: 2, Threads: 1}, 56},
		{&Scrypt{N: 8192, R: 7, P: 1}, 97_485 * 8}, {&Scrypt{N: 8192, R: 6, P: 9}, 752_026}, {&Scrypt{N: 2, R: 1, P: 1}, 4},
		{&PBKDF2{Iterations: 9_000_000}, 9_000_000}, {&Bcrypt{Rounds: 12}, 380 << 12},
	} {
		if got := strength(c.h); got != c.want {
			t.Errorf("%+v: %d, want %d", c.h, got, c.want)
		}
	}
}

// TestOutdatedAtTheSameStrength: where guessing costs the same, another algorithm and a weaker form are outdated.
func TestOutdatedAtTheSameStrength(t *testing.T) {
	salt, long := "NaCl0123456789abcdefgh", []byte("NaCl0123456789abcdefgh")
	pbkdf2 := func(n int64) Hash { return &PBKDF2{Iterations: n, Salt: salt, hash: make([]byte, 32)} }
	argon := func(variety string, m, tm uint32, tag int) Hash {
		return &Argon2{Variety: variety, Version: 19, Memory: m, Time: tm, Threads: 1, Salt: long, Tag: make([]byte, tag)}
	}
	for _, c := range []struct {
		what string
		m    Maker
		h    Hash
		want bool
	}{
		{"PBKDF2 by argon2", &Argon2{Memory: 8, Time: 2, Threads: 1}, pbkdf2(56), true},
		{"dearer PBKDF2 by argon2", &Argon2{Memory: 8, Time: 2, Threads: 1}, pbkdf2(57), false},
		{"cheaper PBKDF2 by argon2", &Argon2{Memory: 8, Time: 2, Threads: 1}, pbkdf2(55), true},
		{"argon2 by PBKDF2", &PBKDF2{Iterations: 56}, argon("argon2id", 8, 2, 32), true},
		{"PBKDF2 by bcrypt", &Bcrypt{Rounds: 4, SHA256: true}, pbkdf2(6080), true},
		{"PBKDF2 by scrypt", &Scrypt{N: 2, R: 1, P: 1}, pbkdf2(4), true},
		{"PBKDF2 with SHA-1 by one with SHA-256", &PBKDF2{Iterations: 117}, &PBKDF2{Iterations: 100, SHA1: true, Salt: salt}, true},
		{"PBKDF2 with SHA-512 by one with SHA-256", &PBKDF2{Iterations: 290}, &PBKDF2{Iterations: 100, SHA512: true, Salt: salt}, false},
		{"bcrypt by bcrypt over SHA-256", &Bcrypt{Rounds: 4, SHA256: true}, &Bcrypt{Rounds: 4}, true},
		{"bcrypt over SHA-256 by itself", &Bcrypt{Rounds: 4, SHA256: true}, &Bcrypt{Rounds: 4, SHA256: true}, false},
		{"argon2id by itself", &Argon2{Memory: 8, Time: 2, Threads: 1}, argon("argon2id", 8, 2, 32), false},
		{"argon2i", &Argon2{Memory: 8, Time: 2, Threads: 1}, argon("argon2i", 8, 2, 32), true},
		{"a tag of 31 bytes", &Argon2{Memory: 8, Time: 2, Threads: 1}, argon("argon2id", 8, 2, 31), true},
		{"more memory in fewer passes", &Argon2{Memory: 8, Time: 2, Threads: 1}, argon("argon2id", 16, 1, 32), false},
		{"less memory in more passes", &Argon2{Memory: 16, Time: 1, Threads: 1}, argon("argon2id", 8, 2, 32), true},
		{"scrypt with less memory", &Scrypt{N: 4, R: 1, P: 1}, &Scrypt{N: 2, R: 1, P: 2}, true},
		{"scrypt with as much", &Scrypt{N: 4, R: 1, P: 1}, &Scrypt{N: 2, R: 2, P: 1}, false},
		{"scrypt with more", &Scrypt{N: 2, R: 1, P: 2}, &Scrypt{N: 4, R: 1, P: 1}, false},
		{"any by a maker that nobody knows", &fakeMaker{Maker: &PBKDF2{Iterations: 56}}, pbkdf2(56), false},
	} {
		if got := Outdated(c.m, c.h); got != c.want {
			t.Errorf("%s: got %v", c.what, got)
		}
	}
	for n, want := range map[int]bool{0: true, 21: true, 22: false, 23: false} {
		if got := weakSalt(strings.Repeat("é", n)); got != want {
			t.Errorf("a salt of %d characters is weak: %v", n, got)
		}
	}
}

// TestOldForms: lengths and digits of the oldest forms.
func TestOldForms(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	md5, sha1 := strings.Repeat("0a", 16), strings.Repeat("0a", 20)
	for encoded, c := range map[string]struct {
		name   string
		err    error
		legacy bool
	}{
		"{SHA}" + b64(20): {"unsalted_sha1", nil, true}, "{SHA}" + b64(19): {"", ErrMalformed, false}, "{SHA}" + b64(21): {"", ErrMalformed, false}, "{SHA}x": {"", ErrMalformed, false},
		"{SSHA}" + b64(21): {"ssha", nil, true}, "{SSHA}" + b64(20): {"", ErrMalformed, false}, "{SSHA}" + b64(276): {"ssha", nil, true}, "{SSHA}" + b64(277): {"", ErrMalformed, false}, "{SSHA}x": {"", ErrMalformed, false},
		"{MD5}" + b64(16): {"", ErrUnknown, false}, "md5$s$" + md5: {"md5", nil, false}, "sha1$s$" + sha1: {"sha1", nil, true}, "md5$$" + md5: {"unsalted_md5", nil, true}, "sha1$$" + sha1: {"unsalted_sha1", nil, true},
		md5: {"unsalted_md5", nil, true}, strings.ToUpper(md5): {"", ErrUnknown, false}, "md5$s$" + sha1: {"", ErrMalformed, false}, "sha1$s$" + md5: {"", ErrMalformed, false}, "md5$s$" + strings.ToUpper(md5): {"", ErrMalformed, false},
		"md5$s": {"", ErrMalformed, false}, "md5": {"", ErrMalformed, false}, "md5$$" + sha1: {"", ErrUnknown, false}, "md5$s$" + md5[:30] + "zz": {"", ErrMalformed, false},
		"md5$" + strings.Repeat("s", 256) + "$" + md5: {"md5", nil, false}, "md5$" + strings.Repeat("s", 257) + "$" + md5: {"", ErrRange, false},
	} {
		h, err := Parse(encoded)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%.50s: got %v, want %v", encoded, err, c.err)
			continue
		}
		if err != nil {
			if c.err == ErrMalformed && !strings.Contains(err.Error(), ": malformed hash: ") {
				t.Errorf("%.50s: %v", encoded, err)
			}
			continue
		}
		d, ok := h.(*Digest)
		if !ok || d.Algorithm() != c.name || d.Summary() != c.name || d.Legacy() != c.legacy || d.Cost() != 1 || d.Work(99) != 1 {
			t.Errorf("%.50s: %+v", encoded, d)
		}
	}
	if d := mustParse(t, "md5$s$"+md5).(*Digest); d.Salt() != "s" {
		t.Errorf("salt %q", d.Salt())
	}
	for encoded, want := range map[string]string{"md5$s": "md5", "scrypt$": "scrypt", "x$": "", "": "", "!md5$": "", "bcrypt$$2b$04$x": "bcrypt", md5: "unsalted_md5"} {
		if got := Known(encoded); got != want {
			t.Errorf("%q is known as %q, want %q", encoded, got, want)
		}
	}
}

// A blockCounter counts the blocks that a digest takes in, with the padding.
type blockCounter struct {
	hash.Hash
	pending int
	blocks  *int
	field   int
}

func (c *blockCounter) Write(p []byte) (int, error) { c.pending += len(p); return c.Hash.Write(p) }
func (c *blockCounter) Reset()                      { c.pending = 0; c.Hash.Reset() }
func (c *blockCounter) Sum(b []byte) []byte {
	*c.blocks += (c.pending + 1 + c.field + c.BlockSize() - 1) / c.BlockSize()
	return c.Hash.Sum(b)
}

// TestWorkOfCrypt: the work that is announced is that of the blocks that are hashed.
func TestWorkOfCrypt(t *testing.T) {
	for ident, kind := range cryptKinds {
		for _, n := range []int{0, 1, 8, 15, 16, 40, 64, 100, 256} {
			for _, salt := range []string{"", "abcdefgh"} {
				blocks := 0
				k := *kind
				k.new = func() hash.Hash { return &blockCounter{Hash: kind.new(), blocks: &blocks, field: k.lenField} }
				h := &Crypt{kind: &k, rounds: 42 * 400, salt: salt}
				h.digest([]byte(strings.Repeat("x", n)))
				got, want := h.Work(n), units(int64(blocks), kind.milli)
				if diff := float64(got-want) / float64(want); diff > 0.012 || diff < -0.012 {
					t.Errorf("$%s$, %d bytes, salt %q: %d units are announced, and %d done", ident, n, salt, got, want)
				}
			}
		}
		h := &Crypt{kind: kind, rounds: 1000}
		if h.Work(257) != 0 || h.Work(256) != h.Cost() || h.Work(255) > h.Cost() {
			t.Errorf("$%s$: %d units for the longest password, %d for a longer one", ident, h.Work(256), h.Work(257))
		}
	}
}

// TestCryptForms: what is in front of the hash.
func TestCryptForms(t *testing.T) {
	md5, sha256, sha512 := strings.Repeat(".", 22), strings.Repeat(".", 43), strings.Repeat(".", 86)
	for encoded, c := range map[string]struct {
		summary string
		err     error
	}{
		"$1$12345678$" + md5: {"md5_crypt rounds=1000", nil}, "$1$123456789$" + md5: {"", ErrMalformed}, "$apr1$$" + md5: {"apr1 rounds=1000", nil}, "$1$s$" + md5[1:]: {"", ErrMalformed}, "$1$" + md5: {"", ErrMalformed},
		"$5$1234567890123456$" + sha256: {"sha256_crypt rounds=5000", nil}, "$5$12345678901234567$" + sha256: {"", ErrMalformed}, "$6$s$" + sha512: {"sha512_crypt rounds=5000", nil}, "$6$s$" + sha256: {"", ErrMalformed},
		"$5$rounds=1000$s$" + sha256: {"sha256_crypt rounds=1000", nil}, "$5$rounds=999$s$" + sha256: {"", ErrRange}, "$5$rounds=2000000$s$" + sha256: {"sha256_crypt rounds=2000000", nil}, "$5$rounds=2000001$s$" + sha256: {"", ErrRange},
		"$5$rounds=1000": {"", ErrMalformed}, "$1$rounds=1$" + md5: {"md5_crypt rounds=1000", nil}, "$5$a:b$" + sha256: {"", ErrMalformed}, "$5$a\nb$" + sha256: {"", ErrMalformed}, "$5$a\x00b$" + sha256: {"", ErrMalformed}, "$5$ab$" + sha256[1:] + "!": {"", ErrMalformed},
		"$5$ab$" + sha256[:20] + "!" + sha256[21:]: {"", ErrMalformed},
	} {
		h, err := Parse(encoded)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%q: got %v, want %v", encoded, err, c.err)
		} else if err == nil && h.Summary() != c.summary {
			t.Errorf("%q is %q, want %q", encoded, h.Summary(), c.summary)
		}
	}
}
