package plan

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
)

var noMeter supply.Meter

// calls are the programs that the build is to the scripts of elements.
func (w *worker) calls() map[string]relay.Call {
	return map[string]relay.Call{"debootstrap": w.debootstrap, "apt-get": w.apt, "grub-install": w.grubInstall, "grub-probe": w.grubProbe, "grub-mkrelpath": w.grubPath}
}

// debootstrapVersion is what the call of that name says it is: elements look.
const debootstrapVersion = "debootstrap 1.0.141"

// aptBuildPath is in the image while it is built, for its apt: that an index is not too
// old was seen to when the lock got it, and it does not grow younger.
const (
	aptBuildPath = "etc/apt/apt.conf.d/00ingot-build"
	aptBuild     = "Acquire::Check-Valid-Until \"false\";\nAcquire::Retries \"0\";\n"
)

// A debootstrapCall is what debootstrap(8) is called with, as far as it matters here.
type debootstrapCall struct {
	variant string
	include []string
	exclude []string
	arch    string
	suite   string
	target  string
	mirror  string
}

// parseDebootstrap reads debootstrap's arguments.
func parseDebootstrap(args []string) (c debootstrapCall, version bool, err error) {
	var words []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		name, value, has := strings.Cut(a, "=")
		switch name {
		case "--version":
			return c, true, nil
		case "--variant", "--include", "--exclude", "--components", "--arch", "--keyring", "--extractor", "--cache-dir", "--extra-suites", "--force-check-gpg", "--no-check-gpg", "--no-merged-usr", "--merged-usr":
			takes := name != "--force-check-gpg" && name != "--no-check-gpg" && name != "--no-merged-usr" && name != "--merged-usr"
			if takes && !has {
				if i++; i == len(args) {
					return c, false, fmt.Errorf("%s has no value", name)
				}
				value = args[i]
			}
			switch name {
			case "--variant":
				c.variant = value
			case "--include":
				c.include = append(c.include, splitNames(value)...)
			case "--exclude":
				c.exclude = append(c.exclude, splitNames(value)...)
			case "--arch":
				c.arch = value
			}
		case "--verbose", "--keep-debootstrap-dir":
		default:
			if strings.HasPrefix(a, "-") {
				return c, false, fmt.Errorf("the option %s is not known here", a)
			}
			words = append(words, a)
		}
	}
	if len(words) < 2 {
		return c, false, fmt.Errorf("suite and target are needed")
	}
	c.suite, c.target = words[0], words[1]
	if len(words) > 2 {
		c.mirror = words[2]
	}
	return c, false, nil
}

func splitNames(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// debootstrap does for a script what debootstrap(8) does: the packages of the lock's
// starting set, installed by ingot.
func (w *worker) debootstrap(ctx context.Context, call relay.Calling, out io.Writer) int {
	c, version, err := parseDebootstrap(call.Args)
	if version {
		_, _ = fmt.Fprintln(out, debootstrapVersion)
		return 0
	}
	if err == nil {
		err = w.bootstrap(ctx, c, out)
	}
	if err != nil {
		_, _ = fmt.Fprintf(out, "E: %v\n", err)
		return 1
	}
	return 0
}

// aptConfiguration is the file at aptBuildPath.
func (w *worker) aptConfiguration() sandbox.NewFile {
	return sandbox.NewFile{Path: aptBuildPath, Mode: 0o644, Data: []byte(aptBuild), Mtime: w.plan.Lock.Epoch}
}

func (w *worker) bootstrap(ctx context.Context, c debootstrapCall, out io.Writer) error {
	refs := w.plan.base(w.chain)
	switch {
	case !w.plan.Definition.Elements.Root:
		return fmt.Errorf("the definition's base is there already")
	case len(refs) == 0:
		return fmt.Errorf("the lock has no starting set")
	case strings.TrimSuffix(c.target, "/") != mountDir:
		return fmt.Errorf("the target is %s, and only %s can be filled", c.target, mountDir)
	case c.arch != "" && c.arch != w.chain.Arch:
		return fmt.Errorf("the architecture %s is not the image's", c.arch)
	case c.variant != "" && c.variant != "minbase" && c.variant != "-":
		return fmt.Errorf("the variant %s cannot be had, minbase can", c.variant)
	}
	pkgs, err := w.delivery.Packages(ctx, refs)
	if err != nil {
		return err
	}
	err = w.Distro.Configure(ctx, w.box, distro.Install{
		First: true, Packages: pkgs, Unpacked: w.delivery.Unpacked, Contents: w.reader, Arch: w.chain.Arch, Release: w.plan.Lock.Release,
		Asked: map[string]bool{}, Epoch: w.plan.Lock.Epoch, Log: func(line string) { _, _ = fmt.Fprintf(out, "I: %s\n", line) },
	})
	if err != nil {
		return err
	}
	if err := w.box.Write(ctx, w.aptConfiguration()); err != nil {
		return err
	}
	if err := w.cover(ctx, true); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "I: Base system installed successfully.")
	return err
}
