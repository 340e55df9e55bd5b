// Package seed writes what tells a new machine who it is: a CD for cloud-init's data
// source NoCloud.
//
// All of it is JSON, which is YAML too: there is no text that would need another quoting,
// and none that could become something else.
package seed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/iso"
	"ingot/internal/template"
)

// A Machine is what one is told.
type Machine struct {
	ID       string // of the instance: another makes cloud-init start anew
	Hostname string
	MAC      string // of its network card
	Network  template.NetworkAnswer
	User     string   // the account of who looks after it
	Hash     string   // of that account's password; "" locks it
	Keys     []string // of that account
	Inputs   map[string]any
}

// A File is one of the seed's.
type File struct {
	Name string
	Data []byte
}

// Files are the seed's files, in their order.
func (m Machine) Files() ([]File, error) {
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

func marshal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	return append(b, '\n'), err
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

var notInVariables = regexp.MustCompile(`[^A-Za-z0-9_]`)

// Shell is inputs as assignments that a shell can source: in single quotes, so that none of
// it is run or replaced. A list has a line for each value.
func Shell(inputs map[string]any) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		value := ""
		switch v := inputs[name].(type) {
		case nil:
		case []any:
			var lines []string
			for _, x := range v {
				lines = append(lines, fmt.Sprint(x))
			}
			value = strings.Join(lines, "\n")
		case bool:
			value = map[bool]string{true: "yes", false: "no"}[v]
		default:
			value = fmt.Sprint(v)
		}
		fmt.Fprintf(&b, "INPUT_%s='%s'\n", strings.ToUpper(notInVariables.ReplaceAllString(name, "_")), strings.ReplaceAll(value, "'", `'\''`))
	}
	return []byte(b.String())
}

// Write writes the CD.
func Write(ctx context.Context, f *os.File, files []File) error {
	var list []iso.File
	for _, x := range files {
		list = append(list, iso.File{Path: x.Name, Mode: 0o600, Data: x.Data})
	}
	im, err := iso.Plan(list, iso.Options{Label: "CIDATA", Epoch: 315532800}) // 1980: the seed says no time
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return im.Write(ctx, f)
}
