package authhttp_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// The account page tells what an administrator did, and not from where.
func TestEventsOfAdministrators(t *testing.T) {
	s := newSite(t, nil, nil)
	ada, boss := authtest.User(t, s.eng, "ada"), authtest.Superuser(t, s.eng, "boss")
	ctx := latchbolt.WithActor(t.Context(), boss.ID, netip.MustParseAddr("203.0.113.99"))
	if err := s.eng.Unlock(ctx, ada.ID); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.login("ada")
	res := b.get("/accounts/")
	want(t, "account", res, http.StatusOK, "Failed attempts forgiven", "192.0.2.7")
	if strings.Contains(body(res), "203.0.113.99") {
		t.Error("the page has the address of the administrator")
	}
}
