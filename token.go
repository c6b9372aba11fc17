package latchbolt

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// A Token proves a session. It belongs to one client: a browser keeps it in
// a cookie, a terminal program in a file of mode 0600. The zero Token proves
// nothing.
//
// A Token prints as "[redacted]", unless it stands in an unexported field of another struct that is
// printed whole, where fmt does not ask it; [Token.Reveal] gives the text to send to the
// client, and [ParseToken] reads it back. Tokens can be compared with ==, which
// takes no care about timing: do not decide with it who somebody is.
type Token struct {
	redact
	sel    selector
	ver    [32]byte // the secret: 256 random bits, or the hash of a key brought over
	kind   tokenKind
	sealed string // the whole token, if kind is tokenSealed
}

type tokenKind uint8

const (
	tokenNone   tokenKind = iota
	tokenNative           // 16 bytes selector, 32 bytes verifier
	tokenKey              // a session key of another system; ver is its SHA-256
	tokenSealed           // everything is inside the token
)

const (
	tokenBytes   = 16 + 32
	tokenText    = 64 // characters of a native token; 48 bytes need no padding
	minForeign   = 8  // characters of a key brought over; Django takes none shorter
	maxForeign   = 40 // Django's column is as wide
	sealedPrefix = "s."
	maxSealed    = 4096 // a cookie has no room for more (RFC 6265, section 6.1)
)

// tokenEncoding is strict, so that one token has one text.
var tokenEncoding = base64.RawURLEncoding.Strict()

// ParseToken reads what [Token.Reveal] gave, or a session key of Django. It
// only looks at the form: whether the token is good is for [Engine.SessionUser]
// to say. The error is [ErrNoSession].
func ParseToken(s string) (Token, error) {
	if strings.HasPrefix(s, sealedPrefix) && len(s) <= maxSealed {
		return Token{kind: tokenSealed, sealed: s}, nil
	}
	if len(s) == tokenText {
		var raw [tokenBytes]byte
		if n, err := tokenEncoding.Decode(raw[:], []byte(s)); err == nil && n == tokenBytes {
			t := Token{kind: tokenNative}
			copy(t.sel[:], raw[:16])
			copy(t.ver[:], raw[16:])
			return t, nil
		}
		return Token{}, ErrNoSession
	}
	if len(s) >= minForeign && len(s) <= maxForeign {
		t := Token{kind: tokenKey, ver: sha256.Sum256([]byte(s))}
		t.sel = broughtSelector(t.digest())
		return t, nil
	}
	return Token{}, ErrNoSession
}

// newToken makes a token whose record may live until expires at the latest. It
// fails only if the system has no randomness.
func newToken(expires, now time.Time) (Token, error) {
	var random [6 + 32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Token{}, fmt.Errorf("latchbolt: no randomness for a token: %w", err)
	}
	t := Token{kind: tokenNative}
	t.sel = newSelector(expires, now, [6]byte(random[:6]))
	copy(t.ver[:], random[6:])
	return t, nil
}

// Reveal returns the text of the token, to hand to the client it belongs to.
// It returns "" for the zero Token and for one that was parsed from a key of
// another system, which the client has already.
func (t Token) Reveal() string {
	switch t.kind {
	case tokenNative:
		var raw [tokenBytes]byte
		copy(raw[:], t.sel[:])
		copy(raw[16:], t.ver[:])
		return base64.RawURLEncoding.EncodeToString(raw[:])
	case tokenSealed:
		return t.sealed
	}
	return ""
}

// IsZero reports whether t is the zero Token, which proves nothing.
func (t Token) IsZero() bool { return t.kind == tokenNone }

// broughtSelector stands for a session in the cache whose token has no selector.
func broughtSelector(digest [32]byte) selector { return selector(digest[:16]) }

// digest is what is stored of the secret half.
func (t *Token) digest() [32]byte { return sha256.Sum256(t.ver[:]) }

func equalDigest(a, b *[32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
