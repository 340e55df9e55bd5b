package element

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"ingot/internal/fault"
)

// yamlDepth bounds how deep lists and maps may nest; the lists of elements need 4.
const yamlDepth = 16

// A pair is a key of a map with its value. Texts are taken as they are written:
// what a 1.1 or a 1.2 of YAML makes of them does not matter here.
type pair struct {
	key   string
	at    *yaml.Node // where the key stands
	value *yaml.Node
}

// A list is a file in YAML or JSON whose top is a map.
type list struct{ file string }

// errorf is a problem at a node, with exit code 3.
func (l list) errorf(n *yaml.Node, format string, args ...any) error {
	at := l.file
	if n != nil && n.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", l.file, n.Line, n.Column)
	}
	return fault.Newf(fault.Definition, at+": "+format, args...)
}

// parse reads the file's one document. An empty file is nil.
func (l list) parse(data []byte) (*yaml.Node, error) {
	if !utf8.Valid(data) {
		return nil, l.errorf(nil, "the file is not UTF-8 text")
	}
	if json.Valid(data) {
		// JSON is YAML, but for tabs between its words. In its texts there are none.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults(), yaml.WithUniqueKeys(false),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(yamlDepth))))
	if err != nil {
		return nil, l.errorf(nil, "%w", err)
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, l.syntax(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || null(doc.Content[0]) {
		return nil, nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		return nil, l.errorf(&second, "a second document")
	case !errors.Is(err, io.EOF):
		return nil, l.syntax(err)
	}
	return doc.Content[0], nil
}

func (l list) syntax(err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return l.errorf(&yaml.Node{Line: max(1, e.Mark.Line), Column: max(1, e.Mark.Column)}, "%s", e.Message)
	}
	return l.errorf(nil, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// pairs are the keys of a map in their order; the last of a key counts and stands
// where the first did. Merge keys bring what the map itself does not have.
func (l list) pairs(n *yaml.Node, what string) ([]pair, error) {
	return l.pairsAt(n, what, 0)
}

func (l list) pairsAt(n *yaml.Node, what string, depth int) ([]pair, error) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		return nil, l.errorf(n, "%s are keys with values", what)
	}
	if depth > 4 {
		return nil, l.errorf(n, "maps are merged too deep")
	}
	var out, under []pair
	index := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolved(n.Content[i+1])
		if k.Tag == "!!merge" {
			from := []*yaml.Node{v}
			if v.Kind == yaml.SequenceNode {
				from = v.Content
			}
			for _, f := range from {
				more, err := l.pairsAt(f, what, depth+1)
				if err != nil {
					return nil, err
				}
				under = append(under, more...)
			}
			continue
		}
		if k = resolved(k); k.Kind != yaml.ScalarNode {
			return nil, l.errorf(k, "a key is a word")
		}
		if j, ok := index[k.Value]; ok {
			out[j].value = v
			continue
		}
		index[k.Value] = len(out)
		out = append(out, pair{k.Value, k, v})
	}
	for _, p := range under {
		if _, ok := index[p.key]; !ok {
			index[p.key] = len(out)
			out = append(out, p)
		}
	}
	return out, nil
}

// text is a value that is one word or line; what is not there is an empty text.
func (l list) text(n *yaml.Node, what string) (string, error) {
	switch n = resolved(n); {
	case null(n):
		return "", nil
	case n.Kind != yaml.ScalarNode:
		return "", l.errorf(n, "%s is one text", what)
	}
	return n.Value, nil
}

// resolved is what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	for range yamlDepth {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// null says whether a value is missing.
func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// falsy is what Python takes for false: nothing, an empty text, list or map, zero.
func falsy(n *yaml.Node) bool {
	switch n = resolved(n); n.Kind {
	case yaml.ScalarNode:
		return null(n) || n.Value == "" || n.Style == 0 && (isNo(n.Value) || n.Value == "0")
	default:
		return len(n.Content) == 0
	}
}

// isNo says whether a word is one of those that YAML 1.1 reads as false.
func isNo(s string) bool {
	switch strings.ToLower(s) {
	case "false", "no", "off":
		return true
	}
	return false
}
