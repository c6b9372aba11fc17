package latchbolt

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// SealedSessions returns a store that keeps no session at all: each is inside its
// token, encrypted with XChaCha20-Poly1305 under the first key. Tokens that were
// sealed under any of the keys are opened; to change keys, put a new one in front and
// leave the old one until its last session expired. A key is 32 random bytes,
// from crypto/rand and not from a password. Whoever has one can be anybody.
//
// A token names the file it belongs to, so programs with the same keys do not
// take each other's tokens. Its text starts with "s." and has at most 3,840 characters, so that it
// fits a cookie with its name and attributes.
//
// What was sealed cannot be taken back one by one: single sessions cannot be listed
// or ended, for which the error is [ErrUnsupported]. [Engine.Logout] and what gives
// a new token are remembered in memory, the last 100,000 ends; the token is good
// again after a restart. [Engine.EndSessions], deactivation and a new password
// end all sessions of a user for good. See [SessionStore] for the rest.
func SealedSessions(keys ...[]byte) (SessionStore, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: sealed sessions need a key", ErrInvalid)
	}
	s := new(sealedSessions)
	for i, key := range keys {
		if len(key) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("%w: key %d of sealed sessions has %d bytes instead of %d", ErrInvalid, i+1, len(key), chacha20poly1305.KeySize)
		}
		if !slices.ContainsFunc(key, func(b byte) bool { return b != 0 }) {
			return nil, fmt.Errorf("%w: key %d of sealed sessions is all zeros", ErrInvalid, i+1)
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, fmt.Errorf("latchbolt: key %d of sealed sessions: %w", i+1, err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// sealedSessions seals and opens tokens. As a SessionStore it can do nothing.
type sealedSessions struct {
	keys []cipher.AEAD
}

func (*sealedSessions) Load(context.Context, SessionID) ([]byte, error) { return nil, ErrUnsupported }
func (*sealedSessions) Save(context.Context, SessionID, []byte, time.Time) error {
	return ErrUnsupported
}
func (*sealedSessions) Delete(context.Context, SessionID) error { return ErrUnsupported }
func (*sealedSessions) Scan(context.Context) iter.Seq2[SessionID, error] {
	return func(yield func(SessionID, error) bool) { yield(SessionID{}, ErrUnsupported) }
}

const (
	// sealedPurpose is authenticated with each token, together with the file
	// it belongs to. Another form of tokens gets another number.
	sealedPurpose = "latchbolt sealed session 1\x00"
	// maxSealedText leaves 256 bytes of a cookie to its name and attributes.
	maxSealedText = maxSealed - 256
)

// seal returns the token text for data.
func (s *sealedSessions) seal(file, data []byte) (string, error) {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(data)+chacha20poly1305.Overhead)
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("latchbolt: no randomness for a token: %w", err)
	}
	raw := s.keys[0].Seal(nonce, nonce, data, append([]byte(sealedPurpose), file...))
	text := sealedPrefix + base64.RawURLEncoding.EncodeToString(raw)
	if len(text) > maxSealedText {
		return "", &FieldError{Field: "session", Code: "max_length",
			Msg:    fmt.Sprintf("A sealed session takes %d characters; at most %d fit into a cookie.", len(text), maxSealedText),
			Params: map[string]any{"limit_value": maxSealedText, "show_value": len(text)}}
	}
	return text, nil
}

// open returns what was sealed into a token text, or nil if it was not sealed by us
// for this file.
func (s *sealedSessions) open(file []byte, text string) []byte {
	text, ok := strings.CutPrefix(text, sealedPrefix)
	if !ok || len(text) > maxSealed || strings.ContainsAny(text, "\r\n") { // which base64 would skip
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil
	}
	nonce, box := raw[:chacha20poly1305.NonceSizeX], raw[chacha20poly1305.NonceSizeX:]
	aad := append([]byte(sealedPurpose), file...)
	for _, key := range s.keys {
		if data, err := key.Open(nil, nonce, box, aad); err == nil {
			return data
		}
	}
	return nil
}

// A sealedVault keeps sessions inside their tokens. In there the selector stands
// before what encodeHeld gives; the session's secret half is not used.
type sealedVault struct {
	e     *Engine
	box   *sealedSessions
	ended endedSessions
}

// find returns the session in a token, dead or alive, or nil.
func (v *sealedVault) find(t *Token) (*heldSession, error) {
	if v.e.closed.Load() {
		return nil, ErrClosed
	}
	if t.kind != tokenSealed {
		return nil, nil
	}
	data := v.box.open(v.e.meta.instance[:], t.sealed)
	if len(data) < len(selector{}) {
		return nil, nil
	}
	sel := selector(data)
	h, err := v.e.decodeHeld(sel, data[len(sel):])
	if err != nil {
		return nil, nil // by another release: it cannot be used here
	}
	return h, nil
}

// living returns the living session of a token and its user. A session cannot
// change in between: what ends it is looked at last.
func (v *sealedVault) living(ctx context.Context, t *Token) (*heldSession, *userState, error) {
	h, err := v.find(t)
	if err != nil {
		return nil, nil, err
	}
	if h == nil {
		return nil, nil, ErrNoSession
	}
	st, err := v.e.admitted(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	if v.ended.has(h.sel) {
		return nil, nil, ErrNoSession
	}
	return h, st, nil
}

// seal puts a session into a token.
func (v *sealedVault) seal(sel selector, s *sessionRecord, values []byte) (Session, error) {
	s.digest = [32]byte{}
	data, err := v.e.encodeHeld(sel, s, values)
	if err != nil {
		return Session{}, err
	}
	text, err := v.box.seal(v.e.meta.instance[:], append(sel[:], data...))
	if err != nil {
		return Session{}, err
	}
	return (&heldSession{sel: sel, rec: s}).shown(Token{kind: tokenSealed, sealed: text}), nil
}

// begin seals a session under a selector of its own.
func (v *sealedVault) begin(s *sessionRecord, values []byte) (Session, error) {
	t, err := v.e.newTokenFor(s) // for its selector
	if err != nil {
		return Session{}, err
	}
	return v.seal(t.sel, s, values)
}

// previous returns the session that a client had, if any, and what of its values
// goes over to s.
func (v *sealedVault) previous(t *Token, s *sessionRecord) (*heldSession, []byte, error) {
	h, err := v.find(t)
	if err != nil || h == nil || v.ended.has(h.sel) {
		return nil, nil, err
	}
	values, err := v.e.carried(h, s)
	return h, values, err
}

// forget remembers that a session ended, and reports whether it had not before.
func (v *sealedVault) forget(h *heldSession, until time.Time) bool {
	return h == nil || v.ended.add(h.sel, h.rec.user == 0, until, v.e.clock.now())
}

func (v *sealedVault) sessionUser(ctx context.Context, t *Token) (Identity, error) {
	h, st, err := v.living(ctx, t)
	if err != nil {
		return Identity{}, err
	}
	return h.identity(st), nil
}

func (v *sealedVault) session(ctx context.Context, t *Token) (Session, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return Session{}, err
	}
	return h.shown(*t), nil
}

func (v *sealedVault) login(ctx context.Context, id Identity, o *LoginOptions, s *sessionRecord) (Session, error) {
	prev, values, err := v.previous(&o.Previous, s)
	if err != nil {
		return Session{}, err
	}
	p, err := v.begin(s, values)
	if err != nil {
		return Session{}, err
	}
	if err := v.e.recordLogin(ctx, id, s); err != nil {
		return Session{}, err
	}
	if prev != nil {
		v.forget(prev, prev.rec.expires)
	}
	t := p.Token
	p.Token = Token{}
	return v.e.began(p, t), nil
}

func (v *sealedVault) create(_ context.Context, o *LoginOptions, s *sessionRecord) (Session, error) {
	prev, values, err := v.previous(&o.Previous, s)
	if err != nil {
		return Session{}, err
	}
	p, err := v.begin(s, values)
	if err == nil && prev != nil {
		v.forget(prev, prev.rec.expires)
	}
	return p, err
}

func (v *sealedVault) rotate(ctx context.Context, t *Token, change func(*sessionRecord)) (Session, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return Session{}, err
	}
	values, err := h.values()
	if err != nil {
		return Session{}, err
	}
	until := h.rec.expires
	change(h.rec)
	p := h.shown(*t)
	if now := v.e.clock.now(); now.Before(h.rec.deadline()) {
		h.rec.seen = now
		if p, err = v.begin(h.rec, values); err != nil {
			return Session{}, err
		}
	}
	if !v.forget(h, until) {
		return Session{}, ErrNoSession // somebody else was quicker
	}
	return p, nil
}

func (v *sealedVault) name(context.Context, SessionID, string) error { return ErrUnsupported }

func (v *sealedVault) logout(ctx context.Context, t *Token) (UserID, error) {
	h, err := v.find(t)
	if err != nil || h == nil || !v.forget(h, h.rec.expires) {
		return 0, err
	}
	if h.rec.user != 0 {
		v.e.auditLater(ctx, AuditEntry{Action: ActionLogout, User: h.rec.user})
	}
	return h.rec.user, nil
}

func (v *sealedVault) list(context.Context, UserID) ([]Session, error) { return nil, ErrUnsupported }

func (v *sealedVault) byID(context.Context, SessionID) (Session, error) {
	return Session{}, ErrUnsupported
}

func (v *sealedVault) end(context.Context, SessionID) error { return ErrUnsupported }

// endAll has nothing to remove: the user's new generation made all sessions void.
func (v *sealedVault) endAll(context.Context, UserID) {}

func (v *sealedVault) endOthers(context.Context, *Token) error { return ErrUnsupported }

func (v *sealedVault) changePassword(ctx context.Context, t *Token, change func(*Tx) (func(*sessionRecord), error)) (Session, error) {
	used := v.e.clock.now() // before the session is looked at: afterwards it may be over
	h, _, err := v.living(ctx, t)
	if err != nil {
		return Session{}, err
	}
	values, err := h.values()
	if err != nil {
		return Session{}, err
	}
	renew, err := v.e.changeOwn(ctx, h.rec, change)
	if err != nil {
		return Session{}, err
	}
	renew(h.rec)
	h.rec.seen = used
	p, err := v.begin(h.rec, values)
	if err != nil {
		return Session{}, fmt.Errorf("latchbolt: the password was changed, but all sessions ended: %w", err)
	}
	if !v.forget(h, h.rec.expires) {
		// It was ended since: so is the one that goes on from it.
		v.forget(&heldSession{sel: selector(p.ID), rec: h.rec}, h.rec.expires)
	}
	return p, nil
}

func (v *sealedVault) values(ctx context.Context, t *Token) (*Values, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return nil, err
	}
	data, err := h.values()
	if err != nil {
		return nil, err
	}
	return decodeValues(data)
}

func (v *sealedVault) updateValues(ctx context.Context, t *Token, fn func(*Values) error) (Token, error) {
	h, _, err := v.living(ctx, t)
	if err != nil {
		return *t, err
	}
	data, err := h.values()
	if err != nil {
		return *t, err
	}
	values, err := decodeValues(data)
	if err != nil {
		return *t, err
	}
	if err := fn(values); err != nil {
		return *t, err
	}
	now := v.e.clock.now()
	if !values.changed && !noteDue(now.Sub(h.rec.seen), h.rec.idle) {
		return *t, nil
	}
	if values.changed {
		if data, err = values.encode(); err != nil {
			return *t, err
		}
	}
	// It may have ended while fn ran.
	if _, _, err := v.living(ctx, t); err != nil {
		return *t, err
	}
	h.rec.seen = now
	p, err := v.seal(h.sel, h.rec, data)
	if err != nil {
		return *t, err
	}
	return p.Token, nil
}

// touch does nothing: only a new token could tell.
func (v *sealedVault) touch(context.Context, map[selector]time.Time) error { return nil }

func (v *sealedVault) sweep(context.Context) (int, error) {
	v.ended.sweep(v.e.clock.now())
	return 0, nil
}

// endedSessions are sealed sessions that ended before their time. Those of users have room of
// their own, which nobody can fill who has no password.
type endedSessions struct {
	mu        sync.Mutex // guards all below
	users     map[selector]time.Time
	anonymous map[selector]time.Time
}

const (
	maxEnded          = 100_000
	maxEndedAnonymous = 20_000
)

func (e *endedSessions) has(sel selector) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, user := e.users[sel]
	_, anonymous := e.anonymous[sel]
	return user || anonymous
}

// add remembers a session until a time, and reports whether it is new.
func (e *endedSessions) add(sel selector, anonymous bool, until, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, limit := &e.users, maxEnded
	if anonymous {
		m, limit = &e.anonymous, maxEndedAnonymous
	}
	if _, there := (*m)[sel]; there {
		return false
	}
	if *m == nil {
		*m = make(map[selector]time.Time)
	}
	if len(*m) >= limit {
		forgetEnded(*m, limit, now)
	}
	(*m)[sel] = until
	return true
}

// forgetEnded makes room: by what expired, or else by the eighth that expires
// soonest, so that it does not have to be done each time.
func forgetEnded(m map[selector]time.Time, limit int, now time.Time) {
	sweepEnded(m, now)
	if len(m) < limit {
		return
	}
	times := make([]time.Time, 0, len(m))
	for _, until := range m {
		times = append(times, until)
	}
	slices.SortFunc(times, time.Time.Compare)
	soon := times[len(times)/8]
	for sel, until := range m {
		if !until.After(soon) {
			delete(m, sel)
		}
	}
}

func sweepEnded(m map[selector]time.Time, now time.Time) {
	for sel, until := range m {
		if !now.Before(until) {
			delete(m, sel)
		}
	}
}

func (e *endedSessions) sweep(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	sweepEnded(e.users, now)
	sweepEnded(e.anonymous, now)
}
