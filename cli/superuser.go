package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/unicode/norm"

	"github.com/latchbolt-go/latchbolt"
)

// What createsuperuser reads from the environment with --no-input, as Django reads DJANGO_SUPERUSER_*.
const (
	envSuperUsername = envPrefix + "SUPERUSER_USERNAME"
	envSuperEmail    = envPrefix + "SUPERUSER_EMAIL"
	envSuperPassword = envPrefix + "SUPERUSER_PASSWORD"
)

// A superuserFlags is what createsuperuser was given on the command line.
type superuserFlags struct {
	username, email  string
	hasName, hasAddr bool
	password         passwordFlag
}

// A superuserView tells whether a superuser was created. The keys are part of the contract.
type superuserView struct {
	Created bool      `json:"created"`
	User    *userView `json:"user"`
}

func (t *tree) createSuperuser() *cobra.Command {
	var o superuserFlags
	cmd := &cobra.Command{
		Use:   "createsuperuser",
		Short: "Create a user with every permission",
		Long: "Create a superuser, who has every permission, as Django's createsuperuser does. At a terminal it asks for what flags do\n" +
			"not say; a password that the validators refuse can be taken all the same. Without a terminal it says so and succeeds.\n\n" +
			"With --no-input the user name, the e-mail address and the password come from " + envSuperUsername + ",\n" +
			envSuperEmail + " and " + envSuperPassword + " if no flags say them; a password from there is not\n" +
			"looked at by the validators, and without one the user has none. With --password-stdin nothing is asked for either, and the\n" +
			"validators decide.\n\n" +
			`With --json the result is {"created":true,"user":{…}}, with the keys of user show, or {"created":false,"user":null}.`,
		Example: "  latchbolt createsuperuser\n  latchbolt createsuperuser --username ada --email ada@example.org --no-input\n" +
			"  printf %s \"$PASSWORD\" | latchbolt createsuperuser --username ada --password-stdin",
		Args: wantArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&o.username, "username", "", "user `name`")
	cmd.Flags().StringVar(&o.email, "email", "", "e-mail `address`")
	o.password.add(cmd.Flags())
	cmd.PreRun = func(cmd *cobra.Command, _ []string) {
		o.hasName, o.hasAddr = cmd.Flags().Changed("username"), cmd.Flags().Changed("email")
	}
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		u := &latchbolt.User{Staff: true, Superuser: true}
		var err error
		switch {
		case t.noInput || o.password.stdin:
			err = t.superuserGiven(ctx, eng, &o, u)
		case !t.front.Place().In:
			t.note("Superuser creation skipped: standard input is not a terminal. Run %s createsuperuser at one, or see its --help for --no-input.",
				clean(t.front.Place().Prefix))
			return t.print(superuserView{}, func(io.Writer) {})
		default:
			err = t.superuserAsked(ctx, eng, &o, u)
		}
		if err != nil {
			return err
		}
		v, err := viewUser(ctx, eng, u)
		if err != nil {
			return err
		}
		return t.done(superuserView{true, v}, "Superuser %s created with id %d.", clean(u.Username), u.ID)
	})
	return cmd
}

// superuserGiven creates the user from flags, the environment and standard input.
func (t *tree) superuserGiven(ctx context.Context, eng *latchbolt.Engine, o *superuserFlags, u *latchbolt.User) error {
	env := t.front.Place().Env
	name, ok := env[envSuperUsername]
	if o.hasName {
		name, ok = o.username, true
	}
	if !ok {
		return withHint(usagef("which user name?"), "Give --username or set %s.", envSuperUsername)
	}
	if err := checkNewName(ctx, eng, name); err != nil {
		return err
	}
	u.Username = name
	u.Email, ok = env[envSuperEmail]
	if o.hasAddr {
		u.Email, ok = o.email, true
	}
	if !ok && !o.password.stdin {
		return withHint(usagef("which e-mail address?"), "Give --email or set %s; it may be empty.", envSuperEmail)
	}
	if o.password.stdin {
		secret, err := t.readSecret()
		if err != nil {
			return err
		}
		return eng.CreateUser(ctx, u, secret)
	}
	secret, ok := env[envSuperPassword]
	switch {
	case !ok:
		t.note("The user has no password to log in with: %s is not set.", envSuperPassword)
		return eng.InsertUser(ctx, u, latchbolt.PasswordHash{})
	case secret == "":
		return invalidf("%s is empty", envSuperPassword)
	}
	return insertWith(ctx, eng, u, secret)
}

// insertWith creates a user with a password that the validators do not see.
func insertWith(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, secret string) error {
	hash, err := eng.HashPassword(ctx, secret)
	if err != nil {
		return err
	}
	return eng.InsertUser(ctx, u, hash)
}

// superuserAsked creates the user with what somebody at a terminal says, and asks again for what is refused.
func (t *tree) superuserAsked(ctx context.Context, eng *latchbolt.Engine, o *superuserFlags, u *latchbolt.User) error {
	if o.hasName && o.username == "" {
		return invalidf("the user name cannot be blank")
	}
	fallback, err := t.defaultName(ctx, eng)
	if err != nil {
		return err
	}
	prompt := "Username: "
	if fallback != "" {
		prompt = fmt.Sprintf("Username (leave blank to use '%s'): ", fallback)
	}
	u.Username, err = t.askField(ctx, prompt, o.username, o.hasName, func(s string) (string, error) {
		if s == "" {
			s = fallback
		}
		return s, checkNewName(ctx, eng, s)
	})
	if err != nil {
		return err
	}
	u.Email, err = t.askField(ctx, "Email address: ", o.email, o.hasAddr, func(s string) (string, error) {
		s = latchbolt.NormalizeEmail(s)
		return s, latchbolt.ValidateEmail(s)
	})
	if err != nil {
		return err
	}
	secret, err := t.superuserPassword(ctx, eng, u)
	if err != nil {
		return err
	}
	return insertWith(ctx, eng, u, secret)
}

// askField asks for a value until it is accepted. One that was given is tried first.
func (t *tree) askField(ctx context.Context, prompt, given string, has bool, accept func(string) (string, error)) (string, error) {
	for {
		s := given
		if !has {
			line, err := t.front.ReadLine(ctx, prompt)
			if err != nil {
				return "", leftOff(err)
			}
			s = line
		}
		has = false
		s, err := accept(s)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, latchbolt.ErrInvalid) {
			return "", err
		}
		t.complain(err)
	}
}

// superuserPassword asks for a password twice, until both are the same and the validators or the person accept it.
func (t *tree) superuserPassword(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User) (string, error) {
	for {
		first, err := t.askPassword(ctx, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := t.askPassword(ctx, "Password (again): ")
		if err != nil {
			return "", err
		}
		if first != second {
			t.note("The passwords are not the same.")
			continue
		}
		if strings.TrimSpace(first) == "" {
			t.note("A password cannot be blank.")
			continue
		}
		err = eng.ValidatePassword(first, u)
		if err == nil {
			return first, nil
		}
		t.complain(err)
		if len(first) > latchbolt.MaxPassword || !errors.Is(err, latchbolt.ErrInvalid) {
			continue
		}
		anyway, err := t.agrees(ctx, "Bypass password validation and create user anyway? [y/N]: ")
		if err != nil || anyway {
			return first, err
		}
	}
}

// checkNewName says whether a new user may have a name.
func checkNewName(ctx context.Context, eng *latchbolt.Engine, name string) error {
	name, err := latchbolt.NormalizeUsername(name)
	if err != nil {
		return err
	}
	if err := latchbolt.ValidateUsername(name); err != nil {
		return err
	}
	_, err = eng.UserByName(ctx, name)
	if errors.Is(err, latchbolt.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = &latchbolt.FieldError{Field: "username", Code: "unique", Msg: "A user with that username already exists."}
	}
	return err
}

// defaultName makes a user name of the one that the system knows the person by, or returns "" if that gives none or one that is
// taken. It is Django's get_default_username.
func (t *tree) defaultName(ctx context.Context, eng *latchbolt.Engine) (string, error) {
	name := systemName(t.front.Place().User)
	if latchbolt.ValidateUsername(name) != nil {
		return "", nil
	}
	_, err := eng.UserByName(ctx, name)
	if errors.Is(err, latchbolt.ErrNotFound) {
		return name, nil
	}
	return "", err
}

// systemName brings the name of a system's user into the form of a user name: without domain (Windows), in ASCII after
// decomposition, without spaces, in lower case.
func systemName(s string) string {
	s = s[strings.LastIndexByte(s, '\\')+1:]
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r > 127 || r == ' ' {
			return -1
		}
		return r
	}, norm.NFKD.String(s)))
}
