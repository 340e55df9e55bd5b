package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/place"
)

// An Index says which versions there are of a group. Its file:
//
//	ingot group index 1
//	flavor "is: x86_64"              each once, by place
//	branch /images.example@acme:main
//	1732958600000 1-1-1 0,1 DIGEST SIZE
//	sum SHA256 of all lines above
//
// A version is a line below its branch: its time in milliseconds since 1970, revision, the
// places of its flavors, its statement.
type Index struct {
	Name    string
	Flavors []flavor.Flavor
	Records []Record // by branch, each branch's oldest first
}

// A Record is one version of a group.
type Record struct {
	Version   group.Version // with its time
	Flavors   []int         // places in the index's list
	Statement Blob
}

// maxIndex bounds an index: some hundred thousand versions.
const maxIndex = 64 << 20

const indexFirst = "ingot group index 1\n"

func indexName(name string) string { return "groups/" + name + "/index" }

// Stock is what there is to choose from.
func (x *Index) Stock() group.Stock {
	s := group.Stock{Name: x.Name, Flavors: x.Flavors, Versions: make([]group.Offer, len(x.Records))}
	for i, r := range x.Records {
		s.Versions[i] = group.Offer{Version: r.Version, Flavors: r.Flavors}
	}
	return s
}

// Record finds the record of a version.
func (x *Index) Record(v group.Version) (Record, bool) {
	i := slices.IndexFunc(x.Records, func(r Record) bool { return r.Version.Equal(v) })
	if i < 0 {
		return Record{}, false
	}
	return x.Records[i], true
}

// on are the records of a branch, oldest first.
func (x *Index) on(branch group.Version) []Record {
	var out []Record
	for _, r := range x.Records {
		if r.Version.Branch().Equal(branch) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return a.Version.Compare(b.Version) })
	return out
}

// newest is the greatest time of a version.
func (x *Index) newest() int64 {
	var most int64
	for _, r := range x.Records {
		if v, ok := r.Version.Revision(); ok {
			most = max(most, v.Time)
		}
	}
	return most
}

// flavorsOf are a record's flavors.
func (x *Index) flavorsOf(r Record) []flavor.Flavor {
	var out []flavor.Flavor
	for _, i := range r.Flavors {
		out = append(out, x.Flavors[i])
	}
	return out
}

// place finds a flavor's place, or gives it one.
func (x *Index) place(f flavor.Flavor) int {
	i := slices.IndexFunc(x.Flavors, f.Equal)
	if i < 0 {
		i, x.Flavors = len(x.Flavors), append(x.Flavors, f)
	}
	return i
}

func (x *Index) encode() []byte {
	var b bytes.Buffer
	b.WriteString(indexFirst)
	for _, f := range x.Flavors {
		fmt.Fprintf(&b, "flavor %s\n", strconv.Quote(f.String()))
	}
	var branches []string
	by := map[string][]Record{}
	for _, r := range x.Records {
		name := r.Version.Branch().Freeze()
		if by[name] == nil {
			branches = append(branches, name)
		}
		by[name] = append(by[name], r)
	}
	slices.Sort(branches)
	for _, name := range branches {
		fmt.Fprintf(&b, "branch %s\n", name)
		list := by[name]
		slices.SortFunc(list, func(a, b Record) int { return a.Version.Compare(b.Version) })
		for _, r := range list {
			v, _ := r.Version.Revision()
			fmt.Fprintf(&b, "%d %s ", v.Time, v)
			for i, f := range r.Flavors {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(strconv.Itoa(f))
			}
			fmt.Fprintf(&b, " %s %d\n", r.Statement.SHA256, r.Statement.Size)
		}
	}
	fmt.Fprintf(&b, "sum %s\n", digest.Of(b.Bytes()))
	return b.Bytes()
}

var errIndex = errors.New("it is damaged")

// decodeIndex reads what encode writes.
func decodeIndex(name string, text []byte) (*Index, error) {
	body, sum, ok := bytes.Cut(text, []byte("\nsum "))
	if !ok || string(sum) != digest.Of(text[:len(body)+1]).String()+"\n" {
		return nil, errIndex
	}
	rest, ok := strings.CutPrefix(string(body)+"\n", indexFirst)
	if !ok {
		return nil, fmt.Errorf("%w: it is of another form", errIndex)
	}
	x := &Index{Name: name, Records: make([]Record, 0, strings.Count(rest, "\n"))}
	var branch group.Version
	seen := map[string]bool{}
	lists := map[string][]int{} // versions share their flavors
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		if quoted, ok := strings.CutPrefix(line, "flavor "); ok {
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, errIndex
			}
			f, err := flavor.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errIndex, err)
			}
			x.Flavors = append(x.Flavors, f)
			continue
		}
		if path, ok := strings.CutPrefix(line, "branch "); ok {
			var err error
			if branch, err = group.ThawVersion(path); err != nil || !branch.IsBranch() || seen[path] {
				return nil, errIndex
			}
			seen[path] = true
			continue
		}
		r, err := decodeRecord(branch, line, len(x.Flavors), lists)
		if err != nil {
			return nil, err
		}
		x.Records = append(x.Records, r)
	}
	return x, nil
}

func decodeRecord(branch group.Version, line string, flavors int, lists map[string][]int) (Record, error) {
	var r Record
	clock, line, _ := strings.Cut(line, " ")
	revision, line, _ := strings.Cut(line, " ")
	list, line, _ := strings.Cut(line, " ")
	hex, size, ok := strings.Cut(line, " ")
	if !ok || branch.IsZero() {
		return r, errIndex
	}
	v, err := group.ParseRevision(revision)
	if err != nil {
		return r, fmt.Errorf("%w: %w", errIndex, err)
	}
	if v.Time, err = strconv.ParseInt(clock, 10, 64); err != nil || v.Time < 0 {
		return r, errIndex
	}
	if r.Flavors, ok = lists[list]; !ok {
		for w := range strings.SplitSeq(list, ",") {
			i, err := strconv.Atoi(w)
			if err != nil || i < 0 || i >= flavors {
				return r, errIndex
			}
			r.Flavors = append(r.Flavors, i)
		}
		lists[list] = r.Flavors
	}
	if r.Statement.SHA256, err = digest.Parse(hex); err != nil {
		return r, errIndex
	}
	if r.Statement.Size, err = strconv.ParseInt(size, 10, 64); err != nil || r.Statement.Size < 0 {
		return r, errIndex
	}
	r.Version = branch.At(v)
	return r, nil
}

// Index reads the index of a group; of one that is not there it is empty.
func (r *Repository) index(ctx context.Context, name string) (x *Index, mark string, err error) {
	if !IsName(name) {
		return nil, "", fault.Newf(fault.Usage, "%q cannot be the name of a group", name)
	}
	text, info, err := place.Read(ctx, r.Place, indexName(name), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return &Index{Name: name}, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if x, err = decodeIndex(name, text); err != nil {
		return nil, "", fault.Newf(fault.Verification, "cannot read the index of group %s in %s: %w", name, r.Place, err).
			WithHint("restore that object from a copy; statements and packages are in blobs/ all the same")
	}
	return x, info.Mark, nil
}

// Index reads the index of a group that is there.
func (r *Repository) Index(ctx context.Context, name string) (*Index, error) {
	if err := r.check(ctx, false); err != nil {
		return nil, err
	}
	x, _, err := r.index(ctx, name)
	if err == nil && len(x.Records) == 0 {
		names, err := r.Names(ctx)
		if err != nil {
			return nil, err
		}
		e := fault.Newf(fault.NotFound, "%s has no group %q", r.Place, name)
		if len(names) > 0 {
			return nil, e.WithHint("it has %s", strings.Join(names, ", "))
		}
		return nil, e
	}
	return x, err
}

// change replaces the index of a group by what f makes of it, again if somebody else did
// meanwhile. Where f gives false nothing is written.
func (r *Repository) change(ctx context.Context, name string, f func(x *Index) (bool, error)) error {
	for {
		x, mark, err := r.index(ctx, name)
		if err != nil {
			return err
		}
		ok, err := f(x)
		if err != nil || !ok {
			return err
		}
		if len(x.Records) == 0 {
			x.Flavors = nil
		}
		_, err = r.Place.Put(ctx, indexName(name), place.Text(x.encode()), place.Was(mark))
		if !errors.Is(err, place.ErrChanged) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Agrees holds what the index says of a group's flavors to its statement: nobody signs an
// index.
func (x *Index) Agrees(g *Group) error {
	var said []flavor.Flavor
	for _, text := range g.Statement.Flavors {
		f, err := flavor.Parse(text)
		if err != nil {
			return fault.Newf(fault.Verification, "the statement of %s: %w", g, err).WithHint("use a newer ingot")
		}
		said = append(said, f)
	}
	if sameFlavors(said, x.flavorsOf(g.Record)) {
		return nil
	}
	return fault.Newf(fault.Verification, "the index says other flavors of %s than its statement: it was tampered with", g).
		WithHint("restore the index from a copy")
}
