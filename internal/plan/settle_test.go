package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// settled runs the last step of a machine's chain on a tree and gives what it
// changed, as text.
func settled(t *testing.T, p *Plan, before tree.Tree) (string, error) {
	t.Helper()
	r := runner(t)
	pack, err := r.Supply.Cache.Create("pack")
	if err != nil {
		t.Fatal(err)
	}
	defer pack.Discard()
	c := p.Chains[0]
	reader := tree.NewReader(r.Supply.Cache)
	defer func() { _ = reader.Close() }()
	e := &edit{worker: &worker{Runner: r, plan: p, chain: c, reader: reader, pack: pack}, step: c.Steps[len(c.Steps)-1], tree: before}
	if err := e.step.data(e); err != nil {
		return "", err
	}
	d := tree.Diff(before, e.tree)
	var lines []string
	for _, n := range d.Set {
		if n.Kind == tree.Dir {
			continue
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %04o /%s %s", n.Kind, n.Mode, n.Path, n.Link)))
		if n.Owner != "step:settle" || n.Mtime.Sec != p.Lock.Epoch {
			t.Errorf("/%s is of %s and %d", n.Path, n.Owner, n.Mtime.Sec)
		}
	}
	for _, path := range d.Remove {
		lines = append(lines, "gone /"+path)
	}
	return sorted(lines...), nil
}

// sorted puts lines in order.
func sorted(lines ...string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestSettleMachine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"ingot.yaml": "version: 1\nname: web\ndistro: debian\nrelease: bookworm\narch: [amd64]\noutputs: [raw]\n"})
	def, l := locked(t, dir)
	p := planned(t, def, l)
	dirs := func(files ...string) tree.Tree { // with the directories above them
		var entries []tree.Entry
		at := map[string]bool{}
		for _, f := range files {
			for d := tree.Parent(f); !at[d]; d = tree.Parent(d) {
				at[d] = true
				entries = append(entries, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755})
			}
			e := treeOf(t, f[strings.LastIndexByte(f, '/')+1:], "").Entries()[1]
			e.Path = f
			entries = append(entries, e)
		}
		made, err := tree.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	kernel := []string{"boot/vmlinuz-6.1.0-1-cloud-amd64", "boot/initrd.img-6.1.0-1-cloud-amd64", "usr/bin/x", "etc/x"}
	machine := strings.Split(`file 0644 /boot/grub/grub.cfg
file 0644 /etc/default/grub.d/50-ingot.cfg
file 0644 /etc/fstab
file 0444 /etc/machine-id
file 0644 /etc/repart.d/50-root.conf
symlink 0777 /etc/resolv.conf ../run/systemd/resolve/stub-resolv.conf
file 0644 /etc/systemd/network/80-dhcp.network
symlink 0777 /etc/systemd/system/dbus-org.freedesktop.network1.service /lib/systemd/system/systemd-networkd.service
symlink 0777 /etc/systemd/system/multi-user.target.wants/systemd-networkd.service /lib/systemd/system/systemd-networkd.service
symlink 0777 /etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service /lib/systemd/system/systemd-networkd-wait-online.service
symlink 0777 /etc/systemd/system/sockets.target.wants/systemd-networkd.socket /lib/systemd/system/systemd-networkd.socket
symlink 0777 /var/lib/dbus/machine-id /etc/machine-id`, "\n")
	own := append(slices.Clone(machine),
		"file 0644 /etc/systemd/system/ssh-host-keys.service",
		"symlink 0777 /etc/systemd/system/multi-user.target.wants/ssh-host-keys.service /etc/systemd/system/ssh-host-keys.service",
		"file 0644 /etc/systemd/system/ssl-cert-snakeoil.service",
		"symlink 0777 /etc/systemd/system/multi-user.target.wants/ssl-cert-snakeoil.service /etc/systemd/system/ssl-cert-snakeoil.service",
		"gone /etc/ssh/ssh_host_ed25519_key.pub",
		"gone /var/lib/systemd/random-seed",
	)
	for _, c := range []struct {
		summary string
		tree    tree.Tree
		want    string
		err     string
	}{
		{"a machine", dirs(kernel...), sorted(machine...), ""},
		{"with keys and identities of its own", dirs(append(kernel, "usr/sbin/sshd", "usr/sbin/make-ssl-cert", "etc/ssh/ssh_host_ed25519_key.pub", "var/lib/systemd/random-seed")...), sorted(own...), ""},
		{"with a kernel that lacks drivers", dirs(append(kernel, "usr/lib/modules/6.1.0-1-cloud-amd64/modules.builtin", "usr/lib/modules/6.1.0-1-cloud-amd64/modules.dep")...), "",
			"the image's kernel 6.1.0-1-cloud-amd64 has no driver ext4, vfat, so that it could not mount what the layout has"},
		{"without a kernel", dirs("etc/x"), "", "the image has no kernel in /boot"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			got, err := settled(t, p, c.tree)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || fault.HintOf(err) == "" {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, err := settled(t, p, c.tree); err != nil || again != got {
				t.Errorf("again: %v %v", err, again)
			}
		})
	}
}
