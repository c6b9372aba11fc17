package pwhash

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// FuzzParse: no text makes Parse panic or allocate much, and what it accepts is bounded,
// verifies without panic, and is in the one form that is written.
func FuzzParse(f *testing.F) {
	for _, s := range good {
		f.Add(s, "lètmein")
	}
	for _, s := range []string{
		"", "!", "$", "$$$$$$$$", "{SHA}", "{SSHA}AAAA", "argon2$argon2d$v=16$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAA",
		"$5$rounds=1000$s$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "$1$s$sWmD2Jwq6Ld/1ne0ZzSwB.", "$apr1$$sWmD2Jwq6Ld/1ne0ZzSwB.",
		"scrypt$2$s$1$1$" + strings.Repeat("A", 86) + "==", "md5$$b24e99e284153750970f97a39d6c178d", "sha1$s$" + strings.Repeat("a", 40),
		"$scrypt$ln=4,r=8,p=1$AAAA$" + strings.Repeat("A", 43), "$pbkdf2-sha512$i=10,l=32$AAAA$" + strings.Repeat("A", 43), "$pbkdf2$10$AAAA$" + strings.Repeat("A", 27),
	} {
		f.Add(s, "password")
	}
	f.Fuzz(func(t *testing.T, encoded, password string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h, err := Parse(encoded)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("Parse allocated %d bytes", n)
		}
		if err != nil {
			if err.Error() == "" || h != nil {
				t.Errorf("error %q with %v", err, h)
			}
			return
		}
		if h.Algorithm() == "" || h.Summary() == "" || h.Cost() < 0 || h.Cost() > maxUnits {
			t.Fatalf("%q %q costs %d", h.Algorithm(), h.Summary(), h.Cost())
		}
		if w := h.Work(len(password)); w < 0 || w > h.Cost() {
			t.Fatalf("%d units for %d bytes, at most %d were announced", w, len(password), h.Cost())
		}
		if h.Cost() > 20_000 || len(password) > MaxPassword {
			return
		}
		start := time.Now()
		if h.Verify(password) && !h.Verify(password) {
			t.Error("verifies once only")
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", h.Summary(), d)
		}
	})
}

// BenchmarkWeights measures the weights in cost.go: it reports units, which are the weights
// divided by 1000, for one of each operation.
func BenchmarkWeights(b *testing.B) {
	const password = "correct horse"
	unit := perUnit(b)
	for _, w := range []struct {
		name string
		n    int64 // operations in one call
		want int64 // the weight
		run  func()
	}{
		{"pbkdf2_sha1", 50_000, milliPBKDF2SHA1, func() { (&PBKDF2{Iterations: 50_000, SHA1: true, hash: make([]byte, 20)}).Verify(password) }},
		{"pbkdf2_sha512", 50_000, milliPBKDF2SHA512, func() { (&PBKDF2{Iterations: 50_000, SHA512: true, hash: make([]byte, 64)}).Verify(password) }},
		{"argon2_19MiB", 2 * 19_456, milliArgon2, func() { (&Argon2{Memory: 19_456, Time: 2, Threads: 1}).key(password, dummySalt, 2, 32) }},
		{"argon2_100MiB", 2 * 102_400, milliArgon2, func() { (&Argon2{Memory: 102_400, Time: 2, Threads: 1}).key(password, dummySalt, 2, 32) }},
		{"scrypt_16MiB", 5 << 17, milliScrypt, func() { (&Scrypt{N: 1 << 14, R: 8, P: 5, hash: make([]byte, 64)}).Verify(password) }},
		{"scrypt_128MiB", 1 << 20, milliScrypt, func() { (&Scrypt{N: 1 << 17, R: 8, P: 1, hash: make([]byte, 64)}).Verify(password) }},
		{"bcrypt", 1 << 10, milliBcrypt, func() { (&Bcrypt{Rounds: 10, text: "$2b$10$" + dummyBcrypt}).Verify(password) }},
		{"sha256_crypt", 5_000, milliSHA256, func() { (&Crypt{kind: cryptKinds["5"], rounds: 5_000, salt: "abcdefgh"}).Verify(password) }},
		{"sha512_crypt", 5_000, milliSHA512, func() { (&Crypt{kind: cryptKinds["6"], rounds: 5_000, salt: "abcdefgh"}).Verify(password) }},
		{"md5_crypt", 1_000, milliMD5, func() { (&Crypt{kind: cryptKinds["1"], rounds: 1_000, salt: "abcdefgh"}).Verify(password) }},
	} {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				w.run()
			}
			got := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(w.n) / unit
			b.ReportMetric(got, "units/op")
			b.ReportMetric(float64(w.want)/1000, "weight")
		})
	}
}

// perUnit measures one unit, in nanoseconds.
func perUnit(b *testing.B) float64 {
	best := time.Duration(1 << 62)
	const n = 100_000
	for range 10 {
		start := time.Now()
		if err := BurnIterations("correct horse", n); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	return float64(best.Nanoseconds()) / n
}
