package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// TestRevokeAllOfOtherBackends: a command that does not have the backends of the program ends the sessions that these began all the same.
func TestRevokeAllOfOtherBackends(t *testing.T) {
	sh := &shell{privateDir(t) + "/app.db", config(), false}
	oneUser(t, sh.path)
	ctx := context.Background()
	program := func(fn func(*latchbolt.Engine)) {
		t.Helper()
		cfg := config()
		cfg.Backends = []latchbolt.Backend{latchbolt.RemoteUserBackend{}}
		eng, err := latchbolt.Open(sh.path, cfg)
		if err != nil {
			t.Fatal(err)
		}
		fn(eng)
		if err := eng.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var token latchbolt.Token
	program(func(eng *latchbolt.Engine) {
		for _, name := range []string{"ada", "bob"} {
			id, err := eng.Authenticate(ctx, latchbolt.RemoteUser{Username: name})
			if err != nil {
				t.Fatal(err)
			}
			s, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if token = s.Token; name == "ada" {
				if err := eng.Logout(ctx, token); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if out := sh.want(t, 0, "", "session", "revoke-all", "--everybody", "--yes", "--json"); !strings.Contains(out, `"users":1`) {
		t.Errorf("it says %s", out)
	}
	program(func(eng *latchbolt.Engine) {
		if _, err := eng.Session(ctx, token); err == nil {
			t.Error("the session lives on")
		}
	})
}
