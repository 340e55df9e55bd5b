package definition

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/template"
)

func TestTemplate(t *testing.T) {
	d := loaded(t, map[string]string{FileName: five + `template:
  description: A server
  inputs:
    memory: {type: size, default: 512MiB, min: 128MiB, max: 64GiB}
    role: {type: enum, values: [web, db], default: web}
    data-disk: {type: size, compute: memory * 2, when: role == 'db'}
    tls: {type: boolean, default: true}
    port: {type: integer, compute: 443 if tls else 80, description: where it listens}
    ssh-keys: {type: list, items: ssh-key, default: []}
    password: {type: password, optional: true, min: 8}
    sites: {type: list, pattern: "[a-z.]+", default: [a.example, b.example], max: 5}
    motd: {type: string, default: 010, change: false}
`})
	if d.Template == nil || d.Template.Name != d.Name || d.Template.Description != "A server" {
		t.Fatalf("%+v", d.Template)
	}
	a, err := d.Template.Answer(map[string]any{"role": "db", "memory": "1GiB"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"memory": int64(1 << 30), "role": "db", "data-disk": int64(2 << 30), "tls": true, "port": int64(443), "ssh-keys": []any{}, "sites": []any{"a.example", "b.example"}, "motd": "010",
	}
	if diff := cmp.Diff(want, a.Values); diff != "" {
		t.Error(diff)
	}
}

func TestTemplateSeed(t *testing.T) {
	d := loaded(t, map[string]string{FileName: five + "template: {seed: credentials, inputs: {token: {type: password}}}\n"})
	if d.Template.Seed != template.Credentials {
		t.Errorf("the seed is %q", d.Template.Seed)
	}
	for text, want := range map[string]string{
		"{seed: nocloud}": `did you mean "iso"?`, "{seed: vfatt}": `did you mean "vfat"?`,
		"{seed: credentials, inputs: {password: {type: password}}}": "input password means an account's, and a seed of credentials sets none",
	} {
		if _, err := load1(t, five+"template: "+text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTemplateProblems(t *testing.T) {
	for _, c := range []struct{ inputs, want string }{
		{"a: {type: sting}", `type "sting" is unknown; did you mean "string"?`},
		{"a: {type: int}", `did you mean "integer"?`},
		{"a: {}", "type is missing in template.inputs.a"},
		{"a: {type: enum}", "input a is an enum and has no values"},
		{"a: {type: string, values: [x]}", "values are of an enum, and input a is string"},
		{"a: {type: size, default: lots}", `default of input a: "lots" is not a size`},
		{"a: {type: size, default: 1MiB, min: 2MiB}", "default of input a: 1MiB is less than 2MiB"},
		{"a: {type: integer, min: 5, max: 4}", "min of input a is more than its max"},
		{"a: {type: boolean, min: 1}", "min is of numbers, sizes, texts and lists"},
		{"a: {type: integer, min: x}", `min of input a: "x" is not a whole number`},
		{"a: {type: password, default: s3cret-word}", "default of the password a would stand in every copy"},
		{"a: {type: string, compute: b + 'x'}", "undefined: b"},
		{"a: {type: string, compute: \"'x' +\"}", "input a: expression:1:"},
		{"a: {type: string, compute: \"open('/etc/passwd')\"}", "undefined: open"},
		{"a: {type: string, when: a == 1}", "undefined: a"},
		{"a: {type: string, compute: \"1)\\nb = (2\"}", "input a: "},
		{"a: {type: string, change: false}", "may not be changed and has no value"},
		{"a: {type: string, compute: \"'x'\", default: y}", "is computed, and has no default"},
		{"memory: {type: string}", "input memory is string, and the machine takes it as size"},
		{"ssh-keys: {type: list}", "the machine takes it as list of ssh-key"},
		{"A: {type: string}", `input "A"`},
		{"if: {type: string}", "means something else in expressions"},
		{"a-b: {type: string}\n    a: {type: string, items: size}", "items are of a list"},
		{"a: {type: string, kind: x}", `did you mean "type"?`},
		{"a: {type: string, default: {x: 1}}", "a value or a list of values"},
		{"a: [1]", "keys and values"},
	} {
		_, err := load1(t, five+"template:\n  inputs:\n    "+c.inputs+"\n")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.inputs, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a password is in %v", err)
		}
	}
}

func load1(t *testing.T, text string) (*Definition, error) {
	t.Helper()
	return Load(lay(t, map[string]string{FileName: text}), Options{HostArch: "amd64"})
}

// Every meaning has a type that a definition may say.
func TestMeanings(t *testing.T) {
	for _, m := range template.Meanings {
		if inputTypeRule.values == nil || m.About == "" {
			t.Errorf("%+v", m)
		}
	}
}
