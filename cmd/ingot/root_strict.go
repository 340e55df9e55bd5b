package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// strict makes every wrong use of a command and of those below it end with exit
// code 2, a hint and, where a word is nearly right, a "did you mean".
func strict(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		strict(c)
	}
	cmd.SetFlagErrorFunc(flagError)
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = wantVerb
		return
	}
	args := cmd.Args
	if args == nil {
		args = cobra.ArbitraryArgs
	}
	cmd.Args = func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			return misuse(c, countError(c, a, err))
		}
		// The rest of what cobra would complain about after this.
		if err := c.ValidateRequiredFlags(); err != nil {
			return misuse(c, err)
		}
		if err := c.ValidateFlagGroups(); err != nil {
			return misuse(c, groupError(err))
		}
		// A variable of a script's that is not set, more likely than a wish.
		if to := c.Flags().Lookup("to"); to != nil && to.Changed && to.Value.String() == "" {
			return misuse(c, errors.New("--to is empty, and names no place"))
		}
		return nil
	}
}

func misuse(cmd *cobra.Command, err error) error {
	return fault.Newf(fault.Usage, "%s%w", verbOf(cmd), err).WithHint("%s", seeHelp(cmd))
}

// counted is how cobra complains about a number of words.
var counted = regexp.MustCompile(`^((accepts|requires) .*\barg\(s\)|unknown command ".*" for )`)

// countError says what a verb takes in its own words, where cobra only counts.
func countError(cmd *cobra.Command, args []string, err error) error {
	if !counted.MatchString(err.Error()) {
		return err
	}
	_, takes, _ := strings.Cut(cmd.Use, " ")
	if takes == "" {
		return fmt.Errorf("it takes no arguments, and got %s", strings.Join(quoteAll(args), " "))
	}
	got := "none"
	if len(args) > 0 {
		got = strings.Join(quoteAll(args), " ")
	}
	return fmt.Errorf("it takes %s, and got %s", takes, got)
}

func quoteAll(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strconv.Quote(w)
	}
	return out
}

// together and grouped are how cobra complains about flags that need and exclude each other.
var (
	together = regexp.MustCompile(`^if any flags in the group \[(.*)\] are set they must all be set; missing \[.*\]$`)
	grouped  = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)
)

// groupError names flags that need or exclude each other as they are written.
func groupError(err error) error {
	named := func(list string) string { return "--" + strings.Join(strings.Fields(list), " and --") }
	if m := grouped.FindStringSubmatch(err.Error()); m != nil {
		return errors.New(named(m[1]) + " exclude each other")
	}
	if m := together.FindStringSubmatch(err.Error()); m != nil {
		return errors.New(named(m[1]) + " need each other")
	}
	return err
}

// verbOf begins a message about a verb: "store gc: ", or nothing for the program
// itself.
func verbOf(cmd *cobra.Command) string {
	if _, verb, ok := strings.Cut(cmd.CommandPath(), " "); ok {
		return verb + ": "
	}
	return ""
}

func seeHelp(cmd *cobra.Command) string { return fmt.Sprintf("see %q", cmd.CommandPath()+" --help") }

// wantVerb answers a command that has only verbs below it.
func wantVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.InitDefaultHelpFlag()
		cmd.PrintErrln(cmd.UsageString())
		return fault.Newf(fault.Usage, "%sa verb is missing", verbOf(cmd)).WithHint("%s", seeHelp(cmd))
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	e := fault.Newf(fault.Usage, "%sunknown verb %q", verbOf(cmd), args[0])
	if n := spell.Nearest(args[0], verbs); n != "" {
		return e.WithHint("did you mean %q?", cmd.CommandPath()+" "+n)
	}
	return e.WithHint("%s", seeHelp(cmd))
}

func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return wantVerb(cmd, words) // the flag may well be right: the verb before it is not
	}
	word, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		var value *pflag.InvalidValueError
		var number *strconv.NumError
		if errors.As(err, &value) && errors.As(err, &number) && number.Func != "ParseBool" {
			err = fmt.Errorf("invalid argument %q for %q flag: want a whole number", value.GetValue(), "--"+value.GetFlag().Name)
		}
		return misuse(cmd, err)
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	})
	e := fault.Newf(fault.Usage, "%sunknown flag --%s", verbOf(cmd), word)
	if n := spell.Nearest(word, flags); n != "" {
		return e.WithHint("did you mean --%s?", n)
	}
	return e.WithHint("%s", seeHelp(cmd))
}
