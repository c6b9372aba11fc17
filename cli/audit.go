package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// An auditView is an entry of the audit trail as the commands show it. The keys are part of the contract.
type auditView struct {
	Time     string            `json:"time"` // to the nanosecond: no two entries have the same
	Action   string            `json:"action"`
	Failed   bool              `json:"failed"`
	Actor    *latchbolt.UserID `json:"actor"`
	User     *latchbolt.UserID `json:"user"`
	Username string            `json:"username"`
	Addr     string            `json:"addr"`
	Detail   string            `json:"detail"`
}

func viewAudit(a *latchbolt.AuditEntry) auditView {
	v := auditView{Time: a.Time.UTC().Format(time.RFC3339Nano), Action: a.Action, Failed: a.Failed, Username: a.Username, Detail: a.Detail}
	if a.Actor != 0 {
		v.Actor = &a.Actor
	}
	if a.User != 0 {
		v.User = &a.User
	}
	if a.Addr.IsValid() {
		v.Addr = a.Addr.String()
	}
	return v
}

// An auditFlags is what audit was asked.
type auditFlags struct {
	since, user, action string
	failed, follow      bool
	limit               int
}

func (t *tree) auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show the audit trail",
		Long: "Show who did what to whom, the oldest first. With --json there is one document a line.\n\n" +
			"--user takes a name or, as id:42, the identifier of a user, who may be deleted. It also finds the attempts to log in with the name of the\n" +
			"user, or with a name that no user has.\n" +
			"--since takes a time as in 2026-11-27T10:00:00Z, or how long ago as in 90m or 7d.",
		Example: "  latchbolt audit --since 24h\n  latchbolt audit --user ada --failed\n  latchbolt audit --follow --json",
		Args:    wantArgs(cobra.NoArgs),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "only what happened since a `time`")
	fl.StringVar(&f.user, "user", "", "only what a `user` did or what was done to it")
	fl.StringVar(&f.action, "action", "", "only one `action`, or all that begin with it if it ends in a dot")
	fl.BoolVar(&f.failed, "failed", false, "only what failed")
	fl.IntVar(&f.limit, "limit", 0, "at most so many entries, the newest; 0 is all")
	fl.BoolVarP(&f.follow, "follow", "f", false, "go on with new entries as they come, until interrupted")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		if f.limit < 0 {
			return usagef("--limit cannot be negative")
		}
		q, err := f.query(ctx, eng)
		if err != nil {
			return err
		}
		err = t.audit(ctx, eng, &f, q)
		if f.follow && ctx.Err() != nil {
			return nil // that is how it ends
		}
		return err
	})
	return cmd
}

// An auditQuery is what to look for in the trail.
type auditQuery struct {
	latchbolt.AuditQuery                             // all but User: of an attempt to log in, only the name is known that was typed
	user                 latchbolt.UserID            // 0: everybody
	name                 string                      // if not empty, of a user who does not exist
	typed                map[string]latchbolt.UserID // who has the names that were typed
}

// maxTyped is how many names are remembered.
const maxTyped = 10_000

// match reports whether an entry is about the user that was asked for, or by it.
func (q *auditQuery) match(ctx context.Context, eng *latchbolt.Engine, a *latchbolt.AuditEntry) (bool, error) {
	switch {
	case q.name != "":
		return a.Username == q.name, nil
	case q.user == 0 || q.user == a.User || q.user == a.Actor:
		return true, nil
	case a.Action != latchbolt.ActionLoginFailed || a.User != 0:
		return false, nil
	}
	id, known := q.typed[a.Username]
	if !known {
		u, err := eng.UserByName(ctx, a.Username)
		switch {
		case err == nil:
			id = u.ID
		case !errors.Is(err, latchbolt.ErrNotFound) && !errors.Is(err, latchbolt.ErrInvalid):
			return false, err
		}
		if len(q.typed) >= maxTyped {
			clear(q.typed)
		}
		q.typed[a.Username] = id
	}
	return id == q.user, nil
}

func (f *auditFlags) query(ctx context.Context, eng *latchbolt.Engine) (q auditQuery, err error) {
	q.Action, q.typed = f.action, make(map[string]latchbolt.UserID)
	if f.failed {
		q.Failed = latchbolt.Only
	}
	if f.since != "" {
		if q.Since, err = parseSince(f.since, eng.Now()); err != nil {
			return q, err
		}
	}
	if f.user == "" {
		return q, nil
	}
	if digits, ok := strings.CutPrefix(f.user, "id:"); ok {
		id, err := parseID(digits)
		q.user = latchbolt.UserID(id)
		return q, err
	}
	u, err := eng.UserByName(ctx, f.user)
	switch {
	case err == nil:
		q.user = u.ID
	case errors.Is(err, latchbolt.ErrNotFound), errors.Is(err, latchbolt.ErrInvalid):
		q.name, err = f.user, nil
	}
	return q, err
}

// parseSince reads a time, or how long before now one was.
func parseSince(s string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.DateOnly, s); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok && err != nil {
		if ago, err = time.ParseDuration(days + "h"); err == nil {
			if ago > 100*365*time.Hour {
				return time.Time{}, usagef("--since: %q is too long ago", s)
			}
			ago *= 24
		}
	}
	if err != nil || ago < 0 {
		return time.Time{}, usagef("--since: %q is neither a time such as 2026-11-27T10:00:00Z nor a duration such as 90m or 7d", s)
	}
	return now.Add(-ago), nil
}

// followEvery is how often audit looks for new entries.
const followEvery = 250 * time.Millisecond

// audit prints what there is and, if it shall follow, what comes.
func (t *tree) audit(ctx context.Context, eng *latchbolt.Engine, f *auditFlags, q auditQuery) error {
	started := eng.Now()
	last, n, err := t.auditOnce(ctx, eng, q, f.limit)
	if err != nil {
		return err
	}
	if !f.follow {
		if n == 0 && q.name != "" {
			return withHint(notFoundf("no user is called %q, and nobody tried to log in with that name", q.name), "For a deleted user give id:NUMBER.")
		}
		return nil
	}
	if last.IsZero() {
		last = latest(q.Since, started).Add(-1)
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		q.Since = last.Add(1) // no two entries have the same time
		next, n, err := t.auditOnce(ctx, eng, q, 0)
		if err != nil {
			return err
		}
		if n > 0 {
			last = next
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// auditOnce prints the entries that are there, and returns the time of the newest and how many they are.
func (t *tree) auditOnce(ctx context.Context, eng *latchbolt.Engine, q auditQuery, limit int) (newest time.Time, n int, err error) {
	var found []*latchbolt.AuditEntry
	for a, err := range eng.Audit(ctx, q.AuditQuery) {
		if err != nil {
			return newest, 0, err
		}
		if ok, err := q.match(ctx, eng, a); err != nil {
			return newest, 0, err
		} else if !ok {
			continue
		}
		if found = append(found, a); len(found) == limit {
			break
		}
	}
	slices.Reverse(found)
	out := bufio.NewWriter(t.front.Stdout())
	for _, a := range found {
		if t.json {
			err = encodeJSON(out, viewAudit(a))
		} else {
			_, err = fmt.Fprintln(out, t.auditLine(a))
		}
		if err != nil {
			return newest, 0, err
		}
		newest = a.Time
	}
	return newest, len(found), out.Flush()
}

// auditLine is an entry for people.
func (t *tree) auditLine(a *latchbolt.AuditEntry) string {
	line := fmt.Sprintf("%s  %-16s", when(a.Time), clean(a.Action))
	who := clean(a.Username)
	if who == "" && a.User != 0 {
		who = fmt.Sprintf("user %d", a.User)
	}
	for _, part := range []struct{ before, text string }{
		{"", who}, {"from ", addrOf(a)}, {"by ", actorOf(a)}, {"", clean(a.Detail)},
	} {
		if part.text != "" {
			line += "  " + part.before + part.text
		}
	}
	if a.Failed {
		line += "  failed"
		return t.paint(red, line)
	}
	return strings.TrimRight(line, " ")
}

func addrOf(a *latchbolt.AuditEntry) string {
	if !a.Addr.IsValid() {
		return ""
	}
	return a.Addr.String()
}

func actorOf(a *latchbolt.AuditEntry) string {
	if a.Actor == 0 || a.Actor == a.User {
		return ""
	}
	return fmt.Sprintf("user %d", a.Actor)
}
