package seed

import (
	"encoding/base64"
	"fmt"
	"strings"

	"ingot/internal/fault"
)

// maxCredentials is how many bytes systemd takes for all of a system's credentials.
const maxCredentials = 1 << 20

// credentials are what systemd takes from the firmware (systemd.system-credentials(7)): the
// inputs, for services of the image to load, and the lines by which systemd-sysusers and
// systemd-tmpfiles, from version 252 on, make the account and its keys, the host's name, and
// the files of the inputs.
func (m Machine) credentials() ([]File, error) {
	if m.Hash != "" {
		return nil, fault.Newf(fault.Usage, "password: credentials set that of no account that an image has").WithHint("ssh-keys get in; a seed for cloud-init (iso) sets passwords")
	}
	if !m.Network.DHCP && m.Network.Address.IsValid() {
		return nil, fault.Newf(fault.Usage, "network: credentials come after it").WithHint("leave it to DHCP; a seed for cloud-init (iso) or Ignition says it")
	}
	inputs, err := marshal(m.Inputs)
	if err != nil {
		return nil, err
	}
	coded := func(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
	keys := ""
	for _, k := range m.Keys {
		keys += k + "\n"
	}
	home := "/home/" + m.User
	if m.User == "root" {
		home = "/root"
	}
	lines := []string{
		// The file is for the next start; this one has read it already.
		"f+ /etc/hostname 0644 root root - " + m.Hostname,
		"w /proc/sys/kernel/hostname - - - - " + m.Hostname,
		"d /etc/ingot 0755 root root -",
		"f+~ /etc/ingot/inputs.json 0600 root root - " + coded(inputs),
		"f+~ /etc/ingot/inputs 0600 root root - " + coded(Shell(m.Inputs)),
	}
	if m.User != "root" {
		lines = append(lines, fmt.Sprintf("d %s 0700 %s %s -", home, m.User, m.User))
	}
	if keys != "" {
		lines = append(lines,
			fmt.Sprintf("d %s/.ssh 0700 %s %s -", home, m.User, m.User),
			// Once: whoever looks after the machine may add some.
			fmt.Sprintf("f~ %s/.ssh/authorized_keys 0600 %s %s - %s", home, m.User, m.User, coded([]byte(keys))))
	}
	files := []File{{"ingot.inputs", inputs}}
	if m.User != "root" {
		lines = append(lines, "f~ /etc/sudoers.d/90-ingot 0440 root root - "+coded(m.sudoers()))
		files = append(files, File{"sysusers.extra", fmt.Appendf(nil, "u %s 1000 \"\" %s /bin/bash\n", m.User, home)})
	}
	files = append(files, File{"tmpfiles.extra", []byte(strings.Join(lines, "\n") + "\n")})
	total := 0
	for _, f := range files {
		total += len(f.Name) + len(f.Data)
	}
	if total > maxCredentials {
		return nil, fault.Newf(fault.Usage, "inputs come to %d KiB of credentials, and systemd takes %d", total>>10, maxCredentials>>10).WithHint("a seed for cloud-init (iso) holds more")
	}
	return files, nil
}
