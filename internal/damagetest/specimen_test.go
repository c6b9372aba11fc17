package damagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

func config(create bool) *latchbolt.Config {
	return &latchbolt.Config{
		Create: create, SweepEvery: -1, SessionIdle: -1, LockTimeout: -1,
		Hashers:    []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 2}},
		Validators: []latchbolt.Validator{}, HashSlots: 2,
		Throttle: latchbolt.ThrottleConfig{Free: 1 << 20, SourceFree: 1 << 20},
		Logger:   slog.New(slog.DiscardHandler),
	}
}

const (
	userCount  = 160
	groupCount = 12
	permCount  = 40
	pastCount  = 24 // users who had more rights before
)

func userName(i int) string         { return fmt.Sprintf("user%03d", i) }
func permName(i int) latchbolt.Perm { return latchbolt.Perm(fmt.Sprintf("app.perm%02d", i)) }

// A specimen is a rich file that is going to be damaged, with the questions that tell what it says.
type specimen struct {
	Dir      string
	Sessions []string
	OneTime  []string
	// Answers are those of the undamaged file.
	Answers map[string]string
}

// Names of the two states of the file: closed in order, and as a killed program leaves it.
const (
	closedFile = "closed.db"
	killedFile = "killed.db"
)

// make makes a specimen. In its past there is more power than in its present: what an old page of the file
// says must not come back.
func makeSpecimen(t testing.TB, dir string, rng *rand.Rand) *specimen {
	t.Helper()
	s := &specimen{Dir: dir}
	path := filepath.Join(dir, "app.db")
	e, err := latchbolt.Open(path, config(true))
	must(t, err)
	ctx := t.Context()
	for i := range permCount {
		must(t, e.Define(ctx, latchbolt.Permission{App: "app", Codename: fmt.Sprintf("perm%02d", i), Name: "may"}))
	}
	var groups []latchbolt.GroupID
	for i := range groupCount {
		g, err := e.CreateGroup(ctx, fmt.Sprintf("group%02d", i))
		must(t, err)
		groups = append(groups, g)
		must(t, e.Grant(ctx, g, permName(rng.IntN(permCount))))
	}
	var users []*latchbolt.User
	for i := range userCount {
		u := &latchbolt.User{Username: userName(i), Email: fmt.Sprintf("%s@example.org", userName(i)), FirstName: "Ada", LastName: "Lovelace",
			Staff: i%3 == 0, Superuser: i < pastCount || i == userCount-1, Groups: []latchbolt.GroupID{groups[i%groupCount]}}
		must(t, e.CreateUser(ctx, u, "old password"))
		users = append(users, u)
		must(t, e.Grant(ctx, u.ID, permName(i%permCount)))
		must(t, e.Grant(ctx, u.ID, permName((i+7)%permCount), "doc:1"))
		if i%2 == 0 {
			s.Sessions = append(s.Sessions, login(t, e, u.ID))
		}
	}
	for _, u := range users[:10] {
		k, err := e.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "invite"})
		must(t, err)
		s.OneTime = append(s.OneTime, k.Reveal())
	}
	s.shrink(t, e, users)
	must(t, copyFile(path, filepath.Join(dir, killedFile)))
	must(t, e.Close())
	must(t, os.Rename(path, filepath.Join(dir, closedFile)))
	for _, name := range []string{closedFile, killedFile} {
		must(t, crop(filepath.Join(dir, name)))
	}
	return s
}

// shrink takes away what some had.
func (s *specimen) shrink(t testing.TB, e *latchbolt.Engine, users []*latchbolt.User) {
	ctx := t.Context()
	for i, u := range users[:pastCount] {
		must(t, e.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error {
			u.Superuser, u.Staff, u.Inactive = false, false, i%4 == 0
			return nil
		}))
		must(t, e.SetPassword(ctx, u.ID, "new password"))
		must(t, e.Revoke(ctx, u.ID, permName(i%permCount)))
		must(t, e.SetGroups(ctx, u.ID))
	}
	for i := range groupCount / 2 {
		g, err := e.GroupByName(ctx, fmt.Sprintf("group%02d", i))
		must(t, err)
		must(t, e.DeleteGroup(ctx, g.ID))
	}
	for _, u := range users[40:50] {
		must(t, e.DeleteUser(ctx, u.ID))
	}
	must(t, e.Undefine(ctx, permName(permCount-1)))
	for _, token := range s.Sessions[30:40] {
		k, err := latchbolt.ParseToken(token)
		must(t, err)
		must(t, e.Logout(ctx, k))
	}
	s.Sessions = append(s.Sessions, login(t, e, users[userCount-1].ID))
}

func login(t testing.TB, e *latchbolt.Engine, id latchbolt.UserID) string {
	t.Helper()
	who, err := e.Identity(t.Context(), id)
	must(t, err)
	p, err := e.Login(t.Context(), who, latchbolt.LoginOptions{})
	must(t, err)
	return p.Token.Reveal()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// crop cuts off the end of a file that was never used.
func crop(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for len(bytes.Trim(data[len(data)-pageSize:], "\x00")) == 0 {
		data = data[:len(data)-pageSize]
	}
	return os.WriteFile(path, data, 0o600)
}

// store and loadSpecimen pass a specimen to a child.
func (s *specimen) store() error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "specimen.json"), data, 0o600)
}

func loadSpecimen(dir string) (*specimen, error) {
	data, err := os.ReadFile(filepath.Join(dir, "specimen.json"))
	if err != nil {
		return nil, err
	}
	s := new(specimen)
	return s, json.Unmarshal(data, s)
}

// An inquiry asks an engine all there is to ask.
type inquiry struct {
	ctx     context.Context
	e       *latchbolt.Engine
	answers map[string]string
	noticed error // the first error that says that there is damage
	untyped error // an error that is none of the package's
}

// put notes an answer, or the error in its place.
func (q *inquiry) put(question, answer string, err error) {
	for _, known := range []struct {
		err  error
		text string
	}{
		{latchbolt.ErrCorrupt, "damaged"}, {latchbolt.ErrIndeterminate, "damaged"}, {latchbolt.ErrNewerFormat, "damaged"},
		{latchbolt.ErrCredentials, "no"}, {latchbolt.ErrNoSession, "no"}, {latchbolt.ErrToken, "no"}, {latchbolt.ErrNotFound, "absent"},
	} {
		if errors.Is(err, known.err) {
			if answer = known.text; answer == "damaged" && q.noticed == nil {
				q.noticed = fmt.Errorf("%s: %w", question, err)
			}
			q.answers[question] = answer
			return
		}
	}
	if err != nil {
		q.untyped = fmt.Errorf("%s: %w", question, err)
		answer = "error"
	}
	q.answers[question] = answer
}

// may is how questions begin whose answer "yes" is power.
const may = "may "

func (s *specimen) ask(ctx context.Context, e *latchbolt.Engine) *inquiry {
	q := &inquiry{ctx: ctx, e: e, answers: make(map[string]string)}
	for i := range userCount {
		q.user(i)
	}
	for i, token := range s.Sessions {
		k, err := latchbolt.ParseToken(token)
		if err == nil {
			_, err = e.SessionUser(ctx, k)
		}
		q.put(fmt.Sprintf("%suse session %d", may, i), "yes", err)
	}
	for i, token := range s.OneTime {
		k, err := latchbolt.ParseToken(token)
		if err == nil {
			_, err = e.CheckToken(ctx, "invite", k)
		}
		q.put(fmt.Sprintf("%suse token %d", may, i), "yes", err)
	}
	q.lists()
	for i := range 8 {
		for _, password := range []string{"old password", "new password"} {
			name := userName(i * 7 % userCount)
			_, err := e.Authenticate(ctx, latchbolt.Password{Username: name, Password: password})
			q.put(may+"log in as "+name+" with "+password, "yes", err)
		}
	}
	return q
}

// user asks about one user.
func (q *inquiry) user(i int) {
	name := userName(i)
	u, err := q.e.UserByName(q.ctx, name)
	if err != nil {
		q.put(name, "", err)
		return
	}
	last := "before"
	if u.LastLogin.IsZero() {
		last = "never"
	}
	q.put(name, fmt.Sprint(u.ID, u.Username, u.Email, u.FirstName, u.LastName, u.DateJoined, u.Groups, u.Inactive, u.Staff, u.Superuser, last), nil)
	by, err := q.e.UsersByEmail(q.ctx, name+"@example.org")
	q.put(name+" by address", strconv.Itoa(len(by)), err)
	who, err := q.e.Identity(q.ctx, u.ID)
	if err != nil {
		q.put(name+" as identity", "", err)
		return
	}
	q.yes("be active as "+name, !u.Inactive)
	q.yes("be staff as "+name, u.Staff && !u.Inactive)
	q.yes("be superuser as "+name, u.Superuser && !u.Inactive)
	perms, err := q.e.Perms(q.ctx, who, latchbolt.FromAll)
	q.put(name+" has", strconv.Itoa(len(perms)), err)
	for _, p := range perms {
		q.yes("have "+string(p)+" as "+name, true)
	}
	for _, p := range []latchbolt.Perm{permName(i % permCount), permName((i + 7) % permCount)} {
		ok, err := q.e.HasPerm(q.ctx, who, p, "doc:1")
		q.put(may+"have "+string(p)+" for doc:1 as "+name, strconv.FormatBool(ok), err)
		if ok {
			q.yes("have "+string(p)+" for doc:1 as "+name, true)
		}
	}
}

func (q *inquiry) yes(what string, ok bool) {
	if ok {
		q.put(may+what, "yes", nil)
	}
}

// lists walks what can be walked.
func (q *inquiry) lists() {
	n := 0
	var failed error
	for _, err := range q.e.Users(q.ctx, latchbolt.UserQuery{}) {
		failed = errors.Join(failed, err)
		n++
	}
	q.put("users", strconv.Itoa(n), failed)
	var groups []string
	failed = nil
	for g, err := range q.e.Groups(q.ctx) {
		if failed = errors.Join(failed, err); err == nil {
			members := 0
			for _, err := range q.e.Members(q.ctx, g.ID) {
				failed = errors.Join(failed, err)
				members++
			}
			groups = append(groups, fmt.Sprint(g.Name, members))
		}
	}
	q.put("groups", fmt.Sprint(groups), failed)
	n, failed = 0, nil
	for _, err := range q.e.Permissions(q.ctx) {
		failed = errors.Join(failed, err)
		n++
	}
	q.put("permissions", strconv.Itoa(n), failed)
	n, failed = 0, nil
	for _, err := range q.e.Audit(q.ctx, latchbolt.AuditQuery{Until: time.Now().Add(time.Hour)}) {
		failed = errors.Join(failed, err)
		n++
	}
	q.put("audit entries", strconv.Itoa(n), failed)
	for i := range permCount {
		holders, err := q.e.Holders(q.ctx, permName(i))
		q.put("holders of "+string(permName(i)), strconv.Itoa(len(holders)), err)
	}
}

// wider returns what is allowed and was not before.
func (s *specimen) wider(q *inquiry) []string {
	var all []string
	for question, answer := range q.answers {
		if len(question) > len(may) && question[:len(may)] == may && answer == "yes" && s.Answers[question] != "yes" {
			all = append(all, question)
		}
	}
	slices.Sort(all)
	return all
}

// differs returns a question with another answer than before, or "".
func (s *specimen) differs(q *inquiry) string {
	if maps.Equal(q.answers, s.Answers) {
		return ""
	}
	for _, question := range slices.Sorted(maps.Keys(s.Answers)) {
		if q.answers[question] != s.Answers[question] {
			return fmt.Sprintf("%s: %q, was %q", question, q.answers[question], s.Answers[question])
		}
	}
	return "more answers than before"
}

// askCopy asks a copy of a file, which is not changed thereby.
func (s *specimen) askCopy(t testing.TB, name string) *inquiry {
	t.Helper()
	path := filepath.Join(scratch(t), "app.db")
	must(t, copyFile(filepath.Join(s.Dir, name), path))
	e, err := latchbolt.Open(path, config(false))
	must(t, err)
	q := s.ask(t.Context(), e)
	must(t, e.Close())
	return q
}
