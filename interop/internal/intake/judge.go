package intake

import (
	"errors"
	"fmt"
	"strings"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/pwhash"
	"github.com/latchbolt-go/latchbolt/interop"
)

// The reasons why a record is skipped or deserves a look.
const (
	ReasonExists   = "there is a user of that name already, who was left as is"
	ReasonOddHash  = "the password hash is of a form that none of the hashers here verifies; it is kept"
	ReasonOldHash  = "the password hash is of a form that verifies only with Config.LegacyHashes; it is kept"
	ReasonNFKC     = "the user name was brought into form NFKC"
	ReasonOddName  = "the user name has characters that new names must not have; it is kept"
	ReasonOddEmail = "the e-mail address is not valid; it is kept"
	ReasonOddText  = "the first or last name has characters that new ones must not have; it is kept"
)

// A Form is how far the engine can check passwords against a hash.
type Form int

// The forms.
const (
	Verified Form = iota // also the unusable ones, of which nothing is expected
	Legacy               // only with Config.LegacyHashes
	Unknown              // never, unless a hasher of the program's own does
)

// JudgeHash parses a hash. The error is that of [latchbolt.ParsePasswordHash].
func JudgeHash(encoded string) (latchbolt.PasswordHash, Form, error) {
	if encoded == "" || encoded[0] == '!' {
		h, err := latchbolt.ParsePasswordHash(encoded)
		return h, Verified, err
	}
	h, err := latchbolt.ParsePasswordHash(encoded)
	if err != nil {
		return h, Unknown, err
	}
	parsed, err := pwhash.Parse(encoded)
	if errors.Is(err, pwhash.ErrUnknown) || err == nil && parsed.Cost() == 0 {
		return h, Unknown, nil
	}
	if d, ok := parsed.(*pwhash.Digest); ok && d.Legacy() {
		return h, Legacy, nil
	}
	return h, Verified, nil
}

// JudgeUser returns the reasons why a user who is taken over as is deserves a look.
func JudgeUser(u *latchbolt.User) (reasons []string) {
	if !plainName(u.Username) {
		name, err := latchbolt.NormalizeUsername(u.Username)
		if err == nil && name != u.Username {
			reasons = append(reasons, ReasonNFKC)
		}
		if err == nil && latchbolt.ValidateUsername(name) != nil {
			reasons = append(reasons, ReasonOddName)
		}
	}
	if u.Email != "" && latchbolt.ValidateEmail(u.Email) != nil {
		reasons = append(reasons, ReasonOddEmail)
	}
	if strings.ContainsAny(u.FirstName, lineBreaks) || strings.ContainsAny(u.LastName, lineBreaks) {
		reasons = append(reasons, ReasonOddText)
	}
	return reasons
}

const lineBreaks = "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029"

// plainName reports whether a name is so simple that it need not be looked at further.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("@.+-_", c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= 150
}

// maxNotes bounds the lists of a Report.
const maxNotes = 1000

// Skip notes what is left out.
func Skip(r *interop.Report, n interop.Note) { note(r, &r.Skipped, n) }

// Warn notes what is taken over and deserves a look.
func Warn(r *interop.Report, n interop.Note) { note(r, &r.Warnings, n) }

func note(r *interop.Report, list *[]interop.Note, n interop.Note) {
	r.Reasons[n.Reason]++
	if len(*list) < maxNotes {
		*list = append(*list, n)
	}
}

// NewReport returns a Report whose lists are empty, not null, in JSON.
func NewReport() interop.Report {
	return interop.Report{Skipped: []interop.Note{}, Warnings: []interop.Note{}, Reasons: make(map[string]int)}
}

// Quote shows a text from outside in a message: quoted, and cut after 60 characters.
func Quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
