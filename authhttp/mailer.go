package authhttp

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/webui"
)

// SendReset sends a mail with a link to set a new password. The context ends after half a minute.
type SendReset func(ctx context.Context, m ResetMail) error

// A ResetMail is what to send. It prints without the link, which is a secret.
type ResetMail struct {
	User *latchbolt.User // whose password it is about
	To   string          // the address that is stored for the user; nothing that was typed
	URL  string          // the link; good once, for [latchbolt.Config.TokenLifetime]
}

// Format does not show the link.
func (m ResetMail) Format(f fmt.State, _ rune) { fmt.Fprint(f, "reset mail [redacted]") }

// LogValue does not show the link.
func (m ResetMail) LogValue() slog.Value { return slog.StringValue("reset mail [redacted]") }

// MarshalText does not show the link.
func (m ResetMail) MarshalText() ([]byte, error) { return []byte("reset mail [redacted]"), nil }

// Limits on mails. One request for a reset costs at most one look-up and, for each user with the
// address, one token, another look-up and one mail.
const (
	mailsAtOnce   = 4
	mailsWaiting  = 64
	mailTime      = 30 * time.Second
	mailGrace     = time.Second // to say why, when the time is over
	mailsAccount  = 3           // at once to one account, then one each
	mailEvery     = 10 * time.Minute
	mailsSource   = 10 // requests at once from one source, then one each
	sourceEvery   = time.Minute
	throttleSlots = 1 << 12
)

// A mailer does everything about a request for a reset beside the request, so that the answer shows
// nothing of it, whether there is such a user or not.
type mailer struct {
	a       *Auth
	running sync.WaitGroup
	slots   chan struct{} // one for each mail under way
	waiting chan struct{} // one for each request that is not done

	mu       sync.Mutex // guards the tables
	accounts rateTable
	sources  rateTable
}

// A rateTable holds, for a fixed number of slots, until when each has spent what it may: the generic cell rate
// algorithm. Who shares a slot by chance shares the limit.
type rateTable struct {
	seed  maphash.Seed
	spent [throttleSlots]time.Time
}

func newMailer(a *Auth) *mailer {
	m := &mailer{a: a, slots: make(chan struct{}, mailsAtOnce), waiting: make(chan struct{}, mailsWaiting)}
	m.accounts.seed, m.sources.seed = maphash.MakeSeed(), maphash.MakeSeed()
	return m
}

// take reports whether one more is allowed now: burst at once, then one every interval.
func (t *rateTable) take(key string, now time.Time, burst int, every time.Duration) bool {
	slot := &t.spent[maphash.String(t.seed, key)%throttleSlots]
	at := *slot
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) > time.Duration(burst-1)*every {
		return false
	}
	*slot = at.Add(every)
	return true
}

// source is what requests are counted by: an address, or the network of an IPv6 address.
func source64(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// request takes a request for a reset and returns at once. It is dropped if too many wait or come from the source.
func (m *mailer) request(ctx context.Context, email string, addr netip.Addr) {
	log := m.a.setup.log
	m.mu.Lock()
	ok := m.sources.take(source64(addr), m.a.Engine.Now(), mailsSource, sourceEvery)
	m.mu.Unlock()
	if !ok {
		log.Warn("authhttp: too many requests for a reset from one source", "addr", addr.String())
		return
	}
	select {
	case m.waiting <- struct{}{}:
	default:
		log.Warn("authhttp: too many requests for a reset wait; one was dropped")
		return
	}
	ctx = context.WithoutCancel(ctx)
	m.running.Go(func() {
		defer func() { <-m.waiting }()
		defer func() {
			if v := recover(); v != nil {
				// What was said may hold the link.
				log.Error("authhttp: SendReset panicked")
			}
		}()
		m.slots <- struct{}{}
		defer func() { <-m.slots }()
		m.answer(ctx, email)
	})
}

func (m *mailer) answer(ctx context.Context, email string) {
	log := m.a.setup.log
	users, err := m.a.Engine.UsersByEmail(ctx, email)
	if err != nil {
		log.Error("authhttp: looking for the user of a reset failed", "err", err)
		return
	}
	for _, u := range users {
		m.mu.Lock()
		ok := m.accounts.take(fmt.Sprint(u.ID), m.a.Engine.Now(), mailsAccount, mailEvery)
		m.mu.Unlock()
		if !ok {
			log.Warn("authhttp: too many reset mails for one user", "user", uint64(u.ID))
			continue
		}
		to, t, err := m.token(ctx, u)
		if errors.Is(err, latchbolt.ErrConflict) || errors.Is(err, latchbolt.ErrNotFound) {
			continue // inactive, without password, or gone, or of another address by now: no mail
		}
		if err != nil {
			log.Error("authhttp: making a reset token failed", "user", uint64(u.ID), "err", err)
			continue
		}
		m.send(ctx, to, t)
	}
}

// token makes a token for a user who was found by the address, maybe some mails ago, and returns the user as of now. A token is good
// for the address that is stored when it is made, so that is looked at afterwards: a change after that voids the token.
func (m *mailer) token(ctx context.Context, found *latchbolt.User) (*latchbolt.User, latchbolt.Token, error) {
	t, err := m.a.Engine.ResetToken(ctx, found.ID)
	if err != nil {
		return nil, latchbolt.Token{}, err
	}
	u, err := m.a.Engine.User(ctx, found.ID)
	if err == nil && u.Email != found.Email {
		err = fmt.Errorf("%w: the user has another address by now", latchbolt.ErrConflict)
	}
	return u, t, err
}

func (m *mailer) send(ctx context.Context, u *latchbolt.User, t latchbolt.Token) {
	link, err := m.a.ResetURL(t)
	if err == nil {
		err = m.call(ctx, ResetMail{User: u, To: u.Email, URL: link})
	}
	if err != nil {
		m.a.setup.log.Error("authhttp: a reset mail was not sent", "user", uint64(u.ID), "err", webui.WithoutLink(err, link))
	}
}

var errMailPanic = errors.New("SendReset panicked") // what was said may hold the link

// call gives a mail up when its time is over, also if SendReset does not look at its context: others wait for the slot, and the
// program for its end.
func (m *mailer) call(ctx context.Context, mail ResetMail) error {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errMailPanic
		defer func() {
			_ = recover()
			done <- err
		}()
		err = m.a.SendReset(ctx, mail)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		case <-time.After(mailGrace):
			return fmt.Errorf("given up: %w", ctx.Err())
		}
	}
}

// Wait returns when the mails under way are sent or given up. Call it after the server was shut
// down and before the engine is closed.
func (a *Auth) Wait() { a.ready().mails.running.Wait() }

// ResetURL returns the link with which a user can set a new password, for a token of
// [latchbolt.Engine.ResetToken]: to put into a mail, or to hand over in another way. It is a
// secret. The error says that BaseURL is missing.
func (a *Auth) ResetURL(t latchbolt.Token) (string, error) {
	base := a.ready().base
	if base == nil {
		return "", errors.New("authhttp: Auth.BaseURL is not set: a link is never made of what a request says")
	}
	return base.String() + a.setup.prefix + "password/reset/" + t.Reveal() + "/", nil
}
