package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ingot/internal/lock"
)

// aptConf keeps all that apt-get has to itself in one directory, with no package
// installed.
const aptConf = `Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc "%[1]s/etc";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::Install-Recommends "true";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
`

// leastPackages is how many packages the group has that is locked.
const leastPackages = 500

// locks are the contestants that choose packages: a group of more than 500 packages,
// alone and in eight flavors, beside apt-get -s for the group alone. All have their
// indexes here; apt-get has its cache of them too.
func (b bench) locks() ([]contestant, error) {
	packages := []string{"nginx", "postgresql", "openssh-server", "vim", "git", "build-essential", "python3-pip", "curl", "rsync", "samba", "php-fpm", "default-jre-headless", "ffmpeg"}
	const flavors = `flavors:
  vmware: {packages: [open-vm-tools]}
  xen: {packages: [xen-utils-common]}
  "!ssl": {packages: [tmux]}
  "!ipv6": {packages: [htop]}
  kvm: {packages: [qemu-guest-agent]}
  hyperv: {packages: [hyperv-daemons]}
  selinux: {packages: [selinux-basics]}
`
	env := []string{"INGOT_HOME=" + filepath.Join(b.work, "locks-home"), "INGOT_CACHE=" + filepath.Join(b.work, "locks-cache")}
	ingot := func(name, more string) (contestant, error) {
		dir := filepath.Join(b.work, "locks-"+name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return contestant{}, err
		}
		text := fmt.Sprintf("version: 1\nname: bench\ndistro: debian\nrelease: %s\narchives: [{url: %q, suites: [%[1]s], components: [main], check-valid-until: false}]\nrecommends: true\npackages: [%[3]s]\noutputs: [tar]\n%[4]s", b.suite, b.mirror, strings.Join(packages, ", "), more)
		definition, locked := filepath.Join(dir, "ingot.yaml"), filepath.Join(dir, "ingot.lock")
		c := contestant{
			group: "a lock of more than 500 packages", argv: []string{b.ingot, "lock", "--quiet", "--mirror", b.mirror, definition}, env: env,
			before: func() error { return os.RemoveAll(locked) },
		}
		if err := os.WriteFile(definition, []byte(text), 0o644); err != nil {
			return c, err
		}
		if _, _, err := c.run(false); err != nil {
			return c, err
		}
		l, err := lock.Read(locked)
		if err != nil {
			return c, err
		}
		for _, s := range l.Sets {
			if len(s.Refs) < leastPackages {
				return c, fmt.Errorf("set %s has %d packages, want %d", s.Name(), len(s.Refs), leastPackages)
			}
		}
		c.name = fmt.Sprintf("ingot: %d flavors of %d packages and more", len(l.Sets), len(l.Sets[0].Refs))
		return c, nil
	}
	one, err := ingot("one", "")
	if err != nil {
		return nil, err
	}
	eight, err := ingot("eight", flavors)
	if err != nil {
		return nil, err
	}
	apt, err := b.apt(packages)
	if err != nil {
		return nil, err
	}
	one.held, eight.held, eight.limit = []against{{apt.name, 1}}, []against{{peer: apt.name}}, 1.5
	return []contestant{apt, one, eight}, nil
}

// apt is apt-get choosing the same packages for an empty system.
func (b bench) apt(packages []string) (contestant, error) {
	dir := filepath.Join(b.work, "locks-apt")
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return contestant{}, err
		}
	}
	source := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", b.mirror, b.suite)
	for name, text := range map[string]string{"status": "", "apt.conf": fmt.Sprintf(aptConf, dir), "etc/sources.list": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return contestant{}, err
		}
	}
	env := []string{"APT_CONFIG=" + filepath.Join(dir, "apt.conf")}
	update := exec.Command("apt-get", "-q", "update") //nolint:noctx // runs to its end
	update.Env = append(os.Environ(), env...)
	if out, err := update.CombinedOutput(); err != nil {
		return contestant{}, fmt.Errorf("apt-get update: %w\n%s", err, out)
	}
	argv := append([]string{"apt-get", "-qq", "-s", "-y", "install", "?essential", "?priority(required)", "apt"}, packages...)
	return contestant{name: "apt-get -s: the same packages", group: "a lock of more than 500 packages", argv: argv, env: env}, nil
}
