package latchbolt_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/latchbolt-go/latchbolt"
)

// Whatever prints a secret, or something that holds one, prints none. The verb %p is not among
// these: fmt asks nobody how to print what is no pointer, and vet refuses it.
func TestSecretsDoNotPrint(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u := addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	h, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hash", err)
	pepper := latchbolt.Pepper{ID: 1, Key: bytes.Repeat([]byte("pepperkey"), 4)}
	brought, err := latchbolt.ParseToken("sessionkeyofdjango")
	must(t, "parsing", err)
	sealed, err := latchbolt.ParseToken("s.sealedsealedsealed")
	must(t, "parsing", err)
	id := authenticate(t, eng, "ada")
	// The first half of a token is public: it is the session's identifier.
	secrets := []string{s.Token.Reveal()[22:], h.Reveal(), goodPassword, string(pepper.Key), "sessionkeyofdjango", "sealedsealed",
		fmt.Sprintf("%x", rawSecret(t, s.Token)), fmt.Sprint(rawSecret(t, s.Token)), fmt.Sprint(pepper.Key), fmt.Sprintf("%x", pepper.Key)}
	leaks := func(what, got string) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(got, secret) || len(secret) > 20 && strings.Contains(got, secret[4:20]) {
				t.Errorf("%s shows a secret: %.200s", what, got)
			}
		}
	}
	for what, v := range map[string]any{
		"token": s.Token, "token pointer": &s.Token, "brought token": brought, "sealed token": sealed, "hash": h, "hash pointer": &h, "pepper": pepper, "pepper pointer": &pepper,
		"session": s, "session pointer": &s, "list": []any{s, h}, "map": map[string]any{"t": s.Token}, "user": u, "identity": id,
		"password": latchbolt.Password{Username: "ada", Password: goodPassword}, "config": latchbolt.Config{Peppers: []latchbolt.Pepper{pepper}},
		"options": latchbolt.LoginOptions{Previous: s.Token},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%U", "%08.3f"} {
			leaks(what+" by "+verb, fmt.Sprintf(verb, v))
		}
		leaks(what+" by Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		if data, err := json.Marshal(v); err == nil {
			leaks(what+" by JSON", string(data))
		}
		if data, err := xml.Marshal(v); err == nil {
			leaks(what+" by XML", string(data))
		}
		var buf bytes.Buffer
		slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "v", v, slog.Any("w", v))
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "v", v, slog.Group("g", "w", v))
		must(t, "template", template.Must(template.New("").Parse("{{.}} {{printf `%v` .}}")).Execute(&buf, v))
		leaks(what+" by slog or template", buf.String())
		leaks(what+" in an error", errors.Join(fmt.Errorf("%v", v), fmt.Errorf("%+v", v)).Error())
	}
	if got := fmt.Sprint(s.Token, h); got != "[redacted] [redacted]" {
		t.Errorf("got %q", got)
	}
	if data, err := json.Marshal(map[string]any{"t": s.Token}); err != nil || string(data) != `{"t":"[redacted]"}` {
		t.Errorf("JSON: got %s, %v", data, err)
	}
}

func TestParseTokenIsStrict(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	text := s.Token.Reveal()
	if tok, err := latchbolt.ParseToken(text); err != nil || tok != s.Token || len(text) != 64 || tok.IsZero() {
		t.Errorf("round trip: %v, %v", tok == s.Token, err)
	}
	for _, c := range []struct {
		what, text string
		good       bool
	}{
		{"nothing", "", false},
		{"seven characters", "abcdefg", false},
		{"eight characters", "abcdefgh", true},
		{"forty characters", strings.Repeat("a", 40), true},
		{"forty-one characters", strings.Repeat("a", 41), false},
		{"63 characters", text[:63], false},
		{"65 characters", text + "A", false},
		{"64 of another alphabet", strings.Repeat("+", 64), false},
		{"64 with a space", text[:63] + " ", false},
		{"sealed", "s." + strings.Repeat("a", 100), true},
		{"sealed, of 64 characters", "s." + strings.Repeat("a", 62), true},
		{"sealed, as long as a cookie", "s." + strings.Repeat("a", 4094), true},
		{"sealed and longer", "s." + strings.Repeat("a", 4095), false},
		{"a megabyte", strings.Repeat("a", 1<<20), false},
	} {
		tok, err := latchbolt.ParseToken(c.text)
		if (err == nil) != c.good || err != nil && !errors.Is(err, latchbolt.ErrNoSession) || tok.IsZero() == c.good {
			t.Errorf("%s: got zero %v, %v, want good %v", c.what, tok.IsZero(), err, c.good)
		}
		if err != nil && len(err.Error()) > 100 {
			t.Errorf("%s: the error repeats the input", c.what)
		}
	}
	if got := (latchbolt.Token{}).Reveal(); got != "" || !(latchbolt.Token{}).IsZero() {
		t.Errorf("the zero token: %q", got)
	}
}

func TestTokensAreUnique(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	seen := make(map[string]bool)
	for range 200 {
		s := login(t, eng, "ada")
		for _, part := range []string{s.Token.Reveal(), s.ID.String(), string(rawSecret(t, s.Token))} {
			if seen[part] {
				t.Fatal("a token, or a part of it, came twice")
			}
			seen[part] = true
		}
	}
}
