package blockdevice

import "regexp"

// fileWord is what names look like that are part of a file's.
var fileWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Misnamed are the nodes whose names become parts of artifacts' names and cannot: those
// of disks and of hashes, where there are several.
func (c *Config) Misnamed() []Problem {
	var out []Problem
	check := func(h *Header, what string) {
		if !fileWord.MatchString(h.Name) {
			out = append(out, fault(h, "name", "the name of one %s of several is part of a file's: want letters, digits, -, _ and dots", what))
		}
	}
	if len(c.Disks) > 1 {
		for _, d := range c.Disks {
			check(&d.Header, "disk")
		}
	}
	if len(c.Verities) > 1 {
		for _, v := range c.Verities {
			check(&v.Header, "verity")
		}
	}
	return out
}
