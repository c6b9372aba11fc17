package djformat

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// An ExpiryKind says how a session's own expiry is given.
type ExpiryKind int

// The kinds of expiry, after what set_expiry was given.
const (
	ExpiryDefault ExpiryKind = iota // nothing or None: SESSION_COOKIE_AGE after the last change
	ExpiryBrowser                   // 0: the cookie ends with the browser, the stored session as by default
	ExpirySeconds                   // Seconds after the last change; negative has expired already
	ExpiryAt                        // at a fixed time
)

// An Expiry is the value _session_expiry of a session. The zero Expiry is the
// default.
type Expiry struct {
	Kind    ExpiryKind
	Seconds float64   // if Kind is ExpirySeconds
	At      time.Time // if Kind is ExpiryAt; UTC
}

// maxSeconds is the longest period that Python's timedelta holds.
const maxSeconds = 999_999_999 * 86400.0

// Expiry returns the session's own expiry. The error is ErrPayload if it is
// neither a number nor a time. A time without offset is taken for UTC.
func (d *SessionData) Expiry() (Expiry, error) {
	raw, ok := d.Values["_session_expiry"]
	if !ok {
		return Expiry{}, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return Expiry{}, fmt.Errorf("%w: _session_expiry is not JSON or out of range", ErrPayload)
	}
	switch v := v.(type) {
	case nil:
		return Expiry{}, nil
	case float64:
		if math.Abs(v) > maxSeconds {
			return Expiry{}, fmt.Errorf("%w: _session_expiry is out of range", ErrPayload)
		}
		if v == 0 {
			return Expiry{Kind: ExpiryBrowser}, nil
		}
		return Expiry{Kind: ExpirySeconds, Seconds: v}, nil
	case string:
		t, err := parseTime(v)
		if err != nil {
			return Expiry{}, fmt.Errorf("%w: _session_expiry %v", ErrPayload, err)
		}
		return Expiry{Kind: ExpiryAt, At: t.Time}, nil
	}
	return Expiry{}, fmt.Errorf("%w: _session_expiry is neither a number nor a time", ErrPayload)
}

// Value returns e as a session stores it, or nil if nothing is stored.
func (e Expiry) Value() json.RawMessage {
	switch e.Kind {
	case ExpiryBrowser:
		return json.RawMessage("0")
	case ExpirySeconds:
		return strconv.AppendFloat(nil, e.Seconds, 'f', -1, 64)
	case ExpiryAt:
		return json.RawMessage(`"` + isoTime(e.At) + `"`)
	}
	return nil
}

// AtBrowserClose tells whether the cookie ends with the browser. setting is
// SESSION_EXPIRE_AT_BROWSER_CLOSE, which counts for the default only.
func (e Expiry) AtBrowserClose(setting bool) bool {
	return e.Kind == ExpiryBrowser || e.Kind == ExpiryDefault && setting
}

// Date returns when the session expires if it was changed last at modified, where
// cookieAge is SESSION_COOKIE_AGE. A date before the year 1 or after 9999, which
// Django refuses, is moved to that limit.
func (e Expiry) Date(modified time.Time, cookieAge time.Duration) time.Time {
	var t time.Time
	switch e.Kind {
	case ExpiryAt:
		t = e.At
	case ExpirySeconds:
		whole, fraction := math.Modf(e.Seconds)
		micro := int64(math.RoundToEven(fraction * 1e6))
		t = time.Unix(modified.Unix()+int64(whole), int64(modified.Nanosecond())+micro*1000).UTC()
	default:
		t = modified.UTC().Add(cookieAge)
	}
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// Age returns how long after modified the session expires, which Django gives
// the cookie as Max-Age. For a fixed time, parts of a second are dropped. Ages
// beyond what a time.Duration holds, 292 years, are cut to that.
func (e Expiry) Age(modified time.Time, cookieAge time.Duration) time.Duration {
	switch e.Kind {
	case ExpiryAt:
		age := e.At.Sub(modified)
		if rest := age % time.Second; rest < 0 && age > math.MinInt64+time.Second { // towards the past, as Python does
			return age - rest - time.Second
		}
		return age.Truncate(time.Second)
	case ExpirySeconds:
		switch ns := e.Seconds * 1e9; {
		case ns >= math.MaxInt64:
			return math.MaxInt64
		case ns <= math.MinInt64:
			return math.MinInt64
		default:
			return time.Duration(ns)
		}
	}
	return cookieAge
}
