package plan

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/format"
	"ingot/internal/layout"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// No device is made while elements work on an image that becomes a disk: the disk is
// written at the end, boot loader and all. Scripts are told of the devices that there will
// be, by the names that diskimage-builder gives them, and the programs that would look
// for these are the build itself: grub-probe and grub-mkrelpath answer from the layout, and
// grub-install puts GRUB's modules where the boot loader will look for them.

// diskDevice is what scripts take the disk for.
const diskDevice = "/dev/loop0"

// deviceOf is what scripts take the device of a node for.
func deviceOf(n blockdevice.Node) string {
	switch d := n.(type) {
	case *blockdevice.Partition:
		return fmt.Sprintf("/dev/mapper/loop0p%d", d.Number)
	case *blockdevice.LV:
		return "/dev/mapper/" + d.VG.Name + "-" + d.Name
	}
	return diskDevice
}

// diskEnvironment is what scripts see of the disk in a phase.
func (p *Plan) diskEnvironment(c Chain, phase string) ([]string, error) {
	if c.Purpose != format.Machine {
		return nil, nil
	}
	l, err := p.layout(c)
	if err != nil {
		return nil, err
	}
	var points []string
	bootLabel := ""
	for _, m := range l.Mounts {
		points = append(points, m.Point)
		if m.Point == "/boot" {
			bootLabel = m.FS.Label
		}
	}
	out := []string{"DIB_ROOT_LABEL=" + l.Root().Label, "DIB_ROOT_FSTYPE=" + l.Root().Type, "DIB_BOOT_LABEL=" + bootLabel, "DIB_MOUNTPOINTS=" + strings.Join(points, "|")}
	switch phase {
	case "pre-finalise.d", "finalise.d", "cleanup.d":
		devices := ""
		for _, n := range l.Nodes {
			switch n.(type) {
			case *blockdevice.LocalLoop, *blockdevice.Partition, *blockdevice.LV:
				devices += " [" + n.Head().Name + "]=" + deviceOf(n) + " "
			}
		}
		out = append(out, "IMAGE_BLOCK_DEVICE="+diskDevice, "IMAGE_BLOCK_DEVICES="+devices)
	}
	return out, nil
}

// mountsFiles writes what says how the disk is mounted, before the last phases see it.
func (p *Plan) mountsFiles(c Chain) keyed {
	return keyed{kind: "fstab", reads: []any{p.identity(c), p.Definition.Layout}, Step: Step{Name: "fstab", light: true, work: func(ctx context.Context, w *worker) error {
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		l, err := p.layout(c)
		if err != nil {
			return err
		}
		var entries []tree.Entry
		var files []sandbox.NewFile
		for _, f := range l.Files() {
			if f.Kind == tree.Dir {
				entries = append(entries, tree.Entry{Path: f.Path, Kind: tree.Dir, Mode: f.Mode, Mtime: tree.Time{Sec: p.Lock.Epoch}})
			} else {
				files = append(files, sandbox.NewFile{Path: f.Path, Mode: f.Mode, Data: f.Data, Mtime: p.Lock.Epoch})
			}
		}
		if err := box.Put(ctx, entries, w.reader); err != nil {
			return err
		}
		return box.Write(ctx, files...)
	}}}
}

// grubInstall does for a script what grub-install does for the tree: the rest is written
// with the disk.
func (w *worker) grubInstall(ctx context.Context, c relay.Calling, out io.Writer) int {
	target := "i386-pc"
	for i, a := range c.Args {
		name, value, has := strings.Cut(a, "=")
		switch name {
		case "--version", "-V":
			_, _ = fmt.Fprintln(out, "grub-install (GRUB) 2.12")
			return 0
		case "--target":
			if !has && i+1 < len(c.Args) {
				value = c.Args[i+1]
			}
			target = value
		}
	}
	text := `mkdir -p "/boot/grub/$1"
cp -a "/usr/lib/grub/$1/." "/boot/grub/$1/"
rm -f "/boot/grub/$1"/*.img "/boot/grub/$1"/*.module
if [ -e /usr/share/grub/unicode.pf2 ]; then mkdir -p /boot/grub/fonts; cp -a /usr/share/grub/unicode.pf2 /boot/grub/fonts/; fi
`
	said, err := w.box.Output(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-euc", text, "sh", target}, Env: w.environment()}, nil)
	if err != nil {
		_, _ = fmt.Fprintf(out, "grub-install: error: %v\n%s", err, said)
		return 1
	}
	_, _ = fmt.Fprintf(out, "Installing for %s platform.\nInstallation finished. No error reported.\n", target)
	return 0
}

// grubProbe answers grub-probe's questions (grub-probe(8)) from the layout.
func (w *worker) grubProbe(_ context.Context, c relay.Calling, out io.Writer) int {
	l, err := w.plan.layout(w.chain)
	if err != nil || w.chain.Purpose != format.Machine {
		_, _ = fmt.Fprintln(out, "grub-probe: error: the image has no disk.")
		return 1
	}
	target, device, words := "fs", false, []string(nil)
	for i := 0; i < len(c.Args); i++ {
		name, value, has := strings.Cut(c.Args[i], "=")
		switch name {
		case "-t", "--target":
			if i+1 < len(c.Args) && !has {
				i++
				value = c.Args[i]
			}
			target = value
		case "-m", "--device-map":
			if !has {
				i++
			}
		case "-d", "--device":
			device = true
		case "--version", "-V":
			_, _ = fmt.Fprintln(out, "grub-probe (GRUB) 2.12")
			return 0
		default:
			if !strings.HasPrefix(name, "-") {
				words = append(words, c.Args[i])
			}
		}
	}
	if len(words) == 0 {
		words = []string{"/"}
	}
	m := l.Holding("/")
	for _, one := range l.Mounts {
		if device && (deviceOf(one.FS.Device) == words[0] || "LABEL="+one.FS.Label == words[0]) {
			m = one
		}
	}
	if !device {
		m = l.Holding(words[0])
	}
	if target == "fs_uuid" {
		w.downs.identify()
	}
	answer, ok := probed(l, m, target)
	if !ok {
		_, _ = fmt.Fprintf(out, "grub-probe: error: ingot does not know what %s is of a disk.\n", target)
		return 1
	}
	_, _ = fmt.Fprintln(out, answer)
	return 0
}

// grubPath says for grub-mkrelpath where a file lies in its own file system
// (grub-mkrelpath(1)): here all are one.
func (w *worker) grubPath(_ context.Context, c relay.Calling, out io.Writer) int {
	l, err := w.plan.layout(w.chain)
	relative, words := false, []string(nil)
	for _, a := range c.Args {
		switch {
		case a == "-r" || a == "--relative":
			relative = true
		case !strings.HasPrefix(a, "-"):
			words = append(words, a)
		}
	}
	if err != nil || w.chain.Purpose != format.Machine || len(words) != 1 {
		_, _ = fmt.Fprintln(out, "grub-mkrelpath: error: one path of an image with a disk is needed.")
		return 1
	}
	at := path.Clean(path.Join("/", words[0]))
	m := l.Holding(at)
	if rest := strings.TrimPrefix(at, strings.TrimSuffix(m.Point, "/")); m.Sub != nil && !relative {
		at = "/" + m.Sub.Path + rest
	} else {
		at = path.Join("/", rest)
	}
	_, _ = fmt.Fprintln(out, at)
	return 0
}

// probed is what grub-probe says of a mounted file system.
func probed(l layout.Resolved, m *blockdevice.Mount, target string) (string, bool) {
	partition, _ := m.FS.Device.(*blockdevice.Partition)
	label, number := "", 0
	if partition != nil {
		number = partition.Number
		if label = "msdos"; partition.Table.Label == blockdevice.GPT {
			label = "gpt"
		}
	}
	_, volume := m.FS.Device.(*blockdevice.LV)
	switch target {
	case "device":
		return deviceOf(m.FS.Device), true
	case "disk":
		return diskDevice, true
	case "fs":
		return map[string]string{"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "vfat": "fat", "xfs": "xfs", "btrfs": "btrfs"}[m.FS.Type], true
	case "fs_uuid":
		return l.UUID(m.FS), true
	case "fs_label":
		return m.FS.Label, true
	case "partmap":
		return label, true
	case "abstraction":
		if volume {
			return "lvm", true
		}
		return "", true
	case "drive", "compatibility_hint", "hints_string", "bios_hints", "efi_hints", "baremetal_hints", "ieee1275_hints", "arc_hints", "zero_check", "partuuid", "cryptodisk_uuid", "msdos_parttype", "gpt_parttype":
		if number == 0 || target == "zero_check" || strings.HasSuffix(target, "parttype") || strings.HasSuffix(target, "uuid") {
			return "", target != "drive"
		}
		at := fmt.Sprintf("hd0,%s%d", label, number)
		switch target {
		case "drive":
			return "(" + at + ")", true
		case "hints_string":
			return "--hint-bios=" + at + " --hint-efi=" + at, true
		}
		return at, true
	}
	return "", false
}
