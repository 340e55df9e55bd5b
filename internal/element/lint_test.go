package element

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// lintBase are elements that those under test depend on.
const lintBase = `
	package-installs/
	pkg-map/
	svc-map/
	install-bin/
	install-static/
	dib-init-system/
	other/static/etc/both = other\n
	other/notes.txt = other\n
	other/install.d/10-other 0755 = #!/bin/sh\n
	virtual-one/element-provides = a-virtual
	virtual-two/element-provides = a-virtual
`

func TestLint(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"nothing wrong", `
			x/element-deps = package-installs\ndib-init-system\ninstall-static\ninstall-bin\npkg-map\nsvc-map\na-virtual\nother
			x/element-provides = operating-system
			x/README.rst = x
			x/package-installs.yaml = p: {phase: pre-install.d, arch: 'amd64,arm64', when: [A = 1]}
			x/pkg-map = {"family": {"redhat": {"p": "q"}}, "default": {"p": ""}}
			x/svc-map = s: {default: t}
			x/init-scripts/systemd/x.service = [Unit]\n
			x/static/etc/x = for t in rsa ed25519; do ssh-keygen -t $t; done\n
			x/bin/tool.sh 0755 = #!/bin/sh\n
			x/install.d/10-x 0755 = #!/bin/sh\ncp $(dirname $0)/x.conf $(dirname $0)/20-data.conf /etc\n. x.$DIB_INIT_SYSTEM
			x/install.d/x.conf = data
			x/install.d/20-data.conf = data
			x/install.d/x.systemd 0755 = data
			x/install.d/.gitignore = x
			x/install.d/package-installs-x = p\n
			x/root.d/10-x 0755 = ls $TARGET_ROOT $TMP_MOUNT_PATH\n
			x/post-root.d/10-y 0755 = ls ${TARGET_ROOT:-$TMP_MOUNT_PATH}\n# $TARGET_ROOT\n
			x/cleanup.d/10-z 0755 = echo $IMAGE_BLOCK_DEVICE\n
			x/environment.d/10-x.bash = export DIB_RELEASE=x\n
			x/element-notes/x = y`, ""},
		{"not executable", `x/install.d/10-x = #!/bin/sh`, `e/x/install.d/10-x: this never runs: it is not executable (not-executable)`},
		{"a script without a number", `x/install.d/setup = #!/bin/sh`, `e/x/install.d/setup: this never runs: it is not executable (not-executable)`},
		{"a dot", `x/cleanup.d/10-x.sh 0755 = #!/bin/sh`, `e/x/cleanup.d/10-x.sh: this never runs: names of scripts have only letters, digits, _ and -: call it 10-x (name)`},
		{"of an install type", `
			x/element-deps = install-types
			install-types/
			x/install.d/x-source-install/10-x.sh 0755 = #!/bin/sh
			x/install.d/x-source-install/11-y 0755 = echo $TARGET_ROOT`, `e/x/install.d/x-source-install/10-x.sh: this never runs: names of scripts have only letters, digits, _ and -: call it 10-x (name)
			e/x/install.d/x-source-install/11-y:1: TARGET_ROOT is set in root.d and cleanup.d alone (not-set)`},
		{"a snippet's name", `x/environment.d/10+x = a`, `e/x/environment.d/10+x: this is never sourced: names in environment.d have only letters, digits, _, - and . (name)`},
		{"a dead link", `x/install.d/10-x -> ../none/10-x`, `e/x/install.d/10-x: the link to ../none/10-x leads nowhere among the merged hooks (dead-link)`},
		{"a link to another element's file", `
			x/element-deps = other
			x/install.d/20-x -> 10-other`, ``},
		{"a dot in front", `x/install.d/.10-x 0755 = x`, `e/x/install.d/.10-x: names that begin with a dot are not merged (hidden-file)`},
		{"a blank", `x/install.d/10 x 0755 = #!/bin/sh`, `e/x/install.d/10 x: a name with a blank is not merged (blank-in-name)`},
		{"a misspelt file", `x/elements-deps = y`, `e/x/elements-deps: nothing reads elements-deps (misspelt)`},
		{"more misspelt ones", `
			x/package-installs.yml = y
			x/finalize.d/10-x 0755 = y
			x/postinstall.d/10-x 0755 = y
			x/enviroment.d/10-x = y`, `e/x/enviroment.d: nothing reads enviroment.d (misspelt)
			e/x/finalize.d: nothing reads finalize.d (misspelt)
			e/x/package-installs.yml: nothing reads package-installs.yml (misspelt)
			e/x/postinstall.d: nothing reads postinstall.d (misspelt)`},
		{"comments", `
			x/element-deps = # tools\nother # the other
			x/element-provides = # none
			x/install.d/package-installs-x = p # the p\n`, `e/x/element-deps:1: "# tools" is taken for a name: element-deps has no comments (comment)
			e/x/element-deps:2: "other # the other" is taken for a name: element-deps has no comments (comment)
			e/x/element-provides:1: "# none" is taken for a name: element-provides has no comments (comment)
			e/x/install.d/package-installs-x:1: what follows # is taken for packages: only whole lines are comments (comment)`},
		{"no such element", `x/element-deps = othr\nnobody-provides-it`, `e/x/element-deps:1: there is no element "othr" (no-element)
			e/x/element-deps:2: there is no element "nobody-provides-it" (no-element)`},
		{"deprecated", `x/element-deps = dib-python
			dib-python/`, `e/x/element-deps:1: dib-python works on no release of today (deprecated)`},
		{"package lists", `
			x/element-deps = package-installs
			x/package-installs.yaml = a: {arch: 'ppc64, ppc64le'}\nb: {uninstall: false}\nc: {phase: install}\nd: {phases: install.d}\ne: {when: A == b}\n`,
			`e/x/package-installs.yaml:1:1: package a: diskimage-builder takes the blanks in arch: "ppc64, ppc64le" for parts of the names (arch-blanks)
			e/x/package-installs.yaml:2:1: package b: diskimage-builder looks whether uninstall is there, not what it says: this removes the package (uninstall-false)
			e/x/package-installs.yaml:3:1: package c is never installed: no packages are installed in phase install (unknown-phase)
			e/x/package-installs.yaml:4:5: package d: the key phases means nothing (unknown-key)
			e/x/package-installs.yaml:5: the condition compares with "= b" (double-equals)`},
		{"lists that cannot be read", `
			x/element-deps = package-installs\npkg-map\nsvc-map
			x/package-installs.yaml = a: {arch: a, not-arch: b}
			x/pkg-map = {
			x/svc-map = web: httpd`, `e/x/package-installs.yaml:1:1: package a has both arch and not-arch (invalid)
			e/x/pkg-map:2:1: did not find expected node content (invalid)
			e/x/svc-map:1:6: the names in web are keys with values (invalid)`},
		{"a pkg-map's sections", `
			x/element-deps = pkg-map
			x/pkg-map = {"distros": {}, "family": {"rhel": {"a": "b"}}}`, `e/x/pkg-map: the family rhel is never looked at: no distribution is of it (unknown-section)
			e/x/pkg-map:1:2: the section distros is never looked at (unknown-section)`},
		{"an unfinished line", `x/install.d/package-installs-x = a\nb`, `e/x/install.d/package-installs-x:2: the last line has no end: it is not read (unfinished-line)`},
		{"helpers", `
			x/init-scripts/systemd/x.service = [Unit]
			x/bin/x 0755 = x
			x/static/x = x
			x/package-installs.yaml = p:
			x/svc-map = s: {}
			x/source-repository-x = x git /x https://x
			x/modprobe.d/x.conf = x
			x/install.d/x-source-install/10-x 0755 = x`, `e/x/bin: nothing reads this unless the element install-bin is in the build, on which x does not depend (missing-helper)
			e/x/init-scripts: nothing reads this unless the element dib-init-system is in the build, on which x does not depend (missing-helper)
			e/x/install.d/x-source-install: nothing reads this unless the element install-types is in the build, on which x does not depend (missing-helper)
			e/x/modprobe.d: nothing reads this unless the element modprobe is in the build, on which x does not depend (missing-helper)
			e/x/package-installs.yaml: nothing reads this unless the element package-installs is in the build, on which x does not depend (missing-helper)
			e/x/source-repository-x: nothing reads this unless the element source-repositories is in the build, on which x does not depend (missing-helper)
			e/x/static: nothing reads this unless the element install-static is in the build, on which x does not depend (missing-helper)
			e/x/svc-map: nothing reads this unless the element svc-map is in the build, on which x does not depend (missing-helper)`},
		{"variables that do not arrive", `x/environment.d/10-x = # export FS_TYPE=no\nexport FS_TYPE=xfs\nDIB_IMAGE_SIZE=5\n`, `e/x/environment.d/10-x:2: FS_TYPE reaches scripts alone, and not what reads it (never-reaches)
			e/x/environment.d/10-x:3: DIB_IMAGE_SIZE reaches scripts alone, and not what reads it (never-reaches)`},
		{"variables that are not there", `
			x/post-root.d/10-x 0755 = ls ${TARGET_ROOT}
			x/block-device.d/10-x 0755 = true\nls $IMAGE_BLOCK_DEVICE
			x/root.d/10-x 0755 = echo $DIB_DEFAULT_INSTALLTYPE
			x/install.d/10-x 0755 = eval declare -A e=($(get_image_element_array))`, `e/x/block-device.d/10-x:2: IMAGE_BLOCK_DEVICE is set from pre-finalise.d on (not-set)
			e/x/install.d/10-x:1: the function get_image_element_array is there on the host alone (not-set)
			e/x/post-root.d/10-x:1: TARGET_ROOT is set in root.d and cleanup.d alone (not-set)
			e/x/root.d/10-x:1: DIB_DEFAULT_INSTALLTYPE is set from extra-data.d on (not-set)`},
		{"DSA", `
			x/element-deps = install-static
			x/static/usr/sbin/keys 0755 = #!/bin/sh\nfor t in dsa ecdsa rsa; do\nssh-keygen -t $t\n
			x/post-install.d/10-x 0755 = ssh-keygen -q -t dsa -f k`, `e/x/post-install.d/10-x:1: ssh-keygen of OpenSSH 10 makes no DSA keys, and fails (dsa)
			e/x/static/usr/sbin/keys:2: ssh-keygen of OpenSSH 10 makes no DSA keys, and fails (dsa)`},
		{"what rsync leaves out", `
			x/element-deps = install-static
			x/static/usr/lib/x.so = x
			x/static/etc/core/x = x`, `e/x/static/etc/core: install-static leaves out what is called core (not-copied)
			e/x/static/usr/lib/x.so: install-static leaves out what is called *.so (not-copied)`},
		{"overwritten", `
			x/element-deps = other\ninstall-static
			x/static/etc/both = x\n
			x/notes.txt = x\n`, `e/x/notes.txt: the elements other and x both have this file, with different content (overwritten)
			e/x/static/etc/both: the elements other and x both have this file, with different content (overwritten)`},
		{"a clash", `
			x/element-deps = other
			x/install.d/10-other 0755 = #!/bin/sh`, `e/x: the elements other and x both have install.d/10-other (clash)`},
	} {
		t.Run(row.name, func(t *testing.T) {
			list, err := Lint(open(t, elements(t, "e", lintBase+row.text)), []string{"x"})
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, w := range list {
				got = append(got, w.String())
				if !slices.ContainsFunc(Rules, func(r Rule) bool { return r.Name == w.Rule }) {
					t.Errorf("the rule %s is not listed", w.Rule)
				}
			}
			for l := range strings.Lines(row.want) {
				want = append(want, strings.TrimSpace(l))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	_, err := Lint(open(t, elements(t, "e", lintBase)), []string{"nothing"})
	wantFault(t, err, fault.Definition, `there is no element "nothing"`)
}

func TestLintOverridden(t *testing.T) {
	p := open(t, elements(t, "mine", `x/README.rst = x`), elements(t, "theirs", `x/package-installs.yaml = p:`))
	list, err := Lint(p, []string{"x"})
	if err != nil || len(list) != 1 || list[0].String() != "mine/x: this overrides theirs/x, whose packages diskimage-builder installs too (overridden-list)" {
		t.Errorf("%v, %v", list, err)
	}
}

// The reference has every rule.
func TestRulesReference(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/element.md")
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for i, r := range Rules {
		want += "| `" + r.Name + "` | " + r.About + " |\n"
		if i > 0 && r.Name < Rules[i-1].Name {
			t.Errorf("%s stands behind %s", r.Name, Rules[i-1].Name)
		}
	}
	if !strings.Contains(string(doc), want) {
		t.Errorf("docs/reference/element.md should have\n%s", want)
	}
}

// ingot's own elements are as lint wants them.
func TestLintOwn(t *testing.T) {
	p := open(t, Own())
	list, err := Lint(p, p.Names())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range list {
		t.Error(w)
	}
}
