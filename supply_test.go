package latchbolt_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// goFiles returns the parsed sources of all modules of the repository, without tests, by path.
func goFiles(t testing.TB) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	for _, path := range sources(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, "parsing", err)
		files[filepath.ToSlash(path)] = f
	}
	if len(files) < 100 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

// importers returns which sources, other than those excused, import a package.
func importers(t testing.TB, pkg string, excused ...string) (all []string) {
	t.Helper()
	for path, f := range goFiles(t) {
		for _, im := range f.Imports {
			if im.Path.Value == strconv.Quote(pkg) && !slices.ContainsFunc(excused, func(e string) bool { return strings.HasPrefix(path, e) }) {
				all = append(all, path)
			}
		}
	}
	return all
}

// TestCVE_2024_21495: nothing that has to be secret can come from a source that can be predicted. The cache picks by chance whom to
// leave out, stores in memory are seeded, and helpers of tests draw; none makes a secret.
func TestCVE_2024_21495(t *testing.T) {
	if got := importers(t, "math/rand"); got != nil {
		t.Errorf("math/rand is used in %v", got)
	}
	if got := importers(t, "math/rand/v2", "sessiontable.go", "internal/kv/memkv/", "internal/kv/kvtest/", "internal/crashtest/", "internal/dudect/"); got != nil {
		t.Errorf("math/rand/v2 is used in %v", got)
	}
	if importers(t, "crypto/rand") == nil || importers(t, "math/rand/v2") == nil {
		t.Error("the check finds nothing")
	}
}

// TestCVE_2026_34530: pages are made by html/template only.
func TestCVE_2026_34530(t *testing.T) {
	if got := importers(t, "text/template"); got != nil {
		t.Errorf("text/template is used in %v", got)
	}
	for path, f := range goFiles(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "template" && slices.Contains([]string{"HTML", "JS", "JSStr", "CSS", "HTMLAttr", "Srcset", "URL"}, sel.Sel.Name) {
				t.Errorf("%s: template.%s takes text for code", path, sel.Sel.Name)
			}
			return true
		})
	}
	if importers(t, "html/template") == nil {
		t.Error("the check finds nothing")
	}
}

// TestCVE_2025_58186: no request is freed from the proof of its origin by a pattern.
func TestCVE_2025_58186(t *testing.T) {
	found := 0
	for path, f := range goFiles(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "AddInsecureBypassPattern" {
				t.Errorf("%s has a pattern", path)
			} else if ok && id.Name == "CrossOriginProtection" {
				found++
			}
			return true
		})
	}
	if found == 0 {
		t.Error("nothing asks for the origin")
	}
}

// TestCVE_2022_30635: there is no format that makes objects of data, and data nested without end is refused or kept as it is.
func TestCVE_2022_30635(t *testing.T) {
	if got := importers(t, "encoding/gob"); got != nil {
		t.Errorf("encoding/gob is used in %v", got)
	}
	eng := open(t, nil)
	addUser(t, eng, "ada")
	s := login(t, eng, "ada")
	for _, n := range []int{5_000, 20_000, 1_000_000} {
		deep := json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
		_, err := eng.UpdateValues(t.Context(), s.Token, func(v *latchbolt.Values) error { return v.Set("deep", deep) })
		if (err != nil) != (n > 10_000) {
			t.Errorf("%d deep: %v", n, err)
		}
		v, err := eng.Values(t.Context(), s.Token)
		must(t, "values", err)
		var dst any
		if _, err := v.Get("deep", &dst); err != nil {
			t.Errorf("%d deep: what is stored cannot be read: %v", n, err)
		}
	}
}

// A module is what go mod edit tells of a go.mod.
type module struct {
	Module    struct{ Path string }
	Go        string
	Toolchain string
	Require   []struct{ Path, Version string }
	Replace   []struct {
		Old struct{ Path string }
		New struct{ Path, Version string }
	}
}

// modules reads the go.mod files of the repository, by folder.
func modules(t testing.TB) map[string]module {
	t.Helper()
	all := make(map[string]module)
	for _, path := range sources(t, "go.mod") {
		out, err := exec.Command("go", "mod", "edit", "-json", path).Output()
		must(t, "reading "+path, err)
		var m module
		must(t, "decoding "+path, json.Unmarshal(out, &m))
		all[filepath.Dir(path)] = m
	}
	return all
}

// allowedModules reads testdata/modules.txt: the paths that a go.mod or go.sum may name, with the least version if there is one.
func allowedModules(t testing.TB) map[string]string {
	t.Helper()
	allowed := make(map[string]string)
	for line := range strings.Lines(readFile(t, "testdata/modules.txt")) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 0 {
			allowed[f[0]] = strings.Join(f[1:], " ")
		}
	}
	return allowed
}

// compareVersions compares versions of numbers, such as v1.5.0 or go1.26.6.
func compareVersions(a, b string) int {
	numbers := func(s string) (all []int) {
		s, _, _ = strings.Cut(strings.TrimLeft(s, "vgo"), "-")
		for part := range strings.SplitSeq(s, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				n = -1
			}
			all = append(all, n)
		}
		return all
	}
	return slices.CompareFunc(numbers(a), numbers(b), cmp.Compare[int])
}

// checkModules returns what is wrong with modules: paths that are not allowed, versions that are too old, replacements.
func checkModules(mods map[string]module, allowed map[string]string) (wrong []string) {
	const root, toolchain = "github.com/latchbolt-go/latchbolt", "go1.26.6"
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for dir, m := range mods {
		if compareVersions(m.Toolchain, toolchain) < 0 {
			bad("%s: toolchain %q is older than %s", dir, m.Toolchain, toolchain)
		}
		for _, r := range m.Require {
			least, ok := allowed[r.Path]
			if !ok && r.Path != root {
				bad("%s: %s is not allowed", dir, r.Path)
			}
			if least != "" && compareVersions(r.Version, least) < 0 {
				bad("%s: %s %s is older than %s", dir, r.Path, r.Version, least)
			}
		}
		for _, r := range m.Replace {
			if dir == "." || r.Old.Path != root || r.New.Version != "" || filepath.Join(dir, r.New.Path) != "." {
				bad("%s: %s is replaced by %s", dir, r.Old.Path, r.New.Path)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// TestModules: every module that this repository names is one that somebody looked at, none is older than the version that mended
// what matters here, and nothing is replaced.
func TestModules(t *testing.T) {
	mods, allowed := modules(t), allowedModules(t)
	for _, wrong := range checkModules(mods, allowed) {
		t.Error(wrong)
	}
	if len(mods) < 2 || len(mods["."].Require) < 4 || mods["."].Module.Path != "github.com/latchbolt-go/latchbolt" {
		t.Fatalf("got %v", mods)
	}
	for _, least := range []string{"golang.org/x/text v0.39.0", "go.etcd.io/bbolt v1.5.0"} {
		path, version, _ := strings.Cut(least, " ")
		if compareVersions(allowed[path], version) < 0 {
			t.Errorf("testdata/modules.txt lets %s %q in; %s is the least", path, allowed[path], version)
		}
	}
	// go.work decides which toolchain builds them together.
	var work module
	for line := range strings.Lines(readFile(t, "go.work")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "toolchain" {
			work.Toolchain = f[1]
		} else if len(f) > 0 && f[0] == "replace" {
			t.Errorf("go.work: %s", line)
		}
	}
	for _, wrong := range checkModules(map[string]module{"go.work": work}, allowed) {
		t.Error(wrong)
	}
}

// TestGO_2025_3451: also what is only needed to build what is needed, or not at all, is known by its name.
func TestGO_2025_3451(t *testing.T) {
	allowed := allowedModules(t)
	known, named := len(allowed), make(map[string]bool)
	for _, path := range sources(t, "go.sum") {
		for line := range strings.Lines(readFile(t, path)) {
			name, _, _ := strings.Cut(line, " ")
			if _, ok := allowed[name]; !ok {
				t.Errorf("%s names %s, which is not in testdata/modules.txt", path, name)
			}
			named[name] = true
		}
	}
	if len(named) < 10 || known < len(named) {
		t.Errorf("%d names, %d allowed", len(named), known)
	}
}

// TestModulesCanFail shows bad modules to the check.
func TestModulesCanFail(t *testing.T) {
	allowed := map[string]string{"golang.org/x/text": "v0.39.0", "go.etcd.io/bbolt": "v1.5.0"}
	parse := func(text string) (m module) {
		path := filepath.Join(t.TempDir(), "go.mod")
		must(t, "writing", os.WriteFile(path, []byte(text), 0o600))
		out, err := exec.Command("go", "mod", "edit", "-json", path).Output()
		must(t, "reading", err)
		must(t, "decoding", json.Unmarshal(out, &m))
		return m
	}
	const head = "module x\n\ngo 1.26.0\n\ntoolchain go1.26.8\n\n"
	for text, want := range map[string]string{
		head: "",
		head + "require golang.org/x/text v0.39.0\n":                                     "",
		head + "require golang.org/x/text v0.38.9\n":                                     "sub: golang.org/x/text v0.38.9 is older than v0.39.0",
		head + "require golang.org/x/text v0.9.0\n":                                      "sub: golang.org/x/text v0.9.0 is older than v0.39.0",
		head + "require go.etcd.io/bbolt v1.5.0-beta.0\n":                                "",
		head + "require github.com/boltdb-go/bolt v1.3.1\n":                              "sub: github.com/boltdb-go/bolt is not allowed",
		"module x\n\ngo 1.26.0\n\ntoolchain go1.26.5\n":                                  `sub: toolchain "go1.26.5" is older than go1.26.6`,
		"module x\n\ngo 1.26.0\n":                                                        `sub: toolchain "" is older than go1.26.6`,
		head + "replace github.com/latchbolt-go/latchbolt => ../\n":                      "",
		head + "replace github.com/latchbolt-go/latchbolt => ../../elsewhere\n":          "sub: github.com/latchbolt-go/latchbolt is replaced by ../../elsewhere",
		head + "replace golang.org/x/text => ../\n":                                      "sub: golang.org/x/text is replaced by ../",
		head + "replace golang.org/x/text v0.43.0 => github.com/somebody/text v0.43.0\n": "sub: golang.org/x/text is replaced by github.com/somebody/text",
	} {
		if got := strings.Join(checkModules(map[string]module{"sub": parse(text)}, allowed), "; "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
