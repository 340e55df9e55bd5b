package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"ingot/internal/dib/lib"
	"ingot/internal/element"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// Where scripts of elements find things. The names are the same in every build, since
// scripts may write them down; beside the image they are diskimage-builder's own.
const (
	buildDir    = "/tmp/dib_build.ingot"
	imageDir    = "/tmp/dib_image.ingot"
	mountDir    = buildDir + "/mnt"
	hooksDir    = buildDir + "/hooks"
	cacheDir    = "/root/.cache/image-create"
	targetDir   = "/tmp/in_target.d" // the hooks, in the image
	elementsDir = "/ingot/elements"
	libDir      = "/ingot/lib"
	callDir     = "/usr/local/sbin" // of programs that stand for others: sudo looks here first too

	asideHooks = sandbox.Aside + "/build/hooks"
	// The certificate that scripts are to trust, beside the image and in it while they run.
	certificate       = "/ingot/certificate.pem"
	targetCertificate = targetDir + "/" + element.PreparedDir + "/certificate.pem"

	asideMounts = sandbox.Aside + "/state/mounts"
)

// A station is what the scripts of elements run from: a sandbox's second root, and the
// relay that is all their network.
type station struct {
	stop    func()
	mounted bool     // what a target phase sees is mounted on the image
	devices bool     // and already before that, its devices
	mounts  []string // what scripts have mounted there beside that
}

// stationOptions says what the station of an element build looks like.
func (w *worker) stationOptions(ctx context.Context) (*sandbox.Station, error) {
	dir, err := w.programs(ctx, w.plan.Lock.Station, w.plan.Lock.Epoch)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	files := map[string][]byte{}
	for _, f := range lib.Files() {
		if f.Mode.IsRegular() {
			files[libDir+"/"+f.Path] = f.Data
			if name, ok := strings.CutPrefix(f.Path, "bin/"); ok {
				files[callDir+"/"+name] = f.Data
			}
		}
	}
	for name := range w.calls() {
		if slices.Contains(relay.Covers, name) {
			continue // the image's
		}
		files[callDir+"/"+name] = []byte("#!/bin/sh\nexec " + relay.Program + " " + name + " \"$@\"\n")
	}
	if w.authority, err = relay.NewAuthority(); err != nil {
		return nil, err
	}
	lent := []sandbox.NewFile{{Path: certificate, Mode: 0o644, Data: w.authority.PEM(), Mtime: w.plan.Lock.Epoch}}
	for _, f := range w.plan.Definition.Elements.Lent {
		lent = append(lent, sandbox.NewFile{Path: f.Path, Mode: f.Mode, Data: f.Data, Mtime: w.plan.Lock.Epoch})
	}
	return &sandbox.Station{
		Programs: dir, Tree: mountDir, Aside: map[string]string{"build": buildDir, "image": imageDir, "out": workDir, "elements": elementsDir}, Files: files, Lent: lent,
		Binds: []sandbox.Bind{{Host: self, Inside: relay.Program}},
	}, nil
}

// openStation starts the relay of a sandbox that has a station.
func (w *worker) openStation(ctx context.Context) error {
	l, err := w.box.Listen(ctx, relay.Port)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &relay.Relay{
		Open: w.downs.open, Calls: w.calls(), Time: time.Unix(w.plan.Lock.Epoch, 0), Authority: w.authority,
		Log: func(line string) { w.Progress.Warnf("%s", line) },
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Serve(ctx, l) // it ends with the station
	}()
	w.station = &station{stop: func() { cancel(); _ = l.Close(); <-ended }}
	return w.outside(ctx, "mkdir -p "+cacheDir, nil)
}

// outside runs a shell program of ingot's own at the station.
func (w *worker) outside(ctx context.Context, text string, log func(string)) error {
	out, err := w.box.Output(ctx, sandbox.Command{Argv: []string{"/bin/bash", "-euc", text}, Env: w.elementEnvironment(), Station: true}, log)
	return shellError(err, string(out))
}

// mountImage shows the image what target phases see, or takes it away again: four mounts,
// as diskimage-builder makes them, since elements undo them one by one.
func (w *worker) mountImage(ctx context.Context, on bool) error {
	if w.station.mounted == on {
		return nil
	}
	text := `cd ` + mountDir + `
mkdir -p proc dev sys
mount -t proc none proc
mountpoint -q dev || mount --rbind /dev dev
mountpoint -q dev/pts || mount --bind /dev/pts dev/pts
mount -t sysfs -o ro none sys 2>/dev/null || mount -t tmpfs -o ro none sys
`
	if !on {
		text = `cd /
awk -v top=` + mountDir + `/ 'index($5, top) == 1 {print $5}' /proc/self/mountinfo | tac | while read -r at; do umount -l "$at"; done
`
	}
	if err := w.outside(ctx, text, nil); err != nil {
		return fmt.Errorf("cannot prepare the image for its scripts: %w", err)
	}
	w.station.mounted, w.station.devices = on, on
	if on {
		if err := w.cover(ctx, true); err != nil {
			return err
		}
	}
	if !on {
		w.station.mounts = nil
	}
	return nil
}

// mountDevices shows the image's programs their devices as soon as there is an image: its
// own are not made real.
func (w *worker) mountDevices(ctx context.Context) error {
	if w.station.devices {
		return nil
	}
	there, err := w.box.Exists(ctx, "dev")
	if err != nil || !there {
		return err
	}
	w.station.devices = true
	if err := w.cover(ctx, true); err != nil {
		return err
	}
	return w.outside(ctx, "mount --rbind /dev $TMP_MOUNT_PATH/dev", nil)
}

// coreMounts are those that mountImage makes.
var coreMounts = []string{"/proc", "/dev", "/dev/pts", "/sys"}

// noteMounts remembers what scripts mounted on the image and did not unmount, for
// whoever goes on from here in another sandbox: how to mount each again.
func (w *worker) noteMounts(ctx context.Context) error {
	var out strings.Builder
	cmd := sandbox.Command{Argv: []string{"/bin/cat", "/proc/self/mountinfo"}, Env: w.elementEnvironment(), Station: true}
	data, err := w.box.Output(ctx, cmd, nil)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		at, inside := strings.CutPrefix(f[4], mountDir)
		if !inside || at == "" || slices.Contains(covered, strings.TrimPrefix(at, "/")) || slices.Contains(coreMounts, at) || strings.HasPrefix(at, "/dev/") {
			continue
		}
		// Of the station's own file system: a directory that is shown twice.
		if from, ok := strings.CutPrefix(f[3], "/station/"); ok {
			fmt.Fprintf(&out, "mkdir -p %[1]s %[2]s && mount --bind %[1]s %[2]s\n", shellQuote("/"+from), shellQuote(f[4]))
			continue
		}
		kind := f[slices.Index(f, "-")+1]
		fmt.Fprintf(&out, "mkdir -p %[2]s && mount -t %[1]s none %[2]s\n", shellQuote(kind), shellQuote(f[4]))
	}
	w.station.mounts = nil
	if out.Len() > 0 {
		w.station.mounts = []string{out.String()}
	}
	return nil
}

// keepMounts puts what noteMounts found beside the image.
func (w *worker) keepMounts(ctx context.Context) error {
	if err := w.box.Put(ctx, []tree.Entry{{Path: sandbox.Aside, Kind: tree.Dir, Mode: 0o755}, {Path: sandbox.Aside + "/state", Kind: tree.Dir, Mode: 0o755}}, w.reader); err != nil {
		return err
	}
	return w.box.Write(ctx, sandbox.NewFile{Path: asideMounts, Mode: 0o644, Data: []byte(strings.Join(w.station.mounts, "")), Mtime: w.plan.Lock.Epoch})
}

// remount makes the mounts that the scripts of cached steps left.
func (w *worker) remount(ctx context.Context) error {
	data, err := w.box.Read(ctx, asideMounts)
	if errors.Is(err, os.ErrNotExist) || len(data) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	w.station.mounts = []string{string(data)}
	return w.outside(ctx, string(data), nil)
}

// elementEnvironment is what scripts of elements see, wherever they run.
func (w *worker) elementEnvironment(more ...string) []string {
	e := w.plan.Definition.Elements
	all := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", "TZ": "UTC0",
		"ARCH": w.chain.Arch, "IMAGE_NAME": w.plan.Definition.FullName(), "IMAGE_TYPE": "qcow2", "FS_TYPE": "ext4",
		"SOURCE_DATE_EPOCH": fmt.Sprint(w.plan.Lock.Epoch),
		// What git writes down of when it did something.
		"GIT_COMMITTER_DATE": fmt.Sprintf("@%d +0000", w.plan.Lock.Epoch), "GIT_AUTHOR_DATE": fmt.Sprintf("@%d +0000", w.plan.Lock.Epoch),
	}
	maps.Copy(all, e.Environment)
	all["ELEMENTS_PATH"] = elementsDir
	all["IMAGE_ELEMENT_YAML"] = e.Hooks.Set.YAML(elementDir)
	maps.Copy(all, map[string]string{
		"TMP_BUILD_DIR": buildDir, "TMP_IMAGE_DIR": imageDir, "TMP_MOUNT_PATH": mountDir, "TMP_HOOKS_PATH": hooksDir,
		"DIB_IMAGE_CACHE": cacheDir, "DIB_LOCKFILES": "/root/.cache/dib/lockfiles", "_LIB": libDir, "DIB_PYTHON_EXEC": "/usr/bin/python3",
		"DIB_DEFAULT_INSTALLTYPE": or(e.InstallType, "source"),
		"IMAGE_ELEMENT":           strings.Join(e.Hooks.Set.Names(), " "), "http_proxy": relay.Proxy, "https_proxy": relay.Proxy, "no_proxy": "",
		// Some programs read these first, or where the others are empty.
		"HTTP_PROXY": relay.Proxy, "HTTPS_PROXY": relay.Proxy, "NO_PROXY": "", "all_proxy": "", "ALL_PROXY": "",
	})
	maps.Copy(all, relay.Variables(certificate))
	where := map[string]string{}
	for _, one := range e.Hooks.Set.Elements {
		where[one.Name] = elementDir(one)
	}
	maps.Copy(all, lib.Functions(where))
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, name+"="+all[name])
	}
	return append(out, more...)
}

// elementDir is where scripts find an element's own directory.
func elementDir(e *element.Element) string { return elementsDir + "/" + e.Name }

// or is a text, or another where it is empty.
func or(text, other string) string {
	if text != "" {
		return text
	}
	return other
}
