package plan

import (
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// TestFlavorsShareSteps plans flavors that part at some step, and looks how far their
// keys are the same.
func TestFlavorsShareSteps(t *testing.T) {
	for _, c := range []struct{ summary, flavors, shared string }{
		{"other packages", `{vmware: {packages: [open-vm-tools]}}`, ""},
		{"another name", `{vmware: {hostname: other}}`, "install"},
		{"another file", `{vmware: {files: [{path: /etc/motd, content: "other"}]}}`, "install, system, users, script one"},
		{"one service less", `{vmware: {without: {services: [nginx]}}}`, "install, system, users, script one, files, script two"},
		{"the last script", `{vmware: {without: {scripts: [three]}}}`, "install, system, users, script one, files, script two, services"},
		{"another output", `{vmware: {outputs: [tar.zst]}}`, "install, system, users, script one, files, script two, services, script three, settle"},
	} {
		files := map[string]string{}
		for name, text := range whole {
			files[name] = strings.Replace(text, "outputs: [tar, raw]", "outputs: [tar]\nflavors: "+c.flavors, 1)
		}
		dir := t.TempDir()
		write(t, dir, files)
		def, l := locked(t, dir)
		p := planned(t, def, l)
		if len(p.Chains) != 2 {
			t.Fatalf("%s: %d chains", c.summary, len(p.Chains))
		}
		known := map[digest.Digest]bool{}
		for _, s := range p.Chains[0].Steps {
			known[s.Key] = true
		}
		var shared []string
		for _, s := range p.Chains[1].Steps {
			if known[s.Key] {
				shared = append(shared, s.Name)
			}
		}
		if got := strings.Join(shared, ", "); got != c.shared {
			t.Errorf("%s: shares %q, want %q", c.summary, got, c.shared)
		}
		if p.Chains[0].Outputs[0].Key == p.Chains[1].Outputs[0].Key {
			t.Errorf("%s: outputs of two flavors have one key", c.summary)
		}
	}
}

// TestFlavorsRunOnce builds two flavors that part at their last script: what they share
// runs once in a run, also without the cache.
func TestFlavorsRunOnce(t *testing.T) {
	f := newFactory(t)
	write(t, f.dir, map[string]string{"ingot.yaml": built["ingot.yaml"] + "flavors: {\"!ssl\": {without: {scripts: [two]}, outputs: [tar]}}\n"})
	def, l := locked(t, f.dir)
	for i := range l.Sets {
		l.Sets[i].Refs = f.refs
	}
	p := planned(t, def, l)
	const own, other, shared = 6 + 2, 1 + 1, 4 // steps and outputs: install to files are shared
	for _, c := range []struct {
		noCache     bool
		run, cached int
	}{
		{false, own + other, shared}, {false, 0, own + other + shared}, {true, own + other, shared},
	} {
		f.NoCache = c.noCache
		got, err := f.Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got.Run != c.run || got.Cached != c.cached {
			t.Errorf("no cache %v: %d ran and %d did not, want %d and %d", c.noCache, got.Run, got.Cached, c.run, c.cached)
		}
		l.Seals = got.Seals
	}
	if len(l.Seals) != 2 || l.Seals[0].Flavor != "~ssl" || l.Seals[1].Flavor != "!ssl" || l.Seals[0].SHA256 == l.Seals[1].SHA256 {
		t.Errorf("seals are %v", l.Seals)
	}
	// Each flavor is held to its own seal.
	l.Seals[0].SHA256, l.Seals[1].SHA256 = l.Seals[1].SHA256, l.Seals[0].SHA256
	if _, err := f.Run(t.Context(), p); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "the container tree for amd64 ~ssl differs") {
		t.Errorf("with the seals swapped: %v", err)
	}
	l.Seals = l.Seals[1:]
	l.Seals[0].SHA256 = digest.Of([]byte("other"))
	if _, err := f.Run(t.Context(), p); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "the container tree for amd64 !ssl differs") {
		t.Errorf("with another seal: %v", err)
	}
}

// TestWishOfFlavors plans some of a definition's flavors.
func TestWishOfFlavors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"ingot.yaml": "version: 1\nname: web\ndistro: debian\nrelease: bookworm\narch: [amd64]\noutputs: [raw, tar]\n" +
		"flavors: {vmware: {packages: [open-vm-tools], outputs: [vmdk]}, \"!kernel\": {kernel: none, outputs: [openvz, tar]}}\n"})
	def, l := locked(t, dir)
	for _, c := range []struct{ flavor, format, want string }{
		{"", "", "web-amd64.tar web-amd64.raw"},
		{"own", "tar", "web-amd64.tar"},
		{"vmware", "", "web-vmware-amd64.vmdk"},
		{"!kernel", "", "web-no-kernel-amd64.tar debian-12-x86_64-web-no-kernel.tar.gz"},
		{"all", "", "web-amd64.tar web-amd64.raw web-vmware-amd64.vmdk web-no-kernel-amd64.tar debian-12-x86_64-web-no-kernel.tar.gz"},
		{"all", "tar", "web-amd64.tar web-no-kernel-amd64.tar"},
		{"vmware", "tar", "what is to be built of the definition has no output \"tar\"; its outputs are vmdk"},
	} {
		wish := Wish{}
		switch c.flavor {
		case "", "own":
		case "all":
			wish.Variants = def.Variants()
		default:
			picked, err := def.Pick(c.flavor)
			if err != nil {
				t.Fatal(err)
			}
			wish.Variants = picked
		}
		if c.format != "" {
			wish.Formats = []string{c.format}
		}
		p, err := Make(def, l, wish)
		got := ""
		if err != nil {
			got = err.Error() + "; " + fault.HintOf(err)
		} else {
			for _, chain := range p.Chains {
				for _, o := range chain.Outputs {
					got = strings.TrimSpace(got + " " + o.Name())
				}
			}
		}
		if got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.flavor, c.format, got, c.want)
		}
	}
	l.Sets = l.Sets[:2]
	if _, err := Make(def, l, Wish{Variants: def.Variants()}); err == nil || !strings.Contains(err.Error(), "the lock has no packages for a machine of amd64 ~kernel,vmware") || fault.CodeOf(err) != fault.Verification {
		t.Errorf("a lock without a flavor: %v", err)
	}
}
