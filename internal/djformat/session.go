package djformat

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"
)

// The salts under which Django signs sessions, and the one of the session hash.
const (
	saltSession  = "django.contrib.sessions.SessionStore"
	saltCookie   = "django.contrib.sessions.backends.signed_cookies"
	saltAuthHash = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
)

// Keys are the secrets of a Django project. Keys may be used concurrently as
// long as the fields do not change.
type Keys struct {
	Key       string   // SECRET_KEY; must not be empty
	Fallbacks []string // SECRET_KEY_FALLBACKS, used for reading only; none may be empty
}

// Format hides the keys, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { io.WriteString(f, "djformat.Keys{hidden}") }

// LogValue hides the keys.
func (k Keys) LogValue() slog.Value { return slog.StringValue("djformat.Keys{hidden}") }

// Signer returns a Signer for these keys.
func (k Keys) Signer(salt string) Signer {
	return Signer{Key: k.Key, Fallbacks: k.Fallbacks, Salt: salt}
}

// SessionData is the content of a session.
type SessionData struct {
	Values map[string]json.RawMessage // never nil
	Signed                            // Payload holds the members in Django's order
}

// DecodeSession decodes what the column session_data contains. The error is that
// of [Signer.Loads]; it is ErrPayload too if the content is not an object. The
// expiry is not looked at: that of a stored session is in the column expire_date.
func (k Keys) DecodeSession(data string) (*SessionData, error) {
	return decodeSession(k.Signer(saltSession), data)
}

// DecodeCookie decodes a session that the signed_cookies backend keeps in the
// cookie. Django accepts it until SESSION_COOKIE_AGE after it was signed,
// whatever the session itself says; see [Signed.Expired].
func (k Keys) DecodeCookie(value string) (*SessionData, error) {
	return decodeSession(k.Signer(saltCookie), value)
}

func decodeSession(s Signer, text string) (*SessionData, error) {
	signed, err := s.Loads(text)
	if err != nil {
		return nil, err
	}
	d := &SessionData{Signed: *signed}
	if err := json.Unmarshal(signed.Payload, &d.Values); err != nil || d.Values == nil {
		return nil, fmt.Errorf("%w: a session must be an object", ErrPayload)
	}
	return d, nil
}

// EncodeSession returns what the column session_data contains for these values.
// The error is ErrNoKey, ErrTooLarge, or ErrPayload if a value is not JSON.
func (k Keys) EncodeSession(values map[string]json.RawMessage, now time.Time) (string, error) {
	return encodeSession(k.Signer(saltSession), values, now)
}

// EncodeCookie returns the cookie value for these values. The error is that of
// EncodeSession.
func (k Keys) EncodeCookie(values map[string]json.RawMessage, now time.Time) (string, error) {
	return encodeSession(k.Signer(saltCookie), values, now)
}

func encodeSession(s Signer, values map[string]json.RawMessage, now time.Time) (string, error) {
	if values == nil {
		values = map[string]json.RawMessage{}
	}
	var payload bytes.Buffer
	enc := json.NewEncoder(&payload)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(values); err != nil {
		return "", fmt.Errorf("%w: a value of the session is not JSON", ErrPayload)
	}
	return s.Dumps(payload.Bytes(), true, now)
}

// A Login is what a session says about the user who logged in with it.
type Login struct {
	UserID  string // primary key of the user as text
	Backend string // path of the backend as it stood in AUTHENTICATION_BACKENDS
	Hash    string // see SessionAuthHash; "" if missing, which Django does not accept
}

// Login returns who is logged in. It reports false if nobody is: if the user or
// the backend is missing. It does not verify the hash; see
// [Keys.VerifySessionAuthHash].
func (d *SessionData) Login() (login Login, ok bool) {
	id, okID := d.text("_auth_user_id")
	if !okID {
		var n int64 // written so by applications that log in by hand
		if json.Unmarshal(d.Values["_auth_user_id"], &n) == nil && n > 0 {
			id, okID = strconv.FormatInt(n, 10), true
		}
	}
	backend, okBackend := d.text("_auth_user_backend")
	hash, _ := d.text("_auth_user_hash")
	if !okID || !okBackend {
		return Login{}, false
	}
	return Login{UserID: id, Backend: backend, Hash: hash}, true
}

// text returns a value that is a text and not empty.
func (d *SessionData) text(name string) (string, bool) {
	var s *string
	if json.Unmarshal(d.Values[name], &s) != nil || s == nil {
		return "", false
	}
	return *s, *s != ""
}

// SessionAuthHash returns the hash by which a session is tied to the password
// field of its user: it changes whenever the encoded password does.
func SessionAuthHash(passwordField, secret string) string {
	return hex.EncodeToString(saltedHMAC(saltAuthHash, secret, passwordField))
}

// VerifySessionAuthHash tells whether hash belongs to the password field under
// one of the keys, and under which: 0 for Key, n for Fallbacks[n-1]. An empty key
// verifies nothing.
func (k Keys) VerifySessionAuthHash(hash, passwordField string) (keyIndex int, ok bool) {
	for i, key := range k.Signer("").keys() {
		if key != "" && hmac.Equal([]byte(hash), []byte(SessionAuthHash(passwordField, key))) {
			return i, true
		}
	}
	return -1, false
}
