// Package group knows how groups are called: labels, versions, and specs that a person
// types. The grammar is Conary's, whose own outputs judge it.
//
//	web=/images.example@acme:devel//stable/1.0-2-1[ssl is: x86_64]
//
// names group web, of branch /images.example@acme:devel//stable, upstream version 1.0,
// from source 2, built once, in one flavor. A version is a path: "/" LABEL is a branch,
// "//" LABEL a shadow of it, which follows its parent, "/" REVISION a place on it.
package group

import (
	"strings"

	"ingot/internal/fault"
)

// maxText is how long a label, a version or a spec may be, in bytes.
const maxText = 1 << 14

// A Label names a line of development: HOST@NAMESPACE:TAG.
type Label struct{ Host, Namespace, Tag string }

// ParseLabel reads a whole label. Errors have code 2.
func ParseLabel(text string) (Label, error) { return parseLabel(text, nil, false) }

// parseLabel reads a label; what is missing it takes from the one before, if there is
// one. Loosely it reads what Conary reads: a host may be empty, and names may have
// spaces.
func parseLabel(text string, before *Label, loose bool) (Label, error) {
	wrong := func(format string, args ...any) *fault.Error {
		e := fault.Newf(fault.Usage, format, args...)
		return fault.Newf(fault.Usage, "label %q: %w", shortened(text), e).WithHint("write HOST@NAMESPACE:TAG")
	}
	if len(text) > maxText {
		return Label{}, wrong("it is too long")
	}
	if i := strings.IndexAny(text, `/'"\()[]=`); i >= 0 {
		return Label{}, wrong("%q cannot be in it", text[i])
	}
	var l Label
	rest, tag, colon := strings.Cut(text, ":")
	host, namespace, at := strings.Cut(rest, "@")
	switch {
	case strings.Contains(tag, ":"):
		return Label{}, wrong("more than one colon")
	case strings.Count(text, "@") > 1:
		return Label{}, wrong("more than one @")
	case strings.Contains(tag, "@"):
		return Label{}, wrong("@ stands behind the colon")
	case at && !colon:
		return Label{}, wrong("@ without a colon")
	case !at && before == nil && !colon:
		return Label{}, wrong("there is no colon")
	case !at && before == nil:
		return Label{}, wrong("there is no @")
	case !colon:
		l = Label{before.Host, before.Namespace, text}
	case !at:
		l = Label{before.Host, rest, tag}
	default:
		l = Label{host, namespace, tag}
	}
	switch {
	case l.Namespace == "":
		return Label{}, wrong("the namespace is empty")
	case l.Tag == "":
		return Label{}, wrong("the tag is empty")
	case !loose && l.Host == "":
		return Label{}, wrong("the host is empty")
	case !loose && strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Label{}, wrong("it has other characters than visible ones of ASCII")
	}
	return l, nil
}

// String is the whole label.
func (l Label) String() string { return l.Host + "@" + l.Namespace + ":" + l.Tag }

// short leaves out what the label before says too.
func (l Label) short(before *Label) string {
	switch {
	case before == nil || before.Host != l.Host:
		return l.String()
	case before.Namespace != l.Namespace:
		return l.Namespace + ":" + l.Tag
	default:
		return l.Tag
	}
}

// shortened is a text that fits a message.
func shortened(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
