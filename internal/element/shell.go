package element

import (
	"fmt"
	"strings"
)

// Substitute puts the values of variables into a text, as a shell would that runs
// with set -u: $NAME, ${NAME}, ${NAME:-DEFAULT}, ${NAME-DEFAULT} (defaults may hold
// such again), quotes and backslashes. What takes more of a shell than that, such as
// $(COMMAND), is an error; so is a variable without a value and without a default.
func Substitute(text string, env map[string]string) (string, error) {
	x := expander{rest: text, env: env}
	out, err := x.word("", 0)
	if err != nil {
		return "", fmt.Errorf("cannot read %q without a shell: %w", text, err)
	}
	return out, nil
}

// An expander reads a text from its beginning.
type expander struct {
	rest string
	env  map[string]string
}

// word reads up to one of the stop bytes, which it leaves.
func (x *expander) word(stop string, depth int) (string, error) {
	if depth > 20 {
		return "", fmt.Errorf("defaults in defaults lie too deep")
	}
	var b strings.Builder
	quoted := false // in double quotes
	for x.rest != "" {
		c := x.rest[0]
		if !quoted && strings.IndexByte(stop, c) >= 0 {
			return b.String(), nil
		}
		x.rest = x.rest[1:]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\'' && !quoted:
			in, after, ok := strings.Cut(x.rest, "'")
			if !ok {
				return "", fmt.Errorf("a quote has no end")
			}
			b.WriteString(in)
			x.rest = after
		case c == '\\':
			if x.rest == "" {
				return "", fmt.Errorf("a backslash stands at its end")
			}
			if quoted && !strings.ContainsRune("$`\"\\\n", rune(x.rest[0])) {
				b.WriteByte('\\')
			}
			b.WriteByte(x.rest[0])
			x.rest = x.rest[1:]
		case c == '$':
			value, err := x.variable(depth)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
		case c == '`' || !quoted && strings.IndexByte(";&|<>()", c) >= 0:
			return "", fmt.Errorf("%q has a meaning for shells alone", c)
		default:
			b.WriteByte(c)
		}
		if b.Len() > maxList {
			return "", fmt.Errorf("it grows too long")
		}
	}
	if quoted {
		return "", fmt.Errorf("a quote has no end")
	}
	if stop != "" {
		return "", fmt.Errorf("a brace has no end")
	}
	return b.String(), nil
}

// variable reads what follows a "$".
func (x *expander) variable(depth int) (string, error) {
	braced := strings.HasPrefix(x.rest, "{")
	if braced {
		x.rest = x.rest[1:]
	}
	n := 0
	for n < len(x.rest) && (x.rest[n] == '_' || isLetter(x.rest[n]) || n > 0 && isDigit(x.rest[n])) {
		n++
	}
	name := x.rest[:n]
	x.rest = x.rest[n:]
	switch {
	case name == "" && !braced && (x.rest == "" || x.rest[0] == ' '):
		return "$", nil
	case name == "":
		return "", fmt.Errorf("what follows a $ has a meaning for shells alone")
	case !braced:
		return x.value(name)
	}
	if strings.HasPrefix(x.rest, "}") {
		x.rest = x.rest[1:]
		return x.value(name)
	}
	empty := strings.HasPrefix(x.rest, ":-")
	if !empty && !strings.HasPrefix(x.rest, "-") {
		return "", fmt.Errorf("${%s…} has a form that only shells know", name)
	}
	x.rest = strings.TrimPrefix(strings.TrimPrefix(x.rest, ":"), "-")
	def, err := x.word("}", depth+1)
	if err != nil {
		return "", err
	}
	x.rest = x.rest[1:] // the brace
	if v, ok := x.env[name]; ok && (v != "" || !empty) {
		return v, nil
	}
	return def, nil
}

func (x *expander) value(name string) (string, error) {
	v, ok := x.env[name]
	if !ok {
		return "", fmt.Errorf("the variable %s is not set", name)
	}
	return v, nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
