package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/definition"
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

// shell runs a short shell program of ingot's own in the image. How the shell ended
// is of no interest: the error is what it and its programs said, the hint a last
// line of that which begins with "hint: ". Who gives a hint found that the definition
// asks for what the image has not got.
func (w *worker) shell(ctx context.Context, box *sandbox.Box, text string) error {
	out, err := box.Output(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-euc", text}, Env: w.environment()}, w.log)
	return shellError(err, string(out))
}

func shellError(err error, said string) error {
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) || exit.Code < 0 {
		return err
	}
	said, hint, hinted := strings.Cut("\n"+strings.TrimSpace(said), "\nhint: ")
	switch said = strings.TrimSpace(said); {
	case said == "":
	case strings.Contains(said, "\n"):
		err = fmt.Errorf("a program of the image failed:%s", sandbox.Quote([]byte(said)))
	default:
		err = errors.New(said)
	}
	if hinted {
		return fault.Newf(fault.Definition, "%w", err).WithHint("%s", hint)
	}
	return err
}

// system sets what every image has: host name, locale, time zone, sources of
// packages.
func (p *Plan) system() keyed {
	def := p.Definition
	var keys []lock.File
	archives := p.archives()
	for _, a := range archives {
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
		}{def.Hostname, def.Locale, def.Timezone, archives, keys},
		Step: Step{Name: "system", work: func(ctx context.Context, w *worker) error {
			box, err := w.Box(ctx)
			if err != nil {
				return err
			}
			files := []sandbox.NewFile{
				{Path: "etc/hostname", Mode: 0o644, Data: []byte(def.Hostname + "\n")},
				{Path: "etc/hosts", Mode: 0o644, Data: []byte("127.0.0.1\tlocalhost\n127.0.1.1\t" + hostNames(def.Hostname) + "\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")},
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
			if err := box.Write(ctx, files...); err != nil {
				return err
			}
			if err := w.shell(ctx, box, "umask 022\n"+timezoneScript(def.Timezone)); err != nil {
				return def.Asked("timezone", "").At(err)
			}
			return def.Asked("locale", "").At(w.shell(ctx, box, "umask 022\n"+localeScript(def.Locale)))
		}},
	}
}

// hostNames are a machine's names, the canonical one first (hosts(5)).
func hostNames(name string) string {
	if short, _, domain := strings.Cut(name, "."); domain {
		return name + " " + short
	}
	return name
}

// timezoneScript sets the time zone, where the image has zones. Releases since trixie have
// no /etc/timezone beside the link.
func timezoneScript(zone string) string {
	z := shellQuote(zone)
	missing := "echo \"the image has no time zone \"" + z + "; echo 'hint: since trixie old names are in the package tzdata-legacy: add it, or use the new name'; exit 1"
	if zone == "Etc/UTC" || zone == "UTC" {
		missing = ":" // the clock without zones
	}
	return "if [ -e /usr/share/zoneinfo/" + z + " ]; then ln -snf /usr/share/zoneinfo/" + z + " /etc/localtime; if [ -e /etc/timezone ]; then echo " + z + " >/etc/timezone; fi; else " + missing + "; fi\n"
}

// localeScript sets the locale, and generates it unless the C library has it.
func localeScript(locale string) string {
	l := shellQuote("LANG=" + locale)
	script := "mkdir -p /etc/default; echo " + l + " >/etc/default/locale\nif [ -d /etc/systemd ]; then echo " + l + " >/etc/locale.conf; fi\n"
	switch locale {
	case "C", "POSIX", "C.UTF-8", "C.utf8":
		return script
	}
	name, charset := locale, "UTF-8"
	if before, c, ok := strings.Cut(locale, "."); ok {
		var modifier string
		charset, modifier, ok = strings.Cut(c, "@")
		if name = before; ok {
			name += "@" + modifier
		}
	}
	// locale-gen succeeds whatever it could not make.
	return script + fmt.Sprintf(`fail() { echo "$1"; echo "hint: $2"; exit 1; }
locale=%s source=%s
there="in the image, /usr/share/i18n/SUPPORTED lists what there is"
[ -x /usr/sbin/locale-gen ] || fail 'a locale other than C.UTF-8 needs the package locales' 'add it to packages'
[ -e "/usr/share/i18n/locales/$source" ] || fail "the image has no locale $locale" "$there"
echo %s >/etc/locale.gen
locale-gen
[ -z "$(LC_ALL=$locale locale 2>&1 >/dev/null)" ] || fail "the image's locale-gen did not make $locale" "$there"
`, shellQuote(locale), shellQuote(name), shellQuote(locale+" "+charset))
}

// archives are those that the image's own sources name.
func (p *Plan) archives() []lock.Archive {
	return slices.DeleteFunc(slices.Clone(p.Lock.Archives), func(a lock.Archive) bool { return a.Beside })
}

// sources are the image's own sources of packages (sources.list(5), deb822
// form), as the lock fixed them.
func (p *Plan) sources() ([]sandbox.NewFile, error) {
	var out []sandbox.NewFile
	for _, a := range p.archives() {
		signed := "/usr/share/keyrings/debian-archive-keyring.gpg"
		if a.Key != "" {
			data, err := p.source(a.Key)
			if err != nil {
				return nil, err
			}
			signed = "/etc/apt/keyrings/" + a.Name + filepath.Ext(a.Key)
			out = append(out, sandbox.NewFile{Path: strings.TrimPrefix(signed, "/"), Mode: 0o644, Data: data})
		}
		text := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n", a.Address(), strings.Join(a.Suites, " "), strings.Join(a.Components, " "), signed)
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
		for _, g := range def.UnixGroups {
			if err := w.addGroup(ctx, box, g); err != nil {
				return def.Asked("unix-groups", g.Name).At(fault.Newf(fault.CodeOf(err), "unix group %s: %w", g.Name, err))
			}
		}
		var hashes strings.Builder
		for _, u := range def.Users {
			if err := w.addUser(ctx, box, u); err != nil {
				return def.Asked("users", u.Name).At(fault.Newf(fault.CodeOf(err), "user %s: %w", u.Name, err))
			}
			if u.PasswordHash != "" {
				hashes.WriteString(u.Name + ":" + u.PasswordHash + "\n")
			}
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

// addGroup makes a group, or gives one that is there the id that is asked for.
func (w *worker) addGroup(ctx context.Context, box *sandbox.Box, g definition.UnixGroup) error {
	known, err := readNames(ctx, box)
	if err != nil {
		return err
	}
	_, there := known.groups[g.Name]
	if there && g.GID == nil {
		return nil
	}
	if err := free("gid", g.GID, g.Name, known.groups); err != nil {
		return err
	}
	program, flags := "groupadd", ""
	if there {
		program = "groupmod"
	}
	if g.GID != nil {
		flags = fmt.Sprintf("-g %d", *g.GID)
	}
	return w.shell(ctx, box, fmt.Sprintf("umask 022\n%s %s %s\n", program, flags, shellQuote(g.Name)))
}

// free says whether an id is not another's.
func free(what string, id *uint32, name string, known map[string]uint32) error {
	for _, other := range slices.Sorted(maps.Keys(known)) {
		if id != nil && known[other] == *id && other != name {
			return fault.Newf(fault.Definition, "%s %d is taken by %s", what, *id, other).WithHint("choose another one")
		}
	}
	return nil
}

// addUser makes an account, or changes one that is there. Its home is what the
// definition says, else what the image says.
func (w *worker) addUser(ctx context.Context, box *sandbox.Box, u definition.User) error {
	known, err := readNames(ctx, box)
	if err != nil {
		return err
	}
	for _, g := range u.Groups {
		if _, ok := known.groups[g]; !ok {
			return fault.Newf(fault.Definition, "there is no group %s", g).WithHint("add it under unix-groups, or a package that makes it")
		}
	}
	if err := free("uid", u.UID, u.Name, known.users); err != nil {
		return err
	}
	name, home, login := shellQuote(u.Name), u.Home, u.Shell
	program, groups := "usermod", "-a -G" // what a user of a package has, he keeps
	if _, there := known.users[u.Name]; !there {
		program, groups = "useradd -m", "-G"
		if home == "" {
			home = "/home/" + u.Name
		}
		if login == "" {
			login = "/bin/bash"
		}
		// useradd makes a group of the same name, and refuses one that is there.
		if _, there := known.groups[u.Name]; there {
			program += " -g " + name
		}
	}
	flags := ""
	if u.UID != nil {
		flags += fmt.Sprintf(" -u %d", *u.UID)
	}
	if len(u.Groups) > 0 {
		flags += " " + groups + " " + shellQuote(strings.Join(u.Groups, ","))
	}
	if login != "" {
		flags += " -s " + shellQuote(login)
	}
	var b strings.Builder
	if u.Shell != "" { // the programs only warn
		missing := "the image has no shell " + u.Shell
		fmt.Fprintf(&b, "[ -f %[1]s ] && [ -x %[1]s ] || { echo %[2]s; echo 'hint: add the package that brings it, or choose another shell'; exit 1; }\n", shellQuote(u.Shell), shellQuote(missing))
	}
	// usermod is content with nothing to change, and says so.
	if program != "usermod" || flags != "" || home != "" {
		if home != "" {
			flags += " -d " + shellQuote(home)
		}
		fmt.Fprintf(&b, "umask 022\n%s%s %s\n", program, flags, name)
	}
	if u.Home != "" || len(u.SSHKeys) > 0 {
		fmt.Fprintf(&b, "home=$(getent passwd %[1]s | cut -d: -f6) group=$(id -gn %[1]s)\n[ -e \"$home\" ] || install -d -o %[1]s -g \"$group\" \"$home\"\n", name)
	}
	if len(u.SSHKeys) > 0 {
		fmt.Fprintf(&b, "keys=$home/.ssh/authorized_keys\ninstall -d -m 0700 -o %[1]s -g \"$group\" \"$home/.ssh\"\nprintf '%%s\\n' %[2]s >\"$keys\"\nchown %[1]s: \"$keys\"\nchmod 0600 \"$keys\"\n", name, quoteAll(u.SSHKeys))
	}
	if u.Sudo {
		fmt.Fprintf(&b, "mkdir -p -m 0750 /etc/sudoers.d; printf '%%s ALL=(ALL:ALL) NOPASSWD: ALL\\n' %[1]s >/etc/sudoers.d/%[1]s; chmod 0440 /etc/sudoers.d/%[1]s\n", name)
	}
	return w.shell(ctx, box, b.String())
}

func quoteAll(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, shellQuote(w))
	}
	return strings.Join(out, " ")
}
