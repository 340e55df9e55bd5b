package definition

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v4"

	"ingot/internal/pyconf"
	"ingot/internal/template"
)

// templateDoc is what machines made from the image are asked for.
type templateDoc struct {
	Description text[sentence] `yaml:"description" doc:"What the template is for, for those who choose among several."`
	Inputs      inputsDoc      `yaml:"inputs" doc:"What a machine is asked for, by name, in the order that it is asked."`
	Seed        text[seedKind] `yaml:"seed" default:"iso" doc:"What a machine learns the answers by: cloud-init from a CD or, as vfat, from a volume with FAT; Ignition; systemd's credentials. The image has to have what reads it."`
	At          *yaml.Node     `yaml:"-"`
}

// inputDoc is one input.
type inputDoc struct {
	Type        text[inputType]  `yaml:"type" jsonschema:"required" doc:"What it takes. A size is a number of bytes with a unit, a network is dhcp or ADDRESS/PREFIX [gateway ADDRESS] [dns ADDRESS,…], a password is shown nowhere."`
	Items       text[itemType]   `yaml:"items" default:"string" doc:"What a list's values are: any type but list."`
	Description text[sentence]   `yaml:"description" doc:"What it means, for the person who is asked."`
	Default     anyValue         `yaml:"default" default:"none: a value is needed" doc:"The value where nothing is said."`
	Optional    toggle           `yaml:"optional" default:"false" doc:"Whether it may stay without a value."`
	Change      toggle           `yaml:"change" default:"true" doc:"Whether who makes a machine may change it."`
	Min         anyValue         `yaml:"min" doc:"The least: a number or a size; of texts and passwords how many characters, of lists how many values."`
	Max         anyValue         `yaml:"max" doc:"The most, likewise."`
	Values      []text[sentence] `yaml:"values" jsonschema:"minItems=1" doc:"The texts that an enum takes."`
	Pattern     text[expect]     `yaml:"pattern" doc:"A regular expression (RE2) that the whole text must match; of a list each of its texts."`
	Compute     text[sentence]   `yaml:"compute" doc:"An expression in Python's syntax, of the inputs in front of it, that is its value: memory // 4. A - in an input's name is _ there."`
	When        text[sentence]   `yaml:"when" doc:"An expression of the inputs in front of it that says whether it is asked for: role == 'db'."`
	At          *yaml.Node       `yaml:"-"`
}

func (*inputDoc) advise(key string) string {
	words := map[string]string{
		"kind": "type", "minimum": "min", "maximum": "max", "choices": "values", "enum": "values", "options": "values", "regex": "pattern", "help": "description", "title": "description",
		"value": "default", "changeable": "change", "readonly": "change", "read-only": "change", "computed": "compute", "if": "when", "condition": "when", "of": "items", "required": "optional",
	}
	if w, ok := words[strings.ToLower(key)]; ok {
		return `did you mean "` + w + `"?`
	}
	return ""
}

// anyValue is a text, a number, true or false, or a list of such, by its letters.
type anyValue struct {
	Value any
	At    *yaml.Node
}

func (v *anyValue) decode(d *decoder, n *yaml.Node) {
	v.At = n
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		v.Value = n.Value
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				d.wrongType(item, "a value")
				continue
			}
			list = append(list, item.Value)
		}
		v.Value = list
	default:
		d.wrongType(n, "a value or a list of values")
	}
}

func (anyValue) words() string { return "value, or list of values" }

func (anyValue) schema() *jsonschema.Schema {
	one := []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}
	return &jsonschema.Schema{AnyOf: append(slices.Clone(one), &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{AnyOf: one}})}
}

// inputsDoc is the inputs, in their order.
type inputsDoc struct {
	Names []*yaml.Node
	List  []inputDoc
	At    *yaml.Node
}

// maxInputs bounds a form.
const maxInputs = 200

func (i *inputsDoc) decode(d *decoder, n *yaml.Node) {
	i.At = n
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.wrongType(n, "names of inputs, and what each of them takes")
		return
	}
	if len(n.Content)/2 > maxInputs {
		d.problem(n, "%d inputs are more than %d", len(n.Content)/2, maxInputs)
		return
	}
	var name inputName
	seen := map[string]*yaml.Node{}
	for k := 0; k+1 < len(n.Content); k += 2 {
		key := n.Content[k]
		if key.Kind != yaml.ScalarNode || key.Tag != "!!str" {
			d.problem(key, "%s is not an input's name", described(key))
			continue
		}
		if why, suggestion := name.rule().refuse(key.Value); why != "" {
			d.suggest(key, suggestion, "input %s %s", quote(key.Value), why)
			continue
		}
		folded := strings.ReplaceAll(key.Value, "-", "_")
		if first := seen[folded]; first != nil {
			d.problem(key, "input %s is there twice, first on line %d", quote(key.Value), first.Line)
			continue
		}
		seen[folded] = key
		d.keys = append(d.keys, key.Value)
		var one inputDoc
		d.value(reflect.ValueOf(&one).Elem(), n.Content[k+1])
		d.keys = d.keys[:len(d.keys)-1]
		i.Names, i.List = append(i.Names, key), append(i.List, one)
	}
}

func (inputsDoc) words() string { return "map of inputs, each with a map of what it takes" }

func (inputsDoc) schema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "object", MinProperties: &one, PropertyNames: text[inputName]{}.schema(), AdditionalProperties: reflector().ReflectFromType(reflect.TypeFor[inputDoc]())}
}

type (
	inputName struct{}
	inputType struct{}
	itemType  struct{}
	seedKind  struct{}
	sentence  struct{}
)

var inputNameRule = rule{
	what: "an input's name", form: "small letters, digits and -, a letter first", max: 64,
	pattern: regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`),
	check: func(s string) string {
		if slices.Contains([]string{"and", "or", "not", "if", "else", "in", "is", "for", "lambda", "def", "return", "while", "break", "continue", "pass", "print", "load", "os", "re", "sys", "string", "as", "import", "from", "elif"}, s) {
			return "means something else in expressions: choose another"
		}
		return ""
	},
}

func kindNames(without ...template.Kind) []string {
	var out []string
	for _, k := range template.Kinds {
		if !slices.Contains(without, k) {
			out = append(out, string(k))
		}
	}
	return out
}

func seedNames() []string {
	var out []string
	for _, s := range template.Seeds {
		out = append(out, string(s))
	}
	return out
}

var kindsElsewhere = map[string]string{
	"text": "string", "str": "string", "int": "integer", "bool": "boolean", "float": "number", "bytes": "size", "select": "enum", "choice": "enum", "secret": "password", "sshkey": "ssh-key", "ssh_key": "ssh-key", "ip": "network", "array": "list",
}

var (
	inputTypeRule = rule{what: "a type of input", values: kindNames(), other: kindsElsewhere}
	itemTypeRule  = rule{what: "a type of a list's values", values: kindNames(template.List), other: kindsElsewhere}
	seedKindRule  = rule{what: "a seed", values: seedNames(), other: map[string]string{"cd": "iso", "cdrom": "iso", "nocloud": "iso", "cloud-init": "iso", "fat": "vfat", "systemd": "credentials", "coreos": "ignition"}}
	sentenceRule  = rule{what: "a text", max: 4096, numbers: true}
)

func (inputName) rule() *rule { return &inputNameRule }
func (inputType) rule() *rule { return &inputTypeRule }
func (itemType) rule() *rule  { return &itemTypeRule }
func (seedKind) rule() *rule  { return &seedKindRule }
func (sentence) rule() *rule  { return &sentenceRule }

// template reads what machines are asked for, and holds it together: defaults against
// their own types and bounds, expressions against the inputs in front of them.
func (l *loading) template(doc *document, def *Definition) {
	if doc.Template.At == nil {
		return
	}
	t := &template.Template{Name: def.Name, Description: doc.Template.Description.Value, Seed: template.Seed(doc.Template.Seed.Value)}
	var before []string
	for i, one := range doc.Template.Inputs.List {
		name := doc.Template.Inputs.Names[i]
		in := l.templateInput(name, one, before)
		if t.Seed == template.Credentials && in.Name == "password" {
			l.problem(name, "input password means an account's, and a seed of credentials sets none: leave it out, or choose seed: iso")
		}
		t.Inputs = append(t.Inputs, in)
		before = append(before, strings.ReplaceAll(in.Name, "-", "_"))
	}
	def.Template = t
}

func (l *loading) templateInput(name *yaml.Node, one inputDoc, before []string) template.Input {
	in := template.Input{
		Name: name.Value, Kind: template.Kind(one.Type.Value), Items: template.Kind(one.Items.Value), Description: one.Description.Value, Values: plainTexts(one.Values),
		Pattern: one.Pattern.Value, Optional: one.Optional.Value, ReadOnly: one.Change.At != nil && !one.Change.Value, Compute: one.Compute.Value, When: one.When.Value,
	}
	if in.Kind == "" {
		return in // which is said already
	}
	l.inputBounds(&in, one)
	enum := in.Kind == template.Enum || in.Items == template.Enum
	switch {
	case enum && len(in.Values) == 0:
		l.problem(name, "input %s is an enum and has no values", in.Name)
	case !enum && len(in.Values) > 0:
		l.problem(one.Values[0].At, "values are of an enum, and input %s is %s", in.Name, in.Kind)
	}
	if in.Items != "" && in.Kind != template.List {
		l.problem(one.Items.At, "items are of a list, and input %s is %s", in.Name, in.Kind)
	}
	if kind, ok := template.Meaning(in.Name); ok && (in.Kind != kind.Kind || in.Items != kind.Items) {
		want := string(kind.Kind)
		if kind.Items != "" {
			want += " of " + string(kind.Items)
		}
		l.problem(one.Type.At, "input %s is %s, and the machine takes it as %s: choose another name, or that type", in.Name, in.Kind, want)
	}
	if in.Compute != "" && one.Default.At != nil {
		l.problem(one.Default.At, "input %s is computed, and has no default", in.Name)
	}
	if in.ReadOnly && one.Default.At == nil && in.Compute == "" {
		l.problem(name, "input %s may not be changed and has no value: say its default", in.Name)
	}
	if in.Kind == template.Password && one.Default.At != nil {
		l.hidden(one.Default.At, "default of the password %s would stand in every copy of the definition: leave it out", in.Name)
	} else if one.Default.At != nil && one.Default.Value != nil {
		v, err := in.Parse(one.Default.Value)
		if err != nil {
			l.problem(one.Default.At, "default of input %s: %v", in.Name, err)
		}
		in.Default = v
	}
	for _, e := range []text[sentence]{one.Compute, one.When} {
		if e.Value == "" {
			continue
		}
		if err := pyconf.CheckExpression(e.Value, before); err != nil {
			l.problem(e.At, "input %s: %v; it may name the inputs in front of it, with _ for -", in.Name, err)
		}
	}
	return in
}

// inputBounds reads the bounds of an input.
func (l *loading) inputBounds(in *template.Input, one inputDoc) {
	for _, b := range []struct {
		what string
		v    anyValue
		to   **int64
	}{{"min", one.Min, &in.Min}, {"max", one.Max, &in.Max}} {
		if b.v.At == nil || b.v.Value == nil {
			continue
		}
		kind := template.Integer
		switch in.Kind {
		case template.Size:
			kind = template.Size
		case template.Integer, template.String, template.Password, template.List:
		default:
			l.problem(b.v.At, "%s is of numbers, sizes, texts and lists, and input %s is %s", b.what, in.Name, in.Kind)
			continue
		}
		v, err := template.Input{Kind: kind}.Parse(b.v.Value)
		n, ok := v.(int64)
		if err != nil || !ok {
			l.problem(b.v.At, "%s of input %s: %v", b.what, in.Name, err)
			continue
		}
		*b.to = &n
	}
	if in.Min != nil && in.Max != nil && *in.Min > *in.Max {
		l.problem(one.Min.At, "min of input %s is more than its max", in.Name)
	}
}

func plainTexts(list []text[sentence]) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.Value)
	}
	return out
}

// templateHead is what the reference says of inputs.
func templateHead() string {
	var b strings.Builder
	b.WriteString("An input:\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range fieldsOf(reflect.TypeFor[inputDoc]()) {
		def := k.def
		if k.required {
			def = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, wordsOf(k.typ), def, k.doc)
	}
	b.WriteString("\nInputs of these names mean the machine itself, and have these types; of all others its own scripts know what they mean:\n\n| input | type | what it is |\n|---|---|---|\n")
	for _, m := range template.Meanings {
		kind := string(m.Kind)
		if m.Items != "" {
			kind += " of " + string(m.Items)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, kind, m.About)
	}
	return b.String() + "\n"
}
