package latchbolt

import (
	"errors"
	"fmt"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// A PasswordHash is an encoded password hash, such as
// "argon2$argon2id$v=19$m=19456,t=2,p=1$…" in Django's form. It prints as
// "[redacted]"; [PasswordHash.Reveal] gives the text. The zero PasswordHash is
// an unusable password: nothing matches it. Two are the same hash if they are ==.
type PasswordHash struct {
	redact
	encoded string
	pepper  uint16 // number of the pepper mixed in; 0 = none
}

// ParsePasswordHash takes over a hash that was made elsewhere. It reads what
// Django writes: pbkdf2_sha256, pbkdf2_sha1, argon2, bcrypt_sha256, bcrypt,
// scrypt and md5; and besides PHC strings of argon2id, argon2i, scrypt ($scrypt$ln=…,r=…,p=…$) and PBKDF2
// ($pbkdf2-sha256$…, -sha512, -sha1, also as passlib writes them), bcrypt without prefix ($2a$, $2b$, $2y$), SHA-crypt ($5$, $6$), MD5-crypt ($1$, $apr1$) and, if
// [Config].LegacyHashes is set, the forms of Django before 5.1 (salted SHA-1, unsalted
// MD5 and SHA-1) and {SHA} and {SSHA}.
//
// What is of none of these forms is kept as it is and matches no password: unusable
// passwords ("!…"), hashes of algorithms that nobody here knows or that a [Hasher] of the program's own
// verifies, and those of argon2d and of argon2's version 16. The empty text gives the zero PasswordHash.
//
// The error is a [*FieldError] for "password": "invalid" for a known algorithm
// whose rest cannot be read or is not in the one form in which Django would
// have written it, "out_of_range" for parameters whose work or memory is beyond what is
// let in, "max_length" for a text of more than 1,024 bytes.
func ParsePasswordHash(encoded string) (PasswordHash, error) {
	_, err := pwhash.Parse(encoded)
	if err == nil || errors.Is(err, pwhash.ErrUnknown) {
		return PasswordHash{encoded: encoded}, nil
	}
	return PasswordHash{}, hashError(err)
}

// hashError says in a FieldError what pwhash found wrong with a hash.
func hashError(err error) error {
	code := "invalid"
	switch {
	case errors.Is(err, pwhash.ErrRange):
		code = "out_of_range"
	case errors.Is(err, pwhash.ErrTooLong):
		code = "max_length"
	}
	return &FieldError{Field: "password", Code: code, Msg: "The password hash was refused: " + err.Error() + "."}
}

// Reveal returns the encoded text, for export. It is secret: whoever has it can guess
// passwords as fast as their machines allow. A hash with a pepper
// verifies only together with the key of [PasswordHash.Pepper].
func (h PasswordHash) Reveal() string { return h.encoded }

// Usable reports whether h is not one of Django's unusable passwords: those begin with
// "!". The zero PasswordHash is not usable either, whereas Django calls an empty
// hash usable. As in Django, a usable hash need not be one that a password can match.
func (h PasswordHash) Usable() bool { return h.encoded != "" && h.encoded[0] != '!' }

// Pepper returns the ID of the [Pepper] that was mixed into the password; 0 is none.
func (h PasswordHash) Pepper() uint16 { return h.pepper }

// HashInfo describes how a password is kept, without the hash.
type HashInfo struct {
	// Usable is what [PasswordHash.Usable] says.
	Usable bool
	// Algorithm is "argon2", "pbkdf2_sha256" and so on; "" if unknown or unusable.
	Algorithm string
	// Summary is algorithm and cost for people, such as "argon2id m=19456 t=2 p=1";
	// "" if there is no algorithm.
	Summary string
}

// Info describes h.
func (h PasswordHash) Info() HashInfo {
	info := HashInfo{Usable: h.Usable()}
	parsed, err := pwhash.Parse(h.encoded)
	if err == nil {
		info.Algorithm, info.Summary = parsed.Algorithm(), parsed.Summary()
	} else if info.Algorithm = pwhash.Known(h.encoded); info.Algorithm != "" {
		info.Summary = info.Algorithm + ", damaged"
	}
	return info
}

// A Hasher makes and verifies the hashes of one algorithm. [Argon2id],
// [PBKDF2SHA256], [BcryptSHA256] and [Scrypt] are Hashers; a program can bring its own. Then its methods
// must be safe for concurrent use. A panic in one of them counts as an error.
type Hasher interface {
	// Algorithm is the name under which the hashes are found: an encoded hash begins
	// with it and a dollar sign, as in Django.
	Algorithm() string
	// Hash returns the encoded hash of a password, with a new random salt.
	Hash(password string) (encoded string, err error)
	// Verify reports whether password is the one that encoded was made of. The
	// comparison takes the same time whatever the password is. An error is
	// taken for a wrong password.
	Verify(password, encoded string) (bool, error)
	// Outdated reports whether a hash of this algorithm should be made anew: it is
	// weaker than what Hash makes. It is never true for a stronger one.
	Outdated(encoded string) bool
	// Work returns the work of verifying any password against encoded, in units of one iteration
	// of PBKDF2-HMAC-SHA256, at least 1 and at most 200,000,000 (half a minute or so). It does no work of that order itself. Every failed login is
	// made to cost the same, so a wrong answer here tells users apart by time.
	Work(encoded string) (units int64, err error)
}

// DefaultHashers returns Argon2id, PBKDF2SHA256, BcryptSHA256 and Scrypt, with
// their default parameters. The first makes new hashes.
func DefaultHashers() []Hasher {
	return []Hasher{Argon2id{}, PBKDF2SHA256{}, BcryptSHA256{}, Scrypt{}}
}

// Argon2id makes hashes with argon2id (RFC 9106) in version 19:
// argon2$argon2id$v=19$m=…,t=…,p=…$…$…. Zero fields are the minimum that the OWASP
// Password Storage Cheat Sheet gives: 19,456 KiB, 2 passes, 1 thread. Django's own
// are 102,400, 2 and 8. Each hash under way needs Memory, of which the garbage
// collector may keep as much again for a while; see [Config].HashSlots.
type Argon2id struct {
	Memory  uint32 // KiB, 8 for each thread to 1,048,576 (1 GiB)
	Time    uint32 // passes over the memory, 1 to 64; Memory*Time is at most 4 GiB
	Threads uint8  // 1 to 64
}

func (a Argon2id) maker() pwhash.Maker {
	return &pwhash.Argon2{Memory: or(a.Memory, 19_456), Time: or(a.Time, 2), Threads: or(a.Threads, 1)}
}

// Algorithm returns "argon2".
func (a Argon2id) Algorithm() string { return "argon2" }

// Hash implements [Hasher].
func (a Argon2id) Hash(password string) (string, error) { return makeHash(a.maker(), password) }

// Verify implements [Hasher].
func (a Argon2id) Verify(password, encoded string) (bool, error) {
	return verifyHash(a.Algorithm(), password, encoded)
}

// Work implements [Hasher]. A KiB in one pass is 3.5 units.
func (a Argon2id) Work(encoded string) (int64, error) { return hashWork(a.Algorithm(), encoded) }

// Outdated implements [Hasher]. Apart from a lower cost it is less memory, another
// variety, a shorter tag, or a salt of under 128 bits, unless the cost is higher.
func (a Argon2id) Outdated(encoded string) bool {
	return outdatedHash(a.maker(), a.Algorithm(), encoded)
}

// PBKDF2SHA256 makes hashes with PBKDF2-HMAC-SHA256, Django's default:
// pbkdf2_sha256$<iterations>$<salt>$<hash>.
type PBKDF2SHA256 struct {
	// Iterations is 1 to 10,000,000. 0 means 600,000, the minimum of the OWASP
	// Password Storage Cheat Sheet. Django 5.2 has 1,000,000.
	Iterations int
}

func (p PBKDF2SHA256) maker() pwhash.Maker {
	return &pwhash.PBKDF2{Iterations: int64(or(p.Iterations, 600_000))}
}

// Algorithm returns "pbkdf2_sha256".
func (p PBKDF2SHA256) Algorithm() string { return "pbkdf2_sha256" }

// Hash implements [Hasher].
func (p PBKDF2SHA256) Hash(password string) (string, error) { return makeHash(p.maker(), password) }

// Verify implements [Hasher].
func (p PBKDF2SHA256) Verify(password, encoded string) (bool, error) {
	return verifyHash(p.Algorithm(), password, encoded)
}

// Work implements [Hasher]. An iteration is the unit.
func (p PBKDF2SHA256) Work(encoded string) (int64, error) { return hashWork(p.Algorithm(), encoded) }

// Outdated implements [Hasher]. Fewer iterations are outdated, and so is a salt
// of under 128 bits, unless the hash has more iterations.
func (p PBKDF2SHA256) Outdated(encoded string) bool {
	return outdatedHash(p.maker(), p.Algorithm(), encoded)
}

// BcryptSHA256 makes hashes with bcrypt over the SHA-256 of the password, so that
// all of a long password counts: bcrypt_sha256$$2b$<cost>$….
type BcryptSHA256 struct {
	// Cost is the binary logarithm of the number of rounds, 4 to 16. 0 means 12, as in Django;
	// the minimum of the OWASP Password Storage Cheat Sheet is 10.
	Cost int
}

func (b BcryptSHA256) maker() pwhash.Maker {
	return &pwhash.Bcrypt{Rounds: or(b.Cost, 12), SHA256: true}
}

// Algorithm returns "bcrypt_sha256".
func (b BcryptSHA256) Algorithm() string { return "bcrypt_sha256" }

// Hash implements [Hasher].
func (b BcryptSHA256) Hash(password string) (string, error) { return makeHash(b.maker(), password) }

// Verify implements [Hasher].
func (b BcryptSHA256) Verify(password, encoded string) (bool, error) {
	return verifyHash(b.Algorithm(), password, encoded)
}

// Work implements [Hasher]. A round is 380 units.
func (b BcryptSHA256) Work(encoded string) (int64, error) { return hashWork(b.Algorithm(), encoded) }

// Outdated implements [Hasher]. A lower cost is outdated.
func (b BcryptSHA256) Outdated(encoded string) bool {
	return outdatedHash(b.maker(), b.Algorithm(), encoded)
}

// Scrypt makes hashes with scrypt (RFC 7914): scrypt$<N>$<salt>$<r>$<p>$<hash>. Zero fields
// are N=16,384, r=8, p=5: Django's own, and one of the equivalent minimums of the OWASP Password
// Storage Cheat Sheet. Django as it comes cannot verify a hash that needs more than
// 32 MiB, which is 128*N*r bytes.
type Scrypt struct {
	N int // a power of two from 2; 128*N*R is at most 256 MiB
	R int // at least 1; R*P is at most 16,384
	P int // 1 to 64; N*R*P is at most 2^24
}

func (s Scrypt) maker() pwhash.Maker {
	return &pwhash.Scrypt{N: int64(or(s.N, 1<<14)), R: int64(or(s.R, 8)), P: int64(or(s.P, 5))}
}

// Algorithm returns "scrypt".
func (s Scrypt) Algorithm() string { return "scrypt" }

// Hash implements [Hasher].
func (s Scrypt) Hash(password string) (string, error) { return makeHash(s.maker(), password) }

// Verify implements [Hasher].
func (s Scrypt) Verify(password, encoded string) (bool, error) {
	return verifyHash(s.Algorithm(), password, encoded)
}

// Work implements [Hasher]. One of N*r*p is 1.7 units.
func (s Scrypt) Work(encoded string) (int64, error) { return hashWork(s.Algorithm(), encoded) }

// Outdated implements [Hasher]. A lower cost is outdated, and less memory unless the cost
// is higher.
func (s Scrypt) Outdated(encoded string) bool { return outdatedHash(s.maker(), s.Algorithm(), encoded) }

// or returns v, or def if v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// builtin returns what makes the hashes of one of this package's hashers. A
// type that embeds one of them is the program's own: it may have changed any method.
func builtin(h Hasher) (pwhash.Maker, bool) {
	switch h := h.(type) {
	case Argon2id:
		return h.maker(), true
	case PBKDF2SHA256:
		return h.maker(), true
	case BcryptSHA256:
		return h.maker(), true
	case Scrypt:
		return h.maker(), true
	}
	return nil, false
}

func makeHash(m pwhash.Maker, password string) (string, error) {
	if len(password) > pwhash.MaxPassword {
		return "", errPasswordTooLong()
	}
	if err := m.Check(); err != nil {
		return "", fmt.Errorf("latchbolt: hashing a password: %w", err)
	}
	encoded, err := m.Make(password)
	if err != nil {
		return "", fmt.Errorf("latchbolt: hashing a password: %w", err)
	}
	return encoded, nil
}

func errPasswordTooLong() error {
	return &FieldError{
		Field: "password", Code: "password_too_long",
		Msg:    fmt.Sprintf("This password is too long. It must contain at most %d bytes.", pwhash.MaxPassword),
		Params: map[string]any{"max_length": pwhash.MaxPassword},
	}
}

// parseAs parses a hash of one algorithm.
func parseAs(algorithm, encoded string) (pwhash.Hash, error) {
	h, err := pwhash.Parse(encoded)
	if err != nil {
		return nil, hashError(err)
	}
	if h.Algorithm() != algorithm {
		return nil, hashError(fmt.Errorf("%w: not of %s", pwhash.ErrUnknown, algorithm))
	}
	return h, nil
}

func verifyHash(algorithm, password, encoded string) (bool, error) {
	h, err := parseAs(algorithm, encoded)
	if err != nil {
		return false, err
	}
	return len(password) <= pwhash.MaxPassword && h.Verify(password), nil
}

func hashWork(algorithm, encoded string) (int64, error) {
	h, err := parseAs(algorithm, encoded)
	if err != nil {
		return 0, err
	}
	if h.Cost() == 0 {
		return 0, hashError(fmt.Errorf("%w: %s cannot be verified here", pwhash.ErrUnknown, h.Summary()))
	}
	return h.Cost(), nil
}

func outdatedHash(m pwhash.Maker, algorithm, encoded string) bool {
	h, err := parseAs(algorithm, encoded)
	return err == nil && pwhash.Outdated(m, h)
}
