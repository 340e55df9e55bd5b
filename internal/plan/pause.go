package plan

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"

	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/terminal"
)

// A Pause says where an element build stops for somebody to look around, and what is
// started there: diskimage-builder's variables break, break_cmd and break_outside_target.
type Pause struct {
	At      []string // "before-install.d", "after-install", "after-error"
	Command string   // a line of bash; "" is a shell, whose exit code means nothing
	Outside bool     // beside the image also in the phases that run in it
	// Files are the command's. On a terminal it gets one of its own ([terminal.Lend]).
	Files terminal.Files
}

// afterError is where a build stops that failed.
const afterError = "after-error"

// has says whether there is a stop before or after a phase.
func (p *Pause) has(when, phase string) bool {
	if p == nil {
		return false
	}
	name := strings.TrimSuffix(phase, ".d")
	return slices.ContainsFunc(p.At, func(at string) bool { return strings.TrimSuffix(at, ".d") == when+"-"+name })
}

// first is the first step of a chain that what is done at a stop could change, and
// whether there is such a stop.
func (p *Pause) first(c Chain) (int, bool) {
	for i, s := range c.Steps {
		switch {
		case s.phase == "":
		case p.has("before", s.phase) && (i == 0 || c.Steps[i-1].phase != s.phase):
			return i, true
		case p.has("after", s.phase) && (i+1 == len(c.Steps) || c.Steps[i+1].phase != s.phase):
			return i + 1, true
		}
	}
	return 0, false
}

// Stops says whether a build of a chain stops before it is done.
func (p *Pause) Stops(c Chain) bool {
	_, stops := p.first(c)
	return stops
}

// paused is a chain of which nobody knows what becomes of it after its first stop: the
// steps behind that and the outputs have keys that no other build has.
func (p *Pause) paused(c Chain) (Chain, bool) {
	first, stops := p.first(c)
	if !stops {
		return c, false
	}
	nonce := rand.Text()
	c.Steps, c.Outputs = slices.Clone(c.Steps), slices.Clone(c.Outputs)
	for i := first; i < len(c.Steps); i++ {
		c.Steps[i].Key = keyOf("paused", c.Steps[i].Key, nonce)
	}
	for i := range c.Outputs {
		c.Outputs[i].Key = keyOf("paused", c.Outputs[i].Key, nonce)
	}
	return c, true
}

// nowhere are the stops of phases that a chain does not have.
func (p *Pause) nowhere(c Chain) []string {
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.At), func(at string) bool {
		_, phase, _ := strings.Cut(strings.TrimSuffix(at, ".d"), "-")
		return at == afterError || slices.ContainsFunc(c.Steps, func(s Step) bool { return strings.TrimSuffix(s.phase, ".d") == phase })
	})
}

// stop starts the command of a stop, if there is one there.
func (w *worker) stop(ctx context.Context, when string, i int) error {
	s := w.chain.Steps[i]
	next := i - 1
	if when == "after" {
		next = i + 1
	}
	if s.phase == "" || !w.Pause.has(when, s.phase) || next >= 0 && next < len(w.chain.Steps) && w.chain.Steps[next].phase == s.phase {
		return nil
	}
	return w.look(ctx, when+"-"+strings.TrimSuffix(s.phase, ".d"), s.phase)
}

// look starts the command of a stop in a phase.
func (w *worker) look(ctx context.Context, at, phase string) error {
	if _, err := w.Box(ctx); err != nil {
		return err
	}
	w.downs.leaveAlone()
	if phase != "root.d" && phase != "block-device.d" {
		if err := w.mountImage(ctx, true); err != nil {
			return err
		}
	}
	side, _ := element.SideOf(phase)
	if w.Pause.Outside {
		side = element.Host
	}
	disk, err := w.plan.diskEnvironment(w.chain, phase)
	if err != nil {
		return err
	}
	env := append(w.elementEnvironment("INGOT_SCRIPT="+at, "TERM="+or(os.Getenv("TERM"), "dumb"), "TARGET_ROOT="+mountDir), disk...)
	if side == element.Target {
		for name, file := range relay.Variables(targetCertificate) {
			env = append(env, name+"="+file)
		}
	}
	text := w.Pause.Command
	if text == "" {
		text = "exec bash"
	}
	w.Progress.Notef("%s: %s; the build goes on when it ends", at, or(w.Pause.Command, "a shell "+map[element.Side]string{element.Host: "beside the image, which is " + mountDir, element.Target: "in the image"}[side]))
	err = terminal.Lend(w.Pause.Files, func(f terminal.Files) error {
		return w.box.Run(ctx, sandbox.Command{
			Argv: []string{"/bin/bash", "-c", w.atSide(side, text)}, Env: env, Dir: workDir, Station: true,
			Stdin: f.In, Stdout: f.Out, Stderr: f.Err, TTY: f.Controls,
		})
	})
	var exit *sandbox.ExitError
	switch {
	case !errors.As(err, &exit) || ctx.Err() != nil:
		return err
	case w.Pause.Command == "":
		return nil // that of the last command in a shell
	}
	return fault.Newf(fault.Failed, "the command at %s %s", at, strings.TrimPrefix(exit.Error(), "/bin/bash "))
}

// lookAfter starts the command of a build that failed in a phase, whose failure stays one.
func (w *worker) lookAfter(ctx context.Context, phase string, failure error) error {
	if w.Pause == nil || !slices.Contains(w.Pause.At, afterError) || ctx.Err() != nil {
		return failure
	}
	w.Progress.Warnf("%v", failure)
	if err := w.look(ctx, afterError, phase); err != nil {
		w.Progress.Warnf("%v", err)
	}
	return failure
}
