package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/lock"
)

// kernelMakes are paths of the example's machine that no package brings and that only a
// kernel, a boot loader, an initramfs or a disk makes; K is the kernel's version.
const kernelMakes = `/boot/efi
/boot/grub
/boot/grub/grub.cfg
/boot/initrd.img-K
/etc/alternatives/mt
/etc/alternatives/mt.1.gz
/etc/default/grub.d/50-ingot.cfg
/etc/fstab
/etc/initramfs-tools/conf.d/root-type
/etc/initramfs-tools/modules
/etc/modules
/etc/rcS.d/S01kmod
/etc/repart.d
/etc/repart.d/50-root.conf
/initrd.img
/initrd.img.old
/usr/bin/mt
/usr/lib/modules/K/modules.alias
/usr/lib/modules/K/modules.alias.bin
/usr/lib/modules/K/modules.builtin.alias.bin
/usr/lib/modules/K/modules.builtin.bin
/usr/lib/modules/K/modules.dep
/usr/lib/modules/K/modules.dep.bin
/usr/lib/modules/K/modules.devname
/usr/lib/modules/K/modules.softdep
/usr/lib/modules/K/modules.symbols
/usr/lib/modules/K/modules.symbols.bin
/usr/share/man/man1/mt.1.gz
/var/lib/dpkg/alternatives/mt
/var/lib/dpkg/triggers/update-initramfs
/vmlinuz
/vmlinuz.old
`

// recordsOfAll are files that say of all packages what is there.
const recordsOfAll = `/etc/ld.so.cache
/var/cache/debconf/config.dat
/var/cache/debconf/config.dat-old
/var/cache/debconf/templates.dat
/var/cache/debconf/templates.dat-old
/var/lib/apt/extended_states
/var/lib/dpkg/status
/var/lib/dpkg/status-old
`

// hostsKernel masks what only who owns the kernel may mount.
const hostsKernel = `/etc/systemd/system/sys-kernel-debug.mount
/etc/systemd/system/sys-kernel-tracing.mount
`

// flavors builds the example of flavors: of one definition, a machine, and the same without
// kernel, boot loader and initramfs as a template for OpenVZ. Their trees differ by the
// files of these and by nothing else, which dpkg-deb judges.
func (c *court) flavors(t *testing.T, p *project) {
	args := []string{"--flavor", "", "--flavor", "!kernel"}
	if c.full {
		args = []string{"--all-flavors", "--test"}
	}
	b := p.build(t, args...)
	for _, want := range []string{"site-amd64.qcow2", "debian-12-x86_64-site-no-kernel.tar.gz"} {
		if !slices.ContainsFunc(b.Artifacts, func(a struct {
			Format, Path, SHA256, Manifest, SBOM, Provenance string
			Size                                             int64
		}) bool {
			return filepath.Base(a.Path) == want
		}) {
			t.Errorf("no %s among %+v", want, b.Artifacts)
		}
	}
	sums(t, p.path("out"))
	l, err := lock.Read(p.path("ingot.lock"))
	if err != nil {
		t.Fatal(err)
	}
	full, _ := l.Set("amd64", "machine", "~kernel,~!vmware")
	none, _ := l.Set("amd64", "system", "!kernel,~!vmware")
	there := map[string]bool{}
	for _, r := range none.Refs {
		there[r.Name] = true
	}
	// What only the machine has, and every path that these packages bring.
	brought, files, kernel := map[string]bool{}, map[string]bool{}, ""
	for _, r := range full.Refs {
		if there[r.Name] {
			delete(there, r.Name)
			continue
		}
		if v, ok := strings.CutPrefix(r.Name, "linux-image-"); ok && v[0] >= '0' && v[0] <= '9' {
			kernel = v
		}
		files["/var/lib/dpkg/info/"+r.Name] = true
		list := exec.CommandContext(t.Context(), "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -t`, "sh", filepath.Join(p.home, "store", "blobs", r.SHA256.String()[:2], r.SHA256.String()))
		out, err := list.Output()
		if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		for name := range strings.Lines(string(out)) {
			path := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(name, "\n"), "."), "/")
			brought[path], brought["/usr"+path] = true, true // the latter of /bin, /lib and /sbin
		}
	}
	if len(there) > 0 || kernel == "" {
		t.Errorf("without a kernel there are also %v", there)
	}
	var made, records, more []string
	old, now := sealed(t, p.path("out/site-amd64.machine.seal")), sealed(t, p.path("out/site-no-kernel-amd64.system.seal"))
	for path, line := range old {
		record := strings.TrimSuffix(strings.TrimSuffix(path, filepath.Ext(path)), ":amd64")
		switch {
		case now[path] == line, now[path] == "" && brought[path], now[path] == "" && files[record]:
		case now[path] == "":
			made = append(made, strings.ReplaceAll(path, kernel, "K"))
		default:
			records = append(records, path)
		}
	}
	for path := range now {
		if old[path] == "" {
			more = append(more, path)
		}
	}
	for what, pair := range map[string][2]string{
		"made by what is left out": {kernelMakes, paths(made)}, "records": {recordsOfAll, paths(records)}, "more": {hostsKernel, paths(more)},
	} {
		if d := cmp.Diff(pair[0], pair[1]); d != "" {
			t.Errorf("%s, -want +got:\n%s", what, d)
		}
	}
}

func paths(list []string) string {
	slices.Sort(list)
	out := strings.Join(list, "\n")
	if out != "" {
		out += "\n"
	}
	return out
}

var sealLine = regexp.MustCompile(`^\S+ \S+ \S+ ("(?:[^"\\]|\\.)*")`)

// sealed are the lines of a seal by path.
func sealed(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		m := sealLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s has the line %q", name, line)
		}
		path, err := strconv.Unquote(m[1])
		if err != nil {
			t.Fatal(err)
		}
		out[path] = line
	}
	return out
}
