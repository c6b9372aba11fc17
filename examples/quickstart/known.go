package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/latchbolt-go/latchbolt"
)

// passwordsKnown logs everybody in with the password that is known.
func (t *tour) passwordsKnown(ctx context.Context) error {
	t.title("Logging everybody in with the password they have")
	answers := t.in.answers.Users
	got, errs := make([]latchbolt.Identity, len(answers)), make([]error, len(answers))
	next := make(chan int)
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range next {
				got[i], errs[i] = t.eng.Authenticate(ctx, latchbolt.Password{Username: answers[i].Username, Password: *answers[i].Password})
			}
		})
	}
	for i, a := range answers {
		if a.Password != nil {
			next <- i
		}
	}
	close(next)
	wait.Wait()
	in, all, sum := make(map[string]int), make(map[string]int), 0
	for i, a := range answers {
		if errs[i] != nil && !errors.Is(errs[i], latchbolt.ErrCredentials) {
			return errs[i]
		}
		name := a.Algorithm
		if name == "" {
			name = "none or unknown"
		}
		all[name]++
		if !got[i].Anonymous() {
			in[name]++
			sum++
		}
		if why, ok := onPurpose[a.Username]; ok {
			t.line("%s cannot log in, on purpose: %s", a.Username, why)
		} else {
			t.compare(a.Username+" logs in", !got[i].Anonymous(), a.LogsIn)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.line("%-15s %2d of %2d", name, in[name], all[name])
	}
	t.line("%d of %d logged in; the others are inactive, have no password that could match, or stand above", sum, len(answers))
	return nil
}

// permissionsKnown asks for every permission of every user.
func (t *tour) permissionsKnown(ctx context.Context) error {
	t.title("Permissions")
	n := 0
	for _, a := range t.in.answers.Users {
		u, err := t.eng.UserByName(ctx, a.Username)
		if err != nil {
			return err
		}
		// An inactive user has no identity, and has_perm is false.
		id, err := t.eng.Identity(ctx, u.ID)
		if err != nil && !errors.Is(err, latchbolt.ErrCredentials) {
			return err
		}
		for _, p := range t.in.answers.Perms {
			ok, err := t.eng.HasPerm(ctx, id, latchbolt.Perm(p))
			if err != nil {
				return err
			}
			t.compare(fmt.Sprintf("%s has %q", a.Username, p), ok, slices.Contains(a.Perms, p))
			n++
		}
	}
	t.line("%d answers of has_perm compared with Django's", n)
	for _, ask := range []struct {
		name string
		perm latchbolt.Perm
	}{
		{"alice", "catalog.add_book"}, {"alice", "auth.view_user"}, {"alice", "loans.view_loan"},
		{"alice", "loans.waive_fine"}, {"alice", "catalog.no_such_perm"}, {"yvonne", "loans.waive_fine"},
	} {
		u, err := t.eng.UserByName(ctx, ask.name)
		if err != nil {
			return err
		}
		id, err := t.eng.Identity(ctx, u.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "  %-7s", ask.name)
		if err := t.explain(ctx, id, ask.perm); err != nil {
			return err
		}
	}
	return nil
}

// sessionsKnown shows that the cookies of Django still answer.
func (t *tour) sessionsKnown(ctx context.Context) error {
	t.title("Cookies that Django gave out")
	for _, key := range slices.Sorted(maps.Keys(t.in.answers.Sessions)) {
		want := t.in.answers.Sessions[key]
		token, err := latchbolt.ParseToken(key)
		if err != nil {
			return err
		}
		id, err := t.eng.SessionUser(ctx, token)
		if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
			return err
		}
		if !t.compare("sessionid="+key[:4]+"…", id.Username(), want) || want == "" {
			continue
		}
		values, err := t.eng.Values(ctx, token)
		if err != nil {
			return err
		}
		t.line("sessionid=%s… is still %s, with %d values of its own", key[:4], id.Username(), values.Len())
	}
	t.line("%d cookies compared with Django's answers", len(t.in.answers.Sessions))
	return nil
}

// oneUser follows one user through login, session and change of password.
func (t *tour) oneUser(ctx context.Context) error {
	const name, password, better = "alice", "wonderland-1865", "down the rabbit-hole, again"
	t.title("A day of " + name)
	id, err := t.eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: password})
	if err != nil {
		return err
	}
	desk, err := t.eng.Login(ctx, id, latchbolt.LoginOptions{Name: "desk"})
	if err != nil {
		return err
	}
	phone, err := t.eng.Login(ctx, id, latchbolt.LoginOptions{Name: "phone"})
	if err != nil {
		return err
	}
	for _, s := range []latchbolt.Session{desk, phone} {
		if id, err = t.eng.SessionUser(ctx, s.Token); err != nil {
			return err
		}
		t.line("%-5s the token prints as %v and belongs to %v", s.Name, s.Token, id)
	}
	renewed, err := t.eng.ChangePassword(ctx, desk.Token, password, better)
	if err != nil {
		return err
	}
	if id, err = t.eng.SessionUser(ctx, renewed.Token); err != nil {
		return err
	}
	t.line("desk  changed the password and goes on as %v under a new token", id)
	_, err = t.eng.SessionUser(ctx, phone.Token)
	return t.ended("phone is logged out by that", err)
}
