package plan

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/layout"
	"ingot/internal/tree"
)

// settle makes the tree the image's: it removes what only one machine may have,
// and gives a machine its mounts and boot configuration, whose identities come
// from the lock.
func (p *Plan) settle(c Chain) keyed {
	reads := struct {
		Purpose  string
		Identity digest.Digest
		Kernel   any
		Boot     any
		Layout   any `json:",omitempty"` // where it is not the usual one
		Timeout  int `json:",omitempty"` // of the boot menu
		// Traces of installing that scripts may have left; elements have a step for that.
		Traces []string `json:",omitempty"`
	}{Purpose: c.Purpose}
	if p.Definition.Elements == nil && len(p.Definition.Scripts) > 0 {
		reads.Traces = debian.Traces()
	}
	if c.Purpose == format.Machine {
		reads.Identity, reads.Kernel, reads.Boot = p.identity(c), p.Definition.Kernel, p.Definition.Boot
		reads.Timeout = p.Definition.Boot.Timeout
		if !p.Definition.Layout.Usual() {
			reads.Layout = p.Definition.Layout
		}
	}
	return keyed{
		kind:  "settle",
		reads: reads,
		Step: Step{Name: "settle", data: func(e *edit) error {
			if err := e.forget(reads.Traces); err != nil {
				return err
			}
			switch c.Purpose {
			case format.System:
				return e.put(append(boot.ContainerFiles(), e.serviceFiles()...))
			case format.Live:
				return e.live()
			case format.Machine:
				return e.machine(c)
			}
			return nil
		}},
	}
}

// forget removes secrets and identities that must be made anew on each machine, and traces
// of how the tree was made.
func (e *edit) forget(traces []string) error {
	var gone []string
	for n := range e.tree.All() {
		if m, _ := path.Match("etc/ssh/ssh_host_*_key*", n.Path); m {
			gone = append(gone, n.Path)
		}
	}
	// The package ssl-cert made a key for this one tree; a machine makes its own.
	const snakeoil = "ssl-cert-snakeoil.pem"
	for n := range e.tree.All() {
		if n.Path == "etc/ssl/private/ssl-cert-snakeoil.key" || tree.Parent(n.Path) == "etc/ssl/certs" && (path.Base(n.Path) == snakeoil || path.Base(n.Link) == snakeoil) {
			gone = append(gone, n.Path)
		}
	}
	for _, u := range slices.Concat([]string{".dockerenv"}, boot.Unwanted(), traces) {
		if _, ok := e.tree.Lookup(u); ok {
			gone = append(gone, u)
		}
	}
	// D-Bus makes an id of its own where there is no systemd; it takes the
	// machine's, or makes a new one, when it starts.
	if n, ok := e.tree.Lookup("var/lib/dbus/machine-id"); ok && n.Kind == tree.File {
		gone = append(gone, n.Path)
	}
	if err := e.apply(nil, gone...); err != nil {
		return err
	}
	if n, ok := e.tree.Lookup("etc/machine-id"); ok && n.Kind == tree.File {
		empty, err := e.file("etc/machine-id", 0o444, nil)
		if err != nil {
			return err
		}
		return e.apply([]tree.Entry{empty})
	}
	return nil
}

// machine adds what makes the tree start and run by itself.
func (e *edit) machine(c Chain) error {
	l, err := e.plan.layout(c)
	if err != nil {
		return err
	}
	if len(boot.Kernels(e.tree)) == 0 {
		return noKernel()
	}
	if err := e.drivers(boot.Kernels(e.tree)[0], l.Drivers()); err != nil {
		return err
	}
	params, err := e.params(l, e.tree)
	if err != nil {
		return fault.Wrap(fault.Definition, err)
	}
	files, err := boot.Files(params)
	if err != nil {
		return err
	}
	for _, m := range l.Mounts {
		if link := e.linked(m.Point); link != "" {
			return fault.Newf(fault.Definition, "layout: mount_point %s: /%s is a link in the image, and no directory", m.Point, link).WithHint("name the place that the link leads to")
		}
	}
	files = append(files, l.Files()...)
	return e.put(append(files, e.serviceFiles()...))
}

// drivers refuses a kernel that cannot mount what the layout has.
func (e *edit) drivers(k boot.Kernel, needs []string) error {
	lacks, err := e.lacking(e.tree, k, needs)
	if err != nil || len(lacks) == 0 {
		return err
	}
	return fault.Newf(fault.Preflight, "layout: the image's kernel %s has no driver %s, so that it could not mount what the layout has", k.Version, strings.Join(lacks, ", ")).
		WithHint("name another kernel with 'kernel: {package: …}', or another layout")
}

// lacking are those of some drivers that a kernel of a tree does not have.
// One that does not say what it has is believed.
func (w *worker) lacking(t tree.Tree, k boot.Kernel, needs []string) ([]string, error) {
	var lists []string
	for _, path := range k.ModuleLists() {
		data, err := w.read(t, path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		lists = append(lists, string(data))
	}
	return boot.Lacking(needs, lists...), nil
}

// serviceFiles are units that make at the first start what an image must not
// carry.
func (e *edit) serviceFiles() []boot.File {
	var files []boot.File
	if _, ok := e.tree.Lookup("usr/sbin/sshd"); ok {
		files = append(files, hostKeys()...)
	}
	if _, ok := e.tree.Lookup("usr/sbin/make-ssl-cert"); ok {
		files = append(files, firstBoot("ssl-cert-snakeoil", "Make a self-signed certificate", "!/etc/ssl/private/ssl-cert-snakeoil.key", "/usr/sbin/make-ssl-cert generate-default-snakeoil", "network.target")...)
	}
	return files
}

// put adds files to the tree.
func (e *edit) put(files []boot.File) error {
	var set []tree.Entry
	for _, f := range files {
		n := e.entry(f.Path, f.Kind, f.Mode)
		n.Link = f.Link
		if f.Kind == tree.File {
			var err error
			if n, err = e.file(f.Path, f.Mode, f.Data); err != nil {
				return err
			}
		}
		set = append(set, n)
	}
	return e.apply(set)
}

// linked is the first part of an absolute path that is there and no directory, or "".
func (e *edit) linked(path string) string {
	path = strings.Trim(path, "/")
	for i := range len(path) + 1 {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if n, ok := e.tree.Lookup(path[:i]); ok && n.Kind != tree.Dir {
			return path[:i]
		}
	}
	return ""
}

// params are what a tree's boot files and its loader depend on.
func (w *worker) params(l layout.Resolved, t tree.Tree) (boot.Params, error) {
	places, err := l.Places()
	if err != nil {
		return boot.Params{}, err
	}
	def := w.plan.Definition
	k := def.Kernel.On(w.chain.Arch)
	release, err := w.read(t, "usr/lib/os-release")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return boot.Params{}, err
	}
	_, ukify := t.Lookup(boot.UkifyPath)
	return boot.Params{
		Arch: w.chain.Arch, Loader: def.Boot.Loader, Places: places, Grows: l.Grows(), Kernels: boot.Kernels(t), Console: k.Console, Arguments: k.Arguments,
		Title: w.osRelease(t, "PRETTY_NAME"), ID: w.osRelease(t, "ID"), Timeout: def.Boot.Timeout,
		Release: string(release), Ukify: ukify, Secure: def.Boot.Secure, Signed: def.Boot.Signed,
	}, nil
}

// osRelease is what the distribution says of itself (os-release(5)).
func (w *worker) osRelease(t tree.Tree, key string) string {
	data, err := w.read(t, "usr/lib/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// hostKeys make a machine's SSH host keys at its first start: an image must not
// carry any.
func hostKeys() []boot.File {
	return firstBoot("ssh-host-keys", "Make SSH host keys", "!/etc/ssh/ssh_host_*_key", "/usr/bin/ssh-keygen -A", "ssh.service ssh.socket")
}

// firstBoot is a unit that makes something secret, before others need it, where a
// machine does not have it yet.
func firstBoot(name, what, missing, command, before string) []boot.File {
	unit := "etc/systemd/system/" + name + ".service"
	return []boot.File{
		{Path: unit, Kind: tree.File, Mode: 0o644, Data: []byte(`[Unit]
Description=` + what + `
ConditionPathExistsGlob=` + missing + `
Before=` + before + `

[Service]
Type=oneshot
ExecStart=` + command + `

[Install]
WantedBy=multi-user.target
`)},
		{Path: "etc/systemd/system/multi-user.target.wants/" + name + ".service", Kind: tree.Symlink, Mode: 0o777, Link: "/" + unit},
	}
}
