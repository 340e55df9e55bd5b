package definition

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A rule says which texts a key takes. The decoder, the JSON schema and the
// reference all read the same rule.
type rule struct {
	what    string            // "an image name"
	form    string            // in words, what the pattern asks for
	pattern *regexp.Regexp    // of the whole text; nil takes all
	max     int               // characters; 0 is 4096
	values  []string          // if any, the only ones
	later   []string          // values that a later version takes
	other   map[string]string // other systems' words and ours
	numbers bool              // a plain number is taken by its letters: 1.10 stays 1.10
	// secret says whether a refused text may hold a secret: it is not shown then.
	secret func(string) bool
	// check judges what a pattern cannot; it gives a reason or "".
	check func(string) string
	// advise may add to the message about a text that was refused.
	advise func(string) string
	// near gives the right text that a refused one probably stands for, or "".
	near func(string) string
}

// ruled is a type that stands for a rule.
type ruled interface{ rule() *rule }

// text is a text under a rule, with its place. A refused text leaves Value
// empty.
type text[R ruled] struct {
	Value string
	At    *yaml.Node
}

func (t text[R]) set() bool { return t.At != nil }

// or is the value, or another when it was not given.
func (t text[R]) or(other string) string {
	if t.Value == "" {
		return other
	}
	return t.Value
}

func (t *text[R]) decode(d *decoder, n *yaml.Node) {
	var kind R
	r := kind.rule()
	t.At = n
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && (!r.numbers || n.Tag != "!!int" && n.Tag != "!!float") {
		d.wrongType(n, r.what)
		return
	}
	why, suggestion := r.refuse(n.Value)
	if why != "" && r.secret != nil && r.secret(n.Value) {
		d.hidden(n, "%s %s", d.key(), why)
		return
	}
	if why != "" {
		d.suggest(n, suggestion, "%s %s %s", d.key(), quote(n.Value), why)
		return
	}
	t.Value = n.Value
}

// refuse says why a text is not allowed, and what was probably meant.
func (r *rule) refuse(s string) (why, suggestion string) {
	why, suggestion = r.judge(s)
	if why != "" && suggestion == "" && r.near != nil {
		if suggestion = r.near(s); suggestion != "" {
			why += "; did you mean \"" + suggestion + "\"?"
		}
	}
	return why, suggestion
}

func (r *rule) judge(s string) (why, suggestion string) {
	limit := r.max
	if limit == 0 {
		limit = 4096
	}
	switch n := utf8.RuneCountInString(s); {
	case r.values != nil:
		if slices.Contains(r.values, s) {
			return "", ""
		}
		if slices.Contains(r.later, s) {
			return "is not supported yet by this version of ingot", ""
		}
		if w, ok := r.other[s]; ok {
			return "is unknown; did you mean \"" + w + "\"?", w
		}
		hint, w := didYouMean(s, r.values)
		return "is unknown" + hint, w
	case n > limit:
		return fmt.Sprintf("is too long: %d characters, at most %d", n, limit), ""
	case r.pattern != nil && !r.pattern.MatchString(s):
		why = "is not " + r.what
		if r.form != "" {
			why += ": want " + r.form
		}
		if r.advise != nil {
			if a := r.advise(s); a != "" {
				why += "; " + a
			}
		}
		return why, ""
	case r.check != nil:
		return r.check(s), ""
	}
	return "", ""
}

// pairs are names and texts, the names under a rule.
type pairs[R ruled] struct {
	Value map[string]string
	At    *yaml.Node
}

func (p *pairs[R]) decode(d *decoder, n *yaml.Node) {
	var kind R
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, "keys and values")
		return
	}
	p.At, p.Value = n, map[string]string{}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, item := n.Content[i], n.Content[i+1]
		var name text[R]
		name.decode(d, k)
		if first := seen[k.Value]; first != nil {
			d.problem(k, "%s is set twice%s, first on line %d", quote(k.Value), d.inside(), first.Line)
		}
		seen[k.Value] = k
		var value text[pairValue]
		d.keys = append(d.keys, k.Value)
		value.decode(d, item)
		d.keys = d.keys[:len(d.keys)-1]
		if why, _ := kind.rule().refuse(k.Value); why == "" {
			p.Value[k.Value] = value.Value
		}
	}
}

// quote makes a text from a file fit to show: one line, bounded, no control
// characters.
func quote(s string) string {
	if utf8.RuneCountInString(s) > 64 {
		s = string([]rune(s)[:60]) + "…"
	}
	return strconv.Quote(s)
}

// toggle is true or false.
type toggle struct {
	Value bool
	At    *yaml.Node
}

func (f *toggle) decode(d *decoder, n *yaml.Node) {
	f.At = n
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && (n.Value == "true" || n.Value == "false"):
		f.Value = n.Value == "true"
	case n.Kind == yaml.ScalarNode && slices.Contains([]string{"yes", "on", "y", "true"}, strings.ToLower(n.Value)):
		d.suggest(n, "true", "%s wants true or false, not %s; did you mean true?", d.key(), described(n))
	case n.Kind == yaml.ScalarNode && slices.Contains([]string{"no", "off", "n", "false"}, strings.ToLower(n.Value)):
		d.suggest(n, "false", "%s wants true or false, not %s; did you mean false?", d.key(), described(n))
	default:
		d.wrongType(n, "true or false")
	}
}

// formVersion is the version of the definition's form, the integer 1.
type formVersion struct {
	Value int
	At    *yaml.Node
}

func (v *formVersion) decode(d *decoder, n *yaml.Node) {
	v.At = n
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag != "!!int":
		d.wrongType(n, "the number 1")
	case n.Value != "1":
		d.problem(n, "version %s is unknown; this ingot reads version 1", printable(n.Value))
	default:
		v.Value = 1
	}
}

// maxUnixID is the largest user or group id of an image: builds map the ids 0
// to 65535 into their sandbox, of which 65534 is "nobody" and 65535 is not an id.
const maxUnixID = 65533

// maxOwnerID is the largest number that a file of an image may belong to: nobody's.
const maxOwnerID = 65534

// unixID is a user's or a group's number. Here and below At stays nil when the
// value was refused, so that nothing more is said of it.
type unixID struct {
	Value uint32
	At    *yaml.Node
}

func (i *unixID) decode(d *decoder, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		d.wrongType(n, "a number")
		return
	}
	v, err := strconv.ParseUint(n.Value, 10, 32)
	if err != nil || v > maxUnixID || len(n.Value) > 1 && n.Value[0] == '0' {
		d.problem(n, "%s %s is not a decimal number from 0 to %d", d.key(), n.Value, maxUnixID)
		return
	}
	i.Value, i.At = uint32(v), n
}

// pointer is the number, or nil when it was not given.
func (i unixID) pointer() *uint32 {
	if i.At == nil {
		return nil
	}
	v := i.Value
	return &v
}

// size is a number of bytes.
type size struct {
	Value int64
	At    *yaml.Node
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,18})(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`)

// maxSize is what ext4 with 4 KiB blocks and 32-bit block numbers holds.
const maxSize = 16 << 40

func (s *size) decode(d *decoder, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!str" {
		d.wrongType(n, "a size such as 512MiB")
		return
	}
	v, why := parseSize(n.Value)
	if why != "" {
		d.problem(n, "%s %s %s", d.key(), quote(n.Value), why)
		return
	}
	s.Value, s.At = v, n
}

// parseSize reads a number of bytes with a decimal or binary unit; it gives a
// reason when it cannot.
func parseSize(s string) (int64, string) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		if g := regexp.MustCompile(`^([0-9]{1,18}) ?([KkMmGgTt])(i?[Bb])?$`).FindStringSubmatch(s); g != nil {
			return 0, "is not a size; did you mean \"" + g[1] + strings.ToUpper(g[2]) + "iB\"?"
		}
		return 0, "is not a size: want a whole number and a unit such as MiB, GiB, MB or GB, or bytes"
	}
	v, _ := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[m[2]]
	if v > math.MaxInt64/unit || v*unit > maxSize {
		return 0, "is more than 16TiB"
	}
	return v * unit, ""
}

// span is a duration.
type span struct {
	Value time.Duration
	At    *yaml.Node
}

var spanPattern = regexp.MustCompile(`^([0-9]{1,9}(ms|s|m|h))+$`)

// maxSpan bounds a timeout.
const maxSpan = 24 * time.Hour

func (s *span) decode(d *decoder, n *yaml.Node) {
	s.At = n
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!int" {
		d.wrongType(n, "a duration such as 60s")
		return
	}
	if n.Tag == "!!int" {
		d.suggest(n, n.Value+"s", "%s %s has no unit; did you mean %ss?", d.key(), n.Value, n.Value)
		return
	}
	v, err := time.ParseDuration(n.Value)
	switch {
	case err != nil || !spanPattern.MatchString(n.Value):
		d.problem(n, "%s %s is not a duration: want such as 60s, 2m or 1m30s", d.key(), quote(n.Value))
	case v <= 0 || v > maxSpan:
		d.problem(n, "%s %s is not more than 0s and at most 24h", d.key(), quote(n.Value))
	default:
		s.Value = v
	}
}

// mode is a file's permission bits, in octal.
type mode struct {
	Value uint32
	At    *yaml.Node
}

var modePattern = regexp.MustCompile(`^0?[0-7]{3,4}$`)

func (m *mode) decode(d *decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		// Whether 0644 is octal depends on who reads it; quotes end the doubt.
		d.suggest(n, strconv.Quote(n.Value), "%s %s must stand in quotes: %q", d.key(), n.Value, n.Value)
		return
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		d.wrongType(n, "an octal mode such as \"0644\"")
		return
	}
	v, err := strconv.ParseUint(n.Value, 8, 32)
	if err != nil || !modePattern.MatchString(n.Value) {
		d.problem(n, "%s %s is not an octal mode such as \"0644\"", d.key(), quote(n.Value))
		return
	}
	m.Value, m.At = uint32(v), n
}

// later is a key that a later version of ingot takes.
type later struct{}

func (*later) decode(d *decoder, _ *yaml.Node) {
	d.problem(d.keyNode, "%s is not supported yet by this version of ingot", d.path())
}
