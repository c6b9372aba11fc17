package latchbolt

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The limits of Django's model fields, in code points.
const (
	maxUsername = 150
	maxEmail    = 254
)

// The texts of Django for values that are refused.
const (
	msgBlank    = "This field cannot be blank."
	msgNull     = "Null characters are not allowed."
	msgUsername = "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."
	msgEncoding = "Enter valid text: this is not UTF-8."
	msgLine     = "Enter a single line of text."
)

// NormalizeUsername returns s in Unicode form NFKC, the form in which user names
// are stored and looked up. It refuses, with a [*FieldError], a name over 150
// code points (code "max_length") and one that is not UTF-8 ("invalid"); then s
// was not normalized, since that costs work in proportion to an input nobody has
// vouched for. The result may be longer than s and still has to pass
// [ValidateUsername]. Normalizing twice changes nothing more.
func NormalizeUsername(s string) (string, error) {
	if err := checkLength("username", s, maxUsername); err != nil {
		return "", err
	}
	if !utf8.ValidString(s) {
		return "", &FieldError{Field: "username", Code: "invalid", Msg: msgEncoding}
	}
	if isASCII(s) {
		return s, nil
	}
	return norm.NFKC.String(s), nil
}

// ValidateUsername says whether s may be stored as a user name: 1 to 150 letters,
// digits and @ . + - _ of any script, nothing else, also no combining mark that
// is a character of its own, no space and no line break. That is Django's
// UnicodeUsernameValidator. The error is a [*FieldError] with the code "blank",
// "max_length" or "invalid", the first that applies. It judges s as it is; what
// is stored is the result of [NormalizeUsername], which is what to pass.
func ValidateUsername(s string) error {
	if s == "" {
		return &FieldError{Field: "username", Code: "blank", Msg: msgBlank}
	}
	if err := checkLength("username", s, maxUsername); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return &FieldError{Field: "username", Code: "invalid", Msg: msgEncoding}
	}
	for _, r := range s {
		if r < utf8.RuneSelf && isAlnumASCII(byte(r)) {
			continue
		}
		if !isWord(r) && !strings.ContainsRune("@.+-", r) {
			return &FieldError{Field: "username", Code: "invalid", Msg: msgUsername}
		}
	}
	return nil
}

// NormalizeEmail returns s as it is to be stored: without outer white space and
// with the part behind the last @ in lower case. The part before it stays as it
// is. Text without an @, text that is not UTF-8 and text of more than four bytes
// for each of the 254 characters allowed is returned unchanged; none of it passes
// [ValidateEmail]. This is Django's normalize_email.
func NormalizeEmail(s string) string {
	if len(s) > utf8.UTFMax*maxEmail || !utf8.ValidString(s) {
		return s
	}
	trimmed := trimSpace(s)
	at := strings.LastIndexByte(trimmed, '@')
	if at < 0 {
		return s
	}
	return trimmed[:at+1] + lower(trimmed[at+1:])
}

// ValidateEmail says whether s is one e-mail address of at most 254 characters, or
// "". The error is a [*FieldError] with the code "max_length" or "invalid". The rules
// are those of Django's EmailValidator: words of ASCII joined by dots or a quoted
// string, @, and a domain of at least two labels, "localhost" or an IP address in
// brackets. It is stricter in four things: no control characters inside quotation
// marks, something between them, no letters before the @ that are ASCII only when
// case is ignored (ı, ſ, the Kelvin sign), and labels outside ASCII consist of letters,
// marks and digits. Nothing is said about whether mail arrives.
func ValidateEmail(s string) error {
	if s == "" {
		return nil
	}
	if err := checkLength("email", s, maxEmail); err != nil {
		return err
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 || !utf8.ValidString(s) || !isLocalPart(s[:at]) || !isMailDomain(s[at+1:]) {
		return &FieldError{Field: "email", Code: "invalid", Msg: "Enter a valid email address."}
	}
	return nil
}

// isLocalPart reports whether s may stand before the last @ of an address.
func isLocalPart(s string) bool {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return isQuotedText(s[1 : len(s)-1])
	}
	for word := range strings.SplitSeq(s, ".") {
		if word == "" {
			return false
		}
		for i := range len(word) {
			if !isAlnumASCII(word[i]) && strings.IndexByte("-!#$%&'*+/=?^_`{}|~", word[i]) < 0 {
				return false
			}
		}
	}
	return true
}

// isQuotedText reports whether s may stand between quotation marks: printable
// ASCII, where space, quotation mark and backslash need a backslash before them.
func isQuotedText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return false
			}
			continue
		}
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' {
			return false
		}
	}
	return true
}

// isMailDomain reports whether s may stand behind the last @ of an address.
func isMailDomain(s string) bool {
	if s == "localhost" {
		return true
	}
	if len(s) >= 2 && s[0] == '[' && s[len(s)-1] == ']' {
		addr, err := netip.ParseAddr(s[1 : len(s)-1])
		return err == nil && addr.Zone() == ""
	}
	labels := 0
	last := ""
	for last = range strings.SplitSeq(s, ".") {
		labels++
		if !isLabel(last) {
			return false
		}
	}
	if labels < 2 || utf8.RuneCountInString(last) < 2 {
		return false
	}
	if !strings.ContainsAny(last, "0123456789") {
		return true
	}
	// A top-level domain has digits only if it is an encoded one.
	return len(last) > 4 && strings.EqualFold(last[:4], "xn--") &&
		!strings.ContainsFunc(last[4:], func(r rune) bool { return r >= utf8.RuneSelf || r == '-' })
}

// isLabel reports whether s is 1 to 63 letters, digits and inner hyphens.
func isLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || utf8.RuneCountInString(s) > 63 {
		return false
	}
	for _, r := range s {
		if r < utf8.RuneSelf {
			if r != '-' && !isAlnumASCII(byte(r)) {
				return false
			}
		} else if r > 0xFFFF || !unicode.In(r, unicode.L, unicode.M, unicode.Nd) {
			return false
		}
	}
	return true
}

func isAlnumASCII(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// validateText judges a field of free text: at most max code points of UTF-8 on
// one line and, if it is required, not empty. Django accepts line breaks too;
// they are refused here, because names end in mail headers and in logs. The
// codes are "blank", "max_length", "invalid" and "null_characters_not_allowed".
func validateText(field, s string, max int, required bool) error {
	if s == "" {
		if required {
			return &FieldError{Field: field, Code: "blank", Msg: msgBlank}
		}
		return nil
	}
	if err := checkLength(field, s, max); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return &FieldError{Field: field, Code: "invalid", Msg: msgEncoding}
	}
	for _, r := range s {
		if r == 0 {
			return &FieldError{Field: field, Code: "null_characters_not_allowed", Msg: msgNull}
		}
		if isLineBreak(r) {
			return &FieldError{Field: field, Code: "invalid", Msg: msgLine}
		}
	}
	return nil
}

// checkLength returns the error for a value of more than max code points, or nil.
// The comparison of bytes comes first, because it costs nothing.
func checkLength(field, s string, max int) error {
	if len(s) <= max {
		return nil
	}
	n := utf8.RuneCountInString(s)
	if n <= max && len(s) <= utf8.UTFMax*max {
		return nil
	}
	return &FieldError{
		Field:  field,
		Code:   "max_length",
		Msg:    fmt.Sprintf("Ensure this value has at most %d characters (it has %d).", max, n),
		Params: map[string]any{"limit_value": max, "show_value": n},
	}
}

// foldName returns the key under which two user names count as one: they do if
// and only if their keys are equal. It is form NFKC, full case folding, NFKC,
// until nothing changes, so that it agrees with Django's _unicode_ci_compare
// and foldName(foldName(s)) == foldName(s). Values that cannot be a name or an
// address, being too long or not UTF-8, are their own key.
//
// A key may have three times as many code points as the name.
func foldName(s string) string {
	if len(s) > utf8.UTFMax*maxEmail || !utf8.ValidString(s) {
		return s
	}
	if isFolded(s) {
		return s
	}
	if isASCII(s) {
		return strings.ToLower(s)
	}
	fold := cases.Fold()
	for range maxFoldRounds {
		next := norm.NFKC.String(fold.String(strings.Map(foldCherokee, norm.NFKC.String(s))))
		if next == s {
			break
		}
		s = next
	}
	return s
}

// maxFoldRounds bounds the search for the fixed point in foldName. One round
// reaches it for everything known and the next one sees that nothing changes.
const maxFoldRounds = 8

// foldCherokee folds the small letters of Cherokee to capitals, as Unicode does for
// this script alone; cases.Fold of golang.org/x/text v0.43.0 leaves them as they are.
func foldCherokee(r rune) rune {
	switch {
	case 0x13F8 <= r && r <= 0x13FD:
		return r - 8
	case 0xAB70 <= r && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	}
	return r
}

// foldEmail returns the key for looking up an e-mail address, which ignores case
// in both parts. It must only serve to find a stored address: mail goes to the
// stored one, never to the one that was typed.
func foldEmail(s string) string { return foldName(s) }

// isASCII reports whether s is plain ASCII, which every normalization leaves alone.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lowerASCII folds a letter of ASCII.
func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// isFolded reports whether s is plain ASCII without capitals, which folding
// leaves alone.
func isFolded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// isWord reports whether Python's regular expression \w matches r: str.isalnum()
// or "_". For every code point of Unicode 14 that is the categories L and N.
func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

// isSpace is Python's str.isspace, which has four separators more than Go's.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F
}

// isLineBreak reports whether r ends a line in any of the usual readings. The
// characters are those at which Python's str.splitlines breaks.
func isLineBreak(r rune) bool {
	return '\n' <= r && r <= '\r' || 0x1C <= r && r <= 0x1E || r == 0x85 || r == 0x2028 || r == 0x2029
}

// trimSpace is Python's str.strip().
func trimSpace(s string) string { return strings.TrimFunc(s, isSpace) }

// lower is Python's str.lower(): the full mappings of Unicode without language,
// where İ becomes two characters and a capital sigma at the end of a word becomes
// ς. Time is linear in len(s): a run of ignorable characters is passed over by
// its two neighbours only. Bytes that are not UTF-8 become U+FFFD.
func lower(s string) string {
	if isFolded(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/2)
	for i, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			b.WriteByte(byte(r))
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && finalSigma(s[:i], s[i+len("Σ"):]):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// finalSigma reports whether a capital sigma between before and after ends a
// word: condition Final_Sigma of the Unicode standard, section 3.13.
func finalSigma(before, after string) bool {
	for {
		r, n := utf8.DecodeLastRuneInString(before)
		if n == 0 {
			return false
		}
		if !isCaseIgnorable(r) {
			if !isCased(r) {
				return false
			}
			break
		}
		before = before[:len(before)-n]
	}
	for _, r := range after {
		if !isCaseIgnorable(r) {
			return !isCased(r)
		}
	}
	return true
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) ||
		unicode.In(r, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

func isCaseIgnorable(r rune) bool {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) {
		return true
	}
	// Word_Break = MidLetter, MidNumLet or Single_Quote.
	switch r {
	case '\'', '.', ':', 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027,
		0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A:
		return true
	}
	return false
}
