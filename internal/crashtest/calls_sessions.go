//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// login logs a user in with the password; previous may be nil.
func (l *lane) login(u *user, previous *session) *session {
	l.authenticate(u)
	s := &session{user: u}
	l.do("Login", func() error {
		id, err := l.eng.Identity(l.t.Context(), u.id)
		if err != nil {
			return err
		}
		o := latchbolt.LoginOptions{Name: "n"}
		s.name, s.gen, s.values = "n", u.gen, make(map[string]string)
		if previous != nil {
			o.Previous = previous.token
			if previous.living(l.clock.now()) && (previous.user == nil || previous.user == u) {
				s.values = previous.values
			}
			previous.ended = true
		}
		l.w.makeRoom(u)
		u.LastLogin = l.clock.now()
		return l.began(s)(l.eng.Login(l.t.Context(), id, o))
	})
	return s
}

// makeRoom ends the oldest session if there are too many. Sessions of former generations are gone.
func (w *world) makeRoom(u *user) {
	var all []*session
	for _, s := range w.sessions {
		if s.user == u && !s.ended && s.gen == u.gen {
			all = append(all, s)
		}
	}
	if len(all) >= sessionLimit { // one that got a new token is as old as it was
		slices.MinFunc(all, func(a, b *session) int { return a.created.Compare(b.created) }).ended = true
	}
}

// began takes a new session into the model.
func (l *lane) began(s *session) func(latchbolt.Session, error) error {
	return func(got latchbolt.Session, err error) error {
		s.token, s.id, s.created, s.expires = got.Token, got.ID, got.Created, got.Expires
		l.w.sessions = append(l.w.sessions, s)
		return err
	}
}

func (l *lane) anonymous() *session {
	s := &session{values: make(map[string]string)}
	l.do("NewSession", func() error { return l.began(s)(l.eng.NewSession(l.t.Context(), latchbolt.LoginOptions{})) })
	return s
}

func (l *lane) setValue(s *session, name, value string) {
	l.do("UpdateValues", func() error {
		next := map[string]string{name: value}
		for k, v := range s.values {
			if k != name {
				next[k] = v
			}
		}
		s.values = next
		_, err := l.eng.UpdateValues(l.t.Context(), s.token, func(v *latchbolt.Values) error { return v.Set(name, value) })
		return err
	})
}

// rotated makes the model follow a session that got a new token, or has none other. If the call failed, the session may be gone, under a
// token that nobody was told or for good.
func (l *lane) rotated(old *session, change func(*session)) func(latchbolt.Session, error) error {
	return func(got latchbolt.Session, err error) error {
		if err != nil {
			old.ended = true
			return err
		}
		next := *old
		change(&next)
		next.expires = got.Expires
		if got.Token == old.token {
			*old = next
			return nil
		}
		old.ended = true
		next.token, next.id, next.key = got.Token, got.ID, ""
		l.w.sessions = append(l.w.sessions, &next)
		return nil
	}
}

func (l *lane) renew(s *session) *session {
	l.do("Renew", func() error { return l.rotated(s, func(*session) {})(l.eng.Renew(l.t.Context(), s.token)) })
	return l.w.sessions[len(l.w.sessions)-1]
}

func (l *lane) setExpiry(s *session, d time.Duration) {
	l.do(fmt.Sprintf("SetExpiry %v", d), func() error {
		return l.rotated(s, func(s *session) { s.ended = d <= 0 })(l.eng.SetExpiry(l.t.Context(), s.token, d))
	})
}

func (l *lane) nameSession(s *session) {
	l.do("NameSession", func() error {
		s.name = l.name("tablet")
		return l.eng.NameSession(l.t.Context(), s.id, s.name)
	})
}

func (l *lane) logout(s *session) {
	l.do("Logout", func() error {
		s.ended = true
		return l.eng.Logout(l.t.Context(), s.token)
	})
}

func (l *lane) endSession(s *session) {
	l.do("EndSession", func() error {
		s.ended = true
		return l.eng.EndSession(l.t.Context(), s.id)
	})
}

func (l *lane) endSessions(u *user) {
	l.do("EndSessions", func() error {
		u.gen++
		return l.eng.EndSessions(l.t.Context(), u.id)
	})
}

func (l *lane) endOtherSessions(s *session) {
	l.do("EndOtherSessions", func() error {
		for _, o := range l.w.sessions {
			if o != s && o.user == s.user {
				o.ended = true
			}
		}
		return l.eng.EndOtherSessions(l.t.Context(), s.token)
	})
}

// crowd stores many users without a password at once.
func (l *lane) crowd(n int) (all []*user) {
	l.do("crowd", func() error {
		err := l.eng.Update(l.t.Context(), func(tx *latchbolt.Tx) error {
			all = nil
			for i := range n {
				u := l.newUser()
				u.Username, u.Email, u.password = fmt.Sprintf("%s-%d", u.Username, i), "", ""
				u.names, u.mails = []string{u.Username}, nil
				stored := u.User
				if err := tx.InsertUser(&stored, latchbolt.PasswordHash{}); err != nil {
					return err
				}
				u.id = stored.ID
				all = append(all, u)
			}
			return nil
		})
		l.w.users = append(l.w.users, all...)
		return err
	})
	return all
}

// burst logs users in from many goroutines at once, so often that new sessions are merged.
func (l *lane) burst(each int, us ...*user) {
	l.do("burst of logins", func() error {
		var mu sync.Mutex
		var wg sync.WaitGroup
		var errs []error
		for _, u := range us {
			u.LastLogin = l.clock.now()
			wg.Go(func() {
				for range each {
					id, err := l.eng.Identity(l.t.Context(), u.id)
					got, loginErr := l.eng.Login(l.t.Context(), id, latchbolt.LoginOptions{})
					s := &session{user: u, gen: u.gen, values: make(map[string]string)}
					mu.Lock()
					errs = append(errs, err, l.began(s)(got, loginErr))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		_, _, err := l.eng.Throttled(l.t.Context(), us[0].id) // waits for the merge
		return errors.Join(append(errs, err)...)
	}, "list/", "user/", "session/", "values/")
}
