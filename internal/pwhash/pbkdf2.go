package pwhash

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
)

// PBKDF2 is PBKDF2 with HMAC and SHA-256 or SHA-1, as Django encodes it:
// pbkdf2_sha256$<iterations>$<salt>$<base64>. In PHC strings it may be SHA-512 too; see phc.go. New hashes are of SHA-256.
type PBKDF2 struct {
	Iterations int64
	SHA1       bool
	SHA512     bool
	Salt       string
	hash       []byte // of a PHC string, it may be shorter than the digest
}

func parsePBKDF2(algorithm, rest string) (Hash, error) {
	f := strings.SplitN(rest, "$", 3)
	if len(f) != 3 {
		return nil, malformed(algorithm, "%d fields, not 4", len(f)+1)
	}
	h := &PBKDF2{SHA1: algorithm == "pbkdf2_sha1", Salt: f[1]}
	var err error
	if h.Iterations, err = number(algorithm, "iterations", f[0], 1, maxPBKDF2Iterations); err != nil {
		return nil, err
	}
	if err := checkSalt(algorithm, h.Salt); err != nil {
		return nil, err
	}
	var ok bool
	if h.hash, ok = canonicalBase64(base64.StdEncoding, f[2]); !ok || len(h.hash) != h.size() {
		return nil, malformed(algorithm, "the hash is not %d bytes in base 64", h.size())
	}
	return h, nil
}

// digest returns what HMAC is made of.
func (h *PBKDF2) digest() func() hash.Hash {
	switch {
	case h.SHA1:
		return sha1.New
	case h.SHA512:
		return sha512.New
	}
	return sha256.New
}

func (h *PBKDF2) size() int {
	return h.digest()().Size()
}

// Algorithm implements [Hash].
func (h *PBKDF2) Algorithm() string {
	switch {
	case h.SHA1:
		return "pbkdf2_sha1"
	case h.SHA512:
		return "pbkdf2_sha512"
	}
	return "pbkdf2_sha256"
}

// Summary implements [Hash].
func (h *PBKDF2) Summary() string {
	return fmt.Sprintf("%s iterations=%d", h.Algorithm(), h.Iterations)
}

// Cost implements [Hash] and [Maker].
func (h *PBKDF2) Cost() int64 {
	switch {
	case h.SHA1:
		return units(h.Iterations, milliPBKDF2SHA1)
	case h.SHA512:
		return units(h.Iterations, milliPBKDF2SHA512)
	}
	return h.Iterations
}

// Work implements [Hash].
func (h *PBKDF2) Work(int) int64 { return h.Cost() }

// Verify implements [Hash].
func (h *PBKDF2) Verify(password string) bool {
	got, err := h.key(password, h.Salt, len(h.hash))
	return err == nil && equal(got, h.hash)
}

func (h *PBKDF2) key(password, salt string, size int) ([]byte, error) {
	return pbkdf2.Key(h.digest(), password, []byte(salt), int(h.Iterations), size)
}

// Check implements [Maker].
func (h *PBKDF2) Check() error {
	if h.Iterations < 1 || h.Iterations > maxPBKDF2Iterations {
		return outOfRange(h.Algorithm(), "iterations", h.Iterations, 1, maxPBKDF2Iterations)
	}
	return nil
}

// Make implements [Maker].
func (h *PBKDF2) Make(password string) (string, error) {
	salt, err := newSalt()
	if err != nil {
		return "", err
	}
	key, err := h.key(password, salt, h.size())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s$%d$%s$%s", h.Algorithm(), h.Iterations, salt, base64.StdEncoding.EncodeToString(key)), nil
}

// burn implements [Maker]: all of it is left to Burn, whose iterations are of the same kind.
func (h *PBKDF2) burn(string, int64) (int64, error) { return 0, nil }
