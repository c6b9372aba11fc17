package latchbolt_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// smallHashers are the four algorithms at next to no cost.
var smallHashers = []latchbolt.Hasher{
	latchbolt.Argon2id{Memory: 16, Time: 2, Threads: 2},
	latchbolt.PBKDF2SHA256{Iterations: 100},
	latchbolt.BcryptSHA256{Cost: 4},
	latchbolt.Scrypt{N: 16, R: 8, P: 2},
}

// TestHashers: what the four make is Django's text, parses back and verifies.
func TestHashers(t *testing.T) {
	forms := map[string]string{
		"argon2":        `^argon2\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{30}\$[A-Za-z0-9+/]{43}$`,
		"pbkdf2_sha256": `^pbkdf2_sha256\$\d+\$[A-Za-z0-9]{22}\$[A-Za-z0-9+/]{43}=$`,
		"bcrypt_sha256": `^bcrypt_sha256\$\$2b\$\d\d\$[./A-Za-z0-9]{53}$`,
		"scrypt":        `^scrypt\$\d+\$[A-Za-z0-9]{22}\$\d+\$\d+\$[A-Za-z0-9+/]{86}==$`,
	}
	hashers := append([]latchbolt.Hasher{}, smallHashers...)
	if !testing.Short() {
		hashers = append(hashers, latchbolt.DefaultHashers()...)
	}
	for i, h := range hashers {
		passwords := []string{"lètmein", "", strings.Repeat("0123456789", 10)}
		if i >= len(smallHashers) {
			passwords = passwords[:1]
		}
		for _, password := range passwords {
			encoded, err := h.Hash(password)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(forms[h.Algorithm()]).MatchString(encoded) {
				t.Errorf("%s: not Django's form: %s", h.Algorithm(), encoded)
			}
			parsed, err := latchbolt.ParsePasswordHash(encoded)
			if err != nil || parsed.Reveal() != encoded || !parsed.Usable() || parsed.Pepper() != 0 {
				t.Errorf("%s does not parse back: %v", encoded, err)
			}
			if info := parsed.Info(); info.Algorithm != h.Algorithm() || !info.Usable || info.Summary == "" {
				t.Errorf("%s: %+v", encoded, info)
			}
			tries := map[string]bool{password: true, password + "x": false, encoded: false}
			if i >= len(smallHashers) && !testsize.Full() {
				tries = map[string]bool{password: true}
			}
			for try, want := range tries {
				if ok, err := h.Verify(try, encoded); ok != want || err != nil {
					t.Errorf("%s: %q verifies: %v, %v", encoded, try, ok, err)
				}
			}
			if h.Outdated(encoded) {
				t.Errorf("%s is outdated", encoded)
			}
			if units, err := h.Work(encoded); err != nil || units < 1 {
				t.Errorf("%s: %d units, %v", encoded, units, err)
			}
			if testing.Short() {
				continue
			}
			// Zero fields are the defaults, and stronger than the small ones.
			for i, def := range latchbolt.DefaultHashers() {
				if def.Algorithm() == h.Algorithm() && h == smallHashers[i] != def.Outdated(encoded) {
					t.Errorf("%s: outdated for %#v: %v", encoded, def, def.Outdated(encoded))
				}
			}
		}
	}
	if got := latchbolt.DefaultHashers()[0].Algorithm(); got != "argon2" {
		t.Errorf("%s makes new hashes", got)
	}
}

// TestHasherForeign: a hasher has nothing to do with hashes of others.
func TestHasherForeign(t *testing.T) {
	for i, h := range smallHashers {
		other := smallHashers[(i+1)%len(smallHashers)]
		encoded, err := other.Hash("right")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{encoded, "", "!", h.Algorithm(), h.Algorithm() + "$x"} {
			if ok, err := h.Verify("right", text); ok || !errors.Is(err, latchbolt.ErrInvalid) {
				t.Errorf("%s: %q: %v, %v", h.Algorithm(), text, ok, err)
			}
			if _, err := h.Work(text); !errors.Is(err, latchbolt.ErrInvalid) {
				t.Errorf("%s: work of %q: %v", h.Algorithm(), text, err)
			}
			if h.Outdated(text) {
				t.Errorf("%s: %q is outdated", h.Algorithm(), text)
			}
		}
	}
	for _, h := range []latchbolt.Hasher{latchbolt.Argon2id{Memory: 1 << 30}, latchbolt.PBKDF2SHA256{Iterations: -1}, latchbolt.BcryptSHA256{Cost: 3}, latchbolt.Scrypt{N: 3}} {
		if encoded, err := h.Hash("x"); err == nil {
			t.Errorf("%#v made %q", h, encoded)
		}
	}
}

func TestParsePasswordHash(t *testing.T) {
	const tail = "NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="
	for _, r := range []struct {
		encoded, code string
		info          latchbolt.HashInfo
	}{
		{"pbkdf2_sha256$10$" + tail, "", latchbolt.HashInfo{Usable: true, Algorithm: "pbkdf2_sha256", Summary: "pbkdf2_sha256 iterations=10"}},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "", latchbolt.HashInfo{Usable: true, Algorithm: "argon2", Summary: "argon2id m=256 t=2 p=1"}},
		{"argon2$argon2i$m=8,t=1,p=1$c29tZXNhbHQ$gwQOXSNhxiOxPOA0+PY10P9QFO4NAYysnqRt1GSQLE4", "", latchbolt.HashInfo{Usable: true, Algorithm: "argon2", Summary: "argon2i v=16 m=8 t=1 p=1"}},
		{"$2y$04$O51yV3mdachUEz2teRO39..5wzov3aES.xL5NjVywXsMZ/Lojji.C", "", latchbolt.HashInfo{Usable: true, Algorithm: "bcrypt", Summary: "bcrypt cost=4"}},
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "", latchbolt.HashInfo{Usable: true, Algorithm: "sha512_crypt", Summary: "sha512_crypt rounds=5000"}},
		{"", "", latchbolt.HashInfo{}},
		{"!", "", latchbolt.HashInfo{}},
		{"!pbkdf2_sha256$10$" + tail, "", latchbolt.HashInfo{}},
		{"lolcat$x$y", "", latchbolt.HashInfo{Usable: true}},
		{"PBKDF2_SHA256$10$" + tail, "", latchbolt.HashInfo{Usable: true}},
		{"gibberish", "", latchbolt.HashInfo{Usable: true}},
		{"pbkdf2_sha256", "invalid", latchbolt.HashInfo{}},
		{"pbkdf2_sha256$010$" + tail, "invalid", latchbolt.HashInfo{}},
		{"pbkdf2_sha256$10$" + strings.TrimSuffix(tail, "="), "invalid", latchbolt.HashInfo{}},
		{"pbkdf2_sha256$0$" + tail, "out_of_range", latchbolt.HashInfo{}},
		{"pbkdf2_sha256$1000000000$" + tail, "out_of_range", latchbolt.HashInfo{}},
		{"lolcat$" + strings.Repeat("x", 1024), "max_length", latchbolt.HashInfo{}},
	} {
		h, err := latchbolt.ParsePasswordHash(r.encoded)
		var fe *latchbolt.FieldError
		if errors.As(err, &fe) != (r.code != "") || fe != nil && (fe.Code != r.code || fe.Field != "password" || strings.Contains(fe.Error(), "NaCl")) {
			t.Errorf("%.60q: %v, want code %q", r.encoded, err, r.code)
		}
		if err != nil {
			if h != (latchbolt.PasswordHash{}) {
				t.Errorf("%.60q: a hash besides the error", r.encoded)
			}
			continue
		}
		if h.Reveal() != r.encoded || h.Info() != r.info || h.Usable() != r.info.Usable {
			t.Errorf("%.60q: %q, %+v, want %+v", r.encoded, h.Reveal(), h.Info(), r.info)
		}
	}
}

// TestPasswordHashInfoAsDjango compares Info with identify_hasher and safe_summary.
func TestPasswordHashInfoAsDjango(t *testing.T) {
	type row struct {
		Encoded  string
		Identify json.RawMessage
		Summary  json.RawMessage `json:"safe_summary"`
	}
	var answers struct {
		Users []struct {
			Encoded string
			Hasher  row
			Usable  bool `json:"has_usable_password"`
		}
		Cases []row `json:"hash_cases"`
	}
	data, err := os.ReadFile("testdata/django/expected.json")
	if err == nil {
		err = json.Unmarshal(data, &answers)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := answers.Cases
	for _, u := range answers.Users {
		u.Hasher.Encoded = u.Encoded
		rows = append(rows, u.Hasher)
		// Intended difference: Django calls an empty hash usable, although nothing matches it.
		h, err := latchbolt.ParsePasswordHash(u.Encoded)
		if err != nil || h.Usable() != (u.Usable && u.Encoded != "") {
			t.Errorf("%q: usable %v, Django says %v (%v)", u.Encoded, h.Usable(), u.Usable, err)
		}
	}
	var known, unknown, refused, summaries int
	for _, r := range rows {
		h, err := latchbolt.ParsePasswordHash(r.Encoded)
		var name string
		switch json.Unmarshal(r.Identify, &name); {
		case err != nil:
			refused++
			if name == "" {
				t.Errorf("%q: refused (%v), although Django does not know the algorithm", r.Encoded, err)
			}
			continue
		case name == "": // Django raises "Unknown password hashing algorithm 'sha1'"
			unknown++
			if got := h.Info().Algorithm; got != "" && !strings.Contains(string(r.Identify), "'"+got+"'") {
				t.Errorf("%q: %s, Django says %s", r.Encoded, got, r.Identify)
			}
			continue
		}
		known++
		if got := h.Info().Algorithm; got != name {
			t.Errorf("%q: %s, Django says %s", r.Encoded, got, name)
		}
		var summary [][2]any
		if json.Unmarshal(r.Summary, &summary) != nil {
			t.Errorf("%q: accepted, Django: %s", r.Encoded, r.Summary)
			continue
		}
		summaries++
		for _, pair := range summary {
			prefix, ok := map[any]string{
				"iterations": "iterations=", "memory cost": "m=", "time cost": "t=", "parallelism": "p=",
				"variety": "", "work factor": "=", "block size": "r=",
			}[pair[0]]
			if ok && !regexp.MustCompile(`(^|[ a-zN])`+regexp.QuoteMeta(fmt.Sprint(prefix, number(pair[1])))+`( |$)`).MatchString(h.Info().Summary) {
				t.Errorf("%q: summary %q lacks %v %v", r.Encoded, h.Info().Summary, pair[0], pair[1])
			}
		}
	}
	t.Logf("%d of known algorithms with %d summaries, %d unknown, %d refused", known, summaries, unknown, refused)
	if known < 60 || summaries != known || unknown < 10 || refused < 15 {
		t.Error("too few rows")
	}
}

// number prints a number as Django does, not as JSON's float64.
func number(v any) any {
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return v
}

// TestPasswordHashSecret: no way of printing shows the hash or a pepper's key. The
// verb %p is no way of printing a struct: fmt does not ask the value, and vet refuses it.
func TestPasswordHashSecret(t *testing.T) {
	const encoded = "md5$salt$b24e99e284153750970f97a39d6c178d"
	h, err := latchbolt.ParsePasswordHash(encoded)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("a key of more than thirty-two bytes")
	pepper := latchbolt.Pepper{ID: 3, Key: key}
	var out bytes.Buffer
	for _, v := range []any{h, &h, []any{h}, map[string]any{"h": h}, struct{ H latchbolt.PasswordHash }{h}, pepper, &pepper, []latchbolt.Pepper{pepper}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%c", "%U", "%e"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Error(err)
		}
	}
	if err := gob.NewEncoder(&out).Encode(h); err == nil {
		t.Error("gob writes a hash")
	}
	for _, secret := range []string{encoded, "b24e99", "salt", fmt.Sprintf("%x", encoded), fmt.Sprintf("%X", encoded), "a key of", fmt.Sprintf("%x", key[:8]), fmt.Sprintf("%X", key[:8]), fmt.Sprint(key[:4])[1:8], "YSBrZXkg"} {
		if strings.Contains(out.String(), secret) {
			i := strings.Index(out.String(), secret)
			t.Errorf("%q is printed: …%s…", secret, out.String()[max(0, i-60):i+20])
		}
	}
	if !strings.Contains(out.String(), "[redacted]") || out.Len() < 1000 {
		t.Error("nothing was printed")
	}
}

func TestCalibrate(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	c, err := latchbolt.Calibrate(context.Background(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Hashers) != 4 || len(c.Weights) != 4 || c.Target != time.Millisecond {
		t.Fatalf("%+v", c)
	}
	for i, h := range c.Hashers {
		if !h.AtMinimum || h.Units < 1 || h.Elapsed <= 0 || h.Hasher.Algorithm() != latchbolt.DefaultHashers()[i].Algorithm() {
			t.Errorf("%+v: 1 ms is less than any minimum takes", h)
		}
	}
	for _, w := range c.Weights {
		if w.BuiltIn < 1 || w.Measured < w.BuiltIn/20 || w.Measured > w.BuiltIn*20 {
			t.Errorf("%+v", w)
		}
	}
	want := "Hashers: []latchbolt.Hasher{\n" +
		"\tlatchbolt.Argon2id{Memory: 19456, Time: 2, Threads: 1}, // N, the least that OWASP allows\n" +
		"\tlatchbolt.PBKDF2SHA256{Iterations: 600000}, // N, the least that OWASP allows\n" +
		"\tlatchbolt.BcryptSHA256{Cost: 10}, // N, the least that OWASP allows\n" +
		"\tlatchbolt.Scrypt{N: 16384, R: 8, P: 5}, // N, the least that OWASP allows\n" +
		"},\n"
	if got := regexp.MustCompile(`// [0-9.a-z]+,`).ReplaceAllString(c.Go(), "// N,"); got != want {
		t.Errorf("Go() gives\n%s\nwant\n%s", got, want)
	}
	for _, target := range []time.Duration{0, -1, time.Microsecond, time.Minute} {
		if _, err := latchbolt.Calibrate(context.Background(), target); !errors.Is(err, latchbolt.ErrInvalid) {
			t.Errorf("target %v: %v", target, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := latchbolt.Calibrate(ctx, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func ExampleHasher() {
	var h latchbolt.Hasher = latchbolt.PBKDF2SHA256{Iterations: 1000}
	encoded, err := h.Hash("correct horse battery staple")
	if err != nil {
		panic(err)
	}
	ok, err := h.Verify("correct horse battery staple", encoded)
	fmt.Println(ok, err)
	fmt.Println(h.Work(encoded))
	// A hasher with more iterations wants it made anew, one with fewer does not.
	fmt.Println(latchbolt.PBKDF2SHA256{Iterations: 2000}.Outdated(encoded), latchbolt.PBKDF2SHA256{Iterations: 500}.Outdated(encoded))
	// Output:
	// true <nil>
	// 1000 <nil>
	// true false
}

func ExampleParsePasswordHash() {
	h, err := latchbolt.ParsePasswordHash("argon2$argon2id$v=19$m=102400,t=2,p=8$Y041dExhNkljRUUy$TMa6A8fPJhCAUXRhJXCXdw")
	fmt.Println(h, err)
	fmt.Println(h.Info().Summary)
	_, err = latchbolt.ParsePasswordHash("argon2$argon2id$v=19$m=999999999,t=2,p=8$Y041dExhNkljRUUy$TMa6A8fPJhCAUXRhJXCXdw")
	fmt.Println(err)
	// Output:
	// [redacted] <nil>
	// argon2id m=102400 t=2 p=8
	// latchbolt: password: The password hash was refused: argon2: parameter out of bounds: memory is 999999999, not within 1 to 1048576.
}
