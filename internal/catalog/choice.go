package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// A Choice is what a client asks for: "web", "web@testing" or "web@20261130_0552".
type Choice struct {
	Name string
	At   string // channel or version; "" is stable
	Arch string
}

// ParseChoice reads NAME[@CHANNEL|@VERSION].
func ParseChoice(text, arch string) (Choice, error) {
	name, at, some := strings.Cut(text, "@")
	if !isName(name) || some && !isName(at) || !isName(arch) {
		return Choice{}, fault.Newf(fault.Usage, "%q is not the name of an image", text).WithHint("write NAME, NAME@CHANNEL or NAME@VERSION")
	}
	return Choice{name, at, arch}, nil
}

// FindVariant is Find where the name may be a variant, within a distribution and release.
func (c Catalog) FindVariant(k Choice, distro, release string) (Image, Version, error) {
	for _, i := range c.Images {
		if v := i.Versions[len(i.Versions)-1]; i.Variant != k.Name || i.Arch != k.Arch || v.Distro != distro || v.Release != release {
			continue
		}
		k.Name = i.Name
		break
	}
	return c.Find(k)
}

// Find is the image and version that a choice means.
func (c Catalog) Find(k Choice) (Image, Version, error) {
	i, ok := c.Image(k.Name, k.Arch)
	if !ok {
		var arches []string
		for _, o := range c.Images {
			if o.Name == k.Name {
				arches = append(arches, o.Arch)
			}
		}
		if len(arches) > 0 {
			return i, Version{}, fault.Newf(fault.NotFound, "there is no image %s for %s", k.Name, k.Arch).WithHint("there is one for %s: --arch", strings.Join(arches, ", "))
		}
		return i, Version{}, c.NotFound(k.Name)
	}
	if v, ok := i.Channel(cmp.Or(k.At, Stable)); ok {
		return i, v, nil
	}
	if v, ok := i.Version(k.At); ok {
		return i, v, nil
	}
	var at []string
	for _, k := range i.Channels {
		at = append(at, k.Name)
	}
	for _, v := range slices.Backward(i.Versions) {
		if len(at) < 8 {
			at = append(at, v.Version)
		}
	}
	return i, Version{}, fault.Newf(fault.NotFound, "image %s for %s has no channel or version %s", k.Name, k.Arch, cmp.Or(k.At, Stable)).
		WithHint("it has %s", strings.Join(at, ", "))
}

// String is the choice as it is written.
func (k Choice) String() string {
	if k.At == "" {
		return k.Name
	}
	return fmt.Sprintf("%s@%s", k.Name, k.At)
}
