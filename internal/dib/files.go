package dib

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/spell"
)

// A Batch is what diskimage-builder is called with: the images of its files.
type Batch struct {
	Requests      []Request `json:"requests"` // in the order in which their names come up first
	DryRun        bool      `json:"dry_run"`
	StopOnFailure bool      `json:"stop_on_failure"` // the first that fails is the last that is built
	JSON          bool      `json:"json"`
	Progress      string    `json:"progress,omitzero"`
	Mirror        string    `json:"mirror,omitzero"`
	AcceptExpired bool      `json:"accept_expired,omitzero"`

	// Asked is "help" or "version" where that is all that was asked for.
	Asked string `json:"-"`
}

// fileOptions are those of diskimage-builder.
func fileOptions(b *Batch) []option {
	set := func(field *bool) func(*reading, string) error {
		return func(*reading, string) error {
			*field = true
			return nil
		}
	}
	ask := func(what string) func(*reading, string) error {
		return func(*reading, string) error {
			b.Asked = or(b.Asked, what)
			return nil
		}
	}
	return []option{
		{long: "dry-run", about: "show the commands that the files stand for, build nothing", apply: set(&b.DryRun)},
		{long: "stop-on-failure", about: "build nothing more after an image that failed", apply: set(&b.StopOnFailure)},
		{short: 'h', long: "help", about: "show this", apply: ask("help")},
		{long: "version", about: "show the version", ours: true, apply: ask("version")},
		{long: "mirror", value: "URL", about: "fetch Debian's packages from this mirror", ours: true, apply: func(_ *reading, v string) error {
			b.Mirror = v
			return nil
		}},
		{long: "accept-expired", about: "take package indexes past their Valid-Until", ours: true, apply: set(&b.AcceptExpired)},
		{long: "json", about: "print results as one JSON object", ours: true, apply: set(&b.JSON)},
		{long: "progress", value: "HOW", about: "auto, plain or json", ours: true, apply: func(_ *reading, v string) error {
			b.Progress = v
			return progress(v)
		}},
	}
}

// ParseFiles reads a command line of diskimage-builder and the files that it names.
// A file that is wrong is an invalid definition, exit code 3, with all [Problems].
func ParseFiles(args, env []string) (Batch, error) {
	var b Batch
	files, err := getopt(args, fileOptions(&b), environment(env)["POSIXLY_CORRECT"] != "", func(o *option, value string) error {
		return o.apply(nil, value)
	})
	switch {
	case err != nil || b.Asked != "":
		return b, err
	case len(files) == 0:
		return b, fault.Newf(fault.Usage, "name at least one file that lists images").WithHint("see %q", FilesCommand+" --help")
	}
	var entries []*entry
	var problems Problems
	for _, f := range files {
		data, err := input.Read(f, maxFile)
		if err != nil {
			return b, fault.Wrap(fault.Usage, fmt.Errorf("cannot read a list of images: %w", err))
		}
		d := &document{file: f}
		entries = append(entries, d.entries(data)...)
		problems = append(problems, d.problems...)
	}
	if len(problems) == 0 {
		b.Requests, problems = requests(merge(entries), env)
	}
	if len(problems) > 0 {
		return b, fault.Wrap(fault.Definition, problems)
	}
	for i := range b.Requests {
		r := &b.Requests[i]
		r.DryRun, r.JSON, r.Progress, r.Mirror, r.AcceptExpired = b.DryRun, b.JSON, b.Progress, b.Mirror, b.AcceptExpired
	}
	return b, nil
}

// An entry is one map of a list of images.
type entry struct {
	file   string
	at     *yaml.Node
	scalar map[string]string            // texts, numbers, and "1" or "" for true and false
	list   map[string][]string          //
	pairs  map[string]map[string]string //
	order  map[string][]string          // of the keys of pairs, as they came up
}

// A key is one that an entry may have.
type key struct {
	name   string
	kind   string   // as kindOfNode says it
	option string   // the option that stands for it; "" is none
	values []string // if any, the only ones
}

// keys are all that there are, in the order in which they become arguments.
var keys = []key{
	{name: "imagename", kind: "a text", option: "-o"},
	{name: "arch", kind: "a text", option: "-a", values: []string{"aarch64", "amd64", "arm64", "armhf", "powerpc", "ppc64", "ppc64el", "ppc64le", "s390x", "x86_64"}},
	{name: "types", kind: "a list", option: "-t", values: documented},
	{name: "environment", kind: "keys and values"},
	{name: "ramdisk", kind: "true or false"},
	{name: "debug-trace", kind: "a whole number", option: "-x", values: []string{"0", "1", "2"}},
	{name: "uncompressed", kind: "true or false", option: "-u"},
	{name: "clear", kind: "true or false", option: "-c"},
	{name: "logfile", kind: "a text", option: "--logfile"},
	{name: "checksum", kind: "true or false", option: "--checksum"},
	{name: "image-size", kind: "a whole number", option: "--image-size"},
	{name: "image-extra-size", kind: "a whole number", option: "--image-extra-size"},
	{name: "image-cache", kind: "a text", option: "--image-cache"},
	{name: "max-online-resize", kind: "a whole number", option: "--max-online-resize"},
	{name: "min-tmpfs", kind: "a whole number", option: "--min-tmpfs"},
	{name: "mkfs-journal-size", kind: "a whole number", option: "--mkfs-journal-size"},
	{name: "mkfs-options", kind: "a text", option: "--mkfs-options"},
	{name: "no-tmpfs", kind: "true or false", option: "--no-tmpfs"},
	{name: "offline", kind: "true or false", option: "--offline"},
	{name: "qemu-img-options", kind: "keys and values", option: "--qemu-img-options"},
	{name: "root-label", kind: "a text", option: "--root-label"},
	{name: "ramdisk-element", kind: "a text", option: "--ramdisk-element"},
	{name: "install-type", kind: "a text", option: "--install-type", values: []string{"source", "package"}},
	{name: "docker-target", kind: "a text", option: "--docker-target"},
	{name: "packages", kind: "a list", option: "-p"},
	{name: "skip-base", kind: "true or false", option: "-n"},
	{name: "elements", kind: "a list"},
}

// entries reads a file's list of images.
func (d *document) entries(data []byte) []*entry {
	top := d.parse(data)
	if top == nil {
		return nil
	}
	if top = d.real(top); top.Kind != yaml.SequenceNode {
		d.problem(top, "want a list of images, not %s: begin each with \"- \"", kindOfNode(top))
		return nil
	}
	var out []*entry
	for _, n := range top.Content {
		if n = d.real(n); n.Kind != yaml.MappingNode {
			d.problem(n, "an image is keys and values, not %s", kindOfNode(n))
			continue
		}
		out = append(out, d.entry(n))
	}
	if d.nodes > maxNodes {
		d.problems = nil // they are of what was cut off
		d.at(1, 1, "the file stands for too many values")
	}
	return out
}

func (d *document) entry(n *yaml.Node) *entry {
	e := &entry{file: d.file, at: n, scalar: map[string]string{}, list: map[string][]string{}, pairs: map[string]map[string]string{}, order: map[string][]string{}}
	for _, p := range d.pairs(n, 0) {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == p.key.Value })
		if i < 0 || p.key.Kind != yaml.ScalarNode {
			var names []string
			for _, k := range keys {
				names = append(names, k.name)
			}
			hint := ""
			if near := spell.Nearest(p.key.Value, names); near != "" {
				hint = "; did you mean " + near + "?"
			}
			d.problem(p.key, "unknown key %q%s", printable(p.key.Value), hint)
			continue
		}
		if k := keys[i]; d.is(p.value, k.name, k.kind) {
			d.value(e, k, p.value)
		}
	}
	return e
}

func (d *document) value(e *entry, k key, n *yaml.Node) {
	allowed := func(n *yaml.Node) bool {
		if k.values == nil || slices.Contains(k.values, n.Value) {
			return true
		}
		hint := ""
		if near := spell.Nearest(n.Value, k.values); near != "" && k.kind != "a whole number" {
			hint = "; did you mean " + near + "?"
		}
		d.problem(n, "%s has no %s: there are %s%s", k.name, printable(n.Value), strings.Join(k.values, ", "), hint)
		return false
	}
	switch k.kind {
	case "a list":
		all := []string{}
		for _, item := range n.Content {
			if item = d.real(item); d.is(item, "each of "+k.name, "a text") && allowed(item) {
				all = append(all, item.Value)
			}
		}
		e.list[k.name] = all
	case "keys and values":
		e.pairs[k.name] = map[string]string{}
		for _, p := range d.pairs(n, 0) {
			if k.name == "environment" && !identifier(p.key.Value) {
				d.problem(p.key, "%q is not the name of a variable", printable(p.key.Value))
			}
			if d.is(p.key, "each name of "+k.name, "a text") && d.is(p.value, p.key.Value, "a text") {
				e.pairs[k.name][p.key.Value] = p.value.Value
				e.order[k.name] = append(e.order[k.name], p.key.Value)
			}
		}
	case "true or false":
		if e.scalar[k.name] = ""; truePattern.MatchString(n.Value) {
			e.scalar[k.name] = "1"
		}
	case "a whole number":
		if !decimal.MatchString(n.Value) || n.Value == "0" && k.values == nil {
			d.problem(n, "%s wants a decimal number from 1, not %s", k.name, printable(n.Value))
		} else if allowed(n) {
			e.scalar[k.name] = n.Value
		}
	default:
		if allowed(n) {
			e.scalar[k.name] = n.Value
		}
	}
}

// merge puts the entries of one image together. An entry without a name is of the
// image before it; of the first that is "image". Lists get longer, maps are filled
// up, all else is what was said last.
func merge(entries []*entry) []*entry {
	var out []*entry
	byName := map[string]*entry{}
	name := "image"
	for _, e := range entries {
		if n, ok := e.scalar["imagename"]; ok {
			name = n
		}
		into := byName[name]
		if into == nil {
			byName[name] = e
			out = append(out, e)
			continue
		}
		maps.Copy(into.scalar, e.scalar)
		for k, v := range e.list {
			into.list[k] = append(slices.Clone(into.list[k]), v...)
		}
		for k, v := range e.pairs {
			if into.pairs[k] == nil {
				into.pairs[k] = map[string]string{}
			}
			for _, name := range e.order[k] {
				if _, there := into.pairs[k][name]; !there {
					into.order[k] = append(into.order[k], name)
				}
			}
			maps.Copy(into.pairs[k], v)
		}
	}
	return out
}

// command is the command that builds an entry's image, and its arguments.
func (e *entry) command() (name string, args []string) {
	if name = ImageCommand; e.scalar["ramdisk"] == "1" {
		name = RamdiskCommand
	}
	for _, k := range keys {
		v := e.scalar[k.name]
		switch k.kind {
		case "a list":
			if v = strings.Join(e.list[k.name], ","); k.option == "" {
				args = append(args, e.list[k.name]...)
			}
		case "keys and values":
			var all []string
			for _, name := range e.order[k.name] {
				all = append(all, name+"="+e.pairs[k.name][name])
			}
			v = strings.Join(all, ",")
		}
		switch {
		case k.option == "" || v == "":
		case k.kind == "true or false":
			args = append(args, k.option)
		case k.name == "debug-trace":
			args = append(args, slices.Repeat([]string{k.option}, int(v[0]-'0'))...)
		default:
			args = append(args, k.option, v)
		}
	}
	return name, args
}

// requests reads the commands of entries.
func requests(entries []*entry, env []string) ([]Request, Problems) {
	var out []Request
	var problems Problems
	for _, e := range entries {
		name, args := e.command()
		r, err := parse(name, args, env, e.pairs["environment"])
		if err != nil {
			message := err.Error()
			if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint != "" {
				message += " (" + f.Hint + ")"
			}
			problems = append(problems, Problem{e.file, e.at.Line, e.at.Column, message})
			continue
		}
		out = append(out, r)
	}
	return out, problems
}

// Line is the request as a line of shell: the variables that a file declared, the
// command, its arguments. Secrets are hidden.
func (r Request) Line() string {
	r = r.Shown()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.Declared)) {
		all = append(all, name+"="+shellWord(r.Declared[name]))
	}
	for _, a := range append([]string{r.Command}, r.Args...) {
		all = append(all, shellWord(a))
	}
	return strings.Join(all, " ")
}

// shellWord is a text as a shell reads it back.
func shellWord(s string) string {
	safe := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("@%+=:,./-_", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !safe(c) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}
