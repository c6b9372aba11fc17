package pwhash

import (
	"encoding/base64"
	"strings"
)

// This file reads the PHC strings of scrypt and PBKDF2; those of argon2 are Django's too. Salt and hash
// are in base 64 without padding.
//
//	$scrypt$ln=<log2 N>,r=<r>,p=<p>$<salt>$<hash>   passlib, libpass, RustCrypto
//	$pbkdf2-sha256$i=<n>$<salt>$<hash>              the form of the PHC specification
//	$pbkdf2-sha256$i=<n>,l=<length>$<salt>$<hash>   RustCrypto
//	$pbkdf2-sha256$<n>$<salt>$<hash>                passlib, with "." for "+"
//
// PBKDF2 is also there with SHA-512 and SHA-1, which passlib calls "pbkdf2" alone.

// minPHCHash is the least length of a hash, in bytes: 128 bits.
const minPHCHash = 16

// phcFields splits what follows the name into parameters, salt and hash.
func phcFields(algorithm, rest string, most int) (params, salt string, hash []byte, err error) {
	f := strings.Split(rest, "$")
	if len(f) != 3 {
		return "", "", nil, malformed(algorithm, "%d fields, not 4", len(f)+1)
	}
	raw, ok := canonicalBase64(base64.RawStdEncoding, f[1])
	if !ok {
		return "", "", nil, malformed(algorithm, "the salt is not base 64 without padding")
	}
	if n := len(raw); n > maxSalt {
		return "", "", nil, outOfRange(algorithm, "length of salt", int64(n), 0, maxSalt)
	}
	if hash, ok = canonicalBase64(base64.RawStdEncoding, f[2]); !ok {
		return "", "", nil, malformed(algorithm, "the hash is not base 64 without padding")
	}
	if n := len(hash); n < minPHCHash || n > most {
		return "", "", nil, outOfRange(algorithm, "length of hash", int64(n), minPHCHash, int64(most))
	}
	return f[0], string(raw), hash, nil
}

// parsePHCScrypt reads what follows "$scrypt$".
func parsePHCScrypt(rest string) (Hash, error) {
	const algorithm = "scrypt"
	params, salt, sum, err := phcFields(algorithm, rest, scryptSize)
	if err != nil {
		return nil, err
	}
	var n [3]int64
	f := strings.Split(params, ",")
	if len(f) != len(n) {
		return nil, malformed(algorithm, "%d parameters, not 3", len(f))
	}
	for i, p := range [...]struct {
		prefix, what string
		hi           int64
	}{{"ln=", "ln", 28}, {"r=", "r", maxScryptRP}, {"p=", "p", maxScryptP}} {
		digits, ok := strings.CutPrefix(f[i], p.prefix)
		if !ok {
			return nil, malformed(algorithm, "parameter %d is not %s", i+1, p.what)
		}
		if n[i], err = number(algorithm, p.what, digits, 1, p.hi); err != nil {
			return nil, err
		}
	}
	h := &Scrypt{N: 1 << n[0], R: n[1], P: n[2], Salt: salt, hash: sum}
	if err := h.Check(); err != nil {
		return nil, err
	}
	return h, nil
}

// parsePHCPBKDF2 reads what follows "$pbkdf2-sha256$" and the like.
func parsePHCPBKDF2(ident, rest string) (Hash, error) {
	h := &PBKDF2{SHA1: ident == "pbkdf2" || ident == "pbkdf2-sha1", SHA512: ident == "pbkdf2-sha512"}
	algorithm := h.Algorithm()
	params, _, _ := strings.Cut(rest, "$")
	digits, named := strings.CutPrefix(params, "i=")
	if !named {
		rest = strings.ReplaceAll(rest, ".", "+")
	}
	_, salt, sum, err := phcFields(algorithm, rest, h.size())
	if err != nil {
		return nil, err
	}
	h.Salt, h.hash = salt, sum
	digits, length, ok := strings.Cut(digits, ",")
	if ok {
		length, ok = strings.CutPrefix(length, "l=")
		if !named || !ok {
			return nil, malformed(algorithm, "the parameters are not i, or i and l")
		}
		n, err := number(algorithm, "length", length, minPHCHash, int64(h.size()))
		if err != nil {
			return nil, err
		}
		if n != int64(len(sum)) {
			return nil, malformed(algorithm, "the hash has %d bytes, not %d", len(sum), n)
		}
	}
	if h.Iterations, err = number(algorithm, "iterations", digits, 1, maxPBKDF2Iterations); err != nil {
		return nil, err
	}
	return h, nil
}
