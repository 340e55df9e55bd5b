package element

// Rules of [Lint]; those about package lists stand with them.
const (
	RuleNotExecutable  = "not-executable"
	RuleName           = "name"
	RuleLink           = "dead-link"
	RuleHiddenFile     = "hidden-file"
	RuleBlank          = "blank-in-name"
	RuleMisspelt       = "misspelt"
	RuleOverwritten    = "overwritten"
	RuleClash          = "clash"
	RuleNoElement      = "no-element"
	RuleInvalid        = "invalid"
	RuleHelper         = "missing-helper"
	RuleNeverReaches   = "never-reaches"
	RuleNotSet         = "not-set"
	RuleDSA            = "dsa"
	RuleDropped        = "not-copied"
	RuleUnknownSection = "unknown-section"
	RuleEquals         = "double-equals"
	RuleDeprecated     = "deprecated"
)

// A Rule is a word that warnings have, and what it is about.
type Rule struct{ Name, About string }

// Rules are all rules, by name.
var Rules = []Rule{
	{RuleArchBlanks, "blanks in arch or not-arch become part of the names"},
	{RuleBlank, "names with blanks fall apart when hooks are merged"},
	{RuleClash, "two elements have the same script, or a file for a directory"},
	{RuleComment, "a comment where there are none is taken for names"},
	{RuleLink, "a symbolic link leads nowhere"},
	{RuleDeprecated, "an element that no longer works"},
	{RuleEquals, "== in a condition compares with a text that begins with ="},
	{RuleDSA, "ssh-keygen of OpenSSH 10 makes no DSA keys"},
	{RuleHiddenFile, "files whose names begin with a dot are not merged"},
	{RuleInvalid, "a list cannot be read"},
	{RuleHelper, "files for a helper element that is not depended on"},
	{RuleMisspelt, "a name that is nearly one that has a meaning"},
	{RuleName, "a file of a phase never runs, for its name"},
	{RuleNeverReaches, "environment.d sets a variable that only the driver reads"},
	{RuleNoElement, "element-deps names what is nowhere and nobody provides"},
	{RuleDropped, "install-static does not copy the file, for its name"},
	{RuleNotExecutable, "a file of a phase never runs, as nobody may execute it"},
	{RuleNotSet, "a variable or function that is not there in that phase"},
	{RuleHiddenList, "packages of an overridden element are installed too"},
	{RuleOverwritten, "a file takes the place of another element's"},
	{RuleUnfinished, "the last line of package-installs-NAME is not read"},
	{RuleUninstallNo, "uninstall: false and build-only: false remove all the same"},
	{RuleUnknownKey, "a key of a package that means nothing"},
	{RuleUnknownPhase, "a phase in which no packages are installed"},
	{RuleUnknownSection, "a section or family of a pkg-map that is never looked at"},
}
