package latchbolt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// A Calibration says how fast this machine hashes; see [Calibrate].
type Calibration struct {
	// Target is the time that was asked for.
	Target time.Duration
	// Hashers has an entry for each of [DefaultHashers], in their order.
	Hashers []CalibratedHasher
	// Weights compares the units of work with what they take here.
	Weights []CalibratedWeight
}

// A CalibratedHasher is a hasher with the parameters that fit the target.
type CalibratedHasher struct {
	Hasher Hasher
	// Units is the work of one hash; see [Hasher].
	Units int64
	// Elapsed is how long one hash took, the median of three.
	Elapsed time.Duration
	// AtMinimum means that the parameters are the least that the OWASP Password
	// Storage Cheat Sheet allows. They are not made weaker, even if Elapsed is above the target.
	AtMinimum bool
}

// A CalibratedWeight compares the fixed weight of one algorithm's work with this
// machine. Where they differ, failed logins of users with hashes of
// different algorithms differ in time by as much, though not in units.
type CalibratedWeight struct {
	Algorithm string
	Operation string  // what is weighed, such as "KiB in one pass"
	BuiltIn   float64 // units for one operation, as [Hasher] counts them
	Measured  float64 // time of one operation, in times of a PBKDF2 iteration
}

// Go returns the hasher as a Go expression, such as
// "latchbolt.Argon2id{Memory: 19456, Time: 2, Threads: 1}".
func (c CalibratedHasher) Go() string {
	switch h := c.Hasher.(type) {
	case Argon2id:
		return fmt.Sprintf("latchbolt.Argon2id{Memory: %d, Time: %d, Threads: %d}", h.Memory, h.Time, h.Threads)
	case PBKDF2SHA256:
		return fmt.Sprintf("latchbolt.PBKDF2SHA256{Iterations: %d}", h.Iterations)
	case BcryptSHA256:
		return fmt.Sprintf("latchbolt.BcryptSHA256{Cost: %d}", h.Cost)
	case Scrypt:
		return fmt.Sprintf("latchbolt.Scrypt{N: %d, R: %d, P: %d}", h.N, h.R, h.P)
	}
	return fmt.Sprintf("%T{}", c.Hasher)
}

// Go returns the field of a [Config] with all hashers, as Go text to paste.
func (c Calibration) Go() string {
	var b strings.Builder
	b.WriteString("Hashers: []latchbolt.Hasher{\n")
	for _, h := range c.Hashers {
		note := ""
		if h.AtMinimum {
			note = ", the least that OWASP allows"
		}
		fmt.Fprintf(&b, "\t%s, // %v%s\n", h.Go(), h.Elapsed.Round(time.Millisecond), note)
	}
	b.WriteString("},\n")
	return b.String()
}

// Bounds of a calibration.
const (
	minCalibration  = time.Millisecond
	maxCalibration  = 10 * time.Second
	calibrationRuns = 3
)

// Calibrate measures this machine and returns, for each of the four algorithms, the
// parameters with which one hash takes about target, but never less than OWASP's
// minimum. Target is 1 ms to 10 s; a login should take 50 to 500 ms. It hashes on
// one thread some ten times as long as target for each algorithm, and wants an idle machine.
// Each hash that a server makes at the same time needs a processor and,
// for argon2, the memory. The error is the context's or says what target may be.
func Calibrate(ctx context.Context, target time.Duration) (Calibration, error) {
	if target < minCalibration || target > maxCalibration {
		return Calibration{}, fmt.Errorf("%w: calibration for %v, not %v to %v", ErrInvalid, target, minCalibration, maxCalibration)
	}
	c := Calibration{Target: target}
	for _, fit := range []func(context.Context, time.Duration) (Hasher, error){fitArgon2id, fitPBKDF2, fitBcrypt, fitScrypt} {
		h, err := fit(ctx, target)
		if err != nil {
			return Calibration{}, err
		}
		elapsed, err := timeHash(ctx, h)
		if err != nil {
			return Calibration{}, err
		}
		m, _ := builtin(h)
		c.Hashers = append(c.Hashers, CalibratedHasher{
			Hasher: h, Units: m.Cost(), Elapsed: elapsed, AtMinimum: m.Cost() <= leastCost(h),
		})
	}
	c.weigh()
	return c, nil
}

// weigh sets Weights from the hashes measured.
func (c *Calibration) weigh() {
	perUnit := func(h CalibratedHasher) float64 { return float64(h.Elapsed) / float64(h.Units) }
	i := slices.IndexFunc(c.Hashers, func(h CalibratedHasher) bool { return h.Hasher.Algorithm() == "pbkdf2_sha256" })
	for _, h := range c.Hashers {
		w := CalibratedWeight{Algorithm: h.Hasher.Algorithm()}
		switch h.Hasher.(type) {
		case Argon2id:
			w.Operation, w.BuiltIn = "KiB in one pass", pwhash.WeightArgon2
		case PBKDF2SHA256:
			w.Operation, w.BuiltIn = "iteration", 1
		case BcryptSHA256:
			w.Operation, w.BuiltIn = "round, of 2^cost", pwhash.WeightBcrypt
		case Scrypt:
			w.Operation, w.BuiltIn = "one of N*r*p", pwhash.WeightScrypt
		}
		w.Measured = w.BuiltIn * perUnit(h) / perUnit(c.Hashers[i])
		c.Weights = append(c.Weights, w)
	}
}

// The minimums of the OWASP Password Storage Cheat Sheet.
var (
	leastArgon2id = Argon2id{Memory: 19_456, Time: 2, Threads: 1}
	leastPBKDF2   = PBKDF2SHA256{Iterations: 600_000}
	leastBcrypt   = BcryptSHA256{Cost: 10}
	leastScrypt   = Scrypt{N: 1 << 14, R: 8, P: 5}
)

func leastCost(h Hasher) int64 {
	switch h.(type) {
	case Argon2id:
		return leastArgon2id.maker().Cost()
	case PBKDF2SHA256:
		return leastPBKDF2.maker().Cost()
	case BcryptSHA256:
		return leastBcrypt.maker().Cost()
	}
	return leastScrypt.maker().Cost()
}

// timeHash returns the median time of some hashes.
func timeHash(ctx context.Context, h Hasher) (time.Duration, error) {
	var took []time.Duration
	for range calibrationRuns {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := h.Hash("a password to measure with"); err != nil {
			return 0, err
		}
		took = append(took, max(time.Since(start), 1))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// times returns how often d fits into the target, at least least and at most most.
func times(target, d time.Duration, least, most int) int {
	return min(max(int(target/d), least), most)
}

// calibrationMemory is the most memory that argon2id is given, in KiB. More is in the
// owner's hands, who knows how many hash at once.
const calibrationMemory = 128 << 10

// fitArgon2id first takes more memory, which costs an attacker most, then more passes.
func fitArgon2id(ctx context.Context, target time.Duration) (Hasher, error) {
	h := leastArgon2id
	for {
		d, err := timeHash(ctx, h)
		if err != nil {
			return nil, err
		}
		if 2*d > target || 2*h.Memory > calibrationMemory {
			h.Time = uint32(times(target, max(d/2, 1), 2, 64))
			return h, nil
		}
		h.Memory *= 2
	}
}

func fitPBKDF2(ctx context.Context, target time.Duration) (Hasher, error) {
	const probe = 50_000
	d, err := timeHash(ctx, PBKDF2SHA256{Iterations: probe})
	if err != nil {
		return nil, err
	}
	// In steps of 10,000, so that nobody takes the digits for exact.
	n := times(target, max(d/(probe/10_000), 1), leastPBKDF2.Iterations/10_000, 1_000) * 10_000
	return PBKDF2SHA256{Iterations: n}, nil
}

func fitBcrypt(ctx context.Context, target time.Duration) (Hasher, error) {
	h := leastBcrypt
	d, err := timeHash(ctx, h)
	for ; err == nil && 2*d <= target && h.Cost < 16; d *= 2 {
		h.Cost++
	}
	return h, err
}

// fitScrypt takes more lanes, not more memory, so that Django can verify the hashes as it comes.
func fitScrypt(ctx context.Context, target time.Duration) (Hasher, error) {
	h := leastScrypt
	one := h
	one.P = 1
	d, err := timeHash(ctx, one)
	if err != nil {
		return nil, err
	}
	h.P = times(target, d, h.P, 64)
	return h, nil
}
