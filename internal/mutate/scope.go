package main

import "path/filepath"

const module = "github.com/latchbolt-go/latchbolt"

// scope are the files whose mutants have to be noticed: hashing, tokens, sessions, redirects, permissions, throttling, records.
var scope = []string{
	"internal/pwhash/*.go", "hashers.go", "hashpool.go", "passwords.go",
	"token.go", "onetime.go",
	"sessions.go", "sessionuser.go", "sessionrecords.go", "sessiontable.go", "cache.go",
	"authhttp/redirect.go",
	"perms.go", "hasperm.go", "identity.go",
	"throttle.go",
	"records.go", "internal/record/*.go",
}

// suites are the packages whose tests are run, each with the files whose mutants it is run for.
var suites = []struct {
	pkg   string
	files []string // patterns
}{
	{"./internal/record", []string{"internal/record/*.go"}},
	{"./internal/pwhash", []string{"internal/pwhash/*.go"}},
	{"./authhttp", []string{"authhttp/*.go"}},
	{".", []string{"*.go", "internal/record/*.go", "internal/pwhash/*.go"}},
}

// skipped are tests that are not run for mutants: they take long, or start programs that are compiled without mutants.
var skipped = map[string]bool{
	"TestDjangoVerdict": true, "TestREADMEProgram": true, "TestLoadMillion": true, "TestLoadKilled": true, "TestRestoreKilled": true,
	"TestCalibrate": true, "TestLinearizableCanFail": true, "TestLoadCancelled": true, "TestDocs": true, "TestHistory": true, "TestStandards": true,
	"TestModules": true,
}

// within reports whether a file, by its path from the module's root, is among patterns.
func within(file string, patterns []string) bool {
	for _, p := range patterns {
		if ok, err := filepath.Match(p, filepath.ToSlash(file)); err == nil && ok {
			return true
		}
	}
	return false
}
