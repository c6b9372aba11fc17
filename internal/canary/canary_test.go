package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
)

// Everything that a log or a file could show of a secret is found, wherever it stands; what is none is not.
func TestFind(t *testing.T) {
	var h Hunt
	h.Password("a password of the tests")
	var key, other [32]byte
	_, _ = recorder{rand.Reader, &h}.Read(key[:])
	_, _ = rand.Read(other[:])
	_, _ = recorder{rand.Reader, &h}.Read(make([]byte, 16)) // a salt is no secret
	if h.Secrets() != 2 {
		t.Fatalf("%d secrets", h.Secrets())
	}
	for offset := range 5 {
		front := bytes.Repeat([]byte{'x'}, offset)
		token := append(bytes.Repeat([]byte{1}, 14+offset), key[:]...)
		for what, data := range map[string][]byte{
			"a password":                  []byte(`{"msg":"a password of the tests"}`),
			"raw":                         append(front, key[:]...),
			"the first half":              append(front, key[:16]...),
			"hexadecimal":                 fmt.Appendf(front, "token=%x", token),
			"hexadecimal, upper case":     fmt.Appendf(front, "token=%X!", key),
			"base64 for URLs":             []byte("token=" + base64.RawURLEncoding.EncodeToString(token) + `"`),
			"base64":                      []byte("token: " + base64.StdEncoding.EncodeToString(token) + `"`),
			"base64 behind other letters": append(append(front, "abc"...), base64.RawURLEncoding.EncodeToString(token)...),
		} {
			if len(h.Find(data)) == 0 {
				t.Errorf("%s at %d is not found in %q", what, offset, data)
			}
		}
		for what, data := range map[string][]byte{
			"another secret":          append(front, other[:]...),
			"another, in base64":      []byte(base64.RawURLEncoding.EncodeToString(other[:])),
			"another, in hexadecimal": []byte(hex.EncodeToString(other[:])),
			"a hash of it":            []byte("a passwort of the tests"),
		} {
			if hits := h.Find(data); len(hits) != 0 {
				t.Errorf("%s at %d: %v", what, offset, hits)
			}
		}
	}
}
