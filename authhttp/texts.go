package authhttp

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

// Texts are the words of the views in one language.
type Texts struct {
	// Lang is the language as HTML names it, such as "de". "" means "en".
	Lang string
	// RightToLeft is the direction of the script.
	RightToLeft bool
	// Words has a translation for each English text; [EnglishTexts] lists them. What is missing stays
	// English. Verbs such as %s stay where they belong. Messages of the engine about values that were
	// refused are looked up by their code, such as "password_too_short", and then as they are.
	Words map[string]string
}

// T returns the translation of an English text, with its verbs filled in.
func (t *Texts) T(text string, args ...any) string {
	if t != nil {
		if w, ok := t.Words[text]; ok {
			text = w
		}
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

func (a *Auth) texts(r *http.Request) *Texts {
	if a.Texts != nil {
		if t := a.Texts(r); t != nil {
			return t
		}
	}
	return &Texts{}
}

// EnglishTexts returns all texts that the views show, sorted, for who translates them. Messages about
// values that were refused are the engine's; see [Texts].
func EnglishTexts() []string {
	texts := slices.Clone(codeTexts)
	for status, words := range statusWords {
		texts = append(texts, http.StatusText(status), words)
	}
	texts = slices.AppendSeq(texts, maps.Values(notices))
	texts = slices.AppendSeq(texts, maps.Values(eventWords))
	names, _ := fs.Glob(builtIn, "templates/*.html")
	for _, name := range names {
		data, _ := fs.ReadFile(builtIn, name)
		for _, m := range textInTemplate.FindAllSubmatch(data, -1) {
			texts = append(texts, string(m[1]))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

var textInTemplate = regexp.MustCompile(`\.T "([^"]+)"`)

// codeTexts are the texts that stand in the code. A test makes sure that none is missing.
var codeTexts = []string{
	"%d minutes",
	"%d seconds",
	"%s on %s",
	"1 second",
	"Account",
	"Change password",
	"Confirm that it is you",
	"Look at your mail",
	"Please enter a correct user name and password. Both may be case-sensitive.",
	"Please enter a new password.",
	"Please enter an e-mail address.",
	"Please prove again who you are.",
	"Reset password",
	"Set a new password",
	"Set up",
	"Sign in",
	"Sign out",
	"Signed out",
	"Skip to content",
	"That is not the code that the program printed.",
	"That is not your password.",
	"That is not your present password.",
	"The two passwords are not the same.",
	"This link is not good any more",
	"This page is for browsers that are signed in.",
	"This request did not come from a page of this site.",
	"Too many failed attempts. Try again in %s.",
	"Unknown device",
	"You are signed in as %s now. Nothing was saved.",
	"You are signed in as %s.",
	"You have opened another link since. This page is about %s now.",
	"Your account",
	"Your password is changed",
	"Your session ended before this was done. Please sign in again.",
}
