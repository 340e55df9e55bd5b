package element

import (
	"slices"
	"strings"
)

// builds are the variables that a build sets for every script, and those by which bash
// would run something before it or read it otherwise: what a caller or a definition says of
// them never counts.
var builds = []string{
	"BASHOPTS", "CDPATH", "ENV", "EXECIGNORE", "GLOBIGNORE", "HOME", "IFS", "LANG", "LANGUAGE", "LOGNAME", "OLDPWD", "PATH", "POSIXLY_CORRECT",
	"PROMPT_COMMAND", "PS4", "PWD", "SHELL", "SHELLOPTS", "SHLVL", "SOURCE_DATE_EPOCH", "TMPDIR", "TMP_DIR", "TZ", "USER", "_",
	"IMAGE_BLOCK_DEVICE", "IMAGE_BLOCK_DEVICES", "IMAGE_ELEMENT", "IMAGE_ELEMENT_YAML", "OUT_IMAGE_PATH", "TARGET_ROOT", "TMP_BUILD_DIR",
	"TMP_HOOKS_PATH", "TMP_IMAGE_DIR", "TMP_IMAGE_PATH", "TMP_MOUNT_PATH", "_LIB",
}

// buildsPrefixes are what others begin with: of bash (functions that it exports are
// BASH_FUNC_*), of the loader (ld.so(8)), of locales, and of the build itself.
var buildsPrefixes = []string{"BASH_", "LD_", "LC_", "INGOT_"}

// BuildSets says whether a variable of scripts is the build's own.
func BuildSets(name string) bool {
	return slices.Contains(builds, name) || slices.ContainsFunc(buildsPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
