package plan

import (
	"slices"
	"strings"

	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/layout"
	"ingot/internal/lock"
	"ingot/internal/openvz"
	"ingot/internal/spell"
	"ingot/internal/tree"
)

// A Wish says which part of a definition to build.
type Wish struct {
	Variants []*definition.Definition // of the definition; none is those of its own flavor
	Arch     []string                 // none is all of the definition's
	Formats  []string                 // none is all of the definition's
}

// wants says whether a variant is to be built.
func (w Wish) wants(v *definition.Definition) bool {
	if w.Variants == nil {
		return v.FlavorName == ""
	}
	return slices.Contains(w.Variants, v)
}

// Check says whether the definition has what is wished for, with exit code 2 where it has
// not. It needs no lock.
func (w Wish) Check(def *definition.Definition) error {
	_, err := w.of(def)
	return err
}

// of is the variants of the definition that are to be built.
func (w Wish) of(def *definition.Definition) ([]*definition.Definition, error) {
	var variants []*definition.Definition
	var outputs []string
	for _, v := range def.Variants() {
		if w.wants(v) {
			variants, outputs = append(variants, v), append(outputs, formats(v.Outputs)...)
		}
	}
	slices.Sort(outputs)
	outputs = slices.Compact(outputs)
	for _, f := range w.Formats {
		if !slices.Contains(outputs, f) {
			what := "the definition has"
			if def.Variants()[0] != def && len(variants) > 0 && variants[0].FlavorName != "" {
				what = "what is to be built of the definition has"
			}
			return nil, unwished(f, outputs, "%s no output %q", what, f).WithHint("its outputs are %s", strings.Join(outputs, ", "))
		}
	}
	for _, a := range w.Arch {
		if !slices.Contains(def.Arch, a) {
			return nil, unwished(a, def.Arch, "the definition has no architecture %q", a).WithHint("its architectures are %s", strings.Join(def.Arch, ", "))
		}
	}
	return variants, nil
}

// unwished is the error of a word that is none of those that are there.
func unwished(word string, among []string, format string, args ...any) *fault.Error {
	if like := spell.Nearest(word, among); like != "" {
		return fault.Newf(fault.Usage, format+"; did you mean %q?", append(args, like)...)
	}
	return fault.Newf(fault.Usage, format, args...)
}

// Make plans a build of what a lock holds. It reads nothing but its arguments.
func Make(def *definition.Definition, l *lock.Lock, wish Wish) (*Plan, error) {
	p := &Plan{Definition: def, Lock: l}
	variants, err := wish.of(def)
	if err != nil {
		return nil, err
	}
	for _, v := range variants {
		one := &Plan{Definition: v, Lock: l}
		for _, arch := range v.Arch {
			if len(wish.Arch) > 0 && !slices.Contains(wish.Arch, arch) {
				continue
			}
			for _, purpose := range Purposes(v) {
				c, err := one.chain(arch, purpose, wish)
				if err != nil {
					return nil, err
				}
				if len(c.Outputs) > 0 {
					p.Chains = append(p.Chains, c)
				}
			}
		}
	}
	return p, nil
}

func formats(outputs []definition.Output) []string {
	var out []string
	for _, o := range outputs {
		out = append(out, o.Format)
	}
	return out
}

// purpose is what kind of tree an output is made of.
func purpose(def *definition.Definition, o definition.Output) string {
	kind := o.Kind()
	if def.Elements != nil && def.Elements.Root {
		// One tree for all of them, as their scripts make it.
		if slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return o.Kind().Disk() }) {
			return format.Machine
		}
		return format.Container
	}
	if kind.Boots() && def.Kernel.None {
		return format.Container
	}
	return kind.Purpose
}

// Purposes are the kinds of trees that a definition's outputs need.
func Purposes(def *definition.Definition) []string {
	var out []string
	for _, p := range format.Purposes() {
		if slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return purpose(def, o) == p }) {
			out = append(out, p)
		}
	}
	return out
}

func (p *Plan) chain(arch, purp string, wish Wish) (Chain, error) {
	c := Chain{Definition: p.Definition, Arch: arch, Purpose: purp}
	var ok bool
	if c.Set, ok = p.Lock.Set(arch, purp, p.Definition.FlavorLabel()); !ok {
		return c, fault.Newf(fault.Verification, "the lock has no packages for a %s of %s", purp, strings.TrimSpace(arch+" "+p.Definition.FlavorLabel())).
			WithHint("run 'ingot lock' to write it anew")
	}
	var key digest.Digest
	for _, s := range p.steps(c) {
		s.Key = keyOf(s.kind, key, s.reads)
		key = s.Key
		c.Steps = append(c.Steps, s.Step)
	}
	for _, o := range p.Definition.Outputs {
		if purpose(p.Definition, o) != purp || len(wish.Formats) > 0 && !slices.Contains(wish.Formats, o.Format) {
			continue
		}
		out := Output{Output: o, Names: p.names(o, arch)}
		reads := outputReads{Output: o, Identity: p.identity(c), Tools: refIDs(p.Lock.Tools)}
		if o.Kind().Disk() && purp == format.Machine {
			l, err := p.layout(c)
			if err != nil {
				return c, err
			}
			out.Secrets, out.Anew = l.Secrets(), len(l.Secrets()) > 0
			for _, c := range l.Enrolled() {
				out.Enrolled = append(out.Enrolled, c.Name)
			}
			if plain(o.Format) {
				out.Drives = diskNames(out.Names[0], l)
				out.Names = append(append(out.Names, out.Drives...), rootNames(out.Names[0], l)...)
			}
		}
		if s := p.Definition.Boot.Sign; s != nil && o.Kind().Disk() && purp == format.Machine {
			out.Secrets, reads.Certificate = append(out.Secrets, s.Key), p.below(relative(p.Definition.Dir, s.Certificate))
		}
		out.Key = keyOf("output", key, reads)
		c.Outputs = append(c.Outputs, out)
	}
	return c, nil
}

// outputReads is what an output reads beside its chain. Of a secret key nothing is
// there: its certificate decides what it signs.
type outputReads struct {
	Output      definition.Output
	Identity    digest.Digest
	Tools       []string
	Certificate []lock.File `json:",omitempty"`
}

// names are what an output's files are called.
func (p *Plan) names(o definition.Output, arch string) []string {
	def := p.Definition
	suffixes := o.Kind().Files
	switch {
	case len(o.As) > 0:
		return o.As
	case o.Format == "openvz":
		// The one that is not called as all others: the name is all that vzctl knows.
		return []string{openvz.Name(def.Distro, def.Release, arch, def.FullName(), o.Compress)}
	case o.Type == "unified":
		suffixes = suffixes[len(suffixes)-1:]
	}
	compressed := ""
	if o.Kind().Suffixed {
		compressed = map[string]string{"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}[o.Compress]
	}
	var out []string
	for _, suffix := range suffixes {
		out = append(out, def.FullName()+"-"+arch+suffix+compressed)
	}
	return out
}

// identity is what the UUIDs of a chain's disks are derived from.
func (p *Plan) identity(c Chain) digest.Digest {
	of := []string{p.Definition.Name, c.Arch, c.Purpose}
	if label := p.Definition.FlavorLabel(); label != "" {
		of = append(of, label)
	}
	return identityOf("identity", p.Lock.Digest(), of)
}

// layout is how the disks of a chain are divided.
func (p *Plan) layout(c Chain) (layout.Resolved, error) {
	return resolved(p.Definition, c.Arch, p.identity(c))
}

func resolved(def *definition.Definition, arch string, identity digest.Digest) (layout.Resolved, error) {
	config, err := def.Layout.On(arch, def.Boot.Firmware)
	if err != nil {
		return layout.Resolved{}, fault.Wrap(fault.Definition, err)
	}
	l, err := layout.Resolve(config, identity)
	if err == nil && len(l.Enrolled()) > 0 && def.Elements != nil && def.Elements.Root {
		// Their scripts make the initramfs, by what they know of.
		err = fault.Newf(fault.Definition, "layout: luks %s has neither passphrase nor seed, and a disk of elements is not encrypted at its first start", l.Enrolled()[0].Name)
	}
	return l, err
}

// MachinePackages are what a machine gets beside the definition's own packages.
func MachinePackages(def *definition.Definition, arch string) ([]string, error) {
	l, err := resolved(def, arch, digest.Digest{})
	if err != nil {
		return nil, err
	}
	packages, err := boot.Packages(boot.PackageRequest{Arch: arch, Release: def.Release, Firmware: def.Boot.Firmware, Loader: def.Boot.Loader, Secure: def.Boot.Secure, Signed: def.Boot.Signed, Kernel: def.Kernel.On(arch).Package})
	if slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return o.Format == "incus-vm" }) {
		packages = append(packages, boot.IncusPackages(def.Release)...)
	}
	return append(packages, l.Packages(def.Release)...), err
}

// PurposePackages are what a tree of a purpose gets beside the definition's own
// packages.
func PurposePackages(def *definition.Definition, arch, purpose string) ([]string, error) {
	if def.Elements != nil && def.Elements.Root {
		return nil, nil // theirs are all
	}
	switch purpose {
	case format.System:
		return boot.ContainerPackages(def.Release), nil
	case format.Live:
		packages, err := boot.LivePackages(boot.PackageRequest{Arch: arch, Release: def.Release, Kernel: def.Kernel.Live(arch)})
		if slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return o.Format == "netboot" }) {
			packages = append(packages, boot.NetbootPackages()...)
		}
		return packages, err
	case format.Machine:
		return MachinePackages(def, arch)
	}
	return nil, nil
}

// ToolPackages are what the tools tree of a definition needs, on a machine of architecture
// host. Boot loaders that are made there have data of their own architecture, which a tools
// tree of another has not yet; host "" is every machine.
func ToolPackages(def *definition.Definition, host string) ([]string, error) {
	var out []string
	for _, o := range def.Outputs {
		out = append(out, o.Kind().Tools...)
		packages, firmware := boot.ToolPackages, def.Boot.Firmware
		switch purpose(def, o) {
		case format.Machine:
			if !o.Kind().Disk() {
				continue
			}
		case format.Live:
			if o.Format == "netboot" {
				continue // what starts it is there before
			}
			packages, firmware = boot.LiveToolPackages, liveFirmware(def)
		default:
			continue
		}
		for _, arch := range def.Arch {
			tools, err := packages(boot.LoaderOptions{Arch: arch, Loader: def.Boot.Loader, Firmware: firmware, Secure: def.Boot.Secure})
			if err != nil {
				return nil, err
			}
			if host != "" && arch != host && len(tools) > 0 {
				return nil, fault.Newf(fault.Definition, "%s of %s needs a boot loader that a machine of %s cannot make yet", o.Format, arch, host).
					WithHint("build it on a machine of %s; here, outputs without a boot loader can be built: tar, oci, lxc and the like", arch)
			}
			out = append(out, tools...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Implied are packages that other keys of a definition need.
func Implied(def *definition.Definition) []string {
	var out []string
	switch def.Locale {
	case "", "C", "POSIX", "C.UTF-8", "C.utf8":
	default:
		out = append(out, "locales")
	}
	if def.Timezone != "" && def.Timezone != "Etc/UTC" && def.Timezone != "UTC" {
		out = append(out, "tzdata")
	}
	if slices.ContainsFunc(def.Users, func(u definition.User) bool { return u.Sudo }) {
		out = append(out, "sudo")
	}
	// Every other starting set has useradd and groupadd.
	if def.Start == "essential" && len(def.Users)+len(def.UnixGroups) > 0 {
		out = append(out, "passwd")
	}
	return out
}

// early are files that the tree has before its first package is configured, by path:
// what the initramfs is made by.
func (p *Plan) early(c Chain) map[string]string {
	if c.Purpose != format.Machine {
		return nil
	}
	rootType, out := "auto", map[string]string{}
	if l, err := p.layout(c); err == nil { // else it is said where the disk is made
		rootType = l.Root().Type
		for _, f := range l.EarlyFiles() {
			if f.Kind == tree.File {
				out[f.Path] = string(f.Data)
			}
		}
	}
	// Otherwise the initramfs would have no fsck: its hook looks for the root's device,
	// which is not there yet (initramfs.conf(5)).
	out["etc/initramfs-tools/conf.d/root-type"] = "FSTYPE=" + rootType + "\n"
	return out
}

// LayoutPackages are what the disks of a definition need beside what every machine
// does.
func LayoutPackages(def *definition.Definition) []string {
	if !slices.Contains(Purposes(def), format.Machine) || def.Elements != nil && def.Elements.Root {
		return nil
	}
	var out []string
	for _, arch := range def.Arch {
		if l, err := resolved(def, arch, digest.Digest{}); err == nil {
			out = append(out, l.Packages(def.Release)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
