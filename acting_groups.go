package latchbolt

import "context"

// Group returns a group, and the version for renaming or deleting it.
func (a Administrator) Group(ctx context.Context, id GroupID) (g *Group, v Version, err error) {
	err = a.read(ctx, &ruleGroup, 0, func(by *acting) error {
		r, err := by.group(&ruleGroup, id)
		if err != nil {
			return err
		}
		g = &r.Group
		v, err = by.tx.groupVersion(r)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return g, v, nil
}

// group loads the group that a rule is about. Who may not do it is not told whether there is one.
func (a *acting) group(r *adminRule, id GroupID) (*groupRecord, error) {
	if err := a.allow(r, nil); err != nil {
		return nil, err
	}
	return a.tx.group(id)
}

// Groups returns all groups by identifier.
func (a Administrator) Groups(ctx context.Context) (all []Group, err error) {
	err = a.read(ctx, &ruleGroups, 0, func(by *acting) error {
		all = nil
		if err := by.allow(&ruleGroups, nil); err != nil {
			return err
		}
		for g, err := range by.tx.Groups() {
			if err != nil {
				return err
			}
			all = append(all, *g)
		}
		return nil
	})
	return all, err
}

// GroupGrants returns what was granted to a group, and the version for changing it.
func (a Administrator) GroupGrants(ctx context.Context, id GroupID) (gs []Grant, v Version, err error) {
	err = a.read(ctx, &ruleGroupGrants, 0, func(by *acting) error {
		if _, err := by.group(&ruleGroupGrants, id); err != nil {
			return err
		}
		if gs, err = by.tx.Grants(id); err != nil {
			return err
		}
		v, err = by.tx.grantsVersion(gs)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return gs, v, nil
}

// CountMembers returns how many users are in a group, but not more than limit. A limit of less than 1 is 1.
func (a Administrator) CountMembers(ctx context.Context, id GroupID, limit int) (n int, err error) {
	limit = max(limit, 1)
	err = a.read(ctx, &ruleGroup, 0, func(by *acting) error {
		if _, err := by.group(&ruleGroup, id); err != nil {
			return err
		}
		members, err := by.tx.members(id, 0, limit)
		n = len(members)
		return err
	})
	return n, err
}

// CreateGroup stores a new group, which has no permissions yet, and returns its identifier.
func (a Administrator) CreateGroup(ctx context.Context, name string) (id GroupID, err error) {
	err = a.change(ctx, &ruleCreateGroup, 0, func(by *acting, tx *Tx) error {
		if err := by.allow(&ruleCreateGroup, nil); err != nil {
			return err
		}
		id, err = tx.createGroupAudited(name)
		return err
	}, nil)
	if err != nil {
		return 0, err
	}
	return id, nil
}

// RenameGroup gives a group another name. If is the version of [Administrator.Group].
func (a Administrator) RenameGroup(ctx context.Context, id GroupID, name string, If Version) error {
	return a.changeGroup(ctx, &ruleRenameGroup, id, If, func(tx *Tx, g *groupRecord) error {
		if g.Name == name {
			return nil
		}
		return tx.renameGroupAudited(id, name)
	})
}

// DeleteGroup removes a group, its memberships and its grants. If is the version of [Administrator.Group].
func (a Administrator) DeleteGroup(ctx context.Context, id GroupID, If Version) error {
	return a.changeGroup(ctx, &ruleDeleteGroup, id, If, func(tx *Tx, _ *groupRecord) error { return tx.deleteGroupAudited(id) })
}

func (a Administrator) changeGroup(ctx context.Context, r *adminRule, id GroupID, If Version, fn func(*Tx, *groupRecord) error) error {
	return a.change(ctx, r, 0, func(by *acting, tx *Tx) error {
		g, err := by.group(r, id)
		if err != nil {
			return err
		}
		v, err := tx.groupVersion(g)
		if err == nil {
			err = If.check(v)
		}
		if err != nil {
			return err
		}
		return fn(tx, g)
	}, nil)
}

// SetGroupPermissions makes the permissions given, and no others, those that a group has for all objects. Grants
// for single objects stay. If is the version of [Administrator.GroupGrants].
func (a Administrator) SetGroupPermissions(ctx context.Context, id GroupID, perms []PermissionID, If Version) error {
	return a.change(ctx, &ruleGroupPerms, 0, func(by *acting, tx *Tx) error {
		if _, err := by.group(&ruleGroupPerms, id); err != nil {
			return err
		}
		return by.setPermissions(tx, &ruleGroupPerms, nil, id, perms, If)
	}, nil)
}

// Permissions returns all permissions that are defined, by identifier.
func (a Administrator) Permissions(ctx context.Context) (all []Permission, err error) {
	err = a.read(ctx, &rulePermissions, 0, func(by *acting) error {
		all = nil
		if err := by.allow(&rulePermissions, nil); err != nil {
			return err
		}
		for p, err := range by.tx.Permissions() {
			if err != nil {
				return err
			}
			all = append(all, *p)
		}
		return nil
	})
	return all, err
}

// A GroupHolder is a group that a permission was granted to.
type GroupHolder struct {
	Group  Group
	Object Object // empty: for all objects
}

// Holders returns the groups that a permission was granted to, or an error that is [ErrNotFound] if there is no
// such permission. For users see [UserSearch].
func (a Administrator) Holders(ctx context.Context, p Perm) (all []GroupHolder, err error) {
	err = a.read(ctx, &ruleHolders, 0, func(by *acting) error {
		all = nil
		if err := by.allow(&ruleHolders, nil); err != nil {
			return err
		}
		ids, err := by.tx.permIDs(p)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return notFound("permission", string(p))
		}
		for _, id := range ids {
			keys, err := by.tx.keys(bucketHolder, append(permKey(id), subjectGroup), nil, 0)
			if err != nil {
				return err
			}
			for _, k := range keys {
				g, err := by.tx.Group(keyGroup(k[5:13]))
				if err != nil {
					return err
				}
				all = append(all, GroupHolder{Group: *g, Object: Object(k[grantObjectFrom:])})
			}
		}
		return nil
	})
	return all, err
}
