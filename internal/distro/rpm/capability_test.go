package rpm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// capabilityTexts and what the kernel reads: version and effective bit, then
// permitted and inheritable, low and high.
var capabilityTexts = []struct{ text, want string }{
	{"cap_net_raw=ep", "01000002 00200000 00000000 00000000 00000000"},
	{"cap_net_raw,cap_net_admin+ep", "01000002 00300000 00000000 00000000 00000000"},
	{"CAP_CHOWN=p", "00000002 01000000 00000000 00000000 00000000"},
	{"= cap_setuid,cap_setgid=ep", "01000002 c0000000 00000000 00000000 00000000"},
	{"cap_bpf=p cap_kill+i", "00000002 00000000 20000000 80000000 00000000"},
	{"cap_kill=pi cap_kill-i", "00000002 20000000 00000000 00000000 00000000"},
	{"cap_kill=i-i+p", "00000002 20000000 00000000 00000000 00000000"},
	{"=ep", "01000002 ffffffff 00000000 ff010000 00000000"},
	{"=", ""},
	{"", ""},
}

func TestCapabilityGivesTheKernelsForm(t *testing.T) {
	for _, c := range capabilityTexts {
		x, err := capability(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		got := ""
		if len(x) == 1 && x[0].Name == "security.capability" {
			for i := 0; i < len(x[0].Value); i += 4 {
				got += fmt.Sprintf(" %x", x[0].Value[i:i+4])
			}
		}
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%q is %s, want %s", c.text, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"cap_kill": "lack an operator", "cap_none=p": "not known", "cap_kill=x": "flag", "cap_kill=ep cap_chown=p": "for some only",
	} {
		if _, err := capability(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want one with %q", text, err, want)
		}
	}
}

// TestCapabilitiesAgreeWithSetcap holds the attribute against setcap's (Debian:
// libcap2-bin).
func TestCapabilitiesAgreeWithSetcap(t *testing.T) {
	judged(t)
	if os.Geteuid() != 0 {
		t.Skip("root runs this: setcap, the judge, is root's")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range capabilityTexts {
		if c.want == "" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "setcap", c.text, path).CombinedOutput(); err != nil {
			t.Fatalf("setcap %q: %v %s", c.text, err, out)
		}
		buf := make([]byte, 64)
		n, err := unix.Getxattr(path, capabilityXattr, buf)
		if err != nil {
			t.Fatal(err)
		}
		x, err := capability(c.text)
		if err != nil || len(x) != 1 || x[0].Value != string(buf[:n]) {
			t.Errorf("%q is %x (%v), setcap says %x", c.text, x, err, buf[:n])
		}
	}
}
