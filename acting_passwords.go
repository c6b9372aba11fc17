package latchbolt

import (
	"context"
	"fmt"
)

// SetPassword gives a user a password that the administrator knows; see [Engine.SetPassword]. Sending a link, with
// [Administrator.SendReset], is another right and leaves the password to the user.
func (a Administrator) SetPassword(ctx context.Context, id UserID, password string) error {
	var u *userRecord
	err := a.read(ctx, &ruleSetPassword, id, func(by *acting) (err error) {
		u, err = by.user(&ruleSetPassword, id)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.e.ValidatePassword(password, &u.User); err != nil {
		return err
	}
	h, err := a.e.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return a.change(ctx, &ruleSetPassword, id, func(by *acting, tx *Tx) error {
		if _, err := by.user(&ruleSetPassword, id); err != nil {
			return err
		}
		return tx.setPasswordAudited(id, h)
	}, func() denial { return denial{users: []UserID{id}, password: true} })
}

// ResetToken issues a token for [Engine.ResetPassword] that the administrator is to see, to hand it over. Who sees
// it can choose the password with it, so it takes the right to set one.
func (a Administrator) ResetToken(ctx context.Context, id UserID) (Token, error) {
	t, _, err := a.resetToken(ctx, &ruleResetToken, id)
	return t, err
}

// SendReset issues a token for [Engine.ResetPassword] and gives it to send, together with the user as stored, after the
// token is durable. The administrator does not see it. An error of send is returned and leaves a token that nobody has.
func (a Administrator) SendReset(ctx context.Context, id UserID, send func(context.Context, User, Token) error) error {
	t, u, err := a.resetToken(ctx, &ruleSendReset, id)
	if err != nil {
		return err
	}
	return send(ctx, *u, t)
}

func (a Administrator) resetToken(ctx context.Context, r *adminRule, id UserID) (Token, *User, error) {
	var to *User
	t, err := a.e.issueToken(a.context(ctx), OneTimeRequest{User: id, Purpose: PurposeReset}, func(tx *Tx) error {
		by, err := tx.actor(a.id)
		if err != nil {
			return err
		}
		u, err := by.user(r, id)
		if err != nil {
			return err
		}
		if err := u.resettable(); err != nil {
			return err
		}
		if r == &ruleSendReset && u.Email == "" {
			return fmt.Errorf("%w: the user has no e-mail address", ErrConflict)
		}
		to = &u.User
		return nil
	})
	a.refused(ctx, r, id, err)
	if err != nil {
		return Token{}, nil, err
	}
	return t, to, nil
}
