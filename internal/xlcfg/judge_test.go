package xlcfg

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/judge"
)

// xen is Debian's xl with its library, on a machine without Xen.
type xen struct {
	xl   string
	load string // what stands in for the hypervisor
}

func findXen(t *testing.T) xen {
	t.Helper()
	x := xen{xl: judge.Path(t, "xl"), load: filepath.Join(t.TempDir(), "offxen.so")}
	judge.Run(t, "cc", "-shared", "-fPIC", "-O1", "-o", x.load, "testdata/offxen.c")
	return x
}

func (x xen) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), x.xl, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "LD_PRELOAD="+x.load)
	return cmd
}

// A question is a configuration and the keys that are asked for.
type question struct {
	text string
	keys []string
}

// ask has libxlutil read configurations: one line for each, "error" or what each key is.
func (x xen) ask(t *testing.T, questions []question) []string {
	t.Helper()
	var in bytes.Buffer
	for _, q := range questions {
		fmt.Fprintf(&in, "%d\n%s%d\n", len(q.text), q.text, len(q.keys))
		for _, k := range q.keys {
			fmt.Fprintf(&in, "%d\n%s", len(k), k)
		}
	}
	cmd := x.command(t)
	cmd.Env = append(cmd.Env, "INGOT_XLU=1")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xl: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	var answers []string
	for _, q := range questions {
		if len(lines) == 0 {
			t.Fatalf("libxlutil ended after %d answers of %d", len(answers), len(questions))
		}
		answer, n := lines[0], 1
		if answer == "ok" {
			n = 1 + len(q.keys)
			answer = strings.Join(lines[1:n], "\n")
		}
		answers, lines = append(answers, answer), lines[n:]
	}
	return answers
}

// answer is what ask would say if libxlutil were this package.
func answer(q question) string {
	c, err := Parse("cfg", []byte(q.text))
	if err != nil {
		return "error"
	}
	var lines []string
	for _, k := range q.keys {
		v, ok := c.Get(k)
		switch {
		case !ok:
			lines = append(lines, "none")
		case v.IsList:
			line := "list"
			for _, i := range v.List {
				if i.IsList {
					line += " -"
				} else {
					line += " x" + hex.EncodeToString([]byte(i.Text))
				}
			}
			lines = append(lines, line)
		default:
			number := "-"
			if n, ok := v.Int(); ok {
				number = fmt.Sprint(n)
			}
			lines = append(lines, "string x"+hex.EncodeToString([]byte(v.Text))+" "+number)
		}
	}
	return strings.Join(lines, "\n")
}

// pieces are what made-up configurations are put together from.
var pieces = []string{
	"a", "b", "a", "=", "=", "+=", "[", "]", ",", ";", "\n", "\n", " ", "\t", "'x'", `"y"`, `'\''`, `"\n\\"`, `'\101'`, `'\12'`, `'\x41'`, `'\q'`, "''",
	"1", "0755", "08", "0x1f", "1e3", "'-1'", "'-0x8000000000000000'", "'9223372036854775808'", "' 12'", "'12 '", "'1_0'", "# c\n", "#", "é", "'é'", "-", "True", ".", "_", "\r", "'", `"`, `\`, "a.b", "{", "'0b1'", "'0o7'", "'0x'", "'+3'",
}

func TestLikeLibxlutil(t *testing.T) {
	x := findXen(t)
	var questions []question
	number := 4000
	if judge.At() == judge.Full {
		number = 200000
	}
	gen := rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "lines") { // mostly right ones
			var b strings.Builder
			for range rapid.IntRange(1, 4).Draw(t, "n") {
				b.WriteString(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key") + rapid.SampledFrom([]string{"=", " += "}).Draw(t, "op"))
				b.WriteString(rapid.SampledFrom([]string{"'x'", "[]", "['y',1]", "[[2],\n'z'\n,]", `"\101"`, `'é\t\'"'`, "017", "09", "''", "' -5'", "[1 2]", "'" + strings.Repeat("9", 19) + "'"}).Draw(t, "value"))
				b.WriteString(rapid.SampledFrom([]string{"\n", ";", " # c\n", "\n\n", ""}).Draw(t, "end"))
			}
			return b.String()
		}
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
	})
	for i := range number {
		questions = append(questions, question{gen.Example(i), []string{"a", "b", "a.b"}})
	}
	fine := 0
	for i, want := range x.ask(t, questions) {
		if got := answer(questions[i]); got != want {
			t.Errorf("%q: libxlutil says %q, and here it is %q", questions[i].text, want, got)
		}
		if want != "error" {
			fine++
		}
	}
	if fine < number/20 {
		t.Errorf("only %d of %d configurations were right ones", fine, number)
	}
}

// TestWritten has libxlutil read back what is written: any text at all.
func TestWritten(t *testing.T) {
	x := findXen(t)
	texts := []string{"", "0", "010", "0x1", "-1", "it's", `say "hi"`, "$(reboot)", "`id`", "${HOME}", "a\nb", "\\", "\\n", "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8", "é\xff", "\x01\x1b\x7f", "# no comment", "%s", "a;b=1", "]", "\r\n", "\v\f\a\b\t", strings.Repeat("x", 9000)}
	var questions []question
	for i := range 500 {
		if i >= len(texts) {
			texts = append(texts, strings.ReplaceAll(string(rapid.SliceOf(rapid.Byte()).Example(i)), "\x00", ""))
		}
		var c Config
		c.Set("a", Text(texts[i]))
		c.Set("b", List(texts[i], "x"))
		c.Set("a.b", Value{IsList: true, List: []Value{List("n"), Text("")}})
		out, err := c.Write()
		if err != nil {
			t.Fatal(err)
		}
		questions = append(questions, question{out, []string{"a", "b"}})
	}
	for i, got := range x.ask(t, questions) {
		hexed := "x" + hex.EncodeToString([]byte(texts[i]))
		a, b, _ := strings.Cut(got, "\n")
		if !strings.HasPrefix(a, "string "+hexed+" ") || b != "list "+hexed+" x78" {
			t.Errorf("%q was written as\n%sand libxlutil read %q", texts[i], questions[i].text, got)
		}
	}
}

// create is what a dry run of xl makes of a configuration. Warnings are failures, since xl
// ends well on bad values.
func (x xen) create(t *testing.T, config string) (domain map[string]any, complaint string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vm.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := x.command(t, "create", "-n", file)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err != nil || strings.Contains(strings.ToLower(said.String()), "warning") {
		return nil, said.String()
	}
	if err := json.Unmarshal(out.Bytes(), &domain); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return domain, ""
}

const guest = "name=\"a\"\ntype=\"pvh\"\nmemory=128\nkernel=\"/bin/true\"\n"

// disks are what people write, right and wrong.
var disks = []string{
	"file:/a,ioemu:hda,w", "phy:/dev/cdrom,hdc:cdrom,r", "tap:aio:/a,xvda,w", "tap:qcow:/a,xvda,w", "qcow2:/a,hda,w", "/a,qcow2,hda", ",hdc:cdrom,r", "vmdk:/a,hda,w", "lvm:/a,hda,w",
	"/a,hda,w!", "/a,hda,rw!", "/a,,hda,rw", "/a,hda,foo", "foo", "/a,raw,xvda,rw,cdrom", "format=qcow2,/a,xvda,w", "/a,format=raw,xvda,w", "/a,raw,format=raw,xvda,w", "vdev=xvda,target=/a,b=c,d",
	"/a, raw, xvda, rw", "/a , raw , xvda , rw ", "/a,raw,xvda,rw,backendtype=qdisk", "/a,raw,xvda,rw,script=foo", "nbd:h:1,raw,xvda,rw", "/a,raw,xvda,rw,discard", "/a,raw,xvda,rw,no-discard,direct-io-safe",
	"tap2:aio:/a,xvda,w", "file:/a,ioemu:hda:disk,w", "foo=1,/a,raw,xvda,rw", "/a,raw,xvda,rw,extra", "vhd:/a,xvda,r", "/a,xvda", "/a,qed,xvda", "backend=1,/a,raw,xvda,w", "/a,raw,xvda,,", "phy:a/b,xvda,w",
	"raw:/a,raw,xvda,w", "/a,RAW,xvda,w", "/a=b,raw,xvda,w", "/a:b,raw,xvda,w", "x:/a,raw,xvda,w", "devtype=disk,/a,raw,hda,r", "devtype=foo,/a,raw,hda,r", "access=ro,access=ro,/a,raw,hda", "target=/a,vdev=hda",
	"cdrom,vdev=hdc,format=raw,access=ro", "/a,raw,hdc,w,cdrom", "/a,hdc:cdrom,r", ",raw,hdc:cdrom,r", "/a,raw,hdc:cdrom,r", "/a,raw,hda:foo,r", ",hda,r", ",xvda:cdrom,r", ",hda:disk,r", "file:/a,hdc:cdrom",
	"ioemu:hda", ",,hdc:cdrom,r", "/a,raw,ioemu:hdb,w", "file:ioemu:/a,hda,w", "phy:file:/a,hda,w", "qcow:qcow2:/a,hda,w", "tap:tapdisk:/a,hda,w", "file:,hda,w", "/a,raw,hda,w,target=/b", "target=", ",,hda,", "file:/a",
	"access=r,access=w,/a,raw,hda", "format=,/a,hda,w", "iscsi:iqn.x,xvda,w", "drbd:r0,xvda,w", "/a,raw,xvda,cdrom", "cdrom:/a,hda,w", "discard,no-discard,/a,raw,hdc", "backendtype=foo,/a,raw,hdc,w",
	"/a,raw,hdc,w,backendtype=qdisk,backendtype=phy", " /a,raw,hda,w", "/a b,raw,hda,w", "/a,raw,hda,ro,access=ro,vdev=hda", "http:/a,raw,hda,w", "file:/a,raw,hda,w",
}

func TestDisksLikeXl(t *testing.T) {
	x := findXen(t)
	for _, spec := range disks {
		var c Config
		c.Set("disk", List(spec))
		text, err := c.Write()
		if err != nil {
			t.Fatal(err)
		}
		domain, complaint := x.create(t, guest+text)
		d, err := ParseDisk(spec)
		if (err == nil) != (complaint == "") {
			t.Errorf("%q: xl says %q, and here it is %v", spec, complaint, err)
		}
		if err != nil || complaint != "" {
			continue
		}
		if diff := cmp.Diff(first(domain, "disks"), d.json()); diff != "" {
			t.Errorf("%q (-xl +ingot):\n%s", spec, diff)
		}
		if d.Check() != nil {
			continue
		}
		again, err := ParseDisk(d.String())
		if err != nil || again != d {
			t.Errorf("%q: written as %q and read as %+v, not %+v: %v", spec, d.String(), again, d, err)
		}
		c.Set("disk", List(d.String()))
		if text, err = c.Write(); err != nil {
			t.Fatal(err)
		}
		domain, complaint = x.create(t, guest+text)
		if got := first(domain, "disks"); complaint != "" || !cmp.Equal(got, d.json()) {
			t.Errorf("%q, which is %q, is for xl %v %s", d.String(), spec, got, complaint)
		}
	}
}

func first(domain map[string]any, key string) map[string]any {
	list, _ := domain[key].([]any)
	if len(list) == 0 {
		return nil
	}
	m, _ := list[0].(map[string]any)
	if m["pdev_path"] == "" { // which says as much as none
		delete(m, "pdev_path")
	}
	return m
}

// json is a disk as xl shows one.
func (d Disk) json() map[string]any {
	m := map[string]any{"vdev": d.VDev, "format": d.Format}
	if d.Target != "" {
		m["pdev_path"] = d.Target
	}
	if !d.ReadOnly {
		m["readwrite"] = 1.0
	}
	if d.CDROM {
		m["is_cdrom"], m["removable"] = 1.0, 1.0
	}
	for key, value := range map[string]string{"backend": d.Backend, "backend_domname": d.Domain, "script": d.Script} {
		if value != "" {
			m[key] = value
		}
	}
	if d.Discard != "" {
		m["discard_enable"] = map[string]string{"on": "True", "off": "False"}[d.Discard]
	}
	if d.Direct {
		m["direct_io_safe"] = true
	}
	return m
}

func TestVIFs(t *testing.T) {
	for _, c := range []struct{ in, want, wrong string }{
		{"", "", ""},
		{"mac=00:16:3e:01:02:03, bridge=br0", "mac=00:16:3e:01:02:03,bridge=br0", ""},
		{"rate=10Mb/s,type=ioemu,model=e1000,vifname=web", "model=e1000,type=ioemu,rate=10Mb/s,vifname=web", ""},
		{"mac=00:16:3e:01:02", "", "not the address of a network card"},
		{"mac=01:16:3e:01:02:03", "", "not the address of a network card"},
		{"mac=zz:16:3e:01:02:03", "", "not the address of a network card"},
		{"brigde=br0", "", `no key "brigde"`},
		{"br0", "", "not key=value"},
		{"mac=00:16:3e:01:02:03,mac=00:16:3e:01:02:04", "", "said twice"},
		{"rate=fast", "", "no rate"},
		{"type=pci", "", "no type"},
	} {
		v, err := ParseVIF(c.in)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q: %v, want %s", c.in, err, c.wrong)
			}
			continue
		}
		if err != nil || v.String() != c.want {
			t.Errorf("%q: %q %v", c.in, v, err)
		}
	}
}

func TestVIFsByXl(t *testing.T) {
	x := findXen(t)
	v := VIF{MAC: "00:16:3e:01:02:03", Bridge: "br0", Model: "e1000", Type: "vif", Script: "vif-bridge", IP: "10.0.0.2", Rate: "10Mb/s", Name: "web"}
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	domain, complaint := x.create(t, guest+"vif=[\""+v.String()+"\"]\n")
	got := first(domain, "nics")
	for key, want := range map[string]string{"mac": v.MAC, "bridge": v.Bridge, "model": v.Model, "script": v.Script, "ip": v.IP, "ifname": v.Name} {
		if got[key] != want {
			t.Errorf("xl takes %q for %s %v, not %s %s", v, key, got[key], want, complaint)
		}
	}
}

func FuzzParseDisk(f *testing.F) {
	for _, d := range disks {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		d, err := ParseDisk(spec)
		if err != nil || d.Check() != nil {
			return
		}
		if again, err := ParseDisk(d.String()); err != nil || again != d {
			t.Fatalf("%q is %+v; written as %q it is %+v, %v", spec, d, d, again, err)
		}
	})
}
