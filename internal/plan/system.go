package plan

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
)

// shellQuote makes one word of anything for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// relative is a path below the definition's directory as the lock names it.
func relative(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// environment is what programs of the image see while it is customised.
func (w *worker) environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "TZ=UTC0",
		"DEBIAN_FRONTEND=noninteractive",
		"SYSTEMD_OFFLINE=1", // it cannot tell by /proc/1/root, which is shut
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", w.plan.Lock.Epoch),
	}, more...)
}

// shell runs a short shell program of ingot's own in the image.
func (w *worker) shell(ctx context.Context, box *sandbox.Box, text string) error {
	out, err := box.Output(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-euc", text}, Env: w.environment()}, w.log)
	if err != nil {
		return fmt.Errorf("%w%s", err, sandbox.Quote(out))
	}
	return nil
}

// system sets what every image has: host name, locale, time zone, sources of
// packages.
func (p *Plan) system() keyed {
	def := p.Definition
	var keys []lock.File
	for _, a := range p.Lock.Archives {
		if a.Key != "" {
			keys = append(keys, p.below(a.Key)...)
		}
	}
	return keyed{
		kind: "system",
		reads: struct {
			Hostname, Locale, Timezone string
			Archives                   []lock.Archive
			Keys                       []lock.File
		}{def.Hostname, def.Locale, def.Timezone, p.Lock.Archives, keys},
		Step: Step{Name: "system", work: func(ctx context.Context, w *worker) error {
			box, err := w.Box(ctx)
			if err != nil {
				return err
			}
			files := []sandbox.NewFile{
				{Path: "etc/hostname", Mode: 0o644, Data: []byte(def.Hostname + "\n")},
				{Path: "etc/hosts", Mode: 0o644, Data: []byte("127.0.0.1\tlocalhost\n127.0.1.1\t" + def.Hostname + "\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")},
			}
			// Without apt nobody would read them.
			if apt, err := box.Exists(ctx, "etc/apt/sources.list.d"); err != nil {
				return err
			} else if apt {
				sources, err := p.sources()
				if err != nil {
					return err
				}
				files = append(files, sources...)
			}
			for i := range files {
				files[i].Mtime = p.Lock.Epoch
			}
			script := "umask 022\n" + timezoneScript(def.Timezone) + localeScript(def.Locale)
			if err := box.Write(ctx, files...); err != nil {
				return err
			}
			return w.shell(ctx, box, script)
		}},
	}
}

// timezoneScript sets the time zone, where the image has zones.
func timezoneScript(zone string) string {
	z := shellQuote(zone)
	missing := "echo \"the image has no time zone \"" + z + "\"; since trixie old names are in the package tzdata-legacy: add it, or use the new name\" >&2; exit 1"
	if zone == "Etc/UTC" || zone == "UTC" {
		missing = ":" // the clock without zones
	}
	return "if [ -e /usr/share/zoneinfo/" + z + " ]; then ln -snf /usr/share/zoneinfo/" + z + " /etc/localtime; echo " + z + " >/etc/timezone; else " + missing + "; fi\n"
}

// localeScript sets the locale, and generates it unless the C library has it.
func localeScript(locale string) string {
	l := shellQuote("LANG=" + locale)
	script := "mkdir -p /etc/default; echo " + l + " >/etc/default/locale\nif [ -d /etc/systemd ]; then echo " + l + " >/etc/locale.conf; fi\n"
	switch locale {
	case "C", "POSIX", "C.UTF-8", "C.utf8":
		return script
	}
	charset := "UTF-8"
	if _, c, ok := strings.Cut(locale, "."); ok {
		charset, _, _ = strings.Cut(c, "@")
	}
	return script + "if [ -x /usr/sbin/locale-gen ]; then echo " + shellQuote(locale+" "+charset) + " >/etc/locale.gen; locale-gen; else echo 'a locale other than C.UTF-8 needs the package locales' >&2; exit 1; fi\n"
}

// sources are the image's own sources of packages (sources.list(5), deb822
// form), as the lock fixed them.
func (p *Plan) sources() ([]sandbox.NewFile, error) {
	var out []sandbox.NewFile
	for _, a := range p.Lock.Archives {
		signed := "/usr/share/keyrings/debian-archive-keyring.gpg"
		if a.Key != "" {
			data, err := p.source(a.Key)
			if err != nil {
				return nil, err
			}
			signed = "/etc/apt/keyrings/" + a.Name + filepath.Ext(a.Key)
			out = append(out, sandbox.NewFile{Path: strings.TrimPrefix(signed, "/"), Mode: 0o644, Data: data})
		}
		text := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n", a.URL, strings.Join(a.Suites, " "), strings.Join(a.Components, " "), signed)
		out = append(out, sandbox.NewFile{Path: "etc/apt/sources.list.d/" + a.Name + ".sources", Mode: 0o644, Data: []byte(text)})
	}
	return out, nil
}

// users makes groups and accounts with the image's own programs, which know its
// rules.
func (p *Plan) users() keyed {
	def := p.Definition
	return keyed{kind: "users", reads: []any{def.UnixGroups, def.Users}, Step: Step{Name: "users", work: func(ctx context.Context, w *worker) error {
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		var b, hashes strings.Builder
		b.WriteString("umask 022\n")
		for _, g := range def.UnixGroups {
			gid := ""
			if g.GID != nil {
				gid = fmt.Sprintf("-g %d", *g.GID)
			}
			fmt.Fprintf(&b, "getent group %[1]s >/dev/null || groupadd %[2]s %[1]s\n", shellQuote(g.Name), gid)
		}
		for _, u := range def.Users {
			name := shellQuote(u.Name)
			flags := "-s " + shellQuote(u.Shell)
			if u.UID != nil {
				flags += fmt.Sprintf(" -u %d", *u.UID)
			}
			if len(u.Groups) > 0 {
				flags += " -G " + shellQuote(strings.Join(u.Groups, ","))
			}
			// useradd makes a group of the same name, and refuses one that is there.
			fmt.Fprintf(&b, "if getent passwd %[1]s >/dev/null; then usermod %[2]s %[1]s; elif getent group %[1]s >/dev/null; then useradd -m -d %[3]s -g %[1]s %[2]s %[1]s; else useradd -m -d %[3]s %[2]s %[1]s; fi\n", name, flags, shellQuote(u.Home))
			if u.PasswordHash != "" {
				hashes.WriteString(u.Name + ":" + u.PasswordHash + "\n")
			}
			if len(u.SSHKeys) > 0 {
				home := shellQuote(u.Home)
				fmt.Fprintf(&b, "install -d -m 0700 -o %[1]s -g \"$(id -gn %[1]s)\" %[2]s/.ssh\nprintf '%%s\\n' %[3]s >%[2]s/.ssh/authorized_keys\nchown %[1]s: %[2]s/.ssh/authorized_keys\nchmod 0600 %[2]s/.ssh/authorized_keys\n", name, home, quoteAll(u.SSHKeys))
			}
			if u.Sudo {
				fmt.Fprintf(&b, "mkdir -p -m 0750 /etc/sudoers.d; printf '%%s ALL=(ALL:ALL) NOPASSWD: ALL\\n' %[1]s >/etc/sudoers.d/%[1]s; chmod 0440 /etc/sudoers.d/%[1]s\n", name)
			}
		}
		if err := w.shell(ctx, box, b.String()); err != nil {
			return fault.Newf(fault.Failed, "cannot make users and groups: %w", err)
		}
		if hashes.Len() == 0 {
			return nil
		}
		// By standard input: arguments are no place for secrets, not even here.
		in, err := sandbox.Memory("hashes", []byte(hashes.String()))
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		if _, err := in.Seek(0, 0); err != nil {
			return err
		}
		return box.Run(ctx, sandbox.Command{Argv: []string{"/usr/sbin/chpasswd", "-e"}, Env: w.environment(), Stdin: in})
	}}}
}

func quoteAll(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, shellQuote(w))
	}
	return strings.Join(out, " ")
}

// services enables, disables and masks units.
func (p *Plan) services(c Chain) keyed {
	s := p.Definition.Services
	// A container's tree may have no init at all; whoever runs it starts what
	// it is for.
	without := "echo 'services need systemd in the image; add the package systemd-sysv' >&2; exit 1"
	if c.Purpose == Container {
		without = "echo 'the image has no systemd: its services are not enabled' >&2; exit 0"
	}
	return keyed{kind: "services", reads: []any{s, c.Purpose}, Step: Step{Name: "services", work: func(ctx context.Context, w *worker) error {
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		b.WriteString("umask 022\ncommand -v systemctl >/dev/null || { " + without + "; }\n")
		for _, v := range []struct {
			verb  string
			units []string
		}{{"disable", s.Disable}, {"mask", s.Mask}, {"enable", s.Enable}} {
			if len(v.units) > 0 {
				fmt.Fprintf(&b, "systemctl --quiet %s -- %s\n", v.verb, quoteAll(v.units))
			}
		}
		return w.shell(ctx, box, b.String())
	}}}
}
