package plan

import (
	"ingot/internal/fault"
	"ingot/internal/pe"
)

// signer is who signs what starts, or nil where nobody does.
func (p *Plan) signer() (*pe.Signer, error) {
	s := p.Definition.Boot.Sign
	if s == nil {
		return nil, nil
	}
	certificate, err := p.source(relative(p.Definition.Dir, s.Certificate))
	if err != nil {
		return nil, err
	}
	key, err := p.secret(s.Key)
	if err != nil {
		return nil, err
	}
	signer, err := pe.NewSigner(key, certificate)
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "nothing can be signed with %s: %w", s.Key, err)
	}
	return signer, nil
}

// foreseeSigner refuses, before any step runs, outputs that nobody can sign.
func (p *Plan) foreseeSigner(todo []Output) error {
	for _, o := range todo {
		if len(o.Secrets) > 0 {
			_, err := p.signer()
			return err
		}
	}
	return nil
}
