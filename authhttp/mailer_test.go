package authhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// A mailer that never comes back keeps neither other mails nor the end of the program.
func TestMailerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var mu sync.Mutex
		sent := make(map[string]int)
		s := newSite(t, &authhttp.Auth{BaseURL: base, SendReset: func(_ context.Context, m authhttp.ResetMail) error {
			mu.Lock()
			sent[m.To]++
			mu.Unlock()
			if strings.HasPrefix(m.To, "hang") {
				<-hang
			}
			return nil
		}}, nil)
		var names []string
		for i := range 5 {
			names = append(names, fmt.Sprint("hang", i))
		}
		for _, name := range append(names, "good") {
			u := authtest.User(t, s.eng, name)
			if err := s.eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.Email = name + "@example.org"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range append(names, "good") {
			want(t, "request", s.browser().post("/accounts/password/reset/", "email", name+"@example.org"), http.StatusSeeOther)
		}
		ended := make(chan struct{})
		go func() { s.auth.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(5 * time.Minute):
			t.Error("Wait waits for a mailer that hangs")
		}
		mu.Lock()
		if sent["good@example.org"] != 1 {
			t.Errorf("the mail behind those that hang was not sent: %v", sent)
		}
		mu.Unlock()
		close(hang)
		synctest.Wait()
	})
}

// A mail server that repeats what it refuses does not bring the link into the log. The canaries found that it did, in the console too.
func TestMailErrorHoldsNoLink(t *testing.T) {
	var link string
	s := newSite(t, &authhttp.Auth{BaseURL: base, SendReset: func(_ context.Context, m authhttp.ResetMail) error {
		link = m.URL
		return fmt.Errorf("550 refused: %q, for %s", "Set a new password: "+m.URL, strings.TrimPrefix(m.URL, base))
	}}, nil)
	u := authtest.User(t, s.eng, "ada")
	if err := s.eng.UpdateUser(t.Context(), u.ID, func(u *latchbolt.User) error { u.Email = "ada@example.org"; return nil }); err != nil {
		t.Fatal(err)
	}
	want(t, "request", s.browser().post("/accounts/password/reset/", "email", "ada@example.org"), http.StatusSeeOther)
	s.auth.Wait()
	_, rest, _ := strings.Cut(link, "/password/reset/")
	token := strings.Trim(rest, "/")
	if text := s.log.String(); len(token) < 40 || strings.Contains(text, token) || !strings.Contains(text, "550 refused") {
		t.Errorf("token %q, log:\n%s", token, text)
	}
}
