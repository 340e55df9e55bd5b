// Package vm runs a machine under QEMU and finds out whether it works.
//
// A [Machine] is one QEMU process as a value. [Start] makes it from a [Spec],
// [Machine.Wait] waits for evidence on its console (never for time alone),
// [Machine.Run] runs a command inside it, [Machine.Stop] ends it. [RunTests] is all
// of that for the tests of a definition.
//
// # The file is never touched
//
// The disk is opened for reading only, and QEMU gets it as an inherited file
// descriptor; what the guest writes goes to an overlay without a name
// (O_TMPFILE), UEFI variables to one in memory. QEMU needs no path of the host: disk,
// overlay, firmware, monitor, console and channel are all descriptors. So
// it runs as well inside a sandbox whose root is a tools tree ([Toolbox]), and
// after kill -9 nothing is left: no file, and (by the parent-death signal) no
// process.
//
// # Acceleration
//
// An openable /dev/kvm proves nothing: on some machines a guest then hangs in its
// firmware. A boot sector of seven bytes is started first; only if it
// reports within seconds is KVM used. The answer is kept for the boot id of the
// host. Otherwise QEMU translates code (TCG), one thread for each processor.
//
// # Commands in a stock image
//
// A command runs in the guest without network, keys or a password, and without
// anything in the image:
//
//   - QEMU's SMBIOS tables carry a string of type 11 that systemd (252 and
//     newer) imports as the credential "tmpfiles.extra", which
//     systemd-tmpfiles reads as more lines of tmpfiles.d. These lines write three
//     files into the guest's /run: a shell script, a service, and a udev rule that
//     wants the service when a virtio port named "ingot.agent" appears.
//   - The host plugs that port in, and out and in again, ever more slowly, until the script answers:
//     udev looks for new rules at most every three seconds, so one try
//     could come too early.
//   - The script reads commands from the port, a line each, and answers with
//     their output in base64 and their exit status.
//
// All of it is in the guest's memory and gone with it. Whoever can set SMBIOS strings owns
// the machine anyway. Other ways were weighed: systemd.extra-unit credentials
// need systemd 256 (bookworm has 252), systemd.run= needs another kernel command line
// and so a boot that is not the image's own, a unit in every image would ship code that
// only tests need. An image without systemd 252 boots and shows its console, but
// runs no commands, and is told so.
//
// The facts are from systemd's manual (systemd.system-credentials(7),
// systemd-tmpfiles(8)), from its units as Debian ships them, and from QEMU's
// documentation of -smbios, -add-fd and QMP.
package vm
