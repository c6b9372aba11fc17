package latchbolt_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/latchbolt-go/latchbolt"
)

// What is done with whole files: backups that come back, loads, salvaged files, kills.

// A modelBackup is a file, and what is in it.
type modelBackup struct {
	path   string
	users  map[latchbolt.UserID]*modelUser
	groups map[latchbolt.GroupID]string
	perms  map[latchbolt.PermissionID]latchbolt.Permission
	grants map[modelGrant]bool
}

// backup makes a copy of the file, which replaces the last one.
func (m *model) backup() {
	m.note("backup")
	m.settle()
	b := &modelBackup{path: m.path + ".backup", users: make(map[latchbolt.UserID]*modelUser), groups: maps.Clone(m.groups),
		perms: maps.Clone(m.perms), grants: maps.Clone(m.grants)}
	for id, u := range m.users {
		then := *u
		b.users[id] = &then
	}
	if m.outcome("Backup", m.eng.Backup(m.ctx, b.path, true), nil) {
		m.kept = b
	}
	snapshot := m.path + ".snapshot"
	if m.outcome("Snapshot", m.eng.Snapshot(m.ctx, snapshot), nil) {
		for f, err := range latchbolt.VerifyFile(m.ctx, snapshot) {
			m.t.Errorf("a snapshot: %v, %v", f, err)
		}
		m.outcome("removing", os.Remove(snapshot), nil)
	}
}

// settle waits for the writes that nobody waits for.
func (m *model) settle() { m.eng.Settle(m.ctx) }

// closed closes the engine while fn is called, and opens it again.
func (m *model) closed(fn func()) {
	m.outcome("Close", m.eng.Close(), nil)
	fn()
	m.eng = openAt(m.t, filepath.Clean(m.path), &m.cfg)
	m.idents = nil
}

// voidAll ends all sessions and voids all tokens.
func (m *model) voidAll() {
	for _, s := range m.sessions {
		m.end(s)
	}
	for _, k := range m.tokens {
		k.state = "void"
	}
}

// restore puts the last backup in place of the file.
func (m *model) restore() {
	if m.kept == nil {
		return
	}
	m.note("restore")
	m.closed(func() {
		_, err := latchbolt.Restore(m.ctx, m.kept.path, m.path, &latchbolt.RestoreOptions{Discard: true})
		m.outcome("Restore", err, nil)
	})
	m.voidAll()
	for id := range m.users {
		if m.kept.users[id] == nil {
			m.gone = append(m.gone, id)
		}
	}
	m.gone = slices.DeleteFunc(m.gone, func(id latchbolt.UserID) bool { return m.kept.users[id] != nil })
	m.users, m.groups, m.perms, m.grants = m.kept.users, m.kept.groups, m.kept.perms, m.kept.grants
	m.kept = nil // it is the model's now
}

// salvage makes a new file of what is intact in this one, which is all, and goes on with that.
func (m *model) salvage() {
	m.note("salvage")
	m.closed(func() {
		saved := m.path + ".saved"
		report, err := latchbolt.Salvage(m.ctx, m.path, saved, nil)
		if !m.outcome("Salvage", err, nil) {
			return
		}
		m.same("findings of a salvage", fmt.Sprint(report.Doubt, report.Findings), fmt.Sprint("", []latchbolt.Finding(nil)))
		m.outcome("renaming", os.Rename(saved, m.path), nil)
	})
	m.voidAll()
}

// kill goes on with the file as it is on the disk, which is what a killed process leaves.
func (m *model) kill() {
	m.note("kill")
	m.settle()
	left, err := os.ReadFile(m.path)
	m.outcome("reading the file", err, nil)
	m.closed(func() {
		m.outcome("removing the file", os.Remove(m.path), nil)
		m.outcome("writing what a kill leaves", os.WriteFile(m.path, left, 0o600), nil)
	})
	for _, s := range m.sessions {
		m.lost(s)
	}
}

// lost takes back what the engine does not know any more of the last use of a session: that is in memory for some seconds
// of true time, which are any time here, and an idle session may end so much earlier.
func (m *model) lost(s *modelSession) {
	if !m.good(s) {
		return
	}
	got, err := m.eng.SessionByID(m.ctx, s.ID)
	switch {
	case errors.Is(err, latchbolt.ErrNoSession) && s.IdleFor > 0:
		m.end(s)
	case err != nil || got.LastSeen.After(s.LastSeen) || got.LastSeen.Before(s.Created):
		m.t.Errorf("a session after a kill: got %v, %v; it was seen at %v", got.LastSeen, err, s.LastSeen)
	default:
		s.LastSeen = got.LastSeen
	}
}

// load takes in users in one step, some of whose names may be taken, with a group and grants.
func (m *model) load() {
	if len(m.users) > 6 || len(m.groups) > 4 {
		return
	}
	type fresh struct {
		user latchbolt.User
		perm latchbolt.PermissionID
		obj  latchbolt.Object
	}
	var users []fresh
	taken := 0
	for range 1 + m.rng.IntN(3) {
		f := fresh{user: latchbolt.User{Username: m.newName("user", m.userNames()), Email: m.email(), Staff: m.rng.IntN(4) == 0}, obj: orAll(m.anyObjects())[0]}
		if m.named(f.user.Username) != nil {
			taken++
		}
		if ids := m.ids(m.anyPerm()); len(ids) > 0 {
			f.perm = ids[0]
		}
		users = append(users, f)
	}
	group := &latchbolt.Group{Name: m.newName("group", nil)}
	perm := latchbolt.Permission{App: "loaded", Codename: fmt.Sprint("p", m.names), Model: "m"}
	refuse, dry := m.rng.IntN(4) == 0, m.rng.IntN(6) == 0
	m.note("load %d users, of whom %d are taken, refuse %v, dry %v", len(users), taken, refuse, dry)
	opts := latchbolt.LoadOptions{DryRun: dry, OnDuplicate: func(*latchbolt.DuplicateError) error { return nil }}
	if refuse {
		opts.OnDuplicate = nil
	}
	hash, err := m.eng.HashPassword(m.ctx, "pw0")
	m.outcome("HashPassword", err, nil)
	err = m.eng.Load(m.ctx, opts, func(l *latchbolt.Loader) error {
		m.same("time in a load", l.Now().After(m.now()), false)
		m.outcome("Loader.InsertGroup", l.InsertGroup(group), nil)
		got, err := l.GroupByName(group.Name)
		m.outcome("Loader.GroupByName", err, nil)
		m.same("a group that is loaded", *got, *group)
		got, err = l.Group(group.ID)
		m.outcome("Loader.Group", err, nil)
		m.same("a group that is loaded", *got, *group)
		m.outcome("Loader.InsertPermission", l.InsertPermission(&perm), nil)
		m.outcome("Loader.Define", l.Define(perm), nil)
		m.outcome("Loader.Grant", l.Grant(group.ID, perm.Perm()), nil)
		for i := range users {
			u := &users[i].user
			u.Groups = []latchbolt.GroupID{group.ID}
			insert := l.InsertUser
			if i%2 == 1 {
				insert = l.InsertBroughtUser
			}
			m.outcome("Loader.InsertUser", insert(u, hash), nil)
			if users[i].perm != 0 {
				m.outcome("Loader.GrantID", l.GrantID(u.ID, users[i].perm, objectsOf(users[i].obj)...), nil)
			}
		}
		m.outcome("Loader.Record", l.Record(latchbolt.AuditEntry{Action: "model.load"}), nil)
		return m.readInLoad(l, group, perm)
	})
	want := error(nil)
	if refuse && taken > 0 {
		want = latchbolt.ErrExists
	}
	if !m.outcome("Load", err, want) || dry {
		return
	}
	m.groups[group.ID] = group.Name
	m.perms[perm.ID] = perm
	m.grants[modelGrant{group.ID, perm.ID, ""}] = true
	for _, f := range users {
		if m.named(f.user.Username) != nil {
			continue
		}
		got, err := m.eng.UserByName(m.ctx, f.user.Username)
		if !m.outcome("UserByName", err, nil) {
			continue
		}
		f.user.DateJoined = got.DateJoined
		m.users[f.user.ID] = &modelUser{User: f.user, password: "pw0"}
		if f.perm != 0 {
			m.grants[modelGrant{f.user.ID, f.perm, f.obj}] = true
		}
	}
}

// readInLoad has a load see users as they were before, and groups and permissions with what was added.
func (m *model) readInLoad(l *latchbolt.Loader, group *latchbolt.Group, perm latchbolt.Permission) error {
	for id, u := range m.users {
		got, err := l.User(id)
		if m.outcome("Loader.User", err, nil) {
			m.sameUser(got, u)
		}
		got, err = l.UserByName(u.Username)
		if m.outcome("Loader.UserByName", err, nil) {
			m.sameUser(got, u)
		}
	}
	groups := map[latchbolt.GroupID]string{}
	for g, err := range l.Groups() {
		if m.outcome("Loader.Groups", err, nil) {
			groups[g.ID] = g.Name
		}
	}
	want := maps.Clone(m.groups)
	want[group.ID] = group.Name
	m.same("Loader.Groups", groups, want)
	perms := map[latchbolt.PermissionID]latchbolt.Permission{}
	for p, err := range l.Permissions() {
		if m.outcome("Loader.Permissions", err, nil) {
			perms[p.ID] = *p
		}
	}
	wantPerms := maps.Clone(m.perms)
	wantPerms[perm.ID] = perm
	m.same("Loader.Permissions", perms, wantPerms)
	return nil
}

func objectsOf(o latchbolt.Object) []latchbolt.Object {
	if o == "" {
		return nil
	}
	return []latchbolt.Object{o}
}
