package blockdevice

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/luks"
)

// A LUKS is an encrypted container, with a device in it that is smaller by the head.
type LUKS struct {
	Header
	Device     Node   // a *LocalLoop, a *Partition or an *LV
	Label      string // never empty
	UUID       string // "" is derived
	Passphrase Secret
	Seed       Secret
	KDF        luks.KDF
	Memory     int64  // bytes that the KDF fills
	KeyFile    string // where a machine finds the passphrase; "" is a person
	Discard    bool
}

// A Secret is a file that is read when a disk is written, and at no other time.
type Secret struct {
	File string
	// At is where the file is written in the text.
	At *yaml.Node
}

func (l *LUKS) keys() []key {
	return []key{
		may("name", "KIND_BASE", "What other nodes call the device in the container, and its name below /dev/mapper.", text(&l.Name, nil)),
		{KeyDoc{Name: "base", Doc: "The partition, logical volume or disk that it fills.", Default: "what it stands within", Must: true}, words(&l.bases, true)},
		may("passphrase", "chosen at the first start", "What opens it: {file: PATH}, a file with one line, relative to the file that names it.", secret(&l.Passphrase)),
		may("seed", "keys are made at the first start", "What its keys derive from: {file: PATH}, a file of at least 32 bytes that nobody can guess.", secret(&l.Seed)),
		may("label", "the node's name", "The label, by which a machine finds it.", text(&l.Label, nil)),
		may("uuid", "derived", "The identity.", text(&l.UUID, nil)),
		may("kdf", string(luks.Argon2id), "How a key is made of the passphrase: argon2id, or pbkdf2.", oneOf(&l.KDF, luks.Argon2id, luks.PBKDF2)),
		may("memory", "64MiB", "What argon2id fills, here and in each machine that opens it.", func(r reader) {
			bytesAtLeast(&l.Memory, mib)(r)
			if l.Memory > 4<<30 || l.Memory%kib != 0 {
				r.problem("memory %s is not at most 4GiB in whole KiB", quote(r.v.Value))
				l.Memory = 0
			}
		}),
		may("key-file", "none: a person is asked", "A file of the image that has the passphrase, for what is opened after the root. At the first start one is made that is not there.", text(&l.KeyFile, func(s string) (string, string) {
			if !strings.HasPrefix(s, "/") || strings.ContainsAny(s, " \t#") {
				return "is no absolute path without blanks", ""
			}
			return "", ""
		})),
		may("discard", "false", "Whether freed blocks are given back, which shows which ones are in use.", toggle(&l.Discard)),
	}
}

// Enrolled says whether it gets its keys when a machine starts for the first time.
func (l *LUKS) Enrolled() bool { return l.Passphrase.At == nil && l.Seed.At == nil }

// secret takes {file: PATH}.
func secret(to *Secret) func(reader) {
	return func(r reader) {
		if r.v.Kind != yaml.MappingNode || len(r.v.Content) != 2 || r.v.Content[0].Value != "file" {
			r.problem("%s wants {file: PATH}, not %s", r.key, described(r.v))
			return
		}
		to.At = r.p.real(r.v.Content[1])
		text(&to.File, nil)(reader{r.p, r.h, r.key, to.At})
	}
}

// container links a container.
func (l *linker) container(n *LUKS) {
	n.Device = l.one(n, KindPartition, KindLV, KindLoop)
	if v, ok := n.Device.(*LV); ok && (v.Type == ThinPool || v.Type == Thin) {
		l.problem(&n.Header, "base", "base %s is of type %s: a luks stands on a linear or striped volume", printable(v.Name), v.Type)
	}
	l.use(n.Device, n)
	if n.Label == "" {
		n.Label = n.Name
	}
	l.fsUUID(&n.Header, n.UUID)
	l.c.Containers = append(l.c.Containers, n)
	if why, _ := volumeName(n.Name); why != "" {
		l.problem(&n.Header, "name", "name %s is none for a device", quote(n.Name))
	}
}

// Beneath is the device that another lies on as a whole, and how far from its start:
// of a container its base, of all others the device itself.
func Beneath(device Node) (on Node, skip int64) {
	if c, ok := device.(*LUKS); ok {
		return c.Device, luks.HeaderSize
	}
	return device, 0
}

// Within are the containers that a device lies in, however deep.
func (c *Config) Within(device Node) []*LUKS {
	var out []*LUKS
	switch d := device.(type) {
	case *LUKS:
		out = append([]*LUKS{d}, c.Within(d.Device)...)
	case *LV:
		if d.VG == nil {
			return nil
		}
		for _, pv := range d.VG.PVs {
			out = append(out, c.Within(pv.Device)...)
		}
	}
	return out
}

// Encrypted is a container that a device lies in, or nil.
func (c *Config) Encrypted(device Node) *LUKS {
	if in := c.Within(device); len(in) > 0 {
		return in[0]
	}
	return nil
}

// Early says whether a container is opened before there is a root: where the root, or
// /usr, lies in it.
func (c *Config) Early(l *LUKS) bool {
	for _, point := range []string{"/", "/usr"} {
		if m := c.Holding(point); m != nil && m.FS != nil && slices.Contains(c.Within(m.FS.Device), l) {
			return true
		}
	}
	return false
}

// unlocking checks how containers are opened.
func (l *linker) unlocking() {
	for _, n := range l.c.Containers {
		if (n.values["passphrase"] == nil) != (n.values["seed"] == nil) {
			l.problem(&n.Header, "", "passphrase and seed go together; without both, a machine makes its keys when it starts for the first time")
			continue
		}
		for _, in := range l.c.Within(n.Device) {
			if n.Enrolled() || in.Enrolled() {
				l.problem(&n.Header, "base", "it lies in %s, and of containers in one another all need a passphrase and a seed", printable(in.Name))
				break
			}
		}
		if n.Enrolled() && n.KeyFile != "" {
			if m := l.c.Holding(n.KeyFile); m == nil || m.Point != "/" {
				l.problem(&n.Header, "key-file", "key-file %s is not on the root, which alone is there when it is made", quote(n.KeyFile))
			}
		}
		if n.KeyFile != "" && l.c.Early(n) {
			l.problem(&n.Header, "key-file", "key-file is for what is opened after the root, and the root or /usr lies in this one: its passphrase is asked for")
		}
	}
}
