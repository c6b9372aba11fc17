// Package tally is how a test tells the campaign (internal/campaign) what it counted, and how the campaign reads it.
//
// A test says it in its log, on one line, which "go test -v" prints:
//
//	campaign: images=18234 bad=0 seed=42 max-ms=3.5
//
// The campaign takes all such lines of a step together: whole numbers of one key are added; of a key that begins with "max-" the greatest number
// counts; of "seed" and of what is no number each value is kept once. Programs that are no tests print the same line.
package tally

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const mark = "campaign: "

// Log writes keys and values, in turns, into the log of a test. Keys are of small letters, digits and hyphens; values have no spaces.
func Log(t testing.TB, keysAndValues ...any) {
	t.Helper()
	line, err := Line(keysAndValues...)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(line)
}

// Line returns what Log writes.
func Line(keysAndValues ...any) (string, error) {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(mark, " "))
	for i := 0; i < len(keysAndValues); i += 2 {
		key := fmt.Sprint(keysAndValues[i])
		if i+1 == len(keysAndValues) {
			return "", fmt.Errorf("tally: %s has no value", key)
		}
		value := fmt.Sprint(keysAndValues[i+1])
		if !isKey(key) || value == "" || strings.ContainsAny(value, " \t\r\n=|") {
			return "", fmt.Errorf("tally: %q=%q cannot be read back", key, value)
		}
		fmt.Fprintf(&b, " %s=%s", key, value)
	}
	return b.String(), nil
}

func isKey(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') })
}

// Counts are what a step counted, in the order in which the keys came.
type Counts struct {
	keys   []string
	values map[string][]string
}

// Read takes in a line of output if it is one of Log's, and reports whether it is.
func (c *Counts) Read(line string) bool {
	_, text, ok := strings.Cut(line, mark)
	if !ok {
		return false
	}
	fields := strings.Fields(text)
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		if !ok || !isKey(key) || value == "" {
			return false
		}
	}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		c.add(key, value)
	}
	return len(fields) > 0
}

func (c *Counts) add(key, value string) {
	if c.values == nil {
		c.values = make(map[string][]string)
	}
	had, ok := c.values[key]
	if !ok {
		c.keys = append(c.keys, key)
		c.values[key] = []string{value}
		return
	}
	old := had[0]
	a, errA := strconv.ParseInt(old, 10, 64)
	b, errB := strconv.ParseInt(value, 10, 64)
	x, errX := strconv.ParseFloat(old, 64)
	y, errY := strconv.ParseFloat(value, 64)
	switch {
	case strings.HasPrefix(key, "max-") && errX == nil && errY == nil:
		if y > x {
			c.values[key] = []string{value}
		}
	case key != "seed" && errA == nil && errB == nil:
		c.values[key] = []string{strconv.FormatInt(a+b, 10)}
	case !slices.Contains(had, value):
		c.values[key] = append(had, value)
	}
}

// Len is how many keys there are.
func (c *Counts) Len() int { return len(c.keys) }

// Get returns the value of a key; several are joined by commas.
func (c *Counts) Get(key string) string { return strings.Join(c.values[key], ",") }

// Number returns the value of a key if it is one whole number, and 0 otherwise.
func (c *Counts) Number(key string) int64 {
	n, err := strconv.ParseInt(cmp.Or(c.Get(key), "0"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// String writes all as "key=value key=value".
func (c *Counts) String() string {
	parts := make([]string, 0, len(c.keys))
	for _, k := range c.keys {
		parts = append(parts, k+"="+c.Get(k))
	}
	return strings.Join(parts, " ")
}
