package rpm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// capabilityXattr is the attribute that the kernel reads at exec.
const capabilityXattr = "security.capability"

// capabilityNames by number (linux/capability.h).
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
	sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
	audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
	checkpoint_restore`)

// capability turns capabilities as text (cap_from_text(3)), such as
// "cap_net_raw,cap_net_admin=ep", into an attribute of the kernel's form
// (vfs_cap_data version 2 of linux/capability.h), or none where no file
// capability is left.
func capability(text string) ([]tree.Xattr, error) {
	const effective, inheritable, permitted = 0, 1, 2
	var sets [3]uint64
	for clause := range strings.FieldsSeq(text) {
		i := strings.IndexAny(clause, "=+-")
		if i < 0 {
			return nil, fmt.Errorf("%w: capabilities %q lack an operator", errPackage, text)
		}
		mask, err := capabilityMask(clause[:i])
		if err != nil {
			return nil, fmt.Errorf("%w: capabilities %q: %w", errPackage, text, err)
		}
		for rest := clause[i:]; rest != ""; {
			op := rest[0]
			end := 1 + strings.IndexAny(rest[1:], "=+-")
			if end == 0 {
				end = len(rest)
			}
			if op == '=' {
				for s := range sets {
					sets[s] &^= mask
				}
			}
			for _, flag := range rest[1:end] {
				s := slices.Index([]rune{'e', 'i', 'p'}, flag)
				if s < 0 {
					return nil, fmt.Errorf("%w: capabilities %q have a flag %q", errPackage, text, flag)
				}
				if op == '-' {
					sets[s] &^= mask
				} else {
					sets[s] |= mask
				}
			}
			rest = rest[end:]
		}
	}
	if sets == [3]uint64{} {
		return nil, nil
	}
	// A file has one effective bit for all that it permits or inherits.
	if e := sets[effective]; e != 0 && e != sets[permitted]|sets[inheritable] {
		return nil, fmt.Errorf("%w: capabilities %q are effective for some only, which a file cannot say", errPackage, text)
	}
	const version2, effectiveBit = 0x02000000, 1
	magic := uint32(version2)
	if sets[effective] != 0 {
		magic |= effectiveBit
	}
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, magic)
	for shift := 0; shift <= 32; shift += 32 {
		b = binary.LittleEndian.AppendUint32(b, uint32(sets[permitted]>>shift))
		b = binary.LittleEndian.AppendUint32(b, uint32(sets[inheritable]>>shift))
	}
	return []tree.Xattr{{Name: capabilityXattr, Value: string(b)}}, nil
}

func capabilityMask(names string) (uint64, error) {
	if names == "" || strings.EqualFold(names, "all") {
		return 1<<len(capabilityNames) - 1, nil
	}
	var mask uint64
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(capabilityNames, strings.TrimPrefix(strings.ToLower(name), "cap_"))
		if i < 0 {
			return 0, fmt.Errorf("%q is not known", name)
		}
		mask |= 1 << i
	}
	return mask, nil
}
