package definition

import (
	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/fault"
)

// asked is one thing that a definition asks a build for.
type asked struct{ key, name string }

// Asked says where the definition asks for something, so that what fails while it is
// built can say so too. Key is the one at the top, such as scripts; name is that of the
// entry: a script's, user's, group's or package's, a file's path, a unit as it is
// written. Keys with a single value have none. Secret is the key of secret files, whose
// names are as the build reads them. It is nowhere where the definition does
// not say it itself.
//
// Positions are no part of what a step reads: a definition that only moves its lines
// runs nothing again.
func (d *Definition) Asked(key, name string) fault.Position { return d.asked[asked{key, name}] }

// AskedOfLayout says where the definition asks for what a problem of fitting its layout is
// about: at the key, else at the node, else at the layout.
func (d *Definition) AskedOfLayout(q blockdevice.Problem) fault.Position {
	for _, name := range []string{q.Node + " " + q.Key, q.Node, ""} {
		if at := d.Asked("layout", name); at != (fault.Position{}) {
			return at
		}
	}
	return fault.Position{}
}

// askLayout notes where a layout and its nodes are asked for, with the keys that fitting
// complains of.
func (l *loading) askLayout(def *Definition, n *yaml.Node, c *blockdevice.Config) {
	l.ask(def, "layout", "", n)
	for _, node := range c.Nodes {
		h := node.Head()
		l.ask(def, "layout", h.Name, h.At)
		for _, key := range []string{"size", "extents", "extent-size", "stripes"} {
			l.ask(def, "layout", h.Name+" "+key, h.Where(key))
		}
	}
	for _, g := range c.Groups {
		l.ask(def, "layout", g.Name, g.At)
		l.ask(def, "layout", g.Name+" extent-size", g.Where("extent-size"))
	}
}

// ask notes where something is asked for.
func (l *loading) ask(def *Definition, key, name string, n *yaml.Node) {
	if src := l.origin[n]; src != nil {
		if def.asked == nil {
			def.asked = map[asked]fault.Position{}
		}
		def.asked[asked{key, name}] = fault.Position{File: src.show, Line: n.Line}
	}
}
