package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// TestAuthenticateCostsTheSame: the command that checks a password spends exactly the same units on every class of account, and says
// the same.
func TestAuthenticateCostsTheSame(t *testing.T) {
	cfg := config()
	cfg.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 400}}
	eng := authtest.Open(t, filepath.Join(privateDir(t), "app.db"), cfg)
	_, _ = serve(t, eng)
	sh := &shell{path: eng.Path(), cfg: cfg, socket: true}
	hash := func(iterations int) string {
		text, err := latchbolt.PBKDF2SHA256{Iterations: iterations}.Hash(authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, text := range map[string]string{"usual": hash(400), "off": hash(400), "cheap": hash(100), "dear": hash(1600), "unusable": "!x", "empty": "", "gibberish": "gibberish"} {
		h, err := latchbolt.ParsePasswordHash(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := eng.InsertUser(t.Context(), &latchbolt.User{Username: name, Inactive: name == "off"}, h); err != nil {
			t.Fatal(err)
		}
	}
	units := func() int64 {
		s, err := eng.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s.HashUnits
	}
	said := ""
	for _, c := range []struct{ name, password string }{
		{"usual", "wrong"}, {"missing", "wrong"}, {"off", "wrong"}, {"off", authtest.Password}, {"cheap", "wrong"}, {"dear", "wrong"},
		{"unusable", "wrong"}, {"empty", "wrong"}, {"gibberish", "wrong"},
	} {
		before := units()
		code, out, errOut := sh.run(t, c.password, "authenticate", c.name, "--password-stdin", "--json")
		if got := units() - before; got != 1600 || code != 1 {
			t.Errorf("%s: %d units, exit code %d; want 1600, 1", c.name, got, code)
		}
		if said == "" {
			said = out + errOut
		} else if out+errOut != said {
			t.Errorf("%s: says %q, and of a wrong password %q", c.name, out+errOut, said)
		}
	}
}
