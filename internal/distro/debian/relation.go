package debian

import (
	"bytes"
	"fmt"
	"strings"
)

// An Op is how a relation bounds a version.
type Op uint8

// The bounds of deb-control(5). OpOther is not written in any control file; it
// is what packages of one name and several architectures owe each other.
const (
	OpAny   Op = iota // no bound
	OpLE              // <=, and the old <
	OpGE              // >=, and the old >
	OpLT              // <<
	OpGT              // >>
	OpEQ              // =
	OpOther           // any but this one
)

var opText = [...]string{OpAny: "", OpLE: "<=", OpGE: ">=", OpLT: "<<", OpGT: ">>", OpEQ: "=", OpOther: "!="}

// String is the bound as a control file writes it.
func (o Op) String() string {
	if int(o) < len(opText) {
		return opText[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// holds says whether a version that compares so with the bound's keeps it.
func (o Op) holds(cmp int) bool {
	switch o {
	case OpLE:
		return cmp <= 0
	case OpGE:
		return cmp >= 0
	case OpLT:
		return cmp < 0
	case OpGT:
		return cmp > 0
	case OpEQ:
		return cmp == 0
	case OpOther:
		return cmp != 0
	case OpAny:
		return true
	}
	return false
}

// A Relation is one name in a dependency field, with what bounds it.
type Relation struct {
	Name    string
	Arch    string // the qualifier behind a colon: "any", "native", "amd64", or empty
	Op      Op
	Version string // empty for OpAny
}

// String is the relation as a control file writes it.
func (r Relation) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Arch != "" {
		b.WriteString(":" + r.Arch)
	}
	if r.Op != OpAny {
		b.WriteString(" (" + r.Op.String() + " " + r.Version + ")")
	}
	return b.String()
}

// Satisfied says whether a version lies within the relation's bound. A package
// that provides a name without a version gives the empty one, which no bound
// accepts.
func (r Relation) Satisfied(version string) bool {
	if r.Op == OpAny {
		return true
	}
	return version != "" && r.Op.holds(CompareVersions(version, r.Version))
}

// ParseRelations reads a dependency field: all of the outer slice is wanted, any
// of an inner one will do. Build profiles and architecture lists belong to
// source packages and are refused.
func ParseRelations(field string) ([][]Relation, error) {
	var all [][]Relation
	more := false
	rest := trimBlanks([]byte(field))
	for len(rest) > 0 {
		r, next, err := nextRelation(rest)
		if err != nil {
			return nil, fmt.Errorf("dependency field %q: %w", clip([]byte(field)), err)
		}
		name, arch, _ := strings.Cut(string(r.name), ":")
		rel := Relation{Name: name, Arch: arch, Op: r.op, Version: string(r.version)}
		if more {
			all[len(all)-1] = append(all[len(all)-1], rel)
		} else {
			all = append(all, []Relation{rel})
		}
		more, rest = r.more, next
	}
	return all, nil
}

// A rawRelation is a Relation that still lies in the text.
type rawRelation struct {
	name    []byte // with its qualifier
	version []byte
	op      Op
	more    bool // another alternative follows
}

// nextRelation reads one relation and the comma or bar behind it.
func nextRelation(s []byte) (rawRelation, []byte, error) {
	var r rawRelation
	i := 0
	for i < len(s) && !endsName[s[i]] {
		i++
	}
	if i == 0 || s[0] == ':' {
		return r, nil, fmt.Errorf("no name at %q", clip(s))
	}
	r.name = s[:i]
	i = skipBlanks(s, i)
	if i < len(s) && s[i] == '(' {
		i = skipBlanks(s, i+1)
		r.op, i = readOp(s, i)
		i = skipBlanks(s, i)
		end := bytes.IndexByte(s[i:], ')')
		if end < 0 {
			return r, nil, fmt.Errorf("no ) behind the version of %q", clip(r.name))
		}
		r.version = trimBlanks(s[i : i+end])
		if len(r.version) == 0 {
			return r, nil, fmt.Errorf("no version in the bound of %q", clip(r.name))
		}
		i = skipBlanks(s, i+end+1)
	}
	switch {
	case i == len(s):
		return r, nil, nil
	case s[i] == ',' || s[i] == '|':
		bar := s[i] == '|'
		i = skipBlanks(s, i+1)
		// A bar with nothing behind it offers no other choice.
		r.more = bar && i < len(s)
		return r, s[i:], nil
	}
	return r, nil, fmt.Errorf("unexpected %q behind %q", clip(s[i:]), clip(r.name))
}

// readOp reads a bound's operator; one that is missing means "=", as apt has it.
func readOp(s []byte, i int) (Op, int) {
	if i >= len(s) {
		return OpEQ, i
	}
	at := func(c byte) bool { return i+1 < len(s) && s[i+1] == c }
	switch s[i] {
	case '<':
		switch {
		case at('='):
			return OpLE, i + 2
		case at('<'):
			return OpLT, i + 2
		}
		return OpLE, i + 1
	case '>':
		switch {
		case at('='):
			return OpGE, i + 2
		case at('>'):
			return OpGT, i + 2
		}
		return OpGE, i + 1
	case '=':
		return OpEQ, i + 1
	}
	return OpEQ, i
}

func skipBlanks(s []byte, i int) int {
	for i < len(s) && isBlank(s[i]) {
		i++
	}
	return i
}

// endsName marks the bytes that end a package's name in a relation.
var endsName = [256]bool{
	' ': true, '\t': true, '\r': true, '\n': true, '(': true, ')': true, ',': true, '|': true,
	'[': true, ']': true, '<': true, '>': true,
}
