package gpt

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/judge"
)

func guid(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

var (
	linuxData = guid("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	esp       = guid("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	biosBoot  = guid("21686148-6449-6E6F-744E-656564454649")
)

// write puts the table into a sparse file.
func write(t testing.TB, table Table, bootCode []byte) string {
	t.Helper()
	head, tail, err := table.Encode(bootCode)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	size := table.Sectors * table.SectorSize
	for _, step := range []error{f.Truncate(size), at(f, head, 0), at(f, tail, size-int64(len(tail))), f.Close()} {
		if step != nil {
			t.Fatal(step)
		}
	}
	return path
}

func at(f *os.File, b []byte, off int64) error {
	_, err := f.WriteAt(b, off)
	return err
}

func hybrid() Table {
	const mib = 2048
	return Table{
		GUID: guid("11111111-2222-4333-8444-555555555555"), SectorSize: 512, Sectors: 300 * mib,
		Partitions: []Partition{
			{Number: 1, Type: biosBoot, GUID: guid("a0000000-0000-4000-8000-000000000001"), Name: "bios", Start: 1 * mib, Sectors: mib},
			{Number: 2, Type: esp, GUID: guid("a0000000-0000-4000-8000-000000000002"), Name: "EFI system: Ünïcode 🥇", Start: 2 * mib, Sectors: 64 * mib},
			{Number: 5, Type: linuxData, GUID: guid("a0000000-0000-4000-8000-000000000003"), Name: strings.Repeat("x", 36), Attrs: 1<<2 | 1<<60, Start: 66 * mib, Sectors: 233 * mib},
		},
	}
}

func TestJudgesAcceptTable(t *testing.T) {
	path := write(t, hybrid(), []byte("boot code"))
	if out := judge.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found.") {
		t.Errorf("sgdisk -v: %s", out)
	}
	if out := judge.Run(t, "sfdisk", "-V", path); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk -V: %s", out)
	}
	var got struct {
		PartitionTable struct {
			Label, ID, Unit               string
			FirstLBA, LastLBA, SectorSize int64
			Partitions                    []struct {
				Node, Type, UUID, Name, Attrs string
				Start, Size                   int64
			}
		}
	}
	if err := json.Unmarshal([]byte(judge.Run(t, "sfdisk", "-J", path)), &got); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for i := range got.PartitionTable.Partitions {
		got.PartitionTable.Partitions[i].Node = strings.TrimPrefix(got.PartitionTable.Partitions[i].Node, path)
		if err := enc.Encode(got.PartitionTable.Partitions[i]); err != nil {
			t.Fatal(err)
		}
	}
	got.PartitionTable.Partitions = nil
	if err := enc.Encode(got.PartitionTable); err != nil {
		t.Fatal(err)
	}
	want := `{"Node":"1","Type":"21686148-6449-6E6F-744E-656564454649","UUID":"A0000000-0000-4000-8000-000000000001","Name":"bios","Attrs":"","Start":2048,"Size":2048}
{"Node":"2","Type":"C12A7328-F81F-11D2-BA4B-00A0C93EC93B","UUID":"A0000000-0000-4000-8000-000000000002","Name":"EFI system: Ünïcode 🥇","Attrs":"","Start":4096,"Size":131072}
{"Node":"5","Type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4","UUID":"A0000000-0000-4000-8000-000000000003","Name":"` + strings.Repeat("x", 36) + `","Attrs":"LegacyBIOSBootable GUID:60","Start":135168,"Size":477184}
{"Label":"gpt","ID":"11111111-2222-4333-8444-555555555555","Unit":"sectors","FirstLBA":34,"LastLBA":614366,"SectorSize":512,"Partitions":null}
`
	if d := cmp.Diff(want, text.String()); d != "" {
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

// The backup alone must be enough: a judge repairs the disk from it.
func TestBackupIsWhole(t *testing.T) {
	path := write(t, hybrid(), nil)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := at(f, make([]byte, 33*512), 512); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "gdisk"), path)
	cmd.Stdin = strings.NewReader("r\nb\nc\ny\nw\ny\n") // recovery: rebuild main header and main array from the backup
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gdisk: %v\n%s", err, out)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before[512:34*512]) != string(after[512:34*512]) {
		t.Error("gdisk rebuilt another main table from the backup")
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		summary string
		change  func(*Table)
		want    string
	}{
		{"odd sector size", func(t *Table) { t.SectorSize = 1024 }, "sectors of 1024 bytes are neither 512 nor 4096"},
		{"tiny disk", func(t *Table) { t.Sectors = 60 }, "too small"},
		{"negative disk", func(t *Table) { t.Sectors = -1 }, "too small"},
		{"number 0", func(t *Table) { t.Partitions[0].Number = 0 }, "numbers go from 1 to 128"},
		{"number twice", func(t *Table) { t.Partitions[0].Number = 5 }, "partition 5: the number is used twice"},
		{"no type", func(t *Table) { t.Partitions[1].Type = GUID{} }, "partition 2: no type"},
		{"GUID twice", func(t *Table) { t.Partitions[1].GUID = t.Partitions[0].GUID }, "is empty or used twice"},
		{"over the header", func(t *Table) { t.Partitions[0].Start = 33 }, "do not lie in 34 to"},
		{"over the backup", func(t *Table) { t.Partitions[2].Sectors = 1 << 62 }, "do not lie in 34 to"},
		{"overlap", func(t *Table) { t.Partitions[0].Sectors = 2049 }, "partitions 1 and 2 overlap"},
		{"long name", func(t *Table) { t.Partitions[0].Name = strings.Repeat("🥇", 19) }, "does not fit in 36"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			table := hybrid()
			test.change(&table)
			_, _, err := table.Encode(nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
	if _, _, err := hybrid().Encode(make([]byte, 441)); err == nil {
		t.Error("441 bytes of boot code are accepted")
	}
}

func TestParseGUID(t *testing.T) {
	for _, s := range []string{"", "0FC63DAF84834772-8E79-3D69D8477DE4xxxx", "0FC63DAF-8483-4772-8E79-3D69D8477DEG", strings.Repeat("-", 36)} {
		if g, err := ParseGUID(s); err == nil {
			t.Errorf("%q is read as %s", s, g)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var g GUID
		copy(g[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		for _, s := range []string{g.String(), g.Upper()} {
			if back, err := ParseGUID(s); err != nil || back != g {
				t.Fatalf("%s reads back as %s, %v", s, back, err)
			}
		}
	})
}

// Random tables that Encode accepts are ones that sgdisk accepts.
func TestRandomTables(t *testing.T) {
	judge.Path(t, "sgdisk")
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > 25 { // each runs a program
			return
		}
		table := Table{GUID: guid("11111111-2222-4333-8444-555555555555"), SectorSize: 512}
		next := int64(2048)
		for i := range rapid.IntRange(0, 128).Draw(rt, "partitions") {
			var g GUID
			g[0], g[1] = 1, byte(i)
			size := rapid.Int64Range(1, 1<<16).Draw(rt, "MiB") * 2048
			table.Partitions = append(table.Partitions, Partition{
				Number: i + 1, Type: linuxData, GUID: g, Name: rapid.StringN(0, 18, 36).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }).Draw(rt, "name"),
				Attrs: rapid.Uint64().Draw(rt, "attributes"), Start: next, Sectors: size})
			next += size
		}
		table.Sectors = next + 2048
		path := write(t, table, nil)
		if out := judge.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found.") {
			rt.Errorf("sgdisk -v: %s", out)
		}
		if err := os.Remove(path); err != nil {
			rt.Fatal(err)
		}
	})
}
