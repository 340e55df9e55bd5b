package plan

import (
	"path/filepath"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/input"
)

// maxSecret bounds a secret file, in bytes.
const maxSecret = 1 << 20

// secret reads a secret file that a definition names. Nothing of it is kept: not in a lock,
// a cache, a log or a paper.
func (p *Plan) secret(file string) ([]byte, error) {
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.Definition.Dir, filepath.FromSlash(path))
	}
	data, err := input.Read(path, maxSecret)
	if err != nil {
		return nil, p.Definition.Asked("secret", file).At(fault.Newf(fault.Preflight, "cannot read the secret file %s, which the definition names: %w", file, err).
			WithHint("whoever builds the image keeps it; without it, nothing can be encrypted or signed"))
	}
	return data, nil
}

// foreseeSecrets refuses, before any step runs, outputs whose secret files cannot be
// read, or hold what no disk can be written with.
func (p *Plan) foreseeSecrets(c Chain, todo []Output) error {
	for _, o := range todo {
		for _, file := range o.Secrets {
			if _, err := p.secret(file); err != nil {
				return err
			}
		}
		if len(o.Secrets) == 0 {
			continue
		}
		l, err := p.layout(c)
		if err != nil {
			return err
		}
		if node, err := l.TrySecrets(p.secret); err != nil {
			return p.Definition.Asked("layout", node).At(err)
		}
	}
	return nil
}

// Caveat says what whoever trusts an output should know of its secrets: those that its
// bytes depend on beside the lock, and containers without any. It is "" where there is
// nothing to say.
func (o Output) Caveat() string {
	var out []string
	if len(o.Secrets) > 0 {
		out = append(out, "its bytes depend on the secret files "+strings.Join(o.Secrets, ", ")+" too")
	}
	if len(o.Enrolled) > 0 {
		out = append(out, "everybody knows the key of "+strings.Join(o.Enrolled, ", ")+" until a machine's first start")
	}
	return strings.Join(out, "; ")
}
