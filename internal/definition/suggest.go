package definition

import (
	"strings"

	"ingot/internal/spell"
)

// didYouMean is the end of a message about an unknown word, and the word it
// suggests: a near one, or else all there are when they are few.
func didYouMean(word string, among []string) (string, string) {
	if w := spell.Nearest(word, among); w != "" {
		return "; did you mean \"" + w + "\"?", w
	}
	if len(among) > 0 && len(among) <= 48 {
		return "; known: " + strings.Join(among, ", "), ""
	}
	return "", ""
}
