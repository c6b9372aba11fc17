package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// A timeMachine is a clock that starts in the past and is brought to the present while history is made.
type timeMachine struct{ behind atomic.Int64 }

const history = 12 * 24 * time.Hour

func startInThePast(cfg *latchbolt.Config) *timeMachine {
	t := &timeMachine{}
	t.behind.Store(int64(history))
	cfg.Clock = func() time.Time { return time.Now().Add(-time.Duration(t.behind.Load())) }
	return t
}

// goTo sets the clock to a time before now.
func (t *timeMachine) goTo(ago time.Duration) { t.behind.Store(int64(ago)) }

// A person of the demonstration.
type person struct {
	name, first, last string
	groups            []string
	staff, superuser  bool
	devices           []device
	wrong             int // attempts to log in that fail, spread over the days
}

// A device that somebody is signed in on.
type device struct {
	agent, addr string
	ago         time.Duration
	remember    bool
}

// What browsers call themselves; the addresses are those that RFC 5737 sets aside for examples.
const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	safari  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	edge    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0"
	chrome  = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36"
)

const day = 24 * time.Hour

var people = []person{
	{name: "ada", first: "Ada", last: "Lovelace", staff: true, superuser: true, groups: []string{"Writers"},
		devices: []device{{firefox, "192.0.2.10", 9 * time.Hour, false}, {safari, "198.51.100.7", 6 * day, true}, {edge, "203.0.113.20", 2 * day, true}}},
	{name: "grace", first: "Grace", last: "Hopper", staff: true, groups: []string{"Help desk", "Writers"},
		devices: []device{{edge, "192.0.2.11", 5 * time.Hour, false}, {chrome, "198.51.100.44", 4 * day, true}}, wrong: 2},
	{name: "margaret", first: "Margaret", last: "Hamilton", groups: []string{"Moderators", "Writers"},
		devices: []device{{firefox, "192.0.2.12", 3 * time.Hour, false}, {safari, "198.51.100.9", 9 * day, true}}},
	{name: "alan", first: "Alan", last: "Turing", groups: []string{"Writers"}, devices: []device{{firefox, "192.0.2.13", 7 * time.Hour, false}}, wrong: 4},
	{name: "barbara", first: "Barbara", last: "Liskov", groups: []string{"Writers"}, devices: []device{{edge, "192.0.2.14", 3 * day, true}}},
	{name: "edsger", first: "Edsger", last: "Dijkstra", groups: []string{"Writers"}, devices: []device{{firefox, "192.0.2.15", 7 * day, true}}},
	{name: "donald", first: "Donald", last: "Knuth", groups: []string{"Writers"}, devices: []device{{firefox, "192.0.2.16", 8 * day, true}}, wrong: 1},
	{name: "frances", first: "Frances", last: "Allen", groups: []string{"Writers", "Moderators"}, devices: []device{{chrome, "192.0.2.17", 10 * day, true}}},
	{name: "tony", first: "Tony", last: "Hoare", devices: []device{{chrome, "192.0.2.18", day, true}}}, // may read only
	{name: "ken", first: "Ken", last: "Thompson"}, // left the team
}

// Notices of the demonstration; author is an index of people.
var notices = []struct {
	author      int
	ago         time.Duration
	title, text string
}{
	{2, 9*day - 2*time.Hour, "Flight software review", "We go through the priority displays on Thursday at ten, in the large room.\n\nBring printouts; the projector is still being repaired."},
	{6, 7*day - 3*time.Hour, "Reward for misprints", "I pay $2.56 for each mistake that somebody finds first. Please put them into the tray beside my door."},
	{1, 5*day - 1*time.Hour, "A moth in the relay", "It is taped into the log book. If you find another one, please do the same."},
	{3, 3*day - 4*time.Hour, "Chess on Friday", "Two boards are free from five o'clock. Beginners are welcome."},
	{4, 2*day - 2*time.Hour, "Kitchen", "Whoever replaces the coffee machine: the new one has to keep every promise that the old one made."},
	{0, 6 * time.Hour, "Welcome to the board", "Here is what the team should know. Everybody in “Writers” can add a notice, change it and take it down again.\n\nModerators can change all of them."},
}

// A happening is part of the history.
type happening struct {
	ago time.Duration
	do  func() error
}

// fillDemo makes people, their history and some notices. All have the one password that is made for this run.
func (a *app) fillDemo(ctx context.Context, clock *timeMachine) error {
	a.demoPassword = rand.Text()
	ids, err := a.makePeople(ctx)
	if err != nil {
		return err
	}
	var all []happening
	at := func(ago time.Duration, do func() error) { all = append(all, happening{ago, do}) }
	for i, p := range people {
		for _, d := range p.devices {
			at(d.ago, func() error { _, err := a.signIn(ctx, ids[i], d); return err })
		}
		for n := range p.wrong {
			at(time.Duration(3*n+i%4+1)*day-5*time.Hour, func() error { return a.fail(ctx, p) })
		}
		for n := range 11 {
			if len(p.devices) > 0 && (7*n+5*i)%4 != 0 {
				at(time.Duration(n+1)*day-time.Duration(37*i+23*n%90)*time.Minute, func() error { return a.visit(ctx, ids[i], p.devices[0]) })
			}
		}
	}
	for _, n := range notices {
		at(n.ago, func() error {
			return a.publish(ctx, post{Author: ids[n.author], Name: people[n.author].name, Title: n.title, Text: n.text, Created: a.eng.Now()})
		})
	}
	at(30*time.Hour, func() error { // the last one left the team
		return a.eng.UpdateUser(ctx, ids[len(ids)-1], func(u *latchbolt.User) error { u.Inactive = true; return nil })
	})
	slices.SortStableFunc(all, func(x, y happening) int { return cmp.Compare(y.ago, x.ago) })
	for _, h := range all {
		clock.goTo(h.ago)
		if err := h.do(); err != nil {
			return fmt.Errorf("filling the demonstration: %w", err)
		}
	}
	clock.goTo(0)
	return nil
}

// makePeople stores everybody, and a group whose members help others in the console.
func (a *app) makePeople(ctx context.Context) ([]latchbolt.UserID, error) {
	h, err := a.eng.HashPassword(ctx, a.demoPassword)
	if err != nil {
		return nil, err
	}
	ids := make([]latchbolt.UserID, len(people))
	err = a.eng.Update(ctx, func(tx *latchbolt.Tx) error {
		help := latchbolt.Group{Name: "Help desk"}
		if err := tx.InsertGroup(&help); err != nil {
			return err
		}
		for _, perm := range []latchbolt.Perm{"auth.view_user", "auth.change_user", "auth.send_reset", "auth.view_group", "auth.view_session", "auth.delete_session"} {
			if err := tx.Grant(help.ID, perm); err != nil {
				return err
			}
		}
		for i, p := range people {
			u := latchbolt.User{Username: p.name, FirstName: p.first, LastName: p.last, Email: p.name + "@example.org", Staff: p.staff, Superuser: p.superuser}
			for _, name := range p.groups {
				g, err := tx.GroupByName(name)
				if err != nil {
					return err
				}
				u.Groups = append(u.Groups, g.ID)
			}
			if err := tx.InsertUser(&u, h); err != nil {
				return err
			}
			ids[i] = u.ID
		}
		return nil
	})
	return ids, err
}

func (d device) client() latchbolt.Client {
	return latchbolt.Client{Agent: d.agent, Addr: netip.MustParseAddr(d.addr)}
}

// signIn begins a session without a password: the program vouches for the user.
func (a *app) signIn(ctx context.Context, id latchbolt.UserID, d device) (latchbolt.Session, error) {
	who, err := a.eng.Identity(ctx, id)
	if err != nil {
		return latchbolt.Session{}, err
	}
	return a.eng.Login(ctx, who, latchbolt.LoginOptions{Client: d.client(), Remember: d.remember})
}

// visit is a session that ends at once.
func (a *app) visit(ctx context.Context, id latchbolt.UserID, d device) error {
	s, err := a.signIn(ctx, id, d)
	if err != nil {
		return err
	}
	return a.eng.Logout(ctx, s.Token)
}

// fail is an attempt with a wrong password.
func (a *app) fail(ctx context.Context, p person) error {
	_, err := a.eng.Authenticate(ctx, latchbolt.Password{Username: p.name, Password: "not the password", Client: p.devices[0].client()})
	if err == nil {
		return errors.New("a wrong password was accepted")
	}
	if errors.Is(err, latchbolt.ErrCredentials) {
		return nil
	}
	return err
}

// introduce prints who there is.
func (a *app) introduce(out io.Writer, o options) {
	fmt.Fprintf(out, "\nThe password of everybody, made for this run: %s\n", a.demoPassword)
	fmt.Fprintln(out, "  ada       may do everything")
	fmt.Fprintln(out, "  grace     is of the help desk: some of the console at /admin/")
	fmt.Fprintln(out, "  margaret  is a moderator: changes all notices")
	fmt.Fprintln(out, "  alan      adds notices and changes the own")
	fmt.Fprintln(out, "  tony      reads")
	fmt.Fprintf(out, "\nCommands work while it runs:  INTRANET=%s go run ./examples/intranet auth user show ada\n", o.dir)
	fmt.Fprintf(out, "Mails are put into %s. The folder is removed when the program ends.\n", filepath.Join(o.dir, "outbox"))
}
