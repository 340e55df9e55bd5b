package definition

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"ingot/internal/blockdevice"
)

// schemer is a value with a JSON schema of its own.
type schemer interface{ schema() *jsonschema.Schema }

// Schema is the JSON schema (draft 2020-12) of ingot.yaml, made from the same
// types and rules as the decoder, for editors and other programs. It knows what
// one value may be; what only the whole can tell, such as a name used twice, is
// for [Load] alone.
func Schema() []byte {
	s := reflector().ReflectFromType(documentType)
	s.Title = "ingot.yaml"
	s.Description = "The definition of an operating-system image."
	// What an included file may say instead is not asked for here.
	required := s.Required
	s.Required = nil
	s.AnyOf = []*jsonschema.Schema{{Required: required}, {Required: []string{"include"}}}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic(err) // the schema is a constant of the program
	}
	return b.Bytes()
}

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true,
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true,
		LookupComment: describe,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if s, ok := reflect.New(t).Interface().(schemer); ok {
				return s.schema()
			}
			return nil
		},
	}
}

func describe(t reflect.Type, name string) string {
	if name == "" {
		return ""
	}
	f, ok := t.FieldByName(name)
	if !ok {
		return ""
	}
	doc := f.Tag.Get("doc")
	if def := f.Tag.Get("default"); def != "" {
		doc += " Default: " + def + "."
	}
	return doc
}

func (t text[R]) schema() *jsonschema.Schema {
	var kind R
	r := kind.rule()
	s := &jsonschema.Schema{Type: "string"}
	switch {
	case r.values != nil:
		for _, v := range r.values {
			s.Enum = append(s.Enum, v)
		}
		return s
	case r.pattern != nil:
		s.Pattern = r.pattern.String()
	}
	limit := uint64(4096)
	if r.max > 0 {
		limit = uint64(r.max)
	}
	s.MaxLength = &limit
	if r.numbers {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "number"}}}
	}
	return s
}

func (p pairs[R]) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", PropertyNames: text[R]{}.schema(), AdditionalProperties: text[pairValue]{}.schema()}
}

func (toggle) schema() *jsonschema.Schema      { return &jsonschema.Schema{Type: "boolean"} }
func (formVersion) schema() *jsonschema.Schema { return &jsonschema.Schema{Const: 1} }

func (unixID) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "0", Maximum: "65533"}
}

func (size) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", Pattern: sizePattern.String()},
		{Type: "integer", Minimum: "0", Maximum: "17592186044416"},
	}}
}

func (span) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: spanPattern.String()}
}

func (mode) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: modePattern.String()}
}

func (layoutDoc) schema() *jsonschema.Schema {
	var names []any
	for _, f := range blockdevice.Forms {
		names = append(names, f.Name)
	}
	one := uint64(1)
	nodes := &jsonschema.Schema{Type: "array", MinItems: &one, Items: &jsonschema.Schema{Type: "object", MinProperties: &one, MaxProperties: &one}}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Enum: names}, nodes}}
}

// A key that is not supported yet takes nothing.
func (later) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Not: &jsonschema.Schema{}, Description: "Not supported yet."}
}

// JSONSchemaExtend lets the word none stand for the map.
func (kernelDoc) JSONSchemaExtend(s *jsonschema.Schema) {
	long := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Enum: []any{"none"}}, &long}}
}

// JSONSchemaExtend lets a format stand for the map.
func (outputDoc) JSONSchemaExtend(s *jsonschema.Schema) {
	long := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{text[formatName]{}.schema(), &long}}
}

// JSONSchemaExtend lets a spec stand for the map.
func (groupDoc) JSONSchemaExtend(s *jsonschema.Schema) {
	long := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{text[groupSpec]{}.schema(), &long}}
}
