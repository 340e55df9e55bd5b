package definition

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/mkfs"
)

// A Layout is how disks are divided, as it was written.
type Layout struct {
	Text string // YAML; "" is the usual one
}

// usual is the layout that is meant where nothing is said.
const usual = "hybrid"

// Usual says whether it is the one that is meant where nothing is said.
func (l Layout) Usual() bool { return l.Text == "" }

// On is the layout on an architecture, for some firmware; none is all that it has.
func (l Layout) On(arch string, firmware []string) (*blockdevice.Config, error) {
	text := l.Text
	if text == "" {
		text = usual
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return nil, errors.Join(errors.New("the layout is no YAML"), err)
	}
	return blockdevice.Parse(doc.Content[0], layoutParams(arch, firmware))
}

func layoutParams(arch string, firmware []string) blockdevice.Params {
	return blockdevice.Params{Arch: arch, Firmware: firmware, RootType: "ext4", RootLabel: "root", Types: mkfs.Types()}
}

// layout reads the layout for each architecture, and holds the firmware against it.
// Where no firmware was asked for, it is what the layout starts by.
func (l *loading) layout(doc *document, def *Definition) {
	n := doc.Layout.At
	if n == nil {
		return
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(n), enc.Close()); err != nil {
		l.problem(n, "layout cannot be read: %v", err)
		return
	}
	if def.Layout.Text = string(bytes.TrimSpace(b.Bytes())); def.Layout.Text == usual {
		def.Layout.Text = ""
	}
	var firmware, starts []string
	if doc.Boot.Firmware != nil || loaderFirmware(def.Boot.Loader) != nil {
		firmware = def.Boot.Firmware
	}
	for _, arch := range def.Arch {
		c, err := blockdevice.Parse(n, layoutParams(arch, firmware))
		if !l.layoutProblems(n, err) {
			return // they are the same on the others
		}
		if !l.supported(n, c, doc) {
			return
		}
		if arch == def.Arch[0] {
			for _, w := range c.Warnings {
				node := at(w.At, n)
				def.Warnings = append(def.Warnings, fmt.Sprintf("%s:%d:%d: %s", l.origin[node].show, node.Line, node.Column, layoutMessage(w)))
			}
		}
		if why := c.Unreadable(); why != nil && def.Boot.Loader == "grub" {
			l.problem(why.At, "%s", layoutMessage(*why))
			return
		}
		if why := c.Unkept(); why != nil && onESP(def.Boot.Loader) && doc.boots() {
			l.problem(at(why.At, n), "%s", layoutMessage(*why))
			return
		}
		starts = append(starts, c.Firmware()...)
		if why := c.NoExtlinux(); why != nil && def.Boot.Loader == "extlinux" && doc.boots() {
			l.problem(at(why.At, n), "%s", layoutMessage(*why))
			return
		}
		if len(c.Firmware()) == 0 && doc.boots() && !anywhere(def.Boot.Loader) {
			l.problem(n, "nothing starts from this layout: UEFI needs a partition of type esp with a vfat, a BIOS one of type bios on GPT, or 1 MiB before the first partition on MBR")
			return
		}
	}
	for _, f := range firmware {
		if !anywhere(def.Boot.Loader) && !slices.Contains(starts, f) && doc.boots() {
			l.problem(n, "%s", missing(f))
		}
	}
	if firmware == nil {
		slices.Sort(starts)
		def.Boot.Firmware = slices.Compact(starts)
	}
}

// supported notes what a layout asks for that cannot be made.
func (l *loading) supported(n *yaml.Node, c *blockdevice.Config, doc *document) bool {
	before := len(l.problems)
	if len(c.Disks) > 1 {
		l.problem(at(c.Disks[1].At, n), "more than one disk is not supported yet by this version of ingot")
	}
	d := c.Disks[0]
	if d.BlockSize != 512 {
		l.problem(at(d.Where("block_size"), n), "sectors of %d bytes are not supported yet by this version of ingot", d.BlockSize)
	}
	for _, o := range doc.Outputs {
		if o.Type.Value == "azure" && d.Size%(1<<20) != 0 {
			l.problem(at(d.Where("size"), n), "Azure takes disks of whole MiB, and %d bytes are none; did you mean %dMiB?", d.Size, (d.Size+1<<20-1)>>20)
		}
	}
	for _, o := range doc.Outputs {
		if most := (Output{Format: o.Format.Value}).Kind().Most; most > 0 && d.Size > most {
			l.problem(at(d.Where("size"), n), "a disk of %d GiB is too large for a %s, which has at most %d GiB", d.Size>>30, o.Format.Value, most>>30)
		}
	}
	for _, m := range c.Mounts {
		if m.Fstab == nil && slices.Contains([]string{"/", "/usr", "/var", "/boot"}, m.Point) {
			l.problem(at(m.At, n), "layout: %s: it has no line of fstab, so that no machine would mount %s; write fstab: {} within the mount", m.Name, m.Point)
		}
	}
	return len(l.problems) == before
}

// at is a node, or another where there is none.
func at(n, other *yaml.Node) *yaml.Node {
	if n == nil {
		return other
	}
	return n
}

// boots says whether any output is a disk that boots by itself.
func (d *document) boots() bool {
	return !d.Kernel.None && slices.ContainsFunc(d.Outputs, func(o outputDoc) bool { return Output{Format: o.Format.Value}.Kind().Disk() })
}

// layoutProblems notes what is wrong with a layout, each at its place, and says
// whether nothing is.
func (l *loading) layoutProblems(n *yaml.Node, err error) bool {
	var problems blockdevice.Problems
	switch {
	case err == nil:
		return true
	case !errors.As(err, &problems):
		l.problem(n, "layout: %v", err)
	}
	for _, p := range problems {
		l.suggest(at(p.At, n), p.Suggestion, "%s", layoutMessage(p))
	}
	return false
}

func layoutMessage(p blockdevice.Problem) string {
	if p.Node == "" {
		return p.Message
	}
	return "layout: " + p.Message
}

func missing(firmware string) string {
	if firmware == "uefi" {
		return "firmware asks for uefi, and the layout has no partition of type esp with a vfat"
	}
	return fmt.Sprintf("firmware asks for %s, and the layout has no place for its boot loader: a partition of type bios on GPT, or 1 MiB before the first partition on MBR", firmware)
}
