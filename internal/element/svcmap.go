package element

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// A Service is an entry of an element's svc-map: what distributions call a service.
type Service struct {
	Name string
	// By is its name by distribution, by family (see [Family]), or by "default".
	By           NameMap
	Line, Column int
}

// For is what a distribution calls the service: by its own name, its family's, the
// default, or else as it is.
func (s Service) For(distro string) string {
	for _, key := range []string{distro, Family(distro), "default"} {
		if name, ok := s.By[key]; ok && key != "" {
			return name
		}
	}
	return s.Name
}

// ParseServices reads a svc-map; file is its name in messages.
func ParseServices(data []byte, file string) ([]Service, error) {
	l := list{file}
	top, err := l.parse(data)
	if err != nil || top == nil {
		return nil, err
	}
	keys, err := l.pairs(top, "services")
	if err != nil {
		return nil, err
	}
	var out []Service
	for _, k := range keys {
		s := Service{Name: k.key, Line: k.at.Line, Column: k.at.Column}
		if s.By, err = l.names(k); err != nil {
			return nil, err
		}
		for _, name := range append(slices.Sorted(maps.Values(s.By)), s.Name) {
			if strings.ContainsAny(name, "\n\r") || strings.Contains(name, ": ") || strings.TrimSpace(name) != name {
				return nil, l.errorf(k.at, "%q is no service's name", name)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Services merges the svc-maps of all elements for a distribution. Two elements that
// have the same service are an error (exit 3).
func Services(s Set, distro string) (NameMap, error) {
	out, whose := NameMap{}, map[string]string{}
	for _, e := range s.Elements {
		data, err := e.read("svc-map")
		if err != nil {
			return nil, err
		}
		services, err := ParseServices(data, e.At("svc-map"))
		if err != nil {
			return nil, err
		}
		for _, sv := range services {
			if by, ok := whose[sv.Name]; ok {
				return nil, fault.Newf(fault.Definition, "the elements %s and %s both map the service %s", by, e.Name, sv.Name).
					WithHint("%s:%d: leave it out of one of them", e.At("svc-map"), sv.Line)
			}
			whose[sv.Name] = e.Name
			out[sv.Name] = sv.For(distro)
		}
	}
	return out, nil
}

// text is the file /usr/share/svc-map/services: lines "NAME: SERVICE", sorted.
func (m NameMap) text() []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s: %s\n", name, m[name])
	}
	return []byte(b.String())
}
