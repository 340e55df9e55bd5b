package page

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/catalog"
)

// A use is how one client gets the image.
type use struct {
	ID, Client, Note string
	Commands         string
}

// uses are the commands for each client that can use a version.
func uses(v imageView) []use {
	at, channel := v.Version.Version, ""
	switch {
	case slices.Contains(v.Channels, catalog.Stable):
		at, channel = "", catalog.Stable
	case len(v.Channels) > 0:
		at, channel = v.Channels[0], v.Channels[0]
	}
	name := v.Name
	if at != "" {
		name += "@" + at
	}
	arch := ""
	if len(v.Arches) > 1 {
		arch = " --arch " + v.Image.Arch
	}
	server := strings.TrimPrefix(v.URL(), "https://")
	key := ""
	if v.Key != "" {
		key = " --key " + v.Key
	}
	out := []use{{"ingot", "ingot", "Verifies the signed index, freshness, size and digest. The key is remembered.", fmt.Sprintf("ingot pull %s%s --from %s%s", name, arch, v.URL(), key)}}
	if _, ok := v.Version.Artifact("lxc"); ok {
		out = append(out, use{"lxc-ingot", "LXC, verified", "With ingot as LXC's template.", fmt.Sprintf("lxc-create -n c1 -t ingot -- -d %s -r %s -a %s --variant %s --server %s%s", v.Version.Distro, v.Version.Release, v.Image.Arch, name, server, strings.Replace(key, "--key", "--keyid", 1))})
		if channel != "" && v.Scheme == "https" { // it speaks nothing else
			out = append(out, use{"lxc", "LXC", "LXC's own template trusts the TLS certificate alone from 5.0 on.", fmt.Sprintf("lxc-create -n c1 -t download -- -d %s -r %s -a %s --variant %s --server %s", v.Version.Distro, v.Version.Release, v.Image.Arch, name, server)})
		}
	}
	alias := v.Name
	if channel != "" && channel != catalog.Stable {
		alias += "/" + channel
	}
	for _, format := range []string{"incus", "incus-vm"} {
		if _, ok := v.Version.Artifact(format); !ok || channel == "" {
			continue
		}
		vm, what := "", ""
		if format == "incus-vm" {
			vm, what = " --vm", " virtual machine"
		}
		remote := fmt.Sprintf("remote add ours %s --protocol=simplestreams", v.URL())
		out = append(out,
			use{format, "Incus" + what, "", fmt.Sprintf("incus %s\nincus launch ours:%s c1%s", remote, alias, vm)},
			use{"lxd" + strings.TrimPrefix(format, "incus"), "LXD" + what, "", fmt.Sprintf("lxc %s --public\nlxc launch ours:%s c1%s", remote, alias, vm)})
	}
	dir := v.URL() + "/" + v.Version.Dir(v.Image) + "/"
	first := v.Version.Artifacts[0].Files[0].Name
	return append(out, use{"curl", "curl and gpg", "Compare the key's fingerprint with one that you got elsewhere.", fmt.Sprintf(
		"curl -O %s%s -O %sSHA256SUMS -O %sSHA256SUMS.asc -O %s/key.asc\ngpg --import key.asc && gpg --verify SHA256SUMS.asc SHA256SUMS\nsha256sum --check --ignore-missing SHA256SUMS", dir, first, dir, dir, v.URL())})
}
