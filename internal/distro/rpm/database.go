package rpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
)

// databaseFile is what rpm calls its database since it is SQLite (rpm 4.16). Its
// companions, of shared memory and of what is not yet written, mean nothing when
// rpm has ended.
const databaseFile = "rpmdb.sqlite"

// recordScript lets rpm record packages as installed without touching a file. A
// package's signature and digests have been verified before; its payload is not
// there. Dependencies and conflicts of files are rpm's to check.
const recordScript = `set -e
root=$PWD
mkdir -p "$root/$1"
test ! -e old || mv old "$root/$1/rpmdb.sqlite"
db=$1
rpm() { command rpm --root "$root" --define "_dbpath /$db" --define "_db_backend sqlite" "$@"; }
rpm --install --justdb --noscripts --notriggers --nosignature --nodigest --noverify --ignoresize --ignorearch --ignoreos -- *.rpm
rpm --query --all --queryformat '%{DBINSTANCE} %{NAME} %{ARCH}\n' > order
`

// record writes the packages into rpm's database. It gives the database and the
// packages in the order in which rpm installs them.
func (i *installer) record(ctx context.Context) ([]byte, []*pkg, error) {
	inputs := map[string][]byte{}
	for n, p := range i.pkgs {
		inputs[fmt.Sprintf("%05d.rpm", n)] = p.Control[headerMember].Data
	}
	if !i.in.First {
		old, err := i.box.Read(ctx, i.database())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		if err == nil {
			inputs["old"] = old
		}
	}
	out, err := i.family.Tools.Run(ctx, []string{"/bin/sh", "-c", recordScript, "sh", i.family.database()}, nil, inputs, []string{i.database(), "order"})
	if err != nil {
		return nil, nil, fault.Newf(fault.Failed, "rpm cannot install these packages together: %w", err)
	}
	pkgs, err := ordered(i.pkgs, string(out["order"]))
	return out[i.database()], pkgs, err
}

func (f Family) database() string {
	if f.Database == "" {
		return "var/lib/rpm"
	}
	return f.Database
}

func (i *installer) database() string { return i.family.database() + "/" + databaseFile }

// ordered sorts packages by the numbers that rpm's database gave them; packages
// that were there before are left out.
func ordered(pkgs []*pkg, listing string) ([]*pkg, error) {
	rest := map[string]*pkg{}
	for _, p := range pkgs {
		rest[p.Ref.Name+" "+p.Ref.Arch] = p
	}
	numbered := map[uint64]*pkg{}
	for line := range strings.Lines(listing) {
		var number uint64
		var name, arch string
		if _, err := fmt.Sscan(line, &number, &name, &arch); err != nil {
			return nil, fmt.Errorf("rpm lists its database with %q: %w", line, err)
		}
		if p, ok := rest[name+" "+arch]; ok {
			numbered[number] = p
			delete(rest, name+" "+arch)
		}
	}
	for what := range rest {
		return nil, fmt.Errorf("rpm did not record package %s", what)
	}
	return sortedValues(numbered), nil
}

// controlHeader reads a package's header out of its control members.
func controlHeader(u distro.Package) (header, error) {
	raw := u.Control[headerMember].Data
	h, _, err := readHeaders(strings.NewReader(string(raw)), int64(len(raw)))
	return h, err
}
