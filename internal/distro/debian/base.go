package debian

// Base names those of a tree's packages that an image of the release has whatever
// is asked for: what is essential or required, apt, and all that these depend on,
// as dpkg's records say. It lets images that differ in the rest share a part.
func (Debian) Base(read func(path string) ([]byte, error)) (map[string]bool, error) {
	status, err := read("var/lib/dpkg/status")
	if err != nil {
		return nil, err
	}
	type record struct{ depends [][]Relation }
	records := map[string]record{}
	provided := map[string][]string{} // by name, packages that stand for it
	var todo []string
	for s := range Stanzas(status) {
		value := func(name string) string { v, _ := s.Field(name); return v }
		name := value("Package")
		var r record
		for _, field := range []string{"Pre-Depends", "Depends"} {
			list, err := ParseRelations(value(field))
			if err != nil {
				return nil, err
			}
			r.depends = append(r.depends, list...)
		}
		provides, err := ParseRelations(value("Provides"))
		if err != nil {
			return nil, err
		}
		for _, p := range provides {
			provided[p[0].Name] = append(provided[p[0].Name], name)
		}
		records[name] = r
		if value("Essential") == "yes" || value("Priority") == "required" || name == "apt" {
			todo = append(todo, name)
		}
	}
	base := map[string]bool{}
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if base[name] {
			continue
		}
		base[name] = true
		for _, any := range records[name].depends {
			// The first that is there is what other images have too.
			for _, one := range any {
				if _, ok := records[one.Name]; ok {
					todo = append(todo, one.Name)
					break
				}
				if by := provided[one.Name]; len(by) == 1 {
					todo = append(todo, by[0])
					break
				}
			}
		}
	}
	return base, nil
}
