package pwhash

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func mustParse(t testing.TB, encoded string) Hash {
	t.Helper()
	h, err := Parse(encoded)
	if err != nil {
		t.Fatalf("Parse(%q): %v", encoded, err)
	}
	return h
}

// TestForeignVectors holds the forms that are implemented here, not in a
// library, against other implementations; see testdata/gen_crypt.py.
func TestForeignVectors(t *testing.T) {
	var rows []struct{ By, Password, Encoded string }
	data, err := os.ReadFile("testdata/crypt.json")
	if err == nil {
		err = json.Unmarshal(data, &rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	per := make(map[string]int)
	for _, r := range rows {
		h := mustParse(t, r.Encoded)
		per[h.Algorithm()]++
		if !h.Verify(r.Password) {
			t.Errorf("%s: %q does not verify against %s", r.By, r.Password, r.Encoded)
		}
		if _, ok := h.(*Crypt); ok && (h.Work(maxCryptPassword) != h.Cost() || h.Work(maxCryptPassword+1) != 0) {
			t.Errorf("%s: %d units for the longest password, %d for a longer one", r.Encoded, h.Work(maxCryptPassword), h.Work(maxCryptPassword+1))
		}
		for _, wrong := range []string{r.Password + "x", r.Password + "\x00", r.Password + strings.Repeat("x", maxCryptPassword), " " + r.Password, r.Encoded} {
			if h.Verify(wrong) {
				t.Errorf("%s: %q verifies against %s", r.By, wrong, r.Encoded)
			}
		}
	}
	for _, name := range []string{"apr1", "md5_crypt", "sha256_crypt", "sha512_crypt", "ssha", "sha1", "unsalted_sha1", "unsalted_md5"} {
		if per[name] < 20 {
			t.Errorf("%d rows of %s, want 20 at least", per[name], name)
		}
	}
	t.Logf("%d rows: %v", len(rows), per)
}

// TestPublicVectors are from the test suites of libargon2 and crypt_blowfish.
func TestPublicVectors(t *testing.T) {
	for _, r := range []struct{ password, encoded string }{
		{"password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{"password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
		{"password", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8"},
		{"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
		{"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
		{"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
		{"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
	} {
		if h := mustParse(t, r.encoded); !h.Verify(r.password) || h.Verify(r.password+"x") {
			t.Errorf("%s: right %v, wrong %v", r.encoded, h.Verify(r.password), h.Verify(r.password+"x"))
		}
	}
}

// good are small hashes of "lètmein", one of each form.
var good = []string{
	"pbkdf2_sha256$10$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo=",
	"pbkdf2_sha1$10$NaCl0123456789abcdefgh$7itmFWXx/Z59CCUMq5CuxAMnqO0=",
	"scrypt$16$NaCl0123456789abcdefgh$8$1$QoThjfJdLodUx3oUteK2AzrpIm9CUUDg7MlWNIgN114aWOov2jkS+tH73CeTWdj8r4vrCpGuuS1wCQhhreL2zA==",
	"bcrypt_sha256$$2a$04$PJBHKwiWf9feCIAxcnSep.RrabeewtDV8FTJI5C4K.ojcbJGST8Wu",
	"bcrypt$$2y$04$O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C",
	"$2y$04$O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C",
	"argon2$argon2id$v=19$m=32,t=2,p=2$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48",
	"$argon2id$v=19$m=32,t=2,p=2$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48",
	"argon2$argon2i$v=19$m=32,t=2,p=2$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$/iSP+Pz1EahZRTHFMf2PskXQQObzx7tegArqabtaSAU",
	"md5$x$b24e99e284153750970f97a39d6c178d",
}

// TestStrict changes one character at a time. Nothing that is not the text itself verifies,
// with three exceptions that are other names for the same hash.
func TestStrict(t *testing.T) {
	const password = "lètmein"
	tried := 0
	for _, encoded := range good {
		if !mustParse(t, encoded).Verify(password) {
			t.Errorf("%s does not verify", encoded)
		}
		var mutants []string
		for i := range len(encoded) + 1 {
			for _, c := range []string{"0", " ", "+", "=", "$", "\n", "\r", "_", "A", "a", "\x00"} {
				mutants = append(mutants, encoded[:i]+c+encoded[i:])
				if i < len(encoded) && encoded[i:i+1] != c {
					mutants = append(mutants, encoded[:i]+c+encoded[i+1:])
				}
			}
			if i < len(encoded) {
				mutants = append(mutants, encoded[:i]+encoded[i+1:], encoded[:i], encoded[i:])
			}
		}
		mutants = append(mutants, strings.ToUpper(encoded), encoded+encoded)
		for _, m := range mutants {
			h, err := Parse(m)
			if err != nil || h.Cost() > 10_000 {
				continue
			}
			if sameHash(m, encoded) {
				continue
			}
			tried++
			if h.Verify(password) {
				t.Errorf("%q verifies like %q", m, encoded)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d changed texts were accepted by Parse; the test tests little", tried)
	}
	t.Logf("%d changed texts accepted by Parse", tried)
}

// sameHash reports texts that mean the same: bcrypt's idents, and with or without Django's prefix.
func sameHash(a, b string) bool {
	norm := func(s string) string {
		if tail, ok := strings.CutPrefix(s, "argon2$argon2"); ok {
			s = "$argon2" + tail
		}
		if tail, ok := strings.CutPrefix(s, "bcrypt$"); ok {
			s = tail
		}
		for _, ident := range []string{"$2b$", "$2y$"} {
			s = strings.Replace(s, ident, "$2a$", 1)
		}
		return s
	}
	return norm(a) == norm(b)
}

// TestGHSA_2c7c_3mj9_8fqh: parameters that come with a hash are refused before any work.
func TestGHSA_2c7c_3mj9_8fqh(t *testing.T) {
	const (
		tag    = "TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48"
		b32    = "NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="
		b64    = "QoThjfJdLodUx3oUteK2AzrpIm9CUUDg7MlWNIgN114aWOov2jkS+tH73CeTWdj8r4vrCpGuuS1wCQhhreL2zA=="
		bc     = "O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C"
		sha512 = "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	)
	for _, r := range []struct {
		encoded string
		want    error
	}{
		{"pbkdf2_sha256$10000000$" + b32, nil},
		{"pbkdf2_sha256$10000001$" + b32, ErrRange},
		{"pbkdf2_sha256$0$" + b32, ErrRange},
		{"pbkdf2_sha256$-1$" + b32, ErrMalformed},
		{"pbkdf2_sha256$99999999999999999999$" + b32, ErrRange},
		{"pbkdf2_sha256$1$" + strings.Repeat("s", 256) + b32[22:], nil},
		{"pbkdf2_sha256$1$" + strings.Repeat("s", 257) + b32[22:], ErrRange},
		{"pbkdf2_sha256$10$" + b32[22:], ErrMalformed}, // no salt
		{"scrypt$16$$8$1$" + b64, ErrMalformed},
		{"argon2$argon2id$v=19$m=1048576,t=4,p=1$" + tag, nil},
		{"argon2$argon2id$v=19$m=1048576,t=5,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=1048577,t=1,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=4194304,t=1,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=0,t=1,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=7,t=1,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=15,t=1,p=2$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=16,t=1,p=2$" + tag, nil},
		{"argon2$argon2id$v=19$m=8,t=0,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=8,t=65,p=1$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=8,t=1,p=0$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=1024,t=1,p=65$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=4096,t=1,p=256$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=4096,t=1,p=257$" + tag, ErrRange},
		{"argon2$argon2id$v=19$m=8,t=1,p=1$" + tag[:30] + "$", ErrRange},
		{"argon2$argon2id$v=19$m=8,t=1,p=1$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$", ErrRange},
		{"argon2$argon2id$v=19$m=8,t=1,p=1$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$AAAA", ErrRange},
		{"argon2$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAAAAA", ErrRange},
		{"$argon2id$v=19$m=4194304,t=1,p=1$" + tag, ErrRange},
		{"scrypt$262144$salt$8$1$" + b64, nil},
		{"scrypt$524288$salt$8$1$" + b64, ErrRange},
		{"scrypt$1099511627776$salt$8$1$" + b64, ErrRange},
		{"scrypt$0$salt$8$1$" + b64, ErrRange},
		{"scrypt$1$salt$8$1$" + b64, ErrRange},
		{"scrypt$15$salt$8$1$" + b64, ErrRange},
		{"scrypt$16$salt$0$1$" + b64, ErrRange},
		{"scrypt$16$salt$8$0$" + b64, ErrRange},
		{"scrypt$16$salt$8$64$" + b64, nil},
		{"scrypt$16$salt$8$65$" + b64, ErrRange},
		{"scrypt$2$salt$1048576$1$" + b64, ErrRange},
		{"scrypt$2$salt$16384$2$" + b64, ErrRange},
		{"scrypt$131072$salt$16$16$" + b64, ErrRange},
		{"bcrypt$$2b$16$" + bc, nil},
		{"bcrypt$$2b$17$" + bc, ErrRange},
		{"bcrypt$$2b$31$" + bc, ErrRange},
		{"bcrypt$$2b$03$" + bc, ErrRange},
		{"bcrypt$$2b$00$" + bc, ErrRange},
		{"$6$rounds=2000000$saltstring$" + sha512, nil},
		{"$6$rounds=2000001$saltstring$" + sha512, ErrRange},
		{"$6$rounds=999$saltstring$" + sha512, ErrRange},
		{"$6$rounds=01000$saltstring$" + sha512, ErrMalformed},
		{"$6$rounds=1000$saltstringsaltstri$" + sha512, ErrMalformed},
		{"md5$" + strings.Repeat("s", 257) + "$b24e99e284153750970f97a39d6c178d", ErrRange},
		{strings.Repeat("x", MaxEncoded), ErrUnknown},
		{strings.Repeat("x", MaxEncoded+1), ErrTooLong},
		{"", ErrUnknown},
		{"!", ErrUnknown},
		{"$", ErrUnknown},
		{"$$", ErrUnknown},
		{"{", ErrUnknown},
		{"{CRYPT}x", ErrUnknown},
		{"$2x$04$" + bc, ErrUnknown},
		{"$y$j9T$salt$hash", ErrUnknown},
	} {
		h, err := Parse(r.encoded)
		if !errors.Is(err, r.want) || (err == nil) != (h != nil) {
			t.Errorf("Parse(%.70q): %v, want %v", r.encoded, err, r.want)
		}
		if err == nil && h.Cost() > maxUnits {
			t.Errorf("%.70q costs %d units, more than %d", r.encoded, h.Cost(), maxUnits)
		}
	}
}

// maxUnits is the dearest hash that the bounds let in: scrypt with the most of N*r*p.
const maxUnits = 30_000_000

// TestGoIssue36546: plain bcrypt does not take "a" times 72 and anything
// behind it for the same password, nor "a" and "a\x00a".
func TestGoIssue36546(t *testing.T) {
	h := mustParse(t, "bcrypt$$2b$04$H7rrypqfmQGcBTzGzBLUv.5k/CIxgtmH4JejZlFKmxSI1oAqiqLuu")
	p := strings.Repeat("L", 72)
	if !h.Verify(p) || h.Verify(p+"x") || h.Verify(p+strings.Repeat("x", 4000)) || h.Work(73) != 0 {
		t.Errorf("72 bytes: %v; 73 bytes: %v, for %d units", h.Verify(p), h.Verify(p+"x"), h.Work(73))
	}
	h = mustParse(t, "bcrypt$$2y$04$O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C")
	if !h.Verify("lètmein") || h.Verify("lètmein\x00lètmein") {
		t.Error("a password repeated behind a NUL is taken for the password")
	}
	made := make(map[string]bool)
	for _, p := range []string{p, p + "x", "a", "a\x00a"} {
		encoded, err := (&Bcrypt{Rounds: 4, SHA256: true}).Make(p)
		if err != nil {
			t.Fatal(err)
		}
		h := mustParse(t, encoded)
		for _, q := range []string{p, "a", "a\x00a", p + "y"} {
			if h.Verify(q) != (p == q) {
				t.Errorf("bcrypt_sha256 of %q: %q verifies: %v", p, q, h.Verify(q))
			}
		}
		made[encoded] = true
	}
	if len(made) != 4 {
		t.Error("two hashes are the same")
	}
}

var makers = []Maker{
	&PBKDF2{Iterations: 1000},
	&Argon2{Memory: 64, Time: 3, Threads: 2},
	&Scrypt{N: 64, R: 8, P: 3},
	&Bcrypt{Rounds: 5, SHA256: true},
}

func TestMake(t *testing.T) {
	for _, m := range makers {
		seen := make(map[string]bool)
		for _, password := range []string{"", "lètmein", "\x00", strings.Repeat("long ", 800), "lètmein"} {
			encoded, err := m.Make(password)
			if err != nil {
				t.Fatalf("%T: %v", m, err)
			}
			h := mustParse(t, encoded)
			if !h.Verify(password) || h.Verify(password+"x") {
				t.Errorf("%s does not verify as it should", encoded)
			}
			if h.Cost() != m.Cost() || h.Work(len(password)) != m.Cost() {
				t.Errorf("%s costs %d, its maker says %d", encoded, h.Cost(), m.Cost())
			}
			if Outdated(m, h) {
				t.Errorf("%s is outdated when just made", encoded)
			}
			seen[encoded] = true
		}
		if len(seen) != 5 {
			t.Errorf("%T: one hash for several passwords, or a salt twice", m)
		}
	}
}

// TestBurnKind: what is burned is mostly of the maker's own kind.
func TestBurnKind(t *testing.T) {
	for _, m := range makers[1:] {
		for _, n := range []int64{0, 1, m.Cost() - 1, m.Cost(), m.Cost() + 1, 3 * m.Cost(), 10*m.Cost() + 7} {
			spent, err := m.burn("x", n)
			if err != nil || spent < 0 || spent > n || n >= m.Cost() && n-spent >= m.Cost() {
				t.Errorf("%T: of %d units %d burned in kind, a hash costs %d (%v)", m, n, spent, m.Cost(), err)
			}
			if n%m.Cost() == 0 && n-spent > 10 { // costs are rounded up, so that some units can be left
				t.Errorf("%T: %d units are whole hashes, but only %d burned in kind", m, n, spent)
			}
		}
	}
}

func TestOutdated(t *testing.T) {
	const (
		tail  = "TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48"
		short = "c2FsdHNhbHQ$J36AGV4Ut/netCHTyUFKdOYfzdzvXCeaT+CvlIygq48"
		b32   = "JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="
		b64   = "QoThjfJdLodUx3oUteK2AzrpIm9CUUDg7MlWNIgN114aWOov2jkS+tH73CeTWdj8r4vrCpGuuS1wCQhhreL2zA=="
		bc    = "O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C"
	)
	pb, ar := &PBKDF2{Iterations: 1000}, &Argon2{Memory: 64, Time: 2, Threads: 1}
	sc, bh := &Scrypt{N: 64, R: 8, P: 2}, &Bcrypt{Rounds: 5, SHA256: true}
	for _, r := range []struct {
		m       Maker
		encoded string
		want    bool
		why     string
	}{
		{pb, "pbkdf2_sha256$1000$NaCl0123456789abcdefgh$" + b32, false, "the same"},
		{pb, "pbkdf2_sha256$999$NaCl0123456789abcdefgh$" + b32, true, "fewer iterations"},
		{pb, "pbkdf2_sha256$1001$NaCl0123456789abcdefgh$" + b32, false, "more iterations"},
		{pb, "pbkdf2_sha256$1000$NaCl0123456789abcdefg$" + b32, true, "21 characters of salt"},
		{pb, "pbkdf2_sha256$1001$NaCl$" + b32, false, "little salt, but more iterations"},
		{pb, "md5$NaCl0123456789abcdefgh$b24e99e284153750970f97a39d6c178d", true, "md5"},
		{pb, "bcrypt$$2b$04$" + bc, false, "another algorithm that costs more"},
		{pb, "bcrypt_sha256$$2b$04$" + bc, false, "another algorithm that costs more"},
		{pb, "argon2$argon2id$v=19$m=64,t=2,p=1$" + tail, true, "another algorithm that costs less"},
		{ar, "argon2$argon2id$v=19$m=64,t=2,p=1$" + tail, false, "the same"},
		{ar, "$argon2id$v=19$m=64,t=2,p=1$" + tail, false, "the same without prefix"},
		{ar, "argon2$argon2id$v=19$m=64,t=1,p=1$" + tail, true, "fewer passes"},
		{ar, "argon2$argon2id$v=19$m=63,t=2,p=1$" + tail, true, "less memory"},
		{ar, "argon2$argon2id$v=19$m=32,t=4,p=1$" + tail, true, "less memory at the same cost"},
		{ar, "argon2$argon2id$v=19$m=128,t=1,p=1$" + tail, false, "more memory at the same cost"},
		{ar, "argon2$argon2id$v=19$m=65,t=2,p=1$" + tail, false, "more memory"},
		{ar, "argon2$argon2i$v=19$m=64,t=2,p=1$" + tail, true, "argon2i"},
		{ar, "argon2$argon2i$v=19$m=64,t=3,p=1$" + tail, false, "argon2i that costs more"},
		{ar, "argon2$argon2id$v=19$m=64,t=2,p=1$" + short, true, "little salt"},
		{ar, "argon2$argon2id$v=19$m=64,t=2,p=1$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$iAhEY9Uqhcn2bpcwAhITKw", true, "short tag"},
		{sc, "scrypt$64$NaCl0123456789abcdefgh$8$2$" + b64, false, "the same"},
		{sc, "scrypt$64$x$8$2$" + b64, false, "little salt, at which Django does not look"},
		{sc, "scrypt$64$NaCl0123456789abcdefgh$8$1$" + b64, true, "one lane"},
		{sc, "scrypt$32$NaCl0123456789abcdefgh$8$4$" + b64, true, "less memory at the same cost"},
		{sc, "scrypt$128$NaCl0123456789abcdefgh$8$1$" + b64, false, "more memory at the same cost"},
		{bh, "bcrypt_sha256$$2a$05$" + bc, false, "the same"},
		{bh, "bcrypt_sha256$$2a$04$" + bc, true, "fewer rounds"},
		{bh, "bcrypt_sha256$$2a$06$" + bc, false, "more rounds"},
		{bh, "bcrypt$$2a$05$" + bc, true, "plain bcrypt"},
	} {
		if got := Outdated(r.m, mustParse(t, r.encoded)); got != r.want {
			t.Errorf("%s: %T, %s: outdated %v", r.why, r.m, r.encoded, got)
		}
	}
}
