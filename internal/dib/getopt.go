package dib

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// An option is one option of a command line.
type option struct {
	short byte   // 0 where there is none
	long  string // without its dashes; "" where there is none
	value string // what it takes, in a word for help; "" where it takes nothing
	about string
	// ours says that diskimage-builder has no such option, or refuses it in spite of
	// its own help. Such an option has no claim on the abbreviations of the others.
	ours  bool
	apply func(r *reading, value string) error
}

func (o *option) String() string {
	if o.long == "" {
		return "-" + string(o.short)
	}
	return "--" + o.long
}

// getopt reads a command line as getopt(1) of util-linux does, which scripts count
// on: options and operands in any order, short options bundled and with their value
// attached or apart, long options with = or apart and abbreviated to what is
// unmistakable, "--" before what is no option. posixly ends the options at the first
// operand.
func getopt(args []string, options []option, posixly bool, each func(*option, string) error) (operands []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return append(operands, args...), nil
		case len(word) < 2 || word[0] != '-':
			if operands = append(operands, word); posixly {
				return append(operands, args...), nil
			}
		case word[1] == '-':
			args, err = long(word[2:], args, options, each)
		default:
			args, err = bundle(word[1:], args, options, each)
		}
		if err != nil {
			return nil, err
		}
	}
	return operands, nil
}

// long reads a long option and gives what is left of the arguments.
func long(word string, args []string, options []option, each func(*option, string) error) ([]string, error) {
	name, value, attached := strings.Cut(word, "=")
	o, err := named(name, options)
	switch {
	case err != nil:
		return nil, err
	case o.value == "" && attached:
		return nil, fault.Newf(fault.Usage, "option --%s takes no value", o.long)
	case o.value != "" && !attached:
		if len(args) == 0 {
			return nil, wantsValue(o)
		}
		value, args = args[0], args[1:]
	}
	return args, each(o, value)
}

// bundle reads short options that stand in one word.
func bundle(word string, args []string, options []option, each func(*option, string) error) ([]string, error) {
	for len(word) > 0 {
		i := slices.IndexFunc(options, func(o option) bool { return o.short == word[0] })
		if i < 0 {
			return nil, fault.Newf(fault.Usage, "unknown option -%s", printable(word[:1]))
		}
		o := &options[i]
		word = word[1:]
		value := ""
		if o.value != "" {
			if value, word = word, ""; value == "" {
				if len(args) == 0 {
					return nil, wantsValue(o)
				}
				value, args = args[0], args[1:]
			}
		}
		if err := each(o, value); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// named finds a long option by its name or an abbreviation of it.
func named(name string, options []option) (*option, error) {
	var all []string
	for i := range options {
		if options[i].long == name && name != "" {
			return &options[i], nil
		}
		if options[i].long != "" {
			all = append(all, options[i].long)
		}
	}
	for _, ours := range []bool{false, true} {
		var found []*option
		var names []string
		for i := range options {
			if o := &options[i]; o.ours == ours && name != "" && strings.HasPrefix(o.long, name) {
				found, names = append(found, o), append(names, "--"+o.long)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return nil, fault.Newf(fault.Usage, "option --%s is ambiguous: %s", printable(name), strings.Join(names, ", "))
		}
	}
	e := fault.Newf(fault.Usage, "unknown option --%s", printable(name))
	if n := spell.Nearest(name, all); n != "" {
		e = e.WithHint("did you mean --%s?", n)
	}
	return nil, e
}

func wantsValue(o *option) error {
	return fault.Newf(fault.Usage, "option %s wants a value: %s", o, o.value)
}
