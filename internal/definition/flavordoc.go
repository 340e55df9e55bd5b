package definition

import (
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v4"

	"ingot/internal/flavor"
	"ingot/internal/spell"
)

// An item is a text of a list, or a map of the text and the condition under which it
// counts.
type item[R ruled] struct{ text[R] }

// itemDoc is the long form of an item.
type itemDoc[R ruled] struct {
	Name text[R]         `yaml:"name" jsonschema:"required"`
	When text[condition] `yaml:"when"`
	At   *yaml.Node      `yaml:"-"`
}

func (i *item[R]) decode(d *decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		i.text.decode(d, n)
		return
	}
	var long itemDoc[R]
	d.value(reflect.ValueOf(&long).Elem(), n)
	if i.text = long.Name; i.At == nil {
		i.At = n
	}
}

func (i item[R]) schema() *jsonschema.Schema {
	long := &jsonschema.Schema{Type: "object", Required: []string{"name"}, AdditionalProperties: jsonschema.FalseSchema, Properties: jsonschema.NewProperties()}
	long.Properties.Set("name", i.text.schema())
	long.Properties.Set("when", text[condition]{}.schema())
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{i.text.schema(), long}}
}

func (i item[R]) words() string { return i.text.words() + ", or a map of `name` and `when`" }

// plain are the texts of a list of items.
func plain[R ruled](list []item[R]) []text[R] {
	var out []text[R]
	for _, i := range list {
		out = append(out, i.text)
	}
	return out
}

// flavorsDoc is the flavors of a definition, as they are written.
type flavorsDoc struct {
	List []flavorDoc
	At   *yaml.Node
}

// A flavorDoc is one of them.
type flavorDoc struct {
	Key   *yaml.Node
	Says  *yaml.Node // what may be said of a flavor, and nothing else; nil is refused
	Value flavor.Flavor
	Good  bool // Value is a flavor
}

// withoutDoc is what a flavor takes out of what the definition has.
type withoutDoc struct {
	Packages   []text[pkgName]     `yaml:"packages" doc:"Packages not to ask for, by name. They may still come with others; remove forbids that."`
	Groups     []text[groupName]   `yaml:"groups" doc:"Groups of a repository not to take anything from, by name."`
	Elements   []text[elementName] `yaml:"elements" doc:"Elements not to take in, by name. They may still come with others."`
	Files      []text[imagePath]   `yaml:"files" doc:"Files not to put there, by their path."`
	Users      []text[accountName] `yaml:"users" doc:"Accounts not to add, by name."`
	UnixGroups []text[accountName] `yaml:"unix-groups" doc:"Groups not to add, by name."`
	Services   []text[unit]        `yaml:"services" doc:"Units to leave as their packages have them."`
	Scripts    []text[scriptName]  `yaml:"scripts" doc:"Scripts not to run, by the names of their steps."`
	Outputs    []text[formatName]  `yaml:"outputs" doc:"Formats not to make."`
}

// alike are the keys that all flavors of a definition have in common.
var alike = []string{"version", "name", "distro", "release", "arch", "include", "archives", "template", "declared", "flavors"}

// overlayType is what may be said of a flavor: all that makes one image of a definition,
// and what it does without.
var overlayType = func() reflect.Type {
	var fields []reflect.StructField
	for i := range documentType.NumField() {
		if f := documentType.Field(i); !slices.Contains(alike, f.Tag.Get("yaml")) {
			tag := strings.Replace(string(f.Tag), `"required,`, `"`, 1) // the definition has them
			fields = append(fields, reflect.StructField{Name: f.Name, Type: f.Type, Tag: reflect.StructTag(tag)})
		}
	}
	return reflect.StructOf(append(fields, reflect.StructField{
		Name: "Without", Type: reflect.TypeFor[withoutDoc](),
		Tag: `yaml:"without" doc:"What the flavor does without."`,
	}))
}

func (f *flavorsDoc) decode(d *decoder, n *yaml.Node) {
	f.At = n
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.wrongType(n, "flavors, and what each of them changes")
		return
	}
	seen := map[string]*yaml.Node{}
	overlay := overlayType()
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, says := n.Content[i], n.Content[i+1]
		one := flavorDoc{Key: key}
		if key.Kind != yaml.ScalarNode || key.Tag != "!!str" {
			d.problem(key, "%s is no flavor: write one such as vmware or \"!kernel\"", described(key))
		} else if v, err := flavor.Parse(key.Value); err != nil {
			d.refuse(key, "", err)
		} else {
			one.Value, one.Good = v, true
		}
		if first := seen[key.Value]; first != nil {
			d.problem(key, "flavor %s is there twice, first on line %d", quote(key.Value), first.Line)
			one.Good = false
		}
		seen[key.Value] = key
		d.keys = append(d.keys, key.Value)
		one.Says = d.overlay(says, overlay)
		d.keys = d.keys[:len(d.keys)-1]
		f.List = append(f.List, one)
	}
}

// overlay checks what is said of a flavor and gives that of it which may be said.
func (d *decoder) overlay(n *yaml.Node, overlay reflect.Type) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, "keys and values")
		return nil
	}
	out := *n
	out.Content = nil
	d.origin[&out] = d.origin[n]
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if slices.Contains(alike, k.Value) {
			d.problem(k, "%s is the same for all flavors: it stands outside of them", k.Value)
			continue
		}
		out.Content = append(out.Content, k, n.Content[i+1])
	}
	v := reflect.New(overlay).Elem()
	d.value(v, &out)
	known := out
	known.Content = nil
	d.origin[&known] = d.origin[n]
	fields := fieldsOf(overlay)
	for i := 0; i+1 < len(out.Content); i += 2 {
		if _, ok := fields.find(out.Content[i].Value); ok {
			known.Content = append(known.Content, out.Content[i], out.Content[i+1])
		}
	}
	return &known
}

// refuse notes what another room says of a text, with its hint.
func (d *decoder) refuse(n *yaml.Node, what string, err error) {
	message, suggestion := err.Error(), ""
	if hint := hintOf(err); hint != "" {
		message += "; " + hint
	}
	if _, word, ok := strings.Cut(message, "did you mean "); ok {
		suggestion = nearWord(n.Value, strings.TrimSuffix(word, "?"))
	}
	if what != "" {
		message = what + ": " + message
	}
	d.suggest(n, suggestion, "%s", message)
}

// nearWord is a text with the word in it that is most like another one put right.
func nearWord(text, right string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,~!()", r) })
	for _, w := range words {
		if spell.Nearest(w, []string{right}) != "" {
			return strings.Replace(text, w, right, 1)
		}
	}
	return ""
}

func (flavorsDoc) words() string {
	return "map of flavors, each with a map of what it changes"
}

func (flavorsDoc) schema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "object", MinProperties: &one, AdditionalProperties: reflector().ReflectFromType(overlayType())}
}
