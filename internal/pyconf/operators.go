package pyconf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// binary is an operator of which Python 2 thinks otherwise than Starlark, or of which
// Starlark knows no bounds.
func (e *evaluation) binary(op string, x, y starlark.Value) (starlark.Value, error) {
	switch op {
	case "+=":
		if a, ok := x.(*starlark.List); ok {
			items, ok := y.(starlark.Iterable)
			if !ok {
				return nil, fmt.Errorf("a %s cannot be added to a list", y.Type())
			}
			n := starlark.Len(y)
			if a.Len()+max(n, 0) > maxItems {
				return nil, fmt.Errorf("a list of %d items", a.Len()+n)
			}
			var list []starlark.Value
			it := items.Iterate()
			for v := starlark.Value(nil); it.Next(&v); {
				list = append(list, v)
			}
			it.Done()
			for _, v := range list {
				if err := a.Append(v); err != nil {
					return nil, err
				}
			}
			return a, e.charge(len(list))
		}
		return e.arithmetic(syntax.PLUS, x, y)
	case "+":
		return e.arithmetic(syntax.PLUS, x, y)
	case "*":
		return e.arithmetic(syntax.STAR, x, y)
	case "/":
		if _, ok := x.(starlark.Int); ok {
			if _, ok := y.(starlark.Int); ok {
				return starlark.Binary(syntax.SLASHSLASH, x, y)
			}
		}
		return starlark.Binary(syntax.SLASH, x, y)
	default: // %
		if s, ok := x.(starlark.String); ok {
			text, err := e.format(string(s), y)
			if err != nil {
				return nil, err
			}
			return e.sized(starlark.String(text))
		}
		return starlark.Binary(syntax.PERCENT, x, y)
	}
}

// arithmetic is + or *, of things that stay small.
func (e *evaluation) arithmetic(op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	if op == syntax.STAR {
		n, seq := x, y
		if _, ok := x.(starlark.Int); !ok {
			n, seq = y, x
		}
		if times, ok := n.(starlark.Int); ok {
			if length := starlark.Len(seq); length > 0 {
				if many, ok := times.Int64(); !ok || many > int64(maxText/length) {
					return nil, errors.New("it is repeated too often")
				}
			}
		}
	}
	v, err := starlark.Binary(op, x, y)
	if err != nil {
		return nil, err
	}
	return e.sized(v)
}

// format is Python 2's text % values.
func (e *evaluation) format(text string, values starlark.Value) (string, error) {
	args, isTuple := values.(starlark.Tuple)
	if !isTuple {
		args = starlark.Tuple{values}
	}
	dict, _ := values.(*starlark.Dict)
	used := 0
	next := func() (starlark.Value, error) {
		if used >= len(args) {
			return nil, errors.New("more % in the text than values behind it")
		}
		used++
		return args[used-1], nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i < len(text) && text[i] == '%' {
			b.WriteByte('%')
			continue
		}
		v := starlark.Value(nil)
		if i < len(text) && text[i] == '(' {
			end := strings.IndexByte(text[i:], ')')
			if end < 0 || dict == nil {
				return "", errors.New("%( wants a name, ) and a dictionary behind the text")
			}
			got, ok, err := dict.Get(starlark.String(text[i+1 : i+end]))
			if err != nil || !ok {
				return "", fmt.Errorf("there is no value %q for the text", text[i+1:i+end])
			}
			v, used = got, len(args)
			i += end + 1
		}
		var d directive
		if i = d.read(text, i); i >= len(text) {
			return "", errors.New("a % that nothing follows")
		}
		for _, star := range []*int{&d.width, &d.precision} {
			if *star != fromArgument {
				continue
			}
			w, err := next()
			if err != nil {
				return "", err
			}
			n, err := starlark.AsInt32(w)
			if err != nil {
				return "", errors.New("* in % wants a whole number")
			}
			*star = n
		}
		if d.width > 1000 || d.precision > 1000 {
			return "", errors.New("a width of more than 1000")
		}
		if v == nil {
			var err error
			if v, err = next(); err != nil {
				return "", err
			}
		}
		s, err := e.directed(d, text[i], v)
		if err != nil {
			return "", err
		}
		if b.WriteString(s); b.Len() > maxText {
			return "", fmt.Errorf("a text of %d bytes", b.Len())
		}
	}
	if isTuple && used < len(args) || !isTuple && used == 0 && dict == nil {
		return "", errors.New("more values than % in the text")
	}
	return b.String(), nil
}

// fromArgument is a width that is said by *.
const fromArgument = -2

// A directive is what stands between % and its letter.
type directive struct {
	flags            string
	width, precision int // -1 is none
}

func (d *directive) read(text string, i int) int {
	number := func() int {
		if i < len(text) && text[i] == '*' {
			i++
			return fromArgument
		}
		start := i
		for i < len(text) && digit(text[i]) {
			i++
		}
		n, err := strconv.Atoi(text[start:i])
		if err != nil {
			if i == start {
				return -1
			}
			return math.MaxInt
		}
		return n
	}
	for i < len(text) && strings.ContainsRune("#0- +", rune(text[i])) {
		d.flags += text[i : i+1]
		i++
	}
	d.width, d.precision = number(), -1
	if i < len(text) && text[i] == '.' {
		i++
		if d.precision = number(); d.precision == -1 {
			d.precision = 0
		}
	}
	for i < len(text) && strings.ContainsRune("hlL", rune(text[i])) {
		i++
	}
	return i
}

func (d directive) has(flag string) bool { return strings.Contains(d.flags, flag) }

// pad brings a text to the width; zeros stand behind a sign.
func (d directive) pad(s string, zeros bool) string {
	width, left := d.width, d.has("-")
	if width < -2 {
		width, left = -width, true
	}
	fill := width - len([]rune(s))
	switch {
	case fill <= 0:
		return s
	case left:
		return s + strings.Repeat(" ", fill)
	case zeros && d.has("0"):
		sign := 0
		if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || strings.HasPrefix(s, " ") {
			sign = 1
		}
		if strings.HasPrefix(s[sign:], "0x") || strings.HasPrefix(s[sign:], "0X") {
			sign += 2
		}
		return s[:sign] + strings.Repeat("0", fill) + s[sign:]
	}
	return strings.Repeat(" ", fill) + s
}

func (d directive) sign(s string) string {
	switch {
	case strings.HasPrefix(s, "-"):
		return s
	case d.has("+"):
		return "+" + s
	case d.has(" "):
		return " " + s
	}
	return s
}

// directed is one value under its directive.
func (e *evaluation) directed(d directive, letter byte, v starlark.Value) (string, error) {
	switch letter {
	case 's', 'r':
		show := e.str
		if letter == 'r' {
			show = e.repr
		}
		s, err := show(v)
		if err != nil {
			return "", err
		}
		if r := []rune(s); d.precision >= 0 && len(r) > d.precision {
			s = string(r[:d.precision])
		}
		return d.pad(s, false), nil
	case 'c':
		if s, ok := v.(starlark.String); ok && len([]rune(string(s))) == 1 {
			return d.pad(string(s), false), nil
		}
		n, err := starlark.AsInt32(v)
		if err != nil || n < 1 || n > 127 {
			return "", errors.New("%c wants a character")
		}
		return d.pad(string(rune(n)), false), nil
	case 'd', 'i', 'u', 'o', 'x', 'X':
		n, err := whole(v)
		if err != nil {
			return "", err
		}
		base, prefix := 10, ""
		switch letter {
		case 'o':
			base, prefix = 8, "0"
		case 'x', 'X':
			base, prefix = 16, "0x"
		}
		digits := n.BigInt().Text(base)
		negative := strings.HasPrefix(digits, "-")
		digits = strings.TrimPrefix(digits, "-")
		if short := d.precision - len(digits); short > 0 {
			digits = strings.Repeat("0", short) + digits
		}
		if d.has("#") && prefix != "" && (letter != 'o' || !strings.HasPrefix(digits, "0")) {
			digits = prefix + digits
		}
		if letter == 'X' {
			digits = strings.ToUpper(digits)
		}
		if negative {
			digits = "-" + digits
		}
		return d.pad(d.sign(digits), d.precision < 0), nil
	case 'e', 'E', 'f', 'F', 'g', 'G':
		f, ok := starlark.AsFloat(v)
		if !ok {
			return "", fmt.Errorf("a %s where %%%c wants a number", v.Type(), letter)
		}
		precision := d.precision
		if precision < 0 {
			precision = 6
		}
		if letter == 'g' || letter == 'G' {
			precision = max(precision, 1)
		}
		if letter == 'F' {
			letter = 'f'
		}
		return d.pad(d.sign(strconv.FormatFloat(f, letter, precision, 64)), true), nil
	}
	return "", fmt.Errorf("%%%c means nothing", letter)
}

func whole(v starlark.Value) (starlark.Int, error) {
	switch v := v.(type) {
	case starlark.Int:
		return v, nil
	case starlark.Bool:
		if v {
			return starlark.MakeInt(1), nil
		}
		return starlark.MakeInt(0), nil
	case starlark.Float:
		return starlark.NumberToInt(v)
	}
	return starlark.Int{}, fmt.Errorf("a %s where a whole number belongs", v.Type())
}
