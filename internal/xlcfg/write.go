package xlcfg

import (
	"fmt"
	"regexp"
	"strings"

	"ingot/internal/fault"
)

// plainNumber is what may stand without quotes: never with a 0 in front, which would be octal.
var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

var keyPattern = regexp.MustCompile(`^[a-z][._0-9a-z]*$`)

// Write is the configuration as text, one key a line, that Xen reads as the same values. A
// text may hold anything but NUL.
func (c *Config) Write() (string, error) {
	var b strings.Builder
	for _, k := range c.keys {
		if !keyPattern.MatchString(k) {
			return "", fault.Newf(fault.Failed, "xl.cfg has no key %q: keys are small letters, digits, . and _", k)
		}
		text, err := c.values[k].write(0)
		if err != nil {
			return "", fmt.Errorf("%s: %w", k, err)
		}
		fmt.Fprintf(&b, "%s = %s\n", k, text)
	}
	if b.Len() > MaxSize {
		return "", fault.Newf(fault.Failed, "a guest's configuration of %d bytes; Xen's reader is given at most %d", b.Len(), MaxSize)
	}
	return b.String(), nil
}

// quoting writes what would end a text or its line. Other control characters stand as
// they are: Xen's reader takes them so.
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\a", `\a`, "\b", `\b`, "\f", `\f`, "\v", `\v`)

func (v Value) write(depth int) (string, error) {
	if !v.IsList {
		if strings.ContainsRune(v.Text, 0) {
			return "", fault.Newf(fault.Failed, "a NUL, which xl.cfg cannot say")
		}
		if plainNumber.MatchString(v.Text) {
			return v.Text, nil
		}
		return `"` + quoting.Replace(v.Text) + `"`, nil
	}
	if depth == maxDepth {
		return "", fault.Newf(fault.Failed, "more than %d lists in lists", maxDepth)
	}
	items := make([]string, len(v.List))
	for i, item := range v.List {
		var err error
		if items[i], err = item.write(depth + 1); err != nil {
			return "", err
		}
	}
	return "[" + strings.Join(items, ", ") + "]", nil
}
