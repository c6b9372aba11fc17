package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A mutant is one small defect that can be switched on.
type mutant struct {
	id       int
	file     *file
	function string // "Name" or "Type.Name"; "" at the level of the package
	kind     string
	start    int // what is mutated, as offsets in the file
	end      int
	now      string // what stands there, in one line
	then     string // what the mutant makes of it
	nth      int    // of those of this function that look alike, from 1
	line     int
	column   int

	before, after string // what is woven around it
	op            int    // offset of an operator that becomes a comma; 0: none
	opLen         int
}

// key names a mutant whatever lines stand above it.
func (m *mutant) key() string {
	s := fmt.Sprintf("%s\t%s\t%s: %s => %s", m.file.rel, m.function, m.kind, m.now, m.then)
	if m.nth > 1 {
		s += fmt.Sprintf(" #%d", m.nth)
	}
	return s
}

// A finder goes through one file.
type finder struct {
	fset     *token.FileSet
	file     *file
	pkg      *types.Package
	info     *types.Info
	stack    []ast.Node // the ancestors of the node that is looked at, itself last
	function string
	results  []*types.Signature // of the functions around
	imports  map[string]string  // path to the name that it has in the file
	found    []*mutant
	asked    map[ast.Expr]bool // conditions that have their mutant already
}

// find lists the mutants of a file in the order of their places.
func find(fset *token.FileSet, f *file, pkg *types.Package, info *types.Info) []*mutant {
	s := &finder{fset: fset, file: f, pkg: pkg, info: info, imports: make(map[string]string), asked: make(map[ast.Expr]bool)}
	for _, spec := range f.syntax.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		s.imports[path] = name
	}
	for _, d := range f.syntax.Decls {
		s.function, s.results = "", nil
		if fn, ok := d.(*ast.FuncDecl); ok {
			s.function = functionName(fn)
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if n == nil {
				s.leave()
				return true
			}
			s.stack = append(s.stack, n)
			if !s.enter(n) {
				s.leave()
				return false
			}
			return true
		})
	}
	slices.SortStableFunc(s.found, func(a, b *mutant) int { return a.start - b.start })
	seen := make(map[string]int)
	for _, m := range s.found {
		k := m.key()
		seen[k]++
		m.nth = seen[k]
	}
	return s.found
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
			continue
		case *ast.IndexExpr:
			t = x.X
			continue
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		}
		return fn.Name.Name
	}
}

func (s *finder) leave() {
	n := s.stack[len(s.stack)-1]
	switch n.(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		if len(s.results) > 0 {
			s.results = s.results[:len(s.results)-1]
		}
	}
	s.stack = s.stack[:len(s.stack)-1]
}

// enter notes the mutants of a node and reports whether to look into it.
func (s *finder) enter(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if f, ok := s.info.Defs[n.Name].(*types.Func); ok {
			s.results = append(s.results, f.Signature())
		}
	case *ast.FuncLit:
		if sig, ok := s.info.TypeOf(n).(*types.Signature); ok {
			s.results = append(s.results, sig)
		}
	case *ast.GenDecl:
		if n.Tok != token.VAR {
			return false
		}
	case *ast.ArrayType:
		return false // its length is a constant
	case *ast.IfStmt:
		s.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			s.condition(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					s.condition(e)
				}
			}
		}
	case *ast.ReturnStmt:
		s.returned(n)
	case *ast.ExprStmt, *ast.AssignStmt, *ast.IncDecStmt, *ast.BranchStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		s.statement(n.(ast.Stmt))
	}
	if e, ok := n.(ast.Expr); ok {
		return s.expression(e)
	}
	return true
}

// add notes a mutant of a node.
func (s *finder) add(kind string, n ast.Node, then, before, after string) *mutant {
	p := s.fset.Position(n.Pos())
	m := &mutant{file: s.file, function: s.function, kind: kind, start: p.Offset, end: s.fset.Position(n.End()).Offset,
		line: p.Line, column: p.Column, then: then, before: before, after: after}
	m.now = oneLine(string(s.file.text[m.start:m.end]))
	s.found = append(s.found, m)
	return m
}

func (s *finder) text(n ast.Node) string {
	return oneLine(string(s.file.text[s.fset.Position(n.Pos()).Offset:s.fset.Position(n.End()).Offset]))
}

// condition turns a condition round. Of one that is made of others, expression forces those.
func (s *finder) condition(e ast.Expr) {
	for p, ok := e.(*ast.ParenExpr); ok; p, ok = e.(*ast.ParenExpr) {
		e = p.X
	}
	if b, ok := e.(*ast.BinaryExpr); ok && (b.Op == token.LAND || b.Op == token.LOR) {
		return
	}
	if s.asked[e] || s.info.Types[e].Value != nil {
		return
	}
	s.asked[e] = true
	s.add("negate", e, "!("+s.text(e)+")", "mutNot(%d, ", ")")
}

var boundary = map[token.Token]struct{ name, op string }{
	token.LSS: {"mutLess", "<="}, token.LEQ: {"mutLessEqual", "<"},
	token.GTR: {"mutGreater", ">="}, token.GEQ: {"mutGreaterEqual", ">"},
}

var arithmetic = map[token.Token]struct{ name, op string }{
	token.ADD: {"mutAdd", "-"}, token.SUB: {"mutSub", "+"},
	token.MUL: {"mutMul", "/"}, token.QUO: {"mutQuo", "*"},
}

// expression notes the mutants of an expression and reports whether to look into it.
func (s *finder) expression(e ast.Expr) bool {
	tv := s.info.Types[e]
	if tv.IsType() {
		return false
	}
	if tv.Value != nil {
		s.constant(e, tv)
		return false
	}
	b, ok := e.(*ast.BinaryExpr)
	if !ok {
		return true
	}
	switch b.Op {
	case token.LAND, token.LOR:
		forced := b.Op == token.LAND
		for _, x := range []ast.Expr{b.X, b.Y} {
			if s.asked[x] || s.info.Types[x].Value != nil {
				continue
			}
			if inner, ok := x.(*ast.BinaryExpr); ok && inner.Op == b.Op {
				continue // its own operands are forced
			}
			s.asked[x] = true
			s.add("force", x, fmt.Sprint(forced), fmt.Sprintf("mutForce(%%d, %t, ", forced), ")")
		}
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		s.operator("boundary", b, boundary[b.Op].name, boundary[b.Op].op)
	case token.EQL, token.NEQ:
		s.condition(b) // if nothing else asked for it
	case token.ADD, token.SUB, token.MUL, token.QUO:
		if t, ok := tv.Type.Underlying().(*types.Basic); ok && t.Info()&types.IsInteger != 0 {
			s.operator("arithmetic", b, arithmetic[b.Op].name, arithmetic[b.Op].op)
		}
	}
	return true
}

// operator puts another operator between two operands.
func (s *finder) operator(kind string, b *ast.BinaryExpr, name, op string) {
	m := s.add(kind, b, s.text(b.X)+" "+op+" "+s.text(b.Y), name+"(%d, ", ")")
	m.op, m.opLen = s.fset.Position(b.OpPos).Offset, len(b.Op.String())
}

// constant changes a constant that stands where a variable could.
func (s *finder) constant(e ast.Expr, tv types.TypeAndValue) {
	if !s.variable(e) {
		return
	}
	basic, ok := tv.Type.Underlying().(*types.Basic)
	if !ok {
		return
	}
	switch {
	case basic.Info()&types.IsBoolean != 0:
		s.add("constant", e, fmt.Sprint(!constant.BoolVal(tv.Value)), "mutNot(%d, ", ")")
	case s.besideError(e):
	case basic.Info()&types.IsInteger != 0:
		if name, ok := s.typeName(types.Default(tv.Type)); ok {
			s.add("constant", e, s.text(e)+"+1", "mutInt["+name+"](%d, ", ")")
		}
	case basic.Info()&types.IsString != 0:
		if name, ok := s.typeName(types.Default(tv.Type)); ok {
			s.add("constant", e, s.text(e)+` + "?"`, "mutString["+name+"](%d, ", ")")
		}
	}
}

// variable reports whether a constant may be replaced by a call, and is not only the text of a message or the size of a buffer.
func (s *finder) variable(e ast.Expr) bool {
	var child ast.Node = e
	for i := len(s.stack) - 2; i >= 0; i-- {
		switch p := s.stack[i].(type) {
		case *ast.KeyValueExpr:
			if id, ok := p.Key.(*ast.Ident); ok && child == p.Value && id.Name == "Msg" {
				return false
			}
			if child == p.Key {
				lit, ok := s.stack[i-1].(*ast.CompositeLit)
				if !ok {
					return false
				}
				if _, isMap := s.info.TypeOf(lit).Underlying().(*types.Map); !isMap {
					return false
				}
			}
		case *ast.CallExpr:
			if child == p.Fun {
				break
			}
			if message(p) {
				return false
			}
			if id, ok := p.Fun.(*ast.Ident); ok && id.Name == "make" && (len(p.Args) == 3 && child == p.Args[2] || len(p.Args) == 2 && child == p.Args[1]) {
				if _, slice := s.info.TypeOf(p).Underlying().(*types.Slice); !slice || len(p.Args) == 3 {
					return false // room, not length
				}
			}
		case ast.Stmt, ast.Decl:
			return true
		}
		child = s.stack[i]
	}
	return true
}

// besideError reports whether an expression is returned together with an error, so that it does not count.
func (s *finder) besideError(e ast.Expr) bool {
	ret, ok := s.stack[len(s.stack)-2].(*ast.ReturnStmt)
	if !ok {
		return false
	}
	last := ret.Results[len(ret.Results)-1]
	return last != e && certain(last)
}

// texts are functions whose constants are text for people: they make the message of an error that is told by its kind.
var texts = []string{"panic", "malformed", "outOfRange", "notFound", "exists", "corrupt"}

// message reports whether a call only makes text for people.
func message(c *ast.CallExpr) bool {
	f, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		id, ok := c.Fun.(*ast.Ident)
		return ok && slices.Contains(texts, id.Name)
	}
	pkg, ok := f.X.(*ast.Ident)
	return ok && (pkg.Name == "fmt" || pkg.Name == "errors" && f.Sel.Name == "New")
}

// typeName is how a type is written in the file, if it can be.
func (s *finder) typeName(t types.Type) (string, bool) {
	ok := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == s.pkg {
			return ""
		}
		n, imported := s.imports[p.Path()]
		ok = ok && imported && n != "_" && n != "."
		return n
	})
	return name, ok
}

// statement leaves a statement out.
func (s *finder) statement(n ast.Stmt) {
	switch s.stack[len(s.stack)-2].(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
	default:
		return
	}
	if c, ok := s.stack[len(s.stack)-2].(*ast.CommClause); ok && c.Comm == n {
		return
	}
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE || blank(n.Lhs) {
			return
		}
	case *ast.BranchStmt:
		if n.Tok != token.CONTINUE && n.Tok != token.BREAK {
			return
		}
	case *ast.ExprStmt:
		if c, ok := n.X.(*ast.CallExpr); ok && message(c) {
			return
		}
	}
	s.add("drop", n, "", "if mutKeep(%d) { ", " }")
}

func blank(all []ast.Expr) bool {
	return !slices.ContainsFunc(all, func(e ast.Expr) bool { id, ok := e.(*ast.Ident); return !ok || id.Name != "_" })
}

// returned mutates what a function returns.
func (s *finder) returned(n *ast.ReturnStmt) {
	if len(s.results) == 0 || len(n.Results) == 0 {
		return
	}
	results := s.results[len(s.results)-1].Results()
	if results.Len() != len(n.Results) {
		return
	}
	last := n.Results[len(n.Results)-1]
	hasError := isError(results.At(results.Len() - 1).Type())
	failing := false
	if hasError {
		if s.isNil(last) {
			s.add("return", last, `errors.New("mutant")`, "mutFail(%d, ", ")")
		} else {
			failing = s.info.Types[last].Type != nil && certain(last)
			s.add("return", last, "nil", "mutError(%d, ", ")")
		}
	}
	for i, e := range n.Results {
		if s.isNil(e) || s.info.Types[e].Value != nil || hasError && (failing || i == len(n.Results)-1) {
			continue
		}
		if lit, ok := e.(*ast.CompositeLit); ok && len(lit.Elts) == 0 {
			continue
		}
		if t, ok := s.info.TypeOf(e).Underlying().(*types.Basic); ok && t.Info()&types.IsBoolean != 0 {
			s.condition(e)
			continue
		}
		if s.info.TypeOf(e) != nil {
			s.add("return", e, "zero", "mutZero(%d, ", ")")
		}
	}
}

// certain reports whether an expression is an error for certain, so that what is returned beside it does not count.
func certain(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.HasPrefix(e.Name, "err") || strings.HasPrefix(e.Name, "Err")
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return message(e) || ok && (strings.HasPrefix(id.Name, "err") || id.Name == "hashError")
	case *ast.UnaryExpr:
		return true
	}
	return false
}

func (s *finder) isNil(e ast.Expr) bool { return s.info.Types[e].IsNil() }

func isError(t types.Type) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Name() == "error" && n.Obj().Pkg() == nil
}

// oneLine puts text that may have several lines into one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
