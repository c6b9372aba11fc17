package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/critical"
)

// A source is a package of which files are mutated.
type source struct {
	path, dir, name string
	files           []*file // all of the package, sorted
}

// A file is one of a package's.
type file struct {
	rel    string // from the module's root
	abs    string
	text   []byte
	syntax *ast.File
}

// A loader reads packages and checks their types.
type loader struct {
	root    string
	fset    *token.FileSet
	exports map[string]string // files of export data by import path
	pkgs    map[string]*source
}

// load reads the packages that the patterns of files lie in.
func load(root string, patterns []string) (*loader, error) {
	l := &loader{root: root, fset: token.NewFileSet(), exports: make(map[string]string), pkgs: make(map[string]*source)}
	var dirs []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("no file is like %s", p)
		}
		if dir := "./" + filepath.ToSlash(filepath.Dir(p)); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Name,GoFiles,Export", "cmp", "errors", "os", "strconv", "sync/atomic"} // what helper imports
	cmd := exec.Command("go", append(args, dirs...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(out); ; {
		var p struct {
			ImportPath, Dir, Name, Export string
			GoFiles                       []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		l.exports[p.ImportPath] = p.Export
		rel, ok := strings.CutPrefix(p.ImportPath, critical.Module)
		if ok && slices.Contains(dirs, "./"+cmp.Or(strings.TrimPrefix(rel, "/"), ".")) {
			s := &source{path: p.ImportPath, dir: p.Dir, name: p.Name}
			for _, name := range p.GoFiles {
				if err := l.read(s, name); err != nil {
					return nil, err
				}
			}
			l.pkgs[p.ImportPath] = s
		}
	}
	return l, cmd.Wait()
}

func (l *loader) read(s *source, name string) error {
	f := &file{abs: filepath.Join(s.dir, name)}
	rel, err := filepath.Rel(l.root, f.abs)
	if err != nil {
		return err
	}
	f.rel = filepath.ToSlash(rel)
	if f.text, err = os.ReadFile(f.abs); err != nil {
		return err
	}
	f.syntax, err = parser.ParseFile(l.fset, f.abs, f.text, parser.ParseComments|parser.SkipObjectResolution)
	s.files = append(s.files, f)
	return err
}

// check checks the types of a package's files, or of what stands in their place, and hands over errors.
func (l *loader) check(path string, files []*ast.File, failed func(error)) (*types.Package, *types.Info) {
	info := &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object),
		Uses: make(map[*ast.Ident]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection),
	}
	cfg := &types.Config{Error: failed, Importer: importer.ForCompiler(l.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(l.exports[path])
	})}
	pkg, _ := cfg.Check(path, l.fset, files, info) // failed was told
	return pkg, info
}

func (l *loader) syntax(s *source) []*ast.File {
	files := make([]*ast.File, len(s.files))
	for i, f := range s.files {
		files[i] = f.syntax
	}
	return files
}
