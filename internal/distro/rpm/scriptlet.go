package rpm

import (
	"fmt"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
)

// A scriptlet is what a package runs at one moment of its installation.
type scriptlet struct {
	name    string   // as specs call it: "post"
	program []string // interpreter and its arguments
	text    string   // "" runs the program alone
}

// The moments at which something runs when packages are installed anew.
var moments = []struct {
	name                string
	text, program, flag tag
}{
	{"pretrans", tagPreTrans, tagPreTransProg, tagPreTransFlags},
	{"pre", tagPreIn, tagPreInProg, tagPreInFlags},
	{"post", tagPostIn, tagPostInProg, tagPostInFlags},
	{"posttrans", tagPostTrans, tagPostTransProg, tagPostTransFlags},
}

// scriptlets reads what a package runs. Whatever only rpm itself could run is
// refused: a tree that lacks a part of its making would look whole.
func (h header) scriptlets(ref distro.Ref) (map[string]scriptlet, error) {
	for t, what := range map[tag]string{tagTriggerName: "triggers", tagFileTrigger: "file triggers", tagTransFileTrigger: "transaction file triggers"} {
		if h.has(t) {
			return nil, cannotRun(ref, what)
		}
	}
	out := map[string]scriptlet{}
	for _, m := range moments {
		if !h.has(m.text) && !h.has(m.program) {
			continue
		}
		s := scriptlet{name: m.name}
		var err error
		if s.text, err = h.word(m.text); err != nil {
			return nil, err
		}
		if s.program, err = h.words(m.program); err != nil {
			return nil, err
		}
		if len(s.program) == 0 {
			s.program = []string{"/bin/sh"}
		}
		if !strings.HasPrefix(s.program[0], "/") {
			return nil, cannotRun(ref, "a %"+m.name+" scriptlet for rpm's own "+s.program[0])
		}
		if flags, err := h.number(m.flag); err != nil || flags != 0 {
			return nil, firstError(err, cannotRun(ref, "a %"+m.name+" scriptlet that rpm expands first"))
		}
		out[m.name] = s
	}
	return out, nil
}

func cannotRun(ref distro.Ref, what string) error {
	return fault.Newf(fault.Failed, "package %s %s has %s, which is not known here yet", ref.Name, ref.Version, what).
		WithHint("leave the package out")
}

// scriptPath is where rpm puts a scriptlet's text to run it, but for the last
// part, which is random there.
const scriptPath = "var/tmp/rpm-tmp.ingot"

// argv is the command line. A script learns how many instances of the package
// there will be: one.
func (s scriptlet) argv() []string {
	if s.text == "" {
		return s.program
	}
	return append(append([]string{}, s.program...), "/"+scriptPath, "1")
}

func (s scriptlet) String() string { return fmt.Sprintf("%%%s scriptlet", s.name) }
