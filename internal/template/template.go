// Package template is what a template asks for, and what it is answered: typed inputs
// with defaults, bounds and conditions.
//
// A [Template] is a value. Image directories of ConVirt (internal/imagestore) and the key
// "template" of a definition both come to one. [Template.Answer] holds what a person or a
// program says against the inputs, all of it, before anything is touched.
package template

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/pyconf"
	"ingot/internal/spell"
)

// A Kind is what an input takes.
type Kind string

// The kinds of inputs, with the Go type of their values.
const (
	String   Kind = "string"   // string
	Integer  Kind = "integer"  // int64
	Number   Kind = "number"   // float64
	Size     Kind = "size"     // int64, bytes
	Boolean  Kind = "boolean"  // bool, or one of two texts where Values has them: for true, for false
	Enum     Kind = "enum"     // string
	Password Kind = "password" // string; a secret
	SSHKey   Kind = "ssh-key"  // string, a line of authorized_keys
	Network  Kind = "network"  // string, see ParseNetwork
	List     Kind = "list"     // []any
	Fixed    Kind = "value"    // whatever a file of ConVirt has that no input can be
)

// Kinds are those that a definition may ask for.
var Kinds = []Kind{String, Integer, Number, Size, Boolean, Enum, Password, SSHKey, Network, List}

// An Input is one thing that a template asks for.
type Input struct {
	Name        string
	Kind        Kind
	Items       Kind // of a list's values; "" is String
	Description string
	Default     any      // nil is none
	Optional    bool     // it may stay without a value
	Min, Max    *int64   // of a number or size; of a text's characters; of a list's values
	Values      []string // of an enum
	Pattern     string   // RE2, of a whole text
	ReadOnly    bool     // who provisions may not change it
	Compute     string   // an expression of the other inputs that is its value
	When        string   // an expression of the inputs in front of it that says whether it is asked for
	Source      string   // what computes it where a file of ConVirt does
}

// A Template is a provisionable image's inputs, in the order that they are asked for.
type Template struct {
	Name        string
	Description string // as plain text
	Inputs      []Input
	Seed        Seed // "" is ISO
}

// Input finds an input.
func (t *Template) Input(name string) (Input, bool) {
	i := slices.IndexFunc(t.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 {
		return Input{}, false
	}
	return t.Inputs[i], true
}

// Answers are values for all of a template's inputs that have one.
type Answers struct {
	Values map[string]any
	Given  []string // names of those that were said, sorted
	Secret []string // names of those that nothing may show, sorted
}

// identifier is an input's name in expressions.
func identifier(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Answer holds what was said against the inputs. Values are texts, as a person types them,
// or of the input's own type. The error says all that is wrong at once, exit code 2.
func (t *Template) Answer(given map[string]any) (*Answers, error) {
	a := &Answers{Values: map[string]any{}}
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range sorted(given) {
		in, ok := t.Input(name)
		switch {
		case !ok:
			text := fmt.Sprintf("there is no input %q", name)
			if n := spell.Nearest(name, t.changeable()); n != "" {
				text += fmt.Sprintf("; did you mean %q?", n)
			}
			problem("%s", text)
		case in.ReadOnly || in.Compute != "" || in.Source != "":
			problem("%s is not for whoever provisions to change", name)
		default:
			v, err := in.Parse(given[name])
			if err != nil {
				problem("%s: %v", name, err)
				continue
			}
			a.Values[name] = v
			a.Given = append(a.Given, name)
		}
	}
	known := map[string]any{}
	for _, in := range t.Inputs {
		if in.When != "" {
			asked, err := pyconf.Expression(in.When, known)
			if err != nil {
				problem("%s: when: %v", in.Name, err)
				continue
			}
			if !truth(asked) {
				if _, ok := a.Values[in.Name]; ok {
					problem("%s is asked for only when %s", in.Name, in.When)
				}
				known[identifier(in.Name)] = nil
				continue
			}
		}
		if err := a.fill(in, known); err != nil {
			problem("%s: %v", in.Name, err)
		}
		known[identifier(in.Name)] = a.Values[in.Name]
		if _, ok := a.Values[in.Name]; ok && in.secret() {
			a.Secret = append(a.Secret, in.Name)
		}
	}
	slices.Sort(a.Secret)
	if len(problems) > 0 {
		return nil, fault.Newf(fault.Usage, "%s: %s", t.Name, strings.Join(problems, "\n  ")).
			WithHint("ingot template show %s says what is asked for", t.Name)
	}
	return a, nil
}

// fill gives an input that nothing was said of its value.
func (a *Answers) fill(in Input, known map[string]any) error {
	if _, ok := a.Values[in.Name]; ok {
		return nil
	}
	v := in.Default
	if in.Compute != "" {
		got, err := pyconf.Expression(in.Compute, known)
		if err != nil {
			return err
		}
		if v = got; v != nil {
			if v, err = in.Parse(v); err != nil {
				return fmt.Errorf("computed: %w", err)
			}
		}
	}
	switch {
	case v != nil:
		a.Values[in.Name] = v
	case !in.Optional && in.Compute == "":
		return fmt.Errorf("a value is needed (%s)", in.Wants())
	}
	return nil
}

func (in Input) secret() bool { return in.Kind == Password || in.Kind == List && in.Items == Password }

// Secret says whether nothing may show the input's value.
func (in Input) Secret() bool { return in.secret() }

// changeable are the names of the inputs that may be set.
func (t *Template) changeable() []string {
	var out []string
	for _, in := range t.Inputs {
		if !in.ReadOnly && in.Compute == "" && in.Source == "" {
			out = append(out, in.Name)
		}
	}
	return out
}

func sorted(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0
	case []any:
		return len(v) > 0
	}
	return v != nil
}
