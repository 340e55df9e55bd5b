package template

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"ingot/internal/fault"
)

// MaxValues bounds a file of values, in bytes.
const MaxValues = 1 << 20

// ReadValues reads a file of values: YAML, or JSON, with a name for each input. Values stay
// as they are written, so 010 is these three characters; lists are of such values.
func ReadValues(file string, data []byte) (map[string]any, error) {
	wrong := func(line int, what string) error {
		return fault.Newf(fault.Usage, "%s:%d: %s", file, max(line, 1), what).WithHint("write a name and a value a line: memory: 512MiB")
	}
	if len(data) > MaxValues {
		return nil, wrong(1, "larger than 1 MiB")
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(data)), yaml.WithV4Defaults(), yaml.WithUniqueKeys(false), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(8))))
	if err != nil {
		return nil, wrong(1, err.Error())
	}
	var doc yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return map[string]any{}, nil
	case err != nil:
		if e, ok := errors.AsType[*yaml.LoadError](err); ok {
			return nil, wrong(e.Mark.Line, "not YAML: "+e.Message)
		}
		return nil, wrong(1, "not YAML: "+err.Error())
	}
	out := map[string]any{}
	if len(doc.Content) == 0 {
		return out, nil
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return out, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, wrong(top.Line, "values are names and values")
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Value == "" {
			return nil, wrong(k.Line, "a name belongs here")
		}
		if _, twice := out[k.Value]; twice {
			return nil, wrong(k.Line, k.Value+" is said twice")
		}
		switch v.Kind {
		case yaml.ScalarNode:
			out[k.Value] = v.Value
		case yaml.SequenceNode:
			list := []any{}
			for _, item := range v.Content {
				if item.Kind != yaml.ScalarNode {
					return nil, wrong(item.Line, "a list of "+k.Value+" holds values")
				}
				list = append(list, item.Value)
			}
			out[k.Value] = list
		default:
			return nil, wrong(v.Line, k.Value+" is a value or a list of values")
		}
	}
	return out, nil
}

// SetValue adds what "--set NAME=VALUE" says. NAME+=VALUE adds to a list, value by value,
// which may hold commas then.
func SetValue(to map[string]any, arg string) error {
	name, value, ok := strings.Cut(arg, "=")
	more := strings.HasSuffix(name, "+")
	name = strings.TrimSuffix(name, "+")
	if !ok || name == "" {
		return fault.Newf(fault.Usage, "--set %s is not NAME=VALUE", strconv.Quote(name)).WithHint("write --set memory=512MiB; --set keys+=VALUE adds one value to a list")
	}
	if !more {
		to[name] = value
		return nil
	}
	list, _ := to[name].([]any)
	to[name] = append(list, value)
	return nil
}
