package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// An authView says whom a password proved. The keys are part of the contract.
type authView struct {
	OK       bool    `json:"ok"`
	User     userRow `json:"user"`
	Backend  string  `json:"backend"`
	Upgraded bool    `json:"upgraded"` // the stored hash was replaced by a better one
}

// A refusedView says that it proved nobody. Why is nobody's business.
type refusedView struct {
	OK bool `json:"ok"`
}

func (t *tree) authenticate() *cobra.Command {
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "authenticate USER",
		Short: "Check a password as a login does",
		Long: "Check a password as a login does: failures count, and after too many one has to wait; a hash that is out of date is\n" +
			"replaced. USER is what one would type at a login. No session begins. The exit code is 0 if the password is right and\n" +
			"1 if it is not, whatever the reason.\n\n" +
			`With --json the result is {"ok":true,"user":{…},"backend":"…","upgraded":…} or {"ok":false}.`,
		Example: "  latchbolt authenticate ada\n  printf %s \"$PASSWORD\" | latchbolt authenticate ada --password-stdin --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	password.add(cmd.Flags())
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		secret, err := password.read(ctx, t, "Password: ")
		if err != nil {
			return err
		}
		before, err := hashesOf(ctx, eng, args[0])
		if err != nil {
			return err
		}
		id, err := eng.Authenticate(ctx, latchbolt.Password{Username: args[0], Password: secret})
		if errors.Is(err, latchbolt.ErrCredentials) {
			return t.refused(err)
		}
		if err != nil {
			return err
		}
		return t.accepted(ctx, eng, id, before)
	})
	return cmd
}

// hashesOf returns the hashes of the accounts that a name at a login can mean.
func hashesOf(ctx context.Context, eng *latchbolt.Engine, name string) (hashes map[latchbolt.UserID]latchbolt.PasswordHash, err error) {
	err = eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		hashes = make(map[latchbolt.UserID]latchbolt.PasswordHash)
		var users []*latchbolt.User
		u, err := tx.UserByName(name)
		switch {
		case err == nil:
			users = []*latchbolt.User{u}
		case !errors.Is(err, latchbolt.ErrNotFound) && !errors.Is(err, latchbolt.ErrInvalid):
			return err
		default:
			if users, err = tx.UsersByEmail(name); err != nil {
				return err
			}
		}
		for _, u := range users {
			if hashes[u.ID], err = tx.PasswordHash(u.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return hashes, err
}

// refused prints a no.
func (t *tree) refused(err error) error {
	var wait *latchbolt.ThrottleError
	if errors.As(err, &wait) {
		t.note("%v", wait)
	}
	if err := t.done(refusedView{}, t.paint(red, "no")); err != nil {
		return err
	}
	return errNo
}

// accepted prints whom a password proved. A hash that differs from the one before was made of the same password:
// Authenticate refuses when another password was set meanwhile.
func (t *tree) accepted(ctx context.Context, eng *latchbolt.Engine, id latchbolt.Identity, before map[latchbolt.UserID]latchbolt.PasswordHash) error {
	v := authView{OK: true, Backend: id.Backend()}
	var u *latchbolt.User
	err := eng.View(ctx, func(tx *latchbolt.ReadTx) (err error) {
		if u, err = tx.User(id.ID()); err != nil {
			return err
		}
		now, err := tx.PasswordHash(u.ID)
		was, known := before[u.ID]
		v.Upgraded = known && was != now
		return err
	})
	if err != nil {
		return err
	}
	if v.User, err = newGroupNames(eng).row(ctx, u); err != nil {
		return err
	}
	text := t.paint(green, "yes") + ": user %s, proved by %s"
	if v.Upgraded {
		text += "; the hash was replaced by a better one"
	}
	return t.done(v, text, clean(u.Username), clean(v.Backend))
}
