// Package strength estimates how many guesses a password withstands, with the method of
// zxcvbn: a password is as strong as the cheapest way to put it together from common
// passwords, words, names, dates, repetitions, sequences and walks over the keyboard.
//
// It is a module of its own because of the dictionaries, which take about 6 MB of memory
// once imported. To use it, add a [Validator] to the engine's validators:
//
//	cfg.Validators = append(latchbolt.DefaultValidators(), strength.Validator{})
//
// An estimate is no proof: passwords that leaked elsewhere can score high. See
// latchbolt.OpenBreachedFile for those.
package strength

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/match"
	"github.com/ccojocar/zxcvbn-go/matching"

	"github.com/latchbolt-go/latchbolt"
)

const (
	// MaxBytes is how much of a password is looked at. The time that an estimate
	// takes grows with the third power of the length; this much takes some
	// milliseconds, and a tenth of a second in the worst case known.
	MaxBytes = 128

	// maxWords and maxWord bound the words that an estimate is given besides.
	maxWords = 64
	maxWord  = 128 // bytes

	// maxLeet is the number of different characters in a password that may stand for
	// letters, up to which they are tried as such. Each multiplies the work.
	maxLeet = 4

	leet = "4@8({[<369!1|0$5+7%2"

	defaultScore = 3
	maxScore     = 4
)

// A Result is an estimate.
type Result struct {
	// Score is 0 for a password that takes fewer than 10^6 guesses at 10^4 a
	// second, 1 for fewer than 10^8, 2 for 10^10, 3 for 10^12 and 4 for more.
	Score int
	// Bits is the binary logarithm of twice the number of guesses.
	Bits float64
}

// Estimate estimates the first [MaxBytes] bytes of password. The words are what a
// guesser would try first, such as the name of the user; of them the first 64 with at most
// 128 bytes count. It may be called concurrently. An error means that
// there is no estimate; it does not contain the password.
func Estimate(password string, words ...string) (r Result, err error) {
	defer func() {
		if recover() != nil {
			r, err = Result{}, errors.New("strength: the estimate failed")
		}
	}()
	var filters []func(match.Matcher) bool
	head := prefix(password)
	if countLeet(head) > maxLeet {
		filters = append(filters, matching.FilterL33tMatcher)
	}
	found := zxcvbn.PasswordStrength(head, bounded(words), filters...)
	return Result{Score: found.Score, Bits: found.Entropy}, nil
}

// prefix returns the beginning of s, at most MaxBytes long, without a part of a
// character at its end.
func prefix(s string) string {
	if len(s) <= MaxBytes {
		return s
	}
	n := MaxBytes
	for n > MaxBytes-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func countLeet(s string) (n int) {
	for i := range len(leet) {
		if strings.IndexByte(s, leet[i]) >= 0 {
			n++
		}
	}
	return n
}

// bounded returns the words that an estimate is given.
func bounded(words []string) (list []string) {
	for _, w := range words {
		if w != "" && len(w) <= maxWord && len(list) < maxWords {
			list = append(list, w)
		}
	}
	return list
}

// A Validator refuses passwords that score too low, with the code
// "password_too_weak". It counts the user's names and address, and the parts of these,
// among the words that are guessed first. It is a latchbolt.Validator.
type Validator struct {
	// MinScore is the least score, 1 to 4. Zero means 3, which zxcvbn calls
	// safely unguessable where each guess costs a slow hash, as here. An engine
	// does not open with others.
	MinScore int
	// Words are further words that a guesser would try first: the name of the
	// site, of the company and the like.
	Words []string
}

func (v Validator) min() int {
	if v.MinScore == 0 {
		return defaultScore
	}
	return v.MinScore
}

// Check refuses a least score that is not 1 to 4.
func (v Validator) Check() error {
	if v.min() < 1 || v.min() > maxScore {
		return fmt.Errorf("strength: MinScore is %d, must be 1 to %d", v.MinScore, maxScore)
	}
	return nil
}

// Help returns the rule as a sentence for people.
func (Validator) Help() string { return "Your password can’t be easy to guess." }

// Validate returns a *latchbolt.FieldError if the password scores too low. If there
// is no estimate it returns another error, which refuses the password too.
func (v Validator) Validate(password string, u *latchbolt.User) error {
	r, err := Estimate(password, append(wordsOf(u), v.Words...)...)
	if err != nil {
		return err
	}
	if r.Score >= v.min() {
		return nil
	}
	return &latchbolt.FieldError{
		Field:  "password",
		Code:   "password_too_weak",
		Msg:    "This password is too easy to guess.",
		Params: map[string]any{"score": r.Score, "min_score": v.min()},
	}
}

// wordsOf returns the names and the address of u and what they are made of.
func wordsOf(u *latchbolt.User) (words []string) {
	if u == nil {
		return nil
	}
	for _, s := range []string{u.Username, u.FirstName, u.LastName, u.Email} {
		if len(s) > utf8.UTFMax*254 {
			continue // more than any field holds
		}
		words = append(words, s)
		parts := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
		words = append(words, parts[:min(len(parts), maxWords/8)]...)
	}
	return words
}
