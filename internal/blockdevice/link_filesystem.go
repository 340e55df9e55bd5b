package blockdevice

import (
	"cmp"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/gpt"
	"ingot/internal/luks"
)

var serialOfFAT = regexp.MustCompile(`^[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}$`)

func (l *linker) filesystem(f *Mkfs) {
	h := &f.Header
	if f.Name == "mkfs_root" {
		if f.Type == "" && h.values["type"] == nil {
			f.Type = cmp.Or(l.params.RootType, "ext4")
		}
		if h.values["label"] == nil {
			f.Label = l.params.RootLabel
		}
		if h.values["opts"] == nil {
			f.Options = l.params.RootOptions
		}
	}
	if f.Type == "" && h.values["type"] == nil && h.At.Kind == yaml.MappingNode {
		l.problem(h, "", "type of this mkfs is missing")
	}
	if f.Label == "" {
		f.Label = f.Name
	}
	if f.Type == "vfat" {
		f.Label = strings.ToUpper(f.Label)
	}
	switch {
	case f.UUID == "":
	case f.Type == "vfat" && !serialOfFAT.MatchString(f.UUID):
		l.problem(h, "uuid", "uuid %s is not a vfat's: want such as ABCD-1234", quote(f.UUID))
	case f.Type != "vfat" && f.Type != "":
		l.fsUUID(h, f.UUID)
	}
}

// fsUUID checks an identity that is no vfat's, if there is one.
func (l *linker) fsUUID(h *Header, s string) {
	if s == "" {
		return
	}
	if g, err := gpt.ParseGUID(s); err != nil || g == (gpt.GUID{}) {
		l.problem(h, "uuid", "uuid %s is not one: want groups of 8-4-4-4-12 hexadecimal digits, not all 0", quote(s))
	}
}

// labels checks that labels and identities fit and are unique.
func (l *linker) labels() {
	labels, ids := map[string]*Header{}, map[string]*Header{}
	once := func(h *Header, id string) {
		if id = strings.ToLower(id); id == "" {
			return
		}
		if first := ids[id]; first != nil {
			l.problem(h, "uuid", "uuid %s is used more than once: %s has it too", id, printable(first.Name))
			return
		}
		ids[id] = h
	}
	for _, t := range l.tables {
		once(&t.Header, t.UUID)
		for _, part := range t.Partitions {
			once(&part.Header, part.UUID)
		}
	}
	label := func(h *Header, what, label string, most int) {
		said := ""
		if h.values["label"] == nil {
			said = ", which is the node's name; say another"
		}
		if most > 0 && len(label) > most {
			l.problem(h, "label", "label %s is too long for %s: %d bytes, at most %d%s", quote(label), what, len(label), most, said)
		}
		if strings.ContainsAny(label, "\"'\\") {
			l.problem(h, "label", "label %s has a quote or a backslash, which fstab cannot say", quote(label))
		}
		if first := labels[label]; first != nil {
			l.problem(h, "label", "label %s is used more than once: %s has it too", quote(label), printable(first.Name))
			return
		}
		labels[label] = h
	}
	for _, c := range l.c.Containers {
		once(&c.Header, c.UUID)
		label(&c.Header, "a luks", c.Label, luks.MaxLabel)
	}
	for _, f := range l.c.Filesystems {
		once(&f.Header, f.UUID)
		label(&f.Header, f.Type, f.Label, labelMax[f.Type])
	}
}
