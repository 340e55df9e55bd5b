package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/dib"
	"ingot/internal/dib/lib"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/tools"
)

// stationSet are the programs that scripts of elements find beside the image.
var stationSet = tools.Set{Name: "station", Packages: plan.StationPackages}

// upstream are the elements that ship with diskimage-builder, as Debian packs them.
var upstream = tools.Set{Name: "elements", Packages: []string{element.ShippedPackage}, Alone: true}

// A station is what scripts of elements run from, before there is a lock of them: its
// packages, and who runs what is asked of it.
type station struct {
	refs   []distro.Ref
	runner *plan.Runner
	warned map[string]bool // of flavors that have the same elements
}

// warn says what it has not said yet.
func (s *station) warn(h *house, text string) {
	if !s.warned[text] {
		s.warned[text] = true
		h.progress.Warnf("%s", text)
	}
}

// station gives the one that a lock has, so that a build goes on from the same programs
// and the same elements; where there is no lock, the one that this house has chosen.
func (h *house) station(ctx context.Context, old *lock.Lock) (*station, error) {
	from := &lock.Lock{Archives: debian.DefaultArchives(tools.Release)}
	s := &station{warned: map[string]bool{}}
	if old != nil && slices.ContainsFunc(old.Station, func(r distro.Ref) bool { return r.Name == element.ShippedPackage }) {
		s.refs = old.Station
	} else {
		for _, set := range []tools.Set{stationSet, upstream} {
			l, err := h.keeper().Lock(ctx, set)
			if err != nil {
				return nil, err
			}
			s.refs = append(s.refs, l.Tools...)
		}
		// As a lock will have them.
		slices.SortFunc(s.refs, func(a, b distro.Ref) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
		})
	}
	s.runner = &plan.Runner{Supply: h.supply(from), Distro: debian.Debian{}, Progress: h.progress, HostArch: hostArch(), Version: thisVersion().Version}
	return s, nil
}

// path is where elements are looked for: among ingot's own, in some directories, which may
// well have all of diskimage-builder's, and among those that ship with that.
func (s *station) path(ctx context.Context, dirs []string) (*element.Path, error) {
	sources := []element.Source{element.Own()}
	for _, d := range dirs {
		sources = append(sources, element.Dir(d))
	}
	programs, err := s.runner.Programs(ctx, s.refs)
	if err != nil {
		return nil, err
	}
	return element.Open(append(sources, element.Dir(filepath.Join(programs, element.ShippedDir)))...)
}

// oldLock is the lock that lies at a path, or nil.
func oldLock(path string) (*lock.Lock, error) {
	l, err := lock.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

// furnish finds and merges the elements of a definition that names some, for each of its
// flavors. Old, if not nil, is the lock to take their programs and diskimage-builder's
// elements from.
func (h *house) furnish(ctx context.Context, def *definition.Definition, old *lock.Lock) error {
	var s *station
	for _, v := range def.Variants() {
		if v.Elements == nil || v.Elements.Hooks != nil {
			continue
		}
		var err error
		if s == nil {
			if s, err = h.station(ctx, old); err != nil {
				return err
			}
		}
		if err := h.furnishOne(ctx, s, v); err != nil {
			if v.FlavorName != "" {
				return fmt.Errorf("flavor %s: %w", v.FlavorName, err)
			}
			return err
		}
	}
	return nil
}

// furnishOne does so for a definition of one flavor and architecture.
func (h *house) furnishOne(ctx context.Context, s *station, def *definition.Definition) error {
	e := def.Elements
	path, err := s.path(ctx, e.Path)
	if err != nil {
		return err
	}
	arch := def.Arch[0]
	set, err := e.Expand(path, arch)
	if err != nil {
		return err
	}
	if e.Hooks, err = element.Merge(set); err != nil {
		return err
	}
	e.Station = s.refs
	// What disk-image-create would set beside the variables that are the caller's.
	e.InstallType = or(e.Environment["DIB_DEFAULT_INSTALLTYPE"], "source")
	r := dib.Request{Args: e.Names, Elements: e.Names, SkipBase: true, InstallType: e.InstallType, Arch: arch, DebianArch: arch, Name: def.FullName(), FSType: "ext4", MinTmpfs: 2, Environment: e.Environment}
	said := e.Environment
	e.Environment = e.Base(def)
	maps.Copy(e.Environment, r.Variables())
	maps.Copy(e.Environment, said)
	if err := elementLayout(def, set, arch); err != nil {
		return err
	}
	_, phases, err := h.prepare(ctx, s, def, arch, false, r.Snippets())
	if err != nil {
		return err
	}
	e.Hooks = e.Hooks.With(standIns())
	for _, p := range phases {
		e.Listed = append(e.Listed, p.Install...)
	}
	slices.Sort(e.Listed)
	e.Listed = slices.Compact(e.Listed)
	return nil
}

// standIns are programs that elements' scripts count on in the image, and that it need not
// have: Debian's elements of an operating system install sudo.
func standIns() []element.File {
	var out []element.File
	for _, f := range lib.Files() {
		if f.Path == "bin/sudo" {
			out = append(out, element.NewFile(element.PreparedDir+"/bin/sudo", 0o755, f.Data))
		}
	}
	return out
}

// elementLayout takes the layout of an element where the definition says none. What the
// definition says of firmware counts.
func elementLayout(def *definition.Definition, set element.Set, arch string) error {
	if def.Layout.Said || def.Layout.Text != "" {
		return nil
	}
	text, _, _, err := set.BlockDevice(arch)
	if err != nil || len(text) == 0 {
		return err
	}
	def.Layout.Text = string(text)
	config, err := def.Layout.On(arch, nil)
	if err != nil {
		return fault.Newf(fault.Definition, "the layout of an element: %w", err)
	}
	there, loader := config.Firmware(), def.Boot.Loader
	disk := !def.Kernel.None && slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return o.Kind().Disk() })
	if why := unfit(config, loader); disk && why != nil {
		return fault.Newf(fault.Definition, "the layout of an element: %w", *why)
	}
	if len(def.Boot.Firmware) == 0 || loader == boot.GRUB && len(def.Boot.Firmware) > 1 {
		def.Boot.Firmware = there
		return nil
	}
	for _, f := range def.Boot.Firmware {
		if disk && loader != boot.Syslinux && loader != boot.None && !slices.Contains(there, f) {
			return fault.Newf(fault.Definition, "firmware asks for %s, and the layout of an element has no place for its boot loader", f).
				WithHint("say layout, or take an element that has such a layout")
		}
	}
	return nil
}

// unfit says why a loader does not start from a layout, or nil.
func unfit(config *blockdevice.Config, loader string) *blockdevice.Problem {
	switch loader {
	case boot.GRUB:
		return config.Unreadable()
	case boot.SDBoot:
		return config.Unkept()
	case boot.UnifiedKernel:
		return cmp.Or(config.Unkept(), config.Unheld())
	case boot.Syslinux:
		return config.NoExtlinux()
	}
	return nil
}

// prepare completes the hooks of merged elements with what has to be known of all of them
// together, and gives what scripts see of the environment and which packages are listed.
func (h *house) prepare(ctx context.Context, s *station, def *definition.Definition, arch string, compat bool, more map[string]string) (map[string]string, []element.InstallPhase, error) {
	e := def.Elements
	var err error
	if e.Hooks, err = e.Hooks.Match(e.Environment["RUN_PARTS_REGEX"]); err != nil {
		return nil, nil, err
	}
	for _, i := range e.Hooks.Ignored() {
		s.warn(h, fmt.Sprintf("%s: it does not run: %s", i.Path, i.Why))
	}
	env, err := s.runner.Surround(ctx, def, arch)
	if err != nil {
		return nil, nil, err
	}
	around := element.Surrounding{Env: env, Compat: compat}
	prepared, warnings, err := element.Prepare(e.Hooks, around)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range warnings {
		s.warn(h, w.String())
	}
	for path, text := range more {
		prepared = append(prepared, element.NewFile(path, 0o644, []byte(text)))
	}
	phases, _, err := e.Hooks.AllPackages(around)
	if err != nil {
		return nil, nil, err
	}
	e.Hooks = e.Hooks.With(prepared)
	return env, phases, nil
}
