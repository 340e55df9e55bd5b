package plan

import (
	"path/filepath"

	"ingot/internal/artifact"
)

// foreseePlaces refuses, before anything runs, outputs whose places cannot or must not be
// taken. An artifact that is there untouched passes: it would not be one with anything
// mounted below.
func (r *Runner) foreseePlaces(p *Plan) error {
	for _, c := range p.Chains {
		for _, o := range c.Outputs {
			if err := r.foreseePlace(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Runner) foreseePlace(o Output) error {
	check := artifact.CheckFile
	if o.Kind().Dir {
		check = artifact.CheckDir
	}
	for _, name := range o.Names {
		if err := check(filepath.Join(r.To, name)); err != nil {
			return err
		}
	}
	return nil
}
