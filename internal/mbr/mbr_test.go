package mbr

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/judge"
)

// write puts the table into a sparse file that held something else before.
func write(t testing.TB, table Table, bootCode []byte) string {
	t.Helper()
	pieces, err := table.Encode(bootCode)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(table.Sectors * table.SectorSize); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := f.WriteAt(p.Data, p.Off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

const mib = 2048 // sectors

func primary(n int, start, sectors int64) Partition {
	return Partition{Number: n, Type: 0x83, Start: start, Sectors: sectors}
}

// disk is a table of 1 GiB, aligned to 1 MiB, with primary partitions first and
// logical ones behind, each of so many MiB.
func disk(primaries, logicals int, size int64) Table {
	t := Table{ID: 0x12345678, SectorSize: 512, Sectors: 1024 * mib}
	next := int64(mib)
	for i := range primaries {
		t.Partitions = append(t.Partitions, primary(i+1, next, size*mib))
		next += size * mib
	}
	if logicals > 0 {
		t.Extended = &Partition{Number: primaries + 1, Type: ExtendedLBA, Start: next, Sectors: t.Sectors - next}
	}
	for i := range logicals {
		t.Partitions = append(t.Partitions, Partition{Number: FirstLogical + i, Type: 0x83, Start: next + mib, Sectors: size * mib, Record: next})
		next += (1 + size) * mib
	}
	return t
}

func mixed() Table {
	t := disk(2, 3, 20)
	t.Partitions[0].Active = true
	t.Partitions[1].Type = 0xEF
	t.Partitions[3].Type = 0x82
	t.Partitions[4].Type = 0x8E
	return t
}

// read gives a table as text, as sfdisk -J reads it.
func read(t testing.TB, path string) string {
	t.Helper()
	var got struct {
		PartitionTable struct {
			Label, ID, Unit string
			SectorSize      int64
			Partitions      []struct {
				Node, Type  string
				Start, Size int64
				Bootable    bool
			}
		}
	}
	if err := json.Unmarshal([]byte(judge.Run(t, "sfdisk", "-J", path)), &got); err != nil {
		t.Fatal(err)
	}
	p := got.PartitionTable
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %d\n", p.Label, p.ID, p.Unit, p.SectorSize)
	for _, q := range p.Partitions {
		fmt.Fprintf(&b, "%s %s %d %d %t\n", strings.TrimPrefix(q.Node, path), q.Type, q.Start, q.Size, q.Bootable)
	}
	return b.String()
}

// verify has sfdisk say that there are no errors, and fdisk nothing but the table.
func verify(t testing.TB, path string) {
	t.Helper()
	if out := judge.Run(t, "sfdisk", "-V", path); !strings.Contains(out, "No errors detected") || strings.Contains(out, "Warning") {
		t.Errorf("sfdisk -V: %s", out)
	}
	if out := judge.Run(t, "fdisk", "-l", path); !strings.Contains(out, "Disklabel type: dos") || strings.Contains(out, "boundary") {
		t.Errorf("fdisk -l: %s", out)
	}
}

func TestJudgesAcceptTable(t *testing.T) {
	path := write(t, mixed(), []byte("boot code"))
	verify(t, path)
	want := `dos 0x12345678 sectors 512
1 83 2048 40960 true
2 ef 43008 40960 false
3 f 83968 2013184 false
5 83 86016 40960 false
6 82 129024 40960 false
7 8e 172032 40960 false
`
	if d := cmp.Diff(want, read(t, path)); d != "" {
		t.Errorf("sfdisk -J reads another table (-want +got):\n%s", d)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "boot code\x00") {
		t.Errorf("boot code is not at the start: %q", b[:16])
	}
}

// partx is the kernel's view. The tables are those that diskimage-builder's own
// tests have: 10 MiB each on a disk of 1 GiB.
func TestPartx(t *testing.T) {
	lines := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		return b.String()
	}
	typed := disk(1, 0, 10)
	typed.Partitions[0].Type = 0x0C
	for _, test := range []struct {
		summary string
		table   Table
		want    string
	}{
		{"nothing", disk(0, 0, 10), ""},
		{"one logical", disk(0, 1, 10), "1 2048 2097151 0xf\n5 4096 24575 0x83\n"},
		{"64 logical", disk(0, 64, 10), "1 2048 2097151 0xf\n" + lines(64, func(i int) string {
			return fmt.Sprintf("%d %d %d 0x83", 5+i, 4096+i*22528, 4096+i*22528+20479)
		})},
		{"one primary", disk(1, 0, 10), "1 2048 22527 0x83\n"},
		{"three primary", disk(3, 0, 10), "1 2048 22527 0x83\n2 22528 43007 0x83\n3 43008 63487 0x83\n"},
		{"three primary, seven logical", disk(3, 7, 10), "1 2048 22527 0x83\n2 22528 43007 0x83\n3 43008 63487 0x83\n4 63488 2097151 0xf\n" +
			lines(7, func(i int) string {
				return fmt.Sprintf("%d %d %d 0x83", 5+i, 65536+i*22528, 65536+i*22528+20479)
			})},
		{"a type", typed, "1 2048 22527 0xc\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			path := write(t, test.table, nil)
			var got strings.Builder
			for line := range strings.Lines(judge.Run(t, "partx", "--raw", "--noheadings", "--output", "NR,START,END,TYPE", path)) {
				got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
			}
			if d := cmp.Diff(test.want, got.String()); d != "" {
				t.Errorf("partx reads another table (-want +got):\n%s", d)
			}
		})
	}
}

func TestLargeSectors(t *testing.T) {
	table := Table{ID: 1, SectorSize: 4096, Sectors: 1024 * 256,
		Partitions: []Partition{primary(1, 256, 2560), {Number: 5, Type: 0x83, Record: 2816, Start: 3072, Sectors: 2560}},
		Extended:   &Partition{Number: 2, Type: ExtendedLBA, Start: 2816, Sectors: 1024*256 - 2816}}
	path := write(t, table, nil)
	var got strings.Builder
	for line := range strings.Lines(judge.Run(t, "fdisk", "-b", "4096", "-o", "Device,Start,End,Sectors,Id", "-l", path)) {
		if rest, ok := strings.CutPrefix(line, path); ok {
			got.WriteString(strings.Join(strings.Fields(rest), " ") + "\n")
		}
	}
	want := "1 256 2815 2560 83\n2 2816 262143 259328 f\n5 3072 5631 2560 83\n"
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("fdisk reads another table (-want +got):\n%s", d)
	}
}

func TestOldAddresses(t *testing.T) {
	for sector, want := range map[int64]string{
		0: "000100", 62: "003f00", 63: "010100", 2048: "202100", 63*255 - 1: "fe3f00", 63 * 255: "000101",
		63 * 255 * 256: "004100", 63*255*1024 - 1: "feffff", 63 * 255 * 1024: "feffff", 1 << 31: "feffff",
	} {
		var b [3]byte
		chs(b[:], sector)
		if got := fmt.Sprintf("%x", b); got != want {
			t.Errorf("sector %d: %s, want %s", sector, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		summary string
		change  func(*Table)
		want    string
	}{
		{"odd sector size", func(t *Table) { t.SectorSize = 1024 }, "neither 512 nor 4096"},
		{"no disk", func(t *Table) { t.Sectors = 0 }, "a disk of 0 sectors"},
		{"no signature", func(t *Table) { t.ID = 0 }, "no disk signature"},
		{"number 0", func(t *Table) { t.Partitions[0].Number = 0 }, "numbers go from 1 to 128"},
		{"number twice", func(t *Table) { t.Partitions[0].Number = 2 }, "partition 2: the number is used twice"},
		{"the extended one's number twice", func(t *Table) { t.Partitions[0].Number = 3 }, "partition 3: the number is used twice"},
		{"no type", func(t *Table) { t.Partitions[0].Type = 0 }, "type 0"},
		{"a second extended one", func(t *Table) { t.Partitions[0].Type = 0x85 }, "is one of an extended partition"},
		{"extended without its type", func(t *Table) { t.Extended.Type = 0x83 }, "is not one of an extended partition"},
		{"extended as a logical one", func(t *Table) { t.Extended.Number = 9 }, "has a number from 1 to 4"},
		{"over the first sector", func(t *Table) { t.Partitions[0].Start = 0 }, "do not lie in 1 to"},
		{"over the end", func(t *Table) { t.Extended.Sectors++ }, "do not lie in 1 to"},
		{"far over the end", func(t *Table) { t.Partitions[0].Sectors = 1<<63 - 1 }, "do not lie in 1 to"},
		{"overlap", func(t *Table) { t.Partitions[0].Sectors++ }, "partitions 1 and 2 overlap"},
		{"overlap with the extended one", func(t *Table) { t.Partitions[1].Sectors++ }, "partitions 2 and 3 overlap"},
		{"no extended one", func(t *Table) { t.Extended = nil }, "no extended partition"},
		{"a gap in the numbers", func(t *Table) { t.Partitions[3].Number = 9 }, "has no partition 6"},
		{"first record elsewhere", func(t *Table) { t.Partitions[2].Record++ }, "not at the start of the extended"},
		{"record in the partition before", func(t *Table) { t.Partitions[3].Record-- }, "does not lie between"},
		{"record in the partition", func(t *Table) { t.Partitions[3].Record = t.Partitions[3].Start }, "does not lie between"},
		{"out of the extended one", func(t *Table) { t.Extended.Sectors = 60 * mib }, "ends behind the extended"},
		{"two active", func(t *Table) { t.Partitions[1].Active = true }, "2 partitions are active"},
		{"behind 2 TiB", func(t *Table) {
			t.Sectors = 1 << 34
			t.Partitions = []Partition{primary(1, 1<<32, 1)}
		}, "cannot be said in 32 bits"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			table := mixed()
			test.change(&table)
			if _, err := table.Encode(nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := mixed().Encode(make([]byte, 441)); err == nil {
		t.Error("441 bytes of boot code are accepted")
	}
}

// Random tables that Encode accepts are read back as they were meant.
func TestRandomTables(t *testing.T) {
	judge.Path(t, "sfdisk")
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > 40 { // each runs programs
			return
		}
		table := Table{ID: rapid.Uint32Range(1, 1<<32-1).Draw(rt, "signature"), SectorSize: 512}
		kind := rapid.ByteRange(1, 255).Filter(func(b byte) bool { return !IsExtended(b) && b != 0xEE })
		size := rapid.Int64Range(1, 1<<24)
		gap := rapid.Int64Range(0, 5000)
		next := rapid.Int64Range(1, 5000).Draw(rt, "first")
		primaries := rapid.IntRange(0, 4).Draw(rt, "primaries")
		for i := range primaries {
			p := Partition{Number: i + 1, Type: kind.Draw(rt, "type"), Start: next, Sectors: size.Draw(rt, "size")}
			table.Partitions = append(table.Partitions, p)
			next = p.end() + gap.Draw(rt, "gap")
		}
		if primaries < 4 && rapid.Bool().Draw(rt, "extended") {
			// libfdisk reads 60 partitions and no more.
			x := &Partition{Number: primaries + 1, Type: ExtendedLBA, Start: next}
			for i := range rapid.IntRange(1, 50).Draw(rt, "logicals") {
				record := next
				if i > 0 {
					record += gap.Draw(rt, "gap")
				}
				p := Partition{Number: FirstLogical + i, Type: kind.Draw(rt, "type"), Record: record, Start: record + 1 + gap.Draw(rt, "gap"), Sectors: size.Draw(rt, "size")}
				table.Partitions = append(table.Partitions, p)
				next = p.end()
			}
			x.Sectors = next - x.Start
			table.Extended = x
		}
		if len(table.Partitions) > 0 && rapid.Bool().Draw(rt, "active") {
			table.Partitions[rapid.IntRange(0, len(table.Partitions)-1).Draw(rt, "which")].Active = true
		}
		table.Sectors = next + gap.Draw(rt, "gap")
		path := write(t, table, nil)
		var want strings.Builder
		fmt.Fprintf(&want, "dos %#08x sectors 512\n", table.ID)
		line := func(p Partition) {
			fmt.Fprintf(&want, "%d %x %d %d %t\n", p.Number, p.Type, p.Start, p.Sectors, p.Active)
		}
		for _, p := range table.Partitions {
			if !p.Logical() {
				line(p)
			}
		}
		if table.Extended != nil {
			line(*table.Extended)
		}
		for _, p := range table.logical() {
			line(p)
		}
		if d := cmp.Diff(want.String(), read(t, path)); d != "" {
			rt.Errorf("sfdisk -J reads another table (-want +got):\n%s", d)
		}
		if out := judge.Run(t, "sfdisk", "-V", path); !strings.Contains(out, "No errors detected") {
			rt.Errorf("sfdisk -V: %s", out)
		}
		if err := os.Remove(path); err != nil {
			rt.Fatal(err)
		}
	})
}
