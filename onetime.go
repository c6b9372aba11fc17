package latchbolt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// PurposeReset is the purpose of tokens that [Engine.ResetToken] issues.
const PurposeReset = "password-reset"

// A OneTimeRequest asks for a one-time token.
type OneTimeRequest struct {
	User    UserID
	Purpose string        // what it is good for; a token of one purpose never serves another. 1 to 64 bytes
	TTL     time.Duration // 0 means Config.TokenLifetime
	Data    string        // given back when it is redeemed; at most 1024 bytes; stored in the clear
}

const (
	maxPurpose   = 64
	maxTokenData = 1024
	maxTokenTTL  = 30 * 24 * time.Hour
)

// accountState is a digest of what makes a token void when it changes: the
// password, the address, the last login to the second, as in Django, and whether the
// user is active. Every part has its length in front of it, so that no two states look alike.
func accountState(u *userRecord) ([32]byte, error) {
	var b cryptobyte.Builder
	for _, s := range []string{u.hash.encoded, u.Email} {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
	}
	login := int64(-1 << 63)
	if !u.LastLogin.IsZero() {
		login = u.LastLogin.Unix()
	}
	b.AddUint64(uint64(login))
	b.AddUint32(u.generation)
	b.AddUint8(flag(u.Inactive, 1))
	data, err := b.Bytes()
	return sha256.Sum256(data), err
}

// IssueToken makes a token that can be redeemed once, by [Engine.RedeemToken].
// It becomes void when it is used, when its time is over, when a newer
// one of the same purpose is issued to the user, when the user's password or e-mail address changes, the user logs
// in (in another second than the last time), or is deactivated or deleted.
func (e *Engine) IssueToken(ctx context.Context, r OneTimeRequest) (Token, error) {
	return e.issueToken(ctx, r, func(*Tx) error { return nil })
}

// issueToken makes a token if check agrees in the same transaction.
func (e *Engine) issueToken(ctx context.Context, r OneTimeRequest, check func(*Tx) error) (Token, error) {
	ttl := r.TTL
	if ttl == 0 {
		ttl = e.cfg.TokenLifetime
	}
	if r.Purpose == "" || len(r.Purpose) > maxPurpose || len(r.Data) > maxTokenData || ttl < 0 || ttl > maxTokenTTL {
		return Token{}, &FieldError{Field: "token", Code: "invalid", Msg: fmt.Sprintf("A token needs a purpose of 1 to %d bytes, at most %d bytes of data and at most %v of time.", maxPurpose, maxTokenData, maxTokenTTL)}
	}
	now := e.clock.now()
	k := &tokenRecord{user: r.User, purpose: r.Purpose, expires: now.Add(ttl), data: r.Data}
	t, err := newToken(k.expires, now)
	if err != nil {
		return Token{}, err
	}
	k.digest = t.digest()
	err = e.update(ctx, func(tx *Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		u, err := tx.user(r.User)
		if err != nil {
			return err
		}
		if u.Inactive {
			return fmt.Errorf("%w: the user is inactive", ErrConflict)
		}
		if k.state, err = accountState(u); err != nil {
			return err
		}
		if err := tx.deleteTokens(r.User, r.Purpose); err != nil {
			return err
		}
		if err := tx.put(bucketToken, t.sel[:], k.encode()); err != nil {
			return err
		}
		if err := tx.mark(bucketTokenUser, tokenUserKey(r.User, r.Purpose, t.sel)); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionTokenIssue, User: u.ID, Username: u.Username, Detail: r.Purpose})
	})
	if err != nil {
		return Token{}, err
	}
	return t, nil
}

// deleteTokens removes the tokens of a user: those of one purpose, or all if it is empty.
func (tx *Tx) deleteTokens(id UserID, purpose string) error {
	prefix := userKey(id)
	if purpose != "" {
		prefix = tokenUserPrefix(id, purpose)
	}
	keys, err := tx.keys(bucketTokenUser, prefix, nil, 0)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := tx.delete(bucketToken, k[len(k)-len(selector{}):]); err != nil {
			return err
		}
	}
	return tx.deleteAll(bucketTokenUser, keys)
}

// goodToken returns the record of a token and its user, or [ErrToken].
func (tx *ReadTx) goodToken(t *Token, purpose string) (*tokenRecord, *userRecord, error) {
	digest := t.digest()
	body, ok, err := tx.get(bucketToken, t.sel[:])
	if err != nil {
		return nil, nil, err
	}
	k := new(tokenRecord)
	if ok {
		if k, err = decodeToken(t.sel, &body); err != nil {
			return nil, nil, err
		}
	}
	// The limit is inclusive, as Django's is, and stored to the microsecond.
	if !equalDigest(&digest, &k.digest) || !ok || k.purpose != purpose || tx.now.Truncate(time.Microsecond).After(k.expires) {
		return nil, nil, ErrToken
	}
	u, err := tx.user(k.user)
	if errors.Is(err, ErrNotFound) {
		return nil, nil, ErrToken
	}
	if err != nil {
		return nil, nil, err
	}
	state, err := accountState(u)
	if err != nil || !equalDigest(&state, &k.state) || u.Inactive || tx.denied(u.ID) != (userDenial{}) {
		return nil, nil, errors.Join(ErrToken, err)
	}
	return k, u, nil
}

// CheckToken reports whom a token was issued to, without using it up: for the
// page that asks for the new password. The error is [ErrToken].
func (e *Engine) CheckToken(ctx context.Context, purpose string, t Token) (id UserID, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		k, _, err := tx.goodToken(&t, purpose)
		if err == nil {
			id = k.user
		}
		return err
	})
	return id, err
}

// RedeemToken uses a token up and calls fn with the user and the data it was
// issued with, in the same transaction: if fn fails, the token is as good as before. Of
// many calls with one token exactly one succeeds. The error is [ErrToken].
func (e *Engine) RedeemToken(ctx context.Context, purpose string, t Token, fn func(tx *Tx, u *User, data string) error) error {
	return e.redeem(ctx, purpose, t, func(tx *Tx, u *User, data string) error {
		if err := fn(tx, u, data); err != nil {
			return err
		}
		return tx.audit(AuditEntry{Action: ActionTokenUse, User: u.ID, Username: u.Username, Detail: purpose})
	}, nil)
}

func (e *Engine) redeem(ctx context.Context, purpose string, t Token, fn func(*Tx, *User, string) error, what func() denial) error {
	// Nothing is written for a token that nobody issued, or that is used up.
	known := false
	if err := e.view(ctx, func(tx *ReadTx) (err error) {
		if known, err = tx.has(bucketToken, t.sel[:]); err == nil && !known {
			err = ErrToken
		}
		return err // which is not that of a token that is no good where nobody knows
	}); err != nil {
		return err
	}
	err := e.revoke(ctx, func(tx *Tx) error {
		k, u, err := tx.goodToken(&t, purpose)
		if err != nil {
			return err
		}
		if err := tx.delete(bucketToken, t.sel[:]); err != nil {
			return err
		}
		if err := tx.delete(bucketTokenUser, tokenUserKey(k.user, purpose, t.sel)); err != nil {
			return err
		}
		return fn(tx, &u.User, k.data)
	}, what)
	if errors.Is(err, ErrToken) {
		e.later(ctx, "recording a refused token", func(tx *Tx) error {
			return tx.audit(AuditEntry{Action: ActionTokenFailed, Failed: true, Detail: purpose})
		}, nil)
	}
	return err
}

// ResetToken issues a token with which a user can set a new password once, by
// [Engine.ResetPassword]. The error is [ErrConflict] for a user who is
// inactive or has no usable password: one who logs in by other means must not
// get a password this way. Tell nobody outside which of these it was.
func (e *Engine) ResetToken(ctx context.Context, id UserID) (Token, error) {
	return e.issueToken(ctx, OneTimeRequest{User: id, Purpose: PurposeReset}, func(tx *Tx) error {
		u, err := tx.user(id)
		if err != nil {
			return err
		}
		return u.resettable()
	})
}

// resettable fails if a user must not get a password by a link.
func (u *userRecord) resettable() error {
	if !u.Password.Usable {
		return fmt.Errorf("%w: the user has no usable password", ErrConflict)
	}
	return nil
}

// ResetPassword sets a new password with a token of [Engine.ResetToken], and
// returns whose it is. The password has to pass the validators; if it does not, the
// token stays good. All sessions of the user end, and nobody is logged in.
func (e *Engine) ResetPassword(ctx context.Context, t Token, password string) (UserID, error) {
	id, err := e.CheckToken(ctx, PurposeReset, t)
	if err != nil {
		return 0, err
	}
	u, err := e.User(ctx, id)
	if err != nil {
		return 0, err
	}
	if err := e.ValidatePassword(password, u); err != nil {
		return 0, err
	}
	h, err := e.HashPassword(ctx, password)
	if err != nil {
		return 0, err
	}
	err = e.redeem(ctx, PurposeReset, t, func(tx *Tx, u *User, _ string) error {
		if err := tx.SetPasswordHash(u.ID, h); err != nil {
			return err
		}
		// Who can reset the password is not the one who was guessing.
		if err := tx.forgive(u.ID); err != nil {
			return err
		}
		tx.changed(ChangePassword, u.ID)
		return tx.audit(AuditEntry{Action: ActionPasswordReset, User: u.ID, Username: u.Username})
	}, func() denial { return denial{users: []UserID{id}, password: true} })
	if err != nil {
		return 0, err
	}
	return id, nil
}

// sweepTokens removes at most n tokens whose hour is over, and reports whether there may be more.
func (tx *Tx) sweepTokens(n int) (removed int, more bool, err error) {
	keys, err := tx.keys(bucketToken, nil, nil, n)
	if err != nil {
		return 0, false, err
	}
	for _, k := range keys {
		if binary.BigEndian.Uint32(k) >= hourOf(tx.now) {
			return removed, false, nil
		}
		body, ok, err := tx.get(bucketToken, k)
		if err != nil || !ok {
			return removed, false, err
		}
		r, err := decodeToken(selector(k), &body)
		if err != nil {
			return removed, false, err
		}
		if err := tx.delete(bucketTokenUser, tokenUserKey(r.user, r.purpose, selector(k))); err != nil {
			return removed, false, err
		}
		if err := tx.delete(bucketToken, k); err != nil {
			return removed, false, err
		}
		removed++
	}
	return removed, len(keys) == n, nil
}
