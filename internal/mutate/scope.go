package main

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
