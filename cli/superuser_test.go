package cli

import "testing"

// TestSystemName has the cases of Django's GetDefaultUsernameTestCase and those of Windows.
func TestSystemName(t *testing.T) {
	for in, want := range map[string]string{
		"joe":             "joe",
		"Joe":             "joe",
		"julia":           "julia",
		"J\u00falia":      "julia",
		"Ju\u0301lia":     "julia",
		"Андрій":          "",
		"Ada Lovelace":    "adalovelace",
		`DOMAIN\Ada`:      "ada",
		"ﬁona":            "fiona", // the decomposition takes ligatures apart
		"O'Neill":         "o'neill",
		"ada\x00lovelace": "ada\x00lovelace", // left to the check of user names
		"":                "",
	} {
		if got := systemName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
