package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// A tour is one run of the program. What differs from Django's answers is counted and shown.
type tour struct {
	out     io.Writer
	eng     *latchbolt.Engine
	in      *input
	differs int
}

// run makes a file from the dump at path, or from the built-in one, and shows what it can do.
func run(ctx context.Context, out io.Writer, path string) error {
	in, err := open(path)
	if err != nil {
		return err
	}
	defer in.dump.Close()
	return take(ctx, out, in)
}

// take does so for an input that is open.
func take(ctx context.Context, out io.Writer, in *input) (err error) {
	dir, err := os.MkdirTemp("", "latchbolt-quickstart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	fmt.Fprintf(out, "Taking over %s\n", in.name)
	eng, report, err := django.Create(ctx, filepath.Join(dir, "app.db"), in.dump, nil, &in.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	t := &tour{out: out, eng: eng, in: in}
	t.showReport(&report)
	steps := []func(context.Context) error{t.passwordsKnown, t.permissionsKnown, t.sessionsKnown, t.oneUser, t.size}
	if in.answers == nil {
		steps = []func(context.Context) error{t.algorithms, t.anyUser, t.size}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if t.differs > 0 {
		return fmt.Errorf("%d answers differ from Django's", t.differs)
	}
	return nil
}

func (t *tour) title(text string)               { fmt.Fprintf(t.out, "\n%s\n", text) }
func (t *tour) line(format string, args ...any) { fmt.Fprintf(t.out, "  "+format+"\n", args...) }

// compare counts an answer that is not Django's.
func (t *tour) compare(what string, got, want any) bool {
	if got == want {
		return true
	}
	t.differs++
	t.line("DIFFERENT: %s: %v here, %v in Django", what, got, want)
	return false
}

func (t *tour) showReport(r *django.Report) {
	t.line("%d users, %d groups, %d permissions on %d models, %d sessions", r.Users, r.Groups, r.Permissions, r.ContentTypes, r.Sessions)
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		t.line("%3d × %s", r.Reasons[reason], reason)
	}
}

// algorithms says how passwords are kept.
func (t *tour) algorithms(ctx context.Context) error {
	t.title("Passwords")
	count := make(map[string]int)
	for u, err := range t.eng.Users(ctx, latchbolt.UserQuery{}) {
		if err != nil {
			return err
		}
		count[algorithm(u.Password)]++
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		t.line("%-14s %d users", name, count[name])
	}
	return nil
}

// algorithm names how a password is kept.
func algorithm(h latchbolt.HashInfo) string {
	switch {
	case !h.Usable:
		return "none"
	case h.Algorithm == "":
		return "unknown"
	}
	return h.Algorithm
}

// anyUser shows a session and permissions of the first active user of a dump whose passwords are not known.
func (t *tour) anyUser(ctx context.Context) error {
	var id latchbolt.Identity
	for u, err := range t.eng.Users(ctx, latchbolt.UserQuery{Active: latchbolt.Only, Limit: 1}) {
		if err != nil {
			return err
		}
		// Programs with a login page call Authenticate here.
		if id, err = t.eng.Identity(ctx, u.ID); err != nil {
			return err
		}
	}
	if id.Anonymous() {
		t.title("There is no active user")
		return nil
	}
	t.title("A session of " + id.String())
	s, err := t.eng.Login(ctx, id, latchbolt.LoginOptions{})
	if err != nil {
		return err
	}
	if id, err = t.eng.SessionUser(ctx, s.Token); err != nil {
		return err
	}
	t.line("the token belongs to %v until %s", id, s.Expires.Format("2006-01-02"))
	perms, err := t.eng.Perms(ctx, id, latchbolt.FromAll)
	if err != nil {
		return err
	}
	t.line("%d permissions", len(perms))
	for _, p := range perms[:min(len(perms), 5)] {
		if err := t.explain(ctx, id, p); err != nil {
			return err
		}
	}
	if err := t.eng.EndSessions(ctx, id.ID()); err != nil {
		return err
	}
	_, err = t.eng.SessionUser(ctx, s.Token)
	return t.ended("after EndSessions the token answers", err)
}

// ended shows that a session is no more.
func (t *tour) ended(what string, err error) error {
	if !errors.Is(err, latchbolt.ErrNoSession) {
		return fmt.Errorf("%s %v, not %q", what, err, latchbolt.ErrNoSession)
	}
	t.line("%s: %v", what, err)
	return nil
}

// explain shows a permission with its reason.
func (t *tour) explain(ctx context.Context, id latchbolt.Identity, p latchbolt.Perm) error {
	d, err := t.eng.Explain(ctx, id, p)
	if err != nil {
		return err
	}
	why := string(d.Reason)
	for i, g := range d.Via {
		if i > 0 {
			why += ","
		}
		switch s := g.Subject.(type) {
		case latchbolt.UserID:
			why += " to the user"
		case latchbolt.GroupID:
			group, err := t.eng.Group(ctx, s)
			if err != nil {
				return err
			}
			why += " to the group " + group.Name
		}
	}
	answer := "no "
	if d.Allowed {
		answer = "yes"
	}
	t.line("%s  %-24s %s", answer, p, why)
	return nil
}

func (t *tour) size(context.Context) error {
	stats, err := t.eng.Stats()
	if err != nil {
		return err
	}
	t.title("All of it is in one file")
	t.line("%d KiB, of which %d KiB are free", stats.FileSize>>10, stats.FreeBytes>>10)
	return nil
}
