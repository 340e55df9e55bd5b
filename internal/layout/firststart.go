package layout

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/luks"
	"ingot/internal/tree"
)

// Containers without a passphrase in the definition are encrypted with a key that the
// image does not keep secret: its seed and its passphrase are here. When a machine
// starts for the first time, before anything is mounted, a script in its initramfs has
// cryptsetup encrypt them anew, with a key that the machine makes and a passphrase that
// somebody chooses. cryptsetup's way of doing that survives a power cut at any instant,
// as encrypting a plain file system in place would not: there the first sectors of the
// file system give way to the head.

// What everybody knows. The script has the passphrase too.
const (
	publicSeed       = "no secret: whoever has the image has what derives from this"
	publicPassphrase = "everybody knows this"
	publicToken      = "ingot-first-start"
)

// What does it, in the initramfs.
var (
	//go:embed firststart/hook
	firstStartHook string
	//go:embed firststart/first-start
	firstStart string
	//go:embed firststart/passphrase
	firstStartPassphrase string
	//go:embed firststart/local-top
	firstStartTop string
	//go:embed firststart/local-bottom
	firstStartBottom string
)

// localTop is where scripts lie that cryptroot's comes after: it names those beside it as its
// prerequisites, and not those of /etc/initramfs-tools.
const localTop = "usr/share/initramfs-tools/scripts/local-top/"

const passphraseScript = "usr/lib/ingot/luks-passphrase"

// Enrolled are the containers that get their keys at the first start.
func (r Resolved) Enrolled() []*blockdevice.LUKS {
	var out []*blockdevice.LUKS
	for _, c := range r.Containers {
		if c.Enrolled() {
			out = append(out, c)
		}
	}
	return out
}

// EarlyFiles are what an initramfs is made by: what says how containers are opened
// and what does it, what opens a root with hashes, what finds a root's volume group, and
// what makes the partition of an encrypted root larger.
func (r Resolved) EarlyFiles() []boot.File {
	out := slices.Concat(r.rooted(), r.grouped(), r.grown())
	if len(r.Containers) == 0 {
		return out
	}
	out = append(out, boot.File{Path: "etc/crypttab", Kind: tree.File, Mode: 0o644, Data: []byte(r.Crypttab())})
	enrolled := r.Enrolled()
	if len(enrolled) == 0 {
		return out
	}
	var list strings.Builder
	for _, c := range enrolled {
		key, volume := "-", "-"
		if c.KeyFile != "" {
			key = c.KeyFile
		}
		if v, ok := c.Device.(*blockdevice.LV); ok {
			volume = v.VG.Name + "/" + v.Name
		}
		costs := fmt.Sprintf("%s %d %d", luks.Argon2id, luks.DefaultTime, cmp.Or(c.Memory, luks.DefaultMemory)>>10)
		if c.KDF == luks.PBKDF2 {
			costs = fmt.Sprintf("%s %d -", luks.PBKDF2, luks.DefaultIterations)
		}
		fmt.Fprintf(&list, "%s %s %s %s %s\n", c.Name, key, costs, volume, c.Label)
	}
	const scripts = "etc/initramfs-tools/"
	return append(out, programs([]program{
		{"etc/ingot/luks-first-start", list.String()},
		{scripts + "hooks/ingot-luks", firstStartHook},
		{localTop + "ingot-luks", firstStartTop},
		{scripts + "scripts/local-bottom/ingot-luks", firstStartBottom},
		{"usr/lib/ingot/luks-first-start", firstStart},
		{passphraseScript, firstStartPassphrase},
	})...)
}

// A program is a file of ours and its text; a script can be run.
type program struct{ path, text string }

// programs are these files, with the directories that lead there.
func programs(list []program) []boot.File {
	var out []boot.File
	for _, f := range list {
		for i, c := range f.path {
			if c == '/' {
				out = append(out, boot.File{Path: f.path[:i], Kind: tree.Dir, Mode: 0o755})
			}
		}
		mode := uint32(0o644)
		if strings.HasPrefix(f.text, "#!") {
			mode = 0o755
		}
		out = append(out, boot.File{Path: f.path, Kind: tree.File, Mode: mode, Data: []byte(f.text)})
	}
	return out
}
