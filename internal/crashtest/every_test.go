//go:build unix

package crashtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// An owner is a type whose methods the workloads call, and those of them that change nothing.
type owner struct {
	typ      reflect.Type
	receiver string // as the workloads call it
	reading  string // words
}

var owners = []owner{
	{reflect.TypeFor[*latchbolt.Engine](), "l.eng", `Audit CaseSensitive CheckToken Explain Format Fresh GoString Grants Group GroupByName Groups
		HasModulePerms HasPerm HasPerms HashPassword Holders Identity LogValue Members Now PasswordHelp Path Permissions Perms Session SessionByID
		SessionUser Sessions Snapshot Stats String Throttled User UserByName Users UsersByEmail ValidatePassword Values Verify View`},
	{reflect.TypeFor[*latchbolt.Tx](), "tx", `Context Grants Group GroupByName Groups HasSessions Holders Now OnCommit PasswordHash Permissions SessionCount Unused
		User UserByName Users UsersByEmail`},
	{reflect.TypeFor[*latchbolt.Loader](), "ld", "Group GroupByName Groups Now Permissions User UserByName"},
	{reflect.TypeFor[latchbolt.Administrator](), "admin", `AllSessions Allowed Audit AuditPage Check CountMembers Explain Group GroupGrants Groups Holders
		Overview Permissions Search Sessions Throttled User UserByName UserGrants WhatGoesWith`},
}

// TestEveryCall tests that the workloads leave out no method of these types that is not among those that only read, and that every
// function of the package that makes or replaces a file has its images.
func TestEveryCall(t *testing.T) {
	called := calledIn(t, "*.go")
	for _, o := range owners {
		reading := strings.Fields(o.reading)
		for i := range o.typ.NumMethod() {
			name := o.typ.Method(i).Name
			at := slices.Index(reading, name)
			if at >= 0 {
				reading = slices.Delete(reading, at, at+1)
			} else if !called[o.receiver+"."+name] {
				t.Errorf("%v.%s is in no workload, nor among those that only read", o.typ, name)
			}
		}
		for _, name := range reading {
			t.Errorf("%v has no method %s", o.typ, name)
		}
	}
	var functions []string
	for name := range fileFunctions(t) {
		functions = append(functions, name)
		if !slices.Contains([]string{"FolderSessions", "OpenBreachedFile", "VerifyFile"}, name) && !called["latchbolt."+name] {
			t.Errorf("latchbolt.%s, which is given the path of a file, is in no workload, nor among those that only read", name)
		}
	}
	if len(functions) < 6 {
		t.Errorf("only %v were found: this test tests little", functions)
	}
}

// calledIn returns the calls in source files, as "receiver.Name".
func calledIn(t *testing.T, pattern string) map[string]bool {
	t.Helper()
	called := make(map[string]bool)
	for _, f := range parse(t, pattern) {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				switch x := s.X.(type) {
				case *ast.Ident:
					called[x.Name+"."+s.Sel.Name] = true
				case *ast.SelectorExpr:
					if id, ok := x.X.(*ast.Ident); ok {
						called[id.Name+"."+x.Sel.Name+"."+s.Sel.Name] = true
					}
				}
			}
			return true
		})
	}
	return called
}

// fileFunctions returns the functions of the package latchbolt that have a path among their parameters.
func fileFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for name, f := range parse(t, filepath.Join("..", "..", "*.go")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() {
				continue
			}
			for _, p := range fn.Type.Params.List {
				for _, id := range p.Names {
					if slices.Contains([]string{"path", "src", "dst", "dir", "name"}, id.Name) {
						found[fn.Name.Name] = true
					}
				}
			}
		}
	}
	return found
}

// parse parses source files.
func parse(t *testing.T, pattern string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s matches nothing, %v", pattern, err)
	}
	files := make(map[string]*ast.File)
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return files
}
