package pyconf

import (
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"ingot/internal/fault"
)

// A module is one of Python's, as far as it looks at nothing outside.
type module struct {
	name    string
	members starlark.StringDict
}

func (m module) String() string        { return "<module " + m.name + ">" }
func (m module) Type() string          { return "module" }
func (m module) Freeze()               {}
func (m module) Truth() starlark.Bool  { return true }
func (m module) Hash() (uint32, error) { return 0, errors.New("a module is no key") }

func (m module) member(name string) (starlark.Value, error) {
	if v, ok := m.members[name]; ok {
		return v, nil
	}
	e := fault.Newf(fault.Definition, "%s.%s is not there: a configuration sees nothing of the machine that reads it", m.name, name)
	return nil, e.WithHint("of %s there are %s", m.name, strings.Join(m.members.Keys(), ", "))
}

func textFunction(name string, n int, f func(s []string) (starlark.Value, error)) starlark.Value {
	return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
		var list []string
		for _, a := range args {
			s, ok := starlark.AsString(a)
			if !ok {
				return nil, fmt.Errorf("%s wants texts, not a %s", name, a.Type())
			}
			list = append(list, s)
		}
		if n >= 0 && len(list) != n || len(list) == 0 || len(kw) > 0 {
			return nil, fmt.Errorf("%s wants %d texts", name, max(n, 1))
		}
		return f(list)
	})
}

// splitPath is os.path.split.
func splitPath(p string) (dir, base string) {
	i := strings.LastIndexByte(p, '/') + 1
	dir, base = p[:i], p[i:]
	if strings.Trim(dir, "/") != "" {
		dir = strings.TrimRight(dir, "/")
	}
	return dir, base
}

func (e *evaluation) modules() starlark.StringDict {
	text := func(s string) (starlark.Value, error) { return starlark.String(s), nil }
	ospath := module{"os.path", starlark.StringDict{
		"sep": starlark.String("/"),
		"join": textFunction("os.path.join", -1, func(s []string) (starlark.Value, error) {
			out := s[0]
			for _, p := range s[1:] {
				switch {
				case strings.HasPrefix(p, "/"):
					out = p
				case out == "" || strings.HasSuffix(out, "/"):
					out += p
				default:
					out += "/" + p
				}
			}
			return text(out)
		}),
		"basename": textFunction("os.path.basename", 1, func(s []string) (starlark.Value, error) {
			_, base := splitPath(s[0])
			return text(base)
		}),
		"dirname": textFunction("os.path.dirname", 1, func(s []string) (starlark.Value, error) {
			dir, _ := splitPath(s[0])
			return text(dir)
		}),
		"split": textFunction("os.path.split", 1, func(s []string) (starlark.Value, error) {
			dir, base := splitPath(s[0])
			return starlark.Tuple{starlark.String(dir), starlark.String(base)}, nil
		}),
		"splitext": textFunction("os.path.splitext", 1, func(s []string) (starlark.Value, error) {
			base := s[0][strings.LastIndexByte(s[0], '/')+1:]
			lead := len(base) - len(strings.TrimLeft(base, "."))
			i := strings.LastIndexByte(base, '.')
			if i < lead {
				return starlark.Tuple{starlark.String(s[0]), starlark.String("")}, nil
			}
			cut := len(s[0]) - len(base) + i
			return starlark.Tuple{starlark.String(s[0][:cut]), starlark.String(s[0][cut:])}, nil
		}),
		"normpath": textFunction("os.path.normpath", 1, func(s []string) (starlark.Value, error) { return text(path.Clean(s[0])) }),
		"isabs": textFunction("os.path.isabs", 1, func(s []string) (starlark.Value, error) {
			return starlark.Bool(strings.HasPrefix(s[0], "/")), nil
		}),
	}}
	m := e.Machine
	uname := starlark.Tuple{
		starlark.String("Linux"), starlark.String(orText(m.Node, "localhost")), starlark.String(m.Release), starlark.String(""), starlark.String(orText(m.Arch, "x86_64")),
	}
	return starlark.StringDict{
		"os": module{"os", starlark.StringDict{
			"name": starlark.String("posix"), "sep": starlark.String("/"), "linesep": starlark.String("\n"), "path": ospath,
			"uname": starlark.NewBuiltin("os.uname", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
				return uname, nil
			}),
		}},
		"sys":    module{"sys", starlark.StringDict{"platform": starlark.String("linux2"), "maxint": starlark.MakeInt64(math.MaxInt64), "byteorder": starlark.String("little")}},
		"re":     e.re(),
		"string": stringModule(),
	}
}

// stringModule has what texts can do as functions.
func stringModule() module {
	members := starlark.StringDict{
		"digits": starlark.String("0123456789"), "hexdigits": starlark.String("0123456789abcdefABCDEF"), "octdigits": starlark.String("01234567"),
		"ascii_lowercase": starlark.String("abcdefghijklmnopqrstuvwxyz"), "ascii_uppercase": starlark.String("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
	}
	for _, name := range []string{"lower", "upper", "strip", "lstrip", "rstrip", "split", "find", "count", "capitalize"} {
		members[name] = starlark.NewBuiltin("string."+name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
			if len(args) == 0 {
				return nil, fmt.Errorf("string.%s wants a text", name)
			}
			s, ok := args[0].(starlark.String)
			if !ok {
				return nil, fmt.Errorf("string.%s wants a text", name)
			}
			f, err := s.Attr(name)
			if err != nil {
				return nil, err
			}
			return starlark.Call(thread, f, args[1:], kw)
		})
	}
	members["atoi"] = textFunction("string.atoi", 1, func(s []string) (starlark.Value, error) {
		var n int64
		if _, err := fmt.Sscanf(strings.TrimSpace(s[0])+"\n", "%d\n", &n); err != nil {
			return nil, fmt.Errorf("%q is no whole number", s[0])
		}
		return starlark.MakeInt64(n), nil
	})
	return module{"string", members}
}

// A match is what a regular expression found.
type match struct {
	text   string
	at     []int
	groups []string
}

func (m match) String() string        { return "<match>" }
func (m match) Type() string          { return "match" }
func (m match) Freeze()               {}
func (m match) Truth() starlark.Bool  { return true }
func (m match) Hash() (uint32, error) { return 0, errors.New("a match is no key") }
func (m match) AttrNames() []string   { return []string{"end", "group", "groups", "start"} }

func (m match) nth(i int) starlark.Value {
	if m.at[2*i] < 0 {
		return starlark.None
	}
	return starlark.String(m.text[m.at[2*i]:m.at[2*i+1]])
}

func (m match) index(v starlark.Value) (int, error) {
	if s, ok := starlark.AsString(v); ok {
		if i := slices.Index(m.groups, s); i > 0 {
			return i, nil
		}
		return 0, fmt.Errorf("no group %q", s)
	}
	i, err := starlark.AsInt32(v)
	if err != nil || i < 0 || 2*i >= len(m.at) {
		return 0, errors.New("no such group")
	}
	return i, nil
}

// Attr gives the methods of a match.
func (m match) Attr(name string) (starlark.Value, error) {
	switch name {
	case "group", "start", "end":
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			if len(args) == 0 {
				args = starlark.Tuple{starlark.MakeInt(0)}
			}
			var out starlark.Tuple
			for _, a := range args {
				i, err := m.index(a)
				if err != nil {
					return nil, err
				}
				switch name {
				case "start":
					out = append(out, starlark.MakeInt(m.at[2*i]))
				case "end":
					out = append(out, starlark.MakeInt(m.at[2*i+1]))
				default:
					out = append(out, m.nth(i))
				}
			}
			if len(out) == 1 {
				return out[0], nil
			}
			return out, nil
		}), nil
	case "groups":
		return starlark.NewBuiltin(name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			var out starlark.Tuple
			for i := 1; 2*i < len(m.at); i++ {
				out = append(out, m.nth(i))
			}
			return out, nil
		}), nil
	}
	return nil, nil //nolint:nilnil // which starlark takes for "no such attribute"
}

// re is Python's regular expressions by Go's, which take time that grows with the text alone.
func (e *evaluation) re() module {
	compile := func(pattern string) (*regexp.Regexp, error) {
		if len(pattern) > 1000 {
			return nil, errors.New("a regular expression of more than 1000 characters")
		}
		re, err := regexp.Compile(strings.ReplaceAll(pattern, `\Z`, `\z`))
		if err != nil {
			return nil, fmt.Errorf("the regular expression %q is not read: %w", pattern, err)
		}
		return re, nil
	}
	find := func(begin bool) func(s []string) (starlark.Value, error) {
		return func(s []string) (starlark.Value, error) {
			pattern := s[0]
			if begin {
				pattern = `\A(?:` + pattern + `)`
			}
			re, err := compile(pattern)
			if err != nil {
				return nil, err
			}
			at := re.FindStringSubmatchIndex(s[1])
			if at == nil {
				return starlark.None, nil
			}
			return match{s[1], at, re.SubexpNames()}, nil
		}
	}
	return module{"re", starlark.StringDict{
		"search": textFunction("re.search", 2, find(false)),
		"match":  textFunction("re.match", 2, find(true)),
		"escape": textFunction("re.escape", 1, func(s []string) (starlark.Value, error) { return starlark.String(regexp.QuoteMeta(s[0])), nil }),
		"findall": textFunction("re.findall", 2, func(s []string) (starlark.Value, error) {
			re, err := compile(s[0])
			if err != nil {
				return nil, err
			}
			var out []starlark.Value
			for _, m := range re.FindAllStringSubmatch(s[1], maxItems) {
				switch len(m) {
				case 1, 2:
					out = append(out, starlark.String(m[len(m)-1]))
				default:
					var t starlark.Tuple
					for _, g := range m[1:] {
						t = append(t, starlark.String(g))
					}
					out = append(out, t)
				}
			}
			return starlark.NewList(out), nil
		}),
		"split": textFunction("re.split", 2, func(s []string) (starlark.Value, error) {
			re, err := compile(s[0])
			if err != nil {
				return nil, err
			}
			if re.NumSubexp() > 0 {
				return nil, errors.New("re.split with groups is not read")
			}
			var out []starlark.Value
			for _, p := range re.Split(s[1], maxItems) {
				out = append(out, starlark.String(p))
			}
			return starlark.NewList(out), nil
		}),
		"sub": textFunction("re.sub", 3, func(s []string) (starlark.Value, error) {
			re, err := compile(s[0])
			if err != nil {
				return nil, err
			}
			return substituted(re, s[1], s[2])
		}),
	}}
}

var backReference = regexp.MustCompile(`\\(\d|g<(\w+)>|.)`)

// substituted is re.sub, whose replacement names groups by \1 or \g<name>.
func substituted(re *regexp.Regexp, by, text string) (starlark.Value, error) {
	var b strings.Builder
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(text, maxItems) {
		b.WriteString(text[last:at[0]])
		var wrong error
		b.WriteString(backReference.ReplaceAllStringFunc(by, func(ref string) string {
			i := -1
			switch {
			case ref == `\\`:
				return `\`
			case ref == `\n`:
				return "\n"
			case ref == `\t`:
				return "\t"
			case strings.HasPrefix(ref, `\g<`):
				name := ref[3 : len(ref)-1]
				if i = re.SubexpIndex(name); i < 0 {
					if _, err := fmt.Sscanf(name, "%d", &i); err != nil {
						i = -1
					}
				}
			case ref[1] >= '0' && ref[1] <= '9':
				i = int(ref[1] - '0')
			default:
				return ref
			}
			if i < 0 || 2*i >= len(at) {
				wrong = fmt.Errorf("%s names no group", ref)
				return ""
			}
			if at[2*i] < 0 {
				return ""
			}
			return text[at[2*i]:at[2*i+1]]
		}))
		if wrong != nil {
			return nil, wrong
		}
		if last = at[1]; b.Len() > maxText {
			return nil, fmt.Errorf("a text of more than %d bytes", maxText)
		}
	}
	b.WriteString(text[last:])
	return starlark.String(b.String()), nil
}

// pythonMethods are methods of Python's values that Starlark's have not; they say whether
// the value is one of those.
var pythonMethods = map[string]func(*starlark.Thread, starlark.Value, starlark.Tuple, []starlark.Tuple) (starlark.Value, bool, error){
	"has_key": func(_ *starlark.Thread, x starlark.Value, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, bool, error) {
		d, ok := x.(*starlark.Dict)
		if !ok || len(args) != 1 {
			return nil, false, nil
		}
		_, found, err := d.Get(args[0])
		return starlark.Bool(found), true, err
	},
	"sort": func(thread *starlark.Thread, x starlark.Value, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, bool, error) {
		l, ok := x.(*starlark.List)
		if !ok || len(args) > 0 {
			return nil, false, nil
		}
		sorted, err := starlark.Call(thread, starlark.Universe["sorted"], starlark.Tuple{l}, kw)
		if err != nil {
			return nil, true, err
		}
		return starlark.None, true, refill(l, sorted)
	},
	"reverse": func(thread *starlark.Thread, x starlark.Value, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, bool, error) {
		l, ok := x.(*starlark.List)
		if !ok {
			return nil, false, nil
		}
		turned, err := starlark.Call(thread, starlark.Universe["reversed"], starlark.Tuple{l}, nil)
		if err != nil {
			return nil, true, err
		}
		return starlark.None, true, refill(l, turned)
	},
}

// refill puts the items of one list, of as many, into another.
func refill(l *starlark.List, by starlark.Value) error {
	from, ok := by.(starlark.Indexable)
	if !ok {
		return errors.New("not a list")
	}
	for i := range l.Len() {
		if err := l.SetIndex(i, from.Index(i)); err != nil {
			return err
		}
	}
	return nil
}
