package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/cache"
	"ingot/internal/compiler"
	"ingot/internal/definition"
	"ingot/internal/distro/debian"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/tools"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// A house is what verbs that build have in common: where things are kept, how
// they are fetched.
type house struct {
	home     string // $INGOT_HOME
	store    *store.Store
	cache    *cache.Cache
	client   *fetch.Client
	mirrors  debian.Mirrors
	progress *ui.Progress
	offline  bool
}

// sourceFlags are the flags of verbs that fetch.
type sourceFlags struct {
	mirror        string
	offline       bool
	acceptExpired bool
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.mirror, "mirror", "", "fetch Debian's packages from this mirror: http://HOST/debian")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "use no network: everything must be in the store")
	cmd.Flags().BoolVar(&f.acceptExpired, "accept-expired", false, "accept package indexes past their Valid-Until")
}

// dirs are $INGOT_HOME and $INGOT_CACHE.
func dirs() (home, cacheDir string, err error) {
	home, cacheDir = environ("INGOT_HOME"), environ("INGOT_CACHE")
	if os.Geteuid() == 0 {
		home, cacheDir = or(home, "/var/lib/ingot"), or(cacheDir, "/var/cache/ingot")
	}
	user, userErr := os.UserHomeDir()
	if (home == "" || cacheDir == "") && userErr != nil {
		return "", "", fault.Newf(fault.Preflight, "cannot tell where to keep things: %w", userErr).WithHint("set INGOT_HOME and INGOT_CACHE")
	}
	home = or(home, filepath.Join(or(environ("XDG_DATA_HOME"), filepath.Join(user, ".local/share")), "ingot"))
	cacheDir = or(cacheDir, filepath.Join(or(environ("XDG_CACHE_HOME"), filepath.Join(user, ".cache")), "ingot"))
	if home, err = filepath.Abs(home); err == nil {
		cacheDir, err = filepath.Abs(cacheDir)
	}
	return home, cacheDir, err
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func openHouse(f sourceFlags, p *ui.Progress) (*house, error) {
	home, cacheDir, err := dirs()
	if err != nil {
		return nil, err
	}
	h := &house{home: home, progress: p, offline: f.offline, client: &fetch.Client{Progress: func(e fetch.Event) {
		if e.Note != "" {
			p.Notef("%s: %s", e.Name, e.Note)
		}
	}}}
	if h.mirrors, err = mirrors(f); err != nil {
		return nil, err
	}
	if h.store, err = store.Open(home); err != nil {
		return nil, err
	}
	h.cache, err = cache.Open(cacheDir)
	return h, err
}

// writable makes store and cache, for verbs that write to them: what cannot be used is
// known before any work. Verbs that only read make neither.
func (h *house) writable() error { return errors.Join(h.store.Make(), h.cache.Make()) }

// mirrorVariable names a mirror where --mirror does not.
const mirrorVariable = "INGOT_MIRROR_DEBIAN"

// mirrors are the places to fetch from that flags, environment and host name.
func mirrors(f sourceFlags) (debian.Mirrors, error) {
	m := debian.Mirrors{Flag: f.mirror, Env: environ(mirrorVariable)}
	for name, place := range map[string]string{"--mirror": m.Flag, mirrorVariable: m.Env} {
		if place != "" && !debian.IsAddress(place) {
			if name += fmt.Sprintf(" %q", place); strings.Contains(place, "@") {
				name, _, _ = strings.Cut(name, " ") // there may be a password in it
			}
			return m, fault.Newf(fault.Usage, "%s is not the address of a mirror", name).
				WithHint("write http://HOST/debian, https://HOST/debian or file:///DIRECTORY")
		}
	}
	m.Host = debian.AptSources("/")
	return m, nil
}

// compiler makes locks.
func (h *house) compiler(f sourceFlags) *compiler.Compiler {
	return &compiler.Compiler{
		Client: h.client, Mirrors: h.mirrors, Indexes: h.indexes(), Seen: filepath.Join(h.home, "seen"),
		Now: time.Now(), HostArch: hostArch(), AcceptExpired: f.acceptExpired, Progress: h.progress, Offline: h.offline,
		Group: h.groups(&repositoryFlags{}),
	}
}

// indexes is where package indexes lie, which who fetches one makes.
func (h *house) indexes() string { return filepath.Join(h.cache.Dir(), "indexes") }

// supply brings the packages of a lock.
func (h *house) supply(l *lock.Lock) *supply.Supply {
	s := &supply.Supply{Store: h.store, Cache: h.cache, Client: h.client, Distro: debian.Debian{}, Elsewhere: h.groupPackages(l)}
	if !h.offline {
		roots := map[string][]string{}
		for _, a := range l.Archives {
			roots[a.Name] = h.mirrors.Roots(a)
		}
		// What is beside the image is Debian's own, also where the image's archives are not.
		if len(l.Station) > 0 {
			for _, a := range debian.DefaultArchives(tools.Release) {
				roots[a.Name] = append(roots[a.Name], h.mirrors.Roots(a)...)
			}
		}
		s.Mirrors = func(archive string) []string { return roots[archive] }
	}
	return s
}

// bootTools is where QEMU and its firmware come from: the host, if it has the
// right ones, else a tools tree.
func (h *house) bootTools() vm.Toolbox { return vm.FirstOf(vm.Host(), h.keeper().Machines()) }

// keeper keeps tools trees.
func (h *house) keeper() *tools.Keeper {
	return &tools.Keeper{Home: h.home, Cache: h.cache, Compiler: h.compiler(sourceFlags{}), Supply: h.supply, Distro: debian.Debian{}, Progress: h.progress}
}

// hostArch is Debian's name of this machine's architecture.
func hostArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	}
	return runtime.GOARCH
}

// definitionPath is the definition that an argument names: a file, a directory
// with an ingot.yaml, or nothing for the one here.
func definitionPath(args []string) (string, error) {
	path := "ingot.yaml"
	if len(args) > 0 {
		path = args[0]
	}
	if path == "-" {
		return "", fault.Newf(fault.Usage, "a definition cannot be read from the standard input: what it names lies beside its file").
			WithHint("name the file; ./- is one of that name")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "ingot.yaml")
	}
	if _, err := os.Stat(path); err != nil {
		hint := "'ingot init' writes a first one"
		if _, err := os.Stat("ingot.yaml"); err == nil && len(args) > 0 {
			hint = "the definition here is ingot.yaml: without an argument it is meant"
		}
		return "", fault.Newf(fault.Definition, "there is no definition %s", path).WithHint("%s", hint)
	}
	return path, nil
}

// load reads the definition that the arguments name and says where its lock is.
func load(args []string) (def *definition.Definition, lockPath string, err error) {
	path, err := definitionPath(args)
	if err != nil {
		return nil, "", err
	}
	if def, err = definition.Load(path, loadOptions()); err != nil {
		return nil, "", err
	}
	return def, lockName(path), nil
}

// warnOf says what is odd in a definition.
func warnOf(def *definition.Definition, progress *ui.Progress) {
	for _, w := range def.Warnings {
		progress.Warnf("%s", w)
	}
}

// loadOptions are what this machine says to a definition.
func loadOptions() definition.Options {
	var path []string
	for _, d := range element.Dirs(environ("ELEMENTS_PATH")) {
		path = append(path, d.Dir)
	}
	return definition.Options{HostArch: hostArch(), ElementsPath: path}
}

// lockName is where the lock of a definition lies: ingot.lock beside ingot.yaml,
// web.lock beside web.yaml.
func lockName(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".lock"
}

// summary is the last line of a build, for people.
func summary(cmd *cobra.Command, s ui.Summary) error {
	if _, err := s.WriteTo(cmd.OutOrStdout()); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}
