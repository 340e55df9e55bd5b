package compiler

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/sign"
	"ingot/internal/ui"
)

// readIndexes fetches, verifies and reads archives' indexes, and records them in
// the lock.
func (c *Compiler) readIndexes(ctx context.Context, archives []debian.Archive, arches []string, l *lock.Lock) ([]debian.IndexFile, map[string]*debian.Index, error) {
	if c.Offline {
		return nil, nil, fault.Newf(fault.Unreachable, "choosing packages needs the archives' indexes, and this run is offline").
			WithHint("run 'ingot lock' with a network; it is needed again when the definition asks for other packages")
	}
	task := c.Progress.Start(ui.Step{ID: "indexes", Name: "read package indexes"})
	updater := debian.Updater{Client: c.Client, Cache: c.Indexes, Seen: c.Seen, Now: c.Now, Note: func(s string) { task.Notef("%s", s) }}
	slices.Sort(arches)
	indexes, err := updater.Update(ctx, archives, slices.Compact(arches))
	var read map[string]*debian.Index
	if err == nil {
		read, err = readAll(ctx, indexes)
	}
	task.Done(err)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range archives {
		for _, x := range indexes {
			if x.Expired && x.Archive == a.Name {
				a.Expired = true
				c.Progress.Warnf("%s %s is past its Valid-Until, which was accepted", a.Name, x.Asked)
			}
		}
		l.Archives = append(l.Archives, a.Archive)
	}
	for _, x := range indexes {
		l.Indexes = append(l.Indexes, x.Lock())
		l.Epoch = max(l.Epoch, x.Date.Unix())
	}
	return indexes, read, nil
}

// maxKeyring bounds an archive's keys, in bytes; Debian's own are some 60 KiB.
const maxKeyring = 8 << 20

// archives are the definition's, or the release's own, with the places to fetch
// them from and the keys to trust.
func (c *Compiler) archives(def *definition.Definition) ([]debian.Archive, error) {
	builtIn, err := debian.ArchiveKeys()
	if err != nil {
		return nil, err
	}
	var out []debian.Archive
	if len(def.Archives) == 0 {
		for _, a := range debian.DefaultArchives(def.Release) {
			roots := c.Mirrors.Roots(a)
			own := a.URL
			a.URL = roots[0] // what is in force when the lock is written
			a.URL = a.Address()
			out = append(out, debian.Archive{Archive: a, Own: own, Roots: roots, Keys: builtIn, AcceptExpired: c.AcceptExpired})
		}
		return out, nil
	}
	names := archiveNames(def.Archives)
	for i, d := range def.Archives {
		a := lock.Archive{Name: names[i], URL: d.URL, Suites: d.Suites, Components: d.Components}
		keys := builtIn
		if d.Key != "" {
			a.Key = relative(def.Dir, d.Key)
			data, err := input.Read(d.Key, maxKeyring)
			if err != nil {
				return nil, fault.Newf(fault.Definition, "cannot read the archive's key: %w", err)
			}
			if keys, err = sign.ReadKeyring(a.Key, data); err != nil {
				return nil, fault.Newf(fault.Definition, "archive key %s: %w", a.Key, err)
			}
		}
		out = append(out, debian.Archive{Archive: a, Roots: c.Mirrors.Roots(a), Keys: keys, AcceptExpired: c.AcceptExpired || !d.CheckValidUntil})
	}
	return out, nil
}

// archiveNames are the last parts of archives' URLs, made unique with numbers.
func archiveNames(all []definition.Archive) []string {
	names := make([]string, len(all))
	count := map[string]int{}
	for i, a := range all {
		n := strings.TrimRight(a.URL, "/")
		n = strings.ToLower(n[strings.LastIndexByte(n, '/')+1:])
		n = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return '-'
		}, n)
		names[i] = strings.Trim(n, "-")
		count[names[i]]++
	}
	for i, base := range slices.Clone(names) {
		if base != "" && count[base] == 1 {
			continue
		}
		for number := i + 1; ; number++ {
			names[i] = strings.Trim(fmt.Sprintf("%s-%d", base, number), "-")
			if count[names[i]] == 0 {
				break
			}
		}
		count[names[i]]++
	}
	return names
}

// readAll reads indexes, each once, by file.
func readAll(ctx context.Context, files []debian.IndexFile) (map[string]*debian.Index, error) {
	out := map[string]*debian.Index{}
	for _, x := range files {
		f, err := os.Open(x.File)
		if err != nil {
			return nil, fmt.Errorf("cannot open index: %w", err)
		}
		out[x.File], err = debian.ReadIndex(until{ctx, f}, x.Source)
		_ = f.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fault.Newf(fault.Verification, "%s of %s: %w", x.Path, x.Archive, err)
		}
	}
	return out, nil
}

// An until reads until its context ends.
type until struct {
	ctx  context.Context
	from io.Reader
}

func (u until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(b)
}

// universe is the packages of one architecture, from indexes in the order of the
// archives, and those of groups.
func universe(files []debian.IndexFile, read map[string]*debian.Index, arch string, groups []*debian.Index) (*debian.Universe, error) {
	indexes := slices.Clone(groups)
	for _, x := range files {
		if x.Arch == arch || x.Arch == "all" {
			indexes = append(indexes, read[x.File])
		}
	}
	return debian.NewUniverse(debian.Options{Arch: arch}, indexes...)
}
