package host_test

import (
	"testing"

	"ingot/internal/host"
)

// TestTidy has what was broken off on the boot partition go before anything is written there: to
// FAT its clusters may be free, and then another file would have them.
func TestTidy(t *testing.T) {
	one, two := name(t, "Base-1-0+1"), name(t, "Base-2-0+1")
	s := host.State{Loader: true}
	steps, err := s.Init(one.Base(), "vg/root", 0)
	if err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	boot(&s, one)
	s.Kernels = append(s.Kernels, host.Kernel{Layer: two})
	s.Litter = []string{"ingot-2+3.conf"}
	steps, err = s.Confirm(2)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := s
	expect(t, do(&confirmed, steps), `
	remove drafts from the boot partition
	remove kernel and initramfs of Base-2-0+1 from the boot partition
	write boot entry 1 of Base-1-0+1
	remove boot entry 1 of Base-1-0+1, 2 tries left
	`)
	confirmed.Kernels = append(confirmed.Kernels, host.Kernel{Layer: two})
	confirmed.Litter = []string{"ingot-2+3.conf"}
	_, steps, err = confirmed.Update(host.Update{Image: image(t, "Base-3-0")})
	if err != nil {
		t.Fatal(err)
	}
	if err := confirmed.Prove(steps); err != nil {
		t.Error(err)
	}
	expect(t, do(&confirmed, steps[len(steps)-4:]), `
	remove drafts from the boot partition
	remove kernel and initramfs of Base-2-0+1 from the boot partition
	copy kernel and initramfs of Base-3-0+1 to the boot partition
	write boot entry 2 of Base-3-0+1, 3 tries left
	`)
}
