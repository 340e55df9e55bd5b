package lvm

import (
	cmp2 "cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/disk"
	"ingot/internal/judge"
)

func id(n byte) ID { return ID{n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff} }

// write makes a file of each physical volume, and writes a pattern to each run.
func write(t *testing.T, g Group, p *Planned, pattern func(lv string, off, n int64) []byte) []string {
	t.Helper()
	var names []string
	var files []*os.File
	for i, pv := range g.PVs {
		f, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprintf("pv%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(pv.Size); err != nil {
			t.Fatal(err)
		}
		files, names = append(files, f), append(names, f.Name())
	}
	for _, h := range p.Heads {
		if _, err := files[h.PV].WriteAt(h.Data, h.At); err != nil {
			t.Fatal(err)
		}
	}
	for _, lv := range g.LVs {
		if lv.Kind == ThinPool {
			continue
		}
		for r := range p.Map(lv.Name).Runs(disk.Extent{Len: lv.Extents * g.ExtentSize}) {
			if _, err := files[r.PV].WriteAt(pattern(lv.Name, r.Off, r.Len), r.At); err != nil {
				t.Fatal(err)
			}
		}
	}
	return names
}

func TestThinMetadata(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	scattered := func(n int) []disk.Extent {
		var out []disk.Extent
		for range n {
			out = append(out, disk.Extent{Off: random.Int64N(20 << 30), Len: 1 + random.Int64N(300<<10)})
		}
		return out
	}
	for _, c := range []struct {
		summary string
		volumes [][]disk.Extent
	}{
		{"no volume", nil},
		{"an empty volume", [][]disk.Extent{nil}},
		{"a byte", [][]disk.Extent{{{Off: 5, Len: 1}}}},
		{"a leaf and one more", [][]disk.Extent{{{Off: 0, Len: 253 * chunk}}}},
		{"two volumes", [][]disk.Extent{{{Off: 0, Len: 1 << 20}, {Off: 1 << 30, Len: 3 << 20}}, {{Off: 70 << 10, Len: 8 << 30}}}},
		{"scattered", [][]disk.Extent{scattered(3000), scattered(10), scattered(20000)}},
	} {
		t.Run(c.summary, func(t *testing.T) {
			const extents = 29 << 8
			g := Group{Name: "vg", ID: id(1), ExtentSize: extent, PVs: []PV{pv(2, 30<<8, 0)}, LVs: []LV{{
				Name: "pool", ID: id(3), Kind: ThinPool, Extents: extents, Segments: []Segment{one(0, 8, extents)},
				Meta: []Segment{one(0, 0, 8)}, Chunk: chunk, MetaID: id(4), DataID: id(5),
			}}}
			for i, w := range c.volumes {
				g.LVs = append(g.LVs, LV{Name: fmt.Sprintf("v%d", i), ID: id(byte(10 + i)), Kind: Thin, Pool: "pool", Extents: 25 << 8, Written: w})
			}
			p, err := g.Plan()
			if err != nil {
				t.Fatal(err)
			}
			volume := write(t, g, p, func(string, int64, int64) []byte { return nil })[0]
			meta := filepath.Join(t.TempDir(), "meta")
			copyPart(t, meta, volume, DataStart, 8*extent)
			judge.Run(t, "thin_check", meta)
			dump := judge.Run(t, "thin_dump", meta)
			if got := strings.Count(dump, "<device "); got != len(c.volumes) {
				t.Errorf("thin_dump shows %d volumes:\n%.2000s", got, dump)
			}
			for i, w := range c.volumes {
				var chunks int64
				for _, e := range disk.Round(w, chunk) {
					chunks += e.Len / chunk
				}
				if want := fmt.Sprintf(`<device dev_id="%d" mapped_blocks="%d" transaction="%d"`, i+1, chunks, i); !strings.Contains(dump, want) {
					t.Errorf("thin_dump does not show %s:\n%.2000s", want, dump)
				}
			}
		})
	}
}

func copyPart(t *testing.T, to, from string, off, n int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b := make([]byte, n)
	if _, err := in.ReadAt(b, off); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What LVM's own checker of files reads: the label, the metadata area, and the text,
// which testdata holds for people to see. Set INGOT_GOLDEN=write to write it anew.
func TestPvck(t *testing.T) {
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	for _, g := range groups() {
		t.Run(g.Name, func(t *testing.T) {
			p, err := g.Plan()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", g.Name+".txt")
			for i, pv := range write(t, g, p, zeros) {
				out := judge.Run(t, "pvck", "--driverloaded", "n", "--dump", "headers", pv)
				for _, want := range []string{
					"label_header at 512", fmt.Sprintf("pv_header.pv_uuid %s", g.PVs[i].ID.raw()), fmt.Sprintf("pv_header.device_size %d", g.PVs[i].Size),
					"mda_header_1 at 4096", "metadata text at 4608 crc 0x", "# vgname " + g.Name + " seqno 1",
				} {
					if !strings.Contains(out, want) {
						t.Errorf("pvck does not say %q:\n%s", want, out)
					}
				}
				if strings.Contains(strings.ToUpper(out), "CHECK:") || strings.Contains(out, "invalid") {
					t.Errorf("pvck complains:\n%s", out)
				}
				_, text, _ := strings.Cut(judge.Run(t, "pvck", "--driverloaded", "n", "--dump", "metadata", pv), "---\n")
				text, _, _ = strings.Cut(text, "\n  ---")
				if os.Getenv("INGOT_GOLDEN") == "write" {
					if err := os.WriteFile(golden, []byte(text), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), text); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What LVM says of groups on devices, and that it can go on with them. The kernel's part,
// the volumes themselves, is judged in a machine by whoever boots one.
func TestGroups(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root runs this: LVM reads block devices alone, and loop devices are root's")
	}
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	want := map[string]string{
		"linear":        "root linear 12\nvar linear 8\n",
		"spanned":       "a linear 21\na linear 29\nb linear 11\nb linear 39\n",
		"striped":       "a striped 20\nb striped 3\n",
		"small-extents": "a-b linear 56\n",
		"thin":          "[lvol0_pmspare] linear 1\npool thin-pool 60\n[pool_tdata] linear 19\n[pool_tdata] linear 40\n[pool_tdata] linear 1\n[pool_tmeta] linear 1\nroot thin 1000\nvar thin 10\n",
	}
	for _, g := range groups() {
		t.Run(g.Name, func(t *testing.T) {
			p, err := g.Plan()
			if err != nil {
				t.Fatal(err)
			}
			var loops []string
			for _, pv := range write(t, g, p, zeros) {
				out, err := exec.CommandContext(t.Context(), "losetup", "-f", "--show", pv).Output()
				if err != nil {
					t.Skipf("loop devices make this run: %v", err)
				}
				loop := strings.TrimSpace(string(out))
				defer func() { judge.Run(t, "losetup", "-d", loop) }()
				loops = append(loops, loop)
			}
			lvm := func(args ...string) string {
				return judge.Run(t, args[0], append([]string{"--driverloaded", "n", "--nolocking", "--devices", strings.Join(loops, ",")}, args[1:]...)...)
			}
			lvm("vgck", g.Name)
			var got strings.Builder
			for line := range strings.Lines(lvm("lvs", "-a", "--noheadings", "-o", "lv_name,segtype,seg_size_pe", g.Name)) {
				if f := strings.Fields(line); len(f) == 3 {
					fmt.Fprintln(&got, f[0], f[1], f[2])
				}
			}
			if diff := cmp.Diff(want[g.Name], got.String()); diff != "" {
				t.Errorf("lvs (-want +got):\n%s", diff)
			}
			if free := strings.Fields(lvm("vgs", "--noheadings", "-o", "vg_free_count", g.Name)); free[len(free)-1] != "0" {
				lvm("lvcreate", "-an", "-Zn", "-Wn", "-l", "1", "-n", "more", g.Name)
				lvm("vgck", g.Name)
			}
		})
	}
}

// Wherever volumes lie, no two places are the same, and none is outside of the room
// for data.
func TestPlaces(t *testing.T) {
	for _, g := range groups() {
		p, err := g.Plan()
		if err != nil {
			t.Fatal(err)
		}
		type place struct {
			disk.Extent
			of string
		}
		taken := make([][]place, len(g.PVs))
		for _, h := range p.Heads {
			taken[h.PV] = append(taken[h.PV], place{disk.Extent{Off: h.At, Len: int64(len(h.Data))}, "metadata"})
		}
		for _, lv := range g.LVs {
			var at int64
			for r := range p.Map(lv.Name).Runs(disk.Extent{Len: lv.Extents * g.ExtentSize}) {
				if lv.Kind == ThinPool {
					t.Errorf("%s: pool %s has places of its own", g.Name, lv.Name)
				}
				if r.Off < at || r.Len <= 0 || lv.Kind != Thin && r.Off != at || r.End() > lv.Extents*g.ExtentSize {
					t.Errorf("%s/%s: after %d follows %+v", g.Name, lv.Name, at, r)
				}
				at = r.End()
				taken[r.PV] = append(taken[r.PV], place{disk.Extent{Off: r.At, Len: r.Len}, lv.Name})
			}
			if lv.Kind == Plain && at != lv.Extents*g.ExtentSize {
				t.Errorf("%s/%s ends at %d of %d", g.Name, lv.Name, at, lv.Extents*g.ExtentSize)
			}
			for _, e := range lv.Written {
				if runs := slices.Collect(p.Map(lv.Name).Runs(e)); len(runs) == 0 || runs[0].Off != e.Off || runs[len(runs)-1].End() != e.End() {
					t.Errorf("%s/%s: %+v lies in %+v", g.Name, lv.Name, e, runs)
				}
			}
		}
		for pv, places := range taken {
			slices.SortFunc(places, func(a, b place) int { return cmp2.Compare(a.Off, b.Off) })
			for i := 1; i < len(places); i++ {
				if places[i].Off < places[i-1].End() {
					t.Errorf("%s: on physical volume %d, %s and %s overlap at %d", g.Name, pv, places[i-1].of, places[i].of, places[i].Off)
				}
			}
			if n := len(places); n > 0 && places[n-1].End() > DataStart+g.PVs[pv].Extents*g.ExtentSize {
				t.Errorf("%s: %s goes beyond physical volume %d", g.Name, places[n-1].of, pv)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	good := func(change func(*Group)) Group {
		g := Group{Name: "vg", ExtentSize: extent, PVs: []PV{pv(2, 10, 0), pv(3, 10, 0)}, LVs: []LV{
			{Name: "a", Kind: Plain, Extents: 2, Segments: []Segment{one(0, 0, 2)}},
			{Name: "p", Kind: ThinPool, Extents: 1, Segments: []Segment{one(0, 3, 1)}, Meta: []Segment{one(0, 4, 1)}, Chunk: chunk},
			{Name: "t", Kind: Thin, Pool: "p", Extents: 4},
		}}
		change(&g)
		return g
	}
	for _, c := range []struct {
		want string
		g    Group
	}{
		{"", good(func(*Group) {})},
		{`group name "-x" wants letters`, good(func(g *Group) { g.Name = "-x" })},
		{"extents of 5000 bytes", good(func(g *Group) { g.ExtentSize = 5000 })},
		{"physical volume 1 of group vg has 42987520 bytes and 10 extents", good(func(g *Group) { g.PVs[1].Size += 12 << 10; g.PVs[1].Size -= 16 << 10 })},
		{"the name is of LVM's own", good(func(g *Group) { g.LVs[0].Name = "a_tmeta" })},
		{"there twice", good(func(g *Group) { g.LVs[0].Name = "t" })},
		{"extents 0 to 11 are not on physical volume 0", good(func(g *Group) { g.LVs[0].Extents = 11; g.LVs[0].Segments[0].Extents = 11 })},
		{"are not on physical volume 2", good(func(g *Group) { g.LVs[0].Segments[0].Pieces[0].PV = 2 })},
		{"extent 1 of physical volume 0 is lvol0_pmspare's too", good(func(g *Group) { g.Spare = []Segment{one(0, 1, 1)} })},
		{"2 extents lie in 1", good(func(g *Group) { g.LVs[0].Segments[0].Extents = 1 })},
		{"0 extents", good(func(g *Group) { g.LVs[0].Extents = 0 })},
		{"a segment of 2 extents in 0 pieces", good(func(g *Group) { g.LVs[0].Segments[0].Pieces = nil })},
		{"stripes of 5000 bytes", good(func(g *Group) { g.LVs[0].Segments[0] = Segment{2, 5000, []Piece{{0, 0}, {1, 0}}} })},
		{`no pool "q"`, good(func(g *Group) { g.LVs[2].Pool = "q" })},
		{`no kind "raid"`, good(func(g *Group) { g.LVs[0].Kind = "raid" })},
		{"chunks of 4096 bytes", good(func(g *Group) { g.LVs[1].Chunk = 4096 })},
		{"needs more than its 64 chunks", good(func(g *Group) { g.LVs[2].Written = []disk.Extent{{Len: 5 << 20}} })},
		{"are not in its 4 extents", good(func(g *Group) { g.LVs[2].Written = []disk.Extent{{Off: 16 << 20, Len: 1}} })},
		{"its metadata need", good(func(g *Group) { g.LVs[1].Meta = nil })},
	} {
		if _, err := c.g.Plan(); c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func zeros(_ string, _, n int64) []byte { return make([]byte, n) }

const (
	extent = 4 << 20
	chunk  = 64 << 10
)

func pv(n byte, extents, more int64) PV {
	return PV{id(n), DataStart + extents*extent + more, extents}
}

func one(pv int, at, n int64) Segment { return Segment{Extents: n, Pieces: []Piece{{pv, at}}} }

func groups() []Group {
	pvs := []PV{pv(2, 21, 12345*sector), pv(3, 40, 0), pv(4, 40, 0)}
	return []Group{
		{Name: "linear", ID: id(1), ExtentSize: extent, PVs: pvs[:1], LVs: []LV{
			{Name: "root", ID: id(5), Kind: Plain, Extents: 12, Segments: []Segment{one(0, 0, 12)}},
			{Name: "var", ID: id(6), Kind: Plain, Extents: 8, Segments: []Segment{one(0, 12, 8)}},
		}},
		{Name: "spanned", ID: id(1), ExtentSize: extent, PVs: pvs, LVs: []LV{
			{Name: "a", ID: id(5), Kind: Plain, Extents: 50, Segments: []Segment{one(0, 0, 21), one(1, 0, 29)}},
			{Name: "b", ID: id(6), Kind: Plain, Extents: 50, Segments: []Segment{one(1, 29, 11), one(2, 0, 39)}},
		}},
		{Name: "striped", ID: id(1), ExtentSize: extent, PVs: pvs, LVs: []LV{
			{Name: "a", ID: id(5), Kind: Plain, Extents: 20, Segments: []Segment{{Extents: 20, StripeSize: 64 << 10, Pieces: []Piece{{0, 0}, {1, 0}}}}},
			{Name: "b", ID: id(6), Kind: Plain, Extents: 3, Segments: []Segment{{Extents: 3, StripeSize: 4 << 20, Pieces: []Piece{{0, 10}, {1, 10}, {2, 0}}}}},
		}},
		{Name: "thin", ID: id(1), ExtentSize: extent, PVs: pvs, Spare: []Segment{one(0, 0, 1)}, SpareID: id(9), LVs: []LV{
			{Name: "pool", ID: id(5), Kind: ThinPool, Extents: 60, Segments: []Segment{one(0, 2, 19), one(1, 0, 40), one(2, 0, 1)}, Meta: []Segment{one(0, 1, 1)}, Chunk: chunk, MetaID: id(7), DataID: id(8)},
			{Name: "root", ID: id(6), Kind: Thin, Pool: "pool", Extents: 1000, Written: []disk.Extent{{Off: 0, Len: 5 << 20}, {Off: 3 << 30, Len: 100}}},
			{Name: "var", ID: id(10), Kind: Thin, Pool: "pool", Extents: 10, Written: []disk.Extent{{Off: 1 << 20, Len: 90 << 20 / 3}}},
		}},
		{Name: "small-extents", ID: id(1), ExtentSize: 128 << 10, PVs: []PV{{id(2), 8 << 20, 56}}, LVs: []LV{
			{Name: "a-b", ID: id(5), Kind: Plain, Extents: 56, Segments: []Segment{one(0, 0, 56)}},
		}},
	}
}
