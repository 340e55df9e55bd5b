package plan

import (
	"path/filepath"

	"ingot/internal/artifact"
)

// foreseePlaces refuses, before anything runs, outputs whose places cannot or must not be
// taken. An artifact that is there untouched passes: it would not be one with anything
// mounted below.
func (r *Runner) foreseePlaces(p *Plan) error {
	if _, err := artifact.ReadSums(r.To); err != nil {
		return err
	}
	for _, c := range p.Chains {
		if err := artifact.CheckFile(filepath.Join(r.To, p.Of(c).sealName(c))); err != nil {
			return err
		}
		for _, o := range c.Outputs {
			if err := r.foreseePlace(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Runner) foreseePlace(o Output) error {
	if o.Format == Beside {
		return nil // scripts choose its names
	}
	for _, name := range o.Names {
		path, check := filepath.Join(r.To, name), artifact.CheckFile
		if o.Kind().Dir {
			check = artifact.CheckDir
		}
		if err := check(path); err != nil {
			return err
		}
	}
	for _, suffix := range []string{artifact.ManifestSuffix, artifact.SBOMSuffix, artifact.ProvenanceSuffix} {
		if err := artifact.CheckFile(filepath.Join(r.To, o.Name()+suffix)); err != nil {
			return err
		}
	}
	return nil
}
