package plan

import (
	"context"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/sandbox"
)

// A foreign build's steps have the keys of a native one's: what runs the programs of an image
// is no input of it. The lock names neither dpkg nor emulator, so it is the same on machines
// of every architecture, and so are the bytes.

// compatible are architectures whose programs a processor of another may run by itself, if it
// has the mode and its kernel allows it.
var compatible = map[string][]string{"amd64": {"i386"}, "arm64": {"armhf", "armel"}}

// CheckForeign says, before any work and with nothing fetched for it, whether a machine of
// architecture host can run programs of another one. What is in the way is a
// fault.Preflight.
func CheckForeign(ctx context.Context, host, arch string) error {
	alone, err := runsAlone(ctx, host, arch)
	if err != nil || alone {
		return err
	}
	return sandbox.CheckForeign(ctx, sandbox.Foreign{Arch: arch})
}

// runsAlone says whether programs of an architecture need no emulator.
func runsAlone(ctx context.Context, host, arch string) (bool, error) {
	if arch == host {
		return true, nil
	}
	if !slices.Contains(compatible[host], arch) {
		return false, nil
	}
	return sandbox.Runs(ctx, arch)
}

// foreseeForeign finds out, before any step runs, how programs of a plan's architectures run
// here, and says what is in the way.
func (r *Runner) foreseeForeign(ctx context.Context, p *Plan) error {
	for _, c := range p.Chains {
		if known, _ := r.Known(p, c); !slices.Contains(known, false) {
			continue // nothing of it will run
		}
		if _, err := r.foreignTo(ctx, c.Arch); err != nil {
			return err
		}
	}
	return nil
}

// foreignTo is what sandboxes need to run programs of an architecture; nil is nothing.
func (r *Runner) foreignTo(ctx context.Context, arch string) (*sandbox.Foreign, error) {
	if f, known := r.foreign[arch]; known {
		return f, nil
	}
	f, err := r.findForeign(ctx, arch)
	if err != nil {
		return nil, err
	}
	if r.foreign == nil {
		r.foreign = map[string]*sandbox.Foreign{}
	}
	r.foreign[arch] = f
	return f, nil
}

func (r *Runner) findForeign(ctx context.Context, arch string) (*sandbox.Foreign, error) {
	alone, err := runsAlone(ctx, r.HostArch, arch)
	if err != nil || alone {
		return nil, err
	}
	if err := sandbox.CheckForeign(ctx, sandbox.Foreign{Arch: arch}); err != nil {
		return nil, err
	}
	if r.Foreign == nil {
		return nil, fault.Newf(fault.Preflight, "this run has no emulator for programs of %s", arch)
	}
	f, err := r.Foreign(ctx, arch)
	if err != nil {
		return nil, err
	}
	return &f, sandbox.CheckForeign(ctx, f)
}
