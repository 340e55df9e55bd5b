package definition

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/mkfs"
)

// A Layout is how disks are divided, as it was written.
type Layout struct {
	Text string // YAML; "" is the usual one
	// Said says that the definition has it: an element says nothing of it then.
	Said bool `json:"-"`
	// Given is what diskimage-builder's options say of it; nil is ingot's own defaults.
	Given *LayoutOptions `json:",omitempty"`
}

// LayoutOptions are what diskimage-builder takes for a layout beside its YAML.
type LayoutOptions struct {
	ImageSize   int64 // bytes of a disk that says none; 0 is as large as the content needs
	BlockSize   int64 // bytes of a sector, of every disk; 0 is what the layout says
	RootType    string
	RootLabel   string
	RootOptions []string
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
	params := layoutParams(arch, firmware)
	if g := l.Given; g != nil {
		params.ImageSize, params.BlockSize, params.RootType, params.RootLabel, params.RootOptions = g.ImageSize, g.BlockSize, g.RootType, g.RootLabel, g.RootOptions
		params.Lenient = true
	}
	return blockdevice.Parse(doc.Content[0], params)
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
	def.Layout.Said = true
	l.secrets(n, def)
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
		l.askLayout(def, n, c)
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
		if why := c.Unheld(); why != nil && def.Boot.Loader == "uki" && doc.boots() {
			l.problem(at(why.At, n), "%s", layoutMessage(*why))
			return
		}
		starts = append(starts, c.Firmware()...)
		if why := c.NoExtlinux(); why != nil && def.Boot.Loader == "extlinux" && doc.boots() {
			l.problem(at(why.At, n), "%s", layoutMessage(*why))
			return
		}
		if large := c.LargeSectors(); large > 0 && doc.boots() && !anywhere(def.Boot.Loader) && (len(c.Firmware()) == 0 || slices.Contains(firmware, "bios")) {
			l.problem(at(c.Disks[0].Where("block_size"), n), "no BIOS starts from sectors of %d bytes: give the layout a partition of type esp with a vfat, and leave firmware to uefi", large)
			return
		}
		if len(c.Firmware()) == 0 && doc.boots() && !anywhere(def.Boot.Loader) {
			l.problem(n, "nothing starts from this layout: UEFI needs a partition of type esp with a vfat, a BIOS one of type bios on GPT, or 1 MiB before the first partition on MBR")
			return
		}
	}
	for _, f := range firmware {
		if !anywhere(def.Boot.Loader) && !slices.Contains(starts, f) && doc.boots() {
			if l.oneOfSeveral { // another architecture may start by it
				def.Boot.Firmware = slices.DeleteFunc(slices.Clone(def.Boot.Firmware), func(g string) bool { return f == g })
				l.gone[f]++
				continue
			}
			l.problem(n, "%s", missing(f))
		}
	}
	if firmware == nil {
		slices.Sort(starts)
		def.Boot.Firmware = slices.Compact(starts)
	}
}

// secrets makes the paths of a layout's secret files relative to the definition's
// directory. They are no inputs of a lock and need not be there before a build.
func (l *loading) secrets(n *yaml.Node, def *Definition) {
	c, err := blockdevice.Parse(n, layoutParams(def.Arch[0], nil))
	if err != nil {
		return // it is said for each architecture
	}
	seen := map[*yaml.Node]bool{}
	files := map[blockdevice.Node][]blockdevice.Secret{}
	for _, n := range c.Nodes {
		switch n := n.(type) {
		case *blockdevice.LUKS:
			files[n] = []blockdevice.Secret{n.Passphrase, n.Seed}
		case *blockdevice.Verity:
			files[n] = []blockdevice.Secret{n.Key, n.Certificate}
		}
	}
	for _, in := range c.Nodes {
		for _, s := range files[in] {
			if s.At == nil || seen[s.At] {
				continue
			}
			seen[s.At] = true
			// All flavors and architectures have the same node: what was made of one path
			// must not be made of it again.
			if !path.IsAbs(s.File) && !l.placed[s.At] {
				if why := localPathRule.check(s.File); why != "" || strings.HasPrefix(s.File, "~") {
					l.problem(s.At, "layout: %s: file %s is no path below the definition's directory, and no absolute one", in.Head().Name, quote(s.File))
					continue
				}
				if src := l.origin[s.At]; src != nil {
					s.At.Value, l.placed[s.At] = beside(src, s.File), true
				}
			}
			l.ask(def, "secret", s.At.Value, s.At)
		}
	}
}

// severalDisks are the formats that have a file for each disk.
var severalDisks = []string{"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"}

// fitsDisk notes what an output's format cannot make of a disk.
func (l *loading) fitsDisk(n *yaml.Node, d *blockdevice.LocalLoop, o outputDoc) {
	out := Output{Format: o.Format.Value}
	if d.BlockSize != 512 && out.Kind().Disk() && !slices.Contains([]string{"raw", "qcow2"}, out.Format) {
		l.problem(at(d.Where("block_size"), n), "disks of format %s have sectors of 512 bytes: raw and qcow2 leave their size to the machine", out.Format)
	}
	if most := out.Kind().Most; most > 0 && d.Size > most {
		l.problem(at(d.Where("size"), n), "a disk of %d GiB is too large for a %s, which has at most %d GiB", d.Size>>30, out.Format, most>>30)
	}
	if o.Type.Value == "azure" && d.Size%(1<<20) != 0 {
		l.problem(at(d.Where("size"), n), "Azure takes disks of whole MiB, and %d bytes are none; did you mean %dMiB?", d.Size, (d.Size+1<<20-1)>>20)
	}
}

// supported notes what a layout asks for that cannot be made.
func (l *loading) supported(n *yaml.Node, c *blockdevice.Config, doc *document) bool {
	before := len(l.problems)
	for _, q := range c.Misnamed() {
		l.problem(at(q.At, n), "%s", layoutMessage(q))
	}
	for _, d := range c.Disks {
		if d.BlockSize != 512 && d.Table != nil && d.Table.Label == blockdevice.MBR {
			l.problem(at(d.Where("block_size"), n), "an MBR on sectors of %d bytes is supported by nothing that starts from it: divide the disk by gpt", d.BlockSize)
		}
		for _, o := range doc.Outputs {
			l.fitsDisk(n, d, o)
		}
	}
	for _, o := range doc.Outputs {
		out := Output{Format: o.Format.Value}
		if len(c.Disks) > 1 && out.Kind().Disk() && !slices.Contains(severalDisks, out.Format) {
			l.problem(at(c.Disks[1].At, n), "an output of format %s holds one disk, and the layout has %d; those that can be several files are %s", out.Format, len(c.Disks), strings.Join(severalDisks, ", "))
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
