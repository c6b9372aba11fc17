package cli

import (
	"strings"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   progressState
		elapsed time.Duration
		width   int
		want    string
	}{
		{"all of it", progressState{stage: "storing", done: 12345, total: 46000, unit: "records"}, 2 * time.Second, 99,
			"storing  [========                      ]  26%  12,345 of 46,000 records  6,172/s  5s left"},
		{"bytes", progressState{stage: "reading", done: 3 << 20, total: 4 << 20}, time.Second, 79,
			"reading  [===============      ]  75%  3.0 MiB of 4.0 MiB  3.0 MiB/s  0s left"},
		{"no total", progressState{stage: "writing", done: 7000, unit: "records"}, time.Second, 79, "writing  7,000 records  7,000/s"},
		{"too early for a rate", progressState{stage: "writing", done: 7, unit: "records"}, time.Millisecond, 79, "writing  7 records"},
		{"no room for the bar", progressState{stage: "storing", done: 1, total: 2, unit: "records"}, time.Second, 44, "storing   50%  1 of 2 records  1/s  1s left"},
		{"no room for the rest", progressState{stage: "storing", done: 1, total: 2, unit: "records"}, time.Second, 20, "storing   50%"},
		{"hardly any room", progressState{stage: "storing", done: 1, total: 2}, time.Second, 4, "stor"},
		{"no room", progressState{stage: "storing", done: 1, total: 2}, time.Second, -1, ""},
		{"more than all", progressState{stage: "storing", done: 3, total: 2, unit: "records"}, time.Second, 60, "storing  [=====================] 100%  3 of 2 records  3/s"},
	} {
		got := c.state.line(c.elapsed, c.width)
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if len(got) > max(c.width, 0) {
			t.Errorf("%s: %d columns of %d", c.name, len(got), c.width)
		}
	}
}

func TestAmounts(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"90m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "1.5d": now.Add(-36 * time.Hour),
		"2026-11-01T00:00:00Z": time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), "2026-11-01": time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("parseSince(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "-1h", "tomorrow", "1000000000d", "-3d", strings.Repeat("9", 400) + "h"} {
		if at, err := parseSince(s, now); err == nil {
			t.Errorf("parseSince(%q) = %v", s, at)
		}
	}
}
