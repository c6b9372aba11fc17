package authhttp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

type cookieRow struct {
	Action    string
	Cookie    string
	Status    int
	Settings  map[string]any
	SetCookie []string `json:"set_cookie"`
	Vary      *string
	Key       string
	RowForKey bool           `json:"row_for_key"`
	OldRow    bool           `json:"old_row"`
	Stored    map[string]any `json:"stored"`
	Raises    string
}

func (r *cookieRow) String() string {
	settings, _ := json.Marshal(r.Settings)
	return fmt.Sprintf("%s, %s cookie, %d, %s", r.Action, r.Cookie, r.Status, settings)
}

const (
	takenBack     = "a cookie that is no session is taken back whatever the status; Django forgets it once values were set that are not saved"
	browserLength = "whether the browser forgets the cookie is decided when the session begins, by Auth.BrowserLength or LoginOptions"
	inThePast     = "a session with an end in the past is ended and its cookie taken back; Django stores one that is over"
)

// Rows of Django's table that are different here, with the reason.
var differentCookies = map[string]string{
	`read_only, valid cookie, 200, {"SESSION_SAVE_EVERY_REQUEST":true}`: "a session has a fixed end and an idle limit, which the server puts off by itself: no cookie is sent on pages that change nothing",
	`set_value, unknown cookie, 500, {}`:                                takenBack,
	`set_value, unknown cookie, 503, {}`:                                takenBack,
	`clear, unknown cookie, 500, {}`:                                    takenBack,
	`expire_at_browser_close, unknown cookie, 500, {}`:                  takenBack,
	`expire_in_an_hour, unknown cookie, 500, {}`:                        takenBack,
	`expire_in_10_75_seconds, unknown cookie, 500, {}`:                  takenBack,
	`expire_at_a_date, unknown cookie, 500, {}`:                         takenBack,
	`expire_in_the_past, unknown cookie, 500, {}`:                       takenBack,
	`expire_at_browser_close, none cookie, 200, {}`:                     browserLength,
	`expire_at_browser_close, unknown cookie, 200, {}`:                  browserLength,
	`expire_at_browser_close, valid cookie, 200, {}`:                    browserLength,
	`expire_in_the_past, none cookie, 200, {}`:                          inThePast,
	`expire_in_the_past, unknown cookie, 200, {}`:                       inThePast,
	`expire_in_the_past, valid cookie, 200, {}`:                         inThePast,
	`clear, unknown cookie, 200, {}`:                                    "an unknown cookie is no session: there is nothing to clear, and the cookie is taken back. Django answers 400 because it does not look whether there is one",
}

// TestCookiesOfDjango does what each row of Django's table says and compares cookie, Vary and
// what is stored. Cookies have one form here: where a setting makes Django's differ in name, path,
// domain, HttpOnly, Secure or SameSite, the rest of the row is compared.
func TestCookiesOfDjango(t *testing.T) {
	var d struct {
		Now  time.Time   `json:"frozen_now"`
		Rows []cookieRow `json:"cookie_headers"`
	}
	fromDjango(t, "sessions.json", &d)
	if len(d.Rows) != 124 {
		t.Fatalf("got %d rows", len(d.Rows))
	}
	different := make(map[string]bool)
	for i := range d.Rows {
		row := &d.Rows[i]
		diff := compareCookies(t, row, d.Now)
		_, listed := differentCookies[row.String()]
		switch {
		case diff != "" && !listed:
			t.Errorf("%s: %s", row, diff)
		case diff == "" && listed:
			t.Errorf("%s: is listed as different, but is the same", row)
		}
		different[row.String()] = diff != ""
	}
	for row := range differentCookies {
		if !different[row] {
			t.Errorf("%s: is listed, but there is no such row", row)
		}
	}
}

func compareCookies(t *testing.T, row *cookieRow, now time.Time) string {
	cfg := &latchbolt.Config{Clock: func() time.Time { return now }}
	fixed := len(row.Settings) == 0
	auth := &authhttp.Auth{}
	for k, v := range row.Settings {
		switch k {
		case "SESSION_COOKIE_AGE":
			cfg.SessionLifetime = time.Duration(v.(float64)) * time.Second
		case "SESSION_EXPIRE_AT_BROWSER_CLOSE":
			auth.BrowserLength, fixed = true, true
		case "SESSION_SAVE_EVERY_REQUEST":
			fixed = true
		}
	}
	s := newSite(t, auth, cfg)
	b := s.browser()
	b.cookies = cookieFor(t, s, row)
	sent := b.cookies[cookie]
	s.page("/act", func(w http.ResponseWriter, r *http.Request) {
		if err := actOnSession(s, r, row, now); err != nil {
			t.Errorf("%s: %v", row, err)
		}
		w.WriteHeader(row.Status)
	})
	res := b.send(b.request("GET", "/act", nil))
	if row.Raises == "SessionInterrupted" {
		if res.StatusCode != http.StatusBadRequest {
			return fmt.Sprintf("got status %d, want 400", res.StatusCode)
		}
		return ""
	}
	if res.StatusCode != row.Status {
		return fmt.Sprintf("got status %d", res.StatusCode)
	}
	if got, want := res.Header.Get("Vary"), row.Vary; want == nil && got != "" || want != nil && got != *want {
		return fmt.Sprintf("Vary is %q", got)
	}
	if len(res.Cookies()) != len(row.SetCookie) {
		return fmt.Sprintf("got cookies %v, want %v", res.Header["Set-Cookie"], row.SetCookie)
	}
	for i, c := range res.Cookies() {
		if diff := compareCookie(c, row.SetCookie[i], fixed); diff != "" {
			return diff
		}
	}
	return compareStored(t, s, row, sent, b.cookies[cookie])
}

// cookieFor makes the session that a row starts from.
func cookieFor(t *testing.T, s *site, row *cookieRow) map[string]string {
	switch row.Cookie {
	case "none":
		return map[string]string{}
	case "unknown":
		other := authtest.New(t, nil)
		p, err := other.NewSession(t.Context(), latchbolt.LoginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{cookie: p.Token.Reveal()}
	}
	b := s.browser()
	s.page("/make", func(w http.ResponseWriter, r *http.Request) {
		err := authhttp.Session(r).Set("old", 1)
		if row.Action != "remove_last_value" {
			err = errors.Join(err, authhttp.Session(r).Set("list", []int{1}))
		}
		if err != nil {
			t.Error(err)
		}
	})
	b.get("/make")
	if b.cookies[cookie] == "" {
		t.Fatal("there is no session to start from")
	}
	return b.cookies
}

// expiries are what the actions set, in Django's table.
var expiries = map[string]time.Duration{
	"expire_at_browser_close": 0, "expire_in_an_hour": time.Hour, "expire_in_10_75_seconds": 10750 * time.Millisecond, "expire_in_the_past": -time.Minute,
	"expire_at_a_date": 48*time.Hour + 3*time.Microsecond, // from now
}

func actOnSession(s *site, r *http.Request, row *cookieRow, now time.Time) error {
	sess := authhttp.Session(r)
	if d, ok := expiries[row.Action]; ok {
		return errors.Join(sess.Set("k", "v"), sess.SetExpiry(d))
	}
	switch row.Action {
	case "remove_last_value":
		return sess.Delete("old")
	case "change_inside_a_value":
		var list []any
		_, err := sess.Get("list", &list)
		list = append(list, 2)
		return errors.Join(err, keep(list))
	case "set_value":
		return sess.Set("k", "v")
	case "read_only":
		var v any
		_, err := sess.Get("k", &v)
		return err
	case "untouched":
		return nil
	case "flush":
		return sess.Flush()
	case "clear":
		return sess.Clear()
	case "row_deleted_meanwhile":
		if err := sess.Set("k", "v"); err != nil {
			return err
		}
		c, err := r.Cookie(cookie)
		if err != nil {
			return err
		}
		t, err := latchbolt.ParseToken(c.Value)
		return errors.Join(err, s.eng.Logout(r.Context(), t))
	}
	return fmt.Errorf("unknown action %q", row.Action)
}

func keep([]any) error { return nil }

// compareCookie compares a cookie with a line of Django's, in which a key stands as KEY.
func compareCookie(c *http.Cookie, line string, attributes bool) string {
	want, err := http.ParseSetCookie(line)
	if err != nil {
		return err.Error()
	}
	switch {
	case (c.Value == "") != (want.Value == ""):
		return fmt.Sprintf("the value is %q, want %q", c.Value, want.Value)
	case c.MaxAge != want.MaxAge || !c.Expires.Equal(want.Expires):
		return fmt.Sprintf("Max-Age %d, Expires %v, want %d, %v", c.MaxAge, c.Expires, want.MaxAge, want.Expires)
	case c.Domain != "" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Name != cookie:
		return "the cookie has other attributes than it always has: " + c.String()
	case attributes && (want.Path != "/" || want.SameSite != http.SameSiteLaxMode || want.Domain != "" || !want.HttpOnly && want.Value != ""):
		return "Django's cookie has other attributes: " + line
	}
	return ""
}

func compareStored(t *testing.T, s *site, row *cookieRow, sent, now string) string {
	key := "none"
	switch {
	case now != "" && now == sent:
		key = "same"
	case now != "":
		key = "new"
	}
	if key != row.Key {
		return fmt.Sprintf("the key is %s, want %s", key, row.Key)
	}
	if n := s.sessions(); (n > 0) != (row.RowForKey || row.OldRow) || n > 1 {
		return strconv.Itoa(n) + " sessions are stored"
	}
	if !row.RowForKey {
		return ""
	}
	tok, err := latchbolt.ParseToken(now)
	if err != nil {
		return err.Error()
	}
	v, err := s.eng.Values(t.Context(), tok)
	if err != nil {
		return err.Error()
	}
	got := make(map[string]any)
	for _, name := range v.Names() {
		var one any
		if _, err := v.Get(name, &one); err != nil {
			return err.Error()
		}
		got[name] = one
	}
	wanted := maps.Clone(row.Stored)
	delete(wanted, "_session_expiry") // it is in the session's record here; the cookie was compared
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Sprintf("stored is %v, want %v", got, wanted)
	}
	return ""
}

// TestCookieIsReadAsNetHTTPDoes puts headers together from all that matters in them, and compares with the standard library.
func TestCookieIsReadAsNetHTTPDoes(t *testing.T) {
	pieces := []string{"", cookie, cookie, cookie + "=", "=", ";", "; ", " ", "\t", `"`, "abcDEF-_.09", "s.aGk", "x", "é", "\x00", ",", cookie + "=tok", "; " + cookie + "=tok", "a=b; "}
	rng := rand.New(rand.NewPCG(4, 4))
	plain, several, none := 0, 0, 0
	for range 200_000 {
		h := http.Header{}
		for range rng.IntN(8) / 6 * rng.IntN(3) {
			h.Add("Cookie", cookie+"=tok")
		}
		line := ""
		for range rng.IntN(9) {
			line += pieces[rng.IntN(len(pieces))]
		}
		h.Add("Cookie", line)
		r := &http.Request{Header: h}
		want, sent := "", false
		all := r.CookiesNamed(cookie)
		for i, c := range all {
			want, sent = c.Value, true
			if i > 0 && c.Value != all[0].Value {
				want = ""
				break
			}
		}
		if got, ok := authhttp.CookieNamed(r, cookie); got != want || ok != sent {
			t.Fatalf("%q: got %q, %v; want %q, %v", h["Cookie"], got, ok, want, sent)
		}
		switch len(all) {
		case 0:
			none++
		case 1:
			plain++
		default:
			several++
		}
	}
	if plain < 1000 || several < 1000 || none < 1000 {
		t.Errorf("%d headers with one cookie, %d with several, %d without: this tests nothing", plain, several, none)
	}
	if _, ok := authhttp.CookieNamed(&http.Request{Header: http.Header{"Cookie": {strings.Repeat(";", 4000) + cookie + "=tok"}}}, cookie); ok {
		t.Error("more cookies than net/http takes")
	}
}

// The age of a cookie that shall last for ever is one that every client can hold, and a machine of 32 bits.
func TestCookieForEver(t *testing.T) {
	s := newSite(t, nil, nil)
	id := authtest.Identity(t, s.eng, authtest.User(t, s.eng, "ada"))
	s.page("/enter", func(w http.ResponseWriter, r *http.Request) {
		if _, err := authhttp.Login(r, id, latchbolt.LoginOptions{Lifetime: math.MaxInt64}); err != nil {
			t.Error(err)
		}
	})
	for _, c := range s.browser().get("/enter").Cookies() {
		if c.Name == cookie && (c.MaxAge < 1<<30 || c.MaxAge > math.MaxInt32) {
			t.Errorf("Max-Age is %d", c.MaxAge)
		}
	}
}
