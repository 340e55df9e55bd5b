package definition

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// maxFlavors bounds how many flavors a definition may have.
const maxFlavors = 64

// hintOf is what an error advises to do.
func hintOf(err error) string { return fault.HintOf(err) }

// Variants are the whole definitions that this one stands for: for each of its flavors,
// its own first, one an architecture. Each is a definition like any other, with one
// architecture and all that its flavor says merged in, so nothing that builds it needs
// to know of flavors. A definition with one architecture and no flavors is its only
// variant.
func (d *Definition) Variants() []*Definition {
	if d.variants == nil {
		return []*Definition{d}
	}
	return slices.Clone(d.variants)
}

// Declared are the flags and architectures that the definition's flavors may name.
func (d *Definition) Declared() flavor.Declared {
	if d.declared == nil {
		return flavor.Builtin()
	}
	return *d.declared
}

// FlavorLabel is the variant's flavor without its architecture: "~kernel,vmware"; empty
// where a definition tests no flag. It is what a lock calls it.
func (d *Definition) FlavorLabel() string { return flagsAlone(d.Flavor).String() }

// flagsAlone is a flavor without architectures.
func flagsAlone(f flavor.Flavor) flavor.Flavor {
	var words []string
	for _, g := range f.Use() {
		words = append(words, g.Sense.String()+g.Name)
	}
	out, err := flavor.Parse(strings.Join(words, ","))
	if err != nil {
		return flavor.Flavor{} // it was one
	}
	return out
}

// FullName is the name, of a variant of a flavor with that behind it: what its files are
// called.
func (d *Definition) FullName() string {
	if d.FlavorName == "" {
		return d.Name
	}
	return d.Name + "-" + d.FlavorName
}

// An expansion makes a definition's variants.
type expansion struct {
	*loading
	top      *yaml.Node
	declared flavor.Declared
	arches   []text[arch]
	flavors  []flavorDoc
	tested   []string            // flags that a flavor or condition names, sorted
	holds    map[*yaml.Node]bool // conditions that held for a variant
}

// conditions are the lists whose entries may have a condition, by their keys.
var conditional = []string{
	"packages", "remove", "groups", "users", "unix-groups", "files", "path-conflicts", "scripts", "outputs", "tests", "elements", "services.enable", "services.disable", "services.mask",
}

// entriesOf visits the lists of a document, or of what is said of a flavor, whose entries
// may have a condition.
func entriesOf(n *yaml.Node, visit func(key string, list *yaml.Node)) {
	for _, key := range conditional {
		at := n
		for part := range strings.SplitSeq(key, ".") {
			if at = valueOf(at, part); at == nil {
				break
			}
		}
		if at != nil && at.Kind == yaml.SequenceNode {
			visit(key, at)
		}
	}
}

// valueOf is the value of a map's key, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// expand makes the definition of the merged document and all its variants.
func (l *loading) expand(top *yaml.Node, doc *document) *Definition {
	x := &expansion{loading: l, top: top, declared: flavor.Builtin(), arches: doc.Arch, holds: map[*yaml.Node]bool{}}
	if doc.Declared.Value != "" {
		x.readDeclared(doc.Declared)
	}
	kept := l.entries // of the declarations
	conditions := x.conditions(doc)
	if len(doc.Flavors.List) == 0 && len(conditions) == 0 && len(doc.Arch) < 2 {
		return l.build(top, doc)
	}
	unique(l, "arch", doc.Arch)
	x.flavors = x.checkFlavors(doc)
	x.tested = x.flags(conditions)
	x.top = without(l, top, "flavors")
	l.someElements = len(doc.Elements) > 0 || slices.ContainsFunc(x.flavors, func(f flavorDoc) bool { return valueOf(f.Says, "elements") != nil })
	var out []*Definition
	entries := map[string]Source{}
	for _, f := range append([]flavorDoc{{}}, x.flavors...) {
		arches := x.archOf(f)
		l.oneOfSeveral, l.gone = len(arches) > 1, map[string]int{}
		for _, a := range arches {
			l.entries = nil
			def := x.variant(f, a)
			for p, s := range l.entries {
				entries[p] = s
			}
			out = append(out, def)
		}
		for firmware, n := range l.gone {
			if n == len(arches) {
				l.problem(or(doc.Layout.At, top), "%s", missing(firmware))
			}
		}
	}
	for p, s := range kept {
		entries[p] = s
	}
	if len(entries) > maxSources {
		l.problem(doc.Flavors.At, "the files of all flavors are more than %d", maxSources)
	}
	for _, n := range conditions {
		if !x.holds[n] && len(l.problems) == 0 {
			out[0].Warnings = append(out[0].Warnings, fmt.Sprintf("%s:%d:%d: when %s holds for no flavor and architecture of this definition", l.origin[n].show, n.Line, n.Column, quote(n.Value)))
		}
	}
	// The definition itself is its own flavor, of all architectures.
	l.entries = nil
	whole := *out[0]
	if len(doc.Arch) > 1 {
		whole.Arch, whole.Flavor = values(doc.Arch), flagsAlone(whole.Flavor)
		whole.Kernel = Kernel{None: whole.Kernel.None, Package: doc.Kernel.Package.Value, Chosen: whole.Kernel.Chosen, All: whole.Kernel.All, Arguments: whole.Kernel.Arguments, Console: doc.Kernel.Console.Value}
	}
	whole.variants, whole.entries = out, sources(entries)
	for _, v := range out {
		v.declared = &x.declared
		if v != out[0] {
			whole.Warnings = append(whole.Warnings, v.Warnings...)
		}
	}
	slices.Sort(whole.Warnings)
	whole.Warnings = slices.Compact(whole.Warnings)
	whole.declared = &x.declared
	return &whole
}

// readDeclared reads a definition's own declarations.
func (x *expansion) readDeclared(t text[localPath]) {
	if abs, dir := x.named("declared", t, true); abs == "" || !dir {
		if abs != "" {
			x.problem(t.At, "declared %s is a file, not a directory", quote(t.Value))
		}
		return
	}
	from, err := fs.Sub(x.root.FS(), path.Clean(beside(x.origin[t.At], t.Value)))
	if err == nil {
		var d flavor.Declared
		if d, err = flavor.Read(from); err == nil {
			x.declared = d
			return
		}
	}
	x.refuse(t.At, "declared "+quote(t.Value), err)
}

// conditions are the conditions of a document and its flavors, checked.
func (x *expansion) conditions(doc *document) []*yaml.Node {
	var out []*yaml.Node
	check := func(_ string, list *yaml.Node) {
		for _, e := range list.Content {
			n := valueOf(e, "when")
			if n == nil {
				continue
			}
			c, err := flavor.ParseCondition(n.Value)
			if err != nil {
				continue // noted where it was read
			}
			out = append(out, n)
			if x.known(n, "when", c.Flavor()) && beyond(c.Flavor()) {
				x.problem(n, "when %s asks for a flag of an architecture or for a target, and no image's flavor has one: is: and an architecture is all that can be asked", quote(n.Value))
			}
		}
	}
	entriesOf(x.top, check)
	for _, f := range doc.Flavors.List {
		if f.Says != nil {
			entriesOf(f.Says, check)
		}
	}
	return out
}

// known notes flags and architectures that nothing declares, and says whether all are.
func (x *expansion) known(n *yaml.Node, what string, f flavor.Flavor) bool {
	err := x.declared.Trapped(f)
	if err == nil {
		err = x.declared.Check(f)
	}
	if err != nil {
		x.refuse(n, what+" "+quote(n.Value), err)
	}
	return err == nil
}

// checkFlavors are the flavors that are right, with what is wrong with the others noted.
func (x *expansion) checkFlavors(doc *document) []flavorDoc {
	var out []flavorDoc
	names := map[string]*yaml.Node{}
	if len(doc.Flavors.List) > maxFlavors {
		x.problem(doc.Flavors.At, "%d flavors: a definition has at most %d", len(doc.Flavors.List), maxFlavors)
		return nil
	}
	for _, f := range doc.Flavors.List {
		if !f.Good || f.Says == nil || !x.known(f.Key, "flavor", f.Value) {
			continue
		}
		shown := "flavor " + quote(f.Key.Value)
		switch {
		case beyond(f.Value):
			x.problem(f.Key, "%s: an image's flavor is flags and architectures, without target: and without an architecture's own flags", shown)
			continue
		case len(f.Value.Use()) == 0:
			x.problem(f.Key, "%s has no flag; what is for one architecture is said by when, as in {name: grub-pc, when: \"is: x86_64\"}", shown)
			continue
		case x.itself(f.Value):
			x.problem(f.Key, "%s is what the definition is without it: say what is for all flavors outside of them", shown)
			continue
		}
		if len(x.archOf(f)) == 0 {
			x.problem(f.Key, "%s is for no architecture that arch has", shown)
			continue
		}
		name := flavorName(f.Value)
		if first := names[name]; first != nil {
			x.problem(f.Key, "%s is called %s in names of files, and so is that on line %d", shown, name, first.Line)
			continue
		}
		names[name] = f.Key
		out = append(out, f)
	}
	return out
}

// beyond says whether a flavor says more of architectures than an image's does: what its packages
// are built for is the distribution's word, and the same for all that it has for an architecture.
func beyond(f flavor.Flavor) bool {
	return len(f.Target()) > 0 || slices.ContainsFunc(f.Is(), func(a flavor.Arch) bool { return len(a.Flags) > 0 })
}

// itself says whether a flavor says nothing else than the definition's own does.
func (x *expansion) itself(f flavor.Flavor) bool {
	return !slices.ContainsFunc(f.Use(), func(g flavor.Flag) bool {
		return g.Sense.Positive() != x.declared.Flags[g.Name].Sense.Positive()
	})
}

// flavorName is what a flavor is called in names of files: "vmware", "no-kernel".
func flavorName(f flavor.Flavor) string {
	var words []string
	for _, g := range f.Use() {
		if g.Sense.Negative() {
			words = append(words, "no")
		}
		words = append(words, g.Name)
	}
	return strings.Join(words, "-")
}

// flags are all flags that a flavor or a condition names.
func (x *expansion) flags(conditions []*yaml.Node) []string {
	var out []string
	for _, f := range x.flavors {
		for _, g := range f.Value.Use() {
			out = append(out, g.Name)
		}
	}
	for _, n := range conditions {
		if c, err := flavor.ParseCondition(n.Value); err == nil {
			out = append(out, c.Flags()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// archOf are the definition's architectures that a flavor is for.
func (x *expansion) archOf(f flavorDoc) []text[arch] {
	all := x.arches
	if all == nil {
		all = []text[arch]{{Value: x.host}}
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a text[arch]) bool { return a.Value == "" })
	if len(all) == 0 {
		all = []text[arch]{{}} // refused, or not known, which has been said
	}
	if len(f.Value.Is()) == 0 {
		return all
	}
	var out []text[arch]
	for _, a := range all {
		if f.Value.RunsOn(x.declared.ArchitectureOf(a.Value)) {
			out = append(out, a)
		}
	}
	return out
}

// full is the flavor of a variant: what it says, then of all other flags that are tested
// what is declared, as something to prefer; and its architecture.
func (x *expansion) full(f flavorDoc, a string) (flavor.Flavor, error) {
	var words []string
	for _, name := range x.tested {
		sense := f.Value.Sense(name)
		if sense == flavor.Unset {
			sense = x.declared.Flags[name].Sense.Weak()
		}
		if sense == flavor.Unset {
			continue // nothing declares it, which has been said
		}
		words = append(words, sense.String()+name)
	}
	text := strings.Join(words, ",")
	if known := x.declared.ArchitectureOf(a); known != "" {
		text += " is: " + known
	}
	return flavor.Parse(strings.TrimSpace(text))
}

// variant makes the definition of one flavor for one architecture.
func (x *expansion) variant(f flavorDoc, a text[arch]) *Definition {
	of, err := x.full(f, a.Value)
	if err != nil {
		x.refuse(or(f.Key, x.top), "flavor", err)
	}
	n := x.pruned(x.top, of)
	if f.Says != nil {
		n = x.overlaid(n, x.pruned(f.Says, of))
	}
	before := len(x.problems)
	var doc document
	x.value(reflect.ValueOf(&doc).Elem(), n)
	if x.arches != nil {
		doc.Arch = []text[arch]{a}
	}
	def := x.build(n, &doc)
	def.Flavor = of
	if f.Key != nil {
		def.FlavorName = flavorName(f.Value)
		x.ofFlavor(f.Key.Value, before)
		boots := slices.ContainsFunc(def.Outputs, func(o Output) bool { return o.Kind().Boots() })
		if f.Value.Sense("kernel").Negative() && boots && !def.Kernel.None {
			def.Warnings = append(def.Warnings, fmt.Sprintf("%s:%d:%d: flavor %s has a kernel all the same; say kernel: none in it", x.origin[f.Key].show, f.Key.Line, f.Key.Column, quote(f.Key.Value)))
		}
	}
	return def
}

func or(n, other *yaml.Node) *yaml.Node {
	if n == nil {
		return other
	}
	return n
}

// ofFlavor says of problems since some number that they are a flavor's, but for those
// that have been noted before.
func (x *expansion) ofFlavor(name string, since int) {
	said := map[Problem]bool{}
	for _, p := range x.problems[:since] {
		message, _, _ := strings.Cut(p.Message, " (in flavor ")
		p.Message = message
		said[p] = true
	}
	for i := since; i < len(x.problems); i++ {
		if said[x.problems[i]] {
			continue
		}
		said[x.problems[i]] = true
		x.problems[i].Message += " (in flavor " + quote(name) + ")"
	}
	// What was said before without a flavor's name, or of another flavor, is said once.
	kept := x.problems[:since]
	for _, p := range x.problems[since:] {
		if strings.HasSuffix(p.Message, " (in flavor "+quote(name)+")") {
			kept = append(kept, p)
		}
	}
	x.problems = kept
}

// pruned is a document, or what is said of a flavor, without the entries whose conditions
// do not hold.
func (x *expansion) pruned(n *yaml.Node, of flavor.Flavor) *yaml.Node {
	out := n
	entriesOf(n, func(key string, list *yaml.Node) {
		kept := *list
		kept.Content = nil
		for _, e := range list.Content {
			at := valueOf(e, "when")
			if at != nil {
				if c, err := flavor.ParseCondition(at.Value); err == nil && !c.Holds(of, x.declared) {
					continue
				}
				x.holds[at] = true
			}
			kept.Content = append(kept.Content, e)
		}
		if len(kept.Content) == len(list.Content) {
			return
		}
		x.origin[&kept] = x.origin[list]
		out = x.replaced(out, strings.Split(key, "."), &kept)
	})
	return out
}

// replaced is a map with the value at a path of keys replaced.
func (x *expansion) replaced(n *yaml.Node, keys []string, value *yaml.Node) *yaml.Node {
	out := *n
	x.origin[&out] = x.origin[n]
	out.Content = slices.Clone(n.Content)
	for i := 0; i+1 < len(out.Content); i += 2 {
		if out.Content[i].Value != keys[0] {
			continue
		}
		if len(keys) > 1 {
			value = x.replaced(out.Content[i+1], keys[1:], value)
		}
		out.Content[i+1] = value
	}
	return &out
}

// overlaid lays what is said of a flavor over the definition: as an including file over
// what it includes, but that outputs are the flavor's own, that entries of lists replace
// those of the same name, and that it may do without some.
func (x *expansion) overlaid(under, over *yaml.Node) *yaml.Node {
	less := valueOf(over, "without")
	for i := 0; less != nil && i+1 < len(less.Content); i += 2 {
		k, list := less.Content[i], less.Content[i+1]
		keys := [][]string{{k.Value}}
		if k.Value == "services" {
			keys = [][]string{{"services", "enable"}, {"services", "disable"}, {"services", "mask"}}
		}
		for _, w := range list.Content {
			there := false
			for _, key := range keys {
				is := func(name string) bool { return name == identity(k.Value, w) }
				_, took := x.dropped(x.top, key, is) // for some flavor or architecture, if not for this one
				under, _ = x.dropped(under, key, is)
				there = there || took
			}
			if !there && w.Kind == yaml.ScalarNode {
				x.problem(w, "without %s %s takes nothing out: the definition has none", k.Value, quote(w.Value))
			}
		}
	}
	for _, pair := range [][2]string{
		{"packages", "packages"}, {"packages", "remove"}, {"remove", "remove"}, {"remove", "packages"}, {"elements", "elements"}, {"groups", "groups"},
		{"files", "files"}, {"path-conflicts", "path-conflicts"}, {"users", "users"}, {"unix-groups", "unix-groups"}, {"scripts", "scripts"},
		{"services.enable", "services"}, {"services.disable", "services"}, {"services.mask", "services"},
	} {
		list := over
		for part := range strings.SplitSeq(pair[0], ".") {
			list = valueOf(list, part)
		}
		if list == nil || list.Kind != yaml.SequenceNode {
			continue
		}
		said := map[string]bool{}
		for _, e := range list.Content {
			said[identity(pair[1], e)] = true
		}
		keys := [][]string{{pair[1]}}
		if pair[1] == "services" {
			keys = [][]string{{"services", "enable"}, {"services", "disable"}, {"services", "mask"}}
		}
		for _, key := range keys {
			under, _ = x.dropped(under, key, func(name string) bool { return said[name] })
		}
	}
	if valueOf(over, "outputs") != nil {
		under = without(x.loading, under, "outputs")
	}
	return x.merge(under, without(x.loading, over, "without"))
}

// dropped is a map without those entries of a list in it that have one of some names.
func (x *expansion) dropped(n *yaml.Node, keys []string, drop func(name string) bool) (*yaml.Node, bool) {
	list := n
	for _, k := range keys {
		list = valueOf(list, k)
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return n, false
	}
	kept := *list
	kept.Content = slices.DeleteFunc(slices.Clone(list.Content), func(e *yaml.Node) bool { return drop(identity(keys[0], e)) })
	if len(kept.Content) == len(list.Content) {
		return n, false
	}
	x.origin[&kept] = x.origin[list]
	return x.replaced(n, keys, &kept), true
}

// identity is what two entries of one list have in common that stand for the same.
func identity(key string, e *yaml.Node) string {
	name := func(keys ...string) string {
		if e.Kind == yaml.ScalarNode {
			return e.Value
		}
		for _, k := range keys {
			if n := valueOf(e, k); n != nil {
				return n.Value
			}
		}
		return ""
	}
	switch key {
	case "packages", "remove":
		token := name("name")
		if i := strings.IndexAny(token, "=/"); i >= 0 {
			token = token[:i]
		}
		return token
	case "files", "path-conflicts":
		return name("path")
	case "groups":
		spec := name("spec")
		if i := strings.IndexAny(spec, "=["); i >= 0 {
			spec = spec[:i]
		}
		return spec
	case "services":
		return unitName(name("name"))
	case "outputs":
		return name("format")
	case "scripts":
		if e.Kind == yaml.MappingNode && valueOf(e, "name") == nil {
			base := path.Base(name("run"))
			if i := strings.LastIndexByte(base, '.'); i > 0 {
				base = base[:i]
			}
			return base
		}
	}
	return name("name")
}
