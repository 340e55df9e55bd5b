package appliance

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
	"ingot/internal/judge"
	"ingot/internal/sparse"
)

func machine() Machine {
	return Machine{
		Name: "web-amd64", Arch: "amd64", Distro: "debian", Release: "bookworm", Version: "12", Title: "Debian GNU/Linux 12 (bookworm) <&>",
		CPUs: 2, Memory: 1 << 30, UEFI: true, Secure: true, Adapter: "pvscsi", NetworkCard: "vmxnet3", Hardware: 14,
		ID: func(label string) [16]byte { return [16]byte([]byte(label + "0123456789abcdef")[:16]) }, Epoch: 1700000000,
	}
}

// formats are all ways to write an appliance, and how the disk comes out again.
func formats() map[string]struct {
	size   func(int64) int64
	create func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error)
	list   string // what tar finds
	disk   func(t *testing.T, dir string) (path, driver string)
} {
	same := func(n int64) int64 { return n }
	m := machine()
	m2 := m
	m2.Adapter, m2.NetworkCard = "ide", "virtio"
	file := func(name, driver string) func(*testing.T, string) (string, string) {
		return func(_ *testing.T, dir string) (string, string) { return filepath.Join(dir, name), driver }
	}
	type row = struct {
		size   func(int64) int64
		create func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error)
		list   string
		disk   func(t *testing.T, dir string) (path, driver string)
	}
	return map[string]row{
		"ova": {same, func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			return CreateOVA(f, size, extents, m, workers)
		}, "web-amd64.ovf web-amd64.mf web-amd64-disk1.vmdk", file("web-amd64-disk1.vmdk", "vmdk")},
		"libvirt": {same, func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			return CreateBox(f, size, extents, Box{Machine: m, Provider: "libvirt"}, workers)
		}, "metadata.json Vagrantfile box.img", file("box.img", "qcow2")},
		"virtualbox": {same, func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			return CreateBox(f, size, extents, Box{Machine: m2, Provider: "virtualbox", Share: true}, workers)
		}, "metadata.json Vagrantfile box.ovf web-amd64-disk1.vmdk", file("web-amd64-disk1.vmdk", "vmdk")},
		"gce": {GCESize, func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			return CreateGCE(f, size, extents, m.Epoch, workers)
		}, "disk.raw", file("disk.raw", "raw")},
		"xva": {XVASize, func(f *os.File, size int64, extents []disk.Extent, _ int) (disk.Image, error) {
			return CreateXVA(f, size, extents, m)
		}, "", joined},
	}
}

// joined puts the chunks of an XVA together again, as what they are called says, and
// has sha1sum look at each.
func joined(t *testing.T, dir string) (path, driver string) {
	t.Helper()
	chunks := filepath.Join(dir, "Ref:4")
	names, err := os.ReadDir(chunks)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var list strings.Builder
	var last int64
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(chunks, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if chunk, ok := strings.CutSuffix(n.Name(), ".checksum"); ok {
			fmt.Fprintf(&list, "%s  %s\n", data, chunk)
			continue
		}
		if _, err := fmt.Sscanf(n.Name(), "%08d", &last); err != nil {
			t.Fatal(err)
		}
		if _, err := to.WriteAt(data, last<<20); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(list.String(), "\n")*2 != len(names) || names[0].Name() != "00000000" {
		t.Errorf("%d files begin with %s and have %d checksums", len(names), names[0].Name(), strings.Count(list.String(), "\n"))
	}
	if err := os.WriteFile(filepath.Join(chunks, "sums"), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	judge.RunIn(t, chunks, "sha1sum", "--check", "--strict", "--quiet", "sums")
	return to.Name(), "raw"
}

var cases = []struct {
	summary string
	size    int64
	pieces  []disktest.Piece
}{
	{"nothing", 64 << 20, nil},
	{"one byte", 3 << 30, []disktest.Piece{{Off: 1<<30 + 5, Data: []byte("x")}}},
	{"half compressible", 256 << 20, []disktest.Piece{{Off: 1 << 20, Data: disktest.Noise(1, 10<<20, true)}, {Off: 100 << 20, Data: disktest.Noise(2, 3<<20+17, true)}}},
	{"ends", 2 << 30, []disktest.Piece{{Off: 0, Data: []byte("a")}, {Off: 2<<30 - 1, Data: []byte("z")}}},
	{"zeros", 64 << 20, []disktest.Piece{{Off: 5 << 20, Data: make([]byte, 2<<20)}}},
	{"many pieces, far apart", 16 << 30, scattered()},
}

// scattered is more pieces than one record of a sparse header has room for.
func scattered() []disktest.Piece {
	var out []disktest.Piece
	for i := range int64(60) {
		out = append(out, disktest.Piece{Off: i*(256<<20) + i*4096, Data: disktest.Noise(uint64(i), 5000, true)})
	}
	return out
}

// Tar unpacks every appliance, and QEMU finds the disk in it.
func TestDisks(t *testing.T) {
	for name, f := range formats() {
		for _, c := range cases {
			t.Run(name+"/"+c.summary, func(t *testing.T) {
				size := f.size(c.size)
				archive := written(t, f.create, size, c.pieces, 0)
				dir := t.TempDir()
				verbose := judge.Run(t, "tar", "--sparse", "-C", dir, "-xvf", archive)
				if list := strings.Join(strings.Fields(verbose), " "); f.list != "" && list != f.list {
					t.Errorf("tar finds %s, want %s", list, f.list)
				}
				raw := disktest.Raw(t, size, c.pieces)
				// Another reader of archives, which Vagrant uses.
				other := t.TempDir()
				judge.Run(t, "bsdtar", "-C", other, "-xf", archive)
				for _, dir := range []string{dir, other} {
					path, driver := f.disk(t, dir)
					out := judge.Run(t, "qemu-img", "compare", "-f", driver, "-F", "raw", path, raw)
					if strings.TrimSpace(out) != "Images are identical." {
						t.Errorf("qemu-img compare: %s", out)
					}
				}
			})
		}
	}
}

func written(t *testing.T, create func(*os.File, int64, []disk.Extent, int) (disk.Image, error), size int64, pieces []disktest.Piece, workers int) string {
	t.Helper()
	f := disktest.File(t)
	im, err := create(f, size, disktest.Plan(pieces), workers)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pieces {
		p := pieces[len(pieces)-1-i]
		if _, err := im.WriteAt(p.Data, p.Off); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(im.Finish(t.Context()), im.Close()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(f.Name()))
	if err != nil || len(left) != 1 {
		t.Errorf("left beside the appliance: %v, %v", left, err)
	}
	return f.Name()
}

func digestOf(t *testing.T, path string) digest.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := sparse.Digest(f, 0, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestSameBytes(t *testing.T) {
	for name, f := range formats() {
		pieces := cases[2].pieces
		size := f.size(cases[2].size)
		one := digestOf(t, written(t, f.create, size, pieces, 1))
		if many := digestOf(t, written(t, f.create, size, pieces, 7)); many != one {
			t.Errorf("%s: other bytes by seven workers", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := []disk.Extent{{Off: 0, Len: 1 << 20}}
	for problem, change := range map[string]func(m *Machine){
		"of arm64":       func(m *Machine) { m.Arch = "arm64" },
		"0 processors":   func(m *Machine) { m.CPUs = 0 },
		"bytes of mem":   func(m *Machine) { m.Memory = 5 },
		"identities":     func(m *Machine) { m.ID = nil },
		"no name":        func(m *Machine) { m.Name = `a"b` },
		"adapter":        func(m *Machine) { m.Adapter = "floppy" },
		"network card":   func(m *Machine) { m.NetworkCard = "" },
		"hardware versi": func(m *Machine) { m.Hardware = 1000 },
	} {
		m := machine()
		change(&m)
		if _, err := CreateOVA(disktest.File(t), 1<<30, good, m, 0); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	if _, err := CreateBox(disktest.File(t), 1<<30, good, Box{Machine: machine(), Provider: "docker"}, 0); err == nil {
		t.Error("a box for docker is made")
	}
	for name, f := range formats() {
		for _, size := range []int64{0, -1, 1000} {
			if _, err := f.create(disktest.File(t), size, nil, 0); err == nil {
				t.Errorf("%s: a disk of %d bytes is taken", name, size)
			}
		}
		size := f.size(1 << 30)
		if _, err := f.create(disktest.File(t), size, []disk.Extent{{Off: size, Len: 1}}, 0); err == nil {
			t.Errorf("%s: an extent behind the end is taken", name)
		}
		im, err := f.create(disktest.File(t), size, good, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := im.WriteAt([]byte("x"), 500<<20); err == nil {
			t.Errorf("%s: a write out of the extents is taken", name)
		}
		if err := im.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The papers of an OVA are XML that a strict reader takes, and its manifest is what
// sha256sum says.
func TestPapers(t *testing.T) {
	dir := t.TempDir()
	judge.Run(t, "tar", "-C", dir, "-xf", written(t, formats()["ova"].create, 1<<30, cases[2].pieces, 0))
	manifest, err := os.ReadFile(dir + "/web-amd64.mf")
	if err != nil {
		t.Fatal(err)
	}
	tagged := strings.NewReplacer("SHA256(", "SHA256 (", ")= ", ") = ").Replace(string(manifest))
	if err := os.WriteFile(dir+"/sums", []byte(tagged), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := judge.RunIn(t, dir, "sha256sum", "--check", "--strict", "sums"); strings.Count(out, ": OK") != 2 {
		t.Errorf("sha256sum: %s", out)
	}
	info, err := os.Stat(dir + "/web-amd64-disk1.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	ovf := read(t, dir+"/web-amd64.ovf")
	if err := wellFormed(ovf); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`<File ovf:href="web-amd64-disk1.vmdk" ovf:id="file1" ovf:size="%d"/>`, info.Size()),
		`ovf:capacity="1073741824"`, "vmx-14", `vmw:osType="debian10_64Guest"`, `ovf:id="96" ovf:version="12"`, "Debian GNU/Linux 12 (bookworm) &lt;&amp;&gt;",
		`vmw:key="firmware" vmw:value="efi"`, `vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"`, "VirtualSCSI", "VmxNet3",
	} {
		if !bytes.Contains(ovf, []byte(want)) {
			t.Errorf("the descriptor does not say %s:\n%s", want, ovf)
		}
	}
	if err := wellFormed(machine().ovaXML(1 << 30)); err != nil {
		t.Errorf("ova.xml: %v", err)
	}
}

// wellFormed reads XML to its end.
func wellFormed(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.Token(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGuestOS(t *testing.T) {
	for _, c := range []struct {
		release, arch string
		hardware      int
		want          string
	}{
		{"bookworm", "amd64", 14, "debian10_64Guest"}, {"bookworm", "amd64", 17, "debian11_64Guest"}, {"trixie", "amd64", 21, "debian12_64Guest"},
		{"bullseye", "amd64", 21, "debian11_64Guest"}, {"bookworm", "i386", 20, "debian12Guest"},
	} {
		m := machine()
		m.Release, m.Arch, m.Hardware = c.release, c.arch, c.hardware
		if got := m.guestOS(); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
	m := machine()
	m.GuestOS = "other"
	if got := m.guestOS(); got != "other" {
		t.Errorf("a name that was given becomes %s", got)
	}
}

func TestBox(t *testing.T) {
	for _, c := range []struct {
		box            Box
		metadata, file string
	}{
		{
			Box{Machine: machine(), Provider: "libvirt"}, `{"provider":"libvirt","architecture":"amd64","format":"qcow2","virtual_size":2}`, `Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :libvirt do |p|
    p.cpus = 2
    p.memory = 1024
  end
end
`,
		},
		{
			Box{Machine: machine(), Provider: "virtualbox", Share: true}, `{"provider":"virtualbox","architecture":"amd64"}`, `Vagrant.configure("2") do |config|
  config.vm.base_mac = "0800276E6574"
  config.vm.synced_folder ".", "/vagrant", type: "rsync"
  config.vm.provider :virtualbox do |p|
    p.cpus = 2
    p.memory = 1024
    p.customize ["modifyvm", :id, "--firmware", "efi"]
    p.check_guest_additions = false
  end
end
`,
		},
	} {
		papers, err := c.box.papers(1<<30 + 1)
		if err != nil || len(papers) != 2 || papers[0].name != "metadata.json" || papers[1].name != "Vagrantfile" {
			t.Fatalf("papers are %v, %v", papers, err)
		}
		if got := strings.TrimSpace(string(papers[0].data)); got != c.metadata || !json.Valid(papers[0].data) {
			t.Errorf("metadata are %s", got)
		}
		if got := string(papers[1].data); got != c.file {
			t.Errorf("Vagrantfile is\n%s", got)
		}
	}
}

func TestGlance(t *testing.T) {
	const want = `{
  "name": "web-amd64",
  "disk_format": "qcow2",
  "container_format": "bare",
  "min_disk": 2,
  "min_ram": 1024,
  "architecture": "x86_64",
  "os_type": "linux",
  "os_distro": "debian",
  "os_version": "12",
  "hw_firmware_type": "uefi",
  "hw_machine_type": "q35",
  "os_secure_boot": "required",
  "hw_disk_bus": "virtio",
  "hw_vif_model": "virtio",
  "hw_rng_model": "virtio"
}
`
	if got, err := Glance(1<<30+1, machine()); err != nil || string(got) != want {
		t.Errorf("Glance is told %v\n%s", err, got)
	}
}
