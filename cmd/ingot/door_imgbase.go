package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ingot/internal/content"
	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/input"
	"ingot/internal/thinpool"
)

// imgbaseCommand is what ingot is called as imgbased's command.
const imgbaseCommand = "imgbase"

// nvrFile is where an image of imgbased's says its name.
const nvrFile = "/usr/share/imgbase/build/meta/nvr"

const imgbaseHelp = `imgbase makes bases and layers in an LVM thin pool and shows them, with the names
and tags of imgbased's command. 'ingot host' has what else there is.

  imgbase layout                          bases and their layers
  imgbase layout --bases | --layers       their names
  imgbase layout --free-space [--units m] what the pool has left
  imgbase layout --init [NAME] [--from GROUP/VOLUME]
  imgbase layout --init-nvr NAME [--from GROUP/VOLUME]
                                          the first base, of a thin volume (of that
                                          which runs), and a layer of it
  imgbase base --add NAME --size SIZE     an empty base; MiB unless SIZE has a unit
  imgbase base --latest
  imgbase base --remove NAME              and its layers
  imgbase base --of-layer LAYER
  imgbase layer --add [NAME]              a layer of a base or layer, else of the newest layer
  imgbase layer --latest | --current
  imgbase layer --volume-path NAME
  imgbase rollback [--to LAYER]           have another layer boot
  imgbase w                               the layer that runs
  imgbase check                           what is wrong; exits 8 if anything is
  imgbase --version

--debug, --experimental and --stream are taken, and of no use.
`

func newImgbaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                imgbaseCommand,
		Short:              "Make bases and layers of a host, as imgbased's command does",
		GroupID:            groupDoor,
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return imgbase(cmd, args) },
	}
	cmd.SetHelpTemplate(imgbaseHelp)
	return cmd
}

// imgbaseFlags are those of one of imgbase's verbs.
type imgbaseFlags struct {
	*pflag.FlagSet
	args []string
}

// read reads a verb's arguments, which may be before and behind its flags.
func (f *imgbaseFlags) read(args []string, most int) error {
	f.SetOutput(io.Discard)
	if err := f.Parse(args); err != nil {
		return imgbaseMisuse("%w", err)
	}
	if f.args = f.Args(); len(f.args) > most {
		return imgbaseMisuse("%q is one argument too many", f.args[most])
	}
	return nil
}

func (f *imgbaseFlags) given(name string) bool { return f.Changed(name) }

func (f *imgbaseFlags) text(name string) string {
	text, _ := f.GetString(name)
	return text
}

func imgbaseMisuse(format string, args ...any) error {
	return fault.Newf(fault.Usage, imgbaseCommand+": "+format, args...).WithHint("see \"imgbase --help\"")
}

func imgbase(cmd *cobra.Command, args []string) error {
	own := &imgbaseFlags{FlagSet: pflag.NewFlagSet(imgbaseCommand, pflag.ContinueOnError)}
	own.SetInterspersed(false)
	own.Bool("debug", false, "")
	own.Bool("experimental", false, "")
	own.String("stream", "", "")
	version, help := own.Bool("version", false, ""), own.BoolP("help", "h", false, "")
	if err := own.read(args, len(args)); err != nil {
		return err
	}
	verbs := map[string]func(*cobra.Command, []string) error{"layout": imgbaseLayout, "base": imgbaseBase, "layer": imgbaseLayer, "rollback": imgbaseRollback, "w": imgbaseW, "check": imgbaseCheck}
	switch {
	case *help || slices.Contains(own.args, "--help") || slices.Contains(own.args, "-h"):
		return cmd.Help()
	case *version:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), thisVersion())
		return err
	case len(own.args) == 0:
		return imgbaseMisuse("no verb is given")
	case verbs[own.args[0]] == nil:
		return imgbaseMisuse("unknown verb %q", own.args[0])
	}
	return verbs[own.args[0]](cmd, own.args[1:])
}

// say prints lines of a result.
func say(cmd *cobra.Command, lines ...any) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
			return err
		}
	}
	return nil
}

func imgbaseLayout(cmd *cobra.Command, args []string) error {
	f := &imgbaseFlags{FlagSet: pflag.NewFlagSet("layout", pflag.ContinueOnError)}
	begin, bases, layers, free := f.Bool("init", false, ""), f.Bool("bases", false, ""), f.Bool("layers", false, ""), f.Bool("free-space", false, "")
	f.String("init-nvr", "", "")
	f.String("from", "", "")
	f.String("units", "m", "")
	f.String("size", "", "") // imgbased takes it and does nothing with it
	if err := f.read(args, 1); err != nil {
		return err
	}
	if *begin || f.given("init-nvr") {
		name := f.text("init-nvr")
		if len(f.args) == 1 && name == "" {
			name = f.args[0]
		}
		return imgbaseInit(cmd, name, f.text("from"))
	}
	if len(f.args) > 0 {
		return imgbaseMisuse("%q is one argument too many", f.args[0])
	}
	_, s, err := thisHost(cmd.Context())
	if err != nil {
		return err
	}
	switch {
	case *bases || *layers:
		names := s.Layers()
		if *bases {
			names = s.Bases()
		}
		for _, n := range names {
			if err := say(cmd, n); err != nil {
				return err
			}
		}
		return nil
	case *free:
		text, err := inUnit(s.Pool.Free, f.text("units"))
		if err != nil {
			return err
		}
		return say(cmd, text)
	}
	for _, base := range s.Bases() {
		if err := say(cmd, base); err != nil {
			return err
		}
		for _, layer := range s.LayersOf(base) {
			if err := say(cmd, " +- "+layer.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// imgbaseInit makes the first base and layer.
func imgbaseInit(cmd *cobra.Command, text, from string) error {
	if text == "" {
		data, err := input.Read(nvrFile, 4096)
		if err != nil {
			return fault.Newf(fault.Usage, "what the first base is called is not known: %w", err).WithHint("imgbase layout --init NAME-VERSION-RELEASE")
		}
		text = strings.TrimSpace(string(data))
	}
	return initHost(cmd, &changeFlags{}, text, from)
}

// initHost makes the first base and layer of a thin volume.
func initHost(cmd *cobra.Command, f *changeFlags, text, from string) error {
	name, err := host.ParseName(text)
	if err != nil {
		return err
	}
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	ctx := cmd.Context()
	var kernel int64 // of another volume nobody knows it before it is copied
	if from == "" || from == "/" {
		if from, err = rootSource(); err != nil {
			return err
		}
		if kernel, err = startSize(); err != nil {
			return err
		}
	}
	store, volume, err := thinpool.OpenVolume(ctx, from)
	if err != nil {
		return err
	}
	h, _, err := wholeHost(store, false)
	if err != nil {
		return err
	}
	s, err := h.Observe(ctx)
	if err != nil {
		return err
	}
	steps, err := s.Init(name, volume, kernel)
	if err != nil {
		return err
	}
	return f.do(cmd, h, s, name, steps)
}

// startSize is what kernel and initramfs of what runs come to.
func startSize() (int64, error) {
	root, err := os.OpenRoot("/")
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	start, err := content.FindStart(root)
	if err != nil {
		return 0, err
	}
	n, err := start.Size()
	return n, errors.Join(err, start.Close())
}

// rootSource is the device that the root file system was mounted from.
func rootSource() (string, error) {
	data, err := input.Read("/proc/self/mounts", 1<<20)
	if err != nil {
		return "", err
	}
	var source string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "/" {
			source = f[0] // the last one that was mounted there
		}
	}
	if !strings.HasPrefix(source, "/dev/") {
		return "", fault.Newf(fault.Preflight, "/ is on no device").WithHint("say which thin volume: --from GROUP/VOLUME")
	}
	return source, nil
}

func imgbaseBase(cmd *cobra.Command, args []string) error {
	f := &imgbaseFlags{FlagSet: pflag.NewFlagSet("base", pflag.ContinueOnError)}
	latest := f.Bool("latest", false, "")
	for _, name := range []string{"add", "size", "remove", "of-layer"} {
		f.String(name, "", "")
	}
	if err := f.read(args, 0); err != nil {
		return err
	}
	changes := changeFlags{}
	switch {
	case f.given("add"):
		name, err := host.ParseName(f.text("add"))
		if err != nil {
			return err
		}
		size, err := sizeOf(f.text("size"))
		if err != nil {
			return err
		}
		return changes.change(cmd, func(s host.State) ([]host.Step, error) {
			steps, err := s.Add(host.Image{Name: name, Size: size})
			return slices.DeleteFunc(steps, func(step host.Step) bool { return step.Do == host.Fill }), err
		})
	case f.given("remove"):
		name, err := host.ParseName(f.text("remove"))
		if err == nil && name.Layer > 0 {
			err = imgbaseMisuse("%s is a layer, not a base", name)
		}
		if err != nil {
			return err
		}
		return changes.change(cmd, func(s host.State) ([]host.Step, error) { return s.Remove(name) })
	case *latest:
		return sayName(cmd, func(s host.State) (host.Name, error) { return newest("base", s.Bases()) })
	case f.given("of-layer"):
		name, err := host.ParseName(f.text("of-layer"))
		if err != nil {
			return err
		}
		return sayName(cmd, func(s host.State) (host.Name, error) {
			if !slices.Contains(s.Layers(), name) {
				return name, fault.Newf(fault.NotFound, "there is no layer %s", name).WithHint("\"imgbase layout --layers\" lists them")
			}
			return name.Base(), nil
		})
	}
	return imgbaseMisuse("base: say --add, --remove, --latest or --of-layer")
}

// sayName prints a name that a host's state gives.
func sayName(cmd *cobra.Command, ask func(host.State) (host.Name, error)) error {
	_, s, err := thisHost(cmd.Context())
	if err != nil {
		return err
	}
	name, err := ask(s)
	if err != nil {
		return err
	}
	return say(cmd, name)
}

func newest(kind string, names []host.Name) (host.Name, error) {
	if len(names) == 0 {
		return host.Name{}, fault.Newf(fault.NotFound, "this host has no %s", kind)
	}
	return names[len(names)-1], nil
}

func imgbaseLayer(cmd *cobra.Command, args []string) error {
	f := &imgbaseFlags{FlagSet: pflag.NewFlagSet("layer", pflag.ContinueOnError)}
	add, latest, current := f.Bool("add", false, ""), f.Bool("latest", false, ""), f.Bool("current", false, "")
	f.String("volume-path", "", "")
	if err := f.read(args, 1); err != nil {
		return err
	}
	if len(f.args) > 0 && !*add {
		return imgbaseMisuse("%q is one argument too many", f.args[0])
	}
	switch {
	case *add:
		var of host.Name
		if len(f.args) == 1 {
			var err error
			if of, err = host.ParseName(f.args[0]); err != nil {
				return err
			}
		}
		return (&changeFlags{}).change(cmd, func(s host.State) ([]host.Step, error) { return addLayer(s, of) })
	case *latest:
		return sayName(cmd, func(s host.State) (host.Name, error) { return newest("layer", s.Layers()) })
	case *current:
		return sayName(cmd, running)
	case f.given("volume-path"):
		name, err := host.ParseName(f.text("volume-path"))
		if err != nil {
			return err
		}
		return volumePath(cmd.Context(), cmd, name)
	}
	return imgbaseMisuse("layer: say --add, --latest, --current or --volume-path")
}

// addLayer makes a layer of what was named, else of the newest layer.
func addLayer(s host.State, of host.Name) ([]host.Step, error) {
	if of.IsZero() {
		base, err := newest("base", s.Bases())
		if err != nil {
			return nil, err
		}
		layers := s.LayersOf(base)
		if len(layers) == 0 {
			return nil, fault.Newf(fault.Choice, "%s, the newest base, has no layer yet", base).WithHint("imgbase layer --add %s", base)
		}
		of = layers[len(layers)-1]
	}
	_, steps, err := s.Derive(of, host.Name{})
	return steps, err
}

func running(s host.State) (host.Name, error) {
	if s.Booted.IsZero() {
		return host.Name{}, fault.Newf(fault.NotFound, "/ is no layer of this host")
	}
	return s.Booted, nil
}

func volumePath(ctx context.Context, cmd *cobra.Command, name host.Name) error {
	h, s, err := thisHost(ctx)
	if err != nil {
		return err
	}
	store, ok := h.Store.(*thinpool.Store)
	if !ok {
		return errors.New("volumes have no paths")
	}
	if _, ok := s.Volume(name); !ok {
		return fault.Newf(fault.NotFound, "there is no %s", name).WithHint("\"imgbase layout\" lists what there is")
	}
	return say(cmd, store.Path(name))
}

func imgbaseRollback(cmd *cobra.Command, args []string) error {
	f := &imgbaseFlags{FlagSet: pflag.NewFlagSet("rollback", pflag.ContinueOnError)}
	f.String("to", "", "")
	if err := f.read(args, 1); err != nil {
		return err
	}
	var to host.Name
	text := f.text("to")
	if text == "" && len(f.args) == 1 {
		text = f.args[0]
	}
	if text != "" {
		var err error
		if to, err = host.ParseName(text); err != nil {
			return err
		}
	}
	return (&changeFlags{}).change(cmd, func(s host.State) ([]host.Step, error) {
		_, steps, err := s.Rollback(to)
		return steps, err
	})
}

func imgbaseW(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return imgbaseMisuse("%q is one argument too many", args[0])
	}
	_, s, err := thisHost(cmd.Context())
	if err != nil {
		return err
	}
	name, err := running(s)
	if err != nil {
		return err
	}
	return say(cmd, "You are on "+name.String())
}

func imgbaseCheck(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return imgbaseMisuse("%q is one argument too many", args[0])
	}
	_, s, err := readHost(cmd.Context())
	if err != nil {
		return err
	}
	return checkHost(cmd, s, false)
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,9})([bBsSkKmMgGtT]?)(?:i?[bB])?$`)

// unitShifts are LVM's letters (lvm(8)); capitals are no powers of ten here either.
var unitShifts = map[string]int{"b": 0, "s": 9, "k": 10, "": 20, "m": 20, "g": 30, "t": 40}

// sizeOf reads a size as lvcreate does: MiB, unless it has a unit.
func sizeOf(text string) (int64, error) {
	if text == "" {
		return 0, imgbaseMisuse("base: how large is not said: --size SIZE")
	}
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, imgbaseMisuse("%q is no size: a number, and k, m, g or t", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, imgbaseMisuse("size: %w", err)
	}
	shift := unitShifts[strings.ToLower(m[2])]
	if n<<shift>>shift != n || n<<shift > 1<<50 {
		return 0, imgbaseMisuse("%q is too large", text)
	}
	return n << shift, nil
}

// inUnit writes bytes in one of LVM's units.
func inUnit(bytes int64, unit string) (string, error) {
	shift, ok := unitShifts[strings.ToLower(unit)]
	if !ok || unit == "" {
		return "", imgbaseMisuse("unknown unit %q: b, s, k, m, g or t", unit)
	}
	return strconv.FormatInt(bytes>>shift, 10), nil
}
