package pwhash_test

import (
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// A stored hash is replaced if it is cheaper to guess than a new one, which
// across algorithms takes account of memory, and never if it is dearer.
func TestOutdatedAcrossAlgorithms(t *testing.T) {
	owasp := &pwhash.Argon2{Memory: 19456, Time: 2, Threads: 1}
	small := &pwhash.Argon2{Memory: 1024, Time: 2, Threads: 1}
	pbkdf2 := func(iterations string) string {
		return "pbkdf2_sha256$" + iterations + "$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="
	}
	const argon = "argon2$argon2id$v=19$m=19456,t=2,p=1$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		name   string
		m      pwhash.Maker
		stored string
		want   bool
	}{
		{"Django 5.2's PBKDF2 by argon2id", owasp, pbkdf2("1000000"), true},
		{"PBKDF2 that is dearer to guess by argon2id", owasp, pbkdf2("2000000"), false},
		{"PBKDF2 by argon2id that needs hardly any memory", small, pbkdf2("1000000"), false},
		{"cheap PBKDF2 by that", small, pbkdf2("1000"), true},
		{"argon2id by Django's PBKDF2", &pwhash.PBKDF2{Iterations: 1_000_000}, argon, false},
		{"argon2id by PBKDF2 that is dearer to guess", &pwhash.PBKDF2{Iterations: 2_000_000}, argon, true},
		{"argon2id by itself", owasp, argon, false},
		{"argon2id of one pass", owasp, strings.Replace(argon, "t=2", "t=1", 1), true},
		{"argon2id of three passes", owasp, strings.Replace(argon, "t=2", "t=3", 1), false},
	} {
		h, err := pwhash.Parse(c.stored)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := pwhash.Outdated(c.m, h); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
