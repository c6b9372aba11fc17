package authhttp_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
	"github.com/latchbolt-go/latchbolt/internal/dudect"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// What is typed for each class of account. The first is what the others are compared with.
var timingClasses = []struct{ what, name, password string }{
	{"a wrong password", "usual", "a wrong password"},
	{"a missing user", "missing", "a wrong password"},
	{"an inactive user, wrong", "off", "a wrong password"},
	{"an inactive user, right", "off", authtest.Password},
	{"a cheaper hash", "cheap", "a wrong password"},
	{"a dearer hash", "dear", "a wrong password"},
	{"an unusable password", "unusable", "a wrong password"},
	{"no password", "empty", "a wrong password"},
	{"a hash that nothing can read", "gibberish", "a wrong password"},
}

// newTimingSite has a user of each class, with iterations as they are given. Failures count, and free is how many cost nothing.
func newTimingSite(t *testing.T, cheap, usual, dear, free int) *site {
	t.Helper()
	s := newSite(t, nil, &latchbolt.Config{Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: usual}},
		Throttle: latchbolt.ThrottleConfig{Free: free, SourceFree: 1 << 30, First: time.Hour, Max: time.Hour}, Audit: latchbolt.AuditConfig{MaxCount: 1000}})
	hash := func(iterations int) latchbolt.PasswordHash {
		text, err := latchbolt.PBKDF2SHA256{Iterations: iterations}.Hash(authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return parseHash(t, text)
	}
	for name, h := range map[string]latchbolt.PasswordHash{"usual": hash(usual), "off": hash(usual), "cheap": hash(cheap), "dear": hash(dear),
		"unusable": parseHash(t, "!x"), "empty": {}, "gibberish": parseHash(t, "gibberish")} {
		if err := s.eng.InsertUser(t.Context(), &latchbolt.User{Username: name, Inactive: name == "off"}, h); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A timingPath is one way for a password to come in. send is nil for a class that cannot come this way.
type timingPath struct {
	what string
	send func(name, password string) *http.Response
	self bool // only who is signed in comes here
}

// timingPaths are all: the login's form, Basic authentication, and the two pages that ask who is signed in for the password again, of which
// the first is what pages of the console lead to. The console has none of its own.
func timingPaths(s *site) (paths []timingPath) {
	for what, try := range passwordPaths(s) {
		paths = append(paths, timingPath{what, func(name, password string) *http.Response { return try(s.browser(), name, password) }, false})
	}
	browsers := make(map[string]*browser)
	signedIn := func(name string) *browser {
		if browsers[name] == nil {
			u, err := s.eng.UserByName(s.t.Context(), name)
			if err != nil {
				s.t.Fatal(err)
			}
			browsers[name] = s.browser()
			browsers[name].cookies[cookie] = authtest.Login(s.t, s.eng, u).Token.Reveal()
		}
		return browsers[name]
	}
	return append(paths,
		timingPath{"confirm", func(name, password string) *http.Response {
			return signedIn(name).post("/accounts/confirm/", "password", password)
		}, true},
		timingPath{"change", func(name, password string) *http.Response {
			return signedIn(name).post("/accounts/password/change/", "old", password, "password1", "a quite new password", "password2", "a quite new password")
		}, true})
}

func canSignIn(name string) bool { return name != "missing" && name != "off" }

// settle waits for the writes that nobody waits for.
func (s *site) settle() {
	s.t.Helper()
	if _, _, err := s.eng.Throttled(s.t.Context(), 1); err != nil {
		s.t.Fatal(err)
	}
}

// TestEveryPathCostsTheSame: on every path for passwords each class of account costs exactly the same units, while its failures
// are looked at and when they are not any more, and answers with the same status.
func TestEveryPathCostsTheSame(t *testing.T) {
	checks := 0
	for want, free := range map[int]int{http.StatusUnauthorized: 1 << 30, http.StatusTooManyRequests: 1} {
		s := newTimingSite(t, 100, 400, 1600, free)
		paths := timingPaths(s)
		for _, c := range timingClasses { // every account has failed once
			paths[0].send(c.name, c.password)
		}
		for _, p := range paths {
			for _, c := range timingClasses {
				if p.self && !canSignIn(c.name) {
					continue
				}
				before := s.units()
				res := p.send(c.name, c.password)
				s.settle()
				if got := s.units() - before; got != 1600 || res.StatusCode != want {
					t.Errorf("%s, %s: %d units, status %d; want 1600, %d", p.what, c.what, got, res.StatusCode, want)
				}
				checks++
			}
		}
	}
	if checks != 2*(2*9+2*6) {
		t.Errorf("%d checks", checks)
	}
}

// TestTimingOfPaths takes the times of all classes on the paths that are open to everybody, a thousand samples each, with hashes that cost so little
// that the rest shows. LATCHBOLT_TIMING=1 measures.
func TestTimingOfPaths(t *testing.T) {
	if os.Getenv("LATCHBOLT_TIMING") == "" {
		t.Skip("measures time; set LATCHBOLT_TIMING=1")
	}
	s := newTimingSite(t, 75, 300, 400, 1<<30)
	for _, p := range timingPaths(s) {
		if p.self {
			continue // who is signed in knows what account that is
		}
		t.Run(p.what, func(t *testing.T) {
			var classes []dudect.Class
			for _, c := range timingClasses {
				var res *http.Response
				classes = append(classes, dudect.Class{Name: c.what, Do: func() { res = p.send(c.name, c.password) }, Between: func() {
					if s.settle(); res.StatusCode != http.StatusUnauthorized {
						t.Errorf("%s: status %d", c.what, res.StatusCode)
					}
				}})
			}
			var told []string
			for try := range 3 {
				seed := uint64(time.Now().UnixNano())
				rs := dudect.Compare(classes, 1000, seed)
				t.Logf("attempt %d, seed %d:%v", try+1, seed, rs)
				tally.Log(t, "attempts", 1, "samples", 1000*len(classes), "seed", seed)
				if told = rs.Told(); len(told) == 0 {
					return
				}
			}
			t.Errorf("three times out of three these can be told apart: %q", told)
		})
	}
}
