package pwhash

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// Scrypt is scrypt as Django encodes it: scrypt$<N>$<salt>$<r>$<p>$<base64 of 64 bytes>, or as a PHC string; see phc.go.
type Scrypt struct {
	N, R, P int64
	Salt    string
	hash    []byte // 64 bytes, or fewer in a PHC string
}

const scryptSize = 64

func parseScrypt(algorithm, rest string) (Hash, error) {
	f := strings.Split(rest, "$")
	if len(f) != 5 {
		return nil, malformed(algorithm, "%d fields, not 6", len(f)+1)
	}
	h := &Scrypt{Salt: f[1]}
	for _, p := range []struct {
		to   *int64
		what string
		s    string
		hi   int64
	}{
		{&h.N, "N", f[0], maxScryptMemory},
		{&h.R, "r", f[2], maxScryptRP},
		{&h.P, "p", f[3], maxScryptP},
	} {
		var err error
		if *p.to, err = number(algorithm, p.what, p.s, 1, p.hi); err != nil {
			return nil, err
		}
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	if err := checkSalt(algorithm, h.Salt); err != nil {
		return nil, err
	}
	var ok bool
	if h.hash, ok = canonicalBase64(base64.StdEncoding, f[4]); !ok || len(h.hash) != scryptSize {
		return nil, malformed(algorithm, "the hash is not %d bytes in base 64", scryptSize)
	}
	return h, nil
}

// Check implements [Maker].
func (h *Scrypt) Check() error {
	if h.N < 2 || h.N > maxScryptMemory || bits.OnesCount64(uint64(h.N)) != 1 {
		return fmt.Errorf("scrypt: %w: N is %d, not a power of two from 2", ErrRange, h.N)
	}
	if h.P < 1 || h.P > maxScryptP {
		return outOfRange("scrypt", "p", h.P, 1, maxScryptP)
	}
	if h.R < 1 || h.R > maxScryptRP || h.R*h.P > maxScryptRP {
		return outOfRange("scrypt", "r", h.R, 1, maxScryptRP/h.P)
	}
	if n := 128 * h.N * h.R; n > maxScryptMemory {
		return outOfRange("scrypt", "memory in bytes", n, 256, maxScryptMemory)
	}
	if n := h.N * h.R * h.P; n > maxScryptWork {
		return outOfRange("scrypt", "N*r*p", n, 2, maxScryptWork)
	}
	return nil
}

// Algorithm implements [Hash].
func (h *Scrypt) Algorithm() string { return "scrypt" }

// Summary implements [Hash].
func (h *Scrypt) Summary() string { return fmt.Sprintf("scrypt N=%d r=%d p=%d", h.N, h.R, h.P) }

// Cost implements [Hash] and [Maker].
func (h *Scrypt) Cost() int64 { return units(h.N*h.R*h.P, milliScrypt) }

// Work implements [Hash].
func (h *Scrypt) Work(int) int64 { return h.Cost() }

// Verify implements [Hash].
func (h *Scrypt) Verify(password string) bool {
	got, err := h.key(password, h.Salt, len(h.hash))
	return err == nil && equal(got, h.hash)
}

func (h *Scrypt) key(password, salt string, size int) ([]byte, error) {
	return scrypt.Key([]byte(password), []byte(salt), int(h.N), int(h.R), int(h.P), size)
}

// Make implements [Maker].
func (h *Scrypt) Make(password string) (string, error) {
	salt, err := newSalt()
	if err != nil {
		return "", err
	}
	key, err := h.key(password, salt, scryptSize)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("scrypt$%d$%s$%d$%d$%s", h.N, salt, h.R, h.P, base64.StdEncoding.EncodeToString(key)), nil
}

// burn implements [Maker]: whole lanes with the same memory, then ever smaller ones.
func (h *Scrypt) burn(password string, budget int64) (int64, error) {
	var spent int64
	d := Scrypt{N: h.N, R: h.R}
	for d.N >= 2 {
		// The estimate can be one too high, since costs are rounded up.
		d.P = (budget - spent) * 1000 / (milliScrypt * d.N * d.R)
		if d.P > 0 && d.Cost() > budget-spent {
			d.P--
		}
		if d.P = min(d.P, maxScryptP, maxScryptRP/d.R); d.P == 0 {
			d.N /= 2
			continue
		}
		if _, err := d.key(password, string(dummySalt), scryptSize); err != nil {
			return spent, err
		}
		spent += d.Cost()
	}
	return spent, nil
}
