package sandbox

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"ingot/internal/fault"
)

// Check says, before any work, whether this user can have boxes here: it starts
// one, which takes about 40 ms. What is in the way is a fault.Preflight.
func Check(ctx context.Context) error {
	box, err := New(ctx, Options{})
	if err != nil {
		return err
	}
	return box.Close()
}

// explainStart turns the kernel's refusal to make namespaces into its remedy.
func explainStart(err error) error {
	return explainRefusal(err, os.Geteuid() == 0, func(name string) string {
		data, _ := os.ReadFile("/proc/sys/" + name) // absent is an answer too
		return strings.TrimSpace(string(data))
	})
}

// explainRefusal is its remedy by what was seen: the error, whether root was refused, and
// what the kernel's settings (sysctl) are, "" for one that it does not have.
func explainRefusal(err error, root bool, setting func(name string) string) error {
	e := fault.Newf(fault.Preflight, "this system does not let ingot make a user namespace: %w", err)
	switch {
	case setting("user/max_user_namespaces") == "0":
		return e.WithHint("as root: sysctl user.max_user_namespaces=15000")
	case setting("kernel/unprivileged_userns_clone") == "0" && !root:
		return e.WithHint("as root: sysctl kernel.unprivileged_userns_clone=1")
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1" && !root:
		return e.WithHint("AppArmor forbids it here; as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give ingot an AppArmor profile with 'userns,'")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EUSERS):
		return e.WithHint("namespaces are nested too deep or too many are in use; as root: sysctl user.max_user_namespaces=15000")
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return e.WithHint("in a container, allow nested user namespaces: Docker needs --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or profiles that allow clone, unshare and mount")
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS):
		return e.WithHint("the kernel was built without user namespaces (CONFIG_USER_NS)")
	}
	return e
}
