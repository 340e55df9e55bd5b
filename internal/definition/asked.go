package definition

import (
	"go.yaml.in/yaml/v4"

	"ingot/internal/fault"
)

// asked is one thing that a definition asks a build for.
type asked struct{ key, name string }

// Asked says where the definition asks for something, so that what fails while it is
// built can say so too. Key is the one at the top, such as scripts; name is that of the
// entry: a script's, user's, group's or package's, a file's path, a unit as it is
// written. Keys with a single value have none. It is nowhere where the definition does
// not say it itself.
//
// Positions are no part of what a step reads: a definition that only moves its lines
// runs nothing again.
func (d *Definition) Asked(key, name string) fault.Position { return d.asked[asked{key, name}] }

// ask notes where something is asked for.
func (l *loading) ask(def *Definition, key, name string, n *yaml.Node) {
	if src := l.origin[n]; src != nil {
		if def.asked == nil {
			def.asked = map[asked]fault.Position{}
		}
		def.asked[asked{key, name}] = fault.Position{File: src.show, Line: n.Line}
	}
}
