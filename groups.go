package latchbolt

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// A Group is a set of users that permissions can be granted to at once. Groups
// do not contain groups.
type Group struct {
	ID   GroupID
	Name string // unique, at most 150 characters, any characters but line breaks and NUL
}

func (tx *ReadTx) group(id GroupID) (*groupRecord, error) {
	body, ok, err := tx.get(bucketGroup, groupKey(id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound("group", fmt.Sprint(id))
	}
	return decodeGroup(id, &body)
}

// Group returns a group by identifier, or an error that is [ErrNotFound].
func (tx *ReadTx) Group(id GroupID) (*Group, error) {
	g, err := tx.group(id)
	if err != nil {
		return nil, err
	}
	return &g.Group, nil
}

// GroupByName returns the group with exactly this name.
func (tx *ReadTx) GroupByName(name string) (*Group, error) {
	id, err := tx.getID(bucketGroupName, nameKey(name))
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return nil, notFound("group", name)
	}
	return tx.Group(GroupID(id))
}

// Groups yields all groups by identifier.
func (tx *ReadTx) Groups() iter.Seq2[*Group, error] {
	return func(yield func(*Group, error) bool) {
		for e, err := range tx.scan(bucketGroup, nil, nil) {
			if err != nil {
				yield(nil, err)
				return
			}
			g, err := decodeGroup(keyGroup(e.key), &e.body)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&g.Group, nil) {
				return
			}
		}
	}
}

// InsertGroup stores a new group. If g.ID is not 0 it is kept, as for a group
// from another system. On success g.ID is set. The error is [ErrExists] if the
// name is taken.
func (tx *Tx) InsertGroup(g *Group) error {
	if err := tx.nameGroup(g, nil); err != nil {
		return err
	}
	id, err := takeID(tx, g.ID, func(i *idsRecord) *GroupID { return &i.group }, bucketGroup, groupKey, "group")
	if err != nil {
		return err
	}
	r := &groupRecord{Group: Group{ID: id, Name: g.Name}}
	if err := tx.putID(bucketGroupName, nameKey(g.Name), uint64(id)); err != nil {
		return err
	}
	if err := tx.put(bucketGroup, groupKey(id), r.encode()); err != nil {
		return err
	}
	g.ID = id
	return nil
}

// nameGroup checks that g may have its name; old is the group as it is stored, if it is.
func (tx *Tx) nameGroup(g *Group, old *groupRecord) error {
	if err := validateText("name", g.Name, 150, true); err != nil {
		return err
	}
	id, err := tx.getID(bucketGroupName, nameKey(g.Name))
	if err != nil {
		return err
	}
	if id != 0 && (old == nil || GroupID(id) != old.ID) {
		return &FieldError{Field: "name", Code: "unique", Msg: "A group with that name already exists."}
	}
	return nil
}

// RenameGroup gives a group another name.
func (tx *Tx) RenameGroup(id GroupID, name string) error {
	g, err := tx.group(id)
	if err != nil {
		return err
	}
	if err := tx.nameGroup(&Group{ID: id, Name: name}, g); err != nil {
		return err
	}
	if err := tx.delete(bucketGroupName, nameKey(g.Name)); err != nil {
		return err
	}
	g.Name = name
	if err := tx.putID(bucketGroupName, nameKey(name), uint64(id)); err != nil {
		return err
	}
	tx.touchGroup(id)
	return tx.put(bucketGroup, groupKey(id), g.encode())
}

// DeleteGroup removes a group, its memberships and its grants.
func (tx *Tx) DeleteGroup(id GroupID) error {
	g, err := tx.group(id)
	if err != nil {
		return err
	}
	members, err := tx.keys(bucketMember, groupKey(id), nil, 0)
	if err != nil {
		return err
	}
	for _, k := range members {
		if err := tx.RemoveFromGroup(keyUser(k[8:]), id); err != nil {
			return err
		}
	}
	if err := tx.deleteGrants(id); err != nil {
		return err
	}
	if err := tx.delete(bucketGroupName, nameKey(g.Name)); err != nil {
		return err
	}
	tx.touchGroup(id)
	return tx.delete(bucketGroup, groupKey(id))
}

// enter makes the user u a member of a group. The caller stores u.
func (tx *Tx) enter(u *userRecord, g GroupID) error {
	i, in := slices.BinarySearch(u.Groups, g)
	if in {
		return nil
	}
	if _, err := tx.group(g); err != nil {
		return err
	}
	if len(u.Groups) == maxGroups {
		return errTooManyGroups()
	}
	u.Groups = slices.Insert(u.Groups, i, g)
	return tx.mark(bucketMember, memberKey(g, u.ID))
}

func errTooManyGroups() error {
	return &FieldError{Field: "groups", Code: "max_length", Msg: fmt.Sprintf("A user cannot be in more than %d groups.", maxGroups)}
}

// AddToGroup makes a user a member of groups. Being one already is no error.
func (tx *Tx) AddToGroup(id UserID, groups ...GroupID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := tx.enter(u, g); err != nil {
			return err
		}
	}
	return tx.putUser(u)
}

// RemoveFromGroup ends the membership of a user in groups. Not being a member is no error.
func (tx *Tx) RemoveFromGroup(id UserID, groups ...GroupID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if i, in := slices.BinarySearch(u.Groups, g); in {
			u.Groups = slices.Delete(u.Groups, i, i+1)
			if err := tx.delete(bucketMember, memberKey(g, id)); err != nil {
				return err
			}
		}
	}
	return tx.putUser(u)
}

// SetGroups makes the groups given, and no others, those of a user.
func (tx *Tx) SetGroups(id UserID, groups ...GroupID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	var leave []GroupID
	for _, g := range u.Groups {
		if !slices.Contains(groups, g) {
			leave = append(leave, g)
		}
	}
	if err := tx.RemoveFromGroup(id, leave...); err != nil {
		return err
	}
	return tx.AddToGroup(id, groups...)
}

// CreateGroup stores a new group and returns its identifier.
func (e *Engine) CreateGroup(ctx context.Context, name string) (GroupID, error) {
	var id GroupID
	err := e.Update(ctx, func(tx *Tx) (err error) {
		id, err = tx.createGroupAudited(name)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

func (tx *Tx) createGroupAudited(name string) (GroupID, error) {
	g := Group{Name: name}
	if err := tx.InsertGroup(&g); err != nil {
		return 0, err
	}
	return g.ID, tx.audit(AuditEntry{Action: ActionGroupCreate, Detail: name})
}

// Group returns a group by identifier, or an error that is [ErrNotFound].
func (e *Engine) Group(ctx context.Context, id GroupID) (g *Group, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		g, err = tx.Group(id)
		return err
	})
	return g, err
}

// GroupByName returns the group with exactly this name.
func (e *Engine) GroupByName(ctx context.Context, name string) (g *Group, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		g, err = tx.GroupByName(name)
		return err
	})
	return g, err
}

// Groups yields all groups by identifier. No transaction is open while the
// body of the loop runs.
func (e *Engine) Groups(ctx context.Context) iter.Seq2[*Group, error] {
	return paged(func(after GroupID, n int) (page []*Group, err error) {
		err = e.view(ctx, func(tx *ReadTx) error {
			page = nil
			for g, err := range tx.Groups() {
				if err != nil {
					return err
				}
				if g.ID > after && len(page) < n {
					page = append(page, g)
				}
			}
			return nil
		})
		return page, err
	}, func(g *Group) GroupID { return g.ID })
}

// Members yields the identifiers of the users in a group, ascending. No
// transaction is open while the body of the loop runs.
func (e *Engine) Members(ctx context.Context, g GroupID) iter.Seq2[UserID, error] {
	return paged(func(after UserID, n int) (page []UserID, err error) {
		err = e.view(ctx, func(tx *ReadTx) error {
			page, err = tx.members(g, after, n)
			return err
		})
		return page, err
	}, func(id UserID) UserID { return id })
}

// members returns at most n members of a group that come after a user.
func (tx *ReadTx) members(g GroupID, after UserID, n int) ([]UserID, error) {
	return tx.idsAt(bucketMember, groupKey(g), memberKey(g, after+1), 8, n)
}

// RenameGroup gives a group another name.
func (e *Engine) RenameGroup(ctx context.Context, id GroupID, name string) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.renameGroupAudited(id, name) })
}

func (tx *Tx) renameGroupAudited(id GroupID, name string) error {
	if err := tx.RenameGroup(id, name); err != nil {
		return err
	}
	tx.changed(ChangeGroup, id)
	return tx.audit(AuditEntry{Action: ActionGroupUpdate, Detail: name})
}

// DeleteGroup removes a group, its memberships and its grants.
func (e *Engine) DeleteGroup(ctx context.Context, id GroupID) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.deleteGroupAudited(id) })
}

func (tx *Tx) deleteGroupAudited(id GroupID) error {
	g, err := tx.group(id)
	if err != nil {
		return err
	}
	if err := tx.DeleteGroup(id); err != nil {
		return err
	}
	tx.changed(ChangeGroup, id)
	return tx.audit(AuditEntry{Action: ActionGroupDelete, Detail: g.Name})
}

// AddToGroup makes a user a member of groups.
func (e *Engine) AddToGroup(ctx context.Context, id UserID, groups ...GroupID) error {
	return e.changeGroups(ctx, id, ActionGroupAdd, groups, func(tx *Tx) error { return tx.AddToGroup(id, groups...) })
}

// RemoveFromGroup ends the membership of a user in groups.
func (e *Engine) RemoveFromGroup(ctx context.Context, id UserID, groups ...GroupID) error {
	return e.changeGroups(ctx, id, ActionGroupRemove, groups, func(tx *Tx) error { return tx.RemoveFromGroup(id, groups...) })
}

// SetGroups makes the groups given, and no others, those of a user.
func (e *Engine) SetGroups(ctx context.Context, id UserID, groups ...GroupID) error {
	return e.changeGroups(ctx, id, ActionGroupSet, groups, func(tx *Tx) error { return tx.SetGroups(id, groups...) })
}

func (e *Engine) changeGroups(ctx context.Context, id UserID, action string, groups []GroupID, fn func(*Tx) error) error {
	return e.Update(ctx, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.auditGroups(id, action, groups)
	})
}

// auditGroups records that the groups of a user changed.
func (tx *Tx) auditGroups(id UserID, action string, groups []GroupID) error {
	tx.changed(ChangeUser, id)
	return tx.audit(AuditEntry{Action: action, User: id, Detail: "groups " + fmt.Sprint(groups)})
}

// pageSize is how many rows an iterator fetches in one transaction.
const pageSize = 256

// paged turns a function that fetches a page after a key into an iterator that
// holds nothing open between pages.
func paged[T any, K comparable](fetch func(after K, n int) ([]T, error), key func(T) K) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var after K
		for {
			page, err := fetch(after, pageSize)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			more := len(page) == pageSize
			if more {
				after = key(page[pageSize-1]) // now: what was yielded is the caller's to change
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}
