package definition

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func TestSchemaIsShipped(t *testing.T) { held(t, "../../schema/ingot.schema.json", Schema()) }

func TestReferenceIsShipped(t *testing.T) {
	held(t, "../../docs/reference/definition.md", Reference())
	held(t, "../../docs/reference/layout.md", LayoutReference())
}

func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("ingot.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("ingot.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge validates YAML as an editor would: through JSON.
func judge(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(inst)
}

func TestExamples(t *testing.T) {
	s := schemaOf(t)
	n := 0
	err := filepath.WalkDir("../../examples", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != FileName {
			return err
		}
		n++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := judge(t, s, string(text)); err != nil {
			t.Errorf("schema: %s: %v", path, err)
		}
		if _, err := Load(path, Options{HostArch: "amd64"}); err != nil {
			t.Errorf("decoder: %s: %v", path, err)
		}
		return nil
	})
	if err != nil || n < 3 {
		t.Errorf("%d examples, %v", n, err)
	}
}

// Each line is set in place of the minimal definition's own, or added.
func TestSchemaAndDecoderAgree(t *testing.T) {
	s := schemaOf(t)
	minimal := []string{"version: 1", "name: web", "distro: debian", "release: bookworm", "outputs: [tar]"}
	without := func(key string) []string {
		var out []string
		for _, l := range minimal {
			if !strings.HasPrefix(l, key+":") {
				out = append(out, l)
			}
		}
		return out
	}
	for _, c := range []struct {
		line string
		good bool
	}{
		{"name: web-1", true},
		{"name: Web", false},
		{"name: 12", false},
		{"version: 2", false},
		{`version: "1"`, false},
		{"distro: ubuntu", false},
		{"release: sid", true},
		{"release: [sid]", false},
		{"arch: [amd64, riscv64]", true},
		{"arch: [x86_64]", false},
		{"arch: amd64", false},
		{"arch: []", false},
		{"start: standard", true},
		{"start: everything", false},
		{"packages: [nginx, \"curl=7.88.1-10\"]", true},
		{"packages: []", true},
		{"packages:", false},
		{"packages: [Nginx]", false},
		{"packages: {nginx: 1}", false},
		{"remove: [nginx=1]", false},
		{"recommends: true", true},
		{"recommends: 1", false},
		{"recommends: \"yes\"", false},
		{"hostname: a.example", true},
		{"hostname: a_b", false},
		{"locale: de_DE.UTF-8", true},
		{"locale: german", false},
		{"timezone: Etc/UTC", true},
		{"timezone: utc", false},
		{"unknown: 1", false},
		{"elements: [cloud-init]", true},
		{"elements: [a/b]", false},
		{"elements: cloud-init", false},
		{"elements: [cloud-init]\nenvironment: {A: b, B: 1}", true},
		{"environment: {1A: b}", false},
		{"environment: [A=b]", false},
		{"flavors: {}", false},
		{"flavors: {vmware: {packages: [open-vm-tools], without: {}}}", true},
		{"flavors: {vmware: {name: other}}", false},
		{"flavors: {vmware: {packges: [x]}}", false},
		{"flavors: [vmware]", false},
		{"packages: [{name: nginx, when: vmware}, curl]", true},
		{"packages: [{name: Nginx, when: vmware}]", false},
		{"packages: [{when: vmware}]", false},
		{"packages: [{name: nginx, if: vmware}]", false},
		{"files: [{path: /a, content: x, when: \"!kernel\"}]", true},
		{"declared: /etc", false},
		{"template: {}", true}, {"template: {inputs: {}}", false}, {"template: {inputs: {a: {type: nope}}}", false}, {"template: {inputs: {A: {type: string}}}", false},
		{"template: {inputs: {memory: {type: size, default: 512MiB, min: 1, max: 1GiB}}}", true}, {"template: {inputs: {a: {type: list, default: [x, 1, true]}}}", true}, {"template: {inputs: {a: {default: x}}}", false},
		{"layout: hybrid", true},
		{"layout: hybrid-lvm", true},
		{"layout: lvm", false},
		{"layout: [{local_loop: {name: a, mkfs: {type: ext4, name: r, mount: {mount_point: /, fstab: {}}}}}]", true},
		{"layout: []", false},
		{"layout: {}", false},
		{"boot: {loader: grub, firmware: [uefi]}", true},
		{"boot: {secure: false}", true},
		{"boot: {firmware: []}", false},
		{"boot: {firmware: [coreboot]}", false},
		{"kernel: none", true},
		{"kernel: linux", false},
		{"kernel: {package: linux-image-amd64, arguments: [quiet], console: ttyS0}", true},
		{"kernel: {none: true}", false},
		{"kernel: {console: /dev/ttyS0}", false},
		{"users: [{name: ops, uid: 1000, sudo: true, home: /srv/ops}]", true},
		{"users: [{name: ops, password: x}]", false},
		{"users: [{name: ops, password-hash: x}]", false},
		{"users: [{name: ops, ssh-keys: [x]}]", false},
		{"users: [{name: ops, ssh-keys: [" + publicKey + "]}]", true},
		{"users: [{name: Ops}]", false},
		{"users: [{uid: 1000}]", false},
		{"users: [{name: ops, uid: 70000}]", false},
		{"users: [{name: ops, uid: \"1000\"}]", false},
		{"users: [{name: ops, shell: bash}]", false},
		{"unix-groups: [{name: media, gid: 2000}]", true},
		{"unix-groups: [{gid: 2000}]", false},
		{"files: [{path: /etc/motd, content: \"hi\\n\", mode: \"0644\", owner: \"0\"}]", true},
		{"files: [{path: etc/motd, content: x}]", false},
		{"files: [{path: /etc/motd, content: 1}]", false},
		{"files: [{path: /etc/motd, content: x, mode: \"9\"}]", false},
		{"files: [{content: x}]", false},
		{"files: [{path: /etc/motd, source: /etc/motd}]", false},
		{"path-conflicts: [{path: /usr/bin/tool, keep: tool-ng}]", true},
		{"path-conflicts: [{path: /usr/bin/tool}]", false},
		{"path-conflicts: [{path: usr, keep: tool}]", false},
		{"services: {enable: [nginx], disable: [], mask: [a.timer]}", true},
		{"services: {enabled: []}", false},
		{"scripts: [{run: /setup.sh}]", false},
		{"scripts: [{name: a}]", false},
		{"scripts: [{run: a.sh, after: lunch}]", false},
		{"archives: [{url: \"http://a.example\", suites: [a, b], components: [main], check-valid-until: false}]", true},
		{"archives: [{url: \"a.example\"}]", false},
		{"archives: [{suites: [a]}]", false},
		{"archives: [{url: \"http://a.example\", suites: []}]", false},
		{"outputs: [qcow2, {format: raw, free: 1GiB}, {format: tar.gz}]", true},
		{"outputs: [{format: raw, free: 1073741824}]", true},
		{"outputs: [{format: raw, free: 1.5GiB}]", false},
		{"outputs: [{format: raw, free: -1}]", false},
		{"outputs: [{free: 1GiB}]", false},
		{"outputs: [lxc, {format: lxc, expiry: 1y}]", false},
		{"outputs: [lxd]", false},
		{"outputs: [{format: oci, compress: zstd, entrypoint: [/bin/web], command: [\"-v\", 1], environment: {A: b, C: 1}, user: \"1000:www\", workdir: /srv, ports: [80, 53/udp], volumes: [/data], labels: {a.b/c: x}, stop-signal: SIGRTMIN+3}]", true},
		{"outputs: [{format: oci, compress: best}]", false},
		{"outputs: [{format: oci, environment: {1A: b}}]", false},
		{"outputs: [{format: oci, environment: [A=b]}]", false},
		{"outputs: [{format: oci, user: \"a:b:c\"}]", false},
		{"outputs: [{format: oci, workdir: srv}]", false},
		{"outputs: [{format: oci, ports: [\"8080:80\"]}]", false},
		{"outputs: [{format: oci, ports: [\"70000\"]}]", false},
		{"outputs: [{format: oci, labels: {\"a b\": x}}]", false},
		{"outputs: [{format: oci, stop-signal: TERM}]", false},
		{"outputs: [{format: oci, command: sh}]", false},
		{"outputs: [{format: lxc, expiry: 30d, create-message: hello}]", true},
		{"outputs: [{format: lxc, expiry: \"2027-01-31\"}]", true},
		{"outputs: [{format: lxc, expiry: soon}]", false},
		{"outputs: []", false},
		{"outputs: tar", false},
		{"tests: [{run: \"true\", expect: ^x, timeout: 1m30s}]", true},
		{"tests: [{run: \"true\", timeout: 60}]", false},
		{"tests: [{run: \"true\", timeout: soon}]", false},
		{"tests: [{expect: x}]", false},
		{"include: [/etc/x]", false},
	} {
		key, _, _ := strings.Cut(c.line, ":")
		text := strings.Join(append(without(key), c.line), "\n") + "\n"
		_, err := Load(filepath.Join(lay(t, map[string]string{FileName: text}), FileName), Options{HostArch: "amd64"})
		if (err == nil) != c.good {
			t.Errorf("decoder on %s: %v", c.line, err)
		}
		if err := judge(t, s, text); (err == nil) != c.good {
			t.Errorf("schema on %s: %v", c.line, err)
		}
	}
	for _, key := range []string{"version", "name", "distro", "release", "outputs"} {
		text := strings.Join(without(key), "\n") + "\n"
		if judge(t, s, text) == nil {
			t.Errorf("schema: %s is not asked for", key)
		}
	}
}

// The reference's own examples are right.
func TestExamplesOfTheReference(t *testing.T) {
	s := schemaOf(t)
	for _, f := range fieldsOf(documentType) {
		if f.doc == "" {
			if laterKeys("", documentType)[0] == "" || f.typ.Name() != "later" {
				t.Errorf("%s has no meaning in the reference", f.name)
			}
			continue
		}
		text := f.example + "\n"
		for _, l := range strings.SplitAfter(strings.Replace(five, "qcow2", "qcow2, tar", 1), "\n") {
			if key, _, _ := strings.Cut(l, ":"); key != f.name {
				text += l
			}
		}
		dir := lay(t, map[string]string{FileName: text, "common.yaml": "recommends: true\n", "setup.sh": "#!/bin/sh\n", "data/x": "", "declared/flags/web": "about: serves pages\n"})
		if _, err := Load(dir, Options{HostArch: "amd64"}); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if err := judge(t, s, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		for _, k := range fieldsBelow(f.typ) {
			if k.doc == "" && k.typ.Name() != "later" {
				t.Errorf("%s.%s has no meaning in the reference", f.name, k.name)
			}
		}
	}
}

func TestStarter(t *testing.T) {
	for dir, want := range map[string]string{"web": "web", "My Project_2": "my-project-2", "": "image", "日本": "image", strings.Repeat("ab-", 40): strings.Repeat("ab-", 20) + "ab-"} {
		want = strings.TrimSuffix(want, "-")
		d := loaded(t, map[string]string{FileName: string(Starter(dir))})
		if d.Name != want {
			t.Errorf("%q: the name is %q, want %q", dir, d.Name, want)
		}
	}
	// With all its comments taken out it is right as well.
	var text []string
	for line := range strings.Lines(string(Starter("web"))) {
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			line = rest
		}
		text = append(text, line)
	}
	all := strings.Replace(strings.Join(text[4:], ""), "ssh-ed25519 AAAA...", publicKey, 1)
	d := loaded(t, map[string]string{FileName: all, "site/index.html": "", "setup.sh": "#!/bin/sh\n", "data/x": ""})
	if len(d.Packages) != 2 || len(d.Users) != 1 || len(d.Files) != 2 || len(d.Scripts) != 1 || len(d.Tests) != 1 || len(d.Services.Enable) != 1 {
		t.Errorf("got %+v", d)
	}
}
