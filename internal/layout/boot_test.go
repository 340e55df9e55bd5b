package layout_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/boot"
	"ingot/internal/judge"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
)

// debianTar gives a tar of a Debian tree that mmdebstrap made with the packages
// that boot asks for, from the host's own mirror.
func debianTar(t *testing.T, release string) string {
	t.Helper()
	if dir := os.Getenv("INGOT_TEST_TREES"); dir != "" {
		return filepath.Join(dir, release+".tar")
	}
	mirror := ""
	sources, _ := filepath.Glob("/etc/apt/sources.list.d/debian.sources")
	for _, path := range append(sources, "/etc/apt/sources.list") {
		b, _ := os.ReadFile(path)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			for _, word := range f {
				if mirror == "" && len(f) > 1 && (f[0] == "URIs:" || f[0] == "deb") && strings.Contains(word, "://") && !strings.Contains(word, "security") {
					mirror = word
				}
			}
		}
	}
	if mirror == "" {
		t.Skip("the host's apt sources name no Debian mirror: a Debian host makes this run")
	}
	packages, err := boot.Packages(boot.PackageRequest{Arch: "amd64", Release: release})
	if err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(t.TempDir(), release+".tar")
	judge.Run(t, "mmdebstrap", "--quiet", "--variant=minbase", "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
		"--include="+strings.Join(packages, ","), release, tar, "deb "+mirror+" "+release+" main")
	return tar
}

// probe is a unit of the test's image that says how the machine is, has Debian
// write the boot configuration anew, and ends the machine.
var probe = []boot.File{
	{Path: "etc/systemd/system/probe.service", Kind: tree.File, Mode: 0o644, Data: []byte(`[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=exec
ExecStart=/bin/sh /etc/probe
[Install]
WantedBy=multi-user.target
`)},
	{Path: "etc/systemd/system/multi-user.target.wants/probe.service", Kind: tree.Symlink, Mode: 0o777, Link: "/etc/systemd/system/probe.service"},
	{Path: "etc/probe", Kind: tree.File, Mode: 0o755, Data: []byte(`exec >/dev/ttyS1 2>&1
systemctl is-system-running --wait
systemctl --failed --no-legend
echo "PROBE state $(systemctl is-system-running)"
echo "PROBE cmdline $(cat /proc/cmdline)"
echo "PROBE firmware $([ -d /sys/firmware/efi ] && echo uefi || echo bios)"
echo "PROBE disk $(cat /sys/block/vda/size) root $(cat /sys/block/vda/vda3/size) fs $(df --output=size -B1M / | tail -n 1)"
echo "PROBE esp $(ls /boot/efi/EFI/BOOT) $(findmnt -t vfat -no FSTYPE /boot/efi)"
echo "PROBE machine-id $(cat /etc/machine-id)"
/lib/systemd/systemd-networkd-wait-online --timeout=120
echo "PROBE address $(networkctl --no-legend list | tr -s ' ' | tail -n 1) $(resolvectl dns | tail -n 1)"
echo "PROBE unit $(systemctl is-active serial-getty@ttyS0 systemd-networkd systemd-resolved systemd-logind dbus | tr '\n' ' ')"
if [ ! -e /boot/grub/i386-pc ] && [ ! -e /sys/firmware/efi ]; then
	update-grub && grub-install --target=i386-pc /dev/vda && grub-install --target=x86_64-efi --removable --no-nvram && echo "PROBE renewed"
fi
echo "PROBE loader $(grep -c '### BEGIN' /boot/grub/grub.cfg) $(ls /boot/grub | tr '\n' ' ')"
sleep 3
systemctl poweroff
`)},
}

// makeImage is the way that an artifact goes.
func makeImage(t *testing.T, release string) *layout.Image {
	t.Helper()
	p := newPack(t)
	base := p.readTar(t, debianTar(t, release))
	const epoch = 1700000000
	r := resolve(t, "hybrid", "amd64")
	places, err := r.Places()
	if err != nil {
		t.Fatal(err)
	}
	files, err := boot.Files(boot.Params{
		Arch: "amd64", Places: places, Grows: r.Grows(), Kernels: boot.Kernels(base), Title: "Debian GNU/Linux " + release,
		Arguments: []string{"systemd.show_status=1", "ingot.test=a b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	full := p.put(t, base, epoch, append(append(r.Files(), files...), probe...))
	loader, err := boot.MakeLoader(t.Context(), judge.Tools{T: t}, boot.LoaderOptions{Arch: "amd64", Places: places})
	if err != nil {
		t.Fatal(err)
	}
	im, err := r.Compose(layout.Parts{Tree: full, Reader: p.reader(t), Loader: loader, Epoch: epoch, Free: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// A Debian image boots by BIOS and by UEFI to a login, with network, grows when
// its disk has grown, and does so again with the boot configuration and loader
// that Debian's own tools wrote.
func TestBoot(t *testing.T) {
	judge.Needs(t, judge.Full)
	for _, release := range []string{"bookworm", "trixie"} {
		t.Run(release, func(t *testing.T) {
			im := makeImage(t, release)
			t.Logf("\n%s", im.Draw().Text())
			f, err := os.Create(filepath.Join(t.TempDir(), "disk.qcow2"))
			if err != nil {
				t.Fatal(err)
			}
			q, err := qcow2.Create(f, im.Size(), im.Extents(), qcow2.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{im.Write(t.Context(), q), q.Finish(t.Context()), f.Close()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			judge.Run(t, "qemu-img", "check", f.Name())
			overlay := func(name string) string {
				path := filepath.Join(t.TempDir(), name)
				judge.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", f.Name(), "-F", "qcow2", path)
				return path
			}
			always := []string{
				`login: `, `PROBE state running`, `PROBE esp BOOTX64.EFI vfat`, `PROBE machine-id [0-9a-f]{32}`,
				`PROBE cmdline BOOT_IMAGE=/boot/vmlinuz-\S+ root=UUID=` + im.UUID(im.Root()) + ` ro console=tty0 console=ttyS0,115200 systemd.show_status=1 "ingot.test=a b"`,
				`PROBE address .* ether routable configured.* 10\.0\.2\.3`, `PROBE unit active active active active active`,
			}
			const grown = `PROBE disk 20971520 root 208[0-9]{5} fs +9[0-9]{3}`
			first, second := overlay("first.qcow2"), overlay("second.qcow2")
			bootMachine(t, second, "qcow2", "uefi", append(always, `PROBE firmware uefi`, `PROBE loader 0 grub.cfg`)...)
			bootMachine(t, first, "qcow2", "bios", append(always, `PROBE firmware bios`, `PROBE renewed`)...)
			judge.Run(t, "qemu-img", "resize", first, "10G")
			bootMachine(t, first, "qcow2", "bios", append(always, `PROBE firmware bios`, grown, `PROBE loader [1-9].* i386-pc .*x86_64-efi`)...)
			bootMachine(t, first, "qcow2", "uefi", append(always, `PROBE firmware uefi`, grown)...)

			raw := filepath.Join(t.TempDir(), "raw")
			judge.Run(t, "qemu-img", "convert", "-O", "raw", first, raw)
			if out := judge.Run(t, "sgdisk", "-v", raw); !strings.Contains(out, "No problems found.") {
				t.Errorf("sgdisk after growth: %s", out)
			}
		})
	}
}
