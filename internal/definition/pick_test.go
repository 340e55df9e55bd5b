package definition

import (
	"strings"
	"testing"

	"ingot/internal/fault"
)

// What a person asks for is matched strongly; scores only rank.
func TestPick(t *testing.T) {
	const three = "flavors: {vmware: {packages: [open-vm-tools]}, \"!kernel\": {kernel: none, outputs: [openvz]}, \"xen is: x86_64\": {packages: [aa]}}\n"
	const both = "arch: [amd64, arm64]\n"
	for _, c := range []struct{ text, asked, want string }{
		{"", "", "web"},
		{"", "is: x86_64", "web"},
		{"", "is: aarch64", `no flavor of web is "is: aarch64"; it is built for x86_64`},
		{"", "vmware", `no flavor of web is "vmware"; closest: [is: x86_64]`},
		{three, "", "web"},
		{three, "vmware", "web-vmware"},
		{three, "~vmware", "web-vmware"},
		{three, "!kernel", "web-no-kernel"},
		{three, "kernel", "web"},
		{three, "kernel,vmware", "web-vmware"},
		{three, "!vmware,!kernel is: x86_64", "web-no-kernel"},
		{three, "vmware,!kernel", `no flavor of web is "vmware,!kernel"; closest: [~kernel is: x86_64], [~!vmware is: x86_64]`},
		{three, "vmwrae", `no flag "vmwrae"; did you mean vmware?`},
		{three, "arm64", `"arm64" is an architecture and stands where flags do; architectures stand behind is:, as in "is: aarch64"`},
		{three, "is: amd64", `"amd64" is Debian's name for an architecture; in flavors it is called x86_64`},
		{three, "!!kernel", `flavor "!!kernel", byte 1: "!!" in front of a flag; in front of a flag stands nothing, ~ (preferred), ~! (rather not) or ! (never)`},
		{three + both, "", "web amd64, web arm64"},
		{three + both, "vmware", "web-vmware amd64, web-vmware arm64"},
		{three + both, "vmware is: aarch64", "web-vmware arm64"},
		{three + both, "xen", "web-xen amd64"},
		{"declared: d\nflavors: {\"!aa\": {packages: [aa]}, \"!bb\": {packages: [bb]}, \"aa,bb\": {packages: [cc]}}\n", "", "flavor \"aa,bb\" is what the definition is without it"},
		{"declared: d\nflavors: {\"!aa,bb\": {packages: [aa]}, \"!aa,!bb,cc\": {packages: [bb]}, \"!aa,bb,cc\": {packages: [cc]}}\n", "!aa", "web-no-aa-bb"},
		{"declared: d\nflavors: {\"!aa,!cc\": {packages: [aa]}, \"!bb,!cc\": {packages: [bb]}}\n", "!cc", "several flavors suit \"!cc\" alike: [!aa,~!bb,!cc is: x86_64], [~!aa,!bb,!cc is: x86_64]; say more of it, such as --flavor \"!aa,~!bb,!cc\""},
	} {
		files := map[string]string{FileName: strings.Replace(five, "web_1", "web", 1) + c.text, "d/flags/aa": "sense: preferred\n", "d/flags/bb": "sense: preferred\n", "d/flags/cc": "sense: preferred\n"}
		if strings.Contains(c.want, "several") {
			files["d/flags/aa"], files["d/flags/bb"] = "sense: prefernot\n", "sense: prefernot\n"
		}
		d, err := Load(lay(t, files), Options{HostArch: "amd64"})
		var got []string
		var picked []*Definition
		if err == nil {
			picked, err = d.Pick(c.asked)
		}
		for _, v := range picked {
			if len(d.Arch) > 1 {
				got = append(got, v.FullName()+" "+v.Arch[0])
			} else {
				got = append(got, v.FullName())
			}
		}
		said := strings.Join(got, ", ")
		if err != nil {
			said = err.Error()
			if hint := fault.HintOf(err); hint != "" {
				said += "; " + hint
			}
		}
		if said != c.want && (err == nil || !strings.Contains(said, c.want)) {
			t.Errorf("%s\n[%s]\n got %s\nwant %s", c.text, c.asked, said, c.want)
		}
		code := fault.CodeOf(err)
		switch {
		case strings.HasPrefix(said, "no flavor") || strings.HasPrefix(said, "no flag"):
			if code != fault.NotFound {
				t.Errorf("%s: code %d", said, code)
			}
		case strings.HasPrefix(said, "several"):
			if code != fault.Choice {
				t.Errorf("%s: code %d", said, code)
			}
		}
	}
}
