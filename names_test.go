package latchbolt_test

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
)

// readFixture decodes an answer of real Django.
func readFixture(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/django/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// codes returns the codes of the field errors in err, and whether all of err is
// field errors of the given field.
func codes(err error, field string) (list []string, ok bool) {
	if err == nil {
		return nil, true
	}
	var many latchbolt.FieldErrors
	var one *latchbolt.FieldError
	if !errors.As(err, &many) {
		if !errors.As(err, &one) {
			return nil, false
		}
		many = latchbolt.FieldErrors{one}
	}
	for _, fe := range many {
		if fe.Field != field || fe.Msg == "" || !errors.Is(fe, latchbolt.ErrInvalid) {
			return nil, false
		}
		list = append(list, fe.Code)
	}
	return list, true
}

func wantCodes(t *testing.T, what string, err error, field string, want ...string) {
	t.Helper()
	got, ok := codes(err, field)
	if !ok {
		t.Errorf("%s: error %v (%T) is not a field error of %q", what, err, err, field)
	} else if !slices.Equal(got, want) {
		t.Errorf("%s: codes %q, want %q", what, got, want)
	}
}

type nameRow struct {
	In       string   `json:"in"`
	Out      string   `json:"out"`
	PointsIn int      `json:"code_points_in"`
	ValidIn  bool     `json:"unicode_validator_in"`
	ValidOut bool     `json:"unicode_validator_out"`
	CodesIn  []string `json:"model_field_error_codes_in"`
	CodesOut []string `json:"model_field_error_codes_out"`
}

type normalizeFile struct {
	Emails []struct {
		In  *string `json:"in"`
		Out string  `json:"out"`
	} `json:"emails"`
	Usernames []nameRow `json:"usernames"`
	Points    struct {
		Accepted []rune `json:"accepted"`
		Rejected []rune `json:"rejected"`
	} `json:"username_code_points"`
}

func TestUsernamesAgainstDjango(t *testing.T) {
	var file normalizeFile
	readFixture(t, "normalize.json", &file)
	for _, row := range file.Usernames {
		checkNameRow(t, row)
	}
	if len(file.Usernames) < 200 {
		t.Errorf("only %d rows", len(file.Usernames))
	}
	t.Logf("%d user names", len(file.Usernames))
}

func checkNameRow(t *testing.T, row nameRow) {
	t.Helper()
	out, err := latchbolt.NormalizeUsername(row.In)
	if row.PointsIn > 150 {
		// Django normalizes in the model, but not in the form; here nothing
		// over the limit is.
		wantCodes(t, "NormalizeUsername of a long name", err, "username", "max_length")
		out = row.Out
	} else if err != nil || out != row.Out {
		t.Errorf("NormalizeUsername(%+q) = %+q, %v, want %+q", row.In, out, err, row.Out)
	}
	for _, c := range []struct {
		s     string
		codes []string
	}{{row.In, row.CodesIn}, {out, row.CodesOut}} {
		want := c.codes
		if len(want) > 1 && slices.Contains(want, "max_length") {
			want = []string{"max_length"} // Django goes on to look at every character
		}
		wantCodes(t, "ValidateUsername", latchbolt.ValidateUsername(c.s), "username", want...)
	}
	// The regular expression by itself has no limits of length.
	if n := utf8.RuneCountInString(row.In); n >= 1 && n <= 150 {
		if got := latchbolt.ValidateUsername(row.In) == nil; got != row.ValidIn {
			t.Errorf("ValidateUsername(%+q) accepts: %v, want %v", row.In, got, row.ValidIn)
		}
	}
}

func TestUsernameCodePointsAgainstDjango(t *testing.T) {
	var file normalizeFile
	readFixture(t, "normalize.json", &file)
	for _, r := range file.Points.Accepted {
		if err := latchbolt.ValidateUsername(string(r)); err != nil {
			t.Errorf("%U: %v, want accepted", r, err)
		}
	}
	for _, r := range file.Points.Rejected {
		wantCodes(t, string(r), latchbolt.ValidateUsername(string(r)), "username", "invalid")
	}
	if len(file.Points.Accepted) < 900 || len(file.Points.Rejected) < 100 {
		t.Error("fixture is too small")
	}
	t.Logf("%d accepted, %d rejected", len(file.Points.Accepted), len(file.Points.Rejected))
}

func TestEmailsAgainstDjango(t *testing.T) {
	var file normalizeFile
	readFixture(t, "normalize.json", &file)
	for _, row := range file.Emails {
		in := ""
		if row.In != nil {
			in = *row.In
		}
		if got := latchbolt.NormalizeEmail(in); got != row.Out {
			t.Errorf("NormalizeEmail(%+q) = %+q, want %+q", in, got, row.Out)
		}
	}
	if len(file.Emails) < 90 {
		t.Errorf("only %d rows", len(file.Emails))
	}
	t.Logf("%d addresses", len(file.Emails))
}

// TestCVE_2015_5144: what ends a line is in no name and no address.
func TestCVE_2015_5144(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n", "\u2028", "\u2029", "\u0085", "\v", "\f", "\x00", "\u200b", "\u00a0", "\ufeff"} {
		wantCodes(t, "username", latchbolt.ValidateUsername("ada"+end), "username", "invalid")
		wantCodes(t, "email", latchbolt.ValidateEmail("ada@example.com"+end), "email", "invalid")
		wantCodes(t, "email", latchbolt.ValidateEmail("ada"+end+"@example.com"), "email", "invalid")
		wantCodes(t, "email", latchbolt.ValidateEmail(`"ada`+end+`"@example.com`), "email", "invalid")
		wantCodes(t, "email", latchbolt.ValidateEmail(`"ada\`+end+`"@example.com`), "email", "invalid")
	}
}

func TestNamesThatAreNotUTF8AreRefused(t *testing.T) {
	for _, s := range []string{"\xff", "ada\xc3", "\xed\xa0\x80", "a\x80b"} {
		_, err := latchbolt.NormalizeUsername(s)
		wantCodes(t, "NormalizeUsername", err, "username", "invalid")
		wantCodes(t, "ValidateUsername", latchbolt.ValidateUsername(s), "username", "invalid")
		wantCodes(t, "ValidateEmail", latchbolt.ValidateEmail(s+"@example.com"), "email", "invalid")
		wantCodes(t, "ValidateEmail", latchbolt.ValidateEmail("a@example."+s), "email", "invalid")
		if got := latchbolt.NormalizeEmail(s + "@EXAMPLE.com"); got != s+"@EXAMPLE.com" {
			t.Errorf("NormalizeEmail changed %q to %q", s, got)
		}
	}
}

func TestUsernameLimits(t *testing.T) {
	for _, unit := range []string{"a", "é", "語", "𠀀"} {
		if err := latchbolt.ValidateUsername(strings.Repeat(unit, 150)); err != nil {
			t.Errorf("150 × %s: %v", unit, err)
		}
		if _, err := latchbolt.NormalizeUsername(strings.Repeat(unit, 150)); err != nil {
			t.Errorf("150 × %s: %v", unit, err)
		}
		_, err := latchbolt.NormalizeUsername(strings.Repeat(unit, 151))
		wantCodes(t, "151 × "+unit, err, "username", "max_length")
		wantCodes(t, "151 × "+unit, latchbolt.ValidateUsername(strings.Repeat(unit, 151)), "username", "max_length")
	}
	err := latchbolt.ValidateUsername(strings.Repeat("a", 151))
	var fe *latchbolt.FieldError
	if !errors.As(err, &fe) || fe.Msg != "Ensure this value has at most 150 characters (it has 151)." {
		t.Errorf("error is %v", err)
	}
}

// TestCVE_2023_46695: nothing too long is normalized. U+FDFA becomes 18 characters under NFKC; normalizing 1 MiB of it takes
// megabytes. Nothing but the error may be allocated.
func TestCVE_2023_46695(t *testing.T) {
	huge := strings.Repeat("\ufdfa", 1<<20/3)
	for what, f := range map[string]func(){
		"NormalizeUsername": func() { latchbolt.NormalizeUsername(huge) },
		"ValidateUsername":  func() { latchbolt.ValidateUsername(huge) },
		"NormalizeEmail":    func() { latchbolt.NormalizeEmail(huge + "@" + "example.com") },
		"ValidateEmail":     func() { latchbolt.ValidateEmail(huge) },
	} {
		limit := uint64(16 << 10)
		if what == "NormalizeEmail" {
			limit += 1<<20 + 64 // for the argument
		}
		if n := allocated(f); n > limit {
			t.Errorf("%s allocates %d bytes for 1 MiB", what, n)
		}
	}
}

// allocated returns the bytes that f allocates, at least; other goroutines may
// add to it, so the least of three runs counts.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestValidateEmail(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	for _, s := range []string{
		"", "ada@example.com", "ada.b+c@example.co.uk", "ADA@EXAMPLE.COM", "a@localhost", "a@b.co", "o'neil@example.com",
		"!#$%&'*+-/=?^_`{|}~@example.com", "a@1.2.example", "a@[127.0.0.1]", "a@[2001:db8::1]", "a@[::ffff:127.0.0.1]",
		`"quo@ted"@example.com`, `"a\ b"@example.com`, `"\""@example.com`, "a@xn--bcher-kva.example",
		"a@bücher.example", "a@例え.テスト", "a@i\u0307stanbul.example", "a@example.xn--p1ai", "a@" + label63 + ".com",
		"a@a-b.example", "a@" + label63 + "." + label63 + "." + label63 + ".info",
	} {
		if err := latchbolt.ValidateEmail(s); err != nil {
			t.Errorf("ValidateEmail(%q) = %v, want nil", s, err)
		}
	}
	for _, s := range []string{
		" ", "ada", "@", "@example.com", "ada@", "ada@example", "ada@.com", "ada@example.", "ada@example..com", "ada@example.com.",
		".ada@example.com", "ada.@example.com", "a..b@example.com", "a b@example.com", "a@exa mple.com", " ada@example.com", "ada@example.com ",
		"a@good.com@evil.com", "a@good.com,b@evil.com", "a@good.com, b@evil.com", "Ada <a@example.com>", "<a@example.com>", "a(c)@example.com",
		"a@example.com(c)", "a,b@example.com", "a;b@example.com", `a"b@example.com`, `"a"b"@example.com`, `"a b"@example.com`, `"a\"@example.com`,
		`"@example.com`, `""@example.com`, `a\@b@example.com`, "mıke@example.org", "mi\u212ae@example.org", "ü@example.com", "a@example.c", "a@example.123",
		"a@1.2.3.4", "a@example.c0m", "a@-example.com", "a@example-.com", "a@exam_ple.com", "a@" + label63 + "a.com", "a@[1.2.3]", "a@[::1%eth0]",
		"a@[IPv6:::1]", "a@[]", "a@[", "a@ex\u00admple.com", "a@ex\u200dmple.com", "a@example\uff0ecom", "a@example\u3002com", "a\uff20example.com",
		"a@\u2460.com", "a@example.xn--", "a@LOCALHOST", "a%00@example.com\x00",
	} {
		wantCodes(t, s, latchbolt.ValidateEmail(s), "email", "invalid")
	}
	wantCodes(t, "255", latchbolt.ValidateEmail(strings.Repeat("a", 243)+"@example.com"), "email", "max_length")
	if err := latchbolt.ValidateEmail(strings.Repeat("a", 242) + "@example.com"); err != nil {
		t.Errorf("254 characters: %v", err)
	}
}

// linear fails if f takes much more than sixteen times as long for an input sixteen
// times as long. The best of several runs counts, and the bound is far from both 16 and 256. It is the time of the processors, for on a busy
// machine others have them for longer than a short run takes, and in the midst of each long one.
func linear(t *testing.T, what string, n int, f func(n int)) {
	t.Helper()
	if raceEnabled {
		f(n)
		t.Logf("%s: not timed under the race detector, to which large inputs are dearer", what)
		return
	}
	const larger, most = 16, 100 // quadratic would be 256
	least := func(n int) time.Duration {
		d := time.Hour
		for range 3 {
			start := latchbolt.CPUTime()
			f(n)
			d = min(d, latchbolt.CPUTime()-start)
		}
		return max(d, time.Microsecond)
	}
	var small, large time.Duration
	// What is not linear fails every time; a busy machine does not.
	for range 5 {
		if small, large = least(n), least(larger*n); large < most*small {
			return
		}
	}
	t.Errorf("%s: %v for %d, %v for %d: not linear", what, small, n, large, larger*n)
}

// TestCVE_2023_36053: the time for a name or an address grows no faster than its length.
func TestCVE_2023_36053(t *testing.T) {
	for _, unit := range []string{"a.", "a@", "@", ".", "\\", `"\a`, "Σ", "Σ.", " ", "é-"} {
		linear(t, "ValidateEmail of "+unit, 4<<10, func(n int) {
			s := strings.Repeat(unit, n)
			latchbolt.ValidateEmail(s)
			latchbolt.ValidateEmail("a@" + s)
			latchbolt.NormalizeEmail("a@" + s)
			latchbolt.ValidateUsername(s)
		})
	}
}
