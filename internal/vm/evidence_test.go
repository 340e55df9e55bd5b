package vm

import (
	"regexp"
	"testing"
)

// The lines are what real consoles said.
func TestJudge(t *testing.T) {
	expect := Evidence{Expect: []*regexp.Regexp{regexp.MustCompile(`nginx.*started`), regexp.MustCompile(`^two$`)}}
	for _, row := range []struct {
		name          string
		evidence      Evidence
		lines         []string
		proof, broken string
	}{
		{"login", Evidence{}, []string{"Debian GNU/Linux 12 judge ttyS0", "judge login:"}, "judge login:", ""},
		{"last login is none", Evidence{}, []string{"Last login: Mon Jan  1 10:00:00 UTC 2024 on ttyS0"}, "", ""},
		{"target", Evidence{}, []string{"[  OK  ] Reached target multi-user.target - Multi-User System."}, "[  OK  ] Reached target multi-user.target - Multi-User System.", ""},
		{"another target is none", Evidence{}, []string{"[  OK  ] Reached target basic.target - Basic System."}, "", ""},
		{"all expectations, in any order", expect, []string{"two", "x", "nginx was started"}, "nginx was started", ""},
		{"one of two", expect, []string{"two", "two", "judge login:"}, "", ""},
		{"panic", Evidence{}, []string{"[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"}, "", "kernel panic"},
		{"panic while expecting", expect, []string{"Kernel panic - not syncing: x"}, "", "kernel panic"},
		{"emergency", Evidence{}, []string{"You are in emergency mode. After logging in, type \"journalctl -xb\" to view"}, "", "emergency mode"},
		{"emergency without a root password", Evidence{}, []string{"Cannot open access to console, the root account is locked."}, "", "emergency mode"},
		{"initramfs", Evidence{}, []string{"ALERT!  UUID=x does not exist.  Dropping to a shell!"}, "", "prompt of the initramfs"},
		{"initramfs prompt", Evidence{}, []string{"(initramfs)"}, "", "prompt of the initramfs"},
		{"GRUB rescue", Evidence{}, []string{"error: unknown filesystem.", "Entering rescue mode...", "grub rescue>"}, "", "GRUB's rescue prompt"},
		{"GRUB prompt", Evidence{}, []string{"grub>"}, "", "GRUB's prompt"},
		{"a missing font breaks nothing", Evidence{}, []string{"error: file `/boot/grub/fonts/unicode.pf2' not found."}, "", ""},
		{"a missing video mode breaks nothing", Evidence{}, []string{"error: no suitable video mode found.", "Booting in blind mode", "judge login:"}, "judge login:", ""},
		{"SeaBIOS", Evidence{}, []string{"Boot failed: not a bootable disk", "No bootable device."}, "", "firmware found nothing to boot"},
		{"OVMF", Evidence{}, []string{"BdsDxe: No bootable option or device was found."}, "", "firmware found nothing to boot"},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := newWatch(row.evidence)
			var proof, broken string
			for _, line := range row.lines {
				p, b := j.look(line)
				if p != nil {
					proof = p.Line
					break
				}
				if b != nil {
					broken = b.Name
					break
				}
			}
			if proof != row.proof || broken != row.broken {
				t.Errorf("proof %q, broken %q; want %q, %q (missing: %s)", proof, broken, row.proof, row.broken, j.missing())
			}
		})
	}
}
