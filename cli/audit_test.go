package cli_test

import (
	"strings"
	"testing"
)

// TestAuditFindsAttempts: who asks for a user's part of the trail sees the attempts to log in with its name, however that was typed.
func TestAuditFindsAttempts(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		for _, name := range []string{"ada", "ADA", "nobody"} {
			sh.want(t, 1, "wrong", "authenticate", name, "--password-stdin")
		}
		for _, c := range []struct {
			user     string
			attempts int
		}{{"ada", 2}, {"id:1", 2}, {"nobody", 1}, {"id:2", 0}} {
			out := sh.want(t, 0, "", "audit", "--user", c.user, "--failed")
			if n := strings.Count(out, "login.failed"); n != c.attempts {
				t.Errorf("%s: %d attempts, want %d:\n%s", c.user, n, c.attempts, out)
			}
		}
		if out := sh.want(t, 0, "", "audit", "--user", "ada"); !strings.Contains(out, "user.create") || strings.Contains(out, "nobody") {
			t.Errorf("the trail of ada is\n%s", out)
		}
	})
}
