package latchbolt

import (
	"encoding/json"
	"errors"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

func TestFoldAgainstDjango(t *testing.T) {
	data, err := os.ReadFile("testdata/django/normalize.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Compare []struct {
			A, B  string
			Equal bool
		} `json:"unicode_ci_compare"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, row := range file.Compare {
		if got := foldEmail(row.A) == foldEmail(row.B); got != row.Equal {
			t.Errorf("%+q and %+q have equal keys: %v, want %v", row.A, row.B, got, row.Equal)
		}
	}
	if len(file.Compare) < 10 {
		t.Error("fixture is too small")
	}
	t.Logf("%d comparisons", len(file.Compare))
}

// Every single character, alone and between others, must reach its fixed point, or
// two keys of one name would differ.
func TestFoldIsIdempotent(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S) {
			continue
		}
		if !testsize.Full() && unicode.In(r, unicode.Han, unicode.Hangul) && r%64 != 0 {
			continue // two thirds of all, which know no case; with LATCHBOLT_FULL=1 they are tried too
		}
		for _, s := range []string{string(r), "\u0345" + string(r) + "\u0345", "a" + string(r) + "\u0301", "Σ" + string(r)} {
			key := foldName(s)
			if again := foldName(key); again != key {
				t.Errorf("%+q folds to %+q and that to %+q", s, key, again)
			}
		}
	}
}

func TestVariantsOfANameHaveOneKey(t *testing.T) {
	for _, group := range [][]string{
		{"alice", "ALICE", "Alice", "ａｌｉｃｅ", "ＡＬＩＣＥ", "𝐚𝐥𝐢𝐜𝐞", "ⓐⓛⓘⓒⓔ"},
		{"mike", "mi\u212ae", "MIKE"},
		{"strasse", "straße", "STRASSE", "STRAẞE"},
		{"σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"\u1fb3\u0301", "\u1fb4", "\u03b1\u0301\u03b9", "ΆΙ"},
		{"office", "o\ufb03ce"},
		{"\u13a0\u13f0", "\uab70\u13f8"}, // Cherokee
	} {
		for _, s := range group[1:] {
			if foldName(s) != foldName(group[0]) {
				t.Errorf("%+q and %+q have keys %+q and %+q", group[0], s, foldName(group[0]), foldName(s))
			}
		}
	}
	// Unlike in some folds, these are different people.
	for _, pair := range [][2]string{{"mike", "mıke"}, {"i", "İ"}, {"alice", "аlice"}, {"alice", "alice "}, {"alice", "al\u200bice"}} {
		if foldName(pair[0]) == foldName(pair[1]) {
			t.Errorf("%+q and %+q have one key", pair[0], pair[1])
		}
	}
}

func TestFoldLeavesImpossibleNamesAlone(t *testing.T) {
	for _, s := range []string{"A\xff", strings.Repeat("A", 4*maxEmail+1), strings.Repeat("\ufdfa", 1<<18)} {
		if foldName(s) != s {
			t.Errorf("folded %.20q… of %d bytes", s, len(s))
		}
	}
}

// The expected texts are what Python 3.11 answers.
func TestLowerIsPythons(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"ABC xyz":        "abc xyz",
		"ÀÉ":             "àé",
		"İ":              "i\u0307",
		"ẞ":              "ß",
		"Σ":              "σ",
		"AΣ":             "aς",
		"AΣB":            "aσb",
		"AΣ B":           "aς b",
		"AΣ.B":           "aσ.b",
		"A.Σ":            "a.ς",
		"A Σ":            "a σ",
		"AΣΣ":            "aσς",
		"AΣ'":            "aς'",
		"AΣ\u0301":       "aς\u0301",
		"A\u00adΣ":       "a\u00adς",
		"ªΣ":             "ªς",
		"1Σ":             "1σ",
		"ⅫΣ":             "ⅻς",
		"\U00010400":     "\U00010428",
		"\u01c5":         "\u01c6",
		"\u2126\u212a":   "\u03c9k",
		"A\u02b0Σ\u02b0": "a\u02b0ς\u02b0",
	} {
		if got := lower(in); got != want {
			t.Errorf("lower(%+q) = %+q, want %+q", in, got, want)
		}
	}
}

func TestTrimSpaceIsPythons(t *testing.T) {
	const spaces = "\t\n\v\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
	if got := trimSpace(spaces + "a b" + spaces); got != "a b" {
		t.Errorf("got %+q", got)
	}
	for _, keep := range []string{"\u200b", "\ufeff", "\u180e", "\x00", "\x1b"} {
		if got := trimSpace(keep); got != keep {
			t.Errorf("trimmed %+q", keep)
		}
	}
}

func TestValidateText(t *testing.T) {
	for _, c := range []struct {
		what, s  string
		required bool
		code     string
	}{
		{"a name", "Ada King, Countess of Lovelace", true, ""},
		{"ten characters of four bytes", strings.Repeat("𠀀", 10), true, ""},
		{"nothing where something may be", "", false, ""},
		{"nothing where something must be", "", true, "blank"},
		{"a tab", "a\tb", true, ""},
		{"one character too many", strings.Repeat("é", 41), true, "max_length"},
		{"NUL", "a\x00b", false, "null_characters_not_allowed"},
		{"a line feed at the end", "a\n", false, "invalid"},
		{"a carriage return", "a\rb", false, "invalid"},
		{"a line separator", "a\u2028", false, "invalid"},
		{"a paragraph separator", "a\u2029", false, "invalid"},
		{"next line", "a\u0085", false, "invalid"},
		{"a form feed", "a\fb", false, "invalid"},
		{"a file separator", "a\x1cb", false, "invalid"},
		{"not UTF-8", "a\xff", false, "invalid"},
		{"far too long and not UTF-8", strings.Repeat("\xff", 1<<20), false, "max_length"},
	} {
		err := validateText("first_name", c.s, 40, c.required)
		var fe *FieldError
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.code != "" && (!errors.As(err, &fe) || fe.Code != c.code || fe.Field != "first_name"):
			t.Errorf("%s: %v, want code %q", c.what, err, c.code)
		}
	}
}

// watchdog fails if f does not return: x/text/unicode/norm once looped for ever.
func watchdog(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		panic("does not return")
	}
}

// oneAddress fails unless net/mail, too, takes s for one address, and for one at
// the same domain.
func oneAddress(t *testing.T, s string) {
	t.Helper()
	list, err := mail.ParseAddressList(s)
	if err != nil || len(list) != 1 || list[0].Name != "" {
		t.Errorf("net/mail reads %q as %v, %v", s, list, err)
		return
	}
	got := list[0].Address
	if got[strings.LastIndexByte(got, '@'):] != s[strings.LastIndexByte(s, '@'):] {
		t.Errorf("net/mail reads %q as an address at another domain: %q", s, got)
	}
}

func FuzzUsername(f *testing.F) {
	for _, s := range []string{"", "ada", "Ｒené", "½", "№", "\ufdfa", "a\u0345\u0301", "\xff", "\u0f73\u0f75", "İΣ", strings.Repeat("\u0301", 150)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		watchdog(t, func() {
			name, err := NormalizeUsername(s)
			if err != nil {
				return
			}
			if utf8.RuneCountInString(s) > maxUsername || !utf8.ValidString(s) {
				t.Errorf("normalized %q", s)
			}
			if !utf8.ValidString(name) {
				t.Errorf("%q normalizes to %q, which is not UTF-8", s, name)
			}
			key := foldName(name)
			if foldName(key) != key {
				t.Errorf("key %+q of %+q folds to %+q", key, s, foldName(key))
			}
			if foldName(s) != key {
				t.Errorf("%+q and its normal form have keys %+q and %+q", s, foldName(s), key)
			}
			if ValidateUsername(name) != nil {
				return
			}
			if again, err := NormalizeUsername(name); err != nil || again != name {
				t.Errorf("%+q normalizes to %+q and that to %+q, %v", s, name, again, err)
			}
			if strings.ContainsFunc(name, func(r rune) bool { return isSpace(r) || r < ' ' || r == utf8.RuneError }) {
				t.Errorf("valid name %+q", name)
			}
		})
	})
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"", "a@B", "a@good.com@evil.com", `"a@b"@C.de`, `"a\ b"@c.de`, "a@bücher.example", "a@[127.0.0.1]", "a@[::1]", " x@İΣ ", "a@\u0130\u03a3\u00ad.\u0345", "\xff@x", "a@b.c\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		watchdog(t, func() {
			stored := NormalizeEmail(s)
			if again := NormalizeEmail(stored); again != stored {
				t.Errorf("%+q normalizes to %+q and that to %+q", s, stored, again)
			}
			key := foldEmail(stored)
			if foldEmail(key) != key {
				t.Errorf("key %+q folds to %+q", key, foldEmail(key))
			}
			if s == "" || ValidateEmail(s) != nil {
				return
			}
			oneAddress(t, s)
			if err := ValidateEmail(stored); err != nil && utf8.RuneCountInString(stored) == utf8.RuneCountInString(s) {
				t.Errorf("%+q is valid, its stored form %+q is not: %v", s, stored, err)
			}
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || isLineBreak(r) }) {
				t.Errorf("valid address %+q", s)
			}
			if foldEmail(s) != key && len(s) <= utf8.UTFMax*maxEmail && !strings.ContainsAny(s, "İΣ") {
				t.Errorf("%+q and its stored form %+q have different keys", s, stored)
			}
		})
	})
}
