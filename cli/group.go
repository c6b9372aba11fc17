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

// groupCommand has the verbs about groups.
func (t *tree) groupCommand() *cobra.Command {
	return group("group", "List, show and change groups",
		t.groupList(),
		t.groupShow(),
		t.groupCreate(),
		t.groupRename(),
		t.groupAdd(),
		t.groupRemove(),
		t.groupDelete(),
	)
}

// findGroup returns the group that a command names: by name or, as "id:42", by identifier.
func findGroup(ctx context.Context, eng *latchbolt.Engine, name string) (*latchbolt.Group, error) {
	if digits, ok := strings.CutPrefix(name, "id:"); ok {
		id, err := parseID(digits)
		if err != nil {
			return nil, err
		}
		return eng.Group(ctx, latchbolt.GroupID(id))
	}
	return eng.GroupByName(ctx, name)
}

// onGroup is onEngine for a verb whose first argument names a group.
func (t *tree) onGroup(run func(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group, args []string) error) func(*cobra.Command, []string) error {
	return t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		g, err := findGroup(ctx, eng, args[0])
		if err != nil {
			return err
		}
		return run(ctx, eng, g, args[1:])
	})
}

// A groupRef names a group. The keys are part of the contract.
type groupRef struct {
	ID   latchbolt.GroupID `json:"id"`
	Name string            `json:"name"`
}

// A groupRow is a group and what it gives.
type groupRow struct {
	groupRef
	Permissions []latchbolt.Perm `json:"permissions"` // for all objects, sorted
	Grants      []grantView      `json:"grants"`      // those for single objects too
}

// A groupView is all that the commands show of a group.
type groupView struct {
	groupRow
	Members []string `json:"members"` // user names, sorted
}

func viewGroup(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group) (groupRow, error) {
	grants, err := eng.Grants(ctx, g.ID)
	v := groupRow{groupRef{g.ID, g.Name}, []latchbolt.Perm{}, viewGrants(grants)}
	for _, g := range grants {
		if g.Object == "" {
			v.Permissions = append(v.Permissions, g.Permission.Perm())
		}
	}
	slices.Sort(v.Permissions)
	v.Permissions = slices.Compact(v.Permissions)
	return v, err
}

func (t *tree) groupList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Long:    "List all groups with the permissions they give. With --json every group is a document on a line of its own.",
		Example: "  latchbolt group list\n  latchbolt group list --json",
		Args:    wantArgs(cobra.NoArgs),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
			l := t.newList("ID", "NAME", "PERMISSIONS")
			for g, err := range eng.Groups(ctx) {
				if err != nil {
					return errors.Join(l.end(), err)
				}
				v, err := viewGroup(ctx, eng, g)
				if err != nil {
					return errors.Join(l.end(), err)
				}
				if err := l.add(v, fmt.Sprint(g.ID), g.Name, joinPerms(v.Permissions)); err != nil {
					return err
				}
			}
			return l.end()
		}),
	}
}

func (t *tree) groupShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show GROUP",
		Short:   "Show a group, what it gives and who is in it",
		Long:    "Show a group, the permissions it gives and all its members. Large groups are better listed with user list --group.",
		Example: "  latchbolt group show Editors\n  latchbolt group show id:3 --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onGroup(func(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group, _ []string) error {
			row, err := viewGroup(ctx, eng, g)
			if err != nil {
				return err
			}
			v := groupView{row, []string{}}
			for u, err := range eng.Users(ctx, latchbolt.UserQuery{Group: g.ID}) {
				if err != nil {
					return err
				}
				v.Members = append(v.Members, u.Username)
			}
			slices.Sort(v.Members)
			return t.print(v, func(w io.Writer) {
				rows := [][]string{{"id", fmt.Sprint(v.ID)}, {"name", v.Name}, {"members", strings.Join(v.Members, ", ")}}
				for _, g := range v.Grants {
					rows = append(rows, []string{"permission", g.String()})
				}
				table(w, nil, rows)
			})
		}),
	}
}

func (t *tree) groupCreate() *cobra.Command {
	return &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a group",
		Example: "  latchbolt group create Editors",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
			id, err := eng.CreateGroup(ctx, args[0])
			if err != nil {
				return err
			}
			return t.done(groupRef{id, args[0]}, "Group %s created with id %d.", clean(args[0]), id)
		}),
	}
}

func (t *tree) groupRename() *cobra.Command {
	return &cobra.Command{
		Use:     "rename GROUP NEW-NAME",
		Short:   "Give a group another name",
		Example: "  latchbolt group rename Editors 'Senior editors'",
		Args:    wantArgs(cobra.ExactArgs(2)),
		RunE: t.onGroup(func(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group, args []string) error {
			if err := eng.RenameGroup(ctx, g.ID, args[0]); err != nil {
				return err
			}
			return t.done(groupRef{g.ID, args[0]}, "Group %s is now %s.", clean(g.Name), clean(args[0]))
		}),
	}
}

func (t *tree) groupDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete GROUP",
		Short:   "Delete a group",
		Long:    "Delete a group with its permissions. Its members stay, and have no longer what they had through it alone.",
		Example: "  latchbolt group delete Editors\n  latchbolt group delete id:3 --yes",
		Args:    wantArgs(cobra.ExactArgs(1)),
		RunE: t.onGroup(func(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group, _ []string) error {
			if err := t.confirm(ctx, "Delete group %s (id %d) for good", clean(g.Name), g.ID); err != nil {
				return err
			}
			if err := eng.DeleteGroup(ctx, g.ID); err != nil {
				return err
			}
			return t.done(groupRef{g.ID, g.Name}, "Group %s deleted.", clean(g.Name))
		}),
	}
}

// A membershipView tells who is in or out of a group now.
type membershipView struct {
	Group groupRef  `json:"group"`
	Users []userRef `json:"users"`
}

func (t *tree) groupAdd() *cobra.Command {
	return t.membership(&cobra.Command{
		Use:     "add GROUP USER...",
		Short:   "Make users members of a group",
		Long:    "Make users members of a group, one after the other. Being one already is no error.",
		Example: "  latchbolt group add Editors ada grace",
	}, "in", (*latchbolt.Engine).AddToGroup)
}

func (t *tree) groupRemove() *cobra.Command {
	return t.membership(&cobra.Command{
		Use:     "remove GROUP USER...",
		Short:   "End the membership of users in a group",
		Long:    "End the membership of users in a group, one after the other. Not being a member is no error.",
		Example: "  latchbolt group remove Editors ada",
	}, "no longer in", (*latchbolt.Engine).RemoveFromGroup)
}

// membership completes a verb that changes who is in a group. All names are looked up before anything is changed.
func (t *tree) membership(cmd *cobra.Command, now string, change func(*latchbolt.Engine, context.Context, latchbolt.UserID, ...latchbolt.GroupID) error) *cobra.Command {
	cmd.Args = wantArgs(cobra.MinimumNArgs(2))
	cmd.RunE = t.onGroup(func(ctx context.Context, eng *latchbolt.Engine, g *latchbolt.Group, args []string) error {
		v := membershipView{Group: groupRef{g.ID, g.Name}}
		var names []string
		for _, name := range args {
			u, err := findUser(ctx, eng, name)
			if err != nil {
				return err
			}
			v.Users = append(v.Users, refOf(u))
			names = append(names, clean(u.Username))
		}
		for _, u := range v.Users {
			if err := change(eng, ctx, u.ID, g.ID); err != nil {
				return err
			}
		}
		return t.done(v, "%s: %s group %s.", strings.Join(names, ", "), now, clean(g.Name))
	})
	return cmd
}
