package latchbolt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// A staffRoom is an engine with somebody who administers, and with those it is done to.
type staffRoom struct {
	t     testing.TB
	eng   *latchbolt.Engine
	actor latchbolt.UserID // active staff with no permission
	boss  latchbolt.UserID // superuser
	chief latchbolt.UserID // another one
	other latchbolt.UserID // nobody in particular, with a session and a failed login
	aide  latchbolt.UserID // staff with blog.add_post
	plain latchbolt.GroupID
	power latchbolt.GroupID // has blog.add_post
	one   latchbolt.GroupID // has blog.view_post for one object
	sess  latchbolt.SessionID
	perms []latchbolt.Perm // what DefineAdmin defines
}

func newStaffRoom(t testing.TB) *staffRoom {
	ctx := t.Context()
	eng := openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, &latchbolt.Config{})
	r := &staffRoom{t: t, eng: eng}
	must(t, "defining", eng.DefineAdmin(ctx))
	for p, err := range eng.Permissions(ctx) {
		must(t, "permissions", err)
		r.perms = append(r.perms, p.Perm())
	}
	define(t, eng, "blog.add_post", "blog.view_post")
	add := func(u latchbolt.User) latchbolt.UserID {
		must(t, u.Username, eng.CreateUser(ctx, &u, goodPassword))
		return u.ID
	}
	r.boss = add(latchbolt.User{Username: "boss", Staff: true, Superuser: true, Email: "boss@example.org"})
	r.chief = add(latchbolt.User{Username: "chief", Staff: true, Superuser: true})
	r.actor = add(latchbolt.User{Username: "actor", Staff: true, Email: "actor@example.org"})
	r.other = add(latchbolt.User{Username: "other", Email: "other@example.org", FirstName: "Olga", LastName: "Other"})
	r.aide = add(latchbolt.User{Username: "aide", Staff: true, Email: "aide@example.org"})
	must(t, "granting", eng.Grant(ctx, r.aide, "blog.add_post"))
	r.plain, r.power = addGroup(t, eng, "plain"), addGroup(t, eng, "power")
	must(t, "granting", eng.Grant(ctx, r.power, "blog.add_post"))
	r.one = addGroup(t, eng, "one")
	must(t, "granting", eng.Grant(ctx, r.one, "blog.view_post", "blog.post:1"))
	id, err := eng.Identity(ctx, r.other)
	must(t, "identity", err)
	s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
	must(t, "login", err)
	r.sess = s.ID
	return r
}

// as is the administrator that a user is, from what it was before anything changes.
func (r *staffRoom) as(id latchbolt.UserID) latchbolt.Administrator {
	r.t.Helper()
	who, err := r.eng.Identity(r.t.Context(), id)
	must(r.t, "identity", err)
	return r.eng.As(who)
}

// holding makes some permissions, and no others, those of the actor.
func (r *staffRoom) holding(perms ...latchbolt.Perm) {
	r.t.Helper()
	must(r.t, "granting", r.eng.Update(r.t.Context(), func(tx *latchbolt.Tx) error {
		now, err := tx.Grants(r.actor)
		if err != nil {
			return err
		}
		for _, g := range now {
			if err := tx.Revoke(r.actor, g.Permission.Perm()); err != nil {
				return err
			}
		}
		for _, p := range perms {
			if err := tx.Grant(r.actor, p); err != nil {
				return err
			}
		}
		return nil
	}))
}

// digest is of all that is stored, without the audit trail.
func (r *staffRoom) digest() string {
	r.t.Helper()
	r.eng.Settle(r.t.Context())
	h := sha256.New()
	must(r.t, "reading", r.eng.View(r.t.Context(), func(tx *latchbolt.ReadTx) error {
		for _, b := range latchbolt.Buckets {
			if b == "audit" {
				continue
			}
			for p, err := range tx.Records(b) {
				if err != nil {
					return err
				}
				fmt.Fprintf(h, "%s %x %x\n", b, p.Key, p.Value)
			}
		}
		return nil
	}))
	return fmt.Sprintf("%x", h.Sum(nil))
}

func (r *staffRoom) permID(p latchbolt.Perm) latchbolt.PermissionID {
	r.t.Helper()
	for q, err := range r.eng.Permissions(r.t.Context()) {
		must(r.t, "permissions", err)
		if q.Perm() == p {
			return q.ID
		}
	}
	r.t.Fatalf("no permission %s", p)
	return 0
}

func ptr[T any](v T) *T { return &v }

// A staffAct is something an administrator does, and all that it takes, said here a second time and by hand.
type staffAct struct {
	name  string
	needs []latchbolt.Perm // all of them; "a|b" is one of two
	super bool             // superusers only
	reads bool             // changes nothing
	do    func(context.Context, *staffRoom, latchbolt.Administrator) error
}

func update1(id func(*staffRoom) latchbolt.UserID, c latchbolt.UserChange) func(context.Context, *staffRoom, latchbolt.Administrator) error {
	return func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
		return a.UpdateUser(ctx, id(r), c)
	}
}

func theOther(r *staffRoom) latchbolt.UserID { return r.other }
func theAide(r *staffRoom) latchbolt.UserID  { return r.aide }
func theBoss(r *staffRoom) latchbolt.UserID  { return r.boss }
func oneself(r *staffRoom) latchbolt.UserID  { return r.actor }

var staffActs = []staffAct{
	{name: "look at a user", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, _, err := a.User(ctx, r.other)
			return err
		}},
	{name: "look at a user's grants", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user", "auth.view_permission|auth.change_permission"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, _, err := a.UserGrants(ctx, r.other)
			return err
		}},
	{name: "explain", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user", "auth.view_permission|auth.change_permission"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Explain(ctx, r.other, "blog.add_post")
			return err
		}},
	{name: "ask whether a user is throttled", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, _, err := a.Throttled(ctx, r.other)
			return err
		}},
	{name: "search", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Search(ctx, latchbolt.UserSearch{Text: "o"})
			return err
		}},
	{name: "search in a group", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user", "auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Search(ctx, latchbolt.UserSearch{Group: r.plain})
			return err
		}},
	{name: "search by permission", reads: true, needs: []latchbolt.Perm{"auth.view_user|auth.change_user", "auth.view_permission|auth.change_permission"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Search(ctx, latchbolt.UserSearch{Perm: "blog.add_post"})
			return err
		}},
	{name: "create a user", needs: []latchbolt.Perm{"auth.add_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", Email: "new@example.org", FirstName: "N", Inactive: true})
			return err
		}},
	{name: "create a user with a password", needs: []latchbolt.Perm{"auth.add_user", "auth.set_password"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", SetPassword: true, Password: goodPassword})
			return err
		}},
	{name: "create a user in a group", needs: []latchbolt.Perm{"auth.add_user", "auth.change_user", "auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", NoPassword: true, Groups: []latchbolt.GroupID{r.plain}})
			return err
		}},
	{name: "create a user in a group with permissions", needs: []latchbolt.Perm{"auth.add_user", "auth.change_user", "auth.view_group|auth.change_group", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", NoPassword: true, Groups: []latchbolt.GroupID{r.power}})
			return err
		}},
	{name: "create staff", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", NoPassword: true, Staff: true})
			return err
		}},
	{name: "create a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateUser(ctx, latchbolt.NewUser{Username: "new", NoPassword: true, Superuser: true})
			return err
		}},
	{name: "rename a user", needs: []latchbolt.Perm{"auth.change_user"}, do: update1(theOther, latchbolt.UserChange{Username: ptr("another")})},
	{name: "change an address", needs: []latchbolt.Perm{"auth.change_user"}, do: update1(theOther, latchbolt.UserChange{Email: ptr("x@example.org")})},
	{name: "change the address of staff", needs: []latchbolt.Perm{"auth.change_user", "blog.add_post"}, do: update1(theAide, latchbolt.UserChange{Email: ptr("x@example.org")})},
	{name: "change a first name", needs: []latchbolt.Perm{"auth.change_user"}, do: update1(theOther, latchbolt.UserChange{FirstName: ptr("X")})},
	{name: "change a last name", needs: []latchbolt.Perm{"auth.change_user"}, do: update1(theOther, latchbolt.UserChange{LastName: ptr("X")})},
	{name: "deactivate", needs: []latchbolt.Perm{"auth.change_user"}, do: update1(theOther, latchbolt.UserChange{Inactive: ptr(true)})},
	{name: "make staff", super: true, do: update1(theOther, latchbolt.UserChange{Staff: ptr(true)})},
	{name: "unmake staff", super: true, do: update1(theAide, latchbolt.UserChange{Staff: ptr(false)})},
	{name: "make a superuser", super: true, do: update1(theOther, latchbolt.UserChange{Superuser: ptr(true)})},
	{name: "make oneself a superuser", super: true, do: update1(oneself, latchbolt.UserChange{Superuser: ptr(true)})},
	{name: "deactivate oneself", super: true, do: update1(oneself, latchbolt.UserChange{Inactive: ptr(true)})},
	{name: "change a superuser's name", super: true, do: update1(theBoss, latchbolt.UserChange{FirstName: ptr("X")})},
	{name: "change a superuser's address", super: true, do: update1(theBoss, latchbolt.UserChange{Email: ptr("x@example.org")})},
	{name: "put into a group", needs: []latchbolt.Perm{"auth.change_user", "auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.AddToGroup(ctx, r.other, r.plain)
		}},
	{name: "put into a group with permissions", needs: []latchbolt.Perm{"auth.change_user", "auth.view_group|auth.change_group", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.AddToGroup(ctx, r.other, r.power)
		}},
	{name: "put into a group with a permission for one object", needs: []latchbolt.Perm{"auth.change_user", "auth.view_group|auth.change_group", "blog.view_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.AddToGroup(ctx, r.other, r.one)
		}},
	{name: "set the groups", needs: []latchbolt.Perm{"auth.change_user", "auth.view_group|auth.change_group", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.UpdateUser(ctx, r.other, latchbolt.UserChange{Groups: &[]latchbolt.GroupID{r.power, r.plain}})
		}},
	{name: "enter a group oneself", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.AddToGroup(ctx, r.actor, r.plain)
		}},
	{name: "set the own groups", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.UpdateUser(ctx, r.actor, latchbolt.UserChange{Groups: &[]latchbolt.GroupID{r.plain}})
		}},
	{name: "grant what one has", needs: []latchbolt.Perm{"auth.change_user", "auth.view_permission|auth.change_permission", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetUserPermissions(ctx, r.other, []latchbolt.PermissionID{r.permID("blog.add_post")}, "")
		}},
	{name: "revoke", needs: []latchbolt.Perm{"auth.change_user", "auth.view_permission|auth.change_permission"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetUserPermissions(ctx, r.aide, nil, "")
		}},
	{name: "grant to oneself", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetUserPermissions(ctx, r.actor, []latchbolt.PermissionID{r.permID("blog.view_post")}, "")
		}},
	{name: "unlock", needs: []latchbolt.Perm{"auth.change_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.Unlock(ctx, r.other)
		}},
	{name: "unlock a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error { return a.Unlock(ctx, r.boss) }},
	{name: "see what goes with a user", reads: true, needs: []latchbolt.Perm{"auth.delete_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.WhatGoesWith(ctx, r.other)
			return err
		}},
	{name: "delete a user", needs: []latchbolt.Perm{"auth.delete_user"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.DeleteUser(ctx, r.other, "")
		}},
	{name: "delete a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.DeleteUser(ctx, r.boss, "")
		}},
	{name: "delete oneself", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.DeleteUser(ctx, r.actor, "")
		}},
	{name: "set a password", needs: []latchbolt.Perm{"auth.set_password"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetPassword(ctx, r.other, goodPassword+"!")
		}},
	{name: "set the password of staff", needs: []latchbolt.Perm{"auth.set_password", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetPassword(ctx, r.aide, goodPassword+"!")
		}},
	{name: "set the password of a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetPassword(ctx, r.boss, goodPassword+"!")
		}},
	{name: "see a reset link", needs: []latchbolt.Perm{"auth.set_password"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.ResetToken(ctx, r.other)
			return err
		}},
	{name: "see a reset link for staff", needs: []latchbolt.Perm{"auth.set_password", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.ResetToken(ctx, r.aide)
			return err
		}},
	{name: "see a reset link for a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.ResetToken(ctx, r.boss)
			return err
		}},
	{name: "send a reset link", needs: []latchbolt.Perm{"auth.send_reset"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SendReset(ctx, r.other, func(context.Context, latchbolt.User, latchbolt.Token) error { return nil })
		}},
	{name: "send a superuser a reset link", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SendReset(ctx, r.boss, func(context.Context, latchbolt.User, latchbolt.Token) error { return nil })
		}},
	{name: "look at a group", reads: true, needs: []latchbolt.Perm{"auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, _, err := a.Group(ctx, r.plain)
			return err
		}},
	{name: "list groups", reads: true, needs: []latchbolt.Perm{"auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Groups(ctx)
			return err
		}},
	{name: "look at a group's grants", reads: true, needs: []latchbolt.Perm{"auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, _, err := a.GroupGrants(ctx, r.plain)
			return err
		}},
	{name: "create a group", needs: []latchbolt.Perm{"auth.add_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.CreateGroup(ctx, "new")
			return err
		}},
	{name: "rename a group", needs: []latchbolt.Perm{"auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.RenameGroup(ctx, r.plain, "renamed", "")
		}},
	{name: "grant to a group what one has", needs: []latchbolt.Perm{"auth.change_group", "blog.add_post"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetGroupPermissions(ctx, r.plain, []latchbolt.PermissionID{r.permID("blog.add_post")}, "")
		}},
	{name: "revoke from a group", needs: []latchbolt.Perm{"auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.SetGroupPermissions(ctx, r.power, nil, "")
		}},
	{name: "delete a group", needs: []latchbolt.Perm{"auth.delete_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.DeleteGroup(ctx, r.power, "")
		}},
	{name: "list permissions", reads: true, needs: []latchbolt.Perm{"auth.view_permission|auth.change_permission|auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Permissions(ctx)
			return err
		}},
	{name: "see which groups have a permission", reads: true, needs: []latchbolt.Perm{"auth.view_permission|auth.change_permission", "auth.view_group|auth.change_group"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Holders(ctx, "blog.add_post")
			return err
		}},
	{name: "list a user's sessions", reads: true, needs: []latchbolt.Perm{"auth.view_session|auth.delete_session"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Sessions(ctx, r.other)
			return err
		}},
	{name: "list a superuser's sessions", reads: true, super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Sessions(ctx, r.boss)
			return err
		}},
	{name: "list all sessions", reads: true, needs: []latchbolt.Perm{"auth.view_session|auth.delete_session"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.AllSessions(ctx, nil, 10)
			return err
		}},
	{name: "end a session", needs: []latchbolt.Perm{"auth.delete_session"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.EndSession(ctx, r.other, r.sess)
		}},
	{name: "end all sessions of a user", needs: []latchbolt.Perm{"auth.delete_session"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.EndSessions(ctx, r.other)
		}},
	{name: "end all sessions of a superuser", super: true,
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			return a.EndSessions(ctx, r.boss)
		}},
	{name: "read the audit trail", reads: true, needs: []latchbolt.Perm{"auth.view_audit"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			for _, err := range a.Audit(ctx, latchbolt.AuditQuery{}) {
				return err
			}
			return errors.New("the trail is empty")
		}},
	{name: "see the figures", reads: true, needs: []latchbolt.Perm{"auth.view_audit"},
		do: func(ctx context.Context, r *staffRoom, a latchbolt.Administrator) error {
			_, err := a.Overview(ctx, 7)
			return err
		}},
}

// TestCVE_2019_19118_2016_2048_2026_4277_2026_4292 does each thing that an administrator can do with exactly the
// permissions it takes, with all others, and with each one alone: forged requests for what was
// not granted change nothing, whatever they name. The control is that each is done with the right ones.
func TestCVE_2019_19118_2016_2048_2026_4277_2026_4292(t *testing.T) {
	for _, act := range staffActs {
		t.Run(strings.ReplaceAll(act.name, " ", "_"), func(t *testing.T) {
			refuse := func(r *staffRoom, why string, perms []latchbolt.Perm) {
				r.holding(perms...)
				before := r.digest()
				err := act.do(t.Context(), r, r.as(r.actor))
				want(t, why, err, latchbolt.ErrForbidden)
				if r.digest() != before {
					t.Errorf("%s: something was changed", why)
				}
			}
			r := newStaffRoom(t)
			all := append(slices.Clone(r.perms), "blog.add_post", "blog.view_post")
			if act.super {
				refuse(r, "with every permission but no superuser", all)
			}
			for _, p := range all {
				if len(act.needs) == 1 && slices.Contains(strings.Split(string(act.needs[0]), "|"), string(p)) {
					continue
				}
				refuse(r, "with "+string(p)+" alone", []latchbolt.Perm{p})
			}
			refuse(r, "with nothing", nil)
			for _, n := range act.needs {
				without := slices.DeleteFunc(slices.Clone(all), func(p latchbolt.Perm) bool {
					return slices.Contains(strings.Split(string(n), "|"), string(p))
				})
				refuse(r, "with all but "+string(n), without)
			}
			for _, alternatives := range combinations(act.needs) {
				r := newStaffRoom(t)
				by := r.actor
				if r.holding(alternatives...); act.super {
					by = r.chief
				}
				before := r.digest()
				must(t, fmt.Sprint("with ", alternatives), act.do(t.Context(), r, r.as(by)))
				changed := r.digest() != before
				if act.name != "unlock" && act.name != "unlock a superuser" && changed == act.reads {
					t.Errorf("with %v: changed something: %v", alternatives, changed)
				}
			}
		})
	}
}

// combinations are all ways to have one of each need.
func combinations(needs []latchbolt.Perm) [][]latchbolt.Perm {
	all := [][]latchbolt.Perm{nil}
	for _, n := range needs {
		var next [][]latchbolt.Perm
		for _, have := range all {
			for p := range strings.SplitSeq(string(n), "|") {
				next = append(next, append(slices.Clone(have), latchbolt.Perm(p)))
			}
		}
		all = next
	}
	return all
}

// TestAdministratorMethods makes sure that no method is left out of the rules or of the acts above.
func TestAdministratorMethods(t *testing.T) {
	ruled := make(map[string]bool)
	for _, r := range latchbolt.AdminRules() {
		ruled[r.Method] = true
	}
	// By the rule of another method.
	for _, m := range []string{"AddToGroup", "RemoveFromGroup", "AuditPage", "CountMembers", "Check", "UserByName"} {
		ruled[m] = true
	}
	typ := reflect.TypeFor[latchbolt.Administrator]()
	if typ.NumMethod() < 30 {
		t.Errorf("only %d methods", typ.NumMethod())
	}
	for m := range typ.Methods() {
		if !ruled[m.Name] {
			t.Errorf("%s has no rule", m.Name)
		}
	}
	for name := range ruled {
		if _, ok := typ.MethodByName(name); !ok {
			t.Errorf("there is a rule for %s, which does not exist", name)
		}
	}
}

// TestForgedFields posts every combination of fields as each kind of staff. Who may change users gets through what is theirs to
// change and nothing else.
func TestForgedFields(t *testing.T) {
	r := newStaffRoom(t)
	ctx := t.Context()
	fields := []struct {
		name string
		set  func(*latchbolt.UserChange)
		ok   bool // with auth.change_user and auth.view_group
	}{
		{"username", func(c *latchbolt.UserChange) { c.Username = ptr("forged") }, true},
		{"email", func(c *latchbolt.UserChange) { c.Email = ptr("forged@example.org") }, true},
		{"first_name", func(c *latchbolt.UserChange) { c.FirstName = ptr("forged") }, true},
		{"is_active", func(c *latchbolt.UserChange) { c.Inactive = ptr(true) }, true},
		{"is_staff", func(c *latchbolt.UserChange) { c.Staff = ptr(true) }, false},
		{"is_superuser", func(c *latchbolt.UserChange) { c.Superuser = ptr(true) }, false},
		{"groups", func(c *latchbolt.UserChange) { c.Groups = &[]latchbolt.GroupID{r.power} }, false},
	}
	holders := append(slices.Clone(r.perms), "")
	for _, p := range holders {
		r.holding(slices.DeleteFunc([]latchbolt.Perm{p}, func(p latchbolt.Perm) bool { return p == "" })...)
		for mask := range 1 << len(fields) {
			var c latchbolt.UserChange
			allowed := p == "auth.change_user"
			for i, f := range fields {
				if mask&(1<<i) != 0 {
					f.set(&c)
					allowed = allowed && f.ok
				}
			}
			if allowed {
				continue // TestCVE_2019_19118… does these
			}
			before := r.digest()
			err := r.as(r.actor).UpdateUser(ctx, r.other, c)
			if !errors.Is(err, latchbolt.ErrForbidden) {
				t.Errorf("with %q, fields %07b: %v", p, mask, err)
			}
			if r.digest() != before {
				t.Fatalf("with %q, fields %07b: something was changed", p, mask)
			}
		}
	}
}

// TestRightsOfNow withdraws what an administrator could do, under an Administrator that is at hand already.
func TestRightsOfNow(t *testing.T) {
	for what, withdraw := range map[string]func(*staffRoom) error{
		"the permission": func(r *staffRoom) error { return r.eng.Revoke(t.Context(), r.actor, "auth.change_user") },
		"being staff": func(r *staffRoom) error {
			return r.eng.UpdateUser(t.Context(), r.actor, set(func(u *latchbolt.User) { u.Staff = false }))
		},
		"being active": func(r *staffRoom) error { return r.eng.UpdateUser(t.Context(), r.actor, set(deactivated)) },
		"being there":  func(r *staffRoom) error { return r.eng.DeleteUser(t.Context(), r.actor) },
	} {
		r := newStaffRoom(t)
		r.holding("auth.change_user")
		a := r.as(r.actor)
		must(t, "before", a.UpdateUser(t.Context(), r.other, latchbolt.UserChange{FirstName: ptr("1")}))
		must(t, "withdrawing", withdraw(r))
		want(t, "without "+what, a.UpdateUser(t.Context(), r.other, latchbolt.UserChange{FirstName: ptr("2")}), latchbolt.ErrForbidden)
	}
	r := newStaffRoom(t)
	other := newStaffRoom(t)
	for _, id := range []latchbolt.Identity{{}, must2(other.eng.Identity(t.Context(), other.boss))} {
		_, err := r.eng.As(id).Groups(t.Context())
		want(t, "nobody, or somebody of elsewhere", err, latchbolt.ErrForbidden)
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRefusalsAreRecorded also makes sure that nobody can flood the trail with them.
func TestRefusalsAreRecorded(t *testing.T) {
	r := newStaffRoom(t)
	a := r.as(r.actor)
	want(t, "deleting", a.DeleteUser(t.Context(), r.other, ""), latchbolt.ErrForbidden)
	entries := trail(t, r.eng, latchbolt.AuditQuery{Action: latchbolt.ActionForbidden})
	if len(entries) != 1 || entries[0].Actor != r.actor || entries[0].User != r.other || !entries[0].Failed ||
		!strings.Contains(entries[0].Detail, "DeleteUser") || !strings.Contains(entries[0].Detail, "auth.delete_user") {
		t.Errorf("got %+v", entries)
	}
	for range 500 {
		want(t, "deleting", a.DeleteUser(t.Context(), r.other, ""), latchbolt.ErrForbidden)
	}
	if n := len(trail(t, r.eng, latchbolt.AuditQuery{Action: latchbolt.ActionForbidden})); n != 60 {
		t.Errorf("%d refusals were recorded", n)
	}
	r.holding("auth.change_user")
	must(t, "updating", a.UpdateUser(t.Context(), r.other, latchbolt.UserChange{FirstName: ptr("X")}))
	done := trail(t, r.eng, latchbolt.AuditQuery{Action: latchbolt.ActionUserUpdate})
	if len(done) != 1 || done[0].Actor != r.actor || done[0].Detail != "first_name" {
		t.Errorf("got %+v", done)
	}
}

// TestNothingIsTold makes sure that who may not do something is not told whether it could be done.
func TestNothingIsTold(t *testing.T) {
	r := newStaffRoom(t)
	const nobody = 99999
	for _, act := range staffActs {
		forged := *r
		forged.other, forged.aide, forged.boss, forged.plain, forged.power, forged.one = nobody, nobody, nobody, nobody, nobody, nobody
		if strings.Contains(act.name, "oneself") || strings.Contains(act.name, "own groups") {
			continue
		}
		there, gone := act.do(t.Context(), r, r.as(r.actor)), act.do(t.Context(), &forged, r.as(r.actor))
		if fmt.Sprint(there) != fmt.Sprint(gone) {
			t.Errorf("%s: %v and %v", act.name, there, gone)
		}
	}
}

// TestStaleChange makes sure that a change decided upon another state is refused.
func TestStaleChange(t *testing.T) {
	r := newStaffRoom(t)
	ctx, a := t.Context(), r.as(r.boss)
	_, v, err := a.User(ctx, r.other)
	must(t, "user", err)
	must(t, "first", a.UpdateUser(ctx, r.other, latchbolt.UserChange{FirstName: ptr("First"), If: v}))
	want(t, "second", a.UpdateUser(ctx, r.other, latchbolt.UserChange{LastName: ptr("Second"), If: v}), latchbolt.ErrConflict)
	want(t, "deleting", a.DeleteUser(ctx, r.other, v), latchbolt.ErrConflict)
	_, gv, err := a.Group(ctx, r.plain)
	must(t, "group", err)
	must(t, "renaming", a.RenameGroup(ctx, r.plain, "the first", gv))
	want(t, "renaming", a.RenameGroup(ctx, r.plain, "the second", gv), latchbolt.ErrConflict)
	want(t, "deleting", a.DeleteGroup(ctx, r.plain, gv), latchbolt.ErrConflict)
	_, pv, err := a.GroupGrants(ctx, r.plain)
	must(t, "grants", err)
	post := []latchbolt.PermissionID{r.permID("blog.add_post")}
	must(t, "granting", a.SetGroupPermissions(ctx, r.plain, post, pv))
	want(t, "granting", a.SetGroupPermissions(ctx, r.plain, nil, pv), latchbolt.ErrConflict)
	_, uv, err := a.UserGrants(ctx, r.other)
	must(t, "grants", err)
	must(t, "granting", a.SetUserPermissions(ctx, r.other, post, uv))
	want(t, "granting", a.SetUserPermissions(ctx, r.other, nil, uv), latchbolt.ErrConflict)
}

// TestLastSuperuser makes sure that superusers cannot lock everybody out either.
func TestLastSuperuserAdministers(t *testing.T) {
	r := newStaffRoom(t)
	a := r.as(r.boss)
	must(t, "deleting the other", a.DeleteUser(t.Context(), r.chief, ""))
	want(t, "deactivating", a.UpdateUser(t.Context(), r.boss, latchbolt.UserChange{Inactive: ptr(true)}), latchbolt.ErrLastSuperuser)
	want(t, "demoting", a.UpdateUser(t.Context(), r.boss, latchbolt.UserChange{Superuser: ptr(false)}), latchbolt.ErrLastSuperuser)
	want(t, "deleting", a.DeleteUser(t.Context(), r.boss, ""), latchbolt.ErrLastSuperuser)
}

// TestProjection makes sure that groups are shown only to those who may see groups.
func TestProjection(t *testing.T) {
	r := newStaffRoom(t)
	must(t, "entering", r.eng.AddToGroup(t.Context(), r.other, r.plain))
	for _, see := range []bool{false, true} {
		r.holding("auth.view_user", "auth.delete_user")
		if see {
			r.holding("auth.view_user", "auth.delete_user", "auth.view_group")
		}
		a := r.as(r.actor)
		u, _, err := a.User(t.Context(), r.other)
		must(t, "user", err)
		page, err := a.Search(t.Context(), latchbolt.UserSearch{Text: "other"})
		must(t, "search", err)
		goes, err := a.WhatGoesWith(t.Context(), r.other)
		must(t, "goes", err)
		if len(u.Groups) > 0 != see || len(page.Users) != 1 || len(page.Users[0].Groups) > 0 != see || len(goes.Groups) > 0 != see || goes.GroupCount != 1 || goes.Sessions != 1 {
			t.Errorf("may see groups: %v: %+v, %+v, %+v", see, u, page.Users, goes)
		}
	}
}

const rulesBegin, rulesEnd = "<!-- rules: made by TestAdminRulesAreDocumented -->\n", "<!-- end of rules -->\n"

// TestAdminRulesAreDocumented compares the table in docs/CONSOLE.md with the rules in force. Run it with
// LATCHBOLT_UPDATE_DOCS=1 to write the table.
func TestAdminRulesAreDocumented(t *testing.T) {
	var want bytes.Buffer
	want.WriteString(rulesBegin + "| method | field | needs | and |\n|---|---|---|---|\n")
	for _, r := range latchbolt.AdminRules() {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", r.Method, r.Field, r.Needs, r.Limits)
	}
	want.WriteString(rulesEnd)
	const path = "docs/CONSOLE.md"
	data, err := os.ReadFile(path)
	must(t, "reading", err)
	from, to := bytes.Index(data, []byte(rulesBegin)), bytes.Index(data, []byte(rulesEnd))
	if from < 0 || to < from {
		t.Fatalf("%s has no place for the rules", path)
	}
	to += len(rulesEnd)
	if bytes.Equal(data[from:to], want.Bytes()) {
		return
	}
	if os.Getenv("LATCHBOLT_UPDATE_DOCS") == "" {
		t.Fatalf("%s does not list the rules in force; run this test with LATCHBOLT_UPDATE_DOCS=1", path)
	}
	must(t, "writing", os.WriteFile(path, slices.Concat(data[:from], want.Bytes(), data[to:]), 0o644))
}
