package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/fault"
)

// TestExplainRefusal holds each reason for which a kernel, a distribution or a container
// forbids user namespaces against its remedy.
func TestExplainRefusal(t *testing.T) {
	const sysctl, hint = "as root: sysctl ", "Docker needs --security-opt"
	for _, c := range []struct {
		summary  string
		err      error
		root     bool
		settings map[string]string
		want     string // in the hint; "" is none
	}{
		{"none are allowed", syscall.ENOSPC, false, map[string]string{"user/max_user_namespaces": "0"}, sysctl + "user.max_user_namespaces=15000"},
		{"none are allowed, to root neither", syscall.ENOSPC, true, map[string]string{"user/max_user_namespaces": "0"}, sysctl + "user.max_user_namespaces=15000"},
		{"Debian's switch", syscall.EPERM, false, map[string]string{"user/max_user_namespaces": "100", "kernel/unprivileged_userns_clone": "0"}, sysctl + "kernel.unprivileged_userns_clone=1"},
		{"Debian's switch is nothing to root", syscall.EPERM, true, map[string]string{"kernel/unprivileged_userns_clone": "0"}, hint},
		{"AppArmor", syscall.EACCES, false, map[string]string{"kernel/unprivileged_userns_clone": "1", "kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor forbids it here; as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"AppArmor is nothing to root", syscall.EPERM, true, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, hint},
		{"AppArmor is off", syscall.EPERM, false, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "0"}, hint},
		{"too deep", syscall.ENOSPC, false, map[string]string{"user/max_user_namespaces": "100"}, "nested too deep or too many"},
		{"too deep, on an old kernel", syscall.EUSERS, true, nil, "nested too deep or too many"},
		{"a container", syscall.EPERM, true, nil, hint},
		{"a container's profile", syscall.EACCES, false, nil, hint},
		{"a kernel without", syscall.EINVAL, false, nil, "CONFIG_USER_NS"},
		{"a kernel without the call", syscall.ENOSYS, true, nil, "CONFIG_USER_NS"},
		{"anything else", syscall.EIO, true, nil, ""},
	} {
		err := explainRefusal(fmt.Errorf("fork/exec: %w", c.err), c.root, func(name string) string { return c.settings[name] })
		if fault.CodeOf(err) != fault.Preflight || !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), "this system does not let ingot make a user namespace: ") {
			t.Errorf("%s: code %d, %v", c.summary, fault.CodeOf(err), err)
		}
		if got := fault.HintOf(err); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: hint %q, want %q", c.summary, got, c.want)
		}
	}
}
