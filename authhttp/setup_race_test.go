package authhttp_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// Of many browsers that have the code at once, one makes the first user.
func TestSetUpByManyAtOnce(t *testing.T) {
	s := newSite(t, nil, nil)
	code, err := s.auth.SetupCode(t.Context())
	if err != nil || code == "" {
		t.Fatal(code, err)
	}
	var wg sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		wg.Go(func() {
			res := s.browser().post("/accounts/setup/", "code", code, "username", fmt.Sprint("boss", i), "password1", "correct horse battery", "password2", "correct horse battery")
			codes[i] = res.StatusCode
		})
	}
	wg.Wait()
	n := 0
	for _, c := range codes {
		if c == http.StatusSeeOther {
			n++
		} else if c < 400 || c == http.StatusInternalServerError {
			t.Errorf("one that came late got %d", c)
		}
	}
	users := 0
	for _, err := range s.eng.Users(t.Context(), latchbolt.UserQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		users++
	}
	if n != 1 || users != 1 {
		t.Errorf("%d browsers set it up, %d users: %v", n, users, codes)
	}
	want(t, "afterwards", s.browser().get("/accounts/setup/?code="+code), http.StatusNotFound)
}
