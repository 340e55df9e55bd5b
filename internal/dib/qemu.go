package dib

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/format"
)

// qemuOptions puts what qemu-img's -o would be told on the outputs that qemu-img
// would write. What ingot does anyway is accepted; what it cannot do is wrong use,
// since the image would be another than the one asked for.
func qemuOptions(outputs []Output, text string) error {
	for _, pair := range strings.Split(text, ",") {
		if pair == "" {
			continue
		}
		key, value, given := strings.Cut(pair, "=")
		if !given {
			value = "on"
		}
		taken := false
		for i := range outputs {
			o := &outputs[i]
			f, _ := format.Lookup(o.Format)
			if !f.Disk() || o.Format == "raw" {
				continue
			}
			ok, err := o.qemu(key, value)
			if err != nil {
				return err
			}
			taken = taken || ok
		}
		if !taken {
			return fault.Newf(fault.Usage, "--qemu-img-options: no output here takes %s=%s", printable(key), printable(value)).
				WithHint("qcow2 takes compression_type=zlib or zstd, vmdk subformat= and adapter_type=, vhd and vpc subformat=")
		}
	}
	return nil
}

// qemu applies one option; false says that the format has none such.
func (o *Output) qemu(key, value string) (bool, error) {
	choices := func(set *string, words map[string]string) (bool, error) {
		w, ok := words[value]
		if !ok {
			var all []string
			for k := range words {
				all = append(all, k)
			}
			slices.Sort(all)
			return false, fault.Newf(fault.Usage, "--qemu-img-options: %s=%s: ingot's %s has %s", key, printable(value), o.Format, strings.Join(all, ", "))
		}
		if set != nil {
			*set = w
		}
		return true, nil
	}
	as := func(words ...string) map[string]string {
		m := map[string]string{}
		for _, w := range words {
			m[w] = w
		}
		return m
	}
	switch o.Format + " " + key {
	case "qcow2 compression_type":
		if o.Compress == "" {
			return choices(nil, as("zlib", "zstd")) // -u: nothing is compressed with either
		}
		return choices(&o.Compress, as("zlib", "zstd"))
	case "qcow2 compat":
		return choices(nil, as("1.1", "v3"))
	case "qcow2 cluster_size":
		return choices(nil, as("65536", "64k", "64K"))
	case "qcow2 refcount_bits":
		return choices(nil, as("16"))
	case "qcow2 lazy_refcounts", "qcow2 extended_l2", "qcow2 encryption", "vmdk compat6", "vmdk zeroed_grain", "vhd force_size":
		return choices(nil, as("off"))
	case "qcow2 preallocation", "vdi preallocation":
		return choices(nil, as("off"))
	case "vdi static":
		return choices(nil, as("off"))
	case "vmdk subformat":
		return choices(&o.Kind, map[string]string{"monolithicSparse": "sparse", "streamOptimized": "stream-optimized"})
	case "vmdk adapter_type":
		return choices(&o.Adapter, as("ide", "lsilogic", "buslogic"))
	case "vhd subformat":
		return choices(&o.Kind, as("dynamic", "fixed"))
	case "vhdx subformat":
		return choices(nil, as("dynamic"))
	}
	return false, nil
}
