package blockdevice

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/lvm"
	"ingot/internal/spell"
)

// A key is what may be written of a node, bound to where the value goes.
type key struct {
	KeyDoc
	read func(r reader)
}

// A KeyDoc says what a key means.
type KeyDoc struct {
	Name    string
	Doc     string
	Default string // in words, or ""
	Must    bool   // whether it must be written
	Ours    bool   // whether diskimage-builder does not have it
}

// A KindDoc says what a kind of node is.
type KindDoc struct {
	Kind Kind
	Doc  string
	Keys []KeyDoc
}

// Reference is all of the language, for its documentation.
func Reference() []KindDoc {
	var out []KindDoc
	for _, k := range []struct {
		kind Kind
		doc  string
		node Node
	}{
		{KindLoop, "A disk.", &LocalLoop{}},
		{KindPartitioning, "A partition table on a disk.", &Partitioning{}},
		{KindPartition, "A partition: an item of partitions.", &Partition{}},
		{KindLVM, "Logical volumes, made together.", &LVM{}},
		{KindPV, "A physical volume: an item of pvs.", &PV{}},
		{KindVG, "A volume group: an item of vgs.", &VG{}},
		{KindLV, "A logical volume: an item of lvs.", &LV{}},
		{KindLUKS, "An encrypted container (LUKS2), for a file system or a physical volume. No such node is diskimage-builder's.", &LUKS{}},
		{KindVerity, "The hashes of a file system (dm-verity), on a partition. No such node is diskimage-builder's.", &Verity{}},
		{KindMkfs, "A file system, or swap.", &Mkfs{}},
		{KindSubvolume, "A part of a btrfs that is mounted by itself: an item of subvolumes.", &Subvolume{}},
		{KindMount, "A place at which a file system is mounted.", &Mount{}},
		{KindFstab, "A line of /etc/fstab.", &Fstab{}},
	} {
		d := KindDoc{Kind: k.kind, Doc: k.doc}
		for _, key := range k.node.keys() {
			d.Keys = append(d.Keys, key.KeyDoc)
		}
		out = append(out, d)
	}
	return out
}

// A reader gives the value of one key.
type reader struct {
	p   *parser
	h   *Header
	key string
	v   *yaml.Node
}

func (r reader) problem(format string, args ...any) { r.p.problem(r.h, r.key, format, args...) }

// refuse says why a text is not taken.
func (r reader) refuse(s, why, suggestion string) {
	r.p.suggest(r.h, r.key, suggestion, "%s %s %s", r.key, quote(s), why)
}

// scalar is a value's letters, whatever YAML thinks that they are: 0x83 and 8300
// mean what they look like.
func (r reader) scalar(want string) (string, bool) {
	if r.v.Kind != yaml.ScalarNode || r.v.Tag == "!!null" {
		r.problem("%s wants %s, not %s", r.key, want, described(r.v))
		return "", false
	}
	return r.v.Value, true
}

// described says in words what a value is.
func described(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "nothing"
	default:
		return quote(n.Value)
	}
}

const maxText = 4096

// text takes a line of text; check, if any, says why it refuses one.
func text(to *string, check func(string) (why, suggestion string)) func(reader) {
	return func(r reader) {
		s, ok := r.scalar("a text")
		if !ok {
			return
		}
		if why := plain(s); why != "" {
			r.refuse(s, why, "")
			return
		}
		if check != nil {
			if why, suggestion := check(s); why != "" {
				r.refuse(s, why, suggestion)
				return
			}
		}
		*to = s
	}
}

// plain says why a text is not a line of text.
func plain(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxText:
		return "is too long"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || r == '\uFFFD' }):
		return "has characters that are not text"
	}
	return ""
}

// bytesAtLeast takes a number of bytes.
func bytesAtLeast(to *int64, least int64) func(reader) {
	return func(r reader) {
		s, ok := r.scalar("a size such as 512MiB")
		if !ok {
			return
		}
		v, why, suggestion := parseBytes(s)
		if why == "" && v < least {
			why = "is too small: want at least " + human(least)
		}
		if why != "" {
			r.refuse(s, why, suggestion)
			return
		}
		*to = v
	}
}

// size takes a size in any of its forms.
func size(to *Size) func(reader) {
	return func(r reader) {
		s, ok := r.scalar("a size such as 512MiB, 50% or fit")
		if !ok {
			return
		}
		v, why, suggestion := parseSize(s)
		if why != "" {
			r.refuse(s, why, suggestion)
			return
		}
		*to = v
	}
}

// oneOf takes one of a few words.
func oneOf[T ~string](to *T, words ...T) func(reader) {
	return func(r reader) {
		var known []string
		for _, w := range words {
			known = append(known, string(w))
		}
		s, ok := r.scalar("one of " + strings.Join(known, ", "))
		if !ok {
			return
		}
		if !slices.Contains(known, s) {
			r.refuse(s, "is unknown: there are "+strings.Join(known, ", "), spell.Nearest(s, known))
			return
		}
		*to = T(s)
	}
}

// number takes a whole number.
func number[T int | int64](to *T, least, most T) func(reader) {
	return func(r reader) {
		s, ok := r.scalar("a number")
		if !ok {
			return
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < int64(least) || n > int64(most) {
			r.problem("%s %s is not a number from %d to %d", r.key, quote(s), least, most)
			return
		}
		*to = T(n)
	}
}

// toggle takes true or false.
func toggle(to *bool) func(reader) {
	return func(r reader) {
		s, ok := r.scalar("true or false")
		if !ok {
			return
		}
		if s != "true" && s != "false" {
			r.refuse(s, "is neither true nor false", spell.Nearest(s, []string{"true", "false"}))
			return
		}
		*to = s == "true"
	}
}

// words takes a list of texts; if one is set, also a text alone.
func words(to *[]string, alone bool) func(reader) {
	return func(r reader) {
		items := []*yaml.Node{r.v}
		switch {
		case r.v.Kind == yaml.SequenceNode:
			items = r.v.Content
		case r.v.Kind == yaml.ScalarNode && r.v.Tag != "!!null" && alone:
		case r.v.Kind == yaml.ScalarNode && r.v.Tag != "!!null":
			r.p.suggest(r.h, r.key, "["+r.v.Value+"]", "%s wants a list, not %s", r.key, described(r.v))
			return
		default:
			r.problem("%s wants a list, not %s", r.key, described(r.v))
			return
		}
		*to = nil
		for _, item := range items {
			one := ""
			text(&one, nil)(reader{r.p, r.h, r.key, r.p.real(item)})
			if one != "" {
				*to = append(*to, one)
			}
		}
	}
}

func must(name, doc string, read func(reader)) key {
	return key{KeyDoc{Name: name, Doc: doc, Must: true}, read}
}

func may(name, def, doc string, read func(reader)) key {
	return key{KeyDoc{Name: name, Doc: doc, Default: def}, read}
}

// our marks a key that diskimage-builder does not have.
func our(k key) key {
	k.Ours = true
	return k
}

// named are the keys that every node of the graph has.
func (h *Header) named(base string, must bool) []key {
	return []key{
		may("name", "KIND_BASE", "What other nodes call this one.", text(&h.Name, nil)),
		{KeyDoc{Name: "base", Doc: base, Default: "what it stands within", Must: must}, words(&h.bases, true)},
	}
}

func (l *LocalLoop) keys() []key {
	return []key{
		must("name", "What other nodes call the disk.", text(&l.Name, nil)),
		may("size", "as large as its content needs", "The disk's size.", bytesAtLeast(&l.said, mib)),
		may("block_size", "512", "Bytes of a sector: 512 or 4096.", func(r reader) {
			number(&l.BlockSize, 512, 4096)(r)
			if l.BlockSize != 512 && l.BlockSize != 4096 {
				r.problem("block_size %d is neither 512 nor 4096", l.BlockSize)
				l.BlockSize = 512
			}
		}),
		may("directory", "", "Has no effect: outputs lie where the build puts them.", func(r reader) {
			text(&l.directory, nil)(r)
			r.p.warn(r.h, r.key, "directory has no effect: outputs lie where the build puts them")
		}),
	}
}

func (t *Partitioning) keys() []key {
	return []key{
		must("base", "The disk.", words(&t.bases, true)),
		may("name", "partitioning_BASE", "The base of what stands within the table.", text(&t.Name, nil)),
		must("label", "The kind of table: gpt or mbr.", oneOf(&t.Label, GPT, MBR)),
		may("align", "1MiB", "What the starts of partitions are a multiple of, on MBR.", bytesAtLeast(&t.Align, 512)),
		our(may("uuid", "derived", "The table's identity: a GUID, or on MBR 8 hexadecimal digits.", text(&t.UUID, nil))),
		must("partitions", "The partitions, in the order in which they lie on the disk.", nil),
	}
}

func (t *Partition) keys() []key {
	return []key{
		must("name", "What other nodes call the partition, and its name in a GPT.", text(&t.Name, nil)),
		may("base", "the table's", "The disk.", words(&t.bases, true)),
		must("size", "A size, a percentage of what the partitions before left, or fit: what the content needs, and what is to be free in a file system.", size(&t.Size)),
		our(may("least", "1MiB", "What it has at the least, whatever the content needs.", bytesAtLeast(&t.Least, 1))),
		may("flags", "[]", "On MBR: primary, and boot for the one that a BIOS starts. Without primary it is a logical partition.", words(&t.flags, false)),
		may("type", "8300, or 0x83 on MBR", "What it is for: sgdisk's code, a GUID, on MBR a hexadecimal number, or a word such as esp, bios, root, linux, swap or lvm.", text(&t.Type.Text, nil)),
		our(may("uuid", "derived", "The partition's GUID, on GPT.", text(&t.UUID, nil))),
	}
}

func (l *LVM) keys() []key {
	return append(l.named("Has no effect, beside giving a name.", false),
		must("pvs", "The physical volumes.", nil),
		must("vgs", "The volume groups.", nil),
		must("lvs", "The logical volumes.", nil))
}

func (v *PV) keys() []key {
	return []key{
		must("name", "What groups call it.", text(&v.Name, nil)),
		must("base", "The partition, disk or luks that it lies on.", words(&v.bases, true)),
		may("options", "[]", "Options of pvcreate. Those that only let it go on have no effect.", words(&v.Options, false)),
	}
}

func (v *VG) keys() []key {
	return []key{
		must("name", "The group's name.", text(&v.Name, volumeName)),
		must("base", "The physical volumes, as a list.", words(&v.bases, false)),
		may("options", "[]", "Options of vgcreate. Those that only let it go on have no effect.", words(&v.Options, false)),
		our(may("extent-size", "4MiB", "The size of an extent: a power of two.", func(r reader) {
			bytesAtLeast(&v.ExtentSize, mib)(r)
			if v.ExtentSize&(v.ExtentSize-1) != 0 || v.ExtentSize > 1<<32 {
				r.problem("extent-size %s is not a power of two from 1MiB to 4GiB", quote(r.v.Value))
				v.ExtentSize = DefaultExtent
			}
		})),
	}
}

func (v *LV) keys() []key {
	return []key{
		must("name", "The volume's name.", text(&v.Name, volumeName)),
		must("base", "The group.", words(&v.bases, true)),
		may("size", "", "A size, rounded down to 4 MiB. Of ours: a percentage of what the volumes before left, or fit.", size(&v.Size)),
		may("extents", "", "Instead of size: a number of extents, or a share such as 50%VG or 100%FREE.", func(r reader) {
			s, ok := r.scalar("a number of extents")
			if !ok {
				return
			}
			e, why, suggestion := parseExtents(s)
			if why != "" {
				r.refuse(s, why, suggestion)
				return
			}
			v.Extents = e
		}),
		our(may("least", "one extent", "What it has at the least, whatever the content needs.", bytesAtLeast(&v.Least, 1))),
		may("type", "linear", "thin-pool, thin, or of ours linear or striped.", oneOf(&v.Type, Linear, Striped, Thin, ThinPool)),
		may("thin-pool", "", "The pool of a thin volume.", text(&v.pool, nil)),
		our(may("stripes", "2", "How many physical volumes a striped volume lies across.", number(&v.Stripes, 2, 128))),
		our(may("stripe-size", "64KiB", "What a striped volume has on one physical volume in a row: a power of two.", func(r reader) {
			bytesAtLeast(&v.StripeSize, 4*kib)(r)
			if v.StripeSize&(v.StripeSize-1) != 0 {
				r.problem("stripe-size %s is not a power of two", quote(r.v.Value))
				v.StripeSize = 0
			}
		})),
		may("options", "[]", "Options of lvcreate. Those that only let it go on have no effect.", words(&v.Options, false)),
	}
}

// FilesystemTypes are what mkfs knows, with swap. fat is another name of vfat.
var FilesystemTypes = []string{"btrfs", "ext2", "ext3", "ext4", "swap", "vfat", "xfs"}

// labelMax is how many bytes a label may have.
var labelMax = map[string]int{"btrfs": 255, "ext2": 16, "ext3": 16, "ext4": 16, "swap": 16, "vfat": 11, "xfs": 12}

func (f *Mkfs) keys() []key {
	return append(f.named("The partition, logical volume, luks or disk that it fills.", true),
		may("type", "for mkfs_root what the build asks for, else none", "One of "+strings.Join(FilesystemTypes, ", ")+"; fat is vfat.", func(r reader) {
			if r.v.Kind == yaml.ScalarNode && r.v.Value == "fat" {
				f.Type = "vfat"
				return
			}
			oneOf(&f.Type, FilesystemTypes...)(r)
		}),
		may("label", "the node's name", "The label. No two file systems share one. A vfat's is put in upper case.", text(&f.Label, nil)),
		may("opts", "", "Options of mkfs, in one text.", func(r reader) {
			var s string
			if text(&s, nil)(r); s != "" {
				f.Options = strings.Fields(s)
			}
		}),
		may("uuid", "derived", "The identity. A vfat's has the form ABCD-1234.", text(&f.UUID, nil)),
		our(may("free", "what the output says", "Bytes that are to be free, where the size is what the content needs.", bytesAtLeast(&f.Free, 0))),
		our(may("subvolumes", "[]", "The subvolumes of a btrfs.", nil)))
}

func (s *Subvolume) keys() []key {
	return []key{
		must("name", "What other nodes call it.", text(&s.Name, nil)),
		may("path", "the name", "Where it lies in the file system: a relative path.", text(&s.Path, nil)),
	}
}

func (m *Mount) keys() []key {
	return append(m.named("The file system, or a subvolume.", true),
		must("mount_point", "Where it is mounted: an absolute path, or none for swap.", text(&m.Point, nil)))
}

func (f *Fstab) keys() []key {
	return append(f.named("The mount.", true),
		may("options", "defaults; sw for swap", "The options of the mount.", text(&f.Options, func(s string) (string, string) {
			if strings.ContainsAny(s, " ") {
				return "has blanks", strings.ReplaceAll(s, " ", "")
			}
			return "", ""
		})),
		may("dump-freq", "0", "The fifth field.", number(&f.Dump, 0, 9)),
		may("fsck-passno", "2; 0 for swap", "In which turn fsck looks at it: 1 for the root, 2 for others, 0 for never.", number(&f.Pass, 0, 9)),
		our(may("by", "label", "How the file system is named: label or uuid.", oneOf(&f.By, ByLabel, ByUUID))),
		our(may("discard", "false", "Whether freed blocks are given back at once.", toggle(&f.discard))))
}

// volumeName holds a name to LVM's rules.
func volumeName(s string) (why, suggestion string) {
	if why := lvm.CheckName(s); why != "" {
		return "is no name for LVM: it " + why, ""
	}
	return "", ""
}
