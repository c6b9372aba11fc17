package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/latchbolt-go/latchbolt"
)

// A userRow is what is known of a user without looking further. The keys are part of the contract.
type userRow struct {
	ID          latchbolt.UserID `json:"id"`
	Username    string           `json:"username"`
	Email       string           `json:"email"`
	FirstName   string           `json:"first_name"`
	LastName    string           `json:"last_name"`
	Active      bool             `json:"is_active"`
	Staff       bool             `json:"is_staff"`
	Superuser   bool             `json:"is_superuser"`
	DateJoined  *string          `json:"date_joined"`
	LastLogin   *string          `json:"last_login"`
	Groups      []string         `json:"groups"`
	HasPassword bool             `json:"has_usable_password"`
	Hasher      *hasherView      `json:"hasher"`
}

// A userView is all that the commands show of a user.
type userView struct {
	userRow
	UserPerms  []latchbolt.Perm `json:"user_permissions"`  // what Django's get_user_permissions answers
	GroupPerms []latchbolt.Perm `json:"group_permissions"` // get_group_permissions
	AllPerms   []latchbolt.Perm `json:"all_permissions"`   // get_all_permissions
	Grants     []grantView      `json:"grants"`            // made to the user itself, in force or not
	Sessions   []sessionView    `json:"sessions"`          // null if the store of sessions cannot list them
}

// A hasherView tells how a password is kept, without the hash.
type hasherView struct {
	Algorithm string `json:"algorithm"`
	Cost      string `json:"cost"`
}

// A grantView is one permission that was handed out.
type grantView struct {
	Permission latchbolt.Perm   `json:"permission"`
	Model      string           `json:"model"`
	Object     latchbolt.Object `json:"object"` // empty: for all objects
}

// String describes a grant on one line, for people.
func (g grantView) String() string {
	s := string(g.Permission)
	if g.Model != "" {
		s += " (" + g.Model + ")"
	}
	if g.Object != "" {
		s += " for " + string(g.Object)
	}
	return s
}

// A sessionView is a session without its token.
type sessionView struct {
	ID       string           `json:"id"`
	User     latchbolt.UserID `json:"user"`
	Username string           `json:"username"`
	Backend  string           `json:"backend"`
	Created  *string          `json:"created"`
	LastSeen *string          `json:"last_seen"`
	Expires  *string          `json:"expires"`
	Addr     string           `json:"addr"`
	Agent    string           `json:"agent"`
	Name     string           `json:"name"`
	Remember bool             `json:"remember"`
}

func hasherOf(info latchbolt.HashInfo) *hasherView {
	if info.Algorithm == "" {
		return nil
	}
	return &hasherView{info.Algorithm, info.Summary}
}

func viewSession(s *latchbolt.Session, username string) sessionView {
	v := sessionView{ID: s.ID.String(), User: s.User, Username: username, Backend: s.Backend, Created: stamp(s.Created), LastSeen: stamp(s.LastSeen),
		Expires: stamp(s.Deadline()), Agent: s.Client.Agent, Name: s.Name, Remember: s.Remember}
	if s.Client.Addr.IsValid() {
		v.Addr = s.Client.Addr.String()
	}
	return v
}

func viewGrants(gs []latchbolt.Grant) []grantView {
	out := make([]grantView, 0, len(gs))
	for _, g := range gs {
		out = append(out, grantView{g.Permission.Perm(), g.Permission.Model, g.Object})
	}
	return out
}

// A groupNames finds the names of groups and remembers them.
type groupNames struct {
	eng   *latchbolt.Engine
	known map[latchbolt.GroupID]string
}

func newGroupNames(eng *latchbolt.Engine) *groupNames {
	return &groupNames{eng, make(map[latchbolt.GroupID]string)}
}

// name returns the name of a group, or "" if it is gone.
func (n *groupNames) name(ctx context.Context, id latchbolt.GroupID) (string, error) {
	name, ok := n.known[id]
	if ok {
		return name, nil
	}
	g, err := n.eng.Group(ctx, id)
	switch {
	case errors.Is(err, latchbolt.ErrNotFound): // since it was read
	case err != nil:
		return "", err
	default:
		name = g.Name
	}
	n.known[id] = name
	return name, nil
}

// sorted returns the names of groups, sorted.
func (n *groupNames) sorted(ctx context.Context, ids []latchbolt.GroupID) ([]string, error) {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		name, err := n.name(ctx, id)
		if err != nil {
			return nil, err
		}
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// row shows a user.
func (n *groupNames) row(ctx context.Context, u *latchbolt.User) (userRow, error) {
	groups, err := n.sorted(ctx, u.Groups)
	return userRow{
		ID: u.ID, Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Active: !u.Inactive, Staff: u.Staff, Superuser: u.Superuser,
		DateJoined: stamp(u.DateJoined), LastLogin: stamp(u.LastLogin),
		Groups: groups, HasPassword: u.Password.Usable, Hasher: hasherOf(u.Password),
	}, err
}

// viewUser gathers all that is shown of a user.
func viewUser(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User) (*userView, error) {
	row, err := newGroupNames(eng).row(ctx, u)
	if err != nil {
		return nil, err
	}
	v := &userView{userRow: row}
	for _, p := range []struct {
		from latchbolt.Source
		to   *[]latchbolt.Perm
	}{{latchbolt.FromUser, &v.UserPerms}, {latchbolt.FromGroup, &v.GroupPerms}, {latchbolt.FromAll, &v.AllPerms}} {
		if *p.to, err = permsOf(ctx, eng, u.ID, p.from); err != nil {
			return nil, err
		}
	}
	grants, err := eng.Grants(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	v.Grants = viewGrants(grants)
	v.Sessions, err = viewSessions(ctx, eng, u)
	return v, err
}

// permsOf returns the permissions that a user has, sorted. An inactive user whom no backend lets in has none.
func permsOf(ctx context.Context, eng *latchbolt.Engine, user latchbolt.UserID, from latchbolt.Source) ([]latchbolt.Perm, error) {
	id, err := eng.Identity(ctx, user)
	if errors.Is(err, latchbolt.ErrCredentials) {
		return []latchbolt.Perm{}, nil
	}
	if err != nil {
		return nil, err
	}
	perms, err := eng.Perms(ctx, id, from)
	if perms == nil {
		perms = []latchbolt.Perm{}
	}
	return perms, err
}

// viewSessions shows the living sessions of a user, the last used first; nil if the store of sessions cannot list them.
func viewSessions(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User) ([]sessionView, error) {
	all := []sessionView{}
	for s, err := range eng.Sessions(ctx, u.ID) {
		if errors.Is(err, latchbolt.ErrUnsupported) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, viewSession(&s, u.Username))
	}
	return all, nil
}

// parseID reads an identifier.
func parseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("%q is not an identifier", s)
	}
	return id, nil
}
