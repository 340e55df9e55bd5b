package definition

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
)

// A Layout is how disks are divided, as it was written.
type Layout struct {
	Text string // YAML; "" is the usual one
}

// layoutTypes are the file systems that can be made, with swap. Package layout
// writes them.
var layoutTypes = []string{"ext4", "swap", "vfat", "xfs"}

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
	return blockdevice.Params{Arch: arch, Firmware: firmware, RootType: "ext4", RootLabel: "root", Types: layoutTypes}
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
	if doc.Boot.Firmware != nil {
		firmware = def.Boot.Firmware
	}
	for _, arch := range def.Arch {
		c, err := blockdevice.Parse(n, layoutParams(arch, firmware))
		if !l.layoutProblems(n, err) {
			return // they are the same on the others
		}
		if why := c.Unreadable(); why != nil {
			l.problem(why.At, "%s", layoutMessage(*why))
			return
		}
		starts = append(starts, c.Firmware()...)
		if len(c.Firmware()) == 0 && doc.boots() {
			l.problem(n, "nothing starts from this layout: UEFI needs a partition of type esp with a vfat, a BIOS one of type bios on GPT, or 1 MiB before the first partition on MBR")
			return
		}
	}
	for _, f := range firmware {
		if !slices.Contains(starts, f) && doc.boots() {
			l.problem(n, "%s", missing(f))
		}
	}
	if firmware == nil {
		slices.Sort(starts)
		def.Boot.Firmware = slices.Compact(starts)
	}
}

// boots says whether any output boots by itself.
func (d *document) boots() bool {
	return !d.Kernel.None && slices.ContainsFunc(d.Outputs, func(o outputDoc) bool { return Output{Format: o.Format.Value}.Bootable() })
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
		at := p.At
		if at == nil {
			at = n
		}
		l.suggest(at, p.Suggestion, "%s", layoutMessage(p))
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
