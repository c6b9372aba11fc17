package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// A mailer that panics, with the link in what it says, is one that fails; and it gets a context that ends.
func TestMailerPanics(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	eng := authtest.New(t, &latchbolt.Config{Logger: canary.Logger()})
	must(t, "defining", eng.DefineAdmin(t.Context()))
	boss, ada := authtest.Superuser(t, eng, "boss"), authtest.User(t, eng, "ada")
	must(t, "address", eng.UpdateUser(t.Context(), ada.ID, func(u *latchbolt.User) error { u.Email = "ada@example.org"; return nil }))
	called := false
	auth := &authhttp.Auth{Engine: eng, Logger: logger, BaseURL: "https://console.test", SendReset: func(ctx context.Context, m authhttp.ResetMail) error {
		called = true
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the context does not end")
		}
		panic(errors.New(m.URL))
	}}
	h := auth.Handler((&console.Console{Auth: auth, Logger: logger}).Handler())
	r := httptest.NewRequest("POST", fmt.Sprintf("https://console.test/admin/users/%d/reset/", uint64(ada.ID)), strings.NewReader(url.Values{"how": {"send"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "text/html")
	r.AddCookie(&http.Cookie{Name: "__Host-latchbolt", Value: authtest.Login(t, eng, boss).Token.Reveal()})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !called || w.Code != http.StatusBadGateway || strings.Contains(w.Body.String()+log.String(), "/password/reset/") || !strings.Contains(log.String(), "panicked") {
		t.Errorf("called %v: %d %s; log %s", called, w.Code, w.Body, log.String())
	}
}
