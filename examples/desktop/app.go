package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/cli"
)

// An app is the notebook: a folder with the accounts, the notes and the token of the session.
type app struct {
	dir string
	in  *bufio.Reader
	out io.Writer // what was asked for
	ask io.Writer // prompts
}

func (a *app) accounts() string { return filepath.Join(a.dir, "accounts.db") }
func (a *app) notes() string    { return filepath.Join(a.dir, "notes.txt") }
func (a *app) token() string    { return filepath.Join(a.dir, "session") }

// config is how the program and its "auth" commands open the accounts. One terminal program, one person: a session that lives for
// 30 days and ends when it was not used for a week.
func config() *latchbolt.Config {
	return &latchbolt.Config{SessionLifetime: 30 * 24 * time.Hour, SessionIdle: 7 * 24 * time.Hour}
}

// run makes the commands of the program, with latchbolt's own beneath "auth".
func run(ctx context.Context, args []string) int {
	a := &app{in: bufio.NewReader(os.Stdin), out: os.Stdout, ask: os.Stderr}
	base, err := os.UserConfigDir()
	if err != nil {
		base = "."
	}
	a.dir = filepath.Join(base, "notebook")
	if dir := os.Getenv("NOTEBOOK"); dir != "" {
		a.dir = dir
	}
	root := &cobra.Command{Use: "notebook", Short: "Notes behind a password", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signedIn(cmd.Context(), a.show) }}
	add := &cobra.Command{Use: "add TEXT", Short: "Add a note", Args: cobra.ExactArgs(1), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.signedIn(cmd.Context(), func(ctx context.Context, eng *latchbolt.Engine, id latchbolt.Identity) error {
				return a.add(ctx, eng, id, args[0])
			})
		}}
	var all bool
	lock := &cobra.Command{Use: "lock", Short: "End the session", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.lock(cmd.Context(), all) }}
	lock.Flags().BoolVar(&all, "all", false, "end the sessions on other terminals too")
	root.AddCommand(add, lock, cli.New(&cli.Options{Use: "auth", Path: a.accounts(), Config: config()}))
	root.SetArgs(args)
	return cli.Run(ctx, root)
}

// open opens the accounts, and makes the folder and the owner on the first run.
func (a *app) open(ctx context.Context) (*latchbolt.Engine, error) {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	cfg := config()
	cfg.Create = true
	eng, err := latchbolt.Open(a.accounts(), cfg)
	if err != nil {
		return nil, err
	}
	var fresh bool
	err = eng.View(ctx, func(tx *latchbolt.ReadTx) (err error) { fresh, err = tx.Unused(); return err })
	if err == nil && fresh {
		err = a.setUp(ctx, eng)
	}
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	return eng, nil
}

// setUp makes the permissions and the owner. There is no account, and no password, before somebody chose one.
func (a *app) setUp(ctx context.Context, eng *latchbolt.Engine) error {
	fmt.Fprintln(a.ask, "A new notebook. Who are you?")
	name, err := a.line("User name: ")
	if err != nil {
		return err
	}
	u := &latchbolt.User{Username: name}
	if err := latchbolt.ValidateUsername(name); err != nil {
		return err
	}
	password, err := a.password("New password: ")
	if err != nil {
		return err
	}
	if err := eng.ValidatePassword(password, u); err != nil {
		return err
	}
	h, err := eng.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return eng.Update(ctx, func(tx *latchbolt.Tx) error {
		if err := tx.Define(latchbolt.Permission{App: "notes", Model: "note", Codename: "add_note", Name: "Can add notes"}); err != nil {
			return err
		}
		owner := *u // the function may run twice
		if err := tx.InsertUser(&owner, h); err != nil {
			return err
		}
		return tx.Grant(owner.ID, "notes.add_note")
	})
}

// signedIn calls fn as the user of the session, after a login if there is none.
func (a *app) signedIn(ctx context.Context, fn func(context.Context, *latchbolt.Engine, latchbolt.Identity) error) (err error) {
	eng, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	id, err := a.resume(ctx, eng)
	if errors.Is(err, latchbolt.ErrNoSession) {
		id, err = a.login(ctx, eng)
	}
	if err != nil {
		return err
	}
	return fn(ctx, eng, id)
}

// resume returns the user of the session whose token is in the file.
func (a *app) resume(ctx context.Context, eng *latchbolt.Engine) (latchbolt.Identity, error) {
	t, err := a.readToken()
	if err != nil {
		return latchbolt.Identity{}, err
	}
	return eng.SessionUser(ctx, t)
}

func (a *app) readToken() (latchbolt.Token, error) {
	b, err := os.ReadFile(a.token())
	if errors.Is(err, os.ErrNotExist) {
		return latchbolt.Token{}, latchbolt.ErrNoSession
	}
	if err != nil {
		return latchbolt.Token{}, err
	}
	t, err := latchbolt.ParseToken(strings.TrimSpace(string(b)))
	if err != nil {
		return latchbolt.Token{}, latchbolt.ErrNoSession // not ours: sign in again
	}
	return t, nil
}

// login asks for name and password and keeps the token of the new session.
func (a *app) login(ctx context.Context, eng *latchbolt.Engine) (latchbolt.Identity, error) {
	name, err := a.line("User name: ")
	if err != nil {
		return latchbolt.Identity{}, err
	}
	password, err := a.password("Password: ")
	if err != nil {
		return latchbolt.Identity{}, err
	}
	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: name, Password: password})
	if err != nil {
		return latchbolt.Identity{}, err
	}
	host, _ := os.Hostname() // only to tell sessions apart
	s, err := eng.Login(ctx, id, latchbolt.LoginOptions{Client: latchbolt.Client{Agent: "notebook on " + host}})
	if err != nil {
		return latchbolt.Identity{}, err
	}
	return id, a.writeToken(s.Token)
}

// writeToken puts the token into a file that nobody else can read, in one step, never through somebody else's file.
func (a *app) writeToken(t latchbolt.Token) error {
	f, err := os.CreateTemp(a.dir, ".session-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, t.Reveal()+"\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), a.token())
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// lock ends the session: in the accounts first, so that a copy of the token is worth nothing, then the file.
func (a *app) lock(ctx context.Context, all bool) (err error) {
	eng, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	t, err := a.readToken()
	if err != nil {
		return err
	}
	id, err := eng.SessionUser(ctx, t)
	switch {
	case err != nil:
	case all:
		err = eng.EndSessions(ctx, id.ID())
	default:
		err = eng.Logout(ctx, t)
	}
	if err != nil && !errors.Is(err, latchbolt.ErrNoSession) {
		return err
	}
	if err := os.Remove(a.token()); err != nil {
		return err
	}
	fmt.Fprintln(a.out, "Locked.")
	return nil
}

// show prints the notes.
func (a *app) show(_ context.Context, _ *latchbolt.Engine, id latchbolt.Identity) error {
	b, err := os.ReadFile(a.notes())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fmt.Fprintf(a.out, "Notes of %s:\n%s", id.Username(), b)
	return nil
}

// add appends a note, if the user may.
func (a *app) add(ctx context.Context, eng *latchbolt.Engine, id latchbolt.Identity, text string) error {
	ok, err := eng.HasPerm(ctx, id, "notes.add_note")
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s may not add notes", id.Username())
	}
	f, err := os.OpenFile(a.notes(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "- %q\n", text)
	return errors.Join(err, f.Close())
}

func (a *app) line(prompt string) (string, error) {
	fmt.Fprint(a.ask, prompt)
	s, err := a.in.ReadString('\n')
	if err != nil && s == "" {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimRight(s, "\r\n"), nil
}

// password asks without echo at a terminal; elsewhere it is a line of standard input.
func (a *app) password(prompt string) (string, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return a.line(prompt)
	}
	fmt.Fprint(a.ask, prompt)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(a.ask)
	return string(b), err
}
