package element

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// InstallTypes chooses among the directories PREFIX-TYPE-install of install.d those
// whose scripts run: of each prefix the type that DIB_INSTALLTYPE_PREFIX names, else
// DIB_DEFAULT_INSTALLTYPE. It is a function of names, as [Scripts] is.
func InstallTypes(entries []Listed, env map[string]string) []string {
	said := map[string]string{}
	for name, t := range env {
		if prefix, ok := strings.CutPrefix(name, "DIB_INSTALLTYPE_"); ok {
			said[strings.ReplaceAll(prefix, "_", "-")] = t
		}
	}
	standard, ok := env["DIB_DEFAULT_INSTALLTYPE"]
	if !ok {
		standard = "source"
	}
	var out []string
	for _, e := range entries {
		if !e.Mode.IsDir() {
			continue
		}
		base, ok := strings.CutSuffix(e.Name, "-install")
		if !ok {
			continue
		}
		chosen := false
		for prefix, t := range said {
			chosen = chosen || base == prefix+"-"+t
		}
		if prefix, ok := strings.CutSuffix(base, "-"+standard); ok {
			_, set := said[prefix]
			chosen = chosen || !set
		}
		if chosen {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// InstallTypes is the hooks as the element install-types leaves them: install.d has
// links to the scripts of the chosen types.
func (h *Hooks) InstallTypes(env map[string]string) *Hooks {
	const phase = "install.d"
	var links []File
	for _, dir := range InstallTypes(h.List(phase), env) {
		for _, l := range h.List(path.Join(phase, dir)) {
			if strings.HasPrefix(l.Name, ".") {
				continue
			}
			own, _ := h.Get(path.Join(phase, dir, l.Name))
			links = append(links, File{Path: path.Join(phase, l.Name), Mode: fs.ModeSymlink | 0o777,
				Target: path.Join(dir, l.Name), Element: own.Element})
		}
	}
	if len(links) == 0 {
		return h
	}
	return h.With(links)
}
