package latchbolt

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPassword is the length in bytes of the longest password that is looked at.
// Longer ones are refused before any work is spent on them.
const MaxPassword = 4096

// A Validator judges a new password. It is asked when a password is set, never
// when one is checked. Its methods may be called concurrently.
//
// A Validator may have a method Check() error, which is called when the engine
// is opened and refuses settings that make no sense.
type Validator interface {
	// Validate returns nil, a [*FieldError] or [FieldErrors] if the password is
	// refused, or another error if it could not be judged, which refuses it too.
	// It must take time linear in the length of the password, and no error may
	// contain the password. The user is as it will be stored; u may be nil.
	Validate(password string, u *User) error
	// Help returns a sentence in English that tells people the rule, or "".
	Help() string
}

// A ValidatorFunc is a function as a [Validator] without a help text.
type ValidatorFunc func(password string, u *User) error

// Validate calls f.
func (f ValidatorFunc) Validate(password string, u *User) error { return f(password, u) }

// Help returns "".
func (f ValidatorFunc) Help() string { return "" }

// DefaultValidators returns a new slice with the four validators of Django in the
// order of its project template: similarity, length, common passwords, digits
// only. The length is 15, see [MinimumLength].
func DefaultValidators() []Validator {
	return []Validator{UserAttributeSimilarity{}, MinimumLength{}, CommonPassword{}, NumericPassword{}}
}

// ValidatePassword asks all validators and returns nil or everything they found,
// in their order, as [FieldErrors]. If vs is nil,
// [DefaultValidators] are asked; an empty slice that is not nil asks nobody. A
// password over [MaxPassword] bytes gives the code "password_too_long" alone. An
// error of a validator that is not about the password is returned by itself,
// wrapped, and the rest is not asked.
func ValidatePassword(password string, u *User, vs []Validator) error {
	if len(password) > MaxPassword {
		return FieldErrors{{
			Field:  "password",
			Code:   "password_too_long",
			Msg:    fmt.Sprintf("This password is too long. It must contain at most %d bytes.", MaxPassword),
			Params: map[string]any{"max_length": MaxPassword},
		}}
	}
	if vs == nil {
		vs = DefaultValidators()
	}
	var found FieldErrors
	for _, v := range vs {
		err := v.Validate(password, u)
		if err == nil {
			continue
		}
		var one *FieldError
		var many FieldErrors
		switch {
		case errors.As(err, &many) && len(many) > 0:
			found = append(found, many...)
		case errors.As(err, &one):
			found = append(found, one)
		default:
			return fmt.Errorf("latchbolt: password not judged: %w", err)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// checkValidators returns the first complaint about the settings of a validator,
// which is [ErrInvalid], or nil.
func checkValidators(vs []Validator) error {
	for i, v := range vs {
		if v == nil {
			return fmt.Errorf("%w: password validator %d is nil", ErrInvalid, i)
		}
		c, ok := v.(interface{ Check() error })
		if !ok {
			continue
		}
		if err := c.Check(); err != nil {
			return fmt.Errorf("%w: password validator %d: %w", ErrInvalid, i, err)
		}
	}
	return nil
}

// refuse returns an error about the password.
func refuse(code, msg string, params map[string]any) error {
	return &FieldError{Field: "password", Code: code, Msg: msg, Params: params}
}

// UserAttributeSimilarity refuses passwords made of much the same characters as the
// user's name or address, with the code "password_too_similar". It compares, in
// lower case and regardless of order, the password with each attribute and with
// each word of it, as Python's difflib.SequenceMatcher.quick_ratio does. Without a
// user every password passes.
type UserAttributeSimilarity struct {
	// Attributes are the attributes to look at, in order, of "username",
	// "first_name", "last_name" and "email". Nil means these four; others are
	// refused when the engine is opened and skipped otherwise.
	Attributes []string
	// Max is the similarity from which on a password is refused: 1 is having
	// the same characters, and nothing is refused above 1. Zero means 0.7. An
	// engine does not open with less than 0.1, which would refuse almost anything.
	Max float64
}

const (
	defaultSimilarity = 0.7
	leastSimilarity   = 0.1
)

var defaultAttributes = [...]string{"username", "first_name", "last_name", "email"}

func (v UserAttributeSimilarity) max() float64 {
	if v.Max == 0 {
		return defaultSimilarity
	}
	return v.Max
}

func (v UserAttributeSimilarity) attributes() []string {
	if v.Attributes == nil {
		return defaultAttributes[:]
	}
	return v.Attributes
}

// Check refuses a similarity below 0.1 or not a number, and unknown attributes.
func (v UserAttributeSimilarity) Check() error {
	if !(v.max() >= leastSimilarity) {
		return fmt.Errorf("UserAttributeSimilarity.Max is %v, must be at least %v", v.Max, leastSimilarity)
	}
	for _, name := range v.attributes() {
		if !slices.Contains(defaultAttributes[:], name) {
			return fmt.Errorf("UserAttributeSimilarity.Attributes: no attribute %q", name)
		}
	}
	return nil
}

// Help implements [Validator].
func (UserAttributeSimilarity) Help() string {
	return "Your password can’t be too similar to your other personal information."
}

// attribute returns the value of an attribute and what people call it.
func attribute(u *User, name string) (value, label string) {
	switch name {
	case "username":
		return u.Username, "username"
	case "first_name":
		return u.FirstName, "first name"
	case "last_name":
		return u.LastName, "last name"
	case "email":
		return u.Email, "email address"
	}
	return "", ""
}

// Validate implements [Validator]. Its time is linear in the lengths of password
// and attributes; a password that dwarfs them is only counted.
func (v UserAttributeSimilarity) Validate(password string, u *User) error {
	if u == nil {
		return nil
	}
	n := utf8.RuneCountInString(password)
	var c *characters
	for _, name := range v.attributes() {
		value, label := attribute(u, name)
		// Lower case may double the length of the value and shortens nothing.
		if value == "" || v.incomparable(n, 2*utf8.RuneCountInString(value)) {
			continue
		}
		if c == nil {
			c = newCharacters(lower(password))
		}
		for part := range words(lower(value)) {
			if v.incomparable(c.n, utf8.RuneCountInString(part)) || c.ratio(part) < v.max() {
				continue
			}
			return refuse("password_too_similar",
				fmt.Sprintf("The password is too similar to the %s.", label),
				map[string]any{"verbose_name": label})
		}
	}
	return nil
}

// incomparable reports whether a part of the given length is too short to make a
// password of that length similar.
func (v UserAttributeSimilarity) incomparable(password, part int) bool {
	return password >= 10*part && float64(part) < v.max()/2*float64(password)
}

// characters are the n characters of a password, counted.
type characters struct {
	n     int
	left  map[rune]int
	taken []rune // scratch space of ratio
}

func newCharacters(s string) *characters {
	c := &characters{left: make(map[rune]int)}
	for _, r := range s {
		c.left[r]++
		c.n++
	}
	return c
}

// ratio returns twice the number of characters that c and part have in common,
// divided by the number of all: 1 if they are anagrams, also if both are empty.
func (c *characters) ratio(part string) float64 {
	total := c.n
	c.taken = c.taken[:0]
	for _, r := range part {
		total++
		if c.left[r] > 0 {
			c.left[r]--
			c.taken = append(c.taken, r)
		}
	}
	for _, r := range c.taken {
		c.left[r]++
	}
	if total == 0 {
		return 1
	}
	return 2 * float64(len(c.taken)) / float64(total)
}

// words yields what Python's re.split(r"\W+", s) gives, empty strings at the ends
// included, and then s itself.
func words(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		rest := s
		for {
			i := strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) })
			if i < 0 {
				break
			}
			if !yield(rest[:i]) {
				return
			}
			rest = strings.TrimLeftFunc(rest[i:], func(r rune) bool { return !isWord(r) })
		}
		if yield(rest) {
			yield(s)
		}
	}
}

// MinimumLength refuses short passwords, with the code "password_too_short".
type MinimumLength struct {
	// Min is the least number of code points. Zero means 15, which NIST
	// SP 800-63B-4 demands where the password is the only factor; Django's 8 is
	// for one of two factors. An engine does not open with less than 8.
	Min int
}

// The lengths that [MinimumLength] knows, in code points.
const (
	defaultMinLength = 15
	leastMinLength   = 8
)

func (v MinimumLength) min() int {
	if v.Min == 0 {
		return defaultMinLength
	}
	return v.Min
}

// Validate implements [Validator]. A Min below 8, also a negative one, is taken
// at its word here.
func (v MinimumLength) Validate(password string, _ *User) error {
	if len(password)/utf8.UTFMax >= v.min() || utf8.RuneCountInString(password) >= v.min() {
		return nil
	}
	return refuse("password_too_short",
		fmt.Sprintf("This password is too short. It must contain at least %d character%s.", v.min(), plural(v.min())),
		map[string]any{"min_length": v.min()})
}

// Check refuses a minimum below 8.
func (v MinimumLength) Check() error {
	if v.min() < leastMinLength {
		return fmt.Errorf("MinimumLength.Min is %d, must be at least %d", v.Min, leastMinLength)
	}
	return nil
}

// Help implements [Validator].
func (v MinimumLength) Help() string {
	return fmt.Sprintf("Your password must contain at least %d character%s.", v.min(), plural(v.min()))
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// CommonPassword refuses passwords that many people have chosen, with the code
// "password_too_common". Case and outer white space make no difference; beyond
// that the whole password is compared, not parts of it. The list has all
// passwords of Django's and, beyond it, longer ones for the greater minimum
// length here.
type CommonPassword struct {
	// Extra are words to refuse besides: the name of the site, of the company
	// and the like. They are compared in the same way.
	Extra []string
}

// Validate implements [Validator].
func (v CommonPassword) Validate(password string, _ *User) error {
	key := trimSpace(lower(password))
	if isCommon(key) {
		return refuse("password_too_common", "This password is too common.", nil)
	}
	for _, word := range v.Extra {
		if key == trimSpace(lower(word)) {
			return refuse("password_too_common", "This password is too common.", nil)
		}
	}
	return nil
}

// Help implements [Validator].
func (CommonPassword) Help() string { return "Your password can’t be a commonly used password." }

// NumericPassword refuses passwords of digits only, of whatever script, with the
// code "password_entirely_numeric". The empty password passes, as in Django.
type NumericPassword struct{}

// Validate implements [Validator].
func (NumericPassword) Validate(password string, _ *User) error {
	if password == "" {
		return nil
	}
	for _, r := range password {
		if !isDigit(r) {
			return nil
		}
	}
	return refuse("password_entirely_numeric", "This password is entirely numeric.", nil)
}

// Help implements [Validator].
func (NumericPassword) Help() string { return "Your password can’t be entirely numeric." }

// isDigit is Python's str.isdigit(): decimal digits and those of circled,
// superscript and similar kind, but no fractions, Roman numerals or ideographs.
func isDigit(r rune) bool {
	return unicode.IsDigit(r) || r >= 0xB2 && unicode.Is(otherDigits, r)
}

// otherDigits are the code points of Unicode 15 with Numeric_Type=Digit.
var otherDigits = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x00B2, 0x00B3, 1}, {0x00B9, 0x00B9, 1}, {0x1369, 0x1371, 1}, {0x19DA, 0x19DA, 1},
		{0x2070, 0x2070, 1}, {0x2074, 0x2079, 1}, {0x2080, 0x2089, 1}, {0x2460, 0x2468, 1},
		{0x2474, 0x247C, 1}, {0x2488, 0x2490, 1}, {0x24EA, 0x24EA, 1}, {0x24F5, 0x24FD, 1},
		{0x24FF, 0x24FF, 1}, {0x2776, 0x277E, 1}, {0x2780, 0x2788, 1}, {0x278A, 0x2792, 1},
	},
	R32: []unicode.Range32{
		{0x10A40, 0x10A43, 1}, {0x10E60, 0x10E68, 1}, {0x11052, 0x1105A, 1}, {0x1F100, 0x1F10A, 1},
	},
	LatinOffset: 2,
}
