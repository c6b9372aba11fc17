package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latchbolt-go/latchbolt"
)

// A filterFlag is a flag that picks by a yes-or-no property: --active, --active=no, or not given.
type filterFlag struct{ to *latchbolt.Filter }

func addFilter(flags *pflag.FlagSet, to *latchbolt.Filter, name, usage string) {
	flags.Var(filterFlag{to}, name, usage)
	flags.Lookup(name).NoOptDefVal = "yes"
}

// String implements pflag.Value.
func (f filterFlag) String() string {
	if f.to == nil {
		return ""
	}
	switch *f.to {
	case latchbolt.Only:
		return "yes"
	case latchbolt.Except:
		return "no"
	}
	return ""
}

// Set implements pflag.Value.
func (f filterFlag) Set(s string) error {
	switch strings.ToLower(s) {
	case "yes", "true", "1":
		*f.to = latchbolt.Only
	case "no", "false", "0":
		*f.to = latchbolt.Except
	default:
		return errors.New("want yes or no")
	}
	return nil
}

// Type implements pflag.Value.
func (filterFlag) Type() string { return "yes|no" }

// A userFilter is what the flags of user list say.
type userFilter struct {
	q            latchbolt.UserQuery
	group        string
	perm, object string
	order, after string
}

func (t *tree) userList() *cobra.Command {
	var f userFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List users",
		Long: "List the users that all conditions hold for, all users without conditions.\n\n" +
			"With --json every user is a document on a line of its own, with the keys of user show that need no further look:\n" +
			"id, username, email, first_name, last_name, is_active, is_staff, is_superuser, date_joined, last_login, groups,\n" +
			"has_usable_password and hasher. To go on behind the last user of a page, name it with --after.",
		Example: "  latchbolt user list\n  latchbolt user list --staff --active=no --json\n" +
			"  latchbolt user list --perm blog.add_post --object post:42\n  latchbolt user list --order name --limit 100 --after ada",
		Args: wantArgs(cobra.NoArgs),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.q.Text, "text", "", "`text` that occurs in the user name, address, first or last name")
	flags.StringVar(&f.q.Prefix, "prefix", "", "`text` that the user name starts with")
	addFilter(flags, &f.q.Active, "active", "may log in, or not")
	addFilter(flags, &f.q.Staff, "staff", "may enter the console, or not")
	addFilter(flags, &f.q.Superuser, "superuser", "is a superuser, or not")
	flags.StringVar(&f.group, "group", "", "is in this `group`")
	flags.StringVar(&f.perm, "perm", "", "was granted this `permission`, directly or through a group, or is an active superuser")
	flags.StringVar(&f.object, "object", "", "with --perm: for this `object` or for all")
	flags.BoolVar(&f.q.NoSuperusers, "no-superusers", false, "with --perm: superusers only if it was granted to them")
	flags.StringVar(&f.order, "order", "id", "`order` of the list: id or name")
	flags.StringVar(&f.after, "after", "", "begin behind this `user`")
	flags.IntVar(&f.q.Limit, "limit", 0, "list at most this `number` of users; 0 is all")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return f.check(cmd.Flags()) }
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		q, err := f.query(ctx, eng)
		if err != nil {
			return err
		}
		names := newGroupNames(eng)
		l := t.newList("ID", "USERNAME", "EMAIL", "NAME", "ACTIVE", "STAFF", "SUPERUSER", "LAST LOGIN")
		for u, err := range eng.Users(ctx, q) {
			if err != nil {
				return errors.Join(l.end(), err)
			}
			row, err := names.row(ctx, u)
			if err != nil {
				return errors.Join(l.end(), err)
			}
			if err := l.add(row, fmt.Sprint(u.ID), u.Username, u.Email, u.FullName(), yesNo(!u.Inactive), yesNo(u.Staff),
				yesNo(u.Superuser), when(u.LastLogin)); err != nil {
				return err
			}
		}
		return l.end()
	})
	return cmd
}

// check looks at the flags alone.
func (f *userFilter) check(flags *pflag.FlagSet) error {
	switch f.order {
	case "id":
		f.q.Order = latchbolt.OrderByID
	case "name":
		f.q.Order = latchbolt.OrderByName
	default:
		return usagef("--order is id or name, not %q", f.order)
	}
	if f.q.Limit < 0 {
		return usagef("--limit is a number from 0")
	}
	if f.perm == "" && (flags.Changed("object") || flags.Changed("no-superusers")) {
		return usagef("--object and --no-superusers go with --perm")
	}
	return nil
}

// query looks up what the flags name.
func (f *userFilter) query(ctx context.Context, eng *latchbolt.Engine) (latchbolt.UserQuery, error) {
	q := f.q
	q.Perm, q.Object = latchbolt.Perm(f.perm), latchbolt.Object(f.object)
	if f.group != "" {
		g, err := findGroup(ctx, eng, f.group)
		if err != nil {
			return q, err
		}
		q.Group = g.ID
	}
	if f.perm != "" {
		if err := defined(ctx, eng, q.Perm); err != nil {
			return q, err
		}
	}
	var err error
	if f.after != "" {
		q.After, err = f.afterUser(ctx, eng)
	}
	return q, err
}

// afterUser returns where a page begins. The user may be gone since the page before, if it was named by what the order goes by.
func (f *userFilter) afterUser(ctx context.Context, eng *latchbolt.Engine) (*latchbolt.User, error) {
	u, err := findUser(ctx, eng, f.after)
	if !errors.Is(err, latchbolt.ErrNotFound) {
		return u, err
	}
	digits, byID := strings.CutPrefix(f.after, "id:")
	switch {
	case byID && f.q.Order == latchbolt.OrderByID:
		id, err := parseID(digits)
		return &latchbolt.User{ID: latchbolt.UserID(id)}, err
	case !byID && f.q.Order == latchbolt.OrderByName:
		return &latchbolt.User{Username: f.after}, nil
	}
	return nil, err
}
