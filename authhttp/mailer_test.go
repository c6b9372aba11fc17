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

// Several users can have one address. One who has another address by the time the mail to him is made gets none under the old one: who
// reads that may be why he changed it.
func TestMailToAnAddressThatChanged(t *testing.T) {
	var o outbox
	s := mailSite(t, &o, nil)
	addMailUser(t, s, "ada", "both@example.org", nil)
	addMailUser(t, s, "bea", "both@example.org", nil)
	var once sync.Once
	o.do = func(ctx context.Context) error { // while the first is sent, the second is looked up already
		var err error
		once.Do(func() {
			var second *latchbolt.User
			if second, err = s.eng.UserByName(ctx, map[string]string{"ada": "bea", "bea": "ada"}[o.mails[0].User.Username]); err == nil {
				err = s.eng.UpdateUser(ctx, second.ID, func(u *latchbolt.User) error { u.Email = "new@example.org"; return nil })
			}
		})
		return err
	}
	want(t, "request", s.browser().post("/accounts/password/reset/", "email", "both@example.org"), http.StatusSeeOther)
	s.auth.Wait()
	if text := s.log.String(); strings.Contains(text, "was not sent") {
		t.Fatal(text)
	}
	for i, m := range o.take() {
		if i > 0 {
			t.Errorf("a link for %s, whose address is another now, went to %s", m.User.Username, m.To)
		}
	}
}
