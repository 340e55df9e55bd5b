package plan

import (
	"errors"

	"ingot/internal/blockdevice"
)

// asking puts the line that asked for it on an error of what a layout cannot hold.
func (p *Plan) asking(err error) error {
	if q, ok := errors.AsType[blockdevice.Problem](err); ok {
		return p.Definition.AskedOfLayout(q).At(err)
	}
	return err
}
