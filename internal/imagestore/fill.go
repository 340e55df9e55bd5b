package imagestore

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/pyconf"
)

// For says which machine an image is filled for.
type For struct {
	Machine string         // its name
	Server  string         // where it will run; default: localhost
	Arch    string         // of the server, as uname says it; default: x86_64
	Release string         // of the server's kernel
	Bridge  string         // the server's bridge, if it was discovered
	Set     map[string]any // what was answered
}

// Filled is what an image's two files say of one machine.
type Filled struct {
	Image, VM []pyconf.Var
	Notes     []string
	Secret    []string // keys whose values nothing may show
}

// Fill evaluates an image's files for a machine. What was answered stands literally: no $
// in it is looked at. The files' own texts are substituted as ConVirt does it: those of
// image.conf with the variables that are built in, those of vm_conf.template with these
// and then with what image.conf says besides.
func (im *Image) Fill(f For) (*Filled, error) {
	if err := CheckMachineName(f.Machine); err != nil {
		return nil, err
	}
	if im.Skeleton {
		return nil, fault.Newf(fault.Usage, "%s is there to be copied, not to be provisioned", im.Name).WithHint("ingot template create NAME --like %s", im.Name)
	}
	t := im.Template()
	a, err := t.Answer(f.Set)
	if err != nil {
		return nil, err
	}
	set := map[string]any{}
	for _, name := range a.Given {
		set[name] = a.Values[name]
	}
	out := &Filled{Secret: a.Secret}
	machine := pyconf.Machine{Node: f.Server, Arch: f.Arch, Release: f.Release}
	conf := &pyconf.File{}
	if len(im.conf.Vars) > 0 {
		if conf, err = im.eval(imageConf, im.conf, set, machine); err != nil {
			return nil, err
		}
	}
	vm, err := im.eval(vmConf, im.vm, set, machine)
	if err != nil {
		return nil, err
	}
	builtins := im.builtins(f, conf)
	given := func(name string) bool { _, ok := set[name]; return ok }
	out.Image = substituted(conf, given, builtins)
	fromImage := map[string]string{}
	for _, v := range out.Image {
		switch value := v.Value.(type) {
		case string:
			fromImage[v.Name] = value
		case int64, float64:
			fromImage[v.Name] = fmt.Sprint(value)
		}
	}
	// The second pass knows what is built in too: "$$VM_NAME" becomes the machine's name.
	out.VM = substituted(vm, given, builtins, func(name string) (string, bool) {
		if s, ok := fromImage[name]; ok {
			return s, true
		}
		return builtins(name)
	})
	out.name(f.Machine)
	for _, v := range []pyconf.Var{
		{Name: "image_conf", Value: filepath.Join(im.store.Dir, im.Name, imageConf)}, {Name: "image_name", Value: im.Name},
		{Name: "image_id", Value: imageID(im.Name)}, {Name: "platform", Value: im.Platform},
	} {
		out.VM = replace(out.VM, v)
	}
	out.Notes = append(slices.Clone(conf.Notes), vm.Notes...)
	return out, nil
}

// name gives the machine its name, also where the template has another.
func (f *Filled) name(machine string) { f.VM = replace(f.VM, pyconf.Var{Name: "name", Value: machine}) }

func replace(vars []pyconf.Var, v pyconf.Var) []pyconf.Var {
	if i := slices.IndexFunc(vars, func(w pyconf.Var) bool { return w.Name == v.Name }); i >= 0 {
		vars[i].Value = v.Value
		return vars
	}
	return append(vars, v)
}

// imageID is an identity that follows from the name, as a UUID.
func imageID(name string) string {
	h := sha256.Sum256([]byte("image " + name))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// eval evaluates one of the image's files, with the answers for the keys that it has.
func (im *Image) eval(name string, before *pyconf.File, set map[string]any, m pyconf.Machine) (*pyconf.File, error) {
	mine := map[string]any{}
	for _, v := range before.Vars {
		if s, ok := set[v.Name]; ok {
			mine[v.Name] = s
		}
	}
	keep := append(before.Texts("computed_options"), computedByDefault...)
	return im.store.eval(filepath.Join(im.Name, name), pyconf.Options{Set: mine, Keep: keep, Machine: m})
}

// builtins are the variables that are there without being said.
func (im *Image) builtins(f For, conf *pyconf.File) func(string) (string, bool) {
	bridge := f.Bridge
	if bridge == "" {
		bridge = conf.Text("DEFAULT_BRIDGE")
	}
	if bridge == "" {
		bridge = map[bool]string{true: "br0", false: "xenbr0"}[im.Platform == "kvm"]
	}
	server := f.Server
	if server == "" {
		server = "localhost"
	}
	macs := 0
	return func(name string) (string, bool) {
		switch name {
		case "IMAGE_STORE":
			return im.store.Dir, true
		case "IMAGE_NAME", "IMAGE_LOCATION":
			return im.Name, true
		case "VM_NAME":
			return f.Machine, true
		case "SERVER_NAME":
			return server, true
		case "DEFAULT_BRIDGE":
			return bridge, true
		case "AUTOGEN_MAC":
			macs++
			return MAC(server, f.Machine, macs), true
		}
		return "", false
	}
}

// MAC is an address of Xen's range for the nth card of a machine: another for each card,
// and the same each time.
func MAC(server, machine string, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "mac\x00%s\x00%s\x00%d", server, machine, n))
	return fmt.Sprintf("00:16:3e:%02x:%02x:%02x", h[0]&0x7f, h[1], h[2])
}

// substituted are a file's variables with $NAME replaced in texts and in the texts of lists
// of its own, once for each map. What was given, and what is computed, stays.
func substituted(f *pyconf.File, given func(string) bool, maps ...func(string) (string, bool)) []pyconf.Var {
	computed := append(f.Texts("computed_options"), computedByDefault...)
	var out []pyconf.Var
	for _, v := range f.Vars {
		if v.Name == "computed_options" {
			continue
		}
		if !given(v.Name) && !slices.Contains(computed, v.Name) {
			for _, m := range maps {
				switch value := v.Value.(type) {
				case string:
					v.Value = Substitute(value, m)
				case []any:
					list := slices.Clone(value)
					for i, x := range list {
						if s, ok := x.(string); ok {
							list[i] = Substitute(s, m)
						}
					}
					v.Value = list
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// Substitute replaces $NAME and ${NAME} of what the map knows, and $$ by one $. All else,
// also a $ that begins nothing, stays: Python's Template.safe_substitute.
func Substitute(s string, known func(string) (string, bool)) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if s[i+1] == '$' {
			b = append(b, '$')
			i++
			continue
		}
		start := i + 1
		if s[start] == '{' {
			start++
		}
		end := start
		for end < len(s) && (s[end] == '_' || s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z' || end > start && s[end] >= '0' && s[end] <= '9') {
			end++
		}
		closed := s[i+1] != '{' || end < len(s) && s[end] == '}'
		if end == start || !closed {
			b = append(b, s[i])
			continue
		}
		value, ok := known(s[start:end])
		if s[i+1] == '{' {
			end++
		}
		if !ok {
			value = s[i:end]
		}
		b = append(b, value...)
		i = end - 1
	}
	return string(b)
}

// Masked are variables with stars for what is secret.
func (f *Filled) Masked(vars []pyconf.Var) []pyconf.Var {
	out := slices.Clone(vars)
	for i := range out {
		if slices.Contains(f.Secret, out[i].Name) {
			out[i].Value = "********"
		}
	}
	return out
}

// Check reads an image and fills it in for a machine, and gives what is odd with it.
func (s *Store) Check(name string) (notes []string, err error) {
	im, err := s.Image(name)
	if err != nil || im.Skeleton {
		return nil, err
	}
	f, err := im.Fill(For{Machine: "check"})
	if err != nil {
		return im.Notes, err
	}
	return f.Notes, nil
}
