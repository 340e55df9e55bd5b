package seed

import "encoding/base64"

// noCloud are the files of cloud-init's data source NoCloud.
func (m Machine) noCloud() ([]File, error) {
	meta, err := marshal(map[string]any{"instance-id": m.ID, "local-hostname": m.Hostname})
	if err != nil {
		return nil, err
	}
	user, err := m.userData()
	if err != nil {
		return nil, err
	}
	network, err := marshal(m.networkConfig())
	if err != nil {
		return nil, err
	}
	return []File{{"meta-data", meta}, {"network-config", network}, {"user-data", append([]byte("#cloud-config\n"), user...)}}, nil
}

func (m Machine) userData() ([]byte, error) {
	keys := m.Keys
	if keys == nil {
		keys = []string{}
	}
	user := map[string]any{
		"name": m.User, "lock_passwd": m.Hash == "", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "ssh_authorized_keys": keys,
	}
	if m.Hash != "" {
		user["hashed_passwd"] = m.Hash
	}
	inputs, err := marshal(m.Inputs)
	if err != nil {
		return nil, err
	}
	file := func(path string, data []byte) map[string]any {
		return map[string]any{"path": path, "permissions": "0600", "owner": "root:root", "encoding": "b64", "content": base64.StdEncoding.EncodeToString(data)}
	}
	return marshal(map[string]any{
		"hostname": m.Hostname, "fqdn": m.Hostname, "preserve_hostname": false,
		"users": []any{user}, "ssh_pwauth": false, "disable_root": true,
		"growpart":    map[string]any{"mode": "auto", "devices": []string{"/"}},
		"write_files": []any{file("/etc/ingot/inputs.json", inputs), file("/etc/ingot/inputs", Shell(m.Inputs))},
	})
}

func (m Machine) networkConfig() map[string]any {
	card := map[string]any{"match": map[string]any{"macaddress": m.MAC}, "set-name": "eth0"}
	if m.Network.DHCP || !m.Network.Address.IsValid() {
		card["dhcp4"], card["dhcp6"] = true, true
	} else {
		card["dhcp4"], card["dhcp6"] = false, false
		card["addresses"] = []string{m.Network.Address.String()}
		if g := m.Network.Gateway; g.IsValid() {
			to := "0.0.0.0/0"
			if g.Is6() {
				to = "::/0"
			}
			card["routes"] = []any{map[string]any{"to": to, "via": g.String()}}
		}
		if len(m.Network.DNS) > 0 {
			var dns []string
			for _, d := range m.Network.DNS {
				dns = append(dns, d.String())
			}
			card["nameservers"] = map[string]any{"addresses": dns}
		}
	}
	return map[string]any{"version": 2, "ethernets": map[string]any{"eth0": card}}
}
