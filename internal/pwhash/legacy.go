package pwhash

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Digest is a single MD5 or SHA-1 over password and salt. It protects nothing
// and is read so that its users can log in and get a better hash:
//
//	md5$<salt>$<hex>      Django's MD5PasswordHasher, salt first
//	sha1$<salt>$<hex>     Django before 5.1, salt first
//	md5$$<hex>, <hex>     Django before 5.1, "unsalted_md5"
//	sha1$$<hex>, {SHA}…   Django before 5.1, "unsalted_sha1", and htpasswd
//	{SSHA}…               RFC 2307 and OpenLDAP, salt last
type Digest struct {
	algorithm string
	prefix    string // salt before the password
	suffix    string // salt behind it
	sum       []byte
}

const (
	md5Size  = md5.Size
	sha1Size = sha1.Size
)

// parseSaltedDigest reads what follows "md5$" or "sha1$".
func parseSaltedDigest(algorithm, rest string) (Hash, error) {
	size := md5Size
	if algorithm == "sha1" {
		size = sha1Size
	}
	salt, digits, ok := strings.Cut(rest, "$")
	if !ok {
		return nil, malformed(algorithm, "no hash")
	}
	if salt == "" {
		return parseUnsalted("unsalted_"+algorithm, size, digits)
	}
	if err := checkSalt(algorithm, salt); err != nil {
		return nil, err
	}
	sum, err := hexDigest(algorithm, size, digits)
	if err != nil {
		return nil, err
	}
	return &Digest{algorithm: algorithm, prefix: salt, sum: sum}, nil
}

// parseUnsalted reads a bare digest. If it is none, the text was of no known form at all.
func parseUnsalted(algorithm string, size int, digits string) (Hash, error) {
	sum, err := hexDigest(algorithm, size, digits)
	if err != nil {
		return nil, ErrUnknown
	}
	return &Digest{algorithm: algorithm, sum: sum}, nil
}

func hexDigest(algorithm string, size int, digits string) ([]byte, error) {
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != size || hex.EncodeToString(sum) != digits {
		return nil, malformed(algorithm, "the hash is not %d digits of lower-case hexadecimal", 2*size)
	}
	return sum, nil
}

// parseLDAP reads {SHA} and {SSHA}.
func parseLDAP(encoded string) (Hash, error) {
	if b64, ok := strings.CutPrefix(encoded, "{SHA}"); ok {
		sum, ok := canonicalBase64(base64.StdEncoding, b64)
		if !ok || len(sum) != sha1Size {
			return nil, malformed("unsalted_sha1", "not %d bytes in base 64", sha1Size)
		}
		return &Digest{algorithm: "unsalted_sha1", sum: sum}, nil
	}
	b64, ok := strings.CutPrefix(encoded, "{SSHA}")
	if !ok {
		return nil, ErrUnknown
	}
	b, ok := canonicalBase64(base64.StdEncoding, b64)
	if !ok || len(b) <= sha1Size || len(b) > sha1Size+maxSalt {
		return nil, malformed("ssha", "not %d bytes and a salt in base 64", sha1Size)
	}
	return &Digest{algorithm: "ssha", suffix: string(b[sha1Size:]), sum: b[:sha1Size]}, nil
}

// Algorithm implements [Hash].
func (h *Digest) Algorithm() string { return h.algorithm }

// Summary implements [Hash].
func (h *Digest) Summary() string { return h.algorithm }

// Cost implements [Hash]. Even the longest password is nothing beside any other algorithm.
func (h *Digest) Cost() int64 { return 1 }

// Work implements [Hash].
func (h *Digest) Work(int) int64 { return 1 }

// Verify implements [Hash].
func (h *Digest) Verify(password string) bool {
	text := []byte(h.prefix + password + h.suffix)
	if len(h.sum) == md5Size {
		got := md5.Sum(text)
		return equal(got[:], h.sum)
	}
	got := sha1.Sum(text)
	return equal(got[:], h.sum)
}

// Legacy reports whether h is of a form that current versions of Django do not
// verify either: unsalted, or SHA-1.
func (h *Digest) Legacy() bool { return h.algorithm != "md5" }

// Salt returns the salt.
func (h *Digest) Salt() string { return h.prefix + h.suffix }
