package xlcfg

import (
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// A Disk is an item of a guest's "disk" (xl-disk-configuration(5)).
type Disk struct {
	Target   string // a path, or what Script understands; "" is an empty drive
	Format   string // raw, qcow, qcow2, vhd, qed, or empty: a drive without a medium
	VDev     string // xvda, hda, sda
	ReadOnly bool
	CDROM    bool
	Backend  string // phy, qdisk, tap, standalone; "" is Xen's choice
	Domain   string // the domain of the backend; "" is the host
	Script   string
	Discard  string // "", "on", "off"
	Direct   bool   // direct-io-safe
}

var (
	formats  = []string{"raw", "qcow", "qcow2", "vhd", "qed"}
	backends = []string{"phy", "qdisk", "tap", "standalone"}
	// strips are prefixes of old that say nothing any more, or a format, or a script.
	strips  = map[string]string{"tapdisk": "", "tap": "", "tap2": "", "aio": "raw", "ioemu": "", "file": "raw", "phy": "raw", "raw": "raw", "qcow": "qcow", "qcow2": "qcow2", "vhd": "vhd", "qed": "qed"}
	scripts = map[string]string{"iscsi": "block-iscsi", "drbd": "block-drbd", "nbd": "block-nbd", "enbd": "block-enbd"}
	prefix  = regexp.MustCompile(`^([a-z][a-z0-9]*):([^a-z0-9]|$)`)
	known   = regexp.MustCompile(`^(tapdisk|tap2?|aio|ioemu|file|phy|raw|qcow2?|vhd|qed|iscsi|e?nbd|drbd):`)
	option  = regexp.MustCompile(`^([a-z][-a-z0-9]*)=`)
)

// diskReading is a disk in the making; what is nil was not said.
type diskReading struct {
	Disk
	spec                 string
	target, format, vdev *string
	access, backend      *string
	prefixed             bool // the format has no place of its own then
}

// ParseDisk reads a disk as xl does: parts by their place (target, format, device, access),
// key=value, and the prefixes of old. What xl refuses, and why, is its error (exit code 3).
func ParseDisk(spec string) (Disk, error) {
	r := diskReading{spec: spec}
	rest := spec
	for rest = strings.TrimLeft(rest, " \t\n"); rest != ""; rest = strings.TrimLeft(rest, " \t\n") {
		if target, ok := strings.CutPrefix(rest, "target="); ok {
			// It takes the rest: the one way to say a comma.
			if err := r.once("target", &r.target, strings.TrimSuffix(target, ",")); err != nil {
				return Disk{}, err
			}
			break
		}
		if m := known.FindStringSubmatch(rest); m != nil {
			if err := r.prefix(m[1]); err != nil {
				return Disk{}, err
			}
			rest = rest[len(m[0]):]
			if rest == "" || rest[0] != ',' {
				continue
			}
		} else if m := prefix.FindStringSubmatch(rest); m != nil {
			return Disk{}, r.wrong("the prefix %q means nothing to Xen", m[1]+":").WithHint("write the path alone and its format behind it; formats are %s", strings.Join(formats, ", "))
		}
		var word string
		word, rest, _ = strings.Cut(rest, ",")
		if err := r.word(word); err != nil {
			return Disk{}, err
		}
	}
	return r.finish()
}

func (r *diskReading) wrong(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Definition, "disk %q: "+format, append([]any{r.spec}, args...)...)
}

// once sets what may be said once; of a format twice the same is once.
func (r *diskReading) once(what string, at **string, value string) error {
	if *at != nil && (**at != value || what != "format") {
		return r.wrong("%s is said twice: %q and %q", what, **at, value)
	}
	*at = &value
	return nil
}

func (r *diskReading) prefix(name string) error {
	r.prefixed = true
	if script, ok := scripts[name]; ok {
		r.Script = script
		name = "raw"
	} else {
		name = strips[name]
	}
	if name == "" {
		return nil
	}
	return r.once("format", &r.format, name)
}

// word reads a part between commas.
func (r *diskReading) word(w string) error {
	if m := option.FindStringSubmatch(w); m != nil {
		return r.option(m[1], w[len(m[0]):])
	}
	switch w {
	case "cdrom":
		r.CDROM = true
		return nil
	case "discard":
		r.Discard = "on"
		return nil
	case "no-discard":
		r.Discard = "off"
		return nil
	case "direct-io-safe":
		r.Direct = true
		return nil
	}
	if strings.Contains(w, "=") {
		return r.wrong("%q: a path with = in it stands behind target=, as the last", w)
	}
	switch {
	case r.target == nil:
		r.target = &w
	case r.format == nil && !r.prefixed && *r.target == "" && strings.Contains(w, ":"):
		none := "empty" // ",hdc:cdrom,r"
		r.format = &none
		return r.device(w)
	case r.format == nil && !r.prefixed:
		return r.setFormat(w)
	case r.vdev == nil:
		return r.device(w)
	case r.access == nil:
		return r.setAccess(w)
	default:
		return r.wrong("%q is one part too many", w).WithHint("parts by their place are target, format, device, access")
	}
	return nil
}

func (r *diskReading) option(key, value string) error {
	switch key {
	case "format":
		return r.setFormat(value)
	case "vdev":
		return r.once("vdev", &r.vdev, value)
	case "access":
		return r.setAccess(value)
	case "backendtype":
		if !slices.Contains(backends, value) {
			return r.wrong("there is no backendtype %q", value).WithHint("there are %s", strings.Join(backends, ", "))
		}
		return r.once("backendtype", &r.backend, value)
	case "backend":
		r.Domain = value
	case "script":
		r.Script = value
	case "devtype":
		if value != "cdrom" && value != "disk" {
			return r.wrong("there is no devtype %q", value).WithHint("there are cdrom and disk")
		}
		r.CDROM = r.CDROM || value == "cdrom"
	default:
		e := r.wrong("there is no option %q", key)
		if n := spell.Nearest(key, []string{"format", "vdev", "access", "backend", "backendtype", "script", "devtype", "target"}); n != "" {
			return e.WithHint("did you mean %s=?", n)
		}
		return e.WithHint("a path with = in it stands behind target=, as the last")
	}
	return nil
}

func (r *diskReading) setFormat(f string) error {
	switch {
	case f == "":
		f = "raw"
	case !slices.Contains(formats, f):
		return r.wrong("there is no format %q", f).WithHint("formats are %s; behind the target stands the format, then the device", strings.Join(formats, ", "))
	}
	return r.once("format", &r.format, f)
}

func (r *diskReading) setAccess(a string) error {
	switch a {
	case "ro", "r":
		a = "ro"
	case "rw", "w", "":
		a = "rw"
	default:
		return r.wrong("there is no access %q", a).WithHint("there are ro, r, rw and w")
	}
	r.access = &a
	return nil
}

// device reads a guest's device, which may say behind a colon what it is.
func (r *diskReading) device(w string) error {
	name, kind, ok := strings.Cut(w, ":")
	if ok && kind != "cdrom" && kind != "disk" {
		return r.wrong("there is no device of type %q", kind).WithHint("there are cdrom and disk")
	}
	r.CDROM = r.CDROM || kind == "cdrom"
	return r.once("vdev", &r.vdev, name)
}

func (r *diskReading) finish() (Disk, error) {
	d := r.Disk
	if r.vdev == nil || *r.vdev == "" {
		return d, r.wrong("no device").WithHint("behind target and format stands what the guest sees it as: /path,raw,xvda,rw")
	}
	d.VDev = *r.vdev
	if r.target != nil {
		d.Target = *r.target
	}
	if d.Format = "raw"; r.format != nil {
		d.Format = *r.format
	}
	if d.CDROM && d.Target == "" {
		d.Format = "empty"
	}
	if r.backend != nil {
		d.Backend = *r.backend
	}
	d.ReadOnly = d.CDROM || d.Format == "empty" || r.access != nil && *r.access == "ro"
	return d, nil
}

var devicePattern = regexp.MustCompile(`^(xvd|hd|sd)[a-z]{1,2}[0-9]{0,3}$`)

// String is the disk as an item of "disk". Keys stand in front, so the target may hold
// anything.
func (d Disk) String() string {
	words := []string{"vdev=" + d.VDev}
	if d.Format != "empty" && d.Format != "" {
		words = append(words, "format="+d.Format)
	}
	access := "rw"
	if d.ReadOnly {
		access = "ro"
	}
	words = append(words, "access="+access)
	for _, o := range []struct{ key, value string }{{"backendtype", d.Backend}, {"backend", d.Domain}, {"script", d.Script}} {
		if o.value != "" {
			words = append(words, o.key+"="+o.value)
		}
	}
	if d.CDROM {
		words = append(words, "devtype=cdrom")
	}
	switch d.Discard {
	case "on":
		words = append(words, "discard")
	case "off":
		words = append(words, "no-discard")
	}
	if d.Direct {
		words = append(words, "direct-io-safe")
	}
	if d.Target != "" {
		words = append(words, "target="+d.Target)
	}
	return strings.Join(words, ",")
}

// Check says what of a disk Xen would take and no guest could use.
func (d Disk) Check() error {
	if !devicePattern.MatchString(d.VDev) {
		return fault.Newf(fault.Definition, "a guest has no device %q", d.VDev).WithHint("devices are xvda, hda, sda and so on, and partitions of them")
	}
	if d.Target == "" && !d.CDROM {
		return fault.Newf(fault.Definition, "the disk %s has no path", d.VDev).WithHint("only a drive for CDs may be empty")
	}
	if strings.HasSuffix(d.Target, ",") {
		return fault.Newf(fault.Definition, "%q: Xen drops a comma at the end of a path", d.Target).WithHint("rename it")
	}
	if strings.ContainsAny(d.Domain+d.Script, ",") {
		return fault.Newf(fault.Definition, "a comma in %q: Xen would end it there", d.Domain+d.Script)
	}
	return nil
}
