package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// permCommand has the verbs about permissions.
func (t *tree) permCommand() *cobra.Command {
	return group("perm", "List, define, grant and check permissions",
		t.permList(),
		t.permDefine(),
		t.permUndefine(),
		t.permGrant(),
		t.permRevoke(),
		t.permCheck(),
		t.permExplain(),
		t.permWho(),
	)
}

// A permView is a permission that can be granted. The keys are part of the contract.
type permView struct {
	ID         latchbolt.PermissionID `json:"id"`
	Permission latchbolt.Perm         `json:"permission"`
	App        string                 `json:"app"`
	Model      string                 `json:"model"`
	Codename   string                 `json:"codename"`
	Name       string                 `json:"name"`
}

func viewPerm(p *latchbolt.Permission) permView {
	return permView{p.ID, p.Perm(), p.App, p.Model, p.Codename, p.Name}
}

// defined makes sure that there is a permission of a name.
func defined(ctx context.Context, eng *latchbolt.Engine, p latchbolt.Perm) error {
	for known, err := range eng.Permissions(ctx) {
		if err != nil {
			return err
		}
		if known.Perm() == p {
			return nil
		}
	}
	return withHint(notFoundf("permission %q is not defined", p), "See perm list and perm define.")
}

func (t *tree) permList() *cobra.Command {
	var app string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the permissions that can be granted",
		Long:    "List the permissions that are defined. With --json every permission is a document on a line of its own.",
		Example: "  latchbolt perm list\n  latchbolt perm list --app blog --json",
		Args:    wantArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&app, "app", "", "only those of this `app`")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		l := t.newList("ID", "PERMISSION", "MODEL", "NAME")
		for p, err := range eng.Permissions(ctx) {
			if err != nil {
				return errors.Join(l.end(), err)
			}
			if app != "" && p.App != app {
				continue
			}
			if err := l.add(viewPerm(p), fmt.Sprint(p.ID), string(p.Perm()), p.Model, p.Name); err != nil {
				return err
			}
		}
		return l.end()
	})
	return cmd
}

// A definedView lists permissions that were made sure of.
type definedView struct {
	Permissions []permView `json:"permissions"`
}

func (t *tree) permDefine() *cobra.Command {
	var model, name string
	var forModel bool
	cmd := &cobra.Command{
		Use:   "define PERM",
		Short: "Make sure that a permission exists",
		Long: "Make sure that a permission exists. PERM is APP.CODENAME. One that is there already stays as it is.\n\n" +
			"With --for-model the argument is APP.MODEL, and the four permissions that Django gives every model are defined:\n" +
			"APP.add_MODEL, APP.change_MODEL, APP.delete_MODEL and APP.view_MODEL.",
		Example: "  latchbolt perm define blog.publish --name 'Can publish'\n  latchbolt perm define blog.post --for-model --name 'blog post'",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&model, "model", "", "the `model` that it belongs to")
	cmd.Flags().StringVar(&name, "name", "", "`name` for people, of the permission or of the model")
	cmd.Flags().BoolVar(&forModel, "for-model", false, "define the four permissions of a model")
	exclusive(cmd, "model", "for-model")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		app, rest, ok := strings.Cut(args[0], ".")
		if !ok || app == "" || rest == "" {
			return invalidf("%q is not of the form APP.CODENAME", args[0])
		}
		var err error
		switch {
		case !forModel:
			err = eng.Define(ctx, latchbolt.Permission{App: app, Model: model, Codename: rest, Name: name})
		case name != "":
			err = eng.DefineModel(ctx, app, rest, name)
		default:
			err = eng.DefineModel(ctx, app, rest)
		}
		if err != nil {
			return err
		}
		return t.showDefined(ctx, eng, func(p *latchbolt.Permission) bool {
			if forModel {
				return p.App == app && p.Model == rest
			}
			return p.App == app && p.Model == model && p.Codename == rest
		})
	})
	return cmd
}

// showDefined prints the permissions that are meant.
func (t *tree) showDefined(ctx context.Context, eng *latchbolt.Engine, meant func(*latchbolt.Permission) bool) error {
	v := definedView{[]permView{}}
	var names []string
	for p, err := range eng.Permissions(ctx) {
		if err != nil {
			return err
		}
		if meant(p) {
			v.Permissions = append(v.Permissions, viewPerm(p))
			names = append(names, clean(string(p.Perm())))
		}
	}
	return t.done(v, "Defined: %s.", strings.Join(names, ", "))
}

func (t *tree) permUndefine() *cobra.Command {
	return &cobra.Command{
		Use:     "undefine PERM",
		Short:   "Remove a permission with all its grants",
		Example: "  latchbolt perm undefine blog.publish --yes",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
			p := latchbolt.Perm(args[0])
			holders, err := eng.Holders(ctx, p)
			if err != nil {
				return err
			}
			if err := defined(ctx, eng, p); err != nil {
				return err
			}
			if err := t.confirm(ctx, "Remove permission %s and %d grants of it", clean(args[0]), len(holders)); err != nil {
				return err
			}
			if err := eng.Undefine(ctx, p); err != nil {
				return err
			}
			return t.done(map[string]any{"permission": p, "grants": len(holders)}, "Permission %s removed.", clean(args[0]))
		}),
	}
}

// A subjectFlag is whom a verb gives or takes a permission: an argument like user:ada or group:Editors, or one of two flags.
type subjectFlag struct{ user, group string }

func (s *subjectFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.user, "user", "", "the `user`, in place of SUBJECT")
	cmd.Flags().StringVar(&s.group, "group", "", "the `group`, in place of SUBJECT")
	exclusive(cmd, "user", "group")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		n := 2
		if s.given() {
			n = 1
		}
		if err := wantArgs(cobra.MinimumNArgs(n))(cmd, args); err != nil {
			return err
		}
		if !s.given() && !strings.HasPrefix(args[0], "user:") && !strings.HasPrefix(args[0], "group:") {
			return withHint(usagef("%q is neither a user nor a group", args[0]), "Write user:NAME or group:NAME.")
		}
		return nil
	}
}

func (s *subjectFlag) given() bool { return s.user != "" || s.group != "" }

// find returns the subject and what the results call it, and the arguments that are left.
func (s *subjectFlag) find(ctx context.Context, eng *latchbolt.Engine, args []string) (latchbolt.Subject, string, []string, error) {
	user, group := s.user, s.group
	if !s.given() {
		user, _ = strings.CutPrefix(args[0], "user:")
		if user == args[0] {
			user, group = "", strings.TrimPrefix(args[0], "group:")
		}
		args = args[1:]
	}
	if group != "" {
		g, err := findGroup(ctx, eng, group)
		if err != nil {
			return nil, "", nil, err
		}
		return g.ID, "group:" + g.Name, args, nil
	}
	u, err := findUser(ctx, eng, user)
	if err != nil {
		return nil, "", nil, err
	}
	return u.ID, "user:" + u.Username, args, nil
}

// A grantedView tells what was given or taken.
type grantedView struct {
	Subject    string             `json:"subject"`
	Permission latchbolt.Perm     `json:"permission"`
	Objects    []latchbolt.Object `json:"objects"` // empty: for all objects
}

const subjectHelp = "SUBJECT is user:NAME or group:NAME; a name can be id:NUMBER. --user and --group say the same.\n" +
	"With objects, such as post:42, it is for these alone; without, for all objects."

func (t *tree) permGrant() *cobra.Command {
	return t.granting(&cobra.Command{
		Use:   "grant SUBJECT PERM [OBJECT...]",
		Short: "Give a permission to a user or group",
		Long:  "Give a permission to a user or group, for all objects or for some. Having it already is no error.\n\n" + subjectHelp,
		Example: "  latchbolt perm grant user:ada blog.add_post\n  latchbolt perm grant group:Editors blog.change_post post:42 post:43\n" +
			"  latchbolt perm grant --user ada blog.add_post",
	}, "Given to %s: %s.", (*latchbolt.Engine).Grant)
}

func (t *tree) permRevoke() *cobra.Command {
	return t.granting(&cobra.Command{
		Use:   "revoke SUBJECT PERM [OBJECT...]",
		Short: "Take a permission back from a user or group",
		Long: "Take back what perm grant gave: the grant for all objects or those for the objects named. Not having it is no error.\n" +
			"A user may have it still, through a group or for single objects: see perm explain.\n\n" + subjectHelp,
		Example: "  latchbolt perm revoke user:ada blog.add_post\n  latchbolt perm revoke group:Editors blog.change_post post:42",
	}, "Taken from %s: %s.", (*latchbolt.Engine).Revoke)
}

// granting completes a verb that gives or takes a permission.
func (t *tree) granting(cmd *cobra.Command, said string, change func(*latchbolt.Engine, context.Context, latchbolt.Subject, latchbolt.Perm, ...latchbolt.Object) error) *cobra.Command {
	var to subjectFlag
	to.add(cmd)
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		s, name, args, err := to.find(ctx, eng, args)
		if err != nil {
			return err
		}
		v := grantedView{Subject: name, Permission: latchbolt.Perm(args[0]), Objects: []latchbolt.Object{}}
		what := clean(args[0])
		for i, o := range args[1:] {
			if o == "" {
				return invalidf("an object has a name; leave it out to mean all objects")
			}
			v.Objects = append(v.Objects, latchbolt.Object(o))
			what += []string{" for ", ", "}[min(i, 1)] + clean(o)
		}
		if err := defined(ctx, eng, v.Permission); err != nil {
			return err
		}
		if err := change(eng, ctx, s, v.Permission, v.Objects...); err != nil {
			return err
		}
		return t.done(v, said, clean(name), what)
	})
	return cmd
}
