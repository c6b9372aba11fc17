package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// A question is whether a user has a permission, for an object or for all.
type question struct {
	User       string           `json:"user"`
	Permission latchbolt.Perm   `json:"permission"`
	Object     latchbolt.Object `json:"object"` // empty: for all objects
}

// String is the question as part of a sentence.
func (q *question) String() string {
	s := clean(q.User) + ", " + clean(string(q.Permission))
	if q.Object != "" {
		s += ", " + clean(string(q.Object))
	}
	return s
}

func (q *question) objects() []latchbolt.Object {
	if q.Object == "" {
		return nil
	}
	return []latchbolt.Object{q.Object}
}

// ask returns the question of a verb with the arguments USER PERM [OBJECT].
func ask(u *latchbolt.User, args []string) *question {
	q := &question{User: u.Username, Permission: latchbolt.Perm(args[0])}
	if len(args) > 1 {
		q.Object = latchbolt.Object(args[1])
	}
	return q
}

// A checkView answers a question.
type checkView struct {
	Allowed bool `json:"allowed"`
	question
}

func (t *tree) permCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check USER PERM [OBJECT]",
		Short: "Say whether a user has a permission",
		Long: "Say whether a user has a permission now, for one object or for all: yes with exit code 0, no with exit code 1.\n" +
			"An inactive user has none, an active superuser has every permission, defined or not.",
		Example: "  latchbolt perm check ada blog.add_post\n  if latchbolt perm check ada blog.change_post post:42 >/dev/null; then echo may; fi",
		Args:    wantArgs(cobra.RangeArgs(2, 3)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, args []string) error {
			q := ask(u, args)
			id, err := eng.Identity(ctx, u.ID)
			ok := false
			switch {
			case errors.Is(err, latchbolt.ErrCredentials): // inactive, and no backend lets the user in
			case err != nil:
				return err
			default:
				if ok, err = eng.HasPerm(ctx, id, q.Permission, q.objects()...); err != nil {
					return err
				}
			}
			if err := t.done(checkView{ok, *q}, "%s", yesNo(ok)); err != nil || ok {
				return err
			}
			if defined(ctx, eng, q.Permission) != nil {
				t.note("There is no permission %s.", clean(string(q.Permission)))
			}
			return errNo
		}),
	}
}

// An explainView answers a question and says why.
type explainView struct {
	checkView
	Reason  latchbolt.Reason `json:"reason"`
	Backend string           `json:"backend"` // which granted or denied it, for these reasons
	Via     []viaView        `json:"via"`     // what gives it, if that are grants
}

// A viaView is one thing that gives somebody a permission.
type viaView struct {
	Subject string           `json:"subject"` // user:NAME, group:NAME or superuser
	Model   string           `json:"model"`
	Object  latchbolt.Object `json:"object"`
}

// String describes it for people.
func (v viaView) String() string {
	s := v.Subject
	if v.Object != "" {
		s += " for " + string(v.Object)
	}
	return s
}

// via shows a grant; ok is false if its group is gone since.
func (n *groupNames) via(ctx context.Context, g *latchbolt.Grant, username string) (v viaView, ok bool, err error) {
	v = viaView{Subject: "user:" + username, Model: g.Permission.Model, Object: g.Object}
	if id, isGroup := g.Subject.(latchbolt.GroupID); isGroup {
		name, err := n.name(ctx, id)
		if err != nil || name == "" {
			return v, false, err
		}
		v.Subject = "group:" + name
	}
	return v, true, nil
}

func (t *tree) permExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain USER PERM [OBJECT]",
		Short: "Say why a user has a permission or not",
		Long: "Say whether a user has a permission, as perm check does, and why. The exit code is 0 whatever the answer is.\n\n" +
			"The reason is one of: superuser, granted (via tells by what), backend, denied (by a backend), inactive,\n" +
			"undefined (there is no such permission), not granted.",
		Example: "  latchbolt perm explain ada blog.add_post\n  latchbolt perm explain ada blog.change_post post:42 --json",
		Args:    wantArgs(cobra.RangeArgs(2, 3)),
		RunE: t.onUser(func(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, args []string) error {
			v, err := explain(ctx, eng, u, ask(u, args))
			if err != nil {
				return err
			}
			return t.print(v, v.text)
		}),
	}
}

func explain(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, q *question) (*explainView, error) {
	v := &explainView{checkView: checkView{question: *q}, Via: []viaView{}}
	id, err := eng.Identity(ctx, u.ID)
	if errors.Is(err, latchbolt.ErrCredentials) {
		v.Reason = latchbolt.ReasonInactive
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := eng.Explain(ctx, id, q.Permission, q.objects()...)
	if err != nil {
		return nil, err
	}
	v.Allowed, v.Reason, v.Backend = d.Allowed, d.Reason, d.Backend
	names := newGroupNames(eng)
	for _, g := range d.Via {
		via, ok, err := names.via(ctx, &g, u.Username)
		if err != nil {
			return nil, err
		}
		if ok {
			v.Via = append(v.Via, via)
		}
	}
	return v, nil
}

// text writes the answer for people.
func (v *explainView) text(w io.Writer) {
	rows := [][]string{{"allowed", yesNo(v.Allowed)}, {"reason", string(v.Reason)}}
	if v.Backend != "" {
		rows = append(rows, []string{"backend", v.Backend})
	}
	for _, via := range v.Via {
		rows = append(rows, []string{"via", via.String()})
	}
	table(w, nil, rows)
}

// A whoView is a user who has a permission, and why.
type whoView struct {
	userRef
	Via []viaView `json:"via"`
}

func (t *tree) permWho() *cobra.Command {
	return &cobra.Command{
		Use:   "who PERM [OBJECT]",
		Short: "List who has a permission, and why",
		Long: "List the active users who have a permission, for one object or for all, and everything that gives it to them: being a\n" +
			"superuser, grants of their own and grants of their groups. With --json every user is a document on a line of its own.\n" +
			"What further backends of the program grant or deny is not looked at; perm explain does.",
		Example: "  latchbolt perm who blog.publish\n  latchbolt perm who blog.change_post post:42 --json",
		Args:    wantArgs(cobra.RangeArgs(1, 2)),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
			q := latchbolt.UserQuery{Perm: latchbolt.Perm(args[0]), Active: latchbolt.Only}
			if len(args) > 1 {
				q.Object = latchbolt.Object(args[1])
			}
			if err := defined(ctx, eng, q.Perm); err != nil {
				return err
			}
			return t.listHolders(ctx, eng, &q)
		}),
	}
}

// listHolders lists whom a query picks, and why.
func (t *tree) listHolders(ctx context.Context, eng *latchbolt.Engine, q *latchbolt.UserQuery) error {
	holders, err := eng.Holders(ctx, q.Perm)
	if err != nil {
		return err
	}
	byHolder := make(map[latchbolt.Subject][]latchbolt.Grant)
	for _, g := range holders {
		if g.Object == "" || g.Object == q.Object {
			byHolder[g.Subject] = append(byHolder[g.Subject], g)
		}
	}
	names := newGroupNames(eng)
	l := t.newList("ID", "USERNAME", "VIA")
	for u, err := range eng.Users(ctx, *q) {
		if err != nil {
			return errors.Join(l.end(), err)
		}
		v, err := whyHas(ctx, names, u, byHolder)
		if err != nil {
			return errors.Join(l.end(), err)
		}
		if len(v.Via) == 0 {
			continue // got it after the holders were read
		}
		var why []string
		for _, via := range v.Via {
			why = append(why, via.String())
		}
		if err := l.add(v, fmt.Sprint(u.ID), u.Username, strings.Join(why, ", ")); err != nil {
			return err
		}
	}
	return l.end()
}

// whyHas gathers what gives a user a permission.
func whyHas(ctx context.Context, names *groupNames, u *latchbolt.User, byHolder map[latchbolt.Subject][]latchbolt.Grant) (*whoView, error) {
	v := &whoView{refOf(u), []viaView{}}
	if u.Superuser {
		v.Via = append(v.Via, viaView{Subject: "superuser"})
	}
	grants := slices.Clone(byHolder[u.ID])
	for _, g := range u.Groups {
		grants = append(grants, byHolder[g]...)
	}
	for _, g := range grants {
		via, ok, err := names.via(ctx, &g, u.Username)
		if err != nil {
			return nil, err
		}
		if ok {
			v.Via = append(v.Via, via)
		}
	}
	return v, nil
}
