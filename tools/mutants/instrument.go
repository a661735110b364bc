package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A bug is one small change at one place.
type bug struct {
	id   int
	file string
	fn   string // the function that it is in
	nth  int    // which of its kind at such a place in the function, from 1
	what string
}

// String names the bug by what it is, not by its line, so that a name outlives
// changes elsewhere in the file.
func (b bug) String() string {
	s := fmt.Sprintf("%s %s: %s", b.file, b.fn, b.what)
	if b.nth > 1 {
		s += fmt.Sprintf(" (%d)", b.nth)
	}
	return s
}

// switches is compiled into the package. The names are unlikely to meet others.
const switches = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var mutantNow = func() int {
	n, err := strconv.Atoi(os.Getenv("REGILD_MUTANT"))
	if err != nil {
		return -1
	}
	return n
}()

// mutantTrace is opened at once: a test may give up the right to.
var mutantTrace = func() *os.File {
	name := os.Getenv("REGILD_MUTANT_TRACE")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return f
}()

var mutantSeen [%d]atomic.Bool

// mutant says whether the bug is to happen.
func mutant(id int) bool {
	if mutantTrace != nil && !mutantSeen[id].Load() && !mutantSeen[id].Swap(true) {
		if _, err := mutantTrace.WriteString(strconv.Itoa(id) + "\n"); err != nil {
			panic(err)
		}
	}
	return id == mutantNow
}
`

// instrument writes the sources of the package, with all bugs in them, and an
// overlay that puts them in place.
func instrument(dir, work string) ([]bug, string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, "", err
	}
	in := &instrumenter{fset: token.NewFileSet(), count: map[string]int{}}
	replace := map[string]string{}
	pkg := ""
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, "", err
		}
		if bytes.Contains(src, []byte("\n//go:build")) {
			continue
		}
		f, err := parser.ParseFile(in.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, "", err
		}
		pkg = f.Name.Name
		in.file, in.src = filepath.Base(name), src
		in.change(f)
		var out bytes.Buffer
		if err := format.Node(&out, in.fset, f); err != nil {
			return nil, "", fmt.Errorf("writing %s: %w", name, err)
		}
		if err := put(replace, work, name, out.Bytes()); err != nil {
			return nil, "", err
		}
	}
	if err := put(replace, work, filepath.Join(dir, "zz_mutant_switches.go"), []byte(fmt.Sprintf(switches, pkg, len(in.bugs)))); err != nil {
		return nil, "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, "", err
	}
	overlay := filepath.Join(work, "overlay.json")
	return in.bugs, overlay, os.WriteFile(overlay, data, 0o600)
}

func put(replace map[string]string, work, name string, src []byte) error {
	to := filepath.Join(work, filepath.Base(name))
	abs, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	replace[abs] = to
	return os.WriteFile(to, src, 0o600)
}

type instrumenter struct {
	fset  *token.FileSet
	src   []byte
	file  string
	fn    string
	bugs  []bug
	count map[string]int // of the bugs of one description
}

// text returns the source of a node, on one line and cut.
func (in *instrumenter) text(n ast.Node) string {
	s := string(in.src[in.fset.Position(n.Pos()).Offset:in.fset.Position(n.End()).Offset])
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 90 {
		s = s[:90] + "…"
	}
	return s
}

// bug adds a bug and returns the expression that says whether it is to happen.
func (in *instrumenter) bug(what string) ast.Expr {
	b := bug{id: len(in.bugs), file: in.file, fn: in.fn, what: what}
	in.count[b.String()]++
	b.nth = in.count[b.String()]
	in.bugs = append(in.bugs, b)
	return &ast.CallExpr{Fun: ast.NewIdent("mutant"), Args: []ast.Expr{&ast.BasicLit{Kind: token.INT, Value: fmt.Sprint(b.id)}}}
}

func (in *instrumenter) change(f *ast.File) {
	f.Comments = slices.DeleteFunc(f.Comments, func(g *ast.CommentGroup) bool { return !embeds(g) }) // they would end up elsewhere
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil || fn.Name.Name == "init" {
			continue
		}
		in.fn = fn.Name.Name
		if fn.Recv != nil && len(fn.Recv.List) == 1 {
			in.fn = strings.TrimLeft(in.text(fn.Recv.List[0].Type), "*") + "." + in.fn
		}
		in.block(fn.Body.List)
	}
}

// embeds says whether a comment has files compiled into the binary.
func embeds(g *ast.CommentGroup) bool {
	return slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// block changes the statements of a list in place.
func (in *instrumenter) block(list []ast.Stmt) {
	for i, s := range list {
		list[i] = in.stmt(s)
	}
}

func (in *instrumenter) stmt(s ast.Stmt) ast.Stmt {
	switch s := s.(type) {
	case *ast.BlockStmt:
		in.block(s.List)
	case *ast.IfStmt:
		in.simple(s.Init)
		s.Cond = in.condition(s.Cond)
		in.block(s.Body.List)
		if s.Else != nil {
			s.Else = in.stmt(s.Else)
		}
	case *ast.ForStmt:
		if s.Cond != nil {
			s.Cond = in.operands(s.Cond)
		}
		in.block(s.Body.List)
	case *ast.RangeStmt:
		in.inside(s.X)
		in.block(s.Body.List)
	case *ast.SwitchStmt:
		in.simple(s.Init)
		for _, c := range s.Body.List {
			clause := c.(*ast.CaseClause)
			if s.Tag == nil {
				for i := range clause.List {
					clause.List[i] = in.condition(clause.List[i])
				}
			}
			in.block(clause.Body)
		}
	case *ast.TypeSwitchStmt:
		for _, c := range s.Body.List {
			in.block(c.(*ast.CaseClause).Body)
		}
	case *ast.SelectStmt:
		for _, c := range s.Body.List {
			in.block(c.(*ast.CommClause).Body)
		}
	case *ast.LabeledStmt:
		s.Stmt = in.stmt(s.Stmt)
	case *ast.ReturnStmt:
		in.results(s)
	case *ast.AssignStmt:
		return in.assignment(s)
	case *ast.ExprStmt:
		in.inside(s.X)
		if panics(s.X) {
			return s
		}
		return in.leaveOut(s)
	case *ast.IncDecStmt:
		return in.leaveOut(s)
	case *ast.BranchStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt, *ast.DeclStmt, *ast.EmptyStmt:
		ast.Inspect(s, in.literals)
	}
	return s
}

func panics(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == "panic" // what follows may rely on it
}

// simple changes what is inside the statement before a condition, if there is one.
func (in *instrumenter) simple(s ast.Stmt) {
	if a, ok := s.(*ast.AssignStmt); ok {
		for i := range a.Rhs {
			in.inside(a.Rhs[i])
		}
	}
}

// assignment may be left out unless it declares something.
func (in *instrumenter) assignment(s *ast.AssignStmt) ast.Stmt {
	what := in.text(s)
	for i := range s.Rhs {
		if in.boolean(s.Rhs[i]) {
			s.Rhs[i] = in.condition(s.Rhs[i])
			continue
		}
		in.inside(s.Rhs[i])
	}
	if s.Tok == token.DEFINE {
		return s
	}
	if id, ok := s.Lhs[0].(*ast.Ident); ok && id.Name == "_" {
		return s
	}
	return in.leaveOutAs(s, what)
}

func (in *instrumenter) leaveOut(s ast.Stmt) ast.Stmt { return in.leaveOutAs(s, in.text(s)) }

func (in *instrumenter) leaveOutAs(s ast.Stmt, what string) ast.Stmt {
	return &ast.IfStmt{Cond: &ast.UnaryExpr{Op: token.NOT, X: in.bug("without " + what)}, Body: &ast.BlockStmt{List: []ast.Stmt{s}}}
}

func (in *instrumenter) results(s *ast.ReturnStmt) {
	for i, x := range s.Results {
		switch {
		case isBool(x), in.boolean(x):
			s.Results[i] = in.condition(x)
		default:
			in.inside(x)
		}
	}
}

func isBool(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && (id.Name == "true" || id.Name == "false")
}

// boolean says whether an expression is certainly of type bool.
func (in *instrumenter) boolean(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return in.boolean(x.X)
	case *ast.UnaryExpr:
		return x.Op == token.NOT
	case *ast.BinaryExpr:
		switch x.Op {
		case token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
			return true
		}
	}
	return false
}

// condition is the opposite of x if the bug is to happen, and has those of its
// operands.
func (in *instrumenter) condition(x ast.Expr) ast.Expr {
	what := "not " + in.text(x)
	x = in.operands(x)
	return &ast.BinaryExpr{X: &ast.ParenExpr{X: x}, Op: token.NEQ, Y: in.bug(what)}
}

// operands leaves out operands of && and ||, and moves bounds.
func (in *instrumenter) operands(x ast.Expr) ast.Expr {
	switch x := x.(type) {
	case *ast.ParenExpr:
		x.X = in.operands(x.X)
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			x.X = in.operands(x.X)
		} else {
			in.inside(x.X)
		}
	case *ast.BinaryExpr:
		return in.binary(x)
	default:
		in.inside(x)
	}
	return x
}

func (in *instrumenter) binary(x *ast.BinaryExpr) ast.Expr {
	switch x.Op {
	case token.LAND:
		left, right := in.text(x.X), in.text(x.Y)
		x.X, x.Y = in.operands(x.X), in.operands(x.Y)
		x.X = in.without(x.X, token.LOR, left)
		x.Y = in.without(x.Y, token.LOR, right)
	case token.LOR:
		left, right := in.text(x.X), in.text(x.Y)
		x.X, x.Y = in.operands(x.X), in.operands(x.Y)
		x.X = in.without(x.X, token.LAND, left)
		x.Y = in.without(x.Y, token.LAND, right)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		return in.bound(x)
	default:
		in.inside(x.X)
		in.inside(x.Y)
	}
	return x
}

// without is an operand that says nothing if the bug is to happen. It is asked for
// the bug only where the operand decides, so that no test counts for the bug that
// could not notice it.
func (in *instrumenter) without(x ast.Expr, op token.Token, what string) ast.Expr {
	cond := in.bug("without the operand " + what)
	if op == token.LAND {
		cond = &ast.UnaryExpr{Op: token.NOT, X: cond}
	}
	return &ast.ParenExpr{X: &ast.BinaryExpr{X: &ast.ParenExpr{X: x}, Op: op, Y: cond}}
}

// bound includes the bound of a comparison, or excludes it, if the bug is to
// happen. Operands are evaluated twice then, so they must not act. As in without,
// it is asked for the bug only at the bound.
func (in *instrumenter) bound(x *ast.BinaryExpr) ast.Expr {
	what := "the other bound of " + in.text(x)
	differs := &ast.BinaryExpr{X: &ast.BinaryExpr{X: x.X, Op: token.EQL, Y: x.Y}, Op: token.LAND, Y: in.bug(what)}
	switch x.Op {
	case token.LSS, token.GTR:
		return &ast.ParenExpr{X: &ast.BinaryExpr{X: x, Op: token.LOR, Y: differs}}
	default:
		return &ast.ParenExpr{X: &ast.BinaryExpr{X: x, Op: token.LAND, Y: &ast.UnaryExpr{Op: token.NOT, X: &ast.ParenExpr{X: differs}}}}
	}
}

// inside changes the function literals of an expression.
func (in *instrumenter) inside(x ast.Expr) { ast.Inspect(x, in.literals) }

func (in *instrumenter) literals(n ast.Node) bool {
	lit, ok := n.(*ast.FuncLit)
	if !ok {
		return true
	}
	in.block(lit.Body.List)
	return false
}
