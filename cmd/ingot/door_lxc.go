package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

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
			name := cmp.Or(i.Variant, i.Name)
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
