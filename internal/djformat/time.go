package djformat

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timePattern is what Django's parse_datetime accepts, and a date alone, which
// stands for midnight.
var timePattern = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})` +
	`(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,12}))?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?)?$`)

var (
	errTimeForm  = errors.New(`is not a time of the form "2026-05-04T10:20:30.123Z"`)
	errTimeRange = errors.New("is a time that does not exist or lies outside the years 1 to 9999")
)

// parseTime reads a time in ISO 8601 form, with or without offset. A time
// without offset is taken for UTC. What is below a microsecond is dropped, as
// Django does.
func parseTime(s string) (Time, error) {
	m := timePattern.FindStringSubmatch(s)
	if m == nil {
		return Time{}, errTimeForm
	}
	var n [6]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most four digits, or nothing for 0
	}
	micro, _ := strconv.Atoi((m[7] + "000000")[:6])
	offset, ok := parseOffset(m[8])
	if !ok || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return Time{}, errTimeRange
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], micro*1000, time.UTC)
	if t.Month() != time.Month(n[1]) || t.Day() != n[2] || n[0] < 1 {
		return Time{}, errTimeRange
	}
	t = t.Add(-offset)
	if t.Year() < 1 || t.Year() > 9999 {
		return Time{}, errTimeRange
	}
	return Time{Time: t, CutToZero: m[7] != "" && micro == 0}, nil
}

// parseOffset reads "", "Z", "+HH", "+HHMM" or "+HH:MM".
func parseOffset(s string) (offset time.Duration, ok bool) {
	if s == "" || s == "Z" || s == "z" {
		return 0, true
	}
	digits := strings.ReplaceAll(s[1:], ":", "")
	hours, _ := strconv.Atoi(digits[:2])
	minutes := 0
	if len(digits) == 4 {
		minutes, _ = strconv.Atoi(digits[2:])
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, hours < 24 && minutes < 60
}

// appendTime appends t as Django's JSON encoder writes it. It reports false if
// the year, in UTC, has not four digits.
func appendTime(b []byte, t Time) ([]byte, bool) {
	u := t.UTC()
	if u.Year() < 1 || u.Year() > 9999 {
		return b, false
	}
	b = u.AppendFormat(b, "2006-01-02T15:04:05")
	if micro := u.Nanosecond() / 1000; micro != 0 || t.CutToZero {
		b = u.AppendFormat(b, ".000") // cuts, does not round
	}
	return append(b, 'Z'), true
}

// isoTime returns t as Python's isoformat does: microseconds unless they are
// zero, and the offset +00:00.
func isoTime(t time.Time) string {
	u := t.UTC().Truncate(time.Microsecond)
	if u.Nanosecond() == 0 {
		return u.Format("2006-01-02T15:04:05") + "+00:00"
	}
	return u.Format("2006-01-02T15:04:05.000000") + "+00:00"
}
