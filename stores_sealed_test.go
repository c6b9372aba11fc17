package latchbolt_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/latchbolt-go/latchbolt"
)

func TestSealedSessionsKeys(t *testing.T) {
	good := bytes.Repeat([]byte{1}, 32)
	for what, keys := range map[string][][]byte{
		"none": nil, "nil": {nil}, "short": {good[:31]}, "long": {append(bytes.Clone(good), 1)},
		"zeros": {make([]byte, 32)}, "a bad second one": {good, good[:16]},
	} {
		_, err := latchbolt.SealedSessions(keys...)
		want(t, what, err, latchbolt.ErrInvalid)
	}
	key := bytes.Clone(good)
	store, err := latchbolt.SealedSessions(key)
	must(t, "a good key", err)
	clear(key) // the caller's
	eng := open(t, &latchbolt.Config{Sessions: store})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	eng = reopen(t, eng, &latchbolt.Config{Sessions: newSealed(t, 1)})
	if !alive(t, eng, s.Token) {
		t.Error("the key was not copied")
	}
}

// Keys are changed by putting a new one in front, and taking the old one out later.
func TestSealedSessionsKeyRotation(t *testing.T) {
	eng := open(t, &latchbolt.Config{Sessions: newSealed(t, 1)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	eng = reopen(t, eng, &latchbolt.Config{Sessions: newSealed(t, 2, 1)})
	if !alive(t, eng, s.Token) {
		t.Error("a token of the old key is not opened")
	}
	renewed := keepNumber(t, eng, s.Token, "n", 7)
	eng = reopen(t, eng, &latchbolt.Config{Sessions: newSealed(t, 2)})
	deadToken(t, eng, s.Token)
	if !alive(t, eng, renewed) || numberIn(t, eng, renewed, "n") != 7 {
		t.Error("the first key did not seal")
	}
	eng = reopen(t, eng, &latchbolt.Config{Sessions: newSealed(t, 3, 1)})
	deadToken(t, eng, renewed)
}

// Whatever is changed in a token makes it worth nothing.
func TestSealedSessionsForgery(t *testing.T) {
	eng := open(t, &latchbolt.Config{Sessions: newSealed(t, 1)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	good := s.Token.Reveal()
	if !strings.HasPrefix(good, "s.") {
		t.Fatalf("the token begins with %q", good[:2])
	}
	raw, err := base64.RawURLEncoding.DecodeString(good[2:])
	must(t, "decoding", err)
	text := func(raw []byte) string { return "s." + base64.RawURLEncoding.EncodeToString(raw) }
	forged := map[string]string{
		"extended by a byte": text(append(bytes.Clone(raw), 0)), "padded": good + "=", "a line end": good + "\n",
		"a line end within": good[:10] + "\n" + good[10:], "two line ends": good[:10] + "\r\n" + good[10:],
		"without prefix": good[2:], "another prefix": "t." + good[2:], "twice": good + good, "s.": "s.", "no nonce": "s.AAAA",
		"standard alphabet": "s." + base64.StdEncoding.EncodeToString(raw), "upper case": strings.ToUpper(good),
		"only a nonce": text(raw[:24]), "no content": text(raw[:40]),
	}
	for n := range raw {
		forged["cut to "+fourDigits(n)] = text(raw[:n])
	}
	for n := range len(good) {
		forged["text cut to "+fourDigits(n)] = good[:n]
	}
	for bit := range len(raw) * 8 {
		d := bytes.Clone(raw)
		d[bit/8] ^= 1 << (bit % 8)
		forged["bit "+fourDigits(bit)] = text(d)
	}
	// The last character may have bits that mean nothing: one token, one text.
	for n := range 3 {
		one := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: strings.Repeat("n", n)}).Token.Reveal()
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			if last := one[:len(one)-1] + string(c); last != one {
				forged[fmt.Sprintf("name of %d, last character %c", n, c)] = last
			}
		}
	}
	for what, f := range sealedElsewhere(t) {
		forged[what] = text(f)
	}
	for what, f := range forged {
		tok, err := latchbolt.ParseToken(f)
		if err == nil {
			_, err = eng.SessionUser(t.Context(), tok)
		}
		want(t, what, err, latchbolt.ErrNoSession)
	}
	if !alive(t, eng, s.Token) {
		t.Error("the real token is dead")
	}
}

// sealedElsewhere are tokens that were sealed with the right key, for another purpose.
func sealedElsewhere(t testing.TB) map[string][]byte {
	t.Helper()
	aead, err := chacha20poly1305.NewX(bytes.Repeat([]byte{1}, 32))
	must(t, "making a cipher", err)
	nonce := bytes.Repeat([]byte{9}, 24)
	all := make(map[string][]byte)
	for _, aad := range []string{"", "latchbolt sealed session 1\x00", "latchbolt reset token", "latchbolt sealed session 2\x00" + strings.Repeat("\x00", 16)} {
		for _, data := range []string{"", "short", strings.Repeat("\x01", 200)} {
			all["purpose "+aad+" with "+data] = aead.Seal(bytes.Clone(nonce), nonce, []byte(data), []byte(aad))
		}
	}
	return all
}

// What does not fit a cookie is refused, and leaves the session as it was.
func TestSealedSessionsSize(t *testing.T) {
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: newSealed(t, 1)})
	addUser(t, eng, "ada")
	s := logIn(t, eng, "ada", latchbolt.LoginOptions{Name: strings.Repeat("n", 100), Client: latchbolt.Client{Agent: strings.Repeat("a", 256)}})
	tok := s.Token
	size := 0
	for {
		next, err := eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return v.Set("n", strings.Repeat("x", size)) })
		if err != nil {
			wantFields(t, "too much", err, "session max_length")
			break
		}
		if n := len(next.Reveal()); n > 3840 {
			t.Fatalf("a token of %d characters was given out", n)
		}
		tok, size = next, size+16
	}
	if size < 2000 {
		t.Errorf("only %d bytes fit", size)
	}
	if cookie := len("__Host-session=" + tok.Reveal() + "; Path=/; Max-Age=1209600; HttpOnly; Secure; SameSite=Lax"); cookie > 4096 {
		t.Errorf("the cookie takes %d bytes", cookie)
	}
	if !alive(t, eng, tok) {
		t.Error("the refusal ended the session")
	}
	parsed, err := latchbolt.ParseToken(tok.Reveal())
	if err != nil || !alive(t, eng, parsed) {
		t.Errorf("the longest token is not read: %v", err)
	}
}

// This is what sealing gives up, and what it does not.
func TestSealedSessionsAfterRestart(t *testing.T) {
	ctx := t.Context()
	cfg := &latchbolt.Config{Sessions: newSealed(t, 1)}
	eng := open(t, cfg)
	ada := addUser(t, eng, "ada")
	addUser(t, eng, "bob")
	kept, left := login(t, eng, "ada"), login(t, eng, "ada")
	bob := login(t, eng, "bob")
	must(t, "Logout", eng.Logout(ctx, left.Token))
	must(t, "Logout", eng.Logout(ctx, bob.Token))
	deadToken(t, eng, left.Token)
	must(t, "EndSessions", eng.EndSessions(ctx, ada.ID))
	eng = reopen(t, eng, &latchbolt.Config{Sessions: newSealed(t, 1)})
	if !alive(t, eng, bob.Token) {
		t.Error("a logout was remembered over a restart: the documentation says otherwise")
	}
	deadToken(t, eng, left.Token)
	deadToken(t, eng, kept.Token)
}

// A token that is renewed now and then lives on; calls that change nothing do it.
func TestSealedSessionsSlide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := open(t, &latchbolt.Config{Sessions: newSealed(t, 1), SessionIdle: time.Hour})
		addUser(t, eng, "ada")
		tok := login(t, eng, "ada").Token
		given := 0
		for range 60 {
			time.Sleep(5 * time.Minute)
			next, err := eng.UpdateValues(t.Context(), tok, func(*latchbolt.Values) error { return nil })
			must(t, "UpdateValues", err)
			if next != tok {
				given++
			}
			again, err := eng.UpdateValues(t.Context(), next, func(*latchbolt.Values) error { return nil })
			if err != nil || again != next {
				t.Errorf("a token just given is replaced: %v", err)
			}
			tok = next
		}
		if !alive(t, eng, tok) || given != 60 {
			t.Errorf("%d new tokens in 60 calls", given)
		}
		time.Sleep(time.Hour)
		deadToken(t, eng, tok)
	})
}

// Whoever ends very many sessions does not make another's come back.
func TestSealedSessionsManyEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many sessions")
	}
	ctx := t.Context()
	eng := open(t, &latchbolt.Config{Sessions: newSealed(t, 1)})
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	must(t, "Logout", eng.Logout(ctx, s.Token))
	for range 25_000 {
		anon, err := eng.NewSession(ctx, latchbolt.LoginOptions{Lifetime: 100 * 24 * time.Hour})
		must(t, "NewSession", err)
		must(t, "Logout", eng.Logout(ctx, anon.Token))
		if alive(t, eng, anon.Token) {
			t.Fatal("an ended session is alive")
		}
	}
	if alive(t, eng, s.Token) {
		t.Error("anonymous visitors brought a user's session back")
	}
}

func FuzzSealedToken(f *testing.F) {
	eng := open(f, &latchbolt.Config{Sessions: newSealed(f, 1)})
	addUser(f, eng, "ada")
	good := login(f, eng, "ada").Token.Reveal()
	anon, err := eng.NewSession(f.Context(), latchbolt.LoginOptions{})
	must(f, "NewSession", err)
	known := map[string]bool{good: true, anon.Token.Reveal(): true}
	f.Add("", uint8(0), uint8(0), true)
	addSplices(func(text string, at, cut uint8) { f.Add(text, at, cut, true); f.Add(text, at, cut, false) })
	for _, text := range []string{"", "s.", "s.A", "s.====", "s.\x00", "s." + strings.Repeat("A", 54), "s." + strings.Repeat("_", 5000)} {
		f.Add(text, uint8(255), uint8(0), true)
	}
	for _, raw := range sealedElsewhere(f) {
		f.Add("s."+base64.RawURLEncoding.EncodeToString(raw), uint8(255), uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, text string, at, cut uint8, user bool) {
		of := anon.Token.Reveal()
		if user {
			of = good
		}
		text = spliced(of, text, at, cut)
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			want(t, "ParseToken", err, latchbolt.ErrNoSession)
			return
		}
		if !strings.HasPrefix(text, "s.") {
			return
		}
		if tok.Reveal() != text {
			t.Errorf("%q is given back as %q", text, tok.Reveal())
		}
		_, err = eng.SessionUser(t.Context(), tok)
		if known[text] {
			must(t, "a token that was given out", err)
			return
		}
		want(t, "SessionUser", err, latchbolt.ErrNoSession)
	})
}
