package bls

import "testing"

// TestStopped tells what the kernel made read-only from what somebody did.
func TestStopped(t *testing.T) {
	const before = "22 1 253:5 / / rw,relatime shared:1 - ext4 /dev/mapper/hv-root rw\n"
	for line, want := range map[string]bool{
		"40 22 254:1 / /boot/efi rw,relatime shared:9 - vfat /dev/vda1 ro,fmask=0022,errors=remount-ro": true,
		"40 22 254:1 / /boot/efi rw,relatime shared:9 - vfat /dev/vda1 rw,fmask=0022,errors=remount-ro": false,
		"40 22 254:1 / /boot/efi ro,relatime shared:9 - vfat /dev/vda1 ro,fmask=0022,errors=remount-ro": false,
		"40 22 254:1 / /boot rw,relatime - vfat /dev/vda1 ro":                                           false,
		"40 22 254:1 / /boot/efi rw": false,
		"":                           false,
	} {
		if got := stopped([]byte(before+line+"\n"), "/boot/efi"); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
	two := "40 22 254:1 / /boot/efi rw - vfat /dev/vda1 ro\n41 40 254:2 / /boot/efi rw - vfat /dev/vdb1 rw\n"
	if stopped([]byte(two), "/boot/efi") {
		t.Error("a mount below counts")
	}
}
