package xlcfg

import (
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// A VIF is an item of a guest's "vif" (xl-network-configuration(5)): a network card.
type VIF struct {
	MAC    string // "" is Xen's choice
	Bridge string // "" is the host's default
	Model  string
	Type   string // vif or ioemu
	Script string
	IP     string
	Rate   string // such as 10Mb/s
	Name   string // vifname
	Domain string // backend
}

var (
	vifKeys    = []string{"type", "mac", "bridge", "model", "script", "ip", "rate", "vifname", "backend"}
	macPattern = regexp.MustCompile(`^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$`)
	ratePat    = regexp.MustCompile(`^[0-9]+[GMK]?[Bb]/s(@[0-9]+(ms|us|s))?$`)
)

// CheckMAC says whether a text is the address of one network card.
func CheckMAC(mac string) error {
	if !macPattern.MatchString(mac) || mac == "00:00:00:00:00:00" {
		return fault.Newf(fault.Definition, "%q is not the address of a network card", mac).WithHint("write six pairs of hexadecimal digits with colons between them, the first pair even: 00:16:3e:01:02:03 is of Xen's range, 52:54:00:01:02:03 of QEMU's")
	}
	return nil
}

// ParseVIF reads a network card. Xen passes over keys that it does not know and addresses
// that are none, and starts a guest that has no network; they are errors here.
func ParseVIF(spec string) (VIF, error) {
	var v VIF
	at := map[string]*string{"type": &v.Type, "mac": &v.MAC, "bridge": &v.Bridge, "model": &v.Model, "script": &v.Script, "ip": &v.IP, "rate": &v.Rate, "vifname": &v.Name, "backend": &v.Domain}
	if strings.TrimSpace(spec) == "" {
		return v, nil
	}
	wrong := func(format string, args ...any) *fault.Error {
		return fault.Newf(fault.Definition, "vif %q: "+format, append([]any{spec}, args...)...)
	}
	for word := range strings.SplitSeq(spec, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(word), "=")
		if key, value = strings.TrimSpace(key), strings.TrimSpace(value); !ok {
			return v, wrong("%q is not key=value", word)
		}
		to, ok := at[key]
		if !ok {
			e := wrong("there is no key %q", key)
			if n := spell.Nearest(key, vifKeys); n != "" {
				return v, e.WithHint("did you mean %s?", n)
			}
			return v, e.WithHint("keys are %s", strings.Join(vifKeys, ", "))
		}
		if *to != "" {
			return v, wrong("%s is said twice", key)
		}
		*to = value
	}
	return v, v.Check()
}

// Check says what of a card no guest could use.
func (v VIF) Check() error {
	if v.MAC != "" {
		if err := CheckMAC(v.MAC); err != nil {
			return err
		}
	}
	if v.Type != "" && !slices.Contains([]string{"vif", "ioemu"}, v.Type) {
		return fault.Newf(fault.Definition, "there is no type %q of a network card", v.Type).WithHint("there are vif and ioemu")
	}
	if v.Rate != "" && !ratePat.MatchString(v.Rate) {
		return fault.Newf(fault.Definition, "%q is no rate", v.Rate).WithHint("write 10Mb/s, or 10Mb/s@50ms")
	}
	for _, s := range []string{v.Bridge, v.Model, v.Script, v.IP, v.Name, v.Domain} {
		if strings.ContainsAny(s, ",\n") || strings.TrimSpace(s) != s {
			return fault.Newf(fault.Definition, "%q: what a network card is told has no comma and no white space around it", s)
		}
	}
	return nil
}

// String is the card as an item of "vif".
func (v VIF) String() string {
	var words []string
	for _, o := range []struct{ key, value string }{{"mac", v.MAC}, {"bridge", v.Bridge}, {"model", v.Model}, {"type", v.Type}, {"script", v.Script}, {"ip", v.IP}, {"rate", v.Rate}, {"vifname", v.Name}, {"backend", v.Domain}} {
		if o.value != "" {
			words = append(words, o.key+"="+o.value)
		}
	}
	return strings.Join(words, ",")
}
