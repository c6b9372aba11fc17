package djformat_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// answers is what sessions.json contains.
type answers struct {
	Key       string   `json:"SECRET_KEY"`
	Fallbacks []string `json:"SECRET_KEY_FALLBACKS"`
	CookieAge int      `json:"SESSION_COOKIE_AGE"`
	Now       string   `json:"frozen_now"`
	Sessions  []struct {
		Note       string
		SessionKey string `json:"session_key"`
		Data       string `json:"session_data"`
		ExpireDate string `json:"expire_date"`
		Decoded    json.RawMessage
		Compressed bool
		SignedAt   *int64 `json:"signed_at"`
		AtNow      struct {
			Loaded json.RawMessage
			ages
			GetUser struct {
				User      *string
				Flushed   bool
				KeyCycled bool `json:"key_cycled"`
			} `json:"get_user"`
		} `json:"at_frozen_now"`
	}
	SignedCookies []struct {
		Note  string
		Data  json.RawMessage
		Value string `json:"cookie_value"`
	} `json:"signed_cookies"`
	Signing []struct {
		Object   json.RawMessage
		Salt     string
		Compress bool
		Signed   string
	}
	Expiry []struct {
		Stored json.RawMessage
		ages
	}
}

// ages are what Django computes from the expiry of a session.
type ages struct {
	Age     *float64 `json:"get_expiry_age"`
	Date    string   `json:"get_expiry_date"`
	Browser bool     `json:"get_expire_at_browser_close"`
}

func readAnswers(t testing.TB) (a answers, keys djformat.Keys, now time.Time, cookieAge time.Duration) {
	t.Helper()
	readJSON(t, "sessions.json", &a)
	return a, djformat.Keys{Key: a.Key, Fallbacks: a.Fallbacks}, parse(t, a.Now), time.Duration(a.CookieAge) * time.Second
}

// decodeLikeDjango returns what Django's decode returns: an empty object for
// whatever cannot be decoded.
func decodeLikeDjango(t *testing.T, keys djformat.Keys, data string) (*djformat.SessionData, json.RawMessage) {
	t.Helper()
	d, err := keys.DecodeSession(data)
	if err != nil {
		return nil, json.RawMessage("{}")
	}
	object, err := json.Marshal(d.Values)
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(t, object, d.Payload) {
		t.Errorf("values %s, payload %s", object, d.Payload)
	}
	return d, object
}

func TestSessionsDecodeAsInDjango(t *testing.T) {
	a, keys, now, cookieAge := readAnswers(t)
	whys := make(map[string]int)
	expiries := 0
	for _, row := range a.Sessions {
		d, object := decodeLikeDjango(t, keys, row.Data)
		if d == nil {
			_, err := keys.DecodeSession(row.Data)
			switch {
			case errors.Is(err, djformat.ErrPayload) && row.Decoded[0] == '[': // Django returns the list and fails later
				whys["not an object"]++
				object = row.Decoded
			case errors.Is(err, djformat.ErrSignature):
				whys["bad signature"]++
			default:
				t.Errorf("%s: %v", row.Note, err)
			}
		}
		if !sameJSON(t, object, row.Decoded) {
			t.Errorf("%s: got %.200s, want %.200s", row.Note, object, row.Decoded)
		}
		if d == nil {
			continue
		}
		if d.Compressed != row.Compressed || row.SignedAt == nil || d.SignedAt.Unix() != *row.SignedAt {
			t.Errorf("%s: compressed %v, signed at %v", row.Note, d.Compressed, d.SignedAt)
		}
		wantIndex := 0
		if strings.Contains(row.Note, "signed with a fallback key") {
			wantIndex = 1
		}
		if d.KeyIndex != wantIndex {
			t.Errorf("%s: signed with key %d, want %d", row.Note, d.KeyIndex, wantIndex)
		}
		if sameJSON(t, row.AtNow.Loaded, row.Decoded) { // not expired
			checkExpiry(t, row.Note, d, row.AtNow.ages, now, cookieAge)
			expiries++
		}
	}
	if whys["bad signature"] != 3 || whys["not an object"] != 1 {
		t.Errorf("refused: %v", whys)
	}
	counted(t, "sessions", len(a.Sessions))
	counted(t, "expiries of sessions", expiries)
}

// checkExpiry compares with what Django computes at now.
func checkExpiry(t *testing.T, note string, d *djformat.SessionData, want ages, now time.Time, cookieAge time.Duration) {
	t.Helper()
	e, err := d.Expiry()
	if err != nil {
		t.Errorf("%s: %v", note, err)
		return
	}
	if want.Age == nil {
		t.Errorf("%s: the row has no age", note)
	} else if got := e.Age(now, cookieAge).Seconds(); got != *want.Age {
		t.Errorf("%s: age %v, want %v", note, got, *want.Age)
	}
	if got := e.Date(now, cookieAge); !got.Equal(parse(t, want.Date)) {
		t.Errorf("%s: expires at %v, want %v", note, got, want.Date)
	}
	if got := e.AtBrowserClose(false); got != want.Browser {
		t.Errorf("%s: ends with the browser: %v", note, got)
	}
	if got := e.AtBrowserClose(true); got != (want.Browser || e.Kind == djformat.ExpiryDefault) {
		t.Errorf("%s: with SESSION_EXPIRE_AT_BROWSER_CLOSE, ends with the browser: %v", note, got)
	}
}

func TestExpiryAsInDjango(t *testing.T) {
	a, _, now, cookieAge := readAnswers(t)
	for _, row := range a.Expiry {
		d := &djformat.SessionData{Values: map[string]json.RawMessage{}}
		if string(row.Stored) != "null" {
			d.Values["_session_expiry"] = row.Stored
		}
		checkExpiry(t, string(row.Stored), d, row.ages, now, cookieAge)
		e, _ := d.Expiry()
		if got := string(e.Value()); got != string(row.Stored) && (got != "" || string(row.Stored) != "null") {
			t.Errorf("%s is written as %s", row.Stored, got)
		}
	}
	counted(t, "expiries", len(a.Expiry))
}

func TestExpiriesOutsideTheOrdinary(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	for _, test := range []struct{ raw, date, age string }{ // no date: refused
		{`null`, "2026-05-04T10:21:30Z", "1m0s"},
		{`0.0`, "2026-05-04T10:21:30Z", "1m0s"},
		{`"2026-05-04T10:20:31"`, "2026-05-04T10:20:31Z", "1s"},
		{`"2026-05-04T12:20:29.9+02:00"`, "2026-05-04T10:20:29.9Z", "-1s"},
		{`"0001-01-01T00:00:00"`, "0001-01-01T00:00:00Z", "-2562047h47m16s"},
		{`1e12`, "9999-12-31T23:59:59.999999Z", "2562047h47m16.854775807s"},
		{`-1e12`, "0001-01-01T00:00:00Z", "-2562047h47m16.854775808s"},
		{`-0.0000005`, "2026-05-04T10:20:30Z", "-500ns"},
		{`1e15`, "", ""}, {`1e999`, "", ""}, {`true`, "", ""}, {`[]`, "", ""}, {`""`, "", ""}, {`"soon"`, "", ""},
	} {
		d := &djformat.SessionData{Values: map[string]json.RawMessage{"_session_expiry": json.RawMessage(test.raw)}}
		e, err := d.Expiry()
		if test.date == "" {
			if !errors.Is(err, djformat.ErrPayload) {
				t.Errorf("%s: %+v, %v", test.raw, e, err)
			}
			continue
		}
		date, age := e.Date(now, time.Minute), e.Age(now, time.Minute).String()
		if err != nil || !date.Equal(parse(t, test.date)) || age != test.age {
			t.Errorf("%s: %v, %s, %v", test.raw, date, age, err)
		}
	}
}

// The rows of the dump are those of sessions.json, and decode to the same.
func TestSessionsOfTheDump(t *testing.T) {
	a, _, _, _ := readAnswers(t)
	stored := make(map[string]*djformat.Session)
	for _, rec := range readDump(t, readFile(t, "sessions_dump.json"), djformat.Limits{}) {
		s := rec.(*djformat.Session)
		stored[s.Key] = s
	}
	for _, row := range a.Sessions {
		s := stored[row.SessionKey]
		if s == nil || s.Data != row.Data || !s.ExpireDate.Equal(parse(t, row.ExpireDate).Truncate(time.Millisecond)) {
			t.Errorf("%s: dump has %+v", row.Note, s)
		}
	}
	if len(stored) != len(a.Sessions) {
		t.Errorf("%d sessions in the dump", len(stored))
	}
	counted(t, "sessions", len(stored))
}

func TestCookiesDecodeAsInDjango(t *testing.T) {
	a, keys, now, cookieAge := readAnswers(t)
	for _, row := range a.SignedCookies {
		d, err := keys.DecodeCookie(row.Value)
		if err != nil {
			t.Errorf("%s: %v", row.Note, err)
			continue
		}
		if !sameJSON(t, d.Payload, row.Data) {
			t.Errorf("%s: got %.200s", row.Note, d.Payload)
		}
		if d.Expired(cookieAge, now) || d.Expired(cookieAge, d.SignedAt.Add(cookieAge)) || !d.Expired(cookieAge, d.SignedAt.Add(cookieAge+1)) {
			t.Errorf("%s: expires at the wrong time", row.Note)
		}
		if _, err := keys.DecodeSession(row.Value); !errors.Is(err, djformat.ErrSignature) {
			t.Errorf("%s: a cookie was taken for a stored session: %v", row.Note, err)
		}
		again, err := keys.EncodeCookie(d.Values, now)
		if err != nil {
			t.Fatal(err)
		}
		if d2, err := keys.DecodeCookie(again); err != nil || !maps.EqualFunc(d.Values, d2.Values, sameRaw) {
			t.Errorf("%s: %v after encoding again, %v", row.Note, d2, err)
		}
	}
	counted(t, "cookies", len(a.SignedCookies))
}

func sameRaw(a, b json.RawMessage) bool { return bytes.Equal(a, b) }

func TestSessionsEncodeAndDecode(t *testing.T) {
	a, keys, now, _ := readAnswers(t)
	n := 0
	for _, row := range a.Sessions {
		d, err := keys.DecodeSession(row.Data)
		if err != nil {
			continue
		}
		text, err := keys.EncodeSession(d.Values, now)
		if err != nil {
			t.Errorf("%s: %v", row.Note, err)
			continue
		}
		again, err := keys.DecodeSession(text)
		if err != nil || !maps.EqualFunc(again.Values, d.Values, sameRaw) || again.KeyIndex != 0 || !again.SignedAt.Equal(now.Truncate(time.Second)) {
			t.Errorf("%s: %+v, %v", row.Note, again, err)
		}
		n++
	}
	counted(t, "sessions encoded again", n)
	text, err := keys.EncodeSession(nil, now)
	if d, err2 := keys.DecodeSession(text); err != nil || err2 != nil || string(d.Payload) != "{}" || len(d.Values) != 0 {
		t.Errorf("an empty session: %q, %v, %v", text, err, err2)
	}
	if _, err := keys.EncodeSession(map[string]json.RawMessage{"a": json.RawMessage("{")}, now); !errors.Is(err, djformat.ErrPayload) {
		t.Errorf("half an object: %v", err)
	}
}

func TestSessionAuthHashesAsInDjango(t *testing.T) {
	var expected struct {
		Key       string   `json:"SECRET_KEY"`
		Fallbacks []string `json:"SECRET_KEY_FALLBACKS"`
		Users     []struct {
			Username, Encoded string
			Hash              string   `json:"session_auth_hash"`
			FallbackHashes    []string `json:"session_auth_fallback_hashes"`
		}
	}
	readJSON(t, "expected.json", &expected)
	keys := djformat.Keys{Key: expected.Key, Fallbacks: expected.Fallbacks}
	hashes := 0
	for _, u := range expected.Users {
		if len(u.FallbackHashes) != len(expected.Fallbacks) {
			t.Fatalf("%s: %d hashes for the fallbacks", u.Username, len(u.FallbackHashes))
		}
		for i, want := range slices.Concat([]string{u.Hash}, u.FallbackHashes) {
			key := slices.Concat([]string{expected.Key}, expected.Fallbacks)[i]
			if got := djformat.SessionAuthHash(u.Encoded, key); got != want {
				t.Errorf("%s, key %d: %s, want %s", u.Username, i, got, want)
			}
			if index, ok := keys.VerifySessionAuthHash(want, u.Encoded); !ok || index != i {
				t.Errorf("%s, key %d: verified as %d, %v", u.Username, i, index, ok)
			}
			if _, ok := keys.VerifySessionAuthHash(want, u.Encoded+"x"); ok {
				t.Errorf("%s: verified for another password", u.Username)
			}
			hashes++
		}
	}
	counted(t, "session hashes", hashes)
	if _, ok := keys.VerifySessionAuthHash("", ""); ok {
		t.Error("an empty hash was accepted")
	}
	if _, ok := (djformat.Keys{}).VerifySessionAuthHash(djformat.SessionAuthHash("p", ""), "p"); ok {
		t.Error("an empty key was accepted")
	}
}

// Together with the users, sessions must lead to the user whom Django finds.
func TestSessionsLeadToTheUser(t *testing.T) {
	a, keys, now, _ := readAnswers(t)
	users := make(map[string]*djformat.User)
	for _, rec := range readDump(t, readFile(t, "auth.json"), djformat.Limits{}) {
		if u, ok := rec.(*djformat.User); ok {
			users[fmt.Sprint(u.ID)] = u
		}
	}
	n := 0
	for _, row := range a.Sessions {
		d, _ := decodeLikeDjango(t, keys, row.Data)
		if d == nil || !parse(t, row.ExpireDate).After(now) {
			continue
		}
		who, flushed, cycled := "", false, false
		if login, ok := d.Login(); ok && login.Backend == "django.contrib.auth.backends.ModelBackend" {
			if u := users[login.UserID]; u != nil && u.Active {
				index, ok := keys.VerifySessionAuthHash(login.Hash, u.Password)
				flushed, cycled = !ok, index > 0
				if ok {
					who = u.Username
				}
			}
		}
		want := ""
		if row.AtNow.GetUser.User != nil {
			want = *row.AtNow.GetUser.User
		}
		if who != want || flushed != row.AtNow.GetUser.Flushed || cycled != row.AtNow.GetUser.KeyCycled {
			t.Errorf("%s: %q, flushed %v, cycled %v; want %+v", row.Note, who, flushed, cycled, row.AtNow.GetUser)
		}
		n++
	}
	counted(t, "sessions", n)
}

func TestSessionsThatAreNoObjects(t *testing.T) {
	keys := djformat.Keys{Key: "k"}
	for _, content := range []string{"null", "[]", "{}x", "7", `"{}"`} {
		text := sign("k", "django.contrib.sessions.SessionStore", base64.RawURLEncoding.EncodeToString([]byte(content))+":1wJqPe")
		if d, err := keys.DecodeSession(text); !errors.Is(err, djformat.ErrPayload) {
			t.Errorf("%s: %+v, %v", content, d, err)
		}
	}
}

func TestLogins(t *testing.T) {
	for _, test := range []struct {
		values string
		want   djformat.Login
		ok     bool
	}{
		{`{"_auth_user_id":"7","_auth_user_backend":"b","_auth_user_hash":"h"}`, djformat.Login{UserID: "7", Backend: "b", Hash: "h"}, true},
		{`{"_auth_user_id":7,"_auth_user_backend":"b"}`, djformat.Login{UserID: "7", Backend: "b"}, true},
		{`{"_auth_user_id":"7"}`, djformat.Login{}, false},
		{`{"_auth_user_backend":"b"}`, djformat.Login{}, false},
		{`{"_auth_user_id":"","_auth_user_backend":"b"}`, djformat.Login{}, false},
		{`{"_auth_user_id":null,"_auth_user_backend":"b"}`, djformat.Login{}, false},
		{`{"_auth_user_id":7.5,"_auth_user_backend":"b"}`, djformat.Login{}, false},
		{`{"_auth_user_id":"7","_auth_user_backend":["b"]}`, djformat.Login{}, false},
		{`{}`, djformat.Login{}, false},
	} {
		d := &djformat.SessionData{}
		if err := json.Unmarshal([]byte(test.values), &d.Values); err != nil {
			t.Fatal(err)
		}
		if got, ok := d.Login(); got != test.want || ok != test.ok {
			t.Errorf("%s: %+v, %v", test.values, got, ok)
		}
	}
}
