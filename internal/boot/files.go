package boot

import (
	"errors"
	"fmt"
	"strings"

	"ingot/internal/tree"
)

// Params are what a tree's boot files depend on.
type Params struct {
	Arch      string
	Loader    string // one of the loaders' names; "" is [GRUB]
	Places    Places
	Grows     bool     // whether systemd-repart makes the root's partition larger
	Kernels   []Kernel // newest first; at least one
	Console   string   // "ttyS0"; "" is the architecture's; "tty0" is the screen alone
	Arguments []string // of the kernel, besides root and consoles
	Title     string   // of the menu's first entry: "Debian GNU/Linux 12"
	ID        string   // of the distribution: "debian" (os-release(5))
	Release   string   // all that the distribution says of itself (os-release(5))
	Ukify     bool     // whether the tree can make unified kernel images
	Secure    bool     // whether shim and systemd-boot start, as the distribution signed them
	Signed    bool     // whether what starts has signatures by a key of the user's
	Timeout   int      // seconds that the menu waits
}

// Files gives the files that make the tree start and run as a machine. The file
// system table is the layout's.
func Files(p Params) ([]File, error) {
	if _, err := lookupArch(p.Arch); err != nil {
		return nil, err
	}
	if len(p.Kernels) == 0 {
		return nil, errNoKernel
	}
	out, err := p.loaderFiles()
	if err != nil {
		return nil, err
	}
	out = append(out, systemFiles()...)
	if p.Grows {
		out = append(out, dir("etc/repart.d"), file("etc/repart.d/50-root.conf", repartRoot))
	}
	return out, nil
}

var errNoKernel = errors.New("boot: the tree has no kernel (/boot/vmlinuz-*)")

// loaderFiles are the files of one loader.
func (p Params) loaderFiles() ([]File, error) {
	switch p.Loader {
	case None:
		return nil, nil
	case Syslinux:
		return p.extlinuxFiles()
	case SDBoot:
		return p.kernelInstall(bls)
	case UnifiedKernel:
		return p.kernelInstall(p.ukiInstall())
	case "", GRUB:
		args, err := p.arguments()
		if err != nil {
			return nil, err
		}
		return []File{
			dir("boot/grub"),
			file("boot/grub/grub.cfg", p.grubConfig(args)),
			dir("etc/default"),
			dir("etc/default/grub.d"),
			file("etc/default/grub.d/50-ingot.cfg", p.grubDefaults(args)),
		}, nil
	}
	return nil, fmt.Errorf("boot: no loader is called %q", p.Loader)
}

// file, dir and link are root's, with the usual permissions.
func file(path, text string) File {
	return File{Path: path, Kind: tree.File, Mode: 0o644, Data: []byte(text)}
}

func dir(path string) File { return File{Path: path, Kind: tree.Dir, Mode: 0o755} }

func link(path, target string) File {
	return File{Path: path, Kind: tree.Symlink, Mode: 0o777, Link: target}
}

// systemFiles are what every system that systemd runs gets, a machine as a
// container: a network by DHCP, and an identity of its own at its first start.
func systemFiles() []File {
	const units = "/lib/systemd/system/"
	return []File{
		dir("etc/systemd/network"),
		file("etc/systemd/network/80-dhcp.network", network),
		link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
		// What "systemctl enable systemd-networkd" makes.
		dir("etc/systemd/system"),
		link("etc/systemd/system/dbus-org.freedesktop.network1.service", units+"systemd-networkd.service"),
		dir("etc/systemd/system/multi-user.target.wants"),
		link("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", units+"systemd-networkd.service"),
		dir("etc/systemd/system/network-online.target.wants"),
		link("etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service", units+"systemd-networkd-wait-online.service"),
		dir("etc/systemd/system/sockets.target.wants"),
		link("etc/systemd/system/sockets.target.wants/systemd-networkd.socket", units+"systemd-networkd.socket"),

		{Path: "etc/machine-id", Kind: tree.File, Mode: 0o444},
		dir("var/lib/dbus"),
		link("var/lib/dbus/machine-id", "/etc/machine-id"),
	}
}

// Unwanted lists paths that a tree which became a machine's must not have: what
// one machine keeps secret from or different to others.
func Unwanted() []string {
	return []string{"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "boot/grub/grubenv"}
}

const repartRoot = `# The root partition takes all room that the disk has behind it.
[Partition]
Type=root
`

const network = `# Every Ethernet card gets its address by DHCP or router advertisement.
[Match]
Name=en* eth*

[Network]
DHCP=yes
`

func (p Params) console() string {
	if p.Console != "" {
		return p.Console
	}
	return Console(p.Arch)
}

// serialUnit is the number of a serial port that GRUB can drive, or -1.
func (p Params) serialUnit() int {
	n, ok := strings.CutPrefix(p.console(), "ttyS")
	if !ok || len(n) != 1 || n[0] < '0' || n[0] > '3' {
		return -1
	}
	return int(n[0] - '0')
}

// words are the kernel's arguments, besides root.
func (p Params) words() ([]string, error) {
	args := []string{"console=tty0"}
	if c := p.console(); strings.HasPrefix(c, "ttyS") || strings.HasPrefix(c, "ttyAMA") {
		args = append(args, "console="+c+",115200")
	} else if c != "tty0" {
		args = append(args, "console="+c)
	}
	args = append(args, p.Arguments...)
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return nil, fmt.Errorf("kernel argument %q is empty or has a control character", a)
		}
	}
	return args, nil
}

// arguments are the kernel's, quoted as GRUB's language wants it. GRUB itself puts
// quotes around a word that has a space in it, for the kernel, and a backslash before
// each quote within, which the kernel does not take back: so a word has none.
func (p Params) arguments() (string, error) {
	words, err := p.words()
	for i, w := range words {
		words[i] = quote(strings.ReplaceAll(w, `"`, ""))
	}
	return strings.Join(words, " "), err
}

// quote makes a word of anything, for GRUB's language as for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./,:=@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// onBoot is a path below boot as GRUB knows it, on the file system of /boot.
func (p Params) onBoot(path string) string {
	return p.Places.BootDir + strings.TrimPrefix("/"+path, "/boot")
}

func (p Params) grubConfig(args string) string {
	var b strings.Builder
	p.menuHead(&b, "# The menu of the first boot. update-grub writes its own over it.\n")
	for i, k := range p.Kernels {
		// $root is the partition that GRUB read this file from.
		var root []string
		for _, a := range p.Places.Arguments() {
			root = append(root, quote(a))
		}
		fmt.Fprintf(&b, "menuentry %s {\n\tlinux %s %s %s\n", quote(p.entryTitle(i, k.Version)), quote(p.onBoot(k.Image)), strings.Join(root, " "), args)
		if k.Initrd != "" {
			fmt.Fprintf(&b, "\tinitrd %s\n", quote(p.onBoot(k.Initrd)))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// menuHead begins a menu: how long it waits, and on which consoles it stands.
func (p Params) menuHead(b *strings.Builder, comment string) {
	b.WriteString(comment)
	fmt.Fprintf(b, "set default=0\nset timeout=%d\n", p.Timeout)
	if unit := p.serialUnit(); unit >= 0 {
		// UEFI firmware shows its console on the serial port itself.
		fmt.Fprintf(b, "if [ \"$grub_platform\" = pc ]; then\n\tserial --unit=%d --speed=115200\n", unit)
		b.WriteString("\tterminal_input console serial\n\tterminal_output console serial\nfi\n")
	}
}

// entryTitle is what the menu calls a kernel, by its place among them.
func (p Params) entryTitle(i int, version string) string {
	title := p.Title
	if title == "" {
		title = "Linux"
	}
	title = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, title)
	if i > 0 {
		title += ", with Linux " + version
	}
	return title
}

// grubDefaults is read by update-grub, behind /etc/default/grub.
func (p Params) grubDefaults(args string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What the image was built with; update-grub reads it.\nGRUB_TIMEOUT=%d\nGRUB_CMDLINE_LINUX=%s\nGRUB_CMDLINE_LINUX_DEFAULT=\n", p.Timeout, quote(args))
	if unit := p.serialUnit(); unit >= 0 {
		fmt.Fprintf(&b, "GRUB_TERMINAL='console serial'\nGRUB_SERIAL_COMMAND='serial --unit=%d --speed=115200'\n", unit)
	}
	b.WriteString("GRUB_DISABLE_OS_PROBER=true\n")
	return b.String()
}
