package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestSealedSessions gives the commands a program whose sessions are in its clients' cookies: they cannot be listed, and everything else works.
func TestSealedSessions(t *testing.T) {
	store, err := latchbolt.SealedSessions(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.Sessions = store
	var tokens []string
	onRoutes(t, cfg, func(t *testing.T, path string) {
		oneUser(t, path)
		eng, err := latchbolt.Open(path, cfg)
		if err != nil {
			t.Fatal(err)
		}
		tokens = nil
		for range 2 {
			s, err := begin(context.Background(), eng, "ada", latchbolt.LoginOptions{})
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, s.Token.Reveal())
		}
		if err := eng.Close(); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, sh *shell) {
		var u struct{ Sessions *[]any }
		if err := json.Unmarshal([]byte(sh.want(t, 0, "", "user", "show", "ada", "--json")), &u); err != nil || u.Sessions != nil {
			t.Errorf("sessions %v, %v; want null", u.Sessions, err)
		}
		if out := sh.want(t, 0, "", "user", "show", "ada"); !strings.Contains(out, "cannot be listed") {
			t.Error(out)
		}
		if code, _, errOut := sh.run(t, "", "session", "list", "ada"); code != 7 || !strings.Contains(errOut, "not supported by the session store") {
			t.Errorf("exit code %d, %s", code, errOut)
		}
		out := sh.want(t, 0, tokens[0], "session", "show", "--token-stdin", "--json")
		if !strings.HasPrefix(out, `{"user":{"id":1,"username":"ada"`) || strings.Contains(out, tokens[0]) {
			t.Error(out)
		}
		out = sh.want(t, 0, "", "session", "revoke-all", "ada", "--yes", "--json")
		if out != `{"users":1,"sessions":null}`+"\n" {
			t.Error(out)
		}
		sh.want(t, 3, tokens[0], "session", "show", "--token-stdin")
		sh.want(t, 3, tokens[1], "session", "revoke", "--token-stdin")
		out = sh.want(t, 0, "", "session", "revoke-all", "--everybody", "--yes", "--json")
		if out != `{"users":1,"sessions":null}`+"\n" {
			t.Error(out)
		}
		sh.want(t, 0, "", "clearsessions")
	})
}

// A roof grants a permission of its own to everybody, and denies another.
type roof struct{ latchbolt.PasswordBackend }

func (roof) Name() string { return "roof" }

func (roof) HasPerm(_ context.Context, _ *latchbolt.Engine, _ latchbolt.Identity, p latchbolt.Perm, _ latchbolt.Object) (bool, error) {
	switch p {
	case "roof.climb":
		return true, nil
	case "roof.jump":
		return false, latchbolt.ErrDenied
	}
	return false, latchbolt.ErrSkip
}

func (roof) Perms(context.Context, *latchbolt.Engine, latchbolt.Identity, latchbolt.Object) ([]latchbolt.Perm, error) {
	return []latchbolt.Perm{"roof.climb"}, nil
}

// TestBackends asks a program that has a backend with permissions of its own.
func TestBackends(t *testing.T) {
	cfg := config()
	cfg.Backends = []latchbolt.Backend{roof{}, latchbolt.PasswordBackend{}}
	onRoutes(t, cfg, oneUser, func(t *testing.T, sh *shell) {
		sh.want(t, 0, "", "perm", "check", "ada", "roof.climb")
		sh.want(t, 1, "", "perm", "check", "ada", "roof.jump")
		for perm, want := range map[string]string{
			"roof.climb": `"reason":"backend","backend":"roof","via":[]}`,
			"roof.jump":  `"reason":"denied","backend":"roof","via":[]}`,
			"roof.sit":   `"reason":"undefined","backend":"","via":[]}`,
		} {
			if out := sh.want(t, 0, "", "perm", "explain", "ada", perm, "--json"); !strings.HasSuffix(out, want+"\n") {
				t.Errorf("%s: %s", perm, out)
			}
		}
		out := sh.want(t, 0, "", "user", "show", "ada", "--json")
		if !strings.Contains(out, `"user_permissions":[],"group_permissions":[],"all_permissions":["roof.climb"]`) {
			t.Error(out)
		}
		if out := sh.want(t, 0, oldPassword, "authenticate", "ada", "--password-stdin", "--json"); !strings.Contains(out, `"backend":"roof"`) {
			t.Error(out)
		}
	})
}
