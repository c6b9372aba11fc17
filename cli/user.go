package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// userCommand has the verbs about users.
func (t *tree) userCommand() *cobra.Command {
	return group("user", "List, show and change users",
		t.userList(),
		t.userShow(),
		t.userCreate(),
		t.userUpdate(),
		t.userRename(),
		t.userActivate(),
		t.userDeactivate(),
		t.userUnlock(),
		t.userResetLink(),
		t.userDelete(),
	)
}

// findUser returns the user that a command names: by user name or, as "id:42", by identifier, which finds users whose
// names cannot be typed.
func findUser(ctx context.Context, eng *latchbolt.Engine, name string) (*latchbolt.User, error) {
	if digits, ok := strings.CutPrefix(name, "id:"); ok {
		id, err := parseID(digits)
		if err != nil {
			return nil, err
		}
		return eng.User(ctx, latchbolt.UserID(id))
	}
	return eng.UserByName(ctx, name)
}

func (t *tree) userShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show all that is known of a user",
		Long: "Show all that is known of a user, but never the password hash.\n\nuser_permissions, group_permissions and all_permissions are " +
			"those in force, as Django's methods of these names answer:\nnone for an inactive user, all for a superuser. grants are those made to the user itself.",
		Example: "  latchbolt user show ada\n  latchbolt user show ada --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
			u, err := findUser(ctx, eng, args[0])
			if err != nil {
				return err
			}
			v, err := viewUser(ctx, eng, u)
			if err != nil {
				return err
			}
			return t.print(v, func(w io.Writer) { v.text(w, u) })
		}),
	}
}

// text writes a user for people.
func (v *userView) text(w io.Writer, u *latchbolt.User) {
	password := "none"
	if v.HasPassword {
		password = "of an unknown form"
		if v.Hasher != nil {
			password = v.Hasher.Cost
		}
	}
	sessions := "cannot be listed"
	if v.Sessions != nil {
		sessions = fmt.Sprint(len(v.Sessions))
	}
	table(w, nil, [][]string{
		{"id", fmt.Sprint(v.ID)},
		{"username", v.Username},
		{"email", v.Email},
		{"name", u.FullName()},
		{"active", yesNo(v.Active)},
		{"staff", yesNo(v.Staff)},
		{"superuser", yesNo(v.Superuser)},
		{"joined", when(u.DateJoined)},
		{"last login", when(u.LastLogin)},
		{"password", password},
		{"groups", strings.Join(v.Groups, ", ")},
		{"permissions", joinPerms(v.AllPerms)},
		{"sessions", sessions},
	})
}

func joinPerms(perms []latchbolt.Perm) string {
	names := make([]string, len(perms))
	for i, p := range perms {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

func (t *tree) userCreate() *cobra.Command {
	var u latchbolt.User
	var password passwordFlag
	var unusable bool
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "Create a user",
		Example: "  latchbolt user create ada --email ada@example.org\n" +
			"  printf %s \"$PASSWORD\" | latchbolt user create ada --password-stdin\n  latchbolt user create robot --no-password",
		Args: wantArgs(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	f.StringVar(&u.Email, "email", "", "e-mail `address`")
	f.StringVar(&u.FirstName, "first-name", "", "first `name`")
	f.StringVar(&u.LastName, "last-name", "", "last `name`")
	f.BoolVar(&u.Staff, "staff", false, "may enter the console")
	f.BoolVar(&u.Superuser, "superuser", false, "has every permission")
	f.BoolVar(&u.Inactive, "inactive", false, "cannot log in for now")
	f.BoolVar(&unusable, "no-password", false, "has no password to log in with")
	password.add(f)
	exclusive(cmd, "no-password", "password-stdin")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		u := u
		u.Username = args[0]
		if unusable {
			return t.created(ctx, eng, &u, eng.InsertUser(ctx, &u, latchbolt.PasswordHash{}))
		}
		if !password.stdin { // before anybody is asked
			if err := errors.Join(t.canPrompt(), checkNewName(ctx, eng, u.Username)); err != nil {
				return err
			}
		}
		secret, err := password.readNew(ctx, t, func(s string) error { return eng.ValidatePassword(s, &u) })
		if err != nil {
			return err
		}
		return t.created(ctx, eng, &u, eng.CreateUser(ctx, &u, secret))
	})
	return cmd
}

// created prints a user that was stored, unless err says that it was not.
func (t *tree) created(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, err error) error {
	if err != nil {
		return err
	}
	v, err := viewUser(ctx, eng, u)
	if err != nil {
		return err
	}
	return t.done(v, "User %s created with id %d.", clean(u.Username), u.ID)
}

// changed prints a user that was changed, as it is now, unless err says that it was not.
func (t *tree) changed(ctx context.Context, eng *latchbolt.Engine, id latchbolt.UserID, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	u, err := eng.User(ctx, id)
	if err != nil {
		return err
	}
	v, err := viewUser(ctx, eng, u)
	if err != nil {
		return err
	}
	return t.done(v, format, args...)
}

// A userRef names a user in a result that is about something else.
type userRef struct {
	ID       latchbolt.UserID `json:"id"`
	Username string           `json:"username"`
}

func refOf(u *latchbolt.User) userRef { return userRef{u.ID, u.Username} }
