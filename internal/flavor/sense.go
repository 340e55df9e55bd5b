package flavor

// A Sense is what a flavor says of one flag. The zero Sense is that it says nothing.
type Sense uint8

// The senses, in the order that breaks ties between flavors.
const (
	Unset      Sense = iota
	Required         // "ssl": there
	Preferred        // "~ssl": rather there
	PreferNot        // "~!ssl": rather not there
	Disallowed       // "!ssl": not there
)

// senses are the signs in front of a flag's name.
var senses = [...]string{Required: "", Preferred: "~", PreferNot: "~!", Disallowed: "!"}

// String is the sign in front of a flag's name.
func (s Sense) String() string {
	if int(s) < len(senses) {
		return senses[s]
	}
	return "?"
}

// senseOf is the sense of a sign.
func senseOf(sign string) (Sense, bool) {
	for s := Required; s <= Disallowed; s++ {
		if senses[s] == sign {
			return s, true
		}
	}
	return Unset, false
}

// Positive says that the flag is there, or rather there.
func (s Sense) Positive() bool { return s == Required || s == Preferred }

// Negative says that the flag is not there, or rather not.
func (s Sense) Negative() bool { return s == Disallowed || s == PreferNot }

// Strong is the sense without "rather".
func (s Sense) Strong() Sense {
	switch s {
	case Preferred:
		return Required
	case PreferNot:
		return Disallowed
	default:
		return s
	}
}

// Weak is the sense with "rather".
func (s Sense) Weak() Sense {
	switch s {
	case Required:
		return Preferred
	case Disallowed:
		return PreferNot
	default:
		return s
	}
}

// Word is the sense as declarations and JSON spell it; of Unset it is empty.
func (s Sense) Word() string {
	return [...]string{"", "required", "preferred", "prefernot", "disallowed"}[min(s, Disallowed)]
}
