package pwhash

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Bcrypt is bcrypt, with "bcrypt$" in front as in Django or bare as elsewhere
// ($2a$, $2b$, $2y$), and Django's bcrypt_sha256, which hashes the password with
// SHA-256 first and gives bcrypt the hexadecimal digits.
//
// Plain bcrypt looks at 72 bytes and repeats the password, each time with a NUL
// behind it, until it has them. So it cannot tell "a" from "a\x00a", nor passwords that differ behind the 72nd byte:
// Verify refuses passwords with NUL or of more than 72 bytes. New hashes are bcrypt_sha256.
type Bcrypt struct {
	Rounds int // the binary logarithm of the number of rounds
	SHA256 bool
	text   string // "$2b$12$…"
}

// bcryptBase64 is bcrypt's alphabet. Stray bits are found by encoding again.
var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// Lengths in "$2b$12$", salt, checksum.
const (
	bcryptHead     = 7
	bcryptSaltLen  = 22
	bcryptTotalLen = 60
)

func parseDjangoBcrypt(algorithm, rest string) (Hash, error) { return parseBcrypt(algorithm, rest) }

func parseBcrypt(algorithm, s string) (Hash, error) {
	if len(s) != bcryptTotalLen || s[0] != '$' || s[1] != '2' || !strings.Contains("aby", s[2:3]) || s[3] != '$' || s[6] != '$' {
		return nil, malformed(algorithm, "not $2b$, two digits, $ and 53 characters")
	}
	cost, err := number(algorithm, "cost", strings.TrimPrefix(s[4:6], "0"), minBcryptCost, maxBcryptCost)
	if err != nil {
		return nil, err
	}
	if _, ok := canonicalBase64(bcryptBase64, s[bcryptHead:bcryptHead+bcryptSaltLen]); !ok {
		return nil, malformed(algorithm, "the salt is not 16 bytes in bcrypt's base 64")
	}
	if _, ok := canonicalBase64(bcryptBase64, s[bcryptHead+bcryptSaltLen:]); !ok {
		return nil, malformed(algorithm, "the checksum is not 23 bytes in bcrypt's base 64")
	}
	return &Bcrypt{Rounds: int(cost), SHA256: algorithm == "bcrypt_sha256", text: s}, nil
}

// Algorithm implements [Hash].
func (h *Bcrypt) Algorithm() string {
	if h.SHA256 {
		return "bcrypt_sha256"
	}
	return "bcrypt"
}

// Summary implements [Hash].
func (h *Bcrypt) Summary() string { return fmt.Sprintf("%s cost=%d", h.Algorithm(), h.Rounds) }

// Cost implements [Hash] and [Maker].
func (h *Bcrypt) Cost() int64 { return units(1<<h.Rounds, milliBcrypt) }

// Work implements [Hash].
func (h *Bcrypt) Work(passwordLen int) int64 {
	if !h.SHA256 && passwordLen > bcryptLimit {
		return 0
	}
	return h.Cost()
}

// Verify implements [Hash].
func (h *Bcrypt) Verify(password string) bool {
	if !h.SHA256 && len(password) > bcryptLimit {
		return false
	}
	// A NUL is refused after the work, which Work has announced.
	ok := bcrypt.CompareHashAndPassword([]byte(h.text), h.input(password)) == nil
	return ok && (h.SHA256 || strings.IndexByte(password, 0) < 0)
}

func (h *Bcrypt) input(password string) []byte {
	if !h.SHA256 {
		return []byte(password)
	}
	sum := sha256.Sum256([]byte(password))
	return hex.AppendEncode(nil, sum[:])
}

// Check implements [Maker].
func (h *Bcrypt) Check() error {
	if h.Rounds < minBcryptCost || h.Rounds > maxBcryptCost {
		return outOfRange(h.Algorithm(), "cost", int64(h.Rounds), minBcryptCost, maxBcryptCost)
	}
	return nil
}

// Make implements [Maker].
func (h *Bcrypt) Make(password string) (string, error) {
	b, err := bcrypt.GenerateFromPassword(h.input(password), h.Rounds)
	if err != nil {
		return "", err
	}
	// x/crypto writes "$2a$". For what it computes, that and "$2b$" are the same.
	return h.Algorithm() + "$$2b$" + string(b[4:]), nil
}

// burn implements [Maker]: hashes of as many rounds as fit, then of ever fewer.
func (h *Bcrypt) burn(password string, budget int64) (int64, error) {
	var spent int64
	for cost := maxBcryptCost; cost >= minBcryptCost; cost-- {
		d := Bcrypt{Rounds: cost, SHA256: true, text: fmt.Sprintf("$2b$%02d$%s", cost, dummyBcrypt)}
		for d.Cost() <= budget-spent {
			d.Verify(password)
			spent += d.Cost()
		}
	}
	return spent, nil
}

// dummyBcrypt is salt and checksum of no password that is known.
const dummyBcrypt = "abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde"
