package plan

import (
	"context"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/sandbox"
)

// services enables, disables and masks units.
func (p *Plan) services(c Chain) keyed {
	def := p.Definition
	s := def.Services
	// Of a definition that makes several, containers lack what only a machine has,
	// and those without an init what a system has.
	lacks := slices.ContainsFunc(Purposes(def), func(more string) bool {
		return slices.Index(format.Purposes(), more) > slices.Index(format.Purposes(), c.Purpose)
	})
	return keyed{kind: "services", reads: []any{s, c.Purpose, lacks}, Step: Step{Name: "services", work: func(ctx context.Context, w *worker) error {
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		missing := map[string]bool{}
		for _, name := range slices.Concat(s.Disable, s.Enable) {
			there, err := hasUnit(ctx, box, name)
			switch {
			case err != nil:
				return err
			case there:
			case lacks:
				missing[name] = true
				w.Progress.Warnf("the %s has no unit %s; it is set where there is one", c.Purpose, unitName(name))
			default:
				return def.Asked("services", name).At(fault.Newf(fault.Definition, "there is no unit %s in the image", name).
					WithHint("add the package that brings it, or correct the name under services"))
			}
		}
		head := servicesHead
		if c.Purpose != format.Container {
			head += "command -v systemctl >/dev/null || fail 'services need systemd in the image' 'add the package systemd-sysv'\n"
		}
		for _, v := range []struct {
			verb  string
			units []string
		}{{"disable", s.Disable}, {"mask", s.Mask}, {"enable", s.Enable}} {
			for _, name := range v.units {
				if missing[name] {
					continue
				}
				if err := w.shell(ctx, box, head+v.verb+" "+shellQuote(unitName(name))+"\n"); err != nil {
					return def.Asked("services", name).At(err)
				}
			}
		}
		return nil
	}}}
}

// servicesHead has the verbs. A container's tree may have no systemd, and get it from
// whoever builds on it: Debian's helper for maintainer scripts makes the links that
// systemctl makes, and update-rc.d those that systemctl has it make beside them. To mask,
// the helper would also note that the next package may take the mask away.
const servicesHead = `umask 022
fail() { echo "$1"; echo "hint: $2"; exit 1; }
if command -v systemctl >/dev/null; then
	enable() { systemctl --quiet enable -- "$1"; }
	disable() { systemctl --quiet disable -- "$1"; }
	mask() { systemctl --quiet mask -- "$1"; }
else
	export DPKG_MAINTSCRIPT_PACKAGE=ingot
	init() {
		s=${2%.service}
		if [ -x "/etc/init.d/$s" ]; then update-rc.d "$s" defaults; update-rc.d "$s" "$1"; fi
	}
	enable() { deb-systemd-helper enable "$1"; init enable "$1"; }
	disable() { deb-systemd-helper disable "$1"; init disable "$1"; }
	mask() {
		to=/etc/systemd/system/$1
		if [ -e "$to" ] && [ ! -L "$to" ]; then fail "cannot mask $1: $to is a file" "remove the file"; fi
		mkdir -p /etc/systemd/system
		ln -snf /dev/null "$to"
	}
fi
`

// unitName is a unit's whole name (systemctl(1)): "nginx" is a service.
func unitName(name string) string {
	switch path.Ext(name) {
	case ".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice", ".scope", ".device":
		return name
	}
	return name + ".service"
}

// hasUnit says whether the image has a unit, its template or a script of that name
// which systemd takes for one.
func hasUnit(ctx context.Context, box *sandbox.Box, name string) (bool, error) {
	unit := unitName(name)
	files := []string{"etc/init.d/" + strings.TrimSuffix(unit, ".service")}
	for _, dir := range []string{"etc", "usr/local/lib", "usr/lib", "lib"} {
		dir += "/systemd/system/"
		files = append(files, dir+unit)
		if template, _, ok := strings.Cut(unit, "@"); ok {
			files = append(files, dir+template+"@"+path.Ext(unit))
		}
	}
	for _, f := range files {
		if there, err := box.Exists(ctx, f); err != nil || there {
			return there, err
		}
	}
	return false, nil
}
