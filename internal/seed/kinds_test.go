package seed

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/place/placetest"
	"ingot/internal/template"
)

// TestVFAT has other programs check and read the volume.
func TestVFAT(t *testing.T) {
	for _, inputs := range []map[string]any{{"a": "b"}, {"long": strings.Repeat("it's long ", 90_000)}} {
		file := filepath.Join(t.TempDir(), "seed.img")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		files, err := machineOf(inputs).Files(template.VFAT)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), f, template.VFAT, files); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "fsck.fat", "-n", file)
		if out := judge.Run(t, "mlabel", "-s", "-i", file, "::"); !strings.Contains(out, "CIDATA") {
			t.Errorf("mlabel says %s", out)
		}
		dir := t.TempDir()
		judge.Run(t, "mcopy", "-s", "-n", "-Q", "-i", file, "::/", dir)
		for _, want := range files {
			if got, err := os.ReadFile(filepath.Join(dir, want.Name)); err != nil || string(got) != string(want.Data) {
				t.Errorf("%s: %v, it is\n%.200s", want.Name, err, got)
			}
		}
	}
}

// validate asks Ignition's own program what it thinks of a configuration.
func validate(t *testing.T, config []byte) (string, error) {
	t.Helper()
	program := placetest.Program(t, "github.com/coreos/ignition/v2", "v2.24.0", "validate")
	file := filepath.Join(t.TempDir(), "config.ign")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, file).CombinedOutput()
	return string(out), err
}

// ignited is what a configuration would have written, by path, with its mode.
func ignited(t *testing.T, config []byte) map[string]string {
	t.Helper()
	var c struct {
		Storage struct {
			Files []struct {
				Path     string
				Mode     int
				Contents struct{ Source string }
			}
		}
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range c.Storage.Files {
		text, ok := strings.CutPrefix(f.Contents.Source, "data:;base64,")
		data, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			t.Fatalf("%s: %s", f.Path, f.Contents.Source)
		}
		if f.Mode&0o077 != 0 && strings.Contains(f.Path, "inputs") {
			t.Errorf("%s has mode %o", f.Path, f.Mode)
		}
		out[f.Path] = string(data)
	}
	return out
}

func TestIgnition(t *testing.T) {
	for _, text := range corpus {
		m := machineOf(map[string]any{"text": text, "list": []any{text}})
		m.Keys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1ZkDmKqCmD0CyCJ4R/Zb0E3rXsXw7l8f1v9m0xZ0aB " + text}
		files, err := m.Files(template.Ignition)
		if err != nil || len(files) != 1 {
			t.Fatalf("%d files: %v", len(files), err)
		}
		if said, err := validate(t, files[0].Data); err != nil || said != "" {
			t.Errorf("%q: ignition-validate: %v: %s\n%s", text, err, said, files[0].Data)
		}
		var inputs map[string]any
		got := ignited(t, files[0].Data)
		if err := json.Unmarshal([]byte(got["/etc/ingot/inputs.json"]), &inputs); err != nil || inputs["text"] != text {
			t.Errorf("%q became %v: %v", text, inputs, err)
		}
		if got["/etc/hostname"] != "web1\n" || got["/etc/sudoers.d/90-ingot"] != "admin ALL=(ALL) NOPASSWD:ALL\n" {
			t.Errorf("the files are %q", got)
		}
	}
	// The judge can say no.
	if said, err := validate(t, []byte(`{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"etc/x","mode":420}]}}`)); err == nil {
		t.Errorf("ignition-validate takes a relative path: %s", said)
	}
}

func TestIgnitionStaticNetwork(t *testing.T) {
	for _, row := range []struct{ network, networkd, manager string }{
		{
			"192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.53,2001:db8::53", "[Match]\nMACAddress=52:54:00:01:02:03\n\n[Network]\nAddress=192.0.2.5/24\nGateway=192.0.2.1\nDNS=192.0.2.53\nDNS=2001:db8::53\n",
			"[connection]\nid=ingot\ntype=ethernet\n\n[ethernet]\nmac-address=52:54:00:01:02:03\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24,192.0.2.1\ndns=192.0.2.53;\n\n[ipv6]\nmethod=disabled\n",
		},
		{
			"2001:db8::5/64", "[Match]\nMACAddress=52:54:00:01:02:03\n\n[Network]\nAddress=2001:db8::5/64\n",
			"[connection]\nid=ingot\ntype=ethernet\n\n[ethernet]\nmac-address=52:54:00:01:02:03\n\n[ipv6]\nmethod=manual\naddress1=2001:db8::5/64\n\n[ipv4]\nmethod=disabled\n",
		},
	} {
		m := machineOf(nil)
		var err error
		if m.Network, err = template.ParseNetwork(row.network); err != nil {
			t.Fatal(err)
		}
		files, err := m.Files(template.Ignition)
		if err != nil {
			t.Fatal(err)
		}
		if said, err := validate(t, files[0].Data); err != nil || said != "" {
			t.Errorf("ignition-validate: %v: %s", err, said)
		}
		got := ignited(t, files[0].Data)
		if d := cmp.Diff(row.networkd, got["/etc/systemd/network/10-ingot.network"]); d != "" {
			t.Errorf("%s: networkd (-want +got):\n%s", row.network, d)
		}
		if d := cmp.Diff(row.manager, got["/etc/NetworkManager/system-connections/ingot.nmconnection"]); d != "" {
			t.Errorf("%s: NetworkManager (-want +got):\n%s", row.network, d)
		}
	}
}

// passwordless is a machine that credentials can tell who it is.
func passwordless(user string, inputs map[string]any) Machine {
	m := machineOf(inputs)
	m.User, m.Hash = user, ""
	return m
}

// TestCredentials has systemd's programs do what the credentials say, below a directory.
func TestCredentials(t *testing.T) {
	for _, program := range []string{"systemd-tmpfiles", "systemd-sysusers"} {
		if _, err := judge.Find(program); err != nil {
			t.Skipf("%s is missing: Debian's package systemd makes this run", program)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("root runs this: the files are others'")
	}
	for _, user := range []string{"ops", "root"} {
		for _, text := range corpus {
			m := passwordless(user, map[string]any{"text": text})
			m.Keys = []string{text, "b"}
			files, err := m.Files(template.Credentials)
			if err != nil {
				t.Fatal(err)
			}
			root, dir := t.TempDir(), t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"passwd": "root:x:0:0::/root:/bin/bash\n", "group": "root:x:0:\n", "hostname": "old\n"} {
				if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range files {
				path := filepath.Join(dir, f.Name)
				// Its kernel is this host's: what is written there stays out of this.
				data := strings.ReplaceAll(string(f.Data), "w /proc/sys/kernel/hostname", "w /nowhere")
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
				if f.Name == "sysusers.extra" {
					judge.Run(t, "systemd-sysusers", "--root="+root, path)
				}
			}
			if said := judge.Run(t, "systemd-tmpfiles", "--create", "--root="+root, filepath.Join(dir, "tmpfiles.extra")); said != "" {
				t.Errorf("systemd-tmpfiles says %s", said)
			}
			read := func(path string) string {
				b, err := os.ReadFile(filepath.Join(root, path))
				if err != nil {
					t.Error(err)
				}
				return string(b)
			}
			home := map[string]string{"ops": "home/ops", "root": "root"}[user]
			var inputs map[string]any
			if err := json.Unmarshal([]byte(read("etc/ingot/inputs.json")), &inputs); err != nil || inputs["text"] != text {
				t.Errorf("%q became %v: %v", text, inputs, err)
			}
			if got := read(home + "/.ssh/authorized_keys"); got != text+"\nb\n" {
				t.Errorf("the keys are %q", got)
			}
			if got := read("etc/hostname"); got != "web1" {
				t.Errorf("the host's name is %q", got)
			}
			if user == "ops" {
				if got := read("etc/passwd"); !strings.Contains(got, "\nops:x:1000:1000::/home/ops:/bin/bash\n") {
					t.Errorf("the accounts are %s", got)
				}
				if got := read("etc/sudoers.d/90-ingot"); got != "ops ALL=(ALL) NOPASSWD:ALL\n" {
					t.Errorf("sudo is told %q", got)
				}
			}
		}
	}
}

// What credentials cannot say is refused, and not left out.
func TestCredentialsRefuse(t *testing.T) {
	hashed := passwordless("ops", nil)
	hashed.Hash = "$6$x$y"
	static := passwordless("ops", nil)
	var err error
	if static.Network, err = template.ParseNetwork("192.0.2.5/24"); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]Machine{
		"password: credentials set that of no account": hashed, "network: credentials come after it": static,
		"KiB of credentials, and systemd takes 1024": passwordless("ops", map[string]any{"a": strings.Repeat("x", 400_000)}),
	} {
		if _, err := m.Files(template.Credentials); fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// QEMU takes names of at most 55 bytes.
func TestFirmwareNames(t *testing.T) {
	for _, kind := range template.Seeds {
		files, err := passwordless("ops", nil).Files(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, name := range FirmwareNames(kind, f.Name) {
				if len(name) > 55 {
					t.Errorf("%s: %s has %d bytes", kind, name, len(name))
				}
			}
		}
	}
}
