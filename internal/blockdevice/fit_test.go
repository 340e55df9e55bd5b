package blockdevice

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/disk"
	"ingot/internal/gpt"
	"ingot/internal/judge"
	"ingot/internal/lvm"
)

// outline is where everything lies: partitions in sectors, volumes in extents.
func outline(f *Fitted) string {
	var b strings.Builder
	for _, d := range f.Disks {
		sector := d.Disk.BlockSize
		fmt.Fprintf(&b, "%s %d\n", d.Disk.Name, d.Size/sector)
		if d.Extended.Len > 0 {
			fmt.Fprintf(&b, "extended %d+%d\n", d.Extended.Off/sector, d.Extended.Len/sector)
		}
		for _, p := range d.Partitions {
			fmt.Fprintf(&b, "%d %s %d+%d\n", p.Partition.Number, p.Partition.Name, p.Place.Off/sector, p.Place.Len/sector)
		}
	}
	for _, g := range f.Groups {
		fmt.Fprintf(&b, "%s %d extents, %d free:", g.VG.Name, g.Extents, g.Free)
		for _, v := range g.PVs {
			fmt.Fprintf(&b, " %s %d", v.PV.Name, v.Extents)
		}
		b.WriteString("\n")
		show := func(name string, segments []Segment) {
			for _, s := range segments {
				fmt.Fprintf(&b, " %s:", name)
				for _, p := range s.Pieces {
					fmt.Fprintf(&b, " %s %d+%d", p.PV.Name, p.Extent, p.Extents)
				}
				if s.StripeSize > 0 {
					fmt.Fprintf(&b, " in stripes of %d", s.StripeSize)
				}
				b.WriteString("\n")
			}
		}
		for _, v := range g.LVs {
			fmt.Fprintf(&b, "%s %d\n", v.LV.Name, v.Size)
			show("data", v.Segments)
			show("meta", v.Meta)
		}
		show("spare", g.Spare)
	}
	return b.String()
}

func fit(t testing.TB, text string, params Params, needs Needs) string {
	t.Helper()
	f, err := parse(t, text, params).Fit(needs)
	if err != nil {
		t.Fatal(err)
	}
	return outline(f)
}

// table makes a layout of one table; the root lies on a disk of its own.
func table(label string, partitions string) string {
	return "- local_loop: {name: disk}\n- local_loop: {name: other, size: 1GiB, mkfs: {name: mkfs_root, mount: {mount_point: /}}}\n" +
		"- partitioning: {base: disk, label: " + label + ", partitions: [" + partitions + "]}\n"
}

// parts writes partitions in short: "p33 l5" are a primary of 33% and a logical one
// of 5%; "g8M" has no flag.
func parts(short string) string {
	var out []string
	for i, s := range strings.Fields(short) {
		flags, size := "", s[1:]
		if s[0] == 'p' {
			flags = "flags: [primary], "
		}
		if strings.Trim(size, "0123456789.") == "" {
			size += "%"
		}
		out = append(out, fmt.Sprintf("{name: %c%d, %ssize: %s}", s[0], i+1, flags, size))
	}
	return strings.Join(out, ", ")
}

// The places are diskimage-builder's own.
func TestSameTables(t *testing.T) {
	repeat := func(n int, s string) string { return strings.Repeat(s+" ", n) }
	lines := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		return b.String()
	}
	for _, test := range []struct {
		label, short string
		size         int64
		want         string
	}{
		{"mbr", "p100", 1 << 30, "1 p1 2048+2093056\n"},
		{"mbr", "p33 p50 p100", 1 << 30, "1 p1 2048+690708\n2 p2 694272+700416\n3 p3 1394688+700416\n"},
		{"mbr", "l50 l100", 1 << 30, "extended 2048+2095104\n5 l1 4096+1046528\n6 l2 1052672+1044480\n"},
		{"mbr", "p54 l40 l5 l1", 1 << 30, "extended 1132544+964608\n1 p1 2048+1130250\n5 l2 1134592+385024\n6 l3 1521664+28774\n7 l4 1554432+5427\n"},
		{"mbr", "l10MiB", 1 << 30, "extended 2048+2095104\n5 l1 4096+20480\n"},
		{"mbr", repeat(64, "l10MiB"), 1 << 30, "extended 2048+2095104\n" + lines(64, func(i int) string { return fmt.Sprintf("%d l%d %d+20480", 5+i, 1+i, 4096+22528*i) })},
		{"mbr", "p10MiB p10MiB p10MiB", 1 << 30, "1 p1 2048+20480\n2 p2 22528+20480\n3 p3 43008+20480\n"},
		{"mbr", repeat(3, "p10MiB") + repeat(7, "l10MiB"), 1 << 30, "extended 63488+2033664\n1 p1 2048+20480\n2 p2 22528+20480\n3 p3 43008+20480\n" +
			lines(7, func(i int) string { return fmt.Sprintf("%d l%d %d+20480", 5+i, 4+i, 65536+22528*i) })},
		{"gpt", "g8MiB g8MiB g100", 1 << 30, "1 g1 2048+16384\n2 g2 18432+16384\n3 g3 34816+2060288\n"},
		{"gpt", "g550MiB g8MiB g100", 2_000_000_000, "1 g1 2048+1126400\n2 g2 1128448+16384\n3 g3 1144832+2758656\n"},
		{"gpt", "g33 g33.3 g50.25 g100", 10_000_000_000, ""},
	} {
		t.Run(test.label+" "+test.short, func(t *testing.T) {
			got := fit(t, table(test.label, parts(test.short)), Params{ImageSize: test.size}, nil)
			_, got, _ = strings.Cut(got, "\n")
			got, _, _ = strings.Cut(got, "other ")
			if d := cmp.Diff(test.want, got); d != "" && test.want != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A seen partition is one as sfdisk reads it.
type seen struct{ Start, Size int64 }

func sfdisk(t testing.TB, path string) []seen {
	t.Helper()
	var got struct{ PartitionTable struct{ Partitions []seen } }
	if err := json.Unmarshal([]byte(judge.Run(t, "sfdisk", "-J", path)), &got); err != nil {
		t.Fatal(err)
	}
	return got.PartitionTable.Partitions
}

func image(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// sgdisk, which diskimage-builder has divide disks, puts partitions of the same
// sizes where we put them; and what we write is without fault to sfdisk.
func TestRandomTables(t *testing.T) {
	judge.Path(t, "sgdisk")
	runs := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		label := rapid.SampledFrom([]string{"gpt", "mbr"}).Draw(rt, "label")
		// Each runs programs, and sgdisk waits for a second when it has written.
		if runs[label]++; runs[label] > map[string]int{"gpt": 6, "mbr": 30}[label] {
			return
		}
		size := rapid.Int64Range(1<<28/512, 1<<33/512).Draw(rt, "sectors") * 512
		var short []string
		primaries := 0
		if label == "mbr" {
			primaries = rapid.IntRange(0, 3).Draw(rt, "primaries")
		}
		n := rapid.IntRange(1, 6).Draw(rt, "partitions")
		for i := range n {
			kind := "g"
			if label == "mbr" {
				kind = map[bool]string{true: "p", false: "l"}[i < primaries]
			}
			amount := rapid.OneOf(
				rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("%.1f", rapid.Float64Range(10, 60).Draw(t, "percent")) }),
				rapid.Custom(func(t *rapid.T) string {
					return fmt.Sprintf("%d%s", rapid.IntRange(2, 30).Draw(t, "amount"), rapid.SampledFrom([]string{"MiB", "M", "MB"}).Draw(t, "unit"))
				})).Draw(rt, "size")
			short = append(short, kind+amount)
		}
		c, err := Parse(node(t, table(label, parts(strings.Join(short, " ")))), Params{ImageSize: size})
		if err != nil {
			rt.Logf("%v", err)
			return
		}
		f, err := c.Fit(nil)
		if err != nil {
			rt.Fatal(err)
		}
		var want []seen
		path := image(t, size)
		d := f.Disks[0]
		switch label {
		case "mbr":
			m := d.MBR(1)
			pieces, err := m.Encode(nil)
			if err != nil {
				rt.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				rt.Fatal(err)
			}
			for _, p := range pieces {
				if _, err := file.WriteAt(p.Data, p.Off); err != nil {
					rt.Fatal(err)
				}
			}
			if err := file.Close(); err != nil {
				rt.Fatal(err)
			}
			if out := judge.Run(t, "sfdisk", "-V", path); !strings.Contains(out, "No errors detected") {
				rt.Errorf("sfdisk -V: %s", out)
			}
			for _, p := range d.Partitions {
				if p.Partition.Primary {
					want = append(want, seen{p.Place.Off / 512, p.Place.Len / 512})
				}
			}
			if d.Extended.Len > 0 {
				want = append(want, seen{d.Extended.Off / 512, d.Extended.Len / 512})
			}
			for _, p := range d.Partitions {
				if !p.Partition.Primary {
					want = append(want, seen{p.Place.Off / 512, p.Place.Len / 512})
				}
			}
		default:
			args := []string{path}
			for _, p := range d.Partitions {
				args = append(args, "-n", fmt.Sprintf("%d:0:+%dM", p.Partition.Number, p.Place.Len/mib))
				want = append(want, seen{p.Place.Off / 512, p.Place.Len / 512})
			}
			judge.Run(t, "sgdisk", args...)
			g := d.GPT(gpt.GUID{15: 1}, func(p *Partition) gpt.GUID { return gpt.GUID{14: 1, 15: byte(p.Number)} })
			if _, _, err := g.Encode(nil); err != nil {
				rt.Error(err)
			}
		}
		if d := cmp.Diff(want, sfdisk(t, path)); d != "" {
			rt.Errorf("%s (-ours +sfdisk's):\n%s", short, d)
		}
		if err := os.Remove(path); err != nil {
			rt.Fatal(err)
		}
	})
}

// Codes and words of types are sgdisk's and sfdisk's.
func TestTypes(t *testing.T) {
	judge.Path(t, "sgdisk")
	known := strings.ToLower(judge.Run(t, "sfdisk", "--label", "gpt", "-T"))
	for word, of := range rootlike {
		for arch, g := range of {
			if !strings.Contains(known, g) {
				t.Errorf("sfdisk does not know %s's type %s on %s", word, g, arch)
			}
		}
	}
	path := image(t, 64*mib)
	args := []string{path}
	var want []string
	for i, k := range gptTypes {
		args = append(args, "-n", fmt.Sprintf("%d:0:+1M", i+1), "-t", fmt.Sprintf("%d:%s", i+1, k.code))
		want = append(want, k.guid)
		g, why := gptType(strings.ToUpper(k.code), "")
		if why != "" || g.String() != k.guid {
			t.Errorf("%s is %s %s", k.code, g, why)
		}
	}
	judge.Run(t, "sgdisk", args...)
	var got struct {
		PartitionTable struct{ Partitions []struct{ Type string } }
	}
	if err := json.Unmarshal([]byte(judge.Run(t, "sfdisk", "-J", path)), &got); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, p := range got.PartitionTable.Partitions {
		types = append(types, strings.ToLower(p.Type))
	}
	if d := cmp.Diff(want, types); d != "" {
		t.Errorf("(-ours +sgdisk's):\n%s", d)
	}
}

func TestLargeSectors(t *testing.T) {
	text := strings.Replace(table("gpt", parts("g500MiB g8MiB g100")), "{name: disk}", "{name: disk, size: 4GiB, block_size: 4096}", 1)
	want := "disk 1048576\n1 g1 256+128000\n2 g2 128256+2048\n3 g3 130304+918016\nother 2097152\n"
	if got := fit(t, text, Params{}, nil); got != want {
		t.Errorf("got %s", got)
	}
	if got := fit(t, table("gpt", parts("g100")), Params{ImageSize: 1 << 30, BlockSize: 4096}, nil); got != "disk 262144\n1 g1 256+261632\nother 262144\n" {
		t.Errorf("got %s", got)
	}
}

// A disk without a size is as small as it can be.
func TestSmallest(t *testing.T) {
	for _, test := range []struct {
		summary, label, parts string
		needs                 Needs
		want                  string
	}{
		{"one partition", "gpt", "g100", Needs{"g1": 100 * mib}, "disk 208896\n1 g1 2048+204800\n"},
		{"odd content", "gpt", "g100", Needs{"g1": 100*mib + 1}, "disk 210944\n1 g1 2048+206848\n"},
		{"nothing in it", "gpt", "g100", nil, "disk 6144\n1 g1 2048+2048\n"},
		{"a share that needs most", "gpt", "g50 g100", Needs{"g1": 100 * mib, "g2": mib}, "disk 413696\n1 g1 2048+204800\n2 g2 206848+204800\n"},
		{"fit", "gpt", "gfit g10MiB g100", Needs{"g1": 5*mib + 1, "g3": 7 * mib}, "disk 51200\n1 g1 2048+12288\n2 g2 14336+20480\n3 g3 34816+14336\n"},
		{"MBR", "mbr", "pfit l10MiB l100", Needs{"p1": 5*mib + 1, "l3": 7 * mib}, "disk 53248\nextended 14336+38912\n1 p1 2048+12288\n5 l2 16384+20480\n6 l3 38912+14336\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			got := fit(t, table(test.label, parts(test.parts)), Params{}, test.needs)
			got, _, _ = strings.Cut(got, "other ")
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A disk found by search is enough for its contents, and one step less is not.
func TestSmallestIsSmallest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		label := rapid.SampledFrom([]string{"gpt", "mbr"}).Draw(rt, "label")
		needs := Needs{}
		var short []string
		for i := range rapid.IntRange(1, 4).Draw(rt, "partitions") {
			short = append(short, "p"+rapid.SampledFrom([]string{"10", "33.3", "50", "fit", "77", "20MiB", "95"}).Draw(rt, "size"))
			needs[fmt.Sprintf("p%d", i+1)] = rapid.Int64Range(0, 20*mib).Draw(rt, "need")
		}
		text := table(label, parts(strings.Join(short, " ")))
		if label == "gpt" {
			text = strings.ReplaceAll(text, "flags: [primary], ", "")
		}
		c := parse(t, text, Params{})
		f, err := c.Fit(needs)
		if err != nil {
			rt.Fatal(err)
		}
		for _, p := range f.Disks[0].Partitions {
			if p.Place.Len < needs[p.Partition.Name] {
				rt.Errorf("%s has %d of %d bytes", p.Partition.Name, p.Place.Len, needs[p.Partition.Name])
			}
		}
		size := f.Disks[0].Size
		d := c.Disks[0]
		d.Size, d.said = size, size
		if _, err := c.Fit(needs); err != nil {
			rt.Errorf("the same disk when its size is said: %v", err)
		}
		if size -= mib; size <= 0 {
			return
		}
		d.Size, d.said = size, size
		if f, err := c.Fit(needs); err == nil {
			rt.Errorf("a smaller disk is enough:\n%s", outline(f))
		}
	})
}

func TestForms(t *testing.T) {
	needs := Needs{"bios": 100_000, "mkfs_esp": 3 * mib, "mkfs_root": 500*mib + 1}
	for _, test := range []struct {
		form     string
		arch     string
		firmware []string
		want     string
	}{
		{"hybrid", "amd64", nil, "image0 1163264\n1 bios 2048+2048\n2 esp 4096+131072\n3 root 135168+1026048\n"},
		{"hybrid", "arm64", nil, "image0 1161216\n1 esp 2048+131072\n2 root 133120+1026048\n"},
		{"hybrid", "amd64", []string{"bios"}, "image0 1032192\n1 bios 2048+2048\n2 root 4096+1026048\n"},
		{"efi", "amd64", nil, "image0 1161216\n1 esp 2048+131072\n2 root 133120+1026048\n"},
		{"bios", "amd64", nil, "image0 1032192\n1 bios 2048+2048\n2 root 4096+1026048\n"},
		{"whole-disk", "arm64", nil, "image0 1026048\n"},
		{"hybrid-lvm", "amd64", []string{"bios", "uefi"}, "image0 1171456\n1 bios 2048+2048\n2 esp 4096+131072\n3 volumes 135168+1034240\nsystem 126 extents, 0 free: pv 126\nroot 528482304\n data: pv 0+126\n"},
	} {
		if d := cmp.Diff(test.want, fit(t, test.form, Params{Arch: test.arch, Firmware: test.firmware}, needs)); d != "" {
			t.Errorf("%s on %s (-want +got):\n%s", test.form, test.arch, d)
		}
	}
	for text, params := range map[string]Params{
		"1 «bios» layout bios starts by a BIOS, which arm64 machines do not have\n": {Arch: "arm64"},
		"1 «efi» layout efi does not start by firmware bios on amd64\n":             {Arch: "amd64", Firmware: []string{"bios"}},
	} {
		form := strings.Split(strings.Split(text, "«")[1], "»")[0]
		if got := problems(t, form, params); got != text {
			t.Errorf("%s: %s", form, got)
		}
	}
	for _, f := range Forms {
		text, err := FormText(f.Name, Params{Arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := dump(parse(t, text, Params{Arch: "amd64"})), dump(parse(t, f.Name, Params{Arch: "amd64"})); got != want {
			t.Errorf("%s is not what its text says", f.Name)
		}
	}
}

const onGroup = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
    - {name: root, flags: [boot, primary], size: 3G}
    - {name: data, flags: [primary], size: 1G}
    - {name: more, flags: [primary], size: 1G}
- lvm:
    name: lvm
    pvs: [{name: pv1, base: root}, {name: pv2, base: data}, {name: pv3, base: more}]
    vgs: [{name: vg, base: [pv1]}, {name: vg_data, base: [pv2, pv3]}]
    lvs:
    - {name: lv_root, base: vg, size: 1800M, mkfs: {type: ext4, name: fs_root, mount: {mount_point: /}}}
`

// Sizes of volumes are rounded down to 4 MiB as diskimage-builder rounds them.
func TestVolumePlaces(t *testing.T) {
	for _, test := range []struct{ summary, text, want string }{
		{"sizes", onGroup + `
    - {name: lv_tmp, base: vg, size: 100M}
    - {name: lv_var, base: vg, size: 500M}
    - {name: lv_home, base: vg, size: 200M}
    - {name: lv_data, base: vg_data, size: 2G}
`, `vg 715 extents, 97 free: pv1 715
lv_root 1799356416
 data: pv1 0+429
lv_tmp 96468992
 data: pv1 429+23
lv_var 499122176
 data: pv1 452+119
lv_home 197132288
 data: pv1 571+47
vg_data 476 extents, 0 free: pv2 238 pv3 238
lv_data 1996488704
 data: pv2 0+238
 data: pv3 0+238
`},
		{"extents", onGroup + `
    - {name: a, base: vg_data, extents: 28%VG}
    - {name: b, base: vg_data, extents: 10}
    - {name: c, base: vg_data, extents: 50%FREE}
    - {name: e, base: vg_data, extents: 90%PVS}
`, `vg 715 extents, 286 free: pv1 715
lv_root 1799356416
 data: pv1 0+429
vg_data 476 extents, 0 free: pv2 238 pv3 238
a 557842432
 data: pv2 0+133
b 41943040
 data: pv2 133+10
c 696254464
 data: pv2 143+95
 data: pv3 0+71
e 700448768
 data: pv3 71+167
`},
		{"stripes", onGroup + `
    - {name: a, base: vg_data, size: 500M, type: striped, stripe-size: 128KiB}
    - {name: b, base: vg_data, extents: 100%FREE, type: striped}
`, `vg 715 extents, 286 free: pv1 715
lv_root 1799356416
 data: pv1 0+429
vg_data 476 extents, 0 free: pv2 238 pv3 238
a 503316480
 data: pv2 0+60 pv3 0+60 in stripes of 131072
b 1493172224
 data: pv2 60+178 pv3 60+178 in stripes of 65536
`},
		{"thin", onGroup + `
    - {name: pool, base: vg, size: 1000MiB, type: thin-pool}
    - {name: a, base: vg, size: 2000MiB, type: thin, thin-pool: pool}
    - {name: b, base: vg_data, extents: 100%FREE, type: thin-pool}
`, `vg 715 extents, 34 free: pv1 715
lv_root 1799356416
 data: pv1 0+429
pool 1048576000
 data: pv1 429+250
 meta: pv1 679+1
a 2097152000
 spare: pv1 680+1
vg_data 476 extents, 0 free: pv2 238 pv3 238
b 1988100096
 data: pv2 0+238
 data: pv3 0+236
 meta: pv3 236+1
 spare: pv3 237+1
`},
	} {
		t.Run(test.summary, func(t *testing.T) {
			f, err := parse(t, test.text, Params{ImageSize: 6 << 30}).Fit(nil)
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(outline(f), "3 more ")
			_, got, _ = strings.Cut(got, "\n")
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, g := range f.Groups {
				writes(t, g)
			}
		})
	}
}

// writes has the writer of LVM take a group and put every byte where the places
// say.
func writes(t *testing.T, g FittedGroup) {
	t.Helper()
	ids := byte(0)
	identity := func(Node, string) lvm.ID {
		ids++
		return lvm.ID{ids}
	}
	all := func(v *LV) []disk.Extent { return []disk.Extent{{Len: 64 * kib}} }
	p, err := g.LVM(identity, all, 1).Plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range g.LVs {
		if v.LV.Type != Linear {
			continue
		}
		runs := slices.Collect(p.Map(v.LV.Name).Runs(disk.Extent{Len: 1 << 50}))
		if len(runs) != len(v.Segments) {
			t.Fatalf("%s lies in %d pieces", v.LV.Name, len(runs))
		}
		for i, s := range v.Segments {
			piece := s.Pieces[0]
			pv := g.PVs[runs[i].PV]
			if pv.PV != piece.PV || pv.Place.Off+runs[i].At != piece.Place.Off || runs[i].Len != piece.Place.Len {
				t.Errorf("%s lies at %+v, not at %+v", v.LV.Name, runs[i], piece)
			}
		}
	}
}

// Volumes that fit their contents make the disk fit.
func TestSmallestGroup(t *testing.T) {
	text := `
- local_loop: {name: d}
- partitioning: {base: d, label: gpt, partitions: [{name: a, size: 100MiB}, {name: b, size: fit}, {name: c, size: 100%}]}
- lvm:
    name: lvm
    pvs: [{name: pa, base: a}, {name: pb, base: b}, {name: pc, base: c}]
    vgs: [{name: vg, base: [pa, pb]}, {name: wg, base: [pc], extent-size: 1MiB}]
    lvs:
    - {name: r, base: vg, size: fit, mkfs: {type: ext4, mount: {mount_point: /}}}
    - {name: v, base: vg, extents: 25%VG, mkfs: {type: ext4, mount: {mount_point: /var}}}
    - {name: p, base: wg, type: thin-pool, size: fit}
    - {name: t, base: wg, type: thin, thin-pool: p, size: fit, least: 1GiB, mkfs: {type: ext4, mount: {mount_point: /srv}}}
`
	want := `d 681984
1 a 2048+204800
2 b 206848+419840
3 c 626688+53248
vg 75 extents, 0 free: pa 24 pb 51
r 239075328
 data: pa 0+24
 data: pb 0+33
v 75497472
 data: pb 33+18
wg 25 extents, 0 free: pc 25
p 22020096
 data: pc 0+21
 meta: pc 21+2
t 1073741824
 spare: pc 23+2
`
	got := fit(t, text, Params{}, Needs{"mkfs_r": 57 << 22, "mkfs_v": 10 * mib, "mkfs_t": 20*mib + 1})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What has a size of its own does not spare the other physical volume its stripes.
func TestStripesBesideFixed(t *testing.T) {
	text := func(fixed string) string {
		return `
- local_loop: {name: d, mkfs: {type: ext4, mount: {mount_point: /}}}
- local_loop: {name: e, partitioning: {label: gpt, partitions: [{name: a, size: ` + fixed + `}, {name: b, size: fit}, {name: c, size: fit}]}}
- lvm:
    name: lvm
    pvs: [{name: pa, base: a}, {name: pb, base: b}, {name: pc, base: c}]
    vgs: [{name: vg, base: [pa, pb, pc]}]
    lvs:
    - {name: s, base: vg, type: striped, size: 40MiB}
    - {name: l, base: vg, size: 8MiB}
`
	}
	for _, test := range []struct{ fixed, want string }{
		{"100MiB", "vg 34 extents, 22 free: pa 24 pb 5 pc 5\ns 41943040\n data: pa 0+5 pb 0+5 in stripes of 65536\nl 8388608\n data: pa 5+2\n"},
		{"10MiB", "vg 12 extents, 0 free: pa 2 pb 5 pc 5\ns 41943040\n data: pb 0+5 pc 0+5 in stripes of 65536\nl 8388608\n data: pa 0+2\n"},
	} {
		got := fit(t, text(test.fixed), Params{}, nil)
		if d := cmp.Diff(test.want, got[strings.Index(got, "vg "):]); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.fixed, d)
		}
	}
}

// A group on two disks of which none has a size: the last grows.
func TestGroupOnTwoDisks(t *testing.T) {
	text := `
- local_loop: {name: a, partitioning: {label: mbr, partitions: [{name: boot, flags: [primary, boot], size: 10MiB}, {name: pa, size: 100%, least: 20MiB, type: lvm}]}}
- local_loop: {name: b}
- lvm:
    name: lvm
    pvs: [{name: pv1, base: pa}, {name: pv2, base: b}]
    vgs: [{name: vg, base: [pv1, pv2]}]
    lvs:
    - {name: r, base: vg, extents: 100%FREE, mkfs: {type: ext4, mount: {mount_point: /}}}
`
	c := parse(t, text, Params{})
	f, err := c.Fit(Needs{"mkfs_r": 100 * mib})
	if err != nil {
		t.Fatal(err)
	}
	want := `a 65536
extended 22528+43008
1 boot 2048+20480
5 pa 24576+40960
b 174080
vg 25 extents, 0 free: pv1 4 pv2 21
r 104857600
 data: pv1 0+4
 data: pv2 0+21
`
	if d := cmp.Diff(want, outline(f)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	pa := c.Find("pa").(*Partition)
	on, place := f.Place(pa)
	if on.Name != "a" || place.Off != 24576*512 || f.Size(pa) != 20*mib || f.Size(c.Find("r")) != 100*mib || f.Size(c.Find("b")) != 85*mib || f.Size(c.Find("vg")) != 0 {
		t.Errorf("%s %v, %d, %d, %d", on.Name, place, f.Size(pa), f.Size(c.Find("r")), f.Size(c.Find("b")))
	}
	if p := f.Groups[0].LVs[0].Segments[1].Pieces[0]; p.Disk.Name != "b" || p.Place.Off != mib || p.Place.Len != 21<<22 {
		t.Errorf("%+v", p)
	}
	if !pa.Is("lvm") || pa.Is("linux") || pa.Is("bios") {
		t.Errorf("%+v", pa.Type)
	}
	if g := f.Disks[0].Gap(); g.Off != 512 || g.Len != mib-512 {
		t.Errorf("the gap is %v", g)
	}
	hybrid := parse(t, "hybrid", Params{Arch: "amd64"})
	if p := hybrid.Find("esp").(*Partition); !p.Is("esp") || p.Is("linux") || p.Is("") {
		t.Errorf("%+v", p.Type)
	}
}

func TestCannotFit(t *testing.T) {
	for _, test := range []struct {
		summary, text string
		size          int64
		want          string
	}{
		{"too large", table("gpt", parts("g600MiB g600MiB")), 1 << 30, "3 «600MiB» g2: size 600MiB is 600 MiB, and disk has 422 MiB left\n"},
		{"too large for an MBR", table("mbr", parts("p600MiB l600MiB")), 1 << 30, "3 «600MiB» l2: size 600MiB is 600 MiB, and disk has 422 MiB left\n"},
		{"nothing left", table("gpt", parts("g100 g1")), 1 << 30, "3 «1%» g2: size 1% is nothing: disk has 0 bytes left\n"},
		{"least", table("gpt", "{name: p, size: 50%, least: 600MiB}"), 1 << 30, "3 «50%» p: it has 511 MiB and needs 600 MiB\n"},
		{"behind 2 TiB", table("mbr", parts("p1TiB p100")), 4 << 40, "3 «100%» p2: MBR cannot say places behind 2048 GiB: divide the disk by GPT\n"},
		{"partitions of volumes", onGroup, 1 << 30, "7 «3G» root: size 3G is 2861.0 MiB (3000000000 bytes), and image0 has 1023 MiB left\n"},
		{"volumes", onGroup + "    - {name: a, base: vg_data, size: 2.1G}\n", 6 << 30, "16 «2.1G» a: size 2.1G is 2000 MiB, and vg_data has 1904 MiB left\n"},
		{"extents", onGroup + "    - {name: a, base: vg_data, extents: 477}\n", 6 << 30, "16 «477» a: size 477 is 1908 MiB, and vg_data has 1904 MiB left\n"},
		{"behind the whole of a disk of any size", table("gpt", parts("g100 gfit")), 0, "3 «fit» g2: size fit is 1 MiB, and disk has 0 bytes left\n"},
		{"stripes", onGroup + "    - {name: a, base: vg_data, extents: 10}\n    - {name: b, base: vg_data, extents: 460, type: striped}\n", 6 << 30, "17 «{name:» b: 2 physical volumes of vg_data with 230 free extents each are not there\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{ImageSize: test.size})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	// What depends on the contents is found when they are known.
	c := parse(t, table("gpt", parts("g50 g100")), Params{ImageSize: 1 << 30})
	_, err := c.Fit(Needs{"g2": 600 * mib})
	var p Problem
	if !errors.As(err, &p) || p.Node != "g2" || p.Key != "size" || p.Message != "g2: it has 511 MiB and needs 600 MiB" || p.At.Value != "100%" {
		t.Errorf("%#v", err)
	}
	_, err = parse(t, table("mbr", parts("p100")), Params{}).Fit(Needs{"p1": 3 << 40})
	if !errors.As(err, &p) || !strings.HasPrefix(p.Message, "p1: it has ") {
		t.Errorf("%v", err)
	}
}

func TestBytes(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64
	}{
		{"198", 198}, {"154MiB", 161480704}, {"1.2TB", 1200000000000}, {"1B", 1}, {"2K", 2000}, {"2KB", 2000}, {"2KiB", 2048},
		{"3M", 3000000}, {"3MB", 3000000}, {"3MiB", 3145728}, {"4G", 4000000000}, {"4GB", 4000000000}, {"4GiB", 4294967296},
		{"5T", 5000000000000}, {"5TB", 5000000000000}, {"5TiB", 5497558138880}, {"1 GiB", 1 << 30}, {".5MiB", 524288}, {"0.5KiB", 512}, {"1.5", 1}, {"1.", 1}, {"0", 0},
	} {
		if got, err := ParseBytes(test.text); err != nil || got != test.want {
			t.Errorf("%q: %d %v, want %d", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"747InVaLiDUnIt", "_+!HuHi+-=", "", "GiB", "1.2.3", "-1", "1e3", "1k", "1mb", "1  M", "50%", "1M ", "100000TiB", "99999999999999999999T", "0x10"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
