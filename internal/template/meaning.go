package template

import "slices"

// A Meant is an input whose name means the machine itself.
type Meant struct {
	Name        string
	Kind, Items Kind
	About       string
}

// Meanings are the inputs that mean the machine. All others are handed to it.
var Meanings = []Meant{
	{"memory", Size, "", "how much memory the machine has; 1GiB where no input says it"},
	{"cpus", Integer, "", "how many processors it has; 1"},
	{"disk", Size, "", "how large its disk is, at least the image's; the image's"},
	{"hostname", String, "", "its name; the one that it is made under"},
	{"network", Network, "", "how it is reached: dhcp, or an address"},
	{"user", String, "", "the account of who looks after it, who may become root; admin"},
	{"password", Password, "", "that account's password, of which the machine gets a hash; none, so that keys alone let in"},
	{"ssh-keys", List, SSHKey, "public keys that let in to that account"},
}

// Meaning is what an input's name means of the machine, if it does.
func Meaning(name string) (Meant, bool) {
	i := slices.IndexFunc(Meanings, func(m Meant) bool { return m.Name == name })
	if i < 0 {
		return Meant{}, false
	}
	return Meanings[i], true
}
