package authhttp

import (
	"fmt"
	"net/http"
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
