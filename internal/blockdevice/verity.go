package blockdevice

import (
	"slices"
	"strings"
)

// A Verity is a partition with the hashes of a file system, which is then only read.
type Verity struct {
	Header
	Device *Partition
	Data   *Mkfs
	// Key and Certificate sign the root hash; both or none are said.
	Key, Certificate Secret
	data             string
}

func (v *Verity) keys() []key {
	return []key{
		may("name", "KIND_BASE", "What other nodes call this one.", text(&v.Name, nil)),
		{KeyDoc{Name: "base", Doc: "The partition that the hashes fill.", Default: "what it stands within", Must: true}, words(&v.bases, true)},
		must("data", "The file system, on a partition of its own.", text(&v.data, nil)),
		may("key", "none", "What signs the root hash: {file: PATH}, a key in PEM.", secret(&v.Key)),
		may("certificate", "none", "The key's certificate: {file: PATH}, in PEM.", secret(&v.Certificate)),
	}
}

// verity links the hashes of a file system.
func (l *linker) verity(v *Verity) {
	h := &v.Header
	v.Device, _ = l.one(v, KindPartition).(*Partition)
	if v.Device != nil {
		l.use(v.Device, v)
	}
	l.c.Verities = append(l.c.Verities, v)
	if (h.values["key"] == nil) != (h.values["certificate"] == nil) {
		l.problem(h, "", "key and certificate go together")
	}
	data, ok := l.byName[v.data].(*Mkfs)
	if v.data == "" || l.ring[v] {
		return
	}
	if !ok {
		l.problem(h, "data", "data %s is no mkfs", quote(v.data))
		return
	}
	v.Data = data
	if len(data.bases) == 1 {
		if _, ok := l.byName[data.bases[0]].(*Partition); !ok {
			l.problem(h, "data", "data %s has no partition of its own", quote(v.data))
		}
	}
	if data.Type == "swap" || data.Type == "vfat" {
		l.problem(h, "data", "data %s is of type %s, which is written to", quote(v.data), data.Type)
	}
	for _, other := range l.c.Verities {
		if other != v && other.Data == data {
			l.problem(h, "data", "data %s has hashes already, in %s", quote(v.data), printable(other.Name))
		}
	}
}

// readOnly checks that what has hashes is mounted for reading alone.
func (l *linker) readOnly() {
	for _, v := range l.c.Verities {
		for _, f := range l.c.Fstab {
			if v.Data != nil && f.Mount.FS == v.Data && !slices.Contains(strings.Split(f.Options, ","), "ro") {
				l.problem(&f.Header, "options", "it has hashes, in %s, and must be mounted with option ro", printable(v.Name))
			}
		}
	}
}

// Hashes is the verity of a file system, or nil.
func (c *Config) Hashes(fs *Mkfs) *Verity {
	for _, v := range c.Verities {
		if v.Data == fs {
			return v
		}
	}
	return nil
}
