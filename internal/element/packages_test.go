package element

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// squashed is what some elements install and remove, as text: "phase: +a/element -b/element".
func squashed(t *testing.T, text, environment string, compat bool) (string, []Warning, error) {
	t.Helper()
	p := open(t, elements(t, "e", text))
	h := merged(t, p, p.Names()...)
	env := map[string]string{}
	for _, v := range strings.Fields(environment) {
		k, v, _ := strings.Cut(v, "=")
		env[k] = v
	}
	lists, warnings, err := Packages(h.Set, Surrounding{env, compat})
	var out []string
	for _, l := range lists {
		var words []string
		for _, r := range l.Install {
			words = append(words, "+"+r.Package+"/"+r.Element)
		}
		for _, r := range l.Remove {
			words = append(words, "-"+r.Package+"/"+r.Element)
		}
		if len(words) > 0 {
			out = append(out, l.Phase+": "+strings.Join(words, " "))
		}
	}
	return strings.Join(out, "; "), warnings, err
}

const kernels = `u/package-installs.yaml = linux-image-generic:\n- not-arch: arm64\n  when: DIB_UBUNTU_KERNEL = linux-image-generic\n` +
	`- arch: arm64\n  when: [DIB_RELEASE != xenial, DIB_UBUNTU_KERNEL = linux-image-generic]\n` +
	`linux-generic-hwe-16.04:\n  arch: arm64\n  when:\n  - DIB_RELEASE = xenial\n  - DIB_UBUNTU_KERNEL = linux-image-generic\n`

func TestPackages(t *testing.T) {
	const generic = " DIB_UBUNTU_KERNEL=linux-image-generic"
	for _, row := range []struct{ name, text, env, want, err string }{
		// diskimage-builder's own.
		{"simple", `a/package-installs.yaml = p: ''`, "", "install.d: +p/a", ""},
		{"arch", `a/package-installs.yaml = p: ''\nq: {arch: arm64}\nr: {not-arch: arm64}`, "ARCH=arm64", "install.d: +p/a +q/a", ""},
		{"kernel of amd64", kernels, "ARCH=x86_64 DIB_RELEASE=focal" + generic, "install.d: +linux-image-generic/u", ""},
		{"kernel of arm64, old", kernels, "ARCH=arm64 DIB_RELEASE=xenial" + generic, "install.d: +linux-generic-hwe-16.04/u", ""},
		{"kernel of arm64", kernels, "ARCH=arm64 DIB_RELEASE=focal" + generic, "install.d: +linux-image-generic/u", ""},
		{"when", `a/package-installs.yaml = s: {when: F=0}\nn: {when: F=1}\ne: {when: F!=0}\nx: {when: F!=1}`, "F=1", "install.d: +n/a +e/a", ""},
		{"when without the variable", `a/package-installs.yaml = p: {when: MISSING=1}`, "", "", "e/a/package-installs.yaml:1: package p of element a depends on the variable MISSING, which is not set"},
		{"when with a list", `a/package-installs.yaml = n: {when: [A=1, B=1, C=1]}\ns: {when: [A=1, B=0, C=1]}`, "A=1 B=1 C=1", "install.d: +n/a", ""},
		{"install, then build-only", `a/package-installs.yaml = p: ''
			b/package-installs.yaml = p: {build-only: 'true'}`, "", "install.d: +p/a +p/b", ""},
		{"build-only, then install", `a/package-installs.yaml = p: {build-only: 'true'}
			b/package-installs.yaml = p: ''`, "", "install.d: +p/a +p/b", ""},
		// More.
		{"build-only", `a/package-installs.yaml = p: {build-only: true}`, "", "install.d: +p/a -p/a", ""},
		{"uninstall", `a/package-installs.yaml = p: {uninstall: true}`, "", "install.d: -p/a", ""},
		{"uninstall and install", `a/package-installs.yaml = p: {uninstall: true}
			b/package-installs.yaml = p:`, "", "install.d: +p/b", ""},
		{"phases do not touch each other", `a/package-installs.yaml = p: {uninstall: true, phase: post-install.d}
			b/package-installs.yaml = p: {phase: pre-install.d}`, "", "pre-install.d: +p/b; post-install.d: -p/a", ""},
		{"uninstall and build-only", `a/package-installs.yaml = p: {uninstall: true, build-only: true}`, "", "install.d: +p/a -p/a", ""},
		{"json, with tabs", `a/package-installs.json = {\n	"p": null,\n	"q": [{"phase":	"pre-install.d"}]}`, "", "pre-install.d: +q/a; install.d: +p/a", ""},
		{"both files", `a/package-installs.json = {"p": ""}
			a/package-installs.yaml = q:`, "", "install.d: +p/a +q/a", ""},
		{"installtype", `one-two/package-installs.yaml = p: {installtype: package}\nq: {installtype: source}\nr:`, "DIB_INSTALLTYPE_one_two=package", "install.d: +p/one-two +r/one-two", ""},
		{"the standard installtype", `a/package-installs.yaml = p: {installtype: package}\nq: {installtype: source}`, "DIB_DEFAULT_INSTALLTYPE=package", "install.d: +p/a", ""},
		{"no installtype", `a/package-installs.yaml = p: {installtype: package}\nq: {installtype: source}`, "", "install.d: +q/a", ""},
		{"python", `a/package-installs.yaml = p: {dib_python_version: 2}\nq: {dib_python_version: 3}`, "DIB_PYTHON_VERSION=3", "install.d: +q/a", ""},
		{"aliases and merge keys", `a/package-installs.yaml = p: &x {phase: pre-install.d}\nq: *x\nr: {<<: *x, arch: none}`, "", "pre-install.d: +p/a +q/a", ""},
		{"asked for twice", `a/package-installs.yaml = p: [{}, {}]`, "", "install.d: +p/a", ""},
		{"nothing", `a/package-installs.yaml = # nothing`, "", "", ""},
		{"arch and not-arch", `a/package-installs.yaml = p: {arch: a, not-arch: b}`, "", "", "e/a/package-installs.yaml:1:1: package p has both arch and not-arch"},
		{"malformed when", `a/package-installs.yaml = p:\n  when: FOO`, "", "", `e/a/package-installs.yaml:2:9: malformed condition "FOO"`},
		{"a list", `a/package-installs.yaml = [p, q]`, "", "", "e/a/package-installs.yaml:1:1: packages are keys with values"},
		{"a text", `a/package-installs.yaml = p: pre-install.d`, "", "", "e/a/package-installs.yaml:1:4: what is said of package p"},
		{"no YAML", `a/package-installs.yaml = p: [`, "", "", "e/a/package-installs.yaml:2:1: did not find"},
		{"two documents", `a/package-installs.yaml = p:\n---\nq:`, "", "", "a second document"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, _, err := squashed(t, row.text, row.env, false)
			wantFault(t, err, fault.Definition, row.err)
			if got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// What diskimage-builder gets wrong is right here, and wrong where it is asked for.
func TestPackagesCompat(t *testing.T) {
	for _, row := range []struct{ name, text, env, want, compat, rule string }{
		{"blanks in a list", `a/package-installs.yaml = p: {arch: 'ppc64, ppc64le'}`, "ARCH=ppc64le", "install.d: +p/a", "", RuleArchBlanks},
		{"blanks in another", `a/package-installs.yaml = p: {not-arch: 'ppc64, ppc64le'}`, "ARCH=ppc64le", "", "install.d: +p/a", RuleArchBlanks},
		{"uninstall: false", `a/package-installs.yaml = p: {uninstall: false}`, "", "install.d: +p/a", "install.d: -p/a", RuleUninstallNo},
		{"build-only: no", `a/package-installs.yaml = p: {build-only: no}`, "", "install.d: +p/a", "install.d: +p/a -p/a", RuleUninstallNo},
		{"a phase that is none", `a/package-installs.yaml = p: {phase: install}`, "", "", "", RuleUnknownPhase},
		{"a key that is none", `a/package-installs.yaml = p: {phases: x}`, "", "install.d: +p/a", "install.d: +p/a", RuleUnknownKey},
		{"a removal undone from another architecture", `a/package-installs.yaml = p: {uninstall: true}
			b/package-installs.yaml = p: {arch: arm64}`, "ARCH=amd64", "install.d: -p/a", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for compat, want := range map[bool]string{false: row.want, true: row.compat} {
				got, warnings, err := squashed(t, row.text, row.env, compat)
				if err != nil || got != want {
					t.Errorf("compat %v: got %s, %v, want %s", compat, got, err, want)
				}
				if row.rule != "" && (len(warnings) != 1 || warnings[0].Rule != row.rule || warnings[0].Line != 1) {
					t.Errorf("warnings: %v", warnings)
				}
			}
		})
	}
	t.Run("an overridden element", func(t *testing.T) {
		p := open(t, elements(t, "mine", `a/package-installs.yaml = p:`), elements(t, "theirs", `a/package-installs.yaml = q:`))
		for compat, want := range map[bool]string{false: "[{p a}]", true: "[{p a} {q a}]"} {
			lists, warnings, err := Packages(merged(t, p, "a").Set, Surrounding{nil, compat})
			if got := fmt.Sprint(lists[1].Install); got != want || err != nil {
				t.Errorf("compat %v: %s, %v", compat, got, err)
			}
			if !compat && (len(warnings) != 1 || warnings[0].Rule != RuleHiddenList) {
				t.Errorf("warnings: %v", warnings)
			}
		}
	})
}

func TestLegacy(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/install.d/package-installs-a = # tools\n  one two \n\n-three\nlast
		a/pre-install.d/package-installs-other = four\n
		a/root.d/package-installs-a = never\n
		a/pkg-map = {"default": {"one": "uno", "three": ""}}
	`)), "a")
	all, warnings, err := h.AllPackages(Surrounding{})
	if got := fmt.Sprint(all); err != nil || got != "[{pre-install.d [four] []} {install.d [uno two last] []} {post-install.d [] []}]" {
		t.Errorf("%s, %v", got, err)
	}
	if len(warnings) != 1 || warnings[0].String() != "a/install.d/package-installs-a:5: the last line has no end: diskimage-builder does not read it (unfinished-line)" {
		t.Errorf("warnings: %v", warnings)
	}
	lists, _, err := h.Legacy(Surrounding{Compat: true})
	if got := fmt.Sprint(lists[1].Lines); err != nil || got != "[{[one two] false 2} {[three] true 4}]" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestServices(t *testing.T) {
	const nova = `nova-api: {debian: nova-api, default: openstack-nova-api}\nnova-consoleauth: {debian: nova-console, default: openstack-nova-console}`
	const glance = `glance-api: {debian: glance-api, default: openstack-glance-api}`
	for _, row := range []struct{ name, text, distro, want, err string }{
		{"fedora", "a/svc-map = " + nova + "\nb/svc-map = " + glance, "fedora", "glance-api=openstack-glance-api nova-api=openstack-nova-api nova-consoleauth=openstack-nova-console", ""},
		{"ubuntu", "a/svc-map = " + nova + "\nb/svc-map = " + glance, "ubuntu", "glance-api=glance-api nova-api=nova-api nova-consoleauth=nova-console", ""},
		{"itself", `a/svc-map = web: {redhat: httpd}`, "debian", "web=web", ""},
		{"the distribution before its family", `a/svc-map = web: {debian: d, ubuntu: u, default: x}`, "ubuntu", "web=u", ""},
		{"twice", `a/svc-map = web: {default: x}
			b/svc-map = db: {}\nweb: {default: y}`, "debian", "", "the elements a and b both map the service web | e/b/svc-map:2"},
		{"no map", `a/svc-map = web: httpd`, "debian", "", "e/a/svc-map:1:6: the names in web are keys with values"},
		{"no name", `a/svc-map = web: {default: "a: b"}`, "debian", "", "is no service's name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := open(t, elements(t, "e", row.text))
			m, err := Services(merged(t, p, p.Names()...).Set, row.distro)
			wantFault(t, err, fault.Definition, row.err)
			var got []string
			for _, k := range slices.Sorted(maps.Keys(m)) {
				got = append(got, k+"="+m[k])
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("got %v, want %s", got, row.want)
			}
		})
	}
}

func TestPackageMapErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                        "m:1:1: a pkg-map's sections are keys with values",
		`{"default": []}`:           "m:1:13: the names in default are keys with values",
		`{"default": {"a": [1]}}`:   "what a stands for is one text",
		`{"family": {"debian": 1}}`: "the names in debian are keys with values",
		`{"release": {"debian": {"bookworm": {"a": {}}}}}`: "what a stands for is one text",
		`{"release": null, "distro": null}`:                "",
		"":                                                 "",
		`{"distros": {}}`:                                  "",
	} {
		m, err := ParsePackageMap([]byte(text), "m")
		wantFault(t, err, fault.Definition, want)
		if strings.Contains(text, "distros") && (len(m.Unknown) != 1 || m.Unknown[0].Column != 2) {
			t.Errorf("unknown: %v", m.Unknown)
		}
	}
	m, _ := ParsePackageMap([]byte(testMap), "m")
	if got := m.For("debian", "").Missing([]string{"nova", "else", "none"}); !slices.Equal(got, []string{"else"}) {
		t.Errorf("missing %q", got)
	}
}

func FuzzPackages(f *testing.F) {
	f.Add(kernels)
	f.Add(`{"a": [{"when": ["X=1"], "uninstall": false}], "b": null}`)
	f.Add("a: &x [{}]\nb: *x\nc: {<<: [*x, {phase: y}]}")
	f.Add("a: &a {<<: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		wishes, err := ParsePackages([]byte(strings.ReplaceAll(text, `\n`, "\n")), "f")
		for _, w := range wishes {
			if err != nil || w.Package == "" || w.Line < 1 {
				t.Errorf("%+v, %v", w, err)
			}
			w.check("e")
		}
	})
}

func FuzzMaps(f *testing.F) {
	f.Add(testMap)
	f.Add("web: {default: x}")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParsePackageMap([]byte(text), "f"); err == nil {
			m.For("debian", "bookworm").Names("nova")
		}
		if list, err := ParseServices([]byte(text), "f"); err == nil {
			for _, s := range list {
				if n := s.For("debian"); strings.Contains(n, "\n") {
					t.Errorf("%q", n)
				}
			}
		}
	})
}

func FuzzLegacy(f *testing.F) {
	f.Add("# x\n a b \n-c d\nlast")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := ParseLegacy([]byte(text))
		for _, l := range lines {
			if len(l.Packages) == 0 || l.Line < 1 {
				t.Errorf("%+v", l)
			}
		}
	})
}
