// Package pwhash reads, verifies and makes encoded password hashes: those of
// Django, whose text it reproduces to the byte, and the older forms that user
// bases bring along.
//
// [Parse] reads any of them and does no work that depends on their parameters;
// what it accepts is bounded, so that verifying it is too. [PBKDF2], [Argon2],
// [Bcrypt] and [Scrypt] also make new hashes. Work is counted in units; see
// cost.go.
//
// A hash is accepted in its canonical form only: no leading zeros or signs in
// numbers, no missing or surplus padding, no upper-case hexadecimal digits. Django
// compares the whole text, so no other form ever verified there either. Hashes
// are compared in constant time.
//
// Nothing here is mutable after Parse; all of it may be used concurrently.
package pwhash

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Hash is a parsed password hash.
type Hash interface {
	// Algorithm is Django's name, such as "pbkdf2_sha256", or one of the same
	// kind for what Django does not know.
	Algorithm() string
	// Summary names the algorithm and its cost for people. It holds
	// nothing of salt and hash.
	Summary() string
	// Cost is the most units that verifying a password can take. 0 means
	// that the form is known but cannot be verified.
	Cost() int64
	// Work is how many units Verify will spend on a password of that many bytes.
	// 0 means that Verify refuses it without work.
	Work(passwordLen int) int64
	// Verify reports whether the password is right.
	Verify(password string) bool
}

// A Maker makes hashes, with a new random salt for each. The makers are Hashes
// with the parameters set and the salt absent.
type Maker interface {
	// Check reports parameters out of bounds; the error wraps [ErrRange].
	Check() error
	// Make returns the encoded hash of a password.
	Make(password string) (string, error)
	// Cost is how many units Make takes, and verifying what it made.
	Cost() int64
	// burn does work of the same kind, up to the given units, and returns how many it spent.
	burn(password string, units int64) (int64, error)
}

// Errors of Parse and Check.
var (
	// ErrUnknown means that the text is of no form that is known here. Empty
	// text and Django's unusable passwords ("!…") are among them.
	ErrUnknown = errors.New("unknown algorithm")
	// ErrMalformed means that the algorithm is known and the rest cannot be
	// read, or is not in canonical form: nothing verifies it.
	ErrMalformed = errors.New("malformed hash")
	// ErrRange means that a parameter is out of the bounds set here.
	ErrRange = errors.New("parameter out of bounds")
	// ErrTooLong means that the text has more than MaxEncoded bytes.
	ErrTooLong = errors.New("encoded hash too long")
)

// Bounds on lengths, in bytes. Those on work are in cost.go.
const (
	// MaxEncoded is the longest encoded hash. Django's column holds 128; the
	// longest form with the longest salt and hash needs some 800.
	MaxEncoded = 1024
	// MaxPassword is the longest password that is hashed. It is far above any that a
	// person has, and costs less to take in than the cheapest sensible hash.
	MaxPassword = 4096

	maxSalt      = 256 // Django's are 22; nobody needs more than a digest's block
	minArgonSalt = 8   // libargon2's minimum
	minTag       = 4   // libargon2's minimum
	maxTag       = 128 // above any in use (64)
	newSaltLen   = 22  // characters of 62: 131 bits, as in Django
	bcryptLimit  = 72  // bytes of a password that bcrypt looks at
)

// Parse reads an encoded hash. The error wraps [ErrUnknown], [ErrMalformed],
// [ErrRange] or [ErrTooLong] and holds nothing of the text but numbers.
func Parse(encoded string) (Hash, error) {
	if len(encoded) > MaxEncoded {
		return nil, ErrTooLong
	}
	switch {
	case encoded == "" || encoded[0] == '!':
		return nil, ErrUnknown
	case encoded[0] == '$':
		return parseModular(encoded)
	case encoded[0] == '{':
		return parseLDAP(encoded)
	case len(encoded) == 2*md5Size && !strings.Contains(encoded, "$"):
		return parseUnsalted("unsalted_md5", md5Size, encoded)
	}
	algorithm, rest, ok := strings.Cut(encoded, "$")
	parse, known := djangoForms[algorithm]
	if !known {
		return nil, ErrUnknown
	}
	if !ok {
		return nil, malformed(algorithm, "nothing follows the name")
	}
	return parse(algorithm, rest)
}

// djangoForms are the parsers for what follows the algorithm and a dollar sign.
var djangoForms = map[string]func(algorithm, rest string) (Hash, error){
	"pbkdf2_sha256": parsePBKDF2,
	"pbkdf2_sha1":   parsePBKDF2,
	"argon2":        parseArgon2,
	"bcrypt":        parseDjangoBcrypt,
	"bcrypt_sha256": parseDjangoBcrypt,
	"scrypt":        parseScrypt,
	"md5":           parseSaltedDigest,
	"sha1":          parseSaltedDigest,
}

// Known returns Django's name of the algorithm that the text claims to be of,
// or "", whether or not the rest can be read.
func Known(encoded string) string {
	h, err := Parse(encoded)
	if err == nil {
		return h.Algorithm()
	}
	if name, _, _ := strings.Cut(encoded, "$"); djangoForms[name] != nil {
		return name
	}
	return ""
}

// parseModular reads the forms of crypt(3) and PHC strings.
func parseModular(encoded string) (Hash, error) {
	ident, rest, _ := strings.Cut(encoded[1:], "$")
	switch ident {
	case "2a", "2b", "2y":
		return parseBcrypt("bcrypt", encoded)
	case "argon2id", "argon2i", "argon2d":
		return parseArgon2("argon2", encoded[1:])
	case "1", "apr1", "5", "6":
		return parseCrypt(ident, rest)
	case "scrypt":
		return parsePHCScrypt(rest)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePHCPBKDF2(ident, rest)
	}
	return nil, ErrUnknown
}

func malformed(algorithm, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", algorithm, ErrMalformed, fmt.Sprintf(format, args...))
}

func outOfRange(algorithm, what string, got, lo, hi int64) error {
	return fmt.Errorf("%s: %w: %s is %d, not within %d to %d", algorithm, ErrRange, what, got, lo, hi)
}

// number reads a decimal number in canonical form. What does not fit in 63 bits
// is out of any range.
func number(algorithm, what, s string, lo, hi int64) (int64, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, malformed(algorithm, "%s is not a number", what)
		}
	}
	if s == "" || s[0] == '0' && len(s) > 1 {
		return 0, malformed(algorithm, "%s is not a number in canonical form", what)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s has %d digits", algorithm, ErrRange, what, len(s))
	}
	if n < lo || n > hi {
		return 0, outOfRange(algorithm, what, n, lo, hi)
	}
	return n, nil
}

// checkSalt is Django's rule, and the bound.
func checkSalt(algorithm, salt string) error {
	if salt == "" || strings.Contains(salt, "$") {
		return malformed(algorithm, "no salt, or one with a dollar sign")
	}
	if len(salt) > maxSalt {
		return outOfRange(algorithm, "length of salt", int64(len(salt)), 1, maxSalt)
	}
	return nil
}

// canonicalBase64 decodes s if it is what encoding gives for the result. The
// decoder alone would pass over line ends and stray bits.
func canonicalBase64(enc *base64.Encoding, s string) ([]byte, bool) {
	b, err := enc.DecodeString(s)
	return b, err == nil && enc.EncodeToString(b) == s
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

const saltAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// newSalt returns 22 random letters and digits. If the system's source of
// randomness fails, so does it.
func newSalt() (string, error) {
	salt := make([]byte, 0, newSaltLen)
	var buf [2 * newSaltLen]byte
	for len(salt) < newSaltLen {
		if _, err := io.ReadFull(rand.Reader, buf[:]); err != nil {
			return "", fmt.Errorf("no random salt: %w", err)
		}
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte; what is above would
			// make some characters likelier.
			if b < 248 && len(salt) < newSaltLen {
				salt = append(salt, saltAlphabet[b%62])
			}
		}
	}
	return string(salt), nil
}
