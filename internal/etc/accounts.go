package etc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/tree"
)

// Accounts are the texts of passwd(5), group(5), shadow(5) and gshadow(5).
type Accounts struct {
	Passwd, Group, Shadow, GShadow string
}

// A Remap says which ids of a new image's files are others on the host.
type Remap struct {
	UID, GID map[uint32]uint32
}

// An AccountConflict is a field of an account that both sides changed. The host's is kept.
type AccountConflict struct {
	File  string `json:"file"` // passwd, group, shadow or gshadow
	Name  string `json:"name"`
	Field string `json:"field"`
}

// Reconcile merges accounts. A name that the host has keeps its number, since files of
// volumes that all layers share have it; the image's files follow by the [Remap]. A name
// that only the new image has gets its number where that is free, and another where it is
// not. Names that the new image dropped stay, for their files' sake; names that the host
// deleted stay deleted, and where their number is somebody else's now, the image's files go
// to root, not to him. Lines that are no records are the host's. An error is that no number
// is left.
func Reconcile(old, fresh, host Accounts) (Accounts, Remap, []AccountConflict, error) {
	r := reconciler{remap: Remap{map[uint32]uint32{}, map[uint32]uint32{}}}
	groups := three{"group", read(old.Group, 4), read(fresh.Group, 4), read(host.Group, 4)}
	users := three{"passwd", read(old.Passwd, 7), read(fresh.Passwd, 7), read(host.Passwd, 7)}
	var out Accounts
	var err error
	if out.Group, err = r.numbered(groups, r.remap.GID, []string{"", "password", "", "members"}); err != nil {
		return out, r.remap, nil, err
	}
	for _, name := range users.fresh.names { // their groups' numbers as they will be
		if f := users.fresh.records[name]; len(f) == 7 {
			if gid, err := strconv.ParseUint(f[3], 10, 32); err == nil {
				if to, ok := r.remap.GID[uint32(gid)]; ok {
					f[3] = strconv.FormatUint(uint64(to), 10)
				}
			}
		}
	}
	if out.Passwd, err = r.numbered(users, r.remap.UID, []string{"", "password", "", "group", "comment", "home", "shell"}); err != nil {
		return out, r.remap, nil, err
	}
	shadow := []string{"", "password", "change", "min", "max", "warn", "inactive", "expire", "flag"}
	out.Shadow = r.plain(three{"shadow", read(old.Shadow, 9), read(fresh.Shadow, 9), read(host.Shadow, 9)}, shadow, added(users))
	out.GShadow = r.plain(three{"gshadow", read(old.GShadow, 4), read(fresh.GShadow, 4), read(host.GShadow, 4)}, []string{"", "password", "administrators", "members"}, added(groups))
	return out, r.remap, r.conflicts, nil
}

// Apply gives a new image's files the host's numbers.
func (r Remap) Apply(t tree.Tree) (tree.Tree, error) {
	entries := t.Entries()
	for i := range entries {
		if id, ok := r.UID[entries[i].UID]; ok {
			entries[i].UID = id
		}
		if id, ok := r.GID[entries[i].GID]; ok {
			entries[i].GID = id
		}
	}
	return tree.New(entries)
}

// A table is the records of a file, in order.
type table struct {
	names   []string
	records map[string][]string
	other   []string // lines that are no records
}

// read reads a file whose records have so many fields.
func read(text string, fields int) table {
	t := table{records: map[string][]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		f := strings.Split(line, ":")
		_, twice := t.records[f[0]]
		if line == "" {
			continue
		}
		if len(f) != fields || f[0] == "" || strings.ContainsAny(f[0][:1], "+-#") || twice {
			t.other = append(t.other, line)
			continue
		}
		t.names = append(t.names, f[0])
		t.records[f[0]] = f
	}
	return t
}

// text is the records as a file, the others behind them: "+" of NIS is the last line.
func (t table) text() string {
	var b strings.Builder
	for _, name := range t.names {
		fmt.Fprintln(&b, strings.Join(t.records[name], ":"))
	}
	for _, line := range t.other {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// three are the sides of one file.
type three struct {
	file             string
	old, fresh, host table
}

// added are the names that the new image brings.
func added(t three) map[string]bool {
	out := map[string]bool{}
	for _, name := range t.fresh.names {
		_, was := t.old.records[name]
		_, is := t.host.records[name]
		out[name] = !was && !is
	}
	return out
}

type reconciler struct {
	remap     Remap
	conflicts []AccountConflict
}

// number is the third field.
func number(f []string) (uint32, bool) {
	n, err := strconv.ParseUint(f[2], 10, 32)
	return uint32(n), err == nil
}

// numbered merges a file whose third field is a number.
func (r *reconciler) numbered(t three, remap map[uint32]uint32, fields []string) (string, error) {
	used := map[uint32]bool{}
	for _, f := range t.host.records {
		if id, ok := number(f); ok {
			used[id] = true
		}
	}
	assign := func(from, to uint32) {
		if _, done := remap[from]; !done {
			remap[from] = to
		}
	}
	// Those that both have first: their numbers are settled.
	for _, name := range t.fresh.names {
		from, ok := number(t.fresh.records[name])
		if host := t.host.records[name]; ok && host != nil {
			if to, ok := number(host); ok {
				assign(from, to)
			}
		}
	}
	news := added(t)
	image := map[uint32]bool{} // numbers that files of the image have
	for _, name := range t.fresh.names {
		from, ok := number(t.fresh.records[name])
		if ok && t.host.records[name] == nil && !news[name] && used[from] { // the host deleted it
			assign(from, 0)
		}
		image[from] = image[from] || ok
	}
	for _, name := range t.fresh.names {
		f := t.fresh.records[name]
		from, ok := number(f)
		_, shared := remap[from]
		switch {
		case !ok || !news[name]:
		case shared: // another name of the image has this number
			f[2] = strconv.FormatUint(uint64(remap[from]), 10)
		default:
			to, ok := free(from, used, image)
			if !ok {
				return "", fmt.Errorf("%s: no number is left for %s", t.file, name)
			}
			used[to] = true
			assign(from, to)
			f[2] = strconv.FormatUint(uint64(to), 10)
		}
	}
	maps.DeleteFunc(remap, func(from, to uint32) bool { return from == to })
	return r.plain(t, fields, news), nil
}

// free is a number that nobody has: the wanted one, else one of its range (Debian Policy
// 9.2.2: below 1000 the system's, from there on people's) that no file of the image has.
func free(wanted uint32, used, image map[uint32]bool) (uint32, bool) {
	if !used[wanted] {
		return wanted, true
	}
	if wanted < 1000 {
		for id := uint32(999); id >= 100; id-- {
			if !used[id] && !image[id] {
				return id, true
			}
		}
	}
	for id := uint32(1000); id < 60000; id++ {
		if !used[id] && !image[id] {
			return id, true
		}
	}
	return 0, false
}

// plain merges records field by field, but those whose field has no name, which are the
// host's, and adds the new ones.
func (r *reconciler) plain(t three, fields []string, news map[string]bool) string {
	out := table{records: map[string][]string{}, other: t.host.other}
	for _, name := range t.host.names {
		h := slices.Clone(t.host.records[name])
		o, n := t.old.records[name], t.fresh.records[name]
		for i, what := range fields {
			switch {
			case what == "" || n == nil:
			case what == "members" || what == "administrators":
				var before string
				if o != nil {
					before = o[i]
				}
				h[i] = members(before, n[i], h[i])
			case o == nil && n[i] != h[i]:
				r.conflicts = append(r.conflicts, AccountConflict{t.file, name, what})
			case o != nil:
				var ok bool
				if h[i], ok = field(o[i], n[i], h[i]); !ok {
					r.conflicts = append(r.conflicts, AccountConflict{t.file, name, what})
				}
			}
		}
		out.names = append(out.names, name)
		out.records[name] = h
	}
	for _, name := range t.fresh.names {
		if news[name] && out.records[name] == nil {
			out.names = append(out.names, name)
			out.records[name] = t.fresh.records[name]
		}
	}
	return out.text()
}

// members merges lists of names: what either side added is in, what either removed is out.
func members(old, fresh, host string) string {
	list := func(s string) []string {
		return slices.DeleteFunc(strings.Split(s, ","), func(n string) bool { return n == "" })
	}
	o, n, h := list(old), list(fresh), list(host)
	out := slices.DeleteFunc(h, func(name string) bool { return slices.Contains(o, name) && !slices.Contains(n, name) })
	for _, name := range n {
		if !slices.Contains(o, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ",")
}
