package pyconf

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"ingot/internal/fault"
)

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

// predeclared is all that a file knows.
func (e *evaluation) predeclared() (starlark.StringDict, error) {
	known := starlark.StringDict{}
	for k, v := range e.Known {
		value, err := toStarlark(v)
		if err != nil {
			return nil, fault.Newf(fault.Definition, "%s: %s: %w", e.Name, k, err)
		}
		known[k] = value
	}
	for k, v := range e.Set {
		value, err := toStarlark(v)
		if err != nil {
			return nil, fault.Newf(fault.Definition, "%s: %s: %w", e.Name, k, err)
		}
		known[setPrefix+k] = value
	}
	for k, m := range e.modules() {
		known[k] = m
	}
	for k, f := range map[string]builtin{
		"_binary_": func(_ *starlark.Thread, _ *starlark.Builtin, a starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			op, _ := starlark.AsString(a[0])
			return e.binary(op, a[1], a[2])
		},
		"_slice_": e.slice, "_attribute_": e.attribute, "_method_": e.method, "_call_": e.call,
		"_pow_": function(2, func(a []starlark.Value) (starlark.Value, error) { return powered(a[0], a[1]) }),
		"pow":   function(2, func(a []starlark.Value) (starlark.Value, error) { return powered(a[0], a[1]) }),
		"str": function(1, func(a []starlark.Value) (starlark.Value, error) {
			s, err := e.str(a[0])
			return starlark.String(s), err
		}),
		"repr": function(1, func(a []starlark.Value) (starlark.Value, error) {
			s, err := e.repr(a[0])
			return starlark.String(s), err
		}),
		"unicode": function(1, func(a []starlark.Value) (starlark.Value, error) {
			s, err := e.str(a[0])
			return starlark.String(s), err
		}),
		// A method that is got by its name would be called without its bounds.
		"getattr": function(2, func([]starlark.Value) (starlark.Value, error) { return nil, errors.New("getattr is not there") }),
		"range":   e.numbers, "xrange": e.numbers,
		"sum":        function(1, e.sum),
		"map":        e.mapped,
		"filter":     e.filtered,
		"isinstance": function(2, isInstance),
		"long":       function(1, func(a []starlark.Value) (starlark.Value, error) { return whole(a[0]) }),
		"round": function(1, func(a []starlark.Value) (starlark.Value, error) {
			f, ok := starlark.AsFloat(a[0])
			if !ok {
				return nil, errors.New("round wants a number")
			}
			if f < 0 {
				return starlark.Float(-float64(int64(-f + 0.5))), nil
			}
			return starlark.Float(float64(int64(f + 0.5))), nil
		}),
	} {
		known[k] = starlark.NewBuiltin(k, f)
	}
	return known, nil
}

// function is a builtin of values by their place.
func function(n int, f func([]starlark.Value) (starlark.Value, error)) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
		if len(args) != n || len(kw) > 0 {
			return nil, fmt.Errorf("%s wants %d values", b.Name(), n)
		}
		return f(args)
	}
}

func powered(x, y starlark.Value) (starlark.Value, error) {
	a, ok := x.(starlark.Int)
	b, also := y.(starlark.Int)
	if !ok || !also {
		return nil, errors.New("powers are of whole numbers")
	}
	return power(a, b)
}

// slice is x[lo:hi:step].
func (e *evaluation) slice(_ *starlark.Thread, _ *starlark.Builtin, a starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	x, ok := a[0].(starlark.Sliceable)
	if !ok {
		return nil, fmt.Errorf("a %s has no slices", a[0].Type())
	}
	n, step := x.Len(), 1
	if a[3] != starlark.None {
		var err error
		if step, err = starlark.AsInt32(a[3]); err != nil || step == 0 {
			return nil, errors.New("a slice's step is a whole number and not 0")
		}
	}
	at := func(v starlark.Value, missing, least, most int) (int, error) {
		if v == starlark.None {
			return missing, nil
		}
		i, err := starlark.AsInt32(v)
		if err != nil {
			return 0, errors.New("a slice begins and ends at whole numbers")
		}
		if i < 0 {
			i += n
		}
		return min(max(i, least), most), nil
	}
	from, to, least, most := 0, n, 0, n
	if step < 0 {
		from, to, least, most = n-1, -1, -1, n-1
	}
	lo, err := at(a[1], from, least, most)
	if err != nil {
		return nil, err
	}
	hi, err := at(a[2], to, least, most)
	if err != nil {
		return nil, err
	}
	if step > 0 && hi < lo {
		hi = lo
	}
	if step < 0 && hi > lo {
		hi = lo
	}
	return e.sized(x.Slice(lo, hi, step))
}

// attribute is x.name without a call: of a module alone.
func (e *evaluation) attribute(_ *starlark.Thread, _ *starlark.Builtin, a starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	name, _ := starlark.AsString(a[1])
	m, ok := a[0].(module)
	if !ok {
		return nil, fmt.Errorf("a %s has no %s that is not called", a[0].Type(), name)
	}
	return m.member(name)
}

// call calls what is no method.
func (e *evaluation) call(thread *starlark.Thread, _ *starlark.Builtin, a starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	v, err := starlark.Call(thread, a[0], a[1:], kw)
	if err != nil {
		return nil, err
	}
	if _, ok := a[0].(*starlark.Function); ok {
		return v, nil // what it made is charged
	}
	return e.sized(v)
}

// method calls a method of a value, or a function of a module.
func (e *evaluation) method(thread *starlark.Thread, _ *starlark.Builtin, a starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	name, _ := starlark.AsString(a[1])
	x, args := a[0], a[2:]
	if m, ok := x.(module); ok {
		f, err := m.member(name)
		if err != nil {
			return nil, err
		}
		v, err := starlark.Call(thread, f, args, kw)
		if err != nil {
			return nil, err
		}
		return e.sized(v)
	}
	if err := e.before(x, name, args); err != nil {
		return nil, err
	}
	if f, ok := pythonMethods[name]; ok {
		if v, ok, err := f(thread, x, args, kw); ok || err != nil {
			return v, err
		}
	}
	if s, ok := x.(starlark.String); ok && name == "format" {
		text, err := e.formatted(string(s), args, kw)
		if err != nil {
			return nil, err
		}
		return e.sized(starlark.String(text))
	}
	has, ok := x.(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("a %s has no method %s", x.Type(), name)
	}
	f, err := has.Attr(name)
	if err != nil || f == nil {
		return nil, fmt.Errorf("a %s has no method %s", x.Type(), name)
	}
	v, err := starlark.Call(thread, f, args, kw)
	if err != nil {
		return nil, err
	}
	if v == starlark.None {
		return v, nil
	}
	return e.sized(v)
}

// before holds what a method will make to the bounds.
func (e *evaluation) before(x starlark.Value, name string, args starlark.Tuple) error {
	size := 0
	switch s, _ := starlark.AsString(x); {
	case name == "replace" && len(args) >= 2:
		old, _ := starlark.AsString(args[0])
		by, _ := starlark.AsString(args[1])
		size = len(s) + strings.Count(s, old)*len(by)
	case name == "join" && len(args) == 1:
		list, err := texts(args[0])
		if err != nil {
			return err
		}
		for _, t := range list {
			if size += len(t) + len(s); size > maxText {
				break
			}
		}
	case name == "extend" && len(args) == 1:
		if l, ok := x.(*starlark.List); ok && l.Len()+max(0, starlark.Len(args[0])) > maxItems {
			return fmt.Errorf("a list of more than %d items", maxItems)
		}
		return e.charge(max(0, starlark.Len(args[0])))
	case name == "append" || name == "insert":
		return e.charge(1)
	}
	if size > maxText {
		return fmt.Errorf("a text of more than %d bytes", maxText)
	}
	return nil
}

// formatted is text.format(…), of fields without a form of their own.
func (e *evaluation) formatted(text string, args starlark.Tuple, kw []starlark.Tuple) (string, error) {
	var b strings.Builder
	next := 0
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		if i+1 < len(text) && text[i+1] == text[i] {
			b.WriteByte(text[i])
			text = text[i+2:]
			continue
		}
		end := strings.IndexByte(text[i:], '}')
		if text[i] == '}' || end < 0 {
			return "", errors.New("a brace alone in the text of format")
		}
		field := text[i+1 : i+end]
		text = text[i+end+1:]
		if strings.ContainsAny(field, ":!.[") {
			return "", fault.Newf(fault.Definition, "{%s} is not read", field).WithHint("write it with %%: '%%05d' %% n")
		}
		v, err := fieldOf(field, &next, args, kw)
		if err != nil {
			return "", err
		}
		s, err := e.str(v)
		if err != nil {
			return "", err
		}
		if b.WriteString(s); b.Len() > maxText {
			return "", fmt.Errorf("a text of %d bytes", b.Len())
		}
	}
	return b.String(), nil
}

func fieldOf(field string, next *int, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	for _, pair := range kw {
		if s, _ := starlark.AsString(pair[0]); s == field && field != "" {
			return pair[1], nil
		}
	}
	i := *next
	if field == "" {
		*next++
	} else if _, err := fmt.Sscanf(field, "%d", &i); err != nil {
		return nil, fmt.Errorf("there is no value %q for the text", field)
	}
	if i < 0 || i >= len(args) {
		return nil, errors.New("more {} in the text than values")
	}
	return args[i], nil
}

// numbers is range, which in Python 2 is a list.
func (e *evaluation) numbers(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	var n []int
	for _, a := range args {
		i, err := starlark.AsInt32(a)
		if err != nil {
			return nil, fmt.Errorf("%s wants whole numbers", b.Name())
		}
		n = append(n, i)
	}
	from, to, step := 0, 0, 1
	switch len(n) {
	case 1:
		to = n[0]
	case 2:
		from, to = n[0], n[1]
	case 3:
		from, to, step = n[0], n[1], n[2]
	default:
		return nil, fmt.Errorf("%s wants one to three whole numbers", b.Name())
	}
	if step == 0 {
		return nil, errors.New("a range of steps of 0 has no end")
	}
	var list []starlark.Value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if list = append(list, starlark.MakeInt(i)); len(list) > maxItems {
			return nil, fmt.Errorf("a list of more than %d items", maxItems)
		}
	}
	return starlark.NewList(list), nil
}

func (e *evaluation) sum(a []starlark.Value) (starlark.Value, error) {
	list, ok := a[0].(starlark.Iterable)
	if !ok {
		return nil, errors.New("sum wants a list")
	}
	total := starlark.Value(starlark.MakeInt(0))
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		var err error
		if total, err = e.binary("+", total, x); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func (e *evaluation) each(thread *starlark.Thread, args starlark.Tuple, do func(x, made starlark.Value)) error {
	if len(args) != 2 {
		return errors.New("it wants a function and a list")
	}
	list, ok := args[1].(starlark.Iterable)
	if !ok {
		return errors.New("it wants a function and a list")
	}
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		v := x
		if args[0] != starlark.None {
			var err error
			if v, err = starlark.Call(thread, args[0], starlark.Tuple{x}, nil); err != nil {
				return err
			}
			if v, err = e.sized(v); err != nil {
				return err
			}
		}
		do(x, v)
	}
	return nil
}

func (e *evaluation) mapped(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	var out []starlark.Value
	err := e.each(thread, args, func(_, made starlark.Value) { out = append(out, made) })
	return starlark.NewList(out), err
}

func (e *evaluation) filtered(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	var out []starlark.Value
	err := e.each(thread, args, func(x, made starlark.Value) {
		if made.Truth() {
			out = append(out, x)
		}
	})
	return starlark.NewList(out), err
}

// isInstance knows types by the functions that make them.
func isInstance(a []starlark.Value) (starlark.Value, error) {
	kinds := starlark.Tuple{a[1]}
	if t, ok := a[1].(starlark.Tuple); ok {
		kinds = t
	}
	names := map[string]string{"str": "string", "unicode": "string", "int": "int", "long": "int", "bool": "bool", "float": "float", "list": "list", "tuple": "tuple", "dict": "dict"}
	for _, k := range kinds {
		b, ok := k.(*starlark.Builtin)
		if !ok || names[b.Name()] == "" {
			return nil, errors.New("isinstance knows str, int, bool, float, list, tuple and dict")
		}
		if a[0].Type() == names[b.Name()] || b.Name() == "int" && a[0].Type() == "bool" {
			return starlark.True, nil
		}
	}
	return starlark.False, nil
}
