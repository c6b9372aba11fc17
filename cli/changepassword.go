package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

func (t *tree) changePassword() *cobra.Command {
	var password passwordFlag
	var none bool
	cmd := &cobra.Command{
		Use:   "changepassword [USER]",
		Short: "Give a user a new password",
		Long: "Give a user a new password; without USER it is the one with the name that the system knows you by. At a terminal it is\n" +
			"asked for twice, three times at most; an empty one leaves all as it is. All sessions of the user end, and one-time\n" +
			"tokens are void. With --no-password the user has no password any more, and cannot log in with one.",
		Example: "  latchbolt changepassword ada\n  printf %s \"$PASSWORD\" | latchbolt changepassword ada --password-stdin",
		Args:    wantArgs(cobra.MaximumNArgs(1)),
	}
	password.add(cmd.Flags())
	cmd.Flags().BoolVar(&none, "no-password", false, "take the password away")
	exclusive(cmd, "no-password", "password-stdin")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		name := t.front.Place().User
		if len(args) == 1 {
			name = args[0]
		}
		u, err := findUser(ctx, eng, name)
		if err != nil {
			return err
		}
		if none {
			if err := t.confirm(ctx, "Take the password of user %s away", clean(u.Username)); err != nil {
				return err
			}
			if err := eng.SetPasswordHash(ctx, u.ID, latchbolt.PasswordHash{}); err != nil {
				return err
			}
			return t.done(refOf(u), "User %s has no password any more; all sessions ended.", clean(u.Username))
		}
		if !password.stdin {
			if err := t.canPrompt(); err != nil {
				return err
			}
			t.note("Changing password for user '%s'", clean(u.Username))
		}
		secret, err := password.readNew(ctx, t, func(s string) error { return eng.ValidatePassword(s, u) })
		if err != nil {
			return err
		}
		if err := eng.SetPassword(ctx, u.ID, secret); err != nil {
			return err
		}
		return t.done(refOf(u), "Password changed successfully for user %s; all sessions ended.", clean(u.Username))
	})
	return cmd
}
