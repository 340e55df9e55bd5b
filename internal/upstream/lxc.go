package upstream

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"ingot/internal/catalog"
	"ingot/internal/fault"
)

// lxcIndex is LXC's index of all images, those of the newest level of compatibility.
const lxcIndex = "meta/1.0/index-system"

// lxc reads LXC's image server: six columns a line, with semicolons.
func (s *Source) lxc(ctx context.Context) ([]Offer, error) {
	text, err := s.get(ctx, lxcIndex, maxIndex)
	if err != nil {
		return nil, err
	}
	if s.Keys != nil {
		asc, err := s.get(ctx, lxcIndex+".asc", maxSignature)
		if err != nil {
			return nil, err
		}
		if _, err := s.Keys.Detached("the index of "+s.shown(), text, asc, s.now()); err != nil {
			return nil, err
		}
	}
	var out []Offer
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if len(out) == maxOffers {
			return nil, fault.Newf(fault.Verification, "%s: %w", s.shown(), errOffers)
		}
		if o, ok := s.lxcLine(line); ok {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Offer) int { return cmp.Compare(a.Version.Version, b.Version.Version) })
	return out, nil
}

func (s *Source) lxcLine(line string) (Offer, bool) {
	columns := strings.Split(line, ";")
	if len(columns) != 6 {
		s.skip(line, "it has %d columns, not 6", len(columns))
		return Offer{}, false
	}
	distro, release, arch, variant := columns[0], columns[1], cmp.Or(arches[columns[2]], columns[2]), columns[3]
	serial, published, ok := version(columns[4])
	dir, inside := within(columns[5])
	name := imageName(distro, release, plainVariant(variant))
	if !ok || !inside || !isName(distro, release, arch, name) || !isVariant(variant) {
		s.skip(line, "it has names that ingot does not take")
		return Offer{}, false
	}
	o := Offer{Name: name, Arch: arch, Variant: variant, Channels: []string{catalog.Stable}, source: s, from: map[string]origin{}}
	o.Version = catalog.Version{Version: serial, Published: published, Distro: distro, Release: release, Epoch: published.Unix()}
	a := catalog.Artifact{Format: "lxc"}
	for _, part := range []string{"rootfs.tar.xz", "meta.tar.xz"} {
		f := catalog.File{Name: name + "-" + arch + "." + part}
		at := s.URL + "/" + dir + "/" + part
		o.from[f.Name] = origin{url: at, signature: at + ".asc", size: -1}
		a.Files = append(a.Files, f)
	}
	o.Version.Artifacts = []catalog.Artifact{a}
	return o, true
}

// isVariant says whether a word can be a variant: a name, and maybe a channel behind it.
func isVariant(v string) bool {
	name, channel, some := strings.Cut(v, "@")
	return isName(name) && (!some || isName(channel))
}

// plainVariant is a variant as a part of a name.
func plainVariant(v string) string { return strings.ReplaceAll(v, "@", "-") }
