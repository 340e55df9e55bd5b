package plan

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/distro"
	"ingot/internal/element"
	"ingot/internal/lock"
)

// A keyed step says what it reads; the chain makes the key of it.
type keyed struct {
	Step
	kind  string
	reads any
}

// steps lists a chain's steps in order. What a definition does not ask for makes
// no step.
func (p *Plan) steps(c Chain) []keyed {
	def := p.Definition
	if def.Elements != nil && def.Elements.Root {
		return p.elements(c)
	}
	out := []keyed{p.install(c), p.system()}
	if def.Elements != nil {
		out = append(out, p.hooksStep(c))
		out = append(out, p.phases(c, element.Phases[:laterPhases])...)
	}
	if len(def.Users)+len(def.UnixGroups) > 0 {
		out = append(out, p.users())
	}
	out = append(out, p.scripts(c, "packages")...)
	if len(def.Files) > 0 {
		out = append(out, p.files())
	}
	out = append(out, p.scripts(c, "files")...)
	if s := def.Services; len(s.Enable)+len(s.Disable)+len(s.Mask) > 0 {
		out = append(out, p.services(c))
	}
	out = append(out, p.scripts(c, "services")...)
	if def.Elements != nil {
		out = append(out, p.phases(c, element.Phases[laterPhases:])...)
		out = append(out, p.leave(c))
	}
	return append(out, p.settle(c))
}

// install puts the packages in.
func (p *Plan) install(c Chain) keyed {
	def := p.Definition
	asked := map[string]bool{}
	for _, token := range def.Packages {
		asked[PackageName(token)] = true
	}
	for _, name := range Implied(def) {
		asked[name] = true
	}
	if more, err := PurposePackages(def, c.Arch, c.Purpose); err == nil {
		for _, name := range more {
			asked[name] = true
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range asked {
			if !yield(n) {
				return
			}
		}
	})
	early := p.early(c)
	refs := p.base(c)
	return keyed{
		kind: "install",
		reads: struct {
			Arch, Release string
			Epoch         int64
			Packages      []string
			Asked         []string
			Early         map[string]string
			Conflicts     []definition.PathConflict `json:",omitempty"`
		}{c.Arch, p.Lock.Release, p.Lock.Epoch, refIDs(refs), names, early, p.Definition.Conflicts},
		Step: Step{Name: "install", work: func(ctx context.Context, w *worker) error {
			box, err := w.Box(ctx)
			if err != nil {
				return err
			}
			packages := w.packages
			if def.Elements != nil { // theirs come later
				if packages, err = w.delivery.Packages(ctx, refs); err != nil {
					return err
				}
			}
			return w.Distro.Configure(ctx, box, distro.Install{
				First: true, Packages: packages, Unpacked: w.delivery.Unpacked, Contents: w.reader, Arch: c.Arch, Release: p.Lock.Release,
				Asked: asked, Epoch: p.Lock.Epoch, Early: early, Log: w.log, Keep: p.keeps(),
				Foreign: w.foreign[c.Arch] != nil,
			})
		}},
	}
}

// keeps are what the definition says of files that several packages bring.
func (p *Plan) keeps() []distro.Keep {
	var out []distro.Keep
	for _, k := range p.Definition.Conflicts {
		out = append(out, distro.Keep{Path: k.Path, Package: k.Keep})
	}
	return out
}

// base are the packages that are in a chain's tree before scripts of elements add to it.
func (p *Plan) base(c Chain) []distro.Ref {
	purpose := lock.Base(c.Purpose)
	switch e := p.Definition.Elements; {
	case e == nil:
		return c.Set.Refs
	case e.Root:
		purpose = lock.Bootstrap
	}
	set, _ := p.Lock.Set(c.Arch, purpose, c.Set.Flavor)
	return set.Refs
}

// PackageName is the name in a token of apt's: "curl=7.88", "nginx/stable",
// "libc6:i386".
func PackageName(token string) string {
	if i := strings.IndexAny(token, "=/:"); i >= 0 {
		return token[:i]
	}
	return token
}

// files copies what the definition brings.
func (p *Plan) files() keyed {
	def := p.Definition
	type read struct {
		definition.File
		Source string // relative: where the definition lies does not matter
		Data   []lock.File
	}
	var reads []read
	for _, f := range def.Files {
		r := read{File: f}
		if f.Source != "" {
			r.Source = relative(def.Dir, f.Source)
			r.Data = p.below(r.Source)
		}
		r.File.Source = ""
		reads = append(reads, r)
	}
	return keyed{kind: "files", reads: reads, Step: Step{Name: "files", work: func(ctx context.Context, w *worker) error {
		return w.putFiles(ctx, p)
	}}}
}

// below is what the lock says of a path of the definition's directory and of all
// in it.
func (p *Plan) below(path string) []lock.File {
	var out []lock.File
	for _, f := range p.Lock.Files {
		if f.Path == path || strings.HasPrefix(f.Path, path+"/") {
			out = append(out, f)
		}
	}
	return out
}

// scripts are the steps of the scripts that follow a part of the definition. What their
// environment says of the image is read like their files: of two kinds of tree each has
// its own run, also where nothing else differs.
func (p *Plan) scripts(c Chain, after string) []keyed {
	var out []keyed
	for _, s := range p.Definition.Scripts {
		if s.After != after && (s.After != "" || after != "packages") {
			continue
		}
		run := relative(p.Definition.Dir, s.Run)
		files := p.below(run)
		for _, r := range s.Reads {
			files = append(files, p.below(relative(p.Definition.Dir, r))...)
		}
		slices.SortFunc(files, func(a, b lock.File) int { return strings.Compare(a.Path, b.Path) })
		files = slices.CompactFunc(files, func(a, b lock.File) bool { return a.Path == b.Path })
		out = append(out, keyed{
			kind: "script",
			reads: struct {
				Name, Run string
				Told      []string // beside what every program of the image is told
				Network   bool
				Files     []lock.File
			}{s.Name, run, p.tells(c), s.Network, files},
			Step: Step{Name: "script " + s.Name, work: func(ctx context.Context, w *worker) error {
				return p.Definition.Asked("scripts", s.Name).At(w.runScript(ctx, p, s, run, files))
			}},
		})
	}
	return out
}

// missing says whether an error means that something is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
