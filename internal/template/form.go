package template

import (
	"fmt"
	"strings"
)

// Wants says in words what an input takes: "size, at least 128MiB".
func (in Input) Wants() string {
	var parts []string
	switch in.Kind {
	case Enum:
		parts = append(parts, "one of "+strings.Join(in.Values, ", "))
	case Boolean:
		parts = append(parts, "yes or no")
	case List:
		kind := in.Items
		if kind == "" {
			kind = String
		}
		parts = append(parts, "list of "+string(kind))
	case Integer:
		parts = append(parts, "whole number")
	case SSHKey:
		parts = append(parts, "public SSH key")
	default:
		parts = append(parts, string(in.Kind))
	}
	show := func(n int64) string {
		switch in.Kind {
		case Size:
			return SizeText(n)
		case List:
			return fmt.Sprintf("%d values", n)
		case String, Password:
			return fmt.Sprintf("%d characters", n)
		default:
			return fmt.Sprint(n)
		}
	}
	if in.Min != nil {
		parts = append(parts, "at least "+show(*in.Min))
	}
	if in.Max != nil {
		parts = append(parts, "at most "+show(*in.Max))
	}
	if in.Pattern != "" {
		parts = append(parts, "matching "+in.Pattern)
	}
	return strings.Join(parts, ", ")
}

// Show is a value of an input as a person would type it; of a secret, stars.
func (in Input) Show(v any) string {
	if v == nil {
		return ""
	}
	if in.secret() {
		return "********"
	}
	switch v := v.(type) {
	case int64:
		if in.Kind == Size {
			return SizeText(v)
		}
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		one := in
		one.Kind = in.Items
		var out []string
		for _, x := range v {
			out = append(out, one.Show(x))
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprint(v)
}
