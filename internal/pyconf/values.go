package pyconf

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"ingot/internal/fault"
)

// errNothing is None, which unsets a variable, and what only a program has a use for.
var errNothing = errors.New("nothing")

// fromStarlark is a value that a configuration can have.
func fromStarlark(v starlark.Value, depth int, left *int) (any, error) {
	if *left--; *left < 0 || depth > maxNesting {
		return nil, errors.New("too large")
	}
	switch v := v.(type) {
	case starlark.NoneType, *starlark.Function, *starlark.Builtin, module:
		return nil, errNothing
	case starlark.String:
		return string(v), nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Float:
		return float64(v), nil
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return nil, errors.New("a number of more than 64 bits")
		}
		return n, nil
	case *starlark.List:
		out := []any{}
		for i := range v.Len() {
			x, err := fromStarlark(v.Index(i), depth+1, left)
			if err != nil {
				return nil, fmt.Errorf("a list that holds %w", err)
			}
			out = append(out, x)
		}
		return out, nil
	case *starlark.Dict:
		out := map[string]any{}
		for _, pair := range v.Items() {
			key, ok := pair[0].(starlark.String)
			if !ok {
				return nil, errors.New("a dictionary with a key that is no text")
			}
			x, err := fromStarlark(pair[1], depth+1, left)
			if err != nil {
				return nil, fmt.Errorf("a dictionary that holds %w", err)
			}
			out[string(key)] = x
		}
		return out, nil
	case starlark.Tuple:
		return nil, errors.New("a tuple")
	}
	return nil, errors.New("a " + v.Type())
}

// toStarlark is the other way.
func toStarlark(v any) (starlark.Value, error) {
	switch v := v.(type) {
	case nil:
		return starlark.None, nil
	case string:
		return starlark.String(v), nil
	case bool:
		return starlark.Bool(v), nil
	case int:
		return starlark.MakeInt(v), nil
	case int64:
		return starlark.MakeInt64(v), nil
	case float64:
		return starlark.Float(v), nil
	case []string:
		var list []starlark.Value
		for _, s := range v {
			list = append(list, starlark.String(s))
		}
		return starlark.NewList(list), nil
	case []any:
		var list []starlark.Value
		for _, x := range v {
			y, err := toStarlark(x)
			if err != nil {
				return nil, err
			}
			list = append(list, y)
		}
		return starlark.NewList(list), nil
	case map[string]any:
		d := starlark.NewDict(len(v))
		for _, k := range sortedKeys(v) {
			y, err := toStarlark(v[k])
			if err != nil {
				return nil, err
			}
			if err := d.SetKey(starlark.String(k), y); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return nil, fmt.Errorf("a %T is no value of a configuration", v)
}

// charge counts what is made, and ends an evaluation that makes too much.
func (e *evaluation) charge(n int) error {
	if e.budget -= n; e.budget < 0 || n > maxBudget {
		e.budget = 0
		return fault.Newf(fault.Definition, "it makes more than a configuration may hold: %d bytes and items in all", maxBudget)
	}
	return nil
}

// sized charges a value that was made, and holds it to the bounds of one.
func (e *evaluation) sized(v starlark.Value) (starlark.Value, error) {
	n := 1
	switch v := v.(type) {
	case starlark.String:
		if n = len(v); n > maxText {
			return nil, fmt.Errorf("a text of %d bytes", n)
		}
	case starlark.Int:
		if n = v.BigInt().BitLen(); n > maxIntBits {
			return nil, errors.New("a number of too many digits")
		}
		n /= 8
	case starlark.Sequence:
		if n = v.Len(); n > maxItems {
			return nil, fmt.Errorf("a list of %d items", n)
		}
	}
	return v, e.charge(n + 1)
}

// repr is a value as Python 2 shows it to programmers, bounded.
func (e *evaluation) repr(v starlark.Value) (string, error) {
	var b strings.Builder
	err := e.writeRepr(&b, v, 0)
	return b.String(), err
}

func (e *evaluation) writeRepr(b *strings.Builder, v starlark.Value, depth int) error {
	if depth > maxNesting {
		return errors.New("lists in lists, too deep to show")
	}
	if err := e.charge(1); err != nil {
		return err
	}
	list := func(open, end string, n int, item func(int) error) error {
		b.WriteString(open)
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := item(i); err != nil {
				return err
			}
		}
		b.WriteString(end)
		return nil
	}
	switch v := v.(type) {
	case starlark.String:
		if err := e.charge(len(v)); err != nil {
			return err
		}
		b.WriteString(Quote(string(v)))
	case starlark.Float:
		b.WriteString(floatText(float64(v), -1))
	case *starlark.List:
		return list("[", "]", v.Len(), func(i int) error { return e.writeRepr(b, v.Index(i), depth+1) })
	case starlark.Tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		return list("(", end, len(v), func(i int) error { return e.writeRepr(b, v[i], depth+1) })
	case *starlark.Dict:
		items := v.Items()
		return list("{", "}", len(items), func(i int) error {
			if err := e.writeRepr(b, items[i][0], depth+1); err != nil {
				return err
			}
			b.WriteString(": ")
			return e.writeRepr(b, items[i][1], depth+1)
		})
	case starlark.NoneType, starlark.Bool, starlark.Int:
		b.WriteString(v.String())
	default:
		fmt.Fprintf(b, "<%s>", v.Type())
	}
	return nil
}

// str is a value as a text.
func (e *evaluation) str(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), nil
	case starlark.Float:
		return floatText(float64(v), 12), nil
	}
	return e.repr(v)
}

// floatText is a float as Python 2 shows it: with digits as many as are asked for, or as it
// takes to read it back.
func floatText(f float64, digits int) string {
	s := strconv.FormatFloat(f, 'g', digits, 64)
	if digits < 0 {
		// repr changes to exponents at 1e16, Go's 'g' at 1e21.
		if abs := max(f, -f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
			s = strconv.FormatFloat(f, 'e', -1, 64)
		} else {
			s = strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	if strings.Trim(s, "-0123456789") == "" {
		s += ".0"
	}
	return strings.Replace(strings.Replace(s, "+Inf", "inf", 1), "NaN", "nan", 1)
}

// Quote writes a text so that Python 2, Python 3, Starlark and Xen read the same: in
// single quotes, with no escape but those of all of them. Control characters that have
// none of those stand as \xNN, which Xen alone does not read.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\' || c == '\'':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// Write is a value as a literal, on one line.
func Write(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return Quote(v), nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return floatText(v, -1), nil
	case []string:
		var out []string
		for _, s := range v {
			out = append(out, Quote(s))
		}
		return "[" + strings.Join(out, ", ") + "]", nil
	case []any:
		var out []string
		for _, x := range v {
			s, err := Write(x)
			if err != nil {
				return "", err
			}
			out = append(out, s)
		}
		return "[" + strings.Join(out, ", ") + "]", nil
	case map[string]any:
		var out []string
		for _, k := range sortedKeys(v) {
			s, err := Write(v[k])
			if err != nil {
				return "", err
			}
			out = append(out, Quote(k)+": "+s)
		}
		return "{" + strings.Join(out, ", ") + "}", nil
	}
	return "", fmt.Errorf("a %T is no value of a configuration", v)
}

// WriteVars is a whole file: a key and its value a line.
func WriteVars(vars []Var) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		s, err := Write(v.Value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.Name, err)
		}
		fmt.Fprintf(&b, "%s = %s\n", v.Name, s)
	}
	return b.String(), nil
}

func power(a, b starlark.Int) (starlark.Value, error) {
	n, ok := b.Int64()
	if !ok || n < 0 || n*int64(max(1, a.BigInt().BitLen())) > maxIntBits {
		return nil, errors.New("a power of too many digits, or below 1")
	}
	return starlark.MakeBigInt(new(big.Int).Exp(a.BigInt(), b.BigInt(), nil)), nil
}

// texts are the texts of a list, or why it has others.
func texts(v starlark.Value) ([]string, error) {
	list, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("a %s is no list", v.Type())
	}
	var out []string
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		s, ok := x.(starlark.String)
		if !ok {
			return nil, fmt.Errorf("a %s where a text belongs", x.Type())
		}
		out = append(out, string(s))
	}
	return slices.Clip(out), nil
}
