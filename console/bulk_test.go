package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/console"
	"github.com/latchbolt-go/latchbolt/internal/canary"
)

// Who acted on many users is told what was done, also if the rest of it could not be.
func TestBulkBrokenOff(t *testing.T) {
	var stop func()
	eng := authtest.New(t, &latchbolt.Config{Logger: canary.Logger(), Events: latchbolt.Events{Changed: func(latchbolt.Change) {
		if stop != nil {
			stop()
		}
	}}})
	must(t, "defining", eng.DefineAdmin(t.Context()))
	boss := authtest.Superuser(t, eng, "boss")
	form := url.Values{"action": {"deactivate"}, "confirm": {"yes"}, "back": {""}}
	var users []*latchbolt.User
	for _, name := range []string{"first", "second", "third"} {
		u := authtest.User(t, eng, name)
		users = append(users, u)
		form.Add("user", fmt.Sprint(uint64(u.ID)))
	}
	session := authtest.Login(t, eng, boss)
	auth := &authhttp.Auth{Engine: eng, Logger: canary.Logger()}
	h := auth.Handler((&console.Console{Auth: auth, Logger: canary.Logger()}).Handler())
	ctx, cancel := context.WithCancel(t.Context())
	stop = cancel
	r := httptest.NewRequestWithContext(ctx, "POST", "https://console.test/admin/users/bulk/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "text/html")
	r.AddCookie(&http.Cookie{Name: "__Host-latchbolt", Value: session.Token.Reveal()})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || strings.Count(w.Body.String(), ">not done<") != 2 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for i, u := range users {
		now, err := eng.User(t.Context(), u.ID)
		must(t, "user", err)
		if now.Inactive != (i == 0) {
			t.Errorf("%s: inactive is %v", u.Username, now.Inactive)
		}
	}
}
