package definition

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"ingot/internal/format"
)

// An Output is one artifact to make. Options that its format does not take are
// zero.
type Output struct {
	Format   string  // one of package format's
	Free     int64   // bytes of free space in a disk image's root file system
	Compress string  `json:",omitzero"` // one of the format's compressions
	Type     string  `json:",omitzero"` // one of the format's types
	Adapter  string  `json:",omitzero"` // of a vmdk or an appliance
	Machine  Machine `json:",omitzero"`
	Expiry   string  `json:",omitzero"` // as written; see [Output.Expires]
	Message  string  `json:",omitzero"` // for who makes a container of it
	Run      Run     `json:",omitzero"`
	// As are the names of its files where they are not ingot's own: at diskimage-builder's
	// door.
	As []string `json:"-"`
}

// A Machine is what an appliance says that its disk is for. What was not said is
// the format's default.
type Machine struct {
	CPUs     int    `json:",omitzero"`
	Memory   int64  `json:",omitzero"` // bytes
	Card     string `json:",omitzero"` // the network's
	Hardware int    `json:",omitzero"` // version of VMware's
	GuestOS  string `json:",omitzero"` // VMware's name of the system; "" is one that fits
}

// A Run says what an application container starts, and how: the configuration of
// an OCI image.
type Run struct {
	Entrypoint  []string          `json:",omitzero"`
	Command     []string          `json:",omitzero"`
	Environment map[string]string `json:",omitzero"`
	User        string            `json:",omitzero"`
	Workdir     string            `json:",omitzero"`
	Ports       []string          `json:",omitzero"` // "80/tcp"
	Volumes     []string          `json:",omitzero"`
	Labels      map[string]string `json:",omitzero"`
	StopSignal  string            `json:",omitzero"`
}

// Bootable says whether the output's format is one that boots by itself.
func (o Output) Bootable() bool { return o.Kind().Boots() }

// Starts says whether a machine starts from the output's file as it is.
func (o Output) Starts() bool { return o.Kind().Starts() }

// Kind is what the output's format is.
func (o Output) Kind() format.Format {
	f, _ := format.Lookup(o.Format)
	return f
}

// Small says whether the output is compressed, so that nobody knows beforehand how
// much room it takes.
func (o Output) Small() bool {
	return o.Kind().Small || o.Compress != "" || o.Type == "stream-optimized"
}

// Expires is when the image should no longer be used, in seconds since 1970, for
// an image of a clock; 0 is never.
func (o Output) Expires(epoch int64) int64 {
	if o.Expiry == "" {
		return 0
	}
	if day, err := time.Parse(time.DateOnly, o.Expiry); err == nil {
		return day.Unix()
	}
	n, _ := strconv.ParseInt(o.Expiry[:len(o.Expiry)-1], 10, 64) // as expiryRule has it
	days := map[byte]int64{'d': 1, 'w': 7}[o.Expiry[len(o.Expiry)-1]]
	return epoch + n*days*24*60*60
}

// defaultFree is the free space of a disk image's root file system: room for a
// first boot and a first update, and small beside any disk.
const defaultFree = 512 << 20

func (l *loading) outputs(doc *document, def *Definition) {
	seen := map[string]*yaml.Node{}
	for _, o := range doc.Outputs {
		out := Output{Format: o.Format.Value}
		l.once(seen, out.Format, o.Format.At, "output")
		if out.Bootable() && doc.Kernel.None {
			l.problem(o.Format.At, "output %s boots by itself, and kernel is none on line %d", out.Format, doc.Kernel.At.Line)
		}
		for _, arch := range def.Arch {
			if !out.Kind().For(arch) {
				l.problem(o.Format.At, "output %s is not for %s, only for %s", out.Format, arch, strings.Join(out.Kind().Arch, " and "))
			}
		}
		l.options(o, out.Kind())
		if out.Kind().Takes(format.Free) {
			out.Free = defaultFree
			if o.Free.At != nil {
				out.Free = o.Free.Value
			}
			if most := out.Kind().Most; most > 0 && out.Free >= most {
				l.problem(o.Free.At, "output %s has at most %d GiB with all that it holds, and %d GiB of it would be free", out.Format, most>>30, out.Free>>30)
			}
		}
		if all := out.Kind().Compress; all != nil {
			if out.Compress = o.Compress.or(all[0]); out.Compress == "none" {
				out.Compress = ""
			}
		}
		if all := out.Kind().Types; all != nil {
			out.Type = o.Type.or(all[0])
		}
		out.Adapter = o.Adapter.Value
		out.Machine = l.machine(o, out.Kind())
		if out.Format == "ova" {
			out.Adapter = o.Adapter.or("pvscsi")
		}
		out.Expiry, out.Message = o.Expiry.Value, o.Message.Value
		out.Run = Run{
			Entrypoint: values(o.Entrypoint), Command: values(o.Command), Environment: o.Environment.Value, User: o.User.Value,
			Workdir: o.Workdir.Value, Volumes: unique(l, "volume", o.Volumes), Labels: o.Labels.Value, StopSignal: o.StopSignal.Value,
		}
		ports := map[string]*yaml.Node{}
		for _, p := range o.Ports {
			if p.Value == "" {
				continue
			}
			full := p.Value
			if !strings.Contains(full, "/") {
				full += "/tcp"
			}
			l.once(ports, full, p.At, "port")
			out.Run.Ports = append(out.Run.Ports, full)
		}
		def.Outputs = append(def.Outputs, out)
	}
}

// machine is the machine of an appliance: a small one, with the devices that its
// hypervisor has for Linux.
func (l *loading) machine(o outputDoc, kind format.Format) Machine {
	number := func(option format.Option, given text[count], otherwise int) int {
		if !kind.Takes(option) {
			return 0
		}
		if n, err := strconv.Atoi(given.Value); err == nil {
			return n
		}
		return otherwise
	}
	m := Machine{CPUs: number(format.CPUs, o.CPUs, 1), Hardware: number(format.Hardware, o.Hardware, 14), GuestOS: o.GuestOS.Value}
	if kind.Takes(format.Memory) {
		m.Memory = 1 << 30
		if o.Memory.At != nil {
			m.Memory = o.Memory.Value
		}
		if m.Memory < 64<<20 || m.Memory%(1<<20) != 0 {
			l.problem(o.Memory.At, "memory of %d bytes is not a number of MiB from 64 on", m.Memory)
		}
	}
	if kind.Takes(format.Card) {
		m.Card = o.Card.or("vmxnet3")
	}
	if kind.Takes(format.Hardware) && (m.Hardware < 4 || m.Hardware > 99) {
		l.problem(o.Hardware.At, "hardware %d is no version of VMware's virtual hardware: want a number from 4 to 99", m.Hardware)
	}
	return m
}

// options notes options that a format does not take.
func (l *loading) options(o outputDoc, kind format.Format) {
	if kind.Name == "" || o.At == nil || o.At.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(o.At.Content); i += 2 {
		key := o.At.Content[i]
		option := format.Option(key.Value)
		switch {
		case !format.IsOption(option) || kind.Takes(option):
		case option == format.Free:
			if o.Free.At != nil { // else it has been refused already
				l.problem(o.Free.At, "free is for disk images; %s has no free space", kind.Name)
			}
		case option == format.Compress && kind.Name == "tar":
			l.problem(key, "compress is not for tar: a compressed archive is an output of its own, tar.gz, tar.xz or tar.zst")
		case option == format.Compress && strings.HasPrefix(kind.Name, "tar."):
			l.problem(key, "compress is not for %s, whose name says it: there are tar, tar.gz, tar.xz and tar.zst", kind.Name)
		default:
			var of []string
			for _, f := range format.All() {
				if f.Takes(option) {
					of = append(of, f.Name)
				}
			}
			l.problem(key, "%s is not for %s; it is an option of %s", key.Value, kind.Name, strings.Join(of, ", "))
		}
	}
	if c := o.Compress; c.Value != "" && kind.Compress != nil && !slices.Contains(kind.Compress, c.Value) {
		l.problem(c.At, "compress %s is not for %s: want %s", quote(c.Value), kind.Name, strings.Join(kind.Compress, " or "))
	}
	if t := o.Type; t.Value != "" && kind.Types != nil && !slices.Contains(kind.Types, t.Value) {
		l.problem(t.At, "type %s is not for %s: want %s", quote(t.Value), kind.Name, strings.Join(kind.Types, " or "))
	}
}
