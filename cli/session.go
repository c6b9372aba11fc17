package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// sessionCommand has the verbs about sessions.
func (t *tree) sessionCommand() *cobra.Command {
	return group("session", "List, show and end sessions",
		t.sessionList(),
		t.sessionShow(),
		t.sessionRevoke(),
		t.sessionRevokeAll(),
		t.sessionClearExpired(),
	)
}

func (t *tree) sessionList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [USER]",
		Short: "List the living sessions of a user, or of all users",
		Long: "List the living sessions of a user, the last used first, or those of all users. Anonymous sessions are not listed.\n" +
			"With --json every session is a document on a line of its own. An identifier is not the token: it proves nothing.",
		Example: "  latchbolt session list ada\n  latchbolt session list --json",
		Args:    wantArgs(cobra.MaximumNArgs(1)),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
			l := t.newList("ID", "USERNAME", "CREATED", "LAST SEEN", "EXPIRES", "ADDRESS", "AGENT", "NAME")
			var err error
			if len(args) == 1 {
				var u *latchbolt.User
				if u, err = findUser(ctx, eng, args[0]); err == nil {
					err = l.addSessions(ctx, eng, u)
				}
				return errors.Join(l.end(), err)
			}
			for u, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
				if err == nil {
					err = l.addSessions(ctx, eng, u)
				}
				if errors.Is(err, latchbolt.ErrNotFound) {
					continue // deleted meanwhile
				}
				if err != nil {
					return errors.Join(l.end(), err)
				}
			}
			return l.end()
		}),
	}
}

// addSessions lists the sessions of one user.
func (l *list) addSessions(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User) error {
	for s, err := range eng.Sessions(ctx, u.ID) {
		if err != nil {
			return err
		}
		v := viewSession(&s, u.Username)
		if err := l.add(v, v.ID, v.Username, when(s.Created), when(s.LastSeen), when(s.Deadline()), v.Addr, v.Agent, v.Name); err != nil {
			return err
		}
	}
	return nil
}

// A tokenFlag is the token of a session from standard input, in place of a session's identifier.
type tokenFlag struct{ stdin bool }

func (f *tokenFlag) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.stdin, "token-stdin", false, "the session is that of the token on standard input")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		n := 1
		if f.stdin {
			n = 0
		}
		return wantArgs(cobra.ExactArgs(n))(cmd, args)
	}
}

// find returns the session that is meant: with its token if that was given.
func (f *tokenFlag) find(ctx context.Context, t *tree, eng *latchbolt.Engine, args []string) (latchbolt.Session, error) {
	if !f.stdin {
		id, err := latchbolt.ParseSessionID(args[0])
		if err != nil {
			return latchbolt.Session{}, err
		}
		return eng.SessionByID(ctx, id)
	}
	text, err := t.readSecret()
	if err != nil {
		return latchbolt.Session{}, err
	}
	token, err := latchbolt.ParseToken(strings.TrimSpace(text))
	if err != nil {
		return latchbolt.Session{}, err
	}
	return eng.Session(ctx, token)
}

// A sessionShown is a session and whose it is. The keys are part of the contract.
type sessionShown struct {
	User    *userRow    `json:"user"` // null for an anonymous session
	Expires *string     `json:"expires"`
	Session sessionView `json:"session"`
}

// showSession shows a session and its user.
func showSession(ctx context.Context, eng *latchbolt.Engine, s *latchbolt.Session) (*sessionShown, error) {
	v := &sessionShown{Expires: stamp(s.Deadline())}
	if s.User == 0 {
		v.Session = viewSession(s, "")
		return v, nil
	}
	u, err := eng.User(ctx, s.User)
	if errors.Is(err, latchbolt.ErrNotFound) {
		return nil, latchbolt.ErrNoSession // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	row, err := newGroupNames(eng).row(ctx, u)
	v.User, v.Session = &row, viewSession(s, u.Username)
	return v, err
}

func (t *tree) sessionShow() *cobra.Command {
	var from tokenFlag
	cmd := &cobra.Command{
		Use:   "show {ID | --token-stdin}",
		Short: "Show a living session and whose it is",
		Long: "Show a living session and whose it is, by the identifier that session list shows or by the token that the client has,\n" +
			"which is read from standard input. Session keys that were taken over from Django are tokens too. The exit code is 3 if\n" +
			"there is no such session, or if it is over. Looking at a session does not count as using it.",
		Example: "  printf %s \"$COOKIE\" | latchbolt session show --token-stdin --json\n  latchbolt session show 5Yk0pV3nSx2cT8uQwRzA1g",
	}
	from.add(cmd)
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		s, err := from.find(ctx, t, eng, args)
		if err != nil {
			return err
		}
		v, err := showSession(ctx, eng, &s)
		if err != nil {
			return err
		}
		return t.print(v, func(w io.Writer) {
			user := "anonymous"
			if v.User != nil {
				user = fmt.Sprintf("%s (id %d)", v.User.Username, v.User.ID)
			}
			table(w, nil, [][]string{{"id", v.Session.ID}, {"user", user}, {"backend", s.Backend}, {"created", when(s.Created)},
				{"last seen", when(s.LastSeen)}, {"expires", when(s.Deadline())}, {"address", v.Session.Addr},
				{"agent", s.Client.Agent}, {"name", s.Name}, {"remember", yesNo(s.Remember)}})
		})
	})
	return cmd
}

func (t *tree) sessionRevoke() *cobra.Command {
	var from tokenFlag
	cmd := &cobra.Command{
		Use:   "revoke {ID | --token-stdin}",
		Short: "End one session",
		Long: "End a session at once, by the identifier that session list shows or by the token that the client has. The exit code\n" +
			"is 3 if there is no such session, or if it is over.",
		Example: "  latchbolt session revoke 5Yk0pV3nSx2cT8uQwRzA1g\n  printf %s \"$COOKIE\" | latchbolt session revoke --token-stdin",
	}
	from.add(cmd)
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		s, err := from.find(ctx, t, eng, args)
		if err != nil {
			return err
		}
		v, err := showSession(ctx, eng, &s)
		if err != nil {
			return err
		}
		end := eng.EndSession(ctx, s.ID)
		if errors.Is(end, latchbolt.ErrUnsupported) && from.stdin {
			end = eng.Logout(ctx, s.Token)
		}
		if end != nil {
			return end
		}
		user := "an anonymous visitor"
		if v.User != nil {
			user = "user " + clean(v.User.Username)
		}
		return t.done(v, "Session %s of %s ended.", v.Session.ID, user)
	})
	return cmd
}

// A revokedView counts what was ended.
type revokedView struct {
	Users    int  `json:"users"`    // whose sessions were ended
	Sessions *int `json:"sessions"` // null if the store of sessions cannot count them
}

func (t *tree) sessionRevokeAll() *cobra.Command {
	var everybody bool
	cmd := &cobra.Command{
		Use:   "revoke-all {USER | --everybody}",
		Short: "End all sessions of a user, or of everybody",
		Long: "End all sessions of a user and void the one-time tokens issued to it. With --everybody that is done for every user\n" +
			"who has a session, one after the other. Anonymous sessions stay.",
		Example: "  latchbolt session revoke-all ada\n  latchbolt session revoke-all --everybody --yes",
	}
	cmd.Flags().BoolVar(&everybody, "everybody", false, "end the sessions of all users")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		n := 1
		if everybody {
			n = 0
		}
		return wantArgs(cobra.ExactArgs(n))(cmd, args)
	}
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		v := revokedView{Sessions: new(int)}
		if everybody {
			if err := t.confirm(ctx, "End all sessions of all users"); err != nil {
				return err
			}
			for u, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
				if err == nil {
					err = v.end(ctx, eng, u, false)
				}
				if err != nil {
					return err
				}
			}
			return t.done(v, "All sessions of %d users ended.", v.Users)
		}
		u, err := findUser(ctx, eng, args[0])
		if err != nil {
			return err
		}
		if err := t.confirm(ctx, "End all sessions of user %s", clean(u.Username)); err != nil {
			return err
		}
		if err := v.end(ctx, eng, u, true); err != nil {
			return err
		}
		return t.done(v, "All sessions of user %s ended.", clean(u.Username))
	})
	return cmd
}

// end ends the sessions of one user: in any case, or only if there are some. Those of a backend that is not known here, as
// when the program of the file has its own, are not listed, but ended.
func (v *revokedView) end(ctx context.Context, eng *latchbolt.Engine, u *latchbolt.User, always bool) error {
	all, err := viewSessions(ctx, eng, u)
	if err == nil && all != nil && len(all) == 0 && !always {
		there := false
		err = eng.View(ctx, func(tx *latchbolt.ReadTx) (err error) {
			there, err = tx.HasSessions(u.ID)
			return err
		})
		if err == nil && !there {
			return nil
		}
	}
	if err == nil {
		err = eng.EndSessions(ctx, u.ID)
	}
	if errors.Is(err, latchbolt.ErrNotFound) && !always {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	v.Users++
	if all == nil {
		v.Sessions = nil
	}
	if v.Sessions != nil {
		*v.Sessions += len(all)
	}
	return nil
}

// A sweptView tells what was removed.
type sweptView struct {
	Before  int `json:"sessions_before"` // stored in the file, dead or alive
	After   int `json:"sessions_after"`
	Tokens  int `json:"tokens"`  // one-time tokens
	Audit   int `json:"audit"`   // entries of the audit trail
	Outside int `json:"outside"` // sessions in a store outside the file
}

const sweepHelp = "Remove what expired: sessions, one-time tokens and old entries of the audit trail. What expired is refused anyway; this\n" +
	"makes room. Sessions go by the hour: those that expired in the present hour stay until it is over. A running program does\n" +
	"this by itself every hour, unless it is set up otherwise."

func (t *tree) sessionClearExpired() *cobra.Command {
	return &cobra.Command{
		Use:     "clear-expired",
		Short:   "Remove expired sessions",
		Long:    sweepHelp,
		Example: "  latchbolt session clear-expired",
		Args:    wantArgs(cobra.NoArgs),
		RunE:    t.onEngine(t.sweep),
	}
}

// clearSessions is session clear-expired under the name that Django gives it.
func (t *tree) clearSessions() *cobra.Command {
	return &cobra.Command{
		Use:     "clearsessions",
		Short:   "Remove expired sessions",
		Long:    sweepHelp,
		Example: "  latchbolt clearsessions",
		Args:    wantArgs(cobra.NoArgs),
		RunE:    t.onEngine(t.sweep),
	}
}

func (t *tree) sweep(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
	count := func() (n int, err error) {
		err = eng.View(ctx, func(tx *latchbolt.ReadTx) error {
			n, err = tx.SessionCount()
			return err
		})
		return n, err
	}
	before, err := count()
	if err != nil {
		return err
	}
	r, err := eng.Sweep(ctx)
	if err != nil {
		return err
	}
	after, err := count()
	if err != nil {
		return err
	}
	v := sweptView{before, after, r.Tokens, r.Audit, r.Other}
	if r.Other > 0 {
		t.note("Removed outside the file: %d sessions.", r.Other)
	}
	return t.done(v, "Sessions: %d before, %d now. Removed: %d one-time tokens, %d entries of the audit trail.",
		before, after, r.Tokens, r.Audit)
}
