package django

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/latchbolt-go/latchbolt"
)

// Import takes a dump over into an engine whose file has never held anything, in one transaction: all
// of it or nothing. The error is [ErrNotFresh] for another file, [ErrNeedsCaseSensitive] if two names differ in
// case only and the file does not tell them apart, a [DumpError] if the dump cannot be read or contradicts
// itself, and wraps that of the context or of a reader. It may be ErrIndeterminate, as with every
// change.
//
// Primary keys are kept; records without one get the next that is free. The superuser flag and everything else is
// taken over as it is, also if nobody is left who is one. Cookies keep working if they are sent to
// [latchbolt.ParseToken] as they come.
func Import(ctx context.Context, eng *latchbolt.Engine, dump io.Reader, opts *ImportOptions) (Report, error) {
	if opts == nil {
		opts = &ImportOptions{}
	}
	// A file that cannot take it should not cost the reading of the dump.
	if err := eng.View(ctx, fresh); err != nil {
		return Report{}, err
	}
	p, err := read(ctx, dump, opts, eng.Now())
	if err != nil {
		return Report{}, err
	}
	return p.store(ctx, eng)
}

func fresh(tx *latchbolt.ReadTx) error {
	unused, err := tx.Unused()
	if err == nil && !unused {
		err = ErrNotFresh
	}
	return err
}

// errDryRun undoes a dry run.
var errDryRun = errors.New("django: dry run")

// store makes one transaction of a plan.
func (p *plan) store(ctx context.Context, eng *latchbolt.Engine) (Report, error) {
	var report Report
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		s := &storing{plan: p, ctx: ctx, tx: tx, report: p.report.clone()}
		s.report.CaseSensitive = eng.CaseSensitive()
		if err := s.run(); err != nil {
			return err
		}
		report = s.report
		if p.opts.DryRun {
			return errDryRun
		}
		return nil
	})
	switch {
	case errors.Is(err, errDryRun):
		return report, nil
	case errors.Is(err, ErrNotFresh):
		return Report{}, err
	case err != nil:
		return Report{}, fmt.Errorf("django: importing: %w", err)
	}
	return report, nil
}

// A storing is one run of the transaction.
type storing struct {
	*plan
	ctx      context.Context
	tx       *latchbolt.Tx
	report   Report
	done     int
	permIDs  []latchbolt.PermissionID
	groupIDs []latchbolt.GroupID
	userIDs  []latchbolt.UserID
}

func (s *storing) run() error {
	if err := fresh(&s.tx.ReadTx); err != nil {
		return err
	}
	for _, step := range []func() error{s.storePermissions, s.storeGroups, s.storeUsers, s.storeSessions} {
		if err := step(); err != nil {
			return err
		}
	}
	s.progress(Storing, s.done, s.total())
	return s.tx.Record(latchbolt.AuditEntry{Action: "import", Detail: fmt.Sprintf("Django: %d users, %d groups, %d permissions, %d sessions",
		s.report.Users, s.report.Groups, s.report.Permissions, s.report.Sessions)})
}

func (s *storing) total() int {
	return len(s.permissions) + len(s.groups) + len(s.users) + len(s.sessions)
}

// step counts a record, and ends the transaction if the context is done.
func (s *storing) step() error {
	if s.done++; s.done%progressEvery != 0 {
		return nil
	}
	s.progress(Storing, s.done, s.total())
	return s.ctx.Err()
}

func (s *storing) storePermissions() error {
	for i := range s.permissions {
		m := &s.permissions[i]
		perm := m.perm
		if err := s.tx.InsertPermission(&perm); err != nil {
			return m.refused(err)
		}
		s.permIDs = append(s.permIDs, perm.ID)
		s.report.Permissions++
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *storing) storeGroups() error {
	for i := range s.groups {
		g := &s.groups[i]
		row := latchbolt.Group{ID: latchbolt.GroupID(g.id), Name: g.name}
		if err := s.tx.InsertGroup(&row); err != nil {
			return g.refused(err)
		}
		if err := s.grant(row.ID, g.has); err != nil {
			return err
		}
		s.groupIDs = append(s.groupIDs, row.ID)
		s.report.Groups++
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *storing) grant(to latchbolt.Subject, perms []int) error {
	for _, i := range perms {
		if err := s.tx.GrantID(to, s.permIDs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *storing) storeUsers() error {
	for i := range s.users {
		u := &s.users[i]
		row := u.user
		row.ID = latchbolt.UserID(u.id)
		row.Groups = make([]latchbolt.GroupID, len(u.in))
		for j, g := range u.in {
			row.Groups[j] = s.groupIDs[g]
		}
		if err := s.tx.InsertBroughtUser(&row, u.hash); err != nil {
			return s.userRefused(u, err)
		}
		if err := s.grant(row.ID, u.has); err != nil {
			return err
		}
		s.userIDs = append(s.userIDs, row.ID)
		s.report.Users++
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// userRefused says why a user cannot be stored, with the place in the dump.
func (s *storing) userRefused(u *user, err error) error {
	var field *latchbolt.FieldError
	if !errors.As(err, &field) || field.Field != "username" || field.Code != "unique" {
		return u.refused(err)
	}
	other, lookErr := s.tx.UserByName(u.user.Username)
	if lookErr != nil {
		return lookErr
	}
	name, _ := latchbolt.NormalizeUsername(u.user.Username)
	if other.Username == name {
		return u.errorf("username", "is that of another user once both are in Unicode form NFKC: %s; rename one of them in Django", quote(name))
	}
	return fmt.Errorf("%w: %w", ErrNeedsCaseSensitive,
		u.errorf("username", "differs in case only from another user's: %s and %s", quote(u.user.Username), quote(other.Username)))
}

// refused puts the place in the dump before what the engine says of a value.
func (p place) refused(err error) error {
	var field *latchbolt.FieldError
	if errors.As(err, &field) {
		return fmt.Errorf("%w (%w)", p.errorf(field.Field, "is refused: %s", field.Msg), err)
	}
	return err
}

func (s *storing) storeSessions() error {
	for i := range s.sessions {
		row := &s.sessions[i]
		b := row.brought
		if row.id != 0 {
			b.User = s.userIDs[row.user]
		}
		err := s.tx.InsertSession(row.key, b)
		var field *latchbolt.FieldError
		switch {
		case err == nil:
			s.report.Sessions++
		case errors.Is(err, latchbolt.ErrExists):
			return row.errorf("pk", "occurs twice")
		case errors.As(err, &field):
			s.report.skip(row.note(row.label, sessionReasons[field.Field]))
		default:
			return err
		}
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// sessionReasons are the reasons behind the fields that the engine refuses of a session.
var sessionReasons = map[string]string{
	"session_key": reasonKey,
	"expire_date": reasonExpired,
	"backend":     reasonBackend,
	"session":     reasonValues,
}
