package authhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// An askingBackend has no opinion but asks who makes the request.
type askingBackend struct{ asked chan error }

func (*askingBackend) Name() string { return "asking" }

func (b *askingBackend) Authenticate(ctx context.Context, _ *latchbolt.Engine, _ latchbolt.Credentials) (latchbolt.UserID, error) {
	_, err := authhttp.FromContext(ctx)
	b.asked <- err
	return 0, latchbolt.ErrSkip
}

// A backend may ask who makes the request whose context it gets, also while this package asks it.
func TestBackendAsksWhoAsks(t *testing.T) {
	asked := make(chan error, 100)
	own := &askingBackend{asked: asked}
	s := newSite(t, nil, &latchbolt.Config{Backends: []latchbolt.Backend{own, latchbolt.PasswordBackend{}}})
	authtest.User(t, s.eng, "ada")
	h := s.auth.Handler(s.auth.BasicAuth(s.auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "in") }))))
	r := httptest.NewRequest("GET", base+"/", nil)
	r.SetBasicAuth("ada", authtest.Password)
	done := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		done <- w.Code
	}()
	select {
	case code := <-done:
		if code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the request waits for itself")
	}
	if len(asked) == 0 {
		t.Fatal("the backend was not asked")
	}
	if err := <-asked; !errors.Is(err, authhttp.ErrNoHandler) {
		t.Errorf("it was told %v", err)
	}
}
