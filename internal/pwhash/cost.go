package pwhash

import (
	"crypto/pbkdf2"
	"crypto/sha256"
)

// One unit of work is one iteration of PBKDF2-HMAC-SHA256: two calls of the
// compression function of SHA-256. Other work is converted by the fixed weights
// below, in thousandths of a unit, so that a sum of work is the same number on
// every machine. They were measured with BenchmarkWeights on one amd64 machine
// that has instructions for SHA-256 (141 ns for a unit); where it has none the
// others are cheaper in comparison. Changing a weight changes the costs that files
// have counted.
const (
	milliPBKDF2SHA1   = 1_170   // one iteration; measured 1.16 to 1.17
	milliPBKDF2SHA512 = 2_900   // one iteration; measured
	milliArgon2       = 3_500   // one KiB in one pass; measured 3.1 to 3.9
	milliScrypt       = 1_700   // one of N*r*p; measured 1.6 (16 MiB) to 2.2 (128 MiB)
	milliBcrypt       = 380_000 // one of 2^cost; measured 374 to 396
	milliSHA256       = 550     // one block, in crypt; measured 0.49 to 0.65
	milliSHA512       = 1_450   // one block, in crypt; measured 1.3 to 2
	milliMD5          = 700     // one block, in crypt; measured 0.69 to 0.81
)

// The weights of the algorithms that make new hashes, in units.
const (
	WeightArgon2 = milliArgon2 / 1000.0 // a KiB in one pass
	WeightScrypt = milliScrypt / 1000.0 // one of N*r*p
	WeightBcrypt = milliBcrypt / 1000.0 // a round
)

// Bounds on work and memory. They stop a number in an imported hash from taking
// the machine down, and stand well above what anybody configures: the dearest
// hash that is let in takes a few seconds.
const (
	maxPBKDF2Iterations = 10_000_000 // Django 6.1 has 1,500,000

	maxArgon2Memory  = 1 << 20 // KiB: 1 GiB
	maxArgon2Time    = 64      // RFC 9106 recommends 1 and 3
	maxArgon2Threads = 64      // RFC 9106 recommends 4, Django has 8
	maxArgon2Passes  = 4 << 20 // KiB of memory times passes: 4 GiB

	maxScryptMemory = 256 << 20 // bytes, 128*N*r; OWASP's largest is 128 MiB
	maxScryptP      = 64        // OWASP's largest is 10
	maxScryptRP     = 1 << 14   // r*p: 2 MiB of PBKDF2 output
	maxScryptWork   = 1 << 24   // N*r*p; OWASP's largest is 2^20

	minBcryptCost = 4 // the algorithm's
	maxBcryptCost = 16

	minCryptRounds = 1_000     // the algorithm's, for SHA-crypt
	maxCryptRounds = 2_000_000 // the default is 5,000; passlib's is 656,000
	// maxCryptPassword bounds the password in the crypt forms, whose work grows
	// with its length. libxcrypt stops at 512, most others earlier.
	maxCryptPassword = 256
)

// MaxUnits is the most that one hash may cost: several times what the bounds above
// let in, so that it limits only the hashers of programs. It fits in an int everywhere.
const MaxUnits = 200_000_000

// units converts n operations of a weight, and rounds up.
func units(n, milli int64) int64 { return (n*milli + 999) / 1000 }

// Burn spends exactly the given units and keeps nothing of the result: in work
// of the same kind as far as that goes, the rest in iterations of
// PBKDF2-HMAC-SHA256. The password is only there so that the work is that of a
// verification.
func Burn(m Maker, password string, units int64) error {
	if units <= 0 {
		return nil
	}
	spent, err := m.burn(password, units)
	if err != nil {
		return err
	}
	return BurnIterations(password, units-spent)
}

// BurnIterations spends exactly the given units, up to MaxUnits, in iterations of
// PBKDF2-HMAC-SHA256.
func BurnIterations(password string, units int64) error {
	if units <= 0 {
		return nil
	}
	_, err := pbkdf2.Key(sha256.New, password, dummySalt, int(min(units, MaxUnits)), sha256.Size)
	return err
}

var dummySalt = []byte("0123456789abcdefghijkl")
