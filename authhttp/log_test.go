package authhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// The path of a link holds its token, which must not get into the log when the file cannot be read.
func TestResetTokenIsNotLogged(t *testing.T) {
	s := newSite(t, &authhttp.Auth{BaseURL: base}, nil)
	u := authtest.User(t, s.eng, "ada")
	tok, err := s.eng.ResetToken(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.auth.ResetURL(tok)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.eng.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "the link", s.browser().get(strings.TrimPrefix(link, base)), http.StatusServiceUnavailable)
	log := s.log.String()
	if !strings.Contains(log, "a request failed") {
		t.Errorf("nothing was logged of the outage: %s", log)
	}
	if strings.Contains(log, tok.Reveal()) {
		t.Errorf("the token is in the log: %s", log)
	}
}
