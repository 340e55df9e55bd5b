package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/boot"
	"ingot/internal/fault"
	"ingot/internal/squashfs"
	"ingot/internal/tree"
	"ingot/internal/ui"
	"ingot/internal/xlcfg"
)

// direct gives the newest kernel of the tree, with its initramfs: what is started from
// outside of any disk.
func (w *worker) direct() (boot.Kernel, error) {
	for _, k := range boot.Kernels(w.tree) {
		if k.Initrd != "" {
			return k, nil
		}
	}
	return boot.Kernel{}, fault.Newf(fault.Failed, "no kernel of the image has an initramfs in /boot").
		WithHint("%s is started with both from outside of the disk", w.chain.Purpose)
}

// writeKernel writes a kernel and its initramfs to two files.
func (w *worker) writeKernel(ctx context.Context, k boot.Kernel, image, initrd io.Writer, t *ui.Task) error {
	for _, f := range []struct {
		path string
		to   io.Writer
	}{{k.Image, image}, {k.Initrd, initrd}} {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		e, ok := w.tree.Lookup(f.path)
		if !ok || e.Kind != tree.File {
			return fmt.Errorf("the tree has no file %s", f.path)
		}
		content, err := w.reader.Content(e.Content)
		if err != nil {
			return err
		}
		if _, err := io.Copy(&meter{f.to, t}, content); err != nil {
			return err
		}
	}
	return nil
}

// parameters are what a kernel is told that is started from outside.
func (w *worker) parameters() boot.Params {
	k := w.plan.Definition.Kernel.On(w.chain.Arch)
	return boot.Params{Arch: w.chain.Arch, Console: k.Console, Arguments: k.Arguments}
}

// writeXen makes what a Xen guest is started from: its disk, and beside it kernel,
// initramfs and a configuration for xl(1).
func (w *worker) writeXen(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	k, err := w.direct()
	if err != nil {
		return err
	}
	if err := w.writeKernel(ctx, k, files[1], files[2], t); err != nil {
		return err
	}
	l, err := w.plan.layout(w.chain)
	if err != nil {
		return err
	}
	places, err := l.Places()
	if err != nil {
		return err
	}
	p := w.parameters()
	p.Console = "hvc0"
	line, err := p.CommandLine(places.Arguments()...)
	if err != nil {
		return err
	}
	config, err := xlConfig(w.plan.Definition.Name, o, line)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(files[3], config); err != nil {
		return err
	}
	return w.writeDisk(ctx, o, files, t)
}

// xlConfig is a guest's configuration. Its files are named without a directory: they are
// where xl is run.
func xlConfig(name string, o Output, line string) (string, error) {
	var c xlcfg.Config
	c.SetText("name", name)
	c.SetText("type", "pvh")
	c.SetText("kernel", o.Names[1])
	c.SetText("ramdisk", o.Names[2])
	c.SetText("cmdline", line)
	c.SetInt("vcpus", int64(o.Machine.CPUs))
	c.SetInt("memory", o.Machine.Memory>>20)
	c.Set("disk", xlcfg.List(xlcfg.Disk{Target: o.Names[0], Format: "raw", VDev: "xvda"}.String()))
	c.Set("vif", xlcfg.List(xlcfg.VIF{}.String()))
	return c.Write()
}

// writeNetboot makes what a machine starts over the network: the root file system as a
// squashfs file for an HTTP server, kernel and initramfs for it, TFTP or what starts
// them, and a script for iPXE that says how they go together.
func (w *worker) writeNetboot(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	k, err := w.direct()
	if err != nil {
		return err
	}
	if err := w.writeKernel(ctx, k, files[1], files[2], t); err != nil {
		return err
	}
	script, err := w.ipxe(o)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(files[3], script); err != nil {
		return err
	}
	r, err := squashfs.Write(ctx, files[0].File(), w.tree, w.reader, squashfs.Options{Compress: o.Compress, Epoch: w.plan.Lock.Epoch, Wrote: t.Add})
	w.warnDropped(r)
	return err
}

// ipxe is a script for iPXE. It finds kernel and initramfs beside itself; the live
// system is told the whole address of its root file system, which begins with base.
func (w *worker) ipxe(o Output) (string, error) {
	line, err := w.parameters().CommandLine("initrd="+o.Names[2], "boot=live", "components", "ip=dhcp", "fetch=${base}"+o.Names[0])
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(strings.ReplaceAll(line, "${base}", ""), "${}") {
		return "", errors.New("iPXE would take $ of the kernel's arguments for its own")
	}
	return fmt.Sprintf(`#!ipxe
# What the address of the squashfs file begins with, where nobody said it before.
isset ${base} || set base http://${next-server}/
kernel %s %s
initrd %s
boot
`, o.Names[1], line, o.Names[2]), nil
}
