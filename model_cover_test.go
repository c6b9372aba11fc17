package latchbolt_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// modelLeavesOut are the methods that the model does not call, each with the reason.
var modelLeavesOut = map[string]string{
	"Engine.CaseSensitive":    "says how the file is set up; nothing changes it",
	"Engine.Format":           "prints a constant",
	"Engine.GoString":         "prints a constant",
	"Engine.LogValue":         "prints a constant",
	"Engine.String":           "prints a constant",
	"Engine.Path":             "says how the file is set up; nothing changes it",
	"Engine.PasswordHelp":     "says how the validators are set up; the model has none",
	"Engine.ValidatePassword": "asks the validators; the model has none",
	"Engine.Verify":           "is called by verify, for every file",

	"Tx.CountRecords": "is there for tests only",
	"Tx.Records":      "is there for tests only",
	"Tx.RaiseEpoch":   "is there for tests only",
	"Tx.RaiseFormat":  "is there for tests only",
	"Tx.InsertSession": "begins sessions under keys of another system, which the model has no tokens for; TestBroughtSessions, interop/django " +
		"and internal/crashtest do",

	"Administrator.Allowed":      "answers what the rules say, which TestAdministratorMethods compares with them",
	"Administrator.Check":        "answers what the rules say, which TestAdministratorMethods compares with them",
	"Administrator.Audit":        "is Engine.Audit behind a rule",
	"Administrator.AuditPage":    "is Engine.Audit behind a rule",
	"Administrator.Group":        "is Engine.Group behind a rule",
	"Administrator.GroupGrants":  "is Engine.Grants behind a rule",
	"Administrator.Holders":      "is Engine.Holders behind a rule",
	"Administrator.Overview":     "counts entries of the audit trail, which the model has no copy of",
	"Administrator.Throttled":    "is Engine.Throttled behind a rule",
	"Administrator.WhatGoesWith": "says what DeleteUser would remove; TestAdministratorMethods calls it",
}

// TestModelCallsEverything: every exported method of the engine, its transactions, its loader and its administrators is called by the model, or left
// out for a reason; and every reason is needed.
func TestModelCallsEverything(t *testing.T) {
	files, err := filepath.Glob("model*_test.go")
	must(t, "listing", err)
	var source []byte
	for _, f := range files {
		if f != "model_cover_test.go" {
			text, err := os.ReadFile(f)
			must(t, "reading", err)
			source = append(source, text...)
		}
	}
	methods := 0
	for _, of := range []struct {
		what  string
		value any
		as    string // how the model's source calls a value
	}{
		{"Engine", (*latchbolt.Engine)(nil), `m\.eng`},
		{"Tx", (*latchbolt.Tx)(nil), `tx`},
		{"Loader", (*latchbolt.Loader)(nil), `l`},
		{"Administrator", latchbolt.Administrator{}, `adm`},
	} {
		typ := reflect.TypeOf(of.value)
		for i := range typ.NumMethod() {
			methods++
			name := of.what + "." + typ.Method(i).Name
			// A method is called, or is an element of a list of functions.
			called := regexp.MustCompile(`\b` + of.as + `\.` + typ.Method(i).Name + `[(,}\n]`).Match(source)
			switch reason, out := modelLeavesOut[name]; {
			case !called && !out:
				t.Errorf("%s is not called by the model, and no reason is given", name)
			case called && out:
				t.Errorf("%s is called by the model, and left out for the reason that it %s", name, reason)
			}
		}
	}
	if methods < 150 || len(files) < 5 {
		t.Errorf("%d methods, %d files: the check does not look right", methods, len(files))
	}
	for name := range modelLeavesOut {
		of, method, _ := strings.Cut(name, ".")
		types := map[string]reflect.Type{"Engine": reflect.TypeFor[*latchbolt.Engine](), "Tx": reflect.TypeFor[*latchbolt.Tx](),
			"Loader": reflect.TypeFor[*latchbolt.Loader](), "Administrator": reflect.TypeFor[latchbolt.Administrator]()}
		if _, ok := types[of].MethodByName(method); !ok {
			t.Errorf("there is no %s", name)
		}
	}
	t.Logf("%d methods, of which %d are left out, in %v", methods, len(modelLeavesOut), files)
}
