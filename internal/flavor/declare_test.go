package flavor

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ingot/internal/fault"
)

// Ingot's own declarations say something of everything.
func TestBuiltin(t *testing.T) {
	d, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range d.Flags {
		if f.About == "" || f.Sense == Unset {
			t.Errorf("flag %s: %+v", name, f)
		}
	}
	for name, a := range d.Architectures {
		if a.About == "" || a.Bits == 0 || a.Debian == "" || d.ArchitectureOf(a.Debian) != name {
			t.Errorf("architecture %s: %+v", name, a)
		}
	}
	var platform []string
	for _, name := range slices.Sorted(maps.Keys(d.Flags)) {
		if d.Flags[name].Platform {
			platform = append(platform, name)
		}
	}
	if got := strings.Join(platform, " "); got != "container dom0 domU hyperv kernel kvm openvz vmware xen" {
		t.Errorf("platform flags: %s", got)
	}
	system, err := d.System("x86_64")
	if err != nil || !strings.HasSuffix(system.String(), "xen,~!xfce is: x86 x86_64") || system.Sense("ssl") != Required || system.Sense("vmware") != Disallowed {
		t.Errorf("the system's flavor: %q, %v", system, err)
	}
}

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"is: x86(i686)":           "is: x86(i486,i586,i686)",
		"is: x86(~i686,!i486)":    "is: x86(!i486,!i586,~i686)",
		"is: x86(!i486)":          "is: x86(!i486,!i586,!i686)",
		"is: x86(~!i586)":         "is: x86(~!i586,~!i686)",
		"is: x86(~sse3,mmxext)":   "is: x86(mmx,mmxext,~sse,~sse2,~sse3)",
		"is: x86(~3dnowext)":      "is: x86(~3dnow,~3dnowext,~mmx,~mmxext)",
		"is: x86(~i686,i586)":     "is: x86(i486,i586,~i686)",
		"is: x86_64(v3) x86":      "is: x86 x86_64(sse3,v2,v3)",
		"foo is: z(i686)":         "foo is: z(i686)",
		"i686 target: x86(~i586)": "i686 target: x86(~i486,~i586)",
	} {
		f := parsed(t, in)[0]
		got := Builtin().Expand(f)
		if got.String() != want {
			t.Errorf("%q expands to %q, want %q", in, got, want)
		}
		if again := Builtin().Expand(got); !again.Equal(got) {
			t.Errorf("%q expands further, to %q", got, again)
		}
	}
	// What has i686 runs what wants i486.
	system := parsed(t, "is: x86(~i686)")[0]
	if want := parsed(t, "is: x86(i486)")[0]; system.Matches(want) || !Builtin().Expand(system).Matches(want) {
		t.Error("i686 does not bring i486 with it")
	}
}

func TestCheck(t *testing.T) {
	known := parsed(t, "webserver is: z80(x)")
	for in, want := range map[string]string{
		"ssl,~xen,kernel.smp,webserver is: x86(i686) z80(x)": "",
		"arm":              `no flag "arm" (an architecture stands behind is:, as in "is: arm")`,
		"~amd64":           `no flag "amd64" (an architecture stands behind is:, as in "is: x86_64")`,
		"vmwrae":           `no flag "vmwrae" (did you mean vmware?)`,
		"webservr":         `no flag "webservr" (did you mean webserver?)`,
		"is: x68":          `no architecture "x68" (did you mean x86?)`,
		"is: amd64":        `no architecture "amd64" (it is called x86_64 here)`,
		"target: qqqqqqqq": `no architecture "qqqqqqqq" (architectures are aarch64, arm, loongarch64, mips64el, ppc, ppc64, ppc64le, riscv64, s390, s390x, sparc, sparc64 and others)`,
		"is: x86(i696)":    `architecture x86 has no flag "i696" (did you mean i686?)`,
		"is: sparc(vis)":   `architecture sparc has no flag "vis" (it has none)`,
	} {
		err := Builtin().Check(parsed(t, in)[0], known...)
		got := ""
		if err != nil {
			got = err.Error() + " (" + fault.HintOf(err) + ")"
			if fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%q: code %d", in, fault.CodeOf(err))
			}
		}
		if got != want {
			t.Errorf("%q: %s; want %s", in, got, want)
		}
	}
}

func TestTrapped(t *testing.T) {
	for in, want := range map[string]string{
		"foo,ssl is: x86": "",
		"x86":             "stands where flags do",
		"ssl,!x86_64":     "stands where flags do",
		"arm64":           "stands where flags do",
		"is: arm64":       "is Debian's name",
		"target: amd64":   "is Debian's name",
	} {
		err := Builtin().Trapped(parsed(t, in)[0])
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "") {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestUndeclared(t *testing.T) {
	got := strings.Join(Builtin().Undeclared(parsed(t, "foo,ssl,a.b is: x86(i686,i886) x87 target: y")[0]), ", ")
	if got != "foo, x86(i886), is: x87, target: y" {
		t.Errorf("undeclared: %s", got)
	}
}

func TestMajor(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "is: x86": "x86", "is: x86 x86_64": "x86_64", "is: ppc x86": "", "is: z80": "z80", "is: x86_64 ppc64": "",
	} {
		if got := Builtin().Major(parsed(t, in)[0]); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if order := Builtin().Order(parsed(t, "ssl is: x86 x86_64")[0]); len(order) != 2 || order[0].String() != "is: x86_64" || order[1].String() != "is: x86" {
		t.Errorf("order: %v", order)
	}
}

func TestRead(t *testing.T) {
	d, err := Read(fstest.MapFS{
		"flags/web":         {Data: []byte("# ours\nsense: prefernot\n\nabout: a web server\n")},
		"flags/ssl":         {Data: []byte("sense: preferred\r\n")},
		"architectures/z80": {Data: []byte("bits: 32\nflag: u\nflag: r800 subsumes u\nalso: x86\n")},
	})
	if err != nil || d.Flags["web"].Sense != PreferNot || d.Flags["ssl"].Sense != Preferred || d.Flags["pam"].Sense != Required || len(d.Architectures["z80"].Flags["r800"]) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	for name, c := range map[string][3]string{
		"no key":        {"flags/a", "foo: bar", `no key "foo"`},
		"no value":      {"flags/a", "sense", "no key with a value"},
		"sense":         {"flags/a", "sense: maybe", `sense cannot be "maybe"`},
		"name":          {"flags/a b", "sense: required", "cannot be the name"},
		"long":          {"flags/a", strings.Repeat("x", maxDeclaration+1), "at most"},
		"bits":          {"architectures/a", "bits: 16", "bits cannot be"},
		"self":          {"architectures/a", "flag: b subsumes c\nflag: c subsumes b", "subsumes itself"},
		"unknown flag":  {"architectures/a", "flag: b subsumes c", `subsumes "c", which is not declared`},
		"unknown other": {"architectures/a", "also: q", `no architecture "q"`},
		"half":          {"architectures/a", "flag: b subsumes", "flag cannot be"},
		"nothing":       {"other/a", "", "no declarations"},
		"dir":           {"flags/a/b", "", "no file"},
	} {
		if _, err := Read(fstest.MapFS{c[0]: {Data: []byte(c[1])}}); err == nil || !strings.Contains(err.Error(), c[2]) || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%s: %v, want %q", name, err, c[2])
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("sense: prefernot\nabout: x", "bits: 32\nflag: r800 subsumes u\nalso: x86")
	f.Fuzz(func(t *testing.T, flag, architecture string) {
		d, err := Read(fstest.MapFS{"flags/a": {Data: []byte(flag)}, "architectures/b": {Data: []byte(architecture)}})
		if err != nil {
			return
		}
		d.Expand(Flavor{archs: [classes]archs{is: {{"b", flags{{"u", Required}}}}}})
	})
}
