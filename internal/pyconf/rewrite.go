package pyconf

import (
	"reflect"

	"go.starlark.net/syntax"
)

// rewrite has operators and calls go through functions that mean what Python 2 means by
// them, and that are bounded.
func rewrite(tree *syntax.File) { rewriteValue(reflect.ValueOf(&tree.Stmts).Elem()) }

var exprType = reflect.TypeFor[syntax.Expr]()

// rewriteValue rewrites the expressions below a part of the tree.
func rewriteValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			rewriteValue(v.Index(i))
		}
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		rewriteValue(v.Elem())
		if v.Type() == exprType && v.CanSet() {
			if x, _ := v.Interface().(syntax.Expr); x != nil {
				v.Set(reflect.ValueOf(rewritten(x)))
			}
		}
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		switch n := v.Interface().(type) {
		case *syntax.Ident, *syntax.Literal:
		case *syntax.AssignStmt:
			rewriteTarget(n.LHS)
			rewriteValue(reflect.ValueOf(&n.RHS).Elem())
			augmented(n)
		case *syntax.ForStmt:
			rewriteTarget(n.Vars)
			rewriteValue(reflect.ValueOf(&n.X).Elem())
			rewriteValue(reflect.ValueOf(&n.Body).Elem())
		case *syntax.ForClause:
			rewriteTarget(n.Vars)
			rewriteValue(reflect.ValueOf(&n.X).Elem())
		case *syntax.CallExpr:
			called(n)
			rewriteValue(reflect.ValueOf(&n.Fn).Elem())
			for i := range n.Args {
				// NAME=value: the name is none of an expression's.
				if b, ok := n.Args[i].(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
					rewriteValue(reflect.ValueOf(&b.Y).Elem())
				} else {
					rewriteValue(reflect.ValueOf(&n.Args[i]).Elem())
				}
			}
		case *syntax.DefStmt:
			for i := range n.Params {
				if b, ok := n.Params[i].(*syntax.BinaryExpr); ok {
					rewriteValue(reflect.ValueOf(&b.Y).Elem())
				}
			}
			rewriteValue(reflect.ValueOf(&n.Body).Elem())
		case *syntax.LambdaExpr:
			for i := range n.Params {
				if b, ok := n.Params[i].(*syntax.BinaryExpr); ok {
					rewriteValue(reflect.ValueOf(&b.Y).Elem())
				}
			}
			rewriteValue(reflect.ValueOf(&n.Body).Elem())
		default:
			if e := v.Elem(); e.Kind() == reflect.Struct {
				for i := range e.NumField() {
					if f := e.Field(i); e.Type().Field(i).IsExported() && (f.Kind() == reflect.Slice || f.Kind() == reflect.Interface || f.Kind() == reflect.Pointer) && e.Type().Field(i).Type != reflect.TypeFor[*syntax.CallExpr]() {
						rewriteValue(f)
					}
				}
			}
		}
	default:
	}
}

func call(fn string, at syntax.Position, args ...syntax.Expr) *syntax.CallExpr {
	return &syntax.CallExpr{Fn: &syntax.Ident{Name: fn, NamePos: at}, Lparen: at, Rparen: at, Args: args}
}

func text(s string, at syntax.Position) *syntax.Literal {
	return &syntax.Literal{Token: syntax.STRING, TokenPos: at, Raw: syntax.Quote(s, false), Value: s}
}

// rewritten is an expression whose parts are rewritten.
func rewritten(x syntax.Expr) syntax.Expr {
	switch x := x.(type) {
	case *syntax.BinaryExpr:
		switch x.Op {
		case syntax.PLUS, syntax.STAR, syntax.PERCENT, syntax.SLASH:
			return call("_binary_", x.OpPos, text(x.Op.String(), x.OpPos), x.X, x.Y)
		default:
		}
	case *syntax.SliceExpr:
		args := []syntax.Expr{x.X}
		for _, part := range []syntax.Expr{x.Lo, x.Hi, x.Step} {
			if part == nil {
				part = &syntax.Ident{Name: "None", NamePos: x.Lbrack}
			}
			args = append(args, part)
		}
		return call("_slice_", x.Lbrack, args...)
	case *syntax.DotExpr:
		return call("_attribute_", x.Dot, x.X, text(x.Name.Name, x.Dot))
	}
	return x
}

// called has a call go through the one function that knows bounds.
func called(n *syntax.CallExpr) {
	switch fn := n.Fn.(type) {
	case *syntax.DotExpr:
		n.Args = append([]syntax.Expr{fn.X, text(fn.Name.Name, fn.Dot)}, n.Args...)
		n.Fn = &syntax.Ident{Name: "_method_", NamePos: fn.Dot}
	default:
		n.Args = append([]syntax.Expr{n.Fn}, n.Args...)
		n.Fn = &syntax.Ident{Name: "_call_", NamePos: n.Lparen}
	}
}

// augmented writes a += b as a = a + b, which for lists changes the list.
func augmented(n *syntax.AssignStmt) {
	ops := map[syntax.Token]string{syntax.PLUS_EQ: "+=", syntax.STAR_EQ: "*", syntax.PERCENT_EQ: "%", syntax.SLASH_EQ: "/"}
	op, ok := ops[n.Op]
	if !ok {
		return
	}
	n.RHS = call("_binary_", n.OpPos, text(op, n.OpPos), n.LHS, n.RHS)
	n.Op = syntax.EQ
}

// rewriteTarget rewrites what stands in what is assigned to: an index, not the place.
func rewriteTarget(x syntax.Expr) {
	switch x := x.(type) {
	case *syntax.IndexExpr:
		rewriteValue(reflect.ValueOf(&x.X).Elem())
		rewriteValue(reflect.ValueOf(&x.Y).Elem())
	case *syntax.TupleExpr:
		for _, i := range x.List {
			rewriteTarget(i)
		}
	case *syntax.ListExpr:
		for _, i := range x.List {
			rewriteTarget(i)
		}
	case *syntax.ParenExpr:
		rewriteTarget(x.X)
	}
}
