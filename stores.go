package latchbolt

import (
	"context"
	"time"
)

// A SessionStore says where sessions live, if not in the file.
type SessionStore interface {
	open(e *Engine) (*sessionVault, error)
}

type sessionVault struct{}

func vaultFor(e *Engine, s SessionStore) (*sessionVault, error) {
	if s == nil {
		return nil, nil
	}
	return s.open(e)
}

func (v *sessionVault) Close() error { return nil }
func (v *sessionVault) sessionUser(context.Context, *Token) (Identity, error) {
	panic("x")
}
func (v *sessionVault) login(context.Context, Identity, *LoginOptions, *sessionRecord) (Session, error) {
	panic("x")
}
func (v *sessionVault) create(context.Context, *sessionRecord, []byte) (Session, error) {
	panic("x")
}
func (v *sessionVault) session(context.Context, *Token) (Session, error) { panic("x") }
func (v *sessionVault) rotate(context.Context, *Token, func(*sessionRecord)) (Session, error) {
	panic("x")
}
func (v *sessionVault) logout(context.Context, *Token) error                    { panic("x") }
func (v *sessionVault) list(context.Context, UserID, func(Session, error) bool) { panic("x") }
func (v *sessionVault) end(context.Context, SessionID) error                    { panic("x") }
func (v *sessionVault) endAll(context.Context, UserID) error                    { panic("x") }
func (v *sessionVault) endOthers(context.Context, *Token) error                 { panic("x") }
func (v *sessionVault) changePassword(context.Context, *Token, func(*Tx) (func(*sessionRecord), error)) (Session, error) {
	panic("x")
}
func (v *sessionVault) values(context.Context, *Token) (*Values, error) { panic("x") }
func (v *sessionVault) updateValues(context.Context, *Token, func(*Values) error) (Token, error) {
	panic("x")
}
func (v *sessionVault) sweep(context.Context) (int, error) { panic("x") }

var _ = time.Second
