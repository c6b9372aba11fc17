package faultrun

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// childEnv, if set, makes the test binary the scripted program. It names the folder to work in.
const childEnv = "FAULTRUN_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		// strace counts the calls of each thread by itself.
		runtime.LockOSThread()
		p := &program{dir: dir}
		p.run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func config() *latchbolt.Config {
	return &latchbolt.Config{
		SweepEvery: -1, LockTimeout: time.Second,
		Hashers:    []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}},
		Validators: []latchbolt.Validator{}, HashSlots: 1,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// slow is how long a call may take when the system fails it something.
const slow = 2 * time.Second

// A program runs a script of calls and says on standard output what came of each.
type program struct {
	dir     string
	e       *latchbolt.Engine
	session latchbolt.Token
	token   latchbolt.Token
	user    latchbolt.UserID
	group   latchbolt.GroupID
}

func (p *program) path() string   { return filepath.Join(p.dir, "app.db") }
func (p *program) backup() string { return filepath.Join(p.dir, "backup.db") }

func (p *program) say(what, format string, args ...any) {
	fmt.Println(what, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// A call is one step of the script. It changes one fact, or none that can be asked for.
type call struct {
	name string
	do   func(context.Context) error
	fact string // "" if there is none
	want string // what the fact is afterwards
	// inMemory tells that a failed call may be in force nevertheless, until the file is opened again.
	inMemory bool
}

// run makes every call of the script. Each that fails is tried again until it works.
func (p *program) run() {
	ctx := context.Background()
	if !p.open(true) {
		return
	}
	for _, c := range p.script() {
		if !p.call(ctx, c) {
			return
		}
	}
	if !p.settle(ctx) {
		return
	}
	p.say("facts", "%s", strings.Join(p.facts(p.e), ";"))
	if err := p.timed("Close", func() error { return p.e.Close() }); err != nil {
		p.failed("Close", err)
	}
	p.say("end", "")
}

// tries is how often a call is made before it counts as broken. strace counts the calls of each thread by itself, so the
// n-th one can fail once on every thread that the program comes to run on.
const tries = 12

// open opens the file, which must work as soon as the system lets it.
func (p *program) open(create bool) bool {
	for range tries {
		cfg := config()
		cfg.Create = create
		err := p.timed("Open", func() (err error) { p.e, err = latchbolt.Open(p.path(), cfg); return err })
		if err == nil {
			return true
		}
		p.failed("Open", err)
	}
	p.say("bad", "the file cannot be opened any more")
	return false
}

// timed makes a call and complains if it takes long.
func (p *program) timed(name string, fn func() error) error {
	start := time.Now()
	err := fn()
	if d := time.Since(start); d > slow {
		p.say("slow", "%s took %v", name, d)
	}
	return err
}

// failed says that a call failed, and complains if its error is none that a caller can tell.
func (p *program) failed(name string, err error) {
	if !typed(err) {
		p.say("bad", "%s: %v: neither one of the package's errors nor one of the system's", name, err)
	}
	p.say("failed", "%s: %v", name, err)
}

func typed(err error) bool {
	for _, known := range []error{
		latchbolt.ErrIndeterminate, latchbolt.ErrFull, latchbolt.ErrCorrupt, latchbolt.ErrLocked, latchbolt.ErrReplaced,
		syscall.EIO, syscall.ENOSPC, syscall.ENOMEM,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// settle waits for what is written beside the calls, and opens the file again if that failed so that nobody knows what is in it. Otherwise
// it would do so between a call and what is asked about it.
func (p *program) settle(ctx context.Context) bool {
	_, _, err := p.e.Throttled(ctx, p.user)
	if !errors.Is(err, latchbolt.ErrIndeterminate) {
		return true
	}
	p.failed("a write beside the calls", err)
	return p.again()
}

// again closes the file and opens it.
func (p *program) again() bool {
	if err := p.e.Close(); err != nil {
		p.failed("Close", err)
	}
	return p.open(false)
}

// call makes one call, and looks at what came of it.
func (p *program) call(ctx context.Context, c call) bool {
	if !p.settle(ctx) {
		return false
	}
	before := p.ask(p.e, c.fact)
	for range tries {
		err := p.timed(c.name, func() error { return c.do(ctx) })
		if err != nil {
			p.failed(c.name, err)
		}
		unknown := errors.Is(err, latchbolt.ErrIndeterminate)
		if unknown {
			// It refuses further work until it is opened again, and then it is settled.
			if !p.again() {
				return false
			}
		}
		if c.fact == "" {
			if err == nil {
				return true
			}
			continue
		}
		switch now := p.ask(p.e, c.fact); {
		case err == nil && now == c.want:
			return true
		case err == nil:
			p.say("bad", "%s: is %q after it returned nil, want %q", c.name, now, c.want)
			return false
		case unknown && now == c.want:
			return true // it was made
		case now == before, c.inMemory && now == c.want:
		default:
			p.say("bad", "%s: is %q after an error, was %q", c.name, now, before)
			return false
		}
	}
	p.say("bad", "%s: does not work any more", c.name)
	return false
}

// script returns all calls that change a file.
func (p *program) script() []call {
	u := &latchbolt.User{Username: "ada", Email: "ada@example.org"}
	calls := []call{
		{name: "Define", do: func(ctx context.Context) error {
			return p.e.Define(ctx, latchbolt.Permission{App: "app", Codename: "add", Name: "may add"})
		}, fact: "permissions", want: "1"},
		{name: "CreateUser", do: func(ctx context.Context) error {
			err := p.e.CreateUser(ctx, u, "password")
			p.user = u.ID
			return err
		}, fact: "user", want: "ada@example.org true"},
		{name: "CreateGroup", do: func(ctx context.Context) (err error) {
			p.group, err = p.e.CreateGroup(ctx, "staff")
			return err
		}, fact: "groups", want: "[staff]"},
		{name: "Grant", do: func(ctx context.Context) error { return p.e.Grant(ctx, p.groupID(ctx), "app.add") }},
		{name: "AddToGroup", do: func(ctx context.Context) error { return p.e.AddToGroup(ctx, p.userID(ctx), p.groupID(ctx)) }, fact: "may", want: "true"},
		{name: "Login", do: p.login, fact: "session", want: "alive"},
		{name: "UpdateValues", do: p.setValue},
		{name: "wrong password", do: p.wrong},
		{name: "IssueToken", do: func(ctx context.Context) (err error) {
			p.token, err = p.e.IssueToken(ctx, latchbolt.OneTimeRequest{User: p.userID(ctx), Purpose: "invite"})
			return err
		}},
		{name: "RedeemToken", do: func(ctx context.Context) error { return p.redeem(ctx) }, fact: "token", want: "no", inMemory: true},
		{name: "Backup", do: func(ctx context.Context) error { return p.e.Backup(ctx, p.backup(), true) }},
		{name: "Revoke", do: func(ctx context.Context) error { return p.e.Revoke(ctx, p.groupID(ctx), "app.add") }, fact: "may", want: "false"},
		{name: "Record", do: func(ctx context.Context) error { return p.e.Record(ctx, latchbolt.AuditEntry{Action: "app.thing"}) }},
		{name: "Logout", do: func(ctx context.Context) error { return p.e.Logout(ctx, p.session) }, fact: "session", want: "dead", inMemory: true},
		{name: "Compact", do: func(ctx context.Context) error { _, _, err := p.e.Compact(ctx); return err }},
		{name: "UpdateUser", do: func(ctx context.Context) error {
			return p.e.UpdateUser(ctx, p.userID(ctx), func(u *latchbolt.User) error { u.Email = "countess@example.org"; return nil })
		}, fact: "user", want: "countess@example.org true"},
		{name: "second Login", do: p.login, fact: "session", want: "alive"},
		{name: "SetPassword", do: func(ctx context.Context) error { return p.e.SetPassword(ctx, p.userID(ctx), "other password") },
			fact: "session", want: "dead", inMemory: true},
		{name: "third Login", do: p.login, fact: "session", want: "alive"},
		{name: "EndSessions", do: func(ctx context.Context) error { return p.e.EndSessions(ctx, p.userID(ctx)) }, fact: "session", want: "dead", inMemory: true},
		{name: "deactivate", do: func(ctx context.Context) error {
			return p.e.UpdateUser(ctx, p.userID(ctx), func(u *latchbolt.User) error { u.Inactive = true; return nil })
		}, fact: "user", want: "countess@example.org false"},
		{name: "RemoveFromGroup", do: func(ctx context.Context) error { return p.e.RemoveFromGroup(ctx, p.userID(ctx), p.groupID(ctx)) }},
		{name: "RenameGroup", do: func(ctx context.Context) error { return p.e.RenameGroup(ctx, p.groupID(ctx), "crew") }, fact: "groups", want: "[crew]"},
		{name: "Load", do: p.load, fact: "users", want: "301"},
		{name: "Sweep", do: func(ctx context.Context) error { _, err := p.e.Sweep(ctx); return err }},
		{name: "DeleteGroup", do: func(ctx context.Context) error { return p.e.DeleteGroup(ctx, p.groupID(ctx)) }, fact: "groups", want: "[]"},
		{name: "DeleteUser", do: func(ctx context.Context) error { return p.e.DeleteUser(ctx, p.userID(ctx)) }, fact: "user", want: "absent"},
		{name: "Undefine", do: func(ctx context.Context) error { return p.e.Undefine(ctx, "app.add") }, fact: "permissions", want: "0"},
		{name: "Close and Open", do: p.reopen},
		{name: "Restore", do: p.restore, fact: "user", want: "ada@example.org true"},
		{name: "DeleteUser after Restore", do: func(ctx context.Context) error { return p.e.DeleteUser(ctx, p.userID(ctx)) }, fact: "user", want: "absent"},
	}
	return calls
}

// userID and groupID ask for identifiers, for it may not be known whether they were given out.
func (p *program) userID(ctx context.Context) latchbolt.UserID {
	if u, err := p.e.UserByName(ctx, "ada"); err == nil {
		return u.ID
	}
	return p.user
}

func (p *program) groupID(ctx context.Context) latchbolt.GroupID {
	for g, err := range p.e.Groups(ctx) {
		if err == nil {
			return g.ID
		}
	}
	return p.group
}

func (p *program) login(ctx context.Context) error {
	id, err := p.e.Identity(ctx, p.userID(ctx))
	if err != nil {
		return err
	}
	s, err := p.e.Login(ctx, id, latchbolt.LoginOptions{})
	if err == nil {
		p.session = s.Token
	}
	return err
}

func (p *program) setValue(ctx context.Context) error {
	_, err := p.e.UpdateValues(ctx, p.session, func(v *latchbolt.Values) error { return v.Set("k", "v") })
	return err
}

// wrong makes what is counted and written beside the caller.
func (p *program) wrong(ctx context.Context) error {
	_, err := p.e.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"})
	if errors.Is(err, latchbolt.ErrCredentials) {
		return nil
	}
	return err
}

func (p *program) redeem(ctx context.Context) error {
	err := p.e.RedeemToken(ctx, "invite", p.token, func(*latchbolt.Tx, *latchbolt.User, string) error { return nil })
	if errors.Is(err, latchbolt.ErrToken) {
		return nil // by the attempt before
	}
	return err
}

func (p *program) load(ctx context.Context) error {
	return p.e.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		for i := range 300 {
			if err := l.InsertUser(&latchbolt.User{Username: fmt.Sprintf("loaded%d", i)}, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *program) reopen(context.Context) error {
	if !p.again() {
		return errors.New("the file is gone")
	}
	return nil
}

func (p *program) restore(ctx context.Context) error {
	if err := p.e.Close(); err != nil {
		p.failed("Close", err)
	}
	_, err := latchbolt.Restore(ctx, p.backup(), p.path(), &latchbolt.RestoreOptions{Discard: true})
	if !p.open(false) {
		return errors.New("the file is gone")
	}
	return err
}

var facts = []string{"user", "users", "groups", "permissions", "may", "session", "token"}

func (p *program) facts(e *latchbolt.Engine) (all []string) {
	for _, f := range facts {
		all = append(all, f+" is "+p.ask(e, f))
	}
	return all
}

// ask returns what a file says of a fact.
func (p *program) ask(e *latchbolt.Engine, fact string) string {
	ctx := context.Background()
	text, err := "", error(nil)
	switch fact {
	case "user":
		var u *latchbolt.User
		if u, err = e.UserByName(ctx, "ada"); err == nil {
			text = fmt.Sprint(u.Email, " ", !u.Inactive)
		}
	case "users":
		n := 0
		for _, oneErr := range e.Users(ctx, latchbolt.UserQuery{}) {
			err = errors.Join(err, oneErr)
			n++
		}
		text = fmt.Sprint(n)
	case "groups":
		var names []string
		for g, oneErr := range e.Groups(ctx) {
			if err = errors.Join(err, oneErr); oneErr == nil {
				names = append(names, g.Name)
			}
		}
		text = fmt.Sprint(names)
	case "permissions":
		n := 0
		for _, oneErr := range e.Permissions(ctx) {
			err = errors.Join(err, oneErr)
			n++
		}
		text = fmt.Sprint(n)
	case "may":
		var id latchbolt.Identity
		if id, err = e.Identity(ctx, p.userID(ctx)); err == nil {
			var ok bool
			ok, err = e.HasPerm(ctx, id, "app.add")
			text = fmt.Sprint(ok)
		}
	case "session":
		_, err = e.SessionUser(ctx, p.session)
		text = "alive"
	case "token":
		_, err = e.CheckToken(ctx, "invite", p.token)
		text = "yes"
	}
	switch {
	case errors.Is(err, latchbolt.ErrNoSession):
		return "dead"
	case errors.Is(err, latchbolt.ErrToken):
		return "no"
	case errors.Is(err, latchbolt.ErrNotFound):
		return "absent"
	case errors.Is(err, latchbolt.ErrCredentials):
		return "inactive"
	case err != nil:
		return "error: " + err.Error()
	}
	return text
}

// left returns what is in the folder besides the files of the script, and empty files whose removal failed.
func left(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, infoErr := e.Info()
		if n := e.Name(); n != "app.db" && n != "backup.db" && (infoErr != nil || info.Size() > 0) {
			names = append(names, n)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return names, err
}
