package content_test

import (
	"slices"
	"strings"
	"testing"

	"ingot/internal/content"
	"ingot/internal/fault"
)

// TestArguments changes what a layer's kernel is started with.
func TestArguments(t *testing.T) {
	r := root(t, map[string]string{"etc/kernel/cmdline": "root=/dev/hv/Base-1-0+1 rw console=ttyS0  quiet\n"})
	words, err := content.Arguments(r)
	if err != nil || !slices.Equal(words, []string{"console=ttyS0", "quiet"}) {
		t.Fatal(words, err)
	}
	for _, c := range []struct {
		add, remove []string
		want        string
		code        fault.Code
	}{
		{add: []string{"panic=5", "quiet"}, want: "console=ttyS0 quiet panic=5"},
		{add: []string{"loglevel=4"}, remove: []string{"quiet"}, want: "console=ttyS0 loglevel=4"},
		{remove: []string{"quiet", "console=ttyS0"}, want: ""},
		{remove: []string{"console"}, code: fault.NotFound},
		{add: []string{"root=/dev/vda"}, code: fault.Usage},
		{add: []string{"a b"}, code: fault.Usage},
		{add: []string{"a\n"}, code: fault.Usage},
		{add: []string{""}, code: fault.Usage},
	} {
		got, err := content.ArgumentChange{Add: c.add, Remove: c.remove}.Of(words)
		if c.code != 0 {
			if fault.CodeOf(err) != c.code {
				t.Errorf("add %q, remove %q: %v", c.add, c.remove, err)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("add %q, remove %q: %q, %v", c.add, c.remove, got, err)
		}
	}
	got, err := content.ArgumentChange{Add: []string{"b"}}.Of([]string{"a", "--", "b"})
	if err != nil || strings.Join(got, " ") != "a b -- b" {
		t.Errorf("before what is init's: %q, %v", got, err)
	}
	for _, want := range [][]string{{"quiet", "panic=5"}, {}} {
		if err := content.SetArguments(r, want); err != nil {
			t.Fatal(err)
		}
		if got, err := content.Arguments(r); err != nil || !slices.Equal(got, want) {
			t.Errorf("set to %q they are %q, %v", want, got, err)
		}
	}
	empty := root(t, nil)
	if err := content.SetArguments(empty, []string{"quiet"}); err != nil {
		t.Error(err)
	}
	has(t, empty, map[string]string{"etc/kernel/cmdline": "quiet\n"})
}

// TestReset has a layer keep what tells of the machine, and nothing else of the host's.
func TestReset(t *testing.T) {
	fresh := root(t, map[string]string{"etc/fstab": "UUID=image / ext4 defaults 0 1\n", "etc/motd": "image\n", "etc/machine-id": "", "etc/ssh/sshd_config": "image\n"})
	host := root(t, map[string]string{
		"etc/fstab": "UUID=host / ext4 defaults 0 1\nUUID=var /var ext4\n", "etc/crypttab": "home UUID=x\n", "etc/motd": "host\n", "etc/machine-id": "0123\n",
		"etc/ssh/sshd_config": "host\n", "etc/ssh/ssh_host_ed25519_key": "key\n", "etc/ssh/ssh_host_ed25519_key.pub": "public\n", "etc/host.conf": "host\n",
	})
	if err := content.Reset(content.Roots{New: fresh, Device: "/dev/hv/Base-1-0+2", Host: host}); err != nil {
		t.Fatal(err)
	}
	has(t, fresh, map[string]string{
		"etc/fstab": "/dev/hv/Base-1-0+2 / ext4 defaults 0 1\nUUID=var /var ext4\n", "etc/crypttab": "home UUID=x\n", "etc/motd": "image\n", "etc/machine-id": "0123\n",
		"etc/ssh/sshd_config": "image\n", "etc/ssh/ssh_host_ed25519_key": "key\n", "etc/ssh/ssh_host_ed25519_key.pub": "public\n", "etc/host.conf": "",
	})
	bare := root(t, map[string]string{"etc/motd": "image\n"})
	if err := content.Reset(content.Roots{New: bare, Device: "/dev/x", Host: root(t, map[string]string{"etc/motd": "host\n"})}); err != nil {
		t.Error(err)
	}
	has(t, bare, map[string]string{"etc/motd": "image\n", "etc/fstab": ""})
}
