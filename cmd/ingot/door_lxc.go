package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mikelolasagasti/xz"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
	"ingot/internal/lxc"
	"ingot/internal/rootfs"
	"ingot/internal/ui"
)

// lxcCommand is what ingot is called as a template of LXC.
const lxcCommand = "lxc-ingot"

// lxcOptions are those of LXC's template "download", of all its versions, and --pubkey.
type lxcOptions struct {
	dist, release, arch, variant, server     string
	list, flush, force, noValidate, help     bool
	keyid, keyserver, pubkey                 string
	name, path, rootfs, mappedUID, mappedGID string
	standardResolver, verbose                bool
}

func (o *lxcOptions) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet(lxcCommand, pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVarP(&o.dist, "dist", "d", "", "distribution")
	f.StringVarP(&o.release, "release", "r", "", "its release")
	f.StringVarP(&o.arch, "arch", "a", "", "architecture, by Debian's name")
	f.StringVar(&o.variant, "variant", "default", "image: NAME, NAME@CHANNEL or NAME@VERSION")
	f.StringVar(&o.server, "server", environ(fromVariable), "image server of ingot's: HOST[:PORT], a URL or a directory (or $INGOT_SERVER)")
	f.StringVar(&o.pubkey, "pubkey", "", "believe the server's public key in this file")
	f.StringVar(&o.keyid, "keyid", "", "believe the server's key of this fingerprint")
	f.BoolVar(&o.noValidate, "no-validate", false, "believe whatever key the server shows, this once")
	f.BoolVarP(&o.list, "list", "l", false, "list images, and make no container")
	f.BoolVar(&o.flush, "flush-cache", false, "forget what is cached of this image first")
	f.BoolVar(&o.force, "force-cache", false, "use what is cached, without asking the server")
	f.BoolVar(&o.verbose, "verbose", false, "say more")
	f.StringVar(&o.keyserver, "keyserver", "", "taken, and of no use: the server itself has the key")
	f.BoolVar(&o.standardResolver, "standard-resolver", false, "taken, and of no use")
	f.BoolVarP(&o.help, "help", "h", false, "show this")
	f.StringVar(&o.name, "name", "", "the container's name; lxc-create gives this and what follows")
	f.StringVar(&o.path, "path", "", "the container's directory")
	f.StringVar(&o.rootfs, "rootfs", "", "where its root file system is to be")
	f.StringVar(&o.mappedUID, "mapped-uid", "", "to whom root is mapped")
	f.StringVar(&o.mappedGID, "mapped-gid", "", "likewise, its group")
	return f
}

func newLXCCommand() *cobra.Command {
	var o lxcOptions
	flags := o.flags()
	cmd := &cobra.Command{
		Use:                lxcCommand,
		Short:              "Make LXC containers from images of a server, as its template does",
		GroupID:            groupDoor,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.Parse(args); err != nil && !errors.Is(err, pflag.ErrHelp) {
				return fault.Newf(fault.Usage, "%s: %w", lxcCommand, err).WithHint("see \"%s --help\"", lxcCommand)
			}
			if o.help {
				return cmd.Help()
			}
			return o.run(cmd)
		},
	}
	cmd.SetHelpTemplate(`lxc-ingot is a template of LXC: it makes a container's root file system and
configuration from an image of an image server that 'ingot publish' made, verified.

  ln -s $(command -v ingot) /usr/share/lxc/templates/lxc-ingot
  lxc-create -n c1 -t ingot -- -d debian -r bookworm -a amd64 --variant web \
      --server images.example --pubkey server-key.asc

Options:
` + flags.FlagUsages())
	return cmd
}

func (o *lxcOptions) run(cmd *cobra.Command) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	if o.list {
		return o.printList(cmd, progress)
	}
	if o.name == "" || o.path == "" || o.rootfs == "" {
		return fault.Newf(fault.Usage, "the container's name, path and root file system are not given").
			WithHint("lxc-create gives them: lxc-create -n NAME -t ingot -- -d DIST -r RELEASE -a ARCH")
	}
	if o.dist == "" || o.release == "" || o.arch == "" {
		return fault.Newf(fault.Usage, "say which image: -d DIST -r RELEASE -a ARCH").WithHint("--list shows what there is")
	}
	user, _, err := inUserNamespace()
	if err != nil {
		return err
	}
	if user && (o.mappedUID == "" || o.mappedUID == "-1") {
		return fault.Newf(fault.Preflight, "in a user namespace without a map").WithHint("lxc-create gives --mapped-uid where the configuration has lxc.idmap")
	}
	files, err := o.image(cmd.Context(), progress)
	if err != nil {
		return err
	}
	defer files.release()
	return o.make(cmd, files, user)
}

// inUserNamespace says whether ids are mapped, and whether the host's root is among them, who
// then made this container.
func inUserNamespace() (mapped, byRoot bool, err error) {
	data, err := input.Read("/proc/self/uid_map", 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return false, true, nil
	}
	if err != nil {
		return false, false, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[1] == "0" {
			byRoot = true
			mapped = mapped || f[0] != "0" || f[2] != "4294967295"
		} else {
			mapped = true
		}
	}
	return mapped, byRoot, nil
}

// homes are where keys and images are kept. In a namespace of a user's, its root is that
// user.
func (o *lxcOptions) homes() (keys, images string, err error) {
	_, byRoot, err := inUserNamespace()
	if err != nil {
		return "", "", err
	}
	keys, images = environ("INGOT_HOME"), environ("LXC_CACHE_PATH")
	if os.Geteuid() == 0 && byRoot {
		return filepath.Join(cmp.Or(keys, "/var/lib/ingot"), "servers"), filepath.Join(cmp.Or(images, "/var/cache/lxc"), "ingot"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil && (keys == "" || images == "") {
		return "", "", fault.Newf(fault.Preflight, "cannot tell where to keep things: %w", err).WithHint("set HOME")
	}
	keys = cmp.Or(keys, filepath.Join(cmp.Or(environ("XDG_DATA_HOME"), filepath.Join(home, ".local/share")), "ingot"))
	return filepath.Join(keys, "servers"), filepath.Join(cmp.Or(images, filepath.Join(home, ".cache", "lxc")), "ingot"), nil
}

// remote is the server.
func (o *lxcOptions) remote(progress *ui.Progress) (*client.Server, error) {
	f := remoteFlags{key: cmp.Or(o.pubkey, o.keyid), from: strings.Fields(o.server)}
	s, err := f.server(progress, func(fetch.Event) {})
	if err != nil {
		return nil, err
	}
	if s.Dir, _, err = o.homes(); err != nil {
		return nil, err
	}
	if o.noValidate {
		// Nothing is remembered of a server that is not validated.
		if s.Dir, err = os.MkdirTemp("", "lxc-ingot-"); err != nil {
			return nil, err
		}
		s.Trust = client.Trust{FirstUse: true}
		s.Pinned = nil
		progress.Warnf("the key of %s is not validated", s.Name())
	}
	return s, nil
}

// forget removes what --no-validate kept for a moment.
func (o *lxcOptions) forget(s *client.Server) {
	if o.noValidate {
		_ = os.RemoveAll(s.Dir)
	}
}

func (o *lxcOptions) printList(cmd *cobra.Command, progress *ui.Progress) error {
	s, err := o.remote(progress)
	if err != nil {
		return err
	}
	defer o.forget(s)
	c, err := s.Refresh(cmd.Context())
	progress.Close()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "DIST\tRELEASE\tARCH\tVARIANT\tBUILD")
	for _, i := range c.Images {
		for _, k := range i.Channels {
			v, _ := i.Channel(k.Name)
			_, some := v.Artifact("lxc")
			name := i.Name
			if k.Name != catalog.Stable {
				name += "@" + k.Name
			}
			if !some || o.dist != "" && o.dist != v.Distro || o.release != "" && o.release != v.Release || o.arch != "" && o.arch != i.Arch || o.variant != "" && o.variant != "default" && o.variant != name {
				continue
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Distro, v.Release, i.Arch, name, v.Version)
		}
	}
	if err := w.Flush(); err != nil || o.name == "" {
		return err
	}
	// lxc-create takes a template that ends well for one that has made a container.
	return fault.Newf(fault.Failed, "this was a list, and no container was made")
}

// cached is an image in the cache, locked.
type cached struct {
	Version string         `json:"version"`
	Expires time.Time      `json:"expires,omitzero"` // from when on its publisher wants nobody to use it
	Files   []catalog.File `json:"files"`            // root file system and metadata
	dir     string
	release func()
}

func (c cached) path(n int) string { return filepath.Join(c.dir, c.Files[n].Name) }

// image brings the image into the cache, or finds it there.
func (o *lxcOptions) image(ctx context.Context, progress *ui.Progress) (cached, error) {
	k := cached{release: func() {}}
	for _, word := range []string{o.dist, o.release, o.arch} {
		if !catalog.IsName(word) {
			return k, fault.Newf(fault.Usage, "%q is no name of a distribution, a release or an architecture", word)
		}
	}
	choice, err := catalog.ParseChoice(o.variant, o.arch)
	if err != nil {
		return k, err
	}
	if k.dir, err = o.cacheDir(choice); err != nil {
		return k, err
	}
	if o.flush {
		if err := os.RemoveAll(k.dir); err != nil {
			return k, err
		}
	}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return k, draft.Explain(err, "LXC_CACHE_PATH")
	}
	lock, err := os.OpenFile(filepath.Join(k.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return k, draft.Explain(err, "LXC_CACHE_PATH")
	}
	k.release = func() { _ = lock.Close() }
	if err := client.Wait(ctx, lock); err != nil {
		return k, err
	}
	if o.force {
		return k, k.load()
	}
	err = o.refresh(ctx, progress, choice, &k)
	if fault.CodeOf(err) == fault.Unreachable && !o.flush {
		if e := k.load(); e == nil {
			progress.Warnf("%v; using version %s, which is cached", err, k.Version)
			return k, nil
		}
	}
	return k, err
}

// cacheDir is where an image is cached: of each server by itself, and what was believed
// without a key apart from what was verified.
func (o *lxcOptions) cacheDir(choice catalog.Choice) (string, error) {
	_, base, err := o.homes()
	if err != nil {
		return "", err
	}
	server := client.Server{Mirrors: strings.Fields(o.server)}
	if len(server.Mirrors) == 0 {
		return "", errNoServer()
	}
	if server.Mirrors[0], err = client.Address(server.Mirrors[0]); err != nil {
		return "", err
	}
	name := server.Key()
	if o.noValidate {
		name += "-unvalidated"
	}
	return filepath.Join(base, name, o.dist, o.release, o.arch, choice.String()), nil
}

// refresh asks the server and brings what it has.
func (o *lxcOptions) refresh(ctx context.Context, progress *ui.Progress, choice catalog.Choice, k *cached) error {
	s, err := o.remote(progress)
	if err != nil {
		return err
	}
	defer o.forget(s)
	c, err := s.Refresh(ctx)
	if err != nil {
		return err
	}
	i, v, err := c.Find(choice)
	if err != nil {
		return err
	}
	a, ok := v.Artifact("lxc")
	if !ok || len(a.Files) != 2 || v.Distro != o.dist || v.Release != o.release {
		return fault.Newf(fault.NotFound, "couldn't find a matching image: %s is %s %s", i.Name, v.Distro, v.Release).WithHint("--list shows what there is for LXC")
	}
	k.Version, k.Expires, k.Files = v.Version, v.Expires, a.Files
	if err := k.usable(time.Now()); err != nil {
		return err
	}
	if _, err := s.Pull(ctx, a.Files, k.dir); err != nil {
		return err
	}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return draft.Write(filepath.Join(k.dir, "image.json"), data, 0o644)
}

// usable refuses an image past its date.
func (k *cached) usable(now time.Time) error {
	if k.Expires.IsZero() || now.Before(k.Expires) {
		return nil
	}
	return fault.Newf(fault.Verification, "version %s is expired since %s", k.Version, k.Expires.UTC().Format(time.DateTime)).
		WithHint("ask its publisher for a newer one; --list shows what there is")
}

// load takes what is cached, if it is still what was verified.
func (k *cached) load() error {
	k.Version, k.Expires, k.Files = "", time.Time{}, nil
	data, err := input.Read(filepath.Join(k.dir, "image.json"), 1<<20)
	if err == nil {
		err = json.Unmarshal(data, k)
	}
	if err == nil && len(k.Files) != 2 {
		err = errors.New("it is not whole")
	}
	if err != nil {
		return fault.Newf(fault.NotFound, "the image is not cached: %w", err).WithHint("leave --force-cache out")
	}
	if err := k.usable(time.Now()); err != nil {
		return err
	}
	for n, f := range k.Files {
		if !catalog.IsName(f.Name) {
			return fault.Newf(fault.Verification, "the cache names no file")
		}
		if same, err := client.Is(k.path(n), f); err != nil || !same {
			return fault.Newf(fault.Verification, "%s in the cache is damaged", f.Name).WithHint("--flush-cache has it fetched again")
		}
	}
	return nil
}

// make unpacks the image and writes the container's configuration.
func (o *lxcOptions) make(cmd *cobra.Command, files cached, user bool) error {
	box := lxc.Container{Name: o.name, Path: o.path, Rootfs: o.rootfs, User: user}
	var meta map[string][]byte
	err := unxz(files.path(1), func(r io.Reader) (err error) {
		meta, err = lxc.ReadMeta(r)
		return err
	})
	if err != nil {
		return err
	}
	written, err := input.Read(filepath.Join(o.path, "config"), 1<<20)
	if err != nil {
		return fmt.Errorf("cannot read what lxc-create wrote: %w", err)
	}
	config, err := box.Config(written, meta)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(o.rootfs)
	if err != nil {
		return fmt.Errorf("cannot open the root file system: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := unxz(files.path(0), func(r io.Reader) error {
		return rootfs.Unpack(root, r, rootfs.Options{Devices: !user, Owners: os.Geteuid() == 0})
	}); err != nil {
		return draft.Explain(err, "lxc-create -P")
	}
	if err := root.MkdirAll("dev/pts", 0o755); err != nil {
		return err
	}
	for _, name := range box.Templates(meta) {
		if err := fill(root, name, box); err != nil {
			return err
		}
	}
	// In place: lxc-create holds these files' owner.
	if err := o.write("config", config); err != nil {
		return err
	}
	if fstab := box.Fstab(meta); fstab != nil {
		if err := o.write("fstab", fstab); err != nil {
			return err
		}
	}
	if message := box.Message(meta); message != "" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "\n---\n%s\n", message)
	}
	return err
}

// write writes a file of the container's, and gives it to whom root is mapped.
func (o *lxcOptions) write(name string, data []byte) error {
	to := filepath.Join(o.path, name)
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return fmt.Errorf("cannot write the container's %s: %w", name, err)
	}
	if o.mappedUID == "" || o.mappedUID == "-1" {
		return nil
	}
	uid, err := strconv.Atoi(o.mappedUID)
	gid, err2 := strconv.Atoi(cmp.Or(o.mappedGID, "-1"))
	if err = errors.Join(err, err2); err == nil {
		err = os.Chown(to, uid, gid)
	}
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil // nobody here may; the container's directory decides
}

// fill writes a template's values into it, where it is a file.
func fill(root *os.Root, name string, box lxc.Container) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := input.ReadIn(root, name, 1<<20)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(box.Fill(data))
	return errors.Join(err, f.Close())
}

// unxz reads a file through a decompressor.
func unxz(path string, read func(io.Reader) error) error {
	f, err := input.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	x, err := xz.NewReader(f, 128<<20)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if err := read(x); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}
