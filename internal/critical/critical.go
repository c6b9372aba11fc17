// Package critical names the files that security rests on, of which more is asked than of others: every change of them has to be
// noticed by a test (internal/mutate), and nearly every statement to be reached by one (internal/coverage).
package critical

import (
	"os/exec"
	"path"
	"strings"
)

// Module is the path of the module that the files are of.
const Module = "github.com/latchbolt-go/latchbolt"

// Files are patterns, from the module's root, of the files for hashing, tokens, sessions with the clock that ends them, redirects, permissions, throttling and records.
var Files = []string{
	"internal/pwhash/*.go", "hashers.go", "hashpool.go", "passwords.go",
	"token.go", "onetime.go",
	"sessions.go", "sessionuser.go", "sessionrecords.go", "sessiontable.go", "cache.go", "load.go", "clock.go",
	"authhttp/redirect.go",
	"perms.go", "hasperm.go", "identity.go",
	"throttle.go",
	"records.go", "internal/record/*.go",
}

// Within reports whether a file, by its path from the module's root with slashes, is among patterns.
func Within(file string, patterns []string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, file); err == nil && ok {
			return true
		}
	}
	return false
}

// Root returns the folder of the module, if the present one is in it.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", Module).Output()
	return strings.TrimSpace(string(out)), err
}
