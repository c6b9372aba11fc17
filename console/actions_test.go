package console_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/console"
	"github.com/latchbolt-go/latchbolt/internal/canary"
)

// The trail can be filtered by the program's own actions, and by single ones of the engine, but by nothing else.
func TestFilterByAction(t *testing.T) {
	eng := authtest.New(t, nil)
	boss := authtest.Superuser(t, eng, "boss")
	for _, action := range []string{"post.delete", "post.add"} {
		if err := eng.Record(t.Context(), latchbolt.AuditEntry{Action: action, Username: "of " + action}); err != nil {
			t.Fatal(err)
		}
	}
	auth := &authhttp.Auth{Engine: eng, Insecure: true, Logger: canary.Logger()}
	h := auth.Handler((&console.Console{Auth: auth, Actions: []string{"post.", "post.delete"}, Logger: canary.Logger()}).Handler())
	token := authtest.Login(t, eng, boss).Token.Reveal()
	get := func(action string) (int, string) {
		req := httptest.NewRequest(http.MethodGet, "/admin/audit/?action="+action, nil)
		req.AddCookie(&http.Cookie{Name: "latchbolt", Value: token})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Code, rec.Body.String()
	}
	for action, want := range map[string][]string{
		"post.":                    {"of post.delete", "of post.add"},
		"post.delete":              {"of post.delete"},
		latchbolt.ActionUserCreate: {"boss"},
		latchbolt.ActionUserDelete: nil,
	} {
		code, page := get(action)
		if code != http.StatusOK {
			t.Errorf("%s: %d", action, code)
		}
		for _, name := range []string{"of post.delete", "of post.add"} {
			wanted := false
			for _, w := range want {
				wanted = wanted || w == name
			}
			if got := strings.Contains(page, name); got != wanted {
				t.Errorf("%s: %q is there: %v", action, name, got)
			}
		}
	}
	for _, action := range []string{"post.add", "post", "note.", "user.dele"} {
		if code, _ := get(action); code != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", action, code)
		}
	}
}
