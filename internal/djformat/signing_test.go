package djformat_test

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

func TestSigningAsInDjango(t *testing.T) {
	a, keys, now, _ := readAnswers(t)
	identical := 0
	for _, row := range a.Signing {
		s := keys.Signer(row.Salt)
		got, err := s.Loads(row.Signed)
		if err != nil || !sameJSON(t, got.Payload, row.Object) || got.KeyIndex != 0 || !got.SignedAt.Equal(now.Truncate(time.Second)) {
			t.Errorf("%.60s: got %+v, %v", row.Signed, got, err)
			continue
		}
		text, err := s.Dumps(row.Object, row.Compress, now)
		if err != nil {
			t.Errorf("%.60s: %v", row.Object, err)
		}
		if row.Signed[0] == '.' { // other implementations of zlib make other streams
			if again, err := s.Loads(text); err != nil || !again.Compressed || !bytes.Equal(again.Payload, got.Payload) {
				t.Errorf("%.60s: %+v, %v", row.Object, again, err)
			}
			continue
		}
		if text != row.Signed {
			t.Errorf("got %s, want %s", text, row.Signed)
		}
		identical++
	}
	counted(t, "signed values", len(a.Signing))
	counted(t, "of them byte for byte", identical)
}

// sign signs any bytes as the first part of a value, as only the owner of the
// key can.
func sign(key, salt, value string) string {
	k := sha256.Sum256([]byte(salt + "signer" + key))
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(value))
	return value + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func deflate(t testing.TB, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return "." + base64.RawURLEncoding.EncodeToString(b.Bytes())
}

func TestSignedValuesThatAreRefused(t *testing.T) {
	s := djformat.Signer{Key: "k", Fallbacks: []string{"old"}}
	const salt = "django.core.signing"
	bomb := deflate(t, []byte(`"`+strings.Repeat("x", 50<<20)+`"`))
	edge := deflate(t, []byte(`"`+strings.Repeat("x", djformat.MaxPayload-2)+`"`))
	for _, test := range []struct {
		why, text string
		want      error
	}{
		{"empty", "", djformat.ErrSignature},
		{"no colon", "abc", djformat.ErrSignature},
		{"colons only", ":::", djformat.ErrSignature},
		{"another key", sign("other", salt, "MTI:1wJqPe"), djformat.ErrSignature},
		{"an empty key", sign("", salt, "MTI:1wJqPe"), djformat.ErrSignature},
		{"another salt", sign("k", "other", "MTI:1wJqPe"), djformat.ErrSignature},
		{"another time", strings.Replace(sign("k", salt, "MTI:1wJqPe"), "1wJ", "1wK", 1), djformat.ErrSignature},
		{"a signature cut short", strings.TrimRight(sign("k", salt, "MTI:1wJqPe"), "_-0123456789"+"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), djformat.ErrSignature},
		{"padding after the signature", sign("k", salt, "MTI:1wJqPe") + "=", djformat.ErrSignature},
		{"no time", sign("k", salt, "MTI"), djformat.ErrPayload},
		{"an empty time", sign("k", salt, "MTI:"), djformat.ErrPayload},
		{"a time that is no number", sign("k", salt, "MTI:1w+"), djformat.ErrPayload},
		{"a time beyond all clocks", sign("k", salt, "MTI:zzzzzzzzzzzz"), djformat.ErrPayload},
		{"no base64", sign("k", salt, "M*I:1wJqPe"), djformat.ErrPayload},
		{"no JSON", sign("k", salt, "eA:1wJqPe"), djformat.ErrPayload},
		{"NaN", sign("k", salt, "TmFO:1wJqPe"), djformat.ErrPayload},
		{"nothing", sign("k", salt, ":1wJqPe"), djformat.ErrPayload},
		{"no zlib", sign("k", salt, ".MTI:1wJqPe"), djformat.ErrPayload},
		{"zlib cut short", sign("k", salt, edge[:len(edge)-8]+":1wJqPe"), djformat.ErrPayload},
		{"a zip bomb", sign("k", salt, bomb+":1wJqPe"), djformat.ErrTooLarge},
		{"a long text", strings.Repeat("x", 3<<20), djformat.ErrTooLarge},
		{"a long payload", sign("k", salt, strings.Repeat("MTEx", djformat.MaxPayload/3+1)+":1wJqPe"), djformat.ErrTooLarge},
		{"just short enough", sign("k", salt, edge+":1wJqPe"), nil},
		{"a fallback key", sign("old", salt, "MTI:1wJqPe"), nil},
		{"padding", sign("k", salt, "MTI=:1wJqPe"), nil},
		{"a time before 1970", sign("k", salt, "MTI:-1wJqPe"), nil},
	} {
		if got, err := s.Loads(test.text); !errors.Is(err, test.want) {
			t.Errorf("%s: %.80v, %v", test.why, got, err)
		}
	}
	for _, s := range []djformat.Signer{{}, {Key: "k", Fallbacks: []string{""}}} {
		_, err := s.Loads(sign("", salt, "MTI:1wJqPe"))
		if _, err2 := s.Dumps(json.RawMessage("12"), false, time.Now()); err != djformat.ErrNoKey || err2 != djformat.ErrNoKey {
			t.Errorf("empty key: %v, %v", err, err2)
		}
	}
	if _, err := s.Dumps(json.RawMessage(`"`+strings.Repeat("é", djformat.MaxPayload/4)+`"`), true, time.Now()); !errors.Is(err, djformat.ErrTooLarge) {
		t.Errorf("a long payload to sign: %v", err)
	}
}

// A small value must not take the memory that it would unpack to.
func TestZipBombsTakeLittleMemory(t *testing.T) {
	text := sign("k", "django.core.signing", deflate(t, bytes.Repeat([]byte(" "), 100<<20))+":1wJqPe")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := djformat.Signer{Key: "k"}.Loads(text)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, djformat.ErrTooLarge) || taken > 16<<20 {
		t.Errorf("%d bytes took %d bytes of memory: %v", len(text), taken, err)
	}
}

func TestSignedJSONHasPythonsForm(t *testing.T) {
	s := djformat.Signer{Key: "k"}
	at := time.Unix(0, 0)
	for in, want := range map[string]string{
		" { \"b\" : [ 1.50 , -0 , 1E5 ] , \"a\" : null }\n": `{"b":[1.50,-0,1E5],"a":null}`,
		`"é\u00E9\/\u002f <>&"`:                             `"\u00e9\u00e9// <>&"`,
		`"🔑\ud83d\udd11\ud83d"`:                             `"\ud83d\udd11\ud83d\udd11\ud83d"`,
		"\"\x7f\\u007F\\u0022\\u005c\\u000a\\b\\\"\"":       `"\u007f\u007f\"\\\n\b\""`,
	} {
		text, err := s.Dumps(json.RawMessage(in), false, at)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		payload, rest, _ := strings.Cut(text, ":")
		got, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || string(got) != want || !strings.HasPrefix(rest, "0:") {
			t.Errorf("%s: got %s and %s, want %s", in, got, rest, want)
		}
	}
	for _, bad := range []string{"", "{", "\"\xff\"", "1 2"} {
		if _, err := s.Dumps(json.RawMessage(bad), false, at); !errors.Is(err, djformat.ErrPayload) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	latin1 := sign("k", "django.core.signing", base64.RawURLEncoding.EncodeToString([]byte("\"\xe9\""))+":0")
	if got, err := s.Loads(latin1); err != nil || string(got.Payload) != `"é"` {
		t.Errorf("Latin-1: %+v, %v", got, err)
	}
}

func TestKeysAreHidden(t *testing.T) {
	keys := djformat.Keys{Key: "top-secret", Fallbacks: []string{"top-secret"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(verb+verb+verb, keys, keys.Signer(""), &keys) + keys.LogValue().String() + keys.Signer("").LogValue().String()
		if strings.Contains(text, "top") || strings.Contains(text, "746f70") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}
