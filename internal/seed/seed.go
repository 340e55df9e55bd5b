// Package seed writes what tells a new machine who it is: a medium for cloud-init's data
// source NoCloud, a configuration for Ignition, or credentials of systemd.
//
// All of it is JSON, which is YAML too, or base64: there is no text that would need another
// quoting, and none that could become something else.
package seed

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/template"
)

// A Machine is what one is told.
type Machine struct {
	ID       string // of the instance: another makes cloud-init start anew
	Hostname string
	MAC      string // of its network card
	Network  template.NetworkAnswer
	User     string   // the account of who looks after it
	Hash     string   // of that account's password; "" locks it
	Keys     []string // of that account
	Inputs   map[string]any
}

// A File is one of the seed's.
type File struct {
	Name string
	Data []byte
}

// Files are the files of a seed of a kind, in their order. The error says what that kind
// cannot tell a machine, exit code 2.
func (m Machine) Files(kind template.Seed) ([]File, error) {
	switch kind {
	case template.Ignition:
		return m.ignition()
	case template.Credentials:
		return m.credentials()
	default:
		return m.noCloud()
	}
}

func marshal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	return append(b, '\n'), err
}

var notInVariables = regexp.MustCompile(`[^A-Za-z0-9_]`)

// Shell is inputs as assignments that a shell can source: in single quotes, so that none of
// it is run or replaced. A list has a line for each value.
func Shell(inputs map[string]any) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		value := ""
		switch v := inputs[name].(type) {
		case nil:
		case []any:
			var lines []string
			for _, x := range v {
				lines = append(lines, fmt.Sprint(x))
			}
			value = strings.Join(lines, "\n")
		case bool:
			value = map[bool]string{true: "yes", false: "no"}[v]
		default:
			value = fmt.Sprint(v)
		}
		fmt.Fprintf(&b, "INPUT_%s='%s'\n", strings.ToUpper(notInVariables.ReplaceAllString(name, "_")), strings.ReplaceAll(value, "'", `'\''`))
	}
	return []byte(b.String())
}
