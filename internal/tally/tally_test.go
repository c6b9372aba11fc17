package tally_test

import (
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/tally"
)

func TestLinesAreReadBack(t *testing.T) {
	var c tally.Counts
	for _, kv := range [][]any{
		{"images", 100, "bad", 0, "seed", 42, "max-ms", 3.5, "fs", "ext4"},
		{"images", uint64(23), "bad", 0, "seed", 43, "max-ms", 2.25, "fs", "xfs"},
		{"fs", "ext4", "max-ms", 12},
	} {
		line, err := tally.Line(kv...)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Read("    x_test.go:7: "+line) || c.Len() != 5 {
			t.Errorf("%q is not read", line)
		}
	}
	if got, want := c.String(), "images=123 bad=0 seed=42,43 max-ms=12 fs=ext4,xfs"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.Number("images") != 123 || c.Number("fs") != 0 || c.Number("none") != 0 || c.Get("seed") != "42,43" {
		t.Errorf("got %d images", c.Number("images"))
	}
	tally.Log(t, "lines", 3)
}

func TestOtherLinesAreNotRead(t *testing.T) {
	var c tally.Counts
	for _, line := range []string{"", "campaign:", "campaign: ", "campaign: images", "campaign: images=", "campaign: Images=1", "campaign: a=1 the rest is text", "images=1"} {
		if c.Read(line) {
			t.Errorf("%q is read as %q", line, &c)
		}
	}
	if c.Len() != 0 {
		t.Errorf("got %q", &c)
	}
	for _, kv := range [][]any{{"a"}, {"", 1}, {"A", 1}, {"a", ""}, {"a", "b c"}, {"a", "b=c"}, {"a b", 1}, {"a", "b\n"}} {
		if line, err := tally.Line(kv...); err == nil {
			t.Errorf("%q is written as %q", kv, line)
		}
	}
}
