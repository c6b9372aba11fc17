package latchbolt

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Sessions returns the living sessions of a user, the most recently used first.
func (a Administrator) Sessions(ctx context.Context, id UserID) (all []Session, err error) {
	err = a.read(ctx, &ruleSessions, id, func(by *acting) error {
		if _, err := by.user(&ruleSessions, id); err != nil || a.e.vault != nil {
			return err
		}
		all, err = by.tx.livingOf(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.e.vault != nil {
		return a.e.vault.list(ctx, id)
	}
	return all, nil
}

// A SessionPage is a part of all sessions.
type SessionPage struct {
	Sessions []UserSession
	Next     *SessionID // where the next page begins, or nil at the end
}

// A UserSession is a session with the name of its user.
type UserSession struct {
	Session
	Username string // empty for who may not see users
}

// AllSessions returns living sessions of users, those that can live longest first: at most limit of them, from after
// on; nil begins at the beginning. It looks at a bounded number of sessions, so a page may have
// fewer, or none, and yet a Next. Sessions of superusers are shown to superusers only. A limit of less than 1 is 1. The error is
// [ErrUnsupported] if sessions do not live in the file.
func (a Administrator) AllSessions(ctx context.Context, after *SessionID, limit int) (page SessionPage, err error) {
	limit = max(limit, 1)
	err = a.read(ctx, &ruleAllSessions, 0, func(by *acting) error {
		page = SessionPage{}
		if err := by.allow(&ruleAllSessions, nil); err != nil {
			return err
		}
		if a.e.vault != nil {
			return ErrUnsupported
		}
		named := by.allow(&ruleUser, nil) == nil
		var before []byte
		if after != nil {
			before = after[:]
		}
		seen := newBudget(0)
		for en, err := range by.tx.scanBack(bucketSession, nil, before) {
			if err != nil {
				return err
			}
			if len(page.Sessions) == limit || seen.spent(ctx) {
				return ctx.Err()
			}
			sel := selector(en.key)
			page.Next = (*SessionID)(&sel)
			s, err := decodeSession(sel, &en.body)
			if err != nil {
				return err
			}
			if s.user == 0 || by.tx.over(sel, s) {
				continue
			}
			u, err := by.tx.user(s.user)
			if errors.Is(err, ErrNotFound) || err == nil && !by.mayShow(s, u) {
				continue
			}
			if err != nil {
				return err
			}
			shown := UserSession{Session: s.public(sel)}
			if named {
				shown.Username = u.Username
			}
			page.Sessions = append(page.Sessions, shown)
		}
		page.Next = nil
		return nil
	})
	return page, err
}

// mayShow reports whether a session is alive and of somebody whose sessions may be seen.
func (a *acting) mayShow(s *sessionRecord, u *userRecord) bool {
	return s.generation == u.generation && (!u.Superuser || a.by.Superuser) && a.tx.e.backendNumber(s.backend) >= 0 &&
		!(u.Inactive && !allowsInactive(a.tx.e.backends[a.tx.e.backendNumber(s.backend)]))
}

// EndSession ends one session of a user. One that is not there, or is another user's, is [ErrNotFound].
func (a Administrator) EndSession(ctx context.Context, user UserID, id SessionID) error {
	if a.e.vault != nil {
		return a.endElsewhere(ctx, user, id)
	}
	sel := selector(id)
	ended := []selector{sel}
	return a.change(ctx, &ruleEndSession, user, func(by *acting, tx *Tx) error {
		if _, err := by.user(&ruleEndSession, user); err != nil {
			return err
		}
		s, err := tx.sessionBySelector(sel)
		if err != nil {
			return err
		}
		if s == nil || s.user != user {
			return notFound("session", id.String())
		}
		ended = s.selectors(sel)
		return tx.endSessionAudited(sel, s)
	}, func() denial { return denial{sessions: ended} })
}

// endElsewhere ends a session that is not in the file, so that deciding and ending cannot be one transaction.
func (a Administrator) endElsewhere(ctx context.Context, user UserID, id SessionID) error {
	err := a.read(ctx, &ruleEndSession, user, func(by *acting) error {
		_, err := by.user(&ruleEndSession, user)
		return err
	})
	if err != nil {
		return err
	}
	all, err := a.e.vault.list(ctx, user)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(s Session) bool { return s.ID == id }) {
		return notFound("session", id.String())
	}
	return a.e.vault.end(a.context(ctx), id)
}

// EndSessions ends all sessions of a user and voids its one-time tokens.
func (a Administrator) EndSessions(ctx context.Context, id UserID) error {
	err := a.change(ctx, &ruleEndSessions, id, func(by *acting, tx *Tx) error {
		if _, err := by.user(&ruleEndSessions, id); err != nil {
			return err
		}
		return tx.endSessionsAudited(id)
	}, func() denial { return denial{users: []UserID{id}} })
	if err == nil && a.e.vault != nil {
		a.e.vault.endAll(a.context(ctx), id)
	}
	return err
}

// Audit yields the entries of the audit trail, the newest first; see [Engine.Audit]. Whether the administrator
// may see them is looked up again every few hundred entries.
func (a Administrator) Audit(ctx context.Context, q AuditQuery) iter.Seq2[*AuditEntry, error] {
	return func(yield func(*AuditEntry, error) bool) {
		for more := true; more; {
			var page []*AuditEntry
			var err error
			page, q.Until, more, err = a.AuditPage(ctx, q, pageSize)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// AuditPage returns at most limit entries of the audit trail, the newest first, and whether there may be more, which
// begin with next as the query's Until. It looks at a bounded number of entries, so a page may have fewer, or none, and
// yet more be true. A limit of less than 1 is 1.
func (a Administrator) AuditPage(ctx context.Context, q AuditQuery, limit int) (page []*AuditEntry, next time.Time, more bool, err error) {
	limit = max(limit, 1)
	err = a.read(ctx, &ruleAudit, q.User, func(by *acting) error { return by.allow(&ruleAudit, nil) })
	if err != nil {
		return nil, next, false, err
	}
	a.e.settleLater(ctx)
	var before []byte
	if !q.Until.IsZero() {
		before = auditKey(q.Until)
	}
	for seen := newBudget(0); ; {
		part, from, err := a.e.auditPage(ctx, &q, before)
		if err != nil {
			return nil, next, false, err
		}
		page = append(page, part...)
		if len(page) > limit {
			return page[:limit], page[limit-1].Time, true, nil
		}
		if from == nil {
			return page, next, false, nil
		}
		if before = from; len(page) == limit || seen.spent(ctx) {
			return page, auditTime(before), true, ctx.Err()
		}
	}
}

// An Overview is what a dashboard shows.
type Overview struct {
	Stats Stats

	// Users counts users, Sessions the living sessions of users in the file. MoreUsers and MoreSessions say that
	// counting was given up there.
	Users, Sessions         int
	MoreUsers, MoreSessions bool

	// Days are the logins of days in UTC, the last one today, as far as the audit trail tells. Since is how far back it
	// was read.
	Days  []Day
	Since time.Time
}

// A Day counts logins.
type Day struct {
	Date             time.Time // midnight UTC
	Logins, Failures int
}

// maxOverviewDays is ten years.
const maxOverviewDays = 3660

// Overview returns figures of the file and counts the logins of some days. It reads through the audit trail and
// may take some tenths of a second with many users; keep what it gave for a while. Less than 1 day is 1, and more than 3660 are 3660.
func (a Administrator) Overview(ctx context.Context, days int) (*Overview, error) {
	days = min(max(days, 1), maxOverviewDays)
	o := new(Overview)
	a.e.settleLater(ctx)
	err := a.read(ctx, &ruleOverview, 0, func(by *acting) (err error) {
		*o = Overview{}
		if err := by.allow(&ruleOverview, nil); err != nil {
			return err
		}
		if o.Users, o.MoreUsers, err = by.tx.count(bucketUser); err != nil {
			return err
		}
		if o.Sessions, o.MoreSessions, err = by.tx.countLiving(); err != nil {
			return err
		}
		return by.tx.countLogins(o, days)
	})
	if err != nil {
		return nil, err
	}
	if o.Stats, err = a.e.Stats(); err != nil {
		return nil, err
	}
	return o, nil
}

// countLiving counts the living sessions of users until the time is over, which more says.
func (tx *ReadTx) countLiving() (n int, more bool, err error) {
	seen := newBudget(countBudget)
	for en, err := range tx.scan(bucketSession, nil, nil) {
		if err != nil {
			return n, false, err
		}
		if seen.spent(tx.ctx) {
			return n, true, tx.ctx.Err()
		}
		sel := selector(en.key)
		s, err := decodeSession(sel, &en.body)
		if err != nil {
			return n, false, err
		}
		if s.user != 0 && !tx.over(sel, s) {
			n++
		}
	}
	return n, false, nil
}

// countLogins fills the days of an overview.
func (tx *ReadTx) countLogins(o *Overview, days int) error {
	today := tx.now.UTC().Truncate(24 * time.Hour)
	o.Since = today.AddDate(0, 0, 1-days)
	o.Days = make([]Day, days)
	for i := range o.Days {
		o.Days[i].Date = o.Since.AddDate(0, 0, i)
	}
	seen := newBudget(countBudget)
	for en, err := range tx.scanBack(bucketAudit, nil, nil) {
		if err != nil {
			return err
		}
		entry, err := decodeAudit(en.key, &en.body)
		if err != nil {
			return err
		}
		i := int(entry.Time.Sub(o.Since) / (24 * time.Hour))
		if entry.Time.Before(o.Since) || i >= days {
			return nil
		}
		if seen.spent(tx.ctx) {
			o.Since = entry.Time
			return tx.ctx.Err()
		}
		switch entry.Action {
		case ActionLogin:
			o.Days[i].Logins++
		case ActionLoginFailed:
			o.Days[i].Failures++
		}
	}
	return nil
}
