package latchbolt

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"
)

// shown is a user as an administrator sees it.
func (a *acting) shown(u *userRecord) (*User, error) {
	shown := u.User
	switch err := a.allow(&ruleUserGroups, u); {
	case errors.Is(err, ErrForbidden):
		shown.Groups = nil
	case err != nil:
		return nil, err
	}
	return &shown, nil
}

// User returns a user, and the version for changing it. The groups are left out for
// who may not see groups.
func (a Administrator) User(ctx context.Context, id UserID) (u *User, v Version, err error) {
	err = a.read(ctx, &ruleUser, id, func(by *acting) error {
		r, err := by.user(&ruleUser, id)
		if err != nil {
			return err
		}
		if v, err = by.tx.userVersion(r); err != nil {
			return err
		}
		u, err = by.shown(r)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return u, v, nil
}

// UserByName returns the user with a name; see [Engine.UserByName]. It goes by the rules of [Administrator.User].
func (a Administrator) UserByName(ctx context.Context, name string) (u *User, err error) {
	err = a.read(ctx, &ruleUser, 0, func(by *acting) error {
		if err := by.allow(&ruleUser, nil); err != nil {
			return err
		}
		found, err := by.tx.UserByName(name)
		if err != nil {
			return err
		}
		r, err := by.user(&ruleUser, found.ID)
		if err == nil {
			u, err = by.shown(r)
		}
		return err
	})
	return u, err
}

// UserGrants returns what was granted to a user, itself and through its groups, and the version for changing
// what was granted to it itself.
func (a Administrator) UserGrants(ctx context.Context, id UserID) (gs []Grant, v Version, err error) {
	err = a.read(ctx, &ruleGrants, id, func(by *acting) error {
		u, err := by.user(&ruleGrants, id)
		if err != nil {
			return err
		}
		own, err := by.tx.Grants(id)
		if err != nil {
			return err
		}
		if v, err = by.tx.grantsVersion(own); err != nil {
			return err
		}
		gs, err = by.tx.allGrants(u)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return gs, v, nil
}

// Explain says why a user has a permission or not; see [Engine.Explain]. Of an inactive user it says so and nothing else.
func (a Administrator) Explain(ctx context.Context, id UserID, p Perm, object ...Object) (Decision, error) {
	err := a.read(ctx, &ruleExplain, id, func(by *acting) error {
		_, err := by.user(&ruleExplain, id)
		return err
	})
	if err != nil {
		return Decision{}, err
	}
	who, err := a.e.Identity(ctx, id)
	switch {
	case errors.Is(err, ErrCredentials):
		return Decision{Reason: ReasonInactive}, nil
	case errors.Is(err, ErrNotFound):
		return Decision{Reason: ReasonMissing}, nil
	case err != nil:
		return Decision{}, err
	}
	return a.e.Explain(ctx, who, p, object...)
}

// Throttled says how long attempts to log in to a user's account are refused; see [Engine.Throttled].
func (a Administrator) Throttled(ctx context.Context, id UserID) (wait time.Duration, failures int, err error) {
	err = a.read(ctx, &ruleThrottled, id, func(by *acting) error {
		_, err := by.user(&ruleThrottled, id)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return a.e.Throttled(ctx, id)
}

// A NewUser says what a user shall be who is created by an [Administrator].
type NewUser struct {
	Username, Email, FirstName, LastName string

	Inactive, Staff, Superuser bool
	Groups                     []GroupID

	// Password is the first password, if SetPassword is true. Otherwise the user gets a random one that nobody
	// knows, so that a link to set one can be sent; or none at all with NoPassword.
	Password    string
	SetPassword bool
	NoPassword  bool
}

// CreateUser stores a new user and returns its identifier. The error is [FieldErrors] for what is not valid.
func (a Administrator) CreateUser(ctx context.Context, n NewUser) (UserID, error) {
	u := User{Username: n.Username, Email: n.Email, FirstName: n.FirstName, LastName: n.LastName,
		Inactive: n.Inactive, Staff: n.Staff, Superuser: n.Superuser, Groups: slices.Clone(n.Groups)}
	// Before a hash is made for somebody who may not.
	if err := a.read(ctx, &ruleCreate, 0, func(by *acting) error { return by.mayCreate(&n) }); err != nil {
		return 0, err
	}
	h, err := a.firstPassword(ctx, &u, &n)
	if err != nil {
		return 0, err
	}
	err = a.change(ctx, &ruleCreate, 0, func(by *acting, tx *Tx) error {
		if err := by.mayCreate(&n); err != nil {
			return err
		}
		return tx.insertUserAudited(&u, h)
	}, nil)
	if err != nil {
		return 0, err
	}
	return u.ID, nil
}

// mayCreate decides field by field.
func (a *acting) mayCreate(n *NewUser) error {
	if err := a.allow(&ruleCreate, nil); err != nil {
		return err
	}
	for _, f := range []struct {
		set  bool
		rule *adminRule
	}{{n.SetPassword, &ruleCreatePass}, {n.Staff, &ruleCreateStaff}, {n.Superuser, &ruleCreateSuper}} {
		if !f.set {
			continue
		}
		if err := a.allow(f.rule, nil); err != nil {
			return err
		}
	}
	if len(n.Groups) == 0 {
		return nil
	}
	return a.mayEnter(&ruleCreateGroups, nil, n.Groups)
}

// mayEnter decides whether a user may be put into groups: who does it needs all that they give.
func (a *acting) mayEnter(r *adminRule, target *userRecord, groups []GroupID) error {
	if err := a.allow(r, target); err != nil {
		return err
	}
	for _, g := range groups {
		if _, err := a.tx.group(g); err != nil {
			return err
		}
		gives, err := a.tx.Grants(g)
		if err != nil {
			return err
		}
		if err := a.allow(r, target, gives...); err != nil {
			return err
		}
	}
	return nil
}

// firstPassword makes the hash of a new user's password.
func (a Administrator) firstPassword(ctx context.Context, u *User, n *NewUser) (PasswordHash, error) {
	checked := *u
	var errs FieldErrors
	errs = errs.add(normalizeUser(&checked))
	password := n.Password
	switch {
	case n.SetPassword:
		refused := a.e.ValidatePassword(password, &checked)
		if refused != nil && !errors.Is(refused, ErrInvalid) {
			return PasswordHash{}, refused
		}
		errs = errs.add(refused)
	default:
		password = rand.Text() + rand.Text()
	}
	if len(errs) > 0 {
		return PasswordHash{}, errs
	}
	if n.NoPassword && !n.SetPassword {
		return PasswordHash{}, nil
	}
	// Look before hashing: a taken name should not cost a hash.
	if err := a.e.view(ctx, func(tx *ReadTx) error { return tx.freeName(checked.Username) }); err != nil {
		return PasswordHash{}, err
	}
	return a.e.HashPassword(ctx, password)
}

// freeName fails if a user has the name.
func (tx *ReadTx) freeName(name string) error {
	id, err := tx.idByName(name)
	if err == nil && id != 0 {
		err = errNameTaken()
	}
	return err
}

// A UserChange says what fields of a user shall be. What is nil stays as it is.
type UserChange struct {
	Username, Email, FirstName, LastName *string
	Inactive, Staff, Superuser           *bool
	Groups                               *[]GroupID

	If Version // of [Administrator.User]
}

// fields pairs what a change asks for with what is there, and with the rule for it.
func (c *UserChange) fields(u *User) (texts []textChange, flags []flagChange) {
	return []textChange{{c.Username, &u.Username, &ruleUpdateName}, {c.Email, &u.Email, &ruleUpdateEmail},
			{c.FirstName, &u.FirstName, &ruleUpdateFirst}, {c.LastName, &u.LastName, &ruleUpdateLast}},
		[]flagChange{{c.Inactive, &u.Inactive, &ruleUpdateActive}, {c.Staff, &u.Staff, &ruleUpdateStaff}, {c.Superuser, &u.Superuser, &ruleUpdateSuper}}
}

type textChange struct {
	to, field *string
	rule      *adminRule
}

type flagChange struct {
	to, field *bool
	rule      *adminRule
}

// UpdateUser changes fields of a user. Each field that would become another is decided about by itself; if one of them
// is not allowed, none is changed. A field that has the value already counts as not named.
func (a Administrator) UpdateUser(ctx context.Context, id UserID, c UserChange) error {
	var inactive bool
	return a.change(ctx, &ruleUpdate, id, func(by *acting, tx *Tx) error {
		inactive = false
		old, err := by.user(&ruleUpdate, id)
		if err != nil {
			return err
		}
		v, err := tx.userVersion(old)
		if err == nil {
			err = c.If.check(v)
		}
		if err != nil {
			return err
		}
		changed, err := by.mayUpdate(old, &c)
		if err != nil {
			return err
		}
		if changed {
			err := tx.updateAudited(id, func(u *User) error {
				c.apply(u)
				inactive = u.Inactive && !old.Inactive
				return nil
			})
			if err != nil {
				return err
			}
		}
		return by.updateGroups(tx, old, &c)
	}, func() denial {
		if inactive {
			return denial{users: []UserID{id}, inactive: true}
		}
		return denial{}
	})
}

func (c *UserChange) apply(u *User) {
	texts, flags := c.fields(u)
	for _, t := range texts {
		if t.to != nil {
			*t.field = *t.to
		}
	}
	for _, f := range flags {
		if f.to != nil {
			*f.field = *f.to
		}
	}
}

// mayUpdate decides about each field that becomes another, and reports whether there is one.
func (a *acting) mayUpdate(old *userRecord, c *UserChange) (changed bool, err error) {
	var rules []*adminRule
	texts, flags := c.fields(&old.User)
	for _, t := range texts {
		if t.to != nil && *t.to != *t.field {
			rules = append(rules, t.rule)
		}
	}
	for _, f := range flags {
		if f.to != nil && *f.to != *f.field {
			rules = append(rules, f.rule)
		}
	}
	for _, r := range rules {
		if err := a.allow(r, old); err != nil {
			return false, err
		}
	}
	return len(rules) > 0, nil
}

func (a *acting) updateGroups(tx *Tx, old *userRecord, c *UserChange) error {
	if c.Groups == nil {
		return nil
	}
	want := slices.Clone(*c.Groups)
	slices.Sort(want)
	want = slices.Compact(want)
	if slices.Equal(want, old.Groups) {
		return nil
	}
	entered := slices.DeleteFunc(slices.Clone(want), func(g GroupID) bool { return slices.Contains(old.Groups, g) })
	if err := a.mayEnter(&ruleUpdateGroups, old, entered); err != nil {
		return err
	}
	if err := tx.SetGroups(old.ID, want...); err != nil {
		return err
	}
	return tx.auditGroups(old.ID, ActionGroupSet, want)
}

// AddToGroup puts a user into a group, and RemoveFromGroup takes it out, by the rule for the groups of
// [Administrator.UpdateUser].
func (a Administrator) AddToGroup(ctx context.Context, id UserID, g GroupID) error {
	return a.changeMember(ctx, id, g, ActionGroupAdd, (*Tx).AddToGroup)
}

// RemoveFromGroup takes a user out of a group; see [Administrator.AddToGroup].
func (a Administrator) RemoveFromGroup(ctx context.Context, id UserID, g GroupID) error {
	return a.changeMember(ctx, id, g, ActionGroupRemove, (*Tx).RemoveFromGroup)
}

func (a Administrator) changeMember(ctx context.Context, id UserID, g GroupID, action string, do func(*Tx, UserID, ...GroupID) error) error {
	return a.change(ctx, &ruleUpdateGroups, id, func(by *acting, tx *Tx) error {
		u, err := by.user(&ruleUpdateGroups, id)
		if err != nil {
			return err
		}
		if _, err := tx.group(g); err != nil {
			return err
		}
		if in := slices.Contains(u.Groups, g); in == (action == ActionGroupAdd) {
			return nil
		}
		if action == ActionGroupAdd {
			if err := by.mayEnter(&ruleUpdateGroups, u, []GroupID{g}); err != nil {
				return err
			}
		}
		if err := do(tx, id, g); err != nil {
			return err
		}
		return tx.auditGroups(id, action, []GroupID{g})
	}, nil)
}

// SetUserPermissions makes the permissions given, and no others, those that are granted to a user itself for
// all objects. Grants for single objects stay. If is the version of [Administrator.UserGrants].
func (a Administrator) SetUserPermissions(ctx context.Context, id UserID, perms []PermissionID, If Version) error {
	return a.change(ctx, &ruleUserPerms, id, func(by *acting, tx *Tx) error {
		u, err := by.user(&ruleUserPerms, id)
		if err != nil {
			return err
		}
		return by.setPermissions(tx, &ruleUserPerms, u, id, perms, If)
	}, nil)
}

// setPermissions makes the grants for all objects of a subject those given.
func (a *acting) setPermissions(tx *Tx, r *adminRule, target *userRecord, s Subject, want []PermissionID, If Version) error {
	now, err := tx.Grants(s)
	if err != nil {
		return err
	}
	v, err := tx.grantsVersion(now)
	if err == nil {
		err = If.check(v)
	}
	if err != nil {
		return err
	}
	has := make(map[PermissionID]bool)
	for _, g := range now {
		if g.Object != "" {
			continue
		}
		has[g.Permission.ID] = true
		if slices.Contains(want, g.Permission.ID) {
			continue
		}
		if err := tx.ungrant(s, g.Permission.ID, ""); err != nil {
			return err
		}
		if err := tx.auditGrant(s, g.Permission.Perm(), nil, ActionPermRevoke); err != nil {
			return err
		}
	}
	for _, id := range want {
		if has[id] {
			continue
		}
		has[id] = true
		p, err := tx.permission(id)
		if err != nil {
			return err
		}
		if err := a.allow(r, target, Grant{Subject: s, Permission: *p}); err != nil {
			return err
		}
		if err := tx.GrantID(s, id); err != nil {
			return err
		}
		if err := tx.auditGrant(s, p.Perm(), nil, ActionPermGrant); err != nil {
			return err
		}
	}
	return nil
}

// Unlock forgets the failed attempts to log in to a user's account.
func (a Administrator) Unlock(ctx context.Context, id UserID) error {
	return a.change(ctx, &ruleUnlock, id, func(by *acting, tx *Tx) error {
		if _, err := by.user(&ruleUnlock, id); err != nil {
			return err
		}
		return tx.unlockAudited(id)
	}, nil)
}

// Goes is what is deleted together with a user.
type Goes struct {
	User     User // without groups
	Version  Version
	Sessions int // in the file, living or not yet removed
	Tokens   int // one-time tokens

	// Which groups the user leaves and what was granted to it itself. The lists are nil for who may not see groups, or
	// permissions; the numbers are there for everybody.
	Groups     []Group
	Grants     []Grant
	GroupCount int
	GrantCount int
}

// WhatGoesWith returns what [Administrator.DeleteUser] would delete.
func (a Administrator) WhatGoesWith(ctx context.Context, id UserID) (*Goes, error) {
	var goes *Goes
	err := a.read(ctx, &ruleWhatGoes, id, func(by *acting) error {
		u, err := by.user(&ruleWhatGoes, id)
		if err != nil {
			return err
		}
		goes = &Goes{User: u.User}
		goes.User.Groups = nil
		if goes.Version, err = by.tx.userVersion(u); err != nil {
			return err
		}
		if err := by.whatIsNamed(goes, u); err != nil {
			return err
		}
		sessions, err := by.tx.sessionsOf(id)
		if err != nil {
			return err
		}
		tokens, err := by.tx.keys(bucketTokenUser, userKey(id), nil, 0)
		goes.Sessions, goes.Tokens = len(sessions), len(tokens)
		return err
	})
	if err != nil {
		return nil, err
	}
	return goes, nil
}

// whatIsNamed adds the groups and grants of a user, as far as they may be seen.
func (a *acting) whatIsNamed(goes *Goes, u *userRecord) error {
	grants, err := a.tx.Grants(u.ID)
	if err != nil {
		return err
	}
	goes.GroupCount, goes.GrantCount = len(u.Groups), len(grants)
	if a.allow(&ruleHolders, nil) == nil {
		goes.Grants = grants
	}
	if a.allow(&ruleGroups, nil) != nil {
		return nil
	}
	for _, id := range u.Groups {
		g, err := a.tx.Group(id)
		if err != nil {
			return err
		}
		goes.Groups = append(goes.Groups, *g)
	}
	return nil
}

// DeleteUser removes a user with all that [Administrator.WhatGoesWith] names. If is the version that it gave.
func (a Administrator) DeleteUser(ctx context.Context, id UserID, If Version) error {
	return a.change(ctx, &ruleDelete, id, func(by *acting, tx *Tx) error {
		u, err := by.user(&ruleDelete, id)
		if err != nil {
			return err
		}
		v, err := tx.userVersion(u)
		if err == nil {
			err = If.check(v)
		}
		if err != nil {
			return err
		}
		return tx.deleteUserAudited(id)
	}, func() denial { return denial{users: []UserID{id}, inactive: true} })
}
