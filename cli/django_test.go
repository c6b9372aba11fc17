package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// frozen is the time at which Django gave its answers.
var frozen = time.Date(2026, 5, 4, 10, 20, 30, 123456000, time.UTC)

func frozenConfig() *latchbolt.Config {
	cfg := config()
	cfg.Clock = func() time.Time { return frozen }
	cfg.CaseSensitive = true
	return cfg
}

func readTestdata(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/django/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// A shownUser is a user in Django's answers, and what user show --json prints under the same keys.
type shownUser struct {
	Username         string     `json:"username"`
	Email            string     `json:"email"`
	FirstName        string     `json:"first_name"`
	LastName         string     `json:"last_name"`
	Active           bool       `json:"is_active"`
	Staff            bool       `json:"is_staff"`
	Superuser        bool       `json:"is_superuser"`
	DateJoined       time.Time  `json:"date_joined"`
	LastLogin        *time.Time `json:"last_login"`
	Groups           []string   `json:"groups"`
	HasPassword      bool       `json:"has_usable_password"`
	UserPermissions  []string   `json:"user_permissions"`
	GroupPermissions []string   `json:"group_permissions"`
	AllPermissions   []string   `json:"all_permissions"`
}

type answeredUser struct {
	shownUser
	PK       int `json:"pk"`
	Password *string
	Encoded  string
	Hasher   struct {
		Identify json.RawMessage
	}
	HasPerm      map[string]bool `json:"has_perm"`
	Authenticate struct{ Username *string }
}

type answers struct {
	SecretKey string `json:"SECRET_KEY"`
	Users     []answeredUser
	WithPerm  []struct {
		Perm      string
		Active    *bool `json:"is_active"`
		Supers    bool  `json:"include_superusers"`
		Usernames json.RawMessage
	} `json:"with_perm"`
	Groups []struct {
		Name               string
		Permissions, Users []string
	}
}

func readAnswers(t *testing.T) *answers {
	var a answers
	readTestdata(t, "expected.json", &a)
	if len(a.Users) != 46 {
		t.Fatalf("%d users in the answers, want 46", len(a.Users))
	}
	return &a
}

// takeOver makes a file of Django's users and sessions.
func takeOver(t *testing.T, path string) {
	t.Helper()
	dump, err := os.Open("../testdata/django/auth.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dump.Close() }()
	sessions, err := os.Open("../testdata/django/sessions_dump.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sessions.Close() }()
	eng, _, err := django.Create(context.Background(), path, dump, frozenConfig(),
		&django.ImportOptions{SecretKey: readAnswers(t).SecretKey, Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
}

// normal cuts times to what a dump has of them.
func (u *shownUser) normal() *shownUser {
	u.DateJoined = u.DateJoined.UTC().Truncate(time.Millisecond)
	if u.LastLogin != nil {
		at := u.LastLogin.UTC().Truncate(time.Millisecond)
		u.LastLogin = &at
	}
	return u
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestShowDjangoUsers(t *testing.T) {
	a := readAnswers(t)
	onRoutes(t, frozenConfig(), takeOver, func(t *testing.T, sh *shell) {
		for _, w := range a.Users {
			if w.Encoded == "" {
				w.HasPassword = false // Django calls an empty field a usable password; see docs/MIGRATING.md
			}
			out := sh.want(t, 0, "", "user", "show", w.Username, "--json")
			var got struct {
				shownUser
				ID     int
				Hasher *struct{ Algorithm, Cost string }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if g, want := asJSON(t, got.normal()), asJSON(t, w.normal()); g != want {
				t.Errorf("%s:\n got %s\nwant %s", w.Username, g, want)
			}
			if got.ID != w.PK {
				t.Errorf("%s: id %d, want %d", w.Username, got.ID, w.PK)
			}
			algorithm := ""
			if got.Hasher != nil {
				algorithm = got.Hasher.Algorithm
			}
			var want string
			// It is an object for hashes that Django does not know; here those of very old Django versions are known.
			if json.Unmarshal(w.Hasher.Identify, &want) != nil && strings.HasPrefix(w.Username, "legacy_") {
				want = algorithm
			}
			if algorithm != want {
				t.Errorf("%s: algorithm %q, want %q", w.Username, algorithm, want)
			}
			if len(w.Encoded) > 20 && strings.Contains(out, w.Encoded[len(w.Encoded)-20:]) {
				t.Errorf("%s: the hash is shown", w.Username)
			}
			// By identifier it is the same.
			if byID := sh.want(t, 0, "", "user", "show", "id:"+asJSON(t, w.PK), "--json"); byID != out {
				t.Errorf("%s by identifier:\n got %s\nwant %s", w.Username, byID, out)
			}
		}
	})
}

func TestCheckDjangoPermissions(t *testing.T) {
	a := readAnswers(t)
	onRoutes(t, frozenConfig(), takeOver, func(t *testing.T, sh *shell) {
		n, rows, step := 0, 0, testsize.Of(29, 7)
		for _, w := range a.Users {
			for perm, may := range w.HasPerm {
				if n++; !sh.socket && n%step != 0 {
					continue // opening the file takes its time
				}
				code := 1
				if may {
					code = 0
				}
				out := sh.want(t, code, "", "perm", "check", "--json", "--", w.Username, perm)
				if !strings.HasPrefix(out, `{"allowed":`+asJSON(t, may)+`,`) {
					t.Errorf("%s, %q: %s", w.Username, perm, out)
				}
				rows++
			}
		}
		if n != 46*28 || rows < n/step {
			t.Errorf("%d rows of %d, want %d", rows, n, 46*28)
		}
	})
}

func TestListDjangoUsersWithPerm(t *testing.T) {
	a := readAnswers(t)
	onRoutes(t, frozenConfig(), takeOver, func(t *testing.T, sh *shell) {
		rows := 0
		for _, w := range a.WithPerm {
			var want []string
			if json.Unmarshal(w.Usernames, &want) != nil || strings.Count(w.Perm, ".") != 1 || w.Perm == "catalog.no_such_perm" {
				continue // refused there or here
			}
			if w.Supers && (w.Active == nil || !*w.Active) {
				continue // here inactive superusers have nothing; see docs/MIGRATING.md
			}
			args := []string{"user", "list", "--json", "--perm", w.Perm}
			if w.Active != nil {
				args = append(args, "--active="+asJSON(t, *w.Active))
			}
			if !w.Supers {
				args = append(args, "--no-superusers")
			}
			if got := usernames(t, sh.want(t, 0, "", args...)); !slices.Equal(got, want) {
				t.Errorf("%q: got %q, want %q", args, got, want)
			}
			rows++
			if w.Active != nil && *w.Active && w.Supers {
				if got := usernames(t, sh.want(t, 0, "", "perm", "who", w.Perm, "--json")); !slices.Equal(got, want) {
					t.Errorf("who has %s: got %q, want %q", w.Perm, got, want)
				}
			}
		}
		if rows < 15 {
			t.Errorf("only %d rows", rows)
		}
		for _, w := range a.Groups {
			var got struct{ Permissions, Members []string }
			if err := json.Unmarshal([]byte(sh.want(t, 0, "", "group", "show", w.Name, "--json")), &got); err != nil {
				t.Fatal(err)
			}
			if want := slices.Compact(slices.Clone(w.Permissions)); !slices.Equal(got.Permissions, want) || !slices.Equal(got.Members, w.Users) {
				t.Errorf("%s: %q %q, want %q %q", w.Name, got.Permissions, got.Members, want, w.Users)
			}
		}
	})
}

// usernames returns the names in a stream of users, sorted.
func usernames(t *testing.T, stream string) []string {
	t.Helper()
	names := []string{}
	for dec := json.NewDecoder(strings.NewReader(stream)); dec.More(); {
		var u struct{ Username string }
		if err := dec.Decode(&u); err != nil {
			t.Fatal(err)
		}
		names = append(names, u.Username)
	}
	slices.Sort(names)
	return names
}

func TestShowDjangoSessions(t *testing.T) {
	var file struct {
		Sessions []struct {
			Note  string
			Key   string `json:"session_key"`
			AtNow struct {
				Expiry  time.Time              `json:"get_expiry_date"`
				GetUser struct{ User *string } `json:"get_user"`
			} `json:"at_frozen_now"`
		}
	}
	readTestdata(t, "sessions.json", &file)
	onRoutes(t, frozenConfig(), takeOver, func(t *testing.T, sh *shell) {
		rows := 0
		for _, w := range file.Sessions {
			if w.AtNow.GetUser.User == nil || strings.Contains(w.Note, "fallback") {
				continue
			}
			out := sh.want(t, 0, w.Key+"\n", "session", "show", "--token-stdin", "--json")
			var got struct {
				User    struct{ Username string }
				Expires time.Time
				Session struct{ ID string }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if got.User.Username != *w.AtNow.GetUser.User || !got.Expires.Equal(w.AtNow.Expiry.Truncate(time.Millisecond)) {
				t.Errorf("%s: got %q until %v, want %q until %v", w.Note, got.User.Username, got.Expires, *w.AtNow.GetUser.User, w.AtNow.Expiry)
			}
			if strings.Contains(out, w.Key) {
				t.Errorf("%s: the key is shown", w.Note)
			}
			sh.want(t, 0, "", "session", "revoke", "--", got.Session.ID)
			sh.want(t, 3, w.Key, "session", "show", "--token-stdin")
			rows++
		}
		if rows < 3 {
			t.Errorf("only %d sessions", rows)
		}
	})
}

func TestAuthenticateDjangoUsers(t *testing.T) {
	a := readAnswers(t)
	heavy := []string{"carol", "dave", "frank", "ivan", "laura", "olivia", "rupert"}
	cfg := frozenConfig()
	cfg.Hashers = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 5000}}
	onRoutes(t, cfg, takeOver, func(t *testing.T, sh *shell) {
		accepted, upgraded := 0, 0
		for _, w := range a.Users {
			if w.Authenticate.Username == nil || w.Password == nil || slices.Contains(heavy, w.Username) || len(*w.Password) > 72 {
				continue
			}
			var first, second struct {
				OK, Upgraded bool
				Backend      string
				User         struct {
					Username string
					Hasher   struct{ Algorithm string }
				}
			}
			if err := json.Unmarshal([]byte(sh.want(t, 0, *w.Password+"\n", "authenticate", w.Username, "--password-stdin", "--json")), &first); err != nil {
				t.Fatal(err)
			}
			if !first.OK || first.User.Username != w.Username || first.Backend != "password" {
				t.Errorf("%s: %+v", w.Username, first)
			}
			if first.Upgraded && first.User.Hasher.Algorithm != "pbkdf2_sha256" {
				t.Errorf("%s: replaced by %s", w.Username, first.User.Hasher.Algorithm)
			}
			// What was replaced is not replaced again.
			if err := json.Unmarshal([]byte(sh.want(t, 0, *w.Password, "authenticate", w.Username, "--password-stdin", "--json")), &second); err != nil {
				t.Fatal(err)
			}
			if second.Upgraded {
				t.Errorf("%s: replaced twice", w.Username)
			}
			accepted++
			if first.Upgraded {
				upgraded++
			}
		}
		if accepted < 20 || upgraded < 5 || upgraded == accepted {
			t.Errorf("%d accepted, %d replaced", accepted, upgraded)
		}
		t.Logf("%d accepted, %d hashes replaced", accepted, upgraded)
	})
}
