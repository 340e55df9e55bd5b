package plan

import (
	"context"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
)

// Surround gives the environment that scripts of elements will see, after all snippets
// of environment.d: only a shell can tell. No image is there yet.
func (r *Runner) Surround(ctx context.Context, def *definition.Definition, arch string) (map[string]string, error) {
	l := &lock.Lock{Station: def.Elements.Station}
	w := &worker{Runner: r, plan: &Plan{Definition: def, Lock: l}, chain: Chain{Arch: arch}}
	station, err := w.stationOptions(ctx)
	if err != nil {
		return nil, err
	}
	w.box, err = sandbox.New(ctx, sandbox.Options{Station: station})
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.box.Close() }()
	w.filled = true // an empty tree needs no filling
	if err := w.putHooks(ctx); err != nil {
		return nil, err
	}
	snippets := def.Elements.Hooks.Environment()
	text := "set -eu -o pipefail\n"
	for _, s := range snippets {
		text += ". " + shellQuote(hooksDir+"/"+s) + " >&2\n"
	}
	// Its own file descriptor, since snippets talk.
	text += "env -0 >/tmp/environment\n"
	cmd := sandbox.Command{Argv: []string{"/bin/bash", "-c", text}, Env: w.elementEnvironment("TARGET_ROOT=" + mountDir), Station: true}
	if out, err := w.box.Output(ctx, cmd, nil); err != nil {
		return nil, fault.Newf(fault.Definition, "the files of %s: %w%s", element.EnvironmentDir, err, sandbox.Quote(lastLines(out)))
	}
	out, err := w.box.Output(ctx, sandbox.Command{Argv: []string{"/bin/cat", "/tmp/environment"}, Station: true}, nil)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for pair := range strings.SplitSeq(string(out), "\x00") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env, nil
}
