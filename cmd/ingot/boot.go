package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/pe"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// bootFlags are those of "ingot boot".
type bootFlags struct {
	firmware string
	trust    string
	direct   vm.Direct
	as       string
	timeout  time.Duration
	expect   []string
	run      []string
	then     []string
	console  bool
	ssh      bool
	network  bool
	unlock   string
	sector   int
	drives   []string
	memory   memorySize
	cpus     int
	json     bool
	flavor   variantFlags
}

func newBootCommand() *cobra.Command {
	f := bootFlags{memory: memorySize(vm.DefaultMemory)}
	cmd := &cobra.Command{
		Use:   "boot [ARTIFACT|DEFINITION]",
		Short: "Start an artifact in QEMU and wait until it works",
		Long: `boot starts a disk image, or an iso, in QEMU and waits for evidence that it works:
a login prompt on its serial console, systemd's word that it reached a target
that has one, or what --expect asks for. It exits 0, or 8 with the console's last
lines. The file is opened for reading only; whatever the machine writes is gone
when it ends. Of a definition (a directory or an ingot.yaml, by default the one
here) the first artifact that boots is built first.

--run runs a command in the machine as root, without keys, passwords or network,
in any image with systemd 252 or newer; all of them must exit 0. --then restarts
the machine, with its disk as those commands left it, and runs more. --console joins
its serial console with the terminal (Ctrl-A x ends it), --ssh opens a root shell
by SSH with a key made for this run. No account of an image can log in unless
its definition gives a password hash or a key; --run and --ssh need neither.`,
		Example: `  ingot boot web-amd64.qcow2
  ingot boot web-amd64.qcow2 --firmware uefi --expect 'nginx.*started'
  ingot boot web-amd64.qcow2 --run 'systemctl is-active nginx'
  ingot boot web-amd64.qcow2 --console`,
		GroupID: groupMake,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.boot(cmd, append(args, "ingot.yaml")[0])
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.firmware, "firmware", "", "what starts the machine: bios, uefi, or secure: UEFI that starts only what is signed (default: bios, or uefi for a disk that no BIOS starts from)")
	fl.StringVar(&f.trust, "trust", "", "with --firmware secure: the file of a certificate to trust in place of Microsoft's")
	fl.StringVar(&f.direct.Kernel, "kernel", "", "the file of a kernel to start in place of what the disk would")
	fl.StringVar(&f.direct.Initrd, "initrd", "", "with --kernel: the file of its initramfs")
	fl.StringVar(&f.direct.CommandLine, "append", "", "with --kernel: its command line, such as root=/dev/vda console=ttyS0")
	fl.StringVar(&f.as, "as", "", "what the machine takes it for: disk, cd, usb, or a disk on a `controller`: sata, ide, nvme, pvscsi, sas, scsi (default: cd for an iso, disk for all else)")
	fl.DurationVar(&f.timeout, "timeout", vm.DefaultTimeout, "how long the boot, and each command, may take")
	fl.StringArrayVar(&f.expect, "expect", nil, "wait for a line of the console that matches; may be repeated")
	fl.StringArrayVar(&f.run, "run", nil, "run a shell command in the machine; may be repeated")
	fl.StringArrayVar(&f.then, "then", nil, "restart the machine after the commands of --run, then run a shell command; may be repeated")
	fl.BoolVar(&f.console, "console", false, "join the serial console with this terminal")
	fl.BoolVar(&f.ssh, "ssh", false, "open a root shell by SSH")
	fl.BoolVar(&f.network, "network", false, "let the machine reach what this one does (--console and --ssh do)")
	fl.StringVar(&f.unlock, "unlock", "", "a file with the passphrase to type where the machine asks for one")
	fl.StringArrayVar(&f.drives, "drive", nil, "a further disk of the machine, behind the artifact; may be repeated")
	fl.IntVar(&f.sector, "sector-size", 0, "bytes of the disk's sectors, 512 or 4096 (default: what a raw disk's table says, else 512)")
	fl.Var(&f.memory, "memory", "its memory, such as 512MiB")
	fl.IntVar(&f.cpus, "cpus", vm.DefaultCPUs, "its processors")
	fl.BoolVar(&f.json, "json", false, "print one JSON object")
	f.flavor.add(cmd)
	for _, other := range []string{"ssh", "run", "then", "expect", "json"} {
		cmd.MarkFlagsMutuallyExclusive("console", other)
	}
	cmd.MarkFlagsMutuallyExclusive("ssh", "json")
	cmd.MarkFlagsMutuallyExclusive("ssh", "then")
	return cmd
}

func (f *bootFlags) boot(cmd *cobra.Command, path string) (err error) {
	evidence, err := f.evidence()
	if err != nil {
		return err
	}
	if isDefinition(path) {
		var further []string
		if path, further, err = buildToBoot(cmd, path, f.flavor); err != nil {
			return err
		}
		f.drives = append(further, f.drives...)
	} else if len(f.flavor.flavors) > 0 {
		return fault.Newf(fault.Usage, "--flavor chooses what is built of a definition, and %s is an artifact", path).WithHint("leave it out")
	}
	passphrase, err := f.passphrase()
	if err != nil {
		return err
	}
	if f.firmware == "" {
		f.firmware = string(f.suiting(path))
	}
	spec := f.spec(path)
	if f.trust != "" {
		if spec.Trust, err = readCertificate(f.trust); err != nil {
			return err
		}
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	h, err := openHouse(sourceFlags{}, progress)
	if err != nil {
		return err
	}
	spec.Tools = h.bootTools()
	task := progress.Start(ui.Step{ID: "boot", Name: "boot " + filepath.Base(path)})
	m, err := vm.Start(cmd.Context(), spec)
	if err != nil {
		task.Done(err)
		return err
	}
	defer m.Stop()
	accel, why := m.Accel()
	progress.Notef("%s runs under %s: %s", filepath.Base(path), accel, why)
	if passphrase != "" {
		m.Unlock(passphrase)
	}
	if f.console {
		task.Done(nil)
		progress.Close()
		return joinConsole(cmd, m)
	}
	m.Watch(func(line string, whole bool) {
		if whole && line != "" {
			task.Notef("%s", line)
		}
	})
	r := bootResult{Schema: 1, Artifact: path, Firmware: f.firmware, Accel: accel, Commands: []vm.Result{}}
	err = f.prove(cmd.Context(), m, evidence, &r)
	r.Seconds = time.Since(m.Started()).Seconds()
	task.Done(err)
	if err == nil && f.ssh {
		return openShell(cmd, m, progress, f.timeout, func() error {
			if len(r.Commands) == 0 {
				return nil
			}
			return f.print(cmd, m, &r, nil)
		})
	}
	progress.Close()
	if perr := f.print(cmd, m, &r, err); err == nil {
		err = perr
	}
	return err
}

// bootResult is what boot prints.
type bootResult struct {
	Schema   int         `json:"schema"`
	Artifact string      `json:"artifact"`
	Firmware string      `json:"firmware"`
	Accel    string      `json:"accel"`
	Booted   bool        `json:"booted"`
	Evidence *vm.Proof   `json:"evidence,omitempty"` // of the console
	State    string      `json:"state,omitempty"`    // systemd's, where commands were run: "running" or "degraded"
	Commands []vm.Result `json:"commands"`
	Console  []string    `json:"console,omitempty"` // its last lines, after a failure
	Seconds  float64     `json:"seconds"`
}

// prove waits for evidence and runs the commands.
func (f *bootFlags) prove(ctx context.Context, m *vm.Machine, e vm.Evidence, r *bootResult) error {
	wait, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	commands := len(f.run)+len(f.then) > 0 || f.ssh
	if len(f.expect) > 0 || !commands {
		proof, err := m.Wait(wait, e)
		if err != nil {
			return err
		}
		r.Evidence = &proof
	}
	if commands {
		state, err := m.Ready(wait)
		if err != nil {
			return err
		}
		r.State = state
	}
	r.Booted = true
	failed, err := f.commands(ctx, m, f.run, r)
	if err != nil {
		return err
	}
	if len(f.then) > 0 && len(failed) == 0 {
		again, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if r.State, err = m.Restart(again); err != nil {
			return err
		}
		if failed, err = f.commands(ctx, m, f.then, r); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fault.Newf(fault.Health, "in %s: %s", filepath.Base(r.Artifact), strings.Join(failed, ", "))
	}
	return nil
}

// commands runs commands, all of them even if one fails, and says which did.
func (f *bootFlags) commands(ctx context.Context, m *vm.Machine, list []string, r *bootResult) (failed []string, err error) {
	for _, command := range list {
		result, err := m.Run(ctx, command, f.timeout)
		if err != nil {
			return nil, err
		}
		switch {
		case result.TimedOut:
			result.Failure = fmt.Sprintf("took longer than %v", f.timeout)
		case result.Exit != 0:
			result.Failure = fmt.Sprintf("exited %d", result.Exit)
		}
		if result.Failure != "" {
			failed = append(failed, fmt.Sprintf("%q %s", command, result.Failure))
		}
		r.Commands = append(r.Commands, result)
	}
	return failed, nil
}

// print says the result: commands' output alone where there are commands.
func (f *bootFlags) print(cmd *cobra.Command, m *vm.Machine, r *bootResult, failure error) error {
	if f.json {
		if failure != nil {
			r.Console = m.Last(20)
		}
		return printJSON(cmd, r)
	}
	out := cmd.OutOrStdout()
	for _, c := range r.Commands {
		if _, err := fmt.Fprint(out, c.Output); err != nil {
			return fmt.Errorf("cannot write the result: %w", err)
		}
	}
	if r.Evidence != nil && failure == nil && len(r.Commands) == 0 {
		if _, err := fmt.Fprintf(out, "%s booted in %.1f s (%s, %s): %s\n",
			filepath.Base(r.Artifact), r.Seconds, r.Firmware, r.Accel, r.Evidence.Line); err != nil {
			return fmt.Errorf("cannot write the result: %w", err)
		}
	}
	return nil
}

// suiting is the firmware that a disk starts by.
func (f *bootFlags) suiting(path string) vm.Firmware {
	if f.direct.Kernel != "" {
		return vm.BIOS
	}
	return vm.FirmwareOf(vm.Disk{Path: path, As: vm.Medium(f.as), SectorSize: f.sector})
}

func (f *bootFlags) spec(path string) vm.Spec {
	s := vm.Spec{
		Disk: vm.Disk{Path: path, As: vm.Medium(f.as), SectorSize: f.sector}, Firmware: vm.Firmware(f.firmware),
		Direct: f.direct, Memory: int64(f.memory), CPUs: f.cpus, Agent: len(f.run)+len(f.then) > 0 || f.ssh,
	}
	for _, d := range f.drives {
		s.Drives = append(s.Drives, vm.Disk{Path: d})
	}
	if f.network || f.console || f.ssh {
		s.Network = vm.NAT
	}
	if f.ssh {
		s.Forward = []uint16{vm.SSHPort}
	}
	// Without a cache the probe is made each time.
	if _, cache, err := dirs(); err == nil {
		s.Cache = filepath.Join(cache, "vm")
	}
	return s
}

// maxCertificate bounds a certificate's file, in bytes.
const maxCertificate = 1 << 20

// readCertificate reads a certificate, PEM or DER, and gives its DER form.
func readCertificate(path string) ([]byte, error) {
	data, err := input.Read(path, maxCertificate)
	if err != nil {
		return nil, fault.Newf(fault.Usage, "cannot read the certificate %s: %w", path, err)
	}
	c, err := pe.ParseCertificate(data)
	if err != nil {
		return nil, fault.Newf(fault.Usage, "%s: %w", path, err)
	}
	return c.Raw, nil
}

// passphrase is what --unlock types: the file's one line.
func (f *bootFlags) passphrase() (string, error) {
	if f.unlock == "" {
		return "", nil
	}
	data, err := input.Read(f.unlock, 4096)
	if err != nil {
		return "", fault.Newf(fault.Usage, "--unlock: %w", err)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}

func (f *bootFlags) evidence() (vm.Evidence, error) {
	if f.timeout <= 0 {
		return vm.Evidence{}, fault.Newf(fault.Usage, "--timeout %v: not a time to wait", f.timeout)
	}
	if f.cpus < 1 {
		return vm.Evidence{}, fault.Newf(fault.Usage, "--cpus %d: a machine needs one at least", f.cpus)
	}
	var e vm.Evidence
	for _, text := range f.expect {
		re, err := regexp.Compile(text)
		if err != nil {
			return e, fault.Newf(fault.Usage, "--expect %q: %w", text, err).
				WithHint("it is a regular expression, where ( ) [ ] { } . * + ? | ^ $ and \\ mean something; write \\( for a bracket itself")
		}
		e.Expect = append(e.Expect, re)
	}
	return e, nil
}

// memorySize is a flag of bytes, written with a binary unit.
type memorySize int64

var memoryPattern = regexp.MustCompile(`^([0-9]{1,6})(M|G|MiB|GiB)$`)

// Set reads "512MiB", "2G".
func (s *memorySize) Set(text string) error {
	m := memoryPattern.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("want a whole number and MiB or GiB")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return err
	}
	shift := 20
	if m[2][0] == 'G' {
		shift = 30
	}
	*s = memorySize(n << shift)
	return nil
}

func (s *memorySize) String() string { return fmt.Sprintf("%dMiB", int64(*s)>>20) }

// Type is what help calls the value.
func (s *memorySize) Type() string { return "SIZE" }
