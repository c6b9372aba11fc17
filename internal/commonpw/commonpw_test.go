package commonpw

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// all decodes the whole list without its index.
func all() (entries []string) {
	plain := load().plain
	prev := ""
	for at := 0; at < len(plain); {
		shared, rest := int(plain[at]), int(plain[at+1])
		s := prev[:shared] + string(plain[at+2:at+2+rest])
		entries = append(entries, s)
		prev = s
		at += 2 + rest
	}
	return entries
}

func TestListIsTheOneThatWasGenerated(t *testing.T) {
	entries := all()
	const want = "b977554dd7961128408690ed49962b48a30ba13ae7198facc1d5466710150634"
	sum := sha256.Sum256([]byte(strings.Join(entries, "\n") + "\n"))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("SHA-256 of the list is %s, want %s", got, want)
	}
	if !slices.IsSorted(entries) || len(slices.Compact(slices.Clone(entries))) != len(entries) {
		t.Error("the list is not sorted or has duplicates")
	}
	var atLeast8, atLeast15 int
	for _, s := range entries {
		if s != strings.ToLower(strings.TrimSpace(s)) || !utf8.ValidString(s) || len(s) > maxEntry {
			t.Errorf("entry %q can never be looked up", s)
		}
		switch n := utf8.RuneCountInString(s); {
		case n >= 15:
			atLeast15++
			fallthrough
		case n >= 8:
			atLeast8++
		}
	}
	if atLeast8 < 3000 || atLeast15 < 3000 {
		t.Errorf("%d entries of at least 8 characters and %d of at least 15, want 3000 of each", atLeast8, atLeast15)
	}
	if len(packed) > 250<<10 {
		t.Errorf("the list takes %d bytes of the program", len(packed))
	}
	t.Logf("%d entries, %d of at least 8 characters, %d of at least 15; %d bytes packed, %d unpacked",
		len(entries), atLeast8, atLeast15, len(packed), len(load().plain)+4*len(load().index))
}

func TestContainsIsExact(t *testing.T) {
	entries := all()
	set := make(map[string]bool, len(entries))
	for _, s := range entries {
		set[s] = true
	}
	near := func(s string) []string {
		last := s[len(s)-1]
		return []string{s, s + "x", s[:len(s)-1], s[1:], s + "\x00", s[:len(s)-1] + string(last+1),
			s[:len(s)-1] + string(last-1), "!" + s, strings.ToUpper(s), s + s}
	}
	checked := 0
	for _, s := range entries {
		for _, probe := range near(s) {
			checked++
			if got := Contains(probe); got != set[probe] {
				t.Fatalf("Contains(%q) = %v, want %v", probe, got, set[probe])
			}
		}
	}
	for _, s := range []string{"", "\x00", "\xff", strings.Repeat("~", maxEntry), strings.Repeat("a", 1<<20)} {
		if Contains(s) {
			t.Errorf("Contains(%.20q) = true", s)
		}
	}
	t.Logf("%d look-ups", checked)
}

func TestContainsDoesNotAllocate(t *testing.T) {
	load()
	if n := testing.AllocsPerRun(100, func() { Contains("password"); Contains("correct horse battery staple") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
