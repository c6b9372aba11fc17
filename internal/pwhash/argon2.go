package pwhash

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2 is argon2id or argon2i in version 19, as in PHC strings and, with
// "argon2" in front, in Django: argon2$argon2id$v=19$m=…,t=…,p=…$salt$tag. Argon2d and version 16 are
// read but not verified, for want of an implementation. New hashes are argon2id
// with a tag of 32 bytes.
type Argon2 struct {
	Variety string // "argon2id", "argon2i" or "argon2d"; "" makes argon2id
	Version int    // 19, or something else that cannot be verified; 0 makes 19
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
	Salt    []byte
	Tag     []byte
}

// newTagLen is the length of new tags, as in Django.
const newTagLen = 32

// defaultOldVersion is what a string without version field has.
const defaultOldVersion = 16

func parseArgon2(algorithm, rest string) (Hash, error) {
	f := strings.Split(rest, "$")
	h := &Argon2{Variety: f[0], Version: defaultOldVersion}
	if h.Variety != "argon2id" && h.Variety != "argon2i" && h.Variety != "argon2d" {
		return nil, malformed(algorithm, "unknown variety")
	}
	f = f[1:]
	if len(f) > 0 && strings.HasPrefix(f[0], "v=") {
		v, err := number(algorithm, "version", f[0][2:], 1, 1<<16) // 0 would be a maker's
		if err != nil {
			return nil, err
		}
		h.Version, f = int(v), f[1:]
	}
	if len(f) != 3 {
		return nil, malformed(algorithm, "%d fields behind the version, not 3", len(f))
	}
	if err := h.parseParams(algorithm, f[0]); err != nil {
		return nil, err
	}
	var ok bool
	if h.Salt, ok = canonicalBase64(base64.RawStdEncoding, f[1]); !ok {
		return nil, malformed(algorithm, "the salt is not base 64 without padding")
	}
	if h.Tag, ok = canonicalBase64(base64.RawStdEncoding, f[2]); !ok {
		return nil, malformed(algorithm, "the tag is not base 64 without padding")
	}
	if n := len(h.Salt); n < minArgonSalt || n > maxSalt {
		return nil, outOfRange(algorithm, "length of salt", int64(n), minArgonSalt, maxSalt)
	}
	if n := len(h.Tag); n < minTag || n > maxTag {
		return nil, outOfRange(algorithm, "length of tag", int64(n), minTag, maxTag)
	}
	return h, nil
}

// parseParams reads "m=…,t=…,p=…", in this order only, as libargon2 does.
func (h *Argon2) parseParams(algorithm, s string) error {
	var n [3]int64
	f := strings.Split(s, ",")
	if len(f) != len(n) {
		return malformed(algorithm, "%d parameters, not 3", len(f))
	}
	for i, p := range [...]struct {
		prefix, what string
		hi           int64
	}{
		{"m=", "memory", maxArgon2Memory},
		{"t=", "time", maxArgon2Time},
		{"p=", "threads", maxArgon2Threads},
	} {
		digits, ok := strings.CutPrefix(f[i], p.prefix)
		if !ok {
			return malformed(algorithm, "parameter %d is not %s", i+1, p.what)
		}
		var err error
		if n[i], err = number(algorithm, p.what, digits, 1, p.hi); err != nil {
			return err
		}
	}
	h.Memory, h.Time, h.Threads = uint32(n[0]), uint32(n[1]), uint8(n[2])
	return h.Check()
}

// Check implements [Maker].
func (h *Argon2) Check() error {
	if h.Threads < 1 || h.Threads > maxArgon2Threads {
		return outOfRange("argon2", "threads", int64(h.Threads), 1, maxArgon2Threads)
	}
	if h.Time < 1 || h.Time > maxArgon2Time {
		return outOfRange("argon2", "time", int64(h.Time), 1, maxArgon2Time)
	}
	if lo := 8 * uint32(h.Threads); h.Memory < lo || h.Memory > maxArgon2Memory {
		return outOfRange("argon2", "memory in KiB", int64(h.Memory), int64(lo), maxArgon2Memory)
	}
	if n := int64(h.Memory) * int64(h.Time); n > maxArgon2Passes {
		return outOfRange("argon2", "memory times time", n, 8, maxArgon2Passes)
	}
	return nil
}

// Algorithm implements [Hash].
func (h *Argon2) Algorithm() string { return "argon2" }

// Summary implements [Hash].
func (h *Argon2) Summary() string {
	version := ""
	if h.Version != argon2.Version {
		version = fmt.Sprintf(" v=%d", h.Version)
	}
	return fmt.Sprintf("%s%s m=%d t=%d p=%d", h.Variety, version, h.Memory, h.Time, h.Threads)
}

func (h *Argon2) supported() bool { return h.Variety != "argon2d" && h.Version == argon2.Version }

// Cost implements [Hash] and [Maker]. It is the work of all threads together.
func (h *Argon2) Cost() int64 {
	if h.Version != 0 && !h.supported() {
		return 0
	}
	return h.costOf(int64(h.Time))
}

func (h *Argon2) costOf(passes int64) int64 { return units(int64(h.Memory)*passes, milliArgon2) }

// Work implements [Hash].
func (h *Argon2) Work(int) int64 { return h.Cost() }

// Verify implements [Hash].
func (h *Argon2) Verify(password string) bool {
	return h.supported() && equal(h.key(password, h.Salt, h.Time, len(h.Tag)), h.Tag)
}

func (h *Argon2) key(password string, salt []byte, time uint32, n int) []byte {
	if h.Variety == "argon2i" {
		return argon2.Key([]byte(password), salt, time, h.Memory, h.Threads, uint32(n))
	}
	return argon2.IDKey([]byte(password), salt, time, h.Memory, h.Threads, uint32(n))
}

// Make implements [Maker].
func (h *Argon2) Make(password string) (string, error) {
	salt, err := newSalt()
	if err != nil {
		return "", err
	}
	tag := argon2.IDKey([]byte(password), []byte(salt), h.Time, h.Memory, h.Threads, newTagLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("argon2$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.Memory, h.Time, h.Threads, b64([]byte(salt)), b64(tag)), nil
}

// burn implements [Maker]: passes over the same memory.
func (h *Argon2) burn(password string, budget int64) (int64, error) {
	var spent int64
	for {
		// The estimate can be one too high, since costs are rounded up.
		passes := (budget - spent) * 1000 / (milliArgon2 * int64(h.Memory))
		if passes > 0 && h.costOf(passes) > budget-spent {
			passes--
		}
		if passes = min(passes, maxArgon2Time); passes == 0 {
			return spent, nil
		}
		h.key(password, dummySalt, uint32(passes), newTagLen)
		spent += h.costOf(passes)
	}
}
