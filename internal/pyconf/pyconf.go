// Package pyconf evaluates configuration files in Python's syntax, as ConVirt and Xen's
// older tools have them, without a Python interpreter.
//
// The files are programs, so what they can do is little: they see their own text, what the
// caller declares of the machine they are for, and nothing of the host. They are evaluated
// as Starlark (go.starlark.net). What Python 2 writes otherwise is rewritten first, word by
// word (scan.go, bridge.go); what it means otherwise goes through functions of this
// package (rewrite.go, operators.go), which bound steps and memory too. What is neither is
// refused with its line.
//
// Judged by Python 2.7 itself, where there is one.
package pyconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"ingot/internal/fault"
)

// Bounds of an evaluation.
const (
	MaxSize    = 256 << 10 // bytes of a file
	maxSteps   = 500_000
	maxText    = 1 << 20 // bytes of one text
	maxItems   = 100_000 // of one list
	maxBudget  = 4 << 20 // bytes of texts and items of lists that are made in all
	maxNesting = 32      // of values, and of brackets
	maxIntBits = 4096
)

// Machine is what os.uname() says: of the machine that the configuration is for, not of
// this one.
type Machine struct {
	Node    string // default: localhost
	Release string // default: the empty text
	Arch    string // such as x86_64, which is the default
}

// Options says what an evaluation knows.
type Options struct {
	Name    string         // what messages call the file
	Known   map[string]any // variables that are there beforehand, which are no part of the result
	Set     map[string]any // what the file's own assignments of these keys give instead
	Keep    []string       // keys of Set that stay as the file computes them
	Machine Machine
	Print   func(line string) // nil drops what is printed
}

// A File is what an evaluation left.
type File struct {
	Vars  []Var
	Notes []string // what is odd and does not matter, with its line
}

// A Var is a variable of the top level whose value a configuration can have: a text, a
// whole number (int64), a number (float64), true or false, a list ([]any) or a dictionary
// with texts for keys (map[string]any).
type Var struct {
	Name    string
	Value   any
	Literal bool   // the file says the value itself; else it computes it
	Line    int    // of its first assignment, from 1; 0 where only Set has it
	Source  string // of its first assignment, what stands behind =
}

// Get is the value of a variable, or nil.
func (f *File) Get(name string) any {
	for _, v := range f.Vars {
		if v.Name == name {
			return v.Value
		}
	}
	return nil
}

// Text is the value of a variable that is a text, or "".
func (f *File) Text(name string) string {
	s, _ := f.Get(name).(string)
	return s
}

// Texts is the value of a variable that is a list, of which it gives the texts.
func (f *File) Texts(name string) []string {
	list, _ := f.Get(name).([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Eval evaluates a file. Errors have exit code 3 and begin with the file and the line.
func Eval(src []byte, o Options) (*File, error) {
	if len(src) > MaxSize {
		return nil, fault.Newf(fault.Definition, "%s: %d bytes, and a configuration has at most %d", o.Name, len(src), MaxSize)
	}
	text, err := bridge(o.Name, src)
	if err != nil {
		return nil, err
	}
	opts := &syntax.FileOptions{While: true, TopLevelControl: true, GlobalReassign: true}
	tree, err := opts.Parse(o.Name, text.source, 0)
	if err != nil {
		return nil, text.located(err)
	}
	e := &evaluation{Options: o, file: &File{}, budget: maxBudget}
	vars := e.assignments(tree, text)
	rewrite(tree)
	known, err := e.predeclared()
	if err != nil {
		return nil, err
	}
	program, err := starlark.FileProgram(tree, known.Has)
	if err != nil {
		return nil, text.located(err)
	}
	thread := &starlark.Thread{Name: o.Name, Print: e.print}
	thread.SetMaxExecutionSteps(maxSteps)
	globals, err := program.Init(thread, known)
	if err != nil {
		return nil, text.located(err)
	}
	return e.collect(globals, vars)
}

// An evaluation is one file in the making.
type evaluation struct {
	Options
	file   *File
	budget int
}

func (e *evaluation) note(line int, format string, args ...any) {
	e.file.Notes = append(e.file.Notes, fmt.Sprintf("%s:%d: %s", e.Name, line, fmt.Sprintf(format, args...)))
}

func (e *evaluation) print(_ *starlark.Thread, msg string) {
	if e.Print != nil {
		e.Print(msg)
	}
}

// assignments finds the variables of the top level, in their order, and puts the values of
// Set in the place of the file's own.
func (e *evaluation) assignments(tree *syntax.File, text *bridged) []Var {
	var vars []Var
	seen := map[string]int{}
	var walk func(list []syntax.Stmt, top bool)
	assigned := func(lhs syntax.Expr, value *syntax.Expr, line int, source string, whole bool) {
		id, ok := lhs.(*syntax.Ident)
		if !ok {
			return
		}
		i, old := seen[id.Name]
		if !old {
			i = len(vars)
			seen[id.Name] = i
			vars = append(vars, Var{Name: id.Name, Literal: whole && value != nil && literal(*value), Line: line, Source: source})
		} else {
			vars[i].Literal = vars[i].Literal && whole && value != nil && literal(*value)
		}
		if value != nil && e.overrides(id.Name) {
			at, _ := (*value).Span()
			*value = &syntax.Ident{Name: setPrefix + id.Name, NamePos: at}
		}
	}
	walk = func(list []syntax.Stmt, top bool) {
		for _, s := range list {
			switch s := s.(type) {
			case *syntax.AssignStmt:
				line := text.line(s.OpPos)
				if tuple, ok := s.LHS.(*syntax.TupleExpr); ok {
					for _, x := range tuple.List {
						assigned(x, nil, line, "", false)
					}
					continue
				}
				value := &s.RHS
				if s.Op != syntax.EQ {
					if id, ok := s.LHS.(*syntax.Ident); ok && e.overrides(id.Name) {
						s.Op = syntax.EQ // what is added to a value that is set stays out
					}
				}
				assigned(s.LHS, value, line, text.expression[line], top && s.Op == syntax.EQ)
			case *syntax.IfStmt:
				walk(s.True, false)
				walk(s.False, false)
			case *syntax.ForStmt:
				assigned(s.Vars, nil, text.line(s.For), "", false)
				walk(s.Body, false)
			case *syntax.WhileStmt:
				walk(s.Body, false)
			}
		}
	}
	walk(tree.Stmts, true)
	return vars
}

func (e *evaluation) overrides(name string) bool {
	_, ok := e.Set[name]
	return ok && !slices.Contains(e.Keep, name)
}

// setPrefix begins the names that values of Set are known by.
const setPrefix = "_set_"

// collect turns what an evaluation left into values.
func (e *evaluation) collect(globals starlark.StringDict, vars []Var) (*File, error) {
	for _, v := range vars {
		got, ok := globals[v.Name]
		if !ok {
			continue // an assignment that no condition led to
		}
		left := maxItems
		value, why := fromStarlark(got, 0, &left)
		switch {
		case errors.Is(why, errNothing):
		case why != nil:
			e.note(v.Line, "%s is %v, which no configuration can have: it is left out", v.Name, why)
		default:
			v.Value = value
			if _, ok := value.(bool); ok {
				e.note(v.Line, "%s is %v; ConVirt drops True and False, and here they stay", v.Name, value)
			}
			e.file.Vars = append(e.file.Vars, v)
		}
	}
	for _, name := range sortedKeys(e.Set) {
		if !slices.ContainsFunc(e.file.Vars, func(v Var) bool { return v.Name == name }) && !slices.Contains(e.Keep, name) {
			e.file.Vars = append(e.file.Vars, Var{Name: name, Value: e.Set[name], Literal: true})
		}
	}
	return e.file, nil
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// literal says whether an expression is a value that the file says itself.
func literal(x syntax.Expr) bool {
	switch x := x.(type) {
	case *syntax.Literal:
		return true
	case *syntax.Ident:
		return x.Name == "True" || x.Name == "False" || x.Name == "None"
	case *syntax.UnaryExpr:
		return x.Op == syntax.MINUS && literal(x.X)
	case *syntax.ParenExpr:
		return literal(x.X)
	case *syntax.ListExpr:
		return !slices.ContainsFunc(x.List, func(i syntax.Expr) bool { return !literal(i) })
	case *syntax.TupleExpr:
		return !slices.ContainsFunc(x.List, func(i syntax.Expr) bool { return !literal(i) })
	case *syntax.DictExpr:
		return !slices.ContainsFunc(x.List, func(i syntax.Expr) bool {
			entry, ok := i.(*syntax.DictEntry)
			return !ok || !literal(entry.Key) || !literal(entry.Value)
		})
	}
	return false
}

// Expression evaluates one expression over the variables that are known.
func Expression(src string, known map[string]any) (any, error) {
	f, err := Eval([]byte("_ = ("+strings.ReplaceAll(src, "\n", " ")+")\n"), Options{Name: "expression", Known: known})
	if err != nil {
		return nil, err
	}
	if len(f.Vars) != 1 {
		return nil, nil //nolint:nilnil // None is a value, and no error
	}
	return f.Vars[0].Value, nil
}

// CheckExpression says what is wrong with an expression over variables of these names,
// without evaluating it.
func CheckExpression(src string, names []string) error {
	text, err := bridge("expression", []byte("_ = ("+strings.ReplaceAll(src, "\n", " ")+")\n"))
	if err != nil {
		return err
	}
	tree, err := (&syntax.FileOptions{}).Parse("expression", text.source, 0)
	if err != nil {
		return text.located(err)
	}
	if len(tree.Stmts) != 1 {
		return fault.Newf(fault.Definition, "expression: one expression belongs here")
	}
	rewrite(tree)
	e := &evaluation{}
	known, err := e.predeclared()
	if err != nil {
		return err
	}
	if _, err := starlark.FileProgram(tree, func(n string) bool { return known.Has(n) || slices.Contains(names, n) }); err != nil {
		return text.located(err)
	}
	return nil
}
