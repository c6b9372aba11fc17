package cli

import (
	"context"
	"slices"
	"strconv"

	"github.com/latchbolt-go/latchbolt"
)

// A userView is a user as the commands show it. The keys are part of the contract.
type userView struct {
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
	UserPerms   []latchbolt.Perm `json:"user_permissions"`  // what Django's get_user_permissions answers
	GroupPerms  []latchbolt.Perm `json:"group_permissions"` // get_group_permissions
	AllPerms    []latchbolt.Perm `json:"all_permissions"`   // get_all_permissions
	Grants      []grantView      `json:"grants"`            // made to the user itself, in force or not
	HasPassword bool             `json:"has_usable_password"`
	Hasher      *hasherView      `json:"hasher"`
	Sessions    []sessionView    `json:"sessions"`
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
	Object     latchbolt.Object `json:"object,omitempty"`
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

// viewUser gathers all that is shown of a user.
func viewUser(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User) (*userView, error) {
	v := &userView{
		ID: u.ID, Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Active: !u.Inactive, Staff: u.Staff, Superuser: u.Superuser,
		DateJoined: stamp(u.DateJoined), LastLogin: stamp(u.LastLogin),
		HasPassword: u.Password.Usable, Hasher: hasherOf(u.Password),
		Sessions: []sessionView{},
	}
	id, err := eng.Identity(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range []struct {
		from latchbolt.Source
		to   *[]latchbolt.Perm
	}{{latchbolt.FromUser, &v.UserPerms}, {latchbolt.FromGroup, &v.GroupPerms}, {latchbolt.FromAll, &v.AllPerms}} {
		perms, err := eng.Perms(ctx, id, p.from)
		if err != nil {
			return nil, err
		}
		slices.Sort(perms)
		*p.to = append([]latchbolt.Perm{}, slices.Compact(perms)...)
	}
	grants, err := eng.Grants(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	v.Grants = viewGrants(grants)
	if v.Groups, err = groupNames(ctx, eng, u.Groups); err != nil {
		return nil, err
	}
	for s, err := range eng.Sessions(ctx, u.ID) {
		if err != nil {
			return nil, err
		}
		v.Sessions = append(v.Sessions, viewSession(&s, u.Username))
	}
	return v, nil
}

// groupNames returns the names of groups, sorted.
func groupNames(ctx context.Context, eng *latchbolt.Engine, ids []latchbolt.GroupID) ([]string, error) {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		g, err := eng.Group(ctx, id)
		if err != nil {
			return nil, err
		}
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names, nil
}

// parseID reads an identifier.
func parseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("%q is not an identifier", s)
	}
	return id, nil
}
