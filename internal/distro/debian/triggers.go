package debian

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// triggers are dpkg's records of who is interested in what (deb-triggers(5)): a
// file each for explicit names, and one, "File", for paths.
type triggers struct {
	files []interest            // in the order of the File record
	names map[string][]interest // by explicit name
}

type interest struct {
	path  string // or name
	pkg   string
	await bool
}

func (i interest) String() string {
	if i.await {
		return i.pkg
	}
	return i.pkg + "/noawait"
}

// add registers the interests of packages that were just unpacked.
func (t *triggers) add(pkgs []*deb) {
	if t.names == nil {
		t.names = map[string][]interest{}
	}
	for _, p := range pkgs {
		for word, trigger := range p.triggerLines() {
			if !strings.HasPrefix(word, "interest") {
				continue
			}
			i := interest{path: trigger, pkg: p.base(), await: word != "interest-noawait"}
			switch {
			case slices.Contains(t.files, i) || slices.Contains(t.names[trigger], i):
				// Of an installation that failed before.
			case strings.HasPrefix(trigger, "/"):
				t.files = append(t.files, i)
			default:
				t.names[trigger] = append(t.names[trigger], i)
			}
		}
	}
	slices.SortStableFunc(t.files, func(a, b interest) int { return strings.Compare(a.path, b.path) })
}

// read takes the interests of a trigger database, its files by name.
func (t *triggers) read(files map[string][]byte) {
	t.names = map[string][]interest{}
	for name, text := range files {
		for line := range bytes.Lines(text) {
			f := strings.Fields(string(line))
			switch {
			case name == "File" && len(f) == 2:
				t.files = append(t.files, parseInterest(f[0], f[1]))
			case name != "File" && name != "Unincorp" && name != "Lock" && len(f) == 1:
				t.names[name] = append(t.names[name], parseInterest(name, f[0]))
			}
		}
	}
}

func parseInterest(path, word string) interest {
	pkg, noawait := strings.CutSuffix(word, "/noawait")
	return interest{path: path, pkg: pkg, await: !noawait}
}

// triggerLines gives the directives of a package's triggers file: word and
// trigger.
func (p *deb) triggerLines() func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for line := range bytes.Lines(p.Control["triggers"].Data) {
			if at := bytes.IndexByte(line, '#'); at >= 0 {
				line = line[:at]
			}
			f := strings.Fields(string(line))
			if len(f) == 2 && !yield(f[0], f[1]) {
				return
			}
		}
	}
}

// records are the files of the trigger database.
func (t *triggers) records() map[string]record {
	out := map[string]record{}
	var b bytes.Buffer
	for _, i := range t.files {
		fmt.Fprintf(&b, "%s %s\n", i.path, i)
	}
	if b.Len() > 0 {
		out[triggersDir+"File"] = record{0o644, bytes.Clone(b.Bytes())}
	}
	for _, name := range slices.Sorted(maps.Keys(t.names)) {
		b.Reset()
		for _, i := range t.names[name] {
			fmt.Fprintln(&b, i)
		}
		out[triggersDir+name] = record{0o644, bytes.Clone(b.Bytes())}
	}
	return out
}

// activated are the lines for dpkg's list of triggers not yet incorporated, after
// packages were unpacked: what their files touch and what they activate by name.
// Only interests of packages that were there before count; the others are
// configured anyway.
func (t *triggers) activated(unpacked []*deb, configured map[string]bool) []byte {
	hit := map[string]bool{}
	for _, p := range unpacked {
		for _, i := range t.files {
			if configured[i.pkg] && p.touches(strings.TrimPrefix(i.path, "/")) {
				hit[i.path] = true
			}
		}
		for word, trigger := range p.triggerLines() {
			if !strings.HasPrefix(word, "activate") {
				continue
			}
			for _, i := range t.names[trigger] {
				if configured[i.pkg] {
					hit[trigger] = true
				}
			}
		}
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(hit)) {
		// "-" says that nobody waits.
		fmt.Fprintf(&b, "%s -\n", name)
	}
	return b.Bytes()
}

// touches says whether the package has a file at a path or below it.
func (p *deb) touches(path string) bool {
	_, ok := p.Tree.Lookup(path)
	return ok
}
