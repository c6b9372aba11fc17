package pwhash

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestPHCVectors holds PHC strings against passlib and Python's hashlib; see testdata/gen_phc.py.
func TestPHCVectors(t *testing.T) {
	var rows []struct{ By, Password, Encoded string }
	data, err := os.ReadFile("testdata/phc.json")
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
		if h.Cost() <= 0 || h.Work(len(r.Password)) != h.Cost() {
			t.Errorf("%s: costs %d, %d for the password", r.Encoded, h.Cost(), h.Work(len(r.Password)))
		}
		for _, wrong := range []string{r.Password + "x", " " + r.Password, r.Encoded} {
			if h.Verify(wrong) {
				t.Errorf("%s: %q verifies against %s", r.By, wrong, r.Encoded)
			}
		}
	}
	for _, name := range []string{"scrypt", "pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512"} {
		if per[name] < 20 {
			t.Errorf("%d rows of %s, want 20 at least", per[name], name)
		}
	}
	t.Logf("%d rows: %v", len(rows), per)
}

// TestPHCRefused: what is not a PHC string in its one form is refused.
func TestPHCRefused(t *testing.T) {
	const (
		salt = "AAAAAAAAAAAAAAAAAAAAAA"
		sum  = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	)
	for _, tt := range []struct {
		encoded string
		want    error
	}{
		{"$scrypt$ln=4,r=8,p=1$" + salt + "$" + sum, nil},
		{"$scrypt$ln=4,r=8,p=1$" + salt + "$" + sum + "=", ErrMalformed},
		{"$scrypt$ln=4,r=8,p=1$" + salt + "B$" + sum, ErrMalformed},
		{"$scrypt$ln=4,r=8,p=1$" + salt + "$" + sum[:20], ErrRange},
		{"$scrypt$ln=4,r=8,p=1$" + salt + "$" + strings.Repeat("A", 88), ErrRange},
		{"$scrypt$ln=4,r=8,p=1$" + salt, ErrMalformed},
		{"$scrypt$ln=04,r=8,p=1$" + salt + "$" + sum, ErrMalformed},
		{"$scrypt$ln=0,r=8,p=1$" + salt + "$" + sum, ErrRange},
		{"$scrypt$ln=63,r=8,p=1$" + salt + "$" + sum, ErrRange},
		{"$scrypt$ln=28,r=8,p=1$" + salt + "$" + sum, ErrRange},
		{"$scrypt$ln=17,r=16,p=9$" + salt + "$" + sum, ErrRange},
		{"$scrypt$r=8,ln=4,p=1$" + salt + "$" + sum, ErrMalformed},
		{"$scrypt$ln=4,r=8$" + salt + "$" + sum, ErrMalformed},
		{"$pbkdf2-sha256$10$" + salt + "$" + sum, nil},
		{"$pbkdf2-sha256$i=10$" + salt + "$" + sum, nil},
		{"$pbkdf2-sha256$i=10,l=32$" + salt + "$" + sum, nil},
		{"$pbkdf2-sha256$i=10,l=31$" + salt + "$" + sum, ErrMalformed},
		{"$pbkdf2-sha256$10,l=32$" + salt + "$" + sum, ErrMalformed},
		{"$pbkdf2-sha256$i=10,x=32$" + salt + "$" + sum, ErrMalformed},
		{"$pbkdf2-sha256$i=0$" + salt + "$" + sum, ErrRange},
		{"$pbkdf2-sha256$10000001$" + salt + "$" + sum, ErrRange},
		{"$pbkdf2-sha256$$" + salt + "$" + sum, ErrMalformed},
		{"$pbkdf2-sha1$10$" + salt + "$" + sum, ErrRange},
		{"$pbkdf2-sha256$i=10$" + strings.Repeat("A", 400) + "$" + sum, ErrRange},
		{"$pbkdf2-sha384$10$" + salt + "$" + sum, ErrUnknown},
	} {
		if _, err := Parse(tt.encoded); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.encoded, err, tt.want)
		}
	}
}
