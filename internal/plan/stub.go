package plan

// libFiles is what stands below /ingot at a station.
func libFiles() map[string][]byte {
	return map[string][]byte{
		"bin/sudo":             []byte("#!/bin/bash\nwhile [[ ${1:-} == -* ]]; do shift; done\nexec \"$@\"\n"),
		"lib/die":              []byte("die() { echo \"$@\"; exit 1; }\n"),
		"lib/common-functions": nil,
	}
}
