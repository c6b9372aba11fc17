package latchbolt

import (
	"context"
	"time"
)

// PasswordHash returns the hash that is stored for a user, for export. The
// zero PasswordHash is an unusable password.
func (tx *ReadTx) PasswordHash(id UserID) (PasswordHash, error) {
	u, err := tx.user(id)
	if err != nil {
		return PasswordHash{}, err
	}
	return u.hash, nil
}

// SetPasswordHash replaces the password of a user; the zero PasswordHash makes
// it unusable. It ends all sessions of the user and voids the tokens issued
// to it.
func (tx *Tx) SetPasswordHash(id UserID, h PasswordHash) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	if err := tx.endAll(u); err != nil {
		return err
	}
	tx.written(denial{users: []UserID{id}, password: true})
	return tx.replaceHash(u, h)
}

// endAll ends the sessions of a user and voids its tokens. The caller stores u, whose new
// generation ends what is not filed under the user.
func (tx *Tx) endAll(u *userRecord) error {
	u.generation++
	if err := tx.deleteSessions(u.ID, nil); err != nil {
		return err
	}
	return tx.deleteTokens(u.ID, "")
}

// replaceHash stores another hash and leaves everything else alone.
func (tx *Tx) replaceHash(u *userRecord, h PasswordHash) error {
	tx.countHash(u.hash, h)
	u.hash = h
	return tx.putUser(u)
}

// ValidatePassword runs all configured validators over a new password. The error
// is [FieldErrors]. u may be nil; otherwise the password must not resemble it.
func (e *Engine) ValidatePassword(password string, u *User) error {
	return ValidatePassword(password, u, e.cfg.Validators)
}

// PasswordHelp returns the sentences in English that tell people the rules of
// [Config.Validators] for new passwords, in their order. It is empty if there are none.
func (e *Engine) PasswordHelp() (help []string) {
	for _, v := range e.cfg.Validators {
		if h := v.Help(); h != "" {
			help = append(help, h)
		}
	}
	return help
}

// HashPassword hashes a password with the preferred hasher. It waits for a
// hashing slot; the error is [ErrBusy] if too many wait already.
func (e *Engine) HashPassword(ctx context.Context, password string) (PasswordHash, error) {
	return e.hashes.hash(ctx, password)
}

// SetPassword gives a user a new password, after it passed the validators. All
// sessions of the user end, and tokens issued to it are void. For a user who
// changes the own password, [Engine.ChangePassword] keeps the session.
func (e *Engine) SetPassword(ctx context.Context, id UserID, password string) error {
	u, err := e.User(ctx, id)
	if err != nil {
		return err
	}
	if err := e.ValidatePassword(password, u); err != nil {
		return err
	}
	h, err := e.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return e.SetPasswordHash(ctx, id, h)
}

// SetPasswordHash replaces the password of a user by a hash made before; see
// [Tx.SetPasswordHash]. If the change cannot be written, the user's sessions and
// the old password are refused in this process all the same.
func (e *Engine) SetPasswordHash(ctx context.Context, id UserID, h PasswordHash) error {
	return e.revoke(ctx, func(tx *Tx) error { return tx.setPasswordAudited(id, h) },
		func() denial { return denial{users: []UserID{id}, password: true} })
}

func (tx *Tx) setPasswordAudited(id UserID, h PasswordHash) error {
	if err := tx.SetPasswordHash(id, h); err != nil {
		return err
	}
	tx.changed(ChangePassword, id)
	return tx.audit(AuditEntry{Action: ActionPasswordSet, User: id})
}

// ChangePassword lets a user replace the own password. The old one is checked
// as at a login, failures count, and the new one has to pass the validators. A failure counts for
// the address of [WithActor], or that of the session's login if there is none. All
// other sessions end; this one goes on under a new token, which the
// client has to be sent. The error is [ErrCredentials] if the old password is wrong.
func (e *Engine) ChangePassword(ctx context.Context, t Token, old, new string) (p Session, err error) {
	id, err := e.SessionUser(ctx, t)
	if err != nil {
		return Session{}, err
	}
	if id.Anonymous() {
		return Session{}, ErrNoSession
	}
	here, err := e.Session(ctx, t)
	if err != nil {
		return Session{}, err
	}
	client := here.Client
	if by, ok := ctx.Value(actorKey{}).(actor); ok && by.addr.IsValid() {
		client.Addr = by.addr // where the session began counts only if nothing better is known
	}
	proved, err := e.Authenticate(ctx, Password{Username: id.Username(), Password: old, Client: client})
	if err != nil {
		return Session{}, err
	}
	if proved.ID() != id.ID() {
		return Session{}, ErrCredentials
	}
	u, err := e.User(ctx, id.ID())
	if err != nil {
		return Session{}, err
	}
	if err := e.ValidatePassword(new, u); err != nil {
		return Session{}, err
	}
	h, err := e.HashPassword(ctx, new)
	if err != nil {
		return Session{}, err
	}
	change := func(tx *Tx) (func(*sessionRecord), error) {
		if err := tx.SetPasswordHash(u.ID, h); err != nil {
			return nil, err
		}
		after, err := tx.user(u.ID)
		if err != nil {
			return nil, err
		}
		tx.changed(ChangePassword, u.ID)
		return func(s *sessionRecord) { s.generation, s.authed = after.generation, tx.now },
			tx.audit(AuditEntry{Action: ActionPasswordChange, User: u.ID, Actor: u.ID, Username: u.Username})
	}
	if e.vault != nil {
		return e.vault.changePassword(ctx, &t, change)
	}
	err = e.revoke(ctx, func(tx *Tx) error {
		sel, s, err := tx.living(&t)
		if err != nil {
			return err
		}
		// Move it out of the way first: the change ends all that are there.
		values, err := tx.values(sel)
		if err != nil {
			return err
		}
		renew, err := change(tx)
		if err != nil {
			return err
		}
		renew(s)
		nt, err := e.newTokenFor(s)
		if err != nil {
			return err
		}
		p = s.public(nt.sel)
		p.Token = nt
		return tx.putSession(nt.sel, s, values, time.Time{})
	}, func() denial { return denial{users: []UserID{u.ID}, password: true} })
	if err != nil {
		return Session{}, err
	}
	return p, nil
}
