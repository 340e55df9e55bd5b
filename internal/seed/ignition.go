package seed

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// ignitionFile is the one file of a seed for Ignition.
const ignitionFile = "config.ign"

// ignition is a configuration for Ignition, of version 3.0.0 of its specification, which all
// that read version 3 read.
func (m Machine) ignition() ([]File, error) {
	inputs, err := marshal(m.Inputs)
	if err != nil {
		return nil, err
	}
	keys := m.Keys
	if keys == nil {
		keys = []string{}
	}
	user := map[string]any{"name": m.User, "shell": "/bin/bash", "sshAuthorizedKeys": keys}
	if m.Hash != "" {
		user["passwordHash"] = m.Hash
	}
	file := func(path string, mode int, data []byte) any {
		return map[string]any{"path": path, "mode": mode, "overwrite": true, "contents": map[string]any{"source": "data:;base64," + base64.StdEncoding.EncodeToString(data)}}
	}
	files := []any{
		file("/etc/hostname", 0o644, []byte(m.Hostname+"\n")),
		file("/etc/ingot/inputs.json", 0o600, inputs),
		file("/etc/ingot/inputs", 0o600, Shell(m.Inputs)),
	}
	if m.User != "root" {
		files = append(files, file("/etc/sudoers.d/90-ingot", 0o440, m.sudoers()))
	}
	if !m.Network.DHCP && m.Network.Address.IsValid() {
		// Systems with Ignition have one or the other.
		files = append(files, file("/etc/systemd/network/10-ingot.network", 0o644, m.networkd()), file("/etc/NetworkManager/system-connections/ingot.nmconnection", 0o600, m.networkManager()))
	}
	config, err := marshal(map[string]any{
		"ignition": map[string]any{"version": "3.0.0"},
		"passwd":   map[string]any{"users": []any{user}},
		"storage":  map[string]any{"files": files},
	})
	return []File{{ignitionFile, config}}, err
}

// sudoers lets the account of who looks after the machine do all.
func (m Machine) sudoers() []byte { return []byte(m.User + " ALL=(ALL) NOPASSWD:ALL\n") }

// networkd is a static network as systemd-networkd has it.
func (m Machine) networkd() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "[Match]\nMACAddress=%s\n\n[Network]\nAddress=%s\n", m.MAC, m.Network.Address)
	if m.Network.Gateway.IsValid() {
		fmt.Fprintf(&b, "Gateway=%s\n", m.Network.Gateway)
	}
	for _, d := range m.Network.DNS {
		fmt.Fprintf(&b, "DNS=%s\n", d)
	}
	return []byte(b.String())
}

// networkManager is the same as NetworkManager's keyfile.
func (m Machine) networkManager() []byte {
	used, other := "ipv4", "ipv6"
	if m.Network.Address.Addr().Is6() {
		used, other = other, used
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[connection]\nid=ingot\ntype=ethernet\n\n[ethernet]\nmac-address=%s\n\n[%s]\nmethod=manual\naddress1=%s", m.MAC, used, m.Network.Address)
	if m.Network.Gateway.IsValid() {
		fmt.Fprintf(&b, ",%s", m.Network.Gateway)
	}
	b.WriteString("\n")
	var dns []string
	for _, d := range m.Network.DNS {
		if d.Is6() == m.Network.Address.Addr().Is6() {
			dns = append(dns, d.String())
		}
	}
	if len(dns) > 0 {
		fmt.Fprintf(&b, "dns=%s;\n", strings.Join(dns, ";"))
	}
	fmt.Fprintf(&b, "\n[%s]\nmethod=disabled\n", other)
	return []byte(b.String())
}
