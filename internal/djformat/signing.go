package djformat

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxPayload is the largest signed content in bytes, unpacked, that is read or
// written. It bounds the memory that a small compressed value can take.
const MaxPayload = 1 << 20

// A Signer signs JSON values and reads them back, as Django's signing.dumps and
// signing.loads do:
//
//	base64url(payload) ":" base62(seconds since 1970) ":" base64url(HMAC-SHA256)
//
// The payload is JSON, after a leading "." compressed with zlib. A Signer may be
// used concurrently as long as its fields do not change.
type Signer struct {
	Key       string   // SECRET_KEY; must not be empty
	Fallbacks []string // SECRET_KEY_FALLBACKS, used for reading only; none may be empty
	Salt      string   // "" stands for "django.core.signing", the default of signing.dumps
}

// Format hides the keys, whatever the verb.
func (s Signer) Format(f fmt.State, _ rune) { io.WriteString(f, "djformat.Signer{hidden}") }

// LogValue hides the keys.
func (s Signer) LogValue() slog.Value { return slog.StringValue("djformat.Signer{hidden}") }

// Signed is what a signed value contains.
type Signed struct {
	Payload    json.RawMessage
	SignedAt   time.Time // to the second
	KeyIndex   int       // 0 if signed with Key, n if with Fallbacks[n-1]
	Compressed bool
}

// Expired tells whether the value was signed more than maxAge before now. A
// value that is exactly that old is not expired, nor is one from the future.
func (d *Signed) Expired(maxAge time.Duration, now time.Time) bool {
	return now.Sub(d.SignedAt) > maxAge
}

// Dumps signs a JSON value as of now. If compress is set, it is compressed
// when that makes it shorter by at least 2 bytes. The error is ErrNoKey,
// ErrTooLarge, or ErrPayload if payload is not JSON.
func (s Signer) Dumps(payload json.RawMessage, compress bool, now time.Time) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	data, err := asciiJSON(payload)
	if err != nil {
		return "", err
	}
	if len(data) > MaxPayload {
		return "", ErrTooLarge
	}
	dot := ""
	if compress {
		var packed bytes.Buffer
		z := zlib.NewWriter(&packed)
		z.Write(data) // a bytes.Buffer takes everything
		z.Close()
		if packed.Len() < len(data)-1 {
			dot, data = ".", packed.Bytes()
		}
	}
	value := dot + base64.RawURLEncoding.EncodeToString(data) + ":" + base62(now.Unix())
	return value + ":" + s.signature(value, s.Key), nil
}

// Loads returns what was signed, if it was signed with one of the keys. The
// error is ErrSignature, ErrPayload, ErrTooLarge or ErrNoKey. The age is not
// looked at; see [Signed.Expired].
func (s Signer) Loads(text string) (*Signed, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if len(text) > 2*MaxPayload { // base64 needs a third more
		return nil, ErrTooLarge
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return nil, ErrSignature
	}
	value, signature := text[:i], text[i+1:]
	index := slices.IndexFunc(s.keys(), func(key string) bool {
		return hmac.Equal([]byte(signature), []byte(s.signature(value, key)))
	})
	if index < 0 {
		return nil, ErrSignature
	}
	i = strings.LastIndexByte(value, ':')
	if i < 0 {
		return nil, fmt.Errorf("%w: it has no time", ErrPayload)
	}
	seconds, ok := parseBase62(value[i+1:])
	if !ok {
		return nil, fmt.Errorf("%w: its time is not a number", ErrPayload)
	}
	encoded, compressed := strings.CutPrefix(value[:i], ".")
	payload, err := decodePayload(encoded, compressed)
	if err != nil {
		return nil, err
	}
	return &Signed{Payload: payload, SignedAt: time.Unix(seconds, 0).UTC(), KeyIndex: index, Compressed: compressed}, nil
}

// check refuses empty keys.
func (s Signer) check() error {
	if slices.Contains(s.keys(), "") {
		return ErrNoKey
	}
	return nil
}

// keys returns all keys in the order in which they are tried.
func (s Signer) keys() []string { return slices.Concat([]string{s.Key}, s.Fallbacks) }

func (s Signer) signature(value, key string) string {
	salt := cmp.Or(s.Salt, "django.core.signing") + "signer"
	return base64.RawURLEncoding.EncodeToString(saltedHMAC(salt, key, value))
}

// saltedHMAC is Django's salted_hmac with SHA-256.
func saltedHMAC(salt, secret, value string) []byte {
	key := sha256.Sum256([]byte(salt + secret))
	mac := hmac.New(sha256.New, key[:])
	io.WriteString(mac, value)
	return mac.Sum(nil)
}

// decodePayload unpacks the first part of a signed value.
func decodePayload(encoded string, compressed bool) (json.RawMessage, error) {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64", ErrPayload)
	}
	if compressed {
		z, err := zlib.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(z, MaxPayload+1))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is not compressed with zlib", ErrPayload)
		}
	}
	if len(data) > MaxPayload {
		return nil, ErrTooLarge
	}
	data = fromLatin1(data)
	if !json.Valid(data) {
		return nil, fmt.Errorf("%w: it is not JSON (Python's NaN and Infinity are not either)", ErrPayload)
	}
	return data, nil
}

// fromLatin1 converts Latin-1 to UTF-8. Django writes ASCII but reads Latin-1.
func fromLatin1(data []byte) []byte {
	if !slices.ContainsFunc(data, func(c byte) bool { return c >= utf8.RuneSelf }) {
		return data
	}
	out := make([]byte, 0, 2*len(data))
	for _, c := range data {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

const base62Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// base62 writes n as Django does, with a leading "-" if it is negative.
func base62(n int64) string {
	if n == 0 {
		return "0"
	}
	sign, u := "", uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	var digits []byte
	for ; u > 0; u /= 62 {
		digits = append(digits, base62Digits[u%62])
	}
	slices.Reverse(digits)
	return sign + string(digits)
}

// parseBase62 reads what base62 writes. Numbers that no clock shows are refused,
// so that arithmetic with them cannot overflow.
func parseBase62(s string) (n int64, ok bool) {
	digits, negative := strings.CutPrefix(s, "-")
	if digits == "" {
		return 0, false
	}
	for i := range len(digits) {
		d := strings.IndexByte(base62Digits, digits[i])
		if d < 0 || n > math.MaxInt32*1000 {
			return 0, false
		}
		n = n*62 + int64(d)
	}
	if negative {
		n = -n
	}
	return n, true
}
