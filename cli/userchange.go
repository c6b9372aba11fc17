package cli

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// onUser is onEngine for a verb whose first argument names a user.
func (t *tree) onUser(run func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, args []string) error) func(*cobra.Command, []string) error {
	return t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		u, err := findUser(ctx, eng, args[0])
		if err != nil {
			return err
		}
		return run(ctx, eng, u, args[1:])
	})
}

func (t *tree) userUpdate() *cobra.Command {
	var to latchbolt.User
	var active bool
	cmd := &cobra.Command{
		Use:   "update USER",
		Short: "Change fields of a user",
		Long: "Change the fields of a user that flags are given for, and no others.\n\n" +
			"The user name is changed with user rename, the password with changepassword, groups with group add and group remove.",
		Example: "  latchbolt user update ada --email ada@example.org --staff\n  latchbolt user update ada --superuser=false",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	f.StringVar(&to.Email, "email", "", "e-mail `address`")
	f.StringVar(&to.FirstName, "first-name", "", "first `name`")
	f.StringVar(&to.LastName, "last-name", "", "last `name`")
	f.BoolVar(&active, "active", false, "may log in; =false ends all sessions of the user")
	f.BoolVar(&to.Staff, "staff", false, "may enter the console")
	f.BoolVar(&to.Superuser, "superuser", false, "has every permission")
	set := map[string]func(*latchbolt.User){
		"email":      func(u *latchbolt.User) { u.Email = to.Email },
		"first-name": func(u *latchbolt.User) { u.FirstName = to.FirstName },
		"last-name":  func(u *latchbolt.User) { u.LastName = to.LastName },
		"active":     func(u *latchbolt.User) { u.Inactive = !active },
		"staff":      func(u *latchbolt.User) { u.Staff = to.Staff },
		"superuser":  func(u *latchbolt.User) { u.Superuser = to.Superuser },
	}
	var changes []func(*latchbolt.User)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		changes = nil
		for name, change := range set {
			if f.Changed(name) {
				changes = append(changes, change)
			}
		}
		if len(changes) == 0 {
			return withHint(usagef("what is to be changed?"), "See %s --help.", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
		err := eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error {
			for _, change := range changes {
				change(u)
			}
			return nil
		})
		return t.changed(ctx, eng, u.ID, err, "User %s changed.", clean(u.Username))
	})
	return cmd
}

func (t *tree) userRename() *cobra.Command {
	return &cobra.Command{
		Use:     "rename USER NEW-NAME",
		Short:   "Give a user another user name",
		Long:    "Give a user another user name. The identifier, sessions, groups and permissions stay.",
		Example: "  latchbolt user rename ada ada.lovelace",
		Args:    wantArgs(cobra.ExactArgs(2)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, args []string) error {
			err := eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error {
				u.Username = args[0]
				return nil
			})
			return t.changed(ctx, eng, u.ID, err, "User %s is now %s.", clean(u.Username), clean(args[0]))
		}),
	}
}

func (t *tree) userActivate() *cobra.Command {
	return &cobra.Command{
		Use:     "activate USER",
		Short:   "Let a user log in again",
		Example: "  latchbolt user activate ada",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
			err := eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error {
				u.Inactive = false
				return nil
			})
			return t.changed(ctx, eng, u.ID, err, "User %s may log in.", clean(u.Username))
		}),
	}
}

func (t *tree) userDeactivate() *cobra.Command {
	return &cobra.Command{
		Use:   "deactivate USER",
		Short: "Keep a user out",
		Long: "Keep a user out until user activate: all sessions end at once, one-time tokens are void, logins are refused and\n" +
			"no permission is had. Nothing else of the user is lost.",
		Example: "  latchbolt user deactivate ada",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
			err := eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error {
				u.Inactive = true
				return nil
			})
			return t.changed(ctx, eng, u.ID, err, "User %s is kept out; all sessions ended.", clean(u.Username))
		}),
	}
}

// An unlockView tells what was forgotten.
type unlockView struct {
	userRef
	Failures int   `json:"failures"`     // failed attempts in a row, as they were
	Wait     int64 `json:"wait_seconds"` // how long attempts would have been refused
}

func (t *tree) userUnlock() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock USER",
		Short: "Forget the failed logins of a user",
		Long: "Forget the failed attempts on a user's account, so that the next one is looked at at once.\n" +
			"Attempts from an address that failed too often, whoever was meant, have to wait all the same.",
		Example: "  latchbolt user unlock ada",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
			wait, failures, err := eng.Throttled(ctx, u.ID)
			if err != nil {
				return err
			}
			if err := eng.Unlock(ctx, u.ID); err != nil {
				return err
			}
			v := unlockView{refOf(u), failures, int64((wait + time.Second - 1) / time.Second)}
			return t.done(v, "User %s unlocked; failed attempts forgotten: %d.", clean(u.Username), failures)
		}),
	}
}

// A resetView is a way to a new password.
type resetView struct {
	userRef
	Token   string  `json:"token"`
	Link    *string `json:"link"`    // null without --url
	Expires *string `json:"expires"` // null without --ttl: as the program is set up
}

// tokenMark is what stands for the token in a link.
const tokenMark = "{token}"

func (t *tree) userResetLink() *cobra.Command {
	var link string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "reset-link USER",
		Short: "Print a one-time token or link to set a new password",
		Long: "Print a one-time token, or a link with it, with which a user can set a new password: for those without a mail server.\n\n" +
			"It is good once and for an hour, unless the program is set up otherwise or --ttl says so. An earlier one is void, and\n" +
			"so is this one when the user logs in or gets another password. Whoever has it can take over the account.",
		Example: "  latchbolt user reset-link ada\n  latchbolt user reset-link ada --url 'https://example.org/reset/{token}' --ttl 24h",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&link, "url", "", "the `address` of the program's page, with "+tokenMark+" where the token goes, else the token is put at its end")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good, such as 24h")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("ttl") && ttl <= 0 {
			return usagef("--ttl is more than nothing")
		}
		if link != "" {
			if u, err := url.Parse(strings.ReplaceAll(link, tokenMark, "")); err != nil || u.Scheme == "" {
				return usagef("--url is an address like https://example.org/reset/%s, not %q", tokenMark, link)
			}
		}
		return nil
	}
	cmd.RunE = t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
		v, err := resetLink(ctx, eng, u, link, ttl)
		if err != nil {
			return err
		}
		out := v.Token
		if v.Link != nil {
			out = *v.Link
		}
		return t.done(v, "%s", out)
	})
	return cmd
}

// resetLink issues a token to set a new password with.
func resetLink(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, link string, ttl time.Duration) (*resetView, error) {
	v := &resetView{userRef: refOf(u)}
	token, err := eng.ResetToken(ctx, u.ID) // this decides whether the user may have one
	if err == nil && ttl > 0 {
		until := eng.Now().Add(ttl)
		v.Expires = stamp(until)
		token, err = eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: latchbolt.PurposeReset, TTL: ttl})
	}
	switch {
	case err != nil && u.Inactive:
		return nil, withHint(err, "Let the user in first: user activate.")
	case err != nil && !u.Password.Usable:
		return nil, withHint(err, "Such a user logs in by other means, or gets a password with changepassword.")
	case err != nil:
		return nil, err
	}
	v.Token = token.Reveal()
	if link != "" {
		full := link + v.Token
		if strings.Contains(link, tokenMark) {
			full = strings.ReplaceAll(link, tokenMark, v.Token)
		}
		v.Link = &full
	}
	return v, nil
}

func (t *tree) userDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete USER",
		Short: "Delete a user and all that hangs on it",
		Long: "Delete a user with its memberships, permissions, sessions and tokens. The identifier is never given to another user.\n" +
			"To keep a user out and the records, use user deactivate.",
		Example: "  latchbolt user delete ada\n  latchbolt user delete id:42 --yes",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, _ []string) error {
			if err := t.confirm(ctx, "Delete user %s (id %d) for good", clean(u.Username), u.ID); err != nil {
				return err
			}
			if err := eng.DeleteUser(ctx, u.ID); err != nil {
				return err
			}
			return t.done(refOf(u), "User %s deleted.", clean(u.Username))
		}),
	}
}
