package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The ways to run a guest's code.
const (
	KVM = "kvm" // the processor does, through /dev/kvm
	TCG = "tcg" // QEMU translates it
)

// A passed is a list of files that QEMU inherits, as descriptors 3 and up.
type passed struct{ files []*os.File }

// add gives the number that a file will have in QEMU.
func (p *passed) add(f *os.File) int {
	p.files = append(p.files, f)
	return 2 + len(p.files)
}

// copy gives the number that a copy of a file will have: what it holds is closed, and
// the file is another's.
func (p *passed) copy(f *os.File) (int, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	syscall.CloseOnExec(fd)
	return p.add(os.NewFile(uintptr(fd), f.Name())), nil
}

// close closes this side's copies.
func (p *passed) close() {
	for _, f := range p.files {
		f.Close()
	}
	p.files = nil
}

// A drive is a disk as QEMU gets it: descriptors of its file and of its overlay.
type drive struct {
	format        Format
	as            Medium
	sector        int // bytes; 0 is QEMU's choice
	disk, overlay int // a CD has no overlay
}

// Wires is which descriptors QEMU uses for what.
type wires struct {
	monitor, console int
	agent            int // 0 without one
	code, vars       int // UEFI; 0 without
	kernel, initrd   int // 0 is the disk's
	drives           []drive
}

// arguments is QEMU's command line for a settled spec, without the program. It
// names no path of the host but those of its own descriptors. The version is QEMU's.
func arguments(s Spec, w wires, accel, version string) []string {
	var a []string
	add := func(words ...string) { a = append(a, words...) }
	fd := func(set, n int) string {
		add("-add-fd", fmt.Sprintf("fd=%d,set=%d", n, set))
		return "/dev/fdset/" + strconv.Itoa(set)
	}
	block := func(node map[string]any) {
		// A map of strings, booleans and maps always marshals, with sorted keys.
		b, _ := json.Marshal(node)
		add("-blockdev", string(b))
	}
	file := func(name string, n int, write bool) string {
		node := map[string]any{"driver": "file", "node-name": name, "filename": fd(n, n), "read-only": !write}
		if write {
			// The overlay dies with the machine: nothing of it needs to reach a disk.
			node["cache"] = map[string]any{"no-flush": true}
			node["discard"] = "unmap"
		}
		block(node)
		return name
	}

	// graphics=off makes SeaBIOS, and so GRUB, talk on the serial port.
	machine := "pc,graphics=off"
	switch s.Firmware {
	case BIOS:
	case UEFI:
		machine = "q35,graphics=off"
	case Secure:
		// What guards the variables runs in the processor's management mode, and
		// it alone may write the flash that holds them.
		machine = "q35,graphics=off,smm=on"
	}
	add("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none")
	// A guest that breaks out of QEMU can start nothing and gain nothing.
	add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny")
	if w.code != 0 {
		block(map[string]any{"driver": "raw", "node-name": "code", "read-only": true, "file": file("code-file", w.code, false)})
		block(map[string]any{"driver": "raw", "node-name": "vars", "read-only": false, "file": file("vars-file", w.vars, true)})
		machine += ",pflash0=code,pflash1=vars"
		if s.Firmware == Secure {
			add("-global", "driver=cfi.pflash01,property=secure,value=on")
		}
	}
	add("-machine", machine)
	add(acceleration(accel, version)...)
	add("-smp", strconv.Itoa(s.CPUs), "-m", strconv.FormatInt(s.Memory>>20, 10)+"M")
	add("-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", w.monitor), "-mon", "chardev=monitor,mode=control")
	add("-chardev", fmt.Sprintf("socket,id=console,fd=%d", w.console), "-serial", "chardev:console")
	// Entropy, so that nothing in the guest waits for it.
	add("-object", "rng-builtin,id=random", "-device", "virtio-rng-pci,rng=random")

	for i, d := range w.drives {
		name := "disk" + strconv.Itoa(i)
		node := map[string]any{"driver": string(d.format), "node-name": name, "read-only": true, "file": file(name+"-file", d.disk, false)}
		if d.format == Qcow2 || d.format == VMDK {
			node["backing"] = nil // whatever the file says of one
		}
		block(node)
		if d.as != CD {
			block(map[string]any{
				"driver": "qcow2", "node-name": name + "-overlay", "backing": name, "discard": "unmap",
				"file": file(name+"-overlay-file", d.overlay, true), "cache": map[string]any{"no-flush": true},
			})
			name += "-overlay"
		}
		devices := d.as.devices(i, name)
		if d.as != CD && d.sector > 512 {
			devices[len(devices)-1] += fmt.Sprintf(",logical_block_size=%[1]d,physical_block_size=%[1]d", d.sector)
		}
		if i == 0 && w.kernel == 0 { // a kernel from outside is the first
			devices[len(devices)-1] += ",bootindex=0"
		}
		for _, device := range devices {
			add("-device", device)
		}
	}

	if w.kernel != 0 {
		// QEMU opens these by path alone.
		add("-kernel", fmt.Sprintf("/proc/self/fd/%d", w.kernel), "-append", s.Direct.CommandLine)
		if w.initrd != 0 {
			add("-initrd", fmt.Sprintf("/proc/self/fd/%d", w.initrd))
		}
	}

	net := "user,id=net"
	if s.Network == Isolated {
		net += ",restrict=on"
	}
	for _, port := range s.Forward {
		// Port 0: the kernel chooses a free one.
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", port)
	}
	add("-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile=")

	if w.agent != 0 {
		add("-device", "virtio-serial-pci,id=serial")
		add("-chardev", fmt.Sprintf("socket,id=agent,fd=%d", w.agent))
		add("-smbios", "type=11,value="+strings.ReplaceAll(credential(), ",", ",,"))
	}
	return a
}

// acceleration is QEMU's arguments for a way to run code.
//
// Under TCG, QEMU before 8 leaves wrong flags behind cmpxchg16b: an interrupt right after
// it then breaks the guest's kernel. Linux 6.12 (trixie) uses it for each allocation and
// dies in __kmalloc_noprof by a double fault, within seconds or minutes (seen with
// QEMU 7.2). Such a QEMU hides the instruction from the guest; the price is that
// distributions that need x86-64-v2 do not start under it.
func acceleration(accel, version string) []string {
	if accel == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	cpu := "max"
	if major, _, _ := strings.Cut(version, "."); major == "6" || major == "7" {
		cpu = "max,-cx16"
	}
	return []string{"-accel", "tcg,thread=multi,tb-size=256", "-cpu", cpu}
}
