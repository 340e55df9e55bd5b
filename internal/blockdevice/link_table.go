package blockdevice

import (
	"regexp"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"

	"ingot/internal/gpt"
	"ingot/internal/mbr"
	"ingot/internal/spell"
)

func (l *linker) disk(d *LocalLoop) {
	if l.params.BlockSize != 0 {
		d.BlockSize = l.params.BlockSize
	}
	if d.said == 0 {
		d.said = l.params.ImageSize
	}
	d.Size = roundDown(d.said, d.BlockSize)
	l.c.Disks = append(l.c.Disks, d)
}

var serialPattern = regexp.MustCompile(`^(?:0[xX])?[0-9A-Fa-f]{8}$`)

func (l *linker) table(t *Partitioning) {
	h := &t.Header
	if len(t.bases) == 1 {
		if d, ok := l.base(h, t.bases[0], KindLoop).(*LocalLoop); ok {
			t.Disk = d
			if d.Table != nil {
				l.problem(h, "base", "base %s has a partition table already", printable(d.Name))
			} else {
				l.use(d, t)
				d.Table = t
			}
		}
	}
	switch t.Label {
	case GPT:
		if h.values["align"] != nil {
			l.ignored(fault(h, "align", "align has no effect on GPT, where partitions start at multiples of 1 MiB"))
		}
		t.Align = mib
		l.guid(h, t.UUID)
	case MBR:
		if t.Disk != nil && t.Align%t.Disk.BlockSize != 0 {
			l.problem(h, "align", "align %d is not a multiple of the sectors' %d bytes", t.Align, t.Disk.BlockSize)
		}
		if t.Align > 1<<30 {
			l.problem(h, "align", "align %s is more than 1 GiB", human(t.Align))
		}
		if t.UUID != "" && (!serialPattern.MatchString(t.UUID) || strings.HasSuffix(t.UUID, "00000000")) {
			l.problem(h, "uuid", "uuid %s is not an MBR's: want 8 hexadecimal digits that are not all 0", quote(t.UUID))
		}
	}
	logical, primaries, active := 0, 0, ""
	for i, part := range t.Partitions {
		h := &part.Header
		if len(part.bases) == 1 && len(t.bases) == 1 && part.bases[0] != t.bases[0] {
			l.problem(h, "base", "base %s is not the table's, %s", quote(part.bases[0]), quote(t.bases[0]))
		}
		for _, f := range part.flags {
			switch f {
			case "boot":
				part.Boot = true
			case "primary":
				part.Primary = true
			default:
				l.suggest(h, "flags", spell.Nearest(f, []string{"boot", "primary"}), "flag %s is unknown: there are boot and primary", quote(f))
			}
		}
		part.Number = i + 1
		if t.Label == GPT {
			l.gptPartition(part)
			continue
		}
		if t.Label != MBR {
			continue
		}
		l.mbrPartition(part)
		if part.Boot && active != "" {
			l.problem(h, "flags", "flag boot is on %s already: a BIOS starts one partition", printable(active))
		} else if part.Boot {
			active = part.Name
		}
		switch {
		case part.Primary && logical > 0:
			l.problem(h, "flags", "primary partitions must stand before those that are not")
		case part.Primary:
			primaries++
		default:
			part.Number = mbr.FirstLogical + logical
			logical++
		}
	}
	switch {
	case t.Label == MBR && (primaries > mbr.Primaries || primaries == mbr.Primaries && logical > 0):
		l.problem(h, "partitions", "an MBR has four entries, and logical partitions take one: there are %d primary and %d logical partitions", primaries, logical)
	case len(t.Partitions) > 124:
		l.problem(h, "partitions", "%d partitions are more than 124", len(t.Partitions))
	case len(t.Partitions) == 0 && h.values["partitions"] != nil && h.values["partitions"].Kind == yaml.SequenceNode:
		l.problem(h, "partitions", "partitions is an empty list: name at least one")
	}
}

func (l *linker) gptPartition(part *Partition) {
	h := &part.Header
	if part.Primary {
		l.problem(h, "flags", "flag primary is not for GPT, which has no other partitions")
	}
	if part.Boot {
		l.warn(h, "flags", "flag boot has no effect on GPT")
	}
	if part.Type.Text == "" {
		part.Type.Text = "8300"
	}
	var why string
	if part.Type.GPT, why = gptType(part.Type.Text, l.params.Arch); why != "" {
		l.suggest(h, "type", spell.Nearest(part.Type.Text, typeNames(GPT)), "type %s %s", quote(part.Type.Text), why)
	}
	if len(utf16.Encode([]rune(part.Name))) > 36 {
		l.problem(h, "name", "name does not fit in the 36 UTF-16 units of a GPT")
	}
	l.guid(h, part.UUID)
}

func (l *linker) mbrPartition(part *Partition) {
	h := &part.Header
	if part.Type.Text == "" {
		part.Type.Text = "0x83"
	}
	var why string
	if part.Type.MBR, why = mbrType(part.Type.Text); why != "" {
		l.suggest(h, "type", spell.Nearest(part.Type.Text, typeNames(MBR)), "type %s %s", quote(part.Type.Text), why)
	}
	if part.UUID != "" {
		l.problem(h, "uuid", "uuid is not for MBR, whose partitions go by the table's")
	}
}

// guid checks a partition's or a table's GUID, if there is one.
func (l *linker) guid(h *Header, s string) {
	if s == "" {
		return
	}
	if g, err := gpt.ParseGUID(s); err != nil || g == (gpt.GUID{}) {
		l.problem(h, "uuid", "uuid %s is not a GUID: want groups of 8-4-4-4-12 hexadecimal digits, not all 0", quote(s))
	}
}
